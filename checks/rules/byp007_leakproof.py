"""No function is declared LEAKPROOF.

The planner runs a leakproof function before the row policy, on the rows of all tenants: what
the function logs, raises or stores, it tells of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from harness.catalog.model import Catalog
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE FUNCTION auto.count_all() RETURNS bigint
    LANGUAGE sql STABLE
    RETURN 1;
"""
BAD = """
CREATE FUNCTION auto.count_all() RETURNS bigint -- here
    LANGUAGE sql LEAKPROOF
    RETURN 1;
"""


def check(catalog: Catalog) -> Iterator[Violation]:
    for function in catalog.functions:
        if function.leakproof:
            yield Violation(
                function.signature,
                f"function {function.signature} is LEAKPROOF",
                function.location,
                f"ALTER FUNCTION {function.signature} NOT LEAKPROOF;",
            )
