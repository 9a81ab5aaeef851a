/*
 * Purchasing: how a shop gets the parts that it does not have.
 *
 * An advisor asks several suppliers at once (parts_quote, all with one inquiry_ref) and selects one
 * answer by cost and by whether the part arrives before the car is promised. A purchase_order goes
 * to that supplier, for a repair order or for the shelf; each purchase_order_line names the job's
 * part line that waits for it. What the driver drops off is checked against it (goods_receipt): the
 * line and the order move on, the part goes on stock and is kept for its job (48_stock.sql). What
 * was wrong, defective or not needed, and the old cores, go back as a supplier_return until the
 * credit memo is there.
 */

CREATE TABLE auto.parts_quote (
    business_id          uuid                    NOT NULL,
    parts_quote_id       uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    requested_by_user_id uuid,
    supplier_id          uuid                    NOT NULL,
    repair_job_id        uuid,
    part_id              uuid,
    part_type_id         uuid,
    inquiry_ref          text                    NOT NULL,
    requested_at         timestamptz             NOT NULL DEFAULT now(),
    responded_at         timestamptz,
    quoted_brand         text,
    quoted_part_number   text,
    unit_cost            system_core.unit_price,
    core_cost            system_core.money,
    list_price           system_core.money,
    available_qty        system_core.quantity,
    eta_at               timestamptz,
    condition            text,
    response_document    system_core.json_object,
    outcome              text                    NOT NULL DEFAULT 'pending',
    expires_at           timestamptz,
    created_at           timestamptz             NOT NULL DEFAULT now(),
    updated_at           timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, parts_quote_id),
    FOREIGN KEY (business_id, requested_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES auto.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, part_id) REFERENCES auto.part (business_id, part_id),
    FOREIGN KEY (business_id, part_type_id) REFERENCES auto.part_type (business_id, part_type_id),
    CONSTRAINT parts_quote_condition_known
        CHECK (condition IN ('new', 'oem', 'remanufactured', 'rebuilt', 'used', 'recycled',
                             'aftermarket_certified')),
    CONSTRAINT parts_quote_outcome_known
        CHECK (outcome IN ('pending', 'selected', 'rejected', 'no_stock', 'expired')),
    CONSTRAINT parts_quote_answered_after_request CHECK (responded_at >= requested_at),
    CONSTRAINT parts_quote_selected_is_priced
        CHECK (outcome <> 'selected' OR (unit_cost IS NOT NULL AND responded_at IS NOT NULL)),
    CONSTRAINT parts_quote_expires_after_request CHECK (expires_at > requested_at),
    CONSTRAINT parts_quote_figures_not_negative
        CHECK (unit_cost >= 0 AND core_cost >= 0 AND list_price >= 0 AND available_qty >= 0)
);

COMMENT ON TABLE auto.parts_quote IS
    'One supplier''s answer to a live parts inquiry for a job, kept to compare sources.';
COMMENT ON COLUMN auto.parts_quote.inquiry_ref IS
    'One inquiry goes to several suppliers; its answers are compared.';
COMMENT ON COLUMN auto.parts_quote.condition IS 'NULL until the supplier answers.';
COMMENT ON COLUMN auto.parts_quote.response_document IS
    'The answer as received: lines[] of part_number, brand, unit_cost, core_cost, freight,
     available_qty, warehouse, cutoff, eta_at. rank_offers() compares them.';

-- One answer of an inquiry is taken.
CREATE UNIQUE INDEX parts_quote_one_selected_idx
    ON auto.parts_quote (business_id, inquiry_ref)
    WHERE outcome = 'selected';

-- The answers of an inquiry: rank_offers().
CREATE INDEX parts_quote_inquiry_idx ON auto.parts_quote (business_id, inquiry_ref);

-- FK: the parts quotes by their requested by user.
CREATE INDEX parts_quote_requested_by_user_idx
    ON auto.parts_quote (business_id, requested_by_user_id)
    WHERE requested_by_user_id IS NOT NULL;

