/*
 * Metering: what a tenant consumes, what of it is included, and what the rest costs.
 *
 * usage_event is one measured consumption of a meter (20_subscription.sql); usage_period is its
 * sum over one billing period of a subscription, kept by the statement trigger of usage_event.
 * usage_rate_tier prices what exceeds the included quantity, usage_alert watches thresholds,
 * spend_commitment is an agreed minimum.
 *
 * A period holds the events from period_start to the day before period_end, in UTC. Whichever
 * of the two is written first, its figures are those of the events that are there: an event
 * adds to its period, and a period that is imported counts its events. Import both with
 * event_count, aggregated_quantity and last_event_at left to the database.
 */


CREATE TABLE tenant_mgmt.usage_rate_tier (
    business_id        uuid                   NOT NULL,
    usage_rate_tier_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    plan_id            uuid                   NOT NULL,
    usage_meter_id     uuid                   NOT NULL,
    tier_no            integer                NOT NULL,
    charge_model       text                   NOT NULL,
    from_quantity      system_core.quantity   NOT NULL DEFAULT 0,
    to_quantity        system_core.quantity,
    unit_amount        system_core.unit_price NOT NULL DEFAULT 0,
    flat_amount        system_core.money      NOT NULL DEFAULT 0,
    package_size       integer,
    percentage_rate    system_core.rate,
    included_quantity  system_core.quantity   NOT NULL DEFAULT 0,
    currency_code      system_core.currency   NOT NULL,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, usage_rate_tier_id),
    UNIQUE (business_id, plan_id, usage_meter_id, tier_no),
    FOREIGN KEY (business_id, plan_id)
        REFERENCES tenant_mgmt.plan (business_id, plan_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, usage_meter_id)
        REFERENCES tenant_mgmt.usage_meter (business_id, usage_meter_id),
    CONSTRAINT usage_rate_tier_no_positive CHECK (tier_no > 0),
    CONSTRAINT usage_rate_tier_charge_model_known
        CHECK (charge_model IN ('standard', 'graduated', 'volume', 'package', 'percentage')),
    CONSTRAINT usage_rate_tier_standard_is_one
        CHECK (charge_model <> 'standard' OR (tier_no = 1 AND to_quantity IS NULL)),
    CONSTRAINT usage_rate_tier_begins_at_zero CHECK ((tier_no = 1) = (from_quantity = 0)),
    CONSTRAINT usage_rate_tier_from_not_negative CHECK (from_quantity >= 0),
    CONSTRAINT usage_rate_tier_not_empty CHECK (to_quantity > from_quantity),
    CONSTRAINT usage_rate_tier_unit_amount_not_negative CHECK (unit_amount >= 0),
    CONSTRAINT usage_rate_tier_flat_amount_not_negative CHECK (flat_amount >= 0),
    CONSTRAINT usage_rate_tier_size_only_of_package
        CHECK ((charge_model = 'package') = (package_size IS NOT NULL)),
    CONSTRAINT usage_rate_tier_package_size_positive CHECK (package_size > 0),
    CONSTRAINT usage_rate_tier_rate_only_of_percentage
        CHECK ((charge_model = 'percentage') = (percentage_rate IS NOT NULL)),
    CONSTRAINT usage_rate_tier_rate_is_share CHECK (percentage_rate BETWEEN 0 AND 1),
    CONSTRAINT usage_rate_tier_included_on_first
        CHECK (included_quantity = 0 OR (tier_no = 1 AND included_quantity > 0))
);

COMMENT ON TABLE tenant_mgmt.usage_rate_tier IS
    'The price of a slice of what a plan''s subscriber uses beyond the included quantity.';
COMMENT ON COLUMN tenant_mgmt.usage_rate_tier.charge_model IS
    'graduated, package and percentage price each slice by its tier, volume all of it by the tier
     it ends in; standard is one price.';
COMMENT ON COLUMN tenant_mgmt.usage_rate_tier.included_quantity IS
    'Free of charge per period; stands on the first tier.';
COMMENT ON COLUMN tenant_mgmt.usage_rate_tier.from_quantity IS
    'The tier prices what lies above this, up to and with to_quantity.';

-- Foreign key usage_meter_id.
CREATE INDEX usage_rate_tier_usage_meter_idx
    ON tenant_mgmt.usage_rate_tier (business_id, usage_meter_id);

ALTER TABLE tenant_mgmt.usage_rate_tier ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.usage_rate_tier
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.usage_rate_tier TO app_user;
GRANT SELECT ON tenant_mgmt.usage_rate_tier TO app_readonly;

CREATE TRIGGER usage_rate_tier_touch
    BEFORE UPDATE ON tenant_mgmt.usage_rate_tier
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER usage_rate_tier_freeze
    BEFORE INSERT OR UPDATE OR DELETE ON tenant_mgmt.usage_rate_tier
    FOR EACH ROW EXECUTE FUNCTION tenant_mgmt.freeze_sold_plan();


CREATE FUNCTION tenant_mgmt.check_rate_tiers() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    bad record;
BEGIN
    SELECT tier.* INTO bad
    FROM (
        SELECT t.plan_id, t.usage_meter_id, t.tier_no, t.from_quantity, t.to_quantity,
               row_number() OVER steps AS place,
               lag(t.to_quantity, 1, 0::system_core.quantity) OVER steps AS previous_end,
               lead(t.tier_no) OVER steps IS NULL AS is_last,
               min(t.charge_model) OVER tiers = max(t.charge_model) OVER tiers AS is_one_model
        FROM tenant_mgmt.usage_rate_tier AS t
        WHERE (t.business_id, t.plan_id, t.usage_meter_id)
              IN (SELECT c.business_id, c.plan_id, c.usage_meter_id FROM changed AS c)
        WINDOW tiers AS (PARTITION BY t.business_id, t.plan_id, t.usage_meter_id),
               steps AS (tiers ORDER BY t.tier_no)
    ) AS tier
    WHERE tier.tier_no <> tier.place
       OR tier.from_quantity IS DISTINCT FROM tier.previous_end
       OR tier.is_last <> (tier.to_quantity IS NULL)
       OR NOT tier.is_one_model
    ORDER BY tier.plan_id, tier.usage_meter_id, tier.tier_no
    LIMIT 1;

    IF FOUND THEN
        RAISE EXCEPTION 'tier % (% to %) of meter % in plan % does not fit its neighbors',
            bad.tier_no, bad.from_quantity, coalesce(bad.to_quantity::text, 'open'),
            bad.usage_meter_id, bad.plan_id
            USING ERRCODE = 'check_violation',
                  HINT = 'Tiers are numbered from 1, begin at 0, follow without a gap, end open '
                         'and have one charge_model; write all of them in one statement.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.check_rate_tiers() IS
    'The tiers that a statement touched price every quantity exactly once.';

CREATE TRIGGER usage_rate_tier_check_inserted
    AFTER INSERT ON tenant_mgmt.usage_rate_tier REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.check_rate_tiers();

