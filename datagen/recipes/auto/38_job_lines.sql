SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- A vehicle comes with the customer who owned it then; it stands in a bay while it is worked on.
UPDATE auto.repair_order AS o
SET customer_id = w.customer_id
FROM (
    SELECT DISTINCT ON (x.vehicle_id) x.vehicle_id, x.customer_id
    FROM auto.vehicle_ownership AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.vehicle_id, (x.ends_on IS NULL) DESC, x.vehicle_ownership_id
) AS w
WHERE o.business_id = %(business_id)s AND o.vehicle_id = w.vehicle_id
  AND o.customer_id <> w.customer_id;

UPDATE auto.repair_order AS o
SET current_bay_id = b.bay_id
FROM (
    SELECT x.repair_order_id, x.shop_id,
           row_number() OVER (PARTITION BY x.shop_id ORDER BY x.ro_number) AS place
    FROM auto.repair_order AS x
    WHERE x.business_id = %(business_id)s
      AND x.status IN ('in_progress', 'diagnosis', 'quality_check')
) AS n
JOIN (
    SELECT x.bay_id, x.shop_id,
           row_number() OVER (PARTITION BY x.shop_id ORDER BY x.bay_code) AS place
    FROM auto.bay AS x
    WHERE x.business_id = %(business_id)s AND x.status <> 'retired'
) AS b ON b.shop_id = n.shop_id AND b.place = n.place
WHERE o.business_id = %(business_id)s AND o.repair_order_id = n.repair_order_id;

-- Advisors take the orders in turn, technicians the jobs.
UPDATE auto.repair_order AS o
SET advisor_technician_id = t.technician_id
FROM (
    SELECT x.technician_id, row_number() OVER (ORDER BY x.employee_number) - 1 AS place,
           count(*) OVER () AS technicians
    FROM auto.technician AS x
    WHERE x.business_id = %(business_id)s
) AS t
WHERE o.business_id = %(business_id)s
  AND t.place = ('x' || substr(md5(o.repair_order_id::text), 1, 7))::bit(28)::integer
                %% least(2, t.technicians);

UPDATE auto.repair_job AS j
SET lead_technician_id = t.technician_id, labor_rate_id = r.labor_rate_id
FROM auto.repair_order AS o
JOIN (
    SELECT x.technician_id, row_number() OVER (ORDER BY x.employee_number DESC) - 1 AS place,
           count(*) OVER () AS technicians
    FROM auto.technician AS x
    WHERE x.business_id = %(business_id)s
) AS t ON true
LEFT JOIN LATERAL (
    SELECT x.labor_rate_id
    FROM auto.labor_rate AS x
    WHERE x.business_id = o.business_id AND x.shop_id = o.shop_id
      AND x.payer_kind = 'customer' AND x.work_kind = 'mechanical'
    ORDER BY x.effective_on DESC, x.labor_rate_id
    LIMIT 1
) AS r ON true
WHERE j.business_id = %(business_id)s
  AND o.business_id = j.business_id AND o.repair_order_id = j.repair_order_id
  AND j.status IN ('approved', 'in_progress', 'waiting', 'done')
  AND t.place = ('x' || substr(md5(j.repair_job_id::text), 1, 7))::bit(28)::integer
                %% greatest(1, t.technicians - 2);

-- What was done was done by whom the job belongs to, and is paid for on that day.
UPDATE auto.labor_line AS l
SET status = 'done', technician_id = j.lead_technician_id, flagged_on = o.completed_at::date
FROM auto.repair_job AS j
JOIN auto.repair_order AS o
    ON o.business_id = j.business_id AND o.repair_order_id = j.repair_order_id
WHERE l.business_id = %(business_id)s
  AND j.business_id = l.business_id AND j.repair_job_id = l.repair_job_id
  AND j.status = 'done' AND j.lead_technician_id IS NOT NULL;

-- What an order may cost is what was agreed to.
UPDATE auto.repair_order AS o
SET authorized_amount = n.agreed
FROM (
    SELECT j.repair_order_id,
           sum(j.labor_total + j.parts_total + j.sublet_total - j.discount_amount) AS agreed
    FROM auto.repair_job AS j
    WHERE j.business_id = %(business_id)s
      AND j.status IN ('approved', 'in_progress', 'waiting', 'done')
    GROUP BY j.repair_order_id
) AS n
WHERE o.business_id = %(business_id)s AND o.repair_order_id = n.repair_order_id;

-- Some orders are comebacks of an earlier one of the vehicle.
UPDATE auto.repair_order AS o
SET comeback_of_repair_order_id = p.repair_order_id
FROM (
    SELECT x.repair_order_id, x.vehicle_id, x.opened_at,
           lag(x.repair_order_id) OVER (PARTITION BY x.vehicle_id
                                        ORDER BY x.opened_at, x.ro_number) AS earlier,
           row_number() OVER (ORDER BY md5(x.repair_order_id::text)) AS place,
           count(*) OVER () AS orders
    FROM auto.repair_order AS x
    WHERE x.business_id = %(business_id)s
) AS n
JOIN auto.repair_order AS p
    ON p.business_id = %(business_id)s AND p.repair_order_id = n.earlier AND p.status = 'closed'
