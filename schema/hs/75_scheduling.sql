/*
 * Scheduling: what is promised to customers, what can be sold, and who goes.
 *
 * An arrival_window is a promise ("8 to 12"). A capacity_plan is the time that can be sold of a
 * window on a day, per zone, unit and class of job; every booking contends for its row. A
 * booking_hold keeps some of it for a few minutes while a customer finishes booking; an
 * appointment takes it. The minutes held and booked are counted from the holds and appointments
 * under a lock of the plan, and a plan refuses to be sold beyond what it has, so that nothing is
 * sold twice however many ask at once. An appointment is one visit of a work order,
 * appointment_assignment who makes it; dispatch_event records every change on the board.
 *
 * Whoever locks more than one row does so in this order: work order, session, plans by key, holds.
 */

CREATE TABLE hs.arrival_window (
    business_id          uuid              NOT NULL,
    arrival_window_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    service_territory_id uuid,
    window_code          system_core.code  NOT NULL,
    label                text              NOT NULL,
    weekday              integer,
    starts_time          time              NOT NULL,
    ends_time            time              NOT NULL,
    promise_minutes      integer           NOT NULL GENERATED ALWAYS AS (
                             extract(epoch FROM ends_time - starts_time)::integer / 60) STORED,
    surcharge_amount     system_core.money NOT NULL DEFAULT 0,
    is_bookable_online   boolean           NOT NULL DEFAULT true,
    max_booking_count    integer,
    sort_seq             integer           NOT NULL DEFAULT 1,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, arrival_window_id),
    UNIQUE (business_id, window_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, service_territory_id)
        REFERENCES hs.service_territory (business_id, service_territory_id),
    CONSTRAINT arrival_window_weekday_iso CHECK (weekday BETWEEN 1 AND 7),
    CONSTRAINT arrival_window_ends_after_start CHECK (ends_time > starts_time),
    CONSTRAINT arrival_window_surcharge_not_negative CHECK (surcharge_amount >= 0),
    CONSTRAINT arrival_window_bookings_positive CHECK (max_booking_count > 0)
);

COMMENT ON TABLE hs.arrival_window IS
    'A span of the day in which a technician is promised to arrive; times are the branch''s local.';
COMMENT ON COLUMN hs.arrival_window.service_territory_id IS 'NULL: offered in every zone.';
COMMENT ON COLUMN hs.arrival_window.weekday IS 'ISO: 1 is Monday; NULL: every day.';
COMMENT ON COLUMN hs.arrival_window.promise_minutes IS 'How long the customer has to wait at home.';
COMMENT ON COLUMN hs.arrival_window.max_booking_count IS
    'Bookings that one plan of the window takes, however short; NULL: as many as fit.';

-- FK: the windows of a zone.
CREATE INDEX arrival_window_territory_idx
    ON hs.arrival_window (business_id, service_territory_id)
    WHERE service_territory_id IS NOT NULL;

ALTER TABLE hs.arrival_window ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.arrival_window
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.arrival_window TO app_user;
GRANT SELECT ON hs.arrival_window TO app_readonly;

CREATE TRIGGER arrival_window_touch
    BEFORE UPDATE ON hs.arrival_window
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.capacity_plan (
    business_id               uuid                   NOT NULL,
    capacity_plan_id          uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    service_territory_id      uuid                   NOT NULL,
    business_unit_id          uuid                   NOT NULL,
    arrival_window_id         uuid                   NOT NULL,
    plan_on                   date                   NOT NULL,
    job_class                 text                   NOT NULL,
    planned_minutes           integer                NOT NULL,
    booked_minutes            integer                NOT NULL DEFAULT 0,
    held_minutes              integer                NOT NULL DEFAULT 0,
    overbook_pct              system_core.percentage NOT NULL DEFAULT 0,
    emergency_reserve_minutes integer                NOT NULL DEFAULT 0,
    sellable_minutes          integer                NOT NULL GENERATED ALWAYS AS (
                                  floor(planned_minutes * (1 + overbook_pct / 100))::integer
                                  - CASE WHEN job_class = 'emergency' THEN 0
                                         ELSE emergency_reserve_minutes END) STORED,
    is_closed                 boolean                NOT NULL DEFAULT false,
    closed_reason             text,
    created_at                timestamptz            NOT NULL DEFAULT now(),
    updated_at                timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, capacity_plan_id),
    UNIQUE (business_id, service_territory_id, plan_on, business_unit_id, job_class,
            arrival_window_id),
    FOREIGN KEY (business_id, service_territory_id)
        REFERENCES hs.service_territory (business_id, service_territory_id),
    FOREIGN KEY (business_id, business_unit_id)
        REFERENCES hs.business_unit (business_id, business_unit_id),
    FOREIGN KEY (business_id, arrival_window_id)
        REFERENCES hs.arrival_window (business_id, arrival_window_id),
    CONSTRAINT capacity_plan_job_class_known
        CHECK (job_class IN ('demand', 'maintenance', 'install', 'sales', 'emergency')),
    CONSTRAINT capacity_plan_minutes_not_negative
        CHECK (planned_minutes >= 0 AND booked_minutes >= 0 AND held_minutes >= 0),
    CONSTRAINT capacity_plan_overbook_bounded CHECK (overbook_pct BETWEEN 0 AND 100),
    CONSTRAINT capacity_plan_reserve_within_plan
        CHECK (emergency_reserve_minutes BETWEEN 0 AND planned_minutes),
    CONSTRAINT capacity_plan_not_oversold
        CHECK (booked_minutes + held_minutes <= planned_minutes * (1 + overbook_pct / 100)),
    CONSTRAINT capacity_plan_closed_has_reason CHECK (is_closed = (closed_reason IS NOT NULL))
) WITH (fillfactor = 80);

COMMENT ON TABLE hs.capacity_plan IS
    'Time that can be sold of a window on a day, per zone, unit and class of job; the row that
     every booking contends for.';
COMMENT ON COLUMN hs.capacity_plan.booked_minutes IS 'Of its appointments; kept by their triggers.';
COMMENT ON COLUMN hs.capacity_plan.held_minutes IS 'Of its active holds; kept by their triggers.';
COMMENT ON COLUMN hs.capacity_plan.sellable_minutes IS
    'What may be held online: the plan with overbooking, less what is kept for emergencies. A
     dispatcher may book into the reserve.';

-- FK, and what a unit has to sell on a day.
CREATE INDEX capacity_plan_unit_idx
    ON hs.capacity_plan (business_id, business_unit_id, plan_on);

-- FK: the plans of a window.
CREATE INDEX capacity_plan_window_idx ON hs.capacity_plan (business_id, arrival_window_id);

ALTER TABLE hs.capacity_plan ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.capacity_plan
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.capacity_plan TO app_user;
GRANT SELECT ON hs.capacity_plan TO app_readonly;

CREATE TRIGGER capacity_plan_touch
    BEFORE UPDATE ON hs.capacity_plan
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.booking_hold (
    business_id        uuid        NOT NULL,
    booking_hold_id    uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    capacity_plan_id   uuid        NOT NULL,
    booking_request_id uuid,
    session_ref        text        NOT NULL,
    held_minutes       integer     NOT NULL,
    status             text        NOT NULL DEFAULT 'active',
    channel            text        NOT NULL DEFAULT 'web_widget',
    client_address     inet,
    held_at            timestamptz NOT NULL DEFAULT now(),
    expires_at         timestamptz NOT NULL,
    converted_at       timestamptz,
    released_at        timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, booking_hold_id),
    FOREIGN KEY (business_id, capacity_plan_id)
        REFERENCES hs.capacity_plan (business_id, capacity_plan_id),
    FOREIGN KEY (business_id, booking_request_id)
        REFERENCES hs.booking_request (business_id, booking_request_id),
    CONSTRAINT booking_hold_status_known
        CHECK (status IN ('active', 'converted', 'expired', 'released')),
    CONSTRAINT booking_hold_channel_known CHECK (channel IN ('web_widget', 'portal', 'agent')),
    CONSTRAINT booking_hold_minutes_positive CHECK (held_minutes > 0),
    CONSTRAINT booking_hold_is_short
        CHECK (expires_at > held_at AND expires_at <= held_at + interval '20 minutes'),
    CONSTRAINT booking_hold_converted_has_time
        CHECK ((status = 'converted') = (converted_at IS NOT NULL)),
    CONSTRAINT booking_hold_released_has_time
        CHECK ((status = 'released') = (released_at IS NOT NULL)),
    CONSTRAINT booking_hold_ends_after_begin
        CHECK (converted_at >= held_at AND released_at >= held_at)
);

