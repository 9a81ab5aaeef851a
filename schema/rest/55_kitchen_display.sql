/*
 * Kitchen display: where each line is made, what every station has on its screen, and how fast.
 *
 * A station_routing_rule says which station makes an item, a group or a choice; the most specific
 * one wins. A prep_time_standard is what an item may take at a station. Firing a course
 * (rest.fire_course) makes a kitchen_ticket for each station with a kitchen_ticket_item for each
 * line; a cook's touch (rest.bump_ticket) moves it on, rest.recall_ticket brings it back. In a
 * kitchen with a two-level pass, what a station finished is ready and leaves with the ticket of
 * the expediter. Course and order follow their tickets. kitchen_ticket_event is the trail of every
 * ticket, station_load_sample the load of a station minute by minute.
 */

CREATE TABLE rest.station_routing_rule (
    business_id             uuid        NOT NULL,
    station_routing_rule_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    prep_station_id         uuid        NOT NULL,
    menu_group_id           uuid,
    menu_item_id            uuid,
    modifier_option_id      uuid,
    virtual_brand_id        uuid,
    sales_channel_id        uuid,
    rule_name               text        NOT NULL,
    route_kind              text        NOT NULL DEFAULT 'make',
    service_mode            text        NOT NULL DEFAULT 'all',
    weekday_mask            smallint    NOT NULL DEFAULT 127,
    starts_time             time,
    ends_time               time,
    priority                integer     NOT NULL DEFAULT 100,
    splits_by_course        boolean     NOT NULL DEFAULT false,
    effective_from          date        NOT NULL,
    is_active               boolean     NOT NULL DEFAULT true,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, station_routing_rule_id),
    FOREIGN KEY (business_id, prep_station_id)
        REFERENCES rest.prep_station (business_id, prep_station_id),
    FOREIGN KEY (business_id, menu_group_id)
        REFERENCES rest.menu_group (business_id, menu_group_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    FOREIGN KEY (business_id, modifier_option_id)
        REFERENCES rest.modifier_option (business_id, modifier_option_id),
    FOREIGN KEY (business_id, virtual_brand_id)
        REFERENCES rest.virtual_brand (business_id, virtual_brand_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES rest.sales_channel (business_id, sales_channel_id),
    CONSTRAINT station_routing_rule_route_kind_known
        CHECK (route_kind IN ('make', 'assemble', 'expo_copy', 'print_only')),
    CONSTRAINT station_routing_rule_service_mode_known
        CHECK (service_mode IN ('all', 'dine_in', 'takeout', 'delivery')),
    CONSTRAINT station_routing_rule_routes_one_thing
        CHECK (num_nonnulls(menu_group_id, menu_item_id, modifier_option_id) = 1),
    CONSTRAINT station_routing_rule_weekdays_in_mask CHECK (weekday_mask BETWEEN 1 AND 127),
    CONSTRAINT station_routing_rule_window_is_whole
        CHECK ((starts_time IS NULL) = (ends_time IS NULL)),
    CONSTRAINT station_routing_rule_window_takes_time CHECK (ends_time <> starts_time)
);

COMMENT ON TABLE rest.station_routing_rule IS
    'Which station makes an item, group or modifier, by brand, channel and time.';
COMMENT ON COLUMN rest.station_routing_rule.route_kind IS
    'make and assemble put it on the screen of the station, expo_copy on the pass as well;
     print_only leaves no ticket, the chit of its printer is all there is.';
COMMENT ON COLUMN rest.station_routing_rule.modifier_option_id IS
    'A choice that another station makes: it gets the line too.';
COMMENT ON COLUMN rest.station_routing_rule.priority IS
    'Between rules that are equally specific the lowest number wins.';
COMMENT ON COLUMN rest.station_routing_rule.splits_by_course IS
    'Where one course holds everything: a ticket for the starters, one for the mains.';

-- FK: what is sent to a station.
CREATE INDEX station_routing_rule_prep_station_idx
    ON rest.station_routing_rule (business_id, prep_station_id);

-- Firing: the rules of a group. FK: menu group.
CREATE INDEX station_routing_rule_menu_group_idx
    ON rest.station_routing_rule (business_id, menu_group_id)
    WHERE menu_group_id IS NOT NULL;

-- Firing: the rules of an item. FK: menu item.
CREATE INDEX station_routing_rule_menu_item_idx
    ON rest.station_routing_rule (business_id, menu_item_id)
    WHERE menu_item_id IS NOT NULL;

-- Firing: the rules of a choice. FK: modifier option.
CREATE INDEX station_routing_rule_modifier_option_idx
    ON rest.station_routing_rule (business_id, modifier_option_id)
    WHERE modifier_option_id IS NOT NULL;

-- FK: what is routed apart for a brand.
CREATE INDEX station_routing_rule_virtual_brand_idx
    ON rest.station_routing_rule (business_id, virtual_brand_id)
    WHERE virtual_brand_id IS NOT NULL;

-- FK: what is routed apart for a channel.
CREATE INDEX station_routing_rule_sales_channel_idx
    ON rest.station_routing_rule (business_id, sales_channel_id)
    WHERE sales_channel_id IS NOT NULL;

ALTER TABLE rest.station_routing_rule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.station_routing_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.station_routing_rule TO app_user;
GRANT SELECT ON rest.station_routing_rule TO app_readonly;

CREATE TRIGGER station_routing_rule_touch
    BEFORE UPDATE ON rest.station_routing_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.prep_time_standard (
    business_id           uuid        NOT NULL,
    prep_time_standard_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    menu_item_id          uuid        NOT NULL,
    prep_station_id       uuid        NOT NULL,
    service_period_id     uuid,
    target_seconds        integer     NOT NULL,
    learned_p50_seconds   integer,
    learned_p90_seconds   integer,
    sample_count          integer     NOT NULL DEFAULT 0,
    is_batchable          boolean     NOT NULL DEFAULT false,
    max_batch             integer,
    hold_limit_seconds    integer,
    computed_at           timestamptz,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, prep_time_standard_id),
    UNIQUE NULLS NOT DISTINCT (business_id, menu_item_id, prep_station_id, service_period_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    FOREIGN KEY (business_id, prep_station_id)
        REFERENCES rest.prep_station (business_id, prep_station_id),
    FOREIGN KEY (business_id, service_period_id)
        REFERENCES rest.service_period (business_id, service_period_id),
    CONSTRAINT prep_time_standard_target_positive CHECK (target_seconds > 0),
    CONSTRAINT prep_time_standard_p90_at_least_p50
        CHECK (learned_p90_seconds >= learned_p50_seconds),
    CONSTRAINT prep_time_standard_learned_is_whole
        CHECK (num_nonnulls(learned_p50_seconds, learned_p90_seconds, computed_at)
               = CASE WHEN sample_count > 0 THEN 3 ELSE 0 END),
    CONSTRAINT prep_time_standard_samples_not_negative CHECK (sample_count >= 0),
    CONSTRAINT prep_time_standard_batch_has_size
        CHECK (is_batchable = (max_batch IS NOT NULL)),
    CONSTRAINT prep_time_standard_batch_is_several CHECK (max_batch >= 2),
    CONSTRAINT prep_time_standard_hold_positive CHECK (hold_limit_seconds > 0)
);

COMMENT ON TABLE rest.prep_time_standard IS
    'Target and learned make time of an item at a station by daypart.';
COMMENT ON COLUMN rest.prep_time_standard.service_period_id IS 'NULL for any time of day.';
COMMENT ON COLUMN rest.prep_time_standard.learned_p50_seconds IS
    'What it took half of the time, of sample_count tickets up to computed_at.';
COMMENT ON COLUMN rest.prep_time_standard.max_batch IS 'Portions that are cooked as one.';
COMMENT ON COLUMN rest.prep_time_standard.hold_limit_seconds IS
    'How long it may wait in the pass before it is made again.';

-- FK: what a station is measured by.
CREATE INDEX prep_time_standard_prep_station_idx
    ON rest.prep_time_standard (business_id, prep_station_id);

-- FK: the targets of a daypart.
CREATE INDEX prep_time_standard_service_period_idx
    ON rest.prep_time_standard (business_id, service_period_id)
    WHERE service_period_id IS NOT NULL;

ALTER TABLE rest.prep_time_standard ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.prep_time_standard
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.prep_time_standard TO app_user;
GRANT SELECT ON rest.prep_time_standard TO app_readonly;

CREATE TRIGGER prep_time_standard_touch
    BEFORE UPDATE ON rest.prep_time_standard
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.kitchen_ticket (
    business_id       uuid        NOT NULL,
    kitchen_ticket_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    guest_order_id    uuid        NOT NULL,
    kitchen_id        uuid        NOT NULL,
    prep_station_id   uuid        NOT NULL,
    order_course_id   uuid,
    virtual_brand_id  uuid,
    ticket_number     text        NOT NULL,
    business_date     date        NOT NULL,
    ticket_kind       text        NOT NULL DEFAULT 'prep',
    state             text        NOT NULL DEFAULT 'queued',
    priority          text        NOT NULL DEFAULT 'normal',
    item_count        integer     NOT NULL DEFAULT 0,
    target_seconds    integer,
    queued_at         timestamptz NOT NULL DEFAULT now(),
    fired_at          timestamptz,
    started_at        timestamptz,
    ready_at          timestamptz,
    bumped_at         timestamptz,
    due_at            timestamptz,
    recall_count      integer     NOT NULL DEFAULT 0,
    elapsed_seconds   integer,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, kitchen_ticket_id),
    UNIQUE (business_id, prep_station_id, business_date, ticket_number),
    FOREIGN KEY (business_id, guest_order_id)
        REFERENCES rest.guest_order (business_id, guest_order_id),
    FOREIGN KEY (business_id, kitchen_id) REFERENCES rest.kitchen (business_id, kitchen_id),
    FOREIGN KEY (business_id, prep_station_id)
        REFERENCES rest.prep_station (business_id, prep_station_id),
    FOREIGN KEY (business_id, order_course_id)
        REFERENCES rest.order_course (business_id, order_course_id),
    FOREIGN KEY (business_id, virtual_brand_id)
        REFERENCES rest.virtual_brand (business_id, virtual_brand_id),
    CONSTRAINT kitchen_ticket_kind_known
        CHECK (ticket_kind IN ('prep', 'expo', 'add_on', 'remake')),
    CONSTRAINT kitchen_ticket_state_known
        CHECK (state IN ('queued', 'fired', 'in_progress', 'ready', 'bumped', 'recalled',
                         'cancelled')),
    CONSTRAINT kitchen_ticket_priority_known CHECK (priority IN ('normal', 'rush', 'vip')),
    CONSTRAINT kitchen_ticket_fired_after_queuing CHECK (fired_at >= queued_at),
    CONSTRAINT kitchen_ticket_started_after_firing
        CHECK (started_at >= coalesce(fired_at, queued_at)),
    CONSTRAINT kitchen_ticket_ready_after_start
        CHECK (ready_at >= coalesce(started_at, fired_at, queued_at)),
    CONSTRAINT kitchen_ticket_bumped_last
        CHECK (bumped_at >= coalesce(ready_at, started_at, fired_at, queued_at)),
    CONSTRAINT kitchen_ticket_state_has_time
        CHECK (CASE state WHEN 'fired' THEN fired_at IS NOT NULL
                          WHEN 'in_progress' THEN started_at IS NOT NULL
                          WHEN 'ready' THEN ready_at IS NOT NULL
                          WHEN 'recalled' THEN recall_count > 0
                          ELSE true END),
    CONSTRAINT kitchen_ticket_bumped_has_time
        CHECK ((state = 'bumped') = (bumped_at IS NOT NULL)),
    CONSTRAINT kitchen_ticket_recalls_not_negative CHECK (recall_count >= 0),
    CONSTRAINT kitchen_ticket_items_not_negative CHECK (item_count >= 0),
    CONSTRAINT kitchen_ticket_target_positive CHECK (target_seconds > 0),
    CONSTRAINT kitchen_ticket_elapsed_not_negative CHECK (elapsed_seconds >= 0)
);

