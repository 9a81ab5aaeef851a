"""Requests have their term, columns their handling, health information its accounting."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.test_audit import one
from tests.integration.schema.test_audit_assurance import may_become

REQUEST = {
    "received": {"verifying", "refused", "withdrawn"},
    "verifying": {"in_progress", "refused", "withdrawn"},
    "in_progress": {"fulfilled", "partly_refused", "refused", "withdrawn"},
    "fulfilled": set(),
    "partly_refused": set(),
    "refused": {"in_progress"},
    "withdrawn": set(),
}
ACTIVITY = {"planned": {"active", "stopped"}, "active": {"stopped"}, "stopped": {"planned"}}


def ask(connection: Connection, **given: Any) -> None:
    """A request of 1 March 2026 under a regime."""
    columns = {"regime": "gdpr", "due_at": None, "extended_until": None, **given}
    connection.execute(
        "INSERT INTO security_mgmt.data_subject_request (business_id, request_number,"
        " request_kind, regime, received_at, due_at, extended_until) VALUES"
        " (tenant_mgmt.current_business_id(), 'R-1', 'access', %s, '2026-03-01', %s, %s)",
        [columns["regime"], columns["due_at"], columns["extended_until"]],
    )


@pytest.fixture
def terms(app: Connection) -> Connection:
    """A month and two more for GDPR, 45 days and no more for CCPA."""
    app.execute(
        "INSERT INTO security_mgmt.privacy_term (business_id, regime, answer_within,"
        " extension_at_most, source_reference) SELECT tenant_mgmt.current_business_id(), t.*"
        " FROM (VALUES ('gdpr', interval '1 month', interval '2 months', 'art. 12'),"
        " ('ccpa', interval '45 days', interval '0', '1798.130')) AS t"
    )
    return app


@pytest.mark.parametrize(("regime", "due"), [("gdpr", "2026-04-01"), ("ccpa", "2026-04-15")])
def test_a_request_is_due_by_the_term_of_its_regime(
    terms: Connection, regime: str, due: str
) -> None:
    ask(terms, regime=regime, due_at="2027-01-01")
    assert due == one(terms, "SELECT due_at::date::text FROM security_mgmt.data_subject_request")


@pytest.mark.parametrize(
    ("regime", "until", "allowed"),
    [
        ("gdpr", "2026-06-01", True),
        ("gdpr", "2026-06-02", False),
        ("ccpa", "2026-04-16", False),
    ],
)
def test_a_request_is_extended_within_the_term(
    terms: Connection, regime: str, until: str, allowed: bool
) -> None:
    if allowed:
        ask(terms, regime=regime, extended_until=until)
        return
    with pytest.raises(errors.CheckViolation, match="extends a request by"):
        ask(terms, regime=regime, extended_until=until)


def test_a_regime_without_a_term_needs_a_day(terms: Connection) -> None:
    with (
        pytest.raises(errors.CheckViolation, match="there is no term for hipaa"),
        terms.transaction(),
    ):
        ask(terms, regime="hipaa")
    ask(terms, regime="hipaa", due_at="2026-03-31")


def test_requests_and_activities_follow_their_machines(terms: Connection) -> None:
    ask(terms)
    activity(terms)
    for table, machine in (
        ("security_mgmt.data_subject_request", REQUEST),
        ("security_mgmt.processing_activity", ACTIVITY),
    ):
        given: dict[str, Any] = {}
        if table.endswith("request"):
            given = {
                "identity_verified_at": "2026-03-02",
                "fulfilled_at": "2026-03-09",
                "refusal_reason": "unknown",
            }
        for before in machine:
            for after in machine.keys() - {before}:
                allowed = may_become(terms, table, "status", before, after, **given)
                assert allowed == (after in machine[before]), (table, before, after)


def activity(connection: Connection, **given: Any) -> None:
    """A planned activity."""
    columns = {"purpose": "To send invoices", "special": [], "dpia": False, **given}
    connection.execute(
        "INSERT INTO security_mgmt.processing_activity (business_id, name, purpose_statement,"
        " legal_basis, special_categories, dpia_required, retention_rule) VALUES"
        " (tenant_mgmt.current_business_id(), 'Invoicing', %s, 'contract', %s, %s, '10 years')",
        [columns["purpose"], columns["special"], columns["dpia"]],
    )


def test_special_categories_name_their_condition(app: Connection) -> None:
    activity(app, special=["health"], purpose="Fitness for work, GDPR article 9(2)(b)")
    with pytest.raises(errors.CheckViolation, match="special_has_condition"):
        app.execute("UPDATE security_mgmt.processing_activity SET purpose_statement = 'Fitness'")


def test_an_impact_is_assessed_before_it_starts(app: Connection) -> None:
    activity(app, dpia=True)
    with pytest.raises(errors.CheckViolation, match="assessed_before_it_starts"):
        app.execute("UPDATE security_mgmt.processing_activity SET status = 'active'")


def classify(connection: Connection, column: str, data_class: str, **given: Any) -> None:
    """A rule for a column of user_mgmt.user_profile."""
    columns = {"table": "user_profile", "handling": "plain", "export": True, **given}
    connection.execute(
        "INSERT INTO security_mgmt.data_classification_rule (business_id, schema_name,"
        " table_name, column_name, data_class, handling, export_allowed) VALUES"
        " (tenant_mgmt.current_business_id(), 'user_mgmt', %s, %s, %s, %s, %s)",
        [columns["table"], column, data_class, columns["handling"], columns["export"]],
    )


@pytest.mark.parametrize(
    ("column", "data_class", "given", "truth"),
    [
        ("card", "cardholder", {"handling": "encrypted"}, "cards_are_tokens"),
        ("card_cvv", "internal", {}, "no_security_code"),
        ("hash", "credential", {"handling": "masked", "export": False}, "are_unreadable"),
        ("hash", "credential", {"handling": "hashed"}, "credentials_stay"),
    ],
)
def test_a_rule_does_not_allow_what_is_never_right(
    app: Connection, column: str, data_class: str, given: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        classify(app, column, data_class, **given)


def test_columns_to_mask_are_those_not_shown_as_they_are(app: Connection) -> None:
    classify(app, "birth_date", "personal", handling="masked")
    classify(app, "job_title", "internal")
    classify(app, "emergency_contact", "special", export=False)
    ask_for = "SELECT security_mgmt.columns_to_mask('user_mgmt', 'user_profile', %s)"
    assert one(app, ask_for, None) == ["birth_date", "emergency_contact"]
    assert one(app, ask_for, "personal") == ["birth_date"]
    assert one(app, ask_for, "phi") == []


def test_the_map_of_a_person_counts_their_rows_only(app: Connection, account: UUID) -> None:
    classify(app, "given_name", "personal")
    classify(app, "value_normalized", "personal", table="user_contact_point")
    classify(app, "nothing", "personal", table="no_such_table")
    classify(app, "title", "internal", table="user_preference")
    app.execute(
        "INSERT INTO user_mgmt.user_profile (business_id, user_account_id, given_name)"
        " VALUES (tenant_mgmt.current_business_id(), %s, 'Ada')",
        [account],
    )
    found = app.execute(
        "SELECT table_name, row_count FROM security_mgmt.subject_data_map(%s)", [account]
    ).fetchall()
    assert found == [("user_contact_point", 0), ("user_profile", 1)]


def test_a_disclosure_for_another_purpose_is_authorized(app: Connection) -> None:
    disclose = (
        b"INSERT INTO security_mgmt.phi_disclosure (business_id, subject_reference,"
        b" recipient_name, purpose, information_description, authorization_reference) VALUES"
        b" (tenant_mgmt.current_business_id(), 'P-1', 'Insurer', 'other', 'Report', %s)"
    )
    app.execute(disclose, ["signed on 1 March"])
    with pytest.raises(errors.CheckViolation, match="other_is_authorized"):
        app.execute(disclose, [" "])


def test_a_disclosure_stays(app: Connection) -> None:
    app.execute(
        "INSERT INTO security_mgmt.phi_disclosure (business_id, subject_reference,"
        " recipient_name, purpose, information_description) VALUES"
        " (tenant_mgmt.current_business_id(), 'P-1', 'Authority', 'oversight', 'Report')"
    )
    with pytest.raises(errors.InsufficientPrivilege), app.transaction():
        app.execute("DELETE FROM security_mgmt.phi_disclosure")
    app.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation):
        app.execute("DELETE FROM security_mgmt.phi_disclosure")


@pytest.fixture
def asset(app: Connection) -> UUID:
    """A server."""
    found: UUID = one(
        app,
        "INSERT INTO security_mgmt.security_asset (business_id, asset_tag, name, asset_kind)"
        " VALUES (tenant_mgmt.current_business_id(), 'A-1', 'pay-1', 'server')"
        " RETURNING security_asset_id",
    )
    return found


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ("scope_class = 'cde', stores_pan = true", "stored_is_protected"),
        (
            "scope_class = 'connected', stores_pan = true, pan_protection = 'tokenized'",
            "storing_is_in_scope",
        ),
        ("scope_class = 'out_of_scope'", "out_of_scope_is_justified"),
        ("asv_result = 'pass'", "scanned_has_day"),
    ],
)
def test_a_card_system_is_what_it_says(
    app: Connection, asset: UUID, columns: str, truth: str
) -> None:
    scope(app, asset)
    with pytest.raises(errors.CheckViolation, match=truth):
        app.execute(f"UPDATE security_mgmt.cardholder_system SET {columns}".encode())


def scope(connection: Connection, asset: UUID) -> None:
    connection.execute(
        "INSERT INTO security_mgmt.cardholder_system (business_id, security_asset_id, scope_class)"
        " VALUES (tenant_mgmt.current_business_id(), %s, 'cde')",
        [asset],
    )


@pytest.mark.parametrize(
    ("ago", "result", "due"), [(92, "pass", 0), (93, "pass", 1), (1, "fail", 1)]
)
def test_a_card_environment_is_scanned_every_quarter(
    app: Connection, asset: UUID, ago: int, result: str, due: int
) -> None:
    scope(app, asset)
    app.execute(
        "UPDATE security_mgmt.cardholder_system SET last_asv_scan_on = current_date - %s,"
        " asv_result = %s",
        [ago, result],
    )
    assert one(app, "SELECT count(*) FROM security_mgmt.v_cardholder_scan_due") == due
