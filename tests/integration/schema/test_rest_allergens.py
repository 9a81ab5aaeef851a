"""What a label says reaches the dish and the guest; nothing is called safe that is not."""

from __future__ import annotations

from itertools import count
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_rest_orders import add_line, open_check

LINE = count(1)


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        (
            "inventory_item_allergen",
            {"verified_on": "2026-02-01", "review_due_on": "2026-01-01"},
            "review_after_verification",
        ),
        (
            "inventory_item_allergen",
            {"presence": "free_from", "source": "assumed"},
            "free_from_is_shown",
        ),
        ("menu_item_allergen", {"derived_from": "override"}, "override_has_reason"),
        ("menu_item_allergen", {"override_reason": "x"}, "override_has_reason"),
        ("menu_item_allergen", {"presence": "removable"}, "removable_says_how"),
        ("menu_item_allergen", {"verified_at": "2026-01-01"}, "verification_is_whole"),
        ("menu_item_allergen", {"derived_from": "recipe"}, "derived_has_time"),
        (
            "menu_item_allergen",
            {"presence": "free_from", "is_published": True},
            "safety_is_verified",
        ),
        ("guest_allergy", {"severity": "anaphylaxis"}, "anaphylaxis_alerts_kitchen"),
        ("guest_allergy", {"confirmed_at": "2020-01-01"}, "confirmed_after_report"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
        row(app, f"rest.{table}", **columns)


class TestRollUp:
    """A dish of a recipe with one ingredient, and milk."""

    @pytest.fixture
    def milk(self, app: Connection) -> UUID:
        return row(app, "rest.allergen", allergen_code="MILK")

    @pytest.fixture
    def dish(self, app: Connection) -> UUID:
        return row(app, "rest.menu_item")

    @pytest.fixture
    def recipe(self, app: Connection, dish: UUID) -> UUID:
        made = row(app, "rest.recipe", portion_count=1, recipe_kind="menu")
        row(
            app,
            "rest.recipe_usage",
            recipe_id=made,
            menu_item_id=dish,
            usage_kind="item",
            portions=1,
            quantity=None,
            effective_from="2020-01-01",
        )
        return made

    def use(self, connection: Connection, recipe: UUID, **given: Any) -> UUID:
        item = row(connection, "rest.inventory_item", display_name="Butter")
        row(
            connection,
            "rest.recipe_line",
            recipe_id=recipe,
            inventory_item_id=item,
            line_number=next(LINE),
            **given,
        )
        return item

    def label(self, connection: Connection, item: UUID, milk: UUID, presence: str) -> UUID:
        return row(
            connection,
            "rest.inventory_item_allergen",
            inventory_item_id=item,
            allergen_id=milk,
            presence=presence,
            source="label",
        )

    def declared(self, connection: Connection) -> list[Any]:
        return connection.execute(
            "SELECT presence, derived_from, removal_instruction, is_published"
            " FROM rest.menu_item_allergen"
        ).fetchall()

    @pytest.mark.parametrize(
        ("presence", "shown"), [("contains", True), ("may_contain", True), ("free_from", False)]
    )
    def test_a_label_reaches_the_dish(
        self, app: Connection, recipe: UUID, milk: UUID, presence: str, shown: bool
    ) -> None:
        self.label(app, self.use(app, recipe), milk, presence)
        assert self.declared(app) == [(presence, "recipe", None, shown)]

    def test_silence_is_not_free_from(self, app: Connection, recipe: UUID, milk: UUID) -> None:
        self.use(app, recipe)
        self.label(app, self.use(app, recipe), milk, "free_from")
        assert self.declared(app) == []

    def test_what_can_be_left_out(self, app: Connection, recipe: UUID, milk: UUID) -> None:
        self.label(app, self.use(app, recipe, is_optional=True), milk, "contains")
        assert self.declared(app) == [("removable", "recipe", "Leave out: Butter", False)]

    def test_through_a_sub_recipe(self, app: Connection, recipe: UUID, milk: UUID) -> None:
        sub = row(app, "rest.recipe", portion_count=1, recipe_kind="menu")
        row(
            app,
            "rest.recipe_line",
            recipe_id=recipe,
            sub_recipe_id=sub,
            line_number=next(LINE),
        )
        self.label(app, self.use(app, sub), milk, "contains")
        assert [d[0] for d in self.declared(app)] == ["contains"]

    def test_a_label_that_changes(self, app: Connection, recipe: UUID, milk: UUID) -> None:
        self.label(app, self.use(app, recipe), milk, "may_contain")
        app.execute("UPDATE rest.inventory_item_allergen SET presence = 'contains'")
        assert [d[0] for d in self.declared(app)] == ["contains"]
        app.execute("DELETE FROM rest.inventory_item_allergen")
        assert self.declared(app) == []

    def test_a_change_is_verified_anew(self, app: Connection, recipe: UUID, milk: UUID) -> None:
        self.label(app, self.use(app, recipe), milk, "may_contain")
        app.execute(
            "UPDATE rest.menu_item_allergen SET verified_at = now(), verified_by_staff_id = %s",
            [row(app, "rest.staff_member")],
        )
        app.execute("UPDATE rest.inventory_item_allergen SET presence = 'contains'")
        found = app.execute("SELECT verified_at FROM rest.menu_item_allergen").fetchone()
        assert found == (None,)

    def test_an_override_stands(
        self, app: Connection, recipe: UUID, dish: UUID, milk: UUID
    ) -> None:
        row(
            app,
            "rest.menu_item_allergen",
            menu_item_id=dish,
            allergen_id=milk,
            presence="may_contain",
            derived_from="override",
            override_reason="Clarified",
        )
        self.label(app, self.use(app, recipe), milk, "contains")
        assert [d[:2] for d in self.declared(app)] == [("may_contain", "override")]

    @pytest.mark.parametrize(
        ("said", "label", "stands"),
        [("may_contain", "contains", False), ("contains", "may_contain", True)],
    )
    def test_what_was_typed_in_stands_while_the_recipe_is_no_worse(
        self,
        app: Connection,
        recipe: UUID,
        dish: UUID,
        milk: UUID,
        said: str,
        label: str,
        stands: bool,
    ) -> None:
        row(
            app,
            "rest.menu_item_allergen",
            menu_item_id=dish,
            allergen_id=milk,
            presence=said,
        )
        self.label(app, self.use(app, recipe), milk, label)
        assert self.declared(app)[0][1] == ("manual" if stands else "recipe")

    def test_nothing_is_free_from_what_it_contains(
        self, app: Connection, recipe: UUID, dish: UUID, milk: UUID
    ) -> None:
        self.label(app, self.use(app, recipe), milk, "contains")
        with pytest.raises(errors.CheckViolation, match="an ingredient of the dish contains"):
            app.execute(
                "UPDATE rest.menu_item_allergen SET presence = 'free_from', derived_from = 'manual'"
            )

    def test_a_dish_that_is_no_longer_made_of_it(
        self, app: Connection, recipe: UUID, milk: UUID
    ) -> None:
        self.label(app, self.use(app, recipe), milk, "contains")
        app.execute("UPDATE rest.recipe_usage SET is_active = false")
        assert self.declared(app) == []

    def test_nothing_changes_twice(self, app: Connection, recipe: UUID, milk: UUID) -> None:
        self.label(app, self.use(app, recipe), milk, "contains")
        assert app.execute("SELECT rest.derive_item_allergens(NULL)").fetchone() == (0,)


class TestOrders:
    """A guest who cannot eat peanuts orders."""

    @pytest.fixture
    def peanut(self, app: Connection) -> UUID:
        return row(app, "rest.allergen", allergen_code="PEANUT")

    @pytest.fixture
    def guest(self, app: Connection, peanut: UUID) -> UUID:
        made = row(app, "rest.guest_profile", display_name="Ann")
        row(app, "rest.guest_allergy", guest_profile_id=made, allergen_id=peanut)
        return made

    def declare(self, connection: Connection, peanut: UUID, presence: str) -> UUID:
        item = row(connection, "rest.menu_item")
        row(
            connection,
            "rest.menu_item_allergen",
            menu_item_id=item,
            allergen_id=peanut,
            presence=presence,
            removal_instruction="No topping" if presence == "removable" else None,
        )
        return item

    def alerts(self, connection: Connection) -> list[Any]:
        return connection.execute(
            "SELECT a.guest_name, a.allergen_code, a.severity, a.presence, a.what_to_do"
            " FROM rest.guest_order AS o, rest.order_allergy_alerts(o.guest_order_id) AS a"
        ).fetchall()

    @pytest.mark.parametrize(
        ("presence", "told"),
        [
            ("contains", [("Ann", "PEANUT", "allergy", "contains", None)]),
            ("may_contain", [("Ann", "PEANUT", "allergy", "may_contain", None)]),
            ("removable", [("Ann", "PEANUT", "allergy", "removable", "No topping")]),
            ("free_from", []),
        ],
    )
    def test_the_guest_of_the_order(
        self, app: Connection, guest: UUID, peanut: UUID, presence: str, told: list[Any]
    ) -> None:
        check = open_check(app, guest_profile_id=guest)
        add_line(app, check, item=self.declare(app, peanut, presence))
        assert self.alerts(app) == told

    def test_a_dish_about_which_nothing_is_known(self, app: Connection, guest: UUID) -> None:
        add_line(app, open_check(app, guest_profile_id=guest))
        assert [a[3] for a in self.alerts(app)] == ["undeclared"]

    def test_a_dish_that_declares_something_else(self, app: Connection, guest: UUID) -> None:
        other = self.declare(app, row(app, "rest.allergen"), "contains")
        add_line(app, open_check(app, guest_profile_id=guest), item=other)
        assert self.alerts(app) == []

    @pytest.mark.parametrize(("seat_is_theirs", "alerts"), [(True, 1), (False, 0)])
    def test_who_eats_it(
        self, app: Connection, guest: UUID, peanut: UUID, seat_is_theirs: bool, alerts: int
    ) -> None:
        check = open_check(app, guest_profile_id=guest)
        seat = row(
            app,
            "rest.check_seat",
            guest_check_id=check,
            seat_number=1,
            guest_profile_id=guest if seat_is_theirs else row(app, "rest.guest_profile"),
        )
        item = self.declare(app, peanut, "contains")
        add_line(app, check, item=item, check_seat_id=seat)
        assert len(self.alerts(app)) == alerts

    def test_an_allergy_that_is_over(self, app: Connection, guest: UUID, peanut: UUID) -> None:
        add_line(
            app,
            open_check(app, guest_profile_id=guest),
            item=self.declare(app, peanut, "contains"),
        )
        app.execute("UPDATE rest.guest_allergy SET is_active = false")
        assert self.alerts(app) == []
