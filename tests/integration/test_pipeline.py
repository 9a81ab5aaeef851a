"""A connection of a simulated user: one transaction is one round trip, whatever is in it."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator

import pytest

from harness.db import Target
from loadtests.pipeline import BOUNDS, PipelinedConnection

SET_TENANT = "SELECT set_config('app.tenant', $1, true)"
STATEMENTS = {
    "length": "SELECT length($1)",
    "tenant": "SELECT current_setting('app.tenant', true)",
    "inverse": "SELECT 1 / $1::integer",
}


@pytest.fixture(params=[(), BOUNDS], ids=["pipeline alone", "begun by a statement"])
def connection(server: Target, request: pytest.FixtureRequest) -> Iterator[PipelinedConnection]:
    made = PipelinedConnection(server.admin, SET_TENANT, STATEMENTS, request.param)
    yield made
    made.close()


def _readable(connection: PipelinedConnection) -> Callable[[], None]:
    def wait() -> None:
        assert select.select([connection.socket], [], [], 20)[0], "an answer within 20 s"

    return wait


def _asked(connection: PipelinedConnection, statement: bytes, *values: bytes) -> bytes | None:
    answer = connection.run(statement, b"a", values, _readable(connection))
    assert (answer.rows, answer.error) == (1, "")
    return answer.result.get_value(0, 0)


def test_a_value_that_is_too_big_to_go_at_once_goes_as_the_server_reads_it(
    connection: PipelinedConnection,
) -> None:
    assert _asked(connection, b"length", b"x" * 20_000_000) == b"20000000"


def test_after_an_error_the_next_transaction_begins_anew(connection: PipelinedConnection) -> None:
    failed = connection.run(b"inverse", b"a", [b"0"], _readable(connection))
    assert (failed.rows, failed.error, failed.state) == (0, "ERROR: division by zero", "22012")
    assert _asked(connection, b"tenant") == b"a"
