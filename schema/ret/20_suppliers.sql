/*
 * Suppliers: who sells to the retailer, what, at which cost and on which terms.
 *
 * A supplier_product is a variant as a supplier sells it, with packs and lead time; supplier_cost
 * its dated breaks: who takes more pays less. ret.supplier_cost_at() says what a quantity costs on
 * a day. A supplier_agreement pays back for what was bought, in tiers; a consignment_agreement
 * leaves goods the supplier's until they are sold.
 */

CREATE TABLE ret.supplier (
    business_id          uuid                   NOT NULL,
    supplier_id          uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_code        system_core.code       NOT NULL,
    legal_name           text                   NOT NULL,
    supplier_kind        text                   NOT NULL,
    gln                  text,
    tax_number           text,
    currency             system_core.currency   NOT NULL,
    payment_terms_days   integer                NOT NULL DEFAULT 30,
    early_discount_pct   system_core.percentage,
    incoterm             text                   NOT NULL,
    default_lead_days    integer,
    minimum_order_amount system_core.money      NOT NULL DEFAULT 0,
    edi_enabled          boolean                NOT NULL DEFAULT false,
    risk_rating          text                   NOT NULL,
    onboarded_on         date,
    status               text                   NOT NULL DEFAULT 'prospect',
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_id),
    UNIQUE (business_id, supplier_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT supplier_kind_known
        CHECK (supplier_kind IN ('manufacturer', 'distributor', 'importer', 'dropship',
                                 'consignor', 'service')),
    CONSTRAINT supplier_incoterm_known CHECK (incoterm IN ('exw', 'fob', 'cif', 'dap', 'ddp')),
    CONSTRAINT supplier_risk_rating_known CHECK (risk_rating IN ('low', 'medium', 'high')),
    CONSTRAINT supplier_status_known
        CHECK (status IN ('prospect', 'active', 'on_hold', 'blocked', 'ended')),
    CONSTRAINT supplier_payment_terms_days_not_negative CHECK (payment_terms_days >= 0),
    CONSTRAINT supplier_lead_days_not_negative CHECK (default_lead_days >= 0),
    CONSTRAINT supplier_minimum_order_not_negative CHECK (minimum_order_amount >= 0),
    CONSTRAINT supplier_early_discount_bounded CHECK (early_discount_pct BETWEEN 0 AND 100),
    CONSTRAINT supplier_gln_valid CHECK (length(gln) = 13 AND ret.is_gs1_number(gln)),
    CONSTRAINT supplier_active_was_onboarded
        CHECK (status IN ('prospect', 'ended', 'blocked') OR onboarded_on IS NOT NULL)
);

COMMENT ON TABLE ret.supplier IS 'Vendor, manufacturer or distributor with its terms.';
COMMENT ON COLUMN ret.supplier.early_discount_pct IS 'What an invoice paid early costs less.';
COMMENT ON COLUMN ret.supplier.status IS 'A blocked supplier receives no purchase orders.';
COMMENT ON COLUMN ret.supplier.incoterm IS 'From where on the goods are the retailer''s risk.';

ALTER TABLE ret.supplier ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier TO app_user;
GRANT SELECT ON ret.supplier TO app_readonly;

CREATE TRIGGER supplier_touch
    BEFORE UPDATE ON ret.supplier
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER supplier_status_machine
    BEFORE INSERT OR UPDATE OF status ON ret.supplier
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["prospect", "active"],
        "transitions": {
            "prospect": ["active", "ended"],
            "active":   ["on_hold", "blocked", "ended"],
            "on_hold":  ["active", "blocked", "ended"],
            "blocked":  ["active", "ended"],
            "ended":    []
        }}');

CREATE FUNCTION ret.onboard_supplier() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.onboarded_on := coalesce(NEW.onboarded_on, current_date);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.onboard_supplier() IS 'A supplier is onboarded the day it becomes active.';

CREATE TRIGGER supplier_onboards
    BEFORE INSERT OR UPDATE OF status ON ret.supplier
    FOR EACH ROW WHEN (NEW.status = 'active' AND NEW.onboarded_on IS NULL)
    EXECUTE FUNCTION ret.onboard_supplier();


