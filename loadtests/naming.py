"""The tenant of a transaction told to the server's views, too: in application_name.

It is named by the statement that sets it. A statement of its own would cost a light read a tenth of
its time; an expression more costs a thirtieth.
"""

from __future__ import annotations

from pglast import ast
from pglast.parser import ParseError

from harness.catalog.parsing import parse_sql
from harness.metrics.tenants import PREFIX

_MORE = (
    *("fromClause", "whereClause", "groupClause", "havingClause", "sortClause"),
    *("limitCount", "limitOffset", "lockingClause", "intoClause", "valuesLists", "larg"),
)
"""What may stand behind the expressions of a SELECT."""


def naming(set_tenant: str) -> str:
    """The statement with the tenant named as well, for the rest of the transaction.

    What is no SELECT of expressions alone stays as it is, and its tenants without a name.
    """
    text = set_tenant.strip().rstrip(";")
    try:
        (raw,) = parse_sql(text.replace("%s", "$1"))
    except (ParseError, ValueError):
        return set_tenant
    if not isinstance(raw.stmt, ast.SelectStmt) or any(getattr(raw.stmt, more) for more in _MORE):
        return set_tenant
    return f"{text}, set_config('application_name', '{PREFIX}' || %s, true)"
