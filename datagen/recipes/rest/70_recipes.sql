SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Prep items are made in the house: stocks, sauces, doughs.
INSERT INTO rest.recipe
    (business_id, recipe_id, yield_unit_id, produces_item_id, recipe_code, display_name,
     recipe_kind, version_no, yield_qty, portion_count, prep_minutes, cook_minutes,
     shelf_life_hours, method_doc, effective_from, state)
SELECT i.business_id, md5('prep ' || i.inventory_item_id)::uuid, i.stock_unit_id,
       i.inventory_item_id, 'PREP-' || i.item_code, i.display_name, 'prep', 1, 10, 40,
       15 + i.place %% 4 * 5, 60 + i.place %% 5 * 15, coalesce(24 * i.shelf_life_days, 96),
       '[{"text": "Weigh and wash", "minutes": 10}, {"text": "Simmer", "minutes": 90,
          "temperature_c": 92, "equipment": "kettle"}, {"text": "Chill in the blast chiller",
          "minutes": 60, "temperature_c": 4}]'::jsonb,
       (%(as_of)s)::date - 200, 'approved'
FROM (
    SELECT x.*, row_number() OVER (ORDER BY x.item_kind <> 'prep', md5(x.item_code || 'prep'),
                                            x.inventory_item_id) AS place
    FROM rest.inventory_item AS x
    WHERE x.business_id = %(business_id)s AND x.item_kind IN ('prep', 'ingredient')
) AS i
WHERE i.place <= CASE i.item_kind WHEN 'prep' THEN 60 ELSE 2 END;

-- Every dish has an approved recipe; one in eight has an earlier version that was retired.
INSERT INTO rest.recipe
    (business_id, recipe_id, yield_unit_id, recipe_code, display_name, recipe_kind, version_no,
     yield_qty, portion_count, prep_minutes, cook_minutes, target_cost_pct, method_doc,
     effective_from, effective_to, state)
SELECT m.business_id, md5('recipe ' || v.version || ' ' || m.menu_item_id)::uuid,
       u.unit_of_measure_id, 'R-' || m.item_code, m.display_name, 'menu', v.version, 4, 4,
       5 + m.place %% 20, CASE m.item_kind WHEN 'food' THEN m.place %% 30 ELSE 0 END,
       25 + m.place %% 9,
       CASE m.item_kind WHEN 'food' THEN
            '[{"text": "Bring the parts to temperature", "minutes": 5},
              {"text": "Cook and plate", "minutes": 10, "temperature_c": 74,
               "equipment": "range"}]'
            ELSE '[{"text": "Chill the glass", "minutes": 2}, {"text": "Pour", "minutes": 1}]'
       END::jsonb,
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

-- What is on a plate or in a quart, in the units in which cooks measure, and what of the house goes
-- with it. What is counted goes in as it is: a bun is a bun. Of what else the dish may cost a part
-- has the share that its amount has.
CREATE TEMPORARY TABLE plate ON COMMIT DROP AS
SELECT n.*, n.amount * n.unit_cost AS cost,
       coalesce(sum(n.amount * n.unit_cost) FILTER (WHERE n.is_each) OVER w, 0) AS each_cost,
       n.amount * n.unit_cost
           / sum(n.amount * n.unit_cost) FILTER (WHERE NOT n.is_each) OVER w AS share