WHERE o.business_id = %(business_id)s AND o.repair_order_id = n.repair_order_id
  AND n.place <= n.orders / 8;

-- The way that each order came, step by step: the path of its state and number.
INSERT INTO auto.repair_order_status_event
    (business_id, repair_order_status_event_id, repair_order_id, changed_at, from_status, to_status,
     dwell_minutes, reason_code, actor_kind, promise_before_at, promise_after_at)
SELECT %(business_id)s, md5('move ' || e.step || e.repair_order_id)::uuid, e.repair_order_id, e.at,
       e.origin, e.target,
       CASE WHEN e.origin IS NULL THEN NULL
            ELSE floor(extract(epoch FROM e.at - e.before_at) / 60)::integer END,
       CASE WHEN e.target = 'awaiting_parts' THEN 'parts_delay'
            WHEN e.origin = 'quality_check' AND e.target = 'in_progress' THEN 'failed_qc'
            WHEN e.origin = 'in_progress' AND e.target = 'awaiting_authorization'
            THEN 'added_work' ELSE 'normal' END,
       CASE WHEN e.target IN ('in_progress', 'quality_check') THEN 'technician'
            ELSE 'advisor' END, e.promised_at, e.promised_at
FROM (
    SELECT w.*,
           lag(w.at) OVER (PARTITION BY w.repair_order_id ORDER BY w.step) AS before_at,
           lag(w.target) OVER (PARTITION BY w.repair_order_id ORDER BY w.step) AS origin
    FROM (
        SELECT o.repair_order_id, o.promised_at, s.target, s.step,
               CASE WHEN s.step = 1 THEN o.opened_at
                    WHEN s.target IN ('closed', 'cancelled') THEN o.closed_at
                    WHEN s.target = 'ready_for_pickup'
                    THEN o.completed_at
                         + (coalesce(o.closed_at, o.completed_at + interval '20 minutes')
                            - o.completed_at) * 0.2
                    WHEN s.target = 'invoiced'
                    THEN o.completed_at
                         + (coalesce(o.closed_at, o.completed_at + interval '20 minutes')
                            - o.completed_at) * 0.6
                    ELSE o.opened_at
                         + (coalesce(o.completed_at, o.opened_at + interval '2 hours')
                            - o.opened_at) * (s.step - 1) / n.steps END AS at
        FROM (
            SELECT x.*, CASE x.status
                WHEN 'scheduled' THEN 'scheduled'
                WHEN 'checked_in' THEN 'scheduled>checked_in'
                WHEN 'diagnosis' THEN 'checked_in>diagnosis'
                WHEN 'awaiting_authorization' THEN 'scheduled>checked_in>awaiting_authorization'
                WHEN 'authorized' THEN 'checked_in>authorized'
                WHEN 'awaiting_parts' THEN 'checked_in>diagnosis>authorized>awaiting_parts'
                WHEN 'in_progress' THEN 'scheduled>checked_in>authorized>in_progress'
                WHEN 'quality_check' THEN 'checked_in>authorized>in_progress>quality_check'
                WHEN 'cancelled' THEN CASE WHEN d.dice %% 3 = 0
                    THEN 'checked_in>awaiting_authorization>cancelled'
                    ELSE 'scheduled>cancelled' END
                ELSE CASE
                    WHEN d.dice < 32
                    THEN 'scheduled>checked_in>authorized>in_progress>quality_check'
                    WHEN d.dice < 48 THEN 'checked_in>authorized>in_progress>quality_check'
                    WHEN d.dice < 66 THEN 'scheduled>checked_in>diagnosis>awaiting_authorization'
                                          '>authorized>in_progress>quality_check'
                    WHEN d.dice < 78 THEN 'checked_in>diagnosis>awaiting_authorization>authorized'
                                          '>awaiting_parts>in_progress>quality_check'
                    WHEN d.dice < 87 THEN 'scheduled>checked_in>awaiting_authorization>authorized'
                                          '>in_progress>awaiting_authorization>authorized'
                                          '>in_progress>quality_check'
                    WHEN d.dice < 93 THEN 'checked_in>diagnosis>awaiting_authorization'
                    WHEN d.dice < 97 THEN 'checked_in>authorized>in_progress>awaiting_parts'
                                          '>in_progress>quality_check'
                    ELSE 'scheduled>checked_in>authorized>in_progress>quality_check>in_progress'
                         '>quality_check' END
                    || '>ready_for_pickup'
                    || CASE WHEN x.status IN ('invoiced', 'closed') THEN '>invoiced' ELSE '' END
                    || CASE WHEN x.status = 'closed' THEN '>closed' ELSE '' END
                END AS path
            FROM auto.repair_order AS x
            CROSS JOIN LATERAL (
                SELECT ('x' || substr(md5(x.repair_order_id::text), 9, 7))::bit(28)::integer
                       %% 100 AS dice
            ) AS d
            WHERE x.business_id = %(business_id)s
        ) AS o
        CROSS JOIN LATERAL (
            SELECT cardinality(string_to_array(o.path, '>')) AS steps
        ) AS n
        CROSS JOIN LATERAL unnest(string_to_array(o.path, '>'))
            WITH ORDINALITY AS s (target, step)
    ) AS w
) AS e;
