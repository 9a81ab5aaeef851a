/*
 * The first and the last day of a tenant.
 *
 * provision_business() makes a tenant that works: identity, owner, contacts, isolation, modules,
 * its own copy of the catalog, a subscription and a trial. close_business() ends it in good
 * order and leaves a date after which its rows are purged. The catalog is a document of the
 * release, not a table: no table is shared between tenants.
 */


CREATE FUNCTION tenant_mgmt.plan_catalog() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{
    "version": 4,
    "meters": [
        {"code": "api_calls", "name": "API calls", "source": "system_core", "unit": "call",
         "aggregation": "count"},
        {"code": "documents", "name": "Documents issued", "source": "system_core",
         "unit": "document", "aggregation": "count"},
        {"code": "messages", "name": "Text messages", "source": "system_core",
         "unit": "segment", "aggregation": "sum", "value_field": "segments"},
        {"code": "payment_volume", "name": "Payment volume", "source": "system_core",
         "unit": "currency", "aggregation": "sum", "value_field": "amount",
         "rounding": "round", "precision": 2},
        {"code": "storage_gb", "name": "Storage", "source": "system_core", "unit": "GB",
         "aggregation": "max", "value_field": "gigabytes", "rounding": "ceil",
         "recurring": true},
        {"code": "active_users", "name": "Active users", "source": "user_mgmt", "unit": "user",
         "aggregation": "unique_count", "value_field": "user_account_id",
         "unique_field": "user_account_id", "billable": false}
    ],
    "plans": [
        {"code": "starter", "name": "Starter", "tier": "starter", "monthly": 49, "yearly": 490,
         "seats": 3, "extra_seat": 9, "trial_days": 14,
         "granted": ["mobile_app", "import"],
         "limits": {"api_calls": 10000, "documents": 500, "messages": 100,
                    "payment_volume": 0, "storage_gb": 10, "active_users": 10}},
        {"code": "growth", "name": "Growth", "tier": "growth", "monthly": 149, "yearly": 1490,
         "seats": 10, "extra_seat": 12, "trial_days": 14,
         "granted": ["mobile_app", "import", "webhooks", "custom_fields", "reports"],
         "limits": {"api_calls": 100000, "documents": 5000, "messages": 1000,
                    "payment_volume": 0, "storage_gb": 50, "active_users": 50}},
        {"code": "professional", "name": "Professional", "tier": "professional",
         "monthly": 399, "yearly": 3990, "seats": 30, "extra_seat": 15, "trial_days": 30,
         "granted": ["mobile_app", "import", "webhooks", "custom_fields", "reports", "sso",
                     "audit_export", "multi_location"],
         "limits": {"api_calls": 500000, "documents": 25000, "messages": 5000,
                    "payment_volume": 0, "storage_gb": 250, "active_users": 250}},
        {"code": "enterprise", "name": "Enterprise", "tier": "enterprise",
         "monthly": 1490, "yearly": 14900, "seats": 100, "extra_seat": 14, "trial_days": 30,
         "granted": ["mobile_app", "import", "webhooks", "custom_fields", "reports", "sso",
                     "audit_export", "multi_location", "sandbox", "dedicated_support"],
         "limits": {"api_calls": 5000000, "documents": 250000, "messages": 25000,
                    "payment_volume": 0, "storage_gb": 2000, "active_users": 2500},
         "residency": {"minimum_tier": "dedicated_shard"}}
    ],
    "prices": [
        {"meter": "api_calls", "model": "package", "tiers": [
            {"to": 1000000, "unit": 0.50, "package": 1000},
            {"unit": 0.30, "package": 1000}]},
        {"meter": "documents", "model": "volume", "tiers": [
            {"to": 5000, "unit": 0.05}, {"to": 50000, "unit": 0.04}, {"unit": 0.03}]},
        {"meter": "messages", "model": "graduated", "tiers": [
            {"to": 10000, "unit": 0.012}, {"unit": 0.009}]},
        {"meter": "payment_volume", "model": "percentage", "tiers": [
            {"to": 50000, "rate": 0.004}, {"to": 500000, "rate": 0.003}, {"rate": 0.002}]},
        {"meter": "storage_gb", "model": "standard", "tiers": [{"unit": 0.20}]}
    ]}'::jsonb;
