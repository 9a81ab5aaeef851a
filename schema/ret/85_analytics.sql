/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE ret.web_event (
    business_id        uuid                NOT NULL,
    web_event_id       uuid                NOT NULL DEFAULT system_core.uuid_v7(),
    sales_channel_id   uuid                NOT NULL,
    customer_id        uuid,
    cart_id            uuid,
    product_variant_id uuid,
    occurred_at        timestamptz         NOT NULL DEFAULT now(),
    session_key        text,
    event_kind         text                NOT NULL,
    page_path          text,
    search_term        text,
    result_count       integer             NOT NULL DEFAULT 0,
    referrer_source    text,
    device_kind        text                NOT NULL,
    country_code       system_core.country,
    value_amount       system_core.money   NOT NULL DEFAULT 0,
    payload            jsonb,
    created_at         timestamptz         NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, web_event_id, occurred_at),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    FOREIGN KEY (business_id, cart_id) REFERENCES ret.cart (business_id, cart_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT web_event_kind_known
        CHECK (event_kind IN ('page_view', 'product_view', 'search', 'filter', 'add_to_cart',
                              'remove_from_cart', 'begin_checkout', 'purchase', 'store_finder')),
    CONSTRAINT web_event_device_kind_known
        CHECK (device_kind IN ('mobile', 'desktop', 'tablet', 'app')),
    CONSTRAINT web_event_event_kind_iff
        CHECK ((result_count IS NOT NULL) = (event_kind = 'search'))
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE ret.web_event IS
    'Clickstream of the shop: views, searches, cart and checkout steps; append only.';

-- FK: the web events of a sales channel.
CREATE INDEX web_event_sales_channel_idx ON ret.web_event (business_id, sales_channel_id);

-- FK: the web events of a customer.
CREATE INDEX web_event_customer_idx
    ON ret.web_event (business_id, customer_id)
    WHERE customer_id IS NOT NULL;

-- FK: the web events of a cart.
CREATE INDEX web_event_cart_idx
    ON ret.web_event (business_id, cart_id)
    WHERE cart_id IS NOT NULL;

-- FK: the web events of a product variant.
CREATE INDEX web_event_product_variant_idx
    ON ret.web_event (business_id, product_variant_id)
    WHERE product_variant_id IS NOT NULL;

ALTER TABLE ret.web_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.web_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON ret.web_event TO app_user;
GRANT SELECT ON ret.web_event TO app_readonly;

CREATE TRIGGER web_event_append_only
    BEFORE UPDATE OR DELETE ON ret.web_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.web_event');

CREATE TABLE ret.web_event_default PARTITION OF ret.web_event DEFAULT;
ALTER TABLE ret.web_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.web_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('ret.web_event', 'month', behind => 3, ahead => 1);


CREATE TABLE ret.store_traffic_count (
    business_id            uuid                 NOT NULL,
    store_traffic_count_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    location_id            uuid                 NOT NULL,
    counted_at             timestamptz          NOT NULL DEFAULT now(),
    sensor_code            system_core.code     NOT NULL,
    entries                integer,
    exits                  integer,
    passers_by             integer,
    groups_count           integer              NOT NULL DEFAULT 0,
    dwell_seconds_mean     numeric(9, 4),
    staff_on_floor         integer,
    temperature_c          system_core.quantity,
    created_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, store_traffic_count_id, counted_at),
    UNIQUE (business_id, location_id, sensor_code, counted_at),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT store_traffic_count_entries_not_negative CHECK (entries >= 0),
    CONSTRAINT store_traffic_count_exits_not_negative CHECK (exits >= 0)
) PARTITION BY RANGE (counted_at);

COMMENT ON TABLE ret.store_traffic_count IS
    'Footfall per entrance and quarter hour from door counters; append only.';

ALTER TABLE ret.store_traffic_count ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.store_traffic_count
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON ret.store_traffic_count TO app_user;
GRANT SELECT ON ret.store_traffic_count TO app_readonly;

CREATE TRIGGER store_traffic_count_append_only
    BEFORE UPDATE OR DELETE ON ret.store_traffic_count
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.store_traffic_count');

CREATE TABLE ret.store_traffic_count_default PARTITION OF ret.store_traffic_count DEFAULT;
ALTER TABLE ret.store_traffic_count_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.store_traffic_count_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('ret.store_traffic_count', 'month', behind => 3, ahead => 1);


