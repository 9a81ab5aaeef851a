"""harness check static|isolation|all."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import (
    ConfigFile,
    Database,
    Dsn,
    NoColor,
    Output,
    Owned,
    Quiet,
    SchemaDir,
    context,
)


class Layer(StrEnum):
    """What to check."""

    STATIC = "static"
    ISOLATION = "isolation"
    ALL = "all"


class Format(StrEnum):
    """What findings can be rendered as."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    JUNIT = "junit"
    GITHUB = "github"


def check(
    layer: Annotated[Layer, typer.Argument(help="What to check.")] = Layer.ALL,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="SQL files or directories instead of the schema's.", show_default=False
        ),
    ] = None,
    dsn: Dsn = None,
    database: Database = None,
    schema_dir: SchemaDir = None,
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.TEXT,
    output: Output = None,
    owned: Owned = None,
    config: ConfigFile = None,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Prove isolation: statically from the SQL files, and by attacking a filled database."""
    ctx = context(
        dsn=dsn,
        database=database,
        schema_dir=schema_dir,
        config=config,
        quiet=quiet,
        no_color=no_color,
    )
    failed = False
    if layer is not Layer.ISOLATION:
        failed |= _check_static(ctx, paths or [], format, output)
    if layer is not Layer.STATIC:
        failed |= _check_isolation(ctx, format, output, owned)
    raise typer.Exit(1 if failed else 0)
