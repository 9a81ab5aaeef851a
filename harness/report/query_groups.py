"""The critical queries of a load as the page shows them: by schema, what missed first."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from hdrh.histogram import HdrHistogram
from markupsafe import Markup

from harness.histogram import recorded
from harness.load_result import BudgetResult, LoadResult, QueryResult
from harness.report.chart import ecdf

SIGNS = {"pass": "✓ PASS", "miss": "✗ MISS", "inconclusive": "? INCONCLUSIVE"}
CLASSES = {"pass": "good", "miss": "bad", "inconclusive": "open"}
_SHOWN_AT_ONCE = 12
"""So many queries need no folding."""
_WHOLE = 6
"""So many queries that did not hold stand in the page with all that is known of them."""


@dataclass(frozen=True, slots=True)
class Note:
    """A text about a query that a reader opens."""

    title: str
    """Its first word is what the script of the page knows it by."""
    text: str


@dataclass(frozen=True, slots=True)
class QueryRow:
    """A query and what the page says of it."""

    query: QueryResult
    used: float
    """The measured percentile as a share of the budget."""
    change: str
    """Against the baseline; '' where there is none."""
    whole: bool
    """Whether the page shows all of it; else a script takes the texts out of the document."""

    @property
    def sign(self) -> str:
        """Of the verdict, with its word."""
        return SIGNS[self.query.verdict]

    @property
    def kind(self) -> str:
        """The class of style of the verdict."""
        return CLASSES[self.query.verdict]

    @property
    def bar(self) -> str:
        """The class of style of the bar of its latency, which may be held where others are not."""
        budget = _first(self.query)
        kind = CLASSES[budget.verdict] if budget else self.kind
        return "" if kind == "good" else kind

    @property
    def others(self) -> tuple[str, ...]:
        """What it did not hold beside its first budget on latency."""
        return tuple(
            _told(budget)
            for budget in self.query.budgets
            if budget.verdict != "pass" and budget is not _first(self.query)
        )

    @property
    def label(self) -> str:
        """What the budget bounds: p95."""
        return f"p{self.query.quantile * 100:g}"

    @property
    def measured(self) -> float | None:
        """The percentile that the budget bounds, in ms."""
        return _measured(self.query)

    @property
    def interval(self) -> str:
        """Where the true percentile lies, with 95 % confidence."""
        budget = _first(self.query)
        if budget is None or budget.measured is None:
            return ""
        return f"[{_ms(budget.low)}, {_ms(budget.high)}]"

    @property
    def notes(self) -> tuple[Note, ...]:
        """What can be opened: why it missed, its plan, its text."""
        query, plan = self.query, self.query.plan
        found = [Note("Why", "\n".join(query.explanation))]
        if plan:
            told = f"digest {plan.digest}, {plan.milliseconds:.2f} ms, {plan.rows:,} rows"
            whole = "\n".join((told, *plan.remarks, "", *plan.outline))
            found.append(Note(f"Plan, {plan.buffers:,} blocks", whole))
        if self.whole and query.verdict == "miss":
            found.append(Note("SQL", query.statement))
        return tuple(note for note in found if note.text)

    @property
    def percentiles(self) -> tuple[str, ...]:
        """p50, p95, p99 and the maximum."""
        latency = self.query.latency
        if latency is None:
            return ("–",) * 4
        return tuple(_ms(each) for each in (latency.p50, latency.p95, latency.p99, latency.max))

    @property
    def chart(self) -> Markup | str:
        """The distribution against the budget."""
        query = self.query
        if not query.samples:
            return ""
        steps = [(us / 1000, n) for us, n in recorded(HdrHistogram.decode(query.histogram))]
        return ecdf(steps, query.budget_ms)


@dataclass(frozen=True, slots=True)
class QueryGroup:
    """The queries of one schema."""

    schema: str
    rows: tuple[QueryRow, ...]
    open: bool
    shown: tuple[QueryRow, ...]
    """Those that stand in the open group; the others have to be unfolded."""

    @property
    def folded(self) -> tuple[QueryRow, ...]:
        """Those that held, where others did not."""
        return self.rows[len(self.shown) :]

    @property
    def failed(self) -> int:
        """How many did not hold."""
        return sum(row.query.verdict != "pass" for row in self.rows)

    @property
    def missed(self) -> bool:
        """Whether one broke its promise, and is not merely undecided."""
        return any(row.query.verdict == "miss" for row in self.rows)

    @property
    def nearest(self) -> QueryRow:
        """The one that has used up most of its budget."""
        return max(self.rows, key=lambda row: row.used)


def groups(load: LoadResult | None) -> tuple[QueryGroup, ...]:
    """By schema, those with a query that did not hold first."""
    if load is None:
        return ()
    whole = set([query.name for query in load.queries if query.verdict != "pass"][:_WHOLE])
    ordered = sorted(load.queries, key=lambda query: query.name)
    rows = [_row(query, load, query.name in whole) for query in ordered]
    few = len(rows) <= _SHOWN_AT_ONCE
    found = [
        _group(schema, list(rows), few) for schema, rows in groupby(rows, key=lambda r: _schema(r))
    ]
    return tuple(sorted(found, key=lambda group: -group.failed))


def _schema(row: QueryRow) -> str:
    return row.query.name.partition(".")[0]


def _group(schema: str, rows: list[QueryRow], few: bool) -> QueryGroup:
    ordered = sorted(rows, key=lambda row: (row.query.verdict == "pass", -row.used))
    failed = sum(row.query.verdict != "pass" for row in rows)
    shown = ordered[:failed] if failed and not few else ordered
    return QueryGroup(schema, tuple(ordered), few or failed > 0, tuple(shown))


def _row(query: QueryResult, load: LoadResult, whole: bool) -> QueryRow:
    measured = _measured(query)
    used = measured / query.budget_ms if measured is not None and query.budget_ms else 0.0
    return QueryRow(query, used, _change(query, load), whole)


def _first(query: QueryResult) -> BudgetResult | None:
    return next((budget for budget in query.budgets if budget.metric != "errors"), None)


def _measured(query: QueryResult) -> float | None:
    budget = _first(query)
    if budget is not None:
        return budget.measured
    known = {0.5: "p50", 0.95: "p95", 0.99: "p99"}.get(query.quantile, "p95")
    return float(getattr(query.latency, known)) if query.latency else None


def _change(query: QueryResult, load: LoadResult) -> str:
    """The way of the 95th percentile at the speed of now, and what is worse."""
    comparison = load.comparison
    if comparison is None:
        return ""
    told = [f"✗ {worse.kind}" for worse in comparison.regressions if worse.query == query.name]
    before = comparison.before.get(query.name)
    if before and query.latency and before.p95:
        told.append(f"{query.latency.p95 / (before.p95 * comparison.speed_factor) - 1:+.0%}")
    if query.name in comparison.plan_changes:
        told.append("another plan")
    return ", ".join(told) or "not in it"


def _told(budget: BudgetResult) -> str:
    """A budget and what was measured of it: `p99 41.0 of 40 ms`."""
    if budget.metric == "errors":
        return f"errors {(budget.measured or 0) * 100:.2g} % of {budget.limit * 100:g} %"
    return f"{budget.metric} {_ms(budget.measured)} of {budget.limit:g} ms"


def _ms(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}"
