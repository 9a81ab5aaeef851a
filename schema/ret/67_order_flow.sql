/*
 * The flow of an order: what may be promised, holds, the checkout, routing, picking and handing
 * over.
 *
 * ret.add_to_cart() prices a line and holds its stock; ret.place_order() makes an order of the
 * cart with promotions, tax and reservations; ret.route_order() splits it over locations by the
 * sourcing_rule; ret.claim_pick_list() gives a picker what is due; ret.ship_fulfilment() and
 * ret.hand_over_pickup() end it. All lock the levels of stock by variant and location, in this
 * order, before they decide: two checkouts never sell the last piece both and never block each
 * other forever.
 */

CREATE FUNCTION ret.available_to_promise(
    variant   uuid,
    channel   uuid,
    locations uuid[] DEFAULT NULL,
    moment    timestamptz DEFAULT now()
)
    RETURNS TABLE (location_id uuid, atp_qty numeric, earliest_at timestamptz)
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH part AS (
        SELECT b.component_variant_id AS product_variant_id, b.quantity::numeric AS pieces
        FROM ret.bundle_component AS b
        WHERE b.business_id = tenant_mgmt.current_business_id() AND b.bundle_variant_id = variant
          AND NOT b.is_optional
        UNION ALL
        SELECT variant, 1
        WHERE NOT EXISTS (SELECT FROM ret.bundle_component AS b
                          WHERE b.business_id = tenant_mgmt.current_business_id()
                            AND b.bundle_variant_id = variant AND NOT b.is_optional)
    ), place AS (
        -- A store sells what it has; another channel what locations fulfil for it.
        SELECT l.location_id, coalesce(max(f.safety_buffer_qty), 0)::numeric AS buffer
        FROM ret.location AS l
        JOIN ret.sales_channel AS c
            ON c.business_id = l.business_id AND c.sales_channel_id = channel
        LEFT JOIN ret.fulfilment_capability AS f
            ON f.business_id = l.business_id AND f.location_id = l.location_id
           AND f.sales_channel_id = c.sales_channel_id AND f.is_enabled
        WHERE l.business_id = tenant_mgmt.current_business_id() AND l.status = 'open'
          AND (locations IS NULL OR l.location_id = ANY (locations))
        GROUP BY l.location_id, c.channel_kind
        HAVING c.channel_kind = 'store' OR count(f.fulfilment_capability_id) > 0
    ), incoming AS (
        SELECT t.to_location_id AS location_id, i.product_variant_id, t.expected_at AS due_at,
               (i.shipped_qty - i.received_qty - i.damaged_qty)::numeric AS quantity
        FROM part AS p
        JOIN ret.stock_transfer_line AS i
            ON i.business_id = tenant_mgmt.current_business_id()
           AND i.product_variant_id = p.product_variant_id
        JOIN ret.stock_transfer AS t
            ON t.business_id = i.business_id AND t.stock_transfer_id = i.stock_transfer_id
           AND t.state IN ('in_transit', 'partly_received')
        UNION ALL
        SELECT o.location_id, s.product_variant_id,
               coalesce(i.promised_on, o.ship_window_end)::timestamp AT TIME ZONE 'UTC',
               (i.ordered_qty - coalesce(i.cancelled_qty, 0) - coalesce(i.received_qty, 0))
                   ::numeric
        FROM part AS p
        JOIN ret.supplier_product AS s
            ON s.business_id = tenant_mgmt.current_business_id()
           AND s.product_variant_id = p.product_variant_id
        JOIN ret.purchase_order_line AS i
            ON i.business_id = s.business_id AND i.supplier_product_id = s.supplier_product_id
        JOIN ret.purchase_order AS o
            ON o.business_id = i.business_id AND o.purchase_order_id = i.purchase_order_id
           AND o.state IN ('sent', 'acknowledged', 'partly_received')
    ), figured AS (
        SELECT l.location_id, p.pieces, h.quantity - l.buffer AS here,
               n.quantity - w.quantity AS later, n.due_at
        FROM place AS l
        CROSS JOIN part AS p
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(k.available_qty), 0)::numeric AS quantity
            FROM ret.stock_level AS k
            WHERE k.business_id = tenant_mgmt.current_business_id()
              AND k.location_id = l.location_id
              AND k.product_variant_id = p.product_variant_id
              AND k.consignment_agreement_id IS NULL
        ) AS h
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(i.quantity), 0) AS quantity, min(i.due_at) AS due_at
            FROM incoming AS i
            WHERE i.location_id = l.location_id AND i.product_variant_id = p.product_variant_id
              AND i.due_at <= moment AND i.quantity > 0
        ) AS n
        -- What comes is promised already to the orders that wait for it.
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(r.quantity), 0)::numeric AS quantity
            FROM ret.stock_reservation AS r
            WHERE r.business_id = tenant_mgmt.current_business_id()
              AND r.location_id = l.location_id AND r.product_variant_id = p.product_variant_id
              AND r.state = 'active' AND r.reservation_kind IN ('backorder', 'preorder')
        ) AS w
    )
    SELECT f.location_id,
           CASE WHEN count(*) = 1 AND min(f.pieces) = 1 THEN min(f.here + f.later)
                ELSE min(floor((f.here + f.later) / f.pieces)) END,
           CASE WHEN bool_and(f.here >= f.pieces) THEN now()
                ELSE max(f.due_at) FILTER (WHERE f.here < f.pieces) END
    FROM figured AS f
    GROUP BY f.location_id
    HAVING min((f.here + f.later) / f.pieces) > 0
    ORDER BY 2 DESC, f.location_id;
END
$$;
COMMENT ON FUNCTION ret.available_to_promise(uuid, uuid, uuid[], timestamptz) IS
    'How much of a variant a channel may promise for a moment, per location and from when: what is
     available less the channel''s safety buffer, with what arrives in time and nobody waits for; a
     bundle goes by its scarcest component.';


CREATE FUNCTION ret.hold_cart_line(
    cart_line uuid,
    lasts     interval DEFAULT interval '15 minutes',
    place     uuid DEFAULT NULL
) RETURNS SETOF uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    wanted record;
    part   record;
    spot   uuid := place;
BEGIN
    SELECT l.cart_line_id, l.product_variant_id, l.quantity, l.fulfilment_choice,
           c.sales_channel_id, c.pickup_location_id, g.location_id AS till_location_id
    INTO wanted
    FROM ret.cart_line AS l
    JOIN ret.cart AS c ON c.business_id = l.business_id AND c.cart_id = l.cart_id
    LEFT JOIN ret.register AS g
        ON g.business_id = c.business_id AND g.register_id = c.register_id
    WHERE l.business_id = tenant AND l.cart_line_id = hold_cart_line.cart_line
    FOR NO KEY UPDATE OF c, l;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such cart line' USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE ret.stock_reservation AS r
    SET state = 'released', released_at = greatest(now(), r.reserved_at),
        release_reason = 'held anew'
    WHERE r.business_id = tenant AND r.cart_line_id = wanted.cart_line_id
      AND r.state = 'active';
    IF spot IS NULL AND wanted.fulfilment_choice = 'pickup' THEN
        spot := wanted.pickup_location_id;
    ELSIF spot IS NULL AND wanted.fulfilment_choice = 'carry_out' THEN
        spot := wanted.till_location_id;
    END IF;
    IF spot IS NULL THEN
        SELECT a.location_id INTO spot
        FROM ret.available_to_promise(wanted.product_variant_id, wanted.sales_channel_id) AS a
        WHERE a.atp_qty >= wanted.quantity AND a.earliest_at <= now()
        LIMIT 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'no location has % of it', wanted.quantity
                USING ERRCODE = 'check_violation', HINT = 'Offer less, or later.';
        END IF;
    END IF;
    FOR part IN
        SELECT coalesce(b.component_variant_id, wanted.product_variant_id) AS variant,
               wanted.quantity * coalesce(b.quantity, 1) AS quantity
        FROM (SELECT) AS one
        LEFT JOIN ret.bundle_component AS b
            ON b.business_id = tenant AND b.bundle_variant_id = wanted.product_variant_id
           AND NOT b.is_optional
        ORDER BY 1
    LOOP
        RETURN QUERY
        INSERT INTO ret.stock_reservation
            (business_id, location_id, product_variant_id, cart_line_id, quantity,
             reservation_kind, created_for, expires_at)
        VALUES (tenant, spot, part.variant, wanted.cart_line_id, part.quantity, 'soft', 'cart',
                now() + lasts)
        RETURNING stock_reservation_id;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ret.hold_cart_line(uuid, interval, uuid) IS
    'Holds the stock of a cart line for a while, at the place where it is fetched or at the one
     that has most of it; a bundle by its components. What it held before is held anew.';


