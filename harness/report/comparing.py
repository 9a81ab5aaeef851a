"""Two runs held against each other: what is worse, what is better, what merely differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from harness.finding import Finding
from harness.load_result import QueryResult, Regression
from harness.report.change import Difference, Measured, QueryChange, RunChange, Way, side
from harness.report.volumes import volumes
from harness.run import BrokenTruth, ProbeVerdict, Run
from harness.verdict import fails

_RANK: Mapping[ProbeVerdict, int] = {
    "held": 0,
    "noted": 1,
    "vacuous": 2,
    "error": 2,
    "weak": 3,
    "leak": 4,
}
_NOT_PROVEN = 2


@dataclass(frozen=True, slots=True)
class Tested:
    """What the statistical test of `harness load --baseline` says of two loads, both ways."""

    speed_factor: float
    worse: tuple[Regression, ...]
    better: tuple[Regression, ...]
    """What the old run would have as regressions against the new one."""


def compare(then: Run, now: Run, tested: Tested) -> RunChange:
    """All that changed from one run to the other."""
    old = {query.name: query for query in (then.load.queries if then.load else ())}
    new = {query.name: query for query in (now.load.queries if now.load else ())}
    appeared, vanished = _new_and_gone(then.findings, now.findings)
    probes = [{(p.object, p.probe): p.verdict for p in run.probes} for run in (then, now)]
    both = bool(old and new)
    return RunChange(
        then=side(then),
        now=side(now),
        notes=tuple(_notes(then, now)),
        speed_factor=tested.speed_factor,
        compared=len(old.keys() & new.keys()),
        queries=tuple(_queries(old, new, tested)) if both else (),
        stages=tuple(_stages(then, now)),
        findings_new=appeared,
        findings_gone=vanished,
        blocking=tuple(f for f in appeared if fails(f.severity, now.fail_on)),
        probes=tuple(_probes(*probes)),
        probes_new=len(probes[1].keys() - probes[0].keys()) if all(probes) else 0,
        probes_gone=len(probes[0].keys() - probes[1].keys()) if all(probes) else 0,
        truths_new=_truths(now, then),
        truths_gone=_truths(then, now),
        volume=volumes(then, now),
        settings=tuple(_settings(then, now)),
    )


def _queries(
    old: Mapping[str, QueryResult], new: Mapping[str, QueryResult], tested: Tested
) -> Iterator[QueryChange]:
    """Those that are worse first, then what is better, then by name."""
    names = sorted(old.keys() | new.keys())
    changes = [_query(name, old.get(name), new.get(name), tested) for name in names]
    order: tuple[Way, ...] = ("worse", "better", "gone", "new", "same")
    yield from sorted(changes, key=lambda change: order.index(change.way))


def _query(
    name: str, old: QueryResult | None, new: QueryResult | None, tested: Tested
) -> QueryChange:
    change = _change(old, new, tested.speed_factor)
    worse = [r.detail for r in tested.worse if r.query == name]
    better = [r for r in tested.better if r.query == name and r.kind != "missing"]
    if old and new and _broke_its_budget(old, new, change):
        worse.append(f"{old.verdict.upper()} → MISS: {new.reason}")
    if old is None and new and new.verdict == "miss":
        worse.append(f"it is new and misses its budget: {new.reason}")
    way: Way = "gone" if new is None else "new" if old is None else "same"
    detail = "; ".join(worse)
    if worse:
        way = "worse"
    elif better and old and new:
        way, detail = "better", _told_better(better)
    return QueryChange(name, way, detail, _measured(old), _measured(new), change)


def _broke_its_budget(old: QueryResult, new: QueryResult, change: float | None) -> bool:
    """Whether it misses what it did not miss, and not for the machine's speed alone."""
    return new.verdict == "miss" != old.verdict and (change is None or change > 0)


def _told_better(better: Iterable[Regression]) -> str:
    """In what, for the details say it the wrong way round."""
    kinds = {"latency": "faster than chance explains", "buffers": "fewer blocks per call"}
    return ", ".join(kinds[each.kind] for each in better)


def _measured(query: QueryResult | None) -> Measured | None:
    if query is None:
        return None
    return Measured(query.verdict, query.budget_ms, query.samples, query.latency, query.plan)


