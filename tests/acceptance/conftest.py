"""The command as a user runs it: in a process of its own, in a directory of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.config import load
from harness.server.embedded import embedded, stop_keeping

Harness = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory to work in, whose path has a space; its server is stopped at the end."""
    directory = tmp_path_factory.mktemp("a project")
    (directory / "harness.toml").write_text("")
    yield directory
    server = embedded(load(), checkout=directory)
    if server.data.exists():
        stop_keeping(server)


@pytest.fixture(scope="module")
def harness(project: Path) -> Harness:
    """Runs the command in `project` and returns what it said and its exit code."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "harness", *arguments],
            cwd=project,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return run
