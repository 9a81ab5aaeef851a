-- Search box of the web shop: by words, a misspelled title, a brand, an article number or a barcode.
-- budget: p95 200ms
-- weight: 5
-- mode: read
-- rows: >=1
-- params: words=title from ret.product where status = 'active'
WITH near AS (
    -- Products that hold most of the words, or one that begins as the first does.
    SELECT w.entity_id AS product_id, count(*) FILTER (WHERE w.is_whole) AS words
    FROM (
        SELECT w.entity_id, true AS is_whole
        FROM system_core.search_word AS w
        WHERE w.business_id = %(business_id)s AND w.found_in = 'ret.product'
          AND w.word = ANY (system_core.words_of(%(words)s))
        UNION ALL
        SELECT w.entity_id, false
        FROM system_core.search_word AS w
        WHERE w.business_id = %(business_id)s AND w.found_in = 'ret.product'
          AND w.word ^@ lower(left(%(words)s, 3))
    ) AS w
    GROUP BY w.entity_id
    ORDER BY words DESC, w.entity_id
    LIMIT 100
), found AS (
    SELECT p.product_id,
           CASE WHEN n.words = cardinality(system_core.words_of(%(words)s))
                THEN 1 + ts_rank(to_tsvector('simple',
                                             p.title || ' ' || coalesce(p.description, '')),
                                 plainto_tsquery('simple', %(words)s))
                ELSE public.similarity(p.title, %(words)s) END AS score
    FROM near AS n
    JOIN ret.product AS p ON p.business_id = %(business_id)s AND p.product_id = n.product_id
    WHERE n.words = cardinality(system_core.words_of(%(words)s))
       OR public.similarity(p.title, %(words)s) > 0.3
    UNION ALL
    SELECT p.product_id, 0.5
    FROM ret.brand AS b
    JOIN ret.product AS p ON p.business_id = b.business_id AND p.brand_id = b.brand_id
    WHERE b.business_id = %(business_id)s AND lower(b.display_name) = lower(%(words)s)
    UNION ALL
    SELECT v.product_id, 3
    FROM ret.product_variant AS v
    WHERE v.business_id = %(business_id)s AND v.sku = %(words)s
    UNION ALL
    SELECT v.product_id, 3
    FROM ret.variant_barcode AS c
    JOIN ret.product_variant AS v
        ON v.business_id = c.business_id AND v.product_variant_id = c.product_variant_id
    WHERE c.business_id = %(business_id)s AND c.barcode = %(words)s
), best AS (
    SELECT f.product_id, max(f.score) AS score
    FROM found AS f
    GROUP BY f.product_id
)
SELECT p.business_id, p.product_id, coalesce(l.listing_title, p.title) AS title, p.slug,
       b.display_name AS brand, o.price_from, o.variant_count, s.score
FROM best AS s
JOIN ret.product AS p ON p.business_id = %(business_id)s AND p.product_id = s.product_id
JOIN ret.sales_channel AS c ON c.business_id = p.business_id AND c.channel_kind = 'web'
JOIN ret.product_channel_listing AS l
    ON l.business_id = p.business_id AND l.product_id = p.product_id
   AND l.sales_channel_id = c.sales_channel_id AND l.listing_state = 'published'
LEFT JOIN ret.brand AS b ON b.business_id = p.business_id AND b.brand_id = p.brand_id
CROSS JOIN LATERAL (
    SELECT min(v.list_price) AS price_from, count(*) AS variant_count
    FROM ret.product_variant AS v
    WHERE v.business_id = %(business_id)s AND v.product_id = p.product_id
      AND v.status <> 'discontinued'
) AS o
WHERE o.variant_count > 0
ORDER BY s.score DESC, p.product_id
LIMIT 24
