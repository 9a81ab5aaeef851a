"""A pay run goes from draft to paid; what was approved is what is paid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_account, add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.payday import Company, company, shop
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused

__all__ = ["shop"]  # a fixture

RUN = {
    "draft": {"calculating", "cancelled"},
    "calculating": {"calculated", "draft"},
    "calculated": {"in_review", "calculating", "draft", "cancelled"},
    "in_review": {"approved", "draft", "cancelled"},
    "approved": {"funded", "draft", "cancelled"},
    "funded": {"paid"},
    "paid": {"partially_returned", "reversed"},
    "partially_returned": {"paid", "reversed"},
    "reversed": set[str](),
    "cancelled": set[str](),
}
MACHINES: dict[str, tuple[str, str, dict[str, set[str]], dict[str, Any]]] = {
    "pay_run": ("status", "draft", RUN, {"calculated_at": "2026-01-12"}),
    "paycheck": (
        "status",
        "draft",
        {
            "draft": {"final"},
            "final": {"draft", "paid", "voided"},
            "paid": {"returned", "voided"},
            "returned": {"reissued", "voided"},
            "reissued": {"voided"},
            "voided": set(),
        },
        {},
    ),
    "pay_run_exception": (
        "status",
        "open",
        {
            "open": {"fixed", "overridden", "ignored"},
            "fixed": {"open"},
            "overridden": set(),
            "ignored": set(),
        },
        {"code": "unfunded", "severity": "warning", "detected_at": "2026-01-12"},
    ),
    "retro_adjustment": (
        "status",
        "proposed",
        {
            "proposed": {"approved", "waived"},
            "approved": {"proposed", "paid", "waived"},
            "paid": {"approved"},
            "waived": set(),
        },
        {"approved_at": "2026-02-01", "reason": "correction"},
    ),
    "paycheck_correction": (
        "status",
        "requested",
        {
            "requested": {"approved", "refused"},
            "approved": {"done", "failed"},
            "failed": {"approved"},
            "done": set(),
            "refused": set(),
        },
        {"correction_kind": "reissue"},
    ),
    "pay_run_approval": (
        "decision",
        "pending",
        {
            "pending": {"approved", "returned", "escalated"},
            "escalated": {"approved", "returned"},
            "approved": {"returned"},
            "returned": {"pending", "approved"},
        },
        {},
    ),
}


@dataclass
class Desk:
    """Where states are moved: no company around it."""

    connection: Connection
    preparer: UUID
    approver: UUID


@pytest.fixture
def desk(tenant: UUID, account: UUID, app: Connection) -> Desk:
    app.execute("RESET ROLE")
    approver = add_account(app, tenant, "boss")
    app.execute("SET LOCAL ROLE app_user")
    return Desk(app, account, approver)


def stand(shop: Desk, table: str, state: str) -> UUID:
    """A row in a state, as history brings it."""
    column, _, _, columns = MACHINES[table]
    given: dict[str, Any] = {**columns, column: state}
    app = shop.connection
    if table == "paycheck":
        # It becomes final with its run, and a draft again with it.
        run = "approved" if state == "draft" else "draft"
        columns = {"status": run, "calculated_at": "2026-01-12"}
        given["pay_run_id"] = imported(app, "payroll.pay_run", **columns)
    elif table == "retro_adjustment":
        who = row(app, "payroll.employee")
        given |= {"employee_id": who, "paid_in_pay_run_id": row(app, "payroll.pay_run")}
        given["original_paycheck_id"] = imported(
            app, "payroll.paycheck", employee_id=who, status="paid"
        )
    elif table == "paycheck_correction":
        given |= {
            "original_paycheck_id": imported(app, "payroll.paycheck", status="paid"),
            "requested_by": shop.preparer,
            "requested_at": "2026-02-01",
        }
        if state in ("approved", "done", "failed"):
            given |= {"approved_by": shop.approver, "approved_at": "2026-02-02"}
    elif table == "pay_run_exception" and state != "open":
        given |= {"cleared_at": "2026-01-13", "cleared_by": shop.approver, "override_reason": "ok"}
    elif table == "pay_run_approval":
        given |= {"approver_user_account_id": shop.approver}
        if state != "pending":
            given["decided_at"] = "2026-01-13"
        if state == "approved":
            given |= {"content_hash": b"\x01" * 32, "approved_net_amount": 1}
    return imported(app, f"payroll.{table}", **given)


def move(shop: Desk, table: str, key: UUID, state: str) -> None:
    """The change of state, with what a row of that state must hold."""
    column = MACHINES[table][0]
    changes: dict[str, Any] = {column: state}
    if table == "pay_run_exception":
        changes["cleared_at"] = None if state == "open" else "2026-01-14"
        changes |= {"cleared_by": shop.approver, "override_reason": "seen"}
    elif table == "paycheck_correction" and state == "approved":
        changes |= {"approved_by": shop.approver, "approved_at": "2026-02-03"}
    elif table == "pay_run_approval":
        changes["decided_at"] = None if state == "pending" else "2026-01-14"
        ok = state == "approved"
        changes |= {
            "content_hash": b"\x02" * 32 if ok else None,
            "approved_net_amount": 1 if ok else None,
        }
    shop.connection.execute(
        sql.SQL("UPDATE payroll.{} SET {} WHERE {} = %s").format(
            sql.Identifier(table),
            sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(c)) for c in changes),
            sql.Identifier(f"{table}_id"),
        ),
        [*changes.values(), key],
    )


ALLOWED = [
    (table, before, after)
    for table, (_, _, machine, _) in MACHINES.items()
    for before, afters in machine.items()
    for after in sorted(afters)
    if (table, after) != ("pay_run", "approved")  # asks for its steps; see below
]
REFUSED = [
    (table, before, after)
    for table, (_, _, machine, _) in MACHINES.items()
    for before, after in refused(machine)
]


@pytest.mark.parametrize(("table", "before", "after"), ALLOWED)
def test_a_state_may_follow(desk: Desk, table: str, before: str, after: str) -> None:
    key = stand(desk, table, before)
    move(desk, table, key, after)


@pytest.mark.parametrize(("table", "before", "after"), REFUSED)
def test_other_states_may_not(desk: Desk, table: str, before: str, after: str) -> None:
    key = stand(desk, table, before)
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        move(desk, table, key, after)


@pytest.mark.parametrize("table", sorted(MACHINES))
def test_a_row_starts_at_the_beginning(app: Connection, table: str) -> None:
    _, initial, machine, _ = MACHINES[table]
    given: dict[str, Any] = {}
    if table == "retro_adjustment":
        who = row(app, "payroll.employee")
        check = imported(app, "payroll.paycheck", employee_id=who, status="paid")
        given = {
            "employee_id": who,
            "original_paycheck_id": check,
            "reason": "correction",
            "approved_at": "2026-01-12",
            "paid_in_pay_run_id": row(app, "payroll.pay_run"),
        }
    last = next(state for state in machine if state != initial)
    column = MACHINES[table][0]
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        row(app, f"payroll.{table}", **{**MACHINES[table][3], **given, column: last})


def ready(shop: Company) -> tuple[UUID, UUID]:
    """Somebody with a salary, and a calculated run that pays them."""
    who = shop.hire(rate=78000, basis="salary")
    run = shop.start()
    shop.calculate(run)
    return who, run


def status(shop: Company, run: UUID) -> Any:
    return shop.one("SELECT status FROM payroll.pay_run WHERE pay_run_id = %s", run)


def go(shop: Company, run: UUID, *states: str) -> None:
    for state in states:
        shop.connection.execute(
            "UPDATE payroll.pay_run SET status = %s WHERE pay_run_id = %s", [state, run]
        )


def test_runs_are_numbered_by_year(shop: Company) -> None:
    runs = [shop.start(1), shop.start(2), shop.start(1, "bonus", "2025-12-31")]
    assert [
        shop.one("SELECT run_number FROM payroll.pay_run WHERE pay_run_id = %s", run)
        for run in runs
    ] == ["PR-2026-0001", "PR-2026-0002", "PR-2025-0001"]


def test_a_period_has_one_regular_run(shop: Company) -> None:
    run = shop.start()
    with pytest.raises(errors.UniqueViolation, match="regular"), shop.connection.transaction():
        shop.start()
    go(shop, run, "cancelled")
    assert shop.start()


def test_a_run_is_calculated_again_until_it_is_approved(shop: Company) -> None:
    who, run = ready(shop)
    first = shop.paycheck(run, who)
    shop.connection.execute("UPDATE payroll.tax_rate_version SET rate = 0.1 WHERE rate = 0.0495")
    shop.calculate(run)
    second = shop.paycheck(run, who)
    assert first["paycheck_id"] == second["paycheck_id"]
    assert first["net_amount"] > second["net_amount"]
    shop.approve(run)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="is not calculated"):
        shop.calculate(run)


def test_one_paycheck_is_calculated_anew(shop: Company) -> None:
    who, other = shop.hire(rate=78000, basis="salary"), shop.hire(rate=52000, basis="salary")
    run = shop.start()
    shop.calculate(run)
    untouched = shop.paycheck(run, other)
    shop.deduct(who, "MEDICAL", amount=100)
    one = shop.one("SELECT payroll.calculate_paycheck(%s, %s)", run, who)
    assert shop.paycheck(run, who)["paycheck_id"] == one
    assert shop.paycheck(run, who)["pretax_deduction_amount"] == 100
    assert shop.paycheck(run, other) == untouched
    assert shop.differences() == []
    go(shop, run, "in_review")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="before it is reviewed"):
        shop.one("SELECT payroll.calculate_paycheck(%s, %s)", run, who)


def test_totals_stand_still_while_a_run_is_calculated(shop: Company) -> None:
    _, run = ready(shop)
    other = shop.hire(rate=52000, basis="salary")
    said = "SELECT gross_amount, employee_count FROM payroll.pay_run"
    assert shop.one(said) == (3000, 1)
    shop.connection.execute("UPDATE payroll.pay_run SET status = 'calculating'")
    check = shop.one("SELECT payroll.calculate_paycheck(%s, %s)", run, other)
    assert shop.paycheck(run, other)["gross_amount"] == 2000
    assert shop.one(said) == (3000, 1)
    shop.connection.execute("UPDATE payroll.pay_run SET status = 'calculated'")
    assert shop.one(said) == (5000, 2)
    shop.connection.execute("DELETE FROM payroll.paycheck WHERE paycheck_id = %s", [check])
    assert shop.one(said) == (3000, 1)


def test_who_is_no_longer_in_the_run_gets_no_check(shop: Company) -> None:
    who, run = ready(shop)
    shop.connection.execute(
        "UPDATE payroll.employment_spell SET terminated_on = '2025-06-30',"
        " termination_kind = 'layoff' WHERE employee_id = %s",
        [who],
    )
    shop.calculate(run)
    assert shop.one("SELECT count(*) FROM payroll.paycheck") == 0
    assert shop.one("SELECT gross_amount, employee_count FROM payroll.pay_run") == (0, 0)


def test_groups_are_paid_by_their_schedules(shop: Company) -> None:
    shop.connection.execute("UPDATE payroll.pay_schedule SET pay_group = 'salaried'")
    salaried, hourly = shop.hire(rate=78000, basis="salary"), shop.hire(rate=20)
    run = shop.start()
    assert set(shop.calculate(run)) == {salaried}
    shop.connection.execute("UPDATE payroll.pay_schedule SET pay_group = 'hourly'")
    assert set(shop.calculate(run)) == {hourly}


def test_nobody_approves_what_they_prepared(shop: Company) -> None:
    _, run = ready(shop)
    with (
        pytest.raises(errors.CheckViolation, match="prepared"),
        shop.connection.transaction(),
    ):
        shop.connection.execute("SELECT payroll.submit_payroll(%s, %s)", [run, [shop.preparer]])
    shop.connection.execute("SELECT payroll.submit_payroll(%s, %s)", [run, [shop.approver]])
    with pytest.raises(errors.CheckViolation, match="prepared"):
        shop.connection.execute("SELECT payroll.approve_payroll(%s, 1, %s)", [run, shop.preparer])


def test_steps_are_taken_in_turn(shop: Company) -> None:
    _, run = ready(shop)
    shop.connection.execute(
        "SELECT payroll.submit_payroll(%s, %s)", [run, [shop.approver, shop.approver]]
    )
    with (
        pytest.raises(errors.ObjectNotInPrerequisiteState, match="waits for the steps before"),
        shop.connection.transaction(),
    ):
        shop.connection.execute("SELECT payroll.approve_payroll(%s, 2, %s)", [run, shop.approver])
    with pytest.raises(errors.NoDataFound, match="no step 3"), shop.connection.transaction():
        shop.connection.execute("SELECT payroll.approve_payroll(%s, 3, %s)", [run, shop.approver])
    shop.connection.execute("SELECT payroll.approve_payroll(%s, 1, %s)", [run, shop.approver])
    assert status(shop, run) == "in_review"
    shop.connection.execute("SELECT payroll.approve_payroll(%s, 2, %s)", [run, shop.approver])
    assert status(shop, run) == "approved"
    frozen = shop.all("SELECT DISTINCT content_hash FROM payroll.pay_run_approval")
    assert frozen == [(shop.one("SELECT payroll.run_content_hash(%s)", run),)]


def test_a_run_is_not_approved_past_its_steps(shop: Company) -> None:
    _, run = ready(shop)
    go(shop, run, "in_review")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="by all of its steps"):
        go(shop, run, "approved")


def test_what_changed_after_a_step_is_not_approved_by_the_next(shop: Company) -> None:
    who, run = ready(shop)
    shop.connection.execute(
        "SELECT payroll.submit_payroll(%s, %s)", [run, [shop.approver, shop.approver]]
    )
    shop.connection.execute("SELECT payroll.approve_payroll(%s, 1, %s)", [run, shop.approver])
    shop.connection.execute(
        "UPDATE payroll.paycheck SET payment_method = 'pay_card' WHERE employee_id = %s", [who]
    )
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="as it now is"):
        shop.connection.execute("SELECT payroll.approve_payroll(%s, 2, %s)", [run, shop.approver])


def test_recalculation_voids_approvals(shop: Company) -> None:
    _, run = ready(shop)
    shop.approve(run)
    go(shop, run, "draft")
    voided = shop.one("SELECT decision, content_hash, comment FROM payroll.pay_run_approval")
    assert voided == ("returned", None, "void: the run is calculated anew")
    shop.calculate(run)
    shop.approve(run)
    assert status(shop, run) == "approved"


@pytest.mark.parametrize("severity", ["blocker", "warning"])
def test_an_open_blocker_stops_approval(shop: Company, severity: str) -> None:
    _, run = ready(shop)
    row(
        shop.connection,
        "payroll.pay_run_exception",
        pay_run_id=run,
        code="unfunded",
        severity=severity,
        message="The account holds too little",
    )
    told = shop.all(
        "SELECT severity, findings FROM payroll.v_run_blockers WHERE severity <> 'info'"
    )
    assert told == [(severity, 1)]
    if severity == "warning":
        shop.approve(run)
        return
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="open blockers"):
        shop.approve(run)


def test_an_overridden_blocker_does_not(shop: Company) -> None:
    who = shop.hire(rate=20)
    shop.work(who, 1, ("2026-01-05", 8), status="submitted")
    run = shop.start()
    assert shop.calculate(run) == {who: "blocked"}
    assert shop.findings(run)["unapproved_timesheet"] == "blocker"
    shop.connection.execute(
        "UPDATE payroll.pay_run_exception SET status = 'overridden', cleared_at = now(),"
        " cleared_by = %s, override_reason = 'paid with the next one'"
        " WHERE code = 'unapproved_timesheet'",
        [shop.approver],
    )
    # Calculated again, it is not told again.
    assert shop.calculate(run) == {who: "ok"}
    shop.approve(run)


def test_what_was_fixed_is_no_longer_found(shop: Company) -> None:
    shop.connection.execute("UPDATE payroll.work_location SET minimum_wage_amount = 10")
    who = shop.hire(rate=10)
    shop.connection.execute("UPDATE payroll.work_location SET minimum_wage_amount = 15")
    shop.work(who, 1, ("2026-01-05", 8))
    run = shop.start()
    shop.calculate(run)
    assert shop.findings(run)["below_minimum_wage"] == "blocker"
    shop.connection.execute("UPDATE payroll.work_location SET minimum_wage_amount = 9")
    shop.calculate(run)
    assert "below_minimum_wage" not in shop.findings(run)
    shop.connection.execute("UPDATE payroll.work_location SET minimum_wage_amount = 12")
    shop.calculate(run)
    assert shop.findings(run)["below_minimum_wage"] == "blocker"
    assert (
        shop.one("SELECT count(*) FROM payroll.pay_run_exception WHERE code = 'below_minimum_wage'")
        == 1
    )


def test_an_employer_without_a_rate_is_a_blocker(shop: Company) -> None:
    shop.connection.execute("DELETE FROM payroll.employer_tax_account")
    _, run = ready(shop)
    assert shop.findings(run)["missing_tax_setup"] == "blocker"
    with pytest.raises(errors.CheckViolation, match="some_cannot_be_overridden"):
        shop.connection.execute(
            "UPDATE payroll.pay_run_exception SET status = 'overridden', cleared_at = now(),"
            " cleared_by = %s, override_reason = 'later' WHERE severity = 'blocker'",
            [shop.approver],
        )


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        ("DELETE FROM payroll.withholding_election", "missing_w4"),
        (
            "UPDATE payroll.tax_rate_version SET effective_until = '2026-01-01'"
            " WHERE wage_base_amount = 184500",
            "missing_tax_setup",
        ),
        ("SELECT 1", "no_bank_account"),
    ],
)
def test_the_reviewer_sees(shop: Company, prepare: str, code: str) -> None:
    shop.hire(rate=78000, basis="salary")
    shop.connection.execute(prepare.encode())
    run = shop.start()
    shop.calculate(run)
    assert code in shop.findings(run)


def test_the_same_bonus_twice_is_told(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    for _ in range(2):
        shop.give(who, "BONUS", amount=500)
    run = shop.start()
    shop.calculate(run)
    assert shop.findings(run)["duplicate_input"] == "warning"


def test_a_pay_unlike_the_others_is_told(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    for period in (1, 2, 3):
        run = shop.finish(period)
        assert "large_variance" not in shop.findings(run)
    shop.give(who, "BONUS", amount=9000, pay_period_id=shop.period(4))
    run = shop.start(4)
    shop.calculate(run)
    assert shop.findings(run)["large_variance"] == "warning"


def test_the_period_and_the_inputs_go_with_their_run(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    bonus = shop.give(who, "BONUS", amount=500)
    period = "SELECT status FROM payroll.pay_period ORDER BY starts_on LIMIT 1"
    given = "SELECT status, pay_run_id FROM payroll.variable_pay_input"
    run = shop.start()
    assert shop.one(given) == ("approved", None)
    shop.calculate(run)
    assert (shop.one(period), shop.one(given)) == ("in_processing", ("approved", run))
    shop.approve(run)
    assert shop.one(given) == ("consumed", run)
    with (
        pytest.raises(errors.RestrictViolation, match="is not changed"),
        shop.connection.transaction(),
    ):
        shop.connection.execute("UPDATE payroll.variable_pay_input SET amount = 600")
    with (
        pytest.raises(errors.RestrictViolation, match="is not changed"),
        shop.connection.transaction(),
    ):
        shop.connection.execute("DELETE FROM payroll.variable_pay_input")
    go(shop, run, "draft")
    assert (shop.one(period), shop.one(given)) == ("open", ("approved", run))
    go(shop, run, "cancelled")
    assert (shop.one(period), shop.one(given)) == ("open", ("approved", None))
    assert shop.one("SELECT count(*) FROM payroll.paycheck") == 0
    again = shop.start()
    shop.calculate(again)
    shop.approve(again)
    go(shop, again, "funded", "paid")
    assert shop.one(period) == "paid"
    assert shop.paycheck(again, who)["status"] == "paid"
    assert bonus


def test_an_approved_run_that_is_cancelled_counts_nowhere(shop: Company) -> None:
    who, run = ready(shop)
    shop.approve(run)
    assert shop.one("SELECT count(*) FROM payroll.ytd_accumulator") > 0
    go(shop, run, "cancelled")
    assert shop.one("SELECT count(*) FROM payroll.ytd_accumulator") == 0
    assert shop.differences() == []
    assert who


def test_a_reversed_run_is_void(shop: Company) -> None:
    who, run = ready(shop)
    shop.approve(run)
    go(shop, run, "funded", "paid", "reversed")
    assert shop.paycheck(run, who)["status"] == "voided"
    # What it paid out stays told.
    assert shop.one("SELECT gross_amount FROM payroll.pay_run") == 3000
    assert shop.one("SELECT count(*) FROM payroll.ytd_accumulator") == 0
    assert shop.differences() == []


def test_a_final_check_does_not_change(shop: Company) -> None:
    who, run = ready(shop)
    shop.approve(run)
    for change in (
        "SET net_amount = net_amount - 1, gross_amount = gross_amount - 1",
        "SET check_number = 'other'",
        "SET check_date = check_date + 1",
    ):
        with (
            pytest.raises(errors.RestrictViolation, match="does not change"),
            shop.connection.transaction(),
        ):
            shop.connection.execute(f"UPDATE payroll.paycheck {change}".encode())
    with pytest.raises(errors.RestrictViolation, match="does not change"):
        shop.connection.execute("DELETE FROM payroll.paycheck")
    assert who


def test_a_check_goes_with_its_run(shop: Company) -> None:
    _, run = ready(shop)
    with (
        pytest.raises(errors.ObjectNotInPrerequisiteState, match="final with its run"),
        shop.connection.transaction(),
    ):
        shop.connection.execute("UPDATE payroll.paycheck SET status = 'final'")
    shop.approve(run)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="a draft again when its run"):
        shop.connection.execute("UPDATE payroll.paycheck SET status = 'draft'")


def test_a_check_stays_in_its_run(shop: Company) -> None:
    ready(shop)
    other = shop.start(2)
    with pytest.raises(errors.RestrictViolation, match="does not change"):
        shop.connection.execute("UPDATE payroll.paycheck SET pay_run_id = %s", [other])


def test_two_runs_of_the_same_people_become_final_one_after_the_other(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    regular, bonus = shop.start(), shop.start(kind="bonus")
    shop.give(who, "BONUS", bonus, amount=1000)
    shop.calculate(regular)
    shop.calculate(bonus)
    shop.approve(regular)
    with (
        pytest.raises(errors.ObjectNotInPrerequisiteState, match="moved the year"),
        shop.connection.transaction(),
    ):
        shop.approve(bonus)
    shop.calculate(bonus)
    shop.approve(bonus)
    assert shop.differences() == []


def test_a_void_is_on_the_word_of_two(shop: Company) -> None:
    who, run = ready(shop)
    check = shop.paycheck(run, who)["paycheck_id"]
    with (
        pytest.raises(errors.ObjectNotInPrerequisiteState, match="is draft"),
        shop.connection.transaction(),
    ):
        shop.one(
            "SELECT payroll.void_paycheck(%s, 'x', %s, %s)", check, shop.preparer, shop.approver
        )
    shop.approve(run)
    with pytest.raises(errors.CheckViolation, match="by_two"), shop.connection.transaction():
        shop.one(
            "SELECT payroll.void_paycheck(%s, 'x', %s, %s)", check, shop.preparer, shop.preparer
        )
    with (
        pytest.raises(errors.CheckViolation, match="has_reason"),
        shop.connection.transaction(),
    ):
        shop.one(
            "SELECT payroll.void_paycheck(%s, ' ', %s, %s)", check, shop.preparer, shop.approver
        )
    shop.one(
        "SELECT payroll.void_paycheck(%s, 'wrong rate', %s, %s, 'next_pay')",
        check,
        shop.preparer,
        shop.approver,
    )
    told = shop.one(
        "SELECT correction_kind, status, recovery_method, net_recovered_amount > 0"
        " FROM payroll.paycheck_correction"
    )
    assert told == ("void", "done", "next_pay", True)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="is voided"):
        shop.one(
            "SELECT payroll.void_paycheck(%s, 'again', %s, %s)", check, shop.preparer, shop.approver
        )


@pytest.mark.parametrize(
    ("moment", "past"), [("2026-03-31 12:00+00", False), ("2026-04-01 12:00+00", True)]
)
def test_a_void_knows_its_quarter(shop: Company, moment: str, past: bool) -> None:
    who, run = ready(shop)
    shop.approve(run)
    shop.one(
        "SELECT payroll.void_paycheck(%s, 'x', %s, %s, 'none', %s)",
        shop.paycheck(run, who)["paycheck_id"],
        shop.preparer,
        shop.approver,
        moment,
    )
    found = shop.one("SELECT reverses_quarter, amends_filing FROM payroll.paycheck_correction")
    assert found == (past, False)


@pytest.mark.parametrize(
    ("moment", "ok"), [("2026-01-22 12:00+00", True), ("2026-01-23 12:00+00", False)]
)
def test_a_deposit_is_reversed_within_five_banking_days(
    shop: Company, moment: str, ok: bool
) -> None:
    who, run = ready(shop)
    shop.approve(run)
    check = shop.paycheck(run, who)["paycheck_id"]
    values = (check, shop.preparer, shop.approver, moment)
    query = "SELECT payroll.void_paycheck(%s, 'x', %s, %s, 'ach_reversal', %s)"
    if ok:
        assert shop.one(query, *values)
        return
    with pytest.raises(errors.CheckViolation, match="takes a deposit back until 2026-01-22"):
        shop.one(query, *values)


def test_what_a_voided_check_paid_once_waits_for_another_run(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    shop.give(who, "BONUS", amount=500)
    run = shop.finish()
    shop.one(
        "SELECT payroll.void_paycheck(%s, 'x', %s, %s)",
        shop.paycheck(run, who)["paycheck_id"],
        shop.preparer,
        shop.approver,
    )
    given = shop.one("SELECT status, pay_run_id FROM payroll.variable_pay_input")
    assert given == ("approved", None)


def test_a_late_raise_is_paid_back_to_its_day(shop: Company) -> None:
    who = shop.hire(rate=20)
    week = [(f"2026-01-{day:02}", 8) for day in range(5, 10)]
    shop.work(who, 1, *week, ("2026-01-10", 4, "overtime"))
    shop.finish()
    shop.connection.execute("UPDATE payroll.compensation_rate SET effective_until = '2026-01-01'")
    rate = shop.pay(shop.job(who), 22, since="2026-01-01")
    assert shop.one("SELECT payroll.propose_retro(%s)", rate) == 1
    assert shop.one("SELECT payroll.propose_retro(%s)", rate) == 0
    owed = shop.one(
        "SELECT new_amount - old_amount, overtime_effect_amount, difference_amount"
        " FROM payroll.retro_adjustment"
    )
    # 40 hours at 2 more, 4 overtime hours at 1.5 times 2 more.
    assert owed == (80, 12, 92)
    shop.connection.execute(
        "UPDATE payroll.retro_adjustment SET status = 'approved', approved_at = now()"
    )
    shop.work(who, 2, ("2026-01-12", 8))
    run = shop.finish(2)
    assert shop.paycheck(run, who)["gross_amount"] == 8 * 22 + 92
    line = shop.one(
        "SELECT amount, for_period_start::text FROM payroll.paycheck_earning WHERE is_retro"
    )
    assert line == (92, "2026-01-01")
    assert shop.one("SELECT status FROM payroll.retro_adjustment") == "paid"
    assert shop.differences() == []


def test_pay_is_taken_back_with_consent_only(shop: Company) -> None:
    who, run = ready(shop)
    shop.approve(run)
    adjustment = row(
        shop.connection,
        "payroll.retro_adjustment",
        employee_id=who,
        original_paycheck_id=shop.paycheck(run, who)["paycheck_id"],
        reason="correction",
        from_date="2025-12-28",
        to_date="2026-01-10",
        old_amount=3000,
        new_amount=2800,
    )
    approve = (
        "UPDATE payroll.retro_adjustment SET status = 'approved', approved_at = now(),"
        " consented_on = %s WHERE retro_adjustment_id = %s"
    )
    with (
        pytest.raises(errors.CheckViolation, match="with_consent"),
        shop.connection.transaction(),
    ):
        shop.connection.execute(approve, [None, adjustment])
    shop.connection.execute(approve, ["2026-01-20", adjustment])
    second = shop.finish(2)
    assert shop.paycheck(second, who)["gross_amount"] == 2800


def test_more_is_not_taken_back_than_is_paid(shop: Company) -> None:
    who = shop.hire(rate=20)
    shop.work(who, 1, ("2026-01-05", 8))
    shop.give(who, "REG", amount=-500, input_kind="correction")
    run = shop.start()
    assert shop.calculate(run) == {who: "blocked"}
    assert shop.findings(run)["negative_net"] == "blocker"
    assert shop.paycheck(run, who)["gross_amount"] == 160


def test_an_adjustment_is_of_the_employees_own_check(shop: Company) -> None:
    who, run = ready(shop)
    columns = {
        "original_paycheck_id": shop.paycheck(run, who)["paycheck_id"],
        "reason": "correction",
    }
    with (
        pytest.raises(errors.CheckViolation, match="final paycheck of the same employee"),
        shop.connection.transaction(),
    ):
        row(shop.connection, "payroll.retro_adjustment", employee_id=who, **columns)
    shop.approve(run)
    with pytest.raises(errors.CheckViolation, match="final paycheck of the same employee"):
        row(shop.connection, "payroll.retro_adjustment", employee_id=shop.hire(), **columns)


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("pay_run", {"run_kind": "regular"}, "regular_has_period"),
        ("pay_run", {"net_amount": 5}, "reconciles"),
        ("pay_run", {"employer_tax_amount": 5}, "costs_at_least_gross"),
        ("pay_run", {"employee_count": -1}, "people_countable"),
        ("pay_run_approval", {"step_no": 0}, "steps_from_one"),
        ("pay_run_approval", {"decided_at": "2026-01-01"}, "decided_has_time"),
        (
            "pay_run_approval",
            {"approved_net_amount": 1, "content_hash": b"\x00" * 32},
            "approves_what_it_saw",
        ),
        ("pay_run_exception", {"cleared_at": "2036-01-01"}, "cleared_has_time"),
        ("paycheck", {"net_amount": 5}, "reconciles"),
        ("paycheck", {"net_amount": -5, "posttax_deduction_amount": 5}, "net_not_negative"),
        ("paycheck", {"hours_worked": -1}, "amounts_not_negative"),
        ("paycheck", {"work_state": "Illinois"}, "states_are_two_letters"),
        ("paycheck_earning", {"hours": 2, "rate_amount": 40}, "hours_times_rate"),
        ("paycheck_earning", {"units": 2, "rate_amount": 40}, "units_times_rate"),
        (
            "paycheck_earning",
            {"rate_amount": 20, "regular_rate_amount": 15},
            "overtime_pays_half_more",
        ),
        ("paycheck_earning", {"amount": -5}, "only_corrections_take_back"),
        ("paycheck_earning", {"is_retro": True}, "retro_names_its_period"),
        (
            "paycheck_deduction",
            {"employee_amount": -1},
            "amounts_not_negative|recovers_within_amount",
        ),
        ("paycheck_deduction", {"arrears_recovered_amount": 1}, "recovers_within_amount"),
        ("paycheck_deduction", {"short_amount": 1}, "short_by_a_limit"),
        (
            "paycheck_deduction",
            {"employee_amount": 5, "disposable_earnings_amount": 4},
            "within_disposable",
        ),
        (
            "paycheck_deduction",
            {"is_pretax": True, "disposable_earnings_amount": 4},
            "garnished_after_tax",
        ),
        ("ytd_accumulator", {"quarter_no": 5}, "quarter_bounded"),
        ("ytd_accumulator", {"item_kind": "tax"}, "taxes_have_jurisdiction"),
        ("ytd_accumulator", {"amount_ytd": 5}, "first_quarter_is_the_year"),
        ("tip_declaration", {"cash_tips_amount": -1}, "amounts_not_negative"),
        ("tip_declaration", {"pooled_out_amount": 1}, "pools_what_there_was"),
        ("tip_declaration", {"tip_credit_hours": 25}, "day_has_24_hours"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*({truth})"):
        row(app, f"payroll.{table}", **columns)


TAX_LINE = {
    "gross_wages_amount": 10,
    "subject_wages_amount": 10,
    "taxable_wages_amount": 5,
    "ytd_taxable_amount": 5,
}


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"tax_amount": -1}, "amounts_not_negative"),
        ({"taxable_wages_amount": 11, "ytd_taxable_amount": 11}, "taxable_within_subject"),
        ({"ytd_taxable_amount": 4}, "year_holds_this_pay"),
        ({"method": "exempt", "tax_amount": 1}, "exempt_pays_nothing"),
    ],
)
def test_a_tax_line_that_cannot_be_is_refused(
    shop: Company, columns: dict[str, Any], truth: str
) -> None:
    ready(shop)
    with pytest.raises(errors.CheckViolation, match=truth):
        shop.connection.execute(
            sql.SQL("UPDATE payroll.paycheck_tax SET {} WHERE payer = 'employer'").format(
                sql.SQL(", ").join(
                    sql.SQL("{} = {}").format(sql.Identifier(c), sql.Literal(v))
                    for c, v in {**TAX_LINE, **columns}.items()
                )
            )
        )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("SET ytd_taxable_amount = 7001, subject_wages_amount = 8000", "wage base of 7000"),
        ("SET payer = 'employee'", "is paid by employer"),
    ],
)
def test_a_tax_line_follows_its_code(shop: Company, change: str, told: str) -> None:
    ready(shop)
    with pytest.raises(errors.CheckViolation, match=told):
        shop.connection.execute(
            f"UPDATE payroll.paycheck_tax {change} WHERE tax_code_id = %s".encode(),
            [shop.taxes["FUTA"]],
        )


def test_an_order_takes_no_more_than_its_share(shop: Company) -> None:
    who = shop.hire(rate=78000, basis="salary")
    shop.garnish(who, withholding_amount=100)
    run = shop.start()
    shop.calculate(run)
    with pytest.raises(errors.CheckViolation, match="an order may take"):
        shop.connection.execute("UPDATE payroll.paycheck_deduction SET employee_amount = 1000")


def tips(shop: Company, who: UUID, **columns: Any) -> UUID:
    given = {"employee_id": who, "pay_period_id": shop.period(), **columns}
    return row(shop.connection, "payroll.tip_declaration", **given)


def test_a_tip_credit_fills_the_minimum_wage(shop: Company) -> None:
    shop.connection.execute("UPDATE payroll.work_location SET minimum_wage_amount = 9")
    who = shop.hire(rate=9)
    shop.connection.execute("UPDATE payroll.work_location SET minimum_wage_amount = 15")
    with (
        pytest.raises(errors.CheckViolation, match="exceeds the minimum wage"),
        shop.connection.transaction(),
    ):
        tips(shop, who, tip_credit_hours=8, tip_credit_amount="48.01", cash_tips_amount=60)
    tips(shop, who, tip_credit_hours=8, tip_credit_amount=48, cash_tips_amount=30)
    assert shop.one("SELECT minimum_wage_makeup_amount FROM payroll.tip_declaration") == 18
    shop.work(who, 1, ("2026-01-05", 8))
    run = shop.start()
    shop.calculate(run)
    assert shop.paycheck(run, who)["gross_amount"] == 72 + 18
    # 90 of pay and 30 of tips for 8 hours at 15.
    assert "below_minimum_wage" not in shop.findings(run)


def test_tips_below_the_expected_share_are_allocated(shop: Company) -> None:
    honest, other, third = (shop.hire(rate=15) for _ in range(3))
    tips(shop, honest, sales_amount=1000, cash_tips_amount=100)
    tips(shop, other, sales_amount=1000, cash_tips_amount=20)
    tips(shop, third, sales_amount=1000, cash_tips_amount=60)
    share = "SELECT allocated_tips_amount FROM payroll.tip_declaration WHERE employee_id = %s"
    # 240 expected, 180 declared: 60 by the 60 and 20 that the two lack.
    assert shop.one("SELECT payroll.allocate_tips(%s)", shop.period()) == 2
    assert [shop.one(share, who) for who in (honest, other, third)] == [0, 45, 15]
    assert shop.one("SELECT payroll.allocate_tips(%s)", shop.period()) == 0
    shop.connection.execute(
        "UPDATE payroll.tip_declaration SET cash_tips_amount = 90 WHERE employee_id = %s", [other]
    )
    assert shop.one("SELECT payroll.allocate_tips(%s)", shop.period()) == 2
    assert shop.one(share, other) == 0


def two_runs(target: Target) -> tuple[UUID, list[UUID], UUID]:
    """A tenant with two runs of one employee, both in review."""
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        people = [add_account(connection, tenant, name) for name in ("ada", "boss")]
        become_app(connection, tenant)
        made = company(connection, *people)
        who = made.hire(rate=78000, basis="salary")
        runs = [made.start(), made.start(kind="bonus")]
        made.give(who, "BONUS", runs[1], amount=1000)
        for run in runs:
            made.calculate(run)
            connection.execute("SELECT payroll.submit_payroll(%s, %s)", [run, [made.approver]])
    return tenant, runs, made.approver


def test_two_approvals_at_once_do_not_share_a_year(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    tenant, runs, approver = two_runs(target)

    def approve(connection: Connection, number: int) -> str:
        try:
            connection.execute(
                "SELECT payroll.approve_payroll(%s, 1, %s)", [runs[number], approver]
            )
        except errors.ObjectNotInPrerequisiteState as error:
            connection.rollback()
            return str(error.diag.message_primary)
        return "approved"

    told = sorted(at_once(target, tenant, 2, approve))
    assert told[1].startswith("approved") or told[0] == "approved"
    assert any("moved the year" in text for text in told)
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert connection.execute("SELECT * FROM payroll.register_differences()").fetchall() == []


def test_one_of_two_takes_up_an_input(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        people = [add_account(connection, tenant, name) for name in ("ada", "boss")]
        become_app(connection, tenant)
        made = company(connection, *people)
        made.hire(rate=78000, basis="salary")
        period = made.period()

    def start(connection: Connection, number: int) -> bool:
        try:
            connection.execute("SELECT payroll.start_pay_run(%s, %s)", [period, people[0]])
        except errors.UniqueViolation:
            connection.rollback()
            return False
        return True

    assert sorted(at_once(target, tenant, 2, start)) == [False, True]