CREATE TABLE ret.supplier_contact (
    business_id         uuid                    NOT NULL,
    supplier_contact_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_id         uuid                    NOT NULL,
    contact_role        text                    NOT NULL,
    full_name           system_core.person_name NOT NULL,
    email               system_core.email       NOT NULL,
    phone               system_core.phone,
    language_code       system_core.locale,
    receives_orders     boolean                 NOT NULL DEFAULT false,
    receives_claims     boolean                 NOT NULL DEFAULT false,
    is_primary          boolean                 NOT NULL DEFAULT false,
    is_active           boolean                 NOT NULL DEFAULT true,
    created_at          timestamptz             NOT NULL DEFAULT now(),
    updated_at          timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_contact_id),
    UNIQUE (business_id, supplier_id, contact_role, email),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    CONSTRAINT supplier_contact_role_known
        CHECK (contact_role IN ('sales', 'orders', 'logistics', 'quality', 'accounts',
                                'executive')),
    CONSTRAINT supplier_contact_primary_is_active CHECK (NOT is_primary OR is_active)
);

COMMENT ON TABLE ret.supplier_contact IS 'Person at the supplier by role.';

-- One primary per role, whom a buyer writes to first.
CREATE UNIQUE INDEX supplier_contact_primary_idx
    ON ret.supplier_contact (business_id, supplier_id, contact_role)
    WHERE is_primary;

ALTER TABLE ret.supplier_contact ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier_contact
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier_contact TO app_user;
GRANT SELECT ON ret.supplier_contact TO app_readonly;

CREATE TRIGGER supplier_contact_touch
    BEFORE UPDATE ON ret.supplier_contact
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.supplier_product (
    business_id         uuid                   NOT NULL,
    supplier_product_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_id         uuid                   NOT NULL,
    product_variant_id  uuid                   NOT NULL,
    supplier_sku        text                   NOT NULL,
    pack_size           system_core.quantity   NOT NULL DEFAULT 1,
    minimum_order_qty   system_core.quantity   NOT NULL DEFAULT 1,
    order_multiple      integer                NOT NULL DEFAULT 1,
    lead_days           integer,
    lead_days_sd        numeric(9, 4),
    is_preferred        boolean                NOT NULL DEFAULT false,
    is_dropship         boolean                NOT NULL DEFAULT false,
    carton_qty          system_core.quantity,
    country_of_origin   system_core.country,
    last_cost           system_core.unit_price,
    last_ordered_on     date,
    status              text                   NOT NULL DEFAULT 'active',
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_product_id),
    UNIQUE (business_id, supplier_id, supplier_sku),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT supplier_product_status_known CHECK (status IN ('active', 'discontinued')),
    CONSTRAINT supplier_product_minimum_order_is_one CHECK (minimum_order_qty >= 1),
    CONSTRAINT supplier_product_order_multiple_is_one CHECK (order_multiple >= 1),
    CONSTRAINT supplier_product_packs_positive CHECK (least(pack_size, carton_qty) > 0),
    CONSTRAINT supplier_product_lead_not_negative CHECK (least(lead_days, lead_days_sd) >= 0),
    CONSTRAINT supplier_product_cost_not_negative CHECK (last_cost >= 0),
    CONSTRAINT supplier_product_preferred_is_active CHECK (NOT is_preferred OR status = 'active')
);

COMMENT ON TABLE ret.supplier_product IS
    'A variant as a supplier sells it: its number there, packs, lead time.';
COMMENT ON COLUMN ret.supplier_product.lead_days IS
    'From order to receipt; NULL where the supplier''s default holds.';
COMMENT ON COLUMN ret.supplier_product.lead_days_sd IS
    'How much the lead time varies: standard deviation in days.';
COMMENT ON COLUMN ret.supplier_product.last_cost IS 'What was last paid for one, before freight.';

-- One preferred supplier per variant: where replenishment orders it.
CREATE UNIQUE INDEX supplier_product_preferred_idx
    ON ret.supplier_product (business_id, product_variant_id)
    WHERE is_preferred;

-- FK: the supplier products of a product variant.
CREATE INDEX supplier_product_product_variant_idx
    ON ret.supplier_product (business_id, product_variant_id);

ALTER TABLE ret.supplier_product ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier_product
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier_product TO app_user;
GRANT SELECT ON ret.supplier_product TO app_readonly;

