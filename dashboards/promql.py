"""Expressions of the boards, which are selections of the variable `instance` and what is made of
them, and of alerts that name many things at once."""

from __future__ import annotations

SERVICE = "tenant-harness"
"""The label `service` of the alerts beside the boards."""
FIRING = f'ALERTS{{alertstate="firing",service="{SERVICE}"}}'
"""Those of them that fire; nothing where none does."""

NAMED = 10
"""So many queries are named in an alert."""


def queries(expr: str) -> str:
    """How many series an instance has of an expression."""
    return f"count by (instance) ({expr})"


def named(expr: str, shown: str = "") -> str:
    """The queries that an alert on `queries(expr)` is of, first ten, as a template of Prometheus;
    `shown` follows each name and may tell of `$one`."""
    here = 'label_replace(vector(1), "instance", %q, "", "")'
    asked = f"topk({NAMED}, ({expr}) and on (instance) {here})"
    found = f'query (printf `{asked}` $labels.instance) | sortByLabel "query"'
    each = f"{{{{ if $place }}}}, {{{{ end }}}}{{{{ $one.Labels.query }}}}{shown}"
    more = f"{{{{ if gt $value {NAMED}.0 }}}}, …{{{{ end }}}}"
    return f"{{{{ range $place, $one := {found} }}}}{each}{{{{ end }}}}{more}"


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
