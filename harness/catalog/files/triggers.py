"""CREATE TRIGGER."""

from __future__ import annotations

from typing import Any, Literal

from harness.catalog.files import names
from harness.catalog.files.draft import Draft, missing
from harness.catalog.files.expressions import walk
from harness.catalog.files.statements import Statement
from harness.catalog.model import Trigger

_TIMING: dict[int, Literal["before", "after", "instead of"]] = {
    0: "after",
    2: "before",
    64: "instead of",
}
_EVENTS = {4: "insert", 16: "update", 8: "delete", 32: "truncate"}


def create(node: Any, statement: Statement, draft: Draft) -> None:
    """Adds the trigger to its table."""
    name = names.of_relation(node.relation)
    if name in draft.views:
        message = f"trigger {node.trigname} on a view is not known here; write to the table"
        statement.refuse("opaque", name, message)
    table = draft.table(name, statement)
    function = names.of_strings(node.funcname)
    if function.schema not in draft.unseen_schemas and function not in draft.function_names:
        missing("function", function, statement)
    if any(trigger.name == node.trigname for trigger in table.triggers):
        message = f"trigger {node.trigname} exists already; create it once"
        statement.refuse("unresolved", name, message)
    draft.require_columns(table, [column.sval for column in node.columns or ()], statement)
    draft.resolve(walk(node.whenClause), statement)
    trigger = Trigger(
        name=node.trigname,
        timing=_TIMING[node.timing],
        events=tuple(event for bit, event in _EVENTS.items() if node.events & bit),
        level="row" if node.row else "statement",
        function=function,
        arguments=tuple(argument.sval for argument in node.args or ()),
        location=statement.location(),
    )
    draft.change(name, triggers=(*table.triggers, trigger))
