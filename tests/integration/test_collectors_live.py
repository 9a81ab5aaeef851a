"""Every collector answers on PostgreSQL 17, as a role that may monitor and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import closing
from dataclasses import replace

import psycopg
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from harness.config import Settings
from harness.db import Target, as_role
from harness.metrics import collector, tenants
from harness.metrics.exporter import SourcesCollector
from harness.metrics.sampling import sampling
from harness.metrics.server import ServerMetrics
from harness.metrics.session import LiveSession, observing
from harness.server.doctor import Answer, examine

SCHEMA = """
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
CREATE SCHEMA shop;
CREATE TABLE shop.item (item_id integer PRIMARY KEY, sold integer NOT NULL);
CREATE TABLE shop.sale (at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE shop.sale_old PARTITION OF shop.sale FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE shop.sale_new PARTITION OF shop.sale FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
INSERT INTO shop.item SELECT n, 0 FROM generate_series(1, 5) AS n;
INSERT INTO shop.sale VALUES ('2020-05-05'), ('2021-05-05'), ('2021-06-06');
ANALYZE shop.item, shop.sale;
SELECT pg_stat_force_next_flush();
"""


@pytest.fixture
def watched(database: Target) -> Target:
    """A database with a small schema."""
    with psycopg.connect(database.admin, autocommit=True) as connection:
        connection.execute(SCHEMA)
    return database


def _scraped(target: Target, top: int = 2) -> str:
    server = ServerMetrics(
        lambda: LiveSession(as_role(target.admin, "pg_monitor")), collector.read_all(), top
    )
    registry = CollectorRegistry()
    registry.register(SourcesCollector([server]))
    try:
        return generate_latest(registry).decode()
    finally:
        server.close()


def _of(text: str, name: str) -> dict[str, float]:
    lines = (line for line in text.splitlines() if line.startswith(f"{name}{{"))
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_every_collector_that_fits_is_answered(watched: Target) -> None:
    text = _scraped(watched)
    up = _of(text, "harness_collector_up")
    assert [name for name, value in up.items() if value != 1] == []
    fitting = {c.name for c in collector.read_all() if c.fits(17) and c.extension != "citus"}
    assert {name.split('"')[1] for name in up} == fitting


def test_tables_are_told_by_schema_and_the_busiest_by_name(watched: Target) -> None:
    text = _scraped(watched, top=1)
    (inserted,) = _of(text, "pg_stat_schema_tup_ins_total").values()
    assert inserted == 8
    (tables,) = _of(text, "pg_stat_schema_tables").values()
    assert tables == 3, "two of them partitions"
    rows = {
        name.split('relname="')[1].split('"')[0]: value
        for name, value in _of(text, "pg_stat_user_tables_n_live_tup").items()
    }
    assert rows == {"item": 5, "other": 3}


def test_where_nobody_holds_a_lock_there_are_none(watched: Target) -> None:
    text = _scraped(watched)
    assert set(_of(text, "pg_locks_waiting").values()) == {0}
    assert len(_of(text, "pg_locks_longest_wait_seconds")) == 9


def test_of_many_databases_the_watched_and_the_busiest_are_told(watched: Target) -> None:
    text = _scraped(watched, top=2)
    (sessions,) = _of(text, "pg_stat_database_numbackends")
    name = psycopg.conninfo.conninfo_to_dict(watched.admin)["dbname"]
    assert sessions == f'pg_stat_database_numbackends{{datname="{name}"}}'
    assert len(_of(text, "pg_database_wraparound_share")) == 2
    assert set(_of(text, "harness_collector_dropped_series").values()) == {0}


def test_who_keeps_others_waiting_is_named(watched: Target) -> None:
    with (
        psycopg.connect(watched.admin) as holder,
        closing(psycopg.connect(watched.admin)) as waiter,
    ):
        holder.execute("/* shop.sell */ UPDATE shop.item SET sold = 1 WHERE item_id = 1")
        waiter.pgconn.send_query(b"UPDATE shop.item SET sold = 2 WHERE item_id = 1")
        deadline = time.monotonic() + 10
        while not (blocked := _of(_scraped(watched), "pg_locks_blocked_sessions")):
            assert time.monotonic() < deadline
        holder.rollback()
    assert len(blocked) == 1
    assert 'blocker="shop.sell"' in next(iter(blocked))


def test_nothing_is_written_and_nobody_is_waited_for(watched: Target) -> None:
    session = LiveSession(watched.admin)
    writing = collector.Collector(
        name="w",
        about="w",
        prefix="w",
        metrics={"n": "n"},
        sql="DELETE FROM shop.item RETURNING 1 AS n",
    )
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        session.ask(writing, "", 1)
    slow = writing.model_copy(update={"sql": "SELECT 1 AS n FROM pg_sleep(5)", "timeout": 0.05})
    with pytest.raises(psycopg.errors.QueryCanceled):
        session.ask(slow, "", 1)
    session.close()


def test_a_role_that_does_not_see_all_is_told_so(watched: Target) -> None:
    blind = LiveSession(as_role(watched.admin, "pg_read_all_data"))
    seeing = LiveSession(as_role(watched.admin, "pg_monitor"))
    assert "GRANT pg_monitor TO pg_read_all_data" in blind.unseen()
    assert seeing.unseen() == ""
    blind.close()
    seeing.close()


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_prometheus_finds_nothing_wrong(watched: Target) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=_scraped(watched),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_noisy_tenant_is_found_by_sampling(watched: Target) -> None:
    with (
        closing(psycopg.connect(watched.admin)) as busy,
        # A transaction sees the activity of its first look all along.
        psycopg.connect(watched.admin, autocommit=True) as looking,
    ):
        busy.execute("SELECT set_config('application_name', 'bh:tenant-1', true)")
        busy.pgconn.send_query(b"SELECT pg_sleep(30)")
        deadline = time.monotonic() + 10
        while not (seen := tenants.sample(looking)):
            assert time.monotonic() < deadline
        busy.cancel_safe()
    assert seen == {"tenant-1": 1}


def test_sizes_are_the_planners_where_row_security_lets_them_be_seen(watched: Target) -> None:
    with psycopg.connect(watched.admin, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE shop.order AS SELECT least(n / 30, 1) AS shop_id"
            " FROM generate_series(0, 99) AS n"
        )
        connection.execute("ALTER TABLE shop.order ENABLE ROW LEVEL SECURITY")
        connection.execute("ANALYZE shop.order")
        assert tenants.rows(connection, "shop_id") == {"0": 30, "1": 70}
        connection.execute("SET ROLE pg_monitor")
        assert tenants.rows(connection, "shop_id") == {}


def test_sampling_begins_when_there_is_a_server(watched: Target) -> None:
    with sampling(lambda: observing(watched.admin), "shop_id") as activity:
        deadline = time.monotonic() + 10
        while not activity.samples:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert activity.up
    assert not activity.up


def test_the_doctor_tells_what_will_not_be_seen(watched: Target, settings: Settings) -> None:
    blind = replace(watched, admin=as_role(watched.admin, "pg_read_all_settings"))
    answers = {each.question: each for each in examine(blind, settings, external=True)}
    assert answers["monitoring"].answer is Answer.WARNING
    assert "pg_stats hides tables" in answers["sizes of tenants"].detail
    assert answers["pg_stat_statements"].detail == "loaded"
    with psycopg.connect(watched.admin) as connection:
        connection.execute("DROP EXTENSION pg_stat_statements")
    answers = {each.question: each for each in examine(blind, settings, external=True)}
    assert "CREATE EXTENSION pg_stat_statements" in answers["pg_stat_statements"].detail
