-- The kitchen is out of an item: every screen and listing of the site stops selling it.
-- budget: p95 60ms
-- weight: 3
-- mode: write
-- rows: >=1
-- params: menu_item_id, location_id from rest.menu_item_location where stock_mode = 'out_of_stock'
-- values: back_in_minutes = random_int(30, 240)
SELECT o.business_id, o.menu_item_id, o.location_id,
       rest.mark_item_out(o.menu_item_id, o.location_id, 'sold out',
           now() + %(back_in_minutes)s::integer * interval '1 minute') AS listings
FROM rest.menu_item_location AS o
WHERE o.business_id = %(business_id)s AND o.menu_item_id = %(menu_item_id)s
  AND o.location_id = %(location_id)s
