SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- The ledger is reckoned backwards. What guests ate takes ingredients and what the kitchen makes;
-- what it makes takes ingredients; what all that takes was bought. Fresh food comes anew when the
-- last of it has expired, a little more than is needed: what is left is thrown away, eaten by
-- staff or missing at the next count. What keeps comes by the pack each week. 75_purchasing.sql
-- writes the orders and receipts for what came in here, 73_production_costs.sql the batches.

CREATE TEMPORARY TABLE site ON COMMIT DROP AS
SELECT l.location_id, l.location_code, l.timezone, l.closeout_hour, l.seat_count,
       row_number() OVER (ORDER BY l.seat_count DESC, l.location_code) = 1 AS is_source,
       row_number() OVER (ORDER BY l.seat_count DESC, l.location_code)::integer AS place,
       (%(as_of)s)::date - 35 AS opened_on,
       -- The kitchen is ready at ten; till then it serves what was there for the day before.
       ((%(as_of)s)::timestamptz AT TIME ZONE l.timezone - interval '10 hours')::date AS served_on
FROM rest.location AS l
WHERE l.business_id = %(business_id)s AND l.status = 'open';

CREATE TEMPORARY TABLE hand ON COMMIT DROP AS
SELECT array_agg(m.staff_member_id ORDER BY m.employee_number) AS ids, count(*)::integer AS people
FROM rest.staff_member AS m
WHERE m.business_id = %(business_id)s AND m.status = 'active';

-- Fresh is what keeps for less than three weeks. Sauces are made in the first kitchen for all.
CREATE TEMPORARY TABLE good ON COMMIT DROP AS
SELECT i.inventory_item_id, i.item_code, i.item_kind, i.storage_temp_class, i.average_cost,
       i.on_traceability_list, i.shelf_life_days, i.stock_unit_id, c.category_code, c.cost_group,
       coalesce(i.shelf_life_days <= 20, false) AS is_fresh, i.item_kind = 'prep' AS is_made,
       i.item_kind NOT IN ('packaging', 'supply') AS has_lots,
       i.item_code IN ('MARINARA', 'VINAIG', 'BUFFALO', 'RANCH', 'CAESARD', 'PICKONION', 'DEMI')
           AS comes_from_source,
       r.recipe_id, r.yield_qty, v.vendor_item_id, v.stock_qty_per_pack AS pack,
       ('x' || substr(md5(i.item_code || 'good'), 1, 7))::bit(28)::integer AS chance,
       CASE WHEN i.cost_method = 'fifo' THEN 0.04 ELSE 0.01 END AS swing
FROM rest.inventory_item AS i
JOIN rest.inventory_category AS c
    ON c.business_id = i.business_id AND c.inventory_category_id = i.inventory_category_id
LEFT JOIN rest.recipe AS r
    ON r.business_id = i.business_id AND r.produces_item_id = i.inventory_item_id
   AND r.state = 'approved'
LEFT JOIN rest.vendor_item AS v
    ON v.business_id = i.business_id AND v.inventory_item_id = i.inventory_item_id
   AND v.is_preferred
WHERE i.business_id = %(business_id)s AND i.is_active
  AND (i.item_kind <> 'prep' OR r.recipe_id IS NOT NULL);

ANALYZE site;
ANALYZE good;

-- What one batch takes of each item, in stock units; what the house makes is taken from stock.
CREATE TEMPORARY TABLE part ON COMMIT DROP AS
SELECT l.recipe_id, n.inventory_item_id, sum(n.amount) AS amount
FROM rest.recipe_line AS l
LEFT JOIN rest.recipe AS s
    ON s.business_id = l.business_id AND s.recipe_id = l.sub_recipe_id
JOIN good AS g ON g.inventory_item_id = coalesce(l.inventory_item_id, s.produces_item_id)
CROSS JOIN LATERAL (
    SELECT g.inventory_item_id,
           rest.convert_qty(g.inventory_item_id, l.gross_qty, l.unit_of_measure_id,
                            g.stock_unit_id) AS amount
) AS n
WHERE l.business_id = %(business_id)s AND NOT l.is_optional
GROUP BY l.recipe_id, n.inventory_item_id;

ANALYZE part;

-- Each demand takes an item out of a site at a moment, for a document.
CREATE TEMPORARY TABLE demand (
    inventory_item_id uuid,
    location_id       uuid,
    happened          timestamptz,
    day               date,
    cycle             integer,
    kind              text,
    source            text,
    source_id         uuid,
    quantity          numeric(14, 4)
) ON COMMIT DROP;

CREATE TEMPORARY TABLE line ON COMMIT DROP AS
SELECT i.check_item_id, i.menu_item_id, i.menu_item_size_id, i.quantity, i.state, i.sent_at,
       o.location_id,
       CASE WHEN o.service_mode IN ('curbside', 'drive_thru') THEN 'takeout'
            ELSE o.service_mode END AS mode,
       least((i.sent_at AT TIME ZONE s.timezone - make_interval(hours => s.closeout_hour))::date,
             s.served_on) AS day
FROM rest.check_item AS i
JOIN rest.guest_check AS c
    ON c.business_id = i.business_id AND c.guest_check_id = i.guest_check_id
JOIN rest.guest_order AS o
    ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
JOIN site AS s ON s.location_id = o.location_id
WHERE i.business_id = %(business_id)s AND i.sent_at <= (%(as_of)s)::timestamptz;

ANALYZE line;

-- What the lines took that the kitchen got, as rest.deplete_for_check_item() would have booked it.
INSERT INTO demand
    (inventory_item_id, location_id, happened, day, kind, source, source_id, quantity)
SELECT w.inventory_item_id, w.location_id, w.sent_at, w.day, 'sale', 'check_item',
       w.check_item_id, round(sum(w.amount), 4)
FROM (
    SELECT u.check_item_id, u.location_id, u.sent_at, u.day,
           coalesce(p.inventory_item_id, u.inventory_item_id) AS inventory_item_id,
           CASE WHEN u.recipe_id IS NULL
                THEN rest.convert_qty(u.inventory_item_id, u.amount, u.unit_of_measure_id,
                                      g.stock_unit_id)
                ELSE u.amount / r.portion_count * p.amount END AS amount
    FROM (
        SELECT i.*, x.recipe_id, x.inventory_item_id, x.unit_of_measure_id, x.service_mode,
               x.depletes_on, x.effective_from, x.effective_to,
               coalesce(x.portions, x.quantity) * i.quantity AS amount
        FROM line AS i
        JOIN rest.recipe_usage AS x
            ON x.business_id = %(business_id)s AND x.menu_item_id = i.menu_item_id AND x.is_active
        WHERE x.menu_item_size_id = i.menu_item_size_id
           OR x.menu_item_size_id IS NULL
              AND (x.usage_kind = 'packaging'
                   OR coalesce(i.menu_item_size_id NOT IN (
                       SELECT q.menu_item_size_id
                       FROM rest.recipe_usage AS q
                       WHERE q.business_id = %(business_id)s AND q.is_active
                         AND q.usage_kind = 'size'), true))
        UNION ALL
        SELECT i.*, x.recipe_id, x.inventory_item_id, x.unit_of_measure_id, x.service_mode,
               x.depletes_on, x.effective_from, x.effective_to,
               coalesce(x.portions, x.quantity) * i.quantity
               * sum(m.quantity * CASE WHEN m.pre_modifier IN ('no', 'allergy') THEN -1
                                       ELSE 1 END)
        FROM line AS i
        JOIN rest.check_item_modifier AS m
            ON m.business_id = %(business_id)s AND m.check_item_id = i.check_item_id
        JOIN rest.recipe_usage AS x
            ON x.business_id = m.business_id AND x.modifier_option_id = m.modifier_option_id
           AND x.is_active
        GROUP BY i.check_item_id, i.menu_item_id, i.menu_item_size_id, i.quantity, i.state,
                 i.sent_at, i.location_id, i.mode, i.day, x.business_id, x.recipe_usage_id
    ) AS u
    LEFT JOIN rest.recipe AS r
        ON r.business_id = %(business_id)s AND r.recipe_id = u.recipe_id
    LEFT JOIN part AS p ON p.recipe_id = u.recipe_id
    LEFT JOIN good AS g ON g.inventory_item_id = u.inventory_item_id
    WHERE u.service_mode IN ('all', u.mode)
      AND (u.depletes_on = 'fire' OR u.depletes_on = 'sale' AND u.state <> 'voided')
      AND u.day >= u.effective_from AND coalesce(u.day <= u.effective_to, true)
      AND (p.inventory_item_id IS NOT NULL OR g.inventory_item_id IS NOT NULL)
) AS w
GROUP BY w.inventory_item_id, w.location_id, w.sent_at, w.day, w.check_item_id
HAVING round(sum(w.amount), 4) > 0;

