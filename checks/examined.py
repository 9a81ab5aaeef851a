"""What an examination of files or of a database gives, before anything is held back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from checks.allowance import Allowances
from harness.catalog.model import Catalog
from harness.catalog.source import Source
from harness.finding import Finding


@dataclass(frozen=True, slots=True)
class Examined:
    """Findings in the order of reports, and what they were found in."""

    findings: list[Finding]
    source: Source
    cells: Mapping[str, int]
    """The policies' truth table, cells by verdict."""
    allowances: Allowances

    @property
    def catalog(self) -> Catalog:
        """The tables, views and functions of the source."""
        return self.source.catalog
