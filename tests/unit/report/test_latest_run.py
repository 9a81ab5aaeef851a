"""The latest run is served from its document, whenever that changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.report.latest import LatestRun
from harness.run import Run, Stage, to_json


def _values(latest: LatestRun, name: str) -> dict[str, float]:
    return {
        ",".join(sample.labels.values()): sample.value
        for family in latest()
        for sample in family.samples
        if sample.name == name
    }


def test_there_may_be_no_run_yet(tmp_path: Path, held_run: Run) -> None:
    latest = LatestRun(tmp_path / "run.json")
    assert list(latest()) == []
    latest.path.write_text(to_json(held_run))
    assert _values(latest, "harness_run_held") == {"": 1}


def test_a_stage_is_remembered_to_have_held_before(tmp_path: Path, held_run: Run) -> None:
    latest = LatestRun(tmp_path / "run.json")
    latest.path.write_text(to_json(held_run))
    before = _values(latest, "harness_last_success_timestamp_seconds")
    later = held_run.finished_at.replace(minute=30)
    stages = (Stage("deploy", "failed", 1.0), Stage("load", "held", 1.0))
    latest.path.unlink()
    latest.path.write_text(to_json(replace(held_run, finished_at=later, stages=stages)))
    after = _values(latest, "harness_last_success_timestamp_seconds")
    assert after == {"deploy": before["deploy"], "load": later.timestamp()}
    assert _values(latest, "harness_stage_held") == {"deploy": 0, "load": 1}


def test_what_is_no_run_document_is_told(tmp_path: Path) -> None:
    latest = LatestRun(tmp_path / "run.json")
    latest.path.write_text("{}")
    with pytest.raises(UsageError, match="not a run document"):
        latest()


def test_tables_are_told_by_state(tmp_path: Path, failed_run: Run) -> None:
    latest = LatestRun(tmp_path / "run.json")
    latest.path.write_text(to_json(failed_run))
    tables = _values(latest, "harness_schema_tables")
    assert tables["rest,isolated"] == 1
    assert tables["rest,leaking"] == 1
    assert tables["rest,filled"] == 1
    assert _values(latest, "harness_filled_rows") == {"rest": 900}
