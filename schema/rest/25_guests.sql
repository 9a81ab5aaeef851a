/*
 * Guests and tables: who is coming, who is waiting, and who sits where.
 *
 * A guest_profile is a person that the restaurant recognizes across visits and channels. A
 * reservation holds dining tables (reservation_table) for a stretch of time; an exclusion
 * constraint makes booking a table twice impossible, a reservation_policy limits how many covers
 * arrive in one slot so that the kitchen is not flooded. A walk-in stands in waitlist_entry with
 * the wait that it was quoted. A table_session is a party at a table from seating to bussing; where
 * tables are pushed together, the others' sessions hang off the first one.
 */
CREATE TABLE rest.guest_profile (
    business_id          uuid              NOT NULL,
    guest_profile_id     uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    home_location_id     uuid,
    merged_into_guest_id uuid,
    user_account_id      uuid,
    display_name         text              NOT NULL,
    email                system_core.email,
    mobile_phone         system_core.phone,
    birthday_month       smallint,
    birthday_day         smallint,
    vip_level            text              NOT NULL DEFAULT 'none',
    seating_preference   text              NOT NULL DEFAULT 'any',
    marketing_opt_in     boolean           NOT NULL DEFAULT false,
    acquisition          text              NOT NULL DEFAULT 'walk_in',
    visit_count          integer           NOT NULL DEFAULT 0,
    lifetime_spend       system_core.money NOT NULL DEFAULT 0,
    average_spend        system_core.money GENERATED ALWAYS AS (
                             round(lifetime_spend / nullif(visit_count, 0), 2)) STORED,
    last_visit_at        timestamptz,
    no_show_count        integer           NOT NULL DEFAULT 0,
    merged_at            timestamptz,
    note                 text,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, guest_profile_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, home_location_id)
        REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, merged_into_guest_id)
        REFERENCES rest.guest_profile (business_id, guest_profile_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT guest_profile_vip_level_known
        CHECK (vip_level IN ('none', 'regular', 'vip', 'house')),
    CONSTRAINT guest_profile_seating_preference_known
        CHECK (seating_preference IN ('any', 'indoor', 'outdoor', 'bar', 'booth')),
    CONSTRAINT guest_profile_acquisition_known
        CHECK (acquisition IN ('walk_in', 'reservation', 'online', 'marketplace', 'loyalty')),
    CONSTRAINT guest_profile_counts_not_negative
        CHECK (visit_count >= 0 AND no_show_count >= 0 AND lifetime_spend >= 0),
    CONSTRAINT guest_profile_birthday_possible
        CHECK (birthday_month BETWEEN 1 AND 12 AND birthday_day BETWEEN 1 AND 31),
    CONSTRAINT guest_profile_merge_is_whole
        CHECK ((merged_at IS NOT NULL) = (merged_into_guest_id IS NOT NULL)),
    CONSTRAINT guest_profile_not_merged_into_itself
        CHECK (merged_into_guest_id <> guest_profile_id)
);

COMMENT ON TABLE rest.guest_profile IS 'A known guest across visits, orders and channels.';

-- The phone at the host stand means one guest; also finds the guest by it.
CREATE UNIQUE INDEX guest_profile_mobile_phone_idx
    ON rest.guest_profile (business_id, mobile_phone)
    WHERE mobile_phone IS NOT NULL AND merged_at IS NULL;

-- FK: the regulars of a site.
CREATE INDEX guest_profile_home_location_idx
    ON rest.guest_profile (business_id, home_location_id)
    WHERE home_location_id IS NOT NULL;

-- FK: what was merged into a guest.
CREATE INDEX guest_profile_merged_into_guest_idx
    ON rest.guest_profile (business_id, merged_into_guest_id)
    WHERE merged_into_guest_id IS NOT NULL;

-- FK: the guest behind an account.
CREATE INDEX guest_profile_user_account_idx
    ON rest.guest_profile (business_id, user_account_id)
    WHERE user_account_id IS NOT NULL;

ALTER TABLE rest.guest_profile ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.guest_profile
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.guest_profile TO app_user;
GRANT SELECT ON rest.guest_profile TO app_readonly;

