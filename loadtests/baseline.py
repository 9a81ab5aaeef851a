"""A run against a stored one: which queries have become worse, beyond what chance explains.

A latency is a regression when the confidence intervals of both runs are apart by more than the
noise floor, once the baseline is scaled by how fast the machine is now: the median of all
queries' ratios of medians, which a few slow queries do not move. Buffers per call need no such
care, for noise cannot touch them: they compare where both runs gave the same values and got as
many rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from statistics import median

from hdrh.histogram import HdrHistogram

from harness.histogram import recorded
from harness.load_result import Comparison, LoadResult, Plan, QueryResult, Regression
from loadtests import confidence

FLOOR_SHARE, FLOOR_MS = 0.25, 1.0
"""What runs on an unchanged system differ by: a quarter, and a millisecond."""
BUFFERS_FACTOR, BUFFERS_MORE = 1.5, 32
"""Writes of a load add rows and leave dead ones, so a call may touch half as many blocks more."""
SAMPLES = 30
"""With fewer, a median says nothing of the machine."""


def compare(now: LoadResult, then: LoadResult, run_id: str) -> LoadResult:
    """The load with its comparison; what is worse explains itself by its plan."""
    found = comparison(now, then, run_id)
    before = {query.name: query for query in then.queries}
    worse = {regression.query for regression in found.regressions}
    queries = (
        replace(q, explanation=(*q.explanation, *_change(before[q.name])))
        if q.name in found.plan_changes and (q.name in worse or q.verdict != "pass")
        else q
        for q in now.queries
    )
    return replace(now, comparison=found, queries=tuple(queries))


def comparison(now: LoadResult, then: LoadResult, run_id: str) -> Comparison:
    """What is worse than in the stored run, `run_id`."""
    before = {query.name: query for query in then.queries}
    pairs = [(query, before[query.name]) for query in now.queries if query.name in before]
    factor = speed_factor(pairs)
    changed = {new.name for new, old in pairs if _other_plan(new, old)}
    gone = before.keys() - {query.name for query in now.queries}
    regressions = [r for new, old in pairs for r in _regressions(new, old, factor)]
    regressions += [Regression(name, "missing", "it is no longer driven") for name in sorted(gone)]
    return Comparison(
        baseline=run_id,
        speed_factor=factor,
        compared=len(pairs),
        regressions=tuple(regressions),
        plan_changes=tuple(sorted(changed)),
        before={old.name: old.latency for _, old in pairs if old.latency},
    )


def restricted(then: LoadResult, only: Sequence[str]) -> LoadResult:
    """The part of a stored load that this one repeats: the queries that meet a pattern."""
    if not only:
        return then
    kept = (q for q in then.queries if any(fnmatchcase(q.name, pattern) for pattern in only))
    return replace(then, queries=tuple(kept))


def speed_factor(pairs: list[tuple[QueryResult, QueryResult]]) -> float:
    """How much slower the machine is than it was; 1.0 where too little is known."""
    ratios = [
        new.latency.p50 / old.latency.p50
        for new, old in pairs
        if new.latency
        and old.latency
        and min(new.samples, old.samples) >= SAMPLES
        and old.latency.p50 > 0
    ]
    return median(ratios) if len(ratios) >= 3 else 1.0


def _regressions(new: QueryResult, old: QueryResult, factor: float) -> Iterator[Regression]:
    for quantile in dict.fromkeys((0.5, new.quantile)):
        low, high = bounds(new, quantile)[0], bounds(old, quantile)[1]
        if low is None or high is None:
            continue
        limit = high * factor * (1 + FLOOR_SHARE) + FLOOR_MS
        if low > limit:
            label = f"p{quantile * 100:g}"
            yield Regression(
                new.name,
                "latency",
                f"{label} is at least {low:.1f} ms, it was at most {high:.1f} ms "
                f"({high * factor:.1f} ms at the speed of now)",
            )
            break
    if new.plan and old.plan and _same_question(new.plan, old.plan):
        limit = old.plan.buffers * BUFFERS_FACTOR + BUFFERS_MORE
        if new.plan.buffers > limit:
            yield Regression(
                new.name,
                "buffers",
                f"a call touches {new.plan.buffers:,} blocks, it was {old.plan.buffers:,}",
            )


def bounds(query: QueryResult, quantile: float) -> tuple[float | None, float | None]:
    """The confidence interval of a quantile in ms, from the stored histogram."""
    if not query.histogram:
        return None, None
    steps = tuple(recorded(HdrHistogram.decode(query.histogram)))
    lower, upper = confidence.ranks(sum(count for _, count in steps), quantile)
    return confidence.at_rank(steps, lower), confidence.at_rank(steps, upper)


def _same_question(new: Plan, old: Plan) -> bool:
    """Whether both were asked the same and had the same to answer: rows come and go by writes."""
    return (new.parameters, new.rows) == (old.parameters, old.rows)


def _other_plan(new: QueryResult, old: QueryResult) -> bool:
    return bool(new.plan and old.plan and new.plan.digest != old.plan.digest)


def _change(old: QueryResult) -> Iterator[str]:
    yield "its plan has changed; in the baseline it was:"
    yield from (f"  {line}" for line in (old.plan.outline if old.plan else ()))
