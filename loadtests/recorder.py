"""Latencies as they are measured: counts of microseconds per query, and what went wrong.

Locust's own statistics round 100 to 999 ms to the nearest 10 (a p95 of 304.9 ms would pass a
budget of 300), so they only feed its user interface. HdrHistogram keeps three significant
digits and merges without loss; while requests are measured a dictionary stands for it, which takes
a tenth of its time.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hdrh.histogram import HdrHistogram
from pydantic import TypeAdapter

from harness.load_result import Leak

LONGEST_US = 600_000_000
DIGITS = 3
LEAKS_KEPT = 3
_EXACT_BITS = 11
_EXACT = 1 << _EXACT_BITS
"""Below it a histogram of three digits tells every microsecond apart, above it 11 bits of them."""

Tally = defaultdict[int, int]
"""How often each number of microseconds was seen."""


def new_tally() -> Tally:
    """Nothing seen yet."""
    return defaultdict(int)


def _new_row() -> array[int]:
    return array("q")


def told_apart(microseconds: int) -> int:
    """The least value that a histogram does not tell from this one, so that few are counted."""
    if microseconds < _EXACT:
        return microseconds
    shift = microseconds.bit_length() - _EXACT_BITS
    return microseconds >> shift << shift


def new_histogram() -> HdrHistogram:
    """An empty histogram: 1 µs to 10 minutes, three significant digits."""
    return HdrHistogram(1, LONGEST_US, DIGITS)


def histogram(tally: Mapping[int, int]) -> HdrHistogram:
    """What was counted; the bounds of the histogram for what is beyond them."""
    made = new_histogram()
    for microseconds, count in tally.items():
        made.record_value(min(max(microseconds, 1), LONGEST_US), count)
    return made


@dataclass(slots=True)
class Record:
    """What happened to one query. Mutable: it is on the hot path of the driver."""

    response: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(new_tally))
    """By class of tenant, from the intended start to the answer."""
    fresh: defaultdict[str, array[int]] = field(default_factory=lambda: defaultdict(_new_row))
    """The same of answers that are not counted yet, nor was whoever watches told of them: one after
    the other, for counting them as they come would take longer."""
    fresh_rows: int = 0
    service: Tally = field(default_factory=new_tally)
    """From when the request was sent; nothing where that is the intended start."""
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
        counted = sum(sum(tally.values()) for tally in self.response.values())
        return self.errors + counted + sum(len(row) for row in self.fresh.values())

    def answered(self, tenants: str, microseconds: int, rows: int, minimum_rows: int) -> None:
        """Notes an answer for a tenant of that class."""
        self.fresh[tenants].append(microseconds)
        self.fresh_rows += rows
        if not rows or rows < minimum_rows:
            self.empty += 1

    def served(self, microseconds: int) -> None:
        """Adds how long an answer took since it was sent."""
        self.service[told_apart(microseconds)] += 1

    def timed_out(self, tenants: str, microseconds: int, message: str) -> None:
        """Counts a statement that the server cancelled: it took at least that long."""
        self.timeouts += 1
        self.response[tenants][told_apart(microseconds)] += 1
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

    def count(self) -> tuple[Tally, int]:
        """Counts answers that are fresh; them and their rows."""
        fresh, self.fresh = self.fresh, defaultdict(_new_row)
        rows, self.fresh_rows = self.fresh_rows, 0
        counted = new_tally()
        for tenants, row in fresh.items():
            _count(row, self.response[tenants])
            _count(row, counted)
        return counted, rows

    def by_class(self) -> dict[str, Tally]:
        """How long answers took by class of tenant, counted before or fresh."""
        found = defaultdict(new_tally, {name: t.copy() for name, t in self.response.items()})
        for tenants, row in self.fresh.items():
            _count(row, found[tenants])
        return found


def _count(row: array[int], into: Tally) -> None:
    for microseconds, count in Counter(row).items():
        into[told_apart(microseconds)] += count


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
        response={key: encoded(tally) for key, tally in record.by_class().items()},
        service=encoded(record.service) if record.service else "",
        errors=record.errors,
        timeouts=record.timeouts,
        retries=record.retries,
        empty=record.empty,
        foreign_rows=record.foreign_rows,
        leaks=tuple(record.leaks),
        message=record.message,
    )


def encoded(tally: Mapping[int, int]) -> str:
    """What was counted as the text of a histogram."""
    text: str = histogram(tally).encode().decode()
    return text


def write(record: DriverRecord, path: Path) -> None:
    """Writes beside and renames, so that a half-written record is never read."""
    aside = path.with_suffix(".part")
    aside.write_bytes(_DOCUMENT.dump_json(record))
    aside.replace(path)


def read(path: Path) -> DriverRecord:
    """Reads what `write` wrote."""
    return _DOCUMENT.validate_json(path.read_bytes())
