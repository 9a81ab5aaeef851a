"""The catalog check of the whole schema, truth table included, against `pg_dump --schema-only`,
which reads the same catalogs. Promise: at most 10 s."""

from __future__ import annotations

import subprocess

from benchmarks.measure import benchmark_server, compare, seconds, tell
from checks import catalog
from harness.catalog.files import expressions
from harness.db import Target
from harness.deploy.deploy import deploy
from harness.server.binaries import tool


def main() -> None:
    """Times both and prints the ratio."""
    with benchmark_server() as (settings, fresh):
        target = fresh("catalog_check")
        deploy(target, settings)

        def ours() -> float:
            expressions.parse.cache_clear()
            expressions.canonical.cache_clear()
            return seconds(lambda: catalog.check(target, settings))

        figures = compare(ours, lambda: seconds(lambda: _dump(target)), rounds=3)
    tell("catalog check", *figures, promise="ours at most 10 s")


def _dump(target: Target) -> None:
    command = [tool("pg_dump"), "--schema-only", f"--dbname={target.admin}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
