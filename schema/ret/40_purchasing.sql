/*
 * Purchasing: an order to a supplier, what the supplier says is on its way, what came, and what
 * it cost to get here. What is billed for it and what goes back is in 42_supplier_invoices.sql.
 *
 * purchase_order ─< purchase_order_line: how much of a line was shipped, received and billed is
 * kept by what happens to it. While an order is open its lines are incoming stock.
 * advance_ship_notice ─< asn_package ─< asn_line is the notice with its cartons; a carton is
 * found by its serial shipping container code (SSCC).
 * goods_receipt ─< goods_receipt_line is the delivery at the dock; ret.post_receipt() puts it in
 * the stock ledger at a cost that has its share of landed_cost.
 *
 * Tolerances are set per order. A role that bypasses row security imports history: for it the
 * rules across tables do not run, and nothing is posted to the ledger.
 */

CREATE TABLE ret.purchase_order (
    business_id         uuid                   NOT NULL,
    purchase_order_id   uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    buyer_user_id       uuid                   NOT NULL,
    approved_by_user_id uuid,
    supplier_id         uuid                   NOT NULL,
    location_id         uuid                   NOT NULL,
    po_number           text                   NOT NULL,
    po_kind             text                   NOT NULL DEFAULT 'stock',
    state               text                   NOT NULL DEFAULT 'draft',
    ordered_at          timestamptz,
    acknowledged_at     timestamptz,
    ship_window_start   date,
    ship_window_end     date,
    cancel_after_on     date,
    currency            system_core.currency   NOT NULL,
    exchange_rate       numeric(18, 8)         NOT NULL DEFAULT 1,
    over_receipt_pct    system_core.percentage NOT NULL DEFAULT 2,
    price_tolerance_pct system_core.percentage NOT NULL DEFAULT 1,
    subtotal            system_core.money      NOT NULL DEFAULT 0,
    discount_total      system_core.money      NOT NULL DEFAULT 0,
    freight_total       system_core.money      NOT NULL DEFAULT 0,
    tax_total           system_core.money      NOT NULL DEFAULT 0,
    grand_total         system_core.money      GENERATED ALWAYS AS (
        subtotal - discount_total + freight_total + tax_total) STORED,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
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
    CONSTRAINT purchase_order_approved_by_another CHECK (approved_by_user_id <> buyer_user_id),
    CONSTRAINT purchase_order_sent_is_approved
        CHECK (state IN ('draft', 'pending_approval', 'cancelled')
               OR (ordered_at IS NOT NULL AND approved_by_user_id IS NOT NULL)),
    CONSTRAINT purchase_order_acknowledged_has_time
        CHECK (state <> 'acknowledged' OR acknowledged_at IS NOT NULL),
    CONSTRAINT purchase_order_acknowledged_after_ordered CHECK (acknowledged_at >= ordered_at),
    CONSTRAINT purchase_order_ship_window_in_order CHECK (ship_window_end >= ship_window_start),
    CONSTRAINT purchase_order_cancel_after_window CHECK (cancel_after_on >= ship_window_end),
    CONSTRAINT purchase_order_exchange_rate_positive CHECK (exchange_rate > 0),
    CONSTRAINT purchase_order_tolerances_bounded
        CHECK (over_receipt_pct BETWEEN 0 AND 100 AND price_tolerance_pct BETWEEN 0 AND 100),
    CONSTRAINT purchase_order_amounts_not_negative
        CHECK (subtotal >= 0 AND discount_total >= 0 AND freight_total >= 0 AND tax_total >= 0)
);

COMMENT ON TABLE ret.purchase_order IS
    'Order to a supplier for a location: what was agreed, by when it ships, what it comes to.';
COMMENT ON COLUMN ret.purchase_order.po_kind IS
    'Dropship goods go from the supplier to the customer and never become stock of ours.';
COMMENT ON COLUMN ret.purchase_order.cancel_after_on IS
    'What has not shipped by this day need not be taken.';
COMMENT ON COLUMN ret.purchase_order.exchange_rate IS
    'Home currency per unit of the order''s currency; stock is valued at home.';
COMMENT ON COLUMN ret.purchase_order.over_receipt_pct IS
    'How far beyond the ordered quantity a line may be received.';
COMMENT ON COLUMN ret.purchase_order.price_tolerance_pct IS
    'How far a billed cost may be from the ordered one and still match.';
COMMENT ON COLUMN ret.purchase_order.subtotal IS 'The sum of the lines; kept by their trigger.';

-- FK: what a buyer ordered.
CREATE INDEX purchase_order_buyer_user_idx ON ret.purchase_order (business_id, buyer_user_id);

-- FK: what somebody approved.
CREATE INDEX purchase_order_approved_by_user_idx
    ON ret.purchase_order (business_id, approved_by_user_id)
    WHERE approved_by_user_id IS NOT NULL;

-- FK: the orders of a supplier; a scorecard reads those of a month.
CREATE INDEX purchase_order_supplier_idx
    ON ret.purchase_order (business_id, supplier_id, ordered_at);

-- FK: the orders of a location.
CREATE INDEX purchase_order_location_idx ON ret.purchase_order (business_id, location_id);

-- v_receiving_worklist: what a location still waits for, by the day it should come.
CREATE INDEX purchase_order_open_idx
    ON ret.purchase_order (business_id, location_id, ship_window_end)
    WHERE state IN ('sent', 'acknowledged', 'partly_received');

ALTER TABLE ret.purchase_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.purchase_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.purchase_order TO app_user;
GRANT SELECT ON ret.purchase_order TO app_readonly;

CREATE TRIGGER purchase_order_touch
    BEFORE UPDATE ON ret.purchase_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER purchase_order_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.purchase_order
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft", "pending_approval"],
        "transitions": {
            "draft":            ["pending_approval", "cancelled"],
            "pending_approval": ["draft", "sent", "cancelled"],
            "sent":             ["acknowledged", "partly_received", "received", "cancelled"],
            "acknowledged":     ["partly_received", "received", "cancelled"],
            "partly_received":  ["received", "closed"],
            "received":         ["closed"],
            "closed":           [],
            "cancelled":        []
        }}');

CREATE FUNCTION ret.refuse_order_to_blocked_supplier() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    seller record;
BEGIN
    IF NOT row_security_active(TG_RELID)
       OR NEW.state NOT IN ('draft', 'pending_approval', 'sent') THEN
        RETURN NEW;
    END IF;
    -- Whoever blocks the supplier waits for this order, or this order sees the block.
    SELECT s.supplier_code, s.status INTO seller
    FROM ret.supplier AS s
    WHERE s.business_id = NEW.business_id AND s.supplier_id = NEW.supplier_id
    FOR SHARE;
    IF seller.status IN ('blocked', 'ended')
       OR (NEW.state = 'sent' AND seller.status <> 'active') THEN
        RAISE EXCEPTION 'supplier % is %, order % cannot be %', seller.supplier_code,
                        seller.status, NEW.po_number, NEW.state
            USING ERRCODE = 'check_violation', HINT = 'Order from an active supplier.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.refuse_order_to_blocked_supplier() IS
    'Nothing is ordered from a supplier that is blocked or ended; only an active one is sent one.';

CREATE TRIGGER purchase_order_supplier_active
    BEFORE INSERT OR UPDATE OF supplier_id, state ON ret.purchase_order
    FOR EACH ROW EXECUTE FUNCTION ret.refuse_order_to_blocked_supplier();


