"""What an agreement promises is owed, billed and earned, and nothing twice."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.conftest import become_app
from tests.integration.schema.test_hs_billing import (
    add_payment,
    allocate,
    at_commit,
    disproved,
    numbered,
)
from tests.integration.schema.test_hs_organization import one
from tests.integration.schema.test_hs_pricebook import add
from tests.integration.schema.test_hs_work_orders import add_job_type, add_order, add_place, bring

__all__ = ["numbered"]

AGREEMENT = {
    "pending": ("active", "cancelled"),
    "active": ("suspended", "renewed", "expired", "cancelled"),
    "suspended": ("active", "cancelled", "expired"),
    "expired": (),
    "renewed": (),
    "cancelled": (),
}
"""Transcribed from the specification, state by state."""
PLAN = {"draft": ("active", "retired"), "active": ("retired",), "retired": ("active",)}
VISIT = {
    "owed": ("scheduled", "skipped", "forfeited"),
    "scheduled": ("done", "owed", "skipped", "forfeited"),
    "done": ("scheduled",),
    "skipped": (),
    "forfeited": (),
}
BILLING = {
    "upcoming": ("invoiced", "waived"),
    "invoiced": ("paid", "failed", "waived", "upcoming"),
    "failed": ("paid", "waived", "upcoming"),
    "paid": ("failed", "refunded", "upcoming"),
    "waived": (),
    "refunded": (),
}

STEPS = (
    '[{"instruction": "Lock out", "kind": "safety", "minutes": 5},'
    ' {"instruction": "Rinse", "kind": "cleanup", "mandatory": false},'
    ' {"instruction": "Replace the filter"}]'
)


def add_plan(connection: Connection, **given: Any) -> UUID:
    """An active plan with a visit in April and one in October; 120 a year, billed as a whole."""
    if not one(connection, "SELECT job_type_id FROM hs.job_type"):
        add_job_type(connection)
    columns = {"plan_code": "GOLD", "name": "Gold", "status": "active", "annual_price": 120,
               "monthly_price": 10, **given}  # fmt: skip
    unit = one(connection, "SELECT business_unit_id FROM hs.business_unit")
    plan = add(connection, "agreement_plan", business_unit_id=unit, **columns)
    for seq, month in ((1, 4), (2, 10)):
        add_plan_visit(connection, plan, seq, preferred_month=month, checklist=STEPS)
    return plan


def add_plan_visit(connection: Connection, plan: UUID, seq: int, **given: Any) -> UUID:
    columns = {"name": f"Visit {seq}", "preferred_month": 4, **given}
    kind = one(connection, "SELECT job_type_id FROM hs.job_type")
    return add(
        connection,
        "agreement_plan_visit",
        agreement_plan_id=plan,
        job_type_id=kind,
        visit_seq=seq,
        **columns,
    )


def add_agreement(
    connection: Connection, plan: UUID, number: str = "A1", starts: str = "2025-01-01", **given: Any
) -> UUID:
    """A signed agreement of a year for 120, of the only location."""
    place = one(connection, "SELECT service_location_id FROM hs.service_location") or add_place(
        connection
    )
    customer = one(connection, "SELECT customer_id FROM hs.service_location")
    last_day = date.fromisoformat(starts).replace(month=12, day=31)
    columns = {"contract_amount": 120, "billing_amount": 120, "signed_at": "2024-12-20",
               "ends_on": last_day, **given}  # fmt: skip
    return add(
        connection,
        "agreement",
        agreement_plan_id=plan,
        customer_id=customer,
        service_location_id=place,
        agreement_number=number,
        starts_on=starts,
        **columns,
    )


def activate(connection: Connection, agreement: UUID) -> None:
    connection.execute("SELECT hs.activate_agreement(%s)", [agreement])


@pytest.fixture
def plan(app: Connection) -> UUID:
    """Gold: two visits a year for 120, earned by visits."""
    return add_plan(app)


@pytest.fixture
def agreement(app: Connection, plan: UUID, numbered: None) -> UUID:
    """Gold for 2025, in force."""
    found = add_agreement(app, plan)
    activate(app, found)
    return found


def visits(connection: Connection) -> list[Any]:
    return connection.execute(
        "SELECT visit_seq, due_on, status, value_amount FROM hs.agreement_visit ORDER BY 1"
    ).fetchall()


def installments(connection: Connection) -> list[Any]:
    return connection.execute(
        "SELECT installment_no, due_on, billed_amount, status FROM hs.agreement_billing ORDER BY 1"
    ).fetchall()


def status_of(connection: Connection, agreement: UUID) -> str:
    found: str = one(
        connection, "SELECT status FROM hs.agreement WHERE agreement_id = %s", agreement
    )
    return found


def test_an_agreement_in_force_owes_its_visits(app: Connection, agreement: UUID) -> None:
    assert visits(app) == [
        (1, date(2025, 4, 15), "owed", 60),
        (2, date(2025, 10, 15), "owed", 60),
    ]
    assert status_of(app, agreement) == "active"


def test_the_visits_of_years_are_each_in_the_term(app: Connection, plan: UUID) -> None:
    agreement = add_agreement(app, plan, starts="2025-05-01", ends_on="2027-04-30",
                              contract_amount=100, billing_amount=50)  # fmt: skip
    activate(app, agreement)
    assert [(seq, due.isoformat()) for seq, due, _, _ in visits(app)] == [
        (1, "2025-10-15"), (2, "2026-04-15"), (3, "2026-10-15"), (4, "2027-04-15"),
    ]  # fmt: skip
    assert one(app, "SELECT sum(value_amount) FROM hs.agreement_visit") == 100
    assert one(app, "SELECT max(window_end_on) FROM hs.agreement_visit") == date(2027, 4, 30)


@pytest.mark.parametrize(
    ("frequency", "months", "amount", "parts"),
    [
        ("monthly", 12, 10, [10] * 12),
        ("quarterly", 12, 30, [30] * 4),
        ("annual", 12, 120, [120]),
        ("annual", 18, 80, [80, 40]),
        ("upfront", 18, 120, [120]),
    ],
)
def test_installments_sum_to_the_price(
    app: Connection, frequency: str, months: int, amount: int, parts: list[int]
) -> None:
    plan = add_plan(app, billing_frequency=frequency, term_months=months)
    activate(app, add_agreement(app, plan, billing_amount=amount))
    assert [billed for _, _, billed, _ in installments(app)] == parts
    assert one(app, "SELECT next_billing_on FROM hs.agreement") == date(2025, 1, 1)


def test_an_agreement_is_activated_once(app: Connection, agreement: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="is active already"):
        activate(app, agreement)


def test_there_must_be_an_agreement(app: Connection, plan: UUID) -> None:
    with pytest.raises(errors.NoDataFound, match="there is no agreement"):
        activate(app, uuid4())


def test_what_is_not_signed_is_not_in_force(app: Connection, plan: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="in_force_was_signed"):
        activate(app, add_agreement(app, plan, signed_at=None))


def test_a_place_has_a_plan_once_at_a_time(app: Connection, plan: UUID, agreement: UUID) -> None:
    twice = add_agreement(app, plan, "A2", "2025-12-31", ends_on="2026-12-30")
    with pytest.raises(errors.ExclusionViolation, match="one_in_force_per_location_and_plan"):
        activate(app, twice)


def test_a_place_may_have_the_plan_again_after_it(
    app: Connection, plan: UUID, agreement: UUID
) -> None:
    activate(app, add_agreement(app, plan, "A2", "2026-01-01"))


def test_what_was_signed_stays(app: Connection, agreement: UUID) -> None:
    with pytest.raises(errors.RestrictViolation, match="its plan, place, term and price stay"):
        app.execute("UPDATE hs.agreement SET contract_amount = 200")


def test_a_renewal_follows_at_todays_price(app: Connection, agreement: UUID) -> None:
    app.execute("UPDATE hs.agreement_plan SET annual_price = 150")
    renewal = one(app, "SELECT agreement_id FROM hs.renew_agreement(%s)", agreement)
    row = app.execute(
        "SELECT agreement_number, contract_amount, starts_on, ends_on, status FROM hs.agreement"
        " WHERE agreement_id = %s",
        [renewal],
    ).fetchone()
    assert row == ("A000001", 150, date(2026, 1, 1), date(2026, 12, 31), "pending")
    assert status_of(app, agreement) == "active", "until the renewal begins"
    app.execute("UPDATE hs.agreement SET signed_at = now() WHERE agreement_id = %s", [renewal])
    activate(app, renewal)
    assert (status_of(app, agreement), status_of(app, renewal)) == ("renewed", "active")


def test_an_agreement_is_renewed_once(app: Connection, agreement: UUID) -> None:
    app.execute("SELECT hs.renew_agreement(%s)", [agreement])
    with pytest.raises(errors.UniqueViolation, match="agreement_renewal_idx"):
        app.execute("SELECT hs.renew_agreement(%s)", [agreement])


def test_a_cancelled_agreement_owes_nothing_more(app: Connection, numbered: None) -> None:
    plan = add_plan(app, billing_frequency="quarterly")
    agreement = add_agreement(app, plan, billing_amount=30)
    activate(app, agreement)
    app.execute("SELECT hs.cancel_agreement(%s, 'moved', '2025-04-01')", [agreement])
    assert [status for *_, status in installments(app)] == [
        "upcoming", "upcoming", "waived", "waived",
    ]  # fmt: skip
    assert {status for _, _, status, _ in visits(app)} == {"forfeited"}
    assert status_of(app, agreement) == "cancelled"


def test_there_must_be_something_to_cancel(app: Connection, plan: UUID) -> None:
    with pytest.raises(errors.NoDataFound, match="there is no agreement"):
        app.execute("SELECT hs.cancel_agreement(%s, 'moved')", [uuid4()])


def test_a_cancellation_says_why(app: Connection, agreement: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="cancelled_has_day_and_reason"):
        app.execute("UPDATE hs.agreement SET status = 'cancelled', cancelled_on = '2025-04-01'")


@pytest.mark.parametrize(("day", "ended"), [("2025-12-31", 0), ("2026-01-01", 1)])
def test_a_term_ends_after_its_last_day(
    app: Connection, agreement: UUID, day: str, ended: int
) -> None:
    assert one(app, "SELECT hs.expire_agreements(%s)", day) == ended
    assert status_of(app, agreement) == ("expired" if ended else "active")


def test_the_checklist_of_a_plan_is_read_as_rows(app: Connection, plan: UUID) -> None:
    rows = app.execute(
        "SELECT step_no, instruction, task_kind, is_mandatory, expected_minutes"
        " FROM hs.v_agreement_plan_step WHERE visit_seq = 1 ORDER BY step_no"
    ).fetchall()
    assert rows == [
        (1, "Lock out", "safety", True, 5),
        (2, "Rinse", "cleanup", False, 10),
        (3, "Replace the filter", "repair", True, 10),
    ]


@pytest.mark.parametrize(
    ("checklist", "truth"),
    [
        ('[{"kind": "safety"}]', "steps_say_what"),
        ('[{"instruction": "x", "kind": "dance"}]', "step_kinds_known"),
        ('{"instruction": "x"}', "json_array"),
    ],
)
def test_a_checklist_has_its_form(app: Connection, plan: UUID, checklist: str, truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        add_plan_visit(app, plan, 3, checklist=checklist)


def book(connection: Connection, order: UUID, seq: int = 1) -> None:
    connection.execute(
        "SELECT hs.book_agreement_visit(v.agreement_visit_id, %s, '2025-04-10')"
        " FROM hs.agreement_visit AS v WHERE v.visit_seq = %s",
        [order, seq],
    )


def test_a_visit_that_is_booked_brings_its_checklist(app: Connection, agreement: UUID) -> None:
    order = add_order(app)
    book(app, order)
    steps = app.execute(
        "SELECT task_seq, instruction, task_kind, is_mandatory, status, expected_minutes"
        " FROM hs.work_order_task ORDER BY task_seq"
    ).fetchall()
    assert steps == [
        (1, "Lock out", "safety", True, "pending", 5),
        (2, "Rinse", "cleanup", False, "pending", 10),
        (3, "Replace the filter", "repair", True, "pending", 10),
    ]
    assert one(app, "SELECT agreement_id FROM hs.work_order") == agreement
    assert [status for _, _, status, _ in visits(app)] == ["scheduled", "owed"]


def test_a_visit_is_booked_once(app: Connection, agreement: UUID) -> None:
    book(app, add_order(app))
    with pytest.raises(errors.CheckViolation, match="is not owed any more"):
        book(app, add_order(app, number="WO-2"))


def test_a_visit_is_done_at_the_place_of_the_agreement(app: Connection, agreement: UUID) -> None:
    order = add_order(app)
    other = add(app, "service_location", location_number="L2", address_line="2 Main St",
                customer_id=one(app, "SELECT customer_id FROM hs.customer"), city="Chicago",
                postal_code="60601", country_code="US")  # fmt: skip
    app.execute("UPDATE hs.work_order SET service_location_id = %s", [other])
    with pytest.raises(errors.CheckViolation, match="cannot do visit"):
        book(app, order)


def test_a_visit_is_done_with_its_job_and_owed_again_when_it_is_not(
    admin: Connection, tenant: UUID, agreement: UUID
) -> None:
    order = bring(admin, tenant, "in_progress")
    book(admin, order)
    admin.execute("UPDATE hs.work_order_task SET status = 'done', completed_at = now()")
    admin.execute("RESET ROLE")
    admin.execute("UPDATE hs.work_order SET status = 'completed'")
    assert one(admin, "SELECT status FROM hs.agreement_visit WHERE visit_seq = 1") == "done"
    admin.execute("UPDATE hs.work_order SET status = 'in_progress'")
    assert one(admin, "SELECT status FROM hs.agreement_visit WHERE visit_seq = 1") == "scheduled"
    admin.execute("UPDATE hs.work_order SET status = 'cancelled'")
    row = admin.execute(
        "SELECT status, work_order_id, scheduled_on FROM hs.agreement_visit WHERE visit_seq = 1"
    ).fetchone()
    assert row == ("owed", None, None)


def add_equipment(connection: Connection, place: UUID, tag: str = "EQ1") -> UUID:
    return add(
        connection,
        "installed_equipment",
        service_location_id=place,
        asset_tag=tag,
        installed_on="2020-01-01",
    )


def cover(connection: Connection, agreement: UUID, equipment: UUID, **given: Any) -> UUID:
    columns = {"added_on": "2025-01-01", **given}
    return add(
        connection,
        "agreement_equipment",
        agreement_id=agreement,
        installed_equipment_id=equipment,
        **columns,
    )


def test_only_equipment_of_the_place_is_covered(app: Connection, agreement: UUID) -> None:
    here = one(app, "SELECT service_location_id FROM hs.service_location")
    cover(app, agreement, add_equipment(app, here))
    other = add(app, "service_location", location_number="L2", address_line="2 Main St",
                customer_id=one(app, "SELECT customer_id FROM hs.customer"), city="Chicago",
                postal_code="60601", country_code="US")  # fmt: skip
    with pytest.raises(errors.CheckViolation, match="EQ2 does not stand where agreement A1"):
        cover(app, agreement, add_equipment(app, other, "EQ2"))


def test_equipment_is_covered_once_at_a_time(app: Connection, agreement: UUID) -> None:
    equipment = add_equipment(app, one(app, "SELECT service_location_id FROM hs.service_location"))
    cover(app, agreement, equipment, removed_on="2025-06-01")
    cover(app, agreement, equipment, added_on="2025-06-01")
    with pytest.raises(errors.ExclusionViolation, match="covered_once"):
        cover(app, agreement, equipment, added_on="2025-08-01")


@pytest.mark.parametrize(("used", "holds"), [(100, True), (101, False)])
def test_coverage_is_used_within_its_limit(
    app: Connection, agreement: UUID, used: int, holds: bool
) -> None:
    equipment = add_equipment(app, one(app, "SELECT service_location_id FROM hs.service_location"))
    given = {"annual_coverage_limit": 100, "used_coverage_amount": used}
    if holds:
        cover(app, agreement, equipment, **given)
        return
    with pytest.raises(errors.CheckViolation, match="used_within_limit"):
        cover(app, agreement, equipment, **given)


def test_visits_that_are_due_tell_what_to_bring(app: Connection, plan: UUID) -> None:
    today = one(app, "SELECT tenant_mgmt.today()")
    agreement = add_agreement(app, plan, starts=f"{today.year}-01-01")
    activate(app, agreement)
    equipment = add_equipment(app, one(app, "SELECT service_location_id FROM hs.service_location"))
    cover(app, agreement, equipment, added_on=f"{today.year}-01-01")
    rows = app.execute(
        "SELECT visit_name, duration_minutes, asset_tags, address_line, contact_attempt_count,"
        " window_end_on - days_left FROM hs.v_agreement_visits_due ORDER BY due_on"
    ).fetchall()
    assert rows == [
        ("Visit 1", 60, ["EQ1"], "1 Main St", 0, today),
        ("Visit 2", 60, ["EQ1"], "1 Main St", 0, today),
    ]
    app.execute(
        "UPDATE hs.agreement_visit SET due_on = tenant_mgmt.today() - 10,"
        " window_start_on = tenant_mgmt.today() - 30,"
        " window_end_on = tenant_mgmt.today() - visit_seq + 1"
    )
    states = "SELECT array_agg(window_state ORDER BY visit_seq) FROM hs.v_agreement_visits_due"
    assert one(app, states) == ["open", "late"]
    app.execute("UPDATE hs.agreement SET status = 'suspended'")
    assert app.execute("SELECT * FROM hs.v_agreement_visits_due").fetchall() == []


def bill(connection: Connection, day: str) -> int:
    found: int = one(connection, "SELECT hs.bill_agreements(%s)", day)
    return found


def test_an_installment_becomes_an_invoice_once(app: Connection, agreement: UUID) -> None:
    assert bill(app, "2024-12-31") == 0
    assert bill(app, "2025-01-01") == 1
    assert bill(app, "2025-02-01") == 0
    row = app.execute(
        "SELECT invoice_kind, status, total_amount, invoice_on, agreement_id FROM hs.invoice"
    ).fetchone()
    assert row == ("agreement", "issued", 120, date(2025, 1, 1), agreement)
    assert installments(app)[0][3] == "invoiced"
    assert one(app, "SELECT next_billing_on FROM hs.agreement") is None
    assert disproved(app) == []


def test_an_installment_is_paid_with_its_invoice(app: Connection, agreement: UUID) -> None:
    bill(app, "2025-01-01")
    money = add_payment(app, one(app, "SELECT customer_id FROM hs.customer"), 120)
    allocate(app, money)
    row = "SELECT status, payment_id, paid_at IS NOT NULL FROM hs.agreement_billing"
    assert app.execute(row.encode()).fetchone() == ("paid", money, True)
    app.execute("UPDATE hs.payment SET status = 'charged_back'")
    at_commit(app)
    assert app.execute(row.encode()).fetchone() == ("failed", None, False)
    allocate(app, add_payment(app, one(app, "SELECT customer_id FROM hs.customer"), 120, "P2"))
    assert installments(app)[0][3] == "paid"
    assert disproved(app) == []


def test_an_installment_is_due_again_when_its_invoice_is_void(
    app: Connection, agreement: UUID
) -> None:
    bill(app, "2025-01-01")
    app.execute("SELECT hs.void_invoice(invoice_id, 'wrong') FROM hs.invoice")
    assert installments(app)[0][3] == "upcoming"
    assert bill(app, "2025-01-02") == 1


def recognize(connection: Connection, month: str) -> int:
    found: int = one(connection, "SELECT hs.recognize_agreement_revenue(%s)", month)
    return found


def ledger(connection: Connection) -> list[Any]:
    """Month, kind, amount and balance of each entry, in order."""
    return connection.execute(
        "SELECT to_char(period_on, 'YYYY-MM'), entry_kind, entry_amount, deferred_balance"
        " FROM hs.deferred_revenue_entry ORDER BY period_on, array_position("
        " '{deferral,recognition,reversal,forfeiture}'::text[], entry_kind)"
    ).fetchall()


def do_visit(connection: Connection, seq: int, day: str) -> None:
    """As the board does it, without a job of its own."""
    order = add_order(connection, number=f"WO-{seq}")
    book(connection, order, seq)
    connection.execute(
        "UPDATE hs.agreement_visit SET status = 'done', completed_on = %s WHERE visit_seq = %s",
        [day, seq],
    )


def test_visits_earn_their_share_and_the_rest_is_forfeited(
    app: Connection, agreement: UUID
) -> None:
    bill(app, "2025-01-01")
    assert recognize(app, "2025-01-20") == 1
    do_visit(app, 1, "2025-04-10")
    assert [recognize(app, f"2025-{month:02}-01") for month in (2, 3, 4, 5)] == [0, 0, 1, 0]
    assert recognize(app, "2025-12-01") == 1
    assert ledger(app) == [
        ("2025-01", "deferral", 120, 120),
        ("2025-04", "recognition", 60, 60),
        ("2025-12", "forfeiture", 60, 0),
    ]
    assert [status for _, _, status, _ in visits(app)] == ["done", "forfeited"]
    earned_by = one(app, "SELECT count(agreement_visit_id) FROM hs.deferred_revenue_entry")
    assert earned_by == 1


def test_a_month_is_posted_once(app: Connection, agreement: UUID) -> None:
    bill(app, "2025-01-01")
    assert [recognize(app, "2025-01-01") for _ in range(3)] == [1, 0, 0]


def test_what_was_missed_is_caught_up(app: Connection, agreement: UUID) -> None:
    bill(app, "2025-01-01")
    do_visit(app, 1, "2025-04-10")
    assert recognize(app, "2025-06-01") == 2
    assert recognize(app, "2025-04-01") == 0, "an earlier month is closed"


@pytest.fixture
def standing(app: Connection, numbered: None) -> UUID:
    """365 for 2025, paid by quarters, earned day by day."""
    plan = add_plan(app, billing_frequency="quarterly", recognition_basis="straight_line")
    found = add_agreement(app, plan, contract_amount=365, billing_amount=Decimal("91.25"))
    activate(app, found)
    return found


def test_a_promise_to_stand_ready_is_earned_day_by_day(app: Connection, standing: UUID) -> None:
    for month in range(1, 13):
        bill(app, f"2025-{month:02}-01")
        recognize(app, f"2025-{month:02}-01")
    found = ledger(app)
    assert found[:3] == [
        ("2025-01", "deferral", Decimal("91.25"), Decimal("91.25")),
        ("2025-01", "recognition", 31, Decimal("60.25")),
        ("2025-02", "recognition", 28, Decimal("32.25")),
    ]
    earned = sum(amount for _, kind, amount, _ in found if kind == "recognition")
    assert (earned, found[-1][3]) == (365, 0), "the whole price, to the cent"


def test_no_more_is_earned_than_was_billed(app: Connection, standing: UUID) -> None:
    bill(app, "2025-01-01")
    for month in range(1, 6):
        recognize(app, f"2025-{month:02}-01")
    assert ledger(app)[-1] == ("2025-04", "recognition", Decimal("1.25"), 0)


def test_what_a_cancelled_agreement_has_left_is_reversed(app: Connection, standing: UUID) -> None:
    bill(app, "2025-01-01")
    app.execute("SELECT hs.cancel_agreement(%s, 'moved', '2025-02-10')", [standing])
    recognize(app, "2025-01-01")
    recognize(app, "2025-02-01")
    assert ledger(app)[-2:] == [
        ("2025-02", "recognition", 10, Decimal("50.25")),
        ("2025-02", "reversal", Decimal("50.25"), 0),
    ]
    assert recognize(app, "2025-03-01") == 0


def post(connection: Connection, agreement: UUID, month: str, kind: str, *amounts: int) -> None:
    add(
        connection,
        "deferred_revenue_entry",
        agreement_id=agreement,
        period_on=month,
        entry_kind=kind,
        recognition_basis="per_visit",
        entry_amount=amounts[0],
        deferred_balance=amounts[1],
    )


def test_recognition_never_exceeds_what_was_deferred(app: Connection, agreement: UUID) -> None:
    post(app, agreement, "2025-01-01", "deferral", 100, 100)
    with pytest.raises(errors.CheckViolation, match=r"more would be earned of agreement A1"):
        post(app, agreement, "2025-02-01", "recognition", 101, 0)


@pytest.mark.parametrize(("month", "amounts"), [("2025-02-01", (40, 50)), ("2025-01-01", (40, 99))])
def test_a_balance_is_carried_forward(
    app: Connection, agreement: UUID, month: str, amounts: tuple[int, int]
) -> None:
    post(app, agreement, "2025-01-01", "deferral", 100, 100)
    with pytest.raises(errors.CheckViolation, match=r"leaves 60\.00, not"):
        post(app, agreement, month, "recognition", *amounts)


def test_months_are_posted_one_after_the_other(app: Connection, agreement: UUID) -> None:
    post(app, agreement, "2025-01-01", "deferral", 100, 100)
    post(app, agreement, "2025-03-01", "recognition", 40, 60)
    with pytest.raises(errors.CheckViolation, match="not 60"):
        post(app, agreement, "2025-02-01", "recognition", 10, 90)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE hs.deferred_revenue_entry SET entry_amount = 1",
        "DELETE FROM hs.deferred_revenue_entry",
    ],
)
def test_the_ledger_is_append_only(
    admin: Connection, agreement: UUID, tenant: UUID, change: str
) -> None:
    post(admin, agreement, "2025-01-01", "deferral", 100, 100)
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute(change.encode())


def _what_it_takes(table: str, status: str, order: UUID, bill: UUID) -> dict[str, Any]:
    """The columns that a row in a status must have and those that it must not."""
    if table == "agreement":
        gone = status == "cancelled"
        return {
            "cancel_reason": "moved" if gone else None,
            "cancelled_on": "2025-02-01" if gone else None,
        }
    if table == "agreement_visit":
        booked = status in ("scheduled", "done")
        return {
            "work_order_id": order if booked else None,
            "scheduled_on": "2025-02-01" if booked else None,
            "completed_on": "2025-02-01" if status == "done" else None,
            "skip_reason": "declined" if status == "skipped" else None,
        }
    if table == "agreement_billing":
        return {
            "invoice_id": None if status in ("upcoming", "waived") else bill,
            "paid_at": "2025-02-01" if status == "paid" else None,
            "failure_code": "declined" if status == "failed" else None,
        }
    return {}


@pytest.mark.parametrize(
    ("table", "machine", "before", "after"),
    [
        (table, machine, before, after)
        for table, machine in (
            ("agreement", AGREEMENT),
            ("agreement_plan", PLAN),
            ("agreement_visit", VISIT),
            ("agreement_billing", BILLING),
        )
        for before, after in product(machine, machine)
        if before != after
    ],
)
def test_a_status_moves_as_its_machine_says(
    admin: Connection,
    tenant: UUID,
    table: str,
    machine: dict[str, tuple[str, ...]],
    before: str,
    after: str,
) -> None:
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    plan = add_plan(admin)
    agreement = add_agreement(admin, plan)
    order = add_order(admin)
    bill = add(admin, "invoice", invoice_kind="agreement", agreement_id=agreement,
               customer_id=one(admin, "SELECT customer_id FROM hs.customer"),
               invoice_number="I1", currency_code="USD")  # fmt: skip
    facts = _what_it_takes(table, before, order, bill)
    if table == "agreement":
        made = add_agreement(admin, plan, "A2", status=before, **facts)
    elif table == "agreement_plan":
        made = add_plan(admin, plan_code="X", status=before)
    elif table == "agreement_visit":
        made = add(admin, table, agreement_id=agreement, visit_seq=1, due_on="2025-02-01",
                   agreement_plan_visit_id=one(
                       admin, "SELECT agreement_plan_visit_id FROM hs.agreement_plan_visit"),
                   window_start_on="2025-02-01", window_end_on="2025-02-01", status=before,
                   **facts)  # fmt: skip
    else:
        made = add(admin, table, agreement_id=agreement, installment_no=1, billed_amount=1,
                   due_on="2025-02-01", status=before, **facts)  # fmt: skip
    become_app(admin, tenant)
    wanted = {"status": after, **_what_it_takes(table, after, order, bill)}
    assignments = ", ".join(f"{name} = %({name})s" for name in wanted)
    move = f"UPDATE hs.{table} SET {assignments} WHERE {table}_id = %(key)s"
    if after in machine[before]:
        admin.execute(move.encode(), wanted | {"key": made})
        return
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        admin.execute(move.encode(), wanted | {"key": made})


@pytest.mark.parametrize("status", [state for state in AGREEMENT if state != "pending"])
def test_a_new_agreement_is_pending(app: Connection, plan: UUID, status: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        add_agreement(app, plan, status=status)
