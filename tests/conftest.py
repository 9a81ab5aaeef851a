"""Settings come from the tests alone, not from the environment of whoever runs them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.config import Settings, load

ROOT = Path(__file__).parent.parent

for name in [n for n in os.environ if n.startswith(("PG", "HARNESS_"))]:
    if name not in ("HARNESS_TEST_DSN", "HARNESS_STATE_DIR", "HARNESS_CITUS_DSN"):
        del os.environ[name]
os.environ.pop("DATABASE_URL", None)
os.environ["NO_COLOR"] = "1"


LONG = ("test_whole_run", "test_fill")
"""Modules that take minutes each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with what is long, so that no worker waits for it at the end.

    Each of two workers gets a half of the list to begin with, and takes from the other's end when
    it is done: the long modules stand at the front of both halves.
    """
    whole, fill = ([i for i in items if i.path.stem == name] for name in LONG)
    short = [item for item in items if item.path.stem not in LONG]
    half = max(0, len(items) // 2 - len(whole))
    items[:] = [*whole, *short[:half], *fill, *short[half:]]


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The defaults: the bundled schema, its tenancy and its roles."""
    return load()
