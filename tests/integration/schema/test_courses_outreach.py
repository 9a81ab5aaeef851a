"""Nudges reach those who want them, when they want them, and what they led to is measured."""

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
from tests.integration.schema.admissions import one
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import imported, row

NOON = "2026-05-04 12:00+00"
LATER = "2026-05-05 12:00+00"


def campaign(app: Connection, status: str = "running", **given: Any) -> UUID:
    span = {"starts_on": "2026-01-01", "ends_on": "2026-12-31", "holdout_pct": 0, **given}
    return imported(app, "courses.nudge_campaign", status=status, **span)


def person(app: Connection, **given: Any) -> UUID:
    return row(app, "courses.learner", **{"time_zone": "UTC", **given})


def account(app: Connection, learner: UUID) -> Any:
    return one(app, "SELECT user_account_id FROM courses.learner WHERE learner_id = %s", learner)


def nudge(
    app: Connection, made: UUID, learner: UUID, at: str = NOON, channel: str = "email"
) -> Any:
    return one(app, "SELECT courses.send_nudge(%s, %s, NULL, %s, %s)", made, learner, channel, at)


def delivered(app: Connection) -> list[tuple[Any, ...]]:
    return app.execute(
        "SELECT arm, channel, suppressed_reason FROM courses.nudge_delivery ORDER BY sent_at"
    ).fetchall()


def test_a_nudge_is_sent_and_kept(app: Connection) -> None:
    assert nudge(app, campaign(app), person(app), channel="push") == "treatment"
    assert delivered(app) == [("treatment", "push", "none")]


def test_a_nudge_has_a_limit_of_the_week(app: Connection) -> None:
    made, other, learner = campaign(app, max_per_learner_week=1), campaign(app), person(app)
    assert nudge(app, other, learner) == "treatment"
    assert nudge(app, made, learner, LATER) == "frequency"
    assert nudge(app, other, learner, LATER) == "treatment"  # two a week are its own limit
    assert nudge(app, other, learner, "2026-05-11 11:59+00") == "frequency"
    assert nudge(app, other, learner, "2026-05-11 12:00+00") == "treatment"
    assert nudge(app, made, person(app), LATER) == "treatment"


def test_what_was_withheld_counts_for_no_limit(app: Connection) -> None:
    made, learner = campaign(app, max_per_learner_week=1), person(app)
    assert nudge(app, made, learner, "2026-05-04 23:00+00") == "quiet_hours"
    assert nudge(app, made, learner, LATER) == "treatment"


@pytest.mark.parametrize(
    ("hours", "zone", "at", "quiet"),
    [
        ('{"from": 21, "until": 8}', "UTC", "20:59", False),
        ('{"from": 21, "until": 8}', "UTC", "21:00", True),
        ('{"from": 21, "until": 8}', "UTC", "07:59", True),
        ('{"from": 21, "until": 8}', "UTC", "08:00", False),
        ('{"from": 21, "until": 8}', "Europe/Berlin", "19:00", True),
        ('{"from": 21, "until": 8}', "America/New_York", "11:59", True),
        ('{"from": 21, "until": 8}', "America/New_York", "12:00", False),
        ('{"from": 12, "until": 14}', "UTC", "11:59", False),
        ('{"from": 12, "until": 14}', "UTC", "13:59", True),
        ('{"from": 12, "until": 14}', "UTC", "14:00", False),
        ('{"from": 0, "until": 0}', "UTC", "00:00", False),
    ],
)
def test_quiet_hours_are_those_where_the_learner_lives(
    app: Connection, hours: str, zone: str, at: str, quiet: bool
) -> None:
    made = campaign(app, quiet_hours=hours)
    found = nudge(app, made, person(app, time_zone=zone), f"2026-05-04 {at}+00")
    assert found == ("quiet_hours" if quiet else "treatment")


