"""Clones are told, denied models refused, templates go with the consent, certificates expire."""

from __future__ import annotations

import hashlib
import json
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.conftest import add_account, become_app
from tests.integration.schema.signing import (
    allow_all,
    enroll,
    one,
    refused,
    revoke,
    run,
    status_of,
)

TENANT = "tenant_mgmt.current_business_id()"
CHALLENGE = {
    "pending": {
        "verified",
        "expired",
        "origin_mismatch",
        "signature_invalid",
        "counter_regression",
        "user_cancelled",
    },
    "verified": set(),
    "expired": set(),
    "origin_mismatch": set(),
    "signature_invalid": set(),
    "counter_regression": set(),
    "user_cancelled": set(),
}
CERTIFICATE = {
    "active": {"revoked", "expired", "superseded"},
    "superseded": {"revoked", "expired"},
    "expired": set(),
    "revoked": set(),
}


def sha(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def pairs(machine: dict[str, set[str]]) -> list[tuple[str, str]]:
    """All pairs of different states."""
    return [(a, b) for a, b in product(machine, machine) if a != b]


@pytest.fixture
def allowed(app: Connection) -> Connection:
    """The application, for a tenant that allows every method."""
    allow_all(app)
    return app


# Models


def add_model(connection: Connection, **columns: Any) -> UUID:
    """A model, by its AAGUID."""
    values = {
        "aaguid": uuid4(),
        "description": "Key",
        "vendor": "Maker",
        "certification_level": "none",
        "tenant_decision": "default",
        "status_reports": "[]",
        **columns,
    }
    made: UUID = one(
        connection,
        f"INSERT INTO user_auth.authenticator_model (business_id, {', '.join(values)})"
        f" VALUES ({TENANT}, {', '.join(['%s'] * len(values))}) RETURNING aaguid",
        *values.values(),
    )
    return made


def report(status: str, day: str | None) -> dict[str, str]:
    return {"status": status} | ({"effectiveDate": day} if day else {})


@pytest.mark.parametrize(
    ("reports", "status"),
    [
        ([], None),
        ([report("FIDO_CERTIFIED_L1", "2020-01-01")], "FIDO_CERTIFIED_L1"),
        (
            [report("REVOKED", "2024-01-01"), report("FIDO_CERTIFIED_L1", "2020-01-01")],
            "REVOKED",
        ),
        (
            [report("FIDO_CERTIFIED", "2020-01-01"), report("REVOKED", "2999-01-01")],
            "FIDO_CERTIFIED",
        ),
        ([report("REVOKED", "2026-06-16")], None),
        ([report("REVOKED", "2026-06-15")], "REVOKED"),
        (
            [report("FIDO_CERTIFIED_L1", "2020-01-01"), report("FIDO_CERTIFIED_L2", "2020-01-01")],
            "FIDO_CERTIFIED_L2",
        ),
        ([report("NOT_FIDO_CERTIFIED", None)], "NOT_FIDO_CERTIFIED"),
    ],
)
def test_the_status_that_took_effect_last_holds(
    app: Connection, reports: list[Any], status: str | None
) -> None:
    query = "SELECT user_auth.latest_fido_status(%s::jsonb, DATE '2026-06-15')"
    assert one(app, query, json.dumps(reports)) == status


@pytest.mark.parametrize(
    "reports",
    [
        [{"status": "WONDERFUL"}],
        [{"effectiveDate": "2020-01-01"}],
        [{"status": "REVOKED", "effectiveDate": "soon"}],
    ],
)
def test_reports_are_those_of_the_metadata_service(app: Connection, reports: list[Any]) -> None:
    with pytest.raises(errors.CheckViolation, match="status_reports_known"):
        add_model(app, status_reports=json.dumps(reports))


@pytest.mark.parametrize("decision", ["default", "allow"])
def test_a_revoked_model_is_denied_whatever_was_decided(app: Connection, decision: str) -> None:
    reports = json.dumps([report("REVOKED", "2024-01-01")])
    add_model(app, status_reports=reports, tenant_decision=decision)
    found = "SELECT tenant_decision FROM user_auth.authenticator_model"
    assert one(app, found) == "deny"
    run(app, "UPDATE user_auth.authenticator_model SET tenant_decision = 'allow'")
    assert one(app, found) == "deny"


def test_a_model_is_allowed_again_when_it_is_no_longer_revoked(app: Connection) -> None:
    add_model(app, status_reports=json.dumps([report("REVOKED", "2024-01-01")]))
    run(
        app,
        "UPDATE user_auth.authenticator_model SET tenant_decision = 'allow', status_reports = %s",
        json.dumps([report("REVOKED", "2024-01-01"), report("FIDO_CERTIFIED_L1", "2025-01-01")]),
    )
    assert one(app, "SELECT tenant_decision FROM user_auth.authenticator_model") == "allow"


@pytest.mark.parametrize(
    ("level", "decision", "minimum", "accepted"),
    [
        ("none", "default", None, True),
        ("none", "default", "l1", False),
        ("l1", "default", "l1", True),
        ("l1", "default", "l1_plus", False),
        ("l3", "default", "l2", True),
        ("none", "allow", "l3", True),
        ("l3_plus", "deny", None, False),
    ],
)
def test_denied_wins_allowed_needs_nothing_else_the_level_decides(
    allowed: Connection, level: str, decision: str, minimum: str | None, accepted: bool
) -> None:
    model = add_model(allowed, certification_level=level, tenant_decision=decision)
    settings = {"minimum_certification": minimum} if minimum else {}
    run(allowed, "UPDATE user_auth.auth_method_policy SET settings = %s", json.dumps(settings))
    query = "SELECT user_auth.is_model_accepted(%s, 'security_key')"
    assert one(allowed, query, model) is accepted


@pytest.mark.parametrize(("minimum", "accepted"), [("none", True), ("l1", False)])
def test_a_model_that_nobody_knows_has_no_level(
    allowed: Connection, minimum: str, accepted: bool
) -> None:
    settings = json.dumps({"minimum_certification": minimum})
    run(allowed, "UPDATE user_auth.auth_method_policy SET settings = %s", settings)
    query = "SELECT user_auth.is_model_accepted(%s, 'passkey')"
    assert one(allowed, query, uuid4()) is accepted


# Credentials


def register(connection: Connection, account: UUID, **columns: Any) -> bytes:
    """A credential of a new enrollment, by its credential_id."""
    method = columns.get("method", "passkey")
    credential = sha(str(uuid4()))
    values = {
        "user_account_id": account,
        "auth_enrollment_id": enroll(connection, account, method),
        "method": method,
        "credential_id": credential,
        "public_key_cose": b"k" * 77,
        "aaguid": uuid4(),
        "attachment": "platform" if method == "passkey" else "cross_platform",
        "is_discoverable": True,
        **columns,
    }
    run(
        connection,
        f"INSERT INTO user_auth.webauthn_credential (business_id, {', '.join(values)})"
        f" VALUES ({TENANT}, {', '.join(['%s'] * len(values))})",
        *values.values(),
    )
    return credential


def verify(connection: Connection, credential: bytes, count: int) -> Any:
    return one(connection, "SELECT user_auth.verify_webauthn_counter(%s, %s)", credential, count)


@pytest.mark.parametrize(
    ("stored", "told", "accepted"),
    [(0, 0, True), (0, 1, True), (7, 8, True), (7, 4294967295, True), (7, 7, False),
     (7, 6, False), (7, 0, False)],
)  # fmt: skip
def test_a_counter_rises_or_is_always_zero(
    allowed: Connection, account: UUID, stored: int, told: int, accepted: bool
) -> None:
    credential = register(allowed, account, sign_count=stored)
    assert verify(allowed, credential, told) is accepted
    row = allowed.execute(
        "SELECT sign_count, clone_detected_at IS NOT NULL, last_used_at IS NOT NULL"
        " FROM user_auth.webauthn_credential"
    ).fetchone()
    assert row == ((told, False, True) if accepted else (stored, True, False))


def test_a_clone_is_never_accepted_again(allowed: Connection, account: UUID) -> None:
    credential = register(allowed, account, sign_count=7)
    verify(allowed, credential, 7)
    assert not verify(allowed, credential, 99)
    assert one(allowed, "SELECT status FROM user_auth.auth_enrollment") == "suspended"
    rows = allowed.execute(
        "SELECT user_account_id, kind, severity, observed_value, expected_value"
        " FROM user_analytics.behavior_anomaly"
    ).fetchall()
    assert rows == [(account, "cloned_authenticator", "critical", 7, 8)], "told once"


def test_an_unknown_credential_has_no_counter(allowed: Connection) -> None:
    with pytest.raises(errors.NoDataFound):
        verify(allowed, sha("nobody"), 1)


def test_a_counter_never_falls_for_nobody(
    admin: Connection, allowed: Connection, account: UUID
) -> None:
    register(allowed, account, sign_count=7)
    fall = "UPDATE user_auth.webauthn_credential SET sign_count = 6"
    with refused(allowed, errors.CheckViolation, "fell from 7 to 6"):
        run(allowed, fall)
    admin.execute("RESET ROLE")
    with pytest.raises(errors.CheckViolation, match="fell from 7 to 6"):
        run(admin, fall)


@pytest.mark.parametrize("named", [True, False])
def test_a_denied_model_is_not_registered(allowed: Connection, account: UUID, named: bool) -> None:
    aaguid = add_model(allowed, tenant_decision="deny", certification_level="l3")
    model = one(allowed, "SELECT authenticator_model_id FROM user_auth.authenticator_model")
    with pytest.raises(errors.CheckViolation, match="is not accepted as passkey"):
        register(allowed, account, aaguid=aaguid, authenticator_model_id=model if named else None)


def test_a_credential_has_the_aaguid_of_its_model(allowed: Connection, account: UUID) -> None:
    add_model(allowed)
    model = one(allowed, "SELECT authenticator_model_id FROM user_auth.authenticator_model")
    with pytest.raises(errors.ForeignKeyViolation):
        register(allowed, account, authenticator_model_id=model, aaguid=uuid4())


def test_what_rests_on_a_model_is_suspended_when_it_is_denied(
    allowed: Connection, account: UUID
) -> None:
    aaguid = add_model(allowed)
    model = one(allowed, "SELECT authenticator_model_id FROM user_auth.authenticator_model")
    register(allowed, account, aaguid=aaguid, authenticator_model_id=model)
    register(allowed, account)
    run(allowed, "UPDATE user_auth.authenticator_model SET metadata_version = 2")
    states = "SELECT array_agg(status ORDER BY status) FROM user_auth.auth_enrollment"
    assert one(allowed, states) == ["active", "active"]
    reports = json.dumps([report("REVOKED", "2024-01-01")])
    run(allowed, "UPDATE user_auth.authenticator_model SET status_reports = %s", reports)
    assert one(allowed, states) == ["active", "suspended"]


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"is_backed_up": True}, "only_eligible_is_backed_up"),
        ({"is_discoverable": False}, "passkey_is_discoverable"),
        ({"method": "security_key", "is_backup_eligible": True}, "stays_on_its_key"),
        ({"method": "security_key", "attachment": "platform"}, "stays_on_its_key"),
        ({"cose_algorithm": -65535}, "algorithm_known"),
        ({"transports": ["telepathy"]}, "transports_known"),
    ],
)
def test_flags_of_a_credential_fit(
    allowed: Connection, account: UUID, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"webauthn_credential_.*{truth}"):
        register(allowed, account, **columns)


