"""A badge is given for what its criteria ask, counted where it is shown, and openly revoked."""

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import after, at_once
from tests.integration.schema.playing import levels, player, proof, standing
from tests.integration.schema.rows import imported, row
from tests.integration.schema.school import school
from tests.integration.schema.states import refused

STATES = {"draft": ["active", "retired"], "active": ["retired"], "retired": ["active"]}


def give(connection: Connection, badge: UUID, learner: UUID) -> Any:
    found = connection.execute("SELECT courses.give_badge(%s, %s)", [badge, learner]).fetchone()
    assert found
    return found[0]


def counts(connection: Connection) -> Any:
    return connection.execute(
        "SELECT b.awarded_count, s.badges_count"
        " FROM courses.badge AS b CROSS JOIN courses.learner_standing AS s"
    ).fetchone()


@pytest.mark.parametrize(
    ("kind", "criteria"),
    [
        ("course_completed", "{}"),
        ("course_completed", '{"courses": 3}'),
        ("score", '{"minimum_pct": 95}'),
        ("streak", '{"days": 30}'),
        ("contribution", '{"accepted_answers": 5}'),
        ("speed", '{"within_days": 14}'),
        ("challenge", "{}"),
        ("event", '{"event": "hackathon"}'),
        ("manual", "{}"),
    ],
)
def test_criteria_fit_their_kind(app: Connection, kind: str, criteria: str) -> None:
    assert row(app, "courses.badge", criteria_kind=kind, criteria=criteria)


@pytest.mark.parametrize(
    ("kind", "criteria"),
    [
        ("course_completed", '{"courses": 0}'),
        ("course_completed", '{"courses": "many"}'),
        ("score", "{}"),
        ("score", '{"minimum_pct": 101}'),
        ("streak", '{"days": 1}'),
        ("streak", "{}"),
        ("contribution", "{}"),
        ("speed", '{"within_days": 0}'),
        ("event", '{"event": " "}'),
        ("manual", '{"days": 3}'),
    ],
)
def test_criteria_that_say_nothing_are_refused(app: Connection, kind: str, criteria: str) -> None:
    with pytest.raises(errors.CheckViolation, match="criteria_fit_their_kind"):
        row(app, "courses.badge", criteria_kind=kind, criteria=criteria)


@pytest.mark.parametrize(
    ("before", "after"), [(a, b) for a, following in STATES.items() for b in following]
)
def test_a_badge_moves_on(app: Connection, before: str, after: str) -> None:
    imported(app, "courses.badge", status=before)
    assert app.execute("UPDATE courses.badge SET status = %s", [after]).rowcount == 1


@pytest.mark.parametrize(("before", "after"), refused(STATES))
def test_a_badge_moves_nowhere_else(app: Connection, before: str, after: str) -> None:
    imported(app, "courses.badge", status=before)
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        app.execute("UPDATE courses.badge SET status = %s", [after])


def test_a_badge_is_counted_and_brings_points(app: Connection) -> None:
    levels(app)
    learner = player(app)
    assert give(app, row(app, "courses.badge", points=40), learner)
    assert counts(app) == (1, 1)
    assert standing(app, learner) == (40, 40)
    assert proof(app) == []


def test_a_badge_is_given_once(app: Connection) -> None:
    levels(app)
    badge, learner = row(app, "courses.badge", points=40), player(app)
    assert give(app, badge, learner)
    assert give(app, badge, learner) is None
    assert standing(app, learner) == (40, 40)
    with pytest.raises(errors.CheckViolation, match="is given once"):
        row(app, "courses.badge_award", badge_id=badge, learner_id=learner, award_no=2)


def test_a_repeatable_badge_is_given_again(app: Connection) -> None:
    badge, learner = row(app, "courses.badge", is_repeatable=True), player(app)
    assert give(app, badge, learner)
    assert give(app, badge, learner)
    numbers = app.execute("SELECT award_no FROM courses.badge_award ORDER BY 1").fetchall()
    assert numbers == [(1,), (2,)]


@pytest.mark.parametrize("status", ["draft", "retired"])
def test_only_an_active_badge_is_given(app: Connection, status: str) -> None:
    badge = imported(app, "courses.badge", status=status)
    with pytest.raises(errors.CheckViolation, match="and not given"):
        give(app, badge, player(app))


