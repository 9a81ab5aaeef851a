/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE ret.purchase_order (
    business_id         uuid                 NOT NULL,
    purchase_order_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    buyer_user_id       uuid                 NOT NULL,
    approved_by_user_id uuid,
    supplier_id         uuid                 NOT NULL,
    location_id         uuid                 NOT NULL,
    po_number           text                 NOT NULL,
    po_kind             text                 NOT NULL,
    state               text                 NOT NULL DEFAULT 'draft',
    ordered_at          timestamptz,
    acknowledged_at     timestamptz,
    ship_window_start   date,
    ship_window_end     date,
    cancel_after_on     date,
    currency            system_core.currency,
    exchange_rate       numeric(18, 8),
    subtotal            system_core.money,
    discount_total      system_core.money    NOT NULL DEFAULT 0,
    freight_total       system_core.money    NOT NULL DEFAULT 0,
    tax_total           system_core.money    NOT NULL DEFAULT 0,
    grand_total         system_core.money    GENERATED ALWAYS AS (
                                                 subtotal - discount_total + freight_total +
                                                 tax_total) STORED,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, purchase_order_id),
    UNIQUE (business_id, po_number),
    FOREIGN KEY (business_id, buyer_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, approved_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT purchase_order_po_kind_known
        CHECK (po_kind IN ('stock', 'dropship', 'consignment', 'special_order', 'import')),
    CONSTRAINT purchase_order_state_known
        CHECK (state IN ('draft', 'pending_approval', 'sent', 'acknowledged', 'partly_received',
                         'received', 'closed', 'cancelled')),
    CONSTRAINT purchase_order_ship_window_end_follows_ship_window_start
        CHECK (ship_window_end >= ship_window_start)
);

COMMENT ON TABLE ret.purchase_order IS 'Order to a supplier for a location.';
-- RULE approver differs from buyer

-- FK: the purchase orders by their buyer user.
CREATE INDEX purchase_order_buyer_user_idx ON ret.purchase_order (business_id, buyer_user_id);

-- FK: the purchase orders by their approved by user.
CREATE INDEX purchase_order_approved_by_user_idx
    ON ret.purchase_order (business_id, approved_by_user_id)
    WHERE approved_by_user_id IS NOT NULL;

-- FK: the purchase orders of a supplier.
CREATE INDEX purchase_order_supplier_idx ON ret.purchase_order (business_id, supplier_id);

-- FK: the purchase orders of a location.
CREATE INDEX purchase_order_location_idx ON ret.purchase_order (business_id, location_id);

ALTER TABLE ret.purchase_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.purchase_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.purchase_order TO app_user;
GRANT SELECT ON ret.purchase_order TO app_readonly;

CREATE TRIGGER purchase_order_touch
    BEFORE UPDATE ON ret.purchase_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.purchase_order_line (
    business_id                 uuid                   NOT NULL,
    purchase_order_line_id      uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    purchase_order_id           uuid                   NOT NULL,
    supplier_product_id         uuid                   NOT NULL,
    replenishment_suggestion_id uuid,
    line_number                 integer                NOT NULL,
    ordered_qty                 system_core.quantity,
    acknowledged_qty            system_core.quantity,
    shipped_qty                 system_core.quantity,
    received_qty                system_core.quantity,
    invoiced_qty                system_core.quantity,
    cancelled_qty               system_core.quantity,
    unit_cost                   system_core.unit_price,
    discount_pct                system_core.percentage,
    line_amount                 system_core.money      NOT NULL DEFAULT 0,
    promised_on                 date,
    state                       text                   NOT NULL DEFAULT 'open',
    created_at                  timestamptz            NOT NULL DEFAULT now(),
    updated_at                  timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, purchase_order_line_id),
    UNIQUE (business_id, purchase_order_id, line_number),
    FOREIGN KEY (business_id, purchase_order_id)
        REFERENCES ret.purchase_order (business_id, purchase_order_id),
    FOREIGN KEY (business_id, supplier_product_id)
        REFERENCES ret.supplier_product (business_id, supplier_product_id),
    FOREIGN KEY (business_id, replenishment_suggestion_id)
        REFERENCES ret.replenishment_suggestion (business_id, replenishment_suggestion_id),
    CONSTRAINT purchase_order_line_state_known
        CHECK (state IN ('open', 'confirmed', 'partly_received', 'received', 'cancelled'))
);