def test_a_synced_passkey_may_be_backed_up_later(allowed: Connection, account: UUID) -> None:
    register(allowed, account, is_backup_eligible=True)
    assert run(allowed, "UPDATE user_auth.webauthn_credential SET is_backed_up = true") == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("is_backup_eligible = true", errors.CheckViolation, "may be backed up does not change"),
        ("public_key_cose = '\\x01'", errors.RestrictViolation, "keeps its key"),
        ("aaguid = gen_random_uuid()", errors.RestrictViolation, "keeps its key"),
        ("cose_algorithm = -8", errors.RestrictViolation, "keeps its key"),
    ],
)
def test_a_credential_stays_as_it_was_registered(
    allowed: Connection, account: UUID, change: str, error: type[Exception], message: str
) -> None:
    register(allowed, account)
    with pytest.raises(error, match=message):
        run(allowed, f"UPDATE user_auth.webauthn_credential SET {change}")


def test_a_credential_is_of_one_account(
    admin: Connection, allowed: Connection, account: UUID
) -> None:
    bob = add_account_of(admin, allowed)
    with pytest.raises(errors.ForeignKeyViolation):
        register(allowed, account, auth_enrollment_id=enroll(allowed, bob, "passkey"))


def add_account_of(admin: Connection, allowed: Connection) -> UUID:
    """Another account of the tenant that the application works for."""
    tenant: UUID = one(allowed, f"SELECT {TENANT}")
    admin.execute("RESET ROLE")
    bob = add_account(admin, tenant, "bob")
    become_app(admin, tenant)
    return bob


