/*
 * Orders and checks: what a party asks for, and what it owes.
 *
 * A guest_order is one visit on any channel; it has one guest_check, or several once it is split.
 * A check_item is a line: an item, a combo (priced 0) or one of its parts, which carry the price;
 * check_item_modifier holds what was chosen, nested. Lines belong to a seat and to an order_course
 * that is held back and fired as one. The totals of a check follow from its lines, adjustments,
 * taxes and payments (rest.recalculate_checks) and are never typed in. A line that was sent to the
 * kitchen is only voided, with a reason; splits and moves leave a check_transfer.
 * order_status_event is the trail of every order.
 */

CREATE TABLE rest.guest_order (
    business_id          uuid                    NOT NULL,
    guest_order_id       uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    server_staff_id      uuid,
    opened_device_id     uuid,
    location_id          uuid                    NOT NULL,
    business_day_id      uuid                    NOT NULL,
    sales_channel_id     uuid                    NOT NULL,
    virtual_brand_id     uuid,
    kitchen_id           uuid,
    table_session_id     uuid,
    guest_profile_id     uuid,
    order_number         text                    NOT NULL,
    service_mode         text                    NOT NULL,
    state                text                    NOT NULL DEFAULT 'open',
    guest_count          integer                 NOT NULL DEFAULT 1,
    opened_at            timestamptz             NOT NULL DEFAULT now(),
    promised_at          timestamptz,
    fire_at              timestamptz,
    ready_at             timestamptz,
    handed_off_at        timestamptz,
    completed_at         timestamptz,
    pickup_name          text,
    pickup_shelf         text,
    delivery_address_doc system_core.json_object,
    order_note           text,
    external_order_ref   text,
    idempotency_key      text                    NOT NULL,
    created_at           timestamptz             NOT NULL DEFAULT now(),
    updated_at           timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, guest_order_id),
    UNIQUE (business_id, business_day_id, order_number),
    UNIQUE (business_id, idempotency_key),
    FOREIGN KEY (business_id, server_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, opened_device_id)
        REFERENCES rest.pos_device (business_id, pos_device_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, business_day_id)
        REFERENCES rest.business_day (business_id, business_day_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES rest.sales_channel (business_id, sales_channel_id),
    FOREIGN KEY (business_id, virtual_brand_id)
        REFERENCES rest.virtual_brand (business_id, virtual_brand_id),
    FOREIGN KEY (business_id, kitchen_id) REFERENCES rest.kitchen (business_id, kitchen_id),
    FOREIGN KEY (business_id, table_session_id)
        REFERENCES rest.table_session (business_id, table_session_id),
    FOREIGN KEY (business_id, guest_profile_id)
        REFERENCES rest.guest_profile (business_id, guest_profile_id),
    CONSTRAINT guest_order_service_mode_known
        CHECK (service_mode IN ('dine_in', 'takeout', 'delivery', 'curbside', 'drive_thru',
                                'catering')),
    CONSTRAINT guest_order_state_known
        CHECK (state IN ('draft', 'scheduled', 'open', 'sent', 'ready', 'completed', 'cancelled',
                         'voided')),
    CONSTRAINT guest_order_ready_after_opening CHECK (ready_at >= opened_at),
    CONSTRAINT guest_order_handed_off_after_ready CHECK (handed_off_at >= ready_at),
    CONSTRAINT guest_order_completed_last
        CHECK (completed_at >= coalesce(handed_off_at, opened_at)),
    CONSTRAINT guest_order_completed_has_time
        CHECK ((state = 'completed') = (completed_at IS NOT NULL)),
    CONSTRAINT guest_order_table_only_when_dining_in
        CHECK (table_session_id IS NULL OR service_mode = 'dine_in'),
    CONSTRAINT guest_order_delivered_somewhere
        CHECK (service_mode <> 'delivery' OR delivery_address_doc IS NOT NULL),
    CONSTRAINT guest_order_guests_bounded CHECK (guest_count BETWEEN 1 AND 300)
);

COMMENT ON TABLE rest.guest_order IS
    'Everything one party asked for in one visit, whatever the channel.';
COMMENT ON COLUMN rest.guest_order.idempotency_key IS
    'Of the client that sent it; sent again, it is the same order.';
COMMENT ON COLUMN rest.guest_order.fire_at IS 'When the kitchen shall begin, for an order ahead.';

-- The orders that are going on, for boards and the close of the day.
CREATE INDEX guest_order_open_idx
    ON rest.guest_order (business_id, location_id, opened_at)
    WHERE state IN ('open', 'sent', 'ready');

-- FK: the orders of a server.
CREATE INDEX guest_order_server_staff_idx
    ON rest.guest_order (business_id, server_staff_id)
    WHERE server_staff_id IS NOT NULL;

-- FK: what was opened at a device.
CREATE INDEX guest_order_opened_device_idx
    ON rest.guest_order (business_id, opened_device_id)
    WHERE opened_device_id IS NOT NULL;

-- FK: the orders of a location, the newest first.
CREATE INDEX guest_order_location_idx
    ON rest.guest_order (business_id, location_id, opened_at DESC);

-- FK: the orders of a channel.
CREATE INDEX guest_order_sales_channel_idx ON rest.guest_order (business_id, sales_channel_id);

-- FK: the orders of a brand.
CREATE INDEX guest_order_virtual_brand_idx
    ON rest.guest_order (business_id, virtual_brand_id)
    WHERE virtual_brand_id IS NOT NULL;

-- FK: the orders that a kitchen cooks.
CREATE INDEX guest_order_kitchen_idx
    ON rest.guest_order (business_id, kitchen_id)
    WHERE kitchen_id IS NOT NULL;

-- FK: what a table ordered.
CREATE INDEX guest_order_table_session_idx
    ON rest.guest_order (business_id, table_session_id)
    WHERE table_session_id IS NOT NULL;

-- FK: the orders of a guest, the newest first.
CREATE INDEX guest_order_guest_profile_idx
    ON rest.guest_order (business_id, guest_profile_id, opened_at DESC)
    WHERE guest_profile_id IS NOT NULL;

ALTER TABLE rest.guest_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.guest_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.guest_order TO app_user;
GRANT SELECT ON rest.guest_order TO app_readonly;

