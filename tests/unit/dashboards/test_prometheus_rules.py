"""Rules: current, valid, proven by promtool, of the budgets that the gate holds, each explained."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
import yaml

from dashboards.__main__ import write
from dashboards.documents import all_alerts, documents
from dashboards.promises import rules
from harness.config import Settings, load
from loadtests.load import promised
from loadtests.query import BUNDLED, Query, read_all
from tests.conftest import ROOT

PROMETHEUS = ROOT / "dashboards/prometheus"
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed"
)
_STAGE = re.compile(r'harness_\w+\{[^}]*\bstage=~?\\?"([^"\\]+)')
HEADER = """-- The first.
-- budget: p95 50ms, p99 200ms
-- mode: read
SELECT 1
"""


@pytest.fixture(scope="module")
def bundled(settings: Settings) -> tuple[Query, ...]:
    """The critical queries with their budgets."""
    return promised(settings, read_all(BUNDLED, settings.tenancy.column))


def test_what_is_checked_in_is_what_would_be_written(bundled: tuple[Query, ...]) -> None:
    written = documents(bundled)
    stale = [name for name, text in written.items() if (ROOT / name).read_text() != text]
    assert stale == [], "run python -m dashboards"
    kept = {*ROOT.glob("dashboards/grafana/*"), *PROMETHEUS.glob("*/*")}
    assert {str(path.relative_to(ROOT)) for path in kept} == {*written} - {"docs/alerts.md"}


@needs_promtool
def test_promtool_finds_no_fault_and_every_example_holds() -> None:
    files = [str(path.relative_to(PROMETHEUS)) for path in sorted(PROMETHEUS.glob("*/*.yml"))]
    tests = [name for name in files if name.startswith("tests/")]
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", *tests]):
        done = subprocess.run(
            ["promtool", *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "SUCCESS" in done.stdout


@needs_promtool
def test_promtool_tells_an_example_that_does_not_hold(tmp_path: Path) -> None:
    shutil.copytree(PROMETHEUS / "rules", tmp_path / "rules")
    case = (PROMETHEUS / "tests/recordings.yml").read_text().replace("value: 0.75", "value: 0.5")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/recordings.yml").write_text(case)
    command = ["promtool", "test", "rules", "recordings.yml"]
    done = subprocess.run(command, cwd=tmp_path / "tests", capture_output=True, check=False)
    assert done.returncode == 1


def test_every_alert_has_its_paragraph() -> None:
    page = (ROOT / "docs/alerts.md").read_text()
    headings = re.findall(r"^### (\w+)$", page, re.MULTILINE)
    assert sorted(headings) == sorted(alert.name for alert in all_alerts())
    for alert in all_alerts():
        path, _, anchor = alert.annotations["runbook_url"].partition("#")
        assert (ROOT / path).exists()
        assert anchor == alert.name.lower()
        assert alert.remedy in page


def test_stages_that_are_asked_for_are_those_of_a_run() -> None:
    recorded = (ROOT / "harness/cli/run.py").read_text()
    stages = set(re.findall(r'recorded\.stage\(\s*"([^"]+)"', recorded))
    texts = [path.read_text() for path in ROOT.glob("dashboards/*/*.json")]
    texts += [alert.expr for alert in all_alerts()]
    asked = {name for text in texts for name in _STAGE.findall(text)}
    assert "check isolation" in asked
    assert asked <= stages


def test_an_example_is_of_its_alert() -> None:
    for alert in all_alerts():
        assert alert.fires.series != alert.quiet, alert.name
        assert "{{" not in alert.fires.summary, alert.name


def test_every_budget_on_a_latency_is_a_promise(bundled: tuple[Query, ...]) -> None:
    recorded = yaml.safe_load((PROMETHEUS / "rules/promises.yml").read_text())
    promises = {
        (rule["labels"]["query"], rule["labels"]["objective"]): rule["expr"]
        for rule in recorded["groups"][0]["rules"]
        if rule["record"] == "harness:query_promise:seconds"
    }
    budgets = {
        (query.name, f"{budget.quantile:g}"): f"vector({budget.limit / 1000:.6g})"
        for query in bundled
        for budget in query.budgets
        if budget.metric != "errors"
    }
    assert promises == budgets


def test_what_may_be_over_the_budget_follows_from_the_objective(tmp_path: Path) -> None:
    (tmp_path / "first.sql").write_text(HEADER)
    made = rules(read_all(tmp_path))
    assert made == [
        _recorded("harness:query_promise:seconds", "0.05", objective="0.95"),
        _recorded("harness:query_promise:seconds", "0.2", objective="0.99"),
        _recorded("harness:query_error_budget:ratio", "0.05"),
    ]


def test_a_budget_of_the_settings_is_the_promise(tmp_path: Path) -> None:
    (tmp_path / "first.sql").write_text(HEADER)
    (tmp_path / "harness.toml").write_text('[load.budgets]\nfirst = "p95 < 10ms"\n')
    settings = load(config_file=tmp_path / "harness.toml")
    made = rules(promised(settings, read_all(tmp_path)))
    assert _recorded("harness:query_promise:seconds", "0.01", objective="0.95") in made


def test_rules_for_other_queries_are_written_where_asked(tmp_path: Path) -> None:
    (tmp_path / "first.sql").write_text(HEADER)
    write(tmp_path / "made", None, tmp_path)
    promises = (tmp_path / "made/dashboards/prometheus/rules/promises.yml").read_text()
    assert re.findall(r"query: (\S+)", promises) == ["first"] * 3


def test_a_query_that_cannot_be_read_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        write(tmp_path / "made", None, tmp_path)
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == f"error: {tmp_path}: no critical query (*.sql) in it\n"
    assert not (tmp_path / "made").exists()


def _recorded(name: str, value: str, **labels: str) -> dict[str, object]:
    return {"record": name, "expr": f"vector({value})", "labels": {"query": "first", **labels}}
