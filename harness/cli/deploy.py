"""harness deploy."""

from __future__ import annotations

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
from harness.deploy import deploy as deployment
from harness.deploy import target as targets
from harness.errors import UsageError
from harness.run import DeployResult
from harness.server import database as databases
from harness.server.embedded import embedded


def deploy(
    dsn: Dsn = None,
    database: Database = None,
    schema_dir: SchemaDir = None,
    recreate: Annotated[
        bool, typer.Option("--recreate", help="Drop the embedded server's database first.")
    ] = False,
    owned: Owned = None,
    config: ConfigFile = None,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Deploy the schema in one transaction; does nothing when nothing changed."""
    ctx = context(
        dsn=dsn,
        database=database,
        schema_dir=schema_dir,
        config=config,
        quiet=quiet,
        no_color=no_color,
    )
    with ctx.target() as target:
        if recreate:
            make_anew(ctx, target)
        result = into(ctx, target, owned)
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