CREATE TRIGGER guest_order_touch
    BEFORE UPDATE ON rest.guest_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER guest_order_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.guest_order
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft", "scheduled", "open"],
        "transitions": {
            "draft":     ["scheduled", "open", "cancelled"],
            "scheduled": ["open", "cancelled"],
            "open":      ["sent", "completed", "cancelled", "voided"],
            "sent":      ["ready", "completed", "cancelled", "voided"],
            "ready":     ["sent", "completed", "voided"],
            "completed": [],
            "cancelled": [],
            "voided":    []
        }}');

CREATE FUNCTION rest.require_open_day() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    day record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT d.state, d.business_date INTO day
    FROM rest.business_day AS d
    WHERE d.business_id = NEW.business_id AND d.business_day_id = NEW.business_day_id
    FOR SHARE;
    IF day.state = 'closed' THEN
        RAISE EXCEPTION 'the business day % is closed', day.business_date
            USING ERRCODE = 'check_violation',
                  HINT = 'Order in the day that is open, or reopen it.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.require_open_day() IS
    'Nothing is ordered or paid in a day that was closed and counted.';

CREATE TRIGGER guest_order_in_open_day
    BEFORE INSERT OR UPDATE OF business_day_id ON rest.guest_order
    FOR EACH ROW EXECUTE FUNCTION rest.require_open_day();


CREATE TABLE rest.order_status_event (
    business_id           uuid                     NOT NULL,
    order_status_event_id uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    actor_staff_id        uuid,
    guest_order_id        uuid                     NOT NULL,
    occurred_at           timestamptz              NOT NULL DEFAULT now(),
    from_state            text,
    to_state              text                     NOT NULL,
    actor_kind            text                     NOT NULL DEFAULT 'staff',
    channel_code          system_core.code,
    latency_ms            system_core.milliseconds,
    reason_text           text,
    payload               system_core.json_object,
    created_at            timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, order_status_event_id, occurred_at),
    FOREIGN KEY (business_id, actor_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, guest_order_id)
        REFERENCES rest.guest_order (business_id, guest_order_id),
    CONSTRAINT order_status_event_actor_kind_known
        CHECK (actor_kind IN ('staff', 'guest', 'channel', 'system')),
    CONSTRAINT order_status_event_states_known
        CHECK (from_state IN ('draft', 'scheduled', 'open', 'sent', 'ready', 'completed',
                              'cancelled', 'voided')
               AND to_state IN ('draft', 'scheduled', 'open', 'sent', 'ready', 'completed',
                                'cancelled', 'voided')),
    CONSTRAINT order_status_event_changes_something CHECK (from_state <> to_state)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE rest.order_status_event IS
    'Every state change of an order with actor and latency, to the microsecond; append only.';
COMMENT ON COLUMN rest.order_status_event.from_state IS 'NULL for the first state.';
COMMENT ON COLUMN rest.order_status_event.latency_ms IS 'How long the state before lasted.';

-- FK: what somebody did.
CREATE INDEX order_status_event_actor_staff_idx
    ON rest.order_status_event (business_id, actor_staff_id)
    WHERE actor_staff_id IS NOT NULL;

-- FK: how an order went.
CREATE INDEX order_status_event_guest_order_idx
    ON rest.order_status_event (business_id, guest_order_id);

ALTER TABLE rest.order_status_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.order_status_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON rest.order_status_event TO app_user;
GRANT SELECT ON rest.order_status_event TO app_readonly;

CREATE TRIGGER order_status_event_append_only
    BEFORE UPDATE OR DELETE ON rest.order_status_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.order_status_event');

CREATE TABLE rest.order_status_event_default PARTITION OF rest.order_status_event DEFAULT;
ALTER TABLE rest.order_status_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.order_status_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('rest.order_status_event', 'month', behind => 3, ahead => 1);


CREATE FUNCTION rest.note_order_state() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rest.order_status_event
        (business_id, guest_order_id, occurred_at, from_state, to_state, actor_kind,
         actor_staff_id, latency_ms)
    SELECT o.business_id, o.guest_order_id, clock_timestamp(), f.state, o.state,
           CASE WHEN o.server_staff_id IS NULL THEN 'system' ELSE 'staff' END, o.server_staff_id,
           extract(epoch FROM clock_timestamp() - f.updated_at) * 1000
    FROM changed AS o
    JOIN former AS f
        ON f.business_id = o.business_id AND f.guest_order_id = o.guest_order_id
    WHERE o.state <> f.state AND row_security_active('rest.guest_order');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.note_order_state() IS
    'Every change of an order''s state is written down; imported history brings its own trail.';

CREATE TRIGGER guest_order_note_state
    AFTER UPDATE ON rest.guest_order
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.note_order_state();

CREATE TABLE rest.guest_check (
    business_id          uuid                 NOT NULL,
    guest_check_id       uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    owner_staff_id       uuid,
    guest_order_id       uuid                 NOT NULL,
    guest_profile_id     uuid,
    check_number         text                 NOT NULL,
    tab_name             text,
    state                text                 NOT NULL DEFAULT 'open',
    subtotal             system_core.money    NOT NULL DEFAULT 0,
    discount_total       system_core.money    NOT NULL DEFAULT 0,
    service_charge_total system_core.money    NOT NULL DEFAULT 0,
    tax_total            system_core.money    NOT NULL DEFAULT 0,
    tip_total            system_core.money    NOT NULL DEFAULT 0,
    grand_total          system_core.money    GENERATED ALWAYS AS (
                                                  subtotal - discount_total + service_charge_total
                                                  + tax_total) STORED,
    paid_total           system_core.money    NOT NULL DEFAULT 0,
    balance_due          system_core.money    GENERATED ALWAYS AS (
                                            subtotal - discount_total + service_charge_total +
                                            tax_total - paid_total) STORED,
    currency             system_core.currency NOT NULL,
    is_tax_exempt        boolean              NOT NULL DEFAULT false,
    opened_at            timestamptz          NOT NULL DEFAULT now(),
    printed_at           timestamptz,
    closed_at            timestamptz,
    created_at           timestamptz          NOT NULL DEFAULT now(),
    updated_at           timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, guest_check_id),
    UNIQUE (business_id, guest_order_id, check_number),
    FOREIGN KEY (business_id, owner_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, guest_order_id)
        REFERENCES rest.guest_order (business_id, guest_order_id),
    FOREIGN KEY (business_id, guest_profile_id)
        REFERENCES rest.guest_profile (business_id, guest_profile_id),
    CONSTRAINT guest_check_state_known
        CHECK (state IN ('open', 'printed', 'partially_paid', 'paid', 'closed', 'voided',
                         'reopened')),
    CONSTRAINT guest_check_amounts_not_negative
        CHECK (subtotal >= 0 AND discount_total >= 0 AND tax_total >= 0 AND tip_total >= 0
               AND paid_total >= 0),
    CONSTRAINT guest_check_never_overpaid
        CHECK (subtotal - discount_total + service_charge_total + tax_total >= paid_total),
    CONSTRAINT guest_check_closed_is_settled
        CHECK (state <> 'closed'
               OR (closed_at IS NOT NULL
                   AND subtotal - discount_total + service_charge_total + tax_total = paid_total)),
    CONSTRAINT guest_check_closed_after_opening CHECK (closed_at >= opened_at)
);

