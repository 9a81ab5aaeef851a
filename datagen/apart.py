"""Values that differ between tenants although no tenant column says so.

Where a UNIQUE has no tenant column, each value belongs to one tenant, computed from the value
alone: tenants are filled without looking at what another one has.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from datagen.tenants import Tenant
from datagen.values import Mask, Values

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LONGEST = 12
"""Texts up to this length may be numbers to the base of 36."""


def number_of(row: Any, tenant: Tenant, tenants: int) -> Any:
    """A number, or numbers of rows, that no row of another tenant has."""
    return row * tenants + tenant.ordinal


def code_of(row: int, tenant: Tenant, tenants: int) -> str:
    """The same as a short text."""
    number, digits = number_of(row, tenant, tenants), ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits


def belongs(values: Values, tenant: Tenant, tenants: int) -> Mask:
    """Which of the values are the tenant's; NULL is everybody's."""
    if tenants < 2:
        return np.ones(len(values), bool)
    if values.data.dtype == "V16":
        return np.ones(len(values), bool)
    owners = [_owner(value, tenant, tenants) for value in values.data.tolist()]
    own: Mask = values.null | (np.array(owners, "int64") == tenant.ordinal)
    return own


def _owner(value: Any, tenant: Tenant, tenants: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value % tenants
    text = str(value)
    if tenant.canary in text:
        return tenant.ordinal
    if len(text) <= _LONGEST and text.isascii() and text.isalnum():
        return int(text, 36) % tenants
    return zlib.crc32(text.encode()) % tenants
