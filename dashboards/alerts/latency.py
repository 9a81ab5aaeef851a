"""Whether critical queries keep their budgets, in the latest run and on the server meanwhile."""

from __future__ import annotations

from dashboards.rule import Alert, Firing

_BUDGET = 'harness_query_budget_seconds{query="hs.slots",objective="0.95"}'
_PROMISE = 'harness:query_promise:seconds{query="hs.slots",objective="0.95"}'
_NO_LOAD = "The latest run loaded nothing."

ALERTS = (
    Alert(
        name="LatencyBudgetMissed",
        severity="ticket",
        value='harness_query_verdict{verdict="miss"}',
        condition="> 0",
        summary="{{ $labels.query }} missed a budget",
        description="The confidence interval of its latency, or its share of errors, lies over what"
        " was promised.",
        remedy="The report shows the distribution against the budget, the plan, and why it was"
        " slow. `harness load --only QUERY` loads that query alone; with `--baseline RUN` it"
        " says what changed since a run that held.",
        fires=Firing(
            {'harness_query_verdict{query="hs.slots",verdict="miss"}': "1x60"},
            "hs.slots missed a budget",
            {"query": "hs.slots", "verdict": "miss"},
        ),
        quiet={'harness_query_verdict{query="hs.slots",verdict="pass"}': "1x60"},
        absent="Every query kept its budgets.",
    ),
    Alert(
        name="LatencyBudgetNearlyUsed",
        severity="ticket",
        value="harness:query_budget_used:ratio",
        condition="> 0.9 <= 1",
        summary="{{ $labels.query }} uses {{ $value | humanizePercentage }} of its budget",
        description="The query holds its budget with little room: the next growth of the data, or"
        " a slower machine, will miss it.",
        remedy="Look at its plan in the report and at blocks of a call on the board Critical"
        " queries, which do not depend on the machine; then mend the query or agree on a budget.",
        fires=Firing(
            {
                _BUDGET: "0.5x60",
                _BUDGET.replace("budget", "latency", 1): "0.46875x60",
            },
            "hs.slots uses 93.75% of its budget",
            {"query": "hs.slots", "objective": "0.95"},
        ),
        quiet={
            _BUDGET: "0.5x60",
            _BUDGET.replace("budget", "latency", 1): "0.25x60",
        },
        absent=_NO_LOAD,
    ),
    Alert(
        name="ServerTimeOverBudget",
        severity="page",
        value="harness:query_server_time:mean5m",
        condition="> on (query) group_left () max by (query) (harness:query_promise:seconds)",
        summary="A call of {{ $labels.query }} takes {{ $value | humanizeDuration }} on average",
        description="The mean time on the server alone is over the latency that was promised: now,"
        " in whatever runs the query, not in a test.",
        remedy="On the board PostgreSQL look at what sessions wait for and who blocks; on Critical"
        " queries whether blocks of a call grew, which points at the plan (stale statistics, a"
        " missing index), or not, which points at waiting.",
        fires=Firing(
            {
                _PROMISE: "0.25x60",
                'pg_stat_statements_seconds_total{query="hs.slots"}': "0+60x60",
                'pg_stat_statements_calls_total{query="hs.slots"}': "0+120x60",
            },
            "A call of hs.slots takes 500ms on average",
            {"query": "hs.slots"},
        ),
        quiet={
            _PROMISE: "0.25x60",
            'pg_stat_statements_seconds_total{query="hs.slots"}': "0+15x60",
            'pg_stat_statements_calls_total{query="hs.slots"}': "0+120x60",
        },
        lasting="5m",
        absent="No critical query ran in the last minutes.",
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
        value="harness_query_budget_seconds",
        condition="> on (query, objective) group_left () harness:query_promise:seconds",
        summary="{{ $labels.query }} was held to {{ $value }} s, which is more than it promises",
        description="The run allowed more time than the file of the query, or harness.toml, says.",
        remedy="A setting (`[load.budgets]`) of the machine that runs the harness stands over the"
        " promise. Take it back, or change the promise where it is written, where it is reviewed.",
        fires=Firing(
            {_PROMISE: "0.25x60", _BUDGET: "0.5x60"},
            "hs.slots was held to 0.5 s, which is more than it promises",
            {"query": "hs.slots", "objective": "0.95"},
        ),
        quiet={_PROMISE: "0.25x60", _BUDGET: "0.25x60"},
        absent=_NO_LOAD,
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
