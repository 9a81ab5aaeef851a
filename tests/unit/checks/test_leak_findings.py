"""What probes told becomes findings: how grave each is, under which name, and notes together."""

from __future__ import annotations

from typing import get_args

import pytest

from checks.leak_findings import findings
from checks.probe import registry
from harness.finding import Severity
from harness.run import ProbeResult, ProbeVerdict

GRAVE = {
    "leak": Severity.ERROR,
    "vacuous": Severity.ERROR,
    "error": Severity.ERROR,
    "weak": Severity.WARNING,
    "noted": Severity.INFO,
}


LEAKS: tuple[tuple[ProbeVerdict, str], ...] = (
    ("leak", "read 1 row"),
    ("leak", "read 7 rows"),
    ("vacuous", "no row"),
)


@pytest.mark.parametrize("verdict", get_args(ProbeVerdict))
def test_a_verdict_has_a_severity(verdict: ProbeVerdict) -> None:
    found = findings([ProbeResult("a.b", "select", verdict, "so")])
    assert [finding.severity for finding in found] == [GRAVE[v] for v in [verdict] if v in GRAVE]


def test_a_probe_that_judges_a_rule_is_told_by_its_name() -> None:
    results = [ProbeResult("a.b", "index_use", "weak"), ProbeResult("a.b", "select", "leak")]
    assert [finding.rule for finding in findings(results)] == ["PRF004", "isolation.select"]


def test_what_many_objects_have_in_common_is_noted_once() -> None:
    results = [ProbeResult(f"a.f{n}()", "function", "noted", "gave nothing") for n in range(30)]
    (finding,) = findings(results)
    assert finding.message.startswith("30 noted: a.f0(): gave nothing; a.f1()")
    assert finding.message.endswith("; and 20 more")


def test_a_probe_finding_is_the_same_whatever_was_counted() -> None:
    few, many, other = (
        findings([ProbeResult("a.b", "select", verdict, detail)])[0].fingerprint
        for verdict, detail in LEAKS
    )
    assert few == many != other


def test_a_note_is_another_when_it_is_of_other_objects() -> None:
    def noted(*names: str) -> str:
        results = [ProbeResult(name, "size", "noted", f"{len(names)} rows") for name in names]
        return findings(results)[0].fingerprint

    assert noted("a.b", "a.c") != noted("a.b")


def test_every_probe_explains_itself_and_attempts_or_surveys() -> None:
    for name, probe in registry().items():
        assert probe.title, name
        ways = (probe.attempt, probe.survey, probe.survey_cluster)
        assert sum(way is not None for way in ways) == 1, name