CREATE TRIGGER guest_profile_touch
    BEFORE UPDATE ON rest.guest_profile
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.reservation_policy (
    business_id           uuid              NOT NULL,
    reservation_policy_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    location_id           uuid              NOT NULL,
    service_period_id     uuid              NOT NULL,
    party_min             integer           NOT NULL DEFAULT 1,
    party_max             integer           NOT NULL DEFAULT 60,
    slot_minutes          integer           NOT NULL DEFAULT 15,
    turn_minutes          integer           NOT NULL DEFAULT 90,
    covers_per_slot       integer           NOT NULL DEFAULT 20,
    parties_per_slot      integer           NOT NULL DEFAULT 6,
    advance_days          integer           NOT NULL DEFAULT 60,
    min_notice_minutes    integer           NOT NULL DEFAULT 30,
    deposit_per_cover     system_core.money NOT NULL DEFAULT 0,
    cancel_cutoff_hours   integer           NOT NULL DEFAULT 24,
    no_show_fee_per_cover system_core.money NOT NULL DEFAULT 0,
    is_active             boolean           NOT NULL DEFAULT true,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, reservation_policy_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, service_period_id)
        REFERENCES rest.service_period (business_id, service_period_id),
    CONSTRAINT reservation_policy_party_bounded CHECK (party_min BETWEEN 1 AND party_max),
    CONSTRAINT reservation_policy_slot_known CHECK (slot_minutes IN (15, 30)),
    CONSTRAINT reservation_policy_turn_bounded CHECK (turn_minutes BETWEEN 30 AND 360),
    CONSTRAINT reservation_policy_pace_positive
        CHECK (covers_per_slot > 0 AND parties_per_slot > 0),
    CONSTRAINT reservation_policy_fees_not_negative
        CHECK (deposit_per_cover >= 0 AND no_show_fee_per_cover >= 0),
    CONSTRAINT reservation_policy_notice_not_negative
        CHECK (min_notice_minutes >= 0 AND advance_days >= 0 AND cancel_cutoff_hours >= 0),
    CONSTRAINT reservation_policy_one_a_party EXCLUDE USING gist (
        business_id WITH =, service_period_id WITH =, int4range(party_min, party_max, '[]') WITH &&)
        WHERE (is_active)
);

COMMENT ON TABLE rest.reservation_policy IS
    'Turn time, pacing, deposit and cancellation terms by daypart and party size.';
COMMENT ON COLUMN rest.reservation_policy.covers_per_slot IS
    'How many guests may be booked to arrive within one slot.';
COMMENT ON COLUMN rest.reservation_policy.cancel_cutoff_hours IS
    'Cancelling later than this before the time costs the fee of a no-show.';

-- FK: the terms of a site.
CREATE INDEX reservation_policy_location_idx
    ON rest.reservation_policy (business_id, location_id);

-- FK: the terms of a daypart, by size of party.
CREATE INDEX reservation_policy_service_period_idx
    ON rest.reservation_policy (business_id, service_period_id, party_min);

ALTER TABLE rest.reservation_policy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.reservation_policy
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.reservation_policy TO app_user;
GRANT SELECT ON rest.reservation_policy TO app_readonly;

CREATE TRIGGER reservation_policy_touch
    BEFORE UPDATE ON rest.reservation_policy
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.reservation (
    business_id       uuid              NOT NULL,
    reservation_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    taken_by_staff_id uuid,
    location_id       uuid              NOT NULL,
    guest_profile_id  uuid,
    service_period_id uuid,
    confirmation_code system_core.code  NOT NULL,
    party_size        integer           NOT NULL,
    starts_at         timestamptz       NOT NULL,
    expected_end_at   timestamptz       NOT NULL,
    booking_source    text              NOT NULL DEFAULT 'phone',
    state             text              NOT NULL DEFAULT 'requested',
    occasion          text,
    special_request   text,
    deposit_amount    system_core.money NOT NULL DEFAULT 0,
    deposit_state     text              NOT NULL DEFAULT 'none',
    confirmed_at      timestamptz,
    arrived_at        timestamptz,
    seated_at         timestamptz,
    cancelled_at      timestamptz,
    cancel_reason     text,
    created_at        timestamptz       NOT NULL DEFAULT now(),
    updated_at        timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, reservation_id),
    UNIQUE (business_id, confirmation_code),
    FOREIGN KEY (business_id, taken_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, guest_profile_id)
        REFERENCES rest.guest_profile (business_id, guest_profile_id),
    FOREIGN KEY (business_id, service_period_id)
        REFERENCES rest.service_period (business_id, service_period_id),
    CONSTRAINT reservation_booking_source_known
        CHECK (booking_source IN ('phone', 'web', 'walk_up', 'google', 'partner', 'concierge')),
    CONSTRAINT reservation_state_known
        CHECK (state IN ('requested', 'confirmed', 'reconfirmed', 'arrived', 'seated',
                         'completed', 'cancelled', 'no_show')),
    CONSTRAINT reservation_deposit_state_known
        CHECK (deposit_state IN ('none', 'held', 'captured', 'released', 'forfeited')),
    CONSTRAINT reservation_ends_after_start CHECK (expected_end_at > starts_at),
    CONSTRAINT reservation_party_bounded CHECK (party_size BETWEEN 1 AND 60),
    CONSTRAINT reservation_cancelled_has_time
        CHECK ((cancelled_at IS NOT NULL) = (state = 'cancelled')),
    CONSTRAINT reservation_seated_after_arrival CHECK (seated_at >= arrived_at),
    CONSTRAINT reservation_seated_has_time
        CHECK (state NOT IN ('seated', 'completed') OR seated_at IS NOT NULL),
    CONSTRAINT reservation_deposit_not_negative CHECK (deposit_amount >= 0),
    CONSTRAINT reservation_deposit_has_state
        CHECK ((deposit_amount > 0) = (deposit_state <> 'none'))
);

