"""A pass stores increments since the last one, finds resets, and can be compared and purged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors, pq

from harness.db import Connection, Target
from loadtests.query import BUNDLED, read
from tests.integration.conftest import add_account, add_tenant, become_app

STATES = ("running", "complete", "partial", "failed")


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def become(connection: Connection, role: str) -> None:
    """Another role from here on, for the tenant as before."""
    connection.execute("RESET ROLE")
    connection.execute(f"SET LOCAL ROLE {role}".encode())


@pytest.fixture
def monitor(admin: Connection, tenant: UUID, instance: UUID) -> Connection:
    """The connection of `admin` as the monitoring role, watching `instance` for `tenant`."""
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    become(admin, "harness_monitor")
    return admin


@pytest.fixture
def instance(admin: Connection, tenant: UUID) -> UUID:
    """The database of the test as a watched instance."""
    return add_instance(admin, tenant, "current_database()")


def add_instance(connection: Connection, tenant: UUID, database: str = "'other'") -> UUID:
    found: UUID = one(
        connection,
        "INSERT INTO observability.monitored_instance (business_id, name, host, database_name,"
        f" server_version_num, system_identifier) VALUES (%s, {database}, 'h', {database},"
        " 170000, '1') RETURNING monitored_instance_id",
        tenant,
    )
    return found


def snap(connection: Connection, instance: UUID, kind: str = "scheduled") -> UUID:
    connection.execute("SELECT pg_stat_clear_snapshot()")
    found: UUID = one(connection, "SELECT observability.take_snapshot(%s, %s)", instance, kind)
    return found


def shift(connection: Connection, source: str, filter_: str, key: str, by: int) -> None:
    """Lets the last pass have counted `by` more of something than it did."""
    connection.execute("RESET ROLE")
    connection.execute(
        "UPDATE observability.counter_state SET counters = (SELECT jsonb_agg("
        f" CASE WHEN {filter_} THEN c || jsonb_build_object(%(key)s::text,"
        " coalesce((c ->> %(key)s)::bigint, 0) + %(by)s) ELSE c END)"
        " FROM jsonb_array_elements(counters::jsonb) AS c) WHERE source = %(source)s".encode(),
        {"source": source, "key": key, "by": by},
    )
    become(connection, "harness_monitor")


def test_the_first_pass_is_an_origin_with_sizes_and_no_increments(
    monitor: Connection, instance: UUID
) -> None:
    run = snap(monitor, instance)
    row = monitor.execute(
        "SELECT status, is_origin, tables_seen, indexes_seen, statements_seen, error_detail"
        " FROM observability.snapshot_run WHERE snapshot_run_id = %s",
        [run],
    ).fetchone()
    tables, indexes = monitor.execute(
        "SELECT (SELECT count(*) FROM pg_statio_user_tables),"
        " (SELECT count(*) FROM pg_stat_user_indexes)"
    ).fetchone() or (0, 0)
    assert row == ("complete", True, tables, indexes, None, None)
    sums = monitor.execute(
        "SELECT count(*), sum(seq_scan + idx_scan + rows_inserted)"
        " FROM observability.table_stat_sample"
    ).fetchone()
    assert sums == (tables, 0)
    assert one(monitor, "SELECT count(*) FROM observability.index_stat_sample") == indexes
    assert one(monitor, "SELECT count(*) FROM observability.io_sample") == 0
    assert one(monitor, "SELECT count(*) FROM observability.setting_change") == 0
    assert one(monitor, "SELECT bool_and(is_valid) FROM observability.index_stat_sample")


def test_the_next_pass_stores_the_difference_of_what_changed(
    monitor: Connection, instance: UUID
) -> None:
    snap(monitor, instance)
    shift(monitor, "tables", "c ->> 'table_name' = 'trial'", "inserted", -10)
    shift(monitor, "indexes", "c ->> 'index_name' = 'trial_pkey'", "idx_scan", -4)
    run = snap(monitor, instance)
    rows = monitor.execute(
        "SELECT rows_inserted, rows_updated FROM observability.table_stat_sample"
        " WHERE snapshot_run_id = %s AND table_name = 'trial'",
        [run],
    ).fetchall()
    assert rows == [(10, 0)]
    scans = monitor.execute(
        "SELECT idx_scan, leads_with_business_id, is_constraint"
        " FROM observability.index_stat_sample"
        " WHERE snapshot_run_id = %s AND index_name = 'trial_pkey'",
        [run],
    ).fetchall()
    assert scans == [(4, True, True)]
    idle = "SELECT count(*) FROM observability.table_stat_sample WHERE snapshot_run_id = %s"
    seen = "SELECT tables_seen FROM observability.snapshot_run WHERE snapshot_run_id = %s"
    assert one(monitor, idle, run) < one(monitor, seen, run), "an idle table has no row"
    assert one(monitor, idle, full := snap(monitor, instance, "manual")) == one(
        monitor, seen, full
    ), "but in a pass that was asked for"


def test_a_counter_that_went_back_starts_anew(monitor: Connection, instance: UUID) -> None:
    snap(monitor, instance)
    shift(monitor, "tables", "c ->> 'table_name' = 'trial'", "updated", 1000)
    run = snap(monitor, instance, "manual")
    row = monitor.execute(
        "SELECT rows_inserted, rows_updated FROM observability.table_stat_sample"
        " WHERE snapshot_run_id = %s AND table_name = 'trial'",
        [run],
    ).fetchone()
    assert row == (0, 0)


def test_a_reset_of_the_statistics_makes_an_origin(monitor: Connection, instance: UUID) -> None:
    first = snap(monitor, instance)
    monitor.execute("UPDATE observability.snapshot_run SET stats_reset_at = '2026-01-01'")
    shift(monitor, "tables", "true", "inserted", -10)
    run = snap(monitor, instance)
    origin = "SELECT is_origin FROM observability.snapshot_run WHERE snapshot_run_id = %s"
    assert one(monitor, origin, run)
    assert (
        one(
            monitor,
            "SELECT sum(rows_inserted) FROM observability.table_stat_sample"
            " WHERE snapshot_run_id = %s",
            run,
        )
        == 0
    )
    assert monitor.execute(
        "SELECT reason FROM observability.comparability_gaps(%s, %s)", [first, run]
    ).fetchall() == [("the statistics were reset",)]


def test_reads_and_writes_are_told_per_kind_of_process(monitor: Connection, instance: UUID) -> None:
    snap(monitor, instance)
    shift(monitor, "io", "c ->> 'backend_type' = 'client backend'", "hits", -500)
    shift(monitor, "io", "c ->> 'io_object' = 'wal'", "timed", -2)
    run = snap(monitor, instance)
    hits = (
        "SELECT min(hits) FROM observability.io_sample WHERE snapshot_run_id = %s"
        " AND backend_type = 'client backend'"
    )
    assert one(monitor, hits, run) >= 500
    checkpoints = (
        "SELECT checkpoints_timed FROM observability.io_sample WHERE snapshot_run_id = %s"
        " AND io_object = 'wal'"
    )
    assert one(monitor, checkpoints, run) >= 2


def test_a_changed_setting_is_seen_and_makes_passes_incomparable(
    monitor: Connection, instance: UUID
) -> None:
    first = snap(monitor, instance)
    monitor.execute("RESET ROLE")
    monitor.execute(
        "UPDATE observability.counter_state SET counters = (SELECT jsonb_agg(CASE c ->> 'name'"
        " WHEN 'work_mem' THEN c || '{\"value\": \"77\"}' WHEN 'log_statement'"
        ' THEN c || \'{"value": "odd"}\' ELSE c END)'
        " FROM jsonb_array_elements(counters::jsonb) AS c) WHERE source = 'settings'"
    )
    become(monitor, "harness_monitor")
    second = snap(monitor, instance)
    rows = monitor.execute(
        "SELECT setting_name, old_value, affects_comparability"
        " FROM observability.setting_change ORDER BY 1"
    ).fetchall()
    assert rows == [("log_statement", "odd", False), ("work_mem", "77", True)]
    gaps = monitor.execute(
        "SELECT reason, detail LIKE 'work_mem: %%, was 77'"
        " FROM observability.comparability_gaps(%s, %s)",
        [first, second],
    ).fetchall()
    assert gaps == [("a setting was changed", True)]
    third = snap(monitor, instance)
    compared = "SELECT count(*) FROM observability.comparability_gaps(%s, %s)"
    assert one(monitor, compared, second, third) == 0


@pytest.fixture
def statements(admin: Connection) -> None:
    """pg_stat_statements in a schema of its own."""
    loaded = "pg_stat_statements" in one(admin, "SHOW shared_preload_libraries")
    if not loaded and "HARNESS_TEST_DSN" in os.environ:
        pytest.skip("the server that HARNESS_TEST_DSN names does not load pg_stat_statements")
    assert loaded, "the embedded server loads pg_stat_statements"
    admin.execute("CREATE SCHEMA elsewhere")
    admin.execute("CREATE EXTENSION pg_stat_statements SCHEMA elsewhere")
    admin.execute("GRANT USAGE ON SCHEMA elsewhere TO pg_monitor")


@pytest.mark.usefixtures("statements")
def test_statements_are_counted_between_passes(monitor: Connection, instance: UUID) -> None:
    first = snap(monitor, instance)
    assert one(monitor, "SELECT count(*) FROM observability.query_stat_sample") == 0
    for number in range(3):
        monitor.execute(f"SELECT {number} AS marker_of_this_test, true AS first".encode())
    second = snap(monitor, instance)
    row = monitor.execute(
        "SELECT s.calls, s.rows_returned, f.statement_kind, f.parsed_by, f.has_business_filter,"
        " s.role_name, s.mean_exec_ms = round(s.total_exec_ms / s.calls, 3), f.text_sha256 ="
        " sha256(convert_to(f.normalized_text, 'UTF8')) FROM observability.query_stat_sample AS s"
        " JOIN observability.query_fingerprint AS f USING (business_id, query_fingerprint_id)"
        " WHERE f.normalized_text = 'SELECT $1 AS marker_of_this_test, $2 AS first'"
    ).fetchone()
    assert row == (3, 3, "select", "none", None, "harness_monitor", True, True)
    top = monitor.execute(
        "SELECT normalized_text, calls FROM observability.query_stats_between(%s, %s, 'calls', 500)"
        " WHERE normalized_text ~ 'marker_of_this_test'",
        [first, second],
    ).fetchall()
    assert top == [("SELECT $1 AS marker_of_this_test, $2 AS first", 3)]


@pytest.mark.usefixtures("statements")
def test_a_statement_that_was_evicted_counts_from_its_return(
    monitor: Connection, instance: UUID
) -> None:
    snap(monitor, instance)
    monitor.execute("SELECT 1 AS marker_of_return, 1.5 AS second")
    snap(monitor, instance)
    monitor.execute("RESET ROLE")
    monitor.execute(
        "UPDATE observability.counter_state SET counters = (SELECT jsonb_agg(c ||"
        ' \'{"stats_since": "2020-01-01T00:00:00Z", "calls": 99999}\')'
        " FROM jsonb_array_elements(counters::jsonb) AS c) WHERE source = 'statements'"
    )
    monitor.execute(
        "SELECT elsewhere.pg_stat_statements_reset(0, d.oid) FROM pg_database AS d"
        " WHERE d.datname = current_database()"
    )
    become(monitor, "harness_monitor")
    monitor.execute("SELECT 1 AS marker_of_return, 1.5 AS second")
    run = snap(monitor, instance)
    calls = (
        "SELECT s.calls FROM observability.query_stat_sample AS s"
        " JOIN observability.query_fingerprint AS f USING (business_id, query_fingerprint_id)"
        " WHERE s.snapshot_run_id = %s"
        " AND f.normalized_text = 'SELECT $1 AS marker_of_return, $2 AS second'"
    )
    assert one(monitor, calls, run) == 1


@pytest.mark.usefixtures("statements")
def test_a_password_in_a_statement_is_not_stored(monitor: Connection, instance: UUID) -> None:
    snap(monitor, instance)
    monitor.execute("RESET ROLE")
    monitor.execute("CREATE ROLE someone_of_this_test PASSWORD 'hunter2'")
    become(monitor, "harness_monitor")
    snap(monitor, instance)
    text = one(
        monitor,
        "SELECT normalized_text FROM observability.query_fingerprint"
        " WHERE normalized_text ~ 'someone_of_this_test PASSWORD'",
    )
    assert text.endswith("PASSWORD '***'")


def test_statistics_that_a_role_may_not_read_make_a_pass_partial(
    monitor: Connection, instance: UUID
) -> None:
    monitor.execute("RESET ROLE")
    monitor.execute("REVOKE SELECT ON pg_catalog.pg_stat_io FROM PUBLIC")
    become(monitor, "harness_monitor")
    snap(monitor, instance)
    snap(monitor, instance)
    row = monitor.execute(
        "SELECT status, error_detail FROM observability.snapshot_run"
        " ORDER BY started_at DESC LIMIT 1"
    ).fetchone()
    assert row == ("partial", "io: permission denied for view pg_stat_io")


def test_a_pass_is_of_the_database_it_runs_in(monitor: Connection, tenant: UUID) -> None:
    monitor.execute("RESET ROLE")
    other = add_instance(monitor, tenant)
    become(monitor, "harness_monitor")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="is database other"):
        snap(monitor, other)


def test_a_pass_of_an_unknown_instance_is_refused(monitor: Connection) -> None:
    with pytest.raises(errors.NoDataFound, match="there is no instance"):
        snap(monitor, uuid4())


@pytest.fixture
def sessions(deployed: Target) -> Iterator[tuple[Connection, Connection]]:
    """One session in a transaction that holds a lock, one that asks for it."""
    name = f"bh:{uuid4()}"
    with (
        psycopg.connect(deployed.admin, application_name=name) as holder,
        psycopg.connect(deployed.admin, application_name="blocked") as waiting,
    ):
        holder.execute("SELECT pg_advisory_xact_lock(4711)")
        waiting.pgconn.send_query(b"SELECT pg_advisory_lock(4711)")
        asks = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = %s"
        while not one(holder, asks, waiting.info.backend_pid):
            pass
        yield holder, waiting
        holder.rollback()
        while waiting.pgconn.get_result() is not None:
            pass
        assert waiting.pgconn.transaction_status == pq.TransactionStatus.IDLE


@pytest.mark.usefixtures("sessions")
def test_who_waits_for_whom_is_sampled(monitor: Connection, instance: UUID) -> None:
    snap(monitor, instance)
    rows = monitor.execute(
        "SELECT state, wait_event_type, lock_mode, session_count, application_name LIKE 'bh:%'"
        " FROM observability.wait_sample WHERE application_name ~ '^(bh:|blocked)' ORDER BY state"
    ).fetchall()
    assert rows == [
        ("blocked", "Lock", "ExclusiveLock", 1, False),
        ("idle_in_transaction", "Client", None, 1, True),
    ]


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
def test_a_pass_ends_once(
    admin: Connection, tenant: UUID, instance: UUID, before: str, after: str
) -> None:
    change = (
        "UPDATE observability.snapshot_run SET status = %(s)s, error_detail = 'x',"
        " finished_at = CASE WHEN %(s)s <> 'running' THEN started_at END"
    )
    admin.execute(
        "INSERT INTO observability.snapshot_run (business_id, monitored_instance_id, status,"
        " error_detail, finished_at) VALUES (%(t)s, %(i)s, %(s)s, 'x',"
        " CASE WHEN %(s)s <> 'running' THEN now() END)",
        {"t": tenant, "i": instance, "s": before},
    )
    if before in ("running", after):
        admin.execute(change, {"s": after})
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            admin.execute(change, {"s": after})


def add_run(
    connection: Connection,
    instance: UUID,
    age: str = "0 s",
    kind: str = "scheduled",
    *,
    timed: bool = False,
    origin: bool = False,
) -> UUID:
    """A complete pass that began `age` ago."""
    found: UUID = one(
        connection,
        "INSERT INTO observability.snapshot_run (business_id, monitored_instance_id, kind, status,"
        " track_io_timing, is_origin, postmaster_started_at, started_at, finished_at)"
        " SELECT m.business_id, m.monitored_instance_id, %s, 'complete', %s, %s, '2026-01-01',"
        " now() - %s::interval, now() - %s::interval FROM observability.monitored_instance AS m"
        " WHERE m.monitored_instance_id = %s RETURNING snapshot_run_id",
        kind,
        timed,
        origin,
        age,
        age,
        instance,
    )
    return found


def add_index(connection: Connection, run: UUID, name: str, **columns: Any) -> None:
    values = {"schema_name": "auto", "table_name": "bay", "index_name": name, **columns}
    names = ", ".join(values)
    marks = ", ".join(["%s"] * len(values))
    connection.execute(
        "INSERT INTO observability.index_stat_sample (business_id, snapshot_run_id, sampled_at,"
        f" {names}) SELECT r.business_id, r.snapshot_run_id, r.started_at, {marks}"
        " FROM observability.snapshot_run AS r WHERE r.snapshot_run_id = %s".encode(),
        [*values.values(), run],
    )


def test_an_invalid_index_opens_a_finding_until_it_is_gone(
    monitor: Connection, instance: UUID
) -> None:
    add_index(monitor, add_run(monitor, instance, "2 h"), "good_idx")
    assert one(monitor, "SELECT count(*) FROM observability.finding") == 0
    for age in ("90 min", "60 min"):
        add_index(monitor, add_run(monitor, instance, age), "bad_idx", is_valid=False)
    row = monitor.execute(
        "SELECT severity, status, object_name, occurrences FROM observability.finding"
    ).fetchone()
    assert row == ("error", "open", "bad_idx", 2)
    snap(monitor, instance)
    assert one(monitor, "SELECT status FROM observability.finding") == "fixed"
    add_index(monitor, add_run(monitor, instance, "1 min"), "bad_idx", is_valid=False)
    assert one(monitor, "SELECT status FROM observability.finding") == "reopened"


def test_an_index_is_unused_when_no_scan_used_it_since_the_origin(
    admin: Connection, app: Connection, instance: UUID
) -> None:
    old = add_run(app, instance, "50 days", origin=True)
    add_index(app, old, "before_idx")
    origin = add_run(app, instance, "40 days", origin=True)
    for name in ("idle_idx", "key", "used_idx"):
        add_index(app, origin, name, is_constraint=name == "key", index_bytes=100)
    later = add_run(app, instance, "1 day")
    add_index(app, later, "used_idx", idx_scan=1, idx_tup_read=1)
    add_index(app, later, "idle_idx", index_bytes=200)
    rows = app.execute(
        "SELECT index_name, index_bytes, reason_to_keep FROM observability.v_unused_index"
        " ORDER BY index_name"
    ).fetchall()
    assert rows == [("idle_idx", 200, None), ("key", 100, "a constraint stands on it")]


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ("idx_scan", "increments_not_negative"),
        ("index_bytes", "size_not_negative"),
        ("idx_tup_fetch", "fetched_was_read"),
    ],
)
def test_an_impossible_index_sample_is_refused(
    app: Connection, instance: UUID, columns: str, constraint: str
) -> None:
    value = 1 if columns == "idx_tup_fetch" else -1
    with pytest.raises(errors.CheckViolation, match=constraint):
        add_index(app, add_run(app, instance), "x", **{columns: value})


def test_times_of_reads_need_timing(app: Connection, instance: UUID) -> None:
    insert = (
        "INSERT INTO observability.io_sample (business_id, snapshot_run_id, backend_type,"
        " io_object, io_context, reads, read_ms) VALUES (tenant_mgmt.current_business_id(), %s,"
        " 'client backend', 'relation', 'normal', 1, 0.5)"
    )
    app.execute(insert, [add_run(app, instance, "1 h", timed=True)])
    with pytest.raises(errors.CheckViolation, match="did not time"):
        app.execute(insert, [add_run(app, instance)])


def test_samples_are_not_changed(admin: Connection, app: Connection, instance: UUID) -> None:
    add_index(app, add_run(app, instance), "x")
    with pytest.raises(errors.InsufficientPrivilege), app.transaction():
        app.execute("DELETE FROM observability.index_stat_sample")
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute("UPDATE observability.index_stat_sample SET idx_scan = 1")


def add_statement(connection: Connection, number: int) -> UUID:
    found: UUID = one(
        connection,
        "INSERT INTO observability.query_fingerprint (business_id, query_id, database_name,"
        " normalized_text, statement_kind) VALUES (tenant_mgmt.current_business_id(), %s, 'd',"
        " %s, 'select') RETURNING query_fingerprint_id",
        number,
        f"SELECT {number}",
    )
    return found


def add_calls(
    connection: Connection, run: UUID, statement: UUID, calls: int, ms: int, reads: int = 0
) -> None:
    connection.execute(
        "INSERT INTO observability.query_stat_sample (business_id, snapshot_run_id,"
        " query_fingerprint_id, role_name, calls, total_exec_ms, max_exec_ms, shared_blks_read,"
        " sampled_at) SELECT r.business_id, r.snapshot_run_id, %s, 'app_user', %s, %s, %s, %s,"
        " r.started_at FROM observability.snapshot_run AS r WHERE r.snapshot_run_id = %s",
        [statement, calls, ms, ms, reads, run],
    )


@pytest.fixture
def three_passes(app: Connection, instance: UUID) -> list[UUID]:
    """Statement 1 is slow, 2 is called often, 3 reads; the first pass is before the interval."""
    runs = [add_run(app, instance, age) for age in ("50 min", "30 min", "10 min")]
    slow, often, reading = (add_statement(app, number) for number in (1, 2, 3))
    add_calls(app, runs[0], slow, 1, 9000)
    add_calls(app, runs[1], slow, 1, 600)
    add_calls(app, runs[1], often, 100, 100)
    add_calls(app, runs[2], often, 100, 100)
    add_calls(app, runs[2], reading, 4, 200, reads=70)
    return runs


@pytest.mark.parametrize(
    ("by", "first", "calls"), [("time", 1, 1), ("calls", 2, 200), ("reads", 3, 4)]
)
def test_statements_between_two_passes_are_summed_and_ordered(
    app: Connection, three_passes: list[UUID], by: str, first: int, calls: int
) -> None:
    row = app.execute(
        "SELECT normalized_text, calls, mean_exec_ms = total_exec_ms / calls, time_share_pct"
        " FROM observability.query_stats_between(%s, %s, %s, 1)",
        [three_passes[0], three_passes[2], by],
    ).fetchone()
    share = {1: 60, 2: 20, 3: 20}[first]
    assert row == (f"SELECT {first}", calls, True, share)


def test_an_unknown_order_or_passes_the_wrong_way_round_are_refused(
    app: Connection, three_passes: list[UUID]
) -> None:
    call = "SELECT * FROM observability.query_stats_between(%s, %s, %s)"
    with pytest.raises(errors.InvalidParameterValue, match="not ordered by"), app.transaction():
        app.execute(call, [three_passes[0], three_passes[2], "size"])
    with pytest.raises(errors.NoDataFound, match="no pass of one instance"):
        app.execute(call, [three_passes[2], three_passes[0], "time"])


@pytest.mark.usefixtures("three_passes")
def test_the_last_hours_statements_are_ranked_each_way(app: Connection) -> None:
    rows = app.execute(
        "SELECT normalized_text, calls, time_rank, read_rank FROM observability.v_top_query"
        " ORDER BY time_rank, normalized_text"
    ).fetchall()
    assert rows == [("SELECT 1", 2, 1, 2), ("SELECT 2", 200, 2, 2), ("SELECT 3", 4, 2, 1)]


@pytest.mark.parametrize(("latest", "calls"), [("5 min", 8), ("40 min", 3)])
def test_the_board_of_statements_sums_no_more_than_eight_passes(
    app: Connection, instance: UUID, tenant: UUID, latest: str, calls: int
) -> None:
    statement = add_statement(app, 1)
    for number in range(1, 11):
        add_calls(app, add_run(app, instance, f"{number * 5} min"), statement, 1, 10)
    other = add_instance(app, tenant)
    add_calls(app, add_run(app, other, "5 min"), statement, 100, 10)
    board = read(BUNDLED / "observability" / "top_queries.sql", BUNDLED)
    given = {"business_id": tenant, "monitored_instance_id": instance}
    moment = one(app, "SELECT now() - %s::interval", latest)
    told = app.execute(board.statement.encode(), {**given, "started_at": moment}).fetchall()
    assert [(row[2], row[4]) for row in told] == [("SELECT 1", calls)]


def test_the_hour_and_the_growth_of_a_day_are_published_by_tenant(
    admin: Connection, app: Connection, instance: UUID
) -> None:
    runs = [add_run(app, instance, age) for age in ("50 h", "25 h", "24 h")]
    statement = add_statement(app, 1)
    for run, rows in zip(runs, (10, 20, 45), strict=True):
        add_calls(app, run, statement, 2, 10)
        app.execute(
            "INSERT INTO observability.table_stat_sample (business_id, snapshot_run_id,"
            " schema_name, table_name, live_rows, sampled_at) SELECT r.business_id,"
            " r.snapshot_run_id, 'auto', 'bay', %s, date_trunc('day', now(), 'UTC')"
            " - interval '49 hours' + %s * interval '22 hours'"
            " FROM observability.snapshot_run AS r WHERE r.snapshot_run_id = %s",
            [rows, runs.index(run), run],
        )
    become(admin, "matview_owner")
    admin.execute("REFRESH MATERIALIZED VIEW observability.mv_query_hourly")
    admin.execute("REFRESH MATERIALIZED VIEW observability.mv_table_growth")
    become(admin, "app_user")
    assert one(app, "SELECT sum(calls) FROM observability.v_query_hourly") == 6
    assert one(app, "SELECT max(mean_exec_ms) FROM observability.v_query_hourly") == 5
    growth = "SELECT live_rows, rows_grown FROM observability.v_table_growth ORDER BY day_on"
    assert app.execute(growth.encode()).fetchall() == [(10, None), (20, 10), (45, 25)]
    app.execute("SELECT tenant_mgmt.set_tenant(%s)", [uuid4()])
    assert one(app, "SELECT count(*) FROM observability.v_query_hourly") == 0


def test_tenants_are_sized_without_reading_their_tables(
    admin: Connection, tenant: UUID, instance: UUID
) -> None:
    other = add_tenant(admin, "second")
    for number in range(6):
        add_account(admin, tenant, f"a{number}")
    for number in range(2):
        add_account(admin, other, f"b{number}")
    admin.execute("ANALYZE user_mgmt.user_account")
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    run = add_run(admin, instance)
    become(admin, "harness_loader")
    assert one(admin, "SELECT observability.sample_tenant_sizes(%s)", run) >= 2
    rows = admin.execute(
        "SELECT subject_business_id, row_count, share_of_rows_pct, largest_table"
        " FROM observability.tenant_size_sample WHERE schema_name = 'user_mgmt'"
        " ORDER BY row_count DESC"
    ).fetchall()
    assert rows == [(tenant, 6, 75, "user_account"), (other, 2, 25, "user_account")]


def test_only_who_sees_all_tenants_sizes_them(admin: Connection, app: Connection) -> None:
    admin.execute("RESET ROLE")
    admin.execute("GRANT EXECUTE ON FUNCTION observability.sample_tenant_sizes(uuid) TO app_user")
    admin.execute("SET LOCAL ROLE app_user")
    with pytest.raises(errors.InsufficientPrivilege, match="cannot see the sizes"):
        app.execute("SELECT observability.sample_tenant_sizes(%s)", [uuid4()])


@pytest.mark.parametrize(
    ("sizes", "gini"), [([50, 50, 50], 0), ([6, 2], 0.25), ([0, 0, 0, 100], 0.75), ([7], 0)]
)
def test_skew_is_measured_by_gini(
    app: Connection, instance: UUID, sizes: list[int], gini: float
) -> None:
    run = add_run(app, instance)
    for size in sizes:
        app.execute(
            "INSERT INTO observability.tenant_size_sample (business_id, snapshot_run_id,"
            " subject_business_id, schema_name, row_count, share_of_rows_pct)"
            " VALUES (tenant_mgmt.current_business_id(), %s, %s, 'auto', %s, 0)",
            [run, uuid4(), size],
        )
    rows = app.execute(
        "SELECT row_count, rows_share_pct, gini FROM observability.tenant_skew(%s)", [run]
    ).fetchall()
    assert [row[0] for row in rows] == sorted(sizes, reverse=True)
    assert sum(row[1] for row in rows) == pytest.approx(100, abs=0.001)
    assert {float(row[2]) for row in rows} == {gini}


@pytest.fixture
def old_partitions(admin: Connection) -> None:
    """Two months of 2020, and rows of 2019 in the default partition."""
    become(admin, "app_owner")
    for month in (1, 2):
        admin.execute(
            f"CREATE TABLE observability.io_sample_p20200{month}01 PARTITION OF"
            f" observability.io_sample FOR VALUES FROM ('2020-0{month}-01')"
            f" TO ('2020-0{month + 1}-01')".encode()
        )
    admin.execute("RESET ROLE")


def partitions(connection: Connection) -> set[str]:
    rows = connection.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent = 'observability.io_sample'::regclass"
    ).fetchall()
    return {name.removeprefix("observability.io_sample_") for (name,) in rows}


@pytest.mark.usefixtures("old_partitions")
def test_old_partitions_go_and_those_of_a_baseline_stay(
    admin: Connection, tenant: UUID, instance: UUID
) -> None:
    admin.execute(
        "INSERT INTO observability.baseline (business_id, name, hardware_label, taken_at)"
        " VALUES (%s, 'b', '8 cores', '2020-02-10')",
        [tenant],
    )
    before = partitions(admin)
    become(admin, "harness_loader")
    assert one(admin, "SELECT observability.purge_samples('10 years')") == 0
    assert one(admin, "SELECT observability.purge_samples('200 days')") == 1
    assert before - partitions(admin) == {"p20200101"}
    admin.execute("UPDATE observability.baseline SET status = 'retired'")
    assert one(admin, "SELECT observability.purge_samples('200 days')") == 1
    assert before - partitions(admin) == {"p20200101", "p20200201"}


@pytest.mark.usefixtures("old_partitions")
def test_a_pass_of_kind_baseline_keeps_its_partition(
    admin: Connection, tenant: UUID, instance: UUID
) -> None:
    add_run(admin, instance, "0 s", "baseline")
    admin.execute(
        "UPDATE observability.snapshot_run SET started_at = '2020-01-05',"
        " finished_at = '2020-01-05'"
    )
    before = partitions(admin)
    become(admin, "harness_loader")
    one(admin, "SELECT observability.purge_samples('200 days')")
    assert before - partitions(admin) == {"p20200201"}


def test_old_rows_of_the_default_partition_go(
    admin: Connection, app: Connection, instance: UUID
) -> None:
    add_index(app, add_run(app, instance, "5 years"), "x")
    become(admin, "harness_loader")
    assert one(admin, "SELECT observability.purge_samples('200 days')") == 1
    assert one(admin, "SELECT count(*) FROM observability.index_stat_sample") == 0


@pytest.mark.parametrize(
    ("role", "keep", "error"),
    [
        ("app_owner", "90 days", "cannot see the baselines"),
        ("harness_loader", "1 hour", "of the last day stay"),
        ("app_user", "90 days", "permission denied"),
    ],
)
def test_not_everybody_purges_and_not_everything(
    admin: Connection, app: Connection, role: str, keep: str, error: str
) -> None:
    become(admin, role)
    with pytest.raises(errors.Error, match=error):
        admin.execute("SELECT observability.purge_samples(%s)", [keep])


def test_a_scrape_tells_passes_findings_checks_and_loads(
    admin: Connection, app: Connection, tenant: UUID, instance: UUID
) -> None:
    add_run(app, instance, "1 h")
    add_index(app, add_run(app, instance), "bad_idx", is_valid=False)
    app.execute(
        "INSERT INTO observability.check_run (business_id, family, verdict, objects_checked,"
        " finished_at) VALUES (%s, 'isolation', 'pass', 7, now())",
        [tenant],
    )
    rows = app.execute("SELECT * FROM observability.export_metrics()").fetchall()
    metrics = {(name, *labels.values()): value for name, labels, value in rows}
    database = one(app, "SELECT current_database()")
    moment = one(app, "SELECT extract(epoch FROM now())::double precision")
    assert metrics["harness_snapshot_last_success_timestamp_seconds", database] == moment
    assert metrics["harness_findings", "error"] == 1
    assert metrics["harness_findings", "critical"] == 0
    assert metrics["harness_isolation_leaks",] == 0
    assert metrics["harness_check_passed", "isolation"] == 1
    assert metrics["harness_check_objects", "isolation"] == 7
    assert metrics["harness_budget_breaches", "open"] == 0
    assert len(metrics) == len(rows), "no series twice"


def test_other_tenants_see_nothing_of_it(
    admin: Connection, app: Connection, instance: UUID
) -> None:
    run = add_run(app, instance)
    add_index(app, run, "x")
    admin.execute("RESET ROLE")
    become_app(admin, add_tenant(admin, "second"))
    assert one(app, "SELECT count(*) FROM observability.index_stat_sample") == 0
    assert one(app, "SELECT count(*) FROM observability.tenant_skew(%s)", run) == 0
