"""harness mutate: how many planted faults the checks find."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from checks import mutate as mutation
from checks.mutate import Score
from harness.cli.options import (
    ConfigFile,
    Context,
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


class Layer(StrEnum):
    """Where to plant."""

    STATIC = "static"
    CATALOG = "catalog"
    ALL = "all"


class Format(StrEnum):
    """What scores can be rendered as."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the mutants of one operator in one layer."""

    operator: str
    layer: str
    planted: int
    killed: int
    impossible: int
    milliseconds: float
    rules: tuple[str, ...]


def mutate(
    layer: Annotated[Layer, typer.Argument(help="Where to plant.")] = Layer.STATIC,
    sample: Annotated[int, typer.Option(min=1, help="How many faults.")] = 200,
    seed: Annotated[int, typer.Option(help="The same seed plants the same faults.")] = 1,
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
    """Plant faults in the schema's files or in a database, one by one, and count those found."""
    ctx = context(
        dsn=dsn,
        database=database,
        schema_dir=schema_dir,
        config=config,
        quiet=quiet,
        no_color=no_color,
    )
    scores: list[Score] = []
    if layer in (Layer.STATIC, Layer.ALL):
        scores += _in_files(ctx, sample, seed)
    if layer in (Layer.CATALOG, Layer.ALL):
        scores += _in_database(ctx, sample, seed, owned)
    write(_text(scores) if format is Format.TEXT else _json(scores), output)
    raise typer.Exit(1 if any(score.verdict == "survived" for score in scores) else 0)


def _in_files(ctx: Context, sample: int, seed: int) -> list[Score]:
    with ctx.progress("Planting in files") as moved:
        return list(mutation.score_files(ctx.settings, sample, seed, moved))


def _in_database(ctx: Context, sample: int, seed: int, owned: str | None) -> list[Score]:
    with ctx.target() as target, ctx.progress("Planting in the database") as moved:
        return list(
            mutation.score_database(target, ctx.settings, sample, seed, owned, on_progress=moved)
        )


def tallies(scores: Iterable[Score]) -> list[Tally]:
    """Scores by operator and layer."""

    def key(score: Score) -> tuple[str, str]:
        return score.mutant.operator.name, score.layer

    return [
        _tally(name, layer, list(group))
        for (name, layer), group in groupby(sorted(scores, key=key), key=key)
    ]


def _tally(operator: str, layer: str, scores: list[Score]) -> Tally:
    planted = [score for score in scores if score.verdict != "impossible"]
    return Tally(
        operator,
        layer,
        planted=len(planted),
        killed=sum(score.verdict == "killed" for score in planted),
        impossible=len(scores) - len(planted),
        milliseconds=round(1000 * sum(s.seconds for s in planted) / max(len(planted), 1), 1),
        rules=tuple(sorted({rule for score in planted for rule in score.rules})),
    )


def _text(scores: list[Score]) -> str:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("", "operator", "layer", "planted", "killed", "ms each", "found by"):
        table.add_column(heading, justify="right" if heading in _NUMERIC else "left")
    for tally in tallies(scores):
        sign = "✓" if tally.killed == tally.planted else "✗"
        figures = (str(tally.planted), str(tally.killed), f"{tally.milliseconds:g}")
        table.add_row(sign, tally.operator, tally.layer, *figures, " ".join(tally.rules))
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        console.print(table)
    return "\n".join([captured.get().rstrip(), "", *_survivors(scores), _summary(scores)])


_NUMERIC = ("planted", "killed", "ms each")


def _survivors(scores: list[Score]) -> list[str]:
    return [
        f"SURVIVED {score.mutant.operator.name} ({score.layer}): {score.mutant.operator.fault}\n"
        f"    {score.mutant.text}"
        for score in scores
        if score.verdict == "survived"
    ]


def _summary(scores: list[Score]) -> str:
    planted = [score for score in scores if score.verdict != "impossible"]
    killed = sum(score.verdict == "killed" for score in planted)
    refused = len(scores) - len(planted)
    share = 100 * killed / len(planted) if planted else 0
    told = f"{killed:,} of {len(planted):,} planted faults were found ({share:.1f} %)"
    return f"{told}; PostgreSQL refused {refused:,} more" if refused else told


def _json(scores: list[Score]) -> str:
    found = [
        {
            "operator": score.mutant.operator.name,
            "fault": score.mutant.operator.fault,
            "table": str(score.mutant.table),
            "sql": score.mutant.text,
            "layer": score.layer,
            "verdict": score.verdict,
            "rules": score.rules,
            "detail": score.detail,
            "seconds": round(score.seconds, 4),
        }
        for score in scores
    ]
    return json.dumps({"format": 1, "mutants": found}, indent=2)
