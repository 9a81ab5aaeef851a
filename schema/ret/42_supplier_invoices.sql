/*
 * What suppliers bill for what they brought, and what goes back to them.
 *
 * supplier_invoice ─< supplier_invoice_line is matched three ways, with order and receipt, by
 * ret.match_invoice(). supplier_return ─< supplier_return_line leaves the stock ledger by
 * ret.ship_supplier_return(), under the supplier's authorisation, and is credited.
 */

CREATE TABLE ret.supplier_invoice (
    business_id         uuid                 NOT NULL,
    supplier_invoice_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    document_file_id    uuid,
    supplier_id         uuid                 NOT NULL,
    purchase_order_id   uuid,
    goods_receipt_id    uuid,
    invoice_number      text                 NOT NULL,
    invoice_kind        text                 NOT NULL DEFAULT 'invoice',
    invoice_date        date                 NOT NULL,
    due_date            date                 NOT NULL,
    currency            system_core.currency NOT NULL,
    subtotal            system_core.money    NOT NULL DEFAULT 0,
    tax_total           system_core.money    NOT NULL DEFAULT 0,
    grand_total         system_core.money    GENERATED ALWAYS AS (subtotal + tax_total) STORED,
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
    CONSTRAINT supplier_invoice_due_after_invoice CHECK (due_date >= invoice_date),
    CONSTRAINT supplier_invoice_discount_before_due
        CHECK (discount_date BETWEEN invoice_date AND due_date),
    CONSTRAINT supplier_invoice_amounts_not_negative CHECK (subtotal >= 0 AND tax_total >= 0),
    CONSTRAINT supplier_invoice_pays_at_most_total
        CHECK (paid_amount BETWEEN 0 AND subtotal + tax_total),
    CONSTRAINT supplier_invoice_paid_has_day CHECK ((paid_on IS NOT NULL) = (paid_amount > 0)),
    CONSTRAINT supplier_invoice_paid_once_matched
        CHECK (paid_amount = 0 OR match_state IN ('matched', 'approved'))
);

COMMENT ON TABLE ret.supplier_invoice IS
    'A supplier''s invoice or credit note, matched with what was ordered and what came.';
COMMENT ON COLUMN ret.supplier_invoice.match_state IS
    'Approved: somebody accepts the variance. Only matched and approved invoices are paid.';
COMMENT ON COLUMN ret.supplier_invoice.variance_total IS
    'Billed beyond what was expected; below zero where it is less.';
COMMENT ON COLUMN ret.supplier_invoice.discount_date IS 'Paid by this day, the discount is taken.';

-- FK: the scan of an invoice.
CREATE INDEX supplier_invoice_document_file_idx
    ON ret.supplier_invoice (business_id, document_file_id)
    WHERE document_file_id IS NOT NULL;

-- FK: the invoices of an order.
CREATE INDEX supplier_invoice_purchase_order_idx
    ON ret.supplier_invoice (business_id, purchase_order_id)
    WHERE purchase_order_id IS NOT NULL;

-- FK: the invoices of a receipt.
CREATE INDEX supplier_invoice_goods_receipt_idx
    ON ret.supplier_invoice (business_id, goods_receipt_id)
    WHERE goods_receipt_id IS NOT NULL;

-- The payment run: what is unpaid, by the day it is due.
CREATE INDEX supplier_invoice_unpaid_idx
    ON ret.supplier_invoice (business_id, due_date)
    WHERE paid_on IS NULL;

ALTER TABLE ret.supplier_invoice ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier_invoice
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier_invoice TO app_user;
GRANT SELECT ON ret.supplier_invoice TO app_readonly;

