SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Up to six prep items are made in the house: stocks, sauces, doughs.
INSERT INTO rest.recipe
    (business_id, recipe_id, yield_unit_id, produces_item_id, recipe_code, display_name,
     recipe_kind, version_no, yield_qty, portion_count, prep_minutes, cook_minutes,
     shelf_life_hours, method_doc, effective_from, state)
SELECT i.business_id, md5('prep ' || i.inventory_item_id)::uuid, i.stock_unit_id,
       i.inventory_item_id, 'PREP-' || i.place, i.display_name, 'prep', 1, 10, 40, 20, 90, 96,
       '[{"text": "Weigh and wash", "minutes": 10}, {"text": "Simmer", "minutes": 90,
          "temperature_c": 92, "equipment": "kettle"}, {"text": "Chill in the blast chiller",
          "minutes": 60, "temperature_c": 4}]'::jsonb,
       (%(as_of)s)::date - 200, 'approved'
FROM (
    SELECT x.*, row_number() OVER (ORDER BY x.item_kind <> 'prep', md5(x.item_code || 'prep'),
                                            x.inventory_item_id) AS place
    FROM rest.inventory_item AS x
    WHERE x.business_id = %(business_id)s
) AS i
WHERE i.place <= 6;

-- Every dish has an approved recipe; one in eight has an earlier version that was retired.
INSERT INTO rest.recipe
    (business_id, recipe_id, yield_unit_id, recipe_code, display_name, recipe_kind, version_no,
     yield_qty, portion_count, prep_minutes, cook_minutes, target_cost_pct, method_doc,
     effective_from, effective_to, state)
SELECT m.business_id, md5('recipe ' || v.version || ' ' || m.menu_item_id)::uuid,
       u.unit_of_measure_id, 'R-' || m.item_code, m.display_name, 'menu', v.version, 4, 4,
       5 + m.place %% 20, m.place %% 30, 28 + m.place %% 6,
       '[{"text": "Bring the parts to temperature", "minutes": 5},
         {"text": "Cook and plate", "minutes": 10, "temperature_c": 74,
          "equipment": "range"}]'::jsonb,
       (%(as_of)s)::date - CASE v.version WHEN m.versions THEN 120 ELSE 300 END,
       CASE WHEN v.version < m.versions THEN (%(as_of)s)::date - 121 END,
       CASE WHEN v.version < m.versions THEN 'retired' ELSE 'approved' END
FROM (
    SELECT y.*, CASE WHEN y.place %% 8 = 0 THEN 2 ELSE 1 END AS versions
    FROM (
        SELECT x.*,
               ('x' || substr(md5(x.item_code || 'recipe'), 1, 7))::bit(28)::integer AS place
        FROM rest.menu_item AS x
        WHERE x.business_id = %(business_id)s AND x.item_kind <> 'combo'
    ) AS y
) AS m
CROSS JOIN (VALUES (1), (2)) AS v (version)
CROSS JOIN (
    SELECT x.unit_of_measure_id
    FROM rest.unit_of_measure AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.dimension <> 'count', NOT x.is_base, x.unit_code
    LIMIT 1
) AS u
WHERE v.version <= m.versions;

-- Four to seven ingredients each, with what trimming and cooking take.
INSERT INTO rest.recipe_line
    (business_id, recipe_line_id, recipe_id, inventory_item_id, unit_of_measure_id, line_number,
     quantity, prep_yield_pct, cook_loss_pct, is_optional, is_garnish, cost_at_save)
SELECT r.business_id, md5(r.recipe_id || 'line' || i.place)::uuid, r.recipe_id,
       i.inventory_item_id, i.stock_unit_id, i.place, q.quantity,
       CASE WHEN i.place %% 3 = 0 THEN 85 ELSE 100 END,
       CASE WHEN i.place = 1 AND r.cook_minutes > 0 THEN 20 ELSE 0 END, false, i.place = 7,
       round(q.quantity * i.average_cost, 4)
