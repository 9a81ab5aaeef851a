"""The terminal summary: verdict first, then what failed, then the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from statistics import median

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.drill_result import DrillResult
from harness.load_result import Comparison, Latency, Verdict
from harness.report import growth, rls_cost
from harness.run import (
    Audit,
    BrokenTruth,
    DeployResult,
    FillResult,
    LoadResult,
    ProbeResult,
    QueryResult,
    Run,
    Stage,
)

_SIGNS = {"held": "[green]✓[/]", "failed": "[red]✗[/]", "error": "[red]✗[/]", "skipped": "–"}
_VERDICTS: dict[Verdict, str] = {
    "pass": "[green]✓[/]",
    "miss": "[red]✗[/]",
    "inconclusive": "[yellow]?[/]",
}
_SHOWN = 20
"""So many failures are printed; the rest is in the report."""


def print_run(run: Run, console: Console) -> None:
    """The whole summary of a run."""
    if run.load is not None:
        print_load(run.load, console)
    print_probes(run.probes, console)
    if run.growth is not None:
        growth.print_growth(run.growth, run.findings, console)
    if run.rls_cost is not None:
        rls_cost.print_rls_cost(run.rls_cost, run.findings, console)
    if run.drill is not None:
        print_drill(run.drill, console)
    for broken in run.broken[:_SHOWN]:
        console.print(f"[red]✗[/] {escape(told_broken(broken))}", soft_wrap=True)
    for stage in run.stages:
        console.print(
            f"{_SIGNS[stage.status]} {stage.name:<16} {_detail(run, stage)}", soft_wrap=True
        )
    verdict = "[bold green]HELD[/]" if run.held else "[bold red]FAILED[/]"
    seconds = (run.finished_at - run.started_at).total_seconds()
    console.print(f"{verdict} in {seconds:.0f} s")


def print_load(load: LoadResult, console: Console) -> None:
    """Every critical query against its budget, those that missed first."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("", no_wrap=True, min_width=1)
    table.add_column("critical query", no_wrap=True)
    for heading in ("budget", "p50", "p95", "p99", "max", "samples"):
        table.add_column(heading, justify="right", no_wrap=True)
    for query in sorted(load.queries, key=lambda q: (q.verdict == "pass", q.name)):
        table.add_row(*_row(query))
    console.print(table)
    for query in load.queries:
        if query.verdict != "pass":
            sign, reason = _VERDICTS[query.verdict], escape(query.reason)
            told = f"{query.name}: {query.verdict.upper()}: {reason}{told_longer(query, load)}"
            console.print(f"{sign} {told}", soft_wrap=True)
            for line in (x for x in query.explanation if not x.startswith(" ")):  # no plans
                console.print(f"    {escape(line)}", soft_wrap=True, highlight=False)
    _print_comparison(load, console)
    for note in load.notes:
        console.print(f"[yellow]![/] {escape(note)}", soft_wrap=True)
    for line in (told_load(load), told_verdicts(load), told_classes(load), *told_busiest(load)):
        console.print(line, soft_wrap=True, highlight=False)


def _print_comparison(load: LoadResult, console: Console) -> None:
    if load.comparison is None:
        return
    for worse in load.comparison.regressions:
        console.print(f"[red]✗[/] {worse.query}: REGRESSION: {worse.detail}", soft_wrap=True)
    console.print(told_comparison(load.comparison), soft_wrap=True, highlight=False)


def told_longer(query: QueryResult, load: LoadResult | None) -> str:
    """Where samples are lacking: for how long this load would have to go on for a verdict."""
    needed = max((budget.needed for budget in query.budgets), default=0)
    if load is None or not needed or not query.samples:
        return ""
    return f": some {needed / query.samples * load.seconds:,.0f} s of this load"


def told_comparison(comparison: Comparison) -> str:
    """What came of a comparison, in a line."""
    changes = ", ".join(comparison.plan_changes)
    told = (
        f"against run {comparison.baseline[:12]}: {len(comparison.regressions)} regressions in "
        f"{comparison.compared} queries; the machine takes {comparison.speed_factor:.2f} times as "
        "long"
    )
    return f"{told}; other plans: {changes}" if changes else told