CREATE TRIGGER supplier_invoice_touch
    BEFORE UPDATE ON ret.supplier_invoice
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER supplier_invoice_state_machine
    BEFORE INSERT OR UPDATE OF match_state ON ret.supplier_invoice
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('match_state', '{
        "initial": ["unmatched"],
        "transitions": {
            "unmatched":      ["matched", "price_variance", "qty_variance", "disputed"],
            "price_variance": ["matched", "qty_variance", "approved", "disputed"],
            "qty_variance":   ["matched", "price_variance", "approved", "disputed"],
            "matched":        ["price_variance", "qty_variance", "approved", "disputed"],
            "disputed":       ["matched", "price_variance", "qty_variance", "approved"],
            "approved":       []
        }}');

CREATE TRIGGER supplier_invoice_order
    BEFORE INSERT OR UPDATE OF purchase_order_id, supplier_id ON ret.supplier_invoice
    FOR EACH ROW WHEN (NEW.purchase_order_id IS NOT NULL)
    EXECUTE FUNCTION ret.require_order_of_same_supplier();


CREATE TABLE ret.supplier_invoice_line (
    business_id              uuid                   NOT NULL,
    supplier_invoice_line_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_invoice_id      uuid                   NOT NULL,
    purchase_order_line_id   uuid,
    goods_receipt_line_id    uuid,
    line_number              integer                NOT NULL,
    description              text,
    billed_qty               system_core.quantity   NOT NULL,
    billed_cost              system_core.unit_price NOT NULL,
    line_amount              system_core.money      GENERATED ALWAYS AS (
        round(billed_qty * billed_cost, 2)) STORED,
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
                               'not_received')),
    CONSTRAINT supplier_invoice_line_bills_something CHECK (billed_qty > 0),
    CONSTRAINT supplier_invoice_line_cost_not_negative CHECK (billed_cost >= 0),
    CONSTRAINT supplier_invoice_line_matched_has_variances
        CHECK (match_state = 'unmatched'
               OR (qty_variance IS NOT NULL AND price_variance IS NOT NULL))
);

COMMENT ON TABLE ret.supplier_invoice_line IS
    'Billed quantity and price against receipt and order.';
COMMENT ON COLUMN ret.supplier_invoice_line.expected_amount IS
    'What should have been billed: what came and was not billed yet, at the ordered cost.';
COMMENT ON COLUMN ret.supplier_invoice_line.qty_variance IS
    'Units billed beyond those that came and were not billed yet.';
COMMENT ON COLUMN ret.supplier_invoice_line.price_variance IS
    'What the billed units cost beyond the ordered cost, over all of them.';

-- FK: what was billed of an order line.
CREATE INDEX supplier_invoice_line_purchase_order_line_idx
    ON ret.supplier_invoice_line (business_id, purchase_order_line_id)
    WHERE purchase_order_line_id IS NOT NULL;

-- FK: what was billed of a receipt line.
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

CREATE FUNCTION ret.total_supplier_invoices() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    settled text;
BEGIN
    IF NOT row_security_active('ret.supplier_invoice_line') THEN
        RETURN NULL;
    END IF;
    SELECT i.invoice_number INTO settled
    FROM ret.supplier_invoice AS i
    WHERE (i.business_id, i.supplier_invoice_id) IN (
              SELECT c.business_id, c.supplier_invoice_id FROM changed AS c)
      AND (i.match_state = 'approved' OR i.paid_amount > 0)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'invoice % is approved or paid, its lines stand', settled
            USING ERRCODE = 'restrict_violation', HINT = 'Ask for a credit note.';
    END IF;
    UPDATE ret.supplier_invoice AS i
    SET subtotal = n.subtotal
    FROM (
        SELECT c.business_id, c.supplier_invoice_id, coalesce(sum(l.line_amount), 0) AS subtotal
        FROM (SELECT DISTINCT x.business_id, x.supplier_invoice_id FROM changed AS x) AS c
        LEFT JOIN ret.supplier_invoice_line AS l
            ON l.business_id = c.business_id AND l.supplier_invoice_id = c.supplier_invoice_id
        GROUP BY c.business_id, c.supplier_invoice_id
    ) AS n
    WHERE i.business_id = n.business_id AND i.supplier_invoice_id = n.supplier_invoice_id
      AND i.subtotal <> n.subtotal;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.total_supplier_invoices() IS
    'Keeps the subtotal of invoices in step with their lines, until they are approved or paid.';

