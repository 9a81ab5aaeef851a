"""Row security leaves indexes usable: their conditions are leakproof.

A condition that is not leakproof waits until the policy has let a row pass, so no index finds rows
by it: a search by trigrams or words, by lower(name), in an array or an enum reads all rows of its
tenant, however the index begins. Compare a stored generated column, or look words up in a table of
words; an index for roles that bypass row security says so.
"""

from __future__ import annotations

from collections.abc import Iterator

from pglast import ast

from checks.rule import Violation
from checks.subjects import defined
from checks.wording import qualified
from harness.catalog.files.expressions import parse, walk
from harness.catalog.model import Catalog, Column, Index, Name, Table
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = (
    """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL, name text, name_lower text GENERATED ALWAYS AS (lower(name)) STORED,
    UNIQUE (business_id, name)
);
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY;
CREATE INDEX bay_name_idx ON auto.bay (business_id, name_lower text_pattern_ops);
CREATE INDEX bay_shown_idx ON auto.bay (business_id, coalesce(name, ''));
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, name text, UNIQUE (business_id, name));
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY;
CREATE INDEX bay_name_idx ON auto.bay USING gin (business_id, name public.gin_trgm_ops);
COMMENT ON INDEX auto.bay_name_idx IS
    'For the support desk, which bypasses row security: % is not leakproof.';
""",
    """
-- What a UNIQUE holds is no search.
CREATE TABLE auto.bay (business_id uuid NOT NULL, name text);
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY;
CREATE UNIQUE INDEX bay_name_key ON auto.bay (business_id, lower(name));
""",
    """
-- No row security: no policy comes first.
CREATE TABLE auto.bay (business_id uuid NOT NULL, name text, UNIQUE (business_id, name));
CREATE INDEX bay_name_idx ON auto.bay (business_id, lower(name));
""",
)
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, name text, UNIQUE (business_id, name));
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY;
CREATE INDEX bay_name_idx ON auto.bay USING gin (business_id, name public.gin_trgm_ops); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, name text, UNIQUE (business_id, name));
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY;
CREATE INDEX bay_name_idx ON auto.bay (business_id, lower(name)); -- here
CREATE INDEX bay_doubled_idx ON auto.bay (business_id, (name || name)); -- here
""",
    """
CREATE TYPE auto.state AS ENUM ('open', 'done');
CREATE TABLE auto.bay (business_id uuid NOT NULL, state auto.state, tags text[], at timestamptz);
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY;
CREATE INDEX bay_tags_idx ON auto.bay USING gin (tags); -- here
CREATE INDEX bay_state_idx ON auto.bay (business_id, state, at); -- here
""",
)
_EXPLAINED = ("row security", "leakproof")
_SCALAR = ("uuid", "smallint", "integer", "bigint", "boolean", "date", "time", "timestamp", "oid")
"""Types whose operators are leakproof and of which GIN and GiST compare no more than values."""
_LEAKY = ("jsonb", "tsvector", "citext", "hstore", "range", "multirange", "[]")
_COMPARES = {"=", "<>", "<", "<=", ">", ">="}


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for table in defined(catalog, tenancy):
        if table.row_security:
            for index in table.indexes:
                key = next((key for key in index.columns if key != tenancy.column), None)
                if key is not None and _is_search(index) and _is_kept(key, index, table, catalog):
                    yield _violation(table, index, key)


def _violation(table: Table, index: Index, key: str) -> Violation:
    name = Name(table.name.schema, index.name)
    return Violation(
        str(name),
        f"row security keeps queries from index {index.name}: what compares {key} is not leakproof",
        index.location,
        f"-- a generated column or a table of words instead, or\n"
        f"COMMENT ON INDEX {qualified(name)} IS"
        " 'for a role that bypasses row security';",
    )


def _is_search(index: Index) -> bool:
    comment = (index.comment or "").lower()
    return not index.unique and not any(word in comment for word in _EXPLAINED)


def _is_kept(key: str, index: Index, table: Table, catalog: Catalog) -> bool:
    """Whether no condition on the key finds rows for somebody under row security."""
    column = table.columns.get(key)
    if column is None:
        return _calls(key)
    kind = _base(column, catalog)
    if index.method in ("gin", "gist", "spgist"):
        return not kind.startswith(_SCALAR)
    # A last key may give rows their order, which reveals none.
    return kind.endswith(_LEAKY) or (_is_enum(kind, catalog) and key != index.columns[-1])


def _calls(key: str) -> bool:
    """Whether an expression does more to a column than to choose between values."""
    return any(
        isinstance(node, ast.FuncCall)
        or (isinstance(node, ast.A_Expr) and node.name[-1].sval not in _COMPARES)
        for node in walk(parse(key))
    )


def _base(column: Column, catalog: Catalog) -> str:
    domain = catalog.domains.get(Name.parse(column.type))
    return domain.base_type if domain else column.type


def _is_enum(kind: str, catalog: Catalog) -> bool:
    return Name.parse(kind) in catalog.enums
