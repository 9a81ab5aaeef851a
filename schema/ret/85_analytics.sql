/*
 * Analytics: what a retailer reads of its own trade. The functions that fill these tables are in
 * 87_measures.sql and 88_insight.sql, what shows them is in 89_dashboards.sql.
 *
 * Two streams come from outside and are kept as they came: web_event, the clicks of the shop, and
 * store_traffic_count, what the door counters saw. Everything else follows from the books:
 *
 *   sales_order, return_authorisation  ->  sales_day_summary (place, channel, day)
 *                                          variant_sales_day (place, variant, day)
 *   stock_movement                     ->  inventory_day_snapshot (place, variant, day)
 *   variant_sales_day                  ->  demand_forecast (place, variant, week)
 *   sales_order, customer              ->  rfm_snapshot (customer, day), basket_affinity (pair)
 *   counts, adjustments, drawers       ->  shrink_event (a case)
 *   merchandise_plan holds what a buyer means to sell and may still buy, beside what came.
 *
 * The two summaries of a day are written anew as often as it is summarized, because a till that
 * was offline brings its sales late; a stock snapshot is taken once and stands.
 */

CREATE TABLE ret.web_event (
    business_id        uuid                    NOT NULL,
    web_event_id       uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    sales_channel_id   uuid                    NOT NULL,
    customer_id        uuid,
    cart_id            uuid,
    product_variant_id uuid,
    occurred_at        timestamptz             NOT NULL DEFAULT now(),
    session_key        text                    NOT NULL,
    event_kind         text                    NOT NULL,
    page_path          text                    NOT NULL,
    search_term        text,
    result_count       integer,
    referrer_source    text,
    device_kind        text                    NOT NULL,
    country_code       system_core.country,
    value_amount       system_core.money       NOT NULL DEFAULT 0,
    payload            system_core.json_object NOT NULL DEFAULT '{}',
    created_at         timestamptz             NOT NULL DEFAULT now(),
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
    CONSTRAINT web_event_search_has_results
        CHECK ((result_count IS NOT NULL) = (event_kind = 'search')),
    CONSTRAINT web_event_search_has_term
        CHECK ((search_term IS NOT NULL) = (event_kind = 'search')),
    CONSTRAINT web_event_term_is_normalized
        CHECK (search_term = lower(btrim(search_term)) AND search_term <> ''),
    CONSTRAINT web_event_amounts_not_negative CHECK (result_count >= 0 AND value_amount >= 0),
    CONSTRAINT web_event_view_is_of_a_variant
        CHECK (event_kind NOT IN ('product_view', 'add_to_cart', 'remove_from_cart')
               OR product_variant_id IS NOT NULL),
    CONSTRAINT web_event_session_not_blank CHECK (session_key ~ '\S'),
    CONSTRAINT web_event_path_begins_with_slash CHECK (page_path ~ '^/')
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE ret.web_event IS
    'Clickstream of the shop: views, searches, cart and checkout steps; append only.';
COMMENT ON COLUMN ret.web_event.session_key IS
    'One visit of one browser or app; the customer is known only after a sign-in.';
COMMENT ON COLUMN ret.web_event.search_term IS
    'Lower case and trimmed, so that one wish is one term.';
COMMENT ON COLUMN ret.web_event.result_count IS 'What the search found; 0 is a wish not served.';
COMMENT ON COLUMN ret.web_event.value_amount IS
    'What was put in the cart, or what the purchase came to.';
COMMENT ON COLUMN ret.web_event.payload IS
    'Properties by kind: {"facets": [{"facet", "value"}]} of a filter, {"position": 3} of a view
     from a list, {"experiment": "a"} of a page under test.';

-- web_funnel, mv_channel_search_terms: the visits of a period, click by click.
CREATE INDEX web_event_session_idx
    ON ret.web_event (business_id, session_key, occurred_at);

-- v_facet_use: how lists are narrowed, week by week.
CREATE INDEX web_event_filter_idx
    ON ret.web_event (business_id, occurred_at)
    WHERE event_kind = 'filter';

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
    counted_at             timestamptz          NOT NULL,
    sensor_code            system_core.code     NOT NULL,
    entries                integer              NOT NULL,
    exits                  integer              NOT NULL,
    passers_by             integer,
    groups_count           integer              NOT NULL DEFAULT 0,
    dwell_seconds_mean     numeric(9, 4),
    staff_on_floor         integer,
    temperature_c          numeric(6, 2),
    created_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, store_traffic_count_id, counted_at),
    UNIQUE (business_id, location_id, sensor_code, counted_at),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT store_traffic_count_entries_not_negative CHECK (entries >= 0),
    CONSTRAINT store_traffic_count_exits_not_negative CHECK (exits >= 0),
    CONSTRAINT store_traffic_count_others_not_negative
        CHECK (passers_by >= 0 AND groups_count >= 0 AND dwell_seconds_mean >= 0
               AND staff_on_floor >= 0),
    CONSTRAINT store_traffic_count_groups_within_entries CHECK (groups_count <= entries),
    CONSTRAINT store_traffic_count_temperature_bounded CHECK (temperature_c BETWEEN -60 AND 60),
    CONSTRAINT store_traffic_count_each_quarter_hour
        CHECK (counted_at = date_bin('15 minutes', counted_at, TIMESTAMPTZ '2000-01-01 00:00+00'))
) PARTITION BY RANGE (counted_at);

