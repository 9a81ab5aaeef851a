"""The Locust user that drives the critical queries. Runs in a process of its own: importing
Locust patches the standard library.

HARNESS_WORKLOAD names the workload file, HARNESS_LOAD_DSN the server, HARNESS_LOAD_RECORD
where the histograms go, HARNESS_LOAD_DATABASE what `harness watch` calls the database. Each user
has a connection of its own and sends the tenant and a query in one round trip. In the closed model
it thinks before the next; in the open one it takes the next arrival of a schedule that all users
share, and latency counts from when that was due.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from math import ceil
from pathlib import Path
from typing import Any, NoReturn

import gevent
from gevent.event import Event
from locust import User, events, task
from locust.env import Environment
from locust.exception import StopUser

from harness.live import counts, place
from harness.live.counts import Counted
from harness.load_result import Leak
from loadtests import judging, recorder, workload
from loadtests.arrivals import Schedule
from loadtests.confidence import enough
from loadtests.draws import Draws, Request
from loadtests.ownership import Ownership
from loadtests.pipeline import Answer, ConnectionLost, PipelinedConnection
from loadtests.timer import opened

WORK = workload.read(Path(os.environ["HARNESS_WORKLOAD"]))
RECORD = Path(os.environ["HARNESS_LOAD_RECORD"])
DSN = os.environ["HARNESS_LOAD_DSN"]
SET_TENANT = WORK.set_tenant.replace("%s", "$1")
DRAWS = Draws(WORK, WORK.part, WORK.parts)
SCHEDULE = Schedule(WORK.rate, WORK.arrivals) if WORK.rate else None
END = WORK.warmup_seconds + WORK.seconds
"""When the schedule ends."""
OWNERSHIP = Ownership(WORK.tenants, WORK.tenant_column)

CONFLICTS = ("40001", "40P01")
"""Serialization failure and deadlock: an application tries again, so the driver does."""
CANCELLED = ("57014", "55P03")
"""The statement or lock timeout came first."""
TRIES = 5
MARGIN = 1.5
"""How many times the samples that would decide are pursued: their number is an estimate, too."""
HEARTBEAT = 0.01
ROUND = 2.0
ENOUGH = {
    query.name: ceil(
        max(enough(b.quantile) for b in query.budgets if b.metric != "errors") / WORK.parts
    )
    for query in WORK.queries
    if query.name not in workload.lacking(WORK.queries, WORK.tenants)
}
"""So many samples a verdict needs at least, of this process."""
DRAIN_SECONDS = 20.0
"""So long after the end, requests that were due before it still get their turn."""


class Measured:
    """What this process has recorded since its warm-up ended.

    The clock starts when the last user has connected, and stops the run when its time is up.
    """

    def __init__(self) -> None:
        self.records = {query.name: recorder.Record() for query in WORK.queries}
        self.lag = recorder.new_histogram()
        self.lost_connection = ""
        self.connected = 0
        self.begun = Event()
        self.may_ask = Event()
        self.may_ask.set()
        self.under_way = 0
        self.zero = self.started = self.ended = float("inf")
        self.cpu_at_start = self.cpu_at_end = 0.0
        self.paused = 0.0
        self.searched = self.switched = 0
        self.published = ExitStack()
        self.live: Counted | None = None

    def user_connected(self, environment: Any) -> None:
        self.connected += 1
        if self.connected == environment.parsed_options.num_users:
            self.zero = time.perf_counter()
            self.started = self.zero + WORK.warmup_seconds
            self.ended = self.started + WORK.seconds
            self._publish(environment.parsed_options.num_users)
            self.begun.set()
            gevent.spawn(self._keep_time, environment)

    def _publish(self, users: int) -> None:
        """Lets `harness watch` read the counts; who drives does not fail for who might watch."""
        directory = place.directory()
        if directory is not None:
            with suppress(OSError):
                published = counts.published(_load(users), directory)
                self.live = self.published.enter_context(published)

    def counts(self, moment: float) -> bool:
        """Whether what began at that moment is measured."""
        return self.started <= moment < self.ended

    def seconds(self) -> float:
        """How long was measured, up to now."""
        return max(min(time.perf_counter(), self.ended) - self.started - self.paused, 0.0)

    def _keep_time(self, environment: Any) -> None:
        gevent.sleep(WORK.warmup_seconds)
        self.cpu_at_start = time.process_time()
        self._beat_until_ended()
        if SCHEDULE is None and WORK.extend_seconds:
            self._extend()
        self.cpu_at_end = time.process_time()
        deadline = self.ended + DRAIN_SECONDS
        while SCHEDULE is not None and environment.runner.user_count > 0:
            if time.perf_counter() > deadline:
                break
            gevent.sleep(0.05)
        _end(environment)

    def _extend(self) -> None:
        """Goes on for a while where verdicts are open, half of the time with those queries.

        First for those that have too few samples for any verdict or for one despite a hiccup, which
        depends on no outcome;
        then, after one look at the outcomes, for those that are open.
        """
        latest = self.ended + WORK.extend_seconds
        self._pursue(ENOUGH, latest)
        if self.ended < latest and WORK.parts == 1:  # a part of the outcomes tells little
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
        DRAWS.focus(focus)
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
        results = (
            judging.result(q, [recorder.at_rest(q.name, self.records[q.name])])
            for q in WORK.queries
        )
        found = {
            result.name: ceil(MARGIN * max(budget.needed for budget in result.budgets))
            for result in results
            if result.verdict == "inconclusive" and result.name in ENOUGH
        }
        had = {name: record.requests for name, record in self.records.items()}
        room = sum(had.values()) / max(self.seconds(), 1.0) * seconds / 2
        self.ended = time.perf_counter()
        self.paused += self.ended - before
        return {name: count for name, count in found.items() if count - had[name] <= room}

    def _beat_until_ended(self) -> None:
        """Sleeps shortly again and again: how late each sleep ends is the driver's own delay."""
        while (before := time.perf_counter()) < self.ended:
            gevent.sleep(HEARTBEAT)
            late = time.perf_counter() - before - HEARTBEAT
            recorder.add(self.lag, int(late * 1e6))


