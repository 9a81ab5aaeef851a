/*
 * TODO: what the area is and how its tables relate.
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
    route_kind              text        NOT NULL,
    service_mode            text        NOT NULL,
    weekday_mask            smallint,
    starts_time             time,
    ends_time               time,
    priority                integer,
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
    CONSTRAINT station_routing_rule_one_of_menu_group_id_menu_item_id_modifi
        CHECK (num_nonnulls(menu_group_id, menu_item_id, modifier_option_id) = 1)
);

COMMENT ON TABLE rest.station_routing_rule IS
    'Which station makes an item, group or modifier, by brand, channel and time.';
-- RULE the most specific rule wins, then the lowest priority number

-- FK: the station routing rules of a prep station.
CREATE INDEX station_routing_rule_prep_station_idx
    ON rest.station_routing_rule (business_id, prep_station_id);

-- FK: the station routing rules of a menu group.
CREATE INDEX station_routing_rule_menu_group_idx
    ON rest.station_routing_rule (business_id, menu_group_id)
    WHERE menu_group_id IS NOT NULL;

-- FK: the station routing rules of a menu item.
CREATE INDEX station_routing_rule_menu_item_idx
    ON rest.station_routing_rule (business_id, menu_item_id)
    WHERE menu_item_id IS NOT NULL;

-- FK: the station routing rules of a modifier option.
CREATE INDEX station_routing_rule_modifier_option_idx
    ON rest.station_routing_rule (business_id, modifier_option_id)
    WHERE modifier_option_id IS NOT NULL;

-- FK: the station routing rules of a virtual brand.
CREATE INDEX station_routing_rule_virtual_brand_idx
    ON rest.station_routing_rule (business_id, virtual_brand_id)
    WHERE virtual_brand_id IS NOT NULL;

-- FK: the station routing rules of a sales channel.
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
    CONSTRAINT prep_time_standard_target_seconds_positive CHECK (target_seconds > 0),
    CONSTRAINT prep_time_standard_learned_p90_seconds_follows_learned_p50_seco
        CHECK (learned_p90_seconds >= learned_p50_seconds)
);

COMMENT ON TABLE rest.prep_time_standard IS
    'Target and learned make time of an item at a station by daypart.';

-- FK: the prep time standards of a prep station.
CREATE INDEX prep_time_standard_prep_station_idx
    ON rest.prep_time_standard (business_id, prep_station_id);

-- FK: the prep time standards of a service period.
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
    ticket_kind       text        NOT NULL,
    state             text        NOT NULL DEFAULT 'queued',
    priority          text        NOT NULL,
    item_count        integer     NOT NULL DEFAULT 0,
    target_seconds    integer,
    queued_at         timestamptz,
    fired_at          timestamptz,
    started_at        timestamptz NOT NULL,
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
    CONSTRAINT kitchen_ticket_queued_at_in_order CHECK (queued_at <= fired_at),
    CONSTRAINT kitchen_ticket_fired_at_in_order CHECK (fired_at <= started_at),
    CONSTRAINT kitchen_ticket_started_at_in_order CHECK (started_at <= ready_at),
    CONSTRAINT kitchen_ticket_ready_at_in_order CHECK (ready_at <= bumped_at),
    CONSTRAINT kitchen_ticket_recall_count_not_negative CHECK (recall_count >= 0)
);

COMMENT ON TABLE rest.kitchen_ticket IS
    'What one station has to make for one order or course, with its clock.';

-- FK: the kitchen tickets of a guest order.
CREATE INDEX kitchen_ticket_guest_order_idx ON rest.kitchen_ticket (business_id, guest_order_id);

-- FK: the kitchen tickets of a kitchen.
CREATE INDEX kitchen_ticket_kitchen_idx ON rest.kitchen_ticket (business_id, kitchen_id);

-- FK: the kitchen tickets of a order course.
CREATE INDEX kitchen_ticket_order_course_idx
    ON rest.kitchen_ticket (business_id, order_course_id)
    WHERE order_course_id IS NOT NULL;

-- FK: the kitchen tickets of a virtual brand.
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


CREATE TABLE rest.kitchen_ticket_item (
    business_id            uuid                 NOT NULL,
    kitchen_ticket_item_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    cooked_by_staff_id     uuid,
    remake_of_item_id      uuid,
    remake_reason_id       uuid,
    kitchen_ticket_id      uuid                 NOT NULL,
    check_item_id          uuid                 NOT NULL,
    quantity               system_core.quantity NOT NULL,
    state                  text                 NOT NULL DEFAULT 'waiting',
    hold_seconds           integer,
    started_at             timestamptz          NOT NULL,
    done_at                timestamptz,
    target_seconds         integer,
    actual_seconds         integer,
    modifier_summary       text,
    has_allergy_flag       boolean              NOT NULL DEFAULT false,
    is_late                boolean              NOT NULL DEFAULT false,
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
    CONSTRAINT kitchen_ticket_item_done_at_follows_started_at CHECK (done_at >= started_at),
    CONSTRAINT kitchen_ticket_item_remake_of_item_id_iff
        CHECK ((remake_reason_id IS NOT NULL) = (remake_of_item_id IS NOT NULL))
);

COMMENT ON TABLE rest.kitchen_ticket_item IS
    'A check line at a station: cooking, done, late or being made again.';
-- RULE is_late = actual_seconds > target_seconds

-- FK: the kitchen ticket items by their cooked by staff.
CREATE INDEX kitchen_ticket_item_cooked_by_staff_idx
    ON rest.kitchen_ticket_item (business_id, cooked_by_staff_id)
    WHERE cooked_by_staff_id IS NOT NULL;

-- FK: the kitchen ticket items by their remake of item.
CREATE INDEX kitchen_ticket_item_remake_of_item_idx
    ON rest.kitchen_ticket_item (business_id, remake_of_item_id)
    WHERE remake_of_item_id IS NOT NULL;

-- FK: the kitchen ticket items by their remake reason.
CREATE INDEX kitchen_ticket_item_remake_reason_idx
    ON rest.kitchen_ticket_item (business_id, remake_reason_id)
    WHERE remake_reason_id IS NOT NULL;

-- FK: the kitchen ticket items of a kitchen ticket.
CREATE INDEX kitchen_ticket_item_kitchen_ticket_idx
    ON rest.kitchen_ticket_item (business_id, kitchen_ticket_id);

-- FK: the kitchen ticket items of a check item.
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


CREATE TABLE rest.kitchen_ticket_event (
    business_id             uuid        NOT NULL,
    kitchen_ticket_event_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    actor_staff_id          uuid,
    kitchen_ticket_id       uuid        NOT NULL,
    prep_station_id         uuid,
    pos_device_id           uuid,
    occurred_at             timestamptz NOT NULL DEFAULT now(),
    event_kind              text        NOT NULL,
    from_state              text,
    to_state                text,
    ticket_age_ms           integer,
    station_depth           integer,
    payload                 jsonb,
    created_at              timestamptz NOT NULL DEFAULT now(),
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
    CONSTRAINT kitchen_ticket_event_ticket_age_ms_not_negative CHECK (ticket_age_ms >= 0)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE rest.kitchen_ticket_event IS
    'Every touch of a ticket with its age at that moment; append only.';

-- FK: the kitchen ticket events by their actor staff.
CREATE INDEX kitchen_ticket_event_actor_staff_idx
    ON rest.kitchen_ticket_event (business_id, actor_staff_id)
    WHERE actor_staff_id IS NOT NULL;

-- FK: the kitchen ticket events of a kitchen ticket.
CREATE INDEX kitchen_ticket_event_kitchen_ticket_idx
    ON rest.kitchen_ticket_event (business_id, kitchen_ticket_id);

-- FK: the kitchen ticket events of a prep station.
CREATE INDEX kitchen_ticket_event_prep_station_idx
    ON rest.kitchen_ticket_event (business_id, prep_station_id)
    WHERE prep_station_id IS NOT NULL;

-- FK: the kitchen ticket events of a pos device.
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

SELECT system_core.create_partitions('rest.kitchen_ticket_event', 'month', behind => 3, ahead => 1);


CREATE TABLE rest.station_load_sample (
    business_id            uuid                   NOT NULL,
    station_load_sample_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    prep_station_id        uuid                   NOT NULL,
    sampled_at             timestamptz            NOT NULL DEFAULT now(),
    open_tickets           integer,
    open_items             integer,
    backlog_seconds        integer,
    oldest_ticket_seconds  integer,
    late_items             integer,
    bumped_last_5m         integer,
    p50_seconds_15m        numeric(9, 4),
    utilisation_pct        system_core.percentage,
    throttle_state         text                   NOT NULL DEFAULT 'normal',
    created_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, station_load_sample_id, sampled_at),
    FOREIGN KEY (business_id, prep_station_id)
        REFERENCES rest.prep_station (business_id, prep_station_id),
    CONSTRAINT station_load_sample_throttle_state_known
        CHECK (throttle_state IN ('normal', 'busy', 'paused')),
    CONSTRAINT station_load_sample_open_items_follows_late_items CHECK (open_items >= late_items)
) PARTITION BY RANGE (sampled_at);

COMMENT ON TABLE rest.station_load_sample IS
    'Minute-by-minute load of a station: depth, backlog, lateness; append only.';

-- FK: the station load samples of a prep station.
CREATE INDEX station_load_sample_prep_station_idx
    ON rest.station_load_sample (business_id, prep_station_id);

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

SELECT system_core.create_partitions('rest.station_load_sample', 'month', behind => 3, ahead => 1);
