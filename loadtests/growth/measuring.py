"""What calls of each query cost in one database, and how many rows its tables have there.

Every call is an EXPLAIN (ANALYZE, BUFFERS) as the application with values drawn from the tenant's
rows, in a transaction that is rolled back. Small tables are read whole because that is cheapest,
which says nothing of large ones; so each call is made twice, the second time without plans that
read tables whole, as PostgreSQL turns to them when tables grow. What a function reads inside does
not stand in the plan: which tables a call touches is what the session counts of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, LiteralString, get_args

import psycopg
from psycopg import sql

from harness.catalog.model import Name
from harness.config import Settings
from harness.db import Connection, Target, connect, is_lost, one_line
from harness.growth_result import Planning
from loadtests import plans
from loadtests.query import Query
from loadtests.workload import TenantSamples

PLANNINGS: tuple[Planning, ...] = get_args(Planning)
_BY_INDEXES = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin")
_TOUCHED: LiteralString = """
SELECT coalesce(n.nspname, s.schemaname), coalesce(r.relname, s.relname),
       sum(s.seq_tup_read + coalesce(s.idx_tup_fetch, 0))::bigint,
       sum(s.seq_scan + coalesce(s.idx_scan, 0))::bigint
FROM pg_stat_xact_user_tables AS s
LEFT JOIN pg_class AS r ON r.oid = pg_partition_root(s.relid)
LEFT JOIN pg_namespace AS n ON n.oid = r.relnamespace
WHERE s.seq_scan + coalesce(s.idx_scan, 0) > 0
GROUP BY 1, 2
"""
Advance = Callable[[float, float], None]


@dataclass(frozen=True, slots=True)
class Cost:
    """One call."""

    tenant: str
    planning: Planning
    buffers: int
    milliseconds: float
    answered: int
    """Rows of the answer."""

    @property
    def per_row(self) -> float:
        """Blocks for each row of the answer."""
        return self.buffers / max(self.answered, 1)


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of a query in one database."""

    costs: tuple[Cost, ...] = ()
    reads: Mapping[Name, float] = field(default_factory=dict)
    """Rows read of each table that is touched, per call."""
    plan: Mapping[str, Any] | None = None
    """The last plan by indexes, as PostgreSQL tells it."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Database:
    """One size: the calls of each query, and the rows of the tables that they touch."""

    scale: str
    calls: Mapping[str, Calls]
    rows: Mapping[Name, Mapping[str, int]]
    """Per tenant; of a table without tenants under an empty name."""
    tenants: tuple[str, ...]
    """Those that called, the largest first."""


def measure(
    database: Target,
    settings: Settings,
    scale: str,
    queries: Sequence[Query],
    tenants: Sequence[TenantSamples],
    sets: int,
    on_progress: Advance = lambda *_: None,
) -> Database:
    """Calls every query with `sets` sets of values per tenant; reads before writes, so that rows
    which were written and rolled back are in nobody's way."""
    ordered = sorted(queries, key=lambda query: query.mode == "write")
    found: dict[str, Calls] = {}
    with connect(database.app, application_name="harness growth") as connection:
        session = _Session(connection, settings, sets)
        for done, query in enumerate(ordered):
            on_progress(done, len(ordered))
            found[query.name] = session.calls(query, tenants)
    touched = sorted({table for calls in found.values() for table in calls.reads}, key=str)
    rows = count(database, settings, touched)
    return Database(scale, found, rows, tuple(tenant.id for tenant in tenants))


def count(
    database: Target, settings: Settings, tables: Sequence[Name]
) -> dict[Name, dict[str, int]]:
    """The rows of each table, by tenant where it has the tenant column."""
    with connect(database.loader, application_name="harness growth") as connection:
        return {table: _rows(connection, settings.tenancy.column, table) for table in tables}


def _rows(connection: Connection, column: str, table: Name) -> dict[str, int]:
    has = connection.execute(
        "SELECT FROM pg_attribute WHERE attrelid = %s::regclass AND attname = %s AND attnum > 0",
        [table.identifier.as_string(connection), column],
    ).fetchone()
    tenant = (
        sql.SQL("{}::text").format(sql.Identifier(column)) if has is not None else sql.SQL("''")
    )
    statement = sql.SQL("SELECT {}, count(*) FROM {} GROUP BY 1").format(tenant, table.identifier)
    return dict(connection.execute(statement).fetchall())


