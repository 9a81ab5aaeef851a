"""Settings beside the tenant's that open a policy: app.bypass_rls = 'on' and the like.

Every session may set them, so that whoever can send SQL, or forgets to reset one, sees all tenants.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pglast import ast

from checks.policy.judgment import Judgment
from checks.policy.returns import bodies
from checks.policy.symbolic import Raised, Scope, value_of
from harness.catalog.files.expressions import parse, walk
from harness.catalog.model import Policy, Table


def opened(judgment: Judgment) -> Iterator[tuple[Table, Policy, str, str]]:
    """The permissive policies that show a row of another tenant once a setting has a value."""
    known, tenancy = bodies(judgment.source), judgment.settings.tenancy
    for table in judgment.source.catalog.tables.values():
        for policy in table.policies if not tenancy.shares(table.name) else ():
            tree = parse(policy.using) if policy.using and policy.permissive else None
            for setting, value in _switches(tree) if tree is not None else ():
                if setting != tenancy.setting and _admits(tree, setting, value, known, judgment):
                    yield table, policy, setting, value


def _switches(tree: Any) -> Iterator[tuple[str, str]]:
    """current_setting('x') compared with a literal."""
    for node in walk(tree):
        if isinstance(node, ast.A_Expr) and node.lexpr is not None:
            for side, other in ((node.lexpr, node.rexpr), (node.rexpr, node.lexpr)):
                setting, value = _setting(side), _text(other)
                if setting and value:
                    yield setting, value


def _setting(node: Any) -> str | None:
    while isinstance(node, ast.TypeCast):
        node = node.arg
    if isinstance(node, ast.CoalesceExpr):
        node = node.args[0]
    called = isinstance(node, ast.FuncCall) and node.funcname[-1].sval == "current_setting"
    return _text(node.args[0]) if called else None


def _text(node: Any) -> str | None:
    while isinstance(node, ast.TypeCast):
        node = node.arg
    value = node.val if isinstance(node, ast.A_Const) and not node.isnull else None
    return value.sval if isinstance(value, ast.String) else None


def _admits(tree: Any, setting: str, value: str, known: dict[str, str], judgment: Judgment) -> bool:
    """Whether a row of B is admitted to a session of A where the setting has the value, and is not
    where it has none."""
    tenancy, tenants = judgment.settings.tenancy, judgment.tenants

    def outcome(settings: dict[str, str | None]) -> bool:
        scope = Scope({tenancy.column: tenants.b}, "", settings, known, judgment.settings.roles.app)
        try:
            return value_of(tree, scope) in (True, "true", "t")
        except Raised:
            return False

    own: dict[str, str | None] = {tenancy.setting: tenants.a}
    return outcome({**own, setting: value}) and not outcome(own)