-- Where an item lies at a site. Wine is not kept where nobody drinks it.
CREATE TEMPORARY TABLE shelf ON COMMIT DROP AS
SELECT g.*, s.location_id, s.location_code, s.timezone, s.is_source, s.place AS site_place,
       s.opened_on, a.storage_area_id, a.count_sequence / 10 AS area_place,
       g.shelf_life_days + 1 AS cycle_days,
       g.is_made AND (s.is_source OR NOT g.comes_from_source) AS is_made_here,
       -- Fresh food of a kind comes on the same days.
       s.opened_on - 14 + CASE WHEN g.is_made AND g.comes_from_source THEN 0
                               ELSE (s.place + length(g.category_code)) %% 3 END AS first_on,
       s.opened_on + 2 + (s.place + length(g.category_code)) %% 5 AS packs_on,
       row_number() OVER (PARTITION BY a.storage_area_id
                          ORDER BY g.category_code, g.item_code)::integer AS place
FROM good AS g
CROSS JOIN site AS s
JOIN rest.storage_area AS a
    ON a.business_id = %(business_id)s AND a.location_id = s.location_id
   AND a.area_code = s.location_code || '-' || CASE
       WHEN g.category_code = 'BEER' THEN CASE WHEN s.seat_count > 0 THEN 'WKEG' ELSE 'WALKIN' END
       WHEN g.category_code IN ('SOFT', 'WINE', 'SPIRITS')
       THEN CASE WHEN s.seat_count > 0 THEN 'BAR' ELSE 'DRY' END
       WHEN g.category_code = 'BOXES' THEN 'PACK'
       WHEN g.item_kind = 'supply' THEN 'CHEM'
       WHEN g.is_made THEN 'REACHIN'
       WHEN g.storage_temp_class = 'frozen' THEN 'FREEZER'
       WHEN g.storage_temp_class = 'chilled' THEN 'WALKIN' ELSE 'DRY' END
WHERE s.is_source OR g.category_code NOT IN ('BEER', 'WINE', 'SPIRITS')
   OR EXISTS (SELECT FROM demand AS d
              WHERE d.inventory_item_id = g.inventory_item_id
                AND d.location_id = s.location_id);

ANALYZE shelf;

-- Fresh food is the food of its cycle; what keeps is all one.
UPDATE demand AS d
SET cycle = CASE WHEN h.is_fresh THEN (d.day - h.first_on) / h.cycle_days ELSE 0 END
FROM shelf AS h
WHERE h.inventory_item_id = d.inventory_item_id AND h.location_id = d.location_id;

ANALYZE demand;

-- Counts: the opening one, then each Monday morning before the trucks come; one walks from area to
-- area, and what is found is found when its shelf is counted.
CREATE TEMPORARY TABLE tally ON COMMIT DROP AS
SELECT n.*, interval '6 minutes' AS area_pace, interval '7 seconds' AS shelf_pace,
       md5('count ' || n.location_id || n.day)::uuid AS inventory_count_id,
       row_number() OVER (PARTITION BY n.location_id ORDER BY n.day)::integer AS place,
       lag(n.day, 1, '-infinity') OVER (PARTITION BY n.location_id ORDER BY n.day) AS day_before
FROM (
    SELECT s.location_id, s.location_code, s.place AS site_place, x.day::date AS day,
           x.day::date = s.opened_on AS opens,
           (x.day::date + time '04:20') AT TIME ZONE s.timezone AS started_at,
           (x.day::date + time '05:30') AT TIME ZONE s.timezone AS approved_at
    FROM site AS s
    CROSS JOIN LATERAL generate_series(s.opened_on, (%(as_of)s)::date, interval '1 day')
        AS x (day)
    WHERE x.day::date = s.opened_on
       OR extract(isodow FROM x.day) = 1 AND x.day::date > s.opened_on
) AS n
WHERE n.approved_at < (%(as_of)s)::timestamptz;

-- Each supply brings an item into a site; for a lot, or for none where none are kept.
CREATE TEMPORARY TABLE supply (
    inventory_item_id uuid,
    location_id       uuid,
    happened          timestamptz,
    day               date,
    cycle             integer,
    kind              text,
    source            text,
    source_id         uuid,
    quantity          numeric(14, 4),
    unit_cost         numeric(16, 6),
    lot_code          text,
    use_by_on         date
) ON COMMIT DROP;

-- Sauces go from the first kitchen to the others on the morning of the day on which they are made.
CREATE TEMPORARY TABLE sent ON COMMIT DROP AS
SELECT n.*, f.location_id AS from_location_id,
       (n.begins + time '08:00') AT TIME ZONE f.timezone AS shipped_at,
       (n.begins + time '08:25') AT TIME ZONE n.timezone AS received_at,
       md5('transfer ' || n.location_id || n.begins)::uuid AS stock_transfer_id,
       md5('sent ' || n.location_id || n.begins || n.inventory_item_id)::uuid
           AS stock_transfer_line_id,
       row_number() OVER (PARTITION BY n.location_id, n.begins ORDER BY n.item_code)::integer
           AS line_number
FROM (
    SELECT k.*, CASE WHEN k.chance %% 25 = 3 THEN round(greatest(k.needed, k.shipped * 0.97), 2)
                     ELSE k.shipped END AS received
    FROM (
        SELECT h.inventory_item_id, h.item_code, h.location_id, h.timezone, h.stock_unit_id,
               d.cycle, h.first_on + d.cycle * h.cycle_days AS begins, d.needed,
               ceil(d.needed * 10.5) / 10 AS shipped,
               ('x' || substr(md5(h.item_code || h.location_code || d.cycle), 1, 7))
               ::bit(28)::integer AS chance
        FROM shelf AS h
        JOIN (
            SELECT x.inventory_item_id, x.location_id, x.cycle,
                   ceil(sum(x.quantity) * 100) / 100 AS needed
            FROM demand AS x
            GROUP BY x.inventory_item_id, x.location_id, x.cycle
        ) AS d ON d.inventory_item_id = h.inventory_item_id AND d.location_id = h.location_id
        WHERE h.is_made AND NOT h.is_made_here
    ) AS k
) AS n
JOIN site AS f ON f.is_source;

INSERT INTO demand
    (inventory_item_id, location_id, happened, day, cycle, kind, source, source_id, quantity)
SELECT t.inventory_item_id, t.from_location_id, t.shipped_at, t.begins, t.cycle, 'transfer_out',
       'stock_transfer_line', t.stock_transfer_line_id, t.shipped
FROM sent AS t;

INSERT INTO supply
    (inventory_item_id, location_id, happened, day, cycle, kind, source, source_id, quantity,
     lot_code, use_by_on)
SELECT t.inventory_item_id, t.location_id, t.received_at, t.begins, t.cycle, 'transfer_in',
       'stock_transfer_line', t.stock_transfer_line_id, t.received,
       to_char(t.begins, 'YYMMDD') || '-PREP-' || t.item_code || '-1', t.begins + 6
FROM sent AS t;

-- Boxes are lent from site to site: one load under way, one that came back.
CREATE TEMPORARY TABLE lent ON COMMIT DROP AS
SELECT h.inventory_item_id, h.stock_unit_id, h.average_cost, n.kind, n.state, f.location_id AS
           from_location_id, o.location_id AS to_location_id, n.shipped_at, n.received_at,
       n.quantity, md5('lent ' || n.kind || n.state || %(business_id)s)::uuid
           AS stock_transfer_id,
       md5('lent ' || n.kind || n.state || h.inventory_item_id)::uuid AS stock_transfer_line_id,
       row_number() OVER (PARTITION BY n.kind, n.state ORDER BY h.item_code)::integer
           AS line_number
