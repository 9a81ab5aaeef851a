"""What is owed is what was billed less what was paid and credited, whoever writes and however."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.states import refused
from tests.integration.schema.test_hs_estimates import tax_location
from tests.integration.schema.test_hs_organization import one
from tests.integration.schema.test_hs_pricebook import add, add_customer
from tests.integration.schema.test_hs_work_orders import bring

INVOICE = {
    "draft": ("issued", "void"),
    "issued": ("partially_paid", "paid", "overdue", "written_off", "void"),
    "partially_paid": ("issued", "paid", "overdue", "written_off", "void"),
    "overdue": ("issued", "partially_paid", "paid", "written_off", "void"),
    "paid": ("issued", "partially_paid", "overdue", "void"),
    "written_off": ("issued", "partially_paid", "paid", "overdue"),
    "void": (),
}
PAYMENT = {
    "pending": ("authorized", "captured", "settled", "failed"),
    "authorized": ("captured", "failed"),
    "captured": ("settled", "failed", "refunded", "charged_back"),
    "settled": ("failed", "refunded", "charged_back"),
    "refunded": ("settled",),
    "charged_back": ("settled",),
    "failed": (),
}
REFUND = {
    "requested": ("approved", "declined"),
    "approved": ("processed", "failed"),
    "failed": ("approved",),
    "processed": (),
    "declined": (),
}
CREDIT_MEMO = {
    "open": ("applied", "expired", "void"),
    "applied": ("open",),
    "expired": (),
    "void": (),
}


def add_invoice(
    connection: Connection,
    customer: UUID,
    number: str = "I1",
    amount: int = 100,
    due: str = "2026-01-31",
    **given: Any,
) -> UUID:
    """An issued invoice of one line."""
    columns = {"invoice_kind": "deposit", "currency_code": "USD", **given}
    found = add(connection, "invoice", customer_id=customer, invoice_number=number, **columns)
    add(connection, "invoice_line", invoice_id=found, line_no=1, description="Work",
        unit_price=amount)  # fmt: skip
    connection.execute(
        "UPDATE hs.invoice SET status = 'issued', invoice_on = '2026-01-01', due_on = %s"
        " WHERE invoice_id = %s",
        [due, found],
    )
    return found


def add_payment(
    connection: Connection, customer: UUID, amount: int = 100, number: str = "P1", **given: Any
) -> UUID:
    """Money that was captured from a card."""
    columns = {"status": "captured", "currency_code": "USD", **given}
    return add(
        connection,
        "payment",
        customer_id=customer,
        payment_number=number,
        paid_amount=amount,
        **columns,
    )


def allocate(connection: Connection, payment: UUID, *invoices: UUID) -> list[Decimal]:
    """Applies a payment, to the invoices where some are named; what each got."""
    given = ["named", list(invoices)] if invoices else ["oldest_first", None]
    rows = connection.execute(
        "SELECT allocated_amount FROM hs.allocate_payment(%s, %s, %s)", [payment, *given]
    ).fetchall()
    return [amount for (amount,) in rows]


def invoice_of(connection: Connection, invoice: UUID) -> Any:
    """Its status and what is open."""
    return connection.execute(
        "SELECT status, open_balance FROM hs.invoice WHERE invoice_id = %s", [invoice]
    ).fetchone()


def left_of(connection: Connection, payment: UUID) -> Any:
    return one(connection, "SELECT unapplied_amount FROM hs.payment WHERE payment_id = %s", payment)


def disproved(connection: Connection) -> list[Any]:
    """What hs.reconcile_receivables() names."""
    return connection.execute(
        "SELECT document_number, figure, recorded, proven FROM hs.reconcile_receivables()"
        " ORDER BY document_number, figure"
    ).fetchall()


def at_commit(connection: Connection) -> None:
    """What is looked at when a transaction commits."""
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    connection.execute("SET CONSTRAINTS ALL DEFERRED")


@pytest.fixture
def customer(app: Connection) -> UUID:
    """A customer who pays on receipt."""
    return add_customer(app)


@pytest.fixture
def invoice(app: Connection, customer: UUID) -> UUID:
    """100 are owed."""
    return add_invoice(app, customer)


@pytest.fixture
def payment(app: Connection, customer: UUID) -> UUID:
    """100 were captured."""
    return add_payment(app, customer)


def test_an_invoice_totals_its_lines(app: Connection, customer: UUID) -> None:
    bill = add(app, "invoice", customer_id=customer, invoice_number="I1", invoice_kind="deposit",
               currency_code="USD")  # fmt: skip
    app.execute(
        "INSERT INTO hs.invoice_line (business_id, invoice_id, line_no, description, line_qty,"
        " unit_price, discount_amount, tax_pct, tax_amount) SELECT business_id, invoice_id, 1,"
        " 'Parts', 3, 10.005, 5, 8, 2.00 FROM hs.invoice"
    )
    row = "SELECT subtotal_amount, discount_amount, tax_amount, total_amount FROM hs.invoice"
    assert app.execute(row.encode()).fetchone() == (Decimal("30.02"), 5, 2, Decimal("27.02"))
    assert invoice_of(app, bill) == ("draft", 0), "nothing is owed on a draft"
    app.execute("DELETE FROM hs.invoice_line")
    assert app.execute(row.encode()).fetchone() == (0, 0, 0, 0)


def test_the_tax_of_a_line_follows_its_rate(app: Connection, invoice: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="tax_follows_rate"):
        add(app, "invoice_line", invoice_id=invoice, line_no=2, description="Parts",
            unit_price=100, tax_pct=8, tax_amount=9)  # fmt: skip


def test_what_is_covered_costs_nothing(app: Connection, invoice: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="covered_costs_nothing"):
        add(app, "invoice_line", invoice_id=invoice, line_no=2, description="Parts",
            unit_price=100, coverage="warranty")  # fmt: skip


def test_the_terms_of_the_customer_say_when_it_is_due(app: Connection) -> None:
    customer = add_customer(app, payment_terms_days=30)
    bill = add(app, "invoice", customer_id=customer, invoice_number="I1", invoice_kind="deposit",
               currency_code="USD")  # fmt: skip
    add(app, "invoice_line", invoice_id=bill, line_no=1, description="Work", unit_price=1)
    app.execute("UPDATE hs.invoice SET status = 'issued'")
    assert one(
        app,
        "SELECT (invoice_on = tenant_mgmt.today(), due_on - invoice_on)::text FROM hs.invoice",
    )
    assert one(app, "SELECT due_on - tenant_mgmt.today() FROM hs.invoice") == 30


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE hs.invoice SET due_on = due_on + 1",
        "UPDATE hs.invoice SET subtotal_amount = 1",
        "UPDATE hs.invoice SET invoice_number = 'I9'",
        "DELETE FROM hs.invoice",
    ],
)
def test_an_issued_invoice_is_frozen(app: Connection, invoice: UUID, change: str) -> None:
    with pytest.raises(errors.RestrictViolation, match="what it says stays"):
        app.execute(change.encode())


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE hs.invoice_line SET unit_price = 1",
        "DELETE FROM hs.invoice_line",
        "INSERT INTO hs.invoice_line (business_id, invoice_id, line_no, description)"
        " SELECT business_id, invoice_id, 2, 'More' FROM hs.invoice",
    ],
)
def test_the_lines_of_an_issued_invoice_are_frozen(
    app: Connection, invoice: UUID, change: str
) -> None:
    with pytest.raises(errors.RestrictViolation, match="lines of an issued invoice"):
        app.execute(change.encode())


def test_a_draft_may_still_change(app: Connection, customer: UUID) -> None:
    bill = add(app, "invoice", customer_id=customer, invoice_number="I1", invoice_kind="deposit",
               currency_code="USD")  # fmt: skip
    add(app, "invoice_line", invoice_id=bill, line_no=1, description="Work", unit_price=1)
    app.execute("UPDATE hs.invoice_line SET unit_price = 2")
    app.execute("DELETE FROM hs.invoice")
    assert disproved(app) == []


def test_payments_go_to_the_oldest_first(app: Connection, customer: UUID) -> None:
    later = add_invoice(app, customer, "I1", 80, "2026-03-01")
    first = add_invoice(app, customer, "I2", 50, "2026-02-01")
    money = add_payment(app, customer, 100)
    assert allocate(app, money) == [50, 50]
    assert invoice_of(app, first) == ("paid", 0)
    assert invoice_of(app, later) == ("partially_paid", 30)
    assert left_of(app, money) == 0
    assert disproved(app) == []


def test_what_is_named_is_paid_in_its_order(app: Connection, customer: UUID) -> None:
    first = add_invoice(app, customer, "I1", 80, "2026-02-01")
    later = add_invoice(app, customer, "I2", 50, "2026-03-01")
    assert allocate(app, add_payment(app, customer, 100), later, first) == [50, 50]
    assert invoice_of(app, first) == ("partially_paid", 30)


def test_what_is_beyond_the_invoices_stays_on_account(
    app: Connection, customer: UUID, invoice: UUID
) -> None:
    money = add_payment(app, customer, 130)
    assert allocate(app, money) == [100]
    assert left_of(app, money) == 30
    assert one(app, "SELECT open_balance FROM hs.customer") == -30
    assert allocate(app, money) == [], "nothing is open"
    assert disproved(app) == []


def test_money_is_applied_again_after_a_reversal(
    app: Connection, invoice: UUID, payment: UUID
) -> None:
    allocate(app, payment)
    app.execute("UPDATE hs.payment_allocation SET reversed_at = now(), reversal_reason = 'wrong'")
    assert (invoice_of(app, invoice), left_of(app, payment)) == (("issued", 100), 100)
    assert allocate(app, payment, invoice) == [100]
    found = "SELECT array_agg(allocation_seq ORDER BY 1) FROM hs.payment_allocation"
    assert one(app, found) == [1, 2]
    assert disproved(app) == []


@pytest.mark.parametrize(
    ("strategy", "named"),
    [("newest_first", None), ("named", None), ("named", []), ("oldest_first", [uuid4()])],
)
def test_a_strategy_is_one_of_two(
    app: Connection, payment: UUID, strategy: str, named: list[UUID] | None
) -> None:
    with pytest.raises(errors.InvalidParameterValue, match="oldest first, or to invoices"):
        app.execute("SELECT hs.allocate_payment(%s, %s, %s)", [payment, strategy, named])


def test_only_money_that_is_there_is_applied(
    app: Connection, customer: UUID, invoice: UUID
) -> None:
    awaited = add_payment(app, customer, status="pending")
    with pytest.raises(errors.CheckViolation, match="there is no money to allocate"):
        allocate(app, awaited)


def test_there_must_be_a_payment(app: Connection, customer: UUID) -> None:
    with pytest.raises(errors.NoDataFound, match="there is no payment"):
        allocate(app, uuid4())


def test_only_invoices_of_the_payer_are_named(
    app: Connection, payment: UUID, customer: UUID
) -> None:
    other = add_invoice(app, add_customer(app, "C2"), "I2")
    with pytest.raises(errors.NoDataFound, match="was not issued to the payer"):
        allocate(app, payment, other)


def pay_by_hand(
    connection: Connection, payment: UUID, invoice: UUID, amount: int, **given: Any
) -> UUID:
    return add(
        connection,
        "payment_allocation",
        payment_id=payment,
        invoice_id=invoice,
        allocated_amount=amount,
        **given,
    )


def test_nobody_pays_for_another_customer(app: Connection, payment: UUID, customer: UUID) -> None:
    other = add_invoice(app, add_customer(app, "C2"), "I2")
    with pytest.raises(errors.CheckViolation, match="different customers or currencies"):
        pay_by_hand(app, payment, other, 10)


def test_an_invoice_is_paid_in_its_currency(app: Connection, customer: UUID, invoice: UUID) -> None:
    euros = add_payment(app, customer, currency_code="EUR")
    assert allocate(app, euros) == []
    with pytest.raises(errors.CheckViolation, match="different customers or currencies"):
        pay_by_hand(app, euros, invoice, 10)


def test_no_more_is_paid_than_was_asked(app: Connection, customer: UUID, invoice: UUID) -> None:
    pay_by_hand(app, add_payment(app, customer, 200), invoice, 101)
    with pytest.raises(errors.CheckViolation, match=r"I1 would be paid and credited 1\.00 more"):
        at_commit(app)


def test_no_more_is_applied_than_there_is(app: Connection, customer: UUID, payment: UUID) -> None:
    pay_by_hand(app, payment, add_invoice(app, customer, amount=500), 101)
    with pytest.raises(errors.CheckViolation, match=r"P1 would be applied and refunded 1\.00 more"):
        at_commit(app)


def test_money_is_moved_within_a_transaction(
    app: Connection, customer: UUID, invoice: UUID, payment: UUID
) -> None:
    allocate(app, payment)
    pay_by_hand(app, payment, add_invoice(app, customer, "I2"), 100)
    assert left_of(app, payment) == -100
    app.execute(
        "UPDATE hs.payment_allocation SET reversed_at = now(), reversal_reason = 'moved'"
        " WHERE invoice_id = %s",
        [invoice],
    )
    at_commit(app)
    assert disproved(app) == []


@pytest.mark.parametrize("table", ["invoice", "payment"])
def test_what_waits_for_the_commit_is_not_escaped_by_changing_the_tenant(
    app: Connection, customer: UUID, table: str
) -> None:
    asked, paid = (100, 200) if table == "invoice" else (200, 100)
    bill = add_invoice(app, customer, amount=asked)
    pay_by_hand(app, add_payment(app, customer, paid), bill, 150)
    app.execute("SELECT tenant_mgmt.set_tenant(gen_random_uuid())")
    with pytest.raises(errors.CheckViolation, match=f"the tenant changed before the {table}"):
        at_commit(app)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE hs.payment_allocation SET allocated_amount = 1",
        "UPDATE hs.payment_allocation SET allocation_kind = 'write_off'",
        "DELETE FROM hs.payment_allocation",
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
    app.execute("UPDATE hs.payment_allocation SET reversed_at = now(), reversal_reason = 'wrong'")
    with pytest.raises(errors.RestrictViolation, match="reversed, not changed"):
        app.execute("UPDATE hs.payment_allocation SET reversed_at = NULL, reversal_reason = NULL")


@pytest.mark.parametrize("kind", ["discount", "write_off"])
def test_a_grant_takes_from_the_invoice_alone(
    app: Connection, customer: UUID, invoice: UUID, kind: str
) -> None:
    money = add_payment(app, customer, 99)
    allocate(app, money)
    pay_by_hand(app, money, invoice, 1, allocation_kind=kind, allocation_seq=2)
    at_commit(app)
    assert (invoice_of(app, invoice), left_of(app, money)) == (("paid", 0), 0)
    assert one(app, "SELECT (paid_amount, credited_amount)::text FROM hs.invoice") == "(99.00,1.00)"
    assert disproved(app) == []


@pytest.mark.parametrize("status", ["failed", "charged_back"])
def test_money_that_is_lost_pays_nothing(
    app: Connection, invoice: UUID, payment: UUID, status: str
) -> None:
    allocate(app, payment)
    assert one(app, "SELECT paid_at IS NOT NULL FROM hs.invoice")
    app.execute("UPDATE hs.payment SET status = %s", [status])
    at_commit(app)
    assert (invoice_of(app, invoice), left_of(app, payment)) == (("issued", 100), 0)
    reason = "SELECT reversal_reason FROM hs.payment_allocation"
    assert one(app, reason) == status.replace("_", " ")
    assert one(app, "SELECT open_balance FROM hs.customer") == 100
    assert disproved(app) == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE hs.payment SET paid_amount = 1",
        "UPDATE hs.payment SET customer_id = customer_id, payment_number = 'P9'",
        "DELETE FROM hs.payment",
    ],
)
def test_a_payment_stays_as_it_was_taken(app: Connection, payment: UUID, change: str) -> None:
    with pytest.raises(errors.RestrictViolation, match="what it says stays"):
        app.execute(change.encode())


def ask_back(connection: Connection, payment: UUID, amount: int | Decimal, **given: Any) -> UUID:
    columns = {"refund_number": "R1", "reason": "quality", **given}
    return add(connection, "refund", payment_id=payment, refund_amount=amount, **columns)


def process(connection: Connection) -> None:
    connection.execute("UPDATE hs.refund SET status = 'approved' WHERE status = 'requested'")
    connection.execute("UPDATE hs.refund SET status = 'processed' WHERE status = 'approved'")


def test_a_refund_takes_what_the_payment_has_left(
    app: Connection, customer: UUID, invoice: UUID
) -> None:
    money = add_payment(app, customer, 150)
    allocate(app, money)
    ask_back(app, money, 50)
    assert left_of(app, money) == 50, "a request takes nothing yet"
    process(app)
    at_commit(app)
    assert (invoice_of(app, invoice), left_of(app, money)) == (("paid", 0), 0)
    assert disproved(app) == []


def test_a_refund_that_names_an_invoice_opens_it(
    app: Connection, invoice: UUID, payment: UUID
) -> None:
    allocate(app, payment)
    ask_back(app, payment, 40, invoice_id=invoice)
    process(app)
    assert (invoice_of(app, invoice), left_of(app, payment)) == (("partially_paid", 40), 0)
    assert one(app, "SELECT approved_at IS NOT NULL AND processed_at >= approved_at FROM hs.refund")
    assert disproved(app) == []


def test_a_refund_is_not_taken_from_what_is_applied(
    app: Connection, invoice: UUID, payment: UUID
) -> None:
    allocate(app, payment)
    ask_back(app, payment, 10)
    process(app)
    with pytest.raises(errors.CheckViolation, match=r"applied and refunded 10\.00 more"):
        at_commit(app)


def test_a_payment_that_went_back_whole_is_refunded(app: Connection, payment: UUID) -> None:
    ask_back(app, payment, 100)
    process(app)
    assert one(app, "SELECT status FROM hs.payment") == "refunded"


def test_refunds_do_not_exceed_the_payment(app: Connection, payment: UUID) -> None:
    ask_back(app, payment, 60)
    with pytest.raises(errors.CheckViolation, match=r"refunds of 100\.01 exceed payment P1"):
        ask_back(app, payment, Decimal("40.01"), refund_number="R2")


def test_a_declined_refund_makes_room(app: Connection, payment: UUID) -> None:
    ask_back(app, payment, 60)
    app.execute("UPDATE hs.refund SET status = 'declined'")
    ask_back(app, payment, 100, refund_number="R2")


def test_no_more_goes_back_of_an_invoice_than_was_paid_of_it(
    app: Connection, customer: UUID, invoice: UUID
) -> None:
    money = add_payment(app, customer, 300)
    pay_by_hand(app, money, invoice, 50)
    pay_by_hand(app, money, add_invoice(app, customer, "I2"), 100)
    ask_back(app, money, 51, invoice_id=invoice)
    with pytest.raises(errors.CheckViolation, match="of payment P1 than it paid of invoice I1"):
        process(app)


def test_nothing_goes_back_of_money_that_never_came(app: Connection, customer: UUID) -> None:
    ask_back(app, add_payment(app, customer, status="pending"), 10)
    with pytest.raises(errors.CheckViolation, match="there is no money to go back"):
        process(app)


@pytest.mark.parametrize(
    "change", ["UPDATE hs.refund SET refund_amount = 1", "DELETE FROM hs.refund"]
)
def test_what_was_approved_is_what_goes_back(app: Connection, payment: UUID, change: str) -> None:
    ask_back(app, payment, 10)
    app.execute("UPDATE hs.refund SET status = 'approved'")
    with pytest.raises(errors.RestrictViolation, match="what it says stays"):
        app.execute(change.encode())


def grant(connection: Connection, customer: UUID, amount: int, **given: Any) -> UUID:
    columns = {"credit_number": "CM1", "reason": "goodwill", "issued_on": "2026-01-01", **given}
    return add(connection, "credit_memo", customer_id=customer, credit_amount=amount, **columns)


@pytest.mark.parametrize(
    ("amount", "used", "memo", "bill"),
    [
        (30, 30, "applied", ("partially_paid", 70)),
        (100, 100, "applied", ("paid", 0)),
        (130, 100, "open", ("paid", 0)),
    ],
)
def test_a_credit_takes_off_what_is_open(
    app: Connection, customer: UUID, invoice: UUID, amount: int, used: int, memo: str, bill: Any
) -> None:
    credit = grant(app, customer, amount)
    assert one(app, "SELECT hs.apply_credit_memo(%s, %s)", credit, invoice) == used
    assert invoice_of(app, invoice) == bill
    assert one(app, "SELECT status FROM hs.credit_memo") == memo
    assert disproved(app) == []


def test_a_credit_on_an_invoice_knows_it(app: Connection, customer: UUID, invoice: UUID) -> None:
    credit = grant(app, customer, 30, invoice_id=invoice)
    assert one(app, "SELECT hs.apply_credit_memo(%s)", credit) == 30


def test_a_credit_needs_an_invoice(app: Connection, customer: UUID) -> None:
    with pytest.raises(errors.NoDataFound, match="no issued invoice to apply"):
        app.execute("SELECT hs.apply_credit_memo(%s)", [grant(app, customer, 30)])


def test_a_credit_is_used_by_its_customer(app: Connection, customer: UUID, invoice: UUID) -> None:
    credit = grant(app, add_customer(app, "C2"), 30)
    with pytest.raises(errors.CheckViolation, match="of different customers"):
        app.execute("SELECT hs.apply_credit_memo(%s, %s)", [credit, invoice])


def test_a_credit_that_expired_is_not_used(app: Connection, customer: UUID, invoice: UUID) -> None:
    credit = grant(app, customer, 30, expires_on="2026-01-02")
    with pytest.raises(errors.CheckViolation, match="is not open for invoice I1"):
        app.execute("SELECT hs.apply_credit_memo(%s, %s)", [credit, invoice])


def test_a_credit_is_used_on_one_invoice(app: Connection, customer: UUID, invoice: UUID) -> None:
    credit = grant(app, customer, 130)
    app.execute("SELECT hs.apply_credit_memo(%s, %s)", [credit, invoice])
    other = add_invoice(app, customer, "I2")
    with pytest.raises(errors.CheckViolation, match="is not open for invoice I2"):
        app.execute("SELECT hs.apply_credit_memo(%s, %s)", [credit, other])


@pytest.fixture
def numbered(admin: Connection, tenant: UUID) -> None:
    """Sequences of the documents that functions number."""
    for code, prefix in (("payment", "P"), ("invoice", "I"), ("agreement", "A")):
        admin.execute(
            "INSERT INTO system_core.number_sequence (business_id, sequence_code, prefix,"
            " is_gapless) VALUES (%s, %s, %s, true)",
            [tenant, code, prefix],
        )


def take(
    connection: Connection, invoice: UUID, amount: int, key: str = "k1", method: str = "card"
) -> Any:
    return connection.execute(
        "SELECT payment_number, allocated_amount, unapplied_amount, invoice_status, open_balance"
        " FROM hs.take_payment(%s, %s, %s, %s, check_number => '17')",
        [invoice, amount, method, key],
    ).fetchone()


@pytest.mark.usefixtures("numbered")
@pytest.mark.parametrize(
    ("amount", "told"),
    [
        (40, ("P000001", 40, 0, "partially_paid", 60)),
        (100, ("P000001", 100, 0, "paid", 0)),
        (130, ("P000001", 100, 30, "paid", 0)),
    ],
)
def test_a_payment_on_site_is_applied_at_once(
    app: Connection, invoice: UUID, amount: int, told: Any
) -> None:
    assert take(app, invoice, amount) == told
    assert take(app, invoice, amount) == told, "a second try takes nothing"
    assert one(app, "SELECT count(*) FROM hs.payment") == 1
    assert disproved(app) == []


@pytest.mark.usefixtures("numbered")
def test_a_key_is_of_one_payment(app: Connection, invoice: UUID) -> None:
    take(app, invoice, 40)
    with pytest.raises(errors.UniqueViolation, match="says something else"):
        take(app, invoice, 41)


@pytest.mark.usefixtures("numbered")
def test_a_bank_transfer_waits_until_it_arrives(app: Connection, invoice: UUID) -> None:
    assert take(app, invoice, 100, method="ach") == ("P000001", 0, 0, "issued", 100)
    assert one(app, "SELECT status FROM hs.payment") == "pending"


@pytest.mark.usefixtures("numbered")
def test_only_what_was_issued_is_paid(app: Connection, customer: UUID) -> None:
    draft = add(app, "invoice", customer_id=customer, invoice_number="I1",
                invoice_kind="deposit", currency_code="USD")  # fmt: skip
    with pytest.raises(errors.NoDataFound, match="there is no issued invoice"):
        take(app, draft, 1)


def add_work(connection: Connection, order: UUID, number: int, **given: Any) -> UUID:
    columns = {"description": "Work", "unit_price": 100, **given}
    return add(connection, "work_order_line", work_order_id=order, line_no=number, **columns)


@pytest.fixture
def done(admin: Connection, tenant: UUID, numbered: None) -> UUID:
    """A completed work order without lines, and the application that works on it."""
    return bring(admin, tenant, "completed")


def issue(connection: Connection, order: UUID) -> UUID:
    found: UUID = one(connection, "SELECT invoice_id FROM hs.issue_invoice(%s)", order)
    return found


def order_status(connection: Connection) -> str:
    found: str = one(connection, "SELECT status FROM hs.work_order")
    return found


def test_what_was_done_is_billed(admin: Connection, done: UUID) -> None:
    tax_location(admin)
    add_work(admin, done, 1, discount_amount=10)
    add_work(admin, done, 2, line_kind="material", line_qty=2)
    add_work(admin, done, 3, coverage="agreement")
    add_work(admin, done, 4, is_billable=False)
    add_work(admin, done, 5, voided_at="2026-01-01")
    bill = issue(admin, done)
    lines = admin.execute(
        "SELECT line_no, discount_amount, line_total, tax_pct, tax_amount FROM hs.invoice_line"
        " ORDER BY line_no"
    ).fetchall()
    assert lines == [
        (1, 10, 90, 8, Decimal("7.20")),
        (2, 0, 200, 9, 18),
        (3, 100, 0, 8, 0),
    ]
    assert invoice_of(admin, bill) == ("issued", Decimal("315.20"))
    assert order_status(admin) == "invoiced"
    assert disproved(admin) == []


def test_where_no_jurisdiction_is_named_the_line_says_the_tax(
    admin: Connection, done: UUID
) -> None:
    add_work(admin, done, 1, tax_pct=5)
    issue(admin, done)
    assert one(admin, "SELECT tax_amount FROM hs.invoice") == 5


def test_who_is_exempt_pays_no_tax(admin: Connection, done: UUID) -> None:
    admin.execute("UPDATE hs.customer SET is_tax_exempt = true, tax_exempt_certificate_ref = 'X'")
    add_work(admin, done, 1, tax_pct=5)
    issue(admin, done)
    assert one(admin, "SELECT tax_amount FROM hs.invoice") == 0


def test_a_job_is_billed_once(admin: Connection, done: UUID) -> None:
    add_work(admin, done, 1)
    issue(admin, done)
    with pytest.raises(errors.CheckViolation, match="invoiced when it is completed"):
        issue(admin, done)


@pytest.mark.parametrize("coverage", ["agreement", "warranty", "goodwill"])
def test_a_job_without_anything_to_bill_is_closed_instead(
    admin: Connection, done: UUID, coverage: str
) -> None:
    add_work(admin, done, 1, coverage=coverage)
    with pytest.raises(errors.CheckViolation, match="nothing to bill"):
        issue(admin, done)


def test_there_must_be_a_job(app: Connection, numbered: None) -> None:
    with pytest.raises(errors.NoDataFound, match="there is no work order"):
        issue(app, uuid4())


def test_a_job_that_is_paid_is_closed(admin: Connection, done: UUID) -> None:
    add_work(admin, done, 1)
    bill = issue(admin, done)
    take(admin, bill, 40, "k1")
    assert order_status(admin) == "invoiced"
    take(admin, bill, 60, "k2")
    assert order_status(admin) == "closed"


def test_a_job_that_is_written_off_is_closed(admin: Connection, done: UUID) -> None:
    add_work(admin, done, 1)
    issue(admin, done)
    admin.execute("UPDATE hs.invoice SET status = 'written_off'")
    assert order_status(admin) == "closed"
    assert one(admin, "SELECT open_balance FROM hs.customer") == 0


def test_a_job_stays_open_while_another_bill_of_it_is(admin: Connection, done: UUID) -> None:
    add_work(admin, done, 1)
    bill = issue(admin, done)
    customer = one(admin, "SELECT customer_id FROM hs.customer")
    add_invoice(admin, customer, "X", work_order_id=done)
    take(admin, bill, 100)
    assert order_status(admin) == "invoiced"


def test_a_payment_does_not_fail_because_a_job_may_not_be_closed(
    admin: Connection, done: UUID
) -> None:
    add_work(admin, done, 1)
    bill = issue(admin, done)
    admin.execute(
        "UPDATE hs.work_order_transition_rule SET is_enabled = false"
        " WHERE (from_status, to_status) = ('invoiced', 'closed')"
    )
    assert take(admin, bill, 100)[3] == "paid"
    assert order_status(admin) == "invoiced"


def test_a_void_invoice_gives_everything_back(admin: Connection, done: UUID) -> None:
    add_work(admin, done, 1)
    bill = issue(admin, done)
    customer = one(admin, "SELECT customer_id FROM hs.customer")
    admin.execute("SELECT hs.apply_credit_memo(%s, %s)", [grant(admin, customer, 20), bill])
    take(admin, bill, 50)
    admin.execute("SELECT hs.void_invoice(%s, 'wrong price')", [bill])
    at_commit(admin)
    assert invoice_of(admin, bill) == ("void", 0)
    assert one(admin, "SELECT unapplied_amount FROM hs.payment") == 50
    assert one(admin, "SELECT (status, applied_amount)::text FROM hs.credit_memo") == "(open,0.00)"
    assert order_status(admin) == "completed"
    assert disproved(admin) == []
    again = issue(admin, done)
    assert invoice_of(admin, again) == ("issued", 100), "it can be billed anew"


def test_there_must_be_something_to_void(app: Connection, invoice: UUID) -> None:
    app.execute("SELECT hs.void_invoice(%s, 'wrong')", [invoice])
    with pytest.raises(errors.NoDataFound, match="to be voided"):
        app.execute("SELECT hs.void_invoice(%s, 'wrong')", [invoice])


@pytest.mark.parametrize(("day", "marked"), [("2026-01-31", 0), ("2026-02-01", 1)])
def test_an_invoice_is_overdue_after_its_day(
    app: Connection, customer: UUID, invoice: UUID, day: str, marked: int
) -> None:
    paid = add_invoice(app, customer, "I2", 10)
    allocate(app, add_payment(app, customer, 10), paid)
    assert one(app, "SELECT hs.mark_overdue_invoices(%s)", day) == marked
    assert invoice_of(app, invoice)[0] == ("overdue" if marked else "issued")
    assert invoice_of(app, paid)[0] == "paid"


def test_what_is_overdue_stays_so_until_it_is_paid(app: Connection, invoice: UUID) -> None:
    customer = one(app, "SELECT customer_id FROM hs.customer")
    app.execute("SELECT hs.mark_overdue_invoices('2026-03-01')")
    allocate(app, add_payment(app, customer, 40, "P1"))
    assert invoice_of(app, invoice) == ("overdue", 60)
    allocate(app, add_payment(app, customer, 60, "P2"))
    assert invoice_of(app, invoice) == ("paid", 0)


def test_what_was_given_up_may_still_be_paid(app: Connection, invoice: UUID, payment: UUID) -> None:
    app.execute("UPDATE hs.invoice SET status = 'written_off'")
    assert allocate(app, payment) == [], "not unless it is named"
    assert allocate(app, payment, invoice) == [100]
    assert invoice_of(app, invoice) == ("paid", 0)


def test_a_customer_owes_what_is_open_less_what_is_on_account(
    app: Connection, customer: UUID
) -> None:
    add_invoice(app, customer, "I1", 100)
    add_invoice(app, customer, "I2", 50)
    money = add_payment(app, customer, 70)
    row = "SELECT open_balance, lifetime_revenue_amount FROM hs.customer"
    assert app.execute(row.encode()).fetchone() == (80, 150)
    allocate(app, money)
    assert app.execute(row.encode()).fetchone() == (80, 150)


BREAKS: tuple[tuple[str, list[tuple[str, str, int, int]]], ...] = (
    (
        "UPDATE hs.invoice SET paid_amount = 30",
        [("I1", "open_balance", 70, 60), ("I1", "paid_amount", 30, 40)],
    ),
    (
        "UPDATE hs.invoice SET credited_amount = 5",
        [("I1", "credited_amount", 5, 0), ("I1", "open_balance", 55, 60)],
    ),
    (
        "UPDATE hs.invoice_line SET unit_price = 90",
        [
            ("C1", "lifetime_revenue_amount", 100, 90),
            ("C1", "open_balance", 0, -10),
            ("I1", "open_balance", 60, 50),
            ("I1", "subtotal_amount", 100, 90),
        ],
    ),
    (
        "UPDATE hs.payment SET allocated_amount = 0",
        [("P1", "allocated_amount", 0, 40), ("P1", "unapplied_amount", 100, 60)],
    ),
    (
        "UPDATE hs.payment SET refunded_amount = 10",
        [("P1", "refunded_amount", 10, 0), ("P1", "unapplied_amount", 50, 60)],
    ),
    ("UPDATE hs.customer SET open_balance = 1", [("C1", "open_balance", 1, 0)]),
    (
        "DELETE FROM hs.payment_allocation",
        [
            ("I1", "open_balance", 60, 100),
            ("I1", "paid_amount", 40, 0),
            ("P1", "allocated_amount", 40, 0),
            ("P1", "unapplied_amount", 60, 100),
        ],
    ),
)
"""What is done behind the triggers' back, and what the proof says to it."""


