"""What rows of repair orders, their jobs and lines, estimates and checks usually hold."""

from itertools import count

USUAL = {
    "auto.repair_job": {"job_seq": count(1), "name": "Brake job {n}"},
    "auto.labor_line": {"line_no": count(1), "sold_hours": 2, "rate_amount": 100},
    "auto.part_line": {"line_no": count(1), "qty": 1, "unit_price": 50},
    "auto.sublet_line": {"line_no": count(1)},
    "auto.estimate": {"version_no": count(1)},
    "auto.quality_check": {"check_kind": "visual", "result": "pass"},
}
