SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- What the site offers is on every listing of it: under the brand's name where the brand has one.
INSERT INTO rest.channel_item_link
    (business_id, channel_item_link_id, channel_store_link_id, menu_item_id, brand_menu_item_id,
     external_item_id, item_role, pushed_name, pushed_price, is_available, last_pushed_at,
     last_hash, drift_state, checked_at)
SELECT s.business_id, md5('link ' || s.channel_store_link_id || i.menu_item_id)::uuid,
       s.channel_store_link_id, CASE WHEN b.brand_menu_item_id IS NULL THEN i.menu_item_id END,
       b.brand_menu_item_id, 'itm-' || substr(md5(i.menu_item_id::text), 1, 12), 'item',
       coalesce(b.listing_name, i.display_name),
       round(coalesce(p.price, i.base_price, 0), 2), f.stock_mode <> 'out_of_stock',
       %(as_of)s::timestamptz - interval '1 day',
       md5(i.menu_item_id || coalesce(p.price, i.base_price, 0)::text), 'in_sync',
       %(as_of)s::timestamptz - interval '2 hours'
FROM rest.channel_store_link AS s
JOIN rest.menu_item_location AS f
    ON f.business_id = s.business_id AND f.location_id = s.location_id
JOIN rest.menu_item AS i ON i.business_id = f.business_id AND i.menu_item_id = f.menu_item_id
LEFT JOIN (
    SELECT DISTINCT ON (x.virtual_brand_id, x.menu_item_id) x.*
    FROM rest.brand_menu_item AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.virtual_brand_id, x.menu_item_id, x.listing_name
) AS b ON b.virtual_brand_id = s.virtual_brand_id AND b.menu_item_id = i.menu_item_id
LEFT JOIN rest.menu_item_price AS p
    ON p.business_id = i.business_id AND p.menu_item_id = i.menu_item_id
   AND p.sales_channel_id = s.sales_channel_id AND p.price_kind = 'channel'
WHERE s.business_id = %(business_id)s;

INSERT INTO rest.channel_item_link
    (business_id, channel_item_link_id, channel_store_link_id, modifier_option_id,
     external_item_id, item_role, pushed_name, pushed_price, is_available, last_pushed_at,
     checked_at)
SELECT s.business_id, md5('option ' || s.channel_store_link_id || o.modifier_option_id)::uuid,
       s.channel_store_link_id, o.modifier_option_id,
       'opt-' || substr(md5(o.modifier_option_id::text), 1, 12), 'modifier', o.display_name,
       greatest(o.price, 0), NOT o.is_out_of_stock, %(as_of)s::timestamptz - interval '1 day',
       %(as_of)s::timestamptz - interval '2 hours'
FROM rest.channel_store_link AS s
JOIN rest.modifier_option AS o ON o.business_id = s.business_id
WHERE s.business_id = %(business_id)s;

-- A card is pushed to its listing week by week; prices rose once, one push in nine lost an item.
INSERT INTO rest.channel_menu_publication
    (business_id, channel_menu_publication_id, channel_store_link_id, menu_id,
     publication_number, trigger_kind, state, item_count, rejected_count, payload_sha256,
     payload_doc, errors_doc, queued_at, pushed_at, accepted_at, duration_ms)
SELECT s.business_id, md5('push ' || w.week || s.channel_store_link_id)::uuid,
       s.channel_store_link_id, m.menu_id, 'PUB-' || lpad((5 - w.week)::text, 4, '0'),
       CASE w.week WHEN 4 THEN 'manual' WHEN 2 THEN 'price_change' ELSE 'scheduled' END,
       CASE WHEN w.week > 1 THEN 'superseded' WHEN r.is_odd THEN 'partly_rejected'
            ELSE 'accepted' END,
       d.items, CASE WHEN r.is_odd THEN 1 ELSE 0 END, sha256(convert_to(d.body::text, 'UTF8')),
       d.body,
       CASE WHEN r.is_odd THEN jsonb_build_array(jsonb_build_object(
           'id', d.first_id, 'path', '$.categories[0].items[0].photo', 'code', 'PHOTO_TOO_SMALL'))
            ELSE '[]' END,
       t.moment, t.moment + interval '4 seconds', t.moment + interval '19 seconds', 15000
