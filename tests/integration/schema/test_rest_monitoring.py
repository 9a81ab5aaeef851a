"""Equipment out of its limits is acted on once; food cools down in time; plans are in force."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row

EQUIPMENT = {
    "in_service": {"out_of_service", "retired"},
    "out_of_service": {"in_service", "retired"},
    "retired": set(),
}
SENSOR = {
    "active": {"silent", "faulty", "retired"},
    "silent": {"active", "faulty", "retired"},
    "faulty": {"active", "retired"},
    "retired": set(),
}
PLAN = {"draft": {"approved"}, "approved": {"superseded"}, "superseded": set()}
TABLES: dict[str, tuple[str, str, dict[str, set[str]]]] = {
    "equipment": ("status", "in_service", EQUIPMENT),
    "temperature_sensor": ("status", "active", SENSOR),
    "haccp_plan": ("state", "draft", PLAN),
}
PATHS: dict[str, dict[str, tuple[str, ...]]] = {
    "haccp_plan": {"superseded": ("approved", "superseded")},
}


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("equipment", {"equipment_kind": "thermometer"}, "thermometer_is_calibrated"),
        ("equipment", {"temp_min_c": 5, "temp_max_c": 1}, "limits_in_order"),
        (
            "equipment",
            {"installed_on": "2026-02-01", "service_due_on": "2026-01-01"},
            "serviced_after_installation",
        ),
        ("temperature_sensor", {"alarm_low_c": 9}, "alarm_high_c_follows"),
        ("temperature_sensor", {"sample_seconds": 5}, "sample_seconds_bounded"),
        ("temperature_sensor", {"alarm_low_c": None, "alarm_high_c": None}, "has_a_limit"),
        ("temperature_sensor", {"alarm_delay_minutes": 1441}, "alarm_delay_bounded"),
        ("temperature_sensor", {"battery_pct": 101}, "battery_bounded"),
        ("temperature_sensor", {"calibration_offset_c": 11}, "calibration_offset_bounded"),
        ("temperature_sensor", {"last_reading_c": 3}, "last_reading_is_whole"),
        ("temperature_reading", {"temperature_c": 301}, "temperature_c_bounded"),
        ("temperature_reading", {"humidity_pct": 101}, "shares_bounded"),
        ("temperature_reading", {"signal_dbm": 1}, "signal_bounded"),
        ("haccp_plan", {"approved_at": "2026-01-01"}, "approved_unless_draft"),
        ("haccp_plan", {"version_no": 0}, "version_positive"),
        ("haccp_plan", {"review_due_on": "2020-01-01"}, "reviewed_after_start"),
        ("hazard_analysis", {"severity": 6}, "severity_bounded"),
        ("hazard_analysis", {"likelihood": 0}, "likelihood_bounded"),
        ("hazard_analysis", {"is_ccp": True}, "ccp_is_significant"),
        ("critical_control_point", {"limit_low": None}, "has_a_limit|limit_of_its_kind"),
        (
            "critical_control_point",
            {"limit_kind": "max_temp", "limit_low": 5},
            "limit_of_its_kind",
        ),
        ("critical_control_point", {"limit_high": 70}, "limits_in_order"),
        ("critical_control_point", {"monitor_every_minutes": 0}, "every_minutes_positive"),
        ("critical_control_point", {"retention_months": 0}, "times_positive"),
        ("temperature_log", {"verified_at": "2036-01-01"}, "verification_is_whole"),
        ("temperature_log", {"limit_low_c": 5, "limit_high_c": 1}, "limits_in_order"),
        ("temperature_log", {"log_kind": "thermometer_check"}, "thermometer_is_named"),
        ("temperature_log", {"temperature_c": -61}, "temperature_bounded"),
        ("cooling_log", {"stage1_at": "2026-05-04 11:00+00"}, "stages_are_whole"),
        ("cooling_log", {"stage1_limit_c": 5}, "limits_in_order"),
        ("cooling_log", {"stage1_at": "2026-05-04 09:00+00", "stage1_temp_c": 9}, "in_order"),
        ("cooling_log", {"stage2_minutes": 120}, "limits_in_order"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*({truth})"):
        row(app, f"rest.{table}", **columns)


def step(connection: Connection, table: str, state: str) -> None:
    column = TABLES[table][0]
    also = ", approved_at = now()" if (table, state) == ("haccp_plan", "approved") else ""
    connection.execute(f"UPDATE rest.{table} SET {column} = %s{also}".encode(), [state])


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [(t, *pair) for t, (_, _, machine) in TABLES.items() for pair in permutations(machine, 2)],
)
def test_states(app: Connection, table: str, before: str, after: str) -> None:
    _, start, machine = TABLES[table]
    row(app, f"rest.{table}")
    path = PATHS.get(table, {}).get(before, (before,))
    for state in path if before != start else ():
        step(app, table, state)
    if after in machine[before]:
        step(app, table, after)
        return
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        step(app, table, after)


class TestAlarms:
    """A cooler at 9 degrees for half an hour is acted on, once."""

    @pytest.fixture
    def sensor(self, app: Connection) -> UUID:
        site = row(app, "rest.location")
        row(app, "rest.staff_member", home_location_id=site)
        cooler = row(app, "rest.equipment", location_id=site, display_name="Walk-in")
        return row(app, "rest.temperature_sensor", equipment_id=cooler)

    def read(self, connection: Connection, sensor: UUID, time: str, degrees: float) -> None:
        row(
            connection,
            "rest.temperature_reading",
            temperature_sensor_id=sensor,
            read_at=f"2026-05-04 {time}+00",
            temperature_c=degrees,
        )

    def opened(self, connection: Connection) -> list[str]:
        found = connection.execute(
            "SELECT to_char(opened_at AT TIME ZONE 'UTC', 'HH24:MI') FROM rest.corrective_action"
            " WHERE trigger_kind = 'sensor_alarm' ORDER BY opened_at"
        ).fetchall()
        return [time for (time,) in found]

    @pytest.mark.parametrize(("degrees", "out"), [(0, False), (5, False), (5.1, True), (-1, True)])
    def test_a_reading_is_compared_with_the_limits(
        self, app: Connection, sensor: UUID, degrees: float, out: bool
    ) -> None:
        self.read(app, sensor, "10:00", degrees)
        found = app.execute("SELECT is_out_of_range FROM rest.temperature_reading").fetchone()
        assert found == (out,)

    def test_the_sensor_has_its_last_reading(self, app: Connection, sensor: UUID) -> None:
        app.execute("UPDATE rest.temperature_sensor SET status = 'silent'")
        self.read(app, sensor, "10:05", 4)
        self.read(app, sensor, "10:00", 2)
        found = app.execute(
            "SELECT last_reading_c::integer, last_reading_at::text, status"
            " FROM rest.temperature_sensor"
        ).fetchone()
        assert found
        assert (found[0], found[2]) == (4, "active")

    def test_out_of_limits_longer_than_the_delay(self, app: Connection, sensor: UUID) -> None:
        self.read(app, sensor, "10:00", 9)
        self.read(app, sensor, "10:29", 9)
        assert self.opened(app) == []
        self.read(app, sensor, "10:31", 8)
        self.read(app, sensor, "10:36", 8)
        assert self.opened(app) == ["10:31"]
        told = app.execute("SELECT deviation_text FROM rest.corrective_action").fetchone()
        assert told == ("Walk-in was out of its limits for more than 30 minutes: 9 degrees C",)

    def test_a_door_that_was_open_is_no_alarm(self, app: Connection, sensor: UUID) -> None:
        for time, degrees in (("10:00", 9), ("10:20", 4), ("10:25", 9), ("10:50", 9)):
            self.read(app, sensor, time, degrees)
        assert self.opened(app) == []

    def test_a_suspect_reading_ends_no_alarm(self, app: Connection, sensor: UUID) -> None:
        self.read(app, sensor, "10:00", 9)
        row(
            app,
            "rest.temperature_reading",
            temperature_sensor_id=sensor,
            read_at="2026-05-04 10:10+00",
            quality="suspect",
        )
        self.read(app, sensor, "10:40", 9)
        assert self.opened(app) == ["10:40"]

    def test_a_gateway_that_sends_late_is_heard(self, app: Connection, sensor: UUID) -> None:
        app.execute(
            "INSERT INTO rest.temperature_reading"
            " (business_id, temperature_sensor_id, read_at, temperature_c)"
            " SELECT tenant_mgmt.current_business_id(), %s,"
            " timestamptz '2026-05-04 10:00+00' + n * interval '10 minutes',"
            " CASE WHEN n BETWEEN 2 AND 7 THEN 9 ELSE 3 END FROM generate_series(0, 20) AS n",
            [sensor],
        )
        assert self.opened(app) == ["10:50"]

    def test_what_is_out_of_service_is_left_alone(self, app: Connection, sensor: UUID) -> None:
        app.execute("UPDATE rest.equipment SET status = 'out_of_service'")
        self.read(app, sensor, "10:00", 9)
        self.read(app, sensor, "10:40", 9)
        assert self.opened(app) == []

    def test_the_manager_answers_for_the_site(self, app: Connection, account: UUID) -> None:
        site = row(app, "rest.location", manager_user_id=account)
        row(app, "rest.staff_member", home_location_id=site)
        manager = row(app, "rest.staff_member", user_account_id=account)
        assert app.execute("SELECT rest.responsible_staff(%s)", [site]).fetchone() == (manager,)

    def test_readings_stand(self, app: Connection, sensor: UUID) -> None:
        self.read(app, sensor, "10:00", 9)
        with pytest.raises(psycopg.Error, match="permission denied"):
            app.execute("UPDATE rest.temperature_reading SET temperature_c = 3")

    def test_two_gateways_open_one_action(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            site = row(connection, "rest.location")
            row(connection, "rest.staff_member", home_location_id=site)
            cooler = row(connection, "rest.equipment", location_id=site)
            probes = [
                row(connection, "rest.temperature_sensor", equipment_id=cooler) for _ in range(4)
            ]
            for probe in probes:
                self.read(connection, probe, "10:00", 9)

        def report(probe: UUID) -> None:
            with psycopg.connect(target.app) as connection:
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                self.read(connection, probe, "10:40", 9)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(report, probes))
        with psycopg.connect(target.app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            assert self.opened(connection) == ["10:40"]


class TestCooling:
    """57 to 21 degrees in two hours, to 5 within six; or whatever the site's limits are."""

    def cool(self, connection: Connection, **measured: Any) -> str:
        made = row(connection, "rest.cooling_log", **at(measured))
        found = connection.execute(
            "SELECT outcome FROM rest.cooling_log WHERE cooling_log_id = %s", [made]
        ).fetchone()
        assert found
        return str(found[0])

    @pytest.mark.parametrize(
        ("first", "second", "outcome"),
        [
            (None, None, "in_progress"),
            (("11:50", 21), None, "in_progress"),
            (("12:01", 20), None, "failed_stage1"),
            (("12:00", 22), None, "failed_stage1"),
            (("11:00", 30), None, "in_progress"),
            (("11:00", 30), ("13:00", 4), "failed_stage1"),
            (("12:00", 21), ("16:00", 5), "passed"),
            (("12:00", 21), ("16:00", 6), "failed_stage2"),
            (("12:00", 21), ("15:00", 6), "in_progress"),
            (("12:00", 21), ("16:01", 4), "failed_stage2"),
        ],
    )
    def test_the_outcome_follows(
        self, app: Connection, first: Any, second: Any, outcome: str
    ) -> None:
        assert self.cool(app, stage1=first, stage2=second) == outcome

    def test_nobody_calls_it_passed(self, app: Connection) -> None:
        assert self.cool(app, outcome="passed") == "in_progress"

    def test_a_site_has_limits_of_its_own(self, app: Connection) -> None:
        strict = {"stage1_minutes": 90, "stage1_limit_c": 20}
        assert self.cool(app, stage1=("11:31", 15), **strict) == "failed_stage1"
        due = app.execute(
            "SELECT (stage1_due_at - started_at)::text, (stage2_due_at - started_at)::text"
            " FROM rest.cooling_log"
        ).fetchone()
        assert due == ("01:30:00", "06:00:00")

    def test_a_failure_is_acted_on_once(self, app: Connection) -> None:
        self.cool(app, stage1=("12:30", 25), container_note="Stock pot")
        app.execute("UPDATE rest.cooling_log SET method = 'ice_bath'")
        found = app.execute(
            "SELECT c.deviation_text, c.trigger_kind, c.assigned_staff_id = g.started_by_staff_id"
            " FROM rest.corrective_action AS c JOIN rest.cooling_log AS g USING (cooling_log_id)"
        ).fetchall()
        assert found == [("Stock pot: 25 degrees C after stage 1", "cooling_failure", True)]

    def test_what_was_measured_stands(self, app: Connection) -> None:
        self.cool(app, stage1=("12:30", 25))
        with pytest.raises(errors.CheckViolation, match="failed_stage1, what was measured stands"):
            app.execute("UPDATE rest.cooling_log SET stage1_temp_c = 15")

    @pytest.mark.parametrize(
        ("before", "after", "allowed"),
        [
            ("in_progress", "discarded", True),
            ("in_progress", "reheated", False),
            ("failed_stage1", "reheated", True),
            ("failed_stage1", "discarded", True),
            ("failed_stage1", "in_progress", False),
            ("failed_stage1", "passed", False),
            ("failed_stage2", "discarded", True),
            ("failed_stage2", "reheated", False),
            ("passed", "discarded", False),
            ("passed", "in_progress", False),
        ],
    )
    def test_states(self, app: Connection, before: str, after: str, allowed: bool) -> None:
        measured: dict[str, Any] = {
            "in_progress": {},
            "failed_stage1": {"stage1": ("12:30", 25)},
            "failed_stage2": {"stage1": ("12:00", 20), "stage2": ("17:00", 4)},
            "passed": {"stage1": ("12:00", 20), "stage2": ("14:00", 4)},
        }
        assert self.cool(app, **measured[before]) == before
        change = "UPDATE rest.cooling_log SET outcome = %s"
        if allowed:
            assert app.execute(change, [after]).rowcount == 1
            return
        with pytest.raises(errors.CheckViolation):
            app.execute(change, [after])

    @pytest.mark.parametrize("state", ["reheated", "discarded"])
    def test_nothing_starts_as(self, app: Connection, state: str) -> None:
        with pytest.raises(errors.CheckViolation, match="cannot start as"):
            self.cool(app, outcome=state)


