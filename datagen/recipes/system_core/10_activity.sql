SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- Consumers have read nearly all of the events, as the pipelines behind them go.
UPDATE system_core.event_consumer AS c
SET last_sequence_no = o.sequence_no, last_event_at = o.occurred_at,
    lag_seconds = least(extract(epoch FROM %(as_of)s::timestamptz - o.occurred_at), 86400)
FROM (
    SELECT e.event_consumer_id,
           greatest(0, m.newest - (row_number() OVER (ORDER BY e.event_consumer_id) - 1) * 3)
               AS position
    FROM system_core.event_consumer AS e
    CROSS JOIN (SELECT max(x.sequence_no) AS newest FROM system_core.outbox_event AS x
                WHERE x.business_id = %(business_id)s) AS m
    WHERE e.business_id = %(business_id)s
) AS n
JOIN system_core.outbox_event AS o
    ON o.business_id = %(business_id)s AND o.sequence_no = n.position
WHERE c.business_id = %(business_id)s AND c.event_consumer_id = n.event_consumer_id;
