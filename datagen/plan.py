"""From a catalog and recipes to a plan: tables in foreign-key order, and how each is made."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from datagen import constraints
from datagen.constraints import Check, Told, Unique
from datagen.expression import compile_expression
from datagen.expression.analysis import literal
from datagen.generators import base_type, underlying
from datagen.ownership import owned, tenant_column
from datagen.recipe import BUNDLED, Recipe, Recipes, read_all
from datagen.taken import Taken
from datagen.windows import Window, of_partitions
from harness.catalog.model import Catalog, Column, Constraint, Name, Table
from harness.config import Settings, Tenancy
from harness.errors import UsageError

_TEXT_LIMIT = re.compile(r"char.*\((\d+)\)")
KEY_TYPES = ("uuid", "bigint", "integer", "smallint", "numeric")


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
    told: Told
    """What checks say about single columns."""
    windows: dict[str, list[Window]] = field(default_factory=dict)
    """Where the values of a partition key lie, a window for each partition."""
    demanded: dict[str, list[Any]] = field(default_factory=dict)
    """Values that tables which refer to this one ask for, by column."""
    apart: frozenset[str] = frozenset()
    """Columns of ranges that may not overlap."""
    unknown: tuple[str, ...] = ()
    """CHECKs that only PostgreSQL can judge."""
    cycle: tuple[Name, ...] = ()
    """Tables that come later, though a row of this one cannot be without one of theirs."""
    tenant_column: str | None = None
    """The column that tells whose a row is."""
    shared: bool = False
    """Whether its rows are everybody's, and made once."""
    key: str | None = None
    """The column of the primary key that is computed from the row's number, so that it is
    distinct; None where it refers to other tables or a recipe makes it."""

    @property
    def name(self) -> Name:
        """The table's name."""
        return self.table.name

    def reference_of(self, column: str) -> Reference | None:
        """The foreign key that a column belongs to; of several, the one of most columns."""
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
    taken: Taken = field(default_factory=dict)
    """Tables that had rows before."""
    id_length: int = 36
    """The length of a tenant's id where it is a text; every tenant column has room for it."""
    fingerprint: str = field(default="")
    """Two fills with the same one make the same rows."""

    @property
    def shared(self) -> tuple[TablePlan, ...]:
        """The tables that are filled once, before those of tenants."""
        return tuple(table for table in self.tables if table.shared)

    @property
    def owned(self) -> tuple[TablePlan, ...]:
        """The tables that are filled for every tenant."""
        return tuple(table for table in self.tables if not table.shared)


def plan(
    catalog: Catalog,
    settings: Settings,
    fill_settings: FillSettings,
    taken: Taken = MappingProxyType({}),
) -> FillPlan:
    """The plan; `taken` are the tables that hold rows already. UsageError where a recipe does not
    fit the catalog."""
    recipes = read_all(fill_settings.recipes_dir, catalog)
    tenancy = settings.tenancy
    tables = [t for t in catalog.tables.values() if t.partition_of is None]
    if not tables:
        raise UsageError("the database has no table to fill: deploy or load a schema first")
    ours = owned(tables, tenancy)
    plans = tuple(
        _table_plan(table, tenancy, recipes, catalog, ours, fill_settings.as_of)
        for table in _in_order(tables, tenancy, catalog)
    )
    plans = _with_cycles(_with_demands(plans))
    return FillPlan(
        tables=plans,
        catalog=catalog,
        settle=recipes.settle,
        root=Name.parse(tenancy.root_table),
        tenant_column=tenancy.column,
        settings=fill_settings,
        taken=taken,
        id_length=_id_length(plans, catalog),
        fingerprint=_fingerprint(plans, recipes, fill_settings),
    )


def _with_demands(plans: Sequence[TablePlan]) -> tuple[TablePlan, ...]:
    """The plans, each with the values that a closed list allows in columns that refer to it."""
    demands: dict[Name, dict[str, list[Any]]] = {}
    for table in plans:
        for reference in table.references:
            for own, other in reference.columns:
                column = table.table.columns[own]
                asked = table.told.choices.get(own) or _constant(column.generated)
                if asked and all(isinstance(value, str) for value in asked):
                    demands.setdefault(reference.parent, {}).setdefault(other, []).extend(asked)
    return tuple(replace(table, demanded=demands.get(table.name, {})) for table in plans)


def _with_cycles(plans: Sequence[TablePlan]) -> tuple[TablePlan, ...]:
    place = {table.name: number for number, table in enumerate(plans)}

    def later(table: TablePlan) -> tuple[Name, ...]:
        required = (r.parent for r in table.references if not r.optional)
        return tuple(name for name in required if place.get(name, -1) > place[table.name])

    return tuple(replace(table, cycle=later(table)) for table in plans)


def _constant(expression: str | None) -> list[Any]:
    """The one value of an expression that is a literal."""
    value = literal(compile_expression(expression).node) if expression else None
    return [] if value is None else [value]


def _id_length(plans: Sequence[TablePlan], catalog: Catalog) -> int:
    types = [
        underlying(p.table.columns[p.tenant_column].type, catalog) for p in plans if p.tenant_column
    ]
    limits = [int(found[1]) for name in types if (found := _TEXT_LIMIT.search(name))]
    return min(limits, default=36)


