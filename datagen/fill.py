"""Fills every table with rows for every tenant.

Tenant by tenant, the largest first, so that indexes that lead with the tenant stay dense; table by
table in foreign-key order, all constraints and triggers on; then file by file what follows from
the rows. The rows of a unit and the note that they are there are one transaction: a fill that was
interrupted is run again and goes on where it stopped. Every row follows from seed, settings,
recipes and catalog, whoever makes it and when.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from datagen import (
    disk,
    fast,
    ledger,
    moment,
    node,
    sequences,
    statistics,
    taken,
    tenants,
    turn,
    unattended,
    unmet,
)
from datagen.cohorts import divide
from datagen.crew import Errand, Run, alone, crew
from datagen.plan import FillPlan, FillSettings, TablePlan, plan
from datagen.settling import settle
from datagen.site import Filled, Site, open_site
from datagen.tally import tally
from datagen.tenant_rows import load_shared, load_tenant
from datagen.tenants import Tenant
from harness.catalog import live
from harness.catalog.model import Name
from harness.config import Settings
from harness.db import Connection, Target, connect
from harness.deploy import nodes
from harness.deploy import target as targets
from harness.run import FillResult, Settled, TableFill

Progress = Callable[[int, int, int, str], None]
"""Units that are done, of how many, rows in all, and the table or file of the last one."""
Step = Callable[[Connection, FillPlan], Mapping[str, str]]
"""Something to do around the loading; it is done again when a fill goes on after an end. What it
could not do is a line by its name."""


def fill(
    database: Target,
    settings: Settings,
    wanted: FillSettings,
    owned: str | None = None,
    on_progress: Progress = lambda *_: None,
    before: Sequence[Step] = (),
    after: Sequence[Step] = (),
    workers: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> FillResult:
    """Fills the database; does nothing where the same fill is there already.

    `before` and `after` are done around the loading of all tables, before any statements settle.
    `workers` processes fill, at most one for each tenant; the rows are the same for any number.
    Raises RefusedError where the database is not a target, holds another fill or is being filled,
    UsageError for a recipe that does not fit or where the disk has no room, DatabaseError when
    server, workers or the room on the disk end. Tables that could not be filled are in `unmet`, a
    line each. `say` is told what the user should know before it begins.
    """
    started = time.perf_counter()
    loader = _as_whom(database, owned)
    with connect(loader, autocommit=True, application_name="harness fill") as connection:
        targets.require(connection, owned)
        turn.take(connection)
        fast.heal(database, connection)
        unattended.heal(database, connection)
        connection.execute("SET TimeZone = 'UTC'")  # the same days on every server
        catalog = live.read(connection)
        ledger.create(connection)
        before_us = taken.read(connection, catalog)
        the_plan = plan(catalog, settings, wanted, before_us)
        wanted = the_plan.settings
        ledger.open_ledger(connection, the_plan)
        moment.prepare(connection)
        if nodes.is_cluster(connection):
            moment.prepare_nodes(connection)
            node.prepare(connection, settings.tenancy)
        place = disk.room(database)
        disk.require(disk.remaining(the_plan, connection), place, say)
        filled = _Tally(on_progress, _units(the_plan))
        errand = Errand(loader, catalog, settings.tenancy, wanted, before_us)
        site = open_site(the_plan, loader, connection, fast.copying(connection, wanted.mode))
        filled.do([*before, *fast.before(database, wanted.mode)], connection, the_plan)
        filled.add_all(load_shared(site))
        with _hands(site, errand, workers) as run:
            order = _largest_first(wanted)
            filled.add_all(disk.watched(run(load_tenant, [each.ordinal for each in order]), place))
            filled.do([*fast.after(database, wanted.mode), *after], connection, the_plan)
            with unattended.unattended(database, _settled(the_plan)):
                filled.add_all(disk.watched(settle(site, run, order), place))
        counted = tally(connection, the_plan)
        sequences.advance(connection, catalog)
        connection.execute("SET synchronous_commit = on")  # all that was filled is on disk then
        statistics.complete(connection)
        filled.do([_refresh], connection, the_plan)
    return FillResult(
        seed=wanted.seed,
        scale=wanted.scale,
        tenants=wanted.tenants,
        as_of=wanted.as_of,
        seconds=time.perf_counter() - started,
        tables=tuple(filled.of(table, counted.settled) for table in the_plan.tables),
        unmet=filled.told(the_plan),
        settled=tuple(filled.settled(the_plan)),
        shares=counted.shares,
        fewer=tuple(filled.fewer(the_plan)),
    )


def _as_whom(database: Target, owned: str | None) -> str:
    """A database that the harness did not make has no grants for the loader's role: whoever says
    that it is theirs fills it."""
    if owned is None:
        return database.loader
    with connect(database.admin) as connection:
        return database.loader if targets.state(connection) == "target" else database.admin


@dataclass
class _Tally:
    """What was filled so far."""

    on_progress: Progress
    total: int
    done: int = 0
    loaded: int = 0
    """Rows in all."""
    rows: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    """Of units that lack some rows: what stood against them."""
    problems: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By unit: the first tenant that has one, and the line."""
    left: dict[str, str] = field(default_factory=dict)
    """What steps around the loading could not do, a line by its name."""

    def do(self, steps: Sequence[Step], connection: Connection, the_plan: FillPlan) -> None:
        """Does steps, and keeps what they could not do."""
        for step in steps:
            self.left |= step(connection, the_plan)

    def add_all(self, units: Generator[Filled, None, None]) -> None:
        """Counts units as they are done; whatever ends this ends what makes them."""
        with closing(units):
            for unit in units:
                self._add(unit)
                self.on_progress(self.done, self.total, self.loaded, unit.unit)

    def _add(self, unit: Filled) -> None:
        self.done += 1
        self.loaded += unit.rows
        self.rows[unit.unit] = self.rows.get(unit.unit, 0) + unit.rows
        self.seconds[unit.unit] = self.seconds.get(unit.unit, 0.0) + unit.seconds
        if unit.missed:
            self.missed[unit.unit] = self.missed.get(unit.unit, 0) + unit.missed
            self.why.setdefault(unit.unit, unit.why)
        if unit.problem:
            told = (unit.tenant, unit.problem)
            self.problems[unit.unit] = min(self.problems.get(unit.unit, told), told)

    def of(self, table: TablePlan, settled: Mapping[Name, int]) -> TableFill:
        """What a table got; `settled` are the rows of those that statements fill."""
        name = str(table.name)
        rows = settled.get(table.name, self.rows.get(name, 0))
        return TableFill(name, rows, self.seconds.get(name, 0.0))

    def settled(self, the_plan: FillPlan) -> Iterator[Settled]:
        """How long each file of statements took."""
        for file, _ in the_plan.settle:
            yield Settled(file, self.seconds.get(file, 0.0))

    def fewer(self, the_plan: FillPlan) -> Iterator[str]:
        """The tables that got fewer rows than planned, a line each."""
        for table in the_plan.tables:
            name = str(table.name)
            if name in self.missed and self.rows.get(name):
                planned = self.rows[name] + self.missed[name]
                yield f"{name}: {self.rows[name]} of {planned} rows, for {self.why[name]}"

    def told(self, the_plan: FillPlan) -> tuple[str, ...]:
        """The problems in the order of the plan, a line each."""
        units = [str(table.name) for table in the_plan.tables]
        units += [file for file, _ in the_plan.settle]
        told = [self.problems[unit][1] for unit in units if unit in self.problems]
        return (*told, *self.left.values())


