"""The edges of enrollment, coverage, carriers' feeds and the codes of a month."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import imported, row
from tests.integration.schema.staffing import hire
from tests.integration.schema.test_payroll_benefits import Offer, change, retirement


def one(app: Connection, query: str, *values: Any) -> Any:
    found = app.execute(query.encode(), values).fetchone()
    assert found
    return found[0] if len(found) == 1 else found


def enroll(offer: Offer, **columns: Any) -> UUID:
    given = {
        "employee_id": offer.hire.person,
        "benefit_plan_id": offer.plan,
        "enrollment_window_id": offer.window,
        **columns,
    }
    return row(offer.app, "payroll.benefit_enrollment", **given)


@pytest.mark.parametrize(
    ("window", "columns", "told"),
    [
        ({}, {"effective_from": "2026-02-01"}, None),
        ({"coverage_effective_on": "2026-03-01"}, {}, "begins on 2026-03-01, not on 2026-01-01"),
        ({"status": "closed"}, {"status": "submitted"}, "the enrollment window is closed"),
        ({"status": "closed"}, {"status": "draft"}, None),
    ],
)
def test_an_election_keeps_to_its_window(
    app: Connection, window: dict[str, Any], columns: dict[str, Any], told: str | None
) -> None:
    offer = Offer(app)
    if window:
        change(app, "payroll.enrollment_window", offer.window, **window)
    if told is None:
        assert enroll(offer, **columns)
        return
    with pytest.raises(errors.CheckViolation, match=told):
        enroll(offer, **columns)


def test_a_window_is_for_its_own_employee(app: Connection) -> None:
    offer = Offer(app)
    offer.window = row(app, "payroll.enrollment_window", employee_id=hire(app).person,
                       window_kind="correction")  # fmt: skip
    with pytest.raises(errors.CheckViolation, match="that of another employee"):
        enroll(offer)


def test_a_rate_is_one_of_the_tier(app: Connection) -> None:
    offer = Offer(app)
    rate = one(
        app,
        "SELECT benefit_plan_rate_id FROM payroll.benefit_plan_rate WHERE coverage_tier = 'family'",
    )
    with pytest.raises(errors.CheckViolation, match="not one of the tier employee of the plan"):
        enroll(offer, benefit_plan_rate_id=rate)


def test_a_draft_is_not_submitted_once_its_window_closed(app: Connection) -> None:
    offer = Offer(app)
    made = enroll(offer, status="draft")
    change(app, "payroll.enrollment_window", offer.window, status="closed")
    with pytest.raises(errors.CheckViolation, match="the enrollment window is not open"):
        change(app, "payroll.benefit_enrollment", made, status="submitted")


@pytest.mark.parametrize(
    ("coverage", "status", "evidence"),
    [(100000, "active", "not_needed"), (150000, "pending_proof", "pending")],
)
def test_much_life_coverage_waits_for_the_insurer(
    app: Connection, coverage: int, status: str, evidence: str
) -> None:
    offer = Offer(app)
    life = row(app, "payroll.benefit_plan", employer_entity_id=offer.hire.employer,
               plan_kind="supplemental_life")  # fmt: skip
    row(app, "payroll.eligibility_rule", benefit_plan_id=life)
    row(app, "payroll.deduction_code", benefit_plan_id=life)
    row(app, "payroll.benefit_plan_rate", benefit_plan_id=life, rate_basis="per_1000_covered",
        premium_amount="0.11", employee_share_amount="0.11",
        employer_share_amount=0)  # fmt: skip
    offer.submit({"plan": str(life), "coverage_amount": coverage})
    assert one(
        app,
        "SELECT status, evidence_of_insurability, employee_cost_per_period_amount::float"
        " FROM payroll.benefit_enrollment",
    ) == (status, evidence, round(coverage / 1000 * 0.11 / 2, 2))
    assert len(offer.deductions()) == (1 if status == "active" else 0)


def test_nobody_is_insured_whom_the_insurer_declined(app: Connection) -> None:
    offer = Offer(app)
    made = enroll(offer, status="submitted", evidence_of_insurability="declined")
    with pytest.raises(errors.CheckViolation, match="in_force_is_insurable"):
        change(app, "payroll.benefit_enrollment", made, status="active")


@pytest.mark.parametrize(
    ("basis", "rhythm", "coverage", "found"),
    [
        ("per_month", "biweekly", None, (60, 250, "first_two_of_month")),
        ("per_month", "semimonthly", None, (60, 250, "every_period")),
        ("per_month", "monthly", None, (120, 500, "every_period")),
        ("per_month", "weekly", None, (27.69, 115.38, "every_period")),
        ("per_period", "biweekly", None, (120, 500, "every_period")),
        ("per_1000_covered", "biweekly", 2000, (120, 500, "first_two_of_month")),
        ("per_1000_covered", "biweekly", None, (0, 0, "first_two_of_month")),
    ],
)
def test_a_price_is_told_per_pay(
    app: Connection,
    basis: str,
    rhythm: str,
    coverage: int | None,
    found: tuple[float, float, str],
) -> None:
    rate = row(app, "payroll.benefit_plan_rate", rate_basis=basis)
    assert (
        one(
            app,
            "SELECT employee_amount::float, employer_amount::float, frequency"
            " FROM payroll.enrollment_cost(%s, %s, %s)",
            rate,
            coverage,
            rhythm,
        )
        == found
    )


def test_a_price_follows_the_age(app: Connection) -> None:
    person = hire(app).person
    change(app, "payroll.employee", person, birth_date="1985-06-10")
    plan = row(app, "payroll.benefit_plan")
    young = row(app, "payroll.benefit_plan_rate", benefit_plan_id=plan, age_to=40)
    older = row(app, "payroll.benefit_plan_rate", benefit_plan_id=plan, age_from=41)
    ask = "SELECT payroll.rate_of_plan(%s, %s, %s, %s)"
    assert one(app, ask, plan, "employee", person, "2026-06-09") == young
    assert one(app, ask, plan, "employee", person, "2026-06-10") == older
    assert one(app, ask, plan, "family", person, "2026-06-10") is None
    assert one(app, ask, plan, "employee", person, "2025-06-10") is None


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"covered_from": "2025-12-31"}, "before the enrollment begins"),
        ({"covered_from": "2026-04-01"}, "ages out on 2026-03-31"),
        ({"covered_until": "2026-04-02", "end_reason": "voluntary"}, "ages out on 2026-03-31"),
        ({"covered_until": "2026-04-01", "end_reason": "aged_out"}, None),
        ({"covered_until": "2026-03-01"}, "end_has_reason"),
        (
            {"covered_until": "2026-03-01", "end_reason": "voluntary", "cobra_eligible": True},
            "continues_what_ended",
        ),
    ],
)
def test_a_child_is_covered_within_bounds(
    app: Connection, columns: dict[str, Any], told: str | None
) -> None:
    offer = Offer(app)
    made = enroll(offer, coverage_tier="family")
    child = row(app, "payroll.dependent", employee_id=offer.hire.person, birth_date="2000-03-10")
    given = {"benefit_enrollment_id": made, "dependent_id": child, **columns}
    if told is None:
        assert row(app, "payroll.enrollment_dependent", **given)
        return
    with pytest.raises(errors.CheckViolation, match=told):
        row(app, "payroll.enrollment_dependent", **given)


def test_a_dependent_of_somebody_else_is_not_covered(app: Connection) -> None:
    offer = Offer(app)
    made = enroll(offer, coverage_tier="family")
    child = row(app, "payroll.dependent", employee_id=hire(app).person)
    with pytest.raises(errors.CheckViolation, match="belongs to another employee"):
        row(app, "payroll.enrollment_dependent", benefit_enrollment_id=made, dependent_id=child)


@pytest.mark.parametrize(
    ("relationship", "disabled", "found"),
    [
        ("child", False, "2026-03-31"),
        ("stepchild", False, "2026-03-31"),
        ("child", True, None),
        ("disabled_adult_child", True, None),
        ("spouse", False, None),
    ],
)
def test_children_age_out_and_others_do_not(
    app: Connection, relationship: str, disabled: bool, found: str | None
) -> None:
    made = row(app, "payroll.dependent", birth_date="2000-03-31", relationship=relationship,
               is_disabled=disabled)  # fmt: skip
    assert (
        one(
            app,
            "SELECT aged_out_on::text FROM payroll.dependent WHERE dependent_id = %s",
            made,
        )
        == found
    )


@pytest.mark.parametrize(
    ("kind", "covered_on"),
    [
        ("birth", "2026-05-04"),
        ("adoption", "2026-05-04"),
        ("marriage", "2026-06-01"),
        ("loss_of_coverage", "2026-06-01"),
    ],
)
def test_an_event_says_from_when_it_covers(app: Connection, kind: str, covered_on: str) -> None:
    event = row(app, "payroll.life_event", event_kind=kind, window_days=60)
    change(app, "payroll.life_event", event, status="approved")
    assert one(
        app,
        "SELECT coverage_effective_on::text, closes_on - opens_on, invited_count"
        " FROM payroll.enrollment_window WHERE life_event_id = %s",
        event,
    ) == (covered_on, 60, 1)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"proof_required": True, "status": "approved"}, "approved_is_proven"),
        ({"status": "denied"}, "denied_has_reason"),
        ({"status": "denied", "denial_reason": "  "}, "denied_has_reason"),
    ],
)
def test_a_review_rests_on_something(app: Connection, columns: dict[str, Any], truth: str) -> None:
    event = row(app, "payroll.life_event")
    with pytest.raises(errors.CheckViolation, match=truth):
        change(app, "payroll.life_event", event, **columns)


@pytest.mark.parametrize(
    ("ends", "kind", "coverage_ends", "case"),
    [
        ("end_of_month", "voluntary", "2026-06-01", ("termination", 18)),
        ("last_day_worked", "voluntary", "2026-05-13", ("termination", 18)),
        ("end_of_month", "death", "2026-06-01", ("death", 36)),
    ],
)
def test_a_plan_says_how_long_it_outlasts_the_work(
    app: Connection, ends: str, kind: str, coverage_ends: str, case: tuple[str, int]
) -> None:
    offer = Offer(app, ends=ends)
    offer.submit({"tier": "employee"})
    app.execute(
        "UPDATE payroll.employment_spell SET terminated_on = '2026-05-12', termination_kind = %s",
        [kind],
    )
    assert one(app, "SELECT effective_until::text FROM payroll.benefit_enrollment") == coverage_ends
    assert one(app, "SELECT event_kind, coverage_months FROM payroll.cobra_case") == case


def test_who_leaves_before_coverage_began_has_nothing_to_continue(app: Connection) -> None:
    offer = Offer(app)
    change(app, "payroll.enrollment_window", offer.window, coverage_effective_on="2026-07-01")
    offer.submit({"tier": "employee"})
    app.execute(
        "UPDATE payroll.employment_spell"
        " SET terminated_on = '2026-05-12', termination_kind = 'voluntary'"
    )
    assert one(app, "SELECT status FROM payroll.benefit_enrollment") == "cancelled"
    assert offer.deductions() == []
    assert app.execute("SELECT FROM payroll.cobra_case").fetchall() == []


def test_a_carrier_that_was_left_is_sent_nothing(app: Connection) -> None:
    carrier = row(app, "payroll.benefit_carrier")
    change(app, "payroll.benefit_carrier", carrier, status="terminated")
    with pytest.raises(errors.NoDataFound, match="no such active carrier"):
        one(app, "SELECT payroll.build_carrier_feed(%s, 'full', '2026-05-31')", carrier)


@pytest.mark.parametrize(
    ("status", "since", "found"),
    [
        ("active", "-infinity", "add"),
        ("active", "infinity", None),
        ("ended", "-infinity", "terminate"),
        ("cancelled", "-infinity", None),
        ("submitted", "-infinity", None),
    ],
)
def test_a_carrier_hears_of_what_concerns_it(
    app: Connection, status: str, since: str, found: str | None
) -> None:
    plan = row(app, "payroll.benefit_plan")
    imported(app, "payroll.benefit_enrollment", benefit_plan_id=plan, status=status,
             effective_until="2026-05-01", end_reason="Moved")  # fmt: skip
    carrier = one(app, "SELECT benefit_carrier_id FROM payroll.benefit_plan")
    told = app.execute(
        "SELECT change FROM payroll.carrier_changes(%s, %s)", [carrier, since]
    ).fetchall()
    assert told == ([(found,)] if found else [])


def test_a_waiver_is_none_of_the_carriers_business(app: Connection) -> None:
    plan = row(app, "payroll.benefit_plan")
    imported(app, "payroll.benefit_enrollment", benefit_plan_id=plan, status="active",
             election="waived", coverage_tier="none")  # fmt: skip
    carrier = one(app, "SELECT benefit_carrier_id FROM payroll.benefit_plan")
    assert (
        app.execute("SELECT FROM payroll.carrier_changes(%s, '-infinity')", [carrier]).fetchall()
        == []
    )


@pytest.mark.parametrize("linked", [True, False])
def test_a_plan_is_taken_by_its_own_code_before_one_of_its_kind(
    app: Connection, linked: bool
) -> None:
    plan, other = row(app, "payroll.benefit_plan"), row(app, "payroll.benefit_plan")
    first = row(app, "payroll.deduction_code", benefit_plan_id=other, priority=1)
    own = row(app, "payroll.deduction_code", benefit_plan_id=plan if linked else None, priority=9)
    found = one(app, "SELECT payroll.plan_deduction_code(%s)", plan)
    assert found == (own if linked else first)


def test_a_part_timer_of_few_hours_is_not_full_time(app: Connection) -> None:
    offer = Offer(app, worker_categories=["full_time"])
    app.execute(
        "UPDATE payroll.job_assignment SET worker_category = 'part_time',"
        " standard_hours_weekly = 20"
    )
    assert one(
        app,
        "SELECT is_full_time, offer_code, safe_harbor_code FROM payroll.aca_codes(%s, %s)",
        offer.hire.person,
        "2026-05-01",
    ) == (False, "1H", "2B")


@pytest.mark.parametrize(("percent", "code"), [("4.61", None), ("4.62", "2H")])
def test_an_offer_is_affordable_by_a_share_of_130_hours(
    app: Connection, percent: str, code: str | None
) -> None:
    # 120 of 130 hours at 20 is 4.615 percent.
    offer = Offer(app)
    assert (
        one(
            app,
            "SELECT safe_harbor_code FROM payroll.aca_codes(%s, '2026-05-01', %s)",
            offer.hire.person,
            percent,
        )
        == code
    )


def test_a_locked_month_is_not_deleted(app: Connection) -> None:
    month = row(app, "payroll.aca_employee_month", is_locked=True)
    with pytest.raises(errors.RestrictViolation, match="month 1 of 2026 is locked"):
        app.execute(
            "DELETE FROM payroll.aca_employee_month WHERE aca_employee_month_id = %s", [month]
        )


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"furnished_on": "2027-01-29"}, "furnished_is_locked"),
        ({"covered": True}, "covered_by_an_offer"),
        ({"safe_harbor_code": "2C"}, "covered_is_2c"),
        ({"measurement_period": "stability", "is_full_time": True}, None),
        ({"is_full_time": True}, "full_time_is_130_hours"),
    ],
)
def test_codes_of_a_month_fit_each_other(
    app: Connection, columns: dict[str, Any], truth: str | None
) -> None:
    if truth is None:
        assert row(app, "payroll.aca_employee_month", **columns)
        return
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "payroll.aca_employee_month", **columns)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"status": "offered"}, "told_before_decided"),
        ({"notice_sent_on": "2026-05-20", "elected_on": "2026-07-20"}, "elected_in_time"),
        ({"paid_through_on": "2026-06-30"}, "paid_for_what_is_elected"),
        ({"status": "ended", "end_reason": " "}, "ended_has_reason"),
        ({"event_kind": "divorce", "coverage_months": 36}, "children_and_spouses_are_named"),
        ({"coverage_months": 29, "admin_fee_pct": 51}, "fee_bounded"),
        ({"coverage_months": 29, "admin_fee_pct": 50}, None),
    ],
)
def test_continued_coverage_keeps_its_dates(
    app: Connection, columns: dict[str, Any], truth: str | None
) -> None:
    if truth is None:
        assert imported(app, "payroll.cobra_case", **columns)
        return
    with pytest.raises(errors.CheckViolation, match=truth):
        imported(app, "payroll.cobra_case", **columns)


def test_a_plan_without_match_adds_nothing(app: Connection) -> None:
    plan = row(app, "payroll.benefit_plan")
    assert one(app, "SELECT payroll.employer_match(%s, 5)", plan) == 0
    assert one(app, "SELECT payroll.match_formula_fits(NULL)") is None
    tiers = app.execute(
        "SELECT tier_no, from_percent, up_to_percent, match_percent FROM payroll.match_tiers(%s)",
        [retirement(app)],
    ).fetchall()
    assert tiers == [(1, 0, 3, 100), (2, 3, 5, 50)]


def test_a_match_is_for_retirement(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="match_is_for_retirement"):
        retirement(app, plan_kind="medical")


@pytest.mark.parametrize("formula", ["[]", '[{"up_to_percent": 101, "match_percent": 5}]'])
def test_a_match_formula_fits(app: Connection, formula: str) -> None:
    with pytest.raises(errors.CheckViolation, match="match_formula_fits"):
        retirement(app, match_formula=json.dumps(json.loads(formula)))