-- FK: the parts quotes of a supplier.
CREATE INDEX parts_quote_supplier_idx ON auto.parts_quote (business_id, supplier_id);

-- FK and parts to chase: what was quoted for a repair job.
CREATE INDEX parts_quote_repair_job_idx
    ON auto.parts_quote (business_id, repair_job_id)
    WHERE repair_job_id IS NOT NULL;

-- FK: the parts quotes of a part.
CREATE INDEX parts_quote_part_idx
    ON auto.parts_quote (business_id, part_id)
    WHERE part_id IS NOT NULL;

-- FK: the parts quotes of a part type.
CREATE INDEX parts_quote_part_type_idx
    ON auto.parts_quote (business_id, part_type_id)
    WHERE part_type_id IS NOT NULL;

ALTER TABLE auto.parts_quote ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.parts_quote
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.parts_quote TO app_user;
GRANT SELECT ON auto.parts_quote TO app_readonly;

CREATE TRIGGER parts_quote_touch
    BEFORE UPDATE ON auto.parts_quote
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER parts_quote_outcome_machine
    BEFORE INSERT OR UPDATE OF outcome ON auto.parts_quote
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('outcome', '{
        "initial": ["pending", "no_stock"],
        "transitions": {
            "pending":  ["selected", "rejected", "no_stock", "expired"],
            "selected": ["rejected"],
            "rejected": ["selected"],
            "no_stock": [],
            "expired":  []
        }}');

CREATE FUNCTION auto.rank_offers(inquiry text) RETURNS TABLE (
    parts_quote_id uuid,
    supplier_id    uuid,
    part_number    text,
    brand          text,
    warehouse      text,
    landed_cost    numeric,
    available_qty  numeric,
    eta_at         timestamptz,
    cost_rank      bigint,
    arrival_rank   bigint
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT q.parts_quote_id, q.supplier_id, o.part_number, o.brand, o.warehouse,
           o.unit_cost + o.freight, o.available_qty, o.eta_at,
           rank() OVER (ORDER BY o.unit_cost + o.freight),
           rank() OVER (ORDER BY o.eta_at NULLS LAST)
    FROM auto.parts_quote AS q
    CROSS JOIN JSON_TABLE(q.response_document, '$.lines[*]' COLUMNS (
        part_number   text        PATH '$.part_number',
        brand         text        PATH '$.brand',
        warehouse     text        PATH '$.warehouse',
        unit_cost     numeric     PATH '$.unit_cost',
        freight       numeric     PATH '$.freight' DEFAULT 0 ON EMPTY,
        available_qty numeric     PATH '$.available_qty' DEFAULT 0 ON EMPTY,
        eta_at        timestamptz PATH '$.eta_at'
    )) AS o
    WHERE q.business_id = tenant_mgmt.current_business_id() AND q.inquiry_ref = inquiry
      AND q.outcome IN ('pending', 'selected', 'rejected') AND o.unit_cost IS NOT NULL
      AND o.available_qty > 0
    ORDER BY 9, 10, q.parts_quote_id, o.warehouse;
END;
COMMENT ON FUNCTION auto.rank_offers(text) IS
    'All offers of an inquiry of the tenant over suppliers and warehouses, by landed cost (without
     the core deposit, which comes back) and by arrival; only what is there.';


