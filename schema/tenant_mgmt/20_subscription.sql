/*
 * What a tenant bought: plans, contracts, their changes, and what they entitle to.
 *
 * plan is a copy of the platform's catalog taken at quote time, with its phases (plan_phase) and
 * grants (plan_entitlement); once a subscription uses it, it is frozen. subscription is the
 * contract, subscription_item its priced components, subscription_change what was asked to
 * change and its proration, subscription_event every step in order, written by the trigger of
 * subscription. entitlement_override and coupon_redemption are concessions beyond the plan.
 * usage_meter (what is counted) stands first because grants and items name a meter; metering
 * itself is 30_usage.sql.
 *
 * A subscription that is trialing, active, past_due, paused or non_renewing is called live.
 */


CREATE TABLE tenant_mgmt.usage_meter (
    business_id        uuid             NOT NULL,
    usage_meter_id     uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    meter_code         system_core.code NOT NULL,
    name               text             NOT NULL,
    source_schema      text             NOT NULL,
    aggregation        text             NOT NULL,
    value_field        text,
    unique_field       text,
    filter_expression  text,
    unit_name          text             NOT NULL,
    rounding           text             NOT NULL DEFAULT 'none',
    rounding_precision integer          NOT NULL DEFAULT 0,
    is_recurring       boolean          NOT NULL DEFAULT false,
    is_billable        boolean          NOT NULL DEFAULT true,
    created_at         timestamptz      NOT NULL DEFAULT now(),
    updated_at         timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, usage_meter_id),
    UNIQUE (business_id, meter_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT usage_meter_source_schema_known
        CHECK (source_schema IN ('hs', 'auto', 'rest', 'ret', 'courses', 'payroll',
                                 'user_mgmt', 'system_core')),
    CONSTRAINT usage_meter_aggregation_known
        CHECK (aggregation IN ('count', 'sum', 'max', 'unique_count', 'latest',
                               'weighted_sum')),
    CONSTRAINT usage_meter_value_field_named
        CHECK (aggregation = 'count' OR value_field IS NOT NULL),
    CONSTRAINT usage_meter_unique_field_named
        CHECK (aggregation <> 'unique_count' OR unique_field IS NOT NULL),
    CONSTRAINT usage_meter_rounding_known CHECK (rounding IN ('none', 'ceil', 'floor', 'round')),
    CONSTRAINT usage_meter_rounding_precision_fits CHECK (rounding_precision BETWEEN 0 AND 4)
);

COMMENT ON TABLE tenant_mgmt.usage_meter IS
    'What is counted, how it is aggregated over a period, and how the sum is rounded.';
COMMENT ON COLUMN tenant_mgmt.usage_meter.meter_code IS
    'Also the feature_code of the entitlement that limits it.';
COMMENT ON COLUMN tenant_mgmt.usage_meter.filter_expression IS
    'JSON path predicate over the properties of an event, evaluated by the collector.';
COMMENT ON COLUMN tenant_mgmt.usage_meter.is_recurring IS
    'The quantity carries over into the next period (seats, storage) instead of starting at 0.';

ALTER TABLE tenant_mgmt.usage_meter ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.usage_meter
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.usage_meter TO app_user;
GRANT SELECT ON tenant_mgmt.usage_meter TO app_readonly;

CREATE TRIGGER usage_meter_touch
    BEFORE UPDATE ON tenant_mgmt.usage_meter
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION tenant_mgmt.freeze_invoiced_meter() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND EXISTS (
        SELECT FROM tenant_mgmt.usage_period AS p
        WHERE p.business_id = NEW.business_id
          AND p.usage_meter_id = NEW.usage_meter_id
          AND p.is_closed
    ) THEN
        RAISE EXCEPTION 'meter % was invoiced: its definition stays', NEW.meter_code
            USING ERRCODE = 'restrict_violation', HINT = 'Make a new meter.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.freeze_invoiced_meter() IS
    'What a meter means stays once a closed period was billed by it.';

CREATE TRIGGER usage_meter_freeze
    BEFORE UPDATE ON tenant_mgmt.usage_meter
    FOR EACH ROW WHEN (
        (NEW.meter_code, NEW.aggregation, NEW.value_field, NEW.unique_field,
         NEW.filter_expression, NEW.rounding, NEW.rounding_precision, NEW.is_recurring)
        IS DISTINCT FROM
        (OLD.meter_code, OLD.aggregation, OLD.value_field, OLD.unique_field,
         OLD.filter_expression, OLD.rounding, OLD.rounding_precision, OLD.is_recurring))
    EXECUTE FUNCTION tenant_mgmt.freeze_invoiced_meter();


CREATE TABLE tenant_mgmt.plan (
    business_id             uuid                 NOT NULL,
    plan_id                 uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    catalog_code            system_core.code     NOT NULL,
    catalog_version         integer              NOT NULL DEFAULT 1,
    name                    text                 NOT NULL,
    tier                    text                 NOT NULL,
    billing_interval        text                 NOT NULL,
    base_price_amount       system_core.money    NOT NULL,
    currency_code           system_core.currency NOT NULL,
    included_seats          integer              NOT NULL DEFAULT 1,
    extra_seat_price_amount system_core.money    NOT NULL DEFAULT 0,
    trial_days              integer              NOT NULL DEFAULT 0,
    is_public               boolean              NOT NULL DEFAULT true,
    valid_until             date,
    created_at              timestamptz          NOT NULL DEFAULT now(),
    updated_at              timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, plan_id),
    UNIQUE (business_id, catalog_code, catalog_version, billing_interval),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT plan_catalog_version_positive CHECK (catalog_version > 0),
    CONSTRAINT plan_tier_known
        CHECK (tier IN ('free', 'starter', 'growth', 'professional', 'enterprise', 'custom')),
    CONSTRAINT plan_billing_interval_known
        CHECK (billing_interval IN ('monthly', 'quarterly', 'yearly')),
    CONSTRAINT plan_base_price_not_negative CHECK (base_price_amount >= 0),
    CONSTRAINT plan_seats_not_negative CHECK (included_seats >= 0),
    CONSTRAINT plan_extra_seat_price_not_negative CHECK (extra_seat_price_amount >= 0),
    CONSTRAINT plan_trial_at_most_90_days CHECK (trial_days BETWEEN 0 AND 90)
);

COMMENT ON TABLE tenant_mgmt.plan IS
    'A plan as offered to this tenant: a copy of the catalog, so that later prices never rewrite
     a contract. Frozen once a subscription uses it, except for how long it is offered.';
COMMENT ON COLUMN tenant_mgmt.plan.base_price_amount IS 'Per billing interval.';
COMMENT ON COLUMN tenant_mgmt.plan.valid_until IS 'Last day on which it can be bought.';

ALTER TABLE tenant_mgmt.plan ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.plan
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.plan TO app_user;
GRANT SELECT ON tenant_mgmt.plan TO app_readonly;

CREATE TRIGGER plan_touch
    BEFORE UPDATE ON tenant_mgmt.plan
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


-- Serves plan and its parts: phases, entitlements and rate tiers.
CREATE FUNCTION tenant_mgmt.freeze_sold_plan() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    sold uuid;
BEGIN
    IF row_security_active(TG_RELID) THEN
        SELECT s.plan_id INTO sold
        FROM tenant_mgmt.subscription AS s
        WHERE s.business_id = coalesce(NEW.business_id, OLD.business_id)
          AND s.plan_id IN (OLD.plan_id, NEW.plan_id)
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'plan % was sold: its terms stay', sold
                USING ERRCODE = 'restrict_violation', HINT = 'Make a new catalog_version.';
        END IF;
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.freeze_sold_plan() IS
    'Refuses to change the terms of a plan that a subscription uses.';

CREATE TRIGGER plan_freeze
    BEFORE UPDATE ON tenant_mgmt.plan
    FOR EACH ROW WHEN (
        (NEW.catalog_code, NEW.catalog_version, NEW.tier, NEW.billing_interval,
         NEW.base_price_amount, NEW.currency_code, NEW.included_seats,
         NEW.extra_seat_price_amount, NEW.trial_days)
        IS DISTINCT FROM
        (OLD.catalog_code, OLD.catalog_version, OLD.tier, OLD.billing_interval,
         OLD.base_price_amount, OLD.currency_code, OLD.included_seats,
         OLD.extra_seat_price_amount, OLD.trial_days))
    EXECUTE FUNCTION tenant_mgmt.freeze_sold_plan();


