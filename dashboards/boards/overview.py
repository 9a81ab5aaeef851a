"""Did the latest run hold, and is the server well? Where to begin, and what to look at next."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Rows, board, link
from dashboards.panels import (
    AMBER,
    GREEN,
    RED,
    count,
    figure,
    listing,
    series,
    stacked,
    states,
    verdict,
)
from dashboards.promql import FIRING, age, of, or_none, per_second, ratio

_DAY = 86400


def build() -> Dashboard:
    """The board."""
    return board("overview", "Overview", str(__doc__), _rows(), since="now-7d")


def _rows() -> Rows:
    return {
        "Verdict of the latest run": [
            verdict(
                "Latest run",
                "Whether all that the latest run looked at held.",
                f"min({of('harness_run_held')})",
            ),
            count(
                "Leaks",
                "Probes that crossed the boundary between tenants. See the board Isolation.",
                f"sum({of('harness_isolation_leaks')})",
                empty="The run attacked nothing.",
            ),
            count(
                "Foreign rows under load",
                "Rows of another tenant in answers to critical queries.",
                f"sum({of('harness_load_foreign_rows')})",
                empty="The run loaded nothing.",
            ),
            count(
                "Budgets missed",
                "Critical queries that missed a latency budget. See the board Critical queries.",
                or_none(f"count({of('harness_query_verdict', verdict='miss')})"),
            ),
            count(
                "Findings that fail",
                "Findings of the checks that are severe enough to fail the run.",
                f"sum({of('harness_check_findings_blocking')})",
            ),
            figure(
                "Age of the run",
                "How long ago the latest run ended: what is shown here is as old.",
                f"max({age(of('harness_run_finished_timestamp_seconds'))})",
                "s",
                ((0, GREEN), (_DAY, AMBER), (7 * _DAY, RED)),
            ),
        ],
        "What fires": [
            listing(
                "Alerts that fire",
                "Alerts of the rules beside these boards; docs/alerts.md says what to do.",
                {"Alerts": (f"count by (alertname, severity, schema) ({FIRING})", "none")},
                {
                    "alertname": "Alert",
                    "severity": "Severity",
                    "schema": "Schema",
                },
                sort="Severity",
                links={"Schema": link("isolation", "schema")},
                empty="✓ No alert fires.",
            ),
        ],
        "Stages": [
            states(
                "Stages over time",
                "Whether each stage held in the run that was the latest then.",
                ("{{stage}}", f"min by (stage) ({of('harness_stage_held')})"),
                width=12,
            ),
            listing(
                "Stages of the latest run",
                "How long each took, and how long ago it last held.",
                {
                    "Took": (f"max by (stage) ({of('harness_stage_duration_seconds')})", "s"),
                    "Last held": (
                        f"max by (stage) ({age(of('harness_last_success_timestamp_seconds'))})",
                        "s",
                    ),
                    "Held": (f"min by (stage) ({of('harness_stage_held')})", "bool_yes_no"),
                },
                {"stage": "Stage"},
                sort="Took",
                width=12,
                height=8,
            ),
        ],
        "The server": [
            verdict(
                "Server",
                "Whether the exporter reached PostgreSQL at its latest scrape.",
                f"min({of('pg_up')})",
                {1: ("✓ up", GREEN), 0: ("✗ down", RED)},
            ),
            figure(
                "Sessions of the limit",
                "Client sessions of max_connections.",
                ratio(
                    f"sum({of('pg_stat_activity_count')})",
                    f"sum({of('pg_settings_max_connections')})",
                ),
                "percentunit",
                ((0, GREEN), (0.7, AMBER), (0.9, RED)),
            ),
            figure(
                "Waiting for locks",
                "Sessions that wait for a lock now.",
                or_none(f"sum({of('pg_locks_waiting')})"),
                "short",
                ((0, GREEN), (1, AMBER), (10, RED)),
            ),
            figure(
                "Oldest transaction",
                "Age of the oldest open transaction: vacuum cannot remove what it may still see.",
                f"max({of('pg_stat_activity_max_tx_duration')})",
                "s",
                ((0, GREEN), (300, AMBER), (3600, RED)),
            ),
            figure(
                "Cache hits",
                "Share of blocks that shared buffers had. See the board PostgreSQL.",
                ratio(
                    per_second("pg_stat_database_blks_hit"),
                    f"{per_second('pg_stat_database_blks_hit')}"
                    f" + {per_second('pg_stat_database_blks_read')}",
                ),
                "percentunit",
                empty="No block was asked for.",
            ),
            count(
                "Collectors that fail",
                "Collectors of the exporter whose latest question to the server failed.",
                f"count({of('harness_collector_up')} == 0) or vector(0)",
                bad=AMBER,
            ),
            series(
                "Transactions",
                "How many committed and rolled back a second, over all databases.",
                {
                    "committed": per_second("pg_stat_database_xact_commit"),
                    "rolled back": per_second("pg_stat_database_xact_rollback"),
                },
                "ops",
            ),
            stacked(
                "What sessions do",
                "Sessions that run (CPU) or wait, by the kind of what they wait for.",
                {
                    "{{wait_event_type}}": (
                        f"sum by (wait_event_type) ({of('pg_stat_activity_waits')})"
                    )
                },
                "short",
                empty="No session runs or waits.",
            ),
        ],
    }
