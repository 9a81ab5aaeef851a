"""What a row of the workforce, its time and its leave usually holds."""

from itertools import count

USUAL = {
    "payroll.employer_entity": {"ein": count(100000000)},
    "payroll.work_location": {"state_code": "IL", "minimum_wage_amount": 15},
    "payroll.employee": {"employee_number": "E{n}"},
    "payroll.compensation_rate": {"rate_amount": 20},
    "payroll.employee_residence": {"state_code": "IL"},
    "payroll.new_hire_report": {"state_code": "IL"},
    "payroll.work_schedule": {"pattern_kind": "flexible"},
    "payroll.scheduled_shift": {"ends_at": "2026-05-04 18:00+00"},
    "payroll.timesheet": {"submitted_at": "2026-01-11 10:00+00"},
    "payroll.timesheet_entry": {"hours": 8},
    "payroll.pay_premium_rule": {"premium_kind": "hazard", "amount_per_hour": 1},
    "payroll.accrual_tier": {"tier_no": 1, "from_service_months": 0, "hours_per_year": 80},
    "payroll.leave_case": {"entitled_weeks": 12, "leave_law": "state_pfml"},
    "payroll.time_off_request": {"hours_requested": 8},
    "payroll.time_off_ledger_entry": {"hours": 8},
}
