/*
 * Fulfilment: where an order comes from and how it reaches the customer.
 *
 * A stock_reservation holds stock for a cart (soft, until it expires) or an order (hard); what is
 * not there is a backorder and holds nothing. Each hold is a movement of the ledger, so that two
 * shoppers never hold the last piece both. A sourcing_rule says which locations a channel ships
 * from. A fulfilment_order is the part of an order that one location ships or hands over, with its
 * lines and the holds that stop it; pick_lists walk the shelves for several of them at once. A
 * pickup_order waits for its shopper on a shelf; a shipment is a parcel of a carrier_service,
 * priced by shipping_zone and shipping_rate, and its shipment_tracking_events move it along. What
 * plans and places orders is in 67_order_flow.sql.
 */

CREATE TABLE ret.sourcing_rule (
    business_id          uuid                   NOT NULL,
    sourcing_rule_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    sales_channel_id     uuid,
    category_id          uuid,
    rule_name            text                   NOT NULL,
    strategy             text                   NOT NULL,
    max_splits           integer                NOT NULL DEFAULT 2,
    min_safety_qty       system_core.quantity   NOT NULL DEFAULT 0,
    max_distance_km      numeric(9, 2),
    excluded_regions_doc system_core.json_array,
    weight_no            integer                NOT NULL DEFAULT 0,
    priority_no          integer                NOT NULL DEFAULT 100,
    effective_from       date                   NOT NULL,
    is_active            boolean                NOT NULL DEFAULT true,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, sourcing_rule_id),
    UNIQUE (business_id, rule_name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id),
    FOREIGN KEY (business_id, category_id) REFERENCES ret.category (business_id, category_id),
    CONSTRAINT sourcing_rule_strategy_known
        CHECK (strategy IN ('nearest', 'most_stock', 'warehouse_first', 'store_first',
                            'lowest_cost', 'clear_overstock', 'single_package')),
    CONSTRAINT sourcing_rule_max_splits_bounded CHECK (max_splits BETWEEN 1 AND 5),
    CONSTRAINT sourcing_rule_weight_no_not_negative CHECK (weight_no >= 0),
    CONSTRAINT sourcing_rule_safety_not_negative CHECK (min_safety_qty >= 0),
    CONSTRAINT sourcing_rule_distance_positive CHECK (max_distance_km > 0)
);

COMMENT ON TABLE ret.sourcing_rule IS
    'How the lines of an order find the location that ships them, for a channel or a category.';
COMMENT ON COLUMN ret.sourcing_rule.strategy IS
    'Which of the locations that can ship as much goes first.';
COMMENT ON COLUMN ret.sourcing_rule.max_splits IS 'Over how many locations an order may be split.';
COMMENT ON COLUMN ret.sourcing_rule.min_safety_qty IS
    'Left on the shelf for the shoppers of the location.';
COMMENT ON COLUMN ret.sourcing_rule.excluded_regions_doc IS
    'Regions that it never serves: ["AK", "HI"].';
COMMENT ON COLUMN ret.sourcing_rule.priority_no IS 'The lowest that fits an order is taken.';

-- FK: the sourcing rules of a sales channel.
CREATE INDEX sourcing_rule_sales_channel_idx
    ON ret.sourcing_rule (business_id, sales_channel_id)
    WHERE sales_channel_id IS NOT NULL;

-- FK: the sourcing rules of a category.
CREATE INDEX sourcing_rule_category_idx
    ON ret.sourcing_rule (business_id, category_id)
    WHERE category_id IS NOT NULL;

ALTER TABLE ret.sourcing_rule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.sourcing_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.sourcing_rule TO app_user;
GRANT SELECT ON ret.sourcing_rule TO app_readonly;

CREATE TRIGGER sourcing_rule_touch
    BEFORE UPDATE ON ret.sourcing_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.stock_reservation (
    business_id          uuid                 NOT NULL,
    stock_reservation_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    location_id          uuid                 NOT NULL,
    product_variant_id   uuid                 NOT NULL,
    cart_line_id         uuid,
    sales_order_line_id  uuid,
    stock_lot_id         uuid,
    quantity             system_core.quantity NOT NULL,
    reservation_kind     text                 NOT NULL,
    created_for          text                 NOT NULL DEFAULT 'order',
    reserved_at          timestamptz          NOT NULL DEFAULT now(),
    expires_at           timestamptz,
    released_at          timestamptz,
    fulfilled_at         timestamptz,
    state                text                 NOT NULL DEFAULT 'active',
    release_reason       text,
    created_at           timestamptz          NOT NULL DEFAULT now(),
    updated_at           timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_reservation_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, cart_line_id) REFERENCES ret.cart_line (business_id, cart_line_id),
    FOREIGN KEY (business_id, sales_order_line_id)
        REFERENCES ret.sales_order_line (business_id, sales_order_line_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    CONSTRAINT stock_reservation_kind_known
        CHECK (reservation_kind IN ('soft', 'hard', 'backorder', 'preorder')),
    CONSTRAINT stock_reservation_created_for_known
        CHECK (created_for IN ('cart', 'order', 'pickup', 'transfer')),
    CONSTRAINT stock_reservation_state_known
        CHECK (state IN ('active', 'released', 'expired', 'fulfilled')),
    CONSTRAINT stock_reservation_quantity_positive CHECK (quantity > 0),
    CONSTRAINT stock_reservation_for_cart_or_order
        CHECK (num_nonnulls(cart_line_id, sales_order_line_id) = 1),
    CONSTRAINT stock_reservation_cart_holds_are_soft
        CHECK ((reservation_kind = 'soft') = (cart_line_id IS NOT NULL)),
    CONSTRAINT stock_reservation_soft_expires
        CHECK (reservation_kind <> 'soft' OR expires_at IS NOT NULL),
    CONSTRAINT stock_reservation_expires_later CHECK (expires_at > reserved_at),
    CONSTRAINT stock_reservation_released_has_time
        CHECK ((released_at IS NOT NULL) = (state IN ('released', 'expired'))),
    CONSTRAINT stock_reservation_fulfilled_has_time
        CHECK ((fulfilled_at IS NOT NULL) = (state = 'fulfilled')),
    CONSTRAINT stock_reservation_fulfils_orders
        CHECK (state <> 'fulfilled' OR sales_order_line_id IS NOT NULL),
    CONSTRAINT stock_reservation_ends_after_start
        CHECK (coalesce(released_at, fulfilled_at) >= reserved_at)
);

COMMENT ON TABLE ret.stock_reservation IS
    'A hold of stock for a cart until it expires, or for an order until it leaves.';
COMMENT ON COLUMN ret.stock_reservation.reservation_kind IS
    'soft: for a cart; hard: for an order; backorder and preorder wait for stock and hold none.';
COMMENT ON COLUMN ret.stock_reservation.release_reason IS 'Why it was given back.';

-- FK, and what is held of a variant at a location.
CREATE INDEX stock_reservation_location_idx
    ON ret.stock_reservation (business_id, location_id, product_variant_id)
    WHERE state = 'active';

-- The soft holds, those that expire next first.
CREATE INDEX stock_reservation_expiry_idx
    ON ret.stock_reservation (business_id, expires_at)
    WHERE state = 'active' AND reservation_kind = 'soft';

-- FK: the stock reservations of a product variant.
CREATE INDEX stock_reservation_product_variant_idx
    ON ret.stock_reservation (business_id, product_variant_id);

-- FK: the stock reservations of a cart line.
CREATE INDEX stock_reservation_cart_line_idx
    ON ret.stock_reservation (business_id, cart_line_id)
    WHERE cart_line_id IS NOT NULL;

-- FK: the stock reservations of a sales order line.
CREATE INDEX stock_reservation_sales_order_line_idx
    ON ret.stock_reservation (business_id, sales_order_line_id)
    WHERE sales_order_line_id IS NOT NULL;

-- FK: the stock reservations of a stock lot.
CREATE INDEX stock_reservation_stock_lot_idx
    ON ret.stock_reservation (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

ALTER TABLE ret.stock_reservation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_reservation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.stock_reservation TO app_user;
GRANT SELECT ON ret.stock_reservation TO app_readonly;

CREATE TRIGGER stock_reservation_touch
    BEFORE UPDATE ON ret.stock_reservation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER stock_reservation_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.stock_reservation
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["active"],
        "transitions": {
            "active":    ["released", "expired", "fulfilled"],
            "released":  [],
            "expired":   [],
            "fulfilled": []
        }}');