FROM rest.recipe AS r
JOIN LATERAL (
    SELECT x.inventory_item_id, x.stock_unit_id, x.average_cost,
           row_number() OVER (ORDER BY md5(r.recipe_code || x.item_code),
                                       x.inventory_item_id) AS place
    FROM rest.inventory_item AS x
    WHERE x.business_id = %(business_id)s AND x.item_kind IN ('ingredient', 'resale')
      AND x.inventory_item_id <> coalesce(r.produces_item_id, r.recipe_id)
) AS i ON i.place <= 4 + length(r.display_name) %% 4
CROSS JOIN LATERAL (
    SELECT round((0.1 + ('x' || substr(md5(r.recipe_id || 'q' || i.place), 1, 7))::bit(28)::integer
                        %% 60 / 100.0)::numeric, 4) AS quantity
) AS q
WHERE r.business_id = %(business_id)s;

-- Dishes use a prep item of the house.
INSERT INTO rest.recipe_line
    (business_id, recipe_line_id, recipe_id, sub_recipe_id, unit_of_measure_id, line_number,
     quantity)
SELECT r.business_id, md5(r.recipe_id || 'sub')::uuid, r.recipe_id, s.recipe_id,
       s.yield_unit_id, 8, 0.2
FROM rest.recipe AS r
JOIN LATERAL (
    SELECT x.recipe_id, x.yield_unit_id
    FROM rest.recipe AS x
    WHERE x.business_id = %(business_id)s AND x.recipe_kind = 'prep'
    ORDER BY md5(r.recipe_code || x.recipe_code)
    LIMIT 1
) AS s ON true
WHERE r.business_id = %(business_id)s AND r.recipe_kind = 'menu';

INSERT INTO rest.recipe_usage
    (business_id, recipe_usage_id, recipe_id, menu_item_id, unit_of_measure_id, usage_kind,
     portions, service_mode, depletes_on, effective_from)
SELECT m.business_id, md5('usage ' || m.menu_item_id)::uuid, r.recipe_id, m.menu_item_id,
       r.yield_unit_id, 'item', 1, 'all', 'fire', r.effective_from
FROM rest.menu_item AS m
JOIN rest.recipe AS r
    ON r.business_id = m.business_id AND r.recipe_code = 'R-' || m.item_code
   AND r.state = 'approved'
WHERE m.business_id = %(business_id)s;

-- A larger size is a larger share; an option is some of an item; what goes out goes in a box.
INSERT INTO rest.recipe_usage
    (business_id, recipe_usage_id, recipe_id, menu_item_id, menu_item_size_id,
     unit_of_measure_id, usage_kind, portions, service_mode, depletes_on, effective_from)
SELECT z.business_id, md5('usage ' || z.menu_item_size_id)::uuid, r.recipe_id, z.menu_item_id,
       z.menu_item_size_id, r.yield_unit_id, 'size',
       1 + 0.5 * (row_number() OVER (PARTITION BY z.menu_item_id
                                     ORDER BY z.sort_order, z.menu_item_size_id) - 1),
       'all', 'fire', r.effective_from
FROM rest.menu_item_size AS z
JOIN rest.menu_item AS m
    ON m.business_id = z.business_id AND m.menu_item_id = z.menu_item_id
JOIN rest.recipe AS r
    ON r.business_id = m.business_id AND r.recipe_code = 'R-' || m.item_code
   AND r.state = 'approved'
WHERE z.business_id = %(business_id)s;

INSERT INTO rest.recipe_usage
    (business_id, recipe_usage_id, inventory_item_id, modifier_option_id, menu_item_id,
     unit_of_measure_id, usage_kind, quantity, service_mode, depletes_on, effective_from)
SELECT o.business_id, md5('usage ' || o.kind || o.key)::uuid, i.inventory_item_id, o.option,
       o.dish, i.stock_unit_id, o.kind, CASE o.kind WHEN 'packaging' THEN 1 ELSE 0.05 END,
       CASE o.kind WHEN 'packaging' THEN 'takeout' ELSE 'all' END, 'sale',
       (%(as_of)s)::date - 120
