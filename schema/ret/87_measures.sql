/*
 * Measures: what was sold, what ran out and what lies there, day by day, from the books; and the
 * proofs that it agrees with them.
 *
 * ret.sold_lines() and ret.returned_lines() say what a sale and a return are: whose day, place and
 * channel they count for, without tax, without what was called off. Every figure of sales is a sum
 * over them. A period runs from `since` to the day before `until`; a day is the day of the place.
 * Every night summarize_sales, summarize_variants and snapshot_inventory run for the day before.
 */

CREATE FUNCTION ret.place_of_order(sales_order uuid, sold_location uuid) RETURNS uuid
    LANGUAGE sql STABLE
    RETURN coalesce(
        sold_location,
        (SELECT f.location_id
         FROM ret.fulfilment_order AS f
         WHERE f.business_id = tenant_mgmt.current_business_id()
           AND f.sales_order_id = place_of_order.sales_order
         ORDER BY f.fulfilment_number
         LIMIT 1),
        (SELECT l.location_id
         FROM ret.location AS l
         WHERE l.business_id = tenant_mgmt.current_business_id()
         ORDER BY l.location_kind <> 'warehouse', l.opened_on, l.location_code
         LIMIT 1));
COMMENT ON FUNCTION ret.place_of_order(uuid, uuid) IS
    'The place that an order counts for: the store that sold it, else the first that was asked to
     ship it, else the oldest warehouse.';