COMMENT ON TABLE ret.store_traffic_count IS
    'Footfall per entrance and quarter hour from door counters; append only.';
COMMENT ON COLUMN ret.store_traffic_count.counted_at IS 'When the quarter hour began.';
COMMENT ON COLUMN ret.store_traffic_count.groups_count IS
    'Parties that came in together: they buy once, so conversion by group is the fairer one.';
COMMENT ON COLUMN ret.store_traffic_count.passers_by IS
    'Who walked by the window; entries of these is the pull of the window.';
COMMENT ON COLUMN ret.store_traffic_count.dwell_seconds_mean IS
    'How long those stayed who left in the quarter hour.';

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
    gross_sales          system_core.money      NOT NULL DEFAULT 0,
    discount_total       system_core.money      NOT NULL DEFAULT 0,
    returns_total        system_core.money      NOT NULL DEFAULT 0,
    net_sales            system_core.money      GENERATED ALWAYS AS (
                                                    gross_sales - discount_total - returns_total)
                                                    STORED,
    cost_of_goods        system_core.money      NOT NULL DEFAULT 0,
    margin_amount        system_core.money      GENERATED ALWAYS AS (
                                                    gross_sales - discount_total - returns_total -
                                                    cost_of_goods) STORED,
    tax_total            system_core.money      NOT NULL DEFAULT 0,
    order_count          integer                NOT NULL DEFAULT 0,
    units_sold           system_core.quantity   NOT NULL DEFAULT 0,
    average_basket       system_core.money      GENERATED ALWAYS AS (
                                                    round((gross_sales - discount_total) /
                                                    nullif(order_count, 0), 2)) STORED,
    traffic_count        integer                NOT NULL DEFAULT 0,
    conversion_pct       system_core.percentage GENERATED ALWAYS AS (
                                                    CASE WHEN traffic_count > 0 THEN least(
                                                        round(100.0 * order_count /
                                                        traffic_count, 4), 99999) END) STORED,
    comparable_net_sales system_core.money,
    computed_at          timestamptz            NOT NULL DEFAULT now(),
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, sales_day_summary_id),
    UNIQUE (business_id, location_id, sales_channel_id, business_date),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id),
    CONSTRAINT sales_day_summary_not_negative
        CHECK (gross_sales >= 0 AND discount_total >= 0 AND returns_total >= 0 AND tax_total >= 0
               AND order_count >= 0 AND units_sold >= 0 AND traffic_count >= 0),
    CONSTRAINT sales_day_summary_discount_within_gross CHECK (discount_total <= gross_sales)
);

COMMENT ON TABLE ret.sales_day_summary IS
    'A day of a location and channel: sales, margin, traffic, conversion; written by
     ret.summarize_sales().';
COMMENT ON COLUMN ret.sales_day_summary.location_id IS
    'The store that sold it; of what was shipped to a web shopper, the place that shipped it.';
COMMENT ON COLUMN ret.sales_day_summary.business_date IS 'The day in the time zone of the place.';
COMMENT ON COLUMN ret.sales_day_summary.gross_sales IS
    'Goods at the price they were offered at, without tax and before discounts; what was called
     off is not in it.';
