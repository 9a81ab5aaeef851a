/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE rest.vendor (
    business_id           uuid              NOT NULL,
    vendor_id             uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    vendor_code           system_core.code  NOT NULL,
    legal_name            text,
    vendor_kind           text              NOT NULL,
    order_method          text,
    account_number        text,
    gln                   text,
    payment_terms_days    integer,
    minimum_order_amount  system_core.money NOT NULL DEFAULT 0,
    order_cutoff_time     time,
    delivery_weekday_mask smallint,
    lead_days             integer,
    approved_until_on     date,
    rating_score          numeric(9, 4),
    status                text              NOT NULL DEFAULT 'trial',
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, vendor_id),
    UNIQUE (business_id, vendor_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT vendor_kind_known
        CHECK (vendor_kind IN ('broadline', 'produce', 'meat', 'seafood', 'bakery', 'beverage',
                               'packaging', 'equipment', 'local_farm')),
    CONSTRAINT vendor_order_method_known
        CHECK (order_method IN ('edi', 'portal', 'email', 'phone')),
    CONSTRAINT vendor_status_known CHECK (status IN ('trial', 'approved', 'on_hold', 'ended')),
    CONSTRAINT vendor_delivery_weekday_mask_bounded
        CHECK (delivery_weekday_mask BETWEEN 1 AND 127)
);

COMMENT ON TABLE rest.vendor IS 'Supplier with terms, delivery days and approval.';

ALTER TABLE rest.vendor ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.vendor
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.vendor TO app_user;
GRANT SELECT ON rest.vendor TO app_readonly;

CREATE TRIGGER vendor_touch
    BEFORE UPDATE ON rest.vendor
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.vendor_item (
    business_id          uuid                   NOT NULL,
    vendor_item_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    pack_unit_id         uuid                   NOT NULL,
    vendor_id            uuid                   NOT NULL,
    inventory_item_id    uuid                   NOT NULL,
    vendor_sku           text                   NOT NULL,
    description          text,
    gtin                 text,
    brand_name           text,
    pack_count           integer                NOT NULL DEFAULT 0,
    pack_size            system_core.quantity,
    is_catch_weight      boolean                NOT NULL DEFAULT false,
    stock_qty_per_pack   system_core.quantity,
    current_price        system_core.money,
    price_per_stock_unit system_core.unit_price,
    is_preferred         boolean                NOT NULL DEFAULT false,
    last_ordered_on      date,
    is_active            boolean                NOT NULL DEFAULT true,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, vendor_item_id),
    UNIQUE (business_id, vendor_id, vendor_sku),
    FOREIGN KEY (business_id, pack_unit_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    FOREIGN KEY (business_id, vendor_id) REFERENCES rest.vendor (business_id, vendor_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    CONSTRAINT vendor_item_stock_qty_per_pack_positive CHECK (stock_qty_per_pack > 0)
);

COMMENT ON TABLE rest.vendor_item IS
    'How a vendor sells an item: pack, catch weight and conversion to stock units.';

-- One preferred vendor item per inventory item.
CREATE UNIQUE INDEX vendor_item_inventory_item_id_idx
    ON rest.vendor_item (business_id, inventory_item_id)
    WHERE is_preferred;

-- FK: the vendor items by their pack unit.
CREATE INDEX vendor_item_pack_unit_idx ON rest.vendor_item (business_id, pack_unit_id);

-- FK: the vendor items of a inventory item.
CREATE INDEX vendor_item_inventory_item_idx ON rest.vendor_item (business_id, inventory_item_id);

ALTER TABLE rest.vendor_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.vendor_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.vendor_item TO app_user;
GRANT SELECT ON rest.vendor_item TO app_readonly;

CREATE TRIGGER vendor_item_touch
    BEFORE UPDATE ON rest.vendor_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.vendor_item_price (
    business_id          uuid                   NOT NULL,
    vendor_item_price_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    vendor_item_id       uuid                   NOT NULL,
    price                system_core.money      NOT NULL,
    currency             system_core.currency,
    price_kind           text                   NOT NULL,
    min_packs            system_core.quantity   NOT NULL,
    change_pct           system_core.percentage,
    source               text                   NOT NULL,
    effective_from       date                   NOT NULL,
    effective_to         date,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, vendor_item_price_id),
    UNIQUE (business_id, vendor_item_id, price_kind, min_packs, effective_from),
    FOREIGN KEY (business_id, vendor_item_id)
        REFERENCES rest.vendor_item (business_id, vendor_item_id),
    CONSTRAINT vendor_item_price_kind_known
        CHECK (price_kind IN ('contract', 'market', 'bid', 'spot')),
    CONSTRAINT vendor_item_price_source_known
        CHECK (source IN ('price_file', 'invoice', 'manual')),
    CONSTRAINT vendor_item_price_price_positive CHECK (price > 0)
);