FROM rest.channel_store_link AS s
CROSS JOIN generate_series(1, 4) AS w (week)
CROSS JOIN LATERAL (
    SELECT %(as_of)s::timestamptz - w.week * interval '7 days' AS moment
) AS t
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5(w.week || s.external_store_id), 1, 7))::bit(28)::integer %% 9 = 0
               AS is_odd
) AS r
JOIN (
    SELECT DISTINCT ON (x.virtual_brand_id) x.virtual_brand_id, x.menu_id
    FROM rest.menu AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.virtual_brand_id, x.menu_code, x.revision_no DESC
) AS m ON m.virtual_brand_id = s.virtual_brand_id
JOIN (
    SELECT l.channel_store_link_id, v.week, count(*) AS items,
           min(l.external_item_id) AS first_id,
           jsonb_build_object('categories', jsonb_build_array(jsonb_build_object(
               'name', 'All', 'items', jsonb_agg(jsonb_build_object(
                   'id', l.external_item_id, 'name', l.pushed_name,
                   'price', CASE WHEN v.week > 2 THEN round(l.pushed_price * 0.96, 2)
                                 ELSE l.pushed_price END,
                   'available', l.is_available)
               ORDER BY l.external_item_id)))) AS body
    FROM rest.channel_item_link AS l
    CROSS JOIN generate_series(1, 4) AS v (week)
    WHERE l.business_id = %(business_id)s AND l.item_role = 'item'
    GROUP BY l.channel_store_link_id, v.week
) AS d ON d.channel_store_link_id = s.channel_store_link_id AND d.week = w.week
WHERE s.business_id = %(business_id)s;

-- Every marketplace order as the channel sent it: its lines and options, by their names there.
INSERT INTO rest.channel_order
    (business_id, channel_order_id, channel_store_link_id, guest_order_id, external_order_id,
     display_id, state, cancelled_by, placed_at, accept_deadline_at, accepted_at, ready_at,
     cancelled_at, items_subtotal, channel_discount, commission_estimate, tax_by_channel,
     guest_tip, payload)
SELECT o.business_id, md5('channel order ' || o.guest_order_id)::uuid, s.channel_store_link_id,
       o.guest_order_id, o.external_order_ref,
       upper(substr(md5(o.guest_order_id::text), 1, 5)),
       CASE o.state WHEN 'open' THEN 'accepted' WHEN 'sent' THEN 'preparing'
                    WHEN 'ready' THEN 'ready' WHEN 'completed' THEN 'delivered'
                    ELSE 'cancelled' END,
       CASE o.state WHEN 'cancelled' THEN 'guest' WHEN 'voided' THEN 'store' ELSE 'none' END,
       o.opened_at - interval '40 seconds',
       o.opened_at + coalesce(h.accept_window_seconds, 600) * interval '1 second', o.opened_at,
       CASE WHEN o.state IN ('ready', 'completed') THEN o.ready_at END,
       CASE WHEN o.state IN ('cancelled', 'voided') THEN o.opened_at + interval '8 minutes' END,
       n.subtotal, CASE WHEN n.place %% 8 = 0 THEN 3 ELSE 0 END,
       round(n.subtotal * (s.commission_pct + s.delivery_commission_pct) / 100, 2), c.tax_total,
       CASE WHEN n.place %% 5 = 0 THEN 2 + n.place %% 4 ELSE 0 END,
       jsonb_build_object(
           'id', o.external_order_ref, 'fulfillment', 'delivery',
           'ready_by', o.promised_at, 'guest', jsonb_build_object('name', o.pickup_name),
           'address', o.delivery_address_doc,
           'charges', jsonb_build_object('subtotal', n.subtotal, 'tax', c.tax_total),
           'cart', jsonb_build_object('items', n.items))
FROM rest.guest_order AS o
JOIN rest.sales_channel AS h
    ON h.business_id = o.business_id AND h.sales_channel_id = o.sales_channel_id
   AND h.channel_kind = 'marketplace'
JOIN rest.channel_store_link AS s
    ON s.business_id = o.business_id AND s.sales_channel_id = o.sales_channel_id
   AND s.virtual_brand_id = o.virtual_brand_id AND s.location_id = o.location_id