CREATE FUNCTION ret.add_to_cart(
    cart     uuid,
    variant  uuid,
    quantity numeric DEFAULT 1,
    choice   text DEFAULT 'ship',
    lasts    interval DEFAULT interval '15 minutes'
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    basket ret.cart;
    priced record;
    line   uuid;
BEGIN
    SELECT c.* INTO basket
    FROM ret.cart AS c
    WHERE c.business_id = tenant AND c.cart_id = add_to_cart.cart
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such cart' USING ERRCODE = 'no_data_found';
    ELSIF basket.state = 'abandoned' THEN
        UPDATE ret.cart AS c
        SET state = 'active', abandoned_at = NULL
        WHERE c.business_id = tenant AND c.cart_id = basket.cart_id;
    END IF;
    SELECT coalesce(p.price, v.list_price) AS price, p.compare_at INTO priced
    FROM ret.product_variant AS v
    LEFT JOIN LATERAL ret.resolve_price(
        v.product_variant_id, basket.sales_channel_id, basket.pickup_location_id,
        basket.customer_id, add_to_cart.quantity) AS p ON true
    WHERE v.business_id = tenant AND v.product_variant_id = variant;
    IF priced.price IS NULL THEN
        RAISE EXCEPTION 'it is not sold here'
            USING ERRCODE = 'check_violation', HINT = 'Give it a price first.';
    END IF;
    UPDATE ret.cart_line AS l
    SET quantity = l.quantity + add_to_cart.quantity, unit_price = priced.price,
        compare_at_price = CASE WHEN priced.compare_at > priced.price THEN priced.compare_at END,
        price_seen_at = now()
    WHERE l.business_id = tenant
      -- A till or an import may have written the same goods twice: the first line takes more.
      AND l.cart_line_id = (
          SELECT x.cart_line_id
          FROM ret.cart_line AS x
          WHERE x.business_id = tenant AND x.cart_id = basket.cart_id
            AND x.product_variant_id = variant AND x.fulfilment_choice = choice AND NOT x.is_gift
          ORDER BY x.line_number
          LIMIT 1)
    RETURNING l.cart_line_id INTO line;
    IF NOT FOUND THEN
        INSERT INTO ret.cart_line
            (business_id, cart_id, product_variant_id, line_number, quantity, unit_price,
             compare_at_price, fulfilment_choice)
        SELECT tenant, basket.cart_id, variant, coalesce(max(l.line_number), 0) + 1,
               add_to_cart.quantity, priced.price,
               CASE WHEN priced.compare_at > priced.price THEN priced.compare_at END, choice
        FROM ret.cart_line AS l
        WHERE l.business_id = tenant AND l.cart_id = basket.cart_id
        RETURNING cart_line_id INTO line;
    END IF;
    PERFORM ret.hold_cart_line(line, lasts);
    RETURN line;
END
$$;
COMMENT ON FUNCTION ret.add_to_cart(uuid, uuid, numeric, text, interval) IS
    'Puts goods into a cart at the price of the moment and holds their stock for a while; more of
     the same is the same line.';


CREATE FUNCTION ret.apply_promotions(cart uuid)
    RETURNS TABLE (promotion_id uuid, cart_line_id uuid, amount numeric, coupon_id uuid)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    basket ret.cart;
    given  jsonb;
BEGIN
    SELECT c.* INTO basket
    FROM ret.cart AS c
    WHERE c.business_id = tenant AND c.cart_id = apply_promotions.cart
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such cart' USING ERRCODE = 'no_data_found';
    END IF;
    SELECT jsonb_agg(to_jsonb(g)) INTO given
    FROM ret.promote_basket(
        coalesce((SELECT jsonb_agg(jsonb_build_object(
                             'line', l.cart_line_id, 'variant', l.product_variant_id,
                             'quantity', l.quantity, 'unit_price', l.unit_price)
                         ORDER BY l.line_number)
                  FROM ret.cart_line AS l
                  WHERE l.business_id = tenant AND l.cart_id = basket.cart_id), '[]'),
        basket.sales_channel_id, basket.pickup_location_id, basket.customer_id,
        ARRAY(SELECT d.code
              FROM JSON_TABLE(basket.coupon_codes_doc::jsonb, '$[*]' COLUMNS (
                  code text PATH '$.code')) AS d
              WHERE d.code IS NOT NULL),
        basket.shipping_total) AS g
    WHERE g.amount > 0;
    UPDATE ret.cart_line AS l
    SET discount_amount = n.amount
    FROM (
        SELECT x.cart_line_id, coalesce(sum(d.amount), 0) AS amount
        FROM ret.cart_line AS x
        LEFT JOIN jsonb_to_recordset(given) AS d (line text, amount numeric)
            ON d.line = x.cart_line_id::text
        WHERE x.business_id = tenant AND x.cart_id = basket.cart_id
        GROUP BY x.cart_line_id
    ) AS n
    WHERE l.business_id = tenant AND l.cart_line_id = n.cart_line_id
      AND l.discount_amount <> n.amount;
    -- The shopper sees which codes were taken, and why the others were not.
    UPDATE ret.cart AS c
    SET coupon_codes_doc = (
        SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                             'code', d.code, 'accepted', k.accepted,
                             'reason', CASE WHEN NOT k.accepted
                                            THEN coalesce(nullif(ret.coupon_refusal(
                                                     d.code, basket.customer_id, k.used, now()),
                                                     ''), 'it is for nothing in the cart') END))
                         ORDER BY d.place)
        FROM JSON_TABLE(basket.coupon_codes_doc::jsonb, '$[*]' COLUMNS (
            place FOR ORDINALITY,
            code  text PATH '$.code')) AS d
        CROSS JOIN LATERAL (
            SELECT EXISTS (SELECT FROM jsonb_to_recordset(given) AS g (coupon_id uuid)
                           JOIN ret.coupon AS q
                               ON q.business_id = tenant AND q.coupon_id = g.coupon_id
                           WHERE lower(q.coupon_code) = lower(d.code)) AS accepted,
                   (SELECT count(DISTINCT a.sales_order_id)::integer
                    FROM ret.coupon AS q
                    JOIN ret.order_adjustment AS a
                        ON a.business_id = q.business_id AND a.coupon_id = q.coupon_id
                    JOIN ret.sales_order AS o
                        ON o.business_id = a.business_id
                       AND o.sales_order_id = a.sales_order_id
                       AND o.customer_id = basket.customer_id
                    WHERE q.business_id = tenant
                      AND lower(q.coupon_code) = lower(d.code)) AS used
        ) AS k)
    WHERE c.business_id = tenant AND c.cart_id = basket.cart_id
      AND jsonb_array_length(basket.coupon_codes_doc) > 0;
    RETURN QUERY
    SELECT d.promotion_id, d.line::uuid, d.amount, d.coupon_id
    FROM jsonb_to_recordset(given) AS d (promotion_id uuid, line text, amount numeric,
                                         coupon_id uuid);
