"""`python -m dashboards.ask URL` asks a Prometheus everything that boards and rules ask."""

from __future__ import annotations

from typing import Annotated

import typer

from dashboards.asking import Asked, Prometheus, expressions


def ask(
    url: Annotated[str, typer.Argument(help="Of the Prometheus, as http://127.0.0.1:9090.")],
    query: Annotated[str, typer.Option(help="The critical query to choose on boards.")] = ".*",
) -> None:
    """Tell which panels and rules have no answer and why; exit code 1 where one has to have one."""
    asked, prometheus = expressions(query), Prometheus(url)
    try:
        found = [(each, fault) for each in asked if (fault := prometheus.fault(each.expr))]
    except OSError as error:
        typer.echo(f"error: {url} does not answer: {error}", err=True)
        raise typer.Exit(3) from None
    for each, fault in found:
        typer.echo(_told(each, fault))
    failed = sum(not _may_be(each, fault) for each, fault in found)
    typer.echo(f"{len(asked)} expressions, {len(found)} without an answer, {failed} failed")
    raise typer.Exit(1 if failed else 0)


def _told(asked: Asked, fault: str) -> str:
    if _may_be(asked, fault):
        return f"– {asked.where}: {asked.quiet}"
    return f"✗ {asked.where}: {fault}"


def _may_be(asked: Asked, fault: str) -> bool:
    """Whether that is no fault: nothing is there to be told of."""
    return fault == "empty" and bool(asked.quiet)


if __name__ == "__main__":
    typer.run(ask)
