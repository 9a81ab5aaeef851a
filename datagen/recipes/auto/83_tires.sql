-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- One tire set in three comes from a sale of the last year, registered within thirty days but for
-- six in a hundred.
INSERT INTO auto.tire_registration
    (business_id, tire_registration_id, tire_id, customer_id, shop_id, tin_code, seller_name,
     purchaser_name, purchaser_address, sold_on, method, submitted_on, due_on, registrar_ref,
     status)
SELECT t.business_id, md5('registered ' || t.tire_id)::uuid, t.tire_id, x.customer_id, s.shop_id,
       t.tin_code, s.name, c.display_name, c.billing_address, d.sold_on, 'dealer_submitted',
       CASE WHEN d.sold_on < %(as_of)s::date - 20
            THEN d.sold_on + CASE WHEN d.dice %% 100 < 6 THEN 41 ELSE d.dice %% 27 END END,
       d.sold_on + 30,
       CASE WHEN d.sold_on < %(as_of)s::date - 60 THEN 'REG-' || substr(md5(t.tire_id::text), 1, 8)
            END,
       CASE WHEN d.sold_on < %(as_of)s::date - 60 THEN 'accepted'
            WHEN d.sold_on < %(as_of)s::date - 20 THEN 'submitted' ELSE 'pending' END
FROM auto.tire AS t
JOIN (
    SELECT y.*, row_number() OVER (ORDER BY y.set_number) AS place
    FROM auto.tire_set AS y
    WHERE y.business_id = %(business_id)s
) AS x ON x.tire_set_id = t.tire_set_id AND x.place %% 3 = 1
JOIN auto.customer AS c ON c.business_id = t.business_id AND c.customer_id = x.customer_id
CROSS JOIN (
    SELECT y.shop_id, y.name
    FROM auto.shop AS y
    WHERE y.business_id = %(business_id)s
    ORDER BY y.shop_code
    LIMIT 1
) AS s
CROSS JOIN LATERAL (
    SELECT z.dice, %(as_of)s::date - 2 - (z.dice %% 300) AS sold_on
    FROM (SELECT ('x' || substr(md5(x.tire_set_id::text), 1, 7))::bit(28)::integer AS dice) AS z
) AS d
WHERE t.business_id = %(business_id)s;

-- Every second set of another season lies in a rack under a contract; it came in last autumn.
UPDATE auto.tire_set AS x
SET fitment_state = 'stored', stored_location_id = l.stock_location_id
FROM (
    SELECT y.tire_set_id, row_number() OVER (ORDER BY y.set_number) AS place
    FROM auto.tire_set AS y
    WHERE y.business_id = %(business_id)s
) AS n
JOIN (
    SELECT y.stock_location_id, row_number() OVER (ORDER BY y.location_code,
                                                          y.stock_location_id) - 1 AS place,
           count(*) OVER () AS places
    FROM auto.stock_location AS y
    WHERE y.business_id = %(business_id)s
) AS l ON l.place = n.place %% l.places
WHERE x.business_id = %(business_id)s AND x.tire_set_id = n.tire_set_id AND n.place %% 2 = 0;

INSERT INTO auto.tire_storage_contract
    (business_id, tire_storage_contract_id, customer_id, tire_set_id, shop_id, contract_number,
     season_code, starts_on, ends_on, fee_amount, billing_mode, includes_changeover,
     liability_limit, next_changeover_on, status)
SELECT x.business_id, md5('stores ' || x.tire_set_id)::uuid, x.customer_id, x.tire_set_id,
       s.shop_id, 'ST-' || x.set_number, 'WINTER', %(as_of)s::date - 60, %(as_of)s::date + 150, 89,
       'per_season', true, 1200, %(as_of)s::date + 150, 'active'
FROM auto.tire_set AS x
CROSS JOIN (
    SELECT y.shop_id
    FROM auto.shop AS y
    WHERE y.business_id = %(business_id)s
    ORDER BY y.shop_code
    LIMIT 1
) AS s
WHERE x.business_id = %(business_id)s AND x.fitment_state = 'stored';

INSERT INTO auto.tire_storage_movement
    (business_id, tire_storage_movement_id, to_location_id, tire_set_id, tire_storage_contract_id,
     moved_at, movement_kind, label_code, tread_min_mm, pressure_set_psi, photo_count, scanned_ok)
SELECT x.business_id, md5(k.kind || ' ' || x.tire_set_id)::uuid, x.stored_location_id,
       x.tire_set_id, c.tire_storage_contract_id,
       %(as_of)s::timestamptz - k.days * interval '1 day', k.kind, 'L-' || x.set_number, 4.2, 36, 2,
       true
FROM auto.tire_set AS x
JOIN auto.tire_storage_contract AS c
    ON c.business_id = x.business_id AND c.tire_set_id = x.tire_set_id
CROSS JOIN (VALUES ('check_in', 60), ('inventory_scan', 7)) AS k (kind, days)
WHERE x.business_id = %(business_id)s;

UPDATE auto.tire AS t
SET status = 'stored'
FROM auto.tire_set AS x
WHERE t.business_id = %(business_id)s
  AND x.business_id = t.business_id AND x.tire_set_id = t.tire_set_id
  AND x.fitment_state = 'stored';