CREATE TABLE auto.purchase_order (
    business_id               uuid              NOT NULL,
    purchase_order_id         uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    ordered_by_user_id        uuid,
    supplier_id               uuid              NOT NULL,
    shop_id                   uuid              NOT NULL,
    repair_order_id           uuid,
    po_number                 text              NOT NULL,
    order_kind                text              NOT NULL,
    status                    text              NOT NULL DEFAULT 'draft',
    ordered_at                timestamptz,
    supplier_confirmation_ref text,
    promised_at               timestamptz,
    delivery_mode             text              NOT NULL,
    subtotal_amount           system_core.money NOT NULL DEFAULT 0,
    core_amount               system_core.money NOT NULL DEFAULT 0,
    freight_amount            system_core.money NOT NULL DEFAULT 0,
    tax_amount                system_core.money NOT NULL DEFAULT 0,
    total_amount              system_core.money GENERATED ALWAYS AS (
                                                    subtotal_amount + core_amount + freight_amount
                                                    + tax_amount) STORED,
    supplier_invoice_ref      text,
    invoiced_on               date,
    paid_on                   date,
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, purchase_order_id),
    UNIQUE (business_id, po_number),
    FOREIGN KEY (business_id, ordered_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES auto.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    FOREIGN KEY (business_id, repair_order_id)
        REFERENCES auto.repair_order (business_id, repair_order_id),
    CONSTRAINT purchase_order_kind_known
        CHECK (order_kind IN ('job', 'stock', 'emergency', 'return_exchange', 'sublet')),
    CONSTRAINT purchase_order_status_known
        CHECK (status IN ('draft', 'sent', 'confirmed', 'partial', 'received', 'closed',
                          'cancelled')),
    CONSTRAINT purchase_order_delivery_mode_known
        CHECK (delivery_mode IN ('hot_shot', 'route', 'pickup', 'freight', 'drop_ship')),
    CONSTRAINT purchase_order_sent_is_ordered
        CHECK (status IN ('draft', 'cancelled') OR ordered_at IS NOT NULL),
    CONSTRAINT purchase_order_promised_after_order CHECK (promised_at >= ordered_at),
    CONSTRAINT purchase_order_amounts_not_negative
        CHECK (subtotal_amount >= 0 AND core_amount >= 0 AND freight_amount >= 0
               AND tax_amount >= 0),
    CONSTRAINT purchase_order_of_a_job_names_its_order
        CHECK (order_kind <> 'job' OR repair_order_id IS NOT NULL),
    CONSTRAINT purchase_order_paid_after_invoice
        CHECK (paid_on IS NULL OR (invoiced_on IS NOT NULL AND paid_on >= invoiced_on)),
    CONSTRAINT purchase_order_invoice_is_named
        CHECK (invoiced_on IS NULL OR supplier_invoice_ref IS NOT NULL)
);

COMMENT ON TABLE auto.purchase_order IS 'Order to a supplier: stock, for a job, tire, or sublet.';
COMMENT ON COLUMN auto.purchase_order.po_number IS 'Numbered where it comes without one.';
COMMENT ON COLUMN auto.purchase_order.subtotal_amount IS
    'Follows the lines: what is ordered and not cancelled at its cost.';
COMMENT ON COLUMN auto.purchase_order.core_amount IS
    'Follows the lines: deposits on the cores of what is ordered.';

-- Orders on their way, by when they are promised.
CREATE INDEX purchase_order_open_idx
    ON auto.purchase_order (business_id, shop_id, promised_at)
    WHERE status IN ('sent', 'confirmed', 'partial');

-- FK: the purchase orders by their ordered by user.
CREATE INDEX purchase_order_ordered_by_user_idx
    ON auto.purchase_order (business_id, ordered_by_user_id)
    WHERE ordered_by_user_id IS NOT NULL;

-- FK: the purchase orders of a supplier.
CREATE INDEX purchase_order_supplier_idx ON auto.purchase_order (business_id, supplier_id);

-- FK: the purchase orders of a shop.
CREATE INDEX purchase_order_shop_idx ON auto.purchase_order (business_id, shop_id);

-- FK: the purchase orders of a repair order.
CREATE INDEX purchase_order_repair_order_idx
    ON auto.purchase_order (business_id, repair_order_id)
    WHERE repair_order_id IS NOT NULL;

ALTER TABLE auto.purchase_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.purchase_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.purchase_order TO app_user;
GRANT SELECT ON auto.purchase_order TO app_readonly;

CREATE TRIGGER purchase_order_touch
    BEFORE UPDATE ON auto.purchase_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER purchase_order_number
    BEFORE INSERT ON auto.purchase_order
    FOR EACH ROW WHEN (NEW.po_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'po_number', 'auto_purchase_order', 'PO-', 'purchase_order_id');

