-- A shopper opens a category: the best sellers first, with price, stock badge and facets to narrow.
-- budget: p95 250ms
-- weight: 8
-- mode: read
-- rows: >=1
-- growth: linear, facets and best sellers are counted over all of the category
-- params: category_id from ret.product_category where exists (select from ret.product as p join ret.product_channel_listing as l using (business_id, product_id) join ret.sales_channel as c using (business_id, sales_channel_id) where p.business_id = product_category.business_id and p.product_id = product_category.product_id and p.status = 'active' and l.listing_state = 'published' and c.channel_kind = 'web')
WITH listed AS MATERIALIZED (
    SELECT p.product_id, coalesce(l.listing_title, p.title) AS title, p.slug, p.brand_id,
           h.sales_channel_id, bool_or(m.pinned) AS is_pinned
    FROM ret.product_category AS m
    JOIN ret.product AS p
        ON p.business_id = %(business_id)s AND p.product_id = m.product_id
       AND p.status = 'active'
    JOIN ret.sales_channel AS h ON h.business_id = %(business_id)s AND h.channel_kind = 'web'
    JOIN ret.product_channel_listing AS l
        ON l.business_id = %(business_id)s AND l.product_id = p.product_id
       AND l.sales_channel_id = h.sales_channel_id AND l.listing_state = 'published'
    WHERE m.business_id = %(business_id)s AND m.category_id = %(category_id)s
    GROUP BY p.product_id, l.listing_title, p.title, p.slug, p.brand_id, h.sales_channel_id
), offered AS (
    SELECT i.product_id, count(*) AS variants, sum(n.units) AS units_sold,
           sum(k.available) AS available,
           (array_agg(v.product_variant_id ORDER BY v.list_price, v.sku))[1] AS cheapest_id
    FROM listed AS i
    JOIN ret.product_variant AS v
        ON v.business_id = %(business_id)s AND v.product_id = i.product_id
       AND v.status <> 'discontinued'
    LEFT JOIN LATERAL (
        -- The four weeks before the last day that was summed.
        SELECT sum(d.units_sold) AS units
        FROM ret.variant_sales_day AS d
        WHERE d.business_id = %(business_id)s AND d.product_variant_id = v.product_variant_id
          AND d.business_date > (SELECT max(s.business_date) - 28
                                 FROM ret.sales_day_summary AS s
                                 WHERE s.business_id = %(business_id)s)
    ) AS n ON true
    LEFT JOIN LATERAL (
        SELECT sum(s.available_qty) AS available
        FROM ret.stock_level AS s
        WHERE s.business_id = %(business_id)s AND s.product_variant_id = v.product_variant_id
    ) AS k ON true
    GROUP BY i.product_id
), facet AS (
    SELECT jsonb_object_agg(f.attribute_code, f.choices) AS choices
    FROM (
        SELECT x.attribute_code, jsonb_object_agg(x.choice, x.products) AS choices
        FROM (
            SELECT a.attribute_code, c.choice, count(DISTINCT i.product_id) AS products
            FROM listed AS i
            JOIN ret.product_attribute_value AS w
                ON w.business_id = %(business_id)s AND w.product_id = i.product_id
            JOIN ret.attribute AS a
                ON a.business_id = %(business_id)s AND a.attribute_id = w.attribute_id
               AND a.is_filterable
            CROSS JOIN JSON_TABLE(w.list_value_doc, '$[*]' COLUMNS (choice text PATH '$')) AS c
            GROUP BY a.attribute_code, c.choice
        ) AS x
        GROUP BY x.attribute_code
    ) AS f
), page AS (
    SELECT i.*, o.variants, o.available, o.cheapest_id, coalesce(o.units_sold, 0) AS units_sold,
           row_number() OVER (ORDER BY i.is_pinned DESC, coalesce(o.units_sold, 0) DESC,
                                       i.product_id) AS place
    FROM listed AS i
    JOIN offered AS o ON o.product_id = i.product_id
    ORDER BY place
    LIMIT 24
)
SELECT b.business_id, p.product_id, p.title, p.slug, g.display_name AS brand, p.variants,
       r.price, r.compare_at, p.units_sold,
       CASE WHEN coalesce(p.available, 0) <= 0 THEN 'sold out' WHEN p.available < 5 THEN 'few left'
            ELSE 'in stock' END AS stock_badge,
       CASE WHEN p.place = 1 THEN f.choices END AS facets
FROM page AS p
JOIN tenant_mgmt.business AS b ON b.business_id = %(business_id)s
CROSS JOIN facet AS f
LEFT JOIN ret.brand AS g ON g.business_id = %(business_id)s AND g.brand_id = p.brand_id
LEFT JOIN LATERAL ret.resolve_price(p.cheapest_id, p.sales_channel_id) AS r ON true
ORDER BY p.place
