"""What is raised, planned, paired and asked moves along its states and nowhere else."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors, sql

from harness.db import Connection
from tests.integration.schema.rows import imported, row
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


def campaign(app: Connection, **given: Any) -> UUID:
    span = {"starts_on": "2026-01-01", "ends_on": "2026-12-31", "holdout_pct": 0, **given}
    return imported(app, "courses.nudge_campaign", status="running", **span)


def nudge(app: Connection, made: UUID, learner: UUID, at: str = "2026-05-04 12:00+00") -> Any:
    found = app.execute(
        "SELECT courses.send_nudge(%s, %s, NULL, 'email', %s)", [made, learner, at]
    ).fetchone()
    assert found
    return found[0]


def test_a_nudge_has_a_limit_and_quiet_hours(app: Connection) -> None:
    made = campaign(app, max_per_learner_week=1)
    learner = row(app, "courses.learner", time_zone="UTC")
    assert nudge(app, made, learner, "2026-05-04 23:00+00") == "quiet_hours"
    assert nudge(app, made, learner) == "treatment"
    assert nudge(app, made, learner, "2026-05-05 12:00+00") == "frequency"
    assert nudge(app, made, learner, "2026-05-12 12:00+00") == "treatment"


def test_who_refused_is_not_nudged(app: Connection) -> None:
    made, learner = campaign(app), row(app, "courses.learner", time_zone="UTC")
    found = app.execute("SELECT user_account_id FROM courses.learner").fetchone()
    assert found
    row(
        app,
        "user_mgmt.user_consent",
        user_account_id=found[0],
        consent_kind="marketing",
        is_granted=False,
    )
    assert nudge(app, made, learner) == "opted_out"
    sent = app.execute("SELECT channel FROM courses.nudge_delivery").fetchone()
    assert sent == ("none",)


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
