"""Requests are drawn by weight, and values that are used up belong to one user at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from harness.catalog.model import Name
from loadtests.budget import parse
from loadtests.draws import Draws
from loadtests.query import Query, Samples
from loadtests.workload import TenantSamples, Workload

CARTONS = Samples(Name("ret", "carton"), (("sscc", "sscc"),), owned=True)
SCAN = Query(
    "ret.scan",
    "A scan.",
    "SELECT %(business_id)s, %(sscc)s, %(key)s",
    parse("p95 50ms"),
    "write",
    samples=(CARTONS,),
    values=(("key", "uuid()"),),
)
PLAIN = Query("ret.plain", "Plain.", "SELECT %(org)s", parse("p95 50ms"), "read")
TENANT = TenantSamples("a", 1.0, {"ret.scan": [[["1"], ["2"], ["3"], ["4"]]], "ret.plain": []})


def _work(*queries: Query, tenants: tuple[TenantSamples, ...] = (TENANT,)) -> Workload:
    return Workload(queries, tenants, "SELECT 1", "org", 0, 1, 0)


def test_a_request_has_the_values_of_its_tenant() -> None:
    request = Draws(_work(SCAN)).draw()
    assert request
    tenant, sscc, key = request.values
    assert (request.tenant, tenant) == (b"a", b"a")
    assert sscc in (b"1", b"2", b"3", b"4")
    assert key
    assert len(key) == 36


def test_the_tenant_goes_by_the_name_of_its_column_too() -> None:
    request = Draws(_work(PLAIN)).draw()
    assert request
    assert request.values == [b"a"]


def test_values_that_are_used_up_are_nobody_elses_until_they_are_released() -> None:
    draws = Draws(_work(SCAN))
    requests = [request for _ in range(200) if (request := draws.draw())]
    assert len(requests) == 4, "four cartons"
    assert len({request.values[1] for request in requests}) == 4
    assert draws.draw() is None
    draws.release(requests[2])
    again = next(request for _ in range(200) if (request := draws.draw()))
    assert again.values[1] == requests[2].values[1]


def test_values_are_shared_where_nothing_is_used_up() -> None:
    shared = replace(SCAN, samples=(replace(CARTONS, owned=False),))
    draws = Draws(_work(shared))
    assert all(draws.draw() for _ in range(20))


def test_processes_have_values_of_their_own() -> None:
    parts = [Draws(_work(SCAN), part, 3) for part in range(3)]
    drawn = [{r.values[1] for _ in range(50) if (r := part.draw())} for part in parts]
    assert [len(values) for values in drawn] == [2, 1, 1]
    assert set.union(*drawn) == {b"1", b"2", b"3", b"4"}


def test_queries_in_focus_share_half_of_the_requests_or_more() -> None:
    queries = [replace(PLAIN, name=f"q{n}") for n in range(10)]
    tenant = TenantSamples("a", 1.0, {query.name: [] for query in queries})
    draws = Draws(_work(*queries, tenants=(tenant,)))
    draws.focus(frozenset({"q3"}))
    drawn = Counter(r.query.name for _ in range(2000) if (r := draws.draw()))
    assert 1000 < drawn["q3"] < 1250
    assert len(drawn) == 10
