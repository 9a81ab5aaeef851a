"""`python -m dashboards` writes the boards, the rules with their tests, and the page on alerts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashboards.documents import documents
from harness.config import load
from harness.errors import HarnessError
from loadtests.load import promised
from loadtests.query import BUNDLED, read_all

ROOT = Path(__file__).parent.parent


def write(
    into: Annotated[Path, typer.Option(help="Directory to write below.")] = ROOT,
    config: Annotated[Path | None, typer.Option(help="The harness.toml with budgets.")] = None,
    sql: Annotated[Path, typer.Option(help="Directory of critical queries.")] = BUNDLED,
) -> None:
    """Write boards, rules, their tests and the page on alerts, for these critical queries."""
    try:
        settings = load(config_file=config)
        queries = promised(settings, read_all(sql, settings.tenancy.column))
    except HarnessError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    for name, text in documents(queries).items():
        path = into / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        typer.echo(path)


if __name__ == "__main__":
    typer.run(write)
