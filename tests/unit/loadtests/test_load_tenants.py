"""Tenants get their share of the load by rank, and a class by their rows."""

from __future__ import annotations

import pytest

from loadtests.tenants import Shares, loads

SIZES = {"a": 9000, "b": 900, "c": 100, "d": 90, "e": 10}


def test_the_load_follows_zipf() -> None:
    assert [load.weight for load in loads(SIZES, Shares(1.0))][:3] == pytest.approx(
        [1, 1 / 2, 1 / 3]
    )
    assert {load.weight for load in loads(SIZES, Shares(0.0))} == {1.0}


def test_classes_go_by_rows() -> None:
    classes = {load.tenant: load.size for load in loads(SIZES, Shares())}
    assert classes == {"a": "giant", "b": "small", "c": "small", "d": "small", "e": "small"}
    alike = {load.size for load in loads({"a": 1000, "b": 800, "c": 600}, Shares())}
    assert alike == {"medium"}


def test_nothing_known_of_sizes_makes_no_classes() -> None:
    assert {load.size for load in loads({"a": 0, "b": 0}, Shares())} == {"medium"}


def test_a_hot_tenant_gets_its_share_and_a_class_of_its_own() -> None:
    found = list(loads(SIZES, Shares(skew=0.0, hot=0.8)))
    share = found[0].weight / sum(load.weight for load in found)
    assert share == pytest.approx(0.8 + 0.2 / 5)
    assert [load.size for load in found] == ["hot", "small", "small", "small", "small"]