COMMENT ON FUNCTION tenant_mgmt.plan_catalog() IS
    'Meters, plans and prices as the platform offers them in this release, the same figure in
     every currency. A tenant gets a copy; a new version never touches the copies of old ones.';


CREATE FUNCTION tenant_mgmt.copy_plan_catalog(currency text) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    catalog CONSTANT jsonb := tenant_mgmt.plan_catalog();
    release CONSTANT integer := (catalog ->> 'version')::integer;
    copied  integer;
BEGIN
    INSERT INTO tenant_mgmt.usage_meter (
        business_id, meter_code, name, source_schema, aggregation, value_field, unique_field,
        unit_name, rounding, rounding_precision, is_recurring, is_billable)
    SELECT tenant, m.code, m.name, m.source, m.aggregation, m.value_field, m.unique_field,
           m.unit, m.rounding, m.digits, m.is_recurring, m.is_billable
    FROM JSON_TABLE(catalog, '$.meters[*]' COLUMNS (
        code         text    PATH '$.code',
        name         text    PATH '$.name',
        source       text    PATH '$.source',
        aggregation  text    PATH '$.aggregation',
        value_field  text    PATH '$.value_field',
        unique_field text    PATH '$.unique_field',
        unit         text    PATH '$.unit',
        rounding     text    PATH '$.rounding'  DEFAULT 'none' ON EMPTY,
        digits       integer PATH '$.precision' DEFAULT 0 ON EMPTY,
        is_recurring boolean PATH '$.recurring' DEFAULT false ON EMPTY,
        is_billable  boolean PATH '$.billable'  DEFAULT true ON EMPTY
    )) AS m
    ON CONFLICT (business_id, meter_code) DO NOTHING;

    INSERT INTO tenant_mgmt.plan (
        business_id, catalog_code, catalog_version, name, tier, billing_interval,
        base_price_amount, currency_code, included_seats, extra_seat_price_amount, trial_days)
    SELECT tenant, p.code, release, p.name, p.tier, price.billing_interval, price.amount,
           currency, p.seats, p.extra_seat * tenant_mgmt.interval_months(price.billing_interval),
           p.trial_days
    FROM JSON_TABLE(catalog, '$.plans[*]' COLUMNS (
        code       text    PATH '$.code',
        name       text    PATH '$.name',
        tier       text    PATH '$.tier',
        monthly    numeric PATH '$.monthly',
        yearly     numeric PATH '$.yearly',
        seats      integer PATH '$.seats',
        extra_seat numeric PATH '$.extra_seat',
        trial_days integer PATH '$.trial_days'
    )) AS p
    CROSS JOIN LATERAL (
        VALUES ('monthly', p.monthly), ('yearly', p.yearly)
    ) AS price (billing_interval, amount);
    GET DIAGNOSTICS copied = ROW_COUNT;

    INSERT INTO tenant_mgmt.plan_phase (
        business_id, plan_id, phase_no, kind, duration_unit, duration_count,
        recurring_price_amount)
    SELECT tenant, p.plan_id, phase.phase_no, phase.kind, phase.unit, phase.how_many, phase.price
    FROM tenant_mgmt.plan AS p
    CROSS JOIN LATERAL (
        VALUES (1, 'trial', 'day', p.trial_days, 0),
               (2, 'evergreen', 'unlimited', NULL, p.base_price_amount)
    ) AS phase (phase_no, kind, unit, how_many, price)
    WHERE p.business_id = tenant
      AND p.catalog_version = release
      AND (phase.kind = 'evergreen' OR p.trial_days > 0);

    INSERT INTO tenant_mgmt.plan_entitlement (
        business_id, plan_id, feature_code, kind, limit_quantity, limit_period, overage_policy,
        config_value, display_order)
    SELECT tenant, p.plan_id, feature.code, feature.kind, feature.how_much,
           CASE feature.kind WHEN 'metered' THEN 'month' ELSE 'none' END,
           CASE WHEN jsonb_path_exists(catalog, '$.prices[*] ? (@.meter == $code)',
                                       jsonb_build_object('code', feature.code))
                THEN 'allow_and_bill' ELSE 'soft_warn' END,
           feature.config,
           row_number() OVER (PARTITION BY p.plan_id ORDER BY feature.kind, feature.code)
    FROM tenant_mgmt.plan AS p
    JOIN jsonb_array_elements(catalog -> 'plans') AS entry (plan)
        ON entry.plan ->> 'code' = p.catalog_code
    CROSS JOIN LATERAL (
        SELECT granted.code, 'boolean', NULL::numeric, NULL::jsonb
        FROM jsonb_array_elements_text(entry.plan -> 'granted') AS granted (code)
        UNION ALL
        SELECT metered.code, 'metered', metered.how_much::numeric, NULL
        FROM jsonb_each_text(entry.plan -> 'limits') AS metered (code, how_much)
        UNION ALL
        SELECT 'seats', 'quantity', (entry.plan ->> 'seats')::numeric, NULL
        UNION ALL
        SELECT 'data_residency', 'config', NULL, entry.plan -> 'residency'
        WHERE entry.plan ? 'residency'
    ) AS feature (code, kind, how_much, config)
    WHERE p.business_id = tenant AND p.catalog_version = release;

    INSERT INTO tenant_mgmt.usage_rate_tier (
        business_id, plan_id, usage_meter_id, tier_no, charge_model, from_quantity, to_quantity,
        unit_amount, package_size, percentage_rate, included_quantity, currency_code)
    SELECT tenant, p.plan_id, m.usage_meter_id, t.tier_no, t.model,
           coalesce(lag(t.to_quantity) OVER steps, 0), t.to_quantity, t.unit_amount,
           t.package_size, t.percentage_rate,
           CASE t.tier_no WHEN 1 THEN e.limit_quantity ELSE 0 END, p.currency_code
    FROM tenant_mgmt.plan AS p
    CROSS JOIN JSON_TABLE(catalog, '$.prices[*]' COLUMNS (
        meter text PATH '$.meter',
        model text PATH '$.model',
        NESTED PATH '$.tiers[*]' COLUMNS (
            tier_no         FOR ORDINALITY,
            to_quantity     numeric PATH '$.to',
            unit_amount     numeric PATH '$.unit' DEFAULT 0 ON EMPTY,
            package_size    integer PATH '$.package',
            percentage_rate numeric PATH '$.rate'
        )
    )) AS t
    JOIN tenant_mgmt.usage_meter AS m
        ON m.business_id = p.business_id AND m.meter_code = t.meter
    JOIN tenant_mgmt.plan_entitlement AS e
        ON e.business_id = p.business_id AND e.plan_id = p.plan_id
       AND e.feature_code = t.meter
    WHERE p.business_id = tenant AND p.catalog_version = release
    WINDOW steps AS (PARTITION BY p.plan_id, m.usage_meter_id ORDER BY t.tier_no);

    RETURN copied;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.copy_plan_catalog(text) IS
    'Copies the catalog of this release for the current tenant and returns its plans, each
     monthly and yearly. On Citus call it as a role that bypasses row security, for these inserts
     are not pushed down.';


