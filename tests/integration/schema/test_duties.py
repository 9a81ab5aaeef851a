"""Duties stay apart, roles are lent within bounds, and a broken glass is swept up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.access import Office


@pytest.fixture
def office(admin: Connection, tenant: UUID) -> Office:
    return Office.of(admin, tenant)


@pytest.fixture
def pair(office: Office) -> tuple[UUID, UUID]:
    """Two roles that the rule "payroll" keeps apart."""
    roles = office.role("clerk"), office.role("approver")
    office.rule("payroll", *roles)
    return roles


def test_two_roles_of_a_rule_are_not_held_together(office: Office, pair: tuple[UUID, UUID]) -> None:
    office.assign(office.ada, pair[0])
    office.assign(office.bob, pair[1])
    with pytest.raises(errors.CheckViolation, match=r"rule payroll .* approver, clerk"):
        office.assign(office.ada, pair[1])


def test_both_at_once_are_refused_too(office: Office, pair: tuple[UUID, UUID]) -> None:
    with pytest.raises(errors.CheckViolation, match="rule payroll"):
        office.run(
            "INSERT INTO user_rbac.role_assignment (business_id, user_account_id, role_id)"
            " VALUES (%s, %s, %s), (%s, %s, %s)",
            *(office.tenant, office.ada, pair[0], office.tenant, office.ada, pair[1]),
        )


def test_one_after_the_other_is_no_conflict(office: Office, pair: tuple[UUID, UUID]) -> None:
    now = office.one("SELECT now()")
    office.assign(office.ada, pair[0], valid_until=now + timedelta(days=5))
    assert office.assign(office.ada, pair[1], valid_from=now + timedelta(days=5))


def test_a_longer_time_is_looked_at_again(office: Office, pair: tuple[UUID, UUID]) -> None:
    now = office.one("SELECT now()")
    first = office.assign(office.ada, pair[0], valid_until=now + timedelta(days=5))
    office.assign(office.ada, pair[1], valid_from=now + timedelta(days=5))
    with pytest.raises(errors.CheckViolation, match="rule payroll"):
        office.run(
            "UPDATE user_rbac.role_assignment SET valid_until = NULL WHERE role_assignment_id = %s",
            first,
        )


def test_who_inherits_a_duty_has_it(office: Office, pair: tuple[UUID, UUID]) -> None:
    head = office.role("head")
    office.inherit(head, pair[0])
    office.assign(office.ada, head)
    with pytest.raises(errors.CheckViolation, match="rule payroll"):
        office.assign(office.ada, pair[1])


def test_who_may_only_read_has_no_duty(office: Office, pair: tuple[UUID, UUID]) -> None:
    auditor = office.role("auditor")
    office.inherit(auditor, pair[0], inherits="read_only")
    office.assign(office.ada, auditor)
    assert office.assign(office.ada, pair[1])


@pytest.mark.parametrize(
    "columns",
    [
        {"severity": "warn"},
        {"is_active": False},
        {"kind": "dynamic"},
        {"effective_from": "2100-01-01"},
    ],
)
def test_some_rules_do_not_stand_in_the_way(office: Office, columns: dict[str, Any]) -> None:
    roles = office.role("clerk"), office.role("approver")
    office.rule("soft", *roles, **columns)
    for role in roles:
        assert office.assign(office.ada, role)


@pytest.mark.parametrize(("until", "is_let"), [("current_date", True), ("current_date - 1", False)])
def test_an_exemption_holds_to_its_last_day(
    office: Office, pair: tuple[UUID, UUID], until: str, is_let: bool
) -> None:
    office.run(
        "UPDATE user_rbac.sod_constraint_role"
        f" SET is_exempt = true, exemption_until = {until} WHERE role_id = %s",
        pair[0],
    )
    office.assign(office.ada, pair[0])
    if is_let:
        assert office.assign(office.ada, pair[1])
    else:
        with pytest.raises(errors.CheckViolation, match="rule payroll"):
            office.assign(office.ada, pair[1])


@pytest.mark.parametrize("allowed", [True, False])
def test_a_mitigation_counts_where_the_rule_lets_it(office: Office, allowed: bool) -> None:
    roles = office.role("clerk"), office.role("approver")
    office.rule("payroll", *roles, mitigation_allowed=allowed)
    office.assign(office.ada, roles[0])
    if allowed:
        assert office.assign(office.ada, roles[1], mitigation_reference="CTL-7")
        breach = "SELECT is_mitigated, mitigation_reference FROM user_rbac.v_sod_breach"
        assert office.rows(breach) == [(True, "CTL-7")]
    else:
        with pytest.raises(errors.CheckViolation, match="rule payroll"):
            office.assign(office.ada, roles[1], mitigation_reference="CTL-7")


def test_roles_of_one_side_go_together(office: Office) -> None:
    clerk, helper, approver = (office.role(c) for c in ("clerk", "helper", "approver"))
    rule = office.rule("payroll", kind="static")
    for role, side in ((clerk, "a"), (helper, "a"), (approver, "b")):
        office.insert(
            "sod_constraint_role", sod_constraint_id=rule, role_id=role, conflict_side=side
        )
    office.assign(office.ada, clerk)
    office.assign(office.ada, helper)
    with pytest.raises(errors.CheckViolation, match="rule payroll"):
        office.assign(office.ada, approver)


def test_two_of_three_may_be_held_where_the_rule_says_so(office: Office) -> None:
    roles = [office.role(code) for code in ("one", "two", "three")]
    office.rule("most", *roles, max_roles=2)
    office.assign(office.ada, roles[0])
    office.assign(office.ada, roles[1])
    with pytest.raises(errors.CheckViolation, match="rule most"):
        office.assign(office.ada, roles[2])


def test_over_the_same_object_only(office: Office) -> None:
    cashier, refunder = office.role("cashier"), office.role("refunder")
    office.rule("counter", cashier, refunder, kind="object_based")
    here, there = {"scope_kind": "record", "scope_entity_id": uuid4()}, uuid4()
    office.assign(office.ada, cashier, **here)
    office.assign(office.ada, refunder, scope_kind="record", scope_entity_id=there)
    found = office.rows(
        "SELECT constraint_code, object_key, conflicting_roles"
        " FROM user_rbac.sod_violations(%s, %s, %s)",
        *(office.ada, refunder, here["scope_entity_id"]),
    )
    assert found == [("counter", here["scope_entity_id"], ["cashier", "refunder"])]
    with pytest.raises(errors.CheckViolation, match="rule counter"):
        office.assign(office.ada, refunder)


def test_a_role_counts_while_it_grants_what_conflicts(
    office: Office, pair: tuple[UUID, UUID]
) -> None:
    refund = office.permission("payment:refund")
    office.run("UPDATE user_rbac.sod_constraint_role SET permission_codes = '{payment:refund}'")
    for role in pair:
        office.assign(office.ada, role)
    for role in pair:
        office.grant(role, refund)
    assert office.column("SELECT constraint_code FROM user_rbac.v_sod_breach") == ["payroll"]


def test_a_role_of_a_unit_counts(office: Office, pair: tuple[UUID, UUID]) -> None:
    unit = add_unit(office, "sales")
    join_unit(office, unit, office.ada)
    office.insert("org_unit_role", org_unit_id=unit, role_id=pair[0])
    with pytest.raises(errors.CheckViolation, match="rule payroll"):
        office.assign(office.ada, pair[1])


def test_history_tells_its_breaches(office: Office, pair: tuple[UUID, UUID]) -> None:
    with office.as_platform():
        for role in pair:
            office.assign(office.ada, role)
    breaches = office.rows(
        "SELECT user_account_id, constraint_code, conflicting_roles, is_mitigated"
        " FROM user_rbac.v_sod_breach"
    )
    assert breaches == [(office.ada, "payroll", ["approver", "clerk"], False)]


def test_a_session_uses_no_conflicting_roles(office: Office) -> None:
    roles = [office.role("cashier"), office.role("auditor")]
    office.rule("hats", *roles, kind="dynamic")
    conflicts = "SELECT constraint_code FROM user_rbac.session_conflicts(%s)"
    assert office.column(conflicts, roles) == ["hats"]
    assert office.column(conflicts, roles[:1]) == []


@pytest.mark.parametrize(
    ("roles", "max_roles", "message"),
    [(1, 1, "fewer than two roles"), (0, 1, "fewer than two roles"), (2, 2, "lets all of its 2")],
)
def test_a_rule_separates_something(
    office: Office, roles: int, max_roles: int, message: str
) -> None:
    made = [office.role(f"role_{number}") for number in range(roles)]
    office.rule("odd", *made, max_roles=max_roles)
    with pytest.raises(errors.CheckViolation, match=message):
        office.commit_checks()


def test_a_rule_keeps_two_roles(office: Office, pair: tuple[UUID, UUID]) -> None:
    office.commit_checks()
    with pytest.raises(errors.CheckViolation, match="fewer than two roles"):
        office.run("DELETE FROM user_rbac.sod_constraint_role WHERE role_id = %s", pair[0])


def test_a_rule_goes_with_its_roles(office: Office, pair: tuple[UUID, UUID]) -> None:
    office.run("DELETE FROM user_rbac.sod_constraint")
    office.commit_checks()
    assert office.rows("SELECT 1 FROM user_rbac.sod_constraint_role") == []


def test_roles_of_a_rule_are_not_escaped_by_changing_the_tenant(office: Office) -> None:
    office.rule("odd", office.role("one"))
    office.run("SELECT tenant_mgmt.set_tenant(gen_random_uuid())")
    with pytest.raises(errors.CheckViolation, match="tenant changed"):
        office.commit_checks()


def test_sox_blocks(office: Office) -> None:
    with pytest.raises(errors.CheckViolation, match="sod_constraint_sox_blocks"):
        office.rule("sox", regulation="sox", severity="warn")


# Roles of units.


def add_unit(office: Office, code: str, parent: UUID | None = None) -> UUID:
    """A unit, below another one or on top."""
    made: UUID = office.one(
        "INSERT INTO user_mgmt.org_unit (business_id, code, name, kind, parent_org_unit_id)"
        " VALUES (%s, %s, %s, 'team', %s) RETURNING org_unit_id",
        *(office.tenant, code, code.title(), parent),
    )
    return made


def join_unit(office: Office, unit: UUID, account: UUID, kind: str = "primary") -> None:
    """Makes an account a member of a unit."""
    office.run(
        "INSERT INTO user_mgmt.org_unit_member (business_id, org_unit_id, user_account_id,"
        " membership_kind) VALUES (%s, %s, %s, %s)",
        *(office.tenant, unit, account, kind),
    )


@pytest.mark.parametrize(
    ("applies_to", "holders"),
    [("members", {"ada", "bob"}), ("leads", {"ada"}), ("descendants", {"ada", "bob", "cleo"})],
)
def test_a_unit_gives_its_role(office: Office, applies_to: str, holders: set[str]) -> None:
    sales = add_unit(office, "sales")
    join_unit(office, sales, office.ada, "lead")
    join_unit(office, sales, office.bob)
    join_unit(office, add_unit(office, "north", sales), office.cleo)
    join_unit(office, add_unit(office, "other"), office.dan)
    office.insert(
        "org_unit_role", org_unit_id=sales, role_id=office.role("seller"), applies_to=applies_to
    )
    held = office.column(
        "SELECT u.username FROM user_rbac.v_role_held AS h"
        " JOIN user_mgmt.user_account AS u USING (business_id, user_account_id)"
        " WHERE h.origin = 'unit'"
    )
    assert set(held) == holders
    count = "SELECT member_count_cached FROM user_rbac.org_unit_role"
    assert office.one(count) == len(holders)
    office.run("UPDATE user_mgmt.org_unit_member SET is_active = false")
    assert office.one(count) == 0


def test_no_unit_gives_a_critical_role(office: Office) -> None:
    role = office.role("root", risk_tier="critical", requires_mfa=True)
    unit = add_unit(office, "sales")
    with pytest.raises(errors.CheckViolation, match="critical and cannot be given by a unit"):
        office.insert("org_unit_role", org_unit_id=unit, role_id=role)


def test_no_role_becomes_critical_that_a_unit_gives(office: Office) -> None:
    unit = add_unit(office, "sales")
    office.insert("org_unit_role", org_unit_id=unit, role_id=office.role("root"))
    with pytest.raises(errors.CheckViolation, match="critical and cannot be given by a unit"):
        office.run("UPDATE user_rbac.role SET risk_tier = 'critical', requires_mfa = true")


# Roles lent.


@pytest.fixture
def held(office: Office) -> UUID:
    """An assignment of ada's that ends in 60 days."""
    until = office.one("SELECT now() + interval '60 days'")
    return office.assign(office.ada, office.role("clerk"), valid_until=until)


