"""What Prometheus computes: recorded series and alerts, each with the example that proves it.

promtool runs the examples (one sample a minute from time 0); values are chosen to be exact in
binary, for it compares them exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Series = Mapping[str, str]
"""Samples by series, in promtool's notation: `1x60` is 1 sixty-one times, `0+2x60` counts by 2."""


@dataclass(frozen=True, slots=True)
class Firing:
    """Series for which an alert fires, and how it reads then."""

    series: Series
    summary: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """Those of the alert beside its own."""


@dataclass(frozen=True, slots=True)
class Alert:
    """Fires where `value condition` has held for a while."""

    name: str
    severity: Literal["page", "ticket"]
    """Whether somebody is to be woken."""
    value: str
    """What is watched; the condition, as `> 0`, is said of it."""
    condition: str
    summary: str
    description: str
    """What it means. One sentence or two, without templates."""
    remedy: str
    """What to do, in docs/alerts.md."""
    fires: Firing
    quiet: Series
    """Series for which it does not fire."""
    lasting: str = "0m"
    """For how long the condition holds before it fires."""
    absent: str = ""
    """Why `value` may be nothing on a quiet server; it is something where this is empty."""

    @property
    def expr(self) -> str:
        """What Prometheus evaluates."""
        return f"{self.value} {self.condition}"

    @property
    def annotations(self) -> Mapping[str, str]:
        """What whoever is told reads."""
        return {
            "summary": self.summary,
            "description": self.description,
            "runbook_url": f"docs/alerts.md#{self.name.lower()}",
        }


@dataclass(frozen=True, slots=True)
class Recording:
    """A series that is computed once for all who ask."""

    name: str
    """As `harness:what:how`."""
    about: str
    expr: str
    series: Series
    """Of which `samples` come an hour after time 0."""
    samples: Mapping[str, float]
    """Values by labels, in braces."""
    absent: str = ""
    """As of an alert."""
