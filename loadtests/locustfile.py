"""The Locust user that drives the critical queries. Runs in a process of its own: importing
Locust patches the standard library.

HARNESS_WORKLOAD names the workload file, HARNESS_LOAD_DSN the server, HARNESS_LOAD_RECORD
where the histograms go, HARNESS_LOAD_DATABASE what `harness watch` calls the database. Each user
has a connection of its own and sends the tenant and a query in one round trip. In the closed model
it thinks before the next; in the open one it takes the next arrival of a schedule that all users
share, and latency counts from when that was due.
"""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import gevent
from locust import User, events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.stats import RequestStats, StatsEntry, StatsEntryDict, bucket_response_time

from harness.live import counts
from harness.load_result import Leak
from loadtests import recorder, telling, workload
from loadtests.arrivals import Schedule
from loadtests.draws import Draws, Request
from loadtests.measured import Measured
from loadtests.ownership import Foreign, Ownership
from loadtests.pipeline import Answer, ConnectionLost, PipelinedConnection
from loadtests.query import Query
from loadtests.recorder import Record, Tally
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
gc.freeze()
"""All this stays: nobody needs to look through it for garbage while requests wait."""

CONFLICTS = ("40001", "40P01")
"""Serialization failure and deadlock: an application tries again, so the driver does."""
CANCELLED = ("57014", "55P03")
"""The statement or lock timeout came first."""
TRIES = 5
TURN = 0.0 if WORK.think_seconds else 0.05
"""So many seconds of requests are one task to Locust."""
DRAIN_SECONDS = 20.0
"""So long after the end, requests that were due before it still get their turn."""

MEASURED = Measured(WORK, DRAWS)
TELLER = telling.Teller(WORK, MEASURED)


@events.init.add_listener
def _keep_telling(environment: Environment, **_: Any) -> None:
    """Some times a second, from now on until the process ends."""

    def keep_telling() -> None:
        while True:
            gevent.sleep(telling.INTERVAL)
            _tell(environment)

    gevent.spawn(keep_telling)


@events.test_stop.add_listener
def _tell(environment: Environment, **_: Any) -> None:
    """Tells what is new; once all users have stopped, the rest."""
    TELLER.tell(partial(_hear, environment.stats))


def _hear(stats: RequestStats, query: Query, tally: Tally, rows: int) -> None:
    """Adds answers to Locust's own statistics, as its master adds what a worker reports."""
    report = telling.report(query, tally, rows, time.time(), bucket_response_time)
    entry = StatsEntry.unserialize(cast("StatsEntryDict", report), stats)
    for each in (stats.get(query.name, query.mode), stats.total):
        each.extend(entry)


@events.quitting.add_listener
def _write_record(environment: Environment, **_: Any) -> None:  # noqa: ARG001
    TELLER.close()
    recorder.write(MEASURED.at_rest(SCHEDULE.left(END) if SCHEDULE else 0), RECORD)


def _begin(environment: Any) -> None:
    """Starts the clock once the last user has connected."""
    TELLER.publish(environment.parsed_options.num_users)
    MEASURED.begin(partial(_drain, environment))


def _drain(environment: Any) -> None:
    """Waits for requests of the open model that were due, and ends."""
    deadline = MEASURED.ended + DRAIN_SECONDS
    while SCHEDULE is not None and environment.runner.user_count > 0:
        if time.perf_counter() > deadline:
            break
        gevent.sleep(0.05)
    _end(environment)


def _end(environment: Any) -> None:
    """Ends the users and, where Locust's pages are served, the process that waits for them."""
    environment.runner.quit()
    if environment.web_ui is not None:
        environment.web_ui.stop()


def _waits(file: int) -> Callable[[], None]:
    """Waits of this greenlet until a file can be read, or a little less: it has to look.

    As hub.wait, which makes an object for each wait, to tell why it ends.
    """
    hub, switch = gevent.get_hub(), gevent.getcurrent().switch
    watcher = hub.loop.io(file, 1)

    def wait() -> None:
        watcher.start(switch)
        try:
            hub.switch()
        finally:
            watcher.stop()

    return wait


def _sleep() -> Callable[[float], None]:
    """Sleeps of one greenlet that end when they should."""
    timer = opened()
    if timer is None:
        return gevent.sleep  # type: ignore[no-any-return]
    wait = _waits(timer.file)

    def sleep(seconds: float) -> None:
        timer.start(seconds)
        wait()
        timer.clear()

    return sleep


