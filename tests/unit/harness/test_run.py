"""The run document: what goes in comes out, and what is none is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.run import Run, from_json, json_schema, load, to_json


def test_a_document_survives_a_round_trip(failed_run: Run) -> None:
    assert from_json(to_json(failed_run)) == failed_run


def test_a_run_holds_when_nothing_failed(held_run: Run, failed_run: Run) -> None:
    assert held_run.held
    assert not failed_run.held
    assert [probe.object for probe in failed_run.leaks] == ["rest.tip"]
    assert [query.name for query in failed_run.missed] == ["rest.<slow>"]


def test_a_broken_truth_fails_a_run(held_run: Run, failed_run: Run) -> None:
    assert not replace(held_run, fill=failed_run.fill).held
    assert [broken.place for broken in failed_run.broken] == ["rest/check.toml:4"]


def test_a_document_from_before_audits_is_read(held_run: Run) -> None:
    written = json.loads(to_json(held_run))
    del written["fill"]["audit"]
    assert from_json(json.dumps(written)) == held_run


def test_a_document_follows_its_schema(failed_run: Run) -> None:
    import jsonschema

    jsonschema.validate(json.loads(to_json(failed_run)), json_schema())


def test_a_newer_format_is_refused(held_run: Run) -> None:
    newer = to_json(held_run).replace('"format": 1', '"format": 99')
    with pytest.raises(UsageError, match="format 99 is newer"):
        from_json(newer)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"id": 3}'])
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a run document"):
        from_json(text)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load(tmp_path / "none.json")
