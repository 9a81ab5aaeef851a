"""Given tables, recipes and settings: how a tenant's rows are divided, and what is kept of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from datagen import keys, tenants
from datagen.building import build
from datagen.cohorts import divide, key_widths
from datagen.draw import draw
from datagen.frame import Frame, Parent
from datagen.kept import keep, last_use, needs
from datagen.part import KEY_WIDTH, WHOLE, Cohort, Part
from datagen.plan import FillPlan, FillSettings, TablePlan, plan
from datagen.pools import Pools
from datagen.request import Request
from datagen.spanning import hashes, spanning
from datagen.values import nulls
from harness.catalog import files
from harness.catalog.model import Name
from harness.config import Settings, Tenancy
from harness.errors import HarnessError

SCHEMA = """
CREATE SCHEMA s;
CREATE TABLE s.org (org_id uuid PRIMARY KEY);
CREATE TABLE s.kind (org_id uuid NOT NULL, kind_id uuid NOT NULL, PRIMARY KEY (org_id, kind_id));
CREATE TABLE s.few (org_id uuid NOT NULL, few_id uuid NOT NULL, PRIMARY KEY (org_id, few_id));
CREATE TABLE s.bill (
    org_id uuid NOT NULL, bill_id integer NOT NULL, kind_id uuid NOT NULL, code text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, bill_id), UNIQUE (org_id, code), UNIQUE (org_id, kind_id, created_at),
    FOREIGN KEY (org_id, kind_id) REFERENCES s.kind (org_id, kind_id)
);
CREATE TABLE s.line (
    org_id uuid NOT NULL, line_id uuid NOT NULL, bill_id integer NOT NULL, place integer NOT NULL,
    made_at timestamptz NOT NULL, note text, remark text, comment text,
    PRIMARY KEY (org_id, line_id), UNIQUE (org_id, bill_id, place),
    FOREIGN KEY (org_id, bill_id) REFERENCES s.bill (org_id, bill_id)
);
CREATE TABLE s.one (org_id uuid NOT NULL, one_id uuid NOT NULL, PRIMARY KEY (org_id, one_id),
    UNIQUE (org_id));
