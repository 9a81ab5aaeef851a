"""Checklists stay as published, answers score, failures open findings, actions get done."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.conftest import become_app
from tests.integration.schema.test_hs_organization import one
from tests.integration.schema.test_hs_pricebook import add
from tests.integration.schema.test_hs_safety_osha import add_incident
from tests.integration.schema.test_hs_work_orders import add_order, add_place, bring
from tests.integration.schema.test_hs_workforce import add_technician, may_become


def add_template(connection: Connection, **given: Any) -> UUID:
    """A draft of a checklist for ride-alongs, which need no place."""
    columns = {
        "template_code": "RIDE",
        "name": "Ride-along",
        "inspection_kind": "ride_along",
        **given,
    }
    return add(connection, "inspection_template", **columns)


def add_item(connection: Connection, template: UUID, seq: int, **given: Any) -> UUID:
    """A question of a checklist."""
    columns = {"section_name": "Work", "prompt": f"Question {seq}", **given}
    return add(
        connection,
        "inspection_template_item",
        inspection_template_id=template,
        item_seq=seq,
        **columns,
    )


def publish(connection: Connection, template: UUID) -> None:
    connection.execute(
        "UPDATE hs.inspection_template SET status = 'published', published_at = now()"
        " WHERE inspection_template_id = %s",
        [template],
    )


def inspect(connection: Connection, template: UUID, **given: Any) -> UUID:
    """An inspection in progress by a technician."""
    inspector = one(connection, "SELECT technician_id FROM hs.technician LIMIT 1")
    columns = {"status": "in_progress", "started_at": "2026-01-05 15:00+00", **given}
    return add(
        connection,
        "inspection",
        inspection_template_id=template,
        inspection_kind=one(
            connection,
            "SELECT inspection_kind FROM hs.inspection_template WHERE inspection_template_id = %s",
            template,
        ),
        inspector_technician_id=inspector or add_technician(connection),
        **columns,
    )


def answer(
    connection: Connection, inspection: UUID, item: UUID, verdict: str = "pass", **given: Any
) -> UUID:
    return add(
        connection,
        "inspection_response",
        inspection_id=inspection,
        inspection_template_item_id=item,
        verdict=verdict,
        **given,
    )


def outcome(connection: Connection) -> Any:
    """Score, critical failures and result of the one inspection."""
    return connection.execute(
        "SELECT score_pct::float, critical_fail_count, result FROM hs.inspection"
    ).fetchone()


@pytest.fixture
def file(admin: Connection, tenant: UUID) -> UUID:
    """A photo."""
    location = one(
        admin,
        "INSERT INTO system_core.storage_location (business_id, name, provider, bucket,"
        " region_code, encryption_key_ref, quota_bytes)"
        " VALUES (%s, 'main', 's3', 'b', 'us-east-1', 'vault:tenant/key', 1000000)"
        " RETURNING storage_location_id",
        tenant,
    )
    found: UUID = one(
        admin,
        "INSERT INTO system_core.file_object (business_id, storage_location_id, file_name,"
        " media_type, size_bytes, sha256, storage_key)"
        " VALUES (%s, %s, 'p.png', 'image/png', 10, sha256('p'), 'k') RETURNING file_object_id",
        tenant,
        location,
    )
    return found


@pytest.fixture
def template(app: Connection) -> UUID:
    """A draft without questions."""
    return add_template(app)


def test_one_version_of_a_checklist_is_in_use(app: Connection, template: UUID) -> None:
    publish(app, template)
    second = add_template(app, version_no=2)
    with pytest.raises(errors.UniqueViolation), app.transaction():
        publish(app, second)
    app.execute("UPDATE hs.inspection_template SET status = 'retired' WHERE version_no = 1")
    publish(app, second)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE hs.inspection_template SET pass_threshold_pct = 70",
        "DELETE FROM hs.inspection_template",
        "UPDATE hs.inspection_template_item SET prompt = 'Else'",
        "DELETE FROM hs.inspection_template_item",
    ],
)
def test_what_was_published_stays(app: Connection, template: UUID, change: str) -> None:
    add_item(app, template, 1)
    with app.transaction(force_rollback=True):
        app.execute(change.encode())
    publish(app, template)
    with pytest.raises(errors.RestrictViolation, match="published"):
        app.execute(change.encode())


def test_a_published_checklist_takes_no_question(app: Connection, template: UUID) -> None:
    publish(app, template)
    with pytest.raises(errors.RestrictViolation, match="are published"):
        add_item(app, template, 1)


def test_how_many_are_sampled_is_not_part_of_what_was_asked(
    app: Connection, template: UUID
) -> None:
    publish(app, template)
    app.execute("UPDATE hs.inspection_template SET sampling_pct = 10")


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"choices": '["a"]'}, "choices_of_choice"),
        ({"answer_kind": "choice"}, "choices_of_choice"),
        ({"answer_kind": "choice", "choices": "[]"}, "offers_a_choice"),
        ({"answer_kind": "number", "min_value": 2, "max_value": 1}, "values_ordered"),
        ({"answer_kind": "rating"}, "rating_has_top"),
        ({"max_value": 3}, "limits_of_values"),
    ],
)
def test_a_question_fits_its_kind(
    app: Connection, template: UUID, given: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"inspection_template_item_{truth}"):
        add_item(app, template, 1, **given)


@pytest.mark.parametrize(
    ("verdicts", "found"),
    [
        (["pass", "pass", "pass", "pass", "pass"], (100, 0, "pass")),
        (["fail", "pass", "pass", "pass", "pass"], (80, 0, "conditional")),
        (["fail", "fail", "pass", "pass", "pass"], (60, 0, "fail")),
        (["not_applicable", "info", "pass", "pass", "pass"], (100, 0, "pass")),
        (["fail", "not_applicable", "pass", "pass", "pass"], (75, 0, "fail")),
        (["info", "info", "info", "info", "info"], (None, 0, None)),
    ],
)
def test_answers_score(
    app: Connection, template: UUID, verdicts: list[str], found: tuple[Any, ...]
) -> None:
    items = [add_item(app, template, seq + 1) for seq in range(5)]
    publish(app, template)
    inspection = inspect(app, template)
    for item, verdict in zip(items, verdicts, strict=True):
        answer(app, inspection, item, verdict)
    assert outcome(app) == found


def test_a_weighted_checklist_weighs(app: Connection) -> None:
    template = add_template(app, scoring="weighted", pass_threshold_pct=50)
    heavy = add_item(app, template, 1, weight_score=3)
    light = add_item(app, template, 2, weight_score=1)
    stars = add_item(app, template, 3, weight_score=4, answer_kind="rating", max_value=5)
    publish(app, template)
    inspection = inspect(app, template)
    answer(app, inspection, heavy, "pass")
    answer(app, inspection, light, "fail")
    assert outcome(app) == (75, 0, "conditional")
    answer(app, inspection, stars, "pass", answer_value=4)
    assert outcome(app) == (77.5, 0, "conditional"), "3 and 4 * 4/5 of 8"


def test_a_checklist_without_scores_still_fails_what_is_critical(app: Connection) -> None:
    template = add_template(app, scoring="none")
    critical = add_item(app, template, 1, is_critical=True)
    other = add_item(app, template, 2)
    publish(app, template)
    inspection = inspect(app, template)
    answer(app, inspection, other, "fail")
    assert outcome(app) == (None, 0, None)
    answer(app, inspection, critical, "fail")
    assert outcome(app) == (None, 1, "fail")


def test_a_critical_failure_fails_however_good_the_rest(app: Connection, template: UUID) -> None:
    items = [add_item(app, template, seq, is_critical=seq == 1) for seq in range(1, 11)]
    publish(app, template)
    inspection = inspect(app, template)
    responses = [
        answer(app, inspection, item, "fail" if item == items[0] else "pass") for item in items
    ]
    assert outcome(app) == (90, 1, "fail")
    app.execute(
        "UPDATE hs.inspection_response SET verdict = 'pass' WHERE inspection_response_id = %s",
        [responses[0]],
    )
    assert outcome(app) == (100, 0, "pass")
    app.execute(
        "UPDATE hs.inspection_response SET verdict = 'fail', severity = 'critical'"
        " WHERE inspection_response_id = %s",
        [responses[5]],
    )
    assert outcome(app) == (90, 1, "fail"), "the inspector may find anything critical"
    app.execute(
        "DELETE FROM hs.inspection_response WHERE inspection_response_id = %s", [responses[5]]
    )
    assert outcome(app) == (100, 0, "pass")


def test_an_answer_that_moves_scores_both_inspections(app: Connection, template: UUID) -> None:
    item = add_item(app, template, 1)
    publish(app, template)
    first, second = inspect(app, template), inspect(app, template)
    answer(app, first, item)
    app.execute("UPDATE hs.inspection_response SET inspection_id = %s", [second])
    scores = dict(app.execute("SELECT inspection_id, score_pct FROM hs.inspection").fetchall())
    assert scores == {first: None, second: 100}


def test_nobody_scores_by_hand(app: Connection, template: UUID) -> None:
    publish(app, template)
    inspect(app, template)
    with (
        pytest.raises(errors.RestrictViolation, match="follow from its answers"),
        app.transaction(),
    ):
        app.execute("UPDATE hs.inspection SET result = 'pass'")
    with pytest.raises(errors.RestrictViolation, match="follow from its answers"):
        inspect(app, template, score_pct=100)


def test_an_inspection_needs_a_published_checklist(app: Connection, template: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="needs a published checklist"):
        inspect(app, template)


def test_nobody_audits_oneself(app: Connection, template: UUID) -> None:
    publish(app, template)
    technician = add_technician(app)
    with pytest.raises(errors.CheckViolation, match="inspection_by_another"):
        inspect(app, template, audited_technician_id=technician)


def test_an_inspection_is_somewhere(app: Connection) -> None:
    template = add_template(app, inspection_kind="safety")
    publish(app, template)
    with pytest.raises(errors.CheckViolation, match="inspection_has_a_place"):
        inspect(app, template)


def test_mandatory_questions_are_answered_before_it_is_submitted(
    app: Connection, template: UUID
) -> None:
    asked = add_item(app, template, 1)
    add_item(app, template, 2, is_mandatory=False)
    publish(app, template)
    inspection = inspect(app, template)
    submit = b"UPDATE hs.inspection SET status = 'submitted', submitted_at = now()"
    with pytest.raises(errors.CheckViolation, match="leaves 1 mandatory"), app.transaction():
        app.execute(submit)
    response = answer(app, inspection, asked)
    app.execute(submit)
    with pytest.raises(errors.CheckViolation, match="is submitted"):
        app.execute(
            "UPDATE hs.inspection_response SET verdict = 'fail' WHERE inspection_response_id = %s",
            [response],
        )


@pytest.mark.parametrize(
    ("item", "verdict", "given", "objection"),
    [
        ({"requires_photo_on_fail": True}, "fail", {}, "needs a photo"),
        ({"requires_photo_on_fail": True}, "pass", {}, None),
        ({"answer_kind": "number", "max_value": 9}, "pass", {"answer_value": 9}, None),
        ({"answer_kind": "number", "max_value": 9}, "pass", {"answer_value": 10}, "pass with 10"),
        ({"answer_kind": "number", "max_value": 9}, "fail", {"answer_value": 10}, None),
        ({"answer_kind": "number", "min_value": 1}, "pass", {"answer_value": 0}, "pass with 0"),
        ({"answer_kind": "number"}, "pass", {}, "needs a number"),
        ({"answer_kind": "number"}, "not_applicable", {}, None),
        ({"answer_kind": "choice", "choices": '["a", "b"]'}, "info", {"answer_text": "b"}, None),
        ({"answer_kind": "choice", "choices": '["a"]'}, "info", {"answer_text": "c"}, "choice c"),
    ],
)
def test_an_answer_fits_its_question(
    app: Connection,
    template: UUID,
    item: dict[str, Any],
    verdict: str,
    given: dict[str, Any],
    objection: str | None,
) -> None:
    question = add_item(app, template, 1, **item)
    publish(app, template)
    inspection = inspect(app, template)
    if objection is None:
        answer(app, inspection, question, verdict, **given)
        return
    with pytest.raises(errors.CheckViolation, match=objection):
        answer(app, inspection, question, verdict, **given)


def test_a_photo_proves_the_failure(file: UUID, app: Connection, template: UUID) -> None:
    question = add_item(app, template, 1, requires_photo_on_fail=True)
    publish(app, template)
    answer(app, inspect(app, template), question, "fail", photo_file_object_id=file)
    assert outcome(app) == (0, 0, "fail")


def test_a_question_of_another_checklist_is_not_answered(app: Connection, template: UUID) -> None:
    other = add_item(app, add_template(app, template_code="OTHER"), 1)
    publish(app, template)
    with pytest.raises(errors.CheckViolation, match="no question of the checklist"):
        answer(app, inspect(app, template), other)


def test_a_question_is_answered_once(app: Connection, template: UUID) -> None:
    question = add_item(app, template, 1)
    publish(app, template)
    inspection = inspect(app, template)
    answer(app, inspection, question)
    with pytest.raises(errors.UniqueViolation):
        answer(app, inspection, question)


@pytest.fixture
def place(app: Connection) -> UUID:
    """A customer's location."""
    return add_place(app)


