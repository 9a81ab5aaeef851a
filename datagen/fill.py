"""Fills every table with rows for every tenant.

Tenant by tenant in the order of their ids, so that indexes that lead with the tenant stay dense;
table by table in foreign-key order, all constraints and triggers on. The rows of a table and the
note that they are there are one transaction: a fill that was interrupted is run again and goes
on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from psycopg import sql

from datagen import encode, keys, moment, tenants
from datagen.frame import Frame, NoParent
from datagen.plan import FillPlan, FillSettings, TablePlan, plan
from datagen.pools import Pools
from datagen.repair import repair
from datagen.tenants import Tenant
from datagen.values import Array, Values
from harness.catalog import live
from harness.catalog.model import Catalog, Column, Name
from harness.config import Settings
from harness.db import Connection, Target, connect, is_lost, one_line
from harness.deploy import target as targets
from harness.errors import HarnessError, RefusedError
from harness.run import FillResult, TableFill

Progress = Callable[[int, int], None]
SMALLEST = 20
"""A table gets so many rows at any scale, or what its recipe says if that is less."""

_LEDGER = """
CREATE TABLE IF NOT EXISTS harness.fill_unit (
    fingerprint text        NOT NULL,
    tenant      uuid        NOT NULL,
    unit        text        NOT NULL,
    row_count   bigint      NOT NULL,
    filled_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (fingerprint, tenant, unit)
)
"""
_DONE = "INSERT INTO harness.fill_unit (fingerprint, tenant, unit, row_count) VALUES (%s,%s,%s,%s)"


@dataclass
class _State:
    """A fill underway."""

    plan: FillPlan
    connection: Connection
    pools: Pools
    done: dict[tuple[str, str], int]
    rows: dict[Name, int] = field(default_factory=dict)
    seconds: dict[Name, float] = field(default_factory=dict)
    unmet: dict[str, str] = field(default_factory=dict)


def fill(
    database: Target,
    settings: Settings,
    wanted: FillSettings,
    owned: str | None = None,
    on_progress: Progress = lambda *_: None,
) -> FillResult:
    """Fills the database; does nothing where the same fill is there already.

    Raises RefusedError where the database is not a target or holds another fill, UsageError for
    a recipe that does not fit. Tables that could not be filled are in `unmet`, a line each.
    """
    started = time.perf_counter()
    with connect(database.loader, autocommit=True) as connection:
        targets.require(connection, owned)
        connection.execute("SET TimeZone = 'UTC'")  # the same days on every server
        the_plan = _dated(plan(live.read(connection), settings, wanted))
        state = _State(the_plan, connection, Pools(wanted.seed), _open_ledger(connection, the_plan))
        total = wanted.tenants * len(the_plan.tables)
        for ordinal in range(wanted.tenants):
            position = ordinal * len(the_plan.tables)
            _fill_tenant(state, ordinal, lambda n, p=position: on_progress(p + n, total))  # type: ignore[misc]
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


def build(
    the_plan: FillPlan,
    table: TablePlan,
    tenant: Tenant,
    pools: Pools,
    parents: Mapping[Name, Frame],
) -> Frame:
    """The rows of a table for a tenant, mended; NoParent where it cannot have any."""
    frame = Frame(the_plan, table, tenant, pools, parents, 0)
    per = table.recipe.per
    if per is not None:
        reference = table.reference_of(per.column)
        if reference is None or reference.parent not in parents:
            raise NoParent(f"{table.name}: {per.column} has no rows to refer to")
        frame.block_parent, frame.ordinal, frame.siblings = _blocks(
            the_plan, table, tenant, parents[reference.parent].rows
        )
        frame.rows = len(frame.block_parent)
    else:
        frame.rows = _row_count(the_plan, table, tenant)
        frame.ordinal, frame.siblings = np.arange(frame.rows), np.full(frame.rows, frame.rows)
    held, broken = repair(frame)
    return frame if held.all() else _without(frame, held, broken)


def _without(frame: Frame, held: Array, broken: Mapping[str, int]) -> Frame:
    """The frame without the rows that could not be mended."""
    if not held.any() and frame.rows:
        names = ", ".join(broken)
        raise HarnessError(f"{frame.table.name}: no row satisfies {names}; write a recipe for it")
    rows = np.flatnonzero(held)
    frame.made = {name: values.take(rows) for name, values in frame.made.items()}
    frame.chosen = {}
    frame.rows = len(rows)
    return frame


def _row_count(the_plan: FillPlan, table: TablePlan, tenant: Tenant) -> int:
    if table.name == the_plan.root:
        return 1
    recipe = table.recipe
    if recipe.fixed:
        return recipe.rows
    scaled = round(recipe.rows * the_plan.settings.scale * tenant.size)
    return max(min(recipe.rows, SMALLEST), scaled)


def _blocks(
    the_plan: FillPlan, table: TablePlan, tenant: Tenant, parents: int
) -> tuple[Array, Array, Array]:
    """Parent row, ordinal within it and number of siblings of each row."""
    assert table.recipe.per is not None  # noqa: S101 - the caller looked
    low, high = table.recipe.per.counts
    seed = the_plan.settings.seed
    rng = keys.generator(seed, tenant.ordinal, table.name, "blocks")
    counts = rng.integers(low, high + 1, parents)
    parent = np.repeat(np.arange(parents), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    return parent, np.arange(len(parent)) - first, np.repeat(counts, counts)


def _open_ledger(connection: Connection, the_plan: FillPlan) -> dict[tuple[str, str], int]:
    """What of this fill is there; RefusedError where rows of another one are."""
    connection.execute(_LEDGER)
    moment.prepare(connection)
    moment.follow(connection, the_plan.settings.as_of)
    known = connection.execute("SELECT DISTINCT fingerprint FROM harness.fill_unit").fetchall()
    if any(fingerprint != the_plan.fingerprint for (fingerprint,) in known):
        raise RefusedError(
            f"database {connection.info.dbname} was filled with other settings or recipes; make "
            "it anew with `harness deploy --recreate`"
        )
    rows = connection.execute("SELECT tenant::text, unit, row_count FROM harness.fill_unit")
    return {(tenant, unit): count for tenant, unit, count in rows}


def _fill_tenant(state: _State, ordinal: int, on_progress: Callable[[int], None]) -> None:
    tenant = tenants.make(state.plan.settings.seed, ordinal)
    frames: dict[Name, Frame] = {}
    for position, table in enumerate(state.plan.tables):
        on_progress(position)
        started = time.perf_counter()
        try:
            frames[table.name] = build(state.plan, table, tenant, state.pools, frames)
            _load(state, tenant, frames[table.name])
        except (HarnessError, psycopg.Error) as error:
            if isinstance(error, psycopg.Error) and _ends_the_fill(error):
                raise
            frames.pop(table.name, None)
            state.unmet.setdefault(str(table.name), _told(table, error))
        spent = time.perf_counter() - started
        state.seconds[table.name] = state.seconds.get(table.name, 0.0) + spent
    _settle(state, tenant)


def _load(state: _State, tenant: Tenant, frame: Frame) -> None:
    """Copies a frame in, unless the ledger says that it is there."""
    name = frame.table.name
    unit = (str(tenant.id), str(name))
    if unit not in state.done:
        columns = [(c, frame.column(c.name)) for c in frame.table.columns]
        with state.connection.transaction(), state.connection.cursor() as cursor:
            _restart(state, tenant, str(name))
            _copy(cursor, name, columns, state.plan.catalog)
            _date_rows(state, tenant, name)
            _note(state, tenant, str(name), frame.rows)
    state.rows[name] = state.rows.get(name, 0) + frame.rows


def _copy(
    cursor: psycopg.Cursor[Any],
    name: Name,
    columns: Sequence[tuple[Column, Values]],
    catalog: Catalog,
) -> None:
    """Copies columns in: binary where every type of theirs has an encoding, as text otherwise."""
    binary = all(encode.is_binary(column, catalog) for column, _ in columns)
    statement = sql.SQL("COPY {table} ({columns}) FROM STDIN (FORMAT {format})").format(
        table=name.identifier,
        columns=sql.SQL(", ").join(sql.Identifier(c.name) for c, _ in columns),
        format=sql.SQL("binary" if binary else "text"),
    )
    data = encode.encode(columns, catalog) if binary else b""
    with cursor.copy(statement) as copy:
        if binary:
            copy.write(data)
            return
        for row in encode.rows(columns, catalog):
            copy.write_row(row)


def _note(state: _State, tenant: Tenant, unit: str, rows: int) -> None:
    state.connection.execute(_DONE, [state.plan.fingerprint, tenant.id, unit, rows])


def _settle(state: _State, tenant: Tenant) -> None:
    """Runs the recipes' statements for the tenant, each file once."""
    for file, statements in state.plan.settle:
        if (str(tenant.id), file) in state.done:
            continue
        text = _bound(state, tenant, statements)
        try:
            with state.connection.transaction():
                _restart(state, tenant, "/".join(Path(file).parts[-2:]))
                state.connection.execute(text.encode())
                _date_rows(state, tenant)
                _note(state, tenant, file, 0)
        except psycopg.errors.Error as error:
            state.unmet.setdefault(file, f"{file}: {_brief(error)}")


