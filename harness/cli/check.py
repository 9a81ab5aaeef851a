"""harness check static|catalog|isolation|citus|all."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from checks import baseline as baselines
from checks import selection, settling
from checks.baseline import Scope
from checks.probe import own_rules
from checks.rules import registry
from harness.cli.looking import ANYWHERE, Layer, Looked, look
from harness.cli.options import (
    ConfigFile,
    Database,
    Dsn,
    NoColor,
    Output,
    Owned,
    Quiet,
    SchemaDir,
    append,
    context,
    write,
)
from harness.cli.proposing import propose
from harness.errors import UsageError
from harness.report import github, gitlab, junit, markdown, prometheus_check, sarif, text
from harness.report import json as findings_json
from harness.report.described import DRIFT
from harness.report.rules import RuleDescription
from harness.verdict import Verdict


class Format(StrEnum):
    """What findings can be rendered as."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    JUNIT = "junit"
    GITHUB = "github"
    GITLAB = "gitlab"
    MARKDOWN = "markdown"
    PROMETHEUS = "prometheus"


class Threshold(StrEnum):
    """The lowest severity that fails the check."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    NEVER = "never"


Rules = Annotated[
    list[str] | None,
    typer.Option(metavar="RULES", help="Rules, or what ids begin with: POL,RLS001."),
]
FailOn = Annotated[
    Threshold | None, typer.Option(help="The lowest severity that fails.", show_default="warning")
]
BaselineFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Known findings, which do not count.")
]


def check(
    subject: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[static|catalog|isolation|citus|all] [PATH]...",
            help="What to check, all by default; SQL files or directories instead of the schema,"
            " statically by default.",
            show_default=False,
        ),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Attack this table alone; may be given several times."),
    ] = None,
    citus: Annotated[
        bool,
        typer.Option("--citus", help="With all, also what every node of the Citus cluster holds."),
    ] = False,
    init: Annotated[
        bool, typer.Option("--init", help="Propose a harness.toml for a schema instead.")
    ] = False,
    dsn: Dsn = None,
    database: Database = None,
    schema_dir: SchemaDir = None,
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.TEXT,
    output: Output = None,
    summary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append a Markdown summary: $GITHUB_STEP_SUMMARY."),
    ] = None,
    select: Rules = None,
    ignore: Rules = None,
    fail_on: FailOn = None,
    baseline: BaselineFile = None,
    write_baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Make what is found now the baseline.")
    ] = None,
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
        checks={
            "select": select,
            "ignore": ignore,
            "fail_on": fail_on,
            "baseline": baseline,
        },
        config=config,
        quiet=quiet,
        no_color=no_color,
    )
    layer, paths = _subject(subject or [])
    layers = _layers(layer, citus)
    if init:
        propose(ctx, paths, output)
        return
    checks = ctx.settings.checks
    selection.require_known(checks)
    named = "all --citus" if len(layers) > len(ANYWHERE) else layer.value
    scope = Scope(named, tuple(path.as_posix() for path in paths))
    known = (
        settling.baseline_to_renew(write_baseline, scope)
        if write_baseline
        else settling.baseline_of(checks)
    )
    looked = look(ctx, layers, paths, owned, table or [])
    verdict = settling.settle(looked.findings, looked.allowances, looked.layers, checks)
    if known and write_baseline:
        known = settling.renewed(verdict, known, checks)
        write(baselines.render(known), write_baseline)
    if known:
        verdict = settling.hold_back(verdict, known, scope, checks)
    color = output is None and sys.stdout.isatty() and not ctx.console.no_color
    write(_render(verdict, looked, format, color), output)
    if summary:
        append(_render(verdict, looked, Format.MARKDOWN, False), summary)
    raise typer.Exit(1 if verdict.failed else 0)


def _layers(layer: Layer, citus: bool) -> tuple[Layer, ...]:
    """The layers to look at; raises UsageError for a cluster's beside one that is not all."""
    if layer is Layer.ALL:
        return (*ANYWHERE, Layer.CITUS) if citus else ANYWHERE
    if citus and layer is not Layer.CITUS:
        raise UsageError(f"--citus stands with all: harness check all --citus, or {layer} alone")
    return (layer,)


def _subject(words: list[str]) -> tuple[Layer, list[Path]]:
    """The layer and the paths that are named; raises UsageError for what is neither."""
    if not words:
        return Layer.ALL, []
    named = words[0] in set(Layer)
    paths = [Path(word) for word in words[named:]]
    if not named and not paths[0].exists():
        layers = ", ".join(Layer)
        raise UsageError(f"{words[0]}: neither a file nor one of {layers}; name what to check")
    return Layer(words[0]) if named else Layer.STATIC, paths


def _render(verdict: Verdict, looked: Looked, format: Format, color: bool) -> str:
    if format is Format.TEXT:
        return text.render(verdict, ", ".join(looked.checked), color=color)
    if format is Format.JSON:
        return findings_json.render(verdict)
    if format is Format.GITHUB:
        return github.render(verdict)
    if format is Format.PROMETHEUS:
        return prometheus_check.textfile(verdict, len(looked.source.catalog.tables), looked.cells)
    if format is Format.GITLAB:
        return gitlab.render(verdict)
    if format is Format.MARKDOWN:
        return markdown.render(verdict, ", ".join(looked.checked))
    render = sarif.render if format is Format.SARIF else junit.render
    return render(verdict, _rules(looked))


def _rules(looked: Looked) -> list[RuleDescription]:
    """What was looked for; probes and a comparison count only where they were carried out."""
    compared = {Layer.STATIC, Layer.CATALOG} <= {*looked.layers}
    probes = own_rules() if Layer.ISOLATION in looked.layers else ()
    return [*registry(), *([DRIFT] if compared else ()), *probes]
