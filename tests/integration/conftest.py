"""A PostgreSQL 17 for the tests: the embedded one, or the one that HARNESS_TEST_DSN names.

The embedded server is shared by all workers of a test run and stopped by the last one. Every
database a worker makes carries its pid, so that those of killed runs are found and dropped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
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
from tests.integration.spares import Spares, maintain, name_of, target_of, template
from tests.integration.spares import database as made_database

PLATFORM = ("system_core/", "tenant_mgmt/", "user_mgmt/", "user_auth/", "user_rbac/")
_sessions: dict[str, Connection] = {}
_spares: dict[str, Spares] = {}


@pytest.fixture(scope="session")
def server(settings: Settings) -> Iterator[Target]:
    """The maintenance database of the server that the tests run on."""
    dsn = os.environ.get("HARNESS_TEST_DSN")
    if dsn:
        yield target_of(make_conninfo(dsn), settings)
        return
    with running(embedded(settings, checkout=Path(__file__).parent)) as own:
        target = own.target("postgres", settings.roles)
        _forget_on_a_crash(target)
        _drop_left_over(target)
        yield target


@pytest.fixture
def database(server: Target, settings: Settings) -> Iterator[Target]:
    """An empty database of the test's own."""
    with made_database(server, settings) as target:
        yield target


@pytest.fixture(scope="session")
def deployed(server: Target, settings: Settings) -> Iterator[Target]:
    """A database with the reference schema, shared by tests that leave it as it was.

    Copies are made of the template that it is a copy of, so that no test loses what the worker's
    connection has learned.
    """
    with template(server, settings) as untouched, ExitStack() as made:
        target = made.enter_context(made_database(server, settings, name_of(untouched)))
        _spares[target.admin] = Spares(server, settings, untouched, made)
        yield target
        _end_session(target)


@pytest.fixture(scope="session")
def part(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings whose schema is what every industry stands on: a tenth of the whole."""
    directory = tmp_path_factory.mktemp("platform")
    order = (settings.schema_dir / "order.txt").read_text(encoding="utf-8").splitlines()
    files = [line for line in order if line.startswith(PLATFORM)]
    for file in files:
        (directory / file).parent.mkdir(exist_ok=True)
        shutil.copy(settings.schema_dir / file, directory / file)
    (directory / "order.txt").write_text("\n".join(files), encoding="utf-8")
    return settings.model_copy(update={"schema_dir": directory})


@pytest.fixture(scope="session")
def platform(server: Target, part: Settings) -> Iterator[Target]:
    """A database with the schemas that every industry stands on, for tests that attack it whole."""
    with made_database(server, part) as target:
        deploy(target, part)
        yield target


@pytest.fixture(scope="session")
def copies(
    server: Target, settings: Settings
) -> Callable[[Target], AbstractContextManager[Target]]:
    """Makes copies of a database, each there until its context ends."""

    @contextmanager
    def copy(original: Target) -> Iterator[Target]:
        spares = _spares.get(original.admin)
        if spares is not None:
            with spares.one() as target:
                yield target
            return
        _end_session(original)  # a template is copied only while nobody is connected to it
        with made_database(server, settings, name_of(original)) as target:
            yield target

    return copy


@pytest.fixture
def copy_of(
    copies: Callable[[Target], AbstractContextManager[Target]],
) -> Iterator[Callable[[Target], Target]]:
    """Makes copies of a database for tests that change it."""
    with ExitStack() as made:
        yield lambda original: made.enter_context(copies(original))


@pytest.fixture
def admin(deployed: Target) -> Iterator[Connection]:
    """A superuser's transaction on the deployed schema, rolled back at the end.

    The tests of a worker take turns on one connection: a new one would have to learn the catalog
    and compile the triggers again, which takes longer than most tests.
    """
    connection = _session(deployed)
    yield connection
    connection.rollback()
    if not connection.closed:
        connection.autocommit = True
        for command in ("RESET ALL", "DEALLOCATE ALL", "SELECT pg_advisory_unlock_all()"):
            connection.execute(command)
        connection.autocommit = False


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


def _session(target: Target) -> Connection:
    """This worker's connection to a database, made anew when a test has broken it."""
    kept = _sessions.get(target.admin)
    if kept is None or kept.closed:
        kept = _sessions[target.admin] = psycopg.connect(target.admin)
    return kept


def _end_session(target: Target) -> None:
    kept = _sessions.pop(target.admin, None)
    if kept:
        kept.close()


def _forget_on_a_crash(server: Target) -> None:
    """What tests write need not survive the machine: it waits for no disk."""
    with psycopg.connect(server.admin, autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            statement = sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting))
            connection.execute(statement)
        connection.execute("SELECT pg_reload_conf()")


def _drop_left_over(server: Target) -> None:
    with psycopg.connect(server.admin) as connection:
        rows = connection.execute(
            "SELECT datname, split_part(datname, '_', 2)::integer FROM pg_database"
            r" WHERE datname ~ '^test_\d+_\d+$'"
        ).fetchall()
    for name, pid in rows:
        if not psutil.pid_exists(pid):
            maintain(server, "DROP DATABASE {name} WITH (FORCE)", {"name": sql.Identifier(name)})
