"""Queries measured while their tables grow: what reads more and more is found, what does not is
not, and what is declared is left alone."""

from __future__ import annotations

import psycopg
import pytest

from harness.config import Settings
from harness.db import Target
from harness.growth_result import QueryGrowth
from loadtests.growth import growing
from loadtests.growth.growing import Growth, GrowthSettings
from loadtests.growth.measuring import Database
from tests.integration.small_schemas import SETTING
from tests.integration.spares import database as made_database

NOTES = """
CREATE TABLE shop.note (
    org_id uuid NOT NULL, note_id integer NOT NULL, color text NOT NULL, body text NOT NULL,
    PRIMARY KEY (org_id, note_id)
);
CREATE TABLE shop.kind (org_id uuid NOT NULL, kind_id integer NOT NULL);
CREATE FUNCTION shop.count_notes(org uuid) RETURNS bigint LANGUAGE plpgsql AS
    'BEGIN RETURN (SELECT count(*) FROM shop.note WHERE org_id = org AND body > ''''); END';
GRANT SELECT, INSERT ON shop.note, shop.kind TO app_user, harness_loader;
GRANT SELECT ON shop.org TO harness_loader;
GRANT USAGE ON SCHEMA shop TO harness_loader;
INSERT INTO shop.kind SELECT o.id, n FROM shop.org AS o, generate_series(1, 3) AS n;
"""
MORE = """
INSERT INTO shop.note
SELECT o.id, m.base + n, 'c' || (m.base + n) % 97, repeat('x', 200)
FROM shop.org AS o
CROSS JOIN LATERAL (
    SELECT coalesce(max(k.note_id), 0) AS base FROM shop.note AS k WHERE k.org_id = o.id) AS m
CROSS JOIN generate_series(1, CASE WHEN o.id::text LIKE '%a' THEN 2 ELSE 1 END * {rows}) AS n;
ANALYZE shop.note;
"""
HEADER = "-- A query.\n-- budget: p95 50ms\n-- mode: {mode}\n{more}"
DRAWN = "-- params: note_id, color from shop.note\n"
QUERIES = {
    "by_key": HEADER.format(mode="read", more=DRAWN)
    + "SELECT body FROM shop.note WHERE org_id = %(org_id)s AND note_id = %(note_id)s",
    "by_color": HEADER.format(mode="read", more=DRAWN)
    + "SELECT count(body) FROM shop.note WHERE org_id = %(org_id)s AND color = %(color)s",
    "declared": HEADER.format(mode="read", more="-- growth: linear, it counts all notes\n")
    + "SELECT max(body) FROM shop.note WHERE org_id = %(org_id)s",
    "inside": HEADER.format(mode="read", more="") + "SELECT shop.count_notes(%(org_id)s)",
    "kinds": HEADER.format(mode="read", more="")
    + "SELECT kind_id FROM shop.kind WHERE org_id = %(org_id)s",
    "refused": HEADER.format(mode="read", more="") + "SELECT 1 / 0",
    "write": HEADER.format(mode="write", more="-- values: n = random_int(1000000, 2000000)\n")
    + "INSERT INTO shop.note VALUES (%(org_id)s, %(n)s, 'c', '') RETURNING note_id",
}


@pytest.fixture(scope="module")
def growth(server: Target, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Growth:
    """The queries at 500, 1,000 and 2,000 rows per unit of size."""
    directory = tmp_path_factory.mktemp("queries")
    for name, text in QUERIES.items():
        (directory / f"{name}.sql").write_text(text)
    wanted = GrowthSettings(queries_dir=directory, calls=4, target="50x")
    own = SETTING.settings(settings)
    measured: list[Database] = []
    with made_database(server, settings) as target:
        with psycopg.connect(target.admin) as connection:
            SETTING.create(connection)
            connection.execute(NOTES)
            name = connection.info.dbname
        for rows in (500, 500, 1000):
            with psycopg.connect(target.admin) as connection:
                connection.execute(MORE.format(rows=rows).encode())
            scale = str(len(measured) + 1)
            measured.append(growing.measure(target, own, scale, wanted, name))
    return growing.judged(measured, own, wanted)


def _of(growth: Growth, name: str) -> QueryGrowth:
    return next(query for query in growth.result.queries if query.name == name)


def test_a_look_up_by_key_does_not_grow(growth: Growth) -> None:
    grown = _of(growth, "by_key")
    assert grown.table == "shop.note"
    assert grown.buffers
    assert grown.buffers.shape in ("constant", "logarithmic")
    assert grown.buffers.high < 20


def test_a_search_without_an_index_is_found_with_its_evidence(growth: Growth) -> None:
    found = {finding.object: finding for finding in growth.findings}
    grown = _of(growth, "by_color")
    assert grown.buffers
    assert grown.buffers.shape == "linear"
    assert grown.rows_at_target == 50 * 3 * 2000
    largest = grown.points[2]
    assert grown.buffers.low <= grown.buffers.at_target <= grown.buffers.high
    assert 30 * largest.buffers < grown.buffers.at_target < 60 * largest.buffers
    assert "grow linearly with shop.note" in found["by_color"].message
    assert found["by_color"].fix == "CREATE INDEX ON shop.note (org_id, color)"


def test_what_a_function_reads_inside_is_seen(growth: Growth) -> None:
    assert _of(growth, "inside").table == "shop.note"
    assert "inside" in {finding.object for finding in growth.findings}


def test_what_the_header_declares_is_no_finding(growth: Growth) -> None:
    grown = _of(growth, "declared")
    assert grown.declared == "it counts all notes"
    assert grown.buffers
    assert grown.buffers.shape == "linear"
    assert "declared" not in {finding.object for finding in growth.findings}


def test_what_cannot_be_told_says_why(growth: Growth) -> None:
    assert _of(growth, "kinds").note == (
        "none of the tables that it touches grows with the databases"
    )
    assert "division by zero" in _of(growth, "refused").note


def test_nothing_stays_of_what_was_written(growth: Growth) -> None:
    grown = _of(growth, "write")
    assert grown.table in ("", "shop.note")
    assert {point.rows for point in grown.points} <= {500, 1000, 2000, 4000}
