"""Load runs are held against budgets, plans against the plan before, values against baselines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.test_critical_query import one, register

BUCKETS = [
    {"le_ms": 10, "count": 500},
    {"le_ms": 45, "count": 450},
    {"le_ms": 80, "count": 49},
    {"le_ms": 200, "count": 1},
]


@pytest.fixture
def run(app: Connection) -> UUID:
    """A running load run against one instance."""
    app.execute(
        "INSERT INTO observability.monitored_instance"
        " (business_id, name, host, database_name, server_version_num, system_identifier)"
        " VALUES (tenant_mgmt.current_business_id(), 'primary', 'db', 'app', 170010, '1')"
    )
    app.execute(
        "INSERT INTO observability.load_scenario"
        " (business_id, code, title, user_mix, target_users, duration_seconds)"
        " VALUES (tenant_mgmt.current_business_id(), 'rush', 'A rush', '{\"all\": 1}', 8, 60)"
    )
    register(app)
    return start(app, "first")


def start(connection: Connection, label: str) -> UUID:
    """A load run under way."""
    found: UUID = one(
        connection,
        "INSERT INTO observability.load_run"
        " (business_id, load_scenario_id, monitored_instance_id, run_label)"
        " SELECT s.business_id, s.load_scenario_id, i.monitored_instance_id, %s"
        " FROM observability.load_scenario AS s, observability.monitored_instance AS i"
        " RETURNING load_run_id",
        label,
    )
    connection.execute(
        "UPDATE observability.load_run SET status = 'running' WHERE load_run_id = %s", [found]
    )
    return found


def finish(
    connection: Connection,
    run: UUID,
    buckets: list[dict[str, int]],
    failures: int = 0,
    cpu: int = 40,
) -> list[tuple[Any, ...]]:
    """Ends a run with one result and evaluates it."""
    counted = sum(bucket["count"] for bucket in buckets)
    connection.execute(
        "INSERT INTO observability.load_endpoint_result (business_id, load_run_id,"
        " critical_query_id, endpoint_name, request_count, failure_count, p50_ms, p95_ms, p99_ms,"
        " max_ms, histogram)"
        " SELECT q.business_id, %s, q.critical_query_id, q.query_code, %s, %s, 1, 2, 3, 1000, %s"
        " FROM observability.critical_query AS q WHERE q.status = 'active'",
        [run, counted + failures, failures, json.dumps(buckets)],
    )
    connection.execute(
        "UPDATE observability.load_run SET status = 'finished', verdict = 'pass',"
        " client_cpu_pct_max = %s, finished_at = now() WHERE load_run_id = %s",
        [cpu, run],
    )
    return connection.execute(
        "SELECT query_code, verdict FROM observability.evaluate_budgets(%s)", [run]
    ).fetchall()


@pytest.mark.parametrize(
    ("quantile", "milliseconds"),
    [(0, 10), (0.5, 10), (0.501, 45), (0.95, 45), (0.951, 80), (0.999, 80), (1, 200)],
)
def test_a_percentile_is_the_bound_that_enough_counts_stay_below(
    app: Connection, quantile: float, milliseconds: int
) -> None:
    assert milliseconds == one(
        app,
        "SELECT observability.histogram_percentile(%s::jsonb, %s::numeric)",
        json.dumps(BUCKETS),
        quantile,
    )


def test_histograms_are_merged_by_concatenation(app: Connection) -> None:
    merged = "SELECT observability.histogram_percentile(%s::jsonb || %s::jsonb, 0.5)"
    fast, slow = [{"le_ms": 5, "count": 10}], [{"le_ms": 90, "count": 11}]
    assert one(app, merged, json.dumps(fast), json.dumps(slow)) == 90


def test_an_empty_histogram_has_no_percentile(app: Connection) -> None:
    assert one(app, "SELECT observability.histogram_percentile('[]', 0.5)") is None


def test_a_budget_that_holds_is_measured_from_the_histogram(app: Connection, run: UUID) -> None:
    assert finish(app, run, BUCKETS) == [("billing.invoice_list", "pass")]
    measured = app.execute(
        "SELECT sample_count, p50_ms, p95_ms, p99_ms, verdict FROM observability.budget_measurement"
    ).fetchall()
    assert measured == [(1000, 10, 45, 80, "pass")]
    assert one(app, "SELECT count(*) FROM observability.budget_breach") == 0


def test_a_budget_at_its_limit_holds(app: Connection, run: UUID) -> None:
    assert finish(app, run, [{"le_ms": 50, "count": 200}])[0][1] == "pass"


def test_a_budget_that_is_missed_opens_a_breach_and_the_second_miss_confirms_it(
    app: Connection, run: UUID
) -> None:
    slow = [{"le_ms": 75, "count": 200}]
    assert finish(app, run, slow)[0][1] == "fail"
    breach = "SELECT metric, ratio, consecutive_runs, status FROM observability.budget_breach"
    assert app.execute(breach.encode()).fetchall() == [("p95", 1.5, 1, "open")]
    finish(app, start(app, "second"), slow)
    assert app.execute(breach.encode()).fetchall() == [("p95", 1.5, 2, "confirmed")]


def test_a_budget_that_holds_again_closes_its_breach(app: Connection, run: UUID) -> None:
    finish(app, run, [{"le_ms": 75, "count": 200}])
    finish(app, start(app, "second"), BUCKETS)
    assert app.execute(
        "SELECT status, resolved_at > opened_at FROM observability.budget_breach"
    ).fetchall() == [("fixed", True)]


def test_a_run_is_measured_once(app: Connection, run: UUID) -> None:
    verdicts = finish(app, run, [{"le_ms": 75, "count": 200}])
    again = app.execute("SELECT * FROM observability.evaluate_budgets(%s)", [run]).fetchall()
    assert again == verdicts
    assert one(app, "SELECT count(*) FROM observability.budget_measurement") == 1
    assert one(app, "SELECT consecutive_runs FROM observability.budget_breach") == 1


def test_an_error_breaks_a_budget_without_errors(app: Connection, run: UUID) -> None:
    assert finish(app, run, BUCKETS, failures=1)[0][1] == "fail"
    assert one(app, "SELECT metric FROM observability.budget_breach") == "errors"


def test_too_few_samples_are_no_verdict(app: Connection, run: UUID) -> None:
    assert finish(app, run, [{"le_ms": 500, "count": 99}])[0][1] == "too_few_samples"
    assert one(app, "SELECT count(*) FROM observability.budget_breach") == 0


@pytest.mark.parametrize(("cpu", "verdict"), [(85, "pass"), (86, "not_comparable")])
def test_a_saturated_driver_is_no_verdict(
    app: Connection, run: UUID, cpu: int, verdict: str
) -> None:
    assert finish(app, run, BUCKETS, cpu=cpu)[0][1] == verdict


def test_the_board_tells_what_part_of_a_budget_was_used(app: Connection, run: UUID) -> None:
    finish(app, run, BUCKETS)
    assert app.execute(
        "SELECT query_code, ratio::float, verdict, open_breaches FROM observability.v_budget_status"
    ).fetchall() == [("billing.invoice_list", 0.9, "pass", 0)]


def test_the_summary_of_a_run_names_its_slowest_query(app: Connection, run: UUID) -> None:
    finish(app, run, BUCKETS)
    assert app.execute(
        "SELECT scenario_code, instance_name, worst_endpoint, worst_p95_ms"
        " FROM observability.v_load_run_summary"
    ).fetchall() == [("rush", "primary", "billing.invoice_list", 2)]


def test_a_histogram_counts_every_request(app: Connection, run: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="holds 1000 of 999 requests"):
        app.execute(
            "INSERT INTO observability.load_endpoint_result"
            " (business_id, load_run_id, endpoint_name, request_count, histogram)"
            " VALUES (tenant_mgmt.current_business_id(), %s, 'x', 999, %s)",
            [run, json.dumps(BUCKETS)],
        )


@pytest.mark.parametrize("mix", ['{"a": 0.5, "b": 0.4}', '{"a": 1.1}', "{}"])
def test_a_mix_that_is_not_whole_is_refused(app: Connection, run: UUID, mix: str) -> None:
    with pytest.raises(errors.CheckViolation, match="do not sum to 1"):
        app.execute("UPDATE observability.load_scenario SET user_mix = %s", [mix])


@pytest.mark.parametrize(
    ("table", "column", "transitions"),
    [
        (
            "load_run",
            "status",
            {
                "starting": {"running", "failed"},
                "running": {"finished", "aborted", "failed"},
                "finished": set(),
                "aborted": set(),
                "failed": set(),
            },
        ),
        (
            "budget_breach",
            "status",
            {
                "open": {"confirmed", "flaky", "fixed", "waived"},
                "confirmed": {"fixed", "waived"},
                "flaky": {"confirmed", "fixed"},
                "waived": {"open"},
                "fixed": {"open"},
            },
        ),
    ],
)
def test_the_state_machine_refuses_every_other_transition(
    app: Connection, run: UUID, table: str, column: str, transitions: dict[str, set[str]]
) -> None:
    finish(app, run, [{"le_ms": 75, "count": 200}])
    for before in transitions:
        for after in transitions.keys() - {before}:
            assert (after in transitions[before]) == _may_become(app, table, column, before, after)


def _may_become(connection: Connection, table: str, column: str, before: str, after: str) -> bool:
    """Whether the row, put into a state without triggers and checks, may be moved on."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("RESET ROLE")
            for name in (f"{table}_status_known", f"{table}_{_TIED[table]}", *_ALSO[table]):
                connection.execute(
                    f"ALTER TABLE observability.{table} DROP CONSTRAINT {name}".encode()
                )
            connection.execute("SET LOCAL session_replication_role = replica")
            connection.execute(f"UPDATE observability.{table} SET {column} = %s".encode(), [before])
            connection.execute("SET LOCAL session_replication_role = origin")
            connection.execute(f"UPDATE observability.{table} SET {column} = %s".encode(), [after])
    except errors.CheckViolation as error:
        assert f"{before} cannot become {after}" in str(error)  # noqa: PT017
        return False
    return True