CREATE TABLE ret.purchase_order_line (
    business_id                 uuid                   NOT NULL,
    purchase_order_line_id      uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    purchase_order_id           uuid                   NOT NULL,
    supplier_product_id         uuid                   NOT NULL,
    replenishment_suggestion_id uuid,
    line_number                 integer                NOT NULL,
    ordered_qty                 system_core.quantity   NOT NULL,
    acknowledged_qty            system_core.quantity,
    shipped_qty                 system_core.quantity   NOT NULL DEFAULT 0,
    received_qty                system_core.quantity   NOT NULL DEFAULT 0,
    invoiced_qty                system_core.quantity   NOT NULL DEFAULT 0,
    cancelled_qty               system_core.quantity   NOT NULL DEFAULT 0,
    unit_cost                   system_core.unit_price NOT NULL,
    discount_pct                system_core.percentage NOT NULL DEFAULT 0,
    line_amount                 system_core.money      GENERATED ALWAYS AS (
        round((ordered_qty - cancelled_qty) * unit_cost * (1 - discount_pct / 100), 2)) STORED,
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
        CHECK (state IN ('open', 'confirmed', 'partly_received', 'received', 'cancelled')),
    CONSTRAINT purchase_order_line_number_positive CHECK (line_number > 0),
    CONSTRAINT purchase_order_line_orders_something CHECK (ordered_qty > 0),
    CONSTRAINT purchase_order_line_acknowledged_at_most_ordered
        CHECK (acknowledged_qty BETWEEN 0 AND ordered_qty),
    CONSTRAINT purchase_order_line_quantities_not_negative
        CHECK (shipped_qty >= 0 AND received_qty >= 0 AND invoiced_qty >= 0),
    CONSTRAINT purchase_order_line_cancels_at_most_ordered
        CHECK (cancelled_qty BETWEEN 0 AND ordered_qty),
    CONSTRAINT purchase_order_line_cost_not_negative CHECK (unit_cost >= 0),
    CONSTRAINT purchase_order_line_discount_bounded CHECK (discount_pct BETWEEN 0 AND 100),
    CONSTRAINT purchase_order_line_state_agrees
        CHECK (CASE state
               WHEN 'partly_received' THEN received_qty > 0
               WHEN 'received'
               THEN received_qty > 0 AND received_qty + cancelled_qty >= ordered_qty
               WHEN 'cancelled' THEN received_qty = 0 AND cancelled_qty = ordered_qty
               ELSE received_qty = 0 END)
);

COMMENT ON TABLE ret.purchase_order_line IS
    'A supplier''s product on an order: quantity, cost, and how far it has come.';
COMMENT ON COLUMN ret.purchase_order_line.shipped_qty IS
    'What notices announce; kept by the trigger of asn_line.';
COMMENT ON COLUMN ret.purchase_order_line.received_qty IS
    'What was accepted of all deliveries; ret.post_receipt() raises it.';
COMMENT ON COLUMN ret.purchase_order_line.invoiced_qty IS
    'What was billed and matched; ret.match_invoice() keeps it.';
COMMENT ON COLUMN ret.purchase_order_line.line_amount IS
    'What is not cancelled at the cost less the line''s discount, in the order''s currency.';

-- FK: where a supplier's product was ordered.
CREATE INDEX purchase_order_line_supplier_product_idx
    ON ret.purchase_order_line (business_id, supplier_product_id);

-- FK: the line that came of a proposal.
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

CREATE TRIGGER purchase_order_line_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.purchase_order_line
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open"],
        "transitions": {
            "open":            ["confirmed", "partly_received", "received", "cancelled"],
            "confirmed":       ["partly_received", "received", "cancelled"],
            "partly_received": ["received"],
            "received":        [],
            "cancelled":       []
        }}');

CREATE FUNCTION ret.check_order_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    line    ret.purchase_order_line;
    ordered record;
    offer   record;
BEGIN
    line := coalesce(NEW, OLD);
    IF NOT row_security_active(TG_RELID) THEN
        RETURN line;
    END IF;
    SELECT o.po_number, o.state, o.supplier_id, o.over_receipt_pct INTO ordered
    FROM ret.purchase_order AS o
    WHERE o.business_id = line.business_id AND o.purchase_order_id = line.purchase_order_id
    FOR SHARE;
    IF ordered.state NOT IN ('draft', 'pending_approval')
       AND (TG_OP <> 'UPDATE'
            OR (NEW.purchase_order_id, NEW.supplier_product_id, NEW.ordered_qty, NEW.unit_cost,
                NEW.discount_pct)
               IS DISTINCT FROM
               (OLD.purchase_order_id, OLD.supplier_product_id, OLD.ordered_qty, OLD.unit_cost,
                OLD.discount_pct)) THEN
        RAISE EXCEPTION 'order % is %, what it asks for stays', ordered.po_number, ordered.state
            USING ERRCODE = 'check_violation', HINT = 'Cancel quantity, or write another order.';
    ELSIF TG_OP = 'DELETE' THEN
        RETURN line;
    END IF;
    IF TG_OP = 'INSERT' OR NEW.supplier_product_id <> OLD.supplier_product_id
       OR NEW.ordered_qty <> OLD.ordered_qty THEN
        SELECT p.supplier_id, p.supplier_sku, p.order_multiple, p.minimum_order_qty INTO offer
        FROM ret.supplier_product AS p
        WHERE p.business_id = NEW.business_id
          AND p.supplier_product_id = NEW.supplier_product_id;
        IF offer.supplier_id <> ordered.supplier_id THEN
            RAISE EXCEPTION 'order % goes to another supplier than the one of %',
                            ordered.po_number, offer.supplier_sku
                USING ERRCODE = 'check_violation';
        ELSIF NEW.ordered_qty > 0
              AND (NEW.ordered_qty % coalesce(offer.order_multiple, 1) <> 0
                   OR NEW.ordered_qty < coalesce(offer.minimum_order_qty, 0)) THEN
            RAISE EXCEPTION '% comes in multiples of %, at least %; % were ordered',
                            offer.supplier_sku, coalesce(offer.order_multiple, 1),
                            coalesce(offer.minimum_order_qty, 1), NEW.ordered_qty
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    IF NEW.received_qty + NEW.cancelled_qty
       > NEW.ordered_qty * (1 + ordered.over_receipt_pct / 100) THEN
        RAISE EXCEPTION 'line % of order %: % received and % cancelled of % ordered',
                        NEW.line_number, ordered.po_number, NEW.received_qty, NEW.cancelled_qty,
                        NEW.ordered_qty
            USING ERRCODE = 'check_violation',
                  HINT = format('The order takes %s %% too much.', ordered.over_receipt_pct);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_order_line() IS
    'A line is of the order''s supplier, in its multiples; what an order asks for stands once it
     was sent; no more is received than the order''s tolerance lets in.';

CREATE TRIGGER purchase_order_line_check
    BEFORE INSERT OR UPDATE OR DELETE ON ret.purchase_order_line
    FOR EACH ROW EXECUTE FUNCTION ret.check_order_line();

CREATE FUNCTION ret.total_orders() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active('ret.purchase_order_line') THEN
        UPDATE ret.purchase_order AS o
        SET subtotal = n.subtotal
        FROM (
            SELECT c.business_id, c.purchase_order_id, coalesce(sum(l.line_amount), 0) AS subtotal
            FROM (SELECT DISTINCT x.business_id, x.purchase_order_id FROM changed AS x) AS c
            LEFT JOIN ret.purchase_order_line AS l
                ON l.business_id = c.business_id AND l.purchase_order_id = c.purchase_order_id
            GROUP BY c.business_id, c.purchase_order_id
        ) AS n
        WHERE o.business_id = n.business_id AND o.purchase_order_id = n.purchase_order_id
          AND o.subtotal <> n.subtotal;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.total_orders() IS 'Keeps the subtotal of orders in step with their lines.';

CREATE TRIGGER purchase_order_line_total_on_insert
    AFTER INSERT ON ret.purchase_order_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.total_orders();

CREATE TRIGGER purchase_order_line_total_on_update
    AFTER UPDATE ON ret.purchase_order_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.total_orders();

CREATE TRIGGER purchase_order_line_total_on_delete
    AFTER DELETE ON ret.purchase_order_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.total_orders();

CREATE FUNCTION ret.announce_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    open_states CONSTANT text[] := ARRAY['sent', 'acknowledged', 'partly_received'];
    opens       CONSTANT boolean := NEW.state = ANY (open_states);
BEGIN
    IF opens = (OLD.state = ANY (open_states)) OR NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    INSERT INTO ret.stock_movement
        (business_id, location_id, product_variant_id, movement_kind, from_state, to_state,
         quantity, unit_cost, source_kind, source_id)
    SELECT l.business_id, NEW.location_id, p.product_variant_id, 'receipt',
           CASE WHEN opens THEN 'none' ELSE 'incoming' END,
           CASE WHEN opens THEN 'incoming' ELSE 'none' END,
           l.ordered_qty - l.received_qty - l.cancelled_qty, l.unit_cost * NEW.exchange_rate,
           'receipt', l.purchase_order_line_id
    FROM ret.purchase_order_line AS l
    JOIN ret.supplier_product AS p
        ON p.business_id = l.business_id AND p.supplier_product_id = l.supplier_product_id
    WHERE l.business_id = NEW.business_id AND l.purchase_order_id = NEW.purchase_order_id
      AND l.ordered_qty > l.received_qty + l.cancelled_qty
    ORDER BY p.product_variant_id, l.line_number;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.announce_order() IS
    'What an order still waits for becomes incoming stock when it is sent, and stops being it when
     the order is cancelled or closed.';

