"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

USUAL = {
    "rest.reservation": {
        "starts_at": "2026-06-10 18:00+00",
        "expected_end_at": "2026-06-10 19:30+00",
        "party_size": 2,
    },
    "rest.reservation_table": {
        "held_from": "2026-06-10 18:00+00",
        "held_to": "2026-06-10 19:30+00",
    },
    "rest.waitlist_entry": {"party_size": 2},
    "rest.table_session": {"party_size": 2},
    "rest.menu_item": {"base_price": 10},
    "rest.combo": {"fixed_price": 12},
    "rest.menu_item_location": {"version_no": 1},
}