_TIED = {"load_run": "ended_has_time", "budget_breach": "fixed_has_time"}
_ALSO = {
    "load_run": (
        "load_run_finished_has_verdict",
        "load_run_judged_when_finished",
        "load_run_aborted_has_reason",
    ),
    "budget_breach": (),
}


def plan(node: str, rows: int = 1, **more: Any) -> str:
    """An EXPLAIN document of one node."""
    body = {"Node Type": node, "Relation Name": "invoice", "Plan Rows": 10, "Actual Rows": rows}
    return json.dumps([{"Plan": {**body, **more}, "Planning Time": 0.2, "Execution Time": 1.5}])


def capture(connection: Connection, document: str, at: str) -> None:
    connection.execute(
        "INSERT INTO observability.plan_capture (business_id, critical_query_id, plan, captured_at)"
        " SELECT q.business_id, q.critical_query_id, %s, now() + %s::interval"
        " FROM observability.critical_query AS q",
        [document, at],
    )


def test_a_plan_is_described_and_compared_with_the_one_before(app: Connection) -> None:
    register(app)
    capture(app, plan("Index Scan", **{"Index Name": "invoice_pkey"}), "-3 hours")
    capture(app, plan("Index Scan", 12, **{"Index Name": "invoice_pkey"}), "-2 hours")
    capture(app, plan("Seq Scan", 1000), "-1 hour")
    found = app.execute(
        "SELECT root_node, is_plan_change, misestimate_ratio::float, seq_scan_tables,"
        " execution_ms::float"
        " FROM observability.plan_capture ORDER BY captured_at"
    ).fetchall()
    assert found == [
        ("Index Scan", False, 10, [], 1.5),
        ("Index Scan", False, 1.2, [], 1.5),
        ("Seq Scan", True, 100, ["invoice"], 1.5),
    ]
    assert one(app, "SELECT count(*) FROM observability.v_plan_change") == 1


