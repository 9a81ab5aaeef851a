"""Reads SQL files into a Source: one reader per kind of statement, everything else refused.

Deny by default is the point. A reader that skips what it does not know turns "nothing found"
into "nothing understood"; here a statement without a reader is a problem that names its line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pglast import ast

from harness.catalog.files import (
    alter,
    blocks,
    changes,
    comments,
    defaults,
    definitions,
    drops,
    exits,
    functions,
    indexes,
    names,
    policies,
    privileges,
    roles,
    session,
    tables,
    triggers,
    views,
)
from harness.catalog.files.draft import Draft
from harness.catalog.files.statements import Refused, Statement, parse
from harness.catalog.files.text import SqlText
from harness.catalog.model import Name
from harness.catalog.parsing import uncollected, unvalidated
from harness.catalog.source import Source

Reader = Callable[[Any, Statement, Draft], None]
_UNFORESEEN = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What a reader runs into where a tree has a shape that it was not written for."""


def read(files: Mapping[str, str], partition_functions: Iterable[str] = ()) -> Source:
    """What the files define, path to text in load order.

    A SELECT of a partition function is the one query that may stand among them: it makes
    partitions with row security, forced, and the tenant policy. Never raises for what stands
    in a file: that becomes a Problem of the Source.
    """
    return begin(files, partition_functions).finish()


def begin(files: Mapping[str, str], partition_functions: Iterable[str] = ()) -> Draft:
    """What the files leave behind, for `go_on` to read further from."""
    draft = Draft(partition_functions=frozenset(map(Name.parse, partition_functions)))
    _read_files(files, draft)
    return draft


def go_on(draft: Draft, files: Mapping[str, str]) -> Source:
    """What further files make of a draft, which stays as it is."""
    further = draft.copy()
    _read_files(files, further)
    return further.finish()


def _read_files(files: Mapping[str, str], draft: Draft) -> None:
    names.look_in("public")
    with uncollected(), unvalidated():
        for path, text in files.items():
            statements, problems = parse(SqlText.of(path, text))
            draft.problems += problems
            for statement in statements:
                _read_statement(statement, draft)


def _read_statement(statement: Statement, draft: Draft) -> None:
    reader = _READERS.get(type(statement.node), _refuse)
    try:
        reader(statement.node, statement, draft)
    except Refused as refused:
        draft.problems.append(refused.problem)
    except _UNFORESEEN as error:
        message = f"a form of this statement is not known here ({error!r}); write it plainly"
        draft.problems.append(statement.problem("opaque", _first_words(statement), message))


def _do(node: Any, statement: Statement, draft: Draft) -> None:
    blocks.do(node, statement, draft, _read_statement)


def _call(node: Any, statement: Statement, draft: Draft) -> None:
    """CALL of a procedure that the files define."""
    if not blocks.is_known(node.funccall, draft):
        _refuse(node, statement, draft)
    blocks.call(node.funccall, statement, draft, _read_statement)


def _select(node: Any, statement: Statement, draft: Draft) -> None:
    """A partition function, one that the files define, or PostgreSQL's own, which pg_dump calls."""
    called = [target.val for target in node.targetList or ()]
    own = all(type(c) is ast.FuncCall and _is_harmless(c) for c in called) and not node.fromClause
    if node.intoClause is not None:
        name = names.of_relation(node.intoClause.rel)
        draft.declare_relation(name, statement)
        views.table_of_query(name, node, statement, draft)
        return
    if _is_defined(called, node, draft):
        for defined in called:
            blocks.call(defined, statement, draft, _read_statement)
    elif not called or not own:
        _make_partitions(node, statement, draft)
    else:
        _set_config(called[0])


def _is_defined(called: list[Any], node: Any, draft: Draft) -> bool:
    """Whether a query calls nothing but functions whose bodies can be gone through."""
    return (
        not node.fromClause
        and all(
            type(call) is ast.FuncCall
            and not _is_known(call, draft)
            and blocks.is_known(call, draft)
            for call in called
        )
        and bool(called)
    )


def _set_config(call: Any) -> None:
    """SELECT pg_catalog.set_config('search_path', '', false), with which a dump begins."""
    if call.funcname[-1].sval == "set_config" and call.args[0].val.sval == "search_path":
        names.look_in(call.args[1].val.sval)


def _is_harmless(call: Any) -> bool:
    return call.funcname[-1].sval in ("set_config", "setval") and len(call.funcname) <= 2