COMMENT ON COLUMN ret.sales_day_summary.returns_total IS
    'What returns that were completed on the day were worth, whenever the goods were sold: a day
     may be below zero.';
COMMENT ON COLUMN ret.sales_day_summary.cost_of_goods IS
    'What the goods cost that were sold, less what came back and could be sold again.';
COMMENT ON COLUMN ret.sales_day_summary.tax_total IS 'Tax of the goods, in the price or on top.';
COMMENT ON COLUMN ret.sales_day_summary.traffic_count IS
    'Who came through the doors; 0 for channels without a door.';
COMMENT ON COLUMN ret.sales_day_summary.comparable_net_sales IS
    'Net sales 52 weeks before, on the same weekday; NULL where the books do not reach back.';

-- The sales of a period over all places.
CREATE INDEX sales_day_summary_date_idx ON ret.sales_day_summary (business_id, business_date);

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
    business_date        date                 NOT NULL,
    units_sold           system_core.quantity NOT NULL DEFAULT 0,
    units_returned       system_core.quantity NOT NULL DEFAULT 0,
    gross_sales          system_core.money    NOT NULL DEFAULT 0,
    discount_amount      system_core.money    NOT NULL DEFAULT 0,
    net_sales            system_core.money    NOT NULL DEFAULT 0,
    cost_of_goods        system_core.money    NOT NULL DEFAULT 0,
    markdown_amount      system_core.money    NOT NULL DEFAULT 0,
    promo_units          system_core.quantity NOT NULL DEFAULT 0,
    was_in_stock         boolean              GENERATED ALWAYS AS (hours_out_of_stock < 24) STORED,
    hours_out_of_stock   numeric(9, 2)        NOT NULL DEFAULT 0,
    lost_units_estimate  system_core.quantity NOT NULL DEFAULT 0,
    computed_at          timestamptz          NOT NULL DEFAULT now(),
    created_at           timestamptz          NOT NULL DEFAULT now(),
    updated_at           timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, variant_sales_day_id, business_date),
    UNIQUE (business_id, location_id, product_variant_id, business_date),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT variant_sales_day_hours_out_of_stock_bounded
        CHECK (hours_out_of_stock BETWEEN 0 AND 24),
    CONSTRAINT variant_sales_day_not_negative
        CHECK (units_sold >= 0 AND units_returned >= 0 AND gross_sales >= 0
               AND discount_amount >= 0 AND markdown_amount >= 0 AND promo_units >= 0
               AND lost_units_estimate >= 0),
    CONSTRAINT variant_sales_day_net_within_gross
        CHECK (net_sales <= gross_sales - discount_amount),
    CONSTRAINT variant_sales_day_promo_within_sold CHECK (promo_units <= units_sold),
    CONSTRAINT variant_sales_day_loses_only_when_out
        CHECK (hours_out_of_stock > 0 OR lost_units_estimate = 0)
) PARTITION BY RANGE (business_date);

COMMENT ON TABLE ret.variant_sales_day IS
    'Units and money of a variant per location and day, with lost sales; written by
     ret.summarize_variants().';
COMMENT ON COLUMN ret.variant_sales_day.net_sales IS
    'Gross less discounts and less what was given back for goods returned on the day.';
COMMENT ON COLUMN ret.variant_sales_day.markdown_amount IS
    'What the units sold would have brought more at their list price.';
COMMENT ON COLUMN ret.variant_sales_day.promo_units IS 'Units of lines that had a discount.';
COMMENT ON COLUMN ret.variant_sales_day.hours_out_of_stock IS
    'Hours of the day in which nothing of it could be sold there.';
COMMENT ON COLUMN ret.variant_sales_day.lost_units_estimate IS
    'What four weeks of demand say would have been sold in those hours.';

-- FK, product_listing_page: what a variant sold lately.
CREATE INDEX variant_sales_day_product_variant_idx
    ON ret.variant_sales_day (business_id, product_variant_id, business_date)
    INCLUDE (units_sold);

ALTER TABLE ret.variant_sales_day ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.variant_sales_day
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.variant_sales_day TO app_user;
GRANT SELECT ON ret.variant_sales_day TO app_readonly;

