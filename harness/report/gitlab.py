"""Findings as a code quality report of GitLab, which shows them in the merge request.

Source of the members: GitLab documentation, Code Quality, "Code Quality report format". GitLab
takes one issue of a fingerprint, so that a finding that occurs twice tells its occurrence.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

from harness.finding import Finding, Location, Severity
from harness.verdict import Verdict

_SEVERITY = {Severity.ERROR: "critical", Severity.WARNING: "major", Severity.INFO: "info"}


def render(verdict: Verdict) -> str:
    """The document, indented, ending with a newline; what was held back is not in it."""
    seen: Counter[str] = Counter()
    issues = []
    for finding in verdict.findings:
        issues.append(_issue(finding, seen[finding.fingerprint]))
        seen[finding.fingerprint] += 1
    return json.dumps(issues, indent=2, ensure_ascii=False) + "\n"


def _issue(finding: Finding, before: int) -> dict[str, Any]:
    """One issue; what only a database has stands in a file by its name below `database/`."""
    place = finding.location or Location(f"database/{finding.object}", 1)
    return {
        "description": f"{finding.rule}: {finding.message}",
        "check_name": finding.rule,
        "fingerprint": _nth(finding.fingerprint, before),
        "severity": _SEVERITY[finding.severity],
        "location": {"path": place.file, "lines": {"begin": place.line}},
    }


def _nth(fingerprint: str, before: int) -> str:
    if not before:
        return fingerprint
    return hashlib.sha256(f"{fingerprint} {before}".encode()).hexdigest()[:32]
