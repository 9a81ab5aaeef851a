"""Each payer of an order gets a bill of its own that says what was done, taxed and deducted."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused
from tests.integration.schema.test_hs_organization import one

INVOICE = {
    "draft": ("issued", "void"),
    "issued": ("partly_paid", "paid", "written_off", "void"),
    "partly_paid": ("issued", "paid", "written_off", "void"),
    "paid": ("issued", "partly_paid", "void"),
    "written_off": ("issued", "partly_paid", "paid"),
    "void": (),
}


def add_invoice(connection: Connection, customer: UUID, amount: int = 100, **given: Any) -> UUID:
    """An issued invoice of one fee."""
    found = row(connection, "auto.invoice", bill_to_customer_id=customer, **given)
    row(connection, "auto.invoice_line", invoice_id=found, unit_price=amount)
    connection.execute("UPDATE auto.invoice SET status = 'issued' WHERE invoice_id = %s", [found])
    return found


def invoice_of(connection: Connection, invoice: UUID) -> Any:
    """Its status and what is open."""
    return connection.execute(
        "SELECT status, open_balance FROM auto.invoice WHERE invoice_id = %s", [invoice]
    ).fetchone()


def disproved(connection: Connection) -> list[Any]:
    """What auto.reconcile_receivables() names."""
    return connection.execute(
        "SELECT subject, figure, recorded, proven FROM auto.reconcile_receivables()"
        " ORDER BY subject, figure"
    ).fetchall()


def at_commit(connection: Connection) -> None:
    """What is looked at when a transaction commits."""
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    connection.execute("SET CONSTRAINTS ALL DEFERRED")


def add_order(connection: Connection, status: str = "ready_for_pickup", **given: Any) -> UUID:
    """An order that has come so far."""
    times = {"opened_at": "2026-05-04 08:00+00", "completed_at": "2026-05-04 15:00+00"}
    if status == "closed":
        times["closed_at"] = "2026-05-04 17:00+00"
    return imported(connection, "auto.repair_order", status=status, **{**times, **given})


def add_job(connection: Connection, order: UUID, payer: str = "customer", **given: Any) -> UUID:
    """A job that is done, for two hours at 100."""
    usual = {
        "name": f"Job for {payer}",
        "status": "done",
        "complaint_text": "It squeals",
        "cause_text": "Worn",
        "correction_text": "Replaced",
        "job_seq": one(connection, "SELECT count(*) + 1 FROM auto.repair_job"),
    }
    job = imported(connection, "auto.repair_job", repair_order_id=order, payer_kind=payer,
                   **{**usual, **given})  # fmt: skip
    imported(connection, "auto.labor_line", repair_job_id=job, line_no=1, sold_hours=2,
             rate_amount=100, discount_pct=0, is_taxable=True, status="done",
             hours_source="flat")  # fmt: skip
    return job


def add_part(connection: Connection, job: UUID, line_no: int = 1, **given: Any) -> UUID:
    """One part for 50 that was put in."""
    usual = {"qty": 1, "unit_price": 50, "unit_cost": 30, "discount_pct": 0, "is_taxable": True,
             "part_condition": "new", "status": "installed"}  # fmt: skip
    return imported(connection, "auto.part_line", repair_job_id=job, line_no=line_no,
                    **{**usual, **given})  # fmt: skip


def tax(connection: Connection, sold: str, pct: int | None = 10, **given: Any) -> UUID:
    """A rate of every shop that there is."""
    shop = one(connection, "SELECT shop_id FROM auto.shop")
    return row(connection, "auto.tax_rate", shop_id=shop, applies_to=sold, rate_pct=pct, **given)


def issue(connection: Connection, order: UUID) -> dict[str, Any]:
    """Bills an order; what each payer is asked for."""
    rows = connection.execute(
        "SELECT payer_kind, total_amount FROM auto.issue_invoices(%s)", [order]
    ).fetchall()
    return dict(rows)


def lines(connection: Connection, payer: str = "customer") -> list[Any]:
    """Kind, total and tax of the lines of a payer's bill."""
    return connection.execute(
        "SELECT l.line_kind, l.line_total, l.tax_amount FROM auto.invoice_line AS l"
        " JOIN auto.invoice AS i ON i.invoice_id = l.invoice_id"
        " WHERE i.payer_kind = %s AND i.status <> 'void' ORDER BY l.line_no",
        [payer],
    ).fetchall()


