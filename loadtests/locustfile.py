"""The Locust user that drives the critical queries. Runs in a process of its own: importing
Locust patches the standard library.

HARNESS_WORKLOAD names the workload file, HARNESS_LOAD_DSN the server, HARNESS_LOAD_RECORD
where the histograms go. Each user has a connection of its own, picks a tenant and a query by
their weights, sends both in one round trip and thinks before the next.
"""

from __future__ import annotations

import os
import random
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

import gevent
from locust import User, events, task
from locust.env import Environment

from loadtests import recorder, workload
from loadtests.call_values import Make, compile_value
from loadtests.pipeline import ConnectionLost, PipelinedConnection
from loadtests.query import Query

WORK = workload.read(Path(os.environ["HARNESS_WORKLOAD"]))
RECORD = Path(os.environ["HARNESS_LOAD_RECORD"])
DSN = os.environ["HARNESS_LOAD_DSN"]
BY_NAME = {query.name: query for query in WORK.queries}
SET_TENANT = WORK.set_tenant.replace("%s", "$1")
TENANT_COLUMN = WORK.tenant_column.encode()
TENANT_WEIGHTS = list(accumulate(tenant.weight for tenant in WORK.tenants))


class Choice:
    """A tenant's queries that it has parameters for, ready to be drawn by weight."""

    def __init__(self, tenant: workload.TenantSamples) -> None:
        self.tenant = tenant.id.encode()
        self.rows = tenant.rows
        self.queries = [q for q in WORK.queries if not q.samples or tenant.rows[q.name]]
        self.weights = list(accumulate(workload.weights(self.queries)))


CHOICES = [Choice(tenant) for tenant in WORK.tenants]
FRESH: dict[str, dict[str, Make]] = {
    query.name: {name: compile_value(text) for name, text in query.values} for query in WORK.queries
}


class Measured:
    """What this process has recorded since its warm-up ended.

    The clock starts when the last user has connected, and stops the run when its time is up.
    """

    def __init__(self) -> None:
        self.records = {query.name: recorder.Record() for query in WORK.queries}
        self.lost_connection = ""
        self.connected = 0
        self.started = float("inf")
        self.cpu_at_start = 0.0

    def user_connected(self, environment: Any) -> None:
        self.connected += 1
        if self.connected == environment.parsed_options.num_users:
            self.started = time.perf_counter() + WORK.warmup_seconds
            total = WORK.warmup_seconds + WORK.seconds
            gevent.spawn_later(total, environment.runner.quit)

    def is_warm(self, moment: float) -> bool:
        if moment < self.started:
            return False
        self.cpu_at_start = self.cpu_at_start or time.process_time()
        return True


MEASURED = Measured()


@events.quitting.add_listener
def _write_record(environment: Environment, **_: Any) -> None:  # noqa: ARG001
    record = recorder.DriverRecord(
        seconds=min(max(time.perf_counter() - MEASURED.started, 0.0), WORK.seconds),
        cpu_seconds=time.process_time() - MEASURED.cpu_at_start,
        lost_connection=MEASURED.lost_connection,
        queries=tuple(recorder.at_rest(name, r) for name, r in MEASURED.records.items()),
    )
    recorder.write(record, RECORD)


class CriticalQueryUser(User):
    """One application connection that works for one tenant after the other."""

    def wait_time(self) -> float:
        """Thinks for an exponentially distributed time, as independent visitors do."""
        return random.expovariate(1 / WORK.think_seconds) if WORK.think_seconds else 0.0

    def on_start(self) -> None:
        """Connects and prepares every query."""
        statements = {query.name: query.numbered for query in WORK.queries}
        try:
            self.connection = PipelinedConnection(DSN, SET_TENANT, statements)
        except (ConnectionLost, ValueError) as error:
            self._give_up(str(error))
        hub = gevent.get_hub()
        watcher = hub.loop.io(self.connection.socket, 1)
        self.wait_for_answer = lambda: hub.wait(watcher)
        MEASURED.user_connected(self.environment)

    def on_stop(self) -> None:
        """Closes the connection, between requests."""
        self.connection.close()

    @task
    def run_one(self) -> None:
        """Draws a tenant and a query, runs it and records what came back."""
        choice = random.choices(CHOICES, cum_weights=TENANT_WEIGHTS)[0]
        query = random.choices(choice.queries, cum_weights=choice.weights)[0]
        values = _draw_values(choice, query)
        started = time.perf_counter_ns()
        try:
            answer = self.connection.run(
                query.name.encode(), choice.tenant, values, TENANT_COLUMN, self.wait_for_answer
            )
        except ConnectionLost as error:
            self._give_up(str(error))
        elapsed = time.perf_counter_ns() - started
        self._record(query, elapsed, answer.rows, answer.foreign_rows, answer.error)

    def _record(
        self, query: Query, elapsed_ns: int, rows: int, foreign_rows: int, error: str
    ) -> None:
        if MEASURED.is_warm(time.perf_counter()):
            record = MEASURED.records[query.name]
            if error:
                record.failed(error)
            else:
                record.answered(elapsed_ns // 1000, rows, query.minimum_rows, foreign_rows)
        self.environment.events.request.fire(
            request_type=query.mode,
            name=query.name,
            response_time=elapsed_ns / 1e6,
            response_length=rows,
            exception=RuntimeError(error) if error else None,
        )

    def _give_up(self, message: str) -> None:
        """Without a server or with a bad statement there is nothing to measure."""
        MEASURED.lost_connection = MEASURED.lost_connection or message
        self.environment.runner.quit()
        raise gevent.GreenletExit


def _draw_values(choice: Choice, query: Query) -> list[bytes | None]:
    values: dict[str, str | None] = {WORK.tenant_column: choice.tenant.decode()}
    for group, rows in zip(query.samples, choice.rows[query.name], strict=False):
        row = random.choice(rows)
        values.update(zip((name for name, _ in group.columns), row, strict=True))
    for name, make in FRESH[query.name].items():
        values[name] = make()
    return [
        None if (value := values[name]) is None else value.encode() for name in query.parameters
    ]
