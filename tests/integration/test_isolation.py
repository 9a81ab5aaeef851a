"""Live probes: a sound schema holds, a planted hole is a leak, an empty table proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import psycopg
import pytest

from checks import isolation
from harness.config import Settings
from harness.db import Target
from harness.errors import RefusedError, UsageError
from harness.run import ProbeResult
from tests.integration.conftest import add_account, add_tenant

ACCOUNT = "user_mgmt.user_account"
TENANT = "tenant_mgmt.current_business_id()"


class Fault(NamedTuple):
    plant: str
    probes: set[str]


FAULTS = {
    "row security off": Fault(
        f"ALTER TABLE {ACCOUNT} DISABLE ROW LEVEL SECURITY",
        {"select", "insert", "update", "delete", "move", "no_tenant", "left_over"},
    ),
    "a second, permissive policy": Fault(
        f"CREATE POLICY everyone ON {ACCOUNT} FOR SELECT USING (true)",
        {"select", "no_tenant", "left_over"},
    ),
    "writes unchecked": Fault(
        f"DROP POLICY tenant_isolation ON {ACCOUNT};"
        f"CREATE POLICY tenant_isolation ON {ACCOUNT}"
        f" USING (business_id = {TENANT}) WITH CHECK (true)",
        {"insert", "move"},
    ),
    "open without a tenant": Fault(
        f"ALTER POLICY tenant_isolation ON {ACCOUNT} USING ("
        "nullif(current_setting('app.business_id', true), '') IS NULL"
        " OR business_id::text = current_setting('app.business_id', true))",
        {"no_tenant", "left_over"},
    ),
    "a tautology": Fault(
        f"ALTER POLICY tenant_isolation ON {ACCOUNT} USING (business_id = business_id)",
        {"select", "insert", "update", "delete", "move", "no_tenant", "left_over"},
    ),
    "blind update": Fault(
        f"CREATE POLICY u ON {ACCOUNT} FOR UPDATE USING (true) WITH CHECK (true);"
        f"CREATE POLICY s ON {ACCOUNT} FOR SELECT USING (true)",
        {"select", "update", "move", "no_tenant", "left_over"},
    ),
}


@pytest.fixture
def two_tenants(
    platform: Target, copy_of: Callable[[Target], Target]
) -> Iterator[psycopg.Connection]:
    """Two tenants with one account each, in a database of the test's own."""
    copy = copy_of(platform)
    with psycopg.connect(copy.admin, autocommit=True) as connection:
        for slug in ("one", "two"):
            add_account(connection, add_tenant(connection, slug), "ada")
        yield connection


def _attack(connection: psycopg.Connection, settings: Settings) -> dict[str, ProbeResult]:
    """Results of the attack on user_account, by probe."""
    dsn = connection.info.dsn
    target = Target(dsn, dsn.replace("user=postgres", "user=app_user"), dsn)
    found = isolation.check(target, settings)
    return {result.probe: result for result in found if result.object == ACCOUNT}


def test_a_sound_table_holds(two_tenants: psycopg.Connection, settings: Settings) -> None:
    results = _attack(two_tenants, settings)
    assert set(results) == set(isolation.attempts())
    assert {result.verdict for result in results.values()} == {"held"}, results


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_planted_hole_is_a_leak(
    two_tenants: psycopg.Connection, settings: Settings, fault: Fault
) -> None:
    two_tenants.execute(fault.plant.encode())
    results = _attack(two_tenants, settings)
    assert {name for name, r in results.items() if r.verdict == "leak"} == fault.probes, results


def test_an_empty_table_proves_nothing(two_tenants: psycopg.Connection, settings: Settings) -> None:
    two_tenants.execute("DELETE FROM user_mgmt.user_account")
    results = _attack(two_tenants, settings)
    assert {result.verdict for result in results.values()} == {"vacuous"}


def test_nothing_is_left_behind(two_tenants: psycopg.Connection, settings: Settings) -> None:
    before = two_tenants.execute("SELECT * FROM user_mgmt.user_account ORDER BY 1, 2").fetchall()
    _attack(two_tenants, settings)
    after = two_tenants.execute("SELECT * FROM user_mgmt.user_account ORDER BY 1, 2").fetchall()
    assert after == before
    security = two_tenants.execute(
        "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %s::regclass",
        [ACCOUNT],
    ).fetchone()
    assert security == (True, True)


def test_a_materialized_view_granted_to_the_application_is_a_leak(
    two_tenants: psycopg.Connection, settings: Settings
) -> None:
    two_tenants.execute(
        "CREATE MATERIALIZED VIEW user_mgmt.mv AS SELECT business_id FROM user_mgmt.user_account;"
        "GRANT SELECT ON user_mgmt.mv TO app_user"
    )
    dsn = two_tenants.info.dsn
    target = Target(dsn, dsn.replace("user=postgres", "user=app_user"), dsn)
    results = {r.object: r for r in isolation.check(target, settings)}
    assert results["user_mgmt.mv"].verdict == "leak"


def test_two_tenants_are_needed(platform: Target, settings: Settings) -> None:
    with pytest.raises(UsageError, match="run harness fill"):
        isolation.check(platform, settings)


def test_somebody_elses_database_is_not_attacked(database: Target, settings: Settings) -> None:
    with psycopg.connect(database.admin) as connection:
        connection.execute("CREATE TABLE precious (id integer)")
    with pytest.raises(RefusedError, match="left alone"):
        isolation.check(database, settings)
