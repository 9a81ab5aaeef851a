"""EXPLAIN estimates how many rows of another tenant there are from statistics that no policy
hides, and pg_class tells the size of tables. Tables that tenants share give that away."""

from __future__ import annotations

from collections.abc import Iterator

from checks.attempt import Outcome, Subject, first, judge
from checks.ground import Ground
from checks.surveying import noted
from harness.catalog.model import Name
from harness.run import ProbeResult

RULE = "ORA007"
_COUNTED = (
    "SELECT n.nspname, c.relname, c.reltuples::bigint FROM pg_class AS c"
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p') AND c.reltuples > 0"
    " AND has_any_column_privilege(c.oid, 'SELECT') ORDER BY 3 DESC"
)
_ESTIMATE = "EXPLAIN (FORMAT JSON) SELECT FROM {table} WHERE {tenant} = {other}"


def survey(ground: Ground) -> Iterator[ProbeResult]:
    yield noted(ground, "size", judge(lambda: _estimate(ground)))


def _estimate(ground: Ground) -> Outcome:
    known = {s.table.name: s for s in ground.subjects()}
    with ground.wire.transaction(ground.own) as connection:
        counted = connection.execute(_COUNTED).fetchall()
        for schema, name, rows in counted:
            subject = known.get(Name(schema, name))
            if subject is not None:
                plan = first(connection, subject.compose(_ESTIMATE))[0]["Plan"]
                return Outcome(True, _told(subject, rows, plan["Plan Rows"]))
    return Outcome(False, "no table that the application reads was ever analyzed")


def _told(subject: Subject, rows: int, estimate: int) -> str:
    name = subject.table.name
    return (
        f"{name} tells every tenant that it holds about {rows} rows; EXPLAIN estimates {estimate}"
    )