COMMENT ON TABLE rest.vendor_item_price IS 'Dated contract or market price of a vendor item.';

ALTER TABLE rest.vendor_item_price ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.vendor_item_price
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.vendor_item_price TO app_user;
GRANT SELECT ON rest.vendor_item_price TO app_readonly;

CREATE TRIGGER vendor_item_price_touch
    BEFORE UPDATE ON rest.vendor_item_price
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.purchase_order (
    business_id           uuid                 NOT NULL,
    purchase_order_id     uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    ordered_by_staff_id   uuid                 NOT NULL,
    approved_by_staff_id  uuid,
    location_id           uuid                 NOT NULL,
    vendor_id             uuid                 NOT NULL,
    po_number             text                 NOT NULL,
    order_source          text                 NOT NULL,
    state                 text                 NOT NULL DEFAULT 'draft',
    ordered_at            timestamptz,
    confirmed_at          timestamptz,
    requested_delivery_on date,
    delivered_on          date,
    subtotal              system_core.money,
    tax_total             system_core.money    NOT NULL DEFAULT 0,
    freight_total         system_core.money    NOT NULL DEFAULT 0,
    grand_total           system_core.money    GENERATED ALWAYS AS (
                                                   subtotal + tax_total + freight_total) STORED,
    currency              system_core.currency,
    vendor_reference      text,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, purchase_order_id),
    UNIQUE (business_id, po_number),
    FOREIGN KEY (business_id, ordered_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, approved_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, vendor_id) REFERENCES rest.vendor (business_id, vendor_id),
    CONSTRAINT purchase_order_source_known
        CHECK (order_source IN ('par_suggestion', 'manual', 'forecast', 'standing')),
    CONSTRAINT purchase_order_state_known
        CHECK (state IN ('draft', 'submitted', 'confirmed', 'partly_received', 'received',
                         'closed', 'cancelled'))
);

COMMENT ON TABLE rest.purchase_order IS 'An order to a vendor for a site.';
-- RULE requested_delivery_on falls on a delivery weekday of the vendor

-- FK: the purchase orders by their ordered by staff.
CREATE INDEX purchase_order_ordered_by_staff_idx
    ON rest.purchase_order (business_id, ordered_by_staff_id);

-- FK: the purchase orders by their approved by staff.
CREATE INDEX purchase_order_approved_by_staff_idx
    ON rest.purchase_order (business_id, approved_by_staff_id)
    WHERE approved_by_staff_id IS NOT NULL;

-- FK: the purchase orders of a location.
CREATE INDEX purchase_order_location_idx ON rest.purchase_order (business_id, location_id);

-- FK: the purchase orders of a vendor.
CREATE INDEX purchase_order_vendor_idx ON rest.purchase_order (business_id, vendor_id);

ALTER TABLE rest.purchase_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.purchase_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.purchase_order TO app_user;
GRANT SELECT ON rest.purchase_order TO app_readonly;

CREATE TRIGGER purchase_order_touch
    BEFORE UPDATE ON rest.purchase_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.purchase_order_line (
    business_id            uuid                 NOT NULL,
    purchase_order_line_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    substitute_for_item_id uuid,
    vendor_item_id         uuid                 NOT NULL,
    purchase_order_id      uuid                 NOT NULL,
    line_number            integer              NOT NULL,
    suggested_packs        system_core.quantity,
    ordered_packs          system_core.quantity,
    confirmed_packs        system_core.quantity,
    received_packs         system_core.quantity,
    backorder_packs        system_core.quantity,
    pack_price             system_core.money,
    line_amount            system_core.money    GENERATED ALWAYS AS (
                                                    ordered_packs * pack_price) STORED,
    state                  text                 NOT NULL DEFAULT 'open',
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, purchase_order_line_id),
    UNIQUE (business_id, purchase_order_id, line_number),
    FOREIGN KEY (business_id, substitute_for_item_id)
        REFERENCES rest.vendor_item (business_id, vendor_item_id),
    FOREIGN KEY (business_id, vendor_item_id)
        REFERENCES rest.vendor_item (business_id, vendor_item_id),
    FOREIGN KEY (business_id, purchase_order_id)
        REFERENCES rest.purchase_order (business_id, purchase_order_id),
    CONSTRAINT purchase_order_line_state_known
        CHECK (state IN ('open', 'confirmed', 'short', 'received', 'cancelled')),
    CONSTRAINT purchase_order_line_ordered_packs_positive CHECK (ordered_packs > 0)
);

