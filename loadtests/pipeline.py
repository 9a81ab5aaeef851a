"""One connection of a simulated user: tenant and query travel in one round trip.

libpq's pipeline mode, with statements prepared once. Everything up to the sync is one
transaction, so the tenant holds for the query and ends with it. Citus tells its workers of the
tenant only in a transaction that was begun, so to a cluster BEGIN and COMMIT travel with them.
Waiting is left to the caller (`wait`), for Locust waits with gevent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import psycopg
from psycopg import pq

from harness.db import one_line

BOUNDS = ("BEGIN", "COMMIT", "ROLLBACK")
"""What begins a transaction, ends it, and gives it up."""
_BOUNDS = ("begin", "commit", "rollback")
_ANSWERED = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


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
        self._bounds = bool(bounds)
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
            sent = [(b"set_tenant", [tenant]), (statement, values)]
            if self._bounds:
                sent = [(b"begin", []), *sent, (b"commit", [])]
            results = self._sent(sent, wait)
            if self._server.transaction_status == pq.TransactionStatus.INERROR:
                self._sent([(b"rollback", [])], wait)
        except psycopg.OperationalError as error:
            raise ConnectionLost(one_line(error)) from None
        answer = _judge(results, -2 if self._bounds else -1)
        if answer.error and self._server.status != pq.ConnStatus.OK:
            raise ConnectionLost(answer.error)
        return answer

    def _sent(
        self, statements: Sequence[tuple[bytes, Sequence[bytes | None]]], wait: Callable[[], None]
    ) -> list[pq.abc.PGresult]:
        """Sends prepared statements in one go and waits for their results."""
        for name, values in statements:
            self._server.send_query_prepared(name, values)
        self._server.pipeline_sync()
        self._server.flush()
        return self._results(wait)

    def _prepare(self, name: str, statement: str) -> None:
        result = self._server.prepare(name.encode(), statement.encode())
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise ValueError(f"{name}: {result.error_message.decode().strip()}")

    def _results(self, wait: Callable[[], None]) -> list[pq.abc.PGresult]:
        """The results of the statements, up to the sync."""
        results: list[pq.abc.PGresult] = []
        while True:
            while self._server.is_busy():
                wait()
                self._server.consume_input()
            result = self._server.get_result()
            if result is None:
                continue
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                return results
            results.append(result)


def _judge(results: Sequence[pq.abc.PGresult], place: int) -> Answer:
    """The answer of the query, whose result stands at that place, or the first error."""
    for result in results:
        if result.status not in _ANSWERED:
            message = " ".join(result.error_message.decode(errors="replace").split())
            state = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
            return Answer(0, result, message or "no answer", state.decode())
    found = results[place]
    return Answer(found.ntuples or found.command_tuples or 0, found)
