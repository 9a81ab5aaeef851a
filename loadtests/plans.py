"""How PostgreSQL answers each query: its plan, and the buffers that a call touches.

Buffers and the shape of a plan are the same on a busy machine as on an idle one, so a change
in them is a regression that no noise explains. Everything runs as the application role with
the tenant set, in a transaction that is rolled back.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from psycopg import sql

from harness.config import Settings
from harness.db import Connection, Target, connect, is_lost, one_line
from harness.errors import DatabaseError
from harness.load_result import Plan
from loadtests import routing
from loadtests.call_values import compile_value
from loadtests.query import Query
from loadtests.workload import Row, TenantSamples

LARGE = 1000
"""Reading so many rows to throw them away is a remark."""

_EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, MEMORY, SERIALIZE, FORMAT JSON) "
_PLAN = "EXPLAIN (FORMAT JSON) "
_TELLING = ("Relation Name", "Index Name", "Function Name", "Join Type", "Strategy", "CTE Name")
_EQUAL = re.compile(r"\(?\b(\w+) = ")

_ATTEMPTS = 30
"""To connect, a second apart."""

_NOT_TRIED = (
    "it inserts what it selects, and to Citus 13.2 EXPLAIN ANALYZE of that is an error, or within "
    "a WITH the end of the server: it was called and counted, not explained"
)

Node = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Captured:
    """Plans by the names of queries, and what PostgreSQL said where there is none."""

    plans: dict[str, Plan] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    asked: dict[str, routing.Asked] = field(default_factory=dict)
    """What a cluster counted of a call of each."""


def capture(
    database: Target, settings: Settings, queries: Sequence[Query], tenants: Sequence[TenantSamples]
) -> Captured:
    """The plans of all queries that somebody can ask; tenants from the biggest on."""
    captured = Captured()
    waiting = _capture(database, settings, queries, tenants, captured)
    while waiting:
        _wait_for_the_server(database)
        waiting = _capture(database, settings, waiting, tenants, captured)
    return captured


def _capture(
    database: Target,
    settings: Settings,
    queries: Sequence[Query],
    tenants: Sequence[TenantSamples],
    captured: Captured,
) -> Sequence[Query]:
    """Adds to what was captured; the queries after one that ended the server, as planning a
    query of several shards may do on Citus 13.2 (its issue 8548)."""
    with (
        connect(database.app, application_name="harness plans") as connection,
        routing.counting(database) as count,
    ):
        connection.execute("SET statement_timeout = '30s'")
        connection.commit()
        for done, query in enumerate(queries, 1):
            tenant = next((t for t in tenants if not query.samples or t.rows[query.name]), None)
            if tenant is None:
                continue
            try:
                _explain(connection, settings, query, tenant, count, captured)
            except psycopg.Error as error:
                captured.refused[query.name] = f"EXPLAIN of it fails: {one_line(error)}"
                if is_lost(error):
                    return queries[done:]
    return ()


def _wait_for_the_server(database: Target) -> None:
    """One that a statement ended comes back in a while."""
    for _ in range(_ATTEMPTS):
        with suppress(DatabaseError), connect(database.app, application_name="harness plans"):
            return
        time.sleep(1)


def _explain(
    connection: Connection,
    settings: Settings,
    query: Query,
    tenant: TenantSamples,
    count: routing.Count | None,
    captured: Captured,
) -> None:
    """Adds the plan of one query when it is run for the second or third time; psycopg.Error where
    it fails."""
    drawn = _drawn(query, tenant)
    values = _bound(query, tenant, drawn, settings)
    with connection.transaction(force_rollback=True):
        connection.execute(settings.tenancy.set_tenant.encode(), [tenant.id])
        with connection.transaction(force_rollback=True):
            if count:
                asked = count(lambda: _called(connection, query, values))
                captured.asked[query.name] = asked
                if routing.inserts_selected(_planned(connection, query, values)):
                    captured.refused[query.name] = _NOT_TRIED
                    return
            explained(connection, query, values)
        plan = read(explained(connection, query, values), settings.tenancy.column)
    asked = captured.asked.get(query.name, routing.Asked())
    parameters = _digest(tenant.id, *map(str, drawn.items()))
    captured.plans[query.name] = replace(
        plan, parameters=parameters, routed=asked.one, fanned=asked.several
    )


def read(document: Mapping[str, Any], tenant_column: str) -> Plan:
    """What a plan in PostgreSQL's JSON says."""
    root: Node = document["Plan"]
    serialization = document.get("Serialization", {})
    return Plan(
        digest=_digest(*_shape(root)),
        outline=tuple(_outline(root)),
        buffers=buffers(root),
        milliseconds=float(document["Execution Time"]),
        temp_blocks=int(root.get("Temp Written Blocks", 0)),
        memory_kb=int(document.get("Planning", {}).get("Memory Used", 0)),
        output_kb=int(serialization.get("Output Volume", 0)),
        rows=int(root.get("Actual Rows", 0)),
        remarks=tuple(_remarks(root, tenant_column)),
        tasks=routing.tasks(root),
    )


def buffers(node: Node) -> int:
    """Blocks that a node and those below it touched."""
    return sum(int(node.get(f"Shared {kind} Blocks", 0)) for kind in ("Hit", "Read"))