COMMENT ON TABLE rest.purchase_order_line IS
    'Packs of a vendor item ordered, confirmed and received.';

-- FK: the purchase order lines by their substitute for item.
CREATE INDEX purchase_order_line_substitute_for_item_idx
    ON rest.purchase_order_line (business_id, substitute_for_item_id)
    WHERE substitute_for_item_id IS NOT NULL;

-- FK: the purchase order lines of a vendor item.
CREATE INDEX purchase_order_line_vendor_item_idx
    ON rest.purchase_order_line (business_id, vendor_item_id);

ALTER TABLE rest.purchase_order_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.purchase_order_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.purchase_order_line TO app_user;
GRANT SELECT ON rest.purchase_order_line TO app_readonly;

CREATE TRIGGER purchase_order_line_touch
    BEFORE UPDATE ON rest.purchase_order_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.goods_receipt (
    business_id          uuid                 NOT NULL,
    goods_receipt_id     uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    received_by_staff_id uuid                 NOT NULL,
    vendor_id            uuid                 NOT NULL,
    location_id          uuid                 NOT NULL,
    purchase_order_id    uuid,
    receipt_number       text                 NOT NULL,
    received_at          timestamptz          NOT NULL,
    delivery_note_number text,
    truck_temp_c         system_core.quantity,
    driver_name          text,
    carton_count         integer              NOT NULL DEFAULT 0,
    condition_ok         boolean              NOT NULL DEFAULT false,
    total_value          system_core.money,
    state                text                 NOT NULL DEFAULT 'checking',
    note                 text,
    created_at           timestamptz          NOT NULL DEFAULT now(),
    updated_at           timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, goods_receipt_id),
    UNIQUE (business_id, receipt_number),
    FOREIGN KEY (business_id, received_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, vendor_id) REFERENCES rest.vendor (business_id, vendor_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, purchase_order_id)
        REFERENCES rest.purchase_order (business_id, purchase_order_id),
    CONSTRAINT goods_receipt_state_known
        CHECK (state IN ('checking', 'accepted', 'accepted_with_issues', 'rejected'))
);

COMMENT ON TABLE rest.goods_receipt IS 'A delivery checked at the back door.';
-- RULE truck_temp_c is set when any line is chilled or frozen

-- FK: the goods receipts by their received by staff.
CREATE INDEX goods_receipt_received_by_staff_idx
    ON rest.goods_receipt (business_id, received_by_staff_id);

-- FK: the goods receipts of a vendor.
CREATE INDEX goods_receipt_vendor_idx ON rest.goods_receipt (business_id, vendor_id);

-- FK: the goods receipts of a location.
CREATE INDEX goods_receipt_location_idx ON rest.goods_receipt (business_id, location_id);

-- FK: the goods receipts of a purchase order.
CREATE INDEX goods_receipt_purchase_order_idx
    ON rest.goods_receipt (business_id, purchase_order_id)
    WHERE purchase_order_id IS NOT NULL;

ALTER TABLE rest.goods_receipt ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.goods_receipt
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.goods_receipt TO app_user;
GRANT SELECT ON rest.goods_receipt TO app_readonly;

