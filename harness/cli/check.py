"""harness check static|catalog|isolation|all."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from checks import catalog, isolation, leak_findings, static
from checks.drift import drift
from checks.rules import registry
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
    write,
)
from harness.cli.proposing import propose
from harness.finding import Finding, Severity
from harness.report import github, junit, sarif, terminal, text
from harness.report import json as findings_json


class Layer(StrEnum):
    """What to check."""

    STATIC = "static"
    CATALOG = "catalog"
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
        typer.Argument(help="SQL files or directories instead of the schema.", show_default=False),
    ] = None,
    init: Annotated[
        bool, typer.Option("--init", help="Propose a harness.toml for a schema instead.")
    ] = False,
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
    """Prove isolation: from the SQL files, from a database's catalog, and by attacking it."""
    ctx = context(
        dsn=dsn,
        database=database,
        schema_dir=schema_dir,
        config=config,
        quiet=quiet,
        no_color=no_color,
    )
    if init:
        propose(ctx, paths or [], output)
        return
    findings: list[Finding] = []
    checked: list[str] = []
    if layer in (Layer.STATIC, Layer.ALL):
        found, written = static.check(paths or [], ctx.settings)
        findings += found
        checked.append(f"{len(written.tables)} tables by {len(registry())} rules")
    if layer in (Layer.CATALOG, Layer.ALL):
        with ctx.target() as target:
            found, held = catalog.check(target, ctx.settings)
        findings = catalog.merge([*findings, *found])
        checked.append(f"the catalog's {len(held.tables)} tables and partitions")
    if layer is Layer.ALL and not paths:
        findings += drift(written, held, ctx.settings.roles.owner)
    if layer in (Layer.ISOLATION, Layer.ALL):
        with ctx.target() as target, ctx.progress("Attacking") as moved:
            probes = isolation.check(target, ctx.settings, owned, moved)
        findings += leak_findings.findings(probes)
        checked.append(terminal.told_probes(probes))
    color = output is None and sys.stdout.isatty() and not ctx.console.no_color
    write(_render(findings, format, ", ".join(checked), color), output)
    raise typer.Exit(1 if any(f.severity is not Severity.INFO for f in findings) else 0)


def _render(findings: list[Finding], format: Format, checked: str, color: bool) -> str:
    if format is Format.TEXT:
        return text.render(findings, checked, color=color)
    if format is Format.JSON:
        return findings_json.render(findings)
    if format is Format.GITHUB:
        return github.render(findings)
    render = sarif.render if format is Format.SARIF else junit.render
    return render(findings, registry())
