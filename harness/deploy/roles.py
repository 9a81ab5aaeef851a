"""Roles: cluster-wide, so deploy makes what is missing and changes nothing that exists.

Two deployments at once into two databases of one cluster may both find something missing. The
second one's error says that it is there by now, or is being made: it looks again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import LiteralString

from psycopg import errors, sql

from harness.config import Roles
from harness.db import Connection
from harness.errors import RefusedError

Attributes = Mapping[str, LiteralString]
ON_ONE_SERVER: Attributes = {
    "owner": "NOLOGIN",
    "app": "LOGIN NOBYPASSRLS",
    "readonly": "LOGIN NOBYPASSRLS",
    "matview_owner": "NOLOGIN BYPASSRLS",
    "loader": "LOGIN BYPASSRLS",
    "monitor": "LOGIN",
}
# A coordinator asks its workers as whoever asks it: the owner of a function that acts with its
# owner's rights, of a materialized view that is refreshed. Without a password nobody else can.
ON_A_CLUSTER: Attributes = {
    **ON_ONE_SERVER,
    "owner": "LOGIN",
    "matview_owner": "LOGIN BYPASSRLS",
}
_RACES = (errors.DuplicateObject, errors.UniqueViolation, errors.InternalError_)
_TRIES = 20

CITUS_SETTING = "citus.propagate_set_commands"


def ensure(connection: Connection, roles: Roles, attributes: Attributes = ON_ONE_SERVER) -> None:
    """Creates the missing roles and memberships; `connection` is in autocommit mode.

    An empty name leaves that role out.
    """
    for _ in range(_TRIES):
        try:
            _ensure(connection, roles, attributes)
        except _RACES:
            time.sleep(0.1)
        else:
            return
    _ensure(connection, roles, attributes)


def require_login(connection: Connection, roles: Roles) -> None:
    """RefusedError for a role that was there before and cannot log in, as it must on a cluster."""
    needed = [getattr(roles, capacity) for capacity in ON_A_CLUSTER]
    query = "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) AND NOT rolcanlogin"
    for (name,) in connection.execute(query, [needed]):
        raise RefusedError(
            f"role {name} cannot log in, which a cluster's coordinator does on its workers: "
            f"ALTER ROLE {name} LOGIN"
        )


def _ensure(connection: Connection, roles: Roles, attributes: Attributes) -> None:
    known = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
    for capacity, given in attributes.items():
        name = getattr(roles, capacity)
        if name and name not in known:
            connection.execute(sql.SQL("CREATE ROLE {} " + given).format(sql.Identifier(name)))
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