CREATE FUNCTION tenant_mgmt.provision_business(
    legal_name    text,
    slug          text,
    industry      text,
    plan_code     text,
    owner_email   text,
    country_code  text DEFAULT 'US',
    currency_code text DEFAULT 'USD',
    time_zone     text DEFAULT 'UTC',
    locale        text DEFAULT 'en-US',
    data_region   text DEFAULT 'us_east',
    interval_code text DEFAULT 'monthly'
) RETURNS uuid
    LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    tenant     CONSTANT uuid := tenant_mgmt.business_key(slug);
    owner_name CONSTANT text := initcap(translate(split_part(owner_email, '@', 1), '._-+', '    '));
    owner      uuid;
    chosen     tenant_mgmt.plan;
    contract   uuid;
    trial_end  timestamptz;
BEGIN
    PERFORM tenant_mgmt.set_tenant(tenant);
    BEGIN
        INSERT INTO tenant_mgmt.business (
            business_id, legal_name, display_name, slug, industry, country_code, currency_code,
            time_zone, locale, employee_band)
        VALUES (tenant, legal_name, legal_name, slug, industry, country_code, currency_code,
                time_zone, locale, '1_9');
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'the short name % is taken', slug
            USING ERRCODE = 'unique_violation', HINT = 'Choose another.';
    END;

    INSERT INTO user_mgmt.user_account AS a (
        business_id, username, email, display_name, account_kind, locale, time_zone)
    VALUES (tenant, lower(owner_email), owner_email, owner_name, 'staff', locale, time_zone)
    RETURNING a.user_account_id INTO owner;
    -- Nobody knows this token: the mail that invites the owner puts its own in its place.
    INSERT INTO user_mgmt.user_invitation (
        business_id, invited_by_user_account_id, email_normalized, token_hash, sent_at,
        expires_at)
    VALUES (tenant, owner, lower(owner_email), sha256(uuid_send(gen_random_uuid())), now(),
            now() + interval '14 days');
    INSERT INTO tenant_mgmt.business_contact (
        business_id, user_account_id, role, full_name, email, is_primary, receives_invoices,
        receives_incident_notices)
    SELECT tenant, owner, duty.role, owner_name, owner_email, true, duty.role = 'billing',
           duty.role = 'security'
    FROM (VALUES ('owner'), ('billing'), ('security')) AS duty (role);

    -- Without them nobody could enroll a password.
    PERFORM user_auth.allow_default_methods();

    INSERT INTO tenant_mgmt.isolation_policy (
        business_id, isolation_tier, data_region, encryption_key_ref)
    VALUES (tenant, CASE plan_code WHEN 'enterprise' THEN 'dedicated_shard' ELSE 'pooled' END,
            data_region, 'vault:tenant/' || tenant || '/data-key');
    INSERT INTO tenant_mgmt.business_domain (
        business_id, host_name, kind, verified_at, certificate_state, is_primary)
    VALUES (tenant, slug || '.app.example', 'platform_subdomain', now(), 'pending', true);
    INSERT INTO tenant_mgmt.business_module (business_id, module_code, schema_version, enabled_by)
    SELECT tenant, module.code, '1.0', owner
    FROM (VALUES ('home_services', 'hs'), ('automotive', 'auto'), ('restaurant', 'rest'),
                 ('retail', 'ret'), ('education', 'courses'), ('staffing', 'payroll'))
        AS module (industry, code)
    WHERE module.industry = provision_business.industry
       OR provision_business.industry = 'multi'
          AND module.industry NOT IN ('education', 'staffing');
    INSERT INTO system_core.number_sequence (
        business_id, sequence_code, prefix, pad_width, is_gapless)
    VALUES (tenant, 'subscription', 'SUB-', 4, false);

    PERFORM tenant_mgmt.copy_plan_catalog(currency_code);
    SELECT * INTO chosen
    FROM tenant_mgmt.plan AS p
    WHERE p.business_id = tenant
      AND p.catalog_code = plan_code
      AND p.billing_interval = interval_code;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the catalog has no plan % billed %', plan_code, interval_code
            USING ERRCODE = 'no_data_found';
    END IF;

    INSERT INTO tenant_mgmt.subscription AS s (business_id, plan_id, subscription_number)
    VALUES (tenant, chosen.plan_id, system_core.next_document_number('subscription'))
    RETURNING s.subscription_id INTO contract;
    INSERT INTO tenant_mgmt.subscription_item (
        business_id, subscription_id, usage_meter_id, item_kind, item_code, quantity,
        unit_price_amount)
    SELECT tenant, contract, NULL, 'base', chosen.catalog_code, 1,
           tenant_mgmt.plan_price(tenant, chosen.plan_id)
    UNION ALL
    SELECT tenant, contract, m.usage_meter_id, 'metered', m.meter_code, 0, 0
    FROM tenant_mgmt.usage_meter AS m
    WHERE m.business_id = tenant AND m.is_billable;

    IF chosen.trial_days = 0 THEN
        PERFORM tenant_mgmt.transition_subscription(contract, 'active', 'user');
        RETURN tenant;
    END IF;
    PERFORM tenant_mgmt.transition_subscription(contract, 'trialing', 'user');
    SELECT s.trial_ends_at INTO trial_end
    FROM tenant_mgmt.subscription AS s
    WHERE s.business_id = tenant AND s.subscription_id = contract;
    INSERT INTO tenant_mgmt.trial (
        business_id, subscription_id, plan_id, started_at, ends_at, original_ends_at,
        requires_card, lead_source, expiry_action)
    VALUES (tenant, contract, chosen.plan_id, now(), trial_end, trial_end, false, 'signup',
            'suspend');
    RETURN tenant;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.provision_business(
    text, text, text, text, text, text, text, text, text, text, text) IS
    'Makes a tenant with its owner, contacts, methods to sign in, isolation, host, modules, catalog,
     subscription and trial, and returns its business_id, which is also the tenant of the
     transaction from then on. The slug is unique because the key is made of it.';


