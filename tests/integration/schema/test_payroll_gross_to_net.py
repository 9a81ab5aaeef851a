"""Gross to net: taxes by the tenant's tables, deductions in their turn, to the cent."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from psycopg import errors

from tests.integration.schema.payday import Company, shop
from tests.integration.schema.rows import row

__all__ = ["shop"]  # a fixture

WEEKS = [(f"2025-12-{day}", 8) for day in (29, 30, 31)] + [
    (f"2026-01-{day:02}", 8) for day in (2, 5, 6, 7, 8, 9)
]


def test_a_pay_of_an_hourly_employee(shop: Company) -> None:
    who = shop.hire(rate=20)
    shop.work(who, 1, *WEEKS, ("2026-01-01", 8))
    run = shop.start()
    assert shop.calculate(run) == {who: "ok"}
    check = shop.paycheck(run, who)
    # 80 hours; 41,600 a year less 8,600 is 33,000: 1,240 + 12 % above 19,900, a 26th of it.
    assert check["gross_amount"] == 1600
    assert check["hours_worked"] == 80
    taxes = shop.tax(check["paycheck_id"])
    assert taxes == {
        "FIT": Decimal("108.15"),
        "SS": Decimal("99.20"),
        "MED": Decimal("23.20"),
        "ADDMED": Decimal(0),
        "IL-IT": Decimal("79.20"),
    }
    assert check["net_amount"] == 1600 - sum(taxes.values())
    assert shop.tax(check["paycheck_id"], "employer") == {
        "SS": Decimal("99.20"),
        "MED": Decimal("23.20"),
        "FUTA": Decimal("9.60"),
        "IL-SUI": Decimal("52.00"),
    }
    assert shop.differences() == []


def test_a_salary_is_a_part_of_its_year(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    run = shop.start()
    shop.calculate(run)
    assert shop.paycheck(run, who)["gross_amount"] == 3000


def test_who_began_within_the_period_gets_the_days_since(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary", hired_on="2026-01-05")
    run = shop.start()
    shop.calculate(run)
    assert shop.paycheck(run, who)["gross_amount"] == 1500
    assert shop.findings(run)["new_hire_no_i9"] == "warning"


def test_a_raise_within_the_period_pays_each_part(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    shop.connection.execute(
        "UPDATE payroll.compensation_rate SET effective_until = '2026-01-05'"
        " WHERE job_assignment_id = %s",
        [shop.job(who)],
    )
    shop.pay(shop.job(who), 104000, "salary", since="2026-01-05")
    run = shop.start()
    shop.calculate(run)
    assert shop.paycheck(run, who)["gross_amount"] == 1500 + 2000


def test_overtime_is_a_multiple_of_the_regular_rate(shop: Company) -> None:
    who = shop.hire(rate=20)
    # 40 hours at 20 and 10 at 25 in a week, 8 of them overtime: (800 + 250) / 50 = 21.
    days = [(f"2026-01-{day:02}", 8) for day in range(5, 10)]
    shop.work(
        who,
        1,
        *days,
        ("2026-01-10", 2, "regular", "REG", 25),
        ("2026-01-10", 8, "overtime", None, 25),
    )
    assert shop.one("SELECT payroll.regular_rate(%s, '2026-01-04')", who) == Decimal("21")
    run = shop.start()
    shop.calculate(run)
    lines = shop.all(
        "SELECT hours, rate_amount, regular_rate_amount, amount FROM payroll.paycheck_earning"
        " ORDER BY line_no"
    )
    assert lines == [
        (40, 20, None, 800),
        (2, 25, None, 50),
        (8, Decimal("31.5"), 21, 252),
    ]


def test_a_week_without_hours_has_no_regular_rate(shop: Company) -> None:
    assert shop.one("SELECT payroll.regular_rate(%s, '2026-01-04')", shop.hire()) is None


def test_a_promised_bonus_raises_the_regular_rate(shop: Company) -> None:
    who = shop.hire(rate=20)
    shop.work(who, 1, *[(f"2026-01-{day:02}", 8) for day in range(5, 10)])
    shop.connection.execute(
        "UPDATE payroll.earning_code SET in_regular_rate = true WHERE code = 'BONUS'"
    )
    shop.give(who, "BONUS", amount=80)
    # A week's half of 80 over 40 hours.
    assert shop.one("SELECT payroll.regular_rate(%s, '2026-01-04')", who) == 21


def test_pieces_are_paid_by_the_piece(shop: Company) -> None:
    who = shop.hire(rate=3, basis="piece")
    shop.work(who, 1, ("2026-01-05", 8))
    shop.connection.execute("RESET ROLE")
    shop.connection.execute("UPDATE payroll.timesheet_entry SET piece_count = 50")
    shop.connection.execute("SET LOCAL ROLE app_user")
    run = shop.start()
    shop.calculate(run)
    assert shop.one("SELECT units, rate_amount, amount FROM payroll.paycheck_earning") == (
        50,
        3,
        150,
    )


@pytest.mark.parametrize(
    ("election", "wages", "tax"),
    [
        ({}, 2000, "156.15"),
        ({"filing_status": "married_joint"}, 2000, "76.15"),
        ({"filing_status": "married_separate"}, 2000, "156.15"),
        ({"filing_status": "head_of_household"}, 2000, "114.92"),
        ({"dependents_amount": 2000}, 2000, "79.23"),
        ({"extra_withholding_amount": 30}, 2000, "186.15"),
        ({"deductions_amount": 5200}, 2000, "132.15"),
        ({"other_income_amount": 5200}, 2000, "180.15"),
        ({"form_version": "w4_pre_2020", "allowances": 2}, 2000, "156.15"),
        ({"is_exempt": True}, 2000, "0"),
        ({}, 100, "0"),
        ({}, 30000, "9176.93"),
    ],
)
def test_federal_withholding_follows_the_percentage_method(
    shop: Company, election: dict[str, Any], wages: int, tax: str
) -> None:
    found = shop.one(
        "SELECT payroll.federal_withholding(%s, 'biweekly', %s::jsonb, '2026-03-01')",
        wages,
        json.dumps(election),
    )
    status = election.get("filing_status", "single")
    assert (status, found) == (status, Decimal(tax) if tax != "0" else 0)


def test_a_year_without_table_is_refused(shop: Company) -> None:
    with pytest.raises(errors.NoDataFound, match="no federal income tax table"):
        shop.one("SELECT payroll.federal_withholding(100, 'weekly', '{}', '2019-01-01')")


def test_deductions_before_tax_lower_what_is_taxed(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    shop.deduct(who, "MEDICAL", amount=120, employer_amount=360)
    shop.deduct(who, "401K", percent=6, employer_percent=4)
    run = shop.start()
    shop.calculate(run)
    check = shop.paycheck(run, who)
    assert shop.deducted(check["paycheck_id"]) == {"MEDICAL": 120, "401K": 180}
    assert check["pretax_deduction_amount"] == 300
    assert check["taxable_federal_amount"] == 2700
    assert check["employer_benefit_amount"] == 360 + 120
    bases = dict(
        shop.all(
            "SELECT c.code, t.subject_wages_amount FROM payroll.paycheck_tax AS t"
            " JOIN payroll.tax_code AS c USING (business_id, tax_code_id)"
            " WHERE t.payer = 'employee'"
        )
    )
    assert bases == {"FIT": 2700, "SS": 2880, "MED": 2880, "ADDMED": 2880, "IL-IT": 2700}


def test_bonuses_are_withheld_from_at_the_flat_rate(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    run = shop.start(kind="bonus")
    shop.give(who, "BONUS", run, amount=1000)
    shop.calculate(run)
    check = shop.paycheck(run, who)
    assert shop.tax(check["paycheck_id"])["FIT"] == 220
    assert shop.tax(check["paycheck_id"])["IL-IT"] == Decimal("49.50")
    methods = shop.all("SELECT DISTINCT method FROM payroll.paycheck_tax ORDER BY method")
    assert methods == [("percentage",), ("supplemental_flat",)]


def test_without_a_flat_rate_bonuses_go_through_the_table(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    shop.connection.execute("UPDATE payroll.tax_jurisdiction SET supplemental_rate = NULL")
    run = shop.start()
    shop.give(who, "BONUS", amount=1000)
    shop.calculate(run)
    check = shop.paycheck(run, who)
    wanted = shop.one("SELECT payroll.federal_withholding(4000, 'biweekly', '{}', '2026-01-15')")
    assert shop.tax(check["paycheck_id"])["FIT"] == wanted


def test_expenses_are_paid_and_not_taxed(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    run = shop.start()
    shop.give(who, "EXPENSE", amount=250, input_kind="reimbursement")
    shop.calculate(run)
    check = shop.paycheck(run, who)
    assert (check["gross_amount"], check["taxable_federal_amount"]) == (3250, 3000)


def test_imputed_income_is_taxed_and_not_paid(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    run = shop.start()
    shop.give(who, "LIFE", amount=40)
    shop.calculate(run)
    check = shop.paycheck(run, who)
    assert (check["gross_amount"], check["taxable_federal_amount"]) == (3000, 3040)


def test_social_security_ends_at_the_wage_base(shop: Company) -> None:
    who = shop.hire(rate=2600000, basis="salary")
    taken = []
    for period in (1, 2, 3):
        run = shop.finish(period)
        check = shop.paycheck(run, who)
        taken.append(shop.tax(check["paycheck_id"]))
    assert [tax.get("SS") for tax in taken] == [6200, Decimal("5239.00"), 0]
    # Above 200,000 the additional Medicare tax begins.
    assert [tax["ADDMED"] for tax in taken] == [0, 0, 900]
    assert [tax["MED"] for tax in taken] == [1450, 1450, 1450]
    assert shop.differences() == []


def test_a_deferral_ends_at_the_limit_of_the_year(shop: Company) -> None:
    young = shop.hire(rate=260000, basis="salary")
    old = shop.hire(rate=260000, basis="salary", birth_date="1970-01-01")
    for who in (young, old):
        shop.deduct(who, "401K", percent=100)
        shop.deduct(who, "ROTH", percent=50)
    shop.connection.execute("UPDATE payroll.deduction_code SET annual_limit_amount = 6000")
    for period in (1, 2):
        run = shop.finish(period)
    taken = dict(
        shop.all(
            "SELECT employee_id, sum(amount_ytd) FROM payroll.ytd_accumulator"
            " WHERE item_kind = 'deduction' GROUP BY employee_id"
        )
    )
    # Both plans share the limit; the older may defer 8,000 more, with the first plan alone.
    assert taken[young] == 6000
    assert taken[old] == 14000
    check = shop.paycheck(run, young)
    assert (
        shop.one(
            "SELECT DISTINCT limit_hit FROM payroll.paycheck_deduction WHERE paycheck_id = %s",
            check["paycheck_id"],
        )
        == "annual"
    )


def test_deductions_yield_to_the_taxes_of_the_rest(shop: Company) -> None:
    who = shop.hire(rate=20)
    shop.work(who, 1, ("2026-01-05", 8))
    shop.deduct(who, "401K", percent=100)
    run = shop.start()
    shop.calculate(run)
    check = shop.paycheck(run, who)
    assert check["net_amount"] == 0
    assert check["pretax_deduction_amount"] == 160 - check["employee_tax_amount"]
    assert check["employee_tax_amount"] >= Decimal("12.24")


def test_what_a_pay_is_too_small_for_goes_to_arrears(shop: Company) -> None:
    who = shop.hire(rate=20)
    shop.work(who, 1, ("2026-01-05", 8))
    shop.work(who, 2, *[(f"2026-01-{day}", 8) for day in range(12, 17)])
    loan = shop.deduct(who, "LOAN", amount=200, goal_amount=1000)
    first = shop.paycheck(shop.finish(), who)
    assert first["net_amount"] == 0
    held = shop.one(
        "SELECT arrears_amount, taken_to_date_amount FROM payroll.employee_deduction"
        " WHERE employee_deduction_id = %s",
        loan,
    )
    assert held == (200 - first["posttax_deduction_amount"], first["posttax_deduction_amount"])
    second = shop.paycheck(shop.finish(2), who)
    assert second["posttax_deduction_amount"] == 200 + held[0]
    assert shop.one("SELECT arrears_amount FROM payroll.employee_deduction") == 0


def test_a_loan_ends_with_its_balance(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    shop.deduct(who, "LOAN", amount=200, goal_amount=300)
    taken = [
        shop.paycheck(shop.finish(period), who)["posttax_deduction_amount"] for period in (1, 2, 3)
    ]
    assert taken == [200, 100, 0]


def test_dues_are_by_the_hour(shop: Company) -> None:
    who = shop.hire(rate=20)
    shop.work(who, 1, ("2026-01-05", 8))
    shop.deduct(who, "UNION", amount="0.25")
    run = shop.start()
    shop.calculate(run)
    assert shop.deducted(shop.paycheck(run, who)["paycheck_id"]) == {"UNION": 2}


def test_monthly_deductions_are_taken_from_the_first_check(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    shop.deduct(who, "LOAN", amount=10, frequency="monthly")
    shop.deduct(who, "UNION", amount=1, frequency="first_two_of_month")
    taken = [
        shop.paycheck(shop.finish(period), who)["posttax_deduction_amount"] for period in (1, 2, 3)
    ]
    dates = shop.all("SELECT check_date::text FROM payroll.pay_run ORDER BY check_date")
    assert [d for (d,) in dates] == ["2026-01-15", "2026-01-29", "2026-02-12"]
    assert taken == [90, 80, 90]


SUPPORT = {"order_kind": "child_support", "max_percent_disposable": 60}


@pytest.mark.parametrize(
    ("orders", "shares"),
    [
        # Disposable earnings are made 1,000 below.
        ([{"withholding_amount": 100}], [100]),
        ([{"withholding_amount": 400}], [250]),
        ([{"withholding_amount": 400, "exempt_amount": 900}], [100]),
        ([{"withholding_amount": None, "withholding_percent": 10}], [100]),
        ([{"withholding_amount": 400, "total_owed_amount": 70}], [70]),
        ([{**SUPPORT, "withholding_amount": 700}], [600]),
        ([{**SUPPORT, "withholding_amount": 200}, {"withholding_amount": 400}], [200, 50]),
        ([{"withholding_amount": 400}, {**SUPPORT, "withholding_amount": 500}], [0, 500]),
        (
            [
                {
                    "order_kind": "federal_tax_levy",
                    "withholding_amount": None,
                    "max_percent_disposable": None,
                    "exempt_amount": 600,
                }
            ],
            [400],
        ),
        (
            [
                {
                    "order_kind": "state_tax_levy",
                    "withholding_amount": 300,
                    "max_percent_disposable": None,
                    "received_on": "2025-11-01",
                },
                {**SUPPORT, "withholding_amount": 500},
            ],
            [300, 300],
        ),
        (
            [
                {
                    "order_kind": "state_tax_levy",
                    "withholding_amount": 300,
                    "max_percent_disposable": None,
                    "received_on": "2026-01-04",
                },
                {**SUPPORT, "withholding_amount": 500},
            ],
            [300, 500],
        ),
        (
            [
                {
                    "order_kind": "student_loan",
                    "withholding_amount": None,
                    "withholding_percent": 15,
                    "max_percent_disposable": 15,
                },
                {"withholding_amount": 400},
            ],
            [150, 100],
        ),
    ],
)
def test_orders_share_the_disposable_earnings(
    shop: Company, orders: list[dict[str, Any]], shares: list[int]
) -> None:
    who = shop.hire(rate=20, election={"is_exempt": True, "exempt_expires_on": "2025-02-15"})
    shop.connection.execute("UPDATE payroll.tax_rate_version SET rate = 0, employer_rate = 0")
    shop.connection.execute(
        "UPDATE payroll.withholding_election SET effective_from = '2026-01-01',"
        " exempt_expires_on = '2027-02-15'"
    )
    shop.work(who, 1, *[(f"2026-01-{day:02}", 10) for day in range(5, 10)])
    keys = [shop.garnish(who, **order) for order in orders]
    run = shop.start()
    shop.calculate(run)
    check = shop.paycheck(run, who)
    assert shop.one("SELECT payroll.disposable_earnings(%s)", check["paycheck_id"]) == 1000
    taken = dict(
        shop.all(
            "SELECT s.garnishment_order_id, d.employee_amount"
            " FROM payroll.paycheck_deduction AS d"
            " JOIN payroll.employee_deduction AS s USING (business_id, employee_deduction_id)"
        )
    )
    assert [taken.get(key, 0) for key in keys] == shares
    wanted = sum(order.get("withholding_amount") or 0 for order in orders)
    if sum(shares) < wanted and not any("total_owed_amount" in order for order in orders):
        assert shop.findings(run)["garnishment_over_limit"] == "warning"


def test_an_order_is_satisfied_by_what_it_is_owed(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    order = shop.garnish(who, withholding_amount=200, total_owed_amount=300)
    state = "SELECT withheld_to_date_amount, status FROM payroll.garnishment_order"
    shop.finish()
    assert shop.one(state) == (200, "active")
    second = shop.finish(2)
    assert shop.one(state) == (300, "satisfied")
    # Voided, it is owed again.
    shop.one(
        "SELECT payroll.void_paycheck(%s, 'wrong account', %s, %s)",
        shop.paycheck(second, who)["paycheck_id"],
        shop.preparer,
        shop.approver,
    )
    assert shop.one(state) == (200, "active")
    assert order


def test_an_expired_exemption_is_withheld_from_again(shop: Company) -> None:
    who = shop.hire(
        rate=78000,
        basis="salary",
        election={
            "is_exempt": True,
            "effective_from": "2025-01-01",
            "exempt_expires_on": "2026-02-15",
        },
    )
    taxes = []
    for period in (1, 2, 3, 4):
        check = shop.paycheck(shop.finish(period), who)
        taxes.append(shop.tax(check["paycheck_id"])["FIT"])
    single = shop.one("SELECT payroll.federal_withholding(3000, 'biweekly', '{}', '2026-02-26')")
    assert taxes == [0, 0, 0, single]


def test_gross_up_finds_the_gross_of_a_net(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    run = shop.start(kind="gross_up")
    shop.give(who, "BONUS", run, input_kind="gross_up", desired_net_amount=1000, amount=None)
    shop.calculate(run)
    check = shop.paycheck(run, who)
    # 1000 / (1 - 0.22 - 0.0765 - 0.0495)
    assert check["net_amount"] == 1000
    assert check["gross_amount"] == Decimal("1529.05")


@pytest.mark.parametrize(
    ("kind", "withhold_for", "certificate", "taxed"),
    [
        (None, None, None, {"IL-IT"}),
        ("full", "resident", None, {"WI-IT"}),
        ("full", "resident", "W-220", {"IL-IT"}),
        ("credit", "both", None, {"IL-IT", "WI-IT"}),
        ("convenience_of_employer", "work", None, {"IL-IT"}),
    ],
)
def test_states_agree_on_who_taxes(
    shop: Company,
    kind: str | None,
    withhold_for: str | None,
    certificate: str | None,
    taxed: set[str],
) -> None:
    app = shop.connection
    shop.places["WI"] = row(
        app,
        "payroll.tax_jurisdiction",
        code="WI",
        level="state",
        parent_jurisdiction_id=shop.places["US"],
    )
    shop.levy("WI", "WI-IT", "income", "employee", rate="0.06")
    who = shop.hire(rate=78000, basis="salary", lives_in="WI")
    if kind:
        row(
            app,
            "payroll.tax_reciprocity",
            work_jurisdiction_id=shop.places["IL"],
            resident_jurisdiction_id=shop.places["WI"],
            agreement_kind=kind,
            withhold_for=withhold_for,
            certificate_form=certificate,
            effective_from="2020-01-01",
        )
    run = shop.start()
    shop.calculate(run)
    check = shop.paycheck(run, who)
    assert (check["work_state"], check["resident_state"]) == ("IL", "WI")
    taxes = {k: v for k, v in shop.tax(check["paycheck_id"]).items() if k.endswith("-IT")}
    assert set(taxes) == taxed
    if kind == "credit":
        assert taxes == {"IL-IT": Decimal("148.50"), "WI-IT": Decimal("31.50")}


def test_a_certificate_triggers_its_agreement(shop: Company) -> None:
    app = shop.connection
    shop.places["WI"] = row(
        app,
        "payroll.tax_jurisdiction",
        code="WI",
        level="state",
        parent_jurisdiction_id=shop.places["US"],
    )
    shop.levy("WI", "WI-IT", "income", "employee", rate="0.06")
    who = shop.hire(rate=78000, basis="salary", lives_in="WI")
    row(
        app,
        "payroll.tax_reciprocity",
        work_jurisdiction_id=shop.places["IL"],
        resident_jurisdiction_id=shop.places["WI"],
        certificate_form="IL-W-5-NR",
        effective_from="2020-01-01",
    )
    row(
        app,
        "payroll.withholding_election",
        employee_id=who,
        tax_jurisdiction_id=shop.places["IL"],
        form_version="state",
        is_exempt=True,
        exempt_expires_on="2027-02-15",
    )
    run = shop.start()
    shop.calculate(run)
    taxes = shop.tax(shop.paycheck(run, who)["paycheck_id"])
    assert "WI-IT" in taxes
    assert "IL-IT" not in taxes


def test_a_city_taxes_who_works_in_it(shop: Company) -> None:
    app = shop.connection
    shop.places["CHI"] = row(
        app,
        "payroll.tax_jurisdiction",
        code="CHI",
        name="Chicago",
        level="city",
        parent_jurisdiction_id=shop.places["IL"],
    )
    shop.levy(
        "CHI",
        "CHI-LST",
        "local_services",
        "employee",
        formula="fixed_amount",
        parameters='{"amount": 52}',
        frequency="annual_flat",
    )
    who = shop.hire(rate=78000, basis="salary")
    taken = []
    for period, town in ((1, "Evanston"), (2, "Chicago"), (3, "Chicago")):
        app.execute("UPDATE payroll.work_location SET municipality = %s", [town])
        check = shop.paycheck(shop.finish(period), who)
        taken.append(shop.tax(check["paycheck_id"]).get("CHI-LST"))
    assert taken == [None, 52, 0]


def test_cash_tips_owe_taxes_that_the_wage_cannot_pay(shop: Company) -> None:
    who = shop.hire(rate=15)
    shop.work(who, 1, ("2026-01-05", 2))
    row(
        shop.connection,
        "payroll.tip_declaration",
        employee_id=who,
        pay_period_id=shop.period(),
        cash_tips_amount=3000,
        sales_amount=9000,
    )
    run = shop.start()
    shop.calculate(run)
    check = shop.paycheck(run, who)
    assert (check["gross_amount"], check["net_amount"]) == (30, 0)
    assert check["employee_tax_amount"] == 30
    assert shop.findings(run)["negative_net"] == "warning"
    # Income tax yields first: what was withheld is social security.
    taxes = shop.tax(check["paycheck_id"])
    assert taxes["FIT"] == 0
    assert taxes["SS"] > 0
    shop.approve(run)
    assert shop.differences() == []


def test_tips_paid_through_payroll_are_pay(shop: Company) -> None:
    who = shop.hire(rate=15)
    shop.work(who, 1, ("2026-01-05", 8))
    row(
        shop.connection,
        "payroll.tip_declaration",
        employee_id=who,
        pay_period_id=shop.period(),
        charged_tips_amount=120,
        cash_tips_amount=30,
        pooled_out_amount=20,
    )
    run = shop.start()
    shop.calculate(run)
    check = shop.paycheck(run, who)
    assert (check["gross_amount"], check["taxable_federal_amount"]) == (220, 250)


@pytest.mark.parametrize(
    ("unit", "amount", "columns", "paid"),
    [
        ("per_period", 50, {}, [50, 50, 50]),
        ("per_month", 50, {}, [50, None, 50]),
        ("percent_of_base", 10, {}, [300, 300, 300]),
        ("per_hour", 1, {}, [80, 80, 80]),
        ("per_period", 50, {"total_goal_amount": 80}, [50, 30, None]),
        ("per_period", 50, {"effective_until": "2026-01-20"}, [50, None, None]),
        ("per_period", 50, {"approved_by": None}, [None, None, None]),
    ],
)
def test_standing_earnings_are_paid_by_their_unit(
    shop: Company, unit: str, amount: int, columns: dict[str, Any], paid: list[int | None]
) -> None:
    who = shop.hire(rate=78000, basis="salary")
    row(
        shop.connection,
        "payroll.recurring_earning",
        **{
            "employee_id": who,
            "earning_code_id": shop.codes["BONUS"],
            "unit": unit,
            "amount": amount,
            "approved_by": shop.approver,
            **columns,
        },
    )
    found = []
    for period in (1, 2, 3):
        run = shop.finish(period)
        lines = shop.all(
            "SELECT amount FROM payroll.paycheck_earning WHERE recurring_earning_id IS NOT NULL"
            " AND paycheck_id = %s",
            shop.paycheck(run, who)["paycheck_id"],
        )
        found.append(lines[0][0] if lines else None)
    assert found == paid
    assert shop.one("SELECT paid_to_date_amount FROM payroll.recurring_earning") == sum(
        p for p in paid if p
    )
    assert shop.differences() == []


def taxed(shop: Company, who: Any, period: int, code: str) -> Any:
    check = shop.paycheck(shop.finish(period), who)
    return shop.tax(check["paycheck_id"]).get(code)


def test_bonuses_beyond_the_limit_go_at_their_own_rate(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    shop.connection.execute(
        "UPDATE payroll.tax_rate_version SET parameters = parameters::jsonb"
        """ || '{"supplemental_over": 1000, "supplemental_over_rate": 0.37}'"""
        " WHERE formula = 'bracket'"
    )
    taxes = []
    for amount in (800, 500):
        run = shop.start(kind="bonus")
        shop.give(who, "BONUS", run, amount=amount)
        shop.calculate(run)
        shop.approve(run)
        taxes.append(shop.tax(shop.paycheck(run, who)["paycheck_id"])["FIT"])
    # Of the second, 200 still go at 22 percent and 300 at 37.
    assert taxes == [176, 44 + 111]


def test_a_tax_ends_at_what_a_year_pays_at_most(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    shop.levy("IL", "IL-PFML", "pfml", "employee", rate="0.01")
    shop.connection.execute(
        "UPDATE payroll.tax_code SET annual_max_tax_amount = 50 WHERE code = 'IL-PFML'"
    )
    assert [taxed(shop, who, period, "IL-PFML") for period in (1, 2, 3)] == [30, 20, 0]


def test_some_taxes_are_whole_dollars(shop: Company) -> None:
    who = shop.hire(rate=79000, basis="salary")
    shop.connection.execute("UPDATE payroll.tax_code SET rounding = 'dollar' WHERE code = 'IL-IT'")
    # 4.95 percent of 3,038.46 is 150.40.
    assert taxed(shop, who, 1, "IL-IT") == 150


def test_a_quarterly_amount_is_taken_once_a_quarter(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    shop.levy(
        "IL",
        "IL-OPT",
        "local_services",
        "employee",
        formula="fixed_amount",
        parameters='{"amount": 13}',
        frequency="quarterly",
    )
    taken = [taxed(shop, who, period, "IL-OPT") for period in range(1, 9)]
    assert taken == [13, 0, 0, 0, 0, 0, 13, 0]


@pytest.mark.parametrize(("parameter", "wages"), [("taxes_deferrals", 3000), (None, 2700)])
def test_a_state_may_tax_what_the_federation_does_not(
    shop: Company, parameter: str | None, wages: int
) -> None:
    who = shop.hire(rate=78000, basis="salary")
    shop.deduct(who, "401K", percent=10)
    if parameter:
        shop.connection.execute(
            "UPDATE payroll.tax_rate_version SET parameters = %s WHERE rate = 0.0495",
            [json.dumps({parameter: True})],
        )
    assert taxed(shop, who, 1, "IL-IT") == wages * Decimal("0.0495")


def test_a_state_lets_some_days_pass_untaxed(shop: Company) -> None:
    app = shop.connection
    shop.places["WI"] = row(
        app,
        "payroll.tax_jurisdiction",
        code="WI",
        level="state",
        parent_jurisdiction_id=shop.places["US"],
    )
    who = shop.hire(rate=20, lives_in="WI")
    row(
        app,
        "payroll.tax_reciprocity",
        work_jurisdiction_id=shop.places["IL"],
        resident_jurisdiction_id=shop.places["WI"],
        agreement_kind="convenience_of_employer",
        withhold_for="work",
        threshold_days=6,
        effective_from="2020-01-01",
    )
    shop.work(who, 1, *[(f"2026-01-{day:02}", 8) for day in range(5, 10)])
    assert taxed(shop, who, 1, "IL-IT") is None
    shop.work(who, 2, *[(f"2026-01-{day:02}", 8) for day in range(12, 17)])
    assert taxed(shop, who, 2, "IL-IT") == Decimal("39.60")


@pytest.mark.parametrize(
    ("kind", "received", "support", "rank"),
    [
        ("child_support", "2026-01-05", "2026-01-05", 2),
        ("federal_tax_levy", "2026-01-04", "2026-01-05", 1),
        ("federal_tax_levy", "2026-01-05", "2026-01-05", 3),
        ("state_tax_levy", "2026-01-04", None, 3),
        ("bankruptcy", "2026-01-04", "2026-01-05", 4),
        ("student_loan", "2026-01-04", None, 5),
        ("creditor", "2026-01-04", None, 6),
    ],
)
def test_orders_rank(
    shop: Company, kind: str, received: str, support: str | None, rank: int
) -> None:
    found = shop.one("SELECT payroll.garnishment_rank(%s, %s, %s)", kind, received, support)
    assert found == rank
