"""What a process needs to fill: the plan, a connection of its own, and pools."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import psycopg

from datagen import moment, turn
from datagen.cohorts import key_widths
from datagen.kept import Kept, Needs, last_use, needs
from datagen.loading import Copy
from datagen.node import Delegate, Node, Server, delegate
from datagen.plan import FillPlan
from datagen.pools import Pools
from datagen.tenants import Tenant
from harness.catalog.model import Name
from harness.db import Connection, connect
from harness.deploy import nodes

Result = TypeVar("Result")
_ATTEMPTS = 5
"""For a transaction that PostgreSQL gave up for the sake of another."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where and from what a process fills."""

    plan: FillPlan
    loader: str = field(repr=False)
    """The DSN to connect with."""
    connection: Connection
    copy_in: Copy
    """How rows go into a table."""
    pools: Pools
    needs: Needs
    last_use: dict[Name, list[Name]]
    key_widths: dict[Name, int]
    on_cluster: bool
    """Whether the database is distributed by Citus."""
    shared: dict[Name, Kept] = field(default_factory=dict)
    """Rows that are everybody's."""
    delegates: dict[uuid.UUID, Delegate] = field(default_factory=dict)
    """By tenant, on a cluster: the node that holds it."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A unit that is there, or why it is not."""

    tenant: int
    unit: str
    """A table, or a file of statements."""
    rows: int = 0
    seconds: float = 0.0
    problem: str = ""
    missed: int = 0
    """Rows that could not be made or were refused."""
    why: str = ""
    """What stood against them."""


def open_site(the_plan: FillPlan, loader: str, connection: Connection, copy_in: Copy) -> Site:
    """A site on an open connection, which is set up for it."""
    _set_up(the_plan, connection)
    return Site(
        plan=the_plan,
        loader=loader,
        connection=connection,
        copy_in=copy_in,
        pools=Pools(the_plan.settings.seed),
        needs=needs(the_plan),
        last_use=last_use(the_plan),
        key_widths=key_widths(the_plan),
        on_cluster=nodes.is_cluster(connection),
    )


@contextmanager
def anew(site: Site) -> Iterator[Site]:
    """The site on a connection of its own for a while.

    A connection keeps every plan it ever made, and looks at each of them whenever somebody analyzes
    a table: with the thousands that triggers and functions leave, that was half of its time.
    """
    with connect(site.loader, autocommit=True, application_name="harness fill") as connection:
        turn.work(connection)
        _set_up(site.plan, connection)
        yield replace(site, connection=connection)


def _set_up(the_plan: FillPlan, connection: Connection) -> None:
    connection.execute("SET TimeZone = 'UTC'")  # the same days on every server
    # A unit is there with its note or not at all, so that it need not be on disk at once; and
    # the server is to notice soon that nobody waits for a long statement any more.
    connection.execute("SET synchronous_commit = off")
    connection.execute("SET client_connection_check_interval = '1s'")
    moment.follow(connection, the_plan.settings.as_of)


def node_of(site: Site, tenant: Tenant) -> Node:
    """Where the tenant's statements run."""
    if not site.on_cluster:
        return Server(site.connection)
    if tenant.id not in site.delegates:
        site.delegates[tenant.id] = delegate(site.connection, tenant.id)
    return replace(site.delegates[tenant.id], connection=site.connection)


def nodes_of(site: Site, tenants: Iterable[Tenant]) -> list[Node]:
    """Where statements run for any of the tenants."""
    if not site.on_cluster:
        return [Server(site.connection)]
    return [node_of(site, tenant) for tenant in tenants]


def begin_unit(site: Site, tenant: Tenant, unit: str) -> None:
    """Sets the clock and the keys of the transaction to where they stand for the unit."""
    wanted = site.plan.settings
    restart = moment.restart_nodes if site.on_cluster else moment.restart
    restart(site.connection, wanted.as_of, wanted.seed, tenant.id, unit)


def date_unit(site: Site, tenant: Tenant, loaded: Name | None = None) -> None:
    """Gives the moment to rows that the transaction wrote, but for a table that was loaded."""
    given = {site.plan.tenant_column: tenant.id}
    moment.date_rows(node_of(site, tenant), site.plan.catalog, given, loaded)


def in_transaction(site: Site, action: Callable[[], Result]) -> Result:
    """Does something in one transaction, again where that got in the way of another one."""
    for attempt in range(_ATTEMPTS - 1):
        try:
            with site.connection.transaction():
                return action()
        except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
            time.sleep(0.05 * 2**attempt)
    with site.connection.transaction():
        return action()
