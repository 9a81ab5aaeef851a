"""The recipes' statements: what is not drawn but follows from rows that are there."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import psycopg
from psycopg import sql

from datagen import ledger, statistics, unmet
from datagen.ledger import Unit
from datagen.site import Filled, Site, anew, begin_unit, date_unit, in_transaction, node_of
from datagen.tenants import Tenant

_ANALYZE = re.compile(r"^\s*ANALYZE(?= \w)", re.MULTILINE)


def settle_tenant(site: Site, tenant: Tenant) -> Iterator[Filled]:
    """Runs the statements of every file for the tenant, unless they ran."""
    done = ledger.read(site.connection, tenant.id)
    statistics.count(node_of(site, tenant))
    for file, statements in site.plan.settle:
        started = time.perf_counter()
        problem = "" if file in done else _settle_anew(site, tenant, file, statements)
        yield Filled(tenant.ordinal, file, 0, time.perf_counter() - started, problem)


def _settle_anew(site: Site, tenant: Tenant, file: str, statements: str) -> str:
    """Settles a file on a connection of its own; what it could not do, as a line."""
    with anew(site) as fresh:
        problem = _settle(fresh, tenant, file, statements)
        statistics.count(node_of(fresh, tenant))
    return problem


def _settle(site: Site, tenant: Tenant, file: str, statements: str) -> str:
    node = node_of(site, tenant)
    statistics.renew(node)
    text = _bound(site, tenant, statements)

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
    """Statements with the tenant and the fill's moment in them; %% is a percent sign.

    An ANALYZE holds its tables until the end of the transaction: other tenants' do not wait for it.
    """
    given = {
        "%(business_id)s": str(tenant.id),
        "%(as_of)s": site.plan.settings.as_of,
        "%(canary)s": tenant.canary,
    }
    for name, value in given.items():
        statements = statements.replace(name, sql.Literal(value).as_string(site.connection))
    return _ANALYZE.sub("ANALYZE (SKIP_LOCKED)", statements.replace("%%", "%"))
