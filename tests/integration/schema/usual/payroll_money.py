"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

from itertools import count

USUAL = {
    "payroll.employer_bank_account": {
        "account_token": "tok_{n}",
        "routing_number": "071000013",
        "last4": "4321",
        "status": "verified",
        "verified_at": "2025-12-01 10:00+00",
    },
    "payroll.employee_bank_account": {
        "account_token": "tok_{n}",
        "routing_number": "021000021",
        "last4": "1234",
        "status": "active",
    },
    "payroll.direct_deposit_split": {"priority": count(1), "effective_from": "2025-12-01"},
    "payroll.contractor": {
        "tax_id_token": "vault:payroll/contractor/{n}",
        "w9_received_on": "2025-12-01",
    },
    "payroll.contractor_payment": {"amount": 100},
    "payroll.payment_batch": {
        "batch_kind": "ach_credit",
        "sec_code": "PPD",
        "effective_entry_date": "2026-01-15",
        "trace_prefix": "07100001",
    },
    "payroll.payment_entry": {
        "payee_kind": "employer_debit",
        "direction": "debit",
        "amount": 100,
        "settlement_date": "2026-01-15",
    },
    "payroll.gl_account_map": {
        "item_kind": "earning",
        "side": "debit",
        "account_number": "6000",
        "effective_from": "2020-01-01",
    },
    "payroll.journal_entry": {"accounting_date": "2026-01-15", "period_code": "2026-01"},
    "payroll.journal_line": {"line_no": count(1), "source_item": "earning:REG", "debit_amount": 1},
    "payroll.deposit_rule": {
        "effective_from": "2020-01-01",
        "next_day_over_amount": 100000,
        "lookback_over_amount": 50000,
        "penalty_tiers": '[{"from_day": 1, "percent": 2}, {"from_day": 6, "percent": 5},'
        ' {"from_day": 16, "percent": 10}]',
        "backup_withholding_rate": "0.24",
        "contractor_report_amount": 2000,
    },
    "payroll.tax_deposit": {"due_on": "2026-02-17", "amount": 100, "period_end": "2026-01-31"},
    "payroll.tax_liability": {
        "check_date": "2026-01-15",
        "liability_date": "2026-01-15",
        "employee_amount": 100,
        "due_on": "2026-02-17",
        "deposit_rule": "monthly",
    },
    "payroll.tax_filing": {
        "form_code": "941",
        "tax_year": 2026,
        "quarter_no": 1,
        "period_start": "2026-01-01",
        "period_end": "2026-03-31",
        "due_on": "2026-04-30",
    },
    "payroll.tax_filing_line": {"amount": 1},
    "payroll.tax_notice": {
        "notice_kind": "audit",
        "notice_date": "2026-05-01",
        "received_on": "2026-05-04",
    },
    "payroll.wage_statement": {"tax_year": 2025, "form_kind": "w2", "due_on": "2026-01-31"},
    "payroll.wage_statement_box": {"box_code": "14"},
}
