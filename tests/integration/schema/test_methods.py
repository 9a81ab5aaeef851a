"""What the tenant allows is enrolled, the last way in is kept, and codes work once."""

from __future__ import annotations

import hashlib
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.conftest import add_account, become_app
from tests.integration.schema.signing import (
    METHODS,
    allow_all,
    enroll,
    one,
    refused,
    revoke,
    run,
    status_of,
)

ENROLLMENT = {
    "pending": {"active", "revoked", "expired"},
    "active": {"suspended", "revoked", "expired"},
    "suspended": {"active", "revoked", "expired"},
    "revoked": set(),
    "expired": set(),
}
CODE = {
    "none": {"used", "expired", "superseded", "too_many_attempts"},
    "used": set(),
    "expired": set(),
    "superseded": set(),
    "too_many_attempts": set(),
}
PUSH = {
    "sent": {"approved", "denied", "expired", "reported_fraud"},
    "denied": {"reported_fraud"},
    "expired": {"reported_fraud"},
    "approved": set(),
    "reported_fraud": set(),
}
ARGON = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2g"
TENANT = "tenant_mgmt.current_business_id()"


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


def test_the_fourteen_methods_are_one_list(allowed: Connection) -> None:
    rows = allowed.execute("SELECT method FROM user_auth.methods()").fetchall()
    assert {method for (method,) in rows} == set(METHODS)
    rows = allowed.execute("SELECT method FROM user_auth.auth_method_policy").fetchall()
    assert sorted(method for (method,) in rows) == sorted(METHODS), "a policy each, and no other"


def test_every_method_names_a_table_of_the_model(allowed: Connection) -> None:
    missing = one(
        allowed,
        "SELECT array_agg(m.stored_in) FROM user_auth.methods() AS m WHERE NOT EXISTS ("
        " SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname IN ('user_auth', 'user_mgmt') AND c.relname = m.stored_in)",
    )
    assert missing is None


@pytest.mark.parametrize(
    ("method", "level"),
    [("sms_otp", "aal1"), ("totp", "aal2"), ("security_key", "aal3"), ("oidc_federation", None)],
)
def test_a_method_tells_its_assurance(allowed: Connection, method: str, level: str | None) -> None:
    assert one(allowed, "SELECT user_auth.method_assurance(%s)", method) == level


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_enrolled(allowed: Connection, account: UUID, method: str) -> None:
    assert status_of(allowed, enroll(allowed, account, method)) == "active"


def test_defaults_are_added_once(app: Connection) -> None:
    assert one(app, "SELECT user_auth.allow_default_methods()") == 14
    assert one(app, "SELECT user_auth.allow_default_methods()") == 0


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("assurance_level = 'aal2' WHERE method = 'sms_otp'", "level_within_method"),
        ("is_phishing_resistant = true WHERE method = 'totp'", "few_withstand_phishing"),
        ("code_ttl_seconds = 29 WHERE method = 'email_otp'", "ttl_bounded"),
        ("code_ttl_seconds = 1801 WHERE method = 'email_otp'", "ttl_bounded"),
        ("code_ttl_seconds = 60 WHERE method = 'password'", "ttl_of_what_is_sent"),
        ("max_enrollments_per_user = 0 WHERE method = 'totp'", "enrollments_positive"),
    ],
)
def test_a_policy_does_not_promise_what_a_method_cannot(
    allowed: Connection, change: str, truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"auth_method_policy_{truth}"):
        run(allowed, f"UPDATE user_auth.auth_method_policy SET {change}")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE user_auth.auth_method_policy SET is_enabled = false",
        "UPDATE user_auth.auth_method_policy SET usable_as = 'second_factor'",
        "DELETE FROM user_auth.auth_method_policy",
    ],
)
def test_a_primary_method_stays_enabled(allowed: Connection, statement: str) -> None:
    with pytest.raises(errors.CheckViolation, match="no primary method would be left"):
        run(allowed, statement)


def test_all_but_one_primary_method_may_go(allowed: Connection) -> None:
    disable = "UPDATE user_auth.auth_method_policy SET is_enabled = false WHERE method <> %s"
    assert run(allowed, disable, "passkey") == 13