def at(measured: dict[str, Any]) -> dict[str, Any]:
    """Stages as (time, degrees) become columns."""
    columns = {k: v for k, v in measured.items() if k not in ("stage1", "stage2")}
    for stage in ("stage1", "stage2"):
        if measured.get(stage):
            time, degrees = measured[stage]
            columns |= {f"{stage}_at": f"2026-05-04 {time}+00", f"{stage}_temp_c": degrees}
    return columns


class TestChecks:
    """A check takes its limits from what it is about, and stands once it is verified."""

    def log(self, connection: Connection, **given: Any) -> Any:
        made = row(connection, "rest.temperature_log", **given)
        return connection.execute(
            "SELECT in_limits, limit_low_c::integer, limit_high_c::integer, minutes_late"
            " FROM rest.temperature_log WHERE temperature_log_id = %s",
            [made],
        ).fetchone()

    @pytest.mark.parametrize(
        ("degrees", "fits"), [(0, True), (5, True), (5.01, False), (-0.01, False)]
    )
    def test_within_limits(self, app: Connection, degrees: float, fits: bool) -> None:
        limits = {"limit_low_c": 0, "limit_high_c": 5}
        assert self.log(app, temperature_c=degrees, **limits)[0] is fits

    def test_the_limits_of_the_control_point(self, app: Connection) -> None:
        point = row(app, "rest.critical_control_point", limit_low=74)
        found = self.log(app, critical_control_point_id=point, temperature_c=70)
        assert found == (False, 74, None, None)

    def test_the_limits_of_the_equipment(self, app: Connection) -> None:
        cooler = row(app, "rest.equipment", temp_min_c=0, temp_max_c=5)
        assert self.log(app, equipment_id=cooler, temperature_c=4) == (True, 0, 5, None)

    @pytest.mark.parametrize(("due", "late"), [("09:30", 30), ("10:20", 0)])
    def test_minutes_late(self, app: Connection, due: str, late: int) -> None:
        found = self.log(app, due_at=f"2026-05-04 {due}+00", recorded_at="2026-05-04 10:00:30+00")
        assert found[3] == late

    def test_nobody_verifies_their_own(self, app: Connection) -> None:
        cook = row(app, "rest.staff_member")
        with pytest.raises(errors.CheckViolation, match="verified_by_another"):
            self.log(
                app,
                recorded_by_staff_id=cook,
                verified_by_staff_id=cook,
                verified_at="2036-01-01",
            )

    def test_nobody_verifies_beforehand(self, app: Connection) -> None:
        other = row(app, "rest.staff_member")
        with pytest.raises(errors.CheckViolation, match="verified_after_recording"):
            self.log(app, verified_by_staff_id=other, verified_at="2020-01-01")

    @pytest.mark.parametrize(
        "change",
        ["UPDATE rest.temperature_log SET temperature_c = 1", "DELETE FROM rest.temperature_log"],
    )
    def test_a_verified_check_stands(self, app: Connection, change: str) -> None:
        other = row(app, "rest.staff_member")
        self.log(app, verified_by_staff_id=other, verified_at="2036-01-01")
        with pytest.raises(errors.CheckViolation, match="is verified, it stands"):
            app.execute(change.encode())


