"""The schemas of this benchmark: one that faults are planted in, and sound ones to keep silent on.

Each is a directory: harness.toml tells its convention, schema/ defines it, rows.sql gives two
tenants their rows. Roles are the benchmark's own, for roles belong to a whole cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.config import Roles, Settings, load

HERE = Path(__file__).parent
ROLES = Roles(
    owner="bench_owner",
    app="bench_app",
    readonly="bench_app",
    matview_owner="bench_keeper",
    loader="bench_loader",
    monitor="bench_monitor",
)


@dataclass(frozen=True, slots=True)
class Specimen:
    """A small schema with rows of two tenants."""

    name: str
    settings: Settings
    rows: str
    """SQL that fills it."""


def plain() -> Specimen:
    """The schema that faults are planted in; it is sound, too."""
    return _read(HERE / "plain")


def controls() -> Iterator[Specimen]:
    """Sound schemas: the plain one first."""
    yield plain()
    yield from map(_read, sorted(path for path in (HERE / "controls").iterdir() if path.is_dir()))


def _read(directory: Path) -> Specimen:
    told = load({"roles": ROLES, "schema_dir": directory / "schema"}, directory / "harness.toml")
    return Specimen(directory.name, told, (directory / "rows.sql").read_text(encoding="utf-8"))
