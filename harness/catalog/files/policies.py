"""CREATE, ALTER and DROP POLICY."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.catalog.files import names
from harness.catalog.files.draft import Draft, missing
from harness.catalog.files.expressions import text_of, walk
from harness.catalog.files.statements import Statement
from harness.catalog.model import Name, Policy, Table


def create(node: Any, statement: Statement, draft: Draft) -> None:
    """Adds the policy to its table."""
    table = draft.table(names.of_relation(node.table), statement)
    if any(policy.name == node.policy_name for policy in table.policies):
        message = f"policy {node.policy_name} exists already; create it once"
        statement.refuse("unresolved", table.name, message)
    draft.resolve(walk((node.qual, node.with_check)), statement)
    policy = Policy(
        name=node.policy_name,
        permissive=node.permissive,
        command=node.cmd_name,
        roles=tuple(map(names.of_role, node.roles)),
        using=_expression(node.qual, "USING", statement),
        check=_expression(node.with_check, "WITH CHECK", statement),
        location=statement.location(),
    )
    draft.change(table.name, policies=(*table.policies, policy))


def alter(node: Any, statement: Statement, draft: Draft) -> None:
    """Replaces what the statement names: roles, USING, WITH CHECK."""
    table = draft.table(names.of_relation(node.table), statement)
    old = _find(table, node.policy_name, statement)
    draft.resolve(walk((node.qual, node.with_check)), statement)
    new = replace(
        old,
        roles=tuple(map(names.of_role, node.roles)) if node.roles else old.roles,
        using=_expression(node.qual, "USING", statement) or old.using,
        check=_expression(node.with_check, "WITH CHECK", statement) or old.check,
        location=statement.location(),
    )
    policies = tuple(new if policy is old else policy for policy in table.policies)
    draft.change(table.name, policies=policies)


def drop(table_name: Name, name: str, statement: Statement, draft: Draft) -> None:
    """Takes the policy from its table."""
    table = draft.table(table_name, statement)
    gone = _find(table, name, statement)
    policies = tuple(policy for policy in table.policies if policy is not gone)
    draft.change(table.name, policies=policies)


def _find(table: Table, name: str, statement: Statement) -> Policy:
    policy = next((policy for policy in table.policies if policy.name == name), None)
    if policy is None:
        missing("policy", f"{name} on {table.name}", statement)
    return policy


def _expression(node: Any, words: str, statement: Statement) -> str | None:
    """The text of a clause: rules compare it as a value, so it must be the tree's own."""
    if node is None:
        return None
    return text_of(node, statement.bracketed(statement.after(words)))