@pytest.mark.parametrize(
    ("kind", "category", "is_red"),
    [
        ("safety", "safety", True),
        ("install_qc", "workmanship", False),
        ("maintenance", "performance", False),
    ],
)
def test_a_failed_critical_question_opens_a_finding_once(
    app: Connection, place: UUID, kind: str, category: str, is_red: bool
) -> None:
    template = add_template(app, inspection_kind=kind)
    critical = add_item(app, template, 1, prompt="Gas leak", is_critical=True)
    minor = add_item(app, template, 2)
    publish(app, template)
    inspection = inspect(app, template, service_location_id=place)
    answer(app, inspection, minor, "fail", severity="minor")
    assert one(app, "SELECT count(*) FROM hs.deficiency") == 0
    answer(app, inspection, critical, "fail", comment_text="at the valve")
    app.execute("UPDATE hs.inspection_response SET is_flagged = true")
    rows = app.execute(
        "SELECT deficiency_number, category, severity, status, description, is_red_tagged,"
        " service_location_id FROM hs.deficiency"
    ).fetchall()
    number = "DEF-000001"
    assert rows == [(number, category, "critical", "open", "Gas leak: at the valve", is_red, place)]


def test_the_place_of_a_finding_is_that_of_the_job(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "in_progress")
    template = add_template(admin, inspection_kind="safety")
    critical = add_item(admin, template, 1, is_critical=True)
    publish(admin, template)
    answer(admin, inspect(admin, template, work_order_id=order), critical, "fail")
    row = admin.execute(
        "SELECT d.found_on_work_order_id, d.service_location_id = w.service_location_id"
        " FROM hs.deficiency AS d JOIN hs.work_order AS w"
        " ON w.work_order_id = d.found_on_work_order_id"
    ).fetchone()
    assert row == (order, True)


