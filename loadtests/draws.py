"""What a user does next: a tenant, a query and values for it, each drawn by its weight.

Values that a write uses up (`own:` in the header) are reserved while a request with them is
under way, and each driver process has rows of its own of them: two users never scan one carton.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from loadtests import workload
from loadtests.call_values import Make, compile_value
from loadtests.query import Query
from loadtests.workload import Row, TenantSamples, Workload

_ATTEMPTS = 5
_AT_A_TIME = 256

Reserved = tuple[str, str, int, int]
"""Tenant, query, group and row of values that nobody else may use meanwhile."""
EncodedRow = tuple[bytes | None, ...]


class Request(NamedTuple):
    """One request: a query for a tenant with its values; release it when it is answered."""

    query: Query
    statement: bytes
    tenant: bytes
    tenants: str
    """The tenant's class."""
    values: list[bytes | None]
    reserved: tuple[Reserved, ...] = ()


class _Asked:
    """A query of a tenant with its values encoded, so that a draw only picks."""

    def __init__(self, query: Query, tenant: TenantSamples) -> None:
        self.query, self.tenant = query, tenant.id
        self.statement = query.name.encode()
        self.groups = [_encoded(rows) for rows in tenant.rows[query.name]]
        self.owned = [place for place, group in enumerate(query.samples) if group.owned]
        self._encoded, self._tenants = tenant.id.encode(), tenant.size_class
        self._slots = list(_slots(query))
        self._ready: list[Request] = []
        if len(self.groups) == 1 and not query.values:
            (only,) = self.groups
            self._ready = [self._request([row]) for row in only]

    def any(self) -> Request:
        """A request with whatever values."""
        if self._ready:
            return self._ready[int(random.random() * len(self._ready))]
        return self._request(self._rows())

    def with_reserved(self, reserved: tuple[Reserved, ...]) -> Request:
        """A request with these values, and whatever others it needs."""
        rows = self._rows()
        for _, _, place, at in reserved:
            rows[place] = self.groups[place][at]
        return self._request(rows)._replace(reserved=reserved)

    def _rows(self) -> list[EncodedRow]:
        return [group[int(random.random() * len(group))] for group in self.groups]

    def _request(self, rows: Sequence[EncodedRow]) -> Request:
        """With the values of a row of each group, in the order of the placeholders."""
        values = [
            make().encode() if make else rows[at[0]][at[1]] if at else self._encoded
            for at, make in self._slots
        ]
        return Request(self.query, self.statement, self._encoded, self._tenants, values)


class _Slot(NamedTuple):
    """Where a value comes from: a column of a group's row, a function, or it is the tenant."""

    at: tuple[int, int] | None
    make: Make | None


def _slots(query: Query) -> Iterator[_Slot]:
    fresh = {name: compile_value(text) for name, text in query.values}
    drawn = {
        name: (place, at)
        for place, group in enumerate(query.samples)
        for at, (name, _) in enumerate(group.columns)
    }
    for name in query.parameters:
        yield _Slot(drawn.get(name), fresh.get(name))


class Draws:
    """Draws requests of a workload; `part` of `parts` when several processes share it."""

    def __init__(self, work: Workload, part: int = 0, parts: int = 1) -> None:
        """Prepares the draws."""
        self._tenants = [
            (tenant.weight, [_Asked(q, tenant) for q in work.queries if _can_ask(tenant, q)])
            for tenant in work.tenants
        ]
        self._reserved: set[Reserved] = set()
        self._part, self._parts = part, parts
        self.focus(frozenset())

    def focus(self, names: frozenset[str]) -> None:
        """From now on half of the requests are for these queries; none: as the weights say."""
        shares = [
            (asked, weight * share)
            for weight, of_tenant in self._tenants
            for asked, share in zip(of_tenant, _shares(of_tenant, names), strict=True)
        ]
        self._next = _drawn([asked for asked, _ in shares], [share for _, share in shares])

    def draw(self) -> Request | None:
        """A request; None where all values of the query drawn are in use just now."""
        asked = next(self._next)
        return self._draw_reserved(asked) if asked.owned else asked.any()

    def _draw_reserved(self, asked: _Asked) -> Request | None:
        reserved = tuple(self._reserve(asked))
        if len(reserved) < len(asked.owned):
            return None
        self._reserved.update(reserved)
        return asked.with_reserved(reserved)

    def release(self, request: Request) -> None:
        """Lets others have the values of an answered request."""
        if request.reserved:
            self._reserved.difference_update(request.reserved)

    def _reserve(self, asked: _Asked) -> Iterator[Reserved]:
        """A row of this process that no request has, per group; a few draws may find none."""
        for place in asked.owned:
            own = range(self._part, len(asked.groups[place]), self._parts)
            for _ in range(_ATTEMPTS if own else 0):
                wanted = (asked.tenant, asked.query.name, place, random.choice(own))
                if wanted not in self._reserved:
                    yield wanted
                    break


def _can_ask(tenant: TenantSamples, query: Query) -> bool:
    """Whether the tenant has parameters for the query, or it needs none."""
    return not query.samples or bool(tenant.rows[query.name])


def _shares(of_tenant: Sequence[_Asked], focus: frozenset[str]) -> list[float]:
    """What part of a tenant's requests is for each query: queries in focus share half of all;
    without one, their weights count."""
    queries = [asked.query for asked in of_tenant]
    weights = workload.weights(queries)
    focused = [query.name in focus for query in queries]
    if any(focused):
        extra = sum(weights) / sum(focused)
        weights = [w + extra * f for w, f in zip(weights, focused, strict=True)]
    return [weight / sum(weights) for weight in weights]


def _drawn(asked: Sequence[_Asked], shares: Sequence[float]) -> Iterator[_Asked]:
    """One after the other by their shares, many at a time, for one alone takes several times as
    long."""
    cumulated = list(accumulate(shares))
    while True:
        yield from random.choices(asked, cum_weights=cumulated, k=_AT_A_TIME)


def _encoded(rows: Sequence[Row]) -> list[EncodedRow]:
    return [tuple(None if value is None else value.encode() for value in row) for row in rows]
