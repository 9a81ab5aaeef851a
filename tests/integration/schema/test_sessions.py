"""Sessions stay with their account and device, end when they must, and are prolonged once."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.conftest import become_app
from tests.integration.schema.door import Door, sha

MOVES = {
    "active": ["stepped_down", "expired", "signed_out", "revoked"],
    "stepped_down": ["active", "expired", "signed_out", "revoked"],
    "expired": [],
    "signed_out": [],
    "revoked": [],
}
LIVE = ("active", "stepped_down")
TOKENS = "SELECT count(*) FROM user_auth.refresh_token"


@pytest.fixture
def door(admin: Connection, tenant: UUID) -> Door:
    found = Door.of(admin, tenant)
    assert isinstance(found, Door)
    return found


def _ended(state: str) -> dict[str, Any]:
    if state in LIVE:
        return {"state": state}
    return {"state": state, "ended_at": "now", "end_reason": "user"}


@pytest.mark.parametrize("old", MOVES)
@pytest.mark.parametrize("new", MOVES)
def test_a_session_moves_by_its_table(door: Door, old: str, new: str) -> None:
    with door.as_platform():
        made = door.session(door.ada, "t", **_ended(old))
    change = (
        "UPDATE user_auth.user_session SET state = %s, ended_at = CASE WHEN %s THEN NULL ELSE"
        " now() END, end_reason = CASE WHEN %s THEN NULL ELSE 'user' END WHERE user_session_id = %s"
    )
    values = (new, new in LIVE, new in LIVE, made)
    if new == old or new in MOVES[old]:
        door.run(change, *values)
        assert door.ended(made)[0] == new
    else:
        with door.refusing(errors.CheckViolation, f"{old} cannot become {new}"):
            door.run(change, *values)


@pytest.mark.parametrize("state", [state for state in MOVES if state != "active"])
def test_a_session_starts_active(door: Door, state: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        door.session(door.ada, "t", **_ended(state))


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"amr": ["magic"]}, "amr_registered"),
        ({"amr": []}, "amr_not_empty"),
        ({"idle_timeout_minutes": 0}, "idle_timeout_bounded"),
        ({"idle_timeout_minutes": 1441}, "idle_timeout_bounded"),
        ({"absolute_expires_at": "-infinity"}, "expires_after_start"),
        ({"ended_at": "now"}, "ended_has"),
        ({"client_kind": "fridge"}, "client_kind_known"),
        ({"assurance_level": "aal4"}, "assurance_level_known"),
    ],
)
def test_a_session_that_cannot_be_is_refused(
    door: Door, columns: dict[str, Any], rule: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rule):
        door.session(door.ada, "t", **columns)


@pytest.mark.parametrize(
    ("amr", "level"),
    [
        ("{pwd}", "aal1"),
        ("{otp}", "aal1"),
        ("{pwd,pin}", "aal1"),
        ("{hwk}", "aal1"),
        ("{pwd,otp}", "aal2"),
        ("{pwd,sms}", "aal2"),
        ("{hwk,user}", "aal2"),
        ("{mfa}", "aal2"),
        ("{pwd,hwk}", "aal3"),
        ("{sc}", "aal3"),
        ("{}", "aal1"),
    ],
)
def test_methods_together_reach_a_level(door: Door, amr: str, level: str) -> None:
    assert door.one("SELECT user_auth.assurance_of(%s)", amr) == level


def test_nobody_signs_in_on_the_device_of_another(door: Door) -> None:
    device = door.device(door.bob)
    with pytest.raises(errors.ForeignKeyViolation):
        door.session(door.ada, "t", user_device_id=device)


@pytest.mark.parametrize("column", ["user_account_id", "user_device_id", "started_at"])
def test_a_session_stays_with_its_origin(door: Door, column: str) -> None:
    door.session(door.ada, "t")
    other = {
        "user_account_id": f"'{door.bob}'",
        "user_device_id": f"'{door.device(door.ada)}'",
        "started_at": "started_at - interval '1 hour'",
    }[column]
    with pytest.raises(errors.RestrictViolation, match="stays with"):
        door.run(f"UPDATE user_auth.user_session SET {column} = {other}")


def test_beyond_the_limit_the_oldest_session_gives_way(door: Door) -> None:
    door.setting("max_concurrent_sessions", 2)
    ages = {"oldest": "3 hours", "older": "2 hours", "newest": "1 hour"}
    made = {
        name: door.session(
            door.ada,
            name,
            started_at=door.one("SELECT now() - %s::interval", age),
            last_activity_at=door.one("SELECT now()"),
        )
        for name, age in ages.items()
    }
    bobs = door.session(door.bob, "of somebody else")
    assert door.ended(made["oldest"]) == ("revoked", "concurrent_limit")
    assert [door.ended(s)[0] for s in (made["older"], made["newest"], bobs)] == ["active"] * 3


def test_a_business_that_sets_no_limit_has_ten(door: Door) -> None:
    for number in range(11):
        door.session(door.ada, str(number))
    live = "SELECT count(*) FROM user_auth.user_session WHERE state = 'active'"
    assert door.one(live) == 10


def test_imported_history_keeps_to_the_limit_of_its_business(door: Door) -> None:
    door.setting("max_concurrent_sessions", 1)
    with door.as_platform():
        door.session(door.ada, "a")
        door.session(door.ada, "b")
    live = "SELECT count(*) FROM user_auth.user_session WHERE state = 'active'"
    assert door.one(live) == 1


def test_no_session_begins_on_a_blocked_device(door: Door) -> None:
    device = door.device(door.ada, trust="blocked")
    with door.as_platform(), door.refusing(errors.CheckViolation, "is blocked"):
        door.session(door.ada, "t", user_device_id=device)
    with door.as_platform():
        door.session(door.ada, "t", user_device_id=device, **_ended("expired"))


def test_blocking_a_device_ends_what_runs_on_it(door: Door) -> None:
    device, other = door.device(door.ada), door.device(door.ada, "phone")
    on_it = door.session(door.ada, "a", user_device_id=device)
    elsewhere = door.session(door.ada, "b", user_device_id=other)
    door.run("UPDATE user_auth.user_device SET trust = 'blocked' WHERE user_device_id = %s", device)
    assert door.ended(on_it) == ("revoked", "risk")
    assert door.ended(elsewhere) == ("active", None)


@pytest.mark.parametrize(("jailbroken", "is_allowed"), [(True, False), (False, True), (None, True)])
def test_a_jailbroken_device_is_never_trusted(
    door: Door, jailbroken: bool | None, is_allowed: bool
) -> None:
    if is_allowed:
        door.device(door.ada, trust="trusted", jailbroken=jailbroken)
    else:
        with pytest.raises(errors.CheckViolation, match="jailbroken_never_trusted"):
            door.device(door.ada, trust="trusted", jailbroken=jailbroken)


def test_a_device_is_known_once_per_account(door: Door) -> None:
    door.device(door.ada)
    door.device(door.bob)
    with pytest.raises(errors.UniqueViolation):
        door.device(door.ada)


@pytest.mark.parametrize(
    ("idle", "since", "left", "became"),
    [
        (30, "29 minutes", "1 hour", ("active", None)),
        (30, "30 minutes", "1 hour", ("expired", "idle")),
        (1440, "20 hours", "0", ("expired", "absolute")),
    ],
)
def test_a_session_ends_by_itself(
    door: Door, idle: int, since: str, left: str, became: tuple[str, str | None]
) -> None:
    made = door.session(
        door.ada,
        "t",
        idle_timeout_minutes=idle,
        started_at=door.one("SELECT now() - interval '1 day'"),
        last_activity_at=door.one("SELECT now() - %s::interval", since),
        absolute_expires_at=door.one("SELECT now() + %s::interval", left),
    )
    ended = door.one("SELECT user_auth.expire_sessions()")
    assert door.ended(made) == became
    assert ended == (became[0] == "expired")


def test_only_sessions_whose_time_is_not_over_are_shown_as_running(door: Door) -> None:
    device = door.device(door.ada, friendly_name="Ada's laptop")
    running = door.session(door.ada, "a", user_device_id=device)
    door.session(
        door.ada,
        "b",
        started_at=door.one("SELECT now() - interval '2 hours'"),
        last_activity_at=door.one("SELECT now() - interval '31 minutes'"),
    )
    shown = door.rows("SELECT user_session_id, device_name FROM user_auth.v_active_session")
    assert shown == [(running, "Ada's laptop")]


def test_signing_in_registers_the_device_and_remembers_it(door: Door) -> None:
    first = door.open(door.ada, "a", device="laptop", amr="{pwd,otp}")
    second = door.open(door.ada, "b", device="laptop")
    rows = door.rows(
        "SELECT user_session_id, assurance_level, device_kind FROM user_auth.v_active_session"
        " ORDER BY user_session_id"
    )
    assert rows == [(first, "aal2", "desktop"), (second, "aal1", "desktop")]
    assert door.one("SELECT count(*) FROM user_auth.user_device") == 1
    seen = "SELECT last_login_at = now() FROM user_mgmt.user_account WHERE user_account_id = %s"
    assert door.one(seen, door.ada)


def test_a_session_names_a_method_of_its_own_account(door: Door) -> None:
    door.put(
        "user_auth.auth_method_policy",
        method="password",
        usable_as="primary",
        assurance_level="aal1",
    )
    mine, other = (
        door.put(
            "user_auth.auth_enrollment",
            user_account_id=account,
            method="password",
            status="active",
            confirmed_at="now",
        )
        for account in (door.ada, door.bob)
    )
    door.session(door.ada, "a", first_method_id=mine)
    with pytest.raises(errors.ForeignKeyViolation):
        door.session(door.ada, "b", first_method_id=other)


def test_the_time_of_a_session_is_that_of_its_client(door: Door) -> None:
    for kind in ("web", "mobile", "api", "kiosk"):
        door.open(door.ada, kind, client_kind=kind)
    rows = door.rows(
        "SELECT client_kind, idle_timeout_minutes, absolute_expires_at - started_at"
        " FROM user_auth.user_session"
    )
    found = {kind: (idle, whole.total_seconds() / 3600) for kind, idle, whole in rows}
    assert found == {"web": (30, 12), "mobile": (1440, 720), "api": (30, 1), "kiosk": (720, 12)}


def test_a_business_sets_its_idle_time(door: Door) -> None:
    door.setting("idle_timeout_minutes", 5)
    door.open(door.ada)
    assert door.one("SELECT idle_timeout_minutes FROM user_auth.user_session") == 5


@pytest.mark.parametrize("status", ["suspended", "locked"])
def test_an_account_that_is_not_active_opens_no_session(door: Door, status: str) -> None:
    door.run(
        "UPDATE user_mgmt.user_account SET status = %s WHERE user_account_id = %s", status, door.ada
    )
    with pytest.raises(errors.InsufficientPrivilege, match=f"it is {status}"):
        door.open(door.ada)


def test_a_locked_out_account_opens_no_session(door: Door) -> None:
    door.one("SELECT user_auth.open_lockout(%s, 'too_many_failures')", door.ada)
    with pytest.raises(errors.InsufficientPrivilege, match="locked out"):
        door.open(door.ada)


def test_a_session_of_nobody_is_refused(door: Door) -> None:
    with pytest.raises(errors.NoDataFound, match="no account"):
        door.open(uuid4())


def test_a_blocked_device_opens_no_session(door: Door) -> None:
    door.device(door.ada, trust="blocked")
    with pytest.raises(errors.CheckViolation, match="is blocked"):
        door.open(door.ada, device="laptop")


@pytest.mark.parametrize(
    ("amr", "ip", "is_opened"),
    [
        ("{pwd}", "198.51.100.1", False),
        ("{pwd}", "203.0.113.9", True),
        ("{pwd,otp}", "198.51.100.1", True),
        ("{pwd}", None, False),
    ],
)
def test_a_second_factor_is_needed_away_from_the_office(
    door: Door, amr: str, ip: str | None, is_opened: bool
) -> None:
    door.network("203.0.113.0/24", "skip_second_factor")
    door.run("UPDATE user_mgmt.user_account SET mfa_required = true")
    if is_opened:
        assert door.open(door.ada, amr=amr, ip=ip)
    else:
        with pytest.raises(errors.InsufficientPrivilege, match="second factor"):
            door.open(door.ada, amr=amr, ip=ip)


@pytest.mark.parametrize(
    ("ip", "effects"),
    [
        ("203.0.113.9", ["skip_second_factor"]),
        ("185.220.100.7", ["block"]),
        ("198.51.100.1", []),
        (None, []),
    ],
)
def test_an_address_meets_what_its_network_has(
    door: Door, ip: str | None, effects: list[str]
) -> None:
    door.network("203.0.113.0/24", "skip_second_factor")
    door.network("185.220.100.0/22", "block", "tor_exit")
    door.network("198.51.100.0/24", "block", "blocked", valid_until="now", valid_from="-infinity")
    assert door.one("SELECT user_auth.network_effects(%s)", ip) == effects


@pytest.mark.parametrize(
    ("ip", "effects"),
    [
        ("203.0.113.9", ["allow_only"]),
        ("10.8.1.1", ["allow_only"]),
        ("8.8.8.8", ["outside"]),
        (None, ["outside"]),
    ],
)
def test_with_some_let_in_all_others_are_outside(
    door: Door, ip: str | None, effects: list[str]
) -> None:
    door.network("203.0.113.0/24", "allow_only")
    door.network("10.8.0.0/16", "allow_only", "vpn")
    assert door.one("SELECT user_auth.network_effects(%s)", ip) == effects


@pytest.mark.parametrize(
    ("cidr", "kind", "rule"),
    [
        ("10.0.0.0/8", "office", "skips_for_few"),
        ("10.0.0.0/15", "office", "skips_for_few"),
        ("10.0.0.0/16", "office", None),
        ("2000::/12", "office", None),
        ("10.0.0.0/16", "hosting", "only_own_are_relaxed"),
    ],
)
def test_only_small_networks_of_ones_own_skip_a_factor(
    door: Door, cidr: str, kind: str, rule: str | None
) -> None:
    if rule is None:
        door.network(cidr, "skip_second_factor", kind)
    else:
        with pytest.raises(errors.CheckViolation, match=rule):
            door.network(cidr, "skip_second_factor", kind)


def _token(door: Door, session: UUID, text: str, **columns: Any) -> UUID:
    given = {
        "family_key": session,
        "expires_at": door.one("SELECT now() + interval '1 hour'"),
        **columns,
    }
    return door.put(
        "user_auth.refresh_token", user_session_id=session, token_hash=sha(text), **given
    )


def _rotate(door: Door, text: str) -> Any:
    return door.one("SELECT user_auth.rotate_refresh_token(%s)", sha(text))


def test_each_token_is_replaced_by_the_next(door: Door) -> None:
    session = door.open(door.ada)
    _token(door, session, "first", scopes=["profile"])
    second = _rotate(door, "first")
    third = _rotate(door, second)
    rows = door.rows(
        "SELECT token_hash, generation, replaced_by_hash, scopes FROM user_auth.refresh_token"
        " ORDER BY generation"
    )
    assert rows == [
        (sha("first"), 1, sha(second), ["profile"]),
        (sha(second), 2, sha(third), ["profile"]),
        (sha(third), 3, None, ["profile"]),
    ]
    events = "SELECT count(*) FROM user_auth.session_event WHERE event_kind = 'refresh'"
    assert door.one(events) == 2


def test_a_token_does_not_outlive_its_session(door: Door) -> None:
    session = door.session(
        door.ada, "t", absolute_expires_at=door.one("SELECT now() + interval '10 minutes'")
    )
    _token(door, session, "first")
    _rotate(door, "first")
    late = "SELECT max(expires_at) FILTER (WHERE generation = 2) FROM user_auth.refresh_token"
    assert door.one(late) == door.one("SELECT now() + interval '10 minutes'")


def test_a_token_used_twice_ends_its_family_and_session(door: Door) -> None:
    session, other = door.open(door.ada, "a"), door.open(door.ada, "b")
    _token(door, session, "first")
    _token(door, other, "of another family")
    second = _rotate(door, "first")
    assert _rotate(door, "first") is None
    assert door.ended(session) == ("revoked", "risk")
    assert door.ended(other) == ("active", None)
    live = "SELECT token_hash FROM user_auth.refresh_token WHERE revoked_at IS NULL"
    assert door.column(live) == [sha("of another family")]
    assert _rotate(door, second) is None
    assert door.one(TOKENS) == 3


def test_reuse_that_is_written_down_otherwise_revokes_too(door: Door) -> None:
    session = door.open(door.ada)
    _token(door, session, "first")
    _rotate(door, "first")
    door.run("UPDATE user_auth.refresh_token SET reuse_detected_at = now() WHERE generation = 1")
    assert door.ended(session) == ("revoked", "risk")
    assert door.one(TOKENS + " WHERE revoked_at IS NULL") == 0


@pytest.mark.parametrize(
    "state", ["unknown", "expired", "revoked", "of an ended session", "of a session past its end"]
)
def test_a_token_that_is_no_good_gives_nothing(door: Door, state: str) -> None:
    session = door.session(
        door.ada,
        "t",
        started_at=door.one("SELECT now() - interval '2 hours'"),
        absolute_expires_at=door.one(
            "SELECT now() + %s::interval", "0" if "past" in state else "1 hour"
        ),
    )
    then = door.one("SELECT now() - interval '1 hour'")
    now = door.one("SELECT now()")
    _token(
        door,
        session,
        "other" if state == "unknown" else "it",
        issued_at=then,
        expires_at=now if state == "expired" else door.one("SELECT now() + interval '1 hour'"),
        revoked_at=now if state == "revoked" else None,
    )
    if state == "of an ended session":
        door.run(
            "UPDATE user_auth.user_session SET state = 'signed_out', end_reason = 'user',"
            " ended_at = now()"
        )
    assert _rotate(door, "it") is None
    assert door.one(TOKENS) == 1


def test_the_token_of_a_session_ends_with_it(door: Door) -> None:
    _token(door, door.open(door.ada), "it")
    door.run(
        "UPDATE user_auth.user_session SET state = 'signed_out', end_reason = 'user',"
        " ended_at = now()"
    )
    assert door.one("SELECT revoked_at = now() FROM user_auth.refresh_token")


def test_generations_rise_by_one(door: Door) -> None:
    session = door.open(door.ada)
    _token(door, session, "first")
    with pytest.raises(errors.ForeignKeyViolation):
        _token(door, session, "third", generation=3)


def test_a_generation_is_issued_once(door: Door) -> None:
    session = door.open(door.ada)
    _token(door, session, "first")
    with pytest.raises(errors.UniqueViolation):
        _token(door, session, "again")


def test_a_family_belongs_to_one_session(door: Door) -> None:
    first, second = door.open(door.ada, "a"), door.open(door.bob, "b")
    _token(door, first, "first")
    with pytest.raises(errors.CheckViolation, match="belongs to one session"):
        _token(door, second, "second", family_key=first, generation=2)


@pytest.mark.parametrize(
    ("event", "rule"),
    [
        ({"event_kind": "step_up"}, "step_up_names_level"),
        ({"event_kind": "step_up", "assurance_before": "aal2", "assurance_after": "aal1"}, "rais"),
        ({"event_kind": "step_up", "assurance_before": "aal1", "assurance_after": "aal2"}, None),
        ({"event_kind": "impersonation_started"}, "is_granted"),
        ({"event_kind": "impersonation_started", "details": {"support_grant_ref": "7"}}, None),
        ({"event_kind": "impersonation_ended", "details": {"emergency_access_id": "7"}}, None),
        ({"event_kind": "nap"}, "kind_known"),
    ],
)
def test_an_event_says_what_its_kind_asks_for(
    door: Door, event: dict[str, Any], rule: str | None
) -> None:
    session = door.open(door.ada)
    if rule is None:
        door.put("user_auth.session_event", user_session_id=session, **event)
    else:
        with pytest.raises(errors.CheckViolation, match=rule):
            door.put("user_auth.session_event", user_session_id=session, **event)


def test_what_happened_in_a_session_stays(admin: Connection, door: Door) -> None:
    door.put("user_auth.session_event", user_session_id=door.open(door.ada), event_kind="refresh")
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute("DELETE FROM user_auth.session_event")


def test_sessions_of_others_are_not_ended(admin: Connection, door: Door) -> None:
    session = door.open(door.ada)
    become_app(admin, uuid4())
    assert door.one("SELECT user_auth.expire_sessions()") == 0
    become_app(admin, door.tenant)
    assert door.ended(session) == ("active", None)
