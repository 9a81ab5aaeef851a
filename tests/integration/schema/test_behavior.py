"""What people do is learned from, anomalies are judged, and days are counted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection
from tests.integration.conftest import become_app
from tests.integration.schema.door import Door

MOVES = {
    "open": ["investigating", "confirmed", "false_positive"],
    "investigating": ["confirmed", "false_positive"],
    "confirmed": ["closed"],
    "false_positive": ["investigating"],
    "closed": [],
}
JUDGED = ("closed", "false_positive")
MONDAY_NOON = "2026-03-02 12:00-06"
"""In Chicago, where the people of the office are."""


@pytest.fixture
def door(admin: Connection, tenant: UUID) -> Door:
    found = Door.of(admin, tenant)
    assert isinstance(found, Door)
    return found


def _event(door: Door, account: UUID, magnitude: float, **columns: Any) -> UUID:
    given = {"signal": "export", "magnitude": magnitude, **columns}
    return door.put("user_analytics.behavior_event", user_account_id=account, **given)


@pytest.mark.parametrize(
    ("moment", "hour_class"),
    [
        ("2026-03-02 06:59-06", "night"),
        ("2026-03-02 07:00-06", "work"),
        ("2026-03-02 17:59-06", "work"),
        ("2026-03-02 18:00-06", "evening"),
        ("2026-03-02 22:59-06", "evening"),
        ("2026-03-02 23:00-06", "night"),
        ("2026-03-01 12:00-06", "weekend"),
        ("2026-03-02 05:30+00", "weekend"),
    ],
)
def test_hours_are_those_of_the_user(door: Door, moment: str, hour_class: str) -> None:
    found = door.one("SELECT user_analytics.hour_class(%s, 'America/Chicago')", moment)
    assert found == hour_class


def test_what_is_usual_is_learned_per_user_signal_and_hour(door: Door) -> None:
    for magnitude in (10, 20, 30):
        _event(door, door.ada, magnitude, occurred_at=MONDAY_NOON)
    _event(door, door.ada, 99, occurred_at="2026-03-01 12:00-06")
    _event(door, door.ada, 7, occurred_at=MONDAY_NOON, signal="search")
    _event(door, door.bob, 1, occurred_at=MONDAY_NOON)
    assert door.one("SELECT user_analytics.refresh_baselines(20000)") == 4
    rows = door.rows(
        "SELECT user_account_id, signal, hour_class, mean_value::float, stddev_value::float,"
        " p95_value::float, sample_count, is_mature FROM user_analytics.behavior_baseline"
        " ORDER BY sample_count DESC, mean_value DESC"
    )
    assert rows == [
        (door.ada, "export", "work", 20.0, 10.0, 29.0, 3, False),
        (door.ada, "export", "weekend", 99.0, 0.0, 99.0, 1, False),
        (door.ada, "search", "work", 7.0, 0.0, 7.0, 1, False),
        (door.bob, "export", "work", 1.0, 0.0, 1.0, 1, False),
    ]


def test_learning_again_replaces_what_was_learned(door: Door) -> None:
    _event(door, door.ada, 10, occurred_at=MONDAY_NOON)
    door.one("SELECT user_analytics.refresh_baselines(20000)")
    _event(door, door.ada, 30, occurred_at=MONDAY_NOON)
    door.one("SELECT user_analytics.refresh_baselines(20001)")
    rows = door.rows(
        "SELECT mean_value::float, sample_count, window_days FROM user_analytics.behavior_baseline"
    )
    assert rows == [(20.0, 2, 20001)]


def test_events_before_the_window_are_not_learned_from(door: Door) -> None:
    _event(door, door.ada, 10, occurred_at=door.one("SELECT now() - interval '31 days'"))
    _event(door, door.bob, 10, occurred_at=door.one("SELECT now() - interval '29 days'"))
    assert door.one("SELECT user_analytics.refresh_baselines(30)") == 1
    assert door.one("SELECT user_account_id FROM user_analytics.behavior_baseline") == door.bob


@pytest.mark.parametrize(("count", "is_mature"), [(29, False), (30, True)])
def test_a_baseline_matures_with_thirty_events(door: Door, count: int, is_mature: bool) -> None:
    for _ in range(count):
        _event(door, door.ada, 5, occurred_at=MONDAY_NOON)
    door.one("SELECT user_analytics.refresh_baselines(20000)")
    assert door.one("SELECT is_mature FROM user_analytics.behavior_baseline") == is_mature


def _group(door: Door, **columns: Any) -> UUID:
    given = {"name": "Peers", "method": "cluster", "member_count": 5, **columns}
    return door.put("user_analytics.peer_group", **given)


def test_peers_are_those_of_the_role_and_of_the_unit(door: Door) -> None:
    role = door.role("reader")
    unit = door.put("user_mgmt.org_unit", code="crew", name="Crew", kind="crew")
    for account in (door.ada, door.bob):
        door.assign(account, role)
    for account in (door.bob, door.cleo):
        door.put(
            "user_mgmt.org_unit_member",
            org_unit_id=unit,
            user_account_id=account,
            membership_kind="secondary",
        )
    groups = {
        _group(door, name="role", method="role", role_id=role): {door.ada, door.bob},
        _group(door, name="unit", method="org_unit", org_unit_id=unit): {door.bob, door.cleo},
        _group(door, name="both", method="role", role_id=role, org_unit_id=unit): {door.bob},
        _group(door, name="neither"): set(),
    }
    for group, members in groups.items():
        found = door.column(
            "SELECT user_account_id FROM user_analytics.v_peer_group_member"
            " WHERE peer_group_id = %s",
            group,
        )
        assert set(found) == members


def test_a_group_learns_from_all_its_members(door: Door) -> None:
    role = door.role("reader")
    group = _group(door, method="role", role_id=role)
    for account, magnitude in ((door.ada, 10), (door.bob, 30)):
        door.assign(account, role)
        _event(door, account, magnitude, occurred_at=MONDAY_NOON)
    assert door.one("SELECT user_analytics.refresh_baselines(20000)") == 3
    row = door.rows(
        "SELECT user_account_id, mean_value::float, sample_count"
        " FROM user_analytics.behavior_baseline WHERE peer_group_id = %s",
        group,
    )
    assert row == [(None, 20.0, 2)]


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"member_count": 4}, "is_big_enough"),
        ({"member_count": 4, "min_members": 4}, "is_big_enough"),
        ({"member_count": 7, "min_members": 8}, "is_big_enough"),
        ({"silhouette_score": 1.01}, "silhouette_bounded"),
        ({"silhouette_score": -1}, None),
        ({"method": "role"}, "of_role_names_it"),
        ({"method": "org_unit"}, "of_unit_names_it"),
        ({"valid_until": "-infinity"}, "valid_after_building"),
    ],
)
def test_a_group_is_of_five_at_least(door: Door, columns: dict[str, Any], rule: str | None) -> None:
    if rule is None:
        _group(door, **columns)
    else:
        with pytest.raises(errors.CheckViolation, match=rule):
            _group(door, **columns)


def _baseline(door: Door, **columns: Any) -> UUID:
    given = {
        "user_account_id": door.ada,
        "signal": "export",
        "hour_class": "work",
        "window_days": 90,
        "mean_value": 10,
        "p95_value": 20,
        "sample_count": 40,
        **columns,
    }
    return door.put("user_analytics.behavior_baseline", **given)


@pytest.mark.parametrize("both", [True, False])
def test_a_baseline_is_of_a_user_or_of_a_group(door: Door, both: bool) -> None:
    group = _group(door) if both else None
    with pytest.raises(errors.CheckViolation, match="of_user_or_group"):
        _baseline(door, user_account_id=door.ada if both else None, peer_group_id=group)


@pytest.mark.parametrize("of_group", [True, False])
def test_a_subject_has_one_baseline_per_signal_and_hour(door: Door, of_group: bool) -> None:
    columns = {"user_account_id": None, "peer_group_id": _group(door)} if of_group else {}
    _baseline(door, **columns)
    _baseline(door, **columns, hour_class="night")
    with pytest.raises(errors.UniqueViolation):
        _baseline(door, **columns)


@pytest.mark.parametrize("column", ["mean_value", "stddev_value", "p95_value"])
def test_a_baseline_is_not_negative(door: Door, column: str) -> None:
    with pytest.raises(errors.CheckViolation, match="values_not_negative"):
        _baseline(door, **{column: -1})


def test_what_people_did_stays(admin: Connection, door: Door) -> None:
    _event(door, door.ada, 0)
    with door.refusing(errors.CheckViolation, "magnitude_not_negative"):
        _event(door, door.ada, -1)
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute("DELETE FROM user_analytics.behavior_event")


def _place(door: Door, **columns: Any) -> UUID:
    given = {
        "country_code": "US",
        "region": "IL",
        "city": "Chicago",
        "latitude": 41.9,
        "longitude": -87.6,
        **columns,
    }
    return door.put("user_analytics.usual_location", user_account_id=door.ada, **given)


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"radius_km": 0.9}, "radius_bounded"),
        ({"radius_km": 501}, "radius_bounded"),
        ({"radius_km": 500}, None),
        ({"confidence": 1.1}, "probability_between_0_and_1"),
        ({"last_seen_at": "-infinity"}, "seen_again_later"),
        ({"latitude": 91}, "latitude_on_earth"),
        ({"sign_in_count": 0}, "sign_ins_positive"),
    ],
)
def test_a_usual_place_is_one_on_earth(
    door: Door, columns: dict[str, Any], rule: str | None
) -> None:
    if rule is None:
        _place(door, **columns)
    else:
        with pytest.raises(errors.CheckViolation, match=rule):
            _place(door, **columns)


def test_a_place_is_usual_once(door: Door) -> None:
    _place(door, city=None)
    with pytest.raises(errors.UniqueViolation):
        _place(door, city=None)


def _anomaly(door: Door, **columns: Any) -> UUID:
    given = {"kind": "mass_export", **columns}
    return door.put("user_analytics.behavior_anomaly", user_account_id=door.ada, **given)


@pytest.mark.parametrize("old", MOVES)
@pytest.mark.parametrize("new", MOVES)
def test_an_anomaly_moves_by_its_table(door: Door, old: str, new: str) -> None:
    with door.as_platform():
        _anomaly(door, status=old, closed_at="now" if old in JUDGED else None)
    change = (
        "UPDATE user_analytics.behavior_anomaly SET status = %s,"
        " closed_at = CASE WHEN %s THEN now() END"
    )
    if new == old or new in MOVES[old]:
        door.run(change, new, new in JUDGED)
    else:
        with door.refusing(errors.CheckViolation, f"{old} cannot become {new}"):
            door.run(change, new, new in JUDGED)


@pytest.mark.parametrize("status", [state for state in MOVES if state != "open"])
def test_an_anomaly_starts_open(door: Door, status: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        _anomaly(door, status=status, closed_at="now")


@pytest.mark.parametrize(
    ("evidence", "is_allowed"),
    [
        ([], True),
        ([{"table": "behavior_event", "id": "019a0000-0000-7000-8000-000000000000"}], True),
        ([{"table": "behavior_event", "id": "4711"}], False),
        ([{"table": "behavior_event"}], False),
        ([{"id": "019a0000-0000-7000-8000-000000000000"}], False),
    ],
)
def test_evidence_refers_to_events(
    door: Door, evidence: list[dict[str, str]], is_allowed: bool
) -> None:
    if is_allowed:
        _anomaly(door, evidence=Jsonb(evidence))
    else:
        with pytest.raises(errors.CheckViolation, match="evidence is an array"):
            _anomaly(door, evidence=Jsonb(evidence))


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"deviation_sigma": -0.1}, "deviation_not_negative"),
        ({"closed_at": "now"}, "closed_has_time"),
        ({"mine": True}, "nobody_judges_own"),
    ],
)
def test_an_anomaly_that_cannot_be_is_refused(
    door: Door, columns: dict[str, Any], rule: str
) -> None:
    given = {"assigned_to_user_account_id": door.ada} if "mine" in columns else columns
    with pytest.raises(errors.CheckViolation, match=rule):
        _anomaly(door, **given)


def _day(door: Door, account: UUID, day: str, **columns: Any) -> UUID:
    given = {
        "action_count": 10,
        "distinct_feature_count": 4,
        "active_minutes": 60,
        "first_action_at": f"{day} 09:00+00",
        "last_action_at": f"{day} 17:00+00",
        **columns,
    }
    return door.put(
        "user_analytics.user_engagement_daily",
        user_account_id=account,
        activity_date=day,
        **given,
    )


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"active_minutes": 1441}, "minutes_of_a_day"),
        ({"active_minutes": 1440}, None),
        ({"action_count": 0, "distinct_feature_count": 0}, "actions_have_times"),
        ({"last_action_at": "2026-03-02 08:59+00"}, "last_after_first"),
        ({"distinct_feature_count": 11}, "features_by_actions"),
        ({"mobile_share_pct": 101}, "mobile_share_bounded"),
    ],
)
def test_a_day_has_figures_of_a_day(door: Door, columns: dict[str, Any], rule: str | None) -> None:
    if rule is None:
        _day(door, door.ada, "2026-03-02", **columns)
    else:
        with pytest.raises(errors.CheckViolation, match=rule):
            _day(door, door.ada, "2026-03-02", **columns)


def test_a_day_of_a_user_is_counted_once(door: Door) -> None:
    _day(door, door.ada, "2026-03-02")
    with pytest.raises(errors.UniqueViolation):
        _day(door, door.ada, "2026-03-02")


def test_weeks_tell_how_a_role_uses_the_product(admin: Connection, door: Door) -> None:
    reader, idle = door.role("reader"), door.role("idle")
    with door.as_platform():
        for account in (door.ada, door.bob):
            door.assign(account, reader, valid_from="2026-01-01")
        door.assign(door.cleo, idle, valid_from="2026-01-01")
        door.assign(door.dan, reader, valid_from="2026-03-09")
    for day in ("2026-03-02", "2026-03-03", "2026-03-04"):
        _day(door, door.ada, day, modules_used=["schedule", "invoices"])
    _day(door, door.bob, "2026-03-08", modules_used=["schedule"], distinct_feature_count=8)
    _day(door, door.dan, "2026-03-02")
    admin.execute("RESET ROLE")
    admin.execute("REFRESH MATERIALIZED VIEW user_analytics.mv_adoption_weekly")
    become_app(admin, door.tenant)
    rows = door.rows(
        "SELECT role_id, week_start::text, active_user_count, stickiness::float,"
        " average_feature_count::float, module_count FROM user_analytics.v_adoption_weekly"
    )
    assert rows == [(reader, "2026-03-02", 2, 0.285714, 6.0, 2)]
