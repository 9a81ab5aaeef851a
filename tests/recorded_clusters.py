"""Examples of the rules on Citus clusters, and the clusters that were recorded when they were run.

`tests/integration/citus_cluster.py` records them on a real cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import TypeAdapter

from checks.rule import Rule
from checks.rules import registry
from harness.catalog.cluster import Cluster
from tests.conftest import ROOT

RECORDED = ROOT / "tests" / "unit" / "checks" / "clusters"
PRELUDE = (ROOT / "tests" / "unit" / "checks" / "prelude.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a cluster held after an example."""

    example: str
    cluster: Cluster


_RECORDED = TypeAdapter(Recorded)


def recorded(name: str) -> Recorded:
    """The recording of an example, by the name that `examples` gives it."""
    return _RECORDED.validate_json((RECORDED / f"{name}.json").read_bytes())


def examples() -> Iterator[tuple[Rule, str, str]]:
    """Each example of the rules on clusters: the rule, a name for it, its text."""
    for rule in (rule for rule in registry() if rule.judges("cluster")):
        for kind, texts in (("good", rule.good), ("bad", rule.bad)):
            for number, text in enumerate(texts):
                yield rule, f"{rule.id.lower()}_{kind}_{number}", text