def status_of(connection: Connection, order: UUID) -> str:
    found: str = one(
        connection, "SELECT status FROM auto.repair_order WHERE repair_order_id = %s", order
    )
    return found


@pytest.fixture
def customer(app: Connection) -> UUID:
    """A customer who pays on receipt."""
    return row(app, "auto.customer")


@pytest.fixture
def invoice(app: Connection, customer: UUID) -> UUID:
    """100 are owed."""
    return add_invoice(app, customer)


@pytest.fixture
def order(app: Connection) -> UUID:
    """An order of a shop without fees that is ready for pickup."""
    shop = row(app, "auto.shop", labor_tax_mode="taxed", shop_supplies_pct=0)
    return add_order(app, shop_id=shop)


@pytest.mark.parametrize(
    ("kind", "figure"),
    [
        ({"line_kind": "fee"}, "fees_amount"),
        ({"line_kind": "tire_fee"}, "fees_amount"),
        ({"line_kind": "deductible"}, "fees_amount"),
        ({"line_kind": "core"}, "parts_amount"),
    ],
)
def test_an_invoice_sums_its_lines_by_kind(
    app: Connection, customer: UUID, kind: dict[str, Any], figure: str
) -> None:
    bill = row(app, "auto.invoice", bill_to_customer_id=customer)
    row(app, "auto.invoice_line", invoice_id=bill, unit_price=100, **kind)
    row(app, "auto.invoice_line", invoice_id=bill, line_kind="discount", unit_price=-10)
    row(app, "auto.invoice_line", invoice_id=bill, unit_price=50, discount_amount=5)
    found = app.execute(
        f"SELECT {figure}, discount_amount, total_amount FROM auto.invoice".encode()
    ).fetchone()
    assert found == (150 if figure == "fees_amount" else 100, 15, 135)
    assert disproved(app) == []


def test_a_deductible_is_taken_off_the_bill_of_the_other_payer(
    app: Connection, customer: UUID
) -> None:
    bill = row(app, "auto.invoice", bill_to_customer_id=customer)
    row(app, "auto.invoice_line", invoice_id=bill, unit_price=100)
    row(app, "auto.invoice_line", invoice_id=bill, line_kind="deductible", unit_price=-30)
    found = app.execute(
        "SELECT fees_amount, discount_amount, deductible_amount, total_amount FROM auto.invoice"
    ).fetchone()
    assert found == (100, 30, 30, 70)


def test_a_line_that_leaves_is_not_summed(app: Connection, customer: UUID) -> None:
    first, second = (row(app, "auto.invoice", bill_to_customer_id=customer) for _ in range(2))
    line = row(app, "auto.invoice_line", invoice_id=first, unit_price=100)
    app.execute("UPDATE auto.invoice_line SET invoice_id = %s", [second])
    total = "SELECT total_amount FROM auto.invoice WHERE invoice_id = %s"
    assert [one(app, total, bill) for bill in (first, second)] == [0, 100]
    app.execute("DELETE FROM auto.invoice_line WHERE invoice_line_id = %s", [line])
    assert one(app, total, second) == 0


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"line_kind": "core_credit", "unit_price": 5}, "sign_follows_kind"),
        ({"line_kind": "discount", "unit_price": 5}, "sign_follows_kind"),
        ({"line_kind": "fee", "unit_price": -5}, "sign_follows_kind"),
        ({"line_kind": "labor"}, "names_its_source"),
        ({"line_kind": "part"}, "names_its_source"),
        ({"line_kind": "sublet"}, "names_its_source"),
        ({"unit_price": 5, "taxable_amount": 6}, "taxable_bounded"),
        ({"unit_price": 5, "taxable_amount": 5, "tax_amount": 1}, "tax_bounded"),
    ],
)
def test_a_line_is_of_its_kind(
    app: Connection, customer: UUID, given: dict[str, Any], truth: str
) -> None:
    bill = row(app, "auto.invoice", bill_to_customer_id=customer)
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "auto.invoice_line", invoice_id=bill, **given)


def test_a_part_over_the_counter_names_the_part(app: Connection, customer: UUID) -> None:
    bill = row(app, "auto.invoice", bill_to_customer_id=customer)
    row(app, "auto.invoice_line", invoice_id=bill, line_kind="part",
        part_id=row(app, "auto.part"), unit_price=12)  # fmt: skip
    assert one(app, "SELECT parts_amount FROM auto.invoice") == 12


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"payer_kind": "insurance"}, "names_its_payer"),
        ({"void_reason": "wrong"}, "void_reason_of_void"),
        ({"paid_amount": 5}, "only_issued_is_settled"),
        ({"discount_amount": 5}, "total_not_negative"),
    ],
)
def test_an_invoice_is_whole(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "auto.invoice", **given)


