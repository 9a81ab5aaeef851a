"""harness deploy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from harness.cli.options import (
    ConfigFile,
    Context,
    Database,
    Dsn,
    NoColor,
    Owned,
    Quiet,
    SchemaDir,
    context,
)
from harness.config import server_dsn
from harness.db import Target, connect
from harness.deploy import citus as cluster
from harness.deploy import deploy as deployment
from harness.deploy import nodes
from harness.deploy import target as targets
from harness.deploy.nodes import Node
from harness.errors import UsageError
from harness.run import DeployResult
from harness.server import database as databases
from harness.server.embedded import embedded


def deploy(
    dsn: Dsn = None,
    database: Database = None,
    schema_dir: SchemaDir = None,
    recreate: Annotated[
        bool,
        typer.Option(
            "--recreate", help="Drop the embedded server's database, or the cluster's, first."
        ),
    ] = False,
    citus: Annotated[
        bool, typer.Option("--citus", help="The server is a Citus cluster's coordinator.")
    ] = False,
    workers: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT",
            help="A worker to add to the cluster; may be given several times.",
            show_default=False,
        ),
    ] = None,
    shard_count: Annotated[
        int, typer.Option(min=1, help="Shards of each table, on a cluster.")
    ] = 4,
    owned: Owned = None,
    config: ConfigFile = None,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Deploy the schema in one transaction; does nothing when nothing changed.

    To a cluster each file is a transaction, and an interrupted deployment goes on.
    """
    ctx = context(
        dsn=dsn,
        database=database,
        schema_dir=schema_dir,
        config=config,
        quiet=quiet,
        no_color=no_color,
    )
    if citus:
        to_cluster(ctx, [Node.parse(each) for each in workers or ()], shard_count, recreate)
        return
    if workers:
        raise UsageError("--workers are a cluster's: say --citus too")
    with ctx.target() as target:
        if recreate:
            make_anew(ctx, target)
        result = into(ctx, target, owned)
    ctx.say(told(result, str(target)))


def to_cluster(ctx: Context, workers: Sequence[Node], shards: int, recreate: bool) -> None:
    """Deploys to a Citus cluster with a progress bar."""
    if server_dsn(ctx.settings) is None:
        raise UsageError("--citus: name the coordinator's database with --dsn")
    with ctx.target() as target, ctx.progress("Deploying") as moved:
        if recreate:
            known = nodes.make_anew(target.admin)
            workers = workers or known
        result = cluster.deploy(target, ctx.settings, workers, shards, moved)
    for why, count in Counter(line.rpartition("): ")[2] for line in result.left_out).items():
        ctx.say(f"{count} statements left out (see harness.left_out): {why}")
    ctx.say(told(result, str(target)))


def into(ctx: Context, target: Target, owned: str | None = None) -> DeployResult:
    """Deploys with a progress bar."""
    with ctx.progress("Deploying") as moved:
        return deployment.deploy(target, ctx.settings, owned, moved)


def make_anew(ctx: Context, target: Target) -> None:
    """Drops the embedded server's database and creates it empty; refuses any other."""
    if server_dsn(ctx.settings) is not None:
        raise UsageError("--recreate drops databases of the embedded server only; drop yours")
    with connect(target.admin) as connection:
        if targets.state(connection) != "empty":
            targets.require(connection)
    maintenance = embedded(ctx.settings).conninfo("postgres")
    databases.drop(maintenance, ctx.settings.database)
    databases.ensure(maintenance, ctx.settings.database)
    with connect(target.admin) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")


def told(result: DeployResult, where: str) -> str:
    """What happened, in a line."""
    tables = sum(kinds.get("tables", 0) for kinds in result.objects.values())
    if not result.changed:
        return f"{where} already holds this schema ({tables} tables)"
    return (
        f"Deployed {tables} tables, {result.statements} statements of {result.files} files, "
        f"into {where} in {result.seconds:.1f} s"
    )
