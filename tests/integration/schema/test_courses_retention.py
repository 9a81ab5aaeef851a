"""Learners have advisors, drift away by numbers, and are called before it is too late.

What is raised, planned, paired and asked moves along its states and nowhere else.
"""

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
from tests.integration.schema.admissions import one
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import imported, row
from tests.integration.schema.school import School, school
from tests.integration.schema.states import refused

MACHINES = {
    "study_group": {
        "forming": ["active", "closed"],
        "active": ["dormant", "closed"],
        "dormant": ["active", "closed"],
        "closed": [],
    },
    "mentor_pairing": {
        "proposed": ["active", "ended_early"],
        "active": ["paused", "completed", "ended_early"],
        "paused": ["active", "ended_early"],
        "completed": [],
        "ended_early": [],
    },
    "course_announcement": {
        "draft": ["scheduled", "sent", "withdrawn"],
        "scheduled": ["draft", "sent", "withdrawn"],
        "sent": ["withdrawn"],
        "withdrawn": [],
    },
    "early_alert": {
        "open": ["acknowledged", "resolved", "dismissed"],
        "acknowledged": ["in_intervention", "resolved", "dismissed"],
        "in_intervention": ["resolved"],
        "resolved": [],
        "dismissed": [],
    },
    "retention_model": {
        "draft": ["shadow", "active", "retired"],
        "shadow": ["active", "retired"],
        "active": ["shadow", "retired"],
        "retired": [],
    },
    "nudge_campaign": {
        "draft": ["running", "ended"],
        "running": ["paused", "ended"],
        "paused": ["running", "ended"],
        "ended": [],
    },
    "survey": {
        "draft": ["open", "archived"],
        "open": ["closed"],
        "closed": ["open", "archived"],
        "archived": [],
    },
}
OVER = {"resolved_at": "2099-01-01", "resolution": "supported"}
ENDED = {"ended_on": "2099-01-01", "end_reason": "moved away"}
THRESHOLDS = {"threshold_high": 0.6, "threshold_medium": 0.3}
NEEDS: dict[str, dict[str, Any]] = {
    "early_alert.acknowledged": {"acknowledged_at": "2098-01-01"},
    "early_alert.in_intervention": {"acknowledged_at": "2098-01-01"},
    "early_alert.resolved": OVER,
    "early_alert.dismissed": OVER,
    "mentor_pairing.completed": {"started_on": "2026-01-01", **ENDED},
    "mentor_pairing.ended_early": ENDED,
    "mentor_pairing.active": {"started_on": "2026-01-01"},
    "mentor_pairing.paused": {"started_on": "2026-01-01"},
    "course_announcement.scheduled": {"publish_at": "2026-01-01"},
    "course_announcement.sent": {"publish_at": "2026-01-01"},
    "nudge_campaign.draft": {"starts_on": "2026-01-01", "ends_on": "2026-12-31"},
}
ALLOWED = [(t, a, b) for t, states in MACHINES.items() for a in states for b in states[a]]
REFUSED = [(t, a, b) for t, states in MACHINES.items() for a, b in refused(states)]


def move(app: Connection, table: str, before: str, after: str) -> int:
    given = dict(NEEDS.get(f"{table}.{before}", {}))
    if table == "nudge_campaign":
        given = NEEDS["nudge_campaign.draft"]
    if table == "retention_model":
        given = {"weights": '{"bias": -1}', **THRESHOLDS}
    imported(app, f"courses.{table}", status=before, **given)
    changes = {"status": after, **NEEDS.get(f"{table}.{after}", {})}
    return app.execute(
        sql.SQL("UPDATE courses.{} SET {}").format(
            sql.Identifier(table),
            sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(c)) for c in changes),
        ),
        list(changes.values()),
    ).rowcount


@pytest.mark.parametrize(("table", "before", "after"), ALLOWED)
def test_states_follow_each_other(app: Connection, table: str, before: str, after: str) -> None:
    assert move(app, table, before, after) == 1


