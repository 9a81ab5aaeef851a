/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE rest.sales_forecast (
    business_id             uuid              NOT NULL,
    sales_forecast_id       uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    location_id             uuid              NOT NULL,
    virtual_brand_id        uuid,
    slot_starts_at          timestamptz,
    slot_minutes            integer,
    model_name              text,
    forecast_covers         integer,
    forecast_sales          system_core.money,
    low_sales               system_core.money,
    high_sales              system_core.money,
    actual_covers           integer,
    actual_sales            system_core.money,
    abs_pct_error           numeric(9, 4),
    recommended_staff_hours numeric(9, 2),
    drivers_doc             jsonb,
    generated_at            timestamptz,
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, sales_forecast_id),
    UNIQUE NULLS NOT DISTINCT (business_id, location_id, virtual_brand_id, slot_starts_at,
            model_name),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, virtual_brand_id)
        REFERENCES rest.virtual_brand (business_id, virtual_brand_id),
    CONSTRAINT sales_forecast_low_sales_in_order CHECK (low_sales <= forecast_sales),
    CONSTRAINT sales_forecast_forecast_sales_in_order CHECK (forecast_sales <= high_sales)
);

COMMENT ON TABLE rest.sales_forecast IS
    'Forecast of covers and sales per hour, with the actual beside it.';

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
    gross_sales          system_core.money,
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
    computed_at          timestamptz,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, sales_day_summary_id),
    UNIQUE NULLS NOT DISTINCT (business_id, location_id, sales_channel_id,
            virtual_brand_id, business_date),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES rest.sales_channel (business_id, sales_channel_id),
    FOREIGN KEY (business_id, virtual_brand_id)
        REFERENCES rest.virtual_brand (business_id, virtual_brand_id)
);

COMMENT ON TABLE rest.sales_day_summary IS
    'A day of a site by brand and channel: sales, prime cost, checks, covers.';

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
    quantity_sold        system_core.quantity,
    gross_sales          system_core.money,
    discount_amount      system_core.money      NOT NULL DEFAULT 0,
    net_sales            system_core.money,
    void_quantity        system_core.quantity,
    remake_quantity      system_core.quantity,
    theoretical_cost     system_core.money,
    margin_amount        system_core.money      GENERATED ALWAYS AS (
                                                    net_sales - theoretical_cost) STORED,
    menu_mix_pct         system_core.percentage,
    average_make_seconds integer,
    menu_class           text                   NOT NULL,
    computed_at          timestamptz,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, item_sales_day_id),
    UNIQUE (business_id, location_id, menu_item_id, sales_channel_id, business_date),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES rest.sales_channel (business_id, sales_channel_id),
    CONSTRAINT item_sales_day_menu_class_known
        CHECK (menu_class IN ('star', 'plowhorse', 'puzzle', 'dog'))
);

COMMENT ON TABLE rest.item_sales_day IS
    'Product mix: what sold, at what margin, and its menu-engineering class.';

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
    computed_at           timestamptz,
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

-- FK: the food cost variances of a inventory item.
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
    recency_days            integer,
    frequency_count         integer           NOT NULL DEFAULT 0,
    monetary_total          system_core.money NOT NULL DEFAULT 0,
    r_score                 smallint,
    f_score                 smallint,
    m_score                 smallint,
    rfm_segment             text              NOT NULL,
    churn_probability       numeric(9, 4),
    predicted_next_visit_on date,
    computed_at             timestamptz,
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
        CHECK (churn_probability BETWEEN 0 AND 1)
);

COMMENT ON TABLE rest.guest_rfm_snapshot IS
    'Recency, frequency and money of a guest with churn risk.';
-- RULE scores between 1 and 5

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
    detected_at              timestamptz,
    window_start_at          timestamptz,
    window_end_at            timestamptz,
    metric_value             system_core.quantity,
    baseline_value           system_core.quantity,
    z_score                  numeric(9, 4),
    severity                 text                 NOT NULL,
    evidence_doc             jsonb,
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

-- FK: the loss prevention alerts of a location.
CREATE INDEX loss_prevention_alert_location_idx
    ON rest.loss_prevention_alert (business_id, location_id);

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
