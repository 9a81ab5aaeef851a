"""What findings are rendered as: text, JSON, SARIF, JUnit, GitHub annotations."""

from __future__ import annotations

import json as json_module
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from checks.rules import registry
from harness.finding import Finding, Location, Severity
from harness.report import github, json, junit, sarif, text

LEAK = Finding(
    "RLS001",
    Severity.ERROR,
    "auto.bay",
    "row level security of auto.bay is not enabled: 100 %",
    "Every tenant sees every row.",
    "ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY;\n-- and force it",
    Location("schema/my, auto/10_bay.sql", 12),
)
WARNING = replace(LEAK, rule="DOC001", severity=Severity.WARNING, message="no comment", fix="")
NOWHERE = replace(LEAK, rule="TEN006", object="auto.make", message="not there", location=None)
FINDINGS = [LEAK, WARNING, replace(LEAK, location=Location("/abs/20 x.sql", 3)), NOWHERE]


def test_text_says_the_verdict_first() -> None:
    lines = text.render(FINDINGS, "84 tables by 43 rules").splitlines()
    assert lines[0] == "FAILED 3 errors, 1 warning in 84 tables by 43 rules"
    assert lines[2:4] == [
        "schema/my, auto/10_bay.sql",
        "   12  error    RLS001  row level security of auto.bay is not enabled: 100 %",
    ]
    assert lines.count(" " * 16 + "ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY;") == 3


def test_text_gives_a_reason_once() -> None:
    assert text.render([LEAK, LEAK]).count(LEAK.why) == 1


@pytest.mark.parametrize(
    ("findings", "line"),
    [
        ([], "HELD nothing found"),
        ([replace(LEAK, severity=Severity.INFO)], "HELD 1 to be known"),
        ([WARNING], "FAILED 1 warning"),
    ],
)
def test_only_what_is_worth_knowing_does_not_fail(findings: list[Finding], line: str) -> None:
    assert text.render(findings).splitlines()[0] == line


def test_text_is_colored_only_where_asked() -> None:
    assert "\x1b[" in text.render(FINDINGS, color=True)
    assert "\x1b[" not in text.render(FINDINGS)


def test_text_does_not_take_sql_for_markup() -> None:
    array = replace(LEAK, message="integer[/] is [bold] here")
    assert "integer[/] is [bold] here" in text.render([array])


def test_json_is_a_versioned_list() -> None:
    document = json_module.loads(json.render(FINDINGS))
    assert document["format"] == 1
    first = document["findings"][0]
    assert first["severity"] == "error"
    assert first["location"] == {"file": "schema/my, auto/10_bay.sql", "line": 12}
    assert first["fingerprint"] == LEAK.fingerprint
    assert document["findings"][3]["location"] is None


def test_github_escapes_what_its_commands_are_made_of() -> None:
    first = github.render([LEAK]).splitlines()[0]
    assert first == (
        "::error file=schema/my%2C auto/10_bay.sql,line=12,title=RLS001 auto.bay"
        "::row level security of auto.bay is not enabled: 100 %25%0AEvery tenant sees every row."
        "%0AALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY;%0A-- and force it"
    )


def test_github_counts_what_it_does_not_show() -> None:
    lines = github.render([LEAK] * 12 + [WARNING] * 3).splitlines()
    assert [line.split(" ", 1)[0] for line in lines] == (
        ["::error"] * 10 + ["::warning"] * 3 + ["::notice"]
    )
    assert "15 findings, of which GitHub shows 13" in lines[-1]


def test_junit_has_a_case_per_rule_and_object_and_one_per_rule_that_held() -> None:
    suite = ElementTree.fromstring(junit.render(FINDINGS, registry())).find("testsuite")  # noqa: S314
    assert suite is not None
    failed = [case for case in suite if case.find("failure") is not None]
    passed = [case for case in suite if case.find("failure") is None]
    assert [(case.get("classname"), case.get("name")) for case in failed] == [
        ("RLS001", "auto.bay"),
        ("DOC001", "auto.bay"),
        ("TEN006", "auto.make"),
    ]
    assert len(failed[0].findall("failure")) == 2
    assert len(passed) == len(registry()) - 3
    assert suite.get("failures") == "4"


def test_sarif_has_what_code_scanning_asks_for() -> None:
    document = json_module.loads(sarif.render(FINDINGS, registry()))
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [rule.id for rule in registry()]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        assert result["partialFingerprints"]
        assert result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"]


def test_sarif_paths_are_relative_uris() -> None:
    results = json_module.loads(sarif.render(FINDINGS, ()))["runs"][0]["results"]
    below, outside, nowhere = (results[position]["locations"][0] for position in (0, 2, 3))
    assert below["physicalLocation"] == {
        "artifactLocation": {"uri": "schema/my%2C%20auto/10_bay.sql", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 12},
    }
    assert outside["physicalLocation"]["artifactLocation"] == {"uri": "file:///abs/20%20x.sql"}
    assert "physicalLocation" not in nowhere
