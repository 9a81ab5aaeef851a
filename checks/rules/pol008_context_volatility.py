"""What tells a policy the current tenant is STABLE.

Declared IMMUTABLE it is computed once when a statement is planned, and the cached plan serves
the rows of the previous tenant to the next one. VOLATILE it is called for every row and cannot
use an index.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.bodies import mentions
from checks.context import context_functions
from checks.policies import expressions, functions_called
from checks.rule import Violation
from harness.catalog.model import Function
from harness.catalog.source import Source
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
TENANCY = Tenancy(current_tenant="auto.tenant()")
GOOD = """
CREATE FUNCTION auto.tenant() RETURNS uuid
    LANGUAGE sql STABLE
    RETURN current_setting('app.business_id')::uuid;
"""
BAD = (
    """
CREATE FUNCTION auto.tenant() RETURNS uuid -- here
    LANGUAGE sql IMMUTABLE
    RETURN current_setting('app.business_id')::uuid;
""",
    """
CREATE FUNCTION auto.tenant() RETURNS uuid -- here
    LANGUAGE sql VOLATILE
    RETURN current_setting('app.business_id')::uuid;
""",
    """
CREATE FUNCTION auto.other_tenant() RETURNS uuid -- here
    LANGUAGE sql IMMUTABLE
    RETURN current_setting('app.business_id')::uuid;
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE POLICY p ON auto.bay USING (business_id = auto.other_tenant());
""",
)


def check(source: Source, tenancy: Tenancy) -> Iterator[Violation]:
    for function in _trusted(source, tenancy):
        if function.volatility != "stable":
            yield Violation(
                function.signature,
                f"{function.signature} is {function.volatility.upper()}",
                function.location,
                f"ALTER FUNCTION {function.signature} STABLE;",
            )


def _trusted(source: Source, tenancy: Tenancy) -> dict[Function, None]:
    """The context functions, and what policies call that depends on session or tables."""
    catalog = source.catalog
    trees = {id(tree): tree for _, _, tree in expressions(catalog, tenancy)}.values()
    called = [function for tree in trees for _, function in functions_called(tree, catalog)]
    depends = {f for f, _ in mentions(source, r"\bcurrent_setting\b|\bFROM\b", called)}
    return dict.fromkeys(
        [*context_functions(catalog, tenancy), *(f for f in called if f in depends)]
    )
