"""Files that no program of ours reads are still held to what they promise."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from harness.cli.app import COMMANDS, app_for
from tests.conftest import ROOT


def _compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


def test_containers_publish_on_loopback_only() -> None:
    ports = [port for s in _compose()["services"].values() for port in s.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_containers_are_a_database_the_harness_prometheus_and_grafana() -> None:
    services = _compose()["services"]
    assert set(services) >= {"postgres", "run", "metrics", "prometheus", "grafana"}
    assert services["postgres"]["image"].startswith("postgres:17")


def test_a_profile_has_a_cluster_of_one_pinned_image_and_the_harness_on_it() -> None:
    services = _compose()["services"]
    cluster = {name: s for name, s in services.items() if s.get("profiles") == ["citus"]}
    assert cluster.keys() == {name for name in services if name.startswith("citus-")}
    nodes = [f"citus-{node}" for node in ("coordinator", "worker-1", "worker-2")]
    assert {cluster[node]["image"] for node in (*nodes, "citus-nodes")} == {
        "citusdata/citus:13.2.0"
    }
    assert len({volume for node in nodes for volume in cluster[node]["volumes"]}) == len(nodes)
    assert [bool(cluster[node]["ports"]) for node in nodes] == [True, False, False]
    assert "citus" in _setting(cluster["citus-coordinator"], "shared_preload_libraries")


def test_a_service_adds_the_nodes_before_the_harness_begins() -> None:
    services = _compose()["services"]
    added = " ".join(services["citus-nodes"]["entrypoint"])
    for node in (
        "citus_set_coordinator_host('citus-coordinator'",
        "add_node('citus-worker-1'",
        "add_node('citus-worker-2'",
    ):
        assert node in added
    for name in ("citus-run", "citus-metrics"):
        assert services[name]["depends_on"].keys() == {"citus-nodes"}
        assert "host=citus-coordinator" in services[name]["environment"]["HARNESS_DSN"]
    assert services["citus-metrics"]["networks"]["default"]["aliases"] == ["metrics"]


def test_services_are_known_that_others_wait_for_and_volumes_that_they_mount() -> None:
    content = _compose()
    for service in content["services"].values():
        assert set(service.get("depends_on", ())) <= content["services"].keys()
        named = [volume.split(":")[0] for volume in service.get("volumes", ())]
        assert {name for name in named if not name.startswith(".")} <= content["volumes"].keys()


def test_containers_run_commands_that_there_are() -> None:
    (script,) = _compose()["services"]["citus-run"]["command"]
    assert set(re.findall(r"python -m harness (\w+)", script)) <= COMMANDS.keys()


def _setting(service: dict[str, Any], name: str) -> str:
    (found,) = (word for word in service["command"] if word.startswith(f"{name}="))
    return str(found.partition("=")[2])


def test_files_that_containers_mount_exist() -> None:
    for service in _compose()["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith("./") or (ROOT / source).exists(), source


def test_prometheus_and_grafana_are_given_what_is_written_for_them() -> None:
    services = _compose()["services"]
    assert "./dashboards/prometheus:/etc/prometheus:ro" in services["prometheus"]["volumes"]
    grafana = services["grafana"]
    (mount,) = (v for v in grafana["volumes"] if v.startswith("./dashboards/grafana:"))
    folder = mount.split(":")[1]
    provider = yaml.safe_load(_provisioned("dashboards/harness.yml"))["providers"][0]
    assert provider["options"]["path"] == folder
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == folder
    assert (ROOT / "dashboards/grafana" / home.name).exists()


def test_grafana_knows_how_often_prometheus_scrapes() -> None:
    source = yaml.safe_load(_provisioned("datasources/prometheus.yml"))["datasources"][0]
    scraping = yaml.safe_load((ROOT / "dashboards/prometheus/prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == scraping["global"]["scrape_interval"]


def _provisioned(name: str) -> str:
    return (ROOT / "dashboards/provisioning" / name).read_text()


def test_readme_shows_the_two_commands_that_the_makefile_has() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in ("run", "test"):
        assert f"make {target} " in readme
        assert f"\n{target}: $(READY)" in makefile


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    missing = [
        name for name in COMMANDS if not re.search(rf"harness {name}\b|make {name}\b", readme)
    ]
    assert missing == []


def test_what_the_readme_gives_to_ci_is_yaml_and_its_commands_exist() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) >= 4
    commands = [line for block in blocks for line in _scripts(yaml.safe_load(block))]
    ours = [line for line in commands if line.startswith("harness ")]
    assert len(ours) >= 4
    for line in ours:
        words = shlex.split(line.split("||")[0])[1:]
        done = CliRunner().invoke(app_for(words), [*words, "--help"])
        assert done.exit_code == 0, (line, done.output)


def test_what_the_readme_gives_to_ci_can_be_copied_as_it_stands() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    ours = re.findall(r"(?:uses:|pip install|repo:) (\S+)", "\n".join(blocks))
    elsewhere = [place for place in ours if not place.startswith("actions/")]
    assert set(elsewhere) == {"./tools/tenant-harness", "local"}
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (local,) = (h for b in blocks if "repo: local" in b for h in yaml.safe_load(b)[0]["hooks"])
    same = ("id", "name", "entry", "types", "require_serial")
    assert [local[key] for key in same] == [hook[key] for key in same]


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
