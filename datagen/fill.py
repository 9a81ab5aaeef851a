"""Fills every table with rows for every tenant.

Tenant by tenant in the order of their ids, so that indexes that lead with the tenant stay dense;
table by table in foreign-key order, all constraints and triggers on. The rows of a table and the
note that they are there are one transaction: a fill that was interrupted is run again and goes
on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from datagen import ledger, tenants, unmet
from datagen.building import build
from datagen.frame import Frame
from datagen.loading import load
from datagen.plan import FillPlan, FillSettings, plan
from datagen.pools import Pools
from datagen.settling import settle
from datagen.tenants import Tenant
from harness.catalog import live
from harness.catalog.model import Name
from harness.config import Settings
from harness.db import Connection, Target, connect
from harness.deploy import target as targets
from harness.errors import HarnessError
from harness.run import FillResult, TableFill

Progress = Callable[[int, int], None]
Step = Callable[[Connection, FillPlan], None]
"""Something to do around the loading; it is done again when a fill goes on after an end."""


@dataclass
class _State:
    """A fill underway."""

    plan: FillPlan
    connection: Connection
    pools: Pools
    done: ledger.Done
    rows: dict[Name, int] = field(default_factory=dict)
    seconds: dict[Name, float] = field(default_factory=dict)
    unmet: dict[str, str] = field(default_factory=dict)


def fill(
    database: Target,
    settings: Settings,
    wanted: FillSettings,
    owned: str | None = None,
    on_progress: Progress = lambda *_: None,
    before: Sequence[Step] = (),
    after: Sequence[Step] = (),
) -> FillResult:
    """Fills the database; does nothing where the same fill is there already.

    `before` and `after` are done around the loading of all tables, before any statements settle.
    Raises RefusedError where the database is not a target or holds another fill, UsageError for
    a recipe that does not fit. Tables that could not be filled are in `unmet`, a line each.
    """
    started = time.perf_counter()
    with connect(database.loader, autocommit=True) as connection:
        targets.require(connection, owned)
        connection.execute("SET TimeZone = 'UTC'")  # the same days on every server
        the_plan = plan(live.read(connection), settings, wanted)
        done = ledger.read(connection, the_plan.fingerprint)
        state = _State(the_plan, connection, Pools(wanted.seed), done)
        _do(before, state)
        total = wanted.tenants * len(the_plan.tables)
        for ordinal in range(wanted.tenants):
            position = ordinal * len(the_plan.tables)
            _load_tenant(state, ordinal, lambda n, p=position: on_progress(p + n, total))  # type: ignore[misc]
        _do(after, state)
        for ordinal in range(wanted.tenants):
            _settle_tenant(state, tenants.make(wanted.seed, ordinal))
        _settled_rows(state)
        connection.execute("ANALYZE")
        _refresh(connection, the_plan)
    on_progress(total, total)
    return FillResult(
        seed=wanted.seed,
        scale=wanted.scale,
        tenants=wanted.tenants,
        as_of=wanted.as_of,
        seconds=time.perf_counter() - started,
        tables=tuple(
            TableFill(str(t.name), state.rows.get(t.name, 0), state.seconds.get(t.name, 0.0))
            for t in the_plan.tables
        ),
        unmet=tuple(state.unmet.values()),
    )


def _do(steps: Sequence[Step], state: _State) -> None:
    for step in steps:
        step(state.connection, state.plan)


def _load_tenant(state: _State, ordinal: int, on_progress: Callable[[int], None]) -> None:
    tenant = tenants.make(state.plan.settings.seed, ordinal)
    frames: dict[Name, Frame] = {}
    for position, table in enumerate(state.plan.tables):
        on_progress(position)
        started = time.perf_counter()
        try:
            frames[table.name] = build(state.plan, table, tenant, state.pools, frames)
            _load(state, tenant, frames[table.name])
        except (HarnessError, psycopg.Error) as error:
            if unmet.ends_the_fill(error):
                raise
            frames.pop(table.name, None)
            state.unmet.setdefault(str(table.name), unmet.of_table(table, error))
        spent = time.perf_counter() - started
        state.seconds[table.name] = state.seconds.get(table.name, 0.0) + spent


def _load(state: _State, tenant: Tenant, frame: Frame) -> None:
    """Copies a frame in, unless the ledger says that it is there."""
    name = frame.table.name
    if (str(tenant.id), str(name)) not in state.done:
        with state.connection.transaction():
            load(state.connection, frame)
            _note(state, tenant, str(name), frame.rows)
    state.rows[name] = state.rows.get(name, 0) + frame.rows


def _note(state: _State, tenant: Tenant, unit: str, rows: int) -> None:
    ledger.note(state.connection, state.plan.fingerprint, tenant.id, unit, rows)


def _settle_tenant(state: _State, tenant: Tenant) -> None:
    """Runs the recipes' statements for the tenant, each file once."""
    for file, statements in state.plan.settle:
        if (str(tenant.id), file) in state.done:
            continue
        try:
            with state.connection.transaction():
                settle(state.connection, state.plan, tenant, statements)
                _note(state, tenant, file, 0)
        except psycopg.errors.Error as error:
            if unmet.ends_the_fill(error):
                raise
            state.unmet.setdefault(file, f"{file}: {unmet.brief(error)}")


def _settled_rows(state: _State) -> None:
    """Counts the rows of tables that only settle statements fill."""
    for table in state.plan.tables:
        if table.recipe.rows == 0:
            count = sql.SQL("SELECT count(*) FROM {}").format(table.name.identifier)
            row = state.connection.execute(count).fetchone()
            state.rows[table.name] = int(row[0]) if row else 0


def _refresh(connection: Connection, the_plan: FillPlan) -> None:
    """Refreshes materialized views in the order in which they were created."""
    for view in the_plan.catalog.views.values():
        if view.materialized:
            connection.execute(sql.SQL("REFRESH MATERIALIZED VIEW {}").format(view.name.identifier))