CREATE TRIGGER stock_reservation_reservation_kind_machine
    BEFORE UPDATE OF reservation_kind ON ret.stock_reservation
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('reservation_kind', '{
        "initial": ["soft", "hard", "backorder", "preorder"],
        "transitions": {
            "soft":      ["hard"],
            "backorder": ["hard"],
            "preorder":  ["hard", "backorder"],
            "hard":      []
        }}');

CREATE FUNCTION ret.held_as(state text, kind text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN state = 'fulfilled' THEN 'none'
                WHEN state <> 'active' THEN 'available'
                WHEN kind = 'soft' THEN 'reserved'
                WHEN kind = 'hard' THEN 'committed'
                ELSE 'available' END;
COMMENT ON FUNCTION ret.held_as(text, text) IS
    'In which state of the ledger the stock of a reservation lies.';

CREATE FUNCTION ret.hold_stock() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    was   text := 'available';
    goal  CONSTANT text := ret.held_as(NEW.state, NEW.reservation_kind);
    moved numeric := NEW.quantity;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        was := ret.held_as(OLD.state, OLD.reservation_kind);
        IF (NEW.location_id, NEW.product_variant_id) <> (OLD.location_id, OLD.product_variant_id)
           OR NEW.quantity > OLD.quantity OR NEW.quantity < OLD.quantity AND was <> goal
           OR NEW.quantity <> OLD.quantity AND OLD.state <> 'active' THEN
            RAISE EXCEPTION 'a reservation stays where it is and only shrinks'
                USING ERRCODE = 'check_violation',
                      HINT = 'Release it and reserve what is wanted now.';
        ELSIF NEW.quantity < OLD.quantity THEN
            moved := OLD.quantity - NEW.quantity;
            was := ret.held_as(OLD.state, OLD.reservation_kind);
            IF was <> 'available' THEN
                PERFORM ret.post_stock_movement(
                    NEW.location_id, NEW.product_variant_id, 'sale', was, 'available', moved,
                    'sale', NEW.stock_reservation_id);
            END IF;
            RETURN NULL;
        END IF;
    END IF;
    IF was <> goal THEN
        PERFORM ret.post_stock_movement(
            NEW.location_id, NEW.product_variant_id, 'sale', was, goal, moved,
            CASE goal WHEN 'none' THEN 'shipment' ELSE 'sale' END, NEW.stock_reservation_id,
            lot => CASE goal WHEN 'none' THEN NEW.stock_lot_id END);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.hold_stock() IS
    'Moves the stock of a reservation in the ledger: held for a cart or an order, given back, gone.
     The ledger locks the level and refuses what is not there, so nothing is promised twice.';

CREATE TRIGGER stock_reservation_hold
    AFTER INSERT OR UPDATE ON ret.stock_reservation
    FOR EACH ROW EXECUTE FUNCTION ret.hold_stock();


CREATE TABLE ret.fulfilment_order (
    business_id         uuid        NOT NULL,
    fulfilment_order_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    sales_order_id      uuid        NOT NULL,
    location_id         uuid        NOT NULL,
    sourcing_rule_id    uuid,
    fulfilment_number   text        NOT NULL,
    method              text        NOT NULL,
    state               text        NOT NULL DEFAULT 'scheduled',
    request_state       text        NOT NULL DEFAULT 'unsubmitted',
    routed_at           timestamptz NOT NULL DEFAULT now(),
    accepted_at         timestamptz,
    promise_at          timestamptz,
    ready_at            timestamptz,
    completed_at        timestamptz,
    reject_reason       text        NOT NULL DEFAULT 'none',
    reroute_count       integer     NOT NULL DEFAULT 0,
    priority_no         integer     NOT NULL DEFAULT 100,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, fulfilment_order_id),
    UNIQUE (business_id, fulfilment_number),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, sourcing_rule_id)
        REFERENCES ret.sourcing_rule (business_id, sourcing_rule_id),
    CONSTRAINT fulfilment_order_method_known
        CHECK (method IN ('ship', 'pickup', 'curbside', 'local_delivery', 'transfer_to_store',
                          'digital')),
    CONSTRAINT fulfilment_order_state_known
        CHECK (state IN ('scheduled', 'open', 'on_hold', 'picking', 'packed', 'ready',
                         'in_progress', 'completed', 'rejected', 'cancelled')),
    CONSTRAINT fulfilment_order_request_state_known
        CHECK (request_state IN ('unsubmitted', 'submitted', 'accepted', 'rejected')),
    CONSTRAINT fulfilment_order_reject_reason_known
        CHECK (reject_reason IN ('none', 'no_stock', 'damaged', 'too_busy', 'closed')),
    CONSTRAINT fulfilment_order_routed_at_in_order CHECK (routed_at <= accepted_at),
    CONSTRAINT fulfilment_order_accepted_at_in_order CHECK (accepted_at <= ready_at),
    CONSTRAINT fulfilment_order_ready_at_in_order CHECK (ready_at <= completed_at),
    CONSTRAINT fulfilment_order_rejected_has_reason
        CHECK ((reject_reason <> 'none') = (state = 'rejected')),
    CONSTRAINT fulfilment_order_completed_has_time
        CHECK ((completed_at IS NOT NULL) = (state = 'completed')),
    CONSTRAINT fulfilment_order_ready_has_time
        CHECK (state <> 'ready' OR ready_at IS NOT NULL),
    CONSTRAINT fulfilment_order_reroutes_not_negative CHECK (reroute_count >= 0),
    CONSTRAINT fulfilment_order_accepted_last CHECK (completed_at >= routed_at)
);

COMMENT ON TABLE ret.fulfilment_order IS
    'The part of an order that one location must ship or hand over.';
COMMENT ON COLUMN ret.fulfilment_order.request_state IS
    'Whether the location was asked and what it answered.';
COMMENT ON COLUMN ret.fulfilment_order.promise_at IS 'Until when the customer was promised it.';
COMMENT ON COLUMN ret.fulfilment_order.reroute_count IS
    'How many locations turned it down before.';
COMMENT ON COLUMN ret.fulfilment_order.priority_no IS 'The lowest is picked first.';

-- FK: the fulfilment orders of a sales order.
CREATE INDEX fulfilment_order_sales_order_idx
    ON ret.fulfilment_order (business_id, sales_order_id);

-- Serves store_pick_queue and ret.claim_pick_list(): what a location has to do, in its order.
CREATE INDEX fulfilment_order_queue_idx
    ON ret.fulfilment_order (business_id, location_id, priority_no, promise_at)
    WHERE state IN ('open', 'in_progress', 'picking');

-- FK: the fulfilment orders of a location.
CREATE INDEX fulfilment_order_location_idx
    ON ret.fulfilment_order (business_id, location_id, routed_at DESC);

-- FK: the fulfilment orders of a sourcing rule.
CREATE INDEX fulfilment_order_sourcing_rule_idx
    ON ret.fulfilment_order (business_id, sourcing_rule_id)
    WHERE sourcing_rule_id IS NOT NULL;

ALTER TABLE ret.fulfilment_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.fulfilment_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.fulfilment_order TO app_user;
GRANT SELECT ON ret.fulfilment_order TO app_readonly;

CREATE TRIGGER fulfilment_order_touch
    BEFORE UPDATE ON ret.fulfilment_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER fulfilment_order_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.fulfilment_order
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["scheduled", "open"],
        "transitions": {
            "scheduled":   ["open", "on_hold", "rejected", "cancelled"],
            "open":        ["on_hold", "in_progress", "picking", "rejected", "cancelled"],
            "on_hold":     ["open", "rejected", "cancelled"],
            "in_progress": ["picking", "packed", "ready", "completed", "rejected", "cancelled"],
            "picking":     ["open", "packed", "ready", "rejected", "cancelled"],
            "packed":      ["ready", "completed", "cancelled"],
            "ready":       ["completed", "cancelled"],
            "completed":   [],
            "rejected":    [],
            "cancelled":   []
        }}');

CREATE TRIGGER fulfilment_order_request_state_machine
    BEFORE INSERT OR UPDATE OF request_state ON ret.fulfilment_order
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('request_state', '{
        "initial": ["unsubmitted", "submitted", "accepted"],
        "transitions": {
            "unsubmitted": ["submitted", "accepted"],
            "submitted":   ["accepted", "rejected", "unsubmitted"],
            "accepted":    ["rejected"],
            "rejected":    []
        }}');

