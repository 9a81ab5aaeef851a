"""Interleaved timing of two ways to do the same thing."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import make_conninfo

from harness.config import Roles, Settings, load
from harness.db import Target, as_role
from harness.server import database
from harness.server.embedded import embedded, running

PREFIX = "harness_bench_"
"""Of every database that a benchmark makes, and drops."""
Conninfo = Callable[[str], str]
"""The DSN of a database, by its name."""


def seconds(action: Callable[[], object]) -> float:
    """How long an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def compare(
    ours: Callable[[], float], peer: Callable[[], float], rounds: int = 5
) -> tuple[float, float]:
    """Median seconds of both, taken in turn; the first round warms up and does not count."""
    pairs = [(ours(), peer()) for _ in range(rounds + 1)][1:]
    return statistics.median(o for o, _ in pairs), statistics.median(p for _, p in pairs)


def tell(figure: str, ours: float, peer: float, promise: str, unit: str = "s") -> None:
    """Prints a figure with its ratio and what was promised."""
    ratio = f"ratio {ours / peer:.2f} ({promise})"
    print(f"{figure}: {ours:.3f} {unit} against {peer:.3f} {unit}, {ratio}")


@contextmanager
def benchmark_server() -> Iterator[tuple[Settings, Callable[[str], Target]]]:
    """The server of the benchmarks, and a function that makes a database anew; all of them are
    dropped at the end."""
    settings = load()
    made: set[str] = set()
    with any_server() as conninfo:

        def fresh(figure: str) -> Target:
            name = PREFIX + figure
            made.add(name)
            database.drop(conninfo("postgres"), name)
            database.ensure(conninfo("postgres"), name)
            return target_of(conninfo(name), settings.roles)

        try:
            yield settings, fresh
        finally:
            for name in made:
                database.drop(conninfo("postgres"), name)


@contextmanager
def any_server() -> Iterator[Conninfo]:
    """The DSN of each database of a server: of the one that BENCHMARK_DSN names, as a superuser,
    or of the embedded one of the benchmarks."""
    dsn = os.environ.get("BENCHMARK_DSN")
    if dsn:
        yield lambda name: make_conninfo(dsn, dbname=name)
        return
    with running(embedded(load(), checkout=Path(__file__).parent)) as server:
        yield server.conninfo


def target_of(conninfo: str, roles: Roles) -> Target:
    """A database in its three capacities, reached by one login that may become every role."""
    return Target(conninfo, as_role(conninfo, roles.app), as_role(conninfo, roles.loader))
