"""The driver end to end: what is held, missed, wrong or leaking is told apart."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psycopg
import pytest

from harness.config import Settings
from harness.db import Target
from harness.errors import DatabaseError, RefusedError, UsageError
from harness.live import counts
from harness.live.counts import ANSWERED, Counts
from harness.load_result import LoadResult, QueryResult
from harness.server.embedded import embedded, running
from loadtests.driving import Progress
from loadtests.judging import gate
from loadtests.load import LoadSettings, load
from tests.integration.small_schemas import SETTING
from tests.integration.spares import database as made_database

HEADER = "-- A query.\n-- budget: p95 {budget}ms\n-- mode: {mode}\n-- rows: >=1\n"
PARAMS = "-- params: item_id from shop.item\n"
BY_KEY = "SELECT org_id, name FROM shop.item WHERE org_id = %(org_id)s AND item_id = %(item_id)s"
READ = HEADER.format(budget=2000, mode="read")
WRITE = HEADER.format(budget=2000, mode="write")
MIXED = {
    "by_key": READ + PARAMS + BY_KEY,
    "unfiltered": READ + "SELECT org_id FROM shop.item",
    "slow": HEADER.format(budget=20, mode="read")
    + PARAMS
    + BY_KEY.replace("name", "pg_sleep(0.05)::text"),
    "failing": READ + PARAMS + BY_KEY.replace("name", "1 / (length(name) - 15)"),
    "nothing": READ + PARAMS + BY_KEY + " AND name = 'nobody'",
    "conflict": WRITE + "SELECT shop.raise_at_times('40001')",
    "cancelled": WRITE + "SELECT shop.raise_at_times('57014')",
    "scan": WRITE + "-- own: item_id\n" + PARAMS + "SELECT shop.scan(%(item_id)s)",
}
FUNCTIONS = """
CREATE FUNCTION shop.raise_at_times(state text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF random() < 0.3 THEN RAISE EXCEPTION 'at times' USING ERRCODE = state; END IF;
    RETURN 'fine';
END $$;
CREATE FUNCTION shop.scan(item uuid) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext(item::text)) THEN
        RAISE EXCEPTION 'somebody scans %', item;
    END IF;
    PERFORM pg_sleep(0.005);
    RETURN 'scanned';
END $$;
"""


@contextmanager
def _shop(server: Target, settings: Settings) -> Iterator[Target]:
    """Two tenants with three items each, of somebody who calls the tenant org_id."""
    with made_database(server, settings) as target:
        with psycopg.connect(target.admin) as connection:
            SETTING.create(connection)
            connection.execute(FUNCTIONS)
            for org in (SETTING.own, SETTING.other):
                connection.execute(
                    "UPDATE shop.item SET name = 'thing t' || right(org_id::text, 8)"
                    " WHERE org_id = %s",
                    [org],
                )
        yield target


@pytest.fixture(scope="module")
def shop(server: Target, settings: Settings) -> Iterator[Target]:
    """A shop that tests leave as it is."""
    with _shop(server, settings) as target:
        yield target


@pytest.fixture
def own_shop(server: Target, settings: Settings) -> Iterator[Target]:
    """A shop of the test's own."""
    with _shop(server, settings) as target:
        yield target


def _drive(
    target: Target,
    settings: Settings,
    directory: Path,
    queries: dict[str, str],
    on_progress: Progress = lambda *_: None,
    **wanted: Any,
) -> LoadResult:
    for name, text in queries.items():
        (directory / f"{name}.sql").write_text(text)
    given = {"users": 4, "seconds": 1.0, "warmup_seconds": 0.2, "think_seconds": 0.002, **wanted}
    load_settings = LoadSettings(queries_dir=directory, **given)
    with psycopg.connect(target.admin) as connection:
        name = connection.info.dbname
    return load(target, SETTING.settings(settings), load_settings, name, on_progress)


@pytest.fixture(scope="module")
def mixed(
    shop: Target, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, QueryResult]:
    """One load of queries that fare differently, by name."""
    directory = tmp_path_factory.mktemp("mixed")
    result = _drive(shop, settings, directory, MIXED, seconds=2.0, extend_seconds=20.0)
    assert result.switched > 10, "tenants alternate on each connection"
    assert result.searched > 0
    return {query.name: query for query in result.queries}


def test_a_query_within_its_budget_passes(mixed: dict[str, QueryResult]) -> None:
    query = mixed["by_key"]
    assert (query.verdict, query.errors, query.empty, query.foreign_rows) == ("pass", 0, 0, 0)
    assert query.samples >= 110
    assert query.latency
    assert 0 < query.latency.p50 <= query.latency.p95 <= query.latency.max