JOIN rest.guest_check AS c
    ON c.business_id = o.business_id AND c.guest_order_id = o.guest_order_id
   AND c.check_number = '1'
JOIN (
    SELECT i.guest_check_id, sum(i.gross_amount) AS subtotal,
           ('x' || substr(md5(i.guest_check_id || 'mx'), 1, 7))::bit(28)::integer AS place,
           jsonb_agg(jsonb_build_object(
               'id', 'itm-' || substr(md5(i.menu_item_id::text), 1, 12), 'title', i.display_name,
               'quantity', i.quantity, 'unit_price', i.unit_price,
               'modifier_groups', coalesce(x.options, '[]')) ORDER BY i.line_number)
               FILTER (WHERE i.price_source <> 'combo' OR i.parent_item_id IS NOT NULL) AS items
    FROM rest.check_item AS i
    LEFT JOIN (
        SELECT m.check_item_id, jsonb_build_array(jsonb_build_object(
                   'id', 'choices', 'options', jsonb_agg(jsonb_build_object(
                       'id', 'opt-' || substr(md5(m.modifier_option_id::text), 1, 12),
                       'title', m.display_name, 'quantity', m.quantity, 'price', m.unit_price)
                   ORDER BY m.sequence_no, m.check_item_modifier_id))) AS options
        FROM rest.check_item_modifier AS m
        WHERE m.business_id = %(business_id)s AND m.modifier_option_id IS NOT NULL
        GROUP BY m.check_item_id
    ) AS x ON x.check_item_id = i.check_item_id
    WHERE i.business_id = %(business_id)s AND i.state <> 'voided'
    GROUP BY i.guest_check_id
) AS n ON n.guest_check_id = c.guest_check_id
WHERE o.business_id = %(business_id)s;

-- Some were denied, and never became orders of ours.
INSERT INTO rest.channel_order
    (business_id, channel_order_id, channel_store_link_id, external_order_id, display_id, state,
     deny_reason, placed_at, accept_deadline_at, items_subtotal, payload)
SELECT o.business_id, md5('denied ' || o.channel_order_id)::uuid, o.channel_store_link_id,
       'DN-' || o.external_order_id, o.display_id || 'D', 'denied',
       (ARRAY['item_unavailable', 'too_busy', 'store_closed'])[1 + o.place %% 3],
       o.placed_at - interval '25 minutes', o.placed_at - interval '15 minutes',
       o.items_subtotal, o.payload
FROM (
    SELECT x.*, row_number() OVER (ORDER BY md5(x.channel_order_id::text)) AS place,
           count(*) OVER () AS orders
    FROM rest.channel_order AS x
    WHERE x.business_id = %(business_id)s
) AS o
WHERE o.place <= greatest(1, o.orders / 40);

-- Each came in a message; one in thirty came twice.
INSERT INTO rest.channel_webhook_event
    (business_id, channel_webhook_event_id, channel_store_link_id, received_at,
     external_event_id, event_type, signature_valid, attempt_no, processing_state, processed_at,
     processing_ms, http_status, payload)
SELECT o.business_id, md5('message ' || a.number || e.kind || o.channel_order_id)::uuid,
       o.channel_store_link_id, e.moment + a.number * interval '20 seconds',
       'evt-' || substr(md5(e.kind || o.channel_order_id), 1, 16), e.kind, true, a.number + 1,
       CASE a.number WHEN 0 THEN 'processed' ELSE 'duplicate' END,
       e.moment + a.number * interval '20 seconds' + interval '180 milliseconds', 180, 200,
       jsonb_build_object('event_type', e.kind, 'order_id', o.external_order_id,
                          'store', jsonb_build_object('id', s.external_store_id))
FROM rest.channel_order AS o
JOIN rest.channel_store_link AS s
    ON s.business_id = o.business_id AND s.channel_store_link_id = o.channel_store_link_id
CROSS JOIN LATERAL (VALUES
    ('order.created', o.placed_at + interval '10 seconds'),
    ('order.cancelled', o.cancelled_at),
    ('order.picked_up', CASE WHEN o.state = 'delivered'
                             THEN o.ready_at + interval '2 minutes' END)) AS e (kind, moment)
