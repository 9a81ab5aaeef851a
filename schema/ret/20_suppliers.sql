/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE ret.supplier (
    business_id          uuid                   NOT NULL,
    supplier_id          uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_code        system_core.code       NOT NULL,
    legal_name           text,
    supplier_kind        text                   NOT NULL,
    gln                  text,
    tax_number           text,
    currency             system_core.currency,
    payment_terms_days   integer,
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
    CONSTRAINT supplier_payment_terms_days_not_negative CHECK (payment_terms_days >= 0)
);

COMMENT ON TABLE ret.supplier IS 'Vendor, manufacturer or distributor with its terms.';
-- RULE blocked suppliers receive no purchase orders

ALTER TABLE ret.supplier ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier TO app_user;
GRANT SELECT ON ret.supplier TO app_readonly;

CREATE TRIGGER supplier_touch
    BEFORE UPDATE ON ret.supplier
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.supplier_contact (
    business_id         uuid                    NOT NULL,
    supplier_contact_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_id         uuid                    NOT NULL,
    contact_role        text                    NOT NULL,
    full_name           system_core.person_name,
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
                                'executive'))
);

COMMENT ON TABLE ret.supplier_contact IS 'Person at the supplier by role.';
-- RULE one primary per role (partial unique)

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
    pack_size           system_core.quantity,
    minimum_order_qty   system_core.quantity,
    order_multiple      integer,
    lead_days           integer,
    lead_days_sd        numeric(9, 4),
    is_preferred        boolean                NOT NULL DEFAULT false,
    is_dropship         boolean                NOT NULL DEFAULT false,
    carton_qty          system_core.quantity,
    country_of_origin   text,
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
    CONSTRAINT supplier_product_minimum_order_qty_follows CHECK (minimum_order_qty >= 1),
    CONSTRAINT supplier_product_order_multiple_follows CHECK (order_multiple >= 1)
);

COMMENT ON TABLE ret.supplier_product IS 'A variant as a supplier sells it.';

-- One preferred supplier per product variant.
CREATE UNIQUE INDEX supplier_product_product_variant_id_idx
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
    min_qty             system_core.quantity   NOT NULL,
    unit_cost           system_core.unit_price,
    currency            system_core.currency,
    cost_kind           text                   NOT NULL,
    freight_per_unit    system_core.quantity,
    duty_pct            system_core.percentage,
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
    CONSTRAINT supplier_cost_unit_cost_positive CHECK (unit_cost > 0)
);

COMMENT ON TABLE ret.supplier_cost IS 'Dated cost break of a supplier product.';
-- RULE unit_cost falls as min_qty rises

ALTER TABLE ret.supplier_cost ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier_cost
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier_cost TO app_user;
GRANT SELECT ON ret.supplier_cost TO app_readonly;

CREATE TRIGGER supplier_cost_touch
    BEFORE UPDATE ON ret.supplier_cost
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.supplier_agreement (
    business_id           uuid                   NOT NULL,
    supplier_agreement_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    document_file_id      uuid,
    supplier_id           uuid                   NOT NULL,
    agreement_number      text                   NOT NULL,
    agreement_kind        text                   NOT NULL,
    basis                 text                   NOT NULL,
    tiers_doc             jsonb,
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
    CONSTRAINT supplier_agreement_effective_to_follows_effective_from
        CHECK (effective_to > effective_from)
);

COMMENT ON TABLE ret.supplier_agreement IS
    'Trading terms: volume rebate, co-op, markdown support, returns allowance.';
-- RULE tiers_doc thresholds rise

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


CREATE TABLE ret.consignment_agreement (
    business_id              uuid                   NOT NULL,
    consignment_agreement_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_id              uuid                   NOT NULL,
    location_id              uuid,
    agreement_number         text                   NOT NULL,
    commission_pct           system_core.percentage,
    settle_every             text                   NOT NULL,
    payment_terms_days       integer,
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
    CONSTRAINT consignment_agreement_no_overlap EXCLUDE USING gist (
        business_id WITH =, supplier_id WITH =,
        (coalesce(location_id, '00000000-0000-0000-0000-000000000000')) WITH =,
        daterange(effective_from, effective_to, '[]') WITH &&)
);

COMMENT ON TABLE ret.consignment_agreement IS
    'Goods owned by the supplier until sold: commission, payment cycle, shrink liability.';

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
