"""From calls in databases of several sizes to a law for each query, and to findings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from harness.catalog.model import Name
from harness.catalog.parsing import parse_sql
from harness.errors import UsageError
from harness.finding import Finding, Severity
from harness.growth_result import Fit, GrowthPoint, Planning, QueryGrowth, Shape
from harness.report.described import GROWTH
from loadtests.growth import laws
from loadtests.growth.measuring import PLANNINGS, Cost, Database
from loadtests.query import Query

SURE = 0.9
"""Of the resamples, so many grow linearly or worse before a query is said to."""
LEAST_SLOPE = 0.5
"""Of the logarithms, which a cost that grows must reach at the top of its interval: what rises less
may be indexes that got a level, one in each partition."""
_LEVELS = (
    "{:,.0f} blocks rise to {:,.0f} while rows go from {:,} to {:,}: too little depends on rows to "
    "tell growth from levels of indexes; larger databases tell"
)
_FILLING = (
    "its answer grows and has {:.3g} of at most {} rows in the mean of the largest database: what "
    "it costs when it is full, larger databases tell"
)
_TARGET = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[xkM]?)")
_UNITS = {"": 1, "k": 1_000, "M": 1_000_000}
_EQUAL = re.compile(r"\(?\b(\w+) = ")


@dataclass(frozen=True, slots=True)
class Size:
    """What costs are extrapolated to: so many times the largest database, or rows of a table."""

    factor: float = 0.0
    rows: int = 0

    def of(self, largest: int) -> float:
        """By what a table's rows are multiplied."""
        return self.factor or self.rows / max(largest, 1)


def size(text: str) -> Size:
    """`100x`, `2000000` or `2M`; UsageError for anything else."""
    found = _TARGET.fullmatch(text)
    if not found or not float(found["number"]):
        raise UsageError(f"--to {text}: give a factor like 100x, or rows like 2000000 or 2M")
    if found["unit"] == "x":
        return Size(factor=float(found["number"]))
    return Size(rows=round(float(found["number"]) * _UNITS[found["unit"]]))


def judge(query: Query, databases: Sequence[Database], target: Size) -> QueryGrowth:
    """How the query's cost grows over the databases, the smallest first."""
    told = QueryGrowth(query.name, query.title, declared=query.growth[1] if query.growth else "")
    errors = [f"{d.scale}: {e}" for d in databases if (e := d.calls[query.name].error)]
    if errors:
        return _noted(told, errors[0])
    table = _table(query, databases)
    if table is None:
        return _noted(told, "none of the tables that it touches grows with the databases")
    seen = _Seen(query.name, table, databases)
    factor = target.of(seen.largest)
    fits = {planning: seen.fit(planning, "buffers", factor) for planning in PLANNINGS}
    planning = min(PLANNINGS, key=lambda each: fit.at_target if (fit := fits[each]) else 0.0)
    if (blocks := fits[planning]) is None:
        return _noted(told, "too few calls")
    if (limit := _limit(query)) and _is_sure(blocks) and seen.is_filling(planning, limit):
        each = seen.fit(planning, "per_row", factor)
        if each is None or not _is_sure(each):
            return _noted(told, _FILLING.format(seen.answered(planning)[-1], limit))
    grown = QueryGrowth(
        name=query.name,
        title=query.title,
        table=str(table),
        rows_at_target=round(seen.largest * factor),
        planning=planning,
        buffers=blocks,
        latency=seen.fit(planning, "milliseconds", factor, _not_above(blocks.shape)),
        points=tuple(seen.points(planning)),
        declared=told.declared,
    )
    if _is_sure(blocks) and blocks.slope_high < LEAST_SLOPE:
        first, last = ends(grown)
        return _noted(told, _LEVELS.format(first.buffers, last.buffers, first.rows, last.rows))
    return grown


def _is_sure(fit: Fit) -> bool:
    """Whether a cost surely grows linearly or worse."""
    return fit.support >= SURE and _order(fit.shape) >= _order("linear")


def _limit(query: Query) -> int:
    """How many rows the answer has at most, where the statement or what it is made of says it;
    otherwise 0."""
    (parsed,) = parse_sql(query.numbered)
    ctes = getattr(getattr(parsed.stmt, "withClause", None), "ctes", None) or ()
    return _own_limit(parsed.stmt) or max((_own_limit(cte.ctequery) for cte in ctes), default=0)


def _own_limit(statement: Any) -> int:
    count = getattr(getattr(statement, "limitCount", None), "val", None)
    return int(getattr(count, "ival", 0) or 0)


def _not_above(shape: Shape) -> Sequence[Shape]:
    """The laws of time where blocks follow this one: noise makes steeper ones look likely, and
    what is read can at most be sorted."""
    most: Shape = "n log n" if shape == "linear" else shape
    return laws.SHAPES[: _order(most) + 1]


def _noted(told: QueryGrowth, note: str) -> QueryGrowth:
    return QueryGrowth(told.name, told.title, declared=told.declared, note=note)


def _table(query: Query, databases: Sequence[Database]) -> Name | None:
    """Of the tables that grow, the one of which a call reads more rows when it does; where no
    call reads more, the largest."""
    first, last = databases[0], databases[-1]
    reads = last.calls[query.name].reads
    grown = {
        table: reads[table] - first.calls[query.name].reads.get(table, 0.0)
        for table in reads
        if _total(last, table) >= laws.LEAST_SPREAD * max(_total(first, table), 1)
    }
    if not grown:
        return None
    return max(grown, key=lambda table: (max(grown[table], 0.0), _total(last, table), str(table)))


