"""Every balance is proven from its rows, and a figure that is broken is named."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from harness.db import Connection
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_billing import add_invoice, disproved
from tests.integration.schema.test_hs_organization import one


@pytest.fixture
def customer(app: Connection) -> UUID:
    """A customer who pays on receipt."""
    return row(app, "auto.customer")


@pytest.fixture
def invoice(app: Connection, customer: UUID) -> UUID:
    """100 are owed."""
    return add_invoice(app, customer)


@pytest.mark.parametrize(
    ("payer", "owed"), [("customer", 100), ("fleet", 100), ("warranty", 0), ("internal", 0)]
)
def test_a_customer_owes_what_is_billed_to_it_alone(
    app: Connection, customer: UUID, payer: str, owed: int
) -> None:
    add_invoice(app, customer, payer_kind=payer)
    assert one(app, "SELECT open_balance FROM auto.customer") == owed
    assert disproved(app) == []


BREAKS: tuple[tuple[str, list[tuple[str, str, int, int]]], ...] = (
    *(
        (f"UPDATE auto.invoice SET {figure} = {figure} + 5, fees_amount = fees_amount - 5",
         [("invoice", *named) for named in sorted(
             [("fees_amount", 95, 100), (figure, 5, 0)])])
        for figure in ("labor_amount", "parts_amount", "sublet_amount", "tax_amount")
    ),
    (
        "UPDATE auto.invoice SET paid_amount = 30",
        [("invoice", "open_balance", 70, 60), ("invoice", "paid_amount", 30, 40)],
    ),
    (
        "UPDATE auto.invoice SET written_off_amount = 5",
        [("invoice", "open_balance", 55, 60), ("invoice", "written_off_amount", 5, 0)],
    ),
    (
        "UPDATE auto.invoice SET discount_amount = 5",
        [("invoice", "discount_amount", 5, 0), ("invoice", "open_balance", 55, 60)],
    ),
    (
        "UPDATE auto.invoice SET deductible_amount = 5",
        [("invoice", "deductible_amount", 5, 0)],
    ),
    (
        "UPDATE auto.payment SET allocated_amount = 0",
        [("payment", "allocated_amount", 0, 40), ("payment", "unapplied_amount", 100, 60)],
    ),
    (
        "UPDATE auto.payment SET refunded_amount = 10",
        [("payment", "refunded_amount", 10, 0), ("payment", "unapplied_amount", 50, 60)],
    ),
    ("UPDATE auto.customer SET open_balance = 1", [("customer", "open_balance", 1, 60)]),
    (
        "UPDATE auto.customer SET lifetime_revenue_amount = 1",
        [("customer", "lifetime_revenue_amount", 1, 100)],
    ),
    (
        "DELETE FROM auto.payment_allocation",
        [
            ("customer", "open_balance", 60, 100),
            ("invoice", "open_balance", 60, 100),
            ("invoice", "paid_amount", 40, 0),
            ("payment", "allocated_amount", 40, 0),
            ("payment", "unapplied_amount", 60, 100),
        ],
    ),
)  # fmt: skip
"""What is done behind the triggers' back, and what the proof says to it."""


@pytest.mark.parametrize(("change", "named"), BREAKS)
def test_a_figure_that_is_broken_is_named(
    admin: Connection, app: Connection, customer: UUID, invoice: UUID, tenant: UUID,
    change: str, named: Any
) -> None:  # fmt: skip
    money = row(app, "auto.payment", customer_id=customer)
    row(app, "auto.payment_allocation", payment_id=money, invoice_id=invoice, allocated_amount=40)
    assert disproved(app) == []
    admin.execute("RESET ROLE")
    admin.execute("SET LOCAL session_replication_role = replica")
    admin.execute(change.encode())
    admin.execute("SET LOCAL session_replication_role = origin")
    become_app(admin, tenant)
    assert disproved(app) == named


def test_a_proof_is_of_its_tenant_alone(admin: Connection, app: Connection, invoice: UUID) -> None:
    admin.execute("RESET ROLE")
    admin.execute("SET LOCAL session_replication_role = replica")
    admin.execute("UPDATE auto.invoice SET paid_amount = 30")
    admin.execute("SET LOCAL session_replication_role = origin")
    become_app(admin, add_tenant(admin, "second"))
    assert disproved(app) == []
