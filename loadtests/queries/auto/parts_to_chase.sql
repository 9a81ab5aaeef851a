-- The parts desk opens what blocks the cars of a shop, what breaks a promise first.
-- budget: p95 150ms
-- weight: 4
-- mode: read
-- rows: >=1
-- params: shop_id from auto.repair_order where status NOT IN ('invoiced', 'closed', 'cancelled') AND EXISTS (SELECT FROM auto.repair_job AS j JOIN auto.part_line AS w ON w.business_id = j.business_id AND w.repair_job_id = j.repair_job_id AND w.status IN ('needed', 'ordered') JOIN auto.purchase_order_line AS l ON l.business_id = w.business_id AND l.part_line_id = w.part_line_id AND l.status IN ('open', 'backordered', 'partial', 'substituted') JOIN auto.purchase_order AS p ON p.business_id = l.business_id AND p.purchase_order_id = l.purchase_order_id AND p.status IN ('sent', 'confirmed', 'partial') WHERE j.business_id = repair_order.business_id AND j.repair_order_id = repair_order.repair_order_id AND j.status NOT IN ('declined', 'done', 'cancelled'))
SELECT c.business_id, c.ro_number, c.job_name, c.po_number, c.line_status, c.outstanding_qty,
       c.part_number, c.part_description, c.supplier_name, c.eta_at, c.is_overdue,
       c.breaks_promise, c.minutes_after_promise, c.alternative_count, c.alternative_best_cost,
       c.alternative_first_eta_at
FROM (
        SELECT o.business_id,
               o.shop_id,
               o.repair_order_id,
               o.ro_number,
               o.status                         AS order_status,
               o.promised_at                    AS promised_to_customer_at,
               j.repair_job_id,
               j.name                           AS job_name,
               l.purchase_order_line_id,
               p.po_number,
               l.status                         AS line_status,
               l.ordered_qty - l.received_qty - l.cancelled_qty AS outstanding_qty,
               part.part_id,
               part.part_number,
               part.description                 AS part_description,
               p.supplier_id,
               -- Not joined: an eighth table would make planning take twelve times as long.
               (SELECT s.name
                FROM auto.supplier AS s
                WHERE s.business_id = %(business_id)s AND s.supplier_id = p.supplier_id)
                                                AS supplier_name,
               eta.at                           AS eta_at,
               eta.at IS NULL OR eta.at < now() AS is_overdue,
               coalesce(eta.at > o.promised_at, false) AS breaks_promise,
               round(extract(epoch FROM eta.at - o.promised_at) / 60) AS minutes_after_promise,
               other.offers                     AS alternative_count,
               other.best_cost                  AS alternative_best_cost,
               other.first_eta_at               AS alternative_first_eta_at
        FROM auto.purchase_order_line AS l
        JOIN auto.purchase_order AS p
            ON p.business_id = %(business_id)s AND p.purchase_order_id = l.purchase_order_id
           AND p.status IN ('sent', 'confirmed', 'partial')
        JOIN auto.part_line AS w
            ON w.business_id = %(business_id)s AND w.part_line_id = l.part_line_id
           AND w.status IN ('needed', 'ordered')
        JOIN auto.repair_job AS j
            ON j.business_id = %(business_id)s AND j.repair_job_id = w.repair_job_id
           AND j.status NOT IN ('declined', 'done', 'cancelled')
        JOIN auto.repair_order AS o
            ON o.business_id = %(business_id)s AND o.repair_order_id = j.repair_order_id
           AND o.status NOT IN ('invoiced', 'closed', 'cancelled')
        JOIN auto.part AS part
            ON part.business_id = %(business_id)s AND part.part_id = l.part_id
        CROSS JOIN LATERAL (
            SELECT CASE l.status WHEN 'backordered' THEN greatest(l.eta_at, l.back_order_on)
                                 ELSE coalesce(l.eta_at, p.promised_at) END AS at
        ) AS eta
        CROSS JOIN LATERAL (
            SELECT count(*) AS offers, min(q.unit_cost) AS best_cost, min(q.eta_at) AS first_eta_at
            FROM auto.parts_quote AS q
            WHERE q.business_id = %(business_id)s AND q.repair_job_id = j.repair_job_id
              AND (q.part_id = l.part_id OR q.part_type_id = part.part_type_id)
              AND q.supplier_id <> p.supplier_id AND q.outcome IN ('pending', 'rejected')
              AND q.unit_cost IS NOT NULL AND q.available_qty >= l.ordered_qty - l.received_qty
                                                                 - l.cancelled_qty
              AND (q.expires_at IS NULL OR q.expires_at > now())
        ) AS other
        WHERE l.business_id = tenant_mgmt.current_business_id()
          AND l.status IN ('open', 'backordered', 'partial', 'substituted')
) AS c
WHERE c.business_id = %(business_id)s AND c.shop_id = %(shop_id)s
ORDER BY c.breaks_promise DESC, c.is_overdue DESC, c.promised_to_customer_at,
         c.purchase_order_line_id
LIMIT 100
