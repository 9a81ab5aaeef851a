"""What a reader sees first, and what is folded away."""

from __future__ import annotations

from dataclasses import replace

from harness.load_result import BudgetResult, LoadResult
from harness.report import html, terminal
from harness.report.failures import Failure, failures
from harness.report.isolation import surveys
from harness.report.query_groups import groups
from harness.report.tiles import tiles
from harness.run import ProbeResult, QueryResult, Run
from tests.unit.conftest import query_result

WITHIN = BudgetResult("p95", 60, "pass", "p95 11.7 ms of 60 ms", 11.7, 9.4, 16.7)
ERRORS = BudgetResult("errors", 0, "miss", "1 error, the first: duplicate key", 0.004)


def _open(name: str = "rest.rare", samples: int = 30, needed: int = 120) -> QueryResult:
    budget = BudgetResult("p95", 60, "inconclusive", "p95 50 ms", 50, 40, None, needed)
    told = f"p95 50.0 ms [40.0, ?] of 60 ms; {samples} samples, a verdict needs about {needed}"
    return query_result(
        name, 60, samples=samples, verdict="inconclusive", reason=told, budgets=(budget,)
    )


def _loaded(run: Run, *queries: QueryResult) -> Run:
    return replace(run, load=LoadResult(8, 20.0, 3.0, 410.0, queries))


def test_a_query_that_missed_does_not_unfold_those_that_held() -> None:
    held = tuple(query_result(f"hs.q{number}") for number in range(15))
    missed = query_result("hs.slow", verdict="miss")
    (group,) = groups(LoadResult(1, 1, 0, 1, (*held, missed)))
    assert [row.query.name for row in group.shown] == ["hs.slow"]
    assert len(group.folded) == 15


def test_few_queries_are_all_shown() -> None:
    (group,) = groups(LoadResult(1, 1, 0, 1, (query_result("a.x"), query_result("a.y"))))
    assert (len(group.shown), group.folded) == (2, ())


def test_a_miss_by_errors_is_not_drawn_as_a_miss_of_the_latency() -> None:
    query = query_result("hs.q", 60, verdict="miss", budgets=(WITHIN, ERRORS))
    (group,) = groups(LoadResult(1, 1, 0, 1, (query,)))
    (row,) = group.rows
    assert row.bar == ""
    assert row.others == ("errors 0.4 % of 0 %",)
    (group,) = groups(LoadResult(1, 1, 0, 1, (_open(),)))
    assert (group.failed, group.missed) == (1, False)
    assert (group.rows[0].bar, group.rows[0].others) == ("open", ())


def test_how_long_a_load_that_decides_would_take_is_told(held_run: Run) -> None:
    run = _loaded(held_run, _open(samples=30, needed=120), query_result())
    (failure,) = failures(run)
    assert failure.open
    assert failure.detail.endswith("a verdict needs about 120: some 80 s of this load")
    page = html.render(run)
    assert "An INCONCLUSIVE does not pass" in page
    assert "An INCONCLUSIVE does not pass" not in html.render(held_run)


def test_no_time_is_told_where_none_would_decide(held_run: Run) -> None:
    for query in (_open(samples=0, needed=72), _open(samples=30, needed=0)):
        (failure,) = failures(_loaded(held_run, query))
        assert "of this load" not in failure.detail


def test_what_is_undecided_is_not_said_to_have_failed(held_run: Run) -> None:
    undecided = _loaded(held_run, _open(), query_result())
    assert "1 thing was not decided" in html.render(undecided)
    (budgets,) = (tile for tile in tiles(undecided) if tile.title == "Budgets")
    assert (budgets.sign, budgets.figure) == ("?", "1 / 2")
    both = _loaded(held_run, _open(), query_result(verdict="miss", reason="slow"))
    assert "1 thing did not hold, 1 was not decided" in html.render(both)
    (budgets,) = (tile for tile in tiles(both) if tile.title == "Budgets")
    assert budgets.sign == "✗"


def test_what_can_be_told_of_another_tenant_is_no_open_question() -> None:
    assert not Failure("rest.check", "its size is told", "harness", "weak").open


def test_probes_that_found_nothing_are_named_in_a_line(held_run: Run) -> None:
    probes = (
        ProbeResult("rest.v", "view", "held"),
        ProbeResult("a server", "notification", "held"),
        *(ProbeResult(f"rest.f{n}()", "function", "noted", "gave nothing") for n in range(2)),
    )
    page = html.render(replace(held_run, probes=probes))
    assert "Nothing to tell of: notification (1), view (1)" in page
    assert "<small>2 of 2 noted</small>" in page
    quiet, told = surveys(probes)[1:], surveys(probes)[0]
    assert (told.probe, all(not each.told for each in quiet)) == ("function", True)


def test_one_is_not_told_as_many(held_run: Run) -> None:
    query = query_result(errors=1, timeouts=1, retries=2)
    assert "1 error, 1 timeout, 2 retries;" in terminal.told_verdicts(
        LoadResult(1, 1, 0, 1, (query,))
    )


def test_large_counts_of_probes_have_separators() -> None:
    probes = [ProbeResult(f"a.t{n}", "select", "held") for n in range(1200)]
    assert terminal.told_probes(probes) == "0 leaks in 1,200 probes of 1,200 objects"