def _delegate(office: Office, assignment: UUID, delegate: UUID, **named: Any) -> UUID:
    starts, ends = named.pop("starts", "0"), named.pop("ends", "10 days")
    extra = "".join(f", {name} => %s" for name in named)
    made: UUID = office.one(
        "SELECT user_rbac.delegate_role(%s, %s, now() + %s::interval, now() + %s::interval"
        f"{extra})",
        *(assignment, delegate, starts, ends, *named.values()),
    )
    return made


def test_what_is_lent_is_held(office: Office, held: UUID) -> None:
    made = _delegate(office, held, office.bob)
    assert office.state_of("role_delegation", made) == "active"
    lent = office.rows(
        "SELECT user_account_id, origin, state, valid_until = now() + interval '10 days'"
        " FROM user_rbac.role_assignment WHERE role_delegation_id = %s",
        made,
    )
    assert lent == [(office.bob, "delegation", "active", True)]


def test_a_loan_ends_with_its_source(office: Office, held: UUID) -> None:
    made = _delegate(office, held, office.bob, may_lend_on=True)
    lent = "SELECT role_assignment_id FROM user_rbac.role_assignment WHERE user_account_id = %s"
    again = _delegate(office, office.one(lent, office.bob), office.cleo)
    depth = "SELECT delegation_depth FROM user_rbac.role_delegation WHERE role_delegation_id = %s"
    assert (office.one(depth, made), office.one(depth, again)) == (1, 2)
    office.run(
        "UPDATE user_rbac.role_assignment SET state = 'revoked', revoked_at = now()"
        " WHERE role_assignment_id = %s",
        held,
    )
    states = "SELECT DISTINCT state FROM user_rbac.role_assignment"
    assert office.column(states) == ["revoked"]
    assert office.column("SELECT DISTINCT state FROM user_rbac.role_delegation") == ["revoked"]