def test_a_disabled_method_is_not_enrolled(allowed: Connection, account: UUID) -> None:
    run(allowed, "UPDATE user_auth.auth_method_policy SET is_enabled = false WHERE method = 'totp'")
    with pytest.raises(errors.CheckViolation, match="totp is not enabled"):
        enroll(allowed, account, "totp")


@pytest.mark.parametrize(
    ("applies_to", "is_for"),
    [("everyone", True), ("staff", True), ("customers", False), ("administrators", False)],
)
def test_a_method_is_for_whom_the_policy_says(
    allowed: Connection, account: UUID, applies_to: str, is_for: bool
) -> None:
    run(allowed, "UPDATE user_auth.auth_method_policy SET applies_to = %s", applies_to)
    if is_for:
        enroll(allowed, account, "totp")
    else:
        with pytest.raises(errors.CheckViolation, match=f"totp is for {applies_to} only"):
            enroll(allowed, account, "totp")


def test_an_administrator_holds_a_critical_role(
    admin: Connection, allowed: Connection, account: UUID, tenant: UUID
) -> None:
    run(allowed, "UPDATE user_auth.auth_method_policy SET applies_to = 'administrators'")
    role = one(
        allowed,
        "INSERT INTO user_rbac.role (business_id, code, name, risk_tier, requires_mfa)"
        f" VALUES ({TENANT}, 'chief', 'Chief', 'critical', true) RETURNING role_id",
    )
    run(
        allowed,
        "INSERT INTO user_rbac.role_assignment (business_id, user_account_id, role_id)"
        f" VALUES ({TENANT}, %s, %s)",
        account,
        role,
    )
    assert status_of(allowed, enroll(allowed, account, "totp")) == "active"


def test_a_method_is_enrolled_as_often_as_the_policy_lets(
    allowed: Connection, account: UUID
) -> None:
    for _ in range(3):
        last = enroll(allowed, account, "totp")
    with refused(allowed, errors.CheckViolation, "enrolled 3 times"):
        enroll(allowed, account, "totp")
    enroll(allowed, account, "password")
    revoke(allowed, last)
    enroll(allowed, account, "totp")


def test_what_was_enrolled_before_stays_but_is_not_taken_up_again(
    allowed: Connection, account: UUID
) -> None:
    enrolled = enroll(allowed, account, "totp")
    run(allowed, "UPDATE user_auth.auth_method_policy SET is_enabled = false WHERE method = 'totp'")
    assert status_of(allowed, enrolled) == "active"
    run(allowed, "UPDATE user_auth.auth_enrollment SET status = 'suspended'")
    with pytest.raises(errors.CheckViolation, match="totp is not enabled"):
        run(allowed, "UPDATE user_auth.auth_enrollment SET status = 'active'")


def test_history_is_imported_whatever_the_policy_says_now(
    admin: Connection, tenant: UUID, account: UUID
) -> None:
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    allow_all(admin)
    run(admin, "UPDATE user_auth.auth_method_policy SET is_enabled = false")
    enrolled = enroll(admin, account, "totp")
    assert status_of(admin, enrolled) == "active"


def test_who_has_left_enrolls_nothing(allowed: Connection, account: UUID) -> None:
    run(
        allowed,
        "UPDATE user_mgmt.user_account SET status = 'deactivated', deactivated_at = now()",
    )
    with pytest.raises(errors.CheckViolation, match="has left"):
        enroll(allowed, account, "password")


