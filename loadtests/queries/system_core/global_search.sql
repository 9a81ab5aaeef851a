-- Results while typing in the search box.
-- budget: p95 150ms
-- weight: 4
-- mode: read
-- rows: >=1
-- growth: linear, it looks at every record that has one of the words
-- params: words=title from system_core.search_document where NOT is_archived
SELECT d.business_id, k.table_name, d.entity_id, d.title, d.subtitle, d.url_path,
       ts_rank(d.search_vector, plainto_tsquery('simple', %(words)s)) * d.rank_boost AS rank
FROM (
    -- Records that hold all the words.
    SELECT w.entity_id
    FROM system_core.search_word AS w
    WHERE w.business_id = %(business_id)s AND w.found_in = 'system_core.search_document'
      AND w.word = ANY (system_core.words_of(%(words)s))
    GROUP BY w.entity_id
    HAVING count(*) = cardinality(system_core.words_of(%(words)s))
) AS f
JOIN system_core.search_document AS d
    ON d.business_id = %(business_id)s AND d.search_document_id = f.entity_id
JOIN system_core.entity_type AS k
    ON k.business_id = d.business_id AND k.entity_type_id = d.entity_type_id
WHERE k.business_id = %(business_id)s AND NOT d.is_archived
ORDER BY rank DESC
LIMIT 20