FROM (
    SELECT x.business_id, x.modifier_option_id AS key, x.modifier_option_id AS option,
           NULL::uuid AS dish, 'modifier' AS kind
    FROM rest.modifier_option AS x
    WHERE x.business_id = %(business_id)s
    UNION ALL
    SELECT x.business_id, x.menu_item_id, NULL, x.menu_item_id, 'packaging'
    FROM rest.menu_item AS x
    WHERE x.business_id = %(business_id)s AND x.item_kind = 'food'
) AS o
JOIN LATERAL (
    SELECT x.inventory_item_id, x.stock_unit_id
    FROM rest.inventory_item AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.item_kind <> CASE o.kind WHEN 'packaging' THEN 'packaging' ELSE 'ingredient' END,
             md5(o.key || x.item_code), x.inventory_item_id
    LIMIT 1
) AS i ON true;

-- What each recipe costs at the first site, as of two months.
SELECT rest.snapshot_recipe_cost(r.recipe_id, l.location_id, d.moment)
FROM (VALUES ((%(as_of)s)::timestamptz - interval '31 days'),
             ((%(as_of)s)::timestamptz - interval '1 day')) AS d (moment)
CROSS JOIN rest.recipe AS r
CROSS JOIN (
    SELECT x.location_id
    FROM rest.location AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.location_code
    LIMIT 1
) AS l
WHERE r.business_id = %(business_id)s AND r.state = 'approved'
ORDER BY d.moment, r.recipe_code;

INSERT INTO rest.yield_test
    (business_id, yield_test_id, tested_by_staff_id, inventory_item_id, unit_of_measure_id,
     tested_on, test_kind, as_purchased_qty, usable_qty, byproduct_qty, waste_qty,
     as_purchased_cost)
SELECT i.business_id, md5('yield ' || i.inventory_item_id)::uuid, s.staff_member_id,
       i.inventory_item_id, i.stock_unit_id, (%(as_of)s)::date - 5 * i.place::integer,
       CASE i.place %% 3 WHEN 0 THEN 'cook' WHEN 1 THEN 'trim' ELSE 'portion' END,
       10, 6.5 + i.place %% 4 * 0.5, 0.8, 0.9, i.average_cost
FROM (
    SELECT x.*, row_number() OVER (ORDER BY md5(x.item_code || 'yield'),
                                            x.inventory_item_id) AS place
    FROM rest.inventory_item AS x
    WHERE x.business_id = %(business_id)s AND x.item_kind = 'ingredient'
) AS i
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY x.employee_number
    LIMIT 1
) AS s
WHERE i.place <= 12;

-- Batches that are planned and under way; those that are completed have their lots in the ledger.
INSERT INTO rest.production_batch
    (business_id, production_batch_id, cook_staff_id, recipe_id, kitchen_id, unit_of_measure_id,
     batch_number, business_date, planned_qty, state, started_at)
SELECT r.business_id, md5('batch ' || d.day || r.recipe_id)::uuid, s.staff_member_id,
       r.recipe_id, k.kitchen_id, r.yield_unit_id,
       to_char((%(as_of)s)::date - d.day, 'YYMMDD') || '-' || r.recipe_code,
       (%(as_of)s)::date - d.day, 10,
       CASE d.day WHEN 0 THEN 'planned' WHEN 1 THEN 'cooling' ELSE 'discarded' END,
       CASE WHEN d.day > 0 THEN (%(as_of)s)::timestamptz - d.day * interval '1 day' END
FROM rest.recipe AS r
CROSS JOIN (VALUES (0), (1), (9)) AS d (day)
CROSS JOIN (
    SELECT x.kitchen_id
    FROM rest.kitchen AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.kitchen_code, x.kitchen_id
    LIMIT 1
) AS k
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY x.employee_number
    LIMIT 1
) AS s
WHERE r.business_id = %(business_id)s AND r.recipe_kind = 'prep';
