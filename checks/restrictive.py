"""How the condition of a RESTRICTIVE policy is said without one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from checks.wording import qualified, quoted
from harness.catalog.model import Name, Policy


def folded(table: Name, policies: Sequence[Policy], policy: Policy) -> str:
    """The SQL that puts a restrictive policy's conditions into the permissive ones beside it and
    drops it; empty where it applies to less than they do, so that there is no plain way."""
    beside = [other for other in policies if other.permissive]
    if not beside or not all(_applies_wherever(policy, other) for other in beside):
        return ""
    altered = (
        f"ALTER POLICY {quoted(other.name)} ON {qualified(table)} {' '.join(_both(other, policy))};"
        for other in beside
    )
    return "\n".join([*altered, f"DROP POLICY {quoted(policy.name)} ON {qualified(table)};"])


def _applies_wherever(policy: Policy, other: Policy) -> bool:
    commands = policy.command in ("all", other.command)
    return commands and ("public" in policy.roles or set(other.roles) <= set(policy.roles))


def _both(one: Policy, other: Policy) -> Iterator[str]:
    """The clauses of one policy that hold what both demand."""
    if one.using is not None and other.using is not None:
        yield f"USING ({_joined(one.using, other.using)})"
    ours, theirs = one.check or one.using, other.check or other.using
    if (one.check or other.check) and ours and theirs:
        yield f"WITH CHECK ({_joined(ours, theirs)})"


def _joined(one: str, other: str) -> str:
    return f"({one}) AND ({other})"