CREATE FUNCTION tenant_mgmt.close_business(reason text) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    held   text;
BEGIN
    SELECT b.status INTO held
    FROM tenant_mgmt.business AS b
    WHERE b.business_id = tenant
    FOR UPDATE;
    IF held IN ('closing', 'closed') THEN
        RETURN;
    END IF;

    -- The tenant first: what ends below then has nothing left to suspend.
    PERFORM tenant_mgmt.explain_change('support', reason);
    UPDATE tenant_mgmt.business AS b
    SET status = CASE b.status WHEN 'provisioning' THEN 'closed' ELSE 'closing' END
    WHERE b.business_id = tenant;

    PERFORM tenant_mgmt.transition_subscription(
        s.subscription_id, CASE s.status WHEN 'incomplete' THEN 'expired' ELSE 'cancelled' END,
        'support')
    FROM tenant_mgmt.subscription AS s
    WHERE s.business_id = tenant AND s.status NOT IN ('cancelled', 'expired');
    UPDATE tenant_mgmt.subscription_change AS c
    SET state = 'revoked'
    WHERE c.business_id = tenant AND c.state = 'scheduled';

    UPDATE user_auth.user_session AS s
    SET state = 'revoked', ended_at = now(), end_reason = 'admin'
    WHERE s.business_id = tenant AND s.state IN ('active', 'stepped_down');

    UPDATE tenant_mgmt.business_module AS m
    SET state = 'disabled',
        disabled_at = greatest(now(), m.enabled_at + interval '1 microsecond'),
        data_purge_after = current_date + JSON_VALUE(
            m.settings, '$.retention_days' RETURNING integer DEFAULT 90 ON EMPTY)
    WHERE m.business_id = tenant AND m.state <> 'disabled';
END
$$;
COMMENT ON FUNCTION tenant_mgmt.close_business(text) IS
    'Ends the current tenant for a reason_code of business_status_event: subscriptions are
     cancelled, sessions revoked, modules disabled with the day of their purge, which is
     retention_days of the module''s settings away, else 90. A tenant that was never set up is
     closed at once; any other is closing until the platform has purged it.';
