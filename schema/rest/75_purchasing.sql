/*
 * Purchasing: from what is short to what is paid.
 *
 * A vendor sells vendor_items, packs of our inventory items, at dated prices. A purchase_order
 * asks for packs; a goods_receipt notes at the back door what came, how cold it was and what was
 * sent back, and rest.receive_goods() puts the rest on the shelves. A vendor_invoice is matched
 * line by line against what was received and what was agreed before anybody pays it.
 */

CREATE TABLE rest.vendor (
    business_id           uuid              NOT NULL,
    vendor_id             uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    vendor_code           system_core.code  NOT NULL,
    legal_name            text              NOT NULL,
    vendor_kind           text              NOT NULL,
    order_method          text,
    account_number        text,
    gln                   text,
    payment_terms_days    integer           NOT NULL DEFAULT 30,
    minimum_order_amount  system_core.money NOT NULL DEFAULT 0,
    order_cutoff_time     time,
    delivery_weekday_mask smallint          NOT NULL DEFAULT 127,
    lead_days             integer           NOT NULL DEFAULT 1,
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
        CHECK (delivery_weekday_mask BETWEEN 1 AND 127),
    CONSTRAINT vendor_terms_not_negative
        CHECK (payment_terms_days >= 0 AND lead_days >= 0 AND minimum_order_amount >= 0),
    CONSTRAINT vendor_rating_bounded CHECK (rating_score BETWEEN 0 AND 5),
    CONSTRAINT vendor_gln_is_13_digits CHECK (gln ~ '^[0-9]{13}$')
);

COMMENT ON TABLE rest.vendor IS 'Supplier with terms, delivery days and approval.';
COMMENT ON COLUMN rest.vendor.gln IS 'Its global location number.';
COMMENT ON COLUMN rest.vendor.delivery_weekday_mask IS 'Monday is 1, Tuesday 2, Sunday 64.';
COMMENT ON COLUMN rest.vendor.approved_until_on IS
    'The last day of its approval; nothing is ordered after it until it is approved anew.';
COMMENT ON COLUMN rest.vendor.lead_days IS 'From the order to the earliest delivery.';

ALTER TABLE rest.vendor ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.vendor
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.vendor TO app_user;
GRANT SELECT ON rest.vendor TO app_readonly;

CREATE TRIGGER vendor_touch
    BEFORE UPDATE ON rest.vendor
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER vendor_state_machine
    BEFORE INSERT OR UPDATE OF status ON rest.vendor
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["trial", "approved"],
        "transitions": {
            "trial":    ["approved", "on_hold", "ended"],
            "approved": ["on_hold", "ended"],
            "on_hold":  ["approved", "ended"],
            "ended":    []
        }}');


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
    pack_count           integer                NOT NULL DEFAULT 1,
    pack_size            system_core.quantity   NOT NULL DEFAULT 1,
    is_catch_weight      boolean                NOT NULL DEFAULT false,
    stock_qty_per_pack   system_core.quantity   NOT NULL,
    current_price        system_core.money      NOT NULL,
    price_per_stock_unit system_core.unit_price GENERATED ALWAYS AS (
                                                    current_price
                                                    / nullif(stock_qty_per_pack, 0)) STORED,
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
    CONSTRAINT vendor_item_stock_qty_per_pack_positive CHECK (stock_qty_per_pack > 0),
    CONSTRAINT vendor_item_pack_holds_something CHECK (pack_count > 0 AND pack_size > 0),
    CONSTRAINT vendor_item_price_not_negative CHECK (current_price >= 0),
    CONSTRAINT vendor_item_preferred_is_active CHECK (is_active OR NOT is_preferred),
    CONSTRAINT vendor_item_gtin_is_digits CHECK (gtin ~ '^[0-9]{8,14}$')
);

COMMENT ON TABLE rest.vendor_item IS
    'How a vendor sells an item: pack, catch weight and conversion to stock units.';
COMMENT ON COLUMN rest.vendor_item.pack_count IS 'How many of pack_size are in a pack: 6 x 2 l.';
COMMENT ON COLUMN rest.vendor_item.is_catch_weight IS
    'Sold by what it really weighs; each receipt notes it.';
COMMENT ON COLUMN rest.vendor_item.stock_qty_per_pack IS 'What a pack adds to the stock.';

-- One preferred vendor item per inventory item.
CREATE UNIQUE INDEX vendor_item_inventory_item_id_idx
    ON rest.vendor_item (business_id, inventory_item_id)
    WHERE is_preferred;

-- FK: the packs in a unit.
CREATE INDEX vendor_item_pack_unit_idx ON rest.vendor_item (business_id, pack_unit_id);

-- FK: who sells an item.
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
    min_packs            system_core.quantity   NOT NULL DEFAULT 1,
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
    CONSTRAINT vendor_item_price_price_positive CHECK (price > 0),
    CONSTRAINT vendor_item_price_min_packs_positive CHECK (min_packs > 0),
    CONSTRAINT vendor_item_price_ends_after_it_begins CHECK (effective_to >= effective_from),
    CONSTRAINT vendor_item_price_one_a_day EXCLUDE USING gist (
        business_id WITH =, vendor_item_id WITH =, price_kind WITH =, min_packs WITH =,
        daterange(effective_from, effective_to, '[]') WITH &&)
);

