"""State machines as tests write them: the states that each state may become."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import product


def refused(machine: Mapping[str, Collection[str]]) -> list[tuple[str, str]]:
    """The pairs of states that a machine does not join."""
    return [
        (before, after)
        for before, after in product(machine, machine)
        if before != after and after not in machine[before]
    ]