COMMENT ON TABLE rest.kitchen_ticket IS
    'What one station has to make for one order or course, with its clock.';
COMMENT ON COLUMN rest.kitchen_ticket.ticket_kind IS
    'prep and add_on are cooked; expo is the copy at the pass, without items of its own; remake is
     made again.';
COMMENT ON COLUMN rest.kitchen_ticket.fired_at IS
    'When the cook may begin; for a queued ticket, when it shall be fired.';
COMMENT ON COLUMN rest.kitchen_ticket.ready_at IS 'A recall takes it back, the trail keeps it.';
COMMENT ON COLUMN rest.kitchen_ticket.elapsed_seconds IS 'From firing until it was done.';

-- kds_station_queue: what is on the screen of a station, in the order of firing.
CREATE INDEX kitchen_ticket_queue_idx
    ON rest.kitchen_ticket (business_id, prep_station_id, fired_at)
    WHERE state IN ('queued', 'fired', 'in_progress', 'recalled');

-- expo_order_board: what a kitchen has not handed out.
CREATE INDEX kitchen_ticket_open_idx
    ON rest.kitchen_ticket (business_id, kitchen_id)
    WHERE state IN ('queued', 'fired', 'in_progress', 'ready', 'recalled');

-- FK: the tickets of an order.
CREATE INDEX kitchen_ticket_guest_order_idx ON rest.kitchen_ticket (business_id, guest_order_id);

-- FK: the work of a kitchen, the latest last.
CREATE INDEX kitchen_ticket_kitchen_idx
    ON rest.kitchen_ticket (business_id, kitchen_id, business_date);

-- FK: the tickets of a course.
CREATE INDEX kitchen_ticket_order_course_idx
    ON rest.kitchen_ticket (business_id, order_course_id)
    WHERE order_course_id IS NOT NULL;

-- FK: what was cooked for a brand.
CREATE INDEX kitchen_ticket_virtual_brand_idx
    ON rest.kitchen_ticket (business_id, virtual_brand_id)
    WHERE virtual_brand_id IS NOT NULL;

ALTER TABLE rest.kitchen_ticket ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.kitchen_ticket
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.kitchen_ticket TO app_user;
GRANT SELECT ON rest.kitchen_ticket TO app_readonly;

CREATE TRIGGER kitchen_ticket_touch
    BEFORE UPDATE ON rest.kitchen_ticket
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER kitchen_ticket_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.kitchen_ticket
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["queued", "fired"],
        "transitions": {
            "queued":      ["fired", "cancelled"],
            "fired":       ["in_progress", "ready", "bumped", "cancelled"],
            "in_progress": ["ready", "bumped", "cancelled"],
            "ready":       ["in_progress", "bumped", "recalled", "cancelled"],
            "bumped":      ["recalled"],
            "recalled":    ["in_progress", "ready", "bumped", "cancelled"],
            "cancelled":   []
        }}');

CREATE FUNCTION rest.place_ticket() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT s.kitchen_id INTO NEW.kitchen_id
    FROM rest.prep_station AS s
    WHERE s.business_id = NEW.business_id AND s.prep_station_id = NEW.prep_station_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.place_ticket() IS
    'A ticket is in the kitchen of its station, also after it was sent to another one.';

CREATE TRIGGER kitchen_ticket_placed_on_insert
    BEFORE INSERT ON rest.kitchen_ticket
    FOR EACH ROW EXECUTE FUNCTION rest.place_ticket();

CREATE TRIGGER kitchen_ticket_placed_on_reroute
    BEFORE UPDATE ON rest.kitchen_ticket
    FOR EACH ROW WHEN (NEW.prep_station_id <> OLD.prep_station_id
                       OR NEW.kitchen_id <> OLD.kitchen_id)
    EXECUTE FUNCTION rest.place_ticket();


CREATE TABLE rest.kitchen_ticket_item (
    business_id            uuid                 NOT NULL,
    kitchen_ticket_item_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    cooked_by_staff_id     uuid,
    remake_of_item_id      uuid,
    remake_reason_id       uuid,
    kitchen_ticket_id      uuid                 NOT NULL,
    check_item_id          uuid                 NOT NULL,
    quantity               system_core.quantity NOT NULL DEFAULT 1,
    state                  text                 NOT NULL DEFAULT 'waiting',
    hold_seconds           integer              NOT NULL DEFAULT 0,
    started_at             timestamptz,
    done_at                timestamptz,
    target_seconds         integer,
    actual_seconds         integer,
    modifier_summary       text,
    has_allergy_flag       boolean              NOT NULL DEFAULT false,
    is_late                boolean              GENERATED ALWAYS AS (
                                            coalesce(actual_seconds > target_seconds, false))
                                            STORED,
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, kitchen_ticket_item_id),
    FOREIGN KEY (business_id, cooked_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, remake_of_item_id)
        REFERENCES rest.kitchen_ticket_item (business_id, kitchen_ticket_item_id),
    FOREIGN KEY (business_id, remake_reason_id)
        REFERENCES rest.reason_code (business_id, reason_code_id),
    FOREIGN KEY (business_id, kitchen_ticket_id)
        REFERENCES rest.kitchen_ticket (business_id, kitchen_ticket_id),
    FOREIGN KEY (business_id, check_item_id)
        REFERENCES rest.check_item (business_id, check_item_id),
    CONSTRAINT kitchen_ticket_item_state_known
        CHECK (state IN ('waiting', 'started', 'done', 'voided')),
    CONSTRAINT kitchen_ticket_item_quantity_positive CHECK (quantity > 0),
    CONSTRAINT kitchen_ticket_item_hold_not_negative CHECK (hold_seconds >= 0),
    CONSTRAINT kitchen_ticket_item_target_positive CHECK (target_seconds > 0),
    CONSTRAINT kitchen_ticket_item_actual_not_negative CHECK (actual_seconds >= 0),
    CONSTRAINT kitchen_ticket_item_started_has_time
        CHECK (state NOT IN ('started', 'done') OR started_at IS NOT NULL),
    CONSTRAINT kitchen_ticket_item_done_is_whole
        CHECK (num_nonnulls(done_at, actual_seconds) = CASE WHEN state = 'done' THEN 2 ELSE 0 END),
    CONSTRAINT kitchen_ticket_item_done_after_start CHECK (done_at >= started_at),
    CONSTRAINT kitchen_ticket_item_remake_has_reason
        CHECK ((remake_reason_id IS NOT NULL) = (remake_of_item_id IS NOT NULL)),
    CONSTRAINT kitchen_ticket_item_not_its_own_remake
        CHECK (remake_of_item_id <> kitchen_ticket_item_id)
);

COMMENT ON TABLE rest.kitchen_ticket_item IS
    'A check line at a station: cooking, done, late or being made again.';
COMMENT ON COLUMN rest.kitchen_ticket_item.hold_seconds IS
    'Begun that much after the ticket was fired, to be hot together with its slowest dish.';
COMMENT ON COLUMN rest.kitchen_ticket_item.actual_seconds IS
    'From when it should be begun until it was done.';
COMMENT ON COLUMN rest.kitchen_ticket_item.modifier_summary IS
    'What was chosen and asked for, as the cook reads it.';
COMMENT ON COLUMN rest.kitchen_ticket_item.has_allergy_flag IS
    'A guest of the seat is allergic, or the line says so.';

-- FK: what a cook made.
CREATE INDEX kitchen_ticket_item_cooked_by_staff_idx
    ON rest.kitchen_ticket_item (business_id, cooked_by_staff_id)
    WHERE cooked_by_staff_id IS NOT NULL;

-- FK: how a dish was made again.
CREATE INDEX kitchen_ticket_item_remake_of_item_idx
    ON rest.kitchen_ticket_item (business_id, remake_of_item_id)
    WHERE remake_of_item_id IS NOT NULL;

-- FK: what was made again for a reason.
CREATE INDEX kitchen_ticket_item_remake_reason_idx
    ON rest.kitchen_ticket_item (business_id, remake_reason_id)
    WHERE remake_reason_id IS NOT NULL;

-- FK: the items of a ticket, for every screen.
CREATE INDEX kitchen_ticket_item_kitchen_ticket_idx
    ON rest.kitchen_ticket_item (business_id, kitchen_ticket_id);

-- FK: where a line is made.
CREATE INDEX kitchen_ticket_item_check_item_idx
    ON rest.kitchen_ticket_item (business_id, check_item_id);

ALTER TABLE rest.kitchen_ticket_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.kitchen_ticket_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.kitchen_ticket_item TO app_user;
GRANT SELECT ON rest.kitchen_ticket_item TO app_readonly;

CREATE TRIGGER kitchen_ticket_item_touch
    BEFORE UPDATE ON rest.kitchen_ticket_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER kitchen_ticket_item_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.kitchen_ticket_item
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["waiting"],
        "transitions": {
            "waiting": ["started", "done", "voided"],
            "started": ["waiting", "done", "voided"],
            "done":    ["started", "voided"],
            "voided":  []
        }}');


