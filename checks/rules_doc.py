"""docs/rules.md, written from the rules: `python -m checks.rules_doc > docs/rules.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from checks.probe import registry as probe_registry
from checks.rule import Rule
from checks.rules import registry
from harness.report.described import DESCRIBED

_GROUPS = {
    "SRC": "The files themselves",
    "TEN": "The tenant column",
    "RLS": "Row level security",
    "POL": "The policy",
    "ORA": "Oracles: what keys tell of other tenants",
    "BYP": "Ways around row level security",
    "CTX": "How the tenant is set",
    "PRV": "Privileges",
    "PRF": "Performance",
    "CIT": "Citus",
    "SRV": "The server",
    "DOC": "Comments",
    "TYP": "Types",
}


def render() -> str:
    """The page: an overview by group, then each rule with its reason and its examples."""
    rules = (line for rule in _in_order() for line in _section(rule))
    return "\n".join([*_head(), *rules, *_described(), *_probes()])


def _head() -> Iterator[str]:
    yield "<!-- Written by `python -m checks.rules_doc`; a test fails where it is out of date. -->"
    yield ""
    yield "# Rules"
    yield ""
    yield "What `harness check static` looks for in the SQL files, without a database, and"
    yield "`harness check catalog` in a database. What Citus refuses counts where the schema is"
    yield "meant for it ([checks] citus); from CIT101 on it is what `harness check citus` finds on"
    yield "a cluster, and the examples are what is sent to its coordinator."
    yield "An error breaks isolation or the deploy; a warning weakens it. Both fail the check."
    yield "What is meant is allowed beside its statement ([SRC006](#src006) shows how)."
    yield "[figures.md](figures.md) tells which faults are seen by which layer, and by a peer."
    group = ""
    for rule in _in_order():
        if rule.id[:3] != group:
            group = rule.id[:3]
            yield from (
                "",
                f"**{_GROUPS.get(group, group)}**",
                "",
                "| rule | severity | what holds |",
            )
            yield "|---|---|---|"
        yield f"| [{rule.id}](#{rule.id.lower()}) | {rule.severity.value} | {rule.title} |"
    yield from ("", "**Found beside the checks of one source**", "")
    yield from ("| rule | severity | what holds | looked for by |", "|---|---|---|---|")
    for other in DESCRIBED:
        place = f"[{other.id}](#{other.id.lower()})"
        yield f"| {place} | {other.severity.value} | {other.title} | `{other.command}` |"
    yield ""


def _section(rule: Rule) -> Iterator[str]:
    yield from ("", f"## {rule.id}", "", f"{rule.title}. *{rule.severity.value.capitalize()}.*")
    yield from ("", rule.why, "")
    yield from ("Not found:", "", "```sql", *_example(rule.good[0]), "```", "")
    yield from ("Found:", "", "```sql", *_example(rule.bad[0]), "```", "")


def _described() -> Iterator[str]:
    for rule in DESCRIBED:
        yield from ("", f"## {rule.id}", "", f"{rule.title}. *{rule.severity.value.capitalize()}.*")
        yield from ("", rule.why, "", f"Found by `{rule.command}`.", "")


def _probes() -> Iterator[str]:
    yield from ("", "## Probes", "")
    yield "What `harness check isolation` tries on a filled database, as the application role, and"
    yield "the name under which it tells what it found: an error where rows of another tenant were"
    yield "reached or nothing was proven, a warning where something of them can be told, an info"
    yield "where that is how PostgreSQL works or a function could not be called. Those that begin"
    yield "with `cluster_` are tried by `harness check citus`."
    yield from ("", "| probe | finding | what it tries |", "|---|---|---|")
    for probe in probe_registry().values():
        yield f"| {probe.name} | {probe.rule} | {probe.title} |"
    yield ""


def _example(text: str) -> list[str]:
    return text.strip("\n").split("\n")


def _in_order() -> list[Rule]:
    """By group in the order of the page, groups without a heading last."""
    order = {group: position for position, group in enumerate(_GROUPS)}
    return sorted(registry(), key=lambda rule: (order.get(rule.id[:3], len(order)), rule.id))


if __name__ == "__main__":
    sys.stdout.write(render())
