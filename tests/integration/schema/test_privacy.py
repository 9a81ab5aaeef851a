"""Whose data it is, what is done with it, what persons ask for, and by when."""

from __future__ import annotations

import itertools
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors, sql

from harness.db import Connection
from tests.integration.conftest import add_account, add_tenant, become_app


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def _insert(connection: Connection, table: str, **values: Any) -> UUID:
    """Inserts a row of the calling tenant and returns its key."""
    found: UUID = one(
        connection,
        sql.SQL(
            "INSERT INTO {} (business_id, {}) VALUES (tenant_mgmt.current_business_id(), {})"
            " RETURNING {}"
        )
        .format(
            sql.Identifier("security_mgmt", table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)),
            sql.Identifier(f"{table}_id"),
        )
        .as_string(connection),
        *values.values(),
    )
    return found


# Processing.


def _activity(connection: Connection, **values: Any) -> None:
    given = {
        "name": "Payroll",
        "purpose_statement": "Pays employees",
        "legal_basis": "contract",
        "subject_categories": ["employees"],
        "data_categories": ["identity"],
        "retention_rule": "ten years",
        "security_measures": "access by role",
        **values,
    }
    _insert(connection, "processing_activity", **given)


@pytest.mark.parametrize(
    ("categories", "purpose", "is_fine"),
    [
        (["health"], "Sick leave", False),
        (["health"], "Sick leave, Art. 9(2)(b)", True),
        (["health"], "Sick leave, Art. 9(2)(k)", False),
        (["criminal"], "Vetting, Art. 10", True),
        (["criminal", "health"], "Vetting, Art. 10", False),
        ([], "Sick leave", True),
    ],
)
def test_special_categories_name_their_condition(
    app: Connection, categories: list[str], purpose: str, is_fine: bool
) -> None:
    if is_fine:
        _activity(app, special_categories=categories, purpose_statement=purpose)
        return
    with pytest.raises(errors.CheckViolation, match="special_names_condition"):
        _activity(app, special_categories=categories, purpose_statement=purpose)


def test_a_risky_activity_is_assessed_before_it_begins(app: Connection) -> None:
    _activity(app, dpia_required=True)
    begin = "UPDATE security_mgmt.processing_activity SET status = 'active'"
    with pytest.raises(errors.CheckViolation, match="assessed_before_active"), app.transaction():
        app.execute(begin.encode())
    app.execute(f"{begin}, dpia_completed_on = current_date".encode())


def test_an_activity_is_about_somebody(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="subjects_named"):
        _activity(app, subject_categories=[])


# Classification.


def _rule(connection: Connection, column: str, data_class: str, **values: Any) -> None:
    given = {"schema_name": "user_mgmt", "table_name": "user_account", **values}
    _insert(
        connection,
        "data_classification_rule",
        column_name=column,
        data_class=data_class,
        **given,
    )


@pytest.mark.parametrize(
    ("column", "data_class", "values", "says"),
    [
        ("pan", "cardholder", {"handling": "encrypted"}, "cardholder_is_tokenized"),
        ("password", "credential", {"handling": "masked"}, "credential_is_unreadable"),
        (
            "password",
            "credential",
            {"handling": "hashed", "export_allowed": True},
            "credential_stays_inside",
        ),
        ("card_cvv", "cardholder", {"handling": "tokenized"}, "no_security_code"),
        ("CVC2", "internal", {}, "no_security_code"),
        ("email", "personal", {"retention_months": 0}, "retention_positive"),
        ("email", "secret", {}, "class_known"),
    ],
)
def test_a_class_is_handled_as_it_must_be(
    app: Connection, column: str, data_class: str, values: dict[str, Any], says: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=says):
        _rule(app, column, data_class, **values)


def test_the_columns_to_mask_are_those_that_are_not_plain(app: Connection) -> None:
    _rule(app, "email", "personal", handling="masked")
    _rule(app, "display_name", "personal")
    _rule(app, "token", "credential", handling="hashed")
    _rule(app, "email", "personal", handling="masked", table_name="other")
    hidden = "SELECT security_mgmt.columns_to_mask('user_mgmt', 'user_account')"
    assert one(app, hidden) == ["email", "token"]
    of_class = "SELECT security_mgmt.columns_to_mask('user_mgmt', 'user_account', %s)"
    assert one(app, of_class, "credential") == ["token"]
    assert one(app, of_class, "phi") == []