CREATE TABLE rest.kitchen_ticket_event (
    business_id             uuid                     NOT NULL,
    kitchen_ticket_event_id uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    actor_staff_id          uuid,
    kitchen_ticket_id       uuid                     NOT NULL,
    prep_station_id         uuid,
    pos_device_id           uuid,
    occurred_at             timestamptz              NOT NULL DEFAULT clock_timestamp(),
    event_kind              text                     NOT NULL,
    from_state              text,
    to_state                text,
    ticket_age_ms           system_core.milliseconds,
    station_depth           integer,
    payload                 system_core.json_object,
    created_at              timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, kitchen_ticket_event_id, occurred_at),
    FOREIGN KEY (business_id, actor_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, kitchen_ticket_id)
        REFERENCES rest.kitchen_ticket (business_id, kitchen_ticket_id),
    FOREIGN KEY (business_id, prep_station_id)
        REFERENCES rest.prep_station (business_id, prep_station_id),
    FOREIGN KEY (business_id, pos_device_id)
        REFERENCES rest.pos_device (business_id, pos_device_id),
    CONSTRAINT kitchen_ticket_event_kind_known
        CHECK (event_kind IN ('queued', 'fired', 'started', 'item_done', 'ready', 'bumped',
                              'recalled', 'rerouted', 'priority_changed', 'voided', 'served',
                              'auto_bumped')),
    CONSTRAINT kitchen_ticket_event_states_known
        CHECK (from_state IN ('queued', 'fired', 'in_progress', 'ready', 'bumped', 'recalled',
                              'cancelled')
               AND to_state IN ('queued', 'fired', 'in_progress', 'ready', 'bumped', 'recalled',
                                'cancelled')),
    CONSTRAINT kitchen_ticket_event_age_not_negative CHECK (ticket_age_ms >= 0),
    CONSTRAINT kitchen_ticket_event_depth_not_negative CHECK (station_depth >= 0)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE rest.kitchen_ticket_event IS
    'Every touch of a ticket with its age at that moment; append only.';
COMMENT ON COLUMN rest.kitchen_ticket_event.from_state IS 'NULL for the first one.';
COMMENT ON COLUMN rest.kitchen_ticket_event.ticket_age_ms IS 'Since it was queued.';
COMMENT ON COLUMN rest.kitchen_ticket_event.station_depth IS
    'Tickets that the station had open then.';
COMMENT ON COLUMN rest.kitchen_ticket_event.payload IS
    '{"items": […], "from_station": "…", "to_station": "…"}: what it touched.';

-- FK: what somebody touched.
CREATE INDEX kitchen_ticket_event_actor_staff_idx
    ON rest.kitchen_ticket_event (business_id, actor_staff_id)
    WHERE actor_staff_id IS NOT NULL;

-- FK: how a ticket went.
CREATE INDEX kitchen_ticket_event_kitchen_ticket_idx
    ON rest.kitchen_ticket_event (business_id, kitchen_ticket_id, occurred_at);

-- A screen asks what happened at its station since it last looked. FK: prep station.
CREATE INDEX kitchen_ticket_event_prep_station_idx
    ON rest.kitchen_ticket_event (business_id, prep_station_id, occurred_at)
    WHERE prep_station_id IS NOT NULL;

-- FK: what was touched on a screen.
CREATE INDEX kitchen_ticket_event_pos_device_idx
    ON rest.kitchen_ticket_event (business_id, pos_device_id)
    WHERE pos_device_id IS NOT NULL;

ALTER TABLE rest.kitchen_ticket_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.kitchen_ticket_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON rest.kitchen_ticket_event TO app_user;
GRANT SELECT ON rest.kitchen_ticket_event TO app_readonly;

CREATE TRIGGER kitchen_ticket_event_append_only
    BEFORE UPDATE OR DELETE ON rest.kitchen_ticket_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.kitchen_ticket_event');

CREATE TABLE rest.kitchen_ticket_event_default PARTITION OF rest.kitchen_ticket_event DEFAULT;
ALTER TABLE rest.kitchen_ticket_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.kitchen_ticket_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'rest.kitchen_ticket_event', 'month', behind => 3, ahead => 1);


CREATE TABLE rest.station_load_sample (
    business_id            uuid                   NOT NULL,
    station_load_sample_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    prep_station_id        uuid                   NOT NULL,
    sampled_at             timestamptz            NOT NULL DEFAULT now(),
    open_tickets           integer                NOT NULL DEFAULT 0,
    open_items             integer                NOT NULL DEFAULT 0,
    backlog_seconds        integer                NOT NULL DEFAULT 0,
    oldest_ticket_seconds  integer,
    late_items             integer                NOT NULL DEFAULT 0,
    bumped_last_5m         integer                NOT NULL DEFAULT 0,
    p50_seconds_15m        numeric(9, 4),
    utilisation_pct        system_core.percentage NOT NULL DEFAULT 0,
    throttle_state         text                   NOT NULL DEFAULT 'normal',
    created_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, station_load_sample_id, sampled_at),
    FOREIGN KEY (business_id, prep_station_id)
        REFERENCES rest.prep_station (business_id, prep_station_id),
    CONSTRAINT station_load_sample_throttle_state_known
        CHECK (throttle_state IN ('normal', 'busy', 'paused')),
    CONSTRAINT station_load_sample_late_are_open CHECK (open_items >= late_items),
    CONSTRAINT station_load_sample_not_negative
        CHECK (open_tickets >= 0 AND late_items >= 0 AND backlog_seconds >= 0
               AND oldest_ticket_seconds >= 0 AND bumped_last_5m >= 0 AND p50_seconds_15m >= 0),
    CONSTRAINT station_load_sample_utilisation_bounded CHECK (utilisation_pct BETWEEN 0 AND 100),
    CONSTRAINT station_load_sample_oldest_is_open
        CHECK ((oldest_ticket_seconds IS NULL) = (open_tickets = 0))
) PARTITION BY RANGE (sampled_at);

COMMENT ON TABLE rest.station_load_sample IS
    'Minute-by-minute load of a station: depth, backlog, lateness; append only.';
COMMENT ON COLUMN rest.station_load_sample.backlog_seconds IS
    'What its open items should still take, by their targets.';
COMMENT ON COLUMN rest.station_load_sample.utilisation_pct IS
    'Open tickets of those it can cook at a time, at most 100.';

-- FK: the load of a station, the latest last.
CREATE INDEX station_load_sample_prep_station_idx
    ON rest.station_load_sample (business_id, prep_station_id, sampled_at);

ALTER TABLE rest.station_load_sample ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.station_load_sample
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON rest.station_load_sample TO app_user;
GRANT SELECT ON rest.station_load_sample TO app_readonly;

CREATE TRIGGER station_load_sample_append_only
    BEFORE UPDATE OR DELETE ON rest.station_load_sample
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.station_load_sample');

CREATE TABLE rest.station_load_sample_default PARTITION OF rest.station_load_sample DEFAULT;
ALTER TABLE rest.station_load_sample_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.station_load_sample_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'rest.station_load_sample', 'month', behind => 3, ahead => 1);


CREATE FUNCTION rest.note_ticket() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    -- The functions of the kitchen say who touches; without, it was a job or the channel.
    actor  CONSTANT uuid := nullif(current_setting('app.staff_member_id', true), '')::uuid;
    former CONSTANT text := CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END;
    kind   text;
    moment timestamptz;
    screen record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    SELECT s.display_device_id, s.auto_bump_minutes,
           (SELECT count(*)
            FROM rest.kitchen_ticket AS t
            WHERE t.business_id = s.business_id AND t.prep_station_id = s.prep_station_id
              AND t.state IN ('queued', 'fired', 'in_progress', 'recalled')) AS depth
    INTO screen
    FROM rest.prep_station AS s
    WHERE s.business_id = NEW.business_id AND s.prep_station_id = NEW.prep_station_id;
    moment := CASE WHEN NEW.state = former THEN clock_timestamp()
                   WHEN NEW.state = 'queued' THEN NEW.queued_at
                   WHEN NEW.state = 'fired' THEN NEW.fired_at
                   WHEN NEW.state = 'in_progress' AND former = 'fired' THEN NEW.started_at
                   WHEN NEW.state = 'ready' THEN NEW.ready_at
                   WHEN NEW.state = 'bumped' THEN NEW.bumped_at
                   ELSE clock_timestamp() END;
    IF NEW.state IS DISTINCT FROM former THEN
        kind := CASE NEW.state
                WHEN 'in_progress' THEN 'started'
                WHEN 'cancelled' THEN 'voided'
                WHEN 'bumped' THEN
                    CASE WHEN actor IS NULL AND moment >= NEW.fired_at
                                                + make_interval(mins => screen.auto_bump_minutes)
                         THEN 'auto_bumped' ELSE 'bumped' END
                ELSE NEW.state END;
    ELSIF NEW.prep_station_id <> OLD.prep_station_id THEN
        kind := 'rerouted';
    ELSIF NEW.priority <> OLD.priority THEN
        kind := 'priority_changed';
    ELSE
        RETURN NULL;
    END IF;
    INSERT INTO rest.kitchen_ticket_event
        (business_id, kitchen_ticket_id, prep_station_id, pos_device_id, actor_staff_id,
         occurred_at, event_kind, from_state, to_state, ticket_age_ms, station_depth, payload)
    VALUES (NEW.business_id, NEW.kitchen_ticket_id, NEW.prep_station_id, screen.display_device_id,
            actor, moment, kind, former, NEW.state,
            -- What was left open for weeks is as old as can be told.
            least(greatest(0, extract(epoch FROM moment - NEW.queued_at) * 1000), 999999999),
            screen.depth,
            CASE kind WHEN 'rerouted' THEN jsonb_build_object('from_station', OLD.prep_station_id,
                                                              'to_station', NEW.prep_station_id)
                      WHEN 'priority_changed' THEN jsonb_build_object('from', OLD.priority,
                                                                      'to', NEW.priority) END);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.note_ticket() IS
    'Every touch of a ticket is written down with its age, and the screens of its station read what
     is new there; imported history brings its own trail. It sends no NOTIFY: every role could
     listen to it, whatever its tenant.';

CREATE TRIGGER kitchen_ticket_noted
    AFTER INSERT OR UPDATE OF state, prep_station_id, priority ON rest.kitchen_ticket
    FOR EACH ROW EXECUTE FUNCTION rest.note_ticket();


