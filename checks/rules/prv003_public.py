"""Nothing is granted to PUBLIC.

PUBLIC is every role there is and will be, also the ones for monitoring, backups and support.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.wording import qualified, quoted
from harness.catalog.model import Table, View
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
GRANT SELECT ON auto.bay TO app_user;
"""
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
GRANT SELECT ON auto.bay TO PUBLIC; -- here
""",
    """
GRANT USAGE ON SCHEMA auto TO PUBLIC; -- here
""",
)


def check(source: Source) -> Iterator[Violation]:
    catalog = source.catalog
    relations: list[Table | View] = [*catalog.tables.values(), *catalog.views.values()]
    for relation in relations:
        for grant in relation.grants:
            if grant.role == "public":
                yield Violation(
                    str(relation.name),
                    f"{relation.name} is granted to PUBLIC",
                    grant.location,
                    f"REVOKE ALL ON {qualified(relation.name)} FROM PUBLIC;",
                )
    for held in source.privileges:
        if held.kind == "schema" and held.role == "public":
            yield Violation(
                held.object,
                f"schema {held.object} is granted to PUBLIC",
                held.location,
                f"REVOKE ALL ON SCHEMA {quoted(held.object)} FROM PUBLIC;",
            )
