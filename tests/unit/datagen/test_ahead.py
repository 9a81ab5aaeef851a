"""What is made ahead of who takes it."""

from __future__ import annotations

import threading

import pytest

from datagen.ahead import ahead

ENDLESS = 1_000_000


def _one(_: object) -> int:
    return 1


def test_things_come_in_their_order() -> None:
    with ahead(range(5), lambda item: item * 10, _one, ENDLESS) as working:
        assert [working.take() for _ in range(5)] == [0, 10, 20, 30, 40]


def test_the_next_is_made_before_it_is_asked_for() -> None:
    made = threading.Event()

    def make(item: int) -> int:
        if item == 1:
            made.set()
        return item

    with ahead(range(2), make, _one, ENDLESS) as working:
        assert working.take() == 0
        assert made.wait(10)


def test_nothing_is_begun_while_enough_waits() -> None:
    begun: list[int] = []
    enough = threading.Event()

    def make(item: int) -> int:
        begun.append(item)
        if len(begun) == 3:
            enough.set()
        return item

    with ahead(range(9), make, lambda _: 50, 100) as working:
        assert working.take() == 0
        assert enough.wait(10)
    assert begun == [0, 1, 2]


def test_what_cannot_be_made_is_told_in_its_turn_and_others_follow() -> None:
    def make(item: int) -> int:
        return 6 // item

    with ahead([3, 0, 2], make, _one, ENDLESS) as working:
        assert working.take() == 2
        with pytest.raises(ZeroDivisionError):
            working.take()
        assert working.take() == 3


def test_what_was_not_taken_is_made_again_of_what_changed() -> None:
    made_of = ["old"]
    with ahead(range(4), lambda item: (item, made_of[0]), _one, ENDLESS) as working:
        assert working.take() == (0, "old")
        working.again(lambda: made_of.__setitem__(0, "new"))
        assert [working.take() for _ in range(3)] == [(1, "new"), (2, "new"), (3, "new")]


def test_no_thread_is_left_whatever_ends_the_block() -> None:
    def interrupted() -> None:
        with ahead(range(9), lambda item: item, _one, 1) as working:
            working.take()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "ahead" not in {thread.name for thread in threading.enumerate()}
