/*
 * Inventory: what lies where, in what state, of which lot, and why.
 *
 * stock_movement is the ledger: append only, each row moves a quantity of a variant at a location
 * from one state to another; none is outside. Nobody writes stock_level: the ledger's trigger
 * carries every movement into it, numbers it within its level and notes the balance that it left.
 * ret.stock_differences() adds the ledger up again: no row proves every level, lot and balance.
 *
 *   none -> incoming -> available -> reserved -> committed -> none
 *   (on order or way)  (sellable)   (cart)      (order)      (sold, sent, gone)
 *
 * On hand is what is available, reserved, committed, damaged or on quality hold. Whoever posts
 * inserts into stock_movement, several rows in the order of location_id, product_variant_id, and
 * leaves the rest to the ledger; lots and serial units follow too. Documents post themselves: an
 * adjustment when it is posted, a transfer when it is shipped and when its lines are received.
 */

CREATE TABLE ret.stock_level (
    business_id              uuid                   NOT NULL,
    stock_level_id           uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    location_id              uuid                   NOT NULL,
    product_variant_id       uuid                   NOT NULL,
    consignment_agreement_id uuid,
    on_hand_qty              system_core.quantity   NOT NULL DEFAULT 0,
    available_qty            system_core.quantity   GENERATED ALWAYS AS (
                                                        on_hand_qty - committed_qty - reserved_qty
                                                        - damaged_qty - quality_hold_qty -
                                                        safety_stock_qty) STORED,
    committed_qty            system_core.quantity   NOT NULL DEFAULT 0,
    reserved_qty             system_core.quantity   NOT NULL DEFAULT 0,
    incoming_qty             system_core.quantity   NOT NULL DEFAULT 0,
    damaged_qty              system_core.quantity   NOT NULL DEFAULT 0,
    quality_hold_qty         system_core.quantity   NOT NULL DEFAULT 0,
    safety_stock_qty         system_core.quantity   NOT NULL DEFAULT 0,
    average_cost             system_core.unit_price NOT NULL DEFAULT 0,
    last_counted_at          timestamptz,
    last_sold_at             timestamptz,
    last_received_at         timestamptz,
    version_no               integer                NOT NULL DEFAULT 0,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_level_id),
    UNIQUE NULLS NOT DISTINCT (business_id, location_id, product_variant_id,
            consignment_agreement_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, consignment_agreement_id)
        REFERENCES ret.consignment_agreement (business_id, consignment_agreement_id),
    CONSTRAINT stock_level_committed_not_negative CHECK (committed_qty >= 0),
    CONSTRAINT stock_level_reserved_not_negative CHECK (reserved_qty >= 0),
    CONSTRAINT stock_level_incoming_not_negative CHECK (incoming_qty >= 0),
    CONSTRAINT stock_level_damaged_not_negative CHECK (damaged_qty >= 0),
    CONSTRAINT stock_level_quality_hold_not_negative CHECK (quality_hold_qty >= 0),
    CONSTRAINT stock_level_safety_stock_not_negative CHECK (safety_stock_qty >= 0),
    CONSTRAINT stock_level_average_cost_not_negative CHECK (average_cost >= 0),
    CONSTRAINT stock_level_version_not_negative CHECK (version_no >= 0)
);

COMMENT ON TABLE ret.stock_level IS
    'Quantities of a variant at a location by state, the number every channel asks for.';
COMMENT ON COLUMN ret.stock_level.consignment_agreement_id IS
    'Whose goods they are until they are sold; NULL where they are the retailer''s own.';
COMMENT ON COLUMN ret.stock_level.on_hand_qty IS
    'What lies there in any state. Below zero only where a register sold offline what was not yet
     booked in.';
COMMENT ON COLUMN ret.stock_level.available_qty IS
    'What may be promised: on hand, less what is promised, unsellable or kept back.';
COMMENT ON COLUMN ret.stock_level.committed_qty IS
    'Part of on hand: sold to orders, not yet gone.';
COMMENT ON COLUMN ret.stock_level.reserved_qty IS 'Part of on hand: held for carts.';
COMMENT ON COLUMN ret.stock_level.incoming_qty IS 'On its way, not yet on hand.';
COMMENT ON COLUMN ret.stock_level.safety_stock_qty IS
    'Kept back from promises; a shopper who has it in his hands still buys it.';
COMMENT ON COLUMN ret.stock_level.average_cost IS
    'Moving average of what came in; what goes out leaves it.';
COMMENT ON COLUMN ret.stock_level.version_no IS
    'How many movements made it what it is: the ledger_no of the last of them.';

-- FK and stock_across_locations: where a variant is, with what may be promised of it.
CREATE INDEX stock_level_product_variant_idx
    ON ret.stock_level (business_id, product_variant_id) INCLUDE (location_id, available_qty);

-- FK: the stock levels of a consignment agreement.
CREATE INDEX stock_level_consignment_agreement_idx
    ON ret.stock_level (business_id, consignment_agreement_id)
    WHERE consignment_agreement_id IS NOT NULL;

ALTER TABLE ret.stock_level ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_level
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.stock_level TO app_user;
GRANT SELECT ON ret.stock_level TO app_readonly;

CREATE TRIGGER stock_level_touch
    BEFORE UPDATE ON ret.stock_level
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.refuse_stock_by_hand() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 AND row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'stock follows the ledger, nobody writes it'
            USING ERRCODE = 'restrict_violation', HINT = 'Insert into ret.stock_movement.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION ret.refuse_stock_by_hand() IS
    'Quantities of levels and lots are written by the ledger''s trigger alone.';

CREATE TRIGGER stock_level_starts_empty
    BEFORE INSERT ON ret.stock_level
    FOR EACH ROW WHEN ((NEW.on_hand_qty, NEW.committed_qty, NEW.reserved_qty, NEW.incoming_qty,
                        NEW.damaged_qty, NEW.quality_hold_qty)
                       IS DISTINCT FROM (0, 0, 0, 0, 0, 0))
    EXECUTE FUNCTION ret.refuse_stock_by_hand();

CREATE FUNCTION ret.start_level() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.version_no := 0;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.start_level() IS 'No movement has made a new level what it is.';

CREATE TRIGGER stock_level_version_starts
    BEFORE INSERT ON ret.stock_level
    FOR EACH ROW WHEN (NEW.version_no <> 0)
    EXECUTE FUNCTION ret.start_level();

CREATE TRIGGER stock_level_follows
    BEFORE UPDATE ON ret.stock_level
    FOR EACH ROW WHEN ((NEW.on_hand_qty, NEW.committed_qty, NEW.reserved_qty, NEW.incoming_qty,
                        NEW.damaged_qty, NEW.quality_hold_qty, NEW.version_no, NEW.location_id,
                        NEW.product_variant_id, NEW.consignment_agreement_id)
                       IS DISTINCT FROM
                       (OLD.on_hand_qty, OLD.committed_qty, OLD.reserved_qty, OLD.incoming_qty,
                        OLD.damaged_qty, OLD.quality_hold_qty, OLD.version_no, OLD.location_id,
                        OLD.product_variant_id, OLD.consignment_agreement_id))
    EXECUTE FUNCTION ret.refuse_stock_by_hand();

CREATE TRIGGER stock_level_stays
    BEFORE DELETE ON ret.stock_level
    FOR EACH ROW WHEN (OLD.version_no > 0)
    EXECUTE FUNCTION ret.refuse_stock_by_hand();


CREATE TABLE ret.stock_lot (
    business_id        uuid                   NOT NULL,
    stock_lot_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    product_variant_id uuid                   NOT NULL,
    location_id        uuid                   NOT NULL,
    supplier_id        uuid,
    lot_number         text                   NOT NULL,
    manufactured_on    date,
    expires_on         date,
    best_before_on     date,
    received_on        date                   NOT NULL,
    initial_qty        system_core.quantity   NOT NULL DEFAULT 0,
    remaining_qty      system_core.quantity   NOT NULL DEFAULT 0,
    unit_cost          system_core.unit_price,
    status             text                   NOT NULL DEFAULT 'available',
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_lot_id),
    UNIQUE (business_id, product_variant_id, location_id, lot_number),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    CONSTRAINT stock_lot_status_known
        CHECK (status IN ('available', 'on_hold', 'quarantined', 'recalled', 'expired',
                          'depleted')),
    CONSTRAINT stock_lot_remaining_bounded CHECK (remaining_qty BETWEEN 0 AND initial_qty),
    CONSTRAINT stock_lot_expires_after_made CHECK (expires_on > manufactured_on),
    CONSTRAINT stock_lot_best_before_it_expires CHECK (best_before_on <= expires_on),
    CONSTRAINT stock_lot_received_after_made CHECK (received_on >= manufactured_on),
    CONSTRAINT stock_lot_cost_not_negative CHECK (unit_cost >= 0),
    CONSTRAINT stock_lot_depleted_is_empty CHECK (status <> 'depleted' OR remaining_qty = 0)
);

COMMENT ON TABLE ret.stock_lot IS
    'A lot with expiry and status, for tracked goods; what is left goes first expired, first out.';