FROM (VALUES
    ('inter_store', 'in_transit', true, (%(as_of)s)::timestamptz - interval '40 minutes',
     NULL::timestamptz, 40),
    ('return', 'received', false, (%(as_of)s)::timestamptz - interval '12 days 8 hours',
     (%(as_of)s)::timestamptz - interval '12 days 7 hours', 12),
    ('inter_store', 'picked', true, NULL, NULL, 30),
    ('inter_store', 'approved', true, NULL, NULL, 25),
    ('inter_store', 'requested', true, NULL, NULL, 20),
    ('inter_store', 'cancelled', true, NULL, NULL, 20)
) AS n (kind, state, goes_out, shipped_at, received_at, quantity)
JOIN site AS f ON f.place = CASE WHEN n.goes_out THEN 1 ELSE 2 END
JOIN site AS o ON o.place = CASE WHEN n.goes_out THEN 2 ELSE 1 END
JOIN shelf AS h ON h.location_id = f.location_id AND h.category_code = 'BOXES'
WHERE (h.place + length(n.state)) %% 3 < 2;

INSERT INTO demand
    (inventory_item_id, location_id, happened, day, cycle, kind, source, source_id, quantity)
SELECT t.inventory_item_id, t.from_location_id, t.shipped_at,
       rest.business_date(t.from_location_id, t.shipped_at), 0, 'transfer_out',
       'stock_transfer_line', t.stock_transfer_line_id, t.quantity
FROM lent AS t
WHERE t.shipped_at IS NOT NULL;

INSERT INTO supply
    (inventory_item_id, location_id, happened, day, cycle, kind, source, source_id, quantity,
     unit_cost)
SELECT t.inventory_item_id, t.to_location_id, t.received_at,
       rest.business_date(t.to_location_id, t.received_at), 0, 'transfer_in',
       'stock_transfer_line', t.stock_transfer_line_id, t.quantity, t.average_cost
FROM lent AS t
WHERE t.received_at IS NOT NULL;

-- A batch each cycle, a little more than its days take. What the cycle under way will still take
-- is what it took till now, and what cycles take on the average.
CREATE TEMPORARY TABLE batch ON COMMIT DROP AS
SELECT n.*, md5('batch ' || n.location_id || n.inventory_item_id || n.begins)::uuid AS batch_id,
       (n.begins + time '07:40') AT TIME ZONE n.timezone AS completed_at
FROM (
    SELECT h.inventory_item_id, h.item_code, h.location_id, h.timezone, h.recipe_id, h.yield_qty,
           h.shelf_life_days, d.cycle, h.first_on + d.cycle * h.cycle_days AS begins,
           ceil(10 * (1.02 + ('x' || substr(md5(h.item_code || h.location_code || d.cycle), 1, 7))
                             ::bit(28)::integer %% 40 / 1000.0)
                * CASE WHEN h.first_on + (d.cycle + 1) * h.cycle_days > (%(as_of)s)::date
                       THEN greatest(d.needed * 1.2, d.mean * 1.1) ELSE d.needed END) / 10 AS made
    FROM shelf AS h
    JOIN (
        SELECT x.inventory_item_id, x.location_id, x.cycle, sum(x.quantity) AS needed,
               avg(sum(x.quantity)) OVER (PARTITION BY x.inventory_item_id, x.location_id) AS mean
        FROM demand AS x
        GROUP BY x.inventory_item_id, x.location_id, x.cycle
    ) AS d ON d.inventory_item_id = h.inventory_item_id AND d.location_id = h.location_id
    WHERE h.is_made_here
) AS n;

INSERT INTO supply
    (inventory_item_id, location_id, happened, day, cycle, kind, source, source_id, quantity,
     lot_code, use_by_on)
SELECT b.inventory_item_id, b.location_id, b.completed_at, b.begins, b.cycle, 'production_in',
       'production_batch', b.batch_id, b.made,
       to_char(b.begins, 'YYMMDD') || '-PREP-' || b.item_code || '-1',
       b.begins + b.shelf_life_days
FROM batch AS b;

-- What went in was for what was planned; 73_production_costs.sql reckons the same plan.
INSERT INTO demand
    (inventory_item_id, location_id, happened, day, cycle, kind, source, source_id, quantity)
SELECT p.inventory_item_id, b.location_id, b.completed_at, b.begins,
       CASE WHEN h.is_fresh THEN (b.begins - h.first_on) / h.cycle_days ELSE 0 END,
       'production_out', 'production_batch', b.batch_id,
       round(p.amount * round(b.made / (0.94 + ('x' || substr(md5(b.batch_id || 'made'), 1, 7))
                                               ::bit(28)::integer %% 9 * 0.01), 4)
             / b.yield_qty, 4)
FROM batch AS b
JOIN part AS p ON p.recipe_id = b.recipe_id
JOIN shelf AS h
    ON h.inventory_item_id = p.inventory_item_id AND h.location_id = b.location_id
WHERE round(p.amount * b.made / b.yield_qty, 4) > 0.0001;

-- A week of what keeps: some is dropped, old oil is collected, and some is missing when counted.
CREATE TEMPORARY TABLE lost (
    waste_log_id      uuid,
    inventory_item_id uuid,
    location_id       uuid,
    happened          timestamptz,
    day               date,
    cycle             integer,
    waste_kind        text,
    quantity          numeric(14, 4)
) ON COMMIT DROP;

INSERT INTO lost
    (waste_log_id, inventory_item_id, location_id, happened, day, cycle, waste_kind, quantity)
SELECT md5('lost ' || w.location_id || w.inventory_item_id || w.week)::uuid, w.inventory_item_id,
       w.location_id, w.latest + interval '50 minutes', w.day, 0,
       CASE WHEN w.item_code = 'FRYOIL' THEN 'spoilage' WHEN w.chance %% 3 = 0 THEN 'dropped'
            ELSE 'spoilage' END,
       greatest(round(w.used * CASE WHEN w.item_code = 'FRYOIL' THEN 0.12 ELSE 0.03 END, 2), 0.01)
FROM (
    SELECT h.inventory_item_id, h.location_id, h.item_code, (d.day - h.opened_on) / 7 AS week,
           sum(d.quantity) AS used, max(d.happened) AS latest,
           max(d.day) AS day,
           ('x' || substr(md5(h.item_code || h.location_code || (d.day - h.opened_on) / 7), 1, 7))
           ::bit(28)::integer AS chance
    FROM demand AS d
    JOIN shelf AS h
        ON h.inventory_item_id = d.inventory_item_id AND h.location_id = d.location_id
    WHERE NOT h.is_fresh AND h.has_lots AND d.kind = 'sale'
    GROUP BY h.inventory_item_id, h.location_id, h.item_code, h.location_code,
             (d.day - h.opened_on) / 7
) AS w
WHERE (w.item_code = 'FRYOIL' OR w.chance %% 11 = 0) AND w.used >= 0.2
  AND w.latest + interval '50 minutes' < (%(as_of)s)::timestamptz;

-- What is missing at a count is posted for its line; what cleans is reckoned by counting alone.
INSERT INTO demand
    (inventory_item_id, location_id, happened, day, cycle, kind, source, source_id, quantity)
SELECT k.inventory_item_id, k.location_id, k.counted_at, k.day, 0, 'count_adjustment',
       'inventory_count_line', md5('counted ' || k.inventory_count_id || k.inventory_item_id)::uuid,
       k.missing
FROM (
    SELECT h.inventory_item_id, h.location_id, t.day, t.inventory_count_id,
           t.started_at + h.area_place * t.area_pace + h.place * t.shelf_pace AS counted_at,
           CASE WHEN h.item_kind = 'supply' THEN (n.chance %% 3)::numeric
                WHEN n.chance %% 5 < 2
                THEN round(u.used * (3 + n.chance %% 20) / 1000.0,
                           CASE WHEN h.has_lots THEN 2 ELSE 0 END) ELSE 0 END AS missing
    FROM shelf AS h
    JOIN tally AS t ON t.location_id = h.location_id AND NOT t.opens
    LEFT JOIN (
        SELECT d.inventory_item_id, d.location_id, y.day, sum(d.quantity) AS used
        FROM demand AS d
        JOIN tally AS y
            ON y.location_id = d.location_id AND d.day < y.day AND d.day >= y.day_before
        GROUP BY d.inventory_item_id, d.location_id, y.day
    ) AS u ON u.inventory_item_id = h.inventory_item_id AND u.location_id = h.location_id
          AND u.day = t.day
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5(h.item_code || t.inventory_count_id), 1, 7))
               ::bit(28)::integer AS chance
    ) AS n
    WHERE NOT h.is_fresh
) AS k
WHERE k.missing > 0;

