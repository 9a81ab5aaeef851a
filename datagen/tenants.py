"""The tenants of a fill: who they are is computed from the seed and their ordinal."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

SizeClass = Literal["small", "medium", "giant"]

_INDUSTRIES = (
    ("home_services", 25),
    ("automotive", 20),
    ("restaurant", 20),
    ("retail", 20),
    ("education", 10),
    ("multi", 5),
)
_PLACES = (
    ("en_US", "US", "USD", "America/Chicago"),
    ("en_US", "US", "USD", "America/New_York"),
    ("en_US", "US", "USD", "America/Los_Angeles"),
    ("en_GB", "GB", "GBP", "Europe/London"),
    ("de_DE", "DE", "EUR", "Europe/Berlin"),
    ("fr_FR", "FR", "EUR", "Europe/Paris"),
)
_OFFSETS = {
    "America/Chicago": -6,
    "America/New_York": -5,
    "America/Los_Angeles": -8,
    "Europe/London": 0,
    "Europe/Berlin": 1,
    "Europe/Paris": 1,
}
SKEW = 0.7
"""Exponent of the Zipf law of tenant sizes, where nobody asks for another; 0: all alike."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant; `size` multiplies its rows, 1.0 for the largest."""

    ordinal: int
    id: uuid.UUID
    size: float
    industry: str
    locale: str
    country: str
    currency: str
    time_zone: str

    @property
    def utc_offset(self) -> int:
        """Hours by which its clocks are ahead of UTC in winter."""
        return _OFFSETS[self.time_zone]

    @property
    def canary(self) -> str:
        """A token in its texts, by which a row is recognized in another tenant's answer."""
        return f"t{self.id.hex[-8:]}"

    @property
    def short_id(self) -> str:
        """Its id where a tenant column has no room for a UUID."""
        return self.canary


def make(seed: int, ordinal: int, skew: float = SKEW) -> Tenant:
    """The tenant with that ordinal, from 0."""
    digest = hashlib.sha256(f"tenant {seed} {ordinal}".encode()).digest()
    locale, country, currency, time_zone = _PLACES[digest[0] % len(_PLACES)]
    return Tenant(
        ordinal=ordinal,
        id=_time_ordered(digest, ordinal),
        size=1 / (ordinal + 1) ** skew,
        industry=_weighted(int.from_bytes(digest[1:3], "big") / 65536),
        locale=locale,
        country=country,
        currency=currency,
        time_zone=time_zone,
    )


def every(seed: int, count: int, skew: float = SKEW) -> tuple[Tenant, ...]:
    """The first tenants of a seed."""
    return tuple(make(seed, ordinal, skew) for ordinal in range(count))


def everybody(seed: int) -> Tenant:
    """Whose the rows of tables are that tenants share: nobody's, so that none is taken for one of
    a tenant."""
    digest = hashlib.sha256(f"everybody {seed}".encode()).digest()
    return replace(make(seed, 0), id=_time_ordered(digest, -1), locale="en_US", country="US")


def classes(made: Sequence[Tenant]) -> tuple[SizeClass, ...]:
    """What each is among the others: a giant has at least twice the mean, a small one at most
    half of it."""
    mean = sum(tenant.size for tenant in made) / max(len(made), 1)
    return tuple(
        "giant" if t.size >= 2 * mean else "small" if t.size <= mean / 2 else "medium" for t in made
    )


def _time_ordered(digest: bytes, ordinal: int) -> uuid.UUID:
    """A UUIDv7 whose time rises with the ordinal, from 2020 on, a week apart."""
    milliseconds = 1_577_836_800_000 + ordinal * 604_800_000
    value = bytearray(milliseconds.to_bytes(6, "big") + digest[8:18])
    value[6] = (value[6] & 0x0F) | 0x70
    value[8] = (value[8] & 0x3F) | 0x80
    return uuid.UUID(bytes=bytes(value))


def _weighted(share: float) -> str:
    total = sum(weight for _, weight in _INDUSTRIES)
    reached = 0.0
    for industry, weight in _INDUSTRIES:
        reached += weight / total
        if share < reached:
            return industry
    return _INDUSTRIES[-1][0]
