"""Forums count what is said in them, keep it in place, and lose no reply and no vote."""

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import after, at_once
from tests.integration.schema.playing import levels, standing
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused

TOPIC = {
    "open": ["answered", "locked", "hidden"],
    "answered": ["open", "locked", "hidden"],
    "locked": ["open", "answered", "hidden"],
    "hidden": ["open", "answered"],
}
ALLOWED = [(before, to) for before, following in TOPIC.items() for to in following]


def forum(app: Connection, **given: Any) -> UUID:
    given = given if {"course_section_id", "study_group_id"} & given.keys() else given | course(app)
    return row(app, "courses.discussion_forum", **given)


def course(app: Connection) -> dict[str, Any]:
    return {"course_id": row(app, "courses.course")}


def topic(app: Connection, place: UUID | None = None, **given: Any) -> UUID:
    place = place or forum(app)
    return row(app, "courses.discussion_topic", discussion_forum_id=place, **given)


def post(app: Connection, thread: UUID, **given: Any) -> UUID:
    return row(app, "courses.discussion_post", discussion_topic_id=thread, **given)


def react(app: Connection, made: UUID, reaction: str = "upvote", **given: Any) -> UUID:
    given = {"report_reason": "spam" if reaction == "report" else "none", **given}
    return row(app, "courses.post_reaction", discussion_post_id=made, reaction=reaction, **given)


def set_to(app: Connection, table: str, key: UUID | None = None, **given: Any) -> int:
    statement = sql.SQL("UPDATE courses.{} SET {} WHERE {} = coalesce(%s, {})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(c)) for c in given),
        *[sql.Identifier(f"{table}_id")] * 2,
    )
    return app.execute(statement, [*given.values(), key]).rowcount


def counted(app: Connection) -> Any:
    return app.execute(
        "SELECT f.topic_count, f.post_count, t.reply_count, t.vote_score, t.status"
        " FROM courses.discussion_topic AS t JOIN courses.discussion_forum AS f"
        " USING (business_id, discussion_forum_id)"
    ).fetchone()


def score(app: Connection, made: UUID) -> Any:
    found = app.execute(
        "SELECT vote_score, moderation FROM courses.discussion_post WHERE discussion_post_id = %s",
        [made],
    ).fetchone()
    assert found
    return found


def differences(app: Connection) -> int:
    found = app.execute("SELECT count(*) FROM courses.forum_differences()").fetchone()
    assert found
    return int(found[0])


def accept(app: Connection, answer: UUID) -> Any:
    found = app.execute("SELECT courses.accept_answer(%s)", [answer]).fetchone()
    assert found
    return found[0]


def answered(app: Connection) -> Any:
    return app.execute("SELECT status, accepted_post_key FROM courses.discussion_topic").fetchone()


def test_counters_follow_posts_and_votes(app: Connection) -> None:
    thread = topic(app)
    first = post(app, thread)
    post(app, thread, parent_post_id=first)
    react(app, first)
    assert counted(app) == (1, 2, 2, 1, "open")
    app.execute("UPDATE courses.discussion_post SET moderation = 'hidden' WHERE depth = 1")
    assert counted(app) == (1, 1, 1, 1, "open")
    assert differences(app) == 0


def test_what_is_deleted_is_not_counted(app: Connection) -> None:
    thread = topic(app)
    post(app, thread)
    app.execute("DELETE FROM courses.discussion_post")
    assert counted(app) == (1, 0, 0, 0, "open")
    app.execute("DELETE FROM courses.discussion_topic")
    left = app.execute("SELECT topic_count FROM courses.discussion_forum").fetchone()
    assert left == (0,)


def test_a_hidden_topic_is_not_counted(app: Connection) -> None:
    post(app, topic(app))
    set_to(app, "discussion_topic", status="hidden", hidden_reason="asked before")
    assert counted(app) == (0, 0, 1, 0, "hidden")
    set_to(app, "discussion_topic", status="open")
    assert counted(app) == (1, 1, 1, 0, "open")
    assert differences(app) == 0


