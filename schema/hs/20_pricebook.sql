/*
 * Pricebook: what is sold, at which flat or hourly price, to whom, with which tax.
 *
 * pricebook_category is the tree that a technician browses; under it stand service_tasks, sold at
 * a flat price, and the items of the inventory. service_task_material lists what a task uses.
 * labor_rate prices an hour by unit, class and time of the week. A price_level is a policy that a
 * customer is put on; price_level_entry states what it agrees for one task or item, per band of
 * quantity. tax_rate is a jurisdiction's tax over time. quote_line_price() finds the price of a
 * line: what was agreed, else the member's price, else the level's, else the list's.
 */

CREATE TABLE hs.pricebook_category (
    business_id               uuid                   NOT NULL,
    pricebook_category_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    parent_category_id        uuid,
    business_unit_id          uuid,
    category_code             system_core.code       NOT NULL,
    name                      text                   NOT NULL,
    category_kind             text                   NOT NULL DEFAULT 'service',
    display_seq               integer                NOT NULL DEFAULT 1,
    default_markup_pct        system_core.percentage NOT NULL DEFAULT 0,
    default_margin_pct        system_core.percentage NOT NULL DEFAULT 0,
    revenue_account_code      system_core.code,
    cogs_account_code         system_core.code,
    is_visible_to_technicians boolean                NOT NULL DEFAULT true,
    created_at                timestamptz            NOT NULL DEFAULT now(),
    updated_at                timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pricebook_category_id),
    UNIQUE (business_id, category_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, parent_category_id)
        REFERENCES hs.pricebook_category (business_id, pricebook_category_id),
    FOREIGN KEY (business_id, business_unit_id)
        REFERENCES hs.business_unit (business_id, business_unit_id),
    CONSTRAINT pricebook_category_kind_known
        CHECK (category_kind IN ('service', 'material', 'equipment', 'fee')),
    CONSTRAINT pricebook_category_seq_positive CHECK (display_seq > 0),
    CONSTRAINT pricebook_category_markup_bounded CHECK (default_markup_pct BETWEEN 0 AND 1000),
    CONSTRAINT pricebook_category_margin_below_100
        CHECK (default_margin_pct >= 0 AND default_margin_pct < 100)
);

COMMENT ON TABLE hs.pricebook_category IS
    'A branch of the tree that a technician browses, with margins and ledger accounts.';
COMMENT ON COLUMN hs.pricebook_category.default_markup_pct IS
    'What is put on the cost of its items where no price is stated.';
COMMENT ON COLUMN hs.pricebook_category.default_margin_pct IS
    'Share of the price that should be left after cost.';
COMMENT ON COLUMN hs.pricebook_category.cogs_account_code IS 'Account of the cost of goods sold.';

-- FK and browsing: what stands under a category, in its order.
CREATE INDEX pricebook_category_parent_idx
    ON hs.pricebook_category (business_id, parent_category_id, display_seq);

-- FK: the categories of a unit.
CREATE INDEX pricebook_category_unit_idx
    ON hs.pricebook_category (business_id, business_unit_id)
    WHERE business_unit_id IS NOT NULL;

ALTER TABLE hs.pricebook_category ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.pricebook_category
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.pricebook_category TO app_user;
GRANT SELECT ON hs.pricebook_category TO app_readonly;

CREATE TRIGGER pricebook_category_touch
    BEFORE UPDATE ON hs.pricebook_category
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.keep_categories_a_tree() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    broken text;
BEGIN
    -- One at a time: two moves made at once may close a circle that neither of them sees.
    PERFORM pg_advisory_xact_lock(hashtextextended(t.business_id::text || ' pricebook', 0))
    FROM (SELECT DISTINCT c.business_id FROM changed AS c
          WHERE c.parent_category_id IS NOT NULL ORDER BY c.business_id) AS t;

    WITH RECURSIVE above AS (
        SELECT c.business_id, c.pricebook_category_id AS origin, c.name,
               c.parent_category_id AS reached
        FROM changed AS c
        WHERE c.parent_category_id IS NOT NULL
        UNION   -- not ALL: a circle above the origin ends here, too
        SELECT a.business_id, a.origin, a.name, p.parent_category_id
        FROM above AS a
        JOIN hs.pricebook_category AS p
            ON p.business_id = a.business_id AND p.pricebook_category_id = a.reached
        WHERE p.parent_category_id IS NOT NULL AND a.reached <> a.origin
    )
    SELECT a.name INTO broken FROM above AS a WHERE a.reached = a.origin LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'category % would stand under itself', broken
            USING ERRCODE = 'check_violation',
                  HINT = 'Move it under a category that is not below it.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.keep_categories_a_tree() IS
    'No category of the pricebook is its own ancestor.';

