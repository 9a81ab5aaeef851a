"""Rates between two looks at a server's counters."""

from __future__ import annotations

from dataclasses import dataclass

from harness.watch.server import Totals


@dataclass(frozen=True, slots=True)
class Rates:
    """Per second, but for deadlocks, which are counted, and the share of blocks from the cache."""

    transactions: float
    rollbacks: float
    rows_read: float
    rows_written: float
    wal_bytes: float
    temp_bytes: float
    deadlocks: int
    cache_share: float | None


def rates(before: Totals, now: Totals) -> Rates:
    """What happened between two looks; counters that were reset count as standing still."""
    seconds = now.at - before.at

    def each(then: int, since: int) -> float:
        return max(since - then, 0) / seconds

    hits, reads = max(now.hits - before.hits, 0), max(now.reads - before.reads, 0)
    return Rates(
        transactions=each(before.commits, now.commits) + each(before.rollbacks, now.rollbacks),
        rollbacks=each(before.rollbacks, now.rollbacks),
        rows_read=each(before.rows_read, now.rows_read),
        rows_written=each(before.rows_written, now.rows_written),
        wal_bytes=each(before.wal_bytes, now.wal_bytes),
        temp_bytes=each(before.temp_bytes, now.temp_bytes),
        deadlocks=max(now.deadlocks - before.deadlocks, 0),
        cache_share=hits / (hits + reads) if hits + reads else None,
    )
