"""Sizes of a cluster's tables."""

from __future__ import annotations

from harness.server.volume import summed


def test_what_nodes_hold_is_added_to_the_coordinators_own() -> None:
    rows = [("a", "log", 0, 0), ("a", "view", 8192, 0)]
    nodes = [[["a", "log", "16384", "8192"]], [["a", "log", "8192", "8192"]], []]
    assert summed(rows, nodes) == [("a", "log", 24576, 16384), ("a", "view", 8192, 0)]
