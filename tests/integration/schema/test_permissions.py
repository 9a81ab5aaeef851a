"""What an account may do: by roles, units, loans, emergencies, overrides and conditions."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.access import Office
from tests.integration.schema.test_duties import add_unit, join_unit


@pytest.fixture
def office(admin: Connection, tenant: UUID) -> Office:
    return Office.of(admin, tenant)


@pytest.fixture
def refund(office: Office) -> UUID:
    return office.permission("order:refund")


@pytest.fixture
def cashier(office: Office, refund: UUID) -> UUID:
    """A role that refunds up to 100."""
    role = office.role("cashier")
    office.grant(role, refund, amount_limit=100)
    return role


def _may(office: Office, account: UUID, code: str = "order:refund", **named: Any) -> bool:
    extra = "".join(f", {name} => %s" for name in named)
    values = [json.dumps(v) if isinstance(v, dict) else v for v in named.values()]
    found: bool = office.one(
        f"SELECT user_rbac.has_permission(%s, %s{extra})", account, code, *values
    )
    return found


def _effective(office: Office, account: UUID) -> list[tuple[Any, ...]]:
    return office.rows(
        "SELECT permission_code, effect, row_scope, amount_limit, origin"
        " FROM user_rbac.effective_permissions(%s) ORDER BY permission_code, effect, origin",
        account,
    )


def test_without_a_role_there_is_nothing(office: Office, cashier: UUID) -> None:
    assert not _may(office, office.ada)
    assert _effective(office, office.ada) == []


def test_a_role_grants_what_it_says(office: Office, cashier: UUID) -> None:
    office.assign(office.ada, cashier)
    assert _may(office, office.ada)
    assert not _may(office, office.ada, "order:void")
    assert _effective(office, office.ada) == [("order:refund", "allow", "business", 100, "direct")]


def test_a_service_account_has_its_roles(office: Office, cashier: UUID) -> None:
    with office.as_platform():
        robot = add_robot(office)
    office.insert("role_assignment", service_account_id=robot, role_id=cashier)
    assert _may(office, robot)


def add_robot(office: Office) -> UUID:
    """A service account of ada's."""
    made: UUID = office.one(
        "INSERT INTO user_mgmt.service_account (business_id, owner_user_account_id, name,"
        " purpose, expires_at) VALUES (%s, %s, 'robot', 'till', now() + interval '1 year')"
        " RETURNING service_account_id",
        *(office.tenant, office.ada),
    )
    return made


@pytest.mark.parametrize(("amount", "is_let"), [("99.99", True), ("100", True), ("100.01", False)])
def test_an_allowance_ends_above_its_limit(
    office: Office, cashier: UUID, amount: str, is_let: bool
) -> None:
    office.assign(office.ada, cashier)
    assert _may(office, office.ada, amount=amount and Decimal(amount)) is is_let


def test_the_senior_role_has_what_the_junior_has(office: Office, cashier: UUID) -> None:
    boss = office.role("boss")
    middle = office.role("middle")
    office.inherit(boss, middle)
    office.inherit(middle, cashier)
    office.assign(office.ada, boss)
    assert _may(office, office.ada)


def test_who_inherits_to_read_may_read(office: Office, cashier: UUID) -> None:
    office.grant(cashier, office.permission("order:read"))
    auditor = office.role("auditor")
    office.inherit(auditor, cashier, inherits="read_only")
    office.assign(office.ada, auditor)
    assert [code for code, *_ in _effective(office, office.ada)] == ["order:read"]


def test_a_draft_gives_nothing_and_a_deprecated_role_goes_on(office: Office, cashier: UUID) -> None:
    office.assign(office.ada, cashier)
    office.run("UPDATE user_rbac.role SET status = 'deprecated'")
    assert _may(office, office.ada)
    office.run("UPDATE user_rbac.role SET status = 'draft'")
    assert not _may(office, office.ada)


def test_a_denial_wins(office: Office, cashier: UUID, refund: UUID) -> None:
    trainee = office.role("trainee")
    office.grant(trainee, refund, effect="deny")
    office.assign(office.ada, cashier)
    office.assign(office.ada, trainee)
    assert not _may(office, office.ada)
    assert [effect for _, effect, *_ in _effective(office, office.ada)] == ["deny"]


def test_a_denial_binds_the_role_and_not_its_seniors(
    office: Office, cashier: UUID, refund: UUID
) -> None:
    trainee = office.role("trainee")
    office.grant(trainee, refund, effect="deny")
    office.inherit(cashier, trainee)
    office.assign(office.ada, cashier)
    assert _may(office, office.ada)


