/*
 * Dashboards: what planners, buyers and managers look at. Materialized views are refreshed by the
 * role that owns them and read through views that show a tenant its own rows.
 */

CREATE VIEW ret.v_replenishment_worklist WITH (security_invoker = true) AS
SELECT s.business_id, s.location_id, s.replenishment_suggestion_id, s.run_at,
       s.product_variant_id, v.sku, v.title, v.abc_class, r.method, r.supplier_id,
       r.source_location_id, s.suggested_qty, s.stockout_risk_pct, s.days_cover_after,
       l.on_hand_qty, l.available_qty, l.incoming_qty, o.ordered_qty, o.next_on,
       f.weeks AS forecast_weeks, f.forecast_qty, f.high_qty, f.promotions, s.inputs_doc
FROM ret.replenishment_suggestion AS s
JOIN ret.replenishment_rule AS r
    ON r.business_id = s.business_id AND r.replenishment_rule_id = s.replenishment_rule_id
JOIN ret.product_variant AS v
    ON v.business_id = s.business_id AND v.product_variant_id = s.product_variant_id
LEFT JOIN LATERAL (
    SELECT sum(x.on_hand_qty) AS on_hand_qty, sum(x.available_qty) AS available_qty,
           sum(x.incoming_qty) AS incoming_qty
    FROM ret.stock_level AS x
    WHERE x.business_id = s.business_id AND x.location_id = s.location_id
      AND x.product_variant_id = s.product_variant_id
) AS l ON true
LEFT JOIN LATERAL (
    SELECT sum(y.ordered_qty - y.received_qty - y.cancelled_qty) AS ordered_qty,
           min(x.ship_window_end) AS next_on
    FROM ret.supplier_product AS z
    JOIN ret.purchase_order_line AS y
        ON y.business_id = z.business_id AND y.supplier_product_id = z.supplier_product_id
       AND y.received_qty + y.cancelled_qty < y.ordered_qty
    JOIN ret.purchase_order AS x
        ON x.business_id = y.business_id AND x.purchase_order_id = y.purchase_order_id
       AND x.location_id = s.location_id AND x.state IN ('sent', 'acknowledged', 'partly_received')
    WHERE z.business_id = s.business_id AND z.product_variant_id = s.product_variant_id
) AS o ON true
LEFT JOIN LATERAL (
    -- The newest forecast of each of the four weeks after the run.
    SELECT count(*) AS weeks, sum(w.forecast_qty) AS forecast_qty, sum(w.high_qty) AS high_qty,
           count(w.promotion_id) AS promotions
    FROM (
        SELECT DISTINCT ON (x.week_start) x.week_start, x.forecast_qty, x.high_qty,
               x.promotion_id
        FROM ret.demand_forecast AS x
        WHERE x.business_id = s.business_id AND x.location_id = s.location_id
          AND x.product_variant_id = s.product_variant_id
          AND x.week_start > (s.run_at AT TIME ZONE 'UTC')::date - 7
          AND x.week_start <= (s.run_at AT TIME ZONE 'UTC')::date + 21
        ORDER BY x.week_start, x.run_at DESC
    ) AS w
) AS f ON true
WHERE s.state = 'proposed';
COMMENT ON VIEW ret.v_replenishment_worklist IS
    'What is proposed and not decided: position, what is ordered and when it comes, and the
     forecast of four weeks beside the proposal.';
GRANT SELECT ON ret.v_replenishment_worklist TO app_user, app_readonly;


CREATE VIEW ret.v_forecast_driver WITH (security_invoker = true) AS
SELECT f.business_id, f.location_id, f.model_name, d.driver, count(*) AS forecasts,
       sum(d.effect_qty) AS effect_qty, round(avg(d.effect_qty), 4) AS mean_effect_qty,
       round(sum(abs(f.forecast_qty - f.actual_qty)) * 100 / nullif(sum(f.actual_qty), 0), 2)
           AS wape
FROM ret.demand_forecast AS f
CROSS JOIN JSON_TABLE(f.drivers_doc, '$[*]' COLUMNS (
    driver     text    PATH '$.driver',
    effect_qty numeric PATH '$.effect_qty'
)) AS d
GROUP BY f.business_id, f.location_id, f.model_name, d.driver;
COMMENT ON VIEW ret.v_forecast_driver IS
    'What the forecasts of a place were built on, and how far off they were with it.';
GRANT SELECT ON ret.v_forecast_driver TO app_user, app_readonly;


CREATE VIEW ret.v_facet_use WITH (security_invoker = true) AS
SELECT e.business_id, e.sales_channel_id, date_trunc('week', e.occurred_at, 'UTC')::date
           AS week_start,
       f.facet, f.value, count(*) AS uses, count(DISTINCT e.session_key) AS sessions
