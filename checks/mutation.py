"""A mutation: one planted fault, as SQL on one table; and the operators that plant them.

An operator is one module of checks.mutations: its name is the operator's, its docstring says what
is wrong afterwards, `plant` gives the SQL for a table or None where the fault cannot be planted
there (a table without a second column of the tenant's type has no wrong column to compare).
RULES names the rules that are about the fault: a finding of another rule does not count. HAZARD
is its number among the ways in which isolation fails (benchmarks/README.md), where it is one.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from string import Formatter
from typing import LiteralString

from psycopg import sql

from checks import mutations
from checks.wording import tenant_predicate
from harness.catalog.model import Column, Table
from harness.config import Roles, Tenancy


@dataclass(frozen=True, slots=True)
class Subject:
    """The table that a fault is planted in, with the words that SQL about it needs."""

    table: Table
    tenancy: Tenancy
    roles: Roles

    def compose(self, template: LiteralString) -> sql.Composed | None:
        """The SQL of a template; None where the table lacks what a name in it stands for.

        {table}, {schema}, {new} (a name that is free), {tenant} (the column), {policy},
        {predicate} (what policies should say), {setting}, {context} (its literal), {type} (of the
        tenant's column), {key} (a unique column), {text} (a column of text), {twin} (another
        column of the tenant's type), {key_type}, {protected} (row security, policy and grants of
        {new}), {app}, {owner}, {loader}.
        """
        parts = self._parts()
        return _filled(template, {**parts, "protected": _filled(_PROTECTED, parts)})

    def _parts(self) -> Mapping[str, sql.Composable | None]:
        table, tenancy = self.table, self.tenancy
        policy = next(iter(table.policies), None)
        tenant = table.columns.get(tenancy.column)
        key = self._column(lambda c: c.name in _key(table))
        return {
            "table": table.name.identifier,
            "schema": sql.Identifier(table.name.schema),
            "new": sql.Identifier(table.name.schema, "harness_mutant"),
            "name": sql.Identifier("harness_mutant"),
            "tenant": sql.Identifier(tenancy.column) if tenant else None,
            "policy": sql.Identifier(policy.name) if policy else None,
            "predicate": sql.SQL(_literal(tenant_predicate(tenancy))),
            "context": sql.SQL(_literal(tenancy.current_tenant)),
            "setting": sql.Literal(tenancy.setting),
            "setting_name": sql.SQL(_literal(tenancy.setting)),
            "type": sql.SQL(_literal(tenant.type)) if tenant else None,
            "key": _identifier(key),
            "key_type": sql.SQL(_literal(key.type)) if key else None,
            "text": _identifier(self._column(lambda c: c.type == "text" and not c.generated)),
            "twin": _identifier(
                self._column(lambda c: tenant is not None and c.type == tenant.type)
            ),
            "app": sql.Identifier(self.roles.app),
            "owner": sql.Identifier(self.roles.owner),
            "loader": sql.Identifier(self.roles.loader),
        }

    def _column(self, fits: Callable[[Column], bool]) -> Column | None:
        """The first column beside the tenant's that fits."""
        others = (c for c in self.table.columns.values() if c.name != self.tenancy.column)
        return next((column for column in others if fits(column)), None)


_PROTECTED: LiteralString = (
    "ALTER TABLE {new} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; "
    "CREATE POLICY tenant_isolation ON {new} USING ({predicate}); "
    "GRANT SELECT, INSERT, UPDATE, DELETE ON {new} TO {app}"
)


def _filled(
    template: LiteralString, parts: Mapping[str, sql.Composable | None]
) -> sql.Composed | None:
    """The template with the parts it names; None where one of them is missing."""
    asked = {name for _, name, _, _ in Formatter().parse(template) if name}
    wanted = {name: parts.get(name) for name in asked}
    return None if None in wanted.values() else sql.SQL(template).format(**wanted)


@dataclass(frozen=True, slots=True)
class Operator:
    """A way to plant a fault."""

    name: str
    fault: str
    plant: Callable[[Subject], sql.Composed | None]
    rules: tuple[str, ...]
    """The rules that are about the fault; where there are none, a finding of any rule counts."""
    hazard: str = ""
    """Its number among the ways in which isolation fails, such as H13."""


@cache
def operators() -> tuple[Operator, ...]:
    """All operators by name, found by walking their package."""
    names = sorted(module.name for module in pkgutil.iter_modules(mutations.__path__))
    return tuple(map(_operator, names))


def _operator(name: str) -> Operator:
    module = importlib.import_module(f"checks.mutations.{name}")
    return Operator(
        name,
        fault=inspect.cleandoc(module.__doc__ or "").partition("\n")[0],
        plant=module.plant,
        rules=getattr(module, "RULES", ()),
        hazard=getattr(module, "HAZARD", ""),
    )


def _identifier(column: Column | None) -> sql.Identifier | None:
    return sql.Identifier(column.name) if column else None


def _key(table: Table) -> tuple[str, ...]:
    return table.primary_key.columns if table.primary_key else ()


def _literal(text: str) -> LiteralString:
    """SQL that the settings or the catalog spell; whoever writes them owns the database."""
    return text
