"""Live probes: a sound schema holds, a planted hole is a leak, an empty table proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import psycopg
import pytest

from checks import isolation
from checks.probe import attempts
from harness.config import Settings, Tenancy
from harness.db import Target
from harness.errors import RefusedError, UsageError
from harness.run import ProbeResult
from tests.integration.conftest import add_account, add_tenant
from tests.integration.small_schemas import SETTING
from tests.integration.spares import name_of

ITEM = "shop.item"
TENANT = SETTING.tenancy.current_tenant


class Fault(NamedTuple):
    plant: str
    probes: set[str]


UNSET = {"no_tenant", "left_over", "reset"}
READS = {"select", "copy", "prepared"}
WRITES = {"insert", "update", "delete", "move", "merge", "blind_update", "blind_delete"}

FAULTS = {
    "row security off": Fault(
        f"ALTER TABLE {ITEM} DISABLE ROW LEVEL SECURITY", UNSET | READS | WRITES
    ),
    "row security off, and no key": Fault(
        f"ALTER TABLE {ITEM} DROP CONSTRAINT item_pkey CASCADE, DISABLE ROW LEVEL SECURITY",
        UNSET | READS | WRITES,
    ),
    "a second, permissive policy": Fault(
        f"CREATE POLICY everyone ON {ITEM} FOR SELECT USING (true)", UNSET | READS
    ),
    "writes unchecked": Fault(
        f"DROP POLICY p ON {ITEM};"
        f"CREATE POLICY p ON {ITEM} USING (org_id = {TENANT}) WITH CHECK (true)",
        {"insert", "move"},
    ),
    "open without a tenant": Fault(
        f"ALTER POLICY p ON {ITEM} USING (coalesce(org_id = {TENANT}, true))", UNSET
    ),
    "a tautology": Fault(
        f"ALTER POLICY p ON {ITEM} USING (org_id = org_id)", UNSET | READS | WRITES
    ),
    "update of what is seen": Fault(
        f"CREATE POLICY u ON {ITEM} FOR UPDATE USING (true) WITH CHECK (true);"
        f"CREATE POLICY s ON {ITEM} FOR SELECT USING (true)",
        UNSET | READS | {"update", "move", "merge", "blind_update"},
    ),
    "update of what is not seen": Fault(
        f"CREATE POLICY u ON {ITEM} FOR UPDATE USING (true)", {"move", "blind_update"}
    ),
    "update of a column of what is not seen": Fault(
        f"REVOKE UPDATE ON {ITEM} FROM app_user; GRANT UPDATE (name) ON {ITEM} TO app_user;"
        f"ALTER TABLE {ITEM} ALTER name SET DEFAULT 'x';"
        f"CREATE POLICY u ON {ITEM} FOR UPDATE USING (true)",
        {"blind_update"},
    ),
    "delete of what is not seen": Fault(
        f"CREATE POLICY d ON {ITEM} FOR DELETE USING (true)", {"blind_delete"}
    ),
    "an immutable context": Fault(
        "CREATE FUNCTION shop.org_of_session() RETURNS uuid LANGUAGE plpgsql IMMUTABLE AS"
        " 'BEGIN RETURN nullif(current_setting(''shop.org'', true), '''')::uuid; END';"
        f"ALTER POLICY p ON {ITEM} USING (org_id = shop.org_of_session())",
        {"prepared"},
    ),
    "truncate": Fault(f"GRANT TRUNCATE ON {ITEM} TO app_user", {"truncate"}),
    "a tenant that stays": Fault(
        "CREATE FUNCTION shop.set_org(org uuid) RETURNS text LANGUAGE sql"
        " RETURN set_config('shop.org', org::text, false)",
        {"no_tenant", "left_over"},  # the table before it had left a tenant, too
    ),
}


@pytest.fixture
def small(database: Target) -> Iterator[psycopg.Connection]:
    """Two tenants with some items each, in a database of the test's own."""
    with psycopg.connect(database.admin, autocommit=True) as connection:
        SETTING.create(connection)
        yield connection


def _attack(database: Target, settings: Settings) -> dict[str, ProbeResult]:
    """Results of the attack on the items, by probe."""
    found = isolation.check(database, settings, name_of(database))
    return {result.probe: result for result in found if result.object == ITEM}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_planted_hole_is_a_leak(
    small: psycopg.Connection, database: Target, settings: Settings, fault: Fault
) -> None:
    small.execute(fault.plant.encode())
    own = SETTING.settings(settings)
    if "set_org" in fault.plant:
        tenancy = own.tenancy.model_copy(update={"set_tenant": "SELECT shop.set_org(%s)"})
        own = own.model_copy(update={"tenancy": tenancy})
    results = _attack(database, own)
    assert {name for name, r in results.items() if r.verdict == "leak"} == fault.probes, results


