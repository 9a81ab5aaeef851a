"""A column in a subquery of a policy is the one that was meant.

Inside EXISTS (SELECT … FROM m WHERE m.business_id = business_id) the second name is m's as well:
the nearest table wins, the comparison is always true, and one row of m opens everything. Qualify
the name with the policy's own table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pglast import ast
from pglast.enums import A_Expr_Kind

from checks.policies import expressions
from checks.rule import Violation
from harness.catalog.files.expressions import walk
from harness.catalog.model import Catalog, Name
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.member (business_id uuid NOT NULL, user_id uuid NOT NULL);
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (EXISTS (
    SELECT FROM auto.member AS m WHERE m.business_id = bay.business_id));
"""
BAD = (
    """
CREATE TABLE auto.member (business_id uuid NOT NULL, user_id uuid NOT NULL);
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (EXISTS ( -- here
    SELECT FROM auto.member AS m WHERE m.business_id = business_id));
""",
    """
CREATE TABLE auto.member (business_id uuid NOT NULL, user_id uuid NOT NULL);
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (EXISTS ( -- here
    SELECT FROM auto.member AS m WHERE m.business_id = m.business_id AND m.user_id IS NULL));
""",
)


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table, policy, tree in expressions(catalog, tenancy):
        for query in walk(tree):
            if isinstance(query, ast.SelectStmt):
                for column in _compared_with_itself(query, catalog):
                    yield Violation(
                        str(table.name),
                        f"policy {policy.name} on {table.name} compares {column} with itself",
                        policy.location,
                        f"{table.name.name}.{column.rpartition('.')[2]}",
                    )


def _compared_with_itself(query: Any, catalog: Catalog) -> Iterator[str]:
    read = {
        _called(node): _columns(node, catalog)
        for node in walk(query.fromClause)
        if isinstance(node, ast.RangeVar)
    }
    for node in walk(query.whereClause):
        if isinstance(node, ast.A_Expr) and node.kind == A_Expr_Kind.AEXPR_OP:
            left, right = _meant(node.lexpr, read), _meant(node.rexpr, read)
            if left is not None and left == right:
                yield left


def _called(relation: Any) -> str:
    return str(relation.alias.aliasname if relation.alias else relation.relname)


def _columns(relation: Any, catalog: Catalog) -> frozenset[str]:
    table = catalog.tables.get(Name(relation.schemaname or "public", relation.relname))
    return frozenset(table.columns) if table else frozenset()


def _meant(node: Any, read: dict[str, frozenset[str]]) -> str | None:
    """The column of a table of the subquery that a name means there."""
    if not isinstance(node, ast.ColumnRef):
        return None
    names = [getattr(part, "sval", "*") for part in node.fields]
    if len(names) > 1:
        return ".".join(names[-2:]) if names[-2] in read else None
    owner = next((relation for relation, columns in read.items() if names[0] in columns), None)
    return f"{owner}.{names[0]}" if owner else None