COMMENT ON TABLE rest.vendor_item_price IS 'Dated contract or market price of a vendor item.';
COMMENT ON COLUMN rest.vendor_item_price.min_packs IS 'From so many packs on an order line.';
COMMENT ON COLUMN rest.vendor_item_price.change_pct IS 'Against the price before.';
COMMENT ON COLUMN rest.vendor_item_price.effective_to IS
    'The last day; prices of a kind and quantity never overlap.';

ALTER TABLE rest.vendor_item_price ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.vendor_item_price
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.vendor_item_price TO app_user;
GRANT SELECT ON rest.vendor_item_price TO app_readonly;

CREATE TRIGGER vendor_item_price_touch
    BEFORE UPDATE ON rest.vendor_item_price
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.vendor_price(
    sold uuid, packs numeric DEFAULT 1, on_day date DEFAULT current_date
) RETURNS numeric
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce((
        SELECT p.price
        FROM rest.vendor_item_price AS p
        WHERE p.business_id = i.business_id AND p.vendor_item_id = i.vendor_item_id
          AND p.price_kind <> 'bid' AND p.min_packs <= packs AND p.effective_from <= on_day
          AND coalesce(p.effective_to >= on_day, true)
        -- What is agreed stands before what the market says.
        ORDER BY p.price_kind <> 'contract', p.effective_from DESC, p.min_packs DESC, p.price_kind
        LIMIT 1), i.current_price)
    FROM rest.vendor_item AS i
    WHERE i.business_id = tenant_mgmt.current_business_id() AND i.vendor_item_id = sold;
END;
COMMENT ON FUNCTION rest.vendor_price(uuid, numeric, date) IS
    'What a pack costs on a day when so many are ordered: by contract, else by the latest market or
     spot price, else as the vendor item says.';


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
    requested_delivery_on date                 NOT NULL,
    delivered_on          date,
    subtotal              system_core.money    NOT NULL DEFAULT 0,
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
                         'closed', 'cancelled')),
    CONSTRAINT purchase_order_amounts_not_negative
        CHECK (subtotal >= 0 AND tax_total >= 0 AND freight_total >= 0),
    CONSTRAINT purchase_order_submitted_has_time
        CHECK (state IN ('draft', 'cancelled') OR ordered_at IS NOT NULL),
    CONSTRAINT purchase_order_confirmed_after_order CHECK (confirmed_at >= ordered_at),
    CONSTRAINT purchase_order_received_has_day
        CHECK (state <> 'received' OR delivered_on IS NOT NULL)
);

COMMENT ON TABLE rest.purchase_order IS 'An order to a vendor for a site.';
COMMENT ON COLUMN rest.purchase_order.requested_delivery_on IS
    'A day on which the vendor delivers.';
COMMENT ON COLUMN rest.purchase_order.subtotal IS 'The sum of its lines, kept by them.';
COMMENT ON COLUMN rest.purchase_order.state IS
    'received when everything came; closed when nothing more is expected.';

-- FK: what somebody ordered.
CREATE INDEX purchase_order_ordered_by_staff_idx
    ON rest.purchase_order (business_id, ordered_by_staff_id);

-- FK: what somebody approved.
CREATE INDEX purchase_order_approved_by_staff_idx
    ON rest.purchase_order (business_id, approved_by_staff_id)
    WHERE approved_by_staff_id IS NOT NULL;

-- FK: what is on its way to a site.
CREATE INDEX purchase_order_location_idx ON rest.purchase_order (business_id, location_id);

-- FK: the orders to a vendor.
CREATE INDEX purchase_order_vendor_idx ON rest.purchase_order (business_id, vendor_id);

ALTER TABLE rest.purchase_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.purchase_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.purchase_order TO app_user;
GRANT SELECT ON rest.purchase_order TO app_readonly;

CREATE TRIGGER purchase_order_touch
    BEFORE UPDATE ON rest.purchase_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER purchase_order_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.purchase_order
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft"],
        "transitions": {
            "draft":           ["submitted", "cancelled"],
            "submitted":       ["confirmed", "partly_received", "received", "cancelled"],
            "confirmed":       ["partly_received", "received", "cancelled"],
            "partly_received": ["received", "closed"],
            "received":        ["closed"],
            "closed":          [],
            "cancelled":       []
        }}');

CREATE FUNCTION rest.check_purchase_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    seller rest.vendor;
BEGIN
    SELECT v.* INTO seller
    FROM rest.vendor AS v
    WHERE v.business_id = NEW.business_id AND v.vendor_id = NEW.vendor_id;
    IF (seller.delivery_weekday_mask
        >> (extract(isodow FROM NEW.requested_delivery_on)::integer - 1)) & 1 = 0 THEN
        RAISE EXCEPTION 'vendor % does not deliver on a %', seller.vendor_code,
                        to_char(NEW.requested_delivery_on, 'FMDay')
            USING ERRCODE = 'check_violation', HINT = 'Ask for one of its delivery days.';
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.state = 'submitted' AND OLD.state = 'draft' THEN
        IF seller.status NOT IN ('trial', 'approved')
           OR seller.approved_until_on < coalesce(NEW.ordered_at, now())::date THEN
            RAISE EXCEPTION 'nothing is ordered from vendor %, it is % until %',
                            seller.vendor_code, seller.status, seller.approved_until_on
                USING ERRCODE = 'check_violation', HINT = 'Approve it first.';
        ELSIF NEW.subtotal < seller.minimum_order_amount OR NEW.subtotal = 0 THEN
            RAISE EXCEPTION 'vendor % delivers from % up, not for %', seller.vendor_code,
                            seller.minimum_order_amount, NEW.subtotal
                USING ERRCODE = 'check_violation', HINT = 'Add to the order.';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.check_purchase_order() IS
    'Orders ask for a day on which the vendor delivers, and go to approved vendors for as much as
     they deliver for.';