CREATE TRIGGER pricebook_category_tree_insert
    AFTER INSERT ON hs.pricebook_category
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.keep_categories_a_tree();

CREATE TRIGGER pricebook_category_tree_update
    AFTER UPDATE ON hs.pricebook_category
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.keep_categories_a_tree();

ALTER TABLE hs.stock_item
    ADD FOREIGN KEY (business_id, pricebook_category_id)
        REFERENCES hs.pricebook_category (business_id, pricebook_category_id);


CREATE TABLE hs.service_task (
    business_id           uuid                   NOT NULL,
    service_task_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    pricebook_category_id uuid                   NOT NULL,
    task_code             system_core.code       NOT NULL,
    name                  text                   NOT NULL,
    customer_description  text,
    warranty_text         text,
    task_kind             text                   NOT NULL DEFAULT 'repair',
    standard_hours        numeric(10, 2)         NOT NULL DEFAULT 1,
    flat_price            system_core.money      NOT NULL DEFAULT 0,
    member_price          system_core.money,
    minimum_charge_amount system_core.money      NOT NULL DEFAULT 0,
    commission_basis_pct  system_core.percentage NOT NULL DEFAULT 100,
    bonus_amount          system_core.money      NOT NULL DEFAULT 0,
    is_taxable            boolean                NOT NULL DEFAULT true,
    cross_sale_group      text,
    effective_on          date                   NOT NULL DEFAULT current_date,
    retired_on            date,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, service_task_id),
    UNIQUE (business_id, task_code),
    FOREIGN KEY (business_id, pricebook_category_id)
        REFERENCES hs.pricebook_category (business_id, pricebook_category_id),
    CONSTRAINT service_task_kind_known
        CHECK (task_kind IN ('repair', 'install', 'maintenance', 'diagnostic', 'trip_fee',
                             'add_on')),
    CONSTRAINT service_task_hours_not_negative CHECK (standard_hours >= 0),
    CONSTRAINT service_task_prices_not_negative
        CHECK (flat_price >= 0 AND member_price >= 0 AND minimum_charge_amount >= 0
               AND bonus_amount >= 0),
    CONSTRAINT service_task_member_pays_no_more CHECK (member_price <= flat_price),
    CONSTRAINT service_task_commission_basis_bounded
        CHECK (commission_basis_pct BETWEEN 0 AND 100),
    CONSTRAINT service_task_retires_after_begin CHECK (retired_on > effective_on)
);

COMMENT ON TABLE hs.service_task IS
    'Work that is sold at a flat price, with its standard hours and warranty.';
COMMENT ON COLUMN hs.service_task.customer_description IS 'What the estimate and invoice say.';
COMMENT ON COLUMN hs.service_task.member_price IS
    'Price under an active agreement; NULL: members pay what others pay.';
COMMENT ON COLUMN hs.service_task.commission_basis_pct IS
    'Share of the price that commission is reckoned on.';
COMMENT ON COLUMN hs.service_task.cross_sale_group IS
    'Tasks of a group are offered together: a surge protector with a panel.';
COMMENT ON COLUMN hs.service_task.retired_on IS 'First day on which it is not offered.';

-- FK and browsing: the tasks of a category.
CREATE INDEX service_task_category_idx
    ON hs.service_task (business_id, pricebook_category_id, name);

ALTER TABLE hs.service_task ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.service_task
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.service_task TO app_user;
GRANT SELECT ON hs.service_task TO app_readonly;

CREATE TRIGGER service_task_touch
    BEFORE UPDATE ON hs.service_task
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER service_task_words
    AFTER INSERT OR UPDATE OF task_code, name OR DELETE ON hs.service_task
    FOR EACH ROW EXECUTE FUNCTION system_core.keep_search_words(
        'hs.service_task', 'service_task_id', 'task_code', 'name');


