"""Employees ask, read and agree for themselves; what they cannot do alone, somebody else does."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_account, add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.payday import Company, shop
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused

__all__ = ["shop"]  # a fixture

AT = "2026-05-04 10:00+00"
REQUEST = {
    "submitted": ["auto_approved", "in_review", "approved", "rejected", "withdrawn"],
    "in_review": ["approved", "rejected", "withdrawn"],
    "auto_approved": [],
    "approved": [],
    "rejected": [],
    "withdrawn": [],
}
TASK = {
    "open": ["done", "waived", "overdue"],
    "overdue": ["done", "waived"],
    "done": ["open"],
    "waived": ["open"],
}
INQUIRY = {
    "open": ["waiting_employee", "resolved", "escalated"],
    "waiting_employee": ["open", "resolved", "escalated"],
    "escalated": ["waiting_employee", "resolved"],
    "resolved": ["reopened"],
    "reopened": ["waiting_employee", "resolved", "escalated"],
}
BANK = '{"account_token": "tok_x", "routing_number": "021000021", "last4": "1234"}'
HOME = '{"line1": "14 Elm Street", "city": "Oak Park", "region_code": "IL", "postal_code": "60302"}'


def one(connection: Connection, query: str, *values: Any) -> Any:
    found = connection.execute(query.encode(), values).fetchone()
    assert found
    return found[0] if len(found) == 1 else found


@pytest.fixture
def person(app: Connection) -> UUID:
    return row(
        app,
        "payroll.employee",
        email="ada@example.com",
        mobile_phone="+13125550199",
        status="active",
    )


@pytest.fixture
def office(app: Connection) -> UUID:
    return row(app, "user_mgmt.user_account")


def ask(
    connection: Connection,
    person: UUID,
    kind: str,
    wanted: str,
    proven: bool = False,
    since: str = "2026-06-01",
) -> UUID:
    made = one(
        connection,
        "SELECT payroll.request_profile_change(%s, %s, %s, %s, %s, %s)",
        person,
        kind,
        wanted,
        since,
        proven,
        AT,
    )
    return UUID(str(made))


def decide(
    connection: Connection,
    request: UUID,
    reviewer: UUID,
    approve: bool = True,
    why: str | None = None,
) -> None:
    connection.execute(
        "SELECT payroll.decide_profile_change(%s, %s, %s, %s, %s)",
        [request, reviewer, approve, why, AT],
    )


def request_of(connection: Connection, request: UUID, column: str) -> Any:
    return one(
        connection,
        f"SELECT {column} FROM payroll.profile_change_request WHERE profile_change_request_id = %s",
        request,
    )


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        (
            "profile_change_request",
            {"change_kind": "bank_account", "risk_level": "medium", "step_up_passed": True},
            "bank_is_high_risk",
        ),
        (
            "profile_change_request",
            {"change_kind": "bank_account", "risk_level": "high"},
            "bank_needs_step_up",
        ),
        (
            "profile_change_request",
            {
                "change_kind": "bank_account",
                "risk_level": "high",
                "step_up_passed": True,
                "new_values": '{"account_number": "12345678"}',
            },
            "bank_number_as_token",
        ),
        (
            "profile_change_request",
            {"status": "auto_approved", "risk_level": "medium", "reviewed_at": "2030-01-01"},
            "only_low_risk_by_itself",
        ),
        ("profile_change_request", {"status": "approved", "reviewed_by": ...}, "decided_has_time"),
        ("profile_change_request", {"reviewed_at": "2030-01-01"}, "decided_has_time"),
        (
            "profile_change_request",
            {"status": "approved", "reviewed_at": "2030-01-01"},
            "decided_by_somebody",
        ),
        (
            "profile_change_request",
            {
                "status": "rejected",
                "reviewed_at": "2030-01-01",
                "reviewed_by": ...,
                "rejection_reason": " ",
            },
            "rejected_has_reason",
        ),
        (
            "profile_change_request",
            {
                "status": "approved",
                "requested_at": AT,
                "reviewed_at": "2026-05-04 09:59+00",
                "reviewed_by": ...,
            },
            "reviewed_after_request",
        ),
        ("profile_change_request", {"applied_at": "2030-01-01"}, "applied_after_approval"),
        ("onboarding_task", {"state": "done"}, "done_has_time"),
        ("onboarding_task", {"completed_at": AT}, "done_has_time"),
        ("onboarding_task", {"task_code": "final_pay"}, "on_its_list"),
        ("onboarding_task", {"checklist": "offboarding", "task_code": "w4"}, "on_its_list"),
        (
            "onboarding_task",
            {"checklist": "offboarding", "task_code": "equipment", "blocks_first_pay": True},
            "blocks_joining_only",
        ),
        ("onboarding_task", {"sequence_no": 0}, "countable"),
        ("delivery_consent", {"withdrawn_at": "2026-01-02 10:00+00"}, "withdrawn_after_given"),
        *(
            ("delivery_consent", {"document_kind": kind, "is_electronic": True}, "need_access")
            for kind in ("w2", "1095c", "1099")
        ),
        ("employee_document", {"document_kind": "pay_stub"}, "stub_is_of_paycheck"),
        ("employee_document", {"document_kind": "w2", "tax_year": 2025}, "w2_is_of_statement"),
        ("employee_document", {"document_kind": "1095c"}, "form_has_year"),
        (
            "employee_document",
            {"signed_at": AT, "first_viewed_at": AT, "view_count": 1},
            "where_asked",
        ),
        ("employee_document", {"requires_signature": True, "signed_at": AT}, "after_reading"),
        (
            "employee_document",
            {"first_viewed_at": "2026-01-02 09:59+00", "view_count": 1},
            "viewed_after_publication",
        ),
        ("employee_document", {"view_count": 1}, "views_countable"),
        ("employee_document", {"available_until": "2026-01-02 10:00+00"}, "available_after"),
        ("pay_inquiry", {"status": "resolved", "first_response_at": AT}, "resolved_says_how"),
        ("pay_inquiry", {"resolution": "explained"}, "resolved_says_how"),
        ("pay_inquiry", {"status": "waiting_employee"}, "answered_has_time"),
        ("pay_inquiry", {"first_response_at": "2026-01-02 09:59+00"}, "answered_after_opening"),
        ("pay_inquiry", {"satisfaction_score": 3}, "rated_once_resolved"),
        (
            "pay_inquiry",
            {
                "status": "resolved",
                "first_response_at": AT,
                "resolved_at": AT,
                "resolution": "no_error",
                "satisfaction_score": 6,
            },
            "rated_from_one_to_five",
        ),
        ("pay_inquiry", {"question": " "}, "asks_something"),
        ("self_service_event", {"action": "edit_bank"}, "bank_asks_for_step_up"),
        (
            "self_service_event",
            {"action": "edit_bank", "step_up_passed": False},
            "denied_without_step_up",
        ),
        (
            "self_service_event",
            {"action": "edit_bank", "step_up_passed": True, "channel": "kiosk"},
            "no_bank_at_kiosk",
        ),
    ],
)
def test_a_row_that_cannot_be_true(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        imported(app, f"payroll.{table}", **columns)


def test_a_request_tells_what_it_changes(app: Connection, person: UUID) -> None:
    app.execute("UPDATE payroll.employee SET first_name = 'Ada', last_name = 'Day'")
    asked = ask(app, person, "legal_name", '{"first_name": "Ada", "last_name": "Night"}')
    assert request_of(app, asked, "old_values") == {"first_name": "Ada", "last_name": "Day"}
    changes = app.execute("SELECT * FROM payroll.profile_changes(%s)", [asked]).fetchall()
    assert changes == [("last_name", "Day", "Night")]


def test_what_was_not_there_before_is_a_change_too(app: Connection, person: UUID) -> None:
    asked = ask(app, person, "dependents", '{"count": 2}')
    changes = app.execute("SELECT * FROM payroll.profile_changes(%s)", [asked]).fetchall()
    assert changes == [("count", None, "2")]


@pytest.mark.parametrize("kind", ["bank_account", "phone", "legal_name"])
def test_a_confirmation_goes_to_the_address_on_file(
    app: Connection, person: UUID, kind: str
) -> None:
    wanted = BANK if kind == "bank_account" else '{"mobile_phone": "+13125550100"}'
    asked = ask(app, person, kind, wanted, proven=True)
    assert request_of(app, asked, "confirmation_sent_to") == "ada@example.com"
    told = app.execute(
        "SELECT payload ->> 'send_to' FROM system_core.outbox_event WHERE aggregate_id = %s",
        [asked],
    ).fetchall()
    assert told == [("ada@example.com",)]


def test_a_new_home_is_confirmed_to_the_old_one(app: Connection, person: UUID) -> None:
    old = row(
        app,
        "system_core.postal_address",
        line1="3 Oak Lane",
        city="Berwyn",
        region_code="IL",
        postal_code="60402",
    )
    row(app, "payroll.employee_residence", employee_id=person, postal_address_id=old)
    asked = ask(app, person, "address", HOME)
    assert request_of(app, asked, "confirmation_sent_to") == "3 Oak Lane, Berwyn, IL 60402"


def test_a_confirmation_does_not_go_where_the_request_says(app: Connection, person: UUID) -> None:
    asked = row(
        app,
        "payroll.profile_change_request",
        employee_id=person,
        confirmation_sent_to="thief@example.com",
    )
    assert request_of(app, asked, "confirmation_sent_to") == "ada@example.com"
    with pytest.raises(errors.RestrictViolation, match="does not change"):
        app.execute(
            "UPDATE payroll.profile_change_request SET confirmation_sent_to = 'thief@example.com'"
        )


@pytest.mark.parametrize(
    "change",
    [
        """new_values = '{"mobile_phone": "+13125550666"}'""",
        "effective_on = '2020-01-01'",
        "step_up_passed = NOT step_up_passed",
    ],
)
def test_what_was_asked_for_stands(app: Connection, person: UUID, change: str) -> None:
    ask(app, person, "phone", '{"mobile_phone": "+13125550100"}')
    with pytest.raises(errors.RestrictViolation, match="does not change"):
        app.execute(f"UPDATE payroll.profile_change_request SET {change}".encode())


def test_one_open_request_of_a_kind(app: Connection, person: UUID, office: UUID) -> None:
    first = ask(app, person, "phone", '{"mobile_phone": "+13125550100"}')
    ask(app, person, "legal_name", '{"last_name": "Night"}')
    with pytest.raises(errors.UniqueViolation), app.transaction():
        ask(app, person, "phone", '{"mobile_phone": "+13125550101"}')
    decide(app, first, office)
    ask(app, person, "phone", '{"mobile_phone": "+13125550101"}')


def test_a_bank_change_without_step_up_is_no_request(app: Connection, person: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="bank_needs_step_up"):
        ask(app, person, "bank_account", BANK)


def test_whom_to_call_needs_nobody(app: Connection, person: UUID) -> None:
    asked = ask(app, person, "emergency_contact", '{"name": "Sam"}')
    assert request_of(app, asked, "status, reviewed_by, applied_at IS NOT NULL") == (
        "auto_approved",
        None,
        True,
    )


def test_nobody_reviews_their_own_change(app: Connection, person: UUID, office: UUID) -> None:
    app.execute("UPDATE payroll.employee SET user_account_id = %s", [office])
    asked = ask(app, person, "phone", '{"mobile_phone": "+13125550100"}')
    with pytest.raises(errors.CheckViolation, match="their own change"):
        decide(app, asked, office)


def test_an_approved_phone_is_on_the_record(app: Connection, person: UUID, office: UUID) -> None:
    asked = ask(app, person, "phone", '{"mobile_phone": "+13125550100"}')
    assert one(app, "SELECT mobile_phone FROM payroll.employee") == "+13125550199"
    decide(app, asked, office)
    assert one(app, "SELECT mobile_phone FROM payroll.employee") == "+13125550100"
    assert request_of(app, asked, "applied_at IS NOT NULL") is True


def test_an_approved_name_changes_what_it_names(
    app: Connection, person: UUID, office: UUID
) -> None:
    app.execute(
        "UPDATE payroll.employee SET first_name = 'Ada', middle_name = 'B', last_name = 'Day'"
    )
    decide(app, ask(app, person, "legal_name", '{"last_name": "Night"}'), office)
    assert one(app, "SELECT first_name, middle_name, last_name FROM payroll.employee") == (
        "Ada",
        "B",
        "Night",
    )


def test_an_approved_home_ends_the_one_before(app: Connection, person: UUID, office: UUID) -> None:
    row(app, "payroll.employee_residence", employee_id=person, effective_from="2024-01-01")
    decide(app, ask(app, person, "address", HOME), office)
    homes = app.execute(
        "SELECT r.effective_from::text, r.effective_until::text, r.source, a.city = 'Oak Park'"
        " FROM payroll.employee_residence AS r JOIN system_core.postal_address AS a"
        " USING (business_id, postal_address_id) ORDER BY r.effective_from"
    ).fetchall()
    assert homes[0][:2] == ("2024-01-01", "2026-06-01")
    assert homes[1] == ("2026-06-01", None, "self_service", True)


def test_an_approved_account_is_held(app: Connection, person: UUID, office: UUID) -> None:
    decide(app, ask(app, person, "bank_account", BANK, proven=True), office)
    assert one(
        app,
        "SELECT added_by, status, prenote_status, risk_hold_until > now()"
        " FROM payroll.employee_bank_account",
    ) == ("self_service", "pending", "sent", True)


@pytest.mark.parametrize("kind", ["withholding", "dependents"])
def test_what_needs_a_form_is_entered_by_the_office(
    app: Connection, person: UUID, office: UUID, kind: str
) -> None:
    asked = ask(app, person, kind, '{"count": 1}')
    decide(app, asked, office)
    assert request_of(app, asked, "status, applied_at") == ("approved", None)


def test_what_is_rejected_changes_nothing(app: Connection, person: UUID, office: UUID) -> None:
    asked = ask(app, person, "phone", '{"mobile_phone": "+13125550100"}')
    decide(app, asked, office, approve=False, why="Not a number of ours")
    assert one(app, "SELECT mobile_phone FROM payroll.employee") == "+13125550199"
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="rejected and not carried out"):
        app.execute("SELECT payroll.apply_profile_change(%s)", [asked])


def test_a_request_is_decided_once(app: Connection, person: UUID, office: UUID) -> None:
    asked = ask(app, person, "phone", '{"mobile_phone": "+13125550100"}')
    decide(app, asked, office)
    with (
        pytest.raises(errors.ObjectNotInPrerequisiteState, match="approved and not decided"),
        app.transaction(),
    ):
        decide(app, asked, office)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="done and not carried out"):
        app.execute("SELECT payroll.apply_profile_change(%s)", [asked])


@pytest.mark.parametrize("function", ["decide_profile_change(%s, %s, true)"])
def test_a_request_of_nobody_is_not_decided(app: Connection, office: UUID, function: str) -> None:
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="missing"):
        app.execute(f"SELECT payroll.{function}".encode(), [office, office])


@pytest.mark.parametrize(("before", "after"), refused(REQUEST))
def test_a_request_goes_its_way(
    app: Connection, person: UUID, office: UUID, before: str, after: str
) -> None:
    columns: dict[str, Any] = {"risk_level": "low", "rejection_reason": "No"}
    if before in ("approved", "rejected", "auto_approved"):
        columns |= {"reviewed_at": "2030-01-01"}
    if before in ("approved", "rejected"):
        columns |= {"reviewed_by": office}
    imported(app, "payroll.profile_change_request", employee_id=person, status=before, **columns)
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        app.execute("UPDATE payroll.profile_change_request SET status = %s", [after])


def test_two_that_decide_at_once_decide_once(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        office = add_account(connection, tenant, "ada")
        become_app(connection, tenant)
        person = row(connection, "payroll.employee")
        asked = ask(connection, person, "bank_account", BANK, proven=True)

    def approve(connection: Connection, _: int) -> str:
        try:
            decide(connection, asked, office)
        except errors.ObjectNotInPrerequisiteState:
            return "late"
        return "approved"

    assert sorted(at_once(target, tenant, 2, approve)) == ["approved", "late"]
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert one(connection, "SELECT count(*) FROM payroll.employee_bank_account") == 1


# Joining and leaving.


def tasks(connection: Connection, columns: str = "task_code, due_on::text") -> list[Any]:
    return connection.execute(
        f"SELECT {columns} FROM payroll.onboarding_task ORDER BY checklist, sequence_no".encode()
    ).fetchall()


def test_joining_has_nine_steps(app: Connection, person: UUID, office: UUID) -> None:
    made = one(
        app, "SELECT payroll.start_checklist(%s, 'onboarding', '2026-05-04', %s)", person, office
    )
    assert made == 9
    assert tasks(app)[0] == ("personal_data", "2026-05-01")
    assert ("i9_section2", "2026-05-07") in tasks(app)
    by_office = tasks(app, "task_code, assigned_to IS NOT NULL")
    assert [code for code, is_theirs in by_office if is_theirs] == ["i9_section2", "equipment"]
    blocking = tasks(app, "task_code, blocks_first_pay")
    assert [code for code, blocks in blocking if blocks] == ["personal_data", "i9_section1"]


def test_leaving_ends_with_the_notice_of_cobra(app: Connection, person: UUID) -> None:
    app.execute("SELECT payroll.start_checklist(%s, 'offboarding', '2026-05-04')", [person])
    assert tasks(app)[-1] == ("cobra_notice", "2026-06-17")


def test_a_list_is_not_given_twice(app: Connection, person: UUID) -> None:
    call = "SELECT payroll.start_checklist(%s, 'onboarding', %s)"
    assert one(app, call, person, "2026-05-04") == 9
    assert one(app, call, person, "2026-05-05") == 0
    app.execute("UPDATE payroll.onboarding_task SET state = 'done', completed_at = %s", [AT])
    assert one(app, call, person, "2027-05-04") == 9
    assert tasks(app, "state, due_on >= '2027-05-01'")[0] == ("open", True)


def test_what_is_not_done_in_time_is_overdue_and_reminded(app: Connection, person: UUID) -> None:
    app.execute("SELECT payroll.start_checklist(%s, 'onboarding', '2026-05-04')", [person])
    late = "SELECT payroll.note_overdue_tasks(%s)"
    assert one(app, late, "2026-05-01") == 0
    assert one(app, late, "2026-05-05") == 4
    assert one(app, late, "2026-05-06") == 5
    assert tasks(app, "state, reminder_count")[0] == ("overdue", 2)
    app.execute("UPDATE payroll.onboarding_task SET state = 'done', completed_at = %s", [AT])
    assert one(app, late, "2027-05-06") == 0


@pytest.mark.parametrize(("before", "after"), refused(TASK))
def test_a_task_goes_its_way(app: Connection, before: str, after: str) -> None:
    imported(
        app, "payroll.onboarding_task", state=before, completed_at=AT if before == "done" else None
    )
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        app.execute("UPDATE payroll.onboarding_task SET state = %s", [after])


def test_an_open_step_blocks_the_first_pay(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    shop.connection.execute("SELECT payroll.start_checklist(%s, 'onboarding', '2026-01-02')", [who])
    run = shop.start()
    assert shop.calculate(run)[who] == "blocked"
    assert shop.findings(run)["onboarding_open"] == "blocker"
    assert (
        shop.one("SELECT message FROM payroll.pay_run_exception WHERE code = 'onboarding_open'")
        == "Before the first pay: personal_data, i9_section1"
    )
    with pytest.raises(errors.DatabaseError, match="blocker"), shop.connection.transaction():
        shop.approve(run)
    shop.connection.execute(
        "UPDATE payroll.onboarding_task SET state = 'done', completed_at = now()"
        " WHERE blocks_first_pay"
    )
    shop.calculate(run)
    assert "onboarding_open" not in shop.findings(run)


def test_a_step_left_open_blocks_no_later_pay(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    shop.finish(1)
    shop.connection.execute("SELECT payroll.start_checklist(%s, 'onboarding', '2026-01-02')", [who])
    run = shop.start(2)
    shop.calculate(run)
    assert "onboarding_open" not in shop.findings(run)


# Consent.


def consent(connection: Connection, person: UUID, kind: str = "w2", **given: Any) -> UUID:
    columns = {"is_electronic": True, "demonstrated_access": True, **given}
    return row(
        connection,
        "payroll.delivery_consent",
        employee_id=person,
        document_kind=kind,
        **columns,
    )


def test_one_consent_of_a_kind_at_a_time(app: Connection, person: UUID) -> None:
    consent(app, person, withdrawn_at="2026-03-01")
    consent(app, person, kind="pay_stub")
    consent(app, person, consented_at="2026-03-01")
    with pytest.raises(errors.ExclusionViolation, match="one_at_a_time"):
        consent(app, person, consented_at="2026-02-01")


@pytest.mark.parametrize(
    ("moment", "wants"),
    [
        ("2026-01-02 09:59+00", False),
        ("2026-01-02 10:00+00", True),
        ("2026-02-28 23:59+00", True),
        ("2026-03-01 00:00+00", False),
    ],
)
def test_consent_holds_from_then_until_withdrawn(
    app: Connection, person: UUID, moment: str, wants: bool
) -> None:
    consent(app, person, withdrawn_at="2026-03-01 00:00+00")
    found = one(app, "SELECT payroll.wants_electronic(%s, 'w2', %s)", person, moment)
    assert found is wants


def test_who_wants_paper_gets_paper(app: Connection, person: UUID) -> None:
    consent(app, person, is_electronic=False)
    assert one(app, "SELECT payroll.wants_electronic(%s, 'w2')", person) is False
    assert one(app, "SELECT payroll.wants_electronic(%s, 'pay_stub')", person) is False


@pytest.mark.parametrize(
    "change",
    [
        "is_electronic = false",
        "demonstrated_access = false",
        "consented_at = consented_at - interval '1 year'",
        "disclosure_version = 'another'",
    ],
)
def test_a_consent_stands_as_it_was_given(app: Connection, person: UUID, change: str) -> None:
    consent(app, person, kind="pay_stub")
    with pytest.raises(errors.RestrictViolation, match="does not change"):
        app.execute(f"UPDATE payroll.delivery_consent SET {change}".encode())


def test_a_consent_is_withdrawn_once(app: Connection, person: UUID) -> None:
    consent(app, person)
    app.execute("UPDATE payroll.delivery_consent SET withdrawn_at = '2026-03-01'")
    with pytest.raises(errors.RestrictViolation, match="does not change"):
        app.execute("UPDATE payroll.delivery_consent SET withdrawn_at = NULL")


# Documents.


def paid(shop: Company) -> tuple[UUID, UUID]:
    """Somebody with a final paycheck."""
    who = shop.hire(rate=78000, basis="salary")
    return who, shop.paycheck(shop.finish(), who)["paycheck_id"]


def publish(shop: Company, paycheck: UUID, moment: str = AT) -> UUID:
    made = shop.one(
        "SELECT payroll.publish_pay_stub(%s, %s, %s)",
        paycheck,
        row(shop.connection, "system_core.file_object"),
        moment,
    )
    return UUID(str(made))


def test_a_stub_stays_for_four_years(shop: Company) -> None:
    who, paycheck = paid(shop)
    publish(shop, paycheck)
    assert shop.one(
        "SELECT employee_id, available_until = '2030-05-04 10:00+00' FROM payroll.employee_document"
    ) == (who, True)
    with (
        pytest.raises(errors.CheckViolation, match="stub_stays_four_years"),
        shop.connection.transaction(),
    ):
        shop.connection.execute(
            "UPDATE payroll.employee_document SET available_until = '2030-05-04 09:59+00'"
        )
    with pytest.raises(errors.RestrictViolation, match="stays available until 2030-05-04"):
        shop.connection.execute("DELETE FROM payroll.employee_document")


def test_another_document_may_be_taken_back(app: Connection) -> None:
    row(app, "payroll.employee_document")
    assert app.execute("DELETE FROM payroll.employee_document").rowcount == 1


def test_a_paycheck_has_one_stub(shop: Company) -> None:
    _, paycheck = paid(shop)
    publish(shop, paycheck)
    with pytest.raises(errors.UniqueViolation):
        publish(shop, paycheck)


def test_a_draft_is_not_published(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    run = shop.start()
    shop.calculate(run)
    with pytest.raises(errors.CheckViolation, match="draft"):
        publish(shop, shop.paycheck(run, who)["paycheck_id"])


def test_no_stub_of_a_paycheck_that_is_not_there(shop: Company) -> None:
    with pytest.raises(errors.NoDataFound, match="no paycheck"):
        publish(shop, shop.employer)


@pytest.mark.parametrize("table", ["employee_document", "pay_inquiry", "pay_variance"])
def test_a_paycheck_of_somebody_else_is_not_told(shop: Company, table: str) -> None:
    _, paycheck = paid(shop)
    columns: dict[str, Any] = {"paycheck_id": paycheck, "employee_id": shop.hire()}
    if table == "employee_document":
        columns |= {"document_kind": "pay_stub", "available_until": "2040-01-01"}
    with pytest.raises(errors.CheckViolation, match="not one of this employee"):
        row(shop.connection, f"payroll.{table}", **columns)


@pytest.mark.parametrize(
    ("status", "year", "is_theirs", "is_told"),
    [
        ("furnished", 2025, True, True),
        ("reviewed", 2025, True, False),
        ("furnished", 2024, True, False),
        ("furnished", 2025, False, False),
    ],
)
def test_a_form_is_published_to_whom_it_is_about(
    app: Connection, person: UUID, status: str, year: int, is_theirs: bool, is_told: bool
) -> None:
    statement = imported(
        app,
        "payroll.wage_statement",
        employee_id=person,
        status=status,
        furnished_on="2026-01-30",
        tax_year=2025,
    )
    columns = {
        "employee_id": person if is_theirs else row(app, "payroll.employee"),
        "document_kind": "w2",
        "wage_statement_id": statement,
        "tax_year": year,
    }
    if is_told:
        assert row(app, "payroll.employee_document", **columns)
        return
    with pytest.raises(errors.CheckViolation, match="not one of this employee and year"):
        row(app, "payroll.employee_document", **columns)


def test_a_view_is_counted_and_the_first_kept(app: Connection, person: UUID) -> None:
    made = row(app, "payroll.employee_document", employee_id=person)
    for moment in (AT, "2026-05-05 10:00+00"):
        assert one(app, "SELECT payroll.open_document(%s, %s, %s)", made, person, moment)
    assert one(
        app,
        "SELECT view_count, first_viewed_at = %s FROM payroll.employee_document",
        AT,
    ) == (2, True)


@pytest.mark.parametrize(
    ("moment", "is_theirs"),
    [(AT, False), ("2026-01-02 09:59+00", True), ("2026-07-01 00:00+00", True)],
)
def test_who_may_not_read_learns_nothing(
    app: Connection, person: UUID, moment: str, is_theirs: bool
) -> None:
    made = row(
        app,
        "payroll.employee_document",
        employee_id=person,
        available_until="2026-07-01 00:00+00",
    )
    reader = person if is_theirs else row(app, "payroll.employee")
    with pytest.raises(errors.NoDataFound, match="no such document"):
        app.execute("SELECT payroll.open_document(%s, %s, %s)", [made, reader, moment])


# Questions.


def inquire(connection: Connection, person: UUID, moment: str = AT) -> UUID:
    made = one(
        connection,
        "SELECT payroll.open_inquiry(%s, 'tax', 'Why so much?', NULL, 12.5, %s)",
        person,
        moment,
    )
    return UUID(str(made))


def numbers(connection: Connection) -> list[str]:
    found = connection.execute(
        "SELECT inquiry_number FROM payroll.pay_inquiry ORDER BY inquiry_number"
    ).fetchall()
    return [number for (number,) in found]


def test_questions_are_numbered_within_the_year(app: Connection, person: UUID) -> None:
    for moment in (AT, "2025-12-31 23:59+00", AT):
        inquire(app, person, moment)
    assert numbers(app) == ["PI-2025-00001", "PI-2026-00001", "PI-2026-00002"]


def test_questions_asked_at_once_have_numbers_of_their_own(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        person = row(connection, "payroll.employee")
    at_once(target, tenant, 4, lambda connection, _: inquire(connection, person))
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert numbers(connection) == [f"PI-2026-0000{n}" for n in range(1, 5)]


def test_the_first_answer_stops_the_clock(app: Connection, person: UUID) -> None:
    asked = inquire(app, person)
    answer = "SELECT payroll.answer_inquiry(%s, %s, %s)"
    assert one(app, answer, asked, None, "2026-05-04 11:00+00") == "waiting_employee"
    assert one(app, answer, asked, "explained", "2026-05-05 11:00+00") == "resolved"
    assert one(
        app,
        "SELECT first_response_at = '2026-05-04 11:00+00', resolved_at = '2026-05-05 11:00+00',"
        " resolution, amount_at_issue FROM payroll.pay_inquiry",
    ) == (True, True, "explained", Decimal("12.50"))


def test_a_resolved_question_is_not_answered_again(app: Connection, person: UUID) -> None:
    asked = inquire(app, person)
    app.execute("SELECT payroll.answer_inquiry(%s, 'no_error', %s)", [asked, AT])
    with pytest.raises(errors.CheckViolation, match="resolved cannot become waiting_employee"):
        app.execute("SELECT payroll.answer_inquiry(%s)", [asked])


def test_a_question_that_is_not_there_is_not_answered(app: Connection, person: UUID) -> None:
    with pytest.raises(errors.NoDataFound, match="no inquiry"):
        app.execute("SELECT payroll.answer_inquiry(%s)", [person])


@pytest.mark.parametrize(("before", "after"), refused(INQUIRY))
def test_a_question_goes_its_way(app: Connection, before: str, after: str) -> None:
    columns: dict[str, Any] = {} if before == "open" else {"first_response_at": AT}
    if before == "resolved":
        columns |= {"resolved_at": AT, "resolution": "explained"}
    imported(app, "payroll.pay_inquiry", status=before, **columns)
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        app.execute("UPDATE payroll.pay_inquiry SET status = %s", [after])


# The trail.


def test_the_trail_is_only_added_to(app: Connection) -> None:
    row(app, "payroll.self_service_event")
    for change in ("UPDATE payroll.self_service_event SET result = 'ok'",):
        with pytest.raises(errors.InsufficientPrivilege), app.transaction():
            app.execute(change.encode())
    app.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        app.execute("DELETE FROM payroll.self_service_event")


def test_a_denied_bank_change_is_in_the_trail(app: Connection) -> None:
    assert row(
        app,
        "payroll.self_service_event",
        action="edit_bank",
        step_up_passed=False,
        result="denied",
    )


def test_the_use_of_the_portal(app: Connection, person: UUID) -> None:
    for moment, result, took in (
        ("2026-05-04 10:00+00", "ok", 100),
        ("2026-05-04 11:00+00", "error", 300),
        ("2026-05-05 00:00+00", "ok", 900),
    ):
        row(
            app,
            "payroll.self_service_event",
            employee_id=person,
            occurred_at=moment,
            result=result,
            duration_ms=took,
        )
    used = app.execute(
        "SELECT action, channel, events, people, errors, median_ms"
        " FROM payroll.portal_use('2026-05-04 00:00+00', '2026-05-05 00:00+00')"
    ).fetchall()
    assert used == [("login", "web", 2, 1, 1, Decimal("200.0"))]
