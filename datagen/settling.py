"""The recipes' statements: what is not drawn but follows from rows that are there.

A file is settled for every tenant before the next one begins, and in between the tables that it
filled are analyzed. So no plan is made by statistics of the other tenants alone, by which a tenant
has one row: joined by loops over all its rows, as such plans do, its time grows with their square.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

import psycopg
from psycopg import sql

from datagen import ledger, statistics, unmet
from datagen.crew import Run
from datagen.ledger import Unit
from datagen.site import (
    Filled,
    Site,
    anew,
    begin_unit,
    date_unit,
    in_transaction,
    node_of,
    nodes_of,
)
from datagen.sweeping import sweep
from datagen.tenants import Tenant


def settle(site: Site, run: Run, tenants: Sequence[Tenant]) -> Iterator[Filled]:
    """Runs the statements of every file for every tenant, unless they ran."""
    there = ledger.notes(site.connection)
    for file, _ in site.plan.settle:
        left = [tenant for tenant in tenants if (tenant.id, file) not in there]
        yield from (Filled(tenant.ordinal, file) for tenant in tenants if tenant not in left)
        if left:
            _renew(site, tenants)
            yield from run(partial(settle_file, file), [tenant.ordinal for tenant in left])


def _renew(site: Site, tenants: Sequence[Tenant]) -> None:
    if not site.on_cluster:
        sweep(site.connection)
    for node in nodes_of(site, tenants):
        statistics.renew(node)


def settle_file(file: str, site: Site, tenant: Tenant) -> Iterator[Filled]:
    """Settles a file for a tenant, on a connection of its own."""
    started = time.perf_counter()
    with anew(site) as fresh:
        problem = _settle(fresh, tenant, file)
        statistics.count(node_of(fresh, tenant))
    yield Filled(tenant.ordinal, file, 0, time.perf_counter() - started, problem)


def _settle(site: Site, tenant: Tenant, file: str) -> str:
    """Settles a file; what it could not do, as a line."""
    node = node_of(site, tenant)
    text = _bound(site, tenant, dict(site.plan.settle)[file])

    def run_and_note() -> None:
        begin_unit(site, tenant, file)
        node.run(text)
        date_unit(site, tenant)
        ledger.note(site.connection, site.plan, tenant.id, file, Unit())

    try:
        in_transaction(site, run_and_note)
    except psycopg.Error as error:
        if unmet.ends_the_fill(error):
            raise
        return f"{file}: {unmet.brief(error)}"
    return ""


def _bound(site: Site, tenant: Tenant, statements: str) -> str:
    """Statements with the tenant and the fill's moment in them; %% is a percent sign."""
    given = {
        "%(business_id)s": str(tenant.id),
        "%(as_of)s": site.plan.settings.as_of,
        "%(canary)s": tenant.canary,
    }
    for name, value in given.items():
        statements = statements.replace(name, sql.Literal(value).as_string(site.connection))
    return statements.replace("%%", "%")
