"""The doctor's view of the machine: what is too little is told with what it would cost."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from harness.server import machine
from harness.server.examined import Answer, Examined

GIB = 1 << 30


@pytest.mark.parametrize(
    ("found", "answer", "told"),
    [
        (machine.memory_for(8 * GIB, 16 * GIB), Answer.GOOD, "8,192 of 16,384 MiB available"),
        (machine.memory_for(GIB, 16 * GIB), Answer.WARNING, "latencies will be those of swapping"),
        (machine.disk_for(50 * GIB, Path("/data")), Answer.GOOD, "51,200 MiB free in /data"),
        (machine.disk_for(GIB, Path("/data")), Answer.WARNING, "a larger fill will stop"),
        (machine.files_for(65_536), Answer.GOOD, "65536 may be open"),
        (machine.files_for(resource.RLIM_INFINITY), Answer.GOOD, "may be open"),
        (machine.files_for(256), Answer.WARNING, "ulimit -n 1024"),
    ],
)
def test_what_there_is_is_judged(found: Examined, answer: Answer, told: str) -> None:
    assert found.answer is answer
    assert told in found.detail


def test_this_machine_answers_every_question(tmp_path: Path) -> None:
    answers = list(machine.examine(tmp_path))
    assert [a.question for a in answers] == ["memory", "disk", "open files", "packages"]
    assert "psycopg 3" in answers[-1].detail