def _fingerprint(plans: Sequence[TablePlan], recipes: Recipes, wanted: FillSettings) -> str:
    what = [repr((p.table.columns, p.table.constraints, p.recipe, p.shared)) for p in plans]
    what += [
        repr(recipes.settle),
        f"{wanted.seed} {wanted.scale} {wanted.as_of} {wanted.cohort_rows}",
        str(wanted.tenants if any(u.across for p in plans for u in p.uniques) else ""),
    ]
    return hashlib.sha256("\0".join(what).encode()).hexdigest()[:16]


def _in_order(tables: Sequence[Table], tenancy: Tenancy, catalog: Catalog) -> Iterator[Table]:
    """Parents before children. In a cycle the table whose open references are all optional goes
    first: its foreign keys to later tables stay NULL."""
    references = {table.name: tuple(_references(table, tenancy, catalog)) for table in tables}
    left = {table.name: table for table in tables}
    while left:
        ready = [t for t in left.values() if not _open(t, left, references[t.name])]
        if not ready:
            required = {name: tuple(r for r in references[name] if not r.optional) for name in left}
            ready = [t for t in left.values() if not _open(t, left, required[t.name])]
            ready = ready[:1] or [next(iter(left.values()))]
        for table in ready:
            yield left.pop(table.name)


def _open(table: Table, left: dict[Name, Table], references: Sequence[Reference]) -> bool:
    return any(r.parent in left and r.parent != table.name for r in references)


def foreign_keys(table: Table, catalog: Catalog) -> Iterator[Constraint]:
    """The foreign keys of a table, and those that only its partitions have."""
    found = {(key.columns, key.references): key for key in table.foreign_keys}
    if table.partition_by is not None:
        for other in catalog.tables.values():
            if other.partition_of == table.name:
                for key in foreign_keys(other, catalog):
                    found.setdefault((key.columns, key.references), key)
    yield from found.values()


def _references(table: Table, tenancy: Tenancy, catalog: Catalog) -> Iterator[Reference]:
    """Foreign keys; to other tables first, and of those the ones of most columns, for the columns
    that they share are theirs."""
    tenant = tenant_column(table, tenancy)
    found = []
    for key in foreign_keys(table, catalog):
        pairs = tuple(
            (own, other)
            for own, other in zip(key.columns, key.referenced_columns, strict=True)
            if own != tenant
        )
        assert key.references is not None  # noqa: S101 - a foreign key has a target
        optional = any(not table.columns[own].not_null for own, _ in pairs)
        found.append(Reference(key.references, pairs, optional))
    yield from sorted(found, key=lambda each: (each.parent == table.name, -len(each.columns)))


def _table_plan(
    table: Table,
    tenancy: Tenancy,
    recipes: Recipes,
    catalog: Catalog,
    ours: frozenset[Name],
    as_of: datetime,
) -> TablePlan:
    recipe = recipes.tables.get(table.name, Recipe())
    tenant = tenant_column(table, tenancy)
    fixed = frozenset(recipe.columns)
    references = tuple(r for r in _references(table, tenancy, catalog) if r.columns)
    referring = frozenset(own for reference in references for own, _ in reference.columns)
    checks, unknown = constraints.checks(table, catalog, fixed | referring)
    found = TablePlan(
        table=table,
        recipe=recipe,
        columns=tuple(c for c in table.columns.values() if _is_loaded(c, recipe)),
        references=references,
        uniques=tuple(constraints.uniques(table, tenant, fixed)),
        checks=checks,
        told=constraints.told(checks, _enumerated(table, catalog), as_of),
        windows=of_partitions(catalog.partitions.get(table.name, ())),
        apart=constraints.disjoint(table) - fixed,
        unknown=unknown,
        tenant_column=tenant,
        shared=table.name not in ours,
    )
    return replace(
        found,
        key=_key(found, catalog),
        uniques=tuple(_within_tenants(found, u, ours) for u in found.uniques),
    )


def _key(table: TablePlan, catalog: Catalog) -> str | None:
    key = table.table.primary_key
    for name in key.columns if key else ():
        base = base_type(table.table.columns[name].type, catalog)
        drawn = name in table.told.choices or name in table.windows or name in table.recipe.columns
        bound = name == table.tenant_column or table.reference_of(name) is not None
        if base in KEY_TYPES and not (drawn or bound):
            return name
    return None


def _within_tenants(table: TablePlan, unique: Unique, ours: frozenset[Name]) -> Unique:
    """No other tenant can have the like where a column leads to a row of the tenant's own."""
    leads = (table.reference_of(column) for column in unique.columns)
    own = any(reference is not None and reference.parent in ours for reference in leads)
    return replace(unique, across=False) if own or table.shared else unique


def _enumerated(table: Table, catalog: Catalog) -> dict[str, list[Any]]:
    """The labels of columns whose type is an enum, or a domain over one."""
    types = {c.name: Name.parse(underlying(c.type, catalog)) for c in table.columns.values()}
    return {
        column: list(catalog.enums[name]) for column, name in types.items() if name in catalog.enums
    }


def _is_loaded(column: Column, recipe: Recipe) -> bool:
    """COPY writes identity columns, but no generated ones."""
    if column.generated is not None:
        return False
    return not recipe.columns.get(column.name, {}).get("default", False)
