"""Given a schema of some convention, fitting settings are proposed for it."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from checks.proposal import inference, toml
from harness.catalog import files
from harness.config import Roles, Settings, Tenancy

TWO = (
    "CREATE TABLE orgs (id {type} PRIMARY KEY); CREATE TABLE country (code text PRIMARY KEY);"
    "CREATE TABLE a (id int PRIMARY KEY, org_id {type} REFERENCES orgs, created_by {type});"
    "CREATE TABLE b (id int, org_id {type} REFERENCES orgs);"
    'CREATE TABLE "Line" (a int REFERENCES a);'
    "CREATE POLICY p ON a USING ({using}); CREATE POLICY p ON b USING ({using});"
)


def proposed(sql: str) -> tuple[dict[str, Any], str]:
    """The proposal, as read back, and its text. What is proposed must be settings."""
    proposal = inference.propose(files.read({"f.sql": sql}), Roles())
    assert proposal
    text = toml.render(proposal)
    read = tomllib.loads(text)
    Tenancy(**read["tenancy"])
    Settings(roles=Roles(**read["roles"]))
    return read, text


@pytest.mark.parametrize(
    ("type", "using", "expected"),
    [
        (
            "bigint",
            "org_id = (SELECT current_setting('app.org')::bigint)",
            {
                "type": "bigint",
                "setting": "app.org",
                "current_tenant": "CAST(current_setting('app.org') AS bigint)",
                "set_tenant": "SELECT set_config('app.org', %s::text, true)",
            },
        ),
        (
            "text",
            "org_id = (auth.jwt() -> 'app_metadata' ->> 'org')",
            {
                "type": "text",
                "setting": "request.jwt.claims",
                "claim": "app_metadata.org",
                "set_tenant": "SELECT set_config('request.jwt.claims',"
                " json_build_object('app_metadata',"
                " json_build_object('org', %s::text))::text, true)",
            },
        ),
        (
            "int",
            "org_id = coalesce(current_setting('app.org', true)::int, org_id)",
            {
                "setting": "app.org",
                "current_tenant": "CAST(current_setting('app.org', TRUE) AS integer)",
            },
        ),
        ("text", "(org_id)::text = CURRENT_USER", {"by_role": True}),
        (
            "uuid",
            "org_id = auth.uid()",
            {"setting": "request.jwt.claims", "claim": "sub", "current_tenant": "auth.uid()"},
        ),
    ],
)
def test_what_policies_compare_is_what_tells_the_tenant(
    type: str, using: str, expected: dict[str, Any]
) -> None:
    read, text = proposed(TWO.format(type=type, using=using))
    tenancy = read["tenancy"]
    assert (tenancy["column"], tenancy["root_table"]) == ("org_id", "public.orgs")
    assert tenancy | expected == tenancy
    assert "# in 2 of 5 tables; policies of 2 compare it." in text
    assert '# "public.country",  # reason: …' in text
    assert "# public.Line has no org_id and belongs to a tenant through public.a" in text


def test_helpers_of_the_schema_are_used_as_they_are() -> None:
    read, text = proposed(
        TWO.format(type="uuid", using="org_id = app_org()")
        + "CREATE FUNCTION inner_org() RETURNS uuid LANGUAGE sql STABLE"
        " RETURN current_setting('app.org', true)::uuid;"
        "CREATE FUNCTION app_org() RETURNS uuid LANGUAGE sql STABLE AS 'SELECT inner_org()';"
        "CREATE FUNCTION enter(org uuid) RETURNS void LANGUAGE sql"
        " AS $$ SELECT set_config('app.org', org::text, true) $$;"
    )
    assert read["tenancy"]["setting"] == "app.org"
    assert read["tenancy"]["current_tenant"] == "app_org()"
    assert read["tenancy"]["set_tenant"] == "SELECT public.enter(%s)"
    assert "enter sets app.org" in text


def test_a_membership_is_a_guess_to_be_looked_at() -> None:
    member = (
        "org_id IN (SELECT m.org_id FROM b AS m WHERE m.id::text = current_setting('app.user'))"
    )
    read, text = proposed(TWO.format(type="uuid", using=member))
    assert read["tenancy"]["column"] == "org_id"
    assert "CHECK: what policies compare org_id with on 2 of 2 tables; it asks other rows" in text


def test_without_policies_the_usual_name_counts_and_the_rest_is_a_guess() -> None:
    read, text = proposed(
        "CREATE TABLE a (id int, user_id int, tenant_id bigint); CREATE TABLE t (tenant_id bigint);"
    )
    assert read["tenancy"]["column"] == "tenant_id"
    assert read["tenancy"]["type"] == "bigint"
    assert text.count("CHECK: ") >= 4


@pytest.mark.parametrize(
    ("tables", "root"),
    [
        ("CREATE TABLE plan (tenant_id uuid PRIMARY KEY);", "public.plan"),
        (
            'CREATE TABLE plan (tenant_id uuid PRIMARY KEY); CREATE TABLE "Tenant" (id uuid);',
            "public.Tenant",
        ),
    ],
)
def test_the_table_of_tenants_is_told_by_its_name_before_its_key(tables: str, root: str) -> None:
    read, _ = proposed(tables + "CREATE TABLE a (id int, tenant_id uuid);")
    assert read["tenancy"]["root_table"] == root


def test_a_guess_of_the_tenant_has_the_type_of_the_column() -> None:
    read, _ = proposed("CREATE TABLE a (id int, tenant_id uuid);")
    assert read["tenancy"]["current_tenant"] == (
        "nullif(current_setting('app.tenant_id', true), '')::uuid"
    )


def test_roles_are_those_that_are_granted_something_and_own_nothing() -> None:
    read, _ = proposed(
        "CREATE TABLE a (tenant_id int); ALTER TABLE a OWNER TO boss; GRANT ALL ON a TO boss, web;"
        "GRANT SELECT ON a TO report; CREATE ROLE root BYPASSRLS; GRANT ALL ON a TO root;"
        "CREATE POLICY p ON a TO anon USING (true);"
        "CREATE POLICY q ON a TO pg_monitor USING (true);"
    )
    assert read["roles"] == {
        "owner": "boss",
        "app": "web",
        "readonly": "report",
        "others": ["anon"],
    }


def test_nothing_is_proposed_without_a_table() -> None:
    assert inference.propose(files.read({"f.sql": "CREATE SCHEMA s;"}), Roles()) is None
