"""The rows of one table for one tenant, made column by column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from datagen import keys
from datagen.draw import draw
from datagen.expression import UnknownExpression, compile_expression
from datagen.generators import base_type, choose
from datagen.part import Cohort, Part
from datagen.plan import FillPlan, Reference, TablePlan
from datagen.pools import Pools
from datagen.request import Request
from datagen.tenants import Tenant
from datagen.values import Array, Values, constant, nulls, objects, of
from harness.catalog.model import Column, Name
from harness.errors import HarnessError

NULL_SHARE = 0.15
"""Of a nullable column that nothing else is known about."""
PARENT_CHOICE = {"null", "zipf", "block"}
"""Modifiers of how a foreign key's parent is chosen."""
_KEY_TYPES = ("uuid", "bigint", "integer")
_BIGINT_WIDTH = 2**32


class NoParent(HarnessError):
    """A required parent table has no rows for the tenant."""


class Parent(Protocol):
    """Rows that others refer to."""

    @property
    def rows(self) -> int:
        """How many."""

    def column(self, name: str) -> Values:
        """A column's values."""

    def lookup(self, name: str) -> Values:
        """A column, or a column of a parent's parent."""


@dataclass
class Frame:
    """Columns by name, as they are made. Mutable: repair replaces values in place."""

    plan: FillPlan
    table: TablePlan
    tenant: Tenant
    pools: Pools
    parents: Mapping[Name, Parent]
    rows: int
    part: Part = field(default_factory=Part)
    ordinal: Array = field(default_factory=lambda: np.zeros(0, "int64"))
    siblings: Array = field(default_factory=lambda: np.zeros(0, "int64"))
    block_parent: Array | None = None
    """With `per`: the parent row of each row."""
    made: dict[str, Values] = field(default_factory=dict)
    chosen: dict[Reference, Array] = field(default_factory=dict)
    """Parent row of each row by foreign key; -1 where it is NULL."""
    attempt: int = 0
    numbered: int = 0
    """Rows that were laid out, those with them that could not be mended and were left out."""

    def column(self, name: str) -> Values:
        """A column's values, made now if they were not yet."""
        if name not in self.made:
            self.made[name] = self.make(name, np.arange(self.rows))
        return self.made[name]

    def lookup(self, name: str) -> Values:
        """What an expression may mention: columns, `row`, `ordinal`, `siblings`, `as_of`,
        `tenant.attribute` and `foreign_key_column.column_of_the_parent`."""
        first, dot, rest = name.partition(".")
        if first == "tenant" and dot:
            value = getattr(self.tenant, rest)
            return constant(value if isinstance(value, int | float) else str(value), self.rows)
        if dot:
            return self._of_parent(first, rest)
        if name in self.table.table.columns:
            return self.column(name)
        numbers = self.part.first + np.arange(self.rows)
        special = {"row": numbers, "ordinal": self.ordinal, "siblings": self.siblings}
        if name in special:
            return of(special[name])
        if name == "as_of":
            moment = self.plan.settings.as_of.replace(tzinfo=None)
            return of(np.full(self.rows, np.datetime64(moment, "us")))
        raise HarnessError(f"{self.table.name}: {name} is no column, row, ordinal or as_of")

    def make(self, name: str, rows: Array) -> Values:
        """Fresh values of a column for some rows."""
        column = self.table.table.columns[name]
        recipe = self.table.recipe.columns.get(name)
        reference = self.table.reference_of(name)
        if name == self.plan.tenant_column:
            return constant(self._tenant_value(column), len(rows))
        if recipe and recipe.get("default"):
            return self._database_default(column, rows)
        if recipe and "expression" in recipe:
            whole = compile_expression(recipe["expression"]).evaluate(self.lookup, self.rows)
            return self._maybe_null(whole.take(rows), recipe.get("null", 0), name)
        if reference is not None and not (recipe and set(recipe) - PARENT_CHOICE):
            return self._from_parent(reference, name, rows)
        if name == own_key(self.plan, self.table):
            return self._keys(column, rows)
        if recipe and set(recipe) - {"null"}:
            values = draw(recipe, self.request(column, rows), self._subset(rows))
            return self._maybe_null(values, recipe.get("null", 0), name)
        share = recipe["null"] if recipe else (0 if column.not_null else NULL_SHARE)
        return self._maybe_null(self._inferred(column, rows), share, name)

    def request(self, column: Column, rows: Array) -> Request:
        """What a generator is asked for."""
        low, high = self.table.bounds.get(column.name, (None, None))
        return Request(
            row_numbers=self.part.first + rows,
            cohort=self.part.cohort,
            rng=self.generator(column.name),
            tenant=self.tenant,
            pools=self.pools,
            as_of=self.plan.settings.as_of,
            name=column.name,
            unique=any(column.name in u.columns for u in self.table.uniques) and high is None,
            lower=low,
            upper=high,
        )

    def generator(self, *purpose: object) -> np.random.Generator:
        """Randomness of its own for a purpose in this table and attempt."""
        seed, tenant, cohort = self.plan.settings.seed, self.tenant.ordinal, self.part.cohort
        return keys.generator(
            seed, tenant, self.table.name, *purpose, self.attempt, cohort=cohort.index
        )

    def _inferred(self, column: Column, rows: Array) -> Values:
        if column.name in self.table.choices:
            choices = self.table.choices[column.name]
            pool = np.array(choices) if isinstance(choices[0], int | float) else _texts(choices)
            return of(self.request(column, rows).pick(pool))
        if column.name in self.table.elements:
            return _subsets(self.request(column, rows), self.table.elements[column.name])
        if column.name == "created_at" or column.name == "updated_at":
            return _spread(rows, self.rows, self.part.cohort, self.plan)
        generator = choose(column, self.plan.catalog)
        if generator is None:
            base = base_type(column.type, self.plan.catalog)
            if not column.not_null:
                return nulls(len(rows))
            raise HarnessError(
                f"{self.table.name}.{column.name}: no generator makes {base}; write a recipe"
            )
        made: Values = generator.generate(self.request(column, rows))
        return made

    def _database_default(self, column: Column, rows: Array) -> Values:
        """What the database will put there, where that can be told, for CHECKs to look at."""
        try:
            return compile_expression(column.default or "NULL").evaluate(self.lookup, len(rows))
        except UnknownExpression:
            return nulls(len(rows))

    def _tenant_value(self, column: Column) -> Any:
        """The tenant's id as the tenant column's type has it."""
        base = base_type(column.type, self.plan.catalog)
        if base == "uuid":
            return np.void(self.tenant.id.bytes)
        return str(self.tenant.id) if base == "text" else self.tenant.ordinal + 1

    def _keys(self, column: Column, rows: Array) -> Values:
        """Time-ordered UUIDs, or integers in a range of the tenant's own."""
        wanted = self.plan.settings
        if (base := base_type(column.type, self.plan.catalog)) != "uuid":
            return of(self._integer_keys(base, self.part.first + rows + 1))
        return of(
            keys.uuid7(
                wanted.seed,
                self.tenant.ordinal,
                str(self.table.name),
                rows,
                self.rows,
                wanted.as_of,
                self.part,
            )
        )

    def _integer_keys(self, base: str, numbers: Array) -> Array:
        """Numbers of a range that is the tenant's own."""
        bits, width = (31, self.part.key_width) if base == "integer" else (63, _BIGINT_WIDTH)
        found: Array = self.tenant.ordinal * width + numbers
        if len(found) and found[-1] >= 1 << bits:
            raise HarnessError(f"{self.table.name}: its {base} key ends before its rows do")
        return found

    def _from_parent(self, reference: Reference, name: str, rows: Array) -> Values:
        chosen = self._choose(reference)[rows]
        column = dict(reference.columns)[name]
        own = reference.parent == self.table.name
        parent: Parent | None = self if own else self.parents.get(reference.parent)
        empty = parent is None or parent.rows == 0
        if empty or (chosen < 0).all():
            if not reference.optional and len(rows):
                raise NoParent(f"{self.table.name}: {reference.parent} has no rows to refer to")
            return nulls(len(rows))
        assert parent is not None  # noqa: S101 - `empty` says so
        values = parent.column(column).take(np.maximum(chosen, 0))
        return Values(values.data, values.null | (chosen < 0))

    def choose_again(self, reference: Reference, rows: Array) -> None:
        """Other parents for some rows, in all columns of the foreign key."""
        whole = self._choose(reference).copy()
        whole[rows] = self._pick_parents(reference, rows)
        self.chosen[reference] = whole
        for name, _ in reference.columns:
            self.made[name] = self.column(name).put(rows, self.make(name, rows))

    def _choose(self, reference: Reference) -> Array:
        """Which parent row each row refers to, remembered for all of the key's columns."""
        if reference not in self.chosen:
            self.chosen[reference] = self._pick_parents(reference, np.arange(self.rows))
        return self.chosen[reference]

    def _pick_parents(self, reference: Reference, rows: Array) -> Array:
        column = reference.columns[0][0]
        rng = self.generator(column, "parent")
        recipe = self.table.recipe.columns.get(column, {})
        per = self.table.recipe.per
        if per is not None and self.block_parent is not None and per.column == column:
            return self.block_parent[rows]
        share = recipe.get("null", NULL_SHARE if reference.optional else 0)
        if reference.parent == self.table.name:
            picked = np.floor(rng.random(len(rows)) * rows).astype("int64")
            absent = (rng.random(len(rows)) < max(share, 0.5)) | (rows == 0)
        else:
            parent = self.parents.get(reference.parent)
            if parent is None or parent.rows == 0:
                return np.full(len(rows), -1)
            picked = _skewed(rng, parent.rows, len(rows), recipe.get("zipf"))
            if recipe.get("block"):
                picked = self._one_per_block(rng, parent.rows)[rows]
            absent = rng.random(len(rows)) < share
        return np.where(absent & reference.optional, -1, picked)

    def _one_per_block(self, rng: np.random.Generator, parents: int) -> Array:
        """The same parent for all siblings of a block."""
        block = np.cumsum(self.ordinal == 0) - 1
        drawn = rng.integers(0, parents, self.rows)
        picked: Array = drawn[block]
        return picked

    def _of_parent(self, column: str, other: str) -> Values:
        reference = self.table.reference_of(column)
        if reference is None:
            raise HarnessError(f"{self.table.name}: {column} is no foreign key")
        chosen = self._choose(reference)
        own = reference.parent == self.table.name
        parent: Parent = self if own else self.parents[reference.parent]
        values = parent.lookup(other).take(np.maximum(chosen, 0))
        return Values(values.data, values.null | (chosen < 0))

    def _maybe_null(self, values: Values, share: float, name: str) -> Values:
        if not share:
            return values
        absent = self.generator(name, "null").random(len(values)) < share
        return Values(values.data, values.null | absent)

    def _subset(self, rows: Array) -> Any:
        return lambda name: self.lookup(name).take(rows)