COMMENT ON TABLE rest.guest_check IS
    'A bill of the order: what is split, discounted, paid and closed.';
COMMENT ON COLUMN rest.guest_check.subtotal IS 'Its lines before discounts, without voids.';
COMMENT ON COLUMN rest.guest_check.paid_total IS 'Captured less refunded, without tips.';

-- The checks that are not settled, the oldest first.
CREATE INDEX guest_check_open_idx
    ON rest.guest_check (business_id, opened_at)
    WHERE state NOT IN ('closed', 'voided');

-- FK: the checks of a server.
CREATE INDEX guest_check_owner_staff_idx
    ON rest.guest_check (business_id, owner_staff_id)
    WHERE owner_staff_id IS NOT NULL;

-- FK: the checks of a guest.
CREATE INDEX guest_check_guest_profile_idx
    ON rest.guest_check (business_id, guest_profile_id)
    WHERE guest_profile_id IS NOT NULL;

ALTER TABLE rest.guest_check ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.guest_check
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.guest_check TO app_user;
GRANT SELECT ON rest.guest_check TO app_readonly;

CREATE TRIGGER guest_check_touch
    BEFORE UPDATE ON rest.guest_check
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER guest_check_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.guest_check
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open"],
        "transitions": {
            "open":           ["printed", "partially_paid", "paid", "voided"],
            "printed":        ["open", "partially_paid", "paid", "voided"],
            "partially_paid": ["open", "paid"],
            "paid":           ["partially_paid", "open", "closed"],
            "closed":         ["reopened"],
            "reopened":       ["open", "printed", "partially_paid", "paid"],
            "voided":         []
        }}');

CREATE FUNCTION rest.freeze_check() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'check % is %, it is not changed', OLD.check_number, OLD.state
            USING ERRCODE = 'check_violation', HINT = 'Reopen the check first.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.freeze_check() IS 'A settled check is changed only after it is reopened.';

CREATE TRIGGER guest_check_frozen
    BEFORE UPDATE ON rest.guest_check
    FOR EACH ROW WHEN (OLD.state IN ('closed', 'voided') AND NEW.state = OLD.state)
    EXECUTE FUNCTION rest.freeze_check();

CREATE FUNCTION rest.keep_check_in_open_day() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    closed date;
BEGIN
    SELECT d.business_date INTO closed
    FROM rest.guest_order AS o
    JOIN rest.business_day AS d
        ON d.business_id = o.business_id AND d.business_day_id = o.business_day_id
    WHERE o.business_id = NEW.business_id AND o.guest_order_id = NEW.guest_order_id
      AND d.state = 'closed';
    IF FOUND AND row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'check % belongs to the business day %, which is closed',
                        NEW.check_number, closed
            USING ERRCODE = 'check_violation', HINT = 'Reopen the day first.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.keep_check_in_open_day() IS
    'The checks of a day that was counted stand as they were counted.';

CREATE TRIGGER guest_check_of_open_day
    BEFORE INSERT OR UPDATE ON rest.guest_check
    FOR EACH ROW EXECUTE FUNCTION rest.keep_check_in_open_day();


CREATE TABLE rest.check_seat (
    business_id       uuid        NOT NULL,
    check_seat_id     uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    guest_check_id    uuid        NOT NULL,
    guest_profile_id  uuid,
    seat_number       integer     NOT NULL,
    seat_label        text,
    has_allergy_alert boolean     NOT NULL DEFAULT false,
    allergy_note      text,
    is_child          boolean     NOT NULL DEFAULT false,
    is_shared         boolean     NOT NULL DEFAULT false,
    pays_separately   boolean     NOT NULL DEFAULT false,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, check_seat_id),
    UNIQUE (business_id, guest_check_id, seat_number),
    FOREIGN KEY (business_id, guest_check_id)
        REFERENCES rest.guest_check (business_id, guest_check_id),
    FOREIGN KEY (business_id, guest_profile_id)
        REFERENCES rest.guest_profile (business_id, guest_profile_id),
    CONSTRAINT check_seat_number_bounded CHECK (seat_number BETWEEN 0 AND 60),
    CONSTRAINT check_seat_middle_is_shared CHECK (is_shared = (seat_number = 0)),
    CONSTRAINT check_seat_allergy_is_told
        CHECK (NOT has_allergy_alert OR coalesce(allergy_note, '') ~ '\S')
);

COMMENT ON TABLE rest.check_seat IS
    'A seat of the check; seat 0 is the shared middle of the table.';

-- FK: where a guest sat.
CREATE INDEX check_seat_guest_profile_idx
    ON rest.check_seat (business_id, guest_profile_id)
    WHERE guest_profile_id IS NOT NULL;

ALTER TABLE rest.check_seat ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.check_seat
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.check_seat TO app_user;
GRANT SELECT ON rest.check_seat TO app_readonly;

CREATE TRIGGER check_seat_touch
    BEFORE UPDATE ON rest.check_seat
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.order_course (
    business_id        uuid        NOT NULL,
    order_course_id    uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    fired_by_staff_id  uuid,
    guest_order_id     uuid        NOT NULL,
    course_number      integer     NOT NULL,
    course_kind        text        NOT NULL,
    fire_rule          text        NOT NULL DEFAULT 'manual',
    target_gap_seconds integer,
    hold_until         timestamptz,
    state              text        NOT NULL DEFAULT 'held',
    fired_at           timestamptz,
    ready_at           timestamptz,
    served_at          timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, order_course_id),
    UNIQUE (business_id, guest_order_id, course_number),
    FOREIGN KEY (business_id, fired_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, guest_order_id)
        REFERENCES rest.guest_order (business_id, guest_order_id),
    CONSTRAINT order_course_kind_known
        CHECK (course_kind IN ('drinks', 'starter', 'main', 'side', 'dessert', 'all')),
    CONSTRAINT order_course_fire_rule_known
        CHECK (fire_rule IN ('manual', 'immediate', 'after_previous', 'by_prep_time')),
    CONSTRAINT order_course_state_known
        CHECK (state IN ('held', 'queued', 'fired', 'ready', 'served', 'cancelled')),
    CONSTRAINT order_course_ready_after_firing CHECK (ready_at >= fired_at),
    CONSTRAINT order_course_served_after_ready CHECK (served_at >= ready_at),
    CONSTRAINT order_course_fired_has_time
        CHECK (state NOT IN ('fired', 'ready', 'served') OR fired_at IS NOT NULL),
    CONSTRAINT order_course_number_positive CHECK (course_number >= 1)
);

