"""Orders reach active suppliers, deliveries reach the ledger once and at what they cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row


class Order:
    """An order with a line per quantity, each of a variant of its own, of one active supplier."""

    def __init__(self, connection: Connection, *quantities: float, **given: Any) -> None:
        self.connection = connection
        product = given.pop("product", {})
        self.supplier = row(connection, "ret.supplier", status="active")
        self.location = row(connection, "ret.location")
        self.id = row(
            connection,
            "ret.purchase_order",
            supplier_id=self.supplier,
            location_id=self.location,
            **given,
        )
        self.variants: list[UUID] = []
        self.offers: list[UUID] = []
        self.lines: list[UUID] = []
        for number, quantity in enumerate(quantities or (10,), 1):
            made = row(connection, "ret.product", **product)
            self.variants.append(row(connection, "ret.product_variant", product_id=made))
            self.offers.append(
                row(
                    connection,
                    "ret.supplier_product",
                    supplier_id=self.supplier,
                    product_variant_id=self.variants[-1],
                )
            )
            self.lines.append(self.add(self.offers[-1], line_number=number, ordered_qty=quantity))

    def add(self, offer: UUID, **given: Any) -> UUID:
        return row(
            self.connection,
            "ret.purchase_order_line",
            purchase_order_id=self.id,
            supplier_product_id=offer,
            **given,
        )

    def send(self) -> Order:
        self.become("pending_approval")
        approver = row(self.connection, "user_mgmt.user_account")
        self.connection.execute(
            "UPDATE ret.purchase_order SET state = 'sent', ordered_at = '2026-05-01 10:00+00',"
            " approved_by_user_id = %s WHERE purchase_order_id = %s",
            [approver, self.id],
        )
        return self

    def become(self, state: str) -> None:
        self.connection.execute(
            "UPDATE ret.purchase_order SET state = %s WHERE purchase_order_id = %s",
            [state, self.id],
        )

    def receipt(self, **given: Any) -> UUID:
        return row(
            self.connection,
            "ret.goods_receipt",
            **{
                "supplier_id": self.supplier,
                "location_id": self.location,
                "purchase_order_id": self.id,
                **given,
            },
        )

    def receive(self, receipt: UUID, line: int, quantity: float, **given: Any) -> UUID:
        return row(
            self.connection,
            "ret.goods_receipt_line",
            **{
                "goods_receipt_id": receipt,
                "purchase_order_line_id": self.lines[line],
                "product_variant_id": self.variants[line],
                "expected_qty": quantity,
                "received_qty": quantity,
                "accepted_qty": quantity,
                "unit_cost": 4,
                **given,
            },
        )

    def notice(self, **given: Any) -> UUID:
        return row(
            self.connection,
            "ret.advance_ship_notice",
            **{
                "supplier_id": self.supplier,
                "location_id": self.location,
                "purchase_order_id": self.id,
                **given,
            },
        )

    def announce(self, package: UUID, line: int, quantity: float, **given: Any) -> UUID:
        return row(
            self.connection,
            "ret.asn_line",
            **{
                "asn_package_id": package,
                "purchase_order_line_id": self.lines[line],
                "product_variant_id": self.variants[line],
                "shipped_qty": quantity,
                **given,
            },
        )

    def said(self, column: str, line: int = 0) -> Any:
        return one(
            self.connection,
            sql.SQL("SELECT {} FROM ret.purchase_order_line WHERE purchase_order_line_id = %s")
            .format(sql.Identifier(column))
            .as_string(None),
            self.lines[line],
        )

    def stock(self, column: str, line: int = 0) -> Any:
        return one(
            self.connection,
            sql.SQL("SELECT {} FROM ret.stock_level WHERE product_variant_id = %s")
            .format(sql.Identifier(column))
            .as_string(None),
            self.variants[line],
        )

    @property
    def state(self) -> Any:
        return one(
            self.connection,
            "SELECT state FROM ret.purchase_order WHERE purchase_order_id = %s",
            self.id,
        )


def one(connection: Connection, query: str, *values: Any) -> Any:
    found = connection.execute(query.encode(), values).fetchone()
    return found[0] if found else None


def post(connection: Connection, receipt: UUID) -> Any:
    return one(connection, "SELECT ret.post_receipt(%s)", receipt)


def sscc(number: int) -> str:
    digits = f"{number:017d}"
    weighted = sum(int(d) * (3 if place % 2 == 0 else 1) for place, d in enumerate(digits))
    return f"{digits}{-weighted % 10}"


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        (
            "purchase_order",
            {"ship_window_start": "2026-05-02", "ship_window_end": "2026-05-01"},
            "ship_window_in_order",
        ),
        (
            "purchase_order",
            {"ship_window_end": "2026-05-02", "cancel_after_on": "2026-05-01"},
            "cancel_after_window",
        ),
        ("purchase_order", {"exchange_rate": 0}, "exchange_rate_positive"),
        ("purchase_order", {"over_receipt_pct": 101}, "tolerances_bounded"),
        ("purchase_order", {"freight_total": -1}, "amounts_not_negative"),
        (
            "advance_ship_notice",
            {"shipped_at": "2026-05-02", "expected_at": "2026-05-01"},
            "expected_after_shipped",
        ),
        ("advance_ship_notice", {"carton_count": -1}, "counts_not_negative"),
        ("asn_package", {"sscc": "000000000000000001"}, "sscc_checked"),
        ("asn_package", {"sscc": "00000000000000000"}, "sscc_checked"),
        ("asn_package", {"label_scanned_at": "2026-05-01"}, "seen_when_scanned"),
        ("asn_package", {"gross_weight_kg": 0}, "measures_positive"),
        ("asn_line", {"shipped_qty": 0}, "shipped_qty_positive"),
        ("asn_line", {"backorder_qty": -1}, "backorder_not_negative"),
        ("asn_line", {"gtin": "12x"}, "gtin_digits"),
        ("asn_line", {"serials_doc": "{}"}, "serials_are_listed"),
        ("asn_line", {"serials_doc": '["a", "b"]'}, "serials_are_listed"),
        ("goods_receipt", {"arrived_at": "2026-05-05"}, "started_after_arrived"),
        ("goods_receipt", {"started_at": None}, "checked_has_times"),
        ("goods_receipt", {"completed_at": "2026-05-05"}, "completed_has_time"),
        ("goods_receipt", {"carton_count": -1}, "totals_not_negative"),
        ("goods_receipt_line", {"accepted_qty": 0, "discrepancy": "late"}, "received_is_sorted"),
        ("goods_receipt_line", {"expected_qty": 2}, "discrepancy_agrees"),
        ("goods_receipt_line", {"discrepancy": "short"}, "discrepancy_agrees"),
        ("goods_receipt_line", {"discrepancy": "over"}, "discrepancy_agrees"),
        ("goods_receipt_line", {"discrepancy": "damaged"}, "discrepancy_agrees"),
        ("goods_receipt_line", {"landed_unit_cost": 0}, "landed_at_least_unit_cost"),
        ("goods_receipt_line", {"rejected_qty": -1, "damaged_qty": 1}, "quantities_not_negative"),
        ("landed_cost", {"amount": 0}, "amount_positive"),
        ("landed_cost", {"allocated_amount": 3}, "allocates_all_or_nothing"),
        ("landed_cost", {"exchange_rate": 0}, "exchange_rate_positive"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
        row(app, f"ret.{table}", **columns)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"ordered_qty": 0}, "orders_something"),
        ({"line_number": 0}, "number_positive"),
        ({"acknowledged_qty": 11}, "acknowledged_at_most_ordered"),
        ({"shipped_qty": -1}, "quantities_not_negative"),
        ({"cancelled_qty": -1}, "cancels_at_most_ordered"),
        ({"unit_cost": -1}, "cost_not_negative"),
        ({"discount_pct": 101}, "discount_bounded"),
        ({"received_qty": 1}, "state_agrees"),
    ],
)
def test_an_order_line_that_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    order = Order(app)
    with pytest.raises(errors.CheckViolation, match=f"purchase_order_line_{truth}"):
        order.add(order.offers[0], **{"line_number": 9, **columns})


MACHINES = {
    "purchase_order": {
        "draft": ["pending_approval", "cancelled"],
        "pending_approval": ["draft", "sent", "cancelled"],
        "sent": ["acknowledged", "partly_received", "received", "cancelled"],
        "acknowledged": ["partly_received", "received", "cancelled"],
        "partly_received": ["received", "closed"],
        "received": ["closed"],
        "closed": [],
        "cancelled": [],
    },
    "advance_ship_notice": {
        "received": ["validated", "rejected"],
        "validated": ["arrived", "rejected"],
        "arrived": ["closed"],
        "rejected": [],
        "closed": [],
    },
    "goods_receipt": {
        "expected": ["checking", "rejected"],
        "checking": ["put_away", "completed", "rejected"],
        "put_away": ["completed"],
    },
}
TIMES = {
    "purchase_order": {
        "ordered_at": "2026-05-01 10:00+00",
        "acknowledged_at": "2026-05-02 10:00+00",
    },
    "advance_ship_notice": {"error_count": 1},
    "goods_receipt": {"completed_at": "2026-05-05 10:00+00"},
}


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        (table, old, new)
        for table, machine in MACHINES.items()
        for old in machine
        for new in dict.fromkeys([*machine, *(s for states in machine.values() for s in states)])
        if old != new
    ],
)
def test_states_follow_their_paths(
    admin: Connection, tenant: UUID, app: Connection, table: str, old: str, new: str
) -> None:
    admin.execute("RESET ROLE")
    facts = dict(TIMES[table])
    if table == "purchase_order":
        facts["approved_by_user_id"] = str(row(app, "user_mgmt.user_account"))
        facts["supplier_id"] = str(row(app, "ret.supplier", status="active"))
    if table == "goods_receipt" and old != "completed":
        facts.pop("completed_at")
    made = row(app, f"ret.{table}", state=old, **facts)
    become_app(app, tenant)
    change = "state = %s"
    if table == "goods_receipt" and new == "completed":
        change += ", completed_at = '2026-05-05 10:00+00'"
    statement = f"UPDATE ret.{table} SET {change} WHERE {table}_id = %s".encode()
    if new in MACHINES[table][old]:
        assert app.execute(statement, [new, made]).rowcount == 1
    else:
        with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
            app.execute(statement, [new, made])


@pytest.mark.parametrize("status", ["blocked", "ended"])
def test_nothing_is_ordered_from_a_blocked_supplier(app: Connection, status: str) -> None:
    supplier = row(app, "ret.supplier", status="active")
    app.execute("UPDATE ret.supplier SET status = %s", [status])
    with pytest.raises(errors.CheckViolation, match=f"is {status}"):
        row(app, "ret.purchase_order", supplier_id=supplier)


def test_only_an_active_supplier_is_sent_an_order(app: Connection) -> None:
    order = Order(app)
    app.execute("UPDATE ret.supplier SET status = 'on_hold'")
    with pytest.raises(errors.CheckViolation, match="is on_hold"):
        order.send()


def test_nobody_approves_their_own_order(app: Connection, account: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="approved_by_another"):
        row(app, "ret.purchase_order", buyer_user_id=account, approved_by_user_id=account)


def test_an_order_is_sent_once_it_is_approved(app: Connection) -> None:
    order = Order(app)
    order.become("pending_approval")
    with pytest.raises(errors.CheckViolation, match="sent_is_approved"):
        order.become("sent")


def test_an_order_comes_to_its_lines(app: Connection) -> None:
    order = Order(app, 10, 5, freight_total=7)
    total = "SELECT grand_total FROM ret.purchase_order"
    assert one(app, total) == Decimal("67.00")
    app.execute(
        "UPDATE ret.purchase_order_line SET discount_pct = 50 WHERE purchase_order_line_id = %s",
        [order.lines[0]],
    )
    assert one(app, total) == Decimal("47.00")
    app.execute(
        "DELETE FROM ret.purchase_order_line WHERE purchase_order_line_id = %s", [order.lines[1]]
    )
    assert one(app, total) == Decimal("27.00")


def test_a_line_comes_in_multiples(app: Connection) -> None:
    order = Order(app)
    app.execute("UPDATE ret.supplier_product SET order_multiple = 6, minimum_order_qty = 12")
    for quantity in (7, 6):
        with app.transaction(force_rollback=True), pytest.raises(errors.CheckViolation):
            order.add(order.offers[0], line_number=7, ordered_qty=quantity)
    order.add(order.offers[0], line_number=7, ordered_qty=18)


def test_a_line_is_of_the_supplier_of_its_order(app: Connection) -> None:
    order, other = Order(app), Order(app)
    with pytest.raises(errors.CheckViolation, match="another supplier"):
        order.add(other.offers[0], line_number=2)


@pytest.mark.parametrize("change", ["ordered_qty = 20", "unit_cost = 1", "discount_pct = 5"])
def test_what_a_sent_order_asks_for_stays(app: Connection, change: str) -> None:
    Order(app).send()
    with pytest.raises(errors.CheckViolation, match="is sent, what it asks for stays"):
        app.execute(f"UPDATE ret.purchase_order_line SET {change}".encode())


def test_a_sent_order_is_incoming_until_it_is_cancelled(app: Connection) -> None:
    order = Order(app, 10).send()
    assert (order.stock("incoming_qty"), order.stock("on_hand_qty")) == (10, 0)
    app.execute("UPDATE ret.purchase_order_line SET cancelled_qty = 4")
    assert order.stock("incoming_qty") == 6
    order.become("cancelled")
    assert order.stock("incoming_qty") == 0


@pytest.mark.parametrize("kind", ["dropship", "consignment"])
def test_what_never_becomes_ours_is_not_incoming(app: Connection, kind: str) -> None:
    order = Order(app, 10, po_kind=kind).send()
    assert order.stock("incoming_qty") is None


class TestNotice:
    """What a supplier announces is of its order, in packages that stand on each other."""

    @pytest.fixture
    def order(self, app: Connection) -> Order:
        return Order(app, 10, 5).send()

    def package(self, order: Order, notice: UUID, number: int, **given: Any) -> UUID:
        return row(
            order.connection,
            "ret.asn_package",
            advance_ship_notice_id=notice,
            sscc=sscc(number),
            sequence_no=number,
            **given,
        )

    def test_a_rejected_notice_has_errors(self, app: Connection, order: Order) -> None:
        order.notice()
        with pytest.raises(errors.CheckViolation, match="rejected_has_errors"):
            app.execute("UPDATE ret.advance_ship_notice SET state = 'rejected'")

    def test_it_is_of_an_order_of_its_supplier(self, app: Connection, order: Order) -> None:
        with pytest.raises(errors.CheckViolation, match="another supplier's"):
            order.notice(supplier_id=row(app, "ret.supplier"))

    def test_it_goes_where_the_order_goes(self, app: Connection, order: Order) -> None:
        with pytest.raises(errors.CheckViolation, match="goes to another location"):
            order.notice(location_id=row(app, "ret.location"))

    def test_nothing_comes_of_a_draft(self, app: Connection) -> None:
        with pytest.raises(errors.CheckViolation, match="is draft, nothing comes of it"):
            Order(app).notice()

    @pytest.mark.parametrize(
        ("code", "valid"),
        [("003456789012345670", True), ("003456789012345671", False), ("x", False), ("", False)],
    )
    def test_an_sscc_checks_itself(self, app: Connection, code: str, valid: bool) -> None:
        assert one(app, "SELECT ret.is_sscc(%s)", code) is valid

    def test_packages_do_not_stand_on_themselves(self, app: Connection, order: Order) -> None:
        notice = order.notice()
        pallet = self.package(order, notice, 1, package_kind="pallet")
        tote = self.package(order, notice, 2, parent_package_id=pallet)
        carton = self.package(order, notice, 3, parent_package_id=tote)
        with pytest.raises(errors.CheckViolation, match="cannot stand on itself"):
            app.execute(
                "UPDATE ret.asn_package SET parent_package_id = %s WHERE asn_package_id = %s",
                [carton, pallet],
            )

    def test_packages_stand_on_those_of_their_notice(self, app: Connection, order: Order) -> None:
        pallet = self.package(order, order.notice(), 1, package_kind="pallet")
        with pytest.raises(errors.CheckViolation, match="package of another notice"):
            self.package(order, order.notice(), 2, parent_package_id=pallet)

    def test_what_is_announced_counts_as_shipped(self, app: Connection, order: Order) -> None:
        package = self.package(order, order.notice(), 1)
        first = order.announce(package, 0, 4)
        order.announce(package, 0, 3)
        assert order.said("shipped_qty") == 7
        app.execute("UPDATE ret.asn_line SET shipped_qty = 5 WHERE asn_line_id = %s", [first])
        assert order.said("shipped_qty") == 8
        app.execute("DELETE FROM ret.asn_line WHERE asn_line_id = %s", [first])
        assert order.said("shipped_qty") == 3

    def test_another_variant_is_a_substitution(self, app: Connection, order: Order) -> None:
        package = self.package(order, order.notice(), 1)
        other = {"product_variant_id": order.variants[1]}
        with app.transaction(force_rollback=True), pytest.raises(errors.CheckViolation):
            order.announce(package, 0, 1, **other)
        order.announce(package, 0, 1, is_substitution=True, **other)

    def test_a_carton_is_received_once(self, app: Connection, order: Order) -> None:
        package = self.package(order, order.notice(), 1)
        order.announce(package, 0, 4)
        order.announce(package, 1, 5)
        receipt = order.receipt()
        scan = "SELECT count(*), sum(accepted_qty) FROM ret.receive_package(%s, %s)"
        assert app.execute(scan.encode(), [receipt, sscc(1)]).fetchone() == (2, 9)
        with pytest.raises(errors.UniqueViolation, match="was received already"):
            app.execute(scan.encode(), [receipt, sscc(1)])

    def test_a_damaged_carton_is_received_as_damaged(self, app: Connection, order: Order) -> None:
        order.announce(self.package(order, order.notice(), 1), 0, 4)
        receipt = order.receipt()
        app.execute("SELECT ret.receive_package(%s, %s, 'damaged')", [receipt, sscc(1)])
        assert one(app, "SELECT condition FROM ret.asn_package") == "damaged"
        assert post(app, receipt) == 1
        assert (order.stock("damaged_qty"), order.stock("available_qty")) == (4, 0)
        assert order.said("received_qty") == 0

    def test_a_carton_that_nobody_announced_is_not_found(
        self, app: Connection, order: Order
    ) -> None:
        with pytest.raises(errors.NoDataFound, match="announced no carton"):
            app.execute("SELECT ret.receive_package(%s, %s)", [order.receipt(), sscc(2)])

    def test_cartons_are_scanned_while_the_receipt_is_checked(
        self, app: Connection, order: Order
    ) -> None:
        receipt = order.receipt(state="expected")
        with pytest.raises(errors.CheckViolation, match="is expected"):
            app.execute("SELECT ret.receive_package(%s, %s)", [receipt, sscc(1)])

    def test_an_announced_lot_is_opened_and_joined(self, app: Connection) -> None:
        order = Order(app, 10, product={"tracking": "lot"}).send()
        for number in (1, 2):
            package = self.package(order, order.notice(), number)
            order.announce(package, 0, 5, lot_number="L7", expires_on="2030-01-01")
            receipt = order.receipt()
            app.execute("SELECT ret.receive_package(%s, %s)", [receipt, sscc(number)])
            post(app, receipt)
        found = app.execute(
            "SELECT lot_number, initial_qty, remaining_qty, expires_on::text FROM ret.stock_lot"
        ).fetchall()
        assert found == [("L7", 10, 10, "2030-01-01")]

    def test_announced_serials_become_units_once(self, app: Connection) -> None:
        order = Order(app, 10, product={"tracking": "serial"}).send()
        serials = json.dumps(["S1", "S2", "S3"])
        for number in (1, 2):
            package = self.package(order, order.notice(), number)
            order.announce(package, 0, 3, serials_doc=serials)
        first, second = order.receipt(), order.receipt()
        app.execute("SELECT ret.receive_package(%s, %s)", [first, sscc(1)])
        assert post(app, first) == 3
        found = app.execute(
            "SELECT serial_number, state, location_id FROM ret.serial_unit ORDER BY 1"
        ).fetchall()
        assert found == [(s, "in_stock", order.location) for s in ("S1", "S2", "S3")]
        assert order.stock("on_hand_qty") == 3
        app.execute("SELECT ret.receive_package(%s, %s)", [second, sscc(2)])
        with pytest.raises(errors.UniqueViolation, match="serial number S1 was received before"):
            post(app, second)


class TestReceipt:
    """A delivery is posted once; what it brings is worth what it cost to get here."""

    @pytest.fixture
    def order(self, app: Connection) -> Order:
        return Order(app, 10, 5).send()

    def test_it_moves_order_and_stock_on(self, app: Connection, order: Order) -> None:
        receipt = order.receipt()
        order.receive(receipt, 0, 6, expected_qty=10, discrepancy="short")
        assert post(app, receipt) == 1
        assert (order.said("state"), order.state) == ("partly_received", "partly_received")
        assert (order.stock("on_hand_qty"), order.stock("incoming_qty")) == (6, 4)
        found = app.execute(
            "SELECT state, total_units, total_cost, has_discrepancy FROM ret.goods_receipt"
        ).fetchone()
        assert found == ("completed", 6, Decimal("24.00"), True)
        receipt = order.receipt()
        order.receive(receipt, 0, 4)
        order.receive(receipt, 1, 5)
        assert post(app, receipt) == 2
        assert (order.said("state"), order.state) == ("received", "received")
        assert (order.stock("on_hand_qty"), order.stock("incoming_qty")) == (10, 0)

    def test_it_is_posted_once(self, app: Connection, order: Order) -> None:
        receipt = order.receipt()
        order.receive(receipt, 0, 6)
        post(app, receipt)
        with pytest.raises(errors.CheckViolation, match="is completed, it is not posted"):
            post(app, receipt)

    def test_without_lines_it_is_not_posted(self, app: Connection, order: Order) -> None:
        with pytest.raises(errors.CheckViolation, match="has no lines"):
            post(app, order.receipt())

    def test_of_another_tenant_it_is_not_found(self, app: Connection) -> None:
        with pytest.raises(errors.NoDataFound):
            post(app, UUID(int=1))

    def test_a_little_too_much_is_taken(self, app: Connection, order: Order) -> None:
        app.execute("UPDATE ret.purchase_order SET over_receipt_pct = 10")
        receipt = order.receipt()
        order.receive(receipt, 0, 11, expected_qty=10, discrepancy="over")
        assert post(app, receipt) == 2
        assert (order.stock("on_hand_qty"), order.stock("incoming_qty")) == (11, 0)

    def test_much_too_much_is_not(self, app: Connection, order: Order) -> None:
        receipt = order.receipt()
        order.receive(receipt, 0, 11, expected_qty=10, discrepancy="over")
        with pytest.raises(errors.CheckViolation, match=r"11\.0000 received and 0\.0000 cancelled"):
            post(app, receipt)

    def test_damaged_goods_stay_apart(self, app: Connection, order: Order) -> None:
        receipt = order.receipt()
        order.receive(
            receipt, 0, 10, accepted_qty=7, damaged_qty=2, rejected_qty=1, discrepancy="damaged"
        )
        assert post(app, receipt) == 2
        found = (order.stock("on_hand_qty"), order.stock("damaged_qty"))
        assert (*found, order.stock("available_qty")) == (9, 2, 7)

    def test_it_stands(self, app: Connection, order: Order) -> None:
        receipt = order.receipt()
        line = order.receive(receipt, 0, 6)
        post(app, receipt)
        for statement, key in (
            ("UPDATE ret.goods_receipt SET dock_door = 'D1' WHERE goods_receipt_id = %s", receipt),
            ("DELETE FROM ret.goods_receipt_line WHERE goods_receipt_line_id = %s", line),
            (
                "UPDATE ret.goods_receipt_line SET bin_location_id = NULL"
                " WHERE goods_receipt_line_id = %s",
                line,
            ),
        ):
            with (
                app.transaction(force_rollback=True),
                pytest.raises(errors.RestrictViolation, match="it stands"),
            ):
                app.execute(statement.encode(), [key])
        with pytest.raises(errors.RestrictViolation, match="it stands"):
            row(app, "ret.landed_cost", goods_receipt_id=receipt)

    def test_turned_away_it_stands(self, app: Connection, order: Order) -> None:
        order.receipt()
        app.execute("UPDATE ret.goods_receipt SET state = 'rejected'")
        with pytest.raises(errors.RestrictViolation, match="is rejected, it stands"):
            app.execute("UPDATE ret.goods_receipt SET state = 'checking'")

    def test_a_closed_order_waits_for_nothing(self, app: Connection, order: Order) -> None:
        receipt = order.receipt()
        order.receive(receipt, 0, 6, expected_qty=10, discrepancy="short")
        post(app, receipt)
        order.become("closed")
        assert (order.stock("incoming_qty"), order.stock("incoming_qty", 1)) == (0, 0)

    def test_what_was_not_ordered_comes_from_outside(self, app: Connection, order: Order) -> None:
        receipt = order.receipt()
        order.receive(receipt, 0, 3, purchase_order_line_id=None, discrepancy="not_ordered")
        post(app, receipt)
        assert (order.stock("on_hand_qty"), order.stock("incoming_qty")) == (3, 10)

    def test_it_takes_lines_of_its_own_order(self, app: Connection, order: Order) -> None:
        with pytest.raises(errors.CheckViolation, match="takes lines of its own order"):
            Order(app).receive(order.receipt(), 0, 1)

    @pytest.mark.parametrize(
        ("basis", "first", "second"),
        [
            ("value", "5.00", "5.00"),
            ("quantity", "6.67", "3.33"),
            ("weight", "6.25", "3.75"),
            ("volume", "5.00", "5.00"),
        ],
    )
    def test_landed_cost_is_shared_out(
        self, app: Connection, order: Order, basis: str, first: str, second: str
    ) -> None:
        for line, (grams, length) in enumerate([(100, 10), (120, 20)]):
            app.execute(
                "UPDATE ret.product_variant SET weight_g = %s, length_mm = %s, width_mm = 10,"
                " height_mm = 10 WHERE product_variant_id = %s",
                [grams, length, order.variants[line]],
            )
        receipt = order.receipt()
        order.receive(receipt, 0, 10)
        order.receive(receipt, 1, 5, unit_cost=8)
        row(app, "ret.landed_cost", goods_receipt_id=receipt, amount=10, allocation_basis=basis)
        found = app.execute(
            "SELECT s.share FROM ret.landed_cost_shares(%s) AS s"
            " JOIN ret.goods_receipt_line AS l USING (goods_receipt_line_id) ORDER BY l.unit_cost",
            [[receipt]],
        ).fetchall()
        assert found == [(Decimal(first),), (Decimal(second),)]
        assert one(app, "SELECT ret.allocate_landed_costs(%s)", receipt) == 10
        assert one(app, "SELECT allocated_amount FROM ret.landed_cost") == 10

    def test_the_average_has_the_landed_cost(self, app: Connection, order: Order) -> None:
        receipt = order.receipt()
        order.receive(receipt, 0, 5)
        post(app, receipt)
        receipt = order.receipt()
        order.receive(receipt, 0, 5)
        row(app, "ret.landed_cost", goods_receipt_id=receipt, amount=5, exchange_rate=2)
        post(app, receipt)
        assert order.stock("average_cost") == 5

    def test_a_consignors_goods_come_in_under_its_agreement(self, app: Connection) -> None:
        order = Order(app, 10, po_kind="consignment").send()
        receipt = order.receipt()
        order.receive(receipt, 0, 6, expected_qty=6)
        with (
            app.transaction(force_rollback=True),
            pytest.raises(errors.CheckViolation, match="no consignment agreement"),
        ):
            post(app, receipt)
        agreement = row(
            app,
            "ret.consignment_agreement",
            supplier_id=order.supplier,
            effective_from="2020-01-01",
            state="active",
        )
        post(app, receipt)
        assert order.stock("consignment_agreement_id") == agreement
        assert one(app, "SELECT movement_kind FROM ret.stock_movement") == "consignment_in"

    def test_what_goes_straight_to_the_customer_is_no_stock(self, app: Connection) -> None:
        order = Order(app, 10, po_kind="dropship").send()
        receipt = order.receipt()
        order.receive(receipt, 0, 10)
        assert post(app, receipt) == 0
        assert order.state == "received"

    def test_it_moves_its_notice_on(self, app: Connection, order: Order) -> None:
        notice = order.notice()
        app.execute("UPDATE ret.advance_ship_notice SET state = 'validated'")
        receipt = order.receipt(advance_ship_notice_id=notice)
        order.receive(receipt, 0, 1)
        post(app, receipt)
        assert one(app, "SELECT state FROM ret.advance_ship_notice") == "arrived"

    def test_two_docks_do_not_post_it_twice(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            order = Order(connection, 10).send()
            receipt = order.receipt()
            order.receive(receipt, 0, 10)

        def dock(_: int) -> bool:
            with psycopg.connect(target.app) as connection:
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                try:
                    post(connection, receipt)
                except errors.CheckViolation:
                    connection.rollback()
                    return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(dock, range(4))) == 1

    def test_two_deliveries_do_not_exceed_a_line_together(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            order = Order(connection, 10).send()
            receipts = [order.receipt() for _ in range(4)]
            for receipt in receipts:
                order.receive(receipt, 0, 4)

        def dock(receipt: UUID) -> bool:
            with psycopg.connect(target.app) as connection:
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                try:
                    post(connection, receipt)
                except errors.CheckViolation:
                    connection.rollback()
                    return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(dock, receipts)) == 2


def test_the_dock_sees_what_it_waits_for(app: Connection) -> None:
    order = Order(app, 10, 5, ship_window_end="2020-01-01").send()
    waits = "SELECT open_lines, open_units, late_days > 2000, asn_number FROM {}"
    waits = waits.format("ret.v_receiving_worklist")
    assert app.execute(waits.encode()).fetchall() == [(2, 15, True, None)]
    order.notice(expected_at="2099-01-01", asn_number="A1")
    receipt = order.receipt()
    order.receive(receipt, 0, 10)
    post(app, receipt)
    assert app.execute(waits.encode()).fetchall() == [(1, 5, False, "A1")]
    order.become("closed")
    assert app.execute(waits.encode()).fetchall() == []