CREATE TRIGGER purchase_order_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.purchase_order
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":     ["sent", "cancelled"],
            "sent":      ["confirmed", "partial", "received", "cancelled"],
            "confirmed": ["partial", "received", "cancelled"],
            "partial":   ["received", "closed"],
            "received":  ["closed"],
            "closed":    [],
            "cancelled": []
        }}');

CREATE FUNCTION auto.require_lines_to_send() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND NOT EXISTS (
        SELECT FROM auto.purchase_order_line AS l
        WHERE l.business_id = NEW.business_id AND l.purchase_order_id = NEW.purchase_order_id) THEN
        RAISE EXCEPTION 'purchase order % has no line, there is nothing to send', NEW.po_number
            USING ERRCODE = 'check_violation', HINT = 'Add what is ordered first.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.require_lines_to_send() IS 'An order that is sent orders something.';

CREATE TRIGGER purchase_order_sends_lines
    BEFORE UPDATE OF status ON auto.purchase_order
    FOR EACH ROW WHEN (OLD.status = 'draft' AND NEW.status = 'sent')
    EXECUTE FUNCTION auto.require_lines_to_send();

ALTER TABLE auto.sublet_line ADD FOREIGN KEY (business_id, purchase_order_id)
    REFERENCES auto.purchase_order (business_id, purchase_order_id);


CREATE TABLE auto.purchase_order_line (
    business_id            uuid                   NOT NULL,
    purchase_order_line_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    purchase_order_id      uuid                   NOT NULL,
    part_id                uuid                   NOT NULL,
    part_line_id           uuid,
    parts_quote_id         uuid,
    line_no                integer                NOT NULL,
    ordered_qty            system_core.quantity   NOT NULL,
    confirmed_qty          system_core.quantity,
    received_qty           system_core.quantity   NOT NULL DEFAULT 0,
    cancelled_qty          system_core.quantity   NOT NULL DEFAULT 0,
    unit_cost              system_core.unit_price NOT NULL DEFAULT 0,
    core_cost              system_core.money      NOT NULL DEFAULT 0,
    eta_at                 timestamptz,
    status                 text                   NOT NULL DEFAULT 'open',
    substitute_note        text,
    back_order_on          date,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, purchase_order_line_id),
    UNIQUE (business_id, purchase_order_id, line_no),
    FOREIGN KEY (business_id, purchase_order_id)
        REFERENCES auto.purchase_order (business_id, purchase_order_id),
    FOREIGN KEY (business_id, part_id) REFERENCES auto.part (business_id, part_id),
    FOREIGN KEY (business_id, part_line_id) REFERENCES auto.part_line (business_id, part_line_id),
    FOREIGN KEY (business_id, parts_quote_id)
        REFERENCES auto.parts_quote (business_id, parts_quote_id),
    CONSTRAINT purchase_order_line_status_known
        CHECK (status IN ('open', 'backordered', 'partial', 'received', 'cancelled',
                          'substituted')),
    CONSTRAINT purchase_order_line_not_over_ordered
        CHECK (received_qty + cancelled_qty <= ordered_qty),
    CONSTRAINT purchase_order_line_ordered_positive CHECK (ordered_qty > 0),
    CONSTRAINT purchase_order_line_figures_not_negative
        CHECK (unit_cost >= 0 AND core_cost >= 0 AND confirmed_qty >= 0 AND received_qty >= 0
               AND cancelled_qty >= 0),
    CONSTRAINT purchase_order_line_number_positive CHECK (line_no > 0),
    CONSTRAINT purchase_order_line_received_is_complete
        CHECK (status <> 'received' OR received_qty + cancelled_qty = ordered_qty),
    CONSTRAINT purchase_order_line_cancelled_got_nothing
        CHECK (status <> 'cancelled' OR (received_qty = 0 AND cancelled_qty = ordered_qty)),
    CONSTRAINT purchase_order_line_substitute_is_told
        CHECK (status <> 'substituted' OR coalesce(substitute_note, '') ~ '\S'),
    CONSTRAINT purchase_order_line_back_order_has_day
        CHECK (status <> 'backordered' OR back_order_on IS NOT NULL)
);