# Ceremonies


def challenge(connection: Connection, account: UUID | None, **columns: Any) -> bytes:
    """A pending challenge, by its hash."""
    hash_ = sha(str(uuid4()))
    values = {
        "user_account_id": account,
        "ceremony": "authentication" if account else "conditional_ui",
        "challenge_hash": hash_,
        "relying_party_id": "acme.example",
        "origin": "https://login.acme.example",
        **columns,
    }
    ago = values.pop("ago", "0 minutes")
    run(
        connection,
        f"INSERT INTO user_auth.webauthn_challenge (business_id, {', '.join(values)}, issued_at,"
        f" expires_at) VALUES ({TENANT}, {', '.join(['%s'] * len(values))},"
        " clock_timestamp() - %s::interval,"
        " clock_timestamp() - %s::interval + interval '5 minutes')",
        *values.values(),
        ago,
        ago,
    )
    return hash_


def finish(
    connection: Connection, hash_: bytes, credential: bytes, count: int = 0, verified: bool = True
) -> tuple[Any, ...]:
    row = connection.execute(
        "SELECT result, user_account_id FROM user_auth.finish_assertion(%s, %s, %s, %s)",
        [hash_, credential, count, verified],
    ).fetchone()
    assert row
    return row


def kept(connection: Connection) -> Any:
    """What is kept of the one challenge: its result, whose it is and whether it was completed."""
    return connection.execute(
        "SELECT result, user_account_id, completed_at IS NOT NULL FROM user_auth.webauthn_challenge"
    ).fetchone()


