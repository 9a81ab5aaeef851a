"""A count is posted against what the books said when it was counted, once, by somebody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.parallel import after, at_once
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused
from tests.integration.schema.test_rest_inventory import (
    Shelf,
    consume,
    differences,
    make_shelf,
    on_hand,
    receive,
)

COUNT = {
    "draft": {"counting", "cancelled"},
    "counting": {"submitted", "cancelled"},
    "submitted": {"counting", "approved", "cancelled"},
    "approved": set(),
    "cancelled": set(),
}
NOON = "2026-05-04 12:00+00"
ONE = "2026-05-04 13:00+00"
TWO = "2026-05-04 14:00+00"


@dataclass
class Site:
    """A shelf with ten of an item, who counts it and who approves that."""

    connection: Connection
    shelf: Shelf
    counter: UUID
    boss: UUID

    def start(self, kind: str = "full", category: UUID | None = None) -> UUID:
        return start(self.connection, self.shelf.place, self.counter, kind, category)

    def count(self, quantity: float, at: str = NOON, sheet: UUID | None = None) -> None:
        self.connection.execute(
            "UPDATE rest.inventory_count_line SET counted_unit_qty = %s, counted_at = %s"
            " WHERE inventory_count_id = coalesce(%s, inventory_count_id)",
            [quantity, at, sheet],
        )

    def submit(self, sheet: UUID) -> None:
        self.connection.execute(
            "UPDATE rest.inventory_count SET state = 'submitted', submitted_at = now()"
            " WHERE inventory_count_id = %s",
            [sheet],
        )

    def approve(self, sheet: UUID, by: UUID | None = None) -> None:
        approve(self.connection, sheet, by or self.boss)


def start(
    connection: Connection,
    place: UUID,
    counter: UUID,
    kind: str = "full",
    category: UUID | None = None,
) -> UUID:
    found = connection.execute(
        "SELECT rest.start_count(%s, %s, %s, %s)", [place, counter, kind, category]
    ).fetchone()
    assert found
    return found[0]  # type: ignore[no-any-return]


def approve(connection: Connection, sheet: UUID, boss: UUID) -> None:
    connection.execute(
        "UPDATE rest.inventory_count SET state = 'approved', approved_at = now(),"
        " approved_by_staff_id = %s WHERE inventory_count_id = %s",
        [boss, sheet],
    )


def make_site(connection: Connection) -> Site:
    shelf = make_shelf(connection)
    receive(connection, shelf, 10, "A", "2026-12-31")
    counter, boss = row(connection, "rest.staff_member"), row(connection, "rest.staff_member")
    return Site(connection, shelf, counter, boss)


def adjusted(connection: Connection) -> list[float]:
    found = connection.execute(
        "SELECT quantity::float8 FROM rest.stock_movement"
        " WHERE movement_kind = 'count_adjustment' ORDER BY stock_movement_id"
    ).fetchall()
    return [quantity for (quantity,) in found]


@pytest.fixture
def site(app: Connection) -> Site:
    return make_site(app)


class TestPosting:
    """What is posted is what was counted less what the books say of that very moment."""

    def test_a_count_posts_what_differs_when_another_approves(self, site: Site) -> None:
        sheet = site.start()
        site.count(7)
        site.submit(sheet)
        app = site.connection
        with pytest.raises(errors.CheckViolation, match="approved_by_another"), app.transaction():
            site.approve(sheet, site.counter)
        site.approve(sheet)
        assert adjusted(app) == [-3]
        assert on_hand(app, site.shelf) == 7
        assert differences(app) == []

    def test_what_is_sold_before_it_is_counted_is_not_missing(self, site: Site) -> None:
        sheet = site.start("key_items" if False else "full")
        consume(site.connection, site.shelf, 2, happened=NOON)
        site.count(8, ONE)
        site.submit(sheet)
        site.approve(sheet)
        assert adjusted(site.connection) == []
        assert on_hand(site.connection, site.shelf) == 8

    def test_what_is_sold_after_it_was_counted_stays_sold(self, site: Site) -> None:
        sheet = site.start()
        site.count(9, NOON)
        site.submit(sheet)
        consume(site.connection, site.shelf, 3, happened=ONE)
        site.approve(sheet)
        assert adjusted(site.connection) == [-1]
        assert on_hand(site.connection, site.shelf) == 6

    def test_a_sale_that_is_booked_late_is_not_counted_twice(self, site: Site) -> None:
        sheet = site.start()
        site.count(8, ONE)
        site.submit(sheet)
        consume(site.connection, site.shelf, 2, happened=NOON)
        site.approve(sheet)
        assert adjusted(site.connection) == []
        assert on_hand(site.connection, site.shelf) == 8

    def test_two_counts_of_one_shelf_post_the_difference_once(self, site: Site) -> None:
        sheets = [site.start("key_items"), site.start("key_items")]
        for sheet, at in zip(sheets, (NOON, ONE), strict=True):
            row(
                site.connection,
                "rest.inventory_count_line",
                inventory_count_id=sheet,
                inventory_item_id=site.shelf.item,
                storage_area_id=site.shelf.area,
                unit_of_measure_id=stock_unit(site.connection),
            )
            site.count(8, at, sheet)
            site.submit(sheet)
        for sheet in sheets:
            site.approve(sheet)
        assert adjusted(site.connection) == [-2]
        assert on_hand(site.connection, site.shelf) == 8

    def test_a_recount_is_of_its_own_moment(self, site: Site) -> None:
        site.start()
        site.count(9, NOON)
        site.connection.execute("UPDATE rest.inventory_count_line SET counted_unit_qty = 8")
        found = site.connection.execute(
            "SELECT counted_at = now() FROM rest.inventory_count_line"
        ).fetchone()
        assert found == (True,)

    def test_a_line_is_not_moved_out_of_a_count_that_stands(self, site: Site) -> None:
        old = site.start()
        site.count(10)
        site.submit(old)
        site.approve(old)
        new = site.start()
        site.connection.execute(
            "DELETE FROM rest.inventory_count_line WHERE inventory_count_id = %s", [new]
        )
        with pytest.raises(errors.RestrictViolation):
            site.connection.execute(
                "UPDATE rest.inventory_count_line SET inventory_count_id = %s", [new]
            )


def stock_unit(connection: Connection) -> UUID:
    found = connection.execute("SELECT stock_unit_id FROM rest.inventory_item").fetchone()
    assert found
    return found[0]  # type: ignore[no-any-return]


class TestAtOnce:
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

    def test_a_booking_waits_for_the_count_that_freezes_its_site(
        self, office: tuple[Target, UUID, Site]
    ) -> None:
        target, tenant, site = office
        with psycopg.connect(target.app) as first:
            become_app(first, tenant)
            start(first, site.shelf.place, site.counter)
            with pytest.raises(errors.RestrictViolation, match="stock is frozen"):
                after(target, tenant, first, lambda c: receive(c, site.shelf, 5))

    def test_a_count_waits_for_what_is_being_booked(
        self, office: tuple[Target, UUID, Site]
    ) -> None:
        target, tenant, site = office
        with psycopg.connect(target.app) as first:
            become_app(first, tenant)
            receive(first, site.shelf, 5)
            expected = after(
                target,
                tenant,
                first,
                lambda c: (
                    start(c, site.shelf.place, site.counter),
                    c.execute("SELECT expected_qty FROM rest.inventory_count_line").fetchall(),
                )[1],
            )
        assert expected == [(15,)]

    def test_a_count_takes_the_shelves_in_the_order_of_a_sale(
        self, office: tuple[Target, UUID, Site]
    ) -> None:
        target, tenant, site = office
        with psycopg.connect(target.admin) as connection:
            become_app(connection, tenant)
            areas = sorted(
                [site.shelf.area]
                + [
                    row(connection, "rest.storage_area", location_id=site.shelf.place)
                    for _ in range(2)
                ]
            )
            unit = stock_unit(connection)
            for area in areas:
                receive(connection, Shelf(site.shelf.item, area, site.shelf.place), 5)
            sheet = row(
                connection,
                "rest.inventory_count",
                location_id=site.shelf.place,
                started_by_staff_id=site.counter,
                count_kind="spot",
                state="counting",
            )
            for area, counted in zip(areas[1:], (99, 1), strict=True):
                row(
                    connection,
                    "rest.inventory_count_line",
                    inventory_count_id=sheet,
                    inventory_item_id=site.shelf.item,
                    storage_area_id=area,
                    unit_of_measure_id=unit,
                    counted_unit_qty=counted,
                )
            Site(connection, site.shelf, site.counter, site.boss).submit(sheet)
        level = (
            "SELECT FROM rest.stock_level WHERE inventory_item_id = %s AND storage_area_id = %s"
            " FOR UPDATE"
        )
        with psycopg.connect(target.app) as first:
            become_app(first, tenant)
            # A sale has the first shelf and comes to the second while the count is being posted.
            first.execute(level, [site.shelf.item, areas[0]])

            class Sale:
                info = first.info

                def commit(self) -> None:
                    first.execute(level + " NOWAIT", [site.shelf.item, areas[1]])
                    first.commit()

            after(target, tenant, Sale(), lambda c: approve(c, sheet, site.boss))  # type: ignore
