"""Faults planted in a live database are found there, and nothing of them is left."""

from __future__ import annotations

import psycopg
import pytest

from checks import mutate
from checks.mutation import operators
from harness.catalog import live_source
from harness.config import Settings
from harness.db import Target
from harness.errors import RefusedError


def test_every_fault_is_found_in_a_database(platform: Target, settings: Settings) -> None:
    with psycopg.connect(platform.admin) as connection:
        before = live_source.read(connection)
    scores = list(mutate.score_database(platform, settings, len(operators()), 1))
    assert [s.mutant.text for s in scores if s.verdict == "survived"] == []
    assert sum(score.verdict == "killed" for score in scores) >= len(operators()) - 5
    with psycopg.connect(platform.admin) as connection:
        assert live_source.read(connection) == before


def test_somebody_elses_database_is_not_mutated(database: Target, settings: Settings) -> None:
    with psycopg.connect(database.admin) as connection:
        connection.execute("CREATE TABLE precious (id integer)")
    with pytest.raises(RefusedError, match="left alone"):
        list(mutate.score_database(database, settings, 1, 1))