CREATE TABLE ret.sales_day_summary (
    business_id          uuid                   NOT NULL,
    sales_day_summary_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    location_id          uuid                   NOT NULL,
    sales_channel_id     uuid                   NOT NULL,
    business_date        date                   NOT NULL,
    gross_sales          system_core.money,
    discount_total       system_core.money      NOT NULL DEFAULT 0,
    returns_total        system_core.money      NOT NULL DEFAULT 0,
    net_sales            system_core.money      GENERATED ALWAYS AS (
                                                    gross_sales - discount_total - returns_total)
                                                    STORED,
    cost_of_goods        system_core.money,
    margin_amount        system_core.money      GENERATED ALWAYS AS (
                                                    gross_sales - discount_total - returns_total -
                                                    cost_of_goods) STORED,
    tax_total            system_core.money      NOT NULL DEFAULT 0,
    order_count          integer                NOT NULL DEFAULT 0,
    units_sold           system_core.quantity,
    average_basket       system_core.money,
    traffic_count        integer                NOT NULL DEFAULT 0,
    conversion_pct       system_core.percentage,
    comparable_net_sales system_core.money,
    computed_at          timestamptz,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, sales_day_summary_id),
    UNIQUE (business_id, location_id, sales_channel_id, business_date),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id)
);

COMMENT ON TABLE ret.sales_day_summary IS
    'A day of a location and channel: sales, margin, traffic, conversion.';

-- FK: the sales day summaries of a sales channel.
CREATE INDEX sales_day_summary_sales_channel_idx
    ON ret.sales_day_summary (business_id, sales_channel_id);

ALTER TABLE ret.sales_day_summary ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.sales_day_summary
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.sales_day_summary TO app_user;
GRANT SELECT ON ret.sales_day_summary TO app_readonly;

CREATE TRIGGER sales_day_summary_touch
    BEFORE UPDATE ON ret.sales_day_summary
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.variant_sales_day (
    business_id          uuid                 NOT NULL,
    variant_sales_day_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    location_id          uuid                 NOT NULL,
    product_variant_id   uuid                 NOT NULL,
    business_date        date                 NOT NULL DEFAULT now(),
    units_sold           system_core.quantity,
    units_returned       system_core.quantity,
    gross_sales          system_core.money,
    discount_amount      system_core.money    NOT NULL DEFAULT 0,
    net_sales            system_core.money,
    cost_of_goods        system_core.money,
    markdown_amount      system_core.money    NOT NULL DEFAULT 0,
    promo_units          system_core.quantity,
    was_in_stock         boolean              NOT NULL DEFAULT false,
    hours_out_of_stock   numeric(9, 2),
    lost_units_estimate  system_core.quantity,
    computed_at          timestamptz,
    created_at           timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, variant_sales_day_id, business_date),
    UNIQUE (business_id, location_id, product_variant_id, business_date),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT variant_sales_day_hours_out_of_stock_bounded
        CHECK (hours_out_of_stock BETWEEN 0 AND 24)
) PARTITION BY RANGE (business_date);

COMMENT ON TABLE ret.variant_sales_day IS
    'Units and money of a variant per location and day, with lost sales; append only.';

-- FK: the variant sales days of a product variant.
CREATE INDEX variant_sales_day_product_variant_idx
    ON ret.variant_sales_day (business_id, product_variant_id);

ALTER TABLE ret.variant_sales_day ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.variant_sales_day
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON ret.variant_sales_day TO app_user;
GRANT SELECT ON ret.variant_sales_day TO app_readonly;

CREATE TRIGGER variant_sales_day_append_only
    BEFORE UPDATE OR DELETE ON ret.variant_sales_day
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.variant_sales_day');

CREATE TABLE ret.variant_sales_day_default PARTITION OF ret.variant_sales_day DEFAULT;
ALTER TABLE ret.variant_sales_day_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.variant_sales_day_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('ret.variant_sales_day', 'month', behind => 3, ahead => 1);