CREATE FUNCTION ret.book_capacity() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    change CONSTANT integer := CASE WHEN TG_OP = 'INSERT' THEN 1 ELSE -1 END;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    UPDATE ret.fulfilment_capability AS c
    SET booked_today = greatest(c.booked_today + change, 0)
    FROM ret.sales_order AS o
    JOIN ret.location AS l
        ON l.business_id = NEW.business_id AND l.location_id = NEW.location_id
    WHERE o.business_id = NEW.business_id AND o.sales_order_id = NEW.sales_order_id
      AND c.business_id = NEW.business_id AND c.location_id = NEW.location_id
      AND c.sales_channel_id = o.sales_channel_id
      AND c.capability = CASE NEW.method WHEN 'ship' THEN 'ship_from' ELSE NEW.method END
      -- What was routed on another day took nothing of today.
      AND (NEW.routed_at AT TIME ZONE l.timezone)::date = (now() AT TIME ZONE l.timezone)::date;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.book_capacity() IS
    'What a location is to do today takes from its capacity; what it does not do is freed.';

CREATE TRIGGER fulfilment_order_books
    AFTER INSERT ON ret.fulfilment_order
    FOR EACH ROW EXECUTE FUNCTION ret.book_capacity();

CREATE TRIGGER fulfilment_order_frees
    AFTER UPDATE OF state ON ret.fulfilment_order
    FOR EACH ROW WHEN (NEW.state IN ('rejected', 'cancelled') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION ret.book_capacity();

CREATE FUNCTION ret.note_fulfilment_state() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    actor CONSTANT uuid := nullif(current_setting('app.user_account_id', true), '');
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    INSERT INTO ret.order_status_event
        (business_id, sales_order_id, occurred_at, aspect, from_state, to_state, actor_kind,
         actor_user_id, payload)
    VALUES (NEW.business_id, NEW.sales_order_id, clock_timestamp(), 'fulfilment',
            CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END, NEW.state,
            CASE WHEN actor IS NULL THEN 'system' ELSE 'staff' END, actor,
            jsonb_build_object('fulfilment', NEW.fulfilment_number));
    -- The order is being worked on as soon as one of its parts is.
    IF NEW.state IN ('picking', 'in_progress') THEN
        UPDATE ret.sales_order AS o
        SET state = 'processing'
        WHERE o.business_id = NEW.business_id AND o.sales_order_id = NEW.sales_order_id
          AND o.state = 'confirmed';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.note_fulfilment_state() IS
    'How the parts of an order went is in its trail; picking the first begins the order.';

CREATE TRIGGER fulfilment_order_note_first_state
    AFTER INSERT ON ret.fulfilment_order
    FOR EACH ROW EXECUTE FUNCTION ret.note_fulfilment_state();

CREATE TRIGGER fulfilment_order_note_state
    AFTER UPDATE OF state ON ret.fulfilment_order
    FOR EACH ROW WHEN (NEW.state <> OLD.state)
    EXECUTE FUNCTION ret.note_fulfilment_state();


CREATE TABLE ret.fulfilment_order_line (
    business_id              uuid                 NOT NULL,
    fulfilment_order_line_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    fulfilment_order_id      uuid                 NOT NULL,
    sales_order_line_id      uuid                 NOT NULL,
    quantity                 system_core.quantity NOT NULL,
    picked_qty               system_core.quantity NOT NULL DEFAULT 0,
    packed_qty               system_core.quantity NOT NULL DEFAULT 0,
    shipped_qty              system_core.quantity NOT NULL DEFAULT 0,
    short_qty                system_core.quantity NOT NULL DEFAULT 0,
    substitution_allowed     boolean              NOT NULL DEFAULT false,
    state                    text                 NOT NULL DEFAULT 'open',
    short_reason             text,
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, fulfilment_order_line_id),
    UNIQUE (business_id, fulfilment_order_id, sales_order_line_id),
    FOREIGN KEY (business_id, fulfilment_order_id)
        REFERENCES ret.fulfilment_order (business_id, fulfilment_order_id),
    FOREIGN KEY (business_id, sales_order_line_id)
        REFERENCES ret.sales_order_line (business_id, sales_order_line_id),
    CONSTRAINT fulfilment_order_line_state_known
        CHECK (state IN ('open', 'picked', 'packed', 'shipped', 'short', 'cancelled')),
    CONSTRAINT fulfilment_order_line_picked_qty_precedes_short_qty
        CHECK (picked_qty + short_qty <= quantity),
    CONSTRAINT fulfilment_order_line_shipped_qty_in_order CHECK (shipped_qty <= packed_qty),
    CONSTRAINT fulfilment_order_line_packed_qty_in_order CHECK (packed_qty <= picked_qty),
    CONSTRAINT fulfilment_order_line_quantity_positive CHECK (quantity > 0),
    CONSTRAINT fulfilment_order_line_progress_not_negative
        CHECK (least(picked_qty, packed_qty, shipped_qty, short_qty) >= 0),
    CONSTRAINT fulfilment_order_line_short_has_reason
        CHECK (short_qty = 0 OR short_reason IS NOT NULL)
);

COMMENT ON TABLE ret.fulfilment_order_line IS
    'How much of an order line is to be fulfilled here, and how far it is.';
COMMENT ON COLUMN ret.fulfilment_order_line.short_qty IS 'Not found on the shelf.';
COMMENT ON COLUMN ret.fulfilment_order_line.shipped_qty IS 'Shipped or handed over.';

-- FK: the fulfilment order lines of a sales order line.
CREATE INDEX fulfilment_order_line_sales_order_line_idx
    ON ret.fulfilment_order_line (business_id, sales_order_line_id);

ALTER TABLE ret.fulfilment_order_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.fulfilment_order_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.fulfilment_order_line TO app_user;
GRANT SELECT ON ret.fulfilment_order_line TO app_readonly;

CREATE TRIGGER fulfilment_order_line_touch
    BEFORE UPDATE ON ret.fulfilment_order_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER fulfilment_order_line_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.fulfilment_order_line
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open"],
        "transitions": {
            "open":      ["picked", "short", "cancelled"],
            "picked":    ["packed", "shipped", "short", "open", "cancelled"],
            "packed":    ["shipped", "picked", "cancelled"],
            "short":     ["cancelled"],
            "shipped":   [],
            "cancelled": []
        }}');

CREATE FUNCTION ret.fulfil_order_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    gone  numeric := NEW.shipped_qty - OLD.shipped_qty;
    place uuid;
    held  record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    ELSIF gone < 0 THEN
        RAISE EXCEPTION 'what left does not come back this way'
            USING ERRCODE = 'check_violation', HINT = 'Take it back as a return.';
    END IF;
    SELECT f.location_id INTO place
    FROM ret.fulfilment_order AS f
    WHERE f.business_id = NEW.business_id AND f.fulfilment_order_id = NEW.fulfilment_order_id;
    UPDATE ret.sales_order_line AS l
    SET fulfilled_qty = l.fulfilled_qty + gone
    WHERE l.business_id = NEW.business_id AND l.sales_order_line_id = NEW.sales_order_line_id;
    FOR held IN
        SELECT r.stock_reservation_id, r.quantity
        FROM ret.stock_reservation AS r
        WHERE r.business_id = NEW.business_id AND r.location_id = place
          AND r.sales_order_line_id = NEW.sales_order_line_id AND r.state = 'active'
        ORDER BY r.reserved_at, r.stock_reservation_id
        FOR NO KEY UPDATE
    LOOP
        EXIT WHEN gone = 0;
        IF held.quantity > gone THEN
            -- A part of it leaves: the rest stays held under a key of its own.
            UPDATE ret.stock_reservation AS r
            SET quantity = gone
            WHERE r.business_id = NEW.business_id
              AND r.stock_reservation_id = held.stock_reservation_id;
            INSERT INTO ret.stock_reservation
                (business_id, location_id, product_variant_id, sales_order_line_id, stock_lot_id,
                 quantity, reservation_kind, created_for, reserved_at)
            SELECT r.business_id, r.location_id, r.product_variant_id, r.sales_order_line_id,
                   r.stock_lot_id, held.quantity - gone, r.reservation_kind, r.created_for,
                   r.reserved_at
            FROM ret.stock_reservation AS r
            WHERE r.business_id = NEW.business_id
              AND r.stock_reservation_id = held.stock_reservation_id;
        END IF;
        UPDATE ret.stock_reservation AS r
        SET state = 'fulfilled', fulfilled_at = greatest(now(), r.reserved_at)
        WHERE r.business_id = NEW.business_id
          AND r.stock_reservation_id = held.stock_reservation_id;
        gone := gone - least(held.quantity, gone);
    END LOOP;
    IF gone > 0 THEN
        RAISE EXCEPTION '% of what leaves was not reserved here', gone
            USING ERRCODE = 'check_violation', HINT = 'Reserve the stock first.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.fulfil_order_line() IS
    'What is shipped or handed over leaves its reservation and the stock, and counts for the
     order.';

