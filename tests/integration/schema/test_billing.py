"""Billing: invoices, coupons, wallets, payments, credit notes, dunning and the MRR movement."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection

PERIOD = "SELECT current_period_start::date FROM tenant_mgmt.subscription"
INVOICE = "SELECT status, total_amount, paid_amount, credited_amount FROM tenant_mgmt.invoice"


def one(connection: Connection, query: str, *values: Any) -> Any:
    """The single value of a query's single row."""
    row = connection.execute(query.encode(), values).fetchone()
    assert row
    return row[0]


@pytest.fixture
def contract(admin: Connection) -> UUID:
    """The active subscription (149 a month) of a tenant that can be billed, as the application."""
    admin.execute("SET LOCAL ROLE app_user")
    admin.execute(
        "SELECT tenant_mgmt.provision_business('Acme', 'acme', 'retail', 'growth', 'a@acme.io')"
    )
    key = one(admin, "SELECT subscription_id FROM tenant_mgmt.subscription")
    assert isinstance(key, UUID)
    admin.execute("SELECT tenant_mgmt.transition_subscription(%s, 'active', 'user')", [key])
    admin.execute(
        "INSERT INTO tenant_mgmt.billing_profile (business_id, billing_name, currency_code)"
        " VALUES (tenant_mgmt.current_business_id(), 'Acme', 'USD')"
    )
    admin.execute(
        "INSERT INTO tenant_mgmt.payment_method (business_id, billing_profile_id, kind, provider,"
        " provider_token_ref, is_default) SELECT business_id, billing_profile_id, 'ach_debit',"
        " 'bank', 'vault:billing/acme/token', true FROM tenant_mgmt.billing_profile"
    )
    return key


@pytest.fixture
def draft(admin: Connection, contract: UUID) -> UUID:
    """The invoice of the running period, as a draft."""
    return generated(admin, contract)


@pytest.fixture
def issued(admin: Connection, draft: UUID) -> UUID:
    """The same, finalized."""
    admin.execute("UPDATE tenant_mgmt.invoice SET status = 'finalized'")
    return draft


def generated(connection: Connection, contract: UUID) -> UUID:
    """Generates the invoice of the running period."""
    bill = one(connection, f"SELECT tenant_mgmt.generate_invoice(%s, ({PERIOD}))", contract)
    assert isinstance(bill, UUID)
    return bill


def invoice(connection: Connection) -> tuple[Any, ...]:
    """Status, total, paid and credited amount of the only invoice."""
    row = connection.execute(INVOICE.encode()).fetchone()
    assert row
    return row[0], *(float(value) for value in row[1:])


def pay(connection: Connection, amount: float, status: str = "succeeded") -> None:
    """Tries to collect the only invoice."""
    connection.execute(
        "INSERT INTO tenant_mgmt.payment_attempt (business_id, invoice_id, payment_method_id,"
        " attempt_no, amount, status, decline_code)"
        " SELECT i.business_id, i.invoice_id, m.payment_method_id,"
        " 1 + (SELECT count(*) FROM tenant_mgmt.payment_attempt), %s, %s,"
        " CASE %s WHEN 'failed' THEN 'fraud' ELSE 'none' END"
        " FROM tenant_mgmt.invoice AS i, tenant_mgmt.payment_method AS m",
        [amount, status, status],
    )


def fund(connection: Connection, credits: float, priority: int = 1) -> None:
    """Adds a purchase to the tenant's wallet, which is made if there is none."""
    connection.execute(
        "INSERT INTO tenant_mgmt.credit_wallet (business_id, name, currency_code)"
        " VALUES (tenant_mgmt.current_business_id(), 'Credits', 'USD') ON CONFLICT DO NOTHING"
    )
    connection.execute(
        "INSERT INTO tenant_mgmt.wallet_transaction (business_id, credit_wallet_id, credits,"
        " amount, priority, transaction_kind, status, source, settled_at)"
        " SELECT business_id, credit_wallet_id, %s, %s, %s, 'purchase', 'settled', 'manual', now()"
        " FROM tenant_mgmt.credit_wallet",
        [credits, credits, priority],
    )


def redeem(connection: Connection, contract: UUID, percent: float | None, amount: Any) -> None:
    """Grants a coupon for two months, after those that were granted before."""
    connection.execute(
        "INSERT INTO tenant_mgmt.coupon_redemption (business_id, subscription_id, coupon_code,"
        " discount_kind, percent_off, amount_off, duration, months_total, months_remaining,"
        " redeemed_at)"
        " VALUES (tenant_mgmt.current_business_id(), %s, 'C' || coalesce(%s, 0)::text,"
        " CASE WHEN %s::numeric IS NULL THEN 'amount' ELSE 'percent' END, %s, %s,"
        " 'repeating', 2, 2, clock_timestamp())",
        [contract, percent, percent, percent, amount],
    )