@pytest.mark.parametrize("known", [True, False])
def test_an_answer_verifies_once(allowed: Connection, account: UUID, known: bool) -> None:
    credential = register(allowed, account)
    asked = challenge(allowed, account if known else None)
    assert finish(allowed, asked, credential) == ("verified", account)
    assert kept(allowed) == ("verified", account, True)
    with pytest.raises(errors.NoDataFound, match="answered before"):
        finish(allowed, asked, credential)


def test_a_clone_fails_the_ceremony(allowed: Connection, account: UUID) -> None:
    credential = register(allowed, account, sign_count=7)
    asked = challenge(allowed, account)
    assert finish(allowed, asked, credential, 7)[0] == "counter_regression"
    assert kept(allowed) == ("counter_regression", account, True)


def test_a_late_answer_is_none(allowed: Connection, account: UUID) -> None:
    credential = register(allowed, account)
    asked = challenge(allowed, account, ago="6 minutes")
    assert finish(allowed, asked, credential)[0] == "expired"
    assert kept(allowed) == ("expired", account, False)


def test_an_answer_of_somebody_else_is_invalid(
    admin: Connection, allowed: Connection, account: UUID
) -> None:
    credential = register(allowed, add_account_of(admin, allowed))
    assert finish(allowed, challenge(allowed, account), credential)[0] == "signature_invalid"
    assert kept(allowed) == ("signature_invalid", account, True)


@pytest.mark.parametrize("status", ["suspended", "revoked"])
def test_an_answer_by_what_is_not_active_is_invalid(
    allowed: Connection, account: UUID, status: str
) -> None:
    enroll(allowed, account, "password")
    credential = register(allowed, account)
    found = "SELECT auth_enrollment_id FROM user_auth.webauthn_credential"
    if status == "revoked":
        revoke(allowed, one(allowed, found))
    else:
        run(
            allowed,
            "UPDATE user_auth.auth_enrollment SET status = 'suspended' WHERE method = 'passkey'",
        )
    assert finish(allowed, challenge(allowed, account), credential)[0] == "signature_invalid"