CREATE TRIGGER supplier_invoice_line_total_on_insert
    AFTER INSERT ON ret.supplier_invoice_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.total_supplier_invoices();

CREATE TRIGGER supplier_invoice_line_total_on_update
    AFTER UPDATE ON ret.supplier_invoice_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.total_supplier_invoices();

CREATE TRIGGER supplier_invoice_line_total_on_delete
    AFTER DELETE ON ret.supplier_invoice_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.total_supplier_invoices();


CREATE FUNCTION ret.match_invoice(supplier_invoice uuid) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    bill   record;
    found_state text;
    beyond numeric;
BEGIN
    SELECT i.invoice_number, i.invoice_kind, i.match_state, i.paid_amount INTO bill
    FROM ret.supplier_invoice AS i
    WHERE i.business_id = tenant AND i.supplier_invoice_id = supplier_invoice
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such invoice' USING ERRCODE = 'no_data_found';
    ELSIF bill.invoice_kind <> 'invoice' OR bill.match_state = 'approved'
          OR bill.paid_amount > 0 THEN
        RAISE EXCEPTION '% % is % and is not matched', bill.invoice_kind, bill.invoice_number,
                        bill.match_state
            USING ERRCODE = 'check_violation';
    END IF;
    -- Two invoices for one line wait for each other: the second finds it billed.
    PERFORM FROM ret.purchase_order_line AS o
    WHERE o.business_id = tenant
      AND o.purchase_order_line_id IN (
          SELECT l.purchase_order_line_id FROM ret.supplier_invoice_line AS l
          WHERE l.business_id = tenant AND l.supplier_invoice_id = supplier_invoice)
    ORDER BY o.purchase_order_line_id
    FOR NO KEY UPDATE;

    UPDATE ret.supplier_invoice_line AS l
    SET expected_amount = round(n.open_qty * n.cost, 2),
        qty_variance = l.billed_qty - n.open_qty,
        price_variance = l.line_amount - round(l.billed_qty * n.cost, 2),
        match_state = CASE WHEN n.came = 0 THEN 'not_received'
                           WHEN l.billed_qty > n.open_qty THEN 'qty_variance'
                           WHEN abs(l.billed_cost - n.cost) > n.cost * n.tolerance / 100
                           THEN 'price_variance'
                           ELSE 'matched' END
    FROM (
        SELECT x.supplier_invoice_line_id, coalesce(o.received_qty, 0) AS came,
               greatest(coalesce(o.received_qty, 0) - coalesce(b.quantity, 0), 0) AS open_qty,
               round(coalesce(o.unit_cost * (1 - o.discount_pct / 100), 0), 6) AS cost,
               coalesce(p.price_tolerance_pct, 0) AS tolerance
        FROM ret.supplier_invoice_line AS x
        LEFT JOIN ret.purchase_order_line AS o
            ON o.business_id = x.business_id
           AND o.purchase_order_line_id = x.purchase_order_line_id
        LEFT JOIN ret.purchase_order AS p
            ON p.business_id = x.business_id AND p.purchase_order_id = o.purchase_order_id
        LEFT JOIN LATERAL (
            -- What other invoices, and lines above this one, billed of it.
            SELECT sum(y.billed_qty) AS quantity
            FROM ret.supplier_invoice_line AS y
            JOIN ret.supplier_invoice AS i
                ON i.business_id = y.business_id
               AND i.supplier_invoice_id = y.supplier_invoice_id
            WHERE y.business_id = x.business_id
              AND y.purchase_order_line_id = x.purchase_order_line_id
              AND i.invoice_kind = 'invoice'
              AND CASE WHEN i.supplier_invoice_id = supplier_invoice
                       THEN y.line_number < x.line_number
                       ELSE i.match_state NOT IN ('unmatched', 'disputed') END
        ) AS b ON true
        WHERE x.business_id = tenant AND x.supplier_invoice_id = supplier_invoice
    ) AS n
    WHERE l.business_id = tenant AND l.supplier_invoice_line_id = n.supplier_invoice_line_id;

    SELECT CASE WHEN bool_or(l.match_state IN ('qty_variance', 'not_received'))
                THEN 'qty_variance'
                WHEN bool_or(l.match_state = 'price_variance') THEN 'price_variance'
                WHEN count(*) > 0 THEN 'matched' END,
           sum(CASE WHEN l.qty_variance > 0 THEN l.line_amount - l.expected_amount
                    ELSE l.price_variance END)
    INTO found_state, beyond
    FROM ret.supplier_invoice_line AS l
    WHERE l.business_id = tenant AND l.supplier_invoice_id = supplier_invoice;
    IF found_state IS NULL THEN
        RAISE EXCEPTION 'invoice % has no lines', bill.invoice_number
            USING ERRCODE = 'check_violation';
    END IF;
    UPDATE ret.supplier_invoice AS i
    SET match_state = found_state, variance_total = beyond
    WHERE i.business_id = tenant AND i.supplier_invoice_id = supplier_invoice;
    UPDATE ret.purchase_order_line AS o
    SET invoiced_qty = n.quantity
    FROM (
        SELECT y.purchase_order_line_id, sum(y.billed_qty) AS quantity
        FROM ret.supplier_invoice_line AS y
        JOIN ret.supplier_invoice AS i
            ON i.business_id = y.business_id AND i.supplier_invoice_id = y.supplier_invoice_id
        WHERE y.business_id = tenant AND i.invoice_kind = 'invoice'
          AND i.match_state NOT IN ('unmatched', 'disputed')
          AND y.purchase_order_line_id IN (
              SELECT l.purchase_order_line_id FROM ret.supplier_invoice_line AS l
              WHERE l.business_id = tenant AND l.supplier_invoice_id = supplier_invoice)
        GROUP BY y.purchase_order_line_id
    ) AS n
    WHERE o.business_id = tenant AND o.purchase_order_line_id = n.purchase_order_line_id
      AND o.invoiced_qty <> n.quantity;
    RETURN found_state;
