"""What a row of tires, their registrations and their storage usually holds."""

USUAL = {
    "auto.tire_set": {"set_number": "S{n}", "size_text": "225/45R17"},
    "auto.tire": {"tin_code": "DOTX1A1224"},
    "auto.tire_registration": {"tin_code": "DOTX1A1224", "due_on": "2026-06-03"},
    "auto.tire_storage_contract": {"starts_on": "2026-04-01", "ends_on": "2026-10-01"},
    "auto.tire_storage_movement": {"movement_kind": "inventory_scan"},
}
