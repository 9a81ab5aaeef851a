"""Probes that did not hold, as findings: one type for static, catalog and live checks."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable

from harness.finding import Finding, Severity
from harness.run import ProbeResult

_RELATIONS = {
    "partitions": "A partition is reached by its own name, past the policy of its parent.",
    "view": "A view runs with its owner's rights unless it is told otherwise; a materialized "
    "view holds the rows of all tenants.",
}
_UNPROVEN = "A probe that could not have failed, or could not be carried out, proves nothing."


def findings(results: Iterable[ProbeResult]) -> list[Finding]:
    """A finding per probe that leaked or proved nothing, in the order of the results."""
    return [_finding(result) for result in results if result.verdict != "held"]


def _finding(result: ProbeResult) -> Finding:
    leaked = result.verdict == "leak"
    return Finding(
        rule=f"isolation.{result.probe}",
        severity=Severity.ERROR,
        object=result.object,
        message=f"{result.object}: {result.verdict}: {result.detail}",
        why=_reason(result.probe) if leaked else _UNPROVEN,
    )


def _reason(probe: str) -> str:
    if probe in _RELATIONS:
        return _RELATIONS[probe]
    return inspect.cleandoc(importlib.import_module(f"checks.probes.{probe}").__doc__ or "")
