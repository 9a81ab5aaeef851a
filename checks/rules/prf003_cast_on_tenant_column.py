"""A policy compares the tenant column as it is.

A cast or a function on the column keeps an index from being used: every query of a tenant reads
the rows of all. Cast the session's side. A varchar as text is no such cast: PostgreSQL itself
writes it so, and the index is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pglast import ast

from checks.policies import expressions
from checks.rule import Violation
from checks.wording import tenant_predicate
from harness.catalog.files.expressions import walk
from harness.catalog.model import Catalog, Column
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (business_id = tenant_mgmt.current_business_id());
""",
    """
CREATE TABLE auto.bay (business_id varchar(36) NOT NULL, bay_id uuid);
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (business_id::text = current_setting('app.business_id'));
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid);
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay USING (public.is_member(business_id) = true);
""",
)
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay -- here
    USING (business_id::text = current_setting('app.business_id'));
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON auto.bay -- here
    USING (lower(cast(business_id AS text)) = current_setting('app.business_id'));
""",
)


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table, policy, tree in expressions(catalog, tenancy):
        column = table.columns.get(tenancy.column)
        if column is not None and any(_wraps(side, column) for side in _compared(tree)):
            yield Violation(
                str(table.name),
                f"policy {policy.name} on {table.name} compares a cast of {tenancy.column}",
                policy.location,
                tenant_predicate(tenancy),
            )


def _compared(tree: Any) -> Iterator[Any]:
    """What is compared with something that the session says; a function that is given the column
    and answers true or false is compared with nothing."""
    for node in walk(tree):
        if isinstance(node, ast.A_Expr) and node.lexpr is not None:
            for side, other in ((node.lexpr, node.rexpr), (node.rexpr, node.lexpr)):
                if any(isinstance(n, ast.FuncCall | ast.SQLValueFunction) for n in walk(other)):
                    yield side


def _wraps(side: Any, column: Column) -> bool:
    for node in walk(side):
        casts = isinstance(node, ast.TypeCast) and not _is_free(node, column)
        if casts and _is_column(node.arg, column.name):
            return True
        if isinstance(node, ast.FuncCall) and any(_holds(a, column.name) for a in node.args or ()):
            return True
    return False


def _is_free(cast: Any, column: Column) -> bool:
    """Whether a cast changes nothing but the name of the type."""
    varying = column.type.startswith("character varying")
    return varying and cast.typeName.names[-1].sval == "text"


def _holds(node: Any, column: str) -> bool:
    return any(_is_column(each, column) for each in walk(node))


def _is_column(node: Any, column: str) -> bool:
    return isinstance(node, ast.ColumnRef) and getattr(node.fields[-1], "sval", "") == column