COMMENT ON TABLE rest.reservation IS 'A booking from request to departure or no-show.';
COMMENT ON COLUMN rest.reservation.guest_profile_id IS 'NULL for a booking without contact data.';

-- FK: what somebody took down.
CREATE INDEX reservation_taken_by_staff_idx
    ON rest.reservation (business_id, taken_by_staff_id)
    WHERE taken_by_staff_id IS NOT NULL;

-- FK, the book of a day, and pacing: how many arrive in a slot.
CREATE INDEX reservation_location_idx
    ON rest.reservation (business_id, location_id, starts_at);

-- FK: the visits of a guest, the newest first.
CREATE INDEX reservation_guest_profile_idx
    ON rest.reservation (business_id, guest_profile_id, starts_at DESC)
    WHERE guest_profile_id IS NOT NULL;

-- FK: the bookings of a daypart.
CREATE INDEX reservation_service_period_idx
    ON rest.reservation (business_id, service_period_id)
    WHERE service_period_id IS NOT NULL;

ALTER TABLE rest.reservation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.reservation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.reservation TO app_user;
GRANT SELECT ON rest.reservation TO app_readonly;

CREATE TRIGGER reservation_touch
    BEFORE UPDATE ON rest.reservation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER reservation_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.reservation
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["requested", "confirmed"],
        "transitions": {
            "requested":   ["confirmed", "cancelled"],
            "confirmed":   ["reconfirmed", "arrived", "seated", "cancelled", "no_show"],
            "reconfirmed": ["arrived", "seated", "cancelled", "no_show"],
            "arrived":     ["seated", "cancelled"],
            "seated":      ["completed"],
            "completed":   [],
            "cancelled":   [],
            "no_show":     []
        }}');


CREATE TABLE rest.reservation_table (
    business_id          uuid        NOT NULL,
    reservation_table_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    reservation_id       uuid        NOT NULL,
    dining_table_id      uuid        NOT NULL,
    held_from            timestamptz NOT NULL,
    held_to              timestamptz NOT NULL,
    assignment_kind      text        NOT NULL DEFAULT 'auto',
    is_joined            boolean     NOT NULL DEFAULT false,
    is_locked            boolean     NOT NULL DEFAULT false,
    assigned_at          timestamptz NOT NULL DEFAULT now(),
    released_at          timestamptz,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, reservation_table_id),
    UNIQUE (business_id, reservation_id, dining_table_id),
    FOREIGN KEY (business_id, reservation_id)
        REFERENCES rest.reservation (business_id, reservation_id),
    FOREIGN KEY (business_id, dining_table_id)
        REFERENCES rest.dining_table (business_id, dining_table_id),
    CONSTRAINT reservation_table_assignment_kind_known
        CHECK (assignment_kind IN ('auto', 'manual', 'requested')),
    CONSTRAINT reservation_table_held_for_a_while CHECK (held_to > held_from),
    CONSTRAINT reservation_table_never_twice EXCLUDE USING gist (
        business_id WITH =, dining_table_id WITH =, tstzrange(held_from, held_to) WITH &&)
        WHERE (released_at IS NULL)
);