COMMENT ON TABLE rest.order_course IS 'A course held back and fired as one.';

-- FK: what somebody fired.
CREATE INDEX order_course_fired_by_staff_idx
    ON rest.order_course (business_id, fired_by_staff_id)
    WHERE fired_by_staff_id IS NOT NULL;

ALTER TABLE rest.order_course ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.order_course
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.order_course TO app_user;
GRANT SELECT ON rest.order_course TO app_readonly;

CREATE TRIGGER order_course_touch
    BEFORE UPDATE ON rest.order_course
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER order_course_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.order_course
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["held", "queued"],
        "transitions": {
            "held":      ["queued", "fired", "cancelled"],
            "queued":    ["held", "fired", "cancelled"],
            "fired":     ["ready", "cancelled"],
            "ready":     ["fired", "served"],
            "served":    [],
            "cancelled": []
        }}');


CREATE TABLE rest.check_item (
    business_id          uuid                   NOT NULL,
    check_item_id        uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    parent_item_id       uuid,
    void_reason_id       uuid,
    voided_by_staff_id   uuid,
    guest_check_id       uuid                   NOT NULL,
    menu_item_id         uuid                   NOT NULL,
    menu_item_size_id    uuid,
    check_seat_id        uuid,
    order_course_id      uuid,
    combo_slot_option_id uuid,
    line_number          integer                NOT NULL,
    display_name         text                   NOT NULL,
    quantity             system_core.quantity   NOT NULL DEFAULT 1,
    unit_price           system_core.unit_price NOT NULL,
    modifier_total       system_core.money      NOT NULL DEFAULT 0,
    gross_amount         system_core.money      GENERATED ALWAYS AS (
                                            round(quantity * (unit_price + modifier_total), 2))
                                            STORED,
    discount_amount      system_core.money      NOT NULL DEFAULT 0,
    tax_amount           system_core.money      NOT NULL DEFAULT 0,
    net_amount           system_core.money      GENERATED ALWAYS AS (
                                            round(quantity * (unit_price + modifier_total), 2) -
                                            discount_amount) STORED,
    price_source         text                   NOT NULL DEFAULT 'base',
    state                text                   NOT NULL DEFAULT 'new',
    sent_at              timestamptz,
    served_at            timestamptz,
    voided_at            timestamptz,
    void_after_send      boolean                NOT NULL DEFAULT false,
    special_request      text,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, check_item_id),
    UNIQUE (business_id, guest_check_id, line_number),
    FOREIGN KEY (business_id, parent_item_id)
        REFERENCES rest.check_item (business_id, check_item_id),
    FOREIGN KEY (business_id, void_reason_id)
        REFERENCES rest.reason_code (business_id, reason_code_id),
    FOREIGN KEY (business_id, voided_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, guest_check_id)
        REFERENCES rest.guest_check (business_id, guest_check_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    FOREIGN KEY (business_id, menu_item_size_id)
        REFERENCES rest.menu_item_size (business_id, menu_item_size_id),
    FOREIGN KEY (business_id, check_seat_id)
        REFERENCES rest.check_seat (business_id, check_seat_id),
    FOREIGN KEY (business_id, order_course_id)
        REFERENCES rest.order_course (business_id, order_course_id),
    FOREIGN KEY (business_id, combo_slot_option_id)
        REFERENCES rest.combo_slot_option (business_id, combo_slot_option_id),
    CONSTRAINT check_item_price_source_known
        CHECK (price_source IN ('base', 'size', 'time', 'channel', 'open', 'combo')),
    CONSTRAINT check_item_state_known
        CHECK (state IN ('new', 'held', 'sent', 'preparing', 'ready', 'served', 'voided')),
    CONSTRAINT check_item_quantity_positive CHECK (quantity > 0),
    CONSTRAINT check_item_void_is_whole
        CHECK (num_nonnulls(voided_at, void_reason_id, voided_by_staff_id)
               = CASE WHEN state = 'voided' THEN 3 ELSE 0 END),
    CONSTRAINT check_item_sent_has_time
        CHECK (state NOT IN ('sent', 'preparing', 'ready', 'served') OR sent_at IS NOT NULL),
    CONSTRAINT check_item_served_after_sending CHECK (served_at >= sent_at),
    CONSTRAINT check_item_discount_within_price
        CHECK (discount_amount BETWEEN 0 AND round(quantity * (unit_price + modifier_total), 2)),
    CONSTRAINT check_item_not_its_own_part CHECK (parent_item_id <> check_item_id)
);

COMMENT ON TABLE rest.check_item IS 'A line of the check: item, combo parent or combo component.';
COMMENT ON COLUMN rest.check_item.modifier_total IS 'What its modifiers add to one of it.';
COMMENT ON COLUMN rest.check_item.void_after_send IS
    'Voided when the kitchen had it: food was wasted.';

-- FK: the parts of a combo.
CREATE INDEX check_item_parent_item_idx
    ON rest.check_item (business_id, parent_item_id)
    WHERE parent_item_id IS NOT NULL;

-- FK: what was voided for a reason.
CREATE INDEX check_item_void_reason_idx
    ON rest.check_item (business_id, void_reason_id)
    WHERE void_reason_id IS NOT NULL;

-- FK: what somebody voided, for loss prevention.
CREATE INDEX check_item_voided_by_staff_idx
    ON rest.check_item (business_id, voided_by_staff_id)
    WHERE voided_by_staff_id IS NOT NULL;

-- FK: the sales of an item.
CREATE INDEX check_item_menu_item_idx ON rest.check_item (business_id, menu_item_id);