def told_load(load: LoadResult) -> str:
    """How the load was, in a line."""
    rate = f"{load.requests_per_second:,.0f} requests/s"
    told = f"latencies in ms; {load.users} users, {load.seconds:.0f} s, {rate}"
    if load.arrivals:
        told = f"{told} of {load.arrivals.rate:g} due ({load.arrivals.kind})"
    if load.driver:
        driver = load.driver
        told = f"{told}; driver: {driver.cpu_share:.0%} of a core, {driver.lag_p99_ms:.1f} ms late"
    return told


def told_verdicts(load: LoadResult) -> str:
    """Counts of verdicts and of what is no verdict of its own, in a line."""
    verdicts = Counter(query.verdict for query in load.queries)
    told = [f"{verdicts[verdict]} {verdict.upper()}" for verdict in _VERDICTS]
    sums = {
        ("error", "errors"): sum(query.errors for query in load.queries),
        ("timeout", "timeouts"): sum(query.timeouts for query in load.queries),
        ("retry", "retries"): sum(query.retries for query in load.queries),
    }
    told += [f"{count:,} {words[count != 1]}" for words, count in sums.items() if count]
    return f"{', '.join(told)}; {load.searched:,} answers searched for rows of other tenants"


def told_classes(load: LoadResult) -> str:
    """Median and 95th percentile per class of tenant, over the queries' medians; or nothing."""
    by_class: dict[str, list[Latency]] = {}
    for query in load.queries:
        for each in query.classes:
            by_class.setdefault(each.tenants, []).append(each.latency)
    told = []
    for name, latencies in sorted(by_class.items()):
        p50, p95 = median(x.p50 for x in latencies), median(x.p95 for x in latencies)
        told.append(f"{name} p50 {p50:.1f}, p95 {p95:.1f}")
    return (
        f"tenants, the median query: {'; '.join(told)}" if by_class else "tenants are of one size"
    )


def told_busiest(load: LoadResult) -> list[str]:
    """The tenants that the server was seen at work for most, in a line, or none."""
    told = (f"{each.tenant} ({each.size}) {each.share:.0%}" for each in load.busiest[:3])
    return [f"busiest tenants: {', '.join(told)} of what was sampled"] if load.busiest else []


def print_probes(probes: Iterable[ProbeResult], console: Console) -> None:
    """The probes that did not hold."""
    bad = [probe for probe in probes if probe.verdict not in ("held", "noted")]
    for probe in bad[:_SHOWN]:
        console.print(
            f"[red]✗[/] {probe.verdict}: {probe.object} {probe.probe}: {probe.detail}",
            soft_wrap=True,
        )
    if len(bad) > _SHOWN:
        console.print(f"… and {len(bad) - _SHOWN} more, in the report")


def print_drill(drill: DrillResult, console: Console) -> None:
    """Every step with its time and size, what differs, and what was compared."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("step", "seconds", "MB"):
        table.add_column(heading, justify="left" if heading == "step" else "right")
    table.add_column("")
    for step in drill.steps:
        made = f"{step.size / 1e6:,.1f}" if step.size else ""
        table.add_row(step.name, f"{step.seconds:.1f}", made, step.detail)
    console.print(table)
    for finding in drill.findings[:_SHOWN]:
        console.print(f"[red]✗[/] {escape(str(finding))}", soft_wrap=True, highlight=False)
    if len(drill.findings) > _SHOWN:
        console.print(f"… and {len(drill.findings) - _SHOWN} more, in the run document")
    for note in drill.notes:
        console.print(f"[yellow]![/] {escape(note)}", soft_wrap=True, highlight=False)
    console.print(told_drill(drill), soft_wrap=True, highlight=False)


def told_drill(drill: DrillResult) -> str:
    """What was compared and what came of it, in a line."""
    kinds = ", ".join(
        f"{count:,} {kind}" for kind, count in drill.compared.items() if count and kind != "rows"
    )
    compared = f"{drill.rows:,} rows of {drill.compared.get('rows', 0):,} tables, {kinds}"
    verdict = "HELD" if drill.held else f"FAILED ({len(drill.findings)} findings)"
    return f"{verdict} in {drill.seconds:.0f} s: compared in the backup and the dump: {compared}"


def told_probes(probes: Iterable[ProbeResult]) -> str:
    """Counts of the probes' verdicts, in a line."""
    probes = tuple(probes)
    counts = Counter(probe.verdict for probe in probes)
    objects = len({probe.object for probe in probes})
    told = f"{counts['leak']:,} leaks in {len(probes):,} probes of {objects:,} objects"
    unproven = counts["vacuous"] + counts["error"]
    further = {"weak": counts["weak"], "unproven": unproven, "noted": counts["noted"]}
    return ", ".join([told, *(f"{count:,} {word}" for word, count in further.items() if count)])


