"""The function that tells the current tenant has no fallback.

With no tenant set it must fail or find nothing. COALESCE or CASE gives it something to say in
that case, and every session that forgot its tenant works on the rows of somebody.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.bodies import mentions
from checks.context import context_functions
from checks.rule import Violation
from harness.catalog.source import Source
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
TENANCY = Tenancy(current_tenant="auto.tenant()")
GOOD = (
    """
CREATE FUNCTION auto.tenant() RETURNS uuid
    LANGUAGE sql STABLE
    RETURN current_setting('app.business_id')::uuid;
""",
    """
CREATE FUNCTION auto.tenant() RETURNS uuid
    LANGUAGE sql STABLE
    RETURN nullif(current_setting('app.business_id', true), '')::uuid;
""",
)
BAD = """
CREATE FUNCTION auto.tenant() RETURNS uuid
    LANGUAGE sql STABLE
    RETURN coalesce(current_setting('app.business_id', true), '0')::uuid; -- here
"""


def check(source: Source, tenancy: Tenancy) -> Iterator[Violation]:
    context = context_functions(source.catalog, tenancy)
    for function, location in mentions(source, r"\bCOALESCE\b|\bCASE\b", context):
        yield Violation(
            function.signature,
            f"{function.signature} has a fallback for sessions without a tenant",
            location,
        )
