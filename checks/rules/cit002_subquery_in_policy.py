"""No policy contains a subquery.

Citus refuses to distribute a table with one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from pglast import ast

from checks.rule import Violation
from harness.catalog.files.expressions import parse, walk
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE POLICY tenant_isolation ON auto.bay
    USING (business_id = tenant_mgmt.current_business_id());
"""
BAD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE POLICY tenant_isolation ON auto.bay -- here
    USING (business_id = (SELECT tenant_mgmt.current_business_id()));
"""


def check(distributed: Source) -> Iterator[Violation]:
    for table in distributed.catalog.tables.values():
        for policy in table.policies:
            if any(_has_subquery(text) for text in (policy.using, policy.check) if text):
                yield Violation(
                    str(table.name),
                    f"policy {policy.name} on {table.name} contains a subquery",
                    policy.location,
                )


@lru_cache(maxsize=1024)
def _has_subquery(expression: str) -> bool:
    return any(isinstance(node, ast.SubLink) for node in walk(parse(expression)))
