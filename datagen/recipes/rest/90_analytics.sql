SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

SELECT rest.summarize_days(ARRAY(
    SELECT d.business_day_id
    FROM rest.business_day AS d
    WHERE d.business_id = %(business_id)s AND d.state = 'closed'));

UPDATE rest.sales_day_summary
SET computed_at = least(%(as_of)s, business_date + interval '30 hours')
WHERE business_id = %(business_id)s;

UPDATE rest.item_sales_day
SET computed_at = least(%(as_of)s, business_date + interval '30 hours')
WHERE business_id = %(business_id)s;

-- A forecast for every third hour of service: four weeks past and the week to come.
INSERT INTO rest.sales_forecast
    (business_id, sales_forecast_id, location_id, slot_starts_at, slot_minutes, model_name,
     forecast_covers, forecast_sales, low_sales, high_sales, recommended_staff_hours, drivers_doc,
     generated_at)
SELECT l.business_id, md5(concat_ws(' ', 'forecast', l.location_id, n.day, h.hour))::uuid,
       l.location_id, s.at, 180, 'seasonal_naive', greatest(1, round(e.sales / 24)), e.sales,
       round(e.sales * 0.75, 2), round(e.sales * 1.25, 2), round(e.sales / 75, 2),
       jsonb_build_array(
           jsonb_build_object('driver', 'weekday',
                              'effect_pct', CASE WHEN n.weekend THEN 30 ELSE -10 END),
           jsonb_build_object('driver', CASE WHEN n.place %% 3 = 0 THEN 'weather'
                                             WHEN n.place %% 3 = 1 THEN 'bookings'
                                             ELSE 'event' END,
                              'effect_pct', n.place %% 25 - 10)),
       least(%(as_of)s, s.at - interval '7 days')
FROM rest.location AS l
JOIN (
    SELECT d.location_id, sum(c.subtotal - c.discount_total) / count(DISTINCT d.business_date)
               AS daily
    FROM rest.business_day AS d
    LEFT JOIN rest.guest_order AS o
        ON o.business_id = d.business_id AND o.business_day_id = d.business_day_id
    LEFT JOIN rest.guest_check AS c
        ON c.business_id = o.business_id AND c.guest_order_id = o.guest_order_id
       AND c.state <> 'voided'
    WHERE d.business_id = %(business_id)s
    GROUP BY d.location_id
) AS y ON y.location_id = l.location_id
CROSS JOIN generate_series(-28, 7) AS g (offset_days)
CROSS JOIN (VALUES (11, 0.30), (14, 0.15), (17, 0.40), (20, 0.15)) AS h (hour, part)
CROSS JOIN LATERAL (
    SELECT %(as_of)s::date + g.offset_days AS day,
           extract(isodow FROM %(as_of)s::date + g.offset_days) >= 5 AS weekend,
           ('x' || substr(md5(concat_ws(' ', l.location_id, g.offset_days, h.hour)), 1, 7)
           )::bit(28)::integer AS place
) AS n
CROSS JOIN LATERAL (
    SELECT (n.day + make_interval(hours => h.hour)) AT TIME ZONE l.timezone AS at
) AS s
CROSS JOIN LATERAL (
    SELECT round(greatest(coalesce(y.daily, 0), 40) * h.part
                 * CASE WHEN n.weekend THEN 1.3 ELSE 0.9 END
                 * (1 + (n.place %% 25 - 10) / 100.0), 2) AS sales
) AS e
WHERE l.business_id = %(business_id)s;

SELECT rest.record_actuals(%(as_of)s - interval '30 days', %(as_of)s);

-- Four weeks that end with the last whole one.
SELECT rest.measure_food_cost(w.monday - 7 * k.weeks, w.monday - 7 * (k.weeks - 1))
FROM (SELECT date_trunc('week', %(as_of)s, 'UTC')::date AS monday) AS w
CROSS JOIN generate_series(1, 4) AS k (weeks);

-- Where no stock moved, the counts of the last week are made up about the stock's own cost.
INSERT INTO rest.food_cost_variance
    (business_id, food_cost_variance_id, location_id, inventory_item_id, period_start, period_end,
     opening_value, purchases_value, closing_value, actual_usage_qty, theoretical_usage_qty,
     waste_qty, variance_value, unexplained_value)
SELECT i.business_id, md5(concat_ws(' ', 'cost', l.location_id, i.inventory_item_id))::uuid,
       l.location_id, i.inventory_item_id, w.monday - 7, w.monday, round(40 * c.cost, 2),
       round(30 * c.cost, 2), round((70 - q.used) * c.cost, 2), q.used, q.sold, q.wasted,
       round((q.used - q.sold) * c.cost, 2), round((q.used - q.sold - q.wasted) * c.cost, 2)
FROM rest.inventory_item AS i
JOIN rest.location AS l ON l.business_id = i.business_id
CROSS JOIN (SELECT date_trunc('week', %(as_of)s, 'UTC')::date AS monday) AS w
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5(concat_ws(' ', l.location_id, i.inventory_item_id)), 1, 7)
           )::bit(28)::integer AS place
) AS n
CROSS JOIN LATERAL (SELECT coalesce(i.average_cost, 0)::numeric AS cost) AS c
CROSS JOIN LATERAL (
    SELECT 20.0 + n.place %% 10 + 1 + n.place %% 3 AS used, 20.0 + n.place %% 10 AS sold,
           (1 + n.place %% 3) * 0.5 AS wasted
) AS q
WHERE i.business_id = %(business_id)s
  AND NOT EXISTS (SELECT FROM rest.food_cost_variance AS v WHERE v.business_id = i.business_id);

UPDATE rest.food_cost_variance
SET computed_at = period_end::timestamp AT TIME ZONE 'UTC'
WHERE business_id = %(business_id)s;

SELECT rest.snapshot_guests(%(as_of)s::date);

UPDATE rest.guest_rfm_snapshot
SET computed_at = %(as_of)s
WHERE business_id = %(business_id)s;

-- A week at a time; a small restaurant is looked at more closely.
SELECT rest.find_losses(%(as_of)s - make_interval(days => 7 * k.weeks),
                        %(as_of)s - make_interval(days => 7 * (k.weeks - 1)), 2, 10, 2)
FROM generate_series(1, 4) AS k (weeks);

UPDATE rest.loss_prevention_alert
SET state = 'reviewing', reviewed_at = least(%(as_of)s, detected_at + interval '1 day')
WHERE business_id = %(business_id)s AND detected_at < %(as_of)s;

UPDATE rest.loss_prevention_alert
SET state = CASE WHEN severity = 'low' THEN 'dismissed' ELSE 'confirmed' END
WHERE business_id = %(business_id)s AND state = 'reviewing'
  AND detected_at < %(as_of)s - interval '8 days';