@pytest.mark.parametrize(("change", "named"), BREAKS)
def test_a_figure_that_is_broken_is_named(
    admin: Connection, invoice: UUID, payment: UUID, tenant: UUID, change: str, named: Any
) -> None:
    pay_by_hand(admin, payment, invoice, 40)
    assert disproved(admin) == []
    admin.execute("RESET ROLE")
    admin.execute("SET LOCAL session_replication_role = replica")
    admin.execute(change.encode())
    admin.execute("SET LOCAL session_replication_role = origin")
    become_app(admin, tenant)
    assert disproved(admin) == named


def test_open_items_tell_their_age(app: Connection, customer: UUID) -> None:
    for number, days in enumerate((0, 1, 30, 31, 60, 61, 90, 91)):
        due = one(app, "SELECT (tenant_mgmt.today() - %s::integer)::text", days)
        bill = add(app, "invoice", customer_id=customer, invoice_number=f"I{number}",
                   invoice_kind="deposit", currency_code="USD", invoice_on=due,
                   due_on=due)  # fmt: skip
        add(app, "invoice_line", invoice_id=bill, line_no=1, description="W", unit_price=10)
    app.execute("UPDATE hs.invoice SET status = 'issued'")
    add_payment(app, customer, 7)
    rows = app.execute(
        "SELECT days_overdue, age_bucket FROM hs.v_receivables_open_items ORDER BY 1"
    ).fetchall()
    assert rows == [
        (0, "current"), (1, "1_30"), (30, "1_30"), (31, "31_60"), (60, "31_60"), (61, "61_90"),
        (90, "61_90"), (91, "over_90"),
    ]  # fmt: skip
    assert one(app, "SELECT max(unapplied_amount) FROM hs.v_receivables_open_items") == 7


