"""Points are a ledger that profile cards follow; rules cap them, streaks run over frozen days."""

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import after, at_once
from tests.integration.schema.playing import NOON, award, give, levels, player, proof, standing
from tests.integration.schema.rows import imported, row
from tests.integration.schema.school import choice, school


def rule(connection: Connection, points: int = 10, **given: Any) -> UUID:
    return row(
        connection,
        "courses.point_rule",
        points=points,
        **{"action": "lesson_completed", **given},
    )


def test_an_action_earns_what_its_rule_says(app: Connection) -> None:
    levels(app)
    rule(app, 10)
    learner = player(app)
    assert award(app, learner) == 10
    assert standing(app, learner) == (10, 10)
    assert proof(app) == []


def test_an_action_without_a_rule_earns_nothing(app: Connection) -> None:
    levels(app)
    rule(app, 10)
    assert award(app, player(app), "quiz_passed") == 0


@pytest.mark.parametrize(
    "given",
    [{"is_active": False}, {"valid_from": "2026-05-05"}, {"valid_until": "2026-05-04"}],
)
def test_a_rule_that_does_not_hold_earns_nothing(app: Connection, given: dict[str, Any]) -> None:
    levels(app)
    rule(app, 10, **{"valid_from": "2026-01-01", **given})
    assert award(app, player(app)) == 0


def test_a_source_earns_once(app: Connection) -> None:
    levels(app)
    rule(app, 10)
    learner, source = player(app), uuid4()
    assert award(app, learner, source=source) == 10
    assert award(app, learner, source=source, at="2026-07-04 12:00+00") == 0
    assert award(app, player(app), source=source) == 10


def test_the_rule_of_the_course_comes_first(app: Connection) -> None:
    levels(app)
    course = row(app, "courses.course")
    rule(app, 10)
    rule(app, 25, course_id=course)
    learner = player(app)
    assert award(app, learner, course=course) == 25
    assert award(app, learner, course=row(app, "courses.course")) == 10
    assert award(app, learner) == 10


def test_a_daily_cap_leaves_what_it_leaves(app: Connection) -> None:
    levels(app)
    rule(app, 10, daily_cap=25)
    learner = player(app)
    assert [award(app, learner) for _ in range(4)] == [10, 10, 5, 0]
    assert award(app, learner, at="2026-05-05 12:00+00") == 10


def test_a_day_ends_where_the_learner_lives(app: Connection) -> None:
    levels(app)
    rule(app, 10, daily_cap=10)
    learner = row(app, "courses.learner", time_zone="America/Los_Angeles")
    assert award(app, learner, at="2026-05-04 20:00+00") == 10
    assert award(app, learner, at="2026-05-05 06:00+00") == 0
    assert award(app, learner, at="2026-05-05 08:00+00") == 10


def test_a_lifetime_cap_is_one(app: Connection) -> None:
    levels(app)
    rule(app, 10, lifetime_cap=15)
    learner = player(app)
    got = [award(app, learner, at=f"2026-05-{day:02d} 12:00+00") for day in (4, 5, 6)]
    assert got == [10, 5, 0]


def test_a_cooldown_is_waited_for(app: Connection) -> None:
    levels(app)
    rule(app, 10, cooldown_minutes=30)
    learner = player(app)
    assert award(app, learner) == 10
    assert award(app, learner, at="2026-05-04 12:29+00") == 0
    assert award(app, learner, at="2026-05-04 12:30+00") == 10


def test_a_long_streak_multiplies(app: Connection) -> None:
    levels(app)
    rule(app, 10, multiplier_after_streak_days=3, multiplier=1.5)
    learner = player(app)
    assert award(app, learner) == 10
    for day in (4, 5, 6):
        extend(app, learner, f"2026-05-{day:02d} 12:00+00")
    assert award(app, learner) == 15


def test_a_rule_below_zero_takes_no_more_than_there_is(app: Connection) -> None:
    levels(app)
    rule(app, -30, action="post_upvoted")
    learner = player(app, 20)
    assert award(app, learner, "post_upvoted") == -20
    assert standing(app, learner) == (0, 0)
    assert award(app, learner, "post_upvoted") == 0


