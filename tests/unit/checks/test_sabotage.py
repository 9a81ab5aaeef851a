"""A reader that skips what it does not know would pass each of these: none may go unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks import static
from harness.config import Settings

GOOD = Path(__file__).with_name("good.sql").read_text(encoding="utf-8")
PARTITION = "ALTER TABLE tenant_mgmt.visit_default"
POLICY = "(business_id = tenant_mgmt.current_business_id())"

# What is replaced, what by, and the rule that must notice, at the line of the mark "<<".
REPLACED = {
    "not enabled": ("ENABLE ROW LEVEL SECURITY, FORCE", "FORCE", "RLS001"),
    "not forced": (", FORCE ROW LEVEL SECURITY", "", "RLS002"),
    "no policy": (f"CREATE POLICY tenant_isolation ON tenant_mgmt.business\n    USING {POLICY};",
                  "", "RLS003"),
    "partition not forced": (f"{PARTITION} ENABLE ROW LEVEL SECURITY, FORCE",
                             f"{PARTITION} ENABLE", "RLS002"),
    "partition unprotected": (f"{PARTITION} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;",
                              "", "RLS001"),
    "policy for a role": ("business\n    USING", "business TO app_user USING", "POL010"),
    "policy for select": ("business\n    USING", "business FOR SELECT USING", "POL010"),
    "policy with OR": (POLICY, f"{POLICY[:-1]} OR true)", "POL001"),
    "policy of another column": (POLICY, POLICY.replace("business_id =", "visit_id ="), "POL010"),
    "policy with a check": (POLICY, f"{POLICY} WITH CHECK (true)", "POL002"),
    "policy with a subquery": (POLICY, "(business_id IN (SELECT business_id"
                               " FROM tenant_mgmt.business))", "CIT002"),
    "restrictive": ("business\n    USING", "business AS RESTRICTIVE USING", "CIT001"),
    "inline foreign key": ("email       tenant_mgmt.email,",
                           "email uuid REFERENCES tenant_mgmt.business ON DELETE SET NULL,",
                           "ORA003"),
    "inline unique": ("email       tenant_mgmt.email,", "email text UNIQUE,", "ORA001"),
    "tenant as text": ("business_id uuid        NOT NULL", "business_id text NOT NULL", "TEN002"),
    "tenant nullable": ("GRANT SELECT, INSERT ON",
                        "ALTER TABLE tenant_mgmt.business ALTER business_id DROP NOT NULL;\nGRANT"
                        " SELECT, INSERT ON", "TEN003"),
    "tenant renamed": ("business_id uuid        NOT NULL", "tenant_id uuid NOT NULL", "SRC004"),
    "grant all": ("GRANT SELECT, INSERT ON", "GRANT ALL ON", "PRV001"),
    "grant to all": ("DELETE ON tenant_mgmt.visit TO app_user",
                     "DELETE ON tenant_mgmt.visit TO app_user, PUBLIC", "PRV003"),
    "plain view": (" WITH (security_invoker = true)", "", "BYP001"),
    "view as its owner": ("security_invoker = true", "security_invoker = false", "BYP001"),
    "published view unfiltered": ("WHERE c.business_id = tenant_mgmt.current_business_id()",
                                  "WHERE true", "BYP001"),
    "open search path": (" SET search_path = pg_catalog, pg_temp", "", "BYP004"),
    "executable by all": ("REVOKE EXECUTE ON FUNCTION tenant_mgmt.count_all() FROM PUBLIC;", "",
                          "BYP003"),
    "immutable tenant": ("STABLE PARALLEL SAFE", "IMMUTABLE PARALLEL SAFE", "POL008"),
    "fallback tenant": ("RETURN current_setting('app.business_id')::uuid;",
                        "RETURN coalesce(current_setting('app.business_id', true), 'x')::uuid;",
                        "POL004"),
    "other setting": ("'app.business_id'", "'app.user_id'", "POL006"),
    "leakproof": ("STABLE PARALLEL SAFE", "STABLE LEAKPROOF", "BYP007"),
    "no semicolon": ("FORCE ROW LEVEL SECURITY;\nCREATE", "FORCE ROW LEVEL SECURITY\nCREATE",
                     "SRC003"),
    "unknown view option": ("security_barrier = true", "security_definer = true", "SRC001"),
    "unknown language": ("LANGUAGE plpgsql", "LANGUAGE plpython3u", "SRC001"),
    "another function": ("system_core.create_partitions", "system_core.protect", "SRC001"),
    "partitions of a plain table": ("create_partitions('tenant_mgmt.visit'",
                                    "create_partitions('tenant_mgmt.business'", "SRC004"),
}  # fmt: skip

# Statements put at the end, and the rule that must notice at their first line.
APPENDED = {
    "disable": ("ALTER TABLE tenant_mgmt.visit DISABLE ROW LEVEL SECURITY;", "RLS001"),
    "no force": ("ALTER TABLE tenant_mgmt.visit NO FORCE ROW LEVEL SECURITY;", "RLS002"),
    "alter policy": ("ALTER POLICY tenant_isolation ON tenant_mgmt.visit USING (true);", "POL001"),
    "alter policy role": ("ALTER POLICY tenant_isolation ON tenant_mgmt.visit TO x;", "POL010"),
    "second policy": (f"CREATE POLICY p ON tenant_mgmt.visit USING {POLICY};", "POL010"),
    "disable trigger": ("ALTER TABLE tenant_mgmt.visit DISABLE TRIGGER ALL;", "SRC001"),
    "inherit": ("CREATE TABLE tenant_mgmt.v () INHERITS (tenant_mgmt.business);", "CIT004"),
    "like": ("CREATE TABLE tenant_mgmt.v (LIKE tenant_mgmt.visit INCLUDING ALL);", "RLS001"),
    "create table as": ("CREATE TABLE tenant_mgmt.v AS SELECT * FROM tenant_mgmt.visit;",
                        "RLS001"),
    "select into": ("SELECT * INTO tenant_mgmt.v FROM tenant_mgmt.visit;", "RLS001"),
    "foreign table": ("CREATE FOREIGN TABLE tenant_mgmt.v (x int) SERVER s;"
                      " GRANT SELECT ON tenant_mgmt.v TO app_user;", "BYP009"),
    "rule": ("CREATE RULE r AS ON INSERT TO tenant_mgmt.visit DO ALSO NOTIFY x;", "BYP006"),
    "publication": ("CREATE PUBLICATION p FOR ALL TABLES;", "BYP010"),
    "do": ("DO $$ BEGIN EXECUTE (SELECT x FROM y); END $$;", "SRC001"),
    "call": ("CALL tenant_mgmt.open_all();", "SRC001"),
    "set": ("SET row_security = off;", "SRC005"),
    "commit": ("COMMIT;", "SRC005"),
    "role": ("CREATE ROLE support BYPASSRLS LOGIN;", "PRV005"),
    "role granted": ("GRANT app_owner TO app_user;", "PRV007"),
    "role setting": ("ALTER ROLE app_user SET app.business_id = 'x';", "CTX002"),
    "default privileges": ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app_user;",
                           "PRV004"),
    "grant on all": ("GRANT TRUNCATE ON ALL TABLES IN SCHEMA tenant_mgmt TO app_user;", "PRV001"),
    "grant option": ("GRANT SELECT ON tenant_mgmt.visit TO app_user WITH GRANT OPTION;",
                     "SRC001"),
    "grant create": ("GRANT CREATE ON SCHEMA tenant_mgmt TO app_user;", "PRV009"),
    "grant on a partition": ("GRANT SELECT ON tenant_mgmt.visit_default TO app_user;", "RLS004"),
    "grant a materialized view": ("GRANT SELECT ON tenant_mgmt.visit_count TO app_user;",
                                  "BYP002"),
    "drop policy": ("DROP POLICY nobody ON tenant_mgmt.visit;", "SRC004"),
    "replace view": ("CREATE OR REPLACE VIEW tenant_mgmt.recent_visit AS SELECT 1 AS visit_id;",
                     "BYP001"),
    "replace function": ("CREATE OR REPLACE FUNCTION tenant_mgmt.touch() RETURNS trigger"
                         " LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_temp"
                         " AS $$ BEGIN RETURN NEW; END $$;", "BYP005"),
    "exclusion": ("ALTER TABLE tenant_mgmt.visit ADD EXCLUDE USING gist (at WITH =);", "ORA002"),
    "key using an index": ("ALTER TABLE tenant_mgmt.business ADD UNIQUE USING INDEX i;", "SRC001"),
    "concurrently": ("CREATE INDEX CONCURRENTLY i ON tenant_mgmt.visit (business_id);", "SRC005"),
    "sequence": ("CREATE SEQUENCE tenant_mgmt.number;"
                 " GRANT USAGE ON SEQUENCE tenant_mgmt.number TO app_user;", "ORA006"),
    "psql command": ("\\i more.sql", "SRC001"),
    "NUL": ("\0 DROP TABLE tenant_mgmt.visit;", "SRC001"),
    "psql execution": ("SELECT 'DROP TABLE x' \\gexec", "SRC003"),
    "table without end": ("CREATE TABLE tenant_mgmt.v (business_id uuid NOT NULL", "SRC003"),
    "open string": ("COMMENT ON TABLE tenant_mgmt.visit IS 'open;", "SRC003"),
}  # fmt: skip

# Statements put at the end that change what stands above, and the rule that then notices that.
CHANGED = {
    "drop column": ("ALTER TABLE tenant_mgmt.visit DROP COLUMN business_id;", "TEN001"),
    "rename column": ("ALTER TABLE tenant_mgmt.visit RENAME business_id TO tenant_id;", "TEN001"),
    "column type": ("ALTER TABLE tenant_mgmt.visit ALTER business_id TYPE text;", "TEN002"),
    "default": ("ALTER TABLE tenant_mgmt.visit ALTER business_id SET DEFAULT 'x';", "TEN004"),
    "drop the way to the tenant": (
        "ALTER TABLE tenant_mgmt.visit DROP CONSTRAINT visit_business_id_fkey;", "TEN005"),
    "drop policy": ("DROP POLICY tenant_isolation ON tenant_mgmt.visit;", "RLS003"),
    "alter view": ("ALTER VIEW tenant_mgmt.recent_visit SET (security_invoker = false);", "BYP001"),
    "detach": ("ALTER TABLE tenant_mgmt.visit DETACH PARTITION tenant_mgmt.visit_default;",
               "TEN005"),
    "drop the table referred to": ("DROP TABLE tenant_mgmt.business CASCADE;", "TEN007"),
}  # fmt: skip


def find(text: str, settings: Settings) -> list[tuple[str, int]]:
    """Rule and line of everything that is found."""
    findings, _ = static.judge({"good.sql": text}, settings)
    return [(f.rule, f.location.line) for f in findings if f.location]


def test_nothing_is_found_in_the_good_schema(settings: Settings) -> None:
    assert find(GOOD, settings) == []


@pytest.mark.parametrize(("old", "new", "rule"), REPLACED.values(), ids=REPLACED)
def test_a_replaced_part_is_noticed(old: str, new: str, rule: str, settings: Settings) -> None:
    assert old in GOOD
    assert rule in {found for found, _ in find(GOOD.replace(old, new, 1), settings)}


@pytest.mark.parametrize(("statement", "rule"), APPENDED.values(), ids=APPENDED)
def test_an_added_statement_is_noticed(statement: str, rule: str, settings: Settings) -> None:
    line = GOOD.count("\n") + 1
    assert (rule, line) in find(f"{GOOD}{statement}\n", settings)


def test_two_faults_are_both_noticed(settings: Settings) -> None:
    broken = GOOD.replace("USING (business_id", "USING business_id", 1)
    broken = broken.replace("ENABLE ROW LEVEL SECURITY, FORCE", "FORCE", 1)
    rules = {rule for rule, _ in find(broken, settings)}
    assert {"SRC003", "RLS001", "RLS003"} <= rules


@pytest.mark.parametrize(("statement", "rule"), CHANGED.values(), ids=CHANGED)
def test_what_a_later_statement_changes_is_noticed(
    statement: str, rule: str, settings: Settings
) -> None:
    assert rule not in {name for name, _ in find(GOOD, settings)}
    assert rule in {name for name, _ in find(f"{GOOD}{statement}\n", settings)}


def test_a_function_that_is_altered_later_is_judged_by_what_it_became(settings: Settings) -> None:
    altered = f"{GOOD}ALTER FUNCTION tenant_mgmt.touch() SECURITY DEFINER;\n"
    assert {rule for rule, _ in find(altered, settings)} == {"BYP004", "BYP005", "DOC002"}
