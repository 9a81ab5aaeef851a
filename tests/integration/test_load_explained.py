"""What is planted is caught and explained: a dropped index, a sleep, a query without a tenant
filter on a hot tenant, a leak."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from harness.config import Settings
from harness.db import Target
from harness.load_result import LoadResult, QueryResult
from loadtests.baseline import compare
from loadtests.judging import gate
from loadtests.load import LoadSettings, load
from loadtests.tenants import Shares
from tests.integration.small_schemas import SETTING
from tests.integration.spares import database as made_database

NOTES = """
CREATE TABLE shop.note (
    org_id uuid NOT NULL, note_id integer NOT NULL, body text NOT NULL,
    PRIMARY KEY (org_id, note_id)
);
CREATE INDEX note_body ON shop.note (org_id, body);
CREATE TABLE shop.draft (LIKE shop.note INCLUDING ALL);
CREATE FUNCTION shop.total(org uuid) RETURNS bigint LANGUAGE sql AS
    'SELECT count(*) FROM shop.item WHERE org_id = org';
ALTER TABLE shop.note ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE shop.draft ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON shop.note USING (org_id = nullif(current_setting('shop.org', true), '')::uuid);
CREATE POLICY p ON shop.draft USING (org_id = nullif(current_setting('shop.org', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO app_user;
INSERT INTO shop.note
SELECT o.id, n, md5(n::text)
FROM shop.org AS o,
     generate_series(1, CASE WHEN o.id::text LIKE '%a' THEN 20000 ELSE 2000 END) AS n;
INSERT INTO shop.draft SELECT o.id, n, 'draft' FROM shop.org AS o, generate_series(1, 3) AS n;
ANALYZE shop.note;
"""
PLANTED = """
DROP INDEX shop.note_body;
CREATE OR REPLACE FUNCTION shop.total(org uuid) RETURNS bigint LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(0.1); RETURN (SELECT count(*) FROM shop.item WHERE org_id = org); END';
ALTER TABLE shop.draft DISABLE ROW LEVEL SECURITY;
"""
HEADER = "-- A query.\n-- budget: p95 {budget}ms\n-- mode: read\n"
QUERIES = {
    "find": HEADER.format(budget=0.1)
    + "-- params: body from shop.note\n"
    + "SELECT note_id FROM shop.note WHERE org_id = %(org_id)s AND body = %(body)s",
    "total": HEADER.format(budget=20) + "SELECT shop.total(%(org_id)s)",
    "unfiltered": HEADER.format(budget=0.1) + "SELECT max(body) FROM shop.note",
    "shares": HEADER.format(budget=2000) + "SELECT 1 / (count(*) - count(*)) FROM shop.draft",
    "drafts": HEADER.format(budget=2000) + "SELECT org_id, body FROM shop.draft",
}


class Loaded(NamedTuple):
    """A load as it was, and one after faults were planted that is compared with it."""

    before: LoadResult
    after: LoadResult

    def planted(self, name: str) -> QueryResult:
        return next(query for query in self.after.queries if query.name == name)

    def why(self, name: str) -> str:
        return "\n".join(self.planted(name).explanation)


@pytest.fixture(scope="module")
def loaded(server: Target, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Both loads."""
    directory = tmp_path_factory.mktemp("queries")
    for name, text in QUERIES.items():
        (directory / f"{name}.sql").write_text(text)
    with made_database(server, settings) as target:
        with psycopg.connect(target.admin) as connection:
            SETTING.create(connection)
            connection.execute(NOTES)
        before = _drive(target, settings, directory)
        with psycopg.connect(target.admin) as connection:
            connection.execute(PLANTED)
        after = _drive(target, settings, directory)
    return Loaded(before, compare(after, before, "before"))


def _drive(target: Target, settings: Settings, directory: Path) -> LoadResult:
    wanted: dict[str, Any] = {"users": 3, "seconds": 1.5, "warmup_seconds": 0.2}
    load_settings = LoadSettings(
        **wanted, think_seconds=0.002, queries_dir=directory, shares=Shares(hot=0.6)
    )
    with psycopg.connect(target.admin) as connection:
        name = connection.info.dbname
    return load(target, SETTING.settings(settings), load_settings, name)


def test_a_dropped_index_is_a_regression_that_no_noise_explains(loaded: Loaded) -> None:
    comparison = loaded.after.comparison
    assert comparison
    worse = {(r.query, r.kind): r.detail for r in comparison.regressions}
    assert ("find", "buffers") in worse
    assert "find" in comparison.plan_changes
    assert any(line.startswith("find: regression: a call touches ") for line in gate(loaded.after))


def test_a_dropped_index_is_explained_by_both_plans(loaded: Loaded) -> None:
    why = loaded.why("find")
    assert "note_body on note" in why.partition("its plan has changed")[2]
    assert "rows away" in why.partition("its plan has changed")[0]
    assert "--only find" in why


def test_a_sleep_is_seen_where_it_waits(loaded: Loaded) -> None:
    assert loaded.planted("total").verdict == "miss"
    assert "Timeout PgSleep" in loaded.why("total")
    assert "it sleeps: a pg_sleep is in the query or in a function that it calls" in loaded.why(
        "total"
    )


def test_a_query_without_a_tenant_filter_on_a_hot_tenant_says_so(loaded: Loaded) -> None:
    query = loaded.planted("unfiltered")
    assert "it does not filter on org_id itself" in loaded.why("unfiltered")
    assert {each.tenants for each in query.classes} == {"hot", "small"}
    assert "by class of tenant, in ms: hot p50 " in loaded.why("unfiltered")


def test_the_tenants_that_keep_the_server_busy_are_told(loaded: Loaded) -> None:
    busiest = loaded.after.busiest
    assert "hot" in {each.size for each in busiest}
    assert sum(each.share for each in busiest) == pytest.approx(1)


def test_a_query_that_cannot_be_explained_says_why_it_has_no_plan(loaded: Loaded) -> None:
    assert loaded.planted("shares").plan is None
    assert "shares has no plan: EXPLAIN of it fails: division by zero" in loaded.after.notes


def test_a_leak_names_connection_and_transaction(loaded: Loaded) -> None:
    assert loaded.before.queries[0].leaks == ()
    query = loaded.planted("drafts")
    assert query.verdict == "miss"
    assert query.leaks[0].rows == 3
    assert f"of connection {query.leaks[0].connection}, working for " in query.reason
