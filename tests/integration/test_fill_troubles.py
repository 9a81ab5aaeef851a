"""What keeps a fill from going on is told in one line, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from datagen import fill, loading
from datagen.frame import Frame
from harness.__main__ import main
from harness.config import Settings
from harness.db import Target
from harness.deploy.deploy import deploy
from harness.errors import DatabaseError
from tests.integration.small_shop import SETTINGS, WANTED, settings_of_shop
from tests.integration.spares import database, name_of

FILL = ("fill", "--tenants=2", "--workers=1", "--seed=7", "--scale=1", "--as-of=2026-06-01")
Told = Callable[[], tuple[int, str]]


@pytest.fixture
def shop_settings(settings: Settings, tmp_path: Path) -> Settings:
    """Settings of a schema of three tables, also in a file."""
    (tmp_path / "harness.toml").write_text(SETTINGS)
    (tmp_path / "schema").mkdir()
    return settings_of_shop(settings, tmp_path / "schema")


@pytest.fixture
def shop(server: Target, shop_settings: Settings) -> Iterator[Target]:
    """A database with the schema, and no rows."""
    with database(server, shop_settings) as target:
        deploy(target, shop_settings)
        yield target


@pytest.fixture
def told(shop: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Told:
    """Fills by the command: its exit code, and what it says."""

    def run() -> tuple[int, str]:
        options = ("--dsn", shop.admin, "--config", str(tmp_path / "harness.toml"))
        code = main(
            [
                "fill",
                "--tenants",
                "2",
                "--seed",
                "7",
                "--scale",
                "1",
                "--as-of",
                "2026-06-01",
                *options,
            ]
        )
        return code, capsys.readouterr().err

    return run


def _change(shop: Target, statement: str) -> None:
    with psycopg.connect(shop.admin, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name_of(shop))))


def test_a_server_that_is_read_only(shop: Target, told: Told) -> None:
    _change(shop, "ALTER DATABASE {} SET default_transaction_read_only = on")
    code, line = told()
    assert (code, line.count("\n")) == (3, 1), line
    assert line.startswith("harness: the server is read-only: ")
    assert "name one that can be written to" in line


def test_no_right_to_keep_a_ledger(shop: Target, settings: Settings, told: Told) -> None:
    _change(shop, f"REVOKE ALL ON SCHEMA harness FROM {settings.roles.loader}")
    code, line = told()
    assert (code, line.count("\n")) == (3, 1), line
    assert line.startswith("harness: permission denied for schema harness")


def test_a_connection_that_is_lost_and_a_fill_that_goes_on(
    shop: Target, shop_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = loading.load

    def lost(connection: psycopg.Connection, frame: Frame, frozen: bool = False) -> None:
        if str(frame.table.name) == "shop.sale":
            with psycopg.connect(shop.admin) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        load(connection, frame, frozen)

    with monkeypatch.context() as patched:
        patched.setattr(loading, "load", lost)
        with pytest.raises(DatabaseError, match="the connection was lost: "):
            fill.fill(shop, shop_settings, WANTED)
    assert fill.fill(shop, shop_settings, WANTED).unmet == ()