END
$$;
COMMENT ON FUNCTION ret.apply_promotions(uuid) IS
    'Takes off the lines of a cart what the promotions of the moment give, with the codes that were
     entered, and notes which of the codes were taken; a row without a line is what they take off
     shipping.';


CREATE FUNCTION ret.release_expired_reservations(
    moment  timestamptz DEFAULT now(),
    at_most integer DEFAULT 500
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    expired record;
    changed integer := 0;
BEGIN
    FOR expired IN
        SELECT n.stock_reservation_id
        FROM (
            SELECT r.stock_reservation_id, r.product_variant_id, r.location_id
            FROM ret.stock_reservation AS r
            WHERE r.business_id = tenant AND r.state = 'active' AND r.reservation_kind = 'soft'
              AND r.expires_at <= moment
            ORDER BY r.expires_at, r.stock_reservation_id
            LIMIT at_most
            FOR UPDATE SKIP LOCKED
        ) AS n
        ORDER BY n.product_variant_id, n.location_id, n.stock_reservation_id
    LOOP
        UPDATE ret.stock_reservation AS r
        SET state = 'expired', released_at = greatest(moment, r.expires_at),
            release_reason = 'not bought in time'
        WHERE r.business_id = tenant AND r.stock_reservation_id = expired.stock_reservation_id;
        changed := changed + 1;
    END LOOP;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION ret.release_expired_reservations(timestamptz, integer) IS
    'Gives back what carts held too long; what another worker releases or a checkout takes just now
     is left to it.';


CREATE FUNCTION ret.lines_to_reserve(sales_order uuid)
    RETURNS TABLE (
        sales_order_line_id uuid,
        product_variant_id  uuid,
        fulfilment_choice   text,
        missing             numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT l.sales_order_line_id, l.product_variant_id, l.fulfilment_choice,
           l.quantity - l.fulfilled_qty - l.cancelled_qty - coalesce(h.quantity, 0)
    FROM ret.sales_order_line AS l
    LEFT JOIN LATERAL (
        SELECT sum(r.quantity) AS quantity
        FROM ret.stock_reservation AS r
        WHERE r.business_id = l.business_id AND r.sales_order_line_id = l.sales_order_line_id
          AND r.state = 'active'
    ) AS h ON true
    WHERE l.business_id = tenant_mgmt.current_business_id()
      AND l.sales_order_id = lines_to_reserve.sales_order
      AND l.fulfilment_choice IN ('ship', 'pickup', 'local_delivery')
      AND l.quantity - l.fulfilled_qty - l.cancelled_qty > coalesce(h.quantity, 0)
      AND NOT EXISTS (SELECT FROM ret.sales_order_line AS c
                      WHERE c.business_id = l.business_id
                        AND c.bundle_parent_line_id = l.sales_order_line_id);
END;
COMMENT ON FUNCTION ret.lines_to_reserve(uuid) IS
    'How much of which lines of an order no reservation holds yet; a bundle by its components.';


CREATE FUNCTION ret.sourcing_rule_of(sales_order uuid) RETURNS ret.sourcing_rule
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT ROW(u.*)::ret.sourcing_rule
        FROM ret.sales_order AS o
        JOIN ret.sourcing_rule AS u
            ON u.business_id = o.business_id AND u.is_active
           AND u.effective_from <= o.placed_at::date
           AND (u.sales_channel_id IS NULL OR u.sales_channel_id = o.sales_channel_id)
        LEFT JOIN ret.order_address AS a
            ON a.business_id = o.business_id AND a.sales_order_id = o.sales_order_id
           AND a.address_role = 'shipping'
        WHERE o.business_id = tenant_mgmt.current_business_id()
          AND o.sales_order_id = sourcing_rule_of.sales_order
          AND NOT coalesce(u.excluded_regions_doc ? a.region_code, false)
          AND (u.category_id IS NULL OR EXISTS (
              SELECT FROM ret.sales_order_line AS l
              JOIN ret.product_variant AS v
                  ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
              JOIN ret.product AS p
                  ON p.business_id = v.business_id AND p.product_id = v.product_id
              WHERE l.business_id = o.business_id AND l.sales_order_id = o.sales_order_id
                AND p.main_category_id = u.category_id))
        ORDER BY u.priority_no, u.weight_no DESC, u.rule_name
        LIMIT 1
    );
END
$$;
COMMENT ON FUNCTION ret.sourcing_rule_of(uuid) IS
    'The rule by which an order finds its locations; none where none fits.';


CREATE FUNCTION ret.sourcing_candidates(
    sales_order uuid,
    rule        ret.sourcing_rule,
    avoiding    uuid[] DEFAULT '{}'
)
    RETURNS TABLE (location_id uuid, fulfilment_choice text, buffer numeric, score numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT l.location_id, h.choice,
           coalesce(f.safety_buffer_qty, 0)::numeric + coalesce((rule).min_safety_qty, 0)::numeric,
           (CASE coalesce((rule).strategy, 'nearest')
                WHEN 'nearest' THEN coalesce(d.km, 0)
                WHEN 'warehouse_first' THEN (l.location_kind <> 'warehouse')::integer
                WHEN 'store_first' THEN (l.location_kind <> 'store')::integer
                WHEN 'lowest_cost' THEN coalesce(f.priority_no, 0)
                WHEN 'most_stock' THEN -k.quantity
                WHEN 'clear_overstock' THEN -k.quantity
                ELSE coalesce(f.priority_no, 0) END)::numeric
    FROM ret.sales_order AS o
    CROSS JOIN (VALUES ('ship', 'ship_from'), ('local_delivery', 'local_delivery'),
                       ('pickup', 'pickup')) AS h (choice, capability)
    JOIN ret.location AS l
        ON l.business_id = o.business_id AND l.status = 'open'
       AND l.location_id <> ALL (avoiding)
       AND (h.choice <> 'pickup' OR l.location_id = o.sold_location_id)
    LEFT JOIN ret.fulfilment_capability AS f
        ON f.business_id = l.business_id AND f.location_id = l.location_id
       AND f.sales_channel_id = o.sales_channel_id AND f.capability = h.capability
       AND f.is_enabled
    LEFT JOIN ret.order_address AS a
        ON a.business_id = o.business_id AND a.sales_order_id = o.sales_order_id
       AND a.address_role = 'shipping'
    CROSS JOIN LATERAL (
        SELECT system_core.distance_km(l.latitude, l.longitude, a.latitude, a.longitude) AS km
    ) AS d
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(x.available_qty), 0)::numeric AS quantity
        FROM ret.sales_order_line AS i
        JOIN ret.stock_level AS x
            ON x.business_id = i.business_id AND x.product_variant_id = i.product_variant_id
           AND x.location_id = l.location_id AND x.consignment_agreement_id IS NULL
        WHERE i.business_id = o.business_id AND i.sales_order_id = o.sales_order_id
    ) AS k
    WHERE o.business_id = tenant_mgmt.current_business_id()
      AND o.sales_order_id = sourcing_candidates.sales_order
      AND (f.fulfilment_capability_id IS NOT NULL OR h.choice = 'pickup')
      AND (f.daily_capacity IS NULL OR f.booked_today < f.daily_capacity OR h.choice = 'pickup')
      AND (h.choice = 'pickup' OR (rule).max_distance_km IS NULL OR d.km IS NULL
           OR d.km <= (rule).max_distance_km)
      AND (h.choice <> 'local_delivery' OR f.radius_km IS NULL OR d.km IS NULL
           OR d.km <= f.radius_km);