CREATE TRIGGER purchase_order_check
    BEFORE INSERT OR UPDATE OF state, vendor_id, requested_delivery_on ON rest.purchase_order
    FOR EACH ROW EXECUTE FUNCTION rest.check_purchase_order();


CREATE TABLE rest.purchase_order_line (
    business_id            uuid                 NOT NULL,
    purchase_order_line_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    substitute_for_item_id uuid,
    vendor_item_id         uuid                 NOT NULL,
    purchase_order_id      uuid                 NOT NULL,
    line_number            integer              NOT NULL,
    suggested_packs        system_core.quantity,
    ordered_packs          system_core.quantity NOT NULL,
    confirmed_packs        system_core.quantity,
    received_packs         system_core.quantity NOT NULL DEFAULT 0,
    backorder_packs        system_core.quantity NOT NULL DEFAULT 0,
    pack_price             system_core.money    NOT NULL,
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
    CONSTRAINT purchase_order_line_ordered_packs_positive CHECK (ordered_packs > 0),
    CONSTRAINT purchase_order_line_nothing_below_zero
        CHECK (suggested_packs >= 0 AND confirmed_packs >= 0 AND received_packs >= 0
               AND backorder_packs >= 0 AND pack_price >= 0),
    CONSTRAINT purchase_order_line_not_for_itself
        CHECK (substitute_for_item_id <> vendor_item_id)
);

COMMENT ON TABLE rest.purchase_order_line IS
    'Packs of a vendor item ordered, confirmed and received.';
COMMENT ON COLUMN rest.purchase_order_line.substitute_for_item_id IS
    'What was wanted, where the vendor sends something else.';
COMMENT ON COLUMN rest.purchase_order_line.received_packs IS
    'What was accepted of it, in all receipts.';
COMMENT ON COLUMN rest.purchase_order_line.backorder_packs IS 'What the vendor sends later.';

-- FK: what was replaced.
CREATE INDEX purchase_order_line_substitute_for_item_idx
    ON rest.purchase_order_line (business_id, substitute_for_item_id)
    WHERE substitute_for_item_id IS NOT NULL;

-- FK: what is on order of a pack.
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

CREATE TRIGGER purchase_order_line_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.purchase_order_line
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open"],
        "transitions": {
            "open":      ["confirmed", "short", "received", "cancelled"],
            "confirmed": ["short", "received", "cancelled"],
            "short":     ["received", "cancelled"],
            "received":  [],
            "cancelled": []
        }}');

CREATE FUNCTION rest.keep_order_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    head rest.purchase_order;
BEGIN
    IF row_security_active('rest.purchase_order_line') THEN
        SELECT o.* INTO head
        FROM rest.purchase_order AS o
        WHERE o.business_id = coalesce(NEW.business_id, OLD.business_id)
          AND o.purchase_order_id = coalesce(NEW.purchase_order_id, OLD.purchase_order_id)
        FOR NO KEY UPDATE;
        IF head.state <> 'draft' THEN
            RAISE EXCEPTION 'order % is %, its lines stand', head.po_number, head.state
                USING ERRCODE = 'restrict_violation', HINT = 'Write another order.';
        ELSIF TG_OP <> 'DELETE' AND NOT EXISTS (
            SELECT FROM rest.vendor_item AS i
            WHERE i.business_id = NEW.business_id AND i.vendor_item_id = NEW.vendor_item_id
              AND i.vendor_id = head.vendor_id
        ) THEN
            RAISE EXCEPTION 'order % goes to a vendor that does not sell this', head.po_number
                USING ERRCODE = 'check_violation', HINT = 'Ask for an item of its own list.';
        END IF;
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION rest.keep_order_line() IS
    'Orders ask for what their vendor sells; what was sent to a vendor is not rewritten.';

CREATE TRIGGER purchase_order_line_new
    BEFORE INSERT OR DELETE ON rest.purchase_order_line
    FOR EACH ROW EXECUTE FUNCTION rest.keep_order_line();

CREATE TRIGGER purchase_order_line_kept
    BEFORE UPDATE ON rest.purchase_order_line
    FOR EACH ROW WHEN ((NEW.purchase_order_id, NEW.vendor_item_id, NEW.ordered_packs,
                        NEW.pack_price)
                       IS DISTINCT FROM
                       (OLD.purchase_order_id, OLD.vendor_item_id, OLD.ordered_packs,
                        OLD.pack_price))
    EXECUTE FUNCTION rest.keep_order_line();

CREATE FUNCTION rest.add_up_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE rest.purchase_order AS o
    SET subtotal = n.amount
    FROM (
        SELECT c.business_id, c.purchase_order_id, coalesce(sum(l.line_amount), 0) AS amount
        FROM (SELECT DISTINCT x.business_id, x.purchase_order_id FROM changed AS x) AS c
        LEFT JOIN rest.purchase_order_line AS l
            ON l.business_id = c.business_id AND l.purchase_order_id = c.purchase_order_id
           AND l.state <> 'cancelled'
        GROUP BY c.business_id, c.purchase_order_id
    ) AS n
    WHERE o.business_id = n.business_id AND o.purchase_order_id = n.purchase_order_id
      AND o.subtotal <> n.amount;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.add_up_order() IS 'An order is the sum of its lines.';

