"""The same schema read from its files and from the database it was deployed to is the same.

This is what the static check stands on: it judges what the files say, so they must be read as
PostgreSQL reads them, down to the names that it chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from checks import static
from harness.catalog import files, live
from harness.catalog.files.expressions import canonical
from harness.catalog.model import Catalog, Constraint, Domain, Function, Table, View
from harness.config import Settings
from harness.db import Target, connect


@pytest.fixture(scope="module")
def both(deployed: Target, settings: Settings) -> tuple[Catalog, Catalog]:
    """The catalog of the files and the one of the database."""
    source = files.read(static.read_texts([settings.schema_dir]), settings.partition_functions)
    assert source.problems == ()
    with connect(deployed.admin) as connection:
        return source.catalog, live.read(connection)


def columns(table: Table) -> Any:
    return [
        (c.name, c.type, c.not_null, c.identity, bool(c.default), bool(c.generated), c.comment)
        for c in table.columns.values()
    ]


def constraints(table: Table) -> Any:
    return {_constraint(c) for c in table.constraints} if table.partition_of is None else None


def indexes(table: Table) -> Any:
    """An index has a comment in the database only where it has one with COMMENT ON INDEX."""
    if table.partition_of is not None:
        return None
    return {
        (i.name, len(i.columns), i.columns[0], i.unique, bool(i.predicate), i.method)
        for i in table.indexes
    }


def policies(table: Table) -> Any:
    return {
        (p.name, p.permissive, p.command, p.roles, canonical(p.using or ""), p.check)
        for p in table.policies
    }


def triggers(table: Table) -> Any:
    """A partition has a copy of each trigger of its parent, which no file mentions."""
    if table.partition_of is not None:
        return None
    return {(t.name, t.timing, t.events, t.level, t.function, t.arguments) for t in table.triggers}


def grants(table: Table) -> Any:
    """A column privilege is one of each column, however many a GRANT names."""
    return {(g.role, g.privileges, c) for g in table.grants for c in g.columns or ("",)}


def facts(table: Table) -> Any:
    return (
        table.row_security,
        table.force_row_security,
        table.partition_by,
        table.partition_of,
        table.comment,
    )


@pytest.mark.parametrize(
    "aspect", [columns, constraints, indexes, policies, triggers, grants, facts]
)
def test_tables_are_the_same(both: tuple[Catalog, Catalog], aspect: Callable[[Table], Any]) -> None:
    written, deployed = both
    made_at_deploy = {name for name, table in deployed.tables.items() if table.partition_of}
    assert written.tables.keys() | made_at_deploy == deployed.tables.keys()
    assert {str(name): aspect(table) for name, table in written.tables.items()} == {
        str(name): aspect(deployed.tables[name]) for name in written.tables
    }


def test_views_are_the_same(both: tuple[Catalog, Catalog]) -> None:
    def aspect(view: View) -> Any:
        # Deploy itself lets the owner of the schema read what it handed over.
        granted = {(g.role, g.privileges) for g in view.grants if g.role != "app_owner"}
        return view.materialized, dict(view.options), granted, view.comment

    written, deployed = both
    assert {str(n): aspect(v) for n, v in written.views.items()} == {
        str(n): aspect(v) for n, v in deployed.views.items()
    }


def test_functions_are_the_same(both: tuple[Catalog, Catalog]) -> None:
    def aspect(function: Function) -> Any:
        return (
            function.language,
            function.returns,
            function.security_definer,
            function.volatility,
            function.leakproof,
            tuple(setting.lower() for setting in function.settings),
            function.comment,
        )

    written, deployed = both
    assert {f.signature: aspect(f) for f in written.functions} == {
        f.signature: aspect(f) for f in deployed.functions
    }


def test_domains_are_the_same(both: tuple[Catalog, Catalog]) -> None:
    def aspect(domain: Domain) -> Any:
        return domain.base_type, domain.not_null, len(domain.checks), domain.comment

    written, deployed = both
    assert {str(n): aspect(d) for n, d in written.domains.items()} == {
        str(n): aspect(d) for n, d in deployed.domains.items()
    }


def _constraint(constraint: Constraint) -> Any:
    """PostgreSQL lists the columns of a CHECK by their position, and no expressions."""
    plain = tuple(column for column in constraint.columns if "(" not in column)
    return (
        constraint.name,
        constraint.kind,
        tuple(sorted(plain)) if constraint.kind == "check" else plain,
        constraint.references,
        constraint.referenced_columns,
        constraint.on_delete,
        constraint.on_update,
        constraint.deferrable,
        constraint.operators,
        constraint.nulls_not_distinct,
    )
