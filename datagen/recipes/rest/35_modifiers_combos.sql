-- Choosing a salad opens the dressings, fries and tots the dips.
INSERT INTO rest.modifier_option_group
    (business_id, modifier_option_group_id, modifier_option_id, child_group_id, sort_order,
     effective_from)
SELECT o.business_id, md5('opens ' || o.modifier_option_id || g.modifier_group_id)::uuid,
       o.modifier_option_id, g.modifier_group_id, 0, %(as_of)s::date - 300
FROM rest.modifier_option AS o
JOIN (VALUES ('Salad', 'DRESSING'), ('Fries', 'DIP'), ('Tots', 'DIP')) AS n (option, opens)
    ON n.option = o.display_name
JOIN rest.modifier_group AS g ON g.business_id = o.business_id AND g.group_code = n.opens
WHERE o.business_id = %(business_id)s;

-- Which choice goes with what.
INSERT INTO rest.menu_item_modifier_group
    (business_id, menu_item_modifier_group_id, menu_item_id, modifier_group_id, sort_order,
     shows_on_kds, effective_from)
SELECT i.business_id, md5('choice ' || i.menu_item_id || g.modifier_group_id)::uuid,
       i.menu_item_id, g.modifier_group_id, g.sort_order, true, %(as_of)s::date - 300
FROM rest.menu_item AS i
JOIN (VALUES ('Mains', 'SIDE'), ('Mains', 'ALLERGY'), ('Burgers', 'TEMP'), ('Burgers', 'TOPPING'),
             ('Burgers', 'SAUCE'), ('Wings', 'HEAT'), ('Wings', 'DIP'), ('Bowls', 'DRESSING'),
             ('Bowls', 'TOPPING'), ('Cocktails', 'SPIRIT'), ('Starters', 'ALLERGY'),
             ('Sides', 'DIP')) AS n (category, choice) ON n.category = i.sales_category
JOIN rest.modifier_group AS g ON g.business_id = i.business_id AND g.group_code = n.choice
WHERE i.business_id = %(business_id)s;

INSERT INTO rest.menu_item_modifier_group
    (business_id, menu_item_modifier_group_id, menu_item_id, modifier_group_id, sort_order,
     shows_on_kds, effective_from)
SELECT i.business_id, md5('choice ' || i.menu_item_id || g.modifier_group_id)::uuid,
       i.menu_item_id, g.modifier_group_id, g.sort_order, true, %(as_of)s::date - 300
FROM rest.menu_item AS i
JOIN rest.modifier_group AS g ON g.business_id = i.business_id AND g.group_code = 'TEMP'
WHERE i.business_id = %(business_id)s AND i.display_name IN ('Ribeye 12 oz', 'Copper burger');

-- The five meals: a main with a side and a drink; the family feast is two meals in one.
INSERT INTO rest.combo
    (business_id, combo_id, menu_item_id, combo_code, pricing_mode, fixed_price, discount_pct,
     allows_nested, max_depth, allocation_rule, valid_from)
SELECT i.business_id, md5('combo ' || i.menu_item_id)::uuid, i.menu_item_id, 'C-' || i.item_code,
       CASE WHEN i.display_name = 'Lunch deal' THEN 'sum_less_discount' ELSE 'fixed' END,
       CASE WHEN i.display_name <> 'Lunch deal' THEN i.base_price END,
       CASE WHEN i.display_name = 'Lunch deal' THEN 15 ELSE 0 END,
       i.display_name = 'Family feast', CASE WHEN i.display_name = 'Family feast' THEN 2 ELSE 1 END,
       CASE WHEN i.display_name = 'Wing night' THEN 'standalone_price' ELSE 'pro_rata' END,
       %(as_of)s::timestamptz - interval '300 days'
FROM rest.menu_item AS i
WHERE i.business_id = %(business_id)s AND i.item_kind = 'combo';

INSERT INTO rest.combo_slot
    (business_id, combo_slot_id, combo_id, slot_code, display_name, min_choices, max_choices,
     is_optional, course_default, upsell_prompt, sort_order)
SELECT c.business_id, md5('slot ' || c.combo_id || n.code)::uuid, c.combo_id, n.code, n.name,
       n.least, 1, n.least = 0, n.course, CASE WHEN n.least = 0 THEN 'Something sweet?' END,
       n.sort_order
FROM rest.combo AS c
JOIN rest.menu_item AS i ON i.business_id = c.business_id AND i.menu_item_id = c.menu_item_id
JOIN (VALUES ('MAIN', 'Main', 1, 'main', 0), ('SIDE', 'Side', 1, 'side', 1),
             ('DRINK', 'Drink', 1, 'drinks', 2), ('SWEET', 'Dessert', 0, 'dessert', 3),
             ('MEAL1', 'First meal', 1, 'main', 4), ('MEAL2', 'Second meal', 1, 'main', 5))
    AS n (code, name, least, course, sort_order)
    ON (n.code LIKE 'MEAL_') = (i.display_name = 'Family feast')
WHERE c.business_id = %(business_id)s;

INSERT INTO rest.combo_slot_option
    (business_id, combo_slot_option_id, combo_slot_id, menu_item_id, upcharge_amount, is_default,
     sort_order)
SELECT s.business_id, md5('fills ' || s.combo_slot_id || i.menu_item_id)::uuid, s.combo_slot_id,
       i.menu_item_id, CASE WHEN i.base_price > 16 THEN 2 ELSE 0 END, n.place = 1, n.place
FROM rest.combo_slot AS s
JOIN rest.combo AS c ON c.business_id = s.business_id AND c.combo_id = s.combo_id
JOIN rest.menu_item AS m ON m.business_id = c.business_id AND m.menu_item_id = c.menu_item_id
JOIN rest.menu_item AS i
    ON i.business_id = s.business_id
   AND i.sales_category = CASE s.slot_code
           WHEN 'SIDE' THEN 'Sides' WHEN 'DRINK' THEN 'Soft drinks' WHEN 'SWEET' THEN 'Desserts'
           WHEN 'MAIN' THEN CASE m.display_name WHEN 'Bowl meal' THEN 'Bowls'
                                                WHEN 'Wing night' THEN 'Wings'
                                                WHEN 'Lunch deal' THEN 'Mains'
                                                ELSE 'Burgers' END END
JOIN (
    SELECT x.menu_item_id,
           row_number() OVER (PARTITION BY x.sales_category ORDER BY x.item_code) AS place
    FROM rest.menu_item AS x
    WHERE x.business_id = %(business_id)s
) AS n ON n.menu_item_id = i.menu_item_id AND n.place <= 4
WHERE s.business_id = %(business_id)s;

INSERT INTO rest.combo_slot_option
    (business_id, combo_slot_option_id, combo_slot_id, nested_combo_id, upcharge_amount,
     is_default, sort_order)
SELECT s.business_id, md5('nests ' || s.combo_slot_id || b.combo_id)::uuid, s.combo_slot_id,
       b.combo_id, 0, true, 0
FROM rest.combo_slot AS s
JOIN rest.menu_item AS i
    ON i.business_id = s.business_id
   AND i.display_name = CASE s.slot_code WHEN 'MEAL1' THEN 'Burger meal' ELSE 'Bowl meal' END
JOIN rest.combo AS b ON b.business_id = i.business_id AND b.menu_item_id = i.menu_item_id
WHERE s.business_id = %(business_id)s AND s.slot_code LIKE 'MEAL_';
