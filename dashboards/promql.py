"""Expressions of the boards: selections of the variable `instance` and what is made of them."""

from __future__ import annotations

SERVICE = "tenant-harness"
"""The label `service` of the alerts beside the boards."""
FIRING = f'ALERTS{{alertstate="firing",service="{SERVICE}"}}'
"""Those of them that fire; nothing where none does."""


def of(metric: str, **labels: str) -> str:
    """The series of a metric at the chosen instances; values are regular expressions."""
    chosen = {"instance": "$instance", **labels}
    return f"{metric}{{{','.join(f'{name}=~{_quoted(value)}' for name, value in chosen.items())}}}"


def per_second(metric: str, by: str = "", **labels: str) -> str:
    """How fast a counter grows, summed by the labels named in `by` (comma-separated)."""
    return f"sum by ({by}) (rate({of(metric, **labels)}[$__rate_interval]))"


def ratio(part: str, whole: str, match: str = "") -> str:
    """A share of what there is; nothing where there is nothing. `match` is as `on (query)`."""
    return f"({part}) / {match}(({whole}) > 0)"


def top(expr: str, size: int = 15) -> str:
    """The largest."""
    return f"topk({size}, {expr})"


def or_none(expr: str) -> str:
    """0 where no series is there to be counted."""
    return f"({expr}) or vector(0)"


def age(timestamp: str) -> str:
    """Seconds since a moment."""
    return f"time() - {timestamp}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