CREATE TRIGGER fulfilment_order_line_ships
    AFTER UPDATE OF shipped_qty ON ret.fulfilment_order_line
    FOR EACH ROW WHEN (NEW.shipped_qty <> OLD.shipped_qty)
    EXECUTE FUNCTION ret.fulfil_order_line();


CREATE TABLE ret.fulfilment_hold (
    business_id         uuid        NOT NULL,
    fulfilment_hold_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    released_by_user_id uuid,
    fulfilment_order_id uuid        NOT NULL,
    hold_reason         text        NOT NULL,
    note                text,
    held_at             timestamptz NOT NULL DEFAULT now(),
    release_due_at      timestamptz,
    released_at         timestamptz,
    is_automatic        boolean     NOT NULL DEFAULT false,
    notified_at         timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, fulfilment_hold_id),
    FOREIGN KEY (business_id, released_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, fulfilment_order_id)
        REFERENCES ret.fulfilment_order (business_id, fulfilment_order_id),
    CONSTRAINT fulfilment_hold_reason_known
        CHECK (hold_reason IN ('awaiting_payment', 'high_risk', 'incorrect_address',
                               'out_of_stock', 'awaiting_return_items', 'unknown_delivery_date',
                               'customer_request', 'other')),
    CONSTRAINT fulfilment_hold_released_at_follows_held_at CHECK (released_at >= held_at),
    CONSTRAINT fulfilment_hold_other_is_explained
        CHECK (hold_reason <> 'other' OR coalesce(note, '') ~ '\S'),
    CONSTRAINT fulfilment_hold_release_due_later CHECK (release_due_at >= held_at)
);

COMMENT ON TABLE ret.fulfilment_hold IS 'Why a fulfilment may not start.';
COMMENT ON COLUMN ret.fulfilment_hold.is_automatic IS 'Put on by a rule, not by somebody.';

-- One open hold a reason.
CREATE UNIQUE INDEX fulfilment_hold_open_idx
    ON ret.fulfilment_hold (business_id, fulfilment_order_id, hold_reason)
    WHERE released_at IS NULL;

-- FK: the fulfilment holds by their released by user.
CREATE INDEX fulfilment_hold_released_by_user_idx
    ON ret.fulfilment_hold (business_id, released_by_user_id)
    WHERE released_by_user_id IS NOT NULL;

-- FK: the fulfilment holds of a fulfilment order.
CREATE INDEX fulfilment_hold_fulfilment_order_idx
    ON ret.fulfilment_hold (business_id, fulfilment_order_id);

ALTER TABLE ret.fulfilment_hold ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.fulfilment_hold
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.fulfilment_hold TO app_user;
GRANT SELECT ON ret.fulfilment_hold TO app_readonly;

CREATE TRIGGER fulfilment_hold_touch
    BEFORE UPDATE ON ret.fulfilment_hold
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.apply_hold() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    UPDATE ret.fulfilment_order AS f
    SET state = CASE WHEN h.is_held THEN 'on_hold' ELSE 'open' END
    FROM (
        SELECT EXISTS (SELECT FROM ret.fulfilment_hold AS x
                       WHERE x.business_id = NEW.business_id
                         AND x.fulfilment_order_id = NEW.fulfilment_order_id
                         AND x.released_at IS NULL) AS is_held
    ) AS h
    WHERE f.business_id = NEW.business_id AND f.fulfilment_order_id = NEW.fulfilment_order_id
      AND f.state <> CASE WHEN h.is_held THEN 'on_hold' ELSE 'open' END
      AND (h.is_held OR f.state = 'on_hold');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.apply_hold() IS
    'A fulfilment waits while a hold is open and goes on when the last one is released; what is
     being picked already cannot be held.';

CREATE TRIGGER fulfilment_hold_apply
    AFTER INSERT OR UPDATE OF released_at ON ret.fulfilment_hold
    FOR EACH ROW EXECUTE FUNCTION ret.apply_hold();

CREATE FUNCTION ret.require_no_hold() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND EXISTS (
        SELECT FROM ret.fulfilment_hold AS h
        WHERE h.business_id = NEW.business_id AND h.fulfilment_order_id = NEW.fulfilment_order_id
          AND h.released_at IS NULL
    ) THEN
        RAISE EXCEPTION 'fulfilment % is held', NEW.fulfilment_number
            USING ERRCODE = 'check_violation', HINT = 'Release its holds.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.require_no_hold() IS 'A hold is released, not passed over.';

CREATE TRIGGER fulfilment_order_held
    BEFORE UPDATE OF state ON ret.fulfilment_order
    FOR EACH ROW WHEN (OLD.state = 'on_hold' AND NEW.state = 'open')
    EXECUTE FUNCTION ret.require_no_hold();


CREATE TABLE ret.pick_list (
    business_id            uuid        NOT NULL,
    pick_list_id           uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    picker_user_id         uuid,
    location_id            uuid        NOT NULL,
    pick_number            text        NOT NULL,
    pick_kind              text        NOT NULL DEFAULT 'single',
    created_for_cut_off_at timestamptz,
    assigned_at            timestamptz,
    started_at             timestamptz,
    completed_at           timestamptz,
    line_count             integer     NOT NULL DEFAULT 0,
    unit_count             integer     NOT NULL DEFAULT 0,
    short_count            integer     NOT NULL DEFAULT 0,
    pick_seconds           integer,
    state                  text        NOT NULL DEFAULT 'open',
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pick_list_id),
    UNIQUE (business_id, pick_number),
    FOREIGN KEY (business_id, picker_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT pick_list_pick_kind_known
        CHECK (pick_kind IN ('single', 'batch', 'zone', 'wave', 'store_pick')),
    CONSTRAINT pick_list_state_known
        CHECK (state IN ('open', 'assigned', 'picking', 'picked', 'cancelled')),
    CONSTRAINT pick_list_assigned_at_in_order CHECK (assigned_at <= started_at),
    CONSTRAINT pick_list_started_at_in_order CHECK (started_at <= completed_at),
    CONSTRAINT pick_list_assigned_has_picker
        CHECK (state NOT IN ('assigned', 'picking', 'picked')
               OR (picker_user_id IS NOT NULL AND assigned_at IS NOT NULL)),
    CONSTRAINT pick_list_started_has_time
        CHECK (state NOT IN ('picking', 'picked') OR started_at IS NOT NULL),
    CONSTRAINT pick_list_picked_has_time
        CHECK ((completed_at IS NOT NULL) = (state = 'picked')),
    CONSTRAINT pick_list_counts_not_negative
        CHECK (least(line_count, unit_count, short_count) >= 0 AND pick_seconds >= 0)
);

COMMENT ON TABLE ret.pick_list IS 'A walk along the shelves for one order or for several at once.';
COMMENT ON COLUMN ret.pick_list.created_for_cut_off_at IS
    'When the carrier comes for what it picks.';
COMMENT ON COLUMN ret.pick_list.short_count IS 'Stops where not everything was found.';
COMMENT ON COLUMN ret.pick_list.pick_seconds IS 'From the first to the last stop.';

-- FK: the pick lists by their picker user.
CREATE INDEX pick_list_picker_user_idx
    ON ret.pick_list (business_id, picker_user_id)
    WHERE picker_user_id IS NOT NULL;

-- FK: the pick lists of a location.
CREATE INDEX pick_list_location_idx ON ret.pick_list (business_id, location_id);

ALTER TABLE ret.pick_list ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.pick_list
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.pick_list TO app_user;
GRANT SELECT ON ret.pick_list TO app_readonly;

