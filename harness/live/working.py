"""How far a command is: what it does, of how much, at which place."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.live import place

EVERY = 0.5
"""Seconds between two files at the least."""


@dataclass(frozen=True, slots=True)
class Working:
    """A command under way; times are seconds of the clock that all processes share."""

    pid: int
    doing: str
    """Filling, Loading, Attacking."""
    database: str
    began: float
    told: float
    done: float = 0.0
    total: float = 0.0
    """0 where it is not known."""
    rows: int = 0
    where: str = ""


@cache
def _document() -> TypeAdapter[Working]:
    """Made when it is asked for: no small part of what a command takes to begin."""
    return TypeAdapter(Working)


Tell = Callable[[float, float, int, str], None]
"""Called with how much is done, of how much, rows and the place."""


@contextmanager
def published(doing: str, database: str, within: Path | None = None) -> Iterator[Tell]:
    """Tells of a work until the block ends; costs a file twice a second."""
    directory = within or place.directory()
    if directory is None:
        yield lambda *_: None
        return
    path = directory / f"{os.getpid()}-working.json"
    state = Working(os.getpid(), doing, database, time.time(), 0.0)

    def tell(done: float, total: float, rows: int, where: str) -> None:
        nonlocal state
        now = time.time()
        if now - state.told < EVERY:
            return
        state = replace(state, told=now, done=done, total=total or 0.0, rows=rows, where=where)
        with suppress(OSError):  # whoever works does not fail for who might watch
            place.replace(path, _document().dump_json(state))

    tell(0.0, 0.0, 0, "")
    try:
        yield tell
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def read(within: Path | None = None) -> list[Working]:
    """All that work at the moment, the longest first."""
    directory = within or place.directory()
    found = []
    for path in place.ours("*-working.json", directory) if directory else ():
        with suppress(OSError, ValidationError):
            found.append(_document().validate_json(path.read_bytes()))
    return sorted(found, key=lambda working: working.began)
