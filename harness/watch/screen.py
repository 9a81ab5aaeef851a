"""The terminal of a watch: its keys, and frames that take the place of each other."""

from __future__ import annotations

import select
import sys
import termios
import time
import tty
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live

from harness.watch.frame import View, frame
from harness.watch.watching import Pause

_ENDING = ("q", "Q", "\x04")


def show(views: Iterable[View], console: Console) -> None:
    """Shows each view as large as the terminal is at the moment."""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for view in views:
            size = console.size
            live.update(Group(*frame(view, size.width, size.height)), refresh=True)


@contextmanager
def keys() -> Iterator[Pause]:
    """A pause that ends the watch when q is pressed; without a terminal it only waits."""
    if not sys.stdin.isatty():
        yield waits
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield _pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def waits(seconds: float) -> bool:
    """Waits, and never ends."""
    time.sleep(seconds)
    return False


def _pressed(seconds: float) -> bool:
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and sys.stdin.read(1) in _ENDING