def _bound(state: _State, tenant: Tenant, statements: str) -> str:
    """Statements with the tenant and the fill's moment in them; %% is a percent sign."""
    given = {"%(business_id)s": str(tenant.id), "%(as_of)s": state.plan.settings.as_of}
    for name, value in given.items():
        statements = statements.replace(name, sql.Literal(value).as_string(state.connection))
    return statements.replace("%%", "%")


def _dated(the_plan: FillPlan) -> FillPlan:
    """The plan, with the fill's moment in what its statements would leave to the clock."""
    settle = tuple((file, moment.dated(text, the_plan.catalog)) for file, text in the_plan.settle)
    return replace(the_plan, settle=settle)


def _restart(state: _State, tenant: Tenant, unit: str) -> None:
    wanted = state.plan.settings
    moment.restart(state.connection, wanted.as_of, wanted.seed, tenant.id, unit)


def _date_rows(state: _State, tenant: Tenant, but: Name | None = None) -> None:
    given = {state.plan.tenant_column: tenant.id}
    moment.date_rows(state.connection, state.plan.catalog, given, but)


def _ends_the_fill(error: psycopg.Error) -> bool:
    """Whether it concerns more than a table: no server, no space (class 53), an interruption."""
    return is_lost(error) or (error.sqlstate or "").startswith(("53", "57"))


def _told(table: TablePlan, error: Exception) -> str:
    if isinstance(error, psycopg.Error):
        place = table.recipe.source or f"datagen/recipes/{table.name.schema}/"
        return f"{table.name}: {_brief(error)}; see {place}"
    return str(error)


def _brief(error: psycopg.Error) -> str:
    """What the server said, without the call stack; a failing row may be long."""
    told = error.diag.message_primary or one_line(error)
    detail = error.diag.message_detail
    return f"{told} ({detail[:200]})" if detail else told


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
