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
from loadtests.call_values import compile_value
from loadtests.query import Query
from loadtests.workload import Row, TenantSamples, Workload

_ATTEMPTS = 5

Reserved = tuple[str, str, int, int]
"""Tenant, query, group and row of values that nobody else may use meanwhile."""


class Request(NamedTuple):
    """One request: a query for a tenant with its values; release it when it is answered."""

    query: Query
    statement: bytes
    tenant: bytes
    tenants: str
    """The tenant's class."""
    values: list[bytes | None]
    reserved: tuple[Reserved, ...]


class _Choice:
    """A tenant's queries that it has parameters for, ready to be drawn by weight."""

    def __init__(self, tenant: TenantSamples, queries: Sequence[Query]) -> None:
        self.id = tenant.id
        self.encoded = tenant.id.encode()
        self.tenants = tenant.size_class
        self.rows = tenant.rows
        self.queries = [q for q in queries if not q.samples or tenant.rows[q.name]]
        self.weights: list[float] = []

    def weigh(self, focus: frozenset[str]) -> None:
        """Queries in focus share half of all requests; without one, their weights count."""
        weights = workload.weights(self.queries)
        focused = [q.name in focus for q in self.queries]
        if any(focused):
            extra = sum(weights) / sum(focused)
            weights = [w + extra * f for w, f in zip(weights, focused, strict=True)]
        self.weights = list(accumulate(weights))


class Draws:
    """Draws requests of a workload; `part` of `parts` when several processes share it."""

    def __init__(self, work: Workload, part: int = 0, parts: int = 1) -> None:
        """Prepares the draws."""
        self._tenant_column = work.tenant_column
        self._choices = [_Choice(tenant, work.queries) for tenant in work.tenants]
        self._tenant_weights = list(accumulate(tenant.weight for tenant in work.tenants))
        self._fresh = {
            query.name: [(name, compile_value(text)) for name, text in query.values]
            for query in work.queries
        }
        self._statements = {query.name: query.name.encode() for query in work.queries}
        self._reserved: set[Reserved] = set()
        self._part, self._parts = part, parts
        self.focus(frozenset())

    def focus(self, names: frozenset[str]) -> None:
        """From now on half of the requests are for these queries; none: as the weights say."""
        for choice in self._choices:
            choice.weigh(names)

    def draw(self) -> Request | None:
        """A request; None where all values of the query drawn are in use just now."""
        choice = random.choices(self._choices, cum_weights=self._tenant_weights)[0]
        if not choice.queries:
            return None
        query = random.choices(choice.queries, cum_weights=choice.weights)[0]
        values: dict[str, str | None] = {"business_id": choice.id, self._tenant_column: choice.id}
        reserved: list[Reserved] = []
        for place, group in enumerate(query.samples):
            rows = choice.rows[query.name][place]
            at = self._free(choice, query, place, rows) if group.owned else _any(rows)
            if at is None:
                return None
            if group.owned:
                reserved.append((choice.id, query.name, place, at))
            values.update(zip((name for name, _ in group.columns), rows[at], strict=True))
        values.update((name, make()) for name, make in self._fresh[query.name])
        self._reserved.update(reserved)
        return Request(
            query,
            self._statements[query.name],
            choice.encoded,
            choice.tenants,
            list(_encoded(values, query)),
            tuple(reserved),
        )

    def release(self, request: Request) -> None:
        """Lets others have the values of an answered request."""
        self._reserved.difference_update(request.reserved)

    def _free(self, choice: _Choice, query: Query, place: int, rows: Sequence[Row]) -> int | None:
        """A row of this process that no request has; None when a few draws found none."""
        own = range(self._part, len(rows), self._parts)
        for _ in range(_ATTEMPTS if own else 0):
            at = random.choice(own)
            if (choice.id, query.name, place, at) not in self._reserved:
                return at
        return None


def _any(rows: Sequence[Row]) -> int:
    return int(random.random() * len(rows))


def _encoded(values: dict[str, str | None], query: Query) -> Iterator[bytes | None]:
    for name in query.parameters:
        value = values[name]
        yield None if value is None else value.encode()