END;
COMMENT ON FUNCTION ret.sourcing_candidates(uuid, ret.sourcing_rule, uuid[]) IS
    'The locations that can do a part of an order today, with what stays on their shelves and how
     the rule ranks them, the lowest first; what is fetched comes from where it is fetched.';


CREATE FUNCTION ret.lock_levels(sales_order uuid) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM ret.stock_level AS k
    WHERE k.business_id = tenant_mgmt.current_business_id()
      AND k.product_variant_id IN (
          SELECT l.product_variant_id
          FROM ret.sales_order_line AS l
          WHERE l.business_id = tenant_mgmt.current_business_id()
            AND l.sales_order_id = lock_levels.sales_order)
    ORDER BY k.product_variant_id, k.location_id, k.stock_level_id
    FOR NO KEY UPDATE;
END
$$;
COMMENT ON FUNCTION ret.lock_levels(uuid) IS
    'Locks the levels of what an order wants, by variant and location as everybody does: two orders
     never wait for each other in a circle, and nobody else takes of them until the end.';


CREATE FUNCTION ret.reserve_stock(sales_order uuid, avoiding uuid[] DEFAULT '{}')
    RETURNS SETOF uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    sale   ret.sales_order;
    rule   ret.sourcing_rule;
    spot   uuid;
    line   record;
    made   uuid;
BEGIN
    SELECT o.* INTO sale
    FROM ret.sales_order AS o
    WHERE o.business_id = tenant AND o.sales_order_id = reserve_stock.sales_order
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such order' USING ERRCODE = 'no_data_found';
    ELSIF sale.state IN ('cancelled', 'completed', 'returned') THEN
        RAISE EXCEPTION 'order % is %, it needs no stock', sale.order_number, sale.state
            USING ERRCODE = 'check_violation', HINT = 'Place another order.';
    END IF;
    PERFORM ret.lock_levels(sale.sales_order_id);

    -- What the cart held is the order's now; what is given back at this moment is reserved below.
    FOR line IN
        SELECT r.stock_reservation_id, l.sales_order_line_id
        FROM ret.cart_line AS c
        JOIN ret.stock_reservation AS r
            ON r.business_id = c.business_id AND r.cart_line_id = c.cart_line_id
           AND r.state = 'active' AND r.location_id <> ALL (avoiding)
        JOIN ret.sales_order_line AS l
            ON l.business_id = c.business_id AND l.sales_order_id = sale.sales_order_id
           AND l.product_variant_id = r.product_variant_id
        LEFT JOIN ret.sales_order_line AS b
            ON b.business_id = l.business_id
           AND b.sales_order_line_id = l.bundle_parent_line_id
        WHERE c.business_id = tenant AND c.cart_id = sale.cart_id
          AND coalesce(b.line_number, l.line_number) = c.line_number
          AND r.quantity <= (SELECT n.missing
                             FROM ret.lines_to_reserve(sale.sales_order_id) AS n
                             WHERE n.sales_order_line_id = l.sales_order_line_id)
        ORDER BY r.product_variant_id, r.location_id, r.stock_reservation_id
        FOR NO KEY UPDATE OF r SKIP LOCKED
    LOOP
        UPDATE ret.stock_reservation AS r
        SET reservation_kind = 'hard', created_for = 'order', cart_line_id = NULL,
            sales_order_line_id = line.sales_order_line_id, expires_at = NULL
        WHERE r.business_id = tenant AND r.stock_reservation_id = line.stock_reservation_id
          AND r.state = 'active'
        RETURNING r.stock_reservation_id INTO made;
        IF FOUND THEN
            RETURN NEXT made;
        END IF;
    END LOOP;

    -- The rest comes from the fewest locations: each time the one that has most of what is still
    -- missing, and of equals the one that the rule prefers.
    rule := ret.sourcing_rule_of(sale.sales_order_id);
    FOR round IN 1 .. coalesce(rule.max_splits, 2) LOOP
        SELECT c.location_id INTO spot
        FROM ret.lines_to_reserve(sale.sales_order_id) AS n
        JOIN ret.sourcing_candidates(sale.sales_order_id, rule, avoiding) AS c
            ON c.fulfilment_choice = n.fulfilment_choice
        JOIN ret.location AS p ON p.business_id = tenant AND p.location_id = c.location_id
        JOIN ret.stock_level AS k
            ON k.business_id = tenant AND k.product_variant_id = n.product_variant_id
           AND k.location_id = c.location_id AND k.consignment_agreement_id IS NULL
        WHERE k.available_qty - c.buffer > 0
        GROUP BY c.location_id, p.location_code
        ORDER BY sum(least(n.missing, k.available_qty - c.buffer)) DESC, min(c.score),
                 p.location_code
        LIMIT 1;
        EXIT WHEN NOT FOUND;
        FOR line IN
            SELECT n.*, c.buffer
            FROM ret.lines_to_reserve(sale.sales_order_id) AS n
            JOIN ret.sourcing_candidates(sale.sales_order_id, rule, avoiding) AS c
                ON c.fulfilment_choice = n.fulfilment_choice AND c.location_id = spot
            ORDER BY n.product_variant_id, n.sales_order_line_id
        LOOP
            INSERT INTO ret.stock_reservation
                (business_id, location_id, product_variant_id, sales_order_line_id, quantity,
                 reservation_kind, created_for)
            SELECT tenant, spot, line.product_variant_id, line.sales_order_line_id,
                   least(line.missing, k.available_qty - line.buffer), 'hard',
                   CASE line.fulfilment_choice WHEN 'pickup' THEN 'pickup' ELSE 'order' END
            FROM ret.stock_level AS k
            WHERE k.business_id = tenant AND k.product_variant_id = line.product_variant_id
              AND k.location_id = spot AND k.consignment_agreement_id IS NULL
              AND k.available_qty - line.buffer > 0
            RETURNING stock_reservation_id INTO made;
            IF FOUND THEN
                RETURN NEXT made;
            END IF;
        END LOOP;
    END LOOP;

    -- What nobody has waits where it would come from.
    FOR line IN
        SELECT DISTINCT ON (n.product_variant_id, n.sales_order_line_id)
               n.sales_order_line_id, n.product_variant_id, n.missing, c.location_id
        FROM ret.lines_to_reserve(sale.sales_order_id) AS n
        JOIN ret.sourcing_candidates(sale.sales_order_id, rule, avoiding) AS c
            ON c.fulfilment_choice = n.fulfilment_choice
        JOIN ret.location AS p ON p.business_id = tenant AND p.location_id = c.location_id
        ORDER BY n.product_variant_id, n.sales_order_line_id, c.score, p.location_code
    LOOP
        INSERT INTO ret.stock_reservation
            (business_id, location_id, product_variant_id, sales_order_line_id, quantity,
             reservation_kind, created_for)
        VALUES (tenant, line.location_id, line.product_variant_id, line.sales_order_line_id,
                line.missing, 'backorder', 'order')
        RETURNING stock_reservation_id INTO made;
        RETURN NEXT made;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ret.reserve_stock(uuid, uuid[]) IS
    'Holds the stock of an order: what its cart held, the rest from as few locations as the
     sourcing rule allows, and as a backorder what is nowhere. Called again, it reserves what is
     missing.';


CREATE FUNCTION ret.route_order(sales_order uuid, avoiding uuid[] DEFAULT '{}')
    RETURNS SETOF uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    sale   ret.sales_order;
    rule   ret.sourcing_rule;
    part   record;
    made   uuid;