def test_aging_is_read_by_its_tenant_alone(
    admin: Connection, tenant: UUID, customer: UUID, invoice: UUID
) -> None:
    add_invoice(admin, customer, "I2", 30, "2199-01-01")
    admin.execute("RESET ROLE")
    admin.execute("REFRESH MATERIALIZED VIEW hs.mv_receivables_aging")
    other = add_tenant(admin, "second")
    become_app(admin, tenant)
    row = admin.execute(
        "SELECT open_count, current_amount, over_90_amount + days_61_90_amount"
        " + days_31_60_amount + days_1_30_amount, open_amount FROM hs.v_receivables_aging"
    ).fetchall()
    assert row == [(2, 30, 100, 130)]
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [other])
    assert admin.execute("SELECT * FROM hs.v_receivables_aging").fetchall() == []


@pytest.mark.parametrize("token", ["4242424242424242", "4242 4242 4242 4242"])
def test_the_number_of_a_card_is_not_kept(app: Connection, customer: UUID, token: str) -> None:
    with pytest.raises(errors.CheckViolation, match="token_is_no_number"):
        store(app, customer, processor_token=token)


def store(connection: Connection, customer: UUID, **given: Any) -> UUID:
    columns = {"processor_name": "stripe", "processor_token": "tok_1", "last_four": "4242",
               "expires_month": 1, "expires_year": 2030, **given}  # fmt: skip
    return add(connection, "stored_payment_method", customer_id=customer, **columns)