COMMENT ON COLUMN ret.stock_lot.initial_qty IS
    'What came in under it. A lot starts empty: the ledger fills it and takes from it.';

-- FK and first expired, first out: what is left of a variant at a location.
CREATE INDEX stock_lot_location_idx
    ON ret.stock_lot (business_id, location_id, product_variant_id, expires_on);

-- FK: the stock lots of a supplier.
CREATE INDEX stock_lot_supplier_idx
    ON ret.stock_lot (business_id, supplier_id)
    WHERE supplier_id IS NOT NULL;

ALTER TABLE ret.stock_lot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_lot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.stock_lot TO app_user;
GRANT SELECT ON ret.stock_lot TO app_readonly;

CREATE TRIGGER stock_lot_touch
    BEFORE UPDATE ON ret.stock_lot
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER stock_lot_starts_empty
    BEFORE INSERT ON ret.stock_lot
    FOR EACH ROW WHEN (NEW.initial_qty <> 0 OR NEW.remaining_qty <> 0)
    EXECUTE FUNCTION ret.refuse_stock_by_hand();

CREATE TRIGGER stock_lot_follows
    BEFORE UPDATE ON ret.stock_lot
    FOR EACH ROW WHEN (NEW.initial_qty <> OLD.initial_qty
                       OR NEW.remaining_qty <> OLD.remaining_qty)
    EXECUTE FUNCTION ret.refuse_stock_by_hand();

CREATE TRIGGER stock_lot_status_machine
    BEFORE INSERT OR UPDATE OF status ON ret.stock_lot
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["available", "on_hold", "quarantined"],
        "transitions": {
            "available":   ["on_hold", "quarantined", "recalled", "expired", "depleted"],
            "on_hold":     ["available", "quarantined", "recalled", "expired", "depleted"],
            "quarantined": ["available", "recalled", "expired", "depleted"],
            "recalled":    ["depleted"],
            "expired":     ["depleted"],
            "depleted":    ["available", "on_hold", "quarantined"]
        }}');


CREATE TABLE ret.serial_unit (
    business_id          uuid                   NOT NULL,
    serial_unit_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    product_variant_id   uuid                   NOT NULL,
    location_id          uuid,
    stock_lot_id         uuid,
    serial_number        text                   NOT NULL,
    imei                 text,
    state                text                   NOT NULL DEFAULT 'in_stock',
    received_at          timestamptz            NOT NULL,
    sold_at              timestamptz,
    warranty_months      integer,
    warranty_ends_on     date,
    unit_cost            system_core.unit_price,
    activation_code_hash text,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, serial_unit_id),
    UNIQUE (business_id, product_variant_id, serial_number),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    CONSTRAINT serial_unit_state_known
        CHECK (state IN ('in_stock', 'reserved', 'in_transit', 'sold', 'returned', 'defective',
                         'lost', 'scrapped')),
    CONSTRAINT serial_unit_sold_has_time CHECK (state <> 'sold' OR sold_at IS NOT NULL),
    CONSTRAINT serial_unit_sold_after_receipt CHECK (sold_at >= received_at),
    CONSTRAINT serial_unit_gone_lies_nowhere
        CHECK (state NOT IN ('sold', 'lost', 'scrapped') OR location_id IS NULL),
    CONSTRAINT serial_unit_in_stock_lies_somewhere
        CHECK (state NOT IN ('in_stock', 'reserved') OR location_id IS NOT NULL),
    CONSTRAINT serial_unit_warranty_runs_from_sale
        CHECK (warranty_ends_on = ((sold_at AT TIME ZONE 'UTC')::date
                                   + make_interval(months => warranty_months))::date),
    CONSTRAINT serial_unit_warranty_not_negative CHECK (warranty_months >= 0),
    CONSTRAINT serial_unit_imei_is_15_digits CHECK (imei ~ '^[0-9]{15}$'),
    CONSTRAINT serial_unit_cost_not_negative CHECK (unit_cost >= 0)
);

COMMENT ON TABLE ret.serial_unit IS
    'One serialized unit from receipt to sale, return and warranty.';
COMMENT ON COLUMN ret.serial_unit.location_id IS
    'NULL once sold, lost or scrapped, and on the way.';
COMMENT ON COLUMN ret.serial_unit.activation_code_hash IS
    'Hash of the code that activates it at the till; never the code.';

-- FK: the serial units of a location.
CREATE INDEX serial_unit_location_idx
    ON ret.serial_unit (business_id, location_id)
    WHERE location_id IS NOT NULL;

-- FK: the serial units of a stock lot.
CREATE INDEX serial_unit_stock_lot_idx
    ON ret.serial_unit (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

ALTER TABLE ret.serial_unit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.serial_unit
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.serial_unit TO app_user;
GRANT SELECT ON ret.serial_unit TO app_readonly;

CREATE TRIGGER serial_unit_touch
    BEFORE UPDATE ON ret.serial_unit
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER serial_unit_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.serial_unit
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["in_stock", "in_transit"],
        "transitions": {
            "in_stock":   ["reserved", "in_transit", "sold", "defective", "lost", "scrapped"],
            "reserved":   ["in_stock", "in_transit", "sold", "defective", "lost"],
            "in_transit": ["in_stock", "defective", "lost"],
            "sold":       ["returned"],
            "returned":   ["in_stock", "in_transit", "defective", "lost", "scrapped"],
            "defective":  ["in_stock", "in_transit", "lost", "scrapped"],
            "lost":       ["in_stock"],
            "scrapped":   []
        }}');

CREATE FUNCTION ret.start_warranty() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.warranty_ends_on := (NEW.sold_at AT TIME ZONE 'UTC')::date
                            + make_interval(months => NEW.warranty_months);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.start_warranty() IS
    'The warranty of a unit runs from the day it was sold.';

CREATE TRIGGER serial_unit_warranty
    BEFORE INSERT OR UPDATE OF sold_at, warranty_months ON ret.serial_unit
    FOR EACH ROW EXECUTE FUNCTION ret.start_warranty();


CREATE TABLE ret.stock_movement (
    business_id              uuid                   NOT NULL,
    stock_movement_id        uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    product_variant_id       uuid                   NOT NULL,
    location_id              uuid                   NOT NULL,
    stock_lot_id             uuid,
    bin_location_id          uuid,
    consignment_agreement_id uuid,
    reverses_movement_id     uuid,
    occurred_at              timestamptz            NOT NULL DEFAULT now(),
    movement_kind            text                   NOT NULL,
    from_state               text                   NOT NULL DEFAULT 'none',
    to_state                 text                   NOT NULL DEFAULT 'none',
    quantity                 system_core.quantity   NOT NULL,
    unit_cost                system_core.unit_price NOT NULL,
    -- No domain: PostgreSQL 17.12 takes a trigger's row for another type where one is generated.
    value_amount             numeric(14,2)          GENERATED ALWAYS AS (
                                                        quantity * unit_cost) STORED,
    balance_after            system_core.quantity   NOT NULL,
    ledger_no                integer                NOT NULL,
    source_kind              text                   NOT NULL,
    source_id                uuid,
    serial_number            text,
    is_reversal              boolean                NOT NULL DEFAULT false,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_movement_id, occurred_at),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    FOREIGN KEY (business_id, bin_location_id)
        REFERENCES ret.bin_location (business_id, bin_location_id),
    FOREIGN KEY (business_id, consignment_agreement_id)
        REFERENCES ret.consignment_agreement (business_id, consignment_agreement_id),
    CONSTRAINT stock_movement_kind_known
        CHECK (movement_kind IN ('receipt', 'sale', 'return', 'transfer_out', 'transfer_in',
                                 'adjustment', 'count', 'damage', 'rtv', 'assembly',
                                 'disassembly', 'consignment_in', 'write_off')),
    CONSTRAINT stock_movement_from_state_known
        CHECK (from_state IN ('none', 'available', 'committed', 'reserved', 'incoming',
                              'damaged', 'quality_hold')),
    CONSTRAINT stock_movement_to_state_known
        CHECK (to_state IN ('none', 'available', 'committed', 'reserved', 'incoming', 'damaged',
                            'quality_hold')),
    CONSTRAINT stock_movement_source_kind_known
        CHECK (source_kind IN ('sale', 'return', 'receipt', 'transfer', 'adjustment', 'count',
                               'shipment', 'assembly')),
    CONSTRAINT stock_movement_quantity_positive CHECK (quantity > 0),
    CONSTRAINT stock_movement_changes_state CHECK (from_state <> to_state),
    CONSTRAINT stock_movement_of_one_unit CHECK (serial_number IS NULL OR quantity = 1),
    CONSTRAINT stock_movement_cost_not_negative CHECK (unit_cost >= 0),
    CONSTRAINT stock_movement_ledger_no_positive CHECK (ledger_no > 0),
    CONSTRAINT stock_movement_reversal_says_so
        CHECK (reverses_movement_id IS NULL OR is_reversal),
    CONSTRAINT stock_movement_direction_of_kind CHECK (is_reversal OR CASE
        WHEN movement_kind IN ('receipt', 'return', 'transfer_in', 'consignment_in')
            THEN to_state <> 'none' OR from_state = 'incoming'
        WHEN movement_kind IN ('sale', 'transfer_out', 'rtv', 'write_off')
            THEN from_state <> 'none'
        WHEN movement_kind = 'damage' THEN to_state = 'damaged'
        ELSE true END)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE ret.stock_movement IS
    'Ledger of every change of state or place of stock, with cost; append only. What was wrong is
     reversed by another row.';