COMMENT ON TABLE hs.booking_hold IS
    'Some of a plan''s time, kept for a few minutes while a customer finishes booking.';
COMMENT ON COLUMN hs.booking_hold.session_ref IS 'The visit of the booking page; holds one slot.';

-- A session holds one slot at a time.
CREATE UNIQUE INDEX booking_hold_session_idx
    ON hs.booking_hold (business_id, session_ref)
    WHERE status = 'active';

-- available_slots, hold_slot: what a plan has promised for the moment, and until when.
CREATE INDEX booking_hold_active_idx
    ON hs.booking_hold (business_id, capacity_plan_id, expires_at)
    INCLUDE (held_minutes)
    WHERE status = 'active';

-- FK: all holds of a plan.
CREATE INDEX booking_hold_plan_idx ON hs.booking_hold (business_id, capacity_plan_id);

-- FK: the holds of a request.
CREATE INDEX booking_hold_request_idx
    ON hs.booking_hold (business_id, booking_request_id)
    WHERE booking_request_id IS NOT NULL;

ALTER TABLE hs.booking_hold ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.booking_hold
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.booking_hold TO app_user;
GRANT SELECT ON hs.booking_hold TO app_readonly;

CREATE TRIGGER booking_hold_touch
    BEFORE UPDATE ON hs.booking_hold
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER booking_hold_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.booking_hold
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["active"],
        "transitions": {
            "active":    ["converted", "expired", "released"],
            "converted": [],
            "expired":   [],
            "released":  []
        }}');

CREATE FUNCTION hs.keep_hold() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a hold keeps its plan and its minutes'
        USING ERRCODE = 'check_violation',
              HINT = 'Call hs.hold_slot() again: it moves the session''s hold.';
END
$$;
COMMENT ON FUNCTION hs.keep_hold() IS
    'What was held does not change; another slot is another hold.';

CREATE TRIGGER booking_hold_kept
    BEFORE UPDATE OF capacity_plan_id, held_minutes ON hs.booking_hold
    FOR EACH ROW
    WHEN (NEW.capacity_plan_id <> OLD.capacity_plan_id OR NEW.held_minutes <> OLD.held_minutes)
    EXECUTE FUNCTION hs.keep_hold();


CREATE TABLE hs.appointment (
    business_id          uuid             NOT NULL,
    appointment_id       uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    work_order_id        uuid             NOT NULL,
    service_territory_id uuid             NOT NULL,
    arrival_window_id    uuid,
    capacity_plan_id     uuid,
    booking_hold_id      uuid,
    appointment_number   system_core.code NOT NULL,
    sequence_no          integer          NOT NULL DEFAULT 1,
    visit_kind           text             NOT NULL DEFAULT 'first',
    window_start_at      timestamptz      NOT NULL,
    window_end_at        timestamptz      NOT NULL,
    scheduled_start_at   timestamptz,
    scheduled_end_at     timestamptz,
    estimated_minutes    integer          NOT NULL DEFAULT 60,
    actual_start_at      timestamptz,
    actual_end_at        timestamptz,
    status               text             NOT NULL DEFAULT 'scheduled',
    confirmation_status  text             NOT NULL DEFAULT 'unsent',
    rescheduled_count    integer          NOT NULL DEFAULT 0,
    special_instructions text,
    created_at           timestamptz      NOT NULL DEFAULT now(),
    updated_at           timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, appointment_id),
    UNIQUE (business_id, appointment_number),
    UNIQUE (business_id, work_order_id, sequence_no),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, service_territory_id)
        REFERENCES hs.service_territory (business_id, service_territory_id),
    FOREIGN KEY (business_id, arrival_window_id)
        REFERENCES hs.arrival_window (business_id, arrival_window_id),
    FOREIGN KEY (business_id, capacity_plan_id)
        REFERENCES hs.capacity_plan (business_id, capacity_plan_id),
    FOREIGN KEY (business_id, booking_hold_id)
        REFERENCES hs.booking_hold (business_id, booking_hold_id),
    CONSTRAINT appointment_visit_kind_known
        CHECK (visit_kind IN ('first', 'return', 'diagnostic', 'install_day', 'inspection',
                              'warranty')),
    CONSTRAINT appointment_status_known
        CHECK (status IN ('tentative', 'scheduled', 'confirmed', 'dispatched', 'in_progress',
                          'done', 'missed', 'cancelled')),
    CONSTRAINT appointment_confirmation_known
        CHECK (confirmation_status IN ('unsent', 'sent', 'confirmed', 'declined')),
    CONSTRAINT appointment_sequence_positive CHECK (sequence_no > 0),
    CONSTRAINT appointment_window_ends_after_start CHECK (window_end_at > window_start_at),
    CONSTRAINT appointment_schedule_is_whole
        CHECK ((scheduled_start_at IS NULL) = (scheduled_end_at IS NULL)),
    CONSTRAINT appointment_schedule_ends_after_start
        CHECK (scheduled_end_at > scheduled_start_at),
    CONSTRAINT appointment_ends_after_start CHECK (actual_end_at >= actual_start_at),
    CONSTRAINT appointment_started_before_end
        CHECK (actual_end_at IS NULL OR actual_start_at IS NOT NULL),
    CONSTRAINT appointment_in_progress_has_start
        CHECK (status NOT IN ('in_progress', 'done') OR actual_start_at IS NOT NULL),
    CONSTRAINT appointment_done_has_end CHECK (status <> 'done' OR actual_end_at IS NOT NULL),
    CONSTRAINT appointment_minutes_bounded CHECK (estimated_minutes BETWEEN 5 AND 2880),
    CONSTRAINT appointment_reschedules_not_negative CHECK (rescheduled_count >= 0),
    CONSTRAINT appointment_hold_of_plan
        CHECK (booking_hold_id IS NULL OR capacity_plan_id IS NOT NULL)
);

COMMENT ON TABLE hs.appointment IS
    'One visit of a work order: what was promised, what is planned, what happened.';
COMMENT ON COLUMN hs.appointment.appointment_number IS
    'The work order''s number with the visit''s, so that booking takes no number of its own.';
COMMENT ON COLUMN hs.appointment.capacity_plan_id IS
    'The plan whose time it takes unless it is cancelled; NULL where a dispatcher squeezed it in.';
COMMENT ON COLUMN hs.appointment.booking_hold_id IS 'The hold that it was booked from.';

-- dispatch_board_day: the visits of a day; calendars.
CREATE INDEX appointment_window_idx
    ON hs.appointment (business_id, window_start_at);

-- FK: the visits in a zone, day by day.
CREATE INDEX appointment_territory_idx
    ON hs.appointment (business_id, service_territory_id, window_start_at);

-- FK: the visits of a window.
CREATE INDEX appointment_arrival_window_idx
    ON hs.appointment (business_id, arrival_window_id)
    WHERE arrival_window_id IS NOT NULL;

-- FK, and what has been sold of a plan.
CREATE INDEX appointment_plan_idx
    ON hs.appointment (business_id, capacity_plan_id)
    WHERE capacity_plan_id IS NOT NULL;

-- FK: a hold is booked once.
CREATE UNIQUE INDEX appointment_hold_idx
    ON hs.appointment (business_id, booking_hold_id)
    WHERE booking_hold_id IS NOT NULL;

ALTER TABLE hs.appointment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.appointment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.appointment TO app_user;
GRANT SELECT ON hs.appointment TO app_readonly;

CREATE TRIGGER appointment_touch
    BEFORE UPDATE ON hs.appointment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.note_reschedule() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.rescheduled_count := OLD.rescheduled_count + 1;
    NEW.confirmation_status := 'unsent';
    IF NEW.status = 'confirmed' THEN
        NEW.status := 'scheduled';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.note_reschedule() IS
    'A window that moves is counted, and is confirmed anew.';

CREATE TRIGGER appointment_noted_reschedule
    BEFORE UPDATE OF window_start_at, window_end_at ON hs.appointment
    FOR EACH ROW
    WHEN ((NEW.window_start_at, NEW.window_end_at) <> (OLD.window_start_at, OLD.window_end_at))
    EXECUTE FUNCTION hs.note_reschedule();

