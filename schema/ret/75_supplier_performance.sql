/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE ret.scorecard_criterion (
    business_id            uuid                   NOT NULL,
    scorecard_criterion_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    criterion_code         system_core.code       NOT NULL,
    display_name           text                   NOT NULL,
    measure                text                   NOT NULL,
    weight_pct             system_core.percentage,
    target_value           system_core.quantity,
    floor_value            system_core.quantity,
    higher_is_better       boolean                NOT NULL DEFAULT false,
    chargeback_rate        numeric(9, 4),
    is_active              boolean                NOT NULL DEFAULT true,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, scorecard_criterion_id),
    UNIQUE (business_id, criterion_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT scorecard_criterion_measure_known
        CHECK (measure IN ('fill_rate', 'on_time', 'otif', 'asn_accuracy', 'asn_timeliness',
                           'invoice_accuracy', 'defect_rate', 'label_compliance',
                           'lead_time_variance'))
);

COMMENT ON TABLE ret.scorecard_criterion IS
    'Measured criterion with weight, target and chargeback threshold.';
-- RULE weights of active criteria sum to 100

ALTER TABLE ret.scorecard_criterion ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.scorecard_criterion
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.scorecard_criterion TO app_user;
GRANT SELECT ON ret.scorecard_criterion TO app_readonly;

CREATE TRIGGER scorecard_criterion_touch
    BEFORE UPDATE ON ret.scorecard_criterion
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.supplier_scorecard (
    business_id           uuid                   NOT NULL,
    supplier_scorecard_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_id           uuid                   NOT NULL,
    period_start          date                   NOT NULL,
    period_end            date,
    po_count              integer                NOT NULL DEFAULT 0,
    ordered_units         system_core.quantity,
    received_units        system_core.quantity,
    fill_rate_pct         system_core.percentage,
    on_time_pct           system_core.percentage,
    otif_pct              system_core.percentage,
    asn_accuracy_pct      system_core.percentage,
    invoice_accuracy_pct  system_core.percentage,
    defect_rate_pct       system_core.percentage,
    lead_days_mean        numeric(9, 4),
    lead_days_sd          numeric(9, 4),
    composite_score       numeric(9, 4),
    standing              text                   NOT NULL,
    measures_doc          jsonb,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_scorecard_id),
    UNIQUE (business_id, supplier_id, period_start),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    CONSTRAINT supplier_scorecard_standing_known
        CHECK (standing IN ('preferred', 'approved', 'watch', 'probation')),
    CONSTRAINT supplier_scorecard_otif_pct_precedes
        CHECK (otif_pct <= least(on_time_pct, fill_rate_pct))
);

COMMENT ON TABLE ret.supplier_scorecard IS
    'A supplier''s month, raw measures and composite score.';
-- RULE percentages between 0 and 100

ALTER TABLE ret.supplier_scorecard ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier_scorecard
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier_scorecard TO app_user;
GRANT SELECT ON ret.supplier_scorecard TO app_readonly;

CREATE TRIGGER supplier_scorecard_touch
    BEFORE UPDATE ON ret.supplier_scorecard
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.supplier_chargeback (
    business_id            uuid                 NOT NULL,
    supplier_chargeback_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_id            uuid                 NOT NULL,
    scorecard_criterion_id uuid,
    goods_receipt_id       uuid,
    advance_ship_notice_id uuid,
    supplier_invoice_id    uuid,
    chargeback_number      text                 NOT NULL,
    failure_kind           text                 NOT NULL,
    units_affected         system_core.quantity,
    amount                 system_core.money,
    raised_at              timestamptz,
    disputed_at            timestamptz,
    dispute_note           text,
    settled_amount         system_core.money    NOT NULL DEFAULT 0,
    settled_at             timestamptz,
    state                  text                 NOT NULL DEFAULT 'raised',
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_chargeback_id),
    UNIQUE (business_id, chargeback_number),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, scorecard_criterion_id)
        REFERENCES ret.scorecard_criterion (business_id, scorecard_criterion_id),
    FOREIGN KEY (business_id, goods_receipt_id)
        REFERENCES ret.goods_receipt (business_id, goods_receipt_id),
    FOREIGN KEY (business_id, advance_ship_notice_id)
        REFERENCES ret.advance_ship_notice (business_id, advance_ship_notice_id),
    FOREIGN KEY (business_id, supplier_invoice_id)
        REFERENCES ret.supplier_invoice (business_id, supplier_invoice_id),
    CONSTRAINT supplier_chargeback_failure_kind_known
        CHECK (failure_kind IN ('late', 'early', 'short', 'over', 'asn_missing', 'asn_wrong',
                                'label', 'packing', 'damaged', 'invoice')),
    CONSTRAINT supplier_chargeback_state_known
        CHECK (state IN ('raised', 'disputed', 'upheld', 'reduced', 'waived', 'settled')),
    CONSTRAINT supplier_chargeback_settled_amount_precedes_amount CHECK (settled_amount <= amount),
    CONSTRAINT supplier_chargeback_it_iff CHECK ((settled_at IS NOT NULL) = (state = 'settled'))
);