COMMENT ON TABLE auto.purchase_order_line IS 'Ordered part with the job line that waits for it.';
COMMENT ON COLUMN auto.purchase_order_line.received_qty IS 'Follows the goods receipts.';
COMMENT ON COLUMN auto.purchase_order_line.back_order_on IS
    'The day on which the supplier expects to have it again.';

-- Parts to chase: what has not come yet.
CREATE INDEX purchase_order_line_open_idx
    ON auto.purchase_order_line (business_id, eta_at)
    WHERE status IN ('open', 'backordered', 'partial', 'substituted');

-- FK: the purchase order lines of a part.
CREATE INDEX purchase_order_line_part_idx ON auto.purchase_order_line (business_id, part_id);

-- FK: the purchase order lines of a part line.
CREATE INDEX purchase_order_line_part_line_idx
    ON auto.purchase_order_line (business_id, part_line_id)
    WHERE part_line_id IS NOT NULL;

-- FK: the purchase order lines of a parts quote.
CREATE INDEX purchase_order_line_parts_quote_idx
    ON auto.purchase_order_line (business_id, parts_quote_id)
    WHERE parts_quote_id IS NOT NULL;

ALTER TABLE auto.purchase_order_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.purchase_order_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.purchase_order_line TO app_user;
GRANT SELECT ON auto.purchase_order_line TO app_readonly;

CREATE TRIGGER purchase_order_line_touch
    BEFORE UPDATE ON auto.purchase_order_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER purchase_order_line_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.purchase_order_line
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":        ["backordered", "partial", "received", "cancelled", "substituted"],
            "backordered": ["open", "partial", "received", "cancelled", "substituted"],
            "partial":     ["backordered", "received"],
            "substituted": ["backordered", "partial", "received", "cancelled"],
            "received":    [],
            "cancelled":   []
        }}');

CREATE FUNCTION auto.guard_purchase_order_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    stands record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    SELECT p.po_number, p.status INTO stands
    FROM auto.purchase_order AS p
    WHERE p.business_id = coalesce(NEW.business_id, OLD.business_id)
      AND p.purchase_order_id = coalesce(NEW.purchase_order_id, OLD.purchase_order_id)
    FOR NO KEY UPDATE;
    IF stands.status <> 'draft' THEN
        RAISE EXCEPTION 'purchase order % is %, its lines stay', stands.po_number, stands.status
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Cancel a quantity of the line, or write another order.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION auto.guard_purchase_order_line() IS
    'Lines come and go, and change their part, cost and quantity, while their order is a draft.';

CREATE TRIGGER purchase_order_line_guard
    BEFORE INSERT OR DELETE ON auto.purchase_order_line
    FOR EACH ROW EXECUTE FUNCTION auto.guard_purchase_order_line();

CREATE TRIGGER purchase_order_line_guard_update
    BEFORE UPDATE OF purchase_order_id, part_id, ordered_qty, unit_cost, core_cost
    ON auto.purchase_order_line
    FOR EACH ROW WHEN ((OLD.purchase_order_id, OLD.part_id, OLD.ordered_qty, OLD.unit_cost,
                        OLD.core_cost)
                       IS DISTINCT FROM
                       (NEW.purchase_order_id, NEW.part_id, NEW.ordered_qty, NEW.unit_cost,
                        NEW.core_cost))
    EXECUTE FUNCTION auto.guard_purchase_order_line();