CREATE TABLE ret.inventory_day_snapshot (
    business_id               uuid                   NOT NULL,
    inventory_day_snapshot_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    location_id               uuid                   NOT NULL,
    product_variant_id        uuid                   NOT NULL,
    snapshot_date             date                   NOT NULL DEFAULT now(),
    on_hand_qty               system_core.quantity,
    available_qty             system_core.quantity,
    committed_qty             system_core.quantity,
    in_transit_qty            system_core.quantity,
    unit_cost                 system_core.unit_price,
    stock_value               system_core.money      GENERATED ALWAYS AS (
                                                         on_hand_qty * unit_cost) STORED,
    retail_value              system_core.money,
    days_since_sale           integer,
    days_of_cover             system_core.quantity,
    age_days                  integer,
    created_at                timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inventory_day_snapshot_id, snapshot_date),
    UNIQUE (business_id, location_id, product_variant_id, snapshot_date),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id)
) PARTITION BY RANGE (snapshot_date);

COMMENT ON TABLE ret.inventory_day_snapshot IS
    'Closing stock of a variant per location and day, for turn, ageing and valuation; append
     only.';

-- FK: the inventory day snapshots of a product variant.
CREATE INDEX inventory_day_snapshot_product_variant_idx
    ON ret.inventory_day_snapshot (business_id, product_variant_id);

ALTER TABLE ret.inventory_day_snapshot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.inventory_day_snapshot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON ret.inventory_day_snapshot TO app_user;
GRANT SELECT ON ret.inventory_day_snapshot TO app_readonly;

CREATE TRIGGER inventory_day_snapshot_append_only
    BEFORE UPDATE OR DELETE ON ret.inventory_day_snapshot
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.inventory_day_snapshot');

CREATE TABLE ret.inventory_day_snapshot_default PARTITION OF ret.inventory_day_snapshot DEFAULT;
ALTER TABLE ret.inventory_day_snapshot_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.inventory_day_snapshot_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'ret.inventory_day_snapshot', 'month', behind => 3, ahead => 1);


CREATE TABLE ret.demand_forecast (
    business_id        uuid                   NOT NULL,
    demand_forecast_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    location_id        uuid                   NOT NULL,
    product_variant_id uuid                   NOT NULL,
    promotion_id       uuid,
    week_start         date                   NOT NULL,
    model_name         text                   NOT NULL,
    run_at             timestamptz            NOT NULL,
    forecast_qty       system_core.quantity,
    low_qty            system_core.quantity,
    high_qty           system_core.quantity,
    baseline_qty       system_core.quantity,
    promo_uplift_qty   system_core.quantity,
    actual_qty         system_core.quantity,
    abs_pct_error      numeric(9, 4),
    bias_pct           system_core.percentage,
    drivers_doc        jsonb,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, demand_forecast_id),
    UNIQUE (business_id, location_id, product_variant_id, week_start, model_name, run_at),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, promotion_id) REFERENCES ret.promotion (business_id, promotion_id),
    CONSTRAINT demand_forecast_low_qty_in_order CHECK (low_qty <= forecast_qty),
    CONSTRAINT demand_forecast_forecast_qty_in_order CHECK (forecast_qty <= high_qty)
);

COMMENT ON TABLE ret.demand_forecast IS
    'Forecast of a variant per location and week with interval and error.';

-- FK: the demand forecasts of a product variant.
CREATE INDEX demand_forecast_product_variant_idx
    ON ret.demand_forecast (business_id, product_variant_id);

-- FK: the demand forecasts of a promotion.
CREATE INDEX demand_forecast_promotion_idx
    ON ret.demand_forecast (business_id, promotion_id)
    WHERE promotion_id IS NOT NULL;

ALTER TABLE ret.demand_forecast ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.demand_forecast
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.demand_forecast TO app_user;
GRANT SELECT ON ret.demand_forecast TO app_readonly;