COMMENT ON TABLE ret.purchase_order_line IS 'Variant, quantity, cost and how far it has come.';
-- RULE ordered_qty > 0 and a multiple of order_multiple
-- RULE received_qty + cancelled_qty <= ordered_qty * (1 + over-receipt tolerance)

-- FK: the purchase order lines of a supplier product.
CREATE INDEX purchase_order_line_supplier_product_idx
    ON ret.purchase_order_line (business_id, supplier_product_id);

-- FK: the purchase order lines of a replenishment suggestion.
CREATE INDEX purchase_order_line_replenishment_suggestion_idx
    ON ret.purchase_order_line (business_id, replenishment_suggestion_id)
    WHERE replenishment_suggestion_id IS NOT NULL;

ALTER TABLE ret.purchase_order_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.purchase_order_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.purchase_order_line TO app_user;
GRANT SELECT ON ret.purchase_order_line TO app_readonly;

CREATE TRIGGER purchase_order_line_touch
    BEFORE UPDATE ON ret.purchase_order_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.advance_ship_notice (
    business_id            uuid        NOT NULL,
    advance_ship_notice_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_id            uuid        NOT NULL,
    location_id            uuid        NOT NULL,
    purchase_order_id      uuid,
    asn_number             text        NOT NULL,
    transport              text        NOT NULL,
    received_at            timestamptz NOT NULL,
    shipped_at             timestamptz,
    expected_at            timestamptz,
    carrier_name           text,
    bill_of_lading         text,
    tracking_number        text,
    carton_count           integer     NOT NULL DEFAULT 0,
    pallet_count           integer     NOT NULL DEFAULT 0,
    is_on_time             boolean     NOT NULL DEFAULT false,
    error_count            integer     NOT NULL DEFAULT 0,
    state                  text        NOT NULL DEFAULT 'received',
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, advance_ship_notice_id),
    UNIQUE (business_id, supplier_id, asn_number),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, purchase_order_id)
        REFERENCES ret.purchase_order (business_id, purchase_order_id),
    CONSTRAINT advance_ship_notice_transport_known
        CHECK (transport IN ('edi', 'api', 'portal', 'email')),
    CONSTRAINT advance_ship_notice_state_known
        CHECK (state IN ('received', 'validated', 'rejected', 'arrived', 'closed')),
    CONSTRAINT advance_ship_notice_expected_at_follows_shipped_at
        CHECK (expected_at >= shipped_at),
    CONSTRAINT advance_ship_notice_rejected_has_error_count
        CHECK (NOT (state = 'rejected') OR error_count > 0)
);

COMMENT ON TABLE ret.advance_ship_notice IS
    'Despatch advice of the supplier before the truck arrives.';

-- FK: the advance ship notices of a location.
CREATE INDEX advance_ship_notice_location_idx
    ON ret.advance_ship_notice (business_id, location_id);

-- FK: the advance ship notices of a purchase order.
CREATE INDEX advance_ship_notice_purchase_order_idx
    ON ret.advance_ship_notice (business_id, purchase_order_id)
    WHERE purchase_order_id IS NOT NULL;

ALTER TABLE ret.advance_ship_notice ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.advance_ship_notice
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.advance_ship_notice TO app_user;
GRANT SELECT ON ret.advance_ship_notice TO app_readonly;

CREATE TRIGGER advance_ship_notice_touch
    BEFORE UPDATE ON ret.advance_ship_notice
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.asn_package (
    business_id            uuid           NOT NULL,
    asn_package_id         uuid           NOT NULL DEFAULT system_core.uuid_v7(),
    parent_package_id      uuid,
    advance_ship_notice_id uuid           NOT NULL,
    sscc                   text           NOT NULL,
    package_kind           text           NOT NULL,
    gross_weight_kg        numeric(12, 3),
    length_cm              numeric(9, 2),
    width_cm               numeric(9, 2),
    height_cm              numeric(9, 2),
    label_scanned_at       timestamptz,
    condition              text           NOT NULL,
    sequence_no            integer        NOT NULL,
    created_at             timestamptz    NOT NULL DEFAULT now(),
    updated_at             timestamptz    NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, asn_package_id),
    UNIQUE (business_id, sscc),
    FOREIGN KEY (business_id, parent_package_id)
        REFERENCES ret.asn_package (business_id, asn_package_id),
    FOREIGN KEY (business_id, advance_ship_notice_id)
        REFERENCES ret.advance_ship_notice (business_id, advance_ship_notice_id),
    CONSTRAINT asn_package_kind_known
        CHECK (package_kind IN ('pallet', 'carton', 'tote', 'envelope')),
    CONSTRAINT asn_package_condition_known
        CHECK (condition IN ('unseen', 'ok', 'damaged', 'missing'))
);

