"""ALTER of what is not a table: functions, types, publications; other schemas and names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pglast.enums import AlterPublicationAction, ObjectType

from harness.catalog.files import exits, functions, names, types
from harness.catalog.files.draft import Draft, FunctionKey, missing
from harness.catalog.files.statements import Statement
from harness.catalog.model import Name, Table

_Change = Callable[[Any, Statement, Draft], None]


def alter_function(node: Any, statement: Statement, draft: Draft) -> None:
    """ALTER FUNCTION: what decides with whose rights and how often it runs."""
    key = draft.function(node.func, statement)
    options = {option.defname: option.arg for option in node.actions}
    function = draft.functions[key]
    if "security" in options:
        function = replace(function, security_definer=bool(options["security"].boolval))
    if "leakproof" in options:
        function = replace(function, leakproof=bool(options["leakproof"].boolval))
    if "volatility" in options:
        function = replace(function, volatility=options["volatility"].sval)
    settings = {setting.partition("=")[0]: setting for setting in function.settings}
    for option in node.actions:
        if option.defname == "set":
            settings.pop(option.arg.name, None)
            settings |= functions.setting(option.arg)
    draft.functions[key] = replace(function, settings=tuple(settings.values()))


def alter_enum(node: Any, statement: Statement, draft: Draft) -> None:
    """ALTER TYPE … ADD VALUE, RENAME VALUE."""
    name = names.of_strings(node.typeName)
    if name not in draft.enums:
        missing("type", name, statement)
    labels = draft.enums[name]
    if node.oldVal is not None:
        draft.enums[name] = tuple(node.newVal if v == node.oldVal else v for v in labels)
    elif node.newVal not in labels:
        draft.enums[name] = (*labels, node.newVal)


def alter_domain(node: Any, statement: Statement, draft: Draft) -> None:
    """ALTER DOMAIN: NOT NULL and checks; a check that is dropped by name stays, for a domain's
    checks have no names here."""
    name = names.of_strings(node.typeName)
    domain = draft.domain(name, statement)
    if node.subtype in ("O", "N"):
        draft.domains[name] = replace(domain, not_null=node.subtype == "O")
    elif node.subtype == "C":
        check = statement.bracketed(node.def_.location)
        draft.domains[name] = replace(domain, checks=(*domain.checks, check))


def alter_publication(node: Any, statement: Statement, draft: Draft) -> None:
    """ALTER PUBLICATION … ADD, DROP, SET TABLE."""
    named = exits.published(node, statement, draft)
    gone = {publication.table for publication in named}
    if node.action == AlterPublicationAction.AP_SetObjects:
        draft.publications = [p for p in draft.publications if p.name != node.pubname]
    if node.action == AlterPublicationAction.AP_DropObjects:
        draft.publications = [
            p for p in draft.publications if p.name != node.pubname or p.table not in gone
        ]
    else:
        draft.publications += named


def set_schema(node: Any, statement: Statement, draft: Draft) -> None:
    """ALTER … SET SCHEMA of tables, views, functions and types."""
    if node.objectType in (ObjectType.OBJECT_FUNCTION, ObjectType.OBJECT_PROCEDURE):
        key = draft.function(node.object, statement)
        move_function(key, Name(node.newschema, key[0].name), draft)
    elif node.objectType in (ObjectType.OBJECT_TYPE, ObjectType.OBJECT_DOMAIN):
        old = names.of_strings(node.object)
        move_type(old, Name(node.newschema, old.name), draft)
    elif node.relation is not None:
        move_relation(names.of_relation(node.relation), node.newschema, statement, draft)


def move_relation(old: Name, schema: str, statement: Statement, draft: Draft) -> None:
    """Gives a table or view another schema, and its indexes with it."""
    new = Name(schema, old.name)
    if old in draft.views:
        draft.views[new] = replace(draft.views.pop(old), name=new)
        return
    if old in draft.sequences:
        draft.sequences = (draft.sequences - {old}) | {new}
        return
    draft.table(old, statement)
    move_table(old, new, draft)
    draft.indexes = {
        (Name(schema, index.name) if owner == new else index): owner
        for index, owner in draft.indexes.items()
    }


def move_table(old: Name, new: Name, draft: Draft) -> None:
    """Gives a table another name; what pointed to the old one points to the new one."""
    table = draft.tables[old]
    draft.tables = {
        (new if name == old else name): (replace(table, name=new) if name == old else other)
        for name, other in draft.tables.items()
    }
    draft.indexes = {i: new if owner == old else owner for i, owner in draft.indexes.items()}
    for other in list(draft.tables.values()):
        _follow(other, old, new, draft)


def _follow(table: Table, old: Name, new: Name, draft: Draft) -> None:
    if table.partition_of == old:
        draft.change(table.name, partition_of=new)
    if any(c.references == old for c in table.constraints):
        constraints = tuple(
            replace(c, references=new) if c.references == old else c for c in table.constraints
        )
        draft.change(table.name, constraints=constraints)


def move_type(old: Name, new: Name, draft: Draft) -> None:
    """Gives a type another name, in the columns too."""
    if old in draft.domains:
        draft.domains[new] = replace(draft.domains.pop(old), name=new)
    if old in draft.enums:
        draft.enums[new] = draft.enums.pop(old)
    if old in draft.other_types:
        draft.other_types = (draft.other_types - {old}) | {new}
    spelled = {types.spell_name(old): types.spell_name(new)}
    spelled |= {f"{before}[]": f"{after}[]" for before, after in spelled.items()}
    for table in list(draft.tables.values()):
        if any(column.type in spelled for column in table.columns.values()):
            columns = {
                key: replace(column, type=spelled.get(column.type, column.type))
                for key, column in table.columns.items()
            }
            draft.change(table.name, columns=columns)


def move_function(key: FunctionKey, new: Name, draft: Draft) -> None:
    """Gives a function another name, and its privileges with it."""
    function = draft.functions.pop(key)
    signature = f"{new}({function.signature.partition('(')[2]}"
    draft.functions[new, key[1]] = replace(function, name=new, signature=signature)
    draft.function_names.add(new)
    if function.signature in draft.definitions:
        draft.definitions[signature] = draft.definitions.pop(function.signature)
    _move_privileges("function", function.signature, signature, draft)


def _move_privileges(kind: str, old: str, new: str, draft: Draft) -> None:
    draft.privileges = [
        replace(p, object=new) if (p.kind, p.object) == (kind, old) else p for p in draft.privileges
    ]


def rename_function(node: Any, statement: Statement, draft: Draft) -> None:
    """ALTER FUNCTION … RENAME TO."""
    key = draft.function(node.object, statement)
    move_function(key, Name(key[0].schema, node.newname), draft)


def rename_type(node: Any, _: Statement, draft: Draft) -> None:
    """ALTER TYPE … RENAME TO, ALTER DOMAIN … RENAME TO."""
    old = names.of_strings(node.object)
    move_type(old, Name(old.schema, node.newname), draft)


def rename_sequence(node: Any, _: Statement, draft: Draft) -> None:
    """ALTER SEQUENCE … RENAME TO."""
    old = names.of_relation(node.relation)
    new = Name(old.schema, node.newname)
    draft.sequences = (draft.sequences - {old}) | {new}
    _move_privileges("sequence", str(old), str(new), draft)


def rename_trigger(node: Any, statement: Statement, draft: Draft) -> None:
    """ALTER TRIGGER … RENAME TO."""
    table = draft.table(names.of_relation(node.relation), statement)
    renamed = tuple(
        replace(t, name=node.newname) if t.name == node.subname else t for t in table.triggers
    )
    draft.change(table.name, triggers=renamed)


def rename_role(node: Any, _: Statement, draft: Draft) -> None:
    """ALTER ROLE … RENAME TO."""
    if node.subname in draft.roles:
        role = draft.roles.pop(node.subname)
        draft.roles[node.newname] = replace(role, name=node.newname)
