"""Boards rank who wants to be ranked, challenges reward once, and no point is spent twice."""

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import after, at_once
from tests.integration.schema.playing import NOON, give, levels, player, proof, standing
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused

BOARD = {"active": ["paused", "ended"], "paused": ["active", "ended"], "ended": []}
CHALLENGE = {
    "draft": ["announced", "cancelled"],
    "announced": ["running", "cancelled"],
    "running": ["finished", "cancelled"],
    "finished": [],
    "cancelled": [],
}
ENTRY = {
    "joined": ["active", "completed", "withdrawn", "disqualified"],
    "active": ["completed", "withdrawn", "disqualified"],
    "completed": ["disqualified"],
    "withdrawn": ["joined"],
    "disqualified": [],
}
REDEMPTION = {
    "requested": ["approved", "cancelled"],
    "approved": ["fulfilled", "shipped", "cancelled"],
    "shipped": ["fulfilled", "refunded"],
    "fulfilled": ["refunded"],
    "cancelled": [],
    "refunded": [],
}
MACHINES = {
    "leaderboard.status": BOARD,
    "challenge.status": CHALLENGE,
    "challenge_entry.state": ENTRY,
    "reward_redemption.state": REDEMPTION,
}
NEEDS: dict[str, dict[str, Any]] = {
    "challenge_entry.completed": {"completed_at": "2026-05-05 10:00+00"},
    "challenge_entry.disqualified": {"disqualify_reason": "two accounts"},
    "reward_redemption.fulfilled": {"fulfilled_at": "2099-01-01"},
    "reward_redemption.shipped": {"tracking_reference": "1Z"},
    "reward_redemption.cancelled": {"cancelled_reason": "changed their mind"},
    "reward_redemption.refunded": {"cancelled_reason": "broken"},
}
ALLOWED = [(m, a, b) for m, states in MACHINES.items() for a in states for b in states[a]]
REFUSED = [(m, a, b) for m, states in MACHINES.items() for a, b in refused(states)]


def started(app: Connection, machine: str, state: str) -> str:
    table, column = machine.split(".")
    given = dict(NEEDS.get(f"{table}.{state}", {}))
    if table == "challenge_entry":
        given["challenge_id"] = imported(app, "courses.challenge", status="running")
    if table == "reward_redemption":
        levels(app)
        given["learner_id"] = player(app, 100)
        give(app, given["learner_id"], -1, entry_kind="spend", source_kind="reward")
    imported(app, f"courses.{table}", **{column: state, **given})
    return table


def move(app: Connection, machine: str, after: str) -> int:
    table, column = machine.split(".")
    given = {column: after, **NEEDS.get(f"{table}.{after}", {})}
    if table == "challenge_entry" and after not in ("completed", "disqualified"):
        given["completed_at"] = None
    return app.execute(
        sql.SQL("UPDATE courses.{} SET {}").format(
            sql.Identifier(table),
            sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(c)) for c in given),
        ),
        list(given.values()),
    ).rowcount


@pytest.mark.parametrize(("machine", "before", "after"), ALLOWED)
def test_states_follow_each_other(app: Connection, machine: str, before: str, after: str) -> None:
    started(app, machine, before)
    assert move(app, machine, after) == 1


@pytest.mark.parametrize(("machine", "before", "after"), REFUSED)
def test_no_other_states_follow(app: Connection, machine: str, before: str, after: str) -> None:
    started(app, machine, before)
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        move(app, machine, after)


def refresh(app: Connection, board: UUID, at: str = NOON) -> Any:
    found = app.execute("SELECT courses.refresh_leaderboard(%s, %s)", [board, at]).fetchone()
    assert found
    return found[0]


def shown(app: Connection) -> list[Any]:
    return app.execute(
        "SELECT rank_no, metric_value::integer, is_tied, points_to_next::integer, previous_rank"
        " FROM courses.leaderboard_rank ORDER BY period_start DESC, rank_no, learner_id"
    ).fetchall()


def players(app: Connection, *points: int) -> list[UUID]:
    levels(app)
    return [player(app, n) for n in points]


def test_a_board_ranks_by_points_and_shares_ties(app: Connection) -> None:
    players(app, 30, 50, 30, 10)
    assert refresh(app, row(app, "courses.leaderboard")) == 4
    assert shown(app) == [
        (1, 50, False, 0, None),
        (2, 30, True, 20, None),
        (2, 30, True, 20, None),
        (4, 10, False, 20, None),
    ]


