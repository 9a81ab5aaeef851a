"""What findings are rendered as: text, JSON, SARIF, JUnit, GitHub annotations."""

from __future__ import annotations

import json as json_module
from collections import Counter
from dataclasses import replace
from xml.etree import ElementTree

import jsonschema
import pytest

from checks.probe import own_rules
from checks.rules import registry
from harness.finding import Finding, Location, Severity, Suppressed
from harness.report import github, gitlab, json, junit, markdown, prometheus_check, sarif, text
from harness.verdict import Verdict
from tests.conftest import ROOT

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
VERDICT = Verdict(tuple(FINDINGS))
ACCEPTED = Verdict(
    suppressed=(Suppressed(LEAK, "inSource", "a list"), Suppressed(NOWHERE, "external", "")),
    notes=("2 entries are gone",),
)


def test_text_says_the_verdict_first() -> None:
    lines = text.render(VERDICT, "84 tables by 43 rules").splitlines()
    assert lines[0] == "FAILED 3 errors, 1 warning in 84 tables by 43 rules"
    assert lines[2:4] == [
        "schema/my, auto/10_bay.sql",
        "   12  error    RLS001  row level security of auto.bay is not enabled: 100 %",
    ]
    assert lines.count(" " * 16 + "ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY;") == 3


def test_text_gives_a_reason_once() -> None:
    assert text.render(Verdict((LEAK, LEAK))).count(LEAK.why) == 1


@pytest.mark.parametrize(
    ("findings", "line"),
    [
        ([], "HELD nothing found"),
        ([replace(LEAK, severity=Severity.INFO)], "HELD 1 to be known"),
        ([WARNING], "FAILED 1 warning"),
    ],
)
def test_only_what_is_worth_knowing_does_not_fail(findings: list[Finding], line: str) -> None:
    assert text.render(Verdict(tuple(findings))).splitlines()[0] == line


def test_text_is_colored_only_where_asked() -> None:
    assert "\x1b[" in text.render(VERDICT, color=True)
    assert "\x1b[" not in text.render(VERDICT)


def test_text_does_not_take_sql_for_markup() -> None:
    array = replace(LEAK, message="integer[/] is [bold] here")
    assert "integer[/] is [bold] here" in text.render(Verdict((array,)))


def test_json_is_a_versioned_list() -> None:
    document = json_module.loads(json.render(VERDICT))
    assert document["format"] == 1
    first = document["findings"][0]
    assert first["severity"] == "error"
    assert first["location"] == {"file": "schema/my, auto/10_bay.sql", "line": 12}
    assert first["fingerprint"] == LEAK.fingerprint
    assert document["findings"][3]["location"] is None


def test_github_escapes_what_its_commands_are_made_of() -> None:
    first = github.render(Verdict((LEAK,))).splitlines()[0]
    assert first == (
        "::error file=schema/my%2C auto/10_bay.sql,line=12,title=RLS001 auto.bay"
        "::row level security of auto.bay is not enabled: 100 %25%0AEvery tenant sees every row."
        "%0AALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY;%0A-- and force it"
    )


@pytest.mark.parametrize("notices", [0, 3, 12])
def test_github_counts_what_it_does_not_show(notices: int) -> None:
    info = replace(LEAK, severity=Severity.INFO)
    found = (*[LEAK] * 12, *[WARNING] * 3, *[info] * notices)
    lines = github.render(Verdict(found)).splitlines()
    assert "2 more of 12 findings of severity error" in lines[0]
    assert ("2 more of 12 findings of severity info" in lines[0]) is (notices == 12)
    kinds = Counter(line.split(" ", 1)[0] for line in lines)
    assert kinds == {"::error": 10, "::warning": 3, "::notice": min(10, notices + 1)}


def test_github_says_what_was_held_back() -> None:
    assert github.render(ACCEPTED).splitlines()[0] == (
        "::notice title=harness::1 finding allowed beside the statement%0A"
        "1 finding held back by the baseline%0A2 entries are gone"
    )
    assert github.render(Verdict()) == ""