CREATE TRIGGER variant_sales_day_touch
    BEFORE UPDATE ON ret.variant_sales_day
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

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
    snapshot_date             date                   NOT NULL,
    on_hand_qty               system_core.quantity   NOT NULL,
    available_qty             system_core.quantity   NOT NULL,
    committed_qty             system_core.quantity   NOT NULL DEFAULT 0,
    in_transit_qty            system_core.quantity   NOT NULL DEFAULT 0,
    unit_cost                 system_core.unit_price NOT NULL,
    stock_value               system_core.money      GENERATED ALWAYS AS (
                                                         round(on_hand_qty * unit_cost, 2)) STORED,
    retail_value              system_core.money      NOT NULL DEFAULT 0,
    days_since_sale           integer,
    days_of_cover             system_core.quantity,
    age_days                  integer,
    created_at                timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inventory_day_snapshot_id, snapshot_date),
    UNIQUE (business_id, location_id, product_variant_id, snapshot_date),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT inventory_day_snapshot_not_negative
        CHECK (committed_qty >= 0 AND in_transit_qty >= 0 AND unit_cost >= 0
               AND days_since_sale >= 0 AND age_days >= 0),
    CONSTRAINT inventory_day_snapshot_promises_what_is_there
        CHECK (available_qty + committed_qty <= on_hand_qty)
) PARTITION BY RANGE (snapshot_date);

COMMENT ON TABLE ret.inventory_day_snapshot IS
    'Closing stock of a variant per location and day, for turn, aging and valuation; append
     only, written by ret.snapshot_inventory().';
COMMENT ON COLUMN ret.inventory_day_snapshot.on_hand_qty IS
    'The retailer''s own goods; what lies on consignment is not its stock.';
COMMENT ON COLUMN ret.inventory_day_snapshot.available_qty IS
    'What could be sold, before anything is kept back as safety stock.';
COMMENT ON COLUMN ret.inventory_day_snapshot.unit_cost IS
    'The moving average of the level when the snapshot was taken.';
COMMENT ON COLUMN ret.inventory_day_snapshot.days_since_sale IS 'NULL where it never sold there.';
COMMENT ON COLUMN ret.inventory_day_snapshot.days_of_cover IS
    'How long it lasts at the demand of four weeks; NULL where nothing sells.';
COMMENT ON COLUMN ret.inventory_day_snapshot.age_days IS
    'Since the oldest piece came in, if the first in is the first out; NULL where nothing is left.';

-- The stock of a day over all places.
CREATE INDEX inventory_day_snapshot_date_idx
    ON ret.inventory_day_snapshot (business_id, snapshot_date);

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
    forecast_qty       system_core.quantity   NOT NULL,
    low_qty            system_core.quantity   NOT NULL,
    high_qty           system_core.quantity   NOT NULL,
    baseline_qty       system_core.quantity   NOT NULL,
    promo_uplift_qty   system_core.quantity   NOT NULL DEFAULT 0,
    actual_qty         system_core.quantity,
    abs_pct_error      numeric(9, 4)          GENERATED ALWAYS AS (
                                                  CASE WHEN actual_qty > 0 THEN least(round(
                                                      abs(forecast_qty - actual_qty) / actual_qty
                                                      * 100, 4), 99999) END) STORED,
    bias_pct           system_core.percentage GENERATED ALWAYS AS (
                                                  CASE WHEN actual_qty > 0 THEN least(round(
                                                      (forecast_qty - actual_qty) / actual_qty
                                                      * 100, 4), 99999) END) STORED,
    drivers_doc        system_core.json_array NOT NULL DEFAULT '[]',
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, demand_forecast_id),
    UNIQUE (business_id, location_id, product_variant_id, week_start, model_name, run_at),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, promotion_id) REFERENCES ret.promotion (business_id, promotion_id),
    CONSTRAINT demand_forecast_low_qty_in_order CHECK (low_qty <= forecast_qty),
    CONSTRAINT demand_forecast_forecast_qty_in_order CHECK (forecast_qty <= high_qty),
    CONSTRAINT demand_forecast_not_negative
        CHECK (low_qty >= 0 AND baseline_qty >= 0 AND actual_qty >= 0),
    CONSTRAINT demand_forecast_adds_up CHECK (forecast_qty = baseline_qty + promo_uplift_qty),
    CONSTRAINT demand_forecast_uplift_has_promotion
        CHECK (promo_uplift_qty = 0 OR promotion_id IS NOT NULL),
    CONSTRAINT demand_forecast_week_starts_on_monday CHECK (extract(isodow FROM week_start) = 1)
);