def _load(users: int) -> counts.Load:
    promised = (
        counts.Promised(query.name, budget.metric, budget.quantile, budget.limit)
        for query in WORK.queries
        for budget in (query.latency_budget,)
    )
    return counts.Load(
        run=os.getppid(),
        database=os.environ.get("HARNESS_LOAD_DATABASE", ""),
        began=time.time(),
        warmup_seconds=WORK.warmup_seconds,
        seconds=WORK.seconds,
        users=users,
        queries=tuple(promised),
        tenants=tuple(tenant.id for tenant in WORK.tenants),
    )


def _end(environment: Any) -> None:
    """Ends the users and, where Locust's pages are served, the process that waits for them."""
    environment.runner.quit()
    if environment.web_ui is not None:
        environment.web_ui.stop()


MEASURED = Measured()


@events.quitting.add_listener
def _write_record(environment: Environment, **_: Any) -> None:  # noqa: ARG001
    MEASURED.live = None
    MEASURED.published.close()
    cpu = MEASURED.cpu_at_end or time.process_time()
    record = recorder.DriverRecord(
        seconds=MEASURED.seconds(),
        cpu_seconds=cpu - MEASURED.cpu_at_start,
        lag=recorder.encoded(MEASURED.lag),
        lost_connection=MEASURED.lost_connection,
        queries=tuple(recorder.at_rest(name, r) for name, r in MEASURED.records.items()),
        unserved=SCHEDULE.left(END) if SCHEDULE else 0,
        searched=MEASURED.searched,
        switched=MEASURED.switched,
    )
    recorder.write(record, RECORD)


def _sleep() -> Callable[[float], None]:
    """Sleeps of one greenlet that end when they should."""
    timer = opened()
    if timer is None:
        return gevent.sleep  # type: ignore[no-any-return]
    hub = gevent.get_hub()
    watcher = hub.loop.io(timer.file, 1)

    def sleep(seconds: float) -> None:
        timer.start(seconds)
        hub.wait(watcher)
        timer.clear()

    return sleep