CREATE FUNCTION auto.total_purchase_orders() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM auto.purchase_order AS p
    WHERE (p.business_id, p.purchase_order_id) IN (
        SELECT c.business_id, c.purchase_order_id FROM changed AS c)
    ORDER BY p.business_id, p.purchase_order_id
    FOR NO KEY UPDATE;

    UPDATE auto.purchase_order AS p
    SET subtotal_amount = t.subtotal, core_amount = t.core
    FROM (
        SELECT c.business_id, c.purchase_order_id,
               coalesce(sum(round((l.ordered_qty - l.cancelled_qty) * l.unit_cost, 2)), 0)
                   AS subtotal,
               coalesce(sum(round((l.ordered_qty - l.cancelled_qty) * l.core_cost, 2)), 0) AS core
        FROM (SELECT DISTINCT x.business_id, x.purchase_order_id FROM changed AS x) AS c
        LEFT JOIN auto.purchase_order_line AS l
            ON l.business_id = c.business_id AND l.purchase_order_id = c.purchase_order_id
        GROUP BY c.business_id, c.purchase_order_id
    ) AS t
    WHERE p.business_id = t.business_id AND p.purchase_order_id = t.purchase_order_id
      AND (p.subtotal_amount, p.core_amount) IS DISTINCT FROM (t.subtotal, t.core);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.total_purchase_orders() IS
    'The amounts of an order are those of its lines without what was cancelled.';

CREATE TRIGGER purchase_order_line_total_insert
    AFTER INSERT ON auto.purchase_order_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_purchase_orders();

CREATE TRIGGER purchase_order_line_total_update
    AFTER UPDATE ON auto.purchase_order_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_purchase_orders();

CREATE TRIGGER purchase_order_line_total_left
    AFTER UPDATE ON auto.purchase_order_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_purchase_orders();

CREATE TRIGGER purchase_order_line_total_delete
    AFTER DELETE ON auto.purchase_order_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_purchase_orders();


CREATE TABLE auto.goods_receipt (
    business_id             uuid                   NOT NULL,
    goods_receipt_id        uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    handed_to_technician_id uuid,
    received_by_user_id     uuid,
    purchase_order_line_id  uuid                   NOT NULL,
    stock_location_id       uuid                   NOT NULL,
    received_at             timestamptz            NOT NULL DEFAULT now(),
    packing_slip_ref        text,
    received_qty            system_core.quantity   NOT NULL DEFAULT 0,
    rejected_qty            system_core.quantity   NOT NULL DEFAULT 0,
    reject_reason           text                   NOT NULL DEFAULT 'none',
    unit_cost               system_core.unit_price NOT NULL DEFAULT 0,
    cost_variance_pct       system_core.percentage,
    lot_code                system_core.code,
    dot_tin_range           text,
    label_printed           boolean                NOT NULL DEFAULT false,
    invoice_matched_at      timestamptz,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, goods_receipt_id),
    FOREIGN KEY (business_id, handed_to_technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, received_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, purchase_order_line_id)
        REFERENCES auto.purchase_order_line (business_id, purchase_order_line_id),
    FOREIGN KEY (business_id, stock_location_id)
        REFERENCES auto.stock_location (business_id, stock_location_id),
    CONSTRAINT goods_receipt_reject_reason_known
        CHECK (reject_reason IN ('none', 'wrong_part', 'damaged', 'short', 'late_not_needed',
                                 'quality')),
    CONSTRAINT goods_receipt_brings_something CHECK (received_qty + rejected_qty > 0),
    CONSTRAINT goods_receipt_figures_not_negative
        CHECK (received_qty >= 0 AND rejected_qty >= 0 AND unit_cost >= 0),
    CONSTRAINT goods_receipt_rejected_has_reason
        CHECK ((rejected_qty > 0) = (reject_reason <> 'none'))
);

COMMENT ON TABLE auto.goods_receipt IS
    'Delivery of an order line: who checked it, into which bin, at which cost.';
COMMENT ON COLUMN auto.goods_receipt.received_qty IS 'Accepted; what is refused is rejected_qty.';
COMMENT ON COLUMN auto.goods_receipt.cost_variance_pct IS
    'How much dearer than ordered; follows the costs of receipt and line.';
COMMENT ON COLUMN auto.goods_receipt.dot_tin_range IS
    'Tire identification numbers of the delivery (49 CFR 574); tires only.';

-- FK: the goods receipts by their handed to technician.
CREATE INDEX goods_receipt_handed_to_technician_idx
    ON auto.goods_receipt (business_id, handed_to_technician_id)
    WHERE handed_to_technician_id IS NOT NULL;