CREATE TRIGGER demand_forecast_touch
    BEFORE UPDATE ON ret.demand_forecast
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.rfm_snapshot (
    business_id             uuid              NOT NULL,
    rfm_snapshot_id         uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id             uuid              NOT NULL,
    as_of_date              date              NOT NULL,
    recency_days            integer,
    frequency_count         integer           NOT NULL DEFAULT 0,
    monetary_total          system_core.money NOT NULL DEFAULT 0,
    r_score                 smallint,
    f_score                 smallint,
    m_score                 smallint,
    rfm_segment             text              NOT NULL,
    churn_probability       numeric(9, 4),
    predicted_ltv           system_core.money,
    next_purchase_on        date,
    preferred_category_code system_core.code,
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, rfm_snapshot_id),
    UNIQUE (business_id, customer_id, as_of_date),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    CONSTRAINT rfm_snapshot_rfm_segment_known
        CHECK (rfm_segment IN ('champion', 'loyal', 'potential', 'new', 'promising', 'at_risk',
                               'cannot_lose', 'hibernating', 'lost')),
    CONSTRAINT rfm_snapshot_churn_probability_bounded CHECK (churn_probability BETWEEN 0 AND 1)
);

COMMENT ON TABLE ret.rfm_snapshot IS
    'Recency, frequency, money and value prediction of a customer.';
-- RULE scores between 1 and 5

ALTER TABLE ret.rfm_snapshot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.rfm_snapshot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.rfm_snapshot TO app_user;
GRANT SELECT ON ret.rfm_snapshot TO app_readonly;

CREATE TRIGGER rfm_snapshot_touch
    BEFORE UPDATE ON ret.rfm_snapshot
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.shrink_event (
    business_id         uuid                 NOT NULL,
    shrink_event_id     uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    location_id         uuid                 NOT NULL,
    product_variant_id  uuid,
    stock_adjustment_id uuid,
    cycle_count_id      uuid,
    register_session_id uuid,
    case_number         text                 NOT NULL,
    cause               text                 NOT NULL,
    detected_by         text                 NOT NULL,
    detected_at         timestamptz,
    units_lost          system_core.quantity,
    cost_value          system_core.money,
    retail_value        system_core.money,
    recovered_value     system_core.money,
    police_reference    text,
    evidence_doc        jsonb,
    state               text                 NOT NULL DEFAULT 'open',
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, shrink_event_id),
    UNIQUE (business_id, case_number),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, stock_adjustment_id)
        REFERENCES ret.stock_adjustment (business_id, stock_adjustment_id),
    FOREIGN KEY (business_id, cycle_count_id)
        REFERENCES ret.cycle_count (business_id, cycle_count_id),
    FOREIGN KEY (business_id, register_session_id)
        REFERENCES ret.register_session (business_id, register_session_id),
    CONSTRAINT shrink_event_cause_known
        CHECK (cause IN ('external_theft', 'internal_theft', 'administrative', 'vendor_fraud',
                         'damage', 'unknown', 'organised_crime', 'return_fraud')),
    CONSTRAINT shrink_event_detected_by_known
        CHECK (detected_by IN ('count', 'cctv', 'exception_report', 'eas_gate', 'audit', 'tip')),
    CONSTRAINT shrink_event_state_known CHECK (state IN ('open', 'investigating', 'closed')),
    CONSTRAINT shrink_event_recovered_value_precedes_retail_value
        CHECK (recovered_value <= retail_value)
);

COMMENT ON TABLE ret.shrink_event IS 'Known or estimated loss by cause, with case and recovery.';
-- RULE at least one source reference is set unless cause = unknown

-- FK: the shrink events of a location.
CREATE INDEX shrink_event_location_idx ON ret.shrink_event (business_id, location_id);

-- FK: the shrink events of a product variant.
CREATE INDEX shrink_event_product_variant_idx
    ON ret.shrink_event (business_id, product_variant_id)
    WHERE product_variant_id IS NOT NULL;

-- FK: the shrink events of a stock adjustment.
CREATE INDEX shrink_event_stock_adjustment_idx
    ON ret.shrink_event (business_id, stock_adjustment_id)
    WHERE stock_adjustment_id IS NOT NULL;

-- FK: the shrink events of a cycle count.
CREATE INDEX shrink_event_cycle_count_idx
    ON ret.shrink_event (business_id, cycle_count_id)
    WHERE cycle_count_id IS NOT NULL;

-- FK: the shrink events of a register session.
CREATE INDEX shrink_event_register_session_idx
    ON ret.shrink_event (business_id, register_session_id)
    WHERE register_session_id IS NOT NULL;

ALTER TABLE ret.shrink_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.shrink_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.shrink_event TO app_user;
GRANT SELECT ON ret.shrink_event TO app_readonly;