CREATE TRIGGER pick_list_touch
    BEFORE UPDATE ON ret.pick_list
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER pick_list_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.pick_list
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open", "assigned"],
        "transitions": {
            "open":      ["assigned", "picking", "cancelled"],
            "assigned":  ["open", "picking", "cancelled"],
            "picking":   ["picked", "cancelled"],
            "picked":    [],
            "cancelled": []
        }}');


CREATE TABLE ret.pick_list_line (
    business_id              uuid                 NOT NULL,
    pick_list_line_id        uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    pick_list_id             uuid                 NOT NULL,
    fulfilment_order_line_id uuid                 NOT NULL,
    product_variant_id       uuid                 NOT NULL,
    bin_location_id          uuid,
    stock_lot_id             uuid,
    serial_unit_id           uuid,
    walk_sequence            integer              NOT NULL,
    required_qty             system_core.quantity NOT NULL,
    picked_qty               system_core.quantity NOT NULL DEFAULT 0,
    short_qty                system_core.quantity NOT NULL DEFAULT 0,
    scanned_barcode          text,
    picked_at                timestamptz,
    exception_kind           text                 NOT NULL DEFAULT 'none',
    tote_code                system_core.code,
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pick_list_line_id),
    UNIQUE (business_id, pick_list_id, walk_sequence),
    FOREIGN KEY (business_id, pick_list_id) REFERENCES ret.pick_list (business_id, pick_list_id),
    FOREIGN KEY (business_id, fulfilment_order_line_id)
        REFERENCES ret.fulfilment_order_line (business_id, fulfilment_order_line_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, bin_location_id)
        REFERENCES ret.bin_location (business_id, bin_location_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    FOREIGN KEY (business_id, serial_unit_id)
        REFERENCES ret.serial_unit (business_id, serial_unit_id),
    CONSTRAINT pick_list_line_exception_kind_known
        CHECK (exception_kind IN ('none', 'not_found', 'damaged', 'wrong_bin', 'substituted')),
    CONSTRAINT pick_list_line_required_positive CHECK (required_qty > 0),
    CONSTRAINT pick_list_line_quantities_not_negative CHECK (least(picked_qty, short_qty) >= 0),
    CONSTRAINT pick_list_line_picked_or_short
        CHECK (CASE WHEN picked_at IS NULL THEN picked_qty + short_qty = 0
                    ELSE picked_qty + short_qty = required_qty END),
    CONSTRAINT pick_list_line_short_has_exception
        CHECK (short_qty = 0 OR exception_kind <> 'none')
);

COMMENT ON TABLE ret.pick_list_line IS
    'A stop of the walk: bin, lot or serial number, and how much to take.';
COMMENT ON COLUMN ret.pick_list_line.tote_code IS 'The box of the order that it goes into.';
COMMENT ON COLUMN ret.pick_list_line.exception_kind IS 'What was wrong at the shelf.';

-- FK: the pick list lines of a fulfilment order line.
CREATE INDEX pick_list_line_fulfilment_order_line_idx
    ON ret.pick_list_line (business_id, fulfilment_order_line_id);

-- FK: the pick list lines of a product variant.
CREATE INDEX pick_list_line_product_variant_idx
    ON ret.pick_list_line (business_id, product_variant_id);

-- FK: the pick list lines of a bin location.
CREATE INDEX pick_list_line_bin_location_idx
    ON ret.pick_list_line (business_id, bin_location_id)
    WHERE bin_location_id IS NOT NULL;

-- FK: the pick list lines of a stock lot.
CREATE INDEX pick_list_line_stock_lot_idx
    ON ret.pick_list_line (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

-- FK: the pick list lines of a serial unit.
CREATE INDEX pick_list_line_serial_unit_idx
    ON ret.pick_list_line (business_id, serial_unit_id)
    WHERE serial_unit_id IS NOT NULL;

ALTER TABLE ret.pick_list_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.pick_list_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.pick_list_line TO app_user;
GRANT SELECT ON ret.pick_list_line TO app_readonly;

CREATE TRIGGER pick_list_line_touch
    BEFORE UPDATE ON ret.pick_list_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.add_up_picks() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active('ret.pick_list') THEN
        RETURN NULL;
    END IF;
    UPDATE ret.fulfilment_order_line AS f
    SET picked_qty = n.picked, short_qty = n.short, short_reason = n.reason,
        state = CASE WHEN n.picked > 0 THEN 'picked' ELSE 'short' END
    FROM (
        SELECT p.business_id, p.fulfilment_order_line_id, sum(p.picked_qty) AS picked,
               sum(p.short_qty) AS short,
               max(p.exception_kind) FILTER (WHERE p.short_qty > 0) AS reason
        FROM ret.pick_list_line AS p
        JOIN ret.pick_list AS l
            ON l.business_id = p.business_id AND l.pick_list_id = p.pick_list_id
           AND l.state <> 'cancelled'
        WHERE (p.business_id, p.fulfilment_order_line_id) IN (
            SELECT c.business_id, c.fulfilment_order_line_id FROM changed AS c)
        GROUP BY p.business_id, p.fulfilment_order_line_id
        HAVING bool_and(p.picked_at IS NOT NULL)
    ) AS n
    WHERE f.business_id = n.business_id
      AND f.fulfilment_order_line_id = n.fulfilment_order_line_id AND f.state = 'open';
    UPDATE ret.pick_list AS l
    SET state = 'picked', completed_at = greatest(now(), l.started_at),
        short_count = n.shorts, unit_count = n.units,
        pick_seconds = extract(epoch FROM greatest(now(), l.started_at) - l.started_at)
    FROM (
        SELECT p.business_id, p.pick_list_id, count(*) FILTER (WHERE p.short_qty > 0) AS shorts,
               ceil(sum(p.picked_qty)) AS units
        FROM ret.pick_list_line AS p
        WHERE (p.business_id, p.pick_list_id) IN (SELECT c.business_id, c.pick_list_id
                                                  FROM changed AS c)
        GROUP BY p.business_id, p.pick_list_id
        HAVING bool_and(p.picked_at IS NOT NULL)
    ) AS n
    WHERE l.business_id = n.business_id AND l.pick_list_id = n.pick_list_id
      AND l.state = 'picking';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.add_up_picks() IS
    'What was taken or missed at the shelves counts for the fulfilment; the last stop ends the
     walk.';

CREATE TRIGGER pick_list_line_add_up
    AFTER UPDATE ON ret.pick_list_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.add_up_picks();


CREATE TABLE ret.pickup_order (
    business_id            uuid             NOT NULL,
    pickup_order_id        uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    shelf_bin_id           uuid,
    handed_over_by_user_id uuid,
    fulfilment_order_id    uuid             NOT NULL,
    pickup_code            system_core.code NOT NULL,
    ready_at               timestamptz,
    notified_at            timestamptz,
    hold_until             timestamptz,
    customer_arrived_at    timestamptz,
    is_curbside            boolean          NOT NULL DEFAULT false,
    vehicle_note           text,
    handed_over_at         timestamptz,
    id_check               text             NOT NULL DEFAULT 'none',
    collector_name         text,
    wait_seconds           integer,
    reminder_count         integer          NOT NULL DEFAULT 0,
    state                  text             NOT NULL DEFAULT 'preparing',
    created_at             timestamptz      NOT NULL DEFAULT now(),
    updated_at             timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pickup_order_id),
    UNIQUE (business_id, fulfilment_order_id),
    FOREIGN KEY (business_id, shelf_bin_id)
        REFERENCES ret.bin_location (business_id, bin_location_id),
    FOREIGN KEY (business_id, handed_over_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, fulfilment_order_id)
        REFERENCES ret.fulfilment_order (business_id, fulfilment_order_id),
    CONSTRAINT pickup_order_id_check_known
        CHECK (id_check IN ('none', 'code', 'photo_id', 'signature')),
    CONSTRAINT pickup_order_state_known
        CHECK (state IN ('preparing', 'ready', 'arrived', 'collected', 'expired',
                         'returned_to_stock')),
    CONSTRAINT pickup_order_ready_at_in_order CHECK (ready_at <= customer_arrived_at),
    CONSTRAINT pickup_order_customer_arrived_at_in_order
        CHECK (customer_arrived_at <= handed_over_at),
    CONSTRAINT pickup_order_ready_has_time
        CHECK (state IN ('preparing', 'returned_to_stock') OR ready_at IS NOT NULL),
    CONSTRAINT pickup_order_handed_over_has_time
        CHECK ((handed_over_at IS NOT NULL) = (state = 'collected')),
    CONSTRAINT pickup_order_arrived_has_time
        CHECK (state <> 'arrived' OR customer_arrived_at IS NOT NULL),
    CONSTRAINT pickup_order_handed_over_when_ready CHECK (handed_over_at >= ready_at),
    CONSTRAINT pickup_order_held_after_ready CHECK (hold_until > ready_at),
    CONSTRAINT pickup_order_counts_not_negative
        CHECK (reminder_count >= 0 AND wait_seconds >= 0)
);