def test_the_shape_of_a_plan_is_its_tree(app: Connection) -> None:
    def shape(document: str) -> Any:
        return one(app, "SELECT observability.plan_shape_hash(%s::jsonb)", document)

    scan = {"Node Type": "Seq Scan", "Relation Name": "invoice"}
    limit = {"Node Type": "Limit"}
    nested = plan("Sort", Plans=[{**limit, "Plans": [scan]}])
    flat = plan("Sort", Plans=[limit, scan])
    assert shape(nested) != shape(flat)
    assert shape(plan("Sort", 5)) == shape(plan("Sort", 6))
    assert shape(plan("Sort", **{"Schema": "a"})) != shape(plan("Sort", **{"Schema": "b"}))


def test_a_real_plan_of_the_server_is_understood(app: Connection) -> None:
    document = one(
        app,
        "EXPLAIN (ANALYZE, FORMAT JSON)"
        " SELECT * FROM (SELECT generate_series(1, 50) AS n) AS s ORDER BY n DESC",
    )
    nodes = app.execute(
        "SELECT place, node_type FROM observability.plan_nodes(%s::jsonb) ORDER BY place",
        [json.dumps(document)],
    ).fetchall()
    assert nodes[:2] == [([1], "Sort"), ([1, 1], "ProjectSet")]


@pytest.mark.parametrize(("at_least", "found"), [(1000, 1), (1001, 0)])
def test_large_sequential_scans_are_found_at_any_depth(
    app: Connection, at_least: int, found: int
) -> None:
    scan = {
        "Node Type": "Seq Scan",
        "Relation Name": "invoice",
        "Actual Rows": 10,
        "Rows Removed by Filter": 990,
    }
    document = plan("Sort", Plans=[{"Node Type": "Limit", "Plans": [scan]}])
    scans = app.execute(
        "SELECT * FROM observability.plan_seq_scans(%s::jsonb, %s)", [document, at_least]
    ).fetchall()
    assert len(scans) == found