FROM (
    SELECT v.dish, v.made, i.inventory_item_id, p.place, cardinality(v.parts) AS parts,
           u.dimension = 'count' AS is_each,
           split_part(v.parts[p.place], ':', 2)::numeric AS amount,
           i.average_cost * rest.convert_qty(i.inventory_item_id, 1, i.recipe_unit_id,
                                             i.stock_unit_id) AS unit_cost
    FROM (
        SELECT x.dish, string_to_array(x.parts, ' ') AS parts, x.made
        FROM (VALUES
            ('Charred octopus', 'OCTOPUS:5 POTATO:4 OLIVEOIL:0.5 PAPRIKA:0.05', 'CHIMI'),
            ('Burrata and peaches', 'BURRATA:4 PEACH:4 BASIL:0.15 OLIVEOIL:0.4', 'VINAIG'),
            ('Deviled eggs', 'EGGS:3 MAYO:1 DIJON:0.3 PAPRIKA:0.03', 'AIOLI'),
            ('Fried calamari', 'CALAMARI:7 FLOUR:2 FRYOIL:1.2 LEMON:0.25', 'MARINARA'),
            ('Tomato soup', 'TOMCAN:9 CREAM:1.5 ONION:1.5 BASIL:0.1', 'CHXSTOCK'),
            ('Caesar salad', 'ROMAINE:6 PARM:0.7 SOURDO:1.2 ANCHOVY:0.2', 'CAESARD'),
            ('Beef tartare', 'TENDER:4 EGGS:1 SOURDO:2 DIJON:0.25', 'AIOLI'),
            ('Bread and butter', 'SOURDO:6 BUTTER:1.5 SALT:0.03', 'CHIMI'),
            ('Ribeye 12 oz', 'RIBEYE:12 BUTTER:1 THYME:0.05', 'DEMI'),
            ('Half chicken', 'CHXHALF:20 CARROT:4 LEMON:0.5 THYME:0.1', 'CHXSTOCK'),
            ('Grilled salmon', 'SALMON:7 ASPARAG:4 LEMON:0.25', 'CHIMI'),
            ('Copper burger', 'GRNDBEEF:8 CHEDDAR:1.5 BUNS:1 BACON:1.5', 'AIOLI'),
            ('Short rib ragu', 'SHORTRIB:9 PASTA:5 PARM:0.6 ONION:1.5', 'MARINARA'),
            ('Mushroom risotto', 'MUSHROOM:5 ARBORIO:3 PARM:1.2 BUTTER:0.8', 'CHXSTOCK'),
            ('Pork chop', 'PORKCHOP:13 BRUSSEL:5 HONEY:0.5 THYME:0.1', 'DEMI'),
            ('Fish and chips', 'COD:7 FRIES:7 FLOUR:2.5 FRYOIL:1.5', 'SLAW'),
            ('Cauliflower steak', 'CAULI:14 CHICKPEA:4 WALNUT:0.8 PARSLEY:0.3', 'CHIMI'),
            ('Duck confit', 'DUCKLEG:14 POTATO:6 THYME:0.1 GARLIC:0.4', 'DEMI'),
            ('Shrimp and grits', 'SHRIMP:6 GRITS:3 BACON:1.2 SCALLION:0.4', 'CHXSTOCK'),
            ('Cavatelli', 'PASTA:6 PARM:1 ROMATOM:4 BASIL:0.15', 'MARINARA'),
            ('Fries', 'FRIES:8 FRYOIL:1 SALT:0.08', 'AIOLI'),
            ('Brussels sprouts', 'BRUSSEL:7 BACON:1 HONEY:0.4', 'VINAIG'),
            ('Mac and cheese', 'CHEDDAR:3 MACARONI:4 MILK:3 PANKO:0.4', 'CUSTARD'),
            ('Grilled asparagus', 'ASPARAG:6 PARM:0.5 LEMON:0.25', 'VINAIG'),
            ('Mashed potatoes', 'POTATO:9 BUTTER:1.2 CREAM:1.2', 'MASH'),
            ('Side salad', 'SPRMIX:3 CUCUMB:2 ROMATOM:2', 'VINAIG'),
            ('Olive oil cake', 'OLIVEOIL:1.2 EGGS:1 FLOUR:1.8 SUGAR:1.8', 'CUSTARD'),
            ('Chocolate tart', 'CHOC:1.8 PIESHELL:1 CREAM:1.2 BUTTER:0.5', 'TARTFILL'),
            ('Key lime pie', 'LIME:2 PIESHELL:1 EGGS:1 CREAM:2 SUGAR:1.2', 'CUSTARD'),
            ('Ice cream', 'ICECREAM:6 WALNUT:0.3 HONEY:0.3', 'CUSTARD'),
            ('Cheese plate', 'CHEESEBD:4 GOATCH:1.5 WALNUT:0.6 HONEY:0.5', 'PICKONION'),
            ('Wings six', 'WINGS:12 FRYOIL:1.2 CELERY:1.5', 'BUFFALO'),
            ('Wings twelve', 'WINGS:24 FRYOIL:2 CELERY:2', 'BUFFALO'),
            ('Boneless wings', 'BITES:9 FRYOIL:1.2 CELERY:1.5', 'BUFFALO'),
            ('Loaded fries', 'FRIES:9 CHEDDAR:1.5 BACON:1 SCALLION:0.3', 'RANCH'),
            ('Celery and dip', 'CELERY:6 CARROT:3', 'RANCH'),
            ('Harvest bowl', 'QUINOA:2.5 CHXTHIGH:4 SPRMIX:2 GOATCH:1 WALNUT:0.4', 'VINAIG'),
            ('Poke bowl', 'TUNA:4 JASMINE:3 AVOCADO:2 EDAMAME:1.5 NORI:0.2', 'SLAW'),
            ('Chicken bowl', 'CHXBRST:5 JASMINE:3 AVOCADO:2 ROMATOM:2', 'PICKONION'),
            ('Falafel bowl', 'FALAFEL:5 QUINOA:2.5 CUCUMB:2 CHICKPEA:2', 'SLAW'),
            ('Miso soup', 'MISO:1.2 SCALLION:0.4 NORI:0.1', 'MISOBR'),
            ('Single smash', 'GRNDBEEF:4 CHEDDAR:1 BUNS:1 PICKLES:0.5', 'AIOLI'),
            ('Double smash', 'GRNDBEEF:8 CHEDDAR:2 BUNS:1 PICKLES:0.5', 'AIOLI'),
            ('Chicken sandwich', 'CHXBRST:6 BUNS:1 PICKLES:0.5 FRYOIL:1', 'SLAW'),
            ('Veggie smash', 'VEGPATTY:1 BUNS:1 AVOCADO:1.5 KETCHUP:0.5', 'PICKONION'),
            ('Tots', 'TOTS:8 FRYOIL:1 SALT:0.08', 'RANCH'),
            ('Cola', 'COLA:2.7', NULL),
            ('Lemonade', 'LEMONADE:2.5', NULL),
            ('Iced tea', 'TEABAG:1', NULL),
            ('Espresso', 'COFFEE:0.7', NULL),
            ('Sparkling water', 'SPARKW:1', NULL),
            ('Ginger beer', 'GINGERB:1', NULL),
            ('Pilsner', 'PILSKEG:16', NULL),
            ('IPA', 'IPAKEG:16', NULL),
            ('Stout', 'STOUTKEG:16', NULL),
            ('Wheat beer', 'WHEATKEG:16', NULL),
            ('Cider', 'CIDERKEG:14', NULL),
            ('House red', 'HOUSERED:6', NULL),
            ('House white', 'HOUSEWHT:6', NULL),
            ('Pinot noir', 'PINOT:5', NULL),
            ('Prosecco', 'PROSECCO:5', NULL),
            ('Old fashioned', 'BOURBON:2 SUGAR:0.1', NULL),
            ('Negroni', 'GIN:1 BITTERAP:1 VERMOUTH:1', NULL),
            ('Margarita', 'TEQUILA:2 TRIPLSEC:1 LIME:1', NULL),
            ('Paloma', 'TEQUILA:2 GRAPEFR:0.7 LIME:0.5', NULL),
            ('Espresso martini', 'VODKA:1.5 COFFLIQ:0.75 COFFEE:0.7', NULL),
            ('Marinara sauce', 'TOMCAN:28 ONION:4 GARLIC:0.8 OLIVEOIL:1.5 BASIL:0.3', NULL),
            ('Red wine vinaigrette', 'OLIVEOIL:18 VINEGAR:9 DIJON:2 HONEY:1.5', NULL),
            ('Buffalo sauce', 'HOTSAUCE:18 BUTTER:12 PAPRIKA:0.2', NULL),
            ('Ranch dressing', 'MAYO:18 MILK:12 PARSLEY:0.5 GARLIC:0.3', NULL),
            ('Caesar dressing', 'MAYO:20 PARM:4 ANCHOVY:2 LEMON:2', NULL),
            ('Garlic aioli', 'MAYO:28 GARLIC:1.5 LEMON:1.5', NULL),
            ('Chimichurri', 'PARSLEY:6 OLIVEOIL:16 GARLIC:2 OREGANO:0.3', NULL),
            ('Chicken stock', 'CHXBASE:1.5 CARROT:3 CELERY:3 ONION:4', NULL),
            ('Miso broth', 'MISO:3 SOYSAUCE:1.5 SCALLION:1', NULL),
            ('Demi-glace', 'SHORTRIB:12 HOUSERED:6 CARROT:3 ONION:4', NULL),
            ('Cabbage slaw', 'CABBAGE:11 MAYO:3 CARROT:2 VINEGAR:0.6', NULL),
            ('Mashed potato base', 'POTATO:13 BUTTER:2 CREAM:2', NULL),
            ('Pickled red onions', 'REDONION:18 VINEGAR:12 SUGAR:3', NULL),
            ('Chocolate tart filling', 'CHOC:12 CREAM:14 EGGS:4 SUGAR:3', NULL),
            ('Vanilla custard', 'CREAM:14 EGGS:6 MILK:10 SUGAR:5', NULL)
        ) AS x (dish, parts, made)
    ) AS v
    CROSS JOIN LATERAL generate_subscripts(v.parts, 1) AS p (place)
    JOIN rest.inventory_item AS i
        ON i.business_id = %(business_id)s AND i.item_code = split_part(v.parts[p.place], ':', 1)
    JOIN rest.unit_of_measure AS u
        ON u.business_id = i.business_id AND u.unit_of_measure_id = i.recipe_unit_id
) AS n
WINDOW w AS (PARTITION BY n.dish);

