"""Columns that say who somebody is: in a table of members, the key of the user.

Where policies admit rows by a table that the session's user is looked up in, as in `org_id IN
(SELECT m.org_id FROM member AS m WHERE m.user_id = user_id())`, a row of that table is the user's
by definition, whatever tenant it names. Asked about the table itself, a row of tenant B that
names the user of A would be no leak: it makes the user a member of B. Such rows are not asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from pglast import ast
from pglast.enums import A_Expr_Kind

from checks.policies import expressions, tables_read
from harness.catalog.files.expressions import walk
from harness.catalog.model import Catalog, Name
from harness.config import Tenancy


def columns(catalog: Catalog, tenancy: Tenancy) -> Mapping[Name, frozenset[str]]:
    """Of each table that policies of other tables look into, the columns that they compare with
    the session."""
    found: defaultdict[Name, frozenset[str]] = defaultdict(frozenset)
    for table, _, tree in expressions(catalog, tenancy):
        for query in walk(tree):
            if isinstance(query, ast.SelectStmt) and query.fromClause:
                for believed in tables_read(query.fromClause, catalog):
                    if believed.name != table.name:
                        named = set(_compared_with_session(query.whereClause))
                        found[believed.name] |= named & believed.columns.keys()
    return {name: named - {tenancy.column} for name, named in found.items()}


def _compared_with_session(condition: Any) -> Iterator[str]:
    """The columns that a condition sets equal to something without a column."""
    for node in walk(condition):
        if isinstance(node, ast.A_Expr) and node.kind == A_Expr_Kind.AEXPR_OP:
            for side, other in ((node.lexpr, node.rexpr), (node.rexpr, node.lexpr)):
                if isinstance(side, ast.ColumnRef) and _is_of_session(other):
                    yield side.fields[-1].sval


def _is_of_session(node: Any) -> bool:
    parts = list(walk(node))
    told = (ast.FuncCall, ast.SQLValueFunction)
    return any(isinstance(part, told) for part in parts) and not any(
        isinstance(part, ast.ColumnRef) for part in parts
    )
