"""One customer once, one primary contact, consent on record, fleets in good standing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_hs_organization import one
from tests.integration.schema.test_hs_workforce import may_become

FLEET = {
    "prospect": {"active", "ended"},
    "active": {"suspended", "ended"},
    "suspended": {"active", "ended"},
    "ended": set(),
}


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"credit_limit": -1}, "customer_amounts_not_negative"),
        ({"open_balance": -1}, "customer_amounts_not_negative"),
        ({"payment_terms_days": 121}, "customer_terms_bounded"),
        ({"is_tax_exempt": True}, "customer_exempt_has_certificate"),
        (
            {"is_tax_exempt": True, "tax_exempt_certificate_ref": " "},
            "customer_exempt_has_certificate",
        ),
        ({"customer_kind": "fleet"}, "customer_company_has_name"),
    ],
)
def test_a_customer_is_plausible(app: Connection, columns: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "auto.customer", **columns)


def test_a_duplicate_is_merged_into_another_and_archived(app: Connection) -> None:
    kept, double = row(app, "auto.customer"), row(app, "auto.customer")
    merge = (
        "UPDATE auto.customer SET merged_into_customer_id = %s, status = %s WHERE customer_id = %s"
    )
    app.execute(merge, [kept, "archived", double])
    with pytest.raises(errors.CheckViolation, match="merged_into_another"), app.transaction():
        app.execute(merge, [kept, "archived", kept])
    with pytest.raises(errors.CheckViolation, match="customer_merged_is_archived"):
        app.execute(merge, [kept, "active", double])


def test_a_customer_is_not_referred_by_itself(app: Connection) -> None:
    row(app, "auto.customer")
    with pytest.raises(errors.CheckViolation, match="customer_referred_by_another"):
        app.execute("UPDATE auto.customer SET referred_by_customer_id = customer_id")


def test_customers_and_fleets_are_numbered(app: Connection) -> None:
    customer = row(app, "auto.customer", customer_number=None)
    row(app, "auto.customer", customer_number=None)
    numbers = app.execute("SELECT customer_number FROM auto.customer ORDER BY 1").fetchall()
    assert numbers == [("CU-000001",), ("CU-000002",)]
    row(app, "auto.fleet_account", customer_id=customer, account_number=None)
    assert one(app, "SELECT account_number FROM auto.fleet_account") == "FL-000001"


def test_a_customer_has_one_primary_contact(app: Connection) -> None:
    customer = row(app, "auto.customer")
    for primary in (True, False, False):
        row(app, "auto.customer_contact", customer_id=customer, is_primary=primary)
    with pytest.raises(errors.UniqueViolation, match="customer_contact_primary_idx"):
        row(app, "auto.customer_contact", customer_id=customer, is_primary=True)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"mobile_phone": None}, "can_be_reached"),
        ({"authorization_limit": 500}, "limit_only_who_authorizes"),
        ({"can_authorize": True, "authorization_limit": -1}, "limit_only_who_authorizes"),
        ({"driver_license_last4": "12345"}, "license_is_four"),
    ],
)
def test_a_contact_is_plausible(app: Connection, columns: dict[str, Any], truth: str) -> None:
    row(app, "auto.customer_contact", can_authorize=True, authorization_limit=500)
    with pytest.raises(errors.CheckViolation, match=f"customer_contact_{truth}"):
        row(app, "auto.customer_contact", **columns)


def decide(connection: Connection, contact: UUID, decision: str, at: str, **given: Any) -> None:
    columns = {"channel": "sms", "purpose": "marketing", "evidence_text": "[x] yes", **given}
    row(
        connection,
        "auto.contact_consent",
        customer_contact_id=contact,
        decision=decision,
        captured_at=at,
        **columns,
    )


def agreed(connection: Connection, contact: UUID, at: str, **given: str) -> Any:
    asked = {"channel": "sms", "purpose": "marketing", **given}
    return one(
        connection,
        "SELECT auto.has_consent(%s, %s, %s, %s)",
        contact,
        asked["channel"],
        asked["purpose"],
        at,
    )


@pytest.fixture
def contact(app: Connection) -> UUID:
    """A contact of a customer."""
    return row(app, "auto.customer_contact")


def test_the_latest_decision_is_in_force(app: Connection, contact: UUID) -> None:
    decide(app, contact, "revoked", "2026-03-01")
    decide(app, contact, "granted", "2026-01-01")
    decide(app, contact, "granted", "2026-05-01")
    answers = {day: agreed(app, contact, day) for day in ("2025-12-31", "2026-02-01", "2026-04-01")}
    assert answers == {"2025-12-31": False, "2026-02-01": True, "2026-04-01": False}
    assert agreed(app, contact, "2026-06-01") is True
    in_force = app.execute("SELECT decision, captured_at::date::text FROM auto.v_consent_in_force")
    assert in_force.fetchall() == [("granted", "2026-05-01")]


def test_consent_is_for_a_channel_and_a_purpose(app: Connection, contact: UUID) -> None:
    decide(app, contact, "granted", "2026-01-01")
    assert agreed(app, contact, "2026-02-01", channel="voice") is False
    assert agreed(app, contact, "2026-02-01", purpose="review_request") is False
    assert agreed(app, row(app, "auto.customer_contact"), "2026-02-01") is False


def test_marketing_is_agreed_to_in_words(app: Connection, contact: UUID) -> None:
    decide(app, contact, "revoked", "2026-01-01", evidence_text=None)
    decide(app, contact, "granted", "2026-01-01", purpose="transactional", evidence_text=None)
    with pytest.raises(errors.CheckViolation, match="contact_consent_marketing_has_evidence"):
        decide(app, contact, "granted", "2026-01-02", evidence_text=" ")


def test_a_keyword_comes_by_text(app: Connection, contact: UUID) -> None:
    decide(app, contact, "revoked", "2026-01-01", source="sms_keyword")
    with pytest.raises(errors.CheckViolation, match="contact_consent_keyword_comes_by_text"):
        decide(app, contact, "revoked", "2026-01-01", channel="email", source="sms_keyword")


@pytest.mark.parametrize(
    "change", ["UPDATE auto.contact_consent SET decision = 'revoked'", "DELETE FROM {table}"]
)
def test_consent_is_never_changed(app: Connection, contact: UUID, change: str) -> None:
    decide(app, contact, "granted", "2026-01-01")
    app.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        app.execute(change.format(table="auto.contact_consent").encode())


@pytest.mark.parametrize("before", FLEET)
def test_a_fleet_is_won_suspended_and_lost(app: Connection, before: str) -> None:
    row(app, "auto.fleet_account")
    moves = {a for a in FLEET if may_become(app, "auto.fleet_account", before, a)}
    assert moves - {before} == FLEET[before]


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        (
            {"contract_starts_on": "2026-01-01", "contract_ends_on": "2026-01-01"},
            "contract_ends_after_start",
        ),
        ({"pre_authorized_limit": -1}, "limits_not_negative"),
        ({"unit_count": -1}, "limits_not_negative"),
        ({"downtime_target_hours": 0}, "downtime_positive"),
        ({"usdot_number": "12a"}, "usdot_shape"),
    ],
)
def test_a_fleet_is_plausible(app: Connection, columns: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"fleet_account_{truth}"):
        row(app, "auto.fleet_account", **columns)


@pytest.mark.parametrize("status", ["suspended", "ended"])
def test_a_suspended_fleet_opens_no_charge_order(app: Connection, status: str) -> None:
    fleet = row(app, "auto.fleet_account", status="active", account_number="F7")
    order = row(app, "auto.repair_order", fleet_account_id=fleet)
    app.execute("UPDATE auto.fleet_account SET status = %s", [status])
    with pytest.raises(errors.CheckViolation, match=f"fleet F7 is {status}"), app.transaction():
        row(app, "auto.repair_order", fleet_account_id=fleet)
    other = row(app, "auto.repair_order")
    assert order != other, "whoever pays for itself is served"
