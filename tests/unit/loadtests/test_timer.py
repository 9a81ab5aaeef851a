"""A timer that a loop can watch."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Iterator

import pytest

from loadtests import timer

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has timers that are files"
)


@pytest.fixture
def made() -> Iterator[timer.Timer]:
    opened = timer.opened()
    assert opened is not None
    yield opened
    opened.close()


def test_its_file_can_be_read_once_the_time_is_over(made: timer.Timer) -> None:
    began = time.monotonic()
    made.start(0.02)
    assert select.select([made.file], [], [], 5)[0] == [made.file]
    assert time.monotonic() - began >= 0.02


def test_it_begins_anew(made: timer.Timer) -> None:
    for seconds in (0.001, 0.0):
        made.start(seconds)
        assert select.select([made.file], [], [], 5)[0] == [made.file]
        made.clear()
        assert select.select([made.file], [], [], 0)[0] == []
