"""Whose processor time is read, and where the wall's stands in for it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loadtests.rls_cost.clock import clocks, processor, wall


def _connection(pid: int) -> Any:
    return SimpleNamespace(info=SimpleNamespace(backend_pid=pid, dbname="shop"))


def _process(processes: Path, pid: int, title: str) -> Path:
    process = processes / str(pid)
    process.mkdir()
    (process / "cmdline").write_text(title)
    (process / "schedstat").write_text("2500000 17 3\n")
    return process


def test_processor_time_is_what_the_process_ran(tmp_path: Path) -> None:
    process = _process(tmp_path, 7, "postgres: app shop [local] idle")
    clock = processor(_connection(7), tmp_path)
    assert clock
    assert clock() == 2.5
    (process / "schedstat").write_text("4000000 18 3\n")
    assert clock() == 4.0


@pytest.mark.parametrize("title", ["vim", "postgres: app other [local] idle"])
def test_a_process_that_serves_somebody_else_is_not_asked(tmp_path: Path, title: str) -> None:
    _process(tmp_path, 7, title)
    assert processor(_connection(7), tmp_path) is None


def test_of_a_server_elsewhere_the_wall_is_all_there_is(tmp_path: Path) -> None:
    assert processor(_connection(7), tmp_path) is None
    assert clocks([_connection(-1), _connection(-2)]) == [wall, wall]
