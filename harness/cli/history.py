"""The history of runs: kept by harness run, shown by harness report --history."""

from __future__ import annotations

from pathlib import Path

import psycopg

from checks.rules import registry
from harness import run as document
from harness.cli.options import Context, write
from harness.db import Target, one_line
from harness.errors import HarnessError, UsageError
from harness.history import counters, database, read, store
from harness.history.counters import Counters
from harness.report import embedded
from harness.report import history as report
from harness.run import LoadResult, Run


def keep(ctx: Context, run: Run, counted: Counters | None) -> None:
    """Stores a run. Its verdict stands whether it can be remembered or not."""
    try:
        with database.history(ctx.settings, _restore) as target:
            store.store(target, run, _rules())
            if counted is not None:
                counters.store(target, run.id, counted)
    except (HarnessError, psycopg.Error) as error:
        ctx.say(f"history: this run is not remembered: {one_line(error)}")


def show(ctx: Context, limit: int, format: str, output: Path | None) -> None:
    """The latest runs, as text on the console or as JSON."""
    if format not in ("text", "json"):
        raise UsageError(f"the history is text or json, not {format}")
    with database.history(ctx.settings, _restore) as target:
        past = read.read(target, limit)
    if format == "json":
        write(read.to_json(past), output)
        return
    report.print_history(past, ctx.console)


def loaded(ctx: Context, name: str) -> tuple[LoadResult, str]:
    """The load of a stored run and the run's id: of a document's file, or by the run's id.

    Raises UsageError where there is no such run or it has no load.
    """
    found = run(ctx, name)
    if found.load is None:
        raise UsageError(f"{name}: this run has no load to compare with")
    return found.load, found.id


def run(ctx: Context, name: str) -> Run:
    """A stored run: of a document or a page, or by the run's id; UsageError where there is none."""
    path = Path(name)
    if path.exists() or path.suffix in (".json", ".html"):
        return embedded.read(path)
    with database.history(ctx.settings, _restore) as target:
        return document.from_json(read.document(target, name), f"run {name}")


def _restore(target: Target, text: str) -> None:
    """Stores a document again, under a later release's schema."""
    try:
        buckets = store.histograms(document.from_json(text))
    except UsageError:  # of a release later than this one: what it measured stays in it
        buckets = {}
    store.store_text(target, text, buckets, _rules())


def _rules() -> list[dict[str, str]]:
    return [
        {"code": rule.id, "title": rule.title, "severity": rule.severity.value, "why": rule.why}
        for rule in registry()
    ]
