"""When requests are due in the open model, whether the server is ready for them or not."""

from __future__ import annotations

import random
from typing import Literal

Kind = Literal["constant", "poisson"]


class Schedule:
    """Due times in seconds since the start, in order, each handed out once."""

    def __init__(self, rate: float, kind: Kind, chance: random.Random | None = None) -> None:
        """`rate` requests per second, evenly or as independent visitors come (Poisson)."""
        self._rate = rate
        self._kind = kind
        self._chance = chance or random.Random()
        self._count = 0
        self._next = self._gap()

    def take(self) -> float:
        """The next due time, which is then taken."""
        due = self._next
        self._count += 1
        self._next = (
            due + self._gap() if self._kind == "poisson" else (self._count + 1) / self._rate
        )
        return due

    def peek(self) -> float:
        """The next due time, which stays."""
        return self._next

    def left(self, end: float) -> int:
        """Takes all that is due before `end`; how many that were."""
        count = 0
        while self._next < end:
            self.take()
            count += 1
        return count

    def _gap(self) -> float:
        if self._kind == "poisson":
            return self._chance.expovariate(self._rate)
        return 1 / self._rate
