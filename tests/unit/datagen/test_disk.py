"""A fill that does not fit is refused, and one that is about to fill the disk stops."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from datagen import disk
from datagen.disk import NEAR, RESERVE, Room
from harness.errors import DatabaseError, UsageError

Usage = namedtuple("Usage", "total used free")
PLACE = Room(Path("/data"))


@pytest.fixture
def needs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what a fill needs and what is free, both beyond the reserve."""

    def set_to(needed: int, *free: int) -> None:
        left = [Usage(0, 0, RESERVE + each) for each in free]
        monkeypatch.setattr(shutil, "disk_usage", lambda _: left.pop(0))
        monkeypatch.setattr(disk, "estimate", lambda _: needed)
        monkeypatch.setattr(disk, "remaining", lambda found, *_: found)

    return set_to


def _told(place: Room | None) -> list[str]:
    lines: list[str] = []
    disk.require(None, None, place, lines.append)  # type: ignore[arg-type]
    return lines


def test_a_fill_that_does_not_fit_is_refused_in_one_line(needs: Any) -> None:
    needs(2_000_000_000, 1_500_000_000)
    with pytest.raises(UsageError) as refused:
        _told(PLACE)
    assert str(refused.value) == (
        "the fill needs about 2.0 GB, and 1.5 GB may be filled in /data: make room, or fill with "
        "a smaller --scale"
    )


def test_a_fill_that_hardly_fits_is_told_and_one_that_fits_is_not(needs: Any) -> None:
    needs(round(NEAR * 1e9) + 1, 10**9, 10**9)
    assert _told(PLACE) == ["the fill needs about 800 MB of the 1.0 GB that may be filled in /data"]
    needs(round(NEAR * 1e9) - 1, 10**9)
    assert _told(PLACE) == []


def test_what_cannot_be_seen_is_said(needs: Any) -> None:
    needs(5_000_000)
    assert _told(None) == [
        "the fill needs about 5 MB on the server, whose disk is not seen from here"
    ]


def test_a_fill_stops_before_the_disk_is_full_and_keeps_what_is_done(
    needs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(0, 10, -1)
    monkeypatch.setattr(disk, "EVERY", 0)
    done: list[str] = []
    with pytest.raises(DatabaseError, match=r"stopped before the disk is full: 537 MB are free"):
        done.extend(disk.watched(iter("abc"), PLACE))
    assert done == ["a", "b"]


def test_a_directory_that_cannot_be_seen_is_no_place() -> None:
    assert disk._visible(Path("/nowhere/at/all")) is None
    assert disk._visible(Path("/")) == Room(Path("/"))
