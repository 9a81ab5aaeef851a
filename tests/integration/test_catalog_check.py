"""The catalog check: nothing in a sound database, each planted fault by the rule that names it.

Faults are planted in a transaction of the connection that looks for them, and rolled back.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from checks import catalog, static
from checks.policy import server, symbolic
from checks.policy.question import Context, Question, Tenants, ask
from harness.catalog import live
from harness.catalog.model import Name
from harness.config import Settings
from harness.db import Connection, Target
from harness.finding import Finding, Severity

TABLE = "user_mgmt.user_account"
TENANT = "tenant_mgmt.current_business_id()"
SETTING = "current_setting('app.business_id', true)"


def policy(using: str, rest: str = "") -> str:
    """The tenant's policy with another predicate."""
    return (
        f"DROP POLICY tenant_isolation ON {TABLE};"
        f"CREATE POLICY tenant_isolation ON {TABLE} USING ({using}) {rest}"
    )


FAULTS = {
    "row security off": (f"ALTER TABLE {TABLE} DISABLE ROW LEVEL SECURITY", "RLS001"),
    "not forced": (f"ALTER TABLE {TABLE} NO FORCE ROW LEVEL SECURITY", "RLS002"),
    "no policy": (f"DROP POLICY tenant_isolation ON {TABLE}", "RLS003"),
    "owned by the application": (f"ALTER TABLE {TABLE} OWNER TO app_user", "RLS005"),
    "true": (policy("true"), "POL001"),
    "tautology": (policy("business_id = business_id"), "POL001"),
    "not null": (policy("business_id IS NOT NULL"), "POL001"),
    "in": (policy("business_id IN (SELECT b.business_id FROM user_mgmt.user_account AS b)"),
           "POL011"),
    "second policy": (f"CREATE POLICY p ON {TABLE} FOR SELECT USING (status = 'active')",
                      "POL001"),
    "or": (policy(f"mfa_required OR business_id = {TENANT}"), "POL001"),
    "check true": (policy(f"business_id = {TENANT}", "WITH CHECK (true)"), "POL002"),
    "check of another column": (
        policy(f"business_id = {TENANT}", "WITH CHECK (username IS NOT NULL)"), "POL002"),
    "insert open": (f"CREATE POLICY p ON {TABLE} FOR INSERT WITH CHECK (true)", "POL002"),
    "blind update": (f"CREATE POLICY p ON {TABLE} FOR UPDATE USING (true)", "POL001"),
    "open without a tenant": (
        policy(f"{SETTING} IS NULL OR business_id = nullif({SETTING}, '')::uuid"), "POL004"),
    "open by coalesce": (policy(f"business_id = coalesce(nullif({SETTING}, '')::uuid,"
                                " business_id)"), "POL004"),
    "empty text": (policy(f"business_id = {SETTING}::uuid"), "POL005"),
    "other setting": (policy("business_id = nullif(current_setting('app.org', true), '')::uuid"),
                      "POL006"),
    "user": (policy("username = current_user"), "POL006"),
    "restrictive for another role": (
        f"DROP POLICY tenant_isolation ON {TABLE};"
        f"CREATE POLICY f ON {TABLE} AS RESTRICTIVE TO pg_monitor USING (business_id = {TENANT});"
        f"CREATE POLICY p ON {TABLE} USING (true)", "POL001"),
    "nullable tenant": (f"ALTER TABLE {TABLE} DROP CONSTRAINT user_account_pkey CASCADE;"
                        f"ALTER TABLE {TABLE} ALTER business_id DROP NOT NULL;"
                        + policy(f"business_id = {TENANT} OR business_id IS NULL"), "POL003"),
    "forgeable membership": (
        "CREATE TABLE user_mgmt.m (business_id uuid); GRANT INSERT ON user_mgmt.m TO app_user;"
        + policy("business_id IN (SELECT m.business_id FROM user_mgmt.m AS m)"), "POL007"),
    "name capture": (
        "CREATE TABLE user_mgmt.m (business_id uuid);"
        + policy("EXISTS (SELECT FROM user_mgmt.m WHERE m.business_id = business_id)"), "POL009"),
    "called for every row": (
        "CREATE FUNCTION user_mgmt.t() RETURNS uuid LANGUAGE plpgsql STABLE AS"
        f" 'BEGIN RETURN {TENANT}; END';" + policy("business_id = user_mgmt.t()"), "PRF002"),
    "cast": (policy(f"business_id::text = {TENANT}::text"), "PRF003"),
    "immutable context": ("ALTER FUNCTION tenant_mgmt.current_business_id() IMMUTABLE", "POL008"),
    "constant tenant": (f"ALTER TABLE {TABLE} ALTER business_id SET DEFAULT"
                        " '00000000-0000-0000-0000-000000000001'", "TEN004"),
    "unique": (f"CREATE UNIQUE INDEX ON {TABLE} (username)", "ORA001"),
    "sequence": ("CREATE SEQUENCE user_mgmt.s; GRANT USAGE ON SEQUENCE user_mgmt.s TO app_user",
                 "ORA006"),
    "plain view": (f"CREATE VIEW user_mgmt.v AS SELECT * FROM {TABLE}", "BYP001"),
    "materialized view": (f"CREATE MATERIALIZED VIEW user_mgmt.v AS SELECT * FROM {TABLE};"
                          "GRANT SELECT ON user_mgmt.v TO app_user", "BYP002"),
    "definer function": (
        "CREATE FUNCTION user_mgmt.f() RETURNS bigint LANGUAGE sql SECURITY DEFINER"
        f" SET search_path = pg_catalog, pg_temp RETURN (SELECT count(*) FROM {TABLE})", "BYP003"),
    "rule": (f"CREATE RULE r AS ON INSERT TO {TABLE} DO ALSO NOTIFY x", "BYP006"),
    "leakproof": ("CREATE FUNCTION user_mgmt.f(text) RETURNS boolean LANGUAGE sql LEAKPROOF"
                  " RETURN $1 = 'x'", "BYP007"),
    "foreign table": ("CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
                      "CREATE FOREIGN TABLE user_mgmt.f (x integer) SERVER s;"
                      "GRANT SELECT ON user_mgmt.f TO app_user", "BYP009"),
    "publication": (f"CREATE PUBLICATION p FOR TABLE {TABLE}", "BYP010"),
    "large object": (f"ALTER TABLE {TABLE} ADD photo oid", "BYP011"),
    "tenant of a role": ("ALTER ROLE app_user SET app.business_id = 'x'", "CTX002"),
    "truncate": (f"GRANT TRUNCATE ON {TABLE} TO app_user", "PRV001"),
    "references": (f"GRANT REFERENCES ON {TABLE} TO app_user", "PRV002"),
    "public": (f"GRANT SELECT ON {TABLE} TO PUBLIC", "PRV003"),
    "default privileges": ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC", "PRV004"),
    "bypass": ("CREATE ROLE harness_test_r LOGIN BYPASSRLS;"
               f"GRANT SELECT ON {TABLE} TO harness_test_r", "PRV005"),
    "may become bypass": ("GRANT harness_loader TO app_user", "PRV006"),
    "member of the owner": ("GRANT app_owner TO app_user", "PRV007"),
    "predefined role": ("GRANT pg_read_server_files TO app_user", "PRV008"),
    "create on schema": ("GRANT CREATE ON SCHEMA user_mgmt TO app_user", "PRV009"),
    "inherits": (f"CREATE TABLE user_mgmt.c () INHERITS ({TABLE})", "CIT004"),
}  # fmt: skip