@pytest.mark.parametrize("side", ["delegation", "assignment"])
def test_a_loan_is_taken_back_from_either_side(office: Office, held: UUID, side: str) -> None:
    made = _delegate(office, held, office.bob)
    office.run(
        f"UPDATE user_rbac.role_{side} SET state = 'revoked', revoked_at = now()"
        " WHERE role_delegation_id = %s",
        made,
    )
    assert office.state_of("role_delegation", made) == "revoked"
    state = "SELECT state FROM user_rbac.role_assignment WHERE role_delegation_id = %s"
    assert office.one(state, made) == "revoked"
    assert office.state_of("role_assignment", held) == "active"


def test_a_loan_whose_end_was_lifted_ends_with_its_delegation(office: Office, held: UUID) -> None:
    made = _delegate(office, held, office.bob)
    lifted = "UPDATE user_rbac.role_assignment SET valid_until = NULL WHERE role_delegation_id = %s"
    office.run(lifted, made)
    office.run(
        "UPDATE user_rbac.role_delegation SET state = 'ended' WHERE role_delegation_id = %s", made
    )
    lent = "SELECT state, revoked_at = now() FROM user_rbac.role_assignment"
    assert office.rows(lent + " WHERE role_delegation_id = %s", made) == [("revoked", True)]