CREATE TRIGGER supplier_product_touch
    BEFORE UPDATE ON ret.supplier_product
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.supplier_cost (
    business_id         uuid                   NOT NULL,
    supplier_cost_id    uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_product_id uuid                   NOT NULL,
    min_qty             system_core.quantity   NOT NULL DEFAULT 1,
    unit_cost           system_core.unit_price NOT NULL,
    currency            system_core.currency   NOT NULL,
    cost_kind           text                   NOT NULL,
    freight_per_unit    system_core.quantity   NOT NULL DEFAULT 0,
    duty_pct            system_core.percentage NOT NULL DEFAULT 0,
    effective_from      date                   NOT NULL,
    effective_to        date,
    approved_at         timestamptz,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_cost_id),
    UNIQUE (business_id, supplier_product_id, cost_kind, min_qty, effective_from),
    FOREIGN KEY (business_id, supplier_product_id)
        REFERENCES ret.supplier_product (business_id, supplier_product_id),
    CONSTRAINT supplier_cost_kind_known
        CHECK (cost_kind IN ('contract', 'list', 'promotional', 'closeout')),
    CONSTRAINT supplier_cost_unit_cost_positive CHECK (unit_cost > 0),
    CONSTRAINT supplier_cost_min_qty_positive CHECK (min_qty > 0),
    CONSTRAINT supplier_cost_extras_not_negative CHECK (freight_per_unit >= 0 AND duty_pct >= 0),
    CONSTRAINT supplier_cost_ends_after_start CHECK (effective_to >= effective_from),
    -- One cost of a kind and break on a day.
    CONSTRAINT supplier_cost_no_overlap EXCLUDE USING gist (
        business_id WITH =, supplier_product_id WITH =, cost_kind WITH =, min_qty WITH =,
        daterange(effective_from, effective_to, '[]') WITH &&)
);

COMMENT ON TABLE ret.supplier_cost IS
    'Dated cost break of a supplier product: from min_qty on, a unit costs less.';
COMMENT ON COLUMN ret.supplier_cost.effective_to IS 'Last day; NULL where it is open.';
COMMENT ON COLUMN ret.supplier_cost.approved_at IS
    'NULL while a buyer has not agreed to it: it is not ordered at.';

ALTER TABLE ret.supplier_cost ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier_cost
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier_cost TO app_user;
GRANT SELECT ON ret.supplier_cost TO app_readonly;

CREATE TRIGGER supplier_cost_touch
    BEFORE UPDATE ON ret.supplier_cost
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.refuse_rising_cost() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT n.min_qty, n.unit_cost, c.min_qty AS other_qty, c.unit_cost AS other_cost INTO wrong
    FROM changed AS n
    JOIN ret.supplier_cost AS c
        ON c.business_id = n.business_id AND c.supplier_product_id = n.supplier_product_id
       AND c.cost_kind = n.cost_kind AND c.currency = n.currency
       AND daterange(c.effective_from, c.effective_to, '[]')
           && daterange(n.effective_from, n.effective_to, '[]')
       AND ((c.min_qty < n.min_qty AND c.unit_cost <= n.unit_cost)
            OR (c.min_qty > n.min_qty AND c.unit_cost >= n.unit_cost))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'from % on a unit costs %, from % on %: more must cost less',
                        wrong.min_qty, wrong.unit_cost, wrong.other_qty, wrong.other_cost
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.refuse_rising_cost() IS
    'The cost of a unit falls as the quantity rises, at every moment.';

CREATE TRIGGER supplier_cost_falls_on_insert
    AFTER INSERT ON ret.supplier_cost
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.refuse_rising_cost();

CREATE TRIGGER supplier_cost_falls_on_update
    AFTER UPDATE ON ret.supplier_cost
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.refuse_rising_cost();

