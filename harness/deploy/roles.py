"""Roles: cluster-wide, so deploy makes those that are missing and changes none that exist."""

from __future__ import annotations

from typing import LiteralString

from psycopg import errors, sql

from harness.config import Roles
from harness.db import Connection

_ATTRIBUTES: dict[str, LiteralString] = {
    "owner": "NOLOGIN",
    "app": "LOGIN NOBYPASSRLS",
    "readonly": "LOGIN NOBYPASSRLS",
    "matview_owner": "NOLOGIN BYPASSRLS",
    "loader": "LOGIN BYPASSRLS",
    "monitor": "LOGIN",
}


def ensure(connection: Connection, roles: Roles) -> None:
    """Creates the missing roles; `connection` is in autocommit mode.

    Two deployments at once into two databases of one cluster may both try: the second one's
    error says that the role is there, which is all that is wanted. An empty name leaves that role
    out.
    """
    known = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
    for capacity, attributes in _ATTRIBUTES.items():
        name = getattr(roles, capacity)
        if name and name not in known:
            _create(connection, name, attributes)
    _make_member(connection, roles.monitor, "pg_monitor")
    # The loader writes every table and refreshes every materialized view.
    _make_member(connection, roles.loader, roles.owner)
    _make_member(connection, roles.loader, roles.matview_owner)


def _make_member(connection: Connection, member: str, group: str) -> None:
    if member and group:
        names = {"group": sql.Identifier(group), "member": sql.Identifier(member)}
        connection.execute(sql.SQL("GRANT {group} TO {member}").format(**names))


def _create(connection: Connection, name: str, attributes: LiteralString) -> None:
    try:
        connection.execute(sql.SQL("CREATE ROLE {} " + attributes).format(sql.Identifier(name)))
    except (errors.DuplicateObject, errors.UniqueViolation):
        return