COMMENT ON TABLE ret.asn_package IS 'A carton or pallet with its serial shipping container code.';
-- RULE sscc is 18 digits with a valid check digit
-- RULE no cycle through parent_package_id

-- FK: the asn packages by their parent package.
CREATE INDEX asn_package_parent_package_idx
    ON ret.asn_package (business_id, parent_package_id)
    WHERE parent_package_id IS NOT NULL;

-- FK: the asn packages of a advance ship notice.
CREATE INDEX asn_package_advance_ship_notice_idx
    ON ret.asn_package (business_id, advance_ship_notice_id);

ALTER TABLE ret.asn_package ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.asn_package
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.asn_package TO app_user;
GRANT SELECT ON ret.asn_package TO app_readonly;

CREATE TRIGGER asn_package_touch
    BEFORE UPDATE ON ret.asn_package
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.asn_line (
    business_id            uuid                 NOT NULL,
    asn_line_id            uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    asn_package_id         uuid                 NOT NULL,
    purchase_order_line_id uuid,
    product_variant_id     uuid                 NOT NULL,
    line_number            integer              NOT NULL,
    gtin                   text,
    shipped_qty            system_core.quantity,
    lot_number             text,
    expires_on             date,
    serials_doc            jsonb,
    is_substitution        boolean              NOT NULL DEFAULT false,
    backorder_qty          system_core.quantity,
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, asn_line_id),
    UNIQUE (business_id, asn_package_id, line_number),
    FOREIGN KEY (business_id, asn_package_id)
        REFERENCES ret.asn_package (business_id, asn_package_id),
    FOREIGN KEY (business_id, purchase_order_line_id)
        REFERENCES ret.purchase_order_line (business_id, purchase_order_line_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT asn_line_shipped_qty_positive CHECK (shipped_qty > 0)
);

COMMENT ON TABLE ret.asn_line IS 'What a package is said to contain.';

-- FK: the asn lines of a purchase order line.
CREATE INDEX asn_line_purchase_order_line_idx
    ON ret.asn_line (business_id, purchase_order_line_id)
    WHERE purchase_order_line_id IS NOT NULL;

-- FK: the asn lines of a product variant.
CREATE INDEX asn_line_product_variant_idx ON ret.asn_line (business_id, product_variant_id);

ALTER TABLE ret.asn_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.asn_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.asn_line TO app_user;
GRANT SELECT ON ret.asn_line TO app_readonly;

CREATE TRIGGER asn_line_touch
    BEFORE UPDATE ON ret.asn_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.goods_receipt (
    business_id            uuid                 NOT NULL,
    goods_receipt_id       uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    received_by_user_id    uuid                 NOT NULL,
    location_id            uuid                 NOT NULL,
    supplier_id            uuid                 NOT NULL,
    purchase_order_id      uuid,
    advance_ship_notice_id uuid,
    receipt_number         text                 NOT NULL,
    dock_door              text,
    arrived_at             timestamptz,
    started_at             timestamptz          NOT NULL,
    completed_at           timestamptz,
    carrier_name           text,
    delivery_note_number   text,
    carton_count           integer              NOT NULL DEFAULT 0,
    total_units            system_core.quantity,
    total_cost             system_core.money,
    has_discrepancy        boolean              NOT NULL DEFAULT false,
    state                  text                 NOT NULL DEFAULT 'expected',
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, goods_receipt_id),
    UNIQUE (business_id, receipt_number),
    FOREIGN KEY (business_id, received_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, purchase_order_id)
        REFERENCES ret.purchase_order (business_id, purchase_order_id),
    FOREIGN KEY (business_id, advance_ship_notice_id)
        REFERENCES ret.advance_ship_notice (business_id, advance_ship_notice_id),
    CONSTRAINT goods_receipt_state_known
        CHECK (state IN ('expected', 'checking', 'put_away', 'completed', 'rejected')),
    CONSTRAINT goods_receipt_arrived_at_in_order CHECK (arrived_at <= started_at),
    CONSTRAINT goods_receipt_started_at_in_order CHECK (started_at <= completed_at)
);

