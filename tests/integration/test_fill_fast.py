"""Mode fast: the same rows and the same catalog as with everything on, also after an end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from datagen import deferring, fast, fill, freezing, loading
from harness.__main__ import main
from harness.catalog import live
from harness.config import Settings
from harness.db import Target
from harness.deploy.deploy import deploy
from harness.errors import UsageError
from tests.integration.small_shop import SCHEMA, WANTED, settings_of_shop
from tests.integration.spares import database

FAST = replace(WANTED, mode="fast")


@pytest.fixture(scope="module")
def shop_settings(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a schema of three tables."""
    return settings_of_shop(settings, tmp_path_factory.mktemp("shop"))


@pytest.fixture
def shop(server: Target, shop_settings: Settings) -> Iterator[Target]:
    """A database with the schema, and no rows."""
    with database(server, shop_settings) as target:
        deploy(target, shop_settings)
        yield target


@pytest.fixture(autouse=True)
def every_table_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a few hundred rows."""
    monkeypatch.setattr(fast, "ENOUGH", 1)
    monkeypatch.setattr(freezing, "ENOUGH", 1)


def _state(target: Target) -> dict[str, Any]:
    """The rows of all tables, and what stands on them."""
    with psycopg.connect(target.admin) as connection:
        state: dict[str, Any] = {
            str(table.name): (
                sorted(map(str, table.constraints)),
                sorted(map(str, table.indexes)),
                sorted(map(str, connection.execute(f"SELECT * FROM {table.name}".encode()))),
            )
            for table in live.read(connection).tables.values()
        }
    return state


def test_both_modes_make_the_same_rows_and_the_same_catalog(
    shop: Target, shop_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[int] = []
    defer = deferring.defer
    monkeypatch.setattr(deferring, "defer", lambda *given: dropped.append(defer(*given)))
    assert fill.fill(shop, shop_settings, FAST).unmet == ()
    assert dropped == [6], "a foreign key and an index of each, a UNIQUE and a primary key"
    quick = _state(shop)
    with psycopg.connect(shop.admin) as connection:
        connection.execute("TRUNCATE shop.org CASCADE; DROP TABLE harness.fill_unit")
    assert fill.fill(shop, shop_settings, WANTED).unmet == ()
    assert len(quick["shop.item"][-1]) > 200
    assert _state(shop) == quick


def test_a_fast_fill_that_ended_early_is_told_by_the_checks_and_ended_by_the_next_fill(
    shop: Target,
    shop_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(loading, "load", _interrupted_at("shop.sale"))
        with pytest.raises(KeyboardInterrupt):
            fill.fill(shop, shop_settings, FAST)
    assert main(["doctor", "--dsn", shop.admin]) == 0
    assert "are missing since a fill in mode fast ended early" in capsys.readouterr().err
    assert fill.fill(shop, shop_settings, WANTED).unmet == ()
    resumed = _state(shop)
    with psycopg.connect(shop.admin) as connection:
        assert deferring.missing(connection) is None
        connection.execute("TRUNCATE shop.org CASCADE; DROP TABLE harness.fill_unit")
    fill.fill(shop, shop_settings, WANTED)
    assert _state(shop) == resumed


def _interrupted_at(table: str) -> Any:
    """Loading that the user interrupts when it comes to a table."""
    load = loading.load

    def interrupted(connection: Any, frame: Any, frozen: bool = False) -> None:
        if str(frame.table.name) == table:
            raise KeyboardInterrupt
        load(connection, frame, frozen)

    return interrupted


def test_a_second_fast_fill_drops_nothing(
    shop: Target, shop_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill.fill(shop, shop_settings, WANTED)
    monkeypatch.setattr(deferring, "_drop", None)
    assert fill.fill(shop, shop_settings, FAST).unmet == ()


def test_tables_of_few_rows_keep_what_they_have(
    shop: Target, shop_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "ENOUGH", 10**6)
    monkeypatch.setattr(deferring, "_drop", None)
    assert fill.fill(shop, shop_settings, FAST).unmet == ()


def test_rows_of_a_table_that_was_empty_come_in_frozen(
    shop: Target, shop_settings: Settings
) -> None:
    assert fill.fill(shop, shop_settings, replace(FAST, tenants=1)).unmet == ()
    assert _frozen_pages(shop, "item") == (True, True), "all of them, and there are some"
    assert _frozen_pages(shop, "sale_all") == (False, True), "rows of a partition come by its table"


def test_a_table_that_somebody_reads_is_not_waited_for(
    shop: Target, shop_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    defer, restore, reader = deferring.defer, deferring.restore, psycopg.connect(shop.admin)

    def read_then(target: Target, tables: Any) -> int:
        dropped = defer(target, tables)
        reader.execute("LOCK TABLE shop.item IN ACCESS SHARE MODE")
        return dropped

    def leave_then(target: Target) -> Any:
        reader.rollback()
        return restore(target)

    monkeypatch.setattr(deferring, "defer", read_then)
    monkeypatch.setattr(deferring, "restore", leave_then)
    with reader:
        assert fill.fill(shop, shop_settings, replace(FAST, tenants=1)).unmet == ()
    assert _frozen_pages(shop, "item") == (False, True)


def test_rows_come_in_also_where_transactions_have_a_snapshot(
    shop: Target, shop_settings: Settings
) -> None:
    with psycopg.connect(shop.admin) as connection:
        name = connection.info.dbname
        connection.execute(
            f"ALTER DATABASE {name} SET default_transaction_isolation = serializable".encode()
        )
    assert fill.fill(shop, shop_settings, replace(FAST, tenants=1)).unmet == ()
    assert _frozen_pages(shop, "item") == (False, True)


def test_a_table_that_holds_a_row_is_not_emptied(shop: Target, shop_settings: Settings) -> None:
    with psycopg.connect(shop.admin) as connection:
        connection.execute("INSERT INTO shop.org VALUES (gen_random_uuid(), 'of before')")
    fill.fill(shop, shop_settings, FAST)
    with psycopg.connect(shop.admin) as connection:
        found = connection.execute("SELECT count(*), bool_or(name = 'of before') FROM shop.org")
        assert found.fetchone() == (3, True)


def _frozen_pages(target: Target, table: str) -> tuple[bool, bool]:
    """Whether every page of a table is known to hold only what all see, and whether it has any."""
    query = "SELECT relallvisible = relpages, relpages > 0 FROM pg_class WHERE relname = %s"
    with psycopg.connect(target.admin) as connection:
        found = connection.execute(query, [table]).fetchone()
    assert found
    return found


def test_somebody_elses_indexes_are_not_dropped(server: Target, shop_settings: Settings) -> None:
    with database(server, shop_settings) as target:
        with psycopg.connect(target.admin) as connection:
            name = connection.info.dbname
            connection.execute(SCHEMA.encode())
            connection.execute("CREATE SCHEMA harness; GRANT ALL ON SCHEMA harness TO PUBLIC")
            connection.execute("GRANT ALL ON SCHEMA shop TO PUBLIC")
        with pytest.raises(UsageError, match="--mode fast drops indexes"):
            fill.fill(target, shop_settings, FAST, owned=name)
