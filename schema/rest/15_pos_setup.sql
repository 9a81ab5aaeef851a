/*
 * Point of sale setup: the trading day and what a check may carry.
 *
 * A business_day is what is opened, closed and counted at a location; its totals are settled from
 * the checks and drawers of the day and frozen when it closes. A sales_channel is where an order
 * comes from; a marketplace keeps a commission and may remit the tax itself. tax_rate, discount and
 * service_charge are what a check adds and takes off, reason_code is why somebody voided, comped or
 * threw away.
 */

CREATE TABLE rest.business_day (
    business_id        uuid              NOT NULL,
    business_day_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    closed_by_staff_id uuid,
    location_id        uuid              NOT NULL,
    business_date      date              NOT NULL,
    opened_at          timestamptz       NOT NULL DEFAULT now(),
    closed_at          timestamptz,
    state              text              NOT NULL DEFAULT 'open',
    gross_sales        system_core.money NOT NULL DEFAULT 0,
    net_sales          system_core.money NOT NULL DEFAULT 0,
    tax_collected      system_core.money NOT NULL DEFAULT 0,
    discount_total     system_core.money NOT NULL DEFAULT 0,
    void_total         system_core.money NOT NULL DEFAULT 0,
    tips_total         system_core.money NOT NULL DEFAULT 0,
    cash_expected      system_core.money NOT NULL DEFAULT 0,
    cash_counted       system_core.money,
    over_short         system_core.money GENERATED ALWAYS AS (cash_counted - cash_expected) STORED,
    cover_count        integer           NOT NULL DEFAULT 0,
    order_count        integer           NOT NULL DEFAULT 0,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, business_day_id),
    UNIQUE (business_id, location_id, business_date),
    FOREIGN KEY (business_id, closed_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT business_day_state_known
        CHECK (state IN ('open', 'closing', 'closed', 'reopened')),
    CONSTRAINT business_day_closes_after_opening CHECK (closed_at > opened_at),
    CONSTRAINT business_day_closed_is_counted
        CHECK (state <> 'closed'
               OR (closed_at IS NOT NULL AND closed_by_staff_id IS NOT NULL
                   AND cash_counted IS NOT NULL)),
    CONSTRAINT business_day_counts_not_negative CHECK (cover_count >= 0 AND order_count >= 0)
);

COMMENT ON TABLE rest.business_day IS
    'One trading day of a site from opening to close-out, with declared totals.';
COMMENT ON COLUMN rest.business_day.over_short IS
    'Counted less expected cash: below zero, money is missing. NULL until it is counted.';

-- One open day per location.
CREATE UNIQUE INDEX business_day_open_idx
    ON rest.business_day (business_id, location_id)
    WHERE state <> 'closed';

-- FK: the days that somebody closed.
CREATE INDEX business_day_closed_by_staff_idx
    ON rest.business_day (business_id, closed_by_staff_id)
    WHERE closed_by_staff_id IS NOT NULL;

ALTER TABLE rest.business_day ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.business_day
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.business_day TO app_user;
GRANT SELECT ON rest.business_day TO app_readonly;

CREATE TRIGGER business_day_touch
    BEFORE UPDATE ON rest.business_day
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER business_day_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.business_day
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open"],
        "transitions": {
            "open":     ["closing"],
            "closing":  ["closed", "open"],
            "closed":   ["reopened"],
            "reopened": ["closing"]
        }}');

CREATE FUNCTION rest.refuse_closed_day() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'the business day % is closed, its figures stand', OLD.business_date
            USING ERRCODE = 'check_violation',
                  HINT = 'Reopen the day, correct it and close it again.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION rest.refuse_closed_day() IS
    'A closed day is not changed, only reopened; imported history may settle it.';

CREATE TRIGGER business_day_frozen
    BEFORE UPDATE ON rest.business_day
    FOR EACH ROW WHEN (OLD.state = 'closed' AND NEW.state <> 'reopened')
    EXECUTE FUNCTION rest.refuse_closed_day();

CREATE TRIGGER business_day_kept
    BEFORE DELETE ON rest.business_day
    FOR EACH ROW WHEN (OLD.state = 'closed')
    EXECUTE FUNCTION rest.refuse_closed_day();


CREATE TABLE rest.sales_channel (
    business_id            uuid                   NOT NULL,
    sales_channel_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    channel_code           system_core.code       NOT NULL,
    display_name           text                   NOT NULL,
    channel_kind           text                   NOT NULL,
    provider               text                   NOT NULL DEFAULT 'none',
    order_flow             text                   NOT NULL DEFAULT 'manual',
    marketplace_remits_tax boolean                NOT NULL DEFAULT false,
    default_commission_pct system_core.percentage NOT NULL DEFAULT 0,
    supports_menu_push     boolean                NOT NULL DEFAULT false,
    accept_window_seconds  integer,
    is_active              boolean                NOT NULL DEFAULT true,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, sales_channel_id),
    UNIQUE (business_id, channel_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT sales_channel_kind_known
        CHECK (channel_kind IN ('in_store', 'kiosk', 'own_online', 'phone', 'marketplace',
                                'dispatch_only')),
    CONSTRAINT sales_channel_provider_known
        CHECK (provider IN ('none', 'uber_eats', 'doordash', 'grubhub', 'deliveroo', 'just_eat',
                            'deliverect', 'other')),
    CONSTRAINT sales_channel_order_flow_known CHECK (order_flow IN ('push', 'poll', 'manual')),
    CONSTRAINT sales_channel_commission_bounded
        CHECK (default_commission_pct BETWEEN 0 AND 100),
    CONSTRAINT sales_channel_outsiders_have_provider
        CHECK ((provider <> 'none') = (channel_kind IN ('marketplace', 'dispatch_only'))),
    CONSTRAINT sales_channel_accept_window_bounded
        CHECK (accept_window_seconds BETWEEN 30 AND 3600)
);