CREATE FUNCTION rest.course_routes(course uuid, moment timestamptz)
    RETURNS TABLE (
        check_item_id      uuid,
        modifier_option_id uuid,
        route_kind         text,
        prep_station_id    uuid,
        splits_by          text,
        target_seconds     integer
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH line AS (
        SELECT i.business_id, i.check_item_id, i.menu_item_id, m.default_course,
               nullif(m.prep_seconds, 0) AS prep_seconds, o.virtual_brand_id, o.sales_channel_id,
               o.location_id, o.kitchen_id, moment AT TIME ZONE l.timezone AS local,
               CASE WHEN o.service_mode IN ('dine_in', 'delivery') THEN o.service_mode
                    ELSE 'takeout' END AS service_mode
        FROM rest.check_item AS i
        JOIN rest.menu_item AS m
            ON m.business_id = i.business_id AND m.menu_item_id = i.menu_item_id
           AND m.item_kind NOT IN ('combo', 'retail', 'gift_card')
        JOIN rest.guest_check AS c
            ON c.business_id = i.business_id AND c.guest_check_id = i.guest_check_id
        JOIN rest.guest_order AS o
            ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
        JOIN rest.location AS l
            ON l.business_id = o.business_id AND l.location_id = o.location_id
        WHERE i.business_id = tenant_mgmt.current_business_id() AND i.order_course_id = course
          AND i.state IN ('new', 'held')
    ), offered AS (
        SELECT l.check_item_id, NULL::uuid AS part, 1 AS narrowness, NULL::integer AS seconds, r.*
        FROM line AS l
        JOIN rest.station_routing_rule AS r
            ON r.business_id = l.business_id AND r.menu_item_id = l.menu_item_id
        UNION ALL
        SELECT l.check_item_id, NULL, 0, NULL, r.*
        FROM line AS l
        JOIN rest.menu_group_item AS g
            ON g.business_id = l.business_id AND g.menu_item_id = l.menu_item_id
        JOIN rest.station_routing_rule AS r
            ON r.business_id = g.business_id AND r.menu_group_id = g.menu_group_id
        UNION ALL
        SELECT l.check_item_id, r.modifier_option_id, 0, nullif(p.prep_seconds, 0), r.*
        FROM line AS l
        JOIN rest.check_item_modifier AS m
            ON m.business_id = l.business_id AND m.check_item_id = l.check_item_id
           AND m.pre_modifier NOT IN ('no', 'allergy')
        JOIN rest.modifier_option AS p
            ON p.business_id = m.business_id AND p.modifier_option_id = m.modifier_option_id
        JOIN rest.station_routing_rule AS r
            ON r.business_id = m.business_id AND r.modifier_option_id = m.modifier_option_id
    ), ranked AS (
        SELECT l.*, r.part, r.seconds, r.route_kind, r.splits_by_course,
               coalesce(b.prep_station_id, s.prep_station_id) AS prep_station_id,
               row_number() OVER (
                   PARTITION BY l.check_item_id, r.part, r.route_kind
                   -- The most specific one: an item before its group, then brand, channel, mode
                   -- and time.
                   ORDER BY r.narrowness DESC,
                            num_nonnulls(r.virtual_brand_id) * 8
                            + num_nonnulls(r.sales_channel_id) * 4
                            + CASE WHEN r.service_mode <> 'all' THEN 2 ELSE 0 END
                            + CASE WHEN r.starts_time IS NOT NULL OR r.weekday_mask <> 127
                                   THEN 1 ELSE 0 END DESC,
                            r.priority, r.station_routing_rule_id) AS place
        FROM line AS l
        JOIN offered AS r ON r.check_item_id = l.check_item_id
        JOIN rest.prep_station AS s
            ON s.business_id = r.business_id AND s.prep_station_id = r.prep_station_id
        JOIN rest.kitchen AS k
            ON k.business_id = s.business_id AND k.kitchen_id = s.kitchen_id
           AND CASE WHEN l.kitchen_id IS NULL THEN k.location_id = l.location_id
                    ELSE k.kitchen_id = l.kitchen_id END
           AND (r.route_kind <> 'expo_copy' OR k.expo_mode <> 'none')
        LEFT JOIN rest.prep_station AS b
            ON b.business_id = s.business_id AND b.prep_station_id = s.backup_station_id
           AND s.state <> 'open' AND b.state = 'open'
        WHERE r.is_active AND r.effective_from <= l.local::date
          AND (r.virtual_brand_id IS NULL OR r.virtual_brand_id = l.virtual_brand_id)
          AND (r.sales_channel_id IS NULL OR r.sales_channel_id = l.sales_channel_id)
          AND r.service_mode IN ('all', l.service_mode)
          AND (r.weekday_mask >> (extract(isodow FROM l.local)::integer - 1)) & 1 = 1
          AND (r.starts_time IS NULL
               OR (r.starts_time < r.ends_time
                   AND l.local::time >= r.starts_time AND l.local::time < r.ends_time)
               OR (r.starts_time > r.ends_time
                   AND (l.local::time >= r.starts_time OR l.local::time < r.ends_time)))
    )
    SELECT x.check_item_id, x.part, x.route_kind, x.prep_station_id,
           CASE WHEN x.splits_by_course THEN x.default_course END,
           CASE WHEN x.part IS NOT NULL THEN x.seconds
                ELSE coalesce(p.target_seconds, x.prep_seconds) END
    FROM ranked AS x
    LEFT JOIN LATERAL (
        SELECT y.target_seconds
        FROM rest.prep_time_standard AS y
        LEFT JOIN rest.service_period AS d
            ON d.business_id = y.business_id AND d.service_period_id = y.service_period_id
        WHERE y.business_id = x.business_id AND y.menu_item_id = x.menu_item_id
          AND y.prep_station_id = x.prep_station_id
          AND (y.service_period_id IS NULL
               OR (d.starts_time < d.ends_time
                   AND x.local::time >= d.starts_time AND x.local::time < d.ends_time)
               OR (d.starts_time > d.ends_time
                   AND (x.local::time >= d.starts_time OR x.local::time < d.ends_time)))
        ORDER BY y.service_period_id IS NULL, d.sort_order, y.prep_time_standard_id
        LIMIT 1
    ) AS p ON true
    WHERE x.place = 1;
END;
COMMENT ON FUNCTION rest.course_routes(uuid, timestamptz) IS
    'Where the unsent lines of a course go at a moment and what they may take: for each line and
     kind of route the most specific rule of its kitchen, then the lowest priority number; a choice
     with a rule of its own goes there as well, and a station that is not open is stood in for.';



CREATE FUNCTION rest.fire_course(course uuid, fired_by uuid DEFAULT NULL) RETURNS SETOF uuid
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT uuid        := tenant_mgmt.current_business_id();
    moment CONSTANT timestamptz := clock_timestamp();
    sold   rest.guest_order;
    fired  rest.order_course;
    made   uuid[];
    lost   text;
BEGIN
    -- The order is locked first by all that send, bump and recall: one of them at a time.
    SELECT o.* INTO sold
    FROM rest.order_course AS u
    JOIN rest.guest_order AS o
        ON o.business_id = u.business_id AND o.guest_order_id = u.guest_order_id
    WHERE u.business_id = tenant AND u.order_course_id = course
    FOR NO KEY UPDATE OF o;
    SELECT u.* INTO fired
    FROM rest.order_course AS u
    WHERE u.business_id = tenant AND u.order_course_id = course
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such course' USING ERRCODE = 'no_data_found';
    ELSIF fired.state IN ('served', 'cancelled')
          OR sold.state NOT IN ('open', 'sent', 'ready') THEN
        RAISE EXCEPTION 'course % of order % is %, the order %: nothing is fired',
                        fired.course_number, sold.order_number, fired.state, sold.state
            USING ERRCODE = 'check_violation', HINT = 'Enter the lines in another course.';
    END IF;
    PERFORM set_config('app.staff_member_id', coalesce(fired_by::text, ''), true);
    WITH routed AS MATERIALIZED (
        SELECT * FROM rest.course_routes(course, moment)
    ), cooked AS MATERIALIZED (
        -- A line is once on a screen, however many rules send it there.
        SELECT r.check_item_id, r.prep_station_id, r.splits_by,
               max(r.target_seconds) AS target_seconds
        FROM routed AS r
        WHERE r.route_kind IN ('make', 'assemble')
        GROUP BY r.check_item_id, r.prep_station_id, r.splits_by
    ), pass AS (
        SELECT r.prep_station_id, count(DISTINCT r.check_item_id) AS items
        FROM routed AS r
        WHERE r.route_kind = 'expo_copy'
        GROUP BY r.prep_station_id
    ), slowest AS (
        SELECT max(c.target_seconds) AS target_seconds FROM cooked AS c
    ), more AS (
        -- What was ready in the pass waits for what is added.
        UPDATE rest.kitchen_ticket AS t
        SET item_count = t.item_count + p.items, ready_at = NULL,
            state = CASE t.state WHEN 'ready' THEN 'in_progress' ELSE t.state END,
            started_at = coalesce(t.started_at, t.fired_at)
        FROM pass AS p
        WHERE t.business_id = tenant AND t.guest_order_id = sold.guest_order_id
          AND t.order_course_id = course AND t.prep_station_id = p.prep_station_id
          AND t.ticket_kind = 'expo' AND t.state NOT IN ('bumped', 'cancelled')
        RETURNING t.prep_station_id
    ), ticket AS MATERIALIZED (
        SELECT system_core.uuid_v7() AS kitchen_ticket_id, n.*,
               CASE WHEN fired.fire_rule = 'by_prep_time'
                    THEN coalesce(w.target_seconds - n.target_seconds, 0) ELSE 0 END AS hold,
               row_number() OVER (PARTITION BY n.prep_station_id ORDER BY n.splits_by) AS place
        FROM (
            SELECT c.prep_station_id, c.splits_by,
                   CASE WHEN fired.fired_at IS NULL THEN 'prep' ELSE 'add_on' END AS kind,
                   count(*) AS items, max(c.target_seconds) AS target_seconds
            FROM cooked AS c
            GROUP BY c.prep_station_id, c.splits_by
            UNION ALL
            SELECT p.prep_station_id, NULL, 'expo', p.items, NULL
            FROM pass AS p
            WHERE p.prep_station_id NOT IN (SELECT m.prep_station_id FROM more AS m)
        ) AS n
        CROSS JOIN slowest AS w
    ), made_tickets AS (
        INSERT INTO rest.kitchen_ticket
            (business_id, kitchen_ticket_id, guest_order_id, kitchen_id, prep_station_id,
             order_course_id, virtual_brand_id, ticket_number, business_date, ticket_kind, state,
             priority, item_count, target_seconds, queued_at, fired_at, due_at)
        SELECT tenant, t.kitchen_ticket_id, sold.guest_order_id, s.kitchen_id, t.prep_station_id,
               course, sold.virtual_brand_id,
               concat_ws('-', sold.order_number, fired.course_number,
                         nullif(t.place + e.tickets, 1)),
               d.business_date, t.kind, CASE WHEN t.hold > 0 THEN 'queued' ELSE 'fired' END,
               CASE WHEN g.vip_level IN ('vip', 'house') THEN 'vip'
                    WHEN sold.promised_at
                         < moment + make_interval(secs => w.target_seconds) THEN 'rush'
                    ELSE 'normal' END,
               t.items, coalesce(t.target_seconds, w.target_seconds), moment,
               moment + make_interval(secs => t.hold),
               moment + make_interval(secs => t.hold + coalesce(t.target_seconds,
                                                                w.target_seconds))
        FROM ticket AS t
        CROSS JOIN slowest AS w
        JOIN rest.prep_station AS s
            ON s.business_id = tenant AND s.prep_station_id = t.prep_station_id
        JOIN rest.business_day AS d
            ON d.business_id = tenant AND d.business_day_id = sold.business_day_id
        LEFT JOIN rest.guest_profile AS g
            ON g.business_id = tenant AND g.guest_profile_id = sold.guest_profile_id
        CROSS JOIN LATERAL (
            SELECT count(*) AS tickets
            FROM rest.kitchen_ticket AS x
            WHERE x.business_id = tenant AND x.guest_order_id = sold.guest_order_id
              AND x.prep_station_id = t.prep_station_id AND x.order_course_id = course
        ) AS e
        RETURNING kitchen_ticket_id
    ), made_items AS (
        INSERT INTO rest.kitchen_ticket_item
            (business_id, kitchen_ticket_id, check_item_id, quantity, hold_seconds,
             target_seconds, modifier_summary, has_allergy_flag)
        SELECT tenant, t.kitchen_ticket_id, i.check_item_id, i.quantity,
               coalesce(t.target_seconds - c.target_seconds, 0), c.target_seconds,
               nullif(concat_ws(', ', m.choices, i.special_request), ''),
               coalesce(s.has_allergy_alert, false) OR coalesce(m.allergy, false)
        FROM cooked AS c
        JOIN ticket AS t
            ON t.prep_station_id = c.prep_station_id AND t.kind <> 'expo'
           AND t.splits_by IS NOT DISTINCT FROM c.splits_by
        JOIN rest.check_item AS i
            ON i.business_id = tenant AND i.check_item_id = c.check_item_id
        LEFT JOIN rest.check_seat AS s
            ON s.business_id = tenant AND s.check_seat_id = i.check_seat_id
        LEFT JOIN LATERAL (
            SELECT bool_or(x.pre_modifier = 'allergy') AS allergy,
                   string_agg(CASE WHEN x.pre_modifier = 'none' THEN x.display_name
                                   ELSE x.pre_modifier || ' ' || x.display_name END, ', '
                              ORDER BY x.sequence_no, x.check_item_modifier_id) AS choices
            FROM rest.check_item_modifier AS x
            WHERE x.business_id = tenant AND x.check_item_id = i.check_item_id
        ) AS m ON true
    ), sent AS (
        UPDATE rest.check_item AS i
        SET state = 'sent', sent_at = moment
        FROM rest.menu_item AS m
        WHERE i.business_id = tenant AND i.order_course_id = course
          AND i.state IN ('new', 'held')
          AND m.business_id = tenant AND m.menu_item_id = i.menu_item_id
          AND (m.item_kind IN ('combo', 'retail', 'gift_card')
               OR i.check_item_id IN (SELECT r.check_item_id
                                      FROM routed AS r
                                      WHERE r.route_kind <> 'expo_copy'
                                        AND r.modifier_option_id IS NULL))
    )
    SELECT array_agg(n.kitchen_ticket_id) INTO made FROM made_tickets AS n;
    SELECT string_agg(i.display_name, ', ' ORDER BY i.line_number) INTO lost
    FROM rest.check_item AS i
    WHERE i.business_id = tenant AND i.order_course_id = course AND i.state IN ('new', 'held');
    IF lost IS NOT NULL THEN
        RAISE EXCEPTION 'no station makes %', lost
            USING ERRCODE = 'check_violation', HINT = 'Add a routing rule for it or its group.';
    END IF;
    IF made IS NOT NULL THEN
        UPDATE rest.order_course AS u
        SET state = 'fired', fired_at = coalesce(u.fired_at, moment), ready_at = NULL,
            fired_by_staff_id = coalesce(u.fired_by_staff_id, fired_by)
        WHERE u.business_id = tenant AND u.order_course_id = course;
        UPDATE rest.guest_order AS o
        SET state = 'sent', ready_at = NULL
        WHERE o.business_id = tenant AND o.guest_order_id = sold.guest_order_id
          AND o.state <> 'sent';
    END IF;
    RETURN QUERY SELECT unnest(made);
END
$$;
COMMENT ON FUNCTION rest.fire_course(uuid, uuid) IS
    'Sends the lines of a course that the kitchen does not have yet to their stations and returns
     the tickets; what is fired by prep time begins so that all is done at once. Fired twice, the
     kitchen has it once; a line that no station makes is refused, not lost.';


CREATE FUNCTION rest.settle_order_food(sold uuid, moment timestamptz) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    UPDATE rest.check_item AS i
    SET state = 'ready'
    FROM (
        SELECT n.check_item_id
        FROM rest.kitchen_ticket AS t
        JOIN rest.kitchen_ticket_item AS n
            ON n.business_id = t.business_id AND n.kitchen_ticket_id = t.kitchen_ticket_id
        WHERE t.business_id = tenant AND t.guest_order_id = sold AND n.state <> 'voided'
        GROUP BY n.check_item_id
        HAVING bool_and(n.state = 'done')
    ) AS d
    WHERE i.business_id = tenant AND i.check_item_id = d.check_item_id
      AND i.state IN ('sent', 'preparing');
    -- A course is ready when none of its stations has anything to do.
    UPDATE rest.order_course AS u
    SET state = 'ready', ready_at = greatest(moment, u.fired_at)
    WHERE u.business_id = tenant AND u.guest_order_id = sold AND u.state = 'fired'
      AND EXISTS (SELECT FROM rest.kitchen_ticket AS t
                  WHERE t.business_id = tenant AND t.order_course_id = u.order_course_id
                    AND t.ticket_kind <> 'expo' AND t.state IN ('ready', 'bumped'))
      AND NOT EXISTS (SELECT FROM rest.kitchen_ticket AS t
                      WHERE t.business_id = tenant AND t.order_course_id = u.order_course_id
                        AND t.ticket_kind <> 'expo'
                        AND t.state IN ('queued', 'fired', 'in_progress', 'recalled'));
    UPDATE rest.kitchen_ticket AS t
    SET state = 'ready', ready_at = greatest(moment, t.started_at, t.fired_at)
    FROM rest.order_course AS u
    WHERE t.business_id = tenant AND t.guest_order_id = sold AND t.ticket_kind = 'expo'
      AND t.state IN ('fired', 'in_progress', 'recalled')
      AND u.business_id = tenant AND u.order_course_id = t.order_course_id
      AND u.state = 'ready';
    -- A course of which everything was voided is not waited for.
    UPDATE rest.order_course AS u
    SET state = 'cancelled'
    WHERE u.business_id = tenant AND u.guest_order_id = sold AND u.state = 'fired'
      AND NOT EXISTS (SELECT FROM rest.check_item AS i
                      WHERE i.business_id = tenant AND i.order_course_id = u.order_course_id
                        AND i.state <> 'voided');
    UPDATE rest.kitchen_ticket AS t
    SET state = 'cancelled'
    FROM rest.order_course AS u
    WHERE t.business_id = tenant AND t.guest_order_id = sold AND t.ticket_kind = 'expo'
      AND t.state NOT IN ('bumped', 'cancelled')
      AND u.business_id = tenant AND u.order_course_id = t.order_course_id
      AND u.state = 'cancelled';
    UPDATE rest.guest_order AS o
    SET state = 'ready', ready_at = greatest(moment, o.opened_at)
    WHERE o.business_id = tenant AND o.guest_order_id = sold AND o.state = 'sent'
      AND EXISTS (SELECT FROM rest.order_course AS u
                  WHERE u.business_id = tenant AND u.guest_order_id = sold AND u.state = 'ready')
      AND NOT EXISTS (SELECT FROM rest.order_course AS u
                      WHERE u.business_id = tenant AND u.guest_order_id = sold
                        AND u.state IN ('held', 'queued', 'fired'));
END
$$;
COMMENT ON FUNCTION rest.settle_order_food(uuid, timestamptz) IS
    'What follows from the tickets of an order: lines, courses, the copy at the pass and the order
     are ready when all their stations are done. The caller holds the order.';


CREATE FUNCTION rest.hand_out(ticket uuid, moment timestamptz) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    pass   rest.kitchen_ticket;
    waits  text;
BEGIN
    SELECT t.* INTO pass
    FROM rest.kitchen_ticket AS t
    WHERE t.business_id = tenant AND t.kitchen_ticket_id = ticket
    FOR NO KEY UPDATE;
    SELECT string_agg(DISTINCT s.display_name, ', ') INTO waits
    FROM rest.kitchen_ticket AS t
    JOIN rest.prep_station AS s
        ON s.business_id = t.business_id AND s.prep_station_id = t.prep_station_id
    WHERE t.business_id = tenant AND t.guest_order_id = pass.guest_order_id
      AND t.order_course_id IS NOT DISTINCT FROM pass.order_course_id AND t.ticket_kind <> 'expo'
      AND t.state IN ('queued', 'fired', 'in_progress', 'recalled');
    IF waits IS NOT NULL THEN
        RAISE EXCEPTION 'ticket % waits for %', pass.ticket_number, waits
            USING ERRCODE = 'check_violation', HINT = 'Every station bumps first.';
    END IF;
    UPDATE rest.kitchen_ticket AS t
    SET state = 'bumped', ready_at = coalesce(t.ready_at, moment), bumped_at = moment,
        elapsed_seconds = extract(epoch FROM moment - t.fired_at)
    WHERE t.business_id = tenant AND t.kitchen_ticket_id = ticket;
    UPDATE rest.kitchen_ticket AS t
    SET state = 'bumped', bumped_at = greatest(moment, t.ready_at)
    WHERE t.business_id = tenant AND t.guest_order_id = pass.guest_order_id
      AND t.order_course_id IS NOT DISTINCT FROM pass.order_course_id AND t.state = 'ready';
    RETURN 'bumped';
END
$$;
COMMENT ON FUNCTION rest.hand_out(uuid, timestamptz) IS
    'The expediter gives a whole course to the runner, with what its stations have ready.';


CREATE FUNCTION rest.bump_ticket(
    ticket uuid,
    staff  uuid DEFAULT NULL,
    moment timestamptz DEFAULT clock_timestamp()
) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    bumped rest.kitchen_ticket;
    screen record;
    cooked uuid[];
    after  text;
BEGIN
    -- Of two last stations that finish at once, the second sees that the first is done.
    PERFORM FROM rest.guest_order AS o
    WHERE o.business_id = tenant
      AND o.guest_order_id = (SELECT t.guest_order_id
                              FROM rest.kitchen_ticket AS t
                              WHERE t.business_id = tenant AND t.kitchen_ticket_id = ticket)
    FOR NO KEY UPDATE;
    SELECT t.* INTO bumped
    FROM rest.kitchen_ticket AS t
    WHERE t.business_id = tenant AND t.kitchen_ticket_id = ticket
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such ticket' USING ERRCODE = 'no_data_found';
    ELSIF bumped.state = 'cancelled' THEN
        RAISE EXCEPTION 'ticket % was cancelled', bumped.ticket_number
            USING ERRCODE = 'check_violation', HINT = 'Nobody waits for it.';
    ELSIF bumped.state = 'bumped' THEN
        RETURN 'bumped';
    END IF;
    SELECT s.bump_mode, k.expo_mode INTO screen
    FROM rest.prep_station AS s
    JOIN rest.kitchen AS k ON k.business_id = s.business_id AND k.kitchen_id = s.kitchen_id
    WHERE s.business_id = tenant AND s.prep_station_id = bumped.prep_station_id;
    PERFORM set_config('app.staff_member_id', coalesce(staff::text, ''), true);
    -- The clock of a tablet that was offline may be behind.
    moment := greatest(moment, bumped.queued_at, bumped.started_at, bumped.ready_at,
                       CASE WHEN bumped.state <> 'queued' THEN bumped.fired_at END);
    IF bumped.state = 'queued' THEN
        -- A touch before its time pulls it forward; after it, it counts as fired.
        UPDATE rest.kitchen_ticket AS t
        SET state = 'fired',
            fired_at = greatest(t.queued_at, least(coalesce(t.fired_at, moment), moment))
        WHERE t.business_id = tenant AND t.kitchen_ticket_id = ticket;
        IF bumped.fired_at IS NULL OR bumped.fired_at > moment THEN
            RETURN 'fired';
        END IF;
        bumped.state := 'fired';
    END IF;
    IF bumped.ticket_kind = 'expo' THEN
        RETURN rest.hand_out(ticket, moment);
    ELSIF bumped.state = 'ready' THEN
        UPDATE rest.kitchen_ticket AS t
        SET state = 'bumped', bumped_at = moment
        WHERE t.business_id = tenant AND t.kitchen_ticket_id = ticket;
        RETURN 'bumped';
    ELSIF screen.bump_mode = 'two_step' AND bumped.state = 'fired' THEN
        WITH begun AS (
            UPDATE rest.kitchen_ticket_item AS n
            SET state = 'started', started_at = moment,
                cooked_by_staff_id = coalesce(staff, n.cooked_by_staff_id)
            WHERE n.business_id = tenant AND n.kitchen_ticket_id = ticket AND n.state = 'waiting'
            RETURNING n.check_item_id
        )
        UPDATE rest.check_item AS i
        SET state = 'preparing'
        FROM begun AS b
        WHERE i.business_id = tenant AND i.check_item_id = b.check_item_id AND i.state = 'sent';
        UPDATE rest.kitchen_ticket AS t
        SET state = 'in_progress', started_at = moment
        WHERE t.business_id = tenant AND t.kitchen_ticket_id = ticket;
        RETURN 'in_progress';
    END IF;
    WITH open AS (
        SELECT n.kitchen_ticket_item_id,
               coalesce(n.started_at, least(
                   moment, bumped.fired_at + make_interval(secs => n.hold_seconds))) AS begun_at
        FROM rest.kitchen_ticket_item AS n
        WHERE n.business_id = tenant AND n.kitchen_ticket_id = ticket
          AND n.state IN ('waiting', 'started')
        ORDER BY n.kitchen_ticket_item_id
        LIMIT CASE WHEN screen.bump_mode = 'item' THEN 1 END
    ), done AS (
        UPDATE rest.kitchen_ticket_item AS n
        SET state = 'done', done_at = moment, started_at = p.begun_at,
            actual_seconds = greatest(
                0, extract(epoch FROM moment - bumped.fired_at) - n.hold_seconds),
            cooked_by_staff_id = coalesce(staff, n.cooked_by_staff_id)
        FROM open AS p
        WHERE n.business_id = tenant AND n.kitchen_ticket_item_id = p.kitchen_ticket_item_id
        RETURNING n.kitchen_ticket_item_id
    )
    SELECT array_agg(d.kitchen_ticket_item_id) INTO cooked FROM done AS d;
    IF screen.bump_mode = 'item' THEN
        INSERT INTO rest.kitchen_ticket_event
            (business_id, kitchen_ticket_id, prep_station_id, actor_staff_id, occurred_at,
             event_kind, ticket_age_ms, payload)
        VALUES (tenant, ticket, bumped.prep_station_id, staff, moment, 'item_done',
                least(greatest(0, extract(epoch FROM moment - bumped.queued_at) * 1000), 999999999),
                jsonb_build_object('items', cooked));
    END IF;
    after := CASE WHEN EXISTS (SELECT FROM rest.kitchen_ticket_item AS n
                               WHERE n.business_id = tenant AND n.kitchen_ticket_id = ticket
                                 AND n.state IN ('waiting', 'started')) THEN 'in_progress'
                  WHEN screen.expo_mode = 'two_level' THEN 'ready'
                  ELSE 'bumped' END;
    UPDATE rest.kitchen_ticket AS t
    SET state = after, started_at = coalesce(t.started_at, t.fired_at),
        ready_at = CASE WHEN after <> 'in_progress' THEN moment END,
        bumped_at = CASE WHEN after = 'bumped' THEN moment END,
        elapsed_seconds = CASE WHEN after <> 'in_progress'
                               THEN extract(epoch FROM moment - t.fired_at) END
    WHERE t.business_id = tenant AND t.kitchen_ticket_id = ticket;
    PERFORM rest.settle_order_food(bumped.guest_order_id, moment);
    RETURN after;
END
$$;
COMMENT ON FUNCTION rest.bump_ticket(uuid, uuid, timestamptz) IS
    'A touch of a cook moves the ticket on as its station does it, an item, the ticket, or first
     started and then done, and returns its state; lines, course and order follow. In a kitchen
     with a two-level pass it is ready until the expediter hands it out. Touched again, a bumped
     ticket stays bumped.';


CREATE FUNCTION rest.recall_ticket(ticket uuid, staff uuid DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    tenant   CONSTANT uuid := tenant_mgmt.current_business_id();
    recalled rest.kitchen_ticket;
    served   text;
BEGIN
    PERFORM FROM rest.guest_order AS o
    WHERE o.business_id = tenant
      AND o.guest_order_id = (SELECT t.guest_order_id
                              FROM rest.kitchen_ticket AS t
                              WHERE t.business_id = tenant AND t.kitchen_ticket_id = ticket)
    FOR NO KEY UPDATE;
    SELECT t.* INTO recalled
    FROM rest.kitchen_ticket AS t
    WHERE t.business_id = tenant AND t.kitchen_ticket_id = ticket
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such ticket' USING ERRCODE = 'no_data_found';
    ELSIF recalled.state NOT IN ('ready', 'bumped') THEN
        RAISE EXCEPTION 'ticket % is %, it is not recalled', recalled.ticket_number, recalled.state
            USING ERRCODE = 'check_violation', HINT = 'It is on the screen.';
    END IF;
    SELECT u.state INTO served
    FROM rest.order_course AS u
    WHERE u.business_id = tenant AND u.order_course_id = recalled.order_course_id;
    IF served IN ('served', 'cancelled') THEN
        RAISE EXCEPTION 'ticket % was %, it is not recalled', recalled.ticket_number, served
            USING ERRCODE = 'check_violation', HINT = 'Make the dish again with a reason.';
    END IF;
    PERFORM set_config('app.staff_member_id', coalesce(staff::text, ''), true);
    WITH back AS (
        UPDATE rest.kitchen_ticket_item AS n
        SET state = 'started', done_at = NULL, actual_seconds = NULL
        WHERE n.business_id = tenant AND n.kitchen_ticket_id = ticket AND n.state = 'done'
        RETURNING n.check_item_id
    )
    UPDATE rest.check_item AS i
    SET state = 'preparing'
    FROM back AS b
    WHERE i.business_id = tenant AND i.check_item_id = b.check_item_id AND i.state = 'ready';
    -- The copy at the pass comes back with it.
    UPDATE rest.kitchen_ticket AS t
    SET state = 'recalled', recall_count = t.recall_count + 1, ready_at = NULL, bumped_at = NULL,
        elapsed_seconds = NULL
    WHERE t.business_id = tenant AND t.state IN ('ready', 'bumped')
      AND (t.kitchen_ticket_id = ticket
           OR (t.guest_order_id = recalled.guest_order_id
               AND t.order_course_id = recalled.order_course_id AND t.ticket_kind = 'expo'));
    IF recalled.ticket_kind <> 'expo' THEN
        UPDATE rest.order_course AS u
        SET state = 'fired', ready_at = NULL
        WHERE u.business_id = tenant AND u.order_course_id = recalled.order_course_id
          AND u.state = 'ready';
        UPDATE rest.guest_order AS o
        SET state = 'sent', ready_at = NULL
        WHERE o.business_id = tenant AND o.guest_order_id = recalled.guest_order_id
          AND o.state = 'ready';
    END IF;
    RETURN 'recalled';
END
$$;
COMMENT ON FUNCTION rest.recall_ticket(uuid, uuid) IS
    'Brings a ticket back on the screen that was bumped too early, and its course and order with
     it; what was served is made again instead.';


CREATE FUNCTION rest.void_at_station() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    voided record;
    sold   uuid;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    FOR voided IN
        UPDATE rest.kitchen_ticket_item AS n
        SET state = 'voided'
        WHERE n.business_id = NEW.business_id AND n.check_item_id = NEW.check_item_id
          AND n.state IN ('waiting', 'started')
        RETURNING n.kitchen_ticket_id, n.kitchen_ticket_item_id
    LOOP
        INSERT INTO rest.kitchen_ticket_event
            (business_id, kitchen_ticket_id, prep_station_id, actor_staff_id, event_kind,
             ticket_age_ms, payload)
        SELECT t.business_id, t.kitchen_ticket_id, t.prep_station_id, NEW.voided_by_staff_id,
               'voided',
               least(greatest(0, extract(epoch FROM clock_timestamp() - t.queued_at) * 1000),
                     999999999),
               jsonb_build_object('items', jsonb_build_array(voided.kitchen_ticket_item_id))
        FROM rest.kitchen_ticket AS t
        WHERE t.business_id = NEW.business_id AND t.kitchen_ticket_id = voided.kitchen_ticket_id;
        UPDATE rest.kitchen_ticket AS t
        SET item_count = n.items, state = n.state,
            ready_at = CASE WHEN n.state IN ('ready', 'bumped') THEN n.moment
                            ELSE t.ready_at END,
            bumped_at = CASE WHEN n.state = 'bumped' THEN n.moment END,
            elapsed_seconds = CASE WHEN n.state IN ('ready', 'bumped')
                                   THEN extract(epoch FROM n.moment - t.fired_at) END
        FROM (
            SELECT count(x.state) AS items, clock_timestamp() AS moment,
                   CASE WHEN count(x.state) = 0 THEN 'cancelled'
                        -- What is left was done before.
                        WHEN bool_and(x.state = 'done') AND y.state <> 'queued'
                        THEN CASE WHEN k.expo_mode = 'two_level' THEN 'ready' ELSE 'bumped' END
                        ELSE y.state END AS state
            FROM rest.kitchen_ticket AS y
            JOIN rest.kitchen AS k
                ON k.business_id = y.business_id AND k.kitchen_id = y.kitchen_id
            LEFT JOIN rest.kitchen_ticket_item AS x
                ON x.business_id = y.business_id AND x.kitchen_ticket_id = y.kitchen_ticket_id
               AND x.state <> 'voided'
            WHERE y.business_id = NEW.business_id
              AND y.kitchen_ticket_id = voided.kitchen_ticket_id
            GROUP BY y.state, k.expo_mode
        ) AS n
        WHERE t.business_id = NEW.business_id AND t.kitchen_ticket_id = voided.kitchen_ticket_id;
        sold := (SELECT t.guest_order_id
                 FROM rest.kitchen_ticket AS t
                 WHERE t.business_id = NEW.business_id
                   AND t.kitchen_ticket_id = voided.kitchen_ticket_id);
    END LOOP;
    IF sold IS NOT NULL THEN
        UPDATE rest.kitchen_ticket AS t
        SET item_count = greatest(0, t.item_count - 1)
        WHERE t.business_id = NEW.business_id AND t.guest_order_id = sold
          AND t.order_course_id = NEW.order_course_id AND t.ticket_kind = 'expo'
          AND t.state NOT IN ('bumped', 'cancelled');
        PERFORM rest.settle_order_food(sold, clock_timestamp());
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.void_at_station() IS
    'What is voided on the check disappears from the screens; a ticket with nothing left is
     cancelled.';

CREATE TRIGGER check_item_voided_at_station
    AFTER UPDATE OF state ON rest.check_item
    FOR EACH ROW WHEN (NEW.state = 'voided' AND OLD.state <> 'voided' AND OLD.sent_at IS NOT NULL)
    EXECUTE FUNCTION rest.void_at_station();


CREATE FUNCTION rest.stop_cooking() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    UPDATE rest.kitchen_ticket_item AS n
    SET state = 'voided'
    FROM rest.kitchen_ticket AS t
    WHERE t.business_id = NEW.business_id AND t.guest_order_id = NEW.guest_order_id
      AND n.business_id = t.business_id AND n.kitchen_ticket_id = t.kitchen_ticket_id
      AND n.state IN ('waiting', 'started');
    UPDATE rest.kitchen_ticket AS t
    SET state = 'cancelled'
    WHERE t.business_id = NEW.business_id AND t.guest_order_id = NEW.guest_order_id
      AND t.state NOT IN ('bumped', 'cancelled');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.stop_cooking() IS 'An order that is called off leaves the screens.';

CREATE TRIGGER guest_order_stops_cooking
    AFTER UPDATE OF state ON rest.guest_order
    FOR EACH ROW WHEN (NEW.state IN ('cancelled', 'voided') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION rest.stop_cooking();


CREATE FUNCTION rest.send_lines(
    guest_check uuid,
    course      uuid,
    lines       jsonb,
    staff       uuid DEFAULT NULL
) RETURNS SETOF uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    sold   record;
    last   integer;
BEGIN
    SELECT o.location_id, o.sales_channel_id INTO sold
    FROM rest.guest_check AS c
    JOIN rest.guest_order AS o
        ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
    JOIN rest.order_course AS u
        ON u.business_id = o.business_id AND u.guest_order_id = o.guest_order_id
       AND u.order_course_id = course
    WHERE c.business_id = tenant AND c.guest_check_id = guest_check
    FOR NO KEY UPDATE OF o, c;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such check with this course' USING ERRCODE = 'no_data_found';
    END IF;
    -- Only now: what another server entered meanwhile was not there when the lock was asked for.
    SELECT coalesce(max(i.line_number), 0) INTO last
    FROM rest.check_item AS i
    WHERE i.business_id = tenant AND i.guest_check_id = guest_check;
    WITH wanted AS MATERIALIZED (
        SELECT system_core.uuid_v7() AS check_item_id, x.*
        FROM JSON_TABLE(lines, '$[*]' COLUMNS (
                 place         FOR ORDINALITY,
                 item          uuid    PATH '$.item',
                 size          uuid    PATH '$.size',
                 seat          uuid    PATH '$.seat',
                 quantity      numeric PATH '$.quantity' DEFAULT 1 ON EMPTY,
                 request       text    PATH '$.request',
                 options       jsonb   PATH '$.options'  DEFAULT '[]' ON EMPTY)) AS x
    ), entered AS (
        INSERT INTO rest.check_item
            (business_id, check_item_id, guest_check_id, menu_item_id, menu_item_size_id,
             check_seat_id, order_course_id, line_number, display_name, quantity, unit_price,
             price_source, special_request)
        SELECT tenant, w.check_item_id, guest_check, w.item, w.size, w.seat, course,
               last + w.place, m.display_name, w.quantity, p.price,
               CASE WHEN p.source IN ('base', 'size', 'channel') THEN p.source ELSE 'time' END,
               w.request
        FROM wanted AS w
        JOIN rest.menu_item AS m ON m.business_id = tenant AND m.menu_item_id = w.item
        CROSS JOIN LATERAL rest.resolve_item_price(
            w.item, w.size, sold.location_id, sold.sales_channel_id) AS p
    )
    INSERT INTO rest.check_item_modifier
        (business_id, check_item_id, modifier_option_id, display_name, unit_price, sequence_no)
    SELECT tenant, w.check_item_id, p.modifier_option_id, p.display_name, greatest(p.price, 0),
           o.place
    FROM wanted AS w
    CROSS JOIN LATERAL JSON_TABLE(w.options, '$[*]' COLUMNS (
        place  FOR ORDINALITY,
        option uuid PATH '$')) AS o
    JOIN rest.modifier_option AS p
        ON p.business_id = tenant AND p.modifier_option_id = o.option;
    RETURN QUERY SELECT rest.fire_course(course, staff);
END
$$;
COMMENT ON FUNCTION rest.send_lines(uuid, uuid, jsonb, uuid) IS
    'A server taps Send: enters lines of a course, [{"item": "…", "size": "…", "seat": "…",
     "quantity": 1, "request": "…", "options": ["…"]}], at the price of the place, channel and
     moment, and fires them; returns the tickets.';


CREATE FUNCTION rest.kitchen_promise(kitchen uuid, brand uuid, prep_minutes integer)
    RETURNS timestamptz
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid        := tenant_mgmt.current_business_id();
    moment  CONSTANT timestamptz := now();
    cooks   record;
    horizon timestamptz;
    slot    timestamptz;
    full_to timestamptz;
BEGIN
    IF prep_minutes IS NULL OR prep_minutes < 1 THEN
        RAISE EXCEPTION 'an order takes a minute at least, not %', prep_minutes
            USING ERRCODE = 'check_violation', HINT = 'Say how long its slowest dish takes.';
    END IF;
    -- The kitchen's row is the queue of those who book: two do not get the same last place.
    SELECT k.throttle_state,
           greatest(prep_minutes, CASE WHEN k.throttle_state = 'busy'
                                       THEN k.quoted_prep_minutes ELSE 0 END)
           + coalesce((SELECT b.prep_minutes_uplift
                       FROM rest.brand_kitchen AS b
                       WHERE b.business_id = tenant AND b.kitchen_id = k.kitchen_id
                         AND b.virtual_brand_id = brand AND b.status = 'live'
                       ORDER BY b.live_from DESC
                       LIMIT 1), 0) AS minutes
    INTO cooks
    FROM rest.kitchen AS k
    WHERE k.business_id = tenant AND k.kitchen_id = kitchen
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such kitchen' USING ERRCODE = 'no_data_found';
    END IF;
    -- A marketplace waits that long for an answer; without one, any later slot will do.
    SELECT moment + make_interval(secs => max(c.accept_window_seconds)) INTO horizon
    FROM rest.channel_store_link AS l
    JOIN rest.sales_channel AS c
        ON c.business_id = l.business_id AND c.sales_channel_id = l.sales_channel_id
    WHERE l.business_id = tenant AND l.kitchen_id = kitchen
      AND l.virtual_brand_id IS NOT DISTINCT FROM brand;
    SELECT min(s.slot_starts_at) FILTER (
               WHERE s.closed_by = 'none' AND s.booked_orders < s.max_orders
                 AND s.booked_prep_minutes + prep_minutes <= s.max_prep_minutes
                 -- Where the brand has a share of its own in the slot, that has room too.
                 AND NOT EXISTS (SELECT FROM rest.kitchen_capacity_slot AS b
                                 WHERE b.business_id = tenant AND b.kitchen_id = kitchen
                                   AND b.virtual_brand_id = brand
                                   AND b.slot_starts_at = s.slot_starts_at
                                   AND (b.closed_by <> 'none' OR b.booked_orders >= b.max_orders
                                        OR b.booked_prep_minutes + prep_minutes
                                           > b.max_prep_minutes))),
           max(s.slot_starts_at + make_interval(mins => s.slot_minutes))
    INTO slot, full_to
    FROM rest.kitchen_capacity_slot AS s
    WHERE s.business_id = tenant AND s.kitchen_id = kitchen AND s.virtual_brand_id IS NULL
      AND s.slot_starts_at + make_interval(mins => s.slot_minutes) > moment
      AND (horizon IS NULL OR s.slot_starts_at <= horizon);
    IF slot IS NULL OR cooks.throttle_state = 'paused' THEN
        UPDATE rest.channel_store_link AS l
        SET status = 'paused', pause_reason = 'too_busy', paused_until = full_to
        WHERE l.business_id = tenant AND l.kitchen_id = kitchen AND l.status = 'online'
          AND l.virtual_brand_id IS NOT DISTINCT FROM brand AND full_to IS NOT NULL;
        RETURN NULL;
    END IF;
    UPDATE rest.kitchen_capacity_slot AS s
    SET booked_orders = s.booked_orders + 1,
        booked_prep_minutes = s.booked_prep_minutes + prep_minutes
    WHERE s.business_id = tenant AND s.kitchen_id = kitchen AND s.slot_starts_at = slot
      AND (s.virtual_brand_id IS NULL OR s.virtual_brand_id = brand);
    RETURN greatest(slot, moment) + make_interval(mins => cooks.minutes);
END
$$;
COMMENT ON FUNCTION rest.kitchen_promise(uuid, uuid, integer) IS
    'Books the first slot with room for an order of a brand and returns when it is ready. Where no
     slot is left within the accept window of its listings they are paused until the last full one
     has passed, and the answer is NULL; out of hours it is NULL as well.';


CREATE VIEW rest.v_kds_station_queue WITH (security_invoker = true) AS
SELECT t.business_id, t.prep_station_id, s.display_name AS station_name, t.kitchen_ticket_id,
       t.ticket_number, t.ticket_kind, t.state, t.priority, t.queued_at, t.fired_at, t.due_at,
       t.recall_count, o.order_number, o.service_mode, o.pickup_name,
       b.display_name AS brand_name, a.seconds AS age_seconds,
       CASE WHEN a.seconds >= s.late_after_seconds THEN 'late'
            WHEN a.seconds >= s.warn_after_seconds THEN 'warn'
            ELSE 'on_time' END AS color,
       n.open_items, n.has_allergy, n.items
FROM rest.kitchen_ticket AS t
JOIN rest.prep_station AS s
    ON s.business_id = t.business_id AND s.prep_station_id = t.prep_station_id
JOIN rest.guest_order AS o
    ON o.business_id = t.business_id AND o.guest_order_id = t.guest_order_id
LEFT JOIN rest.virtual_brand AS b
    ON b.business_id = t.business_id AND b.virtual_brand_id = t.virtual_brand_id
CROSS JOIN LATERAL (
    SELECT greatest(0, extract(epoch FROM now() - t.fired_at))::integer AS seconds
) AS a
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE x.state IN ('waiting', 'started')) AS open_items,
           coalesce(bool_or(x.has_allergy_flag), false) AS has_allergy,
           jsonb_agg(jsonb_build_object(
               'id', x.kitchen_ticket_item_id, 'name', i.display_name, 'quantity', x.quantity,
               'state', x.state, 'hold', x.hold_seconds, 'allergy', x.has_allergy_flag,
               'request', i.special_request,
               'choices', (SELECT jsonb_agg(jsonb_build_object('name', m.display_name,
                                                               'how', m.pre_modifier,
                                                               'depth', m.depth)
                                            ORDER BY m.sequence_no, m.check_item_modifier_id)
                           FROM rest.check_item_modifier AS m
                           WHERE m.business_id = t.business_id
                             AND m.check_item_id = x.check_item_id))
               ORDER BY i.line_number, x.kitchen_ticket_item_id) AS items
    FROM rest.kitchen_ticket_item AS x
    JOIN rest.check_item AS i
        ON i.business_id = t.business_id AND i.check_item_id = x.check_item_id
    WHERE x.business_id = t.business_id AND x.kitchen_ticket_id = t.kitchen_ticket_id
      AND x.state <> 'voided'
) AS n ON true
WHERE t.state IN ('queued', 'fired', 'in_progress', 'recalled');
COMMENT ON VIEW rest.v_kds_station_queue IS
    'The screen of a station: its open tickets with age, color and items, to be read in the order
     of fired_at.';
