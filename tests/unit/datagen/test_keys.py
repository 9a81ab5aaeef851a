"""Keys and tenants are functions of the seed."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from datagen import tenants
from datagen.keys import uuid7

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)


def _keys(seed: int = 1, tenant: int = 0, table: str = "a.b", rows: int = 1000) -> list[UUID]:
    made = uuid7(seed, tenant, table, np.arange(rows), rows, AS_OF)
    return [UUID(bytes=bytes(key)) for key in made]


def test_keys_are_time_ordered_version_7_uuids() -> None:
    keys = _keys()
    assert {key.version for key in keys} == {7}
    assert {key.variant for key in keys} == {"specified in RFC 4122"}
    assert keys == sorted(keys)
    assert len(set(keys)) == 1000


def test_a_part_of_the_rows_has_the_same_keys() -> None:
    part = uuid7(1, 0, "a.b", np.array([7, 500]), 1000, AS_OF)
    assert [UUID(bytes=bytes(key)) for key in part] == [_keys()[7], _keys()[500]]


def test_tables_tenants_and_seeds_share_no_key() -> None:
    every = [*_keys(), *_keys(seed=2), *_keys(tenant=1), *_keys(table="a.c")]
    assert len(set(every)) == 4000


def test_tenants_are_the_same_for_a_seed_and_shrink() -> None:
    made = [tenants.make(1, ordinal) for ordinal in range(50)]
    assert made == [tenants.make(1, ordinal) for ordinal in range(50)]
    assert len({tenant.id for tenant in made}) == 50
    assert [t.size for t in made] == sorted((t.size for t in made), reverse=True)
    assert len({tenant.industry for tenant in made}) > 3
    assert made[0].id != tenants.make(2, 0).id
