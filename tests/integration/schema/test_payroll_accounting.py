"""The books of pay: balanced, tied to the register, and never changed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.payday import Company
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused
from tests.integration.schema.test_payroll_register import employ, people
from tests.integration.schema.treasury import office, paid

__all__ = ["office"]  # a fixture

JOURNAL = {
    "draft": {"posted"},
    "posted": {"exported", "reversed"},
    "exported": {"rejected", "reversed"},
    "rejected": {"exported", "reversed"},
    "reversed": set[str](),
}


def write(office: Company, run: UUID) -> UUID:
    key = office.one("SELECT payroll.write_journal(%s)", run)
    assert isinstance(key, UUID)
    return key


def post(office: Company, entry: UUID) -> None:
    office.connection.execute("SELECT payroll.post_journal(%s)", [entry])


def staff(office: Company) -> UUID:
    who = office.hire(rate=78000, basis="salary")
    office.deduct(who, "MEDICAL", amount=80, employer_amount=220)
    return who


def stand(app: Connection, state: str) -> UUID:
    entry = imported(app, "payroll.journal_entry", status=state, exported_at="2026-01-16")
    if state == "draft":
        for side in ("debit", "credit"):
            row(
                app,
                "payroll.journal_line",
                journal_entry_id=entry,
                **{"debit_amount": 0, f"{side}_amount": 5},
            )
        app.execute(
            "UPDATE payroll.journal_entry SET debit_amount = 5, credit_amount = 5"
            " WHERE journal_entry_id = %s",
            [entry],
        )
    return entry


def move(app: Connection, entry: UUID, state: str) -> None:
    app.execute(
        "UPDATE payroll.journal_entry SET status = %s WHERE journal_entry_id = %s", [state, entry]
    )


@pytest.mark.parametrize(
    ("before", "after"), [(b, a) for b, afters in JOURNAL.items() for a in sorted(afters)]
)
def test_an_entry_may_go_on(app: Connection, before: str, after: str) -> None:
    move(app, stand(app, before), after)


@pytest.mark.parametrize(("before", "after"), refused(JOURNAL))
def test_an_entry_goes_no_other_way(app: Connection, before: str, after: str) -> None:
    entry = stand(app, before)
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        move(app, entry, after)


def test_a_run_is_in_the_books_as_its_register(office: Company) -> None:
    staff(office)
    run = paid(office)
    entry = write(office, run)
    post(office, entry)
    gross, net, taxes = office.one(
        "SELECT gross_amount, net_amount, employee_tax_amount FROM payroll.pay_run"
        " WHERE pay_run_id = %s",
        run,
    )
    sums = dict(
        office.all(
            "SELECT split_part(source_item, ':', 1), sum(debit_amount - credit_amount)"
            " FROM payroll.journal_line WHERE journal_entry_id = %s GROUP BY 1",
            entry,
        )
    )
    assert sums["earning"] == gross
    assert sums["net_pay"] == -net
    assert sums["tax"] == -taxes
    assert sums["deduction"] == -80
    assert sums["benefit"] == 0
    assert sum(sums.values()) == 0
    assert office.all("SELECT * FROM payroll.journal_differences()") == []


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(team=people)
def test_whatever_is_paid_balances_to_the_cent(office: Company, team: list[dict[str, Any]]) -> None:
    connection = office.connection
    connection.execute("SAVEPOINT team")
    try:
        for person in team:
            employ(office, person)
        run = office.start(1)
        office.calculate(run)
        if "negative_net" in office.findings(run):
            return
        connection.execute(
            "UPDATE payroll.pay_run_exception SET status = 'overridden', cleared_at = now(),"
            " cleared_by = %s, override_reason = 'seen' WHERE status = 'open'"
            " AND severity = 'blocker'",
            [office.approver],
        )
        office.approve(run)
        if office.one("SELECT gross_amount FROM payroll.pay_run WHERE pay_run_id = %s", run) == 0:
            return
        entry = write(office, run)
        post(office, entry)
        debit, credit = office.one(
            "SELECT sum(debit_amount), sum(credit_amount) FROM payroll.journal_line"
            " WHERE journal_entry_id = %s",
            entry,
        )
        assert debit == credit
        assert office.all("SELECT * FROM payroll.journal_differences()") == []
        office.connection.execute("SELECT payroll.book_tax_liabilities(%s)", [run])
        assert office.all("SELECT * FROM payroll.liability_differences()") == []
    finally:
        connection.execute("ROLLBACK TO SAVEPOINT team")


def test_the_closest_map_holds(office: Company) -> None:
    who = staff(office)
    row(
        office.connection,
        "payroll.gl_account_map",
        department_id=office.department,
        account_number="6005",
    )
    run = paid(office)
    entry = write(office, run)
    assert office.paycheck(run, who)["gross_amount"] == 3000
    found = "SELECT account_number FROM payroll.journal_line WHERE journal_entry_id = %s"
    found += " AND source_item = 'earning:SALARY'"
    assert office.all(found, entry) == [("6005",)]
    row(
        office.connection,
        "payroll.gl_account_map",
        earning_code_id=office.codes["SALARY"],
        account_number="6001",
    )
    assert office.all(found, write(office, run)) == [("6001",)]


def test_an_item_without_an_account_is_told(office: Company) -> None:
    staff(office)
    run = paid(office)
    office.connection.execute(
        "DELETE FROM payroll.gl_account_map WHERE item_kind = 'employer_tax' AND side = 'credit'"
    )
    lacking = {(i, s) for i, s, *_ in office.all("SELECT * FROM payroll.unmapped_items(%s)", run)}
    assert lacking == {("employer_tax", "credit")}
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="no account is mapped for"):
        write(office, run)


def test_a_draft_run_is_not_booked(office: Company) -> None:
    staff(office)
    run = office.start()
    office.calculate(run)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="once it is approved"):
        write(office, run)


def test_an_unbalanced_entry_is_not_posted(office: Company) -> None:
    staff(office)
    entry = write(office, paid(office))
    office.connection.execute(
        "UPDATE payroll.journal_line SET credit_amount = credit_amount + 0.01"
        " WHERE journal_entry_id = %s AND source_item = 'net_pay'",
        [entry],
    )
    with pytest.raises(errors.CheckViolation, match="has lines of"):
        post(office, entry)


def test_an_entry_says_what_its_lines_add_up_to(office: Company) -> None:
    staff(office)
    entry = write(office, paid(office))
    office.connection.execute(
        "UPDATE payroll.journal_entry SET debit_amount = 1, credit_amount = 1"
        " WHERE journal_entry_id = %s",
        [entry],
    )
    with pytest.raises(errors.CheckViolation, match="has lines of"):
        post(office, entry)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE payroll.journal_entry SET accounting_date = '2026-01-20' WHERE {}",
        "UPDATE payroll.journal_entry SET debit_amount = 1, credit_amount = 1 WHERE {}",
        "UPDATE payroll.journal_entry SET journal_number = 'X' WHERE {}",
        "DELETE FROM payroll.journal_entry WHERE {}",
        "UPDATE payroll.journal_line SET memo = 'x' WHERE {}",
        "DELETE FROM payroll.journal_line WHERE {}",
    ],
)
def test_what_is_posted_stays(office: Company, change: str) -> None:
    staff(office)
    entry = write(office, paid(office))
    post(office, entry)
    statement = change.format("journal_entry_id = %s").encode()
    with pytest.raises(errors.RestrictViolation):
        office.connection.execute(statement, [entry])


def test_a_run_is_in_the_books_once(office: Company) -> None:
    staff(office)
    run = paid(office)
    first = write(office, run)
    second = write(office, run)
    assert first != second
    assert office.all("SELECT journal_entry_id FROM payroll.journal_entry") == [(second,)]
    post(office, second)
    with pytest.raises(errors.UniqueViolation):
        write(office, run)


def test_a_voided_paycheck_is_taken_back(office: Company) -> None:
    who = staff(office)
    run = paid(office)
    post(office, write(office, run))
    check = office.paycheck(run, who)
    office.connection.execute(
        "SELECT payroll.void_paycheck(%s, 'twice', %s, %s)",
        [check["paycheck_id"], office.preparer, office.approver],
    )
    totals = office.all(
        "SELECT l.account_number, sum(l.debit_amount - l.credit_amount)"
        " FROM payroll.journal_line AS l GROUP BY 1"
    )
    assert {amount for _, amount in totals} == {Decimal(0)}
    assert (
        office.one("SELECT status FROM payroll.journal_entry WHERE journal_kind = 'reversal'")
        == "posted"
    )
    assert office.all("SELECT * FROM payroll.journal_differences()") == []


def test_the_proof_finds_a_wrong_cent(office: Company) -> None:
    staff(office)
    entry = write(office, paid(office))
    post(office, entry)
    office.connection.execute("RESET ROLE")
    office.connection.execute(
        "UPDATE payroll.journal_line SET credit_amount = credit_amount + 0.01"
        " WHERE journal_entry_id = %s AND source_item = 'net_pay'",
        [entry],
    )
    office.connection.execute("SET LOCAL ROLE app_user")
    items = {item for _, item, *_ in office.all("SELECT * FROM payroll.journal_differences()")}
    assert items == {"credit", "net"}


@pytest.mark.parametrize(
    "columns",
    [
        {"debit_amount": 1, "credit_amount": 1},
        {"debit_amount": 0, "credit_amount": 0},
        {"debit_amount": -1},
        {"line_no": 0},
        {"source_item": "gift:X"},
    ],
)
def test_a_line_is_one_sided(app: Connection, columns: dict[str, Any]) -> None:
    with pytest.raises(errors.CheckViolation):
        row(app, "payroll.journal_line", **columns)


@pytest.mark.parametrize(
    "columns",
    [
        {"debit_amount": 2},
        {"period_code": "2026-02"},
        {"period_code": "2026"},
        {"debit_amount": -1, "credit_amount": -1},
    ],
)
def test_an_entry_balances_and_has_its_month(app: Connection, columns: dict[str, Any]) -> None:
    with pytest.raises(errors.CheckViolation):
        row(app, "payroll.journal_entry", **columns)


def test_a_map_names_one_code_that_fits(office: Company) -> None:
    for columns in (
        {"earning_code_id": office.codes["REG"], "tax_code_id": office.taxes["SS"]},
        {"tax_code_id": office.taxes["SS"]},
        {"effective_until": "2019-01-01"},
    ):
        with pytest.raises(errors.CheckViolation), office.connection.transaction():
            row(office.connection, "payroll.gl_account_map", **columns)
    with pytest.raises(errors.UniqueViolation):
        row(office.connection, "payroll.gl_account_map", account_number="6999")