-- FK: the sales of a size.
CREATE INDEX check_item_menu_item_size_idx
    ON rest.check_item (business_id, menu_item_size_id)
    WHERE menu_item_size_id IS NOT NULL;

-- FK: what a seat ordered.
CREATE INDEX check_item_check_seat_idx
    ON rest.check_item (business_id, check_seat_id)
    WHERE check_seat_id IS NOT NULL;

-- FK: the lines of a course.
CREATE INDEX check_item_order_course_idx
    ON rest.check_item (business_id, order_course_id)
    WHERE order_course_id IS NOT NULL;

-- FK: what filled a slot of a combo.
CREATE INDEX check_item_combo_slot_option_idx
    ON rest.check_item (business_id, combo_slot_option_id)
    WHERE combo_slot_option_id IS NOT NULL;

ALTER TABLE rest.check_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.check_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.check_item TO app_user;
GRANT SELECT ON rest.check_item TO app_readonly;

CREATE TRIGGER check_item_touch
    BEFORE UPDATE ON rest.check_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER check_item_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.check_item
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["new", "held", "sent"],
        "transitions": {
            "new":       ["held", "sent", "voided"],
            "held":      ["new", "sent", "voided"],
            "sent":      ["preparing", "ready", "voided"],
            "preparing": ["ready", "sent", "voided"],
            "ready":     ["preparing", "served", "voided"],
            "served":    ["voided"],
            "voided":    []
        }}');

CREATE FUNCTION rest.keep_sent_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN coalesce(NEW, OLD);
    ELSIF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'line % was sent to the kitchen, it is not deleted', OLD.display_name
            USING ERRCODE = 'check_violation', HINT = 'Void it with a reason.';
    ELSIF NEW.state = 'voided' THEN
        NEW.void_after_send := true;
        RETURN NEW;
    -- A split moves a part of the line to another check and says so.
    ELSIF EXISTS (SELECT FROM rest.check_transfer AS t
                  WHERE t.business_id = NEW.business_id AND t.check_item_id = NEW.check_item_id
                    AND t.occurred_at = now()) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'line % was sent to the kitchen, it is not changed', OLD.display_name
        USING ERRCODE = 'check_violation', HINT = 'Void it with a reason and enter another.';
END
$$;
COMMENT ON FUNCTION rest.keep_sent_line() IS
    'What the kitchen has is neither deleted nor changed, only voided; a split leaves a transfer.';

CREATE TRIGGER check_item_sent_not_changed
    BEFORE UPDATE ON rest.check_item
    FOR EACH ROW WHEN (OLD.sent_at IS NOT NULL
        AND (NEW.menu_item_id, NEW.quantity, NEW.unit_price, NEW.modifier_total, NEW.guest_check_id)
            IS DISTINCT FROM (OLD.menu_item_id, OLD.quantity, OLD.unit_price, OLD.modifier_total,
                              OLD.guest_check_id))
    EXECUTE FUNCTION rest.keep_sent_line();

CREATE TRIGGER check_item_sent_voided
    BEFORE UPDATE OF state ON rest.check_item
    FOR EACH ROW WHEN (OLD.sent_at IS NOT NULL AND NEW.state = 'voided' AND OLD.state <> 'voided')
    EXECUTE FUNCTION rest.keep_sent_line();

CREATE TRIGGER check_item_sent_not_deleted
    BEFORE DELETE ON rest.check_item
    FOR EACH ROW WHEN (OLD.sent_at IS NOT NULL)
    EXECUTE FUNCTION rest.keep_sent_line();

CREATE FUNCTION rest.sell_portions() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    short text;
BEGIN
    IF NOT row_security_active('rest.check_item') THEN
        RETURN NULL;
    END IF;
    SELECT m.display_name INTO short
    FROM sold AS i
    JOIN rest.guest_check AS c
        ON c.business_id = i.business_id AND c.guest_check_id = i.guest_check_id
    JOIN rest.guest_order AS o
        ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
    JOIN rest.menu_item_location AS l
        ON l.business_id = i.business_id AND l.menu_item_id = i.menu_item_id
       AND l.location_id = o.location_id AND l.stock_mode = 'out_of_stock'
    JOIN rest.menu_item AS m
        ON m.business_id = i.business_id AND m.menu_item_id = i.menu_item_id
    WHERE NOT EXISTS (SELECT FROM rest.check_transfer AS t
                      WHERE t.business_id = i.business_id AND t.to_check_id = i.guest_check_id
                        AND t.occurred_at = now())
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% is out', short
            USING ERRCODE = 'check_violation', HINT = 'Offer something else.';
    END IF;
    UPDATE rest.menu_item_location AS l
    SET remaining_qty = l.remaining_qty - n.quantity
    FROM (
        SELECT i.business_id, i.menu_item_id, o.location_id, sum(i.quantity) AS quantity
        FROM sold AS i
        JOIN rest.guest_check AS c
            ON c.business_id = i.business_id AND c.guest_check_id = i.guest_check_id
        JOIN rest.guest_order AS o
            ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
        WHERE i.state <> 'voided'
          AND NOT EXISTS (SELECT FROM rest.check_transfer AS t
                          WHERE t.business_id = i.business_id
                            AND t.to_check_id = i.guest_check_id AND t.occurred_at = now())
        GROUP BY i.business_id, i.menu_item_id, o.location_id
    ) AS n
    WHERE l.business_id = n.business_id AND l.menu_item_id = n.menu_item_id
      AND l.location_id = n.location_id AND l.stock_mode = 'countdown';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.sell_portions() IS
    'What is counted down is sold to the last portion and no further; what is out is not sold. A
     line that a split makes was sold before.';

CREATE TRIGGER check_item_sells_portions
    AFTER INSERT ON rest.check_item
    REFERENCING NEW TABLE AS sold
    FOR EACH STATEMENT EXECUTE FUNCTION rest.sell_portions();