CREATE TRIGGER usage_rate_tier_check_updated
    AFTER UPDATE ON tenant_mgmt.usage_rate_tier REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.check_rate_tiers();

CREATE TRIGGER usage_rate_tier_check_left
    AFTER UPDATE ON tenant_mgmt.usage_rate_tier REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.check_rate_tiers();

CREATE TRIGGER usage_rate_tier_check_deleted
    AFTER DELETE ON tenant_mgmt.usage_rate_tier REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.check_rate_tiers();


CREATE FUNCTION tenant_mgmt.tier_amount(
    quantity        numeric,
    charge_model    text,
    from_quantity   numeric,
    to_quantity     numeric,
    unit_amount     numeric,
    flat_amount     numeric,
    package_size    integer,
    percentage_rate numeric
) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN quantity <= from_quantity THEN 0
        WHEN charge_model = 'volume' THEN
            CASE WHEN quantity > to_quantity THEN 0 ELSE quantity * unit_amount + flat_amount END
        WHEN charge_model = 'package' THEN
            ceil((least(quantity, to_quantity) - from_quantity) / package_size) * unit_amount
                + flat_amount
        WHEN charge_model = 'percentage' THEN
            (least(quantity, to_quantity) - from_quantity) * percentage_rate + flat_amount
        ELSE (least(quantity, to_quantity) - from_quantity) * unit_amount + flat_amount
    END;
COMMENT ON FUNCTION tenant_mgmt.tier_amount(
    numeric, text, numeric, numeric, numeric, numeric, integer, numeric) IS
    'What one tier adds to the price of a quantity.';


CREATE FUNCTION tenant_mgmt.usage_amount(
    tenant uuid, used_plan uuid, meter uuid, overage numeric
) RETURNS numeric
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(round(sum(tenant_mgmt.tier_amount(
               overage, t.charge_model, t.from_quantity, t.to_quantity, t.unit_amount,
               t.flat_amount, t.package_size, t.percentage_rate)), 2), 0)
    FROM tenant_mgmt.usage_rate_tier AS t
    WHERE t.business_id = tenant AND t.plan_id = used_plan AND t.usage_meter_id = meter;
END;
COMMENT ON FUNCTION tenant_mgmt.usage_amount(uuid, uuid, uuid, numeric) IS
    'Price of a quantity beyond the included one; 0 where the plan does not price the meter.';


CREATE FUNCTION tenant_mgmt.rounded_usage(quantity numeric, rounding text, digits integer)
    RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE rounding
        WHEN 'ceil'  THEN round(ceil(quantity * 10.0 ^ digits) / 10.0 ^ digits, digits)
        WHEN 'floor' THEN round(floor(quantity * 10.0 ^ digits) / 10.0 ^ digits, digits)
        WHEN 'round' THEN round(quantity, digits)
        ELSE quantity
    END;
COMMENT ON FUNCTION tenant_mgmt.rounded_usage(numeric, text, integer) IS
    'A quantity as its meter rounds it for the bill.';


CREATE FUNCTION tenant_mgmt.projected_usage(
    quantity numeric, aggregation text, period_start date, period_end date, moment timestamptz
) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE
        WHEN aggregation IN ('max', 'latest') THEN quantity
        ELSE round(quantity / least(1, greatest(
                 extract(epoch FROM (moment AT TIME ZONE 'UTC') - period_start)
                     / (86400 * (period_end - period_start)),
                 1.0 / (period_end - period_start))), 4)
    END;
COMMENT ON FUNCTION tenant_mgmt.projected_usage(numeric, text, date, date, timestamptz) IS
    'Where a quantity will stand at the end of the period if it goes on like this. The first day
     counts as a whole one.';


CREATE TABLE tenant_mgmt.usage_period (
    business_id         uuid                 NOT NULL,
    usage_period_id     uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    usage_meter_id      uuid                 NOT NULL,
    subscription_id     uuid                 NOT NULL,
    period_start        date                 NOT NULL,
    period_end          date                 NOT NULL,
    event_count         integer              NOT NULL DEFAULT 0,
    carried_quantity    system_core.quantity NOT NULL DEFAULT 0,
    aggregated_quantity system_core.quantity NOT NULL DEFAULT 0,
    included_quantity   system_core.quantity NOT NULL DEFAULT 0,
    overage_quantity    system_core.quantity NOT NULL GENERATED ALWAYS AS (
                            greatest(aggregated_quantity - included_quantity, 0)) STORED,
    rated_amount        system_core.money    NOT NULL DEFAULT 0,
    projected_quantity  system_core.quantity NOT NULL DEFAULT 0,
    projected_amount    system_core.money    NOT NULL DEFAULT 0,
    is_closed           boolean              NOT NULL DEFAULT false,
    last_event_at       timestamptz,
    recomputed_at       timestamptz,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, usage_period_id),
    -- Also the look-up of the open period: quota_check, usage_ingest.
    UNIQUE (business_id, subscription_id, usage_meter_id, period_start),
    FOREIGN KEY (business_id, usage_meter_id)
        REFERENCES tenant_mgmt.usage_meter (business_id, usage_meter_id),
    FOREIGN KEY (business_id, subscription_id)
        REFERENCES tenant_mgmt.subscription (business_id, subscription_id),
    -- An event belongs to one period.
    EXCLUDE USING gist (
        business_id WITH =,
        subscription_id WITH =,
        usage_meter_id WITH =,
        daterange(period_start, period_end) WITH &&),
    CONSTRAINT usage_period_not_empty CHECK (period_end > period_start),
    CONSTRAINT usage_period_event_count_not_negative CHECK (event_count >= 0),
    CONSTRAINT usage_period_carried_not_negative CHECK (carried_quantity >= 0),
    CONSTRAINT usage_period_included_not_negative CHECK (included_quantity >= 0),
    CONSTRAINT usage_period_rated_not_negative CHECK (rated_amount >= 0),
    CONSTRAINT usage_period_projected_not_negative CHECK (projected_amount >= 0),
    CONSTRAINT usage_period_last_event_of_events
        CHECK ((event_count = 0) = (last_event_at IS NULL))
);

COMMENT ON TABLE tenant_mgmt.usage_period IS
    'Usage of a meter summed over one billing period, with included, overage and amount. Event
     figures are kept by triggers and true; amounts are as of recomputed_at.';
COMMENT ON COLUMN tenant_mgmt.usage_period.period_end IS 'The first day that is not of it.';
COMMENT ON COLUMN tenant_mgmt.usage_period.carried_quantity IS
    'What a recurring meter brought from the period before; part of aggregated_quantity.';

-- Foreign key usage_meter_id; freeze_invoiced_meter().
CREATE INDEX usage_period_usage_meter_idx
    ON tenant_mgmt.usage_period (business_id, usage_meter_id, period_start);

