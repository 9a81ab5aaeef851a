SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- A product comes from one supplier, one variant in five from a second one too.
INSERT INTO ret.supplier_product
    (business_id, supplier_product_id, supplier_id, product_variant_id, supplier_sku, pack_size,
     minimum_order_qty, order_multiple, lead_days, lead_days_sd, is_preferred, is_dropship,
     carton_qty, country_of_origin, last_cost, last_ordered_on, status)
SELECT v.business_id, md5('supplied ' || v.product_variant_id || n.place)::uuid, s.supplier_id,
       v.product_variant_id, substr(s.supplier_code, 5) || '-' || v.sku || '-' || n.place, 1,
       CASE WHEN v.draw %% 4 = 0 THEN 12 ELSE 6 END, 6,
       s.default_lead_days + v.draw %% 3, round(s.default_lead_days * 0.2, 1), n.place = 1,
       s.supplier_kind = 'dropship', 24,
       CASE s.supplier_kind WHEN 'importer' THEN 'CN'
            ELSE split_part('US,MX,VN,DE,PT', ',', 1 + v.draw %% 5) END,
       v.cost, %(as_of)s::date - 10 - v.draw %% 60, 'active'
FROM (
    SELECT x.business_id, x.product_variant_id, x.sku,
           round(greatest(coalesce(nullif(x.standard_cost, 0), x.list_price * 0.5, 5), 0.5), 2)
               AS cost,
           ('x' || substr(md5(x.product_id || 'supplier'), 1, 7))::bit(28)::integer AS maker,
           ('x' || substr(md5(x.product_variant_id || 'supplied'), 1, 7))::bit(28)::integer AS draw
    FROM ret.product_variant AS x
    JOIN ret.product AS p
        ON p.business_id = x.business_id AND p.product_id = x.product_id
       AND p.product_kind IN ('simple', 'configurable')
    WHERE x.business_id = %(business_id)s
) AS v
JOIN (VALUES (1), (2)) AS n (place) ON n.place = 1 OR v.draw %% 5 = 0
JOIN (
    SELECT x.supplier_id, x.supplier_code, x.supplier_kind, x.default_lead_days,
           row_number() OVER (ORDER BY x.supplier_code) AS place, count(*) OVER () AS suppliers
    FROM ret.supplier AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
      AND x.supplier_kind IN ('manufacturer', 'distributor', 'importer')
) AS s ON s.place = 1 + (v.maker + (n.place - 1) * 5) %% s.suppliers;

-- The contract by the piece; half of it is cheaper by the carton. A tenth was dearer until a
-- quarter ago.
INSERT INTO ret.supplier_cost
    (business_id, supplier_cost_id, supplier_product_id, min_qty, unit_cost, currency, cost_kind,
     freight_per_unit, duty_pct, effective_from, effective_to, approved_at)
SELECT p.business_id, md5('cost ' || p.supplier_product_id || k.min_qty || k.era)::uuid,
       p.supplier_product_id, k.min_qty, round(p.last_cost * k.factor, 4), s.currency, 'contract',
       CASE WHEN s.supplier_kind = 'importer' THEN round(p.last_cost * 0.04, 2) ELSE 0 END,
       CASE WHEN s.supplier_kind = 'importer' THEN 6.5 ELSE 0 END, k.effective_from,
       k.effective_to, k.effective_from - interval '3 days'
FROM (
    SELECT x.*, ('x' || substr(md5(x.supplier_product_id || 'c'), 1, 7))::bit(28)::integer AS draw
    FROM ret.supplier_product AS x
    WHERE x.business_id = %(business_id)s
) AS p
JOIN ret.supplier AS s ON s.business_id = p.business_id AND s.supplier_id = p.supplier_id
JOIN LATERAL (VALUES
    (1, 'now', 1.00, %(as_of)s::date - 90, NULL::date, true),
    (24, 'now', 0.94, %(as_of)s::date - 90, NULL, p.draw %% 2 = 0),
    (1, 'before', 1.05, %(as_of)s::date - 455, %(as_of)s::date - 91, p.draw %% 10 = 0)
) AS k (min_qty, era, factor, effective_from, effective_to, is_there) ON k.is_there;

-- Who sells much pays back: in tiers for volume, others for marketing or returns.
INSERT INTO ret.supplier_agreement
    (business_id, supplier_agreement_id, supplier_id, agreement_number, agreement_kind, basis,
     tiers_doc, accrual_pct, settle_every, effective_from, effective_to, signed_on, state)
SELECT s.business_id, md5('terms ' || s.supplier_id || k.kind)::uuid, s.supplier_id,
       'AG-' || substr(s.supplier_code, 5) || '-' || k.kind, k.kind,
       CASE k.kind WHEN 'rebate' THEN 'purchases' WHEN 'markdown_support' THEN 'sales'
                   WHEN 'return_allowance' THEN 'receipts' ELSE 'fixed' END,
       CASE WHEN k.kind = 'rebate'
            THEN '[{"from_amount": 1000, "rebate_pct": 1}, {"from_amount": 10000, "rebate_pct": 2},
                   {"from_amount": 50000, "rebate_pct": 3.5}]'::jsonb END,
       CASE k.kind WHEN 'rebate' THEN 2 WHEN 'return_allowance' THEN 1.5 END,
       CASE k.kind WHEN 'rebate' THEN 'quarter' WHEN 'coop' THEN 'year' ELSE 'month' END,
       %(as_of)s::date - 300 - s.place * 3,
       CASE WHEN s.place %% 9 = 8 THEN %(as_of)s::date - 20
            ELSE %(as_of)s::date + 65 + s.place END,
       CASE WHEN s.place %% 11 <> 10 THEN %(as_of)s::date - 310 - s.place * 3 END,
       CASE WHEN s.place %% 11 = 10 THEN 'draft' WHEN s.place %% 9 = 8 THEN 'expired'
            ELSE 'active' END
FROM (
    SELECT x.business_id, x.supplier_id, x.supplier_code,
           row_number() OVER (ORDER BY x.supplier_code)::integer - 1 AS place
    FROM ret.supplier AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
      AND x.supplier_kind IN ('manufacturer', 'distributor', 'importer')
) AS s
JOIN LATERAL (VALUES
    ('rebate', s.place %% 2 = 0), ('coop', s.place %% 5 = 1),
    ('markdown_support', s.place %% 6 = 2), ('return_allowance', s.place %% 4 = 3)
) AS k (kind, is_there) ON k.is_there;

-- Goods that stay the supplier's until they are sold.
INSERT INTO ret.consignment_agreement
    (business_id, consignment_agreement_id, supplier_id, agreement_number, commission_pct,
     settle_every, payment_terms_days, shrink_liability, max_units, return_after_days,
     effective_from, effective_to, state)
SELECT s.business_id, md5('consignment ' || s.supplier_id)::uuid, s.supplier_id,
       'CA-' || substr(s.supplier_code, 5), 30 + s.place * 5,
       CASE WHEN s.place %% 2 = 0 THEN 'month' ELSE 'week' END, 14,
       CASE s.place %% 3 WHEN 0 THEN 'retailer' WHEN 1 THEN 'supplier' ELSE 'shared' END, 400, 120,
       %(as_of)s::date - 250, NULL, 'active'
FROM (
    SELECT x.business_id, x.supplier_id, x.supplier_code,
           row_number() OVER (ORDER BY x.supplier_code)::integer - 1 AS place
    FROM ret.supplier AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
      AND x.supplier_kind = 'consignor'
) AS s;
