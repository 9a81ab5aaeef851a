"""Frames from recorded views: what is told, what is left out where there is little room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.live.counts import ANSWERED, ERRORS, FIELDS, FOREIGN_ROWS, WIDTH, Counts, bucket
from harness.live.working import Working
from harness.watch.frame import View, bar, frame, told_bytes
from harness.watch.server import Blocked, Operation, Sample, Sessions, Totals, Wait
from tests.unit.live.test_counts import LOAD

BEFORE = Totals(100.0, 1000, 10, 5000, 100, 900, 100, 0, 0, 0)
NOW = Totals(102.0, 1200, 14, 9000, 300, 990, 110, 4000, 1, 3_000_000)
SAMPLE = Sample(
    totals=NOW,
    sessions=Sessions(12, 8, 1, 200, 0.25),
    waits=(
        Wait("CPU Running", "Waiting for nothing", 5),
        Wait("Lock tuple", "Waiting to acquire a lock.", 2),
    ),
    blocked=(
        Blocked(7, "web", "UPDATE shop.item", 1.5, "shop.item", 9, "psql", "idle", "LOCK TABLE"),
    ),
    operations=(Operation("CREATE INDEX", "shop", "item", "building index", 0.25),),
    size=312_000_000,
    applications={"bh:first": 30, "bh:second": 10},
)
VIEW = View(
    place="shop on a socket",
    now=1013.0,
    clock="03:04:05 UTC",
    server="17.10",
    sample=SAMPLE,
    before=replace(SAMPLE, totals=BEFORE),
    working=(Working(4, "Filling", "shop", 1000.0, 1010.0, 25, 100, 27_150, "shop.item"),),
)


def counts(answers: dict[str, list[int]], **fields: int) -> Counts:
    """A load with answers by query, in milliseconds, and further counts of the first query."""
    numbers = np.zeros((len(LOAD.queries), WIDTH), np.uint64)
    for place, query in enumerate(LOAD.queries):
        for milliseconds in answers.get(query.name, []):
            numbers[place, ANSWERED] += 1
            numbers[place, FIELDS + bucket(milliseconds * 1000)] += 1
    for name, count in fields.items():
        numbers[0, {"errors": ERRORS, "leaked": FOREIGN_ROWS}[name]] = count
    return Counts(LOAD, numbers, np.array([30, 10], np.uint64))


def of_load(*loads: Counts, before: tuple[Counts, ...] = ()) -> View:
    return replace(VIEW, sample=None, working=(), loads=loads, loads_before=before)


def lines(view: View, width: int = 160, height: int = 100) -> list[str]:
    return [line.plain for line in frame(view, width, height)]


def test_a_server_at_work() -> None:
    assert lines(VIEW) == [
        "harness watch · shop on a socket · PostgreSQL 17.10 · 03:04:05 UTC",
        "102 tx/s · 2.0 rolled back/s · rows/s 2,000 read, 100 written · WAL 1.5 MB/s · "
        "cache 90.0% · temporary files 2.0 kB/s · ✗ 1 deadlocks",
        "12 of 200 connections, 8 active · 1 idle in transaction · oldest transaction 0.2 s · "
        "312.0 MB",
        "Filling shop · [#####---------------] 25% (25 of 100) · 27,150 rows, 2,715 rows/s · "
        "shop.item",
        "waits:",
        "  5 CPU Running (Waiting for nothing)",
        "  2 Lock tuple (Waiting to acquire a lock)",
        "locks:",
        "  ✗ 7 web waits 1.5 s for shop.item, held by 9 psql (idle): LOCK TABLE",
        "at work:",
        "  CREATE INDEX shop.item: building index 25%",
        "busiest applications: bh:first 75%, bh:second 25% (of 40 sightings)",
    ]


def test_a_load_shows_the_worst_query_first() -> None:
    load = counts({"shop.a": [10] * 20, "shop.b": [100] * 20})
    told = "\n".join(lines(of_load(load)))
    assert "4 users, 10 of 40 s, 40 requests, 4/s, 0 errors, 0 leaked rows" in told
    assert "top tenants: first 75%, second 25%" in told
    missed, held = told.index("✗  shop.b"), told.index("✓  shop.a")
    assert missed < held


def test_now_is_since_the_frame_before() -> None:
    before = counts({"shop.a": [10] * 20})
    now = counts({"shop.a": [10] * 20 + [40] * 20})
    (row,) = [x for x in lines(of_load(now, before=(before,))) if "shop.a" in x]
    _, _, _, budget, since, so_far, p50, *_ = row.split()
    assert float(budget) == 20
    assert float(since) == pytest.approx(40, rel=0.02)
    assert float(so_far) == pytest.approx(40, rel=0.02)
    assert float(p50) == pytest.approx(10, rel=0.02)
    (still,) = [x for x in lines(of_load(now, before=(now,))) if "shop.a" in x]
    assert still.split()[4] == "–"


def test_a_leak_is_told_before_the_queries() -> None:
    told = lines(of_load(counts({"shop.a": [1]}, leaked=3)))
    assert told[2] == "✗ LEAK shop.a: 3 rows of another tenant"
    assert "3 leaked rows" in told[1]


def test_a_warm_up_has_no_figures_yet() -> None:
    told = lines(replace(of_load(counts({})), now=1001.0))
    assert told[1] == "load of shop on a socket: 4 users, warming up (1 of 3 s)"


def test_a_server_that_went_away_is_told() -> None:
    told = lines(replace(VIEW, sample=None, lost="the connection was lost"))
    assert told[1] == "✗ the connection was lost; trying again"
    assert told[2].startswith("Filling shop"), "what processes tell is still there"


@pytest.mark.parametrize(("width", "height"), [(40, 8), (80, 24), (20, 3), (120, 1)])
def test_no_frame_is_larger_than_the_terminal(width: int, height: int) -> None:
    view = replace(VIEW, loads=(counts({"shop.a": [10], "shop.b": [100]}),))
    shown = frame(view, width, height)
    assert len(shown) <= height
    assert all(line.cell_len <= width for line in shown)
    assert shown[0].plain.startswith("harness watch"[:width])


def test_queries_give_way_to_everything_else() -> None:
    full = lines(replace(VIEW, loads=(counts({"shop.a": [10], "shop.b": [100]}),)))
    fewer = lines(replace(VIEW, loads=(counts({"shop.a": [10], "shop.b": [100]}),)), height=15)
    assert [line for line in full if line not in fewer] == full[7:9]


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e9, "2.5 GB")]
)
def test_bytes_are_told_for_people(count: float, told: str) -> None:
    assert told_bytes(count) == told


def test_a_bar_is_as_full_as_its_share() -> None:
    assert (bar(0).count("#"), bar(0.5).count("#"), bar(1).count("#")) == (0, 10, 20)
