"""What a copy lacks, has otherwise or has besides is found; another spelling is not."""

from __future__ import annotations

import pytest

from harness.drill.compare import compare, moved
from harness.drill.facts import Facts, Value

POLICY = ("permissive for * to {public}", "(org_id = current_setting('app.org'))", "")


def differing(kind: str, original: dict[str, Value], copied: dict[str, Value]) -> list[str]:
    found = compare("dump", Facts({kind: original}), Facts({kind: copied}))
    return [f"{finding.name} {finding.detail}" for finding in found]


@pytest.mark.parametrize(
    ("copied", "told"),
    [
        ({"a.t: p": POLICY}, []),
        ({}, ["a.t: p is missing"]),
        (
            {"a.t: p": ("restrictive for * to {public}", *POLICY[1:])},
            [
                "a.t: p was permissive for * to {public} (org_id = current_setting('app.org')), "
                "is restrictive for * to {public} (org_id = current_setting('app.org'))"
            ],
        ),
        (
            {"a.t: p": (POLICY[0], "true", "")},
            [
                "a.t: p was permissive for * to {public} (org_id = current_setting('app.org')), "
                "is permissive for * to {public} true"
            ],
        ),
        ({"a.t: p": (POLICY[0], "(org_id = current_setting('app.org'::text))", "")}, []),
        ({"a.t: p": POLICY, "a.t: q": POLICY}, ["a.t: q is in the copy alone"]),
    ],
    ids=["same", "missing", "attribute", "expression", "spelling", "besides"],
)
def test_policies(copied: dict[str, Value], told: list[str]) -> None:
    assert differing("policies", {"a.t: p": POLICY}, copied) == told


def test_a_table_that_changed_meanwhile_is_not_held_against_a_copy() -> None:
    before, after = {"a.t": ("5",), "a.u": ("1",)}, {"a.t": ("6",), "a.u": ("1",)}
    changed = moved(before, after)
    assert changed == {"a.t"}
    copied = Facts({"rows": {"a.t": ("5",), "a.u": ("0",)}})
    (finding,) = compare("backup", Facts({"rows": after}), copied, changed)
    assert str(finding) == "backup: rows: a.u: was 1, is 0"


def test_what_a_copy_cannot_hold_is_left_out() -> None:
    facts = Facts({"roles": {"app": ("login",)}})
    assert not list(compare("dump", facts, Facts({}), without=("roles",)))
    assert len(list(compare("backup", facts, Facts({})))) == 1


def test_a_chain_that_does_not_verify_is_named() -> None:
    chains = {"a.verify_chain() of 7": ("intact",), "a.verify_chain() of 8": ("1 link is broken",)}
    facts = Facts({"hash chains": chains})
    assert list(facts.broken_chains) == [("a.verify_chain() of 8", "1 link is broken")]
