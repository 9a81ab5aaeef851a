"""No trigger function asks for the name of its table.

A trigger runs on a shard, and TG_TABLE_NAME is the shard's name there, `bay_102008`. What is kept
of it changes when shards are split, and differs from tenant to tenant. Pass the name as an argument
of the trigger. Who takes the number from its end asks for the shard, as functions do that a
deployment to a cluster gives a body for each.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.bodies import mentions
from checks.rule import Violation
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.WARNING
_NAME = r"\bTG_(?:TABLE_NAME|RELNAME)\b(?! FROM '\[0-9\]\+\$'\))"
GOOD = """
CREATE FUNCTION auto.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE '% changed in %', TG_ARGV[0], substring(TG_TABLE_NAME FROM '[0-9]+$');
    RETURN NULL;
END $$;
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE TRIGGER note AFTER UPDATE ON auto.bay
    FOR EACH ROW EXECUTE FUNCTION auto.note('auto.bay');
"""
BAD = """
CREATE FUNCTION auto.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE '% changed', TG_TABLE_NAME; -- here
    RETURN NULL;
END $$;
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE TRIGGER note AFTER UPDATE ON auto.bay FOR EACH ROW EXECUTE FUNCTION auto.note();
"""


def check(distributed: Source) -> Iterator[Violation]:
    catalog = distributed.catalog
    used = {t.function for table in catalog.tables.values() for t in table.triggers}
    functions = [function for function in catalog.functions if function.name in used]
    for function, location in mentions(distributed, _NAME, functions):
        yield Violation(
            function.signature,
            f"{function.signature} asks for the name of its table, which is a shard's on Citus",
            location,
        )