def test_text_says_what_was_held_back() -> None:
    assert text.render(ACCEPTED).splitlines()[:4] == [
        "HELD nothing found",
        "1 finding allowed beside the statement",
        "1 finding held back by the baseline",
        "2 entries are gone",
    ]


def test_json_follows_its_published_schema() -> None:
    schema = json_module.loads((ROOT / "harness/report/findings.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for verdict in (VERDICT, ACCEPTED, Verdict()):
        document = json_module.loads(json.render(verdict))
        jsonschema.validate(document, schema)
    assert schema["properties"]["format"]["const"] == json.FORMAT
    assert set(schema["$defs"]["finding"]["required"]) == set(document_of(LEAK))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"format": 1, "findings": []}, schema)


def document_of(finding: Finding) -> dict[str, object]:
    (found,) = json_module.loads(json.render(Verdict((finding,))))["findings"]
    return dict(found)


def test_json_has_what_was_held_back_beside_the_findings() -> None:
    document = json_module.loads(json.render(ACCEPTED))
    assert (document["failed"], document["findings"]) == (False, [])
    assert [s["suppression"] for s in document["suppressed"]] == [
        {"kind": "inSource", "reason": "a list"},
        {"kind": "external", "reason": ""},
    ]


def test_junit_has_a_case_per_rule_and_object_and_one_per_rule_that_held() -> None:
    suite = ElementTree.fromstring(junit.render(VERDICT, registry())).find("testsuite")  # noqa: S314
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


def test_junit_skips_what_was_held_back() -> None:
    suite = ElementTree.fromstring(junit.render(ACCEPTED, registry())).find("testsuite")  # noqa: S314
    assert suite is not None
    skipped = [(case, case.find("skipped")) for case in suite]
    assert [(c.get("classname"), s.get("message")) for c, s in skipped if s is not None] == [
        ("RLS001", "a list"),
        ("TEN006", "in the baseline"),
    ]
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "2")


def test_junit_fails_what_fails_the_check() -> None:
    lenient = replace(VERDICT, fail_on="error")
    suite = ElementTree.fromstring(junit.render(lenient, registry())).find("testsuite")  # noqa: S314
    assert suite is not None
    assert {c.get("classname") for c in suite if c.find("failure") is not None} == {
        "RLS001",
        "TEN006",
    }


def test_sarif_has_what_code_scanning_asks_for() -> None:
    document = json_module.loads(sarif.render(VERDICT, registry()))
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
    results = json_module.loads(sarif.render(VERDICT, ()))["runs"][0]["results"]
    below, outside, nowhere = (result["locations"][0] for result in results[:3])
    assert below["physicalLocation"] == {
        "artifactLocation": {"uri": "schema/my%2C%20auto/10_bay.sql", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 12},
    }
    assert outside["physicalLocation"]["artifactLocation"] == {"uri": "file:///abs/20%20x.sql"}
    assert nowhere["physicalLocation"] == {
        "artifactLocation": {"uri": "database/auto.make", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 1},
    }, "GitHub refuses a file with a result that has no place"