CREATE TRIGGER purchase_order_announce
    AFTER UPDATE OF state ON ret.purchase_order
    FOR EACH ROW WHEN (NEW.po_kind NOT IN ('dropship', 'consignment'))
    EXECUTE FUNCTION ret.announce_order();

CREATE FUNCTION ret.announce_cancellations() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active('ret.purchase_order_line') THEN
        INSERT INTO ret.stock_movement
            (business_id, location_id, product_variant_id, movement_kind, from_state, to_state,
             quantity, unit_cost, source_kind, source_id)
        SELECT l.business_id, o.location_id, p.product_variant_id, 'receipt',
               CASE WHEN n.change > 0 THEN 'none' ELSE 'incoming' END,
               CASE WHEN n.change > 0 THEN 'incoming' ELSE 'none' END, abs(n.change),
               l.unit_cost * o.exchange_rate, 'receipt', l.purchase_order_line_id
        FROM changed AS l
        JOIN before AS b
            ON b.business_id = l.business_id
           AND b.purchase_order_line_id = l.purchase_order_line_id
        JOIN ret.purchase_order AS o
            ON o.business_id = l.business_id AND o.purchase_order_id = l.purchase_order_id
        JOIN ret.supplier_product AS p
            ON p.business_id = l.business_id AND p.supplier_product_id = l.supplier_product_id
        CROSS JOIN LATERAL (
            SELECT greatest(l.ordered_qty - l.received_qty - l.cancelled_qty, 0)
                   - greatest(l.ordered_qty - l.received_qty - b.cancelled_qty, 0) AS change
        ) AS n
        WHERE n.change <> 0 AND o.state IN ('sent', 'acknowledged', 'partly_received')
          AND o.po_kind NOT IN ('dropship', 'consignment')
        ORDER BY o.location_id, p.product_variant_id, l.line_number;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.announce_cancellations() IS
    'What is cancelled of an open order is no longer incoming; what is received is moved on by
     ret.post_receipt().';

CREATE TRIGGER purchase_order_line_announce
    AFTER UPDATE ON ret.purchase_order_line
    REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.announce_cancellations();


CREATE TABLE ret.advance_ship_notice (
    business_id            uuid        NOT NULL,
    advance_ship_notice_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_id            uuid        NOT NULL,
    location_id            uuid        NOT NULL,
    purchase_order_id      uuid,
    asn_number             text        NOT NULL,
    transport              text        NOT NULL,
    received_at            timestamptz NOT NULL DEFAULT now(),
    shipped_at             timestamptz,
    expected_at            timestamptz,
    carrier_name           text,
    bill_of_lading         text,
    tracking_number        text,
    carton_count           integer     NOT NULL DEFAULT 0,
    pallet_count           integer     NOT NULL DEFAULT 0,
    is_on_time             boolean     NOT NULL DEFAULT true,
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
    CONSTRAINT advance_ship_notice_expected_after_shipped CHECK (expected_at >= shipped_at),
    CONSTRAINT advance_ship_notice_counts_not_negative
        CHECK (carton_count >= 0 AND pallet_count >= 0 AND error_count >= 0),
    CONSTRAINT advance_ship_notice_rejected_has_errors
        CHECK (state <> 'rejected' OR error_count > 0)
);

COMMENT ON TABLE ret.advance_ship_notice IS
    'Despatch advice: what the supplier says is on the truck, before the truck arrives.';
COMMENT ON COLUMN ret.advance_ship_notice.is_on_time IS
    'Whether it came before the goods did, early enough to plan the dock.';
COMMENT ON COLUMN ret.advance_ship_notice.error_count IS
    'Faults found against the order; a scorecard counts the notices that have any.';

-- FK: the notices of a location; v_receiving_worklist takes those that are expected.
CREATE INDEX advance_ship_notice_location_idx
    ON ret.advance_ship_notice (business_id, location_id, expected_at);

-- FK: the notices of an order.
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

CREATE TRIGGER advance_ship_notice_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.advance_ship_notice
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["received"],
        "transitions": {
            "received":  ["validated", "rejected"],
            "validated": ["arrived", "rejected"],
            "arrived":   ["closed"],
            "rejected":  [],
            "closed":    []
        }}');

CREATE FUNCTION ret.require_order_of_same_supplier() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    ordered record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT o.po_number, o.supplier_id, o.location_id, o.state INTO ordered
    FROM ret.purchase_order AS o
    WHERE o.business_id = NEW.business_id AND o.purchase_order_id = NEW.purchase_order_id
    FOR SHARE;
    IF ordered.supplier_id <> NEW.supplier_id THEN
        RAISE EXCEPTION 'order % is another supplier''s', ordered.po_number
            USING ERRCODE = 'check_violation';
    ELSIF ordered.location_id <> (to_jsonb(NEW) ->> 'location_id')::uuid THEN
        RAISE EXCEPTION 'order % goes to another location', ordered.po_number
            USING ERRCODE = 'check_violation';
    ELSIF ordered.state IN ('draft', 'pending_approval', 'cancelled') THEN
        RAISE EXCEPTION 'order % is %, nothing comes of it', ordered.po_number, ordered.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.require_order_of_same_supplier() IS
    'What a notice, receipt or invoice says it belongs to is an order of its supplier, for
     its location, that was sent.';

CREATE TRIGGER advance_ship_notice_order
    BEFORE INSERT OR UPDATE OF purchase_order_id, supplier_id ON ret.advance_ship_notice
    FOR EACH ROW WHEN (NEW.purchase_order_id IS NOT NULL)
    EXECUTE FUNCTION ret.require_order_of_same_supplier();


