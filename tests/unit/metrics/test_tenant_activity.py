"""Tenants are told by rank and class, never by id."""

from __future__ import annotations

from collections import Counter

import pytest

from harness.metrics import tenants
from harness.metrics.sampling import TenantActivity

NOISY, QUIET = "0190-noisy", "0190-quiet"


def _values(activity: TenantActivity, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels.values()): sample.value
        for family in activity()
        for sample in family.samples
        if sample.name == f"harness_tenant{name}"
    }


def test_the_tenant_that_is_seen_most_is_first() -> None:
    activity = TenantActivity(sizes={NOISY: 900, QUIET: 100, "c": 100, "d": 100, "e": 100})
    for _ in range(4):
        activity.add(Counter({NOISY: 3, QUIET: 1}))
    assert _values(activity, "_activity_share") == {
        ("1", "medium"): 0.75,
        ("2", "small"): 0.25,
        ("other", ""): 0,
    }
    assert _values(activity, "_active_sessions")["1", "medium"] == 3
    assert _values(activity, "_samples_total") == {(): 4}


def test_what_is_beyond_the_ranks_is_other() -> None:
    activity = TenantActivity()
    activity.add(Counter({f"t{n}": 1 for n in range(10)}))
    shares = _values(activity, "_activity_share")
    assert len(shares) == 6
    assert shares["other", ""] == pytest.approx(0.5)
    assert shares["1", "unknown"] == 0.1, "sizes are not known"


def test_no_tenant_is_named() -> None:
    activity = TenantActivity(sizes={NOISY: 900, QUIET: 100})
    activity.add(Counter({NOISY: 3}))
    told = [str(sample) for family in activity() for sample in family.samples]
    assert told
    assert not any(NOISY in each or QUIET in each for each in told)


def test_without_samples_there_is_no_share() -> None:
    activity = TenantActivity()
    assert _values(activity, "_activity_share") == {}
    assert _values(activity, "_sampler_up") == {(): 0}
    activity.add(Counter())
    assert _values(activity, "_activity_share") == {}


def test_classes_go_by_an_equal_share() -> None:
    sizes = {"giant": 900, "medium": 100, **{f"small{n}": 10 for n in range(8)}}
    classes = tenants.size_classes(sizes)
    assert (classes["giant"], classes["medium"], classes["small0"]) == ("giant", "medium", "small")
    activity = TenantActivity(sizes=sizes)
    assert _values(activity, "s") == {("giant",): 1, ("medium",): 1, ("small",): 8}
    assert sum(_values(activity, "_rows_share").values()) == pytest.approx(1)
