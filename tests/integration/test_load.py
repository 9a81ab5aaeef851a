"""The driver end to end: what is held, missed, wrong or leaking is told apart."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from harness.config import Settings
from harness.db import Target
from harness.errors import DatabaseError, RefusedError, UsageError
from harness.run import LoadResult
from harness.server.embedded import embedded, running
from loadtests.budget import gate
from loadtests.load import LoadSettings, load
from tests.integration.conftest import add_account, add_tenant

HEADER = "-- A query.\n-- budget: p95 {budget}ms\n-- mode: read\n-- rows: >=1\n"
PARAMS = "-- params: user_account_id from user_mgmt.user_account\n"
BY_KEY = (
    "SELECT business_id, username FROM user_mgmt.user_account"
    " WHERE business_id = %(business_id)s AND user_account_id = %(user_account_id)s"
)
ALL = "SELECT business_id FROM user_mgmt.user_account"


@pytest.fixture
def filled(platform: Target, copy_of: Callable[[Target], Target]) -> Target:
    """Two tenants with accounts, in a database of the test's own."""
    copy = copy_of(platform)
    with psycopg.connect(copy.admin) as connection:
        for slug in ("one", "two"):
            tenant = add_tenant(connection, slug)
            for name in ("ada", "ben", "cyd"):
                add_account(connection, tenant, name)
    return copy


def _drive(target: Target, settings: Settings, directory: Path, **queries: str) -> LoadResult:
    for name, text in queries.items():
        (directory / f"{name}.sql").write_text(text)
    wanted = LoadSettings(
        4, seconds=1, warmup_seconds=0.2, think_seconds=0.005, queries_dir=directory
    )
    return load(target, settings, wanted)


def test_a_query_within_its_budget_passes(
    filled: Target, settings: Settings, tmp_path: Path
) -> None:
    text = HEADER.format(budget=2000) + PARAMS + BY_KEY
    result = _drive(filled, settings, tmp_path, by_key=text)
    (query,) = result.queries
    assert (query.verdict, query.errors, query.empty, query.foreign_rows) == ("pass", 0, 0, 0)
    assert query.samples > 50
    assert query.latency
    assert 0 < query.latency.p50 <= query.latency.p95 <= query.latency.max
    assert gate(result) == ()


def test_a_slow_query_misses_and_is_measured_as_slow(
    filled: Target, settings: Settings, tmp_path: Path
) -> None:
    slow = BY_KEY.replace("username", "pg_sleep(0.05)::text AS slept")
    result = _drive(filled, settings, tmp_path, slow=HEADER.format(budget=20) + PARAMS + slow)
    (line,) = gate(result)
    assert line.startswith("slow: ")
    assert "the budget is 20 ms" in line or "samples" in line, "few answers on a busy machine"
    assert result.queries[0].latency
    assert result.queries[0].latency.p50 >= 50


def test_an_error_is_counted_and_named(filled: Target, settings: Settings, tmp_path: Path) -> None:
    failing = BY_KEY.replace("username", "1 / (length(username) - 3)")
    result = _drive(
        filled, settings, tmp_path, failing=HEADER.format(budget=300) + PARAMS + failing
    )
    assert "division by zero" in gate(result)[0]
    assert result.queries[0].samples == 0, "an error has no latency"


def test_an_empty_answer_breaks_a_promise(
    filled: Target, settings: Settings, tmp_path: Path
) -> None:
    nothing = HEADER.format(budget=300) + PARAMS + BY_KEY + " AND username = 'nobody'"
    result = _drive(filled, settings, tmp_path, nothing=nothing)
    assert "were empty" in gate(result)[0]


def test_rows_of_another_tenant_fail_the_gate(
    filled: Target, settings: Settings, tmp_path: Path
) -> None:
    with psycopg.connect(filled.admin) as connection:
        connection.execute("ALTER TABLE user_mgmt.user_account DISABLE ROW LEVEL SECURITY")
    result = _drive(filled, settings, tmp_path, all=HEADER.format(budget=300) + ALL)
    assert "leak: an answer held 3 rows of another tenant" in gate(result)[0]


def test_row_security_holds_without_a_filter(
    filled: Target, settings: Settings, tmp_path: Path
) -> None:
    result = _drive(filled, settings, tmp_path, all=HEADER.format(budget=2000) + ALL)
    assert gate(result) == ()


def test_a_statement_that_cannot_be_prepared_ends_the_load(
    filled: Target, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(DatabaseError, match=r'bad: .*"user_mgmt.nothing" does not exist'):
        _drive(
            filled,
            settings,
            tmp_path,
            bad=HEADER.format(budget=300) + "SELECT FROM user_mgmt.nothing",
        )


def test_parameters_that_nobody_has_are_told(
    filled: Target, settings: Settings, tmp_path: Path
) -> None:
    empty = HEADER.format(budget=300) + PARAMS.replace("\n", " where username = 'x'\n") + BY_KEY
    with pytest.raises(UsageError, match=r"by_key: no tenant has rows in user_mgmt\.user_account"):
        _drive(filled, settings, tmp_path, by_key=empty)


def test_somebody_elses_database_is_not_loaded(
    database: Target, settings: Settings, tmp_path: Path
) -> None:
    with psycopg.connect(database.admin) as connection:
        connection.execute("CREATE TABLE precious (id integer)")
    with pytest.raises(RefusedError):
        _drive(database, settings, tmp_path, all=HEADER.format(budget=300) + ALL)


def test_a_server_that_dies_underway_is_a_database_error(
    settings: Settings, part: Settings, tmp_path: Path
) -> None:
    from harness.deploy.deploy import deploy

    with running(embedded(settings, checkout=tmp_path)) as server:
        target = server.target("postgres", settings.roles)
        deploy(target, part)
        with psycopg.connect(target.admin) as connection:
            add_account(connection, add_tenant(connection, "one"), "ada")
        postmaster = int((server.data / "postmaster.pid").read_text().split()[0])

        def kill() -> None:
            time.sleep(4)
            os.kill(postmaster, signal.SIGKILL)

        threading.Thread(target=kill, daemon=True).start()
        (tmp_path / "all.sql").write_text(HEADER.format(budget=300) + ALL)
        wanted = LoadSettings(2, 30, 0.5, 0.01, tmp_path)
        with pytest.raises(DatabaseError, match="the load stopped: "):
            load(target, settings, wanted)