END
$$;
COMMENT ON FUNCTION ret.match_invoice(uuid) IS
    'Matches an invoice three ways, with the order''s cost and with what came and was not billed by
     another invoice, and returns what it finds. Within the order''s tolerance a cost agrees.';


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
    requested_at          timestamptz       NOT NULL DEFAULT now(),
    authorised_at         timestamptz,
    shipped_at            timestamptz,
    credited_at           timestamptz,
    expected_credit       system_core.money NOT NULL DEFAULT 0,
    received_credit       system_core.money NOT NULL DEFAULT 0,
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
    CONSTRAINT supplier_return_authorised_after_requested CHECK (authorised_at >= requested_at),
    CONSTRAINT supplier_return_shipped_after_authorised CHECK (shipped_at >= authorised_at),
    CONSTRAINT supplier_return_credited_after_shipped CHECK (credited_at >= shipped_at),
    CONSTRAINT supplier_return_authorised_has_number
        CHECK (state NOT IN ('authorised', 'shipped', 'credited')
               OR (authorised_at IS NOT NULL AND supplier_rma_number IS NOT NULL)),
    CONSTRAINT supplier_return_shipped_has_time
        CHECK ((state IN ('shipped', 'credited')) = (shipped_at IS NOT NULL)),
    CONSTRAINT supplier_return_credited_has_time
        CHECK ((state = 'credited') = (credited_at IS NOT NULL)),
    CONSTRAINT supplier_return_credit_at_most_expected
        CHECK (received_credit BETWEEN 0 AND expected_credit),
    CONSTRAINT supplier_return_credit_when_credited
        CHECK (received_credit = 0 OR state = 'credited'),
    CONSTRAINT supplier_return_fee_not_negative CHECK (restocking_fee >= 0)
);

