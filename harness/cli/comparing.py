"""harness report --compare: what changed from one run to another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from harness.cli import history
from harness.cli.options import Context, write
from harness.errors import UsageError
from harness.report import change, change_markdown, change_text, comparing
from harness.report.change import RunChange
from harness.report.comparing import Tested
from harness.run import Run
from loadtests import baseline


def _page(changed: RunChange) -> str:
    from harness.report import change_html

    return change_html.render(changed)


RENDERERS: Mapping[str, Callable[[RunChange], str]] = {
    "html": _page,
    "json": change.to_json,
    "markdown": change_markdown.render,
}


def show(ctx: Context, names: tuple[str, str], format: str, output: Path | None) -> RunChange:
    """The comparison of two runs by file or by id, as text on the console or rendered."""
    if format != "text" and format not in RENDERERS:
        raise UsageError(f"a comparison is text, {', '.join(RENDERERS)}, not {format}")
    then, now = (history.run(ctx, name) for name in names)
    changed = compared(then, now)
    if format == "text":
        change_text.print_change(changed, ctx.console)
    else:
        write(RENDERERS[format](changed), output)
    return changed


def compared(then: Run, now: Run) -> RunChange:
    """All that changed, latencies by the test of `harness load --baseline`, both ways."""
    return comparing.compare(then, now, _tested(then, now))


def _tested(then: Run, now: Run) -> Tested:
    if then.load is None or now.load is None:
        return Tested(1.0, (), ())
    worse = baseline.comparison(now.load, then.load, then.id)
    better = baseline.comparison(then.load, now.load, now.id)
    return Tested(worse.speed_factor, worse.regressions, better.regressions)
