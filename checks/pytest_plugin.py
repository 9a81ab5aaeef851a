"""Isolation checks in a test suite of your own.

In the conftest.py at the root: `pytest_plugins = ["checks.pytest_plugin"]`. Which database is
tested, how it tells its tenants apart and as which role applications use it is told by
harness.toml or [tool.harness] in pyproject.toml, and by --harness-dsn. Every attempt is rolled
back. All fixtures may be overridden, `tenant_a` and `tenant_b` with tenants that a suite makes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from checks import crossing, isolation, settling, static
from checks.attempt import Session
from checks.crossing import Params
from harness.config import Settings, load
from harness.db import Connection, Target, connect
from harness.errors import HarnessError
from harness.report import text
from harness.server.reach import reached

__all__ = [
    "assert_isolated",
    "assert_no_findings",
    "isolation_connection",
    "isolation_settings",
    "isolation_target",
    "pytest_addoption",
    "tenant_a",
    "tenant_b",
]

T = TypeVar("T")


class AssertIsolated(Protocol):
    """Fails the test unless what a query or a table shows a tenant stays with that tenant."""

    def __call__(
        self, query_or_table: str, params: Params = None, *, canary: Collection[Any] = ()
    ) -> None:
        """`canary`: values that only rows of tenant B hold, for a query without the tenant
        column."""


class AssertNoFindings(Protocol):
    """Fails the test where the static check finds something in SQL files."""

    def __call__(self, *paths: str | Path, ignore: Collection[str] = ()) -> None:
        """All files of the schema where no path is given; `ignore` names rules."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """--harness-dsn, --harness-config, and the ini options harness_tenant_a and _b."""
    group = parser.getgroup("harness", "tenant isolation")
    group.addoption("--harness-dsn", help="The database to test, as an owner or superuser.")
    group.addoption("--harness-config", help="harness.toml or pyproject.toml; the nearest if none.")
    for name in ("a", "b"):
        parser.addini(f"harness_tenant_{name}", f"The id of tenant {name.upper()}.", default="")


@pytest.fixture(scope="session")
def isolation_settings(pytestconfig: pytest.Config) -> Settings:
    """How the schema tells its tenants apart, and where its database is."""
    config = pytestconfig.getoption("--harness-config", default=None)
    dsn = pytestconfig.getoption("--harness-dsn", default=None)
    return _or_usage_error(lambda: load({"dsn": dsn}, Path(config) if config else None))


@pytest.fixture(scope="session")
def isolation_target(isolation_settings: Settings) -> Iterator[Target]:
    """The database under test; the harness' own embedded one where no DSN names another."""
    with reached(isolation_settings) as target:
        yield target


@pytest.fixture
def isolation_connection(isolation_target: Target) -> Iterator[Connection]:
    """A connection as the application's role; what is run on it is rolled back.

    Override it where rows under test are not committed, with the connection that wrote them and
    on which `SET LOCAL ROLE` made it the application's.
    """
    with connect(isolation_target.app, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def tenant_a(request: pytest.FixtureRequest) -> Any:
    """The id of one tenant: of the ini option, else the first of the root table."""
    return _tenant(request, "a", 0)


@pytest.fixture(scope="session")
def tenant_b(request: pytest.FixtureRequest) -> Any:
    """The id of another tenant."""
    return _tenant(request, "b", 1)


@pytest.fixture
def assert_isolated(
    isolation_connection: Connection, isolation_settings: Settings, tenant_a: Any, tenant_b: Any
) -> AssertIsolated:
    """Runs a query, or reads a table, as tenant A, as tenant B and without a tenant, and fails
    where one sees what is not its own, or where nothing was proven."""
    tenancy = isolation_settings.tenancy

    def judge(query_or_table: str, params: Params = None, *, canary: Collection[Any] = ()) -> None:
        __tracebackhide__ = True
        session = Session(isolation_connection, tenancy)
        query = crossing.query_of(query_or_table)
        if role := crossing.role_above(isolation_connection):
            pytest.fail(f"{role} is above row security: nothing can be proven", pytrace=False)
        seen = crossing.cross(session, query, params, tenant_a, tenant_b)
        wrong = list(crossing.complaints(seen, tenancy, tenant_a, tenant_b, canary))
        if wrong:
            pytest.fail("\n  ".join([f"{query_or_table} is not isolated:", *wrong]), pytrace=False)

    return judge


@pytest.fixture(scope="session")
def assert_no_findings(isolation_settings: Settings) -> AssertNoFindings:
    """Checks SQL files without a database; fails where `harness check static` would."""

    def judge(*paths: str | Path, ignore: Collection[str] = ()) -> None:
        __tracebackhide__ = True
        examined = static.examine([Path(path) for path in paths], isolation_settings)
        checks = isolation_settings.checks
        checks = checks.model_copy(update={"ignore": (*checks.ignore, *ignore)})
        verdict = settling.together(checks, examined)
        if verdict.failed:
            pytest.fail(text.render(verdict, "the SQL files", color=False), pytrace=False)

    return judge


def _tenant(request: pytest.FixtureRequest, name: str, position: int) -> Any:
    given = _ini(request.config, f"harness_tenant_{name}")
    if given:
        return given
    target, settings = (request.getfixturevalue(f"isolation_{each}") for each in _NEEDED)
    attacked = _or_usage_error(lambda: isolation.attacked(target, settings))
    return (attacked.attacker, attacked.victim)[position]


_NEEDED = ("target", "settings")


def _ini(config: pytest.Config, name: str) -> str:
    """An ini option; none where only fixtures were imported, which registers no option."""
    try:
        return str(config.getini(name))
    except ValueError:
        return ""


def _or_usage_error(action: Callable[[], T]) -> T:
    try:
        return action()
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from None
