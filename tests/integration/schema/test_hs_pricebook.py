"""Categories are a tree, rates hold one at a time, a line costs what was agreed for it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors, sql

from harness.db import Connection
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.test_hs_organization import add_branch, add_unit, one

TODAY = "2026-06-15"


def add(connection: Connection, table: str, **given: Any) -> UUID:
    """A row of the current tenant; returns its key."""
    statement = sql.SQL(
        "INSERT INTO hs.{table} (business_id, {columns})"
        " VALUES (tenant_mgmt.current_business_id(), {values}) RETURNING {key}"
    ).format(
        table=sql.Identifier(table),
        columns=sql.SQL(", ").join(map(sql.Identifier, given)),
        values=sql.SQL(", ").join(sql.Placeholder() * len(given)),
        key=sql.Identifier(f"{table}_id"),
    )
    row = connection.execute(statement, list(given.values())).fetchone()
    assert row
    return UUID(str(row[0]))


def add_category(connection: Connection, code: str, parent: UUID | None = None) -> UUID:
    return add(
        connection, "pricebook_category", category_code=code, name=code, parent_category_id=parent
    )


def move(connection: Connection, category: UUID, parent: UUID) -> None:
    connection.execute(
        "UPDATE hs.pricebook_category SET parent_category_id = %s WHERE pricebook_category_id = %s",
        [parent, category],
    )


def test_a_category_does_not_stand_under_itself(app: Connection) -> None:
    category = add_category(app, "HVAC")
    with pytest.raises(errors.CheckViolation, match="category HVAC would stand under itself"):
        move(app, category, category)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_category_does_not_stand_under_what_is_below_it(app: Connection, depth: int) -> None:
    top = below = add_category(app, "TOP")
    for level in range(depth):
        below = add_category(app, f"L{level}", below)
    with pytest.raises(errors.CheckViolation, match="would stand under itself"):
        move(app, top, below)


def test_two_that_are_moved_at_once_make_no_circle(app: Connection) -> None:
    first, second = add_category(app, "A"), add_category(app, "B")
    with pytest.raises(errors.CheckViolation, match="would stand under itself"):
        app.execute(
            "UPDATE hs.pricebook_category SET parent_category_id ="
            " CASE category_code WHEN 'A' THEN %s::uuid ELSE %s END",
            [second, first],
        )


def test_a_category_moves_to_another_branch_of_the_tree(app: Connection) -> None:
    first, second = add_category(app, "A"), add_category(app, "B")
    leaf = add_category(app, "LEAF", first)
    move(app, leaf, second)
    move(app, first, leaf)


@pytest.mark.parametrize(
    ("rule", "price", "rounded"),
    [
        ("none", "12.345", "12.35"),
        ("nearest_dollar", "12.49", "12"),
        ("nearest_dollar", "12.50", "13"),
        ("nearest_dollar", "0.30", "0.30"),
        ("nearest_5", "12.49", "10"),
        ("nearest_5", "12.50", "15"),
        ("nearest_5", "2.40", "2.40"),
        ("ends_99", "120.00", "119.99"),
        ("ends_99", "120.60", "120.99"),
        ("ends_99", "0.20", "0.20"),
        ("ends_99", "0", "0"),
        (None, "12.345", "12.35"),
    ],
)
def test_a_price_is_rounded_by_the_rule(
    app: Connection, rule: str | None, price: str, rounded: str
) -> None:
    found = one(app, "SELECT hs.round_price(%s::numeric, %s)", price, rule)
    assert found == Decimal(rounded)


@pytest.fixture
def category(app: Connection) -> UUID:
    """A category of the tenant."""
    return add_category(app, "HVAC")


@pytest.fixture
def task(app: Connection, category: UUID) -> UUID:
    """A task at 200, for members at 170."""
    return add(
        app,
        "service_task",
        pricebook_category_id=category,
        task_code="T1",
        name="Replace the capacitor",
        flat_price=200,
        member_price=170,
    )


@pytest.fixture
def item(app: Connection, category: UUID) -> UUID:
    """An item at 50 that costs 30."""
    return add(
        app,
        "stock_item",
        pricebook_category_id=category,
        sku="CAP45",
        name="Capacitor",
        list_price=50,
        average_cost=30,
    )


def add_level(connection: Connection, code: str, **given: Any) -> UUID:
    """A price level since the beginning of 2026."""
    columns = {"currency_code": "USD", "starts_on": "2026-01-01", "name": code, **given}
    return add(connection, "price_level", level_code=code, **columns)


def add_customer(connection: Connection, number: str = "C1", **given: Any) -> UUID:
    """A customer of the tenant."""
    return add(connection, "customer", customer_number=number, display_name="Ada", **given)


@pytest.fixture
def level(app: Connection) -> UUID:
    """A commercial level that takes 10 % off."""
    return add_level(app, "COMM", default_adjust_pct=-10)


@pytest.fixture
def customer(app: Connection, level: UUID) -> UUID:
    """A customer on the commercial level."""
    return add_customer(app, price_level_id=level)


@pytest.fixture
def agreements(admin: Connection) -> None:
    """What prices ask of agreements, in place of the agreements with all that they demand."""
    if one(admin, "SELECT to_regclass('hs.agreement')"):
        admin.execute("ALTER TABLE hs.agreement RENAME TO agreement_aside")
    admin.execute(
        "CREATE TABLE hs.agreement (business_id uuid, agreement_id uuid DEFAULT"
        " gen_random_uuid(), customer_id uuid, status text, starts_on date, ends_on date);"
        "GRANT SELECT, INSERT ON hs.agreement TO app_user"
    )


def sign(connection: Connection, customer: UUID, **given: Any) -> None:
    """An agreement of 2026, active unless said otherwise."""
    columns = {"status": "active", "starts_on": "2026-01-01", "ends_on": "2026-12-31", **given}
    add(connection, "agreement", customer_id=customer, **columns)


def quote(
    connection: Connection,
    customer: UUID | None,
    task: UUID | None = None,
    item: UUID | None = None,
    quantity: Any = 1,
    day: str | None = TODAY,
) -> tuple[Decimal, Decimal, str]:
    """Price, discount and source of a line."""
    row = connection.execute(
        "SELECT unit_price, discount_pct, source FROM hs.quote_line_price(%s, %s, %s, %s, %s)",
        [customer, task, item, quantity, day],
    ).fetchone()
    assert row
    return row[0], row[1], row[2]


pytestmark = pytest.mark.usefixtures("agreements")


def test_anybody_pays_the_list_price(app: Connection, task: UUID, item: UUID) -> None:
    assert quote(app, None, task) == (200, 0, "list")
    assert quote(app, None, item=item) == (50, 0, "list")
    assert quote(app, add_customer(app), task) == (200, 0, "list")


def test_a_level_adjusts_the_list_price(
    app: Connection, customer: UUID, task: UUID, item: UUID
) -> None:
    assert quote(app, customer, task) == (180, 10, "price_level")
    assert quote(app, customer, item=item) == (45, 10, "price_level")


def test_who_is_on_no_level_is_on_the_default(app: Connection, task: UUID) -> None:
    add_level(app, "STD", default_adjust_pct=20, is_default=True)
    assert quote(app, None, task) == (240, 0, "price_level"), "a markup is no discount"
    assert quote(app, add_customer(app), task) == (240, 0, "price_level")


@pytest.mark.parametrize(
    ("day", "price"),
    [("2025-12-31", 200), ("2026-01-01", 180), ("2026-06-30", 180), ("2026-07-01", 200)],
)
def test_a_level_holds_from_its_first_day_to_its_end(
    app: Connection, customer: UUID, level: UUID, task: UUID, day: str, price: int
) -> None:
    app.execute("UPDATE hs.price_level SET ends_on = '2026-07-01'")
    assert quote(app, customer, task, day=day)[0] == price


@pytest.mark.parametrize(
    ("given", "price"),
    [
        ({}, 170),
        ({"status": "pending"}, 200),
        ({"status": "suspended"}, 200),
        ({"status": "cancelled"}, 200),
        ({"starts_on": "2026-06-16"}, 200),
        ({"starts_on": "2026-06-15"}, 170),
        ({"ends_on": "2026-06-15"}, 170),
        ({"ends_on": "2026-06-14"}, 200),
    ],
)
def test_members_pay_less_while_their_agreement_is_active(
    app: Connection, task: UUID, given: dict[str, Any], price: int
) -> None:
    sign(app, customer := add_customer(app), **given)
    assert quote(app, customer, task)[0] == price


def test_an_agreement_of_another_customer_makes_no_member(app: Connection, task: UUID) -> None:
    sign(app, add_customer(app, "C1"))
    assert quote(app, add_customer(app, "C2"), task) == (200, 0, "list")
    assert quote(app, None, task) == (200, 0, "list")


def test_members_come_before_the_level_and_contracts_before_both(
    app: Connection, customer: UUID, level: UUID, task: UUID
) -> None:
    sign(app, customer)
    assert quote(app, customer, task) == (170, 15, "member")
    agree(app, level, service_task_id=task, pricing_mode="fixed", fixed_price=190)
    assert quote(app, customer, task) == (190, 5, "contract"), "also where it is dearer"


def test_a_task_without_a_price_for_members_costs_them_the_levels(
    app: Connection, customer: UUID, task: UUID
) -> None:
    sign(app, customer)
    app.execute("UPDATE hs.service_task SET member_price = NULL")
    assert quote(app, customer, task) == (180, 10, "price_level")


def agree(connection: Connection, level: UUID, **given: Any) -> UUID:
    """An entry of a level since the beginning of 2026."""
    columns = {"effective_on": "2026-01-01", **given}
    return add(connection, "price_level_entry", price_level_id=level, **columns)


def test_a_contract_takes_percents_off_the_list_price_or_puts_them_on_the_cost(
    app: Connection, customer: UUID, level: UUID, task: UUID, item: UUID
) -> None:
    agree(app, level, service_task_id=task, pricing_mode="discount_pct", adjust_pct=25)
    agree(app, level, stock_item_id=item, pricing_mode="markup_pct", adjust_pct=20)
    assert quote(app, customer, task) == (150, 25, "contract")
    assert quote(app, customer, item=item) == (36, 28, "contract")


def test_where_the_cost_is_unknown_nothing_is_put_on_it(
    app: Connection, customer: UUID, level: UUID, item: UUID
) -> None:
    agree(app, level, stock_item_id=item, pricing_mode="markup_pct", adjust_pct=20)
    app.execute("UPDATE hs.stock_item SET average_cost = 0")
    assert quote(app, customer, item=item) == (45, 10, "price_level")


@pytest.mark.parametrize(
    ("quantity", "price"),
    [("0.5", 180), (1, 160), (9, 160), ("9.9999", 160), (10, 140), (999, 140)],
)
def test_the_band_of_the_quantity_decides(
    app: Connection, customer: UUID, level: UUID, task: UUID, quantity: Any, price: int
) -> None:
    band = {"service_task_id": task, "pricing_mode": "fixed"}
    agree(app, level, **band, fixed_price=160, min_qty=1, max_qty=10)
    agree(app, level, **band, fixed_price=140, min_qty=10)
    assert quote(app, customer, task, quantity=quantity)[0] == price


@pytest.mark.parametrize(
    ("day", "price"),
    [("2026-01-31", 180), ("2026-02-01", 160), ("2026-02-28", 160), ("2026-03-01", 155)],
)
def test_the_contract_of_the_day_decides(
    app: Connection, customer: UUID, level: UUID, task: UUID, day: str, price: int
) -> None:
    fixed = {"service_task_id": task, "pricing_mode": "fixed"}
    agree(app, level, **fixed, fixed_price=160, effective_on="2026-02-01", ends_on="2026-03-01")
    agree(app, level, **fixed, fixed_price=155, effective_on="2026-03-01")
    assert quote(app, customer, task, day=day)[0] == price


def test_a_contract_of_another_level_does_not_hold(
    app: Connection, customer: UUID, task: UUID
) -> None:
    other = add_level(app, "OTHER")
    agree(app, other, service_task_id=task, pricing_mode="fixed", fixed_price=1)
    assert quote(app, customer, task) == (180, 10, "price_level")


def test_the_level_rounds_what_was_not_fixed(
    app: Connection, customer: UUID, level: UUID, task: UUID, item: UUID
) -> None:
    app.execute("UPDATE hs.price_level SET rounding_rule = 'ends_99', default_adjust_pct = -7")
    agree(app, level, stock_item_id=item, pricing_mode="fixed", fixed_price="44.44")
    assert quote(app, customer, task) == (Decimal("185.99"), Decimal("7.005"), "price_level")
    assert quote(app, customer, item=item)[0] == Decimal("44.44"), "promised to the cent"


def test_what_is_free_stays_free(app: Connection, customer: UUID, item: UUID) -> None:
    app.execute("UPDATE hs.stock_item SET list_price = 0")
    assert quote(app, customer, item=item) == (0, 0, "price_level")


@pytest.mark.parametrize(
    ("sold", "quantity", "day"),
    [
        ("neither", 1, TODAY),
        ("both", 1, TODAY),
        ("task", 0, TODAY),
        ("task", -1, TODAY),
        ("task", None, TODAY),
        ("task", 1, None),
    ],
)
def test_a_line_sells_one_thing_in_a_quantity_on_a_day(
    app: Connection, task: UUID, item: UUID, sold: str, quantity: Any, day: str | None
) -> None:
    with pytest.raises(errors.InvalidParameterValue, match="a line sells one task or one item"):
        quote(
            app,
            None,
            task if sold in {"task", "both"} else None,
            item if sold == "both" else None,
            quantity,
            day,
        )


def test_who_and_what_is_not_there_has_no_price(app: Connection, task: UUID) -> None:
    with pytest.raises(errors.NoDataFound, match="there is no customer"), app.transaction():
        quote(app, uuid4(), task)
    with pytest.raises(errors.NoDataFound, match="there is no task or item"):
        quote(app, None, uuid4())


def test_prices_of_another_tenant_are_not_told(app: Connection, task: UUID) -> None:
    app.execute("RESET ROLE")
    become_app(app, add_tenant(app, "second"))
    with pytest.raises(errors.NoDataFound, match="there is no task or item"):
        quote(app, None, task)


@pytest.mark.parametrize(
    "other",
    [
        {"min_qty": 9},
        {"min_qty": 0, "max_qty": 2},
        {"min_qty": 1, "effective_on": "2025-01-01"},
        {"min_qty": 1, "effective_on": "2027-01-01"},
    ],
)
def test_one_price_is_agreed_for_a_quantity_on_a_day(
    app: Connection, level: UUID, task: UUID, other: dict[str, Any]
) -> None:
    fixed = {"service_task_id": task, "pricing_mode": "fixed", "fixed_price": 1}
    agree(app, level, **fixed, min_qty=1, max_qty=10)
    with pytest.raises(errors.ExclusionViolation, match="price_level_entry_one_at_a_time"):
        agree(app, level, **fixed, **other)


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"pricing_mode": "fixed", "fixed_price": None}, "fixed_has_price"),
        ({"pricing_mode": "discount_pct", "fixed_price": 5}, "fixed_has_price"),
        ({"pricing_mode": "discount_pct"}, "percent_has_percent"),
        ({"pricing_mode": "fixed", "fixed_price": 1, "adjust_pct": 1}, "percent_has_percent"),
        ({"pricing_mode": "discount_pct", "adjust_pct": 101}, "discount_leaves_a_price"),
        ({"pricing_mode": "markup_pct", "adjust_pct": 20}, "markup_needs_a_cost"),
        ({"pricing_mode": "fixed", "fixed_price": 1, "max_qty": 0}, "band_is_a_band"),
        ({"pricing_mode": "fixed", "fixed_price": 1, "service_task_id": None}, "of_one_thing"),
    ],
)
def test_an_entry_says_one_price_of_one_thing(
    app: Connection, level: UUID, task: UUID, given: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"price_level_entry_{truth}"):
        agree(app, level, **{"service_task_id": task, **given})


def test_a_tenant_has_one_default_level(app: Connection) -> None:
    add_level(app, "A", is_default=True)
    with pytest.raises(errors.UniqueViolation, match="price_level_default_idx"):
        add_level(app, "B", is_default=True)


def test_a_level_leaves_a_price(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="price_level_leaves_a_price"):
        add_level(app, "FREE", default_adjust_pct=-100)


def test_members_pay_no_more_than_others(app: Connection, task: UUID) -> None:
    app.execute("UPDATE hs.service_task SET member_price = flat_price")
    with pytest.raises(errors.CheckViolation, match="service_task_member_pays_no_more"):
        app.execute("UPDATE hs.service_task SET member_price = flat_price + 0.01")


def test_a_task_uses_an_item_once(app: Connection, task: UUID, item: UUID) -> None:
    used = {"service_task_id": task, "stock_item_id": item, "standard_qty": 1}
    add(app, "service_task_material", **used, line_seq=1)
    with pytest.raises(errors.UniqueViolation):
        add(app, "service_task_material", **used, line_seq=2)


@pytest.fixture
def rate(app: Connection) -> dict[str, Any]:
    """A rate of a unit for weekdays of 2026, 7 to 18 o'clock."""
    columns = {
        "business_unit_id": add_unit(app, add_branch(app)),
        "name": "Technician",
        "hourly_bill_amount": 149,
        "starts_time": "07:00",
        "ends_time": "18:00",
        "effective_on": "2026-01-01",
        "ends_on": "2027-01-01",
    }
    add(app, "labor_rate", rate_code="DAY", **columns)
    return columns


