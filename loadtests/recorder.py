"""Latencies as they are measured: histograms of microseconds per query, and what went wrong.

Locust's own statistics round 100 to 999 ms to the nearest 10 (a p95 of 304.9 ms would pass a
budget of 300), so they only feed its user interface. HdrHistogram keeps three significant
digits and merges without loss.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from hdrh.histogram import HdrHistogram
from pydantic import TypeAdapter

from harness.load_result import Leak

LONGEST_US = 600_000_000
DIGITS = 3
LEAKS_KEPT = 3


def new_histogram() -> HdrHistogram:
    """An empty histogram: 1 µs to 10 minutes, three significant digits."""
    return HdrHistogram(1, LONGEST_US, DIGITS)


def add(histogram: HdrHistogram, microseconds: int) -> None:
    """Records a value, the bounds of the histogram for one beyond them."""
    histogram.record_value(min(max(microseconds, 1), LONGEST_US))


@dataclass(slots=True)
class Record:
    """What happened to one query. Mutable: it is on the hot path of the driver."""

    response: defaultdict[str, HdrHistogram] = field(
        default_factory=lambda: defaultdict(new_histogram)
    )
    """By class of tenant, from the intended start to the answer."""
    service: HdrHistogram | None = None
    """From when the request was sent; None where that is the intended start."""
    errors: int = 0
    timeouts: int = 0
    retries: int = 0
    empty: int = 0
    foreign_rows: int = 0
    leaks: list[Leak] = field(default_factory=list)
    message: str = ""
    """The first error."""

    @property
    def requests(self) -> int:
        """Answers with a latency, and errors."""
        return self.errors + sum(int(h.total_count) for h in self.response.values())

    def answered(self, tenants: str, microseconds: int, rows: int, minimum_rows: int) -> None:
        """Counts an answer for a tenant of that class."""
        add(self.response[tenants], microseconds)
        if rows < minimum_rows:
            self.empty += 1

    def served(self, microseconds: int) -> None:
        """Adds how long an answer took since it was sent."""
        if self.service is None:
            self.service = new_histogram()
        add(self.service, microseconds)

    def timed_out(self, tenants: str, microseconds: int, message: str) -> None:
        """Counts a statement that the server cancelled: it took at least that long."""
        self.timeouts += 1
        add(self.response[tenants], microseconds)
        self.message = self.message or message

    def failed(self, message: str) -> None:
        """Counts an error; its latency is not that of an answer."""
        self.errors += 1
        self.message = self.message or message

    def leaked(self, leak: Leak) -> None:
        """Counts a leak, warm-up or not, and keeps the first few."""
        self.foreign_rows += leak.rows
        if len(self.leaks) < LEAKS_KEPT:
            self.leaks.append(leak)


@dataclass(frozen=True, slots=True)
class QueryRecord:
    """A Record at rest; histograms are encoded."""

    name: str
    response: dict[str, str]
    service: str
    errors: int
    timeouts: int
    retries: int
    empty: int
    foreign_rows: int
    leaks: tuple[Leak, ...]
    message: str


@dataclass(frozen=True, slots=True)
class DriverRecord:
    """What one driver process saw between the end of its warm-up and its end."""

    seconds: float
    cpu_seconds: float
    """CPU time of the driver process in that span."""
    lag: str
    """Encoded histogram of how late, in microseconds, a short sleep ended."""
    lost_connection: str
    queries: tuple[QueryRecord, ...]
    unserved: int = 0
    searched: int = 0
    switched: int = 0


_DOCUMENT = TypeAdapter(DriverRecord)


def at_rest(name: str, record: Record) -> QueryRecord:
    """The record as a value that can be written down."""
    return QueryRecord(
        name=name,
        response={key: encoded(histogram) for key, histogram in record.response.items()},
        service=encoded(record.service) if record.service is not None else "",
        errors=record.errors,
        timeouts=record.timeouts,
        retries=record.retries,
        empty=record.empty,
        foreign_rows=record.foreign_rows,
        leaks=tuple(record.leaks),
        message=record.message,
    )


def encoded(histogram: HdrHistogram) -> str:
    """A histogram as text."""
    text: str = histogram.encode().decode()
    return text


def write(record: DriverRecord, path: Path) -> None:
    """Writes beside and renames, so that a half-written record is never read."""
    aside = path.with_suffix(".part")
    aside.write_bytes(_DOCUMENT.dump_json(record))
    aside.replace(path)


def read(path: Path) -> DriverRecord:
    """Reads what `write` wrote."""
    return _DOCUMENT.validate_json(path.read_bytes())