CREATE TRIGGER goods_receipt_touch
    BEFORE UPDATE ON rest.goods_receipt
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.goods_receipt_line (
    business_id            uuid                   NOT NULL,
    goods_receipt_line_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    reject_reason_id       uuid,
    goods_receipt_id       uuid                   NOT NULL,
    inventory_item_id      uuid                   NOT NULL,
    purchase_order_line_id uuid,
    stock_lot_id           uuid,
    line_number            integer                NOT NULL,
    received_packs         system_core.quantity,
    accepted_packs         system_core.quantity   GENERATED ALWAYS AS (0) STORED,
    rejected_packs         system_core.quantity,
    catch_weight           system_core.quantity,
    stock_qty              system_core.quantity,
    unit_cost              system_core.unit_price,
    product_temp_c         system_core.quantity,
    temp_limit_c           system_core.quantity,
    use_by_on              date,
    traceability_lot_code  system_core.code,
    discrepancy            text                   NOT NULL,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, goods_receipt_line_id),
    UNIQUE (business_id, goods_receipt_id, line_number),
    FOREIGN KEY (business_id, reject_reason_id)
        REFERENCES rest.reason_code (business_id, reason_code_id),
    FOREIGN KEY (business_id, goods_receipt_id)
        REFERENCES rest.goods_receipt (business_id, goods_receipt_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, purchase_order_line_id)
        REFERENCES rest.purchase_order_line (business_id, purchase_order_line_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES rest.stock_lot (business_id, stock_lot_id),
    CONSTRAINT goods_receipt_line_discrepancy_known
        CHECK (discrepancy IN ('none', 'short', 'over', 'damaged', 'warm', 'wrong_item',
                               'near_expiry')),
    CONSTRAINT goods_receipt_line_accepted_packs_agrees_rejected_packs
        CHECK (accepted_packs + rejected_packs = received_packs),
    CONSTRAINT goods_receipt_line_discrepancy_implied
        CHECK (NOT (product_temp_c > temp_limit_c) OR (discrepancy = 'warm'))
);

COMMENT ON TABLE rest.goods_receipt_line IS
    'An item accepted or rejected, with its temperature, use-by and lot code.';

-- FK: the goods receipt lines by their reject reason.
CREATE INDEX goods_receipt_line_reject_reason_idx
    ON rest.goods_receipt_line (business_id, reject_reason_id)
    WHERE reject_reason_id IS NOT NULL;

-- FK: the goods receipt lines of a inventory item.
CREATE INDEX goods_receipt_line_inventory_item_idx
    ON rest.goods_receipt_line (business_id, inventory_item_id);

-- FK: the goods receipt lines of a purchase order line.
CREATE INDEX goods_receipt_line_purchase_order_line_idx
    ON rest.goods_receipt_line (business_id, purchase_order_line_id)
    WHERE purchase_order_line_id IS NOT NULL;

-- FK: the goods receipt lines of a stock lot.
CREATE INDEX goods_receipt_line_stock_lot_idx
    ON rest.goods_receipt_line (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

ALTER TABLE rest.goods_receipt_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.goods_receipt_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.goods_receipt_line TO app_user;
GRANT SELECT ON rest.goods_receipt_line TO app_readonly;

CREATE TRIGGER goods_receipt_line_touch
    BEFORE UPDATE ON rest.goods_receipt_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.vendor_invoice (
    business_id       uuid                 NOT NULL,
    vendor_invoice_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    document_file_id  uuid,
    vendor_id         uuid                 NOT NULL,
    location_id       uuid                 NOT NULL,
    goods_receipt_id  uuid,
    invoice_number    text                 NOT NULL,
    invoice_kind      text                 NOT NULL,
    invoice_date      date,
    due_date          date,
    subtotal          system_core.money,
    tax_total         system_core.money    NOT NULL DEFAULT 0,
    freight_total     system_core.money    NOT NULL DEFAULT 0,
    grand_total       system_core.money    NOT NULL DEFAULT 0,
    currency          system_core.currency,
    variance_total    system_core.money    NOT NULL DEFAULT 0,
    match_state       text                 NOT NULL DEFAULT 'unmatched',
    paid_on           date,
    ocr_confidence    numeric(9, 4),
    created_at        timestamptz          NOT NULL DEFAULT now(),
    updated_at        timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, vendor_invoice_id),
    UNIQUE (business_id, vendor_id, invoice_number),
    FOREIGN KEY (business_id, document_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, vendor_id) REFERENCES rest.vendor (business_id, vendor_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, goods_receipt_id)
        REFERENCES rest.goods_receipt (business_id, goods_receipt_id),
    CONSTRAINT vendor_invoice_kind_known CHECK (invoice_kind IN ('invoice', 'credit_memo')),
    CONSTRAINT vendor_invoice_match_state_known
        CHECK (match_state IN ('unmatched', 'matched', 'price_variance', 'qty_variance',
                               'approved', 'disputed')),
    CONSTRAINT vendor_invoice_due_date_follows_invoice_date CHECK (due_date >= invoice_date)
);