FROM ret.web_event AS e
CROSS JOIN JSON_TABLE(e.payload, '$.facets[*]' COLUMNS (
    facet text PATH '$.facet',
    value text PATH '$.value'
)) AS f
WHERE e.event_kind = 'filter'
GROUP BY e.business_id, e.sales_channel_id, date_trunc('week', e.occurred_at, 'UTC')::date,
         f.facet, f.value;
COMMENT ON VIEW ret.v_facet_use IS
    'Which facets shoppers narrow lists by, week by week: what belongs on top of the page.';
GRANT SELECT ON ret.v_facet_use TO app_user, app_readonly;


CREATE MATERIALIZED VIEW ret.mv_category_week AS
SELECT n.business_id, n.category_id, n.location_id, n.week_start, n.net_sales,
       n.net_sales - n.cost AS margin,
       round((n.net_sales - n.cost) * 100 / nullif(n.net_sales, 0), 2) AS margin_pct,
       n.units_sold, n.markdown, n.stockout_hours, n.lost_units, n.stock_value,
       -- Times a year that the stock is sold, at this week's pace.
       round(n.cost * 52 / nullif(n.stock_value, 0), 2) AS stock_turn,
       round(n.units_sold * 100 / nullif(n.units_sold + n.on_hand, 0), 2) AS sell_through_pct
FROM (
    SELECT x.business_id, p.main_category_id AS category_id, x.location_id, x.week_start,
           sum(x.net_sales) AS net_sales, sum(x.cost) AS cost, sum(x.units_sold) AS units_sold,
           sum(x.markdown) AS markdown, sum(x.stockout_hours) AS stockout_hours,
           sum(x.lost_units) AS lost_units, sum(x.stock_value) AS stock_value,
           sum(x.on_hand) AS on_hand
    FROM (
        SELECT d.business_id, d.location_id, d.product_variant_id,
               date_trunc('week', d.business_date::timestamp)::date AS week_start, d.net_sales,
               d.cost_of_goods AS cost, d.units_sold, d.markdown_amount AS markdown,
               d.hours_out_of_stock AS stockout_hours, d.lost_units_estimate AS lost_units,
               0 AS stock_value, 0 AS on_hand
        FROM ret.variant_sales_day AS d
        UNION ALL
        -- The last snapshot of the week is its closing stock.
        SELECT s.business_id, s.location_id, s.product_variant_id, l.week_start, 0, 0, 0, 0, 0, 0,
               s.stock_value, s.on_hand_qty
        FROM ret.inventory_day_snapshot AS s
        JOIN (
            SELECT i.business_id, max(i.snapshot_date) AS last_on,
                   date_trunc('week', i.snapshot_date::timestamp)::date AS week_start
            FROM ret.inventory_day_snapshot AS i
            GROUP BY i.business_id, date_trunc('week', i.snapshot_date::timestamp)::date
        ) AS l ON l.business_id = s.business_id AND l.last_on = s.snapshot_date
    ) AS x
    JOIN ret.product_variant AS v
        ON v.business_id = x.business_id AND v.product_variant_id = x.product_variant_id
    JOIN ret.product AS p ON p.business_id = v.business_id AND p.product_id = v.product_id
    GROUP BY x.business_id, p.main_category_id, x.location_id, x.week_start
) AS n
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW ret.mv_category_week IS
    'A category''s week at a place: sales, margin, markdown, stock-outs, turn and sell-through.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_category_week_idx
    ON ret.mv_category_week (business_id, category_id, location_id, week_start);

-- category_dashboard: the last weeks of a tenant.
CREATE INDEX mv_category_week_newest_idx
    ON ret.mv_category_week (business_id, week_start DESC);

CREATE VIEW ret.v_category_week WITH (security_barrier = true) AS
SELECT m.business_id, m.category_id, m.location_id, m.week_start, m.net_sales, m.margin,
       m.margin_pct, m.units_sold, m.markdown, m.stockout_hours, m.lost_units, m.stock_value,
       m.stock_turn, m.sell_through_pct
FROM ret.mv_category_week AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW ret.v_category_week IS 'The tenant''s own part of mv_category_week.';
GRANT SELECT ON ret.v_category_week TO app_user, app_readonly;


CREATE MATERIALIZED VIEW ret.mv_customer_cohort AS
SELECT b.business_id, b.cohort_month, b.months_since, s.customers, b.active_customers, b.orders,
       b.revenue, round(b.active_customers * 100.0 / s.customers, 2) AS retention_pct