class CriticalQueryUser(User):
    """One application connection that works for one tenant after the other."""

    connected = 0
    """How many of them are."""

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
        self.wait_for_answer = _waits(self.connection.socket)
        self.sleep = _sleep()
        self.transactions, self.previous = 0, b""
        CriticalQueryUser.connected += 1
        if self.connected == self.environment.parsed_options.num_users:
            _begin(self.environment)
        if SCHEDULE is not None:
            MEASURED.begun.wait()

    def on_stop(self) -> None:
        """Closes the connection, between requests."""
        self.connection.close()

    @task
    def run_some(self) -> None:
        """Requests until Locust is to be asked whether to go on, which takes longer than one of
        them; where users think, after each."""
        until = time.perf_counter() + TURN
        while self._run_one() < until:
            pass

    def _run_one(self) -> float:
        """Draws a request, runs it when it is due and records what came back; when that came."""
        due = self._next_due()
        while (request := DRAWS.draw()) is None:
            gevent.sleep(0.001)
        started = time.perf_counter()
        answer = self._run(request)
        ended = time.perf_counter()
        self._watch(request, answer, ended)
        self._record(request, answer, started if due is None else due, ended)
        if due is not None and not answer.error and MEASURED.counts(due):
            MEASURED.records[request.query.name].served(int((ended - started) * 1e6))
        return ended

    def _next_due(self) -> float | None:
        """Waits for the next arrival of the open model; None in the closed one."""
        if SCHEDULE is None:
            if not MEASURED.may_ask.is_set():
                MEASURED.may_ask.wait()
            return None
        if SCHEDULE.peek() >= END:
            raise StopUser
        due = MEASURED.zero + SCHEDULE.take()
        if (early := due - time.perf_counter()) > 0:
            self.sleep(early)
        return due

    def _run(self, request: Request) -> Answer:
        """Runs it, and again where it conflicts with another's."""
        MEASURED.under_way += 1
        try:
            answer = self._try(request)
            for _ in range(TRIES - 1 if answer.error else 0):
                if answer.state not in CONFLICTS:
                    break
                record = MEASURED.records[request.query.name]
                record.retries += MEASURED.counts(time.perf_counter())
                answer = self._try(request)
            return answer
        finally:
            if request.reserved:
                DRAWS.release(request)
            MEASURED.under_way -= 1

    def _try(self, request: Request) -> Answer:
        self.transactions += 1
        try:
            return self.connection.run(
                request.statement, request.tenant, request.values, self.wait_for_answer
            )
        except ConnectionLost as error:
            self._give_up(str(error))

    def _watch(self, request: Request, answer: Answer, now: float) -> None:
        """Looks for rows of another tenant, warm-up or not."""
        previous, self.previous = self.previous, request.tenant
        if previous != request.tenant:
            MEASURED.switched += 1
        if answer.error or not WORK.search_share:
            return
        found = OWNERSHIP.of_rows(request.statement, request.tenant, answer.result)
        if not found.rows and now >= MEASURED.search_from:
            found = self._search(request, answer, now)
        if found.rows:
            tenants = request.tenant.decode(), previous.decode()
            leak = Leak(*found, *tenants, self.connection.backend, self.transactions)
            MEASURED.records[request.query.name].leaked(leak)
            TELLER.leaked(request.query, leak.rows)

    def _search(self, request: Request, answer: Answer, now: float) -> Foreign:
        """Searches the answer whole, and the next one when that is within its share of the time."""
        MEASURED.searched += 1
        found = OWNERSHIP.anywhere(request.tenant, answer.result)
        MEASURED.search_from = now + (time.perf_counter() - now) / WORK.search_share
        return found

    def _record(self, request: Request, answer: Answer, begun: float, ended: float) -> None:
        measured, query = MEASURED.counts(begun), request.query
        record = (MEASURED.records if measured else MEASURED.unmeasured)[query.name]
        microseconds = int((ended - begun) * 1e6)
        if measured:
            MEASURED.asked[request.tenant] += 1
        if answer.error:
            self._record_error(record, request, answer, microseconds)
        else:
            record.answered(request.tenants, microseconds, answer.rows, query.minimum_rows)

    def _record_error(
        self, record: Record, request: Request, answer: Answer, microseconds: int
    ) -> None:
        """Of errors, which should be few, everybody hears at once."""
        cancelled = answer.state in CANCELLED
        if cancelled:
            record.timed_out(request.tenants, microseconds, answer.error)
        else:
            record.failed(answer.error)
        if record is MEASURED.records[request.query.name]:
            field = counts.TIMEOUTS if cancelled else counts.ERRORS
            TELLER.failed(request.query, field, microseconds)
        self.environment.events.request.fire(
            request_type=request.query.mode,
            name=request.query.name,
            response_time=microseconds / 1000,
            response_length=answer.rows,
            exception=RuntimeError(answer.error),
        )

    def _give_up(self, message: str) -> NoReturn:
        """Without a server or with a bad statement there is nothing to measure."""
        MEASURED.lost_connection = MEASURED.lost_connection or message
        _end(self.environment)
        raise gevent.GreenletExit
