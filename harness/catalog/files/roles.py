"""Roles: what they may do in the whole cluster, and which roles they are in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.catalog.files import names
from harness.catalog.files.draft import Draft
from harness.catalog.files.statements import Statement
from harness.catalog.source import Membership, Role

_ATTRIBUTES = {
    "superuser": "superuser",
    "bypassrls": "bypasses_row_security",
    "canlogin": "login",
}


def create(node: Any, statement: Statement, draft: Draft) -> None:
    """CREATE ROLE, USER or GROUP with its attributes and memberships."""
    if node.role in draft.roles:
        statement.refuse(
            "unresolved", node.role, f"role {node.role} exists already; create it once"
        )
    login, place = node.stmt_type.name == "ROLESTMT_USER", statement.location()
    draft.roles[node.role] = Role(node.role, login=login, location=place)
    _change(node.role, node.options, statement, draft)
    for option in node.options or ():
        if option.defname == "addroleto":
            for group in option.arg:
                _join(node.role, Membership(names.of_role(group), True, True, place), draft)
        elif option.defname in ("rolemembers", "adminmembers"):
            for member in option.arg:
                _join(names.of_role(member), Membership(node.role, True, True, place), draft)


def alter(node: Any, statement: Statement, draft: Draft) -> None:
    """ALTER ROLE … with attributes."""
    name = names.of_role(node.role)
    draft.roles.setdefault(name, Role(name, location=statement.location()))
    _change(name, node.options, statement, draft)


def grant(node: Any, statement: Statement, draft: Draft) -> None:
    """GRANT or REVOKE of membership."""
    options = {option.defname: option.arg.boolval for option in node.opt or ()}
    for granted in node.granted_roles:
        for grantee in node.grantee_roles:
            member = names.of_role(grantee)
            draft.roles.setdefault(member, Role(member, location=statement.location()))
            if node.is_grant:
                _join(member, _membership(granted.priv_name, options, statement), draft)
            elif not options:
                _leave(member, granted.priv_name, draft)


def _change(name: str, options: Any, statement: Statement, draft: Draft) -> None:
    changes = {
        _ATTRIBUTES[option.defname]: bool(option.arg.boolval)
        for option in options or ()
        if option.defname in _ATTRIBUTES
    }
    if changes:
        changed: Any = {**changes, "location": statement.location()}
        draft.roles[name] = replace(draft.roles[name], **changed)


def _membership(group: str, options: dict[str, bool], statement: Statement) -> Membership:
    inherits, sets = options.get("inherit", True), options.get("set", True)
    return Membership(group, inherits, sets, statement.location())


def _join(member: str, membership: Membership, draft: Draft) -> None:
    role = draft.roles.setdefault(member, Role(member))
    others = tuple(held for held in role.member_of if held.role != membership.role)
    draft.roles[member] = replace(role, member_of=(*others, membership))


def _leave(member: str, group: str, draft: Draft) -> None:
    role = draft.roles[member]
    left = tuple(held for held in role.member_of if held.role != group)
    draft.roles[member] = replace(role, member_of=left)
