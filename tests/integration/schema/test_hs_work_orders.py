"""Work orders move along 37 edges, by the rules of the business, with a chained history."""

from __future__ import annotations

import itertools
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.conftest import become_app
from tests.integration.schema.test_hs_organization import (
    add_branch,
    add_territory,
    add_unit,
    one,
)
from tests.integration.schema.test_hs_workforce import add_technician

EDGES = {
    "requested": {"quoted", "approved", "scheduled", "cancelled"},
    "quoted": {"approved", "requested", "cancelled"},
    "approved": {"scheduled", "on_hold", "cancelled"},
    "scheduled": {"dispatched", "approved", "on_hold", "cancelled"},
    "dispatched": {"en_route", "scheduled", "on_hold", "cancelled"},
    "en_route": {"in_progress", "dispatched", "scheduled", "cancelled"},
    "in_progress": {"completed", "on_hold", "scheduled", "cancelled"},
    "on_hold": {"approved", "scheduled", "dispatched", "in_progress", "cancelled"},
    "completed": {"invoiced", "in_progress", "scheduled", "closed"},
    "invoiced": {"closed", "completed"},
    "closed": set[str](),
    "cancelled": set[str](),
}
"""Transcribed from the specification, state by state."""

PAIRS = list(itertools.product(EDGES, EDGES))


def add_place(connection: Connection) -> UUID:
    """A location with its customer."""
    customer = one(
        connection,
        "INSERT INTO hs.customer (business_id, customer_number, display_name) VALUES"
        " (tenant_mgmt.current_business_id(), 'C1', 'Ada') RETURNING customer_id",
    )
    found: UUID = one(
        connection,
        "INSERT INTO hs.service_location (business_id, customer_id, location_number,"
        " address_line, city, postal_code, country_code) VALUES"
        " (tenant_mgmt.current_business_id(), %s, 'L1', '1 Main St', 'Chicago', '60601', 'US')"
        " RETURNING service_location_id",
        customer,
    )
    return found


def add_job_type(connection: Connection) -> UUID:
    """A kind of job that asks for nothing."""
    unit = add_unit(connection, add_branch(connection))
    found: UUID = one(
        connection,
        "INSERT INTO hs.job_type (business_id, business_unit_id, job_type_code, name,"
        " response_target_minutes) VALUES (tenant_mgmt.current_business_id(), %s, 'NOCOOL',"
        " 'No cooling', 120) RETURNING job_type_id",
        unit,
    )
    return found


def add_order(connection: Connection, status: str = "requested", number: str = "WO-1") -> UUID:
    """A work order; the application may only begin one, a loader may bring one in any state."""
    if not one(connection, "SELECT service_location_id FROM hs.service_location"):
        add_place(connection)
        add_job_type(connection)
    row = connection.execute(
        "INSERT INTO hs.work_order (business_id, customer_id, service_location_id, job_type_id,"
        " business_unit_id, work_order_number, summary, status, requested_at, approved_at,"
        " first_dispatched_at, started_at, completed_at, invoiced_at, closed_at)"
        " SELECT j.business_id, l.customer_id, l.service_location_id, j.job_type_id,"
        " j.business_unit_id, %(number)s, 'No cooling', %(status)s, now() - interval '9 days',"
        " CASE WHEN %(status)s = 'approved' THEN now() - interval '8 days' END,"
        " CASE WHEN %(status)s IN ('dispatched', 'en_route') THEN now() - interval '7 days' END,"
        " CASE WHEN %(status)s IN ('in_progress', 'completed', 'invoiced', 'closed')"
        "      THEN now() - interval '6 days' END,"
        " CASE WHEN %(status)s IN ('completed', 'invoiced', 'closed')"
        "      THEN now() - interval '5 days' END,"
        " CASE WHEN %(status)s IN ('invoiced') THEN now() - interval '4 days' END,"
        " CASE WHEN %(status)s IN ('closed', 'cancelled') THEN now() - interval '3 days' END"
        " FROM hs.job_type AS j CROSS JOIN hs.service_location AS l"
        " WHERE j.business_id = tenant_mgmt.current_business_id()"
        " AND l.business_id = j.business_id RETURNING work_order_id",
        {"number": number, "status": status},
    ).fetchone()
    assert row
    return UUID(str(row[0]))


