"""The peer: pgrls, a linter of row security, where HARNESS_PGRLS or PATH has it.

It is no dependency: install it in an environment of its own. It runs as it comes, without
settings, on the schemas of the database; whatever it says beyond what it said of the sound
schema counts as seen.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from typing import NamedTuple
from urllib.parse import urlencode

from psycopg.conninfo import conninfo_to_dict

from harness.catalog import live
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
    program = command()
    return _run([program, "--version"]).strip() if program else None


def findings(database: Target) -> set[Told]:
    """What it finds in the database; nothing where it is not installed."""
    program = command()
    if not program:
        return set()
    with connect(database.admin) as connection:
        schemas = [s for s in live.schemas(connection, None) if s != "harness"]
    arguments = ["--schemas", ",".join(schemas), "--database-url", _url(database.admin)]
    told = json.loads(_run([program, "lint", "--format", "json", *arguments]))
    return {Told(v["rule_id"], v["severity"], v["location"]) for v in told["violations"]}


def _run(arguments: list[str]) -> str:
    """Its output, from a directory without settings of its own; findings are no failure."""
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(arguments, cwd=directory, capture_output=True, text=True)
    if done.returncode > 1:
        raise RuntimeError(f"pgrls failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _url(conninfo: str) -> str:
    """The DSN as a URL, for it reads no other."""
    parts = {key: str(value) for key, value in conninfo_to_dict(conninfo).items()}
    database = parts.pop("dbname")
    return f"postgresql:///{database}?{urlencode(parts)}"
