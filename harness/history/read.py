"""Reads the history: the latest runs, and how each critical query fared in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg.rows import class_row
from pydantic import TypeAdapter

from harness.db import Target, connect
from harness.errors import UsageError
from harness.history.database import as_operator

_RUNS: LiteralString = """
SELECT r.harness_run_id AS id, r.started_at,
       extract(epoch FROM r.finished_at - r.started_at)::double precision AS seconds,
       coalesce(r.git_commit, '') AS commit, r.instance_name AS instance, r.has_held AS held,
       coalesce(r.rows_filled, 0)::bigint AS rows, r.findings, r.probes, r.leaks, r.queries,
       r.missed
FROM observability.v_harness_run AS r
WHERE r.business_id = tenant_mgmt.current_business_id()
ORDER BY r.started_at DESC, r.harness_run_id DESC
LIMIT %s
"""

_TRENDS: LiteralString = """
SELECT e.endpoint_name AS query, max(b.p95_ms)::double precision AS budget_ms,
       array_agg(e.p95_ms::double precision ORDER BY r.started_at, r.load_run_id) AS p95_ms
FROM observability.load_endpoint_result AS e
JOIN observability.load_run AS r
    ON r.business_id = e.business_id AND r.load_run_id = e.load_run_id
LEFT JOIN observability.query_budget AS b
    ON b.business_id = e.business_id AND b.critical_query_id = e.critical_query_id
   AND b.effective_until IS NULL
WHERE e.business_id = tenant_mgmt.current_business_id()
  AND r.harness_run_id = ANY (%s) AND e.p95_ms IS NOT NULL
GROUP BY e.endpoint_name
ORDER BY e.endpoint_name
"""

_DOCUMENTS: LiteralString = """
SELECT r.document::text
FROM observability.harness_run AS r
WHERE r.business_id = tenant_mgmt.current_business_id()
  AND starts_with(replace(r.harness_run_id::text, '-', ''), %s)
LIMIT 2
"""


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run in one line."""

    id: UUID
    started_at: datetime
    seconds: float
    commit: str
    instance: str
    held: bool
    rows: int
    """Rows that the fill made."""
    findings: int
    probes: int
    leaks: int
    queries: int
    missed: int


@dataclass(frozen=True, slots=True)
class Trend:
    """The 95th percentiles of a critical query over the runs, oldest first, in ms."""

    query: str
    budget_ms: float | None
    p95_ms: list[float]


@dataclass(frozen=True, slots=True)
class History:
    """The latest runs, newest first, and the trends over them."""

    runs: tuple[PastRun, ...]
    trends: tuple[Trend, ...]


_DOCUMENT = TypeAdapter(History)


def read(target: Target, limit: int) -> History:
    """The latest `limit` runs."""
    with connect(target.app) as connection:
        as_operator(connection)
        with connection.cursor(row_factory=class_row(PastRun)) as cursor:
            runs = cursor.execute(_RUNS, [limit]).fetchall()
        with connection.cursor(row_factory=class_row(Trend)) as cursor:
            trends = cursor.execute(_TRENDS, [[run.id for run in runs]]).fetchall()
    return History(tuple(runs), tuple(trends))


def document(target: Target, run_id: str) -> str:
    """The document of a run by its id or the beginning of it; UsageError where none has it."""
    beginning = run_id.replace("-", "").lower()
    with connect(target.app) as connection:
        as_operator(connection)
        found = connection.execute(_DOCUMENTS, [beginning]).fetchall()
    if len(found) != 1 or not beginning:
        how_many = "several runs begin" if found and beginning else "no run begins"
        raise UsageError(f"{how_many} with {run_id}; harness report --history lists them")
    return str(found[0][0])


def to_json(history: History) -> str:
    """The history as indented JSON, ending with a newline."""
    return _DOCUMENT.dump_json(history, indent=2).decode() + "\n"


def from_json(text: str | bytes) -> History:
    """Reads what to_json wrote."""
    return _DOCUMENT.validate_json(text)
