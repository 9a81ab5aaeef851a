"""Incidents move by phases with proof, open their playbook, and start the clocks of a breach."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection

TRANSITIONS = {
    "declared": {"analysis"},
    "analysis": {"containment", "post_incident"},
    "containment": {"eradication", "analysis"},
    "eradication": {"recovery", "containment"},
    "recovery": {"post_incident", "eradication"},
    "post_incident": {"closed", "recovery"},
    "closed": set(),
}
PHASES = list(TRANSITIONS)
STEPS = [
    {"code": "scope", "title": "Scope", "phase": "analysis", "mandatory": True,
     "owner_role": "commander", "due_hours": 4},
    {"code": "isolate", "title": "Isolate", "phase": "containment", "mandatory": True},
    {"code": "learn", "title": "Learn", "phase": "post_incident", "mandatory": False},
]  # fmt: skip
CONTACTS = [
    {"regime": "gdpr", "recipient_kind": "supervisory_authority", "recipient_name": "Authority",
     "method": "portal", "hours": 72, "requires": "risk"},
    {"regime": "gdpr", "recipient_kind": "data_subject", "recipient_name": "Persons",
     "hours": 100, "requires": "high_risk"},
    {"regime": "hipaa", "recipient_kind": "hhs", "recipient_name": "HHS", "hours": 1440,
     "requires": "phi", "min_persons": 500},
    {"regime": "pci_dss", "recipient_kind": "acquirer", "recipient_name": "Bank", "hours": 24,
     "requires": "cardholder_data"},
]  # fmt: skip


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def playbook(
    connection: Connection,
    *,
    code: str = "PB",
    category: str = "malware",
    steps: list[dict[str, Any]] | None = None,
    contacts: list[dict[str, Any]] | None = None,
    approve: bool = True,
) -> UUID:
    """A playbook with three steps, approved unless said otherwise."""
    made: UUID = one(
        connection,
        "INSERT INTO security_mgmt.response_playbook (business_id, code, name, category, steps,"
        " contact_tree) VALUES (tenant_mgmt.current_business_id(), %s, 'Playbook', %s, %s, %s)"
        " RETURNING response_playbook_id",
        code,
        category,
        json.dumps(STEPS if steps is None else steps),
        json.dumps(contacts or []),
    )
    if approve:
        connection.execute(
            "UPDATE security_mgmt.response_playbook SET status = 'approved'"
            " WHERE response_playbook_id = %s",
            [made],
        )
    return made


def incident(
    connection: Connection, *, category: str = "malware", commander: UUID | None = None
) -> UUID:
    """An incident that was detected an hour ago."""
    made: UUID = one(
        connection,
        "INSERT INTO security_mgmt.incident (business_id, title, category, severity, detected_at,"
        " commander_user_account_id) VALUES (tenant_mgmt.current_business_id(), 'Incident', %s,"
        " 'sev2', now() - interval '1 hour', %s) RETURNING incident_id",
        category,
        commander,
    )
    return made


def move(connection: Connection, incident: UUID, phase: str, note: str | None = "because") -> None:
    connection.execute(
        "SELECT security_mgmt.transition_incident(%s, %s, %s)", [incident, phase, note]
    )


def walk(connection: Connection, incident: UUID, phase: str) -> None:
    """Takes an incident forward to a phase, with its cause known."""
    connection.execute("UPDATE security_mgmt.incident SET root_cause = 'A weak password'")
    for step in PHASES[1 : PHASES.index(phase) + 1]:
        move(connection, incident, step)


def settle(connection: Connection, code: str, state: str = "done") -> None:
    connection.execute(
        "UPDATE security_mgmt.incident_task SET state = %s, result_note = 'Nothing to isolate'"
        " WHERE playbook_step_code = %s",
        [state, code],
    )


# --- Phases -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [(a, b) for a in PHASES for b in PHASES if a != b])
def test_an_incident_moves_as_its_phases_allow(app: Connection, before: str, after: str) -> None:
    case = incident(app)
    walk(app, case, before)
    if after in TRANSITIONS[before]:
        move(app, case, after)
        assert one(app, "SELECT phase FROM security_mgmt.incident") == after
        last = (
            "SELECT summary FROM security_mgmt.incident_timeline_entry"
            " ORDER BY entry_no DESC LIMIT 1"
        )
        assert one(app, last) == f"{before} to {after}"
    else:
        with pytest.raises(errors.CheckViolation, match="cannot become"):
            move(app, case, after)


def test_an_incident_starts_as_declared(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as recovery"):
        app.execute(
            "INSERT INTO security_mgmt.incident (business_id, title, category, severity, phase,"
            " detected_at, contained_at) VALUES (tenant_mgmt.current_business_id(), 'x',"
            " 'malware', 'sev1', 'recovery', now(), now())"
        )


def test_times_follow_the_phase(app: Connection) -> None:
    case = incident(app)
    times = "SELECT contained_at, recovered_at, closed_at FROM security_mgmt.incident"
    walk(app, case, "containment")
    assert app.execute(times).fetchone() == (None, None, None)
    move(app, case, "eradication")
    assert one(app, "SELECT contained_at = now() FROM security_mgmt.incident")
    move(app, case, "containment")
    assert app.execute(times).fetchone() == (None, None, None), "it was not contained after all"
    for phase in PHASES[3:]:
        move(app, case, phase)
    row = app.execute(times).fetchone()
    assert row is not None
    assert None not in row


def test_a_false_alarm_is_never_contained(app: Connection) -> None:
    case = incident(app)
    walk(app, case, "analysis")
    move(app, case, "post_incident")
    move(app, case, "closed")
    assert one(app, "SELECT contained_at FROM security_mgmt.incident") is None


@pytest.mark.parametrize("note", [None, "", "  "])
def test_a_step_back_needs_a_reason(app: Connection, note: str | None) -> None:
    case = incident(app)
    walk(app, case, "containment")
    with pytest.raises(errors.CheckViolation, match="say why it goes back"):
        move(app, case, "analysis", note)


def test_a_step_back_cannot_be_taken_in_silence(app: Connection) -> None:
    app.execute(
        "INSERT INTO security_mgmt.incident (business_id, title, category, severity, detected_at)"
        " VALUES (tenant_mgmt.current_business_id(), 'x', 'malware', 'sev3', now())"
    )
    for phase in ("analysis", "containment"):
        app.execute("UPDATE security_mgmt.incident SET phase = %s", [phase])
    with pytest.raises(errors.CheckViolation, match="needs an entry in the timeline"):
        app.execute("UPDATE security_mgmt.incident SET phase = 'analysis'")


def test_a_phase_is_not_entered_twice(app: Connection) -> None:
    case = incident(app)
    with pytest.raises(errors.CheckViolation, match="is in declared already"):
        move(app, case, "declared")


def test_there_must_be_an_incident(app: Connection, tenant: UUID) -> None:
    with pytest.raises(errors.NoDataFound):
        move(app, tenant, "analysis")


def test_closing_needs_a_cause(app: Connection) -> None:
    case = incident(app)
    walk(app, case, "post_incident")
    app.execute("UPDATE security_mgmt.incident SET root_cause = NULL")
    with pytest.raises(errors.CheckViolation, match="closed_has_cause"):
        move(app, case, "closed")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("detected_at", "now() + interval '1 hour'"),
        ("contained_at", "now() - interval '1 hour'"),
        ("recovered_at", "now()"),
    ],
)
def test_times_are_in_order(app: Connection, column: str, value: str) -> None:
    incident(app)
    with pytest.raises(errors.CheckViolation):
        app.execute(f"UPDATE security_mgmt.incident SET {column} = {value}".encode())


def test_incidents_are_numbered(app: Connection) -> None:
    incident(app)
    incident(app)
    rows = app.execute(
        "SELECT incident_number FROM security_mgmt.incident ORDER BY incident_number"
    ).fetchall()
    assert rows == [("INC-000001",), ("INC-000002",)]


# --- Playbooks and tasks ------------------------------------------------------------------------


def test_an_incident_opens_the_steps_of_its_playbook(app: Connection, account: UUID) -> None:
    playbook(app)
    playbook(app, code="OTHER", category="phishing")
    incident(app, commander=account)
    rows = app.execute(
        "SELECT step_no, playbook_step_code, task_phase, is_mandatory,"
        " due_at - now() = interval '4 hours', assignee_user_account_id"
        " FROM security_mgmt.incident_task ORDER BY step_no"
    ).fetchall()
    assert rows == [
        (1, "scope", "analysis", True, True, account),
        (2, "isolate", "containment", True, None, None),
        (3, "learn", "post_incident", False, None, None),
    ]


def test_another_playbook_adds_its_steps(app: Connection) -> None:
    playbook(app)
    incident(app)
    more = [{"code": "call", "title": "Call", "phase": "analysis", "mandatory": False}]
    other = playbook(app, code="OTHER", category="phishing", steps=[STEPS[0], *more])
    app.execute("UPDATE security_mgmt.incident SET response_playbook_id = %s", [other])
    rows = app.execute(
        "SELECT playbook_step_code FROM security_mgmt.incident_task ORDER BY step_no"
    ).fetchall()
    assert [code for (code,) in rows] == ["scope", "isolate", "learn", "call"]


def test_a_draft_is_not_followed(app: Connection) -> None:
    playbook(app, approve=False)
    incident(app)
    assert one(app, "SELECT count(*) FROM security_mgmt.incident_task") == 0


def test_a_phase_ends_with_its_mandatory_tasks(app: Connection) -> None:
    playbook(app)
    case = incident(app)
    move(app, case, "analysis")
    with pytest.raises(errors.CheckViolation, match="steps are open: 1 Scope"):
        move(app, case, "containment")


def test_a_task_that_is_done_has_its_times(app: Connection) -> None:
    playbook(app)
    case = incident(app)
    settle(app, "scope")
    row = app.execute(
        "SELECT started_at = now(), done_at = now() FROM security_mgmt.incident_task"
        " WHERE state = 'done'"
    ).fetchone()
    assert row == (True, True)
    walk(app, case, "containment")


@pytest.mark.parametrize("state", ["open", "doing", "blocked"])
def test_an_incident_does_not_close_over_mandatory_tasks(app: Connection, state: str) -> None:
    playbook(app)
    case = incident(app)
    settle(app, "scope")
    walk(app, case, "analysis")
    settle(app, "isolate", state)
    move(app, case, "post_incident")
    with pytest.raises(errors.CheckViolation, match="mandatory steps open: 2 Isolate"):
        move(app, case, "closed")


@pytest.mark.parametrize("state", ["done", "not_needed"])
def test_an_incident_closes_when_they_are_done_or_not_needed(app: Connection, state: str) -> None:
    playbook(app)
    case = incident(app)
    settle(app, "scope")
    settle(app, "isolate", state)
    walk(app, case, "closed")
    assert one(app, "SELECT closed_at = now() FROM security_mgmt.incident")
    with pytest.raises(errors.CheckViolation, match="the incident is closed"):
        settle(app, "scope", "open")


def test_a_mandatory_task_is_left_out_for_a_reason(app: Connection) -> None:
    playbook(app)
    incident(app)
    with pytest.raises(errors.CheckViolation, match="left_out_has_reason"):
        app.execute("UPDATE security_mgmt.incident_task SET state = 'not_needed'")


@pytest.mark.parametrize(
    "steps",
    [
        [{"code": "a", "title": "A", "phase": "analysis"}],
        [{"code": "a", "title": "A", "phase": "someday", "mandatory": True}],
        [{"code": "a", "phase": "analysis", "mandatory": True}],
        [{"title": "A", "phase": "analysis", "mandatory": True}],
        [STEPS[0], STEPS[0]],
        [STEPS[0] | {"due_hours": "soon"}],
        [STEPS[0] | {"mandatory": "perhaps"}],
    ],
)
def test_steps_that_cannot_be_opened_are_refused(
    app: Connection, steps: list[dict[str, Any]]
) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot be opened"):
        playbook(app, steps=steps)


@pytest.mark.parametrize(
    "change",
    [
        {"hours": 0},
        {"hours": "soon"},
        {"regime": "ccpa"},
        {"recipient_kind": "everybody"},
        {"method": "pigeon"},
        {"requires": "luck"},
    ],
)
def test_contacts_without_a_clock_are_refused(app: Connection, change: dict[str, Any]) -> None:
    with pytest.raises(errors.CheckViolation, match="contacts without"):
        playbook(app, contacts=[CONTACTS[0] | change])


def test_a_playbook_without_steps_is_not_approved(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="approved_has_steps"):
        playbook(app, steps=[])


def test_an_approved_playbook_stays(app: Connection) -> None:
    playbook(app)
    with pytest.raises(errors.RestrictViolation, match="it stays"):
        app.execute("UPDATE security_mgmt.response_playbook SET steps = '[]'")


def test_one_version_of_a_playbook_is_in_force(app: Connection) -> None:
    playbook(app)
    app.execute(
        "INSERT INTO security_mgmt.response_playbook (business_id, code, version_no, name,"
        " category, steps) SELECT p.business_id, p.code, 2, p.name, p.category, p.steps"
        " FROM security_mgmt.response_playbook AS p"
    )
    with pytest.raises(errors.UniqueViolation, match="approved_idx"):
        app.execute(
            "UPDATE security_mgmt.response_playbook SET status = 'approved' WHERE version_no = 2"
        )


# --- Timeline and alerts ------------------------------------------------------------------------


def _entry(connection: Connection, case: UUID, supersedes: int | None = None) -> int:
    return int(
        one(
            connection,
            "INSERT INTO security_mgmt.incident_timeline_entry (business_id, incident_id,"
            " entry_kind, summary, supersedes_no) VALUES (tenant_mgmt.current_business_id(), %s,"
            " 'finding', 'Found', %s) RETURNING entry_no",
            case,
            supersedes,
        )
    )


def test_entries_are_numbered_within_their_incident(app: Connection) -> None:
    first, second = incident(app), incident(app)
    assert [_entry(app, first), _entry(app, first), _entry(app, second)] == [1, 2, 1]


def test_an_entry_is_corrected_once_by_a_later_one(app: Connection) -> None:
    case = incident(app)
    _entry(app, case)
    assert _entry(app, case, supersedes=1) == 2
    with pytest.raises(errors.UniqueViolation):
        _entry(app, case, supersedes=1)


def test_an_entry_corrects_what_there_is(app: Connection) -> None:
    case, other = incident(app), incident(app)
    _entry(app, other)
    _entry(app, case)
    with pytest.raises(errors.CheckViolation, match="supersedes_earlier"):
        _entry(app, case, supersedes=2)


def test_the_timeline_is_only_added_to(admin: Connection, app: Connection) -> None:
    _entry(app, incident(app))
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute("UPDATE security_mgmt.incident_timeline_entry SET summary = 'Nothing'")


def test_what_is_recorded_has_happened(app: Connection) -> None:
    case = incident(app)
    with pytest.raises(errors.CheckViolation, match="recorded_afterwards"):
        app.execute(
            "INSERT INTO security_mgmt.incident_timeline_entry (business_id, incident_id,"
            " entry_kind, summary, happened_at) VALUES (tenant_mgmt.current_business_id(), %s,"
            " 'action', 'x', now() + interval '1 second')",
            [case],
        )


def test_an_incident_begins_with_one_alert(app: Connection) -> None:
    case = incident(app)
    found = one(
        app,
        "INSERT INTO security_mgmt.detection_rule (business_id, code, name, rule_kind, logic,"
        " severity) VALUES (tenant_mgmt.current_business_id(), 'R', 'R', 'threshold',"
        ' \'{"any_of": [{"all_of": [{"field": "class", "op": "exists", "value": true}]}]}\','
        " 'low') RETURNING detection_rule_id",
    )
    app.execute(
        "INSERT INTO security_mgmt.security_alert (business_id, detection_rule_id, dedupe_key,"
        " severity, first_event_at, last_event_at) SELECT tenant_mgmt.current_business_id(), %s,"
        " k, 'low', now(), now() FROM unnest(ARRAY['a', 'b']) AS k",
        [found],
    )
    with pytest.raises(errors.UniqueViolation, match="incident_alert_root_idx"):
        app.execute(
            "INSERT INTO security_mgmt.incident_alert (business_id, incident_id,"
            " security_alert_id, is_root_signal) SELECT a.business_id, %s, a.security_alert_id,"
            " true FROM security_mgmt.security_alert AS a",
            [case],
        )


# --- Breach -------------------------------------------------------------------------------------


def assess(connection: Connection, case: UUID, *, decision: str = "pending", **facts: Any) -> UUID:
    """An assessment under GDPR of a breach that was noticed two hours ago."""
    given = {"regimes": ["gdpr"], "gdpr_risk": None, "persons_affected": 0} | facts
    made: UUID = one(
        connection,
        "INSERT INTO security_mgmt.breach_assessment (business_id, incident_id, regimes,"
        " gdpr_risk, persons_affected, phi_involved, cardholder_data_involved,"
        " hipaa_low_probability, decision, reasoning, aware_at, decided_at)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s, %s, %s, %s, %s, %s, %s, 'Reasons',"
        " now() - interval '2 hours', CASE WHEN %s <> 'pending' THEN now() END)"
        " RETURNING breach_assessment_id",
        case,
        given["regimes"],
        given["gdpr_risk"],
        given["persons_affected"],
        given.get("phi", False),
        given.get("cards", False),
        given.get("low_probability"),
        decision,
        decision,
    )
    return made


def deadlines(connection: Connection, case: UUID) -> dict[str, int]:
    """Hours from now per recipient."""
    rows = connection.execute(
        "SELECT recipient_kind, (extract(epoch FROM due_at - now()) / 3600)::integer"
        " FROM security_mgmt.breach_deadlines(%s)",
        [case],
    ).fetchall()
    return dict(rows)


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({}, {"supervisory_authority": 70, "data_subject": 98}),
        ({"gdpr_risk": "unlikely"}, {}),
        ({"gdpr_risk": "risk"}, {"supervisory_authority": 70}),
        ({"gdpr_risk": "high_risk"}, {"supervisory_authority": 70, "data_subject": 98}),
        ({"regimes": ["hipaa"], "phi": True, "persons_affected": 500}, {"hhs": 1438}),
        ({"regimes": ["hipaa"], "phi": True, "persons_affected": 499}, {}),
        ({"regimes": ["hipaa"], "persons_affected": 500}, {}),
        (
            {
                "regimes": ["hipaa"],
                "phi": True,
                "persons_affected": 500,
                "low_probability": True,
            },
            {},
        ),
        ({"regimes": ["pci_dss"], "cards": True}, {"acquirer": 22}),
        ({"regimes": ["pci_dss", "gdpr"], "gdpr_risk": "unlikely"}, {}),
        ({"decision": "do_not_notify"}, {}),
    ],
)
def test_clocks_run_from_awareness_for_what_was_assessed(
    app: Connection, facts: dict[str, Any], found: dict[str, int]
) -> None:
    playbook(app, contacts=CONTACTS)
    case = incident(app)
    assess(app, case, **facts)
    assert deadlines(app, case) == found


@pytest.mark.parametrize(("suspected", "recipients"), [(True, 4), (False, 0)])
def test_every_clock_of_a_suspected_breach_runs_before_it_is_assessed(
    app: Connection, suspected: bool, recipients: int
) -> None:
    playbook(app, contacts=CONTACTS)
    case = incident(app)
    app.execute("UPDATE security_mgmt.incident SET is_suspected_breach = %s", [suspected])
    assert len(deadlines(app, case)) == recipients


def test_a_regime_that_the_playbook_lacks_is_that_of_another(app: Connection) -> None:
    playbook(app, contacts=[CONTACTS[0] | {"hours": 24}])
    playbook(app, code="OTHER", category="data_leak", contacts=CONTACTS)
    case = incident(app)
    assess(app, case, regimes=["gdpr", "pci_dss"], gdpr_risk="high_risk", cards=True)
    assert deadlines(app, case) == {"supervisory_authority": 22, "acquirer": 22}


def test_the_decision_to_notify_writes_down_whom(app: Connection) -> None:
    playbook(app, contacts=CONTACTS)
    case = incident(app)
    assess(app, case, gdpr_risk="risk")
    rows = "SELECT recipient_kind, due_at = now() + interval '70 hours', status, method"
    rows += " FROM security_mgmt.breach_notification ORDER BY recipient_kind DESC"
    assert app.execute(rows.encode()).fetchall() == []
    app.execute("UPDATE security_mgmt.breach_assessment SET decision = 'notify'")
    first = ("supervisory_authority", True, "due", "portal")
    assert app.execute(rows.encode()).fetchall() == [first]
    app.execute("UPDATE security_mgmt.breach_assessment SET gdpr_risk = 'high_risk'")
    found = app.execute(rows.encode()).fetchall()
    assert found == [first, ("data_subject", False, "due", "letter")], "learned later"


def test_it_may_be_decided_at_once(app: Connection) -> None:
    playbook(app, contacts=CONTACTS)
    assess(app, incident(app), gdpr_risk="risk", decision="notify")
    assert one(app, "SELECT count(*) FROM security_mgmt.breach_notification") == 1


def test_a_regime_without_a_clock_is_not_passed_over(app: Connection) -> None:
    playbook(app, contacts=CONTACTS)
    with pytest.raises(errors.CheckViolation, match="by when under sox"):
        assess(app, incident(app), regimes=["gdpr", "sox"], decision="notify")


def test_silence_needs_a_reason(app: Connection) -> None:
    assess(app, incident(app))
    with pytest.raises(errors.CheckViolation, match="silence_has_reason"):
        app.execute(
            "UPDATE security_mgmt.breach_assessment SET decision = 'do_not_notify',"
            " reasoning = NULL"
        )


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        ("pending", "notify", True),
        ("pending", "do_not_notify", True),
        ("do_not_notify", "pending", True),
        ("do_not_notify", "notify", True),
        ("notify", "pending", False),
        ("notify", "do_not_notify", False),
    ],
)
def test_who_was_told_cannot_be_untold(
    app: Connection, before: str, after: str, allowed: bool
) -> None:
    playbook(app, contacts=CONTACTS)
    assess(app, incident(app), decision=before)
    change = "UPDATE security_mgmt.breach_assessment SET decision = %s"
    if allowed:
        app.execute(change.encode(), [after])
        assert one(app, "SELECT decision FROM security_mgmt.breach_assessment") == after
    else:
        with pytest.raises(errors.CheckViolation, match="cannot become"):
            app.execute(change.encode(), [after])


@pytest.mark.parametrize(("sent", "status"), [("70 hours", "sent"), ("71 hours", "late")])
def test_what_was_sent_was_in_time_or_late(app: Connection, sent: str, status: str) -> None:
    playbook(app, contacts=CONTACTS)
    assess(app, incident(app), gdpr_risk="risk", decision="notify")
    app.execute(
        "UPDATE security_mgmt.breach_notification SET sent_at = now() + %s::interval,"
        " delay_reason = 'Not known before'",
        [sent],
    )
    assert one(app, "SELECT status FROM security_mgmt.breach_notification") == status


def test_lateness_has_a_reason(app: Connection) -> None:
    playbook(app, contacts=CONTACTS)
    assess(app, incident(app), gdpr_risk="risk", decision="notify")
    with pytest.raises(errors.CheckViolation, match="delay_has_reason"):
        app.execute("UPDATE security_mgmt.breach_notification SET sent_at = due_at + '1 hour'")


@pytest.mark.parametrize(
    ("regime", "recipient", "hours", "allowed"),
    [
        ("gdpr", "supervisory_authority", 72, True),
        ("gdpr", "supervisory_authority", 73, False),
        ("gdpr", "data_subject", 200, True),
        ("hipaa", "hhs", 1440, True),
        ("hipaa", "hhs", 1441, False),
    ],
)
def test_no_clock_is_longer_than_the_law(
    app: Connection, regime: str, recipient: str, hours: int, allowed: bool
) -> None:
    assessment = assess(app, incident(app))
    statement = (
        "INSERT INTO security_mgmt.breach_notification (business_id, breach_assessment_id,"
        " regime, recipient_kind, recipient_name, clock_started_at, due_at)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s, %s, 'x', now(),"
        " now() + %s * interval '1 hour')"
    )
    values = [assessment, regime, recipient, hours]
    if allowed:
        app.execute(statement.encode(), values)
    else:
        with pytest.raises(errors.CheckViolation, match="_in_"):
            app.execute(statement.encode(), values)


def test_the_clock_shows_what_is_due_next(app: Connection) -> None:
    playbook(app, contacts=CONTACTS)
    case = incident(app)
    assess(app, case, gdpr_risk="high_risk", decision="notify")
    clock = "SELECT next_recipient_kind, is_overdue, open_mandatory_count"
    clock += " FROM security_mgmt.v_incident_clock"
    assert app.execute(clock.encode()).fetchone() == ("supervisory_authority", False, 2)
    app.execute(
        "UPDATE security_mgmt.breach_notification SET sent_at = now()"
        " WHERE recipient_kind = 'supervisory_authority'"
    )
    assert app.execute(clock.encode()).fetchone() == ("data_subject", False, 2)
    settle(app, "scope")
    settle(app, "isolate")
    walk(app, case, "closed")
    assert app.execute(clock.encode()).fetchone() is None