CREATE TRIGGER purchase_order_line_add_up_on_insert
    AFTER INSERT ON rest.purchase_order_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.add_up_order();

CREATE TRIGGER purchase_order_line_add_up_on_update
    AFTER UPDATE ON rest.purchase_order_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.add_up_order();

CREATE TRIGGER purchase_order_line_add_up_on_delete
    AFTER DELETE ON rest.purchase_order_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.add_up_order();


CREATE TABLE rest.goods_receipt (
    business_id          uuid              NOT NULL,
    goods_receipt_id     uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    received_by_staff_id uuid              NOT NULL,
    vendor_id            uuid              NOT NULL,
    location_id          uuid              NOT NULL,
    purchase_order_id    uuid,
    receipt_number       text              NOT NULL,
    received_at          timestamptz       NOT NULL,
    delivery_note_number text,
    truck_temp_c         numeric(6, 2),
    driver_name          text,
    carton_count         integer           NOT NULL DEFAULT 0,
    condition_ok         boolean           NOT NULL DEFAULT true,
    total_value          system_core.money NOT NULL DEFAULT 0,
    state                text              NOT NULL DEFAULT 'checking',
    note                 text,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, goods_receipt_id),
    UNIQUE (business_id, receipt_number),
    FOREIGN KEY (business_id, received_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, vendor_id) REFERENCES rest.vendor (business_id, vendor_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, purchase_order_id)
        REFERENCES rest.purchase_order (business_id, purchase_order_id),
    CONSTRAINT goods_receipt_state_known
        CHECK (state IN ('checking', 'accepted', 'accepted_with_issues', 'rejected')),
    CONSTRAINT goods_receipt_not_negative CHECK (carton_count >= 0 AND total_value >= 0)
);

COMMENT ON TABLE rest.goods_receipt IS 'A delivery checked at the back door.';
COMMENT ON COLUMN rest.goods_receipt.truck_temp_c IS
    'Measured where anything on the truck is chilled or frozen.';
COMMENT ON COLUMN rest.goods_receipt.total_value IS 'Of what was accepted.';

-- FK: what somebody checked in.
CREATE INDEX goods_receipt_received_by_staff_idx
    ON rest.goods_receipt (business_id, received_by_staff_id);

-- FK: what a vendor delivered.
CREATE INDEX goods_receipt_vendor_idx ON rest.goods_receipt (business_id, vendor_id);

-- FK: what a site received.
CREATE INDEX goods_receipt_location_idx ON rest.goods_receipt (business_id, location_id);

-- FK: what came of an order.
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

CREATE TRIGGER goods_receipt_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.goods_receipt
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["checking"],
        "transitions": {
            "checking":             ["accepted", "accepted_with_issues", "rejected"],
            "accepted":             [],
            "accepted_with_issues": [],
            "rejected":             []
        }}');

CREATE FUNCTION rest.check_receipt() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.truck_temp_c IS NULL AND EXISTS (
        SELECT FROM rest.goods_receipt_line AS l
        JOIN rest.inventory_item AS i
            ON i.business_id = l.business_id AND i.inventory_item_id = l.inventory_item_id
        WHERE l.business_id = NEW.business_id AND l.goods_receipt_id = NEW.goods_receipt_id
          AND i.storage_temp_class IN ('chilled', 'frozen')
    ) THEN
        RAISE EXCEPTION 'receipt % has chilled or frozen food and no temperature of the truck',
                        NEW.receipt_number
            USING ERRCODE = 'check_violation', HINT = 'Measure it before the driver leaves.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.check_receipt() IS
    'Nobody ends the check of a cold delivery without the temperature of the truck.';

CREATE TRIGGER goods_receipt_check
    BEFORE UPDATE OF state, truck_temp_c ON rest.goods_receipt
    FOR EACH ROW WHEN (NEW.state <> 'checking') EXECUTE FUNCTION rest.check_receipt();


CREATE TABLE rest.goods_receipt_line (
    business_id            uuid                   NOT NULL,
    goods_receipt_line_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    reject_reason_id       uuid,
    goods_receipt_id       uuid                   NOT NULL,
    inventory_item_id      uuid                   NOT NULL,
    purchase_order_line_id uuid,
    stock_lot_id           uuid,
    line_number            integer                NOT NULL,
    received_packs         system_core.quantity   NOT NULL,
    accepted_packs         system_core.quantity   NOT NULL,
    rejected_packs         system_core.quantity   NOT NULL DEFAULT 0,
    catch_weight           system_core.quantity,
    stock_qty              system_core.quantity   NOT NULL,
    unit_cost              system_core.unit_price NOT NULL,
    product_temp_c         numeric(6, 2),
    temp_limit_c           numeric(6, 2),
    use_by_on              date,
    traceability_lot_code  system_core.code,
    discrepancy            text                   NOT NULL DEFAULT 'none',
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
    CONSTRAINT goods_receipt_line_packs_add_up
        CHECK (accepted_packs + rejected_packs = received_packs),
    CONSTRAINT goods_receipt_line_warm_is_rejected
        CHECK (coalesce(product_temp_c <= temp_limit_c, true)
               OR (discrepancy = 'warm' AND accepted_packs = 0)),
    CONSTRAINT goods_receipt_line_nothing_below_zero
        CHECK (accepted_packs >= 0 AND rejected_packs >= 0 AND stock_qty >= 0
               AND unit_cost >= 0 AND catch_weight > 0),
    CONSTRAINT goods_receipt_line_accepted_is_stock
        CHECK ((accepted_packs > 0) = (stock_qty > 0)),
    CONSTRAINT goods_receipt_line_rejected_has_reason
        CHECK (rejected_packs = 0 OR discrepancy <> 'none')
);

