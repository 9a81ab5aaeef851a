"""Places nest and are named right, registers count on, and who taxes at an address is found."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row

DAY = "2026-06-05"


@pytest.mark.parametrize(
    ("digits", "is_valid"),
    [
        ("4006381333931", True),
        ("036000291452", True),
        ("96385074", True),
        ("00012345600012", True),
        ("106141411234567897", True),
        ("4006381333932", False),
        ("4006381339331", False),
        ("40063813339 1", False),
        ("1234565", False),
    ],
)
def test_a_gs1_number_ends_with_its_check_digit(
    app: Connection, digits: str, is_valid: bool
) -> None:
    found = app.execute("SELECT ret.is_gs1_number(%s)", [digits]).fetchone()
    assert found == (is_valid,)


def test_the_check_digit_of_a_round_ten_is_nought(app: Connection) -> None:
    found = app.execute(
        "SELECT ret.gs1_check_digit('0000000'), ret.gs1_check_digit('400638133393')"
    )
    assert found.fetchone() == (0, 1)


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("location", {"gln": "4006381333932"}, "gln_valid"),
        ("location", {"gln": "96385074"}, "gln_valid"),
        ("location", {"floor_area_sqm": None}, "store_has_floor"),
        ("location", {"location_kind": "warehouse", "floor_area_sqm": 0}, "floor_positive"),
        ("location", {"postal_code": None}, "has_address"),
        ("location", {"latitude": 41.9}, "place_is_whole"),
        ("location_hours", {"on_date": DAY}, "weekday_or_date"),
        ("location_hours", {"weekday": None, "on_date": DAY}, "weekly_has_weekday"),
        ("location_hours", {"weekday": 0}, "weekday_iso"),
        ("location_hours", {"closes_time": None}, "open_has_times"),
        ("location_hours", {"closes_time": "08:00"}, "close_after_opening"),
        ("location_hours", {"cut_off_time": "20:01"}, "cut_off_while_open"),
        ("bin_location", {"capacity_units": 0}, "capacity_positive"),
        ("bin_location", {"level_no": -1}, "level_not_negative"),
        ("bin_location", {"walk_sequence": -1}, "walk_not_negative"),
        ("bin_location", {"zone": "damaged", "is_pickable": True}, "unsellable_is_not_picked"),
        ("sales_channel", {"fee_pct": 101}, "fee_bounded"),
        ("sales_channel", {"order_prefix": "web-"}, "prefix_shape"),
        ("sales_channel", {"provider": "ebay"}, "store_is_own"),
        ("sales_channel", {"channel_kind": "marketplace"}, "marketplace_is_not_own"),
        ("sales_channel", {"remits_tax": True}, "own_tax_is_ours"),
        ("register", {"receipt_sequence": -1}, "receipt_sequence_not_negative"),
        ("register", {"offline_limit_amount": -1}, "offline_limit_not_negative"),
        ("fulfilment_capability", {"daily_capacity": 3, "booked_today": 4}, "within_capacity"),
        ("fulfilment_capability", {"booked_today": -1}, "booked_not_negative"),
        ("fulfilment_capability", {"lead_minutes": -1}, "lead_not_negative"),
        ("fulfilment_capability", {"safety_buffer_qty": -1}, "buffer_not_negative"),
        ("fulfilment_capability", {"radius_km": 5}, "radius_of_delivery"),
        ("tax_class", {"is_default": True, "is_exempt": True}, "default_is_goods"),
        ("tax_jurisdiction", {"region_code": "IL"}, "country_is_top"),
        ("tax_jurisdiction", {"level_kind": "state"}, "state_has_region"),
        ("tax_jurisdiction", {"level_kind": "city", "region_code": "IL"}, "local_has_pattern"),
        ("tax_rate", {"effective_to": "2020-01-01"}, "ends_after_start"),
        ("tax_rate", {"rate_pct": 50.1}, "rate_bounded"),
        ("tax_rate", {"min_amount": 5, "max_amount": 5}, "max_over_min"),
        ("tax_rate", {"min_amount": -1}, "min_not_negative"),
        ("tax_rate", {"rate_kind": "threshold"}, "threshold_has_amount"),
        ("tax_rate", {"is_holiday": True}, "holiday_ends"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"ret.{table}", **columns)


def test_a_closure_has_no_times(app: Connection) -> None:
    day = {"rule_kind": "closure", "weekday": None, "on_date": DAY}
    row(app, "ret.location_hours", opens_time=None, closes_time=None, **day)
    with pytest.raises(errors.CheckViolation, match="open_has_times"):
        row(app, "ret.location_hours", **day)


def test_a_virtual_location_needs_no_address(app: Connection) -> None:
    row(app, "ret.location", location_kind="virtual", address_line=None, floor_area_sqm=None)


def test_a_pattern_that_does_not_compile_is_refused(app: Connection) -> None:
    with pytest.raises(errors.InvalidRegularExpression):
        row(
            app,
            "ret.tax_jurisdiction",
            level_kind="city",
            region_code="IL",
            postal_pattern="^(606",
        )


@pytest.mark.parametrize(
    ("table", "same"),
    [
        ("location", {"location_code": "S1"}),
        ("sales_channel", {"channel_code": "WEB"}),
        ("sales_channel", {"order_prefix": "W"}),
        ("tax_class", {"tax_class_code": "FOOD"}),
        ("tax_class", {"is_default": True}),
        ("tax_jurisdiction", {"jurisdiction_code": "US-IL"}),
    ],
)
def test_a_code_names_one_row(app: Connection, table: str, same: dict[str, Any]) -> None:
    row(app, f"ret.{table}", **same)
    with pytest.raises(errors.UniqueViolation):
        row(app, f"ret.{table}", **same)


@pytest.mark.parametrize(
    ("table", "same"),
    [
        ("location_hours", {"hours_kind": "pickup", "weekday": 3}),
        ("bin_location", {"bin_code": "A-01"}),
        ("register", {"register_code": "R1"}),
    ],
)
def test_a_code_names_one_row_of_a_location(
    app: Connection, table: str, same: dict[str, Any]
) -> None:
    one, other = row(app, "ret.location"), row(app, "ret.location")
    row(app, f"ret.{table}", location_id=one, **same)
    row(app, f"ret.{table}", location_id=other, **same)
    with pytest.raises(errors.UniqueViolation):
        row(app, f"ret.{table}", location_id=one, **same)


def test_a_device_is_one_register_until_it_is_retired(app: Connection) -> None:
    row(app, "ret.register", device_serial="X1")
    with app.transaction(force_rollback=True), pytest.raises(errors.UniqueViolation):
        row(app, "ret.register", device_serial="X1")
    app.execute("UPDATE ret.register SET status = 'retired'")
    row(app, "ret.register", device_serial="X1")


MACHINES: dict[str, dict[str, set[str]]] = {
    "location": {
        "planned": {"open", "closed"},
        "open": {"suspended", "closed"},
        "suspended": {"open", "closed"},
        "closed": set(),
    },
    "bin_location": {
        "active": {"blocked", "retired"},
        "blocked": {"active", "retired"},
        "retired": set(),
    },
    "register": {
        "active": {"offline", "retired"},
        "offline": {"active", "retired"},
        "retired": set(),
    },
}
WAYS = {
    "location": {"closed": ["closed"], "suspended": ["open", "suspended"], "open": ["open"]},
    "bin_location": {"blocked": ["blocked"], "retired": ["retired"]},
    "register": {"offline": ["offline"], "retired": ["retired"]},
}
STARTS = {"location": "planned", "bin_location": "active", "register": "active"}


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        (table, old, new)
        for table, machine in MACHINES.items()
        for old in machine
        for new in machine
        if new != old
    ],
)
def test_a_state_goes_where_it_may(app: Connection, table: str, old: str, new: str) -> None:
    row(app, f"ret.{table}", status=STARTS[table])
    change = f"UPDATE ret.{table} SET status = %s"
    for state in WAYS[table].get(old, []):
        app.execute(change.encode(), [state])
    if new in MACHINES[table][old]:
        assert app.execute(change.encode(), [new]).rowcount == 1
    else:
        with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
            app.execute(change.encode(), [new])


@pytest.mark.parametrize(
    ("table", "state"),
    [("location", "closed"), ("bin_location", "retired"), ("register", "offline")],
)
def test_nothing_starts_at_its_end(app: Connection, table: str, state: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        row(app, f"ret.{table}", status=state)


class TestBin:
    """Bins lie within bins of their location."""

    @pytest.fixture
    def location(self, app: Connection) -> UUID:
        return row(app, "ret.location")

    def test_a_bin_is_not_within_itself(self, app: Connection, location: UUID) -> None:
        rack = row(app, "ret.bin_location", location_id=location)
        shelf = row(app, "ret.bin_location", location_id=location, parent_bin_id=rack)
        box = row(app, "ret.bin_location", location_id=location, parent_bin_id=shelf)
        move = "UPDATE ret.bin_location SET parent_bin_id = %s WHERE bin_location_id = %s"
        for within in (rack, box):
            with (
                app.transaction(force_rollback=True),
                pytest.raises(errors.CheckViolation, match="within itself"),
            ):
                app.execute(move, [within, rack])
        assert app.execute(move, [rack, box]).rowcount == 1

    def test_a_bin_is_not_within_one_elsewhere(self, app: Connection, location: UUID) -> None:
        rack = row(app, "ret.bin_location")
        with pytest.raises(errors.CheckViolation, match="different locations"):
            row(app, "ret.bin_location", location_id=location, parent_bin_id=rack)

    def test_a_rack_does_not_leave_its_shelves(self, app: Connection, location: UUID) -> None:
        rack = row(app, "ret.bin_location", location_id=location)
        row(app, "ret.bin_location", location_id=location, parent_bin_id=rack)
        with pytest.raises(errors.CheckViolation, match="different locations"):
            app.execute(
                "UPDATE ret.bin_location SET location_id = %s WHERE bin_location_id = %s",
                [row(app, "ret.location"), rack],
            )


class TestReceipts:
    """The number on the receipts of a register."""

    def count(self, app: Connection, to: int) -> None:
        app.execute("UPDATE ret.register SET receipt_sequence = %s", [to])

    def test_it_rises(self, app: Connection) -> None:
        row(app, "ret.register", receipt_sequence=7)
        self.count(app, 8)
        with pytest.raises(errors.CheckViolation, match="receipt 7 cannot follow 8"):
            self.count(app, 7)

    def test_a_retired_register_prints_none(self, app: Connection) -> None:
        row(app, "ret.register", receipt_sequence=7)
        app.execute("UPDATE ret.register SET status = 'retired'")
        with pytest.raises(errors.CheckViolation, match="receipt 8 cannot follow 7"):
            self.count(app, 8)


def test_a_new_day_frees_the_capacity_of_one_location(app: Connection) -> None:
    here, there = row(app, "ret.location"), row(app, "ret.location")
    for place, booked in ((here, 4), (here, 0), (there, 2)):
        row(
            app,
            "ret.fulfilment_capability",
            location_id=place,
            daily_capacity=5,
            booked_today=booked,
        )
    assert app.execute("SELECT ret.start_fulfilment_day(%s)", [here]).fetchone() == (1,)
    found = app.execute("SELECT sum(booked_today) FROM ret.fulfilment_capability").fetchone()
    assert found == (2,)


class TestJurisdiction:
    """Who taxes lies within who taxes more widely."""

    def make(self, app: Connection, level: str, parent: UUID | None = None, **given: Any) -> UUID:
        usual: dict[str, Any] = {"level_kind": level, "country_code": "US"}
        if level != "country":
            usual["region_code"] = "IL"
        if level not in ("country", "state"):
            usual["postal_pattern"] = "^606"
        return row(app, "ret.tax_jurisdiction", parent_jurisdiction_id=parent, **{**usual, **given})

    def test_each_level_lies_within_the_one_above(self, app: Connection) -> None:
        parent: UUID | None = None
        for level in ("country", "state", "county", "city", "district"):
            parent = self.make(app, level, parent)

    @pytest.mark.parametrize(
        ("level", "given"),
        [
            ("state", {}),
            ("county", {"region_code": "WI"}),
            ("county", {"country_code": "CA"}),
        ],
    )
    def test_nothing_lies_within_what_is_no_larger(
        self, app: Connection, level: str, given: dict[str, Any]
    ) -> None:
        state = self.make(app, "state")
        with pytest.raises(errors.CheckViolation, match="cannot lie within state"):
            self.make(app, level, state, **given)

    def test_what_has_others_within_it_does_not_shrink(self, app: Connection) -> None:
        county = self.make(app, "county")
        self.make(app, "city", county)
        with pytest.raises(errors.CheckViolation, match="has others within it"):
            app.execute(
                "UPDATE ret.tax_jurisdiction SET level_kind = 'district'"
                " WHERE tax_jurisdiction_id = %s",
                [county],
            )


class TestRatesAt:
    """The rates of an address."""

    @pytest.fixture
    def goods(self, app: Connection) -> UUID:
        return row(app, "ret.tax_class")

    def jurisdiction(self, app: Connection, level: str, **given: Any) -> UUID:
        usual = {"level_kind": level, "country_code": "US", "nexus_since": "2020-01-01"}
        if level != "country":
            usual["region_code"] = "IL"
        if level not in ("country", "state"):
            usual["postal_pattern"] = "^606"
        return row(app, "ret.tax_jurisdiction", **{**usual, **given})

    def rate(self, app: Connection, goods: UUID, place: UUID, pct: float, **given: Any) -> UUID:
        usual = {"tax_name": "Sales tax", "effective_from": "2020-01-01"}
        return row(
            app,
            "ret.tax_rate",
            tax_class_id=goods,
            tax_jurisdiction_id=place,
            rate_pct=pct,
            **{**usual, **given},
        )

    def found(
        self, app: Connection, goods: UUID, postal: str = "60601", region: str = "IL", **given: Any
    ) -> list[Decimal]:
        rows = app.execute(
            "SELECT rate_pct FROM ret.tax_rates_at('US', %s, %s, %s, %s, %s)",
            [region, postal, goods, given.get("day", DAY), given.get("sourcing")],
        ).fetchall()
        return [pct for (pct,) in rows]

    def test_they_are_of_all_who_tax_there(self, app: Connection, goods: UUID) -> None:
        self.rate(app, goods, self.jurisdiction(app, "city"), 1.25)
        self.rate(app, goods, self.jurisdiction(app, "state"), 6.25)
        assert self.found(app, goods) == [Decimal("6.25"), Decimal("1.25")]
        assert self.found(app, goods, postal="61820") == [Decimal("6.25")]
        assert self.found(app, goods, region="WI") == []

    def test_a_class_has_its_own(self, app: Connection, goods: UUID) -> None:
        self.rate(app, row(app, "ret.tax_class"), self.jurisdiction(app, "state"), 1)
        assert self.found(app, goods) == []

    def test_what_is_exempt_owes_nothing(self, app: Connection) -> None:
        exempt = row(app, "ret.tax_class", is_exempt=True)
        self.rate(app, exempt, self.jurisdiction(app, "state"), 6.25)
        assert self.found(app, exempt) == []

    @pytest.mark.parametrize(("nexus", "count"), [(None, 0), ("2026-06-06", 0), ("2026-06-05", 1)])
    def test_tax_is_charged_from_nexus_on(
        self, app: Connection, goods: UUID, nexus: str | None, count: int
    ) -> None:
        self.rate(app, goods, self.jurisdiction(app, "state", nexus_since=nexus), 6.25)
        assert len(self.found(app, goods)) == count

    @pytest.mark.parametrize(("day", "pct"), [("2026-06-04", "6"), ("2026-06-05", "7")])
    def test_a_rate_counts_on_its_days(
        self, app: Connection, goods: UUID, day: str, pct: str
    ) -> None:
        state = self.jurisdiction(app, "state")
        self.rate(app, goods, state, 6, effective_to="2026-06-04")
        self.rate(app, goods, state, 7, effective_from="2026-06-05")
        assert self.found(app, goods, day=day) == [Decimal(pct)]

    def test_a_holiday_stands_in_place_of_the_other_rates(
        self, app: Connection, goods: UUID
    ) -> None:
        state = self.jurisdiction(app, "state")
        self.rate(app, goods, state, 6.25)
        self.rate(app, goods, self.jurisdiction(app, "city"), 1.25)
        self.rate(
            app, goods, state, 0, tax_name="Back to school", is_holiday=True, effective_to=DAY
        )
        assert self.found(app, goods) == [Decimal(0), Decimal("1.25")]
        assert self.found(app, goods, day="2026-06-06") == [Decimal("6.25"), Decimal("1.25")]

    def test_compound_rates_come_last(self, app: Connection, goods: UUID) -> None:
        self.rate(app, goods, self.jurisdiction(app, "country"), 2, is_compound=True)
        self.rate(app, goods, self.jurisdiction(app, "city"), 1)
        assert self.found(app, goods) == [Decimal(1), Decimal(2)]

    def test_one_rule_of_sourcing_can_be_asked_for(self, app: Connection, goods: UUID) -> None:
        state = self.jurisdiction(app, "state", sourcing_rule="origin")
        self.rate(app, goods, state, 6.25)
        assert self.found(app, goods, sourcing="destination") == []
        assert self.found(app, goods, sourcing="origin") == [Decimal("6.25")]

    def test_a_name_has_one_rate_at_a_time(self, app: Connection, goods: UUID) -> None:
        state = self.jurisdiction(app, "state")
        self.rate(app, goods, state, 6.25)
        self.rate(app, goods, state, 1, tax_name="Bag tax")
        with pytest.raises(errors.ExclusionViolation, match="tax_rate_no_overlap"):
            self.rate(app, goods, state, 7, effective_from=DAY)