def test_a_topic_that_moves_takes_its_posts_along(app: Connection) -> None:
    post(app, topic(app))
    set_to(app, "discussion_topic", discussion_forum_id=forum(app))
    assert counted(app) == (1, 1, 1, 0, "open")
    assert differences(app) == 0


def test_the_last_activity_is_the_last_post(app: Connection) -> None:
    thread = topic(app, last_activity_at="2026-05-04 10:00+00")
    for moment in ("2026-05-06 10:00+00", "2026-05-05 10:00+00"):
        post(app, thread, posted_at=moment)
    found = app.execute(
        "SELECT last_activity_at::text, last_post_at = last_activity_at"
        " FROM courses.discussion_topic JOIN courses.discussion_forum"
        " USING (business_id, discussion_forum_id)"
    ).fetchone()
    assert found == ("2026-05-06 10:00:00+00", True)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE courses.discussion_topic SET reply_count = 7",
        "UPDATE courses.discussion_forum SET post_count = 7",
        "UPDATE courses.discussion_forum SET topic_count = 7",
        "UPDATE courses.discussion_post SET vote_score = 7",
    ],
)
def test_the_proof_finds_a_wrong_counter(app: Connection, change: str) -> None:
    post(app, topic(app))
    app.execute(change.encode())
    assert differences(app) >= 1


def test_a_tree_of_posts_has_nine_levels(app: Connection) -> None:
    thread = topic(app)
    last = post(app, thread)
    for _ in range(8):
        last = post(app, thread, parent_post_id=last, depth=7)
    depths = app.execute("SELECT depth FROM courses.discussion_post ORDER BY depth").fetchall()
    assert [depth for (depth,) in depths] == list(range(9))
    with pytest.raises(errors.CheckViolation, match="depth_bounded"):
        post(app, thread, parent_post_id=last)


def test_a_reply_is_to_a_post_of_the_topic(app: Connection) -> None:
    other = post(app, topic(app))
    with pytest.raises(errors.ForeignKeyViolation):
        post(app, topic(app), parent_post_id=other)


@pytest.mark.parametrize(
    "change",
    [
        {"posted_at": "2026-05-04 10:00+00"},
        {"depth": 2},
        {"parent_post_id": uuid4()},
        {"discussion_topic_id": uuid4()},
        {"author_user_account_id": uuid4()},
    ],
)
def test_a_post_stays_where_it_was_written(app: Connection, change: dict[str, Any]) -> None:
    post(app, topic(app))
    with pytest.raises(errors.RestrictViolation, match="stays where it was written"):
        set_to(app, "discussion_post", **change)


def test_locked_places_take_no_posts(app: Connection) -> None:
    thread = topic(app)
    set_to(app, "discussion_forum", is_locked=True, title="Old news")
    with pytest.raises(errors.CheckViolation, match='"Old news" takes no posts'):
        post(app, thread)


@pytest.mark.parametrize("status", ["locked", "hidden"])
def test_a_closed_topic_takes_no_posts(app: Connection, status: str) -> None:
    thread = topic(app)
    set_to(app, "discussion_topic", status=status, hidden_reason="asked before")
    with pytest.raises(errors.CheckViolation, match="takes no posts"):
        post(app, thread)


def test_a_locked_forum_takes_no_topics(app: Connection) -> None:
    place = forum(app, title="Old news", is_locked=True)
    with pytest.raises(errors.CheckViolation, match='"Old news" is locked'):
        topic(app, place)


def teacher(app: Connection, **given: Any) -> Any:
    made = row(app, "courses.instructor", **given)
    found = app.execute(
        "SELECT user_account_id FROM courses.instructor WHERE instructor_id = %s", [made]
    ).fetchone()
    assert found
    return found[0]