COMMENT ON TABLE ret.demand_forecast IS
    'Forecast of a variant per location and week with interval and error; what came is written
     beside it when the week is over.';
COMMENT ON COLUMN ret.demand_forecast.low_qty IS
    'Nine weeks in ten end between low and high, if the model is right.';
COMMENT ON COLUMN ret.demand_forecast.actual_qty IS
    'What was sold in the week and what stock-outs lost: demand, not sales. NULL until it is over.';
COMMENT ON COLUMN ret.demand_forecast.bias_pct IS
    'Above zero where too much was expected; of a week in which nothing was asked for, none.';
COMMENT ON COLUMN ret.demand_forecast.drivers_doc IS
    'What the figure is made of: [{"driver": "trend", "detail": "4 weeks against 4", "effect_qty":
     1.5}].';

-- replenishment_worklist, record_demand: the forecasts of a week, the latest run first.
CREATE INDEX demand_forecast_week_idx
    ON ret.demand_forecast (business_id, week_start, run_at DESC);

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
    recency_days            integer           NOT NULL,
    frequency_count         integer           NOT NULL,
    monetary_total          system_core.money NOT NULL,
    r_score                 smallint          NOT NULL,
    f_score                 smallint          NOT NULL,
    m_score                 smallint          NOT NULL,
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
    CONSTRAINT rfm_snapshot_churn_probability_bounded CHECK (churn_probability BETWEEN 0 AND 1),
    CONSTRAINT rfm_snapshot_scores_bounded
        CHECK (r_score BETWEEN 1 AND 5 AND f_score BETWEEN 1 AND 5 AND m_score BETWEEN 1 AND 5),
    CONSTRAINT rfm_snapshot_not_negative
        CHECK (recency_days >= 0 AND frequency_count >= 1 AND predicted_ltv >= 0),
    CONSTRAINT rfm_snapshot_next_purchase_ahead CHECK (next_purchase_on >= as_of_date)
);

COMMENT ON TABLE ret.rfm_snapshot IS
    'Recency, frequency, money and value prediction of a customer; written by ret.compute_rfm().';
COMMENT ON COLUMN ret.rfm_snapshot.r_score IS 'Fifths of the customers of the day; 5 is best.';
COMMENT ON COLUMN ret.rfm_snapshot.monetary_total IS
    'Goods of the year before, less discounts and returns.';
COMMENT ON COLUMN ret.rfm_snapshot.churn_probability IS
    'The chance that he does not come back, by how long he stays away against how often he came.';
COMMENT ON COLUMN ret.rfm_snapshot.predicted_ltv IS 'Margin expected of him in the next year.';

-- The customers of a segment on a day, for campaigns.
CREATE INDEX rfm_snapshot_segment_idx
    ON ret.rfm_snapshot (business_id, as_of_date, rfm_segment);

ALTER TABLE ret.rfm_snapshot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.rfm_snapshot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.rfm_snapshot TO app_user;
GRANT SELECT ON ret.rfm_snapshot TO app_readonly;

CREATE TRIGGER rfm_snapshot_touch
    BEFORE UPDATE ON ret.rfm_snapshot
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.shrink_event (
    business_id         uuid                   NOT NULL,
    shrink_event_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    location_id         uuid                   NOT NULL,
    product_variant_id  uuid,
    stock_adjustment_id uuid,
    cycle_count_id      uuid,
    register_session_id uuid,
    case_number         text                   NOT NULL,
    cause               text                   NOT NULL,
    detected_by         text                   NOT NULL,
    detected_at         timestamptz            NOT NULL DEFAULT now(),
    units_lost          system_core.quantity   NOT NULL DEFAULT 0,
    cost_value          system_core.money      NOT NULL DEFAULT 0,
    retail_value        system_core.money      NOT NULL DEFAULT 0,
    recovered_value     system_core.money      NOT NULL DEFAULT 0,
    police_reference    text,
    evidence_doc        system_core.json_array NOT NULL DEFAULT '[]',
    state               text                   NOT NULL DEFAULT 'open',
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
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
    CONSTRAINT shrink_event_recovers_at_most_retail
        CHECK (recovered_value BETWEEN 0 AND retail_value),
    CONSTRAINT shrink_event_known_cause_has_source
        CHECK (cause = 'unknown'
               OR num_nonnulls(stock_adjustment_id, cycle_count_id, register_session_id) > 0),
    CONSTRAINT shrink_event_loses_something
        CHECK (units_lost >= 0 AND cost_value >= 0 AND units_lost + cost_value > 0),
    CONSTRAINT shrink_event_cash_is_not_goods
        CHECK (register_session_id IS NULL OR units_lost = 0),
    CONSTRAINT shrink_event_theft_closes_with_evidence
        CHECK (state <> 'closed' OR cause NOT IN ('internal_theft', 'organised_crime')
               OR jsonb_array_length(evidence_doc) > 0)
);