CREATE TABLE tenant_mgmt.plan_phase (
    business_id            uuid                   NOT NULL,
    plan_phase_id          uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    plan_id                uuid                   NOT NULL,
    phase_no               integer                NOT NULL,
    kind                   text                   NOT NULL,
    duration_unit          text                   NOT NULL,
    duration_count         integer,
    recurring_price_amount system_core.money      NOT NULL,
    one_time_fee_amount    system_core.money      NOT NULL DEFAULT 0,
    discount_pct           system_core.percentage NOT NULL DEFAULT 0,
    auto_renews            boolean                NOT NULL DEFAULT true,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, plan_phase_id),
    UNIQUE (business_id, plan_id, phase_no),
    UNIQUE (business_id, plan_id, plan_phase_id),
    FOREIGN KEY (business_id, plan_id)
        REFERENCES tenant_mgmt.plan (business_id, plan_id) ON DELETE CASCADE,
    -- The evergreen phase takes its number and all that follow: nothing comes after it.
    EXCLUDE USING gist (
        business_id WITH =,
        plan_id WITH =,
        int4range(phase_no, CASE WHEN kind <> 'evergreen' THEN phase_no + 1 END) WITH &&),
    CONSTRAINT plan_phase_no_positive CHECK (phase_no > 0),
    CONSTRAINT plan_phase_kind_known
        CHECK (kind IN ('trial', 'discount', 'fixed_term', 'evergreen')),
    CONSTRAINT plan_phase_duration_unit_known
        CHECK (duration_unit IN ('day', 'month', 'year', 'unlimited')),
    CONSTRAINT plan_phase_evergreen_is_unlimited
        CHECK ((kind = 'evergreen') = (duration_unit = 'unlimited')),
    CONSTRAINT plan_phase_counts_unless_unlimited
        CHECK ((duration_unit = 'unlimited') = (duration_count IS NULL)),
    CONSTRAINT plan_phase_duration_positive CHECK (duration_count > 0),
    CONSTRAINT plan_phase_recurring_price_not_negative CHECK (recurring_price_amount >= 0),
    CONSTRAINT plan_phase_one_time_fee_not_negative CHECK (one_time_fee_amount >= 0),
    CONSTRAINT plan_phase_discount_is_share CHECK (discount_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE tenant_mgmt.plan_phase IS
    'A step of a plan in order: trial, introductory discount, fixed term, evergreen.';
COMMENT ON COLUMN tenant_mgmt.plan_phase.recurring_price_amount IS
    'Per billing interval of the plan, before discount_pct.';

ALTER TABLE tenant_mgmt.plan_phase ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.plan_phase
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.plan_phase TO app_user;
GRANT SELECT ON tenant_mgmt.plan_phase TO app_readonly;

CREATE TRIGGER plan_phase_touch
    BEFORE UPDATE ON tenant_mgmt.plan_phase
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER plan_phase_freeze
    BEFORE INSERT OR UPDATE OR DELETE ON tenant_mgmt.plan_phase
    FOR EACH ROW EXECUTE FUNCTION tenant_mgmt.freeze_sold_plan();


CREATE TABLE tenant_mgmt.plan_entitlement (
    business_id         uuid             NOT NULL,
    plan_entitlement_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    plan_id             uuid             NOT NULL,
    feature_code        system_core.code NOT NULL,
    kind                text             NOT NULL,
    is_granted          boolean          NOT NULL DEFAULT true,
    limit_quantity      system_core.quantity,
    limit_period        text             NOT NULL DEFAULT 'none',
    overage_policy      text             NOT NULL DEFAULT 'block',
    billed_meter_code   system_core.code GENERATED ALWAYS AS (
                                CASE WHEN overage_policy = 'allow_and_bill' THEN feature_code END
                            ) STORED,
    config_value        system_core.json_object,
    display_order       integer          NOT NULL DEFAULT 0,
    created_at          timestamptz      NOT NULL DEFAULT now(),
    updated_at          timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, plan_entitlement_id),
    UNIQUE (business_id, plan_id, feature_code),
    FOREIGN KEY (business_id, plan_id)
        REFERENCES tenant_mgmt.plan (business_id, plan_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, billed_meter_code)
        REFERENCES tenant_mgmt.usage_meter (business_id, meter_code),
    CONSTRAINT plan_entitlement_kind_known
        CHECK (kind IN ('boolean', 'quantity', 'metered', 'config')),
    CONSTRAINT plan_entitlement_limit_period_known
        CHECK (limit_period IN ('none', 'day', 'month', 'year')),
    CONSTRAINT plan_entitlement_overage_policy_known
        CHECK (overage_policy IN ('block', 'allow_and_bill', 'soft_warn')),
    CONSTRAINT plan_entitlement_limit_set
        CHECK (kind NOT IN ('quantity', 'metered') OR limit_quantity IS NOT NULL),
    CONSTRAINT plan_entitlement_limit_not_negative CHECK (limit_quantity >= 0),
    CONSTRAINT plan_entitlement_config_set CHECK (kind <> 'config' OR config_value IS NOT NULL)
);

COMMENT ON TABLE tenant_mgmt.plan_entitlement IS
    'A feature or limit that a plan grants.';
COMMENT ON COLUMN tenant_mgmt.plan_entitlement.billed_meter_code IS
    'The meter that bills what exceeds the limit: it must exist under the feature''s own code.';
COMMENT ON COLUMN tenant_mgmt.plan_entitlement.config_value IS
    'Structured grant, such as {"data_region": "eu_central"} of data_residency.';

-- Foreign key billed_meter_code.
CREATE INDEX plan_entitlement_billed_meter_idx
    ON tenant_mgmt.plan_entitlement (business_id, billed_meter_code)
    WHERE billed_meter_code IS NOT NULL;

ALTER TABLE tenant_mgmt.plan_entitlement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.plan_entitlement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.plan_entitlement TO app_user;
GRANT SELECT ON tenant_mgmt.plan_entitlement TO app_readonly;

CREATE TRIGGER plan_entitlement_touch
    BEFORE UPDATE ON tenant_mgmt.plan_entitlement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER plan_entitlement_freeze
    BEFORE INSERT OR UPDATE OR DELETE ON tenant_mgmt.plan_entitlement
    FOR EACH ROW EXECUTE FUNCTION tenant_mgmt.freeze_sold_plan();


CREATE FUNCTION tenant_mgmt.interval_months(billing_interval text) RETURNS integer
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE billing_interval WHEN 'monthly' THEN 1 WHEN 'quarterly' THEN 3
                                 WHEN 'yearly' THEN 12 END;
COMMENT ON FUNCTION tenant_mgmt.interval_months(text) IS 'Months of a billing interval.';


CREATE FUNCTION tenant_mgmt.next_period_end(
    period_start     timestamptz,
    billing_interval text,
    anchor_day       integer
) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (
        WITH target AS (
            SELECT date_trunc('month', period_start AT TIME ZONE 'UTC')
                       + make_interval(months => tenant_mgmt.interval_months(billing_interval))
                       AS first_day
        )
        SELECT (first_day
                + make_interval(days => least(
                      anchor_day,
                      extract(day FROM first_day + interval '1 month' - interval '1 day')::integer
                  ) - 1)
                + (period_start AT TIME ZONE 'UTC')::time) AT TIME ZONE 'UTC'
        FROM target
    );
COMMENT ON FUNCTION tenant_mgmt.next_period_end(timestamptz, text, integer) IS
    'The anchor day of the month in which the period ends, or that month''s last day: a contract
     anchored on the 31st renews on 28 February and on 31 March.';


CREATE TABLE tenant_mgmt.subscription (
    business_id           uuid             NOT NULL,
    subscription_id       uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    plan_id               uuid             NOT NULL,
    current_plan_phase_id uuid             NOT NULL,
    subscription_number   system_core.code NOT NULL,
    bundle_code           system_core.code NOT NULL DEFAULT 'suite',
    status                text             NOT NULL DEFAULT 'incomplete',
    billing_anchor_day    integer          NOT NULL,
    collection_method     text             NOT NULL DEFAULT 'charge_automatically',
    purchase_order_number text,
    cancel_at_period_end  boolean          NOT NULL DEFAULT false,
    started_at            timestamptz      NOT NULL DEFAULT now(),
    current_period_start  timestamptz      NOT NULL,
    current_period_end    timestamptz      NOT NULL,
    phase_started_at      timestamptz      NOT NULL DEFAULT now(),
    trial_ends_at         timestamptz,
    cancelled_at          timestamptz,
    ended_at              timestamptz,
    created_at            timestamptz      NOT NULL DEFAULT now(),
    updated_at            timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, subscription_id),
    UNIQUE (business_id, subscription_number),
    -- The phase is one of the plan, and so the plan needs no key of its own.
    FOREIGN KEY (business_id, plan_id, current_plan_phase_id)
        REFERENCES tenant_mgmt.plan_phase (business_id, plan_id, plan_phase_id),
    -- A bundle of modules is paid for once at a time.
    EXCLUDE USING gist (
        business_id WITH =,
        bundle_code WITH =,
        tstzrange(started_at, ended_at) WITH &&)
        WHERE (status IN ('trialing', 'active', 'past_due', 'paused', 'non_renewing')),
    CONSTRAINT subscription_status_known
        CHECK (status IN ('incomplete', 'trialing', 'active', 'past_due', 'paused',
                          'non_renewing', 'cancelled', 'expired')),
    CONSTRAINT subscription_collection_method_known
        CHECK (collection_method IN ('charge_automatically', 'send_invoice')),
    CONSTRAINT subscription_anchor_is_day_of_month CHECK (billing_anchor_day BETWEEN 1 AND 31),
    CONSTRAINT subscription_period_not_empty CHECK (current_period_end > current_period_start),
    CONSTRAINT subscription_phase_after_start CHECK (phase_started_at >= started_at),
    CONSTRAINT subscription_ended_after_start CHECK (ended_at >= started_at),
    CONSTRAINT subscription_trial_has_end
        CHECK (status <> 'trialing' OR trial_ends_at IS NOT NULL),
    CONSTRAINT subscription_cancelled_has_time
        CHECK (status <> 'cancelled' OR cancelled_at IS NOT NULL),
    CONSTRAINT subscription_expired_has_end CHECK (status <> 'expired' OR ended_at IS NOT NULL),
    CONSTRAINT subscription_non_renewing_cancels
        CHECK (status <> 'non_renewing' OR cancel_at_period_end)
);

