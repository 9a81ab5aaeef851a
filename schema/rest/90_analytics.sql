/*
 * Analytics: what a manager reads, computed from orders, checks, payments, drawers and stock.
 *
 * sales_day_summary and item_sales_day sum a trading day by channel, brand and item; they are
 * computed anew by summarize_day(), and sales_summary_differences() names the days that no longer
 * agree with their checks. sales_forecast holds what was expected of an hour beside what came.
 * food_cost_variance compares what was used with what was sold; guest_rfm_snapshot ranks guests by
 * recency, frequency and money; loss_prevention_alert points at what is unlike everybody else.
 */

CREATE TABLE rest.sales_forecast (
    business_id             uuid              NOT NULL,
    sales_forecast_id       uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    location_id             uuid              NOT NULL,
    virtual_brand_id        uuid,
    slot_starts_at          timestamptz       NOT NULL,
    slot_minutes            integer           NOT NULL DEFAULT 60,
    model_name              text              NOT NULL,
    forecast_covers         integer           NOT NULL,
    forecast_sales          system_core.money NOT NULL,
    low_sales               system_core.money NOT NULL,
    high_sales              system_core.money NOT NULL,
    actual_covers           integer,
    actual_sales            system_core.money,
    abs_pct_error           numeric(9, 4)     GENERATED ALWAYS AS (
                                                  CASE WHEN actual_sales > 0 THEN least(
                                                      99999, round(abs(
                                                          actual_sales - forecast_sales)
                                                      / actual_sales * 100, 4)) END) STORED,
    recommended_staff_hours numeric(9, 2),
    drivers_doc             jsonb             NOT NULL DEFAULT '[]',
    generated_at            timestamptz       NOT NULL DEFAULT now(),
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, sales_forecast_id),
    UNIQUE NULLS NOT DISTINCT (business_id, location_id, virtual_brand_id, slot_starts_at,
            model_name),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, virtual_brand_id)
        REFERENCES rest.virtual_brand (business_id, virtual_brand_id),
    CONSTRAINT sales_forecast_low_sales_in_order CHECK (low_sales <= forecast_sales),
    CONSTRAINT sales_forecast_forecast_sales_in_order CHECK (forecast_sales <= high_sales),
    CONSTRAINT sales_forecast_not_negative
        CHECK (low_sales >= 0 AND forecast_covers >= 0 AND actual_covers >= 0
               AND recommended_staff_hours >= 0),
    CONSTRAINT sales_forecast_slot_bounded CHECK (slot_minutes BETWEEN 15 AND 1440),
    CONSTRAINT sales_forecast_drivers_are_a_list CHECK (jsonb_typeof(drivers_doc) = 'array')
);

COMMENT ON TABLE rest.sales_forecast IS
    'Forecast of covers and sales per hour, with the actual beside it.';

COMMENT ON COLUMN rest.sales_forecast.drivers_doc IS
    'What moves the hour: [{"driver": "weather", "detail": "rain", "effect_pct": -8}].';
COMMENT ON COLUMN rest.sales_forecast.abs_pct_error IS
    'Of what came; NULL where nothing came, or not yet.';

-- FK: the sales forecasts of a virtual brand.
CREATE INDEX sales_forecast_virtual_brand_idx
    ON rest.sales_forecast (business_id, virtual_brand_id)
    WHERE virtual_brand_id IS NOT NULL;

ALTER TABLE rest.sales_forecast ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.sales_forecast
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.sales_forecast TO app_user;
GRANT SELECT ON rest.sales_forecast TO app_readonly;

CREATE TRIGGER sales_forecast_touch
    BEFORE UPDATE ON rest.sales_forecast
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.sales_day_summary (
    business_id          uuid                   NOT NULL,
    sales_day_summary_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    location_id          uuid                   NOT NULL,
    sales_channel_id     uuid                   NOT NULL,
    virtual_brand_id     uuid,
    business_date        date                   NOT NULL,
    gross_sales          system_core.money      NOT NULL DEFAULT 0,
    net_sales            system_core.money      GENERATED ALWAYS AS (
                                                    gross_sales - discount_total - void_total)
                                                    STORED,
    discount_total       system_core.money      NOT NULL DEFAULT 0,
    void_total           system_core.money      NOT NULL DEFAULT 0,
    tax_total            system_core.money      NOT NULL DEFAULT 0,
    tip_total            system_core.money      NOT NULL DEFAULT 0,
    order_count          integer                NOT NULL DEFAULT 0,
    cover_count          integer                NOT NULL DEFAULT 0,
    average_check        system_core.money,
    food_cost            system_core.money,
    labour_cost          system_core.money,
    labour_hours         numeric(9, 2),
    commission_cost      system_core.money,
    prime_cost_pct       system_core.percentage,
    computed_at          timestamptz            NOT NULL DEFAULT now(),
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, sales_day_summary_id),
    UNIQUE NULLS NOT DISTINCT (business_id, location_id, sales_channel_id,
            virtual_brand_id, business_date),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES rest.sales_channel (business_id, sales_channel_id),
    FOREIGN KEY (business_id, virtual_brand_id)
        REFERENCES rest.virtual_brand (business_id, virtual_brand_id),
    CONSTRAINT sales_day_summary_not_negative
        CHECK (gross_sales >= 0 AND discount_total >= 0 AND void_total >= 0 AND tax_total >= 0
               AND tip_total >= 0 AND order_count >= 0 AND cover_count >= 0
               AND labour_hours >= 0)
);

COMMENT ON TABLE rest.sales_day_summary IS
    'A day of a site by brand and channel: sales, prime cost, checks, covers.';
COMMENT ON COLUMN rest.sales_day_summary.gross_sales IS 'Every line rung up, voided ones too.';
COMMENT ON COLUMN rest.sales_day_summary.labour_cost IS
    'The row''s part of the wages of the site''s day, in proportion to net sales.';
COMMENT ON COLUMN rest.sales_day_summary.food_cost IS
    'What the sales should have cost at the target of the brand; see food_cost_variance.';

-- FK: the sales day summaries of a sales channel.
CREATE INDEX sales_day_summary_sales_channel_idx
    ON rest.sales_day_summary (business_id, sales_channel_id);

-- FK: the sales day summaries of a virtual brand.
CREATE INDEX sales_day_summary_virtual_brand_idx
    ON rest.sales_day_summary (business_id, virtual_brand_id)
    WHERE virtual_brand_id IS NOT NULL;

ALTER TABLE rest.sales_day_summary ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.sales_day_summary
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.sales_day_summary TO app_user;
GRANT SELECT ON rest.sales_day_summary TO app_readonly;

