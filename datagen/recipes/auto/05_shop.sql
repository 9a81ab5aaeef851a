-- The lifts and racks of a shop stand in its bays, in their order.
UPDATE auto.bay AS b
SET lift_equipment_id = e.shop_equipment_id,
    lift_capacity_lb = e.capacity_lb,
    status = CASE WHEN e.status = 'out_of_service' THEN 'out_of_service' ELSE b.status END
FROM (SELECT x.shop_id, x.shop_equipment_id, x.capacity_lb, x.status,
             row_number() OVER (PARTITION BY x.shop_id ORDER BY x.equipment_number) AS no
      FROM auto.shop_equipment AS x
      WHERE x.business_id = %(business_id)s AND x.equipment_kind IN ('lift', 'alignment_rack')
        AND x.status <> 'retired') AS e
WHERE b.business_id = %(business_id)s
  AND b.shop_id = e.shop_id AND b.display_seq = e.no;

-- The door rate of last year.
INSERT INTO auto.labor_rate (
    business_id, labor_rate_id, shop_id, rate_code, name, work_kind, payer_kind,
    hourly_rate_amount, posted_on_sign, is_default, effective_on, ends_on)
SELECT r.business_id, md5(r.labor_rate_id || ' last year')::uuid, r.shop_id, 'R00',
       'Door rate, last year', r.work_kind, r.payer_kind, r.hourly_rate_amount - 10, false, false,
       r.effective_on - 400, r.effective_on
FROM auto.labor_rate AS r
WHERE r.business_id = %(business_id)s AND r.rate_code = 'R01' AND r.ends_on IS NULL;

-- The bands above the first: the dearer the part, the smaller the multiplier.
INSERT INTO auto.price_matrix (
    business_id, price_matrix_id, shop_id, matrix_code, matrix_kind, payer_kind, min_cost,
    max_cost, multiplier, rounding, effective_on)
SELECT m.business_id, md5(m.price_matrix_id || ' ' || b.min_cost)::uuid, m.shop_id, m.matrix_code,
       m.matrix_kind, m.payer_kind, b.min_cost, b.max_cost, b.multiplier, m.rounding,
       m.effective_on
FROM auto.price_matrix AS m
JOIN (VALUES
    ('PARTS', 5, 15, 2.45), ('PARTS', 15, 30, 2.3), ('PARTS', 30, 60, 2.15),
    ('PARTS', 60, 100, 2.05), ('PARTS', 100, 200, 1.95), ('PARTS', 200, 400, 1.85),
    ('PARTS', 400, 800, 1.75), ('PARTS', 800, 1500, 1.65), ('PARTS', 1500, NULL, 1.5),
    ('TIRES', 80, 200, 1.32), ('TIRES', 200, NULL, 1.25), ('SUBLET', 500, NULL, 1.25),
    ('FLEET', 50, 300, 1.6), ('FLEET', 300, NULL, 1.45)
    ) AS b (matrix_code, min_cost, max_cost, multiplier) ON b.matrix_code = m.matrix_code
WHERE m.business_id = %(business_id)s AND m.min_cost = 0;
