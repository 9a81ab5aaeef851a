"""Reads a Source of a live database: its catalog, and what stands beside it.

Nothing is written and no row of a tenant is read: the system catalogs alone. Roles are those of
the whole cluster, for what a role may become is decided there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from harness.catalog import live
from harness.catalog.live import Row
from harness.catalog.model import Grant, Name
from harness.catalog.source import (
    Membership,
    Privilege,
    Publication,
    RewriteRule,
    Role,
    RoleSetting,
    Source,
)
from harness.db import Connection


def read(connection: Connection, only: Collection[str] | None = None) -> Source:
    """All that the database holds for a rule to judge, as the connection's role sees it; of some
    schemas only where they are named."""
    schemas = live.schemas(connection, only)

    def rows(kind: str) -> list[Row]:
        return live.rows(connection, kind, schemas)

    return Source(
        catalog=live.read(connection, only),
        definitions=dict(rows("definitions")),
        privileges=tuple(map(_privilege, rows("privileges"))),
        role_settings=tuple(RoleSetting(*row) for row in rows("role_settings")),
        inherits=_parents(rows("inherits")),
        roles={row[0]: _role(row) for row in rows("roles")},
        publications=tuple(
            Publication(name, Name(schema, table), filtered)
            for name, schema, table, filtered in rows("publications")
        ),
        rewrite_rules=tuple(
            RewriteRule(name, Name(schema, table)) for name, schema, table in rows("rewrite_rules")
        ),
        foreign_tables=_foreign_tables(rows("foreign_tables"), rows("grants")),
        server_version=connection.info.server_version,
        has_citus=live.has_citus(connection),
        left_out=_left_out(connection),
    )


def _left_out(connection: Connection) -> dict[str, str]:
    """What deploy noted, a line each: `path:line: left out (statement): reason`."""
    if connection.execute("SELECT to_regclass('harness.left_out')").fetchone() == (None,):
        return {}
    lines = [line for (line,) in connection.execute("SELECT statement FROM harness.left_out")]
    return {line.partition(": ")[0]: line.rpartition("): ")[2] for line in lines}


def _privilege(row: Row) -> Privilege:
    kind, subject, role, privileges = row
    return Privilege(kind, subject, role, frozenset(privileges))


def _parents(found: list[Row]) -> dict[Name, tuple[Name, ...]]:
    parents: defaultdict[Name, tuple[Name, ...]] = defaultdict(tuple)
    for schema, table, parent_schema, parent in found:
        parents[Name(schema, table)] += (Name(parent_schema, parent),)
    return dict(parents)


def _role(row: Row) -> Role:
    name, superuser, bypasses, login, groups, inherits, sets = row
    member_of = tuple(map(Membership, groups, inherits, sets))
    return Role(name, superuser, bypasses, login, member_of)


def _foreign_tables(found: list[Row], grants: list[Row]) -> dict[Name, tuple[Grant, ...]]:
    by_name: defaultdict[Name, tuple[Grant, ...]] = defaultdict(tuple)
    for schema, relation, role, privileges, columns in grants:
        by_name[Name(schema, relation)] += (Grant(role, frozenset(privileges), tuple(columns)),)
    return {Name(*row): by_name[Name(*row)] for row in found}