CREATE TRIGGER sales_day_summary_touch
    BEFORE UPDATE ON rest.sales_day_summary
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.item_sales_day (
    business_id          uuid                   NOT NULL,
    item_sales_day_id    uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    location_id          uuid                   NOT NULL,
    menu_item_id         uuid                   NOT NULL,
    sales_channel_id     uuid                   NOT NULL,
    business_date        date                   NOT NULL,
    quantity_sold        system_core.quantity   NOT NULL DEFAULT 0,
    gross_sales          system_core.money      NOT NULL DEFAULT 0,
    discount_amount      system_core.money      NOT NULL DEFAULT 0,
    net_sales            system_core.money      NOT NULL DEFAULT 0,
    void_quantity        system_core.quantity   NOT NULL DEFAULT 0,
    remake_quantity      system_core.quantity   NOT NULL DEFAULT 0,
    theoretical_cost     system_core.money      NOT NULL DEFAULT 0,
    margin_amount        system_core.money      GENERATED ALWAYS AS (
                                                    net_sales - theoretical_cost) STORED,
    menu_mix_pct         system_core.percentage,
    average_make_seconds integer,
    menu_class           text                   NOT NULL,
    computed_at          timestamptz            NOT NULL DEFAULT now(),
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, item_sales_day_id),
    UNIQUE (business_id, location_id, menu_item_id, sales_channel_id, business_date),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES rest.sales_channel (business_id, sales_channel_id),
    CONSTRAINT item_sales_day_menu_class_known
        CHECK (menu_class IN ('star', 'plowhorse', 'puzzle', 'dog')),
    CONSTRAINT item_sales_day_net_is_gross_less_discount
        CHECK (net_sales = gross_sales - discount_amount),
    CONSTRAINT item_sales_day_not_negative
        CHECK (quantity_sold >= 0 AND void_quantity >= 0 AND remake_quantity >= 0
               AND theoretical_cost >= 0),
    CONSTRAINT item_sales_day_mix_bounded CHECK (menu_mix_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE rest.item_sales_day IS
    'Product mix: what sold, at what margin, and its menu-engineering class.';

COMMENT ON COLUMN rest.item_sales_day.menu_class IS
    'star sells and earns, plowhorse sells, puzzle earns, dog does neither.';

-- FK: the item sales days of a menu item.
CREATE INDEX item_sales_day_menu_item_idx ON rest.item_sales_day (business_id, menu_item_id);

-- FK: the item sales days of a sales channel.
CREATE INDEX item_sales_day_sales_channel_idx
    ON rest.item_sales_day (business_id, sales_channel_id);

ALTER TABLE rest.item_sales_day ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.item_sales_day
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.item_sales_day TO app_user;
GRANT SELECT ON rest.item_sales_day TO app_readonly;

CREATE TRIGGER item_sales_day_touch
    BEFORE UPDATE ON rest.item_sales_day
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.food_cost_variance (
    business_id           uuid                   NOT NULL,
    food_cost_variance_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    location_id           uuid                   NOT NULL,
    inventory_item_id     uuid                   NOT NULL,
    period_start          date                   NOT NULL,
    period_end            date                   NOT NULL,
    opening_value         system_core.money,
    purchases_value       system_core.money,
    closing_value         system_core.money,
    actual_usage_qty      system_core.quantity,
    theoretical_usage_qty system_core.quantity,
    waste_qty             system_core.quantity,
    variance_qty          system_core.quantity   GENERATED ALWAYS AS (
                                                     actual_usage_qty - theoretical_usage_qty)
                                                     STORED,
    variance_value        system_core.money,
    unexplained_value     system_core.money,
    actual_cost_pct       system_core.percentage,
    theoretical_cost_pct  system_core.percentage,
    computed_at           timestamptz            NOT NULL DEFAULT now(),
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, food_cost_variance_id),
    UNIQUE (business_id, location_id, inventory_item_id, period_start, period_end),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    CONSTRAINT food_cost_variance_period_end_follows_period_start
        CHECK (period_end > period_start)
);

COMMENT ON TABLE rest.food_cost_variance IS
    'Theoretical against actual use of an item between two counts.';

-- FK: the food cost variances of an item.
CREATE INDEX food_cost_variance_inventory_item_idx
    ON rest.food_cost_variance (business_id, inventory_item_id);

ALTER TABLE rest.food_cost_variance ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.food_cost_variance
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.food_cost_variance TO app_user;
GRANT SELECT ON rest.food_cost_variance TO app_readonly;

CREATE TRIGGER food_cost_variance_touch
    BEFORE UPDATE ON rest.food_cost_variance
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.guest_rfm_snapshot (
    business_id             uuid              NOT NULL,
    guest_rfm_snapshot_id   uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    guest_profile_id        uuid              NOT NULL,
    as_of_date              date              NOT NULL,
    recency_days            integer           NOT NULL,
    frequency_count         integer           NOT NULL DEFAULT 0,
    monetary_total          system_core.money NOT NULL DEFAULT 0,
    r_score                 smallint          NOT NULL,
    f_score                 smallint          NOT NULL,
    m_score                 smallint          NOT NULL,
    rfm_segment             text              NOT NULL,
    churn_probability       numeric(9, 4),
    predicted_next_visit_on date,
    computed_at             timestamptz       NOT NULL DEFAULT now(),
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, guest_rfm_snapshot_id),
    UNIQUE (business_id, guest_profile_id, as_of_date),
    FOREIGN KEY (business_id, guest_profile_id)
        REFERENCES rest.guest_profile (business_id, guest_profile_id),
    CONSTRAINT guest_rfm_snapshot_rfm_segment_known
        CHECK (rfm_segment IN ('champion', 'loyal', 'promising', 'new', 'at_risk', 'hibernating',
                               'lost')),
    CONSTRAINT guest_rfm_snapshot_churn_probability_bounded
        CHECK (churn_probability BETWEEN 0 AND 1),
    CONSTRAINT guest_rfm_snapshot_scores_bounded
        CHECK (r_score BETWEEN 1 AND 5 AND f_score BETWEEN 1 AND 5 AND m_score BETWEEN 1 AND 5),
    CONSTRAINT guest_rfm_snapshot_not_negative
        CHECK (recency_days >= 0 AND frequency_count >= 0 AND monetary_total >= 0),
    CONSTRAINT guest_rfm_snapshot_next_visit_ahead CHECK (predicted_next_visit_on >= as_of_date)
);

COMMENT ON TABLE rest.guest_rfm_snapshot IS
    'Recency, frequency and money of a guest with churn risk.';

ALTER TABLE rest.guest_rfm_snapshot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.guest_rfm_snapshot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.guest_rfm_snapshot TO app_user;
GRANT SELECT ON rest.guest_rfm_snapshot TO app_readonly;

