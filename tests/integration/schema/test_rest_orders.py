"""What a check owes follows from its lines; sent lines stand; what is out is not sold."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row

ORDER = {
    "draft": {"scheduled", "open", "cancelled"},
    "scheduled": {"open", "cancelled"},
    "open": {"sent", "completed", "cancelled", "voided"},
    "sent": {"ready", "completed", "cancelled", "voided"},
    "ready": {"sent", "completed", "voided"},
    "completed": set(),
    "cancelled": set(),
    "voided": set(),
}
ORDER_PATHS: dict[str, tuple[str, tuple[str, ...]]] = {
    "draft": ("draft", ()),
    "scheduled": ("scheduled", ()),
    "open": ("open", ()),
    "sent": ("open", ("sent",)),
    "ready": ("open", ("sent", "ready")),
    "completed": ("open", ("completed",)),
    "cancelled": ("open", ("cancelled",)),
    "voided": ("open", ("voided",)),
}


def open_check(connection: Connection, **order: Any) -> UUID:
    """A check of an order in an open day at a location with a tax of 10 percent on food."""
    location = row(connection, "rest.location", timezone="UTC")
    row(
        connection,
        "rest.tax_rate",
        location_id=location,
        tax_class="prepared_food",
        rate_pct=10,
        effective_from="2020-01-01",
    )
    day = row(connection, "rest.business_day", location_id=location)
    placed = row(connection, "rest.guest_order", location_id=location, business_day_id=day, **order)
    return row(connection, "rest.guest_check", guest_order_id=placed, check_number="1")


def add_line(connection: Connection, check: UUID, price: float = 10, **given: Any) -> UUID:
    """A line of an item of its own, taxed as prepared food."""
    item = given.pop("item", None) or row(
        connection, "rest.menu_item", tax_class="prepared_food", base_price=price
    )
    return row(
        connection,
        "rest.check_item",
        guest_check_id=check,
        menu_item_id=item,
        unit_price=price,
        **given,
    )


def owes(connection: Connection, check: UUID) -> dict[str, str]:
    cursor = connection.execute(
        "SELECT subtotal::text, discount_total::text AS off, service_charge_total::text AS charge,"
        " tax_total::text AS tax, balance_due::text AS due, state FROM rest.guest_check"
        " WHERE guest_check_id = %s",
        [check],
    )
    found = cursor.fetchone()
    assert found
    assert cursor.description
    return {c.name: v for c, v in zip(cursor.description, found, strict=True)}


@pytest.mark.parametrize(("before", "after"), list(permutations(ORDER, 2)))
def test_an_order_goes_through_its_states(app: Connection, before: str, after: str) -> None:
    start, path = ORDER_PATHS[before]
    row(app, "rest.guest_order", state=start)
    change = (
        "UPDATE rest.guest_order SET state = %s,"
        " completed_at = CASE WHEN %s = 'completed' THEN now() END"
    )
    for step in path:
        app.execute(change.encode(), [step, step])
    if after in ORDER[before]:
        app.execute(change.encode(), [after, after])
        trail = app.execute(
            "SELECT from_state, to_state FROM rest.order_status_event"
            " ORDER BY occurred_at DESC LIMIT 1"
        ).fetchone()
        assert trail == (before, after)
    else:
        with pytest.raises(errors.CheckViolation, match=rf"{before}.*{after}"):
            app.execute(change.encode(), [after, after])


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("guest_order", {"state": "open", "completed_at": "2036-01-01"}, "completed_has_time"),
        ("guest_order", {"service_mode": "delivery"}, "delivered_somewhere"),
        ("guest_order", {"guest_count": 0}, "guests_bounded"),
        ("guest_check", {"paid_total": 5}, "never_overpaid"),
        ("check_seat", {"seat_number": 0}, "middle_is_shared"),
        ("check_seat", {"has_allergy_alert": True}, "allergy_is_told"),
        ("check_item", {"quantity": 0}, "quantity_positive"),
        ("check_item", {"discount_amount": 11}, "discount_within_price"),
        ("check_item", {"state": "sent"}, "sent_has_time"),
        ("check_item_modifier", {"depth": 2}, "root_has_depth_1"),
        ("check_item_modifier", {"free_text": None}, "option_or_text"),
        ("check_tax", {"is_exempt": True}, "exempt_has_proof"),
        ("check_transfer", {"transfer_kind": "split_evenly"}, "split_has_ways"),
        ("check_transfer", {"transfer_kind": "merge", "quantity_share": 0}, "share_bounded"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"rest.{table}", **columns)


def test_lines_figure_the_check(app: Connection) -> None:
    check = open_check(app)
    add_line(app, check, 10)
    add_line(app, check, 4, quantity=2)
    found = owes(app, check)
    assert found == {
        "subtotal": "18.00",
        "off": "0.00",
        "charge": "0.00",
        "tax": "1.80",
        "due": "19.80",
        "state": "open",
    }


def test_choices_raise_the_price_of_a_line(app: Connection) -> None:
    check = open_check(app)
    line = add_line(app, check, 10, quantity=2)
    bacon = row(app, "rest.check_item_modifier", check_item_id=line, unit_price=3)
    row(app, "rest.check_item_modifier", check_item_id=line, pre_modifier="no", unit_price=5)
    assert owes(app, check)["subtotal"] == "26.00"
    app.execute("DELETE FROM rest.check_item_modifier WHERE check_item_modifier_id = %s", [bacon])
    assert owes(app, check)["subtotal"] == "20.00"


def test_a_voided_line_is_not_owed(app: Connection) -> None:
    check = open_check(app)
    add_line(app, check, 10)
    void(app, add_line(app, check, 5))
    assert owes(app, check)["due"] == "11.00"


def test_an_exempt_check_owes_no_tax(app: Connection) -> None:
    check = open_check(app)
    app.execute("UPDATE rest.guest_check SET is_tax_exempt = true")
    add_line(app, check, 10)
    assert owes(app, check)["tax"] == "0.00"
    assert app.execute("SELECT is_exempt FROM rest.check_tax").fetchone() == (True,)


def test_a_large_party_pays_gratuity(app: Connection) -> None:
    row(
        app,
        "rest.service_charge",
        charge_kind="auto_gratuity",
        amount_basis="percent",
        charge_value=20,
        min_party_size=6,
    )
    check = open_check(app, guest_count=6)
    add_line(app, check, 50)
    add_line(app, check, 50)
    assert owes(app, check)["charge"] == "20.00"
    small = open_check(app, guest_count=5)
    add_line(app, small, 50)
    assert owes(app, small)["charge"] == "0.00"


def test_figuring_a_check_anew_tells_what_it_owes(app: Connection) -> None:
    check = open_check(app)
    add_line(app, check, 10)
    found = app.execute("SELECT * FROM rest.recalculate_check(%s)", [check]).fetchone()
    assert found == tuple(Decimal(x) for x in ("10.00", "1.00", "11.00", "11.00"))


def void(connection: Connection, line: UUID) -> None:
    connection.execute(
        "UPDATE rest.check_item SET state = 'voided', voided_at = now(), void_reason_id = %s,"
        " voided_by_staff_id = %s WHERE check_item_id = %s",
        [row(connection, "rest.reason_code"), row(connection, "rest.staff_member"), line],
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rest.check_item SET unit_price = 1",
        "UPDATE rest.check_item SET quantity = 5",
        "DELETE FROM rest.check_item",
    ],
)
def test_a_line_that_was_sent_stands(app: Connection, statement: str) -> None:
    add_line(app, open_check(app), display_name="Soup", state="sent", sent_at="2036-01-01")
    with pytest.raises(errors.CheckViolation, match="line Soup was sent to the kitchen"):
        app.execute(statement.encode())


def test_a_line_that_was_not_sent_may_change(app: Connection) -> None:
    check = open_check(app)
    add_line(app, check)
    app.execute("UPDATE rest.check_item SET quantity = 3")
    assert owes(app, check)["subtotal"] == "30.00"
    app.execute("DELETE FROM rest.check_item")
    assert owes(app, check)["subtotal"] == "0.00"


@pytest.mark.parametrize(("sent_at", "late"), [(None, False), ("2036-01-01", True)])
def test_a_void_after_sending_is_waste(app: Connection, sent_at: str | None, late: bool) -> None:
    line = add_line(app, open_check(app), state="sent" if sent_at else "new", sent_at=sent_at)
    void(app, line)
    assert app.execute("SELECT void_after_send FROM rest.check_item").fetchone() == (late,)


def test_a_void_has_a_reason(app: Connection) -> None:
    add_line(app, open_check(app))
    with pytest.raises(errors.CheckViolation, match="check_item_void_is_whole"):
        app.execute("UPDATE rest.check_item SET state = 'voided', voided_at = now()")


def offer(connection: Connection, check: UUID, **given: Any) -> UUID:
    """An item that the location of the check offers in a stock mode."""
    item = row(connection, "rest.menu_item", tax_class="prepared_food", display_name="Ribeye")
    found = connection.execute(
        "SELECT location_id FROM rest.guest_order JOIN rest.guest_check USING (business_id,"
        " guest_order_id) WHERE guest_check_id = %s",
        [check],
    ).fetchone()
    assert found
    row(
        connection,
        "rest.menu_item_location",
        menu_item_id=item,
        location_id=found[0],
        **given,
    )
    return item


def test_what_is_counted_down_is_sold_to_the_last(app: Connection) -> None:
    check = open_check(app)
    item = offer(app, check, stock_mode="countdown", remaining_qty=3)
    add_line(app, check, item=item, quantity=2)
    with app.transaction(force_rollback=True), pytest.raises(errors.CheckViolation):
        add_line(app, check, item=item, quantity=2)
    add_line(app, check, item=item)
    with pytest.raises(errors.CheckViolation, match="Ribeye is out"):
        add_line(app, check, item=item)


def test_nothing_is_ordered_in_a_closed_day(app: Connection) -> None:
    day = row(app, "rest.business_day")
    app.execute("UPDATE rest.business_day SET state = 'closing'")
    app.execute(
        "UPDATE rest.business_day SET state = 'closed', closed_at = opened_at + interval '1 hour',"
        " cash_counted = 0, closed_by_staff_id = %s",
        [row(app, "rest.staff_member")],
    )
    with pytest.raises(errors.CheckViolation, match=r"the business day .* is closed"):
        row(app, "rest.guest_order", business_day_id=day)


class TestSplit:
    """The parts of a check add up to the whole."""

    def split(self, connection: Connection, check: UUID, mode: str, **parts: Any) -> list[UUID]:
        found = connection.execute(
            "SELECT rest.split_check(%s, %s, %s)", [check, mode, json.dumps(parts)]
        ).fetchall()
        return [part for (part,) in found]

    def totals(self, connection: Connection) -> list[Decimal]:
        found = connection.execute(
            "SELECT grand_total FROM rest.guest_check ORDER BY check_number"
        ).fetchall()
        return [total for (total,) in found]

    @pytest.mark.parametrize("ways", [2, 3, 7])
    def test_evenly_to_the_cent(self, app: Connection, ways: int) -> None:
        check = open_check(app)
        add_line(app, check, 10)
        add_line(app, check, 9.99, state="sent", sent_at="2036-01-01")
        whole = self.totals(app)[0]
        assert len(self.split(app, check, "evenly", ways=ways)) == ways - 1
        parts = self.totals(app)
        assert sum(parts) == whole
        assert max(parts) - min(parts) < Decimal("0.20")

    def test_by_seat(self, app: Connection) -> None:
        check = open_check(app)
        seats = {
            n: row(app, "rest.check_seat", guest_check_id=check, seat_number=n) for n in (1, 2)
        }
        add_line(app, check, 10, check_seat_id=seats[1])
        add_line(app, check, 20, check_seat_id=seats[2])
        add_line(app, check, 4)
        self.split(app, check, "by_seat", seats=[[2]])
        assert self.totals(app) == [Decimal("15.40"), Decimal("22.00")]

    def test_by_line_with_what_was_taken_off_it(self, app: Connection) -> None:
        check = open_check(app)
        add_line(app, check, 10)
        line = add_line(app, check, 20)
        row(
            app,
            "rest.check_adjustment",
            guest_check_id=check,
            check_item_id=line,
            adjustment_kind="discount",
            amount=-5,
            discount_id=row(app, "rest.discount", discount_value=5),
        )
        self.split(app, check, "by_item", items=[[str(line)]])
        assert self.totals(app) == [Decimal("11.00"), Decimal("16.50")]
        moved = app.execute("SELECT transfer_kind, amount_moved FROM rest.check_transfer")
        assert moved.fetchone() == ("split_item", Decimal("15.00"))

    @pytest.mark.parametrize(
        ("mode", "parts"),
        [("evenly", {"ways": 1}), ("evenly", {"ways": 21}), ("thirds", {}), ("by_seat", {})],
    )
    def test_not_in_one_part(self, app: Connection, mode: str, parts: dict[str, Any]) -> None:
        check = open_check(app)
        with pytest.raises(psycopg.Error, match="split in 2 to 20 parts"):
            self.split(app, check, mode, **parts)

    def test_not_once_something_is_paid(self, app: Connection) -> None:
        check = open_check(app)
        add_line(app, check, 10)
        app.execute("SELECT rest.take_payment(%s, 5)", [check])
        with pytest.raises(errors.CheckViolation, match="check 1 is partially_paid"):
            self.split(app, check, "evenly", ways=2)


class TestChoices:
    """What is wrong with the choices of a line."""

    def problems(self, connection: Connection, line: UUID) -> list[str]:
        found = connection.execute("SELECT problem FROM rest.validate_modifiers(%s)", [line])
        return sorted(problem for (_, problem) in (("", p) for (p,) in found.fetchall()))

    def offer(self, connection: Connection, item: UUID, **group: Any) -> UUID:
        made = row(connection, "rest.modifier_group", display_name="Side", **group)
        row(
            connection,
            "rest.menu_item_modifier_group",
            menu_item_id=item,
            modifier_group_id=made,
        )
        return made

    def choose(self, connection: Connection, line: UUID, group: UUID, **option: Any) -> UUID:
        chosen = row(connection, "rest.modifier_option", modifier_group_id=group, **option)
        return row(
            connection,
            "rest.check_item_modifier",
            check_item_id=line,
            modifier_option_id=chosen,
        )

    @pytest.fixture
    def item(self, app: Connection) -> UUID:
        return row(app, "rest.menu_item", tax_class="prepared_food")

    def test_too_few_and_too_many(self, app: Connection, item: UUID) -> None:
        line = add_line(app, open_check(app), item=item)
        group = self.offer(app, item, min_select=1, required_mode="required")
        assert self.problems(app, line) == ["Side: choose at least 1"]
        self.choose(app, line, group)
        assert self.problems(app, line) == []
        self.choose(app, line, group)
        assert self.problems(app, line) == ["Side: choose at most 1"]

    def test_what_is_out_or_not_offered(self, app: Connection, item: UUID) -> None:
        line = add_line(app, open_check(app), item=item)
        group = self.offer(app, item)
        self.choose(app, line, group, is_out_of_stock=True, display_name="Fries")
        self.choose(app, line, row(app, "rest.modifier_group"), display_name="Oil")
        assert self.problems(app, line) == ["Fries is out", "Oil is not offered with this"]

    def test_a_choice_that_opens_another(self, app: Connection, item: UUID) -> None:
        line = add_line(app, open_check(app), item=item)
        side = self.offer(app, item)
        dip = row(
            app,
            "rest.modifier_group",
            display_name="Dip",
            min_select=1,
            required_mode="required",
        )
        option = row(app, "rest.modifier_option", modifier_group_id=side)
        row(
            app,
            "rest.modifier_option_group",
            modifier_option_id=option,
            child_group_id=dip,
        )
        row(app, "rest.check_item_modifier", check_item_id=line, modifier_option_id=option)
        assert self.problems(app, line) == ["Dip: choose at least 1"]


def test_the_host_stand_sees_who_sits_and_what_they_owe(app: Connection) -> None:
    check = open_check(app, service_mode="dine_in")
    add_line(app, check, 10)
    location = app.execute("SELECT location_id FROM rest.location").fetchone()
    assert location
    plan = row(app, "rest.floor_plan", location_id=location[0], is_default=True)
    area = row(app, "rest.dining_area", floor_plan_id=plan)
    table = row(app, "rest.dining_table", dining_area_id=area, table_number="12")
    session = row(app, "rest.table_session", dining_table_id=table, party_size=3)
    app.execute("UPDATE rest.guest_order SET table_session_id = %s", [session])
    found = app.execute(
        "SELECT table_number, state, party_size, balance_due FROM rest.v_floor_live"
    ).fetchall()
    assert found == [("12", "occupied", 3, Decimal("11.00"))]


def test_open_checks_tell_what_was_not_sent(app: Connection) -> None:
    check = open_check(app)
    add_line(app, check, 10)
    add_line(app, check, 10, state="sent", sent_at="2036-01-01")
    found = app.execute("SELECT balance_due, unsent FROM rest.v_open_checks").fetchall()
    assert found == [(Decimal("22.00"), 1)]