@pytest.mark.parametrize(("table", "before", "after"), REFUSED)
def test_no_other_states_follow(app: Connection, table: str, before: str, after: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        move(app, table, before, after)


MONDAY = "2026-05-25"
SCORE = "SELECT courses.score_retention(%s, %s)"


def model(app: Connection, status: str = "active", **given: Any) -> UUID:
    """A model that weighs days without activity alone: a week is 0.5, two are 0.73."""
    return imported(
        app,
        "courses.retention_model",
        **{
            "weights": '{"bias": -1, "days_inactive": 1}',
            "code": f"by-{status}",
            "status": status,
            **THRESHOLDS,
            **given,
        },
    )


def day(app: Connection, enrollment: UUID, on: str, **given: Any) -> UUID:
    given = {"active_minutes": 60, **given}
    return row(app, "courses.engagement_day", enrollment_id=enrollment, activity_date=on, **given)


def alert(app: Connection, enrollment: UUID, **given: Any) -> UUID:
    given = {"alert_kind": "inactive", "raised_at": "2026-05-04 08:00+00", **given}
    return row(app, "courses.early_alert", enrollment_id=enrollment, **given)


def helped(
    app: Connection, enrollment: UUID, at: str = "2026-05-04 10:00+00", **given: Any
) -> UUID:
    given = {"outcome": "reached", "performed_at": at, **given}
    return row(app, "courses.intervention", enrollment_id=enrollment, **given)


def all_of(app: Connection, query: str, *values: Any) -> list[tuple[Any, ...]]:
    return app.execute(query.encode(), values).fetchall()


# Advisors.


def advised(app: Connection, learner: UUID, since: str, until: str | None, **given: Any) -> UUID:
    return row(
        app,
        "courses.advisor_assignment",
        learner_id=learner,
        assigned_from=since,
        assigned_until=until,
        **given,
    )


def test_a_learner_has_one_first_advisor_of_a_kind_at_a_time(app: Connection) -> None:
    learner = row(app, "courses.learner")
    advised(app, learner, "2026-01-01", "2026-03-01")
    advised(app, learner, "2026-03-01", None)
    advised(app, learner, "2026-01-01", None, assignment_kind="financial")
    advised(app, learner, "2026-01-01", None, is_primary=False)
    advised(app, row(app, "courses.learner"), "2026-01-01", None)
    with pytest.raises(errors.ExclusionViolation):
        advised(app, learner, "2026-02-28", "2026-03-02")


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"assigned_until": "2026-01-01"}, "ends_after_start"),
        ({"caseload_weight": 0.05}, "weight_bounded"),
        ({"assignment_kind": "friend"}, "kind_known"),
        ({"reason": "whim"}, "reason_known"),
    ],
)
def test_an_assignment_makes_sense(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "courses.advisor_assignment", **{"assigned_from": "2026-01-01", **given})


@pytest.mark.parametrize(
    ("given", "advisor"),
    [
        ({}, "academic"),
        ({"alert_kind": "financial"}, "financial"),
        ({"raised_at": "2026-01-31 23:59+00"}, "former"),
        ({"raised_at": "2025-12-31 23:59+00"}, None),
    ],
)
def test_an_alert_goes_to_the_advisor_of_its_day_and_kind(
    app: Connection, given: dict[str, Any], advisor: str | None
) -> None:
    place = school(app)
    names = {
        row(app, "user_mgmt.user_account", display_name=name): name
        for name in ("former", "academic", "financial", "second")
    }
    accounts = {name: made for made, name in names.items()}
    for name, since, until, more in (
        ("former", "2026-01-01", "2026-02-01", {}),
        ("academic", "2026-02-01", None, {}),
        ("financial", "2026-02-01", None, {"assignment_kind": "financial"}),
        ("second", "2026-02-01", None, {"is_primary": False}),
    ):
        who = accounts[name]
        advised(app, place.learner, since, until, advisor_user_account_id=who, **more)
    made = alert(app, place.enrollment, **given)
    found = one(app, "SELECT assigned_to FROM courses.early_alert WHERE early_alert_id = %s", made)
    assert names.get(found) == advisor