CREATE TRIGGER guest_rfm_snapshot_touch
    BEFORE UPDATE ON rest.guest_rfm_snapshot
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.loss_prevention_alert (
    business_id              uuid                 NOT NULL,
    loss_prevention_alert_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    location_id              uuid                 NOT NULL,
    staff_member_id          uuid,
    guest_check_id           uuid,
    business_day_id          uuid,
    alert_kind               text                 NOT NULL,
    detected_at              timestamptz          NOT NULL DEFAULT now(),
    window_start_at          timestamptz          NOT NULL,
    window_end_at            timestamptz          NOT NULL,
    metric_value             system_core.quantity,
    baseline_value           system_core.quantity,
    z_score                  numeric(9, 4),
    severity                 text                 NOT NULL,
    evidence_doc             jsonb                NOT NULL DEFAULT '{}',
    state                    text                 NOT NULL DEFAULT 'open',
    reviewed_at              timestamptz,
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, loss_prevention_alert_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, staff_member_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, guest_check_id)
        REFERENCES rest.guest_check (business_id, guest_check_id),
    FOREIGN KEY (business_id, business_day_id)
        REFERENCES rest.business_day (business_id, business_day_id),
    CONSTRAINT loss_prevention_alert_kind_known
        CHECK (alert_kind IN ('void_rate', 'comp_rate', 'no_sale_spike', 'refund_no_receipt',
                              'cash_short', 'discount_abuse', 'reopened_check', 'tip_edit')),
    CONSTRAINT loss_prevention_alert_severity_known CHECK (severity IN ('low', 'medium', 'high')),
    CONSTRAINT loss_prevention_alert_state_known
        CHECK (state IN ('open', 'reviewing', 'confirmed', 'dismissed')),
    CONSTRAINT loss_prevention_alert_window_end_at_follows_window_start_at
        CHECK (window_end_at > window_start_at),
    CONSTRAINT loss_prevention_alert_reviewed_at_when
        CHECK (reviewed_at IS NOT NULL OR state = 'open')
);

COMMENT ON TABLE rest.loss_prevention_alert IS
    'Unusual voids, comps, no-sales, refunds or tip edits of a person or drawer.';

COMMENT ON COLUMN rest.loss_prevention_alert.evidence_doc IS
    'Checks, drawers and counts behind the alert, as find_losses() saw them.';

-- The same finding is one alert however often it is looked for; also the FK of a location.
CREATE UNIQUE INDEX loss_prevention_alert_finding_idx
    ON rest.loss_prevention_alert (business_id, location_id, alert_kind, staff_member_id,
                                   business_day_id, guest_check_id, window_start_at,
                                   window_end_at) NULLS NOT DISTINCT;

-- FK: the loss prevention alerts of a staff member.
CREATE INDEX loss_prevention_alert_staff_member_idx
    ON rest.loss_prevention_alert (business_id, staff_member_id)
    WHERE staff_member_id IS NOT NULL;

-- FK: the loss prevention alerts of a guest check.
CREATE INDEX loss_prevention_alert_guest_check_idx
    ON rest.loss_prevention_alert (business_id, guest_check_id)
    WHERE guest_check_id IS NOT NULL;

-- FK: the loss prevention alerts of a business day.
CREATE INDEX loss_prevention_alert_business_day_idx
    ON rest.loss_prevention_alert (business_id, business_day_id)
    WHERE business_day_id IS NOT NULL;

ALTER TABLE rest.loss_prevention_alert ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.loss_prevention_alert
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.loss_prevention_alert TO app_user;
GRANT SELECT ON rest.loss_prevention_alert TO app_readonly;

CREATE TRIGGER loss_prevention_alert_touch
    BEFORE UPDATE ON rest.loss_prevention_alert
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER loss_prevention_alert_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.loss_prevention_alert
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open"],
        "transitions": {
            "open":      ["reviewing", "dismissed"],
            "reviewing": ["confirmed", "dismissed"],
            "confirmed": [],
            "dismissed": []
        }}');


