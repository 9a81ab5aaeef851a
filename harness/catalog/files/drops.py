"""DROP, and ALTER … RENAME: what stood before is gone, or has another name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pglast.enums import ObjectType

from harness.catalog.files import changes, names, policies
from harness.catalog.files.draft import Draft, FunctionKey, missing
from harness.catalog.files.statements import Statement
from harness.catalog.model import Name

_Dropper = Callable[[Any, Any, Statement, Draft], None]


def drop(node: Any, statement: Statement, draft: Draft) -> None:
    """Takes the objects away, and what stands on them where they are tables."""
    dropper = _DROPPERS.get(node.removeType)
    if dropper is None:
        kind = node.removeType.name.removeprefix("OBJECT_").lower()
        statement.refuse("opaque", kind, f"DROP of a {kind} is not known here; leave it out")
    for item in node.objects:
        dropper(item, node, statement, draft)


def _table(item: Any, node: Any, statement: Statement, draft: Draft) -> None:
    name = names.of_strings(item)
    if name not in draft.tables:
        _absent("table", name, node, statement)
        return
    for child in [t.name for t in draft.tables.values() if t.partition_of == name]:
        _forget_table(child, draft)
    _forget_table(name, draft)


def _forget_table(name: Name, draft: Draft) -> None:
    """Foreign keys to it go too, as CASCADE takes them; without it PostgreSQL would refuse."""
    del draft.tables[name]
    draft.inherits.pop(name, None)
    draft.indexes = {index: table for index, table in draft.indexes.items() if table != name}
    for other in list(draft.tables.values()):
        kept = tuple(c for c in other.constraints if c.references != name)
        if len(kept) < len(other.constraints):
            draft.change(other.name, constraints=kept)


def _view(item: Any, node: Any, statement: Statement, draft: Draft) -> None:
    name = names.of_strings(item)
    if draft.views.pop(name, None) is None:
        _absent("view", name, node, statement)


def _index(item: Any, node: Any, statement: Statement, draft: Draft) -> None:
    name = names.of_strings(item)
    owner = draft.indexes.pop(name, None)
    if owner is None:
        _absent("index", name, node, statement)
    elif owner in draft.tables:
        left = tuple(i for i in draft.tables[owner].indexes if i.name != name.name)
        draft.change(owner, indexes=left)


def _function(item: Any, node: Any, statement: Statement, draft: Draft) -> None:
    name = names.of_strings(item.objname)
    if not any(key[0] == name for key in draft.functions):
        _absent("function", name, node, statement)
        return
    _forget_function(draft.function(item, statement), draft)


def _forget_function(key: FunctionKey, draft: Draft) -> None:
    gone = draft.functions.pop(key).signature
    draft.definitions.pop(gone, None)
    _forget_privileges("function", gone, draft)
    if not any(other[0] == key[0] for other in draft.functions):
        draft.function_names.discard(key[0])


def _forget_privileges(kind: str, subject: str, draft: Draft) -> None:
    draft.privileges = [p for p in draft.privileges if (p.kind, p.object) != (kind, subject)]


def _policy(item: Any, node: Any, statement: Statement, draft: Draft) -> None:
    table = draft.tables.get(names.of_strings(item[:-1]))
    known = table is not None and any(p.name == item[-1].sval for p in table.policies)
    if known or not node.missing_ok:
        policies.drop(names.of_strings(item[:-1]), item[-1].sval, statement, draft)


def _trigger(item: Any, node: Any, statement: Statement, draft: Draft) -> None:
    name = names.of_strings(item[:-1])
    table = draft.tables.get(name)
    left = tuple(t for t in table.triggers if t.name != item[-1].sval) if table else ()
    if table is None or len(left) == len(table.triggers):
        _absent("trigger", f"{item[-1].sval} on {name}", node, statement)
    else:
        draft.change(name, triggers=left)


def _rule(item: Any, _: Any, __: Statement, draft: Draft) -> None:
    gone = (names.of_strings(item[:-1]), item[-1].sval)
    draft.idle_rules.discard(gone)
    draft.rewrite_rules = [r for r in draft.rewrite_rules if (r.table, r.name) != gone]


def _type(item: Any, _: Any, __: Statement, draft: Draft) -> None:
    name = names.of_strings(item.names)
    draft.domains.pop(name, None)
    draft.enums.pop(name, None)
    draft.other_types.discard(name)


def _schema(item: Any, _: Any, __: Statement, draft: Draft) -> None:
    for table in [table for table in draft.tables if table.schema == item.sval]:
        _forget_table(table, draft)
    for function in [key for key in draft.functions if key[0].schema == item.sval]:
        _forget_function(function, draft)
    for sequence in [name for name in draft.sequences if name.schema == item.sval]:
        _forget_sequence(sequence, draft)
    draft.views = {name: v for name, v in draft.views.items() if name.schema != item.sval}
    draft.defaults = [d for d in draft.defaults if d.schema != item.sval]
    later = f" in schema {item.sval}"
    draft.privileges = [
        p for p in draft.privileges if p.kind != "default" or not p.object.endswith(later)
    ]
    _forget_privileges("schema", item.sval, draft)
    if item.sval in draft.schemas:
        draft.schemas.remove(item.sval)


def _sequence(item: Any, _: Any, __: Statement, draft: Draft) -> None:
    _forget_sequence(names.of_strings(item), draft)


def _forget_sequence(name: Name, draft: Draft) -> None:
    draft.sequences.discard(name)
    _forget_privileges("sequence", str(name), draft)


def _foreign_table(item: Any, _: Any, __: Statement, draft: Draft) -> None:
    draft.foreign_tables.pop(names.of_strings(item), None)


def _publication(item: Any, _: Any, __: Statement, draft: Draft) -> None:
    draft.publications = [p for p in draft.publications if p.name != item.sval]


def _without_consequence(_: Any, __: Any, ___: Statement, ____: Draft) -> None:
    """What no rule looks at."""


def _absent(kind: str, name: object, node: Any, statement: Statement) -> None:
    if not node.missing_ok:
        missing(kind, name, statement)


_ROUTINES = (
    ObjectType.OBJECT_FUNCTION,
    ObjectType.OBJECT_PROCEDURE,
    ObjectType.OBJECT_ROUTINE,
)
_DROPPERS: dict[ObjectType, _Dropper] = {
    ObjectType.OBJECT_TABLE: _table,
    ObjectType.OBJECT_VIEW: _view,
    ObjectType.OBJECT_MATVIEW: _view,
    ObjectType.OBJECT_INDEX: _index,
    ObjectType.OBJECT_POLICY: _policy,
    ObjectType.OBJECT_TRIGGER: _trigger,
    ObjectType.OBJECT_RULE: _rule,
    ObjectType.OBJECT_TYPE: _type,
    ObjectType.OBJECT_DOMAIN: _type,
    ObjectType.OBJECT_SCHEMA: _schema,
    ObjectType.OBJECT_SEQUENCE: _sequence,
    ObjectType.OBJECT_FOREIGN_TABLE: _foreign_table,
    ObjectType.OBJECT_PUBLICATION: _publication,
    ObjectType.OBJECT_EXTENSION: _without_consequence,
    ObjectType.OBJECT_STATISTIC_EXT: _without_consequence,
    ObjectType.OBJECT_COLLATION: _without_consequence,
    **dict.fromkeys(_ROUTINES, _function),
}


def rename(node: Any, statement: Statement, draft: Draft) -> None:
    """ALTER … RENAME TO of tables, columns, constraints, policies and views."""
    renamer = _RENAMERS.get(node.renameType)
    if renamer is None:
        kind = node.renameType.name.removeprefix("OBJECT_").lower()
        message = f"renaming a {kind} is not known here; create it by its new name"
        statement.refuse("opaque", kind, message)
    renamer(node, statement, draft)


def _rename_table(node: Any, statement: Statement, draft: Draft) -> None:
    old = names.of_relation(node.relation)
    if old in draft.views:
        _rename_view(node, statement, draft)
        return
    new = Name(old.schema, node.newname)
    draft.table(old, statement)
    draft.declare_relation(new, statement)
    changes.move_table(old, new, draft)


def _rename_view(node: Any, statement: Statement, draft: Draft) -> None:
    old = names.of_relation(node.relation)
    if old not in draft.views:
        missing("view", old, statement)
    new = Name(old.schema, node.newname)
    draft.views[new] = replace(draft.views.pop(old), name=new)


def _rename_column(node: Any, statement: Statement, draft: Draft) -> None:
    name, old, new = names.of_relation(node.relation), node.subname, node.newname
    if name in draft.views:
        return
    table = draft.table(name, statement)
    draft.require_columns(table, [old], statement)

    def renamed(columns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new if column == old else column for column in columns)

    draft.change(
        name,
        columns={
            (new if key == old else key): (replace(column, name=new) if key == old else column)
            for key, column in table.columns.items()
        },
        constraints=tuple(replace(c, columns=renamed(c.columns)) for c in table.constraints),
        indexes=tuple(replace(i, columns=renamed(i.columns)) for i in table.indexes),
    )


def _rename_constraint(node: Any, statement: Statement, draft: Draft) -> None:
    table = draft.table(names.of_relation(node.relation), statement)
    constraints = tuple(
        replace(c, name=node.newname) if c.name == node.subname else c for c in table.constraints
    )
    draft.change(table.name, constraints=constraints)


def _rename_policy(node: Any, statement: Statement, draft: Draft) -> None:
    table = draft.table(names.of_relation(node.relation), statement)
    renamed = tuple(
        replace(p, name=node.newname) if p.name == node.subname else p for p in table.policies
    )
    draft.change(table.name, policies=renamed)


def _rename_index(node: Any, _: Statement, draft: Draft) -> None:
    old = names.of_relation(node.relation)
    owner = draft.indexes.pop(old, None)
    if owner is None:
        return  # of a constraint, whose index has its name
    new = Name(old.schema, node.newname)
    draft.indexes[new] = owner
    if owner in draft.tables:
        indexes = tuple(
            replace(index, name=new.name) if index.name == old.name else index
            for index in draft.tables[owner].indexes
        )
        draft.change(owner, indexes=indexes)


_RENAMERS: dict[ObjectType, Callable[[Any, Statement, Draft], None]] = {
    ObjectType.OBJECT_TABLE: _rename_table,
    ObjectType.OBJECT_VIEW: _rename_view,
    ObjectType.OBJECT_MATVIEW: _rename_view,
    ObjectType.OBJECT_COLUMN: _rename_column,
    ObjectType.OBJECT_TABCONSTRAINT: _rename_constraint,
    ObjectType.OBJECT_POLICY: _rename_policy,
    ObjectType.OBJECT_INDEX: _rename_index,
    ObjectType.OBJECT_FUNCTION: changes.rename_function,
    ObjectType.OBJECT_PROCEDURE: changes.rename_function,
    ObjectType.OBJECT_TYPE: changes.rename_type,
    ObjectType.OBJECT_DOMAIN: changes.rename_type,
    ObjectType.OBJECT_SEQUENCE: changes.rename_sequence,
    ObjectType.OBJECT_TRIGGER: changes.rename_trigger,
    ObjectType.OBJECT_ROLE: changes.rename_role,
}
