"""What is kept of a table's rows for the tables that refer to them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from datagen.frame import Frame
from datagen.plan import FillPlan, TablePlan
from datagen.values import Values
from harness.catalog.model import Name
from harness.errors import HarnessError

_NAMED = re.compile(r"(\w+)\.(\w+(?:\.\w+)*)")

Needs = Mapping[Name, frozenset[str]]
"""By table: the columns, and columns of parents, that other tables ask of its rows."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The columns of a frame that later tables ask of it."""

    rows: int
    columns: Mapping[str, Values]

    def column(self, name: str) -> Values:
        """A column's values."""
        return self.columns[name]

    def lookup(self, name: str) -> Values:
        """What a recipe names beyond a foreign key."""
        if name not in self.columns:
            raise HarnessError(f"{name} is no column of the parent")
        return self.columns[name]


def keep(frame: Frame, names: frozenset[str]) -> Kept:
    """What is needed of a frame; of what only looks like a name, nothing."""
    kept = {}
    for name in names:
        try:
            kept[name] = frame.lookup(name)
        except (HarnessError, KeyError):
            continue
    return Kept(frame.rows, kept)


def needs(the_plan: FillPlan) -> Needs:
    """The columns that keys refer to, and whatever recipes name as `foreign_key.column`."""
    found: dict[Name, set[str]] = {}
    for table in the_plan.tables:
        for parent, name in (*_referred(table), *_named(table)):
            found.setdefault(parent, set()).add(name)
    return {table: frozenset(names) for table, names in found.items()}


def last_use(the_plan: FillPlan) -> dict[Name, list[Name]]:
    """By table: the tables that no later one refers to."""
    last = {table.name: table.name for table in the_plan.tables}
    for table in the_plan.tables:
        last.update({reference.parent: table.name for reference in table.references})
    ends: dict[Name, list[Name]] = {}
    for parent, table_name in last.items():
        ends.setdefault(table_name, []).append(parent)
    return ends


def _referred(table: TablePlan) -> Iterator[tuple[Name, str]]:
    for reference in table.references:
        yield from ((reference.parent, other) for _, other in reference.columns)


def _named(table: TablePlan) -> Iterator[tuple[Name, str]]:
    """Words with a dot in any text of the recipe, whatever kind of draw it is."""
    named = set(_NAMED.findall(str(dict(table.recipe.columns))))
    named |= {(c, draw["among"]) for c, draw in table.recipe.columns.items() if "among" in draw}
    for column, rest in named:
        if (reference := table.reference_of(column)) is not None:
            yield reference.parent, rest