-- Open periods: v_current_usage, recompute_usage(), the invoice run.
CREATE INDEX usage_period_open_idx
    ON tenant_mgmt.usage_period (business_id, subscription_id, period_end)
    WHERE NOT is_closed;

ALTER TABLE tenant_mgmt.usage_period ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.usage_period
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.usage_period TO app_user;
GRANT SELECT ON tenant_mgmt.usage_period TO app_readonly;

CREATE TRIGGER usage_period_touch
    BEFORE UPDATE ON tenant_mgmt.usage_period
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION tenant_mgmt.freeze_closed_period() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'the usage period from % was closed: it stays', OLD.period_start
            USING ERRCODE = 'restrict_violation', HINT = 'Correct the invoice by a credit note.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.freeze_closed_period() IS
    'What was invoiced stays as it was.';

CREATE TRIGGER usage_period_freeze
    BEFORE UPDATE OR DELETE ON tenant_mgmt.usage_period
    FOR EACH ROW WHEN (OLD.is_closed)
    EXECUTE FUNCTION tenant_mgmt.freeze_closed_period();


CREATE TABLE tenant_mgmt.usage_event (
    business_id      uuid                    NOT NULL,
    usage_event_id   uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    usage_meter_id   uuid                    NOT NULL,
    subscription_id  uuid                    NOT NULL,
    transaction_id   text                    NOT NULL,
    quantity         system_core.quantity    NOT NULL,
    unique_value     text,
    source_table     text,
    source_entity_id uuid,
    properties       system_core.json_object NOT NULL DEFAULT '{}',
    ingest_source    text                    NOT NULL DEFAULT 'api',
    is_late          boolean                 NOT NULL GENERATED ALWAYS AS (
                         received_at - event_at > interval '24 hours') STORED,
    event_at         timestamptz             NOT NULL,
    received_at      timestamptz             NOT NULL DEFAULT now(),
    created_at       timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, usage_event_id, event_at),
    UNIQUE (business_id, transaction_id, event_at),
    FOREIGN KEY (business_id, usage_meter_id)
        REFERENCES tenant_mgmt.usage_meter (business_id, usage_meter_id),
    FOREIGN KEY (business_id, subscription_id)
        REFERENCES tenant_mgmt.subscription (business_id, subscription_id),
    CONSTRAINT usage_event_ingest_source_known
        CHECK (ingest_source IN ('trigger', 'api', 'batch', 'backfill')),
    CONSTRAINT usage_event_quantity_not_zero CHECK (quantity <> 0),
    CONSTRAINT usage_event_only_backfill_takes_back
        CHECK (quantity > 0 OR ingest_source = 'backfill')
) PARTITION BY RANGE (event_at);

COMMENT ON TABLE tenant_mgmt.usage_event IS
    'One measured consumption; append only. The same transaction_id at the same time is the same
     consumption sent twice.';
COMMENT ON COLUMN tenant_mgmt.usage_event.unique_value IS
    'What a meter that counts distinct values counts.';
COMMENT ON COLUMN tenant_mgmt.usage_event.properties IS
    'Dimensions of the consumption, such as {"channel": "web", "region": "us"}.';
COMMENT ON COLUMN tenant_mgmt.usage_event.is_late IS
    'Received more than a day after it happened.';

-- usage_chart_30d, mv_usage_daily. Serves the foreign key usage_meter_id.
CREATE INDEX usage_event_meter_time_idx
    ON tenant_mgmt.usage_event (business_id, usage_meter_id, event_at);

-- measure_usage(): the events of a period. Serves the foreign key subscription_id.
CREATE INDEX usage_event_period_idx
    ON tenant_mgmt.usage_event (business_id, subscription_id, usage_meter_id, event_at);

-- tally_usage(): was this value counted in the period before?
CREATE INDEX usage_event_unique_value_idx
    ON tenant_mgmt.usage_event (business_id, usage_meter_id, unique_value, event_at)
    WHERE unique_value IS NOT NULL;

ALTER TABLE tenant_mgmt.usage_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.usage_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON tenant_mgmt.usage_event TO app_user;
GRANT SELECT ON tenant_mgmt.usage_event TO app_readonly;
GRANT SELECT ON tenant_mgmt.usage_event TO matview_owner;

CREATE TRIGGER usage_event_append_only
    BEFORE UPDATE OR DELETE ON tenant_mgmt.usage_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('tenant_mgmt.usage_event');

CREATE TABLE tenant_mgmt.usage_event_default PARTITION OF tenant_mgmt.usage_event DEFAULT;
ALTER TABLE tenant_mgmt.usage_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.usage_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'tenant_mgmt.usage_event', 'month', behind => 13, ahead => 3);


CREATE TABLE tenant_mgmt.usage_alert (
    business_id            uuid        NOT NULL,
    usage_alert_id         uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    subscription_id        uuid        NOT NULL,
    usage_meter_id         uuid,
    notify_user_account_id uuid,
    alert_kind             text        NOT NULL,
    threshold_value        numeric     NOT NULL,
    direction              text        NOT NULL DEFAULT 'rises_above',
    is_recurring           boolean     NOT NULL DEFAULT false,
    is_enabled             boolean     NOT NULL DEFAULT true,
    last_value             numeric,
    fired_count            integer     NOT NULL DEFAULT 0,
    last_checked_at        timestamptz,
    last_fired_at          timestamptz,
    snoozed_until          timestamptz,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, usage_alert_id),
    FOREIGN KEY (business_id, subscription_id)
        REFERENCES tenant_mgmt.subscription (business_id, subscription_id),
    FOREIGN KEY (business_id, usage_meter_id)
        REFERENCES tenant_mgmt.usage_meter (business_id, usage_meter_id),
    FOREIGN KEY (business_id, notify_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT usage_alert_kind_known
        CHECK (alert_kind IN ('usage_quantity', 'usage_amount', 'limit_pct', 'wallet_balance',
                              'projected_overage')),
    CONSTRAINT usage_alert_direction_known
        CHECK (direction IN ('rises_above', 'falls_below')),
    CONSTRAINT usage_alert_usage_has_meter
        CHECK (alert_kind = 'wallet_balance' OR usage_meter_id IS NOT NULL),
    CONSTRAINT usage_alert_threshold_positive CHECK (threshold_value > 0),
    CONSTRAINT usage_alert_fired_count_not_negative CHECK (fired_count >= 0),
    CONSTRAINT usage_alert_fired_has_time CHECK ((fired_count = 0) = (last_fired_at IS NULL))
);

COMMENT ON TABLE tenant_mgmt.usage_alert IS
    'A threshold on a meter, a spend or a wallet, and how often it was crossed.';
COMMENT ON COLUMN tenant_mgmt.usage_alert.is_recurring IS
    'Fires again at every further multiple of the threshold, not once per period.';
COMMENT ON COLUMN tenant_mgmt.usage_alert.last_value IS 'The value when it last fired.';

