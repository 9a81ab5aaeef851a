"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

from itertools import count

USUAL = {
    "payroll.pay_schedule": {"frequency": "biweekly", "anchor_period_end": "2026-01-10"},
    "payroll.pay_period": {
        "period_no": 1,
        "starts_on": "2025-12-28",
        "ends_on": "2026-01-10",
        "check_date": "2026-01-15",
    },
    "payroll.recurring_earning": {"amount": 50, "effective_from": "2026-01-01"},
    "payroll.garnishment_agency": {"agency_kind": "creditor", "payment_method": "check"},
    "payroll.garnishment_order": {
        "order_kind": "creditor",
        "withholding_amount": 100,
        "max_percent_disposable": 25,
        "received_on": "2026-01-02",
        "effective_on": "2026-01-05",
    },
    "payroll.deduction_code": {
        "category": "other",
        "tax_treatment": "post_tax",
        "calculation": "flat",
        "priority": 500,
    },
    "payroll.employee_deduction": {"amount": 25, "effective_from": "2026-01-01"},
    "payroll.variable_pay_input": {"input_kind": "bonus", "amount": 100},
    "payroll.tax_jurisdiction": {"level": "federal", "effective_from": "2000-01-01"},
    "payroll.tax_code": {"tax_kind": "pfml", "payer": "employee", "filing_form": "941"},
    "payroll.tax_rate_version": {
        "tax_year": 2026,
        "effective_from": "2026-01-01",
        "formula": "flat",
    },
    "payroll.tax_bracket": {"bracket_no": 1, "from_amount": 0},
    "payroll.employer_tax_account": {
        "account_number": "A-{n}",
        "deposit_frequency": "monthly",
    },
    "payroll.withholding_election": {
        "form_version": "w4_2020",
        "signed_at": "2025-12-20 10:00+00",
        "effective_from": "2026-01-01",
    },
    "payroll.tax_reciprocity": {"agreement_kind": "full", "withhold_for": "resident"},
    "payroll.pay_run": {"run_kind": "off_cycle", "check_date": "2026-01-15"},
    "payroll.paycheck": {"check_date": "2026-01-15"},
    "payroll.paycheck_earning": {"line_no": count(1), "amount": 100},
    "payroll.paycheck_deduction": {"line_no": count(1)},
    "payroll.ytd_accumulator": {
        "tax_year": 2026,
        "quarter_no": 1,
        "item_kind": "earning",
    },
    "payroll.tip_declaration": {"declared_on": "2026-01-05"},
}
