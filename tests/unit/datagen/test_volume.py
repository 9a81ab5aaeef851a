"""How many rows a fill makes, told without a database."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datagen import scales, tenants, volume
from datagen.plan import FillPlan, FillSettings, RowCount, plan
from harness.catalog import files
from harness.catalog.model import Name
from harness.config import Settings, Tenancy
from harness.errors import UsageError

SQL = """
CREATE SCHEMA shop;
CREATE TABLE shop.tenant (id uuid PRIMARY KEY);
CREATE TABLE shop.bill (
    tenant_id uuid NOT NULL REFERENCES shop.tenant (id), bill_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, bill_id));
CREATE TABLE shop.line (
    tenant_id uuid NOT NULL, line_id uuid NOT NULL, bill_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, line_id),
    FOREIGN KEY (tenant_id, bill_id) REFERENCES shop.bill (tenant_id, bill_id));
CREATE TABLE shop.ledger (
    tenant_id uuid NOT NULL REFERENCES shop.tenant (id), ledger_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, ledger_id));
"""
RECIPES = """
[bill]
rows = 1000

[line]
per = { parent = "bill_id", counts = [2, 4] }

[ledger]
rows = 0
derived = [7, 500]
"""
BILL, LINE, LEDGER = Name("shop", "bill"), Name("shop", "line"), Name("shop", "ledger")


@pytest.fixture
def planned(tmp_path: Path) -> Any:
    """Plans a fill of the shop."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "sales.toml").write_text(RECIPES, encoding="utf-8")
    (tmp_path / "industries.toml").write_text('shop = "retail"\n', encoding="utf-8")
    settings = Settings(tenancy=Tenancy(column="tenant_id", root_table="shop.tenant"))
    catalog = files.read({"shop.sql": SQL}, []).catalog

    def planned(**wanted: Any) -> FillPlan:
        given = {"tenants": 3, "scale": 1.0, "seed": 1, "as_of": datetime(2026, 6, 1, tzinfo=UTC)}
        return plan(catalog, settings, FillSettings(**{**given, "recipes_dir": tmp_path, **wanted}))

    return planned


def _rows(made: FillPlan, name: Name, tenant: int = 0) -> int:
    table = next(t for t in made.tables if t.name == name)
    wanted = made.settings
    return volume.rows_of(made, table, tenants.make(wanted.seed, tenant, wanted.skew))


def test_tenants_are_alike_without_skew_and_shrink_by_zipfs_law_with_it() -> None:
    assert {tenant.size for tenant in tenants.every(1, 9, 0)} == {1.0}
    sizes = [tenant.size for tenant in tenants.every(1, 9, 1)]
    assert sizes == pytest.approx([1 / n for n in range(1, 10)])


def test_tenants_are_small_medium_and_giant_among_each_other() -> None:
    assert set(tenants.classes(tenants.every(1, 20, 0.7))) == {"giant", "medium", "small"}
    assert set(tenants.classes(tenants.every(1, 20, 0))) == {"medium"}


def test_a_tenant_has_most_rows_in_the_schema_of_its_industry(planned: Any) -> None:
    made = planned(tenants=12, skew=0)
    trades = {t.industry: _rows(made, BILL, t.ordinal) for t in tenants.every(1, 12, 0)}
    assert trades.pop("retail") == 1000
    assert {rows for trade, rows in trades.items() if trade != "multi"} == {250}


def test_rows_in_all_are_told_by_the_plan(planned: Any) -> None:
    rows = volume.expected(planned(skew=0))
    sizes = rows[BILL] / 1000
    assert rows[LINE] == pytest.approx(rows[BILL] * 3)
    assert rows[LEDGER] == pytest.approx(7 + 500 * sizes)


@pytest.mark.parametrize("wanted", [20_000, 1_000_000])
def test_the_scale_is_found_for_a_total(planned: Any, wanted: int) -> None:
    made = planned(total=wanted)
    assert volume.total(made) == pytest.approx(wanted, rel=0.02)
    assert made.fingerprint == planned(scale=made.settings.scale).fingerprint


