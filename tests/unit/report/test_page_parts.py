"""The figures that a page is made of."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hdrh.histogram import HdrHistogram

from harness.load_result import Arrivals, Comparison, Counted, Latency, LoadResult, Plan, Regression
from harness.report import data, html, sparse, tiles
from harness.report.again import again
from harness.report.coverage import coverage
from harness.report.query_groups import groups
from harness.run import ProbeResult, QueryResult, Run, TableFill, TenantFill
from harness.volume import SchemaVolume, TableVolume, Volume
from tests.unit.conftest import MOMENT, query_result


def test_coverage_counts_tables_that_are_there_filled_attacked_and_queried(held_run: Run) -> None:
    assert held_run.fill
    query = query_result(statement="SELECT 1 FROM rest.check AS c JOIN rest.tip USING (a.b)")
    run = replace(
        held_run,
        load=LoadResult(1, 1, 0, 1, (query,)),
        fill=replace(held_run.fill, tables=(*held_run.fill.tables, TableFill("rest.tip", 0, 0))),
        volume=Volume({"rest": SchemaVolume(8192, 16384), "hs": SchemaVolume(0, 8192)}, ()),
    )
    hs, rest, everything = coverage(run)
    assert (hs.schema, hs.tables, hs.bytes) == ("hs", 0, 8192)
    assert (rest.tables, rest.filled, rest.attacked, rest.queried) == (2, 1, 1, 2)
    assert (rest.queries, rest.rows, rest.bytes) == (1, 900, 24576)
    assert (everything.schema, everything.bytes) == ("all", 32768)


def test_coverage_does_not_tell_what_no_text_tells(held_run: Run) -> None:
    (rest,) = coverage(held_run)
    assert rest.queried is None


def test_skew_is_the_largest_tenant_against_the_median_one(held_run: Run) -> None:
    assert held_run.fill
    shares = tuple(TenantFill(f"t{n}", "", "retail", "small", rows) for n, rows in enumerate(ROWS))
    skew = data.skew(replace(held_run, fill=replace(held_run.fill, shares=shares)))
    assert skew
    assert [tenant.rows for tenant in skew.tenants] == sorted(ROWS, reverse=True)
    assert (skew.rows, skew.top_share, skew.largest_to_median) == (100, 0.6, 6.0)
    assert data.skew(held_run) is None


ROWS = (10, 60, 8, 12, 10)


def test_the_largest_tables_are_told_by_size_where_it_was_measured(held_run: Run) -> None:
    assert [(each.table, each.rows, each.bytes) for each in data.largest(held_run)] == [
        ("rest.check", 900, None)
    ]
    volume = Volume({}, (TableVolume("rest.log", 8192, 0), TableVolume("rest.check", 1, 1)))
    sizes = data.largest(replace(held_run, volume=volume))
    assert [(each.table, each.rows, each.bytes) for each in sizes] == [
        ("rest.log", None, 8192),
        ("rest.check", 900, 2),
    ]


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 B"), (1023, "1,023 B"), (1536, "1.5 kB"), (5 * 2**40, "5.0 TB")]
)
def test_sizes_are_told_in_powers_of_1024(count: int, told: str) -> None:
    assert data.size(count) == told


def test_tiles_say_what_held(failed_run: Run) -> None:
    told = {tile.title: (tile.sign, tile.figure) for tile in tiles.tiles(failed_run)}
    assert told == {
        "Findings": ("✗", "1"),
        "Leaks": ("✗", "1"),
        "Rows": ("✗", "900"),
        "Budgets": ("✗", "1 / 2"),
        "Requests/s": ("", "410"),
    }


def test_the_command_makes_the_same_data_and_load_again(held_run: Run) -> None:
    assert again(held_run) == (
        "harness run --tenants 3 --scale 0.02 --seed 1 --as-of 2026-01-02"
        " --users 8 --seconds 20 --warmup 3"
    )
    assert held_run.load
    load = replace(held_run.load, arrivals=Arrivals(50, "poisson", 0))
    alone = replace(held_run, command="load", fill=None, load=load)
    assert again(alone).endswith("--warmup 3 --rate 50 --arrivals poisson")


def test_queries_are_grouped_by_schema_and_what_failed_comes_first() -> None:
    held = [query_result(f"a.q{number}") for number in range(12)]
    missed = query_result("b.slow", verdict="miss", reason="too slow")
    first, second = groups(LoadResult(1, 1, 0, 1, (*held, missed)))
    assert (first.schema, first.failed, first.open) == ("b", 1, True)
    assert (second.schema, second.failed, second.open) == ("a", 0, False)


def test_a_query_tells_its_change_against_the_baseline() -> None:
    worse = Regression("a.q", "latency", "p50 is at least 2 ms")
    before = {"a.q": Latency(0.5, 0.475, 1, 1, 1), "a.r": Latency(0.5, 0.95, 1, 1, 1)}
    comparison = Comparison("r1", 1.0, 2, (worse,), ("a.r",), before)
    queries = tuple(query_result(name) for name in ("a.q", "a.r", "a.new"))
    (group,) = groups(LoadResult(1, 1, 0, 1, queries, comparison=comparison))
    assert {row.query.name: row.change for row in group.rows} == {
        "a.q": "✗ latency, +100%",
        "a.r": "+0%, another plan",
        "a.new": "not in it",
    }


def test_the_page_tells_what_the_server_counted(held_run: Run) -> None:
    assert held_run.load
    server = (
        Counted("database", "blocks found in memory", 100, 1000),
        Counted("database", "blocks read", 0, 100),
        Counted("WAL", "bytes", 0, 3 * 2**20),
        Counted("checkpoints", "by time", 7, 2),
    )
    page = html.render(replace(held_run, load=replace(held_run.load, server=server)))
    assert "90.00 % of the blocks were found in memory" in page
    assert "3.0 MB" in page
    assert "reset meanwhile" in page


def test_a_histogram_comes_back_from_its_buckets() -> None:
    query = query_result()
    buckets = sparse.of(query.histogram)
    assert not isinstance(buckets, str)
    assert sum(buckets[2]) == query.samples
    assert sparse.encoded(json.loads(json.dumps(buckets))) == query.histogram
    assert sparse.of("") == ""


def test_a_page_of_a_whole_schema_is_small(held_run: Run) -> None:
    chance = random.Random(1)
    probes = tuple(
        ProbeResult(f"s{n % 14}.table_of_something_{n}", f"probe_{probe}", "held", f"refused {n}")
        for n in range(1000)
        for probe in range(14)
    )
    queries = tuple(_driven(f"s{n % 14}.query_number_{n}", chance) for n in range(150))
    run = replace(
        held_run,
        finished_at=MOMENT + timedelta(minutes=5),
        probes=probes,
        load=LoadResult(8, 120, 3, 300, queries),
    )
    assert len(html.render(run).encode()) < 400_000


def _driven(name: str, chance: random.Random) -> QueryResult:
    """250 answers and a plan of 15 nodes."""
    histogram = HdrHistogram(1, 600_000_000, 3)
    for _ in range(250):
        histogram.record_value(round(chance.lognormvariate(8, 1)))
    nodes = (
        f"{' ' * n}Index Scan t_{chance.randrange(999)}_pkey on t ({chance.random():.2f} ms)"
        for n in range(15)
    )
    plan = Plan(name, tuple(nodes), 40, 0.2)
    return query_result(name, histogram=histogram.encode().decode(), samples=250, plan=plan)