COMMENT ON TABLE rest.sales_channel IS
    'Where orders come from: in-house, own web, phone or a marketplace.';
COMMENT ON COLUMN rest.sales_channel.marketplace_remits_tax IS
    'The marketplace collects and pays the sales tax; the check only shows it.';
COMMENT ON COLUMN rest.sales_channel.accept_window_seconds IS
    'How long the channel waits for an answer before it cancels the order.';

ALTER TABLE rest.sales_channel ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.sales_channel
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.sales_channel TO app_user;
GRANT SELECT ON rest.sales_channel TO app_readonly;

CREATE TRIGGER sales_channel_touch
    BEFORE UPDATE ON rest.sales_channel
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.tax_rate (
    business_id    uuid                   NOT NULL,
    tax_rate_id    uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    location_id    uuid                   NOT NULL,
    tax_name       text                   NOT NULL,
    tax_class      text                   NOT NULL,
    service_mode   text                   NOT NULL DEFAULT 'all',
    jurisdiction   text,
    rate_pct       system_core.percentage NOT NULL,
    is_inclusive   boolean                NOT NULL DEFAULT false,
    rounding       text                   NOT NULL DEFAULT 'half_up',
    effective_from date                   NOT NULL,
    effective_to   date,
    created_at     timestamptz            NOT NULL DEFAULT now(),
    updated_at     timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_rate_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT tax_rate_class_known
        CHECK (tax_class IN ('food', 'prepared_food', 'alcohol', 'soft_drink', 'merchandise',
                             'service_charge', 'bag_fee')),
    CONSTRAINT tax_rate_service_mode_known
        CHECK (service_mode IN ('all', 'dine_in', 'takeout', 'delivery')),
    CONSTRAINT tax_rate_rounding_known CHECK (rounding IN ('half_up', 'half_even', 'per_item')),
    CONSTRAINT tax_rate_bounded CHECK (rate_pct BETWEEN 0 AND 40),
    CONSTRAINT tax_rate_ends_after_start CHECK (effective_to >= effective_from),
    CONSTRAINT tax_rate_no_overlap EXCLUDE USING gist (
        business_id WITH =, location_id WITH =, tax_class WITH =, service_mode WITH =,
        (coalesce(jurisdiction, '')) WITH =,
        daterange(effective_from, effective_to, '[]') WITH &&)
);

COMMENT ON TABLE rest.tax_rate IS 'Sales tax of a site by item class and service mode, dated.';

-- FK, and the rate of a line: location, class and mode, the newest first.
CREATE INDEX tax_rate_location_idx
    ON rest.tax_rate (business_id, location_id, tax_class, effective_from DESC);

ALTER TABLE rest.tax_rate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.tax_rate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.tax_rate TO app_user;
GRANT SELECT ON rest.tax_rate TO app_readonly;

CREATE TRIGGER tax_rate_touch
    BEFORE UPDATE ON rest.tax_rate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.discount (
    business_id       uuid              NOT NULL,
    discount_id       uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    discount_code     system_core.code  NOT NULL,
    display_name      text              NOT NULL,
    discount_kind     text              NOT NULL,
    discount_value    system_core.money,
    applies_to        text              NOT NULL,
    promo_code        system_core.code,
    max_amount        system_core.money,
    min_subtotal      system_core.money,
    valid_from        timestamptz,
    valid_to          timestamptz,
    requires_approval boolean           NOT NULL DEFAULT false,
    max_uses          integer,
    used_count        integer           NOT NULL DEFAULT 0,
    is_stackable      boolean           NOT NULL DEFAULT false,
    created_at        timestamptz       NOT NULL DEFAULT now(),
    updated_at        timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, discount_id),
    UNIQUE (business_id, discount_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT discount_kind_known
        CHECK (discount_kind IN ('percent', 'fixed', 'fixed_total', 'open_percent',
                                 'open_amount', 'bogo', 'comp')),
    CONSTRAINT discount_applies_to_known CHECK (applies_to IN ('check', 'item', 'combo')),
    CONSTRAINT discount_uses_within_limit CHECK (used_count BETWEEN 0 AND max_uses),
    CONSTRAINT discount_value_not_negative CHECK (discount_value >= 0 AND min_subtotal >= 0),
    CONSTRAINT discount_percent_is_a_share
        CHECK (discount_kind NOT IN ('percent', 'open_percent') OR discount_value <= 100),
    CONSTRAINT discount_known_has_value
        CHECK (discount_kind NOT IN ('percent', 'fixed', 'fixed_total')
               OR discount_value IS NOT NULL),
    CONSTRAINT discount_comp_is_approved CHECK (discount_kind <> 'comp' OR requires_approval),
    CONSTRAINT discount_ends_after_start CHECK (valid_to > valid_from)
);