-- FK: the goods receipts by their received by user.
CREATE INDEX goods_receipt_received_by_user_idx
    ON auto.goods_receipt (business_id, received_by_user_id)
    WHERE received_by_user_id IS NOT NULL;

-- FK: the goods receipts of a purchase order line.
CREATE INDEX goods_receipt_purchase_order_line_idx
    ON auto.goods_receipt (business_id, purchase_order_line_id);

-- FK: the goods receipts of a stock location.
CREATE INDEX goods_receipt_stock_location_idx
    ON auto.goods_receipt (business_id, stock_location_id);

ALTER TABLE auto.goods_receipt ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.goods_receipt
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.goods_receipt TO app_user;
GRANT SELECT ON auto.goods_receipt TO app_readonly;

CREATE TRIGGER goods_receipt_touch
    BEFORE UPDATE ON auto.goods_receipt
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.compare_receipt() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    ordered record;
BEGIN
    SELECT l.unit_cost, p.part_number, t.category INTO ordered
    FROM auto.purchase_order_line AS l
    JOIN auto.part AS p ON p.business_id = l.business_id AND p.part_id = l.part_id
    JOIN auto.part_type AS t
        ON t.business_id = p.business_id AND t.part_type_id = p.part_type_id
    WHERE l.business_id = NEW.business_id
      AND l.purchase_order_line_id = NEW.purchase_order_line_id;
    IF NEW.dot_tin_range IS NOT NULL AND ordered.category <> 'tires' THEN
        RAISE EXCEPTION 'part % is no tire, it has no TIN', ordered.part_number
            USING ERRCODE = 'check_violation', HINT = 'Leave dot_tin_range empty.';
    END IF;
    NEW.cost_variance_pct :=
        round(100 * (NEW.unit_cost - ordered.unit_cost) / nullif(ordered.unit_cost, 0), 4);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.compare_receipt() IS
    'Tells how far the delivered cost is off the ordered; refuses tire numbers of other parts.';

CREATE TRIGGER goods_receipt_compare
    BEFORE INSERT OR UPDATE OF unit_cost, dot_tin_range, purchase_order_line_id,
                               cost_variance_pct
    ON auto.goods_receipt
    FOR EACH ROW EXECUTE FUNCTION auto.compare_receipt();

CREATE FUNCTION auto.freeze_goods_receipt() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'a goods receipt is on stock, its place, quantities and cost stay'
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Send parts back with a supplier_return, or adjust the count.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION auto.freeze_goods_receipt() IS
    'What was received moved the stock: it is corrected by another document.';

CREATE TRIGGER goods_receipt_freeze
    BEFORE UPDATE OF purchase_order_line_id, stock_location_id, received_qty, rejected_qty,
                     unit_cost
    ON auto.goods_receipt
    FOR EACH ROW WHEN ((OLD.purchase_order_line_id, OLD.stock_location_id, OLD.received_qty,
                        OLD.rejected_qty, OLD.unit_cost)
                       IS DISTINCT FROM
                       (NEW.purchase_order_line_id, NEW.stock_location_id, NEW.received_qty,
                        NEW.rejected_qty, NEW.unit_cost))
    EXECUTE FUNCTION auto.freeze_goods_receipt();

CREATE TRIGGER goods_receipt_freeze_delete
    BEFORE DELETE ON auto.goods_receipt
    FOR EACH ROW EXECUTE FUNCTION auto.freeze_goods_receipt();


