"""Latency as the driver sees it against pgbench, one client, the same two statements in one
pipeline. Promise: the p50 of a primary-key read within 0.3 ms of pgbench's."""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from pathlib import Path
from uuid import uuid4

from benchmarks.measure import benchmark_server
from harness.db import Target, connect
from harness.deploy.deploy import deploy
from harness.server.binaries import tool
from loadtests.load import LoadSettings, load

ROUNDS, SECONDS, ACCOUNTS = 3, 4, 1000
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
SELECT tenant_mgmt.set_tenant('{tenant}');
SELECT business_id, username, email, status FROM user_mgmt.user_account
WHERE business_id = '{tenant}' AND user_account_id = ('{prefix}' || lpad(:n::text, 12, '0'))::uuid;
\endpipeline
"""


def main() -> None:
    """Times both in turn and prints the difference."""
    with benchmark_server() as (settings, fresh), tempfile.TemporaryDirectory() as directory:
        target, work = fresh("load_p50"), Path(directory)
        deploy(target, settings)
        tenant, prefix = _fill(target)
        (work / "account_by_key.sql").write_text(QUERY)
        script = PGBENCH.format(accounts=ACCOUNTS, tenant=tenant, prefix=prefix)
        (work / "account_by_key.pgbench").write_text(script)
        wanted = LoadSettings(1, SECONDS, 1, 0, work)
        pairs = []
        for _ in range(ROUNDS):
            (query,) = load(target, settings, wanted).queries
            assert query.latency  # noqa: S101
            pairs.append((query.latency.p50, _pgbench(target, work / "account_by_key.pgbench")))
    ours, peer = (statistics.median(figures) for figures in zip(*pairs, strict=True))
    print(
        f"load: p50 {ours:.3f} ms against pgbench's {peer:.3f} ms, {ours - peer:+.3f} ms "
        "(at most +0.3 ms)"
    )


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


def _pgbench(target: Target, script: Path) -> float:
    """The median latency in milliseconds, from pgbench's log of every transaction."""
    with tempfile.TemporaryDirectory() as directory:
        command = [tool("pgbench"), "--no-vacuum", "--protocol=prepared", "--client=1"]
        command += [f"--time={SECONDS}", f"--file={script}", "--log", "--log-prefix=it"]
        command += [re.sub(r"\s+", " ", target.app)]
        subprocess.run(command, check=True, cwd=directory, capture_output=True)
        (log,) = Path(directory).glob("it.*")
        latencies = [int(line.split()[2]) for line in log.read_text().splitlines()]
    return statistics.median(latencies) / 1000


if __name__ == "__main__":
    main()
