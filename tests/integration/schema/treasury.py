"""What a company needs to pay, book and deposit: accounts, maps, registrations, rules."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from harness.db import Connection
from tests.integration.conftest import add_account
from tests.integration.schema.payday import Company, company
from tests.integration.schema.rows import row

MAPS = (
    ("earning", "debit", "6000"),
    ("reimbursement", "debit", "6450"),
    ("deduction", "debit", "6120"),
    ("deduction", "credit", "2150"),
    ("tax", "credit", "2110"),
    ("employer_tax", "debit", "6100"),
    ("employer_tax", "credit", "2120"),
    ("net_pay", "credit", "1010"),
)


def map_accounts(made: Company) -> None:
    for item, side, number in MAPS:
        row(
            made.connection,
            "payroll.gl_account_map",
            item_kind=item,
            side=side,
            account_number=number,
            cost_center_source="department" if side == "debit" else "fixed",
        )


def register(made: Company, frequency: str = "monthly") -> UUID:
    """The federal account and those of the state, with the federal rule; the federal one's key."""
    row(made.connection, "payroll.deposit_rule", tax_jurisdiction_id=made.places["US"])
    row(
        made.connection,
        "payroll.employer_tax_account",
        employer_entity_id=made.employer,
        tax_jurisdiction_id=made.places["IL"],
        tax_code_id=made.taxes["IL-IT"],
        status="active",
    )
    return row(
        made.connection,
        "payroll.employer_tax_account",
        employer_entity_id=made.employer,
        tax_jurisdiction_id=made.places["US"],
        status="active",
        deposit_frequency=frequency,
        eftps_enrolled=True,
    )


def fund(made: Company, **columns: Any) -> UUID:
    columns = {"status": "pending", **columns}
    key = row(
        made.connection,
        "payroll.employer_bank_account",
        employer_entity_id=made.employer,
        **columns,
    )
    if columns["status"] == "pending":
        made.connection.execute(
            "UPDATE payroll.employer_bank_account SET status = 'verified'"
            " WHERE employer_bank_account_id = %s",
            [key],
        )
    return key


def account_of(made: Company, employee: UUID, **columns: Any) -> UUID:
    """An account that pay goes to."""
    key = row(
        made.connection,
        "payroll.employee_bank_account",
        **{"employee_id": employee, "status": "pending", **columns},
    )
    made.connection.execute(
        "UPDATE payroll.employee_bank_account SET status = 'active'"
        " WHERE employee_bank_account_id = %s",
        [key],
    )
    return key


def split(made: Company, employee: UUID, account: UUID, **columns: Any) -> UUID:
    return row(
        made.connection,
        "payroll.direct_deposit_split",
        employee_id=employee,
        employee_bank_account_id=account,
        **columns,
    )


def paid(made: Company, period: int = 1) -> UUID:
    """A run of a period that went all the way."""
    run = made.finish(period)
    for status in ("funded", "paid"):
        made.connection.execute(
            "UPDATE payroll.pay_run SET status = %s WHERE pay_run_id = %s", [status, run]
        )
    return run


def step(made: Company, batch: UUID, *states: str, second: UUID | None = None) -> None:
    for state in states:
        made.connection.execute(
            "UPDATE payroll.payment_batch SET status = %s, released_by = %s,"
            " second_released_by = %s, released_at = now() WHERE payment_batch_id = %s",
            [state, made.approver, second, batch],
        )


@pytest.fixture
def office(tenant: UUID, account: UUID, app: Connection) -> Company:
    """A company that is set up to pay, book and deposit."""
    app.execute("RESET ROLE")
    approver = add_account(app, tenant, "boss")
    app.execute("SET LOCAL ROLE app_user")
    made = company(app, account, approver)
    map_accounts(made)
    register(made)
    fund(made, is_default=False)
    return made