def test_only_instructors_write_where_only_they_may(app: Connection) -> None:
    place, known = forum(app, title="News", posting="instructors"), teacher(app)
    for author in (None, teacher(app, status="ended")):
        given = {"author_user_account_id": author} if author else {}
        with (
            pytest.raises(errors.InsufficientPrivilege, match='instructors write in forum "News"'),
            app.transaction(),
        ):
            topic(app, place, **given)
    thread = topic(app, place, author_user_account_id=known)
    with pytest.raises(errors.InsufficientPrivilege, match="only instructors"), app.transaction():
        post(app, thread)
    assert post(app, thread, author_user_account_id=known)


@pytest.mark.parametrize(
    ("posting", "body", "moderation"),
    [
        ("everyone", "The second row.", "visible"),
        ("everyone", "You idiot", "flagged"),
        ("moderated", "The second row.", "hidden"),
    ],
)
def test_what_is_posted_is_looked_at(
    app: Connection, posting: str, body: str, moderation: str
) -> None:
    post(app, topic(app, forum(app, posting=posting)), body=body, moderation="visible")
    found = app.execute("SELECT moderation FROM courses.discussion_post").fetchone()
    assert found == (moderation,)
    assert counted(app)[2] == (0 if moderation == "hidden" else 1)
    assert differences(app) == 0


def test_a_moderator_lets_a_post_through(app: Connection) -> None:
    post(app, topic(app, forum(app, posting="moderated")))
    set_to(app, "discussion_post", moderation="visible")
    assert counted(app) == (1, 1, 1, 0, "open")


def test_a_reply_of_an_instructor_is_shown_as_one(app: Connection) -> None:
    thread = topic(app, forum(app, posting="moderated"))
    post(app, thread, author_user_account_id=teacher(app))
    post(app, thread, is_instructor_reply=True)
    found = app.execute(
        "SELECT is_instructor_reply, moderation FROM courses.discussion_post ORDER BY 1"
    ).fetchall()
    assert found == [(False, "hidden"), (True, "visible")]


@pytest.mark.parametrize(("body", "words"), [("one", 1), ("  two\n words ", 2), ("a, b - c", 4)])
def test_words_are_counted(app: Connection, body: str, words: int) -> None:
    post(app, topic(app), body=body)
    found = app.execute("SELECT word_count FROM courses.discussion_post").fetchone()
    assert found == (words,)


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({"body": " "}, "says_something"),
        ({"edited_at": "2000-01-01"}, "changed_after_posting"),
        ({"deleted_at": "2000-01-01", "moderation": "removed"}, "changed_after_posting"),
        ({"deleted_at": "2099-01-01"}, "deleted_is_removed"),
        ({"toxicity_score": 1.1}, "toxicity_is_a_share"),
        ({"toxicity_score": -0.1}, "toxicity_is_a_share"),
        ({"is_accepted_answer": True, "moderation": "hidden"}, "accepted_is_visible"),
        ({"moderation": "burnt"}, "moderation_known"),
    ],
)
def test_a_post_holds_together(app: Connection, given: dict[str, Any], check: str) -> None:
    thread = topic(app, topic_kind="question")
    with pytest.raises(errors.CheckViolation, match=check):
        imported(app, "courses.discussion_post", discussion_topic_id=thread, **given)


def test_a_removed_post_may_be_empty(app: Connection) -> None:
    post(app, topic(app))
    gone: dict[str, Any] = {"body": "", "moderation": "removed", "deleted_at": "2099-01-01"}
    assert set_to(app, "discussion_post", **gone) == 1


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({}, "of_one_thing"),
        ({"course_id": ..., "course_section_id": ...}, "of_one_thing"),
        ({"course_id": ..., "visibility": "section"}, "seen_by_whose_it_is"),
        ({"course_section_id": ..., "visibility": "group"}, "seen_by_whose_it_is"),
        ({"course_id": ..., "forum_kind": "market"}, "kind_known"),
        ({"course_id": ..., "posting": "robots"}, "posting_known"),
        ({"course_id": ..., "visibility": "world"}, "visibility_known"),
        ({"course_id": ..., "post_count": -1}, "counts_not_negative"),
    ],
)
def test_a_forum_belongs_to_something(app: Connection, given: dict[str, Any], check: str) -> None:
    with pytest.raises(errors.CheckViolation, match=check):
        row(app, "courses.discussion_forum", **given)


