"""Counts what a fill has made, table by table and tenant by tenant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from datagen import tenants
from datagen.plan import FillPlan, TablePlan
from harness.catalog.model import Name
from harness.db import Connection
from harness.run import TenantFill

_LOADED = "SELECT tenant::text, sum(row_count)::bigint FROM harness.fill_unit GROUP BY 1"


@dataclass(frozen=True, slots=True)
class Tally:
    """Rows of the tables that only statements fill, and the share of each tenant."""

    settled: Mapping[Name, int]
    shares: tuple[TenantFill, ...]


def tally(connection: Connection, the_plan: FillPlan) -> Tally:
    """Counts tables that statements fill; what was loaded stands in the ledger."""
    by_tenant: Counter[str] = Counter(dict(connection.execute(_LOADED).fetchall()))
    settled = {}
    for table in the_plan.tables:
        if table.recipe.rows == 0:
            found = _by_tenant(connection, table, the_plan.tenant_column)
            settled[table.name] = sum(found.values())
            by_tenant.update(found)
    return Tally(settled, _shares(the_plan, by_tenant))


def _by_tenant(connection: Connection, table: TablePlan, column: str) -> dict[str, int]:
    tenant = sql.Identifier(column) if column in table.table.columns else sql.SQL("NULL")
    query = sql.SQL("SELECT {tenant}::text, count(*) FROM {table} GROUP BY 1")
    found = connection.execute(query.format(tenant=tenant, table=table.name.identifier))
    return dict(found.fetchall())


def _shares(the_plan: FillPlan, rows: Mapping[str, int]) -> tuple[TenantFill, ...]:
    wanted = the_plan.settings
    every = tenants.every(wanted.seed, wanted.tenants, wanted.skew)
    return tuple(
        TenantFill(str(t.id), t.canary, t.industry, size, rows.get(str(t.id), 0))
        for t, size in zip(every, tenants.classes(every), strict=True)
    )