CREATE TABLE hs.service_task_material (
    business_id              uuid                   NOT NULL,
    service_task_material_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    service_task_id          uuid                   NOT NULL,
    stock_item_id            uuid                   NOT NULL,
    line_seq                 integer                NOT NULL,
    standard_qty             system_core.quantity   NOT NULL,
    waste_factor_pct         system_core.percentage NOT NULL DEFAULT 0,
    is_optional              boolean                NOT NULL DEFAULT false,
    allows_substitution      boolean                NOT NULL DEFAULT true,
    cost_snapshot_amount     system_core.money,
    usage_note               text,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, service_task_material_id),
    UNIQUE (business_id, service_task_id, stock_item_id),
    FOREIGN KEY (business_id, service_task_id)
        REFERENCES hs.service_task (business_id, service_task_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, stock_item_id)
        REFERENCES hs.stock_item (business_id, stock_item_id),
    CONSTRAINT service_task_material_seq_positive CHECK (line_seq > 0),
    CONSTRAINT service_task_material_uses_something CHECK (standard_qty > 0),
    CONSTRAINT service_task_material_waste_bounded CHECK (waste_factor_pct BETWEEN 0 AND 100),
    CONSTRAINT service_task_material_cost_not_negative CHECK (cost_snapshot_amount >= 0)
);

COMMENT ON TABLE hs.service_task_material IS
    'What a task uses as a rule: stocks the trucks and rolls up into its cost.';
COMMENT ON COLUMN hs.service_task_material.waste_factor_pct IS
    'What is cut off or spilled, in percent of the quantity.';
COMMENT ON COLUMN hs.service_task_material.cost_snapshot_amount IS
    'Cost of the line when the flat price was last set.';

-- FK: the tasks that an item is used by.
CREATE INDEX service_task_material_item_idx
    ON hs.service_task_material (business_id, stock_item_id);

ALTER TABLE hs.service_task_material ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.service_task_material
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.service_task_material TO app_user;
GRANT SELECT ON hs.service_task_material TO app_readonly;

CREATE TRIGGER service_task_material_touch
    BEFORE UPDATE ON hs.service_task_material
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.labor_rate (
    business_id             uuid                   NOT NULL,
    labor_rate_id           uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    business_unit_id        uuid                   NOT NULL,
    rate_code               system_core.code       NOT NULL,
    name                    text                   NOT NULL,
    labor_class             text                   NOT NULL DEFAULT 'technician',
    billing_mode            text                   NOT NULL DEFAULT 'hourly',
    hourly_bill_amount      system_core.money      NOT NULL,
    hourly_cost_amount      system_core.money      NOT NULL DEFAULT 0,
    overtime_multiplier_pct system_core.percentage NOT NULL DEFAULT 150,
    applies_days            text                   NOT NULL DEFAULT 'weekday',
    starts_time             time,
    ends_time               time,
    effective_on            date                   NOT NULL DEFAULT current_date,
    ends_on                 date,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, labor_rate_id),
    UNIQUE (business_id, rate_code),
    FOREIGN KEY (business_id, business_unit_id)
        REFERENCES hs.business_unit (business_id, business_unit_id),
    CONSTRAINT labor_rate_class_known
        CHECK (labor_class IN ('apprentice', 'technician', 'senior', 'master', 'helper')),
    CONSTRAINT labor_rate_billing_mode_known CHECK (billing_mode IN ('flat', 'hourly')),
    CONSTRAINT labor_rate_days_known CHECK (applies_days IN ('weekday', 'weekend', 'holiday')),
    CONSTRAINT labor_rate_amounts_not_negative
        CHECK (hourly_bill_amount >= 0 AND hourly_cost_amount >= 0),
    CONSTRAINT labor_rate_overtime_bounded
        CHECK (overtime_multiplier_pct BETWEEN 100 AND 400),
    CONSTRAINT labor_rate_times_are_whole CHECK ((starts_time IS NULL) = (ends_time IS NULL)),
    CONSTRAINT labor_rate_ends_later_that_day CHECK (ends_time > starts_time),
    CONSTRAINT labor_rate_ends_after_begin CHECK (ends_on > effective_on),
    CONSTRAINT labor_rate_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, business_unit_id WITH =, labor_class WITH =, applies_days WITH =,
        daterange(effective_on, ends_on) WITH &&,
        numrange(extract(epoch FROM starts_time), extract(epoch FROM ends_time)) WITH &&)
);

COMMENT ON TABLE hs.labor_rate IS
    'What an hour is billed at and costs, by unit, class of labor and time of the week.';
COMMENT ON COLUMN hs.labor_rate.billing_mode IS
    'flat: flat prices are reckoned with it; hourly: it is billed by the clock.';
COMMENT ON COLUMN hs.labor_rate.starts_time IS
    'From when in the day; NULL is the whole day. A night is two rates.';
COMMENT ON COLUMN hs.labor_rate.ends_on IS 'First day on which it does not hold.';

