"""What a row of the workforce, the floor and the environment usually holds."""

USUAL = {
    "auto.technician_shift": {"ends_at": "2026-05-04 18:00+00"},
    "auto.technician": {"pay_plan": "hourly"},
    "auto.technician_certification": {
        "program": "oem",
        "test_code": "T{n}",
        "certificate_number": "C{n}",
    },
    "auto.equipment_inspection": {"inspection_kind": "calibration"},
    "auto.job_dispatch": {"planned_window": "[2026-05-04 10:00+00,2026-05-04 12:00+00)"},
    "auto.waste_manifest": {"manifest_kind": "bill_of_lading"},
}
