"""Statements as the node of a cluster gets them that holds their tenant."""

from __future__ import annotations

import pytest

from datagen.node import on_shards
from harness.catalog.model import Name

_SHARDS = {
    Name("auto", "bay"): Name("auto", "bay_102008"),
    Name("auto", "order"): Name("auto", "order_102012"),
}


def test_the_query_of_a_view_stands_for_it() -> None:
    views = {Name("auto", "open_bay"): " SELECT b.no FROM auto.bay b;"}
    assert on_shards("SELECT no FROM auto.open_bay", _SHARDS, views) == (
        'SELECT no FROM ( SELECT b.no FROM "auto"."bay_102008" b) AS "open_bay"'
    )


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "UPDATE auto.bay AS b SET no = 1 FROM auto.bay WHERE bay.no = b.no",
            'UPDATE "auto"."bay_102008" AS b SET no = 1 FROM "auto"."bay_102008" AS "bay" '
            "WHERE bay.no = b.no",
        ),
        (
            'WITH bay AS (SELECT FROM auto."order") INSERT INTO auto.bay (x) SELECT 1 FROM bay',
            'WITH bay AS (SELECT FROM "auto"."order_102012" AS "order") '
            'INSERT INTO "auto"."bay_102008" AS "bay" (x) SELECT 1 FROM bay',
        ),
        (
            "CREATE TEMP TABLE t AS SELECT auto.f(x), 'auto.bay' FROM auto.bay b",
            'CREATE TEMP TABLE t AS SELECT auto.f(x), \'auto.bay\' FROM "auto"."bay_102008" b',
        ),
        ("ANALYZE auto.bay, t", 'ANALYZE "auto"."bay_102008", t'),
        ("DELETE FROM auto.other", "DELETE FROM auto.other"),
        (
            "DO $$ BEGIN PERFORM auto.bay(1); DELETE FROM auto.bay AS b; END $$",
            'DO $$ BEGIN PERFORM auto.bay(1); DELETE FROM "auto"."bay_102008" AS b; END $$',
        ),
    ],
)
def test_shards_stand_for_their_tables(statement: str, expected: str) -> None:
    assert on_shards(statement, _SHARDS) == expected
