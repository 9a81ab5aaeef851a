SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Those that are completed are the lots that the ledger says were made.
INSERT INTO rest.production_batch
    (business_id, production_batch_id, cook_staff_id, recipe_id, kitchen_id, unit_of_measure_id,
     batch_number, business_date, planned_qty, actual_qty, output_lot_id, state, started_at,
     completed_at, use_by_at, batch_cost, label_count, input_lots_doc)
SELECT m.business_id, m.source_id, s.staff_member_id, r.recipe_id, k.kitchen_id, r.yield_unit_id,
       to_char(m.business_date, 'YYMMDD') || '-' || r.recipe_code || '-'
       || row_number() OVER (PARTITION BY k.kitchen_id, m.business_date, r.recipe_id
                             ORDER BY m.occurred_at, m.source_id),
       m.business_date, round(m.quantity / (0.94 + n.chance %% 9 * 0.01), 4), m.quantity,
       m.stock_lot_id, 'completed',
       m.occurred_at - (r.prep_minutes + r.cook_minutes) * interval '1 minute', m.occurred_at,
       m.occurred_at + r.shelf_life_hours * interval '1 hour',
       round(m.quantity * m.unit_cost, 2), ceil(m.quantity)::integer,
       coalesce(u.doc, '[]')
FROM rest.stock_movement AS m
JOIN rest.storage_area AS a
    ON a.business_id = m.business_id AND a.storage_area_id = m.storage_area_id
JOIN rest.recipe AS r
    ON r.business_id = m.business_id AND r.produces_item_id = m.inventory_item_id
   AND r.state = 'approved'
JOIN (
    SELECT DISTINCT ON (x.location_id) x.location_id, x.kitchen_id
    FROM rest.kitchen AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.location_id, x.kitchen_code, x.kitchen_id
) AS k ON k.location_id = a.location_id
JOIN LATERAL (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY md5(r.recipe_code || x.employee_number), x.staff_member_id
    LIMIT 1
) AS s ON true
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5(m.source_id || 'made'), 1, 7))::bit(28)::integer AS chance
) AS n
LEFT JOIN (
    SELECT x.source_id,
           jsonb_agg(jsonb_build_object('stock_lot_id', x.stock_lot_id,
                                        'inventory_item_id', x.inventory_item_id,
                                        'quantity', -x.quantity)
                     ORDER BY x.inventory_item_id, x.occurred_at, x.stock_lot_id) AS doc
    FROM rest.stock_movement AS x
    WHERE x.business_id = %(business_id)s AND x.movement_kind = 'production_out'
      AND x.source_kind = 'production_batch' AND x.quantity < 0
    GROUP BY x.source_id
) AS u ON u.source_id = m.source_id
WHERE m.business_id = %(business_id)s AND m.movement_kind = 'production_in'
  AND m.source_kind = 'production_batch' AND m.source_id IS NOT NULL AND m.quantity > 0
  AND m.stock_lot_id IS NOT NULL AND NOT m.is_reversal;

-- What each recipe costs at each site, week by week; line by line the loops are short.
SET LOCAL enable_nestloop = on;
SELECT rest.snapshot_recipe_cost(r.recipe_id, l.location_id, d.moment)
FROM (
    SELECT (%(as_of)s)::timestamptz - interval '1 day' - x.week * interval '7 days' AS moment
    FROM generate_series(0, 3) AS x (week)
) AS d
CROSS JOIN rest.recipe AS r
CROSS JOIN rest.location AS l
WHERE r.business_id = %(business_id)s AND r.state = 'approved'
  AND l.business_id = %(business_id)s
ORDER BY d.moment, r.recipe_code, l.location_code;