CREATE TABLE rest.check_item_modifier (
    business_id            uuid                   NOT NULL,
    check_item_modifier_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    parent_modifier_id     uuid,
    check_item_id          uuid                   NOT NULL,
    modifier_option_id     uuid,
    display_name           text                   NOT NULL,
    pre_modifier           text                   NOT NULL DEFAULT 'none',
    quantity               system_core.quantity   NOT NULL DEFAULT 1,
    unit_price             system_core.unit_price NOT NULL DEFAULT 0,
    amount                 system_core.money      GENERATED ALWAYS AS (
                                            CASE WHEN pre_modifier IN ('no', 'allergy') THEN 0
                                            ELSE round(quantity * unit_price, 2) END) STORED,
    depth                  smallint               NOT NULL DEFAULT 1,
    sequence_no            integer                NOT NULL,
    free_text              text,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, check_item_modifier_id),
    FOREIGN KEY (business_id, parent_modifier_id)
        REFERENCES rest.check_item_modifier (business_id, check_item_modifier_id),
    FOREIGN KEY (business_id, check_item_id)
        REFERENCES rest.check_item (business_id, check_item_id),
    FOREIGN KEY (business_id, modifier_option_id)
        REFERENCES rest.modifier_option (business_id, modifier_option_id),
    CONSTRAINT check_item_modifier_pre_modifier_known
        CHECK (pre_modifier IN ('none', 'no', 'extra', 'light', 'side', 'substitute', 'allergy')),
    CONSTRAINT check_item_modifier_depth_bounded CHECK (depth BETWEEN 1 AND 5),
    CONSTRAINT check_item_modifier_root_has_depth_1
        CHECK ((parent_modifier_id IS NULL) = (depth = 1)),
    CONSTRAINT check_item_modifier_option_or_text
        CHECK (modifier_option_id IS NOT NULL OR coalesce(free_text, '') ~ '\S'),
    CONSTRAINT check_item_modifier_quantity_positive CHECK (quantity > 0)
);

COMMENT ON TABLE rest.check_item_modifier IS
    'A chosen modifier of the line, nested through its parent.';

-- FK: what was chosen within a choice.
CREATE INDEX check_item_modifier_parent_modifier_idx
    ON rest.check_item_modifier (business_id, parent_modifier_id)
    WHERE parent_modifier_id IS NOT NULL;

-- FK: the choices of a line in their order.
CREATE INDEX check_item_modifier_check_item_idx
    ON rest.check_item_modifier (business_id, check_item_id, sequence_no);

-- FK: how often an option is chosen.
CREATE INDEX check_item_modifier_modifier_option_idx
    ON rest.check_item_modifier (business_id, modifier_option_id)
    WHERE modifier_option_id IS NOT NULL;

ALTER TABLE rest.check_item_modifier ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.check_item_modifier
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.check_item_modifier TO app_user;
GRANT SELECT ON rest.check_item_modifier TO app_readonly;

CREATE TRIGGER check_item_modifier_touch
    BEFORE UPDATE ON rest.check_item_modifier
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.add_up_modifiers() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE rest.check_item AS i
    SET modifier_total = n.amount
    FROM (
        SELECT c.business_id, c.check_item_id, coalesce(sum(m.amount), 0) AS amount
        FROM (SELECT DISTINCT x.business_id, x.check_item_id FROM changed AS x) AS c
        LEFT JOIN rest.check_item_modifier AS m
            ON m.business_id = c.business_id AND m.check_item_id = c.check_item_id
        GROUP BY c.business_id, c.check_item_id
    ) AS n
    WHERE i.business_id = n.business_id AND i.check_item_id = n.check_item_id
      AND i.modifier_total <> n.amount;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.add_up_modifiers() IS 'What the choices of a line add to its price.';

CREATE TRIGGER check_item_modifier_add_up_on_insert
    AFTER INSERT ON rest.check_item_modifier
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.add_up_modifiers();

CREATE TRIGGER check_item_modifier_add_up_on_update
    AFTER UPDATE ON rest.check_item_modifier
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.add_up_modifiers();

CREATE TRIGGER check_item_modifier_add_up_on_delete
    AFTER DELETE ON rest.check_item_modifier
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.add_up_modifiers();


CREATE TABLE rest.check_tax (
    business_id         uuid                   NOT NULL,
    check_tax_id        uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    guest_check_id      uuid                   NOT NULL,
    tax_rate_id         uuid                   NOT NULL,
    taxable_amount      system_core.money      NOT NULL,
    rate_pct            system_core.percentage NOT NULL,
    tax_amount          system_core.money      NOT NULL DEFAULT 0,
    is_inclusive        boolean                NOT NULL DEFAULT false,
    is_exempt           boolean                NOT NULL DEFAULT false,
    exemption_reference text,
    remitted_by         text                   NOT NULL DEFAULT 'restaurant',
    rounding_amount     system_core.money      NOT NULL DEFAULT 0,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, check_tax_id),
    UNIQUE (business_id, guest_check_id, tax_rate_id),
    FOREIGN KEY (business_id, guest_check_id)
        REFERENCES rest.guest_check (business_id, guest_check_id),
    FOREIGN KEY (business_id, tax_rate_id) REFERENCES rest.tax_rate (business_id, tax_rate_id),
    CONSTRAINT check_tax_remitted_by_known CHECK (remitted_by IN ('restaurant', 'marketplace')),
    CONSTRAINT check_tax_exempt_pays_none CHECK (NOT is_exempt OR tax_amount = 0),
    CONSTRAINT check_tax_exempt_has_proof
        CHECK (NOT is_exempt OR exemption_reference IS NOT NULL)
);

COMMENT ON TABLE rest.check_tax IS 'Tax of a check per rate, with who remits it.';

-- FK: what a rate brought in.
CREATE INDEX check_tax_tax_rate_idx ON rest.check_tax (business_id, tax_rate_id);

ALTER TABLE rest.check_tax ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.check_tax
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.check_tax TO app_user;
GRANT SELECT ON rest.check_tax TO app_readonly;

CREATE TRIGGER check_tax_touch
    BEFORE UPDATE ON rest.check_tax
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.check_transfer (
    business_id          uuid              NOT NULL,
    check_transfer_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    from_check_id        uuid              NOT NULL,
    to_check_id          uuid,
    from_staff_id        uuid,
    to_staff_id          uuid,
    approved_by_staff_id uuid,
    check_item_id        uuid,
    transfer_kind        text              NOT NULL,
    occurred_at          timestamptz       NOT NULL DEFAULT now(),
    quantity_share       numeric(7,        6),
    amount_moved         system_core.money NOT NULL DEFAULT 0,
    split_ways           integer,
    reason_note          text,
    device_label         text,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, check_transfer_id),
    FOREIGN KEY (business_id, from_check_id)
        REFERENCES rest.guest_check (business_id, guest_check_id),
    FOREIGN KEY (business_id, to_check_id)
        REFERENCES rest.guest_check (business_id, guest_check_id),
    FOREIGN KEY (business_id, from_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, to_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, approved_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, check_item_id)
        REFERENCES rest.check_item (business_id, check_item_id),
    CONSTRAINT check_transfer_kind_known
        CHECK (transfer_kind IN ('split_item', 'split_evenly', 'merge', 'move_table',
                                 'change_server', 'move_seat')),
    CONSTRAINT check_transfer_goes_elsewhere CHECK (from_check_id <> to_check_id),
    CONSTRAINT check_transfer_share_bounded CHECK (quantity_share > 0 AND quantity_share <= 1),
    CONSTRAINT check_transfer_split_has_ways
        CHECK (transfer_kind NOT IN ('split_item', 'split_evenly') OR coalesce(split_ways, 0) >= 2)
);

