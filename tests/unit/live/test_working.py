"""How far a command is can be read while it works, and not afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.live import place, working


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "EVERY", 0.0)


def test_it_is_there_while_it_works(tmp_path: Path) -> None:
    with working.published("Filling", "shop", tmp_path) as tell:
        tell(3, 12, 900, "shop.item")
        (found,) = working.read(tmp_path)
    assert (found.doing, found.database, found.pid) == ("Filling", "shop", os.getpid())
    assert (found.done, found.total, found.rows, found.where) == (3, 12, 900, "shop.item")
    assert working.read(tmp_path) == []


def test_it_is_gone_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), working.published("Filling", "shop", tmp_path):
        raise ZeroDivisionError
    assert working.read(tmp_path) == []


def test_a_directory_that_is_full_or_gone_stops_nobody(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with working.published("Filling", "shop", gone) as tell:
        tell(1, 2, 3, "shop.item")
    assert working.read(gone) == []


def test_the_directory_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    found = place.directory()
    assert found == tmp_path / f"harness-live-{os.geteuid()}"
    found.chmod(0o755)
    assert place.directory() != found, "others could have written there"
