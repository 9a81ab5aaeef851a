"""Marketplace orders are accepted once or denied for a reason; listings follow the stock."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row

Listing = dict[str, UUID]


def list_item(connection: Connection, **link: Any) -> Listing:
    """A listing of an open site that sells one item as `burger` and one option as `bacon`."""
    place = row(connection, "rest.location", timezone="UTC")
    row(connection, "rest.business_day", location_id=place)
    item = row(connection, "rest.menu_item", tax_class="prepared_food", base_price=10)
    offer = row(connection, "rest.menu_item_location", menu_item_id=item, location_id=place)
    channel = row(
        connection, "rest.sales_channel", channel_kind="marketplace", provider="uber_eats"
    )
    kitchen = row(connection, "rest.kitchen", location_id=place)
    listing = row(
        connection,
        "rest.channel_store_link",
        sales_channel_id=channel,
        location_id=place,
        kitchen_id=kitchen,
        status="online",
        commission_pct=20,
        external_store_id="store-1",
    )
    row(
        connection,
        "rest.channel_item_link",
        channel_store_link_id=listing,
        menu_item_id=item,
        external_item_id="burger",
        drift_state="in_sync",
        **link,
    )
    option = row(connection, "rest.modifier_option", price=1)
    row(
        connection,
        "rest.channel_item_link",
        channel_store_link_id=listing,
        modifier_option_id=option,
        item_role="modifier",
        external_item_id="bacon",
        drift_state="in_sync",
    )
    return {"listing": listing, "item": item, "place": place, "offer": offer, "kitchen": kitchen}


def cart(item: str = "burger", option: str = "bacon", quantity: int = 2, **top: Any) -> str:
    options = [{"id": option, "title": "Bacon", "quantity": 1, "price": 1.5}]
    line = {
        "id": item,
        "title": "Big burger",
        "quantity": quantity,
        "unit_price": 12,
        "modifier_groups": [{"id": "extras", "options": options}],
    }
    charges = {"subtotal": 27, "tip": 3}
    return json.dumps({"cart": {"items": [line]}, "charges": charges, **top})


def receive(connection: Connection, listing: UUID, document: str, name: str = "X1") -> UUID:
    found = connection.execute(
        "SELECT rest.receive_channel_order(%s, %s, %s::jsonb)", [listing, name, document]
    ).fetchone()
    assert found
    return UUID(str(found[0]))


def accept(connection: Connection, order: UUID) -> Any:
    found = connection.execute("SELECT rest.accept_channel_order(%s)", [order]).fetchone()
    assert found
    return found[0]


def state(connection: Connection) -> Any:
    return connection.execute("SELECT state, deny_reason FROM rest.channel_order").fetchone()


def test_an_accepted_order_is_an_order_a_check_and_its_lines(app: Connection) -> None:
    shop = list_item(app)
    order = receive(app, shop["listing"], cart(guest={"name": "Ana"}))
    placed = accept(app, order)
    assert placed is not None
    lines = app.execute(
        "SELECT i.display_name, i.quantity, i.gross_amount, m.display_name FROM rest.check_item"
        " AS i JOIN rest.check_item_modifier AS m USING (business_id, check_item_id)"
    ).fetchall()
    assert lines == [("Big burger", Decimal("2.0000"), Decimal("27.00"), "Bacon")]
    bill = app.execute("SELECT subtotal, balance_due, state FROM rest.guest_check").fetchone()
    assert bill == (Decimal("27.00"), Decimal("0.00"), "paid")
    paid = app.execute("SELECT tender, amount FROM rest.check_payment").fetchone()
    assert paid == ("marketplace", Decimal("27.00"))
    found = app.execute(
        "SELECT state, guest_order_id, commission_estimate, guest_tip FROM rest.channel_order"
    ).fetchone()
    assert found == ("accepted", placed, Decimal("5.40"), Decimal("3.00"))


def test_asked_again_it_is_the_same_order(app: Connection) -> None:
    shop = list_item(app)
    order = receive(app, shop["listing"], cart())
    assert receive(app, shop["listing"], cart()) == order
    assert accept(app, order) == accept(app, order)
    assert app.execute("SELECT count(*) FROM rest.guest_order").fetchone() == (1,)


@pytest.mark.parametrize(
    ("document", "change", "reason"),
    [
        (cart(item="pizza"), None, "item_unavailable"),
        (cart(option="truffle"), None, "item_unavailable"),
        (cart(), "UPDATE rest.channel_item_link SET is_available = false", "item_unavailable"),
        (cart(), "UPDATE rest.modifier_option SET is_out_of_stock = true", "item_unavailable"),
        (
            cart(),
            "UPDATE rest.menu_item_location SET stock_mode = 'countdown', remaining_qty = 1",
            "item_unavailable",
        ),
        (
            cart(),
            "UPDATE rest.channel_store_link SET status = 'paused', pause_reason = 'too_busy'",
            "too_busy",
        ),
        (cart(), "UPDATE rest.kitchen SET throttle_state = 'paused'", "too_busy"),
        (cart(), "UPDATE rest.channel_store_link SET status = 'offline'", "pos_offline"),
        (cart(), "UPDATE rest.channel_store_link SET status = 'deactivated'", "store_closed"),
        (cart(), "UPDATE rest.kitchen SET is_active = false", "store_closed"),
        (cart(), "DELETE FROM rest.business_day", "store_closed"),
        (cart(fulfillment="delivery"), None, "address_out_of_range"),
        (json.dumps({"cart": {"items": []}, "charges": {"subtotal": 0}}), None, "other"),
    ],
)
def test_an_order_is_denied_for_a_reason(
    app: Connection, document: str, change: str | None, reason: str
) -> None:
    shop = list_item(app)
    order = receive(app, shop["listing"], document)
    if change:
        app.execute(change.encode())
    assert accept(app, order) is None
    assert state(app) == ("denied", reason)
    assert app.execute("SELECT count(*) FROM rest.guest_order").fetchone() == (0,)


def test_an_answer_that_comes_too_late_accepts_nothing(app: Connection) -> None:
    shop = list_item(app)
    order = receive(app, shop["listing"], cart())
    app.execute("UPDATE rest.channel_order SET accept_deadline_at = now() - interval '1 second'")
    assert accept(app, order) is None
    assert state(app) == ("failed", "none")


def test_two_answers_at_once_make_one_order(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        order = receive(connection, list_item(connection)["listing"], cart())

    def answer(_: int) -> Any:
        with psycopg.connect(target.app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            return accept(connection, order)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(answer, range(2))
    assert first is not None
    assert first == second


def test_the_last_portion_is_sold_to_one_of_two(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        listing = list_item(connection)["listing"]
        connection.execute(
            "UPDATE rest.menu_item_location SET stock_mode = 'countdown', remaining_qty = 2"
        )
        orders = [receive(connection, listing, cart(), name) for name in ("X1", "X2")]

    def answer(order: UUID) -> bool:
        with psycopg.connect(target.app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            return accept(connection, order) is not None

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(answer, orders)) == [False, True]


@pytest.mark.parametrize(
    ("path", "after"),
    [
        (("sent",), "preparing"),
        (("sent", "ready"), "ready"),
        (("sent", "ready", "completed"), "picked_up"),
        (("cancelled",), "cancelled"),
        (("sent", "voided"), "cancelled"),
    ],
)
def test_the_channel_hears_how_its_order_goes(
    app: Connection, path: tuple[str, ...], after: str
) -> None:
    shop = list_item(app)
    accept(app, receive(app, shop["listing"], cart()))
    for step in path:
        app.execute(
            "UPDATE rest.guest_order SET state = %s,"
            " completed_at = CASE WHEN %s = 'completed' THEN now() END",
            [step, step],
        )
    assert state(app) == (after, "none")


def test_what_is_out_is_off_every_listing(app: Connection) -> None:
    shop = list_item(app)
    found = app.execute(
        "SELECT rest.mark_item_out(%s, %s)", [shop["item"], shop["place"]]
    ).fetchone()
    assert found == (1,)
    shown = "SELECT is_available, drift_state FROM rest.channel_item_link WHERE item_role = 'item'"
    assert app.execute(shown.encode()).fetchone() == (False, "availability_drift")
    app.execute("UPDATE rest.menu_item_location SET stock_mode = 'unlimited'")
    assert app.execute(shown.encode()).fetchone() == (True, "availability_drift")


def test_what_a_brand_sells_under_its_own_name_is_off_too(app: Connection) -> None:
    shop = list_item(app)
    brand_item = row(app, "rest.brand_menu_item", menu_item_id=shop["item"])
    link = row(
        app,
        "rest.channel_item_link",
        channel_store_link_id=shop["listing"],
        brand_menu_item_id=brand_item,
        drift_state="in_sync",
    )
    elsewhere = row(
        app, "rest.channel_item_link", brand_menu_item_id=brand_item, drift_state="in_sync"
    )
    found = app.execute(
        "SELECT rest.mark_item_out(%s, %s)", [shop["item"], shop["place"]]
    ).fetchone()
    assert found == (2,)
    shown = app.execute(
        "SELECT channel_item_link_id, is_available FROM rest.channel_item_link"
        " WHERE brand_menu_item_id IS NOT NULL"
    ).fetchall()
    assert dict(shown) == {link: False, elsewhere: True}


def test_the_last_portion_takes_the_item_off_its_listings(app: Connection) -> None:
    shop = list_item(app)
    app.execute("UPDATE rest.menu_item_location SET stock_mode = 'countdown', remaining_qty = 2")
    assert accept(app, receive(app, shop["listing"], cart())) is not None
    shown = app.execute(
        "SELECT is_available FROM rest.channel_item_link WHERE item_role = 'item'"
    ).fetchone()
    assert shown == (False,)
    assert accept(app, receive(app, shop["listing"], cart(), "X2")) is None


def test_what_the_courier_handed_over_is_delivered(app: Connection) -> None:
    shop = list_item(app)
    order = receive(app, shop["listing"], cart())
    placed = accept(app, order)
    for step in ("sent", "ready", "completed"):
        app.execute(
            "UPDATE rest.guest_order SET state = %s,"
            " completed_at = CASE WHEN %s = 'completed' THEN now() END",
            [step, step],
        )
    row(
        app,
        "rest.delivery_job",
        guest_order_id=placed,
        channel_order_id=order,
        state="requested",
        dropoff_eta_at="2026-05-04 10:00+00",
    )
    for step in ("courier_assigned", "picked_up", "delivered"):
        app.execute(
            "UPDATE rest.delivery_job SET state = %s, picked_up_at = '2026-05-04 09:50+00',"
            " delivered_at = CASE WHEN %s = 'delivered' THEN '2026-05-04 10:07+00'::timestamptz"
            " END",
            [step, step],
        )
    assert state(app) == ("delivered", "none")
    assert app.execute("SELECT minutes_late FROM rest.delivery_job").fetchone() == (7,)


def test_a_site_takes_off_only_what_it_offers(app: Connection) -> None:
    shop = list_item(app)
    with pytest.raises(errors.NoDataFound, match="does not offer"):
        app.execute("SELECT rest.mark_item_out(%s, %s)", [shop["item"], row(app, "rest.location")])


def test_only_one_push_of_a_listing_is_under_way(app: Connection) -> None:
    listing = row(app, "rest.channel_store_link")
    for _ in range(2):
        row(app, "rest.channel_menu_publication", channel_store_link_id=listing)
    with pytest.raises(errors.UniqueViolation, match="under_way"):
        app.execute("UPDATE rest.channel_menu_publication SET state = 'building'")


def hook(connection: Connection, event: str = "evt-1", *, signed: bool = True) -> Any:
    found = connection.execute(
        "SELECT (e).processing_state, (e).attempt_no, (e).http_status, (e).channel_store_link_id"
        " FROM (SELECT rest.record_webhook('order.created', %s, %s::jsonb, %s) AS e OFFSET 0) AS x",
        [event, '{"store": {"id": "store-1"}}', signed],
    ).fetchone()
    assert found
    return found


def test_a_message_that_comes_again_is_a_duplicate(app: Connection) -> None:
    listing = list_item(app)["listing"]
    assert hook(app) == ("received", 1, 200, listing)
    assert hook(app) == ("duplicate", 2, 200, listing)
    assert hook(app, "evt-2", signed=False)[:3] == ("rejected", 1, 401)


def test_a_message_stands_as_it_came_in(app: Connection) -> None:
    hook(app)
    change = "UPDATE rest.channel_webhook_event SET processing_state = 'processed',"
    app.execute(f"{change} processed_at = received_at".encode())
    with pytest.raises(errors.RestrictViolation, match="append only"):
        app.execute("""UPDATE rest.channel_webhook_event SET payload = '{"a": 1}'""")


def test_a_push_shows_what_it_changes(app: Connection) -> None:
    listing = row(app, "rest.channel_store_link")
    menu = row(app, "rest.menu")
    pushes = []
    for day, items in enumerate(
        [
            [("a", "Soup", 5), ("b", "Cake", 4), ("c", "Tea", 2)],
            [("a", "Soup", 6), ("c", "Chai", 2), ("d", "Pie", 7)],
        ]
    ):
        document = {
            "categories": [{"items": [{"id": i, "name": n, "price": p} for i, n, p in items]}]
        }
        pushes.append(
            row(
                app,
                "rest.channel_menu_publication",
                channel_store_link_id=listing,
                menu_id=menu,
                payload_doc=json.dumps(document),
                payload_sha256=b"\x00" * 32,
                queued_at=f"2026-05-0{day + 1}",
                pushed_at=f"2026-05-0{day + 1}",
            )
        )
    found = app.execute(
        "SELECT item, change FROM rest.menu_publication_changes(%s) ORDER BY item", [pushes[1]]
    ).fetchall()
    assert found == [("a", "price"), ("b", "removed"), ("c", "name"), ("d", "added")]


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("channel_menu_publication", {"rejected_count": 1}, "rejects_at_most_all"),
        ("channel_menu_publication", {"payload_doc": "{}"}, "document_has_hash"),
        ("channel_menu_publication", {"duration_ms": -1}, "duration_not_negative"),
        ("channel_item_link", {"item_role": "group", "pushed_price": -1}, "price_not_negative"),
        ("channel_item_link", {"drift_state": "in_sync"}, "unknown_is_missing_here"),
        ("channel_item_link", {"suspended_until": "2036-01-01"}, "suspended_is_not_available"),
        ("channel_webhook_event", {"processing_state": "duplicate"}, "outcome_has_time"),
        ("channel_webhook_event", {"attempt_no": 0}, "attempt_positive"),
        ("channel_webhook_event", {"http_status": 42}, "http_status_known"),
        ("channel_order", {"deny_reason": "too_busy"}, "denied_for_a_reason"),
        ("channel_order", {"cancelled_by": "guest"}, "cancelled_by_somebody"),
        ("channel_order", {"accepted_at": "2036-01-01"}, "accepted_in_time|not_ours_before"),
        ("channel_order", {"guest_tip": -1}, "amounts_not_negative"),
        ("delivery_job", {"provider": "own_fleet"}, "own_driver_for_own_fleet"),
        ("delivery_job", {"delivered_at": "2026-05-04"}, "delivered_has_time"),
        ("delivery_job", {"quote_fee": -1}, "amounts_not_negative"),
        ("delivery_status_event", {"latitude": 41}, "place_is_whole"),
        ("delivery_status_event", {"speed_kph": 300}, "speed_bounded"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*({truth})"):
        row(app, f"rest.{table}", **columns)


MACHINES: dict[str, dict[str, set[str]]] = {
    "channel_order": {
        "received": {"validated", "accepted", "denied", "cancelled", "failed"},
        "validated": {"accepted", "denied", "cancelled", "failed"},
        "accepted": {"preparing", "ready", "cancelled", "failed"},
        "preparing": {"ready", "cancelled", "failed"},
        "ready": {"picked_up", "cancelled", "failed"},
        "picked_up": {"delivered", "failed"},
        "denied": set(),
        "delivered": set(),
        "cancelled": set(),
        "failed": set(),
    },
    "delivery_job": {
        "quoted": {"requested", "cancelled", "failed"},
        "requested": {"courier_assigned", "cancelled", "failed"},
        "courier_assigned": {"requested", "at_pickup", "picked_up", "cancelled", "failed"},
        "at_pickup": {"picked_up", "cancelled", "failed"},
        "picked_up": {"at_dropoff", "delivered", "returned", "failed"},
        "at_dropoff": {"delivered", "returned", "failed"},
        "delivered": set(),
        "returned": set(),
        "cancelled": set(),
        "failed": set(),
    },
    "channel_menu_publication": {
        "queued": {"building", "failed", "superseded"},
        "building": {"pushed", "failed"},
        "pushed": {"accepted", "partly_rejected", "failed"},
        "accepted": {"superseded"},
        "partly_rejected": {"superseded"},
        "failed": set(),
        "superseded": set(),
    },
}


def stated(table: str, state: str) -> dict[str, Any]:
    """What a row of the table has to hold in a state."""
    at = "2026-05-04 10:00+00"
    if table == "channel_order":
        ours = state in {"accepted", "preparing", "ready", "picked_up", "delivered"}
        return {
            "accept_deadline_at": "2036-01-01",
            "accepted_at": at if ours else None,
            "ready_at": at if ours else None,
            "deny_reason": "other" if state == "denied" else "none",
            "cancelled_by": "guest" if state == "cancelled" else "none",
            "cancelled_at": at if state == "cancelled" else None,
        }
    if table == "delivery_job":
        gone = state in {"picked_up", "at_dropoff", "delivered", "returned"}
        return {
            "picked_up_at": at if gone else None,
            "delivered_at": at if state == "delivered" else None,
        }
    return {
        "payload_doc": "{}",
        "payload_sha256": b"\x00" * 32,
        "queued_at": at,
        "pushed_at": at,
        "accepted_at": at,
        "item_count": 2,
        "rejected_count": 1 if state == "partly_rejected" else 0,
    }


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [(t, b, a) for t, machine in MACHINES.items() for b, a in permutations(machine, 2)],
)
def test_states_follow_their_edges(admin: Connection, table: str, before: str, after: str) -> None:
    tenant = add_tenant(admin, "edges")
    become_app(admin, tenant)
    needs = {"guest_order_id": row(admin, "rest.guest_order")} if table == "channel_order" else {}
    first = next(iter(MACHINES[table]))
    ours = {"accepted", "preparing", "ready", "picked_up", "delivered"}

    def given(state: str) -> dict[str, Any]:
        held = stated(table, state)
        if needs:
            held["guest_order_id"] = needs["guest_order_id"] if state in ours else None
        return held

    made = row(admin, f"rest.{table}", state=first, **given(first))
    # An imported row may stand in any state; from there the application changes it.
    admin.execute("RESET ROLE")
    admin.execute("SET LOCAL session_replication_role = replica")
    move(admin, table, made, before, given(before))
    admin.execute("SET LOCAL session_replication_role = origin")
    become_app(admin, tenant)
    if after in MACHINES[table][before]:
        move(admin, table, made, after, given(after))
    else:
        with pytest.raises(errors.CheckViolation, match=rf"{before} cannot become {after}"):
            move(admin, table, made, after, given(after))


def move(connection: Connection, table: str, made: UUID, state: str, given: dict[str, Any]) -> None:
    columns = {"state": state, **given}
    connection.execute(
        sql.SQL("UPDATE rest.{table} SET {sets} WHERE {key} = %s").format(
            table=sql.Identifier(table),
            sets=sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(c)) for c in columns),
            key=sql.Identifier(f"{table}_id"),
        ),
        [*columns.values(), made],
    )


def test_one_courier_carries_an_order(app: Connection) -> None:
    order = row(app, "rest.guest_order")
    for state in ("quoted", "quoted", "requested"):
        row(app, "rest.delivery_job", guest_order_id=order, state=state)
    with pytest.raises(errors.UniqueViolation, match="under_way"):
        row(app, "rest.delivery_job", guest_order_id=order, state="requested")


def test_where_a_courier_was_stands(app: Connection) -> None:
    row(app, "rest.delivery_status_event")
    with pytest.raises(psycopg.Error, match="permission denied"):
        app.execute("UPDATE rest.delivery_status_event SET status_text = 'lost'")