COMMENT ON TABLE rest.goods_receipt_line IS
    'An item accepted or rejected, with its temperature, use-by and lot code.';
COMMENT ON COLUMN rest.goods_receipt_line.stock_qty IS
    'What was accepted, in the stock unit of the item.';
COMMENT ON COLUMN rest.goods_receipt_line.unit_cost IS 'Of a stock unit, as it was agreed.';
COMMENT ON COLUMN rest.goods_receipt_line.temp_limit_c IS
    'What the house accepts at most; warmer food goes back whole.';
COMMENT ON COLUMN rest.goods_receipt_line.catch_weight IS
    'What the accepted packs weighed, where the pack is sold by weight.';

-- FK: what was sent back for a reason.
CREATE INDEX goods_receipt_line_reject_reason_idx
    ON rest.goods_receipt_line (business_id, reject_reason_id)
    WHERE reject_reason_id IS NOT NULL;

-- FK: when an item came.
CREATE INDEX goods_receipt_line_inventory_item_idx
    ON rest.goods_receipt_line (business_id, inventory_item_id);

-- FK: what came of an ordered line.
CREATE INDEX goods_receipt_line_purchase_order_line_idx
    ON rest.goods_receipt_line (business_id, purchase_order_line_id)
    WHERE purchase_order_line_id IS NOT NULL;

-- FK: the delivery that a lot came with.
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

CREATE FUNCTION rest.keep_receipt_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    head rest.goods_receipt;
BEGIN
    IF row_security_active('rest.goods_receipt_line') THEN
        SELECT g.* INTO head
        FROM rest.goods_receipt AS g
        WHERE g.business_id = coalesce(NEW.business_id, OLD.business_id)
          AND g.goods_receipt_id = coalesce(NEW.goods_receipt_id, OLD.goods_receipt_id)
        FOR NO KEY UPDATE;
        IF head.state <> 'checking' THEN
            RAISE EXCEPTION 'receipt % is %, its lines stand', head.receipt_number, head.state
                USING ERRCODE = 'restrict_violation',
                      HINT = 'What goes back later is a vendor return.';
        ELSIF TG_OP <> 'DELETE' AND NEW.purchase_order_line_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM rest.purchase_order_line AS p
            WHERE p.business_id = NEW.business_id
              AND p.purchase_order_line_id = NEW.purchase_order_line_id
              AND p.purchase_order_id = head.purchase_order_id
        ) THEN
            RAISE EXCEPTION 'receipt % is not of the order of this line', head.receipt_number
                USING ERRCODE = 'check_violation', HINT = 'Write a receipt for that order.';
        END IF;
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION rest.keep_receipt_line() IS
    'Lines are of the order that the delivery answers; what was signed for at the back door is not
     rewritten.';

CREATE TRIGGER goods_receipt_line_kept
    BEFORE INSERT OR UPDATE OR DELETE ON rest.goods_receipt_line
    FOR EACH ROW EXECUTE FUNCTION rest.keep_receipt_line();

