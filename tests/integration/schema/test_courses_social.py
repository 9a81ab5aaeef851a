"""Groups hold who is in them, mentors are others, notes are decent, announcements reach a class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import after
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused

GROUP = {
    "forming": ["active", "closed"],
    "active": ["dormant", "closed"],
    "dormant": ["active", "closed"],
    "closed": [],
}
MEMBER = {
    "invited": ["active", "left", "removed"],
    "requested": ["active", "left", "removed"],
    "active": ["left", "removed"],
    "left": [],
    "removed": [],
}
PAIRING = {
    "proposed": ["active", "ended_early"],
    "active": ["paused", "completed", "ended_early"],
    "paused": ["active", "ended_early"],
    "completed": [],
    "ended_early": [],
}
ANNOUNCEMENT = {
    "draft": ["scheduled", "sent", "withdrawn"],
    "scheduled": ["draft", "sent", "withdrawn"],
    "sent": ["withdrawn"],
    "withdrawn": [],
}
MACHINES = {
    "study_group": GROUP,
    "study_group_member": MEMBER,
    "mentor_pairing": PAIRING,
    "course_announcement": ANNOUNCEMENT,
}
LEFT = {"joined_at": "2026-05-04 10:00+00", "left_at": "2026-05-05 10:00+00"}
BEGUN = {"started_on": "2026-05-04", "ended_on": None}
NEEDS: dict[str, dict[str, Any]] = {
    "study_group_member.active": {"joined_at": "2026-05-04 10:00+00", "left_at": None},
    "study_group_member.left": LEFT,
    "study_group_member.removed": LEFT,
    "mentor_pairing.active": BEGUN,
    "mentor_pairing.paused": BEGUN,
    "mentor_pairing.completed": {**BEGUN, "ended_on": "2026-08-04"},
    "mentor_pairing.ended_early": {"ended_on": "2026-08-04", "end_reason": "moved away"},
    "mentor_pairing.proposed": {"ended_on": None},
    "course_announcement.scheduled": {"publish_at": "2026-05-04 10:00+00"},
    "course_announcement.sent": {"publish_at": "2026-05-04 10:00+00"},
    "study_group_member.invited": {"left_at": None},
    "study_group_member.requested": {"left_at": None},
}
ALLOWED = [(m, a, b) for m, states in MACHINES.items() for a in states for b in states[a]]
REFUSED = [(m, a, b) for m, states in MACHINES.items() for a, b in refused(states)]


def needs(table: str, state: str) -> dict[str, Any]:
    return {"status": state, **NEEDS.get(f"{table}.{state}", {})}


def change(app: Connection, table: str, **given: Any) -> int:
    return app.execute(
        sql.SQL("UPDATE courses.{} SET {}").format(
            sql.Identifier(table),
            sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(c)) for c in given),
        ),
        list(given.values()),
    ).rowcount


@pytest.mark.parametrize(("table", "before", "to"), ALLOWED)
def test_states_follow_each_other(app: Connection, table: str, before: str, to: str) -> None:
    imported(app, f"courses.{table}", **needs(table, before))
    assert change(app, table, **needs(table, to)) == 1


@pytest.mark.parametrize(("table", "before", "to"), REFUSED)
def test_no_other_states_follow(app: Connection, table: str, before: str, to: str) -> None:
    imported(app, f"courses.{table}", **needs(table, before))
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        change(app, table, **needs(table, to))


def join(app: Connection, group: UUID, **given: Any) -> UUID:
    given = {"status": "active", **given}
    return row(app, "courses.study_group_member", study_group_id=group, **given)


def members(app: Connection, group: UUID) -> Any:
    found = app.execute(
        "SELECT member_count FROM courses.study_group WHERE study_group_id = %s", [group]
    ).fetchone()
    assert found
    return found[0]


def leave(app: Connection, member: UUID, status: str = "left") -> None:
    app.execute(
        "UPDATE courses.study_group_member SET status = %s, left_at = now() + interval '1 day'"
        " WHERE study_group_member_id = %s",
        [status, member],
    )


@pytest.mark.parametrize("status", ["left", "removed"])
def test_a_group_counts_who_is_active(app: Connection, status: str) -> None:
    group = row(app, "courses.study_group")
    first, _ = join(app, group), join(app, group)
    join(app, group, status="invited")
    assert members(app, group) == 2
    leave(app, first, status)
    assert members(app, group) == 1
    app.execute("DELETE FROM courses.study_group_member")
    assert members(app, group) == 0


def test_who_changes_the_group_is_counted_in_the_other(app: Connection) -> None:
    old, new = row(app, "courses.study_group"), row(app, "courses.study_group")
    join(app, old)
    change(app, "study_group_member", study_group_id=new)
    assert (members(app, old), members(app, new)) == (0, 1)


def test_a_group_is_never_overfull(app: Connection) -> None:
    group = row(app, "courses.study_group", max_members=2)
    first, _ = join(app, group), join(app, group)
    waits = join(app, group, status="invited")
    with pytest.raises(errors.CheckViolation, match="not_overfull"), app.transaction():
        join(app, group)
    accept = "UPDATE courses.study_group_member SET status = 'active' WHERE status = 'invited'"
    with pytest.raises(errors.CheckViolation, match="not_overfull"), app.transaction():
        app.execute(accept)
    leave(app, first)
    assert app.execute(accept).rowcount == 1
    assert waits


@pytest.mark.parametrize(
    ("policy", "status"),
    [("request", "active"), ("invite", "active"), ("invite", "requested")],
)
def test_a_group_is_joined_as_it_says(app: Connection, policy: str, status: str) -> None:
    group = row(app, "courses.study_group", name="Owls", join_policy=policy)
    with pytest.raises(errors.CheckViolation, match=f'group "Owls" is joined by {policy}'):
        join(app, group, status=status)


@pytest.mark.parametrize(
    ("policy", "given"),
    [
        ("open", {"status": "active"}),
        ("open", {"status": "requested"}),
        ("request", {"status": "requested"}),
        ("request", {"status": "invited"}),
        ("invite", {"status": "invited"}),
        ("invite", {"status": "active", "role": "organizer"}),
    ],
)
def test_a_way_into_a_group(app: Connection, policy: str, given: dict[str, Any]) -> None:
    assert join(app, row(app, "courses.study_group", join_policy=policy), **given)


def test_who_accepts_has_joined_then(app: Connection) -> None:
    join(app, row(app, "courses.study_group", join_policy="invite"), status="invited")
    change(app, "study_group_member", status="active")
    joined = "SELECT joined_at = now() FROM courses.study_group_member"
    assert app.execute(joined).fetchone() == (True,)


@pytest.mark.parametrize("status", ["active", "invited", "requested"])
def test_nobody_joins_a_closed_group(app: Connection, status: str) -> None:
    group = imported(app, "courses.study_group", status="closed", name="Owls")
    with pytest.raises(errors.CheckViolation, match='"Owls" is closed'):
        join(app, group, status=status)


def test_a_learner_is_in_a_group_once_at_a_time(app: Connection) -> None:
    group, learner = row(app, "courses.study_group"), row(app, "courses.learner")
    first = join(app, group, learner_id=learner)
    with pytest.raises(errors.UniqueViolation), app.transaction():
        join(app, group, learner_id=learner, status="requested")
    leave(app, first)
    assert join(app, group, learner_id=learner)


@pytest.mark.parametrize("given", [{}, {"course_section_id": ...}])
def test_groups_of_a_place_have_names(app: Connection, given: dict[str, Any]) -> None:
    same = {k: row(app, "courses.course_section") for k in given}
    row(app, "courses.study_group", name="Owls", **same)
    with pytest.raises(errors.UniqueViolation):
        row(app, "courses.study_group", name="Owls", **same)


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({"max_members": 1}, "size_bounded"),
        ({"max_members": 51}, "size_bounded"),
        ({"member_count": 9}, "not_overfull"),
        ({"member_count": -1}, "not_overfull"),
        ({"group_kind": "assigned"}, "assigned_by_a_teacher"),
        ({"join_policy": "assigned"}, "assigned_by_a_teacher"),
        ({"group_kind": "assigned", "join_policy": "assigned"}, "assigned_by_a_teacher"),
        ({"group_kind": "crowd"}, "kind_known"),
        ({"join_policy": "bribe"}, "join_policy_known"),
    ],
)
def test_a_group_makes_sense(app: Connection, given: dict[str, Any], check: str) -> None:
    with pytest.raises(errors.CheckViolation, match=check):
        row(app, "courses.study_group", **given)


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({"status": "active"}, "active_has_joined"),
        ({"status": "left"}, "gone_has_left"),
        ({"status": "active", **LEFT}, "gone_has_left"),
        ({**LEFT, "status": "left", "left_at": LEFT["joined_at"]}, "left_after_joining"),
        ({"peer_rating": 0}, "has_five_stars"),
        ({"peer_rating": 6}, "has_five_stars"),
        ({"contribution_score": -1}, "score_not_negative"),
        ({"role": "spy"}, "role_known"),
    ],
)
def test_a_membership_holds_together(app: Connection, given: dict[str, Any], check: str) -> None:
    with pytest.raises(errors.CheckViolation, match=check):
        imported(app, "courses.study_group_member", **given)


def account_of(app: Connection, learner: UUID) -> Any:
    found = app.execute(
        "SELECT user_account_id FROM courses.learner WHERE learner_id = %s", [learner]
    ).fetchone()
    assert found
    return found[0]


def test_nobody_mentors_themselves(app: Connection) -> None:
    learner = row(app, "courses.learner")
    with pytest.raises(errors.CheckViolation, match="nobody mentors"), app.transaction():
        row(
            app,
            "courses.mentor_pairing",
            mentee_learner_id=learner,
            mentor_user_account_id=account_of(app, learner),
        )
    row(app, "courses.mentor_pairing", mentee_learner_id=learner)
    with pytest.raises(errors.CheckViolation, match="nobody mentors"):
        change(app, "mentor_pairing", mentor_user_account_id=account_of(app, learner))


@pytest.mark.parametrize("in_program", [True, False])
@pytest.mark.parametrize("state", ["active", "paused"])
def test_a_learner_has_one_mentor_in_a_program(
    app: Connection, state: str, in_program: bool
) -> None:
    same = {
        "mentee_learner_id": row(app, "courses.learner"),
        "program_id": row(app, "courses.program") if in_program else None,
    }
    imported(app, "courses.mentor_pairing", **same, **needs("mentor_pairing", state))
    row(app, "courses.mentor_pairing", **same)
    with pytest.raises(errors.UniqueViolation, match="active"):
        app.execute(
            "UPDATE courses.mentor_pairing SET status = 'active', started_on = '2026-05-04'"
            " WHERE status = 'proposed'"
        )


def test_another_program_has_another_mentor(app: Connection) -> None:
    learner = row(app, "courses.learner")
    for program in (None, row(app, "courses.program"), row(app, "courses.program")):
        imported(
            app,
            "courses.mentor_pairing",
            mentee_learner_id=learner,
            program_id=program,
            **needs("mentor_pairing", "active"),
        )
    assert app.execute("SELECT count(*) FROM courses.mentor_pairing").fetchone() == (3,)


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({"meetings_held": -1}, "meetings_not_negative"),
        ({"meetings_planned": 0}, "meetings_not_negative"),
        ({"match_score": 101}, "match_is_a_share"),
        ({"mentee_rating": 6}, "mentee_has_five_stars"),
        ({"mentor_rating": 0}, "mentor_has_five_stars"),
        ({"status": "active"}, "begun_has_start"),
        ({"status": "completed", "started_on": "2026-05-04"}, "over_has_end"),
        ({"ended_on": "2026-05-04"}, "over_has_end"),
        ({"status": "ended_early", "ended_on": "2026-05-04"}, "ended_early_for_a_reason"),
        (
            {"status": "completed", "started_on": "2026-05-04", "ended_on": "2026-05-03"},
            "ends_after_start",
        ),
    ],
)
def test_a_pairing_holds_together(app: Connection, given: dict[str, Any], check: str) -> None:
    with pytest.raises(errors.CheckViolation, match=check):
        imported(app, "courses.mentor_pairing", **given)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("This is the lemma of the second chapter.", None),
        ("An idiotic mistake of mine", None),
        ("You idiot!", "abuse"),
        ("SHUT UP", "abuse"),
        ("Win at our casino", "spam"),
        ("https://a.example https://b.example https://c.example", None),
        ("http://a.example https://b.example https://c.example http://d.example", "spam"),
        ("Who has the answer key?", "cheating"),
        ("Exam dumps for sale", "cheating"),
    ],
)
def test_moderation_finds(app: Connection, said: str, found: str | None) -> None:
    assert app.execute("SELECT courses.moderate_text(%s)", [said]).fetchone() == (found,)


@pytest.mark.parametrize("visibility", ["group", "public"])
def test_what_others_read_is_moderated(app: Connection, visibility: str) -> None:
    said = {"body": "Who has the answer key?"}
    with pytest.raises(errors.CheckViolation, match="not published: cheating"), app.transaction():
        row(app, "courses.lesson_note", visibility=visibility, **said)
    row(app, "courses.lesson_note", **said)
    with pytest.raises(errors.CheckViolation, match="not published: cheating"):
        change(app, "lesson_note", visibility=visibility)


def test_a_note_that_others_read_stays_decent(app: Connection) -> None:
    row(app, "courses.lesson_note", visibility="public")
    assert change(app, "lesson_note", body="Better said like this.") == 1
    with pytest.raises(errors.CheckViolation, match="not published: abuse"):
        change(app, "lesson_note", body="You moron")


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({"body": " \n"}, "says_something"),
        ({"body": "x" * 10001}, "says_something"),
        ({"anchor_seconds": -1}, "anchor_not_negative"),
        ({"like_count": 1}, "likes_are_of_others"),
        ({"like_count": -1, "visibility": "public"}, "likes_are_of_others"),
        (
            {"noted_at": "2026-05-04 10:00+00", "updated_on": "2026-05-02"},
            "updated_after_writing",
        ),
        ({"color": "black"}, "color_known"),
        ({"visibility": "nobody"}, "visibility_known"),
    ],
)
def test_a_note_holds_together(app: Connection, given: dict[str, Any], check: str) -> None:
    with pytest.raises(errors.CheckViolation, match=check):
        row(app, "courses.lesson_note", **given)


def test_a_note_may_be_long(app: Connection) -> None:
    assert row(app, "courses.lesson_note", body="x" * 10000)


def classroom(app: Connection) -> tuple[UUID, UUID]:
    """A section with learners in every state, two of them in its cohort."""
    section = row(app, "courses.course_section")
    cohort = row(app, "courses.cohort", course_section_id=section)
    for status, member in (
        ("active", True),
        ("paused", True),
        ("audit", False),
        ("requested", False),
        ("withdrawn", False),
    ):
        gone = {"withdrawn_at": "2026-05-10 10:00+00", "withdrawal_reason": "time"}
        imported(
            app,
            "courses.enrollment",
            course_section_id=section,
            cohort_id=cohort if member else None,
            status=status,
            enrolled_at="2026-05-04 10:00+00",
            **(gone if status == "withdrawn" else {}),
        )
    return section, cohort


def announce(app: Connection, section: UUID, **given: Any) -> UUID:
    return row(app, "courses.course_announcement", course_section_id=section, **given)


@pytest.mark.parametrize(("to_cohort", "reached"), [(False, 3), (True, 2)])
def test_an_announcement_reaches_who_is_there(
    app: Connection, to_cohort: bool, reached: int
) -> None:
    section, cohort = classroom(app)
    announce(app, section, cohort_id=cohort if to_cohort else None)
    change(app, "course_announcement", status="sent", publish_at="2026-05-04 10:00+00")
    found = app.execute("SELECT recipient_count FROM courses.course_announcement").fetchone()
    assert found == (reached,)


def test_what_is_sent_early_is_published_then(app: Connection) -> None:
    announce(app, row(app, "courses.course_section"), publish_at="2099-01-01")
    change(app, "course_announcement", status="sent")
    found = app.execute("SELECT publish_at = now() FROM courses.course_announcement").fetchone()
    assert found == (True,)


def test_what_is_due_is_sent(app: Connection) -> None:
    section, _ = classroom(app)
    for moment, status in (
        ("2026-05-04 10:00+00", "scheduled"),
        ("2026-05-05 10:00+00", "scheduled"),
        ("2026-05-04 09:00+00", "draft"),
        ("2026-05-04 08:00+00", "withdrawn"),
    ):
        imported(
            app,
            "courses.course_announcement",
            course_section_id=section,
            publish_at=moment,
            status=status,
        )
    due = "SELECT courses.send_due_announcements(%s)"
    assert app.execute(due, ["2026-05-04 09:59+00"]).fetchone() == (0,)
    assert app.execute(due, ["2026-05-04 10:00+00"]).fetchone() == (1,)
    assert app.execute(due, ["2026-05-04 10:00+00"]).fetchone() == (0,)
    sent = app.execute(
        "SELECT publish_at::text, recipient_count FROM courses.course_announcement"
        " WHERE status = 'sent'"
    ).fetchall()
    assert sent == [("2026-05-04 10:00:00+00", 3)]


@pytest.mark.parametrize(
    ("given", "check"),
    [
        (
            {"publish_at": "2026-05-04", "expires_at": "2026-05-04"},
            "expires_after_publication",
        ),
        ({"status": "scheduled"}, "scheduled_has_time"),
        ({"status": "sent"}, "scheduled_has_time"),
        ({"recipient_count": 1}, "reaches_nobody_before"),
        ({"read_count": 1}, "read_by_recipients"),
        ({"acknowledged_count": 1, "requires_acknowledgement": True}, "acknowledged_by_readers"),
        (
            {
                "status": "sent",
                "publish_at": "2026-05-04",
                "recipient_count": 2,
                "read_count": 1,
                "acknowledged_count": 1,
            },
            "acknowledged_where_asked",
        ),
        ({"channel": "pigeon"}, "channel_known"),
    ],
)
def test_an_announcement_holds_together(app: Connection, given: dict[str, Any], check: str) -> None:
    with pytest.raises(errors.CheckViolation, match=check):
        imported(app, "courses.course_announcement", **given)


@pytest.mark.parametrize("leaves", [True, False])
def test_members_who_move_at_once_are_all_counted(
    deployed: Target, copy_of: Callable[[Target], Target], leaves: bool
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        group = row(connection, "courses.study_group")
        one, other, _ = (join(connection, group) for _ in range(3))
        learner = row(connection, "courses.learner")
    with psycopg.connect(target.app) as first:
        become_app(first, tenant)
        if leaves:
            leave(first, one)
        else:
            join(first, group, learner_id=learner)
        after(target, tenant, first, lambda second: leave(second, other))
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert members(connection, group) == (1 if leaves else 3)


def test_the_last_place_is_taken_once(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        group = row(connection, "courses.study_group", max_members=2)
        join(connection, group)
        one, other = row(connection, "courses.learner"), row(connection, "courses.learner")
    with psycopg.connect(target.app) as first:
        become_app(first, tenant)
        join(first, group, learner_id=one)
        with pytest.raises(errors.CheckViolation, match="not_overfull"):
            after(target, tenant, first, lambda second: join(second, group, learner_id=other))
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert members(connection, group) == 2
