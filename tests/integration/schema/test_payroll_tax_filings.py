"""What is owed to the agencies: when it is due, how it is deposited, and what they are told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_account, add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.payday import Company, company
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused
from tests.integration.schema.treasury import office, paid, register

__all__ = ["office"]  # a fixture

FILING = {
    "not_due": {"preparing"},
    "preparing": {"ready"},
    "ready": {"filed", "preparing"},
    "filed": {"accepted", "rejected"},
    "rejected": {"preparing"},
    "accepted": {"amended"},
    "amended": set[str](),
}
MACHINES: dict[str, tuple[dict[str, set[str]], dict[str, Any]]] = {
    "tax_filing": (
        FILING,
        {"filed_at": "2026-04-20", "submission_id": "s1", "rejection_codes": ["F1"]},
    ),
    "tax_notice": (
        {
            "new": {"researching", "responded", "paid", "closed"},
            "researching": {"responded", "paid", "closed"},
            "responded": {"researching", "abated", "paid", "closed"},
            "abated": {"closed"},
            "paid": {"closed"},
            "closed": set(),
        },
        {"responded_on": "2026-05-10", "resolution": "answered"},
    ),
    "wage_statement": (
        {
            "draft": {"reviewed", "void"},
            "reviewed": {"furnished", "draft", "void"},
            "furnished": {"transmitted", "corrected", "void"},
            "transmitted": {"accepted", "corrected"},
            "accepted": {"corrected"},
            "corrected": set(),
            "void": set(),
        },
        {"furnished_on": "2026-01-28", "transmitted_at": "2026-02-01"},
    ),
    "tax_deposit": (
        {
            "scheduled": {"initiated", "late", "rejected"},
            "late": {"initiated", "rejected"},
            "initiated": {"accepted", "rejected"},
            "accepted": {"settled", "rejected"},
            "settled": set(),
            "rejected": set(),
        },
        {"initiated_at": "2026-02-10", "confirmation_number": "270612345678901"},
    ),
    "tax_liability": (
        {
            "open": {"scheduled", "adjusted"},
            "adjusted": {"scheduled"},
            "scheduled": {"open", "deposited", "credited"},
            "deposited": {"credited"},
            "credited": set(),
        },
        {},
    ),
}


def holds(app: Connection, table: str, state: str) -> dict[str, Any]:
    """What a row of a state must hold."""
    given = {"status": state, **MACHINES[table][1]}
    if table == "tax_deposit":
        given["settled_on"] = "2026-02-17" if state == "settled" else None
    elif table == "tax_liability":
        on_its_way = state in ("scheduled", "deposited", "credited")
        given["tax_deposit_id"] = row(app, "payroll.tax_deposit") if on_its_way else None
        given["overpaid_amount"] = 5 if state == "credited" else 0
        given["adjustment_reason"] = "check 1 was voided"
    return given


def stand(app: Connection, table: str, state: str) -> UUID:
    given = holds(app, table, state)
    if table == "wage_statement":
        given["employee_id"] = row(app, "payroll.employee")
    key = imported(app, f"payroll.{table}", **given)
    if table == "tax_filing" and state == "preparing":
        row(app, "payroll.tax_filing_line", tax_filing_id=key, line_code="TAX", amount=0)
    return key


def move(app: Connection, table: str, key: UUID, state: str) -> None:
    changes = holds(app, table, state)
    app.execute(
        sql.SQL("UPDATE payroll.{} SET {} WHERE {} = %s").format(
            sql.Identifier(table),
            sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(c)) for c in changes),
            sql.Identifier(f"{table}_id"),
        ),
        [*changes.values(), key],
    )


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [
        (t, b, a)
        for t, (m, _) in MACHINES.items()
        for b, afters in m.items()
        for a in sorted(afters)
    ],
)
def test_a_state_may_follow(app: Connection, table: str, before: str, after: str) -> None:
    move(app, table, stand(app, table, before), after)


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [(t, b, a) for t, (m, _) in MACHINES.items() for b, a in refused(m)],
)
def test_other_states_may_not(app: Connection, table: str, before: str, after: str) -> None:
    key = stand(app, table, before)
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        move(app, table, key, after)


@pytest.mark.parametrize("table", sorted(MACHINES))
def test_a_row_starts_at_the_beginning(app: Connection, table: str) -> None:
    machine = MACHINES[table][0]
    last = list(machine)[1]
    given = holds(app, table, last)
    if table == "wage_statement":
        given["employee_id"] = row(app, "payroll.employee")
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        row(app, f"payroll.{table}", **given)


def owe(office: Company, account: UUID, day: str, amount: Any, code: str = "FIT") -> UUID:
    """A liability of a run of its own."""
    run = row(
        office.connection,
        "payroll.pay_run",
        employer_entity_id=office.employer,
        pay_schedule_id=office.schedule,
        check_date=day,
    )
    return row(
        office.connection,
        "payroll.tax_liability",
        pay_run_id=run,
        tax_code_id=office.taxes[code],
        employer_tax_account_id=account,
        check_date=day,
        liability_date=day,
        employee_amount=amount,
        deposit_rule=None,
        deposit_frequency=None,
        due_on=None,
    )


def federal(office: Company, frequency: str | None = None) -> UUID:
    key = office.one(
        "SELECT employer_tax_account_id FROM payroll.employer_tax_account"
        " WHERE tax_jurisdiction_id = %s",
        office.places["US"],
    )
    assert isinstance(key, UUID)
    if frequency:
        office.connection.execute(
            "UPDATE payroll.employer_tax_account SET deposit_frequency = %s"
            " WHERE employer_tax_account_id = %s",
            [frequency, key],
        )
    return key


def close_banks(office: Company, day: str) -> None:
    calendar = row(office.connection, "system_core.holiday_calendar", is_default=True)
    row(
        office.connection,
        "system_core.holiday",
        holiday_calendar_id=calendar,
        holiday_date=day,
        kind="bank",
    )


@pytest.mark.parametrize(
    ("frequency", "day", "due"),
    [
        # The fifteenth of the next month; in February 2026 that is a Sunday.
        ("monthly", "2026-01-15", "2026-02-16"),
        ("monthly", "2026-03-31", "2026-04-15"),
        ("monthly", "2025-12-05", "2026-01-15"),
        # Wednesday to Friday by Wednesday, Saturday to Tuesday by Friday.
        ("semiweekly", "2026-01-14", "2026-01-21"),
        ("semiweekly", "2026-01-15", "2026-01-21"),
        ("semiweekly", "2026-01-16", "2026-01-21"),
        ("semiweekly", "2026-01-17", "2026-01-23"),
        ("semiweekly", "2026-01-19", "2026-01-23"),
        ("semiweekly", "2026-01-20", "2026-01-23"),
        ("next_day", "2026-01-15", "2026-01-16"),
        ("next_day", "2026-01-16", "2026-01-19"),
        ("quarterly", "2026-02-10", "2026-04-30"),
        ("annual", "2025-06-10", "2026-02-02"),
    ],
)
def test_due_by_the_rhythm(office: Company, frequency: str, day: str, due: str) -> None:
    account = federal(office, frequency)
    key = owe(office, account, day, 500)
    assert (
        office.one(
            "SELECT due_on::text FROM payroll.tax_liability WHERE tax_liability_id = %s", key
        )
        == due
    )


def test_a_holiday_gives_another_day(office: Company) -> None:
    close_banks(office, "2026-01-19")
    account = federal(office, "semiweekly")
    key = owe(office, account, "2026-01-15", 500)
    assert office.one(
        "SELECT due_on FROM payroll.tax_liability WHERE tax_liability_id = %s", key
    ) == date(2026, 1, 22)


def schedule(office: Company) -> list[tuple[str, date, Decimal]]:
    return office.all(
        "SELECT deposit_rule, due_on, amount"
        " FROM payroll.deposit_schedule(%s, '2026-01-01', '2026-06-30') ORDER BY due_on",
        office.employer,
    )


def test_a_month_is_one_deposit(office: Company) -> None:
    account = federal(office)
    for day in ("2026-01-15", "2026-01-29", "2026-02-12"):
        owe(office, account, day, 1000)
    assert schedule(office) == [
        ("monthly", date(2026, 2, 16), Decimal(2000)),
        ("monthly", date(2026, 3, 16), Decimal(1000)),
    ]


def test_a_hundred_thousand_is_due_the_next_day(office: Company) -> None:
    account = federal(office)
    owe(office, account, "2026-01-08", 40000)
    owe(office, account, "2026-01-15", 60000)
    owe(office, account, "2026-01-29", 1000)
    assert schedule(office) == [
        ("next_day_100k", date(2026, 1, 16), Decimal(100000)),
        # From then on every half week.
        ("semiweekly", date(2026, 2, 4), Decimal(1000)),
    ]


def test_what_was_owed_before_the_account_moved_keeps_its_day(office: Company) -> None:
    account = federal(office)
    owe(office, account, "2026-01-15", 1000)
    federal(office, "semiweekly")
    owe(office, account, "2026-01-29", 500)
    assert schedule(office) == [
        ("semiweekly", date(2026, 2, 4), Decimal(500)),
        ("monthly", date(2026, 2, 16), Decimal(1000)),
    ]


def test_the_next_run_undoes_no_next_day(office: Company) -> None:
    account = federal(office)
    for day, amount in (
        ("2026-01-08", 9000),
        ("2026-02-05", 40000),
        ("2026-02-19", 60000),
        ("2026-03-05", 7000),
    ):
        owe(office, account, day, amount)
        office.one("SELECT payroll.apply_next_day_rule(%s, %s)", office.employer, day)
    assert schedule(office) == [
        ("monthly", date(2026, 2, 16), Decimal(9000)),
        ("next_day_100k", date(2026, 2, 20), Decimal(100000)),
        ("semiweekly", date(2026, 3, 11), Decimal(7000)),
    ]


def test_what_came_together_is_due_after_the_day_on_which_it_did(office: Company) -> None:
    account = federal(office)
    for day, amount in (("2026-02-05", 40000), ("2026-02-19", 60000)):
        owe(office, account, day, amount)
        office.one("SELECT payroll.apply_next_day_rule(%s, %s)", office.employer, day)
    assert office.all("SELECT DISTINCT due_on FROM payroll.tax_liability") == [(date(2026, 2, 20),)]


def test_a_cent_less_waits(office: Company) -> None:
    account = federal(office)
    owe(office, account, "2026-01-15", "99999.99")
    assert [rule for rule, *_ in schedule(office)] == ["monthly"]


def test_the_amount_is_the_tenants_row(office: Company) -> None:
    office.connection.execute("UPDATE payroll.deposit_rule SET next_day_over_amount = 700")
    owe(office, federal(office), "2026-01-15", 700)
    assert [rule for rule, *_ in schedule(office)] == ["next_day_100k"]


def test_unemployment_of_the_federation_is_deposited_by_quarter(office: Company) -> None:
    account = federal(office)
    owe(office, account, "2026-01-15", 300)
    owe(office, account, "2026-01-15", 42, "FUTA")
    office.connection.execute("UPDATE payroll.tax_code SET filing_form = '940' WHERE code = 'FUTA'")
    assert schedule(office) == [
        ("monthly", date(2026, 2, 16), Decimal(300)),
        ("quarterly", date(2026, 4, 30), Decimal(42)),
    ]


def test_the_look_back_decides_the_rhythm(office: Company) -> None:
    account = federal(office)
    ask = "SELECT payroll.lookback_frequency(%s, 2026)"
    assert office.one(ask, office.employer) is None
    owe(office, account, "2024-07-05", 30000)
    owe(office, account, "2025-06-30", 20000)
    assert office.one(ask, office.employer) == "monthly"
    owe(office, account, "2025-07-01", 90000)
    owe(office, account, "2025-01-10", "0.01")
    assert office.one(ask, office.employer) == "semiweekly"


def book(office: Company, period: int = 1) -> UUID:
    run = paid(office, period)
    office.connection.execute("SELECT payroll.book_tax_liabilities(%s)", [run])
    return run


def deposit(office: Company, until: str = "2026-04-30") -> int:
    made = office.one("SELECT payroll.deposit_taxes(%s, '2026-01-01', %s)", office.employer, until)
    assert isinstance(made, int)
    office.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    office.connection.execute("SET CONSTRAINTS ALL DEFERRED")
    return made


def settle(office: Company, day: str = "2026-02-16") -> None:
    for change in (
        "status = 'initiated', initiated_at = '2026-02-10'",
        "status = 'accepted', confirmation_number = '27'",
        f"status = 'settled', settled_on = '{day}'",
    ):
        office.connection.execute(f"UPDATE payroll.tax_deposit SET {change}".encode())


def salaried(office: Company) -> UUID:
    return office.hire(rate=78000, basis="salary")


def test_a_run_owes_what_it_withheld_and_adds(office: Company) -> None:
    who = salaried(office)
    run = book(office)
    check = office.paycheck(run, who)["paycheck_id"]
    withheld, added = office.tax(check), office.tax(check, "employer")
    owed = {
        code: (mine, theirs)
        for code, mine, theirs in office.all(
            "SELECT c.code, l.employee_amount, l.employer_amount FROM payroll.tax_liability AS l"
            " JOIN payroll.tax_code AS c USING (business_id, tax_code_id)"
        )
    }
    assert owed["SS"] == (Decimal("186.00"), Decimal("186.00"))
    assert sum(a + b for a, b in owed.values()) == sum(withheld.values()) + sum(added.values())
    assert office.one("SELECT payroll.book_tax_liabilities(%s)", run) == 0
    assert office.all("SELECT * FROM payroll.liability_differences()") == []


def test_without_an_account_nothing_is_booked(office: Company) -> None:
    salaried(office)
    office.connection.execute(
        "DELETE FROM payroll.employer_tax_account WHERE tax_jurisdiction_id = %s",
        [office.places["US"]],
    )
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="not registered for"):
        book(office)


def test_a_deposit_is_the_sum_of_its_liabilities(office: Company) -> None:
    salaried(office)
    book(office)
    assert deposit(office) >= 2
    assert deposit(office) == 0
    assert (
        office.all(
            "SELECT d.deposit_number FROM payroll.tax_deposit AS d"
            " JOIN payroll.tax_liability AS l USING (business_id, tax_deposit_id)"
            " GROUP BY d.deposit_number, d.amount HAVING sum(l.total_amount) <> d.amount"
        )
        == []
    )
    office.connection.execute(
        "UPDATE payroll.tax_deposit SET amount = amount + 0.01 WHERE method = 'eftps'"
    )
    with pytest.raises(errors.CheckViolation, match="its liabilities are"):
        office.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_a_liability_does_not_leave_its_deposit(office: Company) -> None:
    salaried(office)
    book(office)
    deposit(office)
    office.connection.execute(
        "UPDATE payroll.tax_liability SET status = 'open', tax_deposit_id = NULL"
    )
    with pytest.raises(errors.CheckViolation, match="its liabilities are"):
        office.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_what_is_settled_is_deposited(office: Company) -> None:
    salaried(office)
    book(office)
    deposit(office)
    assert office.one("SELECT count(*) FROM payroll.v_tax_liability_open") > 0
    settle(office)
    assert office.all("SELECT DISTINCT status FROM payroll.tax_liability") == [("deposited",)]
    assert office.one("SELECT count(*) FROM payroll.v_tax_liability_open") == 0


def test_what_is_rejected_is_open_again(office: Company) -> None:
    salaried(office)
    book(office)
    made = deposit(office)
    office.connection.execute("UPDATE payroll.tax_deposit SET status = 'rejected'")
    assert office.all("SELECT DISTINCT status FROM payroll.tax_liability") == [("open",)]
    assert deposit(office) == made


@pytest.mark.parametrize(
    ("day", "late", "penalty"),
    [
        ("2026-02-17", 0, 0),
        ("2026-02-18", 1, 2),
        ("2026-02-22", 5, 2),
        ("2026-02-23", 6, 5),
        ("2026-03-04", 15, 5),
        ("2026-03-05", 16, 10),
    ],
)
def test_a_late_deposit_costs_by_its_tier(
    office: Company, day: str, late: int, penalty: int
) -> None:
    key = row(
        office.connection,
        "payroll.tax_deposit",
        employer_tax_account_id=federal(office),
        amount=100,
    )
    settle(office, day)
    assert office.one(
        "SELECT days_late, penalty_amount FROM payroll.tax_deposit WHERE tax_deposit_id = %s", key
    ) == (late, penalty)


def test_two_deposit_a_liability_once(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        people = [add_account(connection, tenant, name) for name in ("ada", "boss")]
        become_app(connection, tenant)
        made = company(connection, *people)
        owe(made, register(made), "2026-01-15", 500)
        employer = made.employer

    def pay(connection: Connection, number: int) -> int:
        found = connection.execute(
            "SELECT payroll.deposit_taxes(%s, '2026-01-01', '2026-01-31')", [employer]
        ).fetchone()
        assert found
        return int(found[0])

    assert sorted(at_once(target, tenant, 2, pay)) == [0, 1]


@pytest.mark.parametrize("is_deposited", [False, True])
def test_a_voided_paycheck_owes_nothing(office: Company, is_deposited: bool) -> None:
    who, _ = salaried(office), salaried(office)
    run = book(office)
    before = office.one("SELECT sum(total_amount) FROM payroll.tax_liability")
    if is_deposited:
        deposit(office)
        settle(office)
    office.connection.execute(
        "SELECT payroll.void_paycheck(%s, 'twice', %s, %s)",
        [office.paycheck(run, who)["paycheck_id"], office.preparer, office.approver],
    )
    total, over = office.one(
        "SELECT sum(total_amount), sum(overpaid_amount) FROM payroll.tax_liability"
    )
    assert total - over == before / 2
    assert (over > 0) == is_deposited
    status = "credited" if is_deposited else "adjusted"
    assert office.all("SELECT DISTINCT status FROM payroll.tax_liability") == [(status,)]
    assert office.all("SELECT * FROM payroll.liability_differences()") == []


def test_the_proof_finds_a_liability_that_is_off(office: Company) -> None:
    salaried(office)
    book(office)
    office.connection.execute(
        "UPDATE payroll.tax_liability SET employer_amount = employer_amount + 1"
        " WHERE tax_code_id = %s",
        [office.taxes["SS"]],
    )
    off = office.all("SELECT tax_code_id, said - found FROM payroll.liability_differences()")
    assert off == [(office.taxes["SS"], 1)]


def return_941(office: Company) -> UUID:
    key = office.one("SELECT payroll.prepare_form_941(%s, 2026, 1)", office.employer)
    assert isinstance(key, UUID)
    return key


def lines(office: Company, filing: UUID) -> dict[str, tuple[Any, ...]]:
    return {
        code: rest
        for code, *rest in office.all(
            "SELECT line_code, amount, wage_amount, worker_count FROM payroll.tax_filing_line"
            " WHERE tax_filing_id = %s AND line_code <> 'SCHB'",
            filing,
        )
    }


def to_state(office: Company, filing: UUID, *states: str) -> None:
    for state in states:
        office.connection.execute(
            "UPDATE payroll.tax_filing SET status = %s, filed_at = '2026-04-20',"
            " submission_id = 's1', rejection_codes = '{F1}' WHERE tax_filing_id = %s",
            [state, filing],
        )


def without_futa(office: Company) -> None:
    office.connection.execute("UPDATE payroll.tax_code SET filing_form = '940' WHERE code = 'FUTA'")


def test_a_941_is_the_quarter(office: Company) -> None:
    without_futa(office)
    salaried(office), salaried(office)
    runs = [book(office, period) for period in (1, 2)]
    deposit(office)
    settle(office)
    filing = return_941(office)
    found = lines(office, filing)
    income = office.one(
        "SELECT sum(tax_amount) FROM payroll.paycheck_tax WHERE tax_code_id = %s",
        office.taxes["FIT"],
    )
    assert found["2"][0] == 12000
    assert found["3"][0] == income
    assert found["5A"][:2] == [Decimal("1488.00"), 12000]
    assert found["5C"][:2] == [Decimal("348.00"), 12000]
    assert found["12"][0] == income + Decimal("1836.00")
    days = office.all(
        "SELECT liability_date, amount FROM payroll.tax_filing_line WHERE tax_filing_id = %s"
        " AND line_code = 'SCHB' ORDER BY 1",
        filing,
    )
    assert len(days) == len(runs)
    assert sum(a for _, a in days) == found["12"][0]
    assert office.one(
        "SELECT total_tax_amount, total_deposits_amount, balance_due_amount"
        " FROM payroll.tax_filing WHERE tax_filing_id = %s",
        filing,
    ) == (found["12"][0], found["12"][0], 0)
    assert office.one("SELECT is_tied FROM payroll.v_form_941_reconciliation") is True
    to_state(office, filing, "ready")


def test_who_was_paid_for_the_twelfth_is_counted(office: Company) -> None:
    without_futa(office)
    salaried(office)
    for period in range(1, 7):
        book(office, period)
    starts = office.one(
        "SELECT count(*) FROM payroll.pay_period WHERE '2026-03-12' BETWEEN starts_on AND ends_on"
    )
    assert starts == 1
    assert lines(office, return_941(office))["1"][2] == 1


def test_a_return_that_does_not_tie_is_not_ready(office: Company) -> None:
    without_futa(office)
    salaried(office)
    book(office)
    paid(office, 2)  # and nobody booked what it owes
    filing = return_941(office)
    assert office.one("SELECT is_tied FROM payroll.v_form_941_reconciliation") is False
    with pytest.raises(errors.CheckViolation, match="Schedule B adds up to"):
        to_state(office, filing, "ready")


def test_a_return_is_prepared_until_it_is_filed(office: Company) -> None:
    without_futa(office)
    salaried(office)
    book(office)
    filing = return_941(office)
    to_state(office, filing, "ready")
    assert return_941(office) == filing
    to_state(office, filing, "ready", "filed")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="is filed"):
        return_941(office)


def test_what_was_overridden_stays(office: Company) -> None:
    without_futa(office)
    salaried(office)
    book(office)
    filing = return_941(office)
    override = "UPDATE payroll.tax_filing_line SET worker_count = 7, is_computed = false{}"
    override += " WHERE line_code = '1'"
    with (
        pytest.raises(errors.CheckViolation, match="for_a_reason"),
        office.connection.transaction(),
    ):
        office.connection.execute(override.format("").encode())
    office.connection.execute(override.format(", override_reason = 'counted by hand'").encode())
    return_941(office)
    assert lines(office, filing)["1"][2] == 7


def test_lines_of_a_ready_return_stay(office: Company) -> None:
    without_futa(office)
    salaried(office)
    book(office)
    filing = return_941(office)
    to_state(office, filing, "ready")
    for change in (
        "UPDATE payroll.tax_filing_line SET amount = 1",
        "DELETE FROM payroll.tax_filing_line",
    ):
        with pytest.raises(errors.RestrictViolation), office.connection.transaction():
            office.connection.execute(change.encode())


def test_a_wage_report_names_workers_and_a_941_does_not(office: Company) -> None:
    who = salaried(office)
    book(office)
    account, form = office.one(
        "SELECT a.employer_tax_account_id, c.filing_form FROM payroll.employer_tax_account AS a"
        " JOIN payroll.tax_code AS c USING (business_id, tax_code_id) WHERE c.code = 'IL-SUI'"
    )
    filing = office.one(
        "SELECT payroll.prepare_return(%s, %s, '2026-01-01', '2026-03-31')", account, form
    )
    assert office.all(
        "SELECT employee_id, wage_amount, amount FROM payroll.tax_filing_line"
        " WHERE tax_filing_id = %s AND line_code = 'WORKER'",
        filing,
    ) == [(who, 3000, Decimal("97.50"))]
    assert lines(office, filing)["TAX"][0] == Decimal("97.50")
    to_state(office, filing, "ready")
    without_futa(office)
    with pytest.raises(errors.CheckViolation, match="does not name workers"):
        row(
            office.connection,
            "payroll.tax_filing_line",
            tax_filing_id=return_941(office),
            employee_id=who,
        )


def boxes(office: Company, who: UUID) -> dict[tuple[str, str | None], Decimal]:
    return {
        (box, sub): amount
        for box, sub, amount in office.all(
            "SELECT b.box_code, b.sub_code, b.amount FROM payroll.wage_statement_box AS b"
            " JOIN payroll.wage_statement AS w USING (business_id, wage_statement_id)"
            " WHERE w.employee_id = %s AND w.status <> 'corrected'",
            who,
        )
    }


def statements(office: Company) -> int:
    made = office.one("SELECT payroll.build_wage_statements(%s, 2026)", office.employer)
    assert isinstance(made, int)
    return made


def test_a_w2_is_the_year(office: Company) -> None:
    who = salaried(office)
    office.connection.execute(
        "UPDATE payroll.deduction_code SET w2_box_code = '12-D' WHERE code = '401K'"
    )
    office.deduct(who, "401K", percent=10)
    run = book(office)
    assert statements(office) == 1
    tax = office.tax(office.paycheck(run, who)["paycheck_id"])
    assert boxes(office, who) == {
        ("1", None): 2700,
        ("2", None): tax["FIT"],
        ("3", None): 3000,
        ("4", None): Decimal("186.00"),
        ("5", None): 3000,
        ("6", None): Decimal("43.50"),
        ("12", "D"): 300,
        ("16", None): 2700,
        ("17", None): tax["IL-IT"],
    }
    assert office.one("SELECT is_retirement_plan, due_on FROM payroll.wage_statement") == (
        True,
        date(2027, 1, 31),
    )


def test_tips_stand_in_their_own_box(office: Company) -> None:
    who = salaried(office)
    office.give(who, "TIPS", amount=500, input_kind="tips")
    book(office)
    statements(office)
    found = boxes(office, who)
    assert (found["3", None], found["7", None], found["1", None]) == (3000, 500, 3500)


def test_a_draft_is_built_anew_and_a_reviewed_form_stays(office: Company) -> None:
    who = salaried(office)
    book(office)
    assert statements(office) == statements(office) == 1
    office.connection.execute("UPDATE payroll.wage_statement SET status = 'reviewed'")
    book(office, 2)
    assert statements(office) == 0
    assert boxes(office, who)["1", None] == 3000


def test_a_w2_is_corrected_by_another(office: Company) -> None:
    who = salaried(office)
    book(office)
    statements(office)
    key = office.one("SELECT wage_statement_id FROM payroll.wage_statement")
    correct = "SELECT payroll.correct_wage_statement(%s)"
    with pytest.raises(errors.ObjectNotInPrerequisiteState), office.connection.transaction():
        office.one(correct, key)
    move(office.connection, "wage_statement", key, "reviewed")
    office.connection.execute(
        "UPDATE payroll.wage_statement SET status = 'furnished', furnished_on = '2027-01-20'"
    )
    book(office, 2)
    office.one(correct, key)
    assert boxes(office, who)["1", None] == 6000
    assert office.all("SELECT form_kind, status FROM payroll.wage_statement ORDER BY 1") == [
        ("w2", "corrected"),
        ("w2c", "draft"),
    ]


@pytest.mark.parametrize(("amount", "forms"), [("1999.99", 0), ("2000", 1)])
def test_a_contractor_gets_a_1099_from_the_amount_of_the_rule(
    office: Company, amount: str, forms: int
) -> None:
    payee = row(office.connection, "payroll.contractor", employer_entity_id=office.employer)
    imported(
        office.connection,
        "payroll.contractor_payment",
        contractor_id=payee,
        amount=amount,
        reimbursement_amount=900,
        status="paid",
        paid_on="2026-03-10",
    )
    assert statements(office) == forms
    found = office.all("SELECT box_code, amount FROM payroll.wage_statement_box")
    assert found == ([("1", 2000)] if forms else [])


def form(office: Company, **columns: Any) -> UUID:
    return row(
        office.connection,
        "payroll.wage_statement",
        **{"employee_id": row(office.connection, "payroll.employee"), "tax_year": 2026, **columns},
    )


def test_box_twelve_has_room_for_four(office: Company) -> None:
    key = form(office)
    for code in ("C", "D", "W", "AA"):
        row(
            office.connection,
            "payroll.wage_statement_box",
            wage_statement_id=key,
            box_code="12",
            sub_code=code,
        )
    with pytest.raises(errors.CheckViolation, match="room for four"):
        row(
            office.connection,
            "payroll.wage_statement_box",
            wage_statement_id=key,
            box_code="12",
            sub_code="DD",
        )


def test_social_security_wages_stay_within_the_base(office: Company) -> None:
    key = form(office)
    for box, amount in (("3", 184000), ("7", 500)):
        row(
            office.connection,
            "payroll.wage_statement_box",
            wage_statement_id=key,
            box_code=box,
            amount=amount,
        )
    with pytest.raises(errors.CheckViolation, match="above the base"):
        office.connection.execute(
            "UPDATE payroll.wage_statement_box SET amount = 500.01 WHERE box_code = '7'"
        )


@pytest.mark.parametrize("delivery", ["electronic", "both"])
def test_electronic_delivery_needs_consent(office: Company, delivery: str) -> None:
    who = row(office.connection, "payroll.employee")
    with (
        pytest.raises(errors.CheckViolation, match="without consent"),
        office.connection.transaction(),
    ):
        form(office, employee_id=who, delivery=delivery)
    row(
        office.connection,
        "payroll.delivery_consent",
        employee_id=who,
        document_kind="w2",
        is_electronic=True,
        demonstrated_access=True,
        consented_at="2026-01-02",
    )
    form(office, employee_id=who, delivery=delivery)


@pytest.mark.parametrize(("day", "is_late"), [("2026-01-31", False), ("2026-02-01", True)])
def test_a_form_after_its_day_is_late(office: Company, day: str, is_late: bool) -> None:
    key = imported(
        office.connection,
        "payroll.wage_statement",
        employee_id=row(office.connection, "payroll.employee"),
        status="furnished",
        furnished_on=day,
    )
    found = "SELECT is_late FROM payroll.wage_statement WHERE wage_statement_id = %s"
    assert office.one(found, key) is is_late


def test_one_original_a_year(office: Company) -> None:
    who = row(office.connection, "payroll.employee")
    form(office, employee_id=who, employer_entity_id=office.employer)
    with pytest.raises(errors.UniqueViolation):
        form(office, employee_id=who, employer_entity_id=office.employer)


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("tax_liability", {"employee_amount": -1}),
        ("tax_liability", {"overpaid_amount": 5}),
        ("tax_deposit", {"amount": 0}),
        ("tax_deposit", {"settled_on": "2026-02-17"}),
        ("tax_filing", {"quarter_no": 2}),
        ("tax_filing", {"tax_year": 2025}),
        ("tax_filing", {"due_on": "2026-03-31"}),
        ("tax_notice", {"response_due_on": "2026-04-30"}),
        ("tax_notice", {"abated_amount": 5}),
        ("tax_notice", {"amount": 5, "abated_amount": 6}),
        ("tax_notice", {"notice_kind": "penalty"}),
        ("tax_notice", {"notice_kind": "rate_change"}),
        ("tax_notice", {"received_on": "2026-04-30"}),
        ("wage_statement", {}),
        ("deposit_rule", {"monthly_due_day": 29}),
        ("deposit_rule", {"next_day_over_amount": 0}),
        ("deposit_rule", {"backup_withholding_rate": "0.6"}),
    ],
)
def test_a_row_is_refused(app: Connection, table: str, columns: dict[str, Any]) -> None:
    with pytest.raises(errors.CheckViolation):
        row(app, f"payroll.{table}", **columns)


def test_rules_of_a_place_do_not_overlap(office: Company) -> None:
    with pytest.raises(errors.ExclusionViolation):
        row(
            office.connection,
            "payroll.deposit_rule",
            tax_jurisdiction_id=office.places["US"],
            effective_from="2026-01-01",
        )


def test_a_rate_comes_with_a_letter(office: Company) -> None:
    account = office.one(
        "SELECT employer_tax_account_id FROM payroll.employer_tax_account"
        " WHERE experience_rate IS NOT NULL"
    )
    letter = row(
        office.connection,
        "payroll.tax_notice",
        notice_kind="rate_change",
        employer_tax_account_id=account,
    )
    apply = "SELECT payroll.apply_rate_notice(%s, 0.041, '2026-07-01')"
    office.connection.execute(apply.encode(), [letter])
    assert office.one(
        "SELECT experience_rate, experience_rate_from FROM payroll.employer_tax_account"
        " WHERE employer_tax_account_id = %s",
        account,
    ) == (Decimal("0.041"), date(2026, 7, 1))
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="closed"):
        office.connection.execute(apply.encode(), [letter])