FROM (
    SELECT o.business_id, f.cohort_month,
           ((extract(year FROM o.month) - extract(year FROM f.cohort_month)) * 12
            + extract(month FROM o.month) - extract(month FROM f.cohort_month))::integer
               AS months_since,
           count(DISTINCT o.customer_id) AS active_customers, count(*) AS orders,
           sum(o.net) AS revenue
    FROM (
        SELECT i.business_id, i.customer_id, i.subtotal - i.discount_total AS net,
               date_trunc('month', i.placed_at, 'UTC')::date AS month
        FROM ret.sales_order AS i
        WHERE i.customer_id IS NOT NULL AND i.state NOT IN ('pending', 'cancelled')
    ) AS o
    JOIN (
        SELECT i.business_id, i.customer_id,
               date_trunc('month', min(i.placed_at), 'UTC')::date AS cohort_month
        FROM ret.sales_order AS i
        WHERE i.customer_id IS NOT NULL AND i.state NOT IN ('pending', 'cancelled')
        GROUP BY i.business_id, i.customer_id
    ) AS f ON f.business_id = o.business_id AND f.customer_id = o.customer_id
    GROUP BY o.business_id, f.cohort_month, o.month
) AS b
JOIN (
    SELECT i.business_id, i.cohort_month, count(*) AS customers
    FROM (
        SELECT x.business_id, x.customer_id,
               date_trunc('month', min(x.placed_at), 'UTC')::date AS cohort_month
        FROM ret.sales_order AS x
        WHERE x.customer_id IS NOT NULL AND x.state NOT IN ('pending', 'cancelled')
        GROUP BY x.business_id, x.customer_id
    ) AS i
    GROUP BY i.business_id, i.cohort_month
) AS s ON s.business_id = b.business_id AND s.cohort_month = b.cohort_month
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW ret.mv_customer_cohort IS
    'Customers by the month of their first order: how many of them buy again, month by month.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_customer_cohort_idx
    ON ret.mv_customer_cohort (business_id, cohort_month, months_since);

CREATE VIEW ret.v_customer_cohort WITH (security_barrier = true) AS
SELECT m.business_id, m.cohort_month, m.months_since, m.customers, m.active_customers, m.orders,
       m.revenue, m.retention_pct
FROM ret.mv_customer_cohort AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW ret.v_customer_cohort IS 'The tenant''s own part of mv_customer_cohort.';
GRANT SELECT ON ret.v_customer_cohort TO app_user, app_readonly;


CREATE MATERIALIZED VIEW ret.mv_channel_search_terms AS
SELECT s.business_id, s.sales_channel_id, s.week_start, s.search_term,
       sum(s.searches)::bigint AS searches, count(*) AS sessions,
       sum(s.zero_searches)::bigint AS zero_searches,
       round(sum(s.results)::numeric / sum(s.searches), 2) AS mean_results,
       round(count(*) FILTER (WHERE k.carted_at >= s.first_at) * 100.0 / count(*), 2)
           AS add_to_cart_pct,
       round(count(*) FILTER (WHERE k.bought_at >= s.first_at) * 100.0 / count(*), 2)
           AS conversion_pct
FROM (
    SELECT e.business_id, e.sales_channel_id, e.session_key, e.search_term,
           date_trunc('week', e.occurred_at, 'UTC')::date AS week_start,
           min(e.occurred_at) AS first_at, count(*) AS searches, sum(e.result_count) AS results,
           count(*) FILTER (WHERE e.result_count = 0) AS zero_searches
    FROM ret.web_event AS e
    WHERE e.event_kind = 'search'
    GROUP BY e.business_id, e.sales_channel_id, e.session_key, e.search_term,
             date_trunc('week', e.occurred_at, 'UTC')::date
) AS s
LEFT JOIN (
    SELECT e.business_id, e.session_key,
           max(e.occurred_at) FILTER (WHERE e.event_kind = 'add_to_cart') AS carted_at,
           max(e.occurred_at) FILTER (WHERE e.event_kind = 'purchase') AS bought_at
    FROM ret.web_event AS e
    WHERE e.event_kind IN ('add_to_cart', 'purchase')
    GROUP BY e.business_id, e.session_key
) AS k ON k.business_id = s.business_id AND k.session_key = s.session_key
GROUP BY s.business_id, s.sales_channel_id, s.week_start, s.search_term
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW ret.mv_channel_search_terms IS
    'What shoppers looked for in a week, what was found, and whether the visit ended in a cart or
     a purchase; terms with zero_searches are wishes that are not served.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_channel_search_terms_idx
    ON ret.mv_channel_search_terms (business_id, sales_channel_id, week_start, search_term);

-- search_term_dashboard: what was looked for in a week.
CREATE INDEX mv_channel_search_terms_week_idx
    ON ret.mv_channel_search_terms (business_id, week_start);

CREATE VIEW ret.v_channel_search_terms WITH (security_barrier = true) AS
SELECT m.business_id, m.sales_channel_id, m.week_start, m.search_term, m.searches, m.sessions,
       m.zero_searches, m.mean_results, m.add_to_cart_pct, m.conversion_pct
FROM ret.mv_channel_search_terms AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW ret.v_channel_search_terms IS 'The tenant''s own part of mv_channel_search_terms.';
GRANT SELECT ON ret.v_channel_search_terms TO app_user, app_readonly;

GRANT USAGE ON SCHEMA ret, tenant_mgmt TO matview_owner;
GRANT SELECT ON ret.variant_sales_day, ret.inventory_day_snapshot, ret.product_variant,
    ret.product, ret.sales_order, ret.web_event TO matview_owner;