def test_who_has_no_levels_does_not_play(app: Connection) -> None:
    rule(app, 10)
    learner = player(app)
    assert award(app, learner) == 0
    assert standing(app, learner) is None
    with pytest.raises(errors.CheckViolation, match="points need levels"):
        give(app, learner, 5)


def imported_entry(connection: Connection, **given: Any) -> UUID:
    """An entry of history, for which only what must be true holds."""
    entry = {"points": 5, "entry_kind": "earn", "earned_at": NOON, "balance_after": 50, **given}
    learner = row(connection, "courses.learner")
    return imported(connection, "courses.point_ledger_entry", learner_id=learner, **entry)


@pytest.mark.parametrize(
    ("kind", "points"),
    [("earn", -5), ("earn", 0), ("spend", 5), ("expire", 5), ("adjust", 0), ("transfer", 0)],
)
def test_the_sign_fits_the_kind(app: Connection, kind: str, points: int) -> None:
    with pytest.raises(errors.CheckViolation, match="sign_by_kind"):
        imported_entry(app, points=points, entry_kind=kind, source_kind="reward", note="x")


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({"expires_at": "2026-05-04 12:00+00"}, "expires_after_earning"),
        ({"entry_kind": "adjust"}, "adjusted_for_a_reason"),
        ({"entry_kind": "adjust", "note": "  "}, "adjusted_for_a_reason"),
        ({"entry_kind": "bonus"}, "kind_known"),
        ({"source_kind": "luck"}, "source_kind_known"),
    ],
)
def test_an_entry_holds_together(app: Connection, given: dict[str, Any], check: str) -> None:
    with pytest.raises(errors.CheckViolation, match=check):
        imported_entry(app, **given)


def test_points_are_spent_on_rewards(app: Connection) -> None:
    levels(app)
    learner = player(app, 50)
    with pytest.raises(errors.CheckViolation, match="spent_on_a_reward"):
        give(app, learner, -5, entry_kind="spend")


def test_points_never_fall_below_zero(app: Connection) -> None:
    levels(app)
    learner = player(app, 50)
    with pytest.raises(errors.CheckViolation, match="has 50 points, -51 cannot"):
        give(app, learner, -51)


def test_an_entry_notes_what_was_then_left(app: Connection) -> None:
    levels(app)
    learner = player(app, 50)
    give(app, learner, -20)
    left = app.execute(
        "SELECT balance_after FROM courses.point_ledger_entry ORDER BY balance_after"
    ).fetchall()
    assert left == [(30,), (50,)]


def test_the_same_thing_is_posted_once(app: Connection) -> None:
    levels(app)
    learner = player(app)
    give(app, learner, 5, dedupe_key="gift")
    with pytest.raises(errors.UniqueViolation, match="gift were posted before"):
        give(app, learner, 5, dedupe_key="gift", earned_at="2026-06-04 12:00+00")


def test_an_entry_beyond_the_cap_is_refused(app: Connection) -> None:
    levels(app)
    capped = rule(app, 10, daily_cap=15)
    learner = player(app)
    give(app, learner, 15, point_rule_id=capped)
    with pytest.raises(errors.CheckViolation, match="more than the rule has left"):
        give(app, learner, 1, point_rule_id=capped, earned_at="2026-05-04 13:00+00")


@pytest.mark.parametrize("change", ["UPDATE {} SET note = 'x'", "DELETE FROM {}"])
def test_the_ledger_is_append_only(app: Connection, change: str) -> None:
    levels(app)
    player(app, 50)
    app.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        app.execute(sql.SQL(change).format(sql.SQL("courses.point_ledger_entry")))


def test_what_is_spent_stays_merited(app: Connection) -> None:
    levels(app)
    learner = player(app, 120)
    give(app, learner, -40, entry_kind="spend", source_kind="reward")
    assert standing(app, learner) == (120, 80)
    give(app, learner, 40, entry_kind="adjust", source_kind="reward", note="sent back")
    assert standing(app, learner) == (120, 120)
    give(app, learner, -20, entry_kind="adjust", note="counted twice")
    assert standing(app, learner) == (100, 100)
    assert proof(app) == []