@pytest.mark.parametrize(("before", "after"), pairs(ENROLLMENT))
def test_an_enrollment_moves_as_its_machine_says(
    admin: Connection, tenant: UUID, account: UUID, before: str, after: str
) -> None:
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    allow_all(admin)
    extra = "revoked_at, revoke_reason" if before == "revoked" else "friendly_name, last_used_at"
    enrolled = one(
        admin,
        f"INSERT INTO user_auth.auth_enrollment (business_id, user_account_id, method, status,"
        f" confirmed_at, {extra}) VALUES (%s, %s, 'totp', %s, CASE WHEN %s <> 'pending' THEN now()"
        f" END, {'now(), $$lost$$' if before == 'revoked' else 'NULL, NULL'})"
        " RETURNING auth_enrollment_id",
        tenant,
        account,
        before,
        before,
    )
    become_app(admin, tenant)
    move = (
        "UPDATE user_auth.auth_enrollment SET status = %s, confirmed_at = CASE WHEN %s = 'pending'"
        " THEN NULL ELSE coalesce(confirmed_at, now()) END,"
        " revoked_at = CASE WHEN %s = 'revoked' THEN now() END,"
        " revoke_reason = CASE WHEN %s = 'revoked' THEN 'lost' END WHERE auth_enrollment_id = %s"
    )
    values = (after, after, after, after, enrolled)
    if after in ENROLLMENT[before]:
        assert run(admin, move, *values) == 1
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            run(admin, move, *values)


@pytest.mark.parametrize("status", ["suspended", "revoked", "expired"])
def test_an_enrollment_starts_pending_or_active(
    allowed: Connection, account: UUID, status: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"cannot start as {status}"):
        enroll(allowed, account, status=status, method="totp")


@pytest.mark.parametrize("column", ["method", "user_account_id"])
def test_an_enrollment_does_not_change_hands(
    admin: Connection, allowed: Connection, account: UUID, column: str
) -> None:
    enroll(allowed, account, "totp")
    value: Any = "passkey" if column == "method" else uuid4()
    with pytest.raises(errors.RestrictViolation, match="stays with its account"):
        run(allowed, f"UPDATE user_auth.auth_enrollment SET {column} = %s", value)


def test_the_last_primary_method_is_not_revoked(allowed: Connection, account: UUID) -> None:
    password = enroll(allowed, account, "password")
    enroll(allowed, account, "totp")
    with refused(allowed, errors.CheckViolation, "last primary method"):
        revoke(allowed, password)
    with refused(allowed, errors.CheckViolation, "last primary method"):
        run(allowed, "DELETE FROM user_auth.auth_enrollment WHERE method = 'password'")
    enroll(allowed, account, "passkey")
    revoke(allowed, password)
    assert status_of(allowed, password) == "revoked"


def test_a_second_factor_may_go_whatever_is_left(allowed: Connection, account: UUID) -> None:
    second = enroll(allowed, account, "totp")
    revoke(allowed, second)
    assert status_of(allowed, second) == "revoked"


def test_a_disabled_method_is_no_way_in(allowed: Connection, account: UUID) -> None:
    password = enroll(allowed, account, "password")
    enroll(allowed, account, "passkey")
    run(
        allowed,
        "UPDATE user_auth.auth_method_policy SET is_enabled = false WHERE method = 'passkey'",
    )
    with pytest.raises(errors.CheckViolation, match="last primary method"):
        revoke(allowed, password)


def test_suspicion_does_not_wait_but_revocation_after_it_does(
    allowed: Connection, account: UUID
) -> None:
    password = enroll(allowed, account, "password")
    run(allowed, "UPDATE user_auth.auth_enrollment SET status = 'suspended'")
    with pytest.raises(errors.CheckViolation, match="last primary method"):
        revoke(allowed, password)


def test_a_suspended_account_may_lose_every_method(allowed: Connection, account: UUID) -> None:
    password = enroll(allowed, account, "password")
    run(allowed, "UPDATE user_mgmt.user_account SET status = 'suspended'")
    revoke(allowed, password)
    assert status_of(allowed, password) == "revoked"


def test_one_method_is_preferred_while_it_works(allowed: Connection, account: UUID) -> None:
    first, second = enroll(allowed, account, "password"), enroll(allowed, account, "passkey")
    prefer = "UPDATE user_auth.auth_enrollment SET is_preferred = true WHERE auth_enrollment_id=%s"
    run(allowed, prefer, first)
    with refused(allowed, errors.UniqueViolation, "auth_enrollment_preferred_idx"):
        run(allowed, prefer, second)
    run(
        allowed,
        "UPDATE user_auth.auth_enrollment SET status = 'suspended' WHERE auth_enrollment_id = %s",
        first,
    )
    run(allowed, prefer, second)


