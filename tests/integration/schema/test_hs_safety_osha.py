"""Deadlines run, days are counted, a certified year stays, and the filing says what it is."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.test_hs_organization import add_branch, one
from tests.integration.schema.test_hs_pricebook import add
from tests.integration.schema.test_hs_workforce import may_become

YEAR = 2025
EVENT = date(YEAR, 3, 3)


def add_establishment(connection: Connection, **given: Any) -> UUID:
    """An establishment of a branch, made where there is none."""
    branch = one(connection, "SELECT branch_id FROM hs.branch") or add_branch(connection)
    columns = {
        "establishment_name": "Shop",
        "legal_company_name": "Acme",
        "street_address": "1 Main St",
        "city": "Chicago",
        "region_code": "IL",
        "postal_code": "60601",
        "naics_code": "238220",
        "size_band": "20_to_99",
        **given,
    }
    return add(connection, "osha_establishment", branch_id=branch, **columns)


def add_incident(connection: Connection, **given: Any) -> UUID:
    """An injury on EVENT, reported an hour later, at the one establishment."""
    establishment = one(connection, "SELECT osha_establishment_id FROM hs.osha_establishment")
    columns = {
        "osha_establishment_id": establishment or add_establishment(connection),
        "incident_kind": "injury",
        "severity": "medical_treatment",
        "place_description": "Roof",
        "what_happened": "Fell.",
        "occurred_at": f"{EVENT} 15:00+00",
        "reported_at": f"{EVENT} 16:00+00",
        **given,
    }
    return add(connection, "safety_incident", **columns)


def add_case(connection: Connection, number: str = "001", **given: Any) -> UUID:
    """A case of a new incident."""
    incident = add_incident(connection)
    person = add(
        connection,
        "incident_person",
        safety_incident_id=incident,
        involvement="injured",
        person_name="Grace",
        body_part="ankle",
        injury_nature="sprain",
    )
    columns = {
        "employee_name": "Grace",
        "job_title": "Installer",
        "event_on": EVENT,
        "recorded_on": EVENT + timedelta(days=2),
        "where_occurred": "Roof",
        "description": "Sprained ankle",
        **given,
    }
    return add(
        connection,
        "osha_case",
        osha_establishment_id=one(
            connection, "SELECT osha_establishment_id FROM hs.osha_establishment"
        ),
        safety_incident_id=incident,
        incident_person_id=person,
        case_number=number,
        **columns,
    )


def add_days(
    connection: Connection, case: UUID, kind: str, start: int, days: int, text: str = "No ladders"
) -> UUID:
    """So many days that begin so many days after the event."""
    return add(
        connection,
        "osha_restriction_period",
        osha_case_id=case,
        period_kind=kind,
        starts_on=EVENT + timedelta(days=start),
        ends_on=EVENT + timedelta(days=start + days - 1),
        restriction_text=text,
    )


def add_hours(connection: Connection, month: int, people: int = 10, hours: int = 1000) -> UUID:
    return add(
        connection,
        "osha_hours_worked",
        osha_establishment_id=one(
            connection, "SELECT osha_establishment_id FROM hs.osha_establishment"
        ),
        month_on=date(YEAR, month, 1),
        employee_count=people,
        hours_worked=hours,
    )


def build(connection: Connection, year: int = YEAR) -> dict[str, Any]:
    """The summary of a year, built anew."""
    found: dict[str, Any] = one(
        connection,
        "SELECT to_jsonb(s) FROM hs.osha_establishment AS e,"
        " hs.build_osha_300a(e.osha_establishment_id, %s) AS s",
        year,
    )
    return found


def certify(connection: Connection) -> None:
    connection.execute(
        "UPDATE hs.osha_300a_summary SET certified_by_name = 'Ada', certified_title = 'Owner',"
        " certified_on = %s",
        [date(YEAR + 1, 1, 20)],
    )


@pytest.mark.parametrize(
    ("given", "hours"),
    [
        ({"severity": "fatality"}, 8),
        ({"severity": "hospitalization"}, 24),
        ({"severity": "lost_time", "is_amputation": True}, 24),
        ({"severity": "medical_treatment", "is_eye_loss": True}, 24),
        ({"severity": "fatality", "incident_kind": "vehicle"}, 8),
        ({"severity": "fatality", "report_exemption": "public_road"}, None),
        ({"severity": "fatality", "incident_kind": "customer_injury"}, None),
        ({"severity": "lost_time"}, None),
        ({"severity": "fatality", "outcome_known_at": f"{EVENT} 20:00+00"}, 12),
    ],
)
def test_what_is_severe_is_reported_within_hours(
    app: Connection, given: dict[str, Any], hours: int | None
) -> None:
    add_incident(app, **given)
    assert (
        one(
            app,
            "SELECT extract(epoch FROM osha_report_due_at - reported_at)::integer / 3600"
            " FROM hs.safety_incident",
        )
        == hours
    )


def test_the_hours_are_those_of_the_establishment(app: Connection) -> None:
    add_establishment(app, fatality_report_hours=4)
    add_incident(app, severity="fatality")
    assert one(app, "SELECT osha_report_due_at - reported_at FROM hs.safety_incident") == timedelta(
        hours=4
    )


def test_when_it_turns_out_worse_the_clock_starts_anew(app: Connection) -> None:
    add_incident(app, severity="hospitalization")
    app.execute("UPDATE hs.safety_incident SET osha_reported_at = now()")
    app.execute("UPDATE hs.safety_incident SET severity = 'fatality'")
    row = app.execute(
        "SELECT osha_report_due_at - now(), osha_reported_at FROM hs.safety_incident"
    ).fetchone()
    assert row == (timedelta(hours=8), None), "OSHA knows of the admission only"


def test_nobody_sets_the_deadline(app: Connection) -> None:
    add_incident(app, severity="lost_time")
    app.execute("UPDATE hs.safety_incident SET osha_report_due_at = now()")
    assert one(app, "SELECT osha_report_due_at FROM hs.safety_incident") is None


def test_what_was_not_reported_is_not_closed(app: Connection) -> None:
    add_incident(app, severity="fatality")
    with pytest.raises(errors.CheckViolation, match="safety_incident_closed_is_told"):
        app.execute("UPDATE hs.safety_incident SET status = 'closed'")


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"incident_kind": "near_miss"}, "near_miss_hurts_nobody"),
        ({"severity": "first_aid", "is_amputation": True}, "loss_is_severe"),
        (
            {"reported_at": f"{EVENT} 14:59+00", "outcome_known_at": f"{EVENT} 16:00+00"},
            "reported_after_it_happened",
        ),
        ({"outcome_known_at": f"{EVENT} 14:59+00"}, "known_after_it_happened"),
    ],
)
def test_an_incident_is_plausible(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"safety_incident_{truth}"):
        add_incident(app, **given)


def test_incidents_are_numbered_by_the_tenants_sequence(app: Connection) -> None:
    add_incident(app)
    add_incident(app)
    numbers = app.execute("SELECT incident_number FROM hs.safety_incident ORDER BY 1").fetchall()
    assert numbers == [("INC-000001",), ("INC-000002",)]


def test_who_is_hurt_has_a_body_part(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="incident_person_injury_is_named"):
        add(
            app,
            "incident_person",
            safety_incident_id=add_incident(app),
            involvement="injured",
            person_name="Grace",
        )


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"completed_on": EVENT}, "incident_investigation_complete_has_cause"),
        ({"approved_on": EVENT}, "incident_investigation_approves_what_is_complete"),
        (
            {"completed_on": EVENT - timedelta(days=1), "root_cause": "ppe"},
            "incident_investigation_completed_after_opening",
        ),
    ],
)
def test_an_investigation_ends_with_a_cause(
    app: Connection, given: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        add(
            app,
            "incident_investigation",
            safety_incident_id=add_incident(app),
            method="five_whys",
            opened_on=EVENT,
            due_on=EVENT,
            **given,
        )


Span = tuple[str, int, int]


@pytest.mark.parametrize(
    ("spans", "found"),
    [
        ([], ("other_recordable", 0, 0)),
        ([("restricted", 1, 5)], ("job_transfer_restriction", 0, 5)),
        ([("transferred", 1, 5), ("days_away", 9, 1)], ("days_away", 1, 5)),
        ([("days_away", 1, 180)], ("days_away", 180, 0)),
        ([("days_away", 1, 181)], ("days_away", 180, 0)),
        ([("days_away", 1, 100), ("restricted", 101, 100)], ("days_away", 100, 80)),
        ([("restricted", 101, 100), ("days_away", 1, 100)], ("days_away", 100, 80)),
        ([("restricted", 1, 180), ("days_away", 181, 10)], ("job_transfer_restriction", 0, 180)),
    ],
)
def test_days_are_counted_up_to_the_cap_in_order_of_time(
    app: Connection, spans: list[Span], found: tuple[str, int, int]
) -> None:
    case = add_case(app)
    for kind, start, days in spans:
        add_days(app, case, kind, start, days)
    row = app.execute(
        "SELECT outcome, days_away_count, days_restricted_count FROM hs.osha_case"
    ).fetchone()
    assert row == found


def test_a_span_tells_that_it_was_capped(app: Connection) -> None:
    case = add_case(app)
    span = add_days(app, case, "days_away", 1, 181)
    assert one(app, "SELECT is_capped FROM hs.osha_restriction_period")
    app.execute("UPDATE hs.osha_restriction_period SET ends_on = ends_on - 1")
    assert not one(app, "SELECT is_capped FROM hs.osha_restriction_period")
    app.execute(
        "DELETE FROM hs.osha_restriction_period WHERE osha_restriction_period_id = %s", [span]
    )
    assert one(app, "SELECT outcome FROM hs.osha_case") == "other_recordable"


def test_the_cap_is_that_of_the_establishment(app: Connection) -> None:
    add_establishment(app, day_count_cap=10)
    add_days(app, add_case(app), "days_away", 1, 11)
    assert one(app, "SELECT days_away_count FROM hs.osha_case") == 10


def test_a_span_that_moves_to_another_case_counts_there(app: Connection) -> None:
    first, second = add_case(app), add_case(app, "002")
    add_days(app, first, "days_away", 1, 3)
    app.execute("UPDATE hs.osha_restriction_period SET osha_case_id = %s", [second])
    counts = app.execute("SELECT days_away_count FROM hs.osha_case ORDER BY case_number")
    assert counts.fetchall() == [(0,), (3,)]


def test_the_day_of_the_event_is_not_counted(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="count from the day after"):
        add_days(app, add_case(app), "days_away", 0, 3)


def test_an_event_does_not_move_behind_its_days(app: Connection) -> None:
    add_days(app, add_case(app), "days_away", 1, 3)
    with pytest.raises(errors.CheckViolation, match="count from the day after"):
        app.execute("UPDATE hs.osha_case SET event_on = event_on + 1")


def test_spans_of_a_case_do_not_overlap(app: Connection) -> None:
    case = add_case(app)
    add_days(app, case, "days_away", 1, 3)
    with pytest.raises(errors.ExclusionViolation, match="one_at_a_time"):
        add_days(app, case, "restricted", 3, 3)


def test_death_is_the_worst_outcome(app: Connection) -> None:
    add_days(app, add_case(app), "days_away", 1, 3)
    app.execute("UPDATE hs.osha_case SET died_on = event_on + 4")
    assert one(app, "SELECT outcome FROM hs.osha_case") == "death"


def test_nobody_counts_by_hand(app: Connection) -> None:
    add_case(app)
    with (
        pytest.raises(errors.RestrictViolation, match="counted from its periods"),
        app.transaction(),
    ):
        app.execute("UPDATE hs.osha_case SET days_away_count = 3")
    with pytest.raises(errors.RestrictViolation, match="counted from its periods"):
        add_case(app, "002", days_away_count=3)


def test_a_case_is_of_a_person_of_its_incident(app: Connection) -> None:
    add_case(app)
    other = add_incident(app)
    with pytest.raises(errors.ForeignKeyViolation):
        app.execute("UPDATE hs.osha_case SET safety_incident_id = %s", [other])


@pytest.mark.parametrize(
    ("after", "reason", "refused"),
    [(7, None, False), (8, None, True), (8, "The clinic was slow.", False)],
)
def test_form_301_is_due_within_the_week(
    app: Connection, after: int, reason: str | None, refused: bool
) -> None:
    report = {
        "osha_case_id": add_case(app),
        "activity_before_event": "Climbing",
        "what_happened": "Fell",
        "injury_detail": "Sprain",
        "completed_by_name": "Ada",
        "completed_on": EVENT + timedelta(days=after),
        "late_reason": reason,
    }
    if refused:
        with pytest.raises(errors.CheckViolation, match="osha_301_report_late_has_reason"):
            add(app, "osha_301_report", **report)
    else:
        add(app, "osha_301_report", **report)
        assert one(app, "SELECT due_on FROM hs.osha_301_report") == EVENT + timedelta(days=7)


def test_the_log_masks_a_privacy_case(app: Connection) -> None:
    add_case(app)
    add_case(app, "002", is_privacy_case=True, recorded_on=EVENT + timedelta(days=8))
    rows = app.execute(
        "SELECT case_number, employee_name, is_other, is_late_entry, log_year"
        " FROM hs.v_osha_300_log ORDER BY case_number"
    ).fetchall()
    assert rows == [
        ("001", "Grace", True, False, YEAR),
        ("002", "Privacy case", True, True, YEAR),
    ]


@pytest.fixture
def year(app: Connection) -> UUID:
    """A year of 12,000 hours: a case of each outcome, one lined out; returns the one away."""
    away = add_case(app)
    add_days(app, away, "days_away", 1, 20)
    add_days(app, add_case(app, "002"), "restricted", 1, 10)
    add_case(app, "003", injury_type="hearing_loss")
    add_case(app, "004", died_on=EVENT)
    add_case(app, "005", is_removed=True)
    for month in range(1, 13):
        add_hours(app, month, people=10 + month % 2)
    return away


def test_the_summary_sums_the_year(app: Connection, year: UUID) -> None:
    built = build(app)
    found = {
        name: built[name]
        for name in (
            "death_count",
            "days_away_case_count",
            "restricted_case_count",
            "other_case_count",
            "days_away_total_days",
            "restricted_total_days",
            "injury_count",
            "average_employee_count",
            "total_hours_worked",
        )
    }
    assert list(found.values()) == [1, 1, 1, 1, 20, 10, 3, 11, 12000]
    assert built["illness_breakdown"]["hearing_loss"] == 1
    assert built["illness_breakdown"]["poisoning"] == 0
    assert built["trir_rate"] == pytest.approx(4 * 200000 / 12000, abs=0.01)
    assert built["dart_rate"] == pytest.approx(2 * 200000 / 12000, abs=0.01)


def test_a_summary_is_built_anew_until_it_is_certified(app: Connection, year: UUID) -> None:
    first = build(app)
    app.execute("UPDATE hs.osha_case SET is_removed = true WHERE case_number = '003'")
    again = build(app)
    assert again["osha_300a_summary_id"] == first["osha_300a_summary_id"]
    assert again["other_case_count"] == 0
    certify(app)
    with pytest.raises(errors.RestrictViolation, match="is certified"):
        build(app)


def test_a_year_without_hours_has_no_summary(app: Connection, year: UUID) -> None:
    with pytest.raises(errors.NoDataFound, match="no hours in 2024"):
        build(app, YEAR - 1)


def test_another_tenant_has_nothing_to_sum(admin: Connection, app: Connection, year: UUID) -> None:
    establishment = one(app, "SELECT osha_establishment_id FROM hs.osha_establishment")
    admin.execute("RESET ROLE")
    become_app(admin, add_tenant(admin, "second"))
    with pytest.raises(errors.NoDataFound):
        one(admin, "SELECT hs.build_osha_300a(%s, %s)", establishment, YEAR)


def test_only_the_truth_is_certified(app: Connection, year: UUID) -> None:
    build(app)
    app.execute("UPDATE hs.osha_case SET is_removed = true WHERE case_number = '003'")
    with pytest.raises(errors.CheckViolation, match="not what cases and hours sum to"):
        certify(app)


def test_who_imports_certifies_only_the_truth_too(
    admin: Connection, app: Connection, year: UUID
) -> None:
    build(app)
    admin.execute("RESET ROLE")
    admin.execute("UPDATE hs.osha_300a_summary SET other_case_count = 2")
    with pytest.raises(errors.CheckViolation, match="not what cases and hours sum to"):
        certify(admin)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE hs.osha_case SET description = 'x' WHERE case_number = '001'",
        "UPDATE hs.osha_case SET event_on = '2024-02-02', recorded_on = '2024-02-02'"
        " WHERE case_number = '003'",
        "DELETE FROM hs.osha_case WHERE case_number = '003'",
        "UPDATE hs.osha_restriction_period SET ends_on = ends_on + 1",
        "UPDATE hs.osha_restriction_period SET physician_release_on = ends_on",
        "DELETE FROM hs.osha_restriction_period",
        "UPDATE hs.osha_hours_worked SET hours_worked = 1001 WHERE month_on = '2025-12-01'",
        "DELETE FROM hs.osha_hours_worked",
    ],
)
def test_a_certified_year_stays(app: Connection, year: UUID, change: str) -> None:
    build(app)
    certify(app)
    with pytest.raises(errors.RestrictViolation, match="certified"), app.transaction():
        app.execute(change.encode())
    app.execute(
        "UPDATE hs.osha_300a_summary SET certified_by_name = NULL, certified_title = NULL,"
        " certified_on = NULL"
    )
    app.execute(change.encode())


def test_a_certified_year_takes_no_more(app: Connection, year: UUID) -> None:
    build(app)
    certify(app)
    with pytest.raises(errors.RestrictViolation, match="certified"), app.transaction():
        add_case(app, "006")
    with pytest.raises(errors.RestrictViolation, match="certified"), app.transaction():
        add_days(app, year, "restricted", 30, 2)
    with pytest.raises(errors.RestrictViolation, match="certified"):
        app.execute("DELETE FROM hs.osha_300a_summary")


def test_history_is_imported_around_a_certified_year(
    admin: Connection, app: Connection, year: UUID
) -> None:
    build(app)
    certify(app)
    admin.execute("RESET ROLE")
    admin.execute("UPDATE hs.osha_case SET description = 'x'")


@pytest.mark.parametrize(
    ("certified", "posted", "until", "truth"),
    [
        (date(YEAR, 12, 31), None, None, "certified_after_the_year"),
        (date(YEAR + 1, 1, 20), date(YEAR + 1, 2, 2), date(YEAR + 1, 4, 30), "february_to_april"),
        (date(YEAR + 1, 1, 20), date(YEAR + 1, 2, 1), date(YEAR + 1, 4, 29), "february_to_april"),
        (date(YEAR + 1, 1, 20), date(YEAR + 1, 1, 19), date(YEAR + 1, 4, 30), "february_to_april"),
        (date(YEAR + 1, 1, 20), date(YEAR + 1, 2, 1), None, "posted_is_whole"),
        (date(YEAR + 1, 1, 20), date(YEAR + 1, 2, 1), date(YEAR + 1, 4, 30), None),
    ],
)
def test_the_summary_hangs_from_february_to_april(
    app: Connection,
    year: UUID,
    certified: date,
    posted: date | None,
    until: date | None,
    truth: str | None,
) -> None:
    build(app)
    change = (
        "UPDATE hs.osha_300a_summary SET certified_by_name = 'Ada', certified_title = 'Owner',"
        " certified_on = %s, posted_from_on = %s, posted_until_on = %s"
    )
    if truth is None:
        app.execute(change.encode(), [certified, posted, until])
        return
    with pytest.raises(errors.CheckViolation, match=truth):
        app.execute(change.encode(), [certified, posted, until])


def test_a_closed_month_stays_until_it_is_opened(app: Connection) -> None:
    add_establishment(app)
    add_hours(app, 1)
    app.execute("UPDATE hs.osha_hours_worked SET closed_at = now()")
    change = "UPDATE hs.osha_hours_worked SET hours_worked = 999"
    with pytest.raises(errors.RestrictViolation, match="2025-01 are closed"), app.transaction():
        app.execute(change.encode())
    app.execute(f"{change}, closed_at = NULL".encode())


def test_hours_are_of_a_month(app: Connection) -> None:
    add_establishment(app)
    add_hours(app, 1)
    with pytest.raises(errors.CheckViolation, match="osha_hours_worked_month_begins"):
        app.execute("UPDATE hs.osha_hours_worked SET month_on = month_on + 1")


def file(connection: Connection, **given: Any) -> UUID:
    """A filing of the summary, with the payload that the application takes."""
    row = connection.execute(
        "SELECT osha_establishment_id, osha_300a_summary_id, log_year,"
        " hs.ita_payload(business_id, osha_300a_summary_id) FROM hs.osha_300a_summary"
    ).fetchone()
    assert row
    return add(
        connection,
        "ita_submission",
        osha_establishment_id=row[0],
        osha_300a_summary_id=row[1],
        filing_year=row[2],
        submission_kind="form_300a",
        payload=json.dumps(row[3]),
        due_on=date(YEAR + 1, 3, 2),
        **given,
    )


def answer(connection: Connection, filing: UUID, code: int, *messages: str) -> str:
    """What becomes of a filing that was sent and answered."""
    connection.execute(
        "UPDATE hs.ita_submission SET status = 'sent', sent_at = %s WHERE ita_submission_id = %s",
        [f"{YEAR + 1}-03-02 12:00+00", filing],
    )
    found: str = one(
        connection,
        "SELECT hs.record_ita_response(%s, %s, %s)",
        filing,
        code,
        json.dumps({"id": "X1", "errors": [{"field": "ein", "message": m} for m in messages]}),
    )
    return found


def test_the_payload_is_in_the_fields_of_the_application(app: Connection, year: UUID) -> None:
    build(app)
    payload = one(
        app, "SELECT hs.ita_payload(business_id, osha_300a_summary_id) FROM hs.osha_300a_summary"
    )
    assert payload["size"] == 21
    assert payload["total_dafw_cases"] == 1
    assert payload["total_djtr_days"] == 10
    assert payload["total_hearing_loss"] == 1
    assert payload["no_injuries_illnesses"] == 1
    app.execute("UPDATE hs.osha_case SET is_removed = true")
    build(app)
    assert (
        one(
            app,
            "SELECT hs.ita_payload(business_id, osha_300a_summary_id)"
            " ->> 'no_injuries_illnesses' FROM hs.osha_300a_summary",
        )
        == "2"
    )


def test_errors_send_a_filing_back(app: Connection, year: UUID) -> None:
    build(app)
    filing = file(app)
    assert answer(app, filing, 422, "is missing", "has nine digits") == "rejected"
    errors_found = app.execute(
        "SELECT error_no, field, message FROM hs.v_ita_submission_error ORDER BY 1"
    ).fetchall()
    assert errors_found == [(1, "ein", "is missing"), (2, "ein", "has nine digits")]
    assert one(app, "SELECT error_count FROM hs.v_ita_filing_status") == 2


@pytest.mark.parametrize(
    ("code", "messages", "became"),
    [
        (200, (), "accepted"),
        (201, (), "accepted"),
        (200, ("no",), "rejected"),
        (500, (), "rejected"),
    ],
)
def test_a_success_without_errors_is_accepted(
    app: Connection, year: UUID, code: int, messages: tuple[str, ...], became: str
) -> None:
    build(app)
    assert answer(app, file(app), code, *messages) == became


def test_filing_again_needs_a_reason_and_supersedes(app: Connection, year: UUID) -> None:
    build(app)
    answer(app, file(app), 200)
    with pytest.raises(errors.CheckViolation, match="needs a reason"), app.transaction():
        file(app)
    assert answer(app, file(app, change_reason="A case was removed."), 200) == "accepted"
    states = app.execute("SELECT status FROM hs.ita_submission ORDER BY 1").fetchall()
    assert states == [("accepted",), ("superseded",)]


def test_what_was_rejected_is_filed_again_without_a_reason(app: Connection, year: UUID) -> None:
    build(app)
    answer(app, file(app), 422, "no")
    file(app)


def test_only_the_tenants_own_filing_is_answered(app: Connection) -> None:
    with pytest.raises(errors.NoDataFound, match="no such filing"):
        one(app, "SELECT hs.record_ita_response(gen_random_uuid(), 200, '{}')")


def test_a_payload_is_hashed_and_stays_once_sent(app: Connection, year: UUID) -> None:
    build(app)
    filing = file(app, payload_hash="0" * 64)
    assert one(
        app,
        "SELECT payload_hash = encode(sha256(payload::text::bytea), 'hex') FROM hs.ita_submission",
    )
    answer(app, filing, 200)
    with pytest.raises(errors.RestrictViolation, match="what was sent"):
        app.execute("UPDATE hs.ita_submission SET payload = '{}'")


@pytest.mark.parametrize(("sent", "late"), [("2026-03-02", False), ("2026-03-04", True)])
def test_the_status_report_tells_what_is_late(
    app: Connection, year: UUID, sent: str, late: bool
) -> None:
    build(app)
    file(app)
    app.execute("UPDATE hs.ita_submission SET status = 'sent', sent_at = %s", [f"{sent} 12:00+00"])
    assert one(app, "SELECT is_late FROM hs.v_ita_filing_status") is late


INCIDENT = {
    "reported": {"investigating", "action_open", "closed"},
    "investigating": {"action_open", "closed"},
    "action_open": {"investigating", "closed"},
    "closed": {"investigating"},
}
SUBMISSION = {
    "pending": {"sent"},
    "sent": {"accepted", "rejected"},
    "accepted": {"superseded"},
    "rejected": set[str](),
    "superseded": set[str](),
}


def test_an_incident_moves_as_its_machine_says(app: Connection) -> None:
    add_incident(app)
    _moves_only(app, "hs.safety_incident", INCIDENT)


def test_a_filing_moves_as_its_machine_says(admin: Connection, app: Connection, year: UUID) -> None:
    build(app)
    file(app)
    admin.execute("RESET ROLE")
    admin.execute("ALTER TABLE hs.ita_submission DROP CONSTRAINT ita_submission_sent_has_time")
    admin.execute("UPDATE hs.ita_submission SET http_status = 200, confirmation_ref = 'X'")
    _moves_only(admin, "hs.ita_submission", SUBMISSION)


def _moves_only(connection: Connection, table: str, transitions: dict[str, set[str]]) -> None:
    for before in transitions:
        for after in transitions.keys() - {before}:
            allowed = may_become(connection, table, before, after)
            assert allowed == (after in transitions[before]), (before, after)
