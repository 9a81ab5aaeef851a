"""Parts are replaced in a line and not in a circle, and go where their type goes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row

RETIRE = """
    UPDATE auto.part SET superseded_by_part_id = %s, life_cycle = 'discontinued'
    WHERE part_id = %s"""


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("part_type", {"category": "radios"}, "category_known"),
        ("part_type", {"default_unit": "barrel"}, "unit_known"),
        ("part_type", {"default_warranty_months": -1}, "warranty_not_negative"),
        ("part_type", {"default_warranty_distance": -1}, "warranty_not_negative"),
        ("part_type", {"allowed_positions": ["front", "roof"]}, "positions_known"),
        ("part", {"condition": "broken"}, "condition_known"),
        ("part", {"unit_of_measure": "barrel"}, "unit_of_measure_known"),
        ("part", {"life_cycle": "rumored"}, "life_cycle_known"),
        ("part", {"velocity_class": "z"}, "velocity_class_known"),
        ("part", {"core_charge_amount": -1}, "measures_not_negative"),
        ("part", {"pack_qty": 0}, "measures_not_negative"),
        ("part", {"weight_lb": -1}, "measures_not_negative"),
        ("part", {"gtin": "123456789"}, "gtin_shape"),
        ("part_fitment", {"position": "roof"}, "position_known"),
        ("part_fitment", {"confidence": "guessed"}, "confidence_known"),
        ("part_fitment", {"qty_per_vehicle": 0}, "quantity_positive"),
        ("part_fitment", {"disputed_return_count": -1}, "returns_not_negative"),
        ("part_interchange", {"relation": "cousin"}, "relation_known"),
        ("part_interchange", {"quality_tier": "luxury"}, "tier_known"),
        ("part_interchange", {"source": "rumor"}, "source_known"),
        ("part_interchange", {"qty_ratio": 0}, "ratio_positive"),
        ("part_interchange", {"ends_on": "2020-01-01"}, "ends_after_start"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"auto.{table}", **columns)


@pytest.mark.parametrize("gtin", ["12345678", "123456789012", "1234567890123", "12345678901234"])
def test_a_gtin_has_8_12_13_or_14_digits(app: Connection, gtin: str) -> None:
    row(app, "auto.part", gtin=gtin)


class TestType:
    """The tree of terms."""

    def test_is_not_above_itself(self, app: Connection) -> None:
        top = row(app, "auto.part_type")
        middle = row(app, "auto.part_type", parent_part_type_id=top)
        low = row(app, "auto.part_type", parent_part_type_id=middle)
        with pytest.raises(errors.CheckViolation, match="would be above itself"):
            app.execute(
                "UPDATE auto.part_type SET parent_part_type_id = %s WHERE part_type_id = %s",
                [low, top],
            )

    def test_is_not_its_own_parent(self, app: Connection) -> None:
        row(app, "auto.part_type")
        with pytest.raises(errors.CheckViolation, match="above itself"):
            app.execute("UPDATE auto.part_type SET parent_part_type_id = part_type_id")

    def test_moves_to_another_branch(self, app: Connection) -> None:
        top, other = row(app, "auto.part_type"), row(app, "auto.part_type")
        low = row(app, "auto.part_type", parent_part_type_id=top)
        moved = app.execute(
            "UPDATE auto.part_type SET parent_part_type_id = %s WHERE part_type_id = %s",
            [other, low],
        )
        assert moved.rowcount == 1

    def test_has_its_own_terminology_code(self, app: Connection) -> None:
        row(app, "auto.part_type", terminology_code=1684)
        with pytest.raises(errors.UniqueViolation, match="terminology_code"):
            row(app, "auto.part_type", terminology_code=1684)


class TestNumber:
    """A number is the same one with and without dashes."""

    @pytest.mark.parametrize(
        ("number", "compressed"),
        [("d-1234.a", "D1234A"), ("51 / 3593", "513593"), ("ÄB_7", "B7")],
    )
    def test_is_compressed(self, app: Connection, number: str, compressed: str) -> None:
        row(app, "auto.part", part_number=number)
        found = app.execute("SELECT compressed_number FROM auto.part").fetchone()
        assert found == (compressed,)

    def test_is_taken_once_by_a_brand(self, app: Connection) -> None:
        row(app, "auto.part", brand_code="ACME", part_number="BP-100")
        row(app, "auto.part", brand_code="OTHER", part_number="BP-100")
        with pytest.raises(errors.UniqueViolation, match="compressed_number"):
            row(app, "auto.part", brand_code="ACME", part_number="bp 100")


class TestSupersession:
    """What a number became."""

    def current(self, connection: Connection, part: UUID) -> UUID | None:
        found = connection.execute("SELECT auto.current_part(%s)", [part]).fetchone()
        assert found
        return UUID(str(found[0])) if found[0] else None

    def line(self, connection: Connection, length: int) -> list[UUID]:
        parts = [row(connection, "auto.part") for _ in range(length)]
        for old, new in pairwise(parts):
            connection.execute(RETIRE, [new, old])
        return parts

    def test_leads_to_what_is_sold_today(self, app: Connection) -> None:
        parts = self.line(app, 4)
        assert {self.current(app, part) for part in parts} == {parts[-1]}

    def test_follows_when_the_last_is_replaced(self, app: Connection) -> None:
        first, last = self.line(app, 2)
        newest = row(app, "auto.part")
        app.execute(RETIRE, [newest, last])
        assert self.current(app, first) == newest

    def test_several_become_one(self, app: Connection) -> None:
        new = row(app, "auto.part")
        for _ in range(2):
            old = row(app, "auto.part", superseded_by_part_id=new, life_cycle="while_supplies_last")
            assert self.current(app, old) == new

    def test_of_an_unknown_number_is_nothing(self, app: Connection) -> None:
        assert self.current(app, UUID(int=0)) is None

    @pytest.mark.parametrize("length", [1, 2, 4])
    def test_never_leads_back(self, app: Connection, length: int) -> None:
        parts = self.line(app, length)
        with pytest.raises(errors.CheckViolation, match="would replace itself"):
            app.execute(RETIRE, [parts[0], parts[-1]])

    @pytest.mark.parametrize("life_cycle", ["announced", "available"])
    def test_waits_until_a_part_runs_out(self, app: Connection, life_cycle: str) -> None:
        new = row(app, "auto.part")
        with pytest.raises(errors.CheckViolation, match="part_available_has_no_successor"):
            row(app, "auto.part", superseded_by_part_id=new, life_cycle=life_cycle)


class TestInterchange:
    """What equals or replaces what."""

    def relate(self, connection: Connection, relation: str, *parts: UUID) -> None:
        for old, new in pairwise(parts):
            row(
                connection,
                "auto.part_interchange",
                from_part_id=old,
                to_part_id=new,
                relation=relation,
            )

    def test_replacement_never_leads_back(self, app: Connection) -> None:
        first, second, third = (row(app, "auto.part") for _ in range(3))
        self.relate(app, "superseded_by", first, second, third)
        with pytest.raises(errors.CheckViolation, match="would replace what replaced it"):
            self.relate(app, "superseded_by", third, first)

    def test_does_not_become_a_circle_later(self, app: Connection) -> None:
        first, second = row(app, "auto.part"), row(app, "auto.part")
        self.relate(app, "alternate", second, first)
        self.relate(app, "superseded_by", first, second)
        with pytest.raises(errors.CheckViolation, match="would replace what replaced it"):
            app.execute("UPDATE auto.part_interchange SET relation = 'superseded_by'")

    def test_equals_go_both_ways(self, app: Connection) -> None:
        first, second = row(app, "auto.part"), row(app, "auto.part")
        self.relate(app, "interchange", first, second, first)

    def test_goes_to_another_part(self, app: Connection) -> None:
        part = row(app, "auto.part")
        with pytest.raises(errors.CheckViolation, match="part_interchange_goes_elsewhere"):
            self.relate(app, "alternate", part, part)

    def test_is_said_once(self, app: Connection) -> None:
        first, second = row(app, "auto.part"), row(app, "auto.part")
        self.relate(app, "alternate", first, second)
        with pytest.raises(errors.UniqueViolation, match="part_interchange"):
            self.relate(app, "alternate", first, second)


class TestFitment:
    """Where a part goes on a build."""

    @pytest.fixture
    def pads(self, app: Connection) -> UUID:
        return row(app, "auto.part_type", name="Brake pad", allowed_positions=["front", "rear"])

    @pytest.fixture
    def part(self, app: Connection, pads: UUID) -> UUID:
        return row(app, "auto.part", part_type_id=pads, part_number="BP-1")

    def test_carries_the_type_of_its_part(self, app: Connection, part: UUID, pads: UUID) -> None:
        other = row(app, "auto.part_type")
        row(app, "auto.part_fitment", part_id=part, part_type_id=other)
        seen = "SELECT part_type_id FROM auto.part_fitment"
        assert app.execute(seen.encode()).fetchone() == (pads,)
        app.execute("UPDATE auto.part_fitment SET part_type_id = %s", [other])
        assert app.execute(seen.encode()).fetchone() == (pads,)
        app.execute("UPDATE auto.part_fitment SET part_id = %s", [row(app, "auto.part")])
        assert app.execute(seen.encode()).fetchone() != (pads,)

    @pytest.mark.parametrize("position", ["front", "rear", "any"])
    def test_takes_a_position_of_its_type(self, app: Connection, part: UUID, position: str) -> None:
        row(app, "auto.part_fitment", part_id=part, position=position)

    def test_refuses_a_position_of_another_type(self, app: Connection, part: UUID) -> None:
        with pytest.raises(errors.CheckViolation, match="BP-1 does not go upper: it is a Brake"):
            row(app, "auto.part_fitment", part_id=part, position="upper")

    def test_takes_any_position_where_its_type_names_none(self, app: Connection) -> None:
        row(app, "auto.part_fitment", position="upper")

    def test_is_disputed_at_the_third_return(self, app: Connection) -> None:
        row(app, "auto.part_fitment", confidence="verified")
        back = "UPDATE auto.part_fitment SET disputed_return_count = disputed_return_count + 1"
        seen = "SELECT confidence FROM auto.part_fitment"
        for expected in ("verified", "verified", "disputed"):
            app.execute(back.encode())
            assert app.execute(seen.encode()).fetchone() == (expected,)
        with pytest.raises(errors.CheckViolation, match="often_returned_is_disputed"):
            app.execute("UPDATE auto.part_fitment SET confidence = 'verified'")

    def test_fills_a_position_once(self, app: Connection, part: UUID) -> None:
        build = row(app, "auto.vehicle_configuration")
        known = {"part_id": part, "vehicle_configuration_id": build}
        row(app, "auto.part_fitment", position="front", **known)
        row(app, "auto.part_fitment", position="rear", **known)
        row(app, "auto.part_fitment", position="front", is_excluded=True, **known)
        with pytest.raises(errors.UniqueViolation, match="part_fitment_position_idx"):
            row(app, "auto.part_fitment", position="front", **known)