def test_who_was_first_is_before_the_others(app: Connection) -> None:
    first, second = players(app, 30, 20)
    give(app, second, 10, earned_at="2026-05-04 11:00+00")
    board = row(app, "courses.leaderboard", tie_break="earliest")
    assert refresh(app, board, "2026-05-04 13:00+00") == 2
    ranked = app.execute(
        "SELECT learner_id, is_tied FROM courses.leaderboard_rank ORDER BY rank_no"
    ).fetchall()
    assert {learner for learner, _ in ranked} == {first, second}
    assert [tied for _, tied in ranked] == [False, False]
    assert [r for r, *_ in shown(app)] == [1, 2]


def test_only_the_period_counts_and_the_one_before_is_remembered(app: Connection) -> None:
    first, second = players(app, 30, 20)
    board = row(app, "courses.leaderboard")
    refresh(app, board)
    give(app, second, 5, earned_at="2026-05-11 12:00+00")
    assert refresh(app, board, "2026-05-11 12:30+00") == 1
    assert shown(app)[0] == (1, 5, False, 0, 2)
    assert first


def test_a_board_is_refreshed_in_place(app: Connection) -> None:
    players(app, 30, 20)
    board = row(app, "courses.leaderboard")
    assert [refresh(app, board), refresh(app, board)] == [2, 2]
    assert len(shown(app)) == 2
    resets = app.execute("SELECT resets_at = '2026-05-11' FROM courses.leaderboard").fetchone()
    assert resets == (True,)


@pytest.mark.parametrize("status", ["paused", "ended"])
def test_only_an_active_board_is_refreshed(app: Connection, status: str) -> None:
    players(app, 30)
    assert refresh(app, imported(app, "courses.leaderboard", status=status)) == 0


def prefer(app: Connection, learner: UUID, value: str) -> None:
    found = app.execute(
        "SELECT user_account_id FROM courses.learner WHERE learner_id = %s", [learner]
    ).fetchone()
    assert found
    row(
        app,
        "user_mgmt.user_preference",
        user_account_id=found[0],
        preference_key="leaderboard",
        scope="module",
        module_code="courses",
        value=value,
    )


@pytest.mark.parametrize(("opt_in", "ranked"), [(True, 1), (False, 2)])
def test_who_opted_out_is_absent(app: Connection, opt_in: bool, ranked: int) -> None:
    willing, unwilling, _ = players(app, 30, 20, 10)
    prefer(app, willing, "true")
    prefer(app, unwilling, "false")
    assert refresh(app, row(app, "courses.leaderboard", is_opt_in=opt_in)) == ranked


def test_names_below_a_rank_are_hidden(app: Connection) -> None:
    players(app, 30, 20)
    refresh(app, row(app, "courses.leaderboard", anonymizes_below_rank=1))
    names = app.execute(
        "SELECT display_name ~ '^Learner [0-9A-F]{4}$' FROM courses.leaderboard_rank"
        " ORDER BY rank_no"
    ).fetchall()
    assert names == [(False,), (True,)]


def test_a_board_has_a_size(app: Connection) -> None:
    players(app, 5, 6, 7, 8)
    assert refresh(app, row(app, "courses.leaderboard", size_limit=3)) == 3


def test_a_board_of_a_section_ranks_its_learners(app: Connection) -> None:
    inside, _ = players(app, 30, 20)
    section = row(app, "courses.course_section")
    imported(
        app,
        "courses.enrollment",
        course_section_id=section,
        learner_id=inside,
        status="active",
        enrolled_at=NOON,
    )
    board = row(app, "courses.leaderboard", scope="section", course_section_id=section)
    assert refresh(app, board) == 1


@pytest.mark.parametrize("metric", ["minutes", "score", "contributions", "streak"])
def test_who_has_nothing_is_not_ranked(app: Connection, metric: str) -> None:
    players(app, 30)
    assert refresh(app, row(app, "courses.leaderboard", metric=metric)) == 0


def test_minutes_are_those_studied(app: Connection) -> None:
    (learner,) = players(app, 30)
    row(app, "courses.learning_session", learner_id=learner)
    assert refresh(app, row(app, "courses.leaderboard", metric="minutes")) == 1
    assert shown(app)[0][1] == 8


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({"scope": "section"}, "section_when_of_one"),
        ({"scope": "cohort"}, "cohort_when_of_one"),
        ({"period": "section"}, "period_section_is_of_one"),
        ({"size_limit": 2}, "size_limit_bounded"),
        ({"size_limit": 501}, "size_limit_bounded"),
        ({"anonymizes_below_rank": 0}, "anonymizes_from_a_rank"),
    ],
)
def test_a_board_makes_sense(app: Connection, given: dict[str, Any], check: str) -> None:
    with pytest.raises(errors.CheckViolation, match=check):
        row(app, "courses.leaderboard", **given)


