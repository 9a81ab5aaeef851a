"""The tenant column has no constant default.

An INSERT that forgets the tenant would land with whichever tenant the constant names; without
a default it fails.
"""

from __future__ import annotations

from collections.abc import Iterator

from pglast import ast

from checks.rule import Violation
from checks.subjects import isolated
from checks.wording import qualified, quoted
from harness.catalog.files.expressions import parse, walk
from harness.catalog.model import Catalog
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL DEFAULT tenant_mgmt.current_business_id());
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
""",
)
BAD = (
    """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000001' -- here
);
""",
    """
CREATE TABLE auto.bay (
    business_id uuid DEFAULT CAST('00000000-0000-0000-0000-000000000001' AS uuid) NOT NULL -- here
);
""",
)


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table in isolated(catalog, tenancy):
        column = table.columns.get(tenancy.column)
        if column is not None and column.default is not None and _is_constant(column.default):
            yield Violation(
                str(table.name),
                f"{table.name}.{column.name} defaults to the constant {column.default}",
                column.location,
                f"ALTER TABLE {qualified(table.name)}"
                f" ALTER COLUMN {quoted(column.name)} DROP DEFAULT;",
            )


def _is_constant(expression: str) -> bool:
    varying = (ast.FuncCall, ast.SQLValueFunction)
    return not any(isinstance(node, varying) for node in walk(parse(expression)))