def test_a_truck_has_no_finding_at_a_customers(app: Connection) -> None:
    template = add_template(app, inspection_kind="truck")
    critical = add_item(app, template, 1, is_critical=True)
    publish(app, template)
    answer(app, inspect(app, template), critical, "fail")
    assert one(app, "SELECT count(*) FROM hs.deficiency") == 0


def add_finding(connection: Connection, place: UUID, **given: Any) -> UUID:
    columns = {
        "category": "code",
        "severity": "major",
        "description": "No shutoff",
        "found_on": "2026-01-05",
        **given,
    }
    return add(connection, "deficiency", service_location_id=place, **columns)


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"category": "safety", "severity": "critical"}, "danger_is_red_tagged"),
        ({"resolved_on": "2026-01-06"}, "resolved_has_day"),
    ],
)
def test_a_finding_is_plausible(
    app: Connection, place: UUID, given: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"deficiency_{truth}"):
        add_finding(app, place, **given)


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("status = 'declined'", "declined_by_somebody"),
        ("status = 'quoted'", "quoted_in_an_estimate"),
        ("status = 'resolved', resolved_on = '2026-01-04'", "resolved_after_found"),
        ("status = 'resolved'", "resolved_has_day"),
        ("status = 'declined', declined_by_name = 'Ada'", None),
        ("status = 'resolved', resolved_on = '2026-01-05'", None),
    ],
)
def test_what_became_of_a_finding_is_told(
    app: Connection, place: UUID, change: str, truth: str | None
) -> None:
    add_finding(app, place)
    statement = f"UPDATE hs.deficiency SET {change}".encode()
    if truth is None:
        app.execute(statement)
        return
    with pytest.raises(errors.CheckViolation, match=f"deficiency_{truth}"):
        app.execute(statement)