def test_a_revoked_badge_no_longer_counts(app: Connection) -> None:
    levels(app)
    give(app, row(app, "courses.badge"), player(app))
    app.execute("UPDATE courses.badge_award SET revoked_at = now(), revoke_reason = 'cheated'")
    assert counts(app) == (0, 0)
    app.execute("UPDATE courses.badge_award SET revoked_at = NULL, revoke_reason = NULL")
    assert counts(app) == (1, 1)
    assert proof(app) == []


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({"revoked_at": "2099-01-01"}, "revoked_for_a_reason"),
        ({"revoke_reason": "cheated"}, "revoked_for_a_reason"),
        ({"revoked_at": "2000-01-01", "revoke_reason": "x"}, "revoked_after_award"),
        (
            {"revoked_at": "2099-01-01", "revoke_reason": "x", "is_pinned": True},
            "revoked_is_not_pinned",
        ),
        ({"shared_at": "2099-01-01"}, "shared_somewhere"),
        ({"share_network": "linkedin"}, "shared_somewhere"),
        ({"shared_at": "2000-01-01", "share_network": "x"}, "shared_after_award"),
        ({"award_no": 0}, "numbered_from_one"),
    ],
)
def test_an_award_holds_together(app: Connection, given: dict[str, Any], check: str) -> None:
    with pytest.raises(errors.CheckViolation, match=check):
        row(app, "courses.badge_award", **given)


def test_what_was_awarded_stays_on_record(app: Connection) -> None:
    award = row(app, "courses.badge_award")
    with pytest.raises(errors.RestrictViolation, match="revoked, not changed"), app.transaction():
        app.execute("UPDATE courses.badge_award SET evidence = '{\"a\": 1}'")
    with pytest.raises(errors.RestrictViolation, match="revoked, not changed"):
        app.execute("DELETE FROM courses.badge_award WHERE badge_award_id = %s", [award])


@pytest.mark.parametrize(
    ("kind", "criteria", "met"),
    [
        ("course_completed", "{}", True),
        ("course_completed", '{"courses": 2}', False),
        ("score", '{"minimum_pct": 91}', True),
        ("score", '{"minimum_pct": 93}', False),
        ("speed", '{"within_days": 36500}', True),
        ("speed", '{"within_days": 100}', False),
        ("streak", '{"days": 2}', False),
        ("manual", "{}", False),
    ],
)
def test_a_completed_course_may_be_worth_a_badge(
    app: Connection, kind: str, criteria: str, met: bool
) -> None:
    levels(app)
    row(app, "courses.badge", criteria_kind=kind, criteria=criteria)
    place = school(app, final_grade_pct=92)
    place.report(place.lesson(), "2026-05-04 12:00+00", kind="marked")
    assert counts(app) == ((1, 1) if met else (0, 0))
    assert proof(app) == []


def test_a_badge_is_given_once_to_two_at_once(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        levels(connection)
        badge, learner = row(connection, "courses.badge", points=40), player(connection)
    ready = Barrier(3)

    def hand_out(connection: Connection, _: int) -> Any:
        ready.wait(30)
        return give(connection, badge, learner)

    assert len([made for made in at_once(target, tenant, 3, hand_out) if made]) == 1
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert counts(connection) == (1, 1)
        assert standing(connection, learner) == (40, 40)


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({"points": -1}, "points_not_negative"),
        ({"awarded_count": -1}, "awarded_count_not_negative"),
        ({"tier": "tin"}, "tier_known"),
        ({"criteria_kind": "luck"}, "criteria_kind_known"),
    ],
)
def test_a_badge_makes_sense(app: Connection, given: dict[str, Any], check: str) -> None:
    with pytest.raises(errors.CheckViolation, match=check):
        row(app, "courses.badge", **given)


def test_a_badge_is_shared_where_people_are(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="share_network_known"):
        row(app, "courses.badge_award", share_network="fax", shared_at="2099-01-01")


def test_a_badge_is_revoked_while_it_is_given(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        levels(connection)
        badge = row(connection, "courses.badge", is_repeatable=True)
        learner = player(connection)
        give(connection, badge, learner)
    revoke = "UPDATE courses.badge_award SET revoked_at = now(), revoke_reason = 'cheated'"
    with psycopg.connect(target.app) as first:
        become_app(first, tenant)
        first.execute("SELECT courses.hold_standing(%s)", [learner])
        after(
            target,
            tenant,
            first,
            lambda second: second.execute(revoke.encode()),
            lambda held: give(held, badge, learner),
        )
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert counts(connection) == (1, 1)
        assert proof(connection) == []