def test_an_alert_that_was_given_to_somebody_stays_theirs(app: Connection) -> None:
    place, other = school(app), row(app, "user_mgmt.user_account")
    advised(app, place.learner, "2026-01-01", None)
    alert(app, place.enrollment, assigned_to=other)
    assert one(app, "SELECT assigned_to FROM courses.early_alert") == other


# Engagement.


@pytest.mark.parametrize(
    ("given", "score"),
    [
        ({}, 0),
        ({"active_minutes": 30}, 15),
        ({"active_minutes": 101}, 50),
        ({"content_views": 4}, 8),
        ({"content_views": 11}, 20),
        ({"submissions": 3}, 20),
        ({"posts": 4}, 15),
        ({"messages_sent": 9}, 5),
        ({"meeting_minutes": 60}, 15),
        ({"meeting_minutes": 91}, 22.5),
        ({"login_count": 9, "video_minutes": 9}, 0),
        (
            {"active_minutes": 100, "content_views": 10, "submissions": 2, "meeting_minutes": 90},
            100,
        ),
    ],
)
def test_each_part_of_engagement_counts_up_to_a_point(
    app: Connection, given: dict[str, Any], score: float
) -> None:
    day(app, school(app).enrollment, "2026-05-04", **{"active_minutes": 0, **given})
    assert float(one(app, "SELECT engagement_score FROM courses.engagement_day")) == score


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"posts": -1}, "counts_not_negative"),
        ({"active_minutes": 1441}, "has_1440_minutes"),
        ({"decile": 11}, "decile_bounded"),
    ],
)
def test_a_day_is_a_day(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        day(app, school(app).enrollment, "2026-05-04", **given)


def test_a_day_is_summed_up_once(app: Connection) -> None:
    place = school(app)
    day(app, place.enrollment, "2026-05-04")
    day(app, place.enrollment, "2026-05-05")
    with pytest.raises(errors.UniqueViolation):
        day(app, place.enrollment, "2026-05-04")


@pytest.mark.parametrize("table", ["engagement_day", "retention_score"])
@pytest.mark.parametrize("change", ["UPDATE courses.{} SET created_at = now()", "DELETE FROM {}"])
def test_what_was_measured_is_not_changed(app: Connection, table: str, change: str) -> None:
    place = school(app)
    day(app, place.enrollment, "2026-05-04")
    app.execute(SCORE, [model(app), MONDAY])
    app.execute("RESET ROLE")
    command = change.replace("FROM {}", "FROM courses.{}").format(table)
    with pytest.raises(errors.RestrictViolation, match="append"):
        app.execute(command.encode())


# Models and scores.


def test_one_model_is_acted_on(app: Connection) -> None:
    model(app)
    model(app, "shadow")
    with pytest.raises(errors.UniqueViolation):
        model(app, code="another")


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"threshold_medium": 0.6}, "high_is_above_medium"),
        ({"auc": 0.49}, "auc_better_than_chance"),
        ({"fairness_gap": 1.5}, "fairness_gap_is_a_share"),
        ({"horizon_days": 0}, "looks_ahead"),
        ({"model_kind": "logistic"}, "trained_has_quality"),
        ({"model_kind": "guess"}, "kind_known"),
    ],
)
def test_a_model_makes_sense(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        model(app, **given)


@pytest.mark.parametrize(
    "change", ["weights = '{\"bias\": 2}'", "threshold_high = 0.7", "threshold_medium = 0.2"]
)
def test_a_model_that_scores_is_not_changed(app: Connection, change: str) -> None:
    changed = f"UPDATE courses.retention_model SET {change}".encode()
    model(app, "draft")
    assert app.execute(changed).rowcount == 1
    app.execute("UPDATE courses.retention_model SET status = 'shadow'")
    app.execute("UPDATE courses.retention_model SET horizon_days = 14")
    with pytest.raises(errors.RestrictViolation, match="a model that scores is not changed"):
        app.execute(changed.replace(b"2", b"1").replace(b"0.7", b"0.8"))


@pytest.mark.parametrize(
    ("probability", "band"),
    [(0.299999, "low"), (0.3, "medium"), (0.599999, "medium"), (0.6, "high")],
)
def test_a_band_follows_the_thresholds(app: Connection, probability: float, band: str) -> None:
    row(
        app,
        "courses.retention_score",
        enrollment_id=school(app).enrollment,
        retention_model_id=model(app),
        dropout_probability=probability,
        band="low",
    )
    assert one(app, "SELECT band FROM courses.retention_score") == band


@pytest.mark.parametrize("status", ["draft", "retired"])
def test_only_a_model_at_work_scores(app: Connection, status: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"a model that is {status} does not score"):
        app.execute(SCORE, [model(app, status), MONDAY])


def test_a_model_that_is_not_there_does_not_score(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="a model that is unknown does not score"):
        app.execute(SCORE, [row(app, "courses.learner"), MONDAY])


def features(app: Connection, on: str = MONDAY) -> list[tuple[Any, ...]]:
    return all_of(
        app,
        "SELECT days_inactive, missed_deadlines, low_grade::float8,"
        " round(low_progress, 2)::float8, low_engagement::float8"
        " FROM courses.retention_features(%s::date)",
        on,
    )


def test_features_say_how_far_somebody_is_behind(app: Connection) -> None:
    place = school(app)
    # Of 176 days 140 are over; no lesson of two is done.
    first, _ = place.lesson(completion_rule="manual"), place.lesson()
    place.report(first, "2026-05-10 10:00+00", kind="opened")
    assert features(app) == [(140, 0, 0.0, 0.8, 1.0)]
    day(app, place.enrollment, "2026-05-18", active_minutes=84)  # a score of 42: 3 a day
    day(app, place.enrollment, MONDAY, active_minutes=60)  # the day itself does not count
    assert features(app) == [(7, 0, 0.0, 0.8, 0.9)]
    place.report(first, "2026-05-24 10:00+00", kind="marked", seconds=40)
    assert features(app) == [(7, 0, 0.0, 0.3, 0.9)]
    assert features(app, "2026-05-24")[0][3] == 0.79  # it was not done yet


def test_a_deadline_is_missed_where_nothing_was_handed_in(app: Connection) -> None:
    place = school(app)
    for due in ("2026-01-02", "2026-05-01", "2026-05-24 23:59+00", "2026-05-25 00:00+00"):
        row(app, "courses.assignment", course_id=place.course, due_at=due)
    assert features(app)[0][1] == 2  # not what was due before the start, or is due today
    app.execute("RESET ROLE")
    app.execute(
        "INSERT INTO courses.assignment_submission"
        " (business_id, assignment_id, enrollment_id, state, submission_kind, submitted_at)"
        " SELECT business_id, assignment_id, %s, 'submitted', 'text', '2026-05-01 10:00+00'"
        " FROM courses.assignment WHERE due_at = '2026-05-01'",
        [place.enrollment],
    )
    app.execute("SET LOCAL ROLE app_user")
    assert features(app)[0][1] == 1


def test_who_was_live_then_is_weighed(app: Connection) -> None:
    place = school(app)
    gone = place.enroll()
    for enrollment in (place.enrollment, gone):
        row(
            app,
            "courses.enrollment_status_event",
            enrollment_id=enrollment,
            occurred_at="2026-01-05 09:00+00",
            from_status="requested",
            to_status="active",
            cause="admin",
        )
    left = {"status": "withdrawn", "withdrawn_at": "2026-05-20", "withdrawal_reason": "time"}
    app.execute("RESET ROLE")
    app.execute(
        "UPDATE courses.enrollment SET status = %(status)s, withdrawn_at = %(withdrawn_at)s,"
        " withdrawal_reason = %(withdrawal_reason)s WHERE enrollment_id = %(id)s",
        {**left, "id": gone},
    )
    app.execute("DELETE FROM courses.enrollment_status_event WHERE to_status = 'withdrawn'")
    app.execute("SET LOCAL ROLE app_user")
    row(
        app,
        "courses.enrollment_status_event",
        enrollment_id=gone,
        occurred_at="2026-05-20",
        from_status="active",
        to_status="withdrawn",
        cause="learner",
    )
    live = "SELECT enrollment_id, status FROM courses.retention_features(%s::date)"
    assert all_of(app, live, "2026-05-21") == [(place.enrollment, "active")]
    assert len(all_of(app, live, "2026-05-20")) == 2
    assert all_of(app, live, "2026-01-05") == []  # enrolled on that day


def test_scores_know_what_drives_them_and_what_was_before(app: Connection) -> None:
    place = school(app)
    weights = '{"bias": -4, "days_inactive": 0.5, "low_engagement": 2, "low_grade": 1}'
    made = model(app, weights=weights)
    day(app, place.enrollment, "2026-05-11")
    assert one(app, SCORE, made, "2026-05-18") == 1
    assert one(app, SCORE, made, MONDAY) == 1
    found = all_of(
        app,
        "SELECT dropout_probability::float8, previous_probability::float8, drivers, days_inactive,"
        " predicted_last_active_on::text FROM courses.retention_score ORDER BY scored_on",
    )
    # 30 of 420 points in two weeks: 1 - 2.1429 / 30 = 0.92857 of 2, and half a point a week.
    first = [
        {"feature": "low_engagement", "contribution": 1.8571},
        {"feature": "days_inactive", "contribution": 0.5},
    ]
    second = [first[0], {"feature": "days_inactive", "contribution": 1.0}]
    assert found == [
        (0.162076, None, first, 7, "2026-06-12"),
        (0.241796, 0.162076, second, 14, "2026-06-17"),
    ]


def test_a_score_is_given_once_a_day(app: Connection) -> None:
    school(app)
    made = model(app)
    assert [one(app, SCORE, made, MONDAY) for _ in range(2)] == [1, 0]


@pytest.mark.parametrize(
    ("status", "enrollment", "alerts"),
    [("active", "active", 1), ("shadow", "active", 0), ("active", "paused", 0)],
)
def test_a_band_that_rose_alerts_where_something_can_be_done(
    app: Connection, status: str, enrollment: str, alerts: int
) -> None:
    school(app, status=enrollment)
    assert one(app, SCORE, model(app, status), MONDAY) == 1
    assert one(app, "SELECT count(*) FROM courses.early_alert") == alerts


def test_an_alert_of_a_score_says_why_and_when(app: Connection) -> None:
    place = school(app)
    made = model(app)
    app.execute(SCORE, [made, MONDAY])
    assert all_of(
        app,
        "SELECT alert_kind, severity, raised_at = %s, detail, dedupe_key FROM courses.early_alert",
        "2026-05-25 00:00+00",
    ) == [
        (
            "inactive",
            "high",
            True,
            "Likely to leave: 95 %, above all days inactive",
            f"score {made} {place.enrollment} {MONDAY}",
        )
    ]


@pytest.mark.parametrize(
    ("feature", "kind"),
    [
        ("low_grade", "failing"),
        ("missed_deadlines", "missed_deadline"),
        ("low_progress", "inactive"),
    ],
)
def test_the_kind_of_an_alert_is_what_drives_the_score(
    app: Connection, feature: str, kind: str
) -> None:
    place = school(app)
    place.lesson()
    row(app, "courses.assignment", course_id=place.course, due_at="2026-05-01")
    row(
        app,
        "courses.course_progress",
        enrollment_id=place.enrollment,
        lessons_total=0,
        current_grade_pct=0,
    )
    app.execute(SCORE, [model(app, weights=f'{{"bias": 1, "{feature}": 2}}'), MONDAY])
    assert one(app, "SELECT alert_kind FROM courses.early_alert") == kind


def test_only_a_higher_band_alerts_again(app: Connection) -> None:
    place = school(app)
    made = model(app)

    def alerts(on: str) -> list[Any]:
        app.execute(SCORE, [made, on])
        app.execute(
            "UPDATE courses.early_alert SET status = 'resolved', resolved_at = raised_at,"
            " resolution = 'supported' WHERE status = 'open'"
        )
        return [
            s for (s,) in all_of(app, "SELECT severity FROM courses.early_alert ORDER BY raised_at")
        ]

    day(app, place.enrollment, "2026-05-03")
    assert alerts("2026-05-04") == []
    assert alerts("2026-05-08") == ["medium"]
    assert alerts("2026-05-10") == ["medium"]  # a medium that stays one
    assert alerts("2026-05-14") == ["medium", "high"]
    day(app, place.enrollment, "2026-05-14")
    assert alerts("2026-05-15") == ["medium", "high"]
    assert alerts("2026-05-25") == ["medium", "high", "high"]  # straight to the highest


def test_no_alert_of_a_kind_while_one_is_open(app: Connection) -> None:
    place = school(app)
    made = model(app)
    alert(app, place.enrollment)
    app.execute(SCORE, [made, MONDAY])
    assert one(app, "SELECT count(*) FROM courses.early_alert") == 1
    alert(app, place.enrollment, alert_kind="failing")
    with pytest.raises(errors.UniqueViolation):
        alert(app, place.enrollment)


def _taught(target: Target) -> tuple[UUID, School]:
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        return tenant, school(connection)


def test_two_runs_at_once_score_and_alert_once(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        place = school(connection)
        place.enroll()
        made = model(connection)
    ready = Barrier(2)

    def score(connection: Connection, _: int) -> Any:
        ready.wait(30)
        return one(connection, SCORE, made, MONDAY)

    assert sorted(at_once(target, tenant, 2, score)) == [0, 2]
    with psycopg.connect(target.admin) as connection:
        assert one(connection, "SELECT count(*) FROM courses.early_alert") == 2


def test_two_concerns_at_once_are_one_alert(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    tenant, place = _taught(target)
    ready = Barrier(2)

    def raise_it(connection: Connection, _: int) -> str:
        ready.wait(30)
        try:
            alert(connection, place.enrollment)
        except errors.UniqueViolation:
            connection.rollback()
            return "refused"
        return "raised"

    assert sorted(at_once(target, tenant, 2, raise_it)) == ["raised", "refused"]


# Alerts and what is done about them.


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"alert_kind": "teacher_concern"}, "teacher_is_named"),
        ({"status": "acknowledged"}, "taken_up_has_time"),
        ({"status": "resolved", "resolved_at": "2026-05-05"}, "resolved_has_resolution"),
        ({"resolved_at": "2026-05-05"}, "over_has_time"),
        ({"acknowledged_at": "2026-05-04 07:59+00"}, "acknowledged_after_raising"),
        (
            {
                "status": "resolved",
                "acknowledged_at": "2026-05-06",
                "resolved_at": "2026-05-05",
                "resolution": "supported",
            },
            "resolved_after_raising",
        ),
        ({"severity": "deadly"}, "severity_known"),
    ],
)
def test_an_alert_makes_sense(app: Connection, given: dict[str, Any], truth: str) -> None:
    enrollment = school(app).enrollment
    app.execute("RESET ROLE")
    with pytest.raises(errors.CheckViolation, match=truth):
        alert(app, enrollment, **given)


