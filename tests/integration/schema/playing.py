"""A school that plays: levels, and learners with points."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from harness.db import Connection
from tests.integration.schema.rows import row

NOON = "2026-05-04 12:00+00"


def levels(connection: Connection) -> list[UUID]:
    """Three levels: from 0, 100 and 500 points."""
    return [
        row(connection, "courses.level_definition", level_no=number, points_required=points)
        for number, points in ((1, 0), (2, 100), (3, 500))
    ]


def give(connection: Connection, learner: UUID, points: int, **entry: Any) -> UUID:
    """Points in the ledger."""
    given = {
        "learner_id": learner,
        "points": points,
        "entry_kind": "earn" if points > 0 else "expire",
        "earned_at": NOON,
        "balance_after": 0,
        **entry,
    }
    return row(connection, "courses.point_ledger_entry", **given)


def player(connection: Connection, points: int = 0) -> UUID:
    """A learner with points."""
    learner = row(connection, "courses.learner")
    if points:
        give(connection, learner, points)
    return learner


def award(
    connection: Connection,
    learner: UUID,
    action: str = "lesson_completed",
    source: UUID | None = None,
    course: UUID | None = None,
    at: str = NOON,
) -> Any:
    """What award_points gave."""
    found = connection.execute(
        "SELECT courses.award_points(%s, %s, %s, %s, %s)",
        [learner, action, source or uuid4(), course, at],
    ).fetchone()
    assert found
    return found[0]


def standing(connection: Connection, learner: UUID) -> Any:
    """Total and spendable points of the profile card."""
    return connection.execute(
        "SELECT total_points, spendable_points FROM courses.learner_standing WHERE learner_id = %s",
        [learner],
    ).fetchone()


def proof(connection: Connection) -> list[str]:
    """Figures of profile cards that are not what they stand for."""
    found = connection.execute(
        "SELECT DISTINCT figure FROM courses.standing_differences() ORDER BY figure"
    ).fetchall()
    return [figure for (figure,) in found]
