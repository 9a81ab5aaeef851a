"""Who may join a plan, what an election takes from the pay, and what ends with the work."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import after, at_once
from tests.integration.schema.rows import imported, row
from tests.integration.schema.staffing import Hire, hire
from tests.integration.schema.states import refused

MACHINES = {
    ("payroll.benefit_carrier", "status"): {"active": ["terminated"], "terminated": ["active"]},
    ("payroll.life_event", "status"): {
        "reported": ["awaiting_proof", "approved", "denied", "expired"],
        "awaiting_proof": ["approved", "denied", "expired"],
        "approved": [],
        "denied": [],
        "expired": [],
    },
    ("payroll.enrollment_window", "status"): {
        "scheduled": ["open"],
        "open": ["closed", "extended"],
        "extended": ["closed"],
        "closed": ["extended"],
    },
    ("payroll.benefit_enrollment", "status"): {
        "draft": ["submitted", "cancelled"],
        "submitted": ["pending_proof", "active", "cancelled"],
        "pending_proof": ["active", "cancelled"],
        "active": ["ended", "cancelled"],
        "ended": ["cancelled"],
        "cancelled": [],
    },
    ("payroll.spending_account", "status"): {
        "open": ["runout", "closed"],
        "runout": ["forfeited", "closed"],
        "forfeited": [],
        "closed": [],
    },
    ("payroll.carrier_feed", "acknowledgement"): {
        "pending": ["accepted", "partial", "rejected"],
        "partial": ["accepted"],
        "accepted": [],
        "rejected": [],
    },
    ("payroll.cobra_case", "status"): {
        "pending_notice": ["offered", "ended"],
        "offered": ["elected", "declined", "lapsed"],
        "declined": ["elected"],
        "elected": ["lapsed", "ended"],
        "lapsed": [],
        "ended": [],
    },
}
# What lets a row be in any of its states.
NEEDED: dict[str, dict[str, Any]] = {
    "payroll.life_event": {"denial_reason": "No document"},
    "payroll.benefit_enrollment": {"end_reason": "Elected anew", "effective_until": "2027-01-01"},
    "payroll.carrier_feed": {"member_count": 3},
    "payroll.cobra_case": {
        "notice_sent_on": "2026-05-20",
        "elected_on": "2026-06-01",
        "end_reason": "Premium not paid",
    },
}


def change(app: Connection, table: str, key: UUID, **columns: Any) -> None:
    app.execute(
        sql.SQL("UPDATE {} SET {} WHERE {} = %s").format(
            sql.Identifier(*table.split(".")),
            sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(c)) for c in columns),
            sql.Identifier(f"{table.split('.')[1]}_id"),
        ),
        [*columns.values(), key],
    )


def start(app: Connection, table: str, column: str, state: str) -> UUID:
    given: dict[str, Any] = {**NEEDED.get(table, {}), column: state}
    if table == "payroll.spending_account":
        plan = row(app, "payroll.benefit_plan", plan_kind="health_fsa")
        given["benefit_plan_id"] = plan
    if state == "partial":
        given |= {"rejected_count": 1, "errors": json.dumps([{"code": "DOB"}])}
    return imported(app, table, **given)


@pytest.mark.parametrize(
    ("table", "column", "before", "after"),
    [(t, c, b, a) for (t, c), m in MACHINES.items() for b in m for a in m[b]],
)
def test_states_follow_each_other(
    app: Connection, table: str, column: str, before: str, after: str
) -> None:
    made = start(app, table, column, before)
    extra: dict[str, Any] = {}
    if after == "partial":
        extra = {"rejected_count": 1, "errors": json.dumps([{"code": "DOB"}])}
    elif before == "partial":
        extra = {"rejected_count": 0}
    change(app, table, made, **{column: after, **extra})


@pytest.mark.parametrize(
    ("table", "column", "before", "after"),
    [(t, c, b, a) for (t, c), m in MACHINES.items() for b, a in refused(m)],
)
def test_no_other_state_follows(
    app: Connection, table: str, column: str, before: str, after: str
) -> None:
    made = start(app, table, column, before)
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        change(app, table, made, **{column: after})


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("benefit_carrier", {"feed_format": "edi_834", "sender_id": "S"}, "both_ends"),
        ("benefit_plan", {"waiting_period_days": 91}, "at_most_90_days"),
        ("benefit_plan", {"plan_year_end": "2025-12-31"}, "ends_after_start"),
        ("benefit_plan", {"employer_contribution_method": "match"}, "match_has_formula"),
        ("benefit_plan", {"plan_kind": "dental", "minimum_value": True}, "is_medical"),
        ("benefit_plan_rate", {"premium_amount": 619}, "shares_make_premium"),
        ("benefit_plan_rate", {"age_from": 30, "age_to": 29}, "ages_ordered"),
        ("eligibility_rule", {"waiting_days": 91}, "waiting_bounded"),
        ("eligibility_rule", {"worker_categories": ["boss"]}, "categories_known"),
        ("life_event", {"window_days": 45}, "window_known"),
        ("life_event", {"reported_at": "2026-06-06 10:00+00"}, "reported_in_time"),
        ("life_event", {"allowed_changes": ["everything"]}, "changes_known"),
        ("enrollment_window", {"closes_on": "2025-11-03"}, "closes_after_opening"),
        ("enrollment_window", {"window_kind": "new_hire"}, "everybody_in_open_enrollment"),
        ("enrollment_window", {"submitted_count": 1}, "submitted_up_to_invited"),
        ("enrollment_window", {"plan_year": 2025}, "plan_year_of_coverage"),
        ("benefit_enrollment", {"election": "waived"}, "waived_covers"),
        ("benefit_enrollment", {"contribution_percent": 5}, "percent_is_for_retirement"),
        ("benefit_enrollment", {"effective_until": "2026-01-01"}, "ends_after_start"),
        ("dependent", {"birth_date": "2999-01-01"}, "is_born"),
        ("dependent", {"relationship": "disabled_adult_child"}, "is_disabled"),
        ("beneficiary_designation", {"share_pct": 0}, "share_bounded"),
        ("carrier_feed", {"member_count": 1, "added_count": 2}, "changes_within_members"),
        ("carrier_feed", {"member_count": 1, "rejected_count": 1}, "rejects_are_told"),
        ("aca_employee_month", {"offer_code": "1I"}, "offer_code_known"),
        ("aca_employee_month", {"safe_harbor_code": "2J"}, "safe_harbor_code_known"),
        ("aca_employee_month", {"month_no": 13}, "is_a_month"),
        ("aca_employee_month", {"hours_of_service": 130}, "full_time_is_130_hours"),
        ("aca_employee_month", {"offer_code": "1E"}, "offer_has_price"),
        ("cobra_case", {"notice_sent_on": "2026-06-18"}, "notice_in_time"),
        ("cobra_case", {"coverage_months": 24}, "months_known"),
        ("cobra_case", {"admin_fee_pct": 3}, "fee_bounded"),
        ("cobra_case", {"coverage_months": 36}, "work_gives_18_months"),
    ],
)
def test_what_is_not_true_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, f"payroll.{table}", **columns)


@pytest.mark.parametrize(
    ("tiers", "fits"),
    [
        ([{"up_to_percent": 3, "match_percent": 100}], True),
        ([(3, 100), (5, 50)], True),
        ([(5, 100), (3, 50)], False),
        ([(3, 250)], False),
        ([], False),
    ],
)
def test_tiers_of_a_match_rise(app: Connection, tiers: list[Any], fits: bool) -> None:
    formula = [
        t if isinstance(t, dict) else {"up_to_percent": t[0], "match_percent": t[1]} for t in tiers
    ]
    found = app.execute("SELECT payroll.match_formula_fits(%s)", [json.dumps(formula)]).fetchone()
    assert found == (fits,)


def retirement(app: Connection, **columns: Any) -> UUID:
    formula = [
        {"up_to_percent": 3, "match_percent": 100},
        {"up_to_percent": 5, "match_percent": 50},
    ]
    given = {
        "plan_kind": "retirement_401k",
        "employer_contribution_method": "match",
        "match_formula": json.dumps(formula),
        **columns,
    }
    return row(app, "payroll.benefit_plan", **given)


@pytest.mark.parametrize(("percent", "matched"), [(0, 0), (2, 2), (3, 3), (4, 3.5), (9, 4)])
def test_a_match_follows_its_tiers(app: Connection, percent: int, matched: float) -> None:
    found = app.execute(
        "SELECT payroll.employer_match(%s, %s)", [retirement(app), percent]
    ).fetchone()
    assert found
    assert float(found[0]) == matched


def test_a_carrier_with_plans_stays(app: Connection) -> None:
    carrier = row(app, "payroll.benefit_carrier")
    plan = row(app, "payroll.benefit_plan", benefit_carrier_id=carrier)
    with pytest.raises(errors.CheckViolation, match="open plan year"), app.transaction():
        change(app, "payroll.benefit_carrier", carrier, status="terminated")
    change(app, "payroll.benefit_plan", plan, is_offered=False)
    change(app, "payroll.benefit_carrier", carrier, status="terminated")
    with pytest.raises(errors.CheckViolation, match="terminated"):
        change(app, "payroll.benefit_plan", plan, is_offered=True)


@pytest.mark.parametrize(("premium", "holds"), [(930, True), (931, False)])
def test_smokers_pay_at_most_half_more(app: Connection, premium: int, holds: bool) -> None:
    plan = row(app, "payroll.benefit_plan")
    row(app, "payroll.benefit_plan_rate", benefit_plan_id=plan)
    given = {
        "benefit_plan_id": plan,
        "tobacco_user": True,
        "premium_amount": premium,
        "employee_share_amount": premium - 500,
    }
    if holds:
        assert row(app, "payroll.benefit_plan_rate", **given)
        return
    with pytest.raises(errors.CheckViolation, match="tobacco"):
        row(app, "payroll.benefit_plan_rate", **given)


def test_one_price_at_a_time(app: Connection) -> None:
    plan = row(app, "payroll.benefit_plan")
    row(app, "payroll.benefit_plan_rate", benefit_plan_id=plan, age_to=39)
    assert row(app, "payroll.benefit_plan_rate", benefit_plan_id=plan, age_from=40)
    with pytest.raises(errors.ExclusionViolation, match="one_at_a_time"):
        row(app, "payroll.benefit_plan_rate", benefit_plan_id=plan, age_from=60)


@pytest.mark.parametrize(("large", "hours", "holds"), [(True, 30, True), (True, 32, False),
                                                       (False, 32, True)])  # fmt: skip
def test_full_time_is_thirty_hours_at_large_employers(
    app: Connection, large: bool, hours: int, holds: bool
) -> None:
    employer = row(app, "payroll.employer_entity", is_applicable_large_employer=large)
    plan = row(app, "payroll.benefit_plan", employer_entity_id=employer)
    if holds:
        assert row(
            app, "payroll.eligibility_rule", benefit_plan_id=plan, minimum_hours_weekly=hours
        )
        return
    with pytest.raises(errors.CheckViolation, match="30 hours"):
        row(app, "payroll.eligibility_rule", benefit_plan_id=plan, minimum_hours_weekly=hours)


class Offer:
    """A hire with a medical plan, its rates, a code to deduct it by and an open window."""

    def __init__(self, app: Connection, **rule: Any) -> None:
        self.app = app
        self.hire: Hire = hire(app, worker_category="full_time", standard_hours_weekly=40)
        self.plan = row(app, "payroll.benefit_plan", employer_entity_id=self.hire.employer,
                        minimum_value=True)  # fmt: skip
        row(app, "payroll.eligibility_rule", benefit_plan_id=self.plan, **rule)
        for tier, share in (("employee", 120), ("family", 400)):
            row(
                app,
                "payroll.benefit_plan_rate",
                benefit_plan_id=self.plan,
                coverage_tier=tier,
                premium_amount=share + 500,
                employee_share_amount=share,
            )
        row(
            app,
            "payroll.deduction_code",
            category="health",
            tax_treatment="section_125",
            calculation="tiered",
            benefit_plan_id=self.plan,
        )
        self.window = row(app, "payroll.enrollment_window")

    def submit(self, *elections: dict[str, Any]) -> list[UUID]:
        told = [{"plan": str(self.plan), **e} for e in elections]
        return [
            found
            for (found,) in self.app.execute(
                "SELECT payroll.submit_elections(%s, %s, %s, '2026-05-04 12:00+00')",
                [self.hire.person, self.window, json.dumps(told)],
            ).fetchall()
        ]

    def enrollments(self) -> list[Any]:
        return self.app.execute(
            "SELECT status, coverage_tier, employee_cost_per_period_amount::float"
            " FROM payroll.benefit_enrollment ORDER BY created_at, benefit_enrollment_id"
        ).fetchall()

    def deductions(self) -> list[Any]:
        return self.app.execute(
            "SELECT amount::float, employer_amount::float, frequency, effective_until::text"
            " FROM payroll.employee_deduction ORDER BY amount"
        ).fetchall()

    def differences(self) -> list[Any]:
        return self.app.execute("SELECT difference FROM payroll.benefit_differences()").fetchall()


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ({"waiting_rule": "date_of_hire"}, "2026-01-01"),
        ({"worker_categories": ["part_time"]}, None),
        ({"service_months_minimum": 12}, "2026-01-01"),
        ({"minimum_hours_weekly": 40}, "2026-01-01"),
    ],
)
def test_rules_say_who_may_join(app: Connection, rule: dict[str, Any], found: str | None) -> None:
    offer = Offer(app, **rule)
    assert app.execute(
        "SELECT payroll.eligible_from(%s, %s, '2026-05-04')::text", [offer.hire.person, offer.plan]
    ).fetchone() == (found,)


@pytest.mark.parametrize(
    ("rule", "days", "found"),
    [
        ("date_of_hire", 30, "2026-04-10"),
        ("days_after", 45, "2026-05-25"),
        ("first_of_month_after", 30, "2026-06-01"),
        ("first_of_month_after", 90, "2026-07-09"),
    ],
)
def test_nobody_waits_longer_than_90_days(
    app: Connection, rule: str, days: int, found: str
) -> None:
    offer = Offer(app, waiting_rule=rule, waiting_days=days)
    app.execute("UPDATE payroll.employment_spell SET hired_on = '2026-04-10'")
    assert app.execute(
        "SELECT payroll.eligible_from(%s, %s, '2026-05-04')::text", [offer.hire.person, offer.plan]
    ).fetchone() == (found,)


def test_an_election_is_taken_from_the_pay(app: Connection) -> None:
    offer = Offer(app)
    offer.submit({"tier": "employee"})
    assert offer.enrollments() == [("active", "employee", 60.0)]
    assert offer.deductions() == [(60.0, 250.0, "first_two_of_month", None)]
    assert offer.differences() == []
    assert app.execute(
        "SELECT submitted_count, invited_count FROM payroll.enrollment_window"
    ).fetchone() == (1, 1)


def test_a_later_election_takes_the_place_of_the_former(app: Connection) -> None:
    offer = Offer(app)
    offer.submit({"tier": "employee"})
    offer.submit({"tier": "family"})
    assert sorted(offer.enrollments()) == [
        ("active", "family", 200.0),
        ("cancelled", "employee", 60.0),
    ]
    assert offer.deductions() == [(200.0, 250.0, "first_two_of_month", None)]
    assert offer.differences() == []


def test_what_was_to_end_later_ends_earlier(app: Connection) -> None:
    offer = Offer(app)
    offer.submit({"tier": "employee"})
    for starts in ("2026-09-01", "2026-07-01"):
        offer.window = row(
            app,
            "payroll.enrollment_window",
            employee_id=offer.hire.person,
            window_kind="correction",
            coverage_effective_on=starts,
        )
        offer.submit({"tier": "family"})
    held = app.execute(
        "SELECT status, effective_from::text, effective_until::text FROM payroll.benefit_enrollment"
        " ORDER BY effective_from"
    ).fetchall()
    assert [(status, until) for status, _, until in held] == [
        ("ended", "2026-07-01"),
        ("active", None),
        ("cancelled", None),
    ]
    assert offer.differences() == []


def test_what_would_have_ended_never_began_where_an_earlier_election_covers_it(
    app: Connection,
) -> None:
    offer = Offer(app)
    first = offer.window
    offer.submit({"tier": "employee"})
    offer.window = row(
        app,
        "payroll.enrollment_window",
        employee_id=offer.hire.person,
        window_kind="correction",
        coverage_effective_on="2026-09-01",
    )
    offer.submit({"tier": "family"})
    offer.window = first
    offer.submit({"tier": "employee"})
    assert sorted(offer.enrollments()) == [
        ("active", "employee", 60.0),
        ("cancelled", "employee", 60.0),
        ("cancelled", "family", 200.0),
    ]
    assert offer.deductions() == [(60.0, 250.0, "first_two_of_month", None)]
    assert offer.differences() == []


def test_a_waiver_costs_nothing(app: Connection) -> None:
    offer = Offer(app)
    offer.submit({"election": "waived"})
    assert offer.enrollments() == [("active", "none", 0.0)]
    assert offer.deductions() == []


def test_a_closed_window_takes_no_election(app: Connection) -> None:
    offer = Offer(app)
    change(app, "payroll.enrollment_window", offer.window, status="closed")
    with pytest.raises(errors.CheckViolation, match="not open"):
        offer.submit({"tier": "employee"})


def test_who_may_not_join_is_refused(app: Connection) -> None:
    offer = Offer(app, worker_categories=["part_time"])
    with pytest.raises(errors.CheckViolation, match="may not join"):
        offer.submit({"tier": "employee"})


@pytest.mark.parametrize(("verified", "status"), [("2026-01-05", "active"),
                                                  (None, "pending_proof")])  # fmt: skip
def test_a_dependent_waits_for_proof(app: Connection, verified: str | None, status: str) -> None:
    offer = Offer(app)
    child = row(app, "payroll.dependent", employee_id=offer.hire.person, verified_on=verified)
    offer.submit({"tier": "family", "dependents": [str(child)]})
    assert offer.enrollments() == [(status, "family", 200.0)]


@pytest.mark.parametrize(
    ("tier", "relationship", "holds"),
    [
        ("employee", "child", False),
        ("employee", "spouse", False),
        ("family", "child", True),
        ("family", "spouse", True),
    ],
)
def test_tiers_cover_whom_they_name(
    app: Connection, tier: str, relationship: str, holds: bool
) -> None:
    offer = Offer(app)
    (made,) = offer.submit({"tier": tier})
    person = row(app, "payroll.dependent", employee_id=offer.hire.person, relationship=relationship)
    given = {"benefit_enrollment_id": made, "dependent_id": person}
    if holds:
        assert row(app, "payroll.enrollment_dependent", **given)
        return
    with pytest.raises(errors.CheckViolation, match="does not cover"):
        row(app, "payroll.enrollment_dependent", **given)


def test_children_age_out_at_the_end_of_a_month(app: Connection) -> None:
    offer = Offer(app)
    child = row(
        app,
        "payroll.dependent",
        employee_id=offer.hire.person,
        birth_date="2000-03-10",
        verified_on="2026-01-05",
    )
    offer.submit({"tier": "family", "dependents": [str(child)]})
    count = "SELECT payroll.age_out_dependents(%s)"
    assert app.execute(count, ["2026-03-31"]).fetchone() == (0,)
    assert app.execute(count, ["2026-04-01"]).fetchone() == (1,)
    assert app.execute(
        "SELECT covered_until::text, end_reason, cobra_eligible FROM payroll.enrollment_dependent"
    ).fetchone() == ("2026-04-01", "aged_out", True)
    assert app.execute(
        "SELECT event_kind, coverage_months, notice_due_on::text, premium_amount::float"
        " FROM payroll.cobra_case"
    ).fetchone() == ("aged_out", 36, "2026-05-14", 632.4)


def test_a_second_partner_is_refused(app: Connection) -> None:
    person = hire(app).person
    first = row(app, "payroll.dependent", employee_id=person, relationship="spouse")
    with pytest.raises(errors.UniqueViolation), app.transaction():
        row(app, "payroll.dependent", employee_id=person, relationship="domestic_partner")
    change(app, "payroll.dependent", first, ended_on="2026-02-01")
    assert row(app, "payroll.dependent", employee_id=person, relationship="domestic_partner")


def ordered(app: Connection) -> tuple[Offer, UUID, UUID]:
    """An offer whose family tier covers a child by a court's order; the child and the coverage."""
    offer = Offer(app)
    (made,) = offer.submit({"tier": "family"})
    child = row(app, "payroll.dependent", employee_id=offer.hire.person, verified_on="2026-01-05")
    covered = row(
        app,
        "payroll.enrollment_dependent",
        benefit_enrollment_id=made,
        dependent_id=child,
        is_court_ordered=True,
    )
    return offer, child, covered


