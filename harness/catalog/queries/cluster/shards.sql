-- Each shard where it lies. Citus cuts long names in a way of its own: shard_name() tells them.
SELECT n.nspname, c.relname, s.shardid,
       (parse_ident(shard_name(s.logicalrelid, s.shardid)))[array_upper(
           parse_ident(shard_name(s.logicalrelid, s.shardid)), 1)],
       node.nodeid, s.shardminvalue::integer, s.shardmaxvalue::integer
FROM pg_dist_shard AS s
JOIN pg_dist_placement AS placed ON placed.shardid = s.shardid AND placed.shardstate = 1
JOIN pg_dist_node AS node ON node.groupid = placed.groupid AND node.noderole = 'primary'
JOIN pg_class AS c ON c.oid = s.logicalrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%(schemas)s)
ORDER BY c.oid, s.shardid, node.nodeid
