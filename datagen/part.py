"""Which rows of a table are made at once: a cohort of a tenant's rows, after the earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from datagen.values import Array


@dataclass(frozen=True, slots=True)
class Cohort:
    """One of `of` parts of a tenant's rows, from 0."""

    index: int
    of: int

    def share(self, total: int) -> int:
        """How many of so many rows are the cohort's; all cohorts' shares are the total."""
        return total * (self.index + 1) // self.of - total * self.index // self.of


WHOLE = Cohort(0, 1)
"""All rows at once."""
KEY_WIDTH = 1 << 20
"""So many integer keys of a table are a tenant's own, where it needs no more."""


@dataclass(frozen=True, slots=True)
class Part:
    """A cohort's rows of one table."""

    cohort: Cohort = WHOLE
    first: int = 0
    """The number of its first row: how many rows were made in earlier cohorts."""
    seen: Mapping[str, Array] = field(default_factory=dict)
    """By unique constraint that spans cohorts: sorted hashes of what earlier cohorts hold."""
    key_width: int = KEY_WIDTH
    """How many 32-bit integer keys are each tenant's own."""
