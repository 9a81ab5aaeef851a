"""Statements about the session and about data: what they mean for the names that follow."""

from __future__ import annotations

from typing import Any

from harness.catalog.files import names
from harness.catalog.files.draft import Draft
from harness.catalog.files.statements import Statement


def transaction(node: Any, statement: Statement, draft: Draft) -> None:
    """BEGIN, COMMIT and the like: deploy has a transaction of its own."""
    what = node.kind.name.removeprefix("TRANS_STMT_")
    message = f"{what} ends the one transaction of a deploy"
    draft.problems.append(statement.problem("deploy", what, message))


def set_variable(node: Any, statement: Statement, draft: Draft) -> None:
    """SET: of all settings only search_path and row_security mean something for what is read."""
    if node.name == "search_path":
        values = [argument.val.sval for argument in node.args or ()]
        names.look_in(next((value for value in values if value != "$user"), "public"))
    elif node.name in ("row_security", "role", "session_authorization"):
        message = "a file must mean the same in every session; leave it out"
        draft.problems.append(statement.problem("deploy", f"SET {node.name}", message))


def pass_over(_node: Any, _statement: Statement, _draft: Draft) -> None:
    """Data, and objects that no rule looks at."""
