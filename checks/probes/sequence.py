"""A sequence counts for all tenants: its value, or the next number, tells how much they write.

Judged by privileges and by reading: ROLLBACK does not take back a number, so none is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from checks.attempt import first
from checks.ground import Ground
from harness.catalog.model import Name
from harness.run import ProbeResult

RULE = "ORA006"
_HELD = """
SELECT n.nspname, c.relname,
       has_sequence_privilege(c.oid, 'SELECT'), has_sequence_privilege(c.oid, 'USAGE, UPDATE'),
       has_sequence_privilege(c.oid, 'UPDATE')
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND n.nspname = ANY (%s) AND has_schema_privilege(n.oid, 'USAGE')
ORDER BY 1, 2
"""


def survey(ground: Ground) -> Iterator[ProbeResult]:
    with ground.wire.transaction(ground.own) as connection:
        found = connection.execute(_HELD, [list(ground.catalog.schemas)]).fetchall()
    for schema, name, *held in found:
        yield _result(ground, Name(schema, name), *held)
    if not found:
        yield ProbeResult(ground.name, "sequence", "held", "the application reaches no sequence")


def _result(ground: Ground, name: Name, reads: bool, draws: bool, sets: bool) -> ProbeResult:
    told = [_told(ground, name)] if reads else []
    told += ["nextval tells it, one number at a time"] if draws else []
    told += ["setval makes inserts of other tenants fail"] if sets else []
    detail = "; ".join(told) or "neither to be read nor drawn from"
    return ProbeResult(str(name), "sequence", "noted" if told else "held", detail)


def _told(ground: Ground, name: Name) -> str:
    with ground.wire.transaction(ground.own) as connection:
        query = sql.SQL("SELECT last_value FROM {}").format(name.identifier)
        return f"tells how much all tenants wrote: {first(connection, query)}"