COMMENT ON TABLE ret.goods_receipt IS 'A delivery checked in at the dock.';

-- FK: the goods receipts by their received by user.
CREATE INDEX goods_receipt_received_by_user_idx
    ON ret.goods_receipt (business_id, received_by_user_id);

-- FK: the goods receipts of a location.
CREATE INDEX goods_receipt_location_idx ON ret.goods_receipt (business_id, location_id);

-- FK: the goods receipts of a supplier.
CREATE INDEX goods_receipt_supplier_idx ON ret.goods_receipt (business_id, supplier_id);

-- FK: the goods receipts of a purchase order.
CREATE INDEX goods_receipt_purchase_order_idx
    ON ret.goods_receipt (business_id, purchase_order_id)
    WHERE purchase_order_id IS NOT NULL;

-- FK: the goods receipts of a advance ship notice.
CREATE INDEX goods_receipt_advance_ship_notice_idx
    ON ret.goods_receipt (business_id, advance_ship_notice_id)
    WHERE advance_ship_notice_id IS NOT NULL;

ALTER TABLE ret.goods_receipt ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.goods_receipt
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.goods_receipt TO app_user;
GRANT SELECT ON ret.goods_receipt TO app_readonly;

CREATE TRIGGER goods_receipt_touch
    BEFORE UPDATE ON ret.goods_receipt
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.goods_receipt_line (
    business_id            uuid                   NOT NULL,
    goods_receipt_line_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    goods_receipt_id       uuid                   NOT NULL,
    product_variant_id     uuid                   NOT NULL,
    purchase_order_line_id uuid,
    asn_line_id            uuid,
    stock_lot_id           uuid,
    bin_location_id        uuid,
    line_number            integer                NOT NULL,
    expected_qty           system_core.quantity,
    received_qty           system_core.quantity,
    accepted_qty           system_core.quantity,
    rejected_qty           system_core.quantity,
    damaged_qty            system_core.quantity,
    unit_cost              system_core.unit_price,
    landed_unit_cost       system_core.unit_price,
    discrepancy            text                   NOT NULL,
    put_away_at            timestamptz,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, goods_receipt_line_id),
    UNIQUE (business_id, goods_receipt_id, line_number),
    FOREIGN KEY (business_id, goods_receipt_id)
        REFERENCES ret.goods_receipt (business_id, goods_receipt_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, purchase_order_line_id)
        REFERENCES ret.purchase_order_line (business_id, purchase_order_line_id),
    FOREIGN KEY (business_id, asn_line_id) REFERENCES ret.asn_line (business_id, asn_line_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    FOREIGN KEY (business_id, bin_location_id)
        REFERENCES ret.bin_location (business_id, bin_location_id),
    CONSTRAINT goods_receipt_line_discrepancy_known
        CHECK (discrepancy IN ('none', 'short', 'over', 'damaged', 'wrong_item', 'late',
                               'unlabelled', 'not_ordered')),
    CONSTRAINT goods_receipt_line_accepted_qty_agrees_rejected_qty
        CHECK (accepted_qty + rejected_qty + damaged_qty = received_qty),
    CONSTRAINT goods_receipt_line_landed_unit_cost_follows_unit_cost
        CHECK (landed_unit_cost >= unit_cost)
);

COMMENT ON TABLE ret.goods_receipt_line IS
    'What was really received, in which lot, serial and bin.';

-- FK: the goods receipt lines of a product variant.
CREATE INDEX goods_receipt_line_product_variant_idx
    ON ret.goods_receipt_line (business_id, product_variant_id);

-- FK: the goods receipt lines of a purchase order line.
CREATE INDEX goods_receipt_line_purchase_order_line_idx
    ON ret.goods_receipt_line (business_id, purchase_order_line_id)
    WHERE purchase_order_line_id IS NOT NULL;

-- FK: the goods receipt lines of a asn line.
CREATE INDEX goods_receipt_line_asn_line_idx
    ON ret.goods_receipt_line (business_id, asn_line_id)
    WHERE asn_line_id IS NOT NULL;