CREATE TRIGGER appointment_status_machine
    BEFORE INSERT OR UPDATE ON hs.appointment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["tentative", "scheduled"],
        "transitions": {
            "tentative":   ["scheduled", "cancelled"],
            "scheduled":   ["confirmed", "dispatched", "tentative", "missed", "cancelled"],
            "confirmed":   ["scheduled", "dispatched", "missed", "cancelled"],
            "dispatched":  ["in_progress", "scheduled", "missed", "cancelled"],
            "in_progress": ["done", "missed", "cancelled"],
            "done":        [],
            "missed":      [],
            "cancelled":   []
        }}');


CREATE FUNCTION hs.recount_capacity(of_business uuid, plans uuid[]) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    -- Locked before it is counted: the next statement sees what the ones before committed.
    PERFORM FROM hs.capacity_plan AS p
    WHERE p.business_id = of_business AND p.capacity_plan_id = ANY (plans)
    ORDER BY p.capacity_plan_id
    FOR NO KEY UPDATE;

    UPDATE hs.capacity_plan AS p
    SET booked_minutes = sold.booked, held_minutes = sold.held
    FROM (SELECT q.capacity_plan_id,
                 (SELECT coalesce(sum(a.estimated_minutes), 0)
                  FROM hs.appointment AS a
                  WHERE a.business_id = of_business AND a.capacity_plan_id = q.capacity_plan_id
                    AND a.status <> 'cancelled') AS booked,
                 (SELECT coalesce(sum(h.held_minutes), 0)
                  FROM hs.booking_hold AS h
                  WHERE h.business_id = of_business AND h.capacity_plan_id = q.capacity_plan_id
                    AND h.status = 'active') AS held
          FROM unnest(plans) AS q (capacity_plan_id)) AS sold
    WHERE p.business_id = of_business AND p.capacity_plan_id = sold.capacity_plan_id
      AND (p.booked_minutes, p.held_minutes) IS DISTINCT FROM (sold.booked, sold.held);
END
$$;
COMMENT ON FUNCTION hs.recount_capacity(uuid, uuid[]) IS
    'Counts the minutes of plans anew from their appointments and active holds, under a lock of
     the plans that is taken in key order. A plan that would be oversold refuses.';

CREATE FUNCTION hs.count_hold() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM hs.recount_capacity(t.business_id, array_agg(DISTINCT t.capacity_plan_id))
    FROM changed AS t
    WHERE TG_OP = 'UPDATE' OR t.status = 'active'
    GROUP BY t.business_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.count_hold() IS 'Keeps capacity_plan.held_minutes.';

CREATE TRIGGER booking_hold_counted_insert
    AFTER INSERT ON hs.booking_hold
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.count_hold();

CREATE TRIGGER booking_hold_counted_update
    AFTER UPDATE ON hs.booking_hold
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.count_hold();

CREATE TRIGGER booking_hold_counted_delete
    AFTER DELETE ON hs.booking_hold
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.count_hold();

CREATE FUNCTION hs.count_appointment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM hs.recount_capacity(t.business_id, array_agg(DISTINCT t.capacity_plan_id))
    FROM changed AS t
    WHERE t.capacity_plan_id IS NOT NULL AND t.status <> 'cancelled'
    GROUP BY t.business_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.count_appointment() IS
    'Keeps capacity_plan.booked_minutes as appointments come and go.';

CREATE FUNCTION hs.count_changed_appointment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM hs.recount_capacity(t.business_id, array_agg(DISTINCT t.capacity_plan_id))
    FROM (SELECT n.business_id, unnest(ARRAY[n.capacity_plan_id, o.capacity_plan_id])
          FROM changed AS n
          JOIN previous AS o
              ON o.business_id = n.business_id AND o.appointment_id = n.appointment_id
          WHERE (n.capacity_plan_id, n.estimated_minutes, n.status = 'cancelled')
                IS DISTINCT FROM (o.capacity_plan_id, o.estimated_minutes, o.status = 'cancelled')
         ) AS t (business_id, capacity_plan_id)
    WHERE t.capacity_plan_id IS NOT NULL
    GROUP BY t.business_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.count_changed_appointment() IS
    'Keeps capacity_plan.booked_minutes as appointments move, grow or are cancelled.';

CREATE TRIGGER appointment_counted_insert
    AFTER INSERT ON hs.appointment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.count_appointment();

CREATE TRIGGER appointment_counted_update
    AFTER UPDATE ON hs.appointment
    REFERENCING OLD TABLE AS previous NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.count_changed_appointment();

CREATE TRIGGER appointment_counted_delete
    AFTER DELETE ON hs.appointment
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.count_appointment();


CREATE TABLE hs.appointment_assignment (
    business_id               uuid                   NOT NULL,
    appointment_assignment_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    appointment_id            uuid                   NOT NULL,
    technician_id             uuid                   NOT NULL,
    crew_id                   uuid,
    assignment_role           text                   NOT NULL DEFAULT 'lead',
    status                    text                   NOT NULL DEFAULT 'assigned',
    planned_start_at          timestamptz            NOT NULL,
    planned_end_at            timestamptz            NOT NULL,
    assigned_at               timestamptz            NOT NULL DEFAULT now(),
    accepted_at               timestamptz,
    departed_at               timestamptz,
    arrived_at                timestamptz,
    completed_at              timestamptz,
    drive_minutes             integer                GENERATED ALWAYS AS (
                                  extract(epoch FROM arrived_at - departed_at)::integer / 60)
                                  STORED,
    on_site_minutes           integer                GENERATED ALWAYS AS (
                                  extract(epoch FROM completed_at - arrived_at)::integer / 60)
                                  STORED,
    split_pct                 system_core.percentage NOT NULL DEFAULT 100,
    created_at                timestamptz            NOT NULL DEFAULT now(),
    updated_at                timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, appointment_assignment_id),
    UNIQUE (business_id, appointment_id, technician_id),
    FOREIGN KEY (business_id, appointment_id)
        REFERENCES hs.appointment (business_id, appointment_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, crew_id) REFERENCES hs.crew (business_id, crew_id),
    CONSTRAINT appointment_assignment_role_known
        CHECK (assignment_role IN ('lead', 'support', 'trainee', 'sales')),
    CONSTRAINT appointment_assignment_status_known
        CHECK (status IN ('assigned', 'notified', 'accepted', 'en_route', 'on_site', 'done',
                          'removed')),
    CONSTRAINT appointment_assignment_plan_ends_after_start
        CHECK (planned_end_at > planned_start_at),
    CONSTRAINT appointment_assignment_times_in_order
        CHECK (departed_at <= arrived_at AND arrived_at <= completed_at),
    CONSTRAINT appointment_assignment_on_site_arrived
        CHECK (status NOT IN ('on_site', 'done') OR arrived_at IS NOT NULL),
    CONSTRAINT appointment_assignment_done_completed
        CHECK (status <> 'done' OR completed_at IS NOT NULL),
    CONSTRAINT appointment_assignment_split_bounded CHECK (split_pct BETWEEN 0 AND 100),
    CONSTRAINT appointment_assignment_one_place_at_a_time EXCLUDE USING gist (
        business_id WITH =, technician_id WITH =,
        tstzrange(planned_start_at, planned_end_at) WITH &&)
        WHERE (status NOT IN ('done', 'removed'))
);

COMMENT ON TABLE hs.appointment_assignment IS
    'A technician put on an appointment, with the times of the visit.';
COMMENT ON COLUMN hs.appointment_assignment.planned_start_at IS
    'As the appointment is scheduled; two columns instead of a range, so that a plain index serves
     the search under row security (operators of ranges are not leakproof).';
COMMENT ON COLUMN hs.appointment_assignment.drive_minutes IS 'From departure to arrival.';
COMMENT ON COLUMN hs.appointment_assignment.split_pct IS
    'Share of what the visit earns its technicians.';

-- One leads a visit.
CREATE UNIQUE INDEX appointment_assignment_lead_idx
    ON hs.appointment_assignment (business_id, appointment_id)
    WHERE assignment_role = 'lead' AND status <> 'removed';

-- FK, eligible_technicians and day routes: what a technician has to do, in order.
CREATE INDEX appointment_assignment_technician_idx
    ON hs.appointment_assignment (business_id, technician_id, planned_start_at);

