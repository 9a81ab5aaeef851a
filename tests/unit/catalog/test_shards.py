"""Tenants of a cluster that share a shard."""

from __future__ import annotations

from harness.catalog.shards import sharing


def test_the_first_two_of_one_shard_are_found() -> None:
    assert sharing([(1, "a"), (2, "b"), (3, "c"), (2, "d"), (1, "e")]) == ["b", "d"]


def test_nobody_shares_where_each_has_a_shard() -> None:
    assert sharing([(1, "a"), (2, "b")]) == []
