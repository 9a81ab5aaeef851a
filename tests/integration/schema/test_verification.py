"""Findings are seen over runs, waived for a time and closed; leaks open findings by themselves."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.conftest import become_app

STATUSES = ("open", "acknowledged", "fixed", "waived", "false_positive", "reopened")
TRANSITIONS = {
    "open": {"acknowledged", "fixed", "waived", "false_positive"},
    "acknowledged": {"fixed", "waived", "false_positive"},
    "fixed": {"reopened"},
    "waived": {"open"},
    "false_positive": {"reopened"},
    "reopened": {"acknowledged", "fixed", "waived", "false_positive"},
}
MARK = "0123456789abcdef0123456789abcdef"


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


@pytest.fixture
def rule(app: Connection) -> UUID:
    """A rule of the row_security family that blocks."""
    return define(app, "RLS002", "row_security", "error")


def define(connection: Connection, code: str, family: str, severity: str) -> UUID:
    found: UUID = one(
        connection,
        "INSERT INTO observability.check_definition (business_id, check_code, title, family,"
        " severity, engine, rationale) VALUES (tenant_mgmt.current_business_id(), %s, 'Forced',"
        " %s, %s, 'pglast', 'The owner reads everything') RETURNING check_definition_id",
        code,
        family,
        severity,
    )
    return found


def start(connection: Connection, family: str = "row_security", age: str = "0 s") -> UUID:
    """A run that began `age` ago."""
    found: UUID = one(
        connection,
        "INSERT INTO observability.check_run (business_id, family, started_at, git_commit)"
        " VALUES (tenant_mgmt.current_business_id(), %s, clock_timestamp() - %s::interval,"
        " 'abcdef1') RETURNING check_run_id",
        family,
        age,
    )
    return found


def see(connection: Connection, run: UUID, *marks: str, **more: Any) -> int:
    seen = [{"check_code": "RLS002", "fingerprint": mark, **more} for mark in marks]
    count: int = one(
        connection, "SELECT observability.record_findings(%s, %s)", run, json.dumps(seen)
    )
    return count


def finish(connection: Connection, run: UUID, objects: int = 10) -> str:
    verdict: str = one(connection, "SELECT observability.finish_check_run(%s, %s, 5)", run, objects)
    return verdict


def status(connection: Connection, mark: str = MARK) -> Any:
    return one(connection, "SELECT status FROM observability.finding WHERE fingerprint = %s", mark)


def waive(connection: Connection, account: UUID, days: int = 30) -> UUID:
    found: UUID = one(
        connection,
        "INSERT INTO observability.finding_waiver (business_id, finding_id, approved_by, reason,"
        " expires_at) SELECT f.business_id, f.finding_id, %s, 'Holds no rows yet',"
        " now() + %s * interval '24 hours' FROM observability.finding AS f"
        " RETURNING finding_waiver_id",
        account,
        days,
    )
    return found


def test_what_a_run_sees_is_a_finding_with_the_rules_title(app: Connection, rule: UUID) -> None:
    run = start(app)
    assert see(app, run, MARK, MARK, object_name="bay", evidence={"line": 7}) == 1
    row = app.execute(
        "SELECT title, severity, status, object_name, evidence ->> 'line', first_check_run_id,"
        " occurrences FROM observability.finding"
    ).fetchone()
    assert row == ("Forced", "error", "open", "bay", "7", run, 1)


def test_a_run_that_saw_an_error_fails_and_counts(app: Connection, rule: UUID) -> None:
    run = start(app)
    see(app, run, MARK, "f" * 32)
    assert finish(app, run) == "fail"
    row = app.execute(
        "SELECT findings_new, findings_fixed, findings_open, objects_checked"
        " FROM observability.check_run"
    ).fetchone()
    assert row == (2, 0, 2, 10)


@pytest.mark.parametrize(
    ("severity", "objects", "verdict"),
    [("warning", 10, "pass"), ("critical", 10, "fail"), ("info", 0, "error")],
)
def test_the_verdict_follows_what_was_seen(
    app: Connection, rule: UUID, severity: str, objects: int, verdict: str
) -> None:
    run = start(app)
    see(app, run, MARK, severity=severity)
    assert finish(app, run, objects) == verdict


def test_what_is_not_seen_again_is_fixed_and_what_returns_is_reopened(
    app: Connection, rule: UUID
) -> None:
    first = start(app, age="3 h")
    see(app, first, MARK, seen_at="2026-01-01T00:00:00Z")
    finish(app, first)
    assert finish(app, second := start(app, age="2 h")) == "pass"
    assert status(app) == "fixed"
    fixed = app.execute(
        "SELECT fixed_in_commit, fixed_at IS NOT NULL FROM observability.finding"
    ).fetchone()
    assert fixed == ("abcdef1", True)
    closed = "SELECT findings_fixed FROM observability.check_run WHERE check_run_id = %s"
    assert one(app, closed, second) == 1

    see(app, start(app), MARK)
    row = app.execute(
        "SELECT status, occurrences, fixed_at, fixed_in_commit, first_check_run_id"
        " FROM observability.finding"
    ).fetchone()
    assert row == ("reopened", 2, None, None, first)


def test_a_run_of_another_family_or_without_the_rule_fixes_nothing(
    app: Connection, rule: UUID
) -> None:
    see(app, start(app, age="3 h"), MARK, seen_at="2026-01-01T00:00:00Z")
    finish(app, start(app, "index", age="2 h"))
    app.execute("UPDATE observability.check_definition SET is_enabled = false")
    finish(app, start(app, age="1 h"))
    assert status(app) == "open"


def test_a_run_that_broke_off_fixes_nothing(app: Connection, rule: UUID) -> None:
    see(app, start(app, age="3 h"), MARK, seen_at="2026-01-01T00:00:00Z")
    run = start(app)
    assert finish(app, run, objects=0) == "error"
    assert status(app) == "open"
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="not complete"):
        one(app, "SELECT observability.close_missing_findings(%s)", run)


def test_a_finished_run_sees_and_finishes_no_more(app: Connection, rule: UUID) -> None:
    run = start(app)
    finish(app, run)
    with pytest.raises(errors.NoDataFound, match="no running check run"), app.transaction():
        see(app, run, MARK)
    with pytest.raises(errors.NoDataFound, match="no running check run"):
        finish(app, run)


def test_an_unknown_rule_is_refused(app: Connection) -> None:
    with pytest.raises(errors.NoDataFound, match="there is no check RLS002"):
        see(app, start(app), MARK)


def test_a_run_that_saw_an_open_error_cannot_be_declared_passed(
    app: Connection, rule: UUID
) -> None:
    run = start(app)
    see(app, run, MARK)
    with pytest.raises(errors.CheckViolation, match="did not pass"):
        app.execute(
            "UPDATE observability.check_run SET verdict = 'pass', finished_at = now(),"
            " objects_checked = 1, started_at = now()"
        )


def test_a_verdict_is_of_something(app: Connection) -> None:
    start(app)
    with pytest.raises(errors.CheckViolation, match="check_run_verdict_of_something"):
        app.execute(
            "UPDATE observability.check_run SET verdict = 'pass', finished_at = clock_timestamp()"
        )


@pytest.mark.parametrize(
    ("column", "value", "constraint"),
    [
        ("blocks_ci", "false", "check_definition_critical_blocks_ci"),
        ("engine", "'catalog_sql'", "check_definition_catalog_rule_has_query"),
    ],
)
def test_a_critical_rule_blocks_and_a_catalog_rule_has_its_query(
    app: Connection, column: str, value: str, constraint: str
) -> None:
    define(app, "X1", "isolation", "critical")
    with pytest.raises(errors.CheckViolation, match=constraint):
        app.execute(f"UPDATE observability.check_definition SET {column} = {value}".encode())


@pytest.mark.parametrize("before", STATUSES)
@pytest.mark.parametrize("after", STATUSES)
def test_a_finding_goes_only_where_its_table_says(
    admin: Connection, app: Connection, rule: UUID, before: str, after: str
) -> None:
    see(app, start(app), MARK)
    admin.execute("RESET ROLE")
    admin.execute("ALTER TABLE observability.finding DISABLE TRIGGER finding_status_machine")
    admin.execute("UPDATE observability.finding SET status = %s", [before])
    admin.execute("ALTER TABLE observability.finding ENABLE TRIGGER finding_status_machine")
    change = "UPDATE observability.finding SET status = %s"
    if after == before or after in TRANSITIONS[before]:
        admin.execute(change, [after])
        assert status(admin) == after
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            admin.execute(change, [after])


def test_a_waiver_waives_and_its_end_opens_again(
    app: Connection, rule: UUID, account: UUID
) -> None:
    run = start(app)
    see(app, run, MARK)
    waiver = waive(app, account)
    assert status(app) == "waived"
    assert finish(app, run) == "pass", "a waived error does not fail a run"
    app.execute(
        "UPDATE observability.finding_waiver SET state = 'revoked', revoked_at = now()"
        " WHERE finding_waiver_id = %s",
        [waiver],
    )
    assert status(app) == "open"


def test_an_expired_waiver_ends_with_the_next_run(
    app: Connection, rule: UUID, account: UUID
) -> None:
    see(app, start(app), MARK)
    waive(app, account)
    app.execute(
        "UPDATE observability.finding_waiver SET granted_at = now() - interval '2 days',"
        " expires_at = now() - interval '1 day'"
    )
    assert one(app, "SELECT observability.expire_waivers()") == 1
    assert status(app) == "open"
    assert one(app, "SELECT observability.expire_waivers()") == 0


@pytest.mark.parametrize("days", [0, 181])
def test_a_waiver_ends_within_180_days(
    app: Connection, rule: UUID, account: UUID, days: int
) -> None:
    see(app, start(app), MARK)
    with pytest.raises(errors.CheckViolation, match="finding_waiver_ends"):
        waive(app, account, days)


def test_a_finding_has_one_active_waiver(app: Connection, rule: UUID, account: UUID) -> None:
    see(app, start(app), MARK)
    waive(app, account)
    with pytest.raises(errors.UniqueViolation):
        waive(app, account)


def test_what_is_fixed_is_not_waived(app: Connection, rule: UUID, account: UUID) -> None:
    see(app, start(app), MARK)
    app.execute("UPDATE observability.finding SET status = 'fixed'")
    with pytest.raises(errors.CheckViolation, match="it is fixed"):
        waive(app, account)


@pytest.mark.parametrize("state", ["waived", "open"])
def test_a_finding_is_waived_by_a_waiver_only(
    app: Connection, rule: UUID, account: UUID, state: str
) -> None:
    see(app, start(app), MARK)
    if state == "open":
        waive(app, account)
    with pytest.raises(errors.CheckViolation, match="waived by its waiver"):
        app.execute("UPDATE observability.finding SET status = %s", [state])


def test_a_waiver_is_not_deleted_and_not_revived(
    app: Connection, rule: UUID, account: UUID
) -> None:
    see(app, start(app), MARK)
    waive(app, account)
    with pytest.raises(errors.InsufficientPrivilege), app.transaction():
        app.execute("DELETE FROM observability.finding_waiver")
    app.execute("UPDATE observability.finding_waiver SET state = 'expired'")
    with pytest.raises(errors.CheckViolation, match="expired cannot become active"):
        app.execute("UPDATE observability.finding_waiver SET state = 'active'")


def probe(connection: Connection, run: UUID, outcome: str, **columns: Any) -> None:
    values = {
        "check_run_id": run,
        "subject_business_id": uuid4(),
        "attacker_business_id": uuid4(),
        "schema_name": "auto",
        "object_name": "bay",
        "object_kind": "table",
        "attempt": "select",
        "outcome": outcome,
        **columns,
    }
    names = ", ".join(values)
    marks = ", ".join(["%s"] * len(values))
    connection.execute(
        f"INSERT INTO observability.isolation_probe (business_id, {names})"
        f" VALUES (tenant_mgmt.current_business_id(), {marks})".encode(),
        list(values.values()),
    )


def test_a_leak_opens_one_critical_finding(app: Connection) -> None:
    run = start(app, "isolation")
    probe(app, run, "isolated", observed_rows=0)
    assert one(app, "SELECT count(*) FROM observability.finding") == 0
    probe(app, run, "leak", observed_rows=3)
    probe(app, run, "leak", observed_rows=4)
    rows = app.execute(
        "SELECT severity, status, object_name, occurrences, evidence ->> 'rows',"
        " last_check_run_id FROM observability.finding"
    ).fetchall()
    assert rows == [("critical", "open", "bay", 2, "4", run)]
    assert finish(app, run) == "fail"


def test_a_leak_is_never_waived(admin: Connection, app: Connection, account: UUID) -> None:
    probe(app, start(app, "isolation"), "leak", observed_rows=3)
    with pytest.raises(errors.CheckViolation, match="isolated or they are not"), app.transaction():
        waive(app, account)
    admin.execute("RESET ROLE")
    with pytest.raises(errors.CheckViolation, match="isolated or they are not"):
        waive(admin, account)


def test_a_probe_crosses_a_boundary_or_has_no_tenant(app: Connection) -> None:
    run, tenant = start(app, "isolation"), uuid4()
    same = {"subject_business_id": tenant, "attacker_business_id": tenant}
    probe(app, run, "isolated", attempt="unset_setting", observed_sqlstate="42704", **same)
    with pytest.raises(errors.CheckViolation, match="crosses_a_boundary"):
        probe(app, run, "isolated", **same)


def test_an_isolated_probe_saw_nothing_and_stays_as_it_is(
    admin: Connection, app: Connection
) -> None:
    run = start(app, "isolation")
    with pytest.raises(errors.CheckViolation, match="isolated_saw_nothing"), app.transaction():
        probe(app, run, "isolated", observed_rows=1)
    probe(app, run, "isolated", observed_rows=0)
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute("UPDATE observability.isolation_probe SET observed_rows = 0")


def test_the_inventory_holds_the_catalog_and_shows_no_gap(app: Connection) -> None:
    run = start(app, "isolation")
    written = one(app, "SELECT observability.take_inventory(%s)", run)
    assert written == one(app, "SELECT count(*) FROM observability.schema_object")
    row = app.execute(
        "SELECT has_business_id, rls_enabled, rls_forced, policy_count, primary_key_columns,"
        " is_partitioned FROM observability.schema_object"
        " WHERE (schema_name, object_name, object_kind)"
        " = ('observability', 'isolation_probe', 'table')"
    ).fetchone()
    key = ["business_id", "isolation_probe_id", "probed_at"]
    assert row == (True, True, True, 1, key, True)
    kinds = "SELECT count(DISTINCT object_kind) FROM observability.schema_object"
    assert one(app, kinds) == 9
    assert app.execute("SELECT * FROM observability.v_rls_gap").fetchall() == []


def test_a_gap_and_a_drift_are_shown(admin: Connection, app: Connection) -> None:
    before, after = start(app, age="1 h"), start(app)
    app.execute("SELECT observability.take_inventory(%s)", [before])
    admin.execute("RESET ROLE")
    admin.execute("CREATE TABLE tenant_mgmt.open_table (id integer)")
    admin.execute("ALTER TABLE tenant_mgmt.trial NO FORCE ROW LEVEL SECURITY, ADD extra integer")
    admin.execute("DROP VIEW tenant_mgmt.v_trial_status")
    become_app(admin, one(admin, "SELECT tenant_mgmt.current_business_id()"))
    app.execute("SELECT observability.take_inventory(%s)", [after])
    gaps = app.execute("SELECT object_name, gap FROM observability.v_rls_gap").fetchall()
    assert set(gaps) == {
        ("open_table", "no business_id"),
        ("open_table", "row security not enabled"),
        ("trial", "row security not forced"),
    }
    drift = app.execute(
        "SELECT object_name, change, columns_changed FROM observability.schema_drift(%s, %s)",
        [before, after],
    ).fetchall()
    assert set(map(str, drift)) == {
        "('open_table', 'added', None)",
        "('trial', 'changed', ['extra'])",
        "('v_trial_status', 'removed', None)",
    }


def test_coverage_names_what_was_not_attempted(app: Connection) -> None:
    run = start(app, "isolation")
    for name in ("bay", "lift"):
        app.execute(
            "INSERT INTO observability.schema_object (business_id, check_run_id, schema_name,"
            " object_name, object_kind, owner_name, definition_sha256)"
            " VALUES (tenant_mgmt.current_business_id(), %s, 'auto', %s, 'table', 'o',"
            " sha256('x'))",
            [run, name],
        )
    for attempt in ("select", "insert", "update", "delete", "unset_setting", "fk_probe"):
        probe(app, run, "isolated", attempt=attempt)
        if attempt not in ("delete", "fk_probe"):
            probe(app, run, "isolated", attempt=attempt, object_name="lift")
    probe(app, run, "not_applicable", attempt="delete", object_name="lift")
    gaps = app.execute("SELECT * FROM observability.isolation_coverage(%s)", [run]).fetchall()
    assert gaps == [("auto", "lift", "delete"), ("auto", "lift", "fk_probe")]


def test_open_findings_come_with_their_rule_and_rank(app: Connection, rule: UUID) -> None:
    see(app, start(app), MARK, object_name="bay")
    row = app.execute(
        "SELECT check_code, family, severity_rank, age >= interval '0'"
        " FROM observability.v_open_finding"
    ).fetchone()
    assert row == ("RLS002", "row_security", 2, True)
    app.execute("UPDATE observability.finding SET status = 'false_positive'")
    assert app.execute("SELECT * FROM observability.v_open_finding").fetchall() == []


@pytest.fixture
def instance(app: Connection) -> UUID:
    """The database of the test as a watched instance."""
    found: UUID = one(
        app,
        "INSERT INTO observability.monitored_instance (business_id, name, host, database_name,"
        " server_version_num, system_identifier) VALUES (tenant_mgmt.current_business_id(), 'a',"
        " 'h', current_database(), 170000, '1') RETURNING monitored_instance_id",
    )
    return found


def generate(
    connection: Connection, instance: UUID, counts: dict[str, int], age: str, seed: int = 7
) -> UUID:
    found: UUID = one(
        connection,
        "INSERT INTO observability.generation_run (business_id, monitored_instance_id, seed,"
        " scale_factor, tenant_count, input_sha256, row_counts, started_at)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s, 1, 3, sha256('schema'), %s,"
        " now() - %s::interval) RETURNING generation_run_id",
        instance,
        seed,
        json.dumps(counts),
        age,
    )
    connection.execute(
        "UPDATE observability.generation_run SET status = 'done', finished_at ="
        " started_at + interval '10 seconds' WHERE generation_run_id = %s",
        [found],
    )
    return found


def test_a_filling_is_totalled(app: Connection, instance: UUID) -> None:
    generate(app, instance, {"auto.bay": 120, "auto.lift": 80}, "1 h")
    row = app.execute(
        "SELECT rows_total, tables_empty, rows_per_second FROM observability.generation_run"
    ).fetchone()
    assert row == (200, 0, 20)


def test_a_filling_that_left_a_table_empty_is_not_done(app: Connection, instance: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="done_left_nothing_empty"):
        generate(app, instance, {"auto.bay": 120, "auto.lift": 0}, "1 h")


def test_the_same_seed_gives_the_same_rows_or_a_finding(app: Connection, instance: UUID) -> None:
    generate(app, instance, {"auto.bay": 120, "auto.lift": 5}, "3 h")
    generate(app, instance, {"auto.bay": 7}, "2 h", seed=8)
    assert one(app, "SELECT count(*) FROM observability.finding") == 0
    last = generate(app, instance, {"auto.bay": 121, "auto.pit": 1}, "1 h")
    differing = app.execute(
        "SELECT * FROM observability.generation_differences(%s)", [last]
    ).fetchall()
    assert differing == [("auto.bay", 121, 120), ("auto.lift", None, 5), ("auto.pit", 1, None)]
    row = app.execute(
        "SELECT d.check_code, f.severity, jsonb_array_length(f.evidence -> 'differing')"
        " FROM observability.finding AS f"
        " JOIN observability.check_definition AS d USING (business_id, check_definition_id)"
    ).fetchone()
    assert row == ("generation_not_repeatable", "error", 3)


@pytest.mark.parametrize(
    ("before", "after", "goes"),
    [
        ("running", "failed", True),
        ("running", "cleaned", False),
        ("done", "cleaned", True),
        ("done", "running", False),
        ("done", "failed", False),
        ("cleaned", "done", False),
        ("failed", "cleaned", True),
        ("failed", "done", False),
    ],
)
def test_a_filling_goes_only_where_its_table_says(
    admin: Connection, app: Connection, instance: UUID, before: str, after: str, goes: bool
) -> None:
    admin.execute("RESET ROLE")
    admin.execute(
        "INSERT INTO observability.generation_run (business_id, monitored_instance_id, seed,"
        " scale_factor, tenant_count, status, finished_at) SELECT m.business_id,"
        " m.monitored_instance_id, 1, 1, 1, %(s)s, CASE WHEN %(s)s <> 'running' THEN now() END"
        " FROM observability.monitored_instance AS m",
        {"s": before},
    )
    change = (
        "UPDATE observability.generation_run SET status = %(s)s,"
        " finished_at = CASE WHEN %(s)s <> 'running' THEN now() END"
    )
    if goes:
        admin.execute(change, {"s": after})
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            admin.execute(change, {"s": after})