-- FK: what a crew was sent to.
CREATE INDEX appointment_assignment_crew_idx
    ON hs.appointment_assignment (business_id, crew_id)
    WHERE crew_id IS NOT NULL;

ALTER TABLE hs.appointment_assignment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.appointment_assignment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.appointment_assignment TO app_user;
GRANT SELECT ON hs.appointment_assignment TO app_readonly;

CREATE TRIGGER appointment_assignment_touch
    BEFORE UPDATE ON hs.appointment_assignment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER appointment_assignment_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.appointment_assignment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["assigned"],
        "transitions": {
            "assigned": ["notified", "accepted", "en_route", "removed"],
            "notified": ["accepted", "en_route", "removed"],
            "accepted": ["en_route", "removed"],
            "en_route": ["on_site", "accepted", "removed"],
            "on_site":  ["done", "removed"],
            "done":     [],
            "removed":  ["assigned"]
        }}');

CREATE FUNCTION hs.stamp_assignment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    CASE NEW.status
        WHEN 'assigned' THEN
            NEW.assigned_at := now();
            NEW.accepted_at := NULL;
            NEW.departed_at := NULL;
            NEW.arrived_at := NULL;
            NEW.completed_at := NULL;
        WHEN 'accepted' THEN NEW.accepted_at := coalesce(NEW.accepted_at, now());
        WHEN 'en_route' THEN NEW.departed_at := coalesce(NEW.departed_at, now());
        WHEN 'on_site' THEN NEW.arrived_at := coalesce(NEW.arrived_at, now());
        WHEN 'done' THEN NEW.completed_at := coalesce(NEW.completed_at, now());
        ELSE NULL;
    END CASE;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.stamp_assignment() IS
    'Gives a step of the visit its time where the app did not tell it.';

CREATE TRIGGER appointment_assignment_stamped
    BEFORE UPDATE OF status ON hs.appointment_assignment
    FOR EACH ROW WHEN (NEW.status <> OLD.status)
    EXECUTE FUNCTION hs.stamp_assignment();