def test_a_customer_has_one_default(app: Connection, customer: UUID) -> None:
    store(app, customer, is_default=True)
    store(app, customer, processor_token="tok_2", is_default=True, status="removed")
    with pytest.raises(errors.UniqueViolation, match="default"):
        store(app, customer, processor_token="tok_3", is_default=True)


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"last_four": "42"}, "last_four_is_digits"),
        ({"expires_month": 13}, "month_of_year"),
        ({"expires_year": None}, "card_expires"),
        ({"method_kind": "ach"}, "debit_has_mandate"),
    ],
)
def test_a_stored_method_is_whole(
    app: Connection, customer: UUID, given: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        store(app, customer, **given)


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [
        (table, *pair)
        for table, machine in (
            ("invoice", INVOICE),
            ("payment", PAYMENT),
            ("refund", REFUND),
            ("credit_memo", CREDIT_MEMO),
        )
        for pair in refused(machine)
    ],
)
def test_a_status_moves_only_as_its_machine_says(
    admin: Connection, tenant: UUID, table: str, before: str, after: str
) -> None:
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    customer = add_customer(admin)
    if table == "invoice":
        add(admin, "invoice", customer_id=customer, invoice_number="I1", invoice_kind="deposit",
            currency_code="USD", status=before, invoice_on="2026-01-01", due_on="2026-01-01",
            paid_at="2026-01-01" if before == "paid" else None)  # fmt: skip
    elif table == "payment":
        add_payment(admin, customer, status=before, settled_on="2026-01-01",
                    refunded_amount=100 if before == "refunded" else 0)  # fmt: skip
    elif table == "refund":
        approved = before in ("approved", "processed", "failed")
        ask_back(admin, add_payment(admin, customer), 10, status=before,
                 requested_at="2026-01-01", approved_at="2026-01-01" if approved else None,
                 processed_at="2026-01-01" if before == "processed" else None)  # fmt: skip
    else:
        bill = add_invoice(admin, customer)
        applied = 30 if before == "applied" else 0
        grant(admin, customer, 30, status=before, invoice_id=bill, applied_amount=applied)
    become_app(admin, tenant)
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        admin.execute(f"UPDATE hs.{table} SET status = %s".encode(), [after])


