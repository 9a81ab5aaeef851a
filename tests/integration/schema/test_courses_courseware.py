"""Packages are launched when they are valid, tools once per nonce and told no more than allowed."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import imported, row
from tests.integration.schema.school import School, school
from tests.integration.schema.states import refused

_nonces = count(1)


def nonce() -> bytes:
    return next(_nonces).to_bytes(32, "big")


def launch(connection: Connection, **given: Any) -> UUID:
    return row(connection, "courses.lti_launch", **{"nonce_hash": nonce(), **given})


MANIFEST = json.dumps(
    {
        "organizations": [
            {
                "identifier": "org",
                "title": "Safety",
                "items": [
                    {"identifier": "part-1", "title": "Heading only"},
                    {"identifier": "sco-1", "title": "Hazards", "resource": "r1"},
                    {"identifier": "sco-2", "title": "Exits", "resource": "r2"},
                ],
            }
        ]
    }
)


def package(place: School, **given: Any) -> UUID:
    given = {"lesson_id": place.lesson(lesson_kind="scorm"), "manifest": MANIFEST, **given}
    return row(place.connection, "courses.scorm_package", **given)


def run(place: School, made: UUID, **given: Any) -> UUID:
    return row(
        place.connection,
        "courses.scorm_attempt",
        scorm_package_id=made,
        enrollment_id=place.enrollment,
        **given,
    )


def test_an_item_with_a_resource_is_a_sco(app: Connection) -> None:
    package(school(app))
    assert app.execute("SELECT sco_count FROM courses.scorm_package").fetchone() == (2,)


def test_an_invalid_package_is_not_launched(app: Connection) -> None:
    place = school(app)
    made = package(place, validation_state="invalid", entry_point=None)
    with pytest.raises(errors.CheckViolation, match="cannot be launched"):
        run(place, made)


def test_a_package_with_warnings_is_launched(app: Connection) -> None:
    place = school(app)
    run(place, package(place, validation_state="warnings"))


def test_only_a_sco_of_the_manifest_is_launched(app: Connection) -> None:
    place = school(app)
    with pytest.raises(errors.ForeignKeyViolation, match="no SCO"):
        run(place, package(place), sco_identifier="sco-9")


def test_a_package_is_run_as_often_as_it_allows(app: Connection) -> None:
    place = school(app)
    made = package(place, max_attempts=2)
    run(place, made)
    run(place, made, attempt_no=2)
    with pytest.raises(errors.CheckViolation, match="attempted 2 times"):
        run(place, made, attempt_no=3)


RUNTIME = json.dumps(
    {
        "interactions": [
            {
                "id": "q1",
                "type": "choice",
                "learner_response": "b",
                "result": "correct",
                "latency": "PT12S",
            },
            {"id": "q2", "type": "true-false", "result": "incorrect"},
        ],
        "objectives": [{"id": "o1", "success_status": "passed", "score": {"scaled": 0.8}}],
    }
)


def test_what_courseware_asked_can_be_listed(app: Connection) -> None:
    place = school(app)
    made = run(place, package(place), runtime_data=RUNTIME)
    asked = app.execute(
        "SELECT ordinal, interaction_id, response, result, latency"
        " FROM courses.scorm_interactions(%s)",
        [made],
    ).fetchall()
    assert asked == [
        (1, "q1", "b", "correct", "PT12S"),
        (2, "q2", None, "incorrect", None),
    ]
    judged = app.execute(
        "SELECT objective_id, success_status, score_scaled::float8"
        " FROM courses.scorm_objectives(%s)",
        [made],
    ).fetchall()
    assert judged == [("o1", "passed", 0.8)]


def state(place: School, lesson: UUID) -> Any:
    return place.connection.execute(
        "SELECT state, completion_source, best_score_pct::float8 FROM courses.lesson_progress"
        " WHERE lesson_id = %s",
        [lesson],
    ).fetchone()


def test_a_package_is_done_with_its_last_sco(app: Connection) -> None:
    place = school(app)
    lesson = place.lesson(lesson_kind="scorm", completion_rule="passed")
    made = package(place, lesson_id=lesson)
    done = {"completion_status": "completed", "success_status": "passed", "score_scaled": 0.8}
    run(place, made, sco_identifier="sco-1", **done)
    assert state(place, lesson) is None
    run(place, made, sco_identifier="sco-2", **done)
    assert state(place, lesson) == ("completed", "scorm", 80.0)


def test_a_package_that_was_failed_is_not_done(app: Connection) -> None:
    place = school(app)
    lesson = place.lesson(lesson_kind="scorm", completion_rule="passed")
    made = package(place, lesson_id=lesson)
    for sco in ("sco-1", "sco-2"):
        run(
            place,
            made,
            sco_identifier=sco,
            completion_status="completed",
            success_status="failed",
            score_scaled=0.2,
        )
    assert state(place, lesson) == ("failed", None, 20.0)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"score_scaled": 1.1}, "score_scaled_bounded"),
        ({"score_scaled": -1.1}, "score_scaled_bounded"),
        ({"suspend_data": "x" * 64001}, "suspend_data_fits"),
        (
            {"started_at": "2026-05-04 10:00+00", "last_commit_at": "2026-05-04 09:59+00"},
            "commits_after_start",
        ),
        ({"total_time_seconds": -1}, "time_not_negative"),
        ({"attempt_no": 0}, "counts_from_1"),
        ({"runtime_data": '{"interactions": {"id": "q1"}}'}, "runtime_data_is_cmi"),
        ({"runtime_data": '{"interactions": [{"type": "choice"}]}'}, "runtime_data_is_cmi"),
        ({"runtime_data": '{"objectives": [{"score": {}}]}'}, "runtime_data_is_cmi"),
        ({"exit_kind": "crash"}, "exit_kind_known"),
    ],
)
def test_what_a_run_cannot_say_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    place = school(app)
    with pytest.raises(errors.CheckViolation, match=f"scorm_attempt_{truth}"):
        run(place, package(place), **columns)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"mastery_score": 101}, "mastery_score_bounded"),
        ({"max_attempts": 0}, "attempts_positive"),
        ({"entry_point": None}, "launchable_has_entry"),
        ({"standard": "scorm_99"}, "standard_known"),
    ],
)
def test_what_a_package_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"scorm_package_{truth}"):
        row(app, "courses.scorm_package", **columns)


TOOL = {
    "issuer": "https://tool.example.com",
    "login_url": "https://tool.example.com/login",
    "jwks_url": "https://tool.example.com/keys",
    "target_url": "https://tool.example.com/launch",
}


@pytest.mark.parametrize("column", sorted(TOOL))
def test_every_address_of_a_tool_is_secure(app: Connection, column: str) -> None:
    row(app, "courses.lti_tool", **TOOL)
    with pytest.raises(errors.CheckViolation, match="urls_use_https"):
        row(app, "courses.lti_tool", **{**TOOL, column: "http://tool.example.com/x"})


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"placements": ["roof"]}, "placements_known"),
        ({"privacy_level": "public", "services": ["everything"]}, "services_known"),
        ({"services": ["names_and_roles"]}, "anonymous_has_no_roster"),
    ],
)
def test_a_tool_gets_what_is_known(app: Connection, columns: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "courses.lti_tool", **TOOL, **columns)


@pytest.mark.parametrize(
    ("privacy", "told"),
    [
        ("anonymous", set()),
        ("name_only", {"name"}),
        ("email_only", {"email"}),
        ("public", {"name", "email"}),
    ],
)
def test_a_tool_is_told_no_more_than_its_level(
    app: Connection, privacy: str, told: set[str]
) -> None:
    place = school(app)
    tool = row(app, "courses.lti_tool", privacy_level=privacy, **TOOL)
    claims = sent(place, tool)
    assert {"name", "email"} & set(claims) == told


def sent(place: School, tool: UUID) -> Any:
    found = place.connection.execute(
        "SELECT courses.lti_claims(%s, %s)", [tool, place.enrollment]
    ).fetchone()
    return found and found[0]


def test_two_tools_cannot_match_a_learner(app: Connection) -> None:
    place = school(app)
    tools = [row(app, "courses.lti_tool", **TOOL) for _ in range(2)]
    first, second = (sent(place, tool) for tool in tools)
    assert first["sub"] != second["sub"]
    assert sent(place, tools[0])["sub"] == first["sub"]
    assert str(place.learner) not in json.dumps(first)


def test_a_disabled_tool_is_told_nothing(app: Connection) -> None:
    place = school(app)
    assert sent(place, row(app, "courses.lti_tool", status="disabled", **TOOL)) is None


def test_a_nonce_is_used_once_a_day(app: Connection) -> None:
    tool = row(app, "courses.lti_tool", **TOOL)
    used = nonce()
    launch(app, lti_tool_id=tool, nonce_hash=used, launched_at="2026-05-04 10:00+00")
    launch(app, lti_tool_id=tool, nonce_hash=used, launched_at="2026-05-05 10:00+00")
    with pytest.raises(errors.UniqueViolation, match="within a day"):
        launch(app, lti_tool_id=tool, nonce_hash=used, launched_at="2026-05-06 09:59+00")


def test_a_launch_replayed_at_once_is_one(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        tool = row(connection, "courses.lti_tool", **TOOL)
    used = nonce()

    def replay(connection: Connection, _: int) -> bool:
        try:
            launch(connection, lti_tool_id=tool, nonce_hash=used)
        except errors.UniqueViolation:
            connection.rollback()
            return False
        return True

    assert sorted(at_once(target, tenant, 2, replay)) == [False, True]


def test_a_returned_score_counts_on_the_lesson(app: Connection) -> None:
    place = school(app)
    lesson = place.lesson(lesson_kind="external_tool", completion_rule="passed")
    launch(
        app,
        lti_tool_id=row(app, "courses.lti_tool", **TOOL),
        lesson_id=lesson,
        enrollment_id=place.enrollment,
    )
    app.execute("UPDATE courses.lti_launch SET state = 'validated'")
    app.execute(
        "UPDATE courses.lti_launch SET state = 'completed', activity_progress = 'completed',"
        " score_given = 9, score_maximum = 10"
    )
    assert state(place, lesson) == ("completed", "lti", 90.0)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        (
            {"state": "validated", "score_given": 11, "score_maximum": 10},
            "score_at_most_maximum",
        ),
        ({"state": "validated", "score_given": 1}, "score_has_maximum"),
        ({"score_given": 1, "score_maximum": 1}, "only_valid_scores"),
        ({"activity_progress": "paused"}, "activity_progress_known"),
        ({"message_type": "shout"}, "message_type_known"),
    ],
)
def test_what_a_launch_cannot_say_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    tool = row(app, "courses.lti_tool", **TOOL)
    with pytest.raises(errors.CheckViolation, match=rf"lti_launch_{truth}"):
        imported(app, "courses.lti_launch", lti_tool_id=tool, nonce_hash=nonce(), **columns)


LAUNCH = {
    "started": {"validated", "failed"},
    "validated": {"completed", "failed"},
    "completed": set[str](),
    "failed": set[str](),
}


def move(connection: Connection, before: str, after: str) -> None:
    tool = row(connection, "courses.lti_tool", **TOOL)
    imported(
        connection,
        "courses.lti_launch",
        lti_tool_id=tool,
        nonce_hash=nonce(),
        state=before,
        failure_reason="signature",
    )
    connection.execute("UPDATE courses.lti_launch SET state = %s", [after])


@pytest.mark.parametrize(("before", "after"), [(b, a) for b in LAUNCH for a in sorted(LAUNCH[b])])
def test_a_launch_goes_where_it_may(app: Connection, before: str, after: str) -> None:
    move(app, before, after)


@pytest.mark.parametrize(("before", "after"), refused(LAUNCH))
def test_a_launch_goes_nowhere_else(app: Connection, before: str, after: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        move(app, before, after)


def test_a_failed_launch_says_why(app: Connection) -> None:
    launch(app, lti_tool_id=row(app, "courses.lti_tool", **TOOL))
    with pytest.raises(errors.CheckViolation, match="failed_says_why"):
        app.execute("UPDATE courses.lti_launch SET state = 'failed'")
