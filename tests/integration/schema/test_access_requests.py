"""Access is asked for, decided by others in steps, granted once, and certified or revoked."""

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
def role(office: Office) -> UUID:
    return office.role("clerk", risk_tier="medium")


def _ask(office: Office, number: str = "REQ-1", **columns: Any) -> UUID:
    values = {
        "request_number": number,
        "requested_for_user_account_id": office.ada,
        "requested_by_user_account_id": office.bob,
        "justification": "New position",
        **columns,
    }
    return office.insert("access_request", **values)


def _submit(office: Office, request: UUID) -> None:
    _move(office, request, "submitted")


def _move(office: Office, request: UUID, state: str) -> None:
    office.run(
        "UPDATE user_rbac.access_request SET state = %s WHERE access_request_id = %s",
        *(state, request),
    )


def _approver(office: Office, request: UUID, account: UUID, step: int = 1) -> UUID:
    return office.insert(
        "access_approval",
        access_request_id=request,
        approver_user_account_id=account,
        step_no=step,
        approver_kind="manager",
    )


def _decide(office: Office, approval: UUID, decision: str) -> None:
    office.run(
        "UPDATE user_rbac.access_approval SET decision = %s, decided_at = now(),"
        " escalated_at = now() WHERE access_approval_id = %s",
        *(decision, approval),
    )


STATES = {
    "draft": {"submitted", "withdrawn"},
    "submitted": {"in_approval", "withdrawn"},
    "in_approval": {"approved", "rejected", "withdrawn"},
    "approved": {"provisioned", "expired"},
    "provisioned": {"expired"},
    "rejected": set(),
    "expired": set(),
    "withdrawn": set(),
}
DECIDED = ("approved", "rejected", "provisioned", "expired")


@pytest.mark.parametrize("old", STATES)
@pytest.mark.parametrize("new", STATES)
def test_a_request_moves_by_its_table(office: Office, role: UUID, old: str, new: str) -> None:
    now = office.one("SELECT now()")
    with office.as_platform():
        made = _ask(
            office,
            role_id=role,
            state=old,
            submitted_at=now,
            decided_at=now if old in DECIDED else None,
            provisioned_at=now if old == "provisioned" else None,
        )
    change = (
        "UPDATE user_rbac.access_request SET state = %(new)s,"
        " decided_at = CASE WHEN %(new)s = ANY (%(decided)s) THEN now() END,"
        " provisioned_at = CASE WHEN %(new)s = 'provisioned' THEN now() END"
    )
    values = {"new": new, "decided": list(DECIDED)}
    if new in STATES[old] | {old}:
        office.connection.execute(change.encode(), values)
        assert office.state_of("access_request", made) == new
    else:
        with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
            office.connection.execute(change.encode(), values)


