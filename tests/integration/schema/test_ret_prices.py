"""A price is that of the first book that has one; entries follow each other without a gap."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_account, add_tenant, become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_ret_customers import change, found, imported

BOOK = {"draft": {"active", "archived"}, "active": {"archived"}, "archived": {"active"}}
MOVE = {
    "draft": {"approved", "rejected"},
    "approved": {"applied", "rejected"},
    "applied": {"reverted"},
    "rejected": {"draft"},
    "reverted": set(),
}


@pytest.fixture
def variant(app: Connection) -> UUID:
    return row(app, "ret.product_variant", average_cost=6)


@pytest.fixture
def channel(app: Connection) -> UUID:
    return row(app, "ret.sales_channel", currency="USD")


@pytest.fixture
def book(app: Connection) -> UUID:
    return row(app, "ret.price_book")


@pytest.fixture
def other_account(app: Connection, tenant: UUID) -> UUID:
    app.execute("RESET ROLE")
    made = add_account(app, tenant, "bob")
    app.execute("SET LOCAL ROLE app_user")
    return made


def base_book(connection: Connection, **given: Any) -> UUID:
    return row(connection, "ret.price_book", book_kind="base", **given)


def enter(connection: Connection, book: UUID, variant: UUID, price: float, **given: Any) -> UUID:
    return row(
        connection,
        "ret.price_book_entry",
        price_book_id=book,
        product_variant_id=variant,
        price=price,
        **given,
    )


def entries(connection: Connection) -> list[tuple[Any, ...]]:
    """(price, first day, last day) in order of the days."""
    return connection.execute(
        "SELECT price::float, effective_from::text, effective_to::text"
        " FROM ret.price_book_entry ORDER BY min_qty, effective_from"
    ).fetchall()


class TestRules:
    """What no row may say."""

    @pytest.mark.parametrize(
        ("table", "columns", "truth"),
        [
            ("price_book", {"effective_to": "2025-12-31"}, "ends_after_start"),
            ("price_book_entry", {"effective_to": "2025-12-31"}, "ends_after_start"),
            ("price_book_entry", {"price": -1}, "price_not_negative"),
            ("price_book_entry", {"price": 5, "floor_price": 6}, "under_floor_is_approved"),
            ("price_book_entry", {"price": 5, "compare_at_price": 5}, "compares_with_more"),
            ("price_book_entry", {"min_qty": 0.5}, "break_from_one"),
            ("price_book_assignment", {}, "has_target"),
            ("price_change", {"new_price": 10}, "changes_something"),
            ("price_change", {"change_kind": "correction", "new_price": -1}, "prices_not_negative"),
            ("price_change", {"change_kind": "increase", "new_price": 9}, "goes_the_way"),
            ("price_change", {"change_kind": "markdown", "new_price": 11}, "goes_the_way"),
            ("price_change", {"change_kind": "clearance", "new_price": 11}, "goes_the_way"),
            ("price_change", {"effective_at": "2026-04-30"}, "effective_after_request"),
            ("price_change", {"units_on_hand": -1}, "units_not_negative"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, app: Connection, table: str, columns: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
            row(app, f"ret.{table}", **columns)

    @pytest.mark.parametrize(
        ("given", "truth"),
        [
            ({"weekday_mask": 128}, "weekdays_bounded"),
            ({"weekday_mask": 0}, "weekdays_bounded"),
            ({"effective_to": "2025-12-31"}, "ends_after_start"),
        ],
    )
    def test_an_assignment_is_for_real_days(
        self, app: Connection, channel: UUID, given: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=truth):
            row(app, "ret.price_book_assignment", sales_channel_id=channel, **given)

    def test_a_book_is_assigned_once_to_the_same(
        self, app: Connection, book: UUID, channel: UUID
    ) -> None:
        given = {"price_book_id": book, "sales_channel_id": channel}
        row(app, "ret.price_book_assignment", **given)
        with pytest.raises(errors.UniqueViolation):
            row(app, "ret.price_book_assignment", **given)

    def test_a_currency_has_one_base_book(self, app: Connection) -> None:
        base_book(app)
        base_book(app, currency="EUR")
        with pytest.raises(errors.UniqueViolation, match="price_book_currency_idx"):
            base_book(app)

    @pytest.mark.parametrize("before", BOOK)
    @pytest.mark.parametrize("after", BOOK)
    def test_states_of_a_book(self, app: Connection, before: str, after: str) -> None:
        made = imported(app, "ret.price_book", state=before)
        if after in BOOK[before] | {before}:
            change(app, "price_book", made, state=after)
        else:
            with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
                change(app, "price_book", made, state=after)


class TestFallback:
    """Books fall back to each other in chains, never in circles."""

    def test_a_base_falls_back_to_nothing(self, app: Connection, book: UUID) -> None:
        with pytest.raises(errors.CheckViolation, match="base_falls_back_to_nothing"):
            base_book(app, fallback_book_id=book)

    def test_no_circle(self, app: Connection) -> None:
        first = row(app, "ret.price_book", book_code="FIRST")
        second = row(app, "ret.price_book", fallback_book_id=first)
        third = row(app, "ret.price_book", fallback_book_id=second)
        with pytest.raises(errors.CheckViolation, match="FIRST would fall back to itself"):
            change(app, "price_book", first, fallback_book_id=third)

    def test_no_circle_of_one(self, app: Connection, book: UUID) -> None:
        with pytest.raises(errors.CheckViolation, match="would fall back to itself"):
            change(app, "price_book", book, fallback_book_id=book)

    def test_no_other_currency(self, app: Connection, book: UUID) -> None:
        with pytest.raises(errors.CheckViolation, match="differ in currency"):
            row(app, "ret.price_book", currency="EUR", fallback_book_id=book)

    def test_the_currency_stays_that_of_those_above(self, app: Connection, book: UUID) -> None:
        row(app, "ret.price_book", fallback_book_id=book)
        with pytest.raises(errors.CheckViolation, match="differ in currency"):
            change(app, "price_book", book, currency="EUR")

    def test_two_at_once_close_no_circle(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            left, right = (row(connection, "ret.price_book") for _ in range(2))
        with psycopg.connect(target.app) as one, psycopg.connect(target.app) as two:
            for connection in (one, two):
                become_app(connection, tenant)
            two.execute("SET LOCAL lock_timeout = '200ms'")
            change(one, "price_book", left, fallback_book_id=right)
            with pytest.raises(errors.LockNotAvailable):
                change(two, "price_book", right, fallback_book_id=left)
            one.commit()
            two.rollback()
            become_app(two, tenant)
            with pytest.raises(errors.CheckViolation, match="would fall back to itself"):
                change(two, "price_book", right, fallback_book_id=left)


class TestEntries:
    """A new price ends the one before it."""

    def test_the_one_before_ends_the_day_before(
        self, app: Connection, book: UUID, variant: UUID
    ) -> None:
        enter(app, book, variant, 10)
        enter(app, book, variant, 12, effective_from="2026-06-01")
        assert entries(app) == [
            (10, "2026-01-01", "2026-05-31"),
            (12, "2026-06-01", None),
        ]

    def test_after_a_price_for_some_days_the_old_one_comes_back(
        self, app: Connection, book: UUID, variant: UUID
    ) -> None:
        enter(app, book, variant, 10)
        enter(app, book, variant, 8, effective_from="2026-06-01", effective_to="2026-06-07")
        assert entries(app) == [
            (10, "2026-01-01", "2026-05-31"),
            (8, "2026-06-01", "2026-06-07"),
            (10, "2026-06-08", None),
        ]

    def test_it_comes_back_until_its_own_end(
        self, app: Connection, book: UUID, variant: UUID
    ) -> None:
        enter(app, book, variant, 10, effective_to="2026-06-30")
        enter(app, book, variant, 8, effective_from="2026-06-01", effective_to="2026-06-07")
        assert entries(app)[-1] == (10, "2026-06-08", "2026-06-30")

    def test_a_price_that_is_planned_is_not_overrun(
        self, app: Connection, book: UUID, variant: UUID
    ) -> None:
        enter(app, book, variant, 12, effective_from="2026-07-01")
        with pytest.raises(errors.ExclusionViolation, match="no_overlap"):
            enter(app, book, variant, 10, effective_from="2026-06-01")

    def test_two_do_not_begin_on_one_day(self, app: Connection, book: UUID, variant: UUID) -> None:
        enter(app, book, variant, 10)
        with pytest.raises(errors.ExclusionViolation, match="no_overlap"):
            enter(app, book, variant, 12)

    @pytest.mark.parametrize("apart", ["book", "variant", "min_qty"])
    def test_others_are_left_alone(
        self, app: Connection, book: UUID, variant: UUID, apart: str
    ) -> None:
        enter(app, book, variant, 10)
        enter(
            app,
            row(app, "ret.price_book") if apart == "book" else book,
            row(app, "ret.product_variant") if apart == "variant" else variant,
            9,
            effective_from="2026-06-01",
            min_qty=6 if apart == "min_qty" else 1,
        )
        assert [last for *_, last in entries(app)] == [None, None]

    def test_moving_the_first_day_moves_the_end_before(
        self, app: Connection, book: UUID, variant: UUID
    ) -> None:
        enter(app, book, variant, 10)
        later = enter(app, book, variant, 12, effective_from="2026-06-10")
        change(app, "price_book_entry", later, effective_from="2026-06-01")
        assert entries(app)[0] == (10, "2026-01-01", "2026-05-31")

    def test_under_the_floor_it_is_approved(
        self, app: Connection, book: UUID, variant: UUID
    ) -> None:
        made = enter(app, book, variant, 5, floor_price=6, approved_at="2026-05-04")
        change(app, "price_book_entry", made, price=5.5)
        with pytest.raises(errors.CheckViolation, match="under_floor_is_approved"):
            change(app, "price_book_entry", made, price=4)

    def test_a_lower_price_is_approved_anew(
        self, app: Connection, book: UUID, variant: UUID
    ) -> None:
        made = enter(app, book, variant, 5, floor_price=6, approved_at="2026-05-04")
        change(app, "price_book_entry", made, price=4, approved_at="2026-05-05")
        assert entries(app)[0][0] == 4

    def test_the_margin_is_over_the_cost(self, app: Connection, book: UUID, variant: UUID) -> None:
        made = enter(app, book, variant, 10)
        margin = "SELECT margin_pct FROM ret.price_book_entry"
        assert found(app, margin) == 40
        change(app, "price_book_entry", made, price=12)
        assert found(app, margin) == 50

    def test_a_price_with_tax_has_no_margin(self, app: Connection, variant: UUID) -> None:
        enter(app, row(app, "ret.price_book", is_tax_inclusive=True), variant, 10)
        assert found(app, "SELECT margin_pct FROM ret.price_book_entry") is None

    def test_an_archived_book_gets_no_price(
        self, app: Connection, book: UUID, variant: UUID
    ) -> None:
        change(app, "price_book", book, state="archived")
        with pytest.raises(errors.CheckViolation, match="its prices are history"):
            enter(app, book, variant, 10)

    def test_of_two_at_once_the_second_ends_the_first(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            book, variant = (
                row(connection, "ret.price_book"),
                row(connection, "ret.product_variant"),
            )
            enter(connection, book, variant, 10)
        with psycopg.connect(target.app) as one, psycopg.connect(target.app) as two:
            for connection in (one, two):
                become_app(connection, tenant)
            two.execute("SET LOCAL lock_timeout = '200ms'")
            enter(one, book, variant, 11, effective_from="2026-06-01")
            with pytest.raises(errors.LockNotAvailable):
                enter(two, book, variant, 12, effective_from="2026-07-01")
            one.commit()
            two.rollback()
            become_app(two, tenant)
            enter(two, book, variant, 12, effective_from="2026-07-01")
            assert entries(two) == [
                (10, "2026-01-01", "2026-05-31"),
                (11, "2026-06-01", "2026-06-30"),
                (12, "2026-07-01", None),
            ]


class TestRounding:
    """A price that is figured ends as its book wants it."""

    @pytest.mark.parametrize(
        ("price", "rule", "rounded"),
        [
            (12.345, "none", "12.35"),
            (12.30, "end_99", "11.99"),
            (12.60, "end_99", "12.99"),
            (0.20, "end_99", "0.99"),
            (12.30, "end_95", "11.95"),
            (12.50, "end_95", "12.95"),
            (0.20, "end_95", "0.95"),
            (12.50, "whole", "13"),
            (0.20, "whole", "1"),
            (0, "end_99", "0"),
        ],
    )
    def test_it_is_the_nearest_that_ends_so(
        self, app: Connection, price: float, rule: str, rounded: str
    ) -> None:
        call = "SELECT ret.round_price(%s::numeric, %s)"
        assert found(app, call, price, rule) == Decimal(rounded)


class TestResolving:
    """The book that is assigned first, those it falls back to, then the base book."""

    def price(
        self, connection: Connection, variant: UUID, channel: UUID | None, **given: Any
    ) -> Any:
        """(price, crossed out, code of the book), or None where nothing has a price."""
        return connection.execute(
            "SELECT p.price::float, p.compare_at::float, b.book_code"
            " FROM ret.resolve_price(%s, %s, %s, %s, %s::numeric, %s) AS p"
            " JOIN ret.price_book AS b USING (price_book_id)",
            [
                variant,
                channel,
                given.get("location"),
                given.get("customer"),
                given.get("qty", 1),
                given.get("at", "2026-05-04 18:00+00"),
            ],
        ).fetchone()

    @pytest.fixture
    def base(self, app: Connection, variant: UUID) -> UUID:
        made = base_book(app, book_code="BASE")
        enter(app, made, variant, 20)
        return made

    @pytest.fixture
    def web(self, app: Connection, variant: UUID, channel: UUID) -> UUID:
        """A book of the channel, where the variant costs 18."""
        made = row(app, "ret.price_book", book_code="WEB")
        enter(app, made, variant, 18)
        self.assign(app, made, sales_channel_id=channel)
        return made

    def assign(self, connection: Connection, book: UUID, **given: Any) -> UUID:
        return row(connection, "ret.price_book_assignment", price_book_id=book, **given)

    def member(self, connection: Connection, **given: Any) -> tuple[UUID, UUID]:
        """A group and a customer of it."""
        group = row(connection, "ret.customer_group", **given)
        return group, row(connection, "ret.customer", customer_group_id=group)

    def test_nothing_has_a_price(self, app: Connection, variant: UUID, channel: UUID) -> None:
        assert self.price(app, variant, channel) is None

    @pytest.mark.usefixtures("base")
    def test_without_an_assignment_the_base_counts(
        self, app: Connection, variant: UUID, channel: UUID
    ) -> None:
        assert self.price(app, variant, channel) == (20, None, "BASE")

    @pytest.mark.usefixtures("base", "web")
    def test_the_book_of_the_channel_comes_first(
        self, app: Connection, variant: UUID, channel: UUID
    ) -> None:
        assert self.price(app, variant, channel) == (18, None, "WEB")
        assert self.price(app, variant, row(app, "ret.sales_channel", currency="USD"))[2] == "BASE"
        assert self.price(app, variant, None)[2] == "BASE"

    @pytest.mark.usefixtures("base", "web")
    def test_every_target_must_fit(self, app: Connection, variant: UUID, channel: UUID) -> None:
        store, other = (
            row(app, "ret.location", currency="USD", timezone="America/Chicago") for _ in range(2)
        )
        outlet = row(app, "ret.price_book", book_code="OUTLET")
        enter(app, outlet, variant, 15)
        self.assign(app, outlet, sales_channel_id=channel, location_id=store, priority_no=1)
        assert self.price(app, variant, channel, location=store)[2] == "OUTLET"
        assert self.price(app, variant, channel, location=other)[2] == "WEB"
        assert self.price(app, variant, channel)[2] == "WEB"

    @pytest.mark.usefixtures("base", "web")
    @pytest.mark.parametrize(("priority", "first"), [(99, "VIP"), (101, "WEB")])
    def test_the_priority_decides_not_the_price(
        self, app: Connection, variant: UUID, channel: UUID, priority: int, first: str
    ) -> None:
        vip = row(app, "ret.price_book", book_code="VIP")
        enter(app, vip, variant, 19 if priority == 99 else 1)
        self.assign(app, vip, sales_channel_id=channel, priority_no=priority)
        assert self.price(app, variant, channel)[2] == first

    @pytest.mark.usefixtures("base", "web")
    @pytest.mark.parametrize(("price", "first"), [(17, "SALE"), (19, "WEB")])
    def test_of_equal_priority_the_lower_price_counts(
        self, app: Connection, variant: UUID, channel: UUID, price: float, first: str
    ) -> None:
        sale = row(app, "ret.price_book", book_code="SALE")
        enter(app, sale, variant, price)
        self.assign(app, sale, sales_channel_id=channel)
        assert self.price(app, variant, channel)[2] == first

    @pytest.mark.usefixtures("base")
    def test_a_book_falls_back_along_its_chain(
        self, app: Connection, variant: UUID, channel: UUID, web: UUID
    ) -> None:
        middle = row(app, "ret.price_book", fallback_book_id=web)
        top = row(app, "ret.price_book", fallback_book_id=middle)
        self.assign(app, top, sales_channel_id=channel, priority_no=1)
        assert self.price(app, variant, channel) == (18, None, "WEB")
        # A book between that is put away does not break the chain.
        change(app, "price_book", middle, state="archived")
        assert self.price(app, variant, channel)[2] == "WEB"
        change(app, "price_book", web, state="archived")
        assert self.price(app, variant, channel)[2] == "BASE"

    @pytest.mark.usefixtures("base", "web")
    def test_an_exclusive_book_hides_what_comes_after(
        self, app: Connection, variant: UUID, channel: UUID
    ) -> None:
        group, customer = self.member(app)
        trade = row(app, "ret.price_book", book_code="TRADE")
        self.assign(app, trade, customer_group_id=group, priority_no=50, is_exclusive=True)
        assert self.price(app, variant, channel)[2] == "WEB"
        assert self.price(app, variant, channel, customer=customer) is None
        first = row(app, "ret.price_book", book_code="FIRST")
        enter(app, first, variant, 30)
        self.assign(app, first, sales_channel_id=channel, priority_no=10)
        assert self.price(app, variant, channel, customer=customer)[2] == "FIRST"

    @pytest.mark.usefixtures("base")
    def test_an_exclusive_book_that_is_not_in_force_hides_nothing(
        self, app: Connection, variant: UUID, channel: UUID
    ) -> None:
        draft = row(app, "ret.price_book", state="draft")
        self.assign(app, draft, sales_channel_id=channel, is_exclusive=True)
        assert self.price(app, variant, channel)[2] == "BASE"

    @pytest.mark.parametrize(
        ("qty", "price"), [(1, 20), (5.5, 20), (6, 17), (11, 17), (12, 15), (500, 15), (0.3, 20)]
    )
    def test_more_cost_less_each(
        self,
        app: Connection,
        variant: UUID,
        channel: UUID,
        base: UUID,
        qty: float,
        price: float,
    ) -> None:
        enter(app, base, variant, 17, min_qty=6)
        enter(app, base, variant, 15, min_qty=12)
        assert self.price(app, variant, channel, qty=qty)[0] == price

    @pytest.mark.parametrize(
        ("at", "price"),
        [
            # Chicago is five hours behind in summer: its days begin at five.
            ("2026-06-01 04:59+00", 20),
            ("2026-06-01 05:00+00", 14),
            ("2026-06-08 04:59+00", 14),
            ("2026-06-08 05:00+00", 20),
        ],
    )
    def test_a_price_holds_on_its_days_as_they_are_there(
        self, app: Connection, variant: UUID, channel: UUID, base: UUID, at: str, price: float
    ) -> None:
        enter(app, base, variant, 14, effective_from="2026-06-01", effective_to="2026-06-07")
        assert self.price(app, variant, channel, at=at)[0] == price

    @pytest.mark.usefixtures("base")
    def test_the_clock_is_that_of_the_store(
        self, app: Connection, variant: UUID, channel: UUID, base: UUID
    ) -> None:
        enter(app, base, variant, 14, effective_from="2026-06-01")
        store = row(app, "ret.location", currency="USD", timezone="Asia/Tokyo")
        at = "2026-05-31 15:00+00"
        assert self.price(app, variant, channel, at=at, location=store)[0] == 14
        assert self.price(app, variant, channel, at=at)[0] == 20

    @pytest.mark.usefixtures("base")
    @pytest.mark.parametrize(
        ("table", "at", "first"),
        [
            ("price_book", "2026-05-31 18:00+00", "BASE"),
            ("price_book", "2026-06-01 18:00+00", "SUMMER"),
            ("price_book", "2026-06-30 18:00+00", "SUMMER"),
            ("price_book", "2026-07-01 18:00+00", "BASE"),
            ("price_book_assignment", "2026-05-31 18:00+00", "BASE"),
            ("price_book_assignment", "2026-06-01 18:00+00", "SUMMER"),
            ("price_book_assignment", "2026-06-30 18:00+00", "SUMMER"),
            ("price_book_assignment", "2026-07-01 18:00+00", "BASE"),
        ],
    )
    def test_books_and_assignments_have_days_too(
        self, app: Connection, variant: UUID, channel: UUID, table: str, at: str, first: str
    ) -> None:
        june = {"effective_from": "2026-06-01", "effective_to": "2026-06-30"}
        summer = row(
            app,
            "ret.price_book",
            book_code="SUMMER",
            **(june if table == "price_book" else {}),
        )
        enter(app, summer, variant, 25)
        self.assign(
            app, summer, sales_channel_id=channel, **(june if table != "price_book" else {})
        )
        assert self.price(app, variant, channel, at=at)[2] == first

    @pytest.mark.usefixtures("base")
    @pytest.mark.parametrize(
        ("at", "first"), [("2026-05-08 18:00+00", "BASE"), ("2026-05-09 18:00+00", "WEEKEND")]
    )
    def test_a_book_for_some_days_of_the_week(
        self, app: Connection, variant: UUID, channel: UUID, at: str, first: str
    ) -> None:
        weekend = row(app, "ret.price_book", book_code="WEEKEND")
        enter(app, weekend, variant, 19)
        self.assign(app, weekend, sales_channel_id=channel, weekday_mask=32 + 64)
        assert self.price(app, variant, channel, at=at)[2] == first

    @pytest.mark.usefixtures("base", "web")
    def test_no_price_in_another_currency(self, app: Connection, variant: UUID) -> None:
        abroad = row(app, "ret.sales_channel", currency="EUR")
        self.assign(app, row(app, "ret.price_book"), sales_channel_id=abroad)
        assert self.price(app, variant, abroad) is None
        euro = base_book(app, book_code="EURO", currency="EUR")
        enter(app, euro, variant, 21)
        assert self.price(app, variant, abroad)[2] == "EURO"

    @pytest.mark.usefixtures("base")
    def test_a_group_without_a_book_gets_its_discount(
        self, app: Connection, variant: UUID, channel: UUID
    ) -> None:
        _, customer = self.member(app, default_discount_pct=15)
        assert self.price(app, variant, channel, customer=customer) == (17, 20, "BASE")

    def test_the_discount_stops_at_the_floor_and_is_rounded(
        self, app: Connection, variant: UUID, channel: UUID
    ) -> None:
        base = base_book(app, book_code="BASE", rounding_rule="end_99")
        made = enter(app, base, variant, 20)
        _, customer = self.member(app, default_discount_pct=15)
        assert self.price(app, variant, channel, customer=customer)[0] == 16.99
        change(app, "price_book_entry", made, floor_price=18)
        assert self.price(app, variant, channel, customer=customer)[0] == 18

    @pytest.mark.usefixtures("base")
    def test_a_price_of_the_group_is_its_price(
        self, app: Connection, variant: UUID, channel: UUID, base: UUID
    ) -> None:
        group, customer = self.member(app, default_discount_pct=10)
        own = row(app, "ret.price_book", book_code="OWN", fallback_book_id=base)
        enter(app, own, variant, 19)
        self.assign(app, own, customer_group_id=group)
        assert self.price(app, variant, channel, customer=customer) == (19, None, "OWN")
        # What the book does not list has the discount again.
        other = row(app, "ret.product_variant")
        enter(app, base, other, 30)
        assert self.price(app, other, channel, customer=customer) == (27, 30, "BASE")

    @pytest.mark.parametrize("kind", ["clearance", "staff"])
    def test_nothing_more_is_taken_off_a_cleared_price(
        self, app: Connection, variant: UUID, channel: UUID, kind: str
    ) -> None:
        _, customer = self.member(app, default_discount_pct=10)
        book = row(app, "ret.price_book", book_kind=kind)
        enter(app, book, variant, 5, compare_at_price=20)
        self.assign(app, book, sales_channel_id=channel)
        assert self.price(app, variant, channel, customer=customer)[:2] == (5, 20)

    @pytest.mark.usefixtures("base")
    def test_a_blocked_customer_pays_what_everybody_pays(
        self, app: Connection, variant: UUID, channel: UUID
    ) -> None:
        _, customer = self.member(app, default_discount_pct=10)
        change(app, "customer", customer, status="blocked")
        assert self.price(app, variant, channel, customer=customer)[0] == 20

    @pytest.mark.usefixtures("base")
    def test_the_catalogue_shows_the_base_price(self, app: Connection, variant: UUID) -> None:
        view = (
            "SELECT base_price, base_currency FROM ret.v_variant_full WHERE product_variant_id = %s"
        )
        assert found(app, view, variant) == (20, "USD")


class TestMoves:
    """A price move is approved by another and applied when its time comes."""

    @pytest.fixture
    def move(
        self,
        app: Connection,
        book: UUID,
        variant: UUID,
        account: UUID,
        other_account: UUID,
    ) -> UUID:
        """An approved markdown from 10 to 8, due on May 4."""
        enter(app, book, variant, 10, floor_price=9)
        made = row(
            app,
            "ret.price_change",
            price_book_id=book,
            product_variant_id=variant,
            change_kind="markdown",
            new_price=8,
            units_on_hand=30,
            requested_by_user_id=account,
        )
        change(app, "price_change", made, state="approved", approved_by_user_id=other_account)
        return made

    def apply(self, connection: Connection, at: str) -> Any:
        return found(connection, "SELECT ret.apply_price_changes(500, %s)", at)

    @pytest.mark.parametrize("before", MOVE)
    @pytest.mark.parametrize("after", MOVE)
    def test_states(
        self,
        app: Connection,
        account: UUID,
        other_account: UUID,
        before: str,
        after: str,
    ) -> None:
        made = imported(
            app,
            "ret.price_change",
            state=before,
            requested_by_user_id=account,
            approved_by_user_id=other_account,
        )
        if after in MOVE[before] | {before}:
            change(app, "price_change", made, state=after)
        else:
            with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
                change(app, "price_change", made, state=after)

    def test_nobody_approves_their_own(self, app: Connection, account: UUID) -> None:
        made = row(app, "ret.price_change", requested_by_user_id=account)
        with pytest.raises(errors.CheckViolation, match="approved_by_another"):
            change(app, "price_change", made, approved_by_user_id=account)

    def test_somebody_approves_it(self, app: Connection) -> None:
        made = row(app, "ret.price_change")
        with pytest.raises(errors.CheckViolation, match="approved_by_somebody"):
            change(app, "price_change", made, state="approved")

    def test_it_gets_a_number(self, app: Connection) -> None:
        row(app, "ret.price_change", change_number=None)
        assert found(app, "SELECT change_number FROM ret.price_change").startswith("PC-")

    def test_it_says_what_the_stock_loses(self, app: Connection, move: UUID) -> None:
        impact = "SELECT margin_impact FROM ret.price_change WHERE price_change_id = %s"
        assert found(app, impact, move) == -60

    @pytest.mark.parametrize(
        "to", [{"new_price": 7}, {"old_price": 11}, {"effective_at": "2026-06-01"}]
    )
    def test_what_was_approved_is_not_edited(
        self, app: Connection, move: UUID, to: dict[str, Any]
    ) -> None:
        with pytest.raises(errors.CheckViolation, match="what was approved is not edited"):
            change(app, "price_change", move, **to)

    def test_a_move_of_one_store_is_in_a_book_of_it(self, app: Connection, book: UUID) -> None:
        store = row(app, "ret.location")
        given = {"price_book_id": book, "location_id": store}
        with (
            pytest.raises(errors.CheckViolation, match="not assigned to"),
            app.transaction(),
        ):
            row(app, "ret.price_change", **given)
        row(app, "ret.price_book_assignment", **given)
        row(app, "ret.price_change", **given)

    @pytest.mark.usefixtures("move")
    def test_it_waits_for_its_time(self, app: Connection) -> None:
        assert self.apply(app, "2026-05-04 09:59+00") == 0
        assert self.apply(app, "2026-05-04 10:00+00") == 1
        assert self.apply(app, "2026-05-04 10:01+00") == 0

    @pytest.mark.usefixtures("move")
    def test_applied_it_is_the_price_from_that_day(self, app: Connection) -> None:
        self.apply(app, "2026-05-04 18:00+00")
        assert entries(app) == [
            (10, "2026-01-01", "2026-05-03"),
            (8, "2026-05-04", None),
        ]
        latest = (
            "SELECT source, compare_at_price, floor_price, approved_at IS NOT NULL"
            " FROM ret.price_book_entry WHERE effective_from = '2026-05-04'"
        )
        assert found(app, latest) == ("markdown", 10, 9, True)
        assert found(app, "SELECT state FROM ret.price_change") == "applied"

    @pytest.mark.usefixtures("move")
    def test_it_ends_where_a_planned_price_begins(
        self, app: Connection, book: UUID, variant: UUID
    ) -> None:
        enter(app, book, variant, 12, effective_from="2026-07-01")
        self.apply(app, "2026-05-04 18:00+00")
        assert entries(app)[1:] == [
            (8, "2026-05-04", "2026-06-30"),
            (12, "2026-07-01", None),
        ]

    def test_reverted_the_old_price_is_back(self, app: Connection, move: UUID) -> None:
        self.apply(app, "2026-05-04 18:00+00")
        app.execute("SELECT ret.revert_price_change(%s, '2026-05-10 18:00+00')", [move])
        assert entries(app)[-2:] == [
            (8, "2026-05-04", "2026-05-09"),
            (10, "2026-05-10", None),
        ]
        assert found(app, "SELECT state FROM ret.price_change") == "reverted"

    def test_reverted_on_the_same_day_there_is_one_entry(self, app: Connection, move: UUID) -> None:
        self.apply(app, "2026-05-04 18:00+00")
        app.execute("SELECT ret.revert_price_change(%s, '2026-05-04 19:00+00')", [move])
        assert entries(app)[-1] == (10, "2026-05-04", None)

    def test_only_what_was_applied_is_reverted(self, app: Connection, move: UUID) -> None:
        with pytest.raises(errors.CheckViolation, match="approved cannot become reverted"):
            app.execute("SELECT ret.revert_price_change(%s)", [move])

    def test_there_must_be_one_to_revert(self, app: Connection, book: UUID) -> None:
        with pytest.raises(errors.NoDataFound, match="no such price change"):
            app.execute("SELECT ret.revert_price_change(%s)", [book])

    def test_there_must_be_a_book(self, app: Connection, variant: UUID) -> None:
        with pytest.raises(errors.NoDataFound, match="no such price book"):
            app.execute("SELECT ret.set_price(%s, %s, 1, '2026-05-04')", [variant, variant])

    def test_two_jobs_at_once_apply_each_move_once(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            users = [add_account(connection, tenant, name) for name in ("ada", "bob")]
            become_app(connection, tenant)
            book, variant = (
                row(connection, "ret.price_book"),
                row(connection, "ret.product_variant"),
            )
            enter(connection, book, variant, 10)
            move = row(
                connection,
                "ret.price_change",
                price_book_id=book,
                product_variant_id=variant,
                requested_by_user_id=users[0],
            )
            to = {"state": "approved", "approved_by_user_id": users[1]}
            change(connection, "price_change", move, **to)
        with psycopg.connect(target.app) as one, psycopg.connect(target.app) as two:
            for connection in (one, two):
                become_app(connection, tenant)
            at = "2026-05-04 18:00+00"
            assert (self.apply(one, at), self.apply(two, at)) == (1, 0)
