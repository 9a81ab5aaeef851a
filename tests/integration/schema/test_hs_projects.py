"""Changes stay once approved, projects and permits go step by step, cover must be in date."""

from __future__ import annotations

import itertools
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.test_hs_organization import one
from tests.integration.schema.test_hs_work_orders import add_line, add_order, bring

MACHINES: dict[str, dict[str, set[str]]] = {
    "project": {
        "planning": {"sold", "cancelled"},
        "sold": {"permitting", "scheduled", "cancelled"},
        "permitting": {"scheduled", "cancelled"},
        "scheduled": {"permitting", "in_progress", "cancelled"},
        "in_progress": {"scheduled", "punch_list", "complete", "cancelled"},
        "punch_list": {"in_progress", "complete"},
        "complete": {"punch_list"},
        "cancelled": set(),
    },
    "permit": {
        "not_applied": {"applied"},
        "applied": {"issued", "rejected"},
        "rejected": {"applied"},
        "issued": {"inspection_due", "finaled", "expired"},
        "inspection_due": {"issued", "finaled", "expired"},
        "expired": {"applied"},
        "finaled": set(),
    },
    "subcontractor": {
        "pending": {"approved", "terminated"},
        "approved": {"suspended", "terminated"},
        "suspended": {"approved", "terminated"},
        "terminated": set(),
    },
    "change_order": {
        "draft": {"presented", "void"},
        "presented": {"approved", "declined", "draft", "void"},
        "declined": {"draft", "void"},
        "void": set(),
    },
}

MOVES = [
    (table, before, after)
    for table, machine in MACHINES.items()
    for before, after in itertools.permutations(machine, 2)
]


def add_project(connection: Connection, status: str = "planning", number: str = "P1") -> UUID:
    """A project of 10,000, of which 40 % is done unless it is complete."""
    if not one(connection, "SELECT work_order_id FROM hs.work_order"):
        add_order(connection)
    found: UUID = one(
        connection,
        "INSERT INTO hs.project (business_id, customer_id, service_location_id,"
        " business_unit_id, project_number, name, status, contract_amount, cost_budget,"
        " billed_to_date_amount, complete_pct, starts_on, completed_on)"
        " SELECT w.business_id, w.customer_id, w.service_location_id, w.business_unit_id, %s,"
        " 'Replacement', %s, 10000, 6000, 3000, CASE WHEN %s = 'complete' THEN 100 ELSE 40 END,"
        " '2026-01-01', CASE WHEN %s = 'complete' THEN date '2026-02-01' END"
        " FROM hs.work_order AS w RETURNING project_id",
        number,
        status,
        status,
        status,
    )
    return found


def add_change(
    connection: Connection, project: UUID | None, status: str = "draft", number: str = "CO1"
) -> UUID:
    """A change of 500 on the first job."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.change_order (business_id, work_order_id, project_id,"
        " change_order_number, reason, status, description, price_delta_amount,"
        " cost_delta_amount, presented_at, approved_at, approval_method)"
        " SELECT w.business_id, w.work_order_id, %s, %s, 'hidden_condition', %s, 'Rot', 500, 300,"
        " CASE WHEN %s <> 'draft' THEN now() END, CASE WHEN %s = 'approved' THEN now() END,"
        " CASE WHEN %s = 'approved' THEN 'signature' END"
        " FROM hs.work_order AS w ORDER BY w.work_order_number LIMIT 1"
        " RETURNING change_order_id",
        project,
        number,
        *[status] * 4,
    )
    return found


def add_permit(connection: Connection, status: str = "not_applied", project: Any = None) -> UUID:
    """A permit for the first job; with all its days, so that its state may move."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.permit (business_id, service_location_id, work_order_id, authority_name,"
        " permit_kind, status, permit_number, applied_on, issued_on, finaled_on)"
        " SELECT w.business_id, w.service_location_id, w.work_order_id, 'City', 'mechanical', %s,"
        " 'P-1', '2026-01-01', '2026-01-05', CASE WHEN %s = 'finaled' THEN date '2026-01-09' END"
        " FROM hs.work_order AS w RETURNING permit_id",
        status,
        status,
    )
    return found


