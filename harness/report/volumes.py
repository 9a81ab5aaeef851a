"""How much the schemas held in two runs."""

from __future__ import annotations

from collections import Counter

from harness.report.change import SchemaVolumes
from harness.run import Run


def volumes(then: Run, now: Run) -> tuple[SchemaVolumes, ...]:
    """By schema; nothing where the runs hold the same, or one of them does not tell."""
    rows, sizes = (_rows(then), _rows(now)), (_sizes(then), _sizes(now))
    if rows[0] == rows[1] and sizes[0] == sizes[1]:
        return ()
    names = sorted({name for told in (*rows, *sizes) if told for name in told})
    return tuple(
        SchemaVolumes(name, *(_of(name, told) for told in (*rows, *sizes))) for name in names
    )


def _of(name: str, told: dict[str, int] | None) -> int | None:
    return None if told is None else told.get(name, 0)


def _rows(run: Run) -> dict[str, int] | None:
    if run.fill is None:
        return None
    counted: Counter[str] = Counter()
    for table in run.fill.tables:
        counted[table.table.partition(".")[0]] += table.rows
    return dict(counted)


def _sizes(run: Run) -> dict[str, int] | None:
    if run.volume is None:
        return None
    return {schema: volume.bytes for schema, volume in run.volume.schemas.items()}
