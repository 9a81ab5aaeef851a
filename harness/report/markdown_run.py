"""A run as Markdown: for the summary of a step of GitHub Actions, or a comment."""

from __future__ import annotations

from harness.report import terminal
from harness.report.failures import failures
from harness.report.markdown import cell, code, document, table
from harness.run import QueryResult, Run

_SHOWN = 200
"""So many failures are listed."""
_NEAREST = 10
"""So many queries that held are listed: those nearest to their budgets."""
_VERDICTS = {"pass": "✓ PASS", "miss": "✗ MISS", "inconclusive": "? INCONCLUSIVE"}


def render(run: Run) -> str:
    """The verdict, the stages, what did not hold, and the queries nearest to their budgets."""
    failed = [(f.kind, cell(f.what), cell(f.detail), code(f.reproduce)) for f in failures(run)]
    return document(
        f"## {'✓ Held' if run.held else '✗ Failed'}: harness {run.command}",
        _where(run),
        table(("", "Stage", "Figures", "Seconds"), _stages(run)),
        f"### What did not hold: {len(failed):,}" if failed else "",
        table(("Kind", "What", "Why", "See it again"), failed, _SHOWN),
        "### Critical queries" if run.load else "",
        *_load(run),
    )


def _where(run: Run) -> str:
    at = run.environment
    commit = f", commit `{at.commit}`" if at.commit else ""
    seconds = (run.finished_at - run.started_at).total_seconds()
    return (
        f"{run.started_at:%Y-%m-%d %H:%M UTC}, {seconds:.0f} s, PostgreSQL {at.server}, "
        f"harness {at.harness_version}{commit}, {at.cpus} CPUs; run `{run.id[:12]}`"
    )


def _stages(run: Run) -> list[tuple[str, ...]]:
    return [
        (
            {"held": "✓", "skipped": "–"}.get(stage.status, "✗"),
            stage.name,
            cell(stage.detail or terminal.figures(run, stage.name)),
            f"{stage.seconds:.1f}",
        )
        for stage in run.stages
    ]


def _load(run: Run) -> tuple[str, ...]:
    if run.load is None:
        return ()
    ordered = sorted(run.load.queries, key=_urgency)
    shown = ordered[: len(run.missed) + _NEAREST]
    headings = ("Query", "Verdict", "Budget", "p50 ms", "p95 ms", "p99 ms", "Samples")
    told = [terminal.told_load(run.load), terminal.told_verdicts(run.load)]
    if run.load.comparison:
        told.append(terminal.told_comparison(run.load.comparison))
    rest = len(ordered) - len(shown)
    return (
        "; ".join(told),
        table(headings, [_query(query) for query in shown]),
        f"{rest} more held theirs with more to spare." if rest else "",
    )


def _urgency(query: QueryResult) -> tuple[bool, float]:
    """What did not hold, then by how much of the budget is used up."""
    measured = query.latency.p95 / query.budget_ms if query.latency and query.budget_ms else 0.0
    return query.verdict == "pass", -measured


def _query(query: QueryResult) -> tuple[str, ...]:
    latency = query.latency
    figures = (latency.p50, latency.p95, latency.p99) if latency else ()
    told = tuple(f"{figure:.1f}" for figure in figures) or ("–", "–", "–")
    budget = f"p{query.quantile * 100:g} {query.budget_ms:g}"
    return (code(query.name), _VERDICTS[query.verdict], budget, *told, f"{query.samples:,}")