def _change(old: QueryResult | None, new: QueryResult | None, factor: float) -> float | None:
    if not (old and new and old.latency and new.latency and old.latency.p95):
        return None
    return new.latency.p95 / (old.latency.p95 * factor) - 1


def _stages(then: Run, now: Run) -> Iterator[Difference]:
    """One that came to no end counts; what others found is counted where it was found."""
    before = {stage.name: stage.status for stage in then.stages}
    for stage in now.stages:
        was = before.get(stage.name, stage.status)
        if was != stage.status:
            yield Difference(stage.name, was, stage.status, stage.status == "error")


def _new_and_gone(
    then: Iterable[Finding], now: Iterable[Finding]
) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    old = {finding.fingerprint: finding for finding in then}
    new = {finding.fingerprint: finding for finding in now}
    return (
        tuple(finding for mark, finding in new.items() if mark not in old),
        tuple(finding for mark, finding in old.items() if mark not in new),
    )


def _truths(of: Run, other: Run) -> tuple[BrokenTruth, ...]:
    """Those that one run breaks and the other one does not."""
    broken = {(truth.place, truth.sentence) for truth in other.broken}
    return tuple(truth for truth in of.broken if (truth.place, truth.sentence) not in broken)


def _probes(
    then: Mapping[tuple[str, str], ProbeVerdict], now: Mapping[tuple[str, str], ProbeVerdict]
) -> Iterator[Difference]:
    """Verdicts that are others, and what is new and does not hold; what is worse first."""
    found = [_probe(key, then.get(key), verdict) for key, verdict in now.items()]
    changed = [difference for difference in found if difference.then != difference.now]
    yield from sorted(changed, key=lambda difference: not difference.worse)


def _probe(key: tuple[str, str], was: ProbeVerdict | None, verdict: ProbeVerdict) -> Difference:
    new_and_held = was is None and _RANK[verdict] < _NOT_PROVEN
    rank = _RANK[was] if was else 0
    worse = _RANK[verdict] >= _NOT_PROVEN and _RANK[verdict] > rank
    told = verdict if new_and_held else (was or "not there")
    return Difference(", ".join(key), told, verdict, worse)


def _notes(then: Run, now: Run) -> Iterator[str]:
    parts = {"a load": "load", "a fill": "fill", "probes": "probes", "what was deployed": "deploy"}
    for told, name in parts.items():
        lacking = [which for which, run in _sides(then, now) if not getattr(run, name)]
        if len(lacking) == 1:
            yield f"the {lacking[0]} run has not {told}: there is nothing to compare"
    if then.environment.system_identifier != now.environment.system_identifier:
        yield "the runs took place on different servers"
    if _data(then) != _data(now):
        yield "the data differ (see settings): latencies compare with that in mind"


def _sides(then: Run, now: Run) -> tuple[tuple[str, Run], tuple[str, Run]]:
    return ("old", then), ("new", now)


def _data(run: Run) -> Mapping[str, str]:
    if run.fill is None:
        return {}
    fill = run.fill
    return {
        "seed": str(fill.seed),
        "scale": f"{fill.scale:g}",
        "tenants": str(fill.tenants),
        "as of": f"{fill.as_of:%Y-%m-%d}",
    }


def _load(run: Run) -> Mapping[str, str]:
    if run.load is None:
        return {}
    load = run.load
    told = {"users": str(load.users), "seconds of load": f"{load.seconds:g}"}
    return told | ({"rate": f"{load.arrivals.rate:g}"} if load.arrivals else {})


def _environment(run: Run) -> Mapping[str, str]:
    at = run.environment
    return {
        "harness": at.harness_version,
        "commit": at.commit,
        "python": at.python,
        "platform": at.platform,
        "CPUs": str(at.cpus),
        "PostgreSQL": at.server,
    }


def _settings(then: Run, now: Run) -> Iterator[Difference]:
    """What both were made with, as far as both tell, and is not the same."""
    for told in (_environment, _data, _load, lambda run: run.environment.settings):
        before, after = told(then), told(now)
        for name, was in before.items():
            if after.get(name, was) != was:
                yield Difference(name, was, after[name])
