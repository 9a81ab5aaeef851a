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


LONG = ("test_whole_run", "test_truths", "test_fill")
"""What takes minutes begins first, so that no worker waits for it at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The defaults: the bundled schema, its tenancy and its roles."""
    return load()
