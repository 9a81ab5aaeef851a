"""Values that expressions of PL/pgSQL have whatever the data: constants, and what is built of them.

Enough for what migrations write: format(), ||, arrays, comparisons, questions to the system
catalogs about what the statements before have created. Whatever else occurs is Unknown, never
guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pglast import ast
from pglast.enums import A_Expr_Kind, BoolExprType, JoinType, NullTestType, SubLinkType
from pglast.parser import ParseError

from harness.catalog.files import names, operations
from harness.catalog.files.expressions import walk
from harness.catalog.files.operations import Value
from harness.catalog.parsing import parse_sql

Row = Mapping[str, Value]
Conjunct = tuple[Any, frozenset[str]]
"""A condition, and the relations that it names."""
Relation = Callable[[str], list[Row] | None]
"""The rows of a system catalog by its name; None where they are not known."""
_PLATFORM = ("pg_roles", "pg_authid", "pg_user", "pg_extension", "pg_publication")


class Unknown(Exception):
    """The text does not tell the value.

    `platform`: it depends on roles, extensions or publications, which may come from elsewhere.
    """

    def __init__(self, what: str, platform: bool = False) -> None:
        super().__init__(what)
        self.platform = platform


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean: variables, the fields of rows by the name of their relation, catalogs."""

    variables: Mapping[str, Value]
    relation: Relation
    rows: Mapping[str, Row] = field(default_factory=dict)

    def with_row(self, name: str, row: Row) -> Scope:
        """The scope in which a row is seen under a name."""
        return Scope(self.variables, self.relation, {**self.rows, name: row})


def value(text: str, scope: Scope) -> Value:
    """The value of an expression. Raises Unknown."""
    query = _parsed(f"SELECT ({text}\n)")
    return of_node(query.targetList[0].val, scope)


def rows(text: str, scope: Scope) -> list[Row]:
    """The rows of a query, each once. Raises Unknown."""
    found: dict[tuple[Value, ...], Row] = {}
    for row in _selected(_parsed(text), scope):
        found.setdefault(tuple(row.values()), row)
    return list(found.values())


def of_node(node: Any, scope: Scope) -> Value:
    """The value of a parsed expression. Raises Unknown."""
    reader = _READERS.get(type(node))
    if reader is None:
        raise Unknown(type(node).__name__)
    return reader(node, scope)


def _parsed(text: str) -> Any:
    try:
        (statement,) = parse_sql(text)
    except (ParseError, ValueError):
        raise Unknown(text) from None
    if not isinstance(statement.stmt, ast.SelectStmt):
        raise Unknown(text)
    return statement.stmt


def _selected(query: Any, scope: Scope) -> Iterator[Row]:
    if query.valuesLists:
        for values in query.valuesLists:
            yield {f"column{n}": of_node(v, scope) for n, v in enumerate(values, 1)}
        return
    if query.op.name != "SETOP_NONE" or query.groupClause or query.limitCount or query.withClause:
        raise Unknown("a query of this form")
    scopes, wanted = [scope], _conjuncts(query.whereClause)
    for item in query.fromClause or ():
        scopes = _from(item, scopes, wanted)
    for inner in scopes:
        if query.whereClause is None or of_node(query.whereClause, inner) is True:
            yield from _targets(query.targetList or (), inner)


def _targets(targets: Any, scope: Scope) -> Iterator[Row]:
    """The row of a target list; unnest() alone in it makes one row of each element."""
    if len(targets) == 1 and _called(targets[0].val) == "unnest":
        name = targets[0].name or "unnest"
        yield from ({name: item} for item in of_node(targets[0].val.args[0], scope))
        return
    yield {_name_of(target, n): of_node(target.val, scope) for n, target in enumerate(targets)}


def _name_of(target: Any, position: int) -> str:
    fields = getattr(target.val, "fields", None)
    last = getattr(fields[-1], "sval", None) if fields else None
    return target.name or last or _called(target.val) or f"column{position}"


def _called(node: Any) -> str | None:
    return str(node.funcname[-1].sval) if isinstance(node, ast.FuncCall) else None


def _conjuncts(condition: Any) -> tuple[Conjunct, ...]:
    """The parts of a condition that AND joins, as far as each names the relations that it is
    about: a row for which one does not hold need not be combined with others."""
    if isinstance(condition, ast.BoolExpr) and condition.boolop == BoolExprType.AND_EXPR:
        return tuple(each for part in condition.args for each in _conjuncts(part))
    nodes = list(walk(condition))
    columns = [node for node in nodes if isinstance(node, ast.ColumnRef)]
    plain = not any(isinstance(node, ast.SubLink | ast.ParamRef) for node in nodes)
    if not plain or not columns or any(len(column.fields) != 2 for column in columns):
        return ()
    return ((condition, frozenset(column.fields[0].sval for column in columns)),)