@pytest.mark.parametrize(
    "other",
    [
        {"starts_time": "18:00", "ends_time": "22:00"},
        {"applies_days": "weekend"},
        {"labor_class": "master"},
        {"effective_on": "2027-01-01", "ends_on": None},
    ],
)
def test_hours_cost_differently_by_class_day_and_time(
    app: Connection, rate: dict[str, Any], other: dict[str, Any]
) -> None:
    add(app, "labor_rate", rate_code="OTHER", **{**rate, **other})


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"starts_time": "17:59", "ends_time": "22:00"},
        {"starts_time": None, "ends_time": None},
        {"effective_on": "2026-12-31", "ends_on": None},
    ],
)
def test_an_hour_has_one_rate(app: Connection, rate: dict[str, Any], other: dict[str, Any]) -> None:
    with pytest.raises(errors.ExclusionViolation, match="labor_rate_one_at_a_time"):
        add(app, "labor_rate", rate_code="OTHER", **{**rate, **other})


def test_a_jurisdiction_has_one_rate_at_a_time_of_both_shares(app: Connection) -> None:
    tax = {"jurisdiction_code": "IL-COOK", "name": "Cook", "state_pct": "6.25", "local_pct": "4"}
    first = add(app, "tax_rate", **tax, effective_on="2026-01-01", ends_on="2026-07-01")
    combined = one(app, "SELECT combined_pct FROM hs.tax_rate WHERE tax_rate_id = %s", first)
    assert combined == Decimal("10.25")
    add(app, "tax_rate", **tax, effective_on="2026-07-01")
    add(app, "tax_rate", **tax, tax_kind="labor", effective_on="2026-01-01")
    with pytest.raises(errors.ExclusionViolation, match="tax_rate_one_at_a_time"):
        add(app, "tax_rate", **tax, effective_on="2026-06-30", ends_on="2026-07-01")