@pytest.mark.parametrize("status", [s for s in INVOICE if s != "draft"])
def test_a_new_invoice_is_a_draft(app: Connection, customer: UUID, status: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        add(app, "invoice", customer_id=customer, invoice_number="I1", invoice_kind="deposit",
            currency_code="USD", status=status)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "given"), [("job", {}), ("progress", {}), ("agreement", {}), ("adjustment", {})]
)
def test_an_invoice_names_what_it_bills(
    app: Connection, customer: UUID, kind: str, given: dict[str, Any]
) -> None:
    with pytest.raises(errors.CheckViolation, match="names_what_it_bills"):
        add(app, "invoice", customer_id=customer, invoice_number="I1", invoice_kind=kind,
            currency_code="USD", **given)  # fmt: skip


CASHIERS = 6


@pytest.fixture
def desk(deployed: Target, copy_of: Callable[[Target], Target]) -> tuple[Target, UUID, UUID]:
    """A committed customer in a database of its own, for cashiers who work at once."""
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "desk")
        connection.execute(
            "INSERT INTO system_core.number_sequence (business_id, sequence_code, prefix)"
            " VALUES (%s, 'payment', 'P')",
            [tenant],
        )
        become_app(connection, tenant)
        customer = add_customer(connection)
    return target, tenant, customer