COMMENT ON TABLE rest.reservation_table IS
    'A table held for a booking; makes double booking impossible.';
COMMENT ON COLUMN rest.reservation_table.is_locked IS
    'The host promised this very table; the optimizer leaves it.';

-- FK, and the floor map: the next hold of a table.
CREATE INDEX reservation_table_dining_table_idx
    ON rest.reservation_table (business_id, dining_table_id, held_from);

ALTER TABLE rest.reservation_table ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.reservation_table
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.reservation_table TO app_user;
GRANT SELECT ON rest.reservation_table TO app_readonly;

CREATE TRIGGER reservation_table_touch
    BEFORE UPDATE ON rest.reservation_table
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.wait_for_table() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM rest.dining_table AS t
    WHERE t.business_id = NEW.business_id AND t.dining_table_id = NEW.dining_table_id
    FOR NO KEY UPDATE;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.wait_for_table() IS
    'Who holds a table waits for whoever is about to: two holds that are checked against each other
     at once would each wait for the other to end.';

CREATE TRIGGER reservation_table_waits
    BEFORE INSERT ON rest.reservation_table
    FOR EACH ROW EXECUTE FUNCTION rest.wait_for_table();

CREATE FUNCTION rest.release_tables() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE rest.reservation_table AS t
    SET released_at = now()
    FROM changed AS r
    WHERE t.business_id = r.business_id AND t.reservation_id = r.reservation_id
      AND r.state IN ('completed', 'cancelled', 'no_show') AND t.released_at IS NULL;
    UPDATE rest.guest_profile AS g
    SET no_show_count = g.no_show_count + c.missed
    FROM (
        SELECT r.business_id, r.guest_profile_id, count(*)::integer AS missed
        FROM changed AS r
        JOIN former AS f
            ON f.business_id = r.business_id AND f.reservation_id = r.reservation_id
        WHERE r.state = 'no_show' AND f.state <> 'no_show' AND r.guest_profile_id IS NOT NULL
        GROUP BY r.business_id, r.guest_profile_id
    ) AS c
    WHERE g.business_id = c.business_id AND g.guest_profile_id = c.guest_profile_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.release_tables() IS
    'A booking that is over, called off or missed holds no table any more; a guest who did not come
     is remembered for it.';

CREATE TRIGGER reservation_releases_tables
    AFTER UPDATE ON rest.reservation
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.release_tables();


CREATE TABLE rest.waitlist_entry (
    business_id        uuid              NOT NULL,
    waitlist_entry_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    location_id        uuid              NOT NULL,
    guest_profile_id   uuid,
    ticket_number      text              NOT NULL,
    guest_name         text              NOT NULL,
    mobile_phone       system_core.phone,
    party_size         integer           NOT NULL,
    seating_preference text              NOT NULL DEFAULT 'any',
    joined_at          timestamptz       NOT NULL DEFAULT now(),
    quoted_minutes     integer           NOT NULL DEFAULT 0,
    estimated_ready_at timestamptz,
    notified_at        timestamptz,
    arrived_at         timestamptz,
    seated_at          timestamptz,
    left_at            timestamptz,
    state              text              NOT NULL DEFAULT 'waiting',
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, waitlist_entry_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, guest_profile_id)
        REFERENCES rest.guest_profile (business_id, guest_profile_id),
    CONSTRAINT waitlist_entry_seating_preference_known
        CHECK (seating_preference IN ('any', 'indoor', 'outdoor', 'bar', 'booth')),
    CONSTRAINT waitlist_entry_state_known
        CHECK (state IN ('waiting', 'notified', 'arrived', 'seated', 'left', 'no_response',
                         'cancelled')),
    CONSTRAINT waitlist_entry_quote_bounded CHECK (quoted_minutes BETWEEN 0 AND 240),
    CONSTRAINT waitlist_entry_party_bounded CHECK (party_size BETWEEN 1 AND 60),
    CONSTRAINT waitlist_entry_seated_after_joining CHECK (seated_at >= joined_at),
    CONSTRAINT waitlist_entry_seated_has_time
        CHECK ((seated_at IS NOT NULL) = (state = 'seated')),
    CONSTRAINT waitlist_entry_left_has_time
        CHECK (left_at IS NULL OR state IN ('left', 'no_response', 'cancelled'))
);

COMMENT ON TABLE rest.waitlist_entry IS
    'A walk-in party waiting, with quoted against actual wait.';