CREATE FUNCTION hs.assignment_objections(of_appointment uuid, of_technician uuid)
    RETURNS TABLE (objection text, detail text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH visit AS (
        SELECT a.business_id, w.job_type_id,
               coalesce(a.scheduled_start_at, a.window_start_at) AS starts_at,
               (coalesce(a.scheduled_start_at, a.window_start_at)
                AT TIME ZONE b.time_zone)::date AS visit_on
        FROM hs.appointment AS a
        JOIN hs.work_order AS w
            ON w.business_id = a.business_id AND w.work_order_id = a.work_order_id
        JOIN hs.service_territory AS t
            ON t.business_id = a.business_id
           AND t.service_territory_id = a.service_territory_id
        JOIN hs.branch AS b ON b.business_id = t.business_id AND b.branch_id = t.branch_id
        WHERE a.business_id = tenant_mgmt.current_business_id()
          AND a.appointment_id = of_appointment
    )
    SELECT 'not_dispatchable', t.full_name::text
    FROM hs.technician AS t
    WHERE t.business_id = tenant_mgmt.current_business_id()
      AND t.technician_id = of_technician AND NOT t.is_dispatchable
    UNION ALL
    SELECT 'certificate', k.certification_code::text
    FROM visit AS v
    JOIN hs.technician_certification AS c
        ON c.business_id = v.business_id AND c.technician_id = of_technician
    JOIN hs.certification_type AS k
        ON k.business_id = c.business_id AND k.certification_type_id = c.certification_type_id
    WHERE k.is_mandatory_for_dispatch
    GROUP BY k.certification_code
    HAVING NOT bool_or(c.status IN ('valid', 'expiring')
                       AND (c.expires_on IS NULL OR c.expires_on > v.visit_on))
    UNION ALL
    SELECT 'skill', s.skill_code::text
    FROM visit AS v
    JOIN hs.job_type_skill AS need
        ON need.business_id = v.business_id AND need.job_type_id = v.job_type_id
    JOIN hs.skill AS s ON s.business_id = need.business_id AND s.skill_id = need.skill_id
    WHERE need.requirement = 'mandatory'
      AND (need.effective_on IS NULL OR need.effective_on <= v.visit_on)
      AND NOT EXISTS (SELECT FROM hs.technician_skill AS has
                      WHERE has.business_id = need.business_id
                        AND has.technician_id = of_technician AND has.skill_id = need.skill_id
                        AND has.level_no >= need.minimum_level_no
                        AND (has.expires_on IS NULL OR has.expires_on > v.visit_on))
    UNION ALL
    SELECT 'truck', k.unit_number::text
    FROM visit AS v
    JOIN hs.truck_assignment AS d
        ON d.business_id = v.business_id AND d.technician_id = of_technician
       AND d.starts_at <= v.starts_at AND (d.ends_at IS NULL OR d.ends_at > v.starts_at)
    JOIN hs.truck AS k ON k.business_id = d.business_id AND k.truck_id = d.truck_id
    WHERE k.status IN ('in_shop', 'sold');
END;
COMMENT ON FUNCTION hs.assignment_objections(uuid, uuid) IS
    'Why a technician of the tenant may not make a visit: not dispatchable, a mandatory
     certificate that lapsed, a mandatory skill that is missing or too low, a truck out of
     service. No row: may go.';

CREATE FUNCTION hs.prepare_assignment() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    visit  hs.appointment;
    reason record;
BEGIN
    SELECT a.* INTO visit
    FROM hs.appointment AS a
    WHERE a.business_id = NEW.business_id AND a.appointment_id = NEW.appointment_id;
    NEW.planned_start_at := coalesce(visit.scheduled_start_at, visit.window_start_at);
    NEW.planned_end_at := coalesce(
        visit.scheduled_end_at,
        NEW.planned_start_at + visit.estimated_minutes * interval '1 minute');

    IF row_security_active(TG_RELID) THEN
        IF visit.status IN ('done', 'missed', 'cancelled') THEN
            RAISE EXCEPTION 'appointment % is %', visit.appointment_number, visit.status
                USING ERRCODE = 'check_violation';
        END IF;
        SELECT string_agg(o.objection || ' ' || o.detail, ', ' ORDER BY o.objection, o.detail)
                   AS text
        INTO reason
        FROM hs.assignment_objections(NEW.appointment_id, NEW.technician_id) AS o
        WHERE o.objection <> 'skill' OR NEW.assignment_role IN ('lead', 'sales');
        IF reason.text IS NOT NULL THEN
            RAISE EXCEPTION 'the technician cannot be sent: %', reason.text
                USING ERRCODE = 'check_violation',
                      HINT = 'hs.eligible_technicians() lists who can.';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.prepare_assignment() IS
    'Plans the technician as the appointment is scheduled and refuses who may not go. Skills are
     asked of who leads; support and trainees learn from them.';

CREATE TRIGGER appointment_assignment_prepared_insert
    BEFORE INSERT ON hs.appointment_assignment
    FOR EACH ROW EXECUTE FUNCTION hs.prepare_assignment();

CREATE TRIGGER appointment_assignment_prepared_update
    BEFORE UPDATE OF appointment_id, technician_id, assignment_role, status
    ON hs.appointment_assignment
    FOR EACH ROW
    WHEN ((NEW.appointment_id, NEW.technician_id, NEW.assignment_role)
          <> (OLD.appointment_id, OLD.technician_id, OLD.assignment_role)
          OR (OLD.status = 'removed' AND NEW.status <> 'removed'))
    EXECUTE FUNCTION hs.prepare_assignment();


CREATE TABLE hs.dispatch_event (
    business_id           uuid                    NOT NULL,
    dispatch_event_id     uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    appointment_id        uuid                    NOT NULL,
    technician_id         uuid,
    actor_user_account_id uuid,
    event_kind            text                    NOT NULL,
    previous_state        system_core.json_object,
    new_state             system_core.json_object,
    shift_minutes         integer,
    reason_note           text,
    is_customer_notified  boolean                 NOT NULL DEFAULT false,
    source                text                    NOT NULL DEFAULT 'dispatcher',
    occurred_at           timestamptz             NOT NULL DEFAULT now(),
    created_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, dispatch_event_id, occurred_at),
    FOREIGN KEY (business_id, appointment_id)
        REFERENCES hs.appointment (business_id, appointment_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, actor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT dispatch_event_kind_known
        CHECK (event_kind IN ('assigned', 'unassigned', 'reassigned', 'rescheduled',
                              'window_changed', 'eta_sent', 'confirmed', 'running_late',
                              'no_access', 'cancelled')),
    CONSTRAINT dispatch_event_source_known
        CHECK (source IN ('dispatcher', 'optimizer', 'technician', 'customer', 'system')),
    CONSTRAINT dispatch_event_tells_what_came
        CHECK (event_kind = 'cancelled' OR new_state IS NOT NULL)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE hs.dispatch_event IS
    'Every change on the dispatch board, by people or by the optimizer; append only.';
COMMENT ON COLUMN hs.dispatch_event.previous_state IS
    'Window, technician and status before: {"status", "window_start_at", "window_end_at",
     "technician_id"}, as far as they changed; new_state likewise after.';
COMMENT ON COLUMN hs.dispatch_event.shift_minutes IS
    'How far a window moved; negative is earlier.';

-- FK: what happened to an appointment.
CREATE INDEX dispatch_event_appointment_idx
    ON hs.dispatch_event (business_id, appointment_id, occurred_at);

-- FK: what happened to a technician's day.
CREATE INDEX dispatch_event_technician_idx
    ON hs.dispatch_event (business_id, technician_id, occurred_at)
    WHERE technician_id IS NOT NULL;

-- FK: what an account changed.
CREATE INDEX dispatch_event_actor_idx
    ON hs.dispatch_event (business_id, actor_user_account_id, occurred_at)
    WHERE actor_user_account_id IS NOT NULL;

ALTER TABLE hs.dispatch_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.dispatch_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON hs.dispatch_event TO app_user;
GRANT SELECT ON hs.dispatch_event TO app_readonly;

CREATE TRIGGER dispatch_event_append_only
    BEFORE UPDATE OR DELETE ON hs.dispatch_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('hs.dispatch_event');

CREATE TABLE hs.dispatch_event_default PARTITION OF hs.dispatch_event DEFAULT;
ALTER TABLE hs.dispatch_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.dispatch_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('hs.dispatch_event', 'month', behind => 3, ahead => 1);


CREATE FUNCTION hs.follow_appointment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- Who was on a visit that is off is free again; the others go when the visit goes.
    UPDATE hs.appointment_assignment AS g
    SET status = 'removed'
    FROM changed AS n
    JOIN previous AS o ON o.business_id = n.business_id AND o.appointment_id = n.appointment_id
    WHERE g.business_id = n.business_id AND g.appointment_id = n.appointment_id
      AND n.status IN ('cancelled', 'missed') AND n.status <> o.status
      AND g.status NOT IN ('done', 'removed');

    UPDATE hs.appointment_assignment AS g
    SET planned_start_at = coalesce(n.scheduled_start_at, n.window_start_at),
        planned_end_at = coalesce(
            n.scheduled_end_at,
            coalesce(n.scheduled_start_at, n.window_start_at)
            + n.estimated_minutes * interval '1 minute')
    FROM changed AS n
    JOIN previous AS o ON o.business_id = n.business_id AND o.appointment_id = n.appointment_id
    WHERE g.business_id = n.business_id AND g.appointment_id = n.appointment_id
      AND g.status NOT IN ('done', 'removed')
      AND (n.scheduled_start_at, n.scheduled_end_at, n.window_start_at, n.estimated_minutes)
          IS DISTINCT FROM
          (o.scheduled_start_at, o.scheduled_end_at, o.window_start_at, o.estimated_minutes);

    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    INSERT INTO hs.dispatch_event (business_id, appointment_id, event_kind, source,
                                   shift_minutes, previous_state, new_state)
    SELECT n.business_id, n.appointment_id, kind.event_kind,
           coalesce(nullif(current_setting('hs.dispatch_source', true), ''), 'dispatcher'),
           CASE WHEN n.window_start_at <> o.window_start_at
                THEN extract(epoch FROM n.window_start_at - o.window_start_at)::integer / 60 END,
           jsonb_build_object('status', o.status, 'window_start_at', o.window_start_at,
                              'window_end_at', o.window_end_at),
           jsonb_build_object('status', n.status, 'window_start_at', n.window_start_at,
                              'window_end_at', n.window_end_at)
    FROM changed AS n
    JOIN previous AS o ON o.business_id = n.business_id AND o.appointment_id = n.appointment_id
    CROSS JOIN LATERAL (VALUES (CASE
        WHEN n.status = 'cancelled' AND o.status <> 'cancelled' THEN 'cancelled'
        WHEN n.status = 'missed' AND o.status <> 'missed' THEN 'no_access'
        WHEN n.window_start_at <> o.window_start_at THEN 'rescheduled'
        WHEN n.window_end_at <> o.window_end_at THEN 'window_changed'
        WHEN n.status = 'confirmed' AND o.status <> 'confirmed' THEN 'confirmed'
    END)) AS kind (event_kind)
    WHERE kind.event_kind IS NOT NULL;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.follow_appointment() IS
    'Technicians follow the visit that they are on, and the board''s history tells what changed.
     The setting hs.dispatch_source says who moved it where that is not the dispatcher.';

CREATE TRIGGER appointment_followed
    AFTER UPDATE ON hs.appointment
    REFERENCING OLD TABLE AS previous NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.follow_appointment();

CREATE FUNCTION hs.note_assignment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        INSERT INTO hs.dispatch_event (business_id, appointment_id, technician_id, event_kind,
                                       source, new_state)
        SELECT n.business_id, n.appointment_id, n.technician_id, 'assigned',
               coalesce(nullif(current_setting('hs.dispatch_source', true), ''), 'dispatcher'),
               jsonb_build_object('status', n.status, 'technician_id', n.technician_id,
                                  'role', n.assignment_role)
        FROM changed AS n;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.note_assignment() IS 'The board''s history tells who was put on a visit.';

CREATE FUNCTION hs.note_changed_assignment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        INSERT INTO hs.dispatch_event (business_id, appointment_id, technician_id, event_kind,
                                       source, previous_state, new_state)
        SELECT n.business_id, n.appointment_id, n.technician_id,
               CASE WHEN n.technician_id <> o.technician_id THEN 'reassigned'
                    WHEN n.status = 'removed' THEN 'unassigned'
                    ELSE 'assigned' END,
               coalesce(nullif(current_setting('hs.dispatch_source', true), ''), 'dispatcher'),
               jsonb_build_object('status', o.status, 'technician_id', o.technician_id),
               jsonb_build_object('status', n.status, 'technician_id', n.technician_id)
        FROM changed AS n
        JOIN previous AS o
            ON o.business_id = n.business_id
           AND o.appointment_assignment_id = n.appointment_assignment_id
        WHERE n.technician_id <> o.technician_id
           OR (n.status = 'removed') <> (o.status = 'removed');
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.note_changed_assignment() IS
    'The board''s history tells who was taken off a visit or replaced.';

CREATE TRIGGER appointment_assignment_noted_insert
    AFTER INSERT ON hs.appointment_assignment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.note_assignment();

CREATE TRIGGER appointment_assignment_noted_update
    AFTER UPDATE ON hs.appointment_assignment
    REFERENCING OLD TABLE AS previous NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.note_changed_assignment();


CREATE FUNCTION hs.expire_holds(most integer DEFAULT 1000) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    stale   uuid[];
    expired integer;
BEGIN
    SELECT array_agg(p.capacity_plan_id) INTO stale
    FROM (SELECT q.capacity_plan_id
          FROM hs.capacity_plan AS q
          WHERE q.business_id = tenant_mgmt.current_business_id()
            AND EXISTS (SELECT FROM hs.booking_hold AS h
                        WHERE h.business_id = q.business_id
                          AND h.capacity_plan_id = q.capacity_plan_id
                          AND h.status = 'active' AND h.expires_at <= clock_timestamp())
          ORDER BY q.capacity_plan_id
          LIMIT most
          FOR NO KEY UPDATE SKIP LOCKED) AS p;

    UPDATE hs.booking_hold AS h
    SET status = 'expired'
    WHERE h.business_id = tenant_mgmt.current_business_id()
      AND h.capacity_plan_id = ANY (stale)
      AND h.status = 'active' AND h.expires_at <= clock_timestamp();
    GET DIAGNOSTICS expired = ROW_COUNT;
    RETURN expired;
END
$$;
COMMENT ON FUNCTION hs.expire_holds(integer) IS
    'Gives back what the tenant''s stale holds kept, of at most so many plans; those that somebody
     books at this moment are left to them. Returns how many holds ended.';


CREATE FUNCTION hs.hold_slot(
    of_plan     uuid,
    minutes     integer,
    for_session text,
    via_channel text DEFAULT 'web_widget',
    for_request uuid DEFAULT NULL,
    from_client inet DEFAULT NULL
) RETURNS hs.booking_hold
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    touched uuid[];
    moment  timestamptz;
    plan    record;
    held    hs.booking_hold;
BEGIN
    -- A session's calls follow one another; its former slot is given back for the new one.
    PERFORM pg_advisory_xact_lock(hashtextextended(tenant || ' ' || for_session, 0));
    touched := ARRAY(
        SELECT h.capacity_plan_id
        FROM hs.booking_hold AS h
        WHERE h.business_id = tenant AND h.session_ref = for_session AND h.status = 'active'
        UNION
        SELECT of_plan);
    PERFORM FROM hs.capacity_plan AS p
    WHERE p.business_id = tenant AND p.capacity_plan_id = ANY (touched)
    ORDER BY p.capacity_plan_id
    FOR NO KEY UPDATE;

    moment := clock_timestamp();   -- not now(): the lock may have been waited for
    UPDATE hs.booking_hold AS h
    SET status = CASE WHEN h.expires_at <= moment THEN 'expired' ELSE 'released' END,
        released_at = CASE WHEN h.expires_at > moment THEN greatest(moment, h.held_at) END
    WHERE h.business_id = tenant AND h.capacity_plan_id = ANY (touched) AND h.status = 'active'
      AND (h.expires_at <= moment OR h.session_ref = for_session);

    SELECT p.sellable_minutes - p.booked_minutes - p.held_minutes AS free_minutes,
           p.is_closed, p.closed_reason, w.max_booking_count,
           p.plan_on < (moment AT TIME ZONE b.time_zone)::date AS is_past
    INTO plan
    FROM hs.capacity_plan AS p
    JOIN hs.arrival_window AS w
        ON w.business_id = p.business_id AND w.arrival_window_id = p.arrival_window_id
    JOIN hs.service_territory AS t
        ON t.business_id = p.business_id AND t.service_territory_id = p.service_territory_id
    JOIN hs.branch AS b ON b.business_id = t.business_id AND b.branch_id = t.branch_id
    WHERE p.business_id = tenant AND p.capacity_plan_id = of_plan;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no capacity plan %', of_plan USING ERRCODE = 'no_data_found';
    ELSIF plan.is_closed OR plan.is_past THEN
        RAISE EXCEPTION 'the slot cannot be booked: %',
                        coalesce(plan.closed_reason, 'its day is over')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Offer another of hs.find_available_slots().';
    ELSIF plan.free_minutes < minutes
        OR plan.max_booking_count <= (
            SELECT count(*) FROM hs.booking_hold AS h
            WHERE h.business_id = tenant AND h.capacity_plan_id = of_plan AND h.status = 'active')
            + (SELECT count(*) FROM hs.appointment AS a
               WHERE a.business_id = tenant AND a.capacity_plan_id = of_plan
                 AND a.status <> 'cancelled') THEN
        RAISE EXCEPTION 'the slot is full: % of % minutes are free',
                        greatest(plan.free_minutes, 0), minutes
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Offer another of hs.find_available_slots().';
    END IF;

    INSERT INTO hs.booking_hold (business_id, capacity_plan_id, booking_request_id, session_ref,
                                 held_minutes, channel, client_address, held_at, expires_at)
    VALUES (tenant, of_plan, for_request, for_session, minutes, via_channel, from_client, moment,
            moment + interval '10 minutes')
    RETURNING * INTO held;
    RETURN held;
END
$$;
COMMENT ON FUNCTION hs.hold_slot(uuid, integer, text, text, uuid, inet) IS
    'Keeps minutes of the tenant''s plan for a session for ten minutes, or fails where the slot is
     full or closed. Under a lock of the plan it first gives back what stale holds, and the
     session''s former hold, kept.';


CREATE FUNCTION hs.release_hold(of_hold uuid) RETURNS boolean
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM hs.capacity_plan AS p
    JOIN hs.booking_hold AS h
        ON h.business_id = p.business_id AND h.capacity_plan_id = p.capacity_plan_id
    WHERE p.business_id = tenant_mgmt.current_business_id() AND h.booking_hold_id = of_hold
    FOR NO KEY UPDATE OF p;
    UPDATE hs.booking_hold AS h
    SET status = 'released', released_at = greatest(clock_timestamp(), h.held_at)
    WHERE h.business_id = tenant_mgmt.current_business_id()
      AND h.booking_hold_id = of_hold AND h.status = 'active';
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION hs.release_hold(uuid) IS
    'Gives a hold of the tenant back; false where it had ended before.';


CREATE FUNCTION hs.book_appointment(of_work_order uuid, of_hold uuid) RETURNS hs.appointment
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    job    record;
    held   hs.booking_hold;
    slot   record;
    booked hs.appointment;
BEGIN
    SELECT w.work_order_number, w.status, w.source, j.job_class,
           (SELECT coalesce(max(a.sequence_no), 0) FROM hs.appointment AS a
            WHERE a.business_id = w.business_id AND a.work_order_id = w.work_order_id) AS visits
    INTO job
    FROM hs.work_order AS w
    JOIN hs.job_type AS j ON j.business_id = w.business_id AND j.job_type_id = w.job_type_id
    WHERE w.business_id = tenant AND w.work_order_id = of_work_order
    FOR NO KEY UPDATE OF w;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no work order %', of_work_order USING ERRCODE = 'no_data_found';
    ELSIF job.status IN ('invoiced', 'closed', 'cancelled') THEN
        RAISE EXCEPTION 'work order % is %', job.work_order_number, job.status
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'A later fault is a new work order.';
    END IF;

    SELECT a.* INTO booked
    FROM hs.appointment AS a
    WHERE a.business_id = tenant AND a.booking_hold_id = of_hold;
    IF FOUND AND booked.work_order_id = of_work_order THEN
        RETURN booked;
    END IF;

    SELECT p.capacity_plan_id, p.service_territory_id, p.arrival_window_id,
           (p.plan_on + w.starts_time) AT TIME ZONE b.time_zone AS starts_at,
           (p.plan_on + w.ends_time) AT TIME ZONE b.time_zone AS ends_at
    INTO slot
    FROM hs.booking_hold AS h
    JOIN hs.capacity_plan AS p
        ON p.business_id = h.business_id AND p.capacity_plan_id = h.capacity_plan_id
    JOIN hs.arrival_window AS w
        ON w.business_id = p.business_id AND w.arrival_window_id = p.arrival_window_id
    JOIN hs.service_territory AS t
        ON t.business_id = p.business_id AND t.service_territory_id = p.service_territory_id
    JOIN hs.branch AS b ON b.business_id = t.business_id AND b.branch_id = t.branch_id
    WHERE h.business_id = tenant AND h.booking_hold_id = of_hold
    FOR NO KEY UPDATE OF p;
    UPDATE hs.booking_hold AS h
    SET status = 'converted', converted_at = greatest(clock_timestamp(), h.held_at)
    WHERE h.business_id = tenant AND h.booking_hold_id = of_hold
      AND h.status = 'active' AND h.expires_at > clock_timestamp()
    RETURNING * INTO held;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'hold % is not live any more', of_hold
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Hold a slot again with hs.hold_slot().';
    END IF;

    INSERT INTO hs.appointment (
        business_id, work_order_id, service_territory_id, arrival_window_id, capacity_plan_id,
        booking_hold_id, appointment_number, sequence_no, visit_kind, window_start_at,
        window_end_at, scheduled_start_at, scheduled_end_at, estimated_minutes)
    VALUES (
        tenant, of_work_order, slot.service_territory_id, slot.arrival_window_id,
        slot.capacity_plan_id, of_hold, job.work_order_number || '-' || job.visits + 1,
        job.visits + 1,
        CASE WHEN job.job_class = 'install' THEN 'install_day'
             WHEN job.source = 'warranty' THEN 'warranty'
             WHEN job.visits = 0 THEN 'first'
             ELSE 'return' END,
        slot.starts_at, slot.ends_at, slot.starts_at,
        slot.starts_at + held.held_minutes * interval '1 minute', held.held_minutes)
    RETURNING * INTO booked;
    RETURN booked;
END
$$;
COMMENT ON FUNCTION hs.book_appointment(uuid, uuid) IS
    'Turns a live hold of the tenant into an appointment of a work order: held minutes become
     booked ones in one transaction. Asked again it returns the same appointment. The work order''s
     own status is moved by its own function.';


CREATE FUNCTION hs.find_available_slots(
    at_location uuid,
    for_job     uuid,
    from_on     date,
    days        integer DEFAULT 14
) RETURNS TABLE (
    plan_on           date,
    arrival_window_id uuid,
    free_minutes      integer,
    surcharge_amount  system_core.money,
    rank              integer,
    capacity_plan_id  uuid
)
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    place  record;
BEGIN
    SELECT t.service_territory_id, t.branch_id, j.business_unit_id, j.default_minutes,
           CASE WHEN j.job_class IN ('warranty', 'recall') THEN 'demand' ELSE j.job_class END
               AS job_class,
           greatest(from_on, (now() AT TIME ZONE b.time_zone)::date) AS first_on,
           coalesce((SELECT max(c.surcharge_amount)
                     FROM hs.territory_postal_code AS c
                     WHERE c.business_id = l.business_id AND c.country_code = l.country_code
                       AND c.postal_code = l.postal_code AND c.coverage <> 'excluded'
                       AND c.service_territory_id = t.service_territory_id
                       AND c.ends_on IS NULL), 0) AS surcharge
    INTO place
    FROM hs.service_location AS l
    JOIN hs.service_territory AS t
        ON t.business_id = l.business_id
       AND t.service_territory_id = coalesce(
               hs.territory_of(l.country_code, l.postal_code, from_on), l.service_territory_id)
    JOIN hs.branch AS b ON b.business_id = t.business_id AND b.branch_id = t.branch_id
    JOIN hs.job_type AS j ON j.business_id = l.business_id AND j.job_type_id = for_job
    WHERE l.business_id = tenant AND l.service_location_id = at_location AND t.is_active;

    RETURN QUERY
    SELECT p.plan_on, p.arrival_window_id, free.minutes::integer,
           (w.surcharge_amount + place.surcharge)::system_core.money,
           (row_number() OVER (ORDER BY p.plan_on, w.surcharge_amount, w.promise_minutes,
                                        w.starts_time, w.sort_seq))::integer,
           p.capacity_plan_id
    FROM hs.capacity_plan AS p
    JOIN hs.arrival_window AS w
        ON w.business_id = p.business_id AND w.arrival_window_id = p.arrival_window_id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(h.held_minutes), 0) AS minutes, count(*) AS bookings
        FROM hs.booking_hold AS h
        WHERE h.business_id = p.business_id AND h.capacity_plan_id = p.capacity_plan_id
          AND h.status = 'active' AND h.expires_at > now()
    ) AS held
    CROSS JOIN LATERAL (
        SELECT p.sellable_minutes - p.booked_minutes - held.minutes AS minutes) AS free
    WHERE p.business_id = tenant AND p.service_territory_id = place.service_territory_id
      AND p.plan_on >= place.first_on AND p.plan_on < from_on + days
      AND p.business_unit_id = place.business_unit_id AND p.job_class = place.job_class
      AND NOT p.is_closed AND w.is_bookable_online
      AND (w.weekday IS NULL OR w.weekday = extract(isodow FROM p.plan_on))
      AND free.minutes >= place.default_minutes
      AND (w.max_booking_count IS NULL
           OR w.max_booking_count > held.bookings + (
               SELECT count(*) FROM hs.appointment AS a
               WHERE a.business_id = p.business_id AND a.capacity_plan_id = p.capacity_plan_id
                 AND a.status <> 'cancelled'))
      AND (p.job_class = 'emergency'
           OR NOT EXISTS (SELECT FROM hs.hours_on(place.branch_id, place.service_territory_id,
                                                  p.plan_on, 'standard') AS h
                          WHERE h.is_closed))
    ORDER BY 5;