-- FK and pricing: the rate of a unit, class and kind of day.
CREATE INDEX labor_rate_unit_idx
    ON hs.labor_rate (business_id, business_unit_id, labor_class, applies_days);

ALTER TABLE hs.labor_rate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.labor_rate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.labor_rate TO app_user;
GRANT SELECT ON hs.labor_rate TO app_readonly;

CREATE TRIGGER labor_rate_touch
    BEFORE UPDATE ON hs.labor_rate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.price_level (
    business_id        uuid                   NOT NULL,
    price_level_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    level_code         system_core.code       NOT NULL,
    name               text                   NOT NULL,
    level_kind         text                   NOT NULL DEFAULT 'standard',
    rounding_rule      text                   NOT NULL DEFAULT 'none',
    default_adjust_pct system_core.percentage NOT NULL DEFAULT 0,
    currency_code      system_core.currency   NOT NULL,
    starts_on          date                   NOT NULL DEFAULT current_date,
    ends_on            date,
    is_default         boolean                NOT NULL DEFAULT false,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, price_level_id),
    UNIQUE (business_id, level_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT price_level_kind_known
        CHECK (level_kind IN ('standard', 'member', 'commercial', 'insurance', 'employee')),
    CONSTRAINT price_level_rounding_rule_known
        CHECK (rounding_rule IN ('none', 'nearest_dollar', 'ends_99', 'nearest_5')),
    CONSTRAINT price_level_leaves_a_price CHECK (default_adjust_pct > -100),
    CONSTRAINT price_level_ends_after_begin CHECK (ends_on > starts_on)
);

COMMENT ON TABLE hs.price_level IS
    'A policy of prices that a customer is put on: member, commercial contract, insurance.';
COMMENT ON COLUMN hs.price_level.default_adjust_pct IS
    'Put on the list price where nothing else is agreed; -10 takes 10 % off.';
COMMENT ON COLUMN hs.price_level.is_default IS
    'Holds for whoever is on no other level that is in force.';

-- A tenant has one default level.
CREATE UNIQUE INDEX price_level_default_idx
    ON hs.price_level (business_id)
    WHERE is_default;

ALTER TABLE hs.price_level ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.price_level
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.price_level TO app_user;
GRANT SELECT ON hs.price_level TO app_readonly;

CREATE TRIGGER price_level_touch
    BEFORE UPDATE ON hs.price_level
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.price_level_entry (
    business_id          uuid                   NOT NULL,
    price_level_entry_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    price_level_id       uuid                   NOT NULL,
    service_task_id      uuid,
    stock_item_id        uuid,
    pricing_mode         text                   NOT NULL,
    fixed_price          system_core.money,
    adjust_pct           system_core.percentage,
    min_qty              system_core.quantity   NOT NULL DEFAULT 0,
    max_qty              system_core.quantity,
    effective_on         date                   NOT NULL DEFAULT current_date,
    ends_on              date,
    approval_note        text,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, price_level_entry_id),
    FOREIGN KEY (business_id, price_level_id)
        REFERENCES hs.price_level (business_id, price_level_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, service_task_id)
        REFERENCES hs.service_task (business_id, service_task_id),
    FOREIGN KEY (business_id, stock_item_id)
        REFERENCES hs.stock_item (business_id, stock_item_id),
    CONSTRAINT price_level_entry_mode_known
        CHECK (pricing_mode IN ('fixed', 'discount_pct', 'markup_pct')),
    CONSTRAINT price_level_entry_of_one_thing
        CHECK (num_nonnulls(service_task_id, stock_item_id) = 1),
    CONSTRAINT price_level_entry_fixed_has_price
        CHECK ((pricing_mode = 'fixed') = (fixed_price IS NOT NULL)),
    CONSTRAINT price_level_entry_percent_has_percent
        CHECK ((pricing_mode = 'fixed') = (adjust_pct IS NULL)),
    CONSTRAINT price_level_entry_price_not_negative CHECK (fixed_price >= 0),
    CONSTRAINT price_level_entry_percent_not_negative CHECK (adjust_pct >= 0),
    CONSTRAINT price_level_entry_discount_leaves_a_price
        CHECK (pricing_mode <> 'discount_pct' OR adjust_pct <= 100),
    CONSTRAINT price_level_entry_markup_needs_a_cost
        CHECK (pricing_mode <> 'markup_pct' OR stock_item_id IS NOT NULL),
    CONSTRAINT price_level_entry_band_is_a_band CHECK (min_qty >= 0 AND max_qty > min_qty),
    CONSTRAINT price_level_entry_ends_after_begin CHECK (ends_on > effective_on),
    CONSTRAINT price_level_entry_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, price_level_id WITH =,
        (coalesce(service_task_id, stock_item_id)) WITH =,
        numrange(min_qty, max_qty) WITH &&, daterange(effective_on, ends_on) WITH &&)
);

