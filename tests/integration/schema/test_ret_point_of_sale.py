"""Drawers reconcile, receipts stand, and layaways are paid to the cent."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection, Target
from tests.integration.conftest import add_account, add_tenant, become_app
from tests.integration.schema.rows import row


@dataclass(frozen=True)
class Shop:
    """A store with a register, a session on it, and goods for 10 that are taxed by a tenth."""

    store: UUID
    register: UUID
    session: UUID
    channel: UUID
    variant: UUID
    cashier: UUID


def open_shop(connection: Connection, cashier: UUID) -> Shop:
    store = row(connection, "ret.location", timezone="America/Chicago", currency="USD")
    register = row(connection, "ret.register", location_id=store, cash_enabled=True)
    found = connection.execute("SELECT ret.open_register(%s, %s, 100)", [register, cashier])
    session = found.fetchone()
    assert session
    taxed = row(connection, "ret.tax_class")
    place = row(
        connection,
        "ret.tax_jurisdiction",
        level_kind="state",
        region_code="IL",
        nexus_since="2020-01-01",
    )
    row(
        connection,
        "ret.tax_rate",
        tax_class_id=taxed,
        tax_jurisdiction_id=place,
        tax_name="sales tax",
        rate_pct=10,
        rate_kind="percent",
        effective_from="2020-01-01",
    )
    variant = row(
        connection,
        "ret.product_variant",
        product_id=row(connection, "ret.product", tax_class_id=taxed),
        list_price=10,
    )
    connection.execute(
        "SELECT ret.post_stock_movement(%s, %s, 'receipt', 'none', 'available', 20, 'receipt',"
        " cost => 4)",
        [store, variant],
    )
    channel = row(connection, "ret.sales_channel", channel_kind="store", currency="USD")
    return Shop(store, register, session[0], channel, variant, cashier)


@pytest.fixture
def shop(app: Connection, account: UUID) -> Shop:
    return open_shop(app, account)


def order(connection: Connection, shop: Shop, quantity: float = 2, **given: Any) -> UUID:
    """A confirmed web order of goods for 10 each, taxed by a tenth."""
    made = row(
        connection,
        "ret.sales_order",
        order_kind="web",
        state="confirmed",
        currency="USD",
        sales_channel_id=shop.channel,
        sold_location_id=shop.store,
        **given,
    )
    row(
        connection,
        "ret.sales_order_line",
        sales_order_id=made,
        product_variant_id=shop.variant,
        line_number=1,
        quantity=quantity,
        unit_price=10,
        fulfilment_choice="carry_out",
    )
    connection.execute("SELECT ret.calculate_tax(%s)", [made])
    return made


def one(connection: Connection, query: str, *values: Any) -> Any:
    found = connection.execute(query.encode(), values).fetchone()
    assert found
    return found[0] if len(found) == 1 else found


def sell(
    connection: Connection, shop: Shop, *tenders: Any, quantity: float = 2, **given: Any
) -> UUID:
    """Sells goods for 10 each at the till: 22 with tax unless told otherwise."""
    lines = [{"variant": str(shop.variant), "quantity": quantity}]
    sold = one(
        connection,
        "SELECT ret.complete_pos_sale(%s, %s, %s)",
        shop.session,
        Jsonb({"lines": lines, **given}),
        Jsonb(list(tenders) or [{"tender": "card", "reference": "ch_1"}]),
    )
    return UUID(str(sold))


CASH = {"tender": "cash", "tendered": 30}


def drawer(connection: Connection) -> Any:
    return one(connection, "SELECT expected_cash FROM ret.register_session")


def move(connection: Connection, shop: Shop, kind: str, amount: float, **given: Any) -> Any:
    made = row(
        connection,
        "ret.cash_movement",
        register_session_id=shop.session,
        movement_kind=kind,
        amount=amount,
        **{"reason_text": "because", **given},
    )
    return one(
        connection,
        "SELECT running_balance FROM ret.cash_movement WHERE cash_movement_id = %s",
        made,
    )


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("register_session", {"opening_float": -1}, "amounts_not_negative"),
        ("cash_movement", {"movement_kind": "no_sale", "amount": 1}, "amount_by_kind"),
        ("cash_movement", {"amount": 0}, "amount_by_kind"),
        ("cash_movement", {"movement_kind": "correction"}, "has_reason"),
        ("cash_movement", {"bag_number": "B1"}, "bag_for_deposits"),
        ("cash_count", {"counted_total": 101}, "adds_up"),
        ("cash_count", {"is_accepted": True}, "accepted_is_explained"),
        ("pos_transaction", {"transaction_kind": "sale"}, "sale_has_order"),
        ("pos_transaction", {"transaction_kind": "exchange"}, "sale_has_order"),
        ("pos_transaction", {"transaction_kind": "no_sale", "item_count": 1}, "no_sale_is_empty"),
        ("pos_transaction", {"net_total": 5}, "totals_agree"),
        ("pos_transaction", {"synced_at": "2036-01-01"}, "only_offline_syncs"),
        ("pos_transaction", {"transaction_kind": "void"}, "void_has_time"),
        ("pos_transaction", {"completed_at": "2020-01-01"}, "completed_at_follows_started_at"),
        ("pos_transaction", {"scan_seconds": -1}, "counts_not_negative"),
        ("pos_journal_event", {"event_kind": "scan"}, "scan_has_barcode"),
        ("pos_journal_event", {"event_kind": "price_override"}, "override_has_amount"),
        ("pos_journal_event", {"duration_ms": -1}, "duration_not_negative"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_{truth}"):
        row(app, f"ret.{table}", **columns)


class TestDrawer:
    """What a drawer should hold is its float and what went in and out."""

    def test_one_session_at_a_time(self, app: Connection, shop: Shop) -> None:
        with pytest.raises(errors.UniqueViolation, match="register_session_open_idx"):
            app.execute("SELECT ret.open_register(%s, %s, 50)", [shop.register, shop.cashier])

    def test_sessions_are_numbered_within_the_day(self, app: Connection, shop: Shop) -> None:
        self.close(app, shop, 100)
        app.execute("SELECT ret.open_register(%s, %s, 50)", [shop.register, shop.cashier])
        numbers = app.execute(
            "SELECT right(session_number, 2) FROM ret.register_session ORDER BY 1"
        )
        assert numbers.fetchall() == [("-1",), ("-2",)]

    def test_a_retired_register_is_not_opened(self, app: Connection, shop: Shop) -> None:
        self.close(app, shop, 100)
        app.execute("UPDATE ret.register SET status = 'retired'")
        with pytest.raises(errors.NoDataFound, match="no such register in use"):
            app.execute("SELECT ret.open_register(%s, %s, 50)", [shop.register, shop.cashier])

    @pytest.mark.parametrize(
        ("kind", "amount", "holds"),
        [
            ("float_in", 30, 130),
            ("paid_in", 30, 130),
            ("correction", 30, 130),
            ("paid_out", 30, 70),
            ("safe_drop", 100, 0),
            ("bank_deposit", 30, 70),
            ("no_sale", 0, 100),
        ],
    )
    def test_movements_change_it(
        self, app: Connection, shop: Shop, kind: str, amount: int, holds: int
    ) -> None:
        assert move(app, shop, kind, amount) == holds
        assert drawer(app) == holds

    def test_cash_sales_go_in(self, app: Connection, shop: Shop) -> None:
        sell(app, shop, CASH)
        sell(app, shop, {"tender": "cash", "amount": 2, "tendered": 2}, {"tender": "card"})
        assert drawer(app) == Decimal("124.00")
        assert one(app, "SELECT sum(change_given) FROM ret.payment") == Decimal("8.00")

    def test_it_gives_out_no_more_than_it_holds(self, app: Connection, shop: Shop) -> None:
        with pytest.raises(errors.CheckViolation, match="the drawer does not hold 101"):
            move(app, shop, "safe_drop", 101)

    def test_much_is_paid_out_with_an_approval(self, app: Connection, shop: Shop) -> None:
        assert move(app, shop, "paid_out", 50) == 50
        app.execute("UPDATE ret.register_session SET approval_limit = 20")
        with pytest.raises(errors.CheckViolation, match="only 20"), app.transaction():
            move(app, shop, "paid_out", 20.01)
        assert move(app, shop, "paid_out", 30, approved_by_user_id=shop.cashier) == 20

    def test_nobody_approves_for_himself(self, app: Connection, shop: Shop) -> None:
        with pytest.raises(errors.CheckViolation, match="approved_by_another"):
            move(
                app,
                shop,
                "paid_out",
                60,
                approved_by_user_id=shop.cashier,
                actor_user_id=shop.cashier,
            )

    def test_movements_stand(self, admin: Connection, app: Connection, shop: Shop) -> None:
        move(app, shop, "paid_in", 5)
        with app.transaction(force_rollback=True), pytest.raises(errors.InsufficientPrivilege):
            app.execute("UPDATE ret.cash_movement SET amount = 99")
        admin.execute("RESET ROLE")
        with pytest.raises(errors.RestrictViolation, match="append only"):
            admin.execute("DELETE FROM ret.cash_movement")

    def test_a_count_is_held_against_the_books(self, app: Connection, shop: Shop) -> None:
        move(app, shop, "paid_in", 3)
        for kind, variance in (("opening", 0), ("spot", -3)):
            made = row(
                app,
                "ret.cash_count",
                register_session_id=shop.session,
                count_kind=kind,
                expected_total=77,
            )
            found = one(
                app,
                "SELECT variance_amount FROM ret.cash_count WHERE cash_count_id = %s",
                made,
            )
            assert found == variance

    def close(self, connection: Connection, shop: Shop, cash: float, **declared: float) -> Any:
        return one(
            connection,
            "SELECT ret.close_register(%s, %s, %s, %s)",
            shop.session,
            shop.cashier,
            Jsonb([{"value": cash, "count": 1}]),
            Jsonb([{"tender": k, "declared": v} for k, v in declared.items()]),
        )

    def test_the_close_says_what_is_short(self, app: Connection, shop: Shop) -> None:
        sell(app, shop, CASH)
        sell(app, shop)
        assert self.close(app, shop, 120, card=22) == Decimal("-2.00")
        found = app.execute(
            "SELECT tender, expected, counted, over_short, receipts, state"
            " FROM ret.v_register_reconciliation ORDER BY tender"
        ).fetchall()
        assert found == [
            ("card", Decimal("22.00"), Decimal("22"), Decimal("0.00"), 2, "closed"),
            ("cash", Decimal("122.00"), Decimal("120.00"), Decimal("-2.00"), 2, "closed"),
        ]
        assert one(app, "SELECT tender_totals_doc -> 0 FROM ret.register_session") == {
            "tender": "card",
            "expected": 22.00,
            "declared": 22,
        }

    def test_a_closed_session_takes_nothing(self, app: Connection, shop: Shop) -> None:
        self.close(app, shop, 100)
        attempts: list[Callable[[], Any]] = [
            lambda: move(app, shop, "paid_in", 1),
            lambda: row(app, "ret.cash_count", register_session_id=shop.session),
            lambda: row(app, "ret.pos_transaction", register_session_id=shop.session),
            lambda: sell(app, shop, CASH),
            lambda: self.close(app, shop, 100),
        ]
        for attempt in attempts:
            with pytest.raises(errors.CheckViolation, match="is closed"), app.transaction():
                attempt()

    def test_cash_does_not_slip_in_after_the_close(self, app: Connection, shop: Shop) -> None:
        self.close(app, shop, 100)
        with pytest.raises(errors.CheckViolation, match="it takes no cash"):
            row(
                app,
                "ret.payment",
                sales_order_id=order(app, shop),
                tender="cash",
                state="captured",
                captured_amount=5,
                captured_at="2036-01-01",
                amount_tendered=5,
                register_session_id=shop.session,
            )

    def test_what_was_sold_offline_comes_in_later(self, app: Connection, shop: Shop) -> None:
        self.close(app, shop, 100)
        row(app, "ret.pos_transaction", register_session_id=shop.session, is_offline=True)

    def test_a_posted_session_stands(self, app: Connection, shop: Shop) -> None:
        self.close(app, shop, 100)
        app.execute("UPDATE ret.register_session SET state = 'posted'")
        with pytest.raises(errors.CheckViolation, match="is posted, it is not changed"):
            app.execute("UPDATE ret.register_session SET counted_cash = 99")

    def test_two_tills_fill_one_drawer(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            cashier = add_account(connection, tenant, "ada")
            become_app(connection, tenant)
            shop = open_shop(connection, cashier)

        def ring_up(number: int) -> None:
            with psycopg.connect(target.app) as connection:
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                sell(connection, shop, CASH, quantity=1, key=f"sale {number}")

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(ring_up, range(6)))
        with psycopg.connect(target.admin) as connection:
            assert drawer(connection) == Decimal("166.00")
            assert (
                one(connection, "SELECT count(DISTINCT receipt_number) FROM ret.pos_transaction")
                == 6
            )
            stock = one(connection, "SELECT on_hand_qty FROM ret.stock_level")
            assert stock == 14


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (["counting"], True),
        (["counting", "open"], True),
        (["counting", "closed"], True),
        (["counting", "closed", "counting"], True),
        (["counting", "closed", "posted"], True),
        (["closed"], False),
        (["posted"], False),
        (["counting", "posted"], False),
        (["counting", "closed", "open"], False),
    ],
)
def test_a_session_goes_its_way(
    app: Connection, shop: Shop, path: list[str], allowed: bool
) -> None:
    def go() -> None:
        for state in path:
            done = state in ("closed", "posted")
            app.execute(
                "UPDATE ret.register_session SET state = %s, counted_cash = 100,"
                " closed_by_user_id = %s, closed_at = CASE WHEN %s THEN now() END",
                [state, shop.cashier, done],
            )

    if allowed:
        go()
    else:
        with pytest.raises(errors.CheckViolation, match="cannot become"):
            go()


def test_a_price_goes_down_far_with_an_approver(app: Connection, shop: Shop) -> None:
    override = {
        "register_session_id": shop.session,
        "event_kind": "price_override",
        "amount": 50.01,
    }
    with pytest.raises(errors.CheckViolation, match=r"only 50\.00 goes without"), app.transaction():
        row(app, "ret.pos_journal_event", **override)
    row(app, "ret.pos_journal_event", **override, approver_name="Grace")
    row(app, "ret.pos_journal_event", **{**override, "amount": 50})
    found = one(app, "SELECT max(overrides) FROM ret.v_register_reconciliation")
    assert found == 2


def test_the_journal_stands(admin: Connection, app: Connection, shop: Shop) -> None:
    row(app, "ret.pos_journal_event", register_session_id=shop.session)
    with pytest.raises(errors.InsufficientPrivilege), app.transaction():
        app.execute("DELETE FROM ret.pos_journal_event")
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute("UPDATE ret.pos_journal_event SET amount = 1")


def test_a_receipt_stands(app: Connection, shop: Shop) -> None:
    sell(app, shop)
    with (
        pytest.raises(errors.CheckViolation, match="was printed, its amounts stand"),
        app.transaction(),
    ):
        app.execute("UPDATE ret.pos_transaction SET gross_total = 1, net_total = 3")
    app.execute("UPDATE ret.pos_transaction SET transaction_kind = 'void', voided_at = now()")


class TestLayaway:
    """Goods are set aside against instalments that add up, and collected when all is paid."""

    @pytest.fixture
    def aside(self, app: Connection, shop: Shop) -> UUID:
        """An order for 110 in three instalments, of which 15 are paid at once, with a fee of 5."""
        sold = order(app, shop, 10, customer_id=row(app, "ret.customer"))
        return UUID(
            str(
                one(
                    app,
                    "SELECT ret.open_layaway(%s, %s, 15, 3, '2026-07-31', 5)",
                    sold,
                    shop.store,
                )
            )
        )

    def pay(self, connection: Connection, shop: Shop, aside: UUID, amount: float) -> Any:
        tender = Jsonb([{"tender": "cash", "amount": amount}])
        return one(
            connection,
            "SELECT ret.pay_layaway(%s, %s::numeric, %s, %s)",
            aside,
            amount,
            shop.session,
            tender,
        )

    def test_the_plan_adds_up(self, app: Connection, aside: UUID) -> None:
        plan = app.execute(
            "SELECT due_on::text, due_amount FROM ret.layaway_instalment ORDER BY instalment_no"
        ).fetchall()
        assert plan == [
            ("2026-07-31", Decimal("33.33")),
            ("2026-08-31", Decimal("33.33")),
            ("2026-09-30", Decimal("33.34")),
        ]
        assert one(app, "SELECT balance_amount FROM ret.layaway") == 100

    def test_an_order_is_set_aside_once(self, app: Connection, shop: Shop, aside: UUID) -> None:
        sold = one(app, "SELECT sales_order_id FROM ret.layaway")
        with pytest.raises(errors.CheckViolation, match="is set aside already"):
            app.execute("SELECT ret.open_layaway(%s, %s, 15, 3, '2026-07-31')", [sold, shop.store])

    def test_somebody_has_to_come_back(self, app: Connection, shop: Shop) -> None:
        with pytest.raises(errors.CheckViolation, match="is set aside for a customer"):
            app.execute(
                "SELECT ret.open_layaway(%s, %s, 15, 3, '2026-07-31')",
                [order(app, shop), shop.store],
            )

    def test_the_deposit_is_a_part_of_it(self, app: Connection, shop: Shop) -> None:
        sold = order(app, shop, 10, customer_id=row(app, "ret.customer"))
        with pytest.raises(errors.CheckViolation, match="deposit_is_enough"):
            app.execute("SELECT ret.open_layaway(%s, %s, 10, 3, '2026-07-31')", [sold, shop.store])

    def test_the_oldest_instalment_is_paid_first(
        self, app: Connection, shop: Shop, aside: UUID
    ) -> None:
        assert self.pay(app, shop, aside, 40) == 60
        found = app.execute(
            "SELECT paid_amount, state FROM ret.layaway_instalment ORDER BY instalment_no"
        ).fetchall()
        assert found == [
            (Decimal("33.33"), "paid"),
            (Decimal("6.67"), "due"),
            (Decimal("0.00"), "due"),
        ]
        assert drawer(app) == 140
        receipt = one(
            app,
            "SELECT t.transaction_kind, t.net_total FROM ret.pos_transaction AS t"
            " JOIN ret.layaway_instalment AS i USING (business_id, pos_transaction_id)"
            " WHERE i.instalment_no = 1",
        )
        assert receipt == ("layaway", 40)

    def test_it_is_collected_when_all_is_paid(
        self, app: Connection, shop: Shop, aside: UUID
    ) -> None:
        collect = "UPDATE ret.layaway SET state = 'collected', closed_at = now()"
        with pytest.raises(errors.CheckViolation), app.transaction():
            app.execute(collect)
        assert self.pay(app, shop, aside, 100) == 0
        assert one(app, "SELECT state FROM ret.layaway") == "paid"
        app.execute(collect)

    @pytest.mark.parametrize("amount", [100.01, 0])
    def test_it_takes_what_it_owes(
        self, app: Connection, shop: Shop, aside: UUID, amount: float
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=r"owes 100\.00, not"):
            self.pay(app, shop, aside, amount)

    def test_tenders_come_to_the_amount(self, app: Connection, shop: Shop, aside: UUID) -> None:
        with pytest.raises(errors.CheckViolation, match="do not come to 20"):
            app.execute(
                "SELECT ret.pay_layaway(%s, 20, %s, %s)",
                [aside, shop.session, Jsonb([{"tender": "cash", "amount": 19}])],
            )

    def test_one_that_was_given_up_takes_nothing(
        self, app: Connection, shop: Shop, aside: UUID
    ) -> None:
        app.execute(
            "UPDATE ret.layaway SET state = 'cancelled', closed_at = now(), cancelled_fee = 5"
        )
        with pytest.raises(errors.CheckViolation, match="is cancelled"):
            self.pay(app, shop, aside, 10)

    def test_what_is_waived_is_not_owed(self, app: Connection, aside: UUID) -> None:
        app.execute("UPDATE ret.layaway_instalment SET state = 'waived' WHERE instalment_no = 3")
        assert one(app, "SELECT balance_amount FROM ret.layaway") == Decimal("66.66")

    def test_being_late_costs(self, app: Connection, shop: Shop, aside: UUID) -> None:
        app.execute(
            "UPDATE ret.layaway_instalment SET state = 'late', late_fee = 2 WHERE instalment_no = 1"
        )
        assert self.pay(app, shop, aside, 102) == 0

    @pytest.mark.parametrize(
        ("change", "truth"),
        [
            ("paid_amount = 34", "not_overpaid"),
            ("paid_amount = 5", "paid_has_time"),
            ("state = 'paid'", "paid_in_full"),
            ("late_fee = -1", "amounts_bounded"),
        ],
    )
    def test_an_instalment_says_what_happened(
        self, app: Connection, aside: UUID, change: str, truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=truth):
            app.execute(
                f"UPDATE ret.layaway_instalment SET {change} WHERE instalment_no = 1".encode()
            )

    @pytest.mark.parametrize(
        ("change", "truth"),
        [
            ("cancelled_fee = 5", "fee_when_given_up"),
            ("state = 'defaulted'", "closed_has_time"),
            ("grace_days = -1", "amounts_not_negative"),
            ("minimum_deposit_pct = 101", "deposit"),
            ("state = 'cancelled', closed_at = '2020-01-01'", "closed_after_opening"),
        ],
    )
    def test_a_layaway_says_what_happened(
        self, app: Connection, aside: UUID, change: str, truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=truth):
            app.execute(f"UPDATE ret.layaway SET {change}".encode())

    @pytest.mark.parametrize(
        ("start", "end"),
        [("waived", "due"), ("waived", "late"), ("late", "due"), ("waived", "paid")],
    )
    def test_an_instalment_goes_its_way(
        self, app: Connection, aside: UUID, start: str, end: str
    ) -> None:
        app.execute("UPDATE ret.layaway_instalment SET state = %s", [start])
        with pytest.raises(errors.CheckViolation, match="cannot become"):
            app.execute("UPDATE ret.layaway_instalment SET state = %s", [end])

    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            (["paid", "collected"], True),
            (["paid", "cancelled"], True),
            (["defaulted"], True),
            (["cancelled"], True),
            (["collected"], False),
            (["paid", "open"], False),
            (["paid", "defaulted"], False),
            (["defaulted", "open"], False),
            (["cancelled", "paid"], False),
            (["paid", "collected", "cancelled"], False),
        ],
    )
    def test_a_layaway_goes_its_way(
        self, app: Connection, aside: UUID, path: list[str], allowed: bool
    ) -> None:
        *before, last = path
        become = (
            "UPDATE ret.layaway SET state = %(state)s, balance_amount = 0, closed_at = CASE WHEN"
            " %(state)s IN ('collected', 'defaulted', 'cancelled') THEN now() END"
        )
        for state in before:
            app.execute(become, {"state": state})
        if allowed:
            app.execute(become, {"state": last})
        else:
            with pytest.raises(errors.CheckViolation, match="cannot become"):
                app.execute(become, {"state": last})

    def test_two_desks_do_not_take_it_twice(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            cashier = add_account(connection, tenant, "ada")
            become_app(connection, tenant)
            shop = open_shop(connection, cashier)
            sold = order(connection, shop, 10, customer_id=row(connection, "ret.customer"))
            aside = one(
                connection,
                "SELECT ret.open_layaway(%s, %s, 20, 2, '2026-07-31')",
                sold,
                shop.store,
            )

        def take(_: int) -> bool:
            with psycopg.connect(target.app) as connection:
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                try:
                    self.pay(connection, shop, aside, 60)
                except errors.CheckViolation:
                    connection.rollback()
                    return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(take, range(4))) == 1