@pytest.mark.parametrize(
    "given",
    [
        {"course_section_id": ..., "visibility": "section"},
        {"study_group_id": ..., "visibility": "group"},
        {"course_id": ..., "visibility": "business"},
    ],
)
def test_a_forum_is_seen_by_whose_it_is(app: Connection, given: dict[str, Any]) -> None:
    assert row(app, "courses.discussion_forum", **given)


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({"title": " "}, "says_something"),
        ({"body": "\n"}, "says_something"),
        ({"view_count": -1}, "counts_not_negative"),
        ({"status": "hidden"}, "hidden_for_a_reason"),
        ({"status": "hidden", "hidden_reason": " "}, "hidden_for_a_reason"),
        ({"status": "answered", "topic_kind": "question"}, "answered_has_answer"),
        ({"status": "answered", "accepted_post_key": uuid4()}, "answer_is_accepted"),
        ({"topic_kind": "question", "accepted_post_key": uuid4()}, "answer_is_accepted"),
        ({"topic_kind": "song"}, "kind_known"),
    ],
)
def test_a_topic_holds_together(app: Connection, given: dict[str, Any], check: str) -> None:
    place = forum(app)
    with pytest.raises(errors.CheckViolation, match=check):
        imported(app, "courses.discussion_topic", discussion_forum_id=place, **given)


def question_in(app: Connection, status: str) -> UUID:
    """A question with an accepted answer unless it is open."""
    thread = topic(app, topic_kind="question")
    if status != "open":
        accept(app, post(app, thread))
    if status not in ("open", "answered"):
        set_to(app, "discussion_topic", status=status, hidden_reason="asked before")
    return thread


@pytest.mark.parametrize(("before", "to"), ALLOWED)
def test_a_topic_moves_on(app: Connection, before: str, to: str) -> None:
    question_in(app, before)
    accepted = {"accepted_post_key": uuid4()} if to == "answered" else {}
    dropped = {"accepted_post_key": None} if to == "open" else {}
    moved: dict[str, Any] = {"status": to, "hidden_reason": "asked before", **accepted, **dropped}
    assert set_to(app, "discussion_topic", **moved) == 1


def test_a_topic_moves_nowhere_else(app: Connection) -> None:
    assert refused(TOPIC) == [("hidden", "locked")]
    question_in(app, "hidden")
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        set_to(app, "discussion_topic", status="locked")


def test_a_topic_begins_open(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation):
        topic(app, status="locked")


def test_an_accepted_answer_answers(app: Connection) -> None:
    thread = topic(app, topic_kind="question")
    first, second = post(app, thread), post(app, thread)
    assert [accept(app, first), accept(app, second), accept(app, second)] == [True, True, False]
    assert answered(app) == ("answered", second)
    marked = app.execute(
        "SELECT discussion_post_id FROM courses.discussion_post WHERE is_accepted_answer"
    ).fetchall()
    assert marked == [(second,)]


def test_an_answer_that_is_taken_back_leaves_it_open(app: Connection) -> None:
    accept(app, post(app, topic(app, topic_kind="question")))
    set_to(app, "discussion_post", is_accepted_answer=False)
    assert answered(app) == ("open", None)


def test_a_locked_question_keeps_its_answer(app: Connection) -> None:
    thread = topic(app, topic_kind="question")
    answer = post(app, thread)
    accept(app, answer)
    set_to(app, "discussion_topic", status="locked")
    assert answered(app) == ("locked", answer)