@pytest.fixture
def planting(platform: Target) -> Iterator[Connection]:
    """A new connection to the platform's schema, rolled back at the end."""
    with psycopg.connect(platform.admin) as connection:
        yield connection
        connection.rollback()


def grave(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is not Severity.INFO]


def test_nothing_is_found_in_the_reference_schema(deployed: Target, settings: Settings) -> None:
    findings, found = catalog.check(deployed, settings)
    assert findings == []
    assert len(found.tables) > 1000


@pytest.mark.parametrize(("plant", "rule"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found(
    planting: Connection, settings: Settings, plant: str, rule: str
) -> None:
    planting.execute(plant.encode())
    findings, _ = catalog.judge(planting, settings)
    assert rule in {finding.rule for finding in findings}


def test_what_files_and_database_both_show_is_shown_once(
    planting: Connection, settings: Settings
) -> None:
    planting.execute(f"ALTER TABLE {TABLE} DISABLE ROW LEVEL SECURITY")
    found, _ = catalog.judge(planting, settings)
    text = (
        "CREATE SCHEMA user_mgmt; CREATE TABLE user_mgmt.user_account (business_id uuid NOT NULL);"
    )
    written, _ = static.judge({"x.sql": text}, settings)
    merged = [f for f in catalog.merge([*written, *found]) if f.rule == "RLS001"]
    assert [str(finding.location) for finding in merged] == ["x.sql:1"]


EXPRESSIONS = (
    f"business_id = {TENANT}",
    f"(SELECT {TENANT}) = business_id",
    f"business_id = {SETTING}::uuid",
    f"business_id = nullif({SETTING}, '')::uuid",
    f"business_id::text = {SETTING}",
    f"business_id IS NOT DISTINCT FROM nullif({SETTING}, '')::uuid",
    f"{SETTING} IS NULL OR business_id = nullif({SETTING}, '')::uuid",
    f"{SETTING} = '' OR business_id::text = {SETTING}",
    f"business_id = coalesce(nullif({SETTING}, '')::uuid, business_id)",
    f"NOT business_id <> {TENANT}",
    f"business_id IN ({TENANT})",
    f"business_id NOT IN ({TENANT})",
    f"(business_id = {TENANT}) IS TRUE",
    f"(business_id = {TENANT}) IS NOT FALSE",
    f"CASE WHEN business_id IS NULL THEN true ELSE business_id = {TENANT} END",
    f"mfa_required AND business_id = {TENANT}",
    f"mfa_required OR status = 'active' AND business_id = {TENANT}",
    "business_id IS NULL",
    "business_id = business_id",
    "business_id IS DISTINCT FROM user_account_id",
    f"user_account_id = {TENANT}",
    "status = 'active'",
    "true",
    "false",
    "NULL",
    "business_id = '00000000-0000-4000-8000-00000000000a'",
)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_text_and_server_agree(planting: Connection, settings: Settings, expression: str) -> None:
    tenancy = settings.tenancy
    tenants = Tenants.made_up(tenancy.type)
    table = live.read(planting).tables[Name.parse(TABLE)]
    question = ask(table, [expression], tenancy, tenants)
    assert question
    bodies = {"tenant_mgmt.current_business_id": "current_setting('app.business_id')::uuid"}
    told = symbolic.evaluate(question, bodies, settings, tenants)
    asked = server.Server(planting, settings, tenants).evaluate([question])[question]
    assert not any("unknown" in outcome for rows in told.values() for outcome in rows.values())
    assert told == asked


def test_what_text_cannot_tell_is_unknown(planting: Connection, settings: Settings) -> None:
    tenants = Tenants.made_up("uuid")
    table = live.read(planting).tables[Name.parse(TABLE)]
    question = ask(table, ["business_id = lower(username)::uuid"], settings.tenancy, tenants)
    assert isinstance(question, Question)
    told = symbolic.evaluate(question, {}, settings, tenants)
    assert set(told[Context.A].values()) == {("unknown",)}
