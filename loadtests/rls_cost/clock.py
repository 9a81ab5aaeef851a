"""What a call took: the server's processor time where that can be read, the wall's otherwise.

On a busy machine a call waits for a processor many times as long as it works, and neither form of a
query is to blame. Linux tells how long each process ran, to the nanosecond.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.db import Connection

Clock = Callable[[], float]
"""Milliseconds since some moment."""


def wall() -> float:
    """Whatever passes."""
    return time.perf_counter() * 1000


def processor(connection: Connection, processes: Path = Path("/proc")) -> Clock | None:
    """Of the process that serves the connection; None where it is none of this machine's."""
    process = processes / str(connection.info.backend_pid)
    try:
        title = (process / "cmdline").read_bytes().decode(errors="replace")
        ran = process / "schedstat"
        ran.read_bytes()
    except OSError:
        return None
    # Another machine's or container's process may have a number of this one's.
    if not title.startswith("postgres: ") or f" {connection.info.dbname} " not in title:
        return None
    return lambda: int(ran.read_bytes().split()[0]) / 1e6


def clocks(connections: Sequence[Connection]) -> list[Clock]:
    """One for each, all of the same kind."""
    found = [clock for each in connections if (clock := processor(each)) is not None]
    return found if len(found) == len(connections) else [wall for _ in connections]
