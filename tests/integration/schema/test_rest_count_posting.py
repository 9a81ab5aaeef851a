"""What was counted is posted once, as of the moment of counting, whatever is sold meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import after, at_once
from tests.integration.schema.rows import row
from tests.integration.schema.test_rest_counts import NOON, ONE, Site, make_site, one
from tests.integration.schema.test_rest_inventory import (
    DAY,
    Shelf,
    consume,
    differences,
    make_shelf,
    on_hand,
    receive,
)

TWO = "2026-05-04 14:00+00"
COME_IN = ("receipt", "transfer_in", "production_in")
GO_OUT = ("waste", "transfer_out", "production_out", "vendor_return", "staff_meal")


@pytest.fixture
def site(app: Connection) -> Site:
    return make_site(app)


def adjusted(connection: Connection) -> list[float]:
    found = connection.execute(
        "SELECT quantity::float8 FROM rest.stock_movement"
        " WHERE movement_kind = 'count_adjustment' ORDER BY 1"
    ).fetchall()
    return [quantity for (quantity,) in found]


class TestPosting:
    """What is posted is what was counted less what the books say of that very moment."""

    def test_a_count_posts_what_differs_when_another_approves(self, site: Site) -> None:
        app, sheet = site.connection, site.start()
        site.count(7)
        site.become(sheet, "submitted")
        with pytest.raises(errors.CheckViolation, match="approved_by_another"), app.transaction():
            site.become(sheet, "approved", site.counter)
        assert adjusted(app) == []
        site.become(sheet, "approved")
        assert adjusted(app) == [-3]
        assert on_hand(app, site.shelf) == 7
        assert differences(app) == []

    def test_it_is_posted_as_of_the_moment_of_counting(self, site: Site) -> None:
        sheet = site.start()
        site.count(7, "2026-05-05 01:00+00")
        site.post(sheet)
        assert one(
            site.connection,
            "SELECT m.business_date::text, m.occurred_at = l.counted_at, m.source_kind,"
            " v.last_counted_at = l.counted_at, v.theoretical_qty::int"
            " FROM rest.stock_movement AS m JOIN rest.inventory_count_line AS l"
            " ON l.inventory_count_line_id = m.source_id JOIN rest.stock_level AS v"
            " ON v.inventory_item_id = m.inventory_item_id",
        ) == ("2026-05-04", True, "inventory_count_line", True, 10)

    def test_what_is_found_has_no_lot(self, site: Site) -> None:
        sheet = site.start()
        site.count(12.5)
        site.post(sheet)
        assert one(
            site.connection,
            "SELECT quantity, stock_lot_id, unit_cost::int FROM rest.stock_movement"
            " WHERE movement_kind = 'count_adjustment'",
        ) == (Decimal("2.5"), None, 2)
        assert on_hand(site.connection, site.shelf) == 12.5
        assert differences(site.connection) == []

    def test_what_is_missing_was_of_the_lots_that_expire_first(self, site: Site) -> None:
        app = site.connection
        receive(app, site.shelf, 4, "B", "2026-06-30")
        app.execute("UPDATE rest.stock_lot SET status = 'recalled' WHERE lot_code = 'B'")
        sheet = site.start()
        site.count(8)
        site.post(sheet)
        found = app.execute(
            "SELECT lot_code, remaining_qty::int FROM rest.stock_lot ORDER BY 1"
        ).fetchall()
        assert found == [("A", 8), ("B", 0)]
        assert differences(app) == []

    def test_it_takes_of_no_other_area(self, site: Site) -> None:
        area = row(site.connection, "rest.storage_area", location_id=site.shelf.place)
        there = Shelf(site.shelf.item, area, site.shelf.place)
        receive(site.connection, there, 5, "B", "2026-06-30")
        sheet = site.start("spot")
        site.write(sheet, counted_qty=3, counted_at=NOON)
        site.post(sheet)
        assert (on_hand(site.connection, site.shelf), on_hand(site.connection, there)) == (3, 5)

    def test_it_puts_right_what_was_sold_beyond_the_books(self, site: Site) -> None:
        consume(site.connection, site.shelf, 12, may_run_short=True)
        assert on_hand(site.connection, site.shelf) == -2
        sheet = site.start()
        site.count(1)
        site.post(sheet)
        assert adjusted(site.connection) == [3]
        assert on_hand(site.connection, site.shelf) == 1

    def test_what_agrees_is_not_posted_but_was_counted(self, site: Site) -> None:
        sheet = site.start()
        site.count(10)
        site.post(sheet)
        assert adjusted(site.connection) == []
        asks = "SELECT last_counted_at = %s FROM rest.stock_level"
        assert one(site.connection, asks, NOON)

    def test_what_is_sold_before_it_is_counted_is_not_missing(self, site: Site) -> None:
        sheet = site.start()
        consume(site.connection, site.shelf, 2, happened=NOON)
        site.count(8, ONE)
        site.post(sheet)
        assert adjusted(site.connection) == []
        assert on_hand(site.connection, site.shelf) == 8

    def test_what_is_sold_after_it_was_counted_stays_sold(self, site: Site) -> None:
        sheet = site.start()
        consume(site.connection, site.shelf, 3, happened=ONE)
        site.count(9, NOON)
        site.become(sheet, "submitted")
        consume(site.connection, site.shelf, 2, happened=TWO)
        site.become(sheet, "approved")
        assert adjusted(site.connection) == [-1]
        assert on_hand(site.connection, site.shelf) == 4

    def test_a_sale_that_is_booked_late_is_not_counted_twice(self, site: Site) -> None:
        sheet = site.start()
        site.count(8, ONE)
        site.become(sheet, "submitted")
        consume(site.connection, site.shelf, 2, happened=NOON)
        site.become(sheet, "approved")
        assert adjusted(site.connection) == []
        assert on_hand(site.connection, site.shelf) == 8

    def test_two_counts_of_one_shelf_post_the_difference_once(self, site: Site) -> None:
        sheets = [site.start("spot"), site.start("spot")]
        for sheet, at in zip(sheets, (NOON, ONE), strict=True):
            site.write(sheet, counted_qty=8, counted_at=at)
            site.become(sheet, "submitted")
        for sheet in sheets:
            site.become(sheet, "approved")
        assert adjusted(site.connection) == [-2]
        assert on_hand(site.connection, site.shelf) == 8

    def test_a_count_does_not_undo_a_later_one(self, site: Site) -> None:
        old, new = site.start("spot"), site.start("spot")
        for sheet, counted, at in ((old, 8, NOON), (new, 7, ONE)):
            site.write(sheet, counted_qty=counted, counted_at=at)
            site.become(sheet, "submitted")
        site.become(new, "approved")
        with pytest.raises(errors.RestrictViolation, match=r"is overtaken, .* counted again at"):
            site.become(old, "approved")

    def test_what_is_sent_back_is_counted_again(self, site: Site) -> None:
        sheet = site.imported("submitted")
        site.become(sheet, "counting")
        site.count(9)
        site.post(sheet)
        assert adjusted(site.connection) == [-1]

    def test_it_is_posted_once(self, site: Site) -> None:
        sheet = site.start()
        site.count(7)
        site.post(sheet)
        site.become(sheet, "approved")
        assert adjusted(site.connection) == [-3]

    @pytest.mark.parametrize("state", ["submitted", "cancelled"])
    def test_nothing_is_posted_before_or_instead(self, site: Site, state: str) -> None:
        sheet = site.start()
        site.count(7)
        site.become(sheet, state)
        assert adjusted(site.connection) == []
        assert on_hand(site.connection, site.shelf) == 10

    def test_history_brings_its_own_movements(self, site: Site) -> None:
        app, sheet = site.connection, site.start()
        site.count(7)
        site.become(sheet, "submitted")
        app.execute("RESET ROLE")
        site.become(sheet, "approved")
        assert adjusted(app) == []


@pytest.mark.parametrize(
    ("moment", "held"),
    [
        ("2026-05-04 09:59+00", 0),
        (DAY, 10),
        ("2026-05-04 12:59+00", 10),
        (ONE, 7),
        (TWO, 9),
    ],
)
def test_the_books_know_what_lay_there(site: Site, moment: str, held: int) -> None:
    consume(site.connection, site.shelf, 3, happened=ONE)
    site.connection.execute(
        "SELECT rest.receive_stock(%s, %s, 2, 2, source_ref => %s, happened => %s)",
        [site.shelf.item, site.shelf.area, uuid4(), TWO],
    )
    asks = "SELECT rest.stock_at(%s, %s, %s)::int"
    assert one(site.connection, asks, site.shelf.item, site.shelf.area, moment) == held


class TestFreeze:
    """While a count freezes its site only sales and the count itself are booked there."""

    def book(self, site: Site, kind: str, **given: Any) -> None:
        row(
            site.connection,
            "rest.stock_movement",
            inventory_item_id=site.shelf.item,
            storage_area_id=site.shelf.area,
            movement_kind=kind,
            quantity=1 if kind in COME_IN else -1,
            source_id=uuid4(),
            **given,
        )

    @pytest.mark.parametrize("state", ["counting", "submitted"])
    @pytest.mark.parametrize("kind", [*COME_IN, *GO_OUT])
    def test_a_booking_waits(self, site: Site, kind: str, state: str) -> None:
        site.imported(state, freezes_stock=True)
        with pytest.raises(errors.RestrictViolation, match=f"stock is frozen .*, {kind} waits"):
            self.book(site, kind)

    @pytest.mark.parametrize("kind", ["sale", "count_adjustment"])
    def test_a_sale_does_not(self, site: Site, kind: str) -> None:
        site.imported("counting", freezes_stock=True)
        self.book(site, kind)
        assert on_hand(site.connection, site.shelf) == 9

    @pytest.mark.parametrize(
        ("state", "freezes"),
        [("draft", True), ("approved", True), ("cancelled", True), ("counting", False)],
    )
    def test_without_it_all_is_booked(self, site: Site, state: str, freezes: bool) -> None:
        site.imported(state, freezes_stock=freezes)
        self.book(site, "waste")
        assert on_hand(site.connection, site.shelf) == 9

    def test_one_count_freezes_a_site_at_a_time(self, site: Site) -> None:
        app, sheet = site.connection, site.start()
        site.start("spot")
        with pytest.raises(errors.UniqueViolation, match="one_freezes"), app.transaction():
            site.start()
        site.become(sheet, "cancelled")
        site.start()

    def test_other_sites_go_on(self, site: Site) -> None:
        site.start()
        other = make_shelf(site.connection)
        receive(site.connection, other, 5)
        assert on_hand(site.connection, other) == 5

    def test_history_was_booked_before(self, site: Site) -> None:
        site.start()
        site.connection.execute("RESET ROLE")
        self.book(site, "waste", unit_cost=2, balance_after=9)
        assert site.connection.execute("SELECT FROM rest.stock_movement").rowcount == 2


class TestAtOnce:
    """Counts, sales and deliveries that meet at one shelf."""

    @pytest.fixture
    def office(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> tuple[Target, UUID, Site]:
        """A committed site in a database of its own."""
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            made = make_site(connection)
        return target, tenant, made

    def at(self, site: Site, connection: Connection) -> Site:
        return Site(connection, site.shelf, site.counter, site.boss)

    def test_a_delivery_waits_for_the_count_and_is_refused(
        self, office: tuple[Target, UUID, Site]
    ) -> None:
        target, tenant, site = office
        with psycopg.connect(target.app) as first:
            become_app(first, tenant)
            self.at(site, first).start()
            with pytest.raises(errors.RestrictViolation, match="stock is frozen"):
                after(target, tenant, first, lambda c: receive(c, site.shelf, 5))

    def test_a_count_waits_for_the_delivery_and_has_it_on_its_sheet(
        self, office: tuple[Target, UUID, Site]
    ) -> None:
        target, tenant, site = office

        def count(connection: Connection) -> Any:
            self.at(site, connection).start()
            return one(connection, "SELECT expected_qty::int FROM rest.inventory_count_line")

        with psycopg.connect(target.app) as first:
            become_app(first, tenant)
            receive(first, site.shelf, 5)
            assert after(target, tenant, first, count) == 15

    def test_a_count_waits_for_the_sale_and_keeps_it(
        self, office: tuple[Target, UUID, Site]
    ) -> None:
        target, tenant, site = office
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            here = self.at(site, connection)
            sheet = here.start()
            here.count(8, ONE)
            here.become(sheet, "submitted")
        with psycopg.connect(target.app) as first:
            become_app(first, tenant)
            consume(first, site.shelf, 1, happened=NOON)
            consume(first, site.shelf, 3, happened=TWO)
            after(target, tenant, first, lambda c: self.at(site, c).become(sheet, "approved"))
            become_app(first, tenant)
            assert adjusted(first) == [-1]
            assert on_hand(first, site.shelf) == 5
            assert differences(first) == []

    def test_of_two_who_start_to_count_one_does(self, office: tuple[Target, UUID, Site]) -> None:
        target, tenant, site = office

        def count(connection: Connection, _: int) -> bool:
            try:
                self.at(site, connection).start()
            except errors.UniqueViolation:
                connection.rollback()
                return False
            return True

        assert sorted(at_once(target, tenant, 2, count)) == [False, True]

    def test_two_who_approve_post_it_once(self, office: tuple[Target, UUID, Site]) -> None:
        target, tenant, site = office
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            here = self.at(site, connection)
            sheet = here.start()
            here.count(7)
            here.become(sheet, "submitted")

        def approve(connection: Connection, _: int) -> bool:
            try:
                self.at(site, connection).become(sheet, "approved")
            except errors.RestrictViolation:
                connection.rollback()
                return False
            return True

        assert sorted(at_once(target, tenant, 2, approve)) == [False, True]
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            assert adjusted(connection) == [-3]

    def test_two_counts_of_one_shelf_take_turns(self, office: tuple[Target, UUID, Site]) -> None:
        target, tenant, site = office
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            here = self.at(site, connection)
            sheets = [here.start("spot"), here.start("spot")]
            for sheet in sheets:
                here.write(sheet, counted_qty=8, counted_at=NOON)
                here.become(sheet, "submitted")
        at_once(target, tenant, 2, lambda c, n: self.at(site, c).become(sheets[n], "approved"))
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            assert adjusted(connection) == [-2]
            assert differences(connection) == []

    def test_a_count_takes_the_shelves_in_the_order_of_a_sale(
        self, office: tuple[Target, UUID, Site]
    ) -> None:
        target, tenant, site = office
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            here = self.at(site, connection)
            place = site.shelf.place
            areas = [row(connection, "rest.storage_area", location_id=place) for _ in range(2)]
            shelves = [Shelf(site.shelf.item, a, place) for a in areas]
            for shelf in shelves:
                receive(connection, shelf, 5)
            sheet = here.start("spot")
            order = sorted([site.shelf, *shelves], key=lambda shelf: shelf.area)
            here.write(sheet, order[1], counted_qty=99)
            here.write(sheet, order[2], counted_qty=1)
            here.become(sheet, "submitted")
        take = (
            "SELECT FROM rest.stock_level WHERE inventory_item_id = %s AND storage_area_id = %s"
            " FOR UPDATE NOWAIT"
        )
        with psycopg.connect(target.app) as first:
            become_app(first, tenant)
            first.execute(take, [site.shelf.item, order[0].area])
            after(
                target,
                tenant,
                first,
                lambda c: self.at(site, c).become(sheet, "approved"),
                # The count that waits for the first shelf has not got the second one yet.
                lambda c: c.execute(take, [site.shelf.item, order[1].area]),
            )
