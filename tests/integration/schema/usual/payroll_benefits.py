"""What a row of benefits and their compliance usually holds."""

USUAL = {
    "payroll.benefit_carrier": {"feed_format": "csv", "name": "Carrier {n}"},
    "payroll.benefit_plan": {
        "plan_code": "PLAN{n}",
        "plan_kind": "medical",
        "plan_year_start": "2026-01-01",
        "plan_year_end": "2026-12-31",
    },
    "payroll.benefit_plan_rate": {
        "premium_amount": 620,
        "employee_share_amount": 120,
        "employer_share_amount": 500,
        "effective_from": "2026-01-01",
    },
    "payroll.eligibility_rule": {"priority": 1},
    "payroll.life_event": {
        "event_on": "2026-05-04",
        "reported_at": "2026-05-05 10:00+00",
        "proof_required": False,
    },
    "payroll.enrollment_window": {
        "window_kind": "open_enrollment",
        "opens_on": "2025-11-03",
        "closes_on": "2025-11-21",
        "coverage_effective_on": "2026-01-01",
        "plan_year": 2026,
        "status": "open",
    },
    "payroll.benefit_enrollment": {
        "effective_from": "2026-01-01",
        "signed_at": "2025-11-10 10:00+00",
    },
    "payroll.dependent": {"relationship": "child", "birth_date": "2015-03-10"},
    "payroll.enrollment_dependent": {"covered_from": "2026-01-01"},
    "payroll.beneficiary_designation": {"share_pct": 100, "effective_from": "2026-01-01"},
    "payroll.spending_account": {"account_kind": "health_fsa", "plan_year": 2026},
    "payroll.carrier_feed": {"period_end": "2026-05-31"},
    "payroll.aca_employee_month": {"tax_year": 2026, "month_no": 1, "offer_code": "1H"},
    "payroll.cobra_case": {"event_kind": "termination", "event_on": "2026-05-04"},
}