@contextmanager
def _hands(site: Site, errand: Errand, workers: int) -> Iterator[Run]:
    """This process, or several others."""
    size = min(workers, site.plan.settings.tenants)
    if size > 1:
        with crew(errand, size) as run:
            yield run
    else:
        yield alone(site)


def _largest_first(wanted: FillSettings) -> list[Tenant]:
    """The tenants in the order in which they are taken."""
    made = tenants.every(wanted.seed, wanted.tenants, wanted.skew)
    return sorted(made, key=lambda tenant: -tenant.size)


def _settled(the_plan: FillPlan) -> list[Name]:
    """The tables that statements fill."""
    return [table.name for table in the_plan.tables if table.recipe.rows == 0]


def _units(the_plan: FillPlan) -> int:
    wanted = the_plan.settings
    made = tenants.every(wanted.seed, wanted.tenants, wanted.skew)
    loaded = sum(divide(the_plan, tenant).units(len(the_plan.owned)) for tenant in made)
    return len(the_plan.shared) + loaded + len(the_plan.settle) * wanted.tenants


def _refresh(connection: Connection, the_plan: FillPlan) -> dict[str, str]:
    """Refreshes materialized views in the order in which they were created; a line for each that
    the server cannot."""
    unrefreshed = {}
    for view in the_plan.catalog.views.values():
        if view.materialized:
            command = sql.SQL("REFRESH MATERIALIZED VIEW {}").format(view.name.identifier)
            try:
                connection.execute(command)
            except psycopg.Error as error:
                if unmet.ends_the_fill(error):
                    raise
                unrefreshed[str(view.name)] = f"{view.name} stays empty: {unmet.brief(error)}"
    return unrefreshed
