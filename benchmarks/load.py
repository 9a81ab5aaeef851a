"""The driver against pgbench, the same two statements in one pipeline: a primary-key read with its
tenant set. Promises: throughput of 8 clients at least 0.6 of `pgbench -M prepared`, p50 within
0.3 ms of it at the same rate, and less than 5 % of the throughput for watching whose rows are."""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from benchmarks.measure import benchmark_server, tell
from harness.config import Settings
from harness.db import Target, connect
from harness.deploy.deploy import deploy
from harness.load_result import LoadResult
from harness.server.binaries import tool
from loadtests.load import LoadSettings, load

ROUNDS, SECONDS, ACCOUNTS, CLIENTS = 3, 4, 1000, 8
PAIRS = 9
"""Runs with and without a look at answers: they differ by less than runs of one kind do."""
DRIVERS = ((CLIENTS, 1), (CLIENTS, 2), (32, 1), (32, 2))
"""Clients and the processes that they are in, of which pgbench has threads."""
RATE = 400.0
"""Requests per second of the comparison at one rate: what a busy pair of cores still takes."""
QUERY = """\
-- One account by its key.
-- budget: p95 50ms
-- mode: read
-- rows: >=1
-- params: user_account_id from user_mgmt.user_account
SELECT business_id, username, email, status FROM user_mgmt.user_account
WHERE business_id = %(business_id)s AND user_account_id = %(user_account_id)s
"""
PGBENCH = r"""
\set n random(1, {accounts})
\startpipeline
SELECT tenant_mgmt.set_tenant('{tenant}'), set_config('application_name', 'bh:{tenant}', true);
SELECT business_id, username, email, status FROM user_mgmt.user_account
WHERE business_id = '{tenant}' AND user_account_id = ('{prefix}' || lpad(:n::text, 12, '0'))::uuid;
\endpipeline
"""


def main() -> None:
    """Times both in turn and prints what was promised of them."""
    with benchmark_server() as (settings, fresh), tempfile.TemporaryDirectory() as directory:
        target, work = fresh("load"), Path(directory)
        deploy(target, settings)
        tenant, prefix = _fill(target)
        (work / "account_by_key.sql").write_text(QUERY)
        script = work / "account_by_key.pgbench"
        script.write_text(PGBENCH.format(accounts=ACCOUNTS, tenant=tenant, prefix=prefix))
        closed = LoadSettings(CLIENTS, SECONDS, 1, 0, work)
        _one_client(target, settings, script, replace(closed, users=1))
        _same_rate(target, settings, script, replace(closed, rate=RATE))
        _throughput(target, settings, script, closed)
        _watching(target, settings, closed)


def _one_client(target: Target, settings: Settings, script: Path, wanted: LoadSettings) -> None:
    pairs = [
        (_p50(load(target, settings, wanted)), _latency(target, script, 1)) for _ in range(ROUNDS)
    ]
    _tell_p50("p50 of one client", pairs)


def _same_rate(target: Target, settings: Settings, script: Path, wanted: LoadSettings) -> None:
    rate = f"--rate={RATE:g}"
    pairs = [
        (_p50(load(target, settings, wanted)), _latency(target, script, CLIENTS, rate))
        for _ in range(ROUNDS)
    ]
    _tell_p50(f"p50 of {CLIENTS} clients at {RATE:g}/s", pairs)


def _throughput(target: Target, settings: Settings, script: Path, wanted: LoadSettings) -> None:
    for users, processes in DRIVERS:
        each = replace(wanted, users=users, processes=processes)
        pairs = [
            (load(target, settings, each), _rate(target, script, users, processes))
            for _ in range(ROUNDS)
        ]
        ours = statistics.median(result.requests_per_second for result, _ in pairs)
        peer = statistics.median(rate for _, rate in pairs)
        figure = f"load: {users} clients of {processes} process{'es' * (processes > 1)}"
        promise = "at least 0.6" if users == CLIENTS and processes == 1 else "no promise"
        tell(figure, ours, peer, promise, "requests/s")
        cpu = statistics.median(_cpu(result) for result, _ in pairs)
        print(f"{figure}: {cpu:.1f} µs of the driver's processor time for a request")