class CriticalQueryUser(User):
    """One application connection that works for one tenant after the other."""

    def wait_time(self) -> float:
        """Thinks for an exponentially distributed time, as independent visitors do."""
        if SCHEDULE is not None or not WORK.think_seconds:
            return 0.0
        return random.expovariate(1 / WORK.think_seconds)

    def on_start(self) -> None:
        """Connects and prepares every query."""
        statements = {query.name: query.named for query in WORK.queries}
        try:
            self.connection = PipelinedConnection(DSN, SET_TENANT, statements, WORK.bounds)
        except (ConnectionLost, ValueError) as error:
            self._give_up(str(error))
        hub = gevent.get_hub()
        watcher = hub.loop.io(self.connection.socket, 1)
        self.wait_for_answer = lambda: hub.wait(watcher)
        self.sleep = _sleep()
        self.transactions, self.previous = 0, b""
        MEASURED.user_connected(self.environment)
        if SCHEDULE is not None:
            MEASURED.begun.wait()

    def on_stop(self) -> None:
        """Closes the connection, between requests."""
        self.connection.close()

    @task
    def run_one(self) -> None:
        """Draws a request, runs it when it is due and records what came back."""
        due = self._next_due()
        while (request := DRAWS.draw()) is None:
            gevent.sleep(0.001)
        MEASURED.under_way += 1
        started = time.perf_counter()
        try:
            answer = self._run(request)
        finally:
            DRAWS.release(request)
            MEASURED.under_way -= 1
        ended = time.perf_counter()
        self._watch(request, answer)
        if MEASURED.counts(started if due is None else due):
            self._record(request, answer, ended - (due or started))
            if due is not None and not answer.error:
                MEASURED.records[request.query.name].served(int((ended - started) * 1e6))
        self._tell_locust(request, answer, ended - (due or started))

    def _next_due(self) -> float | None:
        """Waits for the next arrival of the open model; None in the closed one."""
        if SCHEDULE is None:
            MEASURED.may_ask.wait()
            return None
        if SCHEDULE.peek() >= END:
            raise StopUser
        due = MEASURED.zero + SCHEDULE.take()
        if (early := due - time.perf_counter()) > 0:
            self.sleep(early)
        return due

    def _run(self, request: Request) -> Answer:
        record = MEASURED.records[request.query.name]
        for _ in range(TRIES):
            try:
                answer = self.connection.run(
                    request.statement, request.tenant, request.values, self.wait_for_answer
                )
            except ConnectionLost as error:
                self._give_up(str(error))
            self.transactions += 1
            if answer.state not in CONFLICTS:
                break
            record.retries += MEASURED.counts(time.perf_counter())
        return answer

    def _watch(self, request: Request, answer: Answer) -> None:
        """Looks for rows of another tenant, warm-up or not."""
        previous, self.previous = self.previous, request.tenant
        MEASURED.switched += previous != request.tenant
        if answer.error or not WORK.searched_every:
            return
        found = OWNERSHIP.of_rows(request.statement, request.tenant, answer.result)
        if not found.rows and self.transactions % WORK.searched_every == 0:
            MEASURED.searched += 1
            found = OWNERSHIP.anywhere(request.tenant, answer.result)
        if found.rows:
            tenants = request.tenant.decode(), previous.decode()
            leak = Leak(*found, *tenants, self.connection.backend, self.transactions)
            MEASURED.records[request.query.name].leaked(leak)
            if MEASURED.live is not None:
                MEASURED.live.queries[request.query.name].add(counts.FOREIGN_ROWS, leak.rows)

    def _record(self, request: Request, answer: Answer, seconds: float) -> None:
        record, microseconds = MEASURED.records[request.query.name], int(seconds * 1e6)
        if not answer.error:
            minimum = request.query.minimum_rows
            record.answered(request.tenants, microseconds, answer.rows, minimum)
        elif answer.state in CANCELLED:
            record.timed_out(request.tenants, microseconds, answer.error)
        else:
            record.failed(answer.error)
        if MEASURED.live is not None:
            self._count(MEASURED.live, request, answer, microseconds)

    def _count(self, live: Counted, request: Request, answer: Answer, microseconds: int) -> None:
        live.asked(request.tenant)
        counted = live.queries[request.query.name]
        if answer.error and answer.state not in CANCELLED:
            counted.add(counts.ERRORS)
            return
        counted.answered(microseconds)
        if answer.error:
            counted.add(counts.TIMEOUTS)

    def _tell_locust(self, request: Request, answer: Answer, seconds: float) -> None:
        self.environment.events.request.fire(
            request_type=request.query.mode,
            name=request.query.name,
            response_time=seconds * 1000,
            response_length=answer.rows,
            exception=RuntimeError(answer.error) if answer.error else None,
        )

    def _give_up(self, message: str) -> NoReturn:
        """Without a server or with a bad statement there is nothing to measure."""
        MEASURED.lost_connection = MEASURED.lost_connection or message
        _end(self.environment)
        raise gevent.GreenletExit