INSERT INTO demand
    (inventory_item_id, location_id, happened, day, cycle, kind, source, source_id, quantity)
SELECT l.inventory_item_id, l.location_id, l.happened, l.day, l.cycle, 'waste', 'waste_log',
       l.waste_log_id, l.quantity
FROM lost AS l;

ANALYZE demand;

-- Fresh food is bought for its cycle.
INSERT INTO supply
    (inventory_item_id, location_id, happened, day, cycle, kind, source, source_id, quantity,
     unit_cost, lot_code, use_by_on)
SELECT n.inventory_item_id, n.location_id, (n.begins + time '06:20') AT TIME ZONE n.timezone,
       n.begins, n.cycle, 'receipt', 'goods_receipt_line',
       md5('bought ' || n.location_id || n.inventory_item_id || n.begins)::uuid, n.bought,
       rest.vendor_price(n.vendor_item_id, 1, n.begins) / n.pack,
       'L' || to_char(n.begins, 'YYMMDD') || '-' || n.item_code, n.begins + n.shelf_life_days
FROM (
    SELECT h.inventory_item_id, h.item_code, h.location_id, h.timezone, h.shelf_life_days,
           h.vendor_item_id, h.pack, d.cycle, h.first_on + d.cycle * h.cycle_days AS begins,
           ceil(10 * (1.02 + ('x' || substr(md5(h.item_code || h.location_code || d.cycle), 1, 7))
                             ::bit(28)::integer %% 40 / 1000.0)
                * CASE WHEN h.first_on + (d.cycle + 1) * h.cycle_days > (%(as_of)s)::date
                       THEN greatest(d.needed * 1.2, d.mean * 1.1) ELSE d.needed END) / 10
               AS bought
    FROM shelf AS h
    JOIN (
        SELECT x.inventory_item_id, x.location_id, x.cycle, sum(x.quantity) AS needed,
               avg(sum(x.quantity)) OVER (PARTITION BY x.inventory_item_id, x.location_id) AS mean
        FROM demand AS x
        GROUP BY x.inventory_item_id, x.location_id, x.cycle
    ) AS d ON d.inventory_item_id = h.inventory_item_id AND d.location_id = h.location_id
    WHERE h.is_fresh AND NOT h.is_made
) AS n;

-- What keeps: the opening count finds what lasts until the first delivery and the par; then packs
-- come each week, so many that half of the par is there until the next.
CREATE TEMPORARY TABLE par ON COMMIT DROP AS
SELECT h.inventory_item_id, h.location_id,
       ceil(coalesce(d.used, 0) / 5 * 1.3)
           + CASE WHEN h.item_kind = 'supply' THEN 8 WHEN h.category_code = 'BOXES' THEN 120
                  WHEN h.category_code IN ('SPIRITS', 'SPICES') THEN 2
                  WHEN h.storage_temp_class = 'dry' THEN 5 ELSE 3 END AS quantity,
       coalesce(d.at_first, 0) AS at_first
FROM shelf AS h
LEFT JOIN (
    SELECT x.inventory_item_id, x.location_id, sum(x.quantity) AS used,
           sum(x.quantity) FILTER (WHERE x.happened < (y.packs_on + time '06:20')
                                                      AT TIME ZONE y.timezone) AS at_first
    FROM demand AS x
    JOIN shelf AS y
        ON y.inventory_item_id = x.inventory_item_id AND y.location_id = x.location_id
    GROUP BY x.inventory_item_id, x.location_id
) AS d ON d.inventory_item_id = h.inventory_item_id AND d.location_id = h.location_id
WHERE NOT h.is_fresh;

INSERT INTO supply
    (inventory_item_id, location_id, happened, day, cycle, kind, source, source_id, quantity,
     unit_cost, lot_code, use_by_on)
SELECT h.inventory_item_id, h.location_id,
       t.started_at + h.area_place * t.area_pace + h.place * t.shelf_pace, t.day, 0,
       'count_adjustment', 'inventory_count_line',
       md5('counted ' || t.inventory_count_id || h.inventory_item_id)::uuid,
       ceil(p.at_first) + p.quantity, h.average_cost,
       CASE WHEN h.has_lots THEN 'OPEN-' || to_char(t.day, 'YYMMDD') || '-' || h.item_code END,
       t.day + h.shelf_life_days
FROM shelf AS h
JOIN par AS p ON p.inventory_item_id = h.inventory_item_id AND p.location_id = h.location_id
JOIN tally AS t ON t.location_id = h.location_id AND t.opens;

INSERT INTO supply
    (inventory_item_id, location_id, happened, day, cycle, kind, source, source_id, quantity,
     unit_cost, lot_code, use_by_on)
SELECT n.inventory_item_id, n.location_id, n.comes_at, n.day, 0, 'receipt', 'goods_receipt_line',
       md5('bought ' || n.location_id || n.inventory_item_id || n.day)::uuid,
       n.packs * n.pack - coalesce(lag(n.packs * n.pack) OVER w, 0),
       rest.vendor_price(n.vendor_item_id, 1, n.day) / n.pack,
       CASE WHEN n.has_lots THEN 'L' || to_char(n.day, 'YYMMDD') || '-' || n.item_code END,
       n.day + n.shelf_life_days
FROM (
    SELECT k.*, ceil(greatest(k.used - ceil(p.at_first) - p.quantity / 2, 0) / k.pack) AS packs
    FROM (
        SELECT h.inventory_item_id, h.item_code, h.location_id, h.vendor_item_id, h.pack,
               h.has_lots, h.shelf_life_days, w.day, w.comes_at,
               coalesce(sum(d.quantity), 0) AS used
        FROM shelf AS h
        CROSS JOIN generate_series(0, 5) AS x (week)
        CROSS JOIN LATERAL (
            SELECT h.packs_on + 7 * x.week AS day,
                   (h.packs_on + 7 * x.week + time '06:20') AT TIME ZONE h.timezone AS comes_at
        ) AS w
        LEFT JOIN demand AS d
            ON d.inventory_item_id = h.inventory_item_id AND d.location_id = h.location_id
           AND d.happened < w.comes_at + interval '7 days'
        WHERE NOT h.is_fresh AND w.comes_at < (%(as_of)s)::timestamptz
        GROUP BY h.inventory_item_id, h.item_code, h.location_id, h.vendor_item_id, h.pack,
                 h.has_lots, h.shelf_life_days, w.day, w.comes_at
    ) AS k
    JOIN par AS p
        ON p.inventory_item_id = k.inventory_item_id AND p.location_id = k.location_id
) AS n
WINDOW w AS (PARTITION BY n.inventory_item_id, n.location_id ORDER BY n.day);

DELETE FROM supply WHERE quantity = 0;

-- What is left of fresh food at the end of its last day: a third is written down as waste, the
-- rest is found missing by the count after it.
CREATE TEMPORARY TABLE remains ON COMMIT DROP AS
SELECT s.inventory_item_id, s.location_id, s.cycle, h.is_made, h.category_code, h.timezone,
       s.use_by_on AS day, n.chance,
       sum(s.quantity) - coalesce(max(d.quantity), 0) AS quantity,
       greatest((s.use_by_on + time '21:40') AT TIME ZONE h.timezone,
                max(d.latest) + interval '20 minutes') AS ends_at
FROM supply AS s
JOIN shelf AS h ON h.inventory_item_id = s.inventory_item_id AND h.location_id = s.location_id
LEFT JOIN (
    SELECT x.inventory_item_id, x.location_id, x.cycle, sum(x.quantity) AS quantity,
           max(x.happened) AS latest
    FROM demand AS x
    GROUP BY x.inventory_item_id, x.location_id, x.cycle
) AS d ON d.inventory_item_id = s.inventory_item_id AND d.location_id = s.location_id
      AND d.cycle = s.cycle
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5(h.item_code || h.location_code || s.cycle || 'left'), 1, 7))
           ::bit(28)::integer AS chance
) AS n
WHERE h.is_fresh
GROUP BY s.inventory_item_id, s.location_id, s.cycle, h.is_made, h.category_code, h.timezone,
         s.use_by_on, n.chance;