@pytest.mark.parametrize(
    ("kind", "status"), [("discussion", "open"), ("question", "locked"), ("question", "hidden")]
)
def test_only_an_open_question_is_answered(app: Connection, kind: str, status: str) -> None:
    answer = post(app, topic(app, topic_kind=kind))
    set_to(app, "discussion_topic", status=status, hidden_reason="asked before")
    with pytest.raises(errors.CheckViolation, match="answer to an open question"):
        accept(app, answer)


def test_what_nobody_wrote_answers_nothing(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="answer to an open question"):
        accept(app, uuid4())


def test_a_hidden_post_is_not_accepted(app: Connection) -> None:
    answer = post(app, topic(app, topic_kind="question"))
    set_to(app, "discussion_post", moderation="hidden")
    with pytest.raises(errors.CheckViolation, match="accepted_is_visible"):
        accept(app, answer)


def account_of(app: Connection, learner: UUID) -> Any:
    found = app.execute(
        "SELECT user_account_id FROM courses.learner WHERE learner_id = %s", [learner]
    ).fetchone()
    assert found
    return found[0]


@pytest.mark.parametrize(("own", "points"), [(False, 15), (True, 0)])
def test_an_accepted_answer_earns_once_and_not_for_ones_own(
    app: Connection, own: bool, points: int
) -> None:
    levels(app)
    row(app, "courses.point_rule", action="answer_accepted", points=15)
    learner = row(app, "courses.learner")
    account = account_of(app, learner)
    asker = {"author_user_account_id": account} if own else {}
    thread = topic(app, topic_kind="question", **asker)
    answers = [post(app, thread, author_user_account_id=account) for _ in range(2)]
    for answer in answers:
        accept(app, answer)
    assert (standing(app, learner) or (0, 0)) == (points, points)


@pytest.mark.parametrize(
    ("votes", "result"),
    [
        ([("upvote", 1), ("upvote", 3)], 4),
        ([("upvote", 1), ("downvote", 1)], 0),
        ([("downvote", 2)], -2),
        ([("like", 1), ("insightful", 1), ("thanks", 1)], 0),
    ],
)
def test_votes_have_weight(app: Connection, votes: list[tuple[str, int]], result: int) -> None:
    made = post(app, topic(app))
    for reaction, weight in votes:
        react(app, made, reaction, weight=weight)
    assert score(app, made)[0] == result
    assert counted(app)[3] == result
    assert differences(app) == 0


@pytest.mark.parametrize(("reaction", "points"), [("upvote", 4), ("downvote", 0), ("like", 0)])
def test_a_vote_up_earns_for_who_wrote_it(app: Connection, reaction: str, points: int) -> None:
    levels(app)
    row(app, "courses.point_rule", action="post_upvoted", points=2)
    learner = row(app, "courses.learner")
    made = post(app, topic(app), author_user_account_id=account_of(app, learner))
    for moment in ("2026-05-04 12:00+00", "2026-05-05 12:00+00"):
        react(app, made, reaction, reacted_at=moment)
    react(app, post(app, topic(app)))
    assert (standing(app, learner) or (0, 0)) == (points, points)


def test_a_vote_that_is_withdrawn_or_deleted_no_longer_counts(app: Connection) -> None:
    made = post(app, topic(app))
    first, _ = react(app, made), react(app, made)
    set_to(app, "post_reaction", first, withdrawn_at="2099-01-01", is_counted=False)
    assert score(app, made)[0] == 1
    app.execute("DELETE FROM courses.post_reaction")
    assert score(app, made)[0] == 0
    assert differences(app) == 0


def test_a_vote_that_moves_counts_where_it_is(app: Connection) -> None:
    thread = topic(app)
    old, new = post(app, thread), post(app, thread)
    react(app, old)
    set_to(app, "post_reaction", discussion_post_id=new)
    assert (score(app, old)[0], score(app, new)[0]) == (0, 1)


