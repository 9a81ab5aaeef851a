"""What a user does next: a tenant, a query and values for it, each drawn by its weight.

Values that a write uses up (`own:` in the header) are reserved while a request with them is
under way, and each driver process has rows of its own of them: two users never scan one carton.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from loadtests import workload
from loadtests.call_values import Make, compile_value
from loadtests.query import Query
from loadtests.workload import Row, TenantSamples, Workload

_ATTEMPTS = 5

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
    reserved: tuple[Reserved, ...]


class _Asked:
    """A query of a tenant with its values encoded, so that a draw only picks."""

    def __init__(self, query: Query, tenant: TenantSamples) -> None:
        self.query = query
        self.statement = query.name.encode()
        self.groups = [_encoded(rows) for rows in tenant.rows[query.name]]
        self.owned = [place for place, group in enumerate(query.samples) if group.owned]
        fresh = {name: compile_value(text) for name, text in query.values}
        drawn = {
            name: (place, at)
            for place, group in enumerate(query.samples)
            for at, (name, _) in enumerate(group.columns)
        }
        own = tenant.id.encode()
        self._slots = [_Slot(own, drawn.get(name), fresh.get(name)) for name in query.parameters]

    def values(self, rows: Sequence[EncodedRow]) -> list[bytes | None]:
        """The values in the order of the placeholders."""
        return [
            make().encode() if make else rows[at[0]][at[1]] if at else tenant
            for tenant, at, make in self._slots
        ]


class _Slot(NamedTuple):
    """Where a value comes from: a function, a column of a group's row, or it is the tenant."""

    tenant: bytes
    at: tuple[int, int] | None
    make: Make | None


class _Choice:
    """A tenant's queries that it has parameters for, ready to be drawn by weight."""

    def __init__(self, tenant: TenantSamples, queries: Sequence[Query]) -> None:
        self.id = tenant.id
        self.encoded = tenant.id.encode()
        self.tenants = tenant.size_class
        self.asked = [
            _Asked(query, tenant)
            for query in queries
            if not query.samples or tenant.rows[query.name]
        ]
        self.weights: list[float] = []

    def weigh(self, focus: frozenset[str]) -> None:
        """Queries in focus share half of all requests; without one, their weights count."""
        queries = [asked.query for asked in self.asked]
        weights = workload.weights(queries)
        focused = [query.name in focus for query in queries]
        if any(focused):
            extra = sum(weights) / sum(focused)
            weights = [w + extra * f for w, f in zip(weights, focused, strict=True)]
        self.weights = list(accumulate(weights))


class Draws:
    """Draws requests of a workload; `part` of `parts` when several processes share it."""

    def __init__(self, work: Workload, part: int = 0, parts: int = 1) -> None:
        """Prepares the draws."""
        self._choices = [_Choice(tenant, work.queries) for tenant in work.tenants]
        self._tenant_weights = list(accumulate(tenant.weight for tenant in work.tenants))
        self._reserved: set[Reserved] = set()
        self._part, self._parts = part, parts
        self.focus(frozenset())

    def focus(self, names: frozenset[str]) -> None:
        """From now on half of the requests are for these queries; none: as the weights say."""
        for choice in self._choices:
            choice.weigh(names)

    def draw(self) -> Request | None:
        """A request; None where all values of the query drawn are in use just now."""
        choice = self._choices[_pick(self._tenant_weights)]
        if not choice.asked:
            return None
        asked = choice.asked[_pick(choice.weights)]
        rows = [group[int(random.random() * len(group))] for group in asked.groups]
        reserved: tuple[Reserved, ...] = ()
        if asked.owned:
            reserved = tuple(self._reserve(choice, asked))
            if len(reserved) < len(asked.owned):
                return None
            for _, _, place, at in reserved:
                rows[place] = asked.groups[place][at]
            self._reserved.update(reserved)
        values = asked.values(rows)
        return Request(
            asked.query, asked.statement, choice.encoded, choice.tenants, values, reserved
        )

    def release(self, request: Request) -> None:
        """Lets others have the values of an answered request."""
        if request.reserved:
            self._reserved.difference_update(request.reserved)

    def _reserve(self, choice: _Choice, asked: _Asked) -> Iterator[Reserved]:
        """A row of this process that no request has, per group; a few draws may find none."""
        for place in asked.owned:
            own = range(self._part, len(asked.groups[place]), self._parts)
            for _ in range(_ATTEMPTS if own else 0):
                wanted = (choice.id, asked.query.name, place, random.choice(own))
                if wanted not in self._reserved:
                    yield wanted
                    break


def _pick(cumulated: Sequence[float]) -> int:
    """A place by its weight, of cumulated weights; random.choices takes four times as long."""
    return bisect(cumulated, random.random() * cumulated[-1], 0, len(cumulated) - 1)


def _encoded(rows: Sequence[Row]) -> list[EncodedRow]:
    return [tuple(None if value is None else value.encode() for value in row) for row in rows]