def test_an_empty_table_proves_nothing(
    small: psycopg.Connection, database: Target, settings: Settings
) -> None:
    small.execute(f"DELETE FROM shop.line; DELETE FROM {ITEM}")
    results = _attack(database, SETTING.settings(settings))
    refused = {"truncate"}  # whatever a table holds, who may not truncate is refused
    assert {name for name, r in results.items() if r.verdict != "vacuous"} == refused


def test_the_reference_schema_holds_and_nothing_is_left_behind(
    platform: Target, copy_of: Callable[[Target], Target], settings: Settings
) -> None:
    copy = copy_of(platform)
    query = "SELECT * FROM user_mgmt.user_account ORDER BY 1, 2"
    security = "SELECT oid, relrowsecurity, relforcerowsecurity FROM pg_class ORDER BY 1"
    with psycopg.connect(copy.admin, autocommit=True) as connection:
        for slug in ("one", "two"):
            add_account(connection, add_tenant(connection, slug), "ada")
        before = [connection.execute(q).fetchall() for q in (query, security)]
        found = isolation.check(copy, settings)
        assert [connection.execute(q).fetchall() for q in (query, security)] == before
    results = {r.probe: r for r in found if r.object == "user_mgmt.user_account"}
    assert set(results) == set(attempts())
    assert {result.verdict for result in results.values()} == {"held"}, results
    assert [result for result in found if result.verdict in ("leak", "weak")] == []


def test_two_tenants_are_needed(platform: Target, settings: Settings) -> None:
    with pytest.raises(UsageError, match="run harness fill"):
        isolation.check(platform, settings)


def test_an_admin_whom_row_security_holds_is_told_so(
    small: psycopg.Connection, database: Target, settings: Settings
) -> None:
    small.execute("GRANT SELECT ON ALL TABLES IN SCHEMA shop TO app_user")
    as_app = Target(database.app, database.app, database.app)
    with pytest.raises(UsageError, match="app_user sees 0 tenants, for row security holds"):
        isolation.check(as_app, SETTING.settings(settings), name_of(database))


def test_tenants_are_found_where_no_table_lists_them(
    small: psycopg.Connection, database: Target, settings: Settings
) -> None:
    small.execute("DROP TABLE shop.org")
    own = SETTING.settings(settings)
    attacked = isolation.attacked(database, own)
    assert (attacked.attacker, attacked.victim) == (SETTING.own, SETTING.other)
    assert {r.verdict for r in _attack(database, own).values()} == {"held"}


NUMBERED = """
CREATE SCHEMA shop;
GRANT USAGE ON SCHEMA shop TO app_user;
CREATE TABLE shop.org (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL DEFAULT 'x'
);
ALTER TABLE shop.org ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON shop.org USING (id = nullif(current_setting('shop.org', true), '')::bigint);
GRANT SELECT, INSERT, UPDATE, DELETE ON shop.org TO app_user;
INSERT INTO shop.org DEFAULT VALUES;
INSERT INTO shop.org DEFAULT VALUES;
"""


@pytest.mark.parametrize(
    ("change", "leaks"),
    [("", set()), ("ALTER TABLE shop.org DISABLE ROW LEVEL SECURITY", {"update", "merge"})],
    ids=["sound", "open"],
)
def test_a_tenant_whom_postgresql_numbers_is_attacked_by_what_can_be_written(
    database: Target, settings: Settings, change: str, leaks: set[str]
) -> None:
    with psycopg.connect(database.admin, autocommit=True) as connection:
        connection.execute(f"{NUMBERED}{change}".encode())
    tenancy = Tenancy(
        column="org_id",
        type="bigint",
        root_table="shop.org",
        setting="shop.org",
        set_tenant="SELECT set_config('shop.org', %s::text, true)",
    )
    own = settings.model_copy(update={"tenancy": tenancy})
    found = {r.probe: r for r in isolation.check(database, own, name_of(database))}
    results = {name: r.verdict for name, r in found.items() if r.object == "shop.org"}
    leaking = {name for name, verdict in results.items() if verdict == "leak"}
    assert leaking & {"update", "merge", "move"} == leaks
    assert "error" not in results.values(), found
    assert results["move"] == "held"


def test_somebody_elses_database_is_not_attacked(database: Target, settings: Settings) -> None:
    with psycopg.connect(database.admin) as connection:
        connection.execute("CREATE TABLE precious (id integer)")
    with pytest.raises(RefusedError, match="left alone"):
        isolation.check(database, settings)


def test_one_table_is_attacked_alone(
    small: psycopg.Connection, database: Target, settings: Settings
) -> None:
    wanted, name = SETTING.settings(settings), small.info.dbname
    found = isolation.check(database, wanted, name, tables=[ITEM])
    assert {(r.object, r.probe) for r in found} == {(ITEM, probe) for probe in attempts()}
    with pytest.raises(UsageError, match=r"has no table shop\.nothing that keeps tenants apart"):
        isolation.check(database, wanted, name, tables=[ITEM, "shop.nothing"])