COMMENT ON TABLE tenant_mgmt.subscription IS
    'The tenant''s contract for a plan.';
COMMENT ON COLUMN tenant_mgmt.subscription.bundle_code IS
    'The set of modules it pays for; two live subscriptions never pay for the same set.';
COMMENT ON COLUMN tenant_mgmt.subscription.billing_anchor_day IS
    'Day of the month on which a period begins, where the month has it.';

-- Foreign key plan and phase; freeze_sold_plan().
CREATE INDEX subscription_plan_idx
    ON tenant_mgmt.subscription (business_id, plan_id, current_plan_phase_id);

-- Entitlements, quotas and bills look at live subscriptions; the renewal job at their end.
CREATE INDEX subscription_live_idx
    ON tenant_mgmt.subscription (business_id, current_period_end)
    WHERE status IN ('trialing', 'active', 'past_due', 'paused', 'non_renewing');

ALTER TABLE tenant_mgmt.subscription ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.subscription
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.subscription TO app_user;
GRANT SELECT ON tenant_mgmt.subscription TO app_readonly;

CREATE TRIGGER subscription_touch
    BEFORE UPDATE ON tenant_mgmt.subscription
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER subscription_status_machine
    BEFORE INSERT OR UPDATE OF status ON tenant_mgmt.subscription
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["incomplete"],
        "transitions": {
            "incomplete":   ["trialing", "active", "expired"],
            "trialing":     ["active", "past_due", "cancelled", "expired"],
            "active":       ["past_due", "paused", "non_renewing", "cancelled"],
            "past_due":     ["active", "cancelled"],
            "paused":       ["active", "cancelled"],
            "non_renewing": ["active", "cancelled", "expired"],
            "cancelled":    ["active", "expired"],
            "expired":      []
        }}');


CREATE FUNCTION tenant_mgmt.complete_subscription() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.billing_anchor_day := coalesce(
        NEW.billing_anchor_day, extract(day FROM NEW.started_at AT TIME ZONE 'UTC')::integer);
    NEW.current_period_start := coalesce(NEW.current_period_start, NEW.started_at);
    SELECT coalesce(NEW.current_period_end,
                    tenant_mgmt.next_period_end(NEW.current_period_start, p.billing_interval,
                                                NEW.billing_anchor_day)),
           coalesce(NEW.current_plan_phase_id, first_phase.plan_phase_id)
    INTO NEW.current_period_end, NEW.current_plan_phase_id
    FROM tenant_mgmt.plan AS p
    CROSS JOIN LATERAL (
        SELECT f.plan_phase_id
        FROM tenant_mgmt.plan_phase AS f
        WHERE f.business_id = p.business_id AND f.plan_id = p.plan_id
        ORDER BY f.phase_no
        LIMIT 1
    ) AS first_phase
    WHERE p.business_id = NEW.business_id AND p.plan_id = NEW.plan_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.complete_subscription() IS
    'Derives what a new contract left out: anchor day, first period, first phase.';

CREATE TRIGGER subscription_complete
    BEFORE INSERT ON tenant_mgmt.subscription
    FOR EACH ROW WHEN (NEW.billing_anchor_day IS NULL
                       OR NEW.current_period_start IS NULL
                       OR NEW.current_period_end IS NULL
                       OR NEW.current_plan_phase_id IS NULL)
    EXECUTE FUNCTION tenant_mgmt.complete_subscription();


CREATE FUNCTION tenant_mgmt.enter_plan() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT f.plan_phase_id INTO NEW.current_plan_phase_id
    FROM tenant_mgmt.plan_phase AS f
    WHERE f.business_id = NEW.business_id AND f.plan_id = NEW.plan_id
    ORDER BY (f.kind = 'trial') = (NEW.status = 'trialing') DESC, f.phase_no
    LIMIT 1;
    NEW.phase_started_at := clock_timestamp();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.enter_plan() IS
    'A contract that moves to another plan, or out of its trial, enters the first phase that
     fits; no second trial.';

CREATE TRIGGER subscription_enter_plan
    BEFORE UPDATE OF plan_id, status ON tenant_mgmt.subscription
    FOR EACH ROW WHEN ((NEW.plan_id <> OLD.plan_id
                        OR NEW.status = 'active' AND OLD.status = 'trialing')
                       AND NEW.current_plan_phase_id = OLD.current_plan_phase_id)
    EXECUTE FUNCTION tenant_mgmt.enter_plan();


CREATE TABLE tenant_mgmt.subscription_item (
    business_id          uuid                   NOT NULL,
    subscription_item_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    subscription_id      uuid                   NOT NULL,
    usage_meter_id       uuid,
    item_kind            text                   NOT NULL,
    item_code            system_core.code       NOT NULL,
    quantity             system_core.quantity   NOT NULL DEFAULT 1,
    min_quantity         system_core.quantity,
    max_quantity         system_core.quantity,
    unit_price_amount    system_core.money      NOT NULL DEFAULT 0,
    discount_pct         system_core.percentage NOT NULL DEFAULT 0,
    proration_mode       text                   NOT NULL DEFAULT 'daily',
    effective_from       timestamptz            NOT NULL DEFAULT now(),
    effective_until      timestamptz,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, subscription_item_id),
    FOREIGN KEY (business_id, subscription_id)
        REFERENCES tenant_mgmt.subscription (business_id, subscription_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, usage_meter_id)
        REFERENCES tenant_mgmt.usage_meter (business_id, usage_meter_id),
    -- At any moment an item has one quantity and one price.
    EXCLUDE USING gist (
        business_id WITH =,
        subscription_id WITH =,
        item_code WITH =,
        tstzrange(effective_from, effective_until) WITH &&),
    CONSTRAINT subscription_item_kind_known
        CHECK (item_kind IN ('base', 'seat', 'location', 'module', 'addon', 'metered')),
    CONSTRAINT subscription_item_proration_mode_known
        CHECK (proration_mode IN ('none', 'daily', 'immediate')),
    CONSTRAINT subscription_item_metered_has_meter
        CHECK ((item_kind = 'metered') = (usage_meter_id IS NOT NULL)),
    CONSTRAINT subscription_item_metered_has_no_quantity
        CHECK (item_kind <> 'metered' OR quantity = 0),
    CONSTRAINT subscription_item_quantity_not_negative CHECK (quantity >= 0),
    CONSTRAINT subscription_item_quantity_reaches_minimum CHECK (quantity >= min_quantity),
    CONSTRAINT subscription_item_quantity_within_maximum CHECK (quantity <= max_quantity),
    CONSTRAINT subscription_item_price_not_negative CHECK (unit_price_amount >= 0),
    CONSTRAINT subscription_item_discount_is_share CHECK (discount_pct BETWEEN 0 AND 100),
    CONSTRAINT subscription_item_effective_not_empty CHECK (effective_until > effective_from)
);

COMMENT ON TABLE tenant_mgmt.subscription_item IS
    'A priced component of a subscription for a time: base, seats, locations, add-on, meter.';
COMMENT ON COLUMN tenant_mgmt.subscription_item.unit_price_amount IS
    'Per unit and billing interval; a metered item is priced by its rate tiers.';

-- Items in effect of a subscription: MRR, proration, invoice lines. Serves the foreign key.
CREATE INDEX subscription_item_effective_idx
    ON tenant_mgmt.subscription_item (business_id, subscription_id, effective_until);

-- Foreign key usage_meter_id; record_usage() finds the subscription that pays for a meter.
CREATE INDEX subscription_item_usage_meter_idx
    ON tenant_mgmt.subscription_item (business_id, usage_meter_id)
    WHERE usage_meter_id IS NOT NULL;

ALTER TABLE tenant_mgmt.subscription_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.subscription_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.subscription_item TO app_user;
GRANT SELECT ON tenant_mgmt.subscription_item TO app_readonly;

