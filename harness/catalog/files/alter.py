"""ALTER TABLE and ALTER MATERIALIZED VIEW: an allow list of actions, the others are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pglast.enums import AlterTableType, ObjectType

from harness.catalog.files import columns, constraints, names, types, views
from harness.catalog.files.draft import Draft, missing
from harness.catalog.files.expressions import deparse
from harness.catalog.files.statements import Statement
from harness.catalog.model import Name

Action = Callable[[Any, Name, Statement, Draft], None]
_RELATIONS = (ObjectType.OBJECT_TABLE, ObjectType.OBJECT_VIEW, ObjectType.OBJECT_MATVIEW)
_WITHOUT_ROWS = (
    ObjectType.OBJECT_SEQUENCE,
    ObjectType.OBJECT_INDEX,
    ObjectType.OBJECT_TYPE,
    ObjectType.OBJECT_FOREIGN_TABLE,
)
_OPTIONS = (AlterTableType.AT_SetRelOptions, AlterTableType.AT_ResetRelOptions)
_WITHOUT_CONSEQUENCE = (
    AlterTableType.AT_SetStatistics,
    AlterTableType.AT_SetStorage,
    AlterTableType.AT_SetCompression,
    AlterTableType.AT_SetRelOptions,
    AlterTableType.AT_ResetRelOptions,
    AlterTableType.AT_ClusterOn,
    AlterTableType.AT_ValidateConstraint,
)


def read(node: Any, statement: Statement, draft: Draft) -> None:
    """Applies each action of the statement in turn."""
    name = names.of_relation(node.relation)
    if node.objtype in _WITHOUT_ROWS:
        return
    if node.objtype not in _RELATIONS:
        kind = node.objtype.name.removeprefix("OBJECT_")
        statement.refuse("opaque", name, f"ALTER {kind} is not known here; leave it out")
    if name in draft.views:
        _change_view(node, name, statement, draft)
        return
    draft.table(name, statement)
    for command in node.cmds:
        action = _ACTIONS.get(command.subtype)
        if action is not None:
            action(command, name, statement, draft)
        elif command.subtype not in _WITHOUT_CONSEQUENCE:
            what = command.subtype.name.removeprefix("AT_")
            message = f"ALTER TABLE action {what} is not known here; write it into CREATE TABLE"
            draft.problems.append(statement.problem("opaque", name, message))


def _change_view(node: Any, name: Name, statement: Statement, draft: Draft) -> None:
    for command in node.cmds:
        if command.subtype == AlterTableType.AT_ChangeOwner:
            owner = names.of_role(command.newowner)
            draft.views[name] = replace(draft.views[name], owner=owner)
        elif command.subtype in _OPTIONS:
            _change_options(command, name, draft)
        else:
            what = command.subtype.name.removeprefix("AT_")
            message = f"action {what} on a view is not known here; write it into CREATE VIEW"
            draft.problems.append(statement.problem("opaque", name, message))


def _change_options(command: Any, name: Name, draft: Draft) -> None:
    options = dict(draft.views[name].options)
    for option in command.def_:
        options.pop(option.defname, None)
        if command.subtype == AlterTableType.AT_SetRelOptions:
            options[option.defname] = views.value_of(option)
    draft.views[name] = replace(draft.views[name], options=options)


def _enable(_: Any, name: Name, __: Statement, draft: Draft) -> None:
    draft.change(name, row_security=True)
    draft.switched_off.pop((name, "enable"), None)


def _disable(_: Any, name: Name, statement: Statement, draft: Draft) -> None:
    draft.change(name, row_security=False)
    draft.switched_off[name, "enable"] = statement.location()


def _force(_: Any, name: Name, __: Statement, draft: Draft) -> None:
    draft.change(name, force_row_security=True)
    draft.switched_off.pop((name, "force"), None)


def _no_force(_: Any, name: Name, statement: Statement, draft: Draft) -> None:
    draft.change(name, force_row_security=False)
    draft.switched_off[name, "force"] = statement.location()


def _add_constraint(command: Any, name: Name, statement: Statement, draft: Draft) -> None:
    constraints.add(command.def_, name, statement, draft)


def _add_column(command: Any, name: Name, statement: Statement, draft: Draft) -> None:
    known = draft.tables[name].columns
    if command.def_.colname in known and command.missing_ok:
        return
    column = columns.read(command.def_, name, statement, draft)
    if column.name in known:
        statement.refuse("unresolved", name, f"column {column.name} exists already")
    draft.change(name, columns={**known, column.name: column})
    columns.add_constraints(command.def_, name, statement, draft)


def _set_not_null(command: Any, name: Name, statement: Statement, draft: Draft) -> None:
    _change_column(command, name, statement, draft, not_null=True)


def _drop_not_null(command: Any, name: Name, statement: Statement, draft: Draft) -> None:
    _change_column(command, name, statement, draft, not_null=False)


def _change_column(
    command: Any, name: Name, statement: Statement, draft: Draft, **changes: Any
) -> None:
    known = draft.tables[name].columns
    if command.name not in known:
        missing("column", f"{name}.{command.name}", statement)
    draft.change(name, columns={**known, command.name: replace(known[command.name], **changes)})


def _set_default(command: Any, name: Name, statement: Statement, draft: Draft) -> None:
    default = None if command.def_ is None else deparse(command.def_)
    _change_column(command, name, statement, draft, default=default)


def _set_type(command: Any, name: Name, statement: Statement, draft: Draft) -> None:
    draft.resolve_type(command.def_.typeName, statement)
    _change_column(command, name, statement, draft, type=types.spell(command.def_.typeName))


def _add_identity(command: Any, name: Name, statement: Statement, draft: Draft) -> None:
    kind = columns.IDENTITY[command.def_.generated_when]
    _change_column(command, name, statement, draft, identity=kind)


def _drop_identity(command: Any, name: Name, statement: Statement, draft: Draft) -> None:
    _change_column(command, name, statement, draft, identity=None)


def _drop_expression(command: Any, name: Name, statement: Statement, draft: Draft) -> None:
    _change_column(command, name, statement, draft, generated=None)


def _drop_column(command: Any, name: Name, statement: Statement, draft: Draft) -> None:
    """What stands on a column goes with it: keys, checks, indexes."""
    table, gone = draft.tables[name], command.name
    if gone not in table.columns:
        if not command.missing_ok:
            missing("column", f"{name}.{gone}", statement)
        return
    draft.change(
        name,
        columns={key: column for key, column in table.columns.items() if key != gone},
        constraints=tuple(c for c in table.constraints if gone not in c.columns),
        indexes=tuple(index for index in table.indexes if gone not in index.columns),
    )


def _drop_constraint(command: Any, name: Name, statement: Statement, draft: Draft) -> None:
    left = tuple(c for c in draft.tables[name].constraints if c.name != command.name)
    if len(left) == len(draft.tables[name].constraints) and not command.missing_ok:
        missing("constraint", f"{command.name} on {name}", statement)
    draft.change(name, constraints=left)


def _change_owner(command: Any, name: Name, _: Statement, draft: Draft) -> None:
    draft.change(name, owner=names.of_role(command.newowner))


def _attach(command: Any, name: Name, statement: Statement, draft: Draft) -> None:
    child = draft.table(names.of_relation(command.def_.name), statement)
    draft.change(child.name, partition_of=name)


def _detach(command: Any, name: Name, statement: Statement, draft: Draft) -> None:  # noqa: ARG001
    child = draft.table(names.of_relation(command.def_.name), statement)
    draft.change(child.name, partition_of=None)


_ACTIONS: dict[AlterTableType, Action] = {
    AlterTableType.AT_EnableRowSecurity: _enable,
    AlterTableType.AT_DisableRowSecurity: _disable,
    AlterTableType.AT_ForceRowSecurity: _force,
    AlterTableType.AT_NoForceRowSecurity: _no_force,
    AlterTableType.AT_AddConstraint: _add_constraint,
    AlterTableType.AT_AddColumn: _add_column,
    AlterTableType.AT_SetNotNull: _set_not_null,
    AlterTableType.AT_DropNotNull: _drop_not_null,
    AlterTableType.AT_ChangeOwner: _change_owner,
    AlterTableType.AT_AttachPartition: _attach,
    AlterTableType.AT_DetachPartition: _detach,
    AlterTableType.AT_ColumnDefault: _set_default,
    AlterTableType.AT_AlterColumnType: _set_type,
    AlterTableType.AT_AddIdentity: _add_identity,
    AlterTableType.AT_DropIdentity: _drop_identity,
    AlterTableType.AT_DropExpression: _drop_expression,
    AlterTableType.AT_DropColumn: _drop_column,
    AlterTableType.AT_DropConstraint: _drop_constraint,
}