COMMENT ON TABLE rest.check_transfer IS
    'A split, merge, table move or server change, kept for loss prevention; append only.';
COMMENT ON COLUMN rest.check_transfer.quantity_share IS 'The part of the line that moved.';

-- FK: what left a check.
CREATE INDEX check_transfer_from_check_idx ON rest.check_transfer (business_id, from_check_id);

-- FK: what came to a check.
CREATE INDEX check_transfer_to_check_idx
    ON rest.check_transfer (business_id, to_check_id)
    WHERE to_check_id IS NOT NULL;

-- FK: what somebody gave away.
CREATE INDEX check_transfer_from_staff_idx
    ON rest.check_transfer (business_id, from_staff_id)
    WHERE from_staff_id IS NOT NULL;

-- FK: what somebody took over.
CREATE INDEX check_transfer_to_staff_idx
    ON rest.check_transfer (business_id, to_staff_id)
    WHERE to_staff_id IS NOT NULL;

-- FK: what a manager approved.
CREATE INDEX check_transfer_approved_by_staff_idx
    ON rest.check_transfer (business_id, approved_by_staff_id)
    WHERE approved_by_staff_id IS NOT NULL;

-- FK: how a line moved.
CREATE INDEX check_transfer_check_item_idx
    ON rest.check_transfer (business_id, check_item_id)
    WHERE check_item_id IS NOT NULL;

ALTER TABLE rest.check_transfer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.check_transfer
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON rest.check_transfer TO app_user;
GRANT SELECT ON rest.check_transfer TO app_readonly;

CREATE TRIGGER check_transfer_append_only
    BEFORE UPDATE OR DELETE ON rest.check_transfer
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.check_transfer');


