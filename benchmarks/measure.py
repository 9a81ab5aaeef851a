"""Interleaved timing of two ways to do the same thing."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.config import Settings, load
from harness.db import Target
from harness.server import database
from harness.server.embedded import embedded, running


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
    """The embedded server of the benchmarks, and a function that makes a database anew."""
    settings = load()
    with running(embedded(settings, checkout=Path(__file__).parent)) as server:

        def fresh(name: str) -> Target:
            database.drop(server.conninfo("postgres"), name)
            database.ensure(server.conninfo("postgres"), name)
            return server.target(name, settings.roles)

        yield settings, fresh