@pytest.mark.parametrize(("amount", "is_let"), [("50", True), ("50.01", False), (None, True)])
def test_a_denial_may_begin_above_an_amount(
    office: Office, cashier: UUID, refund: UUID, amount: str | None, is_let: bool
) -> None:
    trainee = office.role("trainee")
    office.grant(trainee, refund, effect="deny", amount_limit=50)
    office.assign(office.ada, cashier)
    office.assign(office.ada, trainee)
    assert _may(office, office.ada, amount=amount and Decimal(amount)) is is_let
    assert len(_effective(office, office.ada)) == 2, "the denial is narrow"


def test_a_place_is_its_own(office: Office, cashier: UUID) -> None:
    here, there = uuid4(), uuid4()
    office.assign(office.ada, cashier, scope_kind="location", scope_entity_id=here)
    assert _may(office, office.ada, scope=here)
    assert not _may(office, office.ada, scope=there)
    assert not _may(office, office.ada), "not in the whole business"


def test_a_unit_has_what_is_below_it(office: Office, cashier: UUID) -> None:
    sales = add_unit(office, "sales")
    north = add_unit(office, "north", sales)
    office.assign(office.ada, cashier, scope_kind="org_unit", scope_entity_id=sales)
    office.assign(office.bob, cashier, scope_kind="org_unit", scope_entity_id=north)
    assert _may(office, office.ada, scope=north)
    assert not _may(office, office.bob, scope=sales)


def test_a_denial_at_a_place_leaves_the_others(office: Office, cashier: UUID, refund: UUID) -> None:
    here = uuid4()
    office.assign(office.ada, cashier)
    office.insert(
        "permission_override",
        user_account_id=office.ada,
        permission_id=refund,
        effect="deny",
        scope_kind="location",
        scope_entity_id=here,
        reason="Under investigation",
    )
    assert not _may(office, office.ada, scope=here)
    assert _may(office, office.ada, scope=uuid4())
    assert not _may(office, office.ada), "the whole business includes that place"


def test_rows_are_asked_about_on_their_own(office: Office) -> None:
    approve = office.permission("expense:approve")
    role = office.role("lead")
    office.grant(role, approve, row_scope="team")
    office.grant(role, approve, row_scope="own", effect="deny")
    office.assign(office.ada, role)
    asked = {
        rows: _may(office, office.ada, "expense:approve", context={"row_scope": rows})
        for rows in ("team", "own", "assigned")
    }
    assert asked == {"team": True, "own": False, "assigned": False}


def test_a_unit_gives_its_members_what_its_role_grants(office: Office, cashier: UUID) -> None:
    unit = add_unit(office, "shop")
    office.insert("org_unit_role", org_unit_id=unit, role_id=cashier, scope_kind="business")
    assert not _may(office, office.ada)
    join_unit(office, unit, office.ada)
    assert _may(office, office.ada)
    assert [origin for *_, origin in _effective(office, office.ada)] == ["unit"]


def test_a_delegate_has_what_was_lent_of_it(office: Office, cashier: UUID) -> None:
    office.grant(cashier, office.permission("order:void"))
    held = office.assign(office.ada, cashier)
    office.one(
        "SELECT user_rbac.delegate_role(%s, %s, now(), now() + interval '1 day',"
        " permissions => '{order:void}')",
        *(held, office.bob),
    )
    assert _may(office, office.bob, "order:void")
    assert not _may(office, office.bob, "order:refund")


def test_an_emergency_gives_its_role_at_once(office: Office, cashier: UUID) -> None:
    now = office.one("SELECT now()")
    office.insert(
        "emergency_access",
        user_account_id=office.ada,
        role_id=cashier,
        reason="Terminal down",
        expires_at=now + timedelta(hours=2),
        notified_security_at=now,
    )
    assert _may(office, office.ada)
    later = "SELECT count(*) FROM user_rbac.effective_permissions(%s, %s)"
    assert office.one(later, office.ada, now + timedelta(hours=2)) == 0


@pytest.mark.parametrize(("effect", "is_let"), [("allow", True), ("deny", False)])
def test_an_override_stands_beside_the_roles(
    office: Office, cashier: UUID, refund: UUID, effect: str, is_let: bool
) -> None:
    if effect == "deny":
        office.assign(office.ada, cashier)
    until = office.one("SELECT now() + interval '1 day'")
    office.insert(
        "permission_override",
        user_account_id=office.ada,
        permission_id=refund,
        effect=effect,
        reason="Covers",
        valid_until=until,
    )
    assert _may(office, office.ada) is is_let
    office.run("UPDATE user_rbac.permission_override SET revoked_at = now()")
    assert _may(office, office.ada) is not is_let


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"effect": "allow"}, errors.CheckViolation, "allowance_ends"),
        ({"approved_by_user_account_id": "ada"}, errors.CheckViolation, "not_by_oneself"),
        ({"scope_kind": "record"}, errors.CheckViolation, "scope_names_its_place"),
        ({}, errors.ExclusionViolation, "permission_override"),
    ],
)
def test_an_override_is_sound(
    office: Office, refund: UUID, columns: dict[str, Any], error: type[Exception], message: str
) -> None:
    values = {
        "user_account_id": office.ada,
        "permission_id": refund,
        "effect": "deny",
        "reason": "Under investigation",
    }
    office.insert("permission_override", **values)
    if columns.get("approved_by_user_account_id"):
        columns = {"approved_by_user_account_id": office.ada}
    with pytest.raises(error, match=message):
        office.insert("permission_override", **{**values, **columns})


