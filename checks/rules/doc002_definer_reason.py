"""A SECURITY DEFINER function says in a comment why it must be one.

It is an exception to isolation; a reviewer has to be able to judge it where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from harness.catalog.model import Catalog
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE FUNCTION auto.count_all() RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN 1;
COMMENT ON FUNCTION auto.count_all() IS 'Counts all tenants for the status page.';
"""
BAD = """
CREATE FUNCTION auto.count_all() RETURNS bigint -- here
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN 1;
"""


def check(catalog: Catalog) -> Iterator[Violation]:
    for function in catalog.functions:
        if function.security_definer and not function.comment:
            yield Violation(
                function.signature,
                f"SECURITY DEFINER function {function.signature} has no comment",
                function.location,
                f"COMMENT ON FUNCTION {function.signature} IS 'Why it acts as its owner.';",
            )
