"""A SECURITY DEFINER function is not executable by PUBLIC.

It acts with the rights of its owner, past the row security of the caller. PostgreSQL lets
everybody execute a new function until that is revoked.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = (
    """
CREATE FUNCTION auto.count_all() RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN 1;
REVOKE EXECUTE ON FUNCTION auto.count_all() FROM PUBLIC;
""",
    """
CREATE FUNCTION auto.count_all() RETURNS bigint
    LANGUAGE sql STABLE
    RETURN 1;
""",
)
BAD = """
CREATE FUNCTION auto.count_all() RETURNS bigint -- here
    LANGUAGE sql SECURITY DEFINER
    RETURN 1;
"""


def check(source: Source) -> Iterator[Violation]:
    to_all = {p.object for p in source.privileges if p.kind == "function" and p.role == "public"}
    for function in source.catalog.functions:
        called = function.returns != "trigger"
        if function.security_definer and called and function.signature in to_all:
            yield Violation(
                function.signature,
                f"SECURITY DEFINER function {function.signature} is executable by PUBLIC",
                function.location,
                f"REVOKE EXECUTE ON FUNCTION {function.signature} FROM PUBLIC;",
            )
