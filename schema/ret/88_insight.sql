/*
 * Insight: what follows from the days of 87_measures.sql. How much will be asked for and how good
 * that forecast was, which customers are worth what, where goods and money get lost, what is bought
 * together, what may still be bought, and how visits of the shop become orders.
 *
 *   every night   open_shrink_cases
 *   every week    record_demand, then forecast_demand; compute_rfm; compute_affinity
 *   every month   refresh_plans
 */

CREATE FUNCTION ret.promoted_variants(from_week date, to_week date)
    RETURNS TABLE (week_start date, product_variant_id uuid, promotion_id uuid, promotion_code text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT DISTINCT ON (w.week_start, v.product_variant_id)
           w.week_start, v.product_variant_id, p.promotion_id, p.promotion_code
    FROM (SELECT from_week + 7 * n AS week_start
          FROM generate_series(0, (to_week - from_week) / 7) AS n) AS w
    JOIN ret.promotion AS p
        ON p.business_id = tenant_mgmt.current_business_id()
       AND p.state IN ('scheduled', 'active', 'ended')
       AND p.starts_at < (w.week_start + 7)::timestamp AT TIME ZONE 'UTC'
       AND (p.ends_at IS NULL OR p.ends_at > w.week_start::timestamp AT TIME ZONE 'UTC')
    JOIN ret.promotion_rule AS r
        ON r.business_id = p.business_id AND r.promotion_id = p.promotion_id
       AND r.rule_role = 'target' AND NOT r.is_negated
    LEFT JOIN ret.category AS rc
        ON rc.business_id = r.business_id AND rc.category_id = r.category_id
    JOIN ret.product AS g ON g.business_id = p.business_id
    JOIN ret.category AS c
        ON c.business_id = g.business_id AND c.category_id = g.main_category_id
    JOIN ret.product_variant AS v
        ON v.business_id = g.business_id AND v.product_id = g.product_id
    WHERE v.product_variant_id = r.product_variant_id OR g.product_id = r.product_id
       OR g.brand_id = r.brand_id
       OR starts_with(c.path_text || ' > ', rc.path_text || ' > ')
    ORDER BY w.week_start, v.product_variant_id, p.priority_no, p.promotion_code;
END;
COMMENT ON FUNCTION ret.promoted_variants(date, date) IS
    'Which variants of the tenant are on offer in the weeks between two Mondays, by promotions that
     name them, their product, brand or a category above them; the first in priority counts.';


CREATE FUNCTION ret.forecast_demand(
    place uuid, run_moment timestamptz DEFAULT now(), weeks integer DEFAULT 4
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    today  date;
    monday date;
    lift   numeric;
    made   integer;
BEGIN
    SELECT (run_moment AT TIME ZONE l.timezone)::date INTO today
    FROM ret.location AS l
    WHERE l.business_id = tenant AND l.location_id = place;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no location %', place USING ERRCODE = 'no_data_found';
    END IF;
    monday := today + (8 - extract(isodow FROM today)::integer) % 7;

    -- How much more a day with an offer sells than a day without, as the place has learned it;
    -- half as much again where it has not.
    SELECT least(greatest(coalesce(avg(d.units_sold) FILTER (WHERE d.promo_units > 0)
                                   / avg(d.units_sold) FILTER (WHERE d.promo_units = 0), 1.5),
                          1.2), 4)
    INTO lift
    FROM ret.variant_sales_day AS d
    WHERE d.business_id = tenant AND d.location_id = place AND d.units_sold > 0
      AND d.business_date >= today - 56 AND d.business_date < today;

    INSERT INTO ret.demand_forecast
        (business_id, demand_forecast_id, location_id, product_variant_id, promotion_id,
         week_start, model_name, run_at, forecast_qty, low_qty, high_qty, baseline_qty,
         promo_uplift_qty, drivers_doc)
    SELECT tenant,
           md5(concat_ws(' ', 'forecast', place, n.product_variant_id, w.week_start,
                         extract(epoch FROM run_moment)))::uuid,
           place, n.product_variant_id, o.promotion_id, w.week_start, 'weighted_8_weeks',
           run_moment, f.expected, greatest(round(f.expected - f.spread, 4), 0),
           round(f.expected + f.spread, 4), n.base, u.uplift,
           jsonb_build_array(
               jsonb_build_object('driver', 'level', 'detail', 'sales of 8 weeks',
                                  'effect_qty', n.level),
               jsonb_build_object('driver', 'trend', 'detail', '4 weeks against the 4 before',
                                  'effect_qty', n.base - n.level - n.lost))
           || CASE WHEN n.lost > 0 THEN jsonb_build_array(jsonb_build_object(
                  'driver', 'lost_sales', 'detail', 'what stock-outs hid', 'effect_qty', n.lost))
                   ELSE '[]' END
           || CASE WHEN u.uplift > 0 THEN jsonb_build_array(jsonb_build_object(
                  'driver', 'promotion', 'detail', o.promotion_code, 'effect_qty', u.uplift))
                   ELSE '[]' END
    FROM (
        -- A week of the last four counts twice as much as one of the four before.
        SELECT x.product_variant_id, round((2 * (x.recent + x.recent_lost) + x.older
                                            + x.older_lost) / 12, 4) AS base,
               round((x.recent + x.older) / 8, 4) AS level,
               round((x.recent_lost + x.older_lost) / 8, 4) AS lost
        FROM (
            SELECT d.product_variant_id,
                   coalesce(sum(d.units_sold) FILTER (WHERE k.is_recent), 0) AS recent,
                   coalesce(sum(d.units_sold) FILTER (WHERE NOT k.is_recent), 0) AS older,
                   coalesce(sum(d.lost_units_estimate) FILTER (WHERE k.is_recent), 0)
                       AS recent_lost,
                   coalesce(sum(d.lost_units_estimate) FILTER (WHERE NOT k.is_recent), 0)
                       AS older_lost
            FROM ret.variant_sales_day AS d
            JOIN ret.product_variant AS v
                ON v.business_id = d.business_id AND v.product_variant_id = d.product_variant_id
               AND v.status = 'active'
            CROSS JOIN LATERAL (SELECT d.business_date >= today - 28 AS is_recent) AS k
            WHERE d.business_id = tenant AND d.location_id = place
              AND d.business_date >= today - 56 AND d.business_date < today
            GROUP BY d.product_variant_id
        ) AS x
    ) AS n
    CROSS JOIN LATERAL (
        SELECT monday + 7 * g AS week_start FROM generate_series(0, weeks - 1) AS g
    ) AS w
    LEFT JOIN ret.promoted_variants(monday, monday + 7 * (weeks - 1)) AS o
        ON o.week_start = w.week_start AND o.product_variant_id = n.product_variant_id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN o.promotion_id IS NULL THEN 0
                    ELSE round(n.base * (lift - 1), 4) END AS uplift
    ) AS u
    CROSS JOIN LATERAL (
        -- Sales of a week scatter somewhat more than chance alone; nine in ten are within.
        SELECT n.base + u.uplift AS expected,
               1.645 * sqrt(1.3 * (n.base + u.uplift) + 0.25) AS spread
    ) AS f
    WHERE n.base > 0
    ON CONFLICT (business_id, location_id, product_variant_id, week_start, model_name, run_at)
        DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.forecast_demand(uuid, timestamptz, integer) IS
    'Forecasts the weeks from the next Monday on for what a place of the tenant has sold in eight
     weeks: the newer half weighs double, stock-outs count as demand, weeks with an offer get what
     offers brought before. Returns how many rows it wrote.';


CREATE FUNCTION ret.record_demand(since date, until date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    changed integer;
BEGIN
    UPDATE ret.demand_forecast AS f
    SET actual_qty = n.demand
    FROM (
        SELECT x.demand_forecast_id,
               coalesce(sum(d.units_sold + d.lost_units_estimate), 0) AS demand
        FROM ret.demand_forecast AS x
        LEFT JOIN ret.variant_sales_day AS d
            ON d.business_id = x.business_id AND d.location_id = x.location_id
           AND d.product_variant_id = x.product_variant_id
           AND d.business_date >= x.week_start AND d.business_date < x.week_start + 7
        WHERE x.business_id = tenant_mgmt.current_business_id()
          AND x.week_start >= since AND x.week_start + 7 <= until
        GROUP BY x.demand_forecast_id
    ) AS n
    WHERE f.business_id = tenant_mgmt.current_business_id()
      AND f.demand_forecast_id = n.demand_forecast_id
      AND f.actual_qty IS DISTINCT FROM n.demand;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION ret.record_demand(date, date) IS
    'Writes what was asked for beside what the tenant forecast, for weeks wholly within a period;
     returns how many rows changed.';


CREATE FUNCTION ret.forecast_accuracy(since date, until date)
    RETURNS TABLE (
        location_id uuid,
        model_name  text,
        weeks       bigint,
        wape        numeric,
        bias_pct    numeric,
        in_band_pct numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT f.location_id, f.model_name, count(*),
           round(sum(abs(f.forecast_qty - f.actual_qty)) * 100 / nullif(sum(f.actual_qty), 0), 2),
           round(sum(f.forecast_qty - f.actual_qty) * 100 / nullif(sum(f.actual_qty), 0), 2),
           round(avg((f.actual_qty BETWEEN f.low_qty AND f.high_qty)::integer) * 100, 2)
    FROM ret.demand_forecast AS f
    WHERE f.business_id = tenant_mgmt.current_business_id() AND f.actual_qty IS NOT NULL
      AND f.week_start >= since AND f.week_start < until
    GROUP BY f.location_id, f.model_name;
END;
COMMENT ON FUNCTION ret.forecast_accuracy(date, date) IS
    'How good a model was at a place of the tenant: errors of all weeks against all demand (the
     mean of percentages would be ruled by slow sellers), bias, and how often demand fell into the
     band, which should be nine in ten.';


CREATE FUNCTION ret.compute_rfm(as_of date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   integer;
BEGIN
    -- Two who rank the same day follow each other.
    PERFORM FROM ret.location AS l
    WHERE l.business_id = tenant
    ORDER BY l.location_id
    FOR NO KEY UPDATE;
    DELETE FROM ret.rfm_snapshot AS s
    WHERE s.business_id = tenant AND s.as_of_date = as_of;
    WITH bought AS MATERIALIZED (
        SELECT o.customer_id, s.sales_order_id, s.business_date, s.product_variant_id,
               s.gross - s.discounts AS net, s.gross - s.discounts - s.cost AS margin
        FROM ret.sold_lines(as_of - 364, as_of + 1) AS s
        JOIN ret.sales_order AS o
            ON o.business_id = tenant AND o.sales_order_id = s.sales_order_id
        JOIN ret.customer AS c
            ON c.business_id = tenant AND c.customer_id = o.customer_id AND c.status = 'active'
    ), back AS (
        SELECT o.customer_id, sum(r.value) AS value, sum(r.value - r.cost) AS margin
        FROM ret.returned_lines(as_of - 364, as_of + 1) AS r
        JOIN ret.sales_order AS o
            ON o.business_id = tenant AND o.sales_order_id = r.sales_order_id
        WHERE o.customer_id IS NOT NULL
        GROUP BY o.customer_id
    ), figure AS (
        SELECT b.customer_id, as_of - max(b.business_date) AS recency,
               count(DISTINCT b.sales_order_id)::integer AS orders,
               sum(b.net) - coalesce(r.value, 0) AS money,
               sum(b.margin) - coalesce(r.margin, 0) AS margin,
               -- Days between orders; who came once is given a quarter.
               coalesce((max(b.business_date) - min(b.business_date))::numeric
                        / nullif(count(DISTINCT b.sales_order_id) - 1, 0), 90) AS gap
        FROM bought AS b
        LEFT JOIN back AS r ON r.customer_id = b.customer_id
        GROUP BY b.customer_id, r.value, r.margin
    ), liked AS (
        SELECT DISTINCT ON (n.customer_id) n.customer_id, n.category_code
        FROM (
            SELECT b.customer_id, c.category_code, sum(b.net) AS net
            FROM bought AS b
            JOIN ret.product_variant AS v
                ON v.business_id = tenant AND v.product_variant_id = b.product_variant_id
            JOIN ret.product AS p ON p.business_id = tenant AND p.product_id = v.product_id
            JOIN ret.category AS c
                ON c.business_id = tenant AND c.category_id = p.main_category_id
            GROUP BY b.customer_id, c.category_code
        ) AS n
        ORDER BY n.customer_id, n.net DESC, n.category_code
    ), scored AS (
        -- Whoever is equal gets the same score: half of all customers have come once.
        SELECT f.*, least(5, 1 + floor(5 * percent_rank() OVER (ORDER BY f.recency DESC))) AS r,
               least(5, 1 + floor(5 * percent_rank() OVER (ORDER BY f.orders))) AS f,
               least(5, 1 + floor(5 * percent_rank() OVER (ORDER BY f.money))) AS m
        FROM figure AS f
    )
    INSERT INTO ret.rfm_snapshot
        (business_id, rfm_snapshot_id, customer_id, as_of_date, recency_days, frequency_count,
         monetary_total, r_score, f_score, m_score, rfm_segment, churn_probability, predicted_ltv,
         next_purchase_on, preferred_category_code)
    SELECT tenant, md5(concat_ws(' ', 'rfm', s.customer_id, as_of))::uuid, s.customer_id, as_of,
           s.recency, s.orders, s.money, s.r, s.f, s.m,
           CASE WHEN s.orders = 1 AND s.r >= 4 THEN 'new'
                WHEN s.r >= 4 AND s.f >= 4 AND s.m >= 4 THEN 'champion'
                WHEN s.r >= 3 AND s.f >= 4 THEN 'loyal'
                WHEN s.r >= 4 THEN 'potential'
                WHEN s.r = 3 THEN 'promising'
                WHEN s.f >= 4 AND s.m >= 4 THEN 'cannot_lose'
                WHEN s.f >= 3 THEN 'at_risk'
                WHEN s.r = 2 THEN 'hibernating'
                ELSE 'lost' END,
           k.churn,
           -- At most an order a week, at the margin of the orders so far.
           round(greatest((1 - k.churn) * s.margin / s.orders
                          * least(365 / greatest(s.gap, 1), 52), 0), 2),
           as_of + greatest(0, round(s.gap) - s.recency)::integer, l.category_code
    FROM scored AS s
    LEFT JOIN liked AS l ON l.customer_id = s.customer_id
    CROSS JOIN LATERAL (
        SELECT round(1 - exp(-s.recency::numeric / (2 * greatest(s.gap, 7))), 4) AS churn
    ) AS k;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.compute_rfm(date) IS
    'Ranks the tenant''s active customers by the year before a day in fifths of recency, orders and
     money net of returns, names their segment, and predicts who leaves, who buys when and what he
     is worth. Called again it writes the day anew; returns how many customers.';


CREATE FUNCTION ret.open_shrink_cases(
    since timestamptz, until timestamptz, least_short numeric DEFAULT 5
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   integer;
BEGIN
    -- Two who look for losses follow each other.
    PERFORM FROM ret.location AS l
    WHERE l.business_id = tenant
    ORDER BY l.location_id
    FOR NO KEY UPDATE;
    WITH finding AS (
        SELECT c.location_id, n.variants, NULL::uuid AS adjustment, c.cycle_count_id AS counted,
               NULL::uuid AS session, n.cause, 'count' AS detected_by, c.completed_at AS at,
               n.units, n.cost, n.retail, NULL::text AS report
        FROM ret.cycle_count AS c
        JOIN (
            SELECT l.cycle_count_id, k.cause, array_agg(DISTINCT l.product_variant_id) AS variants,
                   -sum(l.variance_qty) AS units, -sum(coalesce(l.variance_value, 0)) AS cost,
                   -sum(round(l.variance_qty * v.list_price, 2)) AS retail
            FROM ret.cycle_count_line AS l
            JOIN ret.product_variant AS v
                ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
            CROSS JOIN LATERAL (
                SELECT CASE l.root_cause WHEN 'theft' THEN 'external_theft'
                                         WHEN 'damage' THEN 'damage' WHEN 'none' THEN 'unknown'
                                         ELSE 'administrative' END AS cause
            ) AS k
            WHERE l.business_id = tenant AND l.variance_qty < 0
            GROUP BY l.cycle_count_id, k.cause
        ) AS n ON n.cycle_count_id = c.cycle_count_id
        WHERE c.business_id = tenant AND c.state = 'completed'
          AND c.completed_at >= since AND c.completed_at < until
        UNION ALL
        SELECT a.location_id, n.variants, a.stock_adjustment_id, NULL, NULL,
               CASE a.reason WHEN 'theft_known' THEN 'external_theft' WHEN 'damage' THEN 'damage'
                             ELSE 'unknown' END,
               CASE a.reason WHEN 'theft_known' THEN 'cctv' ELSE 'audit' END, a.approved_at,
               n.units, n.cost, n.retail, a.police_report_ref
        FROM ret.stock_adjustment AS a
        JOIN (
            SELECT l.stock_adjustment_id, array_agg(DISTINCT l.product_variant_id) AS variants,
                   -sum(l.quantity_delta) AS units,
                   -sum(round(l.quantity_delta * l.unit_cost, 2)) AS cost,
                   -sum(round(l.quantity_delta * v.list_price, 2)) AS retail
            FROM ret.stock_adjustment_line AS l
            JOIN ret.product_variant AS v
                ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
            WHERE l.business_id = tenant AND l.quantity_delta < 0
            GROUP BY l.stock_adjustment_id
        ) AS n ON n.stock_adjustment_id = a.stock_adjustment_id
        WHERE a.business_id = tenant AND a.state = 'posted'
          AND a.reason IN ('theft_known', 'theft_unknown', 'damage')
          AND a.approved_at >= since AND a.approved_at < until
        UNION ALL
        -- A drawer that is far short is looked into; nobody is accused yet.
        SELECT r.location_id, NULL, NULL, NULL, s.register_session_id, 'unknown',
               'exception_report', s.closed_at, 0, -s.over_short, -s.over_short, NULL
        FROM ret.register_session AS s
        JOIN ret.register AS r
            ON r.business_id = s.business_id AND r.register_id = s.register_id
        WHERE s.business_id = tenant AND s.state IN ('closed', 'posted')
          AND s.over_short <= -least_short AND s.closed_at >= since AND s.closed_at < until
    )
    INSERT INTO ret.shrink_event
        (business_id, shrink_event_id, location_id, product_variant_id, stock_adjustment_id,
         cycle_count_id, register_session_id, cause, detected_by, detected_at, units_lost,
         cost_value, retail_value, police_reference)
    SELECT tenant,
           md5(concat_ws(' ', 'shrink', f.adjustment, f.counted, f.session, f.cause))::uuid,
           f.location_id, CASE WHEN cardinality(f.variants) = 1 THEN f.variants[1] END,
           f.adjustment, f.counted, f.session, f.cause, f.detected_by, f.at, f.units, f.cost,
           f.retail, f.report
    FROM finding AS f
    WHERE NOT EXISTS (
        SELECT FROM ret.shrink_event AS e
        WHERE e.business_id = tenant AND e.stock_adjustment_id IS NOT DISTINCT FROM f.adjustment
          AND e.cycle_count_id IS NOT DISTINCT FROM f.counted
          AND e.register_session_id IS NOT DISTINCT FROM f.session)
    ORDER BY f.at, f.location_id, f.counted, f.adjustment, f.session, f.cause;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.open_shrink_cases(timestamptz, timestamptz, numeric) IS
    'Opens a case for each document of the tenant in a period that lost something: missing lines of
     counts by root cause, posted write-offs for theft and damage, drawers that came up short by so
     much. A document that has a case, whatever became of it, gets no other. Returns how many.';


CREATE FUNCTION ret.shrink_by_category(since date, until date)
    RETURNS TABLE (
        location_id   uuid,
        category_id   uuid,
        net_sales     numeric,
        shrink_cost   numeric,
        shrink_retail numeric,
        shrink_pct    numeric,
        target_pct    numeric,
        is_over       boolean
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH lost AS (
        -- Found pieces take back what was lost before; what was given away is no shrink.
        SELECT m.location_id, m.product_variant_id,
               -sum(ret.on_hand_change(m.from_state, m.to_state, m.quantity)) AS units,
               -sum(ret.on_hand_change(m.from_state, m.to_state, m.quantity) * m.unit_cost)
                   AS cost
        FROM ret.stock_movement AS m
        JOIN ret.location AS p
            ON p.business_id = m.business_id AND p.location_id = m.location_id
        LEFT JOIN ret.stock_adjustment AS a
            ON a.business_id = m.business_id AND a.stock_adjustment_id = m.source_id
           AND m.source_kind = 'adjustment'
        WHERE m.business_id = tenant_mgmt.current_business_id()
          AND m.occurred_at >= since::timestamp AT TIME ZONE p.timezone
          AND m.occurred_at < until::timestamp AT TIME ZONE p.timezone
          AND (m.source_kind = 'count'
               OR a.reason IN ('damage', 'theft_known', 'theft_unknown', 'expired', 'found',
                               'data_error'))
        GROUP BY m.location_id, m.product_variant_id
    ), figure AS (
        SELECT d.location_id, d.product_variant_id, d.net_sales AS net, 0 AS units, 0 AS cost
        FROM ret.variant_sales_day AS d
        WHERE d.business_id = tenant_mgmt.current_business_id()
          AND d.business_date >= since AND d.business_date < until
        UNION ALL
        SELECT l.location_id, l.product_variant_id, 0, l.units, l.cost
        FROM lost AS l
    )
    SELECT n.location_id, n.category_id, n.net, n.cost, n.retail, k.pct, n.shrink_target_pct,
           k.pct > n.shrink_target_pct
    FROM (
        SELECT f.location_id, c.category_id, c.shrink_target_pct, sum(f.net) AS net,
               round(sum(f.cost), 2) AS cost, round(sum(f.units * v.list_price), 2) AS retail
        FROM figure AS f
        JOIN ret.product_variant AS v
            ON v.business_id = tenant_mgmt.current_business_id()
           AND v.product_variant_id = f.product_variant_id
        JOIN ret.product AS p
            ON p.business_id = v.business_id AND p.product_id = v.product_id
        JOIN ret.category AS c
            ON c.business_id = p.business_id AND c.category_id = p.main_category_id
        GROUP BY f.location_id, c.category_id, c.shrink_target_pct
    ) AS n
    CROSS JOIN LATERAL (
        SELECT round(n.retail * 100 / nullif(greatest(n.net, 0), 0), 4) AS pct
    ) AS k;
END;
COMMENT ON FUNCTION ret.shrink_by_category(date, date) IS
    'What counts and write-offs took from the tenant''s stock in a period, at retail against net
     sales, and whether that is more than the category may lose.';


CREATE FUNCTION ret.compute_affinity(
    since date, until date, least_pairs integer DEFAULT 3, moment timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   integer;
BEGIN
    PERFORM FROM ret.sales_channel AS c
    WHERE c.business_id = tenant
    ORDER BY c.sales_channel_id
    FOR NO KEY UPDATE;
    DELETE FROM ret.basket_affinity AS a
    WHERE a.business_id = tenant AND a.window_end = until;
    WITH item AS (
        SELECT n.sales_order_id, n.sales_channel_id, n.product_id,
               count(*) OVER (PARTITION BY n.product_id) AS held,
               count(*) OVER (PARTITION BY n.product_id, n.sales_channel_id) AS held_in_channel
        FROM (
            SELECT DISTINCT s.sales_order_id, s.sales_channel_id, v.product_id
            FROM ret.sold_lines(since, until) AS s
            JOIN ret.product_variant AS v
                ON v.business_id = tenant AND v.product_variant_id = s.product_variant_id
        ) AS n
    ), basket AS (
        SELECT i.sales_channel_id, count(*) OVER () AS baskets,
               count(*) OVER (PARTITION BY i.sales_channel_id) AS baskets_in_channel,
               array_agg(i.product_id ORDER BY i.product_id) AS products,
               array_agg(i.held ORDER BY i.product_id) AS held,
               array_agg(i.held_in_channel ORDER BY i.product_id) AS held_in_channel
        FROM item AS i
        GROUP BY i.sales_order_id, i.sales_channel_id
    ), pair AS (
        -- Baskets are small: pairs are made within each, no basket is joined with all others.
        SELECT b.sales_channel_id, l.product_id AS left_id, r.product_id AS right_id,
               count(*) AS both, max(b.baskets) AS baskets,
               max(b.baskets_in_channel) AS baskets_in_channel, max(l.held) AS left_held,
               max(r.held) AS right_held, max(l.held_in_channel) AS left_in_channel,
               max(r.held_in_channel) AS right_in_channel
        FROM basket AS b
        CROSS JOIN LATERAL unnest(b.products, b.held, b.held_in_channel) WITH ORDINALITY
            AS l (product_id, held, held_in_channel, place)
        JOIN LATERAL unnest(b.products, b.held, b.held_in_channel) WITH ORDINALITY
            AS r (product_id, held, held_in_channel, place) ON r.place > l.place
        GROUP BY GROUPING SETS ((b.sales_channel_id, l.product_id, r.product_id),
                                (l.product_id, r.product_id))
        HAVING count(*) >= least_pairs
    )
    INSERT INTO ret.basket_affinity
        (business_id, basket_affinity_id, left_product_id, right_product_id, sales_channel_id,
         window_start, window_end, basket_count, pair_count, confidence, lift, computed_at)
    SELECT tenant,
           md5(concat_ws(' ', 'affinity', p.left_id, p.right_id,
                         coalesce(p.sales_channel_id::text, 'all'), until))::uuid,
           p.left_id, p.right_id, p.sales_channel_id, since, until, k.baskets, p.both,
           round(p.both::numeric / least(k.left_held, k.right_held), 6),
           round(p.both::numeric * k.baskets / (k.left_held * k.right_held), 6), moment
    FROM pair AS p
    CROSS JOIN LATERAL (
        SELECT p.baskets, p.left_held, p.right_held
        WHERE p.sales_channel_id IS NULL
        UNION ALL
        SELECT p.baskets_in_channel, p.left_in_channel, p.right_in_channel
        WHERE p.sales_channel_id IS NOT NULL
    ) AS k (baskets, left_held, right_held);
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.compute_affinity(date, date, integer, timestamptz) IS
    'Which products the tenant''s customers bought together in a period, over all channels and by
     each, if at least so many baskets hold both. Returns how many pairs.';


CREATE FUNCTION ret.relate_products(window_end date, least_lift numeric DEFAULT 1.2,
                                    most integer DEFAULT 6) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   integer;
BEGIN
    UPDATE ret.product_relation AS r
    SET is_active = false
    WHERE r.business_id = tenant AND r.source = 'basket_affinity' AND r.is_active;
    INSERT INTO ret.product_relation AS t
        (business_id, product_relation_id, from_product_id, to_product_id, relation_kind, source,
         score, position_no)
    SELECT tenant, md5(concat_ws(' ', 'learned', n.from_id, n.to_id))::uuid, n.from_id, n.to_id,
           'cross_sell', 'basket_affinity', n.confidence, n.place
    FROM (
        SELECT p.from_id, p.to_id, p.confidence,
               row_number() OVER (PARTITION BY p.from_id
                                  ORDER BY p.lift DESC, p.confidence DESC, p.to_id) AS place
        FROM (
            SELECT d.from_id, d.to_id, a.confidence, a.lift
            FROM ret.basket_affinity AS a
            CROSS JOIN LATERAL (VALUES (a.left_product_id, a.right_product_id),
                                       (a.right_product_id, a.left_product_id))
                AS d (from_id, to_id)
            WHERE a.business_id = tenant AND a.sales_channel_id IS NULL
              AND a.window_end = relate_products.window_end AND a.lift >= least_lift
        ) AS p
        JOIN ret.product AS g
            ON g.business_id = tenant AND g.product_id = p.to_id AND g.status = 'active'
    ) AS n
    WHERE n.place <= most
    ON CONFLICT (business_id, from_product_id, to_product_id, relation_kind) DO UPDATE
    SET score = excluded.score, position_no = excluded.position_no, is_active = true
    WHERE t.source = 'basket_affinity';
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.relate_products(date, numeric, integer) IS
    'Turns the pairs of a window into cross-sells of the tenant''s shop, the strongest first; what
     is no longer bought together is shown no more, what a merchandiser chose is left alone.';


CREATE FUNCTION ret.refresh_plans(month date, moment timestamptz DEFAULT now()) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    changed integer;
BEGIN
    UPDATE ret.merchandise_plan AS p
    SET on_order_receipts = n.ordered,
        actual_sales = CASE WHEN month::timestamp AT TIME ZONE 'UTC' <= moment THEN n.sold END,
        actual_receipts = CASE WHEN month::timestamp AT TIME ZONE 'UTC' <= moment
                               THEN n.received END
    FROM (
        SELECT x.merchandise_plan_id, coalesce(o.value, 0) AS ordered,
               greatest(coalesce(s.value, 0), 0) AS sold, coalesce(r.value, 0) AS received
        FROM ret.merchandise_plan AS x
        JOIN ret.category AS top
            ON top.business_id = x.business_id AND top.category_id = x.category_id
        CROSS JOIN LATERAL (
            -- The goods of the category and of those below it.
            SELECT array_agg(v.product_variant_id) AS variants
            FROM ret.category AS c
            JOIN ret.product AS g
                ON g.business_id = c.business_id AND g.main_category_id = c.category_id
            JOIN ret.product_variant AS v
                ON v.business_id = g.business_id AND v.product_id = g.product_id
            WHERE c.business_id = x.business_id
              AND starts_with(c.path_text || ' > ', top.path_text || ' > ')
        ) AS a
        LEFT JOIN LATERAL (
            SELECT sum(round((l.ordered_qty - l.cancelled_qty) * v.list_price, 2)) AS value
            FROM ret.purchase_order AS h
            JOIN ret.purchase_order_line AS l
                ON l.business_id = h.business_id AND l.purchase_order_id = h.purchase_order_id
            JOIN ret.supplier_product AS q
                ON q.business_id = l.business_id AND q.supplier_product_id = l.supplier_product_id
               AND q.product_variant_id = ANY (a.variants)
            JOIN ret.product_variant AS v
                ON v.business_id = q.business_id AND v.product_variant_id = q.product_variant_id
            WHERE h.business_id = x.business_id
              AND h.state NOT IN ('draft', 'pending_approval', 'cancelled')
              AND (x.location_id IS NULL OR h.location_id = x.location_id)
              AND date_trunc('month', coalesce(h.ship_window_end::timestamp,
                                               h.ordered_at AT TIME ZONE 'UTC'))::date = month
        ) AS o ON true
        LEFT JOIN LATERAL (
            SELECT sum(d.net_sales) AS value
            FROM ret.variant_sales_day AS d
            WHERE d.business_id = x.business_id AND d.product_variant_id = ANY (a.variants)
              AND (x.location_id IS NULL OR d.location_id = x.location_id)
              AND d.business_date >= month
              AND d.business_date < (month + interval '1 month')::date
        ) AS s ON true
        LEFT JOIN LATERAL (
            SELECT sum(round(l.accepted_qty * v.list_price, 2)) AS value
            FROM ret.goods_receipt AS h
            JOIN ret.goods_receipt_line AS l
                ON l.business_id = h.business_id AND l.goods_receipt_id = h.goods_receipt_id
               AND l.product_variant_id = ANY (a.variants)
            JOIN ret.product_variant AS v
                ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
            WHERE h.business_id = x.business_id AND h.completed_at IS NOT NULL
              AND (x.location_id IS NULL OR h.location_id = x.location_id)
              AND date_trunc('month', h.completed_at AT TIME ZONE 'UTC')::date = month
        ) AS r ON true
        WHERE x.business_id = tenant AND x.plan_month = month
    ) AS n
    WHERE p.business_id = tenant AND p.merchandise_plan_id = n.merchandise_plan_id;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION ret.refresh_plans(date, timestamptz) IS
    'Writes beside the tenant''s plans of a month what is ordered for it and, once it has begun,
     what was sold and received: at retail, for a category with all below it.';


CREATE FUNCTION ret.web_funnel(since timestamptz, until timestamptz)
    RETURNS TABLE (
        sales_channel_id uuid,
        device_kind      text,
        sessions         bigint,
        viewed           bigint,
        carted           bigint,
        checked_out      bigint,
        bought           bigint,
        conversion_pct   numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT v.sales_channel_id, v.device_kind, count(*), count(*) FILTER (WHERE v.viewed),
           count(*) FILTER (WHERE v.carted), count(*) FILTER (WHERE v.checked_out),
           count(*) FILTER (WHERE v.bought),
           round(count(*) FILTER (WHERE v.bought) * 100.0 / count(*), 2)
    FROM (
        -- Somebody who buys has been through every step, whatever the browser told.
        SELECT e.sales_channel_id, e.session_key, min(e.device_kind) AS device_kind,
               bool_or(e.event_kind IN ('product_view', 'add_to_cart', 'begin_checkout',
                                        'purchase')) AS viewed,
               bool_or(e.event_kind IN ('add_to_cart', 'begin_checkout', 'purchase')) AS carted,
               bool_or(e.event_kind IN ('begin_checkout', 'purchase')) AS checked_out,
               bool_or(e.event_kind = 'purchase') AS bought
        FROM ret.web_event AS e
        WHERE e.business_id = tenant_mgmt.current_business_id()
          AND e.occurred_at >= since AND e.occurred_at < until
        GROUP BY e.sales_channel_id, e.session_key
    ) AS v
    GROUP BY v.sales_channel_id, v.device_kind;
END;
COMMENT ON FUNCTION ret.web_funnel(timestamptz, timestamptz) IS
    'How many visits of the tenant''s shop saw goods, filled a cart, began to pay and bought, by
     channel and device.';
