"""A line goes to the station that makes it, a touch moves its ticket on, the order follows."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_rest_orders import add_line, open_check, void

TICKET = {
    "queued": {"fired", "cancelled"},
    "fired": {"in_progress", "ready", "bumped", "cancelled"},
    "in_progress": {"ready", "bumped", "cancelled"},
    "ready": {"in_progress", "bumped", "recalled", "cancelled"},
    "bumped": {"recalled"},
    "recalled": {"in_progress", "ready", "bumped", "cancelled"},
    "cancelled": set(),
}
TICKET_PATHS: dict[str, tuple[str, ...]] = {
    "queued": (),
    "fired": ("fired",),
    "in_progress": ("fired", "in_progress"),
    "ready": ("fired", "ready"),
    "bumped": ("fired", "bumped"),
    "recalled": ("fired", "bumped", "recalled"),
    "cancelled": ("cancelled",),
}
ITEM = {
    "waiting": {"started", "done", "voided"},
    "started": {"waiting", "done", "voided"},
    "done": {"started", "voided"},
    "voided": set(),
}
ITEM_PATHS: dict[str, tuple[str, ...]] = {
    "waiting": (),
    "started": ("started",),
    "done": ("done",),
    "voided": ("voided",),
}
SEVEN = datetime(2036, 5, 1, 19, tzinfo=UTC)


def one(connection: Connection, query: str, *given: Any) -> Any:
    """The only value of the only row."""
    found = connection.execute(query.encode(), given).fetchall()
    assert len(found) == 1
    return found[0][0]


@dataclass
class Line:
    """A kitchen with one station, and a course of an order that waits to be sent to it."""

    connection: Connection
    kitchen: UUID
    station: UUID
    check: UUID
    order: UUID
    course: UUID

    def add(self, prep_seconds: int = 300, station: UUID | None = None, **given: Any) -> UUID:
        """A line of an item that a station makes."""
        item = row(self.connection, "rest.menu_item", prep_seconds=prep_seconds, base_price=10)
        self.route(station or self.station, menu_item_id=item)
        return add_line(
            self.connection, self.check, item=item, order_course_id=self.course, **given
        )

    def add_station(self, **given: Any) -> UUID:
        return row(self.connection, "rest.prep_station", kitchen_id=self.kitchen, **given)

    def route(self, station: UUID, **given: Any) -> UUID:
        return row(self.connection, "rest.station_routing_rule", prep_station_id=station, **given)

    def fire(self, course: UUID | None = None) -> list[UUID]:
        found = self.connection.execute(
            "SELECT rest.fire_course(%s)", [course or self.course]
        ).fetchall()
        return [ticket for (ticket,) in found]

    def bump(self, ticket: UUID, **given: Any) -> str:
        named = "".join(f", {name} => %({name})s" for name in given)
        return str(
            self.connection.execute(
                f"SELECT rest.bump_ticket(%(ticket)s{named})".encode(), {"ticket": ticket, **given}
            ).fetchall()[0][0]
        )

    def stations(self) -> set[UUID]:
        found = self.connection.execute("SELECT prep_station_id FROM rest.kitchen_ticket")
        return {station for (station,) in found.fetchall()}


def line(
    connection: Connection, expo: str = "none", course: dict[str, Any] | None = None, **given: Any
) -> Line:
    kitchen = row(connection, "rest.kitchen", expo_mode=expo)
    station = row(connection, "rest.prep_station", kitchen_id=kitchen, **given)
    check = open_check(connection, kitchen_id=kitchen)
    order = one(connection, "SELECT guest_order_id FROM rest.guest_check")
    return Line(
        connection,
        kitchen,
        station,
        check,
        order,
        row(connection, "rest.order_course", guest_order_id=order, **(course or {})),
    )


def states(connection: Connection) -> tuple[str, ...]:
    """Of the only line, course and order."""
    return (
        one(connection, "SELECT state FROM rest.check_item"),
        one(connection, "SELECT state FROM rest.order_course"),
        one(connection, "SELECT state FROM rest.guest_order"),
    )


class TestStates:
    """Tickets and items go through their states, and no others."""

    CHANGE = (
        "UPDATE rest.kitchen_ticket SET state = %(state)s, fired_at = coalesce(fired_at, now()),"
        " started_at = coalesce(started_at, now()), ready_at = coalesce(ready_at, now()),"
        " bumped_at = CASE WHEN %(state)s = 'bumped' THEN now() END,"
        " recall_count = recall_count + (%(state)s = 'recalled')::integer"
    )
    COOK = (
        "UPDATE rest.kitchen_ticket_item SET state = %(state)s, started_at = now(),"
        " done_at = CASE WHEN %(state)s = 'done' THEN now() END,"
        " actual_seconds = CASE WHEN %(state)s = 'done' THEN 0 END"
    )

    @pytest.mark.parametrize(("before", "after"), list(permutations(TICKET, 2)))
    def test_of_a_ticket(self, app: Connection, before: str, after: str) -> None:
        row(app, "rest.kitchen_ticket")
        for step in TICKET_PATHS[before]:
            app.execute(self.CHANGE.encode(), {"state": step})
        if after in TICKET[before]:
            app.execute(self.CHANGE.encode(), {"state": after})
            assert one(app, "SELECT state FROM rest.kitchen_ticket") == after
        else:
            with pytest.raises(errors.CheckViolation, match=rf"{before}.*{after}"):
                app.execute(self.CHANGE.encode(), {"state": after})

    @pytest.mark.parametrize("state", ["in_progress", "ready", "bumped", "recalled", "cancelled"])
    def test_a_ticket_starts_queued_or_fired(self, app: Connection, state: str) -> None:
        with pytest.raises(errors.CheckViolation, match=f"cannot start as {state}"):
            row(app, "rest.kitchen_ticket", state=state)

    @pytest.mark.parametrize(("before", "after"), list(permutations(ITEM, 2)))
    def test_of_an_item(self, app: Connection, before: str, after: str) -> None:
        row(app, "rest.kitchen_ticket_item")
        for step in ITEM_PATHS[before]:
            app.execute(self.COOK.encode(), {"state": step})
        if after in ITEM[before]:
            app.execute(self.COOK.encode(), {"state": after})
            assert one(app, "SELECT state FROM rest.kitchen_ticket_item") == after
        else:
            with pytest.raises(errors.CheckViolation, match=rf"{before}.*{after}"):
                app.execute(self.COOK.encode(), {"state": after})


NOON, ONE = "2036-05-01 12:00+00", "2036-05-01 13:00+00"


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("station_routing_rule", {}, "routes_one_thing"),
        ("station_routing_rule", {"weekday_mask": 0}, "weekdays_in_mask"),
        ("station_routing_rule", {"starts_time": "12:00"}, "window_is_whole"),
        (
            "station_routing_rule",
            {"starts_time": "12:00", "ends_time": "12:00"},
            "window_takes_time",
        ),
        ("prep_time_standard", {"target_seconds": 0}, "target_positive"),
        (
            "prep_time_standard",
            {
                "learned_p50_seconds": 2,
                "learned_p90_seconds": 1,
                "sample_count": 1,
                "computed_at": NOON,
            },
            "p90_at_least_p50",
        ),
        ("prep_time_standard", {"sample_count": 1}, "learned_is_whole"),
        ("prep_time_standard", {"sample_count": -1}, "samples_not_negative"),
        ("prep_time_standard", {"is_batchable": True}, "batch_has_size"),
        ("prep_time_standard", {"is_batchable": True, "max_batch": 1}, "batch_is_several"),
        ("prep_time_standard", {"hold_limit_seconds": 0}, "hold_positive"),
        ("kitchen_ticket", {"queued_at": ONE, "fired_at": NOON}, "fired_after_queuing"),
        ("kitchen_ticket", {"queued_at": ONE, "started_at": NOON}, "started_after_firing"),
        ("kitchen_ticket", {"queued_at": ONE, "ready_at": NOON}, "ready_after_start"),
        ("kitchen_ticket", {"state": "fired"}, "state_has_time"),
        ("kitchen_ticket", {"queued_at": NOON, "bumped_at": ONE}, "bumped_has_time"),
        ("kitchen_ticket", {"recall_count": -1}, "recalls_not_negative"),
        ("kitchen_ticket", {"item_count": -1}, "items_not_negative"),
        ("kitchen_ticket", {"target_seconds": 0}, "target_positive"),
        ("kitchen_ticket", {"elapsed_seconds": -1}, "elapsed_not_negative"),
        ("kitchen_ticket_item", {"quantity": 0}, "quantity_positive"),
        ("kitchen_ticket_item", {"hold_seconds": -1}, "hold_not_negative"),
        ("kitchen_ticket_item", {"target_seconds": 0}, "target_positive"),
        ("kitchen_ticket_item", {"done_at": NOON}, "done_is_whole"),
        ("kitchen_ticket_event", {"ticket_age_ms": -1}, "milliseconds_not_negative"),
        ("kitchen_ticket_event", {"station_depth": -1}, "depth_not_negative"),
        ("kitchen_ticket_event", {"from_state": "cold"}, "states_known"),
        ("station_load_sample", {"late_items": 1}, "late_are_open"),
        ("station_load_sample", {"backlog_seconds": -1}, "not_negative"),
        ("station_load_sample", {"utilisation_pct": 101}, "utilisation_bounded"),
        ("station_load_sample", {"open_tickets": 1}, "oldest_is_open"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    if table == "station_routing_rule" and columns:
        columns = {**columns, "menu_item_id": row(app, "rest.menu_item")}
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, f"rest.{table}", **columns)


def test_a_remake_says_of_what_and_why(app: Connection) -> None:
    burnt = row(app, "rest.kitchen_ticket_item")
    row(
        app,
        "rest.kitchen_ticket_item",
        remake_of_item_id=burnt,
        remake_reason_id=row(app, "rest.reason_code"),
    )
    with pytest.raises(errors.CheckViolation, match="remake_has_reason"):
        row(app, "rest.kitchen_ticket_item", remake_of_item_id=burnt)


def test_an_item_has_one_standard_a_daypart(app: Connection) -> None:
    item, station = row(app, "rest.menu_item"), row(app, "rest.prep_station")
    row(app, "rest.prep_time_standard", menu_item_id=item, prep_station_id=station)
    with pytest.raises(errors.UniqueViolation):
        row(app, "rest.prep_time_standard", menu_item_id=item, prep_station_id=station)


@pytest.mark.parametrize("table", ["kitchen_ticket_event", "station_load_sample"])
@pytest.mark.parametrize(
    "statement", ["UPDATE rest.{} SET created_at = now()", "DELETE FROM rest.{}"]
)
def test_the_trail_stands(admin: Connection, app: Connection, table: str, statement: str) -> None:
    row(app, f"rest.{table}")
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute(statement.format(table).encode())


class TestRoutes:
    """Every line goes to the station of the most specific rule."""

    def test_an_item_before_its_group(self, app: Connection) -> None:
        it = line(app)
        fryer = it.add_station()
        item = row(app, "rest.menu_item")
        group = row(app, "rest.menu_group")
        row(app, "rest.menu_group_item", menu_group_id=group, menu_item_id=item)
        it.route(it.station, menu_group_id=group, priority=1)
        it.route(fryer, menu_item_id=item, priority=99)
        add_line(app, it.check, item=item, order_course_id=it.course)
        it.fire()
        assert it.stations() == {fryer}

    def test_a_group_where_the_item_has_no_rule(self, app: Connection) -> None:
        it = line(app)
        item = row(app, "rest.menu_item")
        group = row(app, "rest.menu_group")
        row(app, "rest.menu_group_item", menu_group_id=group, menu_item_id=item)
        it.route(it.station, menu_group_id=group)
        add_line(app, it.check, item=item, order_course_id=it.course)
        it.fire()
        assert it.stations() == {it.station}

    @pytest.mark.parametrize(
        ("narrow", "wins"),
        [
            ({"service_mode": "dine_in"}, True),
            ({"service_mode": "delivery"}, False),
            ({"weekday_mask": 127, "starts_time": "00:00", "ends_time": "23:59:59.999"}, True),
            ({"priority": 99}, True),
            ({"priority": 101}, False),
            ({"is_active": False, "priority": 1}, False),
            ({"effective_from": "2099-01-01", "priority": 1}, False),
        ],
    )
    def test_the_narrower_rule_then_the_lower_number(
        self, app: Connection, narrow: dict[str, Any], wins: bool
    ) -> None:
        it = line(app)
        app.execute("UPDATE rest.guest_order SET service_mode = 'dine_in'")
        other = it.add_station()
        it.add()
        item = one(app, "SELECT menu_item_id FROM rest.check_item")
        it.route(other, menu_item_id=item, **narrow)
        it.fire()
        assert it.stations() == {other if wins else it.station}

    @pytest.mark.parametrize("scope", ["virtual_brand_id", "sales_channel_id"])
    @pytest.mark.parametrize("same", [True, False])
    def test_a_rule_of_a_brand_or_channel(self, app: Connection, scope: str, same: bool) -> None:
        it = line(app)
        other = it.add_station()
        it.add()
        item = one(app, "SELECT menu_item_id FROM rest.check_item")
        parent = row(app, f"rest.{scope.removesuffix('_id')}")
        if same:
            app.execute(f"UPDATE rest.guest_order SET {scope} = %s".encode(), [parent])
        it.route(other, menu_item_id=item, **{scope: parent})
        it.fire()
        assert it.stations() == {other if same else it.station}

    def test_only_a_station_of_the_kitchen_that_cooks(self, app: Connection) -> None:
        it = line(app)
        it.add()
        item = one(app, "SELECT menu_item_id FROM rest.check_item")
        it.route(row(app, "rest.prep_station"), menu_item_id=item, priority=1)
        it.fire()
        assert it.stations() == {it.station}

    @pytest.mark.parametrize(("backup", "stands_in"), [("open", True), ("down", False)])
    def test_a_station_that_is_down_is_stood_in_for(
        self, app: Connection, backup: str, stands_in: bool
    ) -> None:
        it = line(app)
        other = it.add_station(state=backup)
        app.execute(
            "UPDATE rest.prep_station SET state = 'down', backup_station_id = %s"
            " WHERE prep_station_id = %s",
            [other, it.station],
        )
        it.add()
        it.fire()
        assert it.stations() == {other if stands_in else it.station}

    def test_a_choice_of_its_own_goes_to_its_station_too(self, app: Connection) -> None:
        it = line(app)
        fryer = it.add_station()
        fries = row(app, "rest.modifier_option", display_name="Fries", prep_seconds=45)
        it.route(fryer, modifier_option_id=fries, route_kind="assemble")
        chosen = {"modifier_option_id": fries, "display_name": "Fries"}
        row(app, "rest.check_item_modifier", check_item_id=it.add(), **chosen)
        it.fire()
        found = app.execute(
            "SELECT t.prep_station_id, n.target_seconds, n.modifier_summary"
            " FROM rest.kitchen_ticket AS t JOIN rest.kitchen_ticket_item AS n"
            " USING (business_id, kitchen_ticket_id)"
        ).fetchall()
        assert set(found) == {(it.station, 300, "Fries"), (fryer, 45, "Fries")}

    def test_what_no_station_makes_is_not_lost(self, app: Connection) -> None:
        it = line(app)
        it.add(display_name="Soup")
        add_line(app, it.check, display_name="Riddle", order_course_id=it.course)
        with pytest.raises(errors.CheckViolation, match="no station makes Riddle"):
            it.fire()

    def test_what_is_only_printed_leaves_no_ticket(self, app: Connection) -> None:
        it = line(app)
        item = row(app, "rest.menu_item")
        it.route(it.station, menu_item_id=item, route_kind="print_only")
        add_line(app, it.check, item=item, order_course_id=it.course)
        assert it.fire() == []
        assert one(app, "SELECT state FROM rest.check_item") == "sent"

    @pytest.mark.parametrize(("splits", "tickets"), [(False, 1), (True, 2)])
    def test_a_course_of_everything_may_be_split(
        self, app: Connection, splits: bool, tickets: int
    ) -> None:
        it = line(app)
        for kind in ("starter", "main"):
            item = row(app, "rest.menu_item", default_course=kind)
            it.route(it.station, menu_item_id=item, splits_by_course=splits)
            add_line(app, it.check, item=item, order_course_id=it.course)
        assert len(it.fire()) == tickets


class TestFire:
    """Firing sends a course once, with targets, holds and what the cook must know."""

    def test_sends_line_course_and_order(self, app: Connection) -> None:
        it = line(app)
        it.add()
        cook = row(app, "rest.staff_member")
        app.execute("SELECT rest.fire_course(%s, %s)", [it.course, cook])
        assert states(app) == ("sent", "fired", "sent")
        assert one(app, "SELECT fired_by_staff_id FROM rest.order_course") == cook
        found = app.execute(
            "SELECT state, ticket_kind, item_count, target_seconds,"
            " extract(epoch FROM due_at - fired_at)::integer, kitchen_id FROM rest.kitchen_ticket"
        ).fetchall()
        assert found == [("fired", "prep", 1, 300, 300, it.kitchen)]

    def test_fired_twice_the_kitchen_has_it_once(self, app: Connection) -> None:
        it = line(app)
        it.add()
        assert len(it.fire()) == 1
        assert it.fire() == []

    def test_what_comes_later_is_an_add_on(self, app: Connection) -> None:
        it = line(app)
        it.add()
        it.bump(it.fire()[0])
        assert states(app)[1:] == ("ready", "ready")
        it.add()
        (later,) = it.fire()
        found = app.execute(
            "SELECT ticket_kind, ticket_number FROM rest.kitchen_ticket"
            " WHERE kitchen_ticket_id = %s",
            [later],
        ).fetchone()
        assert found
        assert found[0] == "add_on"
        assert found[1].endswith("-2")
        assert one(app, "SELECT state FROM rest.guest_order") == "sent"
        assert one(app, "SELECT state FROM rest.order_course") == "fired"

    def test_nothing_is_fired_in_a_course_that_was_called_off(self, app: Connection) -> None:
        it = line(app)
        it.add()
        app.execute("UPDATE rest.order_course SET state = 'cancelled'")
        with pytest.raises(errors.CheckViolation, match="is cancelled"):
            it.fire()

    def test_nothing_is_fired_in_a_course_that_was_served(self, app: Connection) -> None:
        it = line(app)
        it.add()
        it.bump(it.fire()[0])
        app.execute("UPDATE rest.order_course SET state = 'served', served_at = ready_at")
        it.add()
        with pytest.raises(errors.CheckViolation, match="is served"):
            it.fire()

    def test_nothing_is_fired_for_an_order_that_is_over(self, app: Connection) -> None:
        it = line(app)
        it.add()
        app.execute("UPDATE rest.guest_order SET state = 'cancelled'")
        with pytest.raises(errors.CheckViolation, match="the order cancelled"):
            it.fire()

    def test_a_course_must_be_there(self, app: Connection) -> None:
        with pytest.raises(errors.NoDataFound):
            app.execute("SELECT rest.fire_course(%s)", [uuid4()])

    def test_the_standard_of_the_station_is_the_target(self, app: Connection) -> None:
        it = line(app)
        it.add(prep_seconds=300)
        item = one(app, "SELECT menu_item_id FROM rest.check_item")
        row(
            app,
            "rest.prep_time_standard",
            menu_item_id=item,
            prep_station_id=it.station,
            target_seconds=420,
        )
        it.fire()
        assert one(app, "SELECT target_seconds FROM rest.kitchen_ticket_item") == 420

    def test_the_standard_of_the_daypart_comes_first(self, app: Connection) -> None:
        it = line(app)
        it.add()
        item = one(app, "SELECT menu_item_id FROM rest.check_item")
        period = row(app, "rest.service_period", starts_time="00:00", ends_time="23:59:59.999")
        of = {"menu_item_id": item, "prep_station_id": it.station}
        row(app, "rest.prep_time_standard", **of, target_seconds=420)
        row(app, "rest.prep_time_standard", **of, target_seconds=500, service_period_id=period)
        it.fire()
        assert one(app, "SELECT target_seconds FROM rest.kitchen_ticket_item") == 500

    def test_by_prep_time_the_quick_one_waits_for_the_slow_one(self, app: Connection) -> None:
        it = line(app, course={"fire_rule": "by_prep_time"})
        cold = it.add_station()
        it.add(prep_seconds=600)
        it.add(prep_seconds=100, station=cold)
        it.fire()
        found = app.execute(
            "SELECT prep_station_id, state,"
            " extract(epoch FROM fired_at - queued_at)::integer,"
            " extract(epoch FROM due_at - queued_at)::integer FROM rest.kitchen_ticket"
        ).fetchall()
        assert set(found) == {(it.station, "fired", 0, 600), (cold, "queued", 500, 600)}

    def test_the_quick_dish_of_a_ticket_is_begun_later(self, app: Connection) -> None:
        it = line(app)
        it.add(prep_seconds=600)
        it.add(prep_seconds=200)
        it.fire()
        found = app.execute("SELECT target_seconds, hold_seconds FROM rest.kitchen_ticket_item")
        assert set(found.fetchall()) == {(600, 0), (200, 400)}

    def test_the_cook_reads_choices_requests_and_allergies(self, app: Connection) -> None:
        it = line(app)
        seat = row(
            app,
            "rest.check_seat",
            guest_check_id=it.check,
            seat_number=1,
            has_allergy_alert=True,
            allergy_note="Nuts",
        )
        dish = it.add(check_seat_id=seat, special_request="split")
        plain = it.add()
        for place, how in enumerate(("no", "none")):
            row(
                app,
                "rest.check_item_modifier",
                check_item_id=dish,
                pre_modifier=how,
                display_name="onion" if how == "no" else "Bacon",
                sequence_no=place,
            )
        it.fire()
        found = app.execute(
            "SELECT check_item_id, has_allergy_flag, modifier_summary FROM rest.kitchen_ticket_item"
        ).fetchall()
        assert set(found) == {(dish, True, "no onion, Bacon, split"), (plain, False, None)}

    @pytest.mark.parametrize(("level", "priority"), [("vip", "vip"), ("regular", "normal")])
    def test_a_guest_of_honor_goes_first(self, app: Connection, level: str, priority: str) -> None:
        it = line(app)
        it.add()
        app.execute(
            "UPDATE rest.guest_order SET guest_profile_id = %s",
            [row(app, "rest.guest_profile", vip_level=level)],
        )
        it.fire()
        assert one(app, "SELECT priority FROM rest.kitchen_ticket") == priority

    def test_what_was_promised_earlier_is_a_rush(self, app: Connection) -> None:
        it = line(app)
        it.add()
        app.execute("UPDATE rest.guest_order SET promised_at = now() + interval '1 minute'")
        it.fire()
        assert one(app, "SELECT priority FROM rest.kitchen_ticket") == "rush"

    def test_at_once_by_two_servers_it_is_cooked_once(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            it = line(connection)
            it.add()

        def fire(_: int) -> int:
            with psycopg.connect(target.app) as connection:
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                return len(
                    connection.execute("SELECT rest.fire_course(%s)", [it.course]).fetchall()
                )

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(fire, range(4))) == 1


class TestBump:
    """A touch moves a ticket on as its station does it; the order follows."""

    def test_a_ticket_at_a_time(self, app: Connection) -> None:
        it = line(app, bump_mode="ticket")
        it.add()
        (ticket,) = it.fire()
        cook = row(app, "rest.staff_member")
        assert it.bump(ticket, staff=cook) == "bumped"
        assert states(app) == ("ready", "ready", "ready")
        found = app.execute(
            "SELECT state, cooked_by_staff_id, done_at IS NOT NULL FROM rest.kitchen_ticket_item"
        ).fetchone()
        assert found == ("done", cook, True)
        assert it.bump(ticket) == "bumped"

    def test_an_item_at_a_time(self, app: Connection) -> None:
        it = line(app, bump_mode="item")
        it.add()
        it.add()
        (ticket,) = it.fire()
        assert it.bump(ticket) == "in_progress"
        assert one(app, "SELECT count(*) FROM rest.kitchen_ticket_item WHERE state = 'done'") == 1
        assert it.bump(ticket) == "bumped"
        events = "SELECT count(*) FROM rest.kitchen_ticket_event WHERE event_kind = 'item_done'"
        assert one(app, events) == 2

    def test_first_started_then_done(self, app: Connection) -> None:
        it = line(app, bump_mode="two_step")
        it.add()
        (ticket,) = it.fire()
        assert it.bump(ticket) == "in_progress"
        assert states(app) == ("preparing", "fired", "sent")
        assert it.bump(ticket) == "bumped"
        assert states(app) == ("ready", "ready", "ready")

    @pytest.mark.parametrize(("took", "late"), [(300, False), (301, True)])
    def test_it_knows_how_long_it_took(self, app: Connection, took: int, late: bool) -> None:
        it = line(app)
        it.add(prep_seconds=300)
        (ticket,) = it.fire()
        fired = one(app, "SELECT fired_at FROM rest.kitchen_ticket")
        it.bump(ticket, moment=fired + timedelta(seconds=took))
        assert one(app, "SELECT elapsed_seconds FROM rest.kitchen_ticket") == took
        found = app.execute("SELECT actual_seconds, is_late FROM rest.kitchen_ticket_item")
        assert found.fetchone() == (took, late)

    def test_a_course_is_ready_when_all_its_stations_are(self, app: Connection) -> None:
        it = line(app)
        it.add()
        it.add(station=it.add_station())
        first, second = it.fire()
        it.bump(first)
        assert one(app, "SELECT state FROM rest.order_course") == "fired"
        it.bump(second)
        assert one(app, "SELECT state FROM rest.order_course") == "ready"

    def test_an_order_is_ready_when_all_its_courses_are(self, app: Connection) -> None:
        it = line(app)
        dessert = row(
            app, "rest.order_course", guest_order_id=it.order, course_number=2, state="held"
        )
        it.add()
        it.bump(it.fire()[0])
        assert one(app, "SELECT state FROM rest.guest_order") == "sent"
        it.course = dessert
        it.add()
        it.bump(it.fire()[0])
        assert one(app, "SELECT state FROM rest.guest_order") == "ready"

    def test_a_touch_pulls_a_queued_ticket_forward(self, app: Connection) -> None:
        it = line(app, course={"fire_rule": "by_prep_time"})
        cold = it.add_station()
        it.add(prep_seconds=600)
        it.add(prep_seconds=100, station=cold)
        it.fire()
        held = one(app, "SELECT kitchen_ticket_id FROM rest.kitchen_ticket WHERE state = 'queued'")
        assert it.bump(held) == "fired"
        assert it.bump(held) == "bumped"

    def test_a_queued_ticket_whose_time_has_come_is_done(self, app: Connection) -> None:
        it = line(app, course={"fire_rule": "by_prep_time"})
        cold = it.add_station()
        it.add(prep_seconds=600)
        it.add(prep_seconds=100, station=cold)
        it.fire()
        held, due = app.execute(
            "SELECT kitchen_ticket_id, due_at FROM rest.kitchen_ticket WHERE state = 'queued'"
        ).fetchall()[0]
        assert it.bump(held, moment=due) == "bumped"
        assert (
            one(app, "SELECT elapsed_seconds FROM rest.kitchen_ticket WHERE state = 'bumped'")
            == 100
        )

    def test_a_tablet_whose_clock_is_behind_bumps_as_well(self, app: Connection) -> None:
        it = line(app, bump_mode="two_step")
        it.add()
        (ticket,) = it.fire()
        fired = one(app, "SELECT fired_at FROM rest.kitchen_ticket")
        for _ in range(2):
            it.bump(ticket, moment=fired - timedelta(minutes=1))
        found = app.execute("SELECT state, bumped_at FROM rest.kitchen_ticket").fetchall()
        assert found == [("bumped", fired)]

    def test_a_cancelled_ticket_is_not_bumped(self, app: Connection) -> None:
        it = line(app)
        it.add()
        (ticket,) = it.fire()
        app.execute("UPDATE rest.kitchen_ticket SET state = 'cancelled'")
        with pytest.raises(errors.CheckViolation, match="was cancelled"):
            it.bump(ticket)

    def test_a_ticket_must_be_there(self, app: Connection) -> None:
        with pytest.raises(errors.NoDataFound):
            app.execute("SELECT rest.bump_ticket(%s)", [uuid4()])

    def test_of_two_last_stations_one_makes_the_order_ready(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            it = line(connection)
            it.add()
            # On a check of its own: lines of one check wait for each other anyway.
            it.check = row(
                connection, "rest.guest_check", guest_order_id=it.order, check_number="2"
            )
            it.add(station=it.add_station())
            tickets = it.fire()
        with (
            psycopg.connect(target.app) as first,
            psycopg.connect(target.app) as second,
            psycopg.connect(target.admin, autocommit=True) as watch,
            ThreadPoolExecutor(1) as pool,
        ):
            for cook in (first, second):
                cook.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            bump = "SELECT rest.bump_ticket(%s)"
            first.execute(bump, [tickets[0]])
            waits = pool.submit(second.execute, bump, [tickets[1]])
            blocked = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
            while not (waits.done() or one(watch, blocked, second.info.backend_pid)):
                pass
            first.commit()
            waits.result()
            assert one(second, "SELECT state FROM rest.guest_order") == "ready"


class TestPass:
    """In a kitchen with a two-level pass the expediter hands out what the stations have ready."""

    def expo(self, connection: Connection) -> tuple[Line, UUID, UUID]:
        it = line(connection, expo="two_level")
        window = it.add_station(station_kind="expo", is_expo=True, bump_mode="two_step")
        it.add()
        item = one(connection, "SELECT menu_item_id FROM rest.check_item")
        it.route(window, menu_item_id=item, route_kind="expo_copy")
        it.fire()
        found = connection.execute(
            "SELECT kitchen_ticket_id FROM rest.kitchen_ticket ORDER BY ticket_kind = 'expo'"
        ).fetchall()
        (ticket,), (copy,) = found
        return it, ticket, copy

    def kinds(self, connection: Connection) -> dict[str, str]:
        found = connection.execute("SELECT ticket_kind, state FROM rest.kitchen_ticket")
        return dict(found.fetchall())

    def test_what_a_station_finished_waits_in_the_pass(self, app: Connection) -> None:
        it, ticket, copy = self.expo(app)
        assert it.bump(ticket) == "ready"
        assert self.kinds(app) == {"prep": "ready", "expo": "ready"}
        assert it.bump(copy) == "bumped"
        assert self.kinds(app) == {"prep": "bumped", "expo": "bumped"}

    def test_a_station_may_clear_its_own(self, app: Connection) -> None:
        it, ticket, _ = self.expo(app)
        it.bump(ticket)
        assert it.bump(ticket) == "bumped"

    def test_the_pass_waits_for_the_stations(self, app: Connection) -> None:
        it, _, copy = self.expo(app)
        app.execute("UPDATE rest.prep_station SET display_name = 'Grill' WHERE NOT is_expo")
        with pytest.raises(errors.CheckViolation, match="waits for Grill"):
            it.bump(copy)

    def test_what_is_added_keeps_the_pass_waiting(self, app: Connection) -> None:
        it, ticket, _ = self.expo(app)
        it.bump(ticket)
        item = one(app, "SELECT menu_item_id FROM rest.check_item")
        add_line(app, it.check, item=item, order_course_id=it.course)
        assert len(it.fire()) == 1
        found = app.execute(
            "SELECT state, item_count FROM rest.kitchen_ticket WHERE ticket_kind = 'expo'"
        ).fetchall()
        assert found == [("in_progress", 2)]

    def test_a_kitchen_without_expediter_gets_no_copy(self, app: Connection) -> None:
        it = line(app)
        window = it.add_station(station_kind="expo", is_expo=True)
        it.add()
        item = one(app, "SELECT menu_item_id FROM rest.check_item")
        it.route(window, menu_item_id=item, route_kind="expo_copy")
        assert len(it.fire()) == 1

    def test_a_recall_brings_the_copy_back(self, app: Connection) -> None:
        it, ticket, copy = self.expo(app)
        it.bump(ticket)
        it.bump(copy)
        app.execute("SELECT rest.recall_ticket(%s)", [ticket])
        assert self.kinds(app) == {"prep": "recalled", "expo": "recalled"}
        it.bump(ticket)
        assert self.kinds(app) == {"prep": "ready", "expo": "ready"}


class TestRecall:
    """What was bumped too early comes back."""

    def test_with_line_course_and_order(self, app: Connection) -> None:
        it = line(app)
        it.add()
        (ticket,) = it.fire()
        it.bump(ticket)
        assert one(app, "SELECT rest.recall_ticket(%s)", ticket) == "recalled"
        assert states(app) == ("preparing", "fired", "sent")
        found = app.execute(
            "SELECT recall_count, bumped_at, elapsed_seconds FROM rest.kitchen_ticket"
        ).fetchone()
        assert found == (1, None, None)
        assert one(app, "SELECT state FROM rest.kitchen_ticket_item") == "started"
        assert it.bump(ticket) == "bumped"
        assert states(app) == ("ready", "ready", "ready")

    def test_not_what_is_on_the_screen(self, app: Connection) -> None:
        it = line(app)
        it.add()
        (ticket,) = it.fire()
        with pytest.raises(errors.CheckViolation, match="is fired, it is not recalled"):
            app.execute("SELECT rest.recall_ticket(%s)", [ticket])

    def test_not_what_was_served(self, app: Connection) -> None:
        it = line(app)
        it.add()
        (ticket,) = it.fire()
        it.bump(ticket)
        app.execute("UPDATE rest.order_course SET state = 'served', served_at = ready_at")
        with pytest.raises(errors.CheckViolation, match="was served, it is not recalled"):
            app.execute("SELECT rest.recall_ticket(%s)", [ticket])

    def test_a_ticket_must_be_there(self, app: Connection) -> None:
        with pytest.raises(errors.NoDataFound):
            app.execute("SELECT rest.recall_ticket(%s)", [uuid4()])


class TestTrail:
    """Every touch is written down with its age, its depth and who it was."""

    def kinds(self, connection: Connection) -> list[tuple[str, str | None, str | None]]:
        return connection.execute(
            "SELECT event_kind, from_state, to_state FROM rest.kitchen_ticket_event"
            " ORDER BY occurred_at, kitchen_ticket_event_id"
        ).fetchall()

    def test_of_a_ticket(self, app: Connection) -> None:
        screen = row(app, "rest.pos_device")
        it = line(app, bump_mode="two_step", display_device_id=screen)
        it.add()
        (ticket,) = it.fire()
        cook = row(app, "rest.staff_member")
        it.bump(ticket, staff=cook)
        it.bump(ticket, staff=cook)
        app.execute("SELECT rest.recall_ticket(%s)", [ticket])
        assert self.kinds(app) == [
            ("fired", None, "fired"),
            ("started", "fired", "in_progress"),
            ("bumped", "in_progress", "bumped"),
            ("recalled", "bumped", "recalled"),
        ]
        found = app.execute(
            "SELECT actor_staff_id, pos_device_id, station_depth FROM rest.kitchen_ticket_event"
            " WHERE event_kind IN ('started', 'bumped') ORDER BY occurred_at"
        ).fetchall()
        assert found == [(cook, screen, 1), (cook, screen, 0)]

    def test_with_its_age_to_the_millisecond(self, app: Connection) -> None:
        it = line(app)
        it.add()
        (ticket,) = it.fire()
        queued = one(app, "SELECT queued_at FROM rest.kitchen_ticket")
        it.bump(ticket, moment=queued + timedelta(milliseconds=90_125))
        age = "SELECT ticket_age_ms FROM rest.kitchen_ticket_event WHERE event_kind = 'bumped'"
        assert one(app, age) == 90_125

    @pytest.mark.parametrize(
        ("minutes", "staffed", "kind"),
        [(29, False, "bumped"), (30, False, "auto_bumped"), (30, True, "bumped")],
    )
    def test_tells_the_clock_from_a_cook(
        self, app: Connection, minutes: int, staffed: bool, kind: str
    ) -> None:
        it = line(app, auto_bump_minutes=30)
        it.add()
        (ticket,) = it.fire()
        fired = one(app, "SELECT fired_at FROM rest.kitchen_ticket")
        staff = row(app, "rest.staff_member") if staffed else None
        it.bump(ticket, staff=staff, moment=fired + timedelta(minutes=minutes))
        assert self.kinds(app)[-1][0] == kind

    def test_of_another_station(self, app: Connection) -> None:
        it = line(app)
        it.add()
        it.fire()
        other = row(app, "rest.prep_station")
        app.execute("UPDATE rest.kitchen_ticket SET prep_station_id = %s", [other])
        assert self.kinds(app)[-1] == ("rerouted", "fired", "fired")
        payload = "SELECT payload FROM rest.kitchen_ticket_event WHERE event_kind = 'rerouted'"
        assert one(app, payload) == {"from_station": str(it.station), "to_station": str(other)}
        same = (
            "SELECT count(*) FROM rest.kitchen_ticket JOIN rest.prep_station"
            " USING (business_id, prep_station_id, kitchen_id)"
        )
        assert one(app, same) == 1

    def test_of_a_rush(self, app: Connection) -> None:
        it = line(app)
        it.add()
        it.fire()
        app.execute("UPDATE rest.kitchen_ticket SET priority = 'rush'")
        assert self.kinds(app)[-1] == ("priority_changed", "fired", "fired")

    def test_not_of_what_is_imported(self, admin: Connection, app: Connection) -> None:
        it = line(app)
        ticket = row(app, "rest.kitchen_ticket", prep_station_id=it.station)
        before = self.kinds(app)
        app.execute("RESET ROLE")
        app.execute(
            "UPDATE rest.kitchen_ticket SET priority = 'vip' WHERE kitchen_ticket_id = %s",
            [ticket],
        )
        assert self.kinds(app) == before


class TestVoid:
    """What is not wanted any more leaves the screens."""

    def test_a_ticket_with_nothing_left_is_cancelled(self, app: Connection) -> None:
        it = line(app)
        it.add()
        it.fire()
        void(app, one(app, "SELECT check_item_id FROM rest.check_item"))
        assert one(app, "SELECT state FROM rest.kitchen_ticket_item") == "voided"
        assert one(app, "SELECT state FROM rest.kitchen_ticket") == "cancelled"

    def test_the_rest_of_a_ticket_is_cooked(self, app: Connection) -> None:
        it = line(app)
        gone = it.add()
        it.add()
        it.fire()
        void(app, gone)
        found = app.execute("SELECT state, item_count FROM rest.kitchen_ticket").fetchall()
        assert found == [("fired", 1)]
        kinds = app.execute("SELECT event_kind FROM rest.kitchen_ticket_event").fetchall()
        assert ("voided",) in kinds

    def test_the_last_one_open_makes_the_rest_ready(self, app: Connection) -> None:
        it = line(app, bump_mode="item")
        it.add()
        it.add()
        (ticket,) = it.fire()
        it.bump(ticket)
        open_line = "SELECT check_item_id FROM rest.kitchen_ticket_item WHERE state = 'waiting'"
        void(app, one(app, open_line))
        found = app.execute(
            "SELECT state, item_count, elapsed_seconds IS NOT NULL FROM rest.kitchen_ticket"
        ).fetchall()
        assert found == [("bumped", 1, True)]
        assert one(app, "SELECT state FROM rest.order_course") == "ready"

    def test_a_course_with_nothing_left_is_not_waited_for(self, app: Connection) -> None:
        TestPass().expo(app)
        void(app, one(app, "SELECT check_item_id FROM rest.check_item"))
        assert states(app)[1:] == ("cancelled", "sent")
        assert TestPass().kinds(app) == {"prep": "cancelled", "expo": "cancelled"}

    def test_the_pass_counts_what_is_left(self, app: Connection) -> None:
        it, _, _ = TestPass().expo(app)
        item = one(app, "SELECT menu_item_id FROM rest.check_item")
        gone = add_line(app, it.check, item=item, order_course_id=it.course)
        it.fire()
        count = "SELECT item_count FROM rest.kitchen_ticket WHERE ticket_kind = 'expo'"
        assert one(app, count) == 2
        void(app, gone)
        assert one(app, count) == 1

    def test_a_line_that_was_not_sent_touches_nothing(self, app: Connection) -> None:
        it = line(app)
        it.add()
        it.fire()
        void(app, it.add())
        assert one(app, "SELECT state FROM rest.kitchen_ticket") == "fired"

    @pytest.mark.parametrize("state", ["cancelled", "voided"])
    def test_an_order_that_is_called_off(self, app: Connection, state: str) -> None:
        it = line(app)
        it.add()
        it.fire()
        app.execute("UPDATE rest.guest_order SET state = %s", [state])
        assert one(app, "SELECT state FROM rest.kitchen_ticket") == "cancelled"
        assert one(app, "SELECT state FROM rest.kitchen_ticket_item") == "voided"


class TestSend:
    """A server enters lines and taps Send."""

    def test_lines_get_price_choices_and_tickets(self, app: Connection) -> None:
        it = line(app)
        item = row(app, "rest.menu_item", base_price=12, tax_class="prepared_food")
        it.route(it.station, menu_item_id=item)
        cheese = row(app, "rest.modifier_option", price=2)
        lines = [{"item": str(item), "quantity": 2, "options": [str(cheese)]}, {"item": str(item)}]
        found = app.execute(
            "SELECT rest.send_lines(%s, %s, %s)", [it.check, it.course, json.dumps(lines)]
        ).fetchall()
        assert len(found) == 1
        sold = app.execute(
            "SELECT line_number, quantity::integer, gross_amount::integer, state"
            " FROM rest.check_item ORDER BY line_number"
        ).fetchall()
        assert sold == [(1, 2, 28, "sent"), (2, 1, 12, "sent")]
        assert one(app, "SELECT item_count FROM rest.kitchen_ticket") == 2
        assert one(app, "SELECT subtotal::integer FROM rest.guest_check") == 40

    def test_two_servers_at_once_add_to_one_check(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            it = line(connection)
            item = row(connection, "rest.menu_item", base_price=12)
            it.route(it.station, menu_item_id=item)

        def send(_: int) -> None:
            with psycopg.connect(target.app) as connection:
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                connection.execute(
                    "SELECT rest.send_lines(%s, %s, %s)",
                    [it.check, it.course, json.dumps([{"item": str(item)}])],
                )

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(send, range(4)))
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            numbers = connection.execute("SELECT line_number FROM rest.check_item").fetchall()
            assert sorted(numbers) == [(1,), (2,), (3,), (4,)]

    def test_a_check_and_a_course_of_one_order(self, app: Connection) -> None:
        it = line(app)
        other = row(app, "rest.order_course")
        with pytest.raises(errors.NoDataFound):
            app.execute("SELECT rest.send_lines(%s, %s, '[]')", [it.check, other])


class TestPromise:
    """An order is promised for the first slot with room, which it takes."""

    def kitchen(self, connection: Connection, *rooms: int, **given: Any) -> UUID:
        """With slots of a quarter of an hour from now on, each with room for so many orders."""
        kitchen = row(connection, "rest.kitchen", **given)
        for place, room in enumerate(rooms):
            self.slot(connection, kitchen, place, max_orders=room)
        return kitchen

    def slot(self, connection: Connection, kitchen: UUID, place: int, **given: Any) -> None:
        begins = one(connection, "SELECT now() + %s * interval '15 minutes'", place)
        row(
            connection,
            "rest.kitchen_capacity_slot",
            kitchen_id=kitchen,
            slot_starts_at=begins,
            **given,
        )

    def promise(self, connection: Connection, kitchen: UUID, **given: Any) -> int | None:
        """In how many minutes."""
        wanted = {"brand": None, "minutes": 10, **given}
        found = one(
            connection,
            "SELECT extract(epoch FROM rest.kitchen_promise(%s, %s, %s) - now())::integer / 60",
            kitchen,
            wanted["brand"],
            wanted["minutes"],
        )
        return None if found is None else int(found)

    def test_the_first_slot_with_room(self, app: Connection) -> None:
        kitchen = self.kitchen(app, 0, 1, 5)
        assert self.promise(app, kitchen) == 25
        assert self.promise(app, kitchen) == 40
        booked = app.execute(
            "SELECT booked_orders, booked_prep_minutes FROM rest.kitchen_capacity_slot"
            " ORDER BY slot_starts_at"
        ).fetchall()
        assert booked == [(0, 0), (1, 10), (1, 10)]

    def test_minutes_count_as_well(self, app: Connection) -> None:
        kitchen = self.kitchen(app, 5, 5)
        assert self.promise(app, kitchen, minutes=40) == 40
        assert self.promise(app, kitchen, minutes=40) == 55

    def test_a_closed_slot_is_passed_over(self, app: Connection) -> None:
        kitchen = self.kitchen(app, 5, 5)
        app.execute(
            "UPDATE rest.kitchen_capacity_slot SET closed_by = 'manager'"
            " WHERE slot_starts_at = now()"
        )
        assert self.promise(app, kitchen) == 25

    def test_a_brand_has_its_own_share(self, app: Connection) -> None:
        kitchen = self.kitchen(app, 5, 5)
        brand = row(app, "rest.virtual_brand")
        self.slot(app, kitchen, 0, max_orders=1, virtual_brand_id=brand)
        assert self.promise(app, kitchen, brand=brand) == 10
        assert self.promise(app, kitchen, brand=brand) == 25
        assert self.promise(app, kitchen) == 10

    def test_a_brand_may_take_longer(self, app: Connection) -> None:
        kitchen = self.kitchen(app, 5)
        brand = row(app, "rest.virtual_brand")
        row(
            app,
            "rest.brand_kitchen",
            kitchen_id=kitchen,
            virtual_brand_id=brand,
            prep_minutes_uplift=3,
            status="live",
        )
        assert self.promise(app, kitchen, brand=brand) == 13

    def test_a_busy_kitchen_quotes_its_own_time(self, app: Connection) -> None:
        kitchen = self.kitchen(app, 5, throttle_state="busy", quoted_prep_minutes=22)
        assert self.promise(app, kitchen) == 22

    @pytest.mark.parametrize("room", [0, 5])
    def test_a_listing_pauses_when_the_window_is_full(self, app: Connection, room: int) -> None:
        kitchen = self.kitchen(app, room, 5, throttle_state="normal" if room == 0 else "paused")
        brand = row(app, "rest.virtual_brand")
        channel = row(
            app,
            "rest.sales_channel",
            channel_kind="marketplace",
            provider="doordash",
            accept_window_seconds=690,
        )
        for of in (brand, row(app, "rest.virtual_brand")):
            row(
                app,
                "rest.channel_store_link",
                kitchen_id=kitchen,
                virtual_brand_id=of,
                sales_channel_id=channel,
                status="online",
            )
        assert self.promise(app, kitchen, brand=brand) is None
        paused = app.execute(
            "SELECT virtual_brand_id, pause_reason,"
            " extract(epoch FROM paused_until - now())::integer FROM rest.channel_store_link"
            " WHERE status = 'paused'"
        ).fetchall()
        assert paused == [(brand, "too_busy", 900)]

    def test_out_of_hours_nothing_is_promised(self, app: Connection) -> None:
        assert self.promise(app, self.kitchen(app)) is None

    def test_an_order_takes_time(self, app: Connection) -> None:
        with pytest.raises(errors.CheckViolation, match="a minute at least, not 0"):
            self.promise(app, self.kitchen(app, 5), minutes=0)

    def test_a_kitchen_must_be_there(self, app: Connection) -> None:
        with pytest.raises(errors.NoDataFound):
            self.promise(app, uuid4())

    def test_two_do_not_get_the_last_place(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            kitchen = self.kitchen(connection, 2)

        def book(_: int) -> bool:
            with psycopg.connect(target.app) as connection:
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                return self.promise(connection, kitchen) is not None

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(book, range(4))) == 2


class TestScreens:
    """The screen of a station and the board of the expediter."""

    def aged(self, connection: Connection, seconds: int) -> None:
        connection.execute(
            "UPDATE rest.kitchen_ticket SET queued_at = now() - make_interval(secs => %s),"
            " fired_at = now() - make_interval(secs => %s)",
            [seconds, seconds],
        )

    @pytest.mark.parametrize(
        ("seconds", "color"),
        [(0, "on_time"), (479, "on_time"), (480, "warn"), (719, "warn"), (720, "late")],
    )
    def test_colors_a_ticket_by_its_age(self, app: Connection, seconds: int, color: str) -> None:
        it = line(app, warn_after_seconds=480, late_after_seconds=720)
        it.add()
        it.fire()
        self.aged(app, seconds)
        found = app.execute("SELECT age_seconds, color FROM rest.v_kds_station_queue").fetchall()
        assert found == [(seconds, color)]

    def test_shows_what_to_cook(self, app: Connection) -> None:
        it = line(app)
        dish = it.add(display_name="Risotto", special_request="al dente")
        row(app, "rest.check_item_modifier", check_item_id=dish, display_name="Truffle")
        it.fire()
        ((items, count, allergy),) = app.execute(
            "SELECT items, open_items, has_allergy FROM rest.v_kds_station_queue"
        ).fetchall()
        assert (count, allergy) == (1, False)
        assert [i["name"] for i in items] == ["Risotto"]
        assert items[0]["request"] == "al dente"
        assert [c["name"] for c in items[0]["choices"]] == ["Truffle"]

    def test_what_is_done_leaves_the_screen(self, app: Connection) -> None:
        it = line(app)
        it.add()
        (ticket,) = it.fire()
        it.bump(ticket)
        assert one(app, "SELECT count(*) FROM rest.v_kds_station_queue") == 0
        app.execute("SELECT rest.recall_ticket(%s)", [ticket])
        assert one(app, "SELECT count(*) FROM rest.v_kds_station_queue") == 1

    def test_the_board_says_what_everybody_waits_for(self, app: Connection) -> None:
        it = line(app, expo="two_level")
        grill = it.add_station(display_name="Grill")
        it.add(prep_seconds=100)
        it.add(prep_seconds=900, station=grill, display_name="Ribeye")
        it.fire()
        board = (
            "SELECT stations, stations_done, is_complete, waits_for, waits_for_station"
            " FROM rest.v_expo_board"
        )
        tickets: dict[UUID, UUID] = dict(
            app.execute(
                "SELECT prep_station_id, kitchen_ticket_id FROM rest.kitchen_ticket"
            ).fetchall()
        )
        assert app.execute(board.encode()).fetchall() == [(2, 0, False, "Ribeye", "Grill")]
        it.bump(tickets[it.station])
        assert app.execute(board.encode()).fetchall() == [(2, 1, False, "Ribeye", "Grill")]
        it.bump(tickets[grill])
        assert app.execute(board.encode()).fetchall() == [(2, 2, True, None, None)]

    def test_the_hours_of_a_station_add_up(self, admin: Connection, app: Connection) -> None:
        it = line(app)
        for took in (100, 300, 500):
            it.add(prep_seconds=300)
            (ticket,) = it.fire()
            fired = one(
                app,
                "SELECT fired_at FROM rest.kitchen_ticket WHERE kitchen_ticket_id = %s",
                ticket,
            )
            it.bump(ticket, moment=fired + timedelta(seconds=took))
        app.execute(
            "UPDATE rest.kitchen_ticket SET queued_at = %s, fired_at = %s, started_at = %s,"
            " ready_at = %s, bumped_at = %s",
            [SEVEN] * 5,
        )
        admin.execute("RESET ROLE")
        admin.execute("REFRESH MATERIALIZED VIEW rest.mv_kitchen_performance_hour")
        become_app(admin, one(admin, "SELECT DISTINCT business_id FROM rest.kitchen_ticket"))
        found = app.execute(
            "SELECT hour_starts_at, tickets, p50_seconds, round(share_late, 2)::text, recalls,"
            " remakes FROM rest.v_kitchen_performance_hour"
        ).fetchall()
        assert found == [(SEVEN, 3, 300.0, "0.33", 0, 0)]