def test_a_week_begins_anew(app: Connection) -> None:
    levels(app)
    learner = player(app)
    weekly = []
    for day, points in (("04", 10), ("10", 5), ("11", 3), ("08", 7)):
        give(app, learner, points, earned_at=f"2026-05-{day} 12:00+00")
        found = app.execute("SELECT points_this_week FROM courses.learner_standing").fetchone()
        assert found
        weekly.append(found[0])
    assert weekly == [10, 15, 3, 3]
    assert proof(app) == []


def level_of(app: Connection, learner: UUID) -> int:
    found = app.execute(
        "SELECT d.level_no FROM courses.learner_standing AS s"
        " JOIN courses.level_definition AS d USING (business_id, level_definition_id)"
        " WHERE s.learner_id = %s",
        [learner],
    ).fetchone()
    assert found
    return int(found[0])


@pytest.mark.parametrize(("points", "level"), [(1, 1), (99, 1), (100, 2), (499, 2), (500, 3)])
def test_the_level_is_that_of_the_points(app: Connection, points: int, level: int) -> None:
    levels(app)
    assert level_of(app, player(app, points)) == level


def test_the_level_cannot_be_set(app: Connection) -> None:
    first, _, third = levels(app)
    learner = player(app, 10)
    app.execute("UPDATE courses.learner_standing SET level_definition_id = %s", [third])
    assert level_of(app, learner) == 1
    assert first


def test_a_threshold_that_moves_moves_learners(app: Connection) -> None:
    _, second, _ = levels(app)
    learner = player(app, 60)
    app.execute(
        "UPDATE courses.level_definition SET points_required = 50 WHERE level_definition_id = %s",
        [second],
    )
    assert level_of(app, learner) == 2


@pytest.mark.parametrize("points", [100, 50, 500])
def test_levels_rise(app: Connection, points: int) -> None:
    levels(app)
    with pytest.raises(errors.CheckViolation, match="needs no more points than level"):
        row(app, "courses.level_definition", level_no=4, points_required=points)


def test_levels_keep_rising(app: Connection) -> None:
    levels(app)
    with pytest.raises(errors.CheckViolation, match="needs no more points than level"):
        app.execute("UPDATE courses.level_definition SET points_required = 700 WHERE level_no = 2")


@pytest.mark.parametrize(("number", "points"), [(1, 5), (2, 0), (0, 10)])
def test_the_first_level_needs_nothing(app: Connection, number: int, points: int) -> None:
    with pytest.raises(errors.CheckViolation):
        row(app, "courses.level_definition", level_no=number, points_required=points)


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({"points": 1001}, "points_bounded"),
        ({"points": -1001}, "points_bounded"),
        ({"points": 0}, "points_bounded"),
        ({"multiplier": 0.5}, "multiplier_bounded"),
        ({"multiplier": 5.5}, "multiplier_bounded"),
        ({"points": 10, "daily_cap": 9}, "daily_cap_lets_one_through"),
        ({"points": 10, "lifetime_cap": 9}, "lifetime_cap_lets_one_through"),
        ({"cooldown_minutes": -1}, "cooldown_not_negative"),
        ({"multiplier_after_streak_days": 0}, "streak_days_positive"),
        ({"valid_from": "2026-05-04", "valid_until": "2026-05-04"}, "ends_after_start"),
    ],
)
def test_a_rule_makes_sense(app: Connection, given: dict[str, Any], check: str) -> None:
    with pytest.raises(errors.CheckViolation, match=check):
        row(app, "courses.point_rule", **given)


def expire(app: Connection, at: str) -> Any:
    found = app.execute("SELECT courses.expire_points(%s)", [at]).fetchone()
    assert found
    return found[0]


