"""The report as one HTML page: no external request, readable without color and without script.

Order: verdict, what failed and the command that reproduces it, critical queries, isolation
matrix, coverage, data, server, environment, and the run document itself. A script does one thing:
it takes the plan of a query that held out of that document when somebody opens it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from harness.report import data, embedded, growth, isolation, rls_cost, terminal
from harness.report.again import again
from harness.report.chart import axis
from harness.report.coverage import coverage
from harness.report.failures import failures
from harness.report.query_groups import QueryGroup, groups
from harness.report.tiles import tiles
from harness.run import Run

AT_ONCE = 10
"""So many failures are seen without opening more."""
SHOWN = 60
"""So many failures are listed one by one."""
SHOWN_NOTES = 25
"""So many different things are told of what one probe met, the worst first."""
LISTED = 25
"""So many objects of which the same is told are named."""
SIGNS = {
    "held": "✓",
    "leak": "✗ leak",
    "weak": "✗ weak",
    "noted": "– noted",
    "vacuous": "○ unproven",
    "error": "! error",
}
_KINDS = (
    *("tables", "partitions", "indexes", "constraints", "policies", "triggers", "functions"),
    *("views", "materialized views", "domains"),
)


def render(run: Run) -> str:
    """The page."""
    found = groups(run.load)
    return template("report.html").render(
        run=run,
        failures=failures(run),
        headline=headline(run),
        at_once=AT_ONCE,
        shown=SHOWN,
        listed=LISTED,
        shown_notes=SHOWN_NOTES,
        tiles=tiles(run),
        told=terminal,
        seconds=sum(stage.seconds for stage in run.stages),
        groups=found,
        later=_something_comes_later(found),
        **_of_isolation(run),
        **_of_schema(run),
        hit=_hit_ratio(run),
        again=again(run),
        growth=growth,
        costs=rls_cost,
        axis=axis(),
        document=embedded.pack(run),
    )


def headline(run: Run) -> str:
    """How much did not hold, and how much could not be decided."""
    failed = failures(run)
    undecided = sum(failure.open for failure in failed)
    broken = len(failed) - undecided
    if run.held:
        return "all that was looked at"
    told = f"{_things(broken)} did not hold"
    if not undecided:
        return told
    were = "was" if undecided == 1 else "were"
    if not broken:
        return f"{_things(undecided)} {were} not decided"
    return f"{told}, {undecided} {were} not decided"


def _things(count: int) -> str:
    return f"{count} thing{'s' * (count != 1)}"


def _of_isolation(run: Run) -> Mapping[str, Any]:
    return {
        "matrices": isolation.matrices(run.probes),
        "surveys": isolation.surveys(run.probes),
        "probes": isolation.PROBES,
        "signs": SIGNS,
    }


def _of_schema(run: Run) -> Mapping[str, Any]:
    return {
        "coverage": coverage(run),
        "kinds": _kinds(run),
        "skew": data.skew(run),
        "largest": data.largest(run),
        "untold": data.untold(run.fill),
    }


def _something_comes_later(found: tuple[QueryGroup, ...]) -> bool:
    return any(row.notes and not row.whole for group in found for row in group.rows)


def _hit_ratio(run: Run) -> float | None:
    """The share of blocks that were found in memory; None where none was asked for."""
    counted = {c.name: c.change or 0.0 for c in (run.load.server if run.load else ())}
    hit, read = counted.get("blocks found in memory", 0.0), counted.get("blocks read", 0.0)
    return hit / (hit + read) if hit + read else None


def _kinds(run: Run) -> list[str]:
    objects = run.deploy.objects if run.deploy else {}
    found = {kind for counts in objects.values() for kind in counts}
    return [kind for kind in _KINDS if kind in found]


@cache
def template(name: str) -> Template:
    """A template of this package; what it is given is escaped."""
    environment = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["column"] = lambda name: (name, "")
    environment.globals["size"] = data.size
    return environment.get_template(name)
