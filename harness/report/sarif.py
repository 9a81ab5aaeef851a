"""Findings as SARIF 2.1.0, which code scanning of GitHub, GitLab and Azure reads."""

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
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [
            *(_result(f, index, []) for f in verdict.findings),
            *(_result(s.finding, index, [_suppression(s)]) for s in verdict.suppressed),
        ],
    }
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


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
    location: dict[str, Any] = {
        "logicalLocations": [{"fullyQualifiedName": finding.object, "kind": "resource"}]
    }
    if finding.location is not None:
        location["physicalLocation"] = _physical(finding.location)
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
