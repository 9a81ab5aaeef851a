"""A foreign table cannot have row security: whoever may read it reads the rows of all tenants."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from psycopg import sql

from checks.attempt import Outcome, judge, verdict_of
from checks.ground import Ground
from harness.catalog.model import Name
from harness.run import ProbeResult

_TABLES = """
SELECT n.nspname, c.relname,
       EXISTS (SELECT FROM pg_attribute AS a
               WHERE a.attrelid = c.oid AND a.attname = %s AND NOT a.attisdropped)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'f' AND n.nspname = ANY (%s) ORDER BY 1, 2
"""


def survey(ground: Ground) -> Iterator[ProbeResult]:
    values = [ground.settings.tenancy.column, list(ground.catalog.schemas)]
    found = ground.admin.execute(_TABLES, values).fetchall()
    for schema, name, has_tenant in found:
        table = Name(schema, name)
        outcome = judge(partial(_read, ground, table, has_tenant))
        yield ProbeResult(str(table), "foreign_table", verdict_of(outcome), outcome.detail)
    if not found:
        yield ProbeResult(ground.name, "foreign_table", "held", "there are no foreign tables")


def _read(ground: Ground, table: Name, has_tenant: bool) -> Outcome:
    query = sql.SQL("SELECT FROM {}").format(table.identifier)
    if has_tenant:
        column = sql.Identifier(ground.settings.tenancy.column)
        foreign = sql.SQL(" WHERE {} IS DISTINCT FROM {}")
        query += foreign.format(column, sql.Literal(ground.own))
    with ground.wire.transaction(ground.own) as connection:
        rows = connection.execute(query + sql.SQL(" LIMIT 100")).rowcount
    whose = "of another tenant" if has_tenant else "and does not say whose they are"
    return Outcome(rows > 0, f"shows {rows} rows {whose}")