def test_a_session_names_a_method_of_its_own_account(
    admin: Connection, tenant: UUID, account: UUID
) -> None:
    bob = add_account(admin, tenant, "bob")
    become_app(admin, tenant)
    allow_all(admin)
    foreign = enroll(admin, bob, "password")
    with pytest.raises(errors.ForeignKeyViolation):
        run(
            admin,
            "INSERT INTO user_auth.user_session (business_id, user_account_id, first_method_id,"
            " session_token_hash, client_kind, absolute_expires_at) VALUES (%s, %s, %s, %s, 'web',"
            " now() + interval '1 hour')",
            tenant,
            account,
            foreign,
            sha("token"),
        )


# Passwords


def set_password(connection: Connection, account: UUID, hash_: str = ARGON) -> UUID:
    made: UUID = one(
        connection,
        "SELECT user_auth.set_password(%s, %s, 'argon2id',"
        """ '{"memory_kib": 65536, "iterations": 3, "parallelism": 4}', 3)""",
        account,
        hash_,
    )
    return made


def test_a_new_password_supersedes_the_old_one(allowed: Connection, account: UUID) -> None:
    run(
        allowed,
        "UPDATE user_auth.auth_method_policy SET settings = '{\"max_age_days\": 90}'"
        " WHERE method = 'password'",
    )
    first, second = set_password(allowed, account), set_password(allowed, account, ARGON + "x")
    rows = allowed.execute(
        "SELECT password_credential_id, superseded_at IS NULL, expires_at = now() + '90 days'"
        " FROM user_auth.password_credential WHERE is_current"
    ).fetchall()
    assert rows == [(second, True, True)]
    assert one(allowed, "SELECT count(*) FROM user_auth.auth_enrollment") == 1
    assert first != second


def test_a_password_takes_up_a_suspended_enrollment(allowed: Connection, account: UUID) -> None:
    enrolled = enroll(allowed, account, "password")
    run(allowed, "UPDATE user_auth.auth_enrollment SET status = 'suspended'")
    set_password(allowed, account)
    assert status_of(allowed, enrolled) == "active"


def test_twelve_old_passwords_are_kept(allowed: Connection, account: UUID) -> None:
    for n in range(15):
        set_password(allowed, account, f"{ARGON}{n}")
    old = "SELECT count(*) FROM user_auth.password_credential WHERE is_current = %s"
    assert (one(allowed, old, False), one(allowed, old, True)) == (12, 1)


