"""What the expressions of policies mention: tables, functions, columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pglast import ast

from checks.subjects import isolated
from harness.catalog.files.expressions import parse, walk
from harness.catalog.model import Catalog, Function, Policy, Table
from harness.config import Tenancy


def expressions(catalog: Catalog, tenancy: Tenancy) -> Iterator[tuple[Table, Policy, Any]]:
    """The tree of each USING and WITH CHECK of the tables that keep tenants apart."""
    for table in isolated(catalog, tenancy):
        for policy in table.policies:
            for text in (policy.using, policy.check):
                if text is not None:
                    yield table, policy, parse(text)


def tables_read(tree: Any, catalog: Catalog) -> Iterator[Table]:
    """The tables that an expression reads; one without a schema is found by its name alone."""
    for node in walk(tree):
        if isinstance(node, ast.RangeVar):
            for table in catalog.tables.values():
                if table.name.name == node.relname and node.schemaname in (None, table.name.schema):
                    yield table


def functions_called(tree: Any, catalog: Catalog) -> Iterator[tuple[Any, Function]]:
    """The functions of the catalog that an expression calls, each with its call."""
    for node in walk(tree):
        if isinstance(node, ast.FuncCall):
            name = [part.sval for part in node.funcname]
            candidates = catalog.functions_by_name.get(name[-1], ())
            yield from ((node, f) for f in candidates if name[-2:-1] in ([], [f.name.schema]))


def once_per_statement(tree: Any) -> frozenset[int]:
    """The nodes inside (SELECT …) that PostgreSQL computes once and not for every row."""
    inside: set[int] = set()
    for node in walk(tree):
        if isinstance(node, ast.SubLink):
            inside |= {id(below) for below in walk(node.subselect)}
    return frozenset(inside)