CREATE FUNCTION rest.validate_modifiers(line uuid)
    RETURNS TABLE (modifier_group_id uuid, problem text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH offered AS (
        SELECT g.modifier_group_id, g.display_name,
               coalesce(o.min_select_override, g.min_select) AS least,
               coalesce(o.max_select_override, g.max_select) AS most
        FROM rest.check_item AS i
        JOIN rest.menu_item_modifier_group AS o
            ON o.business_id = i.business_id AND o.menu_item_id = i.menu_item_id
           AND (o.menu_item_size_id IS NULL OR o.menu_item_size_id = i.menu_item_size_id)
        JOIN rest.modifier_group AS g
            ON g.business_id = o.business_id AND g.modifier_group_id = o.modifier_group_id
        WHERE i.business_id = tenant_mgmt.current_business_id() AND i.check_item_id = line
        UNION
        SELECT g.modifier_group_id, g.display_name,
               coalesce(n.min_select_override, g.min_select),
               coalesce(n.max_select_override, g.max_select)
        FROM rest.check_item_modifier AS m
        JOIN rest.modifier_option_group AS n
            ON n.business_id = m.business_id AND n.modifier_option_id = m.modifier_option_id
           AND n.is_active
        JOIN rest.modifier_group AS g
            ON g.business_id = n.business_id AND g.modifier_group_id = n.child_group_id
        WHERE m.business_id = tenant_mgmt.current_business_id() AND m.check_item_id = line
    ), chosen AS (
        SELECT p.modifier_group_id, p.is_out_of_stock, p.display_name, m.quantity, m.pre_modifier
        FROM rest.check_item_modifier AS m
        JOIN rest.modifier_option AS p
            ON p.business_id = m.business_id AND p.modifier_option_id = m.modifier_option_id
        WHERE m.business_id = tenant_mgmt.current_business_id() AND m.check_item_id = line
    )
    SELECT o.modifier_group_id,
           CASE WHEN coalesce(sum(c.quantity), 0) < o.least
                THEN o.display_name || ': choose at least ' || o.least
                ELSE o.display_name || ': choose at most ' || o.most END
    FROM offered AS o
    LEFT JOIN chosen AS c
        ON c.modifier_group_id = o.modifier_group_id AND c.pre_modifier <> 'no'
    GROUP BY o.modifier_group_id, o.display_name, o.least, o.most
    HAVING coalesce(sum(c.quantity), 0) < o.least OR coalesce(sum(c.quantity), 0) > o.most
    UNION ALL
    SELECT c.modifier_group_id, c.display_name || ' is out'
    FROM chosen AS c
    WHERE c.is_out_of_stock AND c.pre_modifier <> 'no'
    UNION ALL
    SELECT c.modifier_group_id, c.display_name || ' is not offered with this'
    FROM chosen AS c
    WHERE NOT EXISTS (SELECT FROM offered AS o WHERE o.modifier_group_id = c.modifier_group_id);
END;
COMMENT ON FUNCTION rest.validate_modifiers(uuid) IS
    'What is wrong with the choices of a line, nested ones too: too few, too many, out, or not
     offered.';


CREATE FUNCTION rest.recalculate_checks(checks uuid[]) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    PERFORM FROM rest.guest_check AS c
    WHERE c.business_id = tenant AND c.guest_check_id = ANY (checks)
    ORDER BY c.guest_check_id
    FOR NO KEY UPDATE;
    -- A large party's gratuity follows the subtotal. Asked first: an INSERT or UPDATE of no row
    -- fires the triggers that figure all this anew.
    IF EXISTS (
        SELECT
        FROM rest.guest_check AS c
        JOIN rest.guest_order AS o
            ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
        JOIN rest.service_charge AS h
            ON h.business_id = o.business_id AND h.charge_kind = 'auto_gratuity' AND h.is_active
           AND h.amount_basis = 'percent' AND h.service_mode IN ('all', o.service_mode)
           AND o.guest_count >= h.min_party_size
        WHERE c.business_id = tenant AND c.guest_check_id = ANY (checks)
    ) THEN
        INSERT INTO rest.check_adjustment
            (business_id, guest_check_id, service_charge_id, adjustment_kind, label, rate_pct,
             amount, sequence_no)
        SELECT tenant, c.guest_check_id, h.service_charge_id, 'auto_gratuity', h.display_name,
               h.charge_value, 0, 90
        FROM rest.guest_check AS c
        JOIN rest.guest_order AS o
            ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
        JOIN rest.service_charge AS h
            ON h.business_id = o.business_id AND h.charge_kind = 'auto_gratuity' AND h.is_active
           AND h.amount_basis = 'percent' AND h.service_mode IN ('all', o.service_mode)
           AND o.guest_count >= h.min_party_size
        WHERE c.business_id = tenant AND c.guest_check_id = ANY (checks)
          AND NOT EXISTS (SELECT FROM rest.check_adjustment AS a
                          WHERE a.business_id = c.business_id
                            AND a.guest_check_id = c.guest_check_id
                            AND a.service_charge_id = h.service_charge_id);
    END IF;
    IF EXISTS (
        SELECT
        FROM rest.check_adjustment AS a
        WHERE a.business_id = tenant AND a.guest_check_id = ANY (checks)
          AND a.adjustment_kind = 'auto_gratuity'
    ) THEN
        UPDATE rest.check_adjustment AS a
        SET basis_amount = n.gross, amount = round(n.gross * a.rate_pct / 100, 2)
        FROM (
            SELECT c.guest_check_id, coalesce(sum(i.gross_amount), 0) AS gross
            FROM rest.guest_check AS c
            LEFT JOIN rest.check_item AS i
                ON i.business_id = c.business_id AND i.guest_check_id = c.guest_check_id
               AND i.state <> 'voided'
            WHERE c.business_id = tenant AND c.guest_check_id = ANY (checks)
            GROUP BY c.guest_check_id
        ) AS n
        WHERE a.business_id = tenant AND a.guest_check_id = n.guest_check_id
          AND a.adjustment_kind = 'auto_gratuity' AND a.basis_amount <> n.gross;
    END IF;
    WITH rated AS (
        SELECT * FROM rest.taxes_of_checks(checks)
    ), gone AS (
        DELETE FROM rest.check_tax AS x
        WHERE x.business_id = tenant AND x.guest_check_id = ANY (checks)
          AND NOT EXISTS (SELECT FROM rated AS t
                          WHERE t.guest_check_id = x.guest_check_id
                            AND t.tax_rate_id = x.tax_rate_id)
    )
    INSERT INTO rest.check_tax AS x
        (business_id, guest_check_id, tax_rate_id, taxable_amount, rate_pct, tax_amount,
         is_inclusive, is_exempt, exemption_reference, remitted_by)
    SELECT tenant, t.guest_check_id, t.tax_rate_id, t.taxable_amount, t.rate_pct, t.tax_amount,
           t.is_inclusive, t.is_exempt, t.exemption_reference, t.remitted_by
    FROM rated AS t
    ON CONFLICT (business_id, guest_check_id, tax_rate_id) DO UPDATE
        SET taxable_amount = excluded.taxable_amount, tax_amount = excluded.tax_amount,
            is_exempt = excluded.is_exempt, exemption_reference = excluded.exemption_reference
        WHERE (x.taxable_amount, x.tax_amount, x.is_exempt)
              <> (excluded.taxable_amount, excluded.tax_amount, excluded.is_exempt);
    UPDATE rest.guest_check AS c
    SET subtotal = n.subtotal, discount_total = n.discounts, service_charge_total = n.charges,
        tax_total = n.taxes, paid_total = n.paid, tip_total = n.tips,
        state = CASE WHEN c.state NOT IN ('open', 'printed', 'partially_paid', 'paid', 'reopened')
                     THEN c.state
                     WHEN n.paid > 0 AND n.paid >= n.subtotal - n.discounts + n.charges + n.taxes
                     THEN 'paid'
                     WHEN n.paid > 0 THEN 'partially_paid'
                     WHEN c.state IN ('partially_paid', 'paid', 'reopened') THEN 'open'
                     ELSE c.state END
    FROM rest.check_figures(checks) AS n
    WHERE c.business_id = tenant AND c.guest_check_id = n.guest_check_id
      AND (c.subtotal, c.discount_total, c.service_charge_total, c.tax_total, c.paid_total,
           c.tip_total) <> (n.subtotal, n.discounts, n.charges, n.taxes, n.paid, n.tips);
END
$$;
COMMENT ON FUNCTION rest.recalculate_checks(uuid[]) IS
    'Writes what checks owe anew from their lines, adjustments, rates and payments, and their state
     with it: partially paid, paid.';


CREATE FUNCTION rest.recalculate_check(
    guest_check     uuid,
    OUT subtotal    numeric,
    OUT tax_total   numeric,
    OUT grand_total numeric,
    OUT balance_due numeric
)
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rest.recalculate_checks(ARRAY[guest_check]);
    SELECT c.subtotal, c.tax_total, c.grand_total, c.balance_due
    INTO recalculate_check.subtotal, recalculate_check.tax_total, recalculate_check.grand_total,
         recalculate_check.balance_due
    FROM rest.guest_check AS c
    WHERE c.business_id = tenant_mgmt.current_business_id() AND c.guest_check_id = guest_check;
END
$$;
COMMENT ON FUNCTION rest.recalculate_check(uuid) IS
    'Figures one check anew, with the taxes of its class and mode and a large party''s gratuity.';


CREATE FUNCTION rest.refigure_checks() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    checks uuid[];
BEGIN
    -- Below another trigger the figures are being written already.
    IF pg_trigger_depth() > 2 OR NOT row_security_active('rest.guest_check') THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(DISTINCT x.guest_check_id) INTO checks
    FROM changed AS x;
    IF checks IS NOT NULL THEN
        PERFORM rest.recalculate_checks(checks);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.refigure_checks() IS
    'A check is figured anew once per statement that changes what it owes.';

CREATE TRIGGER check_item_refigure_on_insert
    AFTER INSERT ON rest.check_item
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.refigure_checks();

CREATE TRIGGER check_item_refigure_on_update
    AFTER UPDATE ON rest.check_item
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.refigure_checks();

CREATE TRIGGER check_item_refigure_on_delete
    AFTER DELETE ON rest.check_item
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.refigure_checks();