def test_a_total_below_what_the_tenants_have_at_least_is_refused(planned: Any) -> None:
    with pytest.raises(UsageError, match="fewer --tenants"):
        planned(total=100)


def test_a_table_has_exactly_as_many_rows_as_asked_for(planned: Any) -> None:
    made = planned(rows=(RowCount(BILL, exactly=1001),))
    assert sum(_rows(made, BILL, tenant) for tenant in range(3)) == 1001
    assert _rows(made, BILL, 0) > _rows(made, BILL, 2)


def test_a_table_has_so_many_times_its_rows(planned: Any) -> None:
    assert _rows(planned(rows=(RowCount(BILL, factor=2.5),)), BILL) == 2.5 * _rows(planned(), BILL)


def test_rows_below_parents_sum_to_what_was_asked_for(planned: Any) -> None:
    made = planned(tenants=1, rows=(RowCount(LINE, exactly=50),))
    line = next(t for t in made.tables if t.name == LINE)
    counts = volume.counts_of(made, line, tenants.make(1, 0), np.array([2, 4, 3, 2] * 10))
    assert counts.sum() == 50
    assert counts.min() >= 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("shop.bil", "did you mean shop.bill"),
        ("shop.tenant", "give --tenants"),
        ("shop.ledger", "follow from those of other tables"),
    ],
)
def test_rows_of_a_table_that_takes_none_are_refused(planned: Any, name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        planned(rows=(RowCount(Name.parse(name), exactly=5),))


def test_what_is_asked_for_is_part_of_the_fingerprint(planned: Any) -> None:
    asked = [
        planned(),
        planned(skew=1),
        planned(scale=2),
        planned(rows=(RowCount(BILL, factor=2),)),
        planned(rows=(RowCount(BILL, exactly=9),)),
        planned(tenants=4, rows=(RowCount(BILL, exactly=9),)),
    ]
    assert len({made.fingerprint for made in asked}) == len(asked)
    assert planned(tenants=4).fingerprint == asked[0].fingerprint, "more tenants may follow"


def test_presets_say_tenants_and_totals_and_a_factor_says_neither() -> None:
    assert scales.size("small", 3) == scales.Size(3, 1.0, 300_000)
    assert scales.size("medium") == scales.Size(20, 1.0, 10_000_000)
    assert scales.size("large", 7).total == 100_000_000
    assert scales.size("0.25") == scales.Size(scales.TENANTS, 0.25)


@pytest.mark.parametrize("text", ["huge", "0", "-1", "nan", "1e9"])
def test_a_scale_that_is_none_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="small, medium, large"):
        scales.size(text)


def test_rows_are_asked_for_exactly_or_by_a_factor() -> None:
    assert scales.row_count("shop.bill=1000") == RowCount(BILL, exactly=1000)
    assert scales.row_count("shop.bill=*2.5") == RowCount(BILL, factor=2.5)
    for text in ("shop.bill", "shop.bill=-1", "shop.bill=*", "shop.bill=x"):
        with pytest.raises(UsageError, match="write"):
            scales.row_count(text)


def test_whole_numbers_are_shared_out_without_a_rest() -> None:
    for total in (0, 1, 7, 1000):
        assert volume.apportion(total, np.array([3.0, 1.0, 1.0])).sum() == total
    assert volume.apportion(5, np.array([])).tolist() == []


def test_a_plan_may_be_asked_at_another_scale(planned: Any) -> None:
    made = planned()
    larger = replace(made, settings=replace(made.settings, scale=4.0))
    assert volume.total(larger) > 3 * volume.total(made)


def test_a_copy_of_the_recipes_makes_the_same_fill(planned: Any, tmp_path: Path) -> None:
    (tmp_path / "shop" / "sales.sql").write_text("SELECT 1;", encoding="utf-8")
    shutil.copytree(tmp_path, copy := tmp_path.with_name("elsewhere"))
    here, there = planned(), planned(recipes_dir=copy)
    assert here.fingerprint == there.fingerprint
    assert here.settle[0] == there.settle[0] == ("shop/sales.sql", "SELECT 1;")