COMMENT ON TABLE hs.price_level_entry IS
    'What a level agrees for one task or item, from a quantity on.';
COMMENT ON COLUMN hs.price_level_entry.adjust_pct IS
    'discount_pct: off the list price; markup_pct: put on the item''s average cost.';
COMMENT ON COLUMN hs.price_level_entry.max_qty IS 'First quantity of the next band.';
COMMENT ON COLUMN hs.price_level_entry.ends_on IS 'First day on which it does not hold.';
COMMENT ON COLUMN hs.price_level_entry.approval_note IS
    'Who agreed to it, and where it is written.';

-- FK: what a level agrees.
CREATE INDEX price_level_entry_level_idx ON hs.price_level_entry (business_id, price_level_id);

-- FK and pricing: what is agreed for a task.
CREATE INDEX price_level_entry_task_idx
    ON hs.price_level_entry (business_id, service_task_id, price_level_id)
    WHERE service_task_id IS NOT NULL;

-- FK and pricing: what is agreed for an item.
CREATE INDEX price_level_entry_item_idx
    ON hs.price_level_entry (business_id, stock_item_id, price_level_id)
    WHERE stock_item_id IS NOT NULL;

ALTER TABLE hs.price_level_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.price_level_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.price_level_entry TO app_user;
GRANT SELECT ON hs.price_level_entry TO app_readonly;

CREATE TRIGGER price_level_entry_touch
    BEFORE UPDATE ON hs.price_level_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.tax_rate (
    business_id       uuid                   NOT NULL,
    tax_rate_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    jurisdiction_code system_core.code       NOT NULL,
    name              text                   NOT NULL,
    region_code       system_core.region,
    tax_kind          text                   NOT NULL DEFAULT 'sales',
    combined_pct      system_core.percentage NOT NULL
        GENERATED ALWAYS AS (state_pct + local_pct) STORED,
    state_pct         system_core.percentage NOT NULL DEFAULT 0,
    local_pct         system_core.percentage NOT NULL DEFAULT 0,
    applies_to        text                   NOT NULL DEFAULT 'both',
    effective_on      date                   NOT NULL DEFAULT current_date,
    ends_on           date,
    source_ref        text,
    created_at        timestamptz            NOT NULL DEFAULT now(),
    updated_at        timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_rate_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT tax_rate_kind_known CHECK (tax_kind IN ('sales', 'use', 'labor', 'municipal')),
    CONSTRAINT tax_rate_applies_to_known CHECK (applies_to IN ('parts', 'labor', 'both')),
    CONSTRAINT tax_rate_percents_bounded
        CHECK (state_pct >= 0 AND local_pct >= 0 AND state_pct + local_pct <= 50),
    CONSTRAINT tax_rate_ends_after_begin CHECK (ends_on > effective_on),
    CONSTRAINT tax_rate_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, jurisdiction_code WITH =, tax_kind WITH =,
        daterange(effective_on, ends_on) WITH &&)
);

COMMENT ON TABLE hs.tax_rate IS
    'The tax of a jurisdiction for a time, on parts, labor or both.';
COMMENT ON COLUMN hs.tax_rate.combined_pct IS 'What is charged: the state''s and the local share.';
COMMENT ON COLUMN hs.tax_rate.ends_on IS 'First day on which it does not hold.';
COMMENT ON COLUMN hs.tax_rate.source_ref IS 'The notice or table that it was taken from.';

ALTER TABLE hs.tax_rate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.tax_rate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.tax_rate TO app_user;
GRANT SELECT ON hs.tax_rate TO app_readonly;

CREATE TRIGGER tax_rate_touch
    BEFORE UPDATE ON hs.tax_rate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION hs.round_price(price numeric, rounding_rule text) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN round(coalesce(nullif(greatest(
        CASE rounding_rule
            WHEN 'nearest_dollar' THEN round(price)
            WHEN 'nearest_5' THEN round(price / 5) * 5
            WHEN 'ends_99' THEN round(price + 0.01) - 0.01
            ELSE price
        END, 0), 0), price), 2);