def add_action(connection: Connection, **given: Any) -> UUID:
    """An action that is due on 2026-01-20."""
    columns = {
        "action_kind": "retrain",
        "description": "Train",
        "assigned_on": "2026-01-05",
        "due_on": "2026-01-20",
        **given,
    }
    return add(connection, "corrective_action", **columns)


def test_an_action_answers_one_thing(app: Connection, place: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="answers_one_thing"), app.transaction():
        add_action(app)
    with pytest.raises(errors.CheckViolation, match="answers_one_thing"):
        add_action(app, deficiency_id=add_finding(app, place), safety_incident_id=add_incident(app))


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("status = 'done'", "completed_has_day"),
        ("status = 'done', completed_on = '2026-01-04'", "completed_after_assignment"),
        ("status = 'done', completed_on = '2026-01-05'", None),
        ("status = 'done', completed_on = '2026-01-05', is_effective = true", "tells_effect"),
    ],
)
def test_an_action_is_done_on_a_day(app: Connection, change: str, truth: str | None) -> None:
    add_action(app, safety_incident_id=add_incident(app))
    statement = f"UPDATE hs.corrective_action SET {change}".encode()
    if truth is None:
        app.execute(statement)
        return
    with pytest.raises(errors.CheckViolation, match=truth):
        app.execute(statement)


