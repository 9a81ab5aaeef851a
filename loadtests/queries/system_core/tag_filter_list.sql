-- A list narrowed by tags: the records of a kind that carry all of up to three tags (those of
-- a given record, so that there is an answer).
-- budget: p95 120ms
-- weight: 5
-- mode: read
-- rows: >=1
-- params: entity_type_id, entity_id from system_core.tag_assignment
WITH wanted AS (
    SELECT a.tag_id
    FROM system_core.tag_assignment AS a
    JOIN system_core.tag AS t ON t.business_id = a.business_id AND t.tag_id = a.tag_id
    WHERE a.business_id = %(business_id)s AND t.business_id = %(business_id)s
        AND a.entity_type_id = %(entity_type_id)s AND a.entity_id = %(entity_id)s
    ORDER BY t.usage_count
    LIMIT 3
)
SELECT a.business_id, a.entity_id, max(a.assigned_at) AS tagged_at
FROM wanted
JOIN system_core.tag_assignment AS a
    ON a.business_id = %(business_id)s AND a.tag_id = wanted.tag_id
WHERE a.business_id = %(business_id)s AND a.entity_type_id = %(entity_type_id)s
GROUP BY a.business_id, a.entity_id
HAVING count(*) = (SELECT count(*) FROM wanted)
ORDER BY tagged_at DESC
LIMIT 100