def hold(app: Connection) -> None:
    """Asks now what is otherwise asked at the end of the transaction."""
    app.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_what_a_court_ordered_is_not_dropped(app: Connection) -> None:
    _, _, covered = ordered(app)
    change(app, "payroll.enrollment_dependent", covered, covered_until="2026-06-01",
           end_reason="voluntary")  # fmt: skip
    with pytest.raises(errors.RestrictViolation, match="court"):
        hold(app)


def test_an_order_that_was_lifted_lets_coverage_end(app: Connection) -> None:
    _, _, covered = ordered(app)
    change(app, "payroll.enrollment_dependent", covered, covered_until="2026-06-01",
           end_reason="voluntary", is_court_ordered=False)  # fmt: skip
    hold(app)


@pytest.mark.parametrize("with_child", [True, False])
def test_an_order_holds_in_the_next_election(app: Connection, with_child: bool) -> None:
    offer, child, _ = ordered(app)
    offer.submit({"tier": "family", "dependents": [str(child)] if with_child else []})
    if with_child:
        hold(app)
        assert app.execute(
            "SELECT count(*) FROM payroll.enrollment_dependent"
            " WHERE is_court_ordered AND covered_until IS NULL"
        ).fetchone() == (1,)
        return
    with pytest.raises(errors.RestrictViolation, match="court"):
        hold(app)