CREATE FUNCTION ret.sold_lines(since date, until date)
    RETURNS TABLE (
        sales_order_id     uuid,
        sales_channel_id   uuid,
        location_id        uuid,
        business_date      date,
        product_variant_id uuid,
        units              numeric,
        promo_units        numeric,
        gross              numeric,
        discounts          numeric,
        markdown           numeric,
        taxes              numeric,
        cost               numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH sale AS (
        SELECT o.sales_order_id, o.sales_channel_id, o.placed_at,
               ret.place_of_order(o.sales_order_id, o.sold_location_id) AS location_id
        FROM ret.sales_order AS o
        WHERE o.business_id = tenant_mgmt.current_business_id()
          AND o.state NOT IN ('pending', 'cancelled')
          AND o.placed_at >= (since - 1)::timestamp AT TIME ZONE 'UTC'
          AND o.placed_at < (until + 1)::timestamp AT TIME ZONE 'UTC'
    ), dated AS (
        -- Every sale has a place: looked up, not joined, so that the planner counts on all of them.
        SELECT s.sales_order_id, s.sales_channel_id, s.location_id,
               (s.placed_at AT TIME ZONE (
                   SELECT p.timezone FROM ret.location AS p
                   WHERE p.business_id = tenant_mgmt.current_business_id()
                     AND p.location_id = s.location_id))::date AS business_date
        FROM sale AS s
    ), tax AS (
        SELECT t.sales_order_line_id, sum(t.tax_amount) AS whole,
               sum(t.tax_amount) FILTER (WHERE t.is_inclusive) AS inside
        FROM dated AS d
        JOIN ret.order_tax_line AS t
            ON t.business_id = tenant_mgmt.current_business_id()
           AND t.sales_order_id = d.sales_order_id AND t.sales_order_line_id IS NOT NULL
        GROUP BY t.sales_order_line_id
    )
    SELECT d.sales_order_id, d.sales_channel_id, d.location_id, d.business_date,
           l.product_variant_id, k.units, CASE WHEN l.discount_amount > 0 THEN k.units ELSE 0 END,
           m.gross, m.gross - m.net,
           CASE WHEN l.price_source = 'markdown'
                THEN round(k.units * greatest(l.list_price - l.unit_price, 0), 2) ELSE 0 END,
           round(coalesce(t.whole, 0) * k.units / l.quantity, 2), round(k.units * l.unit_cost, 2)
    FROM dated AS d
    JOIN ret.sales_order_line AS l
        ON l.business_id = tenant_mgmt.current_business_id()
       AND l.sales_order_id = d.sales_order_id AND l.quantity > l.cancelled_qty
    LEFT JOIN tax AS t ON t.sales_order_line_id = l.sales_order_line_id
    CROSS JOIN LATERAL (SELECT l.quantity - l.cancelled_qty AS units) AS k
    -- Tax that is in the price is in the discount, too: both lose the same share.
    CROSS JOIN LATERAL (
        SELECT round((l.line_total - coalesce(t.inside, 0)) * k.units / l.quantity, 2) AS net,
               round(l.quantity * l.unit_price
                     * CASE WHEN l.line_total > 0
                            THEN 1 - coalesce(t.inside, 0) / l.line_total ELSE 1 END
                     * k.units / l.quantity, 2) AS gross
    ) AS m
    WHERE d.business_date >= since AND d.business_date < until
      -- A bundle is at price 0; its components are the goods.
      AND NOT EXISTS (SELECT FROM ret.sales_order_line AS c
                      WHERE c.business_id = l.business_id
                        AND c.bundle_parent_line_id = l.sales_order_line_id);
END;
COMMENT ON FUNCTION ret.sold_lines(date, date) IS
    'What the tenant sold in a period, line by line: units that were not called off, money without
     tax, what they cost. An order counts from when it was placed and is not pending.';


CREATE FUNCTION ret.returned_lines(since date, until date)
    RETURNS TABLE (
        sales_order_id     uuid,
        sales_channel_id   uuid,
        location_id        uuid,
        business_date      date,
        product_variant_id uuid,
        units              numeric,
        value              numeric,
        cost               numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH back AS (
        SELECT a.return_authorisation_id, a.completed_at, o.sales_order_id, o.sales_channel_id,
               coalesce(a.return_location_id,
                        ret.place_of_order(o.sales_order_id, o.sold_location_id)) AS location_id
        FROM ret.return_authorisation AS a
        JOIN ret.sales_order AS o
            ON o.business_id = a.business_id AND o.sales_order_id = a.sales_order_id
        WHERE a.business_id = tenant_mgmt.current_business_id() AND a.state = 'completed'
          AND a.completed_at >= (since - 1)::timestamp AT TIME ZONE 'UTC'
          AND a.completed_at < (until + 1)::timestamp AT TIME ZONE 'UTC'
    )
    SELECT b.sales_order_id, b.sales_channel_id, b.location_id, d.business_date,
           l.product_variant_id, r.quantity, round(r.quantity * r.unit_refund, 2),
           CASE WHEN EXISTS (SELECT FROM ret.return_inspection AS i
                             WHERE i.business_id = r.business_id
                               AND i.return_line_id = r.return_line_id
                               AND i.disposition = 'restock')
                THEN round(r.quantity * l.unit_cost, 2) ELSE 0 END
    FROM back AS b
    CROSS JOIN LATERAL (
        SELECT (b.completed_at AT TIME ZONE (
            SELECT p.timezone FROM ret.location AS p
            WHERE p.business_id = tenant_mgmt.current_business_id()
              AND p.location_id = b.location_id))::date AS business_date
    ) AS d
    JOIN ret.return_line AS r
        ON r.business_id = tenant_mgmt.current_business_id()
       AND r.return_authorisation_id = b.return_authorisation_id
       AND r.acceptance = 'accepted' AND r.reception = 'received'
    JOIN ret.sales_order_line AS l
        ON l.business_id = tenant_mgmt.current_business_id()
       AND l.sales_order_line_id = r.sales_order_line_id
    WHERE d.business_date >= since AND d.business_date < until;
END;
COMMENT ON FUNCTION ret.returned_lines(date, date) IS
    'What came back to the tenant in a period, on the day the return was completed: units, what
     was given back for the goods, and the cost of those that can be sold again.';


CREATE FUNCTION ret.door_counts(since date, until date)
    RETURNS TABLE (location_id uuid, business_date date, people bigint)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT t.location_id, d.business_date, sum(t.entries)
    FROM ret.store_traffic_count AS t
    JOIN ret.location AS p
        ON p.business_id = t.business_id AND p.location_id = t.location_id
    CROSS JOIN LATERAL (
        SELECT (t.counted_at AT TIME ZONE p.timezone)::date AS business_date
    ) AS d
    WHERE t.business_id = tenant_mgmt.current_business_id()
      AND t.counted_at >= (since - 1)::timestamp AT TIME ZONE 'UTC'
      AND t.counted_at < (until + 1)::timestamp AT TIME ZONE 'UTC'
      AND d.business_date >= since AND d.business_date < until
    GROUP BY t.location_id, d.business_date;
END;
COMMENT ON FUNCTION ret.door_counts(date, date) IS
    'How many people came through the doors of the tenant''s stores, by day.';


CREATE FUNCTION ret.sales_figures(since date, until date)
    RETURNS TABLE (
        location_id      uuid,
        sales_channel_id uuid,
        business_date    date,
        gross            numeric,
        discounts        numeric,
        returned         numeric,
        cost             numeric,
        taxes            numeric,
        orders           bigint,
        units            numeric,
        people           numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT n.location_id, n.sales_channel_id, n.business_date, sum(n.gross), sum(n.discounts),
           sum(n.returned), sum(n.cost), sum(n.taxes), count(DISTINCT n.sales_order_id),
           sum(n.units), sum(n.people)
    FROM (
        SELECT s.location_id, s.sales_channel_id, s.business_date, s.sales_order_id, s.gross,
               s.discounts, 0 AS returned, s.cost, s.taxes, s.units, 0 AS people
        FROM ret.sold_lines(since, until) AS s
        UNION ALL
        SELECT r.location_id, r.sales_channel_id, r.business_date, NULL, 0, 0, r.value, -r.cost,
               0, 0, 0
        FROM ret.returned_lines(since, until) AS r
        UNION ALL
        -- People at the door are people of the tills.
        SELECT d.location_id, h.sales_channel_id, d.business_date, NULL, 0, 0, 0, 0, 0, 0,
               d.people
        FROM ret.door_counts(since, until) AS d
        CROSS JOIN LATERAL (
            SELECT c.sales_channel_id
            FROM ret.sales_channel AS c
            WHERE c.business_id = tenant_mgmt.current_business_id() AND c.channel_kind = 'store'
            ORDER BY NOT c.is_active, c.channel_code
            LIMIT 1
        ) AS h
    ) AS n
    GROUP BY n.location_id, n.sales_channel_id, n.business_date;
END;
COMMENT ON FUNCTION ret.sales_figures(date, date) IS
    'What the tenant''s books say of each place, channel and day of a period.';


CREATE FUNCTION ret.summarize_sales(
    since date, until date, moment timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   integer;
BEGIN
    -- Two who summarize follow each other.
    PERFORM FROM ret.location AS l
    WHERE l.business_id = tenant
    ORDER BY l.location_id
    FOR NO KEY UPDATE;
    DELETE FROM ret.sales_day_summary AS s
    WHERE s.business_id = tenant AND s.business_date >= since AND s.business_date < until;
    INSERT INTO ret.sales_day_summary
        (business_id, sales_day_summary_id, location_id, sales_channel_id, business_date,
         gross_sales, discount_total, returns_total, cost_of_goods, tax_total, order_count,
         units_sold, traffic_count, comparable_net_sales, computed_at)
    SELECT tenant,
           md5(concat_ws(' ', 'sales day', f.location_id, f.sales_channel_id,
                         f.business_date))::uuid,
           f.location_id, f.sales_channel_id, f.business_date, f.gross, f.discounts, f.returned,
           f.cost, f.taxes, f.orders, f.units, f.people, p.net_sales, moment
    FROM ret.sales_figures(since, until) AS f
    LEFT JOIN ret.sales_day_summary AS p
        ON p.business_id = tenant AND p.location_id = f.location_id
       AND p.sales_channel_id = f.sales_channel_id AND p.business_date = f.business_date - 364;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.summarize_sales(date, date, timestamptz) IS
    'Writes the days of a period anew, by place and channel, for the current tenant; returns how
     many rows. The same books give the same rows, with the same keys.';


CREATE FUNCTION ret.stockout_hours(
    since date, until date, moment timestamptz DEFAULT now()
) RETURNS TABLE (
        location_id        uuid,
        product_variant_id uuid,
        business_date      date,
        hours              numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH step AS (
        SELECT m.location_id, m.product_variant_id, m.occurred_at AS begins_at,
               lead(m.occurred_at, 1, moment) OVER w AS ends_at,
               sum(m.quantity * ((m.to_state = 'available')::integer
                                 - (m.from_state = 'available')::integer)) OVER w AS sellable
        FROM ret.stock_movement AS m
        JOIN ret.product_variant AS v
            ON v.business_id = m.business_id AND v.product_variant_id = m.product_variant_id
           AND v.status = 'active'
        WHERE m.business_id = tenant_mgmt.current_business_id() AND m.occurred_at < moment
        WINDOW w AS (PARTITION BY m.location_id, m.product_variant_id
                     ORDER BY m.occurred_at, m.ledger_no, m.stock_movement_id)
    ), day AS (
        SELECT l.location_id, since + n AS business_date,
               (since + n)::timestamp AT TIME ZONE l.timezone AS begins_at,
               (since + n + 1)::timestamp AT TIME ZONE l.timezone AS ends_at
        FROM ret.location AS l
        CROSS JOIN generate_series(0, until - since - 1) AS n
        WHERE l.business_id = tenant_mgmt.current_business_id()
    )
    SELECT d.location_id, s.product_variant_id, d.business_date,
           least(round(sum(extract(epoch FROM least(s.ends_at, d.ends_at)
                                              - greatest(s.begins_at, d.begins_at))) / 3600, 2),
                 24)
    FROM step AS s
    JOIN day AS d
        ON d.location_id = s.location_id AND d.begins_at < s.ends_at AND d.ends_at > s.begins_at
    WHERE s.sellable <= 0
    GROUP BY d.location_id, s.product_variant_id, d.business_date
    HAVING round(sum(extract(epoch FROM least(s.ends_at, d.ends_at)
                                        - greatest(s.begins_at, d.begins_at))) / 3600, 2) > 0;
END;
COMMENT ON FUNCTION ret.stockout_hours(date, date, timestamptz) IS
    'How long on a day nothing of a variant could be sold at a place of the tenant that has had it
     before: the ledger''s available quantity was at or below zero.';


CREATE FUNCTION ret.variant_figures(
    since date, until date, moment timestamptz DEFAULT now()
) RETURNS TABLE (
        location_id        uuid,
        product_variant_id uuid,
        business_date      date,
        units              numeric,
        returned_units     numeric,
        gross              numeric,
        discounts          numeric,
        returned           numeric,
        cost               numeric,
        markdown           numeric,
        promo_units        numeric,
        hours              numeric,
        lost_units         numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH sold AS MATERIALIZED (
        SELECT s.location_id, s.product_variant_id, s.business_date, sum(s.units) AS units,
               sum(s.promo_units) AS promo_units, sum(s.gross) AS gross,
               sum(s.discounts) AS discounts, sum(s.markdown) AS markdown, sum(s.cost) AS cost
        FROM ret.sold_lines(since - 28, until) AS s
        GROUP BY s.location_id, s.product_variant_id, s.business_date
    ), dry AS (
        -- What nobody asks for loses nothing.
        SELECT h.location_id, h.product_variant_id, h.business_date, h.hours,
               round(sum(s.units) / 28 * h.hours / 24, 4) AS lost_units
        FROM ret.stockout_hours(since, until, moment) AS h
        JOIN sold AS s
            ON s.location_id = h.location_id AND s.product_variant_id = h.product_variant_id
           AND s.business_date BETWEEN h.business_date - 28 AND h.business_date - 1
        GROUP BY h.location_id, h.product_variant_id, h.business_date, h.hours
    )
    SELECT n.location_id, n.product_variant_id, n.business_date, sum(n.units),
           sum(n.returned_units), sum(n.gross), sum(n.discounts), sum(n.returned), sum(n.cost),
           sum(n.markdown), sum(n.promo_units), sum(n.hours), sum(n.lost_units)
    FROM (
        SELECT s.location_id, s.product_variant_id, s.business_date, s.units,
               0 AS returned_units, s.gross, s.discounts, 0 AS returned, s.cost, s.markdown,
               s.promo_units, 0 AS hours, 0 AS lost_units
        FROM sold AS s
        WHERE s.business_date >= since
        UNION ALL
        SELECT r.location_id, r.product_variant_id, r.business_date, 0, r.units, 0, 0, r.value,
               -r.cost, 0, 0, 0, 0
        FROM ret.returned_lines(since, until) AS r
        UNION ALL
        SELECT d.location_id, d.product_variant_id, d.business_date, 0, 0, 0, 0, 0, 0, 0, 0,
               d.hours, d.lost_units
        FROM dry AS d
    ) AS n
    GROUP BY n.location_id, n.product_variant_id, n.business_date;
END;
COMMENT ON FUNCTION ret.variant_figures(date, date, timestamptz) IS
    'What the tenant''s books say of each place, variant and day of a period. Lost units are the
     demand of the four weeks before, for the hours in which there was nothing to sell.';


CREATE FUNCTION ret.summarize_variants(
    since date, until date, moment timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   integer;
BEGIN
    PERFORM FROM ret.location AS l
    WHERE l.business_id = tenant
    ORDER BY l.location_id
    FOR NO KEY UPDATE;
    DELETE FROM ret.variant_sales_day AS s
    WHERE s.business_id = tenant AND s.business_date >= since AND s.business_date < until;
    INSERT INTO ret.variant_sales_day
        (business_id, variant_sales_day_id, location_id, product_variant_id, business_date,
         units_sold, units_returned, gross_sales, discount_amount, net_sales, cost_of_goods,
         markdown_amount, promo_units, hours_out_of_stock, lost_units_estimate, computed_at)
    SELECT tenant,
           md5(concat_ws(' ', 'variant day', f.location_id, f.product_variant_id,
                         f.business_date))::uuid,
           f.location_id, f.product_variant_id, f.business_date, f.units, f.returned_units,
           f.gross, f.discounts, f.gross - f.discounts - f.returned, f.cost, f.markdown,
           f.promo_units, f.hours, f.lost_units, moment
    FROM ret.variant_figures(since, until, moment) AS f;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.summarize_variants(date, date, timestamptz) IS
    'Writes the days of a period anew, by place and variant, for the current tenant; returns how
     many rows.';


CREATE FUNCTION ret.sales_summary_differences(since date, until date)
    RETURNS TABLE (location_id uuid, business_date date, figure text, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH found AS (
        SELECT f.location_id, f.business_date, sum(f.gross) AS gross, sum(f.discounts) AS discounts,
               sum(f.returned) AS returned, sum(f.cost) AS cost, sum(f.taxes) AS taxes,
               sum(f.orders) AS orders, sum(f.units) AS units, sum(f.people) AS people
        FROM ret.sales_figures(since, until) AS f
        GROUP BY f.location_id, f.business_date
    ), said AS (
        SELECT s.location_id, s.business_date, sum(s.gross_sales) AS gross,
               sum(s.discount_total) AS discounts, sum(s.returns_total) AS returned,
               sum(s.cost_of_goods) AS cost, sum(s.tax_total) AS taxes,
               sum(s.order_count) AS orders, sum(s.units_sold) AS units,
               sum(s.traffic_count) AS people
        FROM ret.sales_day_summary AS s
        WHERE s.business_id = tenant_mgmt.current_business_id()
          AND s.business_date >= since AND s.business_date < until
        GROUP BY s.location_id, s.business_date
    ), mix AS (
        SELECT v.location_id, v.business_date, sum(v.gross_sales) AS gross,
               sum(v.net_sales) AS net, sum(v.units_sold) AS units
        FROM ret.variant_sales_day AS v
        WHERE v.business_id = tenant_mgmt.current_business_id()
          AND v.business_date >= since AND v.business_date < until
        GROUP BY v.location_id, v.business_date
    )
    SELECT k.location_id, k.business_date, v.figure, coalesce(v.said, 0), coalesce(v.found, 0)
    FROM (SELECT location_id, business_date FROM found
          UNION SELECT location_id, business_date FROM said
          UNION SELECT location_id, business_date FROM mix) AS k
    LEFT JOIN found AS f
        ON f.location_id = k.location_id AND f.business_date = k.business_date
    LEFT JOIN said AS s
        ON s.location_id = k.location_id AND s.business_date = k.business_date
    LEFT JOIN mix AS m
        ON m.location_id = k.location_id AND m.business_date = k.business_date
    CROSS JOIN LATERAL (VALUES
        ('gross_sales', s.gross, f.gross), ('discount_total', s.discounts, f.discounts),
        ('returns_total', s.returned, f.returned), ('cost_of_goods', s.cost, f.cost),
        ('tax_total', s.taxes, f.taxes), ('order_count', s.orders, f.orders),
        ('units_sold', s.units, f.units), ('traffic_count', s.people, f.people),
        ('variant gross_sales', m.gross, f.gross),
        ('variant net_sales', m.net, f.gross - f.discounts - f.returned),
        ('variant units_sold', m.units, f.units)) AS v (figure, said, found)
    WHERE coalesce(v.said, 0) <> coalesce(v.found, 0);
END;
COMMENT ON FUNCTION ret.sales_summary_differences(date, date) IS
    'Names every place and day of a period on which a summary of the tenant does not say what its
     orders, returns and door counts say: summarize it anew.';


CREATE FUNCTION ret.stockout_causes(since date, until date)
    RETURNS TABLE (
        location_id        uuid,
        product_variant_id uuid,
        first_on           date,
        days               bigint,
        hours              numeric,
        lost_units         numeric,
        lost_sales         numeric,
        cause              text
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH spell AS (
        SELECT d.location_id, d.product_variant_id, min(d.business_date) AS first_on,
               count(*) AS days, sum(d.hours_out_of_stock) AS hours,
               sum(d.lost_units_estimate) AS lost_units
        FROM ret.variant_sales_day AS d
        WHERE d.business_id = tenant_mgmt.current_business_id() AND d.hours_out_of_stock > 0
          AND d.business_date >= since AND d.business_date < until
        GROUP BY d.location_id, d.product_variant_id
    )
    SELECT s.location_id, s.product_variant_id, s.first_on, s.days, s.hours, s.lost_units,
           round(s.lost_units * v.list_price, 2),
           CASE
               WHEN m.counted_away THEN 'stock_was_not_there'
               WHEN o.is_late THEN 'supplier_is_late'
               WHEN t.on_the_way OR o.on_the_way THEN 'ordered_too_late'
               WHEN f.beaten THEN 'demand_above_forecast'
               WHEN r.replenishment_rule_id IS NULL THEN 'no_rule'
               ELSE 'not_reordered' END
    FROM spell AS s
    JOIN ret.product_variant AS v
        ON v.business_id = tenant_mgmt.current_business_id()
       AND v.product_variant_id = s.product_variant_id
    LEFT JOIN ret.replenishment_rule AS r
        ON r.business_id = tenant_mgmt.current_business_id() AND r.location_id = s.location_id
       AND r.product_variant_id = s.product_variant_id AND r.is_active
    CROSS JOIN LATERAL (
        SELECT count(*) > 0 AS counted_away
        FROM ret.stock_movement AS x
        WHERE x.business_id = tenant_mgmt.current_business_id() AND x.location_id = s.location_id
          AND x.product_variant_id = s.product_variant_id AND x.movement_kind = 'count'
          AND x.to_state = 'none'
          AND x.occurred_at >= (s.first_on - 7)::timestamp AT TIME ZONE 'UTC'
          AND x.occurred_at < (s.first_on + 2)::timestamp AT TIME ZONE 'UTC'
    ) AS m
    CROSS JOIN LATERAL (
        SELECT count(*) > 0 AS on_the_way,
               count(*) FILTER (WHERE x.ship_window_end < s.first_on) > 0 AS is_late
        FROM ret.purchase_order AS x
        JOIN ret.purchase_order_line AS y
            ON y.business_id = x.business_id AND y.purchase_order_id = x.purchase_order_id
           AND y.received_qty + y.cancelled_qty < y.ordered_qty
        JOIN ret.supplier_product AS z
            ON z.business_id = y.business_id AND z.supplier_product_id = y.supplier_product_id
           AND z.product_variant_id = s.product_variant_id
        WHERE x.business_id = tenant_mgmt.current_business_id() AND x.location_id = s.location_id
          AND x.state IN ('sent', 'acknowledged', 'partly_received')
    ) AS o
    CROSS JOIN LATERAL (
        SELECT count(*) > 0 AS on_the_way
        FROM ret.stock_transfer AS x
        JOIN ret.stock_transfer_line AS y
            ON y.business_id = x.business_id AND y.stock_transfer_id = x.stock_transfer_id
           AND y.product_variant_id = s.product_variant_id
        WHERE x.business_id = tenant_mgmt.current_business_id()
          AND x.to_location_id = s.location_id AND x.state IN ('in_transit', 'partly_received')
    ) AS t
    CROSS JOIN LATERAL (
        SELECT count(*) > 0 AS beaten
        FROM ret.demand_forecast AS x
        WHERE x.business_id = tenant_mgmt.current_business_id() AND x.location_id = s.location_id
          AND x.product_variant_id = s.product_variant_id
          AND x.week_start BETWEEN s.first_on - 13 AND s.first_on AND x.actual_qty > x.high_qty
    ) AS f;
END;
COMMENT ON FUNCTION ret.stockout_causes(date, date) IS
    'What ran out at which place of the tenant in a period, what it cost at list price, and why, by
     the first that is true: a count found the books wrong, the supplier is late, it was ordered
     too late, more was asked for than forecast, no rule refills it, nobody reordered.';


CREATE FUNCTION ret.snapshot_inventory(on_day date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   integer;
BEGIN
    WITH moved AS (
        SELECT m.location_id, m.product_variant_id, m.occurred_at, m.movement_kind, m.is_reversal,
               m.ledger_no, m.quantity, m.from_state, m.to_state,
               ret.on_hand_change(m.from_state, m.to_state, m.quantity) AS change,
               (m.occurred_at AT TIME ZONE p.timezone)::date AS moved_on
        FROM ret.stock_movement AS m
        JOIN ret.location AS p
            ON p.business_id = m.business_id AND p.location_id = m.location_id
        WHERE m.business_id = tenant AND m.consignment_agreement_id IS NULL
          AND m.occurred_at < (on_day + 1)::timestamp AT TIME ZONE p.timezone
    ), closing AS (
        SELECT m.location_id, m.product_variant_id, sum(m.change) AS on_hand,
               sum(m.quantity * ((m.to_state = 'available')::integer
                                 - (m.from_state = 'available')::integer)) AS available,
               sum(m.quantity * ((m.to_state = 'committed')::integer
                                 - (m.from_state = 'committed')::integer)) AS committed,
               sum(m.quantity * ((m.to_state = 'incoming')::integer
                                 - (m.from_state = 'incoming')::integer)) AS incoming,
               max(m.moved_on) FILTER (WHERE m.movement_kind = 'sale' AND NOT m.is_reversal)
                   AS sold_on,
               coalesce(sum(-m.change) FILTER (WHERE m.movement_kind IN ('sale', 'return')
                                                 AND m.moved_on > on_day - 28), 0) AS demand
        FROM moved AS m
        GROUP BY m.location_id, m.product_variant_id
    ), layer AS (
        -- First in, first out: of what came in, the newest pieces are still there.
        SELECT m.location_id, m.product_variant_id, m.moved_on,
               sum(m.change) OVER w - m.change AS newer
        FROM moved AS m
        WHERE m.change > 0
        WINDOW w AS (PARTITION BY m.location_id, m.product_variant_id
                     ORDER BY m.occurred_at DESC, m.ledger_no DESC)
    ), oldest AS (
        SELECT l.location_id, l.product_variant_id, min(l.moved_on) AS came_on
        FROM layer AS l
        JOIN closing AS c
            ON c.location_id = l.location_id AND c.product_variant_id = l.product_variant_id
        WHERE l.newer < c.on_hand
        GROUP BY l.location_id, l.product_variant_id
    )
    INSERT INTO ret.inventory_day_snapshot
        (business_id, inventory_day_snapshot_id, location_id, product_variant_id, snapshot_date,
         on_hand_qty, available_qty, committed_qty, in_transit_qty, unit_cost, retail_value,
         days_since_sale, days_of_cover, age_days, created_at)
    SELECT tenant,
           md5(concat_ws(' ', 'stock day', c.location_id, c.product_variant_id, on_day))::uuid,
           c.location_id, c.product_variant_id, on_day, c.on_hand, c.available,
           greatest(c.committed, 0), greatest(c.incoming, 0), coalesce(l.average_cost, 0),
           round(c.on_hand * v.list_price, 2), on_day - c.sold_on,
           CASE WHEN c.demand > 0 THEN least(round(greatest(c.on_hand, 0) * 28 / c.demand, 4),
                                             9999) END,
           on_day - o.came_on, now()
    FROM closing AS c
    JOIN ret.product_variant AS v
        ON v.business_id = tenant AND v.product_variant_id = c.product_variant_id
    LEFT JOIN ret.stock_level AS l
        ON l.business_id = tenant AND l.location_id = c.location_id
       AND l.product_variant_id = c.product_variant_id AND l.consignment_agreement_id IS NULL
    LEFT JOIN oldest AS o
        ON o.location_id = c.location_id AND o.product_variant_id = c.product_variant_id
    WHERE c.on_hand <> 0 OR c.incoming <> 0
    ON CONFLICT (business_id, location_id, product_variant_id, snapshot_date) DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.snapshot_inventory(date) IS
    'Takes the closing stock of a day of the current tenant from the ledger, once: what there is a
     snapshot of stays. Returns how many it took.';


CREATE FUNCTION ret.inventory_snapshot_differences(on_day date)
    RETURNS TABLE (
        location_id uuid, product_variant_id uuid, said numeric, found numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT s.location_id, s.product_variant_id, s.on_hand_qty, coalesce(n.on_hand, 0)
    FROM ret.inventory_day_snapshot AS s
    JOIN ret.location AS p
        ON p.business_id = s.business_id AND p.location_id = s.location_id
    CROSS JOIN LATERAL (
        SELECT sum(ret.on_hand_change(m.from_state, m.to_state, m.quantity)) AS on_hand
        FROM ret.stock_movement AS m
        WHERE m.business_id = tenant_mgmt.current_business_id() AND m.location_id = s.location_id
          AND m.product_variant_id = s.product_variant_id AND m.consignment_agreement_id IS NULL
          AND m.occurred_at < (on_day + 1)::timestamp AT TIME ZONE p.timezone
    ) AS n
    WHERE s.business_id = tenant_mgmt.current_business_id() AND s.snapshot_date = on_day
      AND s.on_hand_qty <> coalesce(n.on_hand, 0);
END;
COMMENT ON FUNCTION ret.inventory_snapshot_differences(date) IS
    'Where the ledger says something else now than the snapshot of a day of the tenant: movements
     that were posted later with an earlier time.';
