"""Findings for programs: a list in an envelope that carries its version."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.finding import Finding

FORMAT = 1
"""Rises when a field changes its meaning or goes away."""


def render(findings: Sequence[Finding]) -> str:
    """The document, indented, ending with a newline."""
    document = {"format": FORMAT, "findings": [_finding(finding) for finding in findings]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _finding(finding: Finding) -> dict[str, Any]:
    return asdict(finding) | {"fingerprint": finding.fingerprint}
