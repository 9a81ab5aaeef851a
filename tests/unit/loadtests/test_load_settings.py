"""What is driven and what it is held to, from settings and options; and how to do it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import Load, load
from harness.errors import UsageError
from loadtests.budget import parse
from loadtests.load import LoadSettings, chosen, promised, reproducing
from loadtests.tenants import Shares

HEADER = "-- A query.\n-- budget: p95 50ms\n-- mode: read\nSELECT 1"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Queries of two schemas."""
    for name in ("hs/board", "hs/move", "auto/board"):
        path = tmp_path / f"{name}.sql"
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEADER)
    return tmp_path


def _chosen(directory: Path, *only: str) -> list[str]:
    wanted = LoadSettings(queries_dir=directory, only=only)
    return [query.name for query in chosen(load(), wanted)]


def test_all_queries_are_driven_or_those_that_meet_a_pattern(directory: Path) -> None:
    assert _chosen(directory) == ["auto.board", "hs.board", "hs.move"]
    assert _chosen(directory, "hs.*") == ["hs.board", "hs.move"]
    assert _chosen(directory, "hs.move", "auto.*") == ["auto.board", "hs.move"]


def test_a_pattern_that_meets_nothing_is_refused(directory: Path) -> None:
    with pytest.raises(UsageError, match=r"--only hs\.bord: no critical query in .* is it"):
        _chosen(directory, "hs.*", "hs.bord")


def test_budgets_of_the_settings_stand_over_those_of_headers(directory: Path) -> None:
    budgets = {"hs": ["p95 < 70ms", "p99 < 90ms"]}
    settings = load().model_copy(update={"load": Load(budgets=budgets)})
    queries = chosen(settings, LoadSettings(queries_dir=directory))
    auto, board, _ = promised(settings, queries)
    assert auto.budgets == parse("errors < 0%, p95 50ms")
    assert board.budgets == parse("errors < 0%, p95 < 70ms, p99 < 90ms")


def test_a_load_is_repeated_by_its_command(directory: Path) -> None:
    wanted = LoadSettings(4, 10.0, rate=50.0, arrivals="poisson", shares=Shares(hot=0.5))
    assert reproducing(wanted) == (
        "harness load --users 4 --seconds 10 --think 0.02 --rate 50 --arrivals poisson"
        " --hot-tenant 0.5"
    )
    own = LoadSettings(queries_dir=Path("my queries"))
    assert reproducing(own).endswith("--think 0.02 --sql 'my queries'")
