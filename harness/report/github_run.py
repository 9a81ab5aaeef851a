"""A run as annotations of GitHub Actions, as many as GitHub shows of one step."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.failures import Failure, failures
from harness.report.github import SHOWN, annotation
from harness.run import Run


def render(run: Run) -> str:
    """A line per annotation: what did not hold, worst first, and how many more there are."""
    failed = failures(run)
    errors = [failure for failure in failed if not failure.open]
    warnings = [failure for failure in failed if failure.open]
    lines = [*_group("error", errors), *_group("warning", warnings)]
    rest = len(failed) - len(lines)
    if rest:
        told = f"{rest} more did not hold, which GitHub would not show: see the report"
        lines.insert(0, annotation("notice", {"title": "harness"}, told))
    return "".join(f"{line}\n" for line in lines)


def _group(command: str, failed: Sequence[Failure]) -> list[str]:
    return [
        annotation(
            command,
            {"title": f"{failure.kind}: {failure.what}"},
            f"{failure.detail}\nsee it again: {failure.reproduce}",
        )
        for failure in failed[:SHOWN]
    ]