CREATE FUNCTION ret.supplier_cost_at(sold_as uuid, quantity numeric, on_day date)
    RETURNS TABLE (supplier_cost_id uuid, unit_cost numeric, landed_cost numeric, cost_kind text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT c.supplier_cost_id, c.unit_cost,
           round(c.unit_cost * (1 + c.duty_pct / 100) + c.freight_per_unit, 6), c.cost_kind
    FROM ret.supplier_cost AS c
    WHERE c.business_id = tenant_mgmt.current_business_id() AND c.supplier_product_id = sold_as
      AND c.min_qty <= quantity AND c.approved_at IS NOT NULL
      AND daterange(c.effective_from, c.effective_to, '[]') @> on_day
    ORDER BY c.unit_cost, c.min_qty DESC, c.cost_kind
    LIMIT 1;
END;
COMMENT ON FUNCTION ret.supplier_cost_at(uuid, numeric, date) IS
    'The best approved cost of a quantity on a day, of whatever kind, and what a unit costs with
     duty and freight. No row where the supplier has none.';


CREATE FUNCTION ret.tiers_rise(tiers jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT count(*) = 0
    FROM (
        SELECT (e.tier ->> 'from_amount')::numeric AS from_amount,
               (e.tier ->> 'rebate_pct')::numeric AS rebate_pct,
               lag((e.tier ->> 'from_amount')::numeric, 1, -1::numeric)
                   OVER (ORDER BY e.place) AS before
        FROM jsonb_array_elements(tiers) WITH ORDINALITY AS e (tier, place)
    ) AS t
    WHERE (t.from_amount > t.before AND t.from_amount >= 0
           AND t.rebate_pct BETWEEN 0 AND 100) IS NOT TRUE;
END;
COMMENT ON FUNCTION ret.tiers_rise(jsonb) IS
    'Whether tiers are {from_amount, rebate_pct} whose thresholds rise from zero or more.';

CREATE FUNCTION ret.rebate_pct(tiers jsonb, amount numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(max(t.rebate_pct), 0)
    FROM (
        SELECT x.rebate_pct
        FROM JSON_TABLE(tiers, '$[*]' COLUMNS (
            from_amount numeric PATH '$.from_amount', rebate_pct numeric PATH '$.rebate_pct'
        )) AS x
        WHERE x.from_amount <= amount
        ORDER BY x.from_amount DESC
        LIMIT 1
    ) AS t;
END;
COMMENT ON FUNCTION ret.rebate_pct(jsonb, numeric) IS
    'What an amount earns: the rebate of the highest tier that it reaches, zero below the first.';


CREATE TABLE ret.supplier_agreement (
    business_id           uuid                   NOT NULL,
    supplier_agreement_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    document_file_id      uuid,
    supplier_id           uuid                   NOT NULL,
    agreement_number      text                   NOT NULL,
    agreement_kind        text                   NOT NULL,
    basis                 text                   NOT NULL,
    tiers_doc             system_core.json_array,
    accrual_pct           system_core.percentage,
    settle_every          text                   NOT NULL,
    effective_from        date                   NOT NULL,
    effective_to          date,
    signed_on             date,
    state                 text                   NOT NULL DEFAULT 'draft',
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_agreement_id),
    UNIQUE (business_id, agreement_number),
    FOREIGN KEY (business_id, document_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    CONSTRAINT supplier_agreement_kind_known
        CHECK (agreement_kind IN ('rebate', 'coop', 'markdown_support', 'return_allowance',
                                  'exclusivity', 'service_level')),
    CONSTRAINT supplier_agreement_basis_known
        CHECK (basis IN ('purchases', 'receipts', 'sales', 'fixed')),
    CONSTRAINT supplier_agreement_settle_every_known
        CHECK (settle_every IN ('month', 'quarter', 'year')),
    CONSTRAINT supplier_agreement_state_known
        CHECK (state IN ('draft', 'active', 'expired', 'terminated')),
    CONSTRAINT supplier_agreement_ends_after_start CHECK (effective_to > effective_from),
    CONSTRAINT supplier_agreement_accrual_bounded CHECK (accrual_pct BETWEEN 0 AND 100),
    CONSTRAINT supplier_agreement_tiers_rise CHECK (ret.tiers_rise(tiers_doc)),
    CONSTRAINT supplier_agreement_active_is_signed
        CHECK (state NOT IN ('active', 'expired') OR signed_on IS NOT NULL)
);

COMMENT ON TABLE ret.supplier_agreement IS
    'Trading terms: volume rebate, co-op, markdown support, returns allowance.';
COMMENT ON COLUMN ret.supplier_agreement.tiers_doc IS
    'Array of {from_amount, rebate_pct} whose thresholds rise; ret.rebate_pct() reads it.';
COMMENT ON COLUMN ret.supplier_agreement.accrual_pct IS
    'What is put aside on every purchase until it is settled.';

-- FK: the supplier agreements by their document file.
CREATE INDEX supplier_agreement_document_file_idx
    ON ret.supplier_agreement (business_id, document_file_id)
    WHERE document_file_id IS NOT NULL;

-- FK: the supplier agreements of a supplier.
CREATE INDEX supplier_agreement_supplier_idx ON ret.supplier_agreement (business_id, supplier_id);

ALTER TABLE ret.supplier_agreement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier_agreement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier_agreement TO app_user;
GRANT SELECT ON ret.supplier_agreement TO app_readonly;

CREATE TRIGGER supplier_agreement_touch
    BEFORE UPDATE ON ret.supplier_agreement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER supplier_agreement_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.supplier_agreement
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft"],
        "transitions": {
            "draft":      ["active", "terminated"],
            "active":     ["expired", "terminated"],
            "expired":    [],
            "terminated": []
        }}');


CREATE TABLE ret.consignment_agreement (
    business_id              uuid                   NOT NULL,
    consignment_agreement_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_id              uuid                   NOT NULL,
    location_id              uuid,
    agreement_number         text                   NOT NULL,
    commission_pct           system_core.percentage NOT NULL,
    settle_every             text                   NOT NULL,
    payment_terms_days       integer                NOT NULL,
    shrink_liability         text                   NOT NULL,
    max_units                system_core.quantity,
    return_after_days        integer,
    effective_from           date                   NOT NULL,
    effective_to             date,
    state                    text                   NOT NULL DEFAULT 'draft',
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, consignment_agreement_id),
    UNIQUE (business_id, agreement_number),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT consignment_agreement_settle_every_known CHECK (settle_every IN ('week', 'month')),
    CONSTRAINT consignment_agreement_shrink_liability_known
        CHECK (shrink_liability IN ('supplier', 'retailer', 'shared')),
    CONSTRAINT consignment_agreement_state_known CHECK (state IN ('draft', 'active', 'ended')),
    CONSTRAINT consignment_agreement_commission_pct_bounded
        CHECK (commission_pct BETWEEN 0 AND 90),
    CONSTRAINT consignment_agreement_ends_after_start CHECK (effective_to >= effective_from),
    CONSTRAINT consignment_agreement_terms_not_negative CHECK (payment_terms_days >= 0),
    CONSTRAINT consignment_agreement_max_units_positive CHECK (max_units > 0),
    CONSTRAINT consignment_agreement_return_after_positive CHECK (return_after_days > 0),
    -- One agreement at a time for a supplier at a location; NULL is all locations.
    CONSTRAINT consignment_agreement_no_overlap EXCLUDE USING gist (
        business_id WITH =, supplier_id WITH =,
        (coalesce(location_id, '00000000-0000-0000-0000-000000000000')) WITH =,
        daterange(effective_from, effective_to, '[]') WITH &&)
);

COMMENT ON TABLE ret.consignment_agreement IS
    'Goods owned by the supplier until sold: commission, payment cycle, shrink liability.';
COMMENT ON COLUMN ret.consignment_agreement.location_id IS 'NULL where it holds for all of them.';
COMMENT ON COLUMN ret.consignment_agreement.commission_pct IS
    'What the retailer keeps of the price that the customer paid.';
COMMENT ON COLUMN ret.consignment_agreement.max_units IS
    'How many may lie here at once; NULL for any.';
COMMENT ON COLUMN ret.consignment_agreement.return_after_days IS
    'After how many days unsold goods go back.';

-- FK: the consignment agreements of a supplier.
CREATE INDEX consignment_agreement_supplier_idx
    ON ret.consignment_agreement (business_id, supplier_id);

-- FK: the consignment agreements of a location.
CREATE INDEX consignment_agreement_location_idx
    ON ret.consignment_agreement (business_id, location_id)
    WHERE location_id IS NOT NULL;

ALTER TABLE ret.consignment_agreement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.consignment_agreement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.consignment_agreement TO app_user;
GRANT SELECT ON ret.consignment_agreement TO app_readonly;

CREATE TRIGGER consignment_agreement_touch
    BEFORE UPDATE ON ret.consignment_agreement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER consignment_agreement_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.consignment_agreement
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft", "active"],
        "transitions": {
            "draft":  ["active", "ended"],
            "active": ["ended"],
            "ended":  []
        }}');