COMMENT ON TABLE ret.shrink_event IS
    'Known or estimated loss by cause, with case and recovery; ret.open_shrink_cases() opens one
     for each document that lost something.';
COMMENT ON COLUMN ret.shrink_event.product_variant_id IS
    'Where all that was lost is of one variant; a count or adjustment may lose several.';
COMMENT ON COLUMN ret.shrink_event.register_session_id IS
    'A drawer that came up short: money is lost, no units.';
COMMENT ON COLUMN ret.shrink_event.recovered_value IS
    'Goods at retail or money that came back: restitution, insurance, pieces found.';
COMMENT ON COLUMN ret.shrink_event.evidence_doc IS
    'Cameras, exceptions and witnesses: [{"kind": "cctv", "reference": "cam 4", "note": "..."}].
     Nobody is accused of theft without any.';

-- A document is a case once for each cause, however often losses are looked for.
CREATE UNIQUE INDEX shrink_event_source_idx
    ON ret.shrink_event (business_id, stock_adjustment_id, cycle_count_id, register_session_id,
                         cause) NULLS NOT DISTINCT
    WHERE num_nonnulls(stock_adjustment_id, cycle_count_id, register_session_id) > 0;

-- FK: what a location lost, the newest first.
CREATE INDEX shrink_event_location_idx
    ON ret.shrink_event (business_id, location_id, detected_at DESC);

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

CREATE TRIGGER shrink_event_number
    BEFORE INSERT ON ret.shrink_event
    FOR EACH ROW WHEN (NEW.case_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'case_number', 'ret.shrink_event', 'SH-', 'shrink_event_id');

CREATE TRIGGER shrink_event_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.shrink_event
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open"],
        "transitions": {
            "open":          ["investigating", "closed"],
            "investigating": ["closed"],
            "closed":        ["investigating"]
        }}');

CREATE FUNCTION ret.match_shrink_source() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    elsewhere text;
BEGIN
    SELECT n.document INTO elsewhere
    FROM (
        SELECT 'adjustment ' || a.adjustment_number AS document, a.location_id
        FROM ret.stock_adjustment AS a
        WHERE a.business_id = NEW.business_id AND a.stock_adjustment_id = NEW.stock_adjustment_id
        UNION ALL
        SELECT 'count ' || c.count_number, c.location_id
        FROM ret.cycle_count AS c
        WHERE c.business_id = NEW.business_id AND c.cycle_count_id = NEW.cycle_count_id
        UNION ALL
        SELECT 'session ' || s.session_number, r.location_id
        FROM ret.register_session AS s
        JOIN ret.register AS r
            ON r.business_id = s.business_id AND r.register_id = s.register_id
        WHERE s.business_id = NEW.business_id AND s.register_session_id = NEW.register_session_id
    ) AS n
    WHERE n.location_id <> NEW.location_id
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% is of another location', elsewhere
            USING ERRCODE = 'check_violation', HINT = 'A case is of the place that lost it.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.match_shrink_source() IS
    'What a case refers to happened at its location.';

CREATE TRIGGER shrink_event_source_matches
    BEFORE INSERT OR UPDATE OF location_id, stock_adjustment_id, cycle_count_id,
                               register_session_id ON ret.shrink_event
    FOR EACH ROW EXECUTE FUNCTION ret.match_shrink_source();

CREATE FUNCTION ret.freeze_shrink_case() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'case % is closed, what it lost stands', OLD.case_number
            USING ERRCODE = 'check_violation', HINT = 'Take up the investigation again first.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.freeze_shrink_case() IS
    'What an insurer or the police were told does not change behind their backs; what is recovered
     later is still noted.';