@pytest.mark.parametrize(("tier", "holds"), [("employee", False), ("employee_children", True)])
def test_a_tier_does_not_shrink_below_its_members(app: Connection, tier: str, holds: bool) -> None:
    offer = Offer(app)
    (made,) = offer.submit({"tier": "family"})
    row(
        app,
        "payroll.benefit_plan_rate",
        benefit_plan_id=offer.plan,
        coverage_tier="employee_children",
    )
    child = row(app, "payroll.dependent", employee_id=offer.hire.person)
    row(app, "payroll.enrollment_dependent", benefit_enrollment_id=made, dependent_id=child)
    given = {"coverage_tier": tier, "benefit_plan_rate_id": None}
    if holds:
        change(app, "payroll.benefit_enrollment", made, **given)
        return
    with pytest.raises(errors.CheckViolation, match="does not cover"):
        change(app, "payroll.benefit_enrollment", made, **given)


@pytest.mark.parametrize(
    ("relationship", "event", "found"),
    [
        ("spouse", None, ("2026-06-01", "divorce", True)),
        ("domestic_partner", None, ("2026-06-01", "divorce", False)),
        ("spouse", "death_of_dependent", ("2026-05-05", "death", False)),
        ("child", None, ("2026-05-05", "death", False)),
    ],
)
def test_coverage_ends_with_a_marriage_or_a_life(
    app: Connection, relationship: str, event: str | None, found: tuple[str, str, bool]
) -> None:
    offer = Offer(app)
    person = row(app, "payroll.dependent", employee_id=offer.hire.person,
                 relationship=relationship, verified_on="2026-01-05")  # fmt: skip
    offer.submit({"tier": "family", "dependents": [str(person)]})
    if event:
        row(app, "payroll.life_event", employee_id=offer.hire.person, event_kind=event)
    change(app, "payroll.dependent", person, ended_on="2026-05-04")
    assert (
        app.execute(
            "SELECT covered_until::text, end_reason, cobra_eligible"
            " FROM payroll.enrollment_dependent"
        ).fetchone()
        == found
    )
    cases = app.execute(
        "SELECT event_kind, coverage_months, premium_amount::float FROM payroll.cobra_case"
    ).fetchall()
    assert cases == ([("divorce", 36, 632.4)] if found[2] else [])


