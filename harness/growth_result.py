"""How the cost of queries grows with the rows of their tables; a part of the Run document.

Costs are blocks of 8 kB that a call touches, found in memory or read, and milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Shape = Literal["constant", "logarithmic", "linear", "n log n", "quadratic"]
Planning = Literal["as planned", "by indexes"]
"""The plan that PostgreSQL chose at that size, or the one without reading tables whole, which it
turns to where tables are large."""


@dataclass(frozen=True, slots=True)
class GrowthPoint:
    """The median of a tenant's calls in one database."""

    scale: str
    """Which database."""
    tenant: str
    rows: int
    """Rows of the table that are the tenant's, or all where it has no tenants."""
    buffers: float
    milliseconds: float
    calls: int


@dataclass(frozen=True, slots=True)
class Fit:
    """The law that a cost follows best, and what it comes to at the size in question."""

    shape: Shape
    slope: float
    """Of the logarithm of the cost over that of rows: 0 constant, 1 linear, 2 quadratic."""
    slope_low: float
    slope_high: float
    support: float
    """The share of resamples in which the cost grows linearly or worse."""
    at_target: float
    low: float
    """Ends of the interval that holds 95 % of the resamples' own extrapolations, their choice of
    a law included."""
    high: float


@dataclass(frozen=True, slots=True)
class QueryGrowth:
    """One query: how its cost grows, and with what."""

    name: str
    title: str
    table: str = ""
    """The table whose rows it is held against; empty where it could not be told."""
    rows_at_target: int = 0
    """Rows of that table, all tenants together, that the costs are extrapolated to."""
    planning: Planning = "as planned"
    buffers: Fit | None = None
    """None where nothing could be told, and `note` says why."""
    latency: Fit | None = None
    points: tuple[GrowthPoint, ...] = ()
    declared: str = ""
    """Why its author says that it grows so; empty where the header says nothing."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class GrowthResult:
    """All queries, measured in databases of several sizes."""

    scales: tuple[str, ...]
    """The databases, the smallest first: by the scale of their fill, or by name."""
    target: str
    """What costs are extrapolated to, as it was asked for: `100x`, `10000000`."""
    calls: int
    """Calls per query, tenant and database."""
    queries: tuple[QueryGrowth, ...]
    seconds: float = 0.0
