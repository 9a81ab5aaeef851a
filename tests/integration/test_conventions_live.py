"""Schemas of other conventions on a live database: what PostgreSQL says of their policies, and
that files and database are read alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import sql

from checks import catalog, drift
from checks.attempt import Session
from harness.catalog import files, live_source
from harness.config import Roles, Settings, Tenancy
from harness.db import Connection, Target, connect
from harness.errors import UsageError

ROLES = ("conv_app", "conv_a", "conv_b")
SCHEMA = """
CREATE TYPE "Kind" AS ENUM ('open', 'closed');
CREATE TABLE org (id text PRIMARY KEY, db_user text UNIQUE);
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT ON TABLES TO conv_app;
CREATE TABLE item (
    "itemId" bigserial, org_id varchar(20) NOT NULL REFERENCES org, kind "Kind", at timestamp,
    PRIMARY KEY ("itemId"), UNIQUE ("itemId")
);
CREATE INDEX ON item ("itemId", (lower(org_id)));
DO $$ DECLARE t text; BEGIN
    FOREACH t IN ARRAY ARRAY['item', 'org'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        IF NOT EXISTS (SELECT FROM pg_policies WHERE tablename = t) AND t = 'item' THEN
            EXECUTE format('CREATE POLICY %I ON %I USING (__USING__)', t || '_own', t);
        END IF;
    END LOOP;
END $$;
GRANT SELECT ON org TO conv_app;
CREATE POLICY own ON org USING (db_user = current_user);
INSERT INTO org VALUES ('oa', 'conv_a'), ('ob', 'conv_b');
CREATE FUNCTION told(n varchar(9)) RETURNS text LANGUAGE sql STABLE AS 'SELECT n';
ALTER FUNCTION told SECURITY DEFINER;
CREATE RULE kept AS ON DELETE TO org DO INSTEAD NOTHING;
CREATE RULE copied AS ON UPDATE TO org DO ALSO
    INSERT INTO org VALUES (OLD.id, OLD.db_user) ON CONFLICT DO NOTHING;
"""
BY_ROLE: dict[str, Any] = {
    "by_role": True,
    "set_tenant": "SELECT set_config('role', %s, true)",
    "examples": ("oa", "ob"),
    "identities": ("conv_a", "conv_b"),
}
BY_CLAIM: dict[str, Any] = {
    "setting": "request.jwt.claims",
    "claim": "app.org",
    "set_tenant": "SELECT set_config('request.jwt.claims',"
    " json_build_object('app', json_build_object('org', %s::text))::text, true)",
}
CLAIM = "nullif(current_setting(''request.jwt.claims'', true), '''')::jsonb -> ''app'' ->> ''org''"
MEMBER = "org_id = (SELECT id FROM org WHERE db_user = current_user)"


@pytest.fixture
def empty(database: Target) -> Iterator[Connection]:
    """A connection to an empty database; roles go with its transaction."""
    with connect(database.admin) as connection:
        for role in ROLES:
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        connection.execute("GRANT conv_app TO conv_a, conv_b")
        yield connection
        connection.rollback()


def written(using: str) -> str:
    """The schema with a policy on its items."""
    return SCHEMA.replace("__USING__", using)


def judged(
    connection: Connection, using: str, tenancy: dict[str, Any], first: str = "oa"
) -> set[str]:
    """The rules on policies that find something in the schema, where the first tenant is this."""
    connection.execute(written(using).replace("'oa'", f"'{first}'").encode())
    settings = Settings(
        tenancy=Tenancy(
            column="org_id", type="character varying(20)", root_table="public.org", **tenancy
        ),
        roles=Roles(app="conv_app", readonly="conv_app"),
    )
    findings, _ = catalog.judge(connection, settings)
    wanted = ("POL001", "POL002", "POL004", "POL006", "POL011")
    return {f.rule for f in findings if f.rule in wanted and f.object == "public.item"}


@pytest.mark.parametrize(
    ("using", "tenancy", "rules"),
    [
        (MEMBER, BY_ROLE, set()),
        (f"{MEMBER} OR kind = ''open''", BY_ROLE, {"POL001", "POL002", "POL004"}),
        (MEMBER, {**BY_ROLE, "identities": ("conv_b", "conv_a")}, {"POL001", "POL002", "POL011"}),
        (f"org_id = {CLAIM}", BY_CLAIM, set()),
        (f"org_id = {CLAIM} OR at < now()", BY_CLAIM, {"POL001", "POL002", "POL004"}),
        ("org_id = current_user", BY_CLAIM, {"POL006"}),
        ("org_id IN (SELECT id FROM org WHERE db_user = ''x'')", BY_CLAIM, {"POL011"}),
    ],
)
def test_postgresql_judges_policies_of_other_conventions(
    empty: Connection, using: str, tenancy: dict[str, Any], rules: set[str]
) -> None:
    assert judged(empty, using, tenancy) == rules


def test_a_tenant_whose_key_begins_as_that_of_another_is_another(empty: Connection) -> None:
    tenancy = {"setting": "app.org", "set_tenant": "SELECT set_config('app.org', %s, true)"}
    alike = "org_id LIKE nullif(current_setting(''app.org'', true), '''') || ''%%''"
    assert judged(empty, alike, tenancy) == {"POL001", "POL002"}


def test_a_tenant_of_any_type_is_set_as_the_setting_holds_it(empty: Connection) -> None:
    tenancy = Tenancy(type="integer", set_tenant="SELECT set_config('app.org', %s, true)")
    Session(empty, tenancy).work_for(7)
    assert empty.execute("SELECT current_setting('app.org')").fetchone() == ("7",)


FALLBACK = """
CREATE FUNCTION own_org() RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
DECLARE own text := nullif(current_setting('app.org', true), '');
BEGIN
    IF own IS NULL THEN
        SELECT id INTO own FROM org ORDER BY id DESC LIMIT 1;
    END IF;
    RETURN own;
END $$;
"""


@pytest.mark.parametrize(
    ("examples", "first", "rules"),
    [(None, "oa", {"POL011"}), (("oa", "ob"), "oa", {"POL004"}), (None, "tenant", {"POL004"})],
    ids=["made up", "named", "made up and there"],
)
def test_what_depends_on_rows_is_decided_by_tenants_that_exist_alone(
    empty: Connection, examples: tuple[str, str] | None, first: str, rules: set[str]
) -> None:
    empty.execute(FALLBACK)
    tenancy = {"setting": "app.org", "set_tenant": "SELECT set_config('app.org', %s, true)"}
    found = judged(empty, "org_id = own_org()", {**tenancy, "examples": examples}, first)
    assert found == rules


def test_a_tenant_that_cannot_be_set_is_told(empty: Connection) -> None:
    missing = {**BY_ROLE, "identities": ("nobody_a", "nobody_b")}
    with pytest.raises(UsageError, match=r'cannot be set: role "nobody_a" does not exist; set ten'):
        judged(empty, MEMBER, missing)


def test_files_and_database_are_read_alike(empty: Connection) -> None:
    text = written(MEMBER)
    empty.execute(text.encode())
    source = files.read({"f.sql": text})
    assert source.problems == ()
    held = live_source.read(empty)
    assert drift.drift(source, held, "postgres") == []
    rules = [[rule.name for rule in of.rewrite_rules] for of in (held, source)]
    assert rules == [["copied"], ["copied"]]