CREATE TRIGGER subscription_item_touch
    BEFORE UPDATE ON tenant_mgmt.subscription_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION tenant_mgmt.recurring_amount(tenant uuid, contract uuid, moment timestamptz)
    RETURNS numeric
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(
        sum(i.quantity * i.unit_price_amount * (1 - i.discount_pct / 100)), 0)
    FROM tenant_mgmt.subscription_item AS i
    WHERE i.business_id = tenant
      AND i.subscription_id = contract
      AND i.effective_from <= moment
      AND (i.effective_until > moment OR i.effective_until IS NULL);
END;
COMMENT ON FUNCTION tenant_mgmt.recurring_amount(uuid, uuid, timestamptz) IS
    'What a subscription costs per billing interval at a moment, without usage. The tenant is an
     argument because triggers call it.';


CREATE FUNCTION tenant_mgmt.subscription_mrr(tenant uuid, contract uuid, moment timestamptz)
    RETURNS numeric
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
               WHEN s.status IN ('active', 'past_due', 'non_renewing')
                   THEN round(tenant_mgmt.recurring_amount(tenant, contract, moment)
                              / tenant_mgmt.interval_months(p.billing_interval), 2)
               ELSE 0
           END
    FROM tenant_mgmt.subscription AS s
    JOIN tenant_mgmt.plan AS p ON p.business_id = s.business_id AND p.plan_id = s.plan_id
    WHERE s.business_id = tenant AND s.subscription_id = contract;
END;
COMMENT ON FUNCTION tenant_mgmt.subscription_mrr(uuid, uuid, timestamptz) IS
    'Monthly recurring revenue: 0 in a trial, while paused and after the end.';


CREATE FUNCTION tenant_mgmt.plan_price(tenant uuid, offered_plan uuid) RETURNS numeric
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(first_paid.price, p.base_price_amount)
    FROM tenant_mgmt.plan AS p
    LEFT JOIN LATERAL (
        SELECT round(f.recurring_price_amount * (1 - f.discount_pct / 100), 2) AS price
        FROM tenant_mgmt.plan_phase AS f
        WHERE f.business_id = p.business_id AND f.plan_id = p.plan_id AND f.kind <> 'trial'
        ORDER BY f.phase_no
        LIMIT 1
    ) AS first_paid ON true
    WHERE p.business_id = tenant AND p.plan_id = offered_plan;
END;
COMMENT ON FUNCTION tenant_mgmt.plan_price(uuid, uuid) IS
    'What one billing interval of a plan costs in its first paid phase.';


CREATE FUNCTION tenant_mgmt.plan_price_monthly(tenant uuid, offered_plan uuid) RETURNS numeric
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT tenant_mgmt.plan_price(tenant, offered_plan)
           / tenant_mgmt.interval_months(p.billing_interval)
    FROM tenant_mgmt.plan AS p
    WHERE p.business_id = tenant AND p.plan_id = offered_plan;
END;
COMMENT ON FUNCTION tenant_mgmt.plan_price_monthly(uuid, uuid) IS
    'The price of a plan per month, by which plans of different intervals compare.';


CREATE TABLE tenant_mgmt.subscription_change (
    business_id             uuid              NOT NULL,
    subscription_change_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    subscription_id         uuid              NOT NULL,
    target_plan_id          uuid,
    requested_by            uuid,
    change_kind             text              NOT NULL,
    timing                  text              NOT NULL DEFAULT 'immediate',
    state                   text              NOT NULL DEFAULT 'scheduled',
    seat_delta              integer,
    proration_credit_amount system_core.money NOT NULL DEFAULT 0,
    proration_charge_amount system_core.money NOT NULL DEFAULT 0,
    failure_reason          text,
    requested_at            timestamptz       NOT NULL DEFAULT now(),
    effective_at            timestamptz       NOT NULL DEFAULT now(),
    applied_at              timestamptz,
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, subscription_change_id),
    FOREIGN KEY (business_id, subscription_id)
        REFERENCES tenant_mgmt.subscription (business_id, subscription_id),
    FOREIGN KEY (business_id, target_plan_id)
        REFERENCES tenant_mgmt.plan (business_id, plan_id),
    FOREIGN KEY (business_id, requested_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT subscription_change_kind_known
        CHECK (change_kind IN ('upgrade', 'downgrade', 'seat_change', 'interval_change',
                               'pause', 'resume', 'cancel', 'reactivate')),
    CONSTRAINT subscription_change_timing_known
        CHECK (timing IN ('immediate', 'period_end', 'on_date')),
    CONSTRAINT subscription_change_state_known
        CHECK (state IN ('scheduled', 'applied', 'revoked', 'failed')),
    CONSTRAINT subscription_change_has_target_plan
        CHECK (change_kind NOT IN ('upgrade', 'downgrade', 'interval_change')
               OR target_plan_id IS NOT NULL),
    CONSTRAINT subscription_change_seats_only_of_seat_change
        CHECK ((change_kind = 'seat_change') = (seat_delta IS NOT NULL)),
    CONSTRAINT subscription_change_moves_seats CHECK (seat_delta <> 0),
    CONSTRAINT subscription_change_credit_not_negative CHECK (proration_credit_amount >= 0),
    CONSTRAINT subscription_change_charge_not_negative CHECK (proration_charge_amount >= 0),
    CONSTRAINT subscription_change_effective_after_request
        CHECK (effective_at >= requested_at),
    CONSTRAINT subscription_change_applied_has_time
        CHECK (state <> 'applied' OR applied_at IS NOT NULL),
    CONSTRAINT subscription_change_failed_has_reason
        CHECK (state <> 'failed' OR failure_reason IS NOT NULL)
);

COMMENT ON TABLE tenant_mgmt.subscription_change IS
    'A requested or scheduled change of plan, seats or interval, and its proration.';

-- A subscription has one change ahead of it; the renewal job finds it.
CREATE UNIQUE INDEX subscription_change_scheduled_idx
    ON tenant_mgmt.subscription_change (business_id, subscription_id)
    WHERE state = 'scheduled';

-- Foreign key subscription_id; the account page: changes, newest first.
CREATE INDEX subscription_change_history_idx
    ON tenant_mgmt.subscription_change (business_id, subscription_id, requested_at DESC);

-- Foreign key target_plan_id.
CREATE INDEX subscription_change_target_plan_idx
    ON tenant_mgmt.subscription_change (business_id, target_plan_id)
    WHERE target_plan_id IS NOT NULL;

-- Foreign key requested_by.
CREATE INDEX subscription_change_requested_by_idx
    ON tenant_mgmt.subscription_change (business_id, requested_by)
    WHERE requested_by IS NOT NULL;

ALTER TABLE tenant_mgmt.subscription_change
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.subscription_change
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.subscription_change TO app_user;
GRANT SELECT ON tenant_mgmt.subscription_change TO app_readonly;

CREATE TRIGGER subscription_change_touch
    BEFORE UPDATE ON tenant_mgmt.subscription_change
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER subscription_change_state_machine
    BEFORE INSERT OR UPDATE OF state ON tenant_mgmt.subscription_change
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["scheduled"],
        "transitions": {
            "scheduled": ["applied", "revoked", "failed"],
            "failed":    ["scheduled", "revoked"],
            "applied":   [],
            "revoked":   []
        }}');


