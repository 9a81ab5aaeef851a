"""Draws a diagram with Graphviz, which has to be installed."""

from __future__ import annotations

import shutil
import subprocess

from harness.errors import HarnessError, UsageError

SECONDS = 120
"""How long Graphviz may take."""


def svg(dot: str) -> str:
    """The diagram as SVG; UsageError where Graphviz is not installed."""
    program = shutil.which("dot")
    if program is None:
        raise UsageError("dot of Graphviz is not installed; install graphviz or use --format dot")
    try:
        done = subprocess.run(
            [program, "-Tsvg"],
            input=dot,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HarnessError(f"dot took more than {SECONDS} s; draw one schema at a time") from None
    if done.returncode:
        raise HarnessError(f"dot: {done.stderr.strip().splitlines()[0]}")
    return done.stdout