COMMENT ON TABLE ret.supplier_chargeback IS
    'Deduction for a compliance failure, disputed or settled.';

-- FK: the supplier chargebacks of a supplier.
CREATE INDEX supplier_chargeback_supplier_idx
    ON ret.supplier_chargeback (business_id, supplier_id);

-- FK: the supplier chargebacks of a scorecard criterion.
CREATE INDEX supplier_chargeback_scorecard_criterion_idx
    ON ret.supplier_chargeback (business_id, scorecard_criterion_id)
    WHERE scorecard_criterion_id IS NOT NULL;

-- FK: the supplier chargebacks of a goods receipt.
CREATE INDEX supplier_chargeback_goods_receipt_idx
    ON ret.supplier_chargeback (business_id, goods_receipt_id)
    WHERE goods_receipt_id IS NOT NULL;

-- FK: the supplier chargebacks of a advance ship notice.
CREATE INDEX supplier_chargeback_advance_ship_notice_idx
    ON ret.supplier_chargeback (business_id, advance_ship_notice_id)
    WHERE advance_ship_notice_id IS NOT NULL;

-- FK: the supplier chargebacks of a supplier invoice.
CREATE INDEX supplier_chargeback_supplier_invoice_idx
    ON ret.supplier_chargeback (business_id, supplier_invoice_id)
    WHERE supplier_invoice_id IS NOT NULL;

ALTER TABLE ret.supplier_chargeback ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier_chargeback
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier_chargeback TO app_user;
GRANT SELECT ON ret.supplier_chargeback TO app_readonly;

CREATE TRIGGER supplier_chargeback_touch
    BEFORE UPDATE ON ret.supplier_chargeback
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.supplier_rebate (
    business_id           uuid                   NOT NULL,
    supplier_rebate_id    uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_agreement_id uuid                   NOT NULL,
    supplier_id           uuid                   NOT NULL,
    period_start          date                   NOT NULL,
    period_end            date,
    basis_amount          system_core.money      NOT NULL DEFAULT 0,
    tier_reached          text,
    rebate_pct            system_core.percentage,
    accrued_amount        system_core.money      GENERATED ALWAYS AS (
                                                     basis_amount * rebate_pct / 100) STORED,
    claimed_amount        system_core.money      NOT NULL DEFAULT 0,
    received_amount       system_core.money      NOT NULL DEFAULT 0,
    claimed_at            timestamptz,
    received_on           date                   NOT NULL,
    state                 text                   NOT NULL DEFAULT 'accruing',
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_rebate_id),
    UNIQUE (business_id, supplier_agreement_id, period_start),
    FOREIGN KEY (business_id, supplier_agreement_id)
        REFERENCES ret.supplier_agreement (business_id, supplier_agreement_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    CONSTRAINT supplier_rebate_state_known
        CHECK (state IN ('accruing', 'claimed', 'received', 'disputed', 'written_off')),
    CONSTRAINT supplier_rebate_received_amount_precedes_claimed_amount
        CHECK (received_amount <= claimed_amount)
);

COMMENT ON TABLE ret.supplier_rebate IS 'Rebate or co-op money earned and collected per period.';

-- FK: the supplier rebates of a supplier.
CREATE INDEX supplier_rebate_supplier_idx ON ret.supplier_rebate (business_id, supplier_id);

ALTER TABLE ret.supplier_rebate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier_rebate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier_rebate TO app_user;
GRANT SELECT ON ret.supplier_rebate TO app_readonly;

