"""Roles: cluster-wide, so deploy makes what is missing and changes nothing that exists.

Two deployments at once into two databases of one cluster may both find something missing. The
second one's error says that it is there by now, or is being made: it looks again.
"""

from __future__ import annotations

import time
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
_RACES = (errors.DuplicateObject, errors.UniqueViolation, errors.InternalError_)
_TRIES = 20

CITUS_SETTING = "citus.propagate_set_commands"


def ensure(connection: Connection, roles: Roles) -> None:
    """Creates the missing roles and memberships; `connection` is in autocommit mode.

    An empty name leaves that role out.
    """
    for _ in range(_TRIES):
        try:
            _ensure(connection, roles)
        except _RACES:
            time.sleep(0.1)
        else:
            return
    _ensure(connection, roles)


def _ensure(connection: Connection, roles: Roles) -> None:
    known = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
    for capacity, attributes in _ATTRIBUTES.items():
        name = getattr(roles, capacity)
        if name and name not in known:
            connection.execute(sql.SQL("CREATE ROLE {} " + attributes).format(sql.Identifier(name)))
    _make_member(connection, roles.monitor, "pg_monitor")
    # The loader writes every table and refreshes every materialized view.
    _make_member(connection, roles.loader, roles.owner)
    _make_member(connection, roles.loader, roles.matview_owner)
    _allow_citus_setting(connection, roles.owner)


def _make_member(connection: Connection, member: str, group: str) -> None:
    if not (member and group):
        return
    query = "SELECT pg_has_role(%s, %s, 'MEMBER')"
    if connection.execute(query, [member, group]).fetchone() == (False,):
        names = {"group": sql.Identifier(group), "member": sql.Identifier(member)}
        connection.execute(sql.SQL("GRANT {group} TO {member}").format(**names))


def _allow_citus_setting(connection: Connection, owner: str) -> None:
    """Lets the owner attach Citus' setting to a function where Citus is not loaded; only a
    superuser can."""
    if not owner or connection.info.parameter_status("is_superuser") != "on":
        return
    query = "SELECT has_parameter_privilege(%s, %s, 'SET')"
    if connection.execute(query, [owner, CITUS_SETTING]).fetchone() == (False,):
        connection.execute(
            sql.SQL("GRANT SET ON PARAMETER {} TO {}").format(
                sql.Identifier(CITUS_SETTING), sql.Identifier(owner)
            )
        )