def test_a_vote_is_up_or_down(app: Connection) -> None:
    made, voter = post(app, topic(app)), row(app, "user_mgmt.user_account")
    first = react(app, made, user_account_id=voter)
    react(app, made, "like", user_account_id=voter)
    with pytest.raises(errors.UniqueViolation, match="one_vote"), app.transaction():
        react(app, made, "downvote", user_account_id=voter)
    set_to(app, "post_reaction", first, withdrawn_at="2099-01-01", is_counted=False)
    react(app, made, "downvote", user_account_id=voter)
    assert score(app, made)[0] == -1


def test_nobody_votes_for_themselves(app: Connection) -> None:
    made = post(app, topic(app))
    react(app, made)
    author = app.execute("SELECT author_user_account_id FROM courses.discussion_post").fetchone()
    assert author
    with pytest.raises(errors.CheckViolation, match="their own post"), app.transaction():
        react(app, made, user_account_id=author[0])
    with pytest.raises(errors.CheckViolation, match="their own post"):
        set_to(app, "post_reaction", user_account_id=author[0])


def test_three_reports_flag_a_post(app: Connection) -> None:
    made = post(app, topic(app))
    seen = []
    for _ in range(3):
        react(app, made, "report")
        seen.append(score(app, made))
    assert seen == [(0, "visible"), (0, "visible"), (0, "flagged")]
    set_to(app, "discussion_post", moderation="hidden")
    react(app, made, "report")
    assert score(app, made) == (0, "hidden")


@pytest.mark.parametrize(
    ("reaction", "given", "check"),
    [
        ("report", {"report_reason": "none"}, "report_has_reason"),
        ("like", {"report_reason": "spam"}, "report_has_reason"),
        ("report", {"report_reason": "envy"}, "report_reason_known"),
        ("upvote", {"weight": 0}, "weight_bounded"),
        ("upvote", {"weight": 6}, "weight_bounded"),
        ("upvote", {"withdrawn_at": "2099-01-01"}, "withdrawn_is_not_counted"),
        ("upvote", {"withdrawn_at": "2000-01-01", "is_counted": False}, "withdrawn_after"),
        ("upvote", {"source": "fax"}, "source_known"),
    ],
)
def test_a_reaction_holds_together(
    app: Connection, reaction: str, given: dict[str, Any], check: str
) -> None:
    made = post(app, topic(app))
    with pytest.raises(errors.CheckViolation, match=check):
        react(app, made, reaction, **given)


@pytest.fixture
def town(deployed: Target, copy_of: Callable[[Target], Target]) -> tuple[Target, UUID]:
    """A database of the test's own with a tenant."""
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        return target, add_tenant(connection, "first")


def both(
    town: tuple[Target, UUID],
    build: Callable[[Connection], Any],
    first: Callable[[Connection, Any], Any],
    second: Callable[[Connection, Any], Any],
    check: Callable[[Connection, Any], Any],
) -> None:
    """What two did of whom the second began before the first was done."""
    target, tenant = town
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        built = build(connection)
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        first(connection, built)
        after(target, tenant, connection, lambda other: second(other, built))
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        check(connection, built)
        assert differences(connection) == 0


def three_posts(app: Connection) -> tuple[UUID, list[UUID], list[UUID]]:
    """A question with three posts, and two people who read it."""
    thread = topic(app, topic_kind="question")
    people = [row(app, "user_mgmt.user_account") for _ in range(2)]
    return thread, [post(app, thread) for _ in range(3)], people


def test_two_votes_at_once_are_two(town: tuple[Target, UUID]) -> None:
    def check(app: Connection, built: Any) -> None:
        assert score(app, built[1][0])[0] == 2

    both(
        town,
        three_posts,
        lambda app, built: react(app, built[1][0], user_account_id=built[2][0]),
        lambda app, built: react(app, built[1][0], user_account_id=built[2][1]),
        check,
    )


