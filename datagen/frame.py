"""The rows of one table for one tenant, made column by column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from datagen import keys, literals, references, windows
from datagen.apart import number_of
from datagen.draw import draw
from datagen.expression import UnknownExpression, compile_expression
from datagen.fitting import fitted
from datagen.generators import base_type, choose, underlying
from datagen.generators.jsonb import of_kind
from datagen.marking import marked
from datagen.matching import matching
from datagen.part import Cohort, Part
from datagen.plan import KEY_TYPES, FillPlan, Reference, TablePlan
from datagen.pools import Pools
from datagen.request import Request
from datagen.tenants import Tenant
from datagen.values import Array, Values, constant, nulls, objects, of
from harness.catalog.model import Column, Name
from harness.errors import HarnessError

NULL_SHARE = 0.15
"""Of a nullable column that nothing else is known about."""
KEEP_NULL = (0.4, 0.4, 0.9, 0.1)
"""Shares of the fresh values of a nullable column that are NULL, in turn: some checks want
almost all columns to be NULL, others almost none."""
PARENT_CHOICE = {"null", "zipf", "block", "among"}
"""Modifiers of how a foreign key's parent is chosen."""
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
    """Parent row of each row by foreign key; `~row` where it is NULL."""
    attempt: int = 0
    doubtful: set[str] = field(default_factory=set)
    """Columns of domains whose generator does not know what the domain's checks say."""
    missed: dict[str, int] = field(default_factory=dict)
    """How many rows could not be made, by what stood against them."""
    numbered: int = 0
    """Rows that were laid out, those with them that could not be mended and were left out."""

    def keep(self, rows: Array) -> None:
        """Leaves only these rows."""
        self.made = {name: values.take(rows) for name, values in self.made.items()}
        self.chosen = {key: chosen[rows] for key, chosen in self.chosen.items()}
        self.ordinal, self.siblings = self.ordinal[rows], self.siblings[rows]
        if self.block_parent is not None:
            self.block_parent = self.block_parent[rows]
        self.rows = len(rows)

    def column(self, name: str) -> Values:
        """A column's values, made now if they were not yet."""
        if name not in self.made:
            values = self.make(name, np.arange(self.rows))
            column = self.table.table.columns[name]
            self.made[name] = marked(self.table, column, values, self.tenant)
        return self.made[name]

    def lookup(self, name: str) -> Values:
        """What an expression may mention: columns, `row`, `ordinal`, `siblings`, `as_of`,
        `tenant.attribute` and `foreign_key_column.column_of_the_parent`."""
        if name in self.table.table.columns:
            return self.column(name)
        first, dot, rest = name.partition(".")
        if first == "tenant" and dot:
            value = getattr(self.tenant, rest)
            return constant(value if isinstance(value, int | float) else str(value), self.rows)
        if dot:
            return self._of_parent(first, rest)
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
        if name == self.table.tenant_column:
            return constant(self._tenant_value(column), len(rows))
        if column.generated is not None:
            return self._computed(column.generated, rows)
        if recipe and recipe.get("default"):
            return self._database_default(column, rows)
        if recipe and "expression" in recipe:
            whole = compile_expression(recipe["expression"]).evaluate(self.lookup, self.rows)
            return self._maybe_null(whole.take(rows), recipe.get("null", 0), name)
        if reference is not None and not (recipe and set(recipe) - PARENT_CHOICE):
            return self._from_parent(reference, name, rows)
        if name == self.table.key:
            return self._keys(column, rows)
        if recipe and set(recipe) - {"null"}:
            values = draw(recipe, self.request(column, rows), self._subset(rows))
            return self._maybe_null(values, recipe.get("null", 0), name)
        share = recipe["null"] if recipe else (0 if column.not_null else NULL_SHARE)
        if share >= 1:
            return nulls(len(rows))
        return self._maybe_null(self._inferred(column, rows), share, name)

    def request(self, column: Column, rows: Array) -> Request:
        """What a generator is asked for."""
        low, high = self.table.told.bounds.get(column.name, (None, None))
        uniques = [unique for unique in self.table.uniques if column.name in unique.columns]
        tenants = self.plan.settings.tenants
        return Request(
            row_numbers=self.part.first + rows,
            cohort=self.part.cohort,
            rng=self.generator(column.name),
            tenant=self.tenant,
            pools=self.pools,
            as_of=self.plan.settings.as_of,
            name=column.name,
            unique=bool(uniques) and high is None,
            across=tenants if any(u.across and u.columns == (column.name,) for u in uniques) else 0,
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
        request, told = self.request(column, rows), self.table.told
        if column.name in self.table.windows:
            return of(windows.draw(self.table.windows[column.name], request.rng, len(rows)))
        if column.name in told.choices:
            choices = told.choices[column.name]
            pool = np.array(choices) if isinstance(choices[0], int | float) else _texts(choices)
            return of(request.pick(pool))
        if column.name in told.elements:
            return _subsets(request, told.elements[column.name])
        if column.name in ("created_at", "updated_at") and _is_moment(column.type):
            return _spread(rows, self.rows, self.part.cohort, self.plan)
        made = self._generated(column, request)
        if column.name in told.patterns:
            made = matching(made, told.patterns[column.name], request)
        if column.name in told.moments:
            made = windows.within(made, told.moments[column.name], request.rng)
        made = self._demanded(column, made, request)
        lengths = told.lengths.get(column.name, (None, None))
        return fitted(made, underlying(column.type, self.plan.catalog), lengths, request)

    def _generated(self, column: Column, request: Request) -> Values:
        """What the generator of the column's domain, name or type makes."""
        catalog = self.plan.catalog
        if column.name in self.table.apart:
            apart = literals.spans(column.type, request, catalog)
            if apart is not None:
                return apart
        generator = choose(column, catalog)
        if column.name in self.table.told.kinds:
            return of_kind(self.table.told.kinds[column.name], request)
        if generator is not None:
            made: Values = generator.generate(request)
            return made
        texts = literals.make(column.type, request, catalog)
        if texts is not None:
            return texts
        if not column.not_null:
            return nulls(request.rows)
        raise HarnessError(
            f"{self.table.name}.{column.name}: no generator makes {column.type}; give a recipe with"
            " a value, an expression or default = true"
        )

    def _demanded(self, column: Column, made: Values, request: Request) -> Values:
        """Every other value one that a table which refers to this one asks for."""
        demanded = self.table.demanded.get(column.name)
        if not demanded or made.data.dtype != object:
            return made
        rows = np.flatnonzero(request.rng.random(len(made)) < 0.5)
        return made.put(
            rows, of(_texts(demanded)[request.rng.integers(len(demanded), size=len(rows))])
        )

    def _computed(self, expression: str, rows: Array) -> Values:
        """What the database computes of the other columns, where that can be told."""
        try:
            return compile_expression(expression).evaluate(self.lookup, self.rows).take(rows)
        except UnknownExpression:
            return nulls(len(rows))

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
        if base in KEY_TYPES:
            return self.plan.taken.get(self.plan.root, 0) + self.tenant.ordinal + 1
        return str(self.tenant.id) if self.plan.id_length >= 36 else self.tenant.short_id

    def _keys(self, column: Column, rows: Array) -> Values:
        """Time-ordered UUIDs, or integers in a range of the tenant's own."""
        wanted = self.plan.settings
        if (base := base_type(column.type, self.plan.catalog)) != "uuid":
            first = self.plan.taken.get(self.table.name, 0) + 1
            return of(self._integer_keys(base, self.part.first + rows + first))
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
        if base not in ("integer", "bigint"):
            apart: Array = number_of(numbers, self.tenant, self.plan.settings.tenants)
            return apart
        bits, width = (31, self.part.key_width) if base == "integer" else (63, _BIGINT_WIDTH)
        found: Array = self.tenant.ordinal * width + numbers
        if len(found) and found[-1] >= 1 << bits:
            raise HarnessError(f"{self.table.name}: its {base} key ends before its rows do")
        return found

    def _from_parent(self, reference: Reference, name: str, rows: Array) -> Values:
        chosen = self._choose(reference)[rows]
        column = dict(reference.columns)[name]
        parent = self.parent(reference)
        if parent is None or parent.rows == 0:
            if not reference.optional and len(rows):
                raise NoParent(f"{self.table.name}: {reference.parent} has no rows to refer to")
            return self._without_parent(name, rows)
        values = parent.column(column).take(row_of(chosen))
        absent = (chosen < 0) & (not self.table.table.columns[name].not_null)
        return Values(values.data, values.null | absent)

    def _without_parent(self, name: str, rows: Array) -> Values:
        """NULL, or where the key may not be NULL in this column any value."""
        column = self.table.table.columns[name]
        return self._inferred(column, rows) if column.not_null else nulls(len(rows))

    def parent(self, reference: Reference) -> Parent | None:
        """The rows that a foreign key refers to."""
        return self if reference.parent == self.table.name else self.parents.get(reference.parent)

    def choose_again(self, reference: Reference, rows: Array) -> None:
        """Other parents for some rows, in all columns of the foreign key."""
        whole = self._choose(reference).copy()
        whole[rows] = self._pick_parents(reference, rows)
        self.chosen[reference] = whole
        for name, _ in reference.columns:
            self.made[name] = self.column(name).put(rows, self.make(name, rows))
        for other in self.following(reference):
            self.choose_again(other, rows)

    def following(self, reference: Reference) -> list[Reference]:
        """Foreign keys that take some of their columns from this one."""
        ours = {own for own, _ in reference.columns if self.table.reference_of(own) == reference}
        others = (other for other in self.table.references if other != reference)
        return [o for o in others if any(own in ours for own, _ in o.columns)]

    def _choose(self, reference: Reference) -> Array:
        """Which parent row each row refers to, remembered for all of the key's columns."""
        if reference not in self.chosen:
            self.chosen[reference] = self._pick_parents(reference, np.arange(self.rows))
        return self.chosen[reference]

    def _pick_parents(self, reference: Reference, rows: Array) -> Array:
        """Parent rows; `~row` where the reference is NULL."""
        column = reference.columns[0][0]
        rng = self.generator(column, "parent")
        recipe = self.table.recipe.columns.get(column, {})
        per = self.table.recipe.per
        if per is not None and self.block_parent is not None and per.column == column:
            return self.block_parent[rows]
        usual = NULL_SHARE if not self.attempt else KEEP_NULL[self.attempt % len(KEEP_NULL)]
        share = recipe.get("null", usual if reference.optional else 0)
        if reference.parent == self.table.name:
            picked = np.floor(rng.random(len(rows)) * rows).astype("int64")
            usual = share if self.attempt else max(share, 0.5)
            absent = (rng.random(len(rows)) < usual) | (rows == 0)
        else:
            parent = self.parents.get(reference.parent)
            if parent is None or parent.rows == 0:
                return np.full(len(rows), -1)
            picked = references.among(rng, parent, len(rows), recipe)
            if recipe.get("block"):
                picked = self._one_per_block(rng, parent.rows)[rows]
            absent = rng.random(len(rows)) < share
        picked, missing = references.agreeing(self, reference, rows, picked, rng)
        return np.where((absent | missing) & reference.optional, ~picked, picked)

    def _one_per_block(self, rng: np.random.Generator, parents: int) -> Array:
        """The same parent for all siblings of a block."""
        block = np.cumsum(self.ordinal == 0) - 1
        picked: Array = rng.integers(0, parents, self.rows)[block]
        return picked

    def _of_parent(self, column: str, other: str) -> Values:
        reference = self.table.reference_of(column)
        if reference is None:
            raise HarnessError(f"{self.table.name}: {column} is no foreign key")
        chosen = self._choose(reference)
        parent = self.parent(reference)
        if parent is None:  # a table that could not be filled; all references to it are NULL
            raise HarnessError(f"{self.table.name}: {column}: {reference.parent} has no rows")
        values = parent.lookup(other).take(row_of(chosen))
        return Values(values.data, values.null | (chosen < 0))

    def _maybe_null(self, values: Values, share: float, name: str) -> Values:
        if not share:
            return values
        absent = self.generator(name, "null").random(len(values)) < share
        return Values(values.data, values.null | absent)

    def _subset(self, rows: Array) -> Any:
        return lambda name: self.lookup(name).take(rows)


def row_of(chosen: Array) -> Array:
    """The parent row that was picked, also where the reference is NULL."""
    return np.where(chosen < 0, ~chosen, chosen)


def _is_moment(type_name: str) -> bool:
    return type_name.startswith("timestamp")


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