def test_an_intervention_takes_its_alert_up(app: Connection) -> None:
    enrollment = row(app, "courses.enrollment")
    alert = row(app, "courses.early_alert", enrollment_id=enrollment, alert_kind="inactive")
    row(
        app,
        "courses.intervention",
        enrollment_id=enrollment,
        early_alert_id=alert,
        outcome="reached",
    )
    assert app.execute("SELECT status FROM courses.early_alert").fetchone() == ("in_intervention",)
    judged = app.execute("SELECT courses.judge_interventions('2099-01-01')").fetchone()
    assert judged == (1,)
    with pytest.raises(errors.CheckViolation, match="about another enrollment"):
        row(app, "courses.intervention", early_alert_id=alert)


def test_an_intervention_is_about_what_was_raised_before(app: Connection) -> None:
    enrollment = school(app).enrollment
    made = alert(app, enrollment)
    helped(app, enrollment, "2026-05-04 08:00+00", early_alert_id=made)
    with pytest.raises(errors.CheckViolation, match="the alert was raised after that"):
        helped(app, enrollment, "2026-05-04 07:59+00", early_alert_id=made)


def test_an_intervention_of_history_leaves_its_alert_as_it_was(app: Connection) -> None:
    enrollment = school(app).enrollment
    made = alert(app, enrollment)
    app.execute("RESET ROLE")
    helped(app, enrollment, early_alert_id=made)
    assert one(app, "SELECT status FROM courses.early_alert") == "open"


