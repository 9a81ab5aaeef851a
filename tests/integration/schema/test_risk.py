"""Scores are explained, decisions follow their policy, and who is critical is locked out."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection
from tests.integration.conftest import become_app
from tests.integration.schema.door import Door, sha


@pytest.fixture
def door(admin: Connection, tenant: UUID) -> Door:
    found = Door.of(admin, tenant)
    assert isinstance(found, Door)
    return found


def _score(door: Door, action: str = "sign_in", **context: Any) -> tuple[float, str]:
    row = door.rows(
        "SELECT score, decision FROM user_analytics.score_user(%s, %s, %s)",
        door.ada,
        action,
        Jsonb(context),
    )[0]
    return float(row[0]), row[1]


def _factors(door: Door) -> dict[str, float]:
    rows = door.rows(
        "SELECT f.factor, f.points::float FROM (SELECT factors FROM user_analytics.risk_score"
        " ORDER BY scored_at DESC LIMIT 1) AS s, JSON_TABLE(s.factors::jsonb, '$[*]' COLUMNS ("
        "factor text PATH '$.factor', points numeric PATH '$.points')) AS f"
    )
    return dict(rows)


def _weigh(door: Door, **weights: int) -> UUID:
    """A policy of some factors that stops nobody."""
    return door.policy(factor_weights=weights, step_up_threshold=99, block_threshold=100)


def _place(door: Door, ago: str = "1 hour", **columns: Any) -> None:
    given = {"country_code": "US", "latitude": 41.9, "longitude": -87.6, **columns}
    door.put(
        "user_analytics.usual_location",
        user_account_id=door.ada,
        first_seen_at=door.one("SELECT now() - interval '90 days'"),
        last_seen_at=door.one("SELECT now() - %s::interval", ago),
        **given,
    )


@pytest.mark.parametrize(
    ("points", "band"),
    [
        (0, "low"),
        (29.99, "low"),
        (30, "elevated"),
        (59.99, "elevated"),
        (60, "high"),
        (84.99, "high"),
        (85, "critical"),
        (100, "critical"),
    ],
)
def test_the_band_follows_the_score(door: Door, points: float, band: str) -> None:
    door.score(door.ada, door.policy(), points)
    assert door.one("SELECT band FROM user_analytics.risk_score") == band


@pytest.mark.parametrize("points", [-1, 100.01])
def test_a_score_is_out_of_a_hundred(door: Door, points: float) -> None:
    with pytest.raises(errors.CheckViolation, match="risk_score_bounded"):
        door.score(door.ada, door.policy(), points)


@pytest.mark.parametrize(
    ("parts", "is_allowed"),
    [([20, 30], True), ([20, 30.02], True), ([20, 30.03], False), ([50], True), ([], False)],
)
def test_factors_sum_to_the_score_within_rounding(
    door: Door, parts: list[float], is_allowed: bool
) -> None:
    policy = door.policy()
    factors = Jsonb([{"factor": "new_device", "points": part} for part in parts])
    if is_allowed:
        door.score(door.ada, policy, 50, factors=factors)
    else:
        with pytest.raises(errors.CheckViolation, match="factors sum to"):
            door.score(door.ada, policy, 50, factors=factors)


def test_a_score_of_nothing_needs_no_factor(door: Door) -> None:
    door.score(door.ada, door.policy(), 0, factors=Jsonb([]))


def test_scores_stay(admin: Connection, door: Door) -> None:
    door.score(door.ada, door.policy(), 10)
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute("UPDATE user_analytics.risk_score SET score = 0")


@pytest.mark.parametrize(
    ("factor", "reason"),
    [
        ("impossible_travel", "impossible_travel"),
        ("failed_attempts", "too_many_failures"),
        ("network", "risk"),
    ],
)
def test_who_is_critical_is_locked_out_and_signed_out(door: Door, factor: str, reason: str) -> None:
    session = door.open(door.ada)
    factors = Jsonb([{"factor": "dormant", "points": 5}, {"factor": factor, "points": 80}])
    door.score(door.ada, door.policy(), 85, factors=factors)
    assert door.one("SELECT reason FROM user_auth.account_lockout") == reason
    is_out = reason != "too_many_failures"
    assert door.ended(session) == (("revoked", "risk") if is_out else ("active", None))


def test_who_is_high_is_not_locked_out(door: Door) -> None:
    door.score(door.ada, door.policy(), 84.99)
    assert door.one("SELECT count(*) FROM user_auth.account_lockout") == 0


def test_a_policy_on_trial_locks_nobody_out(door: Door) -> None:
    door.score(door.ada, door.policy(shadow_mode=True), 90)
    assert door.one("SELECT count(*) FROM user_auth.account_lockout") == 0


def test_imported_scores_lock_nobody_out(door: Door) -> None:
    policy = door.policy()
    with door.as_platform():
        door.score(door.ada, policy, 90)
    assert door.one("SELECT count(*) FROM user_auth.account_lockout") == 0


def test_two_critical_scores_are_one_lockout(door: Door) -> None:
    policy = door.policy()
    for _ in range(2):
        door.score(door.ada, policy, 90)
    assert door.one("SELECT count(*) FROM user_auth.account_lockout") == 1


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"step_up_threshold": 0}, "thresholds_ordered"),
        ({"step_up_threshold": 60}, "thresholds_ordered"),
        ({"block_threshold": 100.5}, "thresholds_ordered"),
        ({"block_threshold": 100}, None),
        ({"decay_half_life_hours": 0}, "half_life_positive"),
        ({"activated_at": None}, "active_has_time"),
        ({"factor_weights": {"phase_of_the_moon": 10}}, "cannot give phase_of_the_moon"),
        ({"factor_weights": {"new_device": 101}}, "cannot give new_device a weight of 101"),
        ({"factor_weights": {"new_device": -1}}, "cannot give new_device"),
        ({"factor_weights": {"new_device": None}}, "a weight of nothing"),
    ],
)
def test_a_policy_weighs_what_is_known(
    door: Door, columns: dict[str, Any], rule: str | None
) -> None:
    if rule is None:
        door.policy(**columns)
    else:
        with pytest.raises(errors.CheckViolation, match=rule):
            door.policy(**columns)


def test_one_version_of_a_policy_is_active(door: Door) -> None:
    door.policy(shadow_mode=True)
    with pytest.raises(errors.UniqueViolation, match="active_version"):
        door.policy(shadow_mode=True, version_no=2)


def test_one_policy_decides_beside_those_on_trial(door: Door) -> None:
    door.policy()
    door.policy(code="next", shadow_mode=True)
    with pytest.raises(errors.UniqueViolation, match="deciding"):
        door.policy(code="other")


@pytest.mark.parametrize(
    "change", ["step_up_threshold = 20", "factor_weights = '{}'", "code = 'other'"]
)
def test_a_policy_that_was_activated_stays_as_it_decided(door: Door, change: str) -> None:
    door.policy()
    door.run("UPDATE user_analytics.risk_policy SET is_active = false, name = 'Old'")
    with pytest.raises(errors.RestrictViolation, match="stays as it decided"):
        door.run(f"UPDATE user_analytics.risk_policy SET {change}")


def test_a_draft_of_a_policy_is_edited(door: Door) -> None:
    door.policy(is_active=False, activated_at=None)
    door.run("UPDATE user_analytics.risk_policy SET step_up_threshold = 20")


def test_nothing_against_somebody_is_a_score_of_zero(door: Door) -> None:
    policy = door.policy()
    assert _score(door) == (0.0, "allow")
    row = door.rows(
        "SELECT risk_policy_id, action_kind, score::float, decision, required_method, outcome,"
        " was_shadow FROM user_analytics.risk_decision"
    )
    assert row == [(policy, "sign_in", 0.0, "allow", None, "not_needed", False)]
    assert door.one("SELECT factors FROM user_analytics.risk_score") == []


def test_without_a_policy_nothing_is_scored(door: Door) -> None:
    door.policy("export")
    with pytest.raises(errors.NoDataFound, match="no active risk policy for sign_in"):
        _score(door)


def test_nobody_is_not_scored(door: Door) -> None:
    door.policy()
    with pytest.raises(errors.NoDataFound, match="no account"):
        door.run("SELECT * FROM user_analytics.score_user(%s, 'sign_in')", uuid4())


@pytest.mark.parametrize(
    ("weight", "decision"),
    [
        (19, "allow"),
        (20, "allow_and_watch"),
        (24, "allow_and_watch"),
        (25, "step_up"),
        (59, "step_up"),
        (60, "block"),
    ],
)
def test_what_follows_is_what_the_thresholds_say(door: Door, weight: int, decision: str) -> None:
    door.policy(factor_weights={"new_device": weight})
    assert _score(door, device_hash=sha("unknown").hex()) == (weight, decision)
    row = door.rows("SELECT decision, required_method, outcome FROM user_analytics.risk_decision")
    is_open = decision == "step_up"
    assert row == [(decision, "email_otp" if is_open else None, None if is_open else "not_needed")]


def test_a_policy_on_trial_stops_nobody(door: Door) -> None:
    door.policy(factor_weights={"new_device": 70}, shadow_mode=True)
    assert _score(door, device_hash=sha("unknown").hex()) == (70.0, "allow_and_watch")
    row = door.rows("SELECT decision, was_shadow FROM user_analytics.risk_decision")
    assert row == [("block", True)]


def test_the_policy_that_decides_goes_before_one_on_trial(door: Door) -> None:
    door.policy(code="next", shadow_mode=True)
    policy = door.policy()
    _score(door)
    assert door.one("SELECT risk_policy_id FROM user_analytics.risk_score") == policy


@pytest.mark.parametrize(
    ("columns", "points"),
    [
        (None, {"new_device": 10}),
        ({"trust": "trusted"}, {}),
        ({"trust": "suspect"}, {"suspect_device": 24}),
        ({"trust": "blocked"}, {"suspect_device": 40}),
        ({"jailbroken": True}, {"suspect_device": 24}),
    ],
)
def test_the_device_counts(
    door: Door, columns: dict[str, Any] | None, points: dict[str, float]
) -> None:
    _weigh(door, new_device=10, suspect_device=40)
    if columns is not None:
        door.device(door.ada, **columns)
    _score(door, device_hash=sha("laptop").hex())
    assert _factors(door) == points


@pytest.mark.parametrize(
    ("country", "points"), [("US", {}), ("KP", {"new_country": 25}), (None, {})]
)
def test_a_country_counts_that_is_not_usual(
    door: Door, country: str | None, points: dict[str, float]
) -> None:
    _weigh(door, new_country=25)
    _score(door, country_code="KP")
    assert _factors(door) == {}, "nothing is usual yet"
    _place(door)
    _score(door, country_code=country)
    assert _factors(door) == points


@pytest.mark.parametrize(
    ("ago", "latitude", "longitude", "is_possible"),
    [
        ("1 hour", 42.0, -87.9, True),
        ("1 hour", 51.5, -0.1, False),
        ("12 hours", 51.5, -0.1, True),
        ("1 hour", 43.0, -87.9, True),
    ],
)
def test_nobody_travels_faster_than_an_airliner(
    door: Door, ago: str, latitude: float, longitude: float, is_possible: bool
) -> None:
    _weigh(door, impossible_travel=45)
    _place(door, ago)
    _score(door, latitude=latitude, longitude=longitude)
    assert ("impossible_travel" not in _factors(door)) == is_possible


def test_from_another_usual_place_nobody_travels(door: Door) -> None:
    _weigh(door, impossible_travel=45)
    _place(door, "5 minutes")
    _place(door, "20 days", country_code="GB", latitude=51.5, longitude=-0.1)
    _score(door, latitude=51.5, longitude=-0.1)
    assert _factors(door) == {}


@pytest.mark.parametrize(("failures", "points"), [(0, {}), (3, {"failed_attempts": 9})])
def test_failures_of_the_last_hour_count(
    door: Door, failures: int, points: dict[str, float]
) -> None:
    _weigh(door, failed_attempts=30)
    for _ in range(failures):
        door.put(
            "user_auth.auth_attempt",
            user_account_id=door.ada,
            flow_key=uuid4(),
            identifier_hash=sha("x"),
            method="password",
            result="wrong_secret",
        )
    _score(door)
    assert _factors(door) == points


@pytest.mark.parametrize(
    ("ip", "points"), [("185.220.100.1", 40), ("45.128.0.1", 20), ("203.0.113.1", None)]
)
def test_the_network_counts(door: Door, ip: str, points: float | None) -> None:
    _weigh(door, network=40)
    door.network("185.220.100.0/22", "block", "tor_exit")
    door.network("45.128.0.0/14", "raise_risk", "hosting")
    door.network("203.0.113.0/24", "skip_second_factor")
    _score(door, ip=ip)
    assert _factors(door).get("network") == points


def test_open_anomalies_count_by_their_severity(door: Door) -> None:
    _weigh(door, anomalies=50)
    for severity in ("high", "medium"):
        door.put(
            "user_analytics.behavior_anomaly",
            user_account_id=door.ada,
            kind="mass_export",
            severity=severity,
        )
    _score(door)
    assert _factors(door) == {"anomalies": 45}
    door.run(
        "UPDATE user_analytics.behavior_anomaly SET status = 'false_positive', closed_at = now()"
    )
    _score(door)
    assert _factors(door) == {}


@pytest.mark.parametrize(("magnitude", "points"), [(120, None), (140, 15), (180, 30), (1000, 30)])
def test_what_is_more_than_usual_counts(door: Door, magnitude: int, points: float | None) -> None:
    _weigh(door, deviation=30)
    _baseline(door, user_account_id=door.ada)
    _score(door, signal="export", magnitude=magnitude)
    assert _factors(door).get("deviation") == points


def test_what_is_usual_for_peers_counts_until_more_is_known(door: Door) -> None:
    _weigh(door, deviation=30)
    role = door.role("reader")
    door.assign(door.ada, role)
    group = door.put(
        "user_analytics.peer_group", name="Peers", method="role", role_id=role, member_count=9
    )
    _baseline(door, user_account_id=door.ada, sample_count=29)
    _score(door, signal="export", magnitude=1000)
    assert _factors(door) == {}, "not mature"
    _baseline(door, peer_group_id=group)
    _score(door, signal="export", magnitude=1000)
    assert _factors(door) == {"deviation": 30}


def _baseline(door: Door, **columns: Any) -> None:
    """100 give or take 10, now."""
    given = {
        "signal": "export",
        "hour_class": door.one("SELECT user_analytics.hour_class(now(), 'America/Chicago')"),
        "window_days": 90,
        "mean_value": 100,
        "stddev_value": 10,
        "p95_value": 120,
        "sample_count": 40,
        **columns,
    }
    door.put("user_analytics.behavior_baseline", **given)


@pytest.mark.parametrize(("alike", "is_unusual"), [(1, True), (2, False)])
def test_an_hour_counts_in_which_one_was_hardly_ever_here(
    door: Door, alike: int, is_unusual: bool
) -> None:
    _weigh(door, unusual_hour=10)
    with door.as_platform():
        for number in range(20):
            past = door.one(
                "SELECT m FROM generate_series(now() - interval '60 days', now() - interval"
                " '1 hour', interval '1 hour') AS m WHERE"
                " (user_analytics.hour_class(m, 'America/Chicago')"
                "  = user_analytics.hour_class(now(), 'America/Chicago')) = %s LIMIT 1",
                number < alike,
            )
            door.session(
                door.ada,
                str(number),
                started_at=past,
                last_activity_at=past,
                absolute_expires_at="infinity",
                state="expired",
                end_reason="idle",
                ended_at=past,
            )
    _score(door)
    assert ("unusual_hour" in _factors(door)) == is_unusual


def test_who_was_away_for_long_counts(door: Door) -> None:
    _weigh(door, dormant=20)
    with door.as_platform():
        door.run(
            "UPDATE user_mgmt.user_account SET activated_at = now() - interval '300 days',"
            " last_login_at = now() - interval '90 days' WHERE user_account_id = %s",
            door.ada,
        )
    _score(door)
    assert _factors(door) == {"dormant": 10}


def test_a_score_is_forgotten_by_half_in_its_half_life(door: Door) -> None:
    policy = door.policy(
        factor_weights={"history": 100, "new_device": 30},
        step_up_threshold=99,
        block_threshold=100,
        decay_half_life_hours=12,
    )
    door.score(
        door.ada,
        policy,
        80,
        scored_at=door.one("SELECT now() - interval '12 hours'"),
    )
    assert _score(door, device_hash=sha("unknown").hex())[0] == 40
    assert _factors(door) == {"new_device": 30, "history": 10}
    previous = (
        "SELECT previous_score FROM user_analytics.risk_score ORDER BY scored_at DESC LIMIT 1"
    )
    assert door.one(previous) == 80


def test_scoring_twice_does_not_raise_a_score(door: Door) -> None:
    _weigh(door, new_device=30, history=100)
    scores = [_score(door, device_hash=sha("unknown").hex())[0] for _ in range(3)]
    assert scores == [30.0, 30.0, 30.0]


def _watch(door: Door, **columns: Any) -> UUID:
    given = {
        "added_by_user_account_id": door.bob,
        "reason": "leaver",
        "multiplier": 2,
        "ends_at": door.one("SELECT now() + interval '30 days'"),
        **columns,
    }
    return door.put("user_analytics.watchlist_entry", user_account_id=door.ada, **given)


def test_who_is_watched_counts_for_more(door: Door) -> None:
    door.policy(factor_weights={"new_device": 10})
    _watch(door)
    _watch(door, multiplier=1.5)
    assert _score(door, device_hash=sha("unknown").hex()) == (20.0, "allow_and_watch")
    assert _factors(door) == {"new_device": 10, "watchlist": 10}
    assert door.one("SELECT trigger_kind FROM user_analytics.risk_score") == "watchlist"


@pytest.mark.parametrize(
    "columns",
    [
        {"removed_at": "now", "removal_reason": "Nothing came of it"},
        {"starts_at": "2026-01-01", "ends_at": "2026-02-01"},
        {"starts_at": "2126-01-01", "ends_at": "2126-02-01"},
    ],
)
def test_who_is_not_watched_any_more_does_not(door: Door, columns: dict[str, Any]) -> None:
    door.policy(factor_weights={"new_device": 10})
    _watch(door, **columns)
    assert _score(door, device_hash=sha("unknown").hex()) == (10.0, "allow")


def test_beyond_a_hundred_all_factors_shrink_alike(door: Door) -> None:
    _weigh(door, new_device=90, network=60)
    door.network("185.220.100.0/22", "block", "tor_exit")
    score = _score(door, device_hash=sha("unknown").hex(), ip="185.220.100.1")
    assert score == (100.0, "block")
    assert _factors(door) == {"new_device": 60, "network": 40}
    assert door.one("SELECT user_auth.is_locked_out(%s)", door.ada)


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"multiplier": 0.9}, "multiplier_bounded"),
        ({"multiplier": 5.1}, "multiplier_bounded"),
        ({"multiplier": 5}, None),
        ({"ends_at": "-infinity"}, "ends_after_start"),
        ({"review_due_at": "infinity"}, "review_before_end"),
        ({"removed_at": "now"}, "removed_has_reason"),
        ({"self": True}, "nobody_watches_self"),
    ],
)
def test_a_watch_is_for_a_time_and_by_another(
    door: Door, columns: dict[str, Any], rule: str | None
) -> None:
    given = {"added_by_user_account_id": door.ada} if "self" in columns else columns
    if rule is None:
        _watch(door, **given)
    else:
        with pytest.raises(errors.CheckViolation, match=rule):
            _watch(door, **given)


def test_a_watch_has_an_end(door: Door) -> None:
    with pytest.raises(errors.NotNullViolation):
        _watch(door, ends_at=None)


def _decide(door: Door, policy: UUID, points: float, decision: str, **columns: Any) -> UUID:
    given = {
        "action_kind": "sign_in",
        "required_method": "totp" if decision == "step_up" else None,
        **columns,
    }
    return door.put(
        "user_analytics.risk_decision",
        user_account_id=door.ada,
        risk_policy_id=policy,
        score=points,
        decision=decision,
        **given,
    )


@pytest.mark.parametrize(
    ("points", "decision", "agrees"),
    [
        (24.99, "allow", True),
        (24.99, "allow_and_watch", True),
        (24.99, "step_up", False),
        (25, "allow", False),
        (25, "step_up", True),
        (59.99, "block", False),
        (60, "block", True),
        (60, "step_up", False),
    ],
)
def test_a_decision_is_what_the_thresholds_say(
    door: Door, points: float, decision: str, agrees: bool
) -> None:
    policy = door.policy()
    if agrees:
        _decide(door, policy, points, decision)
    else:
        _decide(door, policy, points, decision, was_shadow=True)
        with pytest.raises(errors.CheckViolation, match="does not say"):
            _decide(door, policy, points, decision)


def test_a_decision_is_about_what_its_policy_applies_to(door: Door) -> None:
    with pytest.raises(errors.CheckViolation, match="does not say"):
        _decide(door, door.policy("export"), 0, "allow")


def test_a_decision_does_not_change_its_mind(door: Door) -> None:
    _decide(door, door.policy(), 10, "allow")
    door.run("UPDATE user_analytics.risk_decision SET feedback = 'correct'")
    with pytest.raises(errors.CheckViolation, match="does not say"):
        door.run("UPDATE user_analytics.risk_decision SET decision = 'block'")


@pytest.mark.parametrize(
    ("decision", "columns", "rule"),
    [
        ("step_up", {"required_method": None}, "step_up_names_method"),
        ("allow", {"required_method": "totp"}, "step_up_names_method"),
        ("allow", {"outcome": "passed"}, "only_step_up_is_passed"),
        ("block", {"feedback": "missed"}, "only_let_in_is_missed"),
        ("allow", {"feedback": "false_block"}, "only_stopped_is_false_block"),
        ("allow", {"latency_ms": -1}, "milliseconds_not_negative"),
    ],
)
def test_a_decision_that_cannot_be_is_refused(
    door: Door, decision: str, columns: dict[str, Any], rule: str
) -> None:
    points = {"allow": 0, "step_up": 30, "block": 70}[decision]
    with pytest.raises(errors.CheckViolation, match=rule):
        _decide(door, door.policy(), points, decision, **columns)


def test_who_is_high_is_shown_with_what_makes_it_so(door: Door) -> None:
    policy = door.policy()
    factors = [
        {"factor": "network", "points": 10},
        {"factor": "new_device", "points": 20},
        {"factor": "deviation", "points": 5},
        {"factor": "new_country", "points": 30},
    ]
    door.score(door.ada, policy, 65, factors=factors)
    door.score(door.bob, policy, 59)
    for severity in ("low", "high"):
        door.put(
            "user_analytics.behavior_anomaly",
            user_account_id=door.ada,
            kind="mass_export",
            severity=severity,
        )
    _watch(door)
    rows = door.rows(
        "SELECT user_account_id, band, top_factors, open_anomaly_count, worst_severity, is_watched"
        " FROM user_analytics.v_high_risk_user"
    )
    top = ["new_country", "new_device", "network"]
    assert rows == [(door.ada, "high", top, 2, "high", True)]


def test_the_last_score_is_what_counts(door: Door) -> None:
    policy = door.policy()
    door.score(door.ada, policy, 70)
    door.score(door.ada, policy, 10)
    door.score(
        door.bob,
        policy,
        70,
        scored_at=door.one("SELECT now() - interval '2 hours'"),
        expires_at=door.one("SELECT now() - interval '1 hour'"),
    )
    assert door.rows("SELECT * FROM user_analytics.v_high_risk_user") == []


@pytest.mark.parametrize(
    ("there", "here", "km"),
    [
        ((41.8781, -87.6298), (51.5074, -0.1278), 6356),
        ((0, 0), (0, 180), 20015),
        ((41.9, -87.6), (41.9, -87.6), 0),
    ],
)
def test_distances_are_along_the_great_circle(
    door: Door, there: tuple[float, float], here: tuple[float, float], km: int
) -> None:
    found = door.one("SELECT system_core.distance_km(%s, %s, %s, %s)", *there, *here)
    assert abs(found - km) < 20


def test_others_are_not_scored(admin: Connection, door: Door) -> None:
    door.policy()
    become_app(admin, uuid4())
    with pytest.raises(errors.NoDataFound):
        _score(door)
