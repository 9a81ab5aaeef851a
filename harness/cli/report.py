"""harness report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from checks import leak_findings, rules
from checks.probe import own_rules
from harness import run as document
from harness.cli import comparing, history
from harness.cli.options import ConfigFile, Context, NoColor, Output, context, write
from harness.errors import UsageError
from harness.report import (
    embedded,
    github_run,
    gitlab,
    junit_run,
    markdown_run,
    prometheus,
    sarif,
    terminal,
)
from harness.report.described import DESCRIBED
from harness.report.rules import RuleDescription
from harness.run import Run
from harness.verdict import Verdict


class Format(StrEnum):
    """What a run can be rendered as."""

    TEXT = "text"
    HTML = "html"
    JSON = "json"
    JUNIT = "junit"
    PROMETHEUS = "prometheus"
    MARKDOWN = "markdown"
    GITHUB = "github"
    SARIF = "sarif"
    GITLAB = "gitlab"


def _page(run: Run) -> str:
    # Every other command answers half a second sooner without pandas.
    from harness.report import html

    return html.render(run)


def _rules() -> list[RuleDescription]:
    """Those that findings of a run may name."""
    return [*rules.registry(), *DESCRIBED, *own_rules()]


def _findings(run: Run) -> Verdict:
    """What a run found in files and catalog and by its probes, as `harness check` tells it."""
    found = (*run.findings, *leak_findings.findings(run.probes))
    return Verdict(found, run.suppressed, fail_on=run.fail_on)


RENDERERS: Mapping[Format, Callable[[Run], str]] = {
    Format.HTML: _page,
    Format.JSON: document.to_json,
    Format.JUNIT: junit_run.render,
    Format.PROMETHEUS: prometheus.textfile,
    Format.MARKDOWN: markdown_run.render,
    Format.GITHUB: github_run.render,
    Format.SARIF: lambda run: sarif.render(_findings(run), _rules()),
    Format.GITLAB: lambda run: gitlab.render(_findings(run)),
}
FILES = {
    Format.HTML: "report.html",
    Format.JSON: "run.json",
    Format.JUNIT: "junit.xml",
    Format.PROMETHEUS: "metrics.prom",
    Format.MARKDOWN: "summary.md",
}


def report(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="A run document (run.json), or the page of a run."),
    ] = None,
    past: Annotated[
        bool, typer.Option("--history", help="The latest runs instead: text or json.")
    ] = False,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="A B",
            help="What changed from run A to run B, documents or ids of the history: text, html, "
            "markdown or json; exit code 1 when B is worse.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many runs of the history.")] = 20,
    format: Annotated[Format, typer.Option(help="What to render.")] = Format.TEXT,
    output: Output = None,
    config: ConfigFile = None,
    no_color: NoColor = False,
) -> None:
    """Render a run document, what changed between two, or the history, for people or programs."""
    ctx = context(config=config, no_color=no_color)
    if sum((past, path is not None, compare is not None)) != 1:
        raise UsageError("name a run document, or ask for --history, or --compare two runs")
    if compare is not None:
        changed = comparing.show(ctx, compare, format.value, output)
        raise typer.Exit(1 if changed.worse else 0)
    if path is None:
        history.show(ctx, limit, format.value, output)
    else:
        _render(ctx, embedded.read(path), format, output)


def _render(ctx: Context, run: Run, format: Format, output: Path | None) -> None:
    if format is Format.TEXT:
        terminal.print_run(run, ctx.console)
        return
    write(RENDERERS[format](run), output)


def write_all(run: Run, directory: Path) -> None:
    """Every rendering of the run, into the directory."""
    for format, name in FILES.items():
        write(RENDERERS[format](run), directory / name)
