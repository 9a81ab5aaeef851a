"""A PostgreSQL 17 for the tests: the embedded one, or the one that HARNESS_TEST_DSN names.

The embedded server is shared by all workers of a test run and stopped by the last one. Every
database a worker makes carries its pid, so that those of killed runs are found and dropped.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import psutil
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from harness.config import Settings
from harness.db import Connection, Target
from harness.deploy.deploy import deploy
from harness.server.embedded import embedded, running

_serial = itertools.count(1)


@pytest.fixture(scope="session")
def server(settings: Settings) -> Iterator[Target]:
    """The maintenance database of the server that the tests run on."""
    dsn = os.environ.get("HARNESS_TEST_DSN")
    if dsn:
        yield _target(make_conninfo(dsn), settings)
        return
    with running(embedded(settings, checkout=Path(__file__).parent)) as own:
        target = own.target("postgres", settings.roles)
        _drop_left_over(target)
        yield target


@pytest.fixture
def database(server: Target, settings: Settings) -> Iterator[Target]:
    """An empty database of the test's own."""
    with _database(server, settings) as target:
        yield target


@pytest.fixture(scope="session")
def deployed(server: Target, settings: Settings) -> Iterator[Target]:
    """A database with the reference schema, shared by tests that leave it as it was."""
    with _database(server, settings) as target:
        deploy(target, settings)
        yield target


@pytest.fixture
def copy_of(server: Target, settings: Settings) -> Iterator[Callable[[Target], Target]]:
    """Makes copies of a database for tests that change it."""
    made: list[Iterator[Target]] = []

    def copy(original: Target) -> Target:
        context = _copies(server, settings, original)
        made.append(context)
        return next(context)

    yield copy
    for context in made:
        next(context, None)


@pytest.fixture
def admin(deployed: Target) -> Iterator[Connection]:
    """A superuser's transaction on the deployed schema, rolled back at the end."""
    with psycopg.connect(deployed.admin) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def tenant(admin: Connection) -> UUID:
    """A minimal business, in the transaction of `admin`."""
    return add_tenant(admin, "first")


@pytest.fixture
def account(admin: Connection, tenant: UUID) -> UUID:
    """A user account of `tenant`."""
    return add_account(admin, tenant, "ada")


@pytest.fixture
def app(admin: Connection, tenant: UUID, account: UUID) -> Connection:
    """The connection of `admin` as the application, working for `tenant`."""
    become_app(admin, tenant)
    return admin


def add_tenant(connection: Connection, slug: str) -> UUID:
    """Inserts a business and returns its id."""
    row = connection.execute(
        "INSERT INTO tenant_mgmt.business (legal_name, display_name, slug, industry,"
        " country_code, currency_code, time_zone, locale, employee_band)"
        " VALUES (%s, %s, %s, 'retail', 'US', 'USD', 'America/Chicago', 'en-US', '10_49')"
        " RETURNING business_id",
        [f"{slug} Ltd", slug, slug],
    ).fetchone()
    assert row
    return UUID(str(row[0]))


def add_account(connection: Connection, tenant: UUID, username: str) -> UUID:
    """Inserts an active user account and returns its id."""
    row = connection.execute(
        "INSERT INTO user_mgmt.user_account (business_id, username, email, display_name,"
        " account_kind, status, locale, time_zone, activated_at)"
        " VALUES (%s, %s, %s, %s, 'staff', 'active', 'en-US', 'America/Chicago', now())"
        " RETURNING user_account_id",
        [tenant, username, f"{username}@example.com", username.title()],
    ).fetchone()
    assert row
    return UUID(str(row[0]))


def become_app(connection: Connection, tenant: UUID) -> None:
    """From here to the end of the transaction: the application role, for the tenant."""
    connection.execute("SET LOCAL ROLE app_user")
    connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])


@contextmanager
def _database(server: Target, settings: Settings, template: str = "template0") -> Iterator[Target]:
    name = f"test_{os.getpid()}_{next(_serial)}"
    names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    _maintain(server, "CREATE DATABASE {name} TEMPLATE {template}", names)
    try:
        yield _target(make_conninfo(server.admin, dbname=name), settings)
    finally:
        _maintain(server, "DROP DATABASE {name} WITH (FORCE)", names)


def _copies(server: Target, settings: Settings, original: Target) -> Iterator[Target]:
    with psycopg.connect(original.admin) as connection:
        template = connection.info.dbname
    with _database(server, settings, template) as target:
        yield target


def _target(admin: str, settings: Settings) -> Target:
    return Target(
        admin=admin,
        app=make_conninfo(admin, user=settings.roles.app),
        loader=make_conninfo(admin, user=settings.roles.loader),
    )


def _maintain(server: Target, command: str, names: dict[str, sql.Identifier]) -> None:
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute(sql.SQL(command).format(**names))


def _drop_left_over(server: Target) -> None:
    with psycopg.connect(server.admin) as connection:
        rows = connection.execute(
            "SELECT datname, split_part(datname, '_', 2)::integer FROM pg_database"
            r" WHERE datname ~ '^test_\d+_\d+$'"
        ).fetchall()
    for name, pid in rows:
        if not psutil.pid_exists(pid):
            _maintain(server, "DROP DATABASE {name} WITH (FORCE)", {"name": sql.Identifier(name)})
