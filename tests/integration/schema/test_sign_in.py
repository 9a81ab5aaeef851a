"""Signing in: who may begin and how, what a try leads to, when the door shuts, and keys."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection
from tests.integration.conftest import become_app
from tests.integration.schema.door import Door, sha

KEY_MOVES = {
    "active": ["rotating", "revoked", "expired"],
    "rotating": ["active", "revoked", "expired"],
    "revoked": [],
    "expired": [],
}
ADA = "ada@example.com"


@pytest.fixture
def door(admin: Connection, tenant: UUID) -> Door:
    """An office that allows four methods; Ada has a password and an authenticator."""
    found = Door.of(admin, tenant)
    assert isinstance(found, Door)
    policies: dict[str, dict[str, Any]] = {
        "password": {"assurance_level": "aal1", "usable_as": "primary"},
        "totp": {"usable_as": "second_factor"},
        "passkey": {"is_phishing_resistant": True},
        "email_otp": {"assurance_level": "aal1", "code_ttl_seconds": 600},
    }
    for method, columns in policies.items():
        _allow(found, method, **columns)
    for method in ("password", "totp"):
        _enroll(found, found.ada, method)
    return found


def _allow(door: Door, method: str, **columns: Any) -> UUID:
    given = {
        "is_enabled": True,
        "usable_as": "both",
        "assurance_level": "aal2",
        "applies_to": "everyone",
        "is_phishing_resistant": False,
        **columns,
    }
    return door.put("user_auth.auth_method_policy", method=method, **given)


def _enroll(door: Door, account: UUID, method: str, **columns: Any) -> UUID:
    then = door.one("SELECT now() - interval '2 days'")
    given = {"status": "active", "enrolled_at": then, "confirmed_at": then, **columns}
    return door.put(
        "user_auth.auth_enrollment",
        user_account_id=account,
        method=method,
        **given,
    )


def _begin(door: Door, identifier: str = ADA, **named: Any) -> tuple[list[str], str]:
    device = named.get("device")
    row = door.rows(
        "SELECT allowed_methods, risk_band FROM user_auth.begin_sign_in(%s, %s, %s)",
        identifier,
        named.get("ip"),
        sha(device) if device else None,
    )[0]
    return row[0], row[1]


def _try(
    door: Door, result: str, method: str = "password", identifier: str = ADA, **context: Any
) -> Any:
    return door.one(
        "SELECT user_auth.record_attempt(%s, %s, %s, %s)",
        context.pop("flow", None) or uuid4(),
        method,
        result,
        Jsonb({"identifier": identifier, **context}),
    )


def _results(door: Door) -> list[Any]:
    return door.column("SELECT result FROM user_auth.auth_attempt ORDER BY attempted_at")


@pytest.mark.parametrize("identifier", [ADA, "ADA@Example.com ", "ada"])
def test_an_account_begins_with_what_it_has_enrolled(door: Door, identifier: str) -> None:
    door.device(door.ada, trust="trusted")
    assert _begin(door, identifier, device="laptop") == (["password"], "low")


def test_the_preferred_then_the_stronger_method_comes_first(door: Door) -> None:
    _enroll(door, door.ada, "passkey")
    assert _begin(door)[0] == ["passkey", "password"]
    door.run("UPDATE user_auth.auth_enrollment SET is_preferred = true WHERE method = 'password'")
    assert _begin(door)[0] == ["password", "passkey"]


@pytest.mark.parametrize("applies_to", ["everyone", "staff", "customers"])
def test_a_method_is_for_whom_it_applies_to(door: Door, applies_to: str) -> None:
    _enroll(door, door.ada, "passkey")
    door.run(
        "UPDATE user_auth.auth_method_policy SET applies_to = %s WHERE method = 'passkey'",
        applies_to,
    )
    assert ("passkey" in _begin(door)[0]) == (applies_to != "customers")


def test_a_method_that_is_not_allowed_any_more_is_not_offered(door: Door) -> None:
    _enroll(door, door.ada, "passkey")
    door.run("UPDATE user_auth.auth_method_policy SET is_enabled = false WHERE method = 'passkey'")
    assert _begin(door)[0] == ["password"]


def test_nobody_learns_whether_an_account_exists(door: Door) -> None:
    _enroll(door, door.ada, "passkey")
    assert set(_begin(door, "nobody@example.com")[0]) == {"password", "passkey"}
    assert set(_begin(door)[0]) == {"password", "passkey"}


def test_the_provider_of_a_domain_comes_first(door: Door) -> None:
    _allow(door, "oidc_federation")
    door.put(
        "user_auth.identity_provider",
        kind="oidc",
        name="Acme",
        issuer="https://id.example.com",
        client_identifier="harness",
        domain_hints=["example.com"],
        status="active",
    )
    assert _begin(door)[0] == ["oidc_federation", "password"]


@pytest.mark.parametrize(
    ("trust", "band"),
    [(None, "elevated"), ("unknown", "low"), ("suspect", "elevated"), ("blocked", "critical")],
)
def test_a_device_makes_a_sign_in_riskier(door: Door, trust: str | None, band: str) -> None:
    if trust:
        door.device(door.ada, trust=trust)
    methods, found = _begin(door, device="laptop")
    assert found == band
    assert bool(methods) == (band != "critical")


@pytest.mark.parametrize(
    ("effect", "kind", "band"),
    [("block", "tor_exit", "critical"), ("raise_risk", "hosting", "elevated")],
)
def test_a_network_makes_a_sign_in_riskier(door: Door, effect: str, kind: str, band: str) -> None:
    door.device(door.ada)
    door.network("185.220.100.0/22", effect, kind)
    assert _begin(door, device="laptop", ip="185.220.100.1")[1] == band
    assert _begin(door, device="laptop", ip="8.8.8.8")[1] == "low"


@pytest.mark.parametrize(("points", "band"), [(29, "low"), (30, "elevated"), (60, "high")])
def test_the_last_score_makes_a_sign_in_riskier(door: Door, points: int, band: str) -> None:
    door.device(door.ada)
    door.score(door.ada, door.policy(), points)
    assert _begin(door, device="laptop")[1] == band


def test_many_names_from_one_address_look_like_stuffing(door: Door) -> None:
    door.device(door.ada)
    for number in range(20):
        _try(door, "unknown_user", identifier=f"n{number}@example.org", ip="198.51.100.7")
    assert _begin(door, device="laptop", ip="198.51.100.7")[1] == "high"
    assert _begin(door, device="laptop", ip="198.51.100.8")[1] == "low"


@pytest.mark.parametrize("status", ["suspended", "locked"])
def test_an_account_that_is_not_active_does_not_begin(door: Door, status: str) -> None:
    door.run(
        "UPDATE user_mgmt.user_account SET status = %s WHERE user_account_id = %s", status, door.ada
    )
    assert _begin(door)[0] == []
    assert _try(door, "success") == "denied"
    assert _results(door) == ["blocked_by_policy"]


def test_a_factor_that_is_right_opens_the_door(door: Door) -> None:
    device = door.device(door.ada)
    step = _try(
        door,
        "success",
        ip="203.0.113.9",
        device_hash=sha("laptop").hex(),
        asn=64500,
        country_code="US",
        user_agent="curl",
        risk_points=7,
        latency_ms=41.5,
    )
    assert step == "open_session"
    row = door.rows(
        "SELECT user_account_id, user_device_id, host(ip_address), asn, country_code, user_agent,"
        " risk_points::float, latency_ms::float, is_second_factor FROM user_auth.auth_attempt"
    )[0]
    expected = (door.ada, device, "203.0.113.9", 64500, "US", "curl", 7.0, 41.5, False)
    assert row == expected


def test_use_of_a_method_is_counted(door: Door) -> None:
    _try(door, "success")
    _try(door, "wrong_secret")
    row = door.rows(
        "SELECT use_count, failure_count, last_used_at = now() FROM user_auth.auth_enrollment"
        " WHERE method = 'password'"
    )
    assert row == [(1, 1, True)]


@pytest.mark.parametrize(
    ("method", "ip", "step"),
    [
        ("password", "8.8.8.8", "second_factor"),
        ("password", "203.0.113.9", "open_session"),
        ("passkey", "8.8.8.8", "open_session"),
    ],
)
def test_a_second_factor_follows_where_it_is_required(
    door: Door, method: str, ip: str, step: str
) -> None:
    door.network("203.0.113.0/24", "skip_second_factor")
    door.run("UPDATE user_mgmt.user_account SET mfa_required = true")
    flow = uuid4()
    assert _try(door, "success", method, ip=ip, flow=flow) == step
    second = _try(door, "success", "totp", ip=ip, flow=flow, is_second_factor=True)
    assert second == "open_session"


def test_a_second_factor_without_the_first_is_denied(door: Door) -> None:
    flow = uuid4()
    assert _try(door, "success", "totp", is_second_factor=True, flow=flow) == "denied"
    assert _try(door, "wrong_secret", flow=flow) == "retry"
    assert _try(door, "success", "totp", is_second_factor=True, flow=flow) == "denied"
    assert _try(door, "mfa_required") == "second_factor"
    assert _try(door, "success", "totp", is_second_factor=True, flow=flow) == "denied"
    assert _results(door).count("blocked_by_policy") == 3


def test_two_of_the_same_factor_are_one(door: Door) -> None:
    flow = uuid4()
    assert _try(door, "mfa_required", "passkey", flow=flow) == "second_factor"
    assert _try(door, "success", "passkey", flow=flow, is_second_factor=True) == "denied"


def test_a_recovery_code_stands_in_for_the_second_factor(door: Door) -> None:
    flow = uuid4()
    _try(door, "mfa_required", flow=flow)
    step = _try(door, "success", "recovery_code", flow=flow, is_second_factor=True)
    assert step == "open_session"


@pytest.mark.parametrize("method", ["totp", "recovery_code", "saml_sso", "email_otp"])
def test_only_a_primary_method_comes_first(door: Door, method: str) -> None:
    door.run("UPDATE user_auth.auth_method_policy SET is_enabled = method <> 'email_otp'")
    assert _try(door, "success", method) == "denied"


def test_a_caller_may_ask_for_more(door: Door) -> None:
    assert _try(door, "mfa_required") == "second_factor"


@pytest.mark.parametrize("result", ["expired", "wrong_secret"])
def test_what_was_wrong_is_tried_again(door: Door, result: str) -> None:
    assert _try(door, result) == "retry"
    assert _results(door) == [result]


def test_a_caller_that_saw_risk_denies(door: Door) -> None:
    assert _try(door, "blocked_by_risk") == "denied"


def test_a_blocked_network_is_denied_even_what_is_right(door: Door) -> None:
    door.network("185.220.100.0/22", "block", "tor_exit")
    assert _try(door, "success", ip="185.220.100.1") == "denied"


@pytest.mark.parametrize("result", ["success", "wrong_secret"])
def test_a_try_for_nobody_is_one(door: Door, result: str) -> None:
    assert _try(door, result, identifier="nobody@example.com") == "retry"
    assert _results(door) == ["unknown_user"]


def test_what_was_typed_is_kept_as_a_hash_of_the_business(door: Door) -> None:
    _try(door, "wrong_secret", identifier=" ADA@example.com")
    kept = door.one("SELECT identifier_hash FROM user_auth.auth_attempt")
    assert kept == sha(f"{door.tenant}:{ADA}")


def test_a_try_without_identifier_is_refused(door: Door) -> None:
    with pytest.raises(errors.InvalidParameterValue, match="names no identifier"):
        door.one("SELECT user_auth.record_attempt(%s, 'password', 'success', '{}')", uuid4())


def test_five_failures_lock_for_a_quarter_of_an_hour(door: Door) -> None:
    steps = [_try(door, "wrong_secret", ip="198.51.100.7") for _ in range(5)]
    assert steps == ["retry"] * 4 + ["locked"]
    row = door.rows(
        "SELECT reason, failure_count, host(source_ip), locked_until - locked_at"
        " FROM user_auth.account_lockout"
    )[0]
    assert row[:3] == ("too_many_failures", 5, "198.51.100.7")
    assert row[3].total_seconds() == 900
    assert _try(door, "success") == "locked"
    assert _results(door)[-1] == "locked"
    assert _begin(door)[0] == []


def test_a_business_sets_how_many_failures_lock(door: Door) -> None:
    door.setting("max_failures", 2)
    assert [_try(door, "wrong_secret") for _ in range(2)] == ["retry", "locked"]


def test_failures_of_the_second_factor_count_too(door: Door) -> None:
    door.setting("max_failures", 2)
    _try(door, "wrong_secret")
    assert _try(door, "mfa_failed", "totp", is_second_factor=True) == "locked"


def test_success_forgives_what_failed_before(door: Door) -> None:
    door.setting("max_failures", 2)
    steps = [_try(door, result) for result in ("wrong_secret", "success", "wrong_secret")]
    assert steps == ["retry", "open_session", "retry"]


def test_failures_of_long_ago_do_not_count(door: Door) -> None:
    door.setting("max_failures", 2)
    door.put(
        "user_auth.auth_attempt",
        user_account_id=door.ada,
        flow_key=uuid4(),
        identifier_hash=sha(f"{door.tenant}:{ADA}"),
        method="password",
        result="wrong_secret",
        attempted_at=door.one("SELECT now() - interval '16 minutes'"),
    )
    assert _try(door, "wrong_secret") == "retry"


def test_the_reason_of_a_lockout_amid_stuffing_is_stuffing(door: Door) -> None:
    for number in range(19):
        _try(door, "unknown_user", identifier=f"n{number}@example.org", ip="198.51.100.7")
    for _ in range(5):
        _try(door, "wrong_secret", ip="198.51.100.7")
    assert door.one("SELECT reason FROM user_auth.account_lockout") == "credential_stuffing"


def _lock(door: Door, reason: str = "too_many_failures", **columns: Any) -> UUID:
    given = {"locked_until": door.one("SELECT now() + interval '1 hour'"), **columns}
    return door.put("user_auth.account_lockout", user_account_id=door.ada, reason=reason, **given)


def test_each_lockout_of_a_day_is_twice_as_long(door: Door) -> None:
    for hours in (3, 2):
        _lock(
            door,
            locked_at=door.one("SELECT now() - %s * interval '1 hour'", hours),
            locked_until=door.one("SELECT now() - interval '90 minutes'"),
            lifted_at=door.one("SELECT now() - interval '1 hour'"),
            lift_method="expiry",
        )
    assert door.one("SELECT user_auth.open_lockout(%s, 'too_many_failures')", door.ada)
    length = (
        "SELECT locked_until - locked_at FROM user_auth.account_lockout WHERE lifted_at IS NULL"
    )
    assert door.one(length).total_seconds() == 3600


def test_a_lockout_that_is_over_makes_way(door: Door) -> None:
    old = _lock(
        door,
        locked_at=door.one("SELECT now() - interval '1 hour'"),
        locked_until=door.one("SELECT now() - interval '1 minute'"),
    )
    assert not door.one("SELECT user_auth.is_locked_out(%s)", door.ada)
    assert door.one("SELECT user_auth.open_lockout(%s, 'too_many_failures')", door.ada)
    method = "SELECT lift_method FROM user_auth.account_lockout WHERE account_lockout_id = %s"
    assert door.one(method, old) == "expiry"


def test_one_lockout_holds_at_a_time(door: Door) -> None:
    _lock(door)
    assert not door.one("SELECT user_auth.open_lockout(%s, 'too_many_failures')", door.ada)
    with pytest.raises(errors.UniqueViolation):
        _lock(door)


@pytest.mark.parametrize(
    ("reason", "ended"),
    [
        ("too_many_failures", ("active", None)),
        ("credential_stuffing", ("active", None)),
        ("impossible_travel", ("revoked", "risk")),
        ("compromised_password", ("revoked", "risk")),
        ("token_reuse", ("revoked", "risk")),
        ("risk", ("revoked", "risk")),
        ("admin", ("revoked", "admin")),
    ],
)
def test_strangers_do_not_throw_out_the_owner(
    door: Door, reason: str, ended: tuple[str, str | None]
) -> None:
    session = door.open(door.ada)
    _lock(door, reason)
    assert door.ended(session) == ended


def test_history_of_lockouts_ends_no_session(door: Door) -> None:
    session = door.open(door.ada)
    with door.as_platform():
        _lock(door, "admin")
    assert door.ended(session) == ("active", None)


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"locked_until": None}, "only_manual_has_no_end"),
        ({"locked_until": None, "reason": "admin"}, None),
        ({"locked_until": "-infinity"}, "until_after_start"),
        ({"lifted_at": "infinity"}, "lifted_has_method"),
        ({"lifted_at": "infinity", "lift_method": "admin"}, "lifter_is_named"),
        ({"lifted_at": "infinity", "lift_method": "support"}, "lifter_is_named"),
        ({"lifted_at": "infinity", "lift_method": "admin", "by": "bob"}, None),
        ({"lifted_at": "infinity", "lift_method": "admin", "by": "ada"}, "nobody_lifts_own"),
        ({"lifted_at": "infinity", "lift_method": "recovery"}, None),
        ({"lifted_at": "now", "lift_method": "expiry"}, "expires_at_its_end"),
    ],
)
def test_a_lockout_says_how_it_ended(door: Door, columns: dict[str, Any], rule: str | None) -> None:
    if "by" in columns:
        by = getattr(door, columns["by"])
        columns = {k: v for k, v in columns.items() if k != "by"}
        columns["lifted_by_user_account_id"] = by
    if rule is None:
        _lock(door, **columns)
    else:
        with pytest.raises(errors.CheckViolation, match=rule):
            _lock(door, **columns)


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"result": "wrong_secret"}, "only_unknown_has_no_account"),
        ({"result": "unknown_user", "who": True}, "only_unknown_has_no_account"),
        ({"result": "mfa_failed", "who": True}, "mfa_failed_is_second"),
        (
            {"result": "mfa_required", "who": True, "is_second_factor": True},
            "mfa_required_is_first",
        ),
        ({"result": "success", "who": True, "risk_points": 101}, "risk_points_bounded"),
        ({"result": "success", "who": True, "risk_points": -1}, "risk_points_bounded"),
        ({"result": "success", "who": True, "asn": -1}, "asn_32_bits"),
    ],
)
def test_a_try_that_cannot_be_is_refused(door: Door, columns: dict[str, Any], rule: str) -> None:
    given = {k: v for k, v in columns.items() if k != "who"}
    with pytest.raises(errors.CheckViolation, match=rule):
        door.put(
            "user_auth.auth_attempt",
            user_account_id=door.ada if "who" in columns else None,
            flow_key=uuid4(),
            identifier_hash=sha("x"),
            method="password",
            **given,
        )


def test_tries_stay(admin: Connection, door: Door) -> None:
    _try(door, "success")
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute("UPDATE user_auth.auth_attempt SET result = 'success'")


def test_days_tell_how_many_tries_were_right(admin: Connection, door: Door) -> None:
    for result in ("success", "success", "success", "wrong_secret"):
        _try(door, result, latency_ms=40)
    admin.execute("RESET ROLE")
    admin.execute("REFRESH MATERIALIZED VIEW user_auth.mv_auth_daily")
    become_app(admin, door.tenant)
    rows = door.rows(
        "SELECT result, attempt_count, success_rate, median_latency_ms"
        " FROM user_auth.v_auth_daily ORDER BY result"
    )
    assert [(r, c, float(s), float(m)) for r, c, s, m in rows] == [
        ("success", 3, 0.75, 40.0),
        ("wrong_secret", 1, 0.75, 40.0),
    ]


def _key(door: Door, prefix: str = "hk_1", **columns: Any) -> UUID:
    given = {
        "owner_user_account_id": door.ada,
        "key_hash": sha(prefix),
        "name": "Sync",
        "scopes": ["job:read"],
        "expires_at": door.one("SELECT now() + interval '90 days'"),
        **columns,
    }
    return door.put("user_auth.api_key", key_prefix=prefix, **given)


@pytest.fixture
def reader(door: Door) -> Door:
    """Ada may read jobs."""
    role = door.role("reader")
    door.grant(role, door.permission("job:read"))
    door.permission("job:delete")
    door.assign(door.ada, role)
    return door


def test_a_key_does_what_its_owner_may(reader: Door) -> None:
    _key(reader)
    with pytest.raises(errors.InsufficientPrivilege, match="job:delete"):
        _key(reader, "hk_2", scopes=["job:read", "job:delete"])


def test_a_key_does_not_grow_beyond_its_owner(reader: Door) -> None:
    _key(reader)
    with pytest.raises(errors.InsufficientPrivilege, match="its owner may not"):
        reader.run("UPDATE user_auth.api_key SET scopes = '{job:delete}'")


def test_a_key_of_a_service_account_has_that_ones_permissions(reader: Door) -> None:
    service = reader.put(
        "user_mgmt.service_account",
        owner_user_account_id=reader.ada,
        name="sync",
        purpose="Syncs",
        expires_at=reader.one("SELECT now() + interval '90 days'"),
    )
    with pytest.raises(errors.InsufficientPrivilege, match="job:read"):
        _key(reader, service_account_id=service)


def test_imported_keys_keep_their_scopes(door: Door) -> None:
    with door.as_platform():
        _key(door, scopes=["anything:at_all"])


@pytest.mark.parametrize("old", KEY_MOVES)
@pytest.mark.parametrize("new", KEY_MOVES)
def test_a_key_moves_by_its_table(reader: Door, old: str, new: str) -> None:
    with reader.as_platform():
        _key(reader, status=old, revoked_reason="lost" if old == "revoked" else None)
    change = "UPDATE user_auth.api_key SET status = %s, revoked_reason = %s"
    values = (new, "lost" if new == "revoked" else None)
    if new == old or new in KEY_MOVES[old]:
        reader.run(change, *values)
    else:
        with reader.refusing(errors.CheckViolation, f"{old} cannot become {new}"):
            reader.run(change, *values)


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"scopes": []}, "has_scopes"),
        ({"expires_in": "367 days"}, "lives_a_year"),
        ({"expires_in": "366 days"}, None),
        ({"expires_in": "0"}, "expires_after_issue"),
        ({"rate_limit_per_minute": 0}, "rate_limit_positive"),
        ({"rotated_from_prefix": "hk_1"}, "replaces_another"),
        ({"status": "revoked"}, "revoked_has_reason"),
    ],
)
def test_a_key_that_cannot_be_is_refused(
    door: Door, columns: dict[str, Any], rule: str | None
) -> None:
    given = {k: v for k, v in columns.items() if k != "expires_in"}
    if "expires_in" in columns:
        given["expires_at"] = door.one(
            "SELECT now() + make_interval(hours => 24 * split_part(%s, ' ', 1)::integer)",
            columns["expires_in"],
        )
    with door.as_platform():
        if rule is None:
            _key(door, **given)
        else:
            with door.refusing(errors.CheckViolation, rule):
                _key(door, **given)


def test_a_prefix_finds_one_key(door: Door) -> None:
    with door.as_platform():
        _key(door)
        with door.refusing(errors.UniqueViolation, "key_prefix"):
            _key(door)