CREATE TABLE tenant_mgmt.subscription_event (
    business_id           uuid                    NOT NULL,
    subscription_event_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    subscription_id       uuid                    NOT NULL,
    actor_user_account_id uuid,
    sequence_no           integer                 NOT NULL,
    event_kind            text                    NOT NULL,
    from_status           text,
    to_status             text                    NOT NULL,
    cause                 text                    NOT NULL,
    mrr_before_amount     system_core.money       NOT NULL DEFAULT 0,
    mrr_after_amount      system_core.money       NOT NULL DEFAULT 0,
    details               system_core.json_object NOT NULL DEFAULT '{}',
    occurred_at           timestamptz             NOT NULL DEFAULT now(),
    created_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, subscription_event_id, occurred_at),
    -- Serves the next number, the last MRR and the history of a subscription.
    UNIQUE (business_id, subscription_id, sequence_no, occurred_at),
    FOREIGN KEY (business_id, subscription_id)
        REFERENCES tenant_mgmt.subscription (business_id, subscription_id),
    FOREIGN KEY (business_id, actor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT subscription_event_sequence_positive CHECK (sequence_no > 0),
    CONSTRAINT subscription_event_kind_known
        CHECK (event_kind IN ('created', 'trial_started', 'trial_extended', 'trial_converted',
                              'activated', 'renewed', 'phase_changed', 'upgraded', 'downgraded',
                              'paused', 'resumed', 'payment_failed', 'payment_recovered',
                              'cancel_requested', 'cancelled', 'expired', 'reactivated')),
    CONSTRAINT subscription_event_status_known
        CHECK (to_status IN ('incomplete', 'trialing', 'active', 'past_due', 'paused',
                             'non_renewing', 'cancelled', 'expired')),
    CONSTRAINT subscription_event_cause_known
        CHECK (cause IN ('user', 'billing_job', 'dunning', 'support', 'api')),
    CONSTRAINT subscription_event_transition_allowed
        CHECK (from_status IS NULL
               OR from_status = to_status
               OR from_status = 'incomplete' AND to_status IN ('trialing', 'active', 'expired')
               OR from_status = 'trialing'
                  AND to_status IN ('active', 'past_due', 'cancelled', 'expired')
               OR from_status = 'active'
                  AND to_status IN ('past_due', 'paused', 'non_renewing', 'cancelled')
               OR from_status IN ('past_due', 'paused') AND to_status IN ('active', 'cancelled')
               OR from_status = 'non_renewing'
                  AND to_status IN ('active', 'cancelled', 'expired')
               OR from_status = 'cancelled' AND to_status IN ('active', 'expired')),
    CONSTRAINT subscription_event_mrr_before_not_negative CHECK (mrr_before_amount >= 0),
    CONSTRAINT subscription_event_mrr_after_not_negative CHECK (mrr_after_amount >= 0)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE tenant_mgmt.subscription_event IS
    'Every step in the life of a subscription, in order, with the MRR before and after it;
     append only.';
COMMENT ON COLUMN tenant_mgmt.subscription_event.sequence_no IS
    'Rises by one per subscription; given by the database unless history is imported.';
COMMENT ON COLUMN tenant_mgmt.subscription_event.details IS
    '{"before": {…}, "after": {…}}: plan, phase and period of the subscription.';

-- Foreign key actor_user_account_id.
CREATE INDEX subscription_event_actor_idx
    ON tenant_mgmt.subscription_event (business_id, actor_user_account_id)
    WHERE actor_user_account_id IS NOT NULL;

-- MRR movement and churn over time.
CREATE INDEX subscription_event_time_idx
    ON tenant_mgmt.subscription_event (business_id, occurred_at);

ALTER TABLE tenant_mgmt.subscription_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.subscription_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON tenant_mgmt.subscription_event TO app_user;
GRANT SELECT ON tenant_mgmt.subscription_event TO app_readonly;

CREATE TRIGGER subscription_event_append_only
    BEFORE UPDATE OR DELETE ON tenant_mgmt.subscription_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('tenant_mgmt.subscription_event');

CREATE TABLE tenant_mgmt.subscription_event_default
    PARTITION OF tenant_mgmt.subscription_event DEFAULT;
ALTER TABLE tenant_mgmt.subscription_event_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.subscription_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'tenant_mgmt.subscription_event', 'month', behind => 13, ahead => 3);


CREATE FUNCTION tenant_mgmt.number_subscription_event() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    next_no integer;
BEGIN
    IF NEW.sequence_no IS NOT NULL AND NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    -- Whoever changes the subscription holds its row anyway; others queue here.
    PERFORM FROM tenant_mgmt.subscription AS s
    WHERE s.business_id = NEW.business_id AND s.subscription_id = NEW.subscription_id
    FOR NO KEY UPDATE;
    SELECT coalesce(max(e.sequence_no), 0) + 1 INTO next_no
    FROM tenant_mgmt.subscription_event AS e
    WHERE e.business_id = NEW.business_id AND e.subscription_id = NEW.subscription_id;
    IF NEW.sequence_no <> next_no THEN
        RAISE EXCEPTION 'event % of the subscription cannot follow event %',
            NEW.sequence_no, next_no - 1
            USING ERRCODE = 'check_violation', HINT = 'Leave sequence_no to the database.';
    END IF;
    NEW.sequence_no := next_no;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.number_subscription_event() IS
    'Numbers the events of a subscription without gaps.';

CREATE TRIGGER subscription_event_number
    BEFORE INSERT ON tenant_mgmt.subscription_event
    FOR EACH ROW EXECUTE FUNCTION tenant_mgmt.number_subscription_event();


-- Below the table it writes, although it belongs to subscription.
CREATE FUNCTION tenant_mgmt.log_subscription() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    kind       text;
    before     jsonb := '{}';
    mrr_before numeric;
BEGIN
    SELECT e.mrr_after_amount INTO mrr_before
    FROM tenant_mgmt.subscription_event AS e
    WHERE e.business_id = NEW.business_id AND e.subscription_id = NEW.subscription_id
    ORDER BY e.sequence_no DESC
    LIMIT 1;

    IF TG_OP = 'INSERT' THEN
        IF NOT row_security_active(TG_RELID) THEN
            RETURN NULL;
        END IF;
        kind := 'created';
    ELSE
        before := jsonb_build_object(
            'plan_id', OLD.plan_id, 'plan_phase_id', OLD.current_plan_phase_id,
            'period_start', OLD.current_period_start, 'period_end', OLD.current_period_end);
        kind := CASE
            WHEN NEW.status <> OLD.status THEN CASE
                WHEN NEW.status = 'trialing'     THEN 'trial_started'
                WHEN NEW.status = 'past_due'     THEN 'payment_failed'
                WHEN NEW.status = 'paused'       THEN 'paused'
                WHEN NEW.status = 'non_renewing' THEN 'cancel_requested'
                WHEN NEW.status = 'cancelled'    THEN 'cancelled'
                WHEN NEW.status = 'expired'      THEN 'expired'
                WHEN OLD.status = 'incomplete'   THEN 'activated'
                WHEN OLD.status = 'trialing'     THEN 'trial_converted'
                WHEN OLD.status = 'past_due'     THEN 'payment_recovered'
                WHEN OLD.status = 'paused'       THEN 'resumed'
                ELSE 'reactivated' END
            WHEN NEW.plan_id <> OLD.plan_id THEN CASE
                WHEN tenant_mgmt.plan_price_monthly(NEW.business_id, NEW.plan_id)
                     >= tenant_mgmt.plan_price_monthly(NEW.business_id, OLD.plan_id)
                THEN 'upgraded' ELSE 'downgraded' END
            WHEN NEW.current_plan_phase_id <> OLD.current_plan_phase_id THEN 'phase_changed'
            WHEN NEW.trial_ends_at <> OLD.trial_ends_at THEN 'trial_extended'
            ELSE 'renewed' END;
    END IF;

    INSERT INTO tenant_mgmt.subscription_event (
        business_id, subscription_id, actor_user_account_id, event_kind, from_status, to_status,
        cause, mrr_before_amount, mrr_after_amount, details, occurred_at)
    VALUES (
        NEW.business_id, NEW.subscription_id,
        nullif(current_setting('app.user_account_id', true), '')::uuid,
        kind, CASE WHEN TG_OP = 'UPDATE' THEN OLD.status END, NEW.status,
        coalesce(nullif(current_setting('app.change_cause', true), ''), 'api'),
        coalesce(mrr_before, 0),
        tenant_mgmt.subscription_mrr(NEW.business_id, NEW.subscription_id, clock_timestamp()),
        jsonb_build_object('before', before, 'after', jsonb_build_object(
            'plan_id', NEW.plan_id, 'plan_phase_id', NEW.current_plan_phase_id,
            'period_start', NEW.current_period_start, 'period_end', NEW.current_period_end)),
        clock_timestamp());
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.log_subscription() IS
    'Writes subscription_event for each change of status, plan, phase or period; MRR before is
     what the last event left. The cause is what explain_change() said.';

CREATE TRIGGER subscription_log_creation
    AFTER INSERT ON tenant_mgmt.subscription
    FOR EACH ROW EXECUTE FUNCTION tenant_mgmt.log_subscription();

CREATE TRIGGER subscription_log_change
    AFTER UPDATE ON tenant_mgmt.subscription
    FOR EACH ROW WHEN (
        NEW.status <> OLD.status
        OR NEW.plan_id <> OLD.plan_id
        OR NEW.current_plan_phase_id <> OLD.current_plan_phase_id
        OR NEW.current_period_start <> OLD.current_period_start
        OR NEW.trial_ends_at <> OLD.trial_ends_at)
    EXECUTE FUNCTION tenant_mgmt.log_subscription();