-- FK: everybody who waited at a site, the newest first.
CREATE INDEX waitlist_entry_location_idx
    ON rest.waitlist_entry (business_id, location_id, joined_at DESC);

-- The queue at the host stand, and the quote for whoever joins it.
CREATE INDEX waitlist_entry_queue_idx
    ON rest.waitlist_entry (business_id, location_id, joined_at)
    WHERE state IN ('waiting', 'notified', 'arrived');

-- FK: the waits of a guest.
CREATE INDEX waitlist_entry_guest_profile_idx
    ON rest.waitlist_entry (business_id, guest_profile_id)
    WHERE guest_profile_id IS NOT NULL;

ALTER TABLE rest.waitlist_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.waitlist_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.waitlist_entry TO app_user;
GRANT SELECT ON rest.waitlist_entry TO app_readonly;

CREATE TRIGGER waitlist_entry_touch
    BEFORE UPDATE ON rest.waitlist_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER waitlist_entry_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.waitlist_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["waiting"],
        "transitions": {
            "waiting":     ["notified", "seated", "left", "cancelled"],
            "notified":    ["arrived", "seated", "no_response", "left", "cancelled"],
            "arrived":     ["seated", "left"],
            "seated":      [],
            "left":        [],
            "no_response": ["waiting"],
            "cancelled":   []
        }}');


CREATE TABLE rest.table_session (
    business_id          uuid        NOT NULL,
    table_session_id     uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    server_staff_id      uuid,
    joined_to_session_id uuid,
    dining_table_id      uuid        NOT NULL,
    reservation_id       uuid,
    waitlist_entry_id    uuid,
    business_date        date        NOT NULL,
    party_size           integer     NOT NULL,
    seated_at            timestamptz NOT NULL DEFAULT now(),
    greeted_at           timestamptz,
    first_order_at       timestamptz,
    mains_served_at      timestamptz,
    check_dropped_at     timestamptz,
    paid_at              timestamptz,
    vacated_at           timestamptz,
    bussed_at            timestamptz,
    state                text        NOT NULL DEFAULT 'seated',
    turn_minutes         integer     GENERATED ALWAYS AS (
                             floor(extract(epoch FROM vacated_at - seated_at) / 60)::integer
                         ) STORED,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, table_session_id),
    FOREIGN KEY (business_id, server_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, joined_to_session_id)
        REFERENCES rest.table_session (business_id, table_session_id),
    FOREIGN KEY (business_id, dining_table_id)
        REFERENCES rest.dining_table (business_id, dining_table_id),
    FOREIGN KEY (business_id, reservation_id)
        REFERENCES rest.reservation (business_id, reservation_id),
    FOREIGN KEY (business_id, waitlist_entry_id)
        REFERENCES rest.waitlist_entry (business_id, waitlist_entry_id),
    CONSTRAINT table_session_state_known
        CHECK (state IN ('seated', 'ordered', 'dining', 'check_dropped', 'paid', 'vacated',
                         'bussed')),
    CONSTRAINT table_session_ordered_after_seating CHECK (first_order_at >= seated_at),
    CONSTRAINT table_session_paid_after_ordering CHECK (paid_at >= first_order_at),
    CONSTRAINT table_session_vacated_after_seating
        CHECK (vacated_at >= seated_at AND vacated_at >= paid_at),
    CONSTRAINT table_session_bussed_after_leaving
        CHECK (bussed_at IS NULL OR bussed_at >= vacated_at),
    CONSTRAINT table_session_bussed_has_time
        CHECK ((state = 'bussed') = (bussed_at IS NOT NULL)),
    CONSTRAINT table_session_left_has_time
        CHECK (state NOT IN ('vacated', 'bussed') OR vacated_at IS NOT NULL),
    CONSTRAINT table_session_party_bounded CHECK (party_size BETWEEN 1 AND 60),
    CONSTRAINT table_session_came_one_way
        CHECK (num_nonnulls(reservation_id, waitlist_entry_id) <= 1),
    CONSTRAINT table_session_not_joined_to_itself
        CHECK (joined_to_session_id <> table_session_id)
);

COMMENT ON TABLE rest.table_session IS
    'A party occupying a table from seating to bussing; joined tables hang off the first one.';

-- One open session per dining table.
CREATE UNIQUE INDEX table_session_open_idx
    ON rest.table_session (business_id, dining_table_id)
    WHERE bussed_at IS NULL;