def test_a_loan_is_lent_on_once(office: Office, held: UUID) -> None:
    lent = "SELECT role_assignment_id FROM user_rbac.role_assignment WHERE user_account_id = %s"
    _delegate(office, held, office.bob, may_lend_on=True)
    _delegate(office, office.one(lent, office.bob), office.cleo)
    with pytest.raises(errors.CheckViolation, match="depth_bounded"):
        _delegate(office, office.one(lent, office.cleo), office.dan)


def test_what_may_not_be_lent_on_is_not(office: Office, held: UUID) -> None:
    lent = "SELECT role_assignment_id FROM user_rbac.role_assignment WHERE user_account_id = %s"
    _delegate(office, held, office.bob)
    with pytest.raises(errors.CheckViolation, match="not lent on"):
        _delegate(office, office.one(lent, office.bob), office.cleo)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"starts": "1 day", "ends": "1 day"}, "ends_after_start"),
        ({"starts": "-2 days"}, "within the time that it is held"),
        ({"ends": "61 days"}, "within the time that it is held"),
        ({"permissions": ["x:read"]}, "does not grant all of the permissions"),
    ],
)
def test_a_loan_has_bounds(office: Office, held: UUID, named: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.CheckViolation, match=message):
        _delegate(office, held, office.bob, **named)


