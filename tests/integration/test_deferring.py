"""Indexes and foreign keys go away for loading and come back as they were, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from datagen import deferring
from harness.catalog import live
from harness.catalog.model import Catalog, Name
from harness.config import Settings
from harness.db import Target
from tests.integration.spares import database

SCHEMA = """
CREATE EXTENSION btree_gist;
CREATE SCHEMA harness;
CREATE SCHEMA shop;
CREATE TABLE shop.room (
    org integer, id integer, name text NOT NULL, code text,
    PRIMARY KEY (org, id),
    CONSTRAINT room_code_target UNIQUE (org, code),
    CONSTRAINT room_name_later UNIQUE (org, name) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT room_name_or_none UNIQUE NULLS NOT DISTINCT (name, code) INCLUDE (id)
);
COMMENT ON CONSTRAINT room_name_later ON shop.room IS 'names may change places';
CREATE INDEX "Room's name" ON shop.room (lower(name) text_pattern_ops DESC) WHERE code <> '{x}';
COMMENT ON INDEX shop."Room's name" IS 'for the {search}';
CREATE UNIQUE INDEX room_for_trigger ON shop.room (org, id, code);
CREATE TABLE shop.booking (
    org integer, id integer, room integer, code text, during tstzrange NOT NULL, before integer,
    PRIMARY KEY (org, id),
    CONSTRAINT booking_one EXCLUDE USING gist (org WITH =, room WITH =, during WITH &&)
        WHERE (code IS NULL),
    CONSTRAINT booking_room FOREIGN KEY (org, room) REFERENCES shop.room
        ON DELETE CASCADE DEFERRABLE,
    CONSTRAINT booking_code FOREIGN KEY (org, code) REFERENCES shop.room (org, code),
    CONSTRAINT booking_before FOREIGN KEY (org, before) REFERENCES shop.booking
);
COMMENT ON CONSTRAINT booking_one ON shop.booking IS 'one at a time';
COMMENT ON INDEX shop.booking_one IS 'an index of a constraint';
COMMENT ON CONSTRAINT booking_room ON shop.booking IS 'where';
ALTER TABLE shop.booking ADD CONSTRAINT booking_old FOREIGN KEY (org, id) REFERENCES shop.room
    NOT VALID;
CREATE TABLE shop.event (
    org integer, at date, id integer, room integer, n integer,
    PRIMARY KEY (org, id, at),
    CONSTRAINT event_once UNIQUE (org, n, at),
    CONSTRAINT event_room FOREIGN KEY (org, room) REFERENCES shop.room,
    CONSTRAINT event_again FOREIGN KEY (org, n) REFERENCES shop.room
) PARTITION BY RANGE (at);
COMMENT ON CONSTRAINT event_once ON shop.event IS 'once a day';
CREATE TABLE shop.event_old PARTITION OF shop.event FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE shop.event_new PARTITION OF shop.event DEFAULT PARTITION BY LIST (org);
CREATE TABLE shop.event_new_1 PARTITION OF shop.event_new DEFAULT;
CREATE INDEX event_room_idx ON shop.event (org, room);
COMMENT ON INDEX shop.event_room_idx IS 'of all';
CREATE INDEX "only old" ON shop.event_old (n);
ALTER INDEX shop.event_old_org_room_idx RENAME TO an_odd_name;
COMMENT ON INDEX shop.an_odd_name IS 'of the old';
CREATE TABLE shop.counted (
    org integer PRIMARY KEY, count integer, CONSTRAINT counted_so_often UNIQUE (org, count)
);
CREATE FUNCTION shop.count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO shop.counted VALUES (NEW.org, 1)
    ON CONFLICT (org) DO UPDATE SET count = counted.count + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER counts BEFORE INSERT ON shop.room FOR EACH ROW EXECUTE FUNCTION shop.count();
