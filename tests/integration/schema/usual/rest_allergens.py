"""What a row about allergens usually holds, where a CHECK or UNIQUE asks for more than a type."""

USUAL = {
    "rest.menu_item_allergen": {"derived_from": "manual"},
    "rest.guest_allergy": {"severity": "allergy"},
}