-- fire_usage_alerts(): alerts of a meter. Serves the foreign key subscription_id.
CREATE INDEX usage_alert_subscription_idx
    ON tenant_mgmt.usage_alert (business_id, subscription_id, usage_meter_id);

-- Foreign key usage_meter_id.
CREATE INDEX usage_alert_usage_meter_idx
    ON tenant_mgmt.usage_alert (business_id, usage_meter_id)
    WHERE usage_meter_id IS NOT NULL;

-- Foreign key notify_user_account_id.
CREATE INDEX usage_alert_notify_idx
    ON tenant_mgmt.usage_alert (business_id, notify_user_account_id)
    WHERE notify_user_account_id IS NOT NULL;

ALTER TABLE tenant_mgmt.usage_alert ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.usage_alert
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.usage_alert TO app_user;
GRANT SELECT ON tenant_mgmt.usage_alert TO app_readonly;

CREATE TRIGGER usage_alert_touch
    BEFORE UPDATE ON tenant_mgmt.usage_alert
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION tenant_mgmt.fire_usage_alerts(tenant uuid, periods uuid[]) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    fired integer;
BEGIN
    UPDATE tenant_mgmt.usage_alert AS a
    SET last_value = seen.value,
        last_checked_at = now(),
        last_fired_at = now(),
        fired_count = a.fired_count + 1
    FROM (
        SELECT w.usage_alert_id,
               p.period_start,
               CASE w.alert_kind
                   WHEN 'usage_quantity' THEN p.aggregated_quantity
                   WHEN 'usage_amount'   THEN p.rated_amount
                   WHEN 'limit_pct'
                       THEN 100 * p.aggregated_quantity / nullif(p.included_quantity, 0)
                   WHEN 'projected_overage'
                       THEN greatest(p.projected_quantity - p.included_quantity, 0)
               END AS value
        FROM tenant_mgmt.usage_period AS p
        JOIN tenant_mgmt.usage_alert AS w
            ON w.business_id = p.business_id
           AND w.subscription_id = p.subscription_id
           AND w.usage_meter_id = p.usage_meter_id
        WHERE p.business_id = tenant AND p.usage_period_id = ANY (periods)
    ) AS seen
    WHERE a.business_id = tenant
      AND a.usage_alert_id = seen.usage_alert_id
      AND a.is_enabled
      AND (a.snoozed_until IS NULL OR a.snoozed_until <= now())
      AND CASE a.direction WHEN 'rises_above' THEN seen.value > a.threshold_value
                           ELSE seen.value < a.threshold_value END
      AND (a.last_fired_at IS NULL
           OR a.last_fired_at < seen.period_start::timestamp AT TIME ZONE 'UTC'
           OR a.is_recurring
              AND floor(seen.value / a.threshold_value)
                  > floor(a.last_value / a.threshold_value));
    GET DIAGNOSTICS fired = ROW_COUNT;
    RETURN fired;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.fire_usage_alerts(uuid, uuid[]) IS
    'Fires the alerts whose threshold the given usage periods have crossed, once per period
     unless recurring. The tenant is an argument because a trigger calls it.';


CREATE FUNCTION tenant_mgmt.open_usage_periods(tenant uuid, contract uuid) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    first_day date;
    end_day   date;
    used_plan uuid;
BEGIN
    SELECT (s.current_period_start AT TIME ZONE 'UTC')::date,
           (s.current_period_end AT TIME ZONE 'UTC')::date,
           s.plan_id
    INTO first_day, end_day, used_plan
    FROM tenant_mgmt.subscription AS s
    WHERE s.business_id = tenant
      AND s.subscription_id = contract
      AND s.status IN ('trialing', 'active', 'past_due', 'paused', 'non_renewing');
    IF NOT FOUND OR end_day = first_day THEN
        RETURN;
    END IF;

    -- An open period that was to run into this one ends here; one that begins with it runs on.
    UPDATE tenant_mgmt.usage_period AS p
    SET period_end = CASE WHEN p.period_start < first_day THEN first_day ELSE end_day END
    WHERE p.business_id = tenant
      AND p.subscription_id = contract
      AND NOT p.is_closed
      AND (p.period_start < first_day AND p.period_end > first_day
           OR p.period_start = first_day AND p.period_end <> end_day);

    INSERT INTO tenant_mgmt.usage_period (
        business_id, usage_meter_id, subscription_id, period_start, period_end,
        included_quantity, carried_quantity, aggregated_quantity)
    SELECT m.business_id, m.usage_meter_id, contract,
           greatest(first_day, previous.period_end), end_day,
           coalesce(t.included_quantity, e.limit_quantity, 0),
           coalesce(carried.quantity, 0), coalesce(carried.quantity, 0)
    FROM tenant_mgmt.usage_meter AS m
    LEFT JOIN tenant_mgmt.usage_rate_tier AS t
        ON t.business_id = m.business_id
       AND t.usage_meter_id = m.usage_meter_id
       AND t.plan_id = used_plan
       AND t.tier_no = 1
    LEFT JOIN tenant_mgmt.plan_entitlement AS e
        ON e.business_id = m.business_id
       AND e.plan_id = used_plan
       AND e.feature_code = m.meter_code
    LEFT JOIN LATERAL (
        SELECT p.period_end, p.aggregated_quantity
        FROM tenant_mgmt.usage_period AS p
        WHERE p.business_id = m.business_id
          AND p.subscription_id = contract
          AND p.usage_meter_id = m.usage_meter_id
        ORDER BY p.period_start DESC
        LIMIT 1
    ) AS previous ON true
    CROSS JOIN LATERAL (
        SELECT CASE WHEN m.is_recurring THEN greatest(previous.aggregated_quantity, 0) END
                   AS quantity
    ) AS carried
    WHERE m.business_id = tenant
      AND (previous.period_end IS NULL OR previous.period_end < end_day)
    ORDER BY m.usage_meter_id
    ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.open_usage_periods(uuid, uuid) IS
    'Opens a usage period of every meter for the running period of a live subscription, from
     where the last one ended; includes what the plan''s first tier or entitlement includes.';


CREATE FUNCTION tenant_mgmt.follow_subscription_period() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tenant_mgmt.open_usage_periods(NEW.business_id, NEW.subscription_id);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.follow_subscription_period() IS
    'A subscription that begins a period begins to count in it.';

CREATE TRIGGER subscription_open_usage
    AFTER UPDATE OF current_period_start ON tenant_mgmt.subscription
    FOR EACH ROW WHEN (NEW.current_period_start <> OLD.current_period_start)
    EXECUTE FUNCTION tenant_mgmt.follow_subscription_period();


CREATE FUNCTION tenant_mgmt.tally_usage() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    is_import CONSTANT boolean := NOT row_security_active(TG_RELID);
    touched   uuid[];
