"""What watching costs: how long the exporter's questions take, how many series, what it dropped."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Rows, board
from dashboards.panels import AMBER, GREEN, RED, count, figure, listing, ranking, series
from dashboards.promql import of, per_second, top


def build() -> Dashboard:
    """The board."""
    return board("exporter", "Exporter", str(__doc__), _rows())


def _rows() -> Rows:
    return {
        "Verdict": [
            count(
                "Collectors that fail",
                "Those whose latest question to the server failed.",
                f"count({of('harness_collector_up')} == 0) or vector(0)",
            ),
            count(
                "Sources that fail",
                "Scrapes in the last hour that lacked a whole source, as an unreadable run.json.",
                f"sum(increase({of('harness_exporter_failures_total')}[1h]))",
            ),
            count(
                "Series dropped",
                "Those over the cap of a collector or of the whole: they are not seen at all.",
                f"sum({of('harness_collector_dropped_series')})"
                f" + sum({of('harness_exporter_dropped_series')})",
                bad=AMBER,
            ),
            figure(
                "Series",
                "Of a scrape. 2,500 are promised with a thousand tables.",
                f"sum({of('harness_exporter_series')})",
                "short",
                ((0, GREEN), (2000, AMBER), (2500, RED)),
            ),
            figure(
                "Time of a round",
                "Time that one question of each collector takes together.",
                f"sum({of('harness_collector_seconds')})",
                "s",
                ((0, GREEN), (1, AMBER), (5, RED)),
            ),
            figure(
                "Scrape",
                "How long Prometheus waited for the latest answer.",
                f"max({of('scrape_duration_seconds')})",
                "s",
                ((0, GREEN), (1, AMBER), (5, RED)),
            ),
        ],
        "Collectors": [
            listing(
                "Collectors",
                "What each costs, whether it is answered, and how many series were too many.",
                {
                    "Took": (f"max by (collector) ({of('harness_collector_seconds')})", "s"),
                    "Up": (f"min by (collector) ({of('harness_collector_up')})", "bool_yes_no"),
                    "Dropped": (
                        f"max by (collector) ({of('harness_collector_dropped_series')})",
                        "short",
                    ),
                },
                {"collector": "Collector"},
                sort="Took",
                width=12,
            ),
            series(
                "Time by collector",
                "How long the latest question of each took.",
                {"{{collector}}": f"max by (collector) ({of('harness_collector_seconds')})"},
                "s",
                height=10,
            ),
            ranking(
                "Errors by collector",
                "A second; the exporter's log has the server's words.",
                (
                    "{{collector}}",
                    top(per_second("harness_collector_errors_total", by="collector")),
                ),
                "ops",
            ),
            series(
                "Samples of a scrape",
                "As Prometheus counts them.",
                {"{{instance}}": f"max by (instance) ({of('scrape_samples_scraped')})"},
                "short",
            ),
        ],
    }