@pytest.mark.parametrize(
    ("algorithm", "hash_", "parameters", "truth"),
    [
        ("argon2id", "hunter2", '{"memory_kib": 65536}', "hash_is_of_algorithm"),
        ("bcrypt", ARGON, '{"cost": 12}', "hash_is_of_algorithm"),
        ("argon2id", ARGON, '{"memory_kib": 19455}', "is_costly_to_try"),
        ("argon2id", ARGON, "{}", "is_costly_to_try"),
        ("bcrypt", "$2b$09$" + "a" * 53, '{"cost": 9}', "is_costly_to_try"),
        ("pbkdf2_sha256", "$pbkdf2-sha256$1000$c2FsdA$aGFzaA", '{"iterations": 1000}', "costly"),
    ],
)
def test_no_password_is_kept_in_clear_or_cheaply(
    allowed: Connection, account: UUID, algorithm: str, hash_: str, parameters: str, truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        one(
            allowed,
            "SELECT user_auth.set_password(%s, %s, %s, %s::jsonb, 3)",
            account,
            hash_,
            algorithm,
            parameters,
        )


@pytest.mark.parametrize(
    ("algorithm", "hash_", "parameters"),
    [
        ("argon2id", ARGON, '{"memory_kib": 19456}'),
        ("bcrypt", "$2b$10$" + "a" * 53, '{"cost": 10}'),
        ("scrypt", "$scrypt$ln=15,r=8,p=1$c2FsdA$aGFzaA", '{"ln": 15}'),
        ("pbkdf2_sha256", "$pbkdf2-sha256$600000$c2FsdA$aGFzaA", '{"iterations": 600000}'),
    ],
)
def test_every_algorithm_is_kept_at_its_least_cost(
    allowed: Connection, account: UUID, algorithm: str, hash_: str, parameters: str
) -> None:
    assert one(
        allowed,
        "SELECT user_auth.set_password(%s, %s, %s, %s::jsonb, 3)",
        account,
        hash_,
        algorithm,
        parameters,
    )


def test_a_password_hangs_below_a_password(allowed: Connection, account: UUID) -> None:
    other = enroll(allowed, account, "passkey")
    with pytest.raises(errors.ForeignKeyViolation):
        run(
            allowed,
            "INSERT INTO user_auth.password_credential (business_id, user_account_id,"
            f" auth_enrollment_id, hash, parameters, strength_score) VALUES ({TENANT}, %s, %s, %s,"
            """ '{"memory_kib": 65536}', 3)""",
            account,
            other,
            ARGON,
        )


# Authenticator apps


@pytest.fixture
def totp(allowed: Connection, account: UUID) -> UUID:
    """An enrolled authenticator app."""
    enrolled = enroll(allowed, account, "totp")
    run(
        allowed,
        "INSERT INTO user_auth.totp_credential (business_id, user_account_id, auth_enrollment_id,"
        f" secret_ciphertext, key_ref, issuer_label) VALUES ({TENANT}, %s, %s, %s, 'vault:totp/1',"
        " 'Acme')",
        account,
        enrolled,
        b"x" * 48,
    )
    return enrolled


def accept(connection: Connection, enrollment: UUID, step: int, drift: int = 0) -> Any:
    query = "SELECT user_auth.accept_totp_step(%s, %s, %s)"
    return one(connection, query, enrollment, step, drift)


def test_a_code_of_an_app_works_once(allowed: Connection, totp: UUID) -> None:
    assert accept(allowed, totp, 100)
    assert not accept(allowed, totp, 100)
    assert not accept(allowed, totp, 99)
    assert accept(allowed, totp, 101)


def test_a_code_of_a_suspended_app_does_not_work(allowed: Connection, totp: UUID) -> None:
    run(allowed, "UPDATE user_auth.auth_enrollment SET status = 'suspended'")
    assert not accept(allowed, totp, 100)


@pytest.mark.parametrize("step", [99, None])
def test_the_last_step_only_rises(allowed: Connection, totp: UUID, step: int | None) -> None:
    accept(allowed, totp, 100)
    with pytest.raises(errors.CheckViolation, match="earlier step"):
        run(allowed, "UPDATE user_auth.totp_credential SET last_accepted_step = %s", step)


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("digits = 7", "digits_usual"),
        ("period_seconds = 45", "period_usual"),
        ("drift_steps = 3", "drift_bounded"),
        ("secret_ciphertext = '\\x0102'", "secret_is_encrypted"),
    ],
)
def test_an_app_is_set_up_as_apps_are(
    allowed: Connection, totp: UUID, change: str, truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"totp_credential_{truth}"):
        run(allowed, f"UPDATE user_auth.totp_credential SET {change}")


# Codes that are sent


def issue(
    connection: Connection, account: UUID, code: str, purpose: str = "verify_contact"
) -> UUID:
    made: UUID = one(
        connection,
        "SELECT user_auth.issue_one_time_code(%s, 'email_otp', %s, %s, 'a***@example.com')",
        account,
        purpose,
        sha(code),
    )
    return made


def redeem(
    connection: Connection, account: UUID, code: str, purpose: str = "verify_contact"
) -> Any:
    query = "SELECT user_auth.redeem_one_time_code(%s, 'email_otp', %s, %s)"
    return one(connection, query, account, purpose, sha(code))


@pytest.fixture
def hasty(allowed: Connection) -> Connection:
    """The application, for a tenant that lets codes be sent without a pause."""
    run(allowed, "UPDATE user_auth.auth_method_policy SET cooldown_seconds = 0")
    return allowed


