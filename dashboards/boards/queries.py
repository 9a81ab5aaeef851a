"""Which critical queries miss their latency budgets, by how much, and what the server did then."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards.board import Rows, board, link, one, several
from dashboards.panels import AMBER, GREEN, RED, count, figure, listing, ranking, series, states
from dashboards.promql import of, or_none, per_second, ratio, top

_OF_SCHEMA = "(${schema:regex})[.].+"
"""Names of critical queries of the chosen schemas."""
_CODES = {"pass": 1, "miss": 0, "inconclusive": 2}
_WHOLE = "on (instance, query, mode) group_left () "
_USED = ((0, GREEN), (0.8, AMBER), (1, RED))


def build() -> Dashboard:
    """The board."""
    return board("queries", "Critical queries", str(__doc__), _rows(), _VARIABLES, since="now-7d")


_VARIABLES = (
    several(
        "schema",
        "Schema",
        "Schemas of critical queries.",
        "query_result(count by (schema) (label_replace(harness_query_budget_seconds,"
        ' "schema", "$1", "query", "([^.]+)[.].*")))',
    ).regex('/schema="([^"]+)"/'),
    one(
        "query",
        "Query",
        "The critical query that the last rows are about.",
        'label_values(harness_query_budget_seconds{query=~"(${schema:regex})[.].+"}, query)',
    ),
)


def _rows() -> Rows:
    return {
        "Verdict of the latest load": _verdict(),
        "Against the budgets": _against(),
        "The chosen query: $query": _chosen(),
        "What the server did for them": _server(),
    }


def _verdict() -> Sequence[Builder[Panel]]:
    return [
        count(
            "Missed",
            "Critical queries that missed a budget.",
            or_none(f"count({of('harness_query_verdict', query=_OF_SCHEMA, verdict='miss')})"),
        ),
        count(
            "Inconclusive",
            "Queries with too few answers to decide whether the budget holds; load longer.",
            or_none(
                f"count({of('harness_query_verdict', query=_OF_SCHEMA, verdict='inconclusive')})"
            ),
            bad=AMBER,
        ),
        count(
            "Errors",
            "Answers of the whole load that were errors.",
            f"sum({of('harness_load_errors')})",
            empty="The run loaded nothing.",
        ),
        count(
            "Foreign rows",
            "Rows of another tenant in answers of the whole load.",
            f"sum({of('harness_load_foreign_rows')})",
            empty="The run loaded nothing.",
        ),
        figure(
            "Most used budget",
            "Latency at the objective as a share of the budget, of the query nearest to it.",
            f"max({_used()})",
            "percentunit",
            _USED,
        ),
        figure(
            "Load",
            "Requests a second that were answered.",
            f"sum({of('harness_load_requests_per_second')})",
            "reqps",
            empty="The run loaded nothing.",
        ),
    ]


def _against() -> Sequence[Builder[Panel]]:
    budget = of("harness_query_budget_seconds", query=_OF_SCHEMA)
    within = of("harness_query_within_budget_ratio", query=_OF_SCHEMA)
    latency = of("harness_query_latency_seconds", query=_OF_SCHEMA)
    return [
        listing(
            "Critical queries",
            "Latency at the objective (a quantile) against the budget. `Within` is the share of"
            " answers that took no longer than the budget, exact rather than interpolated.",
            {
                "Used": (_used(), "percentunit"),
                "Latency": (f"max by (query, objective) ({latency})", "s"),
                "Budget": (f"max by (query, objective) ({budget})", "s"),
                "Within": (
                    f"max by (query, objective) ({within}"
                    f" * on (instance, query) group_right () ({budget} > bool 0))",
                    "percentunit",
                ),
            },
            {"query": "Query", "objective": "Objective"},
            sort="Used",
            links={"Query": link("queries", "query")},
        ),
        ranking(
            "Nearest to the budget",
            "Latency at the objective as a share of the budget.",
            ("{{query}} at {{objective}}", top(_used())),
            "percentunit",
            _USED,
        ),
        states(
            "Verdicts over time",
            "Whether each query kept its budgets in the run that was the latest then.",
            (
                "{{query}}",
                " or ".join(_verdict_as(name, value) for name, value in _CODES.items()),
            ),
            {1: ("✓ pass", GREEN), 0: ("✗ miss", RED), 2: ("? inconclusive", AMBER)},
            width=12,
        ),
        ranking(
            "What failed",
            "Errors, time-outs, retries and foreign rows of the latest load, by query.",
            ("{{query}}: {{kind}}", top(f"sum by (query, kind) ({_failures()})")),
            "short",
            ((0, RED),),
            width=24,
            empty="✓ Nothing failed.",
        ),
    ]


def _chosen() -> Sequence[Builder[Panel]]:
    budget = of("harness_query_budget_seconds", query="$query")
    latency = of("harness_query_latency_seconds", query="$query")
    within = of("harness_query_duration_seconds_bucket", query="$query")
    whole = of("harness_query_duration_seconds_count", query="$query")
    return [
        series(
            "Latency against the budget",
            "Of the latest run at each time: a step is a new run. The budget is dashed.",
            {
                "latency at {{objective}}": f"max by (objective) ({latency})",
                "budget at {{objective}}": f"max by (objective) ({budget})",
            },
            "s",
        ),
        series(
            "Share of answers within",
            "Share of answers that took no longer than each bound; the budget is one of them.",
            {"{{le}} s": f"max by (le) ({ratio(within, whole, _WHOLE)})"},
            "percentunit",
        ),
    ]


def _server() -> Sequence[Builder[Panel]]:
    quiet = "No critical query ran, or pg_stat_statements is not there."
    calls = _statements("calls_total")
    blocks = _statements("shared_blks_total")
    return [
        ranking(
            "Time on the server",
            "Seconds that each query ran for, a second: where the server's time goes.",
            ("{{query}}", top(_statements("seconds_total"))),
            "s",
            empty=quiet,
        ),
        ranking(
            "Mean time of a call",
            "Execution on the server, without the way to the client.",
            ("{{query}}", top(ratio(_statements("seconds_total"), calls))),
            "s",
            empty=quiet,
        ),
        ranking(
            "Blocks of a call",
            "Shared blocks hit or read: a measure of work that does not depend on the machine.",
            ("{{query}}", top(ratio(blocks, calls))),
            "short",
            empty=quiet,
        ),
        ranking(
            "WAL of a call",
            "Bytes of WAL that a call wrote.",
            ("{{query}}", top(ratio(_statements("wal_bytes_total"), calls))),
            "bytes",
            empty=quiet,
        ),
    ]


def _failures() -> str:
    kinds = ("errors", "timeouts", "retries", "foreign_rows")
    return " or ".join(
        f'label_replace({of(f"harness_query_{kind}", query=_OF_SCHEMA)}, "kind", "{kind}", "", "")'
        for kind in kinds
    )


def _verdict_as(verdict: str, value: int) -> str:
    """The queries with a verdict, with the value that the panel has a word for."""
    given = of("harness_query_verdict", query=_OF_SCHEMA, verdict=verdict)
    return f"max by (query) ({given} * {value})"


def _used() -> str:
    latency = of("harness_query_latency_seconds", query=_OF_SCHEMA)
    budget = of("harness_query_budget_seconds", query=_OF_SCHEMA)
    return f"max by (query, objective) ({latency} / on (instance, query, objective) {budget})"


def _statements(column: str) -> str:
    return per_second(f"pg_stat_statements_{column}", by="query", query=_OF_SCHEMA)
