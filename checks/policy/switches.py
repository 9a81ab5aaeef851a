"""Settings beside the tenant's that open a policy: app.bypass_rls = 'on' and the like.

Every session may set them, so that whoever can send SQL, or forgets to reset one, sees all tenants.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from pglast import ast

from checks.keys import tenant_key
from checks.policy.judgment import Judgment
from checks.policy.returns import bodies
from checks.policy.symbolic import Raised, Scope, value_of
from harness.catalog.files.expressions import parse, walk
from harness.catalog.model import Policy, Table


def opened(judgment: Judgment) -> Iterator[tuple[Table, Policy, str, str]]:
    """The permissive policies that show a row of another tenant once a setting has a value."""
    known, tenancy = bodies(judgment.source), judgment.settings.tenancy
    told: dict[tuple[str, str | None], tuple[tuple[str, str], ...]] = {}
    for table in judgment.source.catalog.tables.values():
        tenant = tenant_key(table, tenancy)
        for policy in table.policies if not tenancy.shares(table.name) else ():
            if policy.using and policy.permissive:
                key = (policy.using, tenant)
                if key not in told:
                    told[key] = tuple(_open(parse(policy.using), tenant, known, judgment))
                yield from ((table, policy, setting, value) for setting, value in told[key])


def _open(
    tree: Any, tenant: str | None, known: dict[str, str], judgment: Judgment
) -> Iterator[tuple[str, str]]:
    """The settings that an expression reads, here or in a function, and the first value of each
    that opens it: one of the literals beside it, or true."""
    nodes = list(_within(tree, known, set()))
    settings = dict.fromkeys(filter(None, map(_setting, nodes)))
    literals = dict.fromkeys(text for node in nodes if (text := _text(node)))
    for setting in settings if tree is not None else ():
        if setting != judgment.settings.tenancy.setting:
            values = (*(text for text in literals if text not in settings), "true")
            opening = (v for v in values if _admits(tree, tenant, setting, v, known, judgment))
            yield from ((setting, value) for value in islice(opening, 1))


def _within(tree: Any, known: Mapping[str, str], seen: set[str]) -> Iterator[Any]:
    """The nodes of an expression, and of those that the functions it calls return."""
    for node in walk(tree):
        yield node
        name = ".".join(s.sval for s in node.funcname) if isinstance(node, ast.FuncCall) else ""
        if name in known and name not in seen:
            seen.add(name)
            yield from _within(parse(known[name]), known, seen)


def _setting(node: Any) -> str | None:
    called = isinstance(node, ast.FuncCall) and node.funcname[-1].sval == "current_setting"
    return _text(node.args[0]) if called else None


def _text(node: Any) -> str | None:
    value = node.val if isinstance(node, ast.A_Const) and not node.isnull else None
    return value.sval if isinstance(value, ast.String) else None


def _admits(
    tree: Any,
    tenant: str | None,
    setting: str,
    value: str,
    known: dict[str, str],
    judgment: Judgment,
) -> bool:
    """Whether a row of B is admitted to a session of A where the setting has the value, and is not
    where it has none."""
    tenancy, tenants = judgment.settings.tenancy, judgment.tenants
    columns = {tenant: tenants.b} if tenant else {}

    def outcome(settings: dict[str, str | None]) -> bool:
        scope = Scope(columns, "", settings, known, judgment.settings.roles.app)
        try:
            return value_of(tree, scope) in (True, "true", "t")
        except Raised:
            return False

    own: dict[str, str | None] = {tenancy.setting: tenants.a}
    return outcome({**own, setting: value}) and not outcome(own)
