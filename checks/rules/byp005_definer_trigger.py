"""No trigger function is SECURITY DEFINER.

A trigger acts on behalf of whoever writes. With the rights of its owner it reads and writes
the rows of other tenants, and nobody sees it being called.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from harness.catalog.model import Catalog
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE FUNCTION auto.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
"""
BAD = """
CREATE FUNCTION auto.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER -- here
    SET search_path = pg_catalog, pg_temp AS $$ BEGIN RETURN NEW; END $$;
"""


def check(catalog: Catalog) -> Iterator[Violation]:
    for function in catalog.functions:
        if function.security_definer and function.returns == "trigger":
            yield Violation(
                function.signature,
                f"trigger function {function.signature} acts with the rights of its owner",
                function.location,
                f"ALTER FUNCTION {function.signature} SECURITY INVOKER;",
            )
