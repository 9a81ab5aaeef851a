"""Collectors are files: one that says something impossible is refused with its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.metrics import collector
from harness.metrics.collector import Collector

GOOD = """
about = "Sessions."
prefix = "pg_seen"
labels = ["state"]
sql = "SELECT 1"

[metrics]
sessions = "Sessions in a state."
"""


def _read(directory: Path, **files: str) -> tuple[Collector, ...]:
    for name, text in files.items():
        (directory / f"{name}.toml").write_text(text)
    return collector.read_all(directory)


def test_a_file_is_a_collector(tmp_path: Path) -> None:
    (found,) = _read(tmp_path, seen=GOOD)
    assert (found.name, found.labels, found.interval) == ("seen", ("state",), 10)
    assert found.kind("sessions") == "gauge"
    assert found.kind("sessions_total") == "counter"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("labels", "lables"), r"seen.toml: lables: extra inputs"),
        (('"SELECT 1"', ""), r"seen.toml: no collector can be read"),
        (("sessions =", "state ="), r"label and metric at once: state"),
        (("labels", 'unknown = ["other"]\nlabels'), r"unknown names no metric: other"),
        (("labels", "interval = -1\nlabels"), r"seen.toml: interval: "),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        _read(tmp_path, seen=GOOD.replace(*change))


def test_a_metric_is_given_once_for_a_version(tmp_path: Path) -> None:
    older = GOOD.replace("labels", "below = 18\nlabels")
    newer = GOOD.replace("labels", "minimum = 18\nlabels")
    assert [each.fits(17) for each in _read(tmp_path, a=older, b=newer)] == [True, False]
    with pytest.raises(UsageError, match="a and b both give pg_seen_sessions"):
        _read(tmp_path, b=GOOD)


def test_a_directory_of_ones_own_adds_to_the_bundled_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no collector"):
        collector.read_all(collector.BUNDLED, tmp_path)
    (tmp_path / "mine.toml").write_text(GOOD)
    found = collector.read_all(collector.BUNDLED, tmp_path)
    assert (found[-1].name, len(found)) == ("mine", len(collector.read_all()) + 1)
    (tmp_path / "waits.toml").write_text(GOOD.replace("pg_seen", "pg_other"))
    with pytest.raises(UsageError, match="2 collectors are called waits"):
        collector.read_all(collector.BUNDLED, tmp_path)


def test_every_bundled_collector_can_be_read() -> None:
    assert {"activity", "io", "relations", "statements"} <= {c.name for c in collector.read_all()}
