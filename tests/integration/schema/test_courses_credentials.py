"""Certifications follow what was learned and the time, and certificates prove what they say."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
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

DAY = "2026-02-02 10:00+00"


def one(connection: Connection, statement: str, *values: Any) -> Any:
    found = connection.execute(statement.encode(), list(values)).fetchone()
    return found and (found[0] if len(found) == 1 else found)


# Templates and certifications.


@pytest.mark.parametrize(
    ("table", "given", "constraint"),
    [
        ("certificate_template", {"activated_at": None}, "active_has_time"),
        ("certificate_template", {"merge_fields": "[1]"}, "merge_fields_are_names"),
        ("certificate_template", {"merge_fields": "{}"}, "json_array_is_array"),
        ("certification", {"validity_months": 0}, "valid_up_to_ten_years"),
        ("certification", {"validity_months": 121}, "valid_up_to_ten_years"),
        ("certification", {"renewal_by": "credits"}, "renewed_by_so_many_credits"),
        ("certification", {"credits_required": 5}, "renewed_by_so_many_credits"),
        (
            "certification",
            {"renewal_by": "credits", "credits_required": 0},
            "renewed_by_so_many_credits",
        ),
        ("certification_requirement", {"requirement_kind": "course"}, "names_what_it_asks"),
        ("certification_requirement", {"requirement_kind": "outcome"}, "names_what_it_asks"),
        ("certification_requirement", {"course_id": ...}, "names_what_it_asks"),
        ("certification_requirement", {"minimum_score_pct": 101}, "score_is_a_share"),
        (
            "certification_requirement",
            {"requirement_kind": "experience_hours"},
            "hours_of_experience",
        ),
        ("certification_requirement", {"hours_required": 5}, "hours_of_experience"),
        ("external_credential", {"expires_on": "2026-05-04"}, "expires_after_issue"),
        ("external_credential", {"verification": "issuer_confirmed"}, "confirmed_has_time"),
        ("external_credential", {"credits_granted": 3}, "counts_once_verified"),
        ("continuing_education_credit", {"credits": 0}, "positive"),
        ("continuing_education_credit", {"credit_kind": "ceu"}, "ceu_is_ten_hours"),
        (
            "continuing_education_credit",
            {"credit_kind": "clock_hour", "hours": 3},
            "ceu_is_ten_hours",
        ),
        ("continuing_education_credit", {"proof_file_object_id": None}, "claim_has_proof"),
        ("continuing_education_credit", {"status": "approved"}, "approved_by_a_person"),
        ("continuing_education_credit", {"status": "auto_granted"}, "granted_for_a_course"),
        ("continuing_education_credit", {"rejection_reason": "No"}, "rejected_for_a_reason"),
    ],
)
def test_a_row_is_sound(app: Connection, table: str, given: Any, constraint: str) -> None:
    with pytest.raises(errors.CheckViolation, match=constraint):
        row(app, f"courses.{table}", **given)


def test_a_ceu_is_ten_hours(app: Connection) -> None:
    row(app, "courses.continuing_education_credit", credit_kind="ceu", hours=15, credits=1.5)


def test_one_version_of_a_template_is_active(app: Connection) -> None:
    row(app, "courses.certificate_template", name="Diploma")
    row(app, "courses.certificate_template", name="Diploma", version_no=2, status="draft")
    with pytest.raises(errors.UniqueViolation):
        row(app, "courses.certificate_template", name="Diploma", version_no=3)


# Attainments.

MACHINE = {
    "in_progress": ["eligible"],
    "eligible": ["awarded"],
    "awarded": ["expiring", "revoked"],
    "expiring": ["renewed", "in_grace", "revoked"],
    "in_grace": ["renewed", "expired"],
    "expired": [],
    "revoked": [],
    "renewed": [],
}


def in_state(connection: Connection, state: str, **given: Any) -> UUID:
    """A standing as history brings it."""
    return imported(
        connection,
        "courses.certification_attainment",
        state=state,
        started_on="2025-11-03",
        awarded_on=None if state in ("in_progress", "eligible") else "2026-01-05",
        renewed_on="2026-05-01" if state == "renewed" else None,
        revocation_reason="Fraud" if state == "revoked" else None,
        **given,
    )


def go(connection: Connection, attainment: UUID, after: str) -> None:
    connection.execute(
        "UPDATE courses.certification_attainment SET state = %(after)s,"
        " awarded_on = CASE WHEN %(after)s IN ('in_progress', 'eligible') THEN NULL"
        "                   ELSE coalesce(awarded_on, '2026-01-05') END,"
        " renewed_on = CASE WHEN %(after)s = 'renewed' THEN '2026-05-01'::date END,"
        " revocation_reason = CASE WHEN %(after)s = 'revoked' THEN 'Fraud' END"
        " WHERE certification_attainment_id = %(id)s",
        {"after": after, "id": attainment},
    )


@pytest.mark.parametrize(
    ("before", "after"), [(b, a) for b, following in MACHINE.items() for a in following]
)
def test_a_standing_moves_on(app: Connection, before: str, after: str) -> None:
    made = in_state(app, before)
    go(app, made, after)
    assert one(app, "SELECT state FROM courses.certification_attainment") == after


@pytest.mark.parametrize(("before", "after"), refused(MACHINE))
def test_a_standing_does_not_jump(app: Connection, before: str, after: str) -> None:
    made = in_state(app, before)
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        go(app, made, after)


def test_a_standing_begins_in_progress(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as eligible"):
        row(app, "courses.certification_attainment", state="eligible")


@pytest.mark.parametrize(("months", "end"), [(24, "2028-01-05"), (1, "2026-02-05"), (None, None)])
def test_an_award_holds_as_long_as_the_certification_says(
    app: Connection, months: int | None, end: str | None
) -> None:
    kind = row(app, "courses.certification", validity_months=months)
    in_state(app, "awarded", certification_id=kind, expires_on="2099-01-01")
    assert one(app, "SELECT expires_on::text FROM courses.certification_attainment") == end


@pytest.mark.parametrize(
    ("state", "given", "constraint"),
    [
        ("in_progress", {"awarded_on": "2026-06-01"}, "awarded_has_day"),
        ("in_progress", {"revocation_reason": "Fraud"}, "revoked_for_a_reason"),
        ("in_progress", {"renewed_on": "2026-06-01"}, "renewed_has_day"),
        ("in_progress", {"progress_pct": 101}, "progress_is_a_share"),
        ("in_progress", {"requirement_state": '[{"met": true}]'}, "requirements_judged"),
    ],
)
def test_a_standing_is_sound(app: Connection, state: str, given: Any, constraint: str) -> None:
    with pytest.raises(errors.CheckViolation, match=constraint):
        row(app, "courses.certification_attainment", state=state, **given)


def test_a_revocation_has_a_reason(app: Connection) -> None:
    in_state(app, "awarded")
    with pytest.raises(errors.CheckViolation, match="revoked_for_a_reason"):
        app.execute("UPDATE courses.certification_attainment SET state = 'revoked'")


@pytest.mark.parametrize("state", list(MACHINE))
def test_a_learner_has_one_live_cycle(app: Connection, state: str) -> None:
    kind, learner = row(app, "courses.certification"), row(app, "courses.learner")
    in_state(app, state, certification_id=kind, learner_id=learner)
    again = {"certification_id": kind, "learner_id": learner, "cycle_no": 2}
    if state in ("expired", "revoked", "renewed"):
        row(app, "courses.certification_attainment", **again)
    else:
        with pytest.raises(errors.UniqueViolation):
            row(app, "courses.certification_attainment", **again)


# Evaluation.


def evaluate(connection: Connection, kind: UUID, learner: UUID, at: str = DAY) -> Any:
    return one(connection, "SELECT courses.evaluate_certification(%s, %s, %s)", kind, learner, at)


def complete(place: School, grade: float = 80, at: str = "2026-02-01 10:00+00") -> None:
    place.connection.execute("RESET ROLE")
    place.connection.execute(
        "UPDATE courses.enrollment SET status = 'completed', completed_at = %s,"
        " final_grade_pct = %s, final_grade_letter = 'B' WHERE enrollment_id = %s",
        [at, grade, place.enrollment],
    )
    place.connection.execute("SET LOCAL ROLE app_user")


def certified(connection: Connection, **given: Any) -> tuple[School, UUID]:
    """A school and a certification that asks for its course, with 70 percent."""
    place = school(connection)
    kind = row(connection, "courses.certification", **given)
    row(
        connection,
        "courses.certification_requirement",
        certification_id=kind,
        requirement_kind="course",
        course_id=place.course,
        minimum_score_pct=70,
    )
    return place, kind


def standing(connection: Connection) -> Any:
    return connection.execute(
        "SELECT cycle_no, state, awarded_on::text, expires_on::text"
        " FROM courses.certification_attainment ORDER BY cycle_no"
    ).fetchall()


def test_what_is_met_is_awarded(app: Connection) -> None:
    place, kind = certified(app)
    assert evaluate(app, kind, place.learner) == "in_progress"
    complete(place)
    assert evaluate(app, kind, place.learner) == "awarded"
    assert evaluate(app, kind, place.learner) == "awarded"
    assert standing(app) == [(1, "awarded", "2026-02-02", "2028-02-02")]
    (entry,) = one(app, "SELECT requirement_state FROM courses.certification_attainment")
    assert entry["met"] is True
    assert one(app, "SELECT count(*) FROM courses.issued_certificate") == 1
    assert app.execute("SELECT courses.certificate_differences()").fetchall() == []


def test_a_poor_grade_does_not_count(app: Connection) -> None:
    place, kind = certified(app)
    complete(place, 69)
    assert evaluate(app, kind, place.learner) == "in_progress"
    (entry,) = one(app, "SELECT requirement_state FROM courses.certification_attainment")
    assert entry["met"] is False


def test_what_is_to_come_does_not_count(app: Connection) -> None:
    place, kind = certified(app)
    complete(place, at="2026-02-03 10:00+00")
    assert evaluate(app, kind, place.learner) == "in_progress"


@pytest.mark.parametrize(("day", "state"), [("07-31", "awarded"), ("09-01", "in_progress")])
def test_what_is_long_ago_does_not_count(app: Connection, day: str, state: str) -> None:
    place, kind = certified(app)
    app.execute("UPDATE courses.certification_requirement SET within_months = 6")
    complete(place)
    assert evaluate(app, kind, place.learner, f"2026-{day} 10:00+00") == state


def test_one_of_the_alternatives_is_enough(app: Connection) -> None:
    place, kind = certified(app)
    app.execute("UPDATE courses.certification_requirement SET group_no = 1")
    row(
        app,
        "courses.certification_requirement",
        certification_id=kind,
        requirement_kind="course",
        course_id=row(app, "courses.course"),
        group_no=1,
    )
    complete(place)
    assert evaluate(app, kind, place.learner) == "awarded"


def test_each_without_a_group_is_met(app: Connection) -> None:
    place, kind = certified(app)
    row(
        app,
        "courses.certification_requirement",
        certification_id=kind,
        requirement_kind="course",
        course_id=row(app, "courses.course"),
    )
    complete(place)
    assert evaluate(app, kind, place.learner) == "in_progress"
    assert one(app, "SELECT progress_pct FROM courses.certification_attainment") == 50


def test_a_review_needs_a_person(app: Connection, account: UUID) -> None:
    place = school(app)
    kind = row(app, "courses.certification")
    row(app, "courses.certification_requirement", certification_id=kind)
    assert evaluate(app, kind, place.learner) == "in_progress"
    app.execute("UPDATE courses.certification_attainment SET decided_by = %s", [account])
    assert evaluate(app, kind, place.learner) == "awarded"


@pytest.mark.parametrize(("hours", "state"), [(39, "in_progress"), (40, "awarded")])
def test_experience_counts_in_hours(app: Connection, hours: int, state: str) -> None:
    place = school(app)
    kind = row(app, "courses.certification")
    row(
        app,
        "courses.certification_requirement",
        certification_id=kind,
        requirement_kind="experience_hours",
        hours_required=40,
    )
    row(
        app,
        "courses.external_credential",
        learner_id=place.learner,
        credential_kind="work_experience",
        verification="document",
        credits_granted=hours,
    )
    assert evaluate(app, kind, place.learner) == state


def test_an_exemption_spares_the_course(app: Connection) -> None:
    place, kind = certified(app)
    row(
        app,
        "courses.external_credential",
        learner_id=place.learner,
        verification="document",
        exempts_course_id=place.course,
    )
    assert evaluate(app, kind, place.learner) == "awarded"


def test_a_mastered_outcome_counts(app: Connection) -> None:
    place = school(app)
    outcome = row(app, "courses.learning_outcome", calculation="latest")
    kind = row(app, "courses.certification")
    row(
        app,
        "courses.certification_requirement",
        certification_id=kind,
        requirement_kind="outcome",
        learning_outcome_id=outcome,
    )
    assert evaluate(app, kind, place.learner) == "in_progress"
    row(
        app,
        "courses.outcome_mastery",
        learner_id=place.learner,
        learning_outcome_id=outcome,
        evidence='[{"source": "rubric", "id": "1", "pct": 95, "at": "2026-02-01T00:00:00Z"}]',
    )
    assert evaluate(app, kind, place.learner) == "awarded"


def test_only_an_active_certification_is_begun(app: Connection) -> None:
    place, kind = certified(app, status="suspended")
    with pytest.raises(errors.CheckViolation, match="is suspended, not active"):
        evaluate(app, kind, place.learner)


@pytest.mark.parametrize(
    ("day", "state"),
    [
        ("2027-11-03", "awarded"),
        ("2027-11-04", "expiring"),
        ("2028-02-02", "expiring"),
        ("2028-02-03", "in_grace"),
        ("2028-03-03", "in_grace"),
        ("2028-03-04", "expired"),
    ],
)
def test_time_goes_by(app: Connection, day: str, state: str) -> None:
    place, kind = certified(app, grace_days=30)
    complete(place)
    evaluate(app, kind, place.learner)
    assert evaluate(app, kind, place.learner, f"{day} 10:00+00") == state
    assert evaluate(app, kind, place.learner, f"{day} 10:00+00") in (
        state,
        "in_progress",
        "awarded",
    )
    expected = "expired" if state == "expired" else "valid"
    assert one(app, "SELECT min(status) FROM courses.issued_certificate") == expected


def credit(place: School, attainment: UUID, **given: Any) -> UUID:
    return imported(
        place.connection,
        "courses.continuing_education_credit",
        **{
            "learner_id": place.learner,
            "certification_attainment_id": attainment,
            "reviewed_by": row(place.connection, "user_mgmt.user_account"),
            "status": "approved",
            "earned_on": "2027-05-03",
            **given,
        },
    )


def test_credits_renew(app: Connection) -> None:
    place, kind = certified(app, renewal_by="credits", credits_required=4)
    complete(place)
    evaluate(app, kind, place.learner)
    held = one(app, "SELECT certification_attainment_id FROM courses.certification_attainment")
    credit(place, held)
    for given in (
        {"earned_on": "2026-01-05"},
        {"valid_until": "2027-06-01"},
        {"status": "claimed", "reviewed_by": None},
    ):
        credit(place, held, **given)
    late = "2027-12-01 10:00+00"
    assert evaluate(app, kind, place.learner, late) == "expiring"
    assert one(app, "SELECT progress_pct FROM courses.certification_attainment") == 50
    credit(place, held, activity_title="Workshop")
    assert evaluate(app, kind, place.learner, late) == "renewed"
    assert standing(app) == [
        (1, "renewed", "2026-02-02", "2028-02-02"),
        (2, "awarded", "2027-12-01", "2029-12-01"),
    ]
    found = app.execute("SELECT status FROM courses.issued_certificate ORDER BY issued_on")
    assert found.fetchall() == [("superseded",), ("valid",)]


def test_a_course_renews_when_it_is_taken_since(app: Connection) -> None:
    place, kind = certified(app, renewal_by="course")
    app.execute("UPDATE courses.certification_requirement SET applies_to = 'both'")
    complete(place)
    assert evaluate(app, kind, place.learner) == "awarded"
    late = "2027-12-01 10:00+00"
    assert evaluate(app, kind, place.learner, late) == "expiring"
    complete(place, at="2027-11-20 10:00+00")
    assert evaluate(app, kind, place.learner, late) == "renewed"


def test_what_expired_begins_anew(app: Connection) -> None:
    place, kind = certified(app)
    complete(place)
    evaluate(app, kind, place.learner)
    late = "2028-06-01 10:00+00"
    assert evaluate(app, kind, place.learner, late) == "expired"
    assert evaluate(app, kind, place.learner, late) == "awarded"
    assert [(cycle, state) for cycle, state, *_ in standing(app)] == [
        (1, "expired"),
        (2, "awarded"),
    ]


def test_what_was_revoked_stays_so(app: Connection) -> None:
    place, kind = certified(app)
    complete(place)
    evaluate(app, kind, place.learner)
    app.execute(
        "UPDATE courses.certification_attainment"
        " SET state = 'revoked', revocation_reason = 'Somebody else sat the exam'"
    )
    assert evaluate(app, kind, place.learner) == "revoked"
    assert one(app, "SELECT status, revoked_on IS NOT NULL FROM courses.issued_certificate") == (
        "revoked",
        True,
    )


def test_a_credit_counts_once(app: Connection) -> None:
    place, kind = certified(app)
    evaluate(app, kind, place.learner)
    held = one(app, "SELECT certification_attainment_id FROM courses.certification_attainment")
    credit(place, held, activity_title="Workshop")
    credit(place, held, activity_title="Workshop", status="rejected", rejection_reason="Twice")
    with pytest.raises(errors.UniqueViolation):
        credit(place, held, activity_title="Workshop")


def test_a_credit_is_the_learners_own(app: Connection) -> None:
    place, other = school(app), school(app)
    with pytest.raises(errors.CheckViolation, match="somebody else"):
        row(
            app,
            "courses.continuing_education_credit",
            learner_id=place.learner,
            enrollment_id=other.enrollment,
        )


def test_a_course_grants_credit_when_it_is_completed(app: Connection) -> None:
    place = school(app)
    given = {
        "learner_id": place.learner,
        "enrollment_id": place.enrollment,
        "status": "auto_granted",
        "proof_file_object_id": None,
    }
    with pytest.raises(errors.CheckViolation, match="not completed"), app.transaction():
        row(app, "courses.continuing_education_credit", **given)
    complete(place)
    row(app, "courses.continuing_education_credit", **given)


def test_what_runs_out_lacks_credits(app: Connection) -> None:
    kind = row(
        app, "courses.certification", renewal_by="credits", credits_required=5, validity_months=12
    )
    days = {"soon": 365 - 30, "later": 365 - 120}
    held = {
        name: imported(
            app,
            "courses.certification_attainment",
            certification_id=kind,
            state="awarded",
            started_on="2020-01-01",
            awarded_on=one(app, "SELECT current_date - %s::integer", past),
        )
        for name, past in days.items()
    }
    learner = one(
        app,
        "SELECT learner_id FROM courses.certification_attainment"
        " WHERE certification_attainment_id = %s",
        held["soon"],
    )
    imported(
        app,
        "courses.continuing_education_credit",
        learner_id=learner,
        certification_attainment_id=held["soon"],
        status="approved",
        reviewed_by=row(app, "user_mgmt.user_account"),
        earned_on=one(app, "SELECT current_date"),
    )
    found = app.execute(
        "SELECT certification_attainment_id, credits_earned::int, credits_missing::int"
        " FROM courses.v_certification_expiring"
    ).fetchall()
    assert found == [(held["soon"], 2, 3)]


def test_two_evaluate_at_once(deployed: Target, copy_of: Callable[[Target], Target]) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as admin:
        tenant = add_tenant(admin, "credential-hands")
        become_app(admin, tenant)
        place, kind = certified(admin)
        complete(place)
        admin.commit()
    states = at_once(target, tenant, 3, lambda c, _: evaluate(c, kind, place.learner))
    assert states == ["awarded"] * 3
    with psycopg.connect(target.app) as connection:
        become_app(connection, tenant)
        assert one(connection, "SELECT count(*) FROM courses.issued_certificate") == 1


# Certificates.


def issued(connection: Connection) -> tuple[School, UUID]:
    """A completed course and its certificate."""
    place = school(connection)
    complete(place)
    template = row(connection, "courses.certificate_template")
    found = one(
        connection,
        "SELECT courses.issue_certificate(%s, %s, %s)",
        place.enrollment,
        template,
        DAY,
    )
    return place, found


def code(connection: Connection) -> str:
    return str(one(connection, "SELECT verification_code FROM courses.issued_certificate"))


def verify(connection: Connection, typed: str, at: str = DAY) -> Any:
    return one(
        connection,
        "SELECT result FROM courses.verify_certificate(%s, moment => %s)",
        typed,
        at,
    )


def test_a_completed_course_has_one_certificate(app: Connection) -> None:
    place, made = issued(app)
    again = one(
        app,
        "SELECT courses.issue_certificate(%s, certificate_template_id)"
        " FROM courses.certificate_template",
        place.enrollment,
    )
    assert again == made
    document = one(app, "SELECT credential_json FROM courses.issued_certificate")
    assert document["type"] == ["VerifiableCredential", "OpenBadgeCredential"]
    assert document["issuer"]["name"] == "Example School"


def test_a_course_under_way_has_none(app: Connection) -> None:
    place = school(app)
    template = row(app, "courses.certificate_template")
    with pytest.raises(errors.CheckViolation, match="is active, not completed"):
        one(app, "SELECT courses.issue_certificate(%s, %s)", place.enrollment, template)


def test_a_retired_template_issues_none(app: Connection) -> None:
    place = school(app)
    complete(place)
    template = row(app, "courses.certificate_template", status="retired")
    with pytest.raises(errors.CheckViolation, match="is not active"):
        one(app, "SELECT courses.issue_certificate(%s, %s)", place.enrollment, template)


def test_a_certificate_is_valid(app: Connection) -> None:
    issued(app)
    typed = code(app)
    assert verify(app, typed) == "valid"
    assert verify(app, f" {typed.lower().replace('-', ' ')} ") == "valid"
    assert one(app, "SELECT count(*) FROM courses.certificate_verification") == 2


def test_the_code_begins_the_signature(app: Connection) -> None:
    issued(app)
    signature = one(app, "SELECT signature FROM courses.issued_certificate")
    assert code(app).replace("-", "")[:15] == signature.hex()[:15].upper()


@pytest.mark.parametrize("place", range(16))
def test_a_mistyped_code_is_none(app: Connection, place: int) -> None:
    issued(app)
    digits = list(code(app).replace("-", ""))
    digits[place] = "0123456789ABCDEF"[(int(digits[place], 16) + 7) % 16]
    typed = "".join(digits)
    assert typed[15] != one(app, "SELECT courses.check_digit(%s)", typed[:15])
    assert verify(app, typed) == "not_found"


def test_an_unknown_code_is_noted(app: Connection) -> None:
    digits = "1" * 15
    typed = digits + one(app, "SELECT courses.check_digit(%s)", digits)
    assert verify(app, typed) == "not_found"
    noted = one(
        app,
        "SELECT issued_certificate_id, code_entered_hash FROM courses.certificate_verification",
    )
    assert noted == (None, hashlib.sha256(typed.encode()).digest())


@pytest.mark.parametrize("typed", ["", "hello", "1234", "-" * 40])
def test_nonsense_is_not_found(app: Connection, typed: str) -> None:
    assert verify(app, typed) == "not_found"


@pytest.mark.parametrize(
    "change",
    [
        "title = 'Brain surgery'",
        "issued_on = issued_on - 30",
        "expires_on = '2099-01-01'",
        "grade_text = 'A+'",
        "hours = 400",
        "certificate_number = 'X'",
        "credential_json = credential_json || '{\"a\": 1}'",
        "signature = sha256('x')",
    ],
)
def test_an_altered_certificate_is_found(app: Connection, change: str) -> None:
    issued(app)
    typed = code(app)
    statement = f"UPDATE courses.issued_certificate SET {change}".encode()
    with pytest.raises(errors.CheckViolation, match="says what it says"), app.transaction():
        app.execute(statement)
    app.execute("RESET ROLE")
    app.execute(statement)
    app.execute("SET LOCAL ROLE app_user")
    assert verify(app, typed) == "tampered"
    found = app.execute("SELECT difference FROM courses.certificate_differences()").fetchall()
    assert found == [("altered",)]


def test_sharing_alters_nothing(app: Connection) -> None:
    issued(app)
    app.execute("UPDATE courses.issued_certificate SET share_count = share_count + 1")
    assert verify(app, code(app)) == "valid"


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ("status = 'revoked', revoked_on = '2026-03-02'", "revoked"),
        ("status = 'superseded'", "expired"),
    ],
)
def test_a_withdrawn_certificate_is_not_valid(app: Connection, change: str, result: str) -> None:
    issued(app)
    app.execute(f"UPDATE courses.issued_certificate SET {change}".encode())
    assert verify(app, code(app)) == result
    with pytest.raises(errors.CheckViolation, match="stays so"):
        app.execute("UPDATE courses.issued_certificate SET status = 'valid', revoked_on = NULL")


def test_a_certificate_runs_out(app: Connection) -> None:
    place, kind = certified(app)
    complete(place)
    evaluate(app, kind, place.learner)
    assert verify(app, code(app), "2028-02-02 10:00+00") == "valid"
    assert verify(app, code(app), "2028-02-03 10:00+00") == "expired"


def test_a_certificate_is_for_what_was_reached(app: Connection) -> None:
    place = school(app)
    complete(place)
    given = {
        "enrollment_id": place.enrollment,
        "credential_json": "{}",
        "verification_code": "",
        "issued_on": "2026-02-02",
    }
    with pytest.raises(errors.CheckViolation, match="did not reach"), app.transaction():
        row(app, "courses.issued_certificate", **given)
    row(app, "courses.issued_certificate", learner_id=place.learner, **given)
    with pytest.raises(errors.UniqueViolation):
        row(app, "courses.issued_certificate", learner_id=place.learner, **given)


def test_a_certificate_that_outlives_its_standing_is_found(app: Connection) -> None:
    place, kind = certified(app)
    complete(place)
    evaluate(app, kind, place.learner)
    app.execute("RESET ROLE")
    app.execute(
        "UPDATE courses.certification_attainment SET state = 'revoked', revocation_reason = 'x'"
    )
    app.execute("SET LOCAL ROLE app_user")
    found = app.execute("SELECT difference FROM courses.certificate_differences()").fetchall()
    assert found == [("valid of a standing that is revoked",)]


def test_a_certificate_is_for_one_thing(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="for_one_thing"):
        row(app, "courses.issued_certificate", verification_code="")


@pytest.mark.parametrize("result", ["valid", "not_found"])
def test_a_verification_found_one_or_not(app: Connection, result: str) -> None:
    _, made = issued(app)
    with pytest.raises(errors.CheckViolation, match="found_or_not"):
        row(
            app,
            "courses.certificate_verification",
            result=result,
            issued_certificate_id=made if result == "not_found" else None,
        )


def test_verifications_are_not_rewritten(app: Connection, admin: Connection) -> None:
    verify(app, "x")
    with pytest.raises(errors.InsufficientPrivilege), app.transaction():
        app.execute("DELETE FROM courses.certificate_verification")
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute("UPDATE courses.certificate_verification SET result = 'valid'")