-- FK: the goods receipt lines of a stock lot.
CREATE INDEX goods_receipt_line_stock_lot_idx
    ON ret.goods_receipt_line (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

-- FK: the goods receipt lines of a bin location.
CREATE INDEX goods_receipt_line_bin_location_idx
    ON ret.goods_receipt_line (business_id, bin_location_id)
    WHERE bin_location_id IS NOT NULL;

ALTER TABLE ret.goods_receipt_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.goods_receipt_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.goods_receipt_line TO app_user;
GRANT SELECT ON ret.goods_receipt_line TO app_readonly;

CREATE TRIGGER goods_receipt_line_touch
    BEFORE UPDATE ON ret.goods_receipt_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.landed_cost (
    business_id            uuid                 NOT NULL,
    landed_cost_id         uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    charged_by_supplier_id uuid,
    goods_receipt_id       uuid                 NOT NULL,
    cost_kind              text                 NOT NULL,
    amount                 system_core.money,
    currency               system_core.currency,
    exchange_rate          numeric(18, 8),
    allocation_basis       text                 NOT NULL,
    allocated_amount       system_core.money    NOT NULL DEFAULT 0,
    reference_number       text,
    posted_at              timestamptz          NOT NULL,
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, landed_cost_id),
    FOREIGN KEY (business_id, charged_by_supplier_id)
        REFERENCES ret.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, goods_receipt_id)
        REFERENCES ret.goods_receipt (business_id, goods_receipt_id),
    CONSTRAINT landed_cost_kind_known
        CHECK (cost_kind IN ('freight', 'duty', 'insurance', 'brokerage', 'handling', 'other')),
    CONSTRAINT landed_cost_allocation_basis_known
        CHECK (allocation_basis IN ('value', 'quantity', 'weight', 'volume')),
    CONSTRAINT landed_cost_amount_positive CHECK (amount > 0)
);

COMMENT ON TABLE ret.landed_cost IS
    'Freight, duty or insurance of a receipt shared out over its lines.';
-- RULE allocated_amount equals the sum put on the receipt lines

-- FK: the landed costs by their charged by supplier.
CREATE INDEX landed_cost_charged_by_supplier_idx
    ON ret.landed_cost (business_id, charged_by_supplier_id)
    WHERE charged_by_supplier_id IS NOT NULL;

-- FK: the landed costs of a goods receipt.
CREATE INDEX landed_cost_goods_receipt_idx ON ret.landed_cost (business_id, goods_receipt_id);

ALTER TABLE ret.landed_cost ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.landed_cost
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.landed_cost TO app_user;
GRANT SELECT ON ret.landed_cost TO app_readonly;

CREATE TRIGGER landed_cost_touch
    BEFORE UPDATE ON ret.landed_cost
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.supplier_invoice (
    business_id         uuid                 NOT NULL,
    supplier_invoice_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    document_file_id    uuid,
    supplier_id         uuid                 NOT NULL,
    purchase_order_id   uuid,
    goods_receipt_id    uuid,
    invoice_number      text                 NOT NULL,
    invoice_kind        text                 NOT NULL,
    invoice_date        date,
    due_date            date,
    currency            system_core.currency,
    subtotal            system_core.money,
    tax_total           system_core.money    NOT NULL DEFAULT 0,
    grand_total         system_core.money    NOT NULL DEFAULT 0,
    match_state         text                 NOT NULL DEFAULT 'unmatched',
    variance_total      system_core.money    NOT NULL DEFAULT 0,
    discount_date       date,
    paid_on             date,
    paid_amount         system_core.money    NOT NULL DEFAULT 0,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_invoice_id),
    UNIQUE (business_id, supplier_id, invoice_number),
    FOREIGN KEY (business_id, document_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, purchase_order_id)
        REFERENCES ret.purchase_order (business_id, purchase_order_id),
    FOREIGN KEY (business_id, goods_receipt_id)
        REFERENCES ret.goods_receipt (business_id, goods_receipt_id),
    CONSTRAINT supplier_invoice_kind_known
        CHECK (invoice_kind IN ('invoice', 'credit_note', 'consignment')),
    CONSTRAINT supplier_invoice_match_state_known
        CHECK (match_state IN ('unmatched', 'matched', 'price_variance', 'qty_variance',
                               'approved', 'disputed')),
    CONSTRAINT supplier_invoice_due_date_follows_invoice_date CHECK (due_date >= invoice_date),
    CONSTRAINT supplier_invoice_paid_amount_precedes_grand_total
        CHECK (paid_amount <= grand_total)
);

