-- The servers, and whether each is a worker that has every relation by its name.
SELECT nodeid, nodename || ':' || nodeport, isactive, hasmetadata AND groupid <> 0
FROM pg_dist_node
WHERE noderole = 'primary'
ORDER BY nodeid