def test_a_slow_query_misses_and_is_measured_as_slow(mixed: dict[str, QueryResult]) -> None:
    query = mixed["slow"]
    assert query.verdict == "miss"
    assert "the budget is 20 ms" in query.reason
    assert query.latency
    assert query.latency.p50 >= 50


def test_an_error_is_counted_and_named(mixed: dict[str, QueryResult]) -> None:
    query = mixed["failing"]
    assert "division by zero" in query.reason
    assert query.samples == 0, "an error has no latency"


def test_an_empty_answer_breaks_a_promise(mixed: dict[str, QueryResult]) -> None:
    assert "were empty" in mixed["nothing"].reason


def test_row_security_holds_without_a_filter(mixed: dict[str, QueryResult]) -> None:
    assert mixed["unfiltered"].verdict == "pass"


def test_conflicts_are_tried_again_and_counted_apart(mixed: dict[str, QueryResult]) -> None:
    query = mixed["conflict"]
    assert query.retries > 10
    assert query.errors <= 2, "five tries in a row fail once in four hundred"
    assert query.timeouts == 0


def test_timeouts_are_counted_apart(mixed: dict[str, QueryResult]) -> None:
    query = mixed["cancelled"]
    assert query.timeouts > 10
    assert (query.errors, query.retries) == (0, 0)
    assert "timeouts" in query.reason


def test_values_that_are_used_up_are_never_used_by_two_users_at_once(
    mixed: dict[str, QueryResult],
) -> None:
    """Three items a tenant, four users, five milliseconds each: they would collide."""
    query = mixed["scan"]
    assert query.samples > 30
    assert query.errors == 0, query.reason


def test_rows_of_another_tenant_fail_the_gate(
    own_shop: Target, settings: Settings, tmp_path: Path
) -> None:
    """One query shows whose its rows are, the other one only a canary in a text."""
    with psycopg.connect(own_shop.admin) as connection:
        connection.execute("ALTER TABLE shop.item DISABLE ROW LEVEL SECURITY")
    queries = {
        "all": READ + "SELECT org_id FROM shop.item",
        "names": READ + "SELECT name FROM shop.item",
    }
    result = _drive(own_shop, settings, tmp_path, queries)
    shown, searched = result.queries
    assert "leak: an answer held 3 rows of another tenant (org_id 0000" in shown.reason
    assert "(t0000000" in searched.reason
    assert " belongs to 0000" in searched.reason
    for query in result.queries:
        leak = query.leaks[0]
        assert leak.connection > 0
        assert leak.transaction > 0
        assert leak.tenant in (SETTING.own, SETTING.other)
        assert query.name in "".join(gate(result))


def test_a_server_that_stands_still_is_not_hidden(
    own_shop: Target, settings: Settings, tmp_path: Path
) -> None:
    """For a second a lock stops everything. Each user sees one slow answer; the requests that
    were due meanwhile waited too, and only the open model tells (coordinated omission)."""

    def freeze() -> None:
        with psycopg.connect(own_shop.admin) as connection:
            _await_load(connection)
            time.sleep(0.7)
            connection.execute("LOCK TABLE shop.item")
            time.sleep(1)

    thread = threading.Thread(target=freeze)
    thread.start()
    queries = {"by_key": HEADER.format(budget=1, mode="read") + PARAMS + BY_KEY}
    result = _drive(own_shop, settings, tmp_path, queries, seconds=3.0, rate=100.0)
    thread.join()
    (query,) = result.queries
    assert query.samples == pytest.approx(300, abs=2), "every request that was due is answered"
    assert result.arrivals
    assert result.arrivals.unserved == 0
    assert query.latency
    assert query.service
    assert query.latency.p95 > 600, "a hundred of three hundred were due in that second"
    assert query.service.p95 < 300
    assert query.service.max > 600
    told = "\n".join(query.explanation)
    assert "Lock relation" in told
    assert "for a lock of `LOCK TABLE shop.item`" in told
    assert " --rate 100 --arrivals constant --sql " in told
    assert told.endswith(" --only by_key")


def _await_load(connection: psycopg.Connection[Any]) -> None:
    """Returns when the driver has begun to ask."""
    for _ in range(200):
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'harness load'"
            " AND datname = current_database()"
        ).fetchone()
        connection.rollback()
        if row and row[0]:
            return
        time.sleep(0.05)
    raise AssertionError("the load did not begin")