COMMENT ON TABLE ret.supplier_invoice IS
    'Supplier''s invoice or credit note with three-way match.';

-- FK: the supplier invoices by their document file.
CREATE INDEX supplier_invoice_document_file_idx
    ON ret.supplier_invoice (business_id, document_file_id)
    WHERE document_file_id IS NOT NULL;

-- FK: the supplier invoices of a purchase order.
CREATE INDEX supplier_invoice_purchase_order_idx
    ON ret.supplier_invoice (business_id, purchase_order_id)
    WHERE purchase_order_id IS NOT NULL;

-- FK: the supplier invoices of a goods receipt.
CREATE INDEX supplier_invoice_goods_receipt_idx
    ON ret.supplier_invoice (business_id, goods_receipt_id)
    WHERE goods_receipt_id IS NOT NULL;

ALTER TABLE ret.supplier_invoice ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier_invoice
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier_invoice TO app_user;
GRANT SELECT ON ret.supplier_invoice TO app_readonly;

CREATE TRIGGER supplier_invoice_touch
    BEFORE UPDATE ON ret.supplier_invoice
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.supplier_invoice_line (
    business_id              uuid                   NOT NULL,
    supplier_invoice_line_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_invoice_id      uuid                   NOT NULL,
    purchase_order_line_id   uuid,
    goods_receipt_line_id    uuid,
    line_number              integer                NOT NULL,
    description              text,
    billed_qty               system_core.quantity,
    billed_cost              system_core.unit_price,
    line_amount              system_core.money      GENERATED ALWAYS AS (
                                                        billed_qty * billed_cost) STORED,
    expected_amount          system_core.money      NOT NULL DEFAULT 0,
    qty_variance             system_core.quantity,
    price_variance           system_core.money,
    match_state              text                   NOT NULL DEFAULT 'unmatched',
    gl_account               text,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_invoice_line_id),
    UNIQUE (business_id, supplier_invoice_id, line_number),
    FOREIGN KEY (business_id, supplier_invoice_id)
        REFERENCES ret.supplier_invoice (business_id, supplier_invoice_id),
    FOREIGN KEY (business_id, purchase_order_line_id)
        REFERENCES ret.purchase_order_line (business_id, purchase_order_line_id),
    FOREIGN KEY (business_id, goods_receipt_line_id)
        REFERENCES ret.goods_receipt_line (business_id, goods_receipt_line_id),
    CONSTRAINT supplier_invoice_line_match_state_known
        CHECK (match_state IN ('unmatched', 'matched', 'price_variance', 'qty_variance',
                               'not_received'))
);

COMMENT ON TABLE ret.supplier_invoice_line IS
    'Billed quantity and price against receipt and order.';

-- FK: the supplier invoice lines of a purchase order line.
CREATE INDEX supplier_invoice_line_purchase_order_line_idx
    ON ret.supplier_invoice_line (business_id, purchase_order_line_id)
    WHERE purchase_order_line_id IS NOT NULL;

-- FK: the supplier invoice lines of a goods receipt line.
CREATE INDEX supplier_invoice_line_goods_receipt_line_idx
    ON ret.supplier_invoice_line (business_id, goods_receipt_line_id)
    WHERE goods_receipt_line_id IS NOT NULL;

ALTER TABLE ret.supplier_invoice_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier_invoice_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier_invoice_line TO app_user;
GRANT SELECT ON ret.supplier_invoice_line TO app_readonly;