def test_an_incident_is_closed_when_everything_is_done(app: Connection) -> None:
    incident = add_incident(app)
    first = add_action(app, safety_incident_id=incident)
    add_action(app, safety_incident_id=incident)
    close = b"UPDATE hs.safety_incident SET status = 'closed'"
    with pytest.raises(errors.CheckViolation, match="2 open corrective actions"), app.transaction():
        app.execute(close)
    app.execute("UPDATE hs.corrective_action SET status = 'cancelled'")
    app.execute(close)
    with pytest.raises(errors.CheckViolation, match="is closed"), app.transaction():
        add_action(app, safety_incident_id=incident)
    app.execute("UPDATE hs.safety_incident SET status = 'investigating'")
    add_action(app, safety_incident_id=incident)
    assert first


@pytest.mark.parametrize(("today", "moved"), [("2026-01-20", 0), ("2026-01-21", 1)])
def test_an_action_is_overdue_the_day_after(app: Connection, today: str, moved: int) -> None:
    add_action(app, safety_incident_id=add_incident(app))
    assert one(app, "SELECT hs.mark_overdue_actions(%s)", today) == moved
    assert one(app, "SELECT hs.mark_overdue_actions(%s)", today) == 0, "once"


def add_callback(connection: Connection, original: UUID, again: UUID, **given: Any) -> UUID:
    return add(
        connection,
        "callback",
        original_work_order_id=original,
        callback_work_order_id=again,
        cause=given.pop("cause", "workmanship"),
        **given,
    )


def test_a_callback_counts_the_days_since_the_job(admin: Connection, tenant: UUID) -> None:
    original = bring(admin, tenant, "closed")
    again = add_order(admin, number="WO-2")
    add_callback(admin, original, again)
    assert one(admin, "SELECT days_since_original FROM hs.callback") in (4, 5, 6)
    with pytest.raises(errors.UniqueViolation):
        add_callback(admin, original, again)


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"days_since_original": -1}, "after_the_original"),
        ({"days_since_original": 3, "is_chargeable": True}, "own_fault_is_free"),
    ],
)
def test_a_callback_is_plausible(
    admin: Connection, tenant: UUID, given: dict[str, Any], truth: str
) -> None:
    original = bring(admin, tenant, "closed")
    with pytest.raises(errors.CheckViolation, match=f"callback_{truth}"):
        add_callback(admin, original, add_order(admin, number="WO-2"), **given)


def test_a_callback_is_another_job(admin: Connection, tenant: UUID) -> None:
    original = bring(admin, tenant, "closed")
    with pytest.raises(errors.CheckViolation, match="callback_is_another_job"):
        add_callback(admin, original, original)


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"nps_score": 9}, "scores_are_answers"),
        ({"nps_score": 11, "responded_at": "2026-01-06"}, "nps_bounded"),
        ({"nps_score": -1, "responded_at": "2026-01-06"}, "nps_bounded"),
        ({"responded_at": "2026-01-04"}, "answered_after_sending"),
        ({"is_review_posted": True, "review_rating_score": 5}, "review_is_somewhere"),
        ({"is_review_posted": True, "review_site": "google"}, "review_has_rating"),
    ],
)
def test_a_survey_is_plausible(app: Connection, given: dict[str, Any], truth: str) -> None:
    order = add_order(app)
    with pytest.raises(errors.CheckViolation, match=f"customer_survey_{truth}"):
        add(
            app,
            "customer_survey",
            work_order_id=order,
            channel="sms",
            sent_at="2026-01-05",
            **given,
        )


