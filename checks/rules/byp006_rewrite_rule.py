"""No table has a rewrite rule.

What a rule does is checked with the rights of the table's owner and not with those of whoever
wrote the statement: it copies rows past their row security. A trigger runs as the writer.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.wording import qualified, quoted
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE RULE kept AS ON DELETE TO auto.bay DO INSTEAD NOTHING;
"""
BAD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE TABLE auto.bay_log (business_id uuid NOT NULL);
CREATE RULE log_bay AS ON INSERT TO auto.bay -- here
    DO ALSO INSERT INTO auto.bay_log VALUES (NEW.business_id);
"""


def check(source: Source) -> Iterator[Violation]:
    for rule in source.rewrite_rules:
        yield Violation(
            str(rule.table),
            f"rule {rule.name} on {rule.table} acts with the rights of the table's owner",
            rule.location,
            f"DROP RULE {quoted(rule.name)} ON {qualified(rule.table)};",
        )