CREATE FUNCTION ret.is_sscc(code text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN code ~ '^[0-9]{18}$' AND (
    SELECT sum(substr(code, n.place, 1)::integer * CASE n.place % 2 WHEN 1 THEN 3 ELSE 1 END) % 10
    FROM generate_series(1, 18) AS n (place)) = 0;
COMMENT ON FUNCTION ret.is_sscc(text) IS
    'Whether a text is a serial shipping container code: 18 digits of which the last checks the
     others, weighted 3 and 1 by turns.';


CREATE TABLE ret.asn_package (
    business_id            uuid           NOT NULL,
    asn_package_id         uuid           NOT NULL DEFAULT system_core.uuid_v7(),
    parent_package_id      uuid,
    advance_ship_notice_id uuid           NOT NULL,
    sscc                   text           NOT NULL,
    package_kind           text           NOT NULL DEFAULT 'carton',
    gross_weight_kg        numeric(12, 3),
    length_cm              numeric(9, 2),
    width_cm               numeric(9, 2),
    height_cm              numeric(9, 2),
    label_scanned_at       timestamptz,
    condition              text           NOT NULL DEFAULT 'unseen',
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
        CHECK (condition IN ('unseen', 'ok', 'damaged', 'missing')),
    CONSTRAINT asn_package_sscc_checked CHECK (ret.is_sscc(sscc)),
    CONSTRAINT asn_package_seen_when_scanned
        CHECK (label_scanned_at IS NULL OR condition IN ('ok', 'damaged')),
    CONSTRAINT asn_package_measures_positive
        CHECK (gross_weight_kg > 0 AND length_cm > 0 AND width_cm > 0 AND height_cm > 0)
);

COMMENT ON TABLE ret.asn_package IS
    'A carton or pallet of a notice, known at the dock by its serial shipping container code.';
COMMENT ON COLUMN ret.asn_package.parent_package_id IS 'The pallet that a carton stands on.';

-- FK: the cartons of a pallet.
CREATE INDEX asn_package_parent_package_idx
    ON ret.asn_package (business_id, parent_package_id)
    WHERE parent_package_id IS NOT NULL;

-- FK: the packages of a notice.
CREATE INDEX asn_package_advance_ship_notice_idx
    ON ret.asn_package (business_id, advance_ship_notice_id, sequence_no);

ALTER TABLE ret.asn_package ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.asn_package
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.asn_package TO app_user;
GRANT SELECT ON ret.asn_package TO app_readonly;

CREATE TRIGGER asn_package_touch
    BEFORE UPDATE ON ret.asn_package
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.check_package_parent() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- Packages of one notice wait for each other, so that two moves do not close a ring.
    PERFORM FROM ret.advance_ship_notice AS a
    WHERE a.business_id = NEW.business_id
      AND a.advance_ship_notice_id = NEW.advance_ship_notice_id
    FOR NO KEY UPDATE;
    IF EXISTS (
        SELECT FROM ret.asn_package AS p
        WHERE p.business_id = NEW.business_id AND p.asn_package_id = NEW.parent_package_id
          AND p.advance_ship_notice_id <> NEW.advance_ship_notice_id) THEN
        RAISE EXCEPTION 'package % stands on a package of another notice', NEW.sscc
            USING ERRCODE = 'check_violation';
    ELSIF EXISTS (
        WITH RECURSIVE above AS (
            SELECT NEW.parent_package_id AS asn_package_id
            UNION
            SELECT p.parent_package_id
            FROM above AS a
            JOIN ret.asn_package AS p
                ON p.business_id = NEW.business_id AND p.asn_package_id = a.asn_package_id
            WHERE p.parent_package_id IS NOT NULL
        )
        SELECT FROM above AS a WHERE a.asn_package_id = NEW.asn_package_id) THEN
        RAISE EXCEPTION 'package % cannot stand on itself', NEW.sscc
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_package_parent() IS
    'A package stands on one of the same notice, and not on itself through others.';

CREATE TRIGGER asn_package_parent
    BEFORE INSERT OR UPDATE OF parent_package_id, advance_ship_notice_id ON ret.asn_package
    FOR EACH ROW WHEN (NEW.parent_package_id IS NOT NULL)
    EXECUTE FUNCTION ret.check_package_parent();


CREATE TABLE ret.asn_line (
    business_id            uuid                 NOT NULL,
    asn_line_id            uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    asn_package_id         uuid                 NOT NULL,
    purchase_order_line_id uuid,
    product_variant_id     uuid                 NOT NULL,
    line_number            integer              NOT NULL,
    gtin                   text,
    shipped_qty            system_core.quantity NOT NULL,
    lot_number             text,
    expires_on             date,
    serials_doc            jsonb,
    is_substitution        boolean              NOT NULL DEFAULT false,
    backorder_qty          system_core.quantity NOT NULL DEFAULT 0,
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
    CONSTRAINT asn_line_shipped_qty_positive CHECK (shipped_qty > 0),
    CONSTRAINT asn_line_backorder_not_negative CHECK (backorder_qty >= 0),
    CONSTRAINT asn_line_gtin_digits CHECK (gtin ~ '^[0-9]{8,14}$'),
    CONSTRAINT asn_line_serials_are_listed
        CHECK (CASE WHEN serials_doc IS NOT NULL
                    THEN jsonb_typeof(serials_doc) = 'array'
                         AND jsonb_array_length(serials_doc) <= shipped_qty END)
);

COMMENT ON TABLE ret.asn_line IS 'What a package is said to contain.';
COMMENT ON COLUMN ret.asn_line.serials_doc IS
    'The serial numbers announced, an array of texts; no more than units shipped.';
COMMENT ON COLUMN ret.asn_line.is_substitution IS
    'The supplier sends another variant than the order line asks for.';
COMMENT ON COLUMN ret.asn_line.backorder_qty IS 'What the supplier will send later.';

-- FK: what was announced of an order line.
CREATE INDEX asn_line_purchase_order_line_idx
    ON ret.asn_line (business_id, purchase_order_line_id)
    WHERE purchase_order_line_id IS NOT NULL;

-- FK: the notices that announce a variant.
CREATE INDEX asn_line_product_variant_idx ON ret.asn_line (business_id, product_variant_id);

ALTER TABLE ret.asn_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.asn_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.asn_line TO app_user;
GRANT SELECT ON ret.asn_line TO app_readonly;

CREATE TRIGGER asn_line_touch
    BEFORE UPDATE ON ret.asn_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.check_asn_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND NOT EXISTS (
        SELECT FROM ret.purchase_order_line AS l
        JOIN ret.supplier_product AS p
            ON p.business_id = l.business_id AND p.supplier_product_id = l.supplier_product_id
        JOIN ret.purchase_order AS o
            ON o.business_id = l.business_id AND o.purchase_order_id = l.purchase_order_id
        JOIN ret.asn_package AS k
            ON k.business_id = l.business_id AND k.asn_package_id = NEW.asn_package_id
        JOIN ret.advance_ship_notice AS a
            ON a.business_id = k.business_id
           AND a.advance_ship_notice_id = k.advance_ship_notice_id
        WHERE l.business_id = NEW.business_id
          AND l.purchase_order_line_id = NEW.purchase_order_line_id
          AND o.supplier_id = a.supplier_id
          AND coalesce(a.purchase_order_id, o.purchase_order_id) = o.purchase_order_id
          AND (p.product_variant_id = NEW.product_variant_id OR NEW.is_substitution)) THEN
        RAISE EXCEPTION 'line % announces what its order line does not ask for', NEW.line_number
            USING ERRCODE = 'check_violation',
                  HINT = 'It is of an order of the notice; another variant is a substitution.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_asn_line() IS
    'An announced line is of an order of the notice, and of its variant unless it is substituted.';

CREATE TRIGGER asn_line_check
    BEFORE INSERT OR UPDATE ON ret.asn_line
    FOR EACH ROW WHEN (NEW.purchase_order_line_id IS NOT NULL)
    EXECUTE FUNCTION ret.check_asn_line();

CREATE FUNCTION ret.count_shipped() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active('ret.asn_line') THEN
        -- Two notices of one line at once wait for each other at the line.
        PERFORM FROM ret.purchase_order_line AS l
        WHERE l.business_id = tenant_mgmt.current_business_id()
          AND l.purchase_order_line_id IN (SELECT c.purchase_order_line_id FROM changed AS c)
        ORDER BY l.purchase_order_line_id
        FOR NO KEY UPDATE;
        UPDATE ret.purchase_order_line AS l
        SET shipped_qty = coalesce((
            SELECT sum(a.shipped_qty)
            FROM ret.asn_line AS a
            WHERE a.business_id = l.business_id
              AND a.purchase_order_line_id = l.purchase_order_line_id), 0)
        WHERE l.business_id = tenant_mgmt.current_business_id()
          AND l.purchase_order_line_id IN (SELECT c.purchase_order_line_id FROM changed AS c);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.count_shipped() IS
    'Keeps what was shipped of order lines in step with the notices.';

CREATE TRIGGER asn_line_count_on_insert
    AFTER INSERT ON ret.asn_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.count_shipped();

CREATE TRIGGER asn_line_count_on_update
    AFTER UPDATE ON ret.asn_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.count_shipped();

CREATE TRIGGER asn_line_count_on_delete
    AFTER DELETE ON ret.asn_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.count_shipped();


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
    started_at             timestamptz,
    completed_at           timestamptz,
    carrier_name           text,
    delivery_note_number   text,
    carton_count           integer              NOT NULL DEFAULT 0,
    total_units            system_core.quantity NOT NULL DEFAULT 0,
    total_cost             system_core.money    NOT NULL DEFAULT 0,
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
    CONSTRAINT goods_receipt_started_after_arrived CHECK (started_at >= arrived_at),
    CONSTRAINT goods_receipt_completed_after_started CHECK (completed_at >= started_at),
    CONSTRAINT goods_receipt_checked_has_times
        CHECK (state IN ('expected', 'rejected')
               OR (arrived_at IS NOT NULL AND started_at IS NOT NULL)),
    CONSTRAINT goods_receipt_completed_has_time
        CHECK ((state = 'completed') = (completed_at IS NOT NULL)),
    CONSTRAINT goods_receipt_totals_not_negative
        CHECK (carton_count >= 0 AND total_units >= 0 AND total_cost >= 0)
);

COMMENT ON TABLE ret.goods_receipt IS
    'A delivery checked in at the dock; completed, it is in the stock ledger and stands.';
COMMENT ON COLUMN ret.goods_receipt.total_units IS 'Accepted; set when the receipt is posted.';
COMMENT ON COLUMN ret.goods_receipt.total_cost IS
    'What was accepted at landed cost, in the home currency; set when the receipt is posted.';

-- FK: what somebody checked in.
CREATE INDEX goods_receipt_received_by_user_idx
    ON ret.goods_receipt (business_id, received_by_user_id);

-- FK: the deliveries of a location, newest first.
CREATE INDEX goods_receipt_location_idx
    ON ret.goods_receipt (business_id, location_id, arrived_at DESC);

-- FK: the deliveries of a supplier.
CREATE INDEX goods_receipt_supplier_idx ON ret.goods_receipt (business_id, supplier_id);

-- FK: the deliveries of an order.
CREATE INDEX goods_receipt_purchase_order_idx
    ON ret.goods_receipt (business_id, purchase_order_id)
    WHERE purchase_order_id IS NOT NULL;

