"""As many rows as were asked for, on a schema that nobody wrote a recipe for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from datagen.fill import fill
from datagen.plan import FillSettings, RowCount
from harness.catalog.model import Name
from harness.config import Settings, Tenancy
from harness.db import Target
from harness.run import FillResult

SQL = """
CREATE SCHEMA harness CREATE TABLE deployed_file (path text);
CREATE SCHEMA shop;
CREATE TABLE shop.org (org_id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE shop.bill (
    org_id uuid NOT NULL REFERENCES shop.org (org_id), bill_id uuid NOT NULL, note text NOT NULL,
    PRIMARY KEY (org_id, bill_id));
CREATE TABLE shop.line (
    org_id uuid NOT NULL, line_id uuid NOT NULL, bill_id uuid NOT NULL, amount integer NOT NULL,
    PRIMARY KEY (org_id, line_id),
    FOREIGN KEY (org_id, bill_id) REFERENCES shop.bill (org_id, bill_id));
"""
BILL, LINE = Name("shop", "bill"), Name("shop", "line")


@pytest.fixture
def filled(database: Target, settings: Settings, tmp_path: Path) -> Callable[..., FillResult]:
    """Fills a shop; a bill has two to four lines."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "sales.toml").write_text(
        '[line]\nper = { parent = "bill_id", counts = [2, 4] }\n', encoding="utf-8"
    )
    with psycopg.connect(database.admin, autocommit=True) as connection:
        connection.execute(SQL)
    tenancy = Tenancy(column="org_id", root_table="shop.org")
    own = Target(database.admin, database.admin, database.admin)

    usual = FillSettings(3, 1.0, 1, datetime(2026, 6, 1, tzinfo=UTC), recipes_dir=tmp_path)

    def filled(**wanted: Any) -> FillResult:
        chosen = replace(usual, **wanted)
        result = fill(own, settings.model_copy(update={"tenancy": tenancy}), chosen)
        assert result.unmet == ()
        return result

    return filled


def _counts(result: FillResult) -> dict[str, int]:
    return {table.table: table.rows for table in result.tables}


def test_a_table_gets_the_rows_that_were_asked_for(filled: Callable[..., FillResult]) -> None:
    result = filled(rows=(RowCount(BILL, exactly=1001), RowCount(LINE, exactly=2500)))
    assert _counts(result) == {"shop.org": 3, "shop.bill": 1001, "shop.line": 2500}
    assert sum(share.rows for share in result.shares) == 3504
    assert [share.size for share in result.shares] == ["medium", "medium", "medium"]


def test_a_fill_makes_about_the_total_that_was_asked_for(
    filled: Callable[..., FillResult],
) -> None:
    result = filled(total=20_000, skew=2.0)
    assert result.rows == pytest.approx(20_000, rel=0.03)
    assert [share.size for share in result.shares] == ["giant", "medium", "small"]
    assert result.scale > 1
