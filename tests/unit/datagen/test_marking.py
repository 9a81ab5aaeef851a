"""Which texts carry the tenant's canary."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from datagen import marking, tenants
from datagen.plan import FillPlan, FillSettings, TablePlan, plan
from datagen.values import objects as texts
from datagen.values import of
from harness.catalog import files
from harness.catalog.model import Name
from harness.config import Settings, Tenancy

SQL = """
CREATE SCHEMA shop;
CREATE TABLE shop.tenant (id uuid PRIMARY KEY);
CREATE TABLE shop.bill (
    tenant_id uuid NOT NULL REFERENCES shop.tenant (id), bill_id uuid NOT NULL,
    note text, reason text CHECK (reason IN ('late', 'lost')), code text,
    memo text CONSTRAINT written CHECK (memo ~ '\\S' AND (code IS NULL OR memo IS NOT NULL)),
    title text, slug text,
    PRIMARY KEY (tenant_id, bill_id));
CREATE TABLE shop.ledger (
    tenant_id uuid NOT NULL REFERENCES shop.tenant (id), ledger_id uuid NOT NULL, note text,
    PRIMARY KEY (tenant_id, ledger_id));
CREATE TABLE shop.entry (
    tenant_id uuid NOT NULL REFERENCES shop.tenant (id), entry_id uuid NOT NULL, note text,
    PRIMARY KEY (tenant_id, entry_id));
GRANT SELECT, INSERT, UPDATE ON shop.ledger TO app_user;
GRANT SELECT, INSERT ON shop.entry TO app_user;
"""
RECIPES = """
[bill.columns]
note = { values = ["Called twice"] }
title = { values = ["A bill"] }
slug = "lower(title)"

[ledger]
rows = 0

[entry]
rows = 0
"""
TENANT = tenants.make(1, 0)


@pytest.fixture
def planned(tmp_path: Path) -> FillPlan:
    """The plan of the shop."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "sales.toml").write_text(RECIPES, encoding="utf-8")
    settings = Settings(tenancy=Tenancy(column="tenant_id", root_table="shop.tenant"))
    catalog = files.read({"shop.sql": SQL}, []).catalog
    moment = datetime(2026, 6, 1, tzinfo=UTC)
    return plan(catalog, settings, FillSettings(1, 1, 1, moment, recipes_dir=tmp_path))


@pytest.fixture
def bill(planned: FillPlan) -> TablePlan:
    """What is known of the table of bills."""
    return next(t for t in planned.tables if t.name == Name("shop", "bill"))


@pytest.fixture
def marked(bill: TablePlan) -> Callable[[str, str], list[str]]:
    """What six rows of a column hold that all have the same text."""

    def marked(column: str, text: str) -> list[str]:
        values = of(texts([text] * 6))
        made = marking.marked(bill, bill.table.columns[column], values, TENANT)
        return [str(value) for value in made.data]

    return marked


def test_the_first_of_every_few_notes_carries_the_canary(
    marked: Callable[[str, str], list[str]],
) -> None:
    with_it, plain = f"Called twice ({TENANT.canary})", "Called twice"
    assert marked("note", "Called twice") == [with_it, plain, plain, plain, with_it, plain]


def test_a_text_that_carries_it_is_left_as_it_is(marked: Callable[[str, str], list[str]]) -> None:
    text = f"Seen by {TENANT.canary}"
    assert set(marked("note", text)) == {text}


def test_a_text_that_must_only_not_be_blank_may_carry_it(
    marked: Callable[[str, str], list[str]],
) -> None:
    assert TENANT.canary in marked("memo", "Paid")[0]


@pytest.mark.parametrize(
    ("column", "why"),
    [("reason", "a closed list"), ("code", "no free text"), ("title", "the slug is made from it")],
)
def test_what_is_compared_does_not_carry_it(
    marked: Callable[[str, str], list[str]], column: str, why: str
) -> None:
    assert set(marked(column, "late")) == {"late"}, why


def test_tables_that_statements_fill_get_it_after_all_others(planned: FillPlan) -> None:
    unit, statements = planned.settle[-1]
    assert unit == "canaries"
    assert 'UPDATE "shop"."ledger" SET "note"' in statements
    assert "entry" not in statements, "the application only adds to it"
    assert "bill" not in statements, "it is loaded"