def test_the_terms_of_the_customer_say_when_it_is_due(app: Connection) -> None:
    add_invoice(app, row(app, "auto.customer", payment_terms_days=30))
    assert one(app, "SELECT due_on - tenant_mgmt.today() FROM auto.invoice") == 30


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE auto.invoice SET discount_amount = 1",
        "UPDATE auto.invoice SET due_on = due_on + 1",
        "UPDATE auto.invoice SET payer_kind = 'fleet'",
        "UPDATE auto.invoice SET disclosure_text = 'none'",
        "DELETE FROM auto.invoice",
    ],
)
def test_an_issued_invoice_is_frozen(app: Connection, invoice: UUID, change: str) -> None:
    with pytest.raises(errors.RestrictViolation, match="was issued: what it says stays"):
        app.execute(change.encode())


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE auto.invoice_line SET unit_price = 1",
        "DELETE FROM auto.invoice_line",
    ],
)
def test_the_lines_of_an_issued_invoice_are_frozen(
    app: Connection, invoice: UUID, change: str
) -> None:
    with pytest.raises(errors.RestrictViolation, match="lines of an issued invoice stay"):
        app.execute(change.encode())


def test_a_draft_is_deleted_with_its_lines(app: Connection, customer: UUID) -> None:
    bill = row(app, "auto.invoice", bill_to_customer_id=customer)
    row(app, "auto.invoice_line", invoice_id=bill, unit_price=100)
    app.execute("DELETE FROM auto.invoice")
    assert one(app, "SELECT count(*) FROM auto.invoice_line") == 0


@pytest.mark.parametrize(("before", "after"), refused(INVOICE))
def test_an_invoice_moves_only_as_its_machine_says(
    app: Connection, customer: UUID, before: str, after: str
) -> None:
    imported(app, "auto.invoice", bill_to_customer_id=customer, status=before,
             issued_at="2026-05-04 10:00+00", due_on="2026-05-04")  # fmt: skip
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        app.execute("UPDATE auto.invoice SET status = %s", [after])


@pytest.mark.parametrize("status", [s for s in INVOICE if s != "draft"])
def test_a_new_invoice_is_a_draft(app: Connection, status: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        row(app, "auto.invoice", status=status)


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"rate_pct": 31}, "share_bounded"),
        ({"rate_pct": None}, "share_or_amount"),
        ({"tax_kind": "tire_fee", "flat_amount": 1}, "share_or_amount"),
        ({"rate_pct": None, "flat_amount": 1}, "fees_are_amounts"),
        ({"ends_on": "2020-01-01"}, "ends_after_begin"),
    ],
)
def test_a_tax_is_a_share_or_a_fee(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "auto.tax_rate", **given)


def test_a_jurisdiction_has_one_rate_at_a_time(app: Connection) -> None:
    row(app, "auto.shop")
    tax(app, "parts", jurisdiction_code="IL", ends_on="2026-01-01")
    tax(app, "parts", jurisdiction_code="IL", effective_on="2026-01-01")
    tax(app, "labor", jurisdiction_code="IL")
    tax(app, "parts", jurisdiction_code="COOK")
    with pytest.raises(errors.ExclusionViolation, match="one_at_a_time"):
        tax(app, "parts", jurisdiction_code="IL", effective_on="2025-06-01")


@pytest.mark.parametrize(
    ("sold", "amount", "day", "asked"),
    [
        ("parts", 1000, "2026-05-04", (Decimal("1000"), Decimal("82.00"))),
        ("parts", 1000, "2019-12-31", None),
        ("labor", 1000, "2026-05-04", None),
        ("parts", 0, "2026-05-04", None),
    ],
)
def test_jurisdictions_tax_together(
    app: Connection, tenant: UUID, sold: str, amount: int, day: str, asked: Any
) -> None:
    shop = row(app, "auto.shop")
    tax(app, "parts", 8)
    tax(app, "parts", 1, max_taxable_amount=200)
    found = app.execute(
        "SELECT taxable_amount, tax_amount FROM auto.tax_on(%s, %s, %s, %s, %s)",
        [tenant, shop, sold, amount, day],
    ).fetchone()
    assert found == asked


