"""What probes told, as findings: one type for static, catalog and live checks."""

from __future__ import annotations

from collections.abc import Iterable

from checks.probe import registry
from harness.finding import Finding, Severity
from harness.run import ProbeResult

_UNPROVEN = "A probe that could not have failed, or could not be carried out, proves nothing."
_LISTED = 10
"""So many objects are named where many are only noted."""


def findings(results: Iterable[ProbeResult]) -> list[Finding]:
    """A finding per probe that did not hold, in the order of the results; then one per probe that
    noted something, of however many objects."""
    results = list(results)
    failed = [_finding(r) for r in results if r.verdict not in ("held", "noted")]
    noted: dict[str, list[ProbeResult]] = {}
    for result in results:
        if result.verdict == "noted":
            noted.setdefault(result.probe, []).append(result)
    return [*failed, *(_note(probe, found) for probe, found in noted.items())]


def _finding(result: ProbeResult) -> Finding:
    probe = registry()[result.probe]
    return Finding(
        rule=probe.rule,
        severity=Severity.WARNING if result.verdict == "weak" else Severity.ERROR,
        object=result.object,
        message=f"{result.object}: {result.verdict}: {result.detail}",
        why=probe.why if result.verdict in ("leak", "weak") else _UNPROVEN,
        identity=f"{result.probe}: {result.verdict}",
    )


def _note(name: str, found: list[ProbeResult]) -> Finding:
    probe, (first, *rest) = registry()[name], found
    message = f"{first.object}: {first.detail}"
    if rest:
        listed = "; ".join(f"{result.object}: {result.detail}" for result in found[:_LISTED])
        more = f"; and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        message = f"{len(found)} noted: {listed}{more}"
    objects = ", ".join(sorted(result.object for result in found))
    return Finding(
        rule=probe.rule,
        severity=Severity.INFO,
        object=first.object,
        message=message,
        why=probe.why,
        identity=f"{name}: noted of {objects}",
    )