def _total(database: Database, table: Name) -> int:
    return sum(database.rows.get(table, {}).values())


class _Seen:
    """The calls of one query and the rows of the table they are held against.

    Tenants of two databases are the same where they have the same place by size.
    """

    def __init__(self, query: str, table: Name, databases: Sequence[Database]) -> None:
        self._query = query
        self._databases = databases
        self._rows = [database.rows.get(table, {}) for database in databases]
        self.largest = _total(databases[-1], table)

    def fit(
        self, planning: Planning, what: str, factor: float, among: Sequence[Shape] = laws.SHAPES
    ) -> Fit | None:
        """The law of a cost; what comes first is the largest tenant."""
        calls = [
            laws.Call((place, number), rows, float(getattr(cost, what)))
            for (place, number), rows, cost in self._calls(planning)
        ]
        return laws.fit(sorted(calls, key=lambda call: call.cell), factor, among)

    def is_filling(self, planning: Planning, limit: int) -> bool:
        """Whether answers grow with the databases and are not at their limit in the largest: what
        grows may be the answer, which ends where it is full."""
        answered = self.answered(planning)
        return max(answered[0], 1) * laws.LEAST_SPREAD <= answered[-1] < limit

    def answered(self, planning: Planning) -> list[float]:
        """Rows of an answer in the mean, by database."""
        return [
            fmean(each) if each else 0.0
            for database in self._databases
            for each in [
                [c.answered for c in database.calls[self._query].costs if c.planning == planning]
            ]
        ]

    def points(self, planning: Planning) -> Iterator[GrowthPoint]:
        """A median per tenant and database, the largest tenant first."""
        cells: dict[tuple[int, int], list[tuple[int, Cost]]] = {}
        for cell, rows, cost in self._calls(planning):
            cells.setdefault(cell, []).append((rows, cost))
        for (_, number), own in sorted(cells.items()):
            yield GrowthPoint(
                scale=self._databases[number].scale,
                tenant=own[0][1].tenant,
                rows=own[0][0],
                buffers=median(cost.buffers for _, cost in own),
                milliseconds=median(cost.milliseconds for _, cost in own),
                calls=len(own),
            )

    def _calls(self, planning: Planning) -> Iterator[tuple[tuple[int, int], int, Cost]]:
        """Place of the tenant and number of the database, rows of the tenant, cost."""
        for number, (database, rows) in enumerate(zip(self._databases, self._rows, strict=True)):
            for cost in database.calls[self._query].costs:
                if cost.planning == planning:
                    place = database.tenants.index(cost.tenant)
                    yield (place, number), rows.get(cost.tenant, rows.get("", 0)), cost


def finding(
    query: Query, grown: QueryGrowth, plan: Mapping[str, Any] | None, tenant_column: str
) -> Finding | None:
    """What is wrong where a cost grows linearly or worse and the header does not say so."""
    fit = grown.buffers
    if fit is None or not _is_sure(fit):
        return None
    if query.growth and _order(fit.shape) <= max(_order(query.growth[0]), _order("n log n")):
        return None
    worse = _order(fit.shape) > _order("n log n")
    return Finding(
        rule=GROWTH.id,
        severity=Severity.ERROR if worse else Severity.WARNING,
        object=query.name,
        message=f"the blocks that a call touches grow {_adverb(fit.shape)} with {grown.table}",
        why=" ".join(_evidence(grown, fit)),
        fix=_fix(grown, plan, tenant_column),
    )


def _order(shape: Shape) -> int:
    return laws.SHAPES.index(shape)


def _adverb(shape: Shape) -> str:
    return {"linear": "linearly", "n log n": "as n log n", "quadratic": "quadratically"}[shape]


def _evidence(grown: QueryGrowth, fit: Fit) -> Iterator[str]:
    first, last = ends(grown)
    yield (
        f"{first.buffers:,.0f} blocks at {first.rows:,} rows of a tenant, {last.buffers:,.0f} at "
        f"{last.rows:,} (slope {fit.slope:.2f} [{fit.slope_low:.2f}, {fit.slope_high:.2f}] of the "
        f"logarithms, {fit.support:.0%} of resamples say so);"
    )
    yield (
        f"about {fit.at_target:,.0f} [{fit.low:,.0f}, {fit.high:,.0f}] where the table has "
        f"{grown.rows_at_target:,} rows"
    )
    if grown.latency is not None:
        late = grown.latency
        yield f"and {late.at_target:,.1f} ms [{late.low:,.1f}, {late.high:,.1f}]"


def ends(grown: QueryGrowth) -> tuple[GrowthPoint, GrowthPoint]:
    """The largest tenant where the databases are smallest, and where they are largest."""
    sizes = len({point.scale for point in grown.points})
    return grown.points[0], grown.points[min(sizes, len(grown.points)) - 1]


def _fix(grown: QueryGrowth, plan: Mapping[str, Any] | None, tenant_column: str) -> str:
    """An index where a scan throws rows away; else what a person has to decide."""
    table = grown.table.rpartition(".")[2]
    for node in _nodes(plan or {}):
        wasted = node.get("Rows Removed by Filter", 0) > node.get("Actual Rows", 0)
        if wasted and node.get("Relation Name") == table:
            columns = dict.fromkeys([tenant_column, *_EQUAL.findall(node.get("Filter", ""))])
            return f"CREATE INDEX ON {grown.table} ({', '.join(columns)})"
    return (
        "read fewer rows: a LIMIT that an index serves in order, a figure that is kept rather than "
        "added up; or state in the header why it has to, as `-- growth: linear, a report of all`"
    )


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
