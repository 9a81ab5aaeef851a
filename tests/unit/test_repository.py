"""Files that no program of ours reads are still held to what they promise."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from harness.cli.app import app
from harness.report import prometheus
from harness.run import Run
from tests.conftest import ROOT

METRIC = re.compile(r"\bharness_\w+")


def _compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


def _known_metrics(run: Run) -> set[str]:
    """Names of all samples of a run."""
    lines = prometheus.textfile(run).splitlines()
    return {re.split(r"[ {]", line)[0] for line in lines if not line.startswith("#")}


def _expressions() -> Iterator[tuple[str, str]]:
    board = json.loads((ROOT / "dashboards/grafana/harness.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    rules = yaml.safe_load((ROOT / "dashboards/rules.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def test_containers_publish_on_loopback_only() -> None:
    ports = [port for s in _compose()["services"].values() for port in s.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_containers_are_a_database_the_harness_prometheus_and_grafana() -> None:
    services = _compose()["services"]
    assert set(services) >= {"postgres", "run", "metrics", "prometheus", "grafana"}
    assert services["postgres"]["image"].startswith("postgres:17")


def test_files_that_containers_mount_exist() -> None:
    for service in _compose()["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith("./") or (ROOT / source).exists(), source


@pytest.mark.parametrize(("where", "expression"), list(_expressions()))
def test_dashboards_and_alerts_ask_for_metrics_that_exist(
    where: str, expression: str, failed_run: Run
) -> None:
    asked = set(METRIC.findall(expression))
    assert asked
    assert asked <= _known_metrics(failed_run), where


def test_readme_shows_the_two_commands_that_the_makefile_has() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in ("run", "test"):
        assert f"make {target} " in readme
        assert f"\n{target}: $(READY)" in makefile


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    names = [c.name or c.callback.__name__ for c in app.registered_commands if c.callback]
    assert len(names) > 10
    missing = [name for name in names if not re.search(rf"harness {name}\b|make {name}\b", readme)]
    assert missing == []


def test_what_the_readme_gives_to_ci_is_yaml_and_its_commands_exist() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) >= 4
    commands = [line for block in blocks for line in _scripts(yaml.safe_load(block))]
    ours = [line for line in commands if line.startswith("harness ")]
    assert len(ours) >= 4
    for line in ours:
        words = shlex.split(line.split("||")[0])[1:]
        done = CliRunner().invoke(app, [*words, "--help"])
        assert done.exit_code == 0, (line, done.output)


def _scripts(content: Any) -> Iterator[str]:
    """The lines of all scripts in a block."""
    if isinstance(content, list):
        for each in content:
            yield from _scripts(each)
    if isinstance(content, dict):
        for key, each in content.items():
            if key in ("run", "script"):
                yield from (each.splitlines() if isinstance(each, str) else each)
            else:
                yield from _scripts(each)


def test_no_file_names_a_registry_host() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--index-url" not in lock


def test_every_requirement_is_pinned_with_hashes() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    requirements = [line for line in lines if re.match(r"[a-z0-9]", line)]
    assert len(requirements) > 50
    assert all("==" in line and line.endswith("\\") for line in requirements)
