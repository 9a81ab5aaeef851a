"""What a row of the cold chain usually holds, where a CHECK or UNIQUE asks for more than a type."""

from itertools import count

USUAL = {
    "rest.temperature_sensor": {"alarm_low_c": 0, "alarm_high_c": 5},
    "rest.temperature_reading": {"temperature_c": 3},
    "rest.temperature_log": {"temperature_c": 3},
    "rest.haccp_plan": {"version_no": count(1)},
    "rest.hazard_analysis": {"step_number": count(1)},
    "rest.critical_control_point": {"limit_low": 74},
    "rest.cooling_log": {
        "stage1_due_at": "2026-05-04 12:00+00",
        "stage2_due_at": "2026-05-04 16:00+00",
        "started_at": "2026-05-04 10:00+00",
    },
}
