"""Nobody is sent where a high risk was not looked at."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.test_hs_organization import one
from tests.integration.schema.test_hs_pricebook import add
from tests.integration.schema.test_hs_work_orders import add_order, bring, move, send
from tests.integration.schema.test_hs_workforce import may_become

MACHINE = {
    "draft": {"active", "expired"},
    "active": {"stopped_work", "expired"},
    "stopped_work": {"active", "expired"},
    "expired": set[str](),
}


def analyze(connection: Connection, order: UUID | None, **given: Any) -> UUID:
    """An analysis of a job, or of its kind of job."""
    columns = {"scope_text": "Roof", "prepared_at": "2026-01-05 12:00+00", **given}
    if order is None:
        columns["job_type_id"] = one(connection, "SELECT job_type_id FROM hs.job_type")
    return add(connection, "job_hazard_analysis", work_order_id=order, **columns)


@pytest.mark.parametrize(
    ("is_template", "given", "blocks"),
    [
        (False, {"residual_risk": "high"}, True),
        (False, {"residual_risk": "high", "status": "active"}, True),
        (False, {"residual_risk": "high", "reviewed_at": "2026-01-05 13:00+00"}, False),
        (False, {"residual_risk": "medium"}, False),
        (True, {"residual_risk": "high"}, False),
        (True, {"residual_risk": "high", "status": "active"}, True),
        (True, {"residual_risk": "low", "status": "active"}, False),
    ],
)
def test_a_high_risk_is_reviewed_before_anybody_is_sent(
    admin: Connection, tenant: UUID, is_template: bool, given: dict[str, Any], blocks: bool
) -> None:
    order = bring(admin, tenant, "scheduled")
    send(admin, tenant, order)
    analyze(admin, None if is_template else order, **given)
    if not blocks:
        assert move(admin, order, "dispatched", "dispatcher") == "dispatched"
        return
    with pytest.raises(errors.CheckViolation, match="JHA-000001 blocks"), admin.transaction():
        move(admin, order, "dispatched", "dispatcher")
    admin.execute("UPDATE hs.job_hazard_analysis SET reviewed_at = now()")
    assert move(admin, order, "dispatched", "dispatcher") == "dispatched"


def test_stopped_work_is_not_sent_again(admin: Connection, tenant: UUID) -> None:
    order = bring(admin, tenant, "scheduled")
    send(admin, tenant, order)
    analyze(admin, order, status="active")
    admin.execute("UPDATE hs.job_hazard_analysis SET status = 'stopped_work'")
    with pytest.raises(errors.CheckViolation, match="blocks the dispatch"), admin.transaction():
        move(admin, order, "dispatched", "dispatcher")
    admin.execute("UPDATE hs.job_hazard_analysis SET status = 'expired'")
    assert move(admin, order, "dispatched", "dispatcher") == "dispatched"


def test_without_a_job_it_is_a_template(app: Connection) -> None:
    order = add_order(app)
    analyze(app, order)
    analyze(app, None)
    rows = app.execute(
        "SELECT work_order_id IS NULL, is_template FROM hs.job_hazard_analysis"
    ).fetchall()
    assert sorted(rows) == [(False, False), (True, True)]


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"site_conditions": "{}"}, "site_of_a_job"),
        ({"reviewed_at": "2026-01-05 11:00+00"}, "reviewed_after_preparation"),
    ],
)
def test_an_analysis_is_plausible(app: Connection, given: dict[str, Any], truth: str) -> None:
    add_order(app)
    with pytest.raises(errors.CheckViolation, match=f"job_hazard_analysis_{truth}"):
        analyze(app, None, **given)


def test_an_analysis_is_about_something(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="is_about_something"):
        add(app, "job_hazard_analysis", scope_text="Roof")


def test_what_was_found_unsafe_is_listed(app: Connection) -> None:
    answers = [
        {"question": "Ladder tied off", "answer": "yes", "is_safe": True},
        {"question": "Dog secured", "answer": "no", "is_safe": False},
    ]
    site = json.dumps({"checked_by": "Ada", "answers": answers})
    analyze(app, add_order(app), site_conditions=site)
    rows = app.execute(
        "SELECT checked_by, question, answer FROM hs.v_unsafe_site_condition"
    ).fetchall()
    assert rows == [("Ada", "Dog secured", "no")]


@pytest.mark.parametrize(("today", "moved"), [("2026-02-01", 0), ("2026-02-02", 1)])
def test_an_analysis_expires_the_day_after(app: Connection, today: str, moved: int) -> None:
    analyze(app, add_order(app), status="active", valid_until_on="2026-02-01")
    assert one(app, "SELECT hs.expire_hazard_analyses(%s)", today) == moved
    assert one(app, "SELECT hs.expire_hazard_analyses(%s)", today) == 0, "once"


def test_an_analysis_moves_as_its_machine_says(app: Connection) -> None:
    analyze(app, add_order(app))
    for before in MACHINE:
        for after in MACHINE.keys() - {before}:
            allowed = may_become(app, "hs.job_hazard_analysis", before, after)
            assert allowed == (after in MACHINE[before]), (before, after)