COMMENT ON COLUMN rest.v_kds_station_queue.color IS
    'on_time, warn or late, by what the station calls late.';
GRANT SELECT ON rest.v_kds_station_queue TO app_user, app_readonly;


CREATE VIEW rest.v_expo_board WITH (security_invoker = true) AS
SELECT w.business_id, w.kitchen_id, w.guest_order_id, o.order_number, o.service_mode,
       o.pickup_name, o.promised_at, w.order_course_id, u.course_number, u.course_kind,
       u.state AS course_state, w.fired_at, w.due_at,
       greatest(0, extract(epoch FROM now() - w.fired_at))::integer AS age_seconds,
       p.stations, p.stations_done, p.stations = p.stations_done AS is_complete, p.progress,
       i.display_name AS waits_for, i.station_name AS waits_for_station
FROM (
    SELECT t.business_id, t.kitchen_id, t.guest_order_id, t.order_course_id,
           min(t.fired_at) AS fired_at, max(t.due_at) AS due_at
    FROM rest.kitchen_ticket AS t
    WHERE t.state IN ('queued', 'fired', 'in_progress', 'ready', 'recalled')
    GROUP BY t.business_id, t.kitchen_id, t.guest_order_id, t.order_course_id
) AS w
JOIN rest.guest_order AS o
    ON o.business_id = w.business_id AND o.guest_order_id = w.guest_order_id
