"""Times reading queries under row security beside the same with explicit predicates.

Both are called in turn, with the same values, one after the other, so that what else the machine
does hits both. The one is the application; the other a role that row security is not for. Writes
are left out: triggers that ask whether row security is active would do other things.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, LiteralString

import numpy as np
import psycopg

from harness.catalog.model import Name
from harness.config import Settings
from harness.db import Target, connect, is_lost, one_line
from harness.deploy import target as targets
from harness.finding import Finding
from harness.report.described import RLS_COST
from harness.rls_cost_result import QueryRlsCost, RlsCostResult
from loadtests import load, workload
from loadtests.query import BUNDLED, Query
from loadtests.rls_cost.calling import Both, Called
from loadtests.rls_cost.explicit import NotRewritten
from loadtests.tenants import Shares
from loadtests.workload import TenantSamples

PROMISE = 1.05
"""Of the median query: what row security may cost."""
FACTOR, MORE = 1.5, 16
"""So many times the blocks, and so many more, are another plan."""
TENANTS = 3
RESAMPLES = 200
Ratios = np.ndarray[Any, np.dtype[np.float64]]
_RELATIONS: LiteralString = """
SELECT n.nspname, c.relname
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'v')
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE a.attname = %s AND a.attnum > 0 AND NOT a.attisdropped
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""
_WHY = (
    "An operator that is not leakproof cannot use its index before the policy has let a row pass, "
    "and an index that does not lead with the tenant is passed over or read for everybody."
)


@dataclass(frozen=True, slots=True)
class CostSettings:
    """What is asked, and how often."""

    queries_dir: Path = BUNDLED
    only: tuple[str, ...] = ()
    sets: int = 30
    """Sets of values per query and tenant."""


def compare(
    database: Target,
    settings: Settings,
    wanted: CostSettings,
    owned: str | None = None,
    on_progress: Callable[[float, float], None] = lambda *_: None,
) -> RlsCostResult:
    """All reading queries; nothing is written.

    Raises RefusedError where the database is not the harness's and `owned` does not name it.
    """
    asked = load.LoadSettings(queries_dir=wanted.queries_dir, only=wanted.only)
    queries = [query for query in load.chosen(settings, asked) if query.mode == "read"]
    reader = load.reader(database)
    with connect(reader, application_name="harness rls") as free:
        targets.require(free, owned)
        tenants = workload.draw_tenants(free, settings, queries, Shares())[:TENANTS]
        relations = frozenset(
            Name(*row) for row in free.execute(_RELATIONS, [settings.tenancy.column]).fetchall()
        )
        free.commit()
        with connect(database.app, application_name="harness rls") as secured:
            both = Both(secured, free, settings, relations, wanted.sets)
            found = []
            for at, query in enumerate(queries):
                on_progress(at, len(queries))
                found.append(_told(both, query, tenants))
    figures = tuple(figure for figure, _ in found)
    sampled = [ratios for _, ratios in found if ratios is not None]
    low, high = _ends(np.median(sampled, axis=0)) if sampled else (0.0, 0.0)
    return RlsCostResult(figures, PROMISE, low, high, both.has_processor_time)


def _told(
    both: Both, query: Query, tenants: Sequence[TenantSamples]
) -> tuple[QueryRlsCost, Ratios | None]:
    """A query's figures, and its ratio in each resample."""
    told = QueryRlsCost(query.name, query.title)
    try:
        called = list(both.calls(query, tenants))
    except NotRewritten as reason:
        return replace(told, note=str(reason)), None
    except psycopg.Error as error:
        if is_lost(error):
            raise
        return replace(told, note=one_line(error)), None
    if not called:
        return replace(told, note="no tenant has values for it"), None
    ratios = _ratios(called)
    return _figures(told, called, ratios), ratios


def _ratios(called: Sequence[Called]) -> Ratios:
    """The ratio of medians in each resample of the pairs."""
    times = _times(called)
    places = np.random.default_rng(1).integers(len(times), size=(RESAMPLES, len(times)))
    medians = np.median(times[places], axis=1)
    ratios: Ratios = medians[:, 0] / np.maximum(medians[:, 1], 1e-6)
    return ratios


def _times(called: Sequence[Called]) -> Ratios:
    return np.array([(pair.secured, pair.explicit) for each in called for pair in each.times])


def _ends(sampled: Ratios) -> tuple[float, float]:
    """What 95 % of resamples lie between."""
    low, high = np.quantile(sampled, (0.025, 0.975))
    return float(low), float(high)


def _figures(told: QueryRlsCost, called: Sequence[Called], ratios: Ratios) -> QueryRlsCost:
    times = _times(called)
    blocks = [pair for each in called for pair in each.blocks]
    low, high = _ends(ratios)
    secured, explicit = (float(x) for x in np.median(times, axis=0))
    return replace(
        told,
        calls=len(times),
        secured_ms=secured,
        explicit_ms=explicit,
        ratio=secured / max(explicit, 1e-6),
        low=low,
        high=high,
        secured_buffers=median(pair.secured for pair in blocks),
        explicit_buffers=median(pair.explicit for pair in blocks),
    )


def findings(result: RlsCostResult) -> tuple[Finding, ...]:
    """Queries that row security makes read far more: it keeps them from an index."""
    return tuple(
        Finding(
            rule=RLS_COST.id,
            severity=RLS_COST.severity,
            object=query.name,
            message="row security keeps it from the plan that it has with explicit predicates",
            why=f"{query.secured_buffers:,.0f} blocks a call against "
            f"{query.explicit_buffers:,.0f}, {query.ratio:.2f} times as long. {_WHY}",
            fix="compare by equality, order or prefix what an index behind the tenant column "
            "holds: a stored generated column, a table of words (PRF005 finds such indexes)",
        )
        for query in result.compared
        if query.secured_buffers > FACTOR * query.explicit_buffers + MORE
    )