COMMENT ON TABLE ret.supplier_return IS
    'Return to vendor: goods going back under the supplier''s authorisation, for credit.';
COMMENT ON COLUMN ret.supplier_return.expected_credit IS
    'The credit asked for on its lines, before the fee; kept by their trigger.';
COMMENT ON COLUMN ret.supplier_return.supplier_agreement_id IS
    'The returns allowance that it is taken under.';

-- FK: the returns that somebody asked for.
CREATE INDEX supplier_return_requested_by_user_idx
    ON ret.supplier_return (business_id, requested_by_user_id);

-- FK: the returns to a supplier.
CREATE INDEX supplier_return_supplier_idx ON ret.supplier_return (business_id, supplier_id);

-- FK: the returns of a location.
CREATE INDEX supplier_return_location_idx ON ret.supplier_return (business_id, location_id);

-- FK: the returns under an agreement.
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

CREATE TRIGGER supplier_return_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.supplier_return
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft"],
        "transitions": {
            "draft":      ["requested", "cancelled"],
            "requested":  ["authorised", "rejected", "cancelled"],
            "authorised": ["shipped", "cancelled"],
            "shipped":    ["credited"],
            "credited":   [],
            "rejected":   [],
            "cancelled":  []
        }}');


CREATE TABLE ret.supplier_return_line (
    business_id             uuid                 NOT NULL,
    supplier_return_line_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_return_id      uuid                 NOT NULL,
    product_variant_id      uuid                 NOT NULL,
    stock_lot_id            uuid,
    goods_receipt_line_id   uuid,
    line_number             integer              NOT NULL,
    return_qty              system_core.quantity NOT NULL,
    accepted_qty            system_core.quantity,
    unit_credit             system_core.money    NOT NULL,
    line_credit             system_core.money    GENERATED ALWAYS AS (
        round(accepted_qty * unit_credit, 2)) STORED,
    defect_reason           text,
    serials_doc             jsonb,
    disposition             text                 NOT NULL DEFAULT 'return',
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
    CONSTRAINT supplier_return_line_returns_something CHECK (return_qty > 0),
    CONSTRAINT supplier_return_line_accepted_at_most_returned
        CHECK (accepted_qty BETWEEN 0 AND return_qty),
    CONSTRAINT supplier_return_line_credit_not_negative CHECK (unit_credit >= 0),
    CONSTRAINT supplier_return_line_serials_are_listed
        CHECK (CASE WHEN serials_doc IS NOT NULL
                    THEN jsonb_typeof(serials_doc) = 'array'
                         AND jsonb_array_length(serials_doc) = return_qty END)
);

COMMENT ON TABLE ret.supplier_return_line IS
    'Variant and lot going back, with the credit asked for and what the supplier accepts.';
COMMENT ON COLUMN ret.supplier_return_line.accepted_qty IS
    'What the supplier gives credit for; unknown until it answers.';
COMMENT ON COLUMN ret.supplier_return_line.serials_doc IS
    'The serial numbers going back, an array of texts: all of them or none.';
COMMENT ON COLUMN ret.supplier_return_line.disposition IS
    'Whether the goods travel, or are destroyed or given away on the supplier''s word.';

-- FK: the returns of a variant.
CREATE INDEX supplier_return_line_product_variant_idx
    ON ret.supplier_return_line (business_id, product_variant_id);