def test_a_code_works_once(allowed: Connection, account: UUID) -> None:
    issue(allowed, account, "123456")
    assert redeem(allowed, account, "123456")
    assert not redeem(allowed, account, "123456")


def test_a_code_is_for_its_purpose_and_its_account(hasty: Connection, account: UUID) -> None:
    issue(hasty, account, "123456")
    assert not redeem(hasty, account, "123456", "recover")
    assert not redeem(hasty, uuid4(), "123456")


def test_a_code_ends_after_five_tries(allowed: Connection, account: UUID) -> None:
    issue(allowed, account, "123456")
    assert [redeem(allowed, account, "000000") for _ in range(5)] == [False] * 5
    assert not redeem(allowed, account, "123456")
    reason = "SELECT invalidated_reason FROM user_auth.one_time_code"
    assert one(allowed, reason) == "too_many_attempts"


def test_the_fifth_try_may_be_right(allowed: Connection, account: UUID) -> None:
    issue(allowed, account, "123456")
    for _ in range(4):
        redeem(allowed, account, "000000")
    assert redeem(allowed, account, "123456")


def test_one_code_is_live_for_a_purpose(hasty: Connection, account: UUID) -> None:
    issue(hasty, account, "111111")
    issue(hasty, account, "222222")
    issue(hasty, account, "333333", "recover")
    assert not redeem(hasty, account, "111111")
    assert redeem(hasty, account, "222222")
    assert redeem(hasty, account, "333333", "recover")


def test_the_next_code_waits(allowed: Connection, account: UUID) -> None:
    issue(allowed, account, "111111")
    with pytest.raises(errors.ProgramLimitExceeded, match="another goes out in"):
        issue(allowed, account, "222222")


def test_a_code_lives_as_long_as_the_policy_says(allowed: Connection, account: UUID) -> None:
    issue(allowed, account, "111111")
    lives = "SELECT expires_at - issued_at = interval '600 seconds' FROM user_auth.one_time_code"
    assert one(allowed, lives)


def test_an_expired_code_does_not_work(
    admin: Connection, hasty: Connection, account: UUID, tenant: UUID
) -> None:
    run(
        hasty,
        "INSERT INTO user_auth.one_time_code (business_id, user_account_id, method, purpose,"
        f" code_hash, sent_to_masked, issued_at, expires_at) VALUES ({TENANT}, %s, 'email_otp',"
        " 'verify_contact', %s, 'a***@example.com', now() - interval '11 minutes',"
        " now() - interval '1 minute')",
        account,
        sha("111111"),
    )
    assert not redeem(hasty, account, "111111")
    issue(hasty, account, "222222")
    reasons = "SELECT array_agg(invalidated_reason ORDER BY issued_at) FROM user_auth.one_time_code"
    assert one(hasty, reasons) == ["expired", "none"]


def test_signing_in_by_code_needs_the_method_enrolled(hasty: Connection, account: UUID) -> None:
    with refused(hasty, errors.InsufficientPrivilege, "no active enrollment"):
        issue(hasty, account, "111111", "sign_in")
    enrolled = enroll(hasty, account, "email_otp")
    issue(hasty, account, "111111", "sign_in")
    assert one(hasty, "SELECT auth_enrollment_id FROM user_auth.one_time_code") == enrolled


def test_a_disabled_method_still_recovers(hasty: Connection, account: UUID) -> None:
    enroll(hasty, account, "email_otp")
    run(
        hasty,
        "UPDATE user_auth.auth_method_policy SET is_enabled = false WHERE method = 'email_otp'",
    )
    with refused(hasty, errors.InsufficientPrivilege, "email_otp is not enabled"):
        issue(hasty, account, "111111", "sign_in")
    assert issue(hasty, account, "111111", "recover")


def test_nobody_is_sent_nothing(hasty: Connection) -> None:
    with pytest.raises(errors.NoDataFound):
        issue(hasty, uuid4(), "111111")