def add_firm(connection: Connection, status: str = "pending", days: int = 30) -> UUID:
    """A subcontractor whose insurance ends in so many days."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.subcontractor (business_id, company_name, trade, status, contact_name,"
        " license_expires_on, liability_expires_on, workers_comp_expires_on)"
        " VALUES (tenant_mgmt.current_business_id(), 'Dig Ltd', 'excavation', %s, 'Bob',"
        " '2099-01-01', current_date + %s, '2099-01-01') RETURNING subcontractor_id",
        status,
        days,
    )
    return found


@pytest.mark.parametrize(("table", "before", "after"), MOVES)
def test_states_move_as_specified(
    admin: Connection, tenant: UUID, table: str, before: str, after: str
) -> None:
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    add_order(admin)
    {
        "project": add_project,
        "permit": add_permit,
        "subcontractor": add_firm,
        "change_order": lambda c, s: add_change(c, None, s),
    }[table](admin, before)
    extra = {
        ("project", "complete"): ", completed_on = '2026-02-01', complete_pct = 100",
        ("permit", "finaled"): ", finaled_on = '2026-01-09'",
        ("change_order", "presented"): ", presented_at = now()",
    }.get((table, after), "")
    if (table, before) == ("project", "complete"):
        extra = ", completed_on = NULL"
    query = f"UPDATE hs.{table} SET status = %s{extra} RETURNING status"
    if after in MACHINES[table][before]:
        assert one(admin, query, after) == after
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            one(admin, query, after)


def approve(connection: Connection) -> None:
    connection.execute(
        "UPDATE hs.change_order SET status = 'approved', approved_at = now(),"
        " approval_method = 'signature'"
    )


@pytest.mark.parametrize(
    "change",
    ["UPDATE hs.change_order SET price_delta_amount = 1", "DELETE FROM hs.change_order"],
)
def test_what_was_approved_stays(app: Connection, change: str) -> None:
    add_order(app)
    add_change(app, None, "presented")
    approve(app)
    with pytest.raises(errors.RestrictViolation, match="is approved"):
        app.execute(change.encode())


def test_an_approval_has_its_time_and_its_way(app: Connection) -> None:
    add_order(app)
    add_change(app, None, "presented")
    with pytest.raises(errors.CheckViolation, match="change_order_approved_has_time"):
        app.execute("UPDATE hs.change_order SET status = 'approved'")


def test_a_change_counts_for_the_project_of_its_job(app: Connection) -> None:
    order, first = add_order(app), add_project(app)
    second = add_project(app, number="P2")
    app.execute("UPDATE hs.work_order SET project_id = %s WHERE work_order_id = %s", [first, order])
    add_change(app, first)
    with pytest.raises(errors.CheckViolation, match="of another project"):
        add_change(app, second, number="CO2")


def test_a_project_is_worth_its_contract_and_its_changes(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "in_progress")
    project = add_project(admin)
    admin.execute("UPDATE hs.work_order SET project_id = %s", [project])
    add_line(admin, order)
    add_change(admin, project, "presented")
    approve(admin)
    add_change(admin, project, number="CO2")
    row = admin.execute(
        "SELECT current_amount, earned_amount, underbilled_amount, current_cost_budget,"
        " actual_cost_amount, open_job_count FROM hs.v_project_value"
    ).fetchone()
    assert row == (10500, 4200, 1200, 6300, 82, 1)


def test_a_permit_is_for_something(app: Connection) -> None:
    add_order(app)
    add_permit(app)
    with pytest.raises(errors.CheckViolation, match="permit_is_for_something"):
        app.execute("UPDATE hs.permit SET work_order_id = NULL")


@pytest.mark.parametrize("days", [0, -1])
def test_nobody_is_approved_without_cover(app: Connection, days: int) -> None:
    add_firm(app, days=days)
    with pytest.raises(errors.CheckViolation, match="Dig Ltd cannot be approved"):
        app.execute("UPDATE hs.subcontractor SET status = 'approved'")


def test_who_lapses_is_suspended_and_comes_back_with_new_cover(app: Connection) -> None:
    add_firm(app, days=10)
    app.execute("UPDATE hs.subcontractor SET status = 'approved'")
    day = "SELECT hs.suspend_lapsed_subcontractors(current_date + %s)"
    assert one(app, day, 9) == 0
    assert one(app, day, 10) == 1
    assert one(app, "SELECT status FROM hs.subcontractor") == "suspended"
    app.execute(
        "UPDATE hs.subcontractor SET liability_expires_on = current_date + 365, status = 'approved'"
    )
    assert one(app, day, 10) == 0
