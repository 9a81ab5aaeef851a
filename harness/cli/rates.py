"""Rows per second, in all and where they go at the moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Rates:
    """Rates of something underway, from how many rows there were at each moment."""

    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _last: tuple[float, int] = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()
        self._last = (self._began, 0)

    def told(self, rows: int, where: str) -> str:
        """`12,345 rows/s, 2,000 in shop.item`; `rows` are those that there are in all."""
        now = self.clock()
        (then, before), self._last = self._last, (now, rows)
        in_all = rows / max(now - self._began, 1e-6)
        here = (rows - before) / max(now - then, 1e-6)
        return f"{in_all:,.0f} rows/s, {here:,.0f} in {where}"
