"""Money is taken once, applied once and given back once, whoever works at the counter and when."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_billing import (
    add_invoice,
    add_job,
    add_order,
    at_commit,
    disproved,
    imported,
    insure,
    invoice_of,
    refused,
    status_of,
)
from tests.integration.schema.test_hs_organization import one

PAYMENT = {
    "pending": ("authorized", "captured", "settled", "failed", "voided"),
    "authorized": ("captured", "failed", "voided"),
    "captured": ("settled", "failed", "voided", "charged_back"),
    "settled": ("failed", "charged_back"),
    "charged_back": ("settled",),
    "failed": (),
    "voided": (),
}


def add_payment(connection: Connection, customer: UUID, amount: int = 100, **given: Any) -> UUID:
    """Money that was captured from a card."""
    return row(connection, "auto.payment", customer_id=customer, amount=amount, **given)


def allocate(connection: Connection, payment: UUID, *invoices: UUID) -> list[Decimal]:
    """Applies a payment, to the invoices where some are named; what each got."""
    rows = connection.execute(
        "SELECT allocated_amount FROM auto.allocate_payment(%s, %s)",
        [payment, list(invoices) or None],
    ).fetchall()
    return [amount for (amount,) in rows]


def pay_by_hand(
    connection: Connection, payment: UUID, invoice: UUID, amount: int, **given: Any
) -> UUID:
    """An allocation that nobody computed."""
    return row(connection, "auto.payment_allocation", payment_id=payment, invoice_id=invoice,
               allocated_amount=amount, **given)  # fmt: skip


def left_of(connection: Connection, payment: UUID) -> Any:
    return one(
        connection, "SELECT unapplied_amount FROM auto.payment WHERE payment_id = %s", payment
    )


@pytest.fixture
def customer(app: Connection) -> UUID:
    """A customer who pays on receipt."""
    return row(app, "auto.customer")


@pytest.fixture
def invoice(app: Connection, customer: UUID) -> UUID:
    """100 are owed."""
    return add_invoice(app, customer)


@pytest.fixture
def payment(app: Connection, customer: UUID) -> UUID:
    """100 were captured."""
    return add_payment(app, customer)


def test_payments_go_to_the_oldest_first(app: Connection, customer: UUID) -> None:
    late = add_invoice(app, customer, due_on="2026-03-01")
    early = add_invoice(app, customer, due_on="2026-02-01")
    assert allocate(app, add_payment(app, customer, 130)) == [100, 30]
    assert [invoice_of(app, bill) for bill in (early, late)] == [("paid", 0), ("partly_paid", 70)]
    assert disproved(app) == []


def test_what_is_named_is_paid_in_its_order(app: Connection, customer: UUID) -> None:
    bills = [add_invoice(app, customer, due_on=f"2026-0{m}-01") for m in (1, 2, 3)]
    allocate(app, add_payment(app, customer, 130), bills[2], bills[0])
    assert [invoice_of(app, bill)[1] for bill in bills] == [70, 100, 0]


@pytest.mark.parametrize("payer", ["insurance", "warranty", "internal"])
def test_money_of_a_customer_pays_no_bill_of_another_unless_it_is_named(
    app: Connection, customer: UUID, payment: UUID, payer: str
) -> None:
    claim = imported(app, "auto.insurance_claim") if payer == "insurance" else None
    bill = add_invoice(app, customer, payer_kind=payer, insurance_claim_id=claim)
    assert allocate(app, payment) == []
    assert allocate(app, payment, bill) == [100]


def test_what_is_beyond_the_invoices_stays_on_account(
    app: Connection, customer: UUID, invoice: UUID
) -> None:
    money = add_payment(app, customer, 150)
    assert allocate(app, money) == [100]
    assert (left_of(app, money), allocate(app, money)) == (50, [])
    assert disproved(app) == []


@pytest.mark.parametrize("status", ["pending", "authorized"])
def test_only_money_that_is_there_is_applied(
    app: Connection, customer: UUID, invoice: UUID, status: str
) -> None:
    money = add_payment(app, customer, status=status)
    with pytest.raises(errors.CheckViolation, match=f"that is {status}: there is no money"):
        allocate(app, money)


def test_a_write_off_is_no_money(app: Connection, payment: UUID) -> None:
    with pytest.raises(errors.InvalidParameterValue, match="a write-off is not money"):
        app.execute("SELECT auto.allocate_payment(%s, NULL, 'write_off')", [payment])


def test_there_must_be_a_payment(app: Connection, tenant: UUID) -> None:
    with pytest.raises(errors.NoDataFound, match="there is no payment"):
        allocate(app, tenant)


def test_only_invoices_of_the_payer_are_named(app: Connection, payment: UUID) -> None:
    other = add_invoice(app, row(app, "auto.customer"))
    with pytest.raises(errors.NoDataFound, match="was not issued to the payer"):
        allocate(app, payment, other)


def test_nobody_pays_for_another_customer(app: Connection, payment: UUID) -> None:
    other = add_invoice(app, row(app, "auto.customer"))
    with pytest.raises(errors.CheckViolation, match="are of different customers"):
        pay_by_hand(app, payment, other, 10)


def test_no_more_is_paid_than_was_asked(app: Connection, customer: UUID, invoice: UUID) -> None:
    pay_by_hand(app, add_payment(app, customer, 200), invoice, 150)
    with pytest.raises(errors.CheckViolation, match=r"would be paid 50.00 more than it asks for"):
        at_commit(app)


def test_no_more_is_applied_than_there_is(app: Connection, customer: UUID, payment: UUID) -> None:
    pay_by_hand(app, payment, add_invoice(app, customer, 200), 150)
    with pytest.raises(errors.CheckViolation, match=r"applied and refunded 50.00 more"):
        at_commit(app)


def test_money_is_moved_within_a_transaction(
    app: Connection, customer: UUID, invoice: UUID, payment: UUID
) -> None:
    allocate(app, payment)
    other = add_invoice(app, customer)
    pay_by_hand(app, payment, other, 100)
    app.execute(
        "UPDATE auto.payment_allocation SET reversed_at = now(), reversal_reason = 'moved'"
        " WHERE invoice_id = %s",
        [invoice],
    )
    at_commit(app)
    assert [invoice_of(app, bill)[0] for bill in (invoice, other)] == ["issued", "paid"]
    assert disproved(app) == []


@pytest.mark.parametrize("table", ["invoice", "payment"])
def test_what_waits_for_the_commit_is_not_escaped_by_changing_the_tenant(
    app: Connection, customer: UUID, table: str
) -> None:
    asked, paid = (100, 200) if table == "invoice" else (200, 100)
    pay_by_hand(app, add_payment(app, customer, paid), add_invoice(app, customer, asked), 150)
    app.execute("SELECT tenant_mgmt.set_tenant(gen_random_uuid())")
    with pytest.raises(errors.CheckViolation, match=f"the tenant changed before the {table}"):
        at_commit(app)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE auto.payment_allocation SET allocated_amount = 1",
        "UPDATE auto.payment_allocation SET allocation_kind = 'write_off'",
        "DELETE FROM auto.payment_allocation",
    ],
)
def test_an_allocation_stays_on_record(
    app: Connection, invoice: UUID, payment: UUID, change: str
) -> None:
    allocate(app, payment)
    with pytest.raises(errors.RestrictViolation, match="reversed, not changed"):
        app.execute(change.encode())


def test_a_reversal_is_final(app: Connection, invoice: UUID, payment: UUID) -> None:
    allocate(app, payment)
    app.execute("UPDATE auto.payment_allocation SET reversed_at = now(), reversal_reason = 'wrong'")
    with pytest.raises(errors.RestrictViolation, match="reversed, not changed"):
        app.execute("UPDATE auto.payment_allocation SET reversed_at = NULL, reversal_reason = NULL")


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"allocated_amount": 0}, "amount_positive"),
        ({"reversed_at": "2199-01-01"}, "reversal_has_reason"),
        ({"reversal_reason": "wrong"}, "reversal_has_reason"),
        (
            {"reversed_at": "2020-01-01", "reversal_reason": "wrong"},
            "reversed_after_allocation",
        ),
    ],
)
def test_an_allocation_is_whole(
    app: Connection, invoice: UUID, payment: UUID, given: dict[str, Any], truth: str
) -> None:
    usual = {"payment_id": payment, "invoice_id": invoice, "allocated_amount": 10}
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "auto.payment_allocation", **{**usual, **given})


def test_a_write_off_takes_from_the_invoice_alone(
    app: Connection, customer: UUID, invoice: UUID
) -> None:
    money = add_payment(app, customer, 99)
    allocate(app, money)
    pay_by_hand(app, money, invoice, 1, allocation_kind="write_off")
    at_commit(app)
    assert (invoice_of(app, invoice), left_of(app, money)) == (("paid", 0), 0)
    assert one(app, "SELECT (paid_amount, written_off_amount)::text FROM auto.invoice") == (
        "(99.00,1.00)"
    )
    assert disproved(app) == []


@pytest.mark.parametrize("status", ["failed", "voided", "charged_back"])
def test_money_that_is_lost_pays_nothing(
    app: Connection, invoice: UUID, payment: UUID, status: str
) -> None:
    allocate(app, payment)
    app.execute("UPDATE auto.payment SET status = %s", [status])
    at_commit(app)
    assert (invoice_of(app, invoice), left_of(app, payment)) == (("issued", 100), 0)
    reason = "SELECT reversal_reason FROM auto.payment_allocation"
    assert one(app, reason) == status.replace("_", " ")
    assert one(app, "SELECT open_balance FROM auto.customer") == 100
    assert disproved(app) == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE auto.payment SET amount = 1",
        "UPDATE auto.payment SET payment_number = 'P9'",
        "UPDATE auto.payment SET idempotency_ref = 'other'",
        "DELETE FROM auto.payment",
    ],
)
def test_a_payment_stays_as_it_was_taken(app: Connection, payment: UUID, change: str) -> None:
    with pytest.raises(errors.RestrictViolation, match="was taken: what it says stays"):
        app.execute(change.encode())


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"amount": 0}, "amount_positive"),
        ({"processing_fee_amount": 101}, "fees_bounded"),
        ({"direction": "refund"}, "refund_names_payment"),
        ({"method": "insurer_check"}, "insurer_check_names_insurer"),
        ({"paid_at": None}, "taken_has_time"),
        ({"status": "settled"}, "settled_has_day"),
        ({"card_last4": "42"}, "card_shows_last_four"),
        ({"method": "cash", "card_last4": "4242"}, "card_facts_of_cards"),
        ({"idempotency_ref": " "}, "key_given"),
    ],
)
def test_a_payment_is_whole(
    app: Connection, customer: UUID, given: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        add_payment(app, customer, **given)


@pytest.mark.parametrize(("before", "after"), refused(PAYMENT))
def test_a_payment_moves_only_as_its_machine_says(
    app: Connection, customer: UUID, before: str, after: str
) -> None:
    imported(app, "auto.payment", customer_id=customer, status=before, settled_on="2026-05-05")
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        app.execute("UPDATE auto.payment SET status = %s", [after])


@pytest.mark.parametrize(
    ("before", "after"), [(b, a) for b, allowed in PAYMENT.items() for a in allowed]
)
def test_a_payment_moves_as_its_machine_says(
    app: Connection, customer: UUID, before: str, after: str
) -> None:
    imported(app, "auto.payment", customer_id=customer, status=before, settled_on="2026-05-05")
    app.execute("UPDATE auto.payment SET status = %s", [after])
    assert one(app, "SELECT status FROM auto.payment") == after


def refund(connection: Connection, payment: UUID, amount: int, **given: Any) -> UUID:
    """Money of a payment that goes back to its customer."""
    customer = one(connection, "SELECT customer_id FROM auto.payment WHERE payment_id = %s",
                   payment)  # fmt: skip
    return row(connection, "auto.payment", refund_of_payment_id=payment, direction="refund",
               amount=amount, **{"customer_id": customer, **given})  # fmt: skip


def test_a_refund_takes_what_the_payment_has_left(app: Connection, payment: UUID) -> None:
    refund(app, payment, 60)
    at_commit(app)
    assert left_of(app, payment) == 40
    refund(app, payment, 50)
    with pytest.raises(errors.CheckViolation, match=r"applied and refunded 10.00 more"):
        at_commit(app)


def test_a_refund_is_not_taken_from_what_is_applied(
    app: Connection, invoice: UUID, payment: UUID
) -> None:
    allocate(app, payment)
    refund(app, payment, 10)
    with pytest.raises(errors.CheckViolation, match=r"applied and refunded 10.00 more"):
        at_commit(app)


@pytest.mark.parametrize("status", ["failed", "voided"])
def test_a_refund_that_fails_makes_room(app: Connection, payment: UUID, status: str) -> None:
    back = refund(app, payment, 100, status="pending")
    assert left_of(app, payment) == 0
    app.execute("UPDATE auto.payment SET status = %s WHERE payment_id = %s", [status, back])
    assert left_of(app, payment) == 100
    assert disproved(app) == []


def test_a_refund_is_of_a_payment_of_its_customer(app: Connection, payment: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="of another customer"):
        refund(app, payment, 10, customer_id=row(app, "auto.customer"))


def test_a_refund_is_not_refunded(app: Connection, payment: UUID) -> None:
    back = refund(app, payment, 60)
    with pytest.raises(errors.CheckViolation):
        refund(app, back, 10)


def test_a_refund_pays_no_invoice(app: Connection, invoice: UUID, payment: UUID) -> None:
    back = refund(app, payment, 60)
    with pytest.raises(errors.CheckViolation, match="a refund that is captured"):
        allocate(app, back)


def pay(
    connection: Connection, order: UUID, key: str = "K1", method: str = "card", **given: Any
) -> Any:
    """Invoices an order and takes money; what the counter is told."""
    amount = given.get("amount")
    return connection.execute(
        "SELECT order_status, paid_amount, unapplied_amount, open_balance"
        " FROM auto.invoice_and_pay(%s, %s, %s, %s)",
        [order, method, key, amount],
    ).fetchone()


@pytest.fixture
def order(app: Connection) -> UUID:
    """An order for 200 that is ready for pickup."""
    shop = row(app, "auto.shop", labor_tax_mode="untaxed", shop_supplies_pct=0)
    found = add_order(app, shop_id=shop)
    add_job(app, found)
    return found


def test_a_card_at_the_counter_closes_the_order(app: Connection, order: UUID) -> None:
    assert pay(app, order) == ("closed", 200, 0, 0)
    at_commit(app)
    assert disproved(app) == []


def test_a_key_takes_money_once(app: Connection, order: UUID) -> None:
    assert pay(app, order) == pay(app, order)
    assert one(app, "SELECT count(*) FROM auto.payment") == 1


@pytest.mark.parametrize(("method", "amount"), [("cash", None), ("card", 10)])
def test_a_key_is_of_one_payment(
    app: Connection, order: UUID, method: str, amount: int | None
) -> None:
    pay(app, order)
    with pytest.raises(errors.UniqueViolation, match="with key K1 and says something else"):
        pay(app, order, method=method, amount=amount)


def test_a_part_of_it_leaves_the_order_invoiced(app: Connection, order: UUID) -> None:
    assert pay(app, order, amount=50) == ("invoiced", 50, 0, 150)
    assert pay(app, order, "K2", amount=170) == ("closed", 150, 20, 0)
    assert pay(app, order, "K3", amount=10) == ("closed", 0, 10, 0)
    assert disproved(app) == []


def test_nothing_is_taken_where_nothing_is_owed(app: Connection, order: UUID) -> None:
    pay(app, order)
    assert pay(app, order, "K2") == ("closed", None, None, 0)


@pytest.mark.parametrize("method", ["ach", "financing"])
def test_a_transfer_is_applied_when_it_arrives(app: Connection, order: UUID, method: str) -> None:
    assert pay(app, order, method=method) == ("invoiced", 0, 0, 200)
    app.execute("UPDATE auto.payment SET status = 'captured'")
    allocate(app, one(app, "SELECT payment_id FROM auto.payment"))
    assert status_of(app, order) == "closed"


def test_the_customer_does_not_pay_for_the_insurer(app: Connection, order: UUID) -> None:
    insure(app, order, 50)
    add_job(app, order, "insurance")
    assert pay(app, order) == ("invoiced", 250, 0, 150)


def test_an_order_is_paid_when_it_is_ready(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="is in_progress: it is paid when"):
        pay(app, add_order(app, "in_progress"))


def test_there_must_be_an_order(app: Connection, tenant: UUID) -> None:
    with pytest.raises(errors.NoDataFound, match="no repair order"):
        pay(app, tenant)


def test_an_order_is_closed_by_the_last_of_its_payers(app: Connection, customer: UUID) -> None:
    visit = add_order(app, "invoiced", customer_id=customer)
    bills = [add_invoice(app, customer, repair_order_id=visit) for _ in range(3)]
    money = add_payment(app, customer, 300)
    allocate(app, money, bills[0])
    assert status_of(app, visit) == "invoiced"
    app.execute("UPDATE auto.invoice SET status = 'written_off' WHERE invoice_id = %s", [bills[1]])
    assert status_of(app, visit) == "invoiced"
    allocate(app, money, bills[2])
    assert status_of(app, visit) == "closed"


CASHIERS = 6


@pytest.fixture
def desk(deployed: Target, copy_of: Callable[[Target], Target]) -> tuple[Target, UUID, UUID]:
    """A committed customer in a database of its own, for cashiers who work at once."""
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "desk")
        become_app(connection, tenant)
        customer = row(connection, "auto.customer")
    return target, tenant, customer


def test_one_invoice_is_not_paid_twice_however_many_pay(
    desk: tuple[Target, UUID, UUID],
) -> None:
    target, tenant, customer = desk
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        bill = add_invoice(connection, customer)
        money = [add_payment(connection, customer, 30) for _ in range(CASHIERS)]
    got = at_once(target, tenant, CASHIERS, lambda c, n: sum(allocate(c, money[n])))
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert (sum(got), invoice_of(connection, bill)) == (100, ("paid", 0))
        assert one(connection, "SELECT sum(unapplied_amount) FROM auto.payment") == 80
        assert disproved(connection) == []


def test_one_payment_is_not_applied_twice_however_many_apply_it(
    desk: tuple[Target, UUID, UUID],
) -> None:
    target, tenant, customer = desk
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        bills = [add_invoice(connection, customer, 40) for _ in range(CASHIERS)]
        money = add_payment(connection, customer)
    got = at_once(target, tenant, CASHIERS, lambda c, n: sum(allocate(c, money, bills[n])))
    assert sorted(got, reverse=True) == [40, 40, 20, 0, 0, 0]
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert left_of(connection, money) == 0
        assert disproved(connection) == []


def test_sums_are_not_lost_where_rows_are_written_by_hand(
    desk: tuple[Target, UUID, UUID],
) -> None:
    target, tenant, customer = desk
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        bill = add_invoice(connection, customer)
        money = [add_payment(connection, customer, 10) for _ in range(CASHIERS)]
    at_once(target, tenant, CASHIERS, lambda c, n: pay_by_hand(c, money[n], bill, 10))
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert invoice_of(connection, bill) == ("partly_paid", 40)
        assert disproved(connection) == []


def test_an_order_is_billed_and_paid_once_however_many_counters_try(
    desk: tuple[Target, UUID, UUID],
) -> None:
    target, tenant, customer = desk
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        shop = row(connection, "auto.shop", labor_tax_mode="untaxed", shop_supplies_pct=0)
        visit = add_order(connection, customer_id=customer, shop_id=shop)
        add_job(connection, visit)
    got = at_once(target, tenant, CASHIERS, lambda c, n: pay(c, visit, f"K{n % 2}"))
    assert {told[0] for told in got} == {"closed"}
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert one(connection, "SELECT sum(amount) FROM auto.payment") == 200
        assert one(connection, "SELECT count(*) FROM auto.invoice") == 1
        assert disproved(connection) == []


def test_the_last_of_two_payers_who_pay_at_once_closes_the_order(
    desk: tuple[Target, UUID, UUID],
) -> None:
    target, tenant, customer = desk
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        visit = add_order(connection, "invoiced", customer_id=customer)
        payers = [row(connection, "auto.customer") for _ in range(CASHIERS)]
        bills = [add_invoice(connection, p, repair_order_id=visit) for p in payers]
        money = [add_payment(connection, p) for p in payers]
    at_once(target, tenant, CASHIERS, lambda c, n: allocate(c, money[n], bills[n]))
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert status_of(connection, visit) == "closed"
