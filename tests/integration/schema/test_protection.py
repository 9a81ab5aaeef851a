"""Keys live and die in order, exercises are judged by their plan, what runs out is seen."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.conftest import add_tenant, become_app

HERE = "tenant_mgmt.current_business_id()"


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def add_key(connection: Connection, alias: str = "data", purpose: str = "data_at_rest") -> UUID:
    found: UUID = one(
        connection,
        "INSERT INTO security_mgmt.encryption_key (business_id, key_alias, purpose,"
        f" rotation_days) VALUES ({HERE}, %s, %s, 90) RETURNING encryption_key_id",
        alias,
        purpose,
    )
    return found


def activate(connection: Connection, key: UUID) -> None:
    connection.execute(
        "UPDATE security_mgmt.encryption_key SET state = 'active', activated_on = current_date"
        " WHERE encryption_key_id = %s",
        [key],
    )


def generations(connection: Connection) -> dict[int, str]:
    rows = connection.execute(
        "SELECT generation, state FROM security_mgmt.encryption_key ORDER BY 1"
    )
    return dict(rows.fetchall())


def incidents(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT title, category, severity, is_suspected_breach FROM security_mgmt.incident"
    ).fetchall()


# Keys


def test_a_key_is_rotated_when_its_days_are_over(app: Connection) -> None:
    activate(app, add_key(app))
    query = "SELECT next_rotation_on - current_date FROM security_mgmt.encryption_key"
    assert one(app, query) == 90


def test_there_is_no_column_for_key_material(admin: Connection) -> None:
    rows = admin.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'security_mgmt' AND table_name = 'encryption_key'"
        " AND (data_type = 'bytea' OR column_name ~ 'material|secret|plain')"
    ).fetchall()
    assert rows == []


def test_one_generation_of_a_key_is_active(app: Connection) -> None:
    activate(app, add_key(app))
    second = one(
        app,
        "INSERT INTO security_mgmt.encryption_key (business_id, key_alias, purpose, generation)"
        f" VALUES ({HERE}, 'data', 'data_at_rest', 2) RETURNING encryption_key_id",
    )
    with pytest.raises(errors.UniqueViolation, match="encryption_key_active_idx"):
        activate(app, second)


KEY = {
    "pre_active": {"active", "compromised", "destroyed"},
    "active": {"deactivated", "compromised"},
    "deactivated": {"compromised", "destroyed"},
    "compromised": {"destroyed"},
    "destroyed": set[str](),
}
PLAN = {"draft": {"approved", "retired"}, "approved": {"retired"}, "retired": set[str]()}


def _refused(machine: dict[str, set[str]]) -> list[tuple[str, str]]:
    return [(a, b) for a in machine for b in machine if a != b and b not in machine[a]]


def _add_key_in(connection: Connection, tenant: UUID, state: str) -> None:
    connection.execute(
        "INSERT INTO security_mgmt.encryption_key (business_id, key_alias, purpose, state,"
        " activated_on, destroyed_on) VALUES (%s, 'data', 'data_at_rest', %s,"
        " CASE WHEN %s THEN current_date END, CASE WHEN %s THEN current_date END)",
        [tenant, state, state != "pre_active", state == "destroyed"],
    )


@pytest.mark.parametrize(("old", "new"), _refused(KEY))
def test_a_key_refuses_other_ways(
    admin: Connection, tenant: UUID, account: UUID, old: str, new: str
) -> None:
    _add_key_in(admin, tenant, old)
    become_app(admin, tenant)
    with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
        admin.execute("UPDATE security_mgmt.encryption_key SET state = %s", [new])


@pytest.mark.parametrize("state", [s for s in KEY if s != "pre_active"])
def test_a_key_is_born_before_it_is_used(app: Connection, tenant: UUID, state: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"cannot start as {state}"):
        _add_key_in(app, tenant, state)


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("state = 'active'", "encryption_key_used_was_activated"),
        ("state = 'destroyed'", "encryption_key_destroyed_has_day"),
        ("destroyed_on = current_date", "encryption_key_destroyed_has_day"),
        ("activated_on = current_date", "encryption_key_pre_active_was_not"),
        ("rotation_days = 0", "encryption_key_rotation_bounded"),
    ],
)
def test_the_dates_of_a_key_fit_its_state(app: Connection, change: str, truth: str) -> None:
    add_key(app)
    with pytest.raises(errors.CheckViolation, match=truth):
        app.execute(f"UPDATE security_mgmt.encryption_key SET {change}".encode())


@pytest.mark.parametrize(
    ("purpose", "category"), [("backup", "data_leak"), ("audit_checkpoint", "tamper")]
)
def test_a_compromised_key_opens_an_incident(app: Connection, purpose: str, category: str) -> None:
    activate(app, add_key(app, purpose=purpose))
    app.execute("UPDATE security_mgmt.encryption_key SET state = 'compromised'")
    title = f"Key data, generation 1 ({purpose}) is compromised"
    assert incidents(app) == [(title, category, "sev1", True)]
    app.execute(
        "UPDATE security_mgmt.encryption_key SET state = 'destroyed', destroyed_on = current_date"
    )
    assert len(incidents(app)) == 1


def test_who_imports_history_brings_the_incident_along(admin: Connection, tenant: UUID) -> None:
    _add_key_in(admin, tenant, "active")
    admin.execute("UPDATE security_mgmt.encryption_key SET state = 'compromised'")
    assert incidents(admin) == []


def test_a_key_is_rotated(app: Connection, account: UUID) -> None:
    activate(app, add_key(app))
    fresh = one(app, "SELECT security_mgmt.rotate_key('data', actor => %s)", account)
    assert generations(app) == {1: "deactivated", 2: "active"}
    row = app.execute(
        "SELECT from_generation, to_generation, reason, method, performed_by"
        " FROM security_mgmt.key_rotation_event"
    ).fetchone()
    assert row == (1, 2, "scheduled", "manual_dual_control", account)
    assert one(app, "SELECT security_mgmt.rotate_key('data')") != fresh
    assert generations(app) == {1: "deactivated", 2: "deactivated", 3: "active"}
    assert incidents(app) == []


def test_a_generation_that_was_prepared_is_taken(app: Connection) -> None:
    activate(app, add_key(app))
    prepared = one(
        app,
        "INSERT INTO security_mgmt.encryption_key (business_id, key_alias, purpose, generation,"
        f" algorithm) VALUES ({HERE}, 'data', 'data_at_rest', 2, 'rsa_4096')"
        " RETURNING encryption_key_id",
    )
    assert one(app, "SELECT security_mgmt.rotate_key('data', 'algorithm_upgrade')") == prepared
    assert generations(app) == {1: "deactivated", 2: "active"}


def test_a_rotation_for_compromise_opens_one_incident(app: Connection) -> None:
    activate(app, add_key(app))
    app.execute("SELECT security_mgmt.rotate_key('data', 'compromise')")
    assert generations(app) == {1: "compromised", 2: "active"}
    assert len(incidents(app)) == 1


@pytest.mark.parametrize("alias", ["data", "unknown"])
def test_what_is_not_active_is_not_rotated(app: Connection, alias: str) -> None:
    add_key(app)
    with pytest.raises(errors.NoDataFound, match=f"no generation of key {alias} is active"):
        app.execute("SELECT security_mgmt.rotate_key(%s)", [alias])


def _record_rotation(connection: Connection, key: UUID, generation: int, reason: str) -> None:
    connection.execute(
        "INSERT INTO security_mgmt.key_rotation_event (business_id, encryption_key_id,"
        f" from_generation, reason) VALUES ({HERE}, %s, %s, %s)",
        [key, generation, reason],
    )


def test_an_event_of_compromise_marks_the_key(app: Connection) -> None:
    key = add_key(app)
    activate(app, key)
    _record_rotation(app, key, 1, "scheduled")
    assert incidents(app) == []
    _record_rotation(app, key, 1, "compromise")
    assert generations(app) == {1: "compromised"}
    assert len(incidents(app)) == 1
    _record_rotation(app, key, 1, "compromise")
    assert len(incidents(app)) == 1, "once"


def test_an_event_that_turns_out_to_be_a_compromise_marks_the_key(app: Connection) -> None:
    key = add_key(app)
    activate(app, key)
    _record_rotation(app, key, 1, "scheduled")
    app.execute("UPDATE security_mgmt.key_rotation_event SET reason = 'compromise'")
    assert generations(app) == {1: "compromised"}


def test_a_rotation_starts_from_the_generation_of_its_key(app: Connection) -> None:
    key = add_key(app)
    with pytest.raises(errors.ForeignKeyViolation):
        _record_rotation(app, key, 2, "scheduled")


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("verified_at = rotated_at - interval '1 s'", "verified_after_rotation"),
        ("rollback_at = rotated_at - interval '1 s'", "rolled_back_after_rotation"),
        ("method = 'manual_dual_control'", "by_hand_has_person"),
        ("failed_objects = -1", "objects_not_negative"),
    ],
)
def test_a_rotation_is_sound(app: Connection, change: str, truth: str) -> None:
    _record_rotation(app, add_key(app), 1, "scheduled")
    with pytest.raises(errors.CheckViolation, match=truth):
        app.execute(f"UPDATE security_mgmt.key_rotation_event SET {change}".encode())


# Awareness


@pytest.mark.parametrize(
    ("facts", "truth"),
    [
        ("kind = 'course', simulation_result = 'clicked'", "only_phishing_is_simulated"),
        ("score_pct = 100.5", "score_bounded"),
        ("completed_at = assigned_at - interval '1 s'", "completed_after_assignment"),
        ("renewal_due_on = due_on", "renewed_after_due"),
    ],
)
def test_an_assignment_is_sound(app: Connection, account: UUID, facts: str, truth: str) -> None:
    _assign(app, account)
    with pytest.raises(errors.CheckViolation, match=truth):
        app.execute(f"UPDATE security_mgmt.awareness_assignment SET {facts}".encode())


def test_a_simulation_has_a_result_or_none_yet(app: Connection, account: UUID) -> None:
    _assign(app, account)
    app.execute("UPDATE security_mgmt.awareness_assignment SET kind = 'phishing_simulation'")
    app.execute("UPDATE security_mgmt.awareness_assignment SET simulation_result = 'reported'")


def _assign(connection: Connection, account: UUID) -> None:
    connection.execute(
        "INSERT INTO security_mgmt.awareness_assignment (business_id, user_account_id,"
        f" module_code, due_on) VALUES ({HERE}, %s, 'SEC-101', current_date + 30)",
        [account],
    )


# Recovery


def add_plan(
    connection: Connection, tenant: UUID, owner: UUID, status: str = "draft", version: int = 1
) -> UUID:
    found: UUID = one(
        connection,
        "INSERT INTO security_mgmt.recovery_plan (business_id, owner_user_account_id, plan_code,"
        " title, scenario, version_no, status, recovery_time_objective_minutes,"
        " recovery_point_objective_minutes, steps, approved_on)"
        " VALUES (%s, %s, 'RP-1', 'Database', 'data_corruption', %s, %s, 60, 5,"
        """ '[{"title": "Restore"}]', current_date) RETURNING recovery_plan_id""",
        tenant,
        owner,
        version,
        status,
    )
    return found


@pytest.mark.parametrize(("old", "new"), _refused(PLAN))
def test_a_plan_refuses_other_ways(
    admin: Connection, tenant: UUID, account: UUID, old: str, new: str
) -> None:
    add_plan(admin, tenant, account, old)
    become_app(admin, tenant)
    with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
        admin.execute("UPDATE security_mgmt.recovery_plan SET status = %s", [new])


def test_one_version_of_a_plan_is_followed(app: Connection, tenant: UUID, account: UUID) -> None:
    for version in (1, 2):
        add_plan(app, tenant, account, version=version)
    with pytest.raises(errors.UniqueViolation, match="recovery_plan_approved_idx"):
        app.execute("UPDATE security_mgmt.recovery_plan SET status = 'approved'")


@pytest.mark.parametrize(
    "change", ["recovery_time_objective_minutes = 600", "steps = '[]'", "version_no = 9"]
)
def test_an_approved_plan_stays(app: Connection, tenant: UUID, account: UUID, change: str) -> None:
    add_plan(app, tenant, account)
    app.execute("UPDATE security_mgmt.recovery_plan SET status = 'approved'")
    with pytest.raises(errors.RestrictViolation, match="version 1 of plan RP-1 is approved"):
        app.execute(f"UPDATE security_mgmt.recovery_plan SET {change}".encode())


def test_the_next_exercise_of_an_approved_plan_is_set(
    app: Connection, tenant: UUID, account: UUID
) -> None:
    add_plan(app, tenant, account)
    app.execute("UPDATE security_mgmt.recovery_plan SET status = 'approved'")
    app.execute("UPDATE security_mgmt.recovery_plan SET next_exercise_on = current_date + 90")


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("status = 'approved', steps = '[]'", "recovery_plan_approved_has_steps"),
        ("status = 'approved', approved_on = NULL", "recovery_plan_approved_has_day"),
        ("recovery_time_objective_minutes = 0", "recovery_plan_objectives_bounded"),
        ("recovery_point_objective_minutes = -1", "recovery_plan_objectives_bounded"),
    ],
)
def test_a_plan_is_whole(
    app: Connection, tenant: UUID, account: UUID, change: str, truth: str
) -> None:
    add_plan(app, tenant, account)
    with pytest.raises(errors.CheckViolation, match=truth):
        app.execute(f"UPDATE security_mgmt.recovery_plan SET {change}".encode())


def _exercise(
    connection: Connection,
    plan: UUID,
    rto: int | None = None,
    rpo: int | None = None,
    kind: str = "component",
    incident: UUID | None = None,
) -> Any:
    return one(
        connection,
        "INSERT INTO security_mgmt.recovery_exercise (business_id, recovery_plan_id, incident_id,"
        " exercise_kind, achieved_rto_minutes, achieved_rpo_minutes, objectives_met, started_at)"
        f" VALUES ({HERE}, %s, %s, %s, %s, %s, true, now()) RETURNING objectives_met",
        plan,
        incident,
        kind,
        rto,
        rpo,
    )


@pytest.mark.parametrize(
    ("rto", "rpo", "met"),
    [
        (60, 5, True),
        (0, 0, True),
        (61, 5, False),
        (60, 6, False),
        (61, None, False),
        (60, None, None),
        (None, None, None),
    ],
)
def test_an_exercise_is_judged_by_its_plan(
    app: Connection, tenant: UUID, account: UUID, rto: int | None, rpo: int | None, met: bool | None
) -> None:
    assert _exercise(app, add_plan(app, tenant, account), rto, rpo) is met


def test_an_exercise_is_judged_again_when_it_is_measured(
    app: Connection, tenant: UUID, account: UUID
) -> None:
    _exercise(app, add_plan(app, tenant, account), 90, 5)
    app.execute("UPDATE security_mgmt.recovery_exercise SET objectives_met = true")
    assert one(app, "SELECT objectives_met FROM security_mgmt.recovery_exercise") is False
    app.execute("UPDATE security_mgmt.recovery_exercise SET achieved_rto_minutes = 30")
    assert one(app, "SELECT objectives_met FROM security_mgmt.recovery_exercise") is True


def test_what_was_real_has_its_incident(app: Connection, tenant: UUID, account: UUID) -> None:
    plan = add_plan(app, tenant, account)
    incident = one(
        app,
        "INSERT INTO security_mgmt.incident (business_id, title, category, severity, detected_at)"
        f" VALUES ({HERE}, 'Down', 'malware', 'sev1', now()) RETURNING incident_id",
    )
    _exercise(app, plan, kind="real", incident=incident)
    for kind, given in (("real", None), ("tabletop", incident)):
        with pytest.raises(errors.CheckViolation, match="real_has_incident"), app.transaction():
            _exercise(app, plan, kind=kind, incident=given)


def test_an_exercise_ends_after_its_start(app: Connection, tenant: UUID, account: UUID) -> None:
    _exercise(app, add_plan(app, tenant, account))
    with pytest.raises(errors.CheckViolation, match="finished_after_start"):
        app.execute("UPDATE security_mgmt.recovery_exercise SET finished_at = started_at")


# Backups


def _verify(connection: Connection, **facts: str) -> None:
    values = {
        "backup_label": "'base-1'",
        "method": "'checksum'",
        "size_bytes": "1000",
        "result": "'pass'",
        "backup_taken_at": "now() - interval '1 day'",
        "rows_compared": "10",
    } | facts
    connection.execute(
        f"INSERT INTO security_mgmt.backup_verification (business_id, {', '.join(values)})"
        f" VALUES ({HERE}, {', '.join(values.values())})".encode()
    )


@pytest.mark.parametrize(
    ("facts", "truth"),
    [
        ({"rows_different": "1"}, "passed_is_equal"),
        ({"rows_different": "11", "result": "'fail'"}, "different_of_compared"),
        ({"backup_taken_at": "now() + interval '1 s'"}, "after_backup"),
        ({"method": "'full_restore'"}, "restore_was_timed"),
    ],
)
def test_a_verification_is_sound(app: Connection, facts: dict[str, str], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        _verify(app, **facts)


def test_a_difference_fails(app: Connection) -> None:
    _verify(app, rows_different="10", result="'fail'", method="'full_restore'", restore_minutes="5")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE security_mgmt.backup_verification SET result = 'fail'",
        "DELETE FROM security_mgmt.backup_verification",
    ],
)
@pytest.mark.parametrize("age", ["0 days", "3 years"])
def test_a_verification_is_never_changed(
    admin: Connection, tenant: UUID, account: UUID, statement: str, age: str
) -> None:
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    moment = f"now() - interval '{age}'"
    _verify(admin, verified_at=moment, backup_taken_at=moment)
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute(statement.encode())


# What runs out


def test_what_runs_out_within_a_month_is_seen(app: Connection, account: UUID) -> None:
    _add_expiring(app, account, 30)
    rows = app.execute(
        "SELECT assurance_kind, days_left FROM security_mgmt.v_expiring_assurance"
    ).fetchall()
    assert dict(rows) == {
        "risk_acceptance": 30,
        "control_evidence": 30,
        "third_party_assessment": 30,
        "encryption_key": 30,
    }


def test_what_holds_longer_is_not(app: Connection, account: UUID) -> None:
    _add_expiring(app, account, 31)
    assert one(app, "SELECT count(*) FROM security_mgmt.v_expiring_assurance") == 0


def test_a_newer_report_takes_the_place_of_one_that_runs_out(
    app: Connection, account: UUID
) -> None:
    _add_expiring(app, account, 5)
    app.execute(
        "INSERT INTO security_mgmt.third_party_assessment (business_id, third_party_id,"
        " assessment_kind, score, rating, valid_until)"
        " SELECT business_id, third_party_id, 'soc_report', 90, 'low', current_date + 300"
        " FROM security_mgmt.third_party"
    )
    kinds = app.execute("SELECT assurance_kind FROM security_mgmt.v_expiring_assurance").fetchall()
    assert {kind for (kind,) in kinds} == {
        "risk_acceptance",
        "control_evidence",
        "encryption_key",
    }


def test_another_tenant_sees_nothing_of_it(admin: Connection, tenant: UUID, account: UUID) -> None:
    other = add_tenant(admin, "second")
    become_app(admin, tenant)
    _add_expiring(admin, account, 5)
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [other])
    assert one(admin, "SELECT count(*) FROM security_mgmt.v_expiring_assurance") == 0


def _add_expiring(connection: Connection, account: UUID, days: int) -> None:
    """An acceptance, evidence, a report and a key that run out in so many days."""
    risk = one(
        connection,
        "INSERT INTO security_mgmt.security_risk (business_id, risk_number, title,"
        f" threat_scenario, likelihood, impact) VALUES ({HERE}, 'R-1', 'Risk', 'It happens', 2, 2)"
        " RETURNING security_risk_id",
    )
    connection.execute(
        "INSERT INTO security_mgmt.risk_acceptance (business_id, security_risk_id, reason,"
        " residual_rating, expires_on)"
        f" VALUES ({HERE}, %s, 'Rare', 'low', current_date + %s)",
        [risk, days],
    )
    connection.execute(
        "UPDATE security_mgmt.risk_acceptance SET state = 'accepted', accepted_at = now(),"
        " accepted_by_user_account_id = %s",
        [account],
    )
    control = one(
        connection,
        "INSERT INTO security_mgmt.security_control (business_id, control_code, name,"
        " control_type, nature, frequency, csf_function)"
        f" VALUES ({HERE}, 'C-1', 'Reviews', 'preventive', 'manual', 'annual', 'PR')"
        " RETURNING security_control_id",
    )
    connection.execute(
        "INSERT INTO security_mgmt.control_evidence (business_id, security_control_id,"
        " evidence_kind, title, query_text, query_result, content_sha256, period_start,"
        " period_end, valid_until)"
        f" VALUES ({HERE}, %s, 'query_result', 'Rows', 'SELECT 1', '[1]', sha256(''),"
        " current_date - 9, current_date, current_date + %s)",
        [control, days],
    )
    connection.execute("UPDATE security_mgmt.control_evidence SET review_state = 'accepted'")
    connection.execute(
        "INSERT INTO security_mgmt.third_party (business_id, name, service, country_code, status)"
        f" VALUES ({HERE}, 'Hosting Ltd', 'Hosting', 'US', 'active')"
    )
    connection.execute(
        "INSERT INTO security_mgmt.third_party_assessment (business_id, third_party_id,"
        " assessment_kind, score, rating, valid_until)"
        " SELECT business_id, third_party_id, 'soc_report', 90, 'low', current_date + %s"
        " FROM security_mgmt.third_party",
        [days],
    )
    activate(connection, add_key(connection))
    connection.execute("UPDATE security_mgmt.encryption_key SET rotation_days = %s", [days])