def test_two_votes_for_different_posts_are_two(town: tuple[Target, UUID]) -> None:
    def check(app: Connection, _: Any) -> None:
        assert counted(app)[3] == 2

    both(
        town,
        three_posts,
        lambda app, built: react(app, built[1][0], user_account_id=built[2][0]),
        lambda app, built: react(app, built[1][1], user_account_id=built[2][1]),
        check,
    )


def test_two_replies_at_once_are_two(town: tuple[Target, UUID]) -> None:
    def check(app: Connection, _: Any) -> None:
        assert counted(app)[:3] == (1, 5, 5)

    both(
        town,
        three_posts,
        lambda app, built: post(app, built[0], author_user_account_id=built[2][0]),
        lambda app, built: post(app, built[0], author_user_account_id=built[2][1]),
        check,
    )


def test_two_posts_that_are_hidden_at_once_are_both_gone(town: tuple[Target, UUID]) -> None:
    def check(app: Connection, _: Any) -> None:
        assert counted(app)[:3] == (1, 1, 1)

    both(
        town,
        three_posts,
        lambda app, built: set_to(app, "discussion_post", built[1][0], moderation="hidden"),
        lambda app, built: set_to(app, "discussion_post", built[1][1], moderation="hidden"),
        check,
    )


def test_two_topics_that_are_hidden_at_once_are_both_gone(town: tuple[Target, UUID]) -> None:
    gone: dict[str, Any] = {"status": "hidden", "hidden_reason": "asked before"}

    def build(app: Connection) -> list[UUID]:
        place = forum(app)
        return [topic(app, place) for _ in range(3)]

    def check(app: Connection, _: Any) -> None:
        assert counted(app)[0] == 1

    both(
        town,
        build,
        lambda app, built: set_to(app, "discussion_topic", built[0], **gone),
        lambda app, built: set_to(app, "discussion_topic", built[1], **gone),
        check,
    )


def test_a_topic_that_is_looked_at_waits_for_no_other(town: tuple[Target, UUID]) -> None:
    def build(app: Connection) -> list[UUID]:
        place = forum(app)
        return [topic(app, place), topic(app, place), row(app, "user_mgmt.user_account")]

    def look(app: Connection, built: list[UUID]) -> None:
        app.execute("SET LOCAL lock_timeout = '200ms'")
        set_to(app, "discussion_topic", built[1], view_count=1)

    both(
        town,
        build,
        lambda app, built: post(app, built[0], author_user_account_id=built[2]),
        look,
        lambda app, built: None,
    )


def test_two_answers_accepted_at_once_are_one(town: tuple[Target, UUID]) -> None:
    def check(app: Connection, built: Any) -> None:
        assert answered(app) == ("answered", built[1][1])

    both(
        town,
        three_posts,
        lambda app, built: accept(app, built[1][0]),
        lambda app, built: accept(app, built[1][1]),
        check,
    )


def test_nobody_waits_in_a_circle(town: tuple[Target, UUID]) -> None:
    target, tenant = town
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        thread, posts, _ = three_posts(connection)
        people = [row(connection, "user_mgmt.user_account") for _ in range(24)]
    ready = Barrier(4)

    def busy(connection: Connection, number: int) -> None:
        ready.wait(30)
        for turn in range(6):
            person = people[number * 6 + turn]
            if number == 0:
                post(connection, thread, author_user_account_id=person)
            elif number == 1:
                accept(connection, posts[turn % 3])
            elif number == 2:
                react(connection, posts[turn % 3], user_account_id=person)
            else:
                react(connection, posts[2 - turn % 3], user_account_id=person)
            connection.commit()
            become_app(connection, tenant)

    at_once(target, tenant, 4, busy)
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert counted(connection)[:4] == (1, 9, 9, 12)
        assert differences(connection) == 0