CREATE TABLE tenant_mgmt.entitlement_override (
    business_id             uuid             NOT NULL,
    entitlement_override_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    subscription_id         uuid             NOT NULL,
    granted_by              uuid,
    feature_code            system_core.code NOT NULL,
    is_granted              boolean          NOT NULL DEFAULT true,
    limit_quantity          system_core.quantity,
    reason                  text             NOT NULL,
    approval_ref            text,
    valid_from              timestamptz      NOT NULL DEFAULT now(),
    valid_until             timestamptz      NOT NULL,
    revoked_at              timestamptz,
    created_at              timestamptz      NOT NULL DEFAULT now(),
    updated_at              timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, entitlement_override_id),
    FOREIGN KEY (business_id, subscription_id)
        REFERENCES tenant_mgmt.subscription (business_id, subscription_id),
    FOREIGN KEY (business_id, granted_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    -- One answer at a time. Serves entitlement_check and quota_check too.
    EXCLUDE USING gist (
        business_id WITH =,
        feature_code WITH =,
        tstzrange(valid_from, valid_until) WITH &&)
        WHERE (revoked_at IS NULL),
    CONSTRAINT entitlement_override_limit_not_negative CHECK (limit_quantity >= 0),
    CONSTRAINT entitlement_override_reason_known
        CHECK (reason IN ('sales_concession', 'beta', 'support_credit', 'migration',
                          'contract_term')),
    CONSTRAINT entitlement_override_concession_is_approved
        CHECK (reason <> 'sales_concession' OR approval_ref IS NOT NULL),
    CONSTRAINT entitlement_override_valid_not_empty CHECK (valid_until > valid_from)
);

COMMENT ON TABLE tenant_mgmt.entitlement_override IS
    'A feature or limit granted to, or taken from, this tenant beside its plan, with an end.';
COMMENT ON COLUMN tenant_mgmt.entitlement_override.limit_quantity IS
    'Replaces the limit of the plan; NULL keeps it.';

-- Overrides in force of a feature: v_entitlement_effective.
CREATE INDEX entitlement_override_feature_idx
    ON tenant_mgmt.entitlement_override (business_id, feature_code, valid_until)
    WHERE revoked_at IS NULL;

-- Foreign key subscription_id.
CREATE INDEX entitlement_override_subscription_idx
    ON tenant_mgmt.entitlement_override (business_id, subscription_id);

-- Foreign key granted_by.
CREATE INDEX entitlement_override_granted_by_idx
    ON tenant_mgmt.entitlement_override (business_id, granted_by)
    WHERE granted_by IS NOT NULL;

ALTER TABLE tenant_mgmt.entitlement_override
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.entitlement_override
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.entitlement_override TO app_user;
GRANT SELECT ON tenant_mgmt.entitlement_override TO app_readonly;

CREATE TRIGGER entitlement_override_touch
    BEFORE UPDATE ON tenant_mgmt.entitlement_override
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


-- Two halves and no FULL JOIN, so that business_id and feature_code reach every index.
CREATE VIEW tenant_mgmt.v_entitlement_effective WITH (security_invoker = true) AS
    SELECT planned.business_id,
           planned.feature_code,
           coalesce(o.subscription_id, planned.subscription_id)  AS subscription_id,
           planned.kind,
           coalesce(o.is_granted, planned.is_granted)            AS is_granted,
           coalesce(o.limit_quantity, planned.limit_quantity)    AS limit_quantity,
           planned.limit_period,
           planned.overage_policy,
           planned.config_value,
           CASE WHEN o.entitlement_override_id IS NULL THEN 'plan' ELSE 'override' END AS source,
           coalesce(o.reason, planned.plan_name)                 AS source_detail,
           o.valid_until
    FROM (
        -- Of several live subscriptions the most generous grant counts.
        SELECT DISTINCT ON (e.business_id, e.feature_code)
               e.business_id, e.feature_code, s.subscription_id, e.kind, e.is_granted,
               e.limit_quantity, e.limit_period, e.overage_policy, e.config_value,
               p.name AS plan_name
        FROM tenant_mgmt.subscription AS s
        JOIN tenant_mgmt.plan AS p ON p.business_id = s.business_id AND p.plan_id = s.plan_id
        JOIN tenant_mgmt.plan_entitlement AS e
            ON e.business_id = s.business_id AND e.plan_id = s.plan_id
        WHERE s.status IN ('trialing', 'active', 'past_due', 'non_renewing')
        ORDER BY e.business_id, e.feature_code, e.is_granted DESC,
                 e.limit_quantity DESC NULLS LAST, s.subscription_id
    ) AS planned
    LEFT JOIN tenant_mgmt.entitlement_override AS o
        ON o.business_id = planned.business_id
       AND o.feature_code = planned.feature_code
       AND o.revoked_at IS NULL
       AND now() >= o.valid_from
       AND now() < o.valid_until
    UNION ALL
    SELECT o.business_id, o.feature_code, o.subscription_id, NULL, o.is_granted,
           o.limit_quantity, 'none', NULL, NULL, 'override', o.reason, o.valid_until
    FROM tenant_mgmt.entitlement_override AS o
    WHERE o.revoked_at IS NULL
      AND now() >= o.valid_from
      AND now() < o.valid_until
      AND NOT EXISTS (
          SELECT
          FROM tenant_mgmt.subscription AS s
          JOIN tenant_mgmt.plan_entitlement AS e
              ON e.business_id = s.business_id AND e.plan_id = s.plan_id
          WHERE s.business_id = o.business_id
            AND s.status IN ('trialing', 'active', 'past_due', 'non_renewing')
            AND e.feature_code = o.feature_code);
COMMENT ON VIEW tenant_mgmt.v_entitlement_effective IS
    'What the tenant may use right now, with the source of each grant: an override in force wins
     over the plans of its live subscriptions, of which a paused one grants nothing.';
GRANT SELECT ON tenant_mgmt.v_entitlement_effective TO app_user, app_readonly;


CREATE FUNCTION tenant_mgmt.has_entitlement(feature text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(bool_or(e.is_granted), false)
    FROM tenant_mgmt.v_entitlement_effective AS e
    WHERE e.business_id = tenant_mgmt.current_business_id()
      AND e.feature_code = feature;
END;
COMMENT ON FUNCTION tenant_mgmt.has_entitlement(text) IS
    'Whether the current tenant may use a feature now; false for one that nothing mentions.';


CREATE TABLE tenant_mgmt.coupon_redemption (
    business_id             uuid              NOT NULL,
    coupon_redemption_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    subscription_id         uuid              NOT NULL,
    coupon_code             system_core.code  NOT NULL,
    discount_kind           text              NOT NULL,
    percent_off             system_core.percentage,
    amount_off              system_core.money,
    duration                text              NOT NULL,
    months_total            integer,
    months_remaining        integer,
    total_discounted_amount system_core.money NOT NULL DEFAULT 0,
    redeemed_at             timestamptz       NOT NULL DEFAULT now(),
    expires_at              timestamptz,
    revoked_at              timestamptz,
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, coupon_redemption_id),
    UNIQUE (business_id, subscription_id, coupon_code),
    FOREIGN KEY (business_id, subscription_id)
        REFERENCES tenant_mgmt.subscription (business_id, subscription_id),
    CONSTRAINT coupon_redemption_discount_kind_known
        CHECK (discount_kind IN ('percent', 'amount', 'free_months')),
    CONSTRAINT coupon_redemption_duration_known
        CHECK (duration IN ('once', 'repeating', 'forever')),
    CONSTRAINT coupon_redemption_percent_only_of_percent
        CHECK ((discount_kind = 'percent') = (percent_off IS NOT NULL)),
    CONSTRAINT coupon_redemption_amount_only_of_amount
        CHECK ((discount_kind = 'amount') = (amount_off IS NOT NULL)),
    CONSTRAINT coupon_redemption_percent_is_share
        CHECK (percent_off > 0 AND percent_off <= 100),
    CONSTRAINT coupon_redemption_amount_positive CHECK (amount_off > 0),
    CONSTRAINT coupon_redemption_months_only_of_repeating
        CHECK ((duration = 'repeating') = (months_total IS NOT NULL)),
    CONSTRAINT coupon_redemption_free_months_repeat
        CHECK (discount_kind <> 'free_months' OR duration = 'repeating'),
    CONSTRAINT coupon_redemption_months_counted_together
        CHECK ((months_total IS NULL) = (months_remaining IS NULL)),
    CONSTRAINT coupon_redemption_months_total_positive CHECK (months_total > 0),
    CONSTRAINT coupon_redemption_months_remaining_within_total
        CHECK (months_remaining BETWEEN 0 AND months_total),
    CONSTRAINT coupon_redemption_discounted_not_negative CHECK (total_discounted_amount >= 0),
    CONSTRAINT coupon_redemption_expires_after_redemption CHECK (expires_at > redeemed_at)
);

COMMENT ON TABLE tenant_mgmt.coupon_redemption IS
    'A discount applied to a subscription and what is left of it.';

ALTER TABLE tenant_mgmt.coupon_redemption ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.coupon_redemption
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.coupon_redemption TO app_user;
GRANT SELECT ON tenant_mgmt.coupon_redemption TO app_readonly;

CREATE TRIGGER coupon_redemption_touch
    BEFORE UPDATE ON tenant_mgmt.coupon_redemption
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION tenant_mgmt.transition_subscription(
    contract  uuid,
    new_state text,
    why       text DEFAULT 'api'
) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant    CONSTANT uuid := tenant_mgmt.current_business_id();
    moment timestamptz;
    held   tenant_mgmt.subscription;
    terms  tenant_mgmt.plan;