def test_a_plan_is_elected_in_its_year(app: Connection) -> None:
    offer = Offer(app)
    window = row(app, "payroll.enrollment_window", coverage_effective_on="2027-01-01",
                 plan_year=2027)  # fmt: skip
    with pytest.raises(errors.CheckViolation, match="from 2026-01-01 to 2026-12-31"):
        row(
            app,
            "payroll.benefit_enrollment",
            employee_id=offer.hire.person,
            benefit_plan_id=offer.plan,
            enrollment_window_id=window,
            effective_from="2027-01-01",
        )


def test_who_may_join_after_the_year_of_a_plan_may_not_join_it(app: Connection) -> None:
    offer = Offer(app)
    app.execute("UPDATE payroll.employment_spell SET hired_on = '2026-12-10'")
    assert app.execute(
        "SELECT payroll.eligible_from(%s, %s, '2026-12-20')", [offer.hire.person, offer.plan]
    ).fetchone() == (None,)


def test_coverage_ends_with_the_work(app: Connection) -> None:
    offer = Offer(app)
    offer.submit({"tier": "employee"})
    app.execute(
        "UPDATE payroll.employment_spell"
        " SET terminated_on = '2026-05-12', termination_kind = 'voluntary'"
    )
    assert app.execute(
        "SELECT status, effective_until::text, end_reason FROM payroll.benefit_enrollment"
    ).fetchone() == ("ended", "2026-06-01", "Employment ended")
    assert offer.deductions() == [(60.0, 250.0, "first_two_of_month", "2026-06-01")]
    assert app.execute(
        "SELECT event_kind, event_on::text, status, premium_amount::float FROM payroll.cobra_case"
    ).fetchone() == ("termination", "2026-05-12", "pending_notice", 632.4)
    assert offer.differences() == []


