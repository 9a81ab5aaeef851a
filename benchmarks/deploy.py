"""Deployment against `psql -1 -f` of the same files. Promise: at most 1.25 times as long."""

from __future__ import annotations

import subprocess

from psycopg.conninfo import make_conninfo

from benchmarks.measure import benchmark_server, compare, seconds, tell
from harness.config import Settings
from harness.db import Target, connect
from harness.deploy import roles
from harness.deploy.deploy import deploy
from harness.deploy.source import read
from harness.server.binaries import tool


def main() -> None:
    """Times both and prints the ratio."""
    with benchmark_server() as (settings, fresh):
        with connect(fresh("deploy_roles").admin, autocommit=True) as connection:
            roles.ensure(connection, settings.roles)

        def ours() -> float:
            target = fresh("deploy_ours")
            return seconds(lambda: deploy(target, settings))

        def psql() -> float:
            target = fresh("deploy_psql")
            return seconds(lambda: _psql(target, settings))

        tell("deploy", *compare(ours, psql), promise="at most 1.25")


def _psql(target: Target, settings: Settings) -> None:
    files = [str(settings.schema_dir / file.path) for file in read(settings.schema_dir)]
    # Keys that are added later are checked under policies, which want a tenant.
    nobody = f"-c {settings.tenancy.setting}=00000000-0000-0000-0000-000000000000"
    database = make_conninfo(target.admin, options=nobody)
    command = [tool("psql"), "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", database]
    command += [part for path in files for part in ("-f", path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