@pytest.mark.parametrize(("hours", "is_let"), [(90 * 24, True), (90 * 24 + 1, False)])
def test_a_loan_is_for_90_days_at_most(office: Office, hours: int, is_let: bool) -> None:
    held = office.assign(office.ada, office.role("clerk"))
    if is_let:
        assert _delegate(office, held, office.bob, ends=f"{hours} hours")
    else:
        with pytest.raises(errors.CheckViolation, match="at_most_90_days"):
            _delegate(office, held, office.bob, ends=f"{hours} hours")


def test_nobody_lends_to_themselves(office: Office, held: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="holds the role already"):
        _delegate(office, held, office.ada)


def test_the_delegate_is_not_the_holder(office: Office, held: UUID) -> None:
    now = office.one("SELECT now()")
    with pytest.raises(errors.CheckViolation, match="role_delegation_to_another"):
        office.insert(
            "role_delegation",
            role_assignment_id=held,
            holder_id=office.ada,
            delegate_user_account_id=office.ada,
            starts_at=now,
            ends_at=now + timedelta(days=1),
        )


def test_only_the_holder_lends(office: Office, held: UUID) -> None:
    now = office.one("SELECT now()")
    with pytest.raises(errors.ForeignKeyViolation):
        office.insert(
            "role_delegation",
            role_assignment_id=held,
            holder_id=office.bob,
            delegate_user_account_id=office.cleo,
            starts_at=now,
            ends_at=now + timedelta(days=1),
        )


def test_a_delegate_breaks_no_separation_of_duty(office: Office, pair: tuple[UUID, UUID]) -> None:
    held = office.assign(office.ada, pair[0])
    office.assign(office.bob, pair[1])
    assert _delegate(office, held, office.cleo)
    with pytest.raises(errors.CheckViolation, match="the delegate would break payroll"):
        _delegate(office, held, office.bob)


def test_a_loan_of_high_risk_waits_for_an_approval(office: Office) -> None:
    held = office.assign(office.ada, office.role("head", risk_tier="high"))
    made = _delegate(office, held, office.bob)
    assert office.state_of("role_delegation", made) == "proposed"
    accept = (
        "UPDATE user_rbac.role_delegation SET state = 'active', accepted_at = now(),"
        " approved_by_user_account_id = %s WHERE role_delegation_id = %s"
    )
    with office.refusing(errors.CheckViolation, "approval"):
        office.run(accept, None, made)
    office.run(accept, office.cleo, made)
    origins = "SELECT origin FROM user_rbac.role_assignment WHERE user_account_id = %s"
    assert office.column(origins, office.bob) == ["delegation"]


def test_an_account_that_is_not_active_is_lent_nothing(office: Office, held: UUID) -> None:
    with office.as_platform():
        office.run(
            "UPDATE user_mgmt.user_account SET status = 'suspended' WHERE user_account_id = %s",
            office.bob,
        )
    with pytest.raises(errors.CheckViolation, match="delegate is not active"):
        _delegate(office, held, office.bob)


def test_there_is_no_loan_of_nothing(office: Office) -> None:
    with pytest.raises(errors.NoDataFound, match="no assignment"):
        _delegate(office, uuid4(), office.bob)


LOANS = {
    "proposed": {"active", "rejected", "revoked"},
    "active": {"ended", "revoked"},
    "ended": set(),
    "revoked": set(),
    "rejected": set(),
}


@pytest.mark.parametrize("old", LOANS)
@pytest.mark.parametrize("new", LOANS)
def test_a_loan_moves_by_its_table(office: Office, held: UUID, old: str, new: str) -> None:
    now = office.one("SELECT now()")
    with office.as_platform():
        made = office.insert(
            "role_delegation",
            role_assignment_id=held,
            holder_id=office.ada,
            delegate_user_account_id=office.bob,
            state=old,
            starts_at=now,
            ends_at=now + timedelta(days=1),
            accepted_at=now,
            revoked_at=now if old == "revoked" else None,
        )
    change = (
        "UPDATE user_rbac.role_delegation SET state = %s,"
        " revoked_at = CASE %s WHEN 'revoked' THEN now() END WHERE role_delegation_id = %s"
    )
    if new in LOANS[old] | {old}:
        office.run(change, new, new, made)
        assert office.state_of("role_delegation", made) == new
    else:
        with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
            office.run(change, new, new, made)


