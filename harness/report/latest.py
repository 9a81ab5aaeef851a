"""The latest run as a source of metrics: its document, read again when it has changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.core import Metric

from harness import run as document
from harness.errors import UsageError
from harness.report.prometheus import RunCollector, successes


@dataclass(slots=True)
class LatestRun:
    """Gives the metrics of a run document, and none while there is none.

    Remembers when stages held in documents before, which a run that failed does not tell.
    """

    path: Path
    _changed: tuple[int, int] = field(default=(0, 0), init=False)
    _succeeded: dict[str, float] = field(default_factory=dict, init=False)
    _families: tuple[Metric, ...] = field(default=(), init=False)

    def __call__(self) -> Iterable[Metric]:
        """The families of one scrape. Raises UsageError where the document cannot be read."""
        if (changed := self._state()) != self._changed:
            self._families = self._read() if any(changed) else ()
            self._changed = changed
        return self._families

    def _state(self) -> tuple[int, int]:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return 0, 0
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be read: {error.strerror}") from None
        return stat.st_mtime_ns, stat.st_ino

    def _read(self) -> tuple[Metric, ...]:
        run = document.load(self.path)
        families = tuple(RunCollector(run, self._succeeded).collect())
        self._succeeded.update(successes(run))
        return families