def test_each_payer_gets_what_it_ordered(app: Connection, order: UUID) -> None:
    for payer in ("customer", "fleet", "warranty", "internal", "goodwill"):
        add_job(app, order, payer)
    assert issue(app, order) == {"customer": 200, "fleet": 200, "warranty": 200, "internal": 400}
    assert status_of(app, order) == "invoiced"
    assert one(app, "SELECT count(DISTINCT invoice_number) FROM auto.invoice") == 4
    assert disproved(app) == []


def test_what_the_shop_bears_is_written_off(app: Connection, order: UUID) -> None:
    add_job(app, order, "goodwill")
    issue(app, order)
    assert one(app, "SELECT status FROM auto.invoice") == "written_off"
    assert one(app, "SELECT max(open_balance) FROM auto.customer") == 0
    assert status_of(app, order) == "closed"


def test_kinds_of_lines_are_taxed_apart(app: Connection, order: UUID) -> None:
    job = add_job(app, order)
    add_part(app, job)
    add_part(app, job, 2, is_taxable=False)
    tax(app, "parts", 10)
    tax(app, "labor", 5)
    assert issue(app, order) == {"customer": 315}
    assert lines(app) == [("labor", 200, 10), ("part", 50, 5), ("part", 50, 0)]


@pytest.mark.parametrize(("payer", "asked"), [("warranty", 200), ("customer", 220)])
def test_a_warranty_pays_no_sales_tax(app: Connection, order: UUID, payer: str, asked: int) -> None:
    add_job(app, order, payer)
    tax(app, "labor", 10)
    assert issue(app, order) == {payer: asked}


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ("UPDATE auto.shop SET labor_tax_mode = 'untaxed'", 200),
        (
            "UPDATE auto.customer SET is_tax_exempt = true, tax_exempt_certificate_ref = 'E-1'",
            200,
        ),
        ("UPDATE auto.shop SET labor_tax_mode = 'taxed'", 220),
    ],
)
def test_shop_and_customer_say_whether_labor_is_taxed(
    app: Connection, order: UUID, change: str, asked: int
) -> None:
    add_job(app, order)
    tax(app, "labor", 10)
    app.execute(change.encode())
    assert issue(app, order) == {"customer": asked}


def test_supplies_follow_labor_up_to_their_cap(app: Connection, order: UUID) -> None:
    app.execute("UPDATE auto.shop SET shop_supplies_pct = 10, shop_supplies_cap_amount = 15")
    add_job(app, order)
    tax(app, "fees", 10)
    issue(app, order)
    assert lines(app) == [("labor", 200, 0), ("fee", 15, Decimal("1.50"))]


def test_the_state_takes_its_fee_of_each_tire(app: Connection, order: UUID) -> None:
    kind = row(app, "auto.part_type", category="tires", name="Tire")
    part = row(app, "auto.part", part_type_id=kind)
    add_part(app, add_job(app, order), qty=4, unit_price=90, part_id=part)
    tax(app, "tires", 10)
    tax(app, "tires", None, tax_kind="tire_fee", flat_amount=2)
    issue(app, order)
    assert lines(app) == [("labor", 200, 0), ("part", 360, 36), ("tire_fee", 8, 0)]


def test_a_core_is_charged_until_it_comes_back(app: Connection, order: UUID) -> None:
    job = add_job(app, order)
    add_part(app, job, core_price=20)
    add_part(app, job, 2, core_price=30, old_part_disposition="core")
    issue(app, order)
    assert [line for line in lines(app) if line[0].startswith("core")] == [
        ("core", 20, 0),
        ("core", 30, 0),
        ("core_credit", -30, 0),
    ]


def test_what_is_not_done_or_not_put_in_is_not_billed(app: Connection, order: UUID) -> None:
    job = add_job(app, order)
    add_part(app, job, status="returned")
    add_job(app, order, status="declined")
    assert issue(app, order) == {"customer": 200}


def test_discounts_come_off(app: Connection, order: UUID) -> None:
    job = add_job(app, order, labor_total=200, discount_amount=20)
    add_part(app, job, discount_pct=10)
    issue(app, order)
    assert lines(app) == [("labor", 200, 0), ("part", 45, 0), ("discount", -20, 0)]
    assert one(app, "SELECT discount_amount FROM auto.invoice") == 25


def insure(connection: Connection, order: UUID, deductible: int) -> UUID:
    """Lets a claim pay for an order."""
    claim = imported(connection, "auto.insurance_claim", status="approved",
                     deductible_amount=deductible)  # fmt: skip
    connection.execute(
        "UPDATE auto.repair_order SET insurance_claim_id = %s WHERE repair_order_id = %s",
        [claim, order],
    )
    return claim


