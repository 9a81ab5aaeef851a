"""How far a run went, by schema: tables that are there, filled, attacked and queried."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from harness.report.isolation import PROBES
from harness.run import QueryResult, Run

_NAME = re.compile(r"\b[a-z_][a-z0-9_$]*\.[a-z_][a-z0-9_$]*\b")
"""A name with its schema, as the text of a critical query has it."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """One schema; counts of tables, a partitioned one with its partitions counted once."""

    schema: str
    tables: int
    filled: int
    attacked: int
    queried: int | None
    """Tables that the text of a critical query names; those inside functions are not seen. None
    where no text is known."""
    queries: int
    """Critical queries named after the schema."""
    rows: int
    bytes: int


def coverage(run: Run) -> tuple[Coverage, ...]:
    """Every schema, then all of them together where there are several."""
    attacked, queried = _counted(_attacked(run)), _counted(_queried(run))
    per_schema = tuple(_of(schema, run, attacked, queried) for schema in _schemas(run))
    return (*per_schema, _total(per_schema)) if len(per_schema) > 1 else per_schema


def _schemas(run: Run) -> list[str]:
    named = {*_tables(run).keys(), *(run.deploy.objects if run.deploy else ())}
    named |= set(run.volume.schemas if run.volume else ())
    return sorted(named)


def _of(schema: str, run: Run, attacked: Counter[str], queried: Counter[str]) -> Coverage:
    tables = run.fill.tables if run.fill else ()
    mine = [table for table in tables if table.table.startswith(f"{schema}.")]
    volume = run.volume.schemas.get(schema) if run.volume else None
    return Coverage(
        schema=schema,
        tables=_tables(run)[schema],
        filled=sum(1 for table in mine if table.rows),
        attacked=attacked[schema],
        queried=queried[schema] if any(_statements(run)) else None,
        queries=sum(query.name.startswith(f"{schema}.") for query in _queries(run)),
        rows=sum(table.rows for table in mine),
        bytes=volume.bytes if volume else 0,
    )


def _total(of: tuple[Coverage, ...]) -> Coverage:
    queried = [each.queried for each in of if each.queried is not None]
    return Coverage(
        schema="all",
        tables=sum(each.tables for each in of),
        filled=sum(each.filled for each in of),
        attacked=sum(each.attacked for each in of),
        queried=sum(queried) if queried else None,
        queries=sum(each.queries for each in of),
        rows=sum(each.rows for each in of),
        bytes=sum(each.bytes for each in of),
    )


def _tables(run: Run) -> Counter[str]:
    """Tables per schema: as deployed, else as they were filled or attacked."""
    if run.deploy:
        kinds = run.deploy.objects.items()
        return Counter({schema: counts.get("tables", 0) for schema, counts in kinds})
    filled = {table.table for table in run.fill.tables} if run.fill else set()
    return _counted(filled | _attacked(run))


def _attacked(run: Run) -> set[str]:
    return {probe.object for probe in run.probes if probe.probe in PROBES}


def _queried(run: Run) -> set[str]:
    filled = {table.table for table in run.fill.tables} if run.fill else set()
    named = {name for statement in _statements(run) for name in _NAME.findall(statement)}
    return named & (filled | _attacked(run))


def _statements(run: Run) -> list[str]:
    return [query.statement for query in _queries(run)]


def _queries(run: Run) -> tuple[QueryResult, ...]:
    return run.load.queries if run.load else ()


def _counted(names: Iterable[str]) -> Counter[str]:
    return Counter(name.partition(".")[0] for name in names)
