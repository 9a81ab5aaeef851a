"""The directory of a drill: with room enough, gone afterwards, and cleared where one was killed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.drill.workspace import LONGEST, workspace
from harness.errors import UsageError
from harness.server.account import Account

US = Account(os.geteuid(), os.getegid(), is_other=False)


@pytest.fixture
def parent() -> Iterator[Path]:
    """A directory with a short path, whatever that of the test is."""
    with TemporaryDirectory() as directory:
        yield Path(directory)


def test_it_is_private_and_gone_at_the_end(parent: Path) -> None:
    with workspace(parent, US, 1) as directory:
        assert directory.stat().st_mode & 0o077 == 0
        (directory / "full").mkdir()
    assert list(parent.iterdir()) == []


def test_it_is_gone_after_an_interruption(parent: Path) -> None:
    with pytest.raises(KeyboardInterrupt), workspace(parent, US, 1):
        raise KeyboardInterrupt
    assert list(parent.iterdir()) == []


def test_too_little_room_is_told_before_anything_is_made(parent: Path) -> None:
    with pytest.raises(UsageError, match=r"needs about 1000000\.0 GB.*--work-dir"):
        workspace(parent, US, 10**15).__enter__()
    assert list(parent.iterdir()) == []


def test_too_long_a_path_for_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * LONGEST)
    deep.mkdir()
    with pytest.raises(UsageError, match="too long a path for a socket"):
        workspace(deep, US, 1).__enter__()
    assert list(deep.iterdir()) == []


def test_what_a_killed_drill_left_is_cleared_but_not_what_one_uses(parent: Path) -> None:
    for name in ("harness-drill-killed", "harness-drill-working"):
        (parent / name / "full").mkdir(parents=True)
        (parent / f"{name}.lock").touch()
    with (parent / "harness-drill-working.lock").open() as used:
        fcntl.flock(used, fcntl.LOCK_EX)
        with workspace(parent, US, 1) as directory:
            others = sorted(
                path.name for path in parent.iterdir() if directory.name not in path.name
            )
    assert others == ["harness-drill-working", "harness-drill-working.lock"]