def test_points_lapse_that_were_not_spent(app: Connection) -> None:
    levels(app)
    learner = player(app)
    give(app, learner, 100, expires_at="2026-08-01")
    give(app, learner, 50, expires_at="2026-09-01")
    give(app, learner, -30, entry_kind="spend", source_kind="reward")
    assert expire(app, "2026-07-31") == 0
    assert expire(app, "2026-08-01") == 1
    assert standing(app, learner) == (150, 50)
    assert expire(app, "2026-08-02") == 0
    assert expire(app, "2026-09-01") == 1
    assert standing(app, learner) == (150, 0)
    assert proof(app) == []


def extend(app: Connection, learner: UUID, at: str, kind: str = "daily") -> Any:
    found = app.execute("SELECT courses.extend_streak(%s, %s, %s)", [learner, kind, at]).fetchone()
    assert found
    return found[0]


def runs(app: Connection, learner: UUID) -> list[Any]:
    return app.execute(
        "SELECT length_count, freezes_used, freeze_balance, longest_length, broken_on::text"
        " FROM courses.learner_streak WHERE learner_id = %s ORDER BY started_on",
        [learner],
    ).fetchall()


def streak_of(app: Connection, days: int, at: int = 1) -> UUID:
    learner = player(app)
    for day in range(at, at + days):
        extend(app, learner, f"2026-05-{day:02d} 12:00+00")
    return learner


def test_a_day_counts_once(app: Connection) -> None:
    learner = player(app)
    assert extend(app, learner, "2026-05-04 08:00+00") == 1
    assert extend(app, learner, "2026-05-04 20:00+00") == 1
    assert extend(app, learner, "2026-05-05 20:00+00") == 2
    assert extend(app, learner, "2026-05-04 20:00+00") == 2


def test_a_missed_day_breaks_a_run(app: Connection) -> None:
    learner = streak_of(app, 3)
    assert extend(app, learner, "2026-05-05 12:00+00") == 1
    assert runs(app, learner) == [(3, 0, 0, 3, "2026-05-04"), (1, 0, 0, 3, None)]


def test_a_freeze_bridges_a_missed_day(app: Connection) -> None:
    learner = streak_of(app, 7)
    assert extend(app, learner, "2026-05-09 12:00+00") == 8
    assert runs(app, learner) == [(8, 1, 0, 8, None)]
    assert extend(app, learner, "2026-05-11 12:00+00") == 1


def test_freezes_are_kept_up_to_five(app: Connection) -> None:
    learner = player(app)
    row(
        app,
        "courses.learner_streak",
        learner_id=learner,
        streak_kind="daily",
        started_on="2026-05-01",
        last_active_on="2026-05-06",
        length_count=6,
        longest_length=6,
        freeze_balance=5,
    )
    extend(app, learner, "2026-05-07 12:00+00")
    assert runs(app, learner) == [(7, 0, 5, 7, None)]


def test_a_weekly_run_goes_by_weeks(app: Connection) -> None:
    learner = player(app)
    at = ["2026-05-05", "2026-05-10", "2026-05-11", "2026-05-24", "2026-06-10"]
    assert [extend(app, learner, f"{day} 12:00+00", "weekly") for day in at] == [1, 1, 2, 3, 1]


def test_a_day_begins_where_the_learner_lives(app: Connection) -> None:
    learner = row(app, "courses.learner", time_zone="Asia/Tokyo")
    assert extend(app, learner, "2026-05-04 14:59+00") == 1
    assert extend(app, learner, "2026-05-04 15:00+00") == 2


def test_nobody_has_no_streak(app: Connection) -> None:
    with pytest.raises(errors.NoDataFound):
        extend(app, uuid4(), NOON)


def test_the_profile_card_shows_the_run(app: Connection) -> None:
    levels(app)
    learner = streak_of(app, 3)
    shown = "SELECT current_streak_days, longest_streak_days FROM courses.learner_standing"
    assert app.execute(shown).fetchone() == (3, 3)
    extend(app, learner, "2026-05-09 12:00+00")
    assert app.execute(shown).fetchone() == (1, 3)
    assert proof(app) == []