def join(app: Connection, challenge: UUID, **given: Any) -> UUID:
    return row(app, "courses.challenge_entry", challenge_id=challenge, **given)


def report(app: Connection, entry: UUID, value: float) -> Any:
    found = app.execute(
        "SELECT courses.report_challenge_progress(%s, %s, '2026-05-05 10:00+00')", [entry, value]
    ).fetchone()
    assert found
    return found[0]


def test_a_challenge_is_won_once(app: Connection) -> None:
    levels(app)
    badge = row(app, "courses.badge")
    challenge = imported(
        app, "courses.challenge", status="running", reward_points=60, reward_badge_id=badge
    )
    learner = player(app)
    entry = join(app, challenge, learner_id=learner)
    assert report(app, entry, 4) == "active"
    assert app.execute("SELECT progress_pct::integer FROM courses.challenge_entry").fetchone() == (
        40,
    )
    assert [report(app, entry, 10), report(app, entry, 12)] == ["completed", "completed"]
    assert standing(app, learner) == (60, 60)
    second = join(app, challenge)
    report(app, second, 10)
    ranks = app.execute("SELECT final_rank FROM courses.challenge_entry ORDER BY 1").fetchall()
    assert ranks == [(1,), (2,)]
    assert proof(app) == []


@pytest.mark.parametrize("status", ["announced", "finished", "cancelled"])
def test_only_a_running_challenge_makes_progress(app: Connection, status: str) -> None:
    challenge = imported(app, "courses.challenge", status=status)
    entry = imported(app, "courses.challenge_entry", challenge_id=challenge)
    with pytest.raises(errors.CheckViolation, match="only a running challenge"):
        report(app, entry, 3)


@pytest.mark.parametrize("status", ["draft", "finished", "cancelled"])
def test_a_challenge_is_joined_in_time(app: Connection, status: str) -> None:
    with pytest.raises(errors.CheckViolation, match="not to be joined"):
        join(app, imported(app, "courses.challenge", status=status))


def test_a_challenge_has_places(app: Connection) -> None:
    challenge = imported(app, "courses.challenge", status="announced", max_participants=1)
    join(app, challenge)
    with pytest.raises(errors.CheckViolation, match="not_oversold"), app.transaction():
        join(app, challenge)
    app.execute("UPDATE courses.challenge_entry SET state = 'withdrawn'")
    assert join(app, challenge)


def test_a_challenge_is_completed_between_its_dates(app: Connection) -> None:
    challenge = imported(app, "courses.challenge", status="finished")
    with pytest.raises(errors.CheckViolation, match="is completed from"):
        imported(
            app,
            "courses.challenge_entry",
            challenge_id=challenge,
            state="completed",
            completed_at="2026-05-12 10:00+00",
        )


def test_a_team_challenge_is_for_groups(app: Connection) -> None:
    challenge = imported(app, "courses.challenge", status="running", challenge_kind="team")
    with pytest.raises(errors.CheckViolation, match="for study groups"):
        join(app, challenge)


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({"ends_at": "2026-05-04 10:00+00"}, "ends_after_start"),
        ({"goal_value": 0}, "goal_positive"),
        ({"goal_value": 101, "goal_metric": "score"}, "score_goal_is_a_share"),
        ({"reward_points": -1}, "reward_not_negative"),
    ],
)
def test_a_challenge_makes_sense(app: Connection, given: dict[str, Any], check: str) -> None:
    with pytest.raises(errors.CheckViolation, match=check):
        row(app, "courses.challenge", **given)


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({"state": "completed"}, "completed_has_time"),
        ({"completed_at": "2026-05-05"}, "completed_has_time"),
        ({"reward_granted_at": "2026-05-05"}, "reward_for_completion"),
        ({"state": "disqualified"}, "disqualified_for_a_reason"),
    ],
)
def test_an_entry_holds_together(app: Connection, given: dict[str, Any], check: str) -> None:
    with pytest.raises(errors.CheckViolation, match=check):
        imported(app, "courses.challenge_entry", **given)


