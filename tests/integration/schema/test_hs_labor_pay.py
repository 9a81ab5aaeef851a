"""Cards sum the clock, shares are whole, commissions follow the plan."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.test_hs_organization import one
from tests.integration.schema.test_hs_work_orders import add_line, add_order
from tests.integration.schema.test_hs_workforce import add_technician, may_become

TENANT = "tenant_mgmt.current_business_id()"
CARD = {
    "open": {"submitted"},
    "submitted": {"approved", "rejected"},
    "rejected": {"submitted"},
    "approved": {"exported", "rejected"},
    "exported": set(),
}
STATEMENT = {
    "draft": {"issued"},
    "issued": {"disputed", "paid"},
    "disputed": {"issued"},
    "paid": set(),
}


@pytest.fixture
def order(app: Connection) -> UUID:
    """A requested work order."""
    return add_order(app)


@pytest.fixture
def technician(app: Connection, order: UUID) -> UUID:
    """A technician of its unit."""
    return add_technician(app)


def clock(
    connection: Connection, technician: UUID, starts: str, minutes: int, **given: Any
) -> None:
    """An interval on 5 January 2026."""
    connection.execute(
        "INSERT INTO hs.time_entry (business_id, technician_id, activity, work_order_id,"
        f" started_at, ended_at) VALUES ({TENANT}, %s, %s, %s, %s::timestamptz,"
        " %s::timestamptz + %s * interval '1 minute')",
        [
            technician,
            given.get("activity", "shop"),
            given.get("order"),
            f"2026-01-05 {starts}+00",
            f"2026-01-05 {starts}+00",
            minutes,
        ],
    )


def card(connection: Connection, technician: UUID) -> UUID:
    """The card of the week of 5 January 2026."""
    found: UUID = one(
        connection,
        "INSERT INTO hs.timesheet (business_id, technician_id, period_start_on, period_end_on)"
        f" VALUES ({TENANT}, %s, '2026-01-05', '2026-01-11') RETURNING timesheet_id",
        technician,
    )
    return found


@pytest.mark.parametrize(
    ("minutes", "hours"),
    [
        (480, (8, 0, 0)),
        (481, (8, 0.02, 0)),
        (720, (8, 4, 0)),
        (780, (8, 4, 1)),
        (60, (1, 0, 0)),
    ],
)
def test_hours_beyond_the_limits_of_a_day_count_more(
    app: Connection, technician: UUID, minutes: int, hours: tuple[float, ...]
) -> None:
    app.execute("SET LOCAL TIME ZONE 'UTC'")
    clock(app, technician, "06:00", minutes)
    app.execute("SELECT hs.total_timesheet(%s)", [card(app, technician)])
    found = app.execute(
        "SELECT regular_hours::float, overtime_hours::float, double_time_hours::float"
        " FROM hs.timesheet"
    ).fetchone()
    assert found == hours


def test_breaks_are_not_work_and_drives_are(app: Connection, technician: UUID) -> None:
    app.execute("SET LOCAL TIME ZONE 'UTC'")
    clock(app, technician, "06:00", 60, activity="drive")
    clock(app, technician, "07:00", 30, activity="break")
    clock(app, technician, "07:30", 30, activity="idle")
    app.execute("SELECT hs.total_timesheet(%s)", [card(app, technician)])
    found = app.execute(
        "SELECT regular_hours::float, drive_hours::float, idle_hours::float FROM hs.timesheet"
    ).fetchone()
    assert found == (1.5, 1, 0.5)


def test_an_approved_card_is_locked_and_a_rejected_one_is_not(
    app: Connection, technician: UUID, account: UUID
) -> None:
    card(app, technician)
    app.execute("UPDATE hs.timesheet SET status = 'submitted', submitted_at = now()")
    app.execute(
        "UPDATE hs.timesheet SET status = 'approved', approved_at = now(),"
        " approved_by_user_account_id = %s",
        [account],
    )
    with (
        pytest.raises(errors.CheckViolation, match="is approved: its hours stay"),
        app.transaction(),
    ):
        app.execute("UPDATE hs.timesheet SET regular_hours = 1")
    app.execute("UPDATE hs.timesheet SET status = 'rejected'")
    app.execute("UPDATE hs.timesheet SET regular_hours = 1")


def test_entries_of_one_technician_do_not_overlap(app: Connection, technician: UUID) -> None:
    clock(app, technician, "06:00", 60)
    clock(app, technician, "07:00", 60)
    with pytest.raises(errors.ExclusionViolation, match="time_entry_one_at_a_time"):
        clock(app, technician, "06:30", 5)


def test_a_manual_entry_says_why(app: Connection, technician: UUID) -> None:
    clock(app, technician, "06:00", 60)
    with pytest.raises(errors.CheckViolation, match="manual_has_reason"):
        app.execute("UPDATE hs.time_entry SET source = 'manual'")


def share(connection: Connection, order: UUID, technician: UUID, percent: float) -> None:
    connection.execute(
        "INSERT INTO hs.job_split (business_id, work_order_id, technician_id, split_pct)"
        f" VALUES ({TENANT}, %s, %s, %s)",
        [order, technician, percent],
    )


@pytest.mark.parametrize(("first", "second", "whole"), [(60, 40, True), (60, 39.99, False)])
def test_a_job_is_shared_whole_when_the_transaction_ends(
    app: Connection, order: UUID, technician: UUID, first: float, second: float, whole: bool
) -> None:
    share(app, order, technician, first)
    share(app, order, add_technician(app, "T2"), second)
    if whole:
        app.execute("SET CONSTRAINTS ALL IMMEDIATE")
        return
    with pytest.raises(errors.CheckViolation, match=r"sum to 99\.99"):
        app.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_a_job_is_shared_by_the_hours_on_the_clock(
    app: Connection, order: UUID, technician: UUID
) -> None:
    others = [add_technician(app, f"T{number}") for number in (2, 3)]
    for worker in (technician, *others):
        clock(app, worker, "06:00", 50, activity="job", order=order)
    assert one(app, "SELECT hs.split_job_by_hours(%s)", order) == 3
    app.execute("SET CONSTRAINTS ALL IMMEDIATE")
    shares = app.execute("SELECT split_pct::float FROM hs.job_split ORDER BY 1").fetchall()
    assert shares == [(33.3333,), (33.3333,), (33.3334,)]


def test_what_was_shared_by_hand_stays(app: Connection, order: UUID, technician: UUID) -> None:
    share(app, order, technician, 100)
    app.execute("UPDATE hs.job_split SET is_auto_calculated = false")
    clock(app, add_technician(app, "T2"), "06:00", 50, activity="job", order=order)
    assert one(app, "SELECT hs.split_job_by_hours(%s)", order) == 0
    assert one(app, "SELECT count(*) FROM hs.job_split") == 1


def plan(connection: Connection, *rules: str, **given: Any) -> None:
    """A plan with rules in order, each its columns and values: 'commission_pct = 5'."""
    connection.execute(
        "INSERT INTO hs.commission_plan (business_id, plan_code, name, basis, earn_on,"
        f" minimum_amount, effective_on) VALUES ({TENANT}, 'P', 'Plan', %s, %s, %s, '2020-01-01')",
        [given.get("basis", "revenue"), given.get("earn_on", "sold"), given.get("minimum", 0)],
    )
    for number, rule in enumerate(rules, 1):
        names = ", ".join(part.split(" = ")[0] for part in rule.split(", "))
        values = ", ".join(part.split(" = ")[1] for part in rule.split(", "))
        connection.execute(
            "INSERT INTO hs.commission_rule (business_id, commission_plan_id, rule_seq,"
            f" {names}) SELECT business_id, commission_plan_id, {number}, {values}"
            " FROM hs.commission_plan".encode()
        )


def accrue(connection: Connection, order: UUID) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT entry_amount::float, status FROM hs.accrue_commissions(%s) ORDER BY 1", [order]
    ).fetchall()


@pytest.mark.parametrize(
    ("rules", "given", "amounts"),
    [
        (["commission_pct = 5"], {}, [9]),
        (["commission_pct = 5"], {"basis": "gross_margin"}, [4.9]),
        (["commission_pct = 5", "commission_pct = 50"], {}, [9]),
        (["commission_pct = 5", "flat_amount = 7, is_exclusive = false"], {}, [7, 9]),
        (
            ["condition_kind = 'margin_tier', threshold_min_amount = 181, commission_pct = 50"],
            {},
            [],
        ),
        (
            ["condition_kind = 'margin_tier', threshold_min_amount = 180, commission_pct = 50"],
            {},
            [90],
        ),
        (["commission_pct = 50, cap_amount = 20"], {}, [20]),
        (["commission_pct = 5"], {"minimum": 180.01}, []),
        (["per_hour_amount = 4"], {}, [8]),
    ],
)
def test_a_job_of_180_pays_by_the_first_rule_that_fits_and_every_additive_one(
    app: Connection,
    order: UUID,
    technician: UUID,
    rules: list[str],
    given: dict[str, Any],
    amounts: list[float],
) -> None:
    add_line(app, order)
    share(app, order, technician, 100)
    app.execute("UPDATE hs.job_split SET basis_hours = 2")
    plan(app, *rules, **given)
    assert [amount for amount, _ in accrue(app, order)] == amounts


def test_commission_is_shared_as_the_job_is(app: Connection, order: UUID, technician: UUID) -> None:
    add_line(app, order)
    share(app, order, technician, 75)
    share(app, order, add_technician(app, "T2"), 25)
    plan(app, "commission_pct = 10")
    assert [amount for amount, _ in accrue(app, order)] == [4.5, 13.5]


def test_a_changed_job_is_accrued_anew(app: Connection, order: UUID, technician: UUID) -> None:
    add_line(app, order)
    share(app, order, technician, 100)
    plan(app, "commission_pct = 10", earn_on="completed")
    assert accrue(app, order) == [(18, "accrued")]
    add_line(app, order)
    assert accrue(app, order) == [(36, "accrued")]
    found = app.execute(
        "SELECT entry_amount::float, status FROM hs.commission_entry ORDER BY 1"
    ).fetchall()
    assert found == [(18, "reversed"), (36, "accrued")]


def test_a_statement_takes_what_was_earned_once(app: Connection, technician: UUID) -> None:
    for kind, amount in (("commission", 90), ("bonus", 10), ("clawback", -25)):
        app.execute(
            "INSERT INTO hs.commission_entry (business_id, technician_id, entry_kind,"
            f" entry_amount, status, earned_on) VALUES ({TENANT}, %s, %s, %s, 'earned',"
            " '2026-01-10')",
            [technician, kind, amount],
        )
    issue = "SELECT hs.issue_commission_statement(%s, %s, %s)"
    app.execute(issue.encode(), [technician, "2026-01-01", "2026-01-31"])
    app.execute(issue.encode(), [technician, "2026-02-01", "2026-02-28"])
    found = app.execute(
        "SELECT earned_amount, clawback_amount, payable_amount, status"
        " FROM hs.commission_statement ORDER BY period_start_on"
    ).fetchall()
    assert found == [(100, 25, 75, "issued"), (0, 0, 0, "issued")]


@pytest.mark.parametrize(
    ("kind", "amount", "allowed"),
    [
        ("clawback", -1, True),
        ("clawback", 1, False),
        ("spiff", -1, False),
        ("adjustment", 0, False),
    ],
)
def test_only_a_clawback_takes_back(
    app: Connection, technician: UUID, kind: str, amount: int, allowed: bool
) -> None:
    insert = (
        "INSERT INTO hs.commission_entry (business_id, technician_id, entry_kind, entry_amount)"
        f" VALUES ({TENANT}, %s, %s, %s)"
    )
    if allowed:
        app.execute(insert.encode(), [technician, kind, amount])
        return
    with pytest.raises(errors.CheckViolation, match="clawback_is_negative"):
        app.execute(insert.encode(), [technician, kind, amount])


def test_what_a_job_left_is_its_lines_less_hours_and_commissions(
    app: Connection, order: UUID, technician: UUID
) -> None:
    add_line(app, order)
    app.execute("UPDATE hs.technician SET hourly_pay_amount = 30")
    clock(app, technician, "06:00", 120, activity="job", order=order)
    share(app, order, technician, 100)
    plan(app, "commission_pct = 5")
    accrue(app, order)
    compute = (
        "SELECT revenue_amount, labor_cost, commission_cost, gross_margin_amount,"
        " gross_margin_pct::float, billed_hours, technician_id"
        " FROM hs.compute_job_profitability(%s)"
    )
    expected = (180, 60, 9, 111, 61.6667, 2, technician)
    assert app.execute(compute.encode(), [order]).fetchone() == expected
    assert app.execute(compute.encode(), [order]).fetchone() == expected, "asked again"
    assert one(app, "SELECT count(*) FROM hs.job_profitability") == 1


def test_a_scorecard_is_of_a_week(app: Connection, technician: UUID) -> None:
    insert = (
        "INSERT INTO hs.technician_scorecard (business_id, technician_id, week_on, job_count,"
        f" revenue_amount) VALUES ({TENANT}, %s, %s, 4, 1000) RETURNING average_ticket_amount"
    )
    assert one(app, insert, technician, "2026-01-05") == 250
    with pytest.raises(errors.CheckViolation, match="week_is_monday"):
        app.execute(insert.encode(), [technician, "2026-01-06"])


def test_the_states_of_cards_and_statements_follow_their_machines(
    app: Connection, technician: UUID
) -> None:
    card(app, technician)
    app.execute(
        "SELECT hs.issue_commission_statement(%s, '2026-01-01', '2026-01-31')", [technician]
    )
    for table, machine, free in (
        ("hs.timesheet", CARD, {"open", "submitted", "rejected"}),
        ("hs.commission_statement", STATEMENT, {"issued", "disputed"}),
    ):
        for before in free:
            for after in free - {before}:
                allowed = may_become(app, table, before, after)
                assert allowed == (after in machine[before]), (table, before, after)
