"""The narrowest price counts, the last portion takes an item off, groups and combos nest well."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row

FRIDAY_NIGHT = "2026-06-05 20:00+00"
FRIDAY_AFTERNOON = "2026-06-05 16:00+00"


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("menu", {"effective_to": "2020-01-01"}, "ends_after_start"),
        ("menu_schedule", {"weekday_mask": 128}, "weekdays_in_mask"),
        ("menu_schedule", {"starts_time": "10:00"}, "times_are_whole"),
        ("menu_item", {"base_price": None}, "open_price_only_when_open"),
        ("menu_item", {"item_kind": "alcohol"}, "alcohol_is_restricted"),
        ("menu_item_size", {"portion_factor": 0}, "portion_positive"),
        ("menu_item_price", {"price_kind": "channel"}, "kind_has_scope"),
        ("menu_item_price", {"price": -1}, "not_negative"),
        ("menu_item_location", {"stock_mode": "out_of_stock"}, "out_has_time"),
        ("menu_item_location", {"stock_mode": "countdown"}, "counts_only_down"),
        ("modifier_group", {"required_mode": "required"}, "required_selects_some"),
        ("modifier_group", {"min_select": 2}, "selects_in_order"),
        ("modifier_group", {"pricing_mode": "group"}, "price_by_group"),
        ("combo", {"fixed_price": None}, "fixed_has_price"),
        ("combo", {"max_depth": 2}, "nests_only_when_allowed"),
        ("combo_slot", {"min_choices": 0}, "optional_takes_none"),
        ("combo_slot_option", {}, "item_or_combo"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"rest.{table}", **columns)


def test_one_revision_of_a_card_is_published(app: Connection) -> None:
    for number in (1, 2):
        row(app, "rest.menu", menu_code="FOOD", revision_no=number)
    publish = "UPDATE rest.menu SET state = 'published', published_at = now()"
    with pytest.raises(errors.UniqueViolation, match="menu_published_idx"):
        app.execute(publish.encode())


def test_an_archived_card_stays_archived(app: Connection) -> None:
    row(app, "rest.menu")
    for state in ("published", "archived"):
        app.execute("UPDATE rest.menu SET published_at = now(), state = %s", [state])
    with pytest.raises(errors.CheckViolation, match="archived"):
        app.execute("UPDATE rest.menu SET state = 'draft'")


def test_the_depth_of_a_group_follows_from_its_parents(app: Connection) -> None:
    menu = row(app, "rest.menu")
    parent: UUID | None = None
    for depth in range(3):
        parent = row(app, "rest.menu_group", menu_id=menu, parent_group_id=parent)
        found = app.execute(
            "SELECT depth FROM rest.menu_group WHERE menu_group_id = %s", [parent]
        ).fetchone()
        assert found == (depth,)


def test_a_group_is_not_above_itself(app: Connection) -> None:
    menu = row(app, "rest.menu")
    top = row(app, "rest.menu_group", menu_id=menu)
    low = row(app, "rest.menu_group", menu_id=menu, parent_group_id=top)
    with pytest.raises(errors.CheckViolation, match="would be above itself"):
        app.execute(
            "UPDATE rest.menu_group SET parent_group_id = %s WHERE menu_group_id = %s", [low, top]
        )


def test_a_group_and_its_parent_stand_on_one_menu(app: Connection) -> None:
    parent = row(app, "rest.menu_group")
    with pytest.raises(errors.CheckViolation, match="stand on different menus"):
        row(app, "rest.menu_group", parent_group_id=parent)


def test_one_size_is_the_default(app: Connection) -> None:
    item = row(app, "rest.menu_item")
    row(app, "rest.menu_item_size", menu_item_id=item, is_default=True)
    with pytest.raises(errors.UniqueViolation, match="menu_item_size_default_idx"):
        row(app, "rest.menu_item_size", menu_item_id=item, is_default=True)


def test_the_last_portion_takes_the_item_off(app: Connection) -> None:
    row(app, "rest.menu_item_location", stock_mode="countdown", remaining_qty=2)
    sell = "UPDATE rest.menu_item_location SET remaining_qty = remaining_qty - 1"
    seen = "SELECT stock_mode, remaining_qty, out_reason, version_no FROM rest.menu_item_location"
    app.execute(sell.encode())
    assert app.execute(seen.encode()).fetchone() == ("countdown", 1, None, 2)
    app.execute(sell.encode())
    assert app.execute(seen.encode()).fetchone() == ("out_of_stock", None, "sold out", 3)
    app.execute("UPDATE rest.menu_item_location SET stock_mode = 'unlimited'")
    assert app.execute(seen.encode()).fetchone() == ("unlimited", None, None, 4)


class TestPrice:
    """What an item costs, by the narrowest rule that applies."""

    @pytest.fixture
    def item(self, app: Connection) -> UUID:
        return row(app, "rest.menu_item", base_price=10)

    @pytest.fixture
    def location(self, app: Connection) -> UUID:
        return row(app, "rest.location", timezone="UTC")

    def costs(self, connection: Connection, item: UUID, **given: Any) -> tuple[Any, Any]:
        found = connection.execute(
            "SELECT price, source FROM rest.resolve_item_price(%s, %s, %s, %s, %s::timestamptz)",
            [
                item,
                given.get("size"),
                given.get("location"),
                given.get("channel"),
                given.get("moment", FRIDAY_NIGHT),
            ],
        ).fetchone()
        assert found
        return found[0], found[1]

    def test_without_rules_it_is_the_items_own(self, app: Connection, item: UUID) -> None:
        assert self.costs(app, item) == (Decimal("10.00"), "base")

    def test_an_open_price_is_typed_in(self, app: Connection) -> None:
        item = row(app, "rest.menu_item", base_price=None, pricing_strategy="open")
        assert self.costs(app, item) == (None, "open")

    def test_a_size_has_its_own(self, app: Connection, item: UUID) -> None:
        size = row(app, "rest.menu_item_size", menu_item_id=item, price=14)
        assert self.costs(app, item, size=size) == (Decimal("14.00"), "size")
        assert self.costs(app, item) == (Decimal("10.00"), "base")

    def test_a_channel_has_its_own(self, app: Connection, item: UUID, location: UUID) -> None:
        channel = row(app, "rest.sales_channel")
        known = {"menu_item_id": item, "effective_from": "2026-01-01"}
        row(
            app,
            "rest.menu_item_price",
            price_kind="channel",
            sales_channel_id=channel,
            price=12,
            **known,
        )
        row(
            app,
            "rest.menu_item_price",
            price_kind="location",
            location_id=location,
            price=11,
            **known,
        )
        both = {"location": location, "channel": channel}
        assert self.costs(app, item, **both) == (Decimal("12.00"), "channel")
        assert self.costs(app, item, location=location) == (Decimal("11.00"), "location")

    @pytest.mark.parametrize(
        ("moment", "price"), [(FRIDAY_AFTERNOON, "7.00"), (FRIDAY_NIGHT, "10.00")]
    )
    def test_happy_hour_ends(
        self, app: Connection, item: UUID, location: UUID, moment: str, price: str
    ) -> None:
        period = row(
            app,
            "rest.service_period",
            location_id=location,
            starts_time="15:00",
            ends_time="17:00",
        )
        row(
            app,
            "rest.menu_item_price",
            menu_item_id=item,
            price_kind="happy_hour",
            service_period_id=period,
            price=7,
            effective_from="2026-01-01",
        )
        found = self.costs(app, item, location=location, moment=moment)
        assert found[0] == Decimal(price)

    def test_a_price_applies_on_its_days_and_dates(self, app: Connection, item: UUID) -> None:
        known = {"menu_item_id": item, "price_kind": "event", "price": 5}
        row(
            app,
            "rest.menu_item_price",
            effective_from="2026-01-01",
            effective_to="2026-06-04",
            **known,
        )
        row(app, "rest.menu_item_price", effective_from="2026-06-05", weekday_mask=1, **known)
        assert self.costs(app, item)[1] == "base"
        assert self.costs(app, item, moment="2026-06-08 20:00+00")[1] == "event"

    def test_a_scope_has_one_price_at_a_time(self, app: Connection, item: UUID) -> None:
        known = {"menu_item_id": item, "effective_from": "2026-01-01"}
        row(app, "rest.menu_item_price", **known)
        row(app, "rest.menu_item_price", priority=50, **known)
        with pytest.raises(errors.ExclusionViolation, match="menu_item_price_one_a_scope"):
            row(app, "rest.menu_item_price", **known)


def test_a_sellable_item_is_on_a_card_and_not_out(app: Connection) -> None:
    location = row(app, "rest.location")
    menu = row(app, "rest.menu")
    app.execute("UPDATE rest.menu SET state = 'published', published_at = now()")
    row(app, "rest.menu_schedule", menu_id=menu, location_id=location)
    group = row(app, "rest.menu_group", menu_id=menu)
    for name, mode in (("Soup", "unlimited"), ("Steak", "out_of_stock")):
        item = row(app, "rest.menu_item", display_name=name)
        row(app, "rest.menu_group_item", menu_group_id=group, menu_item_id=item)
        row(
            app,
            "rest.menu_item_location",
            menu_item_id=item,
            location_id=location,
            stock_mode=mode,
            out_since="2026-05-04" if mode == "out_of_stock" else None,
        )
    found = app.execute("SELECT display_name, price FROM rest.v_menu_item_sellable").fetchall()
    assert found == [("Soup", Decimal("10.00"))]


def nest(connection: Connection, group: UUID, child: UUID) -> UUID:
    option = row(connection, "rest.modifier_option", modifier_group_id=group)
    return row(
        connection, "rest.modifier_option_group", modifier_option_id=option, child_group_id=child
    )


def test_a_choice_opens_five_deep_and_never_itself(app: Connection) -> None:
    groups = [row(app, "rest.modifier_group") for _ in range(7)]
    for depth in range(5):
        nested = nest(app, groups[depth], groups[depth + 1])
        found = app.execute(
            "SELECT depth FROM rest.modifier_option_group WHERE modifier_option_group_id = %s",
            [nested],
        ).fetchone()
        assert found == (depth + 1,)
    with app.transaction(force_rollback=True), pytest.raises(errors.CheckViolation, match="depth"):
        nest(app, groups[5], groups[6])
    with pytest.raises(errors.CheckViolation, match="would open itself"):
        nest(app, groups[3], groups[1])


class TestCombo:
    """The parts of a meal and what each is sold for."""

    def fill(self, connection: Connection, combo: UUID, price: float, **given: Any) -> UUID:
        """A slot of the combo with an item of its own, or what is given."""
        course = given.pop("course", "side")
        slot = row(connection, "rest.combo_slot", combo_id=combo, course_default=course)
        what = given or {"menu_item_id": row(connection, "rest.menu_item", base_price=price)}
        return row(connection, "rest.combo_slot_option", combo_slot_id=slot, **what)

    def parts(self, connection: Connection, combo: UUID, chosen: list[UUID]) -> list[Decimal]:
        found = connection.execute(
            "SELECT allocated_price FROM rest.explode_combo(%s, %s) ORDER BY allocated_price DESC",
            [combo, chosen],
        ).fetchall()
        return [price for (price,) in found]

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            ("pro_rata", ["5.01", "2.50", "2.50"]),
            ("to_main", ["10.01", "0.00", "0.00"]),
            ("standalone_price", ["4.01", "3.00", "3.00"]),
        ],
    )
    def test_the_parts_sum_to_the_whole(
        self, app: Connection, rule: str, expected: list[str]
    ) -> None:
        combo = row(app, "rest.combo", fixed_price=10.01, allocation_rule=rule)
        chosen = [
            self.fill(app, combo, 6, course="main"),
            self.fill(app, combo, 3),
            self.fill(app, combo, 3),
        ]
        assert self.parts(app, combo, chosen) == [Decimal(p) for p in expected]

    def test_a_discount_is_taken_off_the_sum(self, app: Connection) -> None:
        combo = row(
            app,
            "rest.combo",
            pricing_mode="sum_less_discount",
            fixed_price=None,
            discount_pct=10,
        )
        chosen = [self.fill(app, combo, 8, course="main"), self.fill(app, combo, 2)]
        assert sum(self.parts(app, combo, chosen)) == Decimal("9.00")

    def test_the_cheapest_is_free(self, app: Connection) -> None:
        combo = row(app, "rest.combo", pricing_mode="cheapest_free", fixed_price=None)
        chosen = [self.fill(app, combo, 8, course="main"), self.fill(app, combo, 2)]
        assert sum(self.parts(app, combo, chosen)) == Decimal("8.00")

    def test_a_combo_within_a_combo_is_taken_apart(self, app: Connection) -> None:
        inner = row(app, "rest.combo")
        outer = row(app, "rest.combo", fixed_price=30, allows_nested=True, max_depth=2)
        leaves = [self.fill(app, inner, 6, course="main"), self.fill(app, inner, 4)]
        chosen = [self.fill(app, outer, 0, nested_combo_id=inner), self.fill(app, outer, 10)]
        assert self.parts(app, outer, [*leaves, *chosen]) == [
            Decimal("15.00"),
            Decimal("9.00"),
            Decimal("6.00"),
        ]

    def test_a_combo_is_not_within_itself(self, app: Connection) -> None:
        combo = row(app, "rest.combo", allows_nested=True, max_depth=3)
        self.fill(app, combo, 0, nested_combo_id=combo)
        with pytest.raises(errors.CheckViolation, match="deep, its limit is 3"):
            self.fill(app, combo, 0, nested_combo_id=combo)

    def test_a_combo_that_nests_nothing_takes_no_combo(self, app: Connection) -> None:
        inner, outer = row(app, "rest.combo"), row(app, "rest.combo")
        with pytest.raises(errors.CheckViolation, match="nest 2 deep, its limit is 1"):
            self.fill(app, outer, 0, nested_combo_id=inner)