END
$$;
COMMENT ON FUNCTION hs.find_available_slots(uuid, uuid, date, integer) IS
    'The tenant''s slots that a job at a location can be booked into, the best first: the zone of
     the address, capacity less what is booked and held by live holds, the reserve kept, closed
     days left out. Never before today.';


CREATE FUNCTION hs.eligible_technicians(of_appointment uuid) RETURNS TABLE (
    technician_id     uuid,
    skill_gap_count   integer,
    drive_minutes     integer,
    free_minutes      integer,
    suitability_score system_core.score
)
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    visit  record;
BEGIN
    SELECT a.service_territory_id, w.job_type_id, l.latitude, l.longitude, span.starts_at,
           coalesce(a.scheduled_end_at,
                    span.starts_at + a.estimated_minutes * interval '1 minute') AS ends_at,
           (span.starts_at AT TIME ZONE b.time_zone)::date AS visit_on, b.time_zone
    INTO visit
    FROM hs.appointment AS a
    JOIN hs.work_order AS w
        ON w.business_id = a.business_id AND w.work_order_id = a.work_order_id
    JOIN hs.service_location AS l
        ON l.business_id = w.business_id AND l.service_location_id = w.service_location_id
    JOIN hs.service_territory AS t
        ON t.business_id = a.business_id AND t.service_territory_id = a.service_territory_id
    JOIN hs.branch AS b ON b.business_id = t.business_id AND b.branch_id = t.branch_id
    CROSS JOIN LATERAL (
        SELECT coalesce(a.scheduled_start_at, a.window_start_at) AS starts_at) AS span
    WHERE a.business_id = tenant AND a.appointment_id = of_appointment;

    RETURN QUERY
    WITH need AS (
        SELECT n.skill_id, n.minimum_level_no, n.requirement = 'mandatory' AS is_mandatory
        FROM hs.job_type_skill AS n
        WHERE n.business_id = tenant AND n.job_type_id = visit.job_type_id
          AND (n.effective_on IS NULL OR n.effective_on <= visit.visit_on)
    ), skilled AS (
        -- Relational division: whoever has every mandatory skill at its level.
        SELECT t.technician_id, t.home_latitude, t.home_longitude, t.average_rating_score,
               count(*) FILTER (WHERE need.skill_id IS NOT NULL AND has.level_no IS NULL)
                   AS gaps,
               avg(has.level_no) AS level_no
        FROM hs.technician AS t
        LEFT JOIN need ON true
        LEFT JOIN hs.technician_skill AS has
            ON has.business_id = tenant AND has.technician_id = t.technician_id
           AND has.skill_id = need.skill_id AND has.level_no >= need.minimum_level_no
           AND (has.expires_on IS NULL OR has.expires_on > visit.visit_on)
        WHERE t.business_id = tenant AND t.is_dispatchable
          AND EXISTS (SELECT FROM hs.technician_territory AS z
                      WHERE z.business_id = tenant AND z.technician_id = t.technician_id
                        AND z.service_territory_id = visit.service_territory_id
                        AND z.starts_on <= visit.visit_on
                        AND (z.ends_on IS NULL OR z.ends_on > visit.visit_on))
          AND EXISTS (SELECT FROM hs.technician_shift AS s
                      WHERE s.business_id = tenant AND s.technician_id = t.technician_id
                        AND s.shift_on BETWEEN visit.visit_on - 1 AND visit.visit_on
                        AND s.status IN ('published', 'worked') AND s.shift_kind <> 'training'
                        AND s.starts_at <= visit.starts_at AND s.ends_at >= visit.ends_at)
          AND NOT EXISTS (SELECT FROM hs.technician_absence AS x
                          WHERE x.business_id = tenant AND x.technician_id = t.technician_id
                            AND x.status = 'approved' AND x.is_dispatch_blocking
                            AND x.starts_at < visit.ends_at AND x.ends_at > visit.starts_at)
          AND NOT EXISTS (SELECT FROM hs.appointment_assignment AS g
                          WHERE g.business_id = tenant AND g.technician_id = t.technician_id
                            AND g.status NOT IN ('done', 'removed')
                            AND g.appointment_id <> of_appointment
                            AND g.planned_start_at < visit.ends_at
                            AND g.planned_end_at > visit.starts_at)
          AND NOT EXISTS (SELECT FROM hs.technician_certification AS c
                          JOIN hs.certification_type AS k
                              ON k.business_id = c.business_id
                             AND k.certification_type_id = c.certification_type_id
                          WHERE c.business_id = tenant AND c.technician_id = t.technician_id
                            AND k.is_mandatory_for_dispatch
                          GROUP BY c.certification_type_id
                          HAVING NOT bool_or(c.status IN ('valid', 'expiring')
                                             AND (c.expires_on IS NULL
                                                  OR c.expires_on > visit.visit_on)))
        GROUP BY t.technician_id, t.home_latitude, t.home_longitude, t.average_rating_score
        HAVING NOT coalesce(bool_or(need.is_mandatory AND has.level_no IS NULL), false)
    ), placed AS (
        -- From where the technician comes: the stop before, else home.
        SELECT s.technician_id, s.gaps, s.level_no, s.average_rating_score,
               coalesce(stop.latitude, s.home_latitude) AS latitude,
               CASE WHEN stop.latitude IS NULL THEN s.home_longitude
                    ELSE stop.longitude END AS longitude,
               hs.free_minutes(s.technician_id, visit.visit_on)
                   - coalesce(day.busy_minutes, 0) AS free_minutes
        FROM skilled AS s
        LEFT JOIN LATERAL (
            SELECT l.latitude, l.longitude
            FROM hs.appointment_assignment AS g
            JOIN hs.appointment AS a
                ON a.business_id = g.business_id AND a.appointment_id = g.appointment_id
            JOIN hs.work_order AS w
                ON w.business_id = a.business_id AND w.work_order_id = a.work_order_id
            JOIN hs.service_location AS l
                ON l.business_id = w.business_id AND l.service_location_id = w.service_location_id
            WHERE g.business_id = tenant AND g.technician_id = s.technician_id
              AND g.status <> 'removed' AND g.appointment_id <> of_appointment
              AND g.planned_start_at < visit.starts_at
              AND g.planned_start_at > visit.starts_at - interval '12 hours'
            ORDER BY g.planned_start_at DESC
            LIMIT 1
        ) AS stop ON true
        LEFT JOIN LATERAL (
            SELECT sum(extract(epoch FROM g.planned_end_at - g.planned_start_at) / 60)::integer
                       AS busy_minutes
            FROM hs.appointment_assignment AS g
            WHERE g.business_id = tenant AND g.technician_id = s.technician_id
              AND g.status <> 'removed' AND g.appointment_id <> of_appointment
              AND g.planned_start_at >= visit.visit_on::timestamp AT TIME ZONE 'UTC'
              AND g.planned_start_at < (visit.visit_on + 1)::timestamp AT TIME ZONE 'UTC'
        ) AS day ON true
    ), driven AS (
        SELECT p.technician_id, p.gaps, p.level_no, p.average_rating_score, p.free_minutes,
               coalesce(hs.drive_minutes(p.latitude, p.longitude, visit.latitude, visit.longitude,
                                         visit.starts_at, visit.time_zone), 30) AS drive_minutes
        FROM placed AS p
    )
    SELECT d.technician_id, d.gaps::integer, d.drive_minutes, d.free_minutes,
           least(100, greatest(0, 60 - d.drive_minutes * 0.5 + coalesce(d.level_no, 2) * 4
                                  + coalesce(d.average_rating_score, 4) * 4
                                  - d.gaps * 10))::system_core.score AS suitability
    FROM driven AS d
    ORDER BY suitability DESC, d.drive_minutes, d.technician_id;
