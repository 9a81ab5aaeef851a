"""docs/alerts.md: what each alert means and what to do when it fires."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module

from dashboards.rule import Alert

_HEAD = """# Alerts

What the rules in [dashboards/prometheus/rules](../dashboards/prometheus/rules) fire on: `page`
wakes somebody, `ticket` can wait for the morning. Written by `python -m dashboards` from the
alerts themselves.
"""


def page(subjects: Iterable[tuple[str, Sequence[Alert]]]) -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *(_subject(name, alerts) for name, alerts in subjects)])


def _subject(name: str, alerts: Sequence[Alert]) -> str:
    about = str(import_module(f"dashboards.alerts.{name}").__doc__).strip()
    return "\n".join([f"## {about.rstrip('.')}\n", *map(_paragraph, alerts)])


def _paragraph(alert: Alert) -> str:
    lasting = "" if alert.lasting == "0m" else f", when it has lasted {alert.lasting}"
    return (
        f"### {alert.name}\n\n*{alert.severity}{lasting}.* {alert.description}\n\n"
        f"```promql\n{alert.expr}\n```\n\n{alert.remedy}\n"
    )
