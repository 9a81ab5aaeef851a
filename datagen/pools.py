"""Pools of Faker-made values, one per kind and locale, from which columns are sampled.

Faker makes some thousand values a second and numpy takes tens of millions from a pool, so Faker
is never asked per row.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from faker import Faker

from datagen.values import Array

SIZE = 400
"""Values per pool; columns that need more distinct ones compose several."""


@dataclass(frozen=True)
class Pools:
    """Pools of one seed, made when they are first asked for."""

    seed: int
    _made: dict[tuple[str, str], Array] = field(default_factory=dict)

    def get(self, kind: str, locale: str) -> Array:
        """Values of a Faker provider (`first_name`, `street_name`, …) in a locale."""
        key = (kind, locale)
        if key not in self._made:
            faker = Faker(locale, use_weighting=False)
            faker.seed_instance(f"{self.seed} {kind} {locale}")
            provider = getattr(faker, kind)
            values = np.empty(SIZE, object)
            values[:] = [str(provider()).replace("\n", ", ") for _ in range(SIZE)]
            self._made[key] = values
        return self._made[key]
