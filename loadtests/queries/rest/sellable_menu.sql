-- Online ordering loads the menu of a site: what can be sold now, prices, sizes, choices, allergens.
-- budget: p95 250ms
-- weight: 4
-- mode: read
-- rows: >=1
-- params: location_id from rest.location
WITH sellable AS (
    SELECT v.business_id, v.menu_name, v.group_name, v.group_order, v.item_order, v.menu_item_id,
           v.display_name, v.price, v.stock_mode, v.remaining_qty
    FROM rest.v_menu_item_sellable AS v
    WHERE v.business_id = %(business_id)s AND v.location_id = %(location_id)s
      AND v.visible_online
)
SELECT s.business_id, s.menu_name, s.group_name,
       jsonb_agg(jsonb_build_object(
           'item', s.display_name, 'price', s.price, 'left', s.remaining_qty,
           'sizes', (SELECT jsonb_agg(jsonb_build_object('size', z.display_name,
                                                         'price', z.price) ORDER BY z.sort_order)
                     FROM rest.menu_item_size AS z
                     WHERE z.business_id = %(business_id)s
                       AND z.menu_item_id = s.menu_item_id AND z.is_active),
           'choices', (SELECT jsonb_agg(jsonb_build_object(
                                  'name', g.display_name, 'least', g.min_select,
                                  'most', g.max_select,
                                  'options', (SELECT jsonb_agg(jsonb_build_array(
                                                         p.display_name, p.price)
                                                     ORDER BY p.sort_order)
                                              FROM rest.modifier_option AS p
                                              WHERE p.business_id = %(business_id)s
                                                AND p.modifier_group_id = g.modifier_group_id
                                                AND p.is_active AND NOT p.is_out_of_stock))
                              ORDER BY o.sort_order)
                       FROM rest.menu_item_modifier_group AS o
                       JOIN rest.modifier_group AS g
                           ON g.business_id = %(business_id)s
                          AND g.modifier_group_id = o.modifier_group_id
                       WHERE o.business_id = %(business_id)s
                         AND o.menu_item_id = s.menu_item_id AND NOT o.is_hidden_online))
           ORDER BY s.item_order) AS items
FROM sellable AS s
GROUP BY s.business_id, s.menu_name, s.group_name, s.group_order
ORDER BY s.menu_name, s.group_order