CREATE FUNCTION rest.day_figures(days uuid[])
    RETURNS TABLE (
        business_day_id  uuid,
        sales_channel_id uuid,
        virtual_brand_id uuid,
        gross            numeric,
        discounts        numeric,
        voids            numeric,
        taxes            numeric,
        tips             numeric,
        orders           integer,
        covers           integer,
        checks           integer
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH line AS (
        SELECT i.guest_check_id, sum(i.gross_amount) AS gross,
               sum(i.gross_amount) FILTER (WHERE i.state = 'voided') AS voids
        FROM rest.guest_order AS o
        JOIN rest.guest_check AS c
            ON c.business_id = o.business_id AND c.guest_order_id = o.guest_order_id
        JOIN rest.check_item AS i
            ON i.business_id = c.business_id AND i.guest_check_id = c.guest_check_id
        WHERE o.business_id = tenant_mgmt.current_business_id()
          AND o.business_day_id = ANY (days)
        GROUP BY i.guest_check_id
    ), bill AS (
        -- Of a voided check every line is lost, and nothing else counts.
        SELECT c.guest_order_id, sum(l.gross) AS gross,
               sum(CASE WHEN c.state = 'voided' THEN l.gross ELSE l.voids END) AS voids,
               sum(c.discount_total) FILTER (WHERE c.state <> 'voided') AS discounts,
               sum(c.tax_total) FILTER (WHERE c.state <> 'voided') AS taxes,
               sum(c.tip_total) FILTER (WHERE c.state <> 'voided') AS tips,
               count(*) FILTER (WHERE c.state <> 'voided') AS checks
        FROM rest.guest_order AS o
        JOIN rest.guest_check AS c
            ON c.business_id = o.business_id AND c.guest_order_id = o.guest_order_id
        LEFT JOIN line AS l ON l.guest_check_id = c.guest_check_id
        WHERE o.business_id = tenant_mgmt.current_business_id()
          AND o.business_day_id = ANY (days)
        GROUP BY c.guest_order_id
    )
    SELECT o.business_day_id, o.sales_channel_id, o.virtual_brand_id, coalesce(sum(b.gross), 0),
           coalesce(sum(b.discounts), 0), coalesce(sum(b.voids), 0), coalesce(sum(b.taxes), 0),
           coalesce(sum(b.tips), 0),
           (count(*) FILTER (WHERE o.state NOT IN ('cancelled', 'voided')))::integer,
           coalesce(sum(o.guest_count) FILTER (WHERE o.state NOT IN ('cancelled', 'voided')),
                    0)::integer,
           coalesce(sum(b.checks), 0)::integer
    FROM rest.guest_order AS o
    LEFT JOIN bill AS b ON b.guest_order_id = o.guest_order_id
    WHERE o.business_id = tenant_mgmt.current_business_id() AND o.business_day_id = ANY (days)
      AND o.state NOT IN ('draft', 'scheduled')
    GROUP BY o.business_day_id, o.sales_channel_id, o.virtual_brand_id;
END;
COMMENT ON FUNCTION rest.day_figures(uuid[]) IS
    'What the orders and checks of trading days add up to, by channel and brand.';


CREATE FUNCTION rest.summarize_days(days uuid[]) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   integer;
BEGIN
    -- Two who summarize the same day follow each other.
    PERFORM FROM rest.business_day AS d
    WHERE d.business_id = tenant AND d.business_day_id = ANY (days)
    ORDER BY d.business_day_id
    FOR NO KEY UPDATE;
    DELETE FROM rest.sales_day_summary AS s
    USING rest.business_day AS d
    WHERE s.business_id = tenant AND d.business_id = tenant
      AND d.business_day_id = ANY (days)
      AND s.location_id = d.location_id AND s.business_date = d.business_date;
    DELETE FROM rest.item_sales_day AS s
    USING rest.business_day AS d
    WHERE s.business_id = tenant AND d.business_id = tenant
      AND d.business_day_id = ANY (days)
      AND s.location_id = d.location_id AND s.business_date = d.business_date;
    WITH figure AS (
        SELECT d.location_id, d.business_date, f.*, f.gross - f.discounts - f.voids AS net,
               sum(f.gross - f.discounts - f.voids) OVER (PARTITION BY f.business_day_id) AS whole,
               coalesce(b.target_food_cost_pct, 30) AS food_pct, h.default_commission_pct
        FROM rest.day_figures(days) AS f
        JOIN rest.business_day AS d
            ON d.business_id = tenant AND d.business_day_id = f.business_day_id
        JOIN rest.sales_channel AS h
            ON h.business_id = tenant AND h.sales_channel_id = f.sales_channel_id
        LEFT JOIN rest.virtual_brand AS b
            ON b.business_id = tenant AND b.virtual_brand_id = f.virtual_brand_id
    ), labor AS (
        SELECT t.location_id, t.business_date, sum(t.regular_hours + t.overtime_hours) AS hours,
               -- An hour of overtime is paid as one and a half.
               sum((t.regular_hours + t.overtime_hours * 1.5) * t.hourly_rate) AS cost
        FROM rest.time_entry AS t
        WHERE t.business_id = tenant
        GROUP BY t.location_id, t.business_date
    )
    INSERT INTO rest.sales_day_summary
        (business_id, sales_day_summary_id, location_id, sales_channel_id, virtual_brand_id,
         business_date, gross_sales, discount_total, void_total, tax_total, tip_total, order_count,
         cover_count, average_check, food_cost, labour_cost, labour_hours, commission_cost,
         prime_cost_pct)
    SELECT tenant,
           md5(concat_ws(' ', 'day', f.business_day_id, f.sales_channel_id,
                         f.virtual_brand_id))::uuid,
           f.location_id, f.sales_channel_id, f.virtual_brand_id, f.business_date, f.gross,
           f.discounts, f.voids, f.taxes, f.tips, f.orders, f.covers,
           round(f.net / nullif(f.checks, 0), 2), c.food, c.labor,
           round(coalesce(l.hours, 0) * f.net / nullif(f.whole, 0), 2),
           round(f.net * f.default_commission_pct / 100, 2),
           CASE WHEN f.net > 0 THEN least(99999, round((c.food + c.labor) / f.net * 100, 4)) END
    FROM figure AS f
    LEFT JOIN labor AS l
        ON l.location_id = f.location_id AND l.business_date = f.business_date
    CROSS JOIN LATERAL (
        SELECT round(f.net * f.food_pct / 100, 2) AS food,
               round(coalesce(l.cost, 0) * f.net / nullif(f.whole, 0), 2) AS labor
    ) AS c;
    GET DIAGNOSTICS made = ROW_COUNT;
    WITH sold AS (
        SELECT o.business_day_id, d.location_id, d.business_date, i.menu_item_id,
               o.sales_channel_id, coalesce(b.target_food_cost_pct, 30) AS food_pct,
               coalesce(sum(i.quantity) FILTER (WHERE v.live), 0) AS quantity,
               coalesce(sum(i.quantity) FILTER (WHERE NOT v.live), 0) AS voided,
               coalesce(sum(i.gross_amount) FILTER (WHERE v.live), 0) AS gross,
               coalesce(sum(i.discount_amount) FILTER (WHERE v.live), 0) AS discount,
               avg(extract(epoch FROM i.served_at - i.sent_at)) AS made
        FROM rest.guest_order AS o
        JOIN rest.business_day AS d
            ON d.business_id = o.business_id AND d.business_day_id = o.business_day_id
        JOIN rest.guest_check AS c
            ON c.business_id = o.business_id AND c.guest_order_id = o.guest_order_id
        JOIN rest.check_item AS i
            ON i.business_id = c.business_id AND i.guest_check_id = c.guest_check_id
        JOIN rest.menu_item AS m
            ON m.business_id = i.business_id AND m.menu_item_id = i.menu_item_id
        LEFT JOIN rest.virtual_brand AS b
            ON b.business_id = m.business_id AND b.virtual_brand_id = m.virtual_brand_id
        CROSS JOIN LATERAL (SELECT i.state <> 'voided' AND c.state <> 'voided' AS live) AS v
        WHERE o.business_id = tenant AND o.business_day_id = ANY (days)
          AND o.state NOT IN ('draft', 'scheduled')
        GROUP BY o.business_day_id, d.location_id, d.business_date, i.menu_item_id,
                 o.sales_channel_id, b.target_food_cost_pct
    ), mix AS (
        SELECT s.*, round(s.gross * s.food_pct / 100, 2) AS cost,
               sum(s.quantity) OVER w AS all_sold, count(*) OVER w AS items,
               sum(s.gross - s.discount - s.gross * s.food_pct / 100) OVER w AS all_margin
        FROM sold AS s
        WINDOW w AS (PARTITION BY s.business_day_id, s.sales_channel_id)
    )
    INSERT INTO rest.item_sales_day
        (business_id, item_sales_day_id, location_id, menu_item_id, sales_channel_id,
         business_date, quantity_sold, gross_sales, discount_amount, net_sales, void_quantity,
         theoretical_cost, menu_mix_pct, average_make_seconds, menu_class)
    SELECT tenant,
           md5(concat_ws(' ', 'mix', m.business_day_id, m.sales_channel_id, m.menu_item_id))::uuid,
           m.location_id, m.menu_item_id, m.sales_channel_id, m.business_date, m.quantity, m.gross,
           m.discount, m.gross - m.discount, m.voided, m.cost,
           round(m.quantity / nullif(m.all_sold, 0) * 100, 4), m.made::integer,
           -- Popular is seven tenths of an even share; earning is the margin of a mean portion.
           CASE WHEN p.popular AND p.earns THEN 'star' WHEN p.popular THEN 'plowhorse'
                WHEN p.earns THEN 'puzzle' ELSE 'dog' END
    FROM mix AS m
    CROSS JOIN LATERAL (
        SELECT m.quantity >= 0.7 * m.all_sold / m.items AS popular,
               coalesce((m.gross - m.discount - m.cost) / nullif(m.quantity, 0)
                        >= m.all_margin / nullif(m.all_sold, 0), false) AS earns
    ) AS p;
    RETURN made;
END
$$;
COMMENT ON FUNCTION rest.summarize_days(uuid[]) IS
    'Computes the summaries of trading days anew, by channel and brand and by item; the same again
     gives the same.';


CREATE FUNCTION rest.summarize_day(day uuid) RETURNS integer
    LANGUAGE sql
BEGIN ATOMIC
    SELECT rest.summarize_days(ARRAY[day]);
END;
COMMENT ON FUNCTION rest.summarize_day(uuid) IS
    'Computes the summary of a trading day anew; returns its rows by channel and brand.';


CREATE FUNCTION rest.sales_summary_differences()
    RETURNS TABLE (location_id uuid, business_date date, figure text, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH found AS (
        SELECT d.location_id, d.business_date, sum(f.gross) AS gross,
               sum(f.discounts) AS discounts, sum(f.voids) AS voids, sum(f.taxes) AS taxes,
               sum(f.tips) AS tips, sum(f.orders) AS orders, sum(f.covers) AS covers
        FROM rest.day_figures(ARRAY(
            SELECT x.business_day_id
            FROM rest.business_day AS x
            WHERE x.business_id = tenant_mgmt.current_business_id())) AS f
        JOIN rest.business_day AS d
            ON d.business_id = tenant_mgmt.current_business_id()
           AND d.business_day_id = f.business_day_id
        GROUP BY d.location_id, d.business_date
    ), said AS (
        SELECT s.location_id, s.business_date, sum(s.gross_sales) AS gross,
               sum(s.discount_total) AS discounts, sum(s.void_total) AS voids,
               sum(s.tax_total) AS taxes, sum(s.tip_total) AS tips, sum(s.order_count) AS orders,
               sum(s.cover_count) AS covers
        FROM rest.sales_day_summary AS s
        WHERE s.business_id = tenant_mgmt.current_business_id()
        GROUP BY s.location_id, s.business_date
    )
    SELECT s.location_id, s.business_date, v.figure, v.said, coalesce(v.found, 0)
    FROM said AS s
    LEFT JOIN found AS f
        ON f.location_id = s.location_id AND f.business_date = s.business_date
    CROSS JOIN LATERAL (VALUES ('gross_sales', s.gross, f.gross),
                               ('discount_total', s.discounts, f.discounts),
                               ('void_total', s.voids, f.voids),
                               ('tax_total', s.taxes, f.taxes),
                               ('tip_total', s.tips, f.tips),
                               ('order_count', s.orders, f.orders),
                               ('cover_count', s.covers, f.covers)) AS v (figure, said, found)
    WHERE v.said <> coalesce(v.found, 0);
END;
COMMENT ON FUNCTION rest.sales_summary_differences() IS
    'Names every summarized day that does not agree with its checks, and in which figure.';


CREATE FUNCTION rest.measure_food_cost(since date, until date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   integer;
BEGIN
    DELETE FROM rest.food_cost_variance AS v
    WHERE v.business_id = tenant AND v.period_start = since AND v.period_end = until;
    WITH moved AS (
        -- What comes in is above zero, what goes out below.
        SELECT a.location_id, m.inventory_item_id,
               coalesce(sum(m.value_amount) FILTER (WHERE m.business_date < since), 0) AS opening,
               coalesce(sum(m.value_amount), 0) AS closing,
               coalesce(sum(m.value_amount) FILTER (
                   WHERE p.inside AND m.movement_kind IN ('receipt', 'vendor_return')), 0)
                   AS bought,
               coalesce(-sum(m.quantity) FILTER (
                   WHERE p.inside AND m.movement_kind IN ('sale', 'waste', 'staff_meal',
                                                          'production_out', 'count_adjustment')),
                        0) AS used,
               coalesce(-sum(m.quantity) FILTER (
                   WHERE p.inside AND m.movement_kind IN ('sale', 'production_out')), 0) AS sold,
               coalesce(-sum(m.quantity) FILTER (
                   WHERE p.inside AND m.movement_kind IN ('waste', 'staff_meal')), 0) AS wasted
        FROM rest.stock_movement AS m
        JOIN rest.storage_area AS a
            ON a.business_id = m.business_id AND a.storage_area_id = m.storage_area_id
        CROSS JOIN LATERAL (SELECT m.business_date >= since AS inside) AS p
        WHERE m.business_id = tenant AND m.business_date < until
        GROUP BY a.location_id, m.inventory_item_id
    ), sales AS (
        SELECT d.location_id, sum(d.net_sales) AS net
        FROM rest.business_day AS d
        WHERE d.business_id = tenant AND d.business_date >= since AND d.business_date < until
        GROUP BY d.location_id
    )
    INSERT INTO rest.food_cost_variance
        (business_id, food_cost_variance_id, location_id, inventory_item_id, period_start,
         period_end, opening_value, purchases_value, closing_value, actual_usage_qty,
         theoretical_usage_qty, waste_qty, variance_value, unexplained_value, actual_cost_pct,
         theoretical_cost_pct)
    SELECT tenant,
           md5(concat_ws(' ', 'cost', m.location_id, m.inventory_item_id, since, until))::uuid,
           m.location_id, m.inventory_item_id, since, until, m.opening, m.bought, m.closing,
           m.used, m.sold, m.wasted, round((m.used - m.sold) * c.cost, 2),
           round((m.used - m.sold - m.wasted) * c.cost, 2),
           CASE WHEN s.net > 0 THEN least(99999, round(m.used * c.cost / s.net * 100, 4)) END,
           CASE WHEN s.net > 0 THEN least(99999, round(m.sold * c.cost / s.net * 100, 4)) END
    FROM moved AS m
    JOIN rest.inventory_item AS i
        ON i.business_id = tenant AND i.inventory_item_id = m.inventory_item_id
    LEFT JOIN sales AS s ON s.location_id = m.location_id
    CROSS JOIN LATERAL (SELECT coalesce(i.average_cost, 0) AS cost) AS c;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION rest.measure_food_cost(date, date) IS
    'Sets what a site used of each item in a period against what its sales should have used; the
     end is the first day that no longer counts.';


CREATE FUNCTION rest.snapshot_guests(as_of date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   integer;
BEGIN
    DELETE FROM rest.guest_rfm_snapshot AS s
    WHERE s.business_id = tenant AND s.as_of_date = as_of;
    WITH visit AS (
        SELECT o.guest_profile_id, as_of - max(d.business_date) AS recency,
               count(DISTINCT d.business_date)::integer AS visits,
               sum(c.subtotal - c.discount_total) AS spent,
               max(d.business_date) - min(d.business_date) AS span
        FROM rest.guest_order AS o
        JOIN rest.business_day AS d
            ON d.business_id = o.business_id AND d.business_day_id = o.business_day_id
        JOIN rest.guest_check AS c
            ON c.business_id = o.business_id AND c.guest_order_id = o.guest_order_id
           AND c.state <> 'voided'
        WHERE o.business_id = tenant AND o.guest_profile_id IS NOT NULL
          AND o.state NOT IN ('draft', 'scheduled', 'cancelled', 'voided')
          AND d.business_date BETWEEN as_of - 365 AND as_of
        GROUP BY o.guest_profile_id
    ), scored AS (
        SELECT v.*, ntile(5) OVER (ORDER BY v.recency DESC, v.guest_profile_id) AS r,
               ntile(5) OVER (ORDER BY v.visits, v.guest_profile_id) AS f,
               ntile(5) OVER (ORDER BY v.spent, v.guest_profile_id) AS m,
               -- Days between visits; who came once is given a month.
               coalesce(v.span / nullif(v.visits - 1, 0), 30) AS gap
        FROM visit AS v
    )
    INSERT INTO rest.guest_rfm_snapshot
        (business_id, guest_rfm_snapshot_id, guest_profile_id, as_of_date, recency_days,
         frequency_count, monetary_total, r_score, f_score, m_score, rfm_segment,
         churn_probability, predicted_next_visit_on)
    SELECT tenant, md5(concat_ws(' ', 'rfm', s.guest_profile_id, as_of))::uuid,
           s.guest_profile_id, as_of, s.recency, s.visits, s.spent, s.r, s.f, s.m,
           CASE WHEN s.visits = 1 AND s.r >= 4 THEN 'new'
                WHEN s.r >= 4 AND s.f >= 4 AND s.m >= 4 THEN 'champion'
                WHEN s.r >= 3 AND s.f >= 4 THEN 'loyal' WHEN s.r >= 3 THEN 'promising'
                WHEN s.f >= 3 THEN 'at_risk' WHEN s.r = 2 THEN 'hibernating' ELSE 'lost' END,
           round(1 - exp(-s.recency::numeric / (2 * greatest(s.gap, 1))), 4),
           as_of + greatest(0, s.gap - s.recency)
    FROM scored AS s;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION rest.snapshot_guests(date) IS
    'Ranks the guests of the year before a day in fifths by recency, visits and money; 5 is best.';


CREATE FUNCTION rest.find_losses(
    since       timestamptz,
    until       timestamptz,
    least_z     numeric DEFAULT 2,
    least_lines integer DEFAULT 20,
    least_short numeric DEFAULT 10
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   integer;
BEGIN
    WITH line AS (
        SELECT o.location_id, c.owner_staff_id AS staff, count(*) AS lines,
               count(*) FILTER (WHERE i.state = 'voided') AS voids,
               sum(i.gross_amount) AS gross,
               array_agg(DISTINCT i.guest_check_id) FILTER (WHERE i.state = 'voided') AS checks
        FROM rest.guest_order AS o
        JOIN rest.guest_check AS c
            ON c.business_id = o.business_id AND c.guest_order_id = o.guest_order_id
        JOIN rest.check_item AS i
            ON i.business_id = c.business_id AND i.guest_check_id = c.guest_check_id
        WHERE o.business_id = tenant AND o.opened_at >= since AND o.opened_at < until
          AND c.owner_staff_id IS NOT NULL
        GROUP BY o.location_id, c.owner_staff_id
        HAVING count(*) >= least_lines
    ), comp AS (
        SELECT o.location_id, c.owner_staff_id AS staff, -sum(a.amount) AS amount,
               array_agg(DISTINCT c.guest_check_id) AS checks
        FROM rest.guest_order AS o
        JOIN rest.guest_check AS c
            ON c.business_id = o.business_id AND c.guest_order_id = o.guest_order_id
        JOIN rest.check_adjustment AS a
            ON a.business_id = c.business_id AND a.guest_check_id = c.guest_check_id
           AND a.adjustment_kind = 'comp' AND a.state = 'applied'
        WHERE o.business_id = tenant AND o.opened_at >= since AND o.opened_at < until
        GROUP BY o.location_id, c.owner_staff_id
    ), rate AS (
        SELECT l.location_id, l.staff, 'void_rate' AS kind, l.lines,
               100.0 * l.voids / l.lines AS value, l.checks
        FROM line AS l
        UNION ALL
        SELECT l.location_id, l.staff, 'comp_rate', l.lines,
               coalesce(100 * p.amount / nullif(l.gross, 0), 0), p.checks
        FROM line AS l
        LEFT JOIN comp AS p ON p.location_id = l.location_id AND p.staff = l.staff
    ), apart AS (
        -- Everybody is measured against the others of the site, not against themselves.
        SELECT r.location_id, r.staff, r.kind, r.lines, r.value, r.checks, n.mean,
               (r.value - n.mean) / greatest(n.spread, 0.5) AS z
        FROM rate AS r
        JOIN LATERAL (
            SELECT avg(x.value) AS mean, coalesce(stddev_pop(x.value), 0) AS spread
            FROM rate AS x
            WHERE x.location_id = r.location_id AND x.kind = r.kind AND x.staff <> r.staff
        ) AS n ON n.mean IS NOT NULL
    ), short AS (
        SELECT d.location_id, s.opened_by_staff_id AS staff, s.business_day_id,
               min(s.over_short) AS worst, array_agg(s.cash_drawer_session_id) AS drawers
        FROM rest.cash_drawer_session AS s
        JOIN rest.business_day AS d
            ON d.business_id = s.business_id AND d.business_day_id = s.business_day_id
        WHERE s.business_id = tenant AND s.opened_at >= since AND s.opened_at < until
          AND s.over_short <= -least_short
        GROUP BY d.location_id, s.opened_by_staff_id, s.business_day_id
    ), finding AS (
        SELECT a.location_id, a.staff, NULL::uuid AS day, a.kind, a.value, a.mean, a.z,
               jsonb_build_object('lines', a.lines, 'checks', to_jsonb(a.checks)) AS evidence
        FROM apart AS a
        WHERE a.z >= least_z
        UNION ALL
        SELECT s.location_id, s.staff, s.business_day_id, 'cash_short', -s.worst, least_short,
               NULL, jsonb_build_object('drawers', to_jsonb(s.drawers))
        FROM short AS s
    )
    INSERT INTO rest.loss_prevention_alert
        (business_id, loss_prevention_alert_id, location_id, staff_member_id, business_day_id,
         alert_kind, detected_at, window_start_at, window_end_at, metric_value, baseline_value,
         z_score, severity, evidence_doc)
    SELECT tenant,
           md5(concat_ws(' ', 'loss', f.location_id, f.staff, f.day, f.kind,
                         extract(epoch FROM since), extract(epoch FROM until)))::uuid,
           f.location_id, f.staff, f.day, f.kind, until, since, until, f.value, f.mean,
           CASE WHEN f.z IS NOT NULL THEN least(99999, f.z) END,
           CASE WHEN f.z >= 2 * least_z OR f.value >= 5 * f.mean THEN 'high'
                WHEN f.z >= 1.5 * least_z OR f.value >= 3 * f.mean THEN 'medium' ELSE 'low' END,
           f.evidence
    FROM finding AS f
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION rest.find_losses(timestamptz, timestamptz, numeric, integer, numeric) IS
    'Raises alerts where somebody''s void or comp rate is far above the others of the site, or a
     drawer came up short; a finding is raised once.';


CREATE FUNCTION rest.record_actuals(since timestamptz, until timestamptz) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    changed integer;
BEGIN
    UPDATE rest.sales_forecast AS f
    SET actual_covers = n.covers, actual_sales = n.sales
    FROM (
        SELECT x.sales_forecast_id, coalesce(sum(o.guest_count), 0) AS covers,
               coalesce(sum(b.net), 0) AS sales
        FROM rest.sales_forecast AS x
        LEFT JOIN rest.guest_order AS o
            ON o.business_id = x.business_id AND o.location_id = x.location_id
           AND o.opened_at >= x.slot_starts_at
           AND o.opened_at < x.slot_starts_at + make_interval(mins => x.slot_minutes)
           AND (x.virtual_brand_id IS NULL OR o.virtual_brand_id = x.virtual_brand_id)
           AND o.state NOT IN ('draft', 'scheduled', 'cancelled', 'voided')
        LEFT JOIN (
            SELECT c.guest_order_id, sum(c.subtotal - c.discount_total) AS net
            FROM rest.guest_check AS c
            WHERE c.business_id = tenant_mgmt.current_business_id() AND c.state <> 'voided'
            GROUP BY c.guest_order_id
        ) AS b ON b.guest_order_id = o.guest_order_id
        WHERE x.business_id = tenant_mgmt.current_business_id()
          AND x.slot_starts_at >= since
          AND x.slot_starts_at + make_interval(mins => x.slot_minutes) <= until
        GROUP BY x.sales_forecast_id
    ) AS n
    WHERE f.business_id = tenant_mgmt.current_business_id()
      AND f.sales_forecast_id = n.sales_forecast_id;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION rest.record_actuals(timestamptz, timestamptz) IS
    'Writes what came beside what was forecast, for slots that ended.';


CREATE FUNCTION rest.forecast_accuracy(since timestamptz, until timestamptz)
    RETURNS TABLE (
        location_id uuid,
        model_name  text,
        slots       bigint,
        mape        numeric,
        bias_pct    numeric,
        in_band_pct numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT f.location_id, f.model_name, count(*), round(avg(f.abs_pct_error), 2),
           round((sum(f.forecast_sales) / nullif(sum(f.actual_sales), 0) - 1) * 100, 2),
           round(avg((f.actual_sales BETWEEN f.low_sales AND f.high_sales)::integer) * 100, 2)
    FROM rest.sales_forecast AS f
    WHERE f.business_id = tenant_mgmt.current_business_id() AND f.actual_sales IS NOT NULL
      AND f.slot_starts_at >= since AND f.slot_starts_at < until
    GROUP BY f.location_id, f.model_name;
END;
COMMENT ON FUNCTION rest.forecast_accuracy(timestamptz, timestamptz) IS
    'How good a model was at a site: mean absolute percentage error of the slots that sold, bias
     over all, and how often the actual fell into the band.';


CREATE VIEW rest.v_complaint_topic_week WITH (security_invoker = true) AS
SELECT f.business_id, f.location_id, date_trunc('week', f.received_at, 'UTC')::date AS week_start,
       t.topic, count(*) AS complaints, round(avg(t.score), 4) AS mean_score
FROM rest.guest_feedback AS f
CROSS JOIN JSON_TABLE(f.topics_doc, '$[*]' COLUMNS (
    topic text PATH '$.topic',
    score numeric PATH '$.score'
)) AS t
WHERE t.score < 0
GROUP BY f.business_id, f.location_id, date_trunc('week', f.received_at, 'UTC')::date, t.topic;
COMMENT ON VIEW rest.v_complaint_topic_week IS
    'What guests complain about, by site and week: topics they spoke ill of.';
GRANT SELECT ON rest.v_complaint_topic_week TO app_user, app_readonly;


CREATE VIEW rest.v_forecast_driver WITH (security_invoker = true) AS
SELECT f.business_id, f.location_id, f.model_name, d.driver, count(*) AS slots,
       round(avg(d.effect_pct), 2) AS mean_effect_pct,
       round(avg(f.abs_pct_error), 2) AS mape
FROM rest.sales_forecast AS f
CROSS JOIN JSON_TABLE(f.drivers_doc, '$[*]' COLUMNS (
    driver text PATH '$.driver',
    effect_pct numeric PATH '$.effect_pct'
)) AS d
GROUP BY f.business_id, f.location_id, f.model_name, d.driver;
COMMENT ON VIEW rest.v_forecast_driver IS
    'What the forecasts of a site were built on, and how far off they were with it.';
GRANT SELECT ON rest.v_forecast_driver TO app_user, app_readonly;


CREATE MATERIALIZED VIEW rest.mv_brand_channel_margin AS
SELECT n.business_id, n.virtual_brand_id, n.sales_channel_id, n.week_start, n.net_sales,
       n.commission, n.marketing, n.food_cost, n.packaging, n.refunds,
       n.net_sales - n.commission - n.marketing - n.food_cost - n.packaging - n.refunds
           AS contribution_margin
FROM (
    SELECT x.business_id, x.virtual_brand_id, x.sales_channel_id, x.week_start,
           sum(x.net_sales) AS net_sales, sum(x.commission) AS commission,
           sum(x.marketing) AS marketing, sum(x.food_cost) AS food_cost,
           sum(x.packaging) AS packaging, sum(x.refunds) AS refunds
    FROM (
        SELECT s.business_id, s.virtual_brand_id, s.sales_channel_id,
               date_trunc('week', s.business_date::timestamp)::date AS week_start, s.net_sales,
               coalesce(s.commission_cost, 0) AS commission, 0 AS marketing,
               coalesce(s.food_cost, 0) AS food_cost,
               CASE WHEN h.channel_kind = 'in_store' THEN 0
                    ELSE s.order_count * coalesce(b.packaging_budget_amount, 0) END AS packaging,
               0 AS refunds
        FROM rest.sales_day_summary AS s
        JOIN rest.sales_channel AS h
            ON h.business_id = s.business_id AND h.sales_channel_id = s.sales_channel_id
        LEFT JOIN rest.virtual_brand AS b
            ON b.business_id = s.business_id AND b.virtual_brand_id = s.virtual_brand_id
        UNION ALL
        SELECT o.business_id, o.virtual_brand_id, o.sales_channel_id,
               date_trunc('week', d.business_date::timestamp)::date, 0, 0,
               coalesce(k.channel_discount, 0), 0, 0, 0
        FROM rest.channel_order AS k
        JOIN rest.guest_order AS o
            ON o.business_id = k.business_id AND o.guest_order_id = k.guest_order_id
        JOIN rest.business_day AS d
            ON d.business_id = o.business_id AND d.business_day_id = o.business_day_id
        UNION ALL
        SELECT o.business_id, o.virtual_brand_id, o.sales_channel_id,
               date_trunc('week', d.business_date::timestamp)::date, 0, 0, 0, 0, 0, r.amount
        FROM rest.payment_refund AS r
        JOIN rest.check_payment AS p
            ON p.business_id = r.business_id AND p.check_payment_id = r.check_payment_id
        JOIN rest.guest_check AS c
            ON c.business_id = p.business_id AND c.guest_check_id = p.guest_check_id
        JOIN rest.guest_order AS o
            ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
        JOIN rest.business_day AS d
            ON d.business_id = o.business_id AND d.business_day_id = o.business_day_id
        WHERE r.state = 'completed'
    ) AS x
    GROUP BY x.business_id, x.virtual_brand_id, x.sales_channel_id, x.week_start
) AS n
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW rest.mv_brand_channel_margin IS
    'What a brand keeps on a channel in a week after commission, promotion, food and packaging.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_brand_channel_margin_idx
    ON rest.mv_brand_channel_margin (business_id, virtual_brand_id, sales_channel_id, week_start)
    NULLS NOT DISTINCT;

CREATE VIEW rest.v_brand_channel_margin WITH (security_barrier = true) AS
SELECT m.business_id, m.virtual_brand_id, m.sales_channel_id, m.week_start, m.net_sales,
       m.commission, m.marketing, m.food_cost, m.packaging, m.refunds, m.contribution_margin
FROM rest.mv_brand_channel_margin AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW rest.v_brand_channel_margin IS
    'The tenant''s own part of mv_brand_channel_margin.';
GRANT SELECT ON rest.v_brand_channel_margin TO app_user, app_readonly;


CREATE MATERIALIZED VIEW rest.mv_server_performance AS
SELECT n.business_id, n.staff_member_id, n.week_start, count(*) AS checks,
       sum(n.covers) AS covers, round(avg(n.net), 2) AS average_check,
       round(sum(n.tips) / nullif(sum(n.net), 0) * 100, 2) AS tip_pct,
       round(sum(n.voids) * 100 / nullif(sum(n.lines), 0), 2) AS void_rate_pct,
       round(sum(n.comps) / nullif(sum(n.gross), 0) * 100, 2) AS comp_rate_pct,
       round(avg(n.minutes), 1) AS turn_minutes
FROM (
    SELECT c.business_id, c.owner_staff_id AS staff_member_id,
           date_trunc('week', d.business_date::timestamp)::date AS week_start,
           -- The covers of an order whose check was split count once.
           CASE WHEN row_number() OVER (PARTITION BY c.business_id, c.guest_order_id
                                        ORDER BY c.guest_check_id) = 1
                THEN o.guest_count ELSE 0 END AS covers,
           c.subtotal - c.discount_total AS net, c.tip_total AS tips,
           coalesce(i.lines, 0) AS lines, coalesce(i.voids, 0) AS voids,
           coalesce(i.gross, 0) AS gross, coalesce(a.comps, 0) AS comps,
           CASE WHEN o.service_mode = 'dine_in'
                THEN extract(epoch FROM o.completed_at - o.opened_at) / 60 END AS minutes
    FROM rest.guest_check AS c
    JOIN rest.guest_order AS o
        ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
    JOIN rest.business_day AS d
        ON d.business_id = o.business_id AND d.business_day_id = o.business_day_id
    LEFT JOIN (
        SELECT x.business_id, x.guest_check_id, count(*) AS lines,
               count(*) FILTER (WHERE x.state = 'voided') AS voids,
               sum(x.gross_amount) AS gross
        FROM rest.check_item AS x
        GROUP BY x.business_id, x.guest_check_id
    ) AS i ON i.business_id = c.business_id AND i.guest_check_id = c.guest_check_id
    LEFT JOIN (
        SELECT x.business_id, x.guest_check_id, -sum(x.amount) AS comps
        FROM rest.check_adjustment AS x
        WHERE x.adjustment_kind = 'comp' AND x.state = 'applied'
        GROUP BY x.business_id, x.guest_check_id
    ) AS a ON a.business_id = c.business_id AND a.guest_check_id = c.guest_check_id
    WHERE c.state <> 'voided' AND c.owner_staff_id IS NOT NULL
) AS n
GROUP BY n.business_id, n.staff_member_id, n.week_start
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW rest.mv_server_performance IS
    'A server''s week: covers, average check, tips, voids, comps and the turn of the tables.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_server_performance_idx
    ON rest.mv_server_performance (business_id, staff_member_id, week_start);

CREATE VIEW rest.v_server_performance WITH (security_barrier = true) AS
SELECT m.business_id, m.staff_member_id, m.week_start, m.checks, m.covers, m.average_check,
       m.tip_pct, m.void_rate_pct, m.comp_rate_pct, m.turn_minutes
FROM rest.mv_server_performance AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW rest.v_server_performance IS 'The tenant''s own part of mv_server_performance.';
GRANT SELECT ON rest.v_server_performance TO app_user, app_readonly;

GRANT USAGE ON SCHEMA rest, tenant_mgmt TO matview_owner;
GRANT SELECT ON rest.sales_day_summary, rest.sales_channel, rest.virtual_brand, rest.channel_order,
    rest.guest_order, rest.business_day, rest.payment_refund, rest.check_payment, rest.guest_check,
    rest.check_item, rest.check_adjustment TO matview_owner;
