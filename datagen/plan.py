"""From a catalog and recipes to a plan: tables in foreign-key order, and how each is made."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from datagen.expression import Expression, UnknownExpression, compile_expression
from datagen.expression.analysis import allowed_elements, allowed_values, bound, conjuncts, order
from datagen.recipe import BUNDLED, Recipe, Recipes, read_all
from harness.catalog.model import Catalog, Column, Constraint, Name, Table
from harness.catalog.parsing import unvalidated
from harness.config import Settings

_EXCLUDED = re.compile(r"(\w+) WITH =")
_EXCLUDED_WHERE = re.compile(r"WHERE \((.*)\)\s*$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FillSettings:
    """How much, from which seed, and what day it is in the data."""

    tenants: int
    scale: float
    seed: int
    as_of: datetime
    recipes_dir: Path = BUNDLED
    cohort_rows: int = 500_000
    """A tenant's rows are made in cohorts of no more, see datagen.cohorts."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key without the tenant: columns of the table to columns of the parent."""

    parent: Name
    columns: tuple[tuple[str, str], ...]
    optional: bool
    """Whether a column may be NULL."""


@dataclass(frozen=True, slots=True, eq=False)
class Unique:
    """Columns, without the tenant, that are distinct where the predicate holds."""

    name: str
    columns: tuple[str, ...]
    predicate: Expression | None = None
    nulls_equal: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """A CHECK that can be evaluated; `swap` are two columns whose exchange may mend it."""

    name: str
    expression: Expression
    swap: tuple[str, str] | None = None
    by_construction: bool = False
    """A closed list whose column is drawn from it."""


@dataclass(frozen=True, slots=True)
class TablePlan:
    """All that is known about a table."""

    table: Table
    recipe: Recipe
    columns: tuple[Column, ...]
    """Columns that are loaded."""
    references: tuple[Reference, ...]
    uniques: tuple[Unique, ...]
    checks: tuple[Check, ...]
    choices: dict[str, list[Any]]
    elements: dict[str, list[Any]]
    """What an array column may hold."""
    bounds: dict[str, tuple[float | None, float | None]]
    unknown: tuple[str, ...] = ()
    """CHECKs that only PostgreSQL can judge."""

    @property
    def name(self) -> Name:
        """The table's name."""
        return self.table.name

    def reference_of(self, column: str) -> Reference | None:
        """The foreign key that a column belongs to."""
        return next((r for r in self.references if any(c == column for c, _ in r.columns)), None)


@dataclass(frozen=True, slots=True)
class FillPlan:
    """Tables in the order in which they are filled."""

    tables: tuple[TablePlan, ...]
    catalog: Catalog
    settle: tuple[tuple[str, str], ...]
    root: Name
    tenant_column: str
    settings: FillSettings
    fingerprint: str = field(default="")
    """Two fills with the same one make the same rows."""


def plan(catalog: Catalog, settings: Settings, fill_settings: FillSettings) -> FillPlan:
    """The plan; UsageError where a recipe does not fit the catalog."""
    recipes = read_all(fill_settings.recipes_dir, catalog)
    tenant = settings.tenancy.column
    tables = [t for t in catalog.tables.values() if t.partition_of is None]
    with unvalidated():
        plans = tuple(_table_plan(t, tenant, recipes, catalog) for t in _in_order(tables, tenant))
    return FillPlan(
        tables=plans,
        catalog=catalog,
        settle=recipes.settle,
        root=Name.parse(settings.tenancy.root_table),
        tenant_column=tenant,
        settings=fill_settings,
        fingerprint=_fingerprint(plans, recipes, fill_settings),
    )


def _fingerprint(plans: Sequence[TablePlan], recipes: Recipes, wanted: FillSettings) -> str:
    what = [repr((p.table.columns, p.table.constraints, p.recipe)) for p in plans]
    what += [
        repr(recipes.settle),
        f"{wanted.seed} {wanted.scale} {wanted.as_of} {wanted.cohort_rows}",
    ]
    return hashlib.sha256("\0".join(what).encode()).hexdigest()[:16]


def _in_order(tables: Sequence[Table], tenant: str) -> Iterator[Table]:
    """Parents before children. In a cycle the table whose open references are all optional goes
    first: its foreign keys to later tables stay NULL."""
    left = {table.name: table for table in tables}
    while left:
        ready = [t for t in left.values() if not _open(t, left, tenant, required_only=False)]
        if not ready:
            ready = [t for t in left.values() if not _open(t, left, tenant, required_only=True)]
            ready = ready[:1] or [next(iter(left.values()))]
        for table in ready:
            yield left.pop(table.name)


