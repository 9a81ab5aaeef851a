-- Results while typing in the search box.
-- budget: p95 150ms
-- weight: 4
-- mode: read
-- rows: >=1
-- params: words=title from system_core.search_document where NOT is_archived
SELECT d.business_id, k.table_name, d.entity_id, d.title, d.subtitle, d.url_path,
       ts_rank(d.search_vector, plainto_tsquery('simple', %(words)s)) * d.rank_boost AS rank
FROM system_core.search_document AS d
JOIN system_core.entity_type AS k
    ON k.business_id = d.business_id AND k.entity_type_id = d.entity_type_id
WHERE d.business_id = %(business_id)s
    AND k.business_id = %(business_id)s
    AND d.search_vector @@ plainto_tsquery('simple', %(words)s)
    AND NOT d.is_archived
ORDER BY rank DESC
LIMIT 20