COMMENT ON TABLE rest.vendor_invoice IS 'Invoice or credit memo with its match state.';
-- RULE approved needs variance_total within tolerance or a reason

-- FK: the vendor invoices by their document file.
CREATE INDEX vendor_invoice_document_file_idx
    ON rest.vendor_invoice (business_id, document_file_id)
    WHERE document_file_id IS NOT NULL;

-- FK: the vendor invoices of a location.
CREATE INDEX vendor_invoice_location_idx ON rest.vendor_invoice (business_id, location_id);

-- FK: the vendor invoices of a goods receipt.
CREATE INDEX vendor_invoice_goods_receipt_idx
    ON rest.vendor_invoice (business_id, goods_receipt_id)
    WHERE goods_receipt_id IS NOT NULL;

ALTER TABLE rest.vendor_invoice ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.vendor_invoice
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.vendor_invoice TO app_user;
GRANT SELECT ON rest.vendor_invoice TO app_readonly;

CREATE TRIGGER vendor_invoice_touch
    BEFORE UPDATE ON rest.vendor_invoice
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.vendor_invoice_line (
    business_id            uuid                 NOT NULL,
    vendor_invoice_line_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    vendor_invoice_id      uuid                 NOT NULL,
    goods_receipt_line_id  uuid,
    vendor_item_id         uuid,
    inventory_category_id  uuid,
    line_number            integer              NOT NULL,
    description            text,
    billed_packs           system_core.quantity,
    billed_price           system_core.money,
    line_amount            system_core.money    NOT NULL DEFAULT 0,
    expected_amount        system_core.money    NOT NULL DEFAULT 0,
    price_variance         system_core.money,
    qty_variance           system_core.quantity,
    match_state            text                 NOT NULL DEFAULT 'unmatched',
    gl_account             text,
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, vendor_invoice_line_id),
    UNIQUE (business_id, vendor_invoice_id, line_number),
    FOREIGN KEY (business_id, vendor_invoice_id)
        REFERENCES rest.vendor_invoice (business_id, vendor_invoice_id),
    FOREIGN KEY (business_id, goods_receipt_line_id)
        REFERENCES rest.goods_receipt_line (business_id, goods_receipt_line_id),
    FOREIGN KEY (business_id, vendor_item_id)
        REFERENCES rest.vendor_item (business_id, vendor_item_id),
    FOREIGN KEY (business_id, inventory_category_id)
        REFERENCES rest.inventory_category (business_id, inventory_category_id),
    CONSTRAINT vendor_invoice_line_match_state_known
        CHECK (match_state IN ('unmatched', 'matched', 'price_variance', 'qty_variance',
                               'not_received'))
);

COMMENT ON TABLE rest.vendor_invoice_line IS 'Billed against received quantity and agreed price.';
-- RULE line_amount = billed_packs * billed_price for fixed-weight items

-- FK: the vendor invoice lines of a goods receipt line.
CREATE INDEX vendor_invoice_line_goods_receipt_line_idx
    ON rest.vendor_invoice_line (business_id, goods_receipt_line_id)
    WHERE goods_receipt_line_id IS NOT NULL;

-- FK: the vendor invoice lines of a vendor item.
CREATE INDEX vendor_invoice_line_vendor_item_idx
    ON rest.vendor_invoice_line (business_id, vendor_item_id)
    WHERE vendor_item_id IS NOT NULL;

-- FK: the vendor invoice lines of a inventory category.
CREATE INDEX vendor_invoice_line_inventory_category_idx
    ON rest.vendor_invoice_line (business_id, inventory_category_id)
    WHERE inventory_category_id IS NOT NULL;

ALTER TABLE rest.vendor_invoice_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.vendor_invoice_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.vendor_invoice_line TO app_user;
GRANT SELECT ON rest.vendor_invoice_line TO app_readonly;

CREATE TRIGGER vendor_invoice_line_touch
    BEFORE UPDATE ON rest.vendor_invoice_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