def explained(
    connection: Connection, query: Query, values: Mapping[str, str | None]
) -> Mapping[str, Any]:
    """PostgreSQL's document on one call, with values by the names of parameters."""
    ordered = [values[name] for name in query.parameters]
    statement = (_EXPLAIN + query.numbered).encode()
    row = psycopg.RawCursor(connection).execute(statement, ordered).fetchone()
    assert row  # noqa: S101 - EXPLAIN answers with one row
    content: Any = json.loads(row[0]) if isinstance(row[0], str) else row[0]
    document: Mapping[str, Any] = content[0]
    return document


def _planned(
    connection: Connection, query: Query, values: Mapping[str, str | None]
) -> Mapping[str, Any]:
    """The same without a call. EXPLAIN does not tell Citus the parameters of an INSERT … SELECT,
    so the values stand in its text."""
    texts = {name: sql.Literal(value).as_string(connection) for name, value in values.items()}
    row = connection.execute((_PLAN + query.literal(texts)).encode()).fetchone()
    assert row  # noqa: S101 - EXPLAIN answers with one row
    document: Mapping[str, Any] = row[0][0]
    return document


def _called(connection: Connection, query: Query, values: Mapping[str, str | None]) -> None:
    """One call, as an application makes it, and taken back: it may be counted again."""
    ordered = [values[name] for name in query.parameters]
    with connection.transaction(force_rollback=True):
        psycopg.RawCursor(connection).execute(query.numbered.encode(), ordered)


def values(
    query: Query, tenant: TenantSamples, turn: int, settings: Settings
) -> dict[str, str | None]:
    """The n-th values of every group, and those that are new for every call."""
    drawn = _of_samples(query, tenant, lambda rows: rows[turn % len(rows)])
    return _bound(query, tenant, drawn, settings)


def _bound(
    query: Query, tenant: TenantSamples, drawn: Mapping[str, str | None], settings: Settings
) -> dict[str, str | None]:
    given = {"business_id": tenant.id, settings.tenancy.column: tenant.id}
    fresh = {name: compile_value(text)() for name, text in query.values}
    return {**given, **drawn, **fresh}


def _drawn(query: Query, tenant: TenantSamples) -> dict[str, str | None]:
    """Values of the row, of those that were drawn, that comes first by a hash of it: the same one
    in the next run, wherever it stands then."""
    return _of_samples(query, tenant, lambda rows: min(rows, key=lambda r: _digest(*map(str, r))))


def _of_samples(
    query: Query, tenant: TenantSamples, choose: Callable[[Sequence[Row]], Row]
) -> dict[str, str | None]:
    """The values of one row of each group of samples."""
    values: dict[str, str | None] = {}
    for group, rows in zip(query.samples, tenant.rows[query.name], strict=False):
        values.update(zip((name for name, _ in group.columns), choose(rows), strict=True))
    return values


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def _children(node: Node) -> Sequence[Node]:
    children: Sequence[Node] = node.get("Plans", ())
    return children


def _shape(node: Node, depth: int = 0) -> Iterator[str]:
    """Nodes with what they read; numbers in names are nothing, for partitions come and go."""
    told = [str(node["Node Type"]), *(str(node[key]) for key in _TELLING if key in node)]
    yield f"{depth} {re.sub(r'[0-9]+', '#', ' '.join(told))}"
    seen: set[str] = set()
    for child in _children(node):
        lines = tuple(_shape(child, depth + 1))
        if node["Node Type"] not in ("Append", "Merge Append") or lines[0] not in seen:
            yield from lines
        seen.add(lines[0])


def _outline(node: Node, depth: int = 0) -> Iterator[str]:
    on = " on ".join(str(node[key]) for key in ("Index Name", "Relation Name") if key in node)
    function = f" {node['Function Name']}" if "Function Name" in node else ""
    loops = int(node.get("Actual Loops", 1))
    times = f" × {loops}" if loops > 1 else ""
    figures = (
        f"{node.get('Actual Total Time', 0):.2f} ms, {node.get('Actual Rows', 0):g} rows{times}"
    )
    yield f"{'  ' * depth}{node['Node Type']}{f' {on}' if on else ''}{function} ({figures})"
    for child in _children(node):
        yield from _outline(child, depth + 1)


def _remarks(node: Node, tenant_column: str) -> Iterator[str]:
    removed = int(node.get("Rows Removed by Filter", 0)) * int(node.get("Actual Loops", 1))
    if node["Node Type"] == "Seq Scan" and removed >= LARGE:
        columns = dict.fromkeys([tenant_column, *_EQUAL.findall(node.get("Filter", ""))])
        yield (
            f"sequential scan on {node['Relation Name']} throws {removed:,} rows away: an index on "
            f"({', '.join(columns)}) is missing or not used"
        )
    elif removed >= LARGE:
        yield f"{node['Node Type']} on {_named(node)} throws {removed:,} rows away"
    if node.get("Sort Space Type") == "Disk":
        yield f"a sort writes {int(node['Sort Space Used']):,} kB to disk: more than work_mem"
    for child in _children(node):
        yield from _remarks(child, tenant_column)


def _named(node: Node) -> str:
    return str(node.get("Index Name") or node.get("Relation Name") or "its input")
