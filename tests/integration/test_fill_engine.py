"""Filling in cohorts and by several processes: the same rows, also after a kill."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from datagen.fill import fill
from datagen.plan import FillSettings
from harness.config import Settings, Tenancy
from harness.db import Target
from harness.deploy import target as targets
from harness.errors import DatabaseError, RefusedError
from harness.run import FillResult
from tests.integration.spares import database as made_database
from tests.integration.spares import name_of

SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.org (org_id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE shop.kind (
    org_id uuid NOT NULL REFERENCES shop.org, kind_id uuid NOT NULL, code text NOT NULL,
    PRIMARY KEY (org_id, kind_id), UNIQUE (org_id, code)
);
CREATE TABLE shop.item (
    org_id uuid NOT NULL, item_id uuid NOT NULL, kind_id uuid NOT NULL,
    shelf integer NOT NULL CHECK (shelf BETWEEN 1 AND 4000),
    price numeric(12, 2) NOT NULL CHECK (price > 0),
    is_default boolean NOT NULL, replaces_item_id uuid, created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, item_id), UNIQUE (org_id, shelf),
    FOREIGN KEY (org_id, kind_id) REFERENCES shop.kind (org_id, kind_id),
    FOREIGN KEY (org_id, replaces_item_id) REFERENCES shop.item (org_id, item_id)
);
CREATE UNIQUE INDEX one_default ON shop.item (org_id) WHERE is_default;
CREATE TABLE shop.bill (
    org_id uuid NOT NULL, bill_id bigint NOT NULL, number text NOT NULL, made_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, bill_id), UNIQUE (org_id, number)
);
CREATE TABLE shop.line (
    org_id uuid NOT NULL, line_id uuid NOT NULL, bill_id bigint NOT NULL, item_id uuid NOT NULL,
    position integer NOT NULL, billed_at timestamptz NOT NULL, price numeric(12, 2) NOT NULL,
    PRIMARY KEY (org_id, line_id), UNIQUE (org_id, bill_id, position),
    FOREIGN KEY (org_id, bill_id) REFERENCES shop.bill (org_id, bill_id),
    FOREIGN KEY (org_id, item_id) REFERENCES shop.item (org_id, item_id)
);
CREATE TABLE shop.slot (
    org_id uuid NOT NULL, slot_id uuid NOT NULL, hour integer NOT NULL CHECK (hour BETWEEN 0 AND 23),
    day integer NOT NULL CHECK (day BETWEEN 1 AND 10),
    PRIMARY KEY (org_id, slot_id), UNIQUE (org_id, day, hour)
);
CREATE TABLE shop.total (
    org_id uuid NOT NULL, bill_id bigint NOT NULL, total numeric NOT NULL, lines bigint NOT NULL,
    PRIMARY KEY (org_id, bill_id)
);
"""
RECIPES = """
[kind]
rows = 3
fixed = true
[kind.columns]
code = { values = ["bread", "milk", "tea"] }

[item]
rows = 1000
[item.columns]
is_default = "row = 7"

[bill]
rows = 1500
[bill.columns]
number = "'B' || row"
made_at = { time = "any", order = "row" }

[line]
per = { parent = "bill_id", counts = [1, 3] }
[line.columns]
position = "ordinal"
billed_at = "bill_id.made_at"
price = "item_id.price"

[slot]
rows = 1000

[total]
rows = 0
"""
SETTLES = """
INSERT INTO shop.total
SELECT org_id, bill_id, sum(price), count(*) FROM shop.line
WHERE org_id = %(business_id)s GROUP BY org_id, bill_id;
SELECT pg_sleep(0.05);
"""
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
TABLES = ("org", "kind", "item", "bill", "line", "slot", "total")
Copies = Callable[[], Target]


@pytest.fixture(scope="module")
def shop(settings: Settings) -> Settings:
    """Settings of the schema above."""
    tenancy = Tenancy(column="org_id", setting="shop.org", root_table="shop.org")
    return settings.model_copy(update={"tenancy": tenancy})


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> FillSettings:
    """A fill of three tenants, each of several cohorts."""
    recipes = tmp_path_factory.mktemp("recipes")
    (recipes / "shop").mkdir()
    (recipes / "shop" / "shop.toml").write_text(RECIPES)
    (recipes / "shop" / "shop.sql").write_text(SETTLES)
    return FillSettings(3, 1.0, 7, AS_OF, recipes_dir=recipes, cohort_rows=1500)


@pytest.fixture(scope="module")
def empty(server: Target, settings: Settings) -> Iterator[Copies]:
    """Makes databases with the schema above and nothing in them."""
    with ExitStack() as made:
        original = made.enter_context(made_database(server, settings))
        with psycopg.connect(original.admin) as connection:
            connection.execute(SCHEMA)
            targets.record(connection, [], settings.roles.loader)
            for what in ("SCHEMA shop", "ALL TABLES IN SCHEMA shop"):
                connection.execute(f"GRANT ALL ON {what} TO {settings.roles.loader}".encode())
        template = name_of(original)
        yield lambda: made.enter_context(made_database(server, settings, template))


@pytest.fixture(scope="module")
def alone(empty: Copies, shop: Settings, wanted: FillSettings) -> tuple[Target, FillResult]:
    """What one process filled without an interruption."""
    target = empty()
    return target, fill(target, shop, wanted)


def _checksums(target: Target) -> dict[str, str]:
    """A hash of all rows by table, in the order of their text."""
    with psycopg.connect(target.admin) as connection:
        found = {}
        for table in TABLES:
            query = f"SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM shop.{table} AS t"
            row = connection.execute(query.encode()).fetchone()
            found[table] = row[0] if row else ""
        return found


def _value(target: Target, query: str) -> object:
    with psycopg.connect(target.admin) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None


def test_cohorts_are_one_table_in_the_end(alone: tuple[Target, FillResult]) -> None:
    target, result = alone
    assert result.unmet == ()
    rows = {table.table: table.rows for table in result.tables}
    assert rows["shop.item"] == 1000 + 616 + 463, "shares of the cohorts are the total"
    assert rows["shop.kind"] == 9
    with psycopg.connect(target.admin) as connection:
        units = connection.execute("SELECT unit FROM harness.fill_unit WHERE unit LIKE '%item%'")
        assert len(units.fetchall()) >= 8
    assert _value(target, "SELECT count(*) FROM shop.item WHERE is_default") == 3
    assert rows["shop.slot"] < 3 * 240 + 1, "a tenant has 240 hours in ten days"
