-- Indexes of the tables %(tables)s and of their partitions that can go away and come back the same.
-- An index goes with all of its partitions' or not at all: `top` is the one that they hang on.
-- By pg_inherits, for the planner takes pg_partition_tree for a thousand rows and reads all catalogs.
WITH RECURSIVE named AS (
    SELECT c.oid AS root, c.oid AS relation, 0 AS level
    FROM pg_class AS c
    WHERE c.oid = ANY (%(tables)s::regclass[])
      AND c.relkind IN ('r', 'p') AND pg_has_role(c.relowner, 'USAGE')
), tree AS (
    SELECT * FROM named
    UNION
    SELECT tree.root, i.inhrelid, tree.level + 1
    FROM tree
    JOIN pg_class AS c ON c.oid = tree.relation AND c.relkind = 'p'
    JOIN pg_inherits AS i ON i.inhparent = tree.relation
), found AS (
    SELECT tree.root, tree.level, c.relname AS table_name, n.nspname AS schema_name, c.relkind,
           x.oid AS index_oid, x.relname AS index_name, k.oid AS constraint_oid, k.contype,
           coalesce(pg_partition_root(x.oid)::oid, x.oid) AS top,
           parent.inhparent AS parent,
           i.indisreplident OR i.indisclustered OR NOT i.indisvalid
           OR (k.oid IS NOT NULL AND x.reloptions IS NOT NULL)
           OR x.reltablespace <> 0
           OR EXISTS (SELECT FROM pg_attribute AS a
                      WHERE a.attrelid = x.oid AND a.attstattarget IS NOT NULL)
           -- What refers to it: a foreign key, a view, a function; or an extension that owns it.
           OR EXISTS (SELECT FROM pg_depend AS d
                      WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = x.oid
                        AND d.deptype = 'n')
           OR EXISTS (SELECT FROM pg_depend AS d
                      WHERE d.refclassid = 'pg_constraint'::regclass AND d.refobjid = k.oid
                        AND d.deptype = 'n')
           OR EXISTS (SELECT FROM pg_depend AS d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = x.oid
                        AND d.deptype = 'e') AS must_stay
    FROM tree
    JOIN pg_class AS c ON c.oid = tree.relation
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_index AS i ON i.indrelid = c.oid
    JOIN pg_class AS x ON x.oid = i.indexrelid
    LEFT JOIN pg_constraint AS k
      ON k.conrelid = c.oid AND k.conindid = x.oid AND k.contype IN ('p', 'u', 'x')
    LEFT JOIN pg_inherits AS parent ON parent.inhrelid = x.oid
), judged AS (
    SELECT *, bool_or(must_stay) OVER (PARTITION BY top) AS tree_stays FROM found
)
SELECT rn.nspname, root.relname, top.relname AS top_name,
       found.schema_name, found.table_name, found.relkind::text,
       found.index_name, pg_get_indexdef(found.index_oid),
       found.contype::text, pg_get_constraintdef(found.constraint_oid),
       pn.nspname, parent.relname,
       obj_description(found.index_oid, 'pg_class'),
       obj_description(found.constraint_oid, 'pg_constraint')
FROM judged AS found
JOIN pg_class AS root ON root.oid = found.root
JOIN pg_namespace AS rn ON rn.oid = root.relnamespace
JOIN pg_class AS top ON top.oid = found.top
LEFT JOIN pg_class AS parent ON parent.oid = found.parent
LEFT JOIN pg_namespace AS pn ON pn.oid = parent.relnamespace
WHERE NOT found.tree_stays
ORDER BY found.root, found.top, found.level, found.index_oid
