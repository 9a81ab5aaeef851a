"""Money goes out once, balanced, by the splits of each employee, and comes back in order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_account, add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.payday import Company, company
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused
from tests.integration.schema.treasury import account_of, fund, office, paid, split, step

__all__ = ["office"]  # a fixture

ENTRY = {
    "pending": {"sent", "voided"},
    "sent": {"settled", "returned"},
    "settled": {"returned", "stale"},
    "returned": {"reissued", "voided"},
    "stale": {"reissued", "voided"},
    "reissued": set[str](),
    "voided": set[str](),
}
MACHINES: dict[str, tuple[dict[str, set[str]], dict[str, Any]]] = {
    "payment_entry": (ENTRY, {"trace_number": "071000010000001"}),
    "payment_batch": (
        {
            "built": {"released", "cancelled"},
            "released": {"sent", "cancelled"},
            "sent": {"acknowledged", "rejected"},
            "acknowledged": {"settled", "rejected"},
            "settled": set(),
            "rejected": set(),
            "cancelled": set(),
        },
        {"released_at": "2026-01-13"},
    ),
    "employer_bank_account": (
        {
            "pending": {"verified", "failed", "closed"},
            "failed": {"pending", "closed"},
            "verified": {"closed"},
            "closed": set(),
        },
        {},
    ),
    "employee_bank_account": (
        {
            "pending": {"active", "rejected", "removed"},
            "active": {"rejected", "removed"},
            "rejected": {"pending", "removed"},
            "removed": set(),
        },
        {},
    ),
    "contractor_payment": (
        {
            "draft": {"approved", "voided"},
            "approved": {"paid", "draft", "voided"},
            "paid": {"voided"},
            "voided": set(),
        },
        {"paid_on": "2026-01-15"},
    ),
    "garnishment_remittance": (
        {
            "due": {"scheduled", "remitted", "late"},
            "late": {"scheduled", "remitted"},
            "scheduled": {"remitted", "returned", "late"},
            "remitted": {"returned"},
            "returned": {"scheduled", "remitted"},
        },
        {
            "amount": 50,
            "withheld_on": "2026-01-15",
            "due_on": "2026-01-20",
            "remitted_on": "2026-01-16",
        },
    ),
}


def stand(app: Connection, account: UUID, table: str, state: str) -> UUID:
    given: dict[str, Any] = {**MACHINES[table][1], "status": state}
    if table == "payment_batch":
        given["released_by"] = account
    if table == "payment_entry":
        given["payment_batch_id"] = row(
            app,
            "payroll.payment_batch",
            employer_bank_account_id=imported(app, "payroll.employer_bank_account"),
        )
    if table == "payment_batch":
        given["employer_bank_account_id"] = imported(app, "payroll.employer_bank_account")
    if table == "garnishment_remittance":
        order = row(app, "payroll.garnishment_order")
        agency = app.execute(
            "SELECT garnishment_agency_id FROM payroll.garnishment_order"
            " WHERE garnishment_order_id = %s",
            [order],
        ).fetchone()
        assert agency
        given |= {"garnishment_order_id": order, "garnishment_agency_id": agency[0]}
    return imported(app, f"payroll.{table}", **given)


def move(app: Connection, table: str, key: UUID, state: str) -> None:
    app.execute(
        sql.SQL("UPDATE payroll.{} SET status = %s WHERE {} = %s").format(
            sql.Identifier(table), sql.Identifier(f"{table}_id")
        ),
        [state, key],
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
def test_a_state_may_follow(
    app: Connection, account: UUID, table: str, before: str, after: str
) -> None:
    move(app, table, stand(app, account, table, before), after)


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [(t, b, a) for t, (m, _) in MACHINES.items() for b, a in refused(m)],
)
def test_other_states_may_not(
    app: Connection, account: UUID, table: str, before: str, after: str
) -> None:
    key = stand(app, account, table, before)
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        move(app, table, key, after)


def build(office: Company, run: UUID) -> UUID:
    key = office.one("SELECT payroll.build_ach_batch(%s)", run)
    assert isinstance(key, UUID)
    return key


def entries(office: Company, run: UUID) -> list[tuple[str, UUID | None, Decimal]]:
    return office.all(
        "SELECT b.batch_kind, e.employee_bank_account_id, e.amount FROM payroll.payment_entry AS e"
        " JOIN payroll.payment_batch AS b USING (business_id, payment_batch_id)"
        " WHERE b.pay_run_id = %s AND e.payee_kind = 'employee' ORDER BY e.amount",
        run,
    )


def deposited(office: Company) -> tuple[UUID, UUID, UUID]:
    """Somebody with one account, a run that paid them, and the deposit, settled."""
    who = office.hire(rate=78000, basis="salary")
    account = account_of(office, who)
    split(office, who, account)
    run = paid(office)
    batch = build(office, run)
    step(office, batch, "released", "sent", "acknowledged", "settled")
    entry = office.one(
        "SELECT payment_entry_id FROM payroll.payment_entry WHERE employee_bank_account_id = %s",
        account,
    )
    return run, account, entry


def test_a_batch_divides_net_pay_and_balances(office: Company) -> None:
    who = office.hire(rate=78000, basis="salary")
    checking, savings, fun = (account_of(office, who) for _ in range(3))
    split(office, who, checking)
    split(office, who, savings, split_kind="flat", amount=200)
    split(office, who, fun, split_kind="percent", percent=10, priority=999)
    run = paid(office)
    net = office.paycheck(run, who)["net_amount"]
    batch = build(office, run)
    share = (net / 10).quantize(Decimal("0.01"))
    assert {a: n for _, a, n in entries(office, run)} == {
        savings: Decimal(200),
        fun: share,
        checking: net - 200 - share,
    }
    count, credit, debit, total = office.one(
        "SELECT entry_count, total_credit_amount, total_debit_amount, entry_hash"
        " FROM payroll.payment_batch WHERE payment_batch_id = %s",
        batch,
    )
    assert (count, credit, debit) == (4, net, net)
    assert total == 3 * 2100002 + 7100001
    assert office.all("SELECT * FROM payroll.payment_differences()") == []


shares = st.lists(
    st.one_of(
        st.integers(1, 400000).map(lambda n: ("flat", Decimal(n) / 100)),
        st.integers(1, 250).map(lambda n: ("percent", Decimal(n) / 10)),
    ),
    max_size=4,
)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(parts=shares, net=st.integers(1, 900000), has_rest=st.booleans())
def test_no_cent_is_lost_between_accounts(
    office: Company, parts: list[tuple[str, Decimal]], net: int, has_rest: bool
) -> None:
    app = office.connection
    app.execute("SAVEPOINT splits")
    try:
        who = row(app, "payroll.employee")
        for turn, (kind, size) in enumerate(parts, 1):
            column = "amount" if kind == "flat" else "percent"
            split(
                office,
                who,
                account_of(office, who),
                split_kind=kind,
                priority=turn,
                **{column: size},
            )
        if has_rest:
            split(office, who, account_of(office, who), priority=9)
        amount = Decimal(net) / 100
        got = office.all(
            "SELECT employee_bank_account_id, amount"
            " FROM payroll.split_net_pay(%s, %s, '2026-01-15', now())",
            who,
            amount,
        )
        assert sum(a for _, a in got) == amount
        assert all(a > 0 for _, a in got)
        assert not (has_rest and any(key is None for key, _ in got))
    finally:
        app.execute("ROLLBACK TO SAVEPOINT splits")


def test_who_has_no_account_gets_a_check(office: Company) -> None:
    who = office.hire(rate=78000, basis="salary")
    run = paid(office)
    build(office, run)
    assert entries(office, run) == [("check", None, office.paycheck(run, who)["net_amount"])]
    stale = office.one(
        "SELECT stale_after FROM payroll.payment_entry WHERE check_number IS NOT NULL"
    )
    assert stale == date(2026, 7, 14)


@pytest.mark.parametrize("held", [True, False])
def test_a_changed_account_is_held_for_the_first_payment(office: Company, held: bool) -> None:
    who = office.hire(rate=78000, basis="salary")
    account = account_of(office, who, added_by="self_service" if held else "hr")
    split(office, who, account)
    run = paid(office)
    build(office, run)
    assert [kind for kind, *_ in entries(office, run)] == ["check" if held else "ach_credit"]
    told = office.all(
        "SELECT payload ->> 'last4' FROM system_core.outbox_event"
        " WHERE event_type = 'employee_bank_account.changed'"
    )
    assert told == ([("1234",)] if held else [])


def test_an_account_changed_in_self_service_is_prenoted(office: Company) -> None:
    who = row(office.connection, "payroll.employee")
    account = account_of(office, who, added_by="self_service")
    office.connection.execute(
        "UPDATE payroll.employee_bank_account"
        " SET risk_hold_until = NULL, prenote_status = 'cleared'"
        " WHERE employee_bank_account_id = %s",
        [account],
    )
    office.connection.execute(
        "UPDATE payroll.employee_bank_account SET account_token = 'tok_other'"
        " WHERE employee_bank_account_id = %s",
        [account],
    )
    held, prenote = office.one(
        "SELECT risk_hold_until > now(), prenote_status FROM payroll.employee_bank_account"
        " WHERE employee_bank_account_id = %s",
        account,
    )
    assert held
    assert prenote == "sent"


def test_a_run_is_paid_once(office: Company) -> None:
    deposited_run, account, _ = deposited(office)
    with pytest.raises(errors.UniqueViolation, match="is built"), office.connection.transaction():
        build(office, deposited_run)
    batch = row(
        office.connection,
        "payroll.payment_batch",
        employer_bank_account_id=office.one(
            "SELECT employer_bank_account_id FROM payroll.employer_bank_account"
        ),
    )
    paycheck = office.one("SELECT paycheck_id FROM payroll.paycheck")
    with pytest.raises(errors.CheckViolation, match="would be paid"):
        row(
            office.connection,
            "payroll.payment_entry",
            payment_batch_id=batch,
            payee_kind="employee",
            direction="credit",
            paycheck_id=paycheck,
            employee_bank_account_id=account,
            amount="0.01",
            trace_number="071000010000099",
            settlement_date=None,
        )


def test_two_build_a_batch_once(deployed: Target, copy_of: Callable[[Target], Target]) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        people = [add_account(connection, tenant, name) for name in ("ada", "boss")]
        become_app(connection, tenant)
        made = company(connection, *people)
        fund(made)
        made.hire(rate=78000, basis="salary")
        run = made.finish()

    def pay(connection: Connection, number: int) -> bool:
        try:
            connection.execute("SELECT payroll.build_ach_batch(%s)", [run])
        except errors.UniqueViolation:
            connection.rollback()
            return False
        return True

    assert sorted(at_once(target, tenant, 2, pay)) == [False, True]
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        found = connection.execute(
            "SELECT sum(e.amount) = max(p.net_amount) FROM payroll.payment_entry AS e"
            " JOIN payroll.paycheck AS p USING (business_id, paycheck_id)"
        ).fetchone()
        assert found == (True,)


def test_above_the_limit_two_people_release(office: Company) -> None:
    who = office.hire(rate=78000, basis="salary")
    split(office, who, account_of(office, who))
    batch = build(office, paid(office))
    office.connection.execute(
        "UPDATE payroll.employer_bank_account SET dual_release_over_amount = 1000"
    )
    with pytest.raises(errors.CheckViolation, match="two people"), office.connection.transaction():
        step(office, batch, "released")
    with (
        pytest.raises(errors.CheckViolation, match="released_by_two"),
        office.connection.transaction(),
    ):
        step(office, batch, "released", second=office.approver)
    step(office, batch, "released", second=office.preparer)


def test_a_day_stays_within_what_the_bank_debits(office: Company) -> None:
    who = office.hire(rate=78000, basis="salary")
    split(office, who, account_of(office, who))
    batch = build(office, paid(office))
    office.connection.execute(
        "UPDATE payroll.employer_bank_account SET daily_debit_limit_amount = 100"
    )
    with pytest.raises(errors.CheckViolation, match="at most 100"):
        step(office, batch, "released")


def test_a_released_batch_takes_no_entry(office: Company) -> None:
    who = office.hire(rate=78000, basis="salary")
    split(office, who, account_of(office, who))
    batch = build(office, paid(office))
    step(office, batch, "released")
    with pytest.raises(errors.RestrictViolation, match="do not change"):
        row(
            office.connection,
            "payroll.payment_entry",
            payment_batch_id=batch,
            trace_number="071000010000088",
        )


def bring_back(office: Company, entry: UUID, code: str, day: str, **columns: Any) -> UUID:
    amount = office.one(
        "SELECT amount FROM payroll.payment_entry WHERE payment_entry_id = %s", entry
    )
    return row(
        office.connection,
        "payroll.payment_return",
        **{
            "payment_entry_id": entry,
            "return_code": code,
            "returned_on": day,
            "amount": amount if code[0] == "R" else 0,
            "action": "reissue_check",
            **columns,
        },
    )


def states(office: Company, run: UUID, entry: UUID) -> tuple[str, str, str]:
    found = office.one(
        "SELECT e.status, p.status, r.status FROM payroll.payment_entry AS e"
        " JOIN payroll.paycheck AS p USING (business_id, paycheck_id)"
        " JOIN payroll.pay_run AS r USING (business_id, pay_run_id)"
        " WHERE e.payment_entry_id = %s AND r.pay_run_id = %s",
        entry,
        run,
    )
    assert isinstance(found, tuple)
    return found


def test_what_comes_back_is_paid_again_by_check(office: Company) -> None:
    run, account, entry = deposited(office)
    bring_back(office, entry, "R02", "2026-01-16")
    assert states(office, run, entry) == ("returned", "returned", "partially_returned")
    assert (
        office.one(
            "SELECT status FROM payroll.employee_bank_account WHERE employee_bank_account_id = %s",
            account,
        )
        == "rejected"
    )
    office.connection.execute("SELECT payroll.reissue_payment(%s, '2026-01-20')", [entry])
    assert states(office, run, entry) == ("reissued", "reissued", "paid")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="is paid again"):
        office.connection.execute("SELECT payroll.reissue_payment(%s, '2026-01-20')", [entry])


def test_a_notification_corrects_the_account(office: Company) -> None:
    run, account, entry = deposited(office)
    bring_back(office, entry, "C02", "2026-01-16", corrected_data='{"routing_number": "071000039"}')
    assert states(office, run, entry) == ("settled", "paid", "paid")
    assert (
        office.one(
            "SELECT routing_number FROM payroll.employee_bank_account"
            " WHERE employee_bank_account_id = %s",
            account,
        )
        == "071000039"
    )


@pytest.mark.parametrize(
    ("code", "day", "columns", "told"),
    [
        ("R01", "2026-01-22", {}, "comes back until"),
        ("R10", "2026-03-17", {}, "comes back until"),
        ("R01", "2026-01-14", {}, "comes back until"),
        ("R01", "2026-01-16", {"amount": 1}, "not 1"),
        ("C01", "2026-01-16", {}, "notification_corrects"),
        ("C01", "2026-01-16", {"amount": 5, "corrected_data": "{}"}, "returns_no_money"),
        ("R01", "2026-01-16", {"corrected_data": "{}"}, "notification_corrects"),
    ],
)
def test_a_return_is_whole_and_in_time(
    office: Company, code: str, day: str, columns: dict[str, Any], told: str
) -> None:
    _, _, entry = deposited(office)
    with pytest.raises(errors.CheckViolation, match=told):
        bring_back(office, entry, code, day, **columns)


def test_unauthorized_may_come_back_for_sixty_days(office: Company) -> None:
    run, _, entry = deposited(office)
    bring_back(office, entry, "R10", "2026-03-16")
    assert states(office, run, entry)[0] == "returned"


def test_a_check_nobody_cashed_goes_stale(office: Company) -> None:
    office.hire(rate=78000, basis="salary")
    run = paid(office)
    build(office, run)
    checks = office.one(
        "SELECT payment_batch_id FROM payroll.payment_batch WHERE batch_kind = 'check'"
    )
    step(office, checks, "released", "sent", "acknowledged", "settled")
    assert office.one("SELECT payroll.mark_stale_checks('2026-07-14')") == 0
    assert office.one("SELECT payroll.mark_stale_checks('2026-07-15')") == 1


def garnished(office: Company, **order: Any) -> tuple[UUID, UUID]:
    who = office.hire(rate=78000, basis="salary")
    made = office.garnish(who, withholding_amount=120, **order)
    return made, paid(office)


def test_what_is_withheld_goes_to_its_agency(office: Company) -> None:
    order, run = garnished(office)
    assert office.one("SELECT payroll.remit_garnishments(%s)", run) == 1
    assert office.one("SELECT payroll.remit_garnishments(%s)", run) == 0
    assert office.one("SELECT amount, due_on FROM payroll.garnishment_remittance") == (
        Decimal(120),
        date(2026, 1, 22),
    )
    found = "SELECT withheld_to_date_amount, remitted_amount, held_amount"
    found += " FROM payroll.v_garnishment_status WHERE garnishment_order_id = %s"
    assert office.one(found, order) == (120, 0, 120)
    office.connection.execute(
        "UPDATE payroll.garnishment_remittance SET status = 'remitted', remitted_on = '2026-01-19'"
    )
    assert office.one(found, order) == (120, 120, 0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("amount = 119", "not 119"),
        ("due_on = '2026-01-23'", "within 7 days"),
        ("status = 'remitted'", "remitted_has_date"),
        ("withheld_on = '2026-01-25'", "due_after_withholding"),
    ],
)
def test_a_remittance_is_of_its_line(office: Company, change: str, told: str) -> None:
    _, run = garnished(office)
    office.connection.execute("SELECT payroll.remit_garnishments(%s)", [run])
    with pytest.raises(errors.CheckViolation, match=told):
        office.connection.execute(f"UPDATE payroll.garnishment_remittance SET {change}".encode())


def test_backup_withholding_follows_the_rule(office: Company) -> None:
    payee = row(
        office.connection,
        "payroll.contractor",
        employer_entity_id=office.employer,
        w9_received_on=None,
        backup_withholding=True,
    )
    key = row(office.connection, "payroll.contractor_payment", contractor_id=payee, amount=1000)
    assert office.one(
        "SELECT backup_withholding_amount, net_amount FROM payroll.contractor_payment"
        " WHERE contractor_payment_id = %s",
        key,
    ) == (240, 760)


def test_nobody_is_paid_without_a_w9(office: Company) -> None:
    payee = row(office.connection, "payroll.contractor", w9_received_on=None)
    key = row(office.connection, "payroll.contractor_payment", contractor_id=payee)
    with pytest.raises(errors.CheckViolation, match="no W-9"):
        move(office.connection, "contractor_payment", key, "approved")


@pytest.mark.parametrize(
    ("number", "is_one"),
    [
        ("021000021", True),
        ("071000013", True),
        ("121000248", True),
        ("021000022", False),
        ("000000000", False),
        ("12100024", False),
        ("12100024x", False),
    ],
)
def test_a_routing_number_passes_its_checksum(app: Connection, number: str, is_one: bool) -> None:
    assert app.execute("SELECT payroll.is_routing_number(%s)", [number]).fetchone() == (is_one,)
    if not is_one:
        with pytest.raises(errors.CheckViolation, match="routes"):
            row(app, "payroll.employee_bank_account", routing_number=number, status="pending")


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("employer_bank_account", {"account_token": "123456789"}),
        ("employer_bank_account", {"is_default": True}),
        ("employer_bank_account", {"last4": "12"}),
        ("employer_bank_account", {"check_valid_days": 0}),
        ("employee_bank_account", {"account_token": "998877"}),
        ("employee_bank_account", {"prenote_status": "sent"}),
        ("contractor_payment", {"amount": 0}),
        ("contractor_payment", {"hours": 2, "rate_amount": 30, "amount": 61}),
        ("contractor_payment", {"reimbursement_amount": -1}),
    ],
)
def test_a_row_is_refused(app: Connection, table: str, columns: dict[str, Any]) -> None:
    initial = {"contractor_payment": "draft"}.get(table, "pending")
    with pytest.raises(errors.CheckViolation):
        row(app, f"payroll.{table}", **{"status": initial, **columns})


@pytest.mark.parametrize(
    "columns",
    [
        {"payee_kind": "employee", "direction": "credit"},
        {"direction": "credit"},
        {"payee_kind": "agency", "direction": "credit"},
        {"check_number": "4321-1"},
        {"trace_number": "12"},
        {"amount": 0},
        {"routing_number": "021000022"},
    ],
)
def test_an_entry_names_its_payee(office: Company, columns: dict[str, Any]) -> None:
    batch = row(
        office.connection,
        "payroll.payment_batch",
        employer_bank_account_id=office.one(
            "SELECT employer_bank_account_id FROM payroll.employer_bank_account"
        ),
    )
    with pytest.raises(errors.CheckViolation):
        row(
            office.connection,
            "payroll.payment_entry",
            **{"payment_batch_id": batch, "trace_number": "071000010000077", **columns},
        )


def test_an_entry_of_the_same_day_stays_within_the_limit(office: Company) -> None:
    batch = row(
        office.connection,
        "payroll.payment_batch",
        is_same_day=True,
        employer_bank_account_id=office.one(
            "SELECT employer_bank_account_id FROM payroll.employer_bank_account"
        ),
    )
    given: dict[str, Any] = {"payment_batch_id": batch, "trace_number": "071000010000066"}
    with pytest.raises(errors.CheckViolation, match="up to"), office.connection.transaction():
        row(office.connection, "payroll.payment_entry", amount="1000000.01", **given)
    row(office.connection, "payroll.payment_entry", amount=1000000, **given)


def test_splits_take_at_most_the_whole_pay(office: Company) -> None:
    who = row(office.connection, "payroll.employee")
    for percent in (60, 40):
        split(office, who, account_of(office, who), split_kind="percent", percent=percent)
    office.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    office.connection.execute("SET CONSTRAINTS ALL DEFERRED")
    split(office, who, account_of(office, who), split_kind="percent", percent="0.1")
    with pytest.raises(errors.CheckViolation, match="percent of the pay"):
        office.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_one_account_gets_the_rest_and_it_is_ones_own(office: Company) -> None:
    who, other = (row(office.connection, "payroll.employee") for _ in range(2))
    split(office, who, account_of(office, who))
    with pytest.raises(errors.UniqueViolation), office.connection.transaction():
        split(office, who, account_of(office, who))
    with pytest.raises(errors.ForeignKeyViolation):
        split(office, other, account_of(office, who))


def test_one_default_account_for_a_purpose(office: Company) -> None:
    first = fund(office)
    second = fund(office)
    make_default = (
        "UPDATE payroll.employer_bank_account SET is_default = true"
        " WHERE employer_bank_account_id = %s"
    )
    office.connection.execute(make_default, [first])
    assert office.one("SELECT payroll.funding_account(%s, 'payroll')", office.employer) == first
    with pytest.raises(errors.UniqueViolation):
        office.connection.execute(make_default, [second])


def test_the_proof_finds_a_batch_that_is_off(office: Company) -> None:
    deposited(office)
    office.connection.execute("RESET ROLE")
    office.connection.execute(
        "UPDATE payroll.payment_batch SET entry_hash = 1 WHERE batch_kind = 'ach_credit'"
    )
    office.connection.execute("SET LOCAL ROLE app_user")
    assert [w for w, *_ in office.all("SELECT * FROM payroll.payment_differences()")] == ["hash"]