CREATE FUNCTION rest.receive_goods(receipt uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    head   rest.goods_receipt;
    part   record;
    lot    uuid;
    booked integer := 0;
BEGIN
    SELECT g.* INTO head
    FROM rest.goods_receipt AS g
    WHERE g.business_id = tenant AND g.goods_receipt_id = receipt
    FOR UPDATE;
    IF NOT FOUND OR head.state <> 'checking' THEN
        RAISE EXCEPTION 'receipt % is %, it is received once',
                        coalesce(head.receipt_number, receipt::text),
                        coalesce(head.state, 'unknown')
            USING ERRCODE = 'check_violation', HINT = 'A receipt is booked while it is checked.';
    END IF;
    PERFORM FROM rest.purchase_order AS o
    WHERE o.business_id = tenant AND o.purchase_order_id = head.purchase_order_id
    FOR UPDATE;
    FOR part IN
        SELECT l.*
        FROM rest.goods_receipt_line AS l
        WHERE l.business_id = tenant AND l.goods_receipt_id = receipt AND l.accepted_packs > 0
        ORDER BY l.inventory_item_id, l.line_number
    LOOP
        lot := rest.receive_stock(
            part.inventory_item_id, rest.home_area(part.inventory_item_id, head.location_id),
            part.stock_qty, part.unit_cost, 'receipt', 'goods_receipt_line',
            part.goods_receipt_line_id, lot => head.receipt_number || '-' || part.line_number,
            use_by => part.use_by_on, trace_code => part.traceability_lot_code,
            happened => head.received_at);
        UPDATE rest.goods_receipt_line AS l
        SET stock_lot_id = lot
        WHERE l.business_id = tenant AND l.goods_receipt_line_id = part.goods_receipt_line_id;
        booked := booked + 1;
    END LOOP;
    UPDATE rest.purchase_order_line AS p
    SET received_packs = p.received_packs + n.packs,
        state = CASE WHEN p.received_packs + n.packs >= p.ordered_packs THEN 'received'
                     ELSE 'short' END
    FROM (
        SELECT l.purchase_order_line_id, sum(l.accepted_packs) AS packs
        FROM rest.goods_receipt_line AS l
        WHERE l.business_id = tenant AND l.goods_receipt_id = receipt
        GROUP BY l.purchase_order_line_id
    ) AS n
    WHERE p.business_id = tenant AND p.purchase_order_line_id = n.purchase_order_line_id;
    UPDATE rest.purchase_order AS o
    SET state = n.state, delivered_on = n.today
    FROM (
        SELECT CASE WHEN bool_and(l.state IN ('received', 'cancelled')) THEN 'received'
                    ELSE 'partly_received' END AS state,
               rest.business_date(head.location_id, head.received_at) AS today
        FROM rest.purchase_order_line AS l
        WHERE l.business_id = tenant AND l.purchase_order_id = head.purchase_order_id
    ) AS n
    WHERE o.business_id = tenant AND o.purchase_order_id = head.purchase_order_id
      AND booked > 0;
    UPDATE rest.goods_receipt AS g
    SET state = n.state, total_value = n.total
    FROM (
        SELECT CASE WHEN booked = 0 THEN 'rejected'
                    WHEN bool_or(l.discrepancy <> 'none') OR NOT head.condition_ok
                    THEN 'accepted_with_issues' ELSE 'accepted' END AS state,
               coalesce(round(sum(l.stock_qty * l.unit_cost), 2), 0) AS total
        FROM rest.goods_receipt_line AS l
        WHERE l.business_id = tenant AND l.goods_receipt_id = receipt
    ) AS n
    WHERE g.business_id = tenant AND g.goods_receipt_id = receipt;
    RETURN booked;
END
$$;
COMMENT ON FUNCTION rest.receive_goods(uuid) IS
    'Ends the check of a delivery: what was accepted goes on the shelves as lots, its order knows
     what came, and the receipt says whether there were issues. Returns the number of lines.';


CREATE TABLE rest.vendor_invoice (
    business_id       uuid                 NOT NULL,
    vendor_invoice_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    document_file_id  uuid,
    vendor_id         uuid                 NOT NULL,
    location_id       uuid                 NOT NULL,
    goods_receipt_id  uuid,
    invoice_number    text                 NOT NULL,
    invoice_kind      text                 NOT NULL,
    invoice_date      date                 NOT NULL,
    due_date          date                 NOT NULL,
    subtotal          system_core.money    NOT NULL DEFAULT 0,
    tax_total         system_core.money    NOT NULL DEFAULT 0,
    freight_total     system_core.money    NOT NULL DEFAULT 0,
    grand_total       system_core.money    GENERATED ALWAYS AS (
                                               subtotal + tax_total + freight_total) STORED,
    currency          system_core.currency,
    variance_total    system_core.money    NOT NULL DEFAULT 0,
    match_state       text                 NOT NULL DEFAULT 'unmatched',
    variance_limit    system_core.money    NOT NULL DEFAULT 0,
    approval_reason   text,
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
    CONSTRAINT vendor_invoice_due_after_its_date CHECK (due_date >= invoice_date),
    CONSTRAINT vendor_invoice_approved_agrees_or_is_reasoned
        CHECK (match_state <> 'approved' OR abs(variance_total) <= variance_limit
               OR coalesce(approval_reason, '') <> ''),
    CONSTRAINT vendor_invoice_paid_was_approved
        CHECK (paid_on IS NULL OR match_state = 'approved'),
    CONSTRAINT vendor_invoice_limit_not_negative CHECK (variance_limit >= 0),
    CONSTRAINT vendor_invoice_confidence_bounded CHECK (ocr_confidence BETWEEN 0 AND 1)
);

COMMENT ON TABLE rest.vendor_invoice IS 'Invoice or credit memo with its match state.';
COMMENT ON COLUMN rest.vendor_invoice.variance_total IS
    'What was billed beyond what was received at agreed prices; the sum of its lines.';
COMMENT ON COLUMN rest.vendor_invoice.variance_limit IS
    'How far it may be off and still be paid without a reason.';
COMMENT ON COLUMN rest.vendor_invoice.approval_reason IS 'Why more was paid than agreed.';
COMMENT ON COLUMN rest.vendor_invoice.ocr_confidence IS 'Of the reading of its document, 0 to 1.';

-- FK: the invoice in a document.
CREATE INDEX vendor_invoice_document_file_idx
    ON rest.vendor_invoice (business_id, document_file_id)
    WHERE document_file_id IS NOT NULL;

-- FK: what a site was billed.
CREATE INDEX vendor_invoice_location_idx ON rest.vendor_invoice (business_id, location_id);

-- FK: what a delivery was billed.
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

CREATE TRIGGER vendor_invoice_state_machine
    BEFORE INSERT OR UPDATE OF match_state ON rest.vendor_invoice
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('match_state', '{
        "initial": ["unmatched"],
        "transitions": {
            "unmatched":      ["matched", "price_variance", "qty_variance", "disputed"],
            "matched":        ["price_variance", "qty_variance", "approved", "disputed"],
            "price_variance": ["matched", "qty_variance", "approved", "disputed"],
            "qty_variance":   ["matched", "price_variance", "approved", "disputed"],
            "disputed":       ["matched", "price_variance", "qty_variance", "approved"],
            "approved":       []
        }}');


CREATE TABLE rest.vendor_invoice_line (
    business_id            uuid                 NOT NULL,
    vendor_invoice_line_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    vendor_invoice_id      uuid                 NOT NULL,
    goods_receipt_line_id  uuid,
    vendor_item_id         uuid,
    inventory_category_id  uuid,
    line_number            integer              NOT NULL,
    description            text                 NOT NULL,
    billed_packs           system_core.quantity NOT NULL,
    billed_price           system_core.money    NOT NULL,
    catch_weight           system_core.quantity,
    line_amount            system_core.money    GENERATED ALWAYS AS (
                                                    coalesce(catch_weight, billed_packs)
                                                    * billed_price) STORED,
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
                               'not_received')),
    CONSTRAINT vendor_invoice_line_billed_not_negative
        CHECK (billed_packs >= 0 AND billed_price >= 0 AND catch_weight > 0)
);

