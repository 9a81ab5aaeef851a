"""What a run filled and how much of it there is: tenants, their sizes, the largest tables."""

from __future__ import annotations

from dataclasses import dataclass

from harness.run import FillResult, Run, TenantFill

_TENANTS = 20
"""So many tenants are listed, the largest."""
_TABLES = 12
_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Skew:
    """How unlike in size the tenants are."""

    tenants: tuple[TenantFill, ...]
    """The largest first."""
    rest: int
    """So many are not listed."""
    rows: int
    """Of all tenants."""
    top_share: float
    """Of the largest."""
    largest_to_median: float


@dataclass(frozen=True, slots=True)
class Large:
    """A large table."""

    table: str
    rows: int | None
    bytes: int | None


def skew(run: Run) -> Skew | None:
    """None where the fill tells nothing of tenants."""
    shares = sorted(run.fill.shares, key=lambda share: -share.rows) if run.fill else []
    rows = sum(share.rows for share in shares)
    if not rows:
        return None
    middle = shares[len(shares) // 2].rows
    return Skew(
        tenants=tuple(shares[:_TENANTS]),
        rest=max(0, len(shares) - _TENANTS),
        rows=rows,
        top_share=shares[0].rows / rows,
        largest_to_median=shares[0].rows / middle if middle else 0.0,
    )


def largest(run: Run) -> tuple[Large, ...]:
    """The largest tables: by size where it was measured, else by rows."""
    rows = {table.table: table.rows for table in run.fill.tables} if run.fill else {}
    if run.volume:
        sizes = ((each.table, each.bytes) for each in run.volume.largest[:_TABLES])
        return tuple(Large(name, rows.get(name), size) for name, size in sizes)
    by_rows = sorted(rows.items(), key=lambda item: -item[1])[:_TABLES]
    return tuple(Large(name, count, None) for name, count in by_rows)


def untold(fill: FillResult | None) -> tuple[str, ...]:
    """Tables that could not be filled as planned, a line each."""
    return (*fill.unmet, *fill.fewer) if fill else ()


def size(count: float) -> str:
    """Bytes as people read them: 1.4 MB, in powers of 1,024."""
    for unit in _UNITS:
        if abs(count) < 1024 or unit == _UNITS[-1]:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return ""
