"""The truth table in figures: how many of its cells are proven."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal, get_args

from checks.policy.judgment import CELLS_OF_A_STEP, Judged, Judgment, Kind

CellVerdict = Literal["proven", "leak", "denied", "undecided"]
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
    """Cells by verdict: a cell is a role, a step of a command on a table, a context and a row of
    one tenant, of another or of nobody. A fault counts as one cell."""
    counts: Counter[CellVerdict] = Counter(dict.fromkeys(get_args(CellVerdict), 0))
    for judged in judgment.steps:
        if judgment.settings.tenancy.column not in judged.table.columns:
            counts["undecided"] += CELLS_OF_A_STEP
            continue
        verdicts = _of_step(judged)
        counts.update(verdicts)
        counts["proven"] += CELLS_OF_A_STEP - verdicts.total()
    return {str(verdict): count for verdict, count in counts.items()}


def _of_step(judged: Judged) -> Counter[CellVerdict]:
    return Counter(_VERDICT[kind] for kind, _ in {(f.kind, f.context) for f in judged.faults})
