"""Interleaved timing of two ways to do the same thing."""

from __future__ import annotations

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
    """The server of the benchmarks, and a function that makes a database anew."""
    settings = load()
    with any_server(settings) as conninfo:

        def fresh(name: str) -> Target:
            database.drop(conninfo("postgres"), name)
            database.ensure(conninfo("postgres"), name)
            return target_of(conninfo(name), settings.roles)

        yield settings, fresh


@contextmanager
def any_server(settings: Settings) -> Iterator[Conninfo]:
    """The DSN of each database of a server: of the one that HARNESS_DSN names, as a superuser, or
    of the embedded one of the benchmarks."""
    if settings.dsn is not None:
        dsn = settings.dsn.get_secret_value()
        yield lambda name: make_conninfo(dsn, dbname=name)
        return
    with running(embedded(settings, checkout=Path(__file__).parent)) as server:
        yield server.conninfo


def target_of(conninfo: str, roles: Roles) -> Target:
    """A database in its three capacities, reached by one login that may become every role."""
    return Target(conninfo, as_role(conninfo, roles.app), as_role(conninfo, roles.loader))