@pytest.mark.parametrize(("score", "follow_up"), [(6, "open"), (7, "none")])
def test_who_would_not_recommend_us_is_called(app: Connection, score: int, follow_up: str) -> None:
    add(
        app,
        "customer_survey",
        work_order_id=add_order(app),
        channel="sms",
        sent_at="2026-01-05",
    )
    app.execute("UPDATE hs.customer_survey SET nps_score = %s, responded_at = now()", [score])
    assert one(app, "SELECT follow_up_status FROM hs.customer_survey") == follow_up
    app.execute("UPDATE hs.customer_survey SET follow_up_status = 'done'")
    app.execute("UPDATE hs.customer_survey SET nps_score = 3")
    assert one(app, "SELECT follow_up_status FROM hs.customer_survey") == "done"


def add_complaint(connection: Connection, place: UUID, **given: Any) -> UUID:
    columns = {
        "channel": "phone",
        "category": "delay",
        "description": "Late",
        "received_at": "2026-01-05 10:00+00",
        "respond_by_at": "2026-01-06 10:00+00",
        **given,
    }
    return add(
        connection,
        "customer_complaint",
        customer_id=one(
            connection,
            "SELECT customer_id FROM hs.service_location WHERE service_location_id = %s",
            place,
        ),
        **columns,
    )


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("resolution = 'redo'", "resolution_has_time"),
        ("status = 'resolved'", "resolved_has_resolution"),
        ("status = 'resolved', resolution = 'redo', resolved_at = '2026-01-05'", "after_receipt"),
        ("first_response_at = '2026-01-05 09:59+00'", "answered_after_receipt"),
        ("status = 'resolved', resolution = 'redo', resolved_at = '2026-01-06'", None),
    ],
)
def test_a_complaint_ends_with_a_resolution(
    app: Connection, place: UUID, change: str, truth: str | None
) -> None:
    add_complaint(app, place)
    statement = f"UPDATE hs.customer_complaint SET {change}".encode()
    if truth is None:
        app.execute(statement)
        return
    with pytest.raises(errors.CheckViolation, match=truth):
        app.execute(statement)


TEMPLATE = {"draft": {"published", "retired"}, "published": {"retired"}, "retired": set[str]()}
INSPECTION = {
    "scheduled": {"in_progress", "void"},
    "in_progress": {"submitted", "void"},
    "submitted": {"approved", "rejected"},
    "rejected": {"in_progress", "void"},
    "approved": {"void"},
    "void": set[str](),
}
DEFICIENCY = {
    "open": {"quoted", "approved", "resolved", "declined", "deferred"},
    "quoted": {"approved", "declined", "deferred"},
    "approved": {"resolved", "deferred"},
    "deferred": {"open", "quoted", "approved", "declined"},
    "declined": {"quoted", "approved"},
    "resolved": set[str](),
}
ACTION = {
    "open": {"in_progress", "done", "overdue", "cancelled"},
    "in_progress": {"done", "overdue", "cancelled"},
    "overdue": {"in_progress", "done", "cancelled"},
    "done": {"in_progress", "verified"},
    "verified": set[str](),
    "cancelled": set[str](),
}
COMPLAINT = {
    "open": {"investigating", "resolved", "escalated"},
    "investigating": {"resolved", "escalated"},
    "escalated": {"investigating", "resolved"},
    "resolved": {"investigating", "closed"},
    "closed": set[str](),
}
MACHINES = {
    "inspection_template": TEMPLATE,
    "inspection": INSPECTION,
    "deficiency": DEFICIENCY,
    "corrective_action": ACTION,
    "customer_complaint": COMPLAINT,
}


@pytest.mark.parametrize("table", MACHINES)
def test_the_state_machine_refuses_every_other_transition(
    admin: Connection, tenant: UUID, table: str
) -> None:
    become_app(admin, tenant)
    place = add_place(admin)
    template = add_template(admin)
    publish(admin, template)
    inspect(admin, template)
    add_finding(admin, place)
    add_complaint(admin, place)
    add_action(admin, safety_incident_id=add_incident(admin))
    transitions = MACHINES[table]
    _lift_rules_about_states(admin, table)
    for before in transitions:
        for after in transitions.keys() - {before}:
            allowed = may_become(admin, f"hs.{table}", before, after)
            assert allowed == (after in transitions[before]), (before, after)


def _lift_rules_about_states(connection: Connection, table: str) -> None:
    """Drops the CHECKs that ask for days and names with a state: only its moves are looked at."""
    connection.execute("RESET ROLE")
    names = connection.execute(
        "SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname)"
        " FROM pg_constraint WHERE contype = 'c' AND conrelid = %s::regclass",
        [f"hs.{table}"],
    ).fetchall()
    for (statement,) in names:
        connection.execute(statement.encode())
