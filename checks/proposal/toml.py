"""A proposal as harness.toml: every setting with the reason for it, guesses marked as such."""

from __future__ import annotations

import json
from collections.abc import Iterator

from checks.proposal.inference import Proposal, Told

_HEAD = """# Proposed by `harness check --init` from {tables} tables. Read it before you trust it:
# the schema does not tell what is marked CHECK.
"""


def render(proposal: Proposal) -> str:
    """The text of a harness.toml."""
    lines = ["[tenancy]", *_tenancy(proposal), "", *_shared(proposal), "", "[roles]"]
    lines += [*_setting("owner", proposal.owner), *_setting("app", proposal.app)]
    lines += _setting("readonly", proposal.readonly)
    if proposal.others:
        lines += ["# Roles that are granted tables or named by policies too.", _others(proposal)]
    return _HEAD.format(tables=proposal.tables) + "\n".join(lines) + "\n"


def _tenancy(proposal: Proposal) -> Iterator[str]:
    session = proposal.session
    yield from _setting("column", proposal.column)
    yield from _setting("type", proposal.type)
    if session.by_role:
        yield "# The role says which tenant it is; name two tenants and a role of each."
        yield "by_role = true"
        yield '# examples = ["tenant_a", "tenant_b"]'
        yield '# identities = ["role_a", "role_b"]'
    elif session.setting:
        sure = proposal.current_tenant.sure
        yield from _setting("setting", Told(session.setting, "what current_tenant reads", sure))
    if session.claim:
        yield from _setting("claim", Told(session.claim, "where in that document it stands"))
    yield from _setting("current_tenant", proposal.current_tenant)
    yield from _setting("set_tenant", proposal.set_tenant)
    yield from _setting("root_table", proposal.root_table)


def _shared(proposal: Proposal) -> Iterator[str]:
    column = proposal.column.value
    for child, parent in proposal.children:
        yield f"# {child} has no {column} and belongs to a tenant through {parent}: it needs one."
    if not proposal.shared:
        yield f"# Every table has {column} or a way to it: none is shared."
        yield "shared_tables = []"
        return
    yield f"# No {column} and no way to one. Take out what is not meant for all tenants; say why."
    yield "shared_tables = ["
    for name in proposal.shared:
        yield f"    # {_quoted(str(name))},  # reason: …"
    yield "]"


def _others(proposal: Proposal) -> str:
    return f"others = [{', '.join(map(_quoted, proposal.others))}]"


def _setting(name: str, told: Told) -> Iterator[str]:
    yield f"# {'' if told.sure else 'CHECK: '}{told.reason}."
    yield f"{name} = {_quoted(told.value)}"


def _quoted(text: str) -> str:
    """A basic string; JSON escapes as TOML does."""
    return json.dumps(text, ensure_ascii=False)
