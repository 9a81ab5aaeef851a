"""A timer of Linux that is a file, which a loop can watch like a socket: timerfd_create(2).

gevent's loop waits in whole milliseconds, so that its own timers end up to one too late: of a fast
look-up in the open model that was the larger part of the latency.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time


class _Span(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Span), ("first", _Span))


class Timer:
    """Its file can be read once the time is over."""

    def __init__(self, file: int) -> None:
        self.file = file
        self._set = ctypes.CDLL(None).timerfd_settime

    def start(self, seconds: float) -> None:
        """Ends after so many seconds, some tens of microseconds late; OSError where it cannot."""
        whole, rest = divmod(max(1, int(seconds * 1e9)), 1_000_000_000)
        setting = _Setting(_Span(0, 0), _Span(whole, rest))
        if self._set(self.file, 0, ctypes.byref(setting), None):
            raise OSError("the operating system does not start a timer")

    def clear(self) -> None:
        """Takes note that it has ended."""
        os.read(self.file, 8)

    def close(self) -> None:
        """Gives the file back."""
        os.close(self.file)


def opened() -> Timer | None:
    """A timer, None where the operating system has no such files."""
    if sys.platform != "linux":
        return None
    made = ctypes.CDLL(None).timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    return Timer(made) if made >= 0 else None
