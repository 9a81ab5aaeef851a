"""What the driver needs to know, written by the harness and read by the Locust process.

Queries with their statements, tenants with their weights, and for every tenant rows of
parameters drawn from the filled tables. Values are text as PostgreSQL prints it. The DSN is
not part of it: it may hold a password, and goes through the environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg import errors, sql
from pydantic import TypeAdapter

from harness.config import Settings
from harness.db import Connection, one_line
from harness.errors import UsageError
from loadtests import tenants as tenancy
from loadtests.arrivals import Kind
from loadtests.query import Query, Samples
from loadtests.tenants import Shares

SAMPLES = 200
"""Rows of parameters per tenant, query and group."""

Row = list[str | None]


@dataclass(frozen=True, slots=True)
class TenantSamples:
    """A tenant: its share of the load and, by query, its rows of parameters per group."""

    id: str
    weight: float
    rows: dict[str, list[list[Row]]]
    size_class: str = "medium"
    """By which latencies are told apart: small, medium, giant or hot."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything a driver does, apart from for how long and against which server."""

    queries: tuple[Query, ...]
    tenants: tuple[TenantSamples, ...]
    set_tenant: str
    tenant_column: str
    warmup_seconds: float
    seconds: float
    think_seconds: float
    rate: float = 0.0
    """Requests per second in the open model; 0 in the closed one."""
    arrivals: Kind = "constant"
    extend_seconds: float = 0.0
    """At most so much longer for queries whose verdict is open."""
    part: int = 0
    """Which of `parts` processes this is for."""
    parts: int = 1
    search_share: float = 0.01
    """So much of a process's time answers are searched whole; 0: no look at whose rows are."""
    bounds: tuple[str, ...] = ()
    """What begins, ends and gives up a transaction, where a pipeline alone is none."""


_DOCUMENT = TypeAdapter(Workload)


def write(workload: Workload, path: Path) -> None:
    """Writes the workload as JSON."""
    path.write_bytes(_DOCUMENT.dump_json(workload))


def read(path: Path) -> Workload:
    """Reads what `write` wrote."""
    return _DOCUMENT.validate_json(path.read_bytes())


def weights(queries: Sequence[Query]) -> list[float]:
    """The weights that queries are drawn by: their own, and at least half an equal share each.

    A query that nobody asks for often is judged too, and a verdict needs its samples.
    """
    if not queries:
        return []
    least = sum(query.weight for query in queries) / len(queries) / 2
    return [max(query.weight, least) for query in queries]


def draw_tenants(
    connection: Connection, settings: Settings, queries: Iterable[Query], shares: Shares
) -> tuple[TenantSamples, ...]:
    """Every tenant with its samples; `connection` bypasses row security.

    A tenant without rows for one of the queries still drives the others. Raises UsageError
    where there is no tenant, or none that has parameters for any query.
    """
    queries = tuple(queries)
    tables = [group.table for query in queries for group in query.samples]
    known = tenancy.ids(connection, settings, tables)
    sizes = tenancy.by_tenant(connection, settings, known)
    connection.execute("SELECT setseed(0.5)")
    drawn = tuple(
        TenantSamples(
            load.tenant, load.weight, _draw(connection, settings, queries, load.tenant), load.size
        )
        for load in tenancy.loads(sizes, shares)
    )
    if queries and len(missing := lacking(queries, drawn)) == len(queries):
        raise UsageError("; ".join(f"{name}: {why}" for name, why in missing.items()))
    return drawn


def lacking(queries: Iterable[Query], tenants: Iterable[TenantSamples]) -> dict[str, str]:
    """Queries that nobody can ask, as no tenant has values for them, and why."""
    tenants = tuple(tenants)
    return {
        query.name: "no tenant has rows in "
        f"{', '.join(str(group.table) for group in query.samples)} to take parameters from"
        for query in queries
        if query.samples and not any(tenant.rows[query.name] for tenant in tenants)
    }


def _draw(
    connection: Connection, settings: Settings, queries: Iterable[Query], tenant: str
) -> dict[str, list[list[Row]]]:
    """Per query its groups' rows; no groups at all where one of them is empty."""
    rows: dict[str, list[list[Row]]] = {}
    for query in queries:
        groups = [_draw_group(connection, settings, query, g, tenant) for g in query.samples]
        rows[query.name] = groups if all(groups) else []
    return rows


def _draw_group(
    connection: Connection, settings: Settings, query: Query, group: Samples, tenant: str
) -> list[Row]:
    columns = [sql.SQL("{}::text").format(sql.Identifier(column)) for _, column in group.columns]
    # The query author wrote the condition; a % in it is no placeholder.
    condition = sql.SQL((group.where or "true").replace("%", "%%"))
    statement = sql.SQL(
        "SELECT {columns} FROM {table} WHERE {tenant} = %s AND ({condition})"
        " ORDER BY random() LIMIT %s"
    ).format(
        columns=sql.SQL(", ").join(columns),
        table=group.table.identifier,
        tenant=sql.Identifier(settings.tenancy.column),
        condition=condition,
    )
    try:
        found = connection.execute(statement, [tenant, SAMPLES]).fetchall()
    except (errors.SyntaxErrorOrAccessRuleViolation, errors.DataError) as error:
        raise UsageError(f"{query.name}: its params cannot be drawn: {one_line(error)}") from None
    return [list(row) for row in found]