CREATE TRIGGER shrink_event_frozen
    BEFORE UPDATE ON ret.shrink_event
    FOR EACH ROW WHEN (OLD.state = 'closed'
        AND (NEW.cause, NEW.units_lost, NEW.cost_value, NEW.retail_value)
            IS DISTINCT FROM (OLD.cause, OLD.units_lost, OLD.cost_value, OLD.retail_value))
    EXECUTE FUNCTION ret.freeze_shrink_case();


CREATE TABLE ret.basket_affinity (
    business_id        uuid           NOT NULL,
    basket_affinity_id uuid           NOT NULL DEFAULT system_core.uuid_v7(),
    left_product_id    uuid           NOT NULL,
    right_product_id   uuid           NOT NULL,
    sales_channel_id   uuid,
    window_start       date           NOT NULL,
    window_end         date           NOT NULL,
    basket_count       integer        NOT NULL,
    pair_count         integer        NOT NULL,
    support            numeric(9, 6)  GENERATED ALWAYS AS (
                                          round(pair_count::numeric / basket_count, 6)) STORED,
    confidence         numeric(9, 6)  NOT NULL,
    lift               numeric(12, 6) NOT NULL,
    computed_at        timestamptz    NOT NULL DEFAULT now(),
    created_at         timestamptz    NOT NULL DEFAULT now(),
    updated_at         timestamptz    NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, basket_affinity_id),
    UNIQUE NULLS NOT DISTINCT (business_id, left_product_id, right_product_id,
            sales_channel_id, window_end),
    FOREIGN KEY (business_id, left_product_id) REFERENCES ret.product (business_id, product_id),
    FOREIGN KEY (business_id, right_product_id) REFERENCES ret.product (business_id, product_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id),
    CONSTRAINT basket_affinity_pair_is_in_order CHECK (left_product_id < right_product_id),
    CONSTRAINT basket_affinity_lift_positive CHECK (lift > 0),
    CONSTRAINT basket_affinity_confidence_bounded CHECK (confidence > 0 AND confidence <= 1),
    CONSTRAINT basket_affinity_pairs_within_baskets CHECK (pair_count BETWEEN 1 AND basket_count),
    CONSTRAINT basket_affinity_window_in_order CHECK (window_end > window_start)
);

COMMENT ON TABLE ret.basket_affinity IS
    'Pair of products bought together with support, confidence and lift; a pair stands once, in the
     order of the keys. Written by ret.compute_affinity().';
COMMENT ON COLUMN ret.basket_affinity.sales_channel_id IS 'NULL: baskets of all channels.';
COMMENT ON COLUMN ret.basket_affinity.window_end IS 'The first day that no longer counts.';
COMMENT ON COLUMN ret.basket_affinity.basket_count IS 'All baskets of the window, of whatever.';
COMMENT ON COLUMN ret.basket_affinity.support IS 'Share of all baskets that hold both.';
COMMENT ON COLUMN ret.basket_affinity.confidence IS
    'Of the baskets with the one that is bought less, the share that holds the other, too.';