def open_case(connection: Connection, stage: str = "reminder") -> None:
    """Opens a dunning case on the only invoice, due now, and moves it to a stage."""
    connection.execute(
        "INSERT INTO tenant_mgmt.dunning_case (business_id, invoice_id, subscription_id,"
        " overdue_amount, next_action_at)"
        " SELECT business_id, invoice_id, subscription_id, total_amount, now()"
        " FROM tenant_mgmt.invoice"
    )
    for _ in range(("reminder", "second_notice", "final_notice", "restricted").index(stage)):
        advance(connection)


def advance(connection: Connection) -> list[tuple[Any, ...]]:
    """Takes the next step of every case, whenever it is due."""
    connection.execute(
        "UPDATE tenant_mgmt.dunning_case SET next_action_at = now()"
        " WHERE next_action_at IS NOT NULL"
    )
    return connection.execute("SELECT was, became FROM tenant_mgmt.advance_dunning()").fetchall()


def test_a_period_is_drafted_once(admin: Connection, contract: UUID) -> None:
    assert generated(admin, contract) == generated(admin, contract)
    assert invoice(admin) == ("draft", 149, 0, 0)


def test_a_voided_invoice_is_drafted_anew(admin: Connection, draft: UUID, contract: UUID) -> None:
    admin.execute("UPDATE tenant_mgmt.invoice SET status = 'voided'")
    assert generated(admin, contract) != draft


def test_an_unknown_subscription_is_not_billed(admin: Connection, contract: UUID) -> None:
    with pytest.raises(errors.NoDataFound, match="does not exist"):
        admin.execute("SELECT tenant_mgmt.generate_invoice(gen_random_uuid(), current_date)")


def test_generating_closes_the_usage_it_bills(admin: Connection, contract: UUID) -> None:
    admin.execute(
        "SELECT tenant_mgmt.record_usage(meter_code, 't1', 1000000, now())"
        " FROM tenant_mgmt.usage_meter WHERE is_billable AND aggregation = 'sum'"
    )
    generated(admin, contract)
    overage = one(
        admin,
        "SELECT coalesce(sum(line_amount), 0) FROM tenant_mgmt.invoice_line"
        " WHERE line_kind = 'overage'",
    )
    rated = one(admin, "SELECT sum(rated_amount) FROM tenant_mgmt.usage_period WHERE is_closed")
    assert overage == rated > 0


def test_coupons_never_discount_below_zero(admin: Connection, contract: UUID) -> None:
    redeem(admin, contract, 10, None)
    redeem(admin, contract, None, 500)
    generated(admin, contract)
    assert invoice(admin)[1] == 0
    used = admin.execute(
        "SELECT months_remaining, total_discounted_amount FROM tenant_mgmt.coupon_redemption"
        " ORDER BY percent_off"
    ).fetchall()
    assert used == [(1, Decimal("14.90")), (1, Decimal("134.10"))]


def test_totals_follow_the_lines_of_a_draft(admin: Connection, draft: UUID) -> None:
    admin.execute("UPDATE tenant_mgmt.invoice_line SET quantity = 2")
    assert invoice(admin)[1] == 298
    admin.execute("DELETE FROM tenant_mgmt.invoice_line")
    assert invoice(admin)[1] == 0


def test_lines_of_a_finalized_invoice_stay(admin: Connection, issued: UUID) -> None:
    with pytest.raises(errors.RestrictViolation, match="finalized"):
        admin.execute("UPDATE tenant_mgmt.invoice_line SET quantity = 2")


def test_finalizing_dates_the_invoice(admin: Connection, issued: UUID) -> None:
    assert one(admin, "SELECT due_on - issued_on FROM tenant_mgmt.invoice") == 14


@pytest.mark.parametrize(
    ("amount", "status", "expected"),
    [(149, "succeeded", "paid"), (49, "succeeded", "partially_paid"), (149, "failed", "finalized")],
)
def test_status_follows_payments(
    admin: Connection, issued: UUID, amount: float, status: str, expected: str
) -> None:
    pay(admin, amount, status)
    assert invoice(admin)[0] == expected


def test_a_refund_opens_the_invoice_again(admin: Connection, issued: UUID) -> None:
    pay(admin, 149)
    admin.execute(
        "UPDATE tenant_mgmt.payment_attempt SET status = 'refunded', refunded_amount = 49"
    )
    assert invoice(admin) == ("partially_paid", 149, 100, 0)


def test_more_than_the_total_is_not_collected(admin: Connection, issued: UUID) -> None:
    pay(admin, 100)
    with pytest.raises(errors.CheckViolation, match="cannot take"):
        pay(admin, 49.01)


@pytest.mark.parametrize(("offset", "status"), [(149, "paid"), (49, "partially_paid")])
def test_credit_notes_offset(admin: Connection, issued: UUID, offset: int, status: str) -> None:
    note(admin, offset)
    assert invoice(admin) == (status, 149, 0, offset)


def test_credit_notes_stay_within_the_invoice(admin: Connection, issued: UUID) -> None:
    note(admin, 100)
    with pytest.raises(errors.CheckViolation, match="exceed"):
        note(admin, 49.01)


def test_a_draft_is_not_corrected_by_credit_notes(admin: Connection, draft: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="was issued"):
        note(admin, 1)