@pytest.mark.parametrize(
    ("demanded", "verified", "result"),
    [
        ("required", True, "verified"),
        ("required", False, "signature_invalid"),
        ("preferred", False, "verified"),
    ],
)
def test_a_credential_may_demand_its_user(
    allowed: Connection, account: UUID, demanded: str, verified: bool, result: str
) -> None:
    credential = register(allowed, account, user_verification=demanded)
    asked = challenge(allowed, account)
    assert finish(allowed, asked, credential, 0, verified)[0] == result


def test_a_registration_is_not_finished_as_an_assertion(allowed: Connection, account: UUID) -> None:
    credential = register(allowed, account)
    asked = challenge(allowed, account, ceremony="registration")
    with pytest.raises(errors.NoDataFound):
        finish(allowed, asked, credential)


@pytest.mark.parametrize(
    "origin",
    ["https://acme.example", "https://acme.example:8443", "https://a.b.acme.example"],
)
def test_an_origin_lies_below_the_relying_party(
    allowed: Connection, account: UUID, origin: str
) -> None:
    assert challenge(allowed, account, origin=origin)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evilacme.example",
        "https://acme.example.evil.test",
        "http://acme.example",
        "https://acme.example/path",
        "https://evil.test?.acme.example",
    ],
)
def test_another_origin_is_refused(allowed: Connection, account: UUID, origin: str) -> None:
    with pytest.raises(errors.CheckViolation, match="origin_below_relying_party"):
        challenge(allowed, account, origin=origin)


def test_options_do_not_tell_the_challenge(allowed: Connection, account: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="options_do_not_tell_it"):
        challenge(allowed, account, options='{"challenge": "c2VjcmV0"}')


@pytest.mark.parametrize(("before", "after"), pairs(CHALLENGE))
def test_a_ceremony_ends_as_its_machine_says(
    admin: Connection, allowed: Connection, account: UUID, before: str, after: str
) -> None:
    register(allowed, account)
    tenant = one(allowed, f"SELECT {TENANT}")
    credential = one(allowed, "SELECT webauthn_credential_id FROM user_auth.webauthn_credential")
    admin.execute("RESET ROLE")
    run(
        admin,
        "INSERT INTO user_auth.webauthn_challenge (business_id, user_account_id, ceremony,"
        " webauthn_credential_id, user_verified, challenge_hash, relying_party_id, origin, result,"
        " issued_at, expires_at, completed_at) VALUES (%s, %s, 'authentication', %s, true, %s,"
        " 'acme.example', 'https://acme.example', %s, now(), now() + interval '5 minutes',"
        " CASE WHEN %s NOT IN ('pending', 'expired') THEN now() END)",
        tenant,
        account,
        credential,
        sha("1"),
        before,
        before,
    )
    become_app(admin, tenant)
    move = (
        "UPDATE user_auth.webauthn_challenge SET result = %s,"
        " completed_at = CASE WHEN %s NOT IN ('pending', 'expired') THEN now() END"
    )
    if after in CHALLENGE[before]:
        assert run(admin, move, after, after) == 1
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            run(admin, move, after, after)


# Biometrics


def consent(
    connection: Connection, account: UUID, kind: str = "biometric_processing", **columns: Any
) -> UUID:
    values = {
        "user_account_id": account,
        "consent_kind": kind,
        "document_version": "v-" + uuid4().hex[:8],
        "is_granted": True,
        "locale": "en-US",
        **columns,
    }
    made: UUID = one(
        connection,
        f"INSERT INTO user_mgmt.user_consent (business_id, {', '.join(values)})"
        f" VALUES ({TENANT}, {', '.join(['%s'] * len(values))}) RETURNING user_consent_id",
        *values.values(),
    )
    return made