@pytest.mark.parametrize(
    ("deductible", "asked"),
    [
        (50, {"customer": 50, "insurance": 150}),
        (500, {"customer": 200, "insurance": 0}),
        (0, {"insurance": 200}),
    ],
)
def test_the_customer_bears_the_deductible(
    app: Connection, order: UUID, deductible: int, asked: dict[str, int]
) -> None:
    insure(app, order, deductible)
    add_job(app, order, "insurance")
    assert issue(app, order) == asked
    assert disproved(app) == []


def test_a_deductible_is_borne_once(app: Connection, order: UUID) -> None:
    claim = insure(app, order, 50)
    add_job(app, order, "insurance")
    issue(app, order)
    again = add_order(app, insurance_claim_id=claim)
    add_job(app, again, "insurance")
    assert issue(app, again) == {"insurance": 200}


def test_each_warranty_claim_has_its_bill(app: Connection, order: UUID) -> None:
    payer = row(app, "auto.customer")
    program = row(app, "auto.warranty_program", payer_customer_id=payer, deductible_amount=30)
    for _ in range(2):
        row(app, "auto.warranty_claim", warranty_program_id=program,
            repair_job_id=add_job(app, order, "warranty"))  # fmt: skip
    app.execute("SELECT count(*) FROM auto.issue_invoices(%s)", [order])
    bills = app.execute(
        "SELECT payer_kind, total_amount, bill_to_customer_id = %s FROM auto.invoice ORDER BY 1",
        [payer],
    ).fetchall()
    assert bills == [("customer", 60, False), ("warranty", 170, True), ("warranty", 170, True)]


def test_tires_that_were_sold_are_registered_in_thirty_days(app: Connection, order: UUID) -> None:
    line = add_part(app, add_job(app, order))
    tire = imported(app, "auto.tire", sold_part_line_id=line)
    issue(app, order)
    found = app.execute(
        "SELECT tire_id, status, due_on - sold_on FROM auto.tire_registration"
    ).fetchall()
    assert found == [(tire, "pending", 30)]


@pytest.mark.parametrize("status", ["in_progress", "invoiced", "closed"])
def test_an_order_is_billed_when_it_is_ready(app: Connection, status: str) -> None:
    order = add_order(app, status)
    with pytest.raises(errors.CheckViolation, match=f"is {status}: it is invoiced when"):
        issue(app, order)


def test_an_order_with_nothing_done_has_nothing_to_bill(app: Connection, order: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="has nothing to bill"):
        issue(app, order)


def test_there_must_be_an_order(app: Connection, tenant: UUID) -> None:
    with pytest.raises(errors.NoDataFound, match="no repair order"):
        issue(app, tenant)


def void(connection: Connection, invoice: UUID) -> None:
    connection.execute("SELECT auto.void_invoice(%s, 'wrong address')", [invoice])


def test_an_order_whose_bills_are_void_is_billed_anew(app: Connection, order: UUID) -> None:
    add_job(app, order)
    issue(app, order)
    first = one(app, "SELECT invoice_id FROM auto.invoice")
    void(app, first)
    assert status_of(app, order) == "ready_for_pickup"
    issue(app, order)
    corrected = "SELECT corrects_invoice_id FROM auto.invoice WHERE status = 'issued'"
    assert one(app, corrected) == first
    assert disproved(app) == []


def test_an_order_stays_invoiced_while_a_bill_of_it_stands(app: Connection, order: UUID) -> None:
    add_job(app, order)
    add_job(app, order, "warranty")
    issue(app, order)
    void(app, one(app, "SELECT invoice_id FROM auto.invoice WHERE payer_kind = 'customer'"))
    assert status_of(app, order) == "invoiced"


@pytest.mark.parametrize(
    ("status", "message"), [("void", "to be voided"), ("written_off", "is not voided")]
)
def test_what_is_given_up_is_not_voided(
    app: Connection, invoice: UUID, status: str, message: str
) -> None:
    app.execute("UPDATE auto.invoice SET status = %s", [status])
    with pytest.raises((errors.NoDataFound, errors.CheckViolation), match=message):
        void(app, invoice)


def test_a_closed_order_is_not_voided(app: Connection, customer: UUID) -> None:
    bill = add_invoice(app, customer, repair_order_id=add_order(app, "closed"))
    with pytest.raises(errors.CheckViolation, match="of an order that is closed"):
        void(app, bill)
