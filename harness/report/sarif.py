"""Findings as SARIF 2.1.0, which code scanning of GitHub, GitLab and Azure reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness import __version__
from harness.finding import Finding, Location, Severity
from harness.report.rules import RuleDescription

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVEL = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def render(findings: Sequence[Finding], rules: Sequence[RuleDescription]) -> str:
    """The document, indented, ending with a newline.

    Paths of files below the working directory are relative to %SRCROOT%. A fingerprint does not
    change when lines move, so that a finding keeps its identity over commits.
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
        "results": [_result(finding, index) for finding in findings],
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


def _result(finding: Finding, index: dict[str, int]) -> dict[str, Any]:
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
    }
    return result | ({"ruleIndex": index[finding.rule]} if finding.rule in index else {})


def _physical(location: Location) -> dict[str, Any]:
    path = Path(location.file)
    artifact = (
        {"uri": path.as_uri()}
        if path.is_absolute()
        else {"uri": quote(path.as_posix()), "uriBaseId": "%SRCROOT%"}
    )
    return {"artifactLocation": artifact, "region": {"startLine": location.line}}
