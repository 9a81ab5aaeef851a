"""However a schema tells its tenants apart: a sound one holds, and a hole in it is a leak."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from checks import isolation, leak_findings
from harness.config import Settings
from harness.db import Target
from harness.finding import Severity
from harness.run import ProbeResult
from tests.integration import small_schemas
from tests.integration.small_schemas import CONVENTIONS, Convention
from tests.integration.spares import name_of


@pytest.fixture(scope="module")
def conventions(server: Target) -> Iterator[dict[str, Convention]]:
    """All of them; the roles of one of them are dropped when all databases are."""
    yield CONVENTIONS
    with psycopg.connect(server.admin, autocommit=True) as connection:
        small_schemas.drop_roles(connection)


def attack(
    convention: Convention, database: Target, settings: Settings, plant: str = ""
) -> tuple[ProbeResult, ...]:
    with psycopg.connect(database.admin, autocommit=True) as connection:
        convention.create(connection)
        connection.execute(plant.encode())
    return isolation.check(database, convention.settings(settings), name_of(database))


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_sound_schema_holds(
    conventions: dict[str, Convention], database: Target, settings: Settings, name: str
) -> None:
    results = attack(conventions[name], database, settings)
    assert [r for r in results if r.verdict not in ("held", "noted")] == []
    tables = {r.object for r in results if r.probe == "select"}
    assert tables == {"shop.org", "shop.item", "shop.line"}
    assert {f.severity for f in leak_findings.findings(results)} <= {Severity.INFO}


HOLES: dict[str, tuple[str, set[str]]] = {
    "row security off": (
        "ALTER TABLE shop.item DISABLE ROW LEVEL SECURITY",
        {"select", "copy", "insert", "update", "blind_update", "delete", "blind_delete", "merge"}
        | {"move", "prepared"},
    ),
    "writes unchecked": ("CREATE POLICY w ON shop.item FOR INSERT WITH CHECK (true)", {"insert"}),
    "truncate": ("GRANT TRUNCATE ON shop.item TO PUBLIC", {"truncate"}),
    "blind update": ("CREATE POLICY u ON shop.item FOR UPDATE USING (true)",
                     {"blind_update", "move"}),
    "blind delete": ("CREATE POLICY d ON shop.item FOR DELETE USING (true)", {"blind_delete"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVENTIONS)
@pytest.mark.parametrize("hole", HOLES)
def test_a_hole_is_a_leak(
    conventions: dict[str, Convention], database: Target, settings: Settings, name: str, hole: str
) -> None:
    plant, expected = HOLES[hole]
    results = attack(conventions[name], database, settings, plant)
    leaks = {r.probe for r in results if r.verdict == "leak" and r.object == "shop.item"}
    assert leaks - {"no_tenant", "left_over", "reset"} == expected


ODD = r"""
CREATE SCHEMA "Odd 100%";
GRANT USAGE ON SCHEMA "Odd 100%" TO app_user;
CREATE TYPE "Odd 100%"."Mood" AS ENUM ('good', '50%s');
CREATE TABLE "Odd 100%"."Thing's %s" (
    "Org Id" uuid NOT NULL, "No {x}" bigint GENERATED ALWAYS AS IDENTITY, "a""b" "Odd 100%"."Mood",
    PRIMARY KEY ("Org Id", "No {x}")
);
ALTER TABLE "Odd 100%"."Thing's %s" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON "Odd 100%"."Thing's %s" USING ("Org Id" = current_setting('shop.org')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON "Odd 100%"."Thing's %s" TO app_user;
INSERT INTO "Odd 100%"."Thing's %s" ("Org Id", "a""b")
SELECT o, '50%s' FROM unnest(array['{own}', '{other}']::uuid[]) AS o, generate_series(1, 2);
CREATE UNIQUE INDEX "one %s" ON "Odd 100%"."Thing's %s" ("No {x}");
CREATE FUNCTION "Odd 100%"."How %s?"("Org Id" uuid, "a%" "Odd 100%"."Mood") RETURNS bigint
    LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM "Odd 100%"."Thing''s %s"';
"""


def test_names_may_be_odd(database: Target, settings: Settings) -> None:
    convention = CONVENTIONS["setting"]
    plant = ODD.replace("{own}", convention.own).replace("{other}", convention.other)
    with psycopg.connect(database.admin, autocommit=True) as connection:
        convention.create(connection)
        connection.execute("DROP SCHEMA shop CASCADE")
        connection.execute(plant.encode())
    tenancy = convention.tenancy.model_copy(update={"column": "Org Id", "root_table": "no.table"})
    odd = settings.model_copy(update={"tenancy": tenancy})
    results = isolation.check(database, odd, name_of(database))
    told = {(r.probe, r.verdict) for r in results if r.verdict not in ("held", "noted")}
    assert told == {("duplicate_key", "weak"), ("function", "leak")}


def test_what_somebody_has_locked_is_unproven(database: Target, settings: Settings) -> None:
    convention = CONVENTIONS["setting"]
    with psycopg.connect(database.admin) as connection:
        convention.create(connection)
        connection.commit()
        connection.execute("LOCK TABLE shop.line IN SHARE MODE")
        results = isolation.check(database, convention.settings(settings), name_of(database))
    bad = {r.object for r in results if r.verdict not in ("held", "noted")}
    assert bad == {"shop.line"}
    assert {r.verdict for r in results if r.object == "shop.line"} == {"error"}
