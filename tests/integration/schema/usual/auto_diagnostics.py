"""What a row of diagnostics and inspections usually holds."""

USUAL = {
    "auto.scan_tool": {"tool_kind": "multi_brand", "serial_number": "SN-{n}"},
    "auto.diagnostic_session": {"session_kind": "diagnosis"},
    "auto.session_module": {"module_address": "7E8", "responded": True},
    "auto.dtc_definition": {
        "dtc_code": "P0420",
        "authority": "sae_generic",
        "description": "Catalyst System Efficiency Below Threshold (Bank 1)",
        "default_severity": "service_soon",
    },
    "auto.detected_dtc": {"dtc_code": "P0420", "severity": "service_soon"},
    "auto.module_programming": {
        "programming_kind": "variant_coding",
        "result": "success",
        "started_at": "2026-05-04 10:00+00",
        "ended_at": "2026-05-04 10:25+00",
    },
    "auto.inspection_result": {"condition": "green"},
    "auto.inspection": {"inspection_number": "MPI-{n}"},
}