INSERT INTO lost
    (waste_log_id, inventory_item_id, location_id, happened, day, cycle, waste_kind, quantity)
SELECT md5('lost ' || r.location_id || r.inventory_item_id || r.cycle || r.day)::uuid,
       r.inventory_item_id, r.location_id, r.ends_at, r.day, r.cycle,
       CASE r.chance / 7 %% 6
            WHEN 0 THEN 'staff_meal' WHEN 1 THEN CASE WHEN r.is_made THEN 'overproduction'
                                                      ELSE 'trim' END
            WHEN 2 THEN CASE WHEN r.category_code = 'PRODUCE' THEN 'spoilage' ELSE 'dropped' END
            WHEN 3 THEN CASE WHEN r.is_made THEN 'overproduction' ELSE 'donation' END
            ELSE 'expired' END,
       r.quantity
FROM remains AS r
WHERE r.quantity > 0.02 AND r.chance %% 3 = 0 AND r.ends_at < (%(as_of)s)::timestamptz;

INSERT INTO demand
    (inventory_item_id, location_id, happened, day, cycle, kind, source, source_id, quantity)
SELECT l.inventory_item_id, l.location_id, l.happened, l.day, l.cycle,
       CASE l.waste_kind WHEN 'staff_meal' THEN 'staff_meal' ELSE 'waste' END, 'waste_log',
       l.waste_log_id, l.quantity
FROM lost AS l
JOIN shelf AS h ON h.inventory_item_id = l.inventory_item_id AND h.location_id = l.location_id
WHERE h.is_fresh;

INSERT INTO demand
    (inventory_item_id, location_id, happened, day, cycle, kind, source, source_id, quantity)
SELECT r.inventory_item_id, r.location_id,
       t.started_at + h.area_place * t.area_pace + h.place * t.shelf_pace, t.day, r.cycle,
       'count_adjustment', 'inventory_count_line',
       md5('counted ' || t.inventory_count_id || r.inventory_item_id)::uuid, r.quantity
FROM remains AS r
JOIN shelf AS h ON h.inventory_item_id = r.inventory_item_id AND h.location_id = r.location_id
JOIN tally AS t ON t.location_id = r.location_id AND r.day < t.day AND r.day >= t.day_before
LEFT JOIN lost AS l
    ON l.inventory_item_id = r.inventory_item_id AND l.location_id = r.location_id
   AND l.cycle = r.cycle
WHERE r.quantity > 0 AND l.waste_log_id IS NULL;

-- Boxes that turn up again belong to no delivery.
INSERT INTO supply
    (inventory_item_id, location_id, happened, day, cycle, kind, source, source_id, quantity,
     unit_cost)
SELECT h.inventory_item_id, h.location_id,
       t.started_at + h.area_place * t.area_pace + h.place * t.shelf_pace, t.day, 0,
       'count_adjustment', 'inventory_count_line',
       md5('counted ' || t.inventory_count_id || h.inventory_item_id)::uuid,
       3 + n.chance %% 9, h.average_cost
FROM shelf AS h
JOIN tally AS t ON t.location_id = h.location_id AND NOT t.opens
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5(h.item_code || t.inventory_count_id || 'found'), 1, 7))
           ::bit(28)::integer AS chance
) AS n
WHERE h.category_code = 'BOXES' AND n.chance %% 8 = 0
  AND NOT EXISTS (SELECT FROM demand AS d
                  WHERE d.source_id = md5('counted ' || t.inventory_count_id
                                          || h.inventory_item_id)::uuid);

ANALYZE demand;
ANALYZE supply;

-- The first in is the first out: both laid end to end, a demand takes of the supplies that it
-- covers. Where no lots are kept it takes of the item.
CREATE TEMPORARY TABLE taken ON COMMIT DROP AS
SELECT d.inventory_item_id, d.location_id, d.happened, d.day, d.kind, d.source, d.source_id,
       s.lot_code, sum(least(d.till, s.till) - greatest(d.since, s.since)) AS quantity,
       NULL::numeric(16, 6) AS unit_cost
FROM (
    SELECT x.*, sum(x.quantity) OVER w AS till, sum(x.quantity) OVER w - x.quantity AS since
    FROM demand AS x
    WINDOW w AS (PARTITION BY x.inventory_item_id, x.location_id, x.cycle
                 ORDER BY x.happened, x.kind, x.source_id)
) AS d
JOIN (
    SELECT x.*, sum(x.quantity) OVER w AS till, sum(x.quantity) OVER w - x.quantity AS since
    FROM supply AS x
    WHERE x.lot_code IS NOT NULL
    WINDOW w AS (PARTITION BY x.inventory_item_id, x.location_id, x.cycle
                 ORDER BY x.happened, x.source_id)
) AS s ON s.inventory_item_id = d.inventory_item_id AND s.location_id = d.location_id
      AND s.cycle = d.cycle AND s.till > d.since AND s.since < d.till
GROUP BY d.inventory_item_id, d.location_id, d.happened, d.day, d.kind, d.source, d.source_id,
         s.lot_code
UNION ALL
SELECT d.inventory_item_id, d.location_id, d.happened, d.day, d.kind, d.source, d.source_id, NULL,
       d.quantity, g.average_cost
FROM demand AS d
JOIN good AS g ON g.inventory_item_id = d.inventory_item_id AND NOT g.has_lots;

ANALYZE taken;

-- What was bought cost its price, what was made its ingredients, what was sent what it had cost.
UPDATE taken AS t
SET unit_cost = s.unit_cost
FROM supply AS s
WHERE s.inventory_item_id = t.inventory_item_id AND s.location_id = t.location_id
  AND s.lot_code = t.lot_code AND s.unit_cost IS NOT NULL;

UPDATE supply AS s
SET unit_cost = n.cost / s.quantity
FROM (
    SELECT t.source_id, sum(t.quantity * t.unit_cost) AS cost
    FROM taken AS t
    WHERE t.kind = 'production_out'
    GROUP BY t.source_id
) AS n
WHERE s.kind = 'production_in' AND s.source_id = n.source_id;

UPDATE supply AS s
SET unit_cost = o.unit_cost
FROM sent AS t
JOIN supply AS o
    ON o.inventory_item_id = t.inventory_item_id AND o.location_id = t.from_location_id
   AND o.cycle = t.cycle AND o.kind = 'production_in'
WHERE s.kind = 'transfer_in' AND s.source_id = t.stock_transfer_line_id;

UPDATE taken AS t
SET unit_cost = s.unit_cost
FROM supply AS s
WHERE s.inventory_item_id = t.inventory_item_id AND s.location_id = t.location_id
  AND s.lot_code = t.lot_code AND t.unit_cost IS NULL;

CREATE TEMPORARY TABLE moved ON COMMIT DROP AS
SELECT h.storage_area_id, m.*,
       CASE WHEN m.lot_code IS NOT NULL
            THEN md5('lot ' || h.storage_area_id || m.inventory_item_id || m.lot_code)::uuid END
           AS stock_lot_id,
       md5('moved ' || m.kind || m.source_id || m.inventory_item_id || m.location_id
           || coalesce(m.lot_code, ''))::uuid AS stock_movement_id,
       sum(m.quantity) OVER (PARTITION BY m.inventory_item_id, m.location_id
                             ORDER BY m.happened, m.quantity < 0, m.source_id,
                                      m.lot_code) AS balance
FROM (
    SELECT s.inventory_item_id, s.location_id, s.happened, s.day, s.kind, s.source, s.source_id,
           s.quantity, s.unit_cost, s.lot_code, s.use_by_on
    FROM supply AS s
    UNION ALL
    SELECT t.inventory_item_id, t.location_id, t.happened, t.day, t.kind, t.source, t.source_id,
           -t.quantity, t.unit_cost, t.lot_code, NULL
    FROM taken AS t
) AS m
JOIN shelf AS h ON h.inventory_item_id = m.inventory_item_id AND h.location_id = m.location_id;

ANALYZE moved;