def test_an_address_is_kept_masked(hasty: Connection, account: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="receiver_is_masked"):
        one(
            hasty,
            "SELECT user_auth.issue_one_time_code(%s, 'email_otp', 'recover', %s, 'a@example.com')",
            account,
            sha("1"),
        )


@pytest.mark.parametrize(("before", "after"), pairs(CODE))
def test_a_code_ends_as_its_machine_says(
    admin: Connection, tenant: UUID, account: UUID, before: str, after: str
) -> None:
    run(
        admin,
        "INSERT INTO user_auth.one_time_code (business_id, user_account_id, method, purpose,"
        " code_hash, sent_to_masked, invalidated_reason, attempt_count, issued_at, expires_at,"
        " consumed_at) VALUES (%s, %s, 'email_otp', 'recover', %s, 'a***', %s, 5, now(),"
        " now() + interval '5 minutes', CASE WHEN %s = 'used' THEN now() END)",
        tenant,
        account,
        sha("1"),
        before,
        before,
    )
    become_app(admin, tenant)
    move = (
        "UPDATE user_auth.one_time_code SET invalidated_reason = %s,"
        " consumed_at = CASE WHEN %s = 'used' THEN now() END"
    )
    if after in CODE[before]:
        assert run(admin, move, after, after) == 1
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            run(admin, move, after, after)


# Approvals on a telephone


@pytest.fixture
def phone(allowed: Connection, account: UUID) -> UUID:
    """An enrolled telephone, by its enrollment."""
    run(
        allowed,
        "INSERT INTO user_auth.user_device (business_id, user_account_id, fingerprint_hash,"
        f" device_kind) VALUES ({TENANT}, %s, %s, 'phone')",
        account,
        sha("phone"),
    )
    return enroll(allowed, account, "push_approval")


def push(connection: Connection, enrollment: UUID, state: str = "sent") -> UUID:
    made: UUID = one(
        connection,
        "INSERT INTO user_auth.push_challenge (business_id, user_account_id, auth_enrollment_id,"
        " user_device_id, challenge_hash, match_number, state, expires_at, answered_at)"
        " SELECT d.business_id, d.user_account_id, %s, d.user_device_id, %s, 42, %s,"
        " clock_timestamp() + interval '2 minutes',"
        " CASE WHEN %s IN ('approved', 'denied', 'reported_fraud')"
        " THEN clock_timestamp() + interval '1 second' END"
        " FROM user_auth.user_device AS d RETURNING push_challenge_id",
        enrollment,
        sha(str(uuid4())),
        state,
        state,
    )
    return made


def answer(connection: Connection, state: str, at: str = "1 second") -> int:
    return run(
        connection,
        "UPDATE user_auth.push_challenge SET state = %s, answered_at ="
        " CASE WHEN %s IN ('approved', 'denied', 'reported_fraud')"
        " THEN requested_at + %s::interval END",
        state,
        state,
        at,
    )


@pytest.mark.parametrize(("before", "after"), pairs(PUSH))
def test_a_challenge_is_answered_as_its_machine_says(
    admin: Connection, phone: UUID, tenant: UUID, before: str, after: str
) -> None:
    admin.execute("RESET ROLE")
    push(admin, phone, before)
    become_app(admin, tenant)
    if after in PUSH[before]:
        assert answer(admin, after) == 1
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            answer(admin, after)


def test_an_approval_comes_in_time(allowed: Connection, phone: UUID) -> None:
    push(allowed, phone)
    with pytest.raises(errors.CheckViolation, match="approved_in_time"):
        answer(allowed, "approved", "3 minutes")


def test_three_challenges_wait_at_a_time(allowed: Connection, phone: UUID) -> None:
    for _ in range(3):
        push(allowed, phone)
    with refused(allowed, errors.ProgramLimitExceeded, "not answered"):
        push(allowed, phone)
    answer(allowed, "denied")
    push(allowed, phone)


def test_an_expired_challenge_was_not_answered(allowed: Connection, phone: UUID) -> None:
    for _ in range(3):
        push(allowed, phone)
    answer(allowed, "expired")
    with pytest.raises(errors.ProgramLimitExceeded):
        push(allowed, phone)