BEGIN
    IF NOT is_import THEN
        PERFORM tenant_mgmt.open_usage_periods(missing.business_id, missing.subscription_id)
        FROM (
            SELECT DISTINCT e.business_id, e.subscription_id
            FROM recorded AS e
            JOIN tenant_mgmt.subscription AS s
                ON s.business_id = e.business_id
               AND s.subscription_id = e.subscription_id
               AND e.event_at >= s.current_period_start
               AND e.event_at < s.current_period_end
            WHERE NOT EXISTS (
                SELECT FROM tenant_mgmt.usage_period AS p
                WHERE p.business_id = e.business_id
                  AND p.subscription_id = e.subscription_id
                  AND p.usage_meter_id = e.usage_meter_id
                  AND e.event_at >= p.period_start::timestamp AT TIME ZONE 'UTC'
                  AND e.event_at < p.period_end::timestamp AT TIME ZONE 'UTC')
        ) AS missing;
    END IF;

    WITH held AS MATERIALIZED (
        -- In the order of their keys, so that two batches do not wait for each other.
        SELECT p.business_id, p.usage_period_id, p.subscription_id, p.usage_meter_id,
               p.period_start::timestamp AT TIME ZONE 'UTC' AS starts_at,
               p.period_end::timestamp AT TIME ZONE 'UTC' AS ends_at
        FROM tenant_mgmt.usage_period AS p
        WHERE (p.business_id, p.subscription_id, p.usage_meter_id)
              IN (SELECT e.business_id, e.subscription_id, e.usage_meter_id FROM recorded AS e)
          AND (is_import OR NOT p.is_closed)
          AND p.period_end > (SELECT min(e.event_at) AT TIME ZONE 'UTC' FROM recorded AS e)
          AND p.period_start <= (SELECT max(e.event_at) AT TIME ZONE 'UTC' FROM recorded AS e)
        ORDER BY p.business_id, p.usage_period_id
        FOR NO KEY UPDATE
    ), matched AS (
        SELECT h.*, m.aggregation, e.quantity, e.unique_value, e.event_at, e.usage_event_id
        FROM recorded AS e
        JOIN held AS h
            ON h.business_id = e.business_id
           AND h.subscription_id = e.subscription_id
           AND h.usage_meter_id = e.usage_meter_id
           AND e.event_at >= h.starts_at
           AND e.event_at < h.ends_at
        JOIN tenant_mgmt.usage_meter AS m
            ON m.business_id = e.business_id AND m.usage_meter_id = e.usage_meter_id
    ), newcomer AS (
        -- A value is new to the period if all its events are of this statement.
        SELECT v.business_id, v.usage_period_id, count(*) AS how_many
        FROM (
            SELECT u.business_id, u.usage_period_id, u.subscription_id, u.usage_meter_id,
                   u.starts_at, u.ends_at, u.unique_value, count(*) AS event_count
            FROM matched AS u
            WHERE u.aggregation = 'unique_count' AND u.unique_value IS NOT NULL
            GROUP BY 1, 2, 3, 4, 5, 6, 7
        ) AS v
        WHERE v.event_count = (
            SELECT count(*)
            FROM tenant_mgmt.usage_event AS o
            WHERE o.business_id = v.business_id
              AND o.usage_meter_id = v.usage_meter_id
              AND o.subscription_id = v.subscription_id
              AND o.unique_value = v.unique_value
              AND o.event_at >= v.starts_at
              AND o.event_at < v.ends_at)
        GROUP BY 1, 2
    ), tally AS (
        SELECT e.business_id, e.usage_period_id, e.aggregation,
               count(*) AS event_count,
               max(e.event_at) AS last_event_at,
               sum(sign(e.quantity)) AS counted,
               sum(e.quantity) AS summed,
               max(e.quantity) AS highest,
               (array_agg(e.quantity ORDER BY e.event_at DESC, e.usage_event_id DESC))[1]
                   AS latest,
               sum(e.quantity * extract(epoch FROM e.ends_at - e.event_at)
                   / extract(epoch FROM e.ends_at - e.starts_at)) AS weighted
        FROM matched AS e
        GROUP BY e.business_id, e.usage_period_id, e.aggregation
    ), changed AS (
        UPDATE tenant_mgmt.usage_period AS p
        SET event_count = p.event_count + t.event_count,
            aggregated_quantity = CASE t.aggregation
                WHEN 'count'        THEN p.aggregated_quantity + t.counted
                WHEN 'sum'          THEN p.aggregated_quantity + t.summed
                WHEN 'weighted_sum' THEN p.aggregated_quantity + t.weighted
                WHEN 'unique_count' THEN p.aggregated_quantity + coalesce(n.how_many, 0)
                WHEN 'max'          THEN greatest(p.aggregated_quantity, t.highest)
                WHEN 'latest'       THEN
                    CASE WHEN p.last_event_at > t.last_event_at THEN p.aggregated_quantity
                         ELSE t.latest END
            END,
            last_event_at = greatest(p.last_event_at, t.last_event_at)
        FROM tally AS t
        LEFT JOIN newcomer AS n
            ON n.business_id = t.business_id AND n.usage_period_id = t.usage_period_id
        WHERE p.business_id = t.business_id AND p.usage_period_id = t.usage_period_id
        RETURNING p.usage_period_id
    )
    SELECT array_agg(c.usage_period_id) INTO touched FROM changed AS c;

    IF NOT is_import AND touched IS NOT NULL THEN
        PERFORM tenant_mgmt.fire_usage_alerts(e.business_id, touched)
        FROM (SELECT r.business_id FROM recorded AS r LIMIT 1) AS e;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.tally_usage() IS
    'Adds the events of a statement to the open usage periods they fall into (imported history:
     to any), opening those of the running period first, and fires the alerts. An event of a
     closed period is stored and changes no bill.';

CREATE TRIGGER usage_event_tally
    AFTER INSERT ON tenant_mgmt.usage_event REFERENCING NEW TABLE AS recorded
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.tally_usage();


CREATE FUNCTION tenant_mgmt.measure_usage(
    tenant uuid, contract uuid, meter uuid, first_day date, end_day date, carried numeric
) RETURNS TABLE (event_count integer, quantity numeric, last_event_at timestamptz)
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT count(e.event_at)::integer,
           CASE m.aggregation
               WHEN 'count'        THEN carried + coalesce(sum(sign(e.quantity)), 0)
               WHEN 'sum'          THEN carried + coalesce(sum(e.quantity), 0)
               WHEN 'weighted_sum' THEN carried + coalesce(sum(
                   e.quantity * extract(epoch FROM span.ends_at - e.event_at)
                   / extract(epoch FROM span.ends_at - span.starts_at)), 0)
               WHEN 'unique_count' THEN carried + count(DISTINCT e.unique_value)
               WHEN 'max'          THEN greatest(carried, max(e.quantity))
               WHEN 'latest'       THEN coalesce((array_agg(
                   e.quantity ORDER BY e.event_at DESC, e.usage_event_id DESC)
                   FILTER (WHERE e.event_at IS NOT NULL))[1], carried)
           END,
           max(e.event_at)
    FROM tenant_mgmt.usage_meter AS m
    CROSS JOIN (
        SELECT first_day::timestamp AT TIME ZONE 'UTC' AS starts_at,
               end_day::timestamp AT TIME ZONE 'UTC' AS ends_at
    ) AS span
    LEFT JOIN tenant_mgmt.usage_event AS e
        ON e.business_id = tenant
       AND e.subscription_id = contract
       AND e.usage_meter_id = meter
       AND e.event_at >= span.starts_at
       AND e.event_at < span.ends_at
    WHERE m.business_id = tenant AND m.usage_meter_id = meter
    GROUP BY m.aggregation;