COMMENT ON TABLE rest.vendor_invoice_line IS 'Billed against received quantity and agreed price.';
COMMENT ON COLUMN rest.vendor_invoice_line.catch_weight IS
    'The billed weight where the pack is sold by weight; billed_price is then that of a unit.';
COMMENT ON COLUMN rest.vendor_invoice_line.expected_amount IS
    'Of what was accepted, at the price that was agreed.';
COMMENT ON COLUMN rest.vendor_invoice_line.price_variance IS
    'What it is dearer than agreed, for all that was billed.';
COMMENT ON COLUMN rest.vendor_invoice_line.qty_variance IS 'Packs billed and not accepted.';

-- FK: what a received line was billed; an invoice bills it once.
CREATE UNIQUE INDEX vendor_invoice_line_goods_receipt_line_idx
    ON rest.vendor_invoice_line (business_id, goods_receipt_line_id, vendor_invoice_id)
    WHERE goods_receipt_line_id IS NOT NULL;

-- FK: what a pack was billed.
CREATE INDEX vendor_invoice_line_vendor_item_idx
    ON rest.vendor_invoice_line (business_id, vendor_item_id)
    WHERE vendor_item_id IS NOT NULL;

-- FK: the spending of a category.
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

CREATE FUNCTION rest.keep_invoice_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    head rest.vendor_invoice;
BEGIN
    IF row_security_active('rest.vendor_invoice_line') THEN
        SELECT v.* INTO head
        FROM rest.vendor_invoice AS v
        WHERE v.business_id = coalesce(NEW.business_id, OLD.business_id)
          AND v.vendor_invoice_id = coalesce(NEW.vendor_invoice_id, OLD.vendor_invoice_id)
        FOR NO KEY UPDATE;
        IF head.match_state = 'approved' THEN
            RAISE EXCEPTION 'invoice % is approved, its lines stand', head.invoice_number
                USING ERRCODE = 'restrict_violation', HINT = 'Ask for a credit memo.';
        END IF;
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION rest.keep_invoice_line() IS 'What was approved is what is paid.';

CREATE TRIGGER vendor_invoice_line_kept
    BEFORE INSERT OR UPDATE OR DELETE ON rest.vendor_invoice_line
    FOR EACH ROW EXECUTE FUNCTION rest.keep_invoice_line();


CREATE FUNCTION rest.match_invoice(invoice uuid) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    head   rest.vendor_invoice;
    result text;
BEGIN
    SELECT v.* INTO head
    FROM rest.vendor_invoice AS v
    WHERE v.business_id = tenant AND v.vendor_invoice_id = invoice
    FOR UPDATE;
    IF NOT FOUND OR head.match_state = 'approved' THEN
        RAISE EXCEPTION 'invoice % is %, it is not matched',
                        coalesce(head.invoice_number, invoice::text),
                        coalesce(head.match_state, 'unknown')
            USING ERRCODE = 'check_violation', HINT = 'Match an invoice before it is approved.';
    END IF;
    -- Two invoices that bill the same delivery are matched one after the other.
    PERFORM FROM rest.goods_receipt_line AS r
    WHERE r.business_id = tenant AND r.goods_receipt_line_id IN (
        SELECT l.goods_receipt_line_id
        FROM rest.vendor_invoice_line AS l
        WHERE l.business_id = tenant AND l.vendor_invoice_id = invoice)
    ORDER BY r.goods_receipt_line_id
    FOR NO KEY UPDATE;
    UPDATE rest.vendor_invoice_line AS l
    SET expected_amount = round(n.packs * n.agreed, 2),
        price_variance = round(l.line_amount - l.billed_packs * n.agreed, 2),
        qty_variance = l.billed_packs - n.packs,
        match_state = CASE WHEN l.goods_receipt_line_id IS NULL OR n.packs = 0
                           THEN 'not_received'
                           WHEN l.billed_packs <> n.packs THEN 'qty_variance'
                           WHEN abs(l.line_amount - l.billed_packs * n.agreed) > 0.01
                           THEN 'price_variance' ELSE 'matched' END
    FROM (
        -- The order says what was agreed; without one, the cost that was noted at receipt does.
        SELECT x.vendor_invoice_line_id,
               -- What was billed already is not owed again; a credit is for what was too much.
               greatest(CASE head.invoice_kind
                        WHEN 'invoice' THEN coalesce(r.accepted_packs, 0) - b.packs
                        ELSE b.packs - coalesce(r.accepted_packs, 0) END, 0) AS packs,
               coalesce(CASE WHEN i.is_catch_weight THEN NULL ELSE o.pack_price END,
                        r.stock_qty * r.unit_cost / nullif(r.accepted_packs, 0),
                        x.billed_price) AS agreed
        FROM rest.vendor_invoice_line AS x
        LEFT JOIN rest.goods_receipt_line AS r
            ON r.business_id = x.business_id
           AND r.goods_receipt_line_id = x.goods_receipt_line_id
        LEFT JOIN rest.purchase_order_line AS o
            ON o.business_id = x.business_id
           AND o.purchase_order_line_id = r.purchase_order_line_id
        LEFT JOIN rest.vendor_item AS i
            ON i.business_id = x.business_id AND i.vendor_item_id = x.vendor_item_id
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(CASE v.invoice_kind WHEN 'invoice' THEN z.billed_packs
                                                    ELSE -z.billed_packs END), 0) AS packs
            FROM rest.vendor_invoice_line AS z
            JOIN rest.vendor_invoice AS v
                ON v.business_id = z.business_id AND v.vendor_invoice_id = z.vendor_invoice_id
            WHERE z.business_id = x.business_id
              AND z.goods_receipt_line_id = x.goods_receipt_line_id
              AND z.vendor_invoice_id <> invoice
              AND v.match_state NOT IN ('unmatched', 'disputed')
        ) AS b
        WHERE x.business_id = tenant AND x.vendor_invoice_id = invoice
    ) AS n
    WHERE l.business_id = tenant AND l.vendor_invoice_line_id = n.vendor_invoice_line_id;
    UPDATE rest.vendor_invoice AS v
    SET subtotal = n.billed, variance_total = n.billed - n.expected,
        match_state = CASE WHEN n.lines = 0 THEN v.match_state
                           WHEN n.quantities > 0 THEN 'qty_variance'
                           WHEN n.prices > 0 THEN 'price_variance' ELSE 'matched' END
    FROM (
        SELECT count(*) AS lines, coalesce(sum(l.line_amount), 0) AS billed,
               coalesce(sum(l.expected_amount), 0) AS expected,
               count(*) FILTER (WHERE l.match_state IN ('qty_variance', 'not_received'))
                   AS quantities,
               count(*) FILTER (WHERE l.match_state = 'price_variance') AS prices
        FROM rest.vendor_invoice_line AS l
        WHERE l.business_id = tenant AND l.vendor_invoice_id = invoice
    ) AS n
    WHERE v.business_id = tenant AND v.vendor_invoice_id = invoice
    RETURNING v.match_state INTO result;
    RETURN result;