def test_a_blocked_telephone_approves_nothing(allowed: Connection, phone: UUID) -> None:
    run(allowed, "UPDATE user_auth.user_device SET trust = 'blocked'")
    with pytest.raises(errors.InsufficientPrivilege, match="blocked device"):
        push(allowed, phone)


def test_a_report_of_fraud_is_an_anomaly(allowed: Connection, phone: UUID, account: UUID) -> None:
    challenge = push(allowed, phone)
    answer(allowed, "denied")
    assert one(allowed, "SELECT count(*) FROM user_analytics.behavior_anomaly") == 0
    answer(allowed, "reported_fraud")
    row = allowed.execute(
        "SELECT user_account_id, kind, severity, evidence -> 0 ->> 'id'"
        " FROM user_analytics.behavior_anomaly"
    ).fetchall()
    assert row == [(account, "push_fatigue", "high", str(challenge))]


@pytest.mark.parametrize("number", [9, 100])
def test_a_number_has_two_digits(allowed: Connection, phone: UUID, number: int) -> None:
    push(allowed, phone)
    with pytest.raises(errors.CheckViolation, match="two_digits"):
        run(allowed, "UPDATE user_auth.push_challenge SET match_number = %s", number)


# The way back


def replace(connection: Connection, account: UUID, *codes: str) -> Any:
    query = "SELECT user_auth.replace_recovery_codes(%s, %s)"
    return one(connection, query, account, [sha(code) for code in codes])


def recover(connection: Connection, account: UUID, code: str) -> Any:
    query = "SELECT user_auth.redeem_recovery_code(%s, %s, '192.0.2.1')"
    return one(connection, query, account, sha(code))


def test_a_recovery_code_works_once(app: Connection, account: UUID) -> None:
    assert replace(app, account, "a", "b") == 1
    assert recover(app, account, "a")
    assert not recover(app, account, "a")
    assert not recover(app, account, "c")


def test_a_new_batch_invalidates_the_old_one(app: Connection, account: UUID) -> None:
    replace(app, account, "a", "b")
    recover(app, account, "a")
    assert replace(app, account, "c") == 2
    assert not recover(app, account, "b")
    assert recover(app, account, "c")
    states = app.execute(
        "SELECT used_at IS NOT NULL, invalidated_at IS NOT NULL FROM user_auth.recovery_code"
        " ORDER BY batch_no, position"
    ).fetchall()
    assert states == [(True, False), (False, True), (True, False)]


def test_a_batch_has_ten_codes_at_most(app: Connection, account: UUID) -> None:
    with refused(app, errors.CheckViolation, "position_bounded"):
        replace(app, account, *"abcdefghijk")
    assert replace(app, account, *"abcdefghij") == 1


# Who is gone


def test_the_secrets_of_an_anonymized_account_go(allowed: Connection, account: UUID) -> None:
    set_password(allowed, account)
    replace(allowed, account, "a")
    run(
        allowed,
        "UPDATE user_mgmt.user_account SET status = 'deactivated', deactivated_at = now()",
    )
    assert one(allowed, "SELECT count(*) FROM user_auth.password_credential") == 1
    run(allowed, "UPDATE user_mgmt.user_account SET status = 'anonymized'")
    assert one(allowed, "SELECT count(*) FROM user_auth.password_credential") == 0
    assert one(allowed, "SELECT count(*) FROM user_auth.recovery_code") == 0
    assert one(allowed, "SELECT status FROM user_auth.auth_enrollment") == "revoked"


def test_a_provisioned_tenant_can_enroll_a_password(admin: Connection) -> None:
    tenant = one(
        admin,
        "SELECT tenant_mgmt.provision_business(legal_name => 'Acme', slug => 'acme-methods',"
        " industry => 'retail', plan_code => 'growth', owner_email => 'o@acme.example')",
    )
    become_app(admin, tenant)
    owner = one(admin, "SELECT user_account_id FROM user_mgmt.user_account")
    assert set_password(admin, owner)
