"""The options of harness load, as it hands them on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli import load as command
from harness.cli.app import app_for
from harness.db import Target
from harness.load_result import Comparison, LoadResult, Regression
from loadtests.load import LoadSettings
from tests.unit.conftest import query_result


@contextmanager
def _reached(settings: object) -> Iterator[Target]:
    yield Target("admin", "app", "loader")


@pytest.fixture
def driven(monkeypatch: pytest.MonkeyPatch) -> list[LoadSettings]:
    """What would be driven, with nothing to drive it against."""
    seen: list[LoadSettings] = []

    def drive(ctx: object, target: object, wanted: LoadSettings, owned: object) -> LoadResult:
        seen.append(wanted)
        return LoadResult(wanted.users, 1, 0, 1, (query_result(),))

    monkeypatch.setattr(command, "drive", drive)
    monkeypatch.setattr("harness.server.volume.measure", lambda target: None)
    monkeypatch.setattr("harness.cli.options.reached", _reached)
    monkeypatch.setattr("harness.cli.profiles.connect", nullcontext)
    monkeypatch.setattr("harness.catalog.live.has_citus", lambda connection: False)
    return seen


def _run(*arguments: str) -> Any:
    return CliRunner().invoke(app_for(["load"]), ["load", *arguments])


def test_the_gate_profile_ends_within_three_minutes(driven: list[LoadSettings]) -> None:
    assert _run("--profile", "gate").exit_code == 0
    (wanted,) = driven
    assert wanted.warmup_seconds + wanted.seconds + wanted.extend_seconds <= 150
    assert wanted.users == 8


def test_what_is_given_counts_over_the_profile(driven: list[LoadSettings]) -> None:
    _run("--users", "9", "--profile", "gate")
    _run()
    assert [wanted.users for wanted in driven] == [9, 8]
    assert driven[0].seconds == 50


def test_on_a_cluster_the_gate_has_fewer_users_for_longer(
    driven: list[LoadSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.catalog.live.has_citus", lambda connection: True)
    _run("--profile", "gate")
    _run("--profile", "gate", "--users", "9")
    _run()
    assert [(wanted.users, wanted.extend_seconds) for wanted in driven] == [
        (4, 240),
        (9, 240),
        (8, 60),
    ]


def test_parts_rates_and_tenants_are_handed_on(driven: list[LoadSettings]) -> None:
    options = "--only hs.* --only auto.a --rate 50 --arrivals poisson --hot-tenant 0.5"
    _run(*options.split(), "--tenant-skew", "0")
    (wanted,) = driven
    assert wanted.only == ("hs.*", "auto.a")
    assert (wanted.rate, wanted.arrivals) == (50, "poisson")
    assert (wanted.shares.skew, wanted.shares.hot) == (0, 0.5)


def test_a_regression_fails(driven: list[LoadSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    worse = Comparison("b", 1.0, 1, (Regression("rest.station_queue", "buffers", "900, was 1"),))
    found = LoadResult(8, 1, 0, 1, (query_result(),), comparison=worse)
    monkeypatch.setattr(command, "compared", lambda *_: found)
    monkeypatch.setattr("harness.cli.history.loaded", lambda *_: (found, "b"))
    assert _run("--baseline", "b").exit_code == 1
