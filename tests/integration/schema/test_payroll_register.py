"""The register reconciles to the cent, for whatever a company pays and takes off."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors

from tests.integration.schema.payday import Company, shop
from tests.integration.schema.rows import row

__all__ = ["shop"]  # a fixture

STATUSES = ["single", "married_joint", "head_of_household", "married_separate"]
cents = st.integers(1, 60000).map(lambda n: Decimal(n) / 100)
percents = st.integers(1, 400).map(lambda n: Decimal(n) / 4)

elections = st.fixed_dictionaries(
    {
        "filing_status": st.sampled_from(STATUSES),
        "dependents_amount": st.sampled_from([0, 500, 2000, 4000]),
        "extra_withholding_amount": st.sampled_from([Decimal(0), Decimal("12.34")]),
        "deductions_amount": st.sampled_from([0, 3500]),
    }
)
deductions = st.lists(
    st.one_of(
        st.tuples(
            st.just("MEDICAL"), st.fixed_dictionaries({"amount": cents, "employer_amount": cents})
        ),
        st.tuples(
            st.just("401K"),
            st.fixed_dictionaries(
                {"percent": percents, "employer_percent": st.sampled_from([0, 3, 4])}
            ),
        ),
        st.tuples(st.just("ROTH"), st.fixed_dictionaries({"percent": percents})),
        st.tuples(
            st.just("LOAN"),
            st.fixed_dictionaries({"amount": cents, "goal_amount": st.sampled_from([None, 700])}),
        ),
        st.tuples(st.just("UNION"), st.fixed_dictionaries({"amount": st.just(Decimal("0.37"))})),
    ),
    max_size=5,
    unique_by=lambda d: d[0],
)
orders = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"withholding_amount": cents, "exempt_amount": st.sampled_from([0, 435])}
        ),
        st.fixed_dictionaries(
            {
                "order_kind": st.just("child_support"),
                "max_percent_disposable": st.sampled_from([50, 60]),
                "withholding_amount": cents,
            }
        ),
        st.fixed_dictionaries(
            {
                "order_kind": st.just("federal_tax_levy"),
                "withholding_amount": st.none(),
                "max_percent_disposable": st.none(),
                "exempt_amount": cents,
            }
        ),
    ),
    max_size=3,
)
inputs = st.lists(
    st.one_of(
        st.tuples(st.just("BONUS"), cents, st.just("bonus")),
        st.tuples(st.just("EXPENSE"), cents, st.just("reimbursement")),
        st.tuples(st.just("LIFE"), cents, st.just("correction")),
        st.tuples(st.just("REG"), cents.map(lambda c: -c / 10), st.just("correction")),
    ),
    max_size=3,
)
people = st.lists(
    st.fixed_dictionaries(
        {
            "pay": st.one_of(
                st.tuples(
                    st.just("hourly"),
                    st.integers(1500, 9000).map(lambda n: n / 100),
                    st.lists(
                        st.integers(1, 48).map(lambda n: Decimal(n) / 4), min_size=0, max_size=10
                    ),
                ),
                st.tuples(st.just("salary"), st.integers(36000, 4000000), st.just([])),
            ),
            "election": elections,
            "deductions": deductions,
            "orders": orders,
            "inputs": inputs,
        }
    ),
    min_size=1,
    max_size=3,
)


def employ(shop: Company, person: dict[str, Any]) -> None:
    basis, rate, hours = person["pay"]
    who = shop.hire(rate=rate, basis=basis, election=person["election"])
    if hours:
        days = [*range(5, 10), *range(2, 5), 1, 10]
        shop.work(
            who,
            1,
            *(
                (f"2026-01-{day:02}", h, "overtime" if h > 8 else "regular")
                for day, h in zip(days, hours, strict=False)
            ),
        )
    for code, columns in person["deductions"]:
        shop.deduct(who, code, **columns)
    for order in person["orders"]:
        shop.garnish(who, **order)
    for code, amount, kind in person["inputs"]:
        shop.give(who, code, amount=amount, input_kind=kind)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(staff=people)
def test_gross_less_taxes_less_deductions_is_net(
    shop: Company, staff: list[dict[str, Any]]
) -> None:
    connection = shop.connection
    connection.execute("SAVEPOINT company")
    try:
        for person in staff:
            employ(shop, person)
        runs = []
        for period in (1, 2):
            run = shop.start(period)
            runs.append(run)
            shop.calculate(run)
            before = shop.all("SELECT * FROM payroll.v_pay_register ORDER BY check_number")
            shop.calculate(run)
            after = shop.all("SELECT * FROM payroll.v_pay_register ORDER BY check_number")
            assert before == after
            if "negative_net" not in shop.findings(run):
                if "blocker" in shop.findings(run).values():
                    connection.execute(
                        "UPDATE payroll.pay_run_exception SET status = 'overridden',"
                        " cleared_at = now(), cleared_by = %s, override_reason = 'seen'"
                        " WHERE status = 'open' AND severity = 'blocker'",
                        [shop.approver],
                    )
                shop.approve(run)
        assert shop.differences() == []
        for run in runs:
            reconcile(shop, run)
    finally:
        connection.execute("ROLLBACK TO SAVEPOINT company")


def reconcile(shop: Company, run: Any) -> None:
    """Adds everything up again, apart from what the database adds up."""
    total = dict.fromkeys(("gross", "taxes", "deductions", "net"), Decimal(0))
    for check, net in shop.all(
        "SELECT paycheck_id, net_amount FROM payroll.paycheck WHERE pay_run_id = %s", run
    ):
        gross = sum(
            (
                a
                for (a,) in shop.all(
                    "SELECT amount FROM payroll.paycheck_earning WHERE paycheck_id = %s"
                    " AND NOT is_imputed",
                    check,
                )
            ),
            Decimal(0),
        )
        taxes = sum(shop.tax(check).values(), Decimal(0))
        lines = shop.all(
            "SELECT employee_amount, disposable_earnings_amount"
            " FROM payroll.paycheck_deduction WHERE paycheck_id = %s",
            check,
        )
        taken = sum((a for a, _ in lines), Decimal(0))
        assert net == gross - taxes - taken
        assert net >= 0
        garnished = sum((a for a, d in lines if d is not None), Decimal(0))
        assert garnished <= max((d for _, d in lines if d is not None), default=0)
        for name, value in (
            ("gross", gross),
            ("taxes", taxes),
            ("deductions", taken),
            ("net", net),
        ):
            total[name] += value
    assert shop.one(
        "SELECT gross_amount, employee_tax_amount, deduction_amount, net_amount"
        " FROM payroll.pay_run WHERE pay_run_id = %s",
        run,
    ) == (total["gross"], total["taxes"], total["deductions"], total["net"])


def paid(shop: Company) -> Any:
    who = shop.hire(rate=78000, basis="salary")
    shop.deduct(who, "401K", percent=5, employer_percent=4)
    return shop.paycheck(shop.finish(), who)["paycheck_id"]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            "UPDATE payroll.paycheck_earning SET amount = amount + 0.01",
            {
                ("paycheck", "gross"),
                ("paycheck", "net"),
                ("run", "gross"),
                ("run", "net"),
                ("run", "employer cost"),
                ("year", "earning"),
            },
        ),
        (
            "UPDATE payroll.paycheck_tax SET tax_amount = tax_amount + 0.01"
            " WHERE payer = 'employer' AND method <> 'exempt'",
            {
                ("paycheck", "employer taxes"),
                ("run", "employer taxes"),
                ("run", "employer cost"),
                ("year", "tax"),
            },
        ),
        (
            "UPDATE payroll.paycheck_deduction SET employer_amount = employer_amount - 0.01",
            {("paycheck", "employer benefits"), ("run", "employer cost"), ("year", "deduction")},
        ),
        (
            "UPDATE payroll.paycheck_deduction SET employee_amount = employee_amount - 0.01",
            {
                ("paycheck", "deductions before tax"),
                ("paycheck", "net"),
                ("run", "net"),
                ("run", "deductions"),
                ("year", "deduction"),
            },
        ),
        (
            "UPDATE payroll.pay_run SET employer_tax_amount = employer_tax_amount - 0.01",
            {("run", "employer taxes")},
        ),
        ("UPDATE payroll.pay_run SET employee_count = 2", {("run", "employees")}),
        (
            "UPDATE payroll.ytd_accumulator SET amount_mtd = amount_mtd + 0.01"
            " WHERE item_kind = 'hours'",
            {("year", "hours")},
        ),
        (
            "DELETE FROM payroll.ytd_accumulator WHERE item_kind = 'taxable_wage'",
            {("year", "taxable_wage")},
        ),
    ],
)
def test_the_proof_finds_what_does_not_add_up(
    shop: Company, change: str, found: set[tuple[str, str]]
) -> None:
    paid(shop)
    assert shop.differences() == []
    shop.connection.execute("RESET ROLE")
    shop.connection.execute("SET LOCAL session_replication_role = replica")
    shop.connection.execute(change.encode())
    shop.connection.execute("SET LOCAL session_replication_role = origin")
    shop.connection.execute("SET LOCAL ROLE app_user")
    kinds = {
        (what, item if what != "year" else item.split()[-2])
        for what, _, item, _, _ in shop.differences()
    }
    assert kinds == found


def test_a_year_is_the_sum_of_its_quarters(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    for period in range(1, 8):
        shop.finish(period)
    totals = shop.all(
        "SELECT quarter_no, amount_mtd, amount_qtd, amount_ytd FROM payroll.ytd_accumulator"
        " WHERE item_kind = 'earning' AND employee_id = %s ORDER BY quarter_no",
        who,
    )
    # Check dates 15 and 29 January, 12 and 26 February, 12 and 26 March, 9 April.
    assert totals == [(1, 6000, 18000, 18000), (2, 3000, 3000, 21000)]


def test_a_void_in_a_later_quarter_moves_both(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    runs = [shop.finish(period) for period in range(1, 8)]
    shop.one(
        "SELECT payroll.void_paycheck(%s, 'never worked', %s, %s)",
        shop.paycheck(runs[5], who)["paycheck_id"],
        shop.preparer,
        shop.approver,
    )
    totals = shop.all(
        "SELECT quarter_no, amount_qtd, amount_ytd, is_adjusted FROM payroll.ytd_accumulator"
        " WHERE item_kind = 'earning' ORDER BY quarter_no"
    )
    assert totals == [(1, 15000, 15000, True), (2, 3000, 18000, True)]
    assert shop.differences() == []


def test_a_void_in_the_newest_quarter_leaves_those_before(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    runs = [shop.finish(period) for period in range(1, 9)]
    check = shop.paycheck(runs[7], who)["paycheck_id"]
    shop.one(
        "SELECT payroll.void_paycheck(%s, 'never worked', %s, %s)",
        check,
        shop.preparer,
        shop.approver,
    )
    totals = shop.all(
        "SELECT quarter_no, amount_mtd, amount_qtd, amount_ytd, is_adjusted"
        " FROM payroll.ytd_accumulator WHERE item_kind = 'earning' ORDER BY quarter_no"
    )
    assert totals == [(1, 6000, 18000, 18000, False), (2, 3000, 3000, 21000, True)]
    assert shop.differences() == []


def test_a_total_that_was_missing_comes_back_with_its_quarter(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    for period in range(1, 8):
        shop.finish(period)
    shop.connection.execute("DELETE FROM payroll.ytd_accumulator WHERE item_kind = 'earning'")
    refresh = "SELECT payroll.refresh_accumulators(%s, 2026, %s)"
    found = (
        "SELECT quarter_no, amount_ytd FROM payroll.ytd_accumulator"
        " WHERE item_kind = 'earning' ORDER BY quarter_no"
    )
    # From the second quarter on it goes on from what the first one says: nothing.
    shop.connection.execute(refresh, [[who], 2])
    assert shop.all(found) == [(2, 3000)]
    shop.connection.execute(refresh, [[who], 1])
    assert shop.all(found) == [(1, 18000), (2, 21000)]


def test_a_sole_check_that_is_voided_leaves_no_totals(shop: Company) -> None:
    check = paid(shop)
    assert shop.one("SELECT count(*) FROM payroll.ytd_accumulator") > 0
    shop.one(
        "SELECT payroll.void_paycheck(%s, 'twice', %s, %s)", check, shop.preparer, shop.approver
    )
    assert shop.one("SELECT count(*) FROM payroll.ytd_accumulator") == 0


def test_lines_that_do_not_add_up_do_not_become_final(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    run = shop.start()
    shop.calculate(run)
    shop.connection.execute("UPDATE payroll.paycheck_earning SET amount = amount + 1")
    with pytest.raises(errors.CheckViolation, match="not the sum of its lines"):
        shop.approve(run)
    assert who


def test_the_register_shows_what_a_check_is_made_of(shop: Company) -> None:
    who = shop.hire(rate=20)
    shop.work(who, 1, ("2026-01-05", 8), ("2026-01-06", 2, "overtime"), ("2026-01-07", 8, "pto"))
    shop.give(who, "BONUS", amount=500)
    shop.give(who, "EXPENSE", amount=70, input_kind="reimbursement")
    shop.garnish(who, withholding_amount=50)
    run = shop.start()
    shop.calculate(run)
    line = shop.one(
        "SELECT regular_amount, overtime_amount, time_off_amount, supplemental_amount,"
        " other_amount, gross_amount, garnished_amount FROM payroll.v_pay_register"
    )
    assert line == (160, 60, 160, 500, 70, 950, 50)
    parts = shop.one(
        "SELECT income_tax_amount + social_security_amount + medicare_amount + other_tax_amount"
        " - employee_tax_amount FROM payroll.v_pay_register"
    )
    assert parts == 0


def test_a_line_of_a_final_check_does_not_change(shop: Company) -> None:
    check = paid(shop)
    for table in ("paycheck_earning", "paycheck_deduction", "paycheck_tax"):
        for change in (
            f"DELETE FROM payroll.{table}",
            f"UPDATE payroll.{table} SET updated_at = now()",
        ):
            with (
                pytest.raises(errors.RestrictViolation, match="do not change"),
                shop.connection.transaction(),
            ):
                shop.connection.execute(change.encode())
    with pytest.raises(errors.RestrictViolation, match="do not change"):
        row(shop.connection, "payroll.paycheck_earning", paycheck_id=check)
