"""Which findings count, and how much: rules selected and ignored, and severities of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from checks import drift, probe
from checks.rules import registry
from harness.config import Checks
from harness.errors import UsageError
from harness.finding import Finding, Severity


@cache
def known() -> frozenset[str]:
    """The ids that findings may have: of rules, of the comparison with a database, of probes."""
    probed = {each.rule for each in probe.registry().values()}
    return frozenset({rule.id for rule in registry()} | {drift.RULE} | probed)


def require_known(checks: Checks) -> None:
    """UsageError for whatever names no rule."""
    for name in (*checks.select, *checks.ignore, *checks.severity):
        if not name or not any(_is_named(rule, name) for rule in known()):
            message = f"{name or 'an empty name'} is no rule, and none begins so"
            raise UsageError(f"{message}: harness rules lists them")


def selected(findings: Iterable[Finding], checks: Checks) -> tuple[Finding, ...]:
    """The findings that are looked at, with the severities that the settings give them."""
    return tuple(_weighed(f, checks) for f in findings if is_selected(f.rule, checks))


def is_selected(rule: str, checks: Checks) -> bool:
    """Whether a rule is looked at: ignoring wins over selecting."""
    chosen = not checks.select or any(_is_named(rule, name) for name in checks.select)
    return chosen and not any(_is_named(rule, name) for name in checks.ignore)


def _weighed(finding: Finding, checks: Checks) -> Finding:
    """The longest name that fits says the severity."""
    names = [name for name in checks.severity if _is_named(finding.rule, name)]
    if not names:
        return finding
    return replace(finding, severity=Severity(checks.severity[max(names, key=len)]))


def _is_named(rule: str, name: str) -> bool:
    return rule.lower().startswith(name.lower())