def test_an_alert_that_is_over_is_not_taken_up_again(app: Connection) -> None:
    enrollment = school(app).enrollment
    made = alert(app, enrollment)
    app.execute(
        "UPDATE courses.early_alert SET status = 'dismissed', resolved_at = raised_at,"
        " resolution = 'false_alarm'"
    )
    helped(app, enrollment, early_alert_id=made)
    assert one(app, "SELECT status FROM courses.early_alert") == "dismissed"


@pytest.mark.parametrize(("outcome", "contact"), [("reached", True), ("no_answer", False)])
def test_a_contact_is_one_where_somebody_answered(
    app: Connection, outcome: str, contact: bool
) -> None:
    place, coach = school(app), row(app, "user_mgmt.user_account")
    advised(app, place.learner, "2026-01-01", "2026-02-01", advisor_user_account_id=coach)
    advised(app, place.learner, "2026-02-01", None, advisor_user_account_id=coach)
    helped(app, place.enrollment, performed_by=coach, outcome=outcome, follow_up_on="2026-05-18")
    helped(app, place.enrollment, "2026-05-05 10:00+00")  # somebody else
    found = all_of(
        app,
        "SELECT last_contact_at = '2026-05-04 10:00+00', next_contact_due_on::text"
        " FROM courses.advisor_assignment ORDER BY assigned_from",
    )
    assert found == [(None, None), (True, "2026-05-18") if contact else (None, None)]


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"outcome": "agreed_plan", "plan": " "}, "agreed_plan_is_written"),
        ({"follow_up_on": "2026-05-03"}, "follow_up_later"),
        ({"duration_minutes": 0}, "duration_positive"),
        ({"engagement_before": 101}, "engagement_is_a_share"),
        ({"is_successful": True}, "judged_by_what_came_after"),
        ({"method": "prayer"}, "method_known"),
    ],
)
def test_an_intervention_makes_sense(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        helped(app, school(app).enrollment, **given)


def test_engagement_before_is_the_mean_of_two_weeks(app: Connection) -> None:
    enrollment = school(app).enrollment
    for on in ("2026-04-19", "2026-04-20", "2026-05-03", "2026-05-04"):
        day(app, enrollment, on, active_minutes=70)  # 35 points each; the ends do not count
    helped(app, enrollment)
    assert one(app, "SELECT engagement_before::float8 FROM courses.intervention") == 5.0


JUDGE = "SELECT courses.judge_interventions(%s)"


@pytest.mark.parametrize(
    ("after", "status", "worked"),
    [(90, "active", True), (70, "active", False), (90, "withdrawn", False)],
)
def test_it_worked_where_the_learner_is_there_and_more_engaged(
    app: Connection, after: int, status: str, worked: bool
) -> None:
    left = {"withdrawn_at": "2026-06-01", "withdrawal_reason": "time"}
    place = school(app, status=status, **(left if status == "withdrawn" else {}))
    day(app, place.enrollment, "2026-04-20", active_minutes=70)
    day(app, place.enrollment, "2026-05-04", active_minutes=100)  # the day itself
    day(app, place.enrollment, "2026-05-18", active_minutes=after)
    day(app, place.enrollment, "2026-05-19", active_minutes=100)  # too late to count
    helped(app, place.enrollment)
    assert one(app, JUDGE, "2026-05-19 09:59+00") == 0
    assert one(app, JUDGE, "2026-05-19 10:01+00") == 1
    assert one(app, JUDGE, "2026-05-19 10:01+00") == 0
    found = all_of(app, "SELECT is_successful, effect_size::float8 FROM courses.intervention")
    assert found == [(worked, 0.7143 if after == 90 else 0.0)]


# What is read of it.


def test_a_caseload_counts_whom_somebody_looks_after_now(app: Connection) -> None:
    place, coach = school(app), row(app, "user_mgmt.user_account")
    for learner, until, weight in (
        (place.learner, None, 1),
        (row(app, "courses.learner"), None, 0.5),
        (row(app, "courses.learner"), "2026-02-01", 5),
    ):
        advised(
            app,
            learner,
            "2026-01-01",
            until,
            advisor_user_account_id=coach,
            caseload_weight=weight,
            next_contact_due_on="2026-05-01",
        )
    app.execute(SCORE, [model(app), MONDAY])
    assert all_of(
        app,
        "SELECT learners, caseload::float8, high_risk, medium_risk, open_alerts::int,"
        " overdue_contacts FROM courses.v_advisor_caseload",
    ) == [(2, 1.5, 1, 0, 1, 2)]


def test_the_health_of_a_section_is_that_of_who_takes_it(app: Connection) -> None:
    place = school(app, progress_pct=10)
    others = [place.enroll(progress_pct=pct) for pct in (20, 90)]
    place.enroll(status="completed", completed_at="2026-05-01", progress_pct=100)
    paces = [("on_track", 0), ("behind", 6), ("stalled", 12)]
    for enrollment, (pace, behind) in zip([place.enrollment, *others], paces, strict=True):
        row(
            app,
            "courses.course_progress",
            enrollment_id=enrollment,
            pace=pace,
            days_behind=behind,
        )
    day(app, others[0], "2026-05-24")
    app.execute(SCORE, [model(app), MONDAY])
    for status in ("present", "late", "absent", "excused"):
        meeting = row(
            app,
            "courses.class_meeting",
            course_section_id=place.section,
            status="ended",
            mode="classroom",
        )
        present = {"joined_at": "2026-05-04 10:00+00"} if status in ("present", "late") else {}
        row(
            app,
            "courses.meeting_attendance",
            class_meeting_id=meeting,
            enrollment_id=place.enrollment,
            status=status,
            excuse_note="ill",
            **present,
        )
    row(app, "courses.course_section")  # nobody takes it
    found = all_of(
        app,
        "SELECT learners, progress_low::int, progress_median::int, progress_high::int,"
        " in_pace_pct::float8, stalled, days_behind::float8, at_risk_pct::float8, high_risk,"
        " attendance_pct::float8 FROM courses.v_section_health",
    )
    assert found == [(3, 10, 20, 90, 33.33, 1, 6.0, 66.67, 2, 66.67)]


def test_the_dashboard_shows_what_is_next(app: Connection) -> None:
    place = school(app, progress_pct=40)
    row(app, "courses.assignment", course_id=place.course, due_at="2025-01-01", title="past")
    row(app, "courses.assignment", course_id=place.course, due_at="2099-02-01", title="later")
    row(app, "courses.assignment", course_id=place.course, due_at="2099-01-01", title="next")
    place.enroll(learner_id=row(app, "courses.learner"), status="completed", completed_at=MONDAY)
    found = all_of(
        app,
        "SELECT enrollment_id, progress_pct::int, next_due, next_meeting_at"
        " FROM courses.v_learner_dashboard",
    )
    assert found == [(place.enrollment, 40, "next", None)]


def test_weeks_of_engagement_say_who_came_back(app: Connection, admin: Connection) -> None:
    place = school(app)
    other = place.enroll()
    for enrollment, on, minutes in (
        (place.enrollment, "2026-05-04", 20),
        (place.enrollment, "2026-05-10", 20),
        (place.enrollment, "2026-05-11", 40),
        (other, "2026-05-06", 80),
    ):
        day(app, enrollment, on, active_minutes=minutes)
    app.execute("RESET ROLE")
    second = add_tenant(admin, "second")
    app.execute("REFRESH MATERIALIZED VIEW courses.mv_engagement_weekly")
    become_app(app, one(app, "SELECT business_id FROM courses.enrollment LIMIT 1"))
    weeks = (
        "SELECT week::text, active_learners, average_score::int, deciles[5]::int,"
        " return_pct::int FROM courses.v_engagement_weekly ORDER BY week"
    )
    assert all_of(app, weeks) == [
        ("2026-05-04", 2, 30, 30, 50),
        ("2026-05-11", 1, 20, 20, None),
    ]
    app.execute("RESET ROLE")
    become_app(app, second)
    assert all_of(app, weeks) == []
