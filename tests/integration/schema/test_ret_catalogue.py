"""Categories and bundles have no circles, combinations and barcodes are told apart."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("brand", {"gs1_company_prefix": "40123"}, "prefix_is_digits"),
        ("category", {"target_margin_pct": 101}, "targets_bounded"),
        ("category", {"shrink_target_pct": -1}, "targets_bounded"),
        ("product", {"completeness_pct": 101}, "completeness_bounded"),
        (
            "product",
            {"launch_on": "2026-05-04", "discontinue_on": "2026-05-04"},
            "discontinued_after_launch",
        ),
        ("product", {"age_restriction_years": 0}, "age_restriction_bounded"),
        ("product", {"hs_code": "6109.10"}, "hs_code_is_digits"),
        ("product", {"product_kind": "gift_card", "tracking": "serial"}, "only_goods_are_tracked"),
        (
            "product_category",
            {"valid_from": "2026-05-04", "valid_to": "2026-05-03"},
            "ends_after_start",
        ),
        ("product_option", {"position_no": 6}, "position_bounded"),
        ("product_option", {"position_no": 0}, "position_bounded"),
        ("product_option", {"option_kind": "colour", "size_scale": "alpha"}, "scale_is_of_sizes"),
        ("product_option_value", {"swatch_hex": "#1d1d1b"}, "swatch_is_hex"),
        ("product_option_value", {"position_no": 0}, "position_positive"),
        ("product_variant", {"sku": "two words"}, "sku_shape"),
        ("product_variant", {"list_price": -1}, "price_not_negative"),
        ("product_variant", {"standard_cost": -1}, "cost_not_negative"),
        ("product_variant", {"is_weighed": True}, "weighed_by_weight"),
        ("product_variant", {"weight_g": 0}, "measures_positive"),
        ("variant_barcode", {"pack_level": "case", "units_per_pack": 0}, "pack_has_units"),
        ("variant_barcode", {"units_per_pack": 6}, "each_is_one"),
        ("variant_barcode", {"gross_weight_g": 0}, "weight_positive"),
        (
            "variant_barcode",
            {"is_primary": True, "retired_on": "2026-05-04"},
            "primary_is_in_use",
        ),
        (
            "variant_barcode",
            {"assigned_on": "2026-05-04", "retired_on": "2026-05-03"},
            "retired_after_assigned",
        ),
        ("bundle_component", {"quantity": 0}, "quantity_positive"),
        ("bundle_component", {"price_share_pct": 101}, "share_bounded"),
        ("bundle_component", {"choice_group": "tea", "min_choices": 1}, "choices_in_order"),
        (
            "bundle_component",
            {"choice_group": "tea", "min_choices": 2, "max_choices": 1},
            "choices_in_order",
        ),
        ("bundle_component", {"min_choices": 1, "max_choices": 1}, "fixed_is_no_choice"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"ret.{table}", **columns)


@pytest.mark.parametrize(
    ("table", "same"),
    [
        ("brand", {"brand_code": "B1"}),
        ("brand", {"slug": "oak"}),
        ("category", {"category_code": "MEN"}),
        ("product", {"product_code": "P1"}),
        ("product", {"slug": "a-shirt"}),
        ("product_variant", {"sku": "P1-S"}),
        ("variant_barcode", {"barcode": "200001"}),
    ],
)
def test_a_code_names_one_row(app: Connection, table: str, same: dict[str, Any]) -> None:
    row(app, f"ret.{table}", **same)
    with pytest.raises(errors.UniqueViolation):
        row(app, f"ret.{table}", **same)


def test_one_category_of_a_product_is_primary(app: Connection) -> None:
    product = row(app, "ret.product")
    row(app, "ret.product_category", product_id=product, is_primary=True)
    row(app, "ret.product_category", product_id=product)
    with pytest.raises(errors.UniqueViolation, match="product_category_primary_idx"):
        row(app, "ret.product_category", product_id=product, is_primary=True)


MACHINES: dict[str, dict[str, set[str]]] = {
    "product": {
        "draft": {"review", "active", "discontinued"},
        "review": {"draft", "active", "discontinued"},
        "active": {"phase_out", "discontinued"},
        "phase_out": {"active", "discontinued"},
        "discontinued": set(),
    },
    "product_variant": {
        "active": {"phase_out", "discontinued"},
        "phase_out": {"active", "discontinued"},
        "discontinued": set(),
    },
}
WAYS = {
    "product": {
        "review": ["review"],
        "active": ["active"],
        "phase_out": ["active", "phase_out"],
        "discontinued": ["discontinued"],
    },
    "product_variant": {"phase_out": ["phase_out"], "discontinued": ["discontinued"]},
}


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
    row(app, f"ret.{table}", status=next(iter(MACHINES[table])))
    change = f"UPDATE ret.{table} SET status = %s"
    for state in WAYS[table].get(old, []):
        app.execute(change.encode(), [state])
    if new in MACHINES[table][old]:
        assert app.execute(change.encode(), [new]).rowcount == 1
    else:
        with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
            app.execute(change.encode(), [new])


@pytest.mark.parametrize("table", ["product", "product_variant"])
@pytest.mark.parametrize("state", ["phase_out", "discontinued"])
def test_nothing_starts_at_its_end(app: Connection, table: str, state: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        row(app, f"ret.{table}", status=state)


class TestCategory:
    """The tree of categories, whose paths follow from it."""

    def make(self, app: Connection, name: str, level: str, parent: UUID | None = None) -> UUID:
        return row(
            app,
            "ret.category",
            display_name=name,
            level_kind=level,
            parent_category_id=parent,
        )

    def path(self, app: Connection, category: UUID) -> Any:
        return app.execute(
            "SELECT path_text, depth FROM ret.category WHERE category_id = %s", [category]
        ).fetchone()

    def move(self, app: Connection, category: UUID, parent: UUID | None) -> None:
        app.execute(
            "UPDATE ret.category SET parent_category_id = %s WHERE category_id = %s",
            [parent, category],
        )

    @pytest.fixture
    def line(self, app: Connection) -> tuple[UUID, UUID, UUID]:
        men = self.make(app, "Men", "department")
        tops = self.make(app, "Tops", "class", men)
        return men, tops, self.make(app, "T-shirts", "subclass", tops)

    def test_the_path_is_that_of_the_parents(
        self, app: Connection, line: tuple[UUID, UUID, UUID]
    ) -> None:
        assert self.path(app, line[0]) == ("Men", 0)
        assert self.path(app, line[2]) == ("Men > Tops > T-shirts", 2)

    def test_a_new_name_reaches_what_lies_within(
        self, app: Connection, line: tuple[UUID, UUID, UUID]
    ) -> None:
        app.execute(
            "UPDATE ret.category SET display_name = 'Him' WHERE category_id = %s", [line[0]]
        )
        assert self.path(app, line[2]) == ("Him > Tops > T-shirts", 2)

    def test_what_lies_within_moves_along(
        self, app: Connection, line: tuple[UUID, UUID, UUID]
    ) -> None:
        self.move(app, line[1], self.make(app, "Women", "department"))
        assert self.path(app, line[2]) == ("Women > Tops > T-shirts", 2)

    def test_a_path_is_not_written_by_hand(
        self, app: Connection, line: tuple[UUID, UUID, UUID]
    ) -> None:
        app.execute("UPDATE ret.category SET path_text = 'Elsewhere', depth = 7")
        assert self.path(app, line[1]) == ("Men > Tops", 1)

    def test_a_category_is_not_within_itself(self, app: Connection) -> None:
        top = self.make(app, "Summer", "web")
        low = self.make(app, "Beach", "web", self.make(app, "Outdoors", "web", top))
        for parent in (top, low):
            with (
                app.transaction(force_rollback=True),
                pytest.raises(errors.CheckViolation, match="within itself"),
            ):
                self.move(app, top, parent)
        self.move(app, low, None)
        self.move(app, top, low)
        assert self.path(app, top) == ("Beach > Summer", 1)

    @pytest.mark.parametrize(
        ("level", "place"),
        [("subclass", 0), ("class", 1), ("web", 0), ("department", 0), ("class", 2)],
    )
    def test_levels_follow_each_other(
        self, app: Connection, line: tuple[UUID, UUID, UUID], level: str, place: int
    ) -> None:
        with pytest.raises(errors.CheckViolation, match="does not lie within"):
            self.make(app, "Odd", level, line[place])

    def test_what_holds_others_keeps_its_level(
        self, app: Connection, line: tuple[UUID, UUID, UUID]
    ) -> None:
        with pytest.raises(errors.CheckViolation, match="does not lie within"):
            app.execute(
                "UPDATE ret.category SET level_kind = 'web' WHERE category_id = %s", [line[0]]
            )


class TestCombination:
    """Variants are told apart by their values on the axes."""

    @pytest.fixture
    def product(self, app: Connection) -> UUID:
        return row(app, "ret.product")

    def axis(self, app: Connection, product: UUID, position: int = 1, **given: Any) -> UUID:
        return row(app, "ret.product_option", product_id=product, position_no=position, **given)

    def points(self, app: Connection, axis: UUID) -> list[UUID]:
        return [row(app, "ret.product_option_value", product_option_id=axis) for _ in range(2)]

    def choose(self, app: Connection, variant: UUID, axis: UUID, point: UUID) -> UUID:
        return row(
            app,
            "ret.variant_option_value",
            product_variant_id=variant,
            product_option_id=axis,
            product_option_value_id=point,
        )

    def variant(self, app: Connection, product: UUID) -> UUID:
        return row(app, "ret.product_variant", product_id=product)

    def hashes(self, app: Connection, variant: UUID) -> set[str | None]:
        found = app.execute(
            "SELECT combination_hash FROM ret.variant_option_value WHERE product_variant_id = %s",
            [variant],
        ).fetchall()
        return {value for (value,) in found}

    def test_it_counts_once_every_required_axis_has_a_value(
        self, app: Connection, product: UUID
    ) -> None:
        size, color = self.axis(app, product), self.axis(app, product, 2)
        self.axis(app, product, 3, is_required=False)
        variant = self.variant(app, product)
        self.choose(app, variant, size, self.points(app, size)[0])
        assert self.hashes(app, variant) == {None}
        self.choose(app, variant, color, self.points(app, color)[0])
        (whole,) = self.hashes(app, variant)
        assert whole is not None
        app.execute("DELETE FROM ret.variant_option_value WHERE product_option_id = %s", [size])
        assert self.hashes(app, variant) == {None}

    def test_no_two_variants_have_the_same(self, app: Connection, product: UUID) -> None:
        size, color = self.axis(app, product), self.axis(app, product, 2)
        small, large = self.points(app, size)
        black, _ = self.points(app, color)
        one, other = self.variant(app, product), self.variant(app, product)
        for variant, point in ((one, small), (other, large)):
            self.choose(app, variant, size, point)
            self.choose(app, variant, color, black)
        assert self.hashes(app, one) != self.hashes(app, other)
        with pytest.raises(errors.UniqueViolation, match="combination_idx"):
            app.execute(
                "UPDATE ret.variant_option_value SET product_option_value_id = %s"
                " WHERE product_variant_id = %s AND product_option_id = %s",
                [small, other, size],
            )

    def test_a_variant_has_one_value_on_an_axis(self, app: Connection, product: UUID) -> None:
        size, variant = self.axis(app, product), self.variant(app, product)
        small, large = self.points(app, size)
        self.choose(app, variant, size, small)
        with pytest.raises(errors.UniqueViolation):
            self.choose(app, variant, size, large)

    def test_the_value_is_on_the_axis(self, app: Connection, product: UUID) -> None:
        size, color = self.axis(app, product), self.axis(app, product, 2)
        with pytest.raises(errors.CheckViolation, match="not on this axis"):
            self.choose(app, self.variant(app, product), size, self.points(app, color)[0])

    def test_the_axis_is_of_the_product(self, app: Connection, product: UUID) -> None:
        size = self.axis(app, row(app, "ret.product"))
        with pytest.raises(errors.CheckViolation, match="different products"):
            self.choose(app, self.variant(app, product), size, self.points(app, size)[0])

    @pytest.mark.parametrize(
        ("table", "column", "parent"),
        [
            ("product_option", "product_id", "product"),
            ("product_option_value", "product_option_id", "product_option"),
            ("product_variant", "product_id", "product"),
        ],
    )
    def test_what_others_lean_on_stays_where_it_is(
        self, app: Connection, table: str, column: str, parent: str
    ) -> None:
        row(app, f"ret.{table}")
        other = row(app, f"ret.{parent}")
        with pytest.raises(errors.CheckViolation, match=f"{column} does not change"):
            app.execute(f"UPDATE ret.{table} SET {column} = %s".encode(), [other])

    def test_a_choice_stays_with_its_variant(self, app: Connection, product: UUID) -> None:
        size = self.axis(app, product)
        self.choose(app, self.variant(app, product), size, self.points(app, size)[0])
        with pytest.raises(errors.CheckViolation, match="product_variant_id does not change"):
            app.execute(
                "UPDATE ret.variant_option_value SET product_variant_id = %s",
                [self.variant(app, product)],
            )


class TestBarcode:
    """A barcode has the length and the check digit of its symbology."""

    @pytest.mark.parametrize(
        ("symbology", "barcode"),
        [
            ("ean13", "4006381333931"),
            ("upca", "036000291452"),
            ("gtin14", "14006381333938"),
            ("ean8", "96385074"),
            ("code128", "ABC-abc-1234"),
            ("in_store", "2112"),
        ],
    )
    def test_a_right_one_is_taken(self, app: Connection, symbology: str, barcode: str) -> None:
        row(app, "ret.variant_barcode", symbology=symbology, barcode=barcode)

    @pytest.mark.parametrize(
        ("symbology", "barcode", "told"),
        [
            ("ean13", "4006381333932", "should end with 1"),
            ("ean13", "036000291452", "has 13 digits"),
            ("upca", "4006381333931", "has 12 digits"),
            ("gtin14", "4006381333931", "has 14 digits"),
            ("ean8", "9638507X", "has 8 digits"),
            ("ean8", "96385075", "should end with 4"),
            ("code128", "AB", "4 to 48"),
            ("in_store", "x" * 49, "4 to 48"),
        ],
    )
    def test_a_wrong_one_is_refused(
        self, app: Connection, symbology: str, barcode: str, told: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=told):
            row(app, "ret.variant_barcode", symbology=symbology, barcode=barcode)

    def test_a_correction_is_looked_at_too(self, app: Connection) -> None:
        row(app, "ret.variant_barcode", symbology="ean8", barcode="96385074")
        with pytest.raises(errors.CheckViolation, match="has 13 digits"):
            app.execute("UPDATE ret.variant_barcode SET symbology = 'ean13'")

    def test_one_of_a_unit_is_primary(self, app: Connection) -> None:
        variant = row(app, "ret.product_variant")
        row(app, "ret.variant_barcode", product_variant_id=variant, is_primary=True)
        row(
            app,
            "ret.variant_barcode",
            product_variant_id=variant,
            is_primary=True,
            pack_level="case",
            units_per_pack=6,
        )
        with pytest.raises(errors.UniqueViolation, match="variant_barcode_primary_idx"):
            row(app, "ret.variant_barcode", product_variant_id=variant, is_primary=True)


class TestBundle:
    """What a bundle consists of."""

    def put(self, app: Connection, bundle: UUID, component: UUID) -> UUID:
        return row(
            app,
            "ret.bundle_component",
            bundle_variant_id=bundle,
            component_variant_id=component,
        )

    @pytest.mark.parametrize("depth", [0, 1, 2])
    def test_it_does_not_contain_itself(self, app: Connection, depth: int) -> None:
        line = [row(app, "ret.product_variant") for _ in range(depth + 1)]
        for outer, inner in pairwise(line):
            self.put(app, outer, inner)
        with pytest.raises(errors.CheckViolation, match="would contain itself"):
            self.put(app, line[-1], line[0])

    def test_a_change_is_looked_at_too(self, app: Connection) -> None:
        one, other, third = (row(app, "ret.product_variant") for _ in range(3))
        self.put(app, one, other)
        part = self.put(app, other, third)
        with pytest.raises(errors.CheckViolation, match="would contain itself"):
            app.execute(
                "UPDATE ret.bundle_component SET component_variant_id = %s"
                " WHERE bundle_component_id = %s",
                [one, part],
            )

    def test_a_component_may_be_in_many(self, app: Connection) -> None:
        inner = row(app, "ret.product_variant")
        outer, top = row(app, "ret.product_variant"), row(app, "ret.product_variant")
        self.put(app, outer, inner)
        self.put(app, top, inner)
        self.put(app, top, outer)
        with pytest.raises(errors.UniqueViolation):
            self.put(app, top, outer)


RING = {
    "bundle": (
        "ret.product_variant",
        "INSERT INTO ret.bundle_component"
        " (business_id, bundle_variant_id, component_variant_id, quantity)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s, 1)",
    ),
    "category": (
        "ret.category",
        "UPDATE ret.category SET parent_category_id = %s WHERE category_id = %s",
    ),
    "bin": (
        "ret.bin_location",
        "UPDATE ret.bin_location SET parent_bin_id = %s WHERE bin_location_id = %s",
    ),
}


@pytest.mark.parametrize("what", RING)
def test_at_once_nobody_closes_a_circle(
    deployed: Target, copy_of: Callable[[Target], Target], what: str
) -> None:
    target = copy_of(deployed)
    table, link = RING[what]
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        given: dict[str, Any] = {"level_kind": "web"} if what == "category" else {}
        if what == "bin":
            given = {"location_id": row(connection, "ret.location")}
        ring = [row(connection, table, **given) for _ in range(4)]

    def close(place: int) -> bool:
        with psycopg.connect(target.app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            try:
                connection.execute(link.encode(), [ring[place], ring[(place + 1) % 4]])
            except errors.CheckViolation:
                connection.rollback()
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(close, range(4))) == 3
