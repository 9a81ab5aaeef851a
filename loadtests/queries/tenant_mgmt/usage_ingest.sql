-- The metering endpoint takes one event; the trigger adds it to the open period.
-- budget: p95 30ms
-- weight: 12
-- mode: write
-- rows: >=1
-- params: usage_meter_id, subscription_id from tenant_mgmt.usage_period where NOT is_closed
-- values: transaction_id = uuid()
-- values: quantity = random_int(1, 20)
-- values: user_no = random_int(1, 500)
-- values: channel = choice('web', 'mobile', 'api')
INSERT INTO tenant_mgmt.usage_event (
    business_id, usage_meter_id, subscription_id, transaction_id, quantity, unique_value,
    properties, event_at)
VALUES (
    %(business_id)s, %(usage_meter_id)s, %(subscription_id)s, %(transaction_id)s,
    %(quantity)s, 'user-' || %(user_no)s::integer,
    jsonb_build_object('channel', %(channel)s::text), now())
ON CONFLICT DO NOTHING
RETURNING business_id, usage_event_id, is_late;
