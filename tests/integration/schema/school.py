"""A school for tests: a course that a learner takes, its lessons, and quizzes with questions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from harness.db import Connection
from tests.integration.schema.rows import imported, row

STARTED = "2026-01-05 10:00+00"
LATER = "2026-02-02 10:00+00"


@dataclass(frozen=True)
class School:
    """A learner who is active in a section of a course with one module."""

    connection: Connection
    course: UUID
    section: UUID
    module: UUID
    learner: UUID
    enrollment: UUID

    def lesson(self, **given: Any) -> UUID:
        """A published lesson of the module."""
        given = {"course_module_id": self.module, "is_published": True, **given}
        return row(self.connection, "courses.lesson", **given)

    def enroll(self, **given: Any) -> UUID:
        """One more learner in the section."""
        given = {
            "course_section_id": self.section,
            "status": "active",
            "enrolled_at": "2026-01-05 09:00+00",
            "started_at": STARTED,
            **given,
        }
        if "learner_id" not in given:
            given["learner_id"] = row(self.connection, "courses.learner")
        return imported(self.connection, "courses.enrollment", **given)

    def report(self, lesson: UUID, at: str = LATER, **event: Any) -> Any:
        """What record_lesson_event says of an event: state of the lesson, percent of the course."""
        return self.connection.execute(
            "SELECT state, course_pct::float8 FROM courses.record_lesson_event(%s, %s, %s, %s)",
            [self.enrollment, lesson, json.dumps(event), at],
        ).fetchone()

    def quiz(self, *questions: UUID, **given: Any) -> UUID:
        """An assessment of the course that asks these questions, two points each."""
        made = row(self.connection, "courses.assessment", **{"course_id": self.course, **given})
        for question in questions:
            row(
                self.connection,
                "courses.assessment_slot",
                assessment_id=made,
                question_id=question,
                max_points=2,
            )
        return made

    def start(self, quiz: UUID, at: str = LATER, code: str | None = None) -> UUID:
        """An attempt of the learner."""
        found = self.connection.execute(
            "SELECT courses.start_attempt(%s, %s, %s, NULL, %s)", [quiz, self.enrollment, code, at]
        ).fetchone()
        assert found
        return UUID(str(found[0]))

    def answer(self, attempt: UUID, question: UUID, *parts: Any, at: str = LATER) -> Any:
        """Saves an answer; the number of changes, or None where nothing was asked."""
        found = self.connection.execute(
            "SELECT courses.save_answer(%s, %s, %s, 20, %s)",
            [attempt, question, json.dumps({"parts": list(parts)}, default=str), at],
        ).fetchone()
        return found and found[0]

    def submit(self, attempt: UUID, at: str = LATER) -> Any:
        """Hands it in: the state that it reached."""
        found = self.connection.execute(
            "SELECT courses.submit_attempt(%s, %s)", [attempt, at]
        ).fetchone()
        assert found
        return found[0]


def school(connection: Connection, **enrollment: Any) -> School:
    """A new course with a module, a section of it and a learner who takes it."""
    course = row(connection, "courses.course")
    section = row(
        connection,
        "courses.course_section",
        course_id=course,
        starts_on="2026-01-05",
        ends_on="2026-06-30",
    )
    module = row(connection, "courses.course_module", course_id=course, is_published=True)
    learner = row(connection, "courses.learner")
    bare = School(connection, course, section, module, learner, learner)
    enrolled = bare.enroll(learner_id=learner, **enrollment)
    return School(connection, course, section, module, learner, enrolled)


def question(
    connection: Connection, *options: dict[str, Any], live: bool = True, **given: Any
) -> tuple[UUID, list[UUID]]:
    """A question with its options, live unless a draft is asked for."""
    made = row(connection, "courses.question", **given)
    choices = [row(connection, "courses.answer_option", question_id=made, **o) for o in options]
    if live:
        go_live(connection, made)
    return made, choices


def go_live(connection: Connection, made: UUID) -> None:
    """Takes a draft through its review."""
    for status in ("reviewed", "live"):
        connection.execute(
            "UPDATE courses.question SET status = %s WHERE question_id = %s", [status, made]
        )


RIGHT = {"is_correct": True, "credit_pct": 100}


def choice(connection: Connection, **given: Any) -> tuple[UUID, list[UUID]]:
    """A single choice with the right option first and a wrong one."""
    return question(connection, RIGHT, {}, **given)
