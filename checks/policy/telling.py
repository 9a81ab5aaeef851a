"""Faults of the truth table as violations: one per table and policy that is to blame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

from checks.policy.judgment import Fault, Judged, Judgment, Step
from checks.rule import Violation
from checks.wording import qualified, quoted, tenant_policy, tenant_predicate
from harness.catalog.model import Policy, Table
from harness.config import Tenancy

Wanted = Callable[[Fault, Step], bool]


def violations(judgment: Judgment, wanted: Wanted, what: str) -> Iterator[Violation]:
    """A violation for each table and policy with faults that are wanted; `what` says what the
    policy does to whom."""
    for _, judged in groupby(judgment.faulty, key=lambda each: each.table.name):
        yield from _of_table(list(judged), wanted, what, judgment.settings.tenancy)


def _of_table(
    judged: list[Judged], wanted: Wanted, what: str, tenancy: Tenancy
) -> Iterator[Violation]:
    blamed: dict[str, list[tuple[Judged, Fault]]] = {}
    for each in judged:
        for fault in each.faults:
            if wanted(fault, each.step):
                policy = _policy(each, fault)
                blamed.setdefault(policy.name if policy else "", []).append((each, fault))
    for found in blamed.values():
        yield _violation(found, what, tenancy)


def _policy(judged: Judged, fault: Fault) -> Policy | None:
    """The policy to blame: the first that admits; the only one where none does."""
    policies = judged.step.policies
    if fault.policies:
        return policies[fault.policies[0]]
    return policies[0] if len(policies) == 1 else None


def _violation(found: list[tuple[Judged, Fault]], what: str, tenancy: Tenancy) -> Violation:
    judged, fault = found[0]
    policy, table = _policy(judged, fault), judged.table
    commands = ", ".join(dict.fromkeys(each.step.command for each, _ in found))
    roles = ", ".join(dict.fromkeys(each.role for each, _ in found))
    contexts = "; ".join(dict.fromkeys(f"{each.context}" for _, each in found))
    when = next((f" where {each.when}" for _, each in found if each.when), "")
    subject = f"policy {policy.name} on {table.name}" if policy else f"{table.name}"
    return Violation(
        str(table.name),
        f"{subject} {what}{when} ({commands} as {roles}; {contexts})",
        policy.location if policy else table.location,
        _fix(table, policy, tenancy),
    )


def _fix(table: Table, policy: Policy | None, tenancy: Tenancy) -> str:
    if policy is None:
        return tenant_policy(table.name, tenancy)
    predicate = tenant_predicate(tenancy)
    check = f" WITH CHECK ({predicate})" if policy.check is not None else ""
    using = "" if policy.using is None else f" USING ({predicate})"
    where = f"ALTER POLICY {quoted(policy.name)} ON {qualified(table.name)}"
    return f"{where}{using}{check};"
