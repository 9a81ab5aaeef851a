"""The function that tells the current tenant is STABLE.

Declared IMMUTABLE it is computed once when a statement is planned, and the cached plan serves
the rows of the previous tenant to the next one. VOLATILE it is called for every row and cannot
use an index.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.context import context_functions
from checks.rule import Violation
from harness.catalog.model import Catalog
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
)


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for function in context_functions(catalog, tenancy):
        if function.volatility != "stable":
            yield Violation(
                function.signature,
                f"{function.signature} is {function.volatility.upper()}",
                function.location,
                f"ALTER FUNCTION {function.signature} STABLE;",
            )
