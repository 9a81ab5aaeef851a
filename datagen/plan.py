"""From a catalog and recipes to a plan: tables in foreign-key order, and how each is made."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from datagen import constraints, marking, moment, volume
from datagen.constraints import Check, Told, Unique, by_name
from datagen.expression import compile_expression
from datagen.expression.analysis import literal
from datagen.generators import base_type, underlying
from datagen.ownership import owned, tenant_column
from datagen.recipe import BUNDLED, Recipe, Recipes, read_all
from datagen.taken import Taken
from datagen.tenants import SKEW
from datagen.windows import Window, of_partitions
from harness.catalog.model import Catalog, Column, Constraint, Name, Table
from harness.catalog.parsing import unvalidated
from harness.config import Settings, Tenancy
from harness.errors import UsageError

Mode = Literal["live", "fast"]
"""With everything on; or with secondary indexes and foreign keys made after loading."""
_TEXT_LIMIT = re.compile(r"char.*\((\d+)\)")
KEY_TYPES = ("uuid", "bigint", "integer", "smallint", "numeric")


@dataclass(frozen=True, slots=True)
class RowCount:
    """How many rows a table is to have: `exactly` so many, all tenants together, which get
    them by their sizes; or so many times as many as it would have."""

    table: Name
    exactly: int | None = None
    factor: float = 1


@dataclass(frozen=True, slots=True)
class FillSettings:
    """How much, from which seed, and what day it is in the data."""

    tenants: int
    scale: float
    """What multiplies the rows of recipes; found anew where `total` is given."""
    seed: int
    as_of: datetime
    recipes_dir: Path = BUNDLED
    mode: Mode = "live"
    """Both make the same rows."""
    cohort_rows: int = 500_000
    """A tenant's rows are made in cohorts of no more, see datagen.cohorts."""
    skew: float = SKEW
    rows: tuple[RowCount, ...] = ()
    total: int | None = None
    """Rows in all, about; the scale is what gives so many."""

    def rows_of(self, table: Name) -> RowCount | None:
        """What is asked of a table's rows."""
        return next((count for count in reversed(self.rows) if count.table == table), None)


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key without the tenant: columns of the table to columns of the parent."""

    parent: Name
    columns: tuple[tuple[str, str], ...]
    optional: bool
    """Whether a column may be NULL."""


@dataclass(frozen=True)
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
        return self._reference_of.get(column)

    @cached_property
    def _reference_of(self) -> dict[str, Reference]:
        found: dict[str, Reference] = {}
        for reference in self.references:
            for column, _ in reference.columns:
                found.setdefault(column, reference)
        return found

    @cached_property
    def free(self) -> frozenset[str]:
        """Columns that hold what somebody wrote, and nothing compares them."""
        return frozenset(c.name for c in self.table.columns.values() if marking.is_free(self, c))


@dataclass(frozen=True, slots=True)
class FillPlan:
    """Tables in the order in which they are filled."""

    tables: tuple[TablePlan, ...]
    catalog: Catalog
    settle: tuple[tuple[str, str], ...]
    root: Name
    tenant_column: str
    settings: FillSettings
    industries: Mapping[str, str] = field(default_factory=dict)
    """Schemas that belong to one industry."""
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


@unvalidated()
def plan(
    catalog: Catalog,
    settings: Settings,
    fill_settings: FillSettings,
    taken: Taken = MappingProxyType({}),
) -> FillPlan:
    """The plan, its scale found where a total is asked for; `taken` are the tables that hold rows
    already. UsageError where a recipe does not fit the catalog, or what is asked of a table's rows
    does not fit the table."""
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
    settle = tuple((file, moment.dated(text, catalog)) for file, text in recipes.settle)
    made = FillPlan(
        tables=plans,
        catalog=catalog,
        settle=(*settle, *_canaries(plans, tenancy)),
        root=Name.parse(tenancy.root_table),
        tenant_column=tenancy.column,
        settings=fill_settings,
        industries=recipes.industries,
        taken=taken,
        id_length=_id_length(plans, catalog),
    )
    for count in fill_settings.rows:
        _require_fillable(count.table, made)
    if fill_settings.total is not None:
        scale = volume.scale_for(made, fill_settings.total)
        made = replace(made, settings=replace(fill_settings, scale=scale))
    return replace(made, fingerprint=_fingerprint(plans, recipes, made.settings))


def _canaries(plans: Sequence[TablePlan], tenancy: Tenancy) -> Iterator[tuple[str, str]]:
    """Statements that come after all others, where there is anything for them to do; triggers may
    ask whose session it is."""
    if text := marking.statements(plans):
        yield "canaries", f"{tenancy.set_tenant.replace('%s', '%(business_id)s')};\n{text}"


def _require_fillable(name: Name, made: FillPlan) -> None:
    """UsageError where no number of rows can be asked of a table."""
    table = next((t for t in made.tables if t.name == name), None)
    if table is None:
        near = difflib.get_close_matches(str(name), [str(t.name) for t in made.tables], 1)
        raise UsageError(
            f"--rows {name}: there is no such table" + (f"; did you mean {near[0]}?" * bool(near))
        )
    if name == made.root:
        raise UsageError(f"--rows {name}: it has a row per tenant; give --tenants")
    if table.recipe.rows == 0 and table.recipe.per is None:
        raise UsageError(
            f"--rows {name}: its rows follow from those of other tables; ask for more of those"
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
    what = [
        repr(
            (p.table.columns, by_name(p.table.constraints), replace(p.recipe, source=""), p.shared)
        )
        for p in plans
    ]  # wherever the recipes lie
    what += [repr(recipes.settle), f"{wanted.seed} {wanted.scale} {wanted.as_of} {wanted.skew}"]
    what += [repr((recipes.industries, wanted.rows, wanted.cohort_rows))]
    exactly = any(count.exactly is not None for count in wanted.rows)
    if exactly or any(unique.across for p in plans for unique in p.uniques):
        what.append(str(wanted.tenants))  # they share the rows, or differ from each other
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
