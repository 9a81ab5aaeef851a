"""Whether critical queries keep their budgets, in the latest run and on the server meanwhile.

What makes one query slow makes many: an alert is of an instance and names the queries.
"""

from __future__ import annotations

from dashboards.promql import named, queries
from dashboards.rule import Alert, Firing

_BUDGET = 'harness_query_budget_seconds{query="hs.slots",objective="0.95"}'
_PROMISE = 'harness:query_promise:seconds{query="hs.slots",objective="0.95"}'
_NO_LOAD = "The latest run loaded nothing."
_SLOTS, _BOARD = _BUDGET, _BUDGET.replace("hs.slots", "rest.board")
_MISSED = 'harness_query_verdict{verdict="miss"} > 0'
_NEARLY = "max by (instance, query) (harness:query_budget_used:ratio > 0.9 <= 1)"
_OVER = (
    "harness:query_server_time:mean5m"
    " > on (query) group_left () max by (query) (harness:query_promise:seconds)"
)
_RELAXED = (
    "max by (instance, query) (harness_query_budget_seconds"
    " > on (query, objective) group_left () harness:query_promise:seconds)"
)


def _latency(budget: str) -> str:
    """The measured latency beside a budget."""
    return budget.replace("budget", "latency", 1)


ALERTS = (
    Alert(
        name="LatencyBudgetMissed",
        severity="ticket",
        value=queries(_MISSED),
        condition="> 0",
        summary=f"Queries that missed a budget ({{{{ $value }}}}): {named(_MISSED)}",
        description="The confidence interval of their latency, or their share of errors, lies over"
        " what was promised.",
        remedy="The report shows the distribution against the budget, the plan, and why it was"
        " slow. `harness load --only QUERY` loads one query alone; with `--baseline RUN` it"
        " says what changed since a run that held.",
        fires=Firing(
            {
                'harness_query_verdict{query="hs.slots",verdict="miss",instance="a"}': "1x60",
                'harness_query_verdict{query="rest.board",verdict="miss",instance="a"}': "1x60",
                'harness_query_verdict{query="rest.open",verdict="pass",instance="a"}': "1x60",
            },
            "Queries that missed a budget (2): hs.slots, rest.board",
            {"instance": "a"},
        ),
        quiet={'harness_query_verdict{query="hs.slots",verdict="pass"}': "1x60"},
        absent="Every query kept its budgets.",
    ),
    Alert(
        name="LatencyBudgetNearlyUsed",
        severity="ticket",
        value=queries(_NEARLY),
        condition="> 0",
        summary=f"Queries with little room in their budget ({{{{ $value }}}}): {named(_NEARLY)}",
        description="They use more than 90 % of it: the next growth of the data, or a slower"
        " machine, will miss it.",
        remedy="Look at their plans in the report and at blocks of a call on the board Critical"
        " queries, which do not depend on the machine; then mend the query or agree on a budget.",
        fires=Firing(
            {
                _SLOTS: "0.5x60",
                _latency(_SLOTS): "0.46875x60",
                _BOARD: "0.25x60",
                _latency(_BOARD): "0.25x60",
            },
            "Queries with little room in their budget (2): hs.slots, rest.board",
        ),
        quiet={_SLOTS: "0.5x60", _latency(_SLOTS): "0.25x60"},
        absent="No query is near its budget.",
    ),
    Alert(
        name="ServerTimeOverBudget",
        severity="page",
        value=queries(_OVER),
        condition="> 0",
        summary="Queries that take longer on the server than they promise ({{ $value }}): "
        f"{named(_OVER, shown=' ({{ $one.Value | humanizeDuration }})')}",
        description="The mean time on the server alone is over the latency that was promised: now,"
        " in whatever runs the queries, not in a test.",
        remedy="On the board PostgreSQL look at what sessions wait for and who blocks; on Critical"
        " queries whether blocks of a call grew, which points at the plan (stale statistics, a"
        " missing index), or not, which points at waiting.",
        fires=Firing(
            {
                _PROMISE: "0.25x60",
                'pg_stat_statements_seconds_total{query="hs.slots"}': "0+60x60",
                'pg_stat_statements_calls_total{query="hs.slots"}': "0+120x60",
            },
            "Queries that take longer on the server than they promise (1): hs.slots (500ms)",
        ),
        quiet={
            _PROMISE: "0.25x60",
            'pg_stat_statements_seconds_total{query="hs.slots"}': "0+15x60",
            'pg_stat_statements_calls_total{query="hs.slots"}': "0+120x60",
        },
        lasting="5m",
        absent="No critical query is slower than it promises.",
    ),
    Alert(
        name="QueriesNotMeasured",
        severity="ticket",
        value="count(harness:query_promise:seconds unless on (query) harness_query_budget_seconds)",
        condition="> 0 and on () count(harness_query_budget_seconds) > 0",
        summary="{{ $value }} budgets were not looked at by the latest load",
        description="Queries that promise a latency in loadtests/queries were not loaded, so"
        " nothing is known of them.",
        remedy="The latest load was for some queries only (`--only`), or the rules are of other"
        " files than the run: write them anew with `python -m dashboards`.",
        fires=Firing(
            {
                _PROMISE: "0.25x60",
                'harness_query_budget_seconds{query="hs.other",objective="0.95"}': "0.25x60",
            },
            "1 budgets were not looked at by the latest load",
        ),
        quiet={_PROMISE: "0.25x60", _BUDGET: "0.25x60"},
        lasting="1h",
        absent="Every query that promises a latency was loaded.",
    ),
    Alert(
        name="BudgetRelaxed",
        severity="ticket",
        value=queries(_RELAXED),
        condition="> 0",
        summary="Queries that were held to less than they promise ({{ $value }}): "
        f"{named(_RELAXED, shown=' ({{ $one.Value }} s)')}",
        description="The run allowed more time than the queries' files, or harness.toml, say.",
        remedy="A setting (`[load.budgets]`) of the machine that runs the harness stands over the"
        " promise. Take it back, or change the promise where it is written, where it is reviewed.",
        fires=Firing(
            {_PROMISE: "0.25x60", _BUDGET: "0.5x60"},
            "Queries that were held to less than they promise (1): hs.slots (0.5 s)",
        ),
        quiet={_PROMISE: "0.25x60", _BUDGET: "0.25x60"},
        absent="No budget was relaxed.",
    ),
    Alert(
        name="ErrorsUnderLoad",
        severity="ticket",
        value="harness_load_errors",
        condition="> 0",
        summary="{{ $value }} requests of the latest load were answered with an error",
        description="Critical queries failed; a budget may allow some errors, none is the default.",
        remedy="`harness_query_errors` and the report name the queries with the server's words;"
        " `harness_query_timeouts` and `harness_query_retries` tell time-outs and deadlocks apart.",
        fires=Firing(
            {"harness_load_errors": "7x60"},
            "7 requests of the latest load were answered with an error",
        ),
        quiet={"harness_load_errors": "0x60"},
        absent=_NO_LOAD,
    ),
)
