"""The report as one HTML page: no script, no external request, readable without color.

Order: verdict, what failed and the command that reproduces it, critical queries, isolation
matrix, schema, environment, and the run document itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import pandas as pd
from hdrh.histogram import HdrHistogram
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from harness.finding import Finding
from harness.histogram import recorded
from harness.report import embedded, growth, isolation, terminal
from harness.report.chart import axis, ecdf
from harness.run import QueryResult, Run

SIGNS = {
    "held": "✓",
    "leak": "✗ leak",
    "weak": "✗ weak",
    "noted": "– noted",
    "vacuous": "○ unproven",
    "error": "! error",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that did not hold, and how to see it again."""

    what: str
    detail: str
    reproduce: str


def render(run: Run) -> str:
    """The page."""
    return _template().render(
        run=run,
        failures=failures(run),
        told=terminal,
        growth=growth,
        queries=sorted(run.load.queries, key=lambda q: (q.verdict == "pass", q.name))
        if run.load
        else (),
        chart=_chart,
        matrices=isolation.matrices(run.probes),
        surveys=isolation.surveys(run.probes),
        probes=isolation.PROBES,
        signs=SIGNS,
        kinds=_kinds(run),
        fill=_fill_by_schema(run),
        axis=axis(),
        document=embedded.pack(run),
    )


def failures(run: Run) -> tuple[Failure, ...]:
    """All that did not hold, worst first."""
    stages = [
        Failure(stage.name, stage.detail or "did not hold", f"harness {stage.name}")
        for stage in run.stages
        if stage.status == "error"
    ]
    leaks = [
        Failure(f"{probe.verdict}: {probe.object}, {probe.probe}", probe.detail, _ISOLATION)
        for probe in (*run.leaks, *run.weaknesses, *run.unproven)
    ]
    findings = [
        Failure(f"{f.rule}: {f.object}", _place(f), _command(f)) for f in run.blocking_findings
    ]
    broken = [Failure(b.sentence, f"{terminal.why(b)} ({b.place})", _AUDIT) for b in run.broken]
    missed = [Failure(q.name, q.reason, f"harness load --only {q.name}") for q in run.missed]
    worse = [
        Failure(f"regression: {r.query}", r.detail, f"harness load --only {r.query}")
        for r in run.regressions
    ]
    return (*stages, *leaks, *findings, *broken, *missed, *worse)


def _place(finding: Finding) -> str:
    return f"{finding.message} ({finding.location})" if finding.location else finding.message


def _command(finding: Finding) -> str:
    if finding.rule.startswith("GRW"):
        return f"harness load --growth --only {finding.object}"
    return "harness check static" if finding.location else "harness check catalog"


_ISOLATION = "harness check isolation"
_AUDIT = "harness fill --audit"


def _chart(query: QueryResult) -> Markup:
    histogram = HdrHistogram.decode(query.histogram)
    steps = [(value / 1000, count) for value, count in recorded(histogram)]
    return ecdf(query.name, steps, query.budget_ms, query.quantile)


def _kinds(run: Run) -> list[str]:
    found = {
        kind for counts in (run.deploy.objects if run.deploy else {}).values() for kind in counts
    }
    order = ("tables", "partitions", "indexes", "constraints", "policies", "triggers", "functions")
    return [kind for kind in (*order, "views", "materialized views", "domains") if kind in found]


def _fill_by_schema(run: Run) -> Mapping[str, tuple[int, int]]:
    """Per schema: tables with rows, and rows."""
    if run.fill is None:
        return {}
    frame = pd.DataFrame(
        [(t.table.partition(".")[0], t.rows) for t in run.fill.tables], columns=["schema", "rows"]
    )
    grouped = frame.groupby("schema")["rows"]
    filled, rows = grouped.apply(lambda r: int((r > 0).sum())), grouped.sum()
    return {str(schema): (int(filled[schema]), int(rows[schema])) for schema in rows.index}


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")
