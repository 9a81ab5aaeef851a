"""Schemas, extensions, domains, enums, composite types and sequences; owners."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pglast.enums import ConstrType, ObjectType

from harness.catalog.files import defaults, names, types
from harness.catalog.files.draft import Draft
from harness.catalog.files.expressions import walk
from harness.catalog.files.statements import Statement
from harness.catalog.model import Domain, Name

_DOMAIN_FORMS = (
    ConstrType.CONSTR_NULL,
    ConstrType.CONSTR_NOTNULL,
    ConstrType.CONSTR_CHECK,
    ConstrType.CONSTR_DEFAULT,
)


def create_schema(node: Any, statement: Statement, draft: Draft) -> None:
    """Adds an empty schema."""
    if not node.schemaname or node.schemaElts:
        message = "write CREATE SCHEMA with a name alone, and its objects after it"
        statement.refuse("opaque", node.schemaname or "a schema", message)
    if node.schemaname in draft.schemas and not node.if_not_exists:
        message = f"schema {node.schemaname} exists already; create it once"
        statement.refuse("unresolved", node.schemaname, message)
    if node.schemaname not in draft.schemas:
        draft.schemas.append(node.schemaname)


def create_extension(node: Any, _: Statement, draft: Draft) -> None:
    """Notes the extension and the schemas that it may fill: what it brings cannot be seen."""
    draft.extensions.add(node.extname)
    named = (option.arg.sval for option in node.options or () if option.defname == "schema")
    draft.unseen_schemas.update((node.extname, *named))


def create_domain(node: Any, statement: Statement, draft: Draft) -> None:
    """Adds the domain with its checks."""
    name = names.of_strings(node.domainname)
    _declare_type(name, statement, draft)
    draft.resolve(walk((node.typeName, node.constraints)), statement)
    constraints = node.constraints or ()
    for constraint in constraints:
        if constraint.contype not in _DOMAIN_FORMS:
            message = f"constraint form {constraint.contype.name} of a domain is not known here"
            statement.refuse("opaque", name, message, constraint.location)
    draft.domains[name] = Domain(
        name=name,
        base_type=types.spell(node.typeName),
        not_null=any(c.contype == ConstrType.CONSTR_NOTNULL for c in constraints),
        checks=tuple(
            statement.bracketed(c.location)
            for c in constraints
            if c.contype == ConstrType.CONSTR_CHECK
        ),
        location=statement.location(),
    )


def create_enum(node: Any, statement: Statement, draft: Draft) -> None:
    """Adds the enum with its labels."""
    name = names.of_strings(node.typeName)
    _declare_type(name, statement, draft)
    draft.enums[name] = tuple(label.sval for label in node.vals or ())


def create_composite(node: Any, statement: Statement, draft: Draft) -> None:
    """Notes the name of the type."""
    name = names.of_relation(node.typevar)
    _declare_type(name, statement, draft)
    draft.resolve(walk(node.coldeflist), statement)
    draft.other_types.add(name)


def create_sequence(node: Any, statement: Statement, draft: Draft) -> None:
    """Notes the name of the sequence."""
    name = names.of_relation(node.sequence)
    draft.declare_relation(name, statement)
    add_sequence(name, statement, draft)


def add_sequence(name: Name, statement: Statement, draft: Draft) -> None:
    """A sequence, and what may be done with it from the beginning."""
    draft.sequences.add(name)
    draft.privileges += defaults.of_sequence(name, statement.location(), draft)


def change_owner(node: Any, statement: Statement, draft: Draft) -> None:
    """ALTER … OWNER TO of what is not a table: of the others no rule asks who owns them."""
    if node.objectType in (ObjectType.OBJECT_FUNCTION, ObjectType.OBJECT_PROCEDURE):
        key = draft.function(node.object, statement)
        owner = names.of_role(node.newowner)
        draft.functions[key] = replace(draft.functions[key], owner=owner)
    elif node.objectType == ObjectType.OBJECT_SCHEMA:
        draft.require_schema(node.object.sval, statement)
    elif node.objectType == ObjectType.OBJECT_DOMAIN:
        draft.domain(names.of_strings(node.object), statement)


def _declare_type(name: Name, statement: Statement, draft: Draft) -> None:
    draft.require_schema(name.schema, statement)
    if name in draft.domains or name in draft.enums or name in draft.other_types:
        statement.refuse("unresolved", name, f"type {name} exists already; create it once")
