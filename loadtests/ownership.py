"""Whose an answer is: rows of another tenant, told by the tenant column, ids and canaries.

The tenant column is looked at in every answer that has it. Besides, answers are searched whole, as
many as fit into 1 % of the driver's time: most of them under a light load, one in some twenty under
the heaviest (what both cost together, of 5 % that are allowed: benchmarks/load.py). That is every
column and inside texts and JSON: for the ids of other tenants, for keys that the driver has drawn
from their tables, and for the canaries that a fill plants in texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from psycopg import pq

from loadtests.workload import TenantSamples

_TOKEN = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\bt[0-9a-f]{8}\b")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Foreign(NamedTuple):
    """Rows of another tenant in an answer."""

    rows: int
    evidence: str


NOTHING = Foreign(0, "")


class Ownership:
    """What belongs to which tenant, as far as the driver knows."""

    def __init__(self, tenants: Iterable[TenantSamples], column: str) -> None:
        """`column` holds the tenant in every table."""
        self._column = column.encode()
        self._positions: dict[bytes, int | None] = {}
        self._owner = dict(_owners(tuple(tenants)))

    def of_rows(self, statement: bytes, tenant: bytes, result: pq.abc.PGresult) -> Foreign:
        """Rows whose tenant column names another tenant; the cheap look at every answer."""
        try:
            position = self._positions[statement]
        except KeyError:
            position = self._positions[statement] = self._position(result)
        if position is None:
            return NOTHING
        for row in range(result.ntuples):
            if result.get_value(row, position) != tenant:
                return self._others(tenant, result, position)
        return NOTHING

    def _others(self, tenant: bytes, result: pq.abc.PGresult, position: int) -> Foreign:
        values = [result.get_value(row, position) for row in range(result.ntuples)]
        others = [value for value in values if value is not None and value != tenant]
        if not others:
            return NOTHING
        return Foreign(len(others), f"{self._column.decode()} {others[0].decode()}")

    def anywhere(self, tenant: bytes, result: pq.abc.PGresult) -> Foreign:
        """Rows with anything in them that is known to be another tenant's."""
        rows, fields = range(result.ntuples), range(result.nfields)
        if not self._owned_by_another(tenant, _text(result, rows, fields)):
            return NOTHING
        by_row = (self._owned_by_another(tenant, _text(result, (row,), fields)) for row in rows)
        found = [evidence for evidence in by_row if evidence]
        return Foreign(len(found), found[0])

    def _owned_by_another(self, tenant: bytes, text: bytes) -> str:
        for token in _TOKEN.findall(text):
            owner = self._owner.get(token, tenant)
            if owner != tenant:
                return f"{token.decode()} belongs to {owner.decode()}"
        return ""

    def _position(self, result: pq.abc.PGresult) -> int | None:
        """Where the tenant column stands in the answers of a statement."""
        names = [result.fname(position) for position in range(result.nfields)]
        return names.index(self._column) if self._column in names else None


def _text(result: pq.abc.PGresult, rows: Iterable[int], fields: Iterable[int]) -> bytes:
    """All values, a line each."""
    get = result.get_value
    return b"\n".join(value for row in rows for field in fields if (value := get(row, field)))


def _owners(tenants: Sequence[TenantSamples]) -> Iterator[tuple[bytes, bytes]]:
    """What identifies a tenant, with the tenant; nothing that two of them share."""
    seen: dict[str, set[str]] = {}
    for tenant in tenants:
        for token in _tokens(tenant):
            seen.setdefault(token, set()).add(tenant.id)
    for token, owners in seen.items():
        if len(owners) == 1:
            yield token.encode(), owners.pop().encode()


def _tokens(tenant: TenantSamples) -> Iterator[str]:
    if not _UUID.fullmatch(tenant.id):
        return  # a small number identifies nobody inside a text
    yield tenant.id
    yield canary(tenant.id)
    for groups in tenant.rows.values():
        for rows in groups:
            yield from (value for row in rows for value in row if value and _UUID.fullmatch(value))


def canary(tenant: str) -> str:
    """The token that a fill plants in a tenant's texts: `t` and the last 8 digits of its id."""
    return f"t{tenant[-8:]}"
