"""Leave is a ledger: earned by tier and cap, given once, taken back by another entry, proven."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import imported, row
from tests.integration.schema.staffing import MONDAY, Hire, earning_codes, hire, period
from tests.integration.schema.states import refused

MACHINE = {
    "draft": ["submitted", "cancelled"],
    "submitted": ["approved", "denied", "cancelled"],
    "approved": ["taken", "partly_taken", "cancelled"],
    "denied": [],
    "cancelled": [],
    "taken": [],
    "partly_taken": [],
}


@pytest.fixture
def somebody(app: Connection) -> Hire:
    return hire(app)


def enroll(connection: Connection, person: UUID, hours: float = 0, **policy: Any) -> UUID:
    """An enrollment since 2024 with so many hours, in a plan of its own."""
    plan = row(connection, "payroll.time_off_policy", **policy)
    made = row(
        connection,
        "payroll.time_off_enrollment",
        employee_id=person,
        time_off_policy_id=plan,
        enrolled_on="2024-01-15",
    )
    if hours:
        post(connection, made, hours, entry_kind="carryover")
    return made


def post(connection: Connection, enrollment: UUID, hours: float, **given: Any) -> UUID:
    columns = {"entry_date": MONDAY, "hours": hours, **given}
    return row(
        connection,
        "payroll.time_off_ledger_entry",
        time_off_enrollment_id=enrollment,
        **columns,
    )


def member(connection: Connection, *columns: str) -> Any:
    wanted = ", ".join(columns)
    found = connection.execute(
        f"SELECT {wanted} FROM payroll.time_off_enrollment".encode()
    ).fetchone()
    assert found
    return found[0] if len(found) == 1 else found


def plan_of(connection: Connection, enrollment: UUID) -> UUID:
    found = connection.execute(
        "SELECT time_off_policy_id FROM payroll.time_off_enrollment"
        " WHERE time_off_enrollment_id = %s",
        [enrollment],
    ).fetchone()
    assert found
    return UUID(str(found[0]))


def ask(
    connection: Connection,
    somebody: Hire,
    enrollment: UUID,
    hours: float,
    first: str = MONDAY,
    last: str | None = None,
) -> UUID:
    found = connection.execute(
        "SELECT time_off_request_id FROM payroll.request_time_off(%s, %s, %s, %s, %s::numeric)",
        [somebody.person, plan_of(connection, enrollment), first, last or first, hours],
    ).fetchone()
    assert found
    return UUID(str(found[0]))


def become(connection: Connection, request: UUID, status: str, taken: float | None = None) -> None:
    connection.execute(
        "UPDATE payroll.time_off_request SET status = %s, taken_hours = coalesce(%s, taken_hours),"
        " denial_reason = 'Too many are away' WHERE time_off_request_id = %s",
        [status, taken, request],
    )


def differences(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT difference, said, found FROM payroll.time_off_differences() ORDER BY difference"
    ).fetchall()


def ledger(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT entry_no, entry_kind, hours, balance_after_hours"
        " FROM payroll.time_off_ledger_entry ORDER BY entry_no"
    ).fetchall()


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("time_off_policy", {"accrual_method": "per_hour_worked"}, "rate_when_per_hour"),
        (
            "time_off_policy",
            {
                "accrual_method": "per_hour_worked",
                "accrual_per_hour_rate": 0.025,
                "is_state_mandated": True,
                "mandated_accrual_rate": 0.033333,
            },
            "accrues_what_the_state_asks",
        ),
        (
            "time_off_policy",
            {
                "accrual_method": "per_hour_worked",
                "accrual_per_hour_rate": 0.05,
                "is_state_mandated": True,
            },
            "accrues_what_the_state_asks",
        ),
        ("time_off_policy", {"annual_cap_hours": 80, "balance_cap_hours": 79}, "caps_ordered"),
        ("time_off_policy", {"carryover_hours": -1}, "hours_not_negative"),
        ("time_off_policy", {"leave_kind": "party"}, "leave_kind_known"),
        ("accrual_tier", {"hours_per_year": 521}, "hours_per_year_bounded"),
        ("accrual_tier", {"tier_no": 0}, "numbered_from_one"),
        ("accrual_tier", {"to_service_months": 0}, "months_ordered"),
        ("accrual_tier", {"front_load_hours": -1}, "hours_not_negative"),
        ("time_off_enrollment", {"ended_on": "2020-01-01"}, "ends_after_start"),
        ("time_off_enrollment", {"pending_hours": -1}, "hours_not_negative"),
        ("time_off_request", {"ends_on": "2026-05-03"}, "ends_after_start"),
        ("time_off_request", {"hours_requested": 0}, "asks_for_hours"),
        ("time_off_request", {"hours_requested": 25}, "asks_for_hours"),
        (
            "time_off_request",
            {"day_part": "first_half", "ends_on": "2026-05-05"},
            "part_of_one_day",
        ),
        ("time_off_request", {"taken_hours": 8}, "taken_has_hours"),
        ("time_off_request", {"conflicts_found": -1}, "conflicts_not_negative"),
        ("time_off_ledger_entry", {"hours": -1}, "sign_by_kind"),
        ("time_off_ledger_entry", {"entry_kind": "use"}, "sign_by_kind"),
        ("time_off_ledger_entry", {"entry_kind": "expiry"}, "sign_by_kind"),
        ("time_off_ledger_entry", {"entry_kind": "payout"}, "sign_by_kind"),
        ("time_off_ledger_entry", {"entry_kind": "carryover", "hours": -1}, "sign_by_kind"),
        ("time_off_ledger_entry", {"entry_kind": "transfer", "hours": 0}, "sign_by_kind"),
        ("time_off_ledger_entry", {"entry_kind": "adjustment"}, "correction_says_why"),
        ("leave_case", {"entitled_weeks": 27}, "entitlement_bounded"),
        ("leave_case", {"weekly_hours": 0}, "weekly_hours_bounded"),
        ("leave_case", {"used_hours": 481}, "within_its_entitlement"),
        ("leave_case", {"returned_on": "2026-05-03"}, "returns_after_start"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        imported(app, f"payroll.{table}", **columns)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"status": "submitted"}, "submitted_has_time"),
        ({"status": "approved", "submitted_at": "2026-05-01 10:00+00"}, "decided_has_time"),
        (
            {
                "status": "denied",
                "submitted_at": "2026-05-01 10:00+00",
                "decided_at": "2026-05-01 11:00+00",
            },
            "denied_has_reason",
        ),
        (
            {
                "status": "approved",
                "submitted_at": "2026-05-01 10:00+00",
                "decided_at": "2026-05-01 09:00+00",
            },
            "decided_after_submission",
        ),
        (
            {
                "status": "taken",
                "submitted_at": "2026-05-01 10:00+00",
                "decided_at": "2026-05-01 11:00+00",
            },
            "taken_has_hours",
        ),
        (
            {
                "status": "partly_taken",
                "submitted_at": "2026-05-01 10:00+00",
                "decided_at": "2026-05-01 11:00+00",
                "taken_hours": 8,
            },
            "partly_taken_is_less",
        ),
    ],
)
def test_a_request_says_what_became_of_it(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        imported(app, "payroll.time_off_request", **columns)


def tier(connection: Connection, plan: UUID, number: int, first: int, last: int | None) -> UUID:
    return row(
        connection,
        "payroll.accrual_tier",
        time_off_policy_id=plan,
        tier_no=number,
        from_service_months=first,
        to_service_months=last,
    )


def test_tiers_follow_each_other_from_the_first_month(app: Connection) -> None:
    plan = row(app, "payroll.time_off_policy")
    tier(app, plan, 1, 0, 24)
    tier(app, plan, 2, 24, 60)
    tier(app, plan, 3, 60, None)
    assert app.execute("SELECT count(*) FROM payroll.accrual_tier").fetchone() == (3,)


@pytest.mark.parametrize("tiers", [[(1, 24)], [(0, 24), (25, None)], [(0, None), (24, None)]])
def test_tiers_leave_no_gap(app: Connection, tiers: list[tuple[int, int | None]]) -> None:
    plan = row(app, "payroll.time_off_policy")
    *before, (first, last) = tiers
    for number, bounds in enumerate(before, 1):
        tier(app, plan, number, *bounds)
    with pytest.raises(errors.CheckViolation, match="begins at month"):
        tier(app, plan, len(tiers), first, last)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE payroll.accrual_tier SET to_service_months = 12 WHERE tier_no = 1",
        "DELETE FROM payroll.accrual_tier WHERE tier_no = 1",
    ],
)
def test_no_change_leaves_a_gap(app: Connection, change: str) -> None:
    plan = row(app, "payroll.time_off_policy")
    tier(app, plan, 1, 0, 24)
    tier(app, plan, 2, 24, None)
    with pytest.raises(errors.CheckViolation, match="begins at month"):
        app.execute(change.encode())


def test_both_sides_of_a_bound_move_together(app: Connection) -> None:
    plan = row(app, "payroll.time_off_policy")
    tier(app, plan, 1, 0, 24)
    tier(app, plan, 2, 24, None)
    app.execute(
        "UPDATE payroll.accrual_tier SET from_service_months ="
        " CASE tier_no WHEN 2 THEN 36 ELSE 0 END,"
        " to_service_months = CASE tier_no WHEN 1 THEN 36 END"
    )


def test_in_a_plan_once_at_a_time(app: Connection, somebody: Hire) -> None:
    enrollment = enroll(app, somebody.person)
    with pytest.raises(errors.ExclusionViolation, match="one_at_a_time"):
        row(
            app,
            "payroll.time_off_enrollment",
            employee_id=somebody.person,
            time_off_policy_id=plan_of(app, enrollment),
        )


def test_entries_move_the_balance_and_note_it(app: Connection, somebody: Hire) -> None:
    enrollment = enroll(app, somebody.person)
    post(app, enrollment, 10)
    post(app, enrollment, -4, entry_kind="use")
    post(app, enrollment, 2, entry_kind="adjustment", reason="Miscounted")
    assert ledger(app) == [
        (1, "accrual", Decimal(10), Decimal(10)),
        (2, "use", Decimal(-4), Decimal(6)),
        (3, "adjustment", Decimal(2), Decimal(8)),
    ]
    figures = member(app, "balance_hours", "accrued_ytd_hours", "used_ytd_hours", "entry_count")
    assert figures == (Decimal(8), Decimal(10), Decimal(4), 3)
    assert differences(app) == []


def test_a_new_year_counts_anew(app: Connection, somebody: Hire) -> None:
    enrollment = enroll(app, somebody.person)
    post(app, enrollment, 10, entry_date="2025-12-31")
    post(app, enrollment, 3, entry_date="2026-01-01")
    figures = member(app, "balance_hours", "accrued_ytd_hours", "last_posted_on")
    assert figures == (Decimal(13), Decimal(3), date(2026, 1, 1))


@pytest.mark.parametrize(
    ("allowed", "hours", "held"), [(0, 8, True), (0, 8.01, False), (4, 12, True), (4, 12.01, False)]
)
def test_a_balance_is_not_overdrawn(
    app: Connection, somebody: Hire, allowed: int, hours: float, held: bool
) -> None:
    enrollment = enroll(app, somebody.person, 8, allows_negative_hours=allowed)
    if held:
        post(app, enrollment, -hours, entry_kind="use")
        return
    with pytest.raises(errors.CheckViolation, match="cannot be posted"):
        post(app, enrollment, -hours, entry_kind="use")


@pytest.mark.parametrize(("hours", "held"), [(-4, True), (-4.01, False)])
def test_no_way_leads_further_below_zero(
    app: Connection, somebody: Hire, hours: float, held: bool
) -> None:
    enroll(app, somebody.person, allows_negative_hours=4)
    app.execute("RESET ROLE")
    change = "UPDATE payroll.time_off_enrollment SET balance_hours = %s"
    if held:
        app.execute(change.encode(), [hours])
        return
    with pytest.raises(errors.CheckViolation, match="no further below zero"):
        app.execute(change.encode(), [hours])


def test_a_plan_without_limit_is_not_overdrawn(app: Connection, somebody: Hire) -> None:
    enrollment = enroll(app, somebody.person, accrual_method="unlimited")
    post(app, enrollment, -80, entry_kind="use")
    assert member(app, "balance_hours") == -80


@pytest.mark.parametrize(("hours", "held"), [(12, True), (12.01, False)])
def test_nobody_accrues_above_the_cap(
    app: Connection, somebody: Hire, hours: float, held: bool
) -> None:
    enrollment = enroll(app, somebody.person, 8, balance_cap_hours=20)
    if held:
        post(app, enrollment, hours)
        return
    with pytest.raises(errors.CheckViolation, match="accrues up to"):
        post(app, enrollment, hours)


def test_an_entry_is_not_changed_nor_deleted(app: Connection, somebody: Hire) -> None:
    enroll(app, somebody.person, 8)
    for statement in (
        "UPDATE payroll.time_off_ledger_entry SET is_reversed = false",
        "DELETE FROM payroll.time_off_ledger_entry",
        "UPDATE payroll.time_off_ledger_entry SET hours = 80",
    ):
        with (
            pytest.raises((errors.RestrictViolation, errors.InsufficientPrivilege)),
            app.transaction(),
        ):
            app.execute(statement.encode())
    app.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation):
        app.execute("UPDATE payroll.time_off_ledger_entry SET hours = 80, is_reversed = true")


def reverse(connection: Connection, entry: UUID) -> UUID:
    found = connection.execute(
        "SELECT payroll.reverse_time_off(%s, 'Posted for somebody else')", [entry]
    ).fetchone()
    assert found
    return UUID(str(found[0]))


def test_an_entry_is_taken_back_by_another_once(app: Connection, somebody: Hire) -> None:
    enrollment = enroll(app, somebody.person, 8)
    wrong = post(app, enrollment, 6)
    back = reverse(app, wrong)
    assert ledger(app)[-1] == (3, "reversal", Decimal(-6), Decimal(8))
    for entry in (wrong, back):
        with pytest.raises(errors.NoDataFound, match="reversed before"), app.transaction():
            reverse(app, entry)
    assert differences(app) == []


def test_what_was_used_is_not_taken_back_from_an_empty_balance(
    app: Connection, somebody: Hire
) -> None:
    enrollment = enroll(app, somebody.person)
    wrong = post(app, enrollment, 6)
    post(app, enrollment, -6, entry_kind="use")
    with pytest.raises(errors.CheckViolation, match="cannot be posted"):
        reverse(app, wrong)


def test_a_balance_that_is_not_its_ledger_is_found(app: Connection, somebody: Hire) -> None:
    enroll(app, somebody.person, 8)
    app.execute("UPDATE payroll.time_off_enrollment SET balance_hours = 9")
    assert differences(app) == [("balance", Decimal(9), Decimal(8))]


def test_an_entry_that_does_not_follow_is_found(app: Connection, somebody: Hire) -> None:
    enrollment = enroll(app, somebody.person, 8)
    app.execute("RESET ROLE")
    post(app, enrollment, 2, entry_no=2, balance_after_hours=11)
    app.execute("UPDATE payroll.time_off_enrollment SET balance_hours = 10")
    app.execute("SET LOCAL ROLE app_user")
    assert differences(app) == [("entry 2", Decimal(11), Decimal(10))]


def test_hours_that_nobody_asked_for_are_found(app: Connection, somebody: Hire) -> None:
    enroll(app, somebody.person, 8)
    app.execute("UPDATE payroll.time_off_enrollment SET pending_hours = 3")
    assert differences(app) == [("pending", Decimal(3), Decimal(0))]


def request_in(connection: Connection, somebody: Hire, status: str) -> UUID:
    enrollment = enroll(connection, somebody.person, 40)
    given: dict[str, Any] = {"denial_reason": "Too many are away"}
    if status != "draft":
        given["submitted_at"] = "2026-05-01 10:00+00"
    if status in ("approved", "denied", "taken", "partly_taken"):
        given["decided_at"] = "2026-05-02 10:00+00"
    if status in ("taken", "partly_taken"):
        given["taken_hours"] = 8 if status == "taken" else 4
    if status in ("submitted", "approved"):
        connection.execute("UPDATE payroll.time_off_enrollment SET pending_hours = 8")
    return imported(
        connection,
        "payroll.time_off_request",
        employee_id=somebody.person,
        time_off_policy_id=plan_of(connection, enrollment),
        status=status,
        **given,
    )


@pytest.mark.parametrize(
    ("before", "after"), [(b, a) for b, nexts in MACHINE.items() for a in nexts]
)
def test_a_request_goes_its_way(app: Connection, somebody: Hire, before: str, after: str) -> None:
    request = request_in(app, somebody, before)
    become(app, request, after, 4 if after == "partly_taken" else None)
    held = 8 if after in ("submitted", "approved") else 0
    left = {"taken": 32, "partly_taken": 36}.get(after, 40)
    assert member(app, "pending_hours", "balance_hours") == (held, left)
    assert differences(app) == []


@pytest.mark.parametrize(("before", "after"), refused(MACHINE))
def test_a_request_goes_no_other_way(
    app: Connection, somebody: Hire, before: str, after: str
) -> None:
    request = request_in(app, somebody, before)
    with pytest.raises(errors.CheckViolation, match="cannot become"):
        become(app, request, after)


@pytest.mark.parametrize("status", sorted(set(MACHINE) - {"draft"}))
def test_a_request_begins_as_a_draft(app: Connection, status: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        row(app, "payroll.time_off_request", status=status)


def test_what_is_asked_for_is_held(app: Connection, somebody: Hire) -> None:
    enrollment = enroll(app, somebody.person, 16)
    found = app.execute(
        "SELECT conflicts_found, hours_left FROM payroll.request_time_off(%s, %s, %s, %s, 10)",
        [somebody.person, plan_of(app, enrollment), MONDAY, "2026-05-05"],
    ).fetchone()
    assert found == (0, Decimal(6))
    with pytest.raises(errors.CheckViolation, match=r"has 6\.\d+ hours left, 7"):
        ask(app, somebody, enrollment, 7, "2026-05-06")


def test_in_advance_as_far_as_the_plan_allows(app: Connection, somebody: Hire) -> None:
    enrollment = enroll(app, somebody.person, 16, allows_negative_hours=8)
    ask(app, somebody, enrollment, 24, MONDAY, "2026-05-06")
    with pytest.raises(errors.CheckViolation, match="hours left"):
        ask(app, somebody, enrollment, 0.5, "2026-05-07")


def test_leave_without_limit_is_not_counted(app: Connection, somebody: Hire) -> None:
    enrollment = enroll(app, somebody.person, accrual_method="unlimited")
    ask(app, somebody, enrollment, 80, MONDAY, "2026-05-15")
    left = app.execute("SELECT available_hours FROM payroll.v_time_off_balance").fetchone()
    assert left == (None,)


@pytest.mark.parametrize(("first", "held"), [("2024-04-13", False), ("2024-04-14", True)])
def test_leave_is_used_after_the_waiting_time(
    app: Connection, somebody: Hire, first: str, held: bool
) -> None:
    enrollment = enroll(app, somebody.person, 16, waiting_days=90)
    if held:
        ask(app, somebody, enrollment, 8, first)
        return
    with pytest.raises(errors.CheckViolation, match="may be used from 2024-04-14"):
        ask(app, somebody, enrollment, 8, first)


def test_who_is_not_in_a_plan_does_not_ask_for_it(app: Connection, somebody: Hire) -> None:
    plan = row(app, "payroll.time_off_policy")
    with pytest.raises(errors.CheckViolation, match="not in this plan"):
        app.execute(
            "SELECT payroll.request_time_off(%s, %s, %s, %s, 8)",
            [somebody.person, plan, MONDAY, MONDAY],
        )


def test_shifts_in_the_way_are_counted(app: Connection, somebody: Hire) -> None:
    for on, status in ((4, "published"), (5, "confirmed"), (6, "cancelled"), (9, "published")):
        imported(
            app,
            "payroll.scheduled_shift",
            employee_id=somebody.person,
            job_assignment_id=somebody.job,
            work_location_id=somebody.place,
            starts_at=f"2026-05-0{on} 09:00+00",
            ends_at=f"2026-05-0{on} 17:00+00",
            published_at="2026-04-20 09:00+00",
            status=status,
        )
    enrollment = enroll(app, somebody.person, 40)
    ask(app, somebody, enrollment, 40, MONDAY, "2026-05-08")
    assert app.execute("SELECT conflicts_found FROM payroll.time_off_request").fetchone() == (2,)


def test_nobody_decides_on_their_own(app: Connection, somebody: Hire, account: UUID) -> None:
    app.execute("UPDATE payroll.employee SET user_account_id = %s", [account])
    enrollment = enroll(app, somebody.person, 40)
    ask(app, somebody, enrollment, 8)
    with pytest.raises(errors.CheckViolation, match="their own"):
        app.execute(
            "UPDATE payroll.time_off_request SET status = 'approved', decided_by = %s", [account]
        )


def test_what_was_asked_for_is_not_changed_behind_the_decision(
    app: Connection, somebody: Hire
) -> None:
    enrollment = enroll(app, somebody.person, 40)
    ask(app, somebody, enrollment, 8)
    with pytest.raises(errors.CheckViolation, match="is not changed"):
        app.execute("UPDATE payroll.time_off_request SET hours_requested = 1")


@pytest.mark.parametrize(
    ("first", "second", "held"),
    [
        (("full", MONDAY), ("full", MONDAY), False),
        (("full", MONDAY), ("first_half", MONDAY), False),
        (("full", MONDAY), ("full", "2026-05-05"), True),
        (("first_half", MONDAY), ("second_half", MONDAY), True),
        (("first_half", MONDAY), ("first_half", MONDAY), False),
        (("second_half", MONDAY), ("hours", MONDAY), False),
    ],
)
def test_nobody_is_away_twice(
    app: Connection,
    somebody: Hire,
    first: tuple[str, str],
    second: tuple[str, str],
    held: bool,
) -> None:
    enrollment = enroll(app, somebody.person, 40)
    made = [
        app.execute(
            "SELECT time_off_request_id FROM payroll.request_time_off(%s, %s, %s, %s, 4, %s)",
            [somebody.person, plan_of(app, enrollment), on, on, part],
        ).fetchone()
        for part, on in (first, second)
    ]
    approve = "UPDATE payroll.time_off_request SET status = 'approved'"
    if held:
        app.execute(approve.encode())
        return
    assert all(made)
    with pytest.raises(errors.ExclusionViolation, match="away_once"):
        app.execute(approve.encode())


def test_the_last_hours_are_given_once(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        somebody = hire(connection)
        enrollment = enroll(connection, somebody.person, 8)

    def work(connection: Connection, number: int) -> str:
        try:
            ask(connection, somebody, enrollment, 8, f"2026-06-0{number + 1}")
        except errors.CheckViolation:
            return "refused"
        return "given"

    assert sorted(at_once(target, tenant, 4, work)) == ["given", "refused", "refused", "refused"]
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert member(connection, "pending_hours") == 8
        assert differences(connection) == []


def test_a_ledger_written_by_many_is_one_line(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        enrollment = enroll(connection, hire(connection).person)
    at_once(target, tenant, 4, lambda c, _: [post(c, enrollment, 1) for _ in range(5)])
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert [number for number, *_ in ledger(connection)] == list(range(1, 21))
        assert differences(connection) == []


def test_a_period_is_credited_once_by_two_at_once(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        somebody = hire(connection)
        plan = plan_of(connection, enroll(connection, somebody.person))
        tier(connection, plan, 1, 0, None)
        span = period(connection, somebody.employer)
    assert sorted(at_once(target, tenant, 2, lambda c, _: accrue(c, span))) == [0, 1]


def accrue(connection: Connection, span: UUID) -> Any:
    found = connection.execute("SELECT payroll.post_accruals(%s)", [span]).fetchone()
    assert found
    return found[0]


def worked(connection: Connection, somebody: Hire, span: UUID, hours: float) -> UUID:
    code = earning_codes(connection)["regular"]
    sheet = row(connection, "payroll.timesheet", employee_id=somebody.person, pay_period_id=span)
    row(
        connection,
        "payroll.timesheet_entry",
        timesheet_id=sheet,
        job_assignment_id=somebody.job,
        earning_code_id=code,
        work_date=MONDAY,
        hours=hours,
        is_manual=True,
        manual_reason="Paper sheet",
    )
    return sheet


def test_hours_worked_earn_hours_off(app: Connection, somebody: Hire) -> None:
    enroll(app, somebody.person, accrual_method="per_hour_worked", accrual_per_hour_rate=0.033333)
    span = period(app, somebody.employer)
    worked(app, somebody, span, 24)
    assert accrue(app, span) == 1
    assert member(app, "balance_hours", "last_posted_on") == (Decimal("0.8000"), date(2026, 5, 10))
    assert accrue(app, span) == 0


@pytest.mark.parametrize(("exempt", "earned"), [(True, "1.0000"), (False, "0")])
def test_who_keeps_no_hours_is_taken_to_work_the_standard_ones(
    app: Connection, exempt: bool, earned: str
) -> None:
    kind = {"flsa_status": "exempt", "exemption_test": "computer"} if exempt else {}
    somebody = hire(
        app,
        job_profile_id=row(app, "payroll.job_profile", **kind),
        standard_hours_weekly=40,
    )
    enroll(app, somebody.person, accrual_method="per_hour_worked", accrual_per_hour_rate=0.025)
    accrue(app, period(app, somebody.employer))
    assert member(app, "balance_hours") == Decimal(earned)


@pytest.mark.parametrize(
    ("months", "per_year", "per_period", "earned"),
    [
        (0, 80, None, "1.5385"),
        (24, 120, None, "2.3077"),
        (24, 120, 3, "3.0000"),
        (36, 120, None, "1.5385"),
    ],
)
def test_a_period_earns_by_the_tier_of_service(
    app: Connection,
    somebody: Hire,
    months: int,
    per_year: int,
    per_period: int | None,
    earned: str,
) -> None:
    plan = plan_of(app, enroll(app, somebody.person))
    tier(app, plan, 1, 0, months or None)
    if months:
        row(
            app,
            "payroll.accrual_tier",
            time_off_policy_id=plan,
            tier_no=2,
            from_service_months=months,
            hours_per_year=per_year,
            hours_per_period=per_period,
        )
    accrue(app, period(app, somebody.employer))
    assert member(app, "balance_hours") == Decimal(earned)


def test_the_next_tier_is_foretold(app: Connection, somebody: Hire) -> None:
    plan = plan_of(app, enroll(app, somebody.person))
    tier(app, plan, 1, 0, 36)
    tier(app, plan, 2, 36, None)
    accrue(app, period(app, somebody.employer))
    assert member(app, "next_tier_on") == date(2027, 2, 10)  # nine whole months are lacking


@pytest.mark.parametrize(
    ("policy", "limits", "balance", "earned"),
    [
        ({"balance_cap_hours": 40}, {}, 39, 1),
        ({"balance_cap_hours": 40}, {}, 40, 0),
        ({}, {"max_balance_hours": 39.5}, 39, 0.5),
        ({}, {"max_balance_hours": 30}, 39, 0),
        ({}, {}, 39, 1.5385),
    ],
)
def test_caps_leave_room_or_none(
    app: Connection,
    somebody: Hire,
    policy: dict[str, Any],
    limits: dict[str, float],
    balance: float,
    earned: float,
) -> None:
    enrollment = enroll(app, somebody.person, balance, **policy)
    row(app, "payroll.accrual_tier", time_off_policy_id=plan_of(app, enrollment), **limits)
    assert accrue(app, period(app, somebody.employer)) == int(earned > 0)
    assert float(member(app, "balance_hours")) == balance + earned


def test_a_year_earns_no_more_than_its_cap(app: Connection, somebody: Hire) -> None:
    enrollment = enroll(app, somebody.person, annual_cap_hours=10)
    row(app, "payroll.accrual_tier", time_off_policy_id=plan_of(app, enrollment))
    post(app, enrollment, 9)
    accrue(app, period(app, somebody.employer))
    assert member(app, "balance_hours", "accrued_ytd_hours") == (10, 10)


@pytest.mark.parametrize(
    ("first", "last", "earned"),
    [
        ("2025-12-29", "2026-01-04", 40),
        ("2026-01-05", "2026-01-11", 0),
        ("2024-01-15", "2024-01-21", 40),
    ],
)
def test_a_front_load_comes_with_the_year_or_the_first_day(
    app: Connection, somebody: Hire, first: str, last: str, earned: int
) -> None:
    enrollment = enroll(app, somebody.person, accrual_method="annual_front_load")
    row(
        app,
        "payroll.accrual_tier",
        time_off_policy_id=plan_of(app, enrollment),
        front_load_hours=40,
    )
    accrue(app, period(app, somebody.employer, first, last))
    assert member(app, "balance_hours") == earned


@pytest.mark.parametrize(
    ("first", "last", "earned"),
    [
        ("2025-01-13", "2025-01-19", 80),
        ("2025-01-20", "2025-01-26", 0),
        ("2026-01-12", "2026-01-18", 80),
        ("2024-01-15", "2024-01-21", 0),
    ],
)
def test_an_anniversary_brings_a_year(
    app: Connection, somebody: Hire, first: str, last: str, earned: int
) -> None:
    enrollment = enroll(app, somebody.person, accrual_method="anniversary")
    row(app, "payroll.accrual_tier", time_off_policy_id=plan_of(app, enrollment))
    accrue(app, period(app, somebody.employer, first, last))
    assert member(app, "balance_hours") == earned


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE payroll.time_off_policy SET accrual_method = 'unlimited'",
        "UPDATE payroll.time_off_enrollment SET ended_on = '2026-05-03'",
        "UPDATE payroll.employment_spell SET terminated_on = '2026-05-01',"
        " termination_kind = 'voluntary'",
    ],
)
def test_nothing_is_earned_outside_of_plan_and_employment(
    app: Connection, somebody: Hire, change: str
) -> None:
    enrollment = enroll(app, somebody.person)
    row(app, "payroll.accrual_tier", time_off_policy_id=plan_of(app, enrollment))
    app.execute(change.encode())
    assert accrue(app, period(app, somebody.employer)) == 0


def test_a_reversed_accrual_is_posted_anew(app: Connection, somebody: Hire) -> None:
    enrollment = enroll(app, somebody.person)
    row(app, "payroll.accrual_tier", time_off_policy_id=plan_of(app, enrollment))
    span = period(app, somebody.employer)
    accrue(app, span)
    entry = app.execute("SELECT time_off_ledger_entry_id FROM payroll.time_off_ledger_entry")
    found = entry.fetchone()
    assert found
    reverse(app, found[0])
    assert accrue(app, span) == 1
    assert differences(app) == []


def test_no_day_is_credited_by_two_schedules(app: Connection, somebody: Hire) -> None:
    enrollment = enroll(app, somebody.person)
    row(app, "payroll.accrual_tier", time_off_policy_id=plan_of(app, enrollment))
    accrue(app, period(app, somebody.employer))
    other = row(
        app,
        "payroll.pay_schedule",
        employer_entity_id=somebody.employer,
        frequency="biweekly",
        anchor_period_end="2026-05-10",
        funding_lead_business_days=2,
        is_active=False,
    )
    overlapping = row(
        app,
        "payroll.pay_period",
        pay_schedule_id=other,
        period_no=1,
        starts_on="2026-04-27",
        ends_on="2026-05-10",
        check_date="2026-05-15",
    )
    assert accrue(app, overlapping) == 0


@pytest.mark.parametrize(
    ("kept", "pending", "balance", "cut"),
    [(40, 0, 40, 1), (40, 16, 56, 1), (60, 0, 60, 0), (None, 0, 60, 0), (0, 0, 0, 1)],
)
def test_a_year_ends_with_what_is_carried_over(
    app: Connection, somebody: Hire, kept: int | None, pending: int, balance: int, cut: int
) -> None:
    enrollment = enroll(app, somebody.person, 60, carryover_hours=kept)
    if pending:
        ask(app, somebody, enrollment, pending, MONDAY, "2026-05-08")
    statement = "SELECT payroll.carry_over(%s, '2026-12-31')"
    plan = plan_of(app, enrollment)
    assert app.execute(statement, [plan]).fetchone() == (cut,)
    assert app.execute(statement, [plan]).fetchone() == (0,)
    assert member(app, "balance_hours", "carryover_hours") == (balance, balance)
    assert differences(app) == []


@pytest.mark.parametrize(
    ("first", "last", "hours", "days"),
    [
        (MONDAY, MONDAY, 8, {4: "8"}),
        (MONDAY, "2026-05-06", 20, {4: "6.6666", 5: "6.6666", 6: "6.6668"}),
        ("2026-05-08", "2026-05-11", 16, {8: "8", 11: "8"}),
        ("2026-05-09", "2026-05-10", 16, {9: "8", 10: "8"}),
    ],
)
def test_hours_off_lie_on_working_days(
    app: Connection, first: str, last: str, hours: float, days: dict[int, str]
) -> None:
    request = row(
        app, "payroll.time_off_request", starts_on=first, ends_on=last, hours_requested=hours
    )
    found = app.execute("SELECT day, hours FROM payroll.time_off_days(%s)", [request]).fetchall()
    assert {day.day: part for day, part in found} == {n: Decimal(h) for n, h in days.items()}


@pytest.mark.parametrize(
    ("status", "taken", "paid"),
    [
        ("submitted", None, []),
        ("approved", None, [(4, 8), (5, 8)]),
        ("taken", None, [(4, 8), (5, 8)]),
        ("partly_taken", 12, [(4, 6), (5, 6)]),
    ],
)
def test_time_off_that_was_granted_stands_on_the_timesheet(
    app: Connection,
    somebody: Hire,
    status: str,
    taken: float | None,
    paid: list[tuple[int, int]],
) -> None:
    code = earning_codes(app)["pto"]
    row(app, "payroll.overtime_rule", effective_from="2024-01-01")
    enrollment = enroll(app, somebody.person, 16, earning_code_id=code)
    request = ask(app, somebody, enrollment, 16, MONDAY, "2026-05-05")
    if status != "submitted":
        become(app, request, "approved")
    if taken or status == "taken":
        become(app, request, status, taken)
    span = period(app, somebody.employer)
    app.execute("SELECT payroll.build_timesheet(%s, %s)", [somebody.person, span])
    found = app.execute(
        "SELECT extract(day FROM work_date)::integer, hours::integer"
        " FROM payroll.timesheet_entry WHERE entry_kind = 'pto' AND earning_code_id = %s"
        " ORDER BY 1",
        [code],
    ).fetchall()
    assert found == paid


def test_who_is_away_does_not_miss_a_shift(app: Connection, somebody: Hire) -> None:
    code = earning_codes(app)["pto"]
    row(app, "payroll.overtime_rule", effective_from="2024-01-01")
    imported(
        app,
        "payroll.scheduled_shift",
        employee_id=somebody.person,
        job_assignment_id=somebody.job,
        work_location_id=somebody.place,
        published_at="2026-04-20 09:00+00",
        status="published",
    )
    enrollment = enroll(app, somebody.person, 16, earning_code_id=code)
    become(app, ask(app, somebody, enrollment, 8), "approved")
    span = period(app, somebody.employer)
    app.execute(
        "SELECT payroll.build_timesheet(%s, %s, '2026-06-01 00:00+00')", [somebody.person, span]
    )
    found = app.execute("SELECT count(*) FROM payroll.attendance_exception").fetchone()
    assert found == (0,)
    assert app.execute("SELECT status FROM payroll.scheduled_shift").fetchone() == ("published",)


@pytest.mark.parametrize(
    ("hours", "on", "eligible"),
    [(24, "2026-06-01", True), (20, "2026-06-01", False), (24, "2024-12-01", False)],
)
def test_family_leave_needs_service_and_hours(
    app: Connection, hours: int, on: str, eligible: bool
) -> None:
    somebody = hire(app)
    app.execute("UPDATE payroll.employer_entity SET fmla_worked_hours = 24")
    worked(app, somebody, period(app, somebody.employer), hours)
    found = app.execute(
        "SELECT is_eligible FROM payroll.fmla_eligibility(%s, %s)", [somebody.person, on]
    ).fetchone()
    assert found == (eligible,)
    case = {"employee_id": somebody.person, "leave_law": "fmla", "starts_on": on}
    made = row(app, "payroll.leave_case", **case)
    designate = "UPDATE payroll.leave_case SET status = 'designated' WHERE leave_case_id = %s"
    if eligible:
        app.execute(designate.encode(), [made])
        return
    with pytest.raises(errors.CheckViolation, match="family leave is not due"):
        app.execute(designate.encode(), [made])


def test_earlier_spells_count_for_family_leave(app: Connection) -> None:
    person = row(app, "payroll.employee")
    ended = {"terminated_on": "2025-08-31", "termination_kind": "layoff"}
    row(app, "payroll.employment_spell", employee_id=person, hired_on="2025-01-01", **ended)
    row(app, "payroll.employment_spell", employee_id=person, hired_on="2026-01-01")
    found = app.execute(
        "SELECT service_months FROM payroll.fmla_eligibility(%s, '2026-05-04')", [person]
    ).fetchone()
    assert found == (12,)


def test_other_laws_ask_for_other_things(app: Connection) -> None:
    case = row(app, "payroll.leave_case", leave_law="ada")
    app.execute("UPDATE payroll.leave_case SET status = 'active' WHERE leave_case_id = %s", [case])


@pytest.mark.parametrize(("weeks", "held"), [(1, True), (0, False)])
def test_protected_leave_is_used_up_by_what_is_taken(
    app: Connection, somebody: Hire, weeks: int, held: bool
) -> None:
    case = row(app, "payroll.leave_case", employee_id=somebody.person, entitled_weeks=weeks)
    enrollment = enroll(app, somebody.person, 16)
    request = ask(app, somebody, enrollment, 8)
    app.execute("UPDATE payroll.time_off_request SET leave_case_id = %s", [case])
    become(app, request, "approved")
    if held:
        become(app, request, "taken")
        assert app.execute("SELECT used_hours FROM payroll.leave_case").fetchone() == (8,)
        return
    with pytest.raises(errors.CheckViolation, match="within_its_entitlement"):
        become(app, request, "taken")


def test_what_is_left_when_all_is_taken(app: Connection, somebody: Hire) -> None:
    enrollment = enroll(
        app, somebody.person, 40, code="VAC", allows_negative_hours=8, waiting_days=90
    )
    ask(app, somebody, enrollment, 24, MONDAY, "2026-05-06")
    found = app.execute(
        "SELECT code, balance_hours, pending_hours, projected_hours, available_hours, usable_from"
        " FROM payroll.v_time_off_balance"
    ).fetchone()
    assert found == ("VAC", 40, 24, 16, 24, date(2024, 4, 14))