-- FK: the delivery that a notice announced.
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

CREATE TRIGGER goods_receipt_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.goods_receipt
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["expected", "checking"],
        "transitions": {
            "expected":  ["checking", "rejected"],
            "checking":  ["put_away", "completed", "rejected"],
            "put_away":  ["completed"],
            "completed": [],
            "rejected":  []
        }}');

CREATE TRIGGER goods_receipt_order
    BEFORE INSERT OR UPDATE OF purchase_order_id, supplier_id ON ret.goods_receipt
    FOR EACH ROW WHEN (NEW.purchase_order_id IS NOT NULL)
    EXECUTE FUNCTION ret.require_order_of_same_supplier();

CREATE FUNCTION ret.freeze_receipt() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    RAISE EXCEPTION 'receipt % is %, it stands', OLD.receipt_number, OLD.state
        USING ERRCODE = 'restrict_violation', HINT = 'Adjust the stock or return the goods.';
END
$$;
COMMENT ON FUNCTION ret.freeze_receipt() IS 'A receipt that was posted or turned away is final.';

CREATE TRIGGER goods_receipt_freeze
    BEFORE UPDATE OR DELETE ON ret.goods_receipt
    FOR EACH ROW WHEN (OLD.state IN ('completed', 'rejected'))
    EXECUTE FUNCTION ret.freeze_receipt();


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
    expected_qty           system_core.quantity   NOT NULL DEFAULT 0,
    received_qty           system_core.quantity   NOT NULL,
    accepted_qty           system_core.quantity   NOT NULL,
    rejected_qty           system_core.quantity   NOT NULL DEFAULT 0,
    damaged_qty            system_core.quantity   NOT NULL DEFAULT 0,
    unit_cost              system_core.unit_price NOT NULL,
    landed_unit_cost       system_core.unit_price,
    discrepancy            text                   NOT NULL DEFAULT 'none',
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
    CONSTRAINT goods_receipt_line_quantities_not_negative
        CHECK (expected_qty >= 0 AND received_qty >= 0 AND accepted_qty >= 0 AND rejected_qty >= 0
               AND damaged_qty >= 0),
    CONSTRAINT goods_receipt_line_received_is_sorted
        CHECK (accepted_qty + rejected_qty + damaged_qty = received_qty),
    CONSTRAINT goods_receipt_line_discrepancy_agrees
        CHECK (CASE discrepancy
               WHEN 'none' THEN received_qty = expected_qty AND accepted_qty = received_qty
               WHEN 'short' THEN received_qty < expected_qty
               WHEN 'over' THEN received_qty > expected_qty
               WHEN 'damaged' THEN damaged_qty > 0
               WHEN 'not_ordered' THEN purchase_order_line_id IS NULL
               ELSE true END),
    CONSTRAINT goods_receipt_line_cost_not_negative CHECK (unit_cost >= 0),
    CONSTRAINT goods_receipt_line_landed_at_least_unit_cost CHECK (landed_unit_cost >= unit_cost)
);

COMMENT ON TABLE ret.goods_receipt_line IS
    'What was really received, in which lot, serial and bin.';
COMMENT ON COLUMN ret.goods_receipt_line.accepted_qty IS 'Goes to stock that can be sold.';
COMMENT ON COLUMN ret.goods_receipt_line.rejected_qty IS 'Leaves with the truck.';
COMMENT ON COLUMN ret.goods_receipt_line.damaged_qty IS
    'Stays, as damaged stock, until it is returned or written off.';
COMMENT ON COLUMN ret.goods_receipt_line.unit_cost IS 'As ordered, in the home currency.';
COMMENT ON COLUMN ret.goods_receipt_line.landed_unit_cost IS
    'With its share of freight, duty and the like; ret.allocate_landed_costs() sets it.';

-- FK: the receipts of a variant.
CREATE INDEX goods_receipt_line_product_variant_idx
    ON ret.goods_receipt_line (business_id, product_variant_id);

-- FK: what came of an order line.
CREATE INDEX goods_receipt_line_purchase_order_line_idx
    ON ret.goods_receipt_line (business_id, purchase_order_line_id)
    WHERE purchase_order_line_id IS NOT NULL;

-- FK: what came of an announced line. A carton is not received twice.
CREATE UNIQUE INDEX goods_receipt_line_asn_line_idx
    ON ret.goods_receipt_line (business_id, asn_line_id)
    WHERE asn_line_id IS NOT NULL;

