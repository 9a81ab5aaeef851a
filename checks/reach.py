"""What a role may do beyond its own rights: the roles whose rights it has, or may take."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.catalog.model import Table
from harness.catalog.source import Membership, Role, Source
from harness.config import Roles


def applications(roles: Roles) -> tuple[str, ...]:
    """The roles that applications use."""
    return tuple(dict.fromkeys((roles.app, roles.readonly, *roles.others)))


def reachable(role: str, known: Mapping[str, Role]) -> dict[str, Membership]:
    """The roles whose rights a role has or may take with SET ROLE, and the one of its own
    memberships by which each is reached."""
    return _reached(role, known, lambda held: held.inherits or held.sets)


def inherited(role: str, known: Mapping[str, Role]) -> frozenset[str]:
    """The roles whose rights a role has without asking."""
    return frozenset(_reached(role, known, lambda held: held.inherits))


def is_out_of_reach(table: Table, source: Source, roles: Roles) -> bool:
    """Whether no application role may do anything with a table, although what they may do with
    others is said: it is not for applications."""
    grantees = {
        grantee
        for role in applications(roles)
        for grantee in (role, "public", *inherited(role, source.roles))
    }

    def reached(each: Table) -> bool:
        return any(grant.role in grantees for grant in each.grants)

    own = table.partition_of is not None or table.owner in grantees or reached(table)
    return not own and any(map(reached, source.catalog.tables.values()))


def _reached(
    role: str, known: Mapping[str, Role], follows: Callable[[Membership], bool]
) -> dict[str, Membership]:
    reached: dict[str, Membership] = {}
    own = known.get(role)
    waiting = [(held, held) for held in own.member_of] if own else []
    while waiting:
        held, first = waiting.pop()
        if held.role not in reached and held.role != role and follows(held):
            reached[held.role] = first
            further = known.get(held.role)
            waiting += [(next_one, first) for next_one in (further.member_of if further else ())]
    return dict(sorted(reached.items()))