SARIF_SHAPE = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {"type": "array", "items": {"$ref": "#/$defs/run"}},
    },
    "$defs": {
        "text": {
            "type": "object",
            "required": ["text"],
            "properties": {"text": {"type": "string", "minLength": 1}},
            "additionalProperties": False,
        },
        "run": {
            "required": ["tool", "results"],
            "properties": {
                "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                "invocations": {"type": "array", "items": {"$ref": "#/$defs/invocation"}},
                "tool": {
                    "required": ["driver"],
                    "properties": {"driver": {"$ref": "#/$defs/driver"}},
                },
                "results": {"type": "array", "items": {"$ref": "#/$defs/result"}},
            },
            "additionalProperties": False,
        },
        "driver": {
            "required": ["name"],
            "properties": {
                "rules": {
                    "uniqueItems": True,
                    "items": {
                        "required": ["id"],
                        "properties": {
                            "id": {"type": "string"},
                            "name": {"type": "string"},
                            "shortDescription": {"$ref": "#/$defs/text"},
                            "fullDescription": {"$ref": "#/$defs/text"},
                            "help": {"$ref": "#/$defs/text"},
                            "defaultConfiguration": {
                                "properties": {"level": {"$ref": "#/$defs/level"}},
                                "additionalProperties": False,
                            },
                        },
                        "additionalProperties": False,
                    },
                },
            },
        },
        "invocation": {
            "required": ["executionSuccessful"],
            "properties": {
                "executionSuccessful": {"type": "boolean"},
                "toolExecutionNotifications": {
                    "type": "array",
                    "items": {
                        "required": ["message"],
                        "properties": {
                            "level": {"$ref": "#/$defs/level"},
                            "message": {"$ref": "#/$defs/text"},
                        },
                        "additionalProperties": False,
                    },
                },
            },
            "additionalProperties": False,
        },
        "level": {"enum": ["none", "note", "warning", "error"]},
        "result": {
            "required": ["message", "ruleId", "locations", "partialFingerprints", "suppressions"],
            "properties": {
                "ruleId": {"type": "string"},
                "ruleIndex": {"type": "integer", "minimum": -1},
                "level": {"$ref": "#/$defs/level"},
                "message": {"$ref": "#/$defs/text"},
                "partialFingerprints": {"additionalProperties": {"type": "string"}},
                "locations": {"type": "array", "items": {"$ref": "#/$defs/location"}},
                "suppressions": {
                    "type": "array",
                    "items": {
                        "required": ["kind"],
                        "properties": {
                            "kind": {"enum": ["inSource", "external"]},
                            "justification": {"type": "string", "minLength": 1},
                        },
                        "additionalProperties": False,
                    },
                },
            },
            "additionalProperties": False,
        },
        "location": {
            "properties": {
                "physicalLocation": {
                    "required": ["artifactLocation"],
                    "properties": {
                        "artifactLocation": {
                            "required": ["uri"],
                            "properties": {
                                "uri": {"type": "string", "pattern": "^[^ ]+$"},
                                "uriBaseId": {"type": "string"},
                            },
                            "additionalProperties": False,
                        },
                        "region": {
                            "required": ["startLine"],
                            "properties": {"startLine": {"type": "integer", "minimum": 1}},
                            "additionalProperties": False,
                        },
                    },
                    "additionalProperties": False,
                },
                "logicalLocations": {
                    "type": "array",
                    "items": {
                        "properties": {
                            "fullyQualifiedName": {"type": "string"},
                            "kind": {"enum": ["resource"]},
                        },
                        "additionalProperties": False,
                    },
                },
            },
            "additionalProperties": False,
        },
    },
}
"""The members of SARIF 2.1.0 that we write, as the standard describes them."""


@pytest.mark.parametrize("verdict", [VERDICT, ACCEPTED, Verdict()])
def test_sarif_has_the_shape_of_the_standard(verdict: Verdict) -> None:
    jsonschema.validate(json_module.loads(sarif.render(verdict, registry())), SARIF_SHAPE)


def test_sarif_says_of_each_result_whether_it_was_held_back() -> None:
    both = replace(ACCEPTED, findings=(WARNING,))
    (run,) = json_module.loads(sarif.render(both, registry()))["runs"]
    assert [(r["ruleId"], r["suppressions"]) for r in run["results"]] == [
        ("DOC001", []),
        ("RLS001", [{"kind": "inSource", "justification": "a list"}]),
        ("TEN006", [{"kind": "external"}]),
    ]


def test_sarif_keeps_the_worst_where_github_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif, "RESULTS", 3)
    document = json_module.loads(sarif.render(VERDICT, registry()))
    jsonschema.validate(document, SARIF_SHAPE)
    (run,) = document["runs"]
    assert [result["level"] for result in run["results"]] == ["error"] * 3
    (told,) = run["invocations"][0]["toolExecutionNotifications"]
    assert told["message"]["text"] == "1 of 4 results are left out, the least severe"


