"""What the fill understood of a schema, without writing anything: as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from datagen import taken, tenants, volume
from datagen.constraints import Unique
from datagen.generators import choose
from datagen.plan import FillPlan, FillSettings, Reference, TablePlan, plan
from harness.catalog import live
from harness.catalog.model import Column, Name
from harness.config import Settings
from harness.db import Target, connect
from harness.errors import UsageError


def read(database: Target, settings: Settings, wanted: FillSettings) -> FillPlan:
    """The plan of a fill of the database, which is only read."""
    with connect(database.admin) as connection:
        connection.execute("SET TRANSACTION READ ONLY")
        catalog = live.read(connection)
        return plan(catalog, settings, wanted, taken.known(connection, catalog))


def text(the_plan: FillPlan, tables: Iterable[str] = ()) -> str:
    """A table a line in the order of the fill; of named ones every column. UsageError for a name
    that is none."""
    named = [_named(the_plan, name) for name in tables]
    lines = [line for table in named for line in _detailed(the_plan, table)]
    return "\n".join(lines or [*_overview(the_plan)]) + "\n"


def as_json(the_plan: FillPlan, tables: Iterable[str] = ()) -> str:
    """The same with every column of every table, or of those that are named."""
    named = [_named(the_plan, name) for name in tables] or the_plan.tables
    order = {table.name: number for number, table in enumerate(the_plan.tables, 1)}
    told = [{"order": order[table.name], **_facts(the_plan, table)} for table in named]
    return json.dumps({"tables": told}, indent=2) + "\n"


def _named(the_plan: FillPlan, name: str) -> TablePlan:
    wanted = Name.parse(name)
    found = next((table for table in the_plan.tables if table.name == wanted), None)
    if found is None:
        raise UsageError(f"there is no table {wanted}; `harness fill --plan` lists all")
    return found


def _overview(the_plan: FillPlan) -> Iterator[str]:
    facts = [_facts(the_plan, table) for table in the_plan.tables]
    width = max(len(each["table"]) for each in facts)
    column = the_plan.tenant_column
    shared, unknown = (sum(bool(each[key]) for each in facts) for key in ("shared", "unknown"))
    yield f"{len(facts)} tables; {len(facts) - shared} for every tenant ({column}), {shared} once"
    if unknown:
        yield f"{unknown} tables have checks that only PostgreSQL can judge"
    for number, each in enumerate(facts, 1):
        yield f"{number:>5} {each['table']:<{width}} {_summary(each)}".rstrip()


def _summary(facts: dict[str, Any]) -> str:
    parts = [f"{facts['rows']:>9} rows", f"{facts['whose']:<12}"]
    parts.append(f"{len(facts['references'])} fk, {len(facts['uniques'])} unique")
    checks = f"{len(facts['checks'])} checks"
    if facts["unknown"]:
        checks += f" and {len(facts['unknown'])} of PostgreSQL alone"
    return "  ".join([*parts, checks, facts["recipe"] or "inferred", *facts["problems"]])


def _detailed(the_plan: FillPlan, table: TablePlan) -> Iterator[str]:
    facts = _facts(the_plan, table)
    how = facts["recipe"] or "inferred"
    yield f"{facts['table']}: {facts['rows']} rows, {facts['whose']}, {how}"
    for key, title in _TITLES.items():
        yield from (f"  {title} {item}" for item in facts[key])
    for name, how in facts["columns"].items():
        yield f"  {name} {table.table.columns[name].type}: {how}"


_TITLES = {
    "problems": "problem:",
    "references": "refers to",
    "uniques": "unique:",
    "checks": "check:",
    "unknown": "check of PostgreSQL alone:",
}


def _facts(the_plan: FillPlan, table: TablePlan) -> dict[str, Any]:
    """What is told of a table; `rows` are those of the largest tenant."""
    return {
        "table": str(table.name),
        "rows": _rows(the_plan, table),
        "shared": table.shared,
        "tenant_column": table.tenant_column,
        "whose": _whose(table),
        "references": [_reference(reference) for reference in table.references],
        "uniques": [_unique(unique) for unique in table.uniques],
        "checks": [check.name for check in table.checks],
        "unknown": list(table.unknown),
        "recipe": table.recipe.source,
        "problems": list(_problems(the_plan, table)),
        "columns": {c.name: _how(the_plan, table, c) for c in table.table.columns.values()},
    }


def _rows(the_plan: FillPlan, table: TablePlan) -> str:
    if table.shared and table.name in the_plan.taken:
        return "held"
    if (per := table.recipe.per) is not None:
        return f"{per.counts[0]}-{per.counts[1]} per {per.column}"
    wanted = the_plan.settings
    return str(volume.rows_of(the_plan, table, tenants.make(wanted.seed, 0, wanted.skew)))


def _whose(table: TablePlan) -> str:
    return "shared" if table.shared else table.tenant_column or "by reference"


def _reference(reference: Reference) -> str:
    own = ", ".join(column for column, _ in reference.columns)
    other = ", ".join(column for _, column in reference.columns)
    return f"{reference.parent} ({other}) by {own}" + (" or not" if reference.optional else "")


def _unique(unique: Unique) -> str:
    keys = ", ".join(key.text for key in unique.keys) or "one row"
    where = f" where {unique.predicate.text}" if unique.predicate else ""
    return f"{keys}{where}" + (", all tenants together" if unique.across else "")


def _problems(the_plan: FillPlan, table: TablePlan) -> Iterator[str]:
    if table.table.partition_by and not the_plan.catalog.partitions.get(table.name):
        yield "it has no partition"
    later = {each.name for each in the_plan.tables[the_plan.tables.index(table) + 1 :]}
    for reference in table.references:
        if reference.parent in table.cycle:
            yield f"it is in a cycle with {reference.parent}"
        elif reference.parent in later:
            yield f"its reference to {reference.parent}, which comes later, stays NULL"


def _how(the_plan: FillPlan, table: TablePlan, column: Column) -> str:
    """Where the values of a column come from."""
    recipe = table.recipe.columns.get(column.name)
    reference = table.reference_of(column.name)
    told = table.told
    if column.generated is not None:
        return "generated by the database"
    if column.name == table.tenant_column:
        return "the tenant"
    if recipe is not None:
        return "recipe: " + ", ".join(sorted(recipe))
    if reference is not None:
        return f"of a row of {reference.parent}"
    if column.name == table.key:
        return "key, computed"
    if column.name in table.windows:
        return f"in one of {len(table.windows[column.name])} partitions"
    if column.name in told.choices:
        return f"one of {len(told.choices[column.name])} values"
    if column.name in told.patterns:
        return f"matches {told.patterns[column.name]}"
    generator = choose(column, the_plan.catalog)
    return f"generator {generator.__name__.rpartition('.')[2]}" if generator else "of its type"
