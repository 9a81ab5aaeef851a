"""What a row of vehicles and their kin usually holds."""

USUAL = {
    "auto.vehicle": {"vin": "TESTCAR{n}"},
    "auto.vehicle_configuration": {"fuel_kind": "gasoline", "aspiration": "natural"},
    "auto.vehicle_ownership": {"relation": "owner", "starts_on": "2024-01-01"},
    "auto.vin_decode": {"vin_submitted": "1HGCM82633A004352"},
    "auto.hv_battery_pack": {
        "usable_kwh": 60,
        "gross_kwh": 64,
        "nominal_v": 400,
        "installed_on": "2024-01-01",
    },
    "auto.hv_power_down": {
        "started_at": "2026-05-04 10:00+00",
        "glove_test_expires_on": "2026-08-01",
    },
    "auto.adas_calibration": {
        "result": "aborted",
        "failure_reason": "Rain",
        "method": "dynamic",
        "started_at": "2026-05-04 10:00+00",
    },
    "auto.vehicle_recall": {"status": "open"},
}
