"""How many shards of a Citus cluster a query asks, and whether it may.

A query that names the tenant for every table is answered by one shard of each, on one node. One
that does not asks all of them, which costs a connection to each and grows with the cluster.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from harness.db import Connection, Target, connect
from harness.load_result import LoadResult, Plan, QueryResult
from loadtests.query import Query

_CAN_COUNT = """
SELECT to_regproc('pg_catalog.citus_stat_counters') IS NOT NULL
   AND current_setting('citus.enable_stat_counters', true) = 'on'
"""
_COUNTED = """
SELECT sum(split_part(result, ' ', 1)::bigint)::bigint,
       sum(split_part(result, ' ', 2)::bigint)::bigint
FROM run_command_on_all_nodes($node$
    SELECT query_execution_single_shard || ' ' || query_execution_multi_shard
    FROM citus_stat_counters((SELECT oid FROM pg_database WHERE datname = current_database()))
$node$)
"""
"""Of every node: a function that is called on a shard makes its statements there."""
_TRIES = 3
"""Others may ask several shards at the same moment; hardly each time."""


_INSERTS = "Citus INSERT ... SELECT"


def tasks(document: Any) -> int:
    """The most tasks of a step of a plan, in PostgreSQL's JSON; 0 where it asks no shard."""
    return max(_tasks(document), default=0)


def inserts_selected(document: Any) -> bool:
    """Whether a plan, in PostgreSQL's JSON, has a step in which Citus inserts what it selected."""
    return _INSERTS in json.dumps(document)


def _tasks(part: Any) -> Iterator[int]:
    if isinstance(part, Mapping):
        if "Task Count" in part:
            yield int(part["Task Count"])
        for child in part.values():
            yield from _tasks(child)
    elif isinstance(part, list):
        for child in part:
            yield from _tasks(child)


class Asked(NamedTuple):
    """Statements that Citus executed, by how many shards answered each."""

    one: int = 0
    several: int = 0


Count = Callable[[Callable[[], object]], Asked]
"""How many there are of a call, which it makes; none where nothing counts."""


@contextmanager
def counting(database: Target) -> Iterator[Count | None]:
    """What a cluster counts of all its sessions; None where there is none, or it counts nothing.
    A function's statements stand in no plan, but here."""
    with connect(database.admin, autocommit=True, application_name="harness plans") as connection:
        counts = connection.execute(_CAN_COUNT).fetchone() == (True,)
        yield (lambda call: least_asked(lambda: _asked(connection, call))) if counts else None


def least_asked(ask: Callable[[], Asked]) -> Asked:
    """Of a few tries the one with the fewest statements of several shards; one is enough where
    there are none."""
    asked = ask()
    for _ in range(_TRIES - 1):
        if not asked.several:
            break
        asked = min(asked, ask(), key=lambda each: each.several)
    return asked


def _asked(connection: Connection, call: Callable[[], object]) -> Asked:
    before = connection.execute(_COUNTED.encode()).fetchone() or (0, 0)
    call()
    after = connection.execute(_COUNTED.encode()).fetchone() or (0, 0)
    return Asked(*(now - then for now, then in zip(after, before, strict=True)))


def judged(
    load: LoadResult,
    queries: Mapping[str, Query],
    plans: Mapping[str, Plan],
    asked: Mapping[str, Asked],
) -> LoadResult:
    """The load with a MISS for each query that asks several shards and does not say why.

    Unchanged where no query asks a shard: that is no cluster.
    """
    told = {
        name: _Told(plans[name].tasks if name in plans else 0, *asked.get(name, Asked()))
        for name in {**plans, **asked}
        if name in asked or plans[name].tasks
    }
    if not told:
        return load
    results = tuple(_judged(r, queries[r.name], told.get(r.name)) for r in load.queries)
    return replace(load, queries=results, notes=(*load.notes, *_notes(load, queries, told)))


class _Told(NamedTuple):
    """What plan and counters say of a query."""

    tasks: int
    one: int
    several: int


def _fans_out(told: _Told) -> str:
    """In words, which and how many shards; empty where each statement asks one."""
    if told.tasks > 1:
        return f"asks {told.tasks} shards"
    if told.several:
        of = told.one + told.several
        return f"asks several shards in {told.several} of the {of} statements of its functions"
    return ""


def _judged(result: QueryResult, query: Query, told: _Told | None) -> QueryResult:
    what = _fans_out(told) if told else ""
    if not what or query.fan_out:
        return result
    reason = (
        f"{what}: name the tenant in the condition of every table, or say why not in the header "
        "with `-- fan-out: reason`"
    )
    return replace(result, verdict="miss", reason=reason)


def _notes(
    load: LoadResult, queries: Mapping[str, Query], told: Mapping[str, _Told]
) -> Iterator[str]:
    several = {name: what for name, each in told.items() if (what := _fans_out(each))}
    rest = len(load.queries) - len(told)
    untold = f"; of {rest} neither plan nor counters tell" if rest else ""
    single = len(told) - len(several)
    yield f"{single} queries ask one shard in each statement, {len(several)} several{untold}"
    for name, what in sorted(several.items()):
        if queries[name].fan_out:
            yield f"{name} {what}: {queries[name].fan_out}"
