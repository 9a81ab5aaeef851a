"""The rows of a large table are found through an index on the tenant, and the tenant is asked for
once: a plan that reads the rows of all tenants to keep those of one grows with everybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from checks.attempt import Subject, first
from checks.ground import Ground
from harness.catalog.model import Name
from harness.db import is_lost
from harness.run import ProbeResult

RULE = "PRF004"
LARGE = 10_000
"""Rows from which on it matters."""
_ROWS = (
    "SELECT n.nspname, c.relname FROM pg_class AS c"
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p') AND c.reltuples >= %s"
    " AND has_any_column_privilege(c.oid, 'SELECT')"
)
# A tenant with many of the rows is read faster without the index: what counts is whether there is
# one that serves.
_PREFER_INDEX = "SET LOCAL enable_seqscan = off"
_PLAN = "EXPLAIN (FORMAT JSON) SELECT FROM {table}"


def survey(ground: Ground) -> Iterator[ProbeResult]:
    with ground.wire.transaction(ground.own) as connection:
        large = {Name(*row) for row in connection.execute(_ROWS, [LARGE]).fetchall()}
    subjects = [subject for subject in ground.subjects() if subject.table.name in large]
    for subject in subjects:
        yield _result(ground, subject)
    if not subjects:
        told = f"no table that the application reads has {LARGE:,} rows"
        yield ProbeResult(ground.name, "index_use", "held", told)


def _result(ground: Ground, subject: Subject) -> ProbeResult:
    name = str(subject.table.name)
    try:
        with ground.wire.transaction(ground.own) as connection:
            connection.execute(_PREFER_INDEX)
            plan = first(connection, subject.compose(_PLAN))[0]["Plan"]
    except psycopg.Error as error:
        if is_lost(error):
            raise
        return ProbeResult(name, "index_use", "error", f"EXPLAIN: {error.diag.message_primary}")
    slow = list(_slow(plan, subject.tenant_column))
    return ProbeResult(name, "index_use", "weak" if slow else "held", "; ".join(slow) or "by index")


def _slow(plan: dict[str, Any], tenant: str) -> Iterator[str]:
    nodes = list(_nodes(plan))
    scans = [node for node in nodes if "Relation Name" in node]
    unserved = [node for node in scans if not _is_served(node, tenant)]
    if unserved:
        yield f"{unserved[0]['Node Type']} without an index condition on {tenant}"
    initial = sum(node.get("Parent Relationship") == "InitPlan" for node in nodes)
    if initial > 1:
        yield f"the policy computes {initial} InitPlans"


def _is_served(scan: dict[str, Any], tenant: str) -> bool:
    """A bitmap heap scan rechecks what its index scan looked for."""
    conditions = (scan.get("Index Cond", ""), scan.get("Recheck Cond", ""))
    return any(tenant in condition for condition in conditions)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
