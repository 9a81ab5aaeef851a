"""One connection of a simulated user: tenant and query travel in one round trip.

libpq's pipeline mode, with statements prepared once. Everything up to the sync is one
transaction, so the tenant holds for the query and ends with it. Citus tells its workers of the
tenant only in a transaction that was begun, so to a cluster BEGIN and COMMIT travel with them.
Waiting is left to the caller (`wait`), for Locust waits with gevent.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import psycopg
from psycopg import pq

from harness.db import one_line

BOUNDS = ("BEGIN", "COMMIT", "ROLLBACK")
"""What begins a transaction, ends it, and gives it up."""
_BOUNDS = ("begin", "commit", "rollback")
_ANSWERED = (int(pq.ExecStatus.TUPLES_OK), int(pq.ExecStatus.COMMAND_OK))
_SYNC = int(pq.ExecStatus.PIPELINE_SYNC)


class ConnectionLost(Exception):
    """The server closed the connection or cannot be reached."""


class Answer(NamedTuple):
    """The rows of an answer, or the error that it is."""

    rows: int
    """Returned, or touched by a write that returns none."""
    result: pq.abc.PGresult
    """What the query returned; what failed where there is an error."""
    error: str = ""
    state: str = ""
    """SQLSTATE of the error."""


class PipelinedConnection:
    """A connection in pipeline mode with its prepared statements."""

    def __init__(
        self,
        conninfo: str,
        set_tenant: str,
        statements: Mapping[str, str],
        bounds: Sequence[str] = (),
    ) -> None:
        """Connects and prepares; raises ConnectionLost, or ValueError naming a bad statement.

        `bounds` are what begins and ends a transaction, where one has to be begun.
        """
        self._server = pq.PGconn.connect(conninfo.encode())
        if self._server.status != pq.ConnStatus.OK:
            raise ConnectionLost(self._server.error_message.decode().strip())
        self._bounds, self._place = bool(bounds), -2 if bounds else -1
        for name, statement in zip(_BOUNDS, bounds, strict=False):
            self._prepare(name, statement)
        self._prepare("set_tenant", set_tenant)
        for name, statement in statements.items():
            self._prepare(name, statement)
        self.backend: int = self._server.backend_pid
        self._server.nonblocking = 1
        self._server.enter_pipeline_mode()

    @property
    def socket(self) -> int:
        """The file descriptor to wait on."""
        return self._server.socket

    def close(self) -> None:
        """Closes the connection."""
        self._server.finish()

    def run(
        self,
        statement: bytes,
        tenant: bytes,
        values: Sequence[bytes | None],
        wait: Callable[[], None],
    ) -> Answer:
        """Runs a prepared statement for a tenant; `wait` returns when the socket is readable.

        Raises ConnectionLost when there is no server any more.
        """
        try:
            self._send(statement, tenant, values)
            results = self._results(wait)
            if results[-1].status not in _ANSWERED:  # what follows an error is given up, too
                return self._failed(results, wait)
        except psycopg.OperationalError as error:
            raise ConnectionLost(one_line(error)) from None
        found = results[self._place]
        return Answer(found.ntuples or found.command_tuples or 0, found)

    def _send(self, statement: bytes, tenant: bytes, values: Sequence[bytes | None]) -> None:
        """Sends all that a transaction consists of in one go."""
        server = self._server
        if self._bounds:
            server.send_query_prepared(b"begin", ())
        server.send_query_prepared(b"set_tenant", (tenant,))
        server.send_query_prepared(statement, values)
        if self._bounds:
            server.send_query_prepared(b"commit", ())
        server.pipeline_sync()
        if server.flush():
            self._send_rest()

    def _send_rest(self) -> None:
        """What is too big to go at once goes as the server reads it."""
        while self._server.flush():
            select.select([self.socket], [self.socket], [])
            self._server.consume_input()

    def _results(self, wait: Callable[[], None]) -> list[pq.abc.PGresult]:
        """The results of the statements, up to the sync."""
        server = self._server
        results: list[pq.abc.PGresult] = []
        while True:
            while server.is_busy():
                wait()
                server.consume_input()
            result = server.get_result()
            if result is None:
                continue
            if result.status == _SYNC:
                return results
            results.append(result)

    def _failed(self, results: Sequence[pq.abc.PGresult], wait: Callable[[], None]) -> Answer:
        """The first error; a transaction that a statement began is given up."""
        if self._server.transaction_status == pq.TransactionStatus.INERROR:
            self._server.send_query_prepared(b"rollback", ())
            self._server.pipeline_sync()
            self._results(wait)
        answer = _error(next(each for each in results if each.status not in _ANSWERED))
        if self._server.status != pq.ConnStatus.OK:
            raise ConnectionLost(answer.error)
        return answer

    def _prepare(self, name: str, statement: str) -> None:
        result = self._server.prepare(name.encode(), statement.encode())
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise ValueError(f"{name}: {result.error_message.decode().strip()}")


def _error(result: pq.abc.PGresult) -> Answer:
    message = " ".join(result.error_message.decode(errors="replace").split())
    state = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
    return Answer(0, result, message or "no answer", state.decode())
