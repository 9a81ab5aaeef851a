"""Times reading queries under row security beside the same with explicit predicates.

Both are called in turn, with the same values, one after the other, so that what else the machine
does hits both. The one is the application; the other a role that row security is not for. Writes
are left out: triggers that ask whether row security is active would do other things.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, LiteralString

import numpy as np
import psycopg

from harness.catalog.model import Name
from harness.config import Settings
from harness.db import Connection, Target, connect, is_lost, one_line
from harness.deploy import target as targets
from harness.finding import Finding
from harness.report.described import RLS_COST
from harness.rls_cost_result import QueryRlsCost, RlsCostResult
from loadtests import load, plans, workload
from loadtests.query import BUNDLED, Query
from loadtests.rls_cost.explicit import NotRewritten, Predicate, rewritten
from loadtests.tenants import Shares
from loadtests.workload import TenantSamples

PROMISE = 1.05
"""Of the median query: what row security may cost."""
FACTOR, MORE = 1.5, 16
"""So many times the blocks, and so many more, are another plan."""
TENANTS = 3
WARM_UP = 1
RESAMPLES = 200
_EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
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
    sets: int = 15
    """Sets of values per query and tenant."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """One call under row security, and the same without."""

    secured_ms: float
    explicit_ms: float
    secured_buffers: int
    explicit_buffers: int


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
            both = _Both(secured, free, settings, relations, wanted.sets)
            found = [
                _told(both, query, tenants, on_progress, at, len(queries))
                for at, query in enumerate(queries)
            ]
    return RlsCostResult(tuple(found), PROMISE)


def _told(
    both: _Both,
    query: Query,
    tenants: Sequence[TenantSamples],
    on_progress: Callable[[float, float], None],
    at: int,
    of: int,
) -> QueryRlsCost:
    on_progress(at, of)
    told = QueryRlsCost(query.name, query.title)
    try:
        pairs = list(both.pairs(query, tenants))
    except NotRewritten as reason:
        return replace(told, note=str(reason))
    except psycopg.Error as error:
        if is_lost(error):
            raise
        return replace(told, note=one_line(error))
    return compared(told, pairs) if pairs else replace(told, note="no tenant has values for it")


def compared(told: QueryRlsCost, pairs: Sequence[_Pair]) -> QueryRlsCost:
    """The figures of a query from its pairs of calls."""
    times = np.array([(pair.secured_ms, pair.explicit_ms) for pair in pairs])
    low, high = _interval(times)
    secured, explicit = (float(x) for x in np.median(times, axis=0))
    return replace(
        told,
        calls=len(pairs),
        secured_ms=secured,
        explicit_ms=explicit,
        ratio=secured / max(explicit, 1e-6),
        low=low,
        high=high,
        secured_buffers=median(pair.secured_buffers for pair in pairs),
        explicit_buffers=median(pair.explicit_buffers for pair in pairs),
    )


def _interval(times: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float]:
    """The ratio of medians in 95 % of resamples of the pairs."""
    places = np.random.default_rng(1).integers(len(times), size=(RESAMPLES, len(times)))
    medians = np.median(times[places], axis=1)
    ratios = medians[:, 0] / np.maximum(medians[:, 1], 1e-6)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(low), float(high)


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
            fix="an index that leads with the tenant column, of btree_gin or btree_gist where the "
            "operator is not one of btree's; or a leakproof condition before it",
        )
        for query in result.compared
        if query.secured_buffers > FACTOR * query.explicit_buffers + MORE
    )


class _Both:
    """Two sessions: the application's, and one that row security is not for."""

    def __init__(
        self,
        secured: Connection,
        free: Connection,
        settings: Settings,
        relations: frozenset[Name],
        sets: int,
    ) -> None:
        self._secured, self._free = secured, free
        self._tenancy, self._settings = settings.tenancy, settings
        self._relations, self._sets = relations, sets
        for connection in (secured, free):
            connection.execute("SET statement_timeout = '60s'")
            connection.commit()

    def pairs(self, query: Query, tenants: Sequence[TenantSamples]) -> Iterator[_Pair]:
        """Calls of both kinds in turn, after a first one that does not count."""
        numbered = query.numbered
        own = next((n for n in query.parameters if n in ("business_id", self._tenancy.column)), "")
        place = query.parameters.index(own) + 1 if own else len(query.parameters) + 1
        value = f"${place}::{self._tenancy.type}"
        column = psycopg.sql.Identifier(self._tenancy.column).as_string(None)
        explicit = rewritten(numbered, Predicate(self._relations, column, value))
        for tenant in tenants:
            if query.samples and not tenant.rows[query.name]:
                continue
            more = [] if own else [tenant.id]
            with self._as_tenant(tenant.id):
                for turn in range(-WARM_UP, self._sets):
                    values = plans.values(query, tenant, max(turn, 0), self._settings)
                    ordered = [values[name] for name in query.parameters]
                    # Each goes first every other time.
                    calls = [
                        (self._secured, numbered, ordered),
                        (self._free, explicit, ordered + more),
                    ]
                    first, second = (calls[turn % 2], calls[1 - turn % 2])
                    told = {id(c[0]): self._explain(*c) for c in (first, second)}
                    if turn >= 0:
                        yield _pair(told[id(self._secured)], told[id(self._free)])

    @contextmanager
    def _as_tenant(self, tenant: str) -> Iterator[None]:
        with (
            self._secured.transaction(force_rollback=True),
            self._free.transaction(force_rollback=True),
        ):
            for connection in (self._secured, self._free):
                connection.execute(self._tenancy.set_tenant.encode(), [tenant])
            yield

    def _explain(
        self, connection: Connection, statement: str, values: Sequence[str | None]
    ) -> Mapping[str, Any]:
        cursor = psycopg.RawCursor(connection)
        row = cursor.execute((_EXPLAIN + statement).encode(), values).fetchone()
        assert row  # noqa: S101 - EXPLAIN answers with one row
        content: Any = json.loads(row[0]) if isinstance(row[0], str) else row[0]
        document: Mapping[str, Any] = content[0]
        return document


def _pair(secured: Mapping[str, Any], explicit: Mapping[str, Any]) -> _Pair:
    return _Pair(
        float(secured["Execution Time"]),
        float(explicit["Execution Time"]),
        plans.buffers(secured["Plan"]),
        plans.buffers(explicit["Plan"]),
    )
