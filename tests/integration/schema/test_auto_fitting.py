"""What fits a vehicle is found as it is sold today: stock first, then cost, disputed last."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from harness.db import Connection
from tests.integration.schema.rows import row


class Counter:
    """An advisor at the counter with one vehicle, who looks for brake pads."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.build = row(connection, "auto.vehicle_configuration")
        self.vehicle = row(connection, "auto.vehicle", vehicle_configuration_id=self.build)
        self.pads = row(connection, "auto.part_type")

    def part(self, **columns: Any) -> UUID:
        return row(self.connection, "auto.part", **{"part_type_id": self.pads, **columns})

    def fits(self, part: UUID | None = None, **columns: Any) -> UUID:
        part = part or self.part()
        known = {"part_id": part, "vehicle_configuration_id": self.build}
        row(self.connection, "auto.part_fitment", **{**known, **columns})
        return part

    def lies(self, part: UUID, on_hand: int, committed: int = 0) -> None:
        """A balance as history brings it: otherwise it follows the ledger."""
        self.connection.execute("RESET ROLE")
        row(
            self.connection,
            "auto.stock_balance",
            part_id=part,
            on_hand_qty=on_hand,
            committed_qty=committed,
        )
        self.connection.execute("SET LOCAL ROLE app_user")

    def costs(self, part: UUID, cost: int, **columns: Any) -> None:
        row(self.connection, "auto.supplier_part", part_id=part, cost_price=cost, **columns)

    def seen(self, place: str | None = None) -> list[dict[str, Any]]:
        found = self.connection.execute(
            "SELECT part_id, position, on_hand_qty, cost_price, eta_minutes, rank"
            " FROM auto.find_fitting_parts(%s, %s, %s)",
            [self.vehicle, self.pads, place],
        ).fetchall()
        names = ("part", "position", "on_hand", "cost", "minutes", "rank")
        return [dict(zip(names, line, strict=True)) for line in found]

    def found(self, place: str | None = None) -> list[UUID]:
        return [line["part"] for line in self.seen(place)]


@pytest.fixture
def counter(app: Connection) -> Counter:
    return Counter(app)


class TestFit:
    """What is a candidate at all."""

    def test_is_of_the_build(self, app: Connection, counter: Counter) -> None:
        part = counter.fits()
        other = row(app, "auto.vehicle_configuration", base_vehicle_code=2)
        counter.fits(vehicle_configuration_id=other)
        assert counter.found() == [part]

    def test_is_of_the_type(self, app: Connection, counter: Counter) -> None:
        counter.fits(counter.part(part_type_id=row(app, "auto.part_type")))
        assert counter.found() == []

    def test_is_nothing_where_the_build_is_unknown(self, app: Connection, counter: Counter) -> None:
        counter.fits()
        app.execute("UPDATE auto.vehicle SET vehicle_configuration_id = NULL")
        assert counter.found() == []

    def test_is_not_excluded(self, counter: Counter) -> None:
        counter.fits(is_excluded=True)
        assert counter.found() == []

    def test_is_at_the_position_or_any(self, counter: Counter) -> None:
        front, anywhere = counter.fits(position="front"), counter.fits(position="any")
        rear = counter.fits(position="rear")
        assert set(counter.found("front")) == {front, anywhere}
        assert set(counter.found("rear")) == {rear, anywhere}
        assert set(counter.found()) == {front, anywhere, rear}

    def test_names_the_position(self, counter: Counter) -> None:
        part = counter.fits(position="front")
        counter.fits(part, position="rear")
        assert {line["position"] for line in counter.seen()} == {"front", "rear"}

    @pytest.mark.parametrize(
        ("qualifiers", "fits"),
        [
            ('{"refrigerant_code": "r134a"}', True),
            ('{"refrigerant_code": "r1234yf"}', False),
            ('{"usage_kind": "taxi"}', True),
            ('{"usage_kind": "personal"}', False),
            ('{"vehicle_kind": "light_truck"}', True),
            ('{"vehicle_kind": "passenger"}', False),
            ('{"refrigerant_code": "r134a", "usage_kind": "personal"}', False),
            ('{"rotor_diameter_mm": "320"}', True),
        ],
    )
    def test_agrees_with_what_the_vehicle_knows(
        self, app: Connection, counter: Counter, qualifiers: str, fits: bool
    ) -> None:
        app.execute(
            "UPDATE auto.vehicle SET refrigerant_code = 'r134a', usage_kind = 'taxi',"
            " vehicle_kind = 'light_truck'"
        )
        part = counter.fits(qualifiers=qualifiers)
        assert counter.found() == ([part] if fits else [])


