-- A loss for each order that an insurer pays for, as far along as its order, and every fifth of
-- all losses without one: a total loss, a vehicle taken elsewhere, no coverage. Eight are new.
INSERT INTO auto.insurance_claim
    (business_id, insurance_claim_id, insurer_id, customer_id, vehicle_id, shop_id, claim_number,
     policy_number, loss_kind, loss_at, reported_at, assigned_at, point_of_impact, is_drivable,
     airbags_deployed, deductible_amount, rental_limit, status, fault_party, tow_storage_from_on,
     assignment_document, closed_at, created_at)
SELECT %(business_id)s, x.insurance_claim_id,
       carrier.ids[1 + (x.place * 5 %% cardinality(carrier.ids))::integer], x.customer_id,
       x.vehicle_id, x.shop_id, 'CLM-' || lpad(x.place::text, 6, '0'),
       'POL-' || lpad((x.place * 7919 %% 1000000)::text, 7, '0'), d.loss_kind,
       x.assigned_at - (x.place %% 5 + 1) * interval '1 day' - interval '5 hours',
       x.assigned_at - (x.place %% 5 + 1) * interval '1 day', x.assigned_at,
       CASE d.loss_kind WHEN 'hail' THEN 'roof' WHEN 'glass' THEN 'front'
            WHEN 'flood' THEN 'all_over'
            ELSE (ARRAY['front', 'rear', 'front_left', 'rear_right', 'left', 'front_right',
                        'right', 'rear_left'])[1 + (x.place %% 8)::integer] END,
       NOT d.is_severe, d.is_severe AND d.loss_kind = 'collision',
       (ARRAY[500, 1000, 250, 500, 0])[1 + (x.place %% 5)::integer],
       CASE WHEN x.place %% 3 = 0 THEN 900 END, x.status,
       (ARRAY['third_party', 'insured', 'insured', 'unknown', 'shared'])
           [1 + (x.place %% 5)::integer],
       CASE WHEN d.is_severe THEN x.assigned_at::date END,
       jsonb_build_object('assignment', 'CLM-' || lpad(x.place::text, 6, '0'),
                          'loss', d.loss_kind, 'contact', 'desk'),
       CASE WHEN x.status IN ('settled', 'denied', 'withdrawn')
            THEN least(coalesce(x.ended_at, x.assigned_at + interval '9 days'), %(as_of)s) END,
       x.assigned_at
FROM (
    SELECT md5(o.repair_order_id || ' claim')::uuid AS insurance_claim_id, o.customer_id,
           o.vehicle_id, o.shop_id, o.closed_at AS ended_at, false AS is_lost,
           o.opened_at - (o.place %% 6 + 1) * interval '1 day' AS assigned_at, o.place,
           CASE WHEN o.status = 'closed' THEN 'settled'
                WHEN o.status IN ('invoiced', 'ready_for_pickup', 'quality_check') THEN 'approved'
                WHEN o.status IN ('in_progress', 'awaiting_parts', 'authorized')
                THEN CASE WHEN o.place %% 3 = 0 THEN 'supplement_submitted' ELSE 'approved' END
                WHEN o.status = 'awaiting_authorization' THEN 'estimate_submitted'
                WHEN o.status = 'cancelled' THEN 'withdrawn'
                ELSE 'estimating' END AS status
    FROM (
        SELECT y.*, row_number() OVER (ORDER BY y.opened_at, y.repair_order_id) AS place
        FROM auto.repair_order AS y
        WHERE y.business_id = %(business_id)s
          AND EXISTS (SELECT FROM auto.repair_job AS j
                      WHERE j.business_id = y.business_id
                        AND j.repair_order_id = y.repair_order_id
                        AND j.payer_kind = 'insurance')
    ) AS o
    UNION ALL
    SELECT md5(v.vehicle_id || ' loss ' || n.i)::uuid, v.customer_id, v.vehicle_id,
           shop.ids[1 + (n.i %% cardinality(shop.ids))::integer], NULL, p.path = 'total_loss',
           CASE WHEN n.i <= 8 THEN %(as_of)s - (n.i * 5 + 3) * interval '5 hours'
                ELSE %(as_of)s - (20 + n.i * 13 %% 320) * interval '1 day' END,
           many.orders + n.i,
           CASE WHEN n.i <= 8
                THEN (ARRAY['assigned', 'assigned', 'estimating', 'estimating',
                            'estimate_submitted', 'estimate_submitted', 'total_loss',
                            'estimating'])[n.i]
                WHEN p.path = 'total_loss' THEN 'settled' ELSE p.path END
    FROM (SELECT count(DISTINCT j.repair_order_id) AS orders FROM auto.repair_job AS j
          WHERE j.business_id = %(business_id)s AND j.payer_kind = 'insurance') AS many
    CROSS JOIN LATERAL generate_series(1, 8 + greatest(4, many.orders / 4)) AS n (i)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN n.i = 7 THEN 'total_loss' WHEN n.i <= 8 THEN 'open'
                    ELSE (ARRAY['total_loss', 'withdrawn', 'denied', 'total_loss', 'total_loss',
                                'withdrawn', 'total_loss', 'denied', 'total_loss', 'withdrawn',
                                'total_loss', 'total_loss', 'denied', 'total_loss', 'withdrawn',
                                'total_loss', 'denied', 'withdrawn', 'total_loss', 'total_loss'])
                         [1 + ((n.i - 9) %% 20)::integer] END AS path) AS p
    CROSS JOIN (
        SELECT array_agg(y.vehicle_id ORDER BY y.vehicle_id) AS ids FROM auto.vehicle AS y
        WHERE y.business_id = %(business_id)s
          AND EXISTS (SELECT FROM auto.vehicle_ownership AS w
                      WHERE w.business_id = y.business_id AND w.vehicle_id = y.vehicle_id)
    ) AS fleet
    CROSS JOIN LATERAL (
        SELECT w.vehicle_id, w.customer_id FROM auto.vehicle_ownership AS w
        WHERE w.business_id = %(business_id)s
          AND w.vehicle_id = fleet.ids[1 + (n.i * 17 %% cardinality(fleet.ids))::integer]
        ORDER BY w.starts_on DESC, w.vehicle_ownership_id
        LIMIT 1
    ) AS v
    CROSS JOIN (SELECT array_agg(y.shop_id ORDER BY y.shop_code) AS ids FROM auto.shop AS y
                WHERE y.business_id = %(business_id)s) AS shop
) AS x
CROSS JOIN (SELECT array_agg(y.insurer_id ORDER BY y.insurer_code) AS ids FROM auto.insurer AS y
            WHERE y.business_id = %(business_id)s) AS carrier
CROSS JOIN LATERAL (
    SELECT CASE WHEN extract(month FROM x.assigned_at) BETWEEN 5 AND 8 AND x.place %% 9 = 4
                THEN 'hail'
                ELSE (ARRAY['collision', 'collision', 'glass', 'collision', 'comprehensive',
                            'collision', 'animal', 'collision', 'vandalism', 'liability'])
                     [1 + (x.place %% 10)::integer] END AS loss_kind,
           x.is_lost OR x.place %% 9 = 0 AND x.place %% 10 IN (0, 1, 3, 5, 7) AS is_severe
) AS d;

-- The orders name their losses.
UPDATE auto.repair_order AS o
SET insurance_claim_id = c.insurance_claim_id
FROM auto.insurance_claim AS c
WHERE o.business_id = %(business_id)s
  AND c.business_id = o.business_id
  AND c.insurance_claim_id = md5(o.repair_order_id || ' claim')::uuid;
