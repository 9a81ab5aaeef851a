-- A thread is with a contact that lets itself be texted about the visit: contacts in turn, so that
-- nobody has two open threads on a channel as long as there are more contacts than open threads.
WITH contact AS (
    SELECT k.customer_contact_id, k.customer_id,
           row_number() OVER (ORDER BY k.mobile_phone, k.customer_contact_id) - 1 AS no,
           count(*) OVER () AS size
    FROM auto.customer_contact AS k
    JOIN auto.v_consent_in_force AS f
        ON f.business_id = k.business_id AND f.customer_contact_id = k.customer_contact_id
       AND f.channel = 'sms' AND f.purpose = 'transactional' AND f.decision = 'granted'
    WHERE k.business_id = %(business_id)s
), thread AS (
    SELECT c.conversation_id, c.status, c.channel,
           row_number() OVER (ORDER BY c.status = 'closed', c.opened_at, c.conversation_id) - 1
               AS no,
           row_number() OVER (PARTITION BY c.status, c.channel
                              ORDER BY c.opened_at, c.conversation_id) AS of_channel
    FROM auto.conversation AS c
    WHERE c.business_id = %(business_id)s
)
UPDATE auto.conversation AS c
SET customer_id = k.customer_id, customer_contact_id = k.customer_contact_id
FROM thread AS t
JOIN contact AS k ON k.no = t.no %% k.size
WHERE c.business_id = %(business_id)s AND c.conversation_id = t.conversation_id
  AND (t.status = 'closed' OR t.of_channel <= k.size);

-- It is about the customer's visit that was open then, else about none.
UPDATE auto.conversation AS c
SET repair_order_id = o.repair_order_id, vehicle_id = o.vehicle_id
FROM (SELECT DISTINCT ON (x.conversation_id) x.conversation_id, r.repair_order_id, r.vehicle_id
      FROM auto.conversation AS x
      JOIN auto.repair_order AS r
          ON r.business_id = x.business_id AND r.customer_id = x.customer_id
         AND r.opened_at <= x.opened_at + interval '10 days'
         AND coalesce(r.closed_at, %(as_of)s) >= x.opened_at - interval '10 days'
      WHERE x.business_id = %(business_id)s
      ORDER BY x.conversation_id, r.opened_at DESC, r.ro_number) AS o
WHERE c.business_id = %(business_id)s AND c.conversation_id = o.conversation_id;

-- Whose turn it is, by the last message; closed threads are read.
UPDATE auto.conversation AS c
SET status = CASE WHEN c.status = 'closed' THEN 'closed'
                  WHEN c.last_inbound_at > c.last_outbound_at THEN 'waiting_shop'
                  ELSE 'waiting_customer' END,
    unread_count = CASE WHEN c.status <> 'closed' AND c.last_inbound_at > c.last_outbound_at
                        THEN 1 ELSE 0 END
WHERE c.business_id = %(business_id)s AND c.last_inbound_at IS NOT NULL
  AND c.last_outbound_at IS NOT NULL;

-- Reviews are of visits that are over, in turn, some days after the pick-up.
WITH visit AS (
    SELECT r.repair_order_id, r.customer_id, r.closed_at,
           row_number() OVER (ORDER BY r.closed_at, r.ro_number) - 1 AS no,
           count(*) OVER () AS size
    FROM auto.repair_order AS r
    WHERE r.business_id = %(business_id)s AND r.status = 'closed'
      AND r.closed_at <= %(as_of)s - interval '3 days'
), review AS (
    SELECT x.customer_review_id, row_number() OVER (ORDER BY x.received_at, x.customer_review_id)
               - 1 AS no, count(*) OVER () AS size
    FROM auto.customer_review AS x
    WHERE x.business_id = %(business_id)s
)
UPDATE auto.customer_review AS w
SET repair_order_id = v.repair_order_id, customer_id = v.customer_id,
    requested_at = CASE WHEN w.requested_at IS NOT NULL THEN v.closed_at + interval '2 hours' END,
    received_at = v.closed_at + (3 + n.no %% 45) * interval '1 hour',
    replied_at = CASE WHEN w.replied_at IS NOT NULL
                      THEN v.closed_at + (50 + n.no %% 20) * interval '1 hour' END
FROM review AS n
JOIN visit AS v ON v.no = n.no * v.size / n.size
WHERE w.business_id = %(business_id)s AND w.customer_review_id = n.customer_review_id;

-- The manager of a shop replies.
UPDATE auto.customer_review AS w
SET replied_by_user_id = m.manager_user_id
FROM (SELECT s.manager_user_id FROM auto.shop AS s
      WHERE s.business_id = %(business_id)s AND s.manager_user_id IS NOT NULL
      ORDER BY s.shop_code LIMIT 1) AS m
WHERE w.business_id = %(business_id)s AND w.replied_at IS NOT NULL;

-- The loaner of a visit is the loaner of its order.
UPDATE auto.loaner_agreement AS l
SET repair_order_id = o.repair_order_id
FROM (SELECT DISTINCT ON (r.appointment_id) r.appointment_id, r.repair_order_id
      FROM auto.repair_order AS r
      WHERE r.business_id = %(business_id)s AND r.appointment_id IS NOT NULL
      ORDER BY r.appointment_id, r.ro_number) AS o
WHERE l.business_id = %(business_id)s AND l.appointment_id = o.appointment_id;