def test_a_deduction_that_is_not_what_was_elected_is_found(app: Connection) -> None:
    offer = Offer(app)
    offer.submit({"tier": "employee"})
    app.execute("UPDATE payroll.employee_deduction SET amount = 61")
    assert offer.differences() == [("another amount is deducted",)]


def test_a_life_event_opens_a_window(app: Connection) -> None:
    event = row(app, "payroll.life_event", event_kind="birth")
    change(app, "payroll.life_event", event, status="approved")
    assert app.execute(
        "SELECT opens_on::text, closes_on::text, coverage_effective_on::text, status"
        " FROM payroll.enrollment_window"
    ).fetchone() == ("2026-05-04", "2026-06-03", "2026-05-04", "open")


def test_shares_of_beneficiaries_make_a_whole(app: Connection) -> None:
    person, plan = hire(app).person, row(app, "payroll.benefit_plan", plan_kind="basic_life")
    given = {"employee_id": person, "benefit_plan_id": plan, "share_pct": 60}
    row(app, "payroll.beneficiary_designation", **given)
    with pytest.raises(errors.CheckViolation, match="not 100"), app.transaction():
        app.execute("SET CONSTRAINTS ALL IMMEDIATE")
    row(app, "payroll.beneficiary_designation", **{**given, "share_pct": 40})
    app.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.mark.parametrize(("consent", "holds"), [(None, False), ("2026-01-02", True)])
