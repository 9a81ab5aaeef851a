"""Whatever id a finding may have, people find it described: on the page, in a list, in SARIF."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from checks.selection import known
from harness.cli.app import app_for
from harness.finding import Finding, Severity
from harness.report.failures import failures
from harness.run import Run, to_json
from tests.conftest import ROOT

_ID = re.compile(r'"([A-Z]{3}\d{3})"')


def test_every_id_that_the_code_spells_and_every_probe_is_on_the_page_of_the_rules() -> None:
    page = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^## (\w+)$|^\| \w+ \| ([\w.]+) \|", page, re.MULTILINE))
    assert {*_ids(), *known()} <= {id for pair in described for id in pair}


@pytest.mark.parametrize("id", ["SRC002", "GRW001", "RLC001"])
def test_what_is_no_module_of_the_rules_is_listed_with_them(id: str) -> None:
    listed = CliRunner().invoke(app_for(["rules"]), ["rules"]).stdout
    assert re.search(rf"^{id} +\w+ +\w", listed, re.MULTILINE)


@pytest.mark.parametrize(
    ("id", "again"),
    [
        ("SRC002", "harness check all --select SRC002"),
        ("GRW001", "harness load --growth --only rest.queue"),
        ("RLC001", "harness load --rls-cost --only rest.queue"),
    ],
)
def test_it_is_described_to_code_scanning_and_can_be_seen_again(
    id: str, again: str, held_run: Run, tmp_path: Path
) -> None:
    found = replace(held_run, findings=(Finding(id, Severity.WARNING, "rest.queue", "x", "y"),))
    assert [failure.reproduce for failure in failures(found)] == [again]
    path = tmp_path / "run.json"
    path.write_text(to_json(found))
    done = CliRunner().invoke(app_for(["report"]), ["report", str(path), "--format", "sarif"])
    (run,) = json.loads(done.stdout)["runs"]
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == id


def _ids() -> Iterator[str]:
    """What stands in quotes in the code and looks like the id of a rule."""
    for package in ("checks", "harness", "loadtests"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield from _ID.findall(path.read_text(encoding="utf-8"))
