"""The GitHub Action: its step that checks, run as GitHub would run it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

Act = Callable[..., subprocess.CompletedProcess[str]]


def action() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
    return content


@pytest.fixture
def act(tmp_path: Path) -> Act:
    """Runs the action's step that checks, as GitHub would, beside an open table in `my x.sql`."""
    (tmp_path / "my x.sql").write_text("CREATE TABLE public.page (business_id uuid NOT NULL);\n")
    program = tmp_path / "bin" / "harness"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m harness "$@"\n')
    program.chmod(0o755)
    (step,) = [step for step in action()["runs"]["steps"] if step.get("id") == "check"]

    def run(**given: str) -> subprocess.CompletedProcess[str]:
        summary = tmp_path / "summary.md"
        summary.write_text("What another step said.\n")
        inputs = {name: str(i["default"]) for name, i in action()["inputs"].items()}
        inputs |= {name.replace("_", "-"): value for name, value in given.items()}
        environment = {name: _value(text, inputs) for name, text in step["env"].items()}
        path = f"{program.parent}:/usr/bin:/bin"
        return subprocess.run(
            ["bash", "-e", "-c", step["run"]],
            cwd=tmp_path,
            env={
                "PATH": path,
                "PYTHONPATH": str(ROOT),
                "HOME": str(tmp_path),
                "GITHUB_STEP_SUMMARY": str(summary),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def _value(expression: str, inputs: dict[str, str]) -> str:
    """An expression of the action: the input that it names; for OUTPUT also its default."""
    names = re.findall(r"inputs\.([\w-]+)", expression)
    if names == ["output", "format"]:
        return inputs["output"] or ("harness.sarif" if inputs["format"] == "sarif" else "")
    (name,) = names
    return inputs[name]


def test_the_action_annotates_and_summarizes(act: Act, tmp_path: Path) -> None:
    done = act(paths="my x.sql\n", select="RLS001,TYP")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("::error file=my x.sql,line=1,title=RLS001 public.page::")
    said, verdict, *_ = (tmp_path / "summary.md").read_text().splitlines()
    assert said == "What another step said."
    assert verdict.startswith("## ✗ Failed: 1 error in 1 tables")


def test_the_action_writes_what_it_uploads(act: Act, tmp_path: Path) -> None:
    done = act(paths="my x.sql", format="sarif", fail_on="never")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    upload = next(s for s in action()["runs"]["steps"] if "upload-sarif" in s.get("uses", ""))
    assert upload["with"]["sarif_file"] == "${{ inputs.output || 'harness.sarif' }}"
    assert json.loads((tmp_path / "harness.sarif").read_text())["version"] == "2.1.0"


def test_the_action_does_not_pass_where_it_is_told_of_nothing_to_check(act: Act) -> None:
    done = act()
    assert done.returncode == 2
    assert done.stdout.startswith("::error title=harness::name paths, schema-dir or config")


def test_the_action_tells_no_secret(act: Act) -> None:
    done = act(layer="catalog", dsn="host=127.0.0.1 port=1 user=u password=hunter2 dbname=x")
    assert done.returncode == 3
    assert "cannot connect" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_the_action_puts_no_input_into_its_scripts() -> None:
    steps = [step for step in action()["runs"]["steps"] if "run" in step]
    assert len(steps) == 2
    assert all("${{" not in step["run"] and step["shell"] == "bash" for step in steps)
    for step in steps:
        subprocess.run(["bash", "-n", "-c", step["run"]], check=True, timeout=10)
