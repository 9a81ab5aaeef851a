"""Tables without the tenant column: whose a row is, they do not say, but two tenants who see the
same row do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psycopg import sql

from checks.attempt import Outcome, judge, verdict_of
from checks.ground import Ground, tenant_column
from harness.catalog.model import Table
from harness.run import ProbeResult

_SEEN = "SELECT tableoid, ctid::text FROM {} ORDER BY ctid LIMIT 1000"


def check(ground: Ground) -> Iterator[ProbeResult]:
    """Whether the two tenants see the same rows of a table that has no tenant column."""
    for table in ground.tables():
        if tenant_column(table, ground.settings.tenancy) is None:
            yield _result(ground, table)


def _result(ground: Ground, table: Table) -> ProbeResult:
    column = f"has no column {ground.settings.tenancy.column}"
    mine: set[Any] = set()

    def compare() -> Outcome:
        mine.update(_seen(ground, table, ground.own))
        common = mine & _seen(ground, table, ground.other)
        return Outcome(bool(common), f"{column}; two tenants see {len(common)} rows in common")

    outcome = judge(compare)
    if outcome.crossed is False and not mine and "permission denied" not in outcome.detail:
        detail = f"{column}, and the tenant sees no row of it"
        return ProbeResult(str(table.name), "select", "vacuous", detail)
    return ProbeResult(str(table.name), "select", verdict_of(outcome), outcome.detail)


def _seen(ground: Ground, table: Table, tenant: Any) -> set[tuple[Any, ...]]:
    with ground.wire.transaction(tenant) as connection:
        query = sql.SQL(_SEEN).format(table.name.identifier)
        return set(connection.execute(query).fetchall())
