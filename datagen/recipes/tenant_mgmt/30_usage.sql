-- Rates every usage period from the events that are there.
SELECT tenant_mgmt.set_tenant(%(business_id)s);
SELECT tenant_mgmt.recompute_usage(false);
