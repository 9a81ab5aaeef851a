"""CREATE FUNCTION and CREATE PROCEDURE."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pglast.enums import FunctionParameterMode, VariableSetKind

from harness.catalog.files import defaults, names, types
from harness.catalog.files.draft import Draft, FunctionKey
from harness.catalog.files.expressions import walk
from harness.catalog.files.statements import Statement
from harness.catalog.model import Function, Name

_OPTIONS = {
    "as",
    "language",
    "volatility",
    "security",
    "leakproof",
    "set",
    "parallel",
    "strict",
    "cost",
    "rows",
    "window",
    "support",
    "transform",
}
_LANGUAGES = ("sql", "plpgsql")
_MODES = {
    FunctionParameterMode.FUNC_PARAM_OUT: "OUT ",
    FunctionParameterMode.FUNC_PARAM_INOUT: "INOUT ",
    FunctionParameterMode.FUNC_PARAM_VARIADIC: "VARIADIC ",
}
_OUT = (FunctionParameterMode.FUNC_PARAM_OUT, FunctionParameterMode.FUNC_PARAM_INOUT)
_RESULT = (FunctionParameterMode.FUNC_PARAM_OUT, FunctionParameterMode.FUNC_PARAM_TABLE)


def create(node: Any, statement: Statement, draft: Draft) -> None:
    """Adds the function; every role may execute it until that is revoked."""
    name = names.of_strings(node.funcname)
    draft.require_schema(name.schema, statement)
    options = {option.defname: option.arg for option in node.options or ()}
    _refuse_unknown(options, name, statement, draft)
    parameters = node.parameters or ()
    key = (name, tuple(types.spell_bare(p.argType) for p in parameters if p.mode not in _RESULT))
    if key in draft.functions and not node.replace:
        statement.refuse("unresolved", name, f"function {name} exists already; create it once")
    draft.function_names.add(name)
    draft.resolve(walk((parameters, node.returnType, node.sql_body)), statement)
    function = Function(
        name=name,
        signature=f"{name}({', '.join(_parameter(p) for p in parameters if not _is_column(p))})",
        language=_text(options, "language", "sql"),
        returns=_result(node, parameters),
        security_definer=_flag(options, "security"),
        volatility=_text(options, "volatility", "volatile"),  # type: ignore[arg-type]
        leakproof=_flag(options, "leakproof"),
        settings=tuple(_setting(o.arg) for o in node.options or () if o.defname == "set"),
        location=statement.location(),
    )
    _add(key, function, statement, draft)


def _add(key: FunctionKey, function: Function, statement: Statement, draft: Draft) -> None:
    """A function that is replaced keeps its comment, its owner and who may execute it."""
    replaced = draft.functions.get(key)
    if replaced is None:
        schema, place = function.name.schema, statement.location()
        draft.privileges += defaults.of_function(schema, function.signature, place, draft)
    else:
        function = replace(function, comment=replaced.comment, owner=replaced.owner)
    draft.functions[key] = function
    draft.definitions[function.signature] = statement.text


def _refuse_unknown(
    options: dict[str, Any], name: Name, statement: Statement, draft: Draft
) -> None:
    if unknown := sorted(options.keys() - _OPTIONS):
        message = f"function option {unknown[0].upper()} is not known here; drop it"
        statement.refuse("opaque", name, message)
    language = _text(options, "language", "sql")
    if language not in _LANGUAGES:
        message = f"what a function in {language} does cannot be read"
        draft.problems.append(statement.problem("opaque", name, message))


def _text(options: dict[str, Any], option: str, default: str) -> str:
    return str(options[option].sval) if option in options else default


def _flag(options: dict[str, Any], option: str) -> bool:
    return option in options and bool(options[option].boolval)


def _is_column(parameter: Any) -> bool:
    return bool(parameter.mode == FunctionParameterMode.FUNC_PARAM_TABLE)


def _parameter(parameter: Any) -> str:
    """As pg_get_function_identity_arguments spells it."""
    name = f"{names.quoted(parameter.name)} " if parameter.name else ""
    return f"{_MODES.get(parameter.mode, '')}{name}{types.spell_bare(parameter.argType)}"


def _result(node: Any, parameters: Any) -> str:
    """As pg_get_function_result spells it."""
    columns = [
        f"{names.quoted(p.name)} {types.spell_bare(p.argType)}" for p in parameters if _is_column(p)
    ]
    if columns:
        return f"TABLE({', '.join(columns)})"
    out = [types.spell_bare(p.argType) for p in parameters if p.mode in _OUT]
    if out and node.returnType is None:
        return out[0] if len(out) == 1 else "record"
    if node.returnType is None:
        return ""
    return f"{'SETOF ' if node.returnType.setof else ''}{types.spell_bare(node.returnType)}"


def setting(node: Any) -> dict[str, str]:
    """What a SET clause sets, by name; nothing for RESET and SET … TO DEFAULT."""
    return {node.name: _setting(node)} if node.kind == VariableSetKind.VAR_SET_VALUE else {}


def _setting(node: Any) -> str:
    """`name=value, value`, as proconfig holds it."""
    if node.kind != VariableSetKind.VAR_SET_VALUE:
        return f"{node.name}="
    values = [_constant(argument.val) for argument in node.args or ()]
    return f"{node.name}={', '.join(values)}"


def _constant(value: Any) -> str:
    for attribute in ("sval", "ival", "fval", "boolval"):
        if hasattr(value, attribute):
            return str(getattr(value, attribute)) or '""'
    return ""
