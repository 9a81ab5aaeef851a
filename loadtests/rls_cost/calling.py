"""Calls of a query under row security and of the same with explicit predicates, in turn.

Calls are made as an application makes them, prepared and whole. EXPLAIN (ANALYZE, BUFFERS) takes
time for every node that it tells of, and row security has nodes of its own: by EXPLAIN's clock it
cost three times as much. Blocks are EXPLAIN's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import pq

from harness.catalog.model import Name
from harness.config import Settings
from harness.db import Connection
from loadtests import plans
from loadtests.query import Query
from loadtests.rls_cost.clock import Clock, clocks, wall
from loadtests.rls_cost.explicit import Predicate, rewritten
from loadtests.workload import TenantSamples

WARM_UP = 6
"""Calls before those that count: PostgreSQL decides on a plan for good after the fifth."""
EXPLAINED = 3
"""Sets of values whose blocks are asked for."""
_STATEMENT = b"harness rls"
_EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
Values = list[str | None]


@dataclass(frozen=True, slots=True)
class Pair:
    """One call under row security, and the same without."""

    secured: float
    explicit: float


@dataclass(frozen=True, slots=True)
class Called:
    """The calls of a query for one tenant: milliseconds of each, and blocks of some."""

    times: tuple[Pair, ...]
    blocks: tuple[Pair, ...]


class Both:
    """Two sessions: the application's, and one that row security is not for."""

    def __init__(
        self,
        secured: Connection,
        free: Connection,
        settings: Settings,
        relations: frozenset[Name],
        sets: int,
    ) -> None:
        self._secured, self._free = secured, free
        self._tenancy, self._settings = settings.tenancy, settings
        self._relations, self._sets = relations, sets
        for connection in (secured, free):
            connection.execute("SET statement_timeout = '60s'")
            connection.commit()
        self._clocks = clocks((secured, free))

    @property
    def has_processor_time(self) -> bool:
        """Whether calls are told in processor time of the server."""
        return self._clocks[0] is not wall

    def calls(self, query: Query, tenants: Sequence[TenantSamples]) -> Iterator[Called]:
        """Calls of both kinds in turn, by tenant."""
        numbered = query.numbered
        own = next((n for n in query.parameters if n in ("business_id", self._tenancy.column)), "")
        place = query.parameters.index(own) + 1 if own else len(query.parameters) + 1
        value = f"${place}::{self._tenancy.type}"
        column = psycopg.sql.Identifier(self._tenancy.column).as_string(None)
        explicit = rewritten(numbered, Predicate(self._relations, column, value))
        for tenant in tenants:
            if query.samples and not tenant.rows[query.name]:
                continue
            more: Values = [] if own else [tenant.id]
            drawn = [
                plans.values(query, tenant, turn, self._settings) for turn in range(self._sets)
            ]
            ordered = [[values[name] for name in query.parameters] for values in drawn]
            with self._as_tenant(tenant.id):
                yield Called(
                    tuple(self._timed(numbered, explicit, ordered, more)),
                    tuple(self._blocks(numbered, explicit, ordered[:EXPLAINED], more)),
                )

    def _timed(
        self, numbered: str, explicit: str, sets: Sequence[Values], more: Values
    ) -> Iterator[Pair]:
        """Milliseconds; each goes first every other time."""
        secured, free = self._secured.pgconn, self._free.pgconn
        mine, other = self._clocks
        with _prepared(secured, numbered), _prepared(free, explicit):
            for turn in range(-WARM_UP, len(sets)):
                values = sets[turn % len(sets)]
                calls = [(secured, values, mine), (free, values + more, other)]
                order = calls if turn % 2 else calls[::-1]
                took = {id(call[0]): _milliseconds(*call) for call in order}
                if turn >= 0:
                    yield Pair(took[id(secured)], took[id(free)])

    def _blocks(
        self, numbered: str, explicit: str, sets: Sequence[Values], more: Values
    ) -> Iterator[Pair]:
        for values in sets:
            yield Pair(
                _touched(self._secured, numbered, values),
                _touched(self._free, explicit, values + more),
            )

    @contextmanager
    def _as_tenant(self, tenant: str) -> Iterator[None]:
        with (
            self._secured.transaction(force_rollback=True),
            self._free.transaction(force_rollback=True),
        ):
            for connection in (self._secured, self._free):
                connection.execute(self._tenancy.set_tenant.encode(), [tenant])
            yield


@contextmanager
def _prepared(connection: pq.abc.PGconn, statement: str) -> Iterator[None]:
    """The statement, prepared, until the block ends; an error leaves it to who rolls back."""
    _done(connection.prepare(_STATEMENT, statement.encode()))
    try:
        yield
    finally:
        connection.exec_(b'DEALLOCATE "' + _STATEMENT + b'"')


def _milliseconds(connection: pq.abc.PGconn, values: Values, clock: Clock) -> float:
    # What psycopg declares leaves NULL out.
    encoded: Any = [None if value is None else value.encode() for value in values]
    begun = clock()
    result = connection.exec_prepared(_STATEMENT, encoded)
    took = clock() - begun
    _done(result)
    return took


def _done(result: pq.abc.PGresult) -> None:
    if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
        raise psycopg.errors.error_from_result(result)


def _touched(connection: Connection, statement: str, values: Values) -> int:
    """The blocks of a call."""
    cursor = psycopg.RawCursor(connection)
    row = cursor.execute((_EXPLAIN + statement).encode(), values).fetchone()
    assert row  # noqa: S101 - EXPLAIN answers with one row
    content: Any = json.loads(row[0]) if isinstance(row[0], str) else row[0]
    return plans.buffers(content[0]["Plan"])
