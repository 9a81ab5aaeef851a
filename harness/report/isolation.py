"""What the page tells of the isolation: objects to which the same happened stand together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.run import ProbeResult

PROBES = (
    *("select", "copy", "prepared", "insert", "update", "blind_update", "delete", "blind_delete"),
    *("merge", "move", "truncate", "no_tenant", "left_over", "partitions"),
)
"""Probes of every table, the columns of the matrix."""


@dataclass(frozen=True, slots=True)
class Row:
    """Tables of one schema, by their names in it, and a verdict per probe: '' where none was."""

    tables: tuple[str, ...]
    cells: tuple[str, ...]

    @property
    def held(self) -> bool:
        """Whether nothing has to be looked at."""
        return not set(self.cells) - {"held", ""}


@dataclass(frozen=True, slots=True)
class Matrix:
    """Isolation of one schema."""

    schema: str
    rows: tuple[Row, ...]

    @property
    def tables(self) -> int:
        """How many tables it is about."""
        return sum(len(row.tables) for row in self.rows)

    @property
    def open(self) -> bool:
        """Whether a table has to be looked at."""
        return not all(row.held for row in self.rows)


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be told of some objects."""

    verdict: str
    detail: str
    objects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """One probe beside those of the matrix: how many objects it looked at, and what to tell."""

    probe: str
    objects: int
    told: tuple[Told, ...]

    @property
    def met(self) -> int:
        """Of how many of them something is to be told."""
        return sum(len(told.objects) for told in self.told)

    @property
    def held(self) -> bool:
        """Whether nothing has to be looked at."""
        return all(told.verdict == "noted" for told in self.told)


def matrices(probes: Iterable[ProbeResult]) -> tuple[Matrix, ...]:
    """The isolation matrix folded by schema, what is open before what held."""
    tables: dict[str, dict[str, str]] = {}
    for probe in probes:
        if probe.probe in PROBES:
            tables.setdefault(probe.object, {})[probe.probe] = probe.verdict
    alike: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for table, verdicts in sorted(tables.items()):
        schema, _, name = table.partition(".")
        cells = tuple(verdicts.get(probe, "") for probe in PROBES)
        alike.setdefault(schema, {}).setdefault(cells, []).append(name)
    return tuple(_matrix(schema, groups) for schema, groups in alike.items())


def states(probes: Iterable[ProbeResult]) -> Mapping[tuple[str, str], int]:
    """Tables by schema and state: leaking where a row or a fact of another tenant came through,
    unproven where a probe could not have failed or could not be made, else isolated."""
    counts: Counter[tuple[str, str]] = Counter()
    for matrix in matrices(probes):
        for row in matrix.rows:
            counts[matrix.schema, _state(row)] += len(row.tables)
    return counts


def _state(row: Row) -> str:
    if {"leak", "weak"} & set(row.cells):
        return "leaking"
    return "unproven" if {"vacuous", "error"} & set(row.cells) else "isolated"


def surveys(probes: Iterable[ProbeResult]) -> tuple[Survey, ...]:
    """What was probed beside tables, by probe."""
    found: dict[str, list[ProbeResult]] = {}
    for probe in probes:
        if probe.probe not in PROBES:
            found.setdefault(probe.probe, []).append(probe)
    return tuple(_survey(probe, results) for probe, results in sorted(found.items()))


def _matrix(schema: str, groups: Mapping[tuple[str, ...], list[str]]) -> Matrix:
    rows = (Row(tuple(names), cells) for cells, names in groups.items())
    return Matrix(schema, tuple(sorted(rows, key=lambda row: row.held)))


def _survey(probe: str, results: list[ProbeResult]) -> Survey:
    said: dict[tuple[str, str], list[str]] = {}
    for result in results:
        if result.verdict != "held":
            said.setdefault((result.verdict, result.detail), []).append(result.object)
    told = sorted(said, key=lambda which: which[0] == "noted")
    return Survey(probe, len(results), tuple(Told(*which, tuple(said[which])) for which in told))