def keep_face(connection: Connection, account: UUID, consent_id: UUID, years: int = 2) -> UUID:
    made: UUID = one(
        connection,
        "INSERT INTO user_auth.biometric_enrollment (business_id, user_account_id,"
        " auth_enrollment_id, user_consent_id, modality, template_ref, quality_score, vendor,"
        f" retention_until) VALUES ({TENANT}, %s, %s, %s, 'face', 'vault:faces/1', 90, 'Faces',"
        " ((now() AT TIME ZONE 'UTC') + %s * interval '1 year')::date)"
        " RETURNING biometric_enrollment_id",
        account,
        enroll(connection, account, "biometric"),
        consent_id,
        years,
    )
    return made


@pytest.fixture
def face(allowed: Connection, account: UUID) -> UUID:
    """A face that is kept with consent."""
    return keep_face(allowed, account, consent(allowed, account))


def template(connection: Connection) -> Any:
    """What is kept of the one template."""
    return connection.execute(
        "SELECT template_ref, destroyed_at IS NOT NULL FROM user_auth.biometric_enrollment"
    ).fetchone()


def test_a_face_is_kept_with_consent(allowed: Connection, face: UUID) -> None:
    assert template(allowed) == ("vault:faces/1", False)


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("marketing", {}),
        ("biometric_processing", {"is_granted": False}),
        ("biometric_processing", {"given_at": "2999-01-01"}),
        ("biometric_processing", {"given_at": "2020-01-01", "withdrawn_at": "2021-01-01"}),
    ],
)
def test_no_face_is_kept_without_live_consent(
    admin: Connection, allowed: Connection, account: UUID, kind: str, columns: dict[str, Any]
) -> None:
    given = consent(allowed, account, kind, **columns)
    with refused(allowed, errors.CheckViolation, "live consent"):
        keep_face(allowed, account, given)
    admin.execute("RESET ROLE")
    with pytest.raises(errors.CheckViolation, match="live consent"):
        keep_face(admin, account, given)


def test_nobody_consents_for_somebody_else(
    admin: Connection, allowed: Connection, account: UUID
) -> None:
    given = consent(allowed, add_account_of(admin, allowed))
    with pytest.raises(errors.CheckViolation, match="own person"):
        keep_face(allowed, account, given)


@pytest.mark.parametrize(
    "how", ["withdrawn_at = clock_timestamp() + interval '1 second'", "is_granted = false"]
)
def test_with_the_consent_goes_the_template(
    allowed: Connection, account: UUID, face: UUID, how: str
) -> None:
    run(allowed, f"UPDATE user_mgmt.user_consent SET {how}")
    assert template(allowed) == (None, True)
    assert one(allowed, "SELECT status FROM user_auth.auth_enrollment") == "expired"
    told = "SELECT payload ->> 'ref' FROM system_core.outbox_event WHERE topic = 'vault'"
    assert one(allowed, told) == "vault:faces/1", "the vault is told what to remove"


def test_another_consent_takes_nothing_with_it(
    allowed: Connection, account: UUID, face: UUID
) -> None:
    other = consent(allowed, account, "marketing")
    run(
        allowed,
        "UPDATE user_mgmt.user_consent SET is_granted = false WHERE user_consent_id = %s",
        other,
    )
    assert template(allowed) == ("vault:faces/1", False)


def test_what_was_destroyed_does_not_come_back(allowed: Connection, face: UUID) -> None:
    run(allowed, "UPDATE user_auth.biometric_enrollment SET destroyed_at = now()")
    with pytest.raises(errors.RestrictViolation, match="does not come back"):
        run(
            allowed,
            "UPDATE user_auth.biometric_enrollment SET destroyed_at = NULL,"
            " template_ref = 'vault:faces/2'",
        )


@pytest.mark.parametrize(("years", "is_kept"), [(3, True), (4, False)])
def test_a_face_is_kept_three_years_at_most(
    allowed: Connection, account: UUID, years: int, is_kept: bool
) -> None:
    given = consent(allowed, account)
    if is_kept:
        assert keep_face(allowed, account, given, years)
    else:
        with pytest.raises(errors.CheckViolation, match="kept_three_years"):
            keep_face(allowed, account, given, years)