COMMENT ON TABLE ret.pickup_order IS
    'Bought online, fetched in the store: prepared, ready on its shelf, handed over or put back.';
COMMENT ON COLUMN ret.pickup_order.pickup_code IS
    'What the shopper shows; of those that wait no two are the same.';
COMMENT ON COLUMN ret.pickup_order.hold_until IS 'After that it goes back to stock.';
COMMENT ON COLUMN ret.pickup_order.wait_seconds IS 'From the shopper''s arrival to the handover.';
COMMENT ON COLUMN ret.pickup_order.vehicle_note IS 'Of a shopper who waits at the curb.';

-- One row a pickup code.
CREATE UNIQUE INDEX pickup_order_pickup_code_idx
    ON ret.pickup_order (business_id, pickup_code)
    WHERE state IN ('ready', 'arrived');

-- FK: the pickup orders by their shelf bin.
CREATE INDEX pickup_order_shelf_bin_idx
    ON ret.pickup_order (business_id, shelf_bin_id)
    WHERE shelf_bin_id IS NOT NULL;

-- FK: the pickup orders by their handed over by user.
CREATE INDEX pickup_order_handed_over_by_user_idx
    ON ret.pickup_order (business_id, handed_over_by_user_id)
    WHERE handed_over_by_user_id IS NOT NULL;

ALTER TABLE ret.pickup_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.pickup_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.pickup_order TO app_user;
GRANT SELECT ON ret.pickup_order TO app_readonly;

CREATE TRIGGER pickup_order_touch
    BEFORE UPDATE ON ret.pickup_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER pickup_order_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.pickup_order
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["preparing"],
        "transitions": {
            "preparing":         ["ready", "returned_to_stock"],
            "ready":             ["arrived", "collected", "expired", "returned_to_stock"],
            "arrived":           ["ready", "collected"],
            "expired":           ["ready", "returned_to_stock"],
            "collected":         [],
            "returned_to_stock": []
        }}');


CREATE TABLE ret.carrier_service (
    business_id          uuid             NOT NULL,
    carrier_service_id   uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    carrier_code         system_core.code NOT NULL,
    service_code         system_core.code NOT NULL,
    display_name         text             NOT NULL,
    service_level        text             NOT NULL,
    min_days             integer,
    max_days             integer,
    max_weight_g         integer,
    max_length_mm        integer,
    account_ref          text,
    tracking_url_pattern text,
    supports_returns     boolean          NOT NULL DEFAULT false,
    is_active            boolean          NOT NULL DEFAULT true,
    created_at           timestamptz      NOT NULL DEFAULT now(),
    updated_at           timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, carrier_service_id),
    UNIQUE (business_id, carrier_code, service_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT carrier_service_level_known
        CHECK (service_level IN ('economy', 'standard', 'express', 'same_day', 'freight')),
    CONSTRAINT carrier_service_max_days_follows_min_days CHECK (max_days >= min_days),
    CONSTRAINT carrier_service_days_not_negative CHECK (min_days >= 0),
    CONSTRAINT carrier_service_limits_positive CHECK (max_weight_g > 0 AND max_length_mm > 0),
    CONSTRAINT carrier_service_pattern_has_number
        CHECK (tracking_url_pattern LIKE 'https://%{number}%')
);

COMMENT ON TABLE ret.carrier_service IS
    'A carrier''s service: how fast it is, what it takes, under which contract.';
COMMENT ON COLUMN ret.carrier_service.account_ref IS
    'The contract with the carrier, as the carrier calls it.';
COMMENT ON COLUMN ret.carrier_service.tracking_url_pattern IS
    'Where a parcel is followed; {number} stands for its number.';

ALTER TABLE ret.carrier_service ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.carrier_service
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.carrier_service TO app_user;
GRANT SELECT ON ret.carrier_service TO app_readonly;

CREATE TRIGGER carrier_service_touch
    BEFORE UPDATE ON ret.carrier_service
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.shipping_zone (
    business_id         uuid                   NOT NULL,
    shipping_zone_id    uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    zone_code           system_core.code       NOT NULL,
    display_name        text                   NOT NULL,
    country_codes       text[]                 NOT NULL DEFAULT '{}',
    region_codes        text[]                 NOT NULL DEFAULT '{}',
    postal_patterns_doc system_core.json_array,
    is_domestic         boolean                NOT NULL DEFAULT false,
    is_remote           boolean                NOT NULL DEFAULT false,
    priority_no         integer                NOT NULL DEFAULT 100,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, shipping_zone_id),
    UNIQUE (business_id, zone_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT shipping_zone_has_countries CHECK (cardinality(country_codes) > 0)
);

COMMENT ON TABLE ret.shipping_zone IS
    'Countries, regions and postcodes that are delivered to at the same rates.';
COMMENT ON COLUMN ret.shipping_zone.region_codes IS 'Empty: all of its countries.';
COMMENT ON COLUMN ret.shipping_zone.postal_patterns_doc IS
    'Postcodes of it: [{"prefix": "606"}, {"from": "60001", "to": "60099"}].';
COMMENT ON COLUMN ret.shipping_zone.priority_no IS
    'Of the zones that an address is in, the lowest counts.';

ALTER TABLE ret.shipping_zone ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.shipping_zone
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.shipping_zone TO app_user;
GRANT SELECT ON ret.shipping_zone TO app_readonly;

CREATE TRIGGER shipping_zone_touch
    BEFORE UPDATE ON ret.shipping_zone
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.shipping_rate (
    business_id        uuid                 NOT NULL,
    shipping_rate_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    shipping_zone_id   uuid                 NOT NULL,
    carrier_service_id uuid                 NOT NULL,
    sales_channel_id   uuid,
    rate_name          text                 NOT NULL,
    rate_basis         text                 NOT NULL,
    min_value          system_core.quantity,
    max_value          system_core.quantity,
    price              system_core.money    NOT NULL,
    free_from_amount   system_core.money,
    handling_fee       system_core.money    NOT NULL DEFAULT 0,
    effective_from     date                 NOT NULL,
    effective_to       date,
    is_active          boolean              NOT NULL DEFAULT true,
    created_at         timestamptz          NOT NULL DEFAULT now(),
    updated_at         timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, shipping_rate_id),
    FOREIGN KEY (business_id, shipping_zone_id)
        REFERENCES ret.shipping_zone (business_id, shipping_zone_id),
    FOREIGN KEY (business_id, carrier_service_id)
        REFERENCES ret.carrier_service (business_id, carrier_service_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id),
    CONSTRAINT shipping_rate_basis_known
        CHECK (rate_basis IN ('flat', 'weight', 'value', 'item_count', 'live')),
    CONSTRAINT shipping_rate_max_value_follows_min_value CHECK (max_value > min_value),
    CONSTRAINT shipping_rate_amounts_not_negative
        CHECK (price >= 0 AND handling_fee >= 0 AND free_from_amount >= 0),
    CONSTRAINT shipping_rate_ends_after_start CHECK (effective_to >= effective_from),
    CONSTRAINT shipping_rate_values_not_negative CHECK (min_value >= 0),
    CONSTRAINT shipping_rate_no_overlap EXCLUDE USING gist (
        business_id WITH =, shipping_zone_id WITH =, carrier_service_id WITH =,
        (coalesce(sales_channel_id, '00000000-0000-0000-0000-000000000000')) WITH =,
        rate_basis WITH =, numrange(coalesce(min_value, 0), max_value) WITH &&,
        daterange(effective_from, effective_to, '[]') WITH &&) WHERE (is_active)
);

COMMENT ON TABLE ret.shipping_rate IS
    'What a service costs the customer in a zone, by weight, value or pieces.';