BEGIN
    PERFORM ret.reserve_stock(sales_order, avoiding);
    SELECT o.* INTO sale
    FROM ret.sales_order AS o
    WHERE o.business_id = tenant AND o.sales_order_id = route_order.sales_order;
    rule := ret.sourcing_rule_of(sale.sales_order_id);
    -- What is held at a location and no fulfilment of it covers yet; what waits for stock is a
    -- fulfilment of its own, so that the rest can leave.
    FOR part IN
        SELECT u.location_id, u.fulfilment_choice, u.waits,
               array_agg(u.sales_order_line_id ORDER BY u.line_number) AS lines,
               array_agg(u.open_qty ORDER BY u.line_number) AS quantities
        FROM (
            SELECT h.*, h.quantity - coalesce((
                       SELECT sum(x.quantity - x.shipped_qty - x.short_qty)
                       FROM ret.fulfilment_order_line AS x
                       JOIN ret.fulfilment_order AS f
                           ON f.business_id = x.business_id
                          AND f.fulfilment_order_id = x.fulfilment_order_id
                          AND f.state NOT IN ('completed', 'rejected', 'cancelled')
                          AND f.location_id = h.location_id
                          AND (f.state = 'scheduled') = h.waits
                       WHERE x.business_id = tenant
                         AND x.sales_order_line_id = h.sales_order_line_id), 0) AS open_qty
            FROM (
                SELECT r.location_id, l.fulfilment_choice, l.sales_order_line_id, l.line_number,
                       k.waits, sum(r.quantity) AS quantity
                FROM ret.sales_order_line AS l
                JOIN ret.stock_reservation AS r
                    ON r.business_id = l.business_id
                   AND r.sales_order_line_id = l.sales_order_line_id AND r.state = 'active'
                CROSS JOIN LATERAL (SELECT r.reservation_kind <> 'hard' AS waits) AS k
                WHERE l.business_id = tenant AND l.sales_order_id = sale.sales_order_id
                GROUP BY r.location_id, l.fulfilment_choice, l.sales_order_line_id, l.line_number,
                         k.waits
            ) AS h
        ) AS u
        WHERE u.open_qty > 0
        GROUP BY u.location_id, u.fulfilment_choice, u.waits
        ORDER BY count(*) DESC, u.location_id, u.fulfilment_choice, u.waits
    LOOP
        made := system_core.uuid_v7();
        INSERT INTO ret.fulfilment_order
            (business_id, fulfilment_order_id, sales_order_id, location_id, sourcing_rule_id,
             fulfilment_number, method, state, request_state, promise_at, reroute_count)
        SELECT tenant, made, sale.sales_order_id, part.location_id, rule.sourcing_rule_id,
               'F-' || upper(right(made::text, 12)),
               part.fulfilment_choice, CASE WHEN part.waits THEN 'scheduled' ELSE 'open' END,
               'submitted',
               now() + coalesce(max(c.lead_minutes), 0) * interval '1 minute',
               cardinality(avoiding)
        FROM (SELECT) AS one
        LEFT JOIN ret.fulfilment_capability AS c
            ON c.business_id = tenant AND c.location_id = part.location_id
           AND c.sales_channel_id = sale.sales_channel_id
           AND c.capability = CASE part.fulfilment_choice WHEN 'ship' THEN 'ship_from'
                                                          ELSE part.fulfilment_choice END;
        INSERT INTO ret.fulfilment_order_line
            (business_id, fulfilment_order_id, sales_order_line_id, quantity)
        SELECT tenant, made, n.line, n.quantity
        FROM unnest(part.lines, part.quantities) AS n (line, quantity);
        INSERT INTO ret.pickup_order (business_id, fulfilment_order_id, pickup_code, id_check)
        SELECT tenant, made, upper(substr(md5(made::text), 1, 6)), 'code'
        WHERE part.fulfilment_choice = 'pickup';
        RETURN NEXT made;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ret.route_order(uuid, uuid[]) IS
    'Splits an order over the locations that hold its stock, a fulfilment for each, and reserves
     first what is not held yet. Called again, it routes what is new.';


CREATE FUNCTION ret.give_back_held_stock() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    held record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    PERFORM ret.lock_levels(NEW.sales_order_id);
    FOR held IN
        SELECT r.stock_reservation_id
        FROM ret.fulfilment_order_line AS l
        JOIN ret.stock_reservation AS r
            ON r.business_id = l.business_id AND r.sales_order_line_id = l.sales_order_line_id
           AND r.location_id = NEW.location_id AND r.state = 'active'
        WHERE l.business_id = NEW.business_id
          AND l.fulfilment_order_id = NEW.fulfilment_order_id
        ORDER BY r.product_variant_id, r.stock_reservation_id
    LOOP
        UPDATE ret.stock_reservation AS r
        SET state = 'released', released_at = greatest(now(), r.reserved_at),
            release_reason = CASE NEW.state WHEN 'rejected' THEN NEW.reject_reason
                                            ELSE 'fulfilment ' || NEW.state END
        WHERE r.business_id = NEW.business_id
          AND r.stock_reservation_id = held.stock_reservation_id;
    END LOOP;
    UPDATE ret.fulfilment_order_line AS l
    SET state = 'cancelled'
    WHERE l.business_id = NEW.business_id AND l.fulfilment_order_id = NEW.fulfilment_order_id
      AND l.state IN ('open', 'picked', 'packed', 'short') AND NEW.state <> 'completed';
    IF NEW.state = 'rejected' THEN
        -- Whoever turned it down is not asked again.
        PERFORM ret.route_order(NEW.sales_order_id, ARRAY(
            SELECT DISTINCT f.location_id
            FROM ret.fulfilment_order AS f
            WHERE f.business_id = NEW.business_id AND f.sales_order_id = NEW.sales_order_id
              AND f.state = 'rejected'));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.give_back_held_stock() IS
    'A fulfilment that ends gives back what it held and did not use; one that was rejected goes to
     another location.';

CREATE TRIGGER fulfilment_order_ends
    AFTER UPDATE OF state ON ret.fulfilment_order
    FOR EACH ROW WHEN (NEW.state IN ('completed', 'rejected', 'cancelled')
                       AND OLD.state <> NEW.state)
    EXECUTE FUNCTION ret.give_back_held_stock();


CREATE FUNCTION ret.stop_cancelled_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    held record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    PERFORM ret.lock_levels(NEW.sales_order_id);
    UPDATE ret.fulfilment_order AS f
    SET state = 'cancelled'
    WHERE f.business_id = NEW.business_id AND f.sales_order_id = NEW.sales_order_id
      AND f.state NOT IN ('completed', 'rejected', 'cancelled');
    FOR held IN
        SELECT r.stock_reservation_id
        FROM ret.sales_order_line AS l
        JOIN ret.stock_reservation AS r
            ON r.business_id = l.business_id AND r.sales_order_line_id = l.sales_order_line_id
           AND r.state = 'active'
        WHERE l.business_id = NEW.business_id AND l.sales_order_id = NEW.sales_order_id
        ORDER BY r.product_variant_id, r.location_id, r.stock_reservation_id
    LOOP
        UPDATE ret.stock_reservation AS r
        SET state = 'released', released_at = greatest(now(), r.reserved_at),
            release_reason = 'order cancelled'
        WHERE r.business_id = NEW.business_id
          AND r.stock_reservation_id = held.stock_reservation_id;
    END LOOP;
    UPDATE ret.sales_order_line AS l
    SET cancelled_qty = l.quantity - l.fulfilled_qty
    WHERE l.business_id = NEW.business_id AND l.sales_order_id = NEW.sales_order_id
      AND l.cancelled_qty < l.quantity - l.fulfilled_qty;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.stop_cancelled_order() IS
    'An order that is called off stops everywhere: its parts, its reservations, its lines.';

CREATE TRIGGER sales_order_stops
    AFTER UPDATE OF state ON ret.sales_order
    FOR EACH ROW WHEN (NEW.state = 'cancelled' AND OLD.state <> 'cancelled')
    EXECUTE FUNCTION ret.stop_cancelled_order();


