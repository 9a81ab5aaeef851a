"""Where a distributed table's rows lie: Citus' hash distribution, computed.

Citus hashes the tenant's id with the type's own hash function, for uuid PostgreSQL's uuid_hash:
hash_bytes of src/common/hashfn.c, which is Bob Jenkins' lookup3. A test compares it with the
server's. Each shard has an equal interval of the 32-bit hashes, and shards go round the nodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]
_START = 0x9E3779B9 + 16 + 3923095
"""For a key of 16 bytes."""


def hash_uuids(ids: NDArray[Any]) -> NDArray[np.int32]:
    """uuid_hash of each of the ids, which are void values of 16 bytes."""
    words = np.ascontiguousarray(ids).view("<u4").reshape(-1, 4)
    start = np.full(len(words), _START, np.uint32)
    a, b, c = _mix(start + words[:, 0], start + words[:, 1], start + words[:, 2])
    return _last(a + words[:, 3], b, c).view(np.int32)


def shards(hashes: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """The shard of each hash, of so many."""
    width = 2**32 // count
    found: NDArray[np.int64] = (hashes.astype(np.int64) + 2**31) // width
    return np.minimum(found, count - 1)


def nodes(shards: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The node of each shard: Citus goes round the nodes."""
    return shards % count


def _rotated(word: Words, bits: int) -> Words:
    return (word << np.uint32(bits)) | (word >> np.uint32(32 - bits))


def _mix(a: Words, b: Words, c: Words) -> tuple[Words, Words, Words]:
    for first, second, third in ((4, 6, 8), (16, 19, 4)):
        a = (a - c) ^ _rotated(c, first)
        c = c + b
        b = (b - a) ^ _rotated(a, second)
        a = a + c
        c = (c - b) ^ _rotated(b, third)
        b = b + a
    return a, b, c


def _last(a: Words, b: Words, c: Words) -> Words:
    c = (c ^ b) - _rotated(b, 14)
    a = (a ^ c) - _rotated(c, 11)
    b = (b ^ a) - _rotated(a, 25)
    c = (c ^ b) - _rotated(b, 16)
    a = (a ^ c) - _rotated(c, 4)
    b = (b ^ a) - _rotated(a, 14)
    return (c ^ b) - _rotated(b, 24)