CREATE TRIGGER shrink_event_touch
    BEFORE UPDATE ON ret.shrink_event
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.basket_affinity (
    business_id        uuid           NOT NULL,
    basket_affinity_id uuid           NOT NULL DEFAULT system_core.uuid_v7(),
    left_product_id    uuid           NOT NULL,
    right_product_id   uuid           NOT NULL,
    sales_channel_id   uuid,
    window_start       date           NOT NULL,
    window_end         date,
    basket_count       integer        NOT NULL DEFAULT 0,
    pair_count         integer        NOT NULL DEFAULT 0,
    support            numeric(9, 6),
    confidence         numeric(9, 6),
    lift               numeric(12, 6),
    computed_at        timestamptz,
    created_at         timestamptz    NOT NULL DEFAULT now(),
    updated_at         timestamptz    NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, basket_affinity_id),
    UNIQUE NULLS NOT DISTINCT (business_id, left_product_id, right_product_id,
            sales_channel_id, window_end),
    FOREIGN KEY (business_id, left_product_id) REFERENCES ret.product (business_id, product_id),
    FOREIGN KEY (business_id, right_product_id) REFERENCES ret.product (business_id, product_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id),
    CONSTRAINT basket_affinity_left_product_id_precedes_right_product_id
        CHECK (left_product_id < right_product_id),
    CONSTRAINT basket_affinity_lift_positive CHECK (lift > 0)
);

COMMENT ON TABLE ret.basket_affinity IS
    'Pair of products bought together with support, confidence and lift.';

-- FK: the basket affinities by their right product.
CREATE INDEX basket_affinity_right_product_idx
    ON ret.basket_affinity (business_id, right_product_id);

-- FK: the basket affinities of a sales channel.
CREATE INDEX basket_affinity_sales_channel_idx
    ON ret.basket_affinity (business_id, sales_channel_id)
    WHERE sales_channel_id IS NOT NULL;

ALTER TABLE ret.basket_affinity ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.basket_affinity
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.basket_affinity TO app_user;
GRANT SELECT ON ret.basket_affinity TO app_readonly;

CREATE TRIGGER basket_affinity_touch
    BEFORE UPDATE ON ret.basket_affinity
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.merchandise_plan (
    business_id         uuid                   NOT NULL,
    merchandise_plan_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    planner_user_id     uuid,
    category_id         uuid                   NOT NULL,
    location_id         uuid,
    plan_month          date                   NOT NULL,
    version_no          integer                NOT NULL,
    planned_sales       system_core.money,
    planned_margin_pct  system_core.percentage,
    planned_markdown    system_core.money,
    opening_stock_plan  system_core.money,
    closing_stock_plan  system_core.money,
    planned_receipts    system_core.money,
    open_to_buy         system_core.money,
    actual_sales        system_core.money,
    actual_receipts     system_core.money,
    sell_through_pct    system_core.percentage,
    weeks_of_supply     system_core.quantity,
    state               text                   NOT NULL DEFAULT 'draft',
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, merchandise_plan_id),
    UNIQUE NULLS NOT DISTINCT (business_id, category_id, location_id, plan_month, version_no),
    FOREIGN KEY (business_id, planner_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, category_id) REFERENCES ret.category (business_id, category_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT merchandise_plan_state_known CHECK (state IN ('draft', 'approved', 'locked'))
);

COMMENT ON TABLE ret.merchandise_plan IS
    'Open-to-buy plan of a category, location and month against actuals.';
-- RULE open_to_buy = planned_sales + planned_markdown + closing_stock_plan - opening_stock_plan - receipts on order

-- FK: the merchandise plans by their planner user.
CREATE INDEX merchandise_plan_planner_user_idx
    ON ret.merchandise_plan (business_id, planner_user_id)
    WHERE planner_user_id IS NOT NULL;

-- FK: the merchandise plans of a location.
CREATE INDEX merchandise_plan_location_idx
    ON ret.merchandise_plan (business_id, location_id)
    WHERE location_id IS NOT NULL;

ALTER TABLE ret.merchandise_plan ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.merchandise_plan
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.merchandise_plan TO app_user;
GRANT SELECT ON ret.merchandise_plan TO app_readonly;

CREATE TRIGGER merchandise_plan_touch
    BEFORE UPDATE ON ret.merchandise_plan
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