def test_a_change_of_a_rule_is_in_the_trail(app: Connection) -> None:
    _rule(app, "email", "personal", handling="masked")
    app.execute("UPDATE security_mgmt.data_classification_rule SET handling = 'plain'")
    rows = app.execute(
        "SELECT action, new_row ->> 'handling' FROM security_mgmt.audit_record ORDER BY chain_seq"
    ).fetchall()
    assert rows == [("insert", "masked"), ("update", "plain")]


def test_the_data_of_a_person_is_found_by_its_references(
    app: Connection, tenant: UUID, account: UUID
) -> None:
    _rule(app, "email", "personal")
    _rule(app, "phone", "personal", schema_name="tenant_mgmt", table_name="business_contact")
    _rule(app, "recipient_name", "phi", schema_name="security_mgmt", table_name="phi_disclosure")
    _rule(app, "name", "internal", schema_name="security_mgmt", table_name="security_asset")
    _rule(app, "x", "personal", schema_name="security_mgmt", table_name="there_is_none")
    for _ in range(3):
        _disclosure(app, disclosed_by_user_account_id=account)
    found = "SELECT * FROM security_mgmt.subject_data_map(%s)"
    assert app.execute(found, [account]).fetchall() == [
        ("security_mgmt", "phi_disclosure", 3),
        ("user_mgmt", "user_account", 1),
    ]
    app.execute("RESET ROLE")
    other = add_account(app, tenant, "bob")
    become_app(app, tenant)
    assert app.execute(found, [other]).fetchall() == [("user_mgmt", "user_account", 1)]


def test_the_data_of_a_person_of_another_tenant_is_not_found(app: Connection, tenant: UUID) -> None:
    app.execute("RESET ROLE")
    stranger = add_account(app, add_tenant(app, "second"), "eve")
    become_app(app, tenant)
    _rule(app, "email", "personal")
    found = "SELECT * FROM security_mgmt.subject_data_map(%s)"
    assert app.execute(found, [stranger]).fetchall() == []


# Requests and their clocks.


@pytest.fixture
def regimes(app: Connection) -> dict[str, UUID]:
    """Deadlines: a month and two for gdpr, 45 days and 45 for ccpa."""
    gdpr = {"response_months": 1, "extension_months": 2}
    ccpa = {"response_days": 45, "extension_days": 45}
    return {
        regime: _insert(
            app, "privacy_deadline", regime=regime, legal_reference=regime.upper(), **values
        )
        for regime, values in (("gdpr", gdpr), ("ccpa", ccpa))
    }


def _request(connection: Connection, deadline: UUID, received: str, **values: Any) -> UUID:
    return _insert(
        connection,
        "data_subject_request",
        privacy_deadline_id=deadline,
        request_number="DSR-1",
        request_kind="access",
        received_at=received,
        **values,
    )


DUE = (
    "SELECT to_char(due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')"
    " FROM security_mgmt.data_subject_request"
)