LEFT JOIN rest.order_course AS u
    ON u.business_id = w.business_id AND u.order_course_id = w.order_course_id
LEFT JOIN LATERAL (
    SELECT count(*) AS stations,
           count(*) FILTER (WHERE x.state IN ('ready', 'bumped')) AS stations_done,
           jsonb_agg(jsonb_build_object('station', s.display_name, 'state', x.state,
                                        'items', x.item_count)
                     ORDER BY s.sequence_no, x.kitchen_ticket_id) AS progress
    FROM rest.kitchen_ticket AS x
    JOIN rest.prep_station AS s
        ON s.business_id = w.business_id AND s.prep_station_id = x.prep_station_id
    WHERE x.business_id = w.business_id AND x.guest_order_id = w.guest_order_id
      AND x.order_course_id IS NOT DISTINCT FROM w.order_course_id
      AND x.ticket_kind <> 'expo' AND x.state <> 'cancelled'
) AS p ON true
LEFT JOIN LATERAL (
    -- The item that will be done last by its target.
    SELECT c.display_name, s.display_name AS station_name
    FROM rest.kitchen_ticket AS x
    JOIN rest.kitchen_ticket_item AS y
        ON y.business_id = w.business_id AND y.kitchen_ticket_id = x.kitchen_ticket_id
    JOIN rest.check_item AS c
        ON c.business_id = w.business_id AND c.check_item_id = y.check_item_id
    JOIN rest.prep_station AS s
        ON s.business_id = w.business_id AND s.prep_station_id = x.prep_station_id
    WHERE x.business_id = w.business_id AND x.guest_order_id = w.guest_order_id
      AND x.order_course_id IS NOT DISTINCT FROM w.order_course_id
      AND x.state IN ('queued', 'fired', 'in_progress', 'recalled')
      AND y.state IN ('waiting', 'started')
    ORDER BY x.fired_at + make_interval(secs => coalesce(y.target_seconds, 0)) DESC NULLS LAST,
             y.kitchen_ticket_item_id
    LIMIT 1
) AS i ON true;
COMMENT ON VIEW rest.v_expo_board IS
    'The board of the expediter: what a kitchen has not handed out, course by course, with the
     progress of its stations, whether it is complete, and the item that everybody waits for.';