def bring(admin: Connection, tenant: UUID, status: str, number: str = "WO-1") -> UUID:
    """An order that was imported in a state; from here on, the application works on it."""
    admin.execute("RESET ROLE")
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    found = add_order(admin, status, number)
    become_app(admin, tenant)
    one(admin, "SELECT hs.adopt_standard_rules()")
    return found


def add_reason(connection: Connection, context: str, code: str = "R", needs: str = "") -> UUID:
    """A reason of a kind; `needs` names what it asks for."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.reason_code (business_id, reason_context, code, label, requires_note,"
        " requires_release_date) VALUES (tenant_mgmt.current_business_id(), %s, %s, 'Reason', %s,"
        " %s) RETURNING reason_code_id",
        context,
        code,
        needs == "note",
        needs == "date",
    )
    return found


def move(
    connection: Connection,
    order: UUID,
    to: str,
    role: str = "manager",
    reason: UUID | None = None,
    ref: str | None = None,
    note: str | None = None,
) -> str:
    """The status after the move."""
    found: str = one(
        connection,
        "SELECT status FROM hs.transition_work_order(%s, %s, %s, %s, %s, note => %s)",
        order,
        to,
        role,
        reason,
        ref,
        note,
    )
    return found


def history(connection: Connection, order: UUID) -> list[Any]:
    return connection.execute(
        "SELECT from_status, to_status FROM hs.work_order_status_event WHERE work_order_id = %s"
        " ORDER BY occurred_at",
        [order],
    ).fetchall()


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_the_edges_are_those_of_the_specification(
    admin: Connection, before: str, after: str
) -> None:
    assert one(admin, "SELECT hs.is_work_order_edge(%s, %s)", before, after) == (
        after in EDGES[before]
    )


@pytest.mark.parametrize(("before", "after"), [p for p in PAIRS if p[0] != p[1]])
def test_not_even_a_loader_moves_off_the_edges(
    admin: Connection, tenant: UUID, before: str, after: str
) -> None:
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    order = add_order(admin, before)
    query = "UPDATE hs.work_order SET status = %s WHERE work_order_id = %s RETURNING status"
    if after in EDGES[before]:
        assert one(admin, query, after, order) == after
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            one(admin, query, after, order)


def test_there_are_37_edges_and_the_standard_rules_know_each(app: Connection) -> None:
    assert sum(map(len, EDGES.values())) == 37
    assert one(app, "SELECT hs.adopt_standard_rules()") > 37
    assert one(app, "SELECT hs.adopt_standard_rules()") == 0, "its own stay as they are"
    assert (
        one(
            app,
            "SELECT count(*) FROM hs.work_order_transition_rule WHERE actor_role = 'manager'",
        )
        == 37
    )


def test_a_rule_cannot_add_an_edge(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="work_order_transition_rule_is_an_edge"):
        app.execute(
            "INSERT INTO hs.work_order_transition_rule (business_id, from_status, to_status,"
            " actor_role) VALUES (tenant_mgmt.current_business_id(), 'closed', 'requested',"
            " 'manager')"
        )


@pytest.mark.parametrize("status", sorted(set(EDGES) - {"requested", "approved"}))
def test_a_new_order_starts_at_the_start(app: Connection, status: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        add_order(app, status)


@pytest.mark.parametrize("status", ["requested", "approved"])
def test_the_history_begins_with_the_order(app: Connection, status: str) -> None:
    assert history(app, add_order(app, status)) == [(None, status)]


def test_a_job_goes_from_call_to_done(app: Connection) -> None:
    order = add_order(app)
    one(app, "SELECT hs.adopt_standard_rules()")
    move(app, order, "quoted", "csr")
    move(app, order, "approved", "csr")
    assert move(app, order, "scheduled", "dispatcher") == "scheduled"
    assert history(app, order) == [
        (None, "requested"),
        ("requested", "quoted"),
        ("quoted", "approved"),
        ("approved", "scheduled"),
    ]
    assert one(app, "SELECT approved_at IS NOT NULL FROM hs.work_order")
    assert one(app, "SELECT max(dwell_seconds) FROM hs.work_order_status_event") == 9 * 86400


@pytest.mark.parametrize(
    ("before", "after", "stamped"),
    [
        ("dispatched", "en_route", "first_dispatched_at"),
        ("en_route", "in_progress", "started_at"),
        ("in_progress", "completed", "completed_at"),
        ("completed", "invoiced", "invoiced_at"),
        ("invoiced", "closed", "closed_at"),
    ],
)
def test_a_move_stamps_its_milestone(
    admin: Connection, tenant: UUID, before: str, after: str, stamped: str
) -> None:
    order = bring(admin, tenant, before)
    assert move(admin, order, after) == after
    assert one(admin, f"SELECT {stamped} IS NOT NULL FROM hs.work_order")


def test_what_is_reopened_is_not_completed(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "completed")
    started = one(admin, "SELECT started_at FROM hs.work_order")
    move(admin, order, "in_progress", reason=add_reason(admin, "qc_fail"))
    assert one(admin, "SELECT completed_at FROM hs.work_order") is None
    assert one(admin, "SELECT started_at FROM hs.work_order") == started, "the first time"


@pytest.mark.parametrize(
    ("role", "before", "after"),
    [
        ("technician", "scheduled", "dispatched"),
        ("csr", "in_progress", "completed"),
        ("system", "dispatched", "en_route"),
        ("owner", "requested", "quoted"),
    ],
)
def test_a_role_makes_only_its_moves(
    admin: Connection, tenant: UUID, role: str, before: str, after: str
) -> None:
    order = bring(admin, tenant, before)
    with pytest.raises(errors.CheckViolation, match=f"no rule allows a {role}"):
        move(admin, order, after, role)


def test_a_rule_that_is_off_allows_nothing(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "requested")
    admin.execute("UPDATE hs.work_order_transition_rule SET is_enabled = false")
    with pytest.raises(errors.CheckViolation, match="no rule allows"):
        move(admin, order, "quoted")


def test_who_updates_by_hand_meets_the_rules_too(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "requested")
    admin.execute("UPDATE hs.work_order_transition_rule SET is_enabled = (to_status = 'quoted')")
    admin.execute("UPDATE hs.work_order SET status = 'quoted'")
    assert history(admin, order) == [("requested", "quoted")]
    with pytest.raises(errors.CheckViolation, match="no rule of the business allows"):
        admin.execute("UPDATE hs.work_order SET status = 'approved'")


def test_a_rule_may_ask_for_a_signature(
    admin: Connection, tenant: UUID, signed: dict[str, UUID]
) -> None:
    order = bring(admin, tenant, "requested")
    admin.execute("UPDATE hs.work_order_transition_rule SET requires_signature = true")
    with pytest.raises(errors.CheckViolation, match="signature is missing"), admin.transaction():
        move(admin, order, "approved")
    sign(admin, order, signed["file"], "work_authorization")
    assert move(admin, order, "approved") == "approved"


def test_a_tap_that_is_sent_twice_is_done_once(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "dispatched")
    assert move(admin, order, "en_route", "technician", ref="tap-1") == "en_route"
    assert move(admin, order, "dispatched", "technician", ref="tap-2") == "dispatched"
    assert move(admin, order, "en_route", "technician", ref="tap-1") == "dispatched", "as it is"
    assert len(history(admin, order)) == 2


def test_a_tap_belongs_to_one_job(admin: Connection, tenant: UUID) -> None:
    first = bring(admin, tenant, "dispatched")
    second = bring(admin, tenant, "dispatched", "WO-2")
    move(admin, first, "en_route", "technician", ref="tap-1")
    with pytest.raises(errors.UniqueViolation, match="another work order"):
        move(admin, second, "en_route", "technician", ref="tap-1")


def test_there_must_be_an_order(app: Connection, tenant: UUID) -> None:
    with pytest.raises(errors.NoDataFound, match="no work order"):
        move(app, tenant, "quoted")


def test_a_cancellation_needs_a_reason_that_fits(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "requested")
    with pytest.raises(errors.CheckViolation, match="a reason is missing"), admin.transaction():
        move(admin, order, "cancelled")
    wrong = add_reason(admin, "discount")
    with pytest.raises(errors.CheckViolation, match="does not fit"), admin.transaction():
        move(admin, order, "cancelled", reason=wrong)
    right = add_reason(admin, "cancel", needs="note")
    with pytest.raises(errors.CheckViolation, match="needs a note"), admin.transaction():
        move(admin, order, "cancelled", reason=right)
    assert move(admin, order, "cancelled", reason=right, note="sold the house") == "cancelled"
    assert one(admin, "SELECT closing_reason_code_id FROM hs.work_order") == right
    assert one(admin, "SELECT closed_at IS NOT NULL FROM hs.work_order")


def hold(connection: Connection, order: UUID, reason: UUID, until: str | None = None) -> None:
    connection.execute(
        "INSERT INTO hs.work_order_hold (business_id, work_order_id, reason_code_id, hold_kind,"
        " expected_release_on) VALUES (tenant_mgmt.current_business_id(), %s, %s, 'parts', %s)",
        [order, reason, until],
    )


def test_a_hold_says_why_and_ends_with_the_move(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "in_progress")
    reason = add_reason(admin, "hold")
    with pytest.raises(errors.CheckViolation, match="no open hold"), admin.transaction():
        move(admin, order, "on_hold", "technician", reason)
    hold(admin, order, reason)
    assert move(admin, order, "on_hold", "technician", reason) == "on_hold"
    assert move(admin, order, "in_progress", "technician") == "in_progress"
    assert one(admin, "SELECT released_at IS NOT NULL FROM hs.work_order_hold")


def test_an_order_has_one_open_hold(admin: Connection, tenant: UUID) -> None:
    order, reason = bring(admin, tenant, "in_progress"), add_reason(admin, "hold")
    hold(admin, order, reason)
    with pytest.raises(errors.UniqueViolation, match="work_order_hold_open_idx"):
        hold(admin, order, reason)


def test_a_hold_has_a_reason_for_holds(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "in_progress")
    with pytest.raises(errors.CheckViolation, match="no reason for a hold"):
        hold(admin, order, add_reason(admin, "cancel"))


def test_a_reason_may_ask_when_the_hold_ends(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "in_progress")
    reason = add_reason(admin, "hold", needs="date")
    with pytest.raises(errors.CheckViolation, match="day on which it ends"), admin.transaction():
        hold(admin, order, reason)
    hold(admin, order, reason, "2030-01-01")


def add_step(connection: Connection, order: UUID, status: str = "pending") -> None:
    connection.execute(
        "INSERT INTO hs.work_order_task (business_id, work_order_id, task_seq, instruction,"
        " status, completed_at) VALUES (tenant_mgmt.current_business_id(), %s, 1, 'Test', %s,"
        " CASE WHEN %s = 'done' THEN now() END)",
        [order, status, status],
    )


def test_open_steps_keep_a_job_open(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "in_progress")
    add_step(admin, order)
    with pytest.raises(errors.CheckViolation, match="checklist is not done"), admin.transaction():
        move(admin, order, "completed", "technician")
    admin.execute("UPDATE hs.work_order_transition_rule SET requires_checklist = false")
    with pytest.raises(errors.CheckViolation, match='step "Test" is open'), admin.transaction():
        move(admin, order, "completed", "technician")
    admin.execute("UPDATE hs.work_order_task SET status = 'done', completed_at = now()")
    assert move(admin, order, "completed", "technician") == "completed"


def test_a_mandatory_step_is_skipped_for_a_reason(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "in_progress")
    with pytest.raises(errors.CheckViolation, match="mandatory_is_skipped_for_a_reason"):
        add_step(admin, order, "skipped")


@pytest.fixture
def signed(admin: Connection, tenant: UUID) -> dict[str, UUID]:
    """A file that a signature or photo is in."""
    location = one(
        admin,
        "INSERT INTO system_core.storage_location (business_id, name, provider, bucket,"
        " region_code, encryption_key_ref, quota_bytes)"
        " VALUES (%s, 'main', 's3', 'b', 'us-east-1', 'vault:tenant/key', 1000000)"
        " RETURNING storage_location_id",
        tenant,
    )
    file = one(
        admin,
        "INSERT INTO system_core.file_object (business_id, storage_location_id, file_name,"
        " media_type, size_bytes, sha256, storage_key)"
        " VALUES (%s, %s, 's.png', 'image/png', 10, sha256('s'), 'k') RETURNING file_object_id",
        tenant,
        location,
    )
    return {"file": file}


def sign(
    connection: Connection,
    order: UUID,
    file: UUID,
    kind: str = "completion",
    why: str | None = None,
) -> None:
    """A signature, or with `why` its refusal."""
    connection.execute(
        "INSERT INTO hs.customer_signature (business_id, work_order_id, signature_file_id,"
        " signature_kind, signer_name, document_hash, consent_text_version, is_refused,"
        " refusal_reason) VALUES (tenant_mgmt.current_business_id(), %s, %s, %s, 'Ada',"
        " sha256('shown'), '1', %s, %s)",
        [order, file, kind, why is not None, why],
    )


@pytest.mark.parametrize("why", [None, "too expensive"])
def test_a_signature_or_its_refusal_completes_the_job(
    admin: Connection, tenant: UUID, signed: dict[str, UUID], why: str | None
) -> None:
    order = bring(admin, tenant, "in_progress")
    admin.execute("UPDATE hs.job_type SET requires_signature = true")
    with pytest.raises(errors.CheckViolation, match="neither signed nor"), admin.transaction():
        move(admin, order, "completed")
    sign(admin, order, signed["file"], why=why)
    assert move(admin, order, "completed") == "completed"


def test_what_was_signed_stays(admin: Connection, tenant: UUID, signed: dict[str, UUID]) -> None:
    order = bring(admin, tenant, "in_progress")
    sign(admin, order, signed["file"])
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="customer_signature is append only"):
        admin.execute("UPDATE hs.customer_signature SET signer_name = 'Bob'")


def add_media(connection: Connection, order: UUID, file: UUID, kind: str, read: str | None) -> None:
    connection.execute(
        "INSERT INTO hs.work_order_media (business_id, work_order_id, file_object_id, media_kind,"
        " extracted_fields) VALUES (tenant_mgmt.current_business_id(), %s, %s, %s, %s::jsonb)",
        [order, file, kind, read],
    )


def test_photos_complete_the_job_where_they_are_asked_for(
    admin: Connection, tenant: UUID, signed: dict[str, UUID]
) -> None:
    order = bring(admin, tenant, "in_progress")
    admin.execute("UPDATE hs.job_type SET requires_photos = true")
    with pytest.raises(errors.CheckViolation, match="no photos"), admin.transaction():
        move(admin, order, "completed")
    add_media(admin, order, signed["file"], "photo", None)
    assert move(admin, order, "completed") == "completed"


def test_a_nameplate_is_read(admin: Connection, tenant: UUID, signed: dict[str, UUID]) -> None:
    order = bring(admin, tenant, "in_progress")
    read = (
        '{"model": {"value": "XR16", "confidence": 0.97},'
        ' "serial": {"value": "S1", "confidence": 0.81},'
        ' "manufactured_on": {"value": "2014-05-01", "confidence": 0.9}}'
    )
    add_media(admin, order, signed["file"], "nameplate", read)
    row = admin.execute(
        "SELECT model, serial, manufactured_on::text, lowest_confidence::text"
        " FROM hs.v_nameplate_reading"
    ).fetchone()
    assert row == ("XR16", "S1", "2014-05-01", "0.81")


def test_only_a_nameplate_has_fields(
    admin: Connection, tenant: UUID, signed: dict[str, UUID]
) -> None:
    order = bring(admin, tenant, "in_progress")
    with pytest.raises(errors.CheckViolation, match="fields_of_a_nameplate"):
        add_media(admin, order, signed["file"], "photo", "{}")


def add_line(connection: Connection, order: UUID, coverage: str = "customer") -> None:
    """Two hours at 95, 10 off, that cost 41 each."""
    connection.execute(
        "INSERT INTO hs.work_order_line (business_id, work_order_id, line_no, line_kind,"
        " description, line_qty, unit_price, unit_cost, discount_amount, coverage)"
        " SELECT tenant_mgmt.current_business_id(), %s, count(*) + 1, 'labor', 'Labor', 2, 95,"
        " 41, 10, %s FROM hs.work_order_line",
        [order, coverage],
    )


@pytest.mark.parametrize(
    ("coverage", "closes"),
    [("agreement", True), ("warranty", True), ("goodwill", True), ("customer", False)],
)
def test_only_what_is_free_is_closed_without_a_bill(
    admin: Connection, tenant: UUID, coverage: str, closes: bool
) -> None:
    order = bring(admin, tenant, "completed")
    add_line(admin, order, coverage)
    if closes:
        assert move(admin, order, "closed", "system") == "closed"
    else:
        with pytest.raises(errors.CheckViolation, match="something to bill"):
            move(admin, order, "closed", "system")


def test_an_order_costs_what_its_lines_cost(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "in_progress")
    add_line(admin, order)
    add_line(admin, order, "warranty")
    assert one(admin, "SELECT min(line_total) FROM hs.work_order_line") == 180
    cost = "SELECT actual_cost_amount FROM hs.work_order"
    assert one(admin, cost) == 164
    admin.execute("UPDATE hs.work_order_line SET voided_at = now() WHERE line_no = 1")
    assert one(admin, cost) == 82
    admin.execute("DELETE FROM hs.work_order_line")
    assert one(admin, cost) == 0


def test_a_line_stays_on_its_order(admin: Connection, tenant: UUID) -> None:
    add_line(admin, bring(admin, tenant, "in_progress"))
    other = bring(admin, tenant, "in_progress", "WO-2")
    with pytest.raises(errors.CheckViolation, match="cannot move to another work order"):
        admin.execute("UPDATE hs.work_order_line SET work_order_id = %s", [other])


def send(connection: Connection, tenant: UUID, order: UUID) -> UUID:
    """A technician who is assigned to the next visit of the order, as if imported."""
    branch = one(connection, "SELECT branch_id FROM hs.branch")
    technician = add_technician(connection)
    zone = add_territory(connection, branch, "Z")
    connection.execute("RESET ROLE")
    visit = one(
        connection,
        "INSERT INTO hs.appointment (business_id, work_order_id, service_territory_id,"
        " appointment_number, window_start_at, window_end_at, scheduled_start_at,"
        " scheduled_end_at) VALUES (%s, %s, %s, 'A1', now() + interval '1 hour',"
        " now() + interval '3 hours', now() + interval '1 hour', now() + interval '2 hours')"
        " RETURNING appointment_id",
        tenant,
        order,
        zone,
    )
    connection.execute(
        "INSERT INTO hs.appointment_assignment (business_id, appointment_id, technician_id,"
        " planned_start_at, planned_end_at) VALUES (%s, %s, %s, now() + interval '1 hour',"
        " now() + interval '2 hours')",
        [tenant, visit, technician],
    )
    become_app(connection, tenant)
    return technician


def test_nobody_is_sent_where_nobody_is_assigned(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "scheduled")
    with pytest.raises(errors.CheckViolation, match="no technician is assigned"):
        move(admin, order, "dispatched", "dispatcher")


def test_who_is_sent_has_the_skill_and_its_certificates(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "scheduled")
    technician = send(admin, tenant, order)
    skill = one(
        admin,
        "INSERT INTO hs.skill (business_id, skill_code, name, trade, category) VALUES"
        " (tenant_mgmt.current_business_id(), 'ac', 'AC', 'hvac', 'repair') RETURNING skill_id",
    )
    admin.execute(
        "INSERT INTO hs.job_type_skill (business_id, job_type_id, skill_id, minimum_level_no)"
        " SELECT business_id, job_type_id, %s, 3 FROM hs.job_type",
        [skill],
    )
    with pytest.raises(errors.CheckViolation, match="has AC at level 3"), admin.transaction():
        move(admin, order, "dispatched", "dispatcher")
    admin.execute(
        "INSERT INTO hs.technician_skill (business_id, technician_id, skill_id, level_no,"
        " acquired_on) VALUES (tenant_mgmt.current_business_id(), %s, %s, 3, '2020-01-01')",
        [technician, skill],
    )
    kind = one(
        admin,
        "INSERT INTO hs.certification_type (business_id, certification_code, name, issuing_body,"
        " regime, is_mandatory_for_dispatch) VALUES (tenant_mgmt.current_business_id(), 'EPA',"
        " 'EPA 608', 'EPA', 'epa_608', true) RETURNING certification_type_id",
    )
    admin.execute(
        "INSERT INTO hs.technician_certification (business_id, technician_id,"
        " certification_type_id, certificate_number, status, issued_on, expires_on, verified_at,"
        " verification_method) VALUES (tenant_mgmt.current_business_id(), %s, %s, '1', 'valid',"
        " '2020-01-01', current_date, now(), 'card')",
        [technician, kind],
    )
    with pytest.raises(errors.CheckViolation, match="EPA 608 of Ada"), admin.transaction():
        move(admin, order, "dispatched", "dispatcher")
    admin.execute("UPDATE hs.technician_certification SET expires_on = current_date + 1")
    assert move(admin, order, "dispatched", "dispatcher") == "dispatched"


def test_who_finds_no_one_misses_the_visit(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "en_route")
    send(admin, tenant, order)
    late = add_reason(admin, "reschedule")
    with pytest.raises(errors.CheckViolation, match="does not fit"), admin.transaction():
        move(admin, order, "scheduled", "technician", late)
    with pytest.raises(errors.CheckViolation, match="no access"), admin.transaction():
        admin.execute("UPDATE hs.work_order SET status = 'scheduled'")
    assert move(admin, order, "scheduled", "technician", add_reason(admin, "no_access"))
    assert one(admin, "SELECT status FROM hs.appointment") == "missed"


def test_a_return_needs_an_appointment(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "completed")
    reason = add_reason(admin, "qc_fail")
    with pytest.raises(errors.CheckViolation, match="no appointment"), admin.transaction():
        move(admin, order, "scheduled", reason=reason)
    send(admin, tenant, order)
    assert move(admin, order, "scheduled", reason=reason) == "scheduled"


def test_events_are_a_chain(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "dispatched")
    move(admin, order, "en_route")
    with pytest.raises(errors.CheckViolation, match="does not join"):
        admin.execute(
            "INSERT INTO hs.work_order_status_event (business_id, work_order_id, from_status,"
            " to_status) VALUES (tenant_mgmt.current_business_id(), %s, 'requested', 'quoted')",
            [order],
        )


def test_the_history_stays(admin: Connection, tenant: UUID) -> None:
    move(admin, bring(admin, tenant, "dispatched"), "en_route")
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute("DELETE FROM hs.work_order_status_event")


def test_the_queue_knows_what_is_promised_and_why_it_stands(
    admin: Connection, tenant: UUID
) -> None:
    order = bring(admin, tenant, "dispatched")
    assert one(admin, "SELECT sla_remaining < interval '0' FROM hs.v_open_work_order_queue")
    hold(admin, order, add_reason(admin, "hold"))
    admin.execute(
        "UPDATE hs.work_order_hold SET is_sla_paused = true, held_at = now() - interval '1 day'"
    )
    row = admin.execute(
        "SELECT hold_reason, sla_remaining, due_at = w.requested_at + interval '26 hours',"
        " next_visit_at FROM hs.v_open_work_order_queue AS q"
        " JOIN hs.work_order AS w USING (business_id, work_order_id)"
    ).fetchone()
    assert row == ("Reason", None, True, None)


def test_what_ended_is_not_in_the_queue(admin: Connection, tenant: UUID) -> None:
    bring(admin, tenant, "closed")
    assert one(admin, "SELECT count(*) FROM hs.v_open_work_order_queue") == 0


def test_cycle_times_are_hours_in_the_state_that_was_left(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "requested")
    admin.execute(
        "INSERT INTO hs.work_order_status_event (business_id, work_order_id, to_status,"
        " occurred_at) VALUES (tenant_mgmt.current_business_id(), %s, 'requested',"
        " now() - interval '3 hours')",
        [order],
    )
    move(admin, order, "quoted")
    admin.execute("RESET ROLE")
    admin.execute("REFRESH MATERIALIZED VIEW hs.mv_work_order_cycle_time")
    become_app(admin, tenant)
    row = admin.execute(
        "SELECT status, move_count, median_hours::text, p90_hours::text"
        " FROM hs.v_work_order_cycle_time"
    ).fetchone()
    assert row == ("requested", 1, "3.00", "3.00")
