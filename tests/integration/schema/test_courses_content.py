"""Content is reviewed by another, shows its current version and is captioned well enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_account, add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused


def version(connection: Connection, item: UUID, body: str = "<p>Hello world</p>") -> UUID:
    return row(connection, "courses.content_version", content_item_id=item, body=body)


def approve(connection: Connection, made: UUID, approver: UUID) -> None:
    connection.execute(
        "UPDATE courses.content_version SET review_state = 'submitted'"
        " WHERE content_version_id = %s",
        [made],
    )
    connection.execute(
        "UPDATE courses.content_version SET review_state = 'approved', approved_by = %s,"
        " approved_at = edited_at WHERE content_version_id = %s",
        [approver, made],
    )


def publish(connection: Connection, made: UUID) -> Any:
    found = connection.execute("SELECT courses.publish_content_version(%s)", [made]).fetchone()
    assert found
    return found[0]


def test_a_part_belongs_to_a_chapter_of_its_course(app: Connection) -> None:
    course = row(app, "courses.course")
    chapter = row(app, "courses.course_module", course_id=course)
    row(app, "courses.course_module", course_id=course, parent_module_id=chapter)
    with pytest.raises(errors.CheckViolation, match="two courses"):
        row(app, "courses.course_module", parent_module_id=chapter)


def test_an_outline_has_two_levels(app: Connection) -> None:
    course = row(app, "courses.course")
    chapter = row(app, "courses.course_module", course_id=course)
    part = row(app, "courses.course_module", course_id=course, parent_module_id=chapter)
    with pytest.raises(errors.CheckViolation, match="part of a part"):
        row(app, "courses.course_module", course_id=course, parent_module_id=part)


def test_a_chapter_with_parts_becomes_no_part(app: Connection) -> None:
    course = row(app, "courses.course")
    chapter = row(app, "courses.course_module", course_id=course)
    other = row(app, "courses.course_module", course_id=course)
    row(app, "courses.course_module", course_id=course, parent_module_id=chapter)
    with pytest.raises(errors.CheckViolation, match="part of a part"):
        app.execute(
            "UPDATE courses.course_module SET parent_module_id = %s WHERE course_module_id = %s",
            [other, chapter],
        )


def test_two_chapters_do_not_stand_at_one_place(app: Connection) -> None:
    course = row(app, "courses.course")
    row(app, "courses.course_module", course_id=course, sort_order=1)
    with pytest.raises(errors.UniqueViolation):
        row(app, "courses.course_module", course_id=course, sort_order=1)


def test_an_approved_version_is_what_learners_see(app: Connection, account: UUID) -> None:
    item = row(app, "courses.content_item")
    made = version(app, item)
    approve(app, made, account)
    number = publish(app, made)
    found = app.execute(
        "SELECT current_version_no, body, status FROM courses.content_item"
    ).fetchone()
    assert found == (number, "<p>Hello world</p>", "published")
    words = app.execute(
        "SELECT word_count, content_hash = sha256('<p>Hello world</p>')"
        " FROM courses.content_version"
    ).fetchone()
    assert words == (2, True)


def test_an_older_version_can_be_shown_again(app: Connection, account: UUID) -> None:
    item = row(app, "courses.content_item")
    first, second = version(app, item, "one"), version(app, item, "two")
    for made in (first, second):
        approve(app, made, account)
        publish(app, made)
    publish(app, first)
    shown = app.execute(
        "SELECT i.body, v.content_version_id FROM courses.content_item AS i"
        " JOIN courses.content_version AS v USING (business_id, content_item_id)"
        " WHERE v.is_current"
    ).fetchall()
    assert shown == [("one", first)]
    assert app.execute("SELECT * FROM courses.content_version_differences()").fetchall() == []


def test_an_item_that_shows_something_else_is_found(app: Connection, account: UUID) -> None:
    item = row(app, "courses.content_item")
    made = version(app, item)
    approve(app, made, account)
    publish(app, made)
    app.execute("UPDATE courses.content_item SET body = 'edited past the review'")
    found = app.execute(
        "SELECT content_item_id FROM courses.content_version_differences()"
    ).fetchall()
    assert found == [(item,)]


def test_what_is_not_approved_is_not_published(app: Connection) -> None:
    made = version(app, row(app, "courses.content_item"))
    with pytest.raises(errors.CheckViolation, match="not approved"):
        publish(app, made)


@pytest.mark.parametrize("state", ["submitted", "approved"])
def test_what_a_reviewer_reads_does_not_change(app: Connection, account: UUID, state: str) -> None:
    made = version(app, row(app, "courses.content_item"))
    if state == "approved":
        approve(app, made, account)
    else:
        app.execute("UPDATE courses.content_version SET review_state = 'submitted'")
    with pytest.raises(errors.CheckViolation, match="does not change"):
        app.execute("UPDATE courses.content_version SET body = 'slipped in'")


def test_two_publish_at_once_and_one_version_is_current(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        reviewer = add_account(connection, tenant, "ada")
        become_app(connection, tenant)
        item = row(connection, "courses.content_item")
        versions = [version(connection, item, text) for text in ("one", "two")]
        for made in versions:
            approve(connection, made, reviewer)
    at_once(target, tenant, 2, lambda c, number: publish(c, versions[number]))
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        found = connection.execute(
            "SELECT count(*) FROM courses.content_version WHERE is_current"
        ).fetchone()
        assert found == (1,)
        assert (
            connection.execute("SELECT * FROM courses.content_version_differences()").fetchall()
            == []
        )


@pytest.mark.parametrize(
    ("track", "counts"),
    [
        ({"origin": "human"}, True),
        ({"origin": "machine_edited", "accuracy_pct": 97}, True),
        ({"origin": "machine", "accuracy_pct": 99}, True),
        ({"origin": "machine", "accuracy_pct": 98.9}, False),
        ({"origin": "machine"}, False),
        ({"origin": "human", "status": "draft"}, False),
        ({"origin": "human", "status": "outdated"}, False),
        ({"origin": "human", "track_kind": "subtitles"}, False),
    ],
)
def test_machine_captions_count_when_they_are_right(
    app: Connection, track: dict[str, Any], counts: bool
) -> None:
    course = row(app, "courses.course")
    module = row(app, "courses.course_module", course_id=course)
    lesson = row(app, "courses.lesson", course_module_id=module)
    film = row(
        app,
        "courses.content_item",
        lesson_id=lesson,
        content_kind="video",
        file_object_id=row(app, "system_core.file_object"),
        duration_seconds=90,
    )
    app.execute("UPDATE courses.content_item SET status = 'published'")
    row(
        app,
        "courses.caption_track",
        content_item_id=film,
        **{"track_kind": "captions", "status": "published", **track},
    )
    found = app.execute(
        "SELECT content_item_id FROM courses.media_without_captions(%s)", [course]
    ).fetchall()
    assert found == ([] if counts else [(film,)])


def test_one_track_of_a_kind_comes_on_by_itself(app: Connection) -> None:
    film = row(app, "courses.content_item")
    row(app, "courses.caption_track", content_item_id=film, is_default=True)
    with pytest.raises(errors.UniqueViolation, match="default"):
        row(
            app,
            "courses.caption_track",
            content_item_id=film,
            is_default=True,
            language_code="es-MX",
        )


def test_an_audio_form_is_made_once(app: Connection) -> None:
    film = row(app, "courses.content_item")
    given = {"content_item_id": film, "rendition_kind": "audio_only", "height": None}
    row(app, "courses.media_rendition", **given)
    with pytest.raises(errors.UniqueViolation):
        row(app, "courses.media_rendition", **given)


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("course_module", {"requirement": "minimum_score"}, "score_for_minimum_score"),
        ("course_module", {"minimum_score_pct": 60}, "score_for_minimum_score"),
        (
            "course_module",
            {"requirement": "minimum_score", "minimum_score_pct": 101},
            "score_bounded",
        ),
        ("course_module", {"unlock_after_days": -1}, "unlocks_after_start"),
        ("course_module", {"sort_order": -1}, "sort_order_not_negative"),
        ("course_module", {"estimated_minutes": -1}, "takes_time"),
        ("course_module", {"requirement": "some"}, "requirement_known"),
        (
            "lesson",
            {"lesson_kind": "video", "completion_rule": "minimum_watch"},
            "minimum_watch_has_share",
        ),
        ("lesson", {"minimum_watch_pct": 80}, "minimum_watch_has_share"),
        (
            "lesson",
            {
                "lesson_kind": "video",
                "completion_rule": "minimum_watch",
                "minimum_watch_pct": 101,
            },
            "minimum_watch_bounded",
        ),
        (
            "lesson",
            {"completion_rule": "minimum_watch", "minimum_watch_pct": 80},
            "watched_is_film_or_sound",
        ),
        ("lesson", {"completion_rule": "minimum_time"}, "minimum_time_has_seconds"),
        (
            "lesson",
            {"completion_rule": "minimum_time", "minimum_seconds": 0},
            "minimum_seconds_positive",
        ),
        ("lesson", {"completion_rule": "passed"}, "handed_in_or_passed_is_work"),
        ("lesson", {"completion_rule": "submitted"}, "handed_in_or_passed_is_work"),
        (
            "lesson",
            {"is_preview": True, "lesson_kind": "assessment"},
            "preview_is_no_assessment",
        ),
        ("lesson", {"points_possible": -1}, "points_not_negative"),
        ("lesson", {"lesson_kind": "dance"}, "kind_known"),
        ("content_item", {"content_kind": "video"}, "file_kinds_have_file"),
        ("content_item", {"content_kind": "h5p"}, "file_kinds_have_file"),
        ("content_item", {"content_kind": "embed"}, "linked_kinds_have_url"),
        ("content_item", {"content_kind": "link"}, "linked_kinds_have_url"),
        ("content_item", {"duration_seconds": -1}, "duration_not_negative"),
        ("content_item", {"reading_level": "easy"}, "reading_level_cefr"),
        ("content_item", {"current_version_no": 0}, "version_counts_from_1"),
        ("content_version", {"version_no": 0}, "counts_from_1"),
        ("content_version", {"is_current": True}, "current_is_published"),
        ("content_version", {"published_at": "2026-05-04"}, "only_approved_is_published"),
        ("media_rendition", {"width": 10, "height": None}, "picture_has_both_sides"),
        ("media_rendition", {"height": None, "bitrate_kbps": 0}, "sizes_positive"),
        (
            "media_rendition",
            {"rendition_kind": "audio_only", "width": 10, "height": 10},
            "sound_has_no_picture",
        ),
        ("caption_track", {"accuracy_pct": 101}, "accuracy_bounded"),
        ("caption_track", {"word_count": -1}, "words_not_negative"),
        ("release_rule", {"rule_kind": "manual"}, "opens_one_thing"),
        ("accessibility_issue", {"criterion_code": "5.1.1"}, "criterion_of_wcag"),
        ("accessibility_issue", {"status": "waived"}, "waived_says_why"),
        ("accessibility_issue", {"status": "fixed"}, "fixed_has_time"),
        ("accessibility_issue", {"fixed_at": "2036-01-01"}, "fixed_has_time"),
        (
            "accessibility_issue",
            {"status": "fixed", "found_at": "2026-05-04", "fixed_at": "2026-05-03"},
            "fixed_after_found",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    given = dict(columns)
    if table == "media_rendition":
        given.setdefault("width", None if given.get("height", 1) is None else 1)
    with pytest.raises(errors.CheckViolation, match=rf"{table}_{truth}"):
        row(app, f"courses.{table}", **given)


def test_an_editor_does_not_approve_their_own_work(app: Connection, account: UUID) -> None:
    made = row(app, "courses.content_version", edited_by=account)
    with pytest.raises(errors.CheckViolation, match="four_eyes"):
        approve(app, made, account)


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("encode_state = 'ready', duration_seconds = 0", "ready_has_duration"),
        ("encode_state = 'ready', duration_seconds = 60", "ready_has_time"),
        ("encode_state = 'failed'", "failed_says_why"),
    ],
)
def test_a_rendition_is_ready_or_says_why_not(app: Connection, change: str, truth: str) -> None:
    row(app, "courses.media_rendition", width=426)
    app.execute("UPDATE courses.media_rendition SET encode_state = 'encoding'")
    with pytest.raises(errors.CheckViolation, match=truth):
        app.execute(f"UPDATE courses.media_rendition SET {change}".encode())


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"rule_kind": "on_date"}, "says_what_its_kind_needs"),
        ({"rule_kind": "days_after_start"}, "says_what_its_kind_needs"),
        ({"rule_kind": "after_item"}, "says_what_its_kind_needs"),
        ({"rule_kind": "minimum_score", "minimum_score_pct": 60}, "says_what_its_kind_needs"),
        ({"rule_kind": "member_of"}, "says_what_its_kind_needs"),
        ({"offset_days": -1}, "offset_not_negative"),
        ({"minimum_score_pct": 101}, "score_bounded"),
        (
            {"available_from": "2026-05-04", "available_until": "2026-05-04"},
            "until_after_from",
        ),
    ],
)
def test_a_release_rule_says_when(app: Connection, columns: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"release_rule_{truth}"):
        row(app, "courses.release_rule", lesson_id=row(app, "courses.lesson"), **columns)


def test_a_lesson_does_not_wait_for_itself(app: Connection) -> None:
    lesson = row(app, "courses.lesson")
    with pytest.raises(errors.CheckViolation, match="not_after_itself"):
        row(
            app,
            "courses.release_rule",
            rule_kind="after_item",
            lesson_id=lesson,
            after_lesson_id=lesson,
        )


MACHINES: dict[str, tuple[str, dict[str, set[str]]]] = {
    "content_item": (
        "status",
        {
            "draft": {"review", "published", "retired"},
            "review": {"draft", "published", "retired"},
            "published": {"draft", "retired"},
            "retired": {"draft"},
        },
    ),
    "content_version": (
        "review_state",
        {
            "draft": {"submitted"},
            "submitted": {"draft", "approved", "rejected"},
            "rejected": {"draft"},
            "approved": set(),
        },
    ),
    "media_rendition": (
        "encode_state",
        {
            "queued": {"encoding", "failed"},
            "encoding": {"ready", "failed"},
            "failed": {"queued"},
            "ready": {"queued"},
        },
    ),
}


def given_in(connection: Connection, table: str, state: str) -> dict[str, Any]:
    """Columns that a row needs in any state that it may reach."""
    if table == "content_version" and state == "approved":
        return {
            "approved_by": row(connection, "user_mgmt.user_account"),
            "approved_at": "2036-01-01",
        }
    if table == "media_rendition":
        return {
            "width": 426,
            "duration_seconds": 60,
            "encoded_at": "2026-05-04",
            "error_detail": "none yet",
        }
    return {}


def move(connection: Connection, table: str, before: str, after: str) -> None:
    column = MACHINES[table][0]
    imported(
        connection, f"courses.{table}", **{column: before}, **given_in(connection, table, before)
    )
    values = {column: after}
    if table == "content_version":
        extra = given_in(connection, table, after)
        values |= {"approved_by": None, "approved_at": None} | extra
    connection.execute(
        sql.SQL("UPDATE {} SET {}").format(
            sql.Identifier("courses", table),
            sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values),
        ),
        list(values.values()),
    )


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [(t, b, a) for t, (_, m) in MACHINES.items() for b in m for a in sorted(m[b])],
)
def test_a_state_goes_where_it_may(app: Connection, table: str, before: str, after: str) -> None:
    move(app, table, before, after)


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [(t, b, a) for t, (_, m) in MACHINES.items() for b, a in refused(m)],
)
def test_a_state_goes_nowhere_else(app: Connection, table: str, before: str, after: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        move(app, table, before, after)
