"""What changed from one run to another, in every rendering."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import jsonschema
import pytest
from hdrh.histogram import HdrHistogram
from pydantic import TypeAdapter
from rich.console import Console
from typer.testing import CliRunner

from harness.cli.app import app_for
from harness.cli.comparing import compared
from harness.load_result import Latency, LoadResult, Plan, QueryResult
from harness.report import change, change_html, change_markdown, change_text
from harness.report.change import RunChange
from harness.run import Environment, ProbeResult, Run, TableFill, to_json
from harness.volume import SchemaVolume, Volume
from tests.unit.conftest import query_result

PLAN = Plan("d1", ("Index Scan a_pkey on a",), 10, 0.1, parameters="p", rows=1)


def measured(name: str, milliseconds: float, samples: int = 200, **given: object) -> QueryResult:
    """A query whose answers took so long, give or take a twentieth."""
    histogram = HdrHistogram(1, 600_000_000, 3)
    for step in range(samples):
        histogram.record_value(round(milliseconds * (950 + step % 100)))
    ms = milliseconds
    return query_result(
        name,
        samples=samples,
        latency=Latency(ms, ms * 1.04, ms * 1.05, ms * 1.05, ms),
        histogram=histogram.encode().decode(),
        **{"budget_ms": 50, "plan": PLAN, **given},  # type: ignore[arg-type]
    )


@pytest.fixture
def then(held_run: Run) -> Run:
    """Five queries that held."""
    queries = tuple(measured(f"a.q{number}", 10) for number in range(5))
    return replace(held_run, load=LoadResult(8, 20, 3, 100, queries))


def with_query(run: Run, query: QueryResult) -> Run:
    """The run with another result of the query."""
    assert run.load
    queries = tuple(query if q.name == query.name else q for q in run.load.queries)
    return replace(run, load=replace(run.load, queries=queries))


def told(changed: RunChange) -> str:
    """What the terminal says."""
    out = StringIO()
    change_text.print_change(changed, Console(file=out, width=200))
    return out.getvalue()


def test_a_run_is_no_worse_than_itself(then: Run) -> None:
    changed = compared(then, then)
    assert changed.worse == ()
    assert {query.way for query in changed.queries} == {"same"}
    assert changed.compared == 5
    assert list(change_text.parts(changed)) == []
    assert told(changed).splitlines()[-1] == "NO WORSE"


def test_a_slower_query_is_worse_and_the_other_way_round_better(then: Run) -> None:
    slow = with_query(then, measured("a.q3", 30))
    (line,) = compared(then, slow).worse
    assert line.startswith("a.q3: p50 is at least 2")
    back = compared(slow, then)
    assert back.worse == ()
    (better,) = (query for query in back.queries if query.way == "better")
    assert (better.query, better.detail) == ("a.q3", "faster than chance explains")
    assert "NO WORSE; BETTER QUERIES: 1" in told(back)


def test_a_slower_machine_is_not_worse(then: Run) -> None:
    assert then.load
    queries = tuple(measured(query.name, 20) for query in then.load.queries)
    changed = compared(then, replace(then, load=replace(then.load, queries=queries)))
    assert changed.worse == ()
    assert changed.speed_factor == pytest.approx(2)
    assert changed.queries[0].change == pytest.approx(0)


def test_a_missed_budget_is_worse_unless_the_machine_alone_is_slower(then: Run) -> None:
    assert then.load
    slow = tuple(
        measured(query.name, 60, verdict="miss", reason="too slow") for query in then.load.queries
    )
    alone = with_query(then, measured("a.q1", 11, verdict="miss", reason="p95 11 ms"))
    assert compared(then, alone).worse == ("a.q1: PASS → MISS: p95 11 ms",)
    changed = compared(then, replace(then, load=replace(then.load, queries=slow)))
    assert changed.worse == ()
    assert all(query.other_verdict for query in changed.queries)


def test_more_blocks_and_another_plan_are_told(then: Run) -> None:
    other = replace(PLAN, digest="d2", buffers=500, outline=("Seq Scan a",))
    changed = compared(then, with_query(then, measured("a.q2", 10, plan=other)))
    assert changed.worse == ("a.q2: a call touches 500 blocks, it was 10",)
    assert "another plan" in told(changed)
    page = change_html.render(changed)
    assert "Index Scan a_pkey on a" in page
    assert "Seq Scan a" in page


def test_a_query_that_is_no_longer_driven_is_worse_and_a_new_one_is_not(then: Run) -> None:
    assert then.load
    fewer = replace(then, load=replace(then.load, queries=then.load.queries[1:]))
    assert compared(then, fewer).worse == ("a.q0: it is no longer driven",)
    assert compared(fewer, then).worse == ()


def test_findings_leaks_and_truths_are_new_or_gone(held_run: Run, failed_run: Run) -> None:
    changed = compared(held_run, failed_run)
    assert changed.worse[:3] == (
        "rest.tip, select: not there → leak",
        "RLS001: row security is not enabled",
        "no longer true: a check [a-z] totals",
    )
    back = compared(failed_run, held_run)
    assert not [line for line in back.worse if "leak" in line or "RLS001" in line]
    assert [finding.rule for finding in back.findings_gone] == ["RLS001"]
    assert [truth.place for truth in back.truths_gone] == ["rest/check.toml:4"]


def test_a_probe_that_no_longer_holds_is_worse(held_run: Run) -> None:
    first, *rest = held_run.probes
    broken = replace(held_run, probes=(replace(first, verdict="weak"), *rest))
    assert compared(held_run, broken).worse == ("rest.check, select: held → weak",)
    assert compared(broken, held_run).worse == ()
    noted = replace(held_run, probes=(replace(first, verdict="noted"), *rest))
    assert compared(held_run, noted).worse == ()


def test_volume_and_settings_are_told(then: Run) -> None:
    assert then.fill
    old = Environment("0.1.0", "3", "Linux", 2, 1, settings={"jit": "off", "work_mem": "4MB"})
    new = replace(old, settings={"jit": "on", "fsync": "on", "work_mem": "4MB"})
    fill = replace(then.fill, seed=2, tables=(TableFill("rest.check", 1800, 0.5),))
    changed = compared(
        replace(then, environment=old),
        replace(then, environment=new, fill=fill, volume=Volume({"rest": SchemaVolume(4, 4)}, ())),
    )
    text = told(changed)
    assert "rest: 900 → 1,800 rows, – → 8 B" in text
    assert "jit: off → on" in text
    assert "seed: 1 → 2" in text
    assert "fsync" not in text, "the old run does not tell"
    assert "the data differ" in text
    assert changed.worse == ()


def test_a_run_without_a_load_is_compared_in_the_rest(then: Run) -> None:
    changed = compared(then, replace(then, load=None))
    assert changed.worse == ()
    assert "the new run has not a load: there is nothing to compare" in changed.notes


def test_markdown_and_json_say_the_same(held_run: Run, failed_run: Run) -> None:
    changed = compared(held_run, failed_run)
    text = change_markdown.render(changed)
    assert text.startswith("## ✗ Run 000000000000 is worse in 4 ways\n")
    assert "| RLS001: row security is not enabled |" in text
    assert "| `rest.<slow>` |" in text
    document = json.loads(change.to_json(changed))
    jsonschema.validate(document, TypeAdapter(RunChange).json_schema(mode="serialization"))
    assert document["format"] == 1
    assert TypeAdapter(RunChange).validate_python(document) == changed


def test_the_command_exits_with_one_when_the_new_run_is_worse(
    held_run: Run, failed_run: Run, tmp_path: Path
) -> None:
    old, new = tmp_path / "a.json", tmp_path / "b.json"
    old.write_text(to_json(held_run))
    new.write_text(to_json(failed_run))

    def run(*options: str) -> tuple[int, str]:
        done = CliRunner().invoke(app_for(["report"]), ["report", *options])
        return done.exit_code, done.output

    assert run("--compare", str(old), str(old))[0] == 0
    code, output = run("--compare", str(old), str(new), "--format", "markdown")
    assert (code, output[:5]) == (1, "## ✗ ")
    assert run("--compare", str(old), str(new), "--format", "html")[1].startswith("<!doctype html>")


def test_only_probes_of_both_runs_are_counted_as_new_or_gone(held_run: Run) -> None:
    more = ProbeResult("rest.new", "select", "held", "read 0 rows")
    changed = compared(held_run, replace(held_run, probes=(*held_run.probes, more)))
    assert (changed.probes_new, changed.probes_gone, changed.probes) == (1, 0, ())
    assert "probes of what was not there: 1" in told(changed)