"""
RECIPES = """
[kind]
rows = 5
fixed = true
[few]
rows = 30
[bill]
rows = 1000
[bill.columns]
code = "'B' || row"
[line]
per = { parent = "bill_id", counts = [2, 4] }
[line.columns]
made_at = "bill_id.created_at"
place = "ordinal"
"""
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
POOLS = Pools(7)
TENANT = tenants.make(7, 0)


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recipes")
    (directory / "s").mkdir()
    (directory / "s" / "s.toml").write_text(RECIPES)
    return directory


def _plan(recipes: Path, rows: int = 1000, scale: float = 1.0) -> FillPlan:
    tenancy = Tenancy(column="org_id", setting="s.org", root_table="s.org")
    settings = Settings.model_construct(tenancy=tenancy)
    catalog = files.read({"s.sql": SCHEMA}).catalog
    return plan(catalog, settings, FillSettings(1, scale, 7, AS_OF, recipes, cohort_rows=rows))


def _table(the_plan: FillPlan, name: str) -> TablePlan:
    return next(t for t in the_plan.tables if t.name == Name("s", name))


def _cohort(the_plan: FillPlan, index: int, first: int) -> Frame:
    kinds = build(the_plan, _table(the_plan, "kind"), TENANT, POOLS, {})
    parents: dict[Name, Parent] = {kinds.table.name: kinds}
    part = Part(Cohort(index, 4), first)
    return build(the_plan, _table(the_plan, "bill"), TENANT, POOLS, parents, part)


@pytest.mark.parametrize(("rows", "of"), [(500_000, 1), (6000, 1), (3000, 2), (1000, 6)])
def test_there_are_as_many_cohorts_as_the_rows_need(recipes: Path, rows: int, of: int) -> None:
    assert divide(_plan(recipes, rows), TENANT).of == of


def test_a_table_with_many_columns_needs_more_cohorts(recipes: Path) -> None:
    ten_times = _plan(recipes, 50_000, scale=10)
    assert divide(ten_times, TENANT).of == 2, "40,300 rows, but 240,000 values in one table"


def test_what_is_fixed_or_has_few_rows_is_made_once(recipes: Path) -> None:
    once = {str(name) for name in divide(_plan(recipes), TENANT).once}
    assert once == {"s.org", "s.kind", "s.few", "s.one"}


def test_a_tenant_of_one_cohort_makes_every_table_in_it(recipes: Path) -> None:
    division = divide(_plan(recipes, 500_000), TENANT)
    assert [division.cohort_of(Name("s", t), WHOLE) for t in ("kind", "bill")] == [WHOLE, WHOLE]
    assert division.units(6) == 6


@pytest.mark.parametrize("total", [0, 1, 7, 1000])
def test_shares_add_up(total: int) -> None:
    assert sum(Cohort(index, 3).share(total) for index in range(3)) == total


def test_rows_of_one_cohort_go_on_from_the_one_before(recipes: Path) -> None:
    the_plan = _plan(recipes)
    first, second = _cohort(the_plan, 0, 0), _cohort(the_plan, 1, 250)
    assert first.column("bill_id").data.tolist() == list(range(1, 251))
    assert second.column("bill_id").data.tolist() == list(range(251, 501))
    assert second.column("code").data[0] == "B250"
    assert first.column("created_at").data.max() < second.column("created_at").data.min()


def test_moments_in_the_order_of_rows_rise_over_all_cohorts() -> None:
    recipe = {"time": "any", "order": "row"}
    drawn = []
    for index in range(4):
        rng = np.random.default_rng(index)
        request = Request(np.arange(500), rng, TENANT, POOLS, AS_OF, cohort=Cohort(index, 4))
        drawn.append(draw(recipe, request, lambda name: nulls(0)).data)
    every = np.concatenate(drawn)
    assert (np.diff(every) >= np.timedelta64(0)).all()
    age = (np.datetime64("2026-06-01", "us") - every).astype("int64") / 1e6
    age /= keys.WINDOW.total_seconds()
    assert np.mean(age < 0.2) == pytest.approx(1 - 0.8**1.4, abs=0.03), "more of late than of old"


def test_keys_of_one_cohort_stand_after_those_before(recipes: Path) -> None:
    the_plan = _plan(recipes)
    made: list[UUID] = []
    for index in range(4):
        bills = _cohort(the_plan, index, 250 * index)
        parents: dict[Name, Parent] = {bills.table.name: bills}
        part = Part(bills.part.cohort, len(made))
        lines = build(the_plan, _table(the_plan, "line"), TENANT, POOLS, parents, part)
        made += [UUID(bytes=bytes(key)) for key in lines.column("line_id").data]
    assert made == sorted(made)
    assert len(set(made)) == len(made) > 2000


def test_only_what_two_cohorts_could_both_hold_is_remembered(recipes: Path) -> None:
    the_plan = _plan(recipes)
    once = divide(the_plan, TENANT).once
    named = {
        table.name.name: [set(u.columns) for u in spanning(table, once)]
        for table in the_plan.tables
    }
    assert named["bill"] == [{"code"}, {"kind_id", "created_at"}]
    assert named["line"] == [], "its bills are of one cohort"


def test_a_value_that_an_earlier_cohort_holds_is_not_made_again(recipes: Path) -> None:
    the_plan = _plan(recipes)
    bills = _cohort(the_plan, 0, 0)
    unique = next(u for u in bills.table.uniques if u.columns == ("code",))
    seen = {unique.name: np.sort(hashes([bills.column("code").take(np.arange(3))], 3))}
    again = build(the_plan, bills.table, TENANT, POOLS, bills.parents, Part(Cohort(0, 4), 0, seen))
    assert again.rows == 247, "an expression cannot be drawn again, so the rows are left out"
    assert again.numbered == 250


def test_only_what_later_tables_ask_for_is_kept(recipes: Path) -> None:
    the_plan = _plan(recipes)
    wanted = needs(the_plan)
    assert wanted[Name("s", "bill")] == {"bill_id", "created_at"}
    kept = keep(_cohort(the_plan, 0, 0), wanted[Name("s", "bill")])
    assert (kept.rows, set(kept.columns)) == (250, {"bill_id", "created_at"})
    with pytest.raises(HarnessError, match="code is no column"):
        kept.lookup("code")


def test_rows_are_let_go_after_the_last_table_that_refers_to_them(recipes: Path) -> None:
    ends = last_use(_plan(recipes))
    assert Name("s", "kind") in ends[Name("s", "bill")]
    assert set(ends[Name("s", "line")]) == {Name("s", "bill"), Name("s", "line")}


def test_integer_keys_have_room_for_all_rows_of_the_largest_tenant(recipes: Path) -> None:
    assert key_widths(_plan(recipes))[Name("s", "bill")] == KEY_WIDTH
    assert key_widths(_plan(recipes, scale=5000))[Name("s", "bill")] >= 5_000_000
