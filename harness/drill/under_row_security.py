"""A dump by a role that row security is for: refused, or silently partial.

pg_dump switches row_security off, and the server then refuses what a policy would filter. With
--enable-row-security the same dump ends well and holds the rows of one tenant.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import LiteralString

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from harness.catalog.model import Name
from harness.config import Settings, Tenancy
from harness.db import Connection, as_role
from harness.drill.facts import Facts
from harness.drill.tools import Tools
from harness.drill_result import DrillFinding
from harness.server.account import complaint

_READABLE: LiteralString = """
SELECT n.nspname, c.relname
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_roles AS r ON r.rolname = %(role)s
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = %(column)s AND NOT a.attisdropped
WHERE c.relkind = 'r' AND NOT c.relispartition AND c.relrowsecurity
  AND has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_table_privilege(r.oid, c.oid, 'SELECT')
ORDER BY 1, 2
"""
_TRIED = 30
"""So many tables are looked at for one with rows of two tenants."""


class Subject:
    """A table to dump, a tenant that has rows of it, and how many rows it has."""

    def __init__(self, name: Name, tenant: str, rows: int) -> None:
        self.name, self.tenant, self.rows = name, tenant, rows

    @property
    def pattern(self) -> str:
        """As pg_dump wants it."""
        return ".".join('"' + part.replace('"', '""') + '"' for part in self.name)


def subject(connection: Connection, facts: Facts, settings: Settings) -> Subject | None:
    """The smallest table under row security that the application reads and two tenants share."""
    given = {"role": settings.roles.app, "column": settings.tenancy.column}
    found = [Name(*row) for row in connection.execute(_READABLE, given)]
    counts = {name: int(facts.kinds["rows"][str(name)][0]) for name in found}
    for name in [n for n in sorted(found, key=lambda n: counts[n]) if counts[n] > 1][:_TRIED]:
        column = sql.Identifier(settings.tenancy.column)
        query = sql.SQL("SELECT min({0}::text), count(DISTINCT {0}) FROM {1}")
        tenant, tenants = connection.execute(query.format(column, name.identifier)).fetchone() or (
            "",
            0,
        )
        if tenants > 1:
            return Subject(name, tenant, counts[name])
    return None


def tried(
    tools: Tools, conninfo: str, settings: Settings, of: Subject
) -> Iterator[DrillFinding | str]:
    """A finding for a dump that is not what it should be, a line for one that is."""
    role = settings.roles.app
    code, said = tools.ask("pg_dump", *_options(of), f"--dbname={as_role(conninfo, role)}")
    held = rows_of(said)
    if code == 0:
        detail = f"pg_dump as {role} was not refused: it holds {held} of {of.rows} rows"
        yield DrillFinding("row security", "dump", str(of.name), detail)
    else:
        yield f"pg_dump as {role} is refused: {complaint(said).removeprefix('pg_dump: ')}"
    yield _enabled(tools, conninfo, settings, of)


def _enabled(tools: Tools, conninfo: str, settings: Settings, of: Subject) -> DrillFinding | str:
    role = settings.roles.app
    dsn = as_tenant(as_role(conninfo, role), settings.tenancy, of.tenant)
    code, said = tools.ask("pg_dump", *_options(of), "--enable-row-security", f"--dbname={dsn}")
    held = rows_of(said)
    if code == 0 and held == of.rows:
        detail = f"{role} reads all {of.rows} rows as one tenant: row security does not bind it"
        return DrillFinding("row security", "dump", str(of.name), detail)
    if code:
        return f"pg_dump --enable-row-security as {role} fails: {complaint(said)}"
    return (
        f"pg_dump --enable-row-security as {role} ends well with {held:,} of {of.rows:,} rows of "
        f"{of.name}: silently partial, no backup"
    )


def _options(of: Subject) -> tuple[str, ...]:
    return ("--data-only", f"--table={of.pattern}")


def as_tenant(dsn: str, tenancy: Tenancy, tenant: str) -> str:
    """The same DSN with the tenant named from the start of the connection."""
    if tenancy.by_role:
        return as_role(dsn, tenant)
    value = (
        json.dumps(_claim(tenancy.claim, tenant), separators=(",", ":"))
        if tenancy.claim
        else tenant
    )
    options = conninfo_to_dict(dsn).get("options") or ""
    escaped = value.replace("\\", "\\\\").replace(" ", "\\ ")
    return make_conninfo(dsn, options=f"{options} -c {tenancy.setting}={escaped}".strip())


def _claim(path: str, tenant: str) -> object:
    document: object = tenant
    for name in reversed(path.split(".")):
        document = {name: document}
    return document


def rows_of(dump: str) -> int:
    """Rows between COPY and its end; values have no line breaks there."""
    _, _, copied = dump.partition("\nCOPY ")
    lines = copied.splitlines()[1:]
    return lines.index("\\.") if "\\." in lines else 0