def test_one_invoice_is_not_paid_twice_however_many_pay(
    desk: tuple[Target, UUID, UUID],
) -> None:
    target, tenant, customer = desk
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        bill = add_invoice(connection, customer, amount=100)
        money = [add_payment(connection, customer, 30, f"P{n}") for n in range(CASHIERS)]
    got = at_once(target, tenant, CASHIERS, lambda c, n: sum(allocate(c, money[n])))
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert (sum(got), invoice_of(connection, bill)) == (100, ("paid", 0))
        assert one(connection, "SELECT sum(unapplied_amount) FROM hs.payment") == 80
        assert disproved(connection) == []


def test_one_payment_is_not_applied_twice_however_many_apply_it(
    desk: tuple[Target, UUID, UUID],
) -> None:
    target, tenant, customer = desk
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        bills = [add_invoice(connection, customer, f"I{n}", 40) for n in range(CASHIERS)]
        money = add_payment(connection, customer, 100)
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
        bill = add_invoice(connection, customer, amount=100)
        money = [add_payment(connection, customer, 10, f"P{n}") for n in range(CASHIERS)]
    at_once(target, tenant, CASHIERS, lambda c, n: pay_by_hand(c, money[n], bill, 10))
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert invoice_of(connection, bill) == ("partially_paid", 40)
        assert disproved(connection) == []


def test_no_more_is_asked_back_than_was_paid_however_many_ask(
    desk: tuple[Target, UUID, UUID],
) -> None:
    target, tenant, customer = desk
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        money = add_payment(connection, customer, 100)

    def ask(connection: Connection, number: int) -> bool:
        try:
            ask_back(connection, money, 40, refund_number=f"R{number}")
        except errors.CheckViolation:
            connection.rollback()
            return False
        return True

    assert sum(at_once(target, tenant, CASHIERS, ask)) == 2


def test_a_key_takes_one_payment_however_often_it_is_sent(
    desk: tuple[Target, UUID, UUID],
) -> None:
    target, tenant, customer = desk
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        bill = add_invoice(connection, customer, amount=100)
    got = at_once(target, tenant, CASHIERS, lambda c, _: take(c, bill, 60))
    assert len(set(got)) == 1
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert one(connection, "SELECT count(*) FROM hs.payment") == 1
        assert invoice_of(connection, bill) == ("partially_paid", 40)
