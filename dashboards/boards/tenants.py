"""Which tenant keeps the server busy and how unequal they are: by rank and class, never by name."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards.board import Rows, board
from dashboards.panels import AMBER, GREEN, RED, count, figure, ranking, series, stacked, verdict
from dashboards.promql import of, per_second

_IDLE = "No tenant's session was seen at work in the last minute."
_UNREAD = (
    "Planner statistics cannot be read: the exporter's role lacks BYPASSRLS, or no ANALYZE ran."
)


def build() -> Dashboard:
    """The board."""
    return board("tenants", "Tenants", str(__doc__), _rows())


def _rows() -> Rows:
    return {"Verdict": _verdict(), "Activity": _activity(), "Size": _size()}


def _verdict() -> Sequence[Builder[Panel]]:
    return [
        figure(
            "Busiest tenant",
            "Its share of the sessions at work in the last minute.",
            f"max({of('harness_tenant_activity_share', rank='1')})",
            "percentunit",
            ((0, GREEN), (0.5, AMBER), (0.8, RED)),
            empty=_IDLE,
        ),
        figure(
            "Its sessions",
            "Sessions at work for the busiest tenant, on average over the last minute.",
            f"max({of('harness_tenant_active_sessions', rank='1')})",
            "short",
            empty=_IDLE,
        ),
        figure(
            "Largest tenant",
            "Its share of all rows, by planner statistics.",
            f"max({of('harness_tenant_rows_share', rank='1')})",
            "percentunit",
            ((0, GREEN), (0.5, AMBER), (0.8, RED)),
            empty=_UNREAD,
        ),
        figure(
            "Tenants",
            "How many there are, of all classes.",
            f"sum({of('harness_tenants')})",
            "short",
            empty=_UNREAD,
        ),
        count(
            "Foreign rows under load",
            "Rows of another tenant in answers to critical queries.",
            f"sum({of('harness_load_foreign_rows')})",
            empty="The run loaded nothing.",
        ),
        verdict(
            "Sampler",
            "Whether activity is sampled: what the panels on activity show comes from it.",
            f"min({of('harness_tenant_sampler_up')})",
            {1: ("✓ samples", GREEN), 0: ("✗ stopped", RED)},
        ),
    ]


def _activity() -> Sequence[Builder[Panel]]:
    return [
        stacked(
            "Who keeps the server busy",
            "Shares of the sampled sessions at work, of the last minute. Reports name the tenants.",
            {
                "rank {{rank}}, {{class}}": (
                    f"max by (rank, class) ({of('harness_tenant_activity_share')})"
                )
            },
            "percentunit",
            empty=_IDLE,
        ),
        series(
            "Sessions at work",
            "On average over the last minute, by rank.",
            {
                "rank {{rank}}, {{class}}": (
                    f"max by (rank, class) ({of('harness_tenant_active_sessions')})"
                )
            },
            "short",
            empty=_IDLE,
        ),
    ]


def _size() -> Sequence[Builder[Panel]]:
    return [
        ranking(
            "Shares of rows",
            "Of all rows, by planner statistics, by rank.",
            (
                "rank {{rank}}, {{class}}",
                f"max by (rank, class) ({of('harness_tenant_rows_share')})",
            ),
            "percentunit",
            ((0, "blue"),),
            empty=_UNREAD,
        ),
        ranking(
            "Tenants by class",
            "How many giants, medium and small ones there are.",
            ("{{class}}", f"max by (class) ({of('harness_tenants')})"),
            "short",
            width=6,
            empty=_UNREAD,
        ),
        series(
            "Samples",
            "How often activity is looked at, a second.",
            {"samples": per_second("harness_tenant_samples_total")},
            "ops",
            width=6,
        ),
    ]