COMMENT ON COLUMN ret.shipping_rate.min_value IS 'Grams, amount or pieces from which it applies.';
COMMENT ON COLUMN ret.shipping_rate.max_value IS 'Up to here, without it; NULL is without end.';
COMMENT ON COLUMN ret.shipping_rate.free_from_amount IS
    'An order of this value ships free; NULL: never.';
COMMENT ON COLUMN ret.shipping_rate.rate_basis IS
    'live: the carrier is asked, this is what it costs when it does not answer.';

-- FK: the shipping rates of a shipping zone.
CREATE INDEX shipping_rate_shipping_zone_idx ON ret.shipping_rate (business_id, shipping_zone_id);

-- FK: the shipping rates of a carrier service.
CREATE INDEX shipping_rate_carrier_service_idx
    ON ret.shipping_rate (business_id, carrier_service_id);

-- FK: the shipping rates of a sales channel.
CREATE INDEX shipping_rate_sales_channel_idx
    ON ret.shipping_rate (business_id, sales_channel_id)
    WHERE sales_channel_id IS NOT NULL;

ALTER TABLE ret.shipping_rate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.shipping_rate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.shipping_rate TO app_user;
GRANT SELECT ON ret.shipping_rate TO app_readonly;

CREATE TRIGGER shipping_rate_touch
    BEFORE UPDATE ON ret.shipping_rate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.shipment (
    business_id         uuid              NOT NULL,
    shipment_id         uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    label_file_id       uuid,
    fulfilment_order_id uuid              NOT NULL,
    carrier_service_id  uuid              NOT NULL,
    shipment_number     text              NOT NULL,
    tracking_number     text,
    direction           text              NOT NULL DEFAULT 'outbound',
    package_kind        text              NOT NULL DEFAULT 'box',
    weight_g            integer,
    declared_value      system_core.money,
    label_cost          system_core.money NOT NULL DEFAULT 0,
    charged_amount      system_core.money NOT NULL DEFAULT 0,
    packed_at           timestamptz,
    shipped_at          timestamptz,
    estimated_at        timestamptz,
    delivered_at        timestamptz,
    delivery_attempts   integer           NOT NULL DEFAULT 0,
    state               text              NOT NULL DEFAULT 'label_created',
    signed_by           text,
    created_at          timestamptz       NOT NULL DEFAULT now(),
    updated_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, shipment_id),
    UNIQUE (business_id, shipment_number),
    FOREIGN KEY (business_id, label_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, fulfilment_order_id)
        REFERENCES ret.fulfilment_order (business_id, fulfilment_order_id),
    FOREIGN KEY (business_id, carrier_service_id)
        REFERENCES ret.carrier_service (business_id, carrier_service_id),
    CONSTRAINT shipment_direction_known CHECK (direction IN ('outbound', 'return')),
    CONSTRAINT shipment_package_kind_known
        CHECK (package_kind IN ('box', 'mailer', 'pallet', 'envelope')),
    CONSTRAINT shipment_state_known
        CHECK (state IN ('label_created', 'manifested', 'in_transit', 'out_for_delivery',
                         'delivered', 'exception', 'returned', 'lost')),
    CONSTRAINT shipment_packed_at_in_order CHECK (packed_at <= shipped_at),
    CONSTRAINT shipment_shipped_at_in_order CHECK (shipped_at <= delivered_at),
    CONSTRAINT shipment_left_has_time
        CHECK (state IN ('label_created', 'manifested', 'exception', 'lost')
               OR shipped_at IS NOT NULL),
    CONSTRAINT shipment_delivered_has_time
        CHECK ((state = 'delivered') = (delivered_at IS NOT NULL)),
    CONSTRAINT shipment_weight_positive CHECK (weight_g > 0),
    CONSTRAINT shipment_amounts_not_negative
        CHECK (label_cost >= 0 AND charged_amount >= 0 AND declared_value >= 0),
    CONSTRAINT shipment_attempts_not_negative CHECK (delivery_attempts >= 0)
);

COMMENT ON TABLE ret.shipment IS 'A parcel with its label, what it cost and when it came.';
COMMENT ON COLUMN ret.shipment.label_cost IS 'What the carrier takes.';
COMMENT ON COLUMN ret.shipment.charged_amount IS 'What the customer paid for it.';
COMMENT ON COLUMN ret.shipment.estimated_at IS 'When the carrier expects to deliver it.';

-- One row a tracking number.
CREATE UNIQUE INDEX shipment_carrier_service_id_tracking_number_idx
    ON ret.shipment (business_id, carrier_service_id, tracking_number)
    WHERE tracking_number IS NOT NULL;

-- FK: the shipments by their label file.
CREATE INDEX shipment_label_file_idx
    ON ret.shipment (business_id, label_file_id)
    WHERE label_file_id IS NOT NULL;

-- FK: the shipments of a fulfilment order.
CREATE INDEX shipment_fulfilment_order_idx ON ret.shipment (business_id, fulfilment_order_id);

-- FK: the parcels of a carrier service, the last first.
CREATE INDEX shipment_carrier_service_idx
    ON ret.shipment (business_id, carrier_service_id, shipped_at DESC);

-- What is on its way, to be followed up.
CREATE INDEX shipment_on_its_way_idx
    ON ret.shipment (business_id, shipped_at)
    WHERE state IN ('manifested', 'in_transit', 'out_for_delivery', 'exception');

ALTER TABLE ret.shipment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.shipment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.shipment TO app_user;
GRANT SELECT ON ret.shipment TO app_readonly;

CREATE TRIGGER shipment_touch
    BEFORE UPDATE ON ret.shipment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER shipment_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.shipment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["label_created"],
        "transitions": {
            "label_created":    ["manifested", "in_transit", "exception", "lost"],
            "manifested":       ["in_transit", "exception", "lost"],
            "in_transit":       ["out_for_delivery", "delivered", "exception", "returned", "lost"],
            "out_for_delivery": ["in_transit", "delivered", "exception", "returned", "lost"],
            "exception":        ["in_transit", "out_for_delivery", "delivered", "returned",
                                 "lost"],
            "delivered":        [],
            "returned":         [],
            "lost":             ["delivered", "returned"]
        }}');


CREATE TABLE ret.shipment_line (
    business_id              uuid                 NOT NULL,
    shipment_line_id         uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    shipment_id              uuid                 NOT NULL,
    fulfilment_order_line_id uuid                 NOT NULL,
    stock_lot_id             uuid,
    serial_unit_id           uuid,
    line_number              integer              NOT NULL,
    quantity                 system_core.quantity NOT NULL,
    unit_value               system_core.money,
    customs_description      text,
    hs_code                  system_core.code,
    origin_country           text,
    weight_g                 integer,
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, shipment_line_id),
    UNIQUE (business_id, shipment_id, line_number),
    FOREIGN KEY (business_id, shipment_id) REFERENCES ret.shipment (business_id, shipment_id),
    FOREIGN KEY (business_id, fulfilment_order_line_id)
        REFERENCES ret.fulfilment_order_line (business_id, fulfilment_order_line_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    FOREIGN KEY (business_id, serial_unit_id)
        REFERENCES ret.serial_unit (business_id, serial_unit_id),
    CONSTRAINT shipment_line_quantity_positive CHECK (quantity > 0),
    CONSTRAINT shipment_line_serial_is_one_piece
        CHECK (serial_unit_id IS NULL OR quantity = 1),
    CONSTRAINT shipment_line_amounts_not_negative CHECK (unit_value >= 0 AND weight_g >= 0)
);

COMMENT ON TABLE ret.shipment_line IS 'What a parcel contains, as customs want to know it.';
COMMENT ON COLUMN ret.shipment_line.unit_value IS 'Of a piece, for customs and insurance.';

-- FK: the shipment lines of a fulfilment order line.
CREATE INDEX shipment_line_fulfilment_order_line_idx
    ON ret.shipment_line (business_id, fulfilment_order_line_id);

