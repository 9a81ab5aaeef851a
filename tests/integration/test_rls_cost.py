"""Queries under row security beside themselves with explicit predicates: one that row security
keeps from its index is found, others read the same blocks."""

from __future__ import annotations

import psycopg
import pytest

from harness.config import Settings
from harness.db import Target
from harness.rls_cost_result import QueryRlsCost, RlsCostResult
from loadtests.rls_cost.costing import CostSettings, compare, findings
from tests.integration.small_schemas import SETTING
from tests.integration.spares import database as made_database

NOTES = """
CREATE TABLE shop.note (
    org_id uuid NOT NULL, note_id integer NOT NULL, place integer[] NOT NULL, body text NOT NULL,
    PRIMARY KEY (org_id, note_id)
);
INSERT INTO shop.note
SELECT o.id, n, ARRAY[n], repeat('x', 200) FROM shop.org AS o, generate_series(1, 3000) AS n;
CREATE INDEX note_place ON shop.note USING gin (place);
ALTER TABLE shop.note ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON shop.note USING (org_id = nullif(current_setting('shop.org', true), '')::uuid);
GRANT SELECT ON shop.note TO app_user;
ANALYZE shop.note;
"""
HEADER = "-- A query.\n-- budget: p95 50ms\n-- mode: {mode}\n-- params: note_id from shop.note\n"
QUERIES = {
    "by_key": HEADER.format(mode="read")
    + "SELECT body FROM shop.note WHERE org_id = %(org_id)s AND note_id = %(note_id)s",
    # The array operator may tell what it is given, so it waits for the policy.
    "by_place": HEADER.format(mode="read")
    + "SELECT body FROM shop.note WHERE place @> ARRAY[%(note_id)s::integer]",
    "unlike": HEADER.format(mode="read")
    + "SELECT ctid FROM shop.note WHERE org_id = %(org_id)s AND note_id = %(note_id)s",
    "write": HEADER.format(mode="write") + "DELETE FROM shop.note WHERE note_id = %(note_id)s",
}


@pytest.fixture(scope="module")
def cost(
    server: Target, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> RlsCostResult:
    """The queries compared."""
    directory = tmp_path_factory.mktemp("queries")
    for name, text in QUERIES.items():
        (directory / f"{name}.sql").write_text(text)
    with made_database(server, settings) as target:
        with psycopg.connect(target.admin) as connection:
            SETTING.create(connection)
            connection.execute(NOTES)
            name = connection.info.dbname
        wanted = CostSettings(queries_dir=directory, sets=4)
        return compare(target, SETTING.settings(settings), wanted, name)


def _of(cost: RlsCostResult, name: str) -> QueryRlsCost:
    return next(query for query in cost.queries if query.name == name)


def test_a_look_up_reads_the_same_blocks_both_ways(cost: RlsCostResult) -> None:
    query = _of(cost, "by_key")
    assert query.calls == 2 * 4
    assert query.secured_buffers == query.explicit_buffers
    assert query.low <= query.ratio <= query.high
    assert cost.low <= cost.median_ratio <= cost.high


def test_a_search_that_row_security_keeps_from_its_index_is_found(cost: RlsCostResult) -> None:
    query = _of(cost, "by_place")
    assert query.secured_buffers > 5 * query.explicit_buffers
    (found,) = findings(cost)
    assert (found.rule, found.object) == ("RLC001", "by_place")


def test_what_cannot_be_rewritten_says_so(cost: RlsCostResult) -> None:
    assert "ctid" in _of(cost, "unlike").note


def test_writes_are_left_out(cost: RlsCostResult) -> None:
    assert {query.name for query in cost.queries} == {"by_key", "by_place", "unlike"}
