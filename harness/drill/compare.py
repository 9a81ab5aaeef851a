"""Holds what a copy has against what the original had."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from harness.catalog.files.comparable import comparable
from harness.drill.facts import Facts, Kind, Value
from harness.drill_result import Copy, DrillFinding


def compare(
    copy: Copy,
    original: Facts,
    copied: Facts,
    moved: Collection[str] = (),
    without: Collection[str] = (),
) -> Iterator[DrillFinding]:
    """What differs, a finding each. `moved` are tables whose rows changed while the copy was
    taken, so that their counts say nothing; `without` are kinds that the copy cannot hold."""
    for kind, facts in original.kinds.items():
        if kind in without:
            continue
        left_out = moved if kind == "rows" else ()
        for name, detail in _differing(facts, copied.kinds.get(kind, {})):
            if name not in left_out:
                yield DrillFinding(copy, kind, name, detail)


def moved(before: Kind, after: Kind) -> frozenset[str]:
    """Names that are not the same in both, or are in one alone."""
    return frozenset(name for name, _ in _differing(before, after))


def _differing(original: Kind, copied: Kind) -> Iterator[tuple[str, str]]:
    for name, value in original.items():
        if name not in copied:
            yield name, "is missing"
        elif not _same(value, copied[name]):
            yield name, f"was {_told(value)}, is {_told(copied[name])}"
    for name in copied.keys() - original.keys():
        yield name, "is in the copy alone"


def _same(value: Value, other: Value) -> bool:
    """Whether both say the same; only what differs is worth a parser."""
    if value == other:
        return True
    (attributes, *expressions), (others, *their_expressions) = value, other
    return attributes == others and [*map(comparable, expressions)] == [
        *map(comparable, their_expressions)
    ]


def _told(value: Value) -> str:
    return " ".join(part for part in value if part) or "nothing"
