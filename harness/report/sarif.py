"""Findings as SARIF 2.1.0, which code scanning of GitHub, GitLab and Azure reads.

GitHub refuses a file in which one result has no place in a file (codeql-action issue 1738), or
with more than 25,000 results, and shows 5,000 of a run: what only a database has stands in a
file by its name below `database/`, and the worst come first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness import __version__
from harness.finding import Finding, Location, Severity, Suppressed
from harness.report.rules import RuleDescription
from harness.verdict import Verdict

RESULTS = 25_000
"""So many results of a run GitHub takes."""
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVEL = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def render(verdict: Verdict, rules: Sequence[RuleDescription]) -> str:
    """The document, indented, ending with a newline.

    Paths of files below the working directory are relative to %SRCROOT%. A fingerprint does not
    change when lines move, so that a finding keeps its identity over commits. A finding that was
    held back is a result with its suppression, and each other one says that it has none.
    """
    index = {rule.id: position for position, rule in enumerate(rules)}
    driver = {
        "name": "harness",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [_rule(rule) for rule in rules],
    }
    results = [
        *(_result(f, index, []) for f in sorted(verdict.findings, key=_rank)),
        *(_result(s.finding, index, [_suppression(s)]) for s in verdict.suppressed),
    ]
    run = {
        "tool": {"driver": driver},
        "invocations": [_invocation(len(results))],
        "columnKind": "unicodeCodePoints",
        "results": results[:RESULTS],
    }
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _rank(finding: Finding) -> int:
    return list(Severity).index(finding.severity)


def _invocation(results: int) -> dict[str, Any]:
    """That the check came to its end, and how many results are left out."""
    invocation: dict[str, Any] = {"executionSuccessful": True}
    if results > RESULTS:
        text = f"{results - RESULTS} of {results} results are left out, the least severe"
        told = {"level": "warning", "message": {"text": text}}
        invocation["toolExecutionNotifications"] = [told]
    return invocation


def _rule(rule: RuleDescription) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.name.split("_")),
        "shortDescription": {"text": f"{rule.title}."},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.why},
        "defaultConfiguration": {"level": _LEVEL[rule.severity]},
    }


def _result(
    finding: Finding, index: dict[str, int], suppressions: list[dict[str, str]]
) -> dict[str, Any]:
    text = f"{finding.message}\n\n{finding.fix}" if finding.fix else finding.message
    place = finding.location or Location(f"database/{finding.object}", 1)
    location: dict[str, Any] = {
        "logicalLocations": [{"fullyQualifiedName": finding.object, "kind": "resource"}],
        "physicalLocation": _physical(place),
    }
    result = {
        "ruleId": finding.rule,
        "level": _LEVEL[finding.severity],
        "message": {"text": text},
        "locations": [location],
        "partialFingerprints": {"harnessFinding/v1": finding.fingerprint},
        "suppressions": suppressions,
    }
    return result | ({"ruleIndex": index[finding.rule]} if finding.rule in index else {})


def _suppression(suppressed: Suppressed) -> dict[str, str]:
    said: dict[str, str] = {"kind": suppressed.kind}
    return said | ({"justification": suppressed.reason} if suppressed.reason else {})


def _physical(location: Location) -> dict[str, Any]:
    path = Path(location.file)
    artifact = (
        {"uri": path.as_uri()}
        if path.is_absolute()
        else {"uri": quote(path.as_posix()), "uriBaseId": "%SRCROOT%"}
    )
    return {"artifactLocation": artifact, "region": {"startLine": location.line}}
