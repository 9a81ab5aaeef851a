"""Findings as JUnit XML: a failed case per rule and object, a skipped one per finding that was held
back, a passed one per rule that held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from harness.finding import Finding, Suppressed
from harness.report.rules import RuleDescription
from harness.verdict import Verdict


def render(verdict: Verdict, rules: Sequence[RuleDescription]) -> str:
    """The XML document as text; only findings that fail the check fail their rule, and what was
    held back is skipped."""
    suite = TestSuite("check")
    suite.add_testcases(
        [
            *_failed(verdict.failing),
            *map(_skipped, verdict.suppressed),
            *_passed(verdict.failing, rules),
        ]
    )
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


def _skipped(suppressed: Suppressed) -> TestCase:
    case = TestCase(suppressed.finding.object, suppressed.finding.rule)
    case.result = [Skipped(suppressed.reason or "in the baseline")]
    return case


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