def _may_hold(wanted: tuple[Conjunct, ...], scope: Scope) -> bool:
    for condition, relations in wanted:
        if relations <= scope.rows.keys() and of_node(condition, scope) is not True:
            return False
    return True


def _from(item: Any, scopes: list[Scope], wanted: tuple[Conjunct, ...]) -> list[Scope]:
    """The scopes, each once for every row of what stands in FROM."""
    if isinstance(item, ast.JoinExpr) and item.jointype == JoinType.JOIN_INNER:
        inner = (*wanted, *_conjuncts(item.quals))
        joined = _from(item.rarg, _from(item.larg, scopes, inner), inner)
        return [s for s in joined if item.quals is None or of_node(item.quals, s) is True]
    if isinstance(item, ast.RangeVar):
        name = item.alias.aliasname if item.alias else item.relname
        rows = _rows_of(item, scopes[0]) if scopes else []
        further = (scope.with_row(name, row) for scope in scopes for row in rows)
    elif isinstance(item, ast.RangeSubselect | ast.RangeFunction) and item.alias:
        further = (each for scope in scopes for each in _from_rows(item, scope))
    else:
        raise Unknown(type(item).__name__)
    return [scope for scope in further if _may_hold(wanted, scope)]


def _from_rows(item: Any, scope: Scope) -> Iterator[Scope]:
    named = [column.sval for column in item.alias.colnames or ()]
    if isinstance(item, ast.RangeSubselect):
        found = list(_selected(item.subquery, scope))
    else:
        call = item.functions[0][0]
        if _called(call) != "unnest":
            raise Unknown(str(_called(call)))
        found = [{item.alias.aliasname: each} for each in of_node(call.args[0], scope)]
    for row in found:
        renamed = zip(named or row.keys(), row.values(), strict=False)
        yield scope.with_row(item.alias.aliasname, dict(renamed))


def _rows_of(item: Any, scope: Scope) -> list[Row]:
    schema = item.schemaname or "pg_catalog"
    if item.relname in _PLATFORM:
        raise Unknown(item.relname, platform=True)
    found = scope.relation(f"{schema}.{item.relname}")
    if found is None:
        raise Unknown(item.relname)
    return found


def _constant(node: Any, _: Scope) -> Value:
    if node.isnull:
        return None
    if isinstance(node.val, ast.Boolean):
        return bool(node.val.boolval)
    if isinstance(node.val, ast.Integer):
        return int(node.val.ival or 0)
    return str(getattr(node.val, "sval", None) or getattr(node.val, "fval", ""))


def _column(node: Any, scope: Scope) -> Value:
    parts = [getattr(part, "sval", "*") for part in node.fields]
    if len(parts) == 2 and parts[0] in scope.rows and parts[1] in scope.rows[parts[0]]:
        return scope.rows[parts[0]][parts[1]]
    if len(parts) == 2 and isinstance(scope.variables.get(parts[0]), Mapping):
        return _field(scope.variables[parts[0]], parts[1])
    if len(parts) == 1:
        for row in scope.rows.values():
            if parts[0] in row:
                return row[parts[0]]
        if parts[0] in scope.variables:
            return _known(scope.variables[parts[0]], parts[0])
    raise Unknown(".".join(parts))


def _parameter(node: Any, scope: Scope) -> Value:
    name = f"${node.number}"
    return _known(scope.variables.get(name, Unknown(name)), name)


def _field(record: Row, name: str) -> Value:
    if name not in record:
        raise Unknown(name)
    return record[name]


def _known(found: Value, name: str) -> Value:
    if isinstance(found, Unknown):
        raise Unknown(name, found.platform)
    return found


def _cast(node: Any, scope: Scope) -> Value:
    found, type = of_node(node.arg, scope), node.typeName.names[-1].sval
    if type == "regclass" and isinstance(found, str):
        return str(names.of_text(found))
    if node.typeName.arrayBounds and isinstance(found, str):
        return _array_of_text(found)
    return found


def _array_of_text(text: str) -> tuple[str, ...]:
    """'{a,b}' without quotes or escapes in it."""
    if not re.fullmatch(r"\{[\w .,-]*\}", text):
        raise Unknown(text)
    return tuple(item.strip() for item in text[1:-1].split(",") if item.strip())


