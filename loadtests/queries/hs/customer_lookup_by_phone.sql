-- The phone rings: whose number is it, where do they live, what was done for them last?
-- budget: p95 50ms
-- weight: 10
-- mode: read
-- rows: >=1
-- params: mobile_phone from hs.customer_contact where mobile_phone IS NOT NULL
SELECT c.business_id, c.customer_id, c.customer_number, c.display_name, c.customer_kind, c.status,
       c.open_balance, t.customer_contact_id, t.full_name, t.contact_role, t.language_code,
       places.locations, recent.work_orders
FROM hs.customer_contact AS t
JOIN hs.customer AS c
    ON c.business_id = %(business_id)s AND c.customer_id = t.customer_id
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
               'service_location_id', l.service_location_id, 'address', l.address_line,
               'city', l.city, 'postal_code', l.postal_code, 'gate_code', l.gate_code,
               'hazards', l.site_hazards)
           ORDER BY l.service_location_id = t.service_location_id DESC NULLS LAST,
                    l.location_number) AS locations
    FROM hs.service_location AS l
    WHERE l.business_id = %(business_id)s AND l.customer_id = t.customer_id
) AS places
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
               'number', w.work_order_number, 'status', w.status, 'summary', w.summary,
               'requested_at', w.requested_at)
           ORDER BY w.requested_at DESC) AS work_orders
    FROM (
        SELECT o.work_order_number, o.status, o.summary, o.requested_at
        FROM hs.work_order AS o
        WHERE o.business_id = %(business_id)s AND o.customer_id = t.customer_id
        ORDER BY o.requested_at DESC
        LIMIT 5
    ) AS w
) AS recent
WHERE t.business_id = %(business_id)s
  AND t.mobile_phone = %(mobile_phone)s;
