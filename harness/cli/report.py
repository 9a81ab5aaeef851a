"""harness report."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness import run as document
from harness.cli.options import NoColor, Output, context, write
from harness.report import html, junit_run, prometheus, terminal
from harness.run import Run


class Format(StrEnum):
    """What a run can be rendered as."""

    TEXT = "text"
    HTML = "html"
    JSON = "json"
    JUNIT = "junit"
    PROMETHEUS = "prometheus"


RENDERERS = {
    Format.HTML: html.render,
    Format.JSON: document.to_json,
    Format.JUNIT: junit_run.render,
    Format.PROMETHEUS: prometheus.textfile,
}
FILES = {
    Format.HTML: "report.html",
    Format.JSON: "run.json",
    Format.JUNIT: "junit.xml",
    Format.PROMETHEUS: "metrics.prom",
}


def report(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="A run document (run.json).")],
    format: Annotated[Format, typer.Option(help="What to render.")] = Format.TEXT,
    output: Output = None,
    no_color: NoColor = False,
) -> None:
    """Render a run document for people or programs."""
    run = document.load(path)
    if format is Format.TEXT:
        terminal.print_run(run, context(no_color=no_color).console)
        return
    write(RENDERERS[format](run), output)


def write_all(run: Run, directory: Path) -> None:
    """Every rendering of the run, into the directory."""
    for format, name in FILES.items():
        write(RENDERERS[format](run), directory / name)
