"""harness watch: one frame of a live server, with who waits for whom."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg
import pytest

from harness.__main__ import main
from harness.db import Target
from harness.live import working


def test_a_frame_shows_who_waits_for_whom(
    database: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        psycopg.connect(database.admin, application_name="bh:holder") as holder,
        psycopg.connect(database.admin, application_name="bh:waiter") as waiter,
        working.published("Filling", "shop") as tell,
    ):
        waiting, holding = waiter.info.backend_pid, holder.info.backend_pid
        holder.execute("CREATE TABLE thing (n integer)")
        holder.commit()
        holder.execute("LOCK TABLE thing")
        waits = threading.Thread(target=waiter.execute, args=["SELECT * FROM thing"])
        waits.start()
        tell(1, 4, 900, "shop.item")
        command = ["watch", "--once", "--interval", "0.3", "--no-color", "--dsn", database.admin]
        assert main(command) == 0
        holder.rollback()
        waits.join()
    told = capsys.readouterr().out
    assert " tx/s · " in told
    assert f"{waiting} bh:waiter waits " in told
    assert f"for public.thing, held by {holding} bh:holder (idle in transaction)" in told
    assert "Lock relation (Waiting to acquire a lock on a relation)" in told
    assert "Filling shop" in told
    assert "bh:waiter" in told.splitlines()[-1], "who was seen active"


def test_an_embedded_server_that_does_not_run_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["watch", "--once"]) == 3
    assert "harness up starts it" in capsys.readouterr().err