class TestPlans:
    """One version of a plan is in force, and every hazard of it is controlled."""

    @pytest.fixture
    def plan(self, app: Connection) -> UUID:
        return self.draft(app, row(app, "rest.location"), 1)

    def draft(self, connection: Connection, site: UUID, version: int) -> UUID:
        made = row(
            connection,
            "rest.haccp_plan",
            location_id=site,
            plan_code="COOK",
            version_no=version,
        )
        self.watch(connection, made)
        return made

    def watch(self, connection: Connection, plan: UUID, **point: Any) -> UUID:
        hazard = row(
            connection,
            "rest.hazard_analysis",
            haccp_plan_id=plan,
            is_significant=True,
            is_ccp=True,
            hazard_name="Salmonella",
        )
        return row(connection, "rest.critical_control_point", hazard_analysis_id=hazard, **point)

    def approve(self, connection: Connection, plan: UUID, account: UUID) -> None:
        connection.execute("SELECT rest.approve_haccp_plan(%s, %s)", [plan, account])

    def test_the_next_version_supersedes(self, app: Connection, plan: UUID, account: UUID) -> None:
        self.approve(app, plan, account)
        site = app.execute("SELECT location_id FROM rest.haccp_plan").fetchone()
        assert site
        self.approve(app, self.draft(app, site[0], 2), account)
        found = app.execute(
            "SELECT version_no, state FROM rest.haccp_plan ORDER BY version_no"
        ).fetchall()
        assert found == [(1, "superseded"), (2, "approved")]

    def test_two_versions_are_not_in_force(
        self, app: Connection, plan: UUID, account: UUID
    ) -> None:
        self.approve(app, plan, account)
        site = app.execute("SELECT location_id FROM rest.haccp_plan").fetchone()
        assert site
        self.draft(app, site[0], 2)
        with pytest.raises(errors.UniqueViolation, match="haccp_plan_in_force_key"):
            app.execute(
                "UPDATE rest.haccp_plan SET state = 'approved', approved_at = now()"
                " WHERE state = 'draft'"
            )

    def test_a_hazard_that_nobody_watches(self, app: Connection, plan: UUID, account: UUID) -> None:
        app.execute("UPDATE rest.critical_control_point SET is_active = false")
        with pytest.raises(errors.CheckViolation, match="plan COOK does not control Salmonella"):
            self.approve(app, plan, account)

    def test_a_hazard_that_nobody_prevents(
        self, app: Connection, plan: UUID, account: UUID
    ) -> None:
        row(
            app,
            "rest.hazard_analysis",
            haccp_plan_id=plan,
            hazard_name="Glass",
            is_significant=True,
        )
        with pytest.raises(errors.CheckViolation, match="does not control Glass"):
            self.approve(app, plan, account)

    def test_a_plan_without_hazards(self, app: Connection, account: UUID) -> None:
        empty = row(app, "rest.haccp_plan", plan_code="EMPTY")
        with pytest.raises(errors.CheckViolation, match="plan EMPTY analyses no hazard"):
            self.approve(app, empty, account)

    def test_no_such_plan(self, app: Connection, account: UUID) -> None:
        with pytest.raises(errors.NoDataFound, match="there is no such plan"):
            self.approve(app, account, account)

    def test_an_approved_plan_is_not_approved_again(
        self, app: Connection, plan: UUID, account: UUID
    ) -> None:
        self.approve(app, plan, account)
        with pytest.raises(errors.CheckViolation, match="version 1 of plan COOK is approved"):
            self.approve(app, plan, account)

    @pytest.mark.parametrize(
        "change",
        ["UPDATE rest.hazard_analysis SET severity = 2", "DELETE FROM rest.hazard_analysis"],
    )
    def test_what_was_approved_stands(
        self, app: Connection, plan: UUID, account: UUID, change: str
    ) -> None:
        self.approve(app, plan, account)
        with pytest.raises(errors.CheckViolation, match="is approved, its hazards stand"):
            app.execute(change.encode())

    def test_checks_fall_due_while_the_site_trades(
        self, app: Connection, plan: UUID, account: UUID
    ) -> None:
        self.approve(app, plan, account)
        assert self.due(app) == []
        site = app.execute("SELECT location_id FROM rest.haccp_plan").fetchone()
        assert site
        row(
            app,
            "rest.business_day",
            location_id=site[0],
            opened_at="2026-05-04 10:00+00",
        )
        assert self.due(app) == [("check", "14:00", True, 74)]
        point = app.execute(
            "SELECT critical_control_point_id FROM rest.critical_control_point"
        ).fetchone()
        assert point
        row(
            app,
            "rest.temperature_log",
            critical_control_point_id=point[0],
            recorded_at="2026-05-04 13:00+00",
        )
        assert self.due(app) == [("check", "17:00", True, 74)]

    def due(self, connection: Connection) -> list[Any]:
        return connection.execute(
            "SELECT due_kind, to_char(due_at AT TIME ZONE 'UTC', 'HH24:MI'), is_overdue,"
            " coalesce(limit_low, limit_high)::integer FROM rest.v_haccp_due"
        ).fetchall()

    def test_a_cooling_is_due(self, app: Connection) -> None:
        made = row(app, "rest.cooling_log")
        assert self.due(app) == [("cooling_stage1", "12:00", True, 21)]
        app.execute(
            "UPDATE rest.cooling_log SET stage1_temp_c = 20, stage1_at = '2026-05-04 11:00+00'"
            " WHERE cooling_log_id = %s",
            [made],
        )
        assert self.due(app) == [("cooling_stage2", "16:00", True, 5)]
        app.execute(
            "UPDATE rest.cooling_log SET stage2_temp_c = 4, stage2_at = '2026-05-04 14:00+00'"
        )
        assert self.due(app) == []
