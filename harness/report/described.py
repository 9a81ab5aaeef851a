"""The rules that are no modules of checks.rules: of files beside a database, and of a load."""

from __future__ import annotations

from dataclasses import dataclass

from harness.finding import Severity


@dataclass(frozen=True, slots=True)
class Described:
    """A rule as reports and docs/rules.md describe it."""

    id: str
    name: str
    severity: Severity
    title: str
    why: str
    command: str
    """What looks for it."""


DRIFT = Described(
    id="SRC002",
    name="drift",
    severity=Severity.ERROR,
    title="A database holds what the files say",
    why="What was reviewed is not what runs: somebody changed one without the other. Compared are "
    "tables with their columns, constraints, indexes, triggers, policies and row security; views, "
    "functions; and what roles may do with all of them, with schemas and with sequences, now and "
    "by default.",
    command="harness check all",
)
GROWTH = Described(
    id="GRW001",
    name="grows_with_rows",
    severity=Severity.WARNING,
    title="What a query costs does not grow with the rows of a table",
    why="The blocks that a call touches are measured in databases of several sizes. A query that "
    "reads twice as much where there is twice as much is fast in tests and slow in a year; one "
    "that grows faster still is an error. A report that has to read what it reports says so in "
    "its header: -- growth: linear, and why.",
    command="harness load --growth",
)
RLS_COST = Described(
    id="RLC001",
    name="kept_from_its_plan",
    severity=Severity.WARNING,
    title="Row security keeps no query from the plan that it would have without",
    why="The same query runs under row security and, for a role that it does not bind, with "
    "explicit predicates. An operator that is not leakproof cannot use its index before the policy "
    "has let a row pass, and an index that does not lead with the tenant is passed over or read "
    "for everybody.",
    command="harness load --rls-cost",
)
DESCRIBED = (DRIFT, GROWTH, RLS_COST)
