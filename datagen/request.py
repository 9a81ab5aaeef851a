"""What a generator is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from datagen.part import WHOLE, Cohort
from datagen.pools import Pools
from datagen.tenants import Tenant
from datagen.values import Array


@dataclass(frozen=True, slots=True)
class Request:
    """So many values for one column of one tenant.

    `row_numbers` are the rows' ordinals within tenant and table, those of one cohort; with
    `unique` the values have to differ wherever they do. Bounds are inclusive and may be None.
    """

    row_numbers: Array
    rng: np.random.Generator
    tenant: Tenant
    pools: Pools
    as_of: datetime
    name: str = ""
    cohort: Cohort = WHOLE
    unique: bool = False
    lower: float | None = None
    upper: float | None = None
    across: int = 0
    """The number of tenants where values may not repeat between tenants, else 0."""
    length: int | None = None
    """The greatest length of a text."""
    digits: int | None = None
    """Decimal places of a numeric type."""
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many values."""
        return len(self.row_numbers)

    def pick(self, pool: Array) -> Array:
        """Values of a pool, each equally likely."""
        return pool[self.rng.integers(0, len(pool), self.rows)]

    def between(self, lower: float, upper: float) -> tuple[float, float]:
        """Default bounds narrowed by those that the column has."""
        low = self.lower if self.lower is not None else min(lower, self.upper or lower)
        high = self.upper if self.upper is not None else max(upper, low)
        return low, max(low, high)
