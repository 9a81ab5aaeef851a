"""What a driver of load has counted up to now, in memory that another process can read.

The driver adds to a few numbers in a mapped file and nothing else is ever done: no lock, no
encoding, which would delay the requests that are measured. Latencies fall into buckets 1/32 of
their octave wide, so that a percentile read from them is at most 1.6 % off; verdicts are made from
the histograms of the driver, not from these.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from harness.live import place

FINE = 5
"""2^5 buckets to an octave."""
BUCKETS = 832
"""Up to 2^30 µs, eighteen minutes."""
ANSWERED, ERRORS, TIMEOUTS, FOREIGN_ROWS = range(4)
FIELDS = 4
WIDTH = FIELDS + BUCKETS
Numbers = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Promised:
    """A query that is driven and its budget of latency, in milliseconds."""

    name: str
    metric: str
    quantile: float
    limit: float


@dataclass(frozen=True, slots=True)
class Load:
    """What a driver process is about; `run` is the same for all that drive together."""

    run: int
    database: str
    began: float
    """When its users had connected, seconds of the clock."""
    warmup_seconds: float
    seconds: float
    users: int
    queries: tuple[Promised, ...]
    tenants: tuple[str, ...]


_DOCUMENT = TypeAdapter(Load)


def bucket(microseconds: int) -> int:
    """The bucket that a latency falls into."""
    octave = max(microseconds.bit_length() - FINE - 1, 0)
    return min((octave << FINE) + (microseconds >> octave), BUCKETS - 1)


def _middle(index: int) -> float:
    """The latency in the middle of a bucket, in milliseconds."""
    octave = max((index >> FINE) - 1, 0)
    low = index - (octave << FINE)
    return ((low << octave) + ((1 << octave) - 1) / 2) / 1000


MIDDLES = np.array([_middle(index) for index in range(BUCKETS)])


class QueryCounts:
    """The numbers of one query, to add to."""

    __slots__ = ("_at", "_numbers")

    def __init__(self, numbers: memoryview, at: int) -> None:
        """Numbers begin at a place of all."""
        self._numbers, self._at = numbers, at

    def answered(self, microseconds: int, count: int = 1) -> None:
        """Counts answers that took so long."""
        numbers, at = self._numbers, self._at
        numbers[at] += count
        numbers[at + FIELDS + bucket(microseconds)] += count

    def add(self, field: int, count: int = 1) -> None:
        """Counts something else."""
        self._numbers[self._at + field] += count


class Counted:
    """The numbers of all queries and tenants of a driver."""

    def __init__(self, load: Load, numbers: memoryview) -> None:
        """As many numbers as `size` says, all 0."""
        self._numbers = numbers
        self.queries = {
            query.name: QueryCounts(numbers, place * WIDTH)
            for place, query in enumerate(load.queries)
        }
        first = len(load.queries) * WIDTH
        self._tenants = {name.encode(): first + n for n, name in enumerate(load.tenants)}

    def asked(self, tenant: bytes, count: int = 1) -> None:
        """Counts requests of a tenant."""
        self._numbers[self._tenants[tenant]] += count


def size(load: Load) -> int:
    """How many numbers there are for it."""
    return len(load.queries) * WIDTH + len(load.tenants)


@contextmanager
def published(load: Load, within: Path) -> Iterator[Counted]:
    """Numbers that others can read until the block ends."""
    path = within / f"{os.getpid()}-counts"
    path.write_bytes(bytes(8 * size(load)))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        numbers = memoryview(memory).cast("Q")
        place.replace(within / f"{os.getpid()}-load.json", _DOCUMENT.dump_json(load))
        try:
            yield Counted(load, numbers)
        finally:
            numbers.release()
            for left in (within / f"{os.getpid()}-load.json", path):
                left.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """A load as it was counted at one moment, by all its drivers together."""

    load: Load
    queries: Numbers
    """A row per query: its fields, then its buckets."""
    tenants: Numbers


def read(within: Path | None = None) -> list[Counts]:
    """The loads that are going on."""
    directory = within or place.directory()
    found: dict[int, Counts] = {}
    for path in place.ours("*-load.json", directory) if directory else ():
        with suppress(OSError, ValidationError, ValueError):
            one = _read(path)
            before = found.get(one.load.run)
            found[one.load.run] = _together(before, one) if before else one
    return list(found.values())


def _read(path: Path) -> Counts:
    load = _DOCUMENT.validate_json(path.read_bytes())
    numbers = np.fromfile(path.with_name(path.name.replace("-load.json", "-counts")), np.uint64)
    cut = len(load.queries) * WIDTH
    return Counts(load, numbers[:cut].reshape(-1, WIDTH), numbers[cut:])


def _together(one: Counts, other: Counts) -> Counts:
    load = one.load
    both = Load(
        load.run,
        load.database,
        min(load.began, other.load.began),
        load.warmup_seconds,
        load.seconds,
        load.users + other.load.users,
        load.queries,
        load.tenants,
    )
    return Counts(both, one.queries + other.queries, one.tenants + other.tenants)


def percentile(buckets: Numbers, quantile: float) -> float | None:
    """The latency in milliseconds below which that share of the answers lies; None of none."""
    reached = np.cumsum(buckets)
    if not reached[-1]:
        return None
    return float(MIDDLES[np.searchsorted(reached, np.ceil(quantile * float(reached[-1])))])


def busiest(counts: Counts, limit: int) -> Mapping[str, int]:
    """The tenants with the most requests, and how many they were."""
    order: Sequence[int] = np.argsort(counts.tenants)[::-1][:limit].tolist()
    return {counts.load.tenants[n]: int(counts.tenants[n]) for n in order if counts.tenants[n]}