-- FK: the returns of a lot.
CREATE INDEX supplier_return_line_stock_lot_idx
    ON ret.supplier_return_line (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

-- FK: what goes back of a receipt line.
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

CREATE FUNCTION ret.check_return_lines() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    over record;
BEGIN
    IF NOT row_security_active('ret.supplier_return_line') THEN
        RETURN NULL;
    END IF;
    -- Two returns of one receipt line wait for each other at the line.
    PERFORM FROM ret.goods_receipt_line AS g
    WHERE g.business_id = tenant_mgmt.current_business_id()
      AND g.goods_receipt_line_id IN (SELECT c.goods_receipt_line_id FROM changed AS c)
    ORDER BY g.goods_receipt_line_id
    FOR NO KEY UPDATE;
    SELECT g.line_number, g.received_qty, sum(l.return_qty) AS back INTO over
    FROM ret.goods_receipt_line AS g
    JOIN ret.supplier_return_line AS l
        ON l.business_id = g.business_id AND l.goods_receipt_line_id = g.goods_receipt_line_id
    JOIN ret.supplier_return AS r
        ON r.business_id = l.business_id AND r.supplier_return_id = l.supplier_return_id
       AND r.state NOT IN ('rejected', 'cancelled')
    WHERE g.business_id = tenant_mgmt.current_business_id()
      AND g.goods_receipt_line_id IN (SELECT c.goods_receipt_line_id FROM changed AS c)
    GROUP BY g.goods_receipt_line_id, g.line_number, g.received_qty, g.rejected_qty
    HAVING sum(l.return_qty) > g.received_qty - g.rejected_qty
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'receipt line % brought %, % would go back', over.line_number,
                        over.received_qty, over.back
            USING ERRCODE = 'check_violation';
    END IF;
    UPDATE ret.supplier_return AS r
    SET expected_credit = n.credit
    FROM (
        SELECT c.business_id, c.supplier_return_id,
               coalesce(sum(round(l.return_qty * l.unit_credit, 2)), 0) AS credit
        FROM (SELECT DISTINCT x.business_id, x.supplier_return_id FROM changed AS x) AS c
        LEFT JOIN ret.supplier_return_line AS l
            ON l.business_id = c.business_id AND l.supplier_return_id = c.supplier_return_id
        GROUP BY c.business_id, c.supplier_return_id
    ) AS n
    WHERE r.business_id = n.business_id AND r.supplier_return_id = n.supplier_return_id
      AND r.expected_credit <> n.credit;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.check_return_lines() IS
    'No more of a receipt line goes back than came and was kept, also when two returns are written
     at once; the return expects what its lines ask for.';

CREATE TRIGGER supplier_return_line_check_on_insert
    AFTER INSERT ON ret.supplier_return_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.check_return_lines();

CREATE TRIGGER supplier_return_line_check_on_update
    AFTER UPDATE ON ret.supplier_return_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.check_return_lines();

CREATE TRIGGER supplier_return_line_check_on_delete
    AFTER DELETE ON ret.supplier_return_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.check_return_lines();

CREATE FUNCTION ret.refuse_return_line_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    line   ret.supplier_return_line;
    parent record;
BEGIN
    line := coalesce(NEW, OLD);
    IF NOT row_security_active(TG_RELID) THEN
        RETURN line;
    END IF;
    SELECT r.rtv_number, r.state INTO parent
    FROM ret.supplier_return AS r
    WHERE r.business_id = line.business_id AND r.supplier_return_id = line.supplier_return_id
    FOR SHARE;
    IF parent.state = 'draft' OR (
        parent.state NOT IN ('credited', 'rejected', 'cancelled') AND TG_OP = 'UPDATE'
        AND to_jsonb(NEW) - ARRAY['accepted_qty', 'line_credit', 'updated_at']
            = to_jsonb(OLD) - ARRAY['accepted_qty', 'line_credit', 'updated_at']) THEN
        RETURN line;
    END IF;
    RAISE EXCEPTION 'return % is %, its lines stand', parent.rtv_number, parent.state
        USING ERRCODE = 'restrict_violation';
END
$$;
COMMENT ON FUNCTION ret.refuse_return_line_change() IS
    'Lines change while their return is a draft; afterwards only what the supplier accepts does,
     until it is credited.';

CREATE TRIGGER supplier_return_line_freeze
    BEFORE INSERT OR UPDATE OR DELETE ON ret.supplier_return_line
    FOR EACH ROW EXECUTE FUNCTION ret.refuse_return_line_change();


CREATE FUNCTION ret.ship_supplier_return(supplier_return uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    going  ret.supplier_return;
    posted integer;
BEGIN
    SELECT r.* INTO going
    FROM ret.supplier_return AS r
    WHERE r.business_id = tenant AND r.supplier_return_id = supplier_return
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such return' USING ERRCODE = 'no_data_found';
    ELSIF going.state <> 'authorised' THEN
        RAISE EXCEPTION 'return % is %, it does not leave', going.rtv_number, going.state
            USING ERRCODE = 'check_violation';
    END IF;
    PERFORM FROM ret.stock_level AS s
    WHERE s.business_id = tenant AND s.location_id = going.location_id
      AND s.consignment_agreement_id IS NULL
      AND s.product_variant_id IN (
          SELECT l.product_variant_id FROM ret.supplier_return_line AS l
          WHERE l.business_id = tenant AND l.supplier_return_id = supplier_return)
    ORDER BY s.product_variant_id
    FOR NO KEY UPDATE;
    WITH line AS (
        SELECT l.product_variant_id, l.line_number, l.stock_lot_id, l.return_qty, l.serials_doc,
               coalesce(s.damaged_qty, 0) AS damaged,
               sum(l.return_qty) OVER (PARTITION BY l.product_variant_id ORDER BY l.line_number)
               - l.return_qty AS before
        FROM ret.supplier_return_line AS l
        LEFT JOIN ret.stock_level AS s
            ON s.business_id = l.business_id AND s.location_id = going.location_id
           AND s.product_variant_id = l.product_variant_id AND s.consignment_agreement_id IS NULL
        WHERE l.business_id = tenant AND l.supplier_return_id = supplier_return
    ), part AS (
        -- Damaged goods leave first; sound ones as far as those do not reach.
        SELECT l.product_variant_id, l.line_number, l.stock_lot_id, m.from_state, m.quantity,
               NULL AS serial_number
        FROM line AS l
        CROSS JOIN LATERAL (
            SELECT least(l.return_qty, greatest(l.damaged - l.before, 0)) AS damaged
        ) AS n
        CROSS JOIN LATERAL (VALUES ('damaged', n.damaged),
                                   ('available', l.return_qty - n.damaged))
            AS m (from_state, quantity)
        WHERE l.serials_doc IS NULL AND m.quantity > 0
        UNION ALL
        -- A unit with a serial number leaves from where it is.
        SELECT l.product_variant_id, l.line_number, l.stock_lot_id,
               CASE u.state WHEN 'defective' THEN 'damaged' ELSE 'available' END, 1,
               j.serial_number
        FROM line AS l
        CROSS JOIN LATERAL JSON_TABLE(
            l.serials_doc, '$[*]' COLUMNS (serial_number text PATH '$')) AS j
        LEFT JOIN ret.serial_unit AS u
            ON u.business_id = tenant AND u.product_variant_id = l.product_variant_id
           AND u.serial_number = j.serial_number
    ), made AS (
        INSERT INTO ret.stock_movement
            (business_id, product_variant_id, location_id, stock_lot_id, movement_kind,
             from_state, to_state, quantity, source_kind, source_id, serial_number)
        SELECT tenant, p.product_variant_id, going.location_id, p.stock_lot_id, 'rtv',
               p.from_state, 'none', p.quantity, 'return', supplier_return, p.serial_number
        FROM part AS p
        ORDER BY p.product_variant_id, p.line_number, p.from_state, p.serial_number
        RETURNING 1
    )
    SELECT count(*) INTO posted FROM made;
    IF posted = 0 THEN
        RAISE EXCEPTION 'return % has no lines', going.rtv_number
            USING ERRCODE = 'check_violation';
    END IF;
    UPDATE ret.supplier_return AS r
    SET state = 'shipped', shipped_at = greatest(now(), r.authorised_at)
    WHERE r.business_id = tenant AND r.supplier_return_id = supplier_return;
    RETURN posted;
END
$$;
COMMENT ON FUNCTION ret.ship_supplier_return(uuid) IS
    'An authorised return leaves the stock ledger, damaged goods first; the ledger refuses what is
     not there. Returns how many movements it wrote.';


CREATE VIEW ret.v_three_way_match WITH (security_invoker = true) AS
SELECT l.business_id, o.supplier_id, o.purchase_order_id, o.po_number, l.purchase_order_line_id,
       l.line_number, p.product_variant_id, p.supplier_sku, l.ordered_qty, l.cancelled_qty,
       l.received_qty, g.receipts, i.invoices, coalesce(i.billed_qty, 0) AS billed_qty,
       l.unit_cost * (1 - l.discount_pct / 100) AS ordered_cost, i.billed_cost,
       coalesce(i.billed_qty, 0) - l.received_qty AS qty_variance,
       coalesce(i.billed_amount, 0)
       - round(coalesce(i.billed_qty, 0) * l.unit_cost * (1 - l.discount_pct / 100), 2)
           AS price_variance,
       CASE WHEN i.billed_qty IS NULL THEN 'not_billed'
            WHEN l.received_qty = 0 THEN 'not_received'
            WHEN i.billed_qty > l.received_qty THEN 'qty_variance'
            WHEN abs(i.billed_amount - i.billed_qty * l.unit_cost * (1 - l.discount_pct / 100))
                 > i.billed_qty * l.unit_cost * o.price_tolerance_pct / 100 THEN 'price_variance'
            WHEN i.billed_qty < l.received_qty THEN 'partly_billed'
            ELSE 'matched' END AS match_state
FROM ret.purchase_order_line AS l
JOIN ret.purchase_order AS o
    ON o.business_id = l.business_id AND o.purchase_order_id = l.purchase_order_id
JOIN ret.supplier_product AS p
    ON p.business_id = l.business_id AND p.supplier_product_id = l.supplier_product_id
LEFT JOIN LATERAL (
    SELECT string_agg(DISTINCT r.receipt_number, ', ') AS receipts
    FROM ret.goods_receipt_line AS x
    JOIN ret.goods_receipt AS r
        ON r.business_id = x.business_id AND r.goods_receipt_id = x.goods_receipt_id
    WHERE x.business_id = l.business_id AND x.purchase_order_line_id = l.purchase_order_line_id
) AS g ON true
LEFT JOIN LATERAL (
    SELECT sum(x.billed_qty) AS billed_qty, sum(x.line_amount) AS billed_amount,
           round(sum(x.line_amount) / sum(x.billed_qty), 6) AS billed_cost,
           string_agg(DISTINCT v.invoice_number, ', ') AS invoices
    FROM ret.supplier_invoice_line AS x
    JOIN ret.supplier_invoice AS v
        ON v.business_id = x.business_id AND v.supplier_invoice_id = x.supplier_invoice_id
       AND v.invoice_kind = 'invoice'
    WHERE x.business_id = l.business_id AND x.purchase_order_line_id = l.purchase_order_line_id
) AS i ON true
WHERE o.state NOT IN ('draft', 'pending_approval', 'cancelled');
COMMENT ON VIEW ret.v_three_way_match IS
    'Order, receipt and invoice lines side by side, in the order''s currency: what was billed
     beyond what came, and beyond what was agreed.';
GRANT SELECT ON ret.v_three_way_match TO app_user, app_readonly;