def _watching(target: Target, settings: Settings, wanted: LoadSettings) -> None:
    blind = replace(wanted, search_share=0)
    pairs = [(load(target, settings, wanted), load(target, settings, blind)) for _ in range(PAIRS)]
    ours, unwatched = (
        statistics.median(result.requests_per_second for result in results)
        for results in zip(*pairs, strict=True)
    )
    tell("load: watching whose rows are, or not", ours, unwatched, "at least 0.95", "requests/s")


def _cpu(result: LoadResult) -> float:
    """Microseconds of a driver process for each of its requests, where all processes do as much."""
    assert result.driver  # noqa: S101
    rate = result.requests_per_second / result.driver.processes
    return result.driver.cpu_share / rate * 1e6


def _p50(result: LoadResult) -> float:
    (query,) = result.queries
    assert query.latency  # noqa: S101
    return query.latency.p50


def _tell_p50(figure: str, pairs: list[tuple[float, float]]) -> None:
    ours, peer = (statistics.median(figures) for figures in zip(*pairs, strict=True))
    told = f"load: {figure} {ours:.3f} ms against pgbench's {peer:.3f} ms"
    print(f"{told}, {ours - peer:+.3f} ms (at most +0.3 ms)")


def _fill(target: Target) -> tuple[str, str]:
    """One tenant with accounts whose keys pgbench can compute; tenant and key prefix."""
    prefix = str(uuid4())[:24]
    with connect(target.loader) as connection:
        row = connection.execute(
            "INSERT INTO tenant_mgmt.business (legal_name, display_name, slug, industry,"
            " country_code, currency_code, time_zone, locale, employee_band)"
            " VALUES ('A', 'A', 'a', 'retail', 'US', 'USD', 'UTC', 'en-US', '1_9')"
            " RETURNING business_id::text"
        ).fetchone()
        assert row  # noqa: S101
        connection.execute(
            "INSERT INTO user_mgmt.user_account (business_id, user_account_id, username, email,"
            " display_name, account_kind, status, locale, time_zone)"
            " SELECT %s, (%s || lpad(n::text, 12, '0'))::uuid, 'u' || n, 'u' || n || '@a.example',"
            " 'U', 'staff', 'active', 'en-US', 'UTC' FROM generate_series(1, %s) AS n",
            [row[0], prefix, ACCOUNTS],
        )
    with connect(target.admin, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return row[0], prefix


def _latency(target: Target, script: Path, clients: int, *options: str) -> float:
    """The median latency in milliseconds, from pgbench's log of every transaction."""
    with tempfile.TemporaryDirectory() as directory:
        _pgbench(target, script, clients, directory, "--log", "--log-prefix=it", *options)
        (log,) = Path(directory).glob("it.*")
        latencies = [int(line.split()[2]) for line in log.read_text().splitlines()]
    return statistics.median(latencies) / 1000


def _rate(target: Target, script: Path, clients: int, threads: int) -> float:
    """Transactions per second of pgbench, without the time that connecting takes."""
    with tempfile.TemporaryDirectory() as directory:
        told = _pgbench(target, script, clients, directory, f"--jobs={threads}")
    found = re.search(r"tps = ([\d.]+)", told)
    assert found  # noqa: S101
    return float(found[1])


def _pgbench(target: Target, script: Path, clients: int, directory: str, *options: str) -> str:
    command = [tool("pgbench"), "--no-vacuum", "--protocol=prepared", f"--client={clients}"]
    command += [f"--time={SECONDS}", f"--file={script}", *options]
    command += [re.sub(r"\s+", " ", target.app)]
    done = subprocess.run(command, check=True, cwd=directory, capture_output=True, text=True)
    return done.stdout


if __name__ == "__main__":
    main()