def test_runs_are_broken_at_night(app: Connection) -> None:
    levels(app)
    saved, lost = streak_of(app, 7), streak_of(app, 2, 6)
    night = "SELECT courses.break_streaks('2026-05-08 23:00+00')"
    assert app.execute(night).fetchone() == (0,)
    assert app.execute("SELECT courses.break_streaks('2026-05-09 01:00+00')").fetchone() == (1,)
    assert runs(app, lost)[0][4] == "2026-05-08"
    assert runs(app, saved)[0][4] is None
    assert proof(app) == []


def test_one_run_goes_on_at_a_time(app: Connection) -> None:
    learner = streak_of(app, 2)
    with pytest.raises(errors.UniqueViolation):
        row(app, "courses.learner_streak", learner_id=learner, streak_kind="daily")


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({"is_current": False, "broken_on": "2026-05-04"}, "broken_after_last_activity"),
        ({"is_current": False}, "broken_or_current"),
        ({"broken_on": "2026-05-06"}, "broken_or_current"),
        ({"freeze_balance": 6}, "freezes_bounded"),
        ({"freeze_balance": -1}, "freezes_bounded"),
        ({"last_active_on": "2026-05-03"}, "active_from_start|as_long_as"),
        ({"last_active_on": "2026-05-05"}, "as_long_as_its_days"),
        ({"last_active_on": "2026-05-05", "length_count": 2}, "longest_holds_this"),
    ],
)
def test_a_run_holds_together(app: Connection, given: dict[str, Any], check: str) -> None:
    with pytest.raises(errors.CheckViolation, match=check):
        row(app, "courses.learner_streak", streak_kind="daily", **given)


def test_a_completed_lesson_earns_and_is_a_day_of_activity(app: Connection) -> None:
    levels(app)
    rule(app, 10)
    place = school(app)
    first, second = place.lesson(), place.lesson()
    place.report(first, "2026-05-04 12:00+00", kind="marked")
    place.report(first, "2026-05-04 12:05+00", kind="marked")
    place.report(second, "2026-05-05 12:00+00", kind="opened")
    place.report(second, "2026-05-05 12:10+00", kind="marked")
    assert standing(app, place.learner) == (20, 20)
    assert runs(app, place.learner)[0][0] == 2
    assert proof(app) == []


def test_a_completed_course_is_on_the_profile_card(app: Connection) -> None:
    levels(app)
    place = school(app)
    place.report(place.lesson(), "2026-05-04 12:00+00", kind="marked")
    found = app.execute("SELECT courses_completed FROM courses.learner_standing").fetchone()
    assert found == (1,)
    assert proof(app) == []


@pytest.mark.parametrize(
    ("change", "figure"),
    [
        ("total_points = total_points + 1", "total_points"),
        ("spendable_points = spendable_points - 1", "spendable_points"),
        ("points_this_week = points_this_week + 1", "points_this_week"),
        ("badges_count = badges_count + 1", "badges_count"),
        ("courses_completed = courses_completed + 1", "courses_completed"),
        ("longest_streak_days = longest_streak_days + 1", "longest_streak_days"),
        ("current_streak_days = current_streak_days - 1", "current_streak_days"),
    ],
)
def test_the_proof_finds_what_is_wrong(app: Connection, change: str, figure: str) -> None:
    levels(app)
    learner = streak_of(app, 2)
    give(app, learner, 50)
    assert proof(app) == []
    app.execute(f"UPDATE courses.learner_standing SET {change}".encode())
    assert proof(app) == [figure]


def test_the_proof_finds_points_without_a_card(app: Connection) -> None:
    levels(app)
    imported_entry(app)
    assert "total_points" in proof(app)