def _make_partitions(node: Any, statement: Statement, draft: Draft) -> None:
    """SELECT system_core.create_partitions('schema.table', …): the table must be partitioned."""
    call = node.targetList[0].val if node.targetList and len(node.targetList) == 1 else None
    if type(call) is not ast.FuncCall or node.fromClause or not _is_known(call, draft):
        _refuse(node, statement, draft)
        return
    parent = Name.parse(getattr(call.args[0].val, "sval", "")) if _has_literal(call) else None
    if parent is None:
        statement.refuse("opaque", "SELECT", "name the partitioned table as a literal")
    if draft.table(parent, statement).partition_by is None:
        message = f"{parent} is not partitioned; add PARTITION BY or drop the call"
        statement.refuse("unresolved", parent, message)


def _is_known(call: Any, draft: Draft) -> bool:
    return names.of_strings(call.funcname) in draft.partition_functions


def _has_literal(call: Any) -> bool:
    return bool(call.args) and type(call.args[0]) is ast.A_Const


def _refuse(node: Any, statement: Statement, _: Draft) -> None:
    what = _first_words(statement)
    advice = _ADVICE.get(type(node).__name__, _TAKE_OUT)
    statement.refuse("opaque", what, f"{what} is not known here; {advice}")


def _first_words(statement: Statement) -> str:
    return " ".join(statement.text.split(None, 3)[:2]).upper().rstrip(";(")


_READERS: dict[type, Reader] = {
    ast.AlterDatabaseSetStmt: privileges.read_setting,
    ast.AlterDefaultPrivilegesStmt: defaults.read,
    ast.AlterDomainStmt: changes.alter_domain,
    ast.AlterEnumStmt: changes.alter_enum,
    ast.AlterFunctionStmt: changes.alter_function,
    ast.AlterObjectSchemaStmt: changes.set_schema,
    ast.AlterOwnerStmt: definitions.change_owner,
    ast.AlterPolicyStmt: policies.alter,
    ast.AlterPublicationStmt: changes.alter_publication,
    ast.AlterRoleStmt: roles.alter,
    ast.AlterRoleSetStmt: privileges.read_setting,
    ast.AlterTableStmt: alter.read,
    ast.CallStmt: _call,
    ast.CommentStmt: comments.read,
    ast.CompositeTypeStmt: definitions.create_composite,
    ast.CreateDomainStmt: definitions.create_domain,
    ast.CreateEnumStmt: definitions.create_enum,
    ast.CreateExtensionStmt: definitions.create_extension,
    ast.CreateFdwStmt: exits.pass_over,
    ast.CreateForeignServerStmt: exits.pass_over,
    ast.CreateForeignTableStmt: exits.create_foreign_table,
    ast.CreateFunctionStmt: functions.create,
    ast.CreatePolicyStmt: policies.create,
    ast.CreatePublicationStmt: exits.create_publication,
    ast.CreateRoleStmt: roles.create,
    ast.CreateSchemaStmt: definitions.create_schema,
    ast.CreateSeqStmt: definitions.create_sequence,
    ast.CreateStatsStmt: indexes.create_statistics,
    ast.CreateStmt: tables.create,
    ast.CreateTableAsStmt: views.create_materialized,
    ast.CreateTrigStmt: triggers.create,
    ast.CreateUserMappingStmt: exits.pass_over,
    ast.DoStmt: _do,
    ast.DropStmt: drops.drop,
    ast.GrantRoleStmt: roles.grant,
    ast.GrantStmt: privileges.read,
    ast.IndexStmt: indexes.create,
    ast.RenameStmt: drops.rename,
    ast.RuleStmt: exits.create_rule,
    ast.SelectStmt: _select,
    ast.TransactionStmt: session.transaction,
    ast.VariableSetStmt: session.set_variable,
    ast.ViewStmt: views.create,
    **dict.fromkeys(
        (
            ast.AlterSeqStmt,
            ast.CopyStmt,
            ast.CreateCastStmt,
            ast.CreateRangeStmt,
            ast.DefineStmt,
            ast.DeleteStmt,
            ast.InsertStmt,
            ast.TruncateStmt,
            ast.UpdateStmt,
        ),
        session.pass_over,
    ),
}

_TAKE_OUT = "take it out, or teach harness.catalog.files to read it"
_ROLES = "roles are cluster-wide and deploy creates them; leave it out"
_DATA = "schema files hold no data; leave it out"
_ADVICE = {
    "CallStmt": "what a procedure executes cannot be read; write the statements out",
    "PrepareStmt": "write the statement out",
    "ExecuteStmt": "write the statement out",
    "SelectStmt": "only a partition function may be called here (setting partition_functions)",
    "MergeStmt": _DATA,
    "DropRoleStmt": _ROLES,
    "CreateEventTrigStmt": "Citus runs event triggers on the coordinator alone; leave it out",
}