@dataclass(slots=True)
class _Gathered:
    """What the calls of a query came to so far."""

    costs: list[Cost] = field(default_factory=list)
    reads: dict[Name, float] = field(default_factory=dict)
    plan: Mapping[str, Any] | None = None
    error: str = ""


class _Session:
    """A connection as the application."""

    def __init__(self, connection: Connection, settings: Settings, sets: int) -> None:
        self._connection = connection
        self._settings = settings
        self._sets = sets
        connection.execute("SET statement_timeout = '60s'")
        connection.commit()

    def calls(self, query: Query, tenants: Sequence[TenantSamples]) -> Calls:
        """The calls of a query for every tenant that has values for it."""
        asked = [t for t in tenants if not query.samples or t.rows[query.name]]
        if not asked:
            return Calls(error="no tenant has rows to take parameters from")
        gathered = _Gathered()
        for tenant in asked:
            reads = self._of_tenant(query, tenant, gathered)
            for table, rows in reads.items():
                gathered.reads[table] = gathered.reads.get(table, 0.0) + rows / len(asked)
        return Calls(
            tuple(gathered.costs),
            gathered.reads,
            gathered.plan,
            "" if gathered.costs else gathered.error,
        )

    def _of_tenant(
        self, query: Query, tenant: TenantSamples, gathered: _Gathered
    ) -> dict[Name, float]:
        """Gathers what each call costs; rows read per call."""
        drawn = [plans.values(query, tenant, turn, self._settings) for turn in range(self._sets)]
        with self._as_tenant(tenant.id):
            # The first call reads catalogs and plans what functions ask.
            self._explain(query, drawn[0], gathered)
            before = self._touched()
            for values in drawn:
                self._cost(query, tenant.id, "as planned", values, gathered)
            reads = _per_call(before, self._touched(), len(drawn))
            for name in _BY_INDEXES:
                off = sql.SQL("SET LOCAL {} = off").format(sql.Identifier(name))
                self._connection.execute(off)
            self._explain(query, drawn[0], gathered)
            for values in drawn:
                self._cost(query, tenant.id, "by indexes", values, gathered)
        return reads

    @contextmanager
    def _as_tenant(self, tenant: str) -> Iterator[None]:
        with self._connection.transaction(force_rollback=True):
            self._connection.execute(self._settings.tenancy.set_tenant.encode(), [tenant])
            yield

    def _cost(
        self,
        query: Query,
        tenant: str,
        planning: Planning,
        values: Mapping[str, str | None],
        gathered: _Gathered,
    ) -> None:
        document = self._explain(query, values, gathered)
        if document is not None:
            gathered.plan = document["Plan"]
            touched = plans.buffers(document["Plan"])
            took, answered = float(document["Execution Time"]), int(document["Plan"]["Actual Rows"])
            cost = Cost(tenant, planning, touched, took, answered)
            gathered.costs.append(cost)

    def _explain(
        self, query: Query, values: Mapping[str, str | None], gathered: _Gathered
    ) -> Mapping[str, Any] | None:
        """A call that is refused, as an order of what is sold out, leaves no cost."""
        try:
            with self._connection.transaction(force_rollback=True):
                return plans.explained(self._connection, query, values)
        except psycopg.Error as error:
            if is_lost(error):
                raise
            gathered.error = one_line(error)
            return None

    def _touched(self) -> dict[Name, tuple[int, int]]:
        rows = self._connection.execute(_TOUCHED).fetchall()
        return {Name(schema, table): (read, scans) for schema, table, read, scans in rows}


def _per_call(
    before: Mapping[Name, tuple[int, int]], after: Mapping[Name, tuple[int, int]], calls: int
) -> dict[Name, float]:
    """Rows read per call of the tables that were scanned meanwhile."""
    none = (0, 0)
    return {
        table: (read - before.get(table, none)[0]) / calls
        for table, (read, scans) in after.items()
        if scans > before.get(table, none)[1]
    }