def redeem(app: Connection, learner: UUID, item: UUID, pieces: int = 1) -> UUID:
    found = app.execute(
        "SELECT courses.redeem_reward(%s, %s, %s)", [learner, item, pieces]
    ).fetchone()
    assert found
    return UUID(str(found[0]))


def stock(app: Connection) -> Any:
    found = app.execute("SELECT stock_count FROM courses.reward_item").fetchone()
    assert found
    return found[0]


def test_a_reward_costs_points_and_stock(app: Connection) -> None:
    (learner,) = players(app, 500)
    redeem(app, learner, row(app, "courses.reward_item", stock_count=5), 2)
    assert standing(app, learner) == (500, 300)
    assert stock(app) == 3
    assert app.execute("SELECT points_spent FROM courses.reward_redemption").fetchone() == (200,)
    assert proof(app) == []


@pytest.mark.parametrize(("state", "left"), [("cancelled", 5), ("refunded", 4)])
def test_a_reward_called_off_gives_points_back(app: Connection, state: str, left: int) -> None:
    (learner,) = players(app, 500)
    redeem(app, learner, row(app, "courses.reward_item", stock_count=5))
    steps = ["cancelled"] if state == "cancelled" else ["approved", "fulfilled", "refunded"]
    for step in steps:
        move(app, "reward_redemption.state", step)
    assert standing(app, learner) == (500, 500)
    assert stock(app) == left
    assert proof(app) == []


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"cost_points": 501}, "has 500 points"),
        ({"stock_count": 0}, "stock_not_oversold"),
        ({"is_active": False}, "not to be had"),
        ({"available_from": "2099-01-01"}, "not to be had"),
        ({"available_until": "2020-01-01"}, "not to be had"),
        ({"reward_kind": "physical"}, "is sent somewhere"),
    ],
)
def test_a_reward_is_refused(app: Connection, item: dict[str, Any], message: str) -> None:
    (learner,) = players(app, 500)
    with pytest.raises(errors.CheckViolation, match=message):
        redeem(app, learner, row(app, "courses.reward_item", **item))


def test_a_reward_has_a_limit_for_each(app: Connection) -> None:
    (learner,) = players(app, 500)
    item = row(app, "courses.reward_item", per_learner_limit=1)
    redeem(app, learner, item)
    with pytest.raises(errors.CheckViolation, match="given 1 times to each"):
        redeem(app, learner, item)


def test_what_was_redeemed_stays(app: Connection) -> None:
    (learner,) = players(app, 500)
    redeem(app, learner, row(app, "courses.reward_item"))
    for change in (
        "UPDATE courses.reward_redemption SET quantity = 2",
        "DELETE FROM courses.reward_redemption",
    ):
        with pytest.raises(errors.RestrictViolation), app.transaction():
            app.execute(change.encode())


