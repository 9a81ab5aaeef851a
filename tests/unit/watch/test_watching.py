"""A server that does not answer is told, and tried again until the watch ends."""

from __future__ import annotations

from harness.watch.rates import rates
from harness.watch.server import Totals
from harness.watch.watching import Watched, views

NOWHERE = "host=127.0.0.1 port=1 dbname=x user=u password=hunter2"


def test_it_tries_again_until_the_end() -> None:
    pauses = iter([False, False, True])
    seen = list(views(Watched((NOWHERE,), "x", "x on 127.0.0.1:1"), 0.1, lambda _: next(pauses)))
    assert len(seen) == 3
    assert all(view.lost.startswith("cannot connect") for view in seen)
    assert "hunter2" not in repr(seen)


def test_counters_that_were_reset_stand_still() -> None:
    before = Totals(100.0, 1000, 10, 5000, 100, 900, 100, 50, 3, 9000)
    after = Totals(101.0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    found = rates(before, after)
    assert (found.transactions, found.rows_read, found.deadlocks) == (0, 0, 0)
    assert found.cache_share is None
