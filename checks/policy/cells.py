"""The truth table in figures: how many of its cells are proven."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from checks.policy.judgment import Judged, Judgment, Kind
from checks.policy.question import Context

CellVerdict = Literal["leak", "undecided", "denied", "proven"]
"""Worst first."""
_VERDICT: Mapping[Kind, CellVerdict] = {
    "other": "leak",
    "nobody": "leak",
    "open": "leak",
    "denied": "denied",
    "raises": "denied",
    "breaks": "denied",
    "undecided": "undecided",
}


def count(judgment: Judgment) -> dict[str, int]:
    """Cells by verdict. A cell is a step of a command on a table, as a role, in a context: proven
    where rows of this tenant, of others and of nobody all get what they should."""
    counts = dict.fromkeys(map(str, get_args(CellVerdict)), 0)
    for judged in judgment.steps:
        if judgment.settings.tenancy.column not in judged.table.columns:
            counts["undecided"] += len(Context)  # nothing could be asked
        elif not judged.faults:
            counts["proven"] += len(Context)
        else:
            for context in Context:
                counts[_verdict(judged, context)] += 1
    return counts


def _verdict(judged: Judged, context: Context) -> CellVerdict:
    found = {_VERDICT[fault.kind] for fault in judged.faults if fault.context is context}
    return next((verdict for verdict in get_args(CellVerdict) if verdict in found), "proven")
