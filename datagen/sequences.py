"""Sequences go on behind the keys that were loaded, so that the application's next row is no
duplicate."""

from __future__ import annotations

from psycopg import sql

from harness.catalog.model import Catalog
from harness.db import Connection

_OWNED = """
SELECT sn.nspname, s.relname, tn.nspname, t.relname, a.attname, q.seqincrement > 0
FROM pg_class AS s
JOIN pg_namespace AS sn ON sn.oid = s.relnamespace
JOIN pg_sequence AS q ON q.seqrelid = s.oid
JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid
  AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
JOIN pg_class AS t ON t.oid = d.refobjid
JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
WHERE tn.nspname = ANY (%s)
  AND CASE s.relkind WHEN 'S' THEN has_sequence_privilege(s.oid, 'UPDATE') END
UNION
SELECT sn.nspname, s.relname, tn.nspname, t.relname, a.attname, q.seqincrement > 0
FROM pg_attrdef AS ad
JOIN pg_depend AS d ON d.classid = 'pg_attrdef'::regclass AND d.objid = ad.oid
  AND d.refclassid = 'pg_class'::regclass
JOIN pg_class AS s ON s.oid = d.refobjid AND s.relkind = 'S'
JOIN pg_namespace AS sn ON sn.oid = s.relnamespace
JOIN pg_sequence AS q ON q.seqrelid = s.oid
JOIN pg_class AS t ON t.oid = ad.adrelid AND t.relkind IN ('r', 'p')
JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = ad.adnum
WHERE tn.nspname = ANY (%s)
  AND CASE s.relkind WHEN 'S' THEN has_sequence_privilege(s.oid, 'UPDATE') END
  AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
ORDER BY 1, 2
"""


def advance(connection: Connection, catalog: Catalog) -> None:
    """Sets each sequence that fills a column behind the greatest value there; one that is ahead
    stays where it is."""
    schemas = list(catalog.schemas)
    for schema, name, of_schema, table, column, rising in connection.execute(
        _OWNED, [schemas, schemas]
    ).fetchall():
        if not rising:
            continue
        sequence = sql.Identifier(schema, name)
        query = sql.SQL(
            "SELECT setval({name}, greatest(m.greatest, s.last_value))"
            " FROM (SELECT max({column}) AS greatest FROM {table}) AS m, {sequence} AS s"
            " WHERE m.greatest >= s.last_value"
        ).format(
            name=sql.Literal(sequence.as_string(connection)),
            column=sql.Identifier(column),
            table=sql.Identifier(of_schema, table),
            sequence=sequence,
        )
        connection.execute(query)