COMMENT ON TABLE rest.discount IS 'Discount, comp or promo code a check may carry.';
COMMENT ON COLUMN rest.discount.discount_value IS
    'Percent or amount by its kind; NULL where the server types it in.';
COMMENT ON COLUMN rest.discount.max_amount IS 'The most it may take off; NULL without a cap.';

-- A promo code that a guest types in means one discount.
CREATE UNIQUE INDEX discount_promo_code_idx
    ON rest.discount (business_id, promo_code)
    WHERE promo_code IS NOT NULL;

ALTER TABLE rest.discount ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.discount
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.discount TO app_user;
GRANT SELECT ON rest.discount TO app_readonly;

CREATE TRIGGER discount_touch
    BEFORE UPDATE ON rest.discount
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.service_charge (
    business_id       uuid              NOT NULL,
    service_charge_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    charge_code       system_core.code  NOT NULL,
    display_name      text              NOT NULL,
    charge_kind       text              NOT NULL,
    amount_basis      text              NOT NULL,
    charge_value      system_core.money,
    calculated_on     text              NOT NULL DEFAULT 'pre_discount',
    min_party_size    integer,
    is_taxable        boolean           NOT NULL DEFAULT false,
    is_gratuity       boolean           NOT NULL DEFAULT false,
    service_mode      text              NOT NULL DEFAULT 'all',
    is_active         boolean           NOT NULL DEFAULT true,
    created_at        timestamptz       NOT NULL DEFAULT now(),
    updated_at        timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, service_charge_id),
    UNIQUE (business_id, charge_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT service_charge_kind_known
        CHECK (charge_kind IN ('auto_gratuity', 'service', 'delivery', 'packaging',
                               'card_surcharge', 'cash_rounding', 'bag_fee')),
    CONSTRAINT service_charge_amount_basis_known
        CHECK (amount_basis IN ('percent', 'fixed', 'open')),
    CONSTRAINT service_charge_calculated_on_known
        CHECK (calculated_on IN ('pre_discount', 'post_discount')),
    CONSTRAINT service_charge_service_mode_known
        CHECK (service_mode IN ('all', 'dine_in', 'takeout', 'delivery')),
    CONSTRAINT service_charge_value_not_negative CHECK (charge_value >= 0),
    CONSTRAINT service_charge_percent_is_a_share
        CHECK (amount_basis <> 'percent' OR charge_value <= 100),
    CONSTRAINT service_charge_known_has_value
        CHECK (amount_basis = 'open' OR charge_value IS NOT NULL),
    CONSTRAINT service_charge_party_for_gratuity
        CHECK (min_party_size IS NULL OR charge_kind = 'auto_gratuity'),
    CONSTRAINT service_charge_party_bounded CHECK (min_party_size BETWEEN 2 AND 60)
);

COMMENT ON TABLE rest.service_charge IS
    'Auto gratuity, delivery, packaging, card surcharge or rounding added to a check.';
COMMENT ON COLUMN rest.service_charge.is_gratuity IS
    'It goes to the staff: part of the tip pool, not of the sales.';
COMMENT ON COLUMN rest.service_charge.min_party_size IS
    'Added by itself for parties from this size on.';

ALTER TABLE rest.service_charge ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.service_charge
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.service_charge TO app_user;
GRANT SELECT ON rest.service_charge TO app_readonly;

CREATE TRIGGER service_charge_touch
    BEFORE UPDATE ON rest.service_charge
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.reason_code (
    business_id       uuid             NOT NULL,
    reason_code_id    uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    reason_group      text             NOT NULL,
    code              system_core.code NOT NULL,
    label             text             NOT NULL,
    requires_approval boolean          NOT NULL DEFAULT false,
    requires_note     boolean          NOT NULL DEFAULT false,
    affects_inventory boolean          NOT NULL DEFAULT false,
    is_food_waste     boolean          NOT NULL DEFAULT false,
    sort_order        integer          NOT NULL,
    is_active         boolean          NOT NULL DEFAULT true,
    created_at        timestamptz      NOT NULL DEFAULT now(),
    updated_at        timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, reason_code_id),
    UNIQUE (business_id, reason_group, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT reason_code_group_known
        CHECK (reason_group IN ('void', 'comp', 'refund', 'remake', 'waste', 'paid_out',
                                'price_override', 'receipt_reject', 'count_variance'))
);

COMMENT ON TABLE rest.reason_code IS
    'The tenant''s own reasons for voids, comps, refunds, remakes, waste and paid-outs.';

ALTER TABLE rest.reason_code ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.reason_code
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.reason_code TO app_user;
GRANT SELECT ON rest.reason_code TO app_readonly;

CREATE TRIGGER reason_code_touch
    BEFORE UPDATE ON rest.reason_code
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
