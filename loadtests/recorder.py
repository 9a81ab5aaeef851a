"""Latencies as they are measured: a histogram of microseconds per query, and what went wrong.

Locust's own statistics round 100 to 999 ms to the nearest 10 (a p95 of 304.9 ms would pass a
budget of 300), so they only feed its user interface. HdrHistogram keeps three significant
digits and merges without loss.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hdrh.histogram import HdrHistogram
from pydantic import TypeAdapter

LONGEST_US = 600_000_000
DIGITS = 3


def new_histogram() -> HdrHistogram:
    """An empty histogram: 1 µs to 10 minutes, three significant digits."""
    return HdrHistogram(1, LONGEST_US, DIGITS)


@dataclass(slots=True)
class Record:
    """What happened to one query. Mutable: it is on the hot path of the driver."""

    histogram: HdrHistogram = field(default_factory=new_histogram)
    errors: int = 0
    empty: int = 0
    foreign_rows: int = 0
    message: str = ""
    """The first error, or the first answer that broke a promise."""

    def answered(self, microseconds: int, rows: int, minimum_rows: int, foreign_rows: int) -> None:
        """Counts an answer."""
        self.histogram.record_value(min(max(microseconds, 1), LONGEST_US))
        if rows < minimum_rows:
            self.empty += 1
        if foreign_rows:
            self.foreign_rows += foreign_rows
            self.message = f"an answer held {foreign_rows} rows of another tenant"

    def failed(self, message: str) -> None:
        """Counts an error; its latency is not that of an answer."""
        self.errors += 1
        self.message = self.message or message


@dataclass(frozen=True, slots=True)
class QueryRecord:
    """A Record at rest; `histogram` is encoded."""

    name: str
    histogram: str
    errors: int
    empty: int
    foreign_rows: int
    message: str


@dataclass(frozen=True, slots=True)
class DriverRecord:
    """What one driver process saw between the end of its warm-up and its end."""

    seconds: float
    cpu_seconds: float
    """CPU time of the driver process in that span."""
    lost_connection: str
    queries: tuple[QueryRecord, ...]


_DOCUMENT = TypeAdapter(DriverRecord)


def at_rest(name: str, record: Record) -> QueryRecord:
    """The record as a value that can be written down."""
    encoded = record.histogram.encode().decode()
    return QueryRecord(
        name, encoded, record.errors, record.empty, record.foreign_rows, record.message
    )


def write(record: DriverRecord, path: Path) -> None:
    """Writes beside and renames, so that a half-written record is never read."""
    aside = path.with_suffix(".part")
    aside.write_bytes(_DOCUMENT.dump_json(record))
    aside.replace(path)


def read(path: Path) -> DriverRecord:
    """Reads what `write` wrote."""
    return _DOCUMENT.validate_json(path.read_bytes())