END
$$;
COMMENT ON FUNCTION rest.match_invoice(uuid) IS
    'The three-way match: each billed line against the packs that were accepted, less what other
     invoices billed of them, and the price of the order; a quantity that is off outranks a price.
     A credit memo is held against what was billed and not accepted. Returns the state of the
     invoice.';


CREATE VIEW rest.v_stock_below_par
    WITH (security_invoker = true) AS
SELECT n.business_id, n.location_id, n.inventory_item_id, n.item_code, n.display_name,
       n.reorder_mode, n.on_hand_qty, n.on_order_qty, n.trigger_qty, n.target_qty,
       n.target_qty - n.on_hand_qty - n.on_order_qty AS missing_qty,
       p.vendor_id, p.vendor_item_id, p.vendor_sku, p.stock_qty_per_pack, p.current_price,
       ceil((n.target_qty - n.on_hand_qty - n.on_order_qty) / p.stock_qty_per_pack)
           AS suggested_packs
FROM (
    SELECT v.business_id, a.location_id, v.inventory_item_id, i.item_code, i.display_name,
           i.reorder_mode, sum(v.on_hand_qty - v.reserved_qty) AS on_hand_qty,
           coalesce((
               SELECT sum((coalesce(l.confirmed_packs, l.ordered_packs) - l.received_packs)
                          * s.stock_qty_per_pack)
               FROM rest.vendor_item AS s
               JOIN rest.purchase_order_line AS l
                   ON l.business_id = s.business_id AND l.vendor_item_id = s.vendor_item_id
                  AND l.state IN ('open', 'confirmed')
               JOIN rest.purchase_order AS o
                   ON o.business_id = l.business_id
                  AND o.purchase_order_id = l.purchase_order_id
                  AND o.state IN ('submitted', 'confirmed', 'partly_received')
               WHERE s.business_id = v.business_id
                 AND s.inventory_item_id = v.inventory_item_id
                 AND o.location_id = a.location_id), 0) AS on_order_qty,
           sum(CASE i.reorder_mode WHEN 'par' THEN v.par_qty ELSE v.min_qty END) AS trigger_qty,
           sum(CASE i.reorder_mode WHEN 'par' THEN v.par_qty
                                   ELSE coalesce(v.max_qty, v.min_qty) END) AS target_qty
    FROM rest.stock_level AS v
    JOIN rest.storage_area AS a
        ON a.business_id = v.business_id AND a.storage_area_id = v.storage_area_id
    JOIN rest.inventory_item AS i
        ON i.business_id = v.business_id AND i.inventory_item_id = v.inventory_item_id
       AND i.is_active AND i.reorder_mode <> 'none'
    WHERE v.business_id = tenant_mgmt.current_business_id()
    GROUP BY v.business_id, a.location_id, v.inventory_item_id, i.item_code, i.display_name,
             i.reorder_mode
) AS n
LEFT JOIN rest.vendor_item AS p
    ON p.business_id = n.business_id AND p.inventory_item_id = n.inventory_item_id
   AND p.is_preferred
WHERE n.on_hand_qty + n.on_order_qty < n.trigger_qty;
COMMENT ON VIEW rest.v_stock_below_par IS
    'What a site has less of, with what is on its way, than its par or least quantity, and the
     packs of the preferred vendor that would fill it up: the order suggestion.';
GRANT SELECT ON rest.v_stock_below_par TO app_user, app_readonly;