def told_fill(fill: FillResult) -> str:
    """Rows, tables and tenants, in a line."""
    rate = fill.rows / fill.seconds if fill.seconds else 0.0
    filled = sum(1 for table in fill.tables if table.rows)
    sizes = Counter(share.size for share in fill.shares)
    kinds = ", ".join(f"{sizes[size]} {size}" for size in ("giant", "medium", "small"))
    whose = f"{fill.tenants} tenants" + (f" ({kinds})" if len(sizes) > 1 else "")
    told = f"{fill.rows:,} rows in {filled} tables for {whose}, {rate:,.0f} rows/s"
    if fill.unmet:
        told = f"{told}; {len(fill.unmet)} tables could not be filled"
    return f"{told}; {told_audit(fill.audit)}" if fill.audit else told


def told_audit(audit: Audit) -> str:
    """How many truths hold, in a line."""
    held = audit.checked - len(audit.broken)
    told = f"{held} of {audit.checked} truths hold"
    return f"{told}, {audit.skipped} of other schemas skipped" if audit.skipped else told


def told_broken(broken: BrokenTruth) -> str:
    """A truth that does not hold: where it is stated, and a line for each row that is shown."""
    return "\n    ".join((f"{broken.place}: {broken.sentence}: {why(broken)}", *broken.shown))


def why(broken: BrokenTruth) -> str:
    """What breaks a truth, in a line."""
    if broken.error:
        return f"could not be judged: {broken.error}"
    rows = "1 row breaks it" if broken.rows == 1 else f"{broken.rows:,} rows break it"
    tenants = "1 tenant" if broken.tenants == 1 else f"{broken.tenants:,} tenants"
    return f"{rows}, of {tenants}" if broken.tenants else rows


def told_deploy(deploy: DeployResult) -> str:
    """Counts of what is deployed, in a line."""
    totals: Counter[str] = Counter()
    for kinds in deploy.objects.values():
        totals.update(kinds)
    kinds_shown = ("tables", "indexes", "constraints", "functions", "views", "triggers", "policies")
    return ", ".join(f"{totals[kind]:,} {kind}" for kind in kinds_shown)


def _detail(run: Run, stage: Stage) -> str:
    told = stage.detail or figures(run, stage.name)
    return f"{told} [dim]({stage.seconds:.1f} s)[/]"


def figures(run: Run, stage: str) -> str:
    """What a stage has to show for itself, in a line."""
    if stage == "deploy" and run.deploy:
        return told_deploy(run.deploy)
    if stage in ("check static", "check catalog"):
        located = stage == "check static"
        found = sum(bool(f.location) is located for f in run.findings)
        back = sum(bool(s.finding.location) is located for s in run.suppressed)
        return f"{found} findings, {back} held back" if back else f"{found} findings"
    if stage == "fill" and run.fill:
        return told_fill(run.fill)
    if stage == "check isolation":
        return told_probes(run.probes)
    if stage == "load" and run.load:
        return f"{len(run.load.queries) - len(run.missed)} of {len(run.load.queries)} budgets held"
    return ""


def _row(query: QueryResult) -> tuple[str, ...]:
    sign = _VERDICTS[query.verdict]
    budget = f"p{query.quantile * 100:g} {query.budget_ms:g}"
    latency = query.latency
    if latency is None:
        return (sign, query.name, budget, "–", "–", "–", "–", "0")
    figures = (latency.p50, latency.p95, latency.p99, latency.max)
    return (sign, query.name, budget, *(f"{ms:.1f}" for ms in figures), f"{query.samples:,}")