@pytest.mark.parametrize(
    ("change", "destroyed"),
    [
        ("SELECT 1", 0),
        (
            "UPDATE user_auth.biometric_enrollment SET enrolled_at = now() - interval '2 years',"
            " retention_until = current_date - 1",
            1,
        ),
        (
            "UPDATE user_mgmt.user_account SET status = 'deactivated', deactivated_at = now()",
            1,
        ),
    ],
)
def test_templates_that_are_due_are_destroyed(
    allowed: Connection, account: UUID, change: str, destroyed: int
) -> None:
    keep_face(allowed, account, consent(allowed, account, given_at="2020-01-01"))
    run(allowed, change)
    assert one(allowed, "SELECT user_auth.destroy_due_templates()") == destroyed
    assert template(allowed)[1] is bool(destroyed)
    assert one(allowed, "SELECT user_auth.destroy_due_templates()") == 0


def compare(connection: Connection, face: UUID, **columns: Any) -> int:
    values = {
        "biometric_enrollment_id": face,
        "match_score": 0.9,
        "threshold": 0.8,
        "decision": "match",
        "liveness_score": 0.99,
        **columns,
    }
    return run(
        connection,
        f"INSERT INTO user_auth.biometric_verification (business_id, {', '.join(values)})"
        f" VALUES ({TENANT}, {', '.join(['%s'] * len(values))})",
        *values.values(),
    )


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"match_score": 0.79}, "match_reaches_threshold"),
        ({"match_score": 0.8, "decision": "no_match"}, "no_match_stays_below"),
        ({"match_score": 1.01}, "probability_between_0_and_1"),
        ({"liveness_score": -0.01}, "probability_between_0_and_1"),
        ({"decision": "spoof_suspected", "liveness_score": None}, "spoof_by_liveness"),
    ],
)
def test_a_decision_follows_the_scores(
    allowed: Connection, face: UUID, columns: dict[str, Any], truth: str
) -> None:
    assert compare(allowed, face, match_score=0.8) == 1
    with pytest.raises(errors.CheckViolation, match=truth):
        compare(allowed, face, **columns)


def test_a_comparison_is_not_changed(allowed: Connection, face: UUID) -> None:
    compare(allowed, face)
    with pytest.raises(errors.InsufficientPrivilege):
        run(allowed, "UPDATE user_auth.biometric_verification SET decision = 'no_match'")


def test_nothing_is_compared_with_a_template_that_is_gone(allowed: Connection, face: UUID) -> None:
    run(allowed, "UPDATE user_auth.biometric_enrollment SET destroyed_at = now()")
    with pytest.raises(errors.CheckViolation, match="was not there"):
        compare(allowed, face)


# Certificates


def issue_certificate(
    connection: Connection, account: UUID, thumbprint: str, **columns: Any
) -> UUID:
    values = {
        "user_account_id": account,
        "auth_enrollment_id": enroll(connection, account, "client_certificate"),
        "serial_number": sha(thumbprint).hex()[:32],
        "issuer_dn": "CN=Issuing CA",
        "subject_dn": "CN=Ada",
        "thumbprint_sha256": sha(thumbprint),
        "key_algorithm": "p256",
        "not_before": "2020-01-01",
        "not_after": "2999-01-01",
        **columns,
    }
    made: UUID = one(
        connection,
        f"INSERT INTO user_auth.client_certificate (business_id, {', '.join(values)},"
        f" revocation_checked_at) VALUES ({TENANT}, {', '.join(['%s'] * len(values))}, now())"
        " RETURNING client_certificate_id",
        *values.values(),
    )
    return made


def holder(connection: Connection, thumbprint: str) -> Any:
    return one(connection, "SELECT user_auth.account_of_certificate(%s)", sha(thumbprint))


def test_a_certificate_names_its_account(allowed: Connection, account: UUID) -> None:
    issue_certificate(allowed, account, "card")
    assert holder(allowed, "card") == account
    assert holder(allowed, "other") is None


@pytest.mark.parametrize(
    "change",
    [
        "client_certificate SET not_after = now() - interval '1 second'",
        "client_certificate SET not_before = now() + interval '1 second',"
        " revocation_checked_at = NULL",
        "client_certificate SET status = 'revoked', revocation_reason = 'key_compromise'",
        "client_certificate SET revocation_checked_at = now() - interval '25 hours'",
        "client_certificate SET revocation_checked_at = NULL",
        "auth_enrollment SET status = 'suspended'",
    ],
)
def test_a_certificate_that_is_not_good_names_nobody(
    allowed: Connection, account: UUID, change: str
) -> None:
    issue_certificate(allowed, account, "card")
    run(allowed, f"UPDATE user_auth.{change}")
    assert holder(allowed, "card") is None