COMMENT ON COLUMN ret.basket_affinity.lift IS
    'How many times more often they meet than if nobody bought the one for the other.';

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
    planned_sales       system_core.money      NOT NULL,
    planned_margin_pct  system_core.percentage,
    planned_markdown    system_core.money      NOT NULL DEFAULT 0,
    opening_stock_plan  system_core.money      NOT NULL,
    closing_stock_plan  system_core.money      NOT NULL,
    planned_receipts    system_core.money      GENERATED ALWAYS AS (
                                                   planned_sales + planned_markdown +
                                                   closing_stock_plan - opening_stock_plan) STORED,
    on_order_receipts   system_core.money      NOT NULL DEFAULT 0,
    open_to_buy         system_core.money      GENERATED ALWAYS AS (
                                                   planned_sales + planned_markdown +
                                                   closing_stock_plan - opening_stock_plan -
                                                   on_order_receipts) STORED,
    actual_sales        system_core.money,
    actual_receipts     system_core.money,
    sell_through_pct    system_core.percentage GENERATED ALWAYS AS (
                                                   CASE WHEN opening_stock_plan +
                                                             actual_receipts > 0
                                                   THEN least(round(actual_sales * 100 /
                                                            (opening_stock_plan +
                                                             actual_receipts), 4), 99999) END)
                                                   STORED,
    weeks_of_supply     system_core.quantity   GENERATED ALWAYS AS (
                                                   round(closing_stock_plan * 52 / 12 /
                                                         nullif(planned_sales, 0), 4)) STORED,
    state               text                   NOT NULL DEFAULT 'draft',
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, merchandise_plan_id),
    UNIQUE NULLS NOT DISTINCT (business_id, category_id, location_id, plan_month, version_no),
    FOREIGN KEY (business_id, planner_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, category_id) REFERENCES ret.category (business_id, category_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT merchandise_plan_state_known CHECK (state IN ('draft', 'approved', 'locked')),
    CONSTRAINT merchandise_plan_month_starts_on_first CHECK (extract(day FROM plan_month) = 1),
    CONSTRAINT merchandise_plan_version_positive CHECK (version_no >= 1),
    CONSTRAINT merchandise_plan_not_negative
        CHECK (planned_sales >= 0 AND planned_markdown >= 0 AND opening_stock_plan >= 0
               AND closing_stock_plan >= 0 AND on_order_receipts >= 0 AND actual_receipts >= 0),
    CONSTRAINT merchandise_plan_margin_bounded CHECK (planned_margin_pct BETWEEN 0 AND 100),
    CONSTRAINT merchandise_plan_approved_has_planner
        CHECK (state = 'draft' OR planner_user_id IS NOT NULL)
);

COMMENT ON TABLE ret.merchandise_plan IS
    'Open-to-buy plan of a category, location and month against actuals; all money at retail
     prices. ret.refresh_plans() writes what is on order and what came.';
COMMENT ON COLUMN ret.merchandise_plan.location_id IS 'NULL: the whole company.';
COMMENT ON COLUMN ret.merchandise_plan.version_no IS
    'A plan is revised by another version; one of a month is in force.';
COMMENT ON COLUMN ret.merchandise_plan.planned_receipts IS
    'What has to come in so that sales and markdowns are covered and the closing stock is there.';
COMMENT ON COLUMN ret.merchandise_plan.on_order_receipts IS
    'What orders to suppliers bring in the month: received already or still to come.';
COMMENT ON COLUMN ret.merchandise_plan.open_to_buy IS
    'What the buyer may still order for the month; below zero he has overbought.';
COMMENT ON COLUMN ret.merchandise_plan.sell_through_pct IS
    'Of what there was to sell, opening stock and receipts, the share that was sold.';
COMMENT ON COLUMN ret.merchandise_plan.weeks_of_supply IS
    'How long the closing stock lasts at the sales of the month.';

-- One plan of a month is in force.
CREATE UNIQUE INDEX merchandise_plan_in_force_idx
    ON ret.merchandise_plan (business_id, category_id, location_id, plan_month)
    NULLS NOT DISTINCT
    WHERE state IN ('approved', 'locked');

-- refresh_plans: the plans of a month.
CREATE INDEX merchandise_plan_month_idx ON ret.merchandise_plan (business_id, plan_month);

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

CREATE TRIGGER merchandise_plan_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.merchandise_plan
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft"],
        "transitions": {
            "draft":    ["approved"],
            "approved": ["draft", "locked"],
            "locked":   []
        }}');

CREATE FUNCTION ret.freeze_plan() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'version % of the plan is %, its figures stand', OLD.version_no, OLD.state
            USING ERRCODE = 'check_violation', HINT = 'Plan anew in another version.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.freeze_plan() IS
    'What was approved is measured by what it said; only orders and actuals move on.';

CREATE TRIGGER merchandise_plan_frozen
    BEFORE UPDATE ON ret.merchandise_plan
    FOR EACH ROW WHEN (OLD.state <> 'draft'
        AND (NEW.category_id, NEW.location_id, NEW.plan_month, NEW.version_no, NEW.planned_sales,
             NEW.planned_margin_pct, NEW.planned_markdown, NEW.opening_stock_plan,
             NEW.closing_stock_plan)
            IS DISTINCT FROM (OLD.category_id, OLD.location_id, OLD.plan_month, OLD.version_no,
                              OLD.planned_sales, OLD.planned_margin_pct, OLD.planned_markdown,
                              OLD.opening_stock_plan, OLD.closing_stock_plan))
    EXECUTE FUNCTION ret.freeze_plan();