def test_verdicts_that_are_open_are_pursued(
    shop: Target, settings: Settings, tmp_path: Path
) -> None:
    """A second is too short for a verdict; the load goes on until one is sure of one despite a
    hiccup."""
    queries = {f"q{n}": READ + PARAMS + BY_KEY for n in range(4)}
    wanted = {"users": 1, "seconds": 1.0, "think_seconds": 0.01, "extend_seconds": 30.0}
    result = _drive(shop, settings, tmp_path, queries, **wanted)
    assert 1 < result.seconds < 29
    assert {query.verdict for query in result.queries} == {"pass"}
    assert all(query.samples >= 110 for query in result.queries)


def test_processes_share_users_and_their_histograms_add_up(
    shop: Target, settings: Settings, tmp_path: Path
) -> None:
    queries = {"by_key": READ + PARAMS + BY_KEY}
    seen: list[Counts] = []

    def watch(*_: float) -> None:
        seen.extend(each for each in counts.read() if each.load.run == os.getpid())

    wanted = {"users": 3, "rate": 60.0, "processes": 2}
    result = _drive(shop, settings, tmp_path, queries, watch, **wanted)
    assert result.driver
    assert result.driver.processes == 2
    assert result.queries[0].samples == pytest.approx(60, abs=2), "thirty each"
    watched = max(seen, key=lambda each: each.queries[0, ANSWERED])
    assert watched.load.users == 3, "whoever watches sees both at once"
    assert 0 < watched.queries[0, ANSWERED] <= result.queries[0].samples
    assert set(counts.busiest(watched, 5)) == {SETTING.own, SETTING.other}
    assert not [each for each in counts.read() if each.load.run == os.getpid()]


def test_locusts_pages_show_what_is_asked_and_what_fails(
    shop: Target, settings: Settings, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    seen: list[dict[str, Any]] = []

    def look(*_: float) -> None:
        with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/stats/requests") as page:
            seen.append({each["name"]: each for each in json.load(page)["stats"]})

    queries = {name: MIXED[name] for name in ("by_key", "failing")}
    result = _drive(shop, settings, tmp_path, queries, look, web_port=port, seconds=3.0)
    by_key, failing = (next(q for q in result.queries if q.name == name) for name in queries)
    shown = max(seen, key=lambda stats: stats["Aggregated"]["num_requests"])
    assert 0.3 * by_key.samples < shown["by_key"]["num_requests"], "told as the load goes on"
    assert shown["by_key"]["num_failures"] == 0
    assert 0 < shown["by_key"]["median_response_time"] < 2000
    assert shown["failing"]["num_failures"] > 0.3 * failing.errors


def test_a_statement_that_cannot_be_prepared_ends_the_load(
    shop: Target, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(DatabaseError, match=r'bad: .*"shop.nothing" does not exist'):
        _drive(shop, settings, tmp_path, {"bad": READ + "SELECT FROM shop.nothing"})


def test_parameters_that_nobody_has_are_told(
    shop: Target, settings: Settings, tmp_path: Path
) -> None:
    empty = READ + PARAMS.replace("\n", " where name = 'x'\n") + BY_KEY
    with pytest.raises(UsageError, match=r"by_key: no tenant has rows in shop\.item"):
        _drive(shop, settings, tmp_path, {"by_key": empty})


def test_somebody_elses_database_is_not_loaded(
    shop: Target, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "all.sql").write_text(MIXED["unfiltered"])
    with pytest.raises(RefusedError):
        load(shop, SETTING.settings(settings), LoadSettings(queries_dir=tmp_path))


def test_a_server_that_dies_underway_is_a_database_error(
    settings: Settings, tmp_path: Path
) -> None:
    with running(embedded(settings, checkout=tmp_path)) as server:
        target = server.target("postgres", settings.roles)
        with psycopg.connect(target.admin) as connection:
            SETTING.create(connection)
        postmaster = int((server.data / "postmaster.pid").read_text().split()[0])

        def kill() -> None:
            time.sleep(4)
            os.kill(postmaster, signal.SIGKILL)

        threading.Thread(target=kill, daemon=True).start()
        (tmp_path / "all.sql").write_text(READ + PARAMS + BY_KEY)
        wanted = LoadSettings(2, 30, 0.5, 0.01, tmp_path)
        with pytest.raises(DatabaseError, match="the load stopped: "):
            load(target, SETTING.settings(settings), wanted, "postgres")
