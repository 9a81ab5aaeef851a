"""A recalled lot is not used, and leads to those it was served to; deviations are answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import permutations
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_rest_food_safety import change, found
from tests.integration.schema.test_rest_orders import add_line, open_check

NOON = "2026-05-04 12:00+00"


def lot(connection: Connection, item: UUID | None = None, **given: Any) -> UUID:
    """A lot of which 10 came in, that keeps for long."""
    item = item or row(connection, "rest.inventory_item")
    made = row(
        connection,
        "rest.stock_lot",
        inventory_item_id=item,
        **{
            "received_on": "2026-05-01",
            "use_by_on": "2036-05-01",
            "source_kind": "receipt",
            "initial_qty": 10,
            "remaining_qty": 0,
            "unit_cost": 1,
            **given,
        },
    )
    move(connection, made, 10, "receipt", "goods_receipt_line", "2026-05-01 12:00+00")
    # Where the ledger does not fill the lot, it is filled by hand.
    connection.execute(
        "UPDATE rest.stock_lot SET remaining_qty = 10 WHERE stock_lot_id = %s"
        " AND remaining_qty IS DISTINCT FROM 10",
        [made],
    )
    return made


def move(
    connection: Connection,
    lot: UUID,
    quantity: float,
    kind: str = "sale",
    source: str = "check_item",
    at: str = NOON,
    source_id: UUID | None = None,
    **given: Any,
) -> None:
    known = found(
        connection,
        "SELECT inventory_item_id, storage_area_id FROM rest.stock_lot WHERE stock_lot_id = %s",
        lot,
    )[0]
    row(
        connection,
        "rest.stock_movement",
        inventory_item_id=known[0],
        storage_area_id=known[1],
        stock_lot_id=lot,
        occurred_at=at,
        business_date=at[:10],
        movement_kind=kind,
        quantity=quantity,
        unit_cost=1,
        source_kind=source,
        source_id=source_id or row(connection, "rest.location"),
        **given,
    )


def serve(connection: Connection, lot: UUID, quantity: float = 1, **given: Any) -> UUID:
    """Sells some of a lot on a check of its own; returns the line."""
    line = add_line(connection, open_check(connection))
    move(connection, lot, -quantity, source_id=line, **given)
    return line


def recall(connection: Connection, *products: dict[str, Any], **given: Any) -> UUID:
    document = json.dumps(list(products))
    return row(connection, "rest.product_recall", affected_products_doc=document, **given)


def recalled(connection: Connection, lot: UUID, **given: Any) -> UUID:
    given = {"product_recall_id": recall(connection), **given}
    return row(connection, "rest.recall_lot", stock_lot_id=lot, **given)


def dispose(connection: Connection, disposition: str) -> None:
    person = row(connection, "rest.staff_member")
    change(
        connection,
        "recall_lot",
        disposition=disposition,
        disposed_at=None if disposition in ("pending", "quarantined") else "2036-05-06",
        handled_by_staff_id=str(person),
    )


def action(connection: Connection, **given: Any) -> UUID:
    """An open action about an alarm of a piece of equipment."""
    given = {
        "trigger_kind": "sensor_alarm",
        "opened_at": "2026-05-04 10:00+00",
        "due_at": "2026-05-05 10:00+00",
        **given,
    }
    if given["trigger_kind"] == "sensor_alarm" and "equipment_id" not in given:
        given["equipment_id"] = row(connection, "rest.equipment")
    return row(connection, "rest.corrective_action", **given)


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("product_recall", {"announced_at": "2026-05-05"}, "received_after_announcement"),
        ("product_recall", {"agency": "vendor"}, "vendor_is_named"),
        ("product_recall", {"closed_at": "2026-05-05"}, "closed_has_time"),
        ("recall_lot", {"credit_claimed_amount": -1}, "figures_not_negative"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
        row(app, f"rest.{table}", **columns)


class TestRecall:
    """Lots that a recall names are stopped, and their orders counted."""

    def status(self, connection: Connection, lot: UUID) -> str:
        query = "SELECT status FROM rest.stock_lot WHERE stock_lot_id = %s"
        return str(found(connection, query, lot)[0][0])

    def test_a_lot_is_stopped_and_its_orders_are_counted(self, app: Connection) -> None:
        made = lot(app)
        for quantity in (1, 2):
            serve(app, made, quantity)
        recalled(app, made)
        assert self.status(app, made) == "recalled"
        query = "SELECT exposed_order_count, on_hand_qty + used_qty FROM rest.recall_lot"
        assert found(app, query) == [(2, 10)]

    @pytest.mark.parametrize("kind", ["sale", "staff_meal", "production_out", "transfer_out"])
    def test_a_recalled_lot_is_not_used(self, app: Connection, kind: str) -> None:
        made = lot(app, lot_code="L77")
        recalled(app, made)
        with pytest.raises(errors.CheckViolation, match="lot L77 is recalled, it is not used"):
            move(app, made, -1, kind)

    @pytest.mark.parametrize("kind", ["waste", "vendor_return"])
    def test_a_recalled_lot_leaves_as_waste_or_return(self, app: Connection, kind: str) -> None:
        made = lot(app)
        recalled(app, made)
        move(app, made, -1, kind, "waste_log")
        query = "SELECT count(*) FROM rest.stock_movement WHERE movement_kind = %s"
        assert found(app, query, kind) == [(1,)]

    @pytest.mark.parametrize(
        ("product", "matched"),
        [
            ({"lot_from": "T2"}, {"T2": "lot_code"}),
            ({"lot_from": "T2", "lot_to": "T3"}, {"T2": "lot_code", "T3": "lot_code"}),
            ({"lot_from": "L1"}, {"T1": "lot_code"}),
            ({"gtin": "00012345678905"}, {"T1": "gtin", "T2": "gtin"}),
            ({"gtin": "00012345678912"}, {"T3": "gtin"}),
            ({"gtin": "00012345678905", "lot_from": "T2", "lot_to": "T9"}, {"T2": "lot_code"}),
            ({"gtin": "00012345678905", "packed_from": "2026-05-02"}, {"T2": "date_range"}),
            ({"gtin": "00012345678905", "packed_to": "2026-04-25"}, {"T1": "date_range"}),
            ({"gtin": "00012345678929"}, {}),
        ],
    )
    def test_lots_are_found_by_what_the_recall_names(
        self, app: Connection, product: dict[str, Any], matched: dict[str, str]
    ) -> None:
        first = row(app, "rest.inventory_item", gtin="00012345678905", shelf_life_days=6)
        second = row(app, "rest.inventory_item")
        row(
            app,
            "rest.vendor_item",
            inventory_item_id=second,
            gtin="00012345678912",
            stock_qty_per_pack=1,
        )
        lot(app, first, lot_code="L1", traceability_lot_code="T1")
        lot(app, first, lot_code="L2", traceability_lot_code="T2", received_on="2026-05-03")
        lot(app, second, lot_code="L3", traceability_lot_code="T3", received_on="2026-05-03")
        query = (
            "SELECT l.traceability_lot_code, a.matched_by FROM rest.affected_lots(%s) AS a"
            " JOIN rest.stock_lot AS l USING (stock_lot_id)"
        )
        assert dict(found(app, query, recall(app, product))) == matched

    def test_a_vendor_narrows_the_search_to_what_it_sells(self, app: Connection) -> None:
        item = row(app, "rest.inventory_item")
        known = row(app, "rest.vendor_item", inventory_item_id=item, stock_qty_per_pack=1)
        vendor = found(
            app, "SELECT vendor_id FROM rest.vendor_item WHERE vendor_item_id = %s", known
        )
        lot(app, item, traceability_lot_code="T5")
        lot(app, traceability_lot_code="T5")
        product = {"lot_from": "T5"}
        count = "SELECT count(*) FROM rest.affected_lots(%s)"
        assert found(app, count, recall(app, product)) == [(2,)]
        assert found(app, count, recall(app, product, vendor_id=vendor[0][0])) == [(1,)]

    def test_it_stops_what_it_names_once(self, app: Connection) -> None:
        made = lot(app, traceability_lot_code="T5")
        known = recall(app, {"lot_from": "T5"})
        opened = "SELECT rest.open_recall_lots(%s)"
        assert found(app, opened, known) == [(1,)]
        assert self.status(app, made) == "recalled"
        assert found(app, "SELECT state FROM rest.product_recall") == [("investigating",)]
        lot(app, traceability_lot_code="T5")
        assert found(app, opened, known) == [(1,)]
        assert found(app, opened, known) == [(0,)]

    def test_a_recall_that_is_not_there(self, app: Connection) -> None:
        with pytest.raises(errors.NoDataFound):
            found(app, "SELECT rest.open_recall_lots(%s)", UUID(int=1))

    @pytest.mark.parametrize(
        "product",
        [
            {},
            {"packed_from": "2026-05-01"},
            {"lot_to": "T1"},
            {"gtin": "00012345678905", "lot_to": "T1"},
            {"lot_from": "T2", "lot_to": "T1"},
            {"gtin": "00012345678905", "packed_from": "2026-05-02", "packed_to": "2026-05-01"},
        ],
    )
    def test_a_product_that_finds_nothing_is_refused(
        self, app: Connection, product: dict[str, Any]
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=r"product 2 of recall R1 names no product"):
            recall(app, {"gtin": "00012345678905"}, product, recall_number="R1")

    def test_it_closes_when_each_lot_is_decided(self, app: Connection) -> None:
        recalled(app, lot(app))
        close = {"state": "closed", "closed_at": "2036-05-07"}
        with pytest.raises(errors.CheckViolation, match="has 1 lots that"), app.transaction():
            change(app, "product_recall", **close)
        dispose(app, "destroyed")
        change(app, "product_recall", **close)
        with pytest.raises(errors.CheckViolation, match=r"recall .* is closed"):
            row(
                app,
                "rest.recall_lot",
                product_recall_id=found(app, "SELECT product_recall_id FROM rest.recall_lot")[0][0],
                stock_lot_id=lot(app),
            )

    def test_a_cleared_lot_is_used_again(self, app: Connection) -> None:
        made = lot(app)
        recalled(app, made)
        dispose(app, "cleared")
        assert self.status(app, made) == "available"
        dispose(app, "quarantined")
        assert self.status(app, made) == "recalled"

    def test_a_lot_that_another_recall_holds_stays_stopped(self, app: Connection) -> None:
        made = lot(app)
        recalled(app, made)
        other = recalled(app, made)
        app.execute(
            "UPDATE rest.recall_lot SET disposition = 'cleared', disposed_at = '2036-05-06',"
            " handled_by_staff_id = %s WHERE recall_lot_id = %s",
            [row(app, "rest.staff_member"), other],
        )
        assert self.status(app, made) == "recalled"

    def test_what_is_left_was_not_used_up(self, app: Connection) -> None:
        recalled(app, lot(app))
        with pytest.raises(errors.CheckViolation, match="used_has_none_left"):
            dispose(app, "already_used")

    def test_it_was_disposed_of_at_some_time(self, app: Connection) -> None:
        recalled(app, lot(app))
        with pytest.raises(errors.CheckViolation, match="disposed_has_time"):
            change(app, "recall_lot", disposition="destroyed")

    def test_somebody_disposed_of_it(self, app: Connection) -> None:
        recalled(app, lot(app))
        with pytest.raises(errors.CheckViolation, match="disposed_by_somebody"):
            change(app, "recall_lot", disposition="destroyed", disposed_at="2036-05-06")

    @pytest.mark.parametrize("first_sells", [True, False])
    def test_a_sale_and_a_recall_take_turns(
        self, deployed: Target, copy_of: Callable[[Target], Target], first_sells: bool
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            made = lot(connection)
            known = recall(connection)

        def sell(connection: Connection) -> None:
            serve(connection, made)

        def stop(connection: Connection) -> None:
            row(connection, "rest.recall_lot", product_recall_id=known, stock_lot_id=made)

        earlier, later = (sell, stop) if first_sells else (stop, sell)
        with psycopg.connect(target.app) as one, psycopg.connect(target.app) as two:
            one.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            two.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            two.execute("SET LOCAL lock_timeout = '50ms'")
            earlier(one)
            with pytest.raises(errors.LockNotAvailable):
                later(two)
            one.commit()
            two.rollback()
            two.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            if first_sells:
                later(two)
                query = "SELECT exposed_order_count FROM rest.recall_lot"
                assert found(two, query) == [(1,)]
            else:
                with pytest.raises(errors.CheckViolation, match="is recalled, it is not used"):
                    later(two)


class TestExposure:
    """The ledger leads from a lot to the guests, through what was made of it."""

    def exposed(self, connection: Connection, lot: UUID) -> list[Any]:
        query = "SELECT check_item_id, steps, quantity FROM rest.lot_exposure(%s) ORDER BY steps"
        return found(connection, query, lot)

    def batch(self, connection: Connection, source: UUID, output: UUID) -> None:
        item = row(connection, "rest.inventory_item")
        recipe = row(connection, "rest.recipe", recipe_kind="prep", produces_item_id=item)
        row(connection, "rest.recipe_line", recipe_id=recipe, inventory_item_id=item)
        connection.execute(
            "UPDATE rest.recipe SET state = 'approved' WHERE recipe_id = %s", [recipe]
        )
        made = row(connection, "rest.production_batch", output_lot_id=output, recipe_id=recipe)
        move(connection, source, -1, "production_out", "production_batch", source_id=made)

    def test_a_line_is_exposed_with_what_it_used(self, app: Connection) -> None:
        made = lot(app)
        line = serve(app, made, 2)
        serve(app, lot(app))
        assert self.exposed(app, made) == [(line, 0, 2)]

    def test_what_was_taken_back_was_not_served(self, app: Connection) -> None:
        made = lot(app)
        line = serve(app, made)
        move(app, made, 1, source_id=line, is_reversal=True)
        assert self.exposed(app, made) == []

    def test_it_leads_through_batches(self, app: Connection) -> None:
        raw, stock, soup = lot(app), lot(app), lot(app)
        self.batch(app, raw, stock)
        self.batch(app, stock, soup)
        line = serve(app, soup)
        assert self.exposed(app, raw) == [(line, 2, 1)]
        assert self.exposed(app, stock) == [(line, 1, 1)]

    def test_it_leads_through_transfers(self, app: Connection) -> None:
        here, there = lot(app), lot(app)
        moved = row(app, "rest.location")
        move(app, here, -1, "transfer_out", "stock_transfer_line", source_id=moved)
        serve(app, there)
        assert self.exposed(app, here) == []
        item = found(
            app,
            "SELECT inventory_item_id, storage_area_id FROM rest.stock_lot WHERE stock_lot_id = %s",
            there,
        )[0]
        arrived = row(
            app,
            "rest.stock_lot",
            inventory_item_id=item[0],
            storage_area_id=item[1],
            lot_code="ARRIVED",
            received_on="2026-05-04",
            use_by_on="2036-05-01",
            source_kind="transfer",
            initial_qty=1,
            remaining_qty=0,
            unit_cost=1,
        )
        move(app, arrived, 1, "transfer_in", "stock_transfer_line", source_id=moved)
        line = serve(app, arrived)
        assert self.exposed(app, here) == [(line, 1, 1)]

    def test_a_ring_of_lots_ends(self, app: Connection) -> None:
        first, second = lot(app), lot(app)
        self.batch(app, first, second)
        self.batch(app, second, first)
        line = serve(app, second)
        assert self.exposed(app, first) == [(line, 1, 1)]

    def test_a_recall_tells_dishes_orders_and_guests(self, app: Connection) -> None:
        made = lot(app, lot_code="L9")
        guest = row(app, "rest.guest_profile")
        line = serve(app, made)
        app.execute("UPDATE rest.guest_check SET guest_profile_id = %s", [guest])
        serve(app, made)
        known = recall(app)
        recalled(app, made, product_recall_id=known)
        query = "SELECT lot_code, dish, guest_profile_id FROM rest.recall_exposure(%s)"
        served = found(app, query + " WHERE check_item_id = %s", known, line)
        assert [(code, person) for code, _, person in served] == [("L9", guest)]
        query = (
            "SELECT lot_status, dishes, orders, guests, on_hand_now = on_hand_then"
            " FROM rest.v_recall_exposure"
        )
        assert found(app, query) == [("recalled", 2, 2, 1, True)]


MACHINES: dict[str, tuple[str, dict[str, set[str]], dict[str, tuple[str, ...]]]] = {
    "product_recall": (
        "state",
        {
            "open": {"investigating", "contained", "closed"},
            "investigating": {"contained", "closed"},
            "contained": {"investigating", "closed"},
            "closed": set(),
        },
        {
            "open": (),
            "investigating": ("investigating",),
            "contained": ("contained",),
            "closed": ("closed",),
        },
    ),
    "recall_lot": (
        "disposition",
        {
            "pending": {"quarantined", "returned", "destroyed", "already_used", "cleared"},
            "quarantined": {"returned", "destroyed", "already_used", "cleared"},
            "cleared": {"quarantined"},
            "returned": set(),
            "destroyed": set(),
            "already_used": set(),
        },
        {
            "pending": (),
            "quarantined": ("quarantined",),
            "cleared": ("cleared",),
            "returned": ("returned",),
            "destroyed": ("destroyed",),
            "already_used": ("already_used",),
        },
    ),
    "corrective_action": (
        "state",
        {
            "open": {"in_progress", "completed", "overdue"},
            "in_progress": {"completed", "overdue"},
            "overdue": {"in_progress", "completed"},
            "completed": {"in_progress", "verified"},
            "verified": set(),
        },
        {
            "open": (),
            "in_progress": ("in_progress",),
            "overdue": ("overdue",),
            "completed": ("completed",),
            "verified": ("completed", "verified"),
        },
    ),
}
EDGES = [
    (table, old, new)
    for table, (_, edges, _) in MACHINES.items()
    for old, new in permutations(edges, 2)
]


def go(connection: Connection, table: str, state: str) -> None:
    """Changes the state with what the new state asks for."""
    if table == "recall_lot":
        dispose(connection, state)
    elif table == "product_recall":
        change(
            connection, table, state=state, closed_at="2036-01-01" if state == "closed" else None
        )
    else:
        done = state in ("completed", "verified")
        person = str(row(connection, "rest.staff_member")) if state == "verified" else None
        change(
            connection,
            table,
            state=state,
            action_text="Moved to the walk-in",
            completed_at="2026-05-04 11:00+00" if done else None,
            verified_at="2026-05-04 12:00+00" if person else None,
            verified_by_staff_id=person,
        )


@pytest.mark.parametrize(("table", "old", "new"), EDGES)
def test_states_follow_their_paths(app: Connection, table: str, old: str, new: str) -> None:
    column, edges, paths = MACHINES[table]
    if table == "recall_lot":
        empty = row(
            app,
            "rest.stock_lot",
            initial_qty=1,
            remaining_qty=0,
            unit_cost=1,
            received_on="2026-05-01",
            use_by_on="2036-05-01",
        )
        recalled(app, empty)
    elif table == "corrective_action":
        action(app)
    else:
        row(app, "rest.product_recall")
    for state in paths[old]:
        go(app, table, state)
    if new in edges[old]:
        go(app, table, new)
        assert found(app, f"SELECT {column} FROM rest.{table}") == [(new,)]
    else:
        with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}|it stands"):
            go(app, table, new)


SOURCES = {
    "ccp_deviation": "temperature_log",
    "cooling_failure": "cooling_log",
    "checklist_failure": "checklist_run",
    "violation": "inspection_violation",
    "recall": "recall_lot",
    "incident": "food_safety_incident",
}


class TestCorrectiveAction:
    """An action answers one deviation, and another person verifies it."""

    def done(self, connection: Connection) -> UUID:
        made = action(connection)
        go(connection, "corrective_action", "completed")
        return made

    @pytest.mark.parametrize("kind", SOURCES)
    def test_it_names_the_deviation_of_its_kind(self, app: Connection, kind: str) -> None:
        with pytest.raises(errors.CheckViolation, match="answers_one_dev"), app.transaction():
            action(app, trigger_kind=kind)
        table = SOURCES[kind]
        source = row(app, f"rest.{table}")
        other = "recall" if kind != "recall" else "incident"
        with pytest.raises(errors.CheckViolation, match="of_its_kind"), app.transaction():
            action(app, trigger_kind=other, **{f"{table}_id": source})
        action(app, trigger_kind=kind, **{f"{table}_id": source})
        query = f"SELECT {table}_id FROM rest.corrective_action WHERE trigger_kind = %s"
        assert (source,) in found(app, query, kind)

    def test_it_names_one_deviation(self, app: Connection) -> None:
        with pytest.raises(errors.CheckViolation, match="answers_one_deviation"):
            action(
                app,
                trigger_kind="incident",
                food_safety_incident_id=row(app, "rest.food_safety_incident"),
                checklist_run_id=row(app, "rest.checklist_run"),
            )

    def test_an_alarm_names_its_equipment(self, app: Connection) -> None:
        with pytest.raises(errors.CheckViolation, match="of_its_kind"):
            action(app, equipment_id=None)

    @pytest.mark.parametrize(
        ("columns", "truth"),
        [
            ({"due_at": "2026-05-04 09:00+00"}, "due_after_opening"),
            ({"discarded_qty": 0}, "discarded_positive"),
            ({"completed_at": "2026-05-04 11:00+00"}, "completed_is_told"),
            ({"verified_at": "2026-05-04 11:00+00"}, "verified_by_somebody"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, app: Connection, columns: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=truth):
            action(app, **columns)

    def test_it_is_told_what_was_done(self, app: Connection) -> None:
        action(app)
        with pytest.raises(errors.CheckViolation, match="completed_is_told"):
            change(app, "corrective_action", state="completed", completed_at="2026-05-04 11:00+00")

    def test_it_gets_a_number(self, app: Connection) -> None:
        action(app, action_number=None)
        query = "SELECT action_number ~ '^CA-' FROM rest.corrective_action"
        assert found(app, query) == [(True,)]

    def test_another_verifies_it(self, app: Connection) -> None:
        made = self.done(app)
        verify = "SELECT rest.verify_corrective_action(%s, %s)"
        taken = found(app, "SELECT assigned_staff_id FROM rest.corrective_action")[0][0]
        with pytest.raises(errors.CheckViolation, match="somebody else"), app.transaction():
            found(app, verify, made, taken)
        person = row(app, "rest.staff_member")
        found(app, verify, made, person)
        query = "SELECT state, verified_by_staff_id FROM rest.corrective_action"
        assert found(app, query) == [("verified", person)]

    def test_what_is_not_completed_is_not_verified(self, app: Connection) -> None:
        made = action(app)
        with pytest.raises(errors.CheckViolation, match="is open, not completed"):
            found(
                app,
                "SELECT rest.verify_corrective_action(%s, %s)",
                made,
                row(app, "rest.staff_member"),
            )

    def test_an_action_that_is_not_there(self, app: Connection) -> None:
        with pytest.raises(errors.NoDataFound):
            found(app, "SELECT rest.verify_corrective_action(%s, %s)", UUID(int=1), UUID(int=2))

    def test_who_took_it_does_not_verify_it(self, app: Connection) -> None:
        self.done(app)
        with pytest.raises(errors.CheckViolation, match="verified_by_another"):
            app.execute(
                "UPDATE rest.corrective_action SET state = 'verified', verified_at = now(),"
                " verified_by_staff_id = assigned_staff_id"
            )

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE rest.corrective_action SET action_text = 'Nothing'",
            "DELETE FROM rest.corrective_action",
        ],
    )
    def test_a_verified_action_stands(self, app: Connection, statement: str) -> None:
        self.done(app)
        go(app, "corrective_action", "verified")
        with pytest.raises(errors.CheckViolation, match="is verified, it stands"):
            app.execute(statement.encode())

    def test_late_actions_are_marked(self, app: Connection) -> None:
        action(app)
        action(app, due_at="2026-05-07")
        action(app, due_at=None)
        marked = "SELECT rest.mark_overdue_actions('2026-05-06 00:00+00')"
        assert found(app, marked) == [(1,)]
        query = "SELECT state FROM rest.corrective_action ORDER BY due_at"
        assert found(app, query) == [("overdue",), ("open",), ("open",)]


class TestTraceability:
    """What happened to a listed food is kept for two years, and stands."""

    @pytest.fixture
    def listed(self, app: Connection) -> UUID:
        item = row(app, "rest.inventory_item", on_traceability_list=True)
        return lot(app, item, lot_code="L1", traceability_lot_code="TLC-1")

    def test_what_is_not_given_comes_from_the_lot(self, app: Connection, listed: UUID) -> None:
        row(
            app,
            "rest.traceability_event",
            stock_lot_id=listed,
            traceability_lot_code=None,
            unit_code=None,
            retain_until=None,
        )
        query = (
            "SELECT traceability_lot_code, retain_until::text, unit_code = (SELECT unit_code"
            " FROM rest.unit_of_measure AS u JOIN rest.inventory_item AS i"
            " ON i.stock_unit_id = u.unit_of_measure_id) FROM rest.traceability_event"
        )
        assert found(app, query) == [("TLC-1", "2028-05-04", True)]

    def test_foods_that_are_not_listed_are_not_traced(self, app: Connection) -> None:
        with pytest.raises(errors.CheckViolation, match="is not on the traceability list"):
            row(app, "rest.traceability_event", stock_lot_id=lot(app))

    @pytest.mark.parametrize(
        ("columns", "truth"),
        [
            ({"retain_until": "2028-05-03"}, "retained_24_months"),
            ({"quantity": 0}, "quantity_positive"),
            ({"cte_kind": "receiving"}, "received_from_somebody"),
            ({"ship_from_gln": "123"}, "gln_is_13_digits"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, app: Connection, listed: UUID, columns: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=truth):
            row(app, "rest.traceability_event", stock_lot_id=listed, **columns)

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE rest.traceability_event SET quantity = 1",
            "DELETE FROM rest.traceability_event",
        ],
    )
    def test_events_stand(self, app: Connection, listed: UUID, statement: str) -> None:
        row(app, "rest.traceability_event", stock_lot_id=listed)
        with pytest.raises(psycopg.Error, match="permission denied"):
            app.execute(statement.encode())

    def test_a_receipt_leaves_an_event_and_a_record(self, app: Connection, listed: UUID) -> None:
        item = found(app, "SELECT inventory_item_id FROM rest.stock_lot")[0][0]
        received = row(
            app,
            "rest.goods_receipt",
            receipt_number="GR-1",
            received_at=NOON,
            vendor_id=row(app, "rest.vendor", legal_name="Farm"),
            location_id=row(app, "rest.location", display_name="Harbor"),
        )
        row(
            app,
            "rest.goods_receipt_line",
            goods_receipt_id=received,
            inventory_item_id=item,
            stock_lot_id=listed,
            traceability_lot_code="TLC-1",
            stock_qty=10,
        )
        query = (
            "SELECT cte_kind, traceability_lot_code, quantity, source, receiver, document_number"
            " FROM rest.traceability_records('2026-05-01', '2026-06-01', %s)"
        )
        record = ("receiving", "TLC-1", 10, "Farm", "Harbor", "GR-1")
        assert found(app, query, "TLC-1") == [record]
        assert found(app, query, None) == [record]
        assert found(app, query, "TLC-2") == []
