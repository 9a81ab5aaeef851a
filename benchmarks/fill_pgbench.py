"""Fill of pgbench's own tables in mode fast against `pgbench -i`, which makes its rows in the
client, too: the same rows, bytes, primary and foreign keys, statistics. Both from tables without
rows to the end of the command, one connection. Promise: 1.0 of its bytes per second.

`python -m benchmarks.fill_pgbench SCALE ROUNDS`; 10 makes a million accounts.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import benchmark_server, compare, seconds, tell
from datagen import fill
from datagen.plan import FillSettings
from harness.config import Settings, Tenancy
from harness.db import Target, connect
from harness.deploy.deploy import deploy
from harness.server.binaries import tool

SCHEMA = """
CREATE SCHEMA bench;
CREATE TABLE bench.org (org_id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE bench.pgbench_branches (bid integer PRIMARY KEY, bbalance integer, filler char(88));
CREATE TABLE bench.pgbench_tellers (
    tid integer PRIMARY KEY, bid integer REFERENCES bench.pgbench_branches, tbalance integer,
    filler char(84)
);
CREATE TABLE bench.pgbench_accounts (
    aid integer PRIMARY KEY, bid integer REFERENCES bench.pgbench_branches, abalance integer,
    filler char(84)
);
"""
RECIPE = """
[org]
columns = { name = { value = "of pgbench" } }

[pgbench_branches]
rows = 1
columns = { bbalance = { value = 0 }, filler = { null = 1.0 } }

[pgbench_tellers]
rows = 10
columns = { bid = { null = 0 }, tbalance = { value = 0 }, filler = { null = 1.0 } }

[pgbench_accounts]
rows = 100_000
columns = { bid = { null = 0 }, abalance = { value = 0 }, filler = { value = "" } }
"""
"""The values that pgbench gives; its fillers of accounts are blanks, the others NULL. It has no
table of tenants."""
TENANCY = Tenancy(column="org_id", root_table="bench.org")
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)


def main(scale: int = 10, rounds: int = 3) -> None:
    """Times both in turn and prints the ratio of their bytes per second."""
    with tempfile.TemporaryDirectory() as made, benchmark_server() as (settings, fresh):
        directory = _written(Path(made))
        ours = settings.model_copy(update={"schema_dir": directory, "tenancy": TENANCY})
        wanted = FillSettings(1, scale, 1, AS_OF, recipes_dir=directory, mode="fast")
        target, bench = fresh("fill_pgbench"), fresh("pgbench")

        def filled() -> float:
            nonlocal target
            target = fresh("fill_pgbench")
            deploy(target, ours)
            return seconds(lambda: _fill(target, ours, wanted))

        took, peer = compare(filled, lambda: seconds(lambda: _initialize(bench, scale)), rounds)
        sizes = [_size(target, "bench"), _size(bench, "public")]
    print(f"{sizes[0][0]:,} accounts of {sizes[0][1]:,} bytes against {sizes[1]}")
    rates = (sizes[0][1] / took / 1e6, sizes[1][1] / peer / 1e6)
    tell("mode fast against pgbench -i", *rates, "at least 1.00", "MB/s")


def _written(directory: Path) -> Path:
    (directory / "bench.sql").write_text(SCHEMA)
    (directory / "bench").mkdir()
    (directory / "bench" / "tables.toml").write_text(RECIPE)
    return directory


def _fill(target: Target, settings: Settings, wanted: FillSettings) -> None:
    if unmet := fill.fill(target, settings, wanted).unmet:
        raise SystemExit("\n".join(unmet))


def _initialize(bench: Target, scale: int) -> None:
    command = [tool("pgbench"), "--initialize", "--init-steps=dtgvpf", "--quiet"]
    subprocess.run([*command, f"--scale={scale}", bench.admin], check=True, capture_output=True)


def _size(target: Target, schema: str) -> tuple[int, int]:
    """Rows and bytes of the accounts, with their key."""
    query = "SELECT count(*), pg_total_relation_size('{0}'::regclass) FROM {0}"
    with connect(target.admin) as connection:
        row = connection.execute(query.format(f"{schema}.pgbench_accounts").encode()).fetchone()
    assert row  # noqa: S101
    return int(row[0]), int(row[1])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
