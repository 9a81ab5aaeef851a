"""What a renderer of findings needs to know of the rules that made them."""

from __future__ import annotations

from typing import Protocol

from harness.finding import Severity


class RuleDescription(Protocol):
    """A rule as reports describe it; `checks.rule.Rule` is one."""

    @property
    def id(self) -> str:
        """RLS001."""

    @property
    def name(self) -> str:
        """not_enabled."""

    @property
    def severity(self) -> Severity:
        """Of all its findings."""

    @property
    def title(self) -> str:
        """What holds where nothing is found, without a full stop."""

    @property
    def why(self) -> str:
        """What goes wrong where it does not hold."""