INSERT INTO rest.stock_lot
    (business_id, stock_lot_id, inventory_item_id, storage_area_id, lot_code,
     traceability_lot_code, source_kind, received_on, use_by_on, initial_qty, remaining_qty,
     unit_cost, status)
SELECT %(business_id)s, m.stock_lot_id, m.inventory_item_id, m.storage_area_id, m.lot_code,
       CASE WHEN g.on_traceability_list THEN 'TLC-' || s.location_code || '-' || m.lot_code END,
       CASE m.kind WHEN 'receipt' THEN 'receipt' WHEN 'production_in' THEN 'production'
                   WHEN 'transfer_in' THEN 'transfer' ELSE 'opening' END,
       m.day, m.use_by_on, m.quantity, n.remaining, m.unit_cost,
       CASE WHEN n.remaining = 0 THEN 'depleted'
            WHEN m.use_by_on < ((%(as_of)s)::timestamptz AT TIME ZONE s.timezone
                                - make_interval(hours => s.closeout_hour))::date THEN 'expired'
            ELSE 'available' END
FROM moved AS m
JOIN good AS g ON g.inventory_item_id = m.inventory_item_id
JOIN site AS s ON s.location_id = m.location_id
JOIN (
    SELECT x.stock_lot_id, sum(x.quantity) AS remaining
    FROM moved AS x
    GROUP BY x.stock_lot_id
) AS n ON n.stock_lot_id = m.stock_lot_id
WHERE m.quantity > 0;

-- What comes in moves the average of its area: what lay there and what came, by their weight.
CREATE TEMPORARY TABLE arrival ON COMMIT DROP AS
SELECT m.inventory_item_id, m.location_id, m.quantity, m.unit_cost,
       m.balance - m.quantity AS before,
       row_number() OVER (PARTITION BY m.inventory_item_id, m.location_id
                          ORDER BY m.happened, m.source_id)::integer AS place
FROM moved AS m
WHERE m.kind IN ('receipt', 'production_in', 'transfer_in')
   OR m.kind = 'count_adjustment' AND m.balance = m.quantity AND m.quantity > 0;

CREATE TEMPORARY TABLE average ON COMMIT DROP AS
WITH RECURSIVE average AS (
    SELECT a.inventory_item_id, a.location_id, a.place, a.unit_cost::numeric AS cost
    FROM arrival AS a
    WHERE a.place = 1
    UNION ALL
    SELECT a.inventory_item_id, a.location_id, a.place,
           round((greatest(a.before, 0) * v.cost + a.quantity * a.unit_cost)
                 / (greatest(a.before, 0) + a.quantity), 6)
    FROM average AS v
    JOIN arrival AS a
        ON a.inventory_item_id = v.inventory_item_id AND a.location_id = v.location_id
       AND a.place = v.place + 1
)
SELECT DISTINCT ON (v.inventory_item_id, v.location_id) v.inventory_item_id, v.location_id, v.cost
FROM average AS v
ORDER BY v.inventory_item_id, v.location_id, v.place DESC;

INSERT INTO rest.stock_level
    (business_id, stock_level_id, inventory_item_id, storage_area_id, on_hand_qty, reserved_qty,
     par_qty, min_qty, max_qty, average_cost, last_moved_at, shelf_sequence)
SELECT %(business_id)s, md5('level ' || h.storage_area_id || h.inventory_item_id)::uuid,
       h.inventory_item_id, h.storage_area_id, coalesce(m.quantity, 0), coalesce(r.quantity, 0),
       q.par, round(q.par * 0.5, 1), q.par * 2, coalesce(v.cost, h.average_cost), m.latest,
       h.place * 10
FROM shelf AS h
LEFT JOIN (
    SELECT x.inventory_item_id, x.location_id, sum(x.quantity) AS quantity,
           max(x.happened) AS latest
    FROM moved AS x
    GROUP BY x.inventory_item_id, x.location_id
) AS m ON m.inventory_item_id = h.inventory_item_id AND m.location_id = h.location_id
LEFT JOIN (
    SELECT x.inventory_item_id, x.from_location_id, sum(x.quantity) AS quantity
    FROM lent AS x
    WHERE x.state = 'picked'
    GROUP BY x.inventory_item_id, x.from_location_id
) AS r ON r.inventory_item_id = h.inventory_item_id AND r.from_location_id = h.location_id
LEFT JOIN average AS v
    ON v.inventory_item_id = h.inventory_item_id AND v.location_id = h.location_id
LEFT JOIN par AS p ON p.inventory_item_id = h.inventory_item_id AND p.location_id = h.location_id
LEFT JOIN (
    SELECT x.inventory_item_id, x.location_id,
           sum(x.quantity) / count(DISTINCT x.cycle) AS quantity
    FROM demand AS x
    GROUP BY x.inventory_item_id, x.location_id
) AS c ON c.inventory_item_id = h.inventory_item_id AND c.location_id = h.location_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN h.is_fresh THEN ceil(coalesce(c.quantity, 0) * 2) / 2
                ELSE p.quantity END AS par
) AS q;

INSERT INTO rest.stock_movement
    (business_id, stock_movement_id, inventory_item_id, storage_area_id, stock_lot_id,
     occurred_at, business_date, movement_kind, quantity, unit_cost, balance_after, source_kind,
     source_id, created_at)
SELECT %(business_id)s, m.stock_movement_id, m.inventory_item_id, m.storage_area_id,
       m.stock_lot_id, m.happened, m.day, m.kind, m.quantity, m.unit_cost, m.balance, m.source,
       m.source_id, m.happened
FROM moved AS m
ORDER BY m.happened, m.quantity < 0, m.source_id, m.inventory_item_id, m.lot_code;

-- Bottles and tubs are open; one lot is held back until somebody has looked at it.
UPDATE rest.stock_lot AS l
SET opened_at = n.latest
FROM (
    SELECT m.stock_lot_id, max(m.happened) AS latest
    FROM moved AS m
    WHERE m.kind IN ('sale', 'production_out')
    GROUP BY m.stock_lot_id
) AS n, rest.inventory_item AS i
WHERE l.business_id = %(business_id)s AND l.stock_lot_id = n.stock_lot_id
  AND i.business_id = l.business_id AND i.inventory_item_id = l.inventory_item_id
  AND l.status = 'available'
  AND n.latest + i.opened_life_hours * interval '1 hour' > (%(as_of)s)::timestamptz;

UPDATE rest.stock_lot AS l
SET status = 'quarantined'
WHERE l.business_id = %(business_id)s AND l.stock_lot_id = (
    SELECT x.stock_lot_id
    FROM rest.stock_lot AS x
    JOIN good AS g ON g.inventory_item_id = x.inventory_item_id
    WHERE x.business_id = %(business_id)s AND x.status = 'available'
      AND x.source_kind = 'receipt' AND x.opened_at IS NULL
    ORDER BY NOT g.is_fresh, md5(x.lot_code || x.stock_lot_id), x.stock_lot_id
    LIMIT 1);

-- What came in, in order, with what was there before.
CREATE TEMPORARY TABLE bought ON COMMIT DROP AS
SELECT n.inventory_item_id, n.quantity, n.unit_cost, n.before,
       row_number() OVER (PARTITION BY n.inventory_item_id
                          ORDER BY n.happened, n.source_id)::integer AS place
FROM (
    SELECT m.inventory_item_id, m.happened, m.source_id, m.kind, m.quantity, m.unit_cost,
           sum(m.quantity) OVER (PARTITION BY m.inventory_item_id
                                 ORDER BY m.happened, m.quantity < 0, m.source_id, m.lot_code)
               - m.quantity AS before
    FROM moved AS m
) AS n
WHERE n.kind IN ('receipt', 'production_in');

ANALYZE bought;