def _bool(node: Any, scope: Scope) -> Value:
    if node.boolop == BoolExprType.NOT_EXPR:
        found = of_node(node.args[0], scope)
        return None if found is None else not found
    decides = node.boolop == BoolExprType.OR_EXPR
    unknown: Unknown | None = None
    values = []
    for argument in node.args:
        try:
            values.append(of_node(argument, scope))
        except Unknown as error:
            unknown = error
        else:
            if values[-1] is decides:
                return decides
    if unknown is not None:
        raise unknown
    return None if None in values else not decides


def _operator(node: Any, scope: Scope) -> Value:
    name = node.name[-1].sval
    left = of_node(node.lexpr, scope) if node.lexpr is not None else None
    if node.kind == A_Expr_Kind.AEXPR_IN:
        found = left in [of_node(item, scope) for item in node.rexpr]
        return None if left is None else found is (name == "=")
    right = of_node(node.rexpr, scope)
    if left is None or right is None:
        return None
    if node.kind == A_Expr_Kind.AEXPR_OP_ANY and name == "=":
        return left in right
    if node.kind == A_Expr_Kind.AEXPR_OP_ALL and name == "<>":
        return left not in right
    if node.kind in (A_Expr_Kind.AEXPR_LIKE, A_Expr_Kind.AEXPR_ILIKE):
        insensitive = node.kind == A_Expr_Kind.AEXPR_ILIKE
        return operations.like(
            str(left), str(right), insensitive=insensitive
        ) is not name.startswith("!")
    if node.kind != A_Expr_Kind.AEXPR_OP or name not in operations.OPERATORS:
        raise Unknown(name)
    return operations.OPERATORS[name](left, right)


def _null_test(node: Any, scope: Scope) -> bool:
    found = of_node(node.arg, scope)
    return (found is None) is (node.nulltesttype == NullTestType.IS_NULL)


def _array(node: Any, scope: Scope) -> tuple[Value, ...]:
    return tuple(of_node(element, scope) for element in node.elements or ())


def _coalesce(node: Any, scope: Scope) -> Value:
    found = (of_node(argument, scope) for argument in node.args)
    return next((each for each in found if each is not None), None)


def _sub_select(node: Any, scope: Scope) -> Value:
    found = [tuple(row.values()) for row in _selected(node.subselect, scope)]
    if node.subLinkType == SubLinkType.EXISTS_SUBLINK:
        return bool(found)
    if node.subLinkType == SubLinkType.ARRAY_SUBLINK:
        return tuple(row[0] for row in found)
    if node.subLinkType == SubLinkType.ANY_SUBLINK and not node.operName:
        return (of_node(node.testexpr, scope),) in found
    if node.subLinkType == SubLinkType.EXPR_SUBLINK and len(found) <= 1:
        return found[0][0] if found else None
    raise Unknown("a subquery of this form")


def _call(node: Any, scope: Scope) -> Value:
    name = node.funcname[-1].sval
    arguments = [of_node(argument, scope) for argument in node.args or ()]
    if name in ("to_regclass", "to_regproc", "to_regprocedure"):
        return _object(name, arguments[0], scope)
    function = operations.FUNCTIONS.get(name)
    if function is None or node.agg_star or node.agg_filter:
        raise Unknown(f"{name}()")
    try:
        return function(*arguments)
    except (TypeError, IndexError, AttributeError):
        raise Unknown(f"{name}()") from None


def _object(function: str, text: str, scope: Scope) -> str | None:
    """The object that a text names, None where it does not exist."""
    called, _, listed = text.rstrip(")").partition("(")
    wanted = names.of_text(called.strip())
    if function == "to_regclass":
        known = scope.relation("pg_catalog.pg_class") or []
        return str(wanted) if any(row["oid"] == str(wanted) for row in known) else None
    count = len(listed.split(",")) if listed.strip() else 0
    for row in scope.relation("pg_catalog.pg_proc") or []:
        if (row["pronamespace"], row["proname"]) == wanted and (
            function == "to_regproc" or len(row["types"]) == count
        ):
            return text
    return None


_READERS: dict[type, Callable[[Any, Scope], Value]] = {
    ast.A_ArrayExpr: _array,
    ast.A_Const: _constant,
    ast.A_Expr: _operator,
    ast.BoolExpr: _bool,
    ast.CoalesceExpr: _coalesce,
    ast.ColumnRef: _column,
    ast.FuncCall: _call,
    ast.NullTest: _null_test,
    ast.ParamRef: _parameter,
    ast.SubLink: _sub_select,
    ast.TypeCast: _cast,
}