@pytest.mark.parametrize("state", [state for state in STATES if state != "draft"])
def test_a_request_starts_as_a_draft(office: Office, role: UUID, state: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        _ask(office, role_id=role, state=state, submitted_at="now", decided_at="now")


@pytest.mark.parametrize("both", [True, False])
def test_a_request_asks_for_one_thing(office: Office, role: UUID, both: bool) -> None:
    asked = {"role_id": role, "permission_id": office.permission("job:read")} if both else {}
    with pytest.raises(errors.CheckViolation, match="asks_for_one_thing"):
        _ask(office, **asked)


@pytest.mark.parametrize(
    ("tier", "score"), [("low", 10), ("medium", 30), ("high", 60), ("critical", 85)]
)
def test_the_risk_of_a_role_is_that_of_its_tier(office: Office, tier: str, score: int) -> None:
    _submit(office, _ask(office, role_id=office.role("r", risk_tier=tier, requires_mfa=True)))
    assert office.one("SELECT risk_score FROM user_rbac.access_request") == score


@pytest.mark.parametrize(
    ("columns", "score"),
    [({}, 10), ({"sensitivity": "personal"}, 35), ({"requires_step_up": True}, 60)],
)
def test_the_risk_of_a_permission_is_its_sensitivity(
    office: Office, columns: dict[str, Any], score: int
) -> None:
    _submit(office, _ask(office, permission_id=office.permission("job:read", **columns)))
    assert office.one("SELECT risk_score FROM user_rbac.access_request") == score


def test_approvers_are_shown_the_duties_that_would_mix(office: Office, role: UUID) -> None:
    other = office.role("approver")
    office.rule("payroll", role, other)
    office.assign(office.ada, other)
    _submit(office, _ask(office, role_id=role))
    assert office.rows(
        "SELECT rule_code, severity, mitigation_allowed, role_code"
        " FROM user_rbac.v_request_conflict ORDER BY role_code"
    ) == [("payroll", "block", False, "approver"), ("payroll", "block", False, "clerk")]
    assert office.one("SELECT risk_score FROM user_rbac.access_request") == 55


def test_what_was_submitted_is_not_changed(office: Office, role: UUID) -> None:
    made = _ask(office, role_id=role)
    office.run("UPDATE user_rbac.access_request SET requested_until = '2100-01-01'")
    _submit(office, made)
    with pytest.raises(errors.RestrictViolation, match="was submitted and is not changed"):
        office.run("UPDATE user_rbac.access_request SET role_id = %s", office.role("root"))


@pytest.mark.parametrize(("who", "message"), [("ada", "would receive"), ("bob", "asked for")])
def test_nobody_approves_their_own(office: Office, role: UUID, who: str, message: str) -> None:
    made = _ask(office, role_id=role)
    _submit(office, made)
    with pytest.raises(errors.CheckViolation, match=message):
        _approver(office, made, getattr(office, who))


@pytest.mark.parametrize("who", ["ada", "bob"])
def test_nobody_takes_over_their_own_approval(office: Office, role: UUID, who: str) -> None:
    made = _ask(office, role_id=role)
    _submit(office, made)
    _approver(office, made, office.cleo)
    with pytest.raises(errors.CheckViolation, match="nobody approves"):
        office.run(
            "UPDATE user_rbac.access_approval SET approver_user_account_id = %s",
            getattr(office, who),
        )


def test_a_request_is_approved_with_its_last_step(office: Office, role: UUID) -> None:
    made = _ask(office, role_id=role)
    _submit(office, made)
    first, second = (_approver(office, made, who, n) for n, who in _steps(office))
    assert office.state_of("access_request", made) == "in_approval"
    _decide(office, first, "approved")
    assert office.state_of("access_request", made) == "in_approval"
    _decide(office, second, "approved")
    assert office.state_of("access_request", made) == "approved"
    assert office.one("SELECT decided_at FROM user_rbac.access_request") is not None


def _steps(office: Office) -> list[tuple[int, UUID]]:
    return [(1, office.cleo), (2, office.dan)]


@pytest.mark.parametrize(
    ("decisions", "state"),
    [
        (("rejected",), "rejected"),
        (("approved", "rejected"), "rejected"),
        (("approved", "abstained"), "in_approval"),
        (("escalated", "approved"), "in_approval"),
        (("approved", "approved"), "approved"),
    ],
)
def test_a_step_needs_an_approval(
    office: Office, role: UUID, decisions: tuple[str, ...], state: str
) -> None:
    made = _ask(office, role_id=role)
    _submit(office, made)
    approvals = [_approver(office, made, who, n) for n, who in _steps(office)]
    for approval, decision in zip(approvals, decisions, strict=False):
        _decide(office, approval, decision)
    assert office.state_of("access_request", made) == state


def test_within_a_step_one_approval_and_no_open_question_suffice(
    office: Office, role: UUID
) -> None:
    made = _ask(office, role_id=role)
    _submit(office, made)
    first, second = (_approver(office, made, who) for _, who in _steps(office))
    _decide(office, first, "approved")
    assert office.state_of("access_request", made) == "in_approval"
    _decide(office, second, "abstained")
    assert office.state_of("access_request", made) == "approved"


def test_steps_are_decided_in_their_order(office: Office, role: UUID) -> None:
    made = _ask(office, role_id=role)
    _submit(office, made)
    _, second = (_approver(office, made, who, n) for n, who in _steps(office))
    with pytest.raises(errors.CheckViolation, match="earlier step"):
        _decide(office, second, "approved")


def test_a_draft_is_not_decided(office: Office, role: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="is draft: nothing is left to decide"):
        _approver(office, _ask(office, role_id=role), office.cleo)


DECISIONS = ("pending", "approved", "rejected", "escalated", "abstained")


@pytest.mark.parametrize("old", DECISIONS[1:])
@pytest.mark.parametrize("new", DECISIONS)
def test_a_decision_stands(office: Office, role: UUID, old: str, new: str) -> None:
    made = _ask(office, role_id=role)
    _submit(office, made)
    approval = _approver(office, made, office.cleo)
    _decide(office, approval, old)
    if old != new:
        with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
            _decide(office, approval, new)


def _approved(office: Office, **columns: Any) -> UUID:
    made = _ask(office, **columns)
    _submit(office, made)
    _decide(office, _approver(office, made, office.cleo), "approved")
    return made


def test_an_approved_role_is_granted_once(office: Office, role: UUID) -> None:
    tomorrow = office.one("SELECT (now() AT TIME ZONE 'UTC')::date + 1")
    made = _approved(office, role_id=role, requested_until=tomorrow)
    provision = "SELECT user_rbac.provision_access_request(%s)"
    granted = office.one(provision, made)
    assert office.state_of("access_request", made) == "provisioned"
    assert office.rows(
        "SELECT role_assignment_id, user_account_id, granted_by_user_account_id, origin,"
        " access_request_id, (valid_until AT TIME ZONE 'UTC')::date"
        " FROM user_rbac.role_assignment"
    ) == [(granted, office.ada, office.cleo, "request", made, tomorrow + timedelta(days=1))]
    with pytest.raises(errors.CheckViolation, match="is provisioned, not approved"):
        office.one(provision, made)


def test_an_approved_permission_is_granted_for_90_days(office: Office) -> None:
    made = _approved(office, permission_id=office.permission("job:read"))
    office.one("SELECT user_rbac.provision_access_request(%s)", made)
    assert office.rows(
        "SELECT user_account_id, effect, approved_by_user_account_id, valid_until - now()"
        " FROM user_rbac.permission_override"
    ) == [(office.ada, "allow", office.cleo, timedelta(days=90))]


def test_a_request_that_would_mix_duties_needs_a_mitigation(office: Office, role: UUID) -> None:
    other = office.role("approver")
    office.rule("payroll", role, other, mitigation_allowed=True)
    office.assign(office.ada, other)
    made = _approved(office, role_id=role)
    provision = "SELECT user_rbac.provision_access_request(%s, %s)"
    with office.refusing(errors.CheckViolation, "payroll"):
        office.one(provision, made, None)
    assert office.one(provision, made, "CTL-9")


def test_what_was_for_a_time_that_is_over_is_not_granted(office: Office, role: UUID) -> None:
    made = _approved(office, role_id=role, requested_until="2020-01-01")
    with pytest.raises(errors.CheckViolation, match="for a time that is over"):
        office.one("SELECT user_rbac.provision_access_request(%s)", made)


def test_there_is_nothing_to_provision(office: Office) -> None:
    with pytest.raises(errors.NoDataFound, match="no request"):
        office.one("SELECT user_rbac.provision_access_request(%s)", uuid4())


# Reviews.


def _review(office: Office, **columns: Any) -> UUID:
    now = office.one("SELECT now()")
    values = {
        "name": "Half-year",
        "owner_user_account_id": office.dan,
        "opens_at": now - timedelta(days=1),
        "due_at": now + timedelta(days=20),
        **columns,
    }
    return office.insert("access_review", **values)


def _open(office: Office, review: UUID) -> int:
    opened: int = office.one("SELECT user_rbac.open_access_review(%s)", review)
    return opened


@pytest.fixture
def holders(office: Office, role: UUID) -> dict[str, UUID]:
    """Three assignments: ada's, bob's and dan's."""
    return {name: office.assign(getattr(office, name), role) for name in ("ada", "bob", "dan")}


def test_every_grant_is_reviewed_by_another(
    office: Office, holders: dict[str, UUID], role: UUID
) -> None:
    office.run("UPDATE user_rbac.role SET owner_user_account_id = %s", office.cleo)
    assert _open(office, _review(office)) == 3
    assert office.column(
        "SELECT DISTINCT reviewer_user_account_id FROM user_rbac.access_review_item"
    ) == [office.cleo]
    assert office.rows("SELECT item_count, completed_count FROM user_rbac.access_review") == [
        (3, 0)
    ]


def test_without_an_owner_the_owner_of_the_review_decides(
    office: Office, holders: dict[str, UUID]
) -> None:
    assert _open(office, _review(office)) == 2, "nobody is left for what dan holds himself"
    reviewers = "SELECT DISTINCT reviewer_user_account_id FROM user_rbac.access_review_item"
    assert office.column(reviewers) == [office.dan]


@pytest.mark.parametrize(
    ("columns", "count"),
    [
        ({"scope_kind": "privileged"}, 1),
        ({"scope_kind": "role", "scope_filter": {"role_codes": ["clerk"]}}, 2),
        ({"scope_kind": "role", "scope_filter": {}}, 0),
        ({"scope_kind": "dormant"}, 1),
        ({"scope_kind": "dormant", "scope_filter": {"unused_days": 200}}, 0),
        ({"scope_kind": "org_unit", "scope_filter": {"org_unit_codes": ["sales"]}}, 0),
    ],
)
def test_a_review_has_its_scope(
    office: Office, holders: dict[str, UUID], columns: dict[str, Any], count: int
) -> None:
    office.assign(
        office.cleo,
        office.role("head", risk_tier="high"),
        valid_from=office.one("SELECT now() - interval '120 days'"),
    )
    assert _open(office, _review(office, **columns)) == count


def _decide_item(office: Office, assignment: UUID, decision: str) -> None:
    office.run(
        "UPDATE user_rbac.access_review_item SET decision = %s, decided_at = now()"
        " WHERE role_assignment_id = %s",
        *(decision, assignment),
    )


@pytest.mark.parametrize("is_strict", [True, False])
def test_closing_a_review_carries_its_decisions_out(
    office: Office, holders: dict[str, UUID], is_strict: bool
) -> None:
    office.run("UPDATE user_rbac.role SET owner_user_account_id = %s", office.cleo)
    review = _review(office, auto_revoke_on_no_answer=is_strict)
    _open(office, review)
    _decide_item(office, holders["ada"], "keep")
    _decide_item(office, holders["bob"], "revoke")
    close = "SELECT user_rbac.close_access_review(%s)"
    assert office.one(close, review) == (2 if is_strict else 1)
    states = {name: office.state_of("role_assignment", made) for name, made in holders.items()}
    left = "revoked" if is_strict else "active"
    assert states == {"ada": "active", "bob": "revoked", "dan": left}
    certified = "SELECT certified_at FROM user_rbac.role_assignment WHERE role_assignment_id = %s"
    assert office.one(certified, holders["ada"]) is not None
    assert office.rows(
        "SELECT state, item_count, completed_count FROM user_rbac.access_review"
    ) == [("closed", 3, 3 if is_strict else 2)]
    overdue = "SELECT role_assignment_id FROM user_rbac.access_review_item WHERE is_overdue"
    assert office.column(overdue) == [holders["dan"]]
    with pytest.raises(errors.CheckViolation, match="is closed, not open"):
        office.one(close, review)


def test_no_answer_revokes_no_emergency(office: Office) -> None:
    now = office.one("SELECT now()")
    office.insert(
        "emergency_access",
        user_account_id=office.ada,
        role_id=office.role("root"),
        reason="Terminal down",
        expires_at=now + timedelta(hours=1),
        notified_security_at=now,
    )
    review = _review(office, auto_revoke_on_no_answer=True)
    assert _open(office, review) == 1
    assert office.one("SELECT user_rbac.close_access_review(%s)", review) == 0
    assert office.column("SELECT state FROM user_rbac.role_assignment") == ["active"]


def test_a_review_that_is_over_is_not_changed(office: Office, holders: dict[str, UUID]) -> None:
    review = _review(office)
    _open(office, review)
    office.one("SELECT user_rbac.close_access_review(%s)", review)
    with pytest.raises(errors.RestrictViolation, match='review "Half-year" is closed'):
        _decide_item(office, holders["ada"], "revoke")


def test_nobody_reviews_what_they_hold(office: Office, holders: dict[str, UUID]) -> None:
    values = {"access_review_id": _review(office), "role_assignment_id": holders["ada"]}
    with office.refusing(errors.CheckViolation, "another"):
        office.insert(
            "access_review_item",
            holder_id=office.ada,
            reviewer_user_account_id=office.ada,
            **values,
        )
    with pytest.raises(errors.ForeignKeyViolation):
        office.insert(
            "access_review_item",
            holder_id=office.bob,
            reviewer_user_account_id=office.ada,
            **values,
        )


REVIEWS = {
    "planned": {"open", "cancelled"},
    "open": {"closed", "cancelled"},
    "closed": set(),
    "cancelled": set(),
}


@pytest.mark.parametrize("old", REVIEWS)
@pytest.mark.parametrize("new", REVIEWS)
def test_a_review_moves_by_its_table(office: Office, old: str, new: str) -> None:
    with office.as_platform():
        made = _review(office, state=old, closed_at="now" if old == "closed" else None)
    change = (
        "UPDATE user_rbac.access_review SET state = %s,"
        " closed_at = CASE %s WHEN 'closed' THEN now() END"
    )
    if new in REVIEWS[old] | {old}:
        office.run(change, new, new)
        assert office.state_of("access_review", made) == new
    else:
        with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
            office.run(change, new, new)


@pytest.mark.parametrize("call", ["open_access_review", "close_access_review"])
def test_there_is_no_such_review(office: Office, call: str) -> None:
    with pytest.raises(errors.NoDataFound, match="no review"):
        office.one(f"SELECT user_rbac.{call}(%s)", uuid4())