END
$$;
COMMENT ON FUNCTION hs.eligible_technicians(uuid) IS
    'Who of the tenant can make a visit, the best first. Skills, certificates, zone, shift,
     absence and other visits decide who can; the drive from the stop before (or home), the level
     of skill and the customers'' ratings decide who is best. skill_gap_count counts preferred
     skills that are missing.';


CREATE FUNCTION hs.capacity_differences() RETURNS TABLE (
    capacity_plan_id uuid,
    booked_minutes   integer,
    booked_found     integer,
    held_minutes     integer,
    held_found       integer
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT p.capacity_plan_id, p.booked_minutes, sold.booked, p.held_minutes, sold.held
    FROM hs.capacity_plan AS p
    CROSS JOIN LATERAL (
        SELECT (SELECT coalesce(sum(a.estimated_minutes), 0)::integer
                FROM hs.appointment AS a
                WHERE a.business_id = p.business_id AND a.capacity_plan_id = p.capacity_plan_id
                  AND a.status <> 'cancelled') AS booked,
               (SELECT coalesce(sum(h.held_minutes), 0)::integer
                FROM hs.booking_hold AS h
                WHERE h.business_id = p.business_id AND h.capacity_plan_id = p.capacity_plan_id
                  AND h.status = 'active') AS held
    ) AS sold
    WHERE p.business_id = tenant_mgmt.current_business_id()
      AND (p.booked_minutes, p.held_minutes) <> (sold.booked, sold.held);
END;
COMMENT ON FUNCTION hs.capacity_differences() IS
    'Plans of the tenant whose minutes do not agree with their appointments and holds: none.';


CREATE VIEW hs.v_dispatch_board WITH (security_invoker = true) AS
SELECT a.business_id, a.appointment_id, a.appointment_number, b.branch_id, a.service_territory_id,
       a.work_order_id, w.work_order_number, w.summary, w.priority,
       c.display_name AS customer_name, l.address_line, l.city, l.latitude, l.longitude,
       (a.window_start_at AT TIME ZONE b.time_zone)::date AS board_on,
       a.window_start_at, a.window_end_at, a.scheduled_start_at, a.scheduled_end_at,
       a.estimated_minutes, a.status AS appointment_status, a.confirmation_status,
       g.appointment_assignment_id, g.technician_id, t.full_name AS technician_name,
       g.assignment_role, g.status AS assignment_status,
       CASE WHEN a.status IN ('done', 'missed', 'cancelled', 'tentative') THEN NULL
            ELSE greatest(0, extract(epoch FROM
                coalesce(g.arrived_at, a.actual_start_at, now()) - a.window_end_at)::integer / 60)
       END AS late_minutes,
       g.technician_id IS NULL AND a.status IN ('scheduled', 'confirmed') AS is_unassigned,
       warning.skills AS missing_skills
FROM hs.appointment AS a
JOIN hs.work_order AS w ON w.business_id = a.business_id AND w.work_order_id = a.work_order_id
JOIN hs.customer AS c ON c.business_id = w.business_id AND c.customer_id = w.customer_id
JOIN hs.service_location AS l
    ON l.business_id = w.business_id AND l.service_location_id = w.service_location_id
JOIN hs.service_territory AS z
    ON z.business_id = a.business_id AND z.service_territory_id = a.service_territory_id
JOIN hs.branch AS b ON b.business_id = z.business_id AND b.branch_id = z.branch_id
LEFT JOIN hs.appointment_assignment AS g
    ON g.business_id = a.business_id AND g.appointment_id = a.appointment_id
   AND g.status <> 'removed'
LEFT JOIN hs.technician AS t
    ON t.business_id = a.business_id AND t.technician_id = g.technician_id
LEFT JOIN LATERAL (
    SELECT array_agg(s.skill_code::text ORDER BY s.skill_code) AS skills
    FROM hs.job_type_skill AS need
    JOIN hs.skill AS s ON s.business_id = need.business_id AND s.skill_id = need.skill_id
    WHERE need.business_id = a.business_id AND need.job_type_id = w.job_type_id
      AND need.requirement = 'mandatory'
      AND NOT EXISTS (SELECT FROM hs.technician_skill AS has
                      WHERE has.business_id = g.business_id
                        AND has.technician_id = g.technician_id AND has.skill_id = need.skill_id
                        AND has.level_no >= need.minimum_level_no)
) AS warning ON g.assignment_role = 'lead'
WHERE a.window_start_at >= now() - interval '2 days'
  AND a.window_start_at < now() + interval '3 days'
  AND (a.window_start_at AT TIME ZONE b.time_zone)::date
      BETWEEN (now() AT TIME ZONE b.time_zone)::date AND (now() AT TIME ZONE b.time_zone)::date + 1
  AND a.status <> 'cancelled';
COMMENT ON VIEW hs.v_dispatch_board IS
    'Today''s and tomorrow''s visits of each branch, a row for each technician on them (one without
     where nobody is), with how late they are and which mandatory skills the lead lacks.';
GRANT SELECT ON hs.v_dispatch_board TO app_user, app_readonly;