END;
COMMENT ON FUNCTION tenant_mgmt.measure_usage(uuid, uuid, uuid, date, date, numeric) IS
    'The figures of a usage period counted from its events. The tenant is an argument because a
     trigger calls it.';


CREATE FUNCTION tenant_mgmt.count_imported_period() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT f.event_count, f.quantity, f.last_event_at
    INTO NEW.event_count, NEW.aggregated_quantity, NEW.last_event_at
    FROM tenant_mgmt.measure_usage(
        NEW.business_id, NEW.subscription_id, NEW.usage_meter_id,
        NEW.period_start, NEW.period_end, NEW.carried_quantity) AS f;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.count_imported_period() IS
    'A period that is imported counts the events that are there; those that come later add.';

CREATE TRIGGER usage_period_count_imported
    BEFORE INSERT ON tenant_mgmt.usage_period
    FOR EACH ROW EXECUTE FUNCTION tenant_mgmt.count_imported_period();


CREATE FUNCTION tenant_mgmt.recompute_usage(only_open boolean DEFAULT true) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    touched uuid[];
BEGIN
    WITH changed AS (
        UPDATE tenant_mgmt.usage_period AS p
        SET event_count = fresh.event_count,
            aggregated_quantity = fresh.quantity,
            last_event_at = fresh.last_event_at,
            rated_amount = fresh.rated_amount,
            projected_quantity = fresh.projected,
            projected_amount = fresh.projected_amount,
            recomputed_at = now()
        FROM (
            SELECT o.usage_period_id, f.event_count, f.quantity, f.last_event_at,
                   tenant_mgmt.usage_amount(
                       tenant, s.plan_id, o.usage_meter_id,
                       greatest(rounded.quantity - o.included_quantity, 0)) AS rated_amount,
                   projected.quantity AS projected,
                   tenant_mgmt.usage_amount(
                       tenant, s.plan_id, o.usage_meter_id,
                       greatest(projected.quantity - o.included_quantity, 0))
                       AS projected_amount
            FROM tenant_mgmt.usage_period AS o
            JOIN tenant_mgmt.subscription AS s
                ON s.business_id = o.business_id AND s.subscription_id = o.subscription_id
            JOIN tenant_mgmt.usage_meter AS m
                ON m.business_id = o.business_id AND m.usage_meter_id = o.usage_meter_id
            CROSS JOIN LATERAL tenant_mgmt.measure_usage(
                o.business_id, o.subscription_id, o.usage_meter_id, o.period_start,
                o.period_end, o.carried_quantity) AS f
            CROSS JOIN LATERAL (
                SELECT tenant_mgmt.rounded_usage(
                           f.quantity, m.rounding, m.rounding_precision) AS quantity
            ) AS rounded
            CROSS JOIN LATERAL (
                SELECT tenant_mgmt.projected_usage(
                           rounded.quantity, m.aggregation, o.period_start, o.period_end, now())
                           AS quantity
            ) AS projected
            WHERE o.business_id = tenant AND (NOT only_open OR NOT o.is_closed)
            ORDER BY o.usage_period_id
        ) AS fresh
        WHERE p.business_id = tenant AND p.usage_period_id = fresh.usage_period_id
        RETURNING p.usage_period_id
    )
    SELECT array_agg(c.usage_period_id) INTO touched FROM changed AS c;
    IF row_security_active('tenant_mgmt.usage_period') THEN
        PERFORM tenant_mgmt.fire_usage_alerts(tenant, touched);
    END IF;
    RETURN coalesce(cardinality(touched), 0);
END
$$;
COMMENT ON FUNCTION tenant_mgmt.recompute_usage(boolean) IS
    'Counts the usage periods of the current tenant anew from their events, rates and projects
     them, fires alerts, and returns how many; the nightly truth. Closed periods only for a role
     that imports history.';


CREATE FUNCTION tenant_mgmt.record_usage(
    meter          text,
    transaction_id text,
    quantity       numeric,
    event_at       timestamptz DEFAULT now(),
    properties     jsonb       DEFAULT '{}',
    ingest_source  text        DEFAULT 'api'
) RETURNS boolean
    LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    tenant   CONSTANT uuid := tenant_mgmt.current_business_id();
    known    tenant_mgmt.usage_meter;
    contract uuid;
BEGIN
    SELECT * INTO known
    FROM tenant_mgmt.usage_meter AS m
    WHERE m.business_id = tenant AND m.meter_code = meter;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no meter %', meter USING ERRCODE = 'foreign_key_violation';
    END IF;
    SELECT s.subscription_id INTO contract
    FROM tenant_mgmt.subscription AS s
    WHERE s.business_id = tenant
      AND s.status IN ('trialing', 'active', 'past_due', 'paused', 'non_renewing')
    ORDER BY EXISTS (
                 SELECT FROM tenant_mgmt.subscription_item AS i
                 WHERE i.business_id = tenant
                   AND i.usage_meter_id = known.usage_meter_id
                   AND i.subscription_id = s.subscription_id
                   AND i.effective_from <= event_at
                   AND (i.effective_until > event_at OR i.effective_until IS NULL)) DESC,
             s.started_at
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no live subscription pays for meter %', meter
            USING ERRCODE = 'foreign_key_violation';
    END IF;

    INSERT INTO tenant_mgmt.usage_event (
        business_id, usage_meter_id, subscription_id, transaction_id, quantity, unique_value,
        properties, ingest_source, event_at)
    VALUES (
        tenant, known.usage_meter_id, contract, transaction_id, quantity,
        properties ->> known.unique_field, properties, ingest_source, event_at)
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.record_usage(text, text, numeric, timestamptz, jsonb, text) IS
    'Stores one consumption of the current tenant under the subscription that pays for the meter
     and adds it to the open period; false where it is known already.';


