-- The board on the wall of a shop: what stands in it, the nearest promise first.
-- budget: p95 150ms
-- weight: 8
-- mode: read
-- rows: >=0
-- params: shop_id from auto.shop
SELECT b.business_id,
       b.repair_order_id,
       b.ro_number,
       b.status,
       b.order_kind,
       b.promised_at,
       b.is_late,
       b.key_tag,
       b.customer_name,
       b.advisor_name,
       b.bay_code,
       b.grand_total,
       b.authorized_amount,
       b.minutes_in_state,
       b.jobs,
       b.jobs_done,
       b.jobs_undecided,
       b.technicians,
       b.parts_waiting
FROM (
    SELECT o.business_id, o.shop_id, o.repair_order_id, o.ro_number, o.status, o.order_kind,
           o.promised_at, o.promised_at < now() AS is_late, o.key_tag, c.display_name AS customer_name,
           v.vehicle_id, a.full_name AS advisor_name, b.bay_code, o.grand_total, o.authorized_amount,
           floor(extract(epoch FROM now() - o.updated_at) / 60)::integer AS minutes_in_state,
           n.jobs, n.jobs_done, n.jobs_undecided, w.technicians, auto.part_blockers(o.repair_order_id)
               AS parts_waiting
    FROM auto.repair_order AS o
    JOIN auto.customer AS c ON c.business_id = %(business_id)s AND c.customer_id = o.customer_id
    JOIN auto.vehicle AS v ON v.business_id = %(business_id)s AND v.vehicle_id = o.vehicle_id
    LEFT JOIN auto.technician AS a
        ON a.business_id = %(business_id)s AND a.technician_id = o.advisor_technician_id
    LEFT JOIN auto.bay AS b ON b.business_id = %(business_id)s AND b.bay_id = o.current_bay_id
    LEFT JOIN LATERAL (
        SELECT count(*) AS jobs, count(*) FILTER (WHERE j.status = 'done') AS jobs_done,
               count(*) FILTER (WHERE j.status = 'proposed') AS jobs_undecided
        FROM auto.repair_job AS j
        WHERE j.business_id = %(business_id)s AND j.repair_order_id = o.repair_order_id
          AND j.status <> 'cancelled'
    ) AS n ON true
    LEFT JOIN LATERAL (
        SELECT string_agg(DISTINCT t.full_name, ', ') AS technicians
        FROM auto.repair_job AS j
        JOIN auto.technician AS t
            ON t.business_id = %(business_id)s AND t.technician_id = j.lead_technician_id
        WHERE j.business_id = %(business_id)s AND j.repair_order_id = o.repair_order_id
          AND j.status IN ('approved', 'in_progress', 'waiting')
    ) AS w ON true
    WHERE o.status NOT IN ('closed', 'cancelled')
) AS b
WHERE b.business_id = %(business_id)s
  AND b.shop_id = %(shop_id)s
ORDER BY b.promised_at NULLS LAST, b.repair_order_id
LIMIT 200;
