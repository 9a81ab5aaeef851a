"""Mode fast: which tables are worth loading without their indexes, and when these go and come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from datagen import deferring, freezing, ledger, loading, tenants, volume
from datagen.cohorts import Division, divide
from datagen.loading import Copy
from datagen.part import WHOLE, Cohort
from datagen.plan import FillPlan, Mode
from datagen.tenant_rows import unit_name
from harness.catalog.model import Name
from harness.db import Connection, Target
from harness.deploy import nodes
from harness.errors import HarnessError

ENOUGH = 10_000
"""Rows from which on it pays: dropping and making what a table has costs some 50 ms, loading with
it 8 µs a row more than without."""
Step = Callable[[Connection, FillPlan], Mapping[str, str]]


def heal(database: Target, connection: Connection) -> None:
    """Makes what a fill that ended early left dropped; HarnessError where that cannot be made."""
    if not deferring.may_miss(connection):
        return
    for line in deferring.restore(database).values():
        raise HarnessError(line)


def before(database: Target, mode: Mode) -> Iterator[Step]:
    """Drops what can be made after loading, of the tables that will get many rows."""

    def defer(connection: Connection, the_plan: FillPlan) -> Mapping[str, str]:
        deferring.require_own(connection)
        rows = volume.by_table(the_plan)
        loaded = (t for t in the_plan.tables if t.recipe.rows or t.recipe.per)
        large = [table.name for table in loaded if rows[table.name] >= ENOUGH]
        deferring.defer(database, unloaded(connection, the_plan, large))
        return {}

    if mode == "fast":
        yield defer


def copying(connection: Connection, mode: Mode) -> Copy:
    """How the first process copies rows in, which is alone wherever it does: where others fill for
    tenants it has no hand in that. What goes through a cluster's coordinator is not frozen."""
    return freezing.load if mode == "fast" and not nodes.is_cluster(connection) else loading.load


def after(database: Target, mode: Mode) -> Iterator[Step]:
    """Makes what was dropped again."""
    if mode == "fast":
        yield lambda *_: deferring.restore(database)


def unloaded(connection: Connection, the_plan: FillPlan, tables: list[Name]) -> list[Name]:
    """Those of the tables that rows are still to be loaded into."""
    left: set[Name] = set()
    wanted = the_plan.settings
    for tenant in tenants.every(wanted.seed, wanted.tenants, wanted.skew):
        done, division = ledger.read(connection, tenant.id), divide(the_plan, tenant)
        left |= {name for name in tables if _last_unit(name, division) not in done}
    return [name for name in tables if name in left]


def _last_unit(table: Name, division: Division) -> str:
    last = division.cohort_of(table, Cohort(division.of - 1, division.of))
    return unit_name(table, last or WHOLE)
