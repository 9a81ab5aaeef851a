SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- The days on which something was invoiced, collected or worked, the last 400 before the moment.
CREATE TEMPORARY TABLE day_to_close ON COMMIT DROP AS
SELECT DISTINCT s.shop_id, (n.at AT TIME ZONE s.timezone)::date AS summary_on
FROM auto.shop AS s
JOIN (
    SELECT o.shop_id, v.issued_at AS at
    FROM auto.invoice AS v
    JOIN auto.repair_order AS o
        ON o.business_id = v.business_id AND o.repair_order_id = v.repair_order_id
    WHERE v.business_id = %(business_id)s AND v.status NOT IN ('draft', 'void')
    UNION ALL
    SELECT x.shop_id, x.paid_at
    FROM auto.payment AS x
    WHERE x.business_id = %(business_id)s AND x.status IN ('captured', 'settled')
    UNION ALL
    SELECT t.shop_id, c.clocked_in_at
    FROM auto.labor_clock_entry AS c
    JOIN auto.technician AS t
        ON t.business_id = c.business_id AND t.technician_id = c.technician_id
    WHERE c.business_id = %(business_id)s
) AS n ON n.shop_id = s.shop_id
WHERE s.business_id = %(business_id)s AND n.at < %(as_of)s
  AND n.at > %(as_of)s::timestamptz - interval '400 days';

-- Day by day few rows are looked up.
SET LOCAL enable_nestloop = on;
ANALYZE day_to_close;

-- The rows by their own keys first, so that a fill repeats; closing a day writes into them.
INSERT INTO auto.shop_day_summary (business_id, shop_day_summary_id, shop_id, summary_on,
                                   created_at, updated_at)
SELECT %(business_id)s, md5('day ' || d.shop_id || d.summary_on)::uuid, d.shop_id, d.summary_on,
       d.summary_on + interval '20 hours', d.summary_on + interval '20 hours'
FROM day_to_close AS d;

INSERT INTO auto.technician_day_summary (business_id, technician_day_summary_id, technician_id,
                                         shop_id, summary_on, created_at, updated_at)
SELECT %(business_id)s, md5('day ' || h.technician_id || d.summary_on)::uuid, h.technician_id,
       d.shop_id, d.summary_on, d.summary_on + interval '20 hours',
       d.summary_on + interval '20 hours'
FROM day_to_close AS d
CROSS JOIN LATERAL auto.hours_of_technicians(d.shop_id, d.summary_on) AS h;

SELECT count(auto.close_shop_day(d.shop_id, d.summary_on)) FROM day_to_close AS d;
