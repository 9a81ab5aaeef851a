"""A fill that does not fit is refused, and one that is about to fill the disk stops."""

from __future__ import annotations

import shutil
from collections import namedtuple
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from datagen import disk
from datagen.disk import NEAR, RESERVE, Room
from datagen.plan import FillSettings, plan
from harness.catalog import files
from harness.config import Settings
from harness.errors import DatabaseError, UsageError

Usage = namedtuple("Usage", "total used free")
PLACE = Room(Path("/data"))
MOMENT = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets how much is free beyond the reserve, look by look."""

    def set_to(*free: int) -> None:
        left = [Usage(0, 0, RESERVE + each) for each in free]
        monkeypatch.setattr(shutil, "disk_usage", lambda _: left.pop(0))

    return set_to


def _told(needed: int, place: Room | None) -> list[str]:
    lines: list[str] = []
    disk.require(needed, place, lines.append)
    return lines


def test_a_fill_that_does_not_fit_is_refused_in_one_line(free: Callable[..., None]) -> None:
    free(1_500_000_000)
    with pytest.raises(UsageError) as refused:
        _told(2_000_000_000, PLACE)
    assert str(refused.value) == (
        "the fill needs about 2.0 GB, and 1.5 GB may be filled in /data: make room, or fill with "
        "a smaller --scale"
    )


def test_a_fill_that_hardly_fits_is_told_and_one_that_fits_is_not(
    free: Callable[..., None],
) -> None:
    free(10**9, 10**9)
    assert _told(round(NEAR * 1e9) + 1, PLACE) == [
        "the fill needs about 800 MB of the 1.0 GB that may be filled in /data"
    ]
    assert _told(round(NEAR * 1e9) - 1, PLACE) == []


def test_what_cannot_be_seen_is_said() -> None:
    assert _told(5_000_000, None) == [
        "the fill needs about 5 MB on the server, whose disk is not seen from here"
    ]


def test_rows_and_indexes_take_room(tmp_path: Path) -> None:
    def bytes_of(rows: int, index: str = "") -> int:
        sql = "CREATE SCHEMA s; CREATE TABLE s.t (n integer NOT NULL, m bigint NOT NULL);" + index
        wanted = FillSettings(1, rows / 200, 1, MOMENT, recipes_dir=tmp_path)
        catalog = files.read({"s.sql": sql}).catalog
        return disk.estimate(plan(catalog, Settings(), wanted))

    assert bytes_of(20_000) - bytes_of(10_000) == 10_000 * (disk.ROW + 4 + 8)
    indexed = bytes_of(10_000, "CREATE INDEX ON s.t (m);")
    assert indexed - bytes_of(10_000) == 10_000 * (disk.ENTRY + 8) + disk.PAGES


def test_a_fill_stops_before_the_disk_is_full_and_keeps_what_is_done(
    free: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    free(10, -1)
    monkeypatch.setattr(disk, "EVERY", 0)
    done: list[str] = []
    with pytest.raises(DatabaseError, match=r"stopped before the disk is full: 537 MB are free"):
        done.extend(disk.watched(iter("abc"), PLACE))
    assert done == ["a", "b"]


def test_a_directory_that_cannot_be_seen_is_no_place() -> None:
    assert disk._visible(Path("/nowhere/at/all")) is None
    assert disk._visible(Path("/")) == Room(Path("/"))