GRANT SELECT ON rest.v_expo_board TO app_user, app_readonly;


CREATE MATERIALIZED VIEW rest.mv_kitchen_performance_hour AS
SELECT t.business_id, t.kitchen_id, t.prep_station_id, t.virtual_brand_id, d.service_period_id,
       date_trunc('hour', t.fired_at, 'UTC') AS hour_starts_at, count(*) AS tickets,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY t.elapsed_seconds) AS p50_seconds,
       percentile_cont(0.9) WITHIN GROUP (ORDER BY t.elapsed_seconds) AS p90_seconds,
       round(avg((t.elapsed_seconds > t.target_seconds)::integer), 4) AS share_late,
       sum(t.recall_count) AS recalls,
       coalesce(sum(m.remakes), 0) AS remakes
FROM rest.kitchen_ticket AS t
JOIN rest.kitchen AS k ON k.business_id = t.business_id AND k.kitchen_id = t.kitchen_id
JOIN rest.location AS l ON l.business_id = k.business_id AND l.location_id = k.location_id
LEFT JOIN LATERAL (
    SELECT p.service_period_id
    FROM rest.service_period AS p
    CROSS JOIN LATERAL (SELECT t.fired_at AT TIME ZONE l.timezone AS local) AS h
    WHERE p.business_id = l.business_id AND p.location_id = l.location_id AND p.is_active
      AND ((p.starts_time < p.ends_time
            AND h.local::time >= p.starts_time AND h.local::time < p.ends_time)
           OR (p.starts_time > p.ends_time
               AND (h.local::time >= p.starts_time OR h.local::time < p.ends_time)))
    ORDER BY p.sort_order, p.service_period_id
    LIMIT 1
) AS d ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS remakes
    FROM rest.kitchen_ticket_item AS n
    WHERE n.business_id = t.business_id AND n.kitchen_ticket_id = t.kitchen_ticket_id
      AND n.remake_of_item_id IS NOT NULL
) AS m ON true
WHERE t.elapsed_seconds IS NOT NULL AND t.ticket_kind <> 'expo' AND t.state <> 'cancelled'
GROUP BY t.business_id, t.kitchen_id, t.prep_station_id, t.virtual_brand_id,
         d.service_period_id, date_trunc('hour', t.fired_at, 'UTC')
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW rest.mv_kitchen_performance_hour IS
    'Per station, brand, daypart and hour: tickets that were cooked, half and nine in ten of their
     times, the share that was late, recalls and remakes.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_kitchen_performance_hour_idx
    ON rest.mv_kitchen_performance_hour
        (business_id, prep_station_id, hour_starts_at, virtual_brand_id, service_period_id)
    NULLS NOT DISTINCT;

GRANT USAGE ON SCHEMA rest TO matview_owner;
GRANT SELECT ON rest.kitchen_ticket, rest.kitchen_ticket_item, rest.kitchen, rest.location,
    rest.service_period TO matview_owner;

CREATE VIEW rest.v_kitchen_performance_hour WITH (security_barrier = true) AS
SELECT m.business_id, m.kitchen_id, m.prep_station_id, m.virtual_brand_id, m.service_period_id,
       m.hour_starts_at, m.tickets, m.p50_seconds, m.p90_seconds, m.share_late, m.recalls,
       m.remakes
FROM rest.mv_kitchen_performance_hour AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW rest.v_kitchen_performance_hour IS
    'The tenant''s own part of mv_kitchen_performance_hour.';
GRANT SELECT ON rest.v_kitchen_performance_hour TO app_user, app_readonly;