"""
ROWS = """
INSERT INTO shop.room SELECT o, i, 'room ' || i, 'c' || i
FROM generate_series(1, 2) AS o, generate_series(o * 100, o * 100 + 9) AS i;
INSERT INTO shop.booking SELECT org, id, id, code, tstzrange('2026-01-01', '2026-01-02'), id
FROM shop.room;
INSERT INTO shop.event SELECT org, date '2025-12-25' + id % 10, id, id, id FROM shop.room;
"""
TABLES = [Name("shop", name) for name in ("room", "booking", "event", "counted")]
COMMENTS = """
SELECT coalesce(r.relname, k.conname), d.classoid::regclass::text, d.description
FROM pg_description AS d
LEFT JOIN pg_class AS r ON d.classoid = 'pg_class'::regclass AND r.oid = d.objoid
LEFT JOIN pg_constraint AS k ON d.classoid = 'pg_constraint'::regclass AND k.oid = d.objoid
WHERE coalesce(r.relnamespace, k.connamespace) = 'shop'::regnamespace
"""
DEFINITIONS = """
SELECT conrelid::regclass::text || ' ' || conname, pg_get_constraintdef(oid) || convalidated
FROM pg_constraint WHERE connamespace = 'shop'::regnamespace
UNION ALL
SELECT i.indrelid::regclass::text || ' ' || i.indexrelid::regclass::text,
       pg_get_indexdef(i.indexrelid) || indisvalid || indimmediate || coalesce(
           (SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = i.indexrelid), '')
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE c.relnamespace = 'shop'::regnamespace
"""


@pytest.fixture
def shop(server: Target, settings: Settings) -> Iterator[Target]:
    """Tables with everything that may be on one."""
    with database(server, settings) as target:
        _execute(target, SCHEMA)
        yield target


def _execute(target: Target, text: str) -> None:
    with psycopg.connect(target.admin) as connection:
        connection.execute(text.encode())


def _facts(target: Target) -> dict[str, Any]:
    """All that can be told of tables; of what has an order only that of foreign keys, by which
    tables are filled."""
    with psycopg.connect(target.admin) as connection:
        catalog = live.read(connection, ["shop"])
        definitions = dict(connection.execute(DEFINITIONS.encode()).fetchall())
        comments = sorted(connection.execute(COMMENTS.encode()).fetchall())
    return {"tables": _unordered(catalog), "definitions": definitions, "comments": comments}


def _unordered(catalog: Catalog) -> dict[Name, Any]:
    return {
        table.name: (
            table.columns,
            sorted(table.constraints, key=lambda c: c.name),
            table.foreign_keys,
            sorted(table.indexes, key=lambda i: i.name),
            table.triggers,
        )
        for table in catalog.tables.values()
    }


def _missing(target: Target) -> str | None:
    with psycopg.connect(target.admin) as connection:
        return deferring.missing(connection)


def test_what_went_for_loading_comes_back_as_it_was(shop: Target) -> None:
    before = _facts(shop)
    assert deferring.defer(shop, TABLES) == 15
    during = _facts(shop)["definitions"]
    gone = {name.split(" ", 1)[1] for name in before["definitions"].keys() - during.keys()}
    assert {
        "booking_one",
        "room_name_later",
        "booking_old",
        "event_once",
        "event_room",
        "event_pkey",
    } <= gone
    _execute(shop, ROWS)
    assert deferring.restore(shop) == {}
    after = _facts(shop)
    for what in before:
        assert after[what] == before[what], what
    assert _missing(shop) is None


def test_what_others_rely_on_stays(shop: Target) -> None:
    deferring.defer(shop, TABLES)
    kept = {name.split(" ", 1)[1] for name in _facts(shop)["definitions"]}
    assert "room_pkey" in kept, "what foreign keys refer to"
    assert "room_code_target" in kept, "what a foreign key refers to"
    assert "counted_so_often" in kept, "what a trigger may need while it loads"


def test_what_was_left_dropped_is_told_and_made_by_the_next(shop: Target) -> None:
    before = _facts(shop)
    assert _missing(shop) is None
    deferring.defer(shop, TABLES)
    told = _missing(shop)
    assert told
    assert told.startswith("15 indexes and constraints of 3 tables are missing since a fill")
    assert deferring.restore(shop, connections=1) == {}
    assert _facts(shop) == before


def test_rows_that_break_a_constraint_are_told_by_its_name_and_all_else_comes_back(
    shop: Target,
) -> None:
    deferring.defer(shop, TABLES)
    _execute(shop, ROWS + "UPDATE shop.room SET name = 'twice' WHERE org = 1;")
    failed = deferring.restore(shop)
    assert list(failed) == ["shop.room room_name_later"]
    assert (
        "shop.room: room_name_later cannot be made again: could not create"
        in failed["shop.room room_name_later"]
    )
    told = _missing(shop)
    assert told
    assert told.startswith("1 indexes and constraints of 1 tables")
    _execute(shop, "UPDATE shop.room SET name = id::text")
    assert deferring.restore(shop) == {}


def test_what_somebody_made_by_hand_meanwhile_is_no_error(shop: Target) -> None:
    before = _facts(shop)
    deferring.defer(shop, TABLES)
    _execute(shop, 'CREATE INDEX "only old" ON shop.event_old (n)')
    assert deferring.restore(shop) == {}
    assert _facts(shop) == before
