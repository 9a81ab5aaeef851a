"""Planted faults are found in files, and a blind check is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks import mutate
from checks.mutation import operators
from checks.rules import registry
from harness.config import Settings

GOOD = Path(__file__).with_name("good.sql").read_text(encoding="utf-8")


@pytest.fixture
def small(settings: Settings, tmp_path: Path) -> Settings:
    """The settings of a schema of one file."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "good.sql").write_text(GOOD, encoding="utf-8")
    (tmp_path / "order.txt").write_text("a/good.sql\n", encoding="utf-8")
    return settings.model_copy(update={"schema_dir": tmp_path})


def test_there_are_operators_enough() -> None:
    assert len(operators()) >= 40
    assert all(operator.fault.endswith(".") for operator in operators())


def test_every_fault_is_found_in_files(small: Settings) -> None:
    scores = list(mutate.score_files(small, 10_000, 1))
    assert {score.verdict for score in scores} == {"killed"}
    assert len({score.mutant.operator.name for score in scores}) >= 60


def test_the_same_seed_plants_the_same(small: Settings) -> None:
    def planted(seed: int) -> list[str]:
        return [score.mutant.text for score in mutate.score_files(small, 90, seed)]

    assert planted(1) == planted(1)
    assert planted(1) != planted(2)


def test_a_check_that_sees_nothing_kills_nothing(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = tuple(rule for rule in registry() if rule.id == "PRV001")
    monkeypatch.setattr(mutate, "registry", lambda: blind)
    killed = {s.mutant.operator.name for s in mutate.score_files(small, 200, 1) if s.rules}
    assert killed == {"truncate_granted"}