CREATE FUNCTION tenant_mgmt.rate_usage(contract uuid, first_day date)
    RETURNS TABLE (usage_period_id uuid, usage_meter_id uuid, meter_code text,
                   billed_quantity numeric, included_quantity numeric, overage_quantity numeric,
                   charge_model text, amount numeric)
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT p.usage_period_id,
           m.usage_meter_id,
           m.meter_code,
           billed.quantity,
           p.included_quantity,
           greatest(billed.quantity - p.included_quantity, 0),
           (SELECT t.charge_model
            FROM tenant_mgmt.usage_rate_tier AS t
            WHERE t.business_id = s.business_id
              AND t.plan_id = s.plan_id
              AND t.usage_meter_id = m.usage_meter_id
              AND t.tier_no = 1),
           tenant_mgmt.usage_amount(
               s.business_id, s.plan_id, m.usage_meter_id,
               greatest(billed.quantity - p.included_quantity, 0))
    FROM tenant_mgmt.usage_period AS p
    JOIN tenant_mgmt.subscription AS s
        ON s.business_id = p.business_id AND s.subscription_id = p.subscription_id
    JOIN tenant_mgmt.usage_meter AS m
        ON m.business_id = p.business_id AND m.usage_meter_id = p.usage_meter_id
    CROSS JOIN LATERAL (
        SELECT tenant_mgmt.rounded_usage(
                   p.aggregated_quantity, m.rounding, m.rounding_precision) AS quantity
    ) AS billed
    WHERE p.business_id = tenant_mgmt.current_business_id()
      AND p.subscription_id = contract
      AND p.period_start = first_day
      AND m.is_billable
    ORDER BY m.meter_code;
END;
COMMENT ON FUNCTION tenant_mgmt.rate_usage(uuid, date) IS
    'Prices the usage of a subscription of the current tenant in the period that begins on a day:
     each billable meter rounded, less what is included, through the tiers of the plan.';


CREATE FUNCTION tenant_mgmt.remaining_quota(feature text) RETURNS numeric
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
               WHEN NOT coalesce(bool_or(e.is_granted), false) THEN 0
               ELSE max(e.limit_quantity - CASE e.limit_period
                   WHEN 'day' THEN (
                       SELECT coalesce(sum(CASE m.aggregation WHEN 'count' THEN sign(u.quantity)
                                                              ELSE u.quantity END), 0)
                       FROM tenant_mgmt.usage_meter AS m
                       JOIN tenant_mgmt.usage_event AS u
                           ON u.business_id = m.business_id
                          AND u.usage_meter_id = m.usage_meter_id
                       WHERE m.business_id = e.business_id
                         AND m.meter_code = e.feature_code
                         AND u.event_at >= date_trunc('day', now(), 'UTC'))
                   WHEN 'year' THEN (
                       SELECT coalesce(sum(p.aggregated_quantity - p.carried_quantity), 0)
                       FROM tenant_mgmt.usage_meter AS m
                       JOIN tenant_mgmt.usage_period AS p
                           ON p.business_id = m.business_id
                          AND p.usage_meter_id = m.usage_meter_id
                       WHERE m.business_id = e.business_id
                         AND m.meter_code = e.feature_code
                         AND p.period_start >= date_trunc('year', now() AT TIME ZONE 'UTC'))
                   ELSE (
                       SELECT coalesce(sum(p.aggregated_quantity), 0)
                       FROM tenant_mgmt.usage_meter AS m
                       JOIN tenant_mgmt.usage_period AS p
                           ON p.business_id = m.business_id
                          AND p.usage_meter_id = m.usage_meter_id
                       WHERE m.business_id = e.business_id
                         AND m.meter_code = e.feature_code
                         AND NOT p.is_closed
                         AND p.period_start <= (now() AT TIME ZONE 'UTC')::date
                         AND p.period_end > (now() AT TIME ZONE 'UTC')::date)
                   END)
           END
    FROM tenant_mgmt.v_entitlement_effective AS e
    WHERE e.business_id = tenant_mgmt.current_business_id()
      AND e.feature_code = feature;
END;
COMMENT ON FUNCTION tenant_mgmt.remaining_quota(text) IS
    'What is left of a limit of the current tenant: per day, per calendar year, else in the
     running period of its subscriptions. 0 for a feature it does not have, NULL for one without
     a limit, below 0 where overage is allowed and in use.';


CREATE TABLE tenant_mgmt.spend_commitment (
    business_id             uuid                   NOT NULL,
    spend_commitment_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    subscription_id         uuid                   NOT NULL,
    contract_file_object_id uuid,
    commitment_kind         text                   NOT NULL,
    status                  text                   NOT NULL DEFAULT 'draft',
    committed_amount        system_core.money      NOT NULL,
    consumed_amount         system_core.money      NOT NULL DEFAULT 0,
    true_up_amount          system_core.money      GENERATED ALWAYS AS (
                              CASE WHEN status IN ('fulfilled', 'short', 'closed')
                                   THEN greatest(committed_amount - consumed_amount, 0)
                              END) STORED,
    rollover_pct            system_core.percentage NOT NULL DEFAULT 0,
    discount_pct            system_core.percentage NOT NULL DEFAULT 0,
    term_start              date                   NOT NULL,
    term_end                date                   NOT NULL,
    true_up_invoiced_at     timestamptz,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, spend_commitment_id),
    FOREIGN KEY (business_id, subscription_id)
        REFERENCES tenant_mgmt.subscription (business_id, subscription_id),
    FOREIGN KEY (business_id, contract_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT spend_commitment_kind_known
        CHECK (commitment_kind IN ('minimum_period', 'annual_prepay', 'drawdown')),
    CONSTRAINT spend_commitment_status_known
        CHECK (status IN ('draft', 'active', 'fulfilled', 'short', 'closed')),
    CONSTRAINT spend_commitment_committed_positive CHECK (committed_amount > 0),
    CONSTRAINT spend_commitment_consumed_not_negative CHECK (consumed_amount >= 0),
    CONSTRAINT spend_commitment_fulfilled_is_reached
        CHECK (status <> 'fulfilled' OR consumed_amount >= committed_amount),
    CONSTRAINT spend_commitment_short_is_not_reached
        CHECK (status <> 'short' OR consumed_amount < committed_amount),
    CONSTRAINT spend_commitment_rollover_is_share CHECK (rollover_pct BETWEEN 0 AND 100),
    CONSTRAINT spend_commitment_discount_is_share CHECK (discount_pct BETWEEN 0 AND 100),
    CONSTRAINT spend_commitment_term_not_empty CHECK (term_end > term_start),
    CONSTRAINT spend_commitment_true_up_after_close
        CHECK (true_up_invoiced_at IS NULL OR status IN ('fulfilled', 'short', 'closed'))
);

COMMENT ON TABLE tenant_mgmt.spend_commitment IS
    'A minimum or prepaid spend agreed for a term, and what is owed at its end.';
COMMENT ON COLUMN tenant_mgmt.spend_commitment.true_up_amount IS
    'What was committed and not consumed, once the term is settled.';

-- The commitment that an invoice counts towards. Serves the foreign key subscription_id.
CREATE INDEX spend_commitment_subscription_idx
    ON tenant_mgmt.spend_commitment (business_id, subscription_id, term_start);

-- Foreign key contract_file_object_id.
CREATE INDEX spend_commitment_contract_idx
    ON tenant_mgmt.spend_commitment (business_id, contract_file_object_id)
    WHERE contract_file_object_id IS NOT NULL;