# Emergencies.


def _emergency(office: Office, role: UUID, hours: float = 4, **columns: Any) -> UUID:
    now = office.one("SELECT now()")
    values = {
        "user_account_id": office.ada,
        "role_id": role,
        "reason": "Terminal down",
        "granted_at": now,
        "expires_at": now + timedelta(hours=hours),
        "notified_security_at": now,
        **columns,
    }
    return office.insert("emergency_access", **values)


def test_who_breaks_the_glass_holds_the_role(office: Office, pair: tuple[UUID, UUID]) -> None:
    office.assign(office.ada, pair[0])
    made = _emergency(office, pair[1])
    held = "SELECT state, valid_until - now() FROM user_rbac.role_assignment WHERE role_id = %s"
    assert office.rows(held, pair[1]) == [("active", timedelta(hours=4))]
    office.run("UPDATE user_rbac.emergency_access SET ended_at = now()")
    assert office.rows(held, pair[1])[0][0] == "revoked"
    waiting = "SELECT emergency_access_id, is_overdue FROM user_rbac.v_emergency_review"
    assert office.rows(waiting) == [(made, False)]


@pytest.mark.parametrize(("days", "is_overdue"), [(2, False), (4, True)])
def test_an_emergency_is_reviewed_within_three_days(
    office: Office, days: int, is_overdue: bool
) -> None:
    then = office.one("SELECT now()") - timedelta(days=days)
    columns = {
        "granted_at": then,
        "expires_at": then + timedelta(hours=1),
        "notified_security_at": then,
    }
    _emergency(office, office.role("root"), **columns)
    assert office.column("SELECT is_overdue FROM user_rbac.v_emergency_review") == [is_overdue]
    assert office.rows("SELECT 1 FROM user_rbac.role_assignment") == [], "it is over"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"hours": 8.1}, "at_most_8_hours"),
        ({"hours": 0}, "expires_after_grant"),
        ({"notified_security_at": None}, "notified_security_at"),
        ({"reason": " "}, "reason_given"),
        ({"review_result": "justified"}, "reviewed_has_time"),
    ],
)
def test_an_emergency_has_bounds(office: Office, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.IntegrityError, match=message):
        _emergency(office, office.role("root"), **columns)


def test_nobody_reviews_their_own_emergency(office: Office) -> None:
    _emergency(office, office.role("root"), hours=8)
    review = (
        "UPDATE user_rbac.emergency_access SET review_result = 'justified', reviewed_at = now(),"
        " reviewed_by_user_account_id = %s"
    )
    office.run(review, office.bob)
    with pytest.raises(errors.CheckViolation, match="reviewed_by_another"):
        office.run(review, office.ada)


def test_loans_end_as_the_clock_says(office: Office, held: UUID) -> None:
    made = _delegate(office, held, office.bob)
    with office.as_platform():
        office.run("ALTER TABLE user_rbac.role_delegation DISABLE TRIGGER USER")
        office.run("ALTER TABLE user_rbac.role_assignment DISABLE TRIGGER USER")
        office.run(
            "UPDATE user_rbac.role_delegation SET starts_at = now() - interval '2 days',"
            " ends_at = now() - interval '1 day'"
        )
        office.run(
            "UPDATE user_rbac.role_assignment SET valid_from = now() - interval '2 days',"
            " valid_until = now() - interval '1 day' WHERE role_delegation_id = %s",
            made,
        )
        office.run("ALTER TABLE user_rbac.role_delegation ENABLE TRIGGER USER")
        office.run("ALTER TABLE user_rbac.role_assignment ENABLE TRIGGER USER")
    office.run("SELECT user_rbac.expire_grants()")
    assert office.state_of("role_delegation", made) == "ended"
    state = "SELECT state FROM user_rbac.role_assignment WHERE role_delegation_id = %s"
    assert office.one(state, made) == "expired"
    assert office.state_of("role_assignment", held) == "active"
