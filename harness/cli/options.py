"""Options that commands share, and the one value that they become."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from harness.cli.rates import Rates
from harness.config import Settings, load, server_dsn
from harness.db import Target, database_of
from harness.live import working
from harness.server.reach import reached

Dsn = Annotated[
    str | None,
    typer.Option(
        help="Server to use instead of the embedded one, as an owner.", show_default=False
    ),
]
Database = Annotated[
    str | None, typer.Option(help="Database on the embedded server.", show_default="harness")
]
SchemaDir = Annotated[
    Path | None,
    typer.Option(help="Directory of the schema's SQL files.", show_default="the bundled schema"),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="harness.toml or pyproject.toml.", show_default="the nearest"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colors; NO_COLOR does the same.")]
Owned = Annotated[
    str | None,
    typer.Option(
        "--i-own-this-database",
        metavar="NAME",
        help="Change this database although the harness did not make it.",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="File to write to.", show_default="stdout")
]


@dataclass(frozen=True, slots=True)
class Context:
    """Settings and where to talk to the user: `console` is stderr, results go to stdout."""

    settings: Settings
    console: Console
    quiet: bool

    @contextmanager
    def target(self) -> Iterator[Target]:
        """The database to work on; the embedded server runs for as long as the block takes."""
        with reached(self.settings) as target:
            yield target

    @contextmanager
    def progress(self, doing: str) -> Iterator[Any]:
        """A callback `(done, total)` that moves a progress bar, on a terminal.

        Who counts rows says `(done, total, rows, where)`, and sees rows per second.
        """
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[at]}"),
            console=self.console,
            transient=True,
            disable=self.quiet or not self.console.is_terminal,
        )
        with bar, working.published(doing, self._database()) as tell:
            task = bar.add_task(doing, total=None, at="")
            rates = Rates()

            def moved(done: int, total: int, rows: int = 0, where: str = "") -> None:
                at = rates.told(rows, where) if where else ""
                bar.update(task, completed=done, total=total, at=at)
                tell(done, total, rows, where)

            yield moved

    def _database(self) -> str:
        dsn = server_dsn(self.settings)
        return self.settings.database if dsn is None else database_of(dsn)

    def say(self, text: str) -> None:
        """Tells the user something, unless they want quiet."""
        if not self.quiet:
            self.console.print(text, highlight=False, soft_wrap=True)


def context(
    *,
    dsn: str | None = None,
    database: str | None = None,
    schema_dir: Path | None = None,
    checks: Mapping[str, Any] | None = None,
    config: Path | None = None,
    quiet: bool = False,
    no_color: bool = False,
) -> Context:
    """The context of a command from its options."""
    options = {
        "dsn": SecretStr(dsn) if dsn is not None else None,
        "database": database,
        "schema_dir": schema_dir,
        "checks": {name: given for name, given in (checks or {}).items() if given is not None},
    }
    console = Console(stderr=True, no_color=no_color or None, highlight=False)
    return Context(load(options, config), console, quiet)


def append(text: str, output: Path) -> None:
    """Adds a result to a file that others write to as well."""
    with output.open("a", encoding="utf-8") as file:
        file.write(text)


def write(text: str, output: Path | None) -> None:
    """Writes a result to a file, whole or not at all, or to stdout."""
    if output is None:
        sys.stdout.write(text)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    aside = output.with_name(output.name + ".part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(output)