CREATE TABLE auto.supplier_return (
    business_id            uuid                 NOT NULL,
    supplier_return_id     uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_id            uuid                 NOT NULL,
    part_id                uuid                 NOT NULL,
    goods_receipt_id       uuid,
    warranty_claim_id      uuid,
    return_number          text                 NOT NULL,
    return_kind            text                 NOT NULL,
    qty                    system_core.quantity NOT NULL,
    reason_text            text,
    rga_number             text,
    requested_on           date                 NOT NULL,
    picked_up_on           date,
    expected_credit_amount system_core.money    NOT NULL DEFAULT 0,
    restocking_fee_amount  system_core.money    NOT NULL DEFAULT 0,
    credited_amount        system_core.money    NOT NULL DEFAULT 0,
    credited_on            date,
    credit_memo_ref        text,
    status                 text                 NOT NULL DEFAULT 'requested',
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_return_id),
    UNIQUE (business_id, return_number),
    FOREIGN KEY (business_id, supplier_id) REFERENCES auto.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, part_id) REFERENCES auto.part (business_id, part_id),
    FOREIGN KEY (business_id, goods_receipt_id)
        REFERENCES auto.goods_receipt (business_id, goods_receipt_id),
    CONSTRAINT supplier_return_kind_known
        CHECK (return_kind IN ('new_return', 'defective', 'core', 'warranty', 'recall',
                               'overstock')),
    CONSTRAINT supplier_return_status_known
        CHECK (status IN ('requested', 'authorized', 'staged', 'picked_up', 'credited', 'denied')),
    CONSTRAINT supplier_return_qty_positive CHECK (qty > 0),
    CONSTRAINT supplier_return_amounts_not_negative
        CHECK (expected_credit_amount >= 0 AND restocking_fee_amount >= 0
               AND credited_amount >= 0),
    CONSTRAINT supplier_return_credit_as_expected
        CHECK (credited_amount <= expected_credit_amount),
    CONSTRAINT supplier_return_credited_has_day
        CHECK ((status = 'credited') = (credited_on IS NOT NULL)),
    CONSTRAINT supplier_return_credited_has_amount
        CHECK (credited_amount = 0 OR status = 'credited'),
    CONSTRAINT supplier_return_picked_up_has_day
        CHECK (status NOT IN ('picked_up', 'credited') OR picked_up_on IS NOT NULL),
    CONSTRAINT supplier_return_picked_up_after_request CHECK (picked_up_on >= requested_on),
    CONSTRAINT supplier_return_credited_after_pickup CHECK (credited_on >= picked_up_on)
);

COMMENT ON TABLE auto.supplier_return IS
    'New return, warranty part or core going back to the supplier, until credit arrives.';
COMMENT ON COLUMN auto.supplier_return.rga_number IS
    'Returned-goods authorization: the supplier''s leave to send it.';
COMMENT ON COLUMN auto.supplier_return.expected_credit_amount IS
    'Cost of what goes back, less the restocking fee.';

-- Credits to watch: what was picked up and is not credited.
CREATE INDEX supplier_return_open_idx
    ON auto.supplier_return (business_id, requested_on)
    WHERE status NOT IN ('credited', 'denied');

-- FK: the supplier returns of a supplier.
CREATE INDEX supplier_return_supplier_idx ON auto.supplier_return (business_id, supplier_id);

-- FK: the supplier returns of a part.
CREATE INDEX supplier_return_part_idx ON auto.supplier_return (business_id, part_id);

-- FK: the supplier returns of a goods receipt.
CREATE INDEX supplier_return_goods_receipt_idx
    ON auto.supplier_return (business_id, goods_receipt_id)
    WHERE goods_receipt_id IS NOT NULL;

-- FK: the supplier returns of a warranty claim.
CREATE INDEX supplier_return_warranty_claim_idx
    ON auto.supplier_return (business_id, warranty_claim_id)
    WHERE warranty_claim_id IS NOT NULL;

ALTER TABLE auto.supplier_return ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.supplier_return
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.supplier_return TO app_user;
GRANT SELECT ON auto.supplier_return TO app_readonly;

CREATE TRIGGER supplier_return_touch
    BEFORE UPDATE ON auto.supplier_return
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER supplier_return_number
    BEFORE INSERT ON auto.supplier_return
    FOR EACH ROW WHEN (NEW.return_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'return_number', 'auto_supplier_return', 'SR-', 'supplier_return_id');

CREATE TRIGGER supplier_return_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.supplier_return
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["requested", "authorized"],
        "transitions": {
            "requested":  ["authorized", "denied"],
            "authorized": ["staged", "picked_up", "denied"],
            "staged":     ["authorized", "picked_up"],
            "picked_up":  ["credited", "denied"],
            "credited":   [],
            "denied":     []
        }}');
