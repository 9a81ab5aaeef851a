"""Findings as JUnit XML: a failed case per rule and object, a passed one per rule that held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from junitparser import Failure, JUnitXml, TestCase, TestSuite

from harness.finding import Finding, Severity
from harness.report.rules import RuleDescription


def render(findings: Sequence[Finding], rules: Sequence[RuleDescription]) -> str:
    """The XML document as text; findings of severity info do not fail their rule."""
    failing = [finding for finding in findings if finding.severity is not Severity.INFO]
    suite = TestSuite("static")
    suite.add_testcases([*_failed(failing), *_passed(failing, rules)])
    xml = JUnitXml("harness")
    xml.add_testsuite(suite)
    xml.update_statistics()
    text = xml.tostring()
    return (text.decode() if isinstance(text, bytes) else text) + "\n"


def _failed(findings: Sequence[Finding]) -> Iterator[TestCase]:
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.rule, finding.object), []).append(finding)
    for (rule, thing), group in groups.items():
        case = TestCase(thing, rule)
        case.result = [_failure(finding) for finding in group]
        yield case


def _passed(findings: Sequence[Finding], rules: Sequence[RuleDescription]) -> Iterator[TestCase]:
    broken = {finding.rule for finding in findings}
    for rule in rules:
        if rule.id not in broken:
            yield TestCase(rule.title, rule.id)


def _failure(finding: Finding) -> Failure:
    failure = Failure(finding.message, finding.severity.value)
    place = f"{finding.location}: " if finding.location else ""
    failure.text = "\n".join(
        part for part in (f"{place}{finding.message}", finding.why, finding.fix) if part
    )
    return failure