COMMENT ON FUNCTION hs.round_price(numeric, text) IS
    'A price by the rounding rule of a level, in cents; what would be rounded to nothing keeps
     its cents.';


CREATE FUNCTION hs.quote_line_price(
    customer uuid, service_task uuid, stock_item uuid, quantity numeric, on_day date
) RETURNS TABLE (unit_price numeric, discount_pct numeric, source text)
    LANGUAGE plpgsql STABLE ROWS 1 AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    sold   record;
    level  hs.price_level;
    agreed hs.price_level_entry;
BEGIN
    IF num_nonnulls(service_task, stock_item) <> 1 OR on_day IS NULL
       OR NOT coalesce(quantity > 0, false) THEN
        RAISE EXCEPTION 'a line sells one task or one item, in a quantity, on a day'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT t.flat_price AS list_price, t.member_price, 0 AS cost INTO sold
    FROM hs.service_task AS t
    WHERE t.business_id = tenant AND t.service_task_id = service_task
    UNION ALL
    SELECT i.list_price, NULL, i.average_cost
    FROM hs.stock_item AS i
    WHERE i.business_id = tenant AND i.stock_item_id = stock_item;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no task or item %', coalesce(service_task, stock_item)
            USING ERRCODE = 'no_data_found';
    END IF;
    IF customer IS NOT NULL AND NOT EXISTS (
        SELECT FROM hs.customer AS c WHERE c.business_id = tenant AND c.customer_id = customer
    ) THEN
        RAISE EXCEPTION 'there is no customer %', customer USING ERRCODE = 'no_data_found';
    END IF;

    -- The customer's level, or the tenant's default where that is not in force.
    SELECT l.* INTO level
    FROM hs.price_level AS l
    LEFT JOIN hs.customer AS c
        ON c.business_id = l.business_id AND c.price_level_id = l.price_level_id
       AND c.customer_id = ANY (ARRAY[customer])
    WHERE l.business_id = tenant AND (l.is_default OR c.customer_id IS NOT NULL)
      AND l.starts_on <= on_day AND (l.ends_on > on_day OR l.ends_on IS NULL)
    ORDER BY c.customer_id IS NOT NULL DESC
    LIMIT 1;

    SELECT e.* INTO agreed
    FROM hs.price_level_entry AS e
    WHERE e.business_id = tenant AND e.price_level_id = level.price_level_id
      AND (e.service_task_id = service_task OR e.stock_item_id = stock_item)
      AND e.min_qty <= quantity AND (e.max_qty > quantity OR e.max_qty IS NULL)
      AND e.effective_on <= on_day AND (e.ends_on > on_day OR e.ends_on IS NULL)
      AND (e.pricing_mode <> 'markup_pct' OR sold.cost > 0);

    IF agreed.price_level_entry_id IS NOT NULL THEN
        source := 'contract';
        unit_price := CASE agreed.pricing_mode
            WHEN 'fixed' THEN agreed.fixed_price
            WHEN 'discount_pct' THEN sold.list_price * (1 - agreed.adjust_pct / 100)
            ELSE sold.cost * (1 + agreed.adjust_pct / 100) END;
    ELSIF sold.member_price IS NOT NULL AND EXISTS (
        SELECT FROM hs.agreement AS a
        WHERE a.business_id = tenant AND a.customer_id = customer AND a.status = 'active'
          AND a.starts_on <= on_day AND (a.ends_on >= on_day OR a.ends_on IS NULL)
    ) THEN
        source := 'member';
        unit_price := sold.member_price;
    ELSIF level.default_adjust_pct <> 0 THEN
        source := 'price_level';
        unit_price := sold.list_price * (1 + level.default_adjust_pct / 100);
    ELSE
        source := 'list';
        unit_price := sold.list_price;
    END IF;

    -- A fixed price was promised to the cent.
    IF agreed.pricing_mode IS DISTINCT FROM 'fixed' THEN
        unit_price := hs.round_price(unit_price, level.rounding_rule);
    END IF;
    discount_pct := coalesce(
        greatest(round(100 * (1 - unit_price / nullif(sold.list_price, 0)), 4), 0), 0);
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION hs.quote_line_price(uuid, uuid, uuid, numeric, date) IS
    'What a unit of a task or an item of the tenant costs a customer (NULL: anybody) on a day:
     what the customer''s level agrees, else the member''s price under an active agreement, else
     the list price with the level''s adjustment, else the list price; then rounded by the level''s
     rule, except a fixed price. discount_pct is what that is below the list price.';