-- The ingredients in shares of what the whole may cost (a dish: the target of its price; a prep
-- item: what a stock unit of it costs), with what trimming and cooking take, in the unit in which
-- cooks measure. A dish that nobody wrote down here is made of three to six of any.
INSERT INTO rest.recipe_line
    (business_id, recipe_line_id, recipe_id, inventory_item_id, unit_of_measure_id, line_number,
     quantity, prep_yield_pct, cook_loss_pct, is_garnish, cost_at_save)
SELECT p.business_id, md5(p.recipe_id || 'line' || p.place)::uuid, p.recipe_id,
       p.inventory_item_id, p.recipe_unit_id, p.place,
       greatest(round(rest.convert_qty(
           p.inventory_item_id,
           p.cost / p.average_cost * p.prep_yield * (100 - p.cook_loss) / 10000,
           p.stock_unit_id, p.recipe_unit_id), 2), 0.01),
       p.prep_yield, p.cook_loss, p.place = p.parts AND p.place > 3, round(p.cost, 4)
FROM (
    SELECT r.business_id, r.recipe_id, i.inventory_item_id, i.stock_unit_id, i.recipe_unit_id,
           i.average_cost, i.place, n.parts,
           CASE WHEN i.place %% 3 = 2 AND r.cook_minutes > 0 AND i.is_each IS NOT TRUE THEN 85
                ELSE 100 END AS prep_yield,
           CASE WHEN i.place = 1 AND r.cook_minutes > 0 AND i.is_each IS NOT TRUE THEN 20
                ELSE 0 END AS cook_loss,
           CASE WHEN i.is_each THEN i.cost * n.servings
                ELSE (n.budget - coalesce(i.each_cost, 0) * n.servings)
                     * coalesce(i.share,
                                2.0 * (n.parts + 1 - i.place) / (n.parts * (n.parts + 1)))
                END AS cost
    FROM (
        SELECT x.*,
               ('x' || substr(md5(x.recipe_id || 'parts'), 1, 7))::bit(28)::integer AS chance
        FROM rest.recipe AS x
        WHERE x.business_id = %(business_id)s
    ) AS r
    LEFT JOIN rest.menu_item AS m
        ON m.business_id = r.business_id AND r.recipe_code = 'R-' || m.item_code
    LEFT JOIN rest.inventory_item AS h
        ON h.business_id = r.business_id AND h.inventory_item_id = r.produces_item_id
    LEFT JOIN (SELECT DISTINCT x.dish, x.parts FROM plate AS x) AS d ON d.dish = r.display_name
    CROSS JOIN LATERAL (
        SELECT coalesce(d.parts,
                        CASE WHEN r.recipe_kind = 'menu' AND m.item_kind <> 'food'
                             THEN 1 + r.chance %% 2 ELSE 3 + r.chance %% 4 END) AS parts,
               CASE r.recipe_kind WHEN 'prep' THEN r.yield_qty ELSE r.portion_count END
                   AS servings,
               -- Dishes leave a tenth for the prep item of the house.
               CASE r.recipe_kind WHEN 'prep' THEN h.average_cost * r.yield_qty
                    ELSE m.base_price * r.portion_count * r.target_cost_pct / 100
                         * CASE m.item_kind WHEN 'food' THEN 0.9 ELSE 1 END END AS budget
    ) AS n
    CROSS JOIN LATERAL (
        SELECT x.inventory_item_id, x.stock_unit_id, x.recipe_unit_id,
               greatest(x.average_cost, 0.01) AS average_cost, w.is_each,
               w.cost, w.each_cost, w.share,
               row_number() OVER (ORDER BY w.place,
                                           x.item_kind <> CASE
                                               WHEN m.item_kind IN ('drink', 'alcohol')
                                               THEN 'resale' ELSE 'ingredient' END,
                                           NOT x.is_active, md5(r.recipe_code || x.item_code),
                                           x.inventory_item_id) AS place
        FROM rest.inventory_item AS x
        LEFT JOIN plate AS w
            ON w.dish = r.display_name AND w.inventory_item_id = x.inventory_item_id
        WHERE x.business_id = %(business_id)s AND x.item_kind IN ('ingredient', 'resale')
          AND x.inventory_item_id <> coalesce(r.produces_item_id, r.recipe_id)
    ) AS i
    WHERE i.place <= n.parts
) AS p;

