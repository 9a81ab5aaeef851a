"""Suppliers are paid for what came at the price agreed, and take back what they may."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_ret_purchasing import Order, one, post, sscc


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("supplier_invoice", {"due_date": "2026-05-03"}, "due_after_invoice"),
        ("supplier_invoice", {"discount_date": "2026-05-03"}, "discount_before_due"),
        ("supplier_invoice", {"subtotal": -1}, "amounts_not_negative"),
        ("supplier_invoice", {"paid_on": "2026-05-04"}, "paid_has_day"),
        (
            "supplier_invoice",
            {"subtotal": 5, "paid_amount": 5, "paid_on": "2026-05-04"},
            "paid_once_matched",
        ),
        ("supplier_invoice_line", {"billed_qty": 0}, "bills_something"),
        ("supplier_invoice_line", {"billed_cost": -1}, "cost_not_negative"),
        ("supplier_invoice_line", {"match_state": "matched"}, "matched_has_variances"),
        ("supplier_return", {"authorised_at": "2026-05-03"}, "authorised_after_requested"),
        ("supplier_return", {"shipped_at": "2026-05-05"}, "shipped_has_time"),
        ("supplier_return", {"credited_at": "2026-05-05"}, "credited_has_time"),
        ("supplier_return", {"received_credit": 1}, "credit_at_most_expected"),
        (
            "supplier_return",
            {"received_credit": 1, "expected_credit": 1},
            "credit_when_credited",
        ),
        ("supplier_return", {"restocking_fee": -1}, "fee_not_negative"),
        ("supplier_return_line", {"return_qty": 0}, "returns_something"),
        ("supplier_return_line", {"accepted_qty": 2}, "accepted_at_most_returned"),
        ("supplier_return_line", {"unit_credit": -1}, "credit_not_negative"),
        ("supplier_return_line", {"serials_doc": "[]"}, "serials_are_listed"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
        row(app, f"ret.{table}", **columns)


MATCHES = {
    "unmatched": ["matched", "price_variance", "qty_variance", "disputed"],
    "price_variance": ["matched", "qty_variance", "approved", "disputed"],
    "qty_variance": ["matched", "price_variance", "approved", "disputed"],
    "matched": ["price_variance", "qty_variance", "approved", "disputed"],
    "disputed": ["matched", "price_variance", "qty_variance", "approved"],
    "approved": [],
}
RETURNS = {
    "draft": ["requested", "cancelled"],
    "requested": ["authorised", "rejected", "cancelled"],
    "authorised": ["shipped", "cancelled"],
    "shipped": ["credited"],
    "credited": [],
    "rejected": [],
    "cancelled": [],
}
TIMES = (
    ", supplier_rma_number = 'RMA', authorised_at = '2026-05-05', shipped_at = CASE WHEN '{0}' IN"
    " ('shipped', 'credited') THEN timestamptz '2026-05-06' END, credited_at = CASE WHEN '{0}'"
    " = 'credited' THEN timestamptz '2026-05-07' END"
)


@pytest.mark.parametrize(
    ("table", "column", "machine", "old", "new"),
    [
        (table, column, machine, old, new)
        for table, column, machine in (
            ("supplier_invoice", "match_state", MATCHES),
            ("supplier_return", "state", RETURNS),
        )
        for old in machine
        for new in machine
        if old != new
    ],
)
def test_states_follow_their_paths(
    admin: Connection,
    tenant: UUID,
    app: Connection,
    table: str,
    column: str,
    machine: dict[str, list[str]],
    old: str,
    new: str,
) -> None:
    times: dict[str, Any] = {}
    if table == "supplier_return":
        times = {"supplier_rma_number": "RMA", "authorised_at": "2026-05-05"}
        times |= {"shipped_at": "2026-05-06"} if old in ("shipped", "credited") else {}
        times |= {"credited_at": "2026-05-07"} if old == "credited" else {}
    admin.execute("RESET ROLE")
    made = row(app, f"ret.{table}", **{column: old}, **times)
    become_app(app, tenant)
    extra = TIMES.format(new) if table == "supplier_return" else ""
    change = f"UPDATE ret.{table} SET {column} = %s{extra} WHERE {table}_id = %s".encode()
    if new in machine[old]:
        assert app.execute(change, [new, made]).rowcount == 1
    else:
        with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
            app.execute(change, [new, made])


def received(connection: Connection, quantity: float = 10, **given: Any) -> tuple[Order, UUID]:
    """An order of ten of which some came; and the line that they came on."""
    order = Order(connection, 10).send()
    receipt = order.receipt()
    line = order.receive(receipt, 0, quantity, **given)
    post(connection, receipt)
    return order, line


def bill(order: Order, quantity: float, cost: float = 4, **given: Any) -> UUID:
    invoice = row(
        order.connection,
        "ret.supplier_invoice",
        supplier_id=order.supplier,
        purchase_order_id=order.id,
        **given,
    )
    row(
        order.connection,
        "ret.supplier_invoice_line",
        supplier_invoice_id=invoice,
        purchase_order_line_id=order.lines[0],
        billed_qty=quantity,
        billed_cost=cost,
    )
    return invoice


def match(connection: Connection, invoice: UUID) -> Any:
    return one(connection, "SELECT ret.match_invoice(%s)", invoice)


class TestMatch:
    @pytest.mark.parametrize(
        ("quantity", "cost", "found", "variance"),
        [
            (10, 4, "matched", "0.00"),
            (6, 4, "matched", "0.00"),
            (10, 4.03, "matched", "0.30"),
            (10, 5, "price_variance", "10.00"),
            (10, 3, "price_variance", "-10.00"),
            (12, 4, "qty_variance", "8.00"),
        ],
    )
    def test_an_invoice_is_held_against_order_and_receipt(
        self, app: Connection, quantity: float, cost: float, found: str, variance: str
    ) -> None:
        order, _ = received(app)
        invoice = bill(order, quantity, cost)
        assert match(app, invoice) == found
        said = app.execute(
            "SELECT match_state, variance_total, grand_total FROM ret.supplier_invoice"
        ).fetchone()
        assert said == (found, Decimal(variance), Decimal(str(round(quantity * cost, 2))))
        assert order.said("invoiced_qty") == quantity

    def test_the_order_says_how_far_a_price_may_be(self, app: Connection) -> None:
        order, _ = received(app)
        app.execute("UPDATE ret.purchase_order SET price_tolerance_pct = 30")
        assert match(app, bill(order, 10, 5)) == "matched"

    def test_what_has_not_come_is_not_billed(self, app: Connection) -> None:
        assert match(app, bill(Order(app, 10).send(), 10)) == "qty_variance"
        assert one(app, "SELECT match_state FROM ret.supplier_invoice_line") == "not_received"

    def test_what_came_is_billed_once(self, app: Connection) -> None:
        order, _ = received(app)
        assert match(app, bill(order, 6)) == "matched"
        second = bill(order, 6)
        assert match(app, second) == "qty_variance"
        assert match(app, second) == "qty_variance"
        found = app.execute(
            "SELECT qty_variance FROM ret.supplier_invoice_line WHERE supplier_invoice_id = %s",
            [second],
        ).fetchall()
        assert found == [(2,)]

    def test_two_clerks_do_not_match_the_same_goods(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            order, _ = received(connection)
            invoices = [bill(order, 10) for _ in range(4)]

        def clerk(invoice: UUID) -> Any:
            with psycopg.connect(target.app) as connection:
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                return match(connection, invoice)

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(clerk, invoices)) == ["matched"] + ["qty_variance"] * 3

    @pytest.mark.parametrize("kind", ["credit_note", "consignment"])
    def test_only_invoices_are_matched(self, app: Connection, kind: str) -> None:
        order, _ = received(app)
        with pytest.raises(errors.CheckViolation, match="is not matched"):
            match(app, bill(order, 1, invoice_kind=kind))

    def test_without_lines_it_is_not_matched(self, app: Connection) -> None:
        with pytest.raises(errors.CheckViolation, match="has no lines"):
            match(app, row(app, "ret.supplier_invoice"))

    def test_of_another_tenant_it_is_not_found(self, app: Connection) -> None:
        with pytest.raises(errors.NoDataFound):
            match(app, UUID(int=1))

    def test_a_paid_invoice_stands(self, app: Connection) -> None:
        order, _ = received(app)
        match(app, bill(order, 10))
        app.execute("UPDATE ret.supplier_invoice SET paid_amount = 40, paid_on = '2026-06-01'")
        with pytest.raises(errors.RestrictViolation, match="is approved or paid, its lines stand"):
            app.execute("UPDATE ret.supplier_invoice_line SET billed_qty = 1")

    def test_nobody_pays_more_than_was_billed(self, app: Connection) -> None:
        order, _ = received(app)
        match(app, bill(order, 10))
        with pytest.raises(errors.CheckViolation, match="pays_at_most_total"):
            app.execute("UPDATE ret.supplier_invoice SET paid_amount = 41, paid_on = '2026-06-01'")

    def test_it_is_of_an_order_of_its_supplier(self, app: Connection) -> None:
        with pytest.raises(errors.CheckViolation, match="another supplier's"):
            row(app, "ret.supplier_invoice", purchase_order_id=Order(app).send().id)

    @pytest.mark.parametrize(
        ("billed", "cost", "state"),
        [
            (None, 4, "not_billed"),
            (10, 4, "matched"),
            (4, 4, "partly_billed"),
            (12, 4, "qty_variance"),
            (10, 5, "price_variance"),
        ],
    )
    def test_the_view_shows_them_side_by_side(
        self, app: Connection, billed: float | None, cost: float, state: str
    ) -> None:
        order, _ = received(app)
        if billed:
            bill(order, billed, cost)
        found = app.execute(
            "SELECT received_qty, billed_qty, match_state FROM ret.v_three_way_match"
        ).fetchall()
        assert found == [(10, billed or 0, state)]


def send_back(order: Order, line: UUID, quantity: float, **given: Any) -> UUID:
    made = row(
        order.connection,
        "ret.supplier_return",
        supplier_id=order.supplier,
        location_id=order.location,
    )
    row(
        order.connection,
        "ret.supplier_return_line",
        **{
            "supplier_return_id": made,
            "goods_receipt_line_id": line,
            "product_variant_id": order.variants[0],
            "return_qty": quantity,
            "unit_credit": 4,
            **given,
        },
    )
    return made


def authorise(connection: Connection, back: UUID) -> None:
    for state in ("requested", "authorised"):
        connection.execute(
            "UPDATE ret.supplier_return SET state = %s, supplier_rma_number = 'R',"
            " authorised_at = '2026-05-05' WHERE supplier_return_id = %s",
            [state, back],
        )


def ship(connection: Connection, back: UUID) -> Any:
    return one(connection, "SELECT ret.ship_supplier_return(%s)", back)


class TestReturn:
    def test_damaged_goods_leave_first(self, app: Connection) -> None:
        order, line = received(
            app, expected_qty=10, accepted_qty=7, damaged_qty=3, discrepancy="damaged"
        )
        back = send_back(order, line, 5)
        authorise(app, back)
        assert ship(app, back) == 2
        found = (order.stock("on_hand_qty"), order.stock("damaged_qty"))
        assert (*found, order.stock("available_qty")) == (5, 0, 5)
        assert one(app, "SELECT state FROM ret.supplier_return") == "shipped"

    def test_what_is_not_there_does_not_leave(self, app: Connection) -> None:
        order, line = received(app)
        other = row(app, "ret.location")
        back = send_back(order, line, 5)
        app.execute("UPDATE ret.supplier_return SET location_id = %s", [other])
        authorise(app, back)
        with pytest.raises(errors.CheckViolation, match="is short of"):
            ship(app, back)

    def test_a_unit_leaves_under_its_number(self, app: Connection) -> None:
        order = Order(app, 10, product={"tracking": "serial"}).send()
        package = row(app, "ret.asn_package", advance_ship_notice_id=order.notice(), sscc=sscc(1))
        order.announce(package, 0, 2, serials_doc=json.dumps(["S1", "S2"]))
        receipt = order.receipt()
        app.execute("SELECT ret.receive_package(%s, %s)", [receipt, sscc(1)])
        post(app, receipt)
        line = one(app, "SELECT goods_receipt_line_id FROM ret.goods_receipt_line")
        back = send_back(order, line, 1, serials_doc='["S2"]')
        authorise(app, back)
        assert ship(app, back) == 1
        found = app.execute(
            "SELECT serial_number FROM ret.serial_unit WHERE state = 'in_stock'"
        ).fetchall()
        assert found == [("S1",)]

    def test_without_authorisation_nothing_leaves(self, app: Connection) -> None:
        order, line = received(app)
        with pytest.raises(errors.CheckViolation, match="is draft, it does not leave"):
            ship(app, send_back(order, line, 1))

    def test_without_lines_nothing_leaves(self, app: Connection) -> None:
        back = row(app, "ret.supplier_return")
        authorise(app, back)
        with pytest.raises(errors.CheckViolation, match="has no lines"):
            ship(app, back)

    def test_of_another_tenant_it_is_not_found(self, app: Connection) -> None:
        with pytest.raises(errors.NoDataFound):
            ship(app, UUID(int=1))

    def test_no_more_goes_back_than_came(self, app: Connection) -> None:
        order, line = received(app)
        send_back(order, line, 6)
        with pytest.raises(errors.CheckViolation, match=r"brought 10\.0000, 11\.0000 would go"):
            send_back(order, line, 5)

    def test_a_cancelled_return_takes_nothing(self, app: Connection) -> None:
        order, line = received(app)
        send_back(order, line, 6)
        app.execute("UPDATE ret.supplier_return SET state = 'cancelled'")
        send_back(order, line, 10)

    def test_two_returns_do_not_exceed_it_together(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            order, line = received(connection)
            backs = [
                row(
                    connection,
                    "ret.supplier_return",
                    supplier_id=order.supplier,
                    location_id=order.location,
                )
                for _ in range(4)
            ]

        def clerk(back: UUID) -> bool:
            with psycopg.connect(target.app) as connection:
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                try:
                    row(
                        connection,
                        "ret.supplier_return_line",
                        supplier_return_id=back,
                        goods_receipt_line_id=line,
                        product_variant_id=order.variants[0],
                        return_qty=4,
                        unit_credit=4,
                    )
                except errors.CheckViolation:
                    connection.rollback()
                    return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(clerk, backs)) == 2

    def test_it_expects_what_its_lines_ask_for(self, app: Connection) -> None:
        order, line = received(app)
        send_back(order, line, 6)
        assert one(app, "SELECT expected_credit FROM ret.supplier_return") == 24

    def test_once_asked_for_only_the_answer_changes(self, app: Connection) -> None:
        order, line = received(app)
        authorise(app, send_back(order, line, 6))
        app.execute("UPDATE ret.supplier_return_line SET accepted_qty = 5")
        assert one(app, "SELECT line_credit FROM ret.supplier_return_line") == 20
        with pytest.raises(errors.RestrictViolation, match="is authorised, its lines stand"):
            app.execute("UPDATE ret.supplier_return_line SET return_qty = 5")
