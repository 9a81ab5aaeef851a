"""Who watches a load hears of every request once, and of the measured ones which they are."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.live import counts, place
from loadtests.budget import parse
from loadtests.draws import Draws
from loadtests.measured import Measured
from loadtests.query import Query
from loadtests.recorder import Tally
from loadtests.telling import Teller, report
from loadtests.workload import TenantSamples, Workload

QUERY = Query("shop.a", "A.", "SELECT 1", parse("p95 50ms"), "read")
WORK = Workload((QUERY,), (TenantSamples("1", 1.0, {"shop.a": []}),), "SELECT 1", "org", 0, 1, 0)


@pytest.fixture
def measured() -> Measured:
    return Measured(WORK, Draws(WORK))


@pytest.fixture
def teller(measured: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Teller]:
    monkeypatch.setattr(place, "directory", lambda: tmp_path)
    teller = Teller(WORK, measured)
    teller.publish(3)
    yield teller
    teller.close()


def test_locust_hears_of_all_and_harness_watch_of_what_is_measured(
    measured: Measured, teller: Teller, tmp_path: Path
) -> None:
    heard: Counter[int] = Counter()
    returned: list[int] = []

    def hear(query: Query, tally: Tally, rows: int) -> None:
        assert query is QUERY
        heard.update(tally)
        returned.append(rows)

    measured.unmeasured["shop.a"].answered("small", 900, 1, 1)
    measured.records["shop.a"].answered("small", 70, 2, 1)
    measured.asked[b"1"] += 1
    for _ in range(2):
        teller.tell(hear)
    assert heard == {900: 1, 70: 1}
    assert sum(returned) == 3
    (watched,) = counts.read(tmp_path)
    assert watched.queries[0, counts.ANSWERED] == 1
    assert counts.percentile(watched.queries[0, counts.FIELDS :], 1) == pytest.approx(
        0.07, rel=0.02
    )
    assert counts.busiest(watched, 3) == {"1": 1}


def test_a_report_says_of_answers_what_a_worker_of_locust_would() -> None:
    now = time.time()
    told = report(QUERY, Tally(int, {70: 2, 304_900: 1}), 5, now, lambda ms: round(ms, -1))
    assert told["response_times"] == {0: 2, 300: 1}
    assert told["num_reqs_per_sec"] == {int(now): 3}
    assert told["total_response_time"] == pytest.approx(305.04)
    assert (told["min_response_time"], told["max_response_time"]) == (0.07, 304.9)
    assert (told["name"], told["method"], told["total_content_length"]) == ("shop.a", "read", 5)