-- FK: the tables of a server on a day.
CREATE INDEX table_session_server_staff_idx
    ON rest.table_session (business_id, server_staff_id, business_date)
    WHERE server_staff_id IS NOT NULL;

-- FK: the tables pushed to a partys first one.
CREATE INDEX table_session_joined_to_session_idx
    ON rest.table_session (business_id, joined_to_session_id)
    WHERE joined_to_session_id IS NOT NULL;

-- FK: the parties of a table, the newest first.
CREATE INDEX table_session_dining_table_idx
    ON rest.table_session (business_id, dining_table_id, seated_at DESC);

-- FK: where a booking was seated.
CREATE INDEX table_session_reservation_idx
    ON rest.table_session (business_id, reservation_id)
    WHERE reservation_id IS NOT NULL;

-- FK: where a waiting party was seated.
CREATE INDEX table_session_waitlist_entry_idx
    ON rest.table_session (business_id, waitlist_entry_id)
    WHERE waitlist_entry_id IS NOT NULL;

ALTER TABLE rest.table_session ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.table_session
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.table_session TO app_user;
GRANT SELECT ON rest.table_session TO app_readonly;

CREATE TRIGGER table_session_touch
    BEFORE UPDATE ON rest.table_session
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER table_session_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.table_session
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["seated"],
        "transitions": {
            "seated":        ["ordered", "vacated"],
            "ordered":       ["dining", "check_dropped", "paid"],
            "dining":        ["ordered", "check_dropped", "paid"],
            "check_dropped": ["dining", "paid"],
            "paid":          ["vacated", "ordered"],
            "vacated":       ["bussed"],
            "bussed":        []
        }}');

CREATE FUNCTION rest.color_table() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE rest.dining_table AS t
    SET state = CASE s.state WHEN 'vacated' THEN 'dirty' WHEN 'bussed' THEN 'available'
                             ELSE 'occupied' END
    FROM changed AS s
    WHERE t.business_id = s.business_id AND t.dining_table_id = s.dining_table_id
      AND row_security_active('rest.table_session')
      AND t.state <> CASE s.state WHEN 'vacated' THEN 'dirty' WHEN 'bussed' THEN 'available'
                                  ELSE 'occupied' END;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.color_table() IS
    'The floor map follows the party: occupied, dirty once it left, free once it is bussed. Imported
     history leaves the tables as they are.';

CREATE TRIGGER table_session_colors_on_insert
    AFTER INSERT ON rest.table_session
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.color_table();

CREATE TRIGGER table_session_colors_on_update
    AFTER UPDATE ON rest.table_session
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.color_table();