class TestSuccessor:
    """A number that was replaced is sold as what replaced it."""

    def test_is_offered_instead(self, counter: Counter) -> None:
        new = counter.part()
        between = counter.part(superseded_by_part_id=new, life_cycle="discontinued")
        counter.fits(counter.part(superseded_by_part_id=between, life_cycle="obsolete"))
        assert counter.found() == [new]

    def test_comes_with_its_own_stock_and_cost(self, counter: Counter) -> None:
        new = counter.part()
        old = counter.part(superseded_by_part_id=new, life_cycle="discontinued")
        counter.fits(old)
        counter.lies(old, 5)
        counter.costs(old, 1)
        counter.lies(new, 2)
        counter.costs(new, 30)
        (line,) = counter.seen()
        assert (line["part"], line["on_hand"], line["cost"]) == (new, 2, 30)

    @pytest.mark.parametrize("confidence", ["catalog", "verified", "disputed"])
    def test_that_fits_itself_is_offered_once(self, counter: Counter, confidence: str) -> None:
        new = counter.fits()
        old = counter.part(superseded_by_part_id=new, life_cycle="discontinued")
        counter.fits(old, confidence=confidence)
        assert counter.found() == [new]


class TestOrder:
    """What is offered first."""

    def test_stock_goes_before_cost(self, counter: Counter) -> None:
        cheap, here = counter.fits(), counter.fits()
        counter.costs(cheap, 10)
        counter.costs(here, 50)
        counter.lies(here, 2)
        assert counter.found() == [here, cheap]

    def test_what_is_promised_does_not_lie_here(self, counter: Counter) -> None:
        cheap, promised = counter.fits(), counter.fits()
        counter.costs(cheap, 10)
        counter.costs(promised, 50)
        counter.lies(promised, 2, committed=2)
        assert counter.found() == [cheap, promised]

    def test_the_cheapest_goes_first_and_the_unpriced_last(self, counter: Counter) -> None:
        unpriced, dear, cheap = counter.fits(), counter.fits(), counter.fits()
        counter.costs(dear, 50)
        counter.costs(cheap, 10)
        assert counter.found() == [cheap, dear, unpriced]
        assert [line["rank"] for line in counter.seen()] == [1, 2, 3]

    def test_the_fastest_goes_first_at_one_cost(self, counter: Counter) -> None:
        slow, fast = counter.fits(), counter.fits()
        counter.costs(slow, 10, lead_time_minutes=240)
        counter.costs(fast, 10, lead_time_minutes=45)
        assert counter.found() == [fast, slow]

    def test_disputed_goes_last(self, counter: Counter) -> None:
        disputed = counter.fits(disputed_return_count=3)
        dear = counter.fits()
        counter.costs(disputed, 10)
        counter.lies(disputed, 4)
        counter.costs(dear, 90)
        assert counter.found() == [dear, disputed]

    def test_undisputed_is_what_fits_by_another_number(self, counter: Counter) -> None:
        new = counter.fits()
        counter.costs(new, 10)
        old = counter.part(superseded_by_part_id=new, life_cycle="discontinued")
        counter.fits(old, confidence="disputed")
        counter.costs(counter.fits(), 20)
        assert counter.found()[0] == new


class TestOffer:
    """What is said of a part."""

    def test_stock_is_summed_over_places_and_takes_no_time(self, counter: Counter) -> None:
        part = counter.fits()
        counter.lies(part, 3, committed=1)
        counter.lies(part, 2)
        counter.costs(part, 20, lead_time_minutes=90)
        (line,) = counter.seen()
        assert (line["on_hand"], line["cost"], line["minutes"]) == (4, Decimal("20.00"), 0)

    def test_is_of_the_cheapest_who_has_it(self, counter: Counter) -> None:
        part = counter.fits()
        counter.costs(part, 10, lead_time_minutes=500)
        counter.costs(part, 30, lead_time_minutes=60, available_qty=4)
        counter.costs(part, 25, lead_time_minutes=120, available_qty=1)
        (line,) = counter.seen()
        assert (line["on_hand"], line["cost"], line["minutes"]) == (0, Decimal("25.00"), 120)

    def test_leaves_out_who_does_not_sell_it_any_more(
        self, app: Connection, counter: Counter
    ) -> None:
        part = counter.fits()
        counter.costs(part, 10, is_discontinued=True)
        counter.costs(part, 15, supplier_id=row(app, "auto.supplier", is_active=False))
        counter.costs(part, 40)
        assert [line["cost"] for line in counter.seen()] == [Decimal("40.00")]

    def test_is_empty_without_anybody(self, counter: Counter) -> None:
        counter.fits()
        (line,) = counter.seen()
        assert (line["on_hand"], line["cost"], line["minutes"]) == (0, None, None)
