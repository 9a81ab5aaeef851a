"""Auditing filled data: what breaks a truth is told, and what cannot be judged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from datagen.audit import audit
from harness.__main__ import main
from harness.config import Settings, load
from harness.db import Target
from tests.integration.small_shop import SETTINGS
from tests.integration.spares import database

SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.org (org_id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE shop.item (
    org_id  uuid NOT NULL REFERENCES shop.org,
    item_id uuid NOT NULL,
    price   numeric NOT NULL CHECK (price BETWEEN 1 AND 9),
    PRIMARY KEY (org_id, item_id)
);
CREATE FUNCTION shop.price_differences() RETURNS TABLE (item_id uuid) LANGUAGE sql STABLE AS
    'SELECT i.item_id FROM shop.item AS i
     WHERE i.org_id = current_setting(''app.org'')::uuid AND i.price = 1000';
"""
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
FILL = ("fill", "--tenants", "2", "--scale", "0.05", "--as-of", "2026-06-01")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A schema of two tables and the settings that go with it."""
    directory = tmp_path_factory.mktemp("shop")
    (directory / "schema").mkdir()
    (directory / "schema" / "shop.sql").write_text(SCHEMA)
    (directory / "harness.toml").write_text(SETTINGS)
    return directory


@pytest.fixture(scope="module")
def shop(server: Target, settings: Settings, project: Path) -> Iterator[Target]:
    """The schema with rows of two tenants."""
    with database(server, settings) as target:
        options = ("--dsn", target.admin, "--config", str(project / "harness.toml"), "--quiet")
        assert main(["deploy", "--schema-dir", str(project / "schema"), *options]) == 0
        assert main([*FILL, *options]) == 0
        yield target


@pytest.fixture
def truths(tmp_path: Path) -> Callable[..., Path]:
    """Writes truths of the schema shop, or another, to a directory."""

    def write(text: str, schema: str = "shop") -> Path:
        (tmp_path / schema).mkdir(exist_ok=True)
        (tmp_path / schema / "area.toml").write_text(text)
        return tmp_path

    return write


def test_a_broken_truth_is_told_and_fails(
    shop: Target,
    project: Path,
    truths: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    directory = truths(
        '"a price is known" = "SELECT org_id FROM shop.item WHERE price IS NULL"\n\n'
        '"everything is free" = """\n    SELECT org_id, item_id FROM shop.item WHERE price > 0"""\n'
    )
    options = ("--dsn", shop.admin, "--config", str(project / "harness.toml"))
    output = tmp_path / "run.json"
    code = main([*FILL, *options, "--truths", str(directory), "--output", str(output)])
    told = capsys.readouterr().err
    assert code == 1
    assert "2 of 3 truths hold" in told, "the proof of the schema's own is the third"
    assert "shop/area.toml:3: everything is free: 40 rows break it, of 2 tenants" in told
    (broken,) = json.loads(output.read_text())["fill"]["audit"]["broken"]
    assert (broken["rows"], broken["tenants"], len(broken["shown"])) == (40, 2, 5)
    assert json.loads(broken["shown"][0]).keys() == {"org_id", "item_id"}


def test_truths_that_hold_pass(
    shop: Target, project: Path, truths: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    directory = truths(
        '"no price is of the future" = "SELECT FROM shop.item WHERE %(as_of)s > \'2026-06-02\'"'
    )
    options = ("--dsn", shop.admin, "--config", str(project / "harness.toml"))
    assert main([*FILL, *options, "--truths", str(directory)]) == 0
    assert "2 of 2 truths hold" in capsys.readouterr().err


def test_truths_of_a_schema_that_is_not_there_are_skipped(
    shop: Target, project: Path, truths: Callable[..., Path]
) -> None:
    truths('"nobody is here" = "SELECT FROM nowhere.person"', schema="nowhere")
    directory = truths('"a price is known" = "SELECT FROM shop.item WHERE price IS NULL"')
    found = audit(shop, load(None, project / "harness.toml"), AS_OF, directory)
    assert (found.checked, found.skipped, found.broken) == (2, 1, ())


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT FROM shop.itme", 'relation "shop.itme" does not exist'),
        ("SELECT FROM shop.item WHERE", "syntax error"),
        ("SELECT FROM shop.item WHERE price % 2 = 0", "double it up"),
        ("SELECT FROM shop.item WHERE price = %(x)s", "query parameter missing: x"),
        ("DELETE FROM shop.item RETURNING 1", "read-only"),
    ],
)
def test_a_query_that_cannot_be_asked_is_told_by_its_place(
    shop: Target, project: Path, truths: Callable[..., Path], query: str, reason: str
) -> None:
    directory = truths(f'"it is so" = "{query}"\n"a price is known" = "SELECT WHERE false"')
    found = audit(shop, load(None, project / "harness.toml"), AS_OF, directory)
    (broken,) = found.broken
    assert (broken.sentence, broken.place) == ("it is so", "shop/area.toml:1")
    assert reason in broken.error
    assert "\n" not in broken.error


def test_a_proof_of_the_schema_is_run_for_every_tenant(
    shop: Target, project: Path, truths: Callable[..., Path]
) -> None:
    directory = truths('"a price is known" = "SELECT FROM shop.item WHERE price IS NULL"')
    query = "SELECT pg_get_functiondef('shop.price_differences'::regproc)"
    with psycopg.connect(shop.admin, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
        assert row
        connection.execute(row[0].replace("= 1000", "< 1000").encode())
    (broken,) = audit(shop, load(None, project / "harness.toml"), AS_OF, directory).broken
    with psycopg.connect(shop.admin) as connection:
        connection.execute(row[0].encode())
    assert broken.place == "shop.price_differences()"
    assert (broken.rows, broken.tenants) == (40, 2)
