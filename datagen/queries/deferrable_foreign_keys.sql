-- Foreign keys of the tables %(tables)s and of their partitions that can go away and come back the
-- same: none that is switched off, depended on, or known by another name or comment in a partition.
-- All of a table or none, so that they come back in their order, on which a plan depends.
-- By pg_inherits, for the planner takes pg_partition_tree for a thousand rows and reads all catalogs.
WITH RECURSIVE named AS (
    SELECT c.oid AS root, c.oid AS relation
    FROM pg_class AS c
    WHERE c.oid = ANY (%(tables)s::regclass[])
      AND c.relkind IN ('r', 'p') AND pg_has_role(c.relowner, 'USAGE')
), tree AS (
    SELECT * FROM named
    UNION
    SELECT tree.root, i.inhrelid
    FROM tree
    JOIN pg_class AS c ON c.oid = tree.relation AND c.relkind = 'p'
    JOIN pg_inherits AS i ON i.inhparent = tree.relation
), found AS (
    SELECT tree.root, k.oid, k.conname, k.conrelid, k.confrelid, k.convalidated,
           NOT pg_has_role(f.relowner, 'USAGE')
           OR EXISTS (SELECT FROM pg_trigger AS t
                      WHERE t.tgconstraint = k.oid AND t.tgenabled <> 'O')
           OR EXISTS (SELECT FROM pg_constraint AS p
                      WHERE p.conparentid = k.oid AND p.conrelid <> k.conrelid
                        AND (p.conname <> k.conname
                             OR obj_description(p.oid, 'pg_constraint') IS NOT NULL))
           OR EXISTS (SELECT FROM pg_depend AS d
                      WHERE d.deptype = 'n' AND d.refclassid = 'pg_constraint'::regclass
                        AND d.refobjid = k.oid) AS must_stay
    FROM tree
    JOIN pg_constraint AS k
      ON k.conrelid = tree.relation AND k.contype = 'f' AND k.conparentid = 0
    JOIN pg_class AS f ON f.oid = k.confrelid
), judged AS (
    SELECT *, bool_or(must_stay) OVER (PARTITION BY root) AS all_stay FROM found
)
SELECT rn.nspname, root.relname, n.nspname, c.relname, c.relkind::text,
       fn.nspname, f.relname, found.conname, pg_get_constraintdef(found.oid), found.convalidated,
       obj_description(found.oid, 'pg_constraint')
FROM judged AS found
JOIN pg_class AS root ON root.oid = found.root
JOIN pg_namespace AS rn ON rn.oid = root.relnamespace
JOIN pg_class AS c ON c.oid = found.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_class AS f ON f.oid = found.confrelid
JOIN pg_namespace AS fn ON fn.oid = f.relnamespace
-- Whoever checks a key under row security sees none of the rows that it is about.
WHERE EXISTS (SELECT FROM pg_roles AS r
              WHERE r.rolname = current_user AND (r.rolsuper OR r.rolbypassrls))
  AND NOT found.all_stay
ORDER BY found.root, found.oid