def test_sarif_describes_the_probes_that_are_rules_of_their_own() -> None:
    described = [*registry(), *own_rules()]
    leak = replace(NOWHERE, rule="isolation.select")
    (run,) = json_module.loads(sarif.render(Verdict((leak,)), described))["runs"]
    (result,) = run["results"]
    rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert (rule["id"], rule["name"]) == ("isolation.select", "Select")
    assert rule["shortDescription"]["text"].startswith("Reading: a tenant asks for everything")
    jsonschema.validate(run, {"$ref": "#/$defs/run", "$defs": SARIF_SHAPE["$defs"]})


CODE_QUALITY = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "minLength": 1},
                    "lines": {
                        "required": ["begin"],
                        "properties": {"begin": {"type": "integer", "minimum": 1}},
                    },
                },
            },
        },
    },
}
"""The members that GitLab's documentation of code quality reports asks for."""


def test_gitlab_has_an_issue_for_each_finding_and_a_fingerprint_for_each_issue() -> None:
    issues = json_module.loads(gitlab.render(VERDICT))
    jsonschema.validate(issues, CODE_QUALITY)
    assert [issue["severity"] for issue in issues] == ["critical", "major", "critical", "critical"]
    assert issues[3]["location"] == {"path": "database/auto.make", "lines": {"begin": 1}}
    assert len({issue["fingerprint"] for issue in issues}) == len(issues), "GitLab drops the rest"
    assert issues[0]["fingerprint"] == LEAK.fingerprint


def test_markdown_has_the_worst_first_and_takes_nothing_for_markup() -> None:
    odd = replace(WARNING, message="a | b `c` <d> @e\nf")
    lines = markdown.render(Verdict((odd, LEAK)), "84 tables").splitlines()
    assert lines[0] == "## ✗ Failed: 1 error, 1 warning in 84 tables"
    rows = [line for line in lines if line.startswith("| ") and "(" in line]
    assert [row.split(" ")[1] for row in rows] == ["RLS001", "DOC001"]
    assert "a \\| b \\`c\\` \\<d> &#64;e f" in rows[1]


def test_markdown_is_never_longer_than_github_takes() -> None:
    huge = replace(LEAK, message="ä*" * 5000, object="a." + "ö" * 900, location=None)
    text_of = markdown.render(Verdict((huge,) * 5000))
    assert len(text_of.encode()) < 2**20
    assert "… and 4,000 more" in text_of or "too long" in text_of
    assert "✗ Failed: 5000 errors" in text_of


def test_prometheus_counts_findings_by_rule_severity_and_schema() -> None:
    role = replace(NOWHERE, rule="PRV005", object="app_user")
    file = replace(WARNING, rule="SRC007", object="x.sql", location=Location("x.sql", 1))
    found = (*FINDINGS, role, file, replace(LEAK, object="rest.f(integer, text)"))
    lines = prometheus_check.textfile(Verdict(found), 84, {"proven": 12, "leak": 0}).splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert samples == [
        "harness_check_held 0.0",
        'harness_check_findings{rule="DOC001",schema="auto",severity="warning"} 1.0',
        'harness_check_findings{rule="PRV005",schema="",severity="error"} 1.0',
        'harness_check_findings{rule="RLS001",schema="auto",severity="error"} 2.0',
        'harness_check_findings{rule="RLS001",schema="rest",severity="error"} 1.0',
        'harness_check_findings{rule="SRC007",schema="",severity="warning"} 1.0',
        'harness_check_findings{rule="TEN006",schema="auto",severity="error"} 1.0',
        "harness_check_tables 84.0",
        'harness_check_policy_cells{verdict="leak"} 0.0',
        'harness_check_policy_cells{verdict="proven"} 12.0',
    ]


def test_prometheus_counts_what_was_held_back() -> None:
    text_of = prometheus_check.textfile(ACCEPTED, 1, {})
    assert 'harness_check_suppressed{kind="inSource",rule="RLS001"} 1.0' in text_of
    assert "harness_check_held 1.0" in text_of
