"""Measures the critical queries in databases of several sizes and says how each one grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.config import Settings
from harness.db import Target, connect
from harness.deploy import target as targets
from harness.finding import Finding
from harness.growth_result import GrowthResult
from loadtests import load, workload
from loadtests.growth import judging, measuring
from loadtests.growth.measuring import Advance, Database
from loadtests.query import BUNDLED, Query
from loadtests.tenants import Shares

TENANTS = 3
"""The largest ones ask; the others have fewer rows than tell anything."""


@dataclass(frozen=True, slots=True)
class GrowthSettings:
    """What is asked, how often and up to which size."""

    queries_dir: Path = BUNDLED
    only: tuple[str, ...] = ()
    calls: int = 12
    """Sets of values per query, tenant and database."""
    target: str = "100x"
    """What costs are extrapolated to: a factor on the largest database, or rows of a table."""

    @property
    def queries_of(self) -> load.LoadSettings:
        """The same choice of queries as a load's."""
        return load.LoadSettings(queries_dir=self.queries_dir, only=self.only)


@dataclass(frozen=True, slots=True)
class Growth:
    """What came out, and what is wrong with it."""

    result: GrowthResult
    findings: tuple[Finding, ...]


def measure(
    database: Target,
    settings: Settings,
    scale: str,
    wanted: GrowthSettings,
    owned: str | None = None,
    on_progress: Advance = lambda *_: None,
) -> Database:
    """Calls the queries in one database; nothing stays of what they write.

    Raises RefusedError where the database is not the harness's and `owned` does not name it.
    """
    queries = load.chosen(settings, wanted.queries_of)
    with connect(load.reader(database)) as connection:
        targets.require(connection, owned)
        drawn = workload.draw_tenants(connection, settings, queries, Shares())
    asking = drawn[:TENANTS]
    return measuring.measure(database, settings, scale, queries, asking, wanted.calls, on_progress)


def judged(
    databases: Sequence[Database],
    settings: Settings,
    wanted: GrowthSettings,
    on_progress: Advance = lambda *_: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Growth:
    """The laws of all queries over databases, the smallest first; UsageError for a target that
    cannot be understood."""
    started, target = clock(), judging.size(wanted.target)
    queries = load.chosen(settings, wanted.queries_of)
    grown = []
    for done, query in enumerate(queries):
        on_progress(done, len(queries))
        grown.append(judging.judge(query, databases, target))
    result = GrowthResult(
        scales=tuple(database.scale for database in databases),
        target=wanted.target,
        calls=wanted.calls,
        queries=tuple(grown),
        seconds=clock() - started,
    )
    return Growth(result, tuple(_findings(queries, result, databases[-1], settings)))


def _findings(
    queries: Sequence[Query], result: GrowthResult, largest: Database, settings: Settings
) -> list[Finding]:
    found = (
        judging.finding(query, grown, largest.calls[query.name].plan, settings.tenancy.column)
        for query, grown in zip(queries, result.queries, strict=True)
    )
    return [finding for finding in found if finding is not None]