def test_a_spouse_comes_first(app: Connection, consent: str | None, holds: bool) -> None:
    person = hire(app).person
    row(app, "payroll.dependent", employee_id=person, relationship="spouse")
    row(
        app,
        "payroll.beneficiary_designation",
        employee_id=person,
        benefit_plan_id=retirement(app),
        spousal_consent_on=consent,
    )
    if holds:
        app.execute("SET CONSTRAINTS ALL IMMEDIATE")
        return
    with pytest.raises(errors.CheckViolation, match="spouse"):
        app.execute("SET CONSTRAINTS ALL IMMEDIATE")


def account(app: Connection, kind: str, **columns: Any) -> UUID:
    plan = row(app, "payroll.benefit_plan", plan_kind=kind, annual_limit_amount=3400)
    return row(
        app,
        "payroll.spending_account",
        **{
            "account_kind": kind,
            "benefit_plan_id": plan,
            "annual_election_amount": 1200,
            "employee_contributed_amount": 100,
            "hdhp_confirmed": True,
            **columns,
        },
    )


@pytest.mark.parametrize(
    ("kind", "claim", "paid"),
    [("health_fsa", 900, 900), ("health_fsa", 1500, 1200), ("hsa", 900, 100),
     ("dependent_fsa", 900, 100)],
)  # fmt: skip
def test_only_a_health_fsa_pays_ahead(app: Connection, kind: str, claim: int, paid: int) -> None:
    found = app.execute("SELECT payroll.reimburse(%s, %s)", [account(app, kind), claim]).fetchone()
    assert found
    assert float(found[0]) == paid


