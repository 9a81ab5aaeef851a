"""Policies of other conventions: what the truth table says of them from the text alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from checks import static
from harness.config import Roles, Settings, Tenancy

JWT = {"column": "tenant_id", "type": "text", "setting": "request.jwt.claims"}
CLAIMS = "nullif(current_setting('request.jwt.claims', true), '')::jsonb"
CASES: dict[str, tuple[Mapping[str, Any], dict[str, set[str]]]] = {
    "claim": (
        {**JWT, "claim": "tenant_id"},
        {
            f"tenant_id = {CLAIMS} ->> 'tenant_id'": set(),
            "tenant_id = (SELECT auth.jwt() ->> 'tenant_id')": set(),
            "tenant_id = (auth.jwt() #>> '{tenant_id}')": set(),
            "tenant_id = auth.jwt() ->> 'org'": {"POL006"},
            "tenant_id IS NOT NULL OR tenant_id = auth.jwt() ->> 'tenant_id'": {"POL001", "POL004"},
            "coalesce(auth.jwt() ->> 'tenant_id', tenant_id) = tenant_id": {"POL004"},
        },
    ),
    "claim in a claim": (
        {**JWT, "claim": "app_metadata.tenant_id"},
        {
            "tenant_id = ((auth.jwt() -> 'app_metadata') ->> 'tenant_id')": set(),
            "tenant_id = auth.jwt() ->> 'tenant_id'": {"POL006"},
        },
    ),
    "user": (
        {**JWT, "claim": "sub", "type": "uuid"},
        {"tenant_id = auth.uid()": set(), "auth.uid() IS NOT NULL": {"POL001"}},
    ),
    "role": (
        {"column": "tenant_id", "type": "text", "by_role": True},
        {
            "tenant_id = current_user": set(),
            "tenant_id = CURRENT_ROLE::text": set(),
            "tenant_id = current_user OR current_user = 'alice'": set(),
            "tenant_id <> current_user": {"POL001", "POL004", "POL006"},
        },
    ),
    "one role for all": (
        {"column": "tenant_id", "type": "text", "setting": "app.tenant"},
        {"tenant_id = current_user": {"POL006"}},
    ),
    "members": (
        {"column": "tenant_id", "type": "text", "setting": "app.tenant"},
        {"tenant_id IN (SELECT m.tenant_id FROM public.t AS m)": {"POL011"}},
    ),
    "helper in PL/pgSQL": (
        {"column": "tenant_id", "type": "bigint", "setting": "app.tenant"},
        {"tenant_id = told()": set(), "tenant_id >= told()": {"POL011"}},
    ),
}
HELPER = (
    "CREATE FUNCTION told() RETURNS bigint LANGUAGE plpgsql STABLE AS"
    " $$ BEGIN RETURN nullif(current_setting('app.tenant', true), '')::bigint; END $$;"
)


def found(using: str, tenancy: Mapping[str, Any], grants: str = "") -> set[str]:
    """The rules on what a policy admits that find something in it."""
    settings = Settings(tenancy=Tenancy(**tenancy), roles=Roles(app="app", readonly="app"))
    text = (
        f"CREATE TABLE t (tenant_id {tenancy['type']} NOT NULL); {HELPER} {grants}"
        f"ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING ({using});"
    )
    findings, _ = static.judge({"f.sql": text}, settings)
    wanted = ("POL001", "POL004", "POL005", "POL006", "POL011")
    return {finding.rule for finding in findings if finding.rule in wanted}


@pytest.mark.parametrize(
    ("using", "tenancy", "rules"),
    [
        pytest.param(using, tenancy, rules, id=f"{name}: {using}")
        for name, (tenancy, policies) in CASES.items()
        for using, rules in policies.items()
    ],
)
def test_a_policy_of_another_convention(
    using: str, tenancy: Mapping[str, Any], rules: set[str]
) -> None:
    assert found(using, tenancy) == rules


def test_where_the_application_is_granted_something_only_that_counts() -> None:
    plain = {"column": "tenant_id", "type": "text", "setting": "app.tenant"}
    assert found("true", plain) == {"POL001", "POL004"}
    assert found("true", plain, "CREATE TABLE u (); GRANT SELECT ON u TO app;") == set()
    assert found("true", plain, "GRANT SELECT ON t TO app;") == {"POL001", "POL004"}


def test_further_roles_of_the_application_are_judged_too() -> None:
    text = (
        "CREATE TABLE t (tenant_id text NOT NULL); ALTER TABLE t ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY p ON t TO authenticated USING (tenant_id = current_setting('app.tenant'));"
        "CREATE POLICY q ON t TO anon USING (true);"
    )
    tenancy = Tenancy(column="tenant_id", type="text", setting="app.tenant")
    roles = Roles(app="authenticated", readonly="authenticated", others=("anon",))
    findings, _ = static.judge({"f.sql": text}, Settings(tenancy=tenancy, roles=roles))
    (leak,) = [f for f in findings if f.rule == "POL001"]
    assert "policy q on public.t" in leak.message
    assert "as anon" in leak.message


@pytest.mark.parametrize(
    "column", ["kind varchar(20)", "kind mood", "kind citext", "kind integer", "kind text"]
)
def test_a_literal_that_opens_a_policy_is_tried_in_a_column_of_any_type(column: str) -> None:
    literal = "7" if "integer" in column else "'public'"
    text = (
        f"CREATE TYPE mood AS ENUM ('public'); CREATE TABLE t (tenant_id text NOT NULL, {column},"
        " a text, b text, c text, d text, e text);"
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING ("
        f"tenant_id = current_setting('app.tenant') OR kind = {literal} OR"
        " a = '1' AND b = '2' AND c = '3' AND d = '4' AND e = '5');"
    )
    tenancy = Tenancy(column="tenant_id", type="text", setting="app.tenant")
    findings, _ = static.judge({"f.sql": text}, Settings(tenancy=tenancy))
    assert "POL001" in {f.rule for f in findings}


@pytest.mark.parametrize(
    ("using", "rules"),
    [
        ("tenant_id = (SELECT id FROM orgs WHERE db_user = current_user)", {"POL011"}),
        ("db_user = current_user", {"POL011"}),
        ("tenant_id = current_user", {"POL006"}),
        ("true", {"POL001", "POL004"}),
    ],
)
def test_a_role_that_works_for_a_tenant_is_not_the_tenant(using: str, rules: set[str]) -> None:
    tenancy = Tenancy(
        column="tenant_id",
        type="text",
        by_role=True,
        examples=("ta", "tb"),
        identities=("role_a", "role_b"),
    )
    text = (
        "CREATE TABLE orgs (id text, db_user text);"
        "CREATE TABLE t (tenant_id text NOT NULL, db_user text);"
        f"ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING ({using});"
    )
    findings, _ = static.judge({"f.sql": text}, Settings(tenancy=tenancy))
    wanted = ("POL001", "POL004", "POL006", "POL011")
    assert {f.rule for f in findings if f.rule in wanted} == rules


def test_a_command_without_a_policy_is_closed_on_purpose() -> None:
    text = (
        "CREATE TABLE t (tenant_id text NOT NULL); ALTER TABLE t ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY p ON t FOR SELECT USING (tenant_id = current_setting('app.tenant'));"
    )
    tenancy = Tenancy(column="tenant_id", type="text", setting="app.tenant")
    findings, _ = static.judge({"f.sql": text}, Settings(tenancy=tenancy))
    assert not [f for f in findings if f.rule.startswith("POL0") and f.rule != "POL010"]


@pytest.mark.parametrize(
    ("type", "found"), [("varchar(64)", False), ("text", False), ("uuid", True), ("char(3)", True)]
)
def test_text_of_any_length_is_one_type_of_tenant(type: str, found: bool) -> None:
    tenancy = Tenancy(column="tenant_id", type="text", setting="app.tenant")
    findings, _ = static.judge(
        {"f.sql": f"CREATE TABLE t (tenant_id {type});"}, Settings(tenancy=tenancy)
    )
    assert ("TEN002" in {f.rule for f in findings}) is found


def test_a_table_that_no_application_may_touch_is_not_for_applications() -> None:
    text = (
        "CREATE TABLE secret (tenant_id text); CREATE TABLE t (tenant_id text);"
        "ALTER TABLE secret ENABLE ROW LEVEL SECURITY;"
    )
    settings = Settings(tenancy=Tenancy(column="tenant_id", type="text", setting="app.tenant"))

    def objects(sql: str) -> set[str]:
        findings, _ = static.judge({"f.sql": sql}, settings)
        return {f.object for f in findings if f.rule == "RLS003"}

    assert objects(text) == {"public.secret", "public.t"}
    assert objects(f"{text} GRANT SELECT ON t TO app_user;") == {"public.t"}
    assert objects(f"{text} GRANT SELECT (tenant_id) ON secret, t TO PUBLIC;") == objects(text)


def test_a_function_that_asks_tables_leaves_a_policy_undecided() -> None:
    text = (
        "CREATE TABLE t (tenant_id text NOT NULL); ALTER TABLE t ENABLE ROW LEVEL SECURITY;"
        "CREATE FUNCTION me() RETURNS text LANGUAGE sql AS $$ SELECT tenant_id FROM member $$;"
        "CREATE FUNCTION mine() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN me(); END $$;"
        "CREATE POLICY p ON t USING (tenant_id = mine());"
    )
    tenancy = Tenancy(column="tenant_id", type="text", setting="app.tenant")
    findings, _ = static.judge({"f.sql": text}, Settings(tenancy=tenancy))
    wanted = ("POL001", "POL004", "POL006", "POL011")
    assert {f.rule for f in findings if f.rule in wanted} == {"POL011"}
