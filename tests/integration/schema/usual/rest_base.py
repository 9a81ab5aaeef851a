"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

USUAL = {
    "rest.dining_table": {"max_covers": 4, "table_number": "{n}"},
    "rest.service_period": {"starts_time": "17:00", "ends_time": "22:00"},
    "rest.shift": {
        "starts_at": "2026-05-04 10:00+00",
        "ends_at": "2026-05-04 16:00+00",
        "state": "draft",
    },
    "rest.location_hours": {"weekday": 1, "opens_time": "11:00", "closes_time": "23:00"},
    "rest.kitchen_capacity_slot": {"max_orders": 5, "max_prep_minutes": 60},
    "rest.service_charge": {"amount_basis": "open"},
    "rest.virtual_brand": {"storefront_slug": "brand-{n}"},
}
