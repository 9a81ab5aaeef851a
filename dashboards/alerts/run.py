"""Whether the harness ran and held, and whether what is shown can be trusted."""

from __future__ import annotations

from dashboards.rule import Alert, Firing

_WEEK = 7 * 86400

ALERTS = (
    Alert(
        name="RunFailed",
        severity="ticket",
        value="harness_run_held",
        condition="== 0",
        summary="The latest run did not hold",
        description="At least one of the run's stages, checks, probes or budgets failed.",
        remedy="The board Overview shows which stage; the report (harness-report/report.html)"
        " begins with what failed and the command that shows it again.",
        fires=Firing({"harness_run_held": "0x60"}, "The latest run did not hold"),
        quiet={"harness_run_held": "1x60"},
    ),
    Alert(
        name="RunOld",
        severity="ticket",
        value="time() - harness_run_finished_timestamp_seconds",
        condition=f"> {_WEEK}",
        summary="The latest run is {{ $value | humanizeDuration }} old",
        description="What the boards show of isolation and latencies is of a schema and data that"
        " may have changed since.",
        remedy="Look at why the job that runs the harness does not, or writes elsewhere than"
        " `harness metrics` reads.",
        fires=Firing(
            {"harness_run_finished_timestamp_seconds": f"-{2 * _WEEK}x60"},
            "The latest run is 14d 1h 0m 0s old",
        ),
        quiet={"harness_run_finished_timestamp_seconds": "0x60"},
    ),
    Alert(
        name="ExporterDown",
        severity="page",
        value='up{job="harness"}',
        condition="== 0",
        summary="{{ $labels.instance }} cannot be scraped",
        description="Nothing is known of the server or of runs; no other alert can fire.",
        remedy="Look at whether `harness metrics` runs, and listens where Prometheus asks: on"
        " loopback unless `--address` says otherwise.",
        fires=Firing(
            {'up{job="harness",instance="a"}': "0x60"},
            "a cannot be scraped",
            {"job": "harness", "instance": "a"},
        ),
        quiet={'up{job="harness",instance="a"}': "1x60"},
        lasting="2m",
    ),
    Alert(
        name="CollectorFails",
        severity="ticket",
        value="harness_collector_up",
        condition="== 0",
        summary="The collector {{ $labels.collector }} fails",
        description="A question to the server fails or takes longer than it may: its metrics are"
        " not there, and alerts on them cannot fire.",
        remedy="`harness metrics` prints the server's words. A missing right (`pg_monitor`), an"
        " extension that was dropped or a busy server are the usual causes.",
        fires=Firing(
            {'harness_collector_up{collector="waits"}': "0x60"},
            "The collector waits fails",
            {"collector": "waits"},
        ),
        quiet={'harness_collector_up{collector="waits"}': "1x60"},
        lasting="5m",
    ),
    Alert(
        name="RunUnreadable",
        severity="ticket",
        value="increase(harness_exporter_failures_total[15m])",
        condition="> 0",
        summary='A source of metrics failed {{ printf "%.0f" $value }} times in 15 minutes',
        description="The exporter left a source out, most often because run.json cannot be read.",
        remedy="Run `harness report run.json`: it says what is wrong with the document.",
        fires=Firing(
            {"harness_exporter_failures_total": "0+1x60"},
            "A source of metrics failed 15 times in 15 minutes",
        ),
        quiet={"harness_exporter_failures_total": "3x60"},
    ),
    Alert(
        name="SeriesDropped",
        severity="ticket",
        value="harness_collector_dropped_series",
        condition="> 0",
        summary="The collector {{ $labels.collector }} dropped {{ $value }} series",
        description="There are more than its cap: what was dropped is not seen at all.",
        remedy="Look at what grew: roles, databases or statements without a name. Raise the cap"
        " (`max_series` of the collector's file) if Prometheus can bear it.",
        fires=Firing(
            {'harness_collector_dropped_series{collector="io"}': "8x60"},
            "The collector io dropped 8 series",
            {"collector": "io"},
        ),
        quiet={'harness_collector_dropped_series{collector="io"}': "0x60"},
        lasting="10m",
    ),
)
