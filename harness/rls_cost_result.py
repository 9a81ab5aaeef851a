"""What row security adds to queries; a part of the Run document."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class QueryRlsCost:
    """A query under row security and the same with explicit predicates and without it."""

    name: str
    title: str
    calls: int = 0
    secured_ms: float = 0.0
    """Median time of a prepared call under row security."""
    explicit_ms: float = 0.0
    ratio: float = 0.0
    """Of the medians."""
    low: float = 0.0
    """Ends of the interval that holds 95 % of the resamples' ratios."""
    high: float = 0.0
    secured_buffers: float = 0.0
    """Median blocks of a call."""
    explicit_buffers: float = 0.0
    note: str = ""
    """Why it could not be compared; empty where it was."""


@dataclass(frozen=True, slots=True)
class RlsCostResult:
    """All reading queries."""

    queries: tuple[QueryRlsCost, ...]
    promise: float
    """What the median query's ratio may be at most."""
    low: float = 0.0
    """Ends of the interval that holds the median query's ratio in 95 % of resamples."""
    high: float = 0.0
    in_processor_time: bool = False
    """Whether times are the server's processor's, not the client's wall's."""

    @property
    def compared(self) -> tuple[QueryRlsCost, ...]:
        """The queries that could be compared."""
        return tuple(query for query in self.queries if not query.note)

    @property
    def median_ratio(self) -> float:
        """The ratio of the median query; 0 where none was compared."""
        ratios = [query.ratio for query in self.compared]
        return median(ratios) if ratios else 0.0

    @property
    def held(self) -> bool:
        """True when the median query costs no more than was promised."""
        return self.median_ratio <= self.promise
