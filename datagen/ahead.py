"""Makes one thing after the other in a thread, ahead of who takes them."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

SWITCH = 0.0005
"""Seconds after which a thread lets another one go on. By Python's own 5 ms a server that has
answered waits longer for its next statement than it took for the last one."""
Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[Made]):
    """What was made, or what was raised instead."""

    size: int
    made: Made | None = None
    error: BaseException | None = None


class Ahead(Generic[Item, Made]):
    """What is made of items, in their order. The next is begun as long as what waits to be taken
    is smaller than `most` in all."""

    def __init__(
        self,
        items: Sequence[Item],
        make: Callable[[Item], Made],
        size: Callable[[Made], int],
        most: int,
    ) -> None:
        self._items, self._make, self._size, self._most = items, make, size, most
        self._changed = threading.Condition()
        self._waiting: deque[_Outcome[Made]] = deque()
        self._begun = 0
        self._is_busy = self._is_held = self._has_ended = False
        self._thread = threading.Thread(target=self._work, name="ahead", daemon=True)
        self._thread.start()

    def take(self) -> Made:
        """The next one; raises what making it raised."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            outcome = self._waiting.popleft()
            self._changed.notify_all()
        if outcome.error is not None:
            raise outcome.error
        return outcome.made  # type: ignore[return-value]

    def again(self, first: Callable[[], None]) -> None:
        """What was not taken yet is made anew, after something that changes what it is made of."""
        with self._changed:
            self._is_held = True
            self._changed.wait_for(lambda: not self._is_busy)
            self._begun -= len(self._waiting)
            self._waiting.clear()
            first()
            self._is_held = False
            self._changed.notify_all()

    def end(self) -> None:
        """Ends the thread, when it is done with what it has begun."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while self._may_begin():
            outcome = self._outcome(self._items[self._begun])
            with self._changed:
                self._waiting.append(outcome)
                self._begun += 1
                self._is_busy = False
                self._changed.notify_all()

    def _may_begin(self) -> bool:
        """Waits until there is room for one more; False where there is none to make, ever."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_ended or self._has_room())
            self._is_busy = not self._has_ended
            return self._is_busy

    def _has_room(self) -> bool:
        waits = sum(outcome.size for outcome in self._waiting)
        return not self._is_held and self._begun < len(self._items) and waits < self._most

    def _outcome(self, item: Item) -> _Outcome[Made]:
        try:
            made = self._make(item)
            return _Outcome(self._size(made), made)
        except BaseException as error:  # whoever takes it is told
            return _Outcome(0, error=error)


@contextmanager
def ahead(
    items: Sequence[Item],
    make: Callable[[Item], Made],
    size: Callable[[Made], int],
    most: int,
) -> Iterator[Ahead[Item, Made]]:
    """What is made of items, in a thread that ends with the block."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    working = Ahead(items, make, size, most)
    try:
        yield working
    finally:
        working.end()
        sys.setswitchinterval(usual)
