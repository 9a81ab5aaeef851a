"""Units that are made ahead know what PostgreSQL refused of those before them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from datagen.fill import fill
from datagen.plan import FillSettings
from harness.config import Settings, Tenancy
from harness.db import Target
from harness.deploy.deploy import deploy
from harness.run import FillResult
from tests.integration.spares import database

SCHEMA = """
CREATE SCHEMA shop;
CREATE FUNCTION shop.is_taken(number integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
    AS 'BEGIN RETURN number % 2 = 0; END';
CREATE TABLE shop.org (org_id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE shop.item (
    org_id uuid NOT NULL REFERENCES shop.org, item_id uuid NOT NULL,
    number integer NOT NULL CHECK (shop.is_taken(number)),
    PRIMARY KEY (org_id, item_id)
);
CREATE TABLE shop.never (
    org_id uuid NOT NULL REFERENCES shop.org, never_id uuid NOT NULL,
    number integer NOT NULL CHECK (shop.is_taken(number * 2 + 1)),
    PRIMARY KEY (org_id, never_id)
);
CREATE TABLE shop.sale (
    org_id uuid NOT NULL, sale_id uuid NOT NULL, item_id uuid NOT NULL, never_id uuid,
    number integer NOT NULL,
    PRIMARY KEY (org_id, sale_id),
    FOREIGN KEY (org_id, item_id) REFERENCES shop.item,
    FOREIGN KEY (org_id, never_id) REFERENCES shop.never
);
CREATE TABLE shop.note (
    org_id uuid NOT NULL, note_id uuid NOT NULL, sale_id uuid NOT NULL, number integer NOT NULL,
    PRIMARY KEY (org_id, note_id),
    FOREIGN KEY (org_id, sale_id) REFERENCES shop.sale
);
"""
RECIPES = """
[item]
rows = 300
[never]
rows = 30
[sale]
rows = 200
[sale.columns]
number = "item_id.number"
[note]
rows = 100
[note.columns]
number = "sale_id.number"
"""
TABLES = ("item", "never", "sale", "note")


@pytest.fixture(scope="module")
def own(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of the schema above."""
    directory = tmp_path_factory.mktemp("schema")
    (directory / "shop.sql").write_text(SCHEMA)
    tenancy = Tenancy(
        column="org_id", setting="app.org", root_table="shop.org",
        current_tenant="current_setting('app.org')::uuid",
        set_tenant="SELECT set_config('app.org', %s::text, true)",
    )  # fmt: skip
    return settings.model_copy(update={"schema_dir": directory, "tenancy": tenancy})


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> FillSettings:
    """Two tenants; half of the numbers that are drawn for items are refused."""
    recipes: Path = tmp_path_factory.mktemp("recipes")
    (recipes / "shop").mkdir()
    (recipes / "shop" / "shop.toml").write_text(RECIPES)
    return FillSettings(2, 1.0, 7, datetime(2026, 6, 1, tzinfo=UTC), recipes_dir=recipes)


@pytest.fixture(scope="module")
def deployed(server: Target, own: Settings) -> Iterator[Target]:
    """The schema without rows."""
    with database(server, own) as target:
        deploy(target, own)
        yield target


@pytest.fixture(scope="module")
def result(deployed: Target, own: Settings, wanted: FillSettings) -> FillResult:
    """Of the first fill."""
    return fill(deployed, own, wanted)


@pytest.fixture
def filled(deployed: Target, result: FillResult) -> Target:
    """The schema with the rows that PostgreSQL takes."""
    return deployed


def _rows(target: Target, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(target.admin) as connection:
        return connection.execute(query.encode()).fetchall()


def _checksums(target: Target) -> list[list[tuple[object, ...]]]:
    return [_rows(target, f"SELECT md5(t::text) FROM shop.{t} AS t ORDER BY 1") for t in TABLES]


def test_only_those_rows_are_missing_that_are_refused(result: FillResult) -> None:
    assert [line.partition(":")[0] for line in result.fewer] == ["shop.item"]
    assert [line.partition(":")[0] for line in result.unmet] == ["shop.never"]


def test_later_rows_hold_what_the_refused_ones_became(filled: Target) -> None:
    others = (
        "SELECT count(*) FILTER (WHERE s.number <> i.number), count(*) FILTER (WHERE n.number <>"
        " s.number), count(s.never_id), count(*) = (SELECT count(*) FROM shop.note)"
        " FROM shop.note AS n JOIN shop.sale AS s USING (org_id, sale_id)"
        " JOIN shop.item AS i USING (org_id, item_id)"
    )
    assert _rows(filled, others) == [(0, 0, 0, True)]


def test_a_fill_that_goes_on_after_them_makes_the_same(
    filled: Target, own: Settings, wanted: FillSettings
) -> None:
    before = _checksums(filled)
    with psycopg.connect(filled.admin) as connection:
        connection.execute("TRUNCATE shop.sale, shop.note")
        connection.execute(
            sql.SQL("DELETE FROM harness.fill_unit WHERE unit IN ('shop.sale', 'shop.note')")
        )
    fill(filled, own, wanted)
    assert _checksums(filled) == before


def test_no_thread_is_left_of_a_fill_that_is_interrupted(
    deployed: Target, own: Settings, wanted: FillSettings, result: FillResult
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with psycopg.connect(deployed.admin) as connection:
        connection.execute("TRUNCATE shop.note")
        connection.execute("DELETE FROM harness.fill_unit WHERE unit = 'shop.note'")
    with pytest.raises(KeyboardInterrupt) as caught:
        fill(deployed, own, wanted, on_progress=interrupt)
    assert caught.value.__traceback__ is not None
    assert "ahead" not in {thread.name for thread in threading.enumerate()}