def test_points_and_stock_are_spent_once(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        (learner, other) = players(connection, 250, 250)
        item = row(connection, "courses.reward_item", stock_count=3)
    ready = Barrier(6)

    def buy(connection: Connection, number: int) -> str:
        ready.wait(30)
        try:
            redeem(connection, learner if number < 4 else other, item)
        except errors.CheckViolation:
            return "refused"
        return "bought"

    assert sorted(at_once(target, tenant, 6, buy)) == ["bought"] * 3 + ["refused"] * 3
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert stock(connection) == 0
        left = connection.execute(
            "SELECT sum(spendable_points), min(spendable_points) >= 50"
            " FROM courses.learner_standing"
        ).fetchone()
        assert left == (200, True)
        assert proof(connection) == []


@pytest.mark.parametrize(
    ("table", "given", "check"),
    [
        ("leaderboard", {"metric": "luck"}, "metric_known"),
        ("leaderboard", {"period": "hourly"}, "period_known"),
        ("leaderboard", {"scope": "world"}, "scope_known"),
        ("leaderboard", {"tie_break": "dice"}, "tie_break_known"),
        ("leaderboard_rank", {"rank_no": 0}, "rank_from_one"),
        ("leaderboard_rank", {"previous_rank": 0}, "rank_from_one"),
        ("leaderboard_rank", {"metric_value": 0}, "value_positive"),
        ("leaderboard_rank", {"points_to_next": -1}, "to_next_not_negative"),
        ("challenge", {"goal_metric": "luck"}, "goal_metric_known"),
        ("challenge", {"challenge_kind": "duel"}, "kind_known"),
        ("challenge", {"participant_count": 2, "max_participants": 1}, "places_not_oversold"),
        ("challenge", {"participant_count": -1}, "places_not_oversold"),
        ("challenge_entry", {"progress_value": -1}, "progress_is_a_share"),
        ("challenge_entry", {"final_rank": 0}, "rank_from_one"),
        ("reward_item", {"reward_kind": "bribe"}, "reward_kind_known"),
        ("reward_item", {"cost_points": 0}, "costs_points"),
        ("reward_item", {"stock_count": -1}, "stock_not_oversold"),
        ("reward_item", {"per_learner_limit": 0}, "per_learner_limit_positive"),
        ("reward_item", {"value_amount": -1}, "value_not_negative"),
        (
            "reward_item",
            {"available_from": "2026-05-04", "available_until": "2026-05-04"},
            "ends_after_start",
        ),
        ("reward_redemption", {"points_spent": 0}, "spends"),
        ("reward_redemption", {"quantity": 0}, "spends"),
        ("reward_redemption", {"fulfilled_at": "2000-01-01"}, "fulfilled_after_redemption"),
        ("reward_redemption", {"state": "fulfilled"}, "fulfilled_has_time"),
        ("reward_redemption", {"state": "shipped"}, "shipped_is_tracked"),
        ("reward_redemption", {"state": "cancelled"}, "cancelled_for_a_reason"),
        (
            "reward_redemption",
            {"state": "refunded", "cancelled_reason": " "},
            "cancelled_for_a_reason",
        ),
    ],
)
def test_what_is_recognized_holds_together(
    app: Connection, table: str, given: dict[str, Any], check: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=check):
        imported(app, f"courses.{table}", **given)


def taking_part(app: Connection) -> list[Any]:
    return [
        count
        for (count,) in app.execute(
            "SELECT participant_count FROM courses.challenge ORDER BY challenge_id"
        ).fetchall()
    ]


def test_an_entry_counts_where_it_is(app: Connection) -> None:
    old = imported(app, "courses.challenge", status="running")
    new = imported(app, "courses.challenge", status="running")
    join(app, old)
    assert sorted(taking_part(app)) == [0, 1]
    app.execute("UPDATE courses.challenge_entry SET challenge_id = %s", [new])
    where = "SELECT participant_count FROM courses.challenge WHERE challenge_id = %s"
    assert app.execute(where, [new]).fetchone() == (1,)
    app.execute("DELETE FROM courses.challenge_entry")
    assert taking_part(app) == [0, 0]


def test_entries_that_go_at_once_are_all_gone(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        challenge = imported(connection, "courses.challenge", status="running")
        entries = [join(connection, challenge) for _ in range(3)]
    gone = "DELETE FROM courses.challenge_entry WHERE challenge_entry_id = %s"
    with psycopg.connect(target.app) as first:
        become_app(first, tenant)
        first.execute(gone, [entries[0]])
        after(target, tenant, first, lambda second: second.execute(gone, [entries[1]]))
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert taking_part(connection) == [1]


def test_progress_and_withdrawal_do_not_wait_for_each_other(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        challenge = imported(connection, "courses.challenge", status="running")
        entry = join(connection, challenge)
    with psycopg.connect(target.app) as first:
        become_app(first, tenant)
        first.execute("SELECT FROM courses.challenge_entry FOR NO KEY UPDATE")
        # Who reports waits for the entry and holds nothing meanwhile that a withdrawal needs.
        state = after(
            target,
            tenant,
            first,
            lambda second: report(second, entry, 4),
            lambda held: held.execute("UPDATE courses.challenge_entry SET state = 'withdrawn'"),
        )
    assert state == "withdrawn"


def account_of(app: Connection, learner: UUID) -> Any:
    found = app.execute(
        "SELECT user_account_id FROM courses.learner WHERE learner_id = %s", [learner]
    ).fetchone()
    assert found
    return found[0]


def test_contributions_are_posts_that_are_to_be_seen(app: Connection) -> None:
    writer, _ = players(app, 30, 20)
    forum = row(app, "courses.discussion_forum", course_id=row(app, "courses.course"))
    thread = row(app, "courses.discussion_topic", discussion_forum_id=forum)
    for moderation, at in (
        ("visible", NOON),
        ("flagged", NOON),
        ("hidden", NOON),
        ("removed", NOON),
        ("visible", "2026-04-04 12:00+00"),
    ):
        imported(
            app,
            "courses.discussion_post",
            discussion_topic_id=thread,
            author_user_account_id=account_of(app, writer),
            moderation=moderation,
            posted_at=at,
        )
    assert refresh(app, row(app, "courses.leaderboard", metric="contributions")) == 1
    assert shown(app) == [(1, 2, False, 0, None)]


def test_a_streak_is_ranked_by_the_run_that_goes_on(app: Connection) -> None:
    runs, stopped = players(app, 30, 20)
    for learner, given in ((runs, {}), (stopped, {"is_current": False, "broken_on": "2026-05-04"})):
        row(
            app,
            "courses.learner_streak",
            learner_id=learner,
            streak_kind="daily",
            started_on="2026-05-01",
            last_active_on="2026-05-03",
            length_count=3,
            longest_length=3,
            **given,
        )
    assert refresh(app, row(app, "courses.leaderboard", metric="streak")) == 1
    assert shown(app) == [(1, 3, False, 0, None)]


def test_scores_are_the_mean_of_what_was_graded(app: Connection) -> None:
    (learner,) = players(app, 30)
    enrollment = imported(
        app, "courses.enrollment", learner_id=learner, status="active", enrolled_at=NOON
    )
    for number, (state, score) in enumerate((("graded", 80), ("graded", 60), ("submitted", 10))):
        graded = {"graded_at": NOON, "score_pct": score, "score": 1, "passed": True}
        imported(
            app,
            "courses.assessment_attempt",
            enrollment_id=enrollment,
            attempt_no=number + 1,
            state=state,
            started_at="2026-05-04 11:00+00",
            submitted_at="2026-05-04 11:30+00",
            **(graded if state == "graded" else {}),
        )
    assert refresh(app, row(app, "courses.leaderboard", metric="score")) == 1
    assert shown(app)[0][1] == 70


@pytest.mark.parametrize(("active", "ranked"), [(True, 1), (False, 0)])
def test_a_board_of_a_cohort_ranks_its_members(app: Connection, active: bool, ranked: int) -> None:
    inside, _ = players(app, 30, 20)
    cohort = row(app, "courses.cohort")
    gone = {} if active else {"left_at": "2099-01-01", "leave_reason": "dropped"}
    row(app, "courses.cohort_member", cohort_id=cohort, learner_id=inside, **gone)
    board = row(app, "courses.leaderboard", scope="cohort", cohort_id=cohort)
    assert refresh(app, board) == ranked


@pytest.mark.parametrize(
    ("period", "counted", "ends"),
    [
        ("daily", 1, "2026-05-08 00:00:00+00"),
        ("weekly", 3, "2026-05-11 00:00:00+00"),
        ("monthly", 7, "2026-06-01 00:00:00+00"),
        ("all_time", 15, None),
    ],
)
def test_a_period_is_what_it_says(
    app: Connection, period: str, counted: int, ends: str | None
) -> None:
    (learner,) = players(app, 0)
    # A Thursday; the others are of its week, its month and the month before.
    for points, day in ((1, "05-07"), (2, "05-05"), (4, "05-02"), (8, "04-30")):
        give(app, learner, points, earned_at=f"2026-{day} 12:00+00")
    board = row(app, "courses.leaderboard", period=period)
    refresh(app, board, "2026-05-07 12:30+00")
    assert shown(app)[0][1] == counted
    found = app.execute("SELECT resets_at::text FROM courses.leaderboard").fetchone()
    assert found == (ends,)


def test_a_board_of_all_time_remembers_itself(app: Connection) -> None:
    _, second = players(app, 30, 20)
    board = row(app, "courses.leaderboard", period="all_time")
    refresh(app, board)
    give(app, second, 20, earned_at="2026-05-04 12:10+00")
    refresh(app, board, "2026-05-04 12:30+00")
    assert shown(app) == [(1, 40, False, 0, 2), (2, 30, False, 10, 1)]


def test_who_withdrew_is_not_ranked(app: Connection) -> None:
    learner, _ = players(app, 30, 20)
    app.execute("RESET ROLE")
    app.execute("UPDATE courses.learner SET status = 'withdrawn' WHERE learner_id = %s", [learner])
    app.execute("SET LOCAL ROLE app_user")
    assert refresh(app, row(app, "courses.leaderboard")) == 1


def test_two_refreshes_at_once_are_one_board(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        players(connection, 30, 20)
        board = row(connection, "courses.leaderboard")
    with psycopg.connect(target.app) as first:
        become_app(first, tenant)
        assert refresh(first, board) == 2
        assert after(target, tenant, first, lambda second: refresh(second, board)) == 2
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert len(shown(connection)) == 2