-- FK: the receipts of a lot.
CREATE INDEX goods_receipt_line_stock_lot_idx
    ON ret.goods_receipt_line (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

-- FK: what was put in a bin.
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

CREATE FUNCTION ret.check_receipt_part() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    part    jsonb;
    receipt record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    part := to_jsonb(coalesce(NEW, OLD));
    -- Whoever posts the receipt waits for this part, or this part sees it posted.
    SELECT r.receipt_number, r.state, r.purchase_order_id INTO receipt
    FROM ret.goods_receipt AS r
    WHERE r.business_id = (part ->> 'business_id')::uuid
      AND r.goods_receipt_id = (part ->> 'goods_receipt_id')::uuid
    FOR SHARE;
    IF receipt.state IN ('completed', 'rejected') THEN
        RAISE EXCEPTION 'receipt % is %, it stands', receipt.receipt_number, receipt.state
            USING ERRCODE = 'restrict_violation', HINT = 'Adjust the stock or return the goods.';
    ELSIF TG_OP <> 'DELETE' AND EXISTS (
        SELECT FROM ret.purchase_order_line AS l
        WHERE l.business_id = NEW.business_id
          AND l.purchase_order_line_id = (part ->> 'purchase_order_line_id')::uuid
          AND l.purchase_order_id <> receipt.purchase_order_id) THEN
        RAISE EXCEPTION 'receipt % takes lines of its own order', receipt.receipt_number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION ret.check_receipt_part() IS
    'Lines and costs change until their receipt is posted; lines are of its order.';

CREATE TRIGGER goods_receipt_line_check
    BEFORE INSERT OR UPDATE OR DELETE ON ret.goods_receipt_line
    FOR EACH ROW EXECUTE FUNCTION ret.check_receipt_part();


CREATE TABLE ret.landed_cost (
    business_id            uuid                 NOT NULL,
    landed_cost_id         uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    charged_by_supplier_id uuid,
    goods_receipt_id       uuid                 NOT NULL,
    cost_kind              text                 NOT NULL,
    amount                 system_core.money    NOT NULL,
    currency               system_core.currency NOT NULL,
    exchange_rate          numeric(18, 8)       NOT NULL DEFAULT 1,
    allocation_basis       text                 NOT NULL DEFAULT 'value',
    allocated_amount       system_core.money    NOT NULL DEFAULT 0,
    reference_number       text,
    posted_at              timestamptz          NOT NULL DEFAULT now(),
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
    CONSTRAINT landed_cost_amount_positive CHECK (amount > 0),
    CONSTRAINT landed_cost_exchange_rate_positive CHECK (exchange_rate > 0),
    CONSTRAINT landed_cost_allocates_all_or_nothing
        CHECK (allocated_amount IN (0, round(amount * exchange_rate, 2)))
);

COMMENT ON TABLE ret.landed_cost IS
    'Freight, duty or insurance of a receipt, shared out over its lines.';
COMMENT ON COLUMN ret.landed_cost.allocated_amount IS
    'What was put on the lines, in the home currency; ret.allocate_landed_costs() sets it.';

-- FK: what a forwarder charged.
CREATE INDEX landed_cost_charged_by_supplier_idx
    ON ret.landed_cost (business_id, charged_by_supplier_id)
    WHERE charged_by_supplier_id IS NOT NULL;

-- FK: the costs of a receipt.
CREATE INDEX landed_cost_goods_receipt_idx ON ret.landed_cost (business_id, goods_receipt_id);

ALTER TABLE ret.landed_cost ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.landed_cost
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.landed_cost TO app_user;
GRANT SELECT ON ret.landed_cost TO app_readonly;

CREATE TRIGGER landed_cost_touch
    BEFORE UPDATE ON ret.landed_cost
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER landed_cost_check
    BEFORE INSERT OR UPDATE OR DELETE ON ret.landed_cost
    FOR EACH ROW EXECUTE FUNCTION ret.check_receipt_part();


CREATE FUNCTION ret.landed_cost_shares(goods_receipts uuid[])
    RETURNS TABLE (
        landed_cost_id        uuid,
        goods_receipt_line_id uuid,
        share                 numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH weighed AS (
        SELECT c.landed_cost_id, l.goods_receipt_line_id, l.line_number,
               round(c.amount * c.exchange_rate, 2) AS amount, l.accepted_qty,
               l.accepted_qty * CASE c.allocation_basis
                   WHEN 'value' THEN l.unit_cost
                   WHEN 'weight' THEN coalesce(v.weight_g, 0)
                   WHEN 'volume' THEN coalesce(v.length_mm::numeric * v.width_mm * v.height_mm, 0)
                   ELSE 1 END AS weight
        FROM ret.landed_cost AS c
        JOIN ret.goods_receipt_line AS l
            ON l.business_id = c.business_id AND l.goods_receipt_id = c.goods_receipt_id
           AND l.accepted_qty > 0
        JOIN ret.product_variant AS v
            ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
        WHERE c.business_id = tenant_mgmt.current_business_id()
          AND c.goods_receipt_id = ANY (goods_receipts)
    ), told AS (
        -- Where nobody knows weights or volumes, units count.
        SELECT w.landed_cost_id, w.goods_receipt_line_id, w.line_number, w.amount,
               CASE WHEN sum(w.weight) OVER cost > 0 THEN w.weight ELSE w.accepted_qty END AS part
        FROM weighed AS w
        WINDOW cost AS (PARTITION BY w.landed_cost_id)
    )
    -- What is due up to a line less what is due before it: cents never go missing.
    SELECT t.landed_cost_id, t.goods_receipt_line_id,
           round(t.amount * sum(t.part) OVER upto / sum(t.part) OVER cost, 2)
           - round(t.amount * (sum(t.part) OVER upto - t.part) / sum(t.part) OVER cost, 2)
    FROM told AS t
    WINDOW cost AS (PARTITION BY t.landed_cost_id),
           upto AS (PARTITION BY t.landed_cost_id ORDER BY t.line_number);
END;
COMMENT ON FUNCTION ret.landed_cost_shares(uuid[]) IS
    'The landed costs of receipts by line: by value, units, weight or volume of what was accepted.
     The shares of a cost add up to it.';


CREATE FUNCTION ret.allocate_landed_costs(goods_receipt uuid) RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    total  numeric;
BEGIN
    UPDATE ret.goods_receipt_line AS l
    SET landed_unit_cost = l.unit_cost + coalesce((
        SELECT sum(s.share)
        FROM ret.landed_cost_shares(ARRAY[goods_receipt]) AS s
        WHERE s.goods_receipt_line_id = l.goods_receipt_line_id) / nullif(l.accepted_qty, 0), 0)
    WHERE l.business_id = tenant AND l.goods_receipt_id = goods_receipt;
    WITH put AS (
        UPDATE ret.landed_cost AS c
        SET allocated_amount = n.amount
        FROM (
            SELECT s.landed_cost_id, sum(s.share) AS amount
            FROM ret.landed_cost_shares(ARRAY[goods_receipt]) AS s
            GROUP BY s.landed_cost_id
        ) AS n
        WHERE c.business_id = tenant AND c.landed_cost_id = n.landed_cost_id
        RETURNING c.allocated_amount
    )
    SELECT coalesce(sum(p.allocated_amount), 0) INTO total FROM put AS p;
    RETURN total;
END
$$;
COMMENT ON FUNCTION ret.allocate_landed_costs(uuid) IS
    'Puts the landed costs of a receipt on its lines and returns what was put; done again it does
     the same.';


CREATE FUNCTION ret.receive_package(goods_receipt uuid, package_sscc text, seen text DEFAULT 'ok')
    RETURNS SETOF ret.goods_receipt_line
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    receipt record;
    carton  record;
BEGIN
    SELECT r.state, r.receipt_number, r.supplier_id, r.purchase_order_id INTO receipt
    FROM ret.goods_receipt AS r
    WHERE r.business_id = tenant AND r.goods_receipt_id = goods_receipt
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such receipt' USING ERRCODE = 'no_data_found';
    ELSIF receipt.state <> 'checking' THEN
        RAISE EXCEPTION 'receipt % is %, cartons are scanned while it is checked',
                        receipt.receipt_number, receipt.state
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT p.asn_package_id, p.label_scanned_at, a.supplier_id INTO carton
    FROM ret.asn_package AS p
    JOIN ret.advance_ship_notice AS a
        ON a.business_id = p.business_id AND a.advance_ship_notice_id = p.advance_ship_notice_id
    WHERE p.business_id = tenant AND p.sscc = package_sscc
    FOR NO KEY UPDATE OF p;
    IF NOT FOUND OR carton.supplier_id <> receipt.supplier_id THEN
        RAISE EXCEPTION 'the supplier announced no carton %', package_sscc
            USING ERRCODE = 'no_data_found', HINT = 'Receive it line by line.';
    ELSIF carton.label_scanned_at IS NOT NULL THEN
        RAISE EXCEPTION 'carton % was received already', package_sscc
            USING ERRCODE = 'unique_violation';
    END IF;
    UPDATE ret.asn_package AS p
    SET label_scanned_at = now(), condition = seen
    WHERE p.business_id = tenant AND p.asn_package_id = carton.asn_package_id;
    RETURN QUERY
    INSERT INTO ret.goods_receipt_line AS made
        (business_id, goods_receipt_id, product_variant_id, purchase_order_line_id, asn_line_id,
         line_number, expected_qty, received_qty, accepted_qty, damaged_qty, unit_cost,
         discrepancy)
    SELECT tenant, goods_receipt, a.product_variant_id, l.purchase_order_line_id, a.asn_line_id,
           (SELECT coalesce(max(x.line_number), 0)
            FROM ret.goods_receipt_line AS x
            WHERE x.business_id = tenant AND x.goods_receipt_id = goods_receipt)
           + row_number() OVER (ORDER BY a.line_number),
           a.shipped_qty, a.shipped_qty,
           CASE seen WHEN 'damaged' THEN 0 ELSE a.shipped_qty END,
           CASE seen WHEN 'damaged' THEN a.shipped_qty ELSE 0 END,
           coalesce(l.unit_cost * (1 - l.discount_pct / 100) * o.exchange_rate, v.standard_cost,
                    0),
           CASE WHEN seen = 'damaged' THEN 'damaged'
                WHEN l.purchase_order_line_id IS NULL THEN 'not_ordered'
                WHEN a.is_substitution THEN 'wrong_item' ELSE 'none' END
    FROM ret.asn_line AS a
    JOIN ret.product_variant AS v
        ON v.business_id = a.business_id AND v.product_variant_id = a.product_variant_id
    LEFT JOIN ret.purchase_order_line AS l
        ON l.business_id = a.business_id AND l.purchase_order_line_id = a.purchase_order_line_id
       AND l.purchase_order_id = coalesce(receipt.purchase_order_id, l.purchase_order_id)
    LEFT JOIN ret.purchase_order AS o
        ON o.business_id = a.business_id AND o.purchase_order_id = l.purchase_order_id
    WHERE a.business_id = tenant AND a.asn_package_id = carton.asn_package_id
    RETURNING made.*;
END
$$;
COMMENT ON FUNCTION ret.receive_package(uuid, text, text) IS
    'A dock worker scans the SSCC of a carton: its announced lines become lines of the receipt,
     once. A carton seen as damaged is received as damaged.';


CREATE FUNCTION ret.serials_of_receipt(goods_receipt uuid)
    RETURNS TABLE (
        goods_receipt_line_id uuid,
        product_variant_id    uuid,
        stock_lot_id          uuid,
        place                 integer,
        serial_number         text,
        unit_cost             numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT l.goods_receipt_line_id, l.product_variant_id, l.stock_lot_id, j.place,
           j.serial_number, l.landed_unit_cost
    FROM ret.goods_receipt_line AS l
    JOIN ret.asn_line AS a ON a.business_id = l.business_id AND a.asn_line_id = l.asn_line_id
    JOIN ret.product_variant AS v
        ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
    JOIN ret.product AS p ON p.business_id = v.business_id AND p.product_id = v.product_id
    CROSS JOIN LATERAL JSON_TABLE(
        a.serials_doc, '$[*]' COLUMNS (place FOR ORDINALITY, serial_number text PATH '$')) AS j
    WHERE l.business_id = tenant_mgmt.current_business_id()
      AND l.goods_receipt_id = goods_receipt AND p.tracking = 'serial'
      AND j.place <= l.accepted_qty;
END;
COMMENT ON FUNCTION ret.serials_of_receipt(uuid) IS
    'The serial numbers that a notice announces for what was accepted of a receipt, in the order of
     the notice and no more than units.';


CREATE FUNCTION ret.open_receipt_lots(goods_receipt uuid) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    WITH tracked AS (
        SELECT l.goods_receipt_line_id, l.product_variant_id, r.location_id, r.supplier_id,
               l.landed_unit_cost, a.expires_on,
               coalesce(a.lot_number, r.receipt_number || '-' || l.line_number) AS lot_number
        FROM ret.goods_receipt_line AS l
        JOIN ret.goods_receipt AS r
            ON r.business_id = l.business_id AND r.goods_receipt_id = l.goods_receipt_id
        JOIN ret.product_variant AS v
            ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
        JOIN ret.product AS p ON p.business_id = v.business_id AND p.product_id = v.product_id
        LEFT JOIN ret.asn_line AS a
            ON a.business_id = l.business_id AND a.asn_line_id = l.asn_line_id
        WHERE l.business_id = tenant AND l.goods_receipt_id = goods_receipt
          AND p.tracking = 'lot' AND l.stock_lot_id IS NULL
          AND l.accepted_qty + l.damaged_qty > 0
    ), opened AS (
        INSERT INTO ret.stock_lot AS x
            (business_id, product_variant_id, location_id, supplier_id, lot_number, expires_on,
             received_on, unit_cost, status)
        SELECT tenant, t.product_variant_id, t.location_id, t.supplier_id, t.lot_number,
               min(t.expires_on), current_date, max(t.landed_unit_cost), 'available'
        FROM tracked AS t
        GROUP BY t.product_variant_id, t.location_id, t.supplier_id, t.lot_number
        ORDER BY t.product_variant_id, t.lot_number
        ON CONFLICT (business_id, product_variant_id, location_id, lot_number) DO UPDATE
        SET received_on = x.received_on
        RETURNING x.stock_lot_id, x.product_variant_id, x.lot_number
    )
    UPDATE ret.goods_receipt_line AS l
    SET stock_lot_id = o.stock_lot_id
    FROM tracked AS t
    JOIN opened AS o
        ON o.product_variant_id = t.product_variant_id AND o.lot_number = t.lot_number
    WHERE l.business_id = tenant AND l.goods_receipt_line_id = t.goods_receipt_line_id;
END
$$;
COMMENT ON FUNCTION ret.open_receipt_lots(uuid) IS
    'Gives lines of lot-tracked goods the lot that the notice names, or one of the delivery; a
     second delivery of a lot joins it. The ledger fills it.';


CREATE FUNCTION ret.post_receipt_stock(goods_receipt uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    came   record;
    owner  uuid;
    posted integer;
BEGIN
    SELECT r.receipt_number, r.location_id, r.supplier_id, coalesce(o.po_kind, 'stock') AS po_kind
    INTO came
    FROM ret.goods_receipt AS r
    LEFT JOIN ret.purchase_order AS o
        ON o.business_id = r.business_id AND o.purchase_order_id = r.purchase_order_id
    WHERE r.business_id = tenant AND r.goods_receipt_id = goods_receipt;
    IF came.po_kind = 'dropship' THEN
        RETURN 0;
    ELSIF came.po_kind = 'consignment' THEN
        SELECT c.consignment_agreement_id INTO owner
        FROM ret.consignment_agreement AS c
        WHERE c.business_id = tenant AND c.supplier_id = came.supplier_id AND c.state = 'active'
          AND coalesce(c.location_id, came.location_id) = came.location_id
          AND current_date >= c.effective_from
          AND (c.effective_to IS NULL OR current_date <= c.effective_to)
        ORDER BY c.location_id NULLS LAST, c.agreement_number
        LIMIT 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'receipt %: no consignment agreement with the supplier holds',
                            came.receipt_number
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    WITH line AS (
        SELECT l.*, o.ordered_qty, coalesce(greatest(o.ordered_qty - o.received_qty
                                                     - o.cancelled_qty, 0), 0) AS awaited,
               sum(l.accepted_qty) OVER (PARTITION BY l.purchase_order_line_id
                                         ORDER BY l.line_number) - l.accepted_qty AS before
        FROM ret.goods_receipt_line AS l
        LEFT JOIN ret.purchase_order_line AS o
            ON o.business_id = l.business_id
           AND o.purchase_order_line_id = l.purchase_order_line_id
           AND came.po_kind <> 'consignment'
        WHERE l.business_id = tenant AND l.goods_receipt_id = goods_receipt
    ), part AS (
        -- What was on order stops being incoming; what comes beyond it comes from outside.
        SELECT l.product_variant_id, l.line_number, l.goods_receipt_line_id, l.stock_lot_id,
               l.bin_location_id, l.landed_unit_cost, m.from_state, m.to_state, m.quantity
        FROM line AS l
        CROSS JOIN LATERAL (
            SELECT least(l.accepted_qty, greatest(l.awaited - l.before, 0)) AS ordered
        ) AS n
        CROSS JOIN LATERAL (VALUES ('incoming', 'available', n.ordered),
                                   ('none', 'available', l.accepted_qty - n.ordered),
                                   ('none', 'damaged', l.damaged_qty))
            AS m (from_state, to_state, quantity)
        WHERE m.quantity > 0
    ), unit AS (
        -- A unit with a serial number moves alone.
        SELECT p.*, s.serial_number,
               CASE WHEN s.serial_number IS NULL THEN p.quantity ELSE 1 END AS moved
        FROM part AS p
        LEFT JOIN LATERAL (
            SELECT x.serial_number
            FROM ret.serials_of_receipt(goods_receipt) AS x
            WHERE x.goods_receipt_line_id = p.goods_receipt_line_id
              AND p.to_state = 'available'
              AND x.place > CASE p.from_state WHEN 'none' THEN coalesce((
                      SELECT y.quantity FROM part AS y
                      WHERE y.goods_receipt_line_id = p.goods_receipt_line_id
                        AND y.from_state = 'incoming'), 0) ELSE 0 END
              AND x.place <= p.quantity + CASE p.from_state WHEN 'none' THEN coalesce((
                      SELECT y.quantity FROM part AS y
                      WHERE y.goods_receipt_line_id = p.goods_receipt_line_id
                        AND y.from_state = 'incoming'), 0) ELSE 0 END
        ) AS s ON true
    ), piece AS (
        SELECT u.product_variant_id, u.line_number, u.stock_lot_id, u.bin_location_id,
               u.landed_unit_cost, u.from_state, u.to_state, u.moved, u.serial_number
        FROM unit AS u
        UNION ALL
        -- What has no number on the notice moves together.
        SELECT u.product_variant_id, u.line_number, u.stock_lot_id, u.bin_location_id,
               u.landed_unit_cost, u.from_state, u.to_state, u.quantity - count(*), NULL
        FROM unit AS u
        WHERE u.serial_number IS NOT NULL
        GROUP BY u.product_variant_id, u.line_number, u.stock_lot_id, u.bin_location_id,
                 u.landed_unit_cost, u.from_state, u.to_state, u.quantity
        HAVING u.quantity > count(*)
    ), made AS (
        INSERT INTO ret.stock_movement
            (business_id, product_variant_id, location_id, stock_lot_id, bin_location_id,
             consignment_agreement_id, movement_kind, from_state, to_state, quantity, unit_cost,
             source_kind, source_id, serial_number)
        SELECT tenant, p.product_variant_id, came.location_id, p.stock_lot_id, p.bin_location_id,
               owner, CASE WHEN owner IS NULL THEN 'receipt' ELSE 'consignment_in' END,
               p.from_state, p.to_state, p.moved, p.landed_unit_cost, 'receipt', goods_receipt,
               p.serial_number
        FROM piece AS p
        ORDER BY p.product_variant_id, p.line_number, p.from_state, p.to_state, p.serial_number
        RETURNING 1
    )
    SELECT count(*) INTO posted FROM made;
    RETURN posted;
END
$$;
COMMENT ON FUNCTION ret.post_receipt_stock(uuid) IS
    'The part of ret.post_receipt() that writes the ledger, in the order of variants: what was
     incoming becomes available, what is too much too, what is damaged is kept as damaged. A
     consignor''s goods come in under its agreement.';


CREATE FUNCTION ret.post_receipt(goods_receipt uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    receipt ret.goods_receipt;
    twice   text;
    posted  integer;
BEGIN
    SELECT r.* INTO receipt
    FROM ret.goods_receipt AS r
    WHERE r.business_id = tenant AND r.goods_receipt_id = goods_receipt
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such receipt' USING ERRCODE = 'no_data_found';
    ELSIF receipt.state NOT IN ('checking', 'put_away') THEN
        RAISE EXCEPTION 'receipt % is %, it is not posted', receipt.receipt_number, receipt.state
            USING ERRCODE = 'check_violation';
    ELSIF NOT EXISTS (SELECT FROM ret.goods_receipt_line AS l
                      WHERE l.business_id = tenant AND l.goods_receipt_id = goods_receipt) THEN
        RAISE EXCEPTION 'receipt % has no lines', receipt.receipt_number
            USING ERRCODE = 'check_violation';
    END IF;
    PERFORM ret.allocate_landed_costs(goods_receipt);
    PERFORM ret.open_receipt_lots(goods_receipt);

    -- Deliveries that share an order line or a stock level take turns: lines first, then levels
    -- in the order of variants.
    PERFORM FROM ret.purchase_order_line AS o
    WHERE o.business_id = tenant
      AND o.purchase_order_line_id IN (
          SELECT l.purchase_order_line_id FROM ret.goods_receipt_line AS l
          WHERE l.business_id = tenant AND l.goods_receipt_id = goods_receipt)
    ORDER BY o.purchase_order_line_id
    FOR NO KEY UPDATE;
    PERFORM FROM ret.stock_level AS s
    WHERE s.business_id = tenant AND s.location_id = receipt.location_id
      AND s.product_variant_id IN (
          SELECT l.product_variant_id FROM ret.goods_receipt_line AS l
          WHERE l.business_id = tenant AND l.goods_receipt_id = goods_receipt)
    ORDER BY s.product_variant_id, s.stock_level_id
    FOR NO KEY UPDATE;

    SELECT s.serial_number INTO twice
    FROM ret.serials_of_receipt(goods_receipt) AS s
    JOIN ret.serial_unit AS u
        ON u.business_id = tenant AND u.product_variant_id = s.product_variant_id
       AND u.serial_number = s.serial_number
    ORDER BY s.serial_number
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'serial number % was received before', twice
            USING ERRCODE = 'unique_violation', HINT = 'Check the label against the notice.';
    END IF;
    INSERT INTO ret.serial_unit
        (business_id, product_variant_id, stock_lot_id, serial_number, state, received_at,
         unit_cost)
    SELECT tenant, s.product_variant_id, s.stock_lot_id, s.serial_number, 'in_transit', now(),
           s.unit_cost
    FROM ret.serials_of_receipt(goods_receipt) AS s
    ORDER BY s.product_variant_id, s.serial_number;
    posted := ret.post_receipt_stock(goods_receipt);

    UPDATE ret.purchase_order_line AS o
    SET received_qty = o.received_qty + c.quantity,
        state = CASE WHEN o.received_qty + c.quantity + o.cancelled_qty >= o.ordered_qty
                     THEN 'received' ELSE 'partly_received' END
    FROM (
        SELECT l.purchase_order_line_id, sum(l.accepted_qty) AS quantity
        FROM ret.goods_receipt_line AS l
        WHERE l.business_id = tenant AND l.goods_receipt_id = goods_receipt
          AND l.purchase_order_line_id IS NOT NULL
        GROUP BY l.purchase_order_line_id
        HAVING sum(l.accepted_qty) > 0
    ) AS c
    WHERE o.business_id = tenant AND o.purchase_order_line_id = c.purchase_order_line_id;
    UPDATE ret.purchase_order AS o
    SET state = CASE WHEN EXISTS (
                         SELECT FROM ret.purchase_order_line AS l
                         WHERE l.business_id = tenant
                           AND l.purchase_order_id = o.purchase_order_id
                           AND l.state NOT IN ('received', 'cancelled'))
                     THEN 'partly_received' ELSE 'received' END
    WHERE o.business_id = tenant AND o.state IN ('sent', 'acknowledged', 'partly_received')
      AND EXISTS (
          SELECT FROM ret.goods_receipt_line AS g
          JOIN ret.purchase_order_line AS l
              ON l.business_id = tenant AND l.purchase_order_line_id = g.purchase_order_line_id
          WHERE g.business_id = tenant AND g.goods_receipt_id = goods_receipt
            AND l.purchase_order_id = o.purchase_order_id AND g.accepted_qty > 0);
    UPDATE ret.advance_ship_notice AS a
    SET state = CASE a.state WHEN 'validated' THEN 'arrived' ELSE 'closed' END
    WHERE a.business_id = tenant AND a.advance_ship_notice_id = receipt.advance_ship_notice_id
      AND a.state IN ('validated', 'arrived');
    UPDATE ret.goods_receipt_line AS l
    SET put_away_at = coalesce(l.put_away_at, now())
    WHERE l.business_id = tenant AND l.goods_receipt_id = goods_receipt AND l.accepted_qty > 0;
    UPDATE ret.goods_receipt AS r
    SET state = 'completed', completed_at = greatest(now(), r.started_at),
        total_units = n.units, total_cost = n.cost, has_discrepancy = n.differs
    FROM (
        SELECT sum(l.accepted_qty) AS units,
               round(sum(l.accepted_qty * l.landed_unit_cost), 2) AS cost,
               bool_or(l.discrepancy <> 'none') AS differs
        FROM ret.goods_receipt_line AS l
        WHERE l.business_id = tenant AND l.goods_receipt_id = goods_receipt
    ) AS n
    WHERE r.business_id = tenant AND r.goods_receipt_id = goods_receipt;
    RETURN posted;
END
$$;
COMMENT ON FUNCTION ret.post_receipt(uuid) IS
    'Posts a delivery: accepted goods to lots, serials and the stock ledger at a moving average
     that has the landed costs, damaged ones as damaged; moves order, lines and notice on. Returns
     how many movements it wrote. What differs becomes a chargeback where a criterion says so.';


CREATE VIEW ret.v_receiving_worklist WITH (security_invoker = true) AS
SELECT o.business_id, o.location_id, o.purchase_order_id, o.po_number, o.po_kind, o.state,
       o.supplier_id, s.legal_name AS supplier_name, a.advance_ship_notice_id, a.asn_number,
       a.carrier_name, coalesce(a.carton_count, 0) AS carton_count,
       coalesce(a.pallet_count, 0) AS pallet_count, d.due_on,
       greatest(current_date - d.due_on, 0) AS late_days, n.open_lines, n.open_units,
       g.goods_receipt_id, g.receipt_number, g.state AS receipt_state
FROM ret.purchase_order AS o
JOIN ret.supplier AS s ON s.business_id = o.business_id AND s.supplier_id = o.supplier_id
CROSS JOIN LATERAL (
    SELECT count(*) AS open_lines,
           coalesce(sum(l.ordered_qty - l.received_qty - l.cancelled_qty), 0) AS open_units,
           min(l.promised_on) AS promised_on
    FROM ret.purchase_order_line AS l
    WHERE l.business_id = o.business_id AND l.purchase_order_id = o.purchase_order_id
      AND l.state IN ('open', 'confirmed', 'partly_received')
) AS n
LEFT JOIN LATERAL (
    -- The next truck of the order that is on its way.
    SELECT x.advance_ship_notice_id, x.asn_number, x.carrier_name, x.carton_count,
           x.pallet_count, x.expected_at
    FROM ret.advance_ship_notice AS x
    WHERE x.business_id = o.business_id AND x.purchase_order_id = o.purchase_order_id
      AND x.state IN ('received', 'validated')
    ORDER BY x.expected_at, x.asn_number
    LIMIT 1
) AS a ON true
LEFT JOIN LATERAL (
    SELECT x.goods_receipt_id, x.receipt_number, x.state
    FROM ret.goods_receipt AS x
    WHERE x.business_id = o.business_id AND x.purchase_order_id = o.purchase_order_id
      AND x.state IN ('expected', 'checking', 'put_away')
    ORDER BY x.receipt_number
    LIMIT 1
) AS g ON true
CROSS JOIN LATERAL (
    SELECT coalesce(a.expected_at::date, n.promised_on, o.ship_window_end) AS due_on
) AS d
WHERE o.state IN ('sent', 'acknowledged', 'partly_received') AND o.po_kind <> 'dropship'
  AND n.open_lines > 0;
COMMENT ON VIEW ret.v_receiving_worklist IS
    'What a location expects: the order, the truck that was announced, its cartons, days late,
     lines still open, and the receipt where one is being checked.';
GRANT SELECT ON ret.v_receiving_worklist TO app_user, app_readonly;
