"""The recipes' statements: what is not drawn but follows from rows that are there."""

from __future__ import annotations

from psycopg import sql

from datagen.plan import FillPlan
from datagen.tenants import Tenant
from harness.db import Connection


def settle(connection: Connection, the_plan: FillPlan, tenant: Tenant, statements: str) -> None:
    """Runs the statements of a file for a tenant."""
    connection.execute(_bound(connection, the_plan, tenant, statements).encode())


def _bound(connection: Connection, the_plan: FillPlan, tenant: Tenant, statements: str) -> str:
    """Statements with the tenant and the fill's moment in them; %% is a percent sign."""
    given = {"%(business_id)s": str(tenant.id), "%(as_of)s": the_plan.settings.as_of}
    for name, value in given.items():
        statements = statements.replace(name, sql.Literal(value).as_string(connection))
    return statements.replace("%%", "%")