@pytest.mark.parametrize(("before", "after"), pairs(CERTIFICATE))
def test_a_certificate_moves_as_its_machine_says(
    admin: Connection, allowed: Connection, account: UUID, before: str, after: str
) -> None:
    tenant = one(allowed, f"SELECT {TENANT}")
    admin.execute("RESET ROLE")
    reason = "unspecified" if before == "revoked" else None
    issue_certificate(admin, account, "card", status=before, revocation_reason=reason)
    become_app(admin, tenant)
    move = (
        "UPDATE user_auth.client_certificate SET status = %s,"
        " revocation_reason = CASE WHEN %s = 'revoked' THEN 'unspecified' END"
    )
    if after in CERTIFICATE[before]:
        assert run(admin, move, after, after) == 1
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            run(admin, move, after, after)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"not_after": "2020-01-01"}, "valid_for_a_time"),
        ({"serial_number": "0x1F"}, "serial_number_hex"),
        ({"key_algorithm": "rsa1024"}, "key_algorithm_known"),
    ],
)
def test_a_certificate_is_what_certificates_are(
    allowed: Connection, account: UUID, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"client_certificate_{truth}"):
        issue_certificate(allowed, account, "card", **columns)


# Posture


def posture(connection: Connection, columns: str) -> Any:
    return connection.execute(
        f"SELECT {columns} FROM user_auth.v_security_posture".encode()
    ).fetchone()


def test_who_has_enrolled_nothing_has_no_assurance(allowed: Connection, account: UUID) -> None:
    columns = "methods, strongest_assurance, is_phishing_resistant, has_stale_password"
    assert posture(allowed, columns) == ([], None, False, False)


def test_the_strongest_method_tells_the_assurance(allowed: Connection, account: UUID) -> None:
    columns = "methods, strongest_assurance, is_phishing_resistant, has_second_factor"
    enroll(allowed, account, "password")
    assert posture(allowed, columns) == (["password"], "aal1", False, False)
    enroll(allowed, account, "totp")
    assert posture(allowed, columns) == (["password", "totp"], "aal2", False, True)
    enrolled = enroll(allowed, account, "security_key")
    assert posture(allowed, "strongest_assurance, is_phishing_resistant") == ("aal3", True)
    revoke(allowed, enrolled)
    assert status_of(allowed, enrolled) == "revoked"
    assert posture(allowed, "strongest_assurance, is_phishing_resistant") == ("aal2", False)


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        ("set_at = now() - interval '364 days'", False),
        ("set_at = now() - interval '366 days'", True),
        ("must_change = true", True),
        ("is_breached = true, breach_checked_at = now()", True),
        ("set_at = now() - interval '9 days', expires_at = now() - interval '1 day'", True),
        ("expires_at = now() + interval '1 day'", False),
    ],
)
def test_a_password_grows_stale(
    allowed: Connection, account: UUID, change: str, stale: bool
) -> None:
    one(
        allowed,
        "SELECT user_auth.set_password(%s,"
        " '$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g', 'argon2id',"
        """ '{"memory_kib": 65536}', 3)""",
        account,
    )
    run(allowed, f"UPDATE user_auth.password_credential SET {change}")
    assert posture(allowed, "has_stale_password") == (stale,)


def test_what_is_demanded_and_missing_is_named(allowed: Connection, account: UUID) -> None:
    run(
        allowed,
        "UPDATE user_auth.auth_method_policy SET enforced_from = current_date"
        " WHERE method IN ('totp', 'passkey')",
    )
    run(
        allowed,
        "UPDATE user_auth.auth_method_policy SET enforced_from = current_date + 1"
        " WHERE method = 'security_key'",
    )
    run(
        allowed,
        "UPDATE user_auth.auth_method_policy SET enforced_from = current_date,"
        " applies_to = 'customers' WHERE method = 'magic_link'",
    )
    enroll(allowed, account, "totp")
    assert posture(allowed, "missing_methods") == (["passkey"],)
