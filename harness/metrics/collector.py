"""What is asked of a server, as data: one file of collectors/ per family of metrics.

A file says how often it is asked at most, how long the answer may take, what the server must have,
which columns are labels and what each of the others is. A column's name is the metric's, behind the
prefix; what ends in `_total` counts, everything else is a gauge, unless it is `unknown`: a counter
under the name that postgres_exporter gave it, so that people's dashboards find it.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.errors import UsageError

BUNDLED = Path(__file__).parent / "collectors"
Kind = Literal["counter", "gauge", "unknown"]
Text = Annotated[str, Field(min_length=1)]


class Collector(BaseModel):
    """One query and the metrics that its columns are. Times are seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    """The file's name."""
    about: Text
    """What is seen by it."""
    sql: Text
    """May take `%(top)s`, how many of many are named; `{extension}` is the extension's schema."""
    prefix: Text
    metrics: dict[str, Text]
    """What each column is that is no label."""
    labels: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    """Columns that count, though their names do not end in `_total`."""
    interval: float = Field(default=10.0, ge=0)
    timeout: float = Field(default=1.0, gt=0)
    minimum: int = Field(default=17, ge=10)
    """The oldest major version that has what is asked for."""
    below: int | None = None
    """The first major version that has it no more, or otherwise."""
    extension: str | None = None
    """Is asked for only where this extension is created."""
    max_series: int = Field(default=300, gt=0)
    """Rows that would bring more are dropped, the last first, and counted."""

    @model_validator(mode="after")
    def _consistent(self) -> Collector:
        if strangers := set(self.unknown) - set(self.metrics):
            raise ValueError(f"unknown names no metric: {', '.join(sorted(strangers))}")
        if both := set(self.labels) & set(self.metrics):
            raise ValueError(f"label and metric at once: {', '.join(sorted(both))}")
        if not self.metrics:
            raise ValueError("no metrics")
        return self

    def kind(self, column: str) -> Kind:
        """What the metric of a column is."""
        if column in self.unknown:
            return "unknown"
        return "counter" if column.endswith("_total") else "gauge"

    def fits(self, version: int) -> bool:
        """Whether a server of that major version can be asked."""
        return self.minimum <= version and (self.below is None or version < self.below)


def read(path: Path) -> Collector:
    """The collector of one file. Raises UsageError that begins with the file."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return Collector(name=path.stem, **content)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
        raise UsageError(f"{path}: no collector can be read: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the collector"
        raise UsageError(f"{path}: {where}: {first['msg'].lower()}") from None


def read_all(*directories: Path) -> tuple[Collector, ...]:
    """The bundled collectors, or those of directories; of a directory in the order of their names.

    Raises UsageError where two of them, for the same version, give a metric of the same name, or
    have a name in common, and where a directory has none.
    """
    found = tuple(read(path) for each in directories or (BUNDLED,) for path in _files(each))
    for name, count in Counter(each.name for each in found).items():
        if count > 1:
            raise UsageError(f"{count} collectors are called {name}; rename a file")
    given: dict[str, Collector] = {}
    for each in found:
        for metric in (f"{each.prefix}_{column}" for column in each.metrics):
            other = given.setdefault(metric, each)
            if other is not each and _overlap(each, other):
                raise UsageError(f"collectors {other.name} and {each.name} both give {metric}")
    return found


def _files(directory: Path) -> list[Path]:
    if files := sorted(directory.glob("*.toml")):
        return files
    raise UsageError(f"{directory}: holds no collector, a .toml file")


def _overlap(one: Collector, other: Collector) -> bool:
    return max(one.minimum, other.minimum) < min(one.below or 999, other.below or 999)
