"""How many shards of a Citus cluster a query asks, and whether it may.

A query that names the tenant for every table is answered by one shard of each, on one node. One
that does not asks all of them, which costs a connection to each and grows with the cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from harness.load_result import LoadResult, Plan, QueryResult
from loadtests.query import Query


def tasks(document: Any) -> int:
    """The most tasks of a step of a plan, in PostgreSQL's JSON; 0 where it asks no shard."""
    return max(_tasks(document), default=0)


def _tasks(part: Any) -> Iterator[int]:
    if isinstance(part, Mapping):
        if "Task Count" in part:
            yield int(part["Task Count"])
        for child in part.values():
            yield from _tasks(child)
    elif isinstance(part, list):
        for child in part:
            yield from _tasks(child)


def judged(load: LoadResult, queries: Mapping[str, Query], plans: Mapping[str, Plan]) -> LoadResult:
    """The load with a MISS for each query that asks several shards and does not say why.

    Unchanged where no plan asks a shard: that is no cluster.
    """
    asked = {name: plan.tasks for name, plan in plans.items() if plan.tasks}
    if not asked:
        return load
    results = tuple(_judged(r, queries[r.name], asked.get(r.name, 0)) for r in load.queries)
    return replace(load, queries=results, notes=(*load.notes, *_told(load, queries, asked)))


def _judged(result: QueryResult, query: Query, count: int) -> QueryResult:
    if count <= 1 or query.fan_out:
        return result
    reason = (
        f"asks {count} shards: name the tenant in the condition of every table, or say why not in "
        "the header with `-- fan-out: reason`"
    )
    return replace(result, verdict="miss", reason=reason)


def _told(
    load: LoadResult, queries: Mapping[str, Query], asked: Mapping[str, int]
) -> Iterator[str]:
    single = sum(count == 1 for count in asked.values())
    yield (
        f"{single} queries ask one shard, {len(asked) - single} several; of "
        f"{len(load.queries) - len(asked)} the plan does not tell, for a function asks"
    )
    for name, count in sorted(asked.items()):
        if count > 1 and queries[name].fan_out:
            yield f"{name} asks {count} shards: {queries[name].fan_out}"