CREATE FUNCTION ret.place_order(cart uuid, idempotency text) RETURNS uuid
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    made    CONSTANT uuid := system_core.uuid_v7();
    basket  ret.cart;
    known   uuid;
    gifts   jsonb;
    offer   record;
    freight numeric;
BEGIN
    SELECT c.* INTO basket
    FROM ret.cart AS c
    WHERE c.business_id = tenant AND c.cart_id = place_order.cart
    FOR UPDATE;
    -- Sent again, or sent twice at once: the second waits at the cart and finds the order.
    SELECT o.sales_order_id INTO known
    FROM ret.sales_order AS o
    WHERE o.business_id = tenant AND o.idempotency_key = idempotency;
    IF FOUND THEN
        RETURN known;
    ELSIF basket.cart_id IS NULL THEN
        RAISE EXCEPTION 'no such cart' USING ERRCODE = 'no_data_found';
    ELSIF basket.state NOT IN ('active', 'abandoned') THEN
        RAISE EXCEPTION 'the cart is %', basket.state
            USING ERRCODE = 'check_violation', HINT = 'Begin another cart.';
    ELSIF NOT EXISTS (SELECT FROM ret.cart_line AS l
                      WHERE l.business_id = tenant AND l.cart_id = basket.cart_id) THEN
        RAISE EXCEPTION 'the cart is empty'
            USING ERRCODE = 'check_violation', HINT = 'Put something into it.';
    END IF;
    -- Prices and promotions of this moment, whatever was shown before.
    UPDATE ret.cart_line AS l
    SET unit_price = p.price, discount_amount = 0, price_seen_at = now(),
        compare_at_price = CASE WHEN l.compare_at_price >= p.price THEN l.compare_at_price END
    FROM (
        SELECT x.cart_line_id, r.price
        FROM ret.cart_line AS x
        CROSS JOIN LATERAL ret.resolve_price(
            x.product_variant_id, basket.sales_channel_id, basket.pickup_location_id,
            basket.customer_id, x.quantity) AS r
        WHERE x.business_id = tenant AND x.cart_id = basket.cart_id
    ) AS p
    WHERE l.business_id = tenant AND l.cart_line_id = p.cart_line_id AND p.price IS NOT NULL
      AND l.unit_price <> p.price;
    SELECT jsonb_agg(to_jsonb(g)) INTO gifts FROM ret.apply_promotions(basket.cart_id) AS g;
    freight := basket.shipping_total - coalesce((
        SELECT sum(g.amount)
        FROM jsonb_to_recordset(gifts) AS g (cart_line_id uuid, amount numeric)
        WHERE g.cart_line_id IS NULL), 0);

    INSERT INTO ret.sales_order
        (business_id, sales_order_id, sold_location_id, sales_channel_id, customer_id, cart_id,
         order_number, order_kind, currency, shipping_total, idempotency_key)
    SELECT tenant, made, basket.pickup_location_id, basket.sales_channel_id, basket.customer_id,
           basket.cart_id, system_core.number_document(tenant, 'ret.order', 'O-', made),
           CASE WHEN bool_and(l.fulfilment_choice = 'pickup') THEN 'pickup'
                ELSE 'ship_to_home' END,
           basket.currency, greatest(freight, 0), idempotency
    FROM ret.cart_line AS l
    WHERE l.business_id = tenant AND l.cart_id = basket.cart_id;
    INSERT INTO ret.order_address
        (business_id, sales_order_id, address_role, recipient_name, company_name, line_1, line_2,
         city, region_code, postal_code, country_code, phone, email)
    SELECT tenant, made, r.role, coalesce(a.recipient_name, c.display_name), a.company_name,
           a.line_1, a.line_2, a.city, a.region_code, a.postal_code, a.country_code,
           coalesce(a.phone, c.phone), coalesce(basket.email, c.email)
    FROM ret.customer AS c
    JOIN ret.customer_address AS a
        ON a.business_id = c.business_id AND a.customer_id = c.customer_id
    CROSS JOIN LATERAL (VALUES ('shipping', a.is_default_shipping),
                               ('billing', a.is_default_billing)) AS r (role, is_it)
    WHERE c.business_id = tenant AND c.customer_id = basket.customer_id AND r.is_it
      AND num_nulls(a.line_1, a.city, a.country_code) = 0
    ON CONFLICT DO NOTHING;
    -- A bundle is a line at price 0; its components share its price and discount to the cent.
    WITH wanted AS (
        SELECT l.*, v.sku, concat_ws(', ', p.title, v.title) AS title, v.list_price,
               coalesce(v.average_cost, v.standard_cost, 0) AS cost,
               EXISTS (SELECT FROM ret.bundle_component AS b
                       WHERE b.business_id = tenant
                         AND b.bundle_variant_id = l.product_variant_id
                         AND NOT b.is_optional) AS is_bundle
        FROM ret.cart_line AS l
        JOIN ret.product_variant AS v
            ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
        JOIN ret.product AS p ON p.business_id = v.business_id AND p.product_id = v.product_id
        WHERE l.business_id = tenant AND l.cart_id = basket.cart_id
    ), sold AS (
        INSERT INTO ret.sales_order_line
            (business_id, sales_order_id, product_variant_id, line_number, product_title,
             sku_sold, quantity, unit_price, list_price, price_source, discount_amount, unit_cost,
             fulfilment_choice)
        SELECT tenant, made, w.product_variant_id, w.line_number, w.title, w.sku, w.quantity,
               CASE WHEN w.is_bundle THEN 0 ELSE w.unit_price END, w.list_price,
               CASE WHEN w.discount_amount > 0 THEN 'promotion'
                    WHEN w.unit_price <> w.list_price THEN 'price_book' ELSE 'base' END,
               CASE WHEN w.is_bundle THEN 0 ELSE w.discount_amount END,
               CASE WHEN w.is_bundle THEN 0 ELSE w.cost END, w.fulfilment_choice
        FROM wanted AS w
        RETURNING sales_order_line_id, line_number
    )
    INSERT INTO ret.sales_order_line
        (business_id, sales_order_id, bundle_parent_line_id, product_variant_id, line_number,
         product_title, sku_sold, quantity, unit_price, list_price, discount_amount, unit_cost,
         fulfilment_choice)
    SELECT tenant, made, s.sales_order_line_id, n.product_variant_id,
           m.top + row_number() OVER (ORDER BY s.line_number, n.place), n.title, n.sku,
           n.quantity, n.net / n.quantity, n.list_price, 0, n.cost, n.fulfilment_choice
    FROM (
        SELECT w.line_number, w.fulfilment_choice, v.product_variant_id, v.sku, v.list_price,
               concat_ws(', ', p.title, v.title) AS title,
               coalesce(v.average_cost, v.standard_cost, 0) AS cost,
               w.quantity * b.quantity AS quantity,
               row_number() OVER k AS place,
               round(w.line_total * sum(x.weight) OVER k / nullif(sum(x.weight) OVER t, 0), 2)
               - round(w.line_total * (sum(x.weight) OVER k - x.weight)
                       / nullif(sum(x.weight) OVER t, 0), 2) AS net
        FROM wanted AS w
        JOIN ret.bundle_component AS b
            ON b.business_id = tenant AND b.bundle_variant_id = w.product_variant_id
           AND NOT b.is_optional
        JOIN ret.product_variant AS v
            ON v.business_id = tenant AND v.product_variant_id = b.component_variant_id
        JOIN ret.product AS p ON p.business_id = v.business_id AND p.product_id = v.product_id
        CROSS JOIN LATERAL (
            SELECT coalesce(b.price_share_pct, b.quantity * v.list_price, 1)::numeric AS weight
        ) AS x
        WINDOW k AS (PARTITION BY w.cart_line_id ORDER BY b.sort_order, b.bundle_component_id),
               t AS (PARTITION BY w.cart_line_id)
    ) AS n
    JOIN sold AS s ON s.line_number = n.line_number
    CROSS JOIN (SELECT max(w.line_number) AS top FROM wanted AS w) AS m;
    -- What was taken off is on record, and counts against the limits of its promotion.
    INSERT INTO ret.order_adjustment
        (business_id, sales_order_id, sales_order_line_id, promotion_id, coupon_id,
         adjustment_kind, label, amount, funded_by, sequence_no)
    SELECT tenant, made, l.sales_order_line_id, g.promotion_id, g.coupon_id,
           CASE WHEN g.cart_line_id IS NULL THEN 'shipping_discount'
                WHEN g.coupon_id IS NOT NULL THEN 'coupon' ELSE 'promotion' END,
           p.title, -g.amount,
           CASE p.funded_by WHEN 'shared' THEN 'retailer' ELSE p.funded_by END,
           row_number() OVER (ORDER BY p.priority_no, p.promotion_code, l.line_number)
    FROM jsonb_to_recordset(gifts) AS g (promotion_id uuid, cart_line_id uuid, amount numeric,
                                         coupon_id uuid)
    JOIN ret.promotion AS p ON p.business_id = tenant AND p.promotion_id = g.promotion_id
    LEFT JOIN ret.cart_line AS c
        ON c.business_id = tenant AND c.cart_line_id = g.cart_line_id
    LEFT JOIN ret.sales_order_line AS l
        ON l.business_id = tenant AND l.sales_order_id = made
       AND l.line_number = c.line_number AND l.unit_price > 0
    WHERE g.amount > 0 AND (g.cart_line_id IS NULL OR l.sales_order_line_id IS NOT NULL);
    FOR offer IN
        SELECT g.promotion_id, g.coupon_id, sum(g.amount) AS gives
        FROM jsonb_to_recordset(gifts) AS g (promotion_id uuid, amount numeric, coupon_id uuid)
        GROUP BY g.promotion_id, g.coupon_id
        ORDER BY g.promotion_id, g.coupon_id
    LOOP
        PERFORM FROM ret.coupon AS c
        WHERE c.business_id = tenant AND c.coupon_id = offer.coupon_id
        FOR NO KEY UPDATE;
        PERFORM ret.redeem_promotion(
            offer.promotion_id, offer.gives, offer.coupon_id, basket.customer_id,
            (SELECT count(DISTINCT a.sales_order_id)
             FROM ret.order_adjustment AS a
             JOIN ret.sales_order AS o
                 ON o.business_id = a.business_id AND o.sales_order_id = a.sales_order_id
             WHERE a.business_id = tenant AND a.coupon_id = offer.coupon_id
               AND o.customer_id = basket.customer_id AND o.sales_order_id <> made)::integer);
    END LOOP;
    PERFORM ret.calculate_tax(made);
    PERFORM ret.reserve_stock(made);
    UPDATE ret.cart AS c
    SET state = 'converted', checkout_step = 'done', abandoned_at = NULL,
        last_activity_at = greatest(c.last_activity_at, now())
    WHERE c.business_id = tenant AND c.cart_id = basket.cart_id;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.place_order(uuid, text) IS
    'Makes an order of a cart in one transaction: prices and promotions of the moment, addresses of
     the customer, tax and reservations. The same key returns the same order.';


