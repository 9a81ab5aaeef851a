"""The directory that a drill works in: with room enough, its own, and gone afterwards.

A drill that was killed leaves its directory and perhaps a server in it. Its lock is free then, by
which the next drill knows, and clears both away.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from harness.errors import UsageError
from harness.server import lock
from harness.server.account import Account, make_directory

PREFIX = "harness-drill-"
LOCK = ".lock"
LONGEST = 90
"""Bytes of the directory's path: the socket in it has a path of at most 107."""


@contextmanager
def workspace(parent: Path, account: Account, needed: int) -> Iterator[Path]:
    """A new directory of the account below `parent`.

    Raises UsageError where `needed` bytes are not free there or its path is too long for a socket.
    """
    require_room(parent, needed)
    _clear_left_over(parent)
    descriptor, name = tempfile.mkstemp(dir=parent, prefix=PREFIX, suffix=LOCK)
    path = Path(name.removesuffix(LOCK))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _require_short(path)
        path.mkdir(mode=0o700)
        make_directory(path, account)
        yield path
    finally:
        _clear(path)
        os.close(descriptor)


def size(path: Path) -> int:
    """Bytes of all files below."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def stop_server(data: Path) -> None:
    """Ends the postmaster of a data directory, whatever state it is in; nothing in it is kept."""
    with suppress(OSError, ValueError, IndexError, psutil.Error):
        pid = int((data / "postmaster.pid").read_text(encoding="ascii").split()[0])
        postmaster = psutil.Process(pid)
        if postmaster.name() == "postgres" and str(data) in " ".join(postmaster.cmdline()):
            postmaster.send_signal(signal.SIGQUIT)  # an immediate shutdown
            postmaster.wait(timeout=30)


def require_room(parent: Path, needed: int) -> None:
    """UsageError where so many bytes are not free."""
    try:
        free = shutil.disk_usage(parent).free
    except OSError as error:
        raise UsageError(f"{parent}: a drill cannot work there: {error.strerror}") from None
    if needed > free:
        raise UsageError(
            f"the drill needs about {told_size(needed)}, and {told_size(free)} are free in "
            f"{parent}: make room, or name another directory with --work-dir"
        )


def _require_short(path: Path) -> None:
    if len(os.fsencode(path)) > LONGEST:
        raise UsageError(f"{path.parent}: too long a path for a socket in it; name a shorter one")


def _clear_left_over(parent: Path) -> None:
    for lock_file in parent.glob(f"{PREFIX}*{LOCK}"):
        with suppress(OSError):
            if lock_file.lstat().st_uid == os.geteuid() and (held := lock.claim(lock_file)):
                _clear(lock_file.with_suffix(""))
                os.close(held)


def _clear(path: Path) -> None:
    for data in path.glob("*/postmaster.pid"):
        stop_server(data.parent)
    shutil.rmtree(path, ignore_errors=True)
    path.with_name(path.name + LOCK).unlink(missing_ok=True)


def told_size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
