"""What is no table: each probe holds on a sound schema and tells a planted fault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import psycopg
import pytest

from checks import isolation
from checks.probe import registry
from harness.config import Settings
from harness.db import Target
from harness.run import ProbeResult
from tests.integration.small_schemas import SETTING
from tests.integration.spares import name_of

DEFINER = "LANGUAGE sql SECURITY DEFINER SET search_path = shop, pg_temp"
IN_PLPGSQL = DEFINER.replace("sql", "plpgsql")
SCOPED = "current_setting('shop.org')::uuid"


class Fault(NamedTuple):
    probe: str
    plant: str
    object: str
    verdict: str
    told: str


FAULTS = {
    "definer function of all rows": Fault(
        "function", f"CREATE FUNCTION shop.f() RETURNS SETOF shop.item {DEFINER}"
        " AS 'SELECT * FROM item'", "shop.f()", "leak", "the id of another tenant"),
    "definer function without the tenant in its rows": Fault(
        "function", f"CREATE FUNCTION shop.f() RETURNS TABLE (id uuid) {DEFINER}"
        " AS 'SELECT item_id FROM item'", "shop.f()", "leak", "a row of shop.item"),
    "definer function that counts": Fault(
        "function", f"CREATE FUNCTION shop.f() RETURNS bigint {DEFINER}"
        " AS 'SELECT count(*) FROM item'", "shop.f()", "leak", "it tells of them"),
    "definer function that counts through another": Fault(
        "function", "CREATE FUNCTION shop.g() RETURNS bigint LANGUAGE sql"
        " RETURN (SELECT count(*) FROM shop.item);"
        "REVOKE EXECUTE ON FUNCTION shop.g() FROM PUBLIC;"
        f"CREATE FUNCTION shop.f() RETURNS bigint {DEFINER} AS 'SELECT g()'",
        "shop.f()", "leak", "it tells of them"),
    "confused deputy": Fault(
        "function", f"CREATE FUNCTION shop.f(org_id uuid) RETURNS bigint {DEFINER}"
        " AS 'SELECT count(*) FROM item AS i WHERE i.org_id = $1'",
        "shop.f(org_id uuid)", "leak", "it tells of them"),
    "confused deputy by the id of a row": Fault(
        "function", f"CREATE FUNCTION shop.f(p_item_id uuid) RETURNS text {DEFINER}"
        " AS 'SELECT name FROM item AS i WHERE i.item_id = $1'",
        "shop.f(p_item_id uuid)", "leak", "it tells of them"),
    "function that raises": Fault(
        "function", "CREATE FUNCTION shop.f(n integer) RETURNS integer LANGUAGE plpgsql"
        " AS 'BEGIN RAISE ''no such thing''; END'",
        "shop.f(n integer)", "noted", "not called to an end: no such thing"),
    "function that gives nothing": Fault(
        "function", "CREATE FUNCTION shop.f(n text) RETURNS SETOF shop.item LANGUAGE sql"
        " AS 'SELECT * FROM shop.item WHERE name = n || n'",
        "shop.f(n text)", "noted", "gave nothing"),
    "trigger that copies": Fault(
        "trigger", f"CREATE FUNCTION shop.copy() RETURNS trigger {IN_PLPGSQL}"
        " AS 'BEGIN NEW.name := (SELECT string_agg(i.name, '','') FROM item AS i); RETURN NEW;"
        " END'; CREATE TRIGGER copy BEFORE INSERT ON shop.item FOR EACH ROW"
        " EXECUTE FUNCTION shop.copy()", "shop.item", "leak", "it tells of them"),
    "open view": Fault(
        "view", "CREATE VIEW shop.v AS SELECT * FROM shop.item; GRANT SELECT ON shop.v TO PUBLIC",
        "shop.v", "leak", "shows 3 rows of another tenant"),
    "partition by name": Fault(
        "partitions", "CREATE TABLE shop.p (org_id uuid) PARTITION BY HASH (org_id);"
        "CREATE TABLE shop.p0 PARTITION OF shop.p FOR VALUES WITH (MODULUS 1, REMAINDER 0);"
        "GRANT SELECT ON shop.p0 TO app_user", "shop.p", "leak", "open by name: shop.p0"),
    "sequence": Fault(
        "sequence", "CREATE SEQUENCE shop.s; GRANT ALL ON SEQUENCE shop.s TO app_user",
        "shop.s", "noted", "tells how much all tenants wrote: 1; nextval"),
    "large object": Fault(
        "large_object", "ALTER TABLE shop.item ADD photo oid;"
        "SET ROLE app_user; SELECT lo_from_bytea(4711, 'x'); RESET ROLE;"
        "UPDATE shop.item SET photo = 4711 WHERE org_id::text LIKE '%b'",
        "shop.item", "leak", "photo of another tenant's row can be read"),
    "large objects to come": Fault(
        "large_object", "ALTER TABLE shop.item ADD photo oid",
        "shop.item", "leak", "that another tenant stores can be read"),
    "unique": Fault(
        "duplicate_key", "UPDATE shop.item SET name = item_id::text;"
        "ALTER TABLE shop.item ADD CONSTRAINT one_name UNIQUE (name)",
        "shop.item", "weak", "(name) of another tenant is refused as taken: one_name"),
    "exclusion": Fault(
        "duplicate_key", "ALTER TABLE shop.item ADD days int4range;"
        "WITH n AS (SELECT item_id, row_number() OVER () AS at FROM shop.item)"
        "UPDATE shop.item AS i SET days = int4range(at::int, at::int + 1) FROM n"
        " WHERE n.item_id = i.item_id;"
        "ALTER TABLE shop.item ADD CONSTRAINT no_overlap EXCLUDE USING gist (days WITH &&)",
        "shop.item", "weak", "no_overlap"),
    "unique in the root table": Fault(
        "duplicate_key", "ALTER TABLE shop.org ADD slug text UNIQUE;"
        "UPDATE shop.org SET slug = id::text", "shop.org", "weak", "(slug) of another tenant"),
    "unique where nothing may be changed": Fault(
        "duplicate_key", "ALTER TABLE shop.org ADD slug text UNIQUE;"
        "UPDATE shop.org SET slug = id::text; REVOKE UPDATE ON shop.org FROM app_user",
        "shop.org", "noted", "a key of this tenant refused it first: org_pkey"),
    "foreign key without the tenant": Fault(
        "foreign_key", "ALTER TABLE shop.item ADD UNIQUE (item_id);"
        "ALTER TABLE shop.line DROP CONSTRAINT line_org_id_item_id_fkey;"
        "ALTER TABLE shop.line ADD FOREIGN KEY (item_id) REFERENCES shop.item (item_id)",
        "shop.line", "leak", "(item_id) may refer to a row of another tenant"),
    "notification of rows": Fault(
        "notification", "CREATE FUNCTION shop.tell() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_notify(''items'', NEW.name || NEW.item_id); RETURN NULL; END';"
        "CREATE TRIGGER tell AFTER UPDATE ON shop.item FOR EACH ROW EXECUTE FUNCTION shop.tell()",
        "shop.item", "weak", "every role hears values of another tenant's row"),
    "notification of nothing": Fault(
        "notification", "CREATE FUNCTION shop.tell() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_notify(''items'', ''look''); RETURN NULL; END';"
        "CREATE TRIGGER tell AFTER INSERT ON shop.item FOR EACH ROW EXECUTE FUNCTION shop.tell()",
        "shop.item", "noted", "1 payloads hold nothing of the row"),
    "open after DISCARD ALL": Fault(
        "reset", "CREATE POLICY o ON shop.item USING (current_setting('shop.org', true) = '')",
        "shop.item", "leak", "after DISCARD ALL, read 6 rows"),
    "no index on the tenant": Fault(
        "index_use", "ALTER TABLE shop.line DROP CONSTRAINT line_pkey; INSERT INTO shop.line"
        " SELECT org_id, line_id, item_id, n FROM shop.line, generate_series(1, 2000) AS n;"
        "ANALYZE shop.line", "shop.line", "weak", "Seq Scan without an index condition on org_id"),
    "two init plans": Fault(
        "index_use", "INSERT INTO shop.line SELECT org_id, gen_random_uuid(), item_id, n"
        " FROM shop.line, generate_series(1, 2000) AS n; ANALYZE shop.line;"
        f"ALTER POLICY p ON shop.line USING (org_id = (SELECT {SCOPED})"
        f" AND (SELECT {SCOPED} IS NOT NULL))", "shop.line", "weak", "2 InitPlans"),
}  # fmt: skip


@pytest.fixture
def small(database: Target) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.admin, autocommit=True) as connection:
        SETTING.create(connection)
        yield connection


def survey(probe: str, database: Target, settings: Settings) -> dict[str, ProbeResult]:
    """Results of a probe, by object."""
    found = registry()[probe].survey
    assert found
    with isolation.ground(database, SETTING.settings(settings), name_of(database)) as ground:
        return {result.object: result for result in found(ground)}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_told(
    small: psycopg.Connection, database: Target, settings: Settings, fault: Fault
) -> None:
    before = survey(fault.probe, database, settings)
    assert {result.verdict for result in before.values()} <= {"held"}
    small.execute(fault.plant.encode())
    result = survey(fault.probe, database, settings)[fault.object]
    assert (result.verdict, fault.told in result.detail) == (fault.verdict, True), result


SOUND = {
    "definer function of the own tenant": (
        "function", f"CREATE FUNCTION shop.f() RETURNS SETOF shop.item {DEFINER}"
        f" AS $$SELECT * FROM item WHERE org_id = {SCOPED}$$"),
    "definer function that refuses": (
        "function", f"CREATE FUNCTION shop.f(org_id uuid) RETURNS bigint {DEFINER} AS $$"
        f"SELECT count(*) FROM item AS i WHERE i.org_id = $1 AND $1 = {SCOPED}$$"),
    "function that gives back what it is given": (
        "function", "CREATE FUNCTION shop.f(org_id uuid) RETURNS uuid LANGUAGE sql RETURN org_id"),
    "function that sets the tenant": (
        "function", "CREATE FUNCTION shop.f(org_id uuid) RETURNS text LANGUAGE sql"
        " RETURN set_config('shop.org', org_id::text, false)"),
    "procedure": (
        "function", "CREATE PROCEDURE shop.f(INOUT n integer) LANGUAGE plpgsql"
        " AS 'BEGIN n := n + 1; END'"),
    "trigger that reads the own tenant": (
        "trigger", f"CREATE FUNCTION shop.copy() RETURNS trigger {IN_PLPGSQL}"
        f" AS $$BEGIN NEW.name := (SELECT count(*) FROM item WHERE org_id = {SCOPED}); RETURN NEW;"
        " END$$; CREATE TRIGGER copy BEFORE UPDATE ON shop.item FOR EACH ROW"
        " EXECUTE FUNCTION shop.copy()"),
    "invoker's view": (
        "view", "CREATE VIEW shop.v WITH (security_invoker) AS SELECT * FROM shop.item;"
        "GRANT SELECT ON shop.v TO PUBLIC"),
    "sequence of the owner": ("sequence", "CREATE SEQUENCE shop.s"),
    "key with the tenant": ("duplicate_key", "ALTER TABLE shop.item ADD UNIQUE (name, org_id)"),
}  # fmt: skip


@pytest.mark.parametrize(("probe", "plant"), SOUND.values(), ids=SOUND)
def test_what_is_sound_holds(
    small: psycopg.Connection, database: Target, settings: Settings, probe: str, plant: str
) -> None:
    small.execute(plant.encode())
    results = survey(probe, database, settings)
    assert {result.verdict for result in results.values()} == {"held"}, results


@pytest.mark.parametrize("probe", ["held_cursor", "temp_table", "activity", "size"])
def test_what_postgresql_does_by_design_is_noted(
    small: psycopg.Connection, database: Target, settings: Settings, probe: str
) -> None:
    small.execute("ANALYZE")
    (result,) = survey(probe, database, settings).values()
    assert result.verdict == "noted", result


def test_no_temporary_table_is_kept_where_none_may_be_made(
    small: psycopg.Connection, database: Target, settings: Settings
) -> None:
    small.execute(f"REVOKE TEMPORARY ON DATABASE {name_of(database)} FROM PUBLIC".encode())
    (result,) = survey("temp_table", database, settings).values()
    assert result.verdict == "held"


def test_what_writes_is_called_only_in_the_harness_own_database(
    small: psycopg.Connection, database: Target, settings: Settings
) -> None:
    small.execute(
        "CREATE SEQUENCE shop.s; GRANT USAGE ON SEQUENCE shop.s TO app_user;"
        "CREATE FUNCTION shop.f() RETURNS bigint LANGUAGE sql RETURN nextval('shop.s')"
    )
    result = survey("function", database, settings)["shop.f()"]
    assert (result.verdict, "read-only" in result.detail) == ("noted", True)
    assert small.execute("SELECT is_called FROM shop.s").fetchone() == (False,)


def test_a_foreign_table_shows_all_tenants(
    small: psycopg.Connection, database: Target, settings: Settings
) -> None:
    port = small.info.port
    small.execute(
        "CREATE EXTENSION postgres_fdw;"
        "CREATE SERVER itself FOREIGN DATA WRAPPER postgres_fdw"
        f" OPTIONS (host '{small.info.host}', port '{port}', dbname '{name_of(database)}');"
        "CREATE USER MAPPING FOR app_user SERVER itself"
        " OPTIONS (user 'postgres', password_required 'false');"
        "CREATE FOREIGN TABLE shop.remote (org_id uuid) SERVER itself"
        " OPTIONS (schema_name 'shop', table_name 'item')"
    )
    assert survey("foreign_table", database, settings)["shop.remote"].verdict == "held"
    small.execute("GRANT SELECT ON shop.remote TO app_user")
    result = survey("foreign_table", database, settings)["shop.remote"]
    assert (result.verdict, result.detail) == ("leak", "shows 3 rows of another tenant")


def test_a_table_without_the_tenant_is_open_when_two_tenants_see_the_same_row(
    small: psycopg.Connection, database: Target, settings: Settings
) -> None:
    small.execute(
        "CREATE TABLE shop.note (item_id uuid, text text);"
        "INSERT INTO shop.note SELECT item_id, name FROM shop.item;"
        "GRANT SELECT ON shop.note TO app_user;"
        "ALTER TABLE shop.note ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY p ON shop.note"
        " USING (EXISTS (SELECT FROM shop.item AS i WHERE i.item_id = note.item_id))"
    )

    def attacked() -> ProbeResult:
        results = isolation.check(database, SETTING.settings(settings), name_of(database))
        (result,) = [result for result in results if result.object == "shop.note"]
        return result

    assert attacked().verdict == "held"
    small.execute("ALTER TABLE shop.note DISABLE ROW LEVEL SECURITY")
    assert (attacked().verdict, "6 rows in common" in attacked().detail) == ("leak", True)