-- The item knows what it cost last and by weight; what costs most is counted most often.
WITH RECURSIVE cost AS (
    SELECT g.inventory_item_id, 0 AS place, g.average_cost::numeric AS average,
           g.average_cost::numeric AS latest
    FROM good AS g
    UNION ALL
    SELECT b.inventory_item_id, b.place,
           round((greatest(b.before, 0) * c.average + b.quantity * b.unit_cost)
                 / (greatest(b.before, 0) + b.quantity), 6), b.unit_cost
    FROM cost AS c
    JOIN bought AS b ON b.inventory_item_id = c.inventory_item_id AND b.place = c.place + 1
), spent AS (
    SELECT n.inventory_item_id,
           sum(n.amount) OVER (ORDER BY n.amount DESC, n.inventory_item_id) - n.amount AS before,
           sum(n.amount) OVER () AS whole
    FROM (
        SELECT m.inventory_item_id, sum(m.quantity * m.unit_cost) AS amount
        FROM moved AS m
        WHERE m.kind IN ('receipt', 'production_in')
        GROUP BY m.inventory_item_id
    ) AS n
)
UPDATE rest.inventory_item AS i
SET average_cost = c.average, last_cost = c.latest,
    abc_class = CASE WHEN s.before < s.whole * 0.7 THEN 'a' WHEN s.before < s.whole * 0.9 THEN 'b'
                     ELSE 'c' END
FROM (
    SELECT DISTINCT ON (x.inventory_item_id) x.*
    FROM cost AS x
    ORDER BY x.inventory_item_id, x.place DESC
) AS c
LEFT JOIN spent AS s ON s.inventory_item_id = c.inventory_item_id
WHERE i.business_id = %(business_id)s AND i.inventory_item_id = c.inventory_item_id;

-- The counts that posted what was missing, and four that posted nothing.
CREATE TEMPORARY TABLE sheet ON COMMIT DROP AS
SELECT t.inventory_count_id, t.location_id, t.location_code, t.day, t.started_at,
       t.started_at + interval '62 minutes' AS submitted_at, t.approved_at,
       'approved' AS state, 'full' AS kind, t.opens, t.area_pace, t.shelf_pace,
       t.place + t.site_place AS place
FROM tally AS t
UNION ALL
SELECT md5('count ' || s.location_id || n.state)::uuid, s.location_id, s.location_code,
       rest.business_date(s.location_id, (%(as_of)s)::timestamptz - n.ago),
       (%(as_of)s)::timestamptz - n.ago,
       CASE n.state WHEN 'submitted' THEN (%(as_of)s)::timestamptz - n.ago + interval '45 minutes'
                    END, NULL, n.state, n.kind, false, interval '1 minute',
       interval '3 seconds', n.place
FROM site AS s
JOIN (VALUES (1, 'submitted', 'key_items', interval '6 hours', 1),
             (2, 'counting', 'spot', interval '35 minutes', 2),
             (3, 'draft', 'category', interval '10 minutes', 1),
             (4, 'cancelled', 'spot', interval '6 days 3 hours', 2))
    AS n (place, state, kind, ago, site_place)
    ON s.place = n.site_place OR NOT EXISTS (SELECT FROM site AS x WHERE x.place = 2);

INSERT INTO rest.inventory_count
    (business_id, inventory_count_id, started_by_staff_id, approved_by_staff_id, location_id,
     count_number, count_kind, business_date, started_at, submitted_at, approved_at, state,
     freezes_stock)
SELECT %(business_id)s, c.inventory_count_id, m.ids[1 + c.place %% m.people],
       CASE c.state WHEN 'approved' THEN m.ids[1 + (c.place + 3) %% m.people] END, c.location_id,
       'IC-' || to_char(c.day, 'YYMMDD') || CASE c.kind WHEN 'full' THEN '' ELSE '-' || upper(left(
           c.kind, 1)) || c.place END,
       c.kind, c.day, c.started_at, c.submitted_at, c.approved_at, c.state,
       c.kind = 'full'
FROM sheet AS c
CROSS JOIN hand AS m;

INSERT INTO rest.inventory_count_line
    (business_id, inventory_count_line_id, inventory_count_id, inventory_item_id, storage_area_id,
     unit_of_measure_id, reason_code_id, sequence_no, expected_qty, counted_qty,
     counted_unit_qty, recount_qty, unit_cost, counted_at)
SELECT %(business_id)s, n.id, n.inventory_count_id, n.inventory_item_id, n.storage_area_id,
       n.stock_unit_id,
       CASE WHEN NOT n.opens AND n.counted <> n.expected
            THEN w.ids[1 + CASE WHEN n.chance %% 10 < 7 THEN 0 WHEN n.chance %% 10 < 9 THEN 2
                                ELSE 1 END] END,
       n.place, n.expected, n.counted, n.counted,
       CASE WHEN NOT n.opens AND abs(n.counted - n.expected) * n.average_cost > 4
            THEN n.counted END, n.average_cost,
       n.counted_at
FROM (
    SELECT k.*, row_number() OVER (PARTITION BY k.inventory_count_id
                                   ORDER BY k.area_place, k.shelf_place) AS place,
           -- What nobody has approved yet is not posted.
           CASE WHEN k.counted_at IS NOT NULL
                THEN k.expected + CASE WHEN k.state = 'approved' THEN k.change
                                       WHEN k.chance %% 4 = 0 THEN -round(k.expected * 0.04, 2)
                                       ELSE 0 END END AS counted
    FROM (
        SELECT c.inventory_count_id, c.opens, c.state, x.counted_at, h.inventory_item_id,
               h.storage_area_id, h.stock_unit_id, h.average_cost, h.place AS shelf_place,
               h.area_place, x.id,
               coalesce(sum(m.quantity) FILTER (
                   WHERE m.happened < coalesce(x.counted_at, c.started_at)), 0) AS expected,
               coalesce(sum(m.quantity) FILTER (WHERE m.source_id = x.id), 0) AS change,
               ('x' || substr(md5(x.id::text), 1, 7))::bit(28)::integer AS chance
        FROM sheet AS c
        JOIN shelf AS h ON h.location_id = c.location_id
        JOIN rest.inventory_item AS i
            ON i.business_id = %(business_id)s AND i.inventory_item_id = h.inventory_item_id
        CROSS JOIN LATERAL (
            SELECT md5('counted ' || c.inventory_count_id || h.inventory_item_id)::uuid AS id,
                   CASE WHEN c.state IN ('approved', 'submitted')
                             OR c.state = 'counting' AND h.place %% 2 = 0
                        THEN c.started_at + h.area_place * c.area_pace + h.place * c.shelf_pace
                        END AS counted_at
        ) AS x
        JOIN moved AS m
            ON m.inventory_item_id = h.inventory_item_id AND m.location_id = h.location_id
        WHERE CASE c.kind WHEN 'full' THEN true WHEN 'key_items' THEN i.abc_class = 'a'
                          WHEN 'category' THEN h.category_code = 'DAIRY'
                          ELSE h.category_code IN ('SOFT', 'BOXES') END
        GROUP BY c.inventory_count_id, c.opens, c.state, x.counted_at, h.inventory_item_id,
                 h.storage_area_id, h.stock_unit_id, h.average_cost, h.place, h.area_place, x.id
    ) AS k
    WHERE k.expected <> 0 OR k.change <> 0
) AS n
CROSS JOIN (
    SELECT array_agg(x.reason_code_id ORDER BY x.code, x.reason_code_id) AS ids
    FROM rest.reason_code AS x
    WHERE x.business_id = %(business_id)s AND x.reason_group = 'count_variance'
) AS w;

UPDATE rest.inventory_count AS c
SET line_count = n.lines, counted_value = n.counted, variance_value = n.variance
FROM (
    SELECT l.inventory_count_id, count(*) AS lines, sum(l.counted_qty * l.unit_cost) AS counted,
           sum(l.variance_value) AS variance
    FROM rest.inventory_count_line AS l
    WHERE l.business_id = %(business_id)s
    GROUP BY l.inventory_count_id
) AS n
WHERE c.business_id = %(business_id)s AND c.inventory_count_id = n.inventory_count_id
  AND c.state IN ('submitted', 'approved');

UPDATE rest.stock_level AS v
SET last_counted_at = n.counted_at, theoretical_qty = n.expected_qty
FROM (
    SELECT DISTINCT ON (l.inventory_item_id, l.storage_area_id) l.inventory_item_id,
           l.storage_area_id, l.counted_at, l.expected_qty
    FROM rest.inventory_count_line AS l
    JOIN rest.inventory_count AS c
        ON c.business_id = l.business_id AND c.inventory_count_id = l.inventory_count_id
    WHERE l.business_id = %(business_id)s AND c.state = 'approved'
    ORDER BY l.inventory_item_id, l.storage_area_id, c.approved_at DESC
) AS n
WHERE v.business_id = %(business_id)s AND v.inventory_item_id = n.inventory_item_id
  AND v.storage_area_id = n.storage_area_id;