@pytest.mark.parametrize("status", ["suspended", "locked", "deactivated"])
def test_an_account_that_is_not_active_may_do_nothing(
    office: Office, cashier: UUID, status: str
) -> None:
    office.assign(office.ada, cashier)
    with office.as_platform():
        office.run(
            "UPDATE user_mgmt.user_account SET status = %s, deactivated_at = now()"
            " WHERE user_account_id = %s",
            *(status, office.ada),
        )
    assert not _may(office, office.ada)
    assert _effective(office, office.ada) == []


def test_the_past_is_as_it_was(office: Office, cashier: UUID) -> None:
    now = office.one("SELECT now()")
    office.assign(office.ada, cashier, valid_from=now - timedelta(days=10))
    office.run("UPDATE user_rbac.role_assignment SET state = 'revoked', revoked_at = now()")
    count = "SELECT count(*) FROM user_rbac.effective_permissions(%s, %s)"
    assert office.one(count, office.ada, now) == 0
    assert office.one(count, office.ada, now - timedelta(days=1)) == 1
    assert office.one(count, office.ada, now - timedelta(days=11)) == 0


def _condition(office: Office, expression: dict[str, Any], **columns: Any) -> UUID:
    return office.insert(
        "access_condition",
        code="rule",
        name="Rule",
        condition_kind="attribute",
        expression=expression,
        **columns,
    )


STRONG = {"attribute": "session.aal", "operator": "ge", "value": 2}


@pytest.mark.parametrize(
    ("effect", "context", "is_let"),
    [
        ("allow", {"session": {"aal": 2}}, True),
        ("allow", {"session": {"aal": 1}}, False),
        ("allow", {}, False),
        ("deny", {"session": {"aal": 2}}, False),
        ("deny", {"session": {"aal": 1}}, True),
        ("deny", {}, False),
    ],
)
def test_what_the_context_does_not_tell_lets_nobody_in(
    office: Office, refund: UUID, effect: str, context: dict[str, Any], is_let: bool
) -> None:
    condition = _condition(office, STRONG)
    role = office.role("clerk")
    office.grant(role, refund, effect=effect, access_condition_id=condition)
    office.assign(office.ada, role)
    if effect == "deny":
        other = office.role("other")
        office.grant(other, refund)
        office.assign(office.ada, other)
    assert _may(office, office.ada, context=context) is is_let


@pytest.mark.parametrize(
    ("columns", "context", "is_let"),
    [
        ({"is_active": False}, {}, True),
        ({"evaluation": "on_export"}, {}, True),
        ({"evaluation": "on_write"}, {}, False),
        ({"failure_action": "log_only"}, {}, True),
        ({"failure_action": "step_up"}, {}, False),
        ({"failure_action": "step_up"}, {"session": {"stepped_up": True}}, True),
    ],
)
def test_a_condition_is_looked_at_when_it_says(
    office: Office,
    refund: UUID,
    columns: dict[str, Any],
    context: dict[str, Any],
    is_let: bool,
) -> None:
    role = office.role("clerk")
    office.grant(role, refund, access_condition_id=_condition(office, STRONG, **columns))
    office.assign(office.ada, role)
    assert _may(office, office.ada, context=context) is is_let


def test_the_amount_and_the_hour_are_known(office: Office) -> None:
    facts = office.one(
        'SELECT user_rbac.access_context(\'{"device": {"trust": "managed"}}\', 20,'
        " '2026-07-06 14:30+00')"
    )
    assert facts == {
        "amount": 20,
        "device": {"trust": "managed"},
        "time": {"hour": 9, "weekday": 1},
    }, "Monday morning in Chicago"


def _leaf(operator: str, value: Any, attribute: str = "x") -> dict[str, Any]:
    return {"attribute": attribute, "operator": operator, "value": value}