ALTER TABLE tenant_mgmt.spend_commitment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.spend_commitment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.spend_commitment TO app_user;
GRANT SELECT ON tenant_mgmt.spend_commitment TO app_readonly;

CREATE TRIGGER spend_commitment_touch
    BEFORE UPDATE ON tenant_mgmt.spend_commitment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE VIEW tenant_mgmt.v_current_usage WITH (security_invoker = true) AS
    SELECT p.business_id,
           p.subscription_id,
           p.usage_period_id,
           m.meter_code,
           m.name,
           m.unit_name,
           p.period_start,
           p.period_end,
           p.event_count,
           p.aggregated_quantity,
           p.included_quantity,
           p.overage_quantity,
           round(100 * p.aggregated_quantity / nullif(p.included_quantity, 0), 1) AS used_pct,
           tenant_mgmt.usage_amount(
               p.business_id, s.plan_id, p.usage_meter_id,
               greatest(billed.quantity - p.included_quantity, 0))   AS amount,
           projected.quantity                                        AS projected_quantity,
           tenant_mgmt.usage_amount(
               p.business_id, s.plan_id, p.usage_meter_id,
               greatest(projected.quantity - p.included_quantity, 0)) AS projected_amount,
           p.last_event_at
    FROM tenant_mgmt.usage_period AS p
    JOIN tenant_mgmt.subscription AS s
        ON s.business_id = p.business_id AND s.subscription_id = p.subscription_id
    JOIN tenant_mgmt.usage_meter AS m
        ON m.business_id = p.business_id AND m.usage_meter_id = p.usage_meter_id
    CROSS JOIN LATERAL (
        SELECT tenant_mgmt.rounded_usage(
                   p.aggregated_quantity, m.rounding, m.rounding_precision) AS quantity
    ) AS billed
    CROSS JOIN LATERAL (
        SELECT tenant_mgmt.projected_usage(
                   billed.quantity, m.aggregation, p.period_start, p.period_end, now())
                   AS quantity
    ) AS projected
    WHERE NOT p.is_closed
      AND p.period_start <= (now() AT TIME ZONE 'UTC')::date
      AND p.period_end > (now() AT TIME ZONE 'UTC')::date;
COMMENT ON VIEW tenant_mgmt.v_current_usage IS
    'Usage, included, overage and projected bill of each meter in the running period, priced by
     the plan as of now.';
GRANT SELECT ON tenant_mgmt.v_current_usage TO app_user, app_readonly;


CREATE VIEW tenant_mgmt.v_subscription_overview WITH (security_invoker = true) AS
    SELECT s.business_id,
           s.subscription_id,
           s.subscription_number,
           s.bundle_code,
           s.status,
           p.name                                               AS plan_name,
           p.tier,
           p.billing_interval,
           p.currency_code,
           f.kind                                               AS phase_kind,
           p.included_seats + coalesce(seat.extra_seats, 0)     AS seats_bought,
           coalesce(account.seats_used, 0)                      AS seats_used,
           tenant_mgmt.subscription_mrr(
               s.business_id, s.subscription_id, statement_timestamp())         AS mrr_amount,
           s.current_period_start,
           s.current_period_end,
           CASE WHEN renewal.is_due
                THEN (s.current_period_end AT TIME ZONE 'UTC')::date END AS next_invoice_on,
           CASE WHEN renewal.is_due
                THEN round(tenant_mgmt.recurring_amount(
                         s.business_id, s.subscription_id, s.current_period_end), 2)
                     + coalesce(usage.amount, 0) END            AS next_invoice_amount
    FROM tenant_mgmt.subscription AS s
    JOIN tenant_mgmt.plan AS p ON p.business_id = s.business_id AND p.plan_id = s.plan_id
    JOIN tenant_mgmt.plan_phase AS f
        ON f.business_id = s.business_id AND f.plan_phase_id = s.current_plan_phase_id
    CROSS JOIN LATERAL (
        SELECT s.status IN ('trialing', 'active', 'past_due') AND NOT s.cancel_at_period_end
                   AS is_due
    ) AS renewal
    LEFT JOIN LATERAL (
        SELECT sum(i.quantity) AS extra_seats
        FROM tenant_mgmt.subscription_item AS i
        WHERE i.business_id = s.business_id
          AND i.subscription_id = s.subscription_id
          AND i.item_kind = 'seat'
          AND i.effective_from <= statement_timestamp()
          AND (i.effective_until > statement_timestamp() OR i.effective_until IS NULL)
    ) AS seat ON true
    LEFT JOIN LATERAL (
        SELECT count(*) AS seats_used
        FROM user_mgmt.user_account AS a
        WHERE a.business_id = s.business_id
          AND a.account_kind IN ('staff', 'contractor')
          AND a.status IN ('active', 'locked', 'suspended')
    ) AS account ON true
    LEFT JOIN LATERAL (
        SELECT sum(u.amount) AS amount
        FROM tenant_mgmt.v_current_usage AS u
        WHERE u.business_id = s.business_id AND u.subscription_id = s.subscription_id
    ) AS usage ON true;
COMMENT ON VIEW tenant_mgmt.v_subscription_overview IS
    'The account page: plan, phase, seats bought and used, MRR, and date and amount of the next
     invoice as usage stands now, before discounts, credits and tax.';
GRANT SELECT ON tenant_mgmt.v_subscription_overview TO app_user, app_readonly;


CREATE MATERIALIZED VIEW tenant_mgmt.mv_usage_daily AS
    SELECT e.business_id,
           e.usage_meter_id,
           (e.event_at AT TIME ZONE 'UTC')::date AS usage_date,
           count(*)                              AS event_count,
           sum(e.quantity)                       AS quantity,
           count(DISTINCT e.unique_value)        AS unique_count,
           count(*) FILTER (WHERE e.is_late)     AS late_count
    FROM tenant_mgmt.usage_event AS e
    GROUP BY e.business_id, e.usage_meter_id, (e.event_at AT TIME ZONE 'UTC')::date
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW tenant_mgmt.mv_usage_daily IS
    'Usage per meter and day for the usage chart; read through v_usage_daily.';

-- Refreshing concurrently; the usage chart of a meter.
CREATE UNIQUE INDEX mv_usage_daily_key_idx
    ON tenant_mgmt.mv_usage_daily (business_id, usage_meter_id, usage_date);


CREATE VIEW tenant_mgmt.v_usage_daily WITH (security_barrier = true) AS
    SELECT d.business_id, d.usage_meter_id, d.usage_date, d.event_count, d.quantity,
           d.unique_count, d.late_count
    FROM tenant_mgmt.mv_usage_daily AS d
    WHERE d.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW tenant_mgmt.v_usage_daily IS
    'The current tenant''s part of mv_usage_daily.';
GRANT SELECT ON tenant_mgmt.v_usage_daily TO app_user, app_readonly;
