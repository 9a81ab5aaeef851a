"""The page of what is tried beside a run: growth, the cost of row security, a drill."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from harness.growth_result import GrowthResult, QueryGrowth
from harness.report import embedded, html, junit_run, markdown_run, terminal, tiles
from harness.report.failures import failures
from harness.rls_cost_result import RlsCostResult
from harness.run import Run
from tests.unit.report.trials import DRILL, LOST, cost, growth


@pytest.fixture
def tried(held_run: Run) -> Run:
    """A run that did nothing yet."""
    return replace(held_run, stages=(), deploy=None, fill=None, probes=(), load=None)


def _told(run: Run) -> dict[str, tuple[str, str]]:
    return {tile.title: (tile.sign, tile.figure) for tile in tiles.tiles(run)}


def test_a_drill_tells_what_it_compared_and_how_long_each_step_took(tried: Run) -> None:
    run = replace(tried, command="drill backup", drill=DRILL)
    page = html.render(run)
    assert _told(run) == {"Backup drill": ("✓", "344,030")}
    for told in ('href="#drill"', "full backup", "41.5", "3.0 MB", "a dump holds no roles"):
        assert told in page
    assert "1,980 policies" in page
    assert embedded.unpack(page) == run


def test_what_a_drill_lost_is_a_failure_with_its_command(tried: Run) -> None:
    run = replace(tried, drill=replace(DRILL, findings=(LOST,)))
    (lost,) = failures(run)
    assert (lost.what, lost.kind) == ("dump: policies: rest.<check>", "drill")
    assert lost.reproduce == "harness drill backup"
    assert _told(run) == {"Backup drill": ("✗", "344,030")}
    assert "1 thing did not hold" in html.render(run)
    assert "rest.<check>" not in html.render(run)
    assert "dump: policies: rest" in markdown_run.render(run)
    assert 'name="rest.&lt;check&gt;"' in junit_run.render(run)


def test_row_security_that_costs_more_than_promised_fails_the_run(tried: Run) -> None:
    costs = RlsCostResult(tuple(cost(f"hs.q{n}", 1 + n / 10) for n in range(5)), 1.05)
    run = replace(tried, rls_cost=costs)
    assert not run.held
    assert replace(tried, rls_cost=replace(costs, promise=1.2)).held
    (dear,) = failures(run)
    assert "takes 1.20 " in dear.detail
    assert dear.reproduce == "harness load --rls-cost"
    assert '<failure message="the median of 5 reading queries takes 1.20' in junit_run.render(run)
    assert _told(run) == {"Row security": ("✗", "× 1.20")}


def test_the_dearest_queries_come_first_and_cheap_ones_are_folded(tried: Run) -> None:
    many = (cost(f"hs.q{n}", 2) for n in range(20))
    queries = (cost("hs.cheap", 1), *many, cost("hs.dear", 4), cost("hs.odd", 0, "it writes"))
    page = html.render(replace(tried, rls_cost=RlsCostResult(queries, 1.05)))
    assert page.index("hs.dear") < page.index("hs.cheap")
    cheap = page[page.index("A list.") :]
    assert cheap.index("<details") < cheap.index("hs.cheap")
    assert "hs.odd: not compared: it writes" in page


def test_nothing_was_compared_is_no_promise_kept_or_broken() -> None:
    assert RlsCostResult((cost("hs.odd", 0, "it writes"),), 1.05).held


def test_what_grows_is_told_and_what_does_not_is_counted(tried: Run) -> None:
    growing, flat = growth("hs.grows", "quadratic", 2.0), growth("hs.flat", "constant", 0.0)
    blank = QueryGrowth("hs.blank", "A list.", note="no rows")
    result = GrowthResult(("0.01", "0.04"), "100x", 9, (growing, flat, blank))
    run = replace(tried, growth=result)
    page = html.render(run)
    assert _told(run) == {"Growth": ("", "1 / 3")}
    assert 'href="#growth"' in page
    assert "88,000 [80,000, 99,000]" in page
    assert "20 → 80" in page
    assert '<tr><th scope="row">hs.flat' not in page
    assert "hs.blank: nothing to tell: no rows" in page


def test_a_terminal_tells_all_of_it_too(tried: Run) -> None:
    grown = GrowthResult(("0.01", "0.04"), "100x", 9, (growth("hs.grows", "linear", 1.0),))
    costs = RlsCostResult((cost("hs.dear", 4.5),), 1.05)
    console = Console(width=200, record=True, quiet=False, no_color=True)
    with console.capture() as captured:
        terminal.print_run(replace(tried, growth=grown, rls_cost=costs, drill=DRILL), console)
    told = captured.get()
    for words in ("linear", "4.50", "full backup", "FAILED in"):
        assert words in told