@pytest.mark.parametrize(
    ("kind", "columns", "truth"),
    [
        ("hsa", {"hdhp_confirmed": False}, "high_deductible"),
        ("hsa", {"employer_contributed_amount": 3301}, "not allowed"),
        ("health_fsa", {"annual_election_amount": 3401}, "not allowed"),
        ("health_fsa", {"employee_contributed_amount": 1201}, "up_to_election"),
        ("health_fsa", {"paid_out_amount": 1201}, "pays_what_it_has"),
        ("dependent_fsa", {"paid_out_amount": 101}, "pays_what_it_has"),
        ("hsa", {"plan_year": 2025}, "not of 2025"),
    ],
)
def test_accounts_keep_their_limits(
    app: Connection, kind: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        account(app, kind, **columns)


def test_errors_of_a_feed_are_summed_up(app: Connection) -> None:
    told = [
        {"member": "E2", "code": "DOB", "message": "Birth date missing"},
        {"member": "E1", "code": "DOB", "message": "Birth date missing"},
        {"member": "E1", "code": "SSN", "message": "Number unknown"},
    ]
    feed = row(
        app, "payroll.carrier_feed", member_count=9, rejected_count=2, errors=json.dumps(told)
    )
    assert app.execute(
        "SELECT code, member_count, members FROM payroll.feed_error_summary(%s)", [feed]
    ).fetchall() == [("DOB", 2, ["E1", "E2"]), ("SSN", 1, ["E1"])]


def test_a_carrier_hears_of_who_joined(app: Connection) -> None:
    offer = Offer(app)
    offer.submit({"tier": "employee"})
    carrier = app.execute("SELECT benefit_carrier_id FROM payroll.benefit_plan").fetchone()
    assert carrier
    due = "SELECT count(*) FROM payroll.carriers_without_full_feed('2026-06-01')"
    assert app.execute(due).fetchone() == (1,)
    app.execute(
        "SELECT payroll.build_carrier_feed(%s, 'full', '2026-05-31', '2026-05-31')", carrier
    )
    assert app.execute(
        "SELECT member_count, added_count, terminated_count FROM payroll.carrier_feed"
    ).fetchone() == (1, 1, 0)
    assert app.execute(due).fetchone() == (0,)


@pytest.mark.parametrize(
    ("elects", "day", "found"),
    [
        ("employee", "2026-05-01", ("1E", 120.0, "2C", True)),
        (None, "2026-05-01", ("1E", 120.0, "2H", False)),
        (None, "2023-05-01", ("1H", None, "2A", False)),
    ],
)
def test_codes_of_a_month_follow_from_the_rows(
    app: Connection, elects: str | None, day: str, found: tuple[Any, ...]
) -> None:
    offer = Offer(app)
    if elects:
        offer.submit({"tier": elects})
    assert (
        app.execute(
            "SELECT offer_code, required_contribution::float, safe_harbor_code, covered"
            " FROM payroll.aca_codes(%s, %s)",
            [offer.hire.person, day],
        ).fetchone()
        == found
    )


def test_who_waits_is_not_offered_yet(app: Connection) -> None:
    offer = Offer(app)
    app.execute("UPDATE payroll.employment_spell SET hired_on = '2026-05-01'")
    assert app.execute(
        "SELECT offer_code, safe_harbor_code FROM payroll.aca_codes(%s, '2026-05-01')",
        [offer.hire.person],
    ).fetchone() == ("1H", "2D")


def test_a_locked_month_stays(app: Connection) -> None:
    offer = Offer(app)
    build = "SELECT payroll.build_aca_months(%s, 2026, 3)"
    assert app.execute(build, [offer.hire.employer]).fetchone() == (3,)
    app.execute("UPDATE payroll.aca_employee_month SET is_locked = true WHERE month_no = 1")
    assert app.execute(build, [offer.hire.employer]).fetchone() == (2,)
    with pytest.raises(errors.RestrictViolation, match="locked"):
        app.execute("UPDATE payroll.aca_employee_month SET offer_code = '1H',"
                    " employee_required_contribution_amount = NULL")  # fmt: skip


def test_the_census_counts_dependents(app: Connection) -> None:
    offer = Offer(app)
    child = row(app, "payroll.dependent", employee_id=offer.hire.person, verified_on="2026-01-05")
    offer.submit({"tier": "family", "dependents": [str(child)]})
    assert app.execute(
        "SELECT coverage_tier, dependents, monthly_premium_amount::float"
        " FROM payroll.v_benefit_census"
    ).fetchall() == [("family", 1, 900.0)]


def test_two_who_elect_at_once_are_both_counted(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        offer = Offer(connection)
        people = [hire(connection, worker_category="full_time").person for _ in range(2)]

    def elect(connection: Connection, person: UUID) -> None:
        row(connection, "payroll.benefit_enrollment", employee_id=person, status="submitted",
            enrollment_window_id=offer.window, election="waived",
            coverage_tier="none")  # fmt: skip

    def second(connection: Connection) -> None:
        elect(connection, people[1])
        connection.commit()

    with psycopg.connect(target.app) as first:
        become_app(first, tenant)
        elect(first, people[0])
        after(target, tenant, first, second)
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert connection.execute(
            "SELECT submitted_count, invited_count FROM payroll.enrollment_window"
            " WHERE enrollment_window_id = %s",
            [offer.window],
        ).fetchone() == (2, 2)


def test_a_share_that_is_taken_back_is_missed(app: Connection) -> None:
    person, plan = hire(app).person, row(app, "payroll.benefit_plan", plan_kind="basic_life")
    given = {"employee_id": person, "benefit_plan_id": plan}
    row(app, "payroll.beneficiary_designation", **given, share_pct=60)
    other = row(app, "payroll.beneficiary_designation", **given, share_pct=40)
    hold(app)
    app.execute("SET CONSTRAINTS ALL DEFERRED")
    app.execute(
        "DELETE FROM payroll.beneficiary_designation WHERE beneficiary_designation_id = %s",
        [other],
    )
    with pytest.raises(errors.CheckViolation, match=r"primary shares make 60\.0000, not 100"):
        hold(app)


def test_a_designation_that_moves_leaves_a_whole_behind(app: Connection) -> None:
    person = hire(app).person
    plans = [row(app, "payroll.benefit_plan", plan_kind="basic_life") for _ in range(2)]
    row(app, "payroll.beneficiary_designation", employee_id=person, benefit_plan_id=plans[0],
        share_pct=60)  # fmt: skip
    moved = row(app, "payroll.beneficiary_designation", employee_id=person,
                benefit_plan_id=plans[0], share_pct=40)  # fmt: skip
    hold(app)
    app.execute("SET CONSTRAINTS ALL DEFERRED")
    change(app, "payroll.beneficiary_designation", moved, benefit_plan_id=plans[1],
           share_pct=100)  # fmt: skip
    with pytest.raises(errors.CheckViolation, match=r"primary shares make 60\.0000, not 100"):
        hold(app)


def test_two_who_name_at_once_do_not_make_twice_a_whole(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        person = hire(connection).person
        plan = row(connection, "payroll.benefit_plan", plan_kind="basic_life")

    refusals: list[str] = []

    def work(connection: Connection, number: int) -> None:
        try:
            row(connection, "payroll.beneficiary_designation", employee_id=person,
                benefit_plan_id=plan, beneficiary_name=f"Heir {number}")  # fmt: skip
            hold(connection)
        except errors.CheckViolation as error:
            refusals.append(str(error))
            connection.rollback()

    at_once(target, tenant, 2, work)
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert connection.execute(
            "SELECT sum(share_pct)::integer FROM payroll.beneficiary_designation"
        ).fetchone() == (100,)
    assert len(refusals) == 1


def test_two_claims_at_once_pay_no_more_than_there_is(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        held = account(connection, "health_fsa")

    paid: list[int] = []

    def work(connection: Connection, _: int) -> None:
        found = connection.execute("SELECT payroll.reimburse(%s, 900)", [held]).fetchone()
        assert found
        paid.append(int(found[0]))

    at_once(target, tenant, 2, work)
    assert sorted(paid) == [300, 900]


@pytest.mark.parametrize("status", ["forfeited", "closed"])
def test_a_closed_account_pays_nothing(app: Connection, status: str) -> None:
    held = account(app, "health_fsa")
    change(app, "payroll.spending_account", held, status="runout")
    change(app, "payroll.spending_account", held, status=status)
    with pytest.raises(errors.CheckViolation, match=status):
        app.execute("SELECT payroll.reimburse(%s, 10)", [held])


def test_two_submissions_at_once_leave_one_election(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        offer = Offer(connection)

    def work(connection: Connection, number: int) -> None:
        told = [{"plan": str(offer.plan), "tier": ("employee", "family")[number]}]
        connection.execute(
            "SELECT payroll.submit_elections(%s, %s, %s, '2026-05-04 12:00+00')",
            [offer.hire.person, offer.window, json.dumps(told)],
        ).fetchall()

    at_once(target, tenant, 2, work)
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert connection.execute(
            "SELECT count(*) FILTER (WHERE status = 'active'), count(*)"
            " FROM payroll.benefit_enrollment"
        ).fetchone() == (1, 2)
        assert connection.execute("SELECT count(*) FROM payroll.employee_deduction").fetchone() == (
            1,
        )