COMMENT ON COLUMN ret.stock_movement.from_state IS 'none where it comes from outside.';
COMMENT ON COLUMN ret.stock_movement.to_state IS 'none where it leaves the location.';
COMMENT ON COLUMN ret.stock_movement.unit_cost IS
    'What a unit was worth when it moved; the average of its level where nobody says.';
COMMENT ON COLUMN ret.stock_movement.balance_after IS
    'On hand of the level after it, written by the ledger in the order of ledger_no.';
COMMENT ON COLUMN ret.stock_movement.ledger_no IS
    'Its number among the movements of its level, without gaps, in the order of posting; it may
     have occurred before others that were posted earlier.';
COMMENT ON COLUMN ret.stock_movement.source_id IS
    'Key of the document that it came from; NULL for stock that was there when the books opened.';
COMMENT ON COLUMN ret.stock_movement.reverses_movement_id IS 'The movement that it takes back.';

-- FK: the movements of a variant.
CREATE INDEX stock_movement_product_variant_idx
    ON ret.stock_movement (business_id, product_variant_id);

-- FK, v_stock_position and the proof: the movements of a level in their order.
CREATE INDEX stock_movement_location_idx
    ON ret.stock_movement (business_id, location_id, product_variant_id, occurred_at);

-- What a document moved.
CREATE INDEX stock_movement_source_idx
    ON ret.stock_movement (business_id, source_id)
    WHERE source_id IS NOT NULL;

-- Whether a movement was taken back.
CREATE INDEX stock_movement_reverses_idx
    ON ret.stock_movement (business_id, reverses_movement_id)
    WHERE reverses_movement_id IS NOT NULL;

-- FK: the movements of goods on consignment.
CREATE INDEX stock_movement_consignment_agreement_idx
    ON ret.stock_movement (business_id, consignment_agreement_id)
    WHERE consignment_agreement_id IS NOT NULL;