@pytest.mark.parametrize(
    ("consent", "found"),
    [
        ({"is_granted": False}, "opted_out"),
        ({"withdrawn_at": "2026-05-04 11:59+00"}, "opted_out"),
        ({"withdrawn_at": "2026-05-04 12:01+00"}, "treatment"),
        ({}, "treatment"),
        ({"is_granted": False, "given_at": "2026-05-04 12:01+00"}, "treatment"),
        ({"consent_kind": "analytics", "is_granted": False}, "treatment"),
    ],
)
def test_who_refused_marketing_is_not_nudged(
    app: Connection, consent: dict[str, Any], found: str
) -> None:
    made, learner = campaign(app), person(app)
    row(
        app,
        "user_mgmt.user_consent",
        user_account_id=account(app, learner),
        **{
            "consent_kind": "marketing",
            "is_granted": True,
            "given_at": "2026-01-05",
            **consent,
        },
    )
    assert nudge(app, made, learner) == found


@pytest.mark.parametrize(
    ("first", "last", "found"), [(False, True, "treatment"), (True, False, "opted_out")]
)
def test_what_somebody_said_last_of_marketing_counts(
    app: Connection, first: bool, last: bool, found: str
) -> None:
    made, learner = campaign(app), person(app)
    for granted, at in ((last, "2026-02-05"), (first, "2026-01-05")):
        row(
            app,
            "user_mgmt.user_consent",
            user_account_id=account(app, learner),
            consent_kind="marketing",
            is_granted=granted,
            given_at=at,
        )
    assert nudge(app, made, learner) == found


@pytest.mark.parametrize(
    ("channel", "category", "found"),
    [("email", True, "opted_out"), ("push", True, "treatment"), ("email", False, "treatment")],
)
def test_who_opted_out_of_a_channel_is_not_nudged_there(
    app: Connection, channel: str, category: bool, found: str
) -> None:
    of_it = row(app, "system_core.notification_category")
    other = row(app, "system_core.notification_category")
    template = row(app, "system_core.notification_template", notification_category_id=of_it)
    made, learner = campaign(app, notification_template_id=template), person(app)
    row(
        app,
        "system_core.notification_preference",
        user_account_id=account(app, learner),
        notification_category_id=of_it if category else other,
        channel="email",
        is_opted_in=False,
        opted_out_at="2026-01-05",
    )
    assert nudge(app, made, learner, channel=channel) == found


def test_who_unsubscribed_gets_nothing_more(app: Connection) -> None:
    made, other, learner = campaign(app), campaign(app), person(app)
    nudge(app, made, learner)
    note(app, "unsubscribed", "2026-05-04 13:00+00")
    assert nudge(app, other, learner, LATER) == "opted_out"
    assert nudge(app, other, person(app), LATER) == "treatment"


def test_who_has_no_account_is_not_nudged(app: Connection) -> None:
    learner = person(app, user_account_id=None)
    assert nudge(app, campaign(app), learner) == "opted_out"


@pytest.mark.parametrize(
    ("started", "ended", "found"),
    [
        ("2026-05-03 23:00+00", "2026-05-04 00:01+00", "recent_activity"),
        ("2026-05-03 23:00+00", "2026-05-04 00:00+00", "treatment"),
        ("2026-05-04 12:01+00", "2026-05-04 12:20+00", "treatment"),
    ],
)
def test_who_was_here_within_twelve_hours_is_not_nudged(
    app: Connection, started: str, ended: str, found: str
) -> None:
    learner = person(app)
    row(
        app,
        "courses.learning_session",
        learner_id=learner,
        started_at=started,
        ended_at=ended,
        active_seconds=one(
            app, "SELECT extract(epoch FROM %s::timestamptz - %s::timestamptz)", ended, started
        ),
        idle_seconds=0,
    )
    assert nudge(app, campaign(app), learner) == found


def test_consent_comes_before_every_other_reason(app: Connection) -> None:
    made, learner = campaign(app, max_per_learner_week=1), person(app)
    nudge(app, made, learner)
    at_night = "2026-05-04 23:00+00"
    assert nudge(app, made, learner, at_night) == "frequency"
    note(app, "unsubscribed", "2026-05-04 13:00+00")
    assert nudge(app, made, learner, at_night) == "opted_out"


@pytest.mark.parametrize(
    ("given", "at"),
    [
        ({"status": "draft"}, NOON),
        ({"status": "paused"}, NOON),
        ({"status": "ended"}, NOON),
        ({"starts_on": "2026-05-05"}, NOON),
        ({"ends_on": "2026-05-03"}, NOON),
    ],
)
def test_only_a_running_campaign_nudges(app: Connection, given: dict[str, Any], at: str) -> None:
    made, learner = campaign(app, **given), person(app)
    with pytest.raises(errors.CheckViolation, match="this campaign is not running"):
        nudge(app, made, learner, at)


