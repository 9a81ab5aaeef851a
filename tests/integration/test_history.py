"""Runs are remembered whole, taken apart by the database, and read back in a line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from harness.config import FailOn, Settings
from harness.db import Target, connect
from harness.errors import RefusedError, UsageError
from harness.finding import Finding, Severity
from harness.history import counters, database, read, store
from harness.history.counters import Counters
from harness.history.database import as_operator
from harness.run import (
    Attacked,
    Environment,
    FillResult,
    LoadResult,
    ProbeResult,
    Run,
    Stage,
    TableFill,
    from_json,
    now,
    to_json,
)
from tests.integration.spares import database as made_database
from tests.unit.conftest import query_result

RULES = [{"code": "RLS001", "title": "Not enabled", "severity": "error", "why": "All is seen."}]
FINDING = Finding("RLS001", Severity.ERROR, "rest.check", "row security is off", "All is seen.")
HELD = tuple(Stage(n, "held", 1.5) for n in ("check static", "fill", "check isolation", "load"))


@pytest.fixture(scope="module")
def prepared(server: Target, settings: Settings) -> Iterator[Target]:
    """An empty history."""
    with made_database(server, settings) as empty, history(empty, settings) as target:
        yield target


@pytest.fixture
def past(
    prepared: Target, copy_of: Callable[[Target], Target], settings: Settings
) -> Iterator[Target]:
    """An empty history, in a database of its own."""
    with history(copy_of(prepared), settings) as target:
        yield target


def history(at: Target, settings: Settings) -> Any:
    """The history in a database that a DSN names."""
    given = settings.model_copy(update={"history_dsn": SecretStr(at.admin)})
    return database.history(given, lambda *_: pytest.fail("there is nothing to restore"))


def made(minutes_ago: int = 0, **changed: Any) -> Run:
    """A run in which everything held, some minutes ago."""
    ended = now() - timedelta(minutes=minutes_ago)
    run = Run(
        id=uuid4().hex,
        command="run",
        started_at=ended - timedelta(seconds=40),
        finished_at=ended,
        environment=Environment(
            "0.1.0", "3.11.7", "Linux", 2, 2**34, "17.10", "harness on /run/pg:5432", "0" * 12, "7"
        ),
        stages=HELD,
        fill=FillResult(1, 0.02, 3, ended, 4.0, (TableFill("rest.check", 900, 0.5),)),
        probes=(ProbeResult("rest.check", "select", "held", "read 0 rows"),),
        attacked=Attacked(str(uuid4()), str(uuid4())),
        load=LoadResult(8, 20.0, 3.0, 410.0, (query_result(statement="SELECT 1"),)),
    )
    return replace(run, **changed)


def rows(past: Target, query: str) -> list[tuple[Any, ...]]:
    with connect(past.app) as connection:
        as_operator(connection)
        return connection.execute(query.encode()).fetchall()


def test_a_run_is_read_back_in_a_line(past: Target) -> None:
    run = made()
    store.store(past, run, RULES)
    (found,) = read.read(past, 5).runs
    assert found.id.hex == run.id
    assert (found.held, found.seconds, found.rows, found.commit) == (True, 40, 900, "0" * 12)
    assert (found.probes, found.leaks, found.queries, found.missed) == (1, 0, 1, 0)


def test_what_was_only_noted_lets_a_run_hold(past: Target) -> None:
    noted = ProbeResult("harness", "size", "noted", "EXPLAIN estimates 3581")
    weak = ProbeResult("rest.check", "duplicate_key", "weak", "(email) is refused as taken")
    store.store(past, made(minutes_ago=9, probes=(noted,)), RULES)
    store.store(past, made(probes=(noted, weak)), RULES)
    assert [run.held for run in read.read(past, 5).runs] == [False, True]


def test_a_run_is_stored_once(past: Target) -> None:
    run = made()
    store.store(past, run, RULES)
    store.store(past, run, RULES)
    assert len(read.read(past, 5).runs) == 1


def test_the_newest_runs_come_first_and_trends_begin_with_the_oldest(past: Target) -> None:
    fast = query_result(statement="SELECT 1")
    assert fast.latency
    slow = replace(fast, latency=replace(fast.latency, p95=30.0, p99=31.0, max=32.0))
    store.store(past, made(minutes_ago=9), RULES)
    store.store(past, made(load=LoadResult(8, 20.0, 3.0, 9.0, (slow,))), RULES)
    found = read.read(past, 5)
    assert found.runs[0].started_at > found.runs[1].started_at
    (trend,) = found.trends
    assert (trend.query, trend.budget_ms, trend.p95_ms) == ("rest.station_queue", 40, [0.95, 30.0])
    assert len(read.read(past, 1).runs) == 1
    assert read.from_json(read.to_json(found)) == found


def test_the_parts_of_a_run_are_stored_where_they_belong(past: Target) -> None:
    store.store(past, made(), RULES)
    assert rows(past, "SELECT name, server_version_num FROM observability.monitored_instance") == [
        ("harness @ 7", 170010)
    ]
    assert rows(
        past,
        "SELECT seed, tenant_count, rows_total, status FROM observability.generation_run",
    ) == [(1, 3, 900, "done")]
    assert rows(past, "SELECT family, verdict FROM observability.check_run ORDER BY 1") == [
        ("isolation", "pass"),
        ("static_sql", "pass"),
    ]
    assert rows(past, "SELECT attempt, outcome FROM observability.isolation_probe") == [
        ("select", "isolated")
    ]
    assert rows(past, "SELECT status, verdict, users_peak FROM observability.load_run") == [
        ("finished", "pass", 8)
    ]
    assert rows(past, "SELECT sample_count, verdict FROM observability.budget_measurement") == [
        (100, "pass")
    ]


def test_a_finding_is_closed_when_it_is_gone_and_opened_when_it_is_back(past: Target) -> None:
    failed = (replace(HELD[0], status="failed"), *HELD[1:])
    status = "SELECT status, occurrences FROM observability.finding"
    store.store(past, made(9, findings=(FINDING,), stages=failed), RULES)
    assert rows(past, status) == [("open", 1)]
    assert rows(past, "SELECT fingerprint FROM observability.finding") == [(FINDING.fingerprint,)]
    store.store(past, made(6), RULES)
    assert rows(past, status) == [("fixed", 1)]
    store.store(past, made(3, findings=(FINDING,), stages=failed), RULES)
    assert rows(past, status) == [("reopened", 2)]
    assert not read.read(past, 1).runs[0].held


def test_the_run_says_which_findings_fail_it(past: Target) -> None:
    held: list[FailOn] = []
    for fail_on in get_args(FailOn):
        run = made(findings=(replace(FINDING, severity=Severity.WARNING),), fail_on=fail_on)
        document = to_json(run).replace("'", "''")
        ((has_held,),) = rows(past, f"SELECT observability.has_held('{document}')")
        assert has_held is run.held
        held += [fail_on] if has_held else []
    assert held == ["error", "never"]


def test_a_leak_becomes_a_critical_finding(past: Target) -> None:
    leak = (ProbeResult("rest.tip", "select", "leak", "read 7 rows"),)
    store.store(past, made(probes=leak), RULES)
    assert rows(past, "SELECT severity, object_name FROM observability.finding") == [
        ("critical", "rest.tip")
    ]
    assert (found := read.read(past, 1).runs[0]).leaks == 1
    assert not found.held


def test_a_missed_budget_opens_a_breach(past: Target) -> None:
    slow = query_result(budget_ms=0.5, statement="SELECT 1", verdict="miss", reason="p95 0.95 ms")
    store.store(past, made(load=LoadResult(8, 20.0, 3.0, 9.0, (slow,))), RULES)
    assert rows(past, "SELECT metric, status FROM observability.budget_breach") == [("p95", "open")]
    assert rows(past, "SELECT verdict FROM observability.load_run") == [("fail",)]


def test_what_the_server_counted_during_the_load_is_stored(past: Target) -> None:
    before = counters.read(past)
    rows(past, "SELECT count(*) FROM observability.harness_run")
    after = counters.read(past)
    assert before
    assert after
    # The counters of this database, as if a run had been against it.
    name, cluster = rows(
        past,
        "SELECT current_database()::text, system_identifier::text FROM pg_control_system()",
    )[0]
    run = made()
    here = replace(run.environment, database=f"{name} on /run/pg:5432", system_identifier=cluster)
    store.store(past, replace(run, environment=here), RULES)
    counters.store(past, run.id, Counters(before, after))
    passes = "SELECT kind, status, is_origin, load_run_id IS NOT NULL, tables_seen > 200"
    assert rows(past, f"{passes} FROM observability.snapshot_run ORDER BY started_at") == [
        ("before_load", "complete", True, True, True),
        ("after_load", "complete", False, True, True),
    ]


def test_a_schema_without_the_reader_of_counters_has_none(database: Target) -> None:
    assert counters.read(database) is None


def test_a_run_without_fill_checks_or_load_is_remembered_too(past: Target) -> None:
    store.store(past, made(fill=None, probes=(), attacked=None, load=None, stages=()), RULES)
    assert read.read(past, 1).runs[0].queries == 0


def test_the_history_is_kept_from_other_tenants(past: Target) -> None:
    store.store(past, made(), RULES)
    with connect(past.app) as connection:
        connection.execute("SELECT tenant_mgmt.set_tenant(gen_random_uuid())")
        found = connection.execute("SELECT count(*) FROM observability.harness_run").fetchone()
    assert found == (0,)


def test_a_document_is_found_by_its_id_or_the_beginning_of_it(past: Target) -> None:
    first, second = made(), made(9)
    store.store(past, first, RULES)
    store.store(past, second, RULES)
    assert from_json(read.document(past, first.id)) == first
    assert from_json(read.document(past, str(UUID(second.id)).upper()[:20])) == second
    with pytest.raises(UsageError, match="no run begins with zz"):
        read.document(past, "zz")
    with pytest.raises(UsageError, match="no run begins with "):
        read.document(past, "")


def test_a_history_is_found_again(database: Target, settings: Settings) -> None:
    with history(database, settings) as target:
        store.store(target, made(), RULES)
    with history(database, settings) as target:
        assert len(read.read(target, 5).runs) == 1


def test_a_database_of_somebody_else_is_refused(database: Target, settings: Settings) -> None:
    with connect(database.admin) as connection:
        connection.execute("CREATE TABLE public.precious (id integer)")
    with (
        pytest.raises(RefusedError, match="was not made by the harness"),
        history(database, settings),
    ):
        pass


def test_a_server_by_dsn_has_no_history_of_its_own(settings: Settings) -> None:
    given = settings.model_copy(update={"dsn": SecretStr("postgresql://nowhere")})
    with (
        pytest.raises(database.NoHistory, match="HARNESS_HISTORY_DSN"),
        database.history(given, lambda *_: None),
    ):
        pass