@pytest.mark.parametrize(
    ("expression", "context", "holds"),
    [
        (_leaf("eq", "a"), {"x": "a"}, True),
        (_leaf("eq", "a"), {"x": "b"}, False),
        (_leaf("eq", "a"), {}, None),
        (_leaf("ne", 1), {"x": 2}, True),
        (_leaf("ne", 1), {"x": None}, None),
        (_leaf("lt", 5), {"x": 4}, True),
        (_leaf("lt", 5), {"x": 5}, False),
        (_leaf("le", 5), {"x": 5}, True),
        (_leaf("gt", 5), {"x": 5}, False),
        (_leaf("ge", 5), {"x": 5}, True),
        (_leaf("ge", 5), {"x": "9"}, None),
        (_leaf("between", [7, 19]), {"x": 7}, True),
        (_leaf("between", [7, 19]), {"x": 20}, False),
        (_leaf("in", ["a", "b"]), {"x": "b"}, True),
        (_leaf("in", ["a", "b"]), {"x": "c"}, False),
        (_leaf("in_network", ["10.0.0.0/8"]), {"x": "10.1.2.3"}, True),
        (_leaf("in_network", ["10.0.0.0/8"]), {"x": "11.1.2.3"}, False),
        (_leaf("in_network", ["10.0.0.0/8"]), {"x": "nowhere"}, None),
        (_leaf("exists", True), {"x": 1}, True),
        (_leaf("exists", True), {}, False),
        (_leaf("exists", False), {}, True),
        (_leaf("eq", 1, "a.b"), {"a": {"b": 1}}, True),
        ({"not": _leaf("eq", 1)}, {"x": 1}, False),
        ({"not": _leaf("eq", 1)}, {}, None),
        ({"all": [_leaf("eq", 1), _leaf("gt", 0)]}, {"x": 1}, True),
        ({"all": [_leaf("eq", 1), _leaf("eq", 1, "y")]}, {"x": 1}, None),
        ({"all": [_leaf("eq", 2), _leaf("eq", 1, "y")]}, {"x": 1}, False),
        ({"any": [_leaf("eq", 1), _leaf("eq", 1, "y")]}, {"x": 1}, True),
        ({"any": [_leaf("eq", 2), _leaf("eq", 1, "y")]}, {"x": 1}, None),
        ({"any": [_leaf("eq", 2), _leaf("eq", 3)]}, {"x": 1}, False),
    ],
)
def test_a_condition_holds_does_not_or_cannot_be_told(
    office: Office, expression: dict[str, Any], context: dict[str, Any], holds: bool | None
) -> None:
    found = office.one(
        "SELECT user_rbac.condition_holds(%s, %s)", json.dumps(expression), json.dumps(context)
    )
    assert found is holds


@pytest.mark.parametrize(
    "expression",
    [
        {},
        {"all": []},
        {"all": "x"},
        {"all": [_leaf("eq", 1)], "any": [_leaf("eq", 1)]},
        {"not": [_leaf("eq", 1)]},
        {"not": {}},
        _leaf("like", "a"),
        _leaf("lt", "5"),
        _leaf("between", [19, 7]),
        _leaf("between", [7]),
        _leaf("between", 7),
        _leaf("in", "a"),
        _leaf("in_network", ["10.0.0.0/99"]),
        _leaf("in_network", []),
        _leaf("exists", 1),
        _leaf("eq", 1, "Not An Attribute"),
        {"attribute": "x", "operator": "eq"},
        {**_leaf("eq", 1), "extra": True},
    ],
)
def test_what_is_no_condition_is_refused(office: Office, expression: dict[str, Any]) -> None:
    with pytest.raises(errors.CheckViolation, match="access_condition_is_a_tree"):
        _condition(office, expression)


def test_a_condition_numbers_its_versions(office: Office) -> None:
    _condition(office, STRONG)
    office.run("UPDATE user_rbac.access_condition SET is_active = false")
    office.run("UPDATE user_rbac.access_condition SET is_active = false")
    assert office.one("SELECT version_no FROM user_rbac.access_condition") == 2


def test_the_flattened_list_is_the_tenants_own_and_has_no_overrides(
    office: Office, cashier: UUID, refund: UUID
) -> None:
    office.assign(office.ada, cashier)
    office.insert(
        "permission_override",
        user_account_id=office.ada,
        permission_id=refund,
        effect="deny",
        reason="x",
    )
    with office.as_platform():
        office.run("REFRESH MATERIALIZED VIEW user_rbac.mv_effective_permission")
    flattened = (
        "SELECT user_account_id, permission_code, effect, amount_limit"
        " FROM user_rbac.v_effective_permission"
    )
    assert office.rows(flattened) == [(office.ada, "order:refund", "allow", 100)]
    office.run("SELECT tenant_mgmt.set_tenant(gen_random_uuid())")
    assert office.rows(flattened) == []