def test_a_campaign_runs_on_its_first_and_last_day(app: Connection) -> None:
    made = campaign(app, starts_on="2026-05-04", ends_on="2026-05-05")
    assert nudge(app, made, person(app)) == "treatment"
    assert nudge(app, made, person(app), LATER) == "treatment"


def test_nobody_who_is_not_there_is_nudged(app: Connection) -> None:
    made = campaign(app)
    with pytest.raises(errors.ForeignKeyViolation, match="there is no such learner"):
        nudge(app, made, made)


def test_the_holdout_gets_nothing_and_stays_the_holdout(app: Connection) -> None:
    made, learner = campaign(app, holdout_pct=50), [person(app) for _ in range(24)]
    arms = {one_: nudge(app, made, one_) for one_ in learner}
    assert set(arms.values()) == {"treatment", "holdout"}
    for one_ in learner:
        assert nudge(app, made, one_, LATER) == arms[one_]
    sent = app.execute(
        "SELECT DISTINCT arm, channel FROM courses.nudge_delivery ORDER BY arm"
    ).fetchall()
    assert sent == [("holdout", "none"), ("treatment", "email")]


@pytest.mark.parametrize(("holdout", "low", "high"), [(0, 0, 0), (10, 70, 130), (50, 440, 560)])
def test_the_arms_are_as_large_as_planned(
    app: Connection, holdout: int, low: int, high: int
) -> None:
    held = one(
        app,
        "SELECT count(*) FILTER (WHERE courses.nudge_arm('00000000-0000-0000-0000-000000000007',"
        " lpad(to_hex(n), 32, '0')::uuid, %s) = 'holdout') FROM generate_series(1, 1000) AS n",
        holdout,
    )
    assert low <= held <= high


def test_two_nudges_at_once_keep_the_limit(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        made = [campaign(connection, max_per_learner_week=1) for _ in range(2)]
        learner = person(connection)
    ready = Barrier(2)

    def send(connection: Connection, number: int) -> Any:
        ready.wait(30)
        return nudge(connection, made[number], learner)

    assert sorted(at_once(target, tenant, 2, send)) == ["frequency", "treatment"]


# What came of it.


def note(app: Connection, what: str, at: str = LATER) -> Any:
    """Notes it on the delivery that was sent first."""
    first = one(
        app, "SELECT nudge_delivery_id FROM courses.nudge_delivery ORDER BY sent_at LIMIT 1"
    )
    return one(app, "SELECT courses.note_nudge(%s, %s, %s)", first, what, at)


def effects(app: Connection) -> Any:
    return app.execute(
        "SELECT opened_at = %(at)s, clicked_at = %(at)s, converted_at = %(at)s, unsubscribed"
        " FROM courses.nudge_delivery",
        {"at": LATER},
    ).fetchone()


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("opened", (True, None, None, False)),
        ("clicked", (True, True, None, False)),
        ("converted", (None, None, True, False)),
        ("unsubscribed", (True, None, None, True)),
    ],
)
def test_what_came_of_a_nudge_is_noted_once(app: Connection, what: str, found: Any) -> None:
    nudge(app, campaign(app), person(app))
    assert note(app, what) is True
    assert note(app, what, "2026-05-06") is False
    assert effects(app) == found


@pytest.mark.parametrize(
    ("what", "at", "noted"),
    [
        ("converted", "2026-05-11 12:00+00", True),
        ("converted", "2026-05-11 12:01+00", False),
        ("opened", "2026-06-04", True),
    ],
)
def test_a_conversion_counts_within_seven_days(
    app: Connection, what: str, at: str, noted: bool
) -> None:
    nudge(app, campaign(app), person(app))
    assert note(app, what, at) is noted


@pytest.mark.parametrize(
    ("what", "noted"),
    [("opened", False), ("clicked", False), ("unsubscribed", False), ("converted", True)],
)
def test_what_was_withheld_can_only_convert(app: Connection, what: str, noted: bool) -> None:
    nudge(app, campaign(app), person(app), "2026-05-04 22:00+00")
    assert note(app, what) is noted


