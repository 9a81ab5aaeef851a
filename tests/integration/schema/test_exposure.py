"""Scans write findings, findings have a time to be closed, risks are accepted by who may."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection

TRANSITIONS = {
    "open": {"in_remediation", "risk_accepted", "false_positive", "closed"},
    "in_remediation": {"fixed_unverified", "open"},
    "fixed_unverified": {"closed", "reopened"},
    "closed": {"reopened"},
    "risk_accepted": {"open"},
    "false_positive": {"reopened"},
    "reopened": {"in_remediation", "risk_accepted", "false_positive"},
}
PATHS = {
    "open": [],
    "in_remediation": ["in_remediation"],
    "fixed_unverified": ["in_remediation", "fixed_unverified"],
    "closed": ["closed"],
    "risk_accepted": ["risk_accepted"],
    "false_positive": ["false_positive"],
    "reopened": ["closed", "reopened"],
}


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def listen(connection: Connection) -> list[str]:
    """The warnings that the server gives from now on."""
    heard: list[str] = []
    connection.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))
    return heard


def asset(connection: Connection, tag: str = "A", **columns: Any) -> UUID:
    """A server."""
    made: UUID = one(
        connection,
        "INSERT INTO security_mgmt.security_asset (business_id, asset_tag, name, asset_kind,"
        " criticality, internet_facing, in_pci_scope) VALUES"
        " (tenant_mgmt.current_business_id(), %s, 'Server', 'server', %s, %s, %s)"
        " RETURNING security_asset_id",
        tag,
        columns.get("criticality", "low"),
        columns.get("internet_facing", False),
        columns.get("in_pci_scope", False),
    )
    return made


def run(connection: Connection, scanner: str = "nessus", kind: str = "infrastructure") -> UUID:
    """A scan that is running."""
    made: UUID = one(
        connection,
        "INSERT INTO security_mgmt.scan_run (business_id, scanner, scan_kind, targets_planned)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s, 1) RETURNING scan_run_id",
        scanner,
        kind,
    )
    return made


def line(tag: str = "A", identifier: str = "CVE-1", **fields: Any) -> dict[str, Any]:
    """A finding of a report."""
    return {"asset": tag, "identifier": identifier, "severity": "high"} | fields


def ingest(
    connection: Connection,
    *lines: dict[str, Any],
    targets: tuple[str, ...] = ("A",),
    of: UUID | None = None,
    **document: Any,
) -> tuple[int, int, int]:
    """Takes a report of a new run and returns (new, seen, closed)."""
    report = {"targets": list(targets), "findings": list(lines)} | document
    row = connection.execute(
        "SELECT * FROM security_mgmt.ingest_scan(%s, %s)",
        [of or run(connection), json.dumps(report)],
    ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def statuses(connection: Connection) -> list[str]:
    rows = connection.execute(
        "SELECT f.status FROM security_mgmt.vulnerability_finding AS f"
        " JOIN security_mgmt.vulnerability AS v USING (business_id, vulnerability_id)"
        " ORDER BY v.identifier, f.location"
    ).fetchall()
    return [status for (status,) in rows]


@pytest.fixture
def finding(app: Connection) -> UUID:
    """An open finding of high severity."""
    asset(app)
    ingest(app, line())
    found: UUID = one(
        app, "SELECT vulnerability_finding_id FROM security_mgmt.vulnerability_finding"
    )
    return found


def set_status(connection: Connection, status: str) -> None:
    connection.execute("UPDATE security_mgmt.vulnerability_finding SET status = %s", [status])


# --- Scans --------------------------------------------------------------------------------------


def test_a_report_writes_findings(app: Connection) -> None:
    where = asset(app)
    component = one(
        app,
        "INSERT INTO security_mgmt.software_component (business_id, security_asset_id,"
        " package_name, ecosystem, version, purl) VALUES (tenant_mgmt.current_business_id(), %s,"
        " 'openssl', 'deb', '3', 'pkg:deb/openssl@3') RETURNING software_component_id",
        where,
    )
    cvss = {"score": 9.8, "vector": "CVSS:3.1/AV:N"}
    counts = ingest(
        app,
        line(
            title="Bad", cvss=cvss, location="443", package="pkg:deb/openssl@3", evidence={"a": 1}
        ),
        line(location="80"),
        line(identifier="CVE-2", severity="low", cvss={"score": 2, "vector": "CVSS:4.0/AV:N"}),
    )
    assert counts == (3, 0, 0)
    row = app.execute(
        "SELECT v.title, v.cvss_version, v.cvss_score, f.software_component_id, f.evidence"
        " FROM security_mgmt.vulnerability_finding AS f"
        " JOIN security_mgmt.vulnerability AS v USING (business_id, vulnerability_id)"
        " WHERE f.location = '443'"
    ).fetchone()
    assert row == ("Bad", "v3_1", Decimal("9.8"), component, {"a": 1})
    ended = app.execute(
        "SELECT status, finished_at IS NOT NULL, targets_scanned, findings_new,"
        " length(report_sha256) FROM security_mgmt.scan_run"
    ).fetchone()
    assert ended == ("finished", True, 1, 3, 32)


def test_the_same_finding_twice_in_a_report_counts_once(app: Connection) -> None:
    asset(app)
    assert ingest(app, line(severity="low"), line(severity="critical")) == (1, 0, 0)
    assert one(app, "SELECT severity FROM security_mgmt.vulnerability_finding") == "critical"


def test_what_is_still_there_is_seen_again(app: Connection, finding: UUID) -> None:
    assert ingest(app, line()) == (0, 1, 0)
    assert statuses(app) == ["open"]


@pytest.mark.parametrize(
    ("before", "after", "closed"),
    [
        ("open", "closed", 1),
        ("in_remediation", "fixed_unverified", 0),
        ("fixed_unverified", "closed", 1),
        ("false_positive", "false_positive", 0),
        ("reopened", "reopened", 0),
    ],
)
def test_what_is_no_longer_seen_is_gone(
    app: Connection, finding: UUID, before: str, after: str, closed: int
) -> None:
    for step in PATHS[before]:
        set_status(app, step)
    assert ingest(app) == (0, 0, closed)
    assert statuses(app) == [after]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("closed", "reopened"),
        ("fixed_unverified", "reopened"),
        ("open", "open"),
        ("false_positive", "false_positive"),
    ],
)
def test_what_is_seen_again_is_reopened(
    app: Connection, finding: UUID, before: str, after: str
) -> None:
    for step in PATHS[before]:
        set_status(app, step)
    assert ingest(app, line()) == (0, 1, 0)
    assert statuses(app) == [after]
    count = one(app, "SELECT reopened_count FROM security_mgmt.vulnerability_finding")
    assert count == int(after == "reopened")


@pytest.mark.parametrize("status", ["failed", "aborted"])
def test_a_run_that_failed_closes_nothing(app: Connection, finding: UUID, status: str) -> None:
    assert ingest(app, line(identifier="CVE-2"), status=status) == (1, 0, 0)
    assert statuses(app) == ["open", "open"]
    late = run(app)
    app.execute(
        "UPDATE security_mgmt.scan_run SET status = %s, finished_at = now() WHERE scan_run_id = %s",
        [status, late],
    )
    assert ingest(app, of=late) == (0, 0, 0), "nor does what it says afterwards"


def test_a_scan_speaks_of_its_targets_only(app: Connection, finding: UUID) -> None:
    asset(app, "B")
    assert ingest(app, targets=("B",)) == (0, 0, 0)
    assert statuses(app) == ["open"]


@pytest.mark.parametrize(("scanner", "kind"), [("trivy", "infrastructure"), ("nessus", "web")])
def test_a_scan_does_not_close_what_another_found(
    app: Connection, finding: UUID, scanner: str, kind: str
) -> None:
    assert ingest(app, of=run(app, scanner, kind)) == (0, 0, 0)
    assert statuses(app) == ["open"]


def test_a_report_is_taken_once(app: Connection) -> None:
    asset(app)
    scan = run(app)
    ingest(app, of=scan)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="taken before"):
        ingest(app, of=scan)


def test_a_report_belongs_to_a_run(app: Connection, tenant: UUID) -> None:
    with pytest.raises(errors.NoDataFound):
        ingest(app, of=tenant)


def test_findings_on_unknown_assets_are_left_out_with_a_warning(app: Connection) -> None:
    asset(app)
    heard = listen(app)
    assert ingest(app, line(), line(tag="UNKNOWN")) == (1, 0, 0)
    assert heard == ["findings on assets that are not registered are left out: UNKNOWN"]


@pytest.mark.parametrize(
    "wrong",
    [{"severity": "urgent"}, {"severity": None}, {"asset": None}, {"identifier": None}],
)
def test_a_finding_that_says_too_little_is_refused(app: Connection, wrong: dict[str, Any]) -> None:
    asset(app)
    with pytest.raises(errors.CheckViolation, match="without asset, identifier or severity"):
        ingest(app, line() | wrong)


# --- Findings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"), [(a, b) for a in TRANSITIONS for b in TRANSITIONS if a != b]
)
def test_a_finding_moves_as_its_states_allow(
    app: Connection, account: UUID, finding: UUID, before: str, after: str
) -> None:
    if "risk_accepted" in (before, after):
        _accepted_before(app, account, finding)
    for step in PATHS[before]:
        set_status(app, step)
    if after in TRANSITIONS[before]:
        set_status(app, after)
        assert statuses(app) == [after]
    else:
        with pytest.raises(errors.CheckViolation, match="cannot become"):
            set_status(app, after)


def _accepted_before(connection: Connection, account: UUID, finding: UUID) -> None:
    """An acceptance is in force while the finding is open, as after a step by hand."""
    accept(connection, request(connection, finding, account))
    set_status(connection, "open")


def test_a_finding_starts_open(app: Connection, finding: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as closed"):
        app.execute(
            "INSERT INTO security_mgmt.vulnerability_finding (business_id, vulnerability_id,"
            " security_asset_id, first_scan_run_id, location, severity, status, closed_at)"
            " SELECT f.business_id, f.vulnerability_id, f.security_asset_id,"
            " f.first_scan_run_id, 'x', 'low', 'closed', now()"
            " FROM security_mgmt.vulnerability_finding AS f"
        )


def test_a_place_has_a_weakness_once(app: Connection, finding: UUID) -> None:
    with pytest.raises(errors.UniqueViolation):
        app.execute(
            "INSERT INTO security_mgmt.vulnerability_finding (business_id, vulnerability_id,"
            " security_asset_id, first_scan_run_id, severity) SELECT f.business_id,"
            " f.vulnerability_id, f.security_asset_id, f.first_scan_run_id, 'low'"
            " FROM security_mgmt.vulnerability_finding AS f"
        )


@pytest.mark.parametrize(
    ("severity", "days"), [("critical", 15), ("high", 30), ("medium", 90), ("low", 180)]
)
def test_the_time_to_close_follows_the_severity(
    app: Connection, finding: UUID, severity: str, days: int
) -> None:
    app.execute("UPDATE security_mgmt.vulnerability_finding SET severity = %s", [severity])
    left = "SELECT sla_due_on - (now() AT TIME ZONE 'UTC')::date"
    assert one(app, left + " FROM security_mgmt.vulnerability_finding") == days


def _open_since(connection: Connection, days: int) -> None:
    connection.execute(
        "UPDATE security_mgmt.vulnerability_finding"
        " SET first_seen_at = now() - %s * interval '24 hours',"
        " opened_at = now() - %s * interval '24 hours'",
        [days, days],
    )


@pytest.mark.parametrize(("days", "breached"), [(30, False), (31, True)])
def test_a_finding_that_is_open_too_long_is_marked(
    app: Connection, finding: UUID, days: int, breached: bool
) -> None:
    _open_since(app, days)
    marked = "SELECT is_sla_breached FROM security_mgmt.vulnerability_finding"
    assert one(app, marked) is breached
    set_status(app, "closed")
    assert one(app, marked) is breached, "closing it late does not mend it"


def test_a_reopened_finding_has_its_time_anew(app: Connection, finding: UUID) -> None:
    _open_since(app, 60)
    set_status(app, "closed")
    set_status(app, "reopened")
    row = app.execute(
        "SELECT reopened_count, is_sla_breached, opened_at = now(), closed_at"
        " FROM security_mgmt.vulnerability_finding"
    ).fetchone()
    assert row == (1, False, True, None)


@pytest.mark.parametrize(("days", "shown"), [(15, 0), (16, 1), (30, 1), (40, 1)])
def test_the_owner_sees_what_is_due_in_two_weeks(
    app: Connection, finding: UUID, days: int, shown: int
) -> None:
    _open_since(app, days)
    rows = app.execute("SELECT days_left, is_past_due FROM security_mgmt.v_finding_sla").fetchall()
    assert rows == [(30 - days, days > 30)] * shown


@pytest.mark.parametrize(
    ("given", "points"),
    [
        ((10, 1, True, "critical", "mission", True), 100),
        ((0, 0, False, "low", "low", False), 0),
        ((None, None, False, "medium", "medium", False), 30.5),
        ((7.5, 0.5, False, "high", "high", True), 59.5),
    ],
)
def test_priority_is_what_is_bad_likely_and_exposed(
    app: Connection, given: tuple[Any, ...], points: float
) -> None:
    found = one(
        app,
        "SELECT security_mgmt.finding_priority(%s::numeric, %s::numeric, %s, %s, %s, %s)",
        *given,
    )
    assert float(found) == points


def test_priorities_follow_what_becomes_known(app: Connection, finding: UUID) -> None:
    score = "SELECT priority_score FROM security_mgmt.vulnerability_finding"
    assert one(app, score) == 40, "the scan scored it"
    app.execute(
        "UPDATE security_mgmt.vulnerability SET is_known_exploited = true,"
        " kev_due_on = current_date + 14"
    )
    assert one(app, "SELECT security_mgmt.prioritize_findings()") == 1
    assert one(app, score) == 55
    assert one(app, "SELECT security_mgmt.prioritize_findings()") == 0
    set_status(app, "closed")
    app.execute("UPDATE security_mgmt.vulnerability SET is_known_exploited = false")
    assert one(app, "SELECT security_mgmt.prioritize_findings()") == 0, "closed ones stay"


def test_what_is_known_to_be_exploited_has_a_date(app: Connection, finding: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="exploited_has_due_date"):
        app.execute("UPDATE security_mgmt.vulnerability SET is_known_exploited = true")


def test_retiring_an_asset_with_open_findings_warns(app: Connection, finding: UUID) -> None:
    heard = listen(app)
    app.execute("UPDATE security_mgmt.security_asset SET lifecycle = 'retired'")
    assert heard == ["asset A is retired with 1 open findings"]
    set_status(app, "closed")
    app.execute("UPDATE security_mgmt.security_asset SET lifecycle = 'active'")
    app.execute("UPDATE security_mgmt.security_asset SET lifecycle = 'retired'")
    assert len(heard) == 1


# --- Remediation --------------------------------------------------------------------------------


def task(connection: Connection) -> UUID:
    made: UUID = one(
        connection,
        "INSERT INTO security_mgmt.remediation_task (business_id, method, title) VALUES"
        " (tenant_mgmt.current_business_id(), 'patch', 'Patch') RETURNING remediation_task_id",
    )
    return made


def test_a_task_counts_its_findings(app: Connection) -> None:
    asset(app)
    first, second = task(app), task(app)
    ingest(app, line(), line(identifier="CVE-2"))
    counts = "SELECT finding_count FROM security_mgmt.remediation_task ORDER BY task_number"
    assign = "UPDATE security_mgmt.vulnerability_finding SET remediation_task_id = %s"
    app.execute(assign.encode(), [first])
    assert app.execute(counts.encode()).fetchall() == [(2,), (0,)]
    app.execute(assign.encode() + b" WHERE severity = 'high'", [second])
    assert app.execute(counts.encode()).fetchall() == [(0,), (2,)]
    app.execute("DELETE FROM security_mgmt.vulnerability_finding")
    assert app.execute(counts.encode()).fetchall() == [(0,), (0,)]


def test_a_task_is_done_when_it_was_verified(app: Connection) -> None:
    task(app)
    for state in ("in_progress", "awaiting_verification"):
        app.execute("UPDATE security_mgmt.remediation_task SET state = %s", [state])
    with pytest.raises(errors.CheckViolation, match="done_was_verified"), app.transaction():
        app.execute("UPDATE security_mgmt.remediation_task SET state = 'done'")
    app.execute("UPDATE security_mgmt.remediation_task SET state = 'done', verification = 'scan'")
    row = app.execute(
        "SELECT task_number, started_at = now(), done_at = now()"
        " FROM security_mgmt.remediation_task"
    ).fetchone()
    assert row == ("REM-000001", True, True)


def test_a_task_is_not_done_before_it_began(app: Connection) -> None:
    task(app)
    with pytest.raises(errors.CheckViolation, match="open cannot become done"):
        app.execute(
            "UPDATE security_mgmt.remediation_task SET state = 'done', verification = 'scan'"
        )


# --- Acceptance ---------------------------------------------------------------------------------


def request(
    connection: Connection, finding: UUID, account: UUID | None, rating: str = "low", days: int = 90
) -> UUID:
    made: UUID = one(
        connection,
        "INSERT INTO security_mgmt.risk_acceptance (business_id, vulnerability_finding_id,"
        " accepted_by_user_account_id, reason, residual_rating, expires_on) VALUES"
        " (tenant_mgmt.current_business_id(), %s, %s, 'No fix', %s,"
        " (now() AT TIME ZONE 'UTC')::date + %s::integer) RETURNING risk_acceptance_id",
        finding,
        account,
        rating,
        days,
    )
    return made


def accept(connection: Connection, acceptance: UUID, state: str = "accepted") -> None:
    connection.execute(
        "UPDATE security_mgmt.risk_acceptance SET state = %s WHERE risk_acceptance_id = %s",
        [state, acceptance],
    )


def test_a_finding_is_accepted_and_open_again(
    app: Connection, account: UUID, finding: UUID
) -> None:
    asked = request(app, finding, account)
    assert statuses(app) == ["open"]
    accept(app, asked)
    assert statuses(app) == ["risk_accepted"]
    accept(app, asked, "revoked")
    assert statuses(app) == ["open"]
    assert one(app, "SELECT revoked_at = now() FROM security_mgmt.risk_acceptance")


def test_a_rejected_request_changes_nothing(app: Connection, account: UUID, finding: UUID) -> None:
    accept(app, request(app, finding, account), "rejected")
    assert statuses(app) == ["open"]


def test_a_risk_is_not_accepted_by_a_side_door(app: Connection, finding: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="nobody has accepted"):
        set_status(app, "risk_accepted")


def test_acceptances_expire(
    admin: Connection, app: Connection, account: UUID, finding: UUID
) -> None:
    accept(app, request(app, finding, account))
    assert one(app, "SELECT security_mgmt.expire_acceptances()") == 0
    app.execute(
        "UPDATE security_mgmt.risk_acceptance SET expires_on = (now() AT TIME ZONE 'UTC')::date - 1"
    )
    assert one(app, "SELECT security_mgmt.expire_acceptances()") == 1
    assert statuses(app) == ["open"]


def test_an_acceptance_needs_somebody(app: Connection, finding: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="member of staff"):
        accept(app, request(app, finding, None))


@pytest.mark.parametrize(
    ("column", "value"), [("status", "suspended"), ("account_kind", "learner")]
)
def test_an_acceptance_is_by_staff_who_are_active(
    app: Connection, account: UUID, finding: UUID, column: str, value: str
) -> None:
    app.execute(f"UPDATE user_mgmt.user_account SET {column} = %s".encode(), [value])
    with pytest.raises(errors.CheckViolation, match="member of staff"):
        accept(app, request(app, finding, account))


@pytest.mark.parametrize("days", [0, -1])
def test_an_acceptance_that_is_over_is_refused(
    app: Connection, account: UUID, finding: UUID, days: int
) -> None:
    with pytest.raises(errors.CheckViolation, match="would have expired"):
        accept(app, request(app, finding, account, days=days))


@pytest.mark.parametrize(("days", "allowed"), [(365, True), (367, False)])
def test_an_acceptance_is_for_a_year_at_most(
    app: Connection, account: UUID, finding: UUID, days: int, allowed: bool
) -> None:
    asked = request(app, finding, account, days=days)
    if allowed:
        accept(app, asked)
    else:
        with pytest.raises(errors.CheckViolation, match="for_a_year_at_most"):
            accept(app, asked)


def test_a_high_risk_is_not_accepted_by_anybody(
    app: Connection, account: UUID, finding: UUID
) -> None:
    with pytest.raises(errors.InsufficientPrivilege, match="by an owner"):
        accept(app, request(app, finding, account, "high"))


def test_a_high_risk_is_accepted_by_the_owner_of_the_business(
    app: Connection, account: UUID, finding: UUID
) -> None:
    app.execute(
        "INSERT INTO tenant_mgmt.business_contact (business_id, user_account_id, role, full_name,"
        " email) VALUES (tenant_mgmt.current_business_id(), %s, 'owner', 'Ada', 'a@example.com')",
        [account],
    )
    accept(app, request(app, finding, account, "high"))
    assert statuses(app) == ["risk_accepted"]


def test_a_high_risk_is_accepted_by_who_holds_the_role(
    admin: Connection, app: Connection, account: UUID, finding: UUID
) -> None:
    role = one(
        app,
        "INSERT INTO user_rbac.role (business_id, code, name, kind) VALUES"
        " (tenant_mgmt.current_business_id(), 'owner', 'Owner', 'custom') RETURNING role_id",
    )
    app.execute(
        "INSERT INTO user_rbac.role_assignment (business_id, user_account_id, role_id)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s)",
        [account, role],
    )
    accept(app, request(app, finding, account, "high"))
    assert statuses(app) == ["risk_accepted"]


def test_an_acceptance_is_of_one_thing(app: Connection, account: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="of_one_thing"):
        app.execute(
            "INSERT INTO security_mgmt.risk_acceptance (business_id, reason, residual_rating,"
            " expires_on) VALUES (tenant_mgmt.current_business_id(), 'x', 'low', current_date)"
        )


# --- Tests by people ----------------------------------------------------------------------------


def pentest(connection: Connection, ago: int, **columns: Any) -> None:
    connection.execute(
        "INSERT INTO security_mgmt.penetration_test (business_id, title, test_kind, regulation,"
        " scope_note, starts_on, ends_on, critical_count)"
        " VALUES (tenant_mgmt.current_business_id(), 'Test', %s, %s, 'All',"
        " (now() AT TIME ZONE 'UTC')::date - %s::integer,"
        " (now() AT TIME ZONE 'UTC')::date - %s::integer, %s)",
        [
            columns.get("kind", "segmentation"),
            columns.get("regulation", "pci_dss"),
            ago,
            ago,
            columns.get("critical", 0),
        ],
    )
    for state in columns.get("states", ("running", "reported")):
        connection.execute("UPDATE security_mgmt.penetration_test SET state = %s", [state])


@pytest.mark.parametrize(
    ("ago", "columns", "overdue"),
    [
        (100, {}, False),
        (190, {}, True),
        (100, {"kind": "external"}, True),
        (100, {"regulation": "internal"}, True),
        (100, {"states": ("running",)}, True),
    ],
)
def test_the_card_environment_is_tested_twice_a_year(
    app: Connection, ago: int, columns: dict[str, Any], overdue: bool
) -> None:
    asset(app, in_pci_scope=True)
    pentest(app, ago, **columns)
    assert one(app, "SELECT is_overdue FROM security_mgmt.v_segmentation_test") is overdue


def test_without_a_card_environment_there_is_none_to_test(app: Connection) -> None:
    asset(app)
    assert one(app, "SELECT count(*) FROM security_mgmt.v_segmentation_test") == 0


def test_what_is_critical_is_tested_again_before_the_end(app: Connection) -> None:
    pentest(app, 20, critical=1)
    with pytest.raises(errors.CheckViolation, match="critical_was_retested"):
        app.execute("UPDATE security_mgmt.penetration_test SET state = 'closed'")


def test_the_trend_counts_what_is_new_closed_and_left(admin: Connection, app: Connection) -> None:
    asset(app)
    ingest(app, line(), line(identifier="CVE-2"))
    _open_since(app, 21)
    app.execute(
        "UPDATE security_mgmt.vulnerability_finding AS f SET status = 'closed'"
        " FROM security_mgmt.vulnerability AS v"
        " WHERE v.vulnerability_id = f.vulnerability_id AND v.identifier = 'CVE-2'"
    )
    admin.execute("RESET ROLE")
    admin.execute("REFRESH MATERIALIZED VIEW security_mgmt.mv_vulnerability_trend")
    admin.execute("SET LOCAL ROLE app_user")
    rows = app.execute(
        "SELECT new_count, closed_count, not_closed_count, mean_days_to_fix"
        " FROM security_mgmt.v_vulnerability_trend ORDER BY week_start"
    ).fetchall()
    assert rows == [(2, 0, 2, None), (0, 0, 2, None), (0, 0, 2, None), (0, 1, 1, 21)]