BEGIN
    SELECT * INTO held
    FROM tenant_mgmt.subscription AS s
    WHERE s.business_id = tenant AND s.subscription_id = contract
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'subscription % does not exist', contract
            USING ERRCODE = 'no_data_found';
    ELSIF held.status = new_state THEN
        RETURN;
    END IF;
    SELECT * INTO terms
    FROM tenant_mgmt.plan AS p
    WHERE p.business_id = tenant AND p.plan_id = held.plan_id;
    moment := clock_timestamp();

    -- A trial is a period of its own; what is paid for begins with the activation.
    IF new_state = 'trialing' THEN
        held.trial_ends_at := coalesce(
            held.trial_ends_at, moment + make_interval(days => terms.trial_days));
        held.current_period_start := moment;
        held.current_period_end := held.trial_ends_at;
    ELSIF new_state = 'active' AND (held.status = 'trialing' OR held.current_period_end <= moment)
    THEN
        held.billing_anchor_day := extract(day FROM moment AT TIME ZONE 'UTC');
        held.current_period_start := moment;
        held.current_period_end := tenant_mgmt.next_period_end(
            moment, terms.billing_interval, held.billing_anchor_day);
    END IF;

    PERFORM tenant_mgmt.explain_change(why);
    UPDATE tenant_mgmt.subscription AS s
    SET status = new_state,
        billing_anchor_day = held.billing_anchor_day,
        current_period_start = held.current_period_start,
        current_period_end = held.current_period_end,
        trial_ends_at = held.trial_ends_at,
        cancel_at_period_end = new_state = 'non_renewing',
        cancelled_at = CASE WHEN new_state IN ('cancelled', 'non_renewing') THEN moment
                            WHEN new_state = 'active' THEN NULL
                            ELSE s.cancelled_at END,
        ended_at = CASE WHEN new_state IN ('cancelled', 'expired')
                            THEN coalesce(s.ended_at, greatest(moment, s.started_at))
                        WHEN new_state = 'active' THEN NULL
                        ELSE s.ended_at END
    WHERE s.business_id = tenant AND s.subscription_id = contract;
    PERFORM tenant_mgmt.explain_change('');

    -- The tenant follows, as far as its own state machine lets it.
    UPDATE tenant_mgmt.business AS b
    SET status = CASE new_state WHEN 'cancelled' THEN 'suspended' WHEN 'expired' THEN 'suspended'
                                ELSE new_state END
    WHERE b.business_id = tenant
      AND (new_state = 'trialing' AND b.status = 'provisioning'
           OR new_state = 'active'
              AND b.status IN ('provisioning', 'trialing', 'past_due', 'suspended', 'closing')
           OR new_state = 'past_due' AND b.status = 'active'
           OR new_state IN ('cancelled', 'expired')
              AND b.status IN ('trialing', 'active', 'past_due')
              AND NOT EXISTS (
                  SELECT FROM tenant_mgmt.subscription AS other
                  WHERE other.business_id = tenant
                    AND other.status IN ('trialing', 'active', 'past_due', 'paused',
                                         'non_renewing')));
END
$$;
COMMENT ON FUNCTION tenant_mgmt.transition_subscription(uuid, text, text) IS
    'Moves a subscription of the current tenant to another status, with the times that go with
     it; the triggers refuse what the state machine does not allow and write the event. The
     tenant is suspended when its last live subscription ends.';


CREATE FUNCTION tenant_mgmt.prorate_change(change uuid)
    RETURNS TABLE (credit numeric, charge numeric)
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH asked AS (
        SELECT c.business_id, c.subscription_id, c.change_kind, c.timing, c.target_plan_id,
               c.seat_delta, c.effective_at, s.status, p.extra_seat_price_amount,
               s.current_period_end::date - s.current_period_start::date AS period_days,
               s.current_period_end::date - greatest(c.effective_at,
                                                     s.current_period_start)::date AS days_left
        FROM tenant_mgmt.subscription_change AS c
        JOIN tenant_mgmt.subscription AS s
            ON s.business_id = c.business_id AND s.subscription_id = c.subscription_id
        JOIN tenant_mgmt.plan AS p ON p.business_id = s.business_id AND p.plan_id = s.plan_id
        WHERE c.business_id = tenant_mgmt.current_business_id()
          AND c.subscription_change_id = change
    ), priced AS (
        SELECT a.change_kind,
               a.seat_delta,
               -- Nothing was paid for in a trial, and nothing is left at the end of a period.
               CASE WHEN a.status IN ('trialing', 'incomplete') OR a.timing = 'period_end' THEN 0
                    ELSE greatest(a.days_left, 0)::numeric / greatest(a.period_days, 1)
               END AS share_left,
               base.amount AS base_amount,
               tenant_mgmt.recurring_amount(a.business_id, a.subscription_id, a.effective_at)
                   AS whole_amount,
               coalesce(seat.unit_price_amount, a.extra_seat_price_amount) AS seat_amount,
               tenant_mgmt.plan_price(a.business_id, a.target_plan_id) AS target_amount,
               a.status IN ('trialing', 'incomplete') OR a.timing = 'period_end' AS is_free
        FROM asked AS a
        CROSS JOIN LATERAL (
            SELECT coalesce(
                sum(i.quantity * i.unit_price_amount * (1 - i.discount_pct / 100)), 0) AS amount
            FROM tenant_mgmt.subscription_item AS i
            WHERE i.business_id = a.business_id
              AND i.subscription_id = a.subscription_id
              AND i.item_kind = 'base'
              AND i.effective_from <= a.effective_at
              AND (i.effective_until > a.effective_at OR i.effective_until IS NULL)
        ) AS base
        LEFT JOIN LATERAL (
            SELECT i.unit_price_amount
            FROM tenant_mgmt.subscription_item AS i
            WHERE i.business_id = a.business_id
              AND i.subscription_id = a.subscription_id
              AND i.item_kind = 'seat'
              AND i.effective_from <= a.effective_at
              AND (i.effective_until > a.effective_at OR i.effective_until IS NULL)
            LIMIT 1
        ) AS seat ON true
    )
    SELECT round(share_left * CASE
               WHEN change_kind IN ('upgrade', 'downgrade', 'interval_change') THEN base_amount
               WHEN change_kind = 'seat_change' THEN greatest(-seat_delta, 0) * seat_amount
               WHEN change_kind IN ('pause', 'cancel') THEN whole_amount
               ELSE 0
           END, 2),
           round(CASE
               WHEN change_kind IN ('upgrade', 'downgrade') THEN share_left * target_amount
               WHEN change_kind = 'interval_change' AND NOT is_free THEN target_amount
               WHEN change_kind = 'seat_change'
                   THEN share_left * greatest(seat_delta, 0) * seat_amount
               WHEN change_kind IN ('resume', 'reactivate') THEN share_left * whole_amount
               ELSE 0
           END, 2)
    FROM priced;
END;
COMMENT ON FUNCTION tenant_mgmt.prorate_change(uuid) IS
    'Day-exact credit for what was paid and is not used, and charge for what comes instead. A
     change of interval begins a new period and charges all of it. Asked before the change is
     applied; for the current tenant.';


CREATE FUNCTION tenant_mgmt.replace_item(
    contract uuid, kind text, code text, units numeric, unit_price numeric, moment timestamptz
) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    UPDATE tenant_mgmt.subscription_item AS i
    SET effective_until = moment
    WHERE i.business_id = tenant
      AND i.subscription_id = contract
      AND i.item_kind = kind
      AND i.effective_from < moment
      AND (i.effective_until > moment OR i.effective_until IS NULL);
    IF units > 0 THEN
        INSERT INTO tenant_mgmt.subscription_item (
            business_id, subscription_id, item_kind, item_code, quantity, unit_price_amount,
            effective_from)
        VALUES (tenant, contract, kind, code, units, unit_price, moment);
    END IF;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.replace_item(uuid, text, text, numeric, numeric, timestamptz) IS
    'Ends the items of a kind at a moment and begins one in their place; none for no units.
     For the current tenant.';


CREATE FUNCTION tenant_mgmt.apply_change(change uuid) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    asked  tenant_mgmt.subscription_change;
    target tenant_mgmt.plan;
    seats  numeric;
    due    record;
    moment timestamptz;