def own_key(plan: FillPlan, table: TablePlan) -> str | None:
    """The column that is computed from the row number, first of the primary key's own."""
    key = table.table.primary_key
    own = [c for c in key.columns if c != plan.tenant_column] if key else []
    if not own or base_type(table.table.columns[own[0]].type, plan.catalog) not in _KEY_TYPES:
        return None
    recipe = table.recipe.columns.get(own[0], {})
    refers = table.reference_of(own[0]) is not None and not recipe.keys() - PARENT_CHOICE
    return None if refers or recipe.keys() & {"expression", "default"} else own[0]


def _skewed(rng: np.random.Generator, parents: int, rows: int, exponent: float | None) -> Array:
    """Parent rows: each equally likely, or the first ones more so by a power law."""
    if exponent is None:
        return rng.integers(0, parents, rows)
    weights = 1 / np.arange(1, parents + 1) ** exponent
    reached = np.cumsum(weights) / weights.sum()
    return np.searchsorted(reached, rng.random(rows)).clip(0, parents - 1)


def _spread(rows: Array, total: int, cohort: Cohort, plan: FillPlan) -> Values:
    """Moments that rise with the row number, as rows are made one after the other."""
    reached = (cohort.index + rows / max(total, 1)) / cohort.of
    end = np.datetime64(plan.settings.as_of.replace(tzinfo=None), "us")
    window = keys.WINDOW.total_seconds() * 1e6
    return of(end - ((1 - reached) * window).astype("timedelta64[us]"))


def _subsets(request: Request, elements: list[Any]) -> Values:
    """Arrays of one to three of the elements."""
    counts = request.rng.integers(1, min(len(elements), 3) + 1, request.rows)
    picked = [request.rng.permutation(len(elements))[:count] for count in counts]
    return of(objects([[elements[i] for i in sorted(some)] for some in picked]))


def _texts(values: list[Any]) -> Array:
    pool = np.empty(len(values), object)
    pool[:] = values
    return pool