def test_points_of_two_devices_are_both_counted(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        levels(connection)
        rule(connection, 10, daily_cap=35)
        learner, same = player(connection), uuid4()
    ready = Barrier(6)

    def earn(connection: Connection, number: int) -> Any:
        ready.wait(30)
        return award(connection, learner, source=same if number < 2 else uuid4())

    assert sum(at_once(target, tenant, 6, earn)) == 35
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert standing(connection, learner) == (35, 35)
        assert proof(connection) == []


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ("spendable_points = 51", "spends_what_was_merited"),
        ("spendable_points = -1", "spends_what_was_merited"),
        ("points_this_week = -1", "week_is_part_of_it"),
        ("badges_count = -1", "counts_not_negative"),
        ("current_streak_days = 1", "longest_streak_holds_current"),
        ("percentile = 101", "percent"),
    ],
)
def test_a_profile_card_holds_together(app: Connection, change: str, check: str) -> None:
    levels(app)
    player(app, 50)
    with pytest.raises(errors.CheckViolation, match=check):
        app.execute(f"UPDATE courses.learner_standing SET {change}".encode())


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({"balance_after": -1}, "balance_not_negative"),
        (
            {"points": -5, "entry_kind": "expire", "expires_at": "2027-05-04"},
            "only_credits_expire",
        ),
    ],
)
def test_a_balance_and_a_debit_hold_together(
    app: Connection, given: dict[str, Any], check: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=check):
        imported_entry(app, **given)


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({"level_no": 0, "points_required": 10}, "begins_at_one"),
        ({"level_no": 1, "points_required": 10}, "first_needs_nothing"),
        ({"level_no": 2, "points_required": 0}, "first_needs_nothing"),
        ({"level_no": 2, "points_required": -5}, "points_not_negative"),
    ],
)
def test_a_level_makes_sense(app: Connection, given: dict[str, Any], check: str) -> None:
    with pytest.raises(errors.CheckViolation, match=check):
        row(app, "courses.level_definition", **given)


def test_points_are_for_known_actions(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="action_known"):
        row(app, "courses.point_rule", action="smiled")


def test_a_key_is_waited_for_behind_its_learner(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        levels(connection)
        rule(connection, 10)
        learner, source = player(connection, 5), uuid4()
    key = f"lesson_completed {source} {learner}"
    with psycopg.connect(target.app) as first:
        become_app(first, tenant)
        first.execute("SELECT courses.hold_standing(%s)", [learner])
        with pytest.raises(errors.UniqueViolation, match="were posted before"):
            after(
                target,
                tenant,
                first,
                lambda second: give(second, learner, 10, dedupe_key=key),
                lambda held: award(held, learner, source=source),
            )
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert standing(connection, learner) == (15, 15)


@pytest.mark.parametrize(("night", "broken"), [("2026-05-17 12:00+00", 0), ("2026-05-18", 1)])
def test_a_weekly_run_is_broken_after_a_whole_week(
    app: Connection, night: str, broken: int
) -> None:
    learner = player(app)
    extend(app, learner, "2026-05-05 12:00+00", "weekly")
    assert app.execute("SELECT courses.break_streaks(%s)", [night]).fetchone() == (broken,)
    assert runs(app, learner)[0][4] == ("2026-05-11" if broken else None)


@pytest.mark.parametrize(
    ("answers", "points"), [(["right", "right"], 65), (["right", "wrong"], 25), (["wrong"], 0)]
)
def test_a_test_that_is_passed_earns_once(app: Connection, answers: list[str], points: int) -> None:
    levels(app)
    rule(app, 25, action="quiz_passed")
    rule(app, 40, action="perfect_score")
    place = school(app)
    asked = [choice(app) for _ in range(2)]
    quiz = place.quiz(*(made for made, _ in asked), passing_pct=50)
    for turn in (1, 2):
        attempt = place.start(quiz, f"2026-02-0{turn} 10:00+00")
        for (made, (right, wrong)), said in zip(asked, answers, strict=False):
            place.answer(
                attempt,
                made,
                {"option": right if said == "right" else wrong},
                at=f"2026-02-0{turn} 10:01+00",
            )
        place.submit(attempt, f"2026-02-0{turn} 10:05+00")
    assert (standing(app, place.learner) or (0, 0)) == (points, points)
    assert proof(app) == []