-- FK: the shipment lines of a stock lot.
CREATE INDEX shipment_line_stock_lot_idx
    ON ret.shipment_line (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

-- FK: the shipment lines of a serial unit.
CREATE INDEX shipment_line_serial_unit_idx
    ON ret.shipment_line (business_id, serial_unit_id)
    WHERE serial_unit_id IS NOT NULL;

ALTER TABLE ret.shipment_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.shipment_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.shipment_line TO app_user;
GRANT SELECT ON ret.shipment_line TO app_readonly;

CREATE TRIGGER shipment_line_touch
    BEFORE UPDATE ON ret.shipment_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.limit_parcels() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    packed record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    -- Two packers of one line take turns at it.
    SELECT f.packed_qty, f.fulfilment_order_id = s.fulfilment_order_id AS is_own INTO packed
    FROM ret.fulfilment_order_line AS f
    JOIN ret.shipment AS s ON s.business_id = NEW.business_id AND s.shipment_id = NEW.shipment_id
    WHERE f.business_id = NEW.business_id
      AND f.fulfilment_order_line_id = NEW.fulfilment_order_line_id
    FOR NO KEY UPDATE OF f;
    IF NOT packed.is_own THEN
        RAISE EXCEPTION 'the line is of another fulfilment'
            USING ERRCODE = 'check_violation', HINT = 'A parcel holds lines of its fulfilment.';
    ELSIF packed.packed_qty < (
        SELECT sum(l.quantity)
        FROM ret.shipment_line AS l
        JOIN ret.shipment AS s
            ON s.business_id = l.business_id AND s.shipment_id = l.shipment_id
           AND s.direction = 'outbound' AND s.state NOT IN ('lost', 'returned')
        WHERE l.business_id = NEW.business_id
          AND l.fulfilment_order_line_id = NEW.fulfilment_order_line_id
    ) THEN
        RAISE EXCEPTION 'only % were packed', packed.packed_qty
            USING ERRCODE = 'check_violation', HINT = 'Pick and pack them first.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.limit_parcels() IS
    'The parcels of a fulfilment together hold at most what was packed for it.';

CREATE TRIGGER shipment_line_packed
    AFTER INSERT OR UPDATE OF quantity, shipment_id, fulfilment_order_line_id ON ret.shipment_line
    FOR EACH ROW EXECUTE FUNCTION ret.limit_parcels();


CREATE TABLE ret.shipment_tracking_event (
    business_id                uuid                    NOT NULL,
    shipment_tracking_event_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    shipment_id                uuid                    NOT NULL,
    occurred_at                timestamptz             NOT NULL DEFAULT now(),
    carrier_status_code        system_core.code,
    status                     text                    NOT NULL,
    city                       text,
    country_code               system_core.country,
    latitude                   system_core.latitude,
    longitude                  system_core.longitude,
    description                text,
    received_at                timestamptz             NOT NULL DEFAULT now(),
    payload                    system_core.json_object,
    created_at                 timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, shipment_tracking_event_id, occurred_at),
    FOREIGN KEY (business_id, shipment_id) REFERENCES ret.shipment (business_id, shipment_id),
    CONSTRAINT shipment_tracking_event_status_known
        CHECK (status IN ('pre_transit', 'in_transit', 'out_for_delivery', 'delivered',
                          'failed_attempt', 'exception', 'returned')),
    CONSTRAINT shipment_tracking_event_received_at_follows_occurred_at
        CHECK (received_at >= occurred_at)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE ret.shipment_tracking_event IS
    'What the carrier scanned, as it told; append only.';
COMMENT ON COLUMN ret.shipment_tracking_event.received_at IS
    'When it told; scans come late and out of order.';
COMMENT ON COLUMN ret.shipment_tracking_event.payload IS 'The event as the carrier sent it.';

-- FK: how a parcel went.
CREATE INDEX shipment_tracking_event_shipment_idx
    ON ret.shipment_tracking_event (business_id, shipment_id, occurred_at);

ALTER TABLE ret.shipment_tracking_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.shipment_tracking_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON ret.shipment_tracking_event TO app_user;
GRANT SELECT ON ret.shipment_tracking_event TO app_readonly;

CREATE TRIGGER shipment_tracking_event_append_only
    BEFORE UPDATE OR DELETE ON ret.shipment_tracking_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.shipment_tracking_event');

CREATE TABLE ret.shipment_tracking_event_default PARTITION OF ret.shipment_tracking_event DEFAULT;
ALTER TABLE ret.shipment_tracking_event_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.shipment_tracking_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'ret.shipment_tracking_event', 'month', behind => 3, ahead => 1);

CREATE FUNCTION ret.follow_parcel() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    parcel ret.shipment;
    goal   CONSTANT text := CASE NEW.status WHEN 'pre_transit' THEN 'manifested'
                                            WHEN 'failed_attempt' THEN 'exception'
                                            ELSE NEW.status END;
BEGIN
    IF NOT row_security_active('ret.shipment') THEN
        RETURN NULL;
    END IF;
    SELECT s.* INTO parcel
    FROM ret.shipment AS s
    WHERE s.business_id = NEW.business_id AND s.shipment_id = NEW.shipment_id
    FOR NO KEY UPDATE;
    -- A scan that comes after a later one, or after the end, changes nothing.
    IF parcel.state IN ('delivered', 'returned') OR parcel.state = goal
       OR goal = 'manifested' AND parcel.state <> 'label_created'
       OR EXISTS (SELECT FROM ret.shipment_tracking_event AS e
                  WHERE e.business_id = NEW.business_id AND e.shipment_id = NEW.shipment_id
                    AND e.occurred_at > NEW.occurred_at) THEN
        UPDATE ret.shipment AS s
        SET delivery_attempts = s.delivery_attempts + 1
        WHERE s.business_id = NEW.business_id AND s.shipment_id = NEW.shipment_id
          AND NEW.status = 'failed_attempt';
        RETURN NULL;
    END IF;
    -- A parcel that was never scanned on its way still went it.
    IF parcel.state IN ('label_created', 'manifested') AND goal NOT IN ('manifested', 'exception')
    THEN
        UPDATE ret.shipment AS s
        SET state = 'in_transit',
            shipped_at = coalesce(s.shipped_at, greatest(NEW.occurred_at, s.packed_at))
        WHERE s.business_id = NEW.business_id AND s.shipment_id = NEW.shipment_id;
    END IF;
    UPDATE ret.shipment AS s
    SET state = goal,
        delivery_attempts = s.delivery_attempts
                            + (NEW.status IN ('failed_attempt', 'delivered'))::integer,
        delivered_at = CASE WHEN goal = 'delivered'
                            THEN greatest(NEW.occurred_at, s.shipped_at) END
    WHERE s.business_id = NEW.business_id AND s.shipment_id = NEW.shipment_id AND s.state <> goal;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.follow_parcel() IS
    'A parcel is where the carrier saw it last, however late the scans come.';

CREATE TRIGGER shipment_tracking_event_follow
    AFTER INSERT ON ret.shipment_tracking_event
    FOR EACH ROW EXECUTE FUNCTION ret.follow_parcel();


CREATE VIEW ret.v_pickup_board WITH (security_invoker = true) AS
SELECT p.business_id, p.pickup_order_id, f.location_id, f.fulfilment_number, o.order_number,
       coalesce(p.collector_name, a.recipient_name, c.display_name) AS shopper,
       p.pickup_code, p.state, b.bin_code AS shelf, p.is_curbside, p.vehicle_note,
       f.promise_at, p.ready_at, p.hold_until, p.customer_arrived_at,
       CASE WHEN p.state = 'arrived'
            THEN floor(extract(epoch FROM now() - p.customer_arrived_at) / 60)::integer
            END AS waiting_minutes,
       p.state = 'preparing' AND f.promise_at < now() AS is_late
FROM ret.pickup_order AS p
JOIN ret.fulfilment_order AS f
    ON f.business_id = p.business_id AND f.fulfilment_order_id = p.fulfilment_order_id
JOIN ret.sales_order AS o
    ON o.business_id = f.business_id AND o.sales_order_id = f.sales_order_id
LEFT JOIN ret.customer AS c ON c.business_id = o.business_id AND c.customer_id = o.customer_id
LEFT JOIN ret.order_address AS a
    ON a.business_id = o.business_id AND a.sales_order_id = o.sales_order_id
   AND a.address_role = 'pickup_contact'
LEFT JOIN ret.bin_location AS b
    ON b.business_id = p.business_id AND b.bin_location_id = p.shelf_bin_id
WHERE p.state IN ('preparing', 'ready', 'arrived', 'expired');
COMMENT ON VIEW ret.v_pickup_board IS
    'What is fetched at a store: prepared, ready on which shelf, who waits since when, what goes
     back.';
GRANT SELECT ON ret.v_pickup_board TO app_user, app_readonly;