CREATE TRIGGER supplier_rebate_touch
    BEFORE UPDATE ON ret.supplier_rebate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.consignment_settlement (
    business_id               uuid                 NOT NULL,
    consignment_settlement_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    consignment_agreement_id  uuid                 NOT NULL,
    supplier_id               uuid                 NOT NULL,
    supplier_invoice_id       uuid,
    settlement_number         text                 NOT NULL,
    period_start              date,
    period_end                date,
    opening_units             system_core.quantity,
    received_units            system_core.quantity,
    sold_units                system_core.quantity,
    returned_units            system_core.quantity,
    shrink_units              system_core.quantity,
    closing_units             system_core.quantity GENERATED ALWAYS AS (
                                                       opening_units + received_units - sold_units
                                                       - returned_units - shrink_units) STORED,
    gross_sales               system_core.money,
    commission_amount         system_core.money    NOT NULL DEFAULT 0,
    amount_due                system_core.money    GENERATED ALWAYS AS (
                                                       gross_sales - commission_amount) STORED,
    paid_on                   date,
    state                     text                 NOT NULL DEFAULT 'draft',
    created_at                timestamptz          NOT NULL DEFAULT now(),
    updated_at                timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, consignment_settlement_id),
    UNIQUE (business_id, settlement_number),
    FOREIGN KEY (business_id, consignment_agreement_id)
        REFERENCES ret.consignment_agreement (business_id, consignment_agreement_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, supplier_invoice_id)
        REFERENCES ret.supplier_invoice (business_id, supplier_invoice_id),
    CONSTRAINT consignment_settlement_state_known
        CHECK (state IN ('draft', 'approved', 'paid', 'disputed'))
);

COMMENT ON TABLE ret.consignment_settlement IS 'What is owed to a consignor for a period.';

-- FK: the consignment settlements of a consignment agreement.
CREATE INDEX consignment_settlement_consignment_agreement_idx
    ON ret.consignment_settlement (business_id, consignment_agreement_id);

-- FK: the consignment settlements of a supplier.
CREATE INDEX consignment_settlement_supplier_idx
    ON ret.consignment_settlement (business_id, supplier_id);

-- FK: the consignment settlements of a supplier invoice.
CREATE INDEX consignment_settlement_supplier_invoice_idx
    ON ret.consignment_settlement (business_id, supplier_invoice_id)
    WHERE supplier_invoice_id IS NOT NULL;

ALTER TABLE ret.consignment_settlement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.consignment_settlement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.consignment_settlement TO app_user;
GRANT SELECT ON ret.consignment_settlement TO app_readonly;

CREATE TRIGGER consignment_settlement_touch
    BEFORE UPDATE ON ret.consignment_settlement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.consignment_settlement_line (
    business_id                    uuid                 NOT NULL,
    consignment_settlement_line_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    consignment_settlement_id      uuid                 NOT NULL,
    product_variant_id             uuid                 NOT NULL,
    line_number                    integer              NOT NULL,
    sold_units                     system_core.quantity,
    returned_units                 system_core.quantity,
    shrink_units                   system_core.quantity,
    sales_amount                   system_core.money    NOT NULL DEFAULT 0,
    commission_amount              system_core.money    NOT NULL DEFAULT 0,
    unit_payout                    system_core.money,
    amount_due                     system_core.money    GENERATED ALWAYS AS (
                                                            sales_amount - commission_amount)
                                                            STORED,
    created_at                     timestamptz          NOT NULL DEFAULT now(),
    updated_at                     timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, consignment_settlement_line_id),
    UNIQUE (business_id, consignment_settlement_id, line_number),
    FOREIGN KEY (business_id, consignment_settlement_id)
        REFERENCES ret.consignment_settlement (business_id, consignment_settlement_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id)
);

COMMENT ON TABLE ret.consignment_settlement_line IS
    'Variant sold on consignment with units and money.';

-- FK: the consignment settlement lines of a product variant.
CREATE INDEX consignment_settlement_line_product_variant_idx
    ON ret.consignment_settlement_line (business_id, product_variant_id);

ALTER TABLE ret.consignment_settlement_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.consignment_settlement_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.consignment_settlement_line TO app_user;
GRANT SELECT ON ret.consignment_settlement_line TO app_readonly;

CREATE TRIGGER consignment_settlement_line_touch
    BEFORE UPDATE ON ret.consignment_settlement_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