CREATE FUNCTION ret.claim_pick_list(
    location uuid,
    picker   uuid,
    orders   integer DEFAULT 1
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   CONSTANT uuid := system_core.uuid_v7();
    mine   uuid[];
BEGIN
    -- Two pickers who ask at once get different orders, and neither waits.
    SELECT array_agg(n.fulfilment_order_id) INTO mine
    FROM (
        SELECT f.fulfilment_order_id
        FROM ret.fulfilment_order AS f
        WHERE f.business_id = tenant AND f.location_id = claim_pick_list.location
          AND f.state = 'open'
        ORDER BY f.priority_no, f.promise_at, f.fulfilment_order_id
        LIMIT orders
        FOR UPDATE SKIP LOCKED
    ) AS n;
    IF mine IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO ret.pick_list
        (business_id, pick_list_id, picker_user_id, location_id, pick_number, pick_kind,
         created_for_cut_off_at, assigned_at, state)
    SELECT tenant, made, picker, claim_pick_list.location,
           -- A number in sequence would make the pickers of the tenant wait for each other.
           'P-' || upper(right(made::text, 12)),
           CASE WHEN cardinality(mine) > 1 THEN 'batch' ELSE 'single' END,
           min(f.promise_at), now(), 'assigned'
    FROM ret.fulfilment_order AS f
    WHERE f.business_id = tenant AND f.fulfilment_order_id = ANY (mine);
    INSERT INTO ret.pick_list_line
        (business_id, pick_list_id, fulfilment_order_line_id, product_variant_id,
         bin_location_id, stock_lot_id, walk_sequence, required_qty, tote_code)
    SELECT tenant, made, f.fulfilment_order_line_id, l.product_variant_id, b.bin_location_id,
           b.stock_lot_id,
           row_number() OVER (ORDER BY b.walk_sequence, b.bin_code, l.sku_sold,
                                       f.fulfilment_order_line_id),
           f.quantity, o.fulfilment_number
    FROM ret.fulfilment_order_line AS f
    JOIN ret.fulfilment_order AS o
        ON o.business_id = f.business_id AND o.fulfilment_order_id = f.fulfilment_order_id
    JOIN ret.sales_order_line AS l
        ON l.business_id = f.business_id AND l.sales_order_line_id = f.sales_order_line_id
    LEFT JOIN LATERAL (
        -- Where the ledger last put it down.
        SELECT x.bin_location_id, m.stock_lot_id, x.walk_sequence, x.bin_code
        FROM ret.stock_movement AS m
        JOIN ret.bin_location AS x
            ON x.business_id = m.business_id AND x.bin_location_id = m.bin_location_id
           AND x.is_pickable AND x.status = 'active'
        WHERE m.business_id = tenant AND m.location_id = claim_pick_list.location
          AND m.product_variant_id = l.product_variant_id AND m.to_state = 'available'
        ORDER BY m.occurred_at DESC, m.ledger_no DESC
        LIMIT 1
    ) AS b ON true
    WHERE f.business_id = tenant AND f.fulfilment_order_id = ANY (mine) AND f.state = 'open';
    UPDATE ret.pick_list AS p
    SET line_count = n.stops, unit_count = n.units, state = 'picking', started_at = now()
    FROM (
        SELECT count(*) AS stops, ceil(coalesce(sum(x.required_qty), 0)) AS units
        FROM ret.pick_list_line AS x
        WHERE x.business_id = tenant AND x.pick_list_id = made
    ) AS n
    WHERE p.business_id = tenant AND p.pick_list_id = made;
    UPDATE ret.fulfilment_order AS f
    SET state = 'picking', request_state = 'accepted',
        accepted_at = coalesce(f.accepted_at, greatest(now(), f.routed_at))
    WHERE f.business_id = tenant AND f.fulfilment_order_id = ANY (mine);
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.claim_pick_list(uuid, uuid, integer) IS
    'Gives a picker the next orders of a location in walk order and starts the walk; NULL where
     nothing is open. Others who ask at the same time get other orders.';


CREATE FUNCTION ret.pack_fulfilment(fulfilment uuid) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    goal   text;
BEGIN
    PERFORM FROM ret.fulfilment_order AS f
    WHERE f.business_id = tenant AND f.fulfilment_order_id = fulfilment
    FOR NO KEY UPDATE;
    IF EXISTS (SELECT FROM ret.fulfilment_order_line AS l
               WHERE l.business_id = tenant AND l.fulfilment_order_id = fulfilment
                 AND l.state = 'open') THEN
        RAISE EXCEPTION 'not every line is picked'
            USING ERRCODE = 'check_violation', HINT = 'Pick the rest, or report it short.';
    END IF;
    UPDATE ret.fulfilment_order_line AS l
    SET packed_qty = l.picked_qty, state = 'packed'
    WHERE l.business_id = tenant AND l.fulfilment_order_id = fulfilment AND l.state = 'picked';
    UPDATE ret.fulfilment_order AS f
    SET state = CASE WHEN NOT n.has_any THEN 'cancelled'
                     WHEN f.method IN ('pickup', 'curbside') THEN 'ready' ELSE 'packed' END,
        ready_at = CASE WHEN n.has_any THEN greatest(now(), f.accepted_at) END
    FROM (
        SELECT coalesce(bool_or(l.packed_qty > 0), false) AS has_any
        FROM ret.fulfilment_order_line AS l
        WHERE l.business_id = tenant AND l.fulfilment_order_id = fulfilment
    ) AS n
    WHERE f.business_id = tenant AND f.fulfilment_order_id = fulfilment
    RETURNING f.state INTO goal;
    UPDATE ret.pickup_order AS p
    SET state = CASE goal WHEN 'ready' THEN 'ready' ELSE 'returned_to_stock' END,
        ready_at = CASE goal WHEN 'ready' THEN now() END,
        hold_until = CASE goal WHEN 'ready' THEN coalesce(p.hold_until, now() + interval '7 days')
                     END
    WHERE p.business_id = tenant AND p.fulfilment_order_id = fulfilment;
    RETURN goal;
END
$$;
COMMENT ON FUNCTION ret.pack_fulfilment(uuid) IS
    'Packs what was picked: a pickup is ready then, a parcel waits for its carrier; where nothing
     was found the fulfilment is cancelled. Returns its state.';


CREATE FUNCTION ret.leave_location(fulfilment uuid) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    sale   uuid;
BEGIN
    SELECT f.sales_order_id INTO sale
    FROM ret.fulfilment_order AS f
    WHERE f.business_id = tenant AND f.fulfilment_order_id = fulfilment
    FOR NO KEY UPDATE;
    PERFORM ret.lock_levels(sale);
    -- What was not found will not leave: it is called off for the customer.
    UPDATE ret.sales_order_line AS l
    SET cancelled_qty = l.cancelled_qty + f.short_qty
    FROM ret.fulfilment_order_line AS f
    WHERE f.business_id = tenant AND f.fulfilment_order_id = fulfilment AND f.short_qty > 0
      AND l.business_id = f.business_id AND l.sales_order_line_id = f.sales_order_line_id;
    UPDATE ret.fulfilment_order_line AS f
    SET shipped_qty = f.packed_qty, state = 'shipped'
    WHERE f.business_id = tenant AND f.fulfilment_order_id = fulfilment AND f.state = 'packed';
    UPDATE ret.fulfilment_order AS f
    SET state = 'completed', completed_at = greatest(now(), f.ready_at, f.routed_at)
    WHERE f.business_id = tenant AND f.fulfilment_order_id = fulfilment;
END
$$;
COMMENT ON FUNCTION ret.leave_location(uuid) IS
    'What a fulfilment packed leaves its location and the stock.';


CREATE FUNCTION ret.ship_fulfilment(
    fulfilment      uuid,
    carrier_service uuid,
    tracking        text DEFAULT NULL,
    weight          integer DEFAULT NULL,
    cost            numeric DEFAULT 0
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   CONSTANT uuid := system_core.uuid_v7();
    found  ret.fulfilment_order;
BEGIN
    SELECT f.* INTO found
    FROM ret.fulfilment_order AS f
    WHERE f.business_id = tenant AND f.fulfilment_order_id = fulfilment
    FOR NO KEY UPDATE;
    IF found.state IS DISTINCT FROM 'packed' THEN
        RAISE EXCEPTION 'the fulfilment is %, not packed', coalesce(found.state, 'not there')
            USING ERRCODE = 'check_violation', HINT = 'Pick and pack it first.';
    END IF;
    INSERT INTO ret.shipment
        (business_id, shipment_id, fulfilment_order_id, carrier_service_id, shipment_number,
         tracking_number, weight_g, declared_value, label_cost, charged_amount, packed_at,
         estimated_at)
    SELECT tenant, made, fulfilment, c.carrier_service_id,
           'SH-' || upper(right(made::text, 12)), tracking, weight,
           (SELECT sum(round(x.packed_qty * l.unit_price, 2))
            FROM ret.fulfilment_order_line AS x
            JOIN ret.sales_order_line AS l
                ON l.business_id = x.business_id
               AND l.sales_order_line_id = x.sales_order_line_id
            WHERE x.business_id = tenant AND x.fulfilment_order_id = fulfilment),
           cost, 0, least(found.ready_at, now()), now() + c.max_days * interval '1 day'
    FROM ret.carrier_service AS c
    WHERE c.business_id = tenant AND c.carrier_service_id = carrier_service;
    INSERT INTO ret.shipment_line
        (business_id, shipment_id, fulfilment_order_line_id, line_number, quantity, unit_value,
         serial_unit_id, hs_code, origin_country)
    SELECT tenant, made, f.fulfilment_order_line_id, row_number() OVER (ORDER BY l.line_number),
           f.packed_qty, l.unit_price, l.serial_unit_id, p.hs_code, p.country_of_origin
    FROM ret.fulfilment_order_line AS f
    JOIN ret.sales_order_line AS l
        ON l.business_id = f.business_id AND l.sales_order_line_id = f.sales_order_line_id
    JOIN ret.product_variant AS v
        ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
    JOIN ret.product AS p ON p.business_id = v.business_id AND p.product_id = v.product_id
    WHERE f.business_id = tenant AND f.fulfilment_order_id = fulfilment AND f.packed_qty > 0;
    PERFORM ret.leave_location(fulfilment);
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.ship_fulfilment(uuid, uuid, text, integer, numeric) IS
    'Ships what was packed as a parcel: it leaves the stock, and what was not found is called
     off.';


CREATE FUNCTION ret.hand_over_pickup(
    code      text,
    location  uuid,
    collector text DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    waits  record;
BEGIN
    SELECT p.pickup_order_id, f.fulfilment_order_id INTO waits
    FROM ret.pickup_order AS p
    JOIN ret.fulfilment_order AS f
        ON f.business_id = p.business_id AND f.fulfilment_order_id = p.fulfilment_order_id
       AND f.location_id = hand_over_pickup.location
    WHERE p.business_id = tenant AND p.pickup_code = code AND p.state IN ('ready', 'arrived')
    FOR NO KEY UPDATE OF p;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'nothing waits here under %', code
            USING ERRCODE = 'no_data_found', HINT = 'Ask for another code or at another store.';
    END IF;
    UPDATE ret.pickup_order AS p
    SET state = 'collected', handed_over_at = greatest(now(), p.ready_at, p.customer_arrived_at),
        handed_over_by_user_id = nullif(current_setting('app.user_account_id', true), '')::uuid,
        collector_name = coalesce(collector, p.collector_name),
        wait_seconds = extract(epoch FROM greatest(now() - p.customer_arrived_at, interval '0'))
    WHERE p.business_id = tenant AND p.pickup_order_id = waits.pickup_order_id;
    PERFORM ret.leave_location(waits.fulfilment_order_id);
    RETURN waits.fulfilment_order_id;
END
$$;
COMMENT ON FUNCTION ret.hand_over_pickup(text, uuid, text) IS
    'Hands a pickup over to whoever shows its code: it leaves the stock, once.';