@pytest.mark.parametrize(
    ("key", "base", "lower_is_better", "significant"),
    [
        ("p95_ms", 1, True, True),
        ("p95_ms", 1.9, True, False),
        ("p95_ms", 4, True, False),
        ("max_ms", 2000, False, True),
    ],
)
def test_a_change_for_the_worse_beyond_tolerance_is_significant(
    app: Connection,
    run: UUID,
    key: str,
    base: float,
    lower_is_better: bool,
    significant: bool,
) -> None:
    finish(app, run, BUCKETS)
    app.execute(
        "INSERT INTO observability.baseline (business_id, name, hardware_label)"
        " VALUES (tenant_mgmt.current_business_id(), 'release', '2 cores')"
    )
    app.execute(
        "INSERT INTO observability.baseline_metric (business_id, baseline_id, critical_query_id,"
        " metric_key, unit, value, lower_is_better)"
        " SELECT b.business_id, b.baseline_id, q.critical_query_id, %s, 'ms', %s, %s"
        " FROM observability.baseline AS b, observability.critical_query AS q",
        [key, base, lower_is_better],
    )
    found = app.execute(
        "SELECT c.metric_key, c.significant FROM observability.baseline AS b,"
        " observability.compare_with_baseline(b.baseline_id, %s) AS c",
        [run],
    ).fetchall()
    assert found == [(key, significant)]


def test_one_baseline_of_a_kind_is_accepted(app: Connection) -> None:
    accepted = (
        "INSERT INTO observability.baseline (business_id, name, hardware_label)"
        " VALUES (tenant_mgmt.current_business_id(), %s, '2 cores') RETURNING baseline_id"
    )
    accept = (
        b"UPDATE observability.baseline SET status = 'accepted', accepted_at = now()"
        b" WHERE baseline_id = %s"
    )
    app.execute(accept, [one(app, accepted, "one")])
    with pytest.raises(errors.UniqueViolation, match="baseline_accepted_idx"):
        app.execute(accept, [one(app, accepted, "two")])


def test_a_baseline_is_the_median_of_the_runs_before_it(app: Connection, run: UUID) -> None:
    finish(app, run, BUCKETS)
    app.execute("UPDATE observability.load_run SET started_at = now() - interval '2 days'")
    last = start(app, "second")
    finish(app, last, BUCKETS)
    with as_before(app):
        app.execute("UPDATE observability.load_endpoint_result SET p95_ms = 2.5", [])
        app.execute(
            "UPDATE observability.load_endpoint_result SET p95_ms = 2 WHERE load_run_id = %s", [run]
        )
    taken = one(app, "SELECT observability.take_baseline('release', %s, '2 cores')", last)
    found = app.execute(
        "SELECT metric_key, value::float, round(spread, 3)::float, sample_count"
        " FROM observability.baseline_metric ORDER BY metric_key"
    ).fetchall()
    assert found == [("p50_ms", 1, 0, 2), ("p95_ms", 2.25, 0.354, 2), ("p99_ms", 3, 0, 2)]
    compared = app.execute(
        "SELECT metric_key, significant FROM observability.compare_with_baseline(%s, %s)"
        " ORDER BY metric_key",
        [taken, last],
    ).fetchall()
    assert compared == [("p50_ms", False), ("p95_ms", False), ("p99_ms", False)]


@contextmanager
def as_before(connection: Connection) -> Iterator[None]:
    """Without triggers and row security: figures of the past."""
    connection.execute("RESET ROLE")
    connection.execute("SET LOCAL session_replication_role = replica")
    yield
    connection.execute("SET LOCAL session_replication_role = origin")
    connection.execute("SET LOCAL ROLE app_user")


def test_an_accepted_baseline_retires_the_one_before_it(app: Connection, run: UUID) -> None:
    finish(app, run, BUCKETS)
    for name in ("one", "two"):
        taken = one(app, "SELECT observability.take_baseline(%s, %s, '2 cores')", name, run)
        app.execute("SELECT observability.accept_baseline(%s)", [taken])
    found = app.execute("SELECT name, status FROM observability.baseline ORDER BY name").fetchall()
    assert found == [("one", "retired"), ("two", "accepted")]
    with pytest.raises(errors.NoDataFound, match="there is no candidate"):
        app.execute("SELECT observability.accept_baseline(%s)", [taken])


def test_a_run_whose_driver_was_saturated_is_no_baseline(app: Connection, run: UUID) -> None:
    finish(app, run, BUCKETS, cpu=95)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="cannot be compared with"):
        app.execute("SELECT observability.take_baseline('x', %s, '2 cores')", [run])