CROSS JOIN (VALUES (0), (1)) AS a (number)
WHERE o.business_id = %(business_id)s AND e.moment IS NOT NULL
  AND (a.number = 0
       OR ('x' || substr(md5(e.kind || o.channel_order_id), 1, 7))::bit(28)::integer %% 30 = 0)
  AND e.moment + interval '1 minute' < %(as_of)s::timestamptz;

-- A courier of the marketplace brings what was ordered; some of ours drive themselves.
INSERT INTO rest.delivery_job
    (business_id, delivery_job_id, guest_order_id, channel_order_id, driver_staff_id, provider,
     external_job_id, state, quote_fee, final_fee, distance_m, pickup_eta_at, dropoff_eta_at,
     picked_up_at, delivered_at, courier_name, proof_kind)
SELECT o.business_id, md5('trip ' || o.channel_order_id)::uuid, o.guest_order_id,
       o.channel_order_id, CASE WHEN o.place %% 20 = 3 THEN d.staff_member_id END,
       CASE WHEN o.place %% 20 = 3 THEN 'own_fleet' ELSE 'marketplace_courier' END,
       CASE WHEN o.place %% 20 <> 3
            THEN 'job-' || substr(md5(o.channel_order_id::text), 1, 14) END,
       CASE o.state WHEN 'delivered' THEN 'delivered' WHEN 'cancelled' THEN 'cancelled'
                    WHEN 'ready' THEN 'at_pickup' WHEN 'preparing' THEN 'courier_assigned'
                    ELSE 'requested' END,
       3 + o.place %% 5, CASE WHEN o.state = 'delivered' THEN 3 + o.place %% 5 ELSE 0 END,
       800 + o.place %% 5200, o.accepted_at + interval '20 minutes',
       o.accepted_at + interval '38 minutes',
       CASE WHEN o.state = 'delivered' THEN g.handed_off_at END,
       CASE WHEN o.state = 'delivered'
            THEN greatest(g.handed_off_at,
                          least(g.handed_off_at + (6 + o.place %% 17) * interval '1 minute',
                                %(as_of)s::timestamptz)) END,
       'Courier ' || o.display_id, CASE WHEN o.state = 'delivered' AND o.place %% 2 = 0 THEN 'pin'
                                        ELSE 'none' END
FROM (
    SELECT x.*, ('x' || substr(md5(x.channel_order_id || 'trip'), 1, 7))::bit(28)::integer AS place
    FROM rest.channel_order AS x
    WHERE x.business_id = %(business_id)s AND x.guest_order_id IS NOT NULL
) AS o
JOIN rest.guest_order AS g
    ON g.business_id = o.business_id AND g.guest_order_id = o.guest_order_id
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY x.employee_number DESC
    LIMIT 1
) AS d;

INSERT INTO rest.delivery_status_event
    (business_id, delivery_status_event_id, delivery_job_id, occurred_at, status_text, latitude,
     longitude, eta_at, speed_kph, source)
SELECT j.business_id, md5('courier ' || e.number || j.delivery_job_id)::uuid, j.delivery_job_id,
       e.moment, e.status, 41.87 + n.place %% 100 * 0.0004 + e.number * 0.001,
       -87.65 + n.place %% 90 * 0.0004, j.dropoff_eta_at,
       CASE WHEN e.number = 3 THEN 18 ELSE 0 END,
       CASE WHEN j.provider = 'own_fleet' THEN 'driver_app' ELSE 'webhook' END
FROM rest.delivery_job AS j
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5(j.delivery_job_id::text), 1, 7))::bit(28)::integer AS place
) AS n
CROSS JOIN LATERAL (VALUES
    (1, 'courier_assigned', j.pickup_eta_at - interval '19 minutes'),
    (2, 'picked_up', j.picked_up_at),
    (3, 'on the way', j.picked_up_at + (j.delivered_at - j.picked_up_at) / 2),
    (4, 'delivered', j.delivered_at)) AS e (number, status, moment)
WHERE j.business_id = %(business_id)s AND j.state <> 'requested'
  AND e.moment <= %(as_of)s::timestamptz;