INSERT INTO rest.waste_log
    (business_id, waste_log_id, recorded_by_staff_id, location_id, reason_code_id,
     inventory_item_id, unit_of_measure_id, occurred_at, business_date, waste_kind, quantity,
     unit_cost, disposal, created_at)
SELECT %(business_id)s, l.waste_log_id,
       m.ids[1 + ('x' || substr(md5(l.waste_log_id::text), 1, 7))::bit(28)::integer %% m.people],
       l.location_id,
       w.ids[CASE l.waste_kind WHEN 'spoilage' THEN 1 WHEN 'trim' THEN 1 WHEN 'dropped' THEN 2
                               ELSE 3 END],
       l.inventory_item_id, h.stock_unit_id, l.happened, l.day, l.waste_kind, l.quantity,
       t.unit_cost,
       CASE WHEN l.waste_kind = 'donation' THEN 'donated'
            WHEN h.item_code = 'FRYOIL' THEN 'oil_recycler'
            WHEN h.category_code = 'PRODUCE' AND l.waste_kind <> 'staff_meal' THEN 'compost'
            ELSE 'bin' END, l.happened
FROM lost AS l
JOIN shelf AS h ON h.inventory_item_id = l.inventory_item_id AND h.location_id = l.location_id
JOIN (
    SELECT x.source_id, sum(x.quantity * x.unit_cost) / sum(x.quantity) AS unit_cost
    FROM taken AS x
    WHERE x.source = 'waste_log'
    GROUP BY x.source_id
) AS t ON t.source_id = l.waste_log_id
CROSS JOIN hand AS m
CROSS JOIN (
    SELECT array_agg(x.reason_code_id ORDER BY x.code, x.reason_code_id) AS ids
    FROM rest.reason_code AS x
    WHERE x.business_id = %(business_id)s AND x.reason_group = 'waste'
) AS w;

-- Dishes that came back or fell took their ingredients when they were made.
INSERT INTO rest.waste_log
    (business_id, waste_log_id, recorded_by_staff_id, location_id, reason_code_id, menu_item_id,
     check_item_id, occurred_at, business_date, waste_kind, quantity, unit_cost, note, created_at)
SELECT %(business_id)s, md5('dish lost ' || i.check_item_id)::uuid,
       m.ids[1 + i.chance %% m.people], i.location_id, w.ids[1 + i.chance / 40 %% 3],
       i.menu_item_id, i.check_item_id, i.happened, i.day, 'returned_dish', 1, c.cost,
       CASE i.chance / 40 %% 3 WHEN 0 THEN 'Asked for medium' WHEN 1 THEN 'Not as ordered' END,
       i.happened
FROM (
    SELECT x.check_item_id, x.menu_item_id, o.location_id, x.sent_at + interval '24 minutes'
               AS happened,
           (x.sent_at AT TIME ZONE s.timezone - make_interval(hours => s.closeout_hour))::date
               AS day,
           ('x' || substr(md5(x.check_item_id || 'back'), 1, 7))::bit(28)::integer AS chance
    FROM rest.check_item AS x
    JOIN rest.guest_check AS c
        ON c.business_id = x.business_id AND c.guest_check_id = x.guest_check_id
    JOIN rest.guest_order AS o
        ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
    JOIN site AS s ON s.location_id = o.location_id
    WHERE x.business_id = %(business_id)s AND x.state = 'served'
      AND x.sent_at < (%(as_of)s)::timestamptz - interval '24 minutes'
) AS i
JOIN (
    SELECT u.menu_item_id, sum(p.amount * g.average_cost) / r.portion_count AS cost
    FROM rest.recipe_usage AS u
    JOIN rest.recipe AS r ON r.business_id = u.business_id AND r.recipe_id = u.recipe_id
    JOIN part AS p ON p.recipe_id = u.recipe_id
    JOIN good AS g ON g.inventory_item_id = p.inventory_item_id
    WHERE u.business_id = %(business_id)s AND u.usage_kind = 'item' AND u.is_active
    GROUP BY u.menu_item_id, r.portion_count
) AS c ON c.menu_item_id = i.menu_item_id
CROSS JOIN hand AS m
CROSS JOIN (
    SELECT array_agg(x.reason_code_id ORDER BY x.code, x.reason_code_id) AS ids
    FROM rest.reason_code AS x
    WHERE x.business_id = %(business_id)s AND x.reason_group = 'remake'
) AS w
WHERE i.chance %% 40 = 0;

INSERT INTO rest.stock_transfer
    (business_id, stock_transfer_id, from_location_id, to_location_id, requested_by_staff_id,
     transfer_number, transfer_kind, state, requested_at, shipped_at, received_at, vehicle_temp_c,
     temperature_ok)
SELECT %(business_id)s, t.stock_transfer_id, t.from_location_id, t.to_location_id,
       m.ids[1 + t.place %% m.people],
       'ST-' || to_char(t.requested_at, 'YYMMDD') || '-' || upper(left(t.state, 1)) || t.place,
       t.kind, t.state, t.requested_at, t.shipped_at, t.received_at,
       CASE WHEN t.is_cold AND t.shipped_at IS NOT NULL THEN 2.4 + t.place %% 5 * 0.4 END,
       CASE WHEN t.received_at IS NOT NULL THEN true END
FROM (
    SELECT n.*, row_number() OVER (ORDER BY n.requested_at, n.stock_transfer_id) AS place
    FROM (
        SELECT x.stock_transfer_id, x.from_location_id, x.location_id AS to_location_id,
               'inter_store' AS kind, 'received' AS state,
               x.shipped_at - interval '14 hours' AS requested_at, x.shipped_at, x.received_at,
               true AS is_cold
        FROM sent AS x
        WHERE x.line_number = 1
        UNION ALL
        SELECT x.stock_transfer_id, x.from_location_id, x.to_location_id, x.kind, x.state,
               coalesce(x.shipped_at - interval '3 hours', (%(as_of)s)::timestamptz
                        - length(x.state) * length(x.state) * interval '30 minutes'),
               x.shipped_at, x.received_at, false
        FROM lent AS x
        WHERE x.line_number = 1
    ) AS n
) AS t
CROSS JOIN hand AS m;

INSERT INTO rest.stock_transfer_line
    (business_id, stock_transfer_line_id, stock_transfer_id, inventory_item_id,
     unit_of_measure_id, stock_lot_id, line_number, requested_qty, shipped_qty, received_qty,
     unit_cost, discrepancy_kind, note)
SELECT %(business_id)s::uuid, t.stock_transfer_line_id, t.stock_transfer_id, t.inventory_item_id,
       t.stock_unit_id, m.stock_lot_id, t.line_number, t.shipped, t.shipped, t.received,
       m.unit_cost, CASE WHEN t.received < t.shipped THEN 'short' ELSE 'none' END,
       CASE WHEN t.received < t.shipped THEN 'Lid came off on the way' END
FROM sent AS t
JOIN moved AS m ON m.source_id = t.stock_transfer_line_id AND m.kind = 'transfer_out'
UNION ALL
SELECT %(business_id)s::uuid, t.stock_transfer_line_id, t.stock_transfer_id, t.inventory_item_id,
       t.stock_unit_id, NULL, t.line_number, t.quantity,
       CASE WHEN t.shipped_at IS NOT NULL THEN t.quantity END,
       CASE WHEN t.received_at IS NOT NULL THEN t.quantity END,
       CASE WHEN t.shipped_at IS NOT NULL THEN t.average_cost ELSE 0 END, 'none', NULL
FROM lent AS t;

UPDATE rest.stock_transfer AS t
SET total_value = n.cost
FROM (
    SELECT l.stock_transfer_id, sum(l.line_value) AS cost
    FROM rest.stock_transfer_line AS l
    WHERE l.business_id = %(business_id)s AND l.shipped_qty IS NOT NULL
    GROUP BY l.stock_transfer_id
) AS n
WHERE t.business_id = %(business_id)s AND t.stock_transfer_id = n.stock_transfer_id;