@pytest.mark.parametrize(
    ("regime", "received", "due"),
    [
        ("gdpr", "2026-01-31 10:00Z", "2026-02-28 10:00"),
        ("gdpr", "2026-03-15 10:00Z", "2026-04-15 10:00"),
        ("ccpa", "2026-01-31 10:00Z", "2026-03-17 10:00"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/Chicago"])
def test_a_request_is_due_by_its_regime(
    app: Connection, regimes: dict[str, UUID], regime: str, received: str, due: str, zone: str
) -> None:
    app.execute("SELECT set_config('TimeZone', %s, true)", [zone])
    _request(app, regimes[regime], received, due_at="2099-01-01Z")
    assert one(app, DUE) == due
    app.execute("UPDATE security_mgmt.data_subject_request SET due_at = '2099-01-01Z'")
    assert one(app, DUE) == due, "nobody moves it"


def test_a_deadline_that_is_changed_is_for_later_requests(
    app: Connection, regimes: dict[str, UUID]
) -> None:
    _request(app, regimes["gdpr"], "2026-03-15 10:00Z")
    app.execute("UPDATE security_mgmt.privacy_deadline SET response_months = 2")
    app.execute(
        "UPDATE security_mgmt.data_subject_request SET extended_until = due_at + interval '1 day'"
    )
    assert one(app, DUE) == "2026-04-15 10:00"


@pytest.mark.parametrize(
    ("until", "is_fine"),
    [
        ("2026-06-15 10:00Z", True),
        ("2026-06-15 10:01Z", False),
        ("2026-04-15 10:00Z", False),
        ("2026-04-15 10:01Z", True),
    ],
)
def test_an_extension_is_bounded(
    app: Connection, regimes: dict[str, UUID], until: str, is_fine: bool
) -> None:
    _request(app, regimes["gdpr"], "2026-03-15 10:00Z")
    extend = "UPDATE security_mgmt.data_subject_request SET extended_until = %s"
    if is_fine:
        app.execute(extend, [until])
        return
    with pytest.raises(errors.CheckViolation, match=r"extended"):
        app.execute(extend, [until])


REQUEST_STATES = {
    "received": ["verifying", "in_progress", "refused", "withdrawn"],
    "verifying": ["in_progress", "refused", "withdrawn"],
    "in_progress": ["fulfilled", "partly_refused", "refused", "withdrawn"],
    "fulfilled": [],
    "partly_refused": [],
    "refused": [],
    "withdrawn": [],
}


@pytest.mark.parametrize(("was", "becomes"), list(itertools.permutations(REQUEST_STATES, 2)))
def test_a_request_goes_only_where_it_may(
    app: Connection, tenant: UUID, regimes: dict[str, UUID], was: str, becomes: str
) -> None:
    answered = ("fulfilled", "partly_refused")
    app.execute("SET LOCAL ROLE harness_loader")
    _request(
        app,
        regimes["gdpr"],
        "2026-03-15 10:00Z",
        status=was,
        refusal_reason="because",
        identity_verified_at="2026-03-16Z",
        fulfilled_at="2026-03-17Z" if was in answered else None,
    )
    become_app(app, tenant)
    change = "UPDATE security_mgmt.data_subject_request SET status = %s, fulfilled_at = %s"
    values = [becomes, "2026-03-17Z" if becomes in answered else None]
    if becomes in REQUEST_STATES[was]:
        app.execute(change, values)
    else:
        with pytest.raises(errors.CheckViolation, match="cannot become"):
            app.execute(change, values)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("status = 'fulfilled', identity_verified_at = now()", "fulfilled_has_time"),
        ("status = 'fulfilled', fulfilled_at = now()", "answered_to_whom_it_is"),
        ("status = 'refused'", "refused_has_reason"),
        ("fulfilled_at = now()", "fulfilled_has_time"),
    ],
)
def test_an_answer_is_whole(
    app: Connection, regimes: dict[str, UUID], change: str, says: str
) -> None:
    _request(app, regimes["gdpr"], "2026-03-15 10:00Z")
    app.execute("UPDATE security_mgmt.data_subject_request SET status = 'in_progress'")
    with pytest.raises(errors.CheckViolation, match=says):
        app.execute(f"UPDATE security_mgmt.data_subject_request SET {change}".encode())


@pytest.mark.parametrize("values", [{}, {"response_days": -1}, {"extension_days": -1}])
def test_a_deadline_is_a_time(app: Connection, values: dict[str, int]) -> None:
    with pytest.raises(errors.CheckViolation):
        _insert(app, "privacy_deadline", regime="other", legal_reference="x", **values)


# Disclosures.


def _disclosure(connection: Connection, **values: Any) -> None:
    given = {
        "subject_reference": "PAT-1",
        "recipient_name": "Insurer",
        "purpose": "oversight",
        "information_description": "Dates",
        "method": "mail",
        "disclosed_at": "2026-01-01Z",
        **values,
    }
    _insert(connection, "phi_disclosure", **given)


def test_another_purpose_needs_an_authorization(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="other_is_authorized"), app.transaction():
        _disclosure(app, purpose="other", authorization_reference=" ")
    _disclosure(app, purpose="other", authorization_reference="AUTH-1")


@pytest.mark.parametrize(
    "statement", ["DELETE FROM {}", "UPDATE {} SET purpose = 'research'", "TRUNCATE {}"]
)
def test_disclosures_are_append_only(app: Connection, statement: str) -> None:
    _disclosure(app, disclosed_at="2001-01-01Z")
    for table in ("security_mgmt.phi_disclosure", "security_mgmt.phi_disclosure_default"):
        with pytest.raises(errors.InsufficientPrivilege), app.transaction():
            app.execute(statement.format(table).encode())
    app.execute("RESET ROLE")
    for table in ("security_mgmt.phi_disclosure", "security_mgmt.phi_disclosure_default"):
        with pytest.raises(errors.RestrictViolation, match="append only"), app.transaction():
            app.execute(statement.format(table).encode())


def test_a_patient_is_told_what_is_not_suspended_or_too_old(app: Connection) -> None:
    _disclosure(app, recipient_name="told")
    _disclosure(app, recipient_name="suspended", is_suspended_from_accounting=True)
    _disclosure(app, recipient_name="too old", disclosed_at="2001-01-01Z")
    told = "SELECT array_agg(recipient_name) FROM security_mgmt.v_phi_accounting"
    assert one(app, told) == ["told"]


@pytest.mark.parametrize(("years", "dropped"), [(6, True), (60, False)])
def test_partitions_of_disclosures_are_dropped_after_their_retention(
    app: Connection, years: int, dropped: bool
) -> None:
    app.execute("RESET ROLE")
    app.execute(
        "CREATE TABLE security_mgmt.phi_disclosure_y2010 PARTITION OF security_mgmt.phi_disclosure"
        " FOR VALUES FROM ('2010-01-01Z') TO ('2011-01-01Z')"
    )
    app.execute("ALTER TABLE security_mgmt.phi_disclosure_y2010 OWNER TO app_owner")
    app.execute("SET LOCAL ROLE harness_loader")
    _disclosure(app, disclosed_at="2010-06-01Z")
    _disclosure(app, disclosed_at="2010-07-01Z", retention_years=years)
    names = one(app, "SELECT security_mgmt.drop_expired_disclosures()")
    assert names == (["security_mgmt.phi_disclosure_y2010"] if dropped else [])
    app.execute("SET LOCAL ROLE app_owner")
    with pytest.raises(errors.InsufficientPrivilege, match="all tenants"):
        one(app, "SELECT security_mgmt.drop_expired_disclosures()")


# Card data.


def _system(connection: Connection, **values: Any) -> None:
    tag = one(connection, "SELECT count(*) + 1 FROM security_mgmt.security_asset")
    asset = _insert(
        connection,
        "security_asset",
        asset_tag=f"AST-{tag}",
        name="Till",
        asset_kind="pos_terminal",
    )
    given = {"scope_class": "cde", "network_segment": "cde-a", **values}
    _insert(connection, "cardholder_system", security_asset_id=asset, **given)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"stores_pan": True, "pan_protection": "truncated"}, "stored_pan_is_protected"),
        ({"stores_pan": True, "pan_protection": "none"}, "stored_pan_is_protected"),
        (
            {"stores_pan": True, "pan_protection": "tokenized", "scope_class": "connected"},
            "stored_pan_is_in_scope",
        ),
        ({"scope_class": "out_of_scope"}, "out_of_scope_is_justified"),
        ({"asv_result": "pass"}, "scan_has_result"),
        ({"last_asv_scan_on": "2026-01-01"}, "scan_has_result"),
    ],
)
def test_card_data_is_protected_and_in_scope(
    app: Connection, values: dict[str, Any], says: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=says):
        _system(app, **values)


def test_systems_without_a_recent_scan_are_due(app: Connection) -> None:
    day = "SELECT current_date - %s"
    _system(app, network_segment="fresh", asv_result="pass", last_asv_scan_on=one(app, day, 92))
    _system(app, network_segment="old", asv_result="pass", last_asv_scan_on=one(app, day, 93))
    _system(app, network_segment="failed", asv_result="fail", last_asv_scan_on=one(app, day, 1))
    _system(app, network_segment="never")
    _system(app, network_segment="connected", scope_class="connected")
    due = "SELECT array_agg(network_segment ORDER BY asset_tag) FROM"
    assert one(app, f"{due} security_mgmt.v_cardholder_scan_due") == ["old", "failed", "never"]