def note(connection: Connection, offset: float) -> None:
    """Issues a credit note against what is open of the only invoice."""
    connection.execute(
        "INSERT INTO tenant_mgmt.credit_note (business_id, invoice_id, credit_note_number, reason,"
        " status, offset_amount, issued_on) SELECT business_id, invoice_id,"
        " 'CN-' || gen_random_uuid(), 'goodwill', 'issued', %s, current_date"
        " FROM tenant_mgmt.invoice",
        [offset],
    )


def test_wallet_credits_are_drawn_by_priority(admin: Connection, draft: UUID) -> None:
    fund(admin, 100, priority=2)
    fund(admin, 100, priority=1)
    assert one(admin, "SELECT tenant_mgmt.apply_wallet(%s)", draft) == 149
    left = admin.execute(
        "SELECT priority, remaining_credits FROM tenant_mgmt.wallet_transaction"
        " WHERE transaction_kind = 'purchase' ORDER BY priority"
    ).fetchall()
    assert left == [(1, 0), (2, 51)]
    assert one(admin, "SELECT balance_amount FROM tenant_mgmt.credit_wallet") == 51
    assert invoice(admin)[1] == 0


def test_a_wallet_pays_what_it_can(admin: Connection, draft: UUID) -> None:
    fund(admin, 49)
    admin.execute("SELECT tenant_mgmt.apply_wallet(%s)", [draft])
    assert invoice(admin)[1] == 100
    assert one(admin, "SELECT status FROM tenant_mgmt.credit_wallet") == "exhausted"


def test_settled_wallet_transactions_stay(admin: Connection, contract: UUID) -> None:
    fund(admin, 5)
    with pytest.raises(errors.RestrictViolation, match="stays"):
        admin.execute("UPDATE tenant_mgmt.wallet_transaction SET credits = 6")


def test_credits_are_not_drawn_for_an_issued_invoice(admin: Connection, issued: UUID) -> None:
    with pytest.raises(errors.NoDataFound, match="draft"):
        admin.execute("SELECT tenant_mgmt.apply_wallet(%s)", [issued])


def test_dunning_retries_the_payment(admin: Connection, issued: UUID) -> None:
    open_case(admin)
    assert advance(admin) == [("reminder", "second_notice")]
    assert one(admin, "SELECT amount FROM tenant_mgmt.payment_attempt") == 149


def test_dunning_closes_what_was_paid(admin: Connection, issued: UUID) -> None:
    open_case(admin, "restricted")
    assert one(admin, "SELECT status FROM tenant_mgmt.subscription") == "past_due"
    admin.execute("UPDATE tenant_mgmt.payment_attempt SET status = 'succeeded'")
    assert advance(admin) == [("restricted", "recovered")]
    assert one(admin, "SELECT status FROM tenant_mgmt.subscription") == "active"


def test_dunning_ends_in_a_write_off(admin: Connection, issued: UUID) -> None:
    open_case(admin, "restricted")
    assert [advance(admin) for _ in range(3)] == [
        [("restricted", "suspended")],
        [("suspended", "written_off")],
        [],
    ]
    assert invoice(admin)[0] == "uncollectible"
    assert one(admin, "SELECT status FROM tenant_mgmt.subscription") == "cancelled"


def test_dunning_skips_no_stage(admin: Connection, issued: UUID) -> None:
    open_case(admin)
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        admin.execute("UPDATE tenant_mgmt.dunning_case SET stage = 'suspended'")


@pytest.mark.parametrize(
    ("days", "band"), [(0, "not_due"), (1, "1_30"), (30, "1_30"), (31, "31_60"), (91, "over_90")]
)
def test_receivables_are_aged(admin: Connection, draft: UUID, days: int, band: str) -> None:
    admin.execute(
        "UPDATE tenant_mgmt.invoice SET status = 'finalized',"
        " issued_on = (now() AT TIME ZONE 'UTC')::date - 100,"
        " due_on = (now() AT TIME ZONE 'UTC')::date - %s",
        [days],
    )
    row = admin.execute(
        "SELECT age_band, open_amount FROM tenant_mgmt.v_accounts_receivable"
    ).fetchone()
    assert row == (band, 149)


def test_history_is_imported_in_its_final_state(admin: Connection, draft: UUID) -> None:
    admin.execute("RESET ROLE")
    admin.execute("UPDATE tenant_mgmt.invoice SET status = 'finalized'")
    pay(admin, 200)
    admin.execute("UPDATE tenant_mgmt.invoice_line SET quantity = 2")
    assert invoice(admin) == ("partially_paid", 298, 200, 0)


def test_mrr_movements_show_the_new_tenant(admin: Connection, contract: UUID) -> None:
    admin.execute("RESET ROLE")
    admin.execute("REFRESH MATERIALIZED VIEW tenant_mgmt.mv_mrr_movement")
    admin.execute("SET LOCAL ROLE app_user")
    row = admin.execute("SELECT movement, mrr_amount FROM tenant_mgmt.v_mrr_movement").fetchone()
    assert row == ("new", 149)