def _open(table: Table, left: dict[Name, Table], tenant: str, required_only: bool) -> bool:
    return any(
        reference.parent in left and reference.parent != table.name
        for reference in _references(table, tenant)
        if not (required_only and reference.optional)
    )


def _references(table: Table, tenant: str) -> Iterator[Reference]:
    for key in table.foreign_keys:
        pairs = tuple(
            (own, other)
            for own, other in zip(key.columns, key.referenced_columns, strict=True)
            if own != tenant
        )
        assert key.references is not None  # noqa: S101 - a foreign key has a target
        optional = any(not table.columns[own].not_null for own, _ in pairs)
        yield Reference(key.references, pairs, optional)


def _table_plan(table: Table, tenant: str, recipes: Recipes, catalog: Catalog) -> TablePlan:
    recipe = recipes.tables.get(table.name, Recipe())
    checks, unknown = _checks(table, recipe)
    choices = {
        column.name: list(catalog.enums[Name.parse(column.type)])
        for column in table.columns.values()
        if Name.parse(column.type) in catalog.enums
    }
    elements: dict[str, list[Any]] = {}
    bounds: dict[str, tuple[float | None, float | None]] = {}
    for check in checks:
        for part in conjuncts(check.expression):
            if (listed := allowed_values(part)) is not None:
                choices[listed[0]] = listed[1]
            if (listed := allowed_elements(part)) is not None:
                elements[listed[0]] = listed[1]
            for column, operator, number in bound(part):
                bounds[column] = _narrowed(bounds.get(column, (None, None)), operator, number)
    return TablePlan(
        table=table,
        recipe=recipe,
        columns=tuple(c for c in table.columns.values() if _is_loaded(c, recipe)),
        references=tuple(r for r in _references(table, tenant) if r.columns),
        uniques=tuple(_uniques(table, tenant)),
        checks=checks,
        choices=choices,
        elements=elements,
        bounds=bounds,
        unknown=unknown,
    )


def _is_loaded(column: Column, recipe: Recipe) -> bool:
    if column.generated is not None or column.identity == "always":
        return False
    return not recipe.columns.get(column.name, {}).get("default", False)


def _checks(table: Table, recipe: Recipe) -> tuple[tuple[Check, ...], tuple[str, ...]]:
    checks, unknown = [], []
    for constraint in table.checks:
        try:
            expression = compile_expression(constraint.expression or "true")
        except UnknownExpression:
            unknown.append(constraint.name)
        else:
            listed = allowed_values(expression.node)
            drawn = listed is not None and listed[0] not in recipe.columns
            checks.append(Check(constraint.name, expression, order(expression.node), drawn))
    return tuple(checks), tuple(unknown)


def _narrowed(
    known: tuple[float | None, float | None], operator: str, number: float
) -> tuple[float | None, float | None]:
    low, high = known
    if operator in (">", ">=", "="):
        number = number + 1 if operator == ">" else number
        low = number if low is None else max(low, number)
    if operator in ("<", "<=", "="):
        number = number - 1 if operator == "<" else number
        high = number if high is None else min(high, number)
    return low, high


def _uniques(table: Table, tenant: str) -> Iterator[Unique]:
    for constraint in table.constraints:
        if constraint.kind in ("primary key", "unique"):
            columns = tuple(c for c in constraint.columns if c != tenant)
            yield Unique(constraint.name, columns, None, constraint.nulls_not_distinct)
        elif constraint.kind == "exclude":
            yield from _excluded(constraint, tenant)
    for index in table.indexes:
        columns = tuple(c for c in index.columns if c != tenant)
        if index.unique and all(c in table.columns for c in columns):
            predicate = _predicate(index.predicate)
            yield Unique(index.name, columns, predicate, index.nulls_not_distinct)


def _excluded(constraint: Constraint, tenant: str) -> Iterator[Unique]:
    """An exclusion constraint holds when its equal columns are distinct."""
    definition = constraint.expression or ""
    columns = tuple(c for c in _EXCLUDED.findall(definition) if c != tenant)
    where = _EXCLUDED_WHERE.search(definition)
    yield Unique(constraint.name, columns, _predicate(where[1] if where else None))


def _predicate(text: str | None) -> Expression | None:
    try:
        return compile_expression(text) if text else None
    except UnknownExpression:
        return None
