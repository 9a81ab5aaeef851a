"""Gross to net: taxes by the tenant's tables, deductions in their turn, to the cent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from harness.db import Connection
from tests.integration.conftest import add_account
from tests.integration.schema.payday import Company, company


@pytest.fixture
def shop(admin: Connection, tenant: UUID, account: UUID, app: Connection) -> Company:
    app.execute("RESET ROLE")
    approver = add_account(app, tenant, "boss")
    app.execute("SET LOCAL ROLE app_user")
    return company(app, account, approver)


def money(value: Any) -> Decimal:
    return Decimal(value).quantize(Decimal("0.01"))


WEEKS = [(f"2025-12-{day}", 8) for day in (29, 30, 31)] + [
    (f"2026-01-{day:02}", 8) for day in (2, 5, 6, 7, 8, 9)
]


def test_a_pay_of_an_hourly_employee(shop: Company) -> None:
    who = shop.hire(rate=20)
    shop.work(who, 1, *WEEKS, ("2026-01-01", 8))
    run = shop.start()
    assert shop.calculate(run) == {who: "ok"}
    check = shop.paycheck(run, who)
    # 80 hours; 41,600 a year less 8,600 is 33,000: 1,240 + 12 % above 19,900, a 26th of it.
    assert check["gross_amount"] == 1600
    assert check["hours_worked"] == 80
    taxes = shop.tax(check["paycheck_id"])
    assert taxes == {
        "FIT": Decimal("108.15"),
        "SS": Decimal("99.20"),
        "MED": Decimal("23.20"),
        "ADDMED": Decimal(0),
        "IL-IT": Decimal("79.20"),
    }
    assert check["net_amount"] == 1600 - sum(taxes.values())
    assert shop.tax(check["paycheck_id"], "employer") == {
        "SS": Decimal("99.20"),
        "MED": Decimal("23.20"),
        "FUTA": Decimal("9.60"),
        "IL-SUI": Decimal("52.00"),
    }
    assert shop.differences() == []
