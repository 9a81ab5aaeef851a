"""Findings for programs: lists in an envelope that carries its version."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from harness.finding import Finding, Suppressed
from harness.verdict import Verdict

FORMAT = 1
"""Rises when a field changes its meaning or goes away."""


def render(verdict: Verdict) -> str:
    """The document, indented, ending with a newline; findings.schema.json describes it."""
    document = {
        "format": FORMAT,
        "failed": verdict.failed,
        "fail_on": verdict.fail_on,
        "findings": [_finding(finding) for finding in verdict.findings],
        "suppressed": [_suppressed(suppressed) for suppressed in verdict.suppressed],
        "notes": verdict.notes,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _suppressed(suppressed: Suppressed) -> dict[str, Any]:
    told = {"kind": suppressed.kind, "reason": suppressed.reason}
    return _finding(suppressed.finding) | {"suppression": told}


def _finding(finding: Finding) -> dict[str, Any]:
    return asdict(finding) | {"fingerprint": finding.fingerprint}
