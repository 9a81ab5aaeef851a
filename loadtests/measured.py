"""When a driver process measures, and what it has recorded meanwhile."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from math import ceil

import gevent
from gevent.event import Event

from loadtests import judging, recorder, workload
from loadtests.confidence import enough
from loadtests.draws import Draws
from loadtests.recorder import Record
from loadtests.workload import Workload

MARGIN = 1.5
"""How many times the samples that would decide are pursued: their number is an estimate, too."""
HEARTBEAT = 0.01
ROUND = 2.0


class Measured:
    """What this process has recorded since its warm-up ended.

    The clock starts when the last user has connected, and stops the run when its time is up.
    """

    def __init__(self, work: Workload, draws: Draws) -> None:
        self.records = {query.name: Record() for query in work.queries}
        self.unmeasured = {query.name: Record() for query in work.queries}
        """Of the warm-up and of after the end."""
        self.asked: defaultdict[bytes, int] = defaultdict(int)
        """Measured requests by tenant that whoever watches was not told of yet."""
        self.lag = recorder.new_tally()
        self.lost_connection = ""
        self.begun = Event()
        self.may_ask = Event()
        self.may_ask.set()
        self.under_way = 0
        self.zero = self.started = self.ended = float("inf")
        self.searched = self.switched = 0
        self.search_from = 0.0
        """When the next answer may be searched for what is another tenant's."""
        self._cpu_at_start = self._cpu_at_end = 0.0
        self._paused = 0.0
        self._work, self._draws = work, draws
        self._enough = _enough(work)

    def begin(self, ended: Callable[[], None]) -> None:
        """Starts the clock; `ended` is called when the time is up."""
        self.zero = time.perf_counter()
        self.started = self.zero + self._work.warmup_seconds
        self.ended = self.started + self._work.seconds
        self.begun.set()
        gevent.spawn(self._keep_time, ended)

    def counts(self, moment: float) -> bool:
        """Whether what began at that moment is measured."""
        return self.started <= moment < self.ended

    def at_rest(self, unserved: int) -> recorder.DriverRecord:
        """All of it as a value; `unserved` arrivals got no connection."""
        cpu = self._cpu_at_end or time.process_time()
        return recorder.DriverRecord(
            seconds=self._seconds(),
            cpu_seconds=cpu - self._cpu_at_start,
            lag=recorder.encoded(self.lag),
            lost_connection=self.lost_connection,
            queries=tuple(recorder.at_rest(name, r) for name, r in self.records.items()),
            unserved=unserved,
            searched=self.searched,
            switched=self.switched,
        )

    def _seconds(self) -> float:
        """How long was measured, up to now."""
        return max(min(time.perf_counter(), self.ended) - self.started - self._paused, 0.0)

    def _keep_time(self, ended: Callable[[], None]) -> None:
        gevent.sleep(self._work.warmup_seconds)
        self._cpu_at_start = time.process_time()
        self._beat_until_ended()
        if not self._work.rate and self._work.extend_seconds:
            self._extend()
        self._cpu_at_end = time.process_time()
        ended()

    def _extend(self) -> None:
        """Goes on for a while where verdicts are open, half of the time with those queries.

        First for those that have too few samples for any verdict or for one despite a hiccup, which
        depends on no outcome;
        then, after one look at the outcomes, for those that are open.
        """
        latest = self.ended + self._work.extend_seconds
        self._pursue(self._enough, latest)
        if self.ended < latest and self._work.parts == 1:  # a part of the outcomes tells little
            self._pursue(self._look(latest - self.ended), latest)
        self.may_ask.set()

    def _pursue(self, wanted: dict[str, int], latest: float) -> None:
        """Goes on until every query has as many requests as wanted, or time is up."""
        while self.ended < latest:
            short = frozenset(n for n, count in wanted.items() if self.records[n].requests < count)
            if not short:
                return
            self._go_on(short, min(ROUND, latest - self.ended))

    def _go_on(self, focus: frozenset[str], seconds: float) -> None:
        self._draws.focus(focus)
        self.ended += seconds
        self.may_ask.set()
        self._beat_until_ended()

    def _look(self, seconds: float) -> dict[str, int]:
        """Queries whose verdict is open, with so many requests as would decide; not those that
        need more than half of what so many seconds bring.

        Judging takes its time, in which no request must be under way, for it would be measured;
        the clock stands meanwhile.
        """
        self.may_ask.clear()
        while self.under_way:
            gevent.sleep(0.001)
        before = time.perf_counter()
        found = self._open()
        had = {name: record.requests for name, record in self.records.items()}
        room = sum(had.values()) / max(self._seconds(), 1.0) * seconds / 2
        self.ended = time.perf_counter()
        self._paused += self.ended - before
        return {name: count for name, count in found.items() if count - had[name] <= room}

    def _open(self) -> dict[str, int]:
        """Queries whose verdict is open, with so many requests as would decide."""
        results = (
            judging.result(q, [recorder.at_rest(q.name, self.records[q.name])])
            for q in self._work.queries
        )
        return {
            result.name: ceil(MARGIN * max(budget.needed for budget in result.budgets))
            for result in results
            if result.verdict == "inconclusive" and result.name in self._enough
        }

    def _beat_until_ended(self) -> None:
        """Sleeps shortly again and again: how late each sleep ends is the driver's own delay."""
        while (before := time.perf_counter()) < self.ended:
            gevent.sleep(HEARTBEAT)
            late = time.perf_counter() - before - HEARTBEAT
            self.lag[recorder.told_apart(int(late * 1e6))] += 1


def _enough(work: Workload) -> dict[str, int]:
    """So many samples a verdict needs at least, of this process."""
    lacking = workload.lacking(work.queries, work.tenants)
    return {
        query.name: ceil(
            max(enough(b.quantile) for b in query.budgets if b.metric != "errors") / work.parts
        )
        for query in work.queries
        if query.name not in lacking
    }
