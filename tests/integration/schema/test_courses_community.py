"""Forums count what is said in them, and groups who is in them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row


def topic(app: Connection, forum: dict[str, Any] | None = None, **given: Any) -> UUID:
    course = row(app, "courses.course")
    place = row(app, "courses.discussion_forum", course_id=course, **(forum or {}))
    return row(app, "courses.discussion_topic", discussion_forum_id=place, **given)


def post(app: Connection, thread: UUID, **given: Any) -> UUID:
    return row(app, "courses.discussion_post", discussion_topic_id=thread, **given)


def counted(app: Connection) -> Any:
    return app.execute(
        "SELECT f.topic_count, f.post_count, t.reply_count, t.vote_score, t.status"
        " FROM courses.discussion_topic AS t JOIN courses.discussion_forum AS f"
        " USING (business_id, discussion_forum_id)"
    ).fetchone()


def differences(app: Connection) -> int:
    found = app.execute("SELECT count(*) FROM courses.forum_differences()").fetchone()
    assert found
    return int(found[0])


def test_counters_follow_posts_and_votes(app: Connection) -> None:
    thread = topic(app)
    first = post(app, thread)
    post(app, thread, parent_post_id=first)
    row(app, "courses.post_reaction", discussion_post_id=first, reaction="upvote")
    assert counted(app) == (1, 2, 2, 1, "open")
    app.execute("UPDATE courses.discussion_post SET moderation = 'hidden' WHERE depth = 1")
    assert counted(app) == (1, 1, 1, 1, "open")
    assert differences(app) == 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE courses.discussion_topic SET reply_count = 7",
        "UPDATE courses.discussion_forum SET post_count = 7",
        "UPDATE courses.discussion_post SET vote_score = 7",
    ],
)
def test_the_proof_finds_a_wrong_counter(app: Connection, change: str) -> None:
    post(app, topic(app))
    app.execute(change.encode())
    assert differences(app) >= 1


def test_a_reply_is_to_a_post_of_the_topic(app: Connection) -> None:
    other = post(app, topic(app))
    with pytest.raises(errors.ForeignKeyViolation):
        post(app, topic(app), parent_post_id=other)


def test_locked_places_take_no_posts(app: Connection) -> None:
    thread = topic(app)
    app.execute("UPDATE courses.discussion_forum SET is_locked = true")
    with pytest.raises(errors.CheckViolation, match="takes no posts"):
        post(app, thread)


def test_nobody_votes_for_themselves(app: Connection) -> None:
    made = post(app, topic(app))
    found = app.execute("SELECT author_user_account_id FROM courses.discussion_post").fetchone()
    assert found
    with pytest.raises(errors.CheckViolation, match="their own post"):
        row(
            app,
            "courses.post_reaction",
            discussion_post_id=made,
            user_account_id=found[0],
            reaction="upvote",
        )


def test_an_accepted_answer_answers(app: Connection) -> None:
    thread = topic(app, topic_kind="question")
    first, second = post(app, thread), post(app, thread)
    for answer in (first, second):
        app.execute("SELECT courses.accept_answer(%s)", [answer])
    key = app.execute("SELECT status, accepted_post_key FROM courses.discussion_topic").fetchone()
    assert key == ("answered", second)


def test_a_group_is_never_overfull(app: Connection) -> None:
    group = row(app, "courses.study_group", max_members=2)
    for _ in range(2):
        row(app, "courses.study_group_member", study_group_id=group, status="active")
    with pytest.raises(errors.CheckViolation, match="not_overfull"):
        row(app, "courses.study_group_member", study_group_id=group, status="active")
