"""Mode fast: which tables are worth loading without their indexes, and when these go and come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from datagen import deferring, estimating, ledger, tenants
from datagen.plan import FillPlan, Mode
from harness.catalog.model import Name
from harness.db import Connection, Target
from harness.errors import HarnessError

ENOUGH = 10_000
"""Rows from which on it pays: dropping and making what a table has costs some 50 ms, loading with
it 8 µs a row more than without."""
Step = Callable[[Connection, FillPlan], Mapping[str, str]]


def heal(database: Target) -> None:
    """Makes what a fill that ended early left dropped; HarnessError where that cannot be made."""
    for line in deferring.restore(database).values():
        raise HarnessError(line)


def before(database: Target, mode: Mode, done: ledger.Done) -> Iterator[Step]:
    """Drops what can be made after loading, of the tables that will get many rows."""

    def defer(connection: Connection, the_plan: FillPlan) -> Mapping[str, str]:
        deferring.require_own(connection)
        deferring.defer(database, worth_it(the_plan, done))
        return {}

    if mode == "fast":
        yield defer


def after(database: Target, mode: Mode) -> Iterator[Step]:
    """Makes what was dropped again."""
    if mode == "fast":
        yield lambda *_: deferring.restore(database)


def worth_it(the_plan: FillPlan, done: ledger.Done) -> list[Name]:
    """Tables that many rows are still to be loaded into."""
    wanted = the_plan.settings
    ids = [str(tenants.make(wanted.seed, ordinal).id) for ordinal in range(wanted.tenants)]
    return [
        name
        for name, rows in estimating.rows(the_plan).items()
        if rows >= ENOUGH and any((tenant, str(name)) not in done for tenant in ids)
    ]