-- What is cooked uses a prep item of the house; half of those offer more of it on request.
INSERT INTO rest.recipe_line
    (business_id, recipe_line_id, recipe_id, sub_recipe_id, unit_of_measure_id, line_number,
     quantity, is_optional, cost_at_save, preparation_note)
SELECT r.business_id, md5(r.recipe_id || 'sub' || n.turn)::uuid, r.recipe_id, s.recipe_id,
       s.yield_unit_id, 8 + n.turn, greatest(round(c.cost / s.average_cost, 4), 0.0005),
       n.turn = 1, round(c.cost, 4), CASE n.turn WHEN 1 THEN 'On request' END
FROM rest.recipe AS r
JOIN rest.menu_item AS m
    ON m.business_id = r.business_id AND r.recipe_code = 'R-' || m.item_code
   AND m.item_kind = 'food'
LEFT JOIN (SELECT DISTINCT x.dish, x.made FROM plate AS x) AS d ON d.dish = r.display_name
CROSS JOIN (VALUES (0), (1)) AS n (turn)
CROSS JOIN LATERAL (
    SELECT m.base_price * r.portion_count * r.target_cost_pct / 1000 / (1 + n.turn) AS cost
) AS c
JOIN LATERAL (
    SELECT x.recipe_id, x.yield_unit_id, greatest(i.average_cost, 0.01) AS average_cost
    FROM rest.recipe AS x
    JOIN rest.inventory_item AS i
        ON i.business_id = x.business_id AND i.inventory_item_id = x.produces_item_id
    WHERE x.business_id = %(business_id)s AND x.recipe_kind = 'prep'
    ORDER BY i.item_code IS DISTINCT FROM d.made, md5(r.recipe_code || x.recipe_code),
             x.recipe_id
    LIMIT 1
) AS s ON true
WHERE r.business_id = %(business_id)s AND r.recipe_kind = 'menu'
  AND (n.turn = 0 OR r.prep_minutes %% 2 = 0);