CREATE FUNCTION rest.open_table_session(
    dining_tables   uuid[],
    party           integer,
    server          uuid DEFAULT NULL,
    reservation     uuid DEFAULT NULL,
    waitlist_entry  uuid DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    seats  integer;
    busy   text;
    groups integer;
    place  record;
    first  uuid;
BEGIN
    PERFORM FROM rest.dining_table AS t
    WHERE t.business_id = tenant AND t.dining_table_id = ANY (dining_tables)
    ORDER BY t.dining_table_id
    FOR UPDATE;
    SELECT sum(t.max_covers), min(t.table_number) FILTER (WHERE t.state IN ('occupied', 'dirty',
                                                                            'blocked')),
           count(DISTINCT coalesce(t.join_group, t.dining_table_id::text))
    INTO seats, busy, groups
    FROM rest.dining_table AS t
    WHERE t.business_id = tenant AND t.dining_table_id = ANY (dining_tables);
    IF seats IS NULL THEN
        RAISE EXCEPTION 'there is no such table' USING ERRCODE = 'no_data_found';
    ELSIF busy IS NOT NULL THEN
        RAISE EXCEPTION 'table % is taken', busy
            USING ERRCODE = 'check_violation', HINT = 'Bus it first, or seat the party elsewhere.';
    ELSIF groups > 1 THEN
        RAISE EXCEPTION 'these tables do not stand side by side'
            USING ERRCODE = 'check_violation', HINT = 'Join tables of one join_group.';
    ELSIF seats < party THEN
        RAISE EXCEPTION 'a party of % does not fit % seats', party, seats
            USING ERRCODE = 'check_violation', HINT = 'Join another table, or seat it elsewhere.';
    END IF;
    FOR place IN
        SELECT t.dining_table_id, rest.business_date(f.location_id, now()) AS day
        FROM rest.dining_table AS t
        JOIN rest.dining_area AS a
            ON a.business_id = t.business_id AND a.dining_area_id = t.dining_area_id
        JOIN rest.floor_plan AS f
            ON f.business_id = a.business_id AND f.floor_plan_id = a.floor_plan_id
        WHERE t.business_id = tenant AND t.dining_table_id = ANY (dining_tables)
        ORDER BY array_position(dining_tables, t.dining_table_id)
    LOOP
        INSERT INTO rest.table_session AS s
            (business_id, dining_table_id, party_size, server_staff_id, joined_to_session_id,
             business_date, reservation_id, waitlist_entry_id)
        VALUES (tenant, place.dining_table_id, party, server, first, place.day,
                CASE WHEN first IS NULL THEN reservation END,
                CASE WHEN first IS NULL THEN waitlist_entry END)
        RETURNING coalesce(first, s.table_session_id) INTO first;
    END LOOP;
    UPDATE rest.reservation AS r
    SET state = 'seated', arrived_at = coalesce(r.arrived_at, now()), seated_at = now()
    WHERE r.business_id = tenant AND r.reservation_id = reservation;
    UPDATE rest.waitlist_entry AS w
    SET state = 'seated', seated_at = now()
    WHERE w.business_id = tenant AND w.waitlist_entry_id = waitlist_entry;
    RETURN first;
END
$$;
COMMENT ON FUNCTION rest.open_table_session(uuid[], integer, uuid, uuid, uuid) IS
    'Seats a party at a free table, or at tables of one join_group, and ends its booking or wait;
     returns the session of the first table, which the others'' hang off.';


CREATE FUNCTION rest.find_available_tables(
    place      uuid,
    begins_at  timestamptz,
    party      integer
) RETURNS TABLE (
    dining_tables uuid[],
    held_from     timestamptz,
    held_to       timestamptz,
    waste_covers  integer
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH terms AS (
        SELECT p.slot_minutes, p.turn_minutes, p.covers_per_slot, p.parties_per_slot,
               p.min_notice_minutes, p.advance_days
        FROM rest.location AS l
        JOIN rest.service_period AS s
            ON s.business_id = l.business_id AND s.location_id = l.location_id AND s.is_active
        JOIN rest.reservation_policy AS p
            ON p.business_id = s.business_id AND p.service_period_id = s.service_period_id
           AND p.is_active AND party BETWEEN p.party_min AND p.party_max
        WHERE l.business_id = tenant_mgmt.current_business_id() AND l.location_id = place
          AND (s.weekday_mask >> (extract(isodow FROM begins_at AT TIME ZONE l.timezone)::integer
                                  - 1)) & 1 = 1
          AND CASE WHEN s.ends_time > s.starts_time
                   THEN (begins_at AT TIME ZONE l.timezone)::time >= s.starts_time
                    AND (begins_at AT TIME ZONE l.timezone)::time < s.ends_time
                   ELSE (begins_at AT TIME ZONE l.timezone)::time >= s.starts_time
                     OR (begins_at AT TIME ZONE l.timezone)::time < s.ends_time END
        ORDER BY s.starts_time
        LIMIT 1
    ), pace AS (
        SELECT t.turn_minutes
        FROM terms AS t
        CROSS JOIN LATERAL (
            SELECT count(*) AS parties, coalesce(sum(r.party_size), 0) AS covers
            FROM rest.reservation AS r
            WHERE r.business_id = tenant_mgmt.current_business_id() AND r.location_id = place
              AND r.state NOT IN ('cancelled', 'no_show')
              AND r.starts_at >= date_bin(make_interval(mins => t.slot_minutes), begins_at,
                                          TIMESTAMPTZ '2000-01-01 00:00+00')
              AND r.starts_at < date_bin(make_interval(mins => t.slot_minutes), begins_at,
                                         TIMESTAMPTZ '2000-01-01 00:00+00')
                                + make_interval(mins => t.slot_minutes)
        ) AS booked
        WHERE booked.parties < t.parties_per_slot
          AND booked.covers + party <= t.covers_per_slot
          AND begins_at >= now() + make_interval(mins => t.min_notice_minutes)
          AND begins_at < now() + make_interval(days => t.advance_days)
    ), free AS (
        SELECT t.dining_table_id, t.dining_area_id, t.join_group, t.min_covers, t.max_covers,
               begins_at + make_interval(mins => p.turn_minutes) AS ends_at
        FROM pace AS p
        CROSS JOIN rest.floor_plan AS f
        JOIN rest.dining_area AS a
            ON a.business_id = f.business_id AND a.floor_plan_id = f.floor_plan_id
        JOIN rest.dining_table AS t
            ON t.business_id = a.business_id AND t.dining_area_id = a.dining_area_id
        WHERE f.business_id = tenant_mgmt.current_business_id() AND f.location_id = place
          AND f.is_default AND t.is_bookable AND t.state <> 'blocked'
          AND NOT EXISTS (
              SELECT FROM rest.reservation_table AS h
              WHERE h.business_id = t.business_id AND h.dining_table_id = t.dining_table_id
                AND h.released_at IS NULL
                AND tstzrange(h.held_from, h.held_to)
                    && tstzrange(begins_at, begins_at + make_interval(mins => p.turn_minutes)))
          AND NOT EXISTS (
              SELECT FROM rest.table_session AS s
              WHERE s.business_id = t.business_id AND s.dining_table_id = t.dining_table_id
                AND s.bussed_at IS NULL
                AND s.seated_at + make_interval(mins => p.turn_minutes) > begins_at)
    )
    SELECT ARRAY[f.dining_table_id], begins_at, f.ends_at, f.max_covers - party
    FROM free AS f
    WHERE party BETWEEN f.min_covers AND f.max_covers
    UNION ALL
    SELECT array_agg(f.dining_table_id ORDER BY f.dining_table_id), begins_at, max(f.ends_at),
           sum(f.max_covers)::integer - party
    FROM free AS f
    WHERE f.join_group IS NOT NULL
    GROUP BY f.dining_area_id, f.join_group
    HAVING count(*) > 1 AND sum(f.max_covers) >= party AND max(f.max_covers) < party
    ORDER BY 4, 1;
END;
COMMENT ON FUNCTION rest.find_available_tables(uuid, timestamptz, integer) IS
    'Tables, or sets that are joined, that a party can book from a time on: neither held nor taken,
     within the pacing of the daypart''s policy; the best fit first.';


CREATE FUNCTION rest.quote_wait_minutes(place uuid, party integer) RETURNS integer
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH fitting AS (
        SELECT t.dining_table_id, s.table_session_id, s.seated_at,
               coalesce(d.turn, 90) AS turn
        FROM rest.floor_plan AS f
        JOIN rest.dining_area AS a
            ON a.business_id = f.business_id AND a.floor_plan_id = f.floor_plan_id
        JOIN rest.dining_table AS t
            ON t.business_id = a.business_id AND t.dining_area_id = a.dining_area_id
           AND t.max_covers >= party AND t.state <> 'blocked'
        LEFT JOIN rest.table_session AS s
            ON s.business_id = t.business_id AND s.dining_table_id = t.dining_table_id
           AND s.bussed_at IS NULL
        CROSS JOIN LATERAL (
            SELECT max(p.target_turn_minutes) AS turn
            FROM rest.service_period AS p
            WHERE p.business_id = f.business_id AND p.location_id = f.location_id AND p.is_active
        ) AS d
        WHERE f.business_id = tenant_mgmt.current_business_id() AND f.location_id = place
          AND f.is_default
    ), frees AS (
        SELECT row_number() OVER (ORDER BY minutes) AS turn_no, minutes
        FROM (
            SELECT CASE WHEN f.table_session_id IS NULL THEN 0
                        ELSE greatest(5, f.turn - extract(epoch FROM now() - f.seated_at) / 60)
                   END AS minutes
            FROM fitting AS f
        ) AS m
    ), ahead AS (
        SELECT count(*) AS parties
        FROM rest.waitlist_entry AS w
        WHERE w.business_id = tenant_mgmt.current_business_id() AND w.location_id = place
          AND w.state IN ('waiting', 'notified', 'arrived')
    )
    SELECT least(240, ceil(coalesce(
        (SELECT f.minutes FROM frees AS f WHERE f.turn_no = a.parties + 1),
        (SELECT max(f.minutes) + 15 * (a.parties + 1 - count(*)) FROM frees AS f), 240)))::integer
    FROM ahead AS a;
END;
COMMENT ON FUNCTION rest.quote_wait_minutes(uuid, integer) IS
    'What to tell a party that walks in: when the table after those of the parties ahead comes free,
     by the turn that the daypart expects; at most 240.';
