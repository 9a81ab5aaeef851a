"""A database per fault, copied from one that is sound, and roles as they were afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from benchmarks.hazards.specimens import Specimen
from benchmarks.measure import PREFIX, Conninfo, target_of
from harness.db import Connection, Target, connect
from harness.deploy import roles
from harness.deploy.deploy import deploy
from harness.server import database

_ROLES_MADE = ("harness_mutant",)


@dataclass(frozen=True, slots=True)
class Original:
    """A database that holds a specimen with its rows; nobody is connected to it."""

    conninfo: Conninfo
    specimen: Specimen

    @property
    def name(self) -> str:
        """Of the database."""
        return f"{PREFIX}{self.specimen.name}"

    @property
    def target(self) -> Target:
        """The database in its three capacities."""
        return target_of(self.conninfo(self.name), self.specimen.settings.roles)


@contextmanager
def deployed(conninfo: Conninfo, specimen: Specimen) -> Iterator[Original]:
    """The specimen in a database of its own, dropped with its roles at the end."""
    original = Original(conninfo, specimen)
    database.drop(conninfo("postgres"), original.name)
    database.ensure(conninfo("postgres"), original.name)
    try:
        deploy(original.target, specimen.settings)
        with connect(original.target.admin) as connection:
            connection.execute(specimen.rows.encode())
        yield original
    finally:
        database.drop(conninfo("postgres"), original.name)
        _drop_roles(conninfo("postgres"), specimen)


@contextmanager
def copy(original: Original, plant: Callable[[Connection], object]) -> Iterator[Target]:
    """A copy with something planted in it; database and roles are gone at the end."""
    name = f"{PREFIX}copy"
    server = original.conninfo("postgres")
    database.drop(server, name)
    with connect(server, autocommit=True) as connection:
        names = {"copy": sql.Identifier(name), "original": sql.Identifier(original.name)}
        connection.execute(sql.SQL("CREATE DATABASE {copy} TEMPLATE {original}").format(**names))
    target = target_of(original.conninfo(name), original.specimen.settings.roles)
    try:
        with connect(target.admin) as connection:
            plant(connection)
        yield target
    finally:
        database.drop(server, name)
        _restore_roles(server, original.specimen)


def _restore_roles(server: str, specimen: Specimen) -> None:
    """What a fault did to roles outlives its database."""
    app = sql.Identifier(specimen.settings.roles.app)
    with connect(server, autocommit=True) as connection:
        for name in _ROLES_MADE:
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("ALTER ROLE {} NOBYPASSRLS NOSUPERUSER").format(app))
        connection.execute(sql.SQL("ALTER ROLE {} RESET ALL").format(app))
        held = connection.execute(
            "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = %s::regrole",
            [specimen.settings.roles.app],
        ).fetchall()
        for (role,) in held:
            connection.execute(sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(role), app))
        roles.ensure(connection, specimen.settings.roles)


def _drop_roles(server: str, specimen: Specimen) -> None:
    with connect(server, autocommit=True) as connection:
        known = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
        for name in sorted(known.intersection(dict(specimen.settings.roles).values())):
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
