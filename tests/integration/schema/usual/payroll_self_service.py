"""What a row of self service, reports and duties usually holds."""

USUAL = {
    "payroll.profile_change_request": {
        "change_kind": "phone",
        "new_values": '{"mobile_phone": "+13125550100"}',
    },
    "payroll.onboarding_task": {"task_code": "handbook"},
    "payroll.delivery_consent": {"consented_at": "2026-01-02 10:00+00"},
    "payroll.employee_document": {
        "document_kind": "policy",
        "published_at": "2026-01-02 10:00+00",
    },
    "payroll.pay_inquiry": {
        "inquiry_number": "PI-2025-{n}",
        "opened_at": "2026-01-02 10:00+00",
    },
    "payroll.self_service_event": {"action": "login"},
    "payroll.headcount_snapshot": {"snapshot_month": "2026-05-01", "headcount": 4, "fte": 4},
    "payroll.pay_variance": {"current_value": 900, "expected_value": 600},
    "payroll.report_definition": {"definition": '{"columns": ["net"]}'},
    "payroll.compliance_deadline": {"duty_code": "DUTY-{n}", "due_on": "2026-05-20"},
}
