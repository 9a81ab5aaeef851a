"""Where tenants would lie is computed with the hash that PostgreSQL has."""

from __future__ import annotations

import uuid

import numpy as np
import psycopg

from harness.cluster.placement import hash_uuids
from harness.db import Target


def test_ids_are_hashed_as_the_server_hashes_them(server: Target) -> None:
    ids = np.frombuffer(np.random.default_rng(1).bytes(16 * 500), "V16")
    with psycopg.connect(server.admin) as connection:
        hashed = connection.execute(
            "SELECT uuid_hash(id) FROM unnest(%s::uuid[]) WITH ORDINALITY AS t (id, n) ORDER BY n",
            [[uuid.UUID(bytes=bytes(value)) for value in ids]],
        ).fetchall()
    assert hash_uuids(ids).tolist() == [row[0] for row in hashed]