CREATE TRIGGER supplier_invoice_line_touch
    BEFORE UPDATE ON ret.supplier_invoice_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.supplier_return (
    business_id           uuid              NOT NULL,
    supplier_return_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    requested_by_user_id  uuid              NOT NULL,
    supplier_id           uuid              NOT NULL,
    location_id           uuid              NOT NULL,
    supplier_agreement_id uuid,
    rtv_number            text              NOT NULL,
    supplier_rma_number   text,
    return_kind           text              NOT NULL,
    requested_at          timestamptz       NOT NULL,
    authorised_at         timestamptz,
    shipped_at            timestamptz,
    credited_at           timestamptz,
    expected_credit       system_core.money,
    received_credit       system_core.money,
    restocking_fee        system_core.money NOT NULL DEFAULT 0,
    tracking_number       text,
    state                 text              NOT NULL DEFAULT 'draft',
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_return_id),
    UNIQUE (business_id, rtv_number),
    FOREIGN KEY (business_id, requested_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, supplier_agreement_id)
        REFERENCES ret.supplier_agreement (business_id, supplier_agreement_id),
    CONSTRAINT supplier_return_kind_known
        CHECK (return_kind IN ('defective', 'overstock', 'recall', 'wrong_item',
                               'consignment_end')),
    CONSTRAINT supplier_return_state_known
        CHECK (state IN ('draft', 'requested', 'authorised', 'shipped', 'credited', 'rejected',
                         'cancelled')),
    CONSTRAINT supplier_return_requested_at_in_order CHECK (requested_at <= authorised_at),
    CONSTRAINT supplier_return_authorised_at_in_order CHECK (authorised_at <= shipped_at),
    CONSTRAINT supplier_return_shipped_at_in_order CHECK (shipped_at <= credited_at),
    CONSTRAINT supplier_return_received_credit_precedes_expected_credit
        CHECK (received_credit <= expected_credit)
);

COMMENT ON TABLE ret.supplier_return IS 'Return to vendor under its authorisation.';

-- FK: the supplier returns by their requested by user.
CREATE INDEX supplier_return_requested_by_user_idx
    ON ret.supplier_return (business_id, requested_by_user_id);

-- FK: the supplier returns of a supplier.
CREATE INDEX supplier_return_supplier_idx ON ret.supplier_return (business_id, supplier_id);

-- FK: the supplier returns of a location.
CREATE INDEX supplier_return_location_idx ON ret.supplier_return (business_id, location_id);

-- FK: the supplier returns of a supplier agreement.
CREATE INDEX supplier_return_supplier_agreement_idx
    ON ret.supplier_return (business_id, supplier_agreement_id)
    WHERE supplier_agreement_id IS NOT NULL;

ALTER TABLE ret.supplier_return ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier_return
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier_return TO app_user;
GRANT SELECT ON ret.supplier_return TO app_readonly;

CREATE TRIGGER supplier_return_touch
    BEFORE UPDATE ON ret.supplier_return
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.supplier_return_line (
    business_id             uuid                 NOT NULL,
    supplier_return_line_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_return_id      uuid                 NOT NULL,
    product_variant_id      uuid                 NOT NULL,
    stock_lot_id            uuid,
    goods_receipt_line_id   uuid,
    line_number             integer              NOT NULL,
    return_qty              system_core.quantity,
    accepted_qty            system_core.quantity,
    unit_credit             system_core.money,
    line_credit             system_core.money,
    defect_reason           text,
    serials_doc             jsonb,
    disposition             text,
    created_at              timestamptz          NOT NULL DEFAULT now(),
    updated_at              timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_return_line_id),
    UNIQUE (business_id, supplier_return_id, line_number),
    FOREIGN KEY (business_id, supplier_return_id)
        REFERENCES ret.supplier_return (business_id, supplier_return_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    FOREIGN KEY (business_id, goods_receipt_line_id)
        REFERENCES ret.goods_receipt_line (business_id, goods_receipt_line_id),
    CONSTRAINT supplier_return_line_disposition_known
        CHECK (disposition IN ('return', 'destroy_in_field', 'donate')),
    CONSTRAINT supplier_return_line_accepted_qty_precedes_return_qty
        CHECK (accepted_qty <= return_qty)
);

COMMENT ON TABLE ret.supplier_return_line IS
    'Variant and lot going back with the credit asked for.';
-- RULE line_credit = accepted_qty * unit_credit once credited

-- FK: the supplier return lines of a product variant.
CREATE INDEX supplier_return_line_product_variant_idx
    ON ret.supplier_return_line (business_id, product_variant_id);

-- FK: the supplier return lines of a stock lot.
CREATE INDEX supplier_return_line_stock_lot_idx
    ON ret.supplier_return_line (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

-- FK: the supplier return lines of a goods receipt line.
CREATE INDEX supplier_return_line_goods_receipt_line_idx
    ON ret.supplier_return_line (business_id, goods_receipt_line_id)
    WHERE goods_receipt_line_id IS NOT NULL;

ALTER TABLE ret.supplier_return_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier_return_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier_return_line TO app_user;
GRANT SELECT ON ret.supplier_return_line TO app_readonly;

CREATE TRIGGER supplier_return_line_touch
    BEFORE UPDATE ON ret.supplier_return_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
