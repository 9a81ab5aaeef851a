"""A run as GitHub shows it: a summary and annotations, within what it takes."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from harness.cli.app import app_for
from harness.report import github_run, markdown_run
from harness.report.failures import failures
from harness.run import ProbeResult, Run, to_json
from tests.unit.conftest import query_result


def test_the_summary_says_the_verdict_first_and_how_to_see_it_again(failed_run: Run) -> None:
    text = markdown_run.render(failed_run)
    assert text.startswith("## ✗ Failed: harness run\n")
    assert "| ✓ | deploy | 2 tables, 5 indexes" in text
    assert "| leak | rest.tip, select | read 7 rows | `harness check isolation --table" in text
    assert "`harness load --only 'rest.<slow>'`" in text
    assert "| `rest.station_queue` | ✓ PASS | p95 40 | 0.5 | 0.9 | 1.0 | 100 |" in text


def test_the_summary_of_a_held_run_names_what_is_nearest_to_its_budget(held_run: Run) -> None:
    assert held_run.load
    queries = tuple(query_result(f"rest.q{n}", budget_ms=n + 1) for n in range(30))
    text = markdown_run.render(replace(held_run, load=replace(held_run.load, queries=queries)))
    assert text.startswith("## ✓ Held: harness run\n")
    assert "What did not hold" not in text
    assert "`rest.q0`" in text
    assert "`rest.q29`" not in text
    assert "20 more held theirs with more to spare." in text


def test_the_summary_is_never_longer_than_github_takes(held_run: Run) -> None:
    leaks = tuple(
        ProbeResult(f"a.{'ä' * 300}{n}", "select", "leak", "|" * 9000) for n in range(5000)
    )
    text = markdown_run.render(replace(held_run, probes=leaks))
    assert len(text.encode()) < 2**20
    assert "… and 4,800 more" in text


def test_annotations_are_as_many_as_github_shows(held_run: Run) -> None:
    probes = (
        *(ProbeResult(f"a.t{n}", "select", "leak", "read 7 rows") for n in range(14)),
        *(ProbeResult(f"a.t{n}", "copy", "vacuous", "no rows") for n in range(12)),
    )
    lines = github_run.render(replace(held_run, probes=probes)).splitlines()
    kinds = Counter(line.split(" ", 1)[0] for line in lines)
    assert kinds == {"::notice": 1, "::error": 10, "::warning": 10}
    assert lines[0] == (
        "::notice title=harness::6 more did not hold, which GitHub would not show: see the report"
    )
    assert lines[1] == (
        "::error title=leak%3A a.t0%2C select::read 7 rows"
        "%0Asee it again: harness check isolation --table a.t0"
    )


def test_a_run_that_held_has_nothing_to_annotate(held_run: Run) -> None:
    assert github_run.render(held_run) == ""


def test_the_findings_and_leaks_of_a_run_go_to_code_scanning(
    failed_run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "run.json"
    path.write_text(to_json(failed_run))

    def rendered(format: str) -> Any:
        done = CliRunner().invoke(app_for(["report"]), ["report", str(path), "--format", format])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    (run,) = rendered("sarif")["runs"]
    assert [(result["ruleId"], len(result["suppressions"])) for result in run["results"]] == [
        ("RLS001", 0),
        ("isolation.select", 0),
        ("TEN001", 1),
    ]
    assert [issue["check_name"] for issue in rendered("gitlab")] == ["RLS001", "isolation.select"]


def test_each_thing_that_fails_a_run_is_among_its_failures(failed_run: Run) -> None:
    assert failed_run.fill
    run = replace(failed_run, fill=replace(failed_run.fill, unmet=("rest.tip: no rows",)))
    kinds = [failure.kind for failure in failures(run)]
    assert kinds == ["leak", "finding, error", "fill", "broken truth", "miss"]
