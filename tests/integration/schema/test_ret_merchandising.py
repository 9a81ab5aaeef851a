"""Values are of their attribute, collections are counted, and only what has a price is shown."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row

COLORS = Jsonb([{"code": c, "label": {"en": c.title()}} for c in ("red", "blue", "green")])
NOW = "2026-05-04 10:00+00"
BEFORE = "2026-05-04 09:59+00"


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("attribute", {"data_kind": "list"}, "list_has_values"),
        ("attribute", {"allowed_values_doc": COLORS}, "list_has_values"),
        (
            "attribute",
            {"data_kind": "list", "allowed_values_doc": Jsonb([])},
            "values_are_labelled",
        ),
        (
            "attribute",
            {"data_kind": "list", "allowed_values_doc": Jsonb({"code": "red"})},
            "values_are_labelled",
        ),
        (
            "attribute",
            {"data_kind": "list", "allowed_values_doc": Jsonb([{"code": "red"}])},
            "values_are_labelled",
        ),
        (
            "attribute",
            {"data_kind": "list", "allowed_values_doc": Jsonb([{"code": 1, "label": {}}])},
            "values_are_labelled",
        ),
        ("attribute", {"unit": "g"}, "unit_is_of_numbers"),
        ("attribute", {"data_kind": "number", "validation_pattern": "x"}, "pattern_is_of_texts"),
        ("product_media", {"position_no": 0}, "position_positive"),
        ("product_media", {"width_px": 100}, "has_both_sides"),
        ("product_media", {"media_kind": "video", "role": "main"}, "main_is_an_image"),
        ("product_relation", {"score": 1.1}, "score_bounded"),
        ("product_relation", {"source": "basket_affinity"}, "learned_has_score"),
        ("product_relation", {"valid_from": NOW, "valid_to": NOW}, "ends_after_start"),
        ("collection", {"collection_kind": "rule"}, "rule_iff_by_rule"),
        ("collection", {"rule_doc": "{}"}, "rule_iff_by_rule"),
        ("collection", {"collection_kind": "rule", "rule_doc": "{}"}, "rule_is_a_tree"),
        ("collection", {"starts_at": NOW, "ends_at": NOW}, "ends_after_start"),
        ("collection", {"product_count": -1}, "count_not_negative"),
        ("collection_product", {"position_no": 0}, "position_positive"),
        (
            "collection_product",
            {"added_at": NOW, "removed_at": BEFORE},
            "removed_after_added",
        ),
        ("collection_product", {"source": "rule"}, "rule_is_told"),
        ("product_channel_listing", {"listing_state": "scheduled"}, "scheduled_has_time"),
        (
            "product_channel_listing",
            {"available_from": NOW, "available_to": NOW},
            "ends_after_start",
        ),
        ("product_channel_listing", {"buy_limit": 0}, "limit_positive"),
        (
            "assortment_item",
            {"ranged_from": "2026-05-04", "ranged_to": "2026-05-04"},
            "ends_after_start",
        ),
        ("assortment_item", {"presentation_min": 7, "shelf_capacity": 6}, "minimum_fits"),
        ("assortment_item", {"facings": 0}, "counts_not_negative"),
        ("assortment_item", {"facings": 7, "shelf_capacity": 6}, "facings_fit"),
        ("assortment_item", {"range_status": "ranged"}, "ranged_has_start"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"ret.{table}", **columns)


@pytest.mark.parametrize(
    ("table", "same"),
    [("attribute", {"attribute_code": "color"}), ("collection", {"collection_code": "SS26"})],
)
def test_a_code_names_one_row(app: Connection, table: str, same: dict[str, Any]) -> None:
    row(app, f"ret.{table}", **same)
    with pytest.raises(errors.UniqueViolation):
        row(app, f"ret.{table}", **same)


def test_a_pattern_that_does_not_compile_is_refused(app: Connection) -> None:
    with pytest.raises(errors.InvalidRegularExpression):
        row(app, "ret.attribute", validation_pattern="[a-")


KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("text", {"text_value": "soft"}),
    ("number", {"number_value": 3}),
    ("boolean", {"boolean_value": False}),
    ("date", {"date_value": "2026-05-04"}),
    ("list", {"list_value_doc": Jsonb(["red"])}),
    ("multi_list", {"list_value_doc": Jsonb(["red", "green"])}),
)


class TestAttributeValue:
    """What is said of a product."""

    def attribute(self, app: Connection, kind: str, **given: Any) -> UUID:
        if kind.endswith("list"):
            given["allowed_values_doc"] = COLORS
        return row(app, "ret.attribute", data_kind=kind, **given)

    def say(self, app: Connection, attribute: UUID, **value: Any) -> UUID:
        return row(
            app,
            "ret.product_attribute_value",
            attribute_id=attribute,
            **{"text_value": None, **value},
        )

    @pytest.mark.parametrize(("kind", "value"), KINDS)
    def test_it_is_of_the_kind(self, app: Connection, kind: str, value: dict[str, Any]) -> None:
        self.say(app, self.attribute(app, kind), **value)

    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            (kind, value)
            for kind, _ in KINDS
            for other, value in KINDS
            if kind.replace("multi_", "") != other.replace("multi_", "")
        ],
    )
    def test_of_another_kind_it_is_refused(
        self, app: Connection, kind: str, value: dict[str, Any]
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=f"takes a {kind}"):
            self.say(app, self.attribute(app, kind), **value)

    @pytest.mark.parametrize("value", [{}, {"text_value": "x", "number_value": 1}])
    def test_it_is_one(self, app: Connection, value: dict[str, Any]) -> None:
        with pytest.raises(errors.CheckViolation, match="is_one"):
            self.say(app, self.attribute(app, "text"), **value)

    @pytest.mark.parametrize(
        ("kind", "chosen"),
        [
            ("list", []),
            ("list", ["black"]),
            ("list", ["red", "blue"]),
            ("list", "red"),
            ("multi_list", ["red", "red"]),
            ("multi_list", ["red", "black"]),
        ],
    )
    def test_a_choice_is_among_the_values(
        self, app: Connection, kind: str, chosen: list[str]
    ) -> None:
        with pytest.raises(errors.CheckViolation, match="is not a choice"):
            self.say(app, self.attribute(app, kind), list_value_doc=Jsonb(chosen))

    def test_a_text_matches_the_pattern(self, app: Connection) -> None:
        attribute = self.attribute(app, "text", validation_pattern="^[0-9]+$")
        self.say(app, attribute, text_value="42")
        with pytest.raises(errors.CheckViolation, match="does not match"):
            self.say(app, attribute, text_value="forty-two")

    def test_a_language_says_it_once(self, app: Connection) -> None:
        attribute, product = self.attribute(app, "text"), row(app, "ret.product")
        for language in ("en", "de", None):
            same = {"product_id": product, "language_code": language, "text_value": "x"}
            self.say(app, attribute, **same)
            with app.transaction(force_rollback=True), pytest.raises(errors.UniqueViolation):
                self.say(app, attribute, **same)

    def test_a_number_has_no_language(self, app: Connection) -> None:
        with pytest.raises(errors.CheckViolation, match="only_text_has_language"):
            self.say(app, self.attribute(app, "number"), number_value=1, language_code="en")

    @pytest.mark.parametrize(
        ("kind", "value", "change"),
        [
            ("number", {"number_value": 3}, "data_kind = 'text'"),
            ("text", {"text_value": "soft"}, "validation_pattern = '^[0-9]+$'"),
            ("list", {"list_value_doc": Jsonb(["red"])}, "allowed_values_doc = '[{}]'"),
            (
                "multi_list",
                {"list_value_doc": Jsonb(["red", "blue"])},
                "data_kind = 'list'",
            ),
        ],
    )
    def test_an_attribute_stays_such_that_its_values_fit(
        self, app: Connection, kind: str, value: dict[str, Any], change: str
    ) -> None:
        self.say(app, self.attribute(app, kind), **value)
        with pytest.raises(errors.CheckViolation, match="values that would not fit"):
            app.execute(f"UPDATE ret.attribute SET {change}".encode())

    def test_a_value_that_nobody_has_can_go(self, app: Connection) -> None:
        self.say(app, self.attribute(app, "list"), list_value_doc=Jsonb(["red"]))
        app.execute("UPDATE ret.attribute SET allowed_values_doc = allowed_values_doc - 1")


class TestMedia:
    """Pictures of a product."""

    def test_one_is_the_main_one(self, app: Connection) -> None:
        product = row(app, "ret.product")
        row(app, "ret.product_media", product_id=product, position_no=1, role="main")
        row(app, "ret.product_media", product_id=product, position_no=2)
        with pytest.raises(errors.UniqueViolation, match="product_media_main_idx"):
            row(app, "ret.product_media", product_id=product, position_no=3, role="main")

    def test_each_has_its_place(self, app: Connection) -> None:
        product = row(app, "ret.product")
        row(app, "ret.product_media", product_id=product, position_no=1)
        with pytest.raises(errors.UniqueViolation, match="position_no"):
            row(app, "ret.product_media", product_id=product, position_no=1)

    def test_the_variant_is_one_of_the_product(self, app: Connection) -> None:
        product = row(app, "ret.product")
        own = row(app, "ret.product_variant", product_id=product)
        row(app, "ret.product_media", product_id=product, product_variant_id=own)
        with pytest.raises(errors.CheckViolation, match="of another product"):
            row(app, "ret.product_media", product_variant_id=own)


def test_a_product_does_not_lead_to_itself(app: Connection) -> None:
    product = row(app, "ret.product")
    with pytest.raises(errors.CheckViolation, match="is_to_another"):
        row(app, "ret.product_relation", from_product_id=product, to_product_id=product)


class TestCollection:
    """Products in a collection are counted."""

    def count(self, app: Connection, collection: UUID) -> int:
        found = app.execute(
            "SELECT product_count FROM ret.collection WHERE collection_id = %s", [collection]
        ).fetchone()
        assert found
        return int(found[0])

    def test_the_count_follows(self, app: Connection) -> None:
        collection, other = row(app, "ret.collection"), row(app, "ret.collection")
        for _ in range(3):
            member = row(app, "ret.collection_product", collection_id=collection)
        row(app, "ret.collection_product", collection_id=other)
        assert self.count(app, collection) == 3
        app.execute(
            "UPDATE ret.collection_product SET removed_at = added_at"
            " WHERE collection_product_id = %s",
            [member],
        )
        assert self.count(app, collection) == 2
        app.execute("DELETE FROM ret.collection_product WHERE collection_id = %s", [collection])
        assert (self.count(app, collection), self.count(app, other)) == (0, 1)

    def test_a_product_is_in_it_once(self, app: Connection) -> None:
        same = {
            "collection_id": row(app, "ret.collection"),
            "product_id": row(app, "ret.product"),
        }
        row(app, "ret.collection_product", **same)
        with pytest.raises(errors.UniqueViolation):
            row(app, "ret.collection_product", **same)

    def test_a_member_stays_in_its_collection(self, app: Connection) -> None:
        row(app, "ret.collection_product")
        other = row(app, "ret.collection")
        with pytest.raises(errors.CheckViolation, match="collection_id does not change"):
            app.execute("UPDATE ret.collection_product SET collection_id = %s", [other])

    def test_what_is_added_at_once_is_counted(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            collection = row(connection, "ret.collection")
            products = [row(connection, "ret.product") for _ in range(8)]

        def add(product: UUID) -> None:
            with psycopg.connect(target.app) as connection:
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                row(
                    connection,
                    "ret.collection_product",
                    collection_id=collection,
                    product_id=product,
                )

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(add, products))
        with psycopg.connect(target.app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            assert self.count(connection, collection) == 8


LISTING: dict[str, set[str]] = {
    "draft": {"scheduled", "published"},
    "scheduled": {"draft", "published", "hidden", "rejected"},
    "published": {"hidden", "rejected"},
    "hidden": {"draft", "published"},
    "rejected": {"draft", "published"},
}
RANGE: dict[str, set[str]] = {
    "planned": {"ranged", "delisted"},
    "ranged": {"delisting", "delisted"},
    "delisting": {"ranged", "delisted"},
    "delisted": {"planned"},
}
LISTED = {
    "published_at": NOW,
    "available_from": NOW,
    "sync_error": "no image",
}
LISTING_WAYS = {
    "scheduled": ["scheduled"],
    "published": ["published"],
    "hidden": ["published", "hidden"],
    "rejected": ["published", "rejected"],
}
RANGED = {"ranged_from": "2026-05-04", "ranged_to": "2026-06-04"}
RANGE_WAYS = {
    "ranged": ["ranged"],
    "delisting": ["ranged", "delisting"],
    "delisted": ["delisted"],
}


class TestListing:
    """A product on a channel."""

    def priced(self, app: Connection, **given: Any) -> UUID:
        product = row(app, "ret.product", **given)
        row(app, "ret.product_variant", product_id=product)
        return product

    def publish(self, app: Connection, product: UUID) -> UUID:
        return row(
            app,
            "ret.product_channel_listing",
            product_id=product,
            listing_state="published",
            published_at=NOW,
        )

    @pytest.mark.parametrize(("old", "new"), [(a, b) for a in LISTING for b in LISTING if a != b])
    def test_a_state_goes_where_it_may(self, app: Connection, old: str, new: str) -> None:
        row(app, "ret.product_channel_listing", product_id=self.priced(app), **LISTED)
        change = "UPDATE ret.product_channel_listing SET listing_state = %s"
        for state in LISTING_WAYS.get(old, []):
            app.execute(change, [state])
        if new in LISTING[old]:
            assert app.execute(change, [new]).rowcount == 1
        else:
            with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
                app.execute(change, [new])

    @pytest.mark.parametrize("state", ["hidden", "rejected"])
    def test_nothing_starts_at_its_end(self, app: Connection, state: str) -> None:
        with pytest.raises(errors.CheckViolation, match="cannot start as"):
            row(app, "ret.product_channel_listing", listing_state=state, **LISTED)

    def test_what_is_published_has_a_time(self, app: Connection) -> None:
        with pytest.raises(errors.CheckViolation, match="published_has_time"):
            row(
                app,
                "ret.product_channel_listing",
                product_id=self.priced(app),
                listing_state="published",
            )

    def test_what_is_rejected_says_why(self, app: Connection) -> None:
        self.publish(app, self.priced(app))
        with pytest.raises(errors.CheckViolation, match="rejected_says_why"):
            app.execute("UPDATE ret.product_channel_listing SET listing_state = 'rejected'")

    @pytest.mark.parametrize("given", [{"list_price": 0}, {"status": "discontinued"}])
    def test_what_is_published_has_a_price(self, app: Connection, given: dict[str, Any]) -> None:
        product = self.priced(app)
        for column, value in given.items():
            app.execute(f"UPDATE ret.product_variant SET {column} = %s".encode(), [value])
        with pytest.raises(errors.CheckViolation, match="no variant with a price"):
            self.publish(app, product)

    def test_one_variant_with_a_price_is_enough(self, app: Connection) -> None:
        product = row(app, "ret.product")
        for price in (0, 5):
            row(app, "ret.product_variant", product_id=product, list_price=price)
        self.publish(app, product)

    @pytest.mark.parametrize("status", ["draft", "review"])
    def test_what_is_not_on_sale_is_not_published(self, app: Connection, status: str) -> None:
        with pytest.raises(errors.CheckViolation, match=f"is {status}, it is not published"):
            self.publish(app, self.priced(app, status=status))

    def test_what_is_discontinued_disappears(self, app: Connection) -> None:
        product, other = self.priced(app), self.priced(app)
        for shown in (product, product, other):
            self.publish(app, shown)
        row(app, "ret.product_channel_listing", product_id=product)
        app.execute(
            "UPDATE ret.product SET status = 'discontinued' WHERE product_id = %s", [product]
        )
        found = app.execute(
            "SELECT product_id = %s, listing_state, count(*) FROM ret.product_channel_listing"
            " GROUP BY 1, 2 ORDER BY 1, 2",
            [product],
        ).fetchall()
        assert found == [(False, "published", 1), (True, "draft", 1), (True, "hidden", 2)]

    def test_a_name_of_the_marketplace_is_of_one_listing(self, app: Connection) -> None:
        channel = row(app, "ret.sales_channel")
        known = {"sales_channel_id": channel, "external_listing_id": "X1"}
        row(app, "ret.product_channel_listing", **known)
        row(app, "ret.product_channel_listing", external_listing_id="X1")
        with pytest.raises(errors.UniqueViolation, match="external_idx"):
            row(app, "ret.product_channel_listing", **known)

    def test_a_product_is_on_a_channel_once(self, app: Connection) -> None:
        same = {
            "product_id": row(app, "ret.product"),
            "sales_channel_id": row(app, "ret.sales_channel"),
        }
        row(app, "ret.product_channel_listing", **same)
        with pytest.raises(errors.UniqueViolation):
            row(app, "ret.product_channel_listing", **same)


class TestAssortment:
    """What a location ranges."""

    @pytest.mark.parametrize(("old", "new"), [(a, b) for a in RANGE for b in RANGE if a != b])
    def test_a_state_goes_where_it_may(self, app: Connection, old: str, new: str) -> None:
        row(app, "ret.assortment_item", **RANGED)
        change = "UPDATE ret.assortment_item SET range_status = %s"
        for state in RANGE_WAYS.get(old, []):
            app.execute(change, [state])
        if new in RANGE[old]:
            assert app.execute(change, [new]).rowcount == 1
        else:
            with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
                app.execute(change, [new])

    @pytest.mark.parametrize("state", ["delisting", "delisted"])
    def test_what_is_delisted_has_an_end(self, app: Connection, state: str) -> None:
        row(app, "ret.assortment_item", range_status="ranged", ranged_from="2026-05-04")
        with pytest.raises(errors.CheckViolation, match="delisted_has_end"):
            app.execute("UPDATE ret.assortment_item SET range_status = %s", [state])

    def test_a_location_ranges_a_variant_once(self, app: Connection) -> None:
        same = {
            "location_id": row(app, "ret.location"),
            "product_variant_id": row(app, "ret.product_variant"),
        }
        row(app, "ret.assortment_item", **same)
        with pytest.raises(errors.UniqueViolation):
            row(app, "ret.assortment_item", **same)

    def test_the_home_bin_is_in_the_location(self, app: Connection) -> None:
        location = row(app, "ret.location")
        bin_ = row(app, "ret.bin_location", location_id=location)
        row(app, "ret.assortment_item", location_id=location, home_bin_id=bin_)
        with (
            app.transaction(force_rollback=True),
            pytest.raises(errors.CheckViolation, match="in another location"),
        ):
            row(app, "ret.assortment_item", home_bin_id=bin_)
        app.execute("UPDATE ret.bin_location SET status = 'retired'")
        with pytest.raises(errors.CheckViolation, match="is retired"):
            row(app, "ret.assortment_item", location_id=location, home_bin_id=bin_)