-- FK: the stock movements of a stock lot.
CREATE INDEX stock_movement_stock_lot_idx
    ON ret.stock_movement (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

-- FK: the stock movements of a bin location.
CREATE INDEX stock_movement_bin_location_idx
    ON ret.stock_movement (business_id, bin_location_id)
    WHERE bin_location_id IS NOT NULL;

ALTER TABLE ret.stock_movement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_movement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON ret.stock_movement TO app_user;
GRANT SELECT ON ret.stock_movement TO app_readonly;

CREATE TRIGGER stock_movement_append_only
    BEFORE UPDATE OR DELETE ON ret.stock_movement
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.stock_movement');

CREATE TABLE ret.stock_movement_default PARTITION OF ret.stock_movement DEFAULT;
ALTER TABLE ret.stock_movement_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_movement_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('ret.stock_movement', 'month', behind => 3, ahead => 1);

CREATE FUNCTION ret.on_hand_change(from_state text, to_state text, quantity numeric)
    RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN quantity * ((to_state NOT IN ('none', 'incoming'))::integer
                       - (from_state NOT IN ('none', 'incoming'))::integer);
COMMENT ON FUNCTION ret.on_hand_change(text, text, numeric) IS
    'What a movement between two states adds to what is on hand.';

CREATE FUNCTION ret.follow_lot(moved ret.stock_movement, change numeric) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ret.stock_lot AS l
    SET remaining_qty = l.remaining_qty + change,
        initial_qty = CASE
            WHEN change > 0
                 AND moved.movement_kind IN ('receipt', 'transfer_in', 'consignment_in')
            THEN l.initial_qty + change
            ELSE greatest(l.initial_qty, l.remaining_qty + change) END,
        status = CASE WHEN l.remaining_qty + change = 0 THEN 'depleted'
                      WHEN l.status = 'depleted' THEN 'available' ELSE l.status END
    WHERE l.business_id = moved.business_id AND l.stock_lot_id = moved.stock_lot_id
      AND l.product_variant_id = moved.product_variant_id AND l.location_id = moved.location_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lot is of another variant or lies elsewhere'
            USING ERRCODE = 'check_violation';
    END IF;
END
$$;
COMMENT ON FUNCTION ret.follow_lot(ret.stock_movement, numeric) IS
    'Takes from a lot or adds to it what the ledger moved.';

CREATE FUNCTION ret.follow_serial(moved ret.stock_movement) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    unit ret.serial_unit;
BEGIN
    SELECT u.* INTO unit
    FROM ret.serial_unit AS u
    WHERE u.business_id = moved.business_id
      AND u.product_variant_id = moved.product_variant_id
      AND u.serial_number = moved.serial_number
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no unit %', moved.serial_number
            USING ERRCODE = 'no_data_found';
    ELSIF moved.from_state NOT IN ('none', 'incoming')
          AND unit.location_id IS DISTINCT FROM moved.location_id THEN
        RAISE EXCEPTION '% does not lie where it is taken from', moved.serial_number
            USING ERRCODE = 'check_violation';
    ELSIF moved.from_state IN ('none', 'incoming')
          AND moved.to_state NOT IN ('none', 'incoming')
          AND unit.location_id IS DISTINCT FROM moved.location_id
          AND unit.state IN ('in_stock', 'reserved') THEN
        RAISE EXCEPTION '% lies elsewhere', moved.serial_number
            USING ERRCODE = 'check_violation';
    END IF;
    -- What a customer brings back was sold: it is returned before it is stock again.
    IF unit.state = 'sold' AND moved.to_state <> 'none' THEN
        UPDATE ret.serial_unit AS u
        SET state = 'returned', location_id = moved.location_id
        WHERE u.business_id = moved.business_id AND u.serial_unit_id = unit.serial_unit_id;
    END IF;
    UPDATE ret.serial_unit AS u
    SET state = CASE moved.to_state
            WHEN 'available' THEN 'in_stock'
            WHEN 'reserved' THEN 'reserved'
            WHEN 'committed' THEN 'reserved'
            WHEN 'damaged' THEN 'defective'
            WHEN 'incoming' THEN 'in_transit'
            WHEN 'quality_hold' THEN CASE moved.movement_kind WHEN 'return' THEN 'returned'
                                     ELSE 'in_stock' END
            ELSE CASE WHEN moved.movement_kind = 'sale' THEN 'sold'
                      WHEN moved.movement_kind = 'transfer_out' THEN 'in_transit'
                      WHEN moved.movement_kind IN ('adjustment', 'count') THEN 'lost'
                      ELSE 'scrapped' END END,
        location_id = CASE WHEN moved.to_state NOT IN ('none', 'incoming')
                           THEN moved.location_id END,
        sold_at = CASE WHEN moved.to_state = 'none' AND moved.movement_kind = 'sale'
                       THEN greatest(moved.occurred_at, u.received_at) ELSE u.sold_at END
    WHERE u.business_id = moved.business_id AND u.serial_unit_id = unit.serial_unit_id;
END
$$;
COMMENT ON FUNCTION ret.follow_serial(ret.stock_movement) IS
    'A unit is where its last movement put it: reserved, sold, returned, defective or lost.';

CREATE FUNCTION ret.book_movement() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    is_now CONSTANT boolean := row_security_active('ret.stock_movement');
    change CONSTANT numeric := ret.on_hand_change(NEW.from_state, NEW.to_state, NEW.quantity);
    taken  CONSTANT boolean := NEW.from_state = 'available';
    level  ret.stock_level;
    spot   record;
BEGIN
    -- The level is locked before anything is decided, so that two who want the last piece take
    -- turns. The first movement makes the level; whoever comes second finds it.
    FOR attempt IN 1 .. 2 LOOP
        SELECT l.* INTO level
        FROM ret.stock_level AS l
        WHERE l.business_id = NEW.business_id AND l.location_id = NEW.location_id
          AND l.product_variant_id = NEW.product_variant_id
          AND l.consignment_agreement_id IS NOT DISTINCT FROM NEW.consignment_agreement_id
        FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        -- Imported levels get a key that another import of the same history gives them too.
        INSERT INTO ret.stock_level
            (business_id, stock_level_id, location_id, product_variant_id,
             consignment_agreement_id)
        VALUES (NEW.business_id,
                CASE WHEN is_now THEN system_core.uuid_v7()
                     ELSE md5(concat_ws(' at ', NEW.product_variant_id, NEW.location_id,
                                        NEW.consignment_agreement_id))::uuid END,
                NEW.location_id, NEW.product_variant_id, NEW.consignment_agreement_id)
        ON CONFLICT DO NOTHING;
    END LOOP;

    NEW.unit_cost := coalesce(NEW.unit_cost, level.average_cost);
    UPDATE ret.stock_level AS l
    SET on_hand_qty = l.on_hand_qty + change,
        committed_qty = l.committed_qty + NEW.quantity * ((NEW.to_state = 'committed')::integer
                                                - (NEW.from_state = 'committed')::integer),
        reserved_qty = l.reserved_qty + NEW.quantity * ((NEW.to_state = 'reserved')::integer
                                                - (NEW.from_state = 'reserved')::integer),
        incoming_qty = l.incoming_qty + NEW.quantity * ((NEW.to_state = 'incoming')::integer
                                                - (NEW.from_state = 'incoming')::integer),
        damaged_qty = l.damaged_qty + NEW.quantity * ((NEW.to_state = 'damaged')::integer
                                                - (NEW.from_state = 'damaged')::integer),
        quality_hold_qty = l.quality_hold_qty
            + NEW.quantity * ((NEW.to_state = 'quality_hold')::integer
                              - (NEW.from_state = 'quality_hold')::integer),
        average_cost = CASE WHEN change > 0
            THEN (greatest(l.on_hand_qty, 0) * l.average_cost + change * NEW.unit_cost)
                 / (greatest(l.on_hand_qty, 0) + change)
            ELSE l.average_cost END,
        last_sold_at = CASE WHEN NEW.movement_kind = 'sale' AND change < 0
            THEN greatest(l.last_sold_at, NEW.occurred_at) ELSE l.last_sold_at END,
        last_received_at = CASE WHEN change > 0
                AND NEW.movement_kind IN ('receipt', 'transfer_in', 'consignment_in')
            THEN greatest(l.last_received_at, NEW.occurred_at) ELSE l.last_received_at END,
        last_counted_at = CASE WHEN NEW.movement_kind = 'count'
            THEN greatest(l.last_counted_at, NEW.occurred_at) ELSE l.last_counted_at END,
        version_no = l.version_no + 1
    WHERE l.business_id = NEW.business_id AND l.stock_level_id = level.stock_level_id
    RETURNING l.* INTO level;
    NEW.balance_after := level.on_hand_qty;
    NEW.ledger_no := level.version_no;

    -- Safety stock is kept back from promises only. A count says what is there, promised or not.
    IF is_now AND taken AND NEW.movement_kind <> 'count'
       AND level.available_qty
           + (CASE WHEN NEW.to_state IN ('reserved', 'committed') THEN 0
                   ELSE level.safety_stock_qty END) < 0
       AND NOT (NEW.movement_kind = 'sale' AND NEW.to_state = 'none'
                AND EXISTS (SELECT FROM ret.register AS r
                            WHERE r.business_id = NEW.business_id
                              AND r.location_id = NEW.location_id
                              AND r.status <> 'retired' AND r.offline_limit_amount > 0)) THEN
        SELECT v.sku, p.location_code INTO spot
        FROM ret.product_variant AS v
        CROSS JOIN ret.location AS p
        WHERE v.business_id = NEW.business_id AND v.product_variant_id = NEW.product_variant_id
          AND p.business_id = NEW.business_id AND p.location_id = NEW.location_id;
        RAISE EXCEPTION '% is short of %: % asked, % would be left', spot.location_code,
                        spot.sku, NEW.quantity, level.available_qty
            USING ERRCODE = 'check_violation',
                  HINT = 'Receive or transfer it first, or take it from somewhere else.';
    END IF;

    -- Who does not say from which lot takes from the one that expires first and has it all.
    IF NEW.stock_lot_id IS NULL AND NEW.consignment_agreement_id IS NULL AND change < 0 THEN
        SELECT l.stock_lot_id INTO NEW.stock_lot_id
        FROM ret.stock_lot AS l
        WHERE l.business_id = NEW.business_id AND l.location_id = NEW.location_id
          AND l.product_variant_id = NEW.product_variant_id AND l.status = 'available'
          AND l.remaining_qty >= NEW.quantity
          AND (l.expires_on IS NULL OR l.expires_on > NEW.occurred_at::date)
        ORDER BY l.expires_on, l.received_on, l.stock_lot_id
        LIMIT 1;
    END IF;
    IF NEW.stock_lot_id IS NOT NULL AND change <> 0 THEN
        PERFORM ret.follow_lot(ROW(NEW.*)::ret.stock_movement, change);
    END IF;
    IF NEW.serial_number IS NOT NULL AND is_now THEN
        PERFORM ret.follow_serial(ROW(NEW.*)::ret.stock_movement);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.book_movement() IS
    'Carries a movement into its level, lot and unit, numbers it and notes the balance. Refuses
     what is not available, unless a register of the location may sell offline. Imported history
     is taken as it was, and leaves units as they were imported.';

CREATE TRIGGER stock_movement_book
    BEFORE INSERT ON ret.stock_movement
    FOR EACH ROW EXECUTE FUNCTION ret.book_movement();


CREATE FUNCTION ret.post_stock_movement(
    place uuid, variant uuid, kind text, out_of text, into_state text, moved_qty numeric,
    source text, document uuid DEFAULT NULL, cost numeric DEFAULT NULL, lot uuid DEFAULT NULL,
    serial text DEFAULT NULL, consignment uuid DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    posted uuid;
BEGIN
    INSERT INTO ret.stock_movement
        (business_id, location_id, product_variant_id, movement_kind, from_state, to_state,
         quantity, source_kind, source_id, unit_cost, stock_lot_id, serial_number,
         consignment_agreement_id)
    VALUES (tenant_mgmt.current_business_id(), place, variant, kind, out_of, into_state,
            moved_qty, source, document, cost, lot, serial, consignment)
    RETURNING stock_movement_id INTO posted;
    RETURN posted;
END
$$;
COMMENT ON FUNCTION ret.post_stock_movement(uuid, uuid, text, text, text, numeric, text, uuid,
                                            numeric, uuid, text, uuid) IS
    'Posts one movement of the tenant now and returns its key; where no cost is given it costs the
     average of its level.';


CREATE FUNCTION ret.reverse_stock_movement(movement uuid) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    posted uuid;
    wrong  ret.stock_movement;
BEGIN
    SELECT m.* INTO wrong
    FROM ret.stock_movement AS m
    WHERE m.business_id = tenant AND m.stock_movement_id = movement;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no movement %', movement USING ERRCODE = 'no_data_found';
    END IF;
    -- Two who reverse the same movement take turns at its level; the second finds the first.
    PERFORM FROM ret.stock_level AS l
    WHERE l.business_id = tenant AND l.location_id = wrong.location_id
      AND l.product_variant_id = wrong.product_variant_id
      AND l.consignment_agreement_id IS NOT DISTINCT FROM wrong.consignment_agreement_id
    FOR NO KEY UPDATE;
    IF wrong.is_reversal OR EXISTS (
        SELECT FROM ret.stock_movement AS m
        WHERE m.business_id = tenant AND m.reverses_movement_id = movement) THEN
        RAISE EXCEPTION 'movement % was taken back already', movement
            USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO ret.stock_movement
        (business_id, product_variant_id, location_id, stock_lot_id, bin_location_id,
         consignment_agreement_id, movement_kind, from_state, to_state, quantity, unit_cost,
         source_kind, source_id, is_reversal, reverses_movement_id)
    VALUES (tenant, wrong.product_variant_id, wrong.location_id, wrong.stock_lot_id,
            wrong.bin_location_id, wrong.consignment_agreement_id, wrong.movement_kind,
            wrong.to_state, wrong.from_state, wrong.quantity, wrong.unit_cost,
            wrong.source_kind, wrong.source_id, true, movement)
    RETURNING stock_movement_id INTO posted;
    RETURN posted;
END
$$;
COMMENT ON FUNCTION ret.reverse_stock_movement(uuid) IS
    'Takes a movement back by its mirror image, once; the ledger keeps both.';


CREATE FUNCTION ret.pick_lots(place uuid, variant uuid, wanted numeric, on_day date)
    RETURNS TABLE (stock_lot_id uuid, quantity numeric)
    LANGUAGE sql
BEGIN ATOMIC
    WITH locked AS (
        SELECT l.stock_lot_id, l.remaining_qty, l.expires_on, l.received_on
        FROM ret.stock_lot AS l
        WHERE l.business_id = tenant_mgmt.current_business_id() AND l.location_id = place
          AND l.product_variant_id = variant AND l.status = 'available' AND l.remaining_qty > 0
          AND (l.expires_on IS NULL OR l.expires_on > on_day)
        ORDER BY l.expires_on, l.received_on, l.stock_lot_id
        FOR NO KEY UPDATE
    )
    SELECT n.stock_lot_id, least(n.remaining_qty, wanted - n.before)
    FROM (
        SELECT l.stock_lot_id, l.remaining_qty,
               sum(l.remaining_qty) OVER (ORDER BY l.expires_on, l.received_on, l.stock_lot_id)
                   - l.remaining_qty AS before
        FROM locked AS l
    ) AS n
    WHERE n.before < wanted
    ORDER BY n.before;
END;
COMMENT ON FUNCTION ret.pick_lots(uuid, uuid, numeric, date) IS
    'The lots to take a quantity from, first expired first, and how much of each; they stay locked.
     Less than was wanted where there is no more that has not expired.';


CREATE TABLE ret.stock_adjustment (
    business_id         uuid                 NOT NULL,
    stock_adjustment_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    entered_by_user_id  uuid                 NOT NULL,
    approved_by_user_id uuid,
    location_id         uuid                 NOT NULL,
    adjustment_number   text                 NOT NULL,
    reason              text                 NOT NULL,
    entered_at          timestamptz          NOT NULL DEFAULT now(),
    approved_at         timestamptz,
    line_count          integer              NOT NULL DEFAULT 0,
    units_net           system_core.quantity NOT NULL DEFAULT 0,
    value_net           system_core.money    NOT NULL DEFAULT 0,
    police_report_ref   text,
    state               text                 NOT NULL DEFAULT 'draft',
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_adjustment_id),
    UNIQUE (business_id, adjustment_number),
    FOREIGN KEY (business_id, entered_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, approved_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT stock_adjustment_reason_known
        CHECK (reason IN ('damage', 'theft_known', 'theft_unknown', 'expired', 'found',
                          'donation', 'own_use', 'data_error', 'recall')),
    CONSTRAINT stock_adjustment_state_known
        CHECK (state IN ('draft', 'pending_approval', 'posted', 'rejected')),
    CONSTRAINT stock_adjustment_posted_has_time
        CHECK ((approved_at IS NOT NULL) = (state = 'posted')),
    CONSTRAINT stock_adjustment_posted_is_approved
        CHECK (state <> 'posted' OR approved_by_user_id IS NOT NULL),
    CONSTRAINT stock_adjustment_approved_by_another
        CHECK (approved_by_user_id <> entered_by_user_id),
    CONSTRAINT stock_adjustment_approved_after_entry CHECK (approved_at >= entered_at),
    CONSTRAINT stock_adjustment_line_count_not_negative CHECK (line_count >= 0)
);

COMMENT ON TABLE ret.stock_adjustment IS
    'A correction, damage, theft, donation or own-use write-off, approved by another than entered
     it. Posting moves its lines in the ledger.';
COMMENT ON COLUMN ret.stock_adjustment.line_count IS
    'This and the net sums are kept by its lines.';

-- FK: the stock adjustments by their entered by user.
CREATE INDEX stock_adjustment_entered_by_user_idx
    ON ret.stock_adjustment (business_id, entered_by_user_id);

-- FK: the stock adjustments by their approved by user.
CREATE INDEX stock_adjustment_approved_by_user_idx
    ON ret.stock_adjustment (business_id, approved_by_user_id)
    WHERE approved_by_user_id IS NOT NULL;

-- FK: the stock adjustments of a location.
CREATE INDEX stock_adjustment_location_idx ON ret.stock_adjustment (business_id, location_id);

ALTER TABLE ret.stock_adjustment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_adjustment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.stock_adjustment TO app_user;
GRANT SELECT ON ret.stock_adjustment TO app_readonly;

CREATE TRIGGER stock_adjustment_touch
    BEFORE UPDATE ON ret.stock_adjustment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER stock_adjustment_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.stock_adjustment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft", "pending_approval"],
        "transitions": {
            "draft":            ["pending_approval", "rejected"],
            "pending_approval": ["posted", "rejected", "draft"],
            "posted":           [],
            "rejected":         []
        }}');


CREATE TABLE ret.stock_adjustment_line (
    business_id              uuid                   NOT NULL,
    stock_adjustment_line_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    stock_adjustment_id      uuid                   NOT NULL,
    product_variant_id       uuid                   NOT NULL,
    stock_lot_id             uuid,
    serial_unit_id           uuid,
    bin_location_id          uuid,
    line_number              integer                NOT NULL,
    quantity_delta           system_core.quantity   NOT NULL,
    unit_cost                system_core.unit_price NOT NULL,
    value_delta              system_core.money      GENERATED ALWAYS AS (
                                                        quantity_delta * unit_cost) STORED,
    before_qty               system_core.quantity,
    after_qty                system_core.quantity,
    note                     text,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_adjustment_line_id),
    UNIQUE (business_id, stock_adjustment_id, line_number),
    FOREIGN KEY (business_id, stock_adjustment_id)
        REFERENCES ret.stock_adjustment (business_id, stock_adjustment_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    FOREIGN KEY (business_id, serial_unit_id)
        REFERENCES ret.serial_unit (business_id, serial_unit_id),
    FOREIGN KEY (business_id, bin_location_id)
        REFERENCES ret.bin_location (business_id, bin_location_id),
    CONSTRAINT stock_adjustment_line_changes_something CHECK (quantity_delta <> 0),
    CONSTRAINT stock_adjustment_line_of_one_unit
        CHECK (serial_unit_id IS NULL OR abs(quantity_delta) = 1),
    CONSTRAINT stock_adjustment_line_cost_not_negative CHECK (unit_cost >= 0),
    CONSTRAINT stock_adjustment_line_after_follows_before
        CHECK (after_qty = before_qty + quantity_delta)
);

COMMENT ON TABLE ret.stock_adjustment_line IS
    'Variant, lot or serial of an adjustment with quantity and cost.';
COMMENT ON COLUMN ret.stock_adjustment_line.before_qty IS
    'What could be sold of it just before it was posted; NULL until then, as after_qty.';

-- FK: the stock adjustment lines of a product variant.
CREATE INDEX stock_adjustment_line_product_variant_idx
    ON ret.stock_adjustment_line (business_id, product_variant_id);

-- FK: the stock adjustment lines of a stock lot.
CREATE INDEX stock_adjustment_line_stock_lot_idx
    ON ret.stock_adjustment_line (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

-- FK: the stock adjustment lines of a serial unit.
CREATE INDEX stock_adjustment_line_serial_unit_idx
    ON ret.stock_adjustment_line (business_id, serial_unit_id)
    WHERE serial_unit_id IS NOT NULL;

-- FK: the stock adjustment lines of a bin location.
CREATE INDEX stock_adjustment_line_bin_location_idx
    ON ret.stock_adjustment_line (business_id, bin_location_id)
    WHERE bin_location_id IS NOT NULL;

ALTER TABLE ret.stock_adjustment_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_adjustment_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.stock_adjustment_line TO app_user;
GRANT SELECT ON ret.stock_adjustment_line TO app_readonly;

CREATE TRIGGER stock_adjustment_line_touch
    BEFORE UPDATE ON ret.stock_adjustment_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.keep_adjustment_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    line CONSTANT ret.stock_adjustment_line := coalesce(NEW, OLD);
    head ret.stock_adjustment;
BEGIN
    -- The ledger writes before and after when the adjustment is posted.
    IF pg_trigger_depth() > 1 OR NOT row_security_active(TG_RELID) THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    SELECT a.* INTO head
    FROM ret.stock_adjustment AS a
    WHERE a.business_id = line.business_id AND a.stock_adjustment_id = line.stock_adjustment_id
    FOR NO KEY UPDATE;
    IF head.state <> 'draft' THEN
        RAISE EXCEPTION 'adjustment % is %, its lines are not changed', head.adjustment_number,
                        head.state
            USING ERRCODE = 'check_violation';
    ELSIF TG_OP <> 'DELETE'
          AND head.reason NOT IN ('data_error', 'damage')
          AND (head.reason = 'found') <> (NEW.quantity_delta > 0) THEN
        RAISE EXCEPTION 'an adjustment for % does not change stock by %', head.reason,
                        NEW.quantity_delta
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION ret.keep_adjustment_line() IS
    'Lines change while the adjustment is a draft; what is found adds, what is lost takes away.';

CREATE TRIGGER stock_adjustment_line_kept
    BEFORE INSERT OR UPDATE OR DELETE ON ret.stock_adjustment_line
    FOR EACH ROW EXECUTE FUNCTION ret.keep_adjustment_line();

CREATE FUNCTION ret.add_up_adjustments() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ret.stock_adjustment AS a
    SET line_count = n.lines, units_net = n.units, value_net = n.value
    FROM (
        SELECT c.business_id, c.stock_adjustment_id, count(l.line_number)::integer AS lines,
               coalesce(sum(l.quantity_delta), 0) AS units,
               coalesce(sum(l.value_delta), 0) AS value
        FROM (SELECT DISTINCT x.business_id, x.stock_adjustment_id FROM changed AS x) AS c
        LEFT JOIN ret.stock_adjustment_line AS l
            ON l.business_id = c.business_id AND l.stock_adjustment_id = c.stock_adjustment_id
        GROUP BY c.business_id, c.stock_adjustment_id
    ) AS n
    WHERE a.business_id = n.business_id AND a.stock_adjustment_id = n.stock_adjustment_id
      AND (a.line_count, a.units_net, a.value_net) <> (n.lines, n.units, n.value);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.add_up_adjustments() IS 'An adjustment is as much as its lines.';

CREATE TRIGGER stock_adjustment_line_add_up_on_insert
    AFTER INSERT ON ret.stock_adjustment_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.add_up_adjustments();

CREATE TRIGGER stock_adjustment_line_add_up_on_update
    AFTER UPDATE ON ret.stock_adjustment_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.add_up_adjustments();

CREATE TRIGGER stock_adjustment_line_add_up_on_delete
    AFTER DELETE ON ret.stock_adjustment_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.add_up_adjustments();

CREATE FUNCTION ret.post_adjustment() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    line   record;
    before numeric;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    ELSIF NEW.line_count = 0 THEN
        RAISE EXCEPTION 'adjustment % has no lines', NEW.adjustment_number
            USING ERRCODE = 'check_violation';
    END IF;
    FOR line IN
        SELECT l.*, u.serial_number
        FROM ret.stock_adjustment_line AS l
        LEFT JOIN ret.serial_unit AS u
            ON u.business_id = l.business_id AND u.serial_unit_id = l.serial_unit_id
        WHERE l.business_id = NEW.business_id AND l.stock_adjustment_id = NEW.stock_adjustment_id
        ORDER BY l.product_variant_id, l.line_number
    LOOP
        INSERT INTO ret.stock_movement
            (business_id, location_id, product_variant_id, stock_lot_id, bin_location_id,
             serial_number, movement_kind, from_state, to_state, quantity, unit_cost,
             source_kind, source_id)
        VALUES (NEW.business_id, NEW.location_id, line.product_variant_id, line.stock_lot_id,
                line.bin_location_id, line.serial_number,
                CASE WHEN line.quantity_delta > 0 OR NEW.reason = 'data_error' THEN 'adjustment'
                     WHEN NEW.reason = 'damage' THEN 'damage' ELSE 'write_off' END,
                CASE WHEN line.quantity_delta < 0 THEN 'available'
                     WHEN NEW.reason = 'damage' THEN 'damaged' ELSE 'none' END,
                CASE WHEN line.quantity_delta > 0 THEN 'available'
                     WHEN NEW.reason = 'damage' THEN 'damaged' ELSE 'none' END,
                abs(line.quantity_delta), line.unit_cost, 'adjustment', NEW.stock_adjustment_id);
        SELECT l.available_qty + l.safety_stock_qty - line.quantity_delta INTO before
        FROM ret.stock_level AS l
        WHERE l.business_id = NEW.business_id AND l.location_id = NEW.location_id
          AND l.product_variant_id = line.product_variant_id
          AND l.consignment_agreement_id IS NULL;
        UPDATE ret.stock_adjustment_line AS l
        SET before_qty = before, after_qty = before + line.quantity_delta
        WHERE l.business_id = NEW.business_id
          AND l.stock_adjustment_line_id = line.stock_adjustment_line_id;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.post_adjustment() IS
    'Moves what an adjustment says when it is posted: damage stays on hand as damaged, what was
     stolen, given away or expired is written off. Imported history brings its own movements.';

CREATE TRIGGER stock_adjustment_posts
    AFTER UPDATE OF state ON ret.stock_adjustment
    FOR EACH ROW WHEN (NEW.state = 'posted' AND OLD.state <> 'posted')
    EXECUTE FUNCTION ret.post_adjustment();


CREATE TABLE ret.stock_transfer (
    business_id          uuid              NOT NULL,
    stock_transfer_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    from_location_id     uuid              NOT NULL,
    to_location_id       uuid              NOT NULL,
    requested_by_user_id uuid              NOT NULL,
    transfer_number      text              NOT NULL,
    transfer_kind        text              NOT NULL,
    state                text              NOT NULL DEFAULT 'draft',
    requested_at         timestamptz       NOT NULL DEFAULT now(),
    shipped_at           timestamptz,
    expected_at          timestamptz,
    received_at          timestamptz,
    carrier_name         text,
    tracking_number      text,
    carton_count         integer           NOT NULL DEFAULT 0,
    total_cost           system_core.money NOT NULL DEFAULT 0,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_transfer_id),
    UNIQUE (business_id, transfer_number),
    FOREIGN KEY (business_id, from_location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, to_location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, requested_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT stock_transfer_kind_known
        CHECK (transfer_kind IN ('replenishment', 'rebalancing', 'customer_order',
                                 'return_to_dc', 'recall')),
    CONSTRAINT stock_transfer_state_known
        CHECK (state IN ('draft', 'requested', 'approved', 'picking', 'in_transit',
                         'partly_received', 'received', 'cancelled')),
    CONSTRAINT stock_transfer_goes_elsewhere CHECK (from_location_id <> to_location_id),
    CONSTRAINT stock_transfer_shipped_after_request CHECK (requested_at <= shipped_at),
    CONSTRAINT stock_transfer_received_after_shipping CHECK (shipped_at <= received_at),
    CONSTRAINT stock_transfer_shipped_has_time
        CHECK ((shipped_at IS NOT NULL)
               = (state IN ('in_transit', 'partly_received', 'received'))),
    CONSTRAINT stock_transfer_received_has_time
        CHECK ((received_at IS NOT NULL) = (state = 'received')),
    CONSTRAINT stock_transfer_cartons_not_negative CHECK (carton_count >= 0)
);

COMMENT ON TABLE ret.stock_transfer IS
    'Goods moving between locations: request, pick, ship, receive. What is shipped leaves one
     location and is incoming at the other until it is received or found missing.';
COMMENT ON COLUMN ret.stock_transfer.received_at IS 'When the last of it came or was given up.';
COMMENT ON COLUMN ret.stock_transfer.total_cost IS 'Worth of what was shipped.';

-- FK: the stock transfers by their from location.
CREATE INDEX stock_transfer_from_location_idx
    ON ret.stock_transfer (business_id, from_location_id);

-- FK: the stock transfers by their to location.
CREATE INDEX stock_transfer_to_location_idx ON ret.stock_transfer (business_id, to_location_id);

-- stock_across_locations and v_stock_position: what is on its way, a few rows of very many.
CREATE INDEX stock_transfer_open_idx
    ON ret.stock_transfer (business_id, to_location_id, expected_at)
    WHERE state IN ('in_transit', 'partly_received');

-- FK: the stock transfers by their requested by user.
CREATE INDEX stock_transfer_requested_by_user_idx
    ON ret.stock_transfer (business_id, requested_by_user_id);

ALTER TABLE ret.stock_transfer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_transfer
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.stock_transfer TO app_user;
GRANT SELECT ON ret.stock_transfer TO app_readonly;

CREATE TRIGGER stock_transfer_touch
    BEFORE UPDATE ON ret.stock_transfer
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER stock_transfer_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.stock_transfer
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft", "requested"],
        "transitions": {
            "draft":           ["requested", "cancelled"],
            "requested":       ["approved", "cancelled"],
            "approved":        ["picking", "cancelled"],
            "picking":         ["in_transit", "cancelled"],
            "in_transit":      ["partly_received", "received"],
            "partly_received": ["received"],
            "received":        [],
            "cancelled":       []
        }}');


CREATE TABLE ret.stock_transfer_line (
    business_id            uuid                   NOT NULL,
    stock_transfer_line_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    stock_transfer_id      uuid                   NOT NULL,
    product_variant_id     uuid                   NOT NULL,
    stock_lot_id           uuid,
    line_number            integer                NOT NULL,
    requested_qty          system_core.quantity   NOT NULL,
    shipped_qty            system_core.quantity   NOT NULL DEFAULT 0,
    received_qty           system_core.quantity   NOT NULL DEFAULT 0,
    damaged_qty            system_core.quantity   NOT NULL DEFAULT 0,
    cancelled_qty          system_core.quantity   NOT NULL DEFAULT 0,
    unit_cost              system_core.unit_price,
    variance_reason        text                   NOT NULL DEFAULT 'none',
    serials_doc            system_core.json_array,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_transfer_line_id),
    UNIQUE (business_id, stock_transfer_id, line_number),
    FOREIGN KEY (business_id, stock_transfer_id)
        REFERENCES ret.stock_transfer (business_id, stock_transfer_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    CONSTRAINT stock_transfer_line_variance_reason_known
        CHECK (variance_reason IN ('none', 'short', 'over', 'damaged', 'wrong_item', 'lost')),
    CONSTRAINT stock_transfer_line_receives_what_was_shipped
        CHECK (received_qty + damaged_qty <= shipped_qty OR variance_reason = 'over'),
    CONSTRAINT stock_transfer_line_ships_what_was_asked CHECK (shipped_qty <= requested_qty),
    CONSTRAINT stock_transfer_line_asks_for_something CHECK (requested_qty > 0),
    CONSTRAINT stock_transfer_line_quantities_not_negative
        CHECK (least(shipped_qty, received_qty, damaged_qty, cancelled_qty) >= 0),
    CONSTRAINT stock_transfer_line_cost_not_negative CHECK (unit_cost >= 0),
    CONSTRAINT stock_transfer_line_every_serial_named
        CHECK (jsonb_array_length(serials_doc) = shipped_qty)
);

COMMENT ON TABLE ret.stock_transfer_line IS
    'Variant of a transfer with shipped, received and damaged quantity.';
COMMENT ON COLUMN ret.stock_transfer_line.serials_doc IS
    'Array of the serial numbers that were shipped, where the goods have any.';
COMMENT ON COLUMN ret.stock_transfer_line.stock_lot_id IS
    'The lot where it comes from; the same lot is opened where it goes.';

-- FK: the stock transfer lines of a product variant.
CREATE INDEX stock_transfer_line_product_variant_idx
    ON ret.stock_transfer_line (business_id, product_variant_id);

-- FK: the stock transfer lines of a stock lot.
CREATE INDEX stock_transfer_line_stock_lot_idx
    ON ret.stock_transfer_line (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

ALTER TABLE ret.stock_transfer_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_transfer_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.stock_transfer_line TO app_user;
GRANT SELECT ON ret.stock_transfer_line TO app_readonly;

CREATE TRIGGER stock_transfer_line_touch
    BEFORE UPDATE ON ret.stock_transfer_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.keep_transfer_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    line CONSTANT ret.stock_transfer_line := coalesce(NEW, OLD);
    head ret.stock_transfer;
BEGIN
    IF pg_trigger_depth() > 1 OR NOT row_security_active(TG_RELID) THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    SELECT t.* INTO head
    FROM ret.stock_transfer AS t
    WHERE t.business_id = line.business_id AND t.stock_transfer_id = line.stock_transfer_id
    FOR NO KEY UPDATE;
    IF head.state IN ('draft', 'requested', 'approved', 'picking') THEN
        IF TG_OP <> 'DELETE' AND NEW.received_qty + NEW.damaged_qty > 0 THEN
            RAISE EXCEPTION 'transfer % is %, nothing of it was received', head.transfer_number,
                            head.state
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN coalesce(NEW, OLD);
    ELSIF head.state NOT IN ('in_transit', 'partly_received') OR TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'transfer % is %, its lines are not changed', head.transfer_number,
                        head.state
            USING ERRCODE = 'check_violation';
    ELSIF (NEW.product_variant_id, NEW.requested_qty, NEW.shipped_qty, NEW.unit_cost,
           NEW.stock_lot_id, NEW.serials_doc::jsonb)
          IS DISTINCT FROM (OLD.product_variant_id, OLD.requested_qty, OLD.shipped_qty,
                            OLD.unit_cost, OLD.stock_lot_id, OLD.serials_doc::jsonb)
          OR NEW.received_qty < OLD.received_qty OR NEW.damaged_qty < OLD.damaged_qty THEN
        RAISE EXCEPTION 'transfer % is on its way: its lines are received, no more',
                        head.transfer_number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.keep_transfer_line() IS
    'What was shipped stands; of a line on its way only what was received grows.';

CREATE TRIGGER stock_transfer_line_kept
    BEFORE INSERT OR UPDATE OR DELETE ON ret.stock_transfer_line
    FOR EACH ROW EXECUTE FUNCTION ret.keep_transfer_line();

CREATE FUNCTION ret.ship_transfer() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    missing text;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    UPDATE ret.stock_transfer_line AS l
    SET unit_cost = coalesce(l.unit_cost, v.average_cost, 0)
    FROM ret.stock_level AS v
    WHERE l.business_id = NEW.business_id AND l.stock_transfer_id = NEW.stock_transfer_id
      AND v.business_id = l.business_id AND v.location_id = NEW.from_location_id
      AND v.product_variant_id = l.product_variant_id AND v.consignment_agreement_id IS NULL;
    UPDATE ret.stock_transfer AS t
    SET total_cost = n.cost
    FROM (SELECT sum(l.shipped_qty * l.unit_cost) AS cost, sum(l.shipped_qty) AS units
          FROM ret.stock_transfer_line AS l
          WHERE l.business_id = NEW.business_id
            AND l.stock_transfer_id = NEW.stock_transfer_id) AS n
    WHERE t.business_id = NEW.business_id AND t.stock_transfer_id = NEW.stock_transfer_id
      AND n.units > 0;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'nothing of transfer % was picked', NEW.transfer_number
            USING ERRCODE = 'check_violation';
    END IF;
    -- Every level that is touched, in the order of its key: transfers that cross take turns.
    INSERT INTO ret.stock_movement
        (business_id, location_id, product_variant_id, stock_lot_id, movement_kind, from_state,
         to_state, quantity, unit_cost, source_kind, source_id)
    SELECT l.business_id, m.location_id, l.product_variant_id, m.stock_lot_id, m.kind,
           m.from_state, m.to_state, l.shipped_qty, l.unit_cost, 'transfer',
           l.stock_transfer_id
    FROM ret.stock_transfer_line AS l
    CROSS JOIN LATERAL (VALUES
        (NEW.from_location_id, l.stock_lot_id, 'transfer_out', 'available', 'none'),
        (NEW.to_location_id, NULL, 'transfer_in', 'none', 'incoming')
    ) AS m (location_id, stock_lot_id, kind, from_state, to_state)
    WHERE l.business_id = NEW.business_id AND l.stock_transfer_id = NEW.stock_transfer_id
      AND l.shipped_qty > 0
    ORDER BY m.location_id, l.product_variant_id, l.line_number;

    WITH shipped AS (
        SELECT l.product_variant_id, s.serial_number
        FROM ret.stock_transfer_line AS l
        CROSS JOIN JSON_TABLE(l.serials_doc, '$[*]' COLUMNS (serial_number text PATH '$')) AS s
        WHERE l.business_id = NEW.business_id AND l.stock_transfer_id = NEW.stock_transfer_id
    ), gone AS (
        UPDATE ret.serial_unit AS u
        SET state = 'in_transit', location_id = NULL
        FROM shipped AS s
        WHERE u.business_id = NEW.business_id AND u.product_variant_id = s.product_variant_id
          AND u.serial_number = s.serial_number AND u.location_id = NEW.from_location_id
          AND u.state IN ('in_stock', 'reserved')
        RETURNING u.product_variant_id, u.serial_number
    )
    SELECT s.serial_number INTO missing
    FROM shipped AS s
    WHERE NOT EXISTS (SELECT FROM gone AS g
                      WHERE g.product_variant_id = s.product_variant_id
                        AND g.serial_number = s.serial_number)
    ORDER BY s.serial_number
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% does not lie where it is shipped from', missing
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.ship_transfer() IS
    'What is shipped leaves its location and is incoming at the other, unit by unit where they are
     named. Imported history brings its own movements.';

CREATE TRIGGER stock_transfer_ships
    AFTER UPDATE OF state ON ret.stock_transfer
    FOR EACH ROW WHEN (NEW.state = 'in_transit' AND OLD.state = 'picking')
    EXECUTE FUNCTION ret.ship_transfer();

CREATE FUNCTION ret.receive_transfer_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    head     ret.stock_transfer;
    here     uuid;
    -- What came beyond what was shipped was never incoming.
    expected CONSTANT numeric := greatest(NEW.shipped_qty - OLD.received_qty - OLD.damaged_qty, 0);
    good     CONSTANT numeric := NEW.received_qty - OLD.received_qty;
    bad      CONSTANT numeric := NEW.damaged_qty - OLD.damaged_qty;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    SELECT t.* INTO head
    FROM ret.stock_transfer AS t
    WHERE t.business_id = NEW.business_id AND t.stock_transfer_id = NEW.stock_transfer_id
    FOR NO KEY UPDATE;
    IF NEW.stock_lot_id IS NOT NULL THEN
        INSERT INTO ret.stock_lot
            (business_id, product_variant_id, location_id, supplier_id, lot_number,
             manufactured_on, expires_on, best_before_on, received_on, unit_cost)
        SELECT o.business_id, o.product_variant_id, head.to_location_id, o.supplier_id,
               o.lot_number, o.manufactured_on, o.expires_on, o.best_before_on,
               greatest(current_date, o.manufactured_on), NEW.unit_cost
        FROM ret.stock_lot AS o
        WHERE o.business_id = NEW.business_id AND o.stock_lot_id = NEW.stock_lot_id
        ON CONFLICT (business_id, product_variant_id, location_id, lot_number) DO NOTHING;
        SELECT x.stock_lot_id INTO here
        FROM ret.stock_lot AS o
        JOIN ret.stock_lot AS x
            ON x.business_id = o.business_id AND x.product_variant_id = o.product_variant_id
           AND x.location_id = head.to_location_id AND x.lot_number = o.lot_number
        WHERE o.business_id = NEW.business_id AND o.stock_lot_id = NEW.stock_lot_id;
    END IF;
    INSERT INTO ret.stock_movement
        (business_id, location_id, product_variant_id, stock_lot_id, movement_kind, from_state,
         to_state, quantity, unit_cost, source_kind, source_id)
    SELECT NEW.business_id, head.to_location_id, NEW.product_variant_id, here, 'transfer_in',
           m.from_state, m.to_state, m.quantity, NEW.unit_cost, 'transfer', NEW.stock_transfer_id
    FROM (VALUES (1, 'incoming', 'available', least(good, expected)),
                 (2, 'none', 'available', good - least(good, expected)),
                 (3, 'incoming', 'damaged', least(bad, expected - least(good, expected))),
                 (4, 'none', 'damaged', bad - least(bad, expected - least(good, expected)))
    ) AS m (place, from_state, to_state, quantity)
    WHERE m.quantity > 0
    ORDER BY m.place;
    UPDATE ret.serial_unit AS u
    SET state = 'in_stock', location_id = head.to_location_id
    FROM JSON_TABLE(NEW.serials_doc, '$[*]' COLUMNS (place FOR ORDINALITY,
                                                     serial_number text PATH '$')) AS s
    WHERE u.business_id = NEW.business_id AND u.product_variant_id = NEW.product_variant_id
      AND u.serial_number = s.serial_number AND u.state = 'in_transit'
      AND s.place <= NEW.received_qty;
    UPDATE ret.stock_transfer AS t
    SET state = 'partly_received'
    WHERE t.business_id = NEW.business_id AND t.stock_transfer_id = NEW.stock_transfer_id
      AND t.state = 'in_transit';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.receive_transfer_line() IS
    'What is received of a line is no longer on its way but there, whole or damaged.';

CREATE TRIGGER stock_transfer_line_receives
    AFTER UPDATE OF received_qty, damaged_qty ON ret.stock_transfer_line
    FOR EACH ROW WHEN (NEW.received_qty > OLD.received_qty OR NEW.damaged_qty > OLD.damaged_qty)
    EXECUTE FUNCTION ret.receive_transfer_line();

CREATE FUNCTION ret.close_transfer() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    silent integer;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    SELECT l.line_number INTO silent
    FROM ret.stock_transfer_line AS l
    WHERE l.business_id = NEW.business_id AND l.stock_transfer_id = NEW.stock_transfer_id
      AND l.received_qty + l.damaged_qty < l.shipped_qty AND l.variance_reason = 'none'
    ORDER BY l.line_number
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'line % of transfer % is short, without a reason', silent,
                        NEW.transfer_number
            USING ERRCODE = 'check_violation', HINT = 'Set variance_reason.';
    END IF;
    INSERT INTO ret.stock_movement
        (business_id, location_id, product_variant_id, movement_kind, from_state, to_state,
         quantity, unit_cost, source_kind, source_id)
    SELECT l.business_id, NEW.to_location_id, l.product_variant_id, 'write_off', 'incoming',
           'none', l.shipped_qty - l.received_qty - l.damaged_qty, l.unit_cost, 'transfer',
           l.stock_transfer_id
    FROM ret.stock_transfer_line AS l
    WHERE l.business_id = NEW.business_id AND l.stock_transfer_id = NEW.stock_transfer_id
      AND l.received_qty + l.damaged_qty < l.shipped_qty
    ORDER BY l.product_variant_id, l.line_number;
    UPDATE ret.serial_unit AS u
    SET state = 'lost'
    FROM ret.stock_transfer_line AS l
    CROSS JOIN JSON_TABLE(l.serials_doc, '$[*]' COLUMNS (serial_number text PATH '$')) AS s
    WHERE l.business_id = NEW.business_id AND l.stock_transfer_id = NEW.stock_transfer_id
      AND u.business_id = l.business_id AND u.product_variant_id = l.product_variant_id
      AND u.serial_number = s.serial_number AND u.state = 'in_transit';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.close_transfer() IS
    'What never came is written off on its way, and every shortage has a reason.';

CREATE TRIGGER stock_transfer_closes
    AFTER UPDATE OF state ON ret.stock_transfer
    FOR EACH ROW WHEN (NEW.state = 'received' AND OLD.state IN ('in_transit', 'partly_received'))
    EXECUTE FUNCTION ret.close_transfer();


CREATE FUNCTION ret.stock_differences(place uuid DEFAULT NULL) RETURNS TABLE (
    location_id uuid, product_variant_id uuid, consignment_agreement_id uuid, figure text,
    said numeric, found numeric
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH moved AS (
        SELECT m.location_id, m.product_variant_id, m.consignment_agreement_id, m.ledger_no,
               m.balance_after, m.from_state, m.to_state, m.quantity,
               ret.on_hand_change(m.from_state, m.to_state, m.quantity) AS change,
               row_number() OVER w AS place_no,
               sum(ret.on_hand_change(m.from_state, m.to_state, m.quantity)) OVER w AS balance
        FROM ret.stock_movement AS m
        WHERE m.business_id = tenant_mgmt.current_business_id()
          AND (place IS NULL OR m.location_id = place)
        WINDOW w AS (PARTITION BY m.location_id, m.product_variant_id, m.consignment_agreement_id
                     ORDER BY m.ledger_no ROWS UNBOUNDED PRECEDING)
    ), ledger AS (
        SELECT m.location_id, m.product_variant_id, m.consignment_agreement_id,
               count(*) AS movements, sum(m.change) AS on_hand,
               sum(m.quantity * ((m.to_state = 'committed')::integer
                                 - (m.from_state = 'committed')::integer)) AS committed,
               sum(m.quantity * ((m.to_state = 'reserved')::integer
                                 - (m.from_state = 'reserved')::integer)) AS reserved,
               sum(m.quantity * ((m.to_state = 'incoming')::integer
                                 - (m.from_state = 'incoming')::integer)) AS incoming,
               sum(m.quantity * ((m.to_state = 'damaged')::integer
                                 - (m.from_state = 'damaged')::integer)) AS damaged,
               sum(m.quantity * ((m.to_state = 'quality_hold')::integer
                                 - (m.from_state = 'quality_hold')::integer)) AS held
        FROM moved AS m
        GROUP BY m.location_id, m.product_variant_id, m.consignment_agreement_id
    ), level AS (
        SELECT l.*
        FROM ret.stock_level AS l
        WHERE l.business_id = tenant_mgmt.current_business_id()
          AND (place IS NULL OR l.location_id = place)
    )
    SELECT coalesce(s.location_id, l.location_id),
           coalesce(s.product_variant_id, l.product_variant_id),
           coalesce(s.consignment_agreement_id, l.consignment_agreement_id),
           f.figure, f.said, f.found
    FROM level AS s
    FULL JOIN ledger AS l
        ON l.location_id = s.location_id AND l.product_variant_id = s.product_variant_id
       AND coalesce(l.consignment_agreement_id, l.location_id)
           = coalesce(s.consignment_agreement_id, s.location_id)
    CROSS JOIN LATERAL (VALUES
        ('on_hand_qty', coalesce(s.on_hand_qty, 0), coalesce(l.on_hand, 0)),
        ('committed_qty', coalesce(s.committed_qty, 0), coalesce(l.committed, 0)),
        ('reserved_qty', coalesce(s.reserved_qty, 0), coalesce(l.reserved, 0)),
        ('incoming_qty', coalesce(s.incoming_qty, 0), coalesce(l.incoming, 0)),
        ('damaged_qty', coalesce(s.damaged_qty, 0), coalesce(l.damaged, 0)),
        ('quality_hold_qty', coalesce(s.quality_hold_qty, 0), coalesce(l.held, 0)),
        ('version_no', coalesce(s.version_no, 0), coalesce(l.movements, 0))
    ) AS f (figure, said, found)
    WHERE f.said <> f.found
    UNION ALL
    -- A movement that was taken out of the ledger, or put into it, breaks the numbers after it.
    SELECT m.location_id, m.product_variant_id, m.consignment_agreement_id,
           'ledger_no', m.ledger_no, m.place_no
    FROM moved AS m
    WHERE m.ledger_no <> m.place_no
    UNION ALL
    SELECT m.location_id, m.product_variant_id, m.consignment_agreement_id,
           'balance_after of ' || m.ledger_no, m.balance_after, m.balance
    FROM moved AS m
    WHERE m.balance_after <> m.balance
    UNION ALL
    SELECT t.location_id, t.product_variant_id, NULL, 'lot ' || t.lot_number, t.remaining_qty,
           coalesce(n.quantity, 0)
    FROM ret.stock_lot AS t
    LEFT JOIN (
        SELECT m.stock_lot_id,
               sum(ret.on_hand_change(m.from_state, m.to_state, m.quantity)) AS quantity
        FROM ret.stock_movement AS m
        WHERE m.business_id = tenant_mgmt.current_business_id() AND m.stock_lot_id IS NOT NULL
        GROUP BY m.stock_lot_id
    ) AS n ON n.stock_lot_id = t.stock_lot_id
    WHERE t.business_id = tenant_mgmt.current_business_id()
      AND (place IS NULL OR t.location_id = place)
      AND t.remaining_qty <> coalesce(n.quantity, 0);
END;
COMMENT ON FUNCTION ret.stock_differences(uuid) IS
    'Adds the ledger of the tenant, or of one location, up again and says where a level, a running
     balance or a lot is not what the movements make it. No row proves them all.';
