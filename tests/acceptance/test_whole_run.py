"""The whole command, as the README shows it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from harness import run as document
from harness.config import BUNDLED_SCHEMA
from harness.run import Run
from tests.acceptance.conftest import Harness

TAGS = ("--table", "system_core.tag", "--table", "system_core.tag_assignment")
# What test_fill fills too, where it sees that every table has rows of both tenants.
QUICK = (
    *("--tenants", "2", "--scale", "0.01", "--seed", "7", "--as-of", "2026-06-01T12:00"),
    *("--users", "4", "--seconds", "6", "--warmup", "1", "--extend", "0"),
)


@pytest.fixture(scope="module")
def finished(harness: Harness, project: Path) -> Run:
    """One run of everything; its document. A budget may be missed on a busy machine."""
    done = harness("run", *QUICK, "--report-dir", "report")
    assert done.returncode in (0, 1), done.stderr
    assert "report: report/report.html" in done.stderr
    return document.load(project / "report" / "run.json")


def test_a_run_deploys_fills_attacks_and_loads_everything(finished: Run) -> None:
    assert [stage.name for stage in finished.stages] == [
        "check static",
        "deploy",
        "check catalog",
        "fill",
        "check isolation",
        "load",
    ]
    assert finished.findings == ()
    assert finished.fill
    assert finished.fill.unmet == ()
    assert sum(1 for table in finished.fill.tables if table.rows) >= 75
    assert finished.leaks == ()
    assert finished.unproven == ()
    assert finished.load
    assert len(finished.load.queries) >= 23


def test_no_critical_query_fails_or_leaks(finished: Run) -> None:
    assert finished.load
    for query in finished.load.queries:
        assert (query.errors, query.foreign_rows) == (0, 0), (query.name, query.reason)


def test_every_rendering_is_written(finished: Run, project: Path) -> None:
    names = {path.name for path in (project / "report").iterdir()}
    assert names == {"run.json", "report.html", "junit.xml", "metrics.prom", "summary.md"}
    assert (project / "report" / "report.html").stat().st_size < 400_000


def test_the_gate_repeats_the_verdict(finished: Run, harness: Harness) -> None:
    done = harness("gate", "report/run.json")
    assert done.returncode == (1 if finished.missed else 0)
    assert all(query.name in done.stdout for query in finished.missed)


def test_the_report_is_rendered_again_from_the_document(finished: Run, harness: Harness) -> None:
    done = harness("report", "report/run.json", "--format", "json")
    assert document.from_json(done.stdout) == finished
    assert "0 leaks" in harness("report", "report/run.json").stderr


def test_a_run_is_no_worse_than_itself_by_document_or_by_page(
    finished: Run, harness: Harness
) -> None:
    done = harness("report", "--compare", "report/run.json", "report/report.html")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "NO WORSE"


def test_the_run_is_remembered(finished: Run, harness: Harness) -> None:
    done = harness("report", "--history", "--format", "json")
    assert done.returncode == 0, done.stderr
    (past,) = json.loads(done.stdout)["runs"]
    assert past["id"].replace("-", "") == finished.id
    assert past["held"] == finished.held
    assert finished.started_at.strftime("%Y-%m-%d %H:%M") in harness("report", "--history").stderr


def test_a_history_of_another_release_is_derived_anew(finished: Run, harness: Harness) -> None:
    before = harness("report", "--history", "--format", "json").stdout
    aged = "UPDATE harness.deployed_file SET checksum = 'of another release'"
    assert harness("psql", "--database", "harness_history", "--", "-qc", aged).returncode == 0
    assert harness("report", "--history", "--format", "json").stdout == before


def test_what_was_deployed_can_be_looked_at(finished: Run, harness: Harness) -> None:
    listed = harness("schema", "list")
    assert listed.returncode == 0
    assert "system_core" in listed.stdout
    asked = harness("psql", "--", "-Atc", "SELECT count(*) FROM tenant_mgmt.business")
    assert asked.stdout == "2\n", asked.stderr


def test_as_the_application_nothing_is_seen_without_a_tenant(
    finished: Run, harness: Harness
) -> None:
    done = harness("psql", "--role", "app", "--", "-Atc", "SELECT * FROM tenant_mgmt.business")
    assert done.returncode != 0
    assert "app.business_id" in done.stderr


def test_the_isolation_check_alone_finds_the_database_filled(
    finished: Run, harness: Harness
) -> None:
    done = harness("check", "isolation", *TAGS, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["findings"] == []


def test_a_leak_is_found_told_and_fails(finished: Run, harness: Harness) -> None:
    sql = "ALTER TABLE system_core.tag {} ROW LEVEL SECURITY"
    harness("psql", "--", "-qc", sql.format("DISABLE"))
    done = harness("check", "isolation", *TAGS)
    harness("psql", "--", "-qc", sql.format("ENABLE"))
    assert done.returncode == 1
    assert "system_core.tag" in done.stdout
    assert "leak" in done.stdout


@pytest.mark.parametrize(
    ("format", "mark"),
    [
        ("text", "row level security"),
        ("json", '"rule": "RLS001"'),
        ("sarif", '"ruleId": "RLS001"'),
        ("junit", "RLS001"),
        ("github", "::error file=schema/system_core/40_collaboration.sql,line="),
    ],
)
def test_a_deleted_line_is_found_in_every_format(
    harness: Harness, project: Path, format: str, mark: str
) -> None:
    schema = _part_of_the_schema(project)
    file = schema / "system_core" / "40_collaboration.sql"
    line = "ALTER TABLE system_core.tag ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;\n"
    text = file.read_text()
    assert line in text
    file.write_text(text.replace(line, ""))
    done = harness("check", "static", "--schema-dir", "schema", "--format", format)
    assert done.returncode == 1
    assert mark in done.stdout
    assert "system_core.tag" in done.stdout
    assert "40_collaboration.sql" in done.stdout


def _part_of_the_schema(project: Path) -> Path:
    """A copy of what others stand on: the rest would only take time to read."""
    schema = project / "schema"
    shutil.rmtree(schema, ignore_errors=True)
    for part in ("system_core", "tenant_mgmt"):
        shutil.copytree(BUNDLED_SCHEMA / part, schema / part)
    order = (BUNDLED_SCHEMA / "order.txt").read_text().splitlines()
    kept = [line for line in order if line.startswith(("system_core/", "tenant_mgmt/"))]
    (schema / "order.txt").write_text("\n".join(kept))
    return schema


def test_a_file_with_a_syntax_error_is_a_finding(harness: Harness, project: Path) -> None:
    broken = project / "broken.sql"
    broken.write_text("CREATE TABLE a (\n  n integer,,\n);\n")
    done = harness("check", "static", "broken.sql")
    assert done.returncode == 1
    assert "SRC003" in done.stdout
    assert "broken.sql" in done.stdout


def test_an_interrupted_run_leaves_nothing_in_the_way(
    finished: Run, harness: Harness, project: Path
) -> None:
    command = [sys.executable, "-m", "harness", "run", *QUICK, "--report-dir", "interrupted"]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a job of a script ignores it
    with subprocess.Popen(
        command, cwd=project, preexec_fn=heard, stderr=subprocess.PIPE, text=True
    ) as process:
        time.sleep(6)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert told.splitlines()[-1] == "harness: interrupted; everything can be run again"
    (project / "small").mkdir()
    (project / "small" / "one.sql").write_text("CREATE TABLE a (n integer);\n")
    assert harness("deploy", "--recreate", "--schema-dir", "small").returncode == 0


def test_a_full_disk_is_told_and_leaves_no_half_report(
    finished: Run, harness: Harness, project: Path
) -> None:
    done = harness("report", "report/run.json", "--format", "html", "--output", "/dev/full/x")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_the_embedded_server_can_be_kept_and_stopped(harness: Harness) -> None:
    up = harness("up")
    assert up.returncode == 0
    assert "host=" in up.stdout
    assert harness("doctor").returncode == 0
    assert harness("down").returncode == 0