@pytest.mark.parametrize("what", ["loved", None])
def test_nothing_else_is_noted(app: Connection, what: Any) -> None:
    nudge(app, campaign(app), person(app))
    with pytest.raises(errors.InvalidParameterValue, match="a nudge is not"):
        note(app, what)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE courses.nudge_delivery SET opened_at = opened_at + interval '1 second'",
        "UPDATE courses.nudge_delivery SET clicked_at = NULL",
        "UPDATE courses.nudge_delivery SET converted_at = converted_at - interval '1 second'",
        "UPDATE courses.nudge_delivery SET unsubscribed = false",
        "UPDATE courses.nudge_delivery SET channel = 'sms'",
        "DELETE FROM courses.nudge_delivery",
    ],
)
def test_what_was_noted_stays(app: Connection, change: str) -> None:
    nudge(app, campaign(app), person(app))
    for what in ("clicked", "converted", "unsubscribed"):
        note(app, what)
    app.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append"):
        app.execute(change.encode())


def test_the_application_changes_nothing_else_of_it(app: Connection) -> None:
    nudge(app, campaign(app), person(app))
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute("UPDATE courses.nudge_delivery SET arm = 'holdout'")


def test_the_effect_of_a_campaign_is_told_from_its_holdout(app: Connection) -> None:
    made = campaign(app)
    for arm, number, converted, opened in (("treatment", 4, 3, 2), ("holdout", 2, 1, 0)):
        for place in range(number):
            row(
                app,
                "courses.nudge_delivery",
                nudge_campaign_id=made,
                learner_id=person(app),
                sent_at=NOON,
                arm=arm,
                channel="email" if arm == "treatment" else "none",
                converted_at=LATER if place < converted else None,
                opened_at=LATER if place < opened else None,
                clicked_at=LATER if place < opened - 1 else None,
            )
    nudge(app, made, person(app), "2026-05-04 23:00+00")  # withheld: of neither arm
    nudge(app, campaign(app), person(app))  # of another campaign
    found = app.execute(
        "SELECT arm, learners, deliveries, sent, open_pct::float8, click_pct::float8, converted,"
        " conversion_pct::float8, lift_pct::float8 FROM courses.nudge_effect(%s)",
        [made],
    ).fetchall()
    assert found == [
        ("treatment", 4, 4, 4, 50.0, 25.0, 3, 75.0, 25.0),
        ("holdout", 2, 2, 0, None, None, 1, 50.0, 0.0),
    ]


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"holdout_pct": 51}, "holdout_bounded"),
        ({"max_per_learner_week": 0}, "weekly_limit_bounded"),
        ({"max_per_learner_week": 8}, "weekly_limit_bounded"),
        ({"ends_on": "2026-01-01"}, "ends_after_start"),
        ({"trigger_value": 0}, "trigger_positive"),
        ({"quiet_hours": '{"from": 21}'}, "quiet_hours_are_hours"),
        ({"quiet_hours": '{"from": 21, "until": 25}'}, "quiet_hours_are_hours"),
        ({"quiet_hours": '{"from": "late", "until": 8}'}, "quiet_hours_are_hours"),
        ({"goal_metric": "fame"}, "goal_metric_known"),
    ],
)
def test_a_campaign_makes_sense(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        campaign(app, **given)


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"arm": "holdout"}, "withheld_has_no_channel"),
        ({"suppressed_reason": "frequency"}, "withheld_has_no_channel"),
        ({"channel": "none"}, "withheld_has_no_channel"),
        ({"arm": "holdout", "channel": "none", "opened_at": LATER}, "opened_was_sent"),
        ({"arm": "holdout", "channel": "none", "unsubscribed": True}, "opened_was_sent"),
        ({"opened_at": "2026-05-04 11:59+00"}, "opened_then_clicked"),
        ({"opened_at": LATER, "clicked_at": NOON}, "opened_then_clicked"),
        ({"clicked_at": LATER}, "clicked_was_opened"),
        ({"converted_at": "2026-05-11 12:01+00"}, "converted_within_7_days"),
        ({"converted_at": "2026-05-04 11:59+00"}, "converted_within_7_days"),
    ],
)
def test_a_delivery_makes_sense(app: Connection, given: dict[str, Any], truth: str) -> None:
    usual = {"sent_at": NOON, "arm": "treatment", "channel": "email"}
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "courses.nudge_delivery", **{**usual, **given})
