"""The steps of a drill as they are taken: how long each took, what it made, what was found."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from harness.drill.workspace import size
from harness.drill_result import DrillFinding, DrillStep

Result = TypeVar("Result")
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Steps:
    """What came of a drill up to now. Mutable: it grows step by step."""

    total: int
    on_progress: Progress
    taken: list[DrillStep] = field(default_factory=list)
    findings: list[DrillFinding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(
        self, name: str, work: Callable[[], Result], made: Path | None = None, detail: str = ""
    ) -> Result:
        """Does a step's work; `made` is the directory that it fills."""
        self.on_progress(len(self.taken), self.total)
        started = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - started
        self.taken.append(DrillStep(name, seconds, size(made) if made else 0, detail))
        return result

    def found(self, told: DrillFinding | str) -> None:
        """Keeps a finding, or a line that is to be known."""
        if isinstance(told, str):
            self.notes.append(told)
        else:
            self.findings.append(told)
