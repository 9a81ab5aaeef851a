"""A SECURITY DEFINER function sets a search_path that ends with pg_temp.

Otherwise the caller's search_path decides which tables and functions its names mean, and a
temporary table of the caller is found first: the caller's code runs with the owner's rights.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from harness.catalog.model import Catalog
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = (
    """
CREATE FUNCTION auto.count_all() RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN 1;
""",
    """
CREATE FUNCTION auto.count_all() RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = ''
    RETURN 1;
""",
)
BAD = (
    """
CREATE FUNCTION auto.count_all() RETURNS bigint -- here
    LANGUAGE sql SECURITY DEFINER
    RETURN 1;
""",
    """
CREATE FUNCTION auto.count_all() RETURNS bigint -- here
    LANGUAGE sql SECURITY DEFINER SET search_path = auto, public
    RETURN 1;
""",
)


def check(catalog: Catalog) -> Iterator[Violation]:
    for function in catalog.functions:
        if function.security_definer and not _is_fixed(function.settings):
            yield Violation(
                function.signature,
                f"SECURITY DEFINER function {function.signature} runs with an open search_path",
                function.location,
                f"ALTER FUNCTION {function.signature} SET search_path = pg_catalog, pg_temp;",
            )


def _is_fixed(settings: tuple[str, ...]) -> bool:
    path = next((s.partition("=")[2] for s in settings if s.startswith("search_path=")), None)
    return path is not None and path.split(", ")[-1] in ("pg_temp", '""')
