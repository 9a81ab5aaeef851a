/*
 * Suppliers: who sells parts and does work, at what cost and how fast.
 *
 * A supplier delivers in runs, takes parts and cores back within its windows, and may only haul
 * waste or tow. supplier_part is its number and cost for a part, with what lies in which warehouse;
 * part_price is a line of a price sheet, by kind, quantity and time.
 */

CREATE TABLE auto.supplier (
    business_id         uuid                   NOT NULL,
    supplier_id         uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_code       system_core.code       NOT NULL,
    name                text                   NOT NULL,
    supplier_kind       text                   NOT NULL,
    account_number      text,
    ordering_channel    text                   NOT NULL DEFAULT 'phone',
    cutoff_time         time,
    delivery_minutes    integer,
    delivery_runs_count integer                NOT NULL DEFAULT 0,
    return_window_days  integer                NOT NULL DEFAULT 30,
    restocking_fee_pct  system_core.percentage NOT NULL DEFAULT 0,
    core_window_days    integer                DEFAULT 30,
    terms_days          integer                NOT NULL DEFAULT 30,
    fill_rate_pct       system_core.percentage,
    is_preferred        boolean                NOT NULL DEFAULT false,
    w9_on_file          boolean                NOT NULL DEFAULT false,
    is_active           boolean                NOT NULL DEFAULT true,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_id),
    UNIQUE (business_id, supplier_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT supplier_kind_known
        CHECK (supplier_kind IN ('parts_store', 'oem_dealer', 'tire_distributor', 'recycler',
                                 'remanufacturer', 'sublet', 'tool_truck', 'paint',
                                 'waste_hauler')),
    CONSTRAINT supplier_channel_known
        CHECK (ordering_channel IN ('phone', 'portal', 'api', 'edi')),
    CONSTRAINT supplier_fill_rate_bounded CHECK (fill_rate_pct BETWEEN 0 AND 100),
    CONSTRAINT supplier_restocking_bounded CHECK (restocking_fee_pct BETWEEN 0 AND 50),
    CONSTRAINT supplier_windows_not_negative
        CHECK (return_window_days >= 0 AND core_window_days >= 0 AND terms_days >= 0
               AND delivery_minutes >= 0 AND delivery_runs_count >= 0)
);

COMMENT ON TABLE auto.supplier IS
    'Parts store, dealer counter, tire distributor, recycler, sublet or waste vendor.';

ALTER TABLE auto.supplier ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.supplier
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.supplier TO app_user;
GRANT SELECT ON auto.supplier TO app_readonly;

CREATE TRIGGER supplier_touch
    BEFORE UPDATE ON auto.supplier
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.supplier_part (
    business_id       uuid                 NOT NULL,
    supplier_part_id  uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_id       uuid                 NOT NULL,
    part_id           uuid                 NOT NULL,
    supplier_sku      text                 NOT NULL,
    cost_price        system_core.money    NOT NULL,
    core_cost         system_core.money,
    list_price        system_core.money,
    min_order_qty     system_core.quantity NOT NULL DEFAULT 1,
    available_qty     system_core.quantity NOT NULL DEFAULT 0,
    warehouse_code    system_core.code,
    lead_time_minutes integer              NOT NULL DEFAULT 0,
    refreshed_at      timestamptz,
    preference_rank   integer              NOT NULL DEFAULT 1,
    is_discontinued   boolean              NOT NULL DEFAULT false,
    created_at        timestamptz          NOT NULL DEFAULT now(),
    updated_at        timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_part_id),
    UNIQUE NULLS NOT DISTINCT (business_id, supplier_id, part_id, warehouse_code),
    FOREIGN KEY (business_id, supplier_id) REFERENCES auto.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, part_id) REFERENCES auto.part (business_id, part_id),
    CONSTRAINT supplier_part_costs_not_negative
        CHECK (cost_price >= 0 AND core_cost >= 0 AND list_price >= 0),
    CONSTRAINT supplier_part_quantities_not_negative
        CHECK (available_qty >= 0 AND min_order_qty > 0 AND lead_time_minutes >= 0
               AND preference_rank >= 1)
);

COMMENT ON TABLE auto.supplier_part IS
    'Supplier''s number, cost, core and availability for a part.';

-- FK: who has a part, the preferred first.
CREATE INDEX supplier_part_part_idx
    ON auto.supplier_part (business_id, part_id, preference_rank);

ALTER TABLE auto.supplier_part ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.supplier_part
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.supplier_part TO app_user;
GRANT SELECT ON auto.supplier_part TO app_readonly;

CREATE TRIGGER supplier_part_touch
    BEFORE UPDATE ON auto.supplier_part
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.part_price (
    business_id            uuid                   NOT NULL,
    part_price_id          uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    part_id                uuid                   NOT NULL,
    supplier_id            uuid,
    price_kind             text                   NOT NULL,
    price_sheet_number     text,
    currency_code          system_core.currency   NOT NULL DEFAULT 'USD',
    unit_price             system_core.unit_price NOT NULL,
    min_qty                system_core.quantity   NOT NULL DEFAULT 1,
    max_qty                system_core.quantity,
    effective_on           date                   NOT NULL,
    ends_on                date,
    superseded_price_sheet text,
    changed_pct            system_core.percentage,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, part_price_id),
    FOREIGN KEY (business_id, part_id) REFERENCES auto.part (business_id, part_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES auto.supplier (business_id, supplier_id),
    CONSTRAINT part_price_kind_known
        CHECK (price_kind IN ('list', 'jobber', 'wholesale', 'retail', 'map', 'core', 'oe_list')),
    CONSTRAINT part_price_not_negative CHECK (unit_price >= 0),
    CONSTRAINT part_price_band_is_whole CHECK (min_qty > 0 AND max_qty >= min_qty),
    CONSTRAINT part_price_ends_after_start CHECK (ends_on >= effective_on),
    CONSTRAINT part_price_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, part_id WITH =, price_kind WITH =,
        (coalesce(supplier_id, '00000000-0000-0000-0000-000000000000')) WITH =,
        numrange(min_qty, max_qty, '[]') WITH &&,
        daterange(effective_on, ends_on, '[]') WITH &&)
);

COMMENT ON TABLE auto.part_price IS
    'Effective-dated price sheet line by price kind and quantity break.';

-- FK: the prices of a part in time.
CREATE INDEX part_price_part_idx
    ON auto.part_price (business_id, part_id, price_kind, effective_on DESC);

-- FK: the price sheet of a supplier.
CREATE INDEX part_price_supplier_idx
    ON auto.part_price (business_id, supplier_id)
    WHERE supplier_id IS NOT NULL;

ALTER TABLE auto.part_price ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.part_price
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.part_price TO app_user;
GRANT SELECT ON auto.part_price TO app_readonly;

CREATE TRIGGER part_price_touch
    BEFORE UPDATE ON auto.part_price
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