INSERT INTO rest.recipe_usage
    (business_id, recipe_usage_id, recipe_id, menu_item_id, menu_item_size_id,
     unit_of_measure_id, usage_kind, portions, service_mode, depletes_on, effective_from)
SELECT m.business_id, md5('usage ' || coalesce(z.menu_item_size_id, m.menu_item_id))::uuid,
       r.recipe_id, m.menu_item_id, z.menu_item_size_id, r.yield_unit_id,
       CASE WHEN z.menu_item_size_id IS NULL THEN 'item' ELSE 'size' END, z.portion_factor, 'all',
       'fire', r.effective_from
FROM rest.menu_item AS m
JOIN rest.recipe AS r
    ON r.business_id = m.business_id AND r.recipe_code = 'R-' || m.item_code
   AND r.state = 'approved'
CROSS JOIN LATERAL (
    SELECT NULL::uuid AS menu_item_size_id, 1.000 AS portion_factor
    UNION ALL
    -- A larger size is a larger share.
    SELECT x.menu_item_size_id, x.portion_factor
    FROM rest.menu_item_size AS x
    WHERE x.business_id = m.business_id AND x.menu_item_id = m.menu_item_id
) AS z
WHERE m.business_id = %(business_id)s;

-- An option is some of an item, unless it tells how to cook; what goes out goes in a box or a bowl,
-- with a fork, and two dishes share a bag.
INSERT INTO rest.recipe_usage
    (business_id, recipe_usage_id, inventory_item_id, modifier_option_id, menu_item_id,
     unit_of_measure_id, usage_kind, quantity, service_mode, depletes_on, effective_from)
