"""No column holds a large object.

A large object belongs to the role that made it, which all tenants of an application share, and
has no row security: whoever knows or guesses its number reads it. Use bytea.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.subjects import defined
from checks.wording import qualified, quoted
from harness.catalog.model import Catalog
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE TABLE auto.photo (business_id uuid NOT NULL, content bytea);
"""
BAD = """
CREATE TABLE auto.photo (
    business_id uuid NOT NULL,
    content oid -- here
);
"""


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table in defined(catalog, tenancy):
        for column in table.columns.values():
            if column.type in ("oid", "lo", "public.lo"):
                yield Violation(
                    str(table.name),
                    f"{table.name}.{column.name} refers to large objects",
                    column.location,
                    f"ALTER TABLE {qualified(table.name)} ALTER COLUMN {quoted(column.name)}"
                    f" TYPE bytea USING lo_get({quoted(column.name)});",
                )
