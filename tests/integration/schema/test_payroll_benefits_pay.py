"""What somebody elected is on the next paycheck, and no longer than it stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_account, add_tenant, become_app
from tests.integration.schema.parallel import after, at_once
from tests.integration.schema.payday import Company, company, shop
from tests.integration.schema.rows import row

__all__ = ["shop"]


@dataclass
class Choice:
    """An employee of 3,000 a pay who may elect a medical plan, a 401(k) and an account."""

    company: Company
    person: UUID
    plans: dict[str, UUID]
    window: UUID

    def elect(self, **elections: dict[str, Any]) -> None:
        told = [{"plan": str(self.plans[kind]), **e} for kind, e in elections.items()]
        self.company.all(
            "SELECT payroll.submit_elections(%s, %s, %s, '2025-12-01 12:00+00')",
            self.person,
            self.window,
            json.dumps(told),
        )

    def taken(self, period: int) -> dict[str, Decimal]:
        run = self.company.start(period)
        self.company.calculate(run)
        return self.company.deducted(self.company.paycheck(run, self.person)["paycheck_id"])


@pytest.fixture
def choice(shop: Company) -> Choice:
    return offered(shop)


def offered(shop: Company) -> Choice:
    """The plans with their rule, rate and code; a window for coverage from January on."""
    connection = shop.connection
    formula = [
        {"up_to_percent": 3, "match_percent": 100},
        {"up_to_percent": 5, "match_percent": 50},
    ]
    plans = {}
    for kind, code, columns in (
        ("medical", "MEDICAL", {"minimum_value": True}),
        (
            "retirement_401k",
            "401K",
            {"employer_contribution_method": "match", "match_formula": json.dumps(formula)},
        ),
        ("health_fsa", "FSA", {}),
    ):
        plans[kind] = row(
            connection,
            "payroll.benefit_plan",
            employer_entity_id=shop.employer,
            plan_kind=kind,
            **columns,
        )
        row(connection, "payroll.eligibility_rule", benefit_plan_id=plans[kind])
        if code in shop.deductions:
            connection.execute(
                "UPDATE payroll.deduction_code SET benefit_plan_id = %s WHERE code = %s",
                [plans[kind], code],
            )
    row(connection, "payroll.benefit_plan_rate", benefit_plan_id=plans["medical"])
    who = shop.hire(rate=78000, basis="salary")
    return Choice(shop, who, plans, row(connection, "payroll.enrollment_window"))


def test_elections_are_on_the_next_paycheck(choice: Choice) -> None:
    choice.elect(medical={}, retirement_401k={"contribution_percent": 6})
    run = choice.company.start(1)
    choice.company.calculate(run)
    check = choice.company.paycheck(run, choice.person)
    # Half of a month's 120; 6 percent of 3,000, of which the employer matches 3 + 1 percent.
    assert choice.company.deducted(check["paycheck_id"]) == {"MEDICAL": 60, "401K": 180}
    assert check["employer_benefit_amount"] == 250 + 120
    assert check["taxable_federal_amount"] == 3000 - 60 - 180


@pytest.mark.parametrize("pays_first", [True, False], ids=["pays first", "elects first"])
def test_who_elects_anew_and_who_is_paid_meanwhile_wait_for_each_other(
    deployed: Target, copy_of: Callable[[Target], Target], pays_first: bool
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        people = [add_account(connection, tenant, name) for name in ("ada", "boss")]
        become_app(connection, tenant)
        choice = offered(company(connection, *people))
        choice.elect(medical={})
        run = choice.company.start(1)

    def pay(connection: Connection) -> None:
        replace(choice.company, connection=connection).calculate(run)

    def elect(connection: Connection) -> None:
        replace(choice, company=replace(choice.company, connection=connection)).elect(
            medical={"tier": "employee"}
        )

    earlier, later = (pay, elect) if pays_first else (elect, pay)

    def then(connection: Connection) -> None:
        later(connection)
        connection.commit()

    with psycopg.connect(target.app) as first:
        become_app(first, tenant)
        earlier(first)
        after(target, tenant, first, then)
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        taken = "SELECT count(*) FROM payroll.paycheck_deduction"
        assert connection.execute(taken).fetchone() == (1,)


def test_an_election_ends_with_the_day_before_the_next_one(choice: Choice) -> None:
    choice.elect(medical={}, retirement_401k={"contribution_percent": 6})
    choice.company.one(
        "UPDATE payroll.benefit_enrollment SET status = 'ended', effective_until = '2026-01-20',"
        " end_reason = 'Moved away' WHERE plan_kind = 'medical' RETURNING 1"
    )
    checks = choice.company.all(
        "SELECT row_number() OVER (ORDER BY starts_on), check_date < '2026-01-20'"
        " FROM payroll.pay_period ORDER BY starts_on LIMIT 3"
    )
    assert {before for _, before in checks} == {True, False}
    for number, before in checks:
        assert ("MEDICAL" in choice.taken(number)) is before


def test_a_month_is_paid_by_its_first_two_checks(choice: Choice) -> None:
    choice.elect(medical={})
    choice.company.one(
        "SELECT payroll.open_pay_period(%s, '2026-12-31', '2026-01-02 12:00+00')",
        choice.company.schedule,
    )
    third = choice.company.all(
        "SELECT number FROM (SELECT row_number() OVER (ORDER BY starts_on) AS number,"
        " row_number() OVER (PARTITION BY date_trunc('month', check_date) ORDER BY check_date)"
        " AS turn FROM payroll.pay_period) AS x WHERE turn = 3 ORDER BY number"
    )
    assert third
    assert choice.taken(third[0][0]) == {}
    assert choice.taken(third[0][0] - 1) == {"MEDICAL": 60}


def test_a_plan_without_a_code_cannot_be_taken_from_the_pay(choice: Choice) -> None:
    with pytest.raises(errors.CheckViolation, match="no deduction code belongs to the plan"):
        choice.elect(health_fsa={"per_period_amount": 50})


@pytest.mark.parametrize(
    ("table", "column", "states"),
    [
        ("benefit_carrier", "status", ("terminated",)),
        ("life_event", "status", ("awaiting_proof", "approved", "denied")),
        ("enrollment_window", "status", ("closed", "extended")),
        ("benefit_enrollment", "status", ("pending_proof", "active", "ended", "cancelled")),
        ("spending_account", "status", ("runout", "forfeited", "closed")),
        ("carrier_feed", "acknowledgement", ("accepted", "partial", "rejected")),
        ("cobra_case", "status", ("offered", "elected", "declined", "lapsed", "ended")),
    ],
)
def test_nothing_begins_in_the_middle(
    app: Connection, table: str, column: str, states: tuple[str, ...]
) -> None:
    for state in states:
        with (
            pytest.raises(errors.CheckViolation, match=f"a new row cannot start as {state}"),
            app.transaction(),
        ):
            row(app, f"payroll.{table}", **_fitting(app, table), **{column: state})


def _fitting(app: Connection, table: str) -> dict[str, Any]:
    if table == "spending_account":
        return {"benefit_plan_id": row(app, "payroll.benefit_plan", plan_kind="health_fsa")}
    return {}


def test_two_feeds_at_once_tell_a_change_once(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        carrier = row(connection, "payroll.benefit_carrier")
        plan = row(connection, "payroll.benefit_plan", benefit_carrier_id=carrier)
        made = row(connection, "payroll.benefit_enrollment", benefit_plan_id=plan,
                   status="submitted", election="waived", coverage_tier="none")  # fmt: skip
        connection.execute(
            "UPDATE payroll.benefit_enrollment SET status = 'active'"
            " WHERE benefit_enrollment_id = %s",
            [made],
        )
        connection.execute(
            "UPDATE payroll.benefit_enrollment SET election = 'elected', coverage_tier = 'employee'"
        )

    def work(connection: Connection, _: int) -> None:
        connection.execute(
            "SELECT payroll.build_carrier_feed(%s, 'changes', '2026-05-31')", [carrier]
        )

    at_once(target, tenant, 2, work)
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert connection.execute(
            "SELECT count(*), sum(added_count), sum(member_count) FROM payroll.carrier_feed"
        ).fetchone() == (2, 1, 1)
