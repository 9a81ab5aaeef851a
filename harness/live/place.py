"""The directory that processes tell of themselves in: this user's alone, in memory if possible.

In memory, because a page that the kernel is writing to a disk makes whoever changes it wait.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil


def directory() -> Path | None:
    """The directory, made if need be; None where there is none that only we can write to."""
    for parent in _parents():
        path = parent / f"harness-live-{os.geteuid()}"
        with suppress(OSError):
            path.mkdir(mode=0o700, exist_ok=True)
            if _is_ours(path):
                return path
    return None


def ours(pattern: str, within: Path) -> Iterator[Path]:
    """Files of that pattern whose names begin with the id of a process that lives; those of
    others are taken away."""
    for path in sorted(within.glob(pattern)):
        pid = path.name.partition("-")[0]
        if pid.isdecimal() and psutil.pid_exists(int(pid)):
            yield path
        else:
            with suppress(OSError):
                path.unlink()


def replace(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    aside = path.with_suffix(".part")
    aside.write_bytes(content)
    aside.replace(path)


def _parents() -> Iterator[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    for parent in (runtime, "/dev/shm", tempfile.gettempdir()):  # noqa: S108 - ours below
        if parent and Path(parent).is_dir():
            yield Path(parent)


def _is_ours(path: Path) -> bool:
    found = path.lstat()
    return (
        stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
    )