SELECT i.business_id, md5('usage ' || o.kind || o.key || i.item_code || o.mode)::uuid,
       i.inventory_item_id, o.option, o.dish, i.recipe_unit_id, o.kind, o.quantity, o.mode, 'sale',
       (%(as_of)s)::date - 120
FROM (
    SELECT x.modifier_option_id AS key, x.modifier_option_id AS option, NULL::uuid AS dish,
           'modifier' AS kind, 'all' AS mode, v.code, v.quantity
    FROM rest.modifier_option AS x
    JOIN (VALUES
        ('Fries', 'FRIES', 5), ('Tots', 'TOTS', 5), ('Salad', 'SPRMIX', 2), ('Mash', 'MASH', 5),
        ('Egg', 'EGGS', 1), ('Avocado', 'AVOCADO', 2), ('Bacon', 'BACON', 1),
        ('Cheddar', 'CHEDDAR', 1), ('Blue cheese', 'GOATCH', 1), ('Aioli', 'AIOLI', 1.5),
        ('Ranch', 'RANCH', 1.5), ('Ranch dip', 'RANCH', 2), ('Caesar', 'CAESARD', 1.5),
        ('Chimichurri', 'CHIMI', 1), ('Vinaigrette', 'VINAIG', 1.5), ('Hot', 'BUFFALO', 1),
        ('Mild', 'BUFFALO', 0.5), ('Medium hot', 'BUFFALO', 0.75), ('Burning', 'HOTSAUCE', 1),
        ('Hot sauce', 'HOTSAUCE', 0.5), ('Barbecue', 'KETCHUP', 1.5), ('Smoky', 'PAPRIKA', 0.1),
        ('Honey mustard', 'DIJON', 1), ('Garlic', 'GARLIC', 0.25), ('Miso', 'MISO', 0.5),
        ('Whole', 'MILK', 6), ('Oat', 'OATMILK', 6)
    ) AS v (option, code, quantity) ON v.option = x.display_name
    WHERE x.business_id = %(business_id)s
    UNION ALL
    SELECT x.menu_item_id, NULL, x.menu_item_id, 'packaging', n.mode, c.code, c.quantity
    FROM rest.menu_item AS x
    CROSS JOIN (VALUES ('takeout'), ('delivery')) AS n (mode)
    CROSS JOIN LATERAL (VALUES
        (CASE WHEN x.display_name ILIKE '%%soup%%' THEN 'SOUPCUP'
              WHEN x.display_name ~* 'bowl|salad' THEN 'BOWL32' ELSE 'BOX9' END, 1),
        ('CUTLERY', 1), ('BAG', 0.5)) AS c (code, quantity)
    WHERE x.business_id = %(business_id)s AND x.item_kind = 'food'
    UNION ALL
    SELECT x.menu_item_id, NULL, x.menu_item_id, 'packaging', n.mode, 'CUP16', 1
    FROM rest.menu_item AS x
    CROSS JOIN (VALUES ('takeout'), ('delivery')) AS n (mode)
    WHERE x.business_id = %(business_id)s AND x.item_kind = 'drink'
) AS o
JOIN rest.inventory_item AS i
    ON i.business_id = %(business_id)s AND i.item_code = o.code AND i.is_active;

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

-- Batches that are planned, under way or given up.
INSERT INTO rest.production_batch
    (business_id, production_batch_id, cook_staff_id, recipe_id, kitchen_id, unit_of_measure_id,
     batch_number, business_date, planned_qty, state, started_at)
SELECT r.business_id, md5('batch ' || d.day || r.recipe_id)::uuid, s.staff_member_id,
       r.recipe_id, k.kitchen_id, r.yield_unit_id,
       to_char((%(as_of)s)::date - d.day, 'YYMMDD') || '-' || r.recipe_code || '-0',
       CASE WHEN d.day = 0 THEN (%(as_of)s)::date
            ELSE ((%(as_of)s)::timestamptz - d.day * interval '1 day' + interval '14 hours')::date
            END, 10,
       CASE d.day WHEN 0 THEN 'planned' WHEN 1 THEN 'cooling' ELSE 'discarded' END,
       CASE WHEN d.day > 0 THEN (%(as_of)s)::timestamptz - d.day * interval '1 day'
                                + interval '20 hours' END
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
    ORDER BY x.employee_number, x.staff_member_id
    LIMIT 1
) AS s
WHERE r.business_id = %(business_id)s AND r.recipe_kind = 'prep'
  AND (d.day < 9 OR r.cook_minutes %% 2 = 0);