BEGIN
    SELECT * INTO asked
    FROM tenant_mgmt.subscription_change AS c
    WHERE c.business_id = tenant AND c.subscription_change_id = change AND c.state = 'scheduled'
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no scheduled change %', change USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM FROM tenant_mgmt.subscription AS s
    WHERE s.business_id = tenant AND s.subscription_id = asked.subscription_id
    FOR NO KEY UPDATE;
    -- After the lock: later than whatever a change before this one wrote.
    moment := clock_timestamp();
    SELECT p.credit, p.charge INTO due FROM tenant_mgmt.prorate_change(change) AS p;

    IF asked.change_kind IN ('upgrade', 'downgrade', 'interval_change') THEN
        SELECT * INTO target
        FROM tenant_mgmt.plan AS p
        WHERE p.business_id = tenant AND p.plan_id = asked.target_plan_id;
        PERFORM tenant_mgmt.replace_item(
            asked.subscription_id, 'base', target.catalog_code, 1,
            tenant_mgmt.plan_price(tenant, target.plan_id), moment);
        UPDATE tenant_mgmt.subscription AS s
        SET plan_id = target.plan_id,
            billing_anchor_day = CASE WHEN asked.change_kind = 'interval_change'
                THEN extract(day FROM moment AT TIME ZONE 'UTC') ELSE s.billing_anchor_day END,
            current_period_start = CASE WHEN asked.change_kind = 'interval_change'
                THEN moment ELSE s.current_period_start END,
            current_period_end = CASE WHEN asked.change_kind = 'interval_change'
                THEN tenant_mgmt.next_period_end(
                    moment, target.billing_interval,
                    extract(day FROM moment AT TIME ZONE 'UTC')::integer)
                ELSE s.current_period_end END
        WHERE s.business_id = tenant AND s.subscription_id = asked.subscription_id;
    ELSIF asked.change_kind = 'seat_change' THEN
        SELECT coalesce(sum(i.quantity), 0) + asked.seat_delta INTO seats
        FROM tenant_mgmt.subscription_item AS i
        WHERE i.business_id = tenant
          AND i.subscription_id = asked.subscription_id
          AND i.item_kind = 'seat'
          AND (i.effective_until > moment OR i.effective_until IS NULL);
        IF seats < 0 THEN
            RAISE EXCEPTION 'a subscription cannot have % extra seats', seats
                USING ERRCODE = 'check_violation';
        END IF;
        PERFORM tenant_mgmt.replace_item(
            asked.subscription_id, 'seat', 'seat', seats, (
                SELECT p.extra_seat_price_amount
                FROM tenant_mgmt.subscription AS s
                JOIN tenant_mgmt.plan AS p
                    ON p.business_id = s.business_id AND p.plan_id = s.plan_id
                WHERE s.business_id = tenant AND s.subscription_id = asked.subscription_id),
            moment);
    ELSE
        PERFORM tenant_mgmt.transition_subscription(
            asked.subscription_id,
            CASE asked.change_kind WHEN 'pause' THEN 'paused' WHEN 'cancel' THEN 'cancelled'
                                   ELSE 'active' END,
            'user');
    END IF;

    UPDATE tenant_mgmt.subscription_change AS c
    SET state = 'applied',
        applied_at = moment,
        proration_credit_amount = due.credit,
        proration_charge_amount = due.charge
    WHERE c.business_id = tenant AND c.subscription_change_id = change;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.apply_change(uuid) IS
    'Carries out a scheduled change of the current tenant: items, plan, period or status, and
     its proration.';


CREATE FUNCTION tenant_mgmt.change_plan(
    contract     uuid,
    target       uuid,
    requester    uuid DEFAULT NULL
) RETURNS TABLE (business_id uuid, subscription_change_id uuid, change_kind text,
                 credit numeric, charge numeric)
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    kind   text;
    change uuid;
BEGIN
    PERFORM FROM tenant_mgmt.subscription AS s
    WHERE s.business_id = tenant AND s.subscription_id = contract
    FOR NO KEY UPDATE;
    SELECT CASE
               WHEN new_plan.billing_interval <> old_plan.billing_interval
                   THEN 'interval_change'
               WHEN tenant_mgmt.plan_price_monthly(tenant, new_plan.plan_id)
                    >= tenant_mgmt.plan_price_monthly(tenant, old_plan.plan_id) THEN 'upgrade'
               ELSE 'downgrade'
           END
    INTO kind
    FROM tenant_mgmt.subscription AS s
    JOIN tenant_mgmt.plan AS old_plan
        ON old_plan.business_id = s.business_id AND old_plan.plan_id = s.plan_id
    JOIN tenant_mgmt.plan AS new_plan
        ON new_plan.business_id = s.business_id AND new_plan.plan_id = target
    WHERE s.business_id = tenant
      AND s.subscription_id = contract
      AND s.plan_id <> target
      AND s.status IN ('trialing', 'active', 'past_due', 'non_renewing');
    IF NOT FOUND THEN
        RETURN;
    END IF;

    UPDATE tenant_mgmt.subscription_change AS c
    SET state = 'revoked'
    WHERE c.business_id = tenant AND c.subscription_id = contract AND c.state = 'scheduled';
    INSERT INTO tenant_mgmt.subscription_change (
        business_id, subscription_id, target_plan_id, requested_by, change_kind)
    VALUES (tenant, contract, target, requester, kind)
    RETURNING subscription_change.subscription_change_id INTO change;
    PERFORM tenant_mgmt.apply_change(change);

    RETURN QUERY
    SELECT c.business_id, c.subscription_change_id, c.change_kind,
           c.proration_credit_amount::numeric, c.proration_charge_amount::numeric
    FROM tenant_mgmt.subscription_change AS c
    WHERE c.business_id = tenant AND c.subscription_change_id = change;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.change_plan(uuid, uuid, uuid) IS
    'Moves a live subscription of the current tenant to another of its plans at once and says
     what it costs; takes the place of a change that was scheduled. No row where there is
     nothing to change.';


CREATE FUNCTION tenant_mgmt.renew_subscription(contract uuid) RETURNS timestamptz
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    held   tenant_mgmt.subscription;
    change uuid;
    phase  uuid;
    price  numeric;
BEGIN
    SELECT * INTO held
    FROM tenant_mgmt.subscription AS s
    WHERE s.business_id = tenant AND s.subscription_id = contract
      AND s.status IN ('active', 'past_due', 'non_renewing')
      AND s.current_period_end <= now()
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    ELSIF held.cancel_at_period_end THEN
        PERFORM tenant_mgmt.transition_subscription(
            contract, CASE held.status WHEN 'non_renewing' THEN 'expired' ELSE 'cancelled' END,
            'billing_job');
        RETURN NULL;
    END IF;

    SELECT c.subscription_change_id INTO change
    FROM tenant_mgmt.subscription_change AS c
    WHERE c.business_id = tenant
      AND c.subscription_id = contract
      AND c.state = 'scheduled'
      AND c.effective_at <= now();
    IF FOUND THEN
        PERFORM tenant_mgmt.apply_change(change);
    END IF;

    SELECT * INTO held
    FROM tenant_mgmt.subscription AS s
    WHERE s.business_id = tenant AND s.subscription_id = contract;
    IF held.status NOT IN ('active', 'past_due', 'non_renewing') THEN
        RETURN NULL;
    ELSIF held.current_period_end > now() THEN  -- the change began a new period
        RETURN held.current_period_end;
    END IF;
    SELECT next_phase.plan_phase_id,
           round(next_phase.recurring_price_amount * (1 - next_phase.discount_pct / 100), 2)
    INTO phase, price
    FROM tenant_mgmt.plan_phase AS old_phase
    JOIN tenant_mgmt.plan_phase AS next_phase
        ON next_phase.business_id = old_phase.business_id
       AND next_phase.plan_id = old_phase.plan_id
       AND next_phase.phase_no > old_phase.phase_no
    WHERE old_phase.business_id = tenant
      AND old_phase.plan_phase_id = held.current_plan_phase_id
      AND held.phase_started_at
              + (old_phase.duration_count || ' ' || old_phase.duration_unit)::interval
          <= held.current_period_end
    ORDER BY next_phase.phase_no
    LIMIT 1;
    IF FOUND THEN
        PERFORM tenant_mgmt.replace_item(
            contract, 'base', p.catalog_code, 1, price, held.current_period_end)
        FROM tenant_mgmt.plan AS p
        WHERE p.business_id = tenant AND p.plan_id = held.plan_id;
    END IF;

    PERFORM tenant_mgmt.explain_change('billing_job');
    UPDATE tenant_mgmt.subscription AS s
    SET current_period_start = s.current_period_end,
        current_period_end = tenant_mgmt.next_period_end(
            s.current_period_end, p.billing_interval, s.billing_anchor_day),
        current_plan_phase_id = coalesce(phase, s.current_plan_phase_id),
        phase_started_at = CASE WHEN phase IS NULL THEN s.phase_started_at
                                ELSE s.current_period_end END
    FROM tenant_mgmt.plan AS p
    WHERE s.business_id = tenant AND s.subscription_id = contract
      AND p.business_id = s.business_id AND p.plan_id = s.plan_id
    RETURNING s.current_period_end INTO held.current_period_end;
    PERFORM tenant_mgmt.explain_change('');
    RETURN held.current_period_end;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.renew_subscription(uuid) IS
    'Begins the next period of a subscription of the current tenant that has come to its end:
     applies the change that waited for it, steps to the next phase and its price, or lets it
     end. Returns the new end; NULL where it does not renew.';
