/*
 * Appointments: what a shop has promised to take in, and the cars that it lends meanwhile.
 *
 * A shop sells hours, not slots. The technicians' published shifts give a day its productive hours;
 * appointments take planned hours of them, the sum of what the customer asked for. So many may be
 * booked as the shop's overbooking limit allows (day_capacity), however many customers book at
 * once: whoever adds hours to a day holds an advisory lock of the shop and day until commit. Online
 * booking goes through book_appointment(). Whoever comes, arrives and turns into a repair order;
 * who does not is a no_show. A loaner_agreement hands a courtesy car to a customer, one at a time.
 *
 * Whoever locks more than one day does so in this order: shop by key, then day.
 */

CREATE TABLE auto.appointment (
    business_id           uuid                    NOT NULL,
    appointment_id        uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    advisor_technician_id uuid,
    planned_bay_id        uuid,
    shop_id               uuid                    NOT NULL,
    customer_id           uuid                    NOT NULL,
    vehicle_id            uuid,
    customer_contact_id   uuid,
    fleet_account_id      uuid,
    appointment_number    text                    NOT NULL,
    channel               text                    NOT NULL DEFAULT 'phone',
    booking_ref           text,
    starts_at             timestamptz             NOT NULL,
    ends_at               timestamptz             NOT NULL,
    drop_off_kind         text                    NOT NULL DEFAULT 'drop_off',
    requested_services    system_core.json_object NOT NULL DEFAULT '{}',
    planned_hours         numeric(10, 2)          NOT NULL,
    concern_text          text,
    needs_loaner          boolean                 NOT NULL DEFAULT false,
    status                text                    NOT NULL DEFAULT 'requested',
    confirmed_at          timestamptz,
    arrived_at            timestamptz,
    cancelled_reason      text,
    hold_expires_at       timestamptz,
    ready_promise_at      timestamptz,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, appointment_id),
    UNIQUE (business_id, appointment_number),
    FOREIGN KEY (business_id, advisor_technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, planned_bay_id) REFERENCES auto.bay (business_id, bay_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES auto.customer (business_id, customer_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, customer_contact_id)
        REFERENCES auto.customer_contact (business_id, customer_contact_id),
    FOREIGN KEY (business_id, fleet_account_id)
        REFERENCES auto.fleet_account (business_id, fleet_account_id),
    CONSTRAINT appointment_channel_known
        CHECK (channel IN ('phone', 'web', 'text', 'walk_in', 'fleet_portal', 'tow')),
    CONSTRAINT appointment_drop_off_kind_known
        CHECK (drop_off_kind IN ('wait', 'drop_off', 'night_drop', 'tow_in', 'pickup_delivery',
                                 'mobile')),
    CONSTRAINT appointment_status_known
        CHECK (status IN ('requested', 'confirmed', 'arrived', 'in_service', 'completed',
                          'no_show', 'cancelled', 'rescheduled')),
    CONSTRAINT appointment_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT appointment_hours_bounded CHECK (planned_hours BETWEEN 0 AND 200),
    CONSTRAINT appointment_confirmed_has_time
        CHECK (status <> 'confirmed' OR confirmed_at IS NOT NULL),
    CONSTRAINT appointment_came_has_arrival
        CHECK (status NOT IN ('arrived', 'in_service', 'completed') OR arrived_at IS NOT NULL),
    CONSTRAINT appointment_missed_never_arrived
        CHECK (status NOT IN ('no_show', 'rescheduled') OR arrived_at IS NULL),
    CONSTRAINT appointment_cancelled_has_reason
        CHECK (status <> 'cancelled' OR coalesce(cancelled_reason, '') ~ '\S'),
    CONSTRAINT appointment_promised_after_start CHECK (ready_promise_at > starts_at)
);

COMMENT ON TABLE auto.appointment IS
    'Booked visit with requested services, drop-off mode and capacity consumed.';
COMMENT ON COLUMN auto.appointment.booking_ref IS
    'The visit of the booking page that made it; it confirms one appointment at a time.';
COMMENT ON COLUMN auto.appointment.ends_at IS
    'When the slot at the counter or in the bay is free again, not when the vehicle is ready.';
COMMENT ON COLUMN auto.appointment.requested_services IS
    '{"services": [{"code", "label", "hours", "answers": {}}]}, as chosen in online booking.';
COMMENT ON COLUMN auto.appointment.planned_hours IS
    'Labor that it takes of the day; the sum of the requested services where it is not given.';
COMMENT ON COLUMN auto.appointment.hold_expires_at IS
    'A request that is not confirmed by then takes no more hours; NULL: an advisor decides.';
COMMENT ON COLUMN auto.appointment.status IS 'rescheduled: another appointment replaced it.';

-- day_capacity and the diary of a shop: what was booked for a day. The planned hours are in it, so
-- that the sum is read from the index alone.
CREATE INDEX appointment_diary_idx
    ON auto.appointment (business_id, shop_id, starts_at)
    INCLUDE (planned_hours, status, hold_expires_at);

-- book_appointment: a booking page's visit confirms one appointment.
CREATE UNIQUE INDEX appointment_booking_ref_idx
    ON auto.appointment (business_id, booking_ref)
    WHERE status IN ('requested', 'confirmed');

-- FK: the diary of an advisor.
CREATE INDEX appointment_advisor_technician_idx
    ON auto.appointment (business_id, advisor_technician_id)
    WHERE advisor_technician_id IS NOT NULL;

-- FK: what is planned for a bay.
CREATE INDEX appointment_planned_bay_idx
    ON auto.appointment (business_id, planned_bay_id)
    WHERE planned_bay_id IS NOT NULL;

-- FK: the appointments of a customer, the latest first.
CREATE INDEX appointment_customer_idx
    ON auto.appointment (business_id, customer_id, starts_at DESC);

-- FK: the appointments of a vehicle.
CREATE INDEX appointment_vehicle_idx
    ON auto.appointment (business_id, vehicle_id)
    WHERE vehicle_id IS NOT NULL;

-- FK: the appointments of a customer contact.
CREATE INDEX appointment_customer_contact_idx
    ON auto.appointment (business_id, customer_contact_id)
    WHERE customer_contact_id IS NOT NULL;

-- FK: the appointments of a fleet account.
CREATE INDEX appointment_fleet_account_idx
    ON auto.appointment (business_id, fleet_account_id)
    WHERE fleet_account_id IS NOT NULL;

ALTER TABLE auto.appointment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.appointment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.appointment TO app_user;
GRANT SELECT ON auto.appointment TO app_readonly;

CREATE TRIGGER appointment_touch
    BEFORE UPDATE ON auto.appointment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER appointment_numbered
    BEFORE INSERT ON auto.appointment
    FOR EACH ROW WHEN (NEW.appointment_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'appointment_number', 'appointment', 'AP-', 'appointment_id');

CREATE TRIGGER appointment_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.appointment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["requested", "confirmed", "arrived"],
        "transitions": {
            "requested":   ["confirmed", "arrived", "no_show", "cancelled", "rescheduled"],
            "confirmed":   ["arrived", "no_show", "cancelled", "rescheduled"],
            "arrived":     ["in_service", "cancelled"],
            "in_service":  ["completed"],
            "completed":   [],
            "no_show":     ["rescheduled"],
            "cancelled":   [],
            "rescheduled": []
        }}');

CREATE FUNCTION auto.requested_hours(services system_core.json_object) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce(sum(s.hours), 0)
        FROM JSON_TABLE(
            services, '$.services[*]' COLUMNS (hours numeric(10, 2) PATH '$.hours')) AS s);
END
$$;
COMMENT ON FUNCTION auto.requested_hours(system_core.json_object) IS
    'The estimated hours of the services that were chosen in online booking.';

CREATE FUNCTION auto.stamp_appointment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.planned_hours := coalesce(NEW.planned_hours, auto.requested_hours(NEW.requested_services));
    IF NEW.status = 'confirmed' THEN
        NEW.confirmed_at := coalesce(NEW.confirmed_at, now());
    ELSIF NEW.status = 'arrived' THEN
        NEW.arrived_at := coalesce(NEW.arrived_at, now());
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.stamp_appointment() IS
    'Sums the planned hours where nobody gave them; tells when it was confirmed or arrived.';

CREATE TRIGGER appointment_stamped
    BEFORE INSERT OR UPDATE OF status, planned_hours ON auto.appointment
    FOR EACH ROW EXECUTE FUNCTION auto.stamp_appointment();

CREATE FUNCTION auto.takes_hours(status text, hold_expires_at timestamptz) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN status IN ('confirmed', 'arrived', 'in_service', 'completed')
        OR status = 'requested' AND coalesce(hold_expires_at > now(), true);
COMMENT ON FUNCTION auto.takes_hours(text, timestamptz) IS
    'Whether an appointment takes hours of its day: not when it fell through or its hold ran out.';

CREATE FUNCTION auto.shop_day(of_shop uuid, moment timestamptz) RETURNS date
    LANGUAGE sql STABLE
    RETURN (
        SELECT (moment AT TIME ZONE s.timezone)::date
        FROM auto.shop AS s
        WHERE s.business_id = tenant_mgmt.current_business_id() AND s.shop_id = of_shop);
COMMENT ON FUNCTION auto.shop_day(uuid, timestamptz) IS
    'The day that a moment is on at a shop of the calling tenant.';

CREATE FUNCTION auto.day_capacity(of_shop uuid, on_day date)
    RETURNS TABLE (published_hours numeric, limit_hours numeric, booked_hours numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT crew.hours, round(crew.hours * s.overbooking_limit_pct / 100, 2), booked.hours
    FROM auto.shop AS s
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(f.productive_hours), 0) AS hours
        FROM auto.technician_shift AS f
        WHERE f.business_id = s.business_id AND f.shop_id = s.shop_id AND f.shift_on = on_day
          AND f.status IN ('published', 'worked')) AS crew
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(a.planned_hours), 0) AS hours
        FROM auto.appointment AS a
        WHERE a.business_id = s.business_id AND a.shop_id = s.shop_id
          AND a.starts_at >= on_day::timestamp AT TIME ZONE s.timezone
          AND a.starts_at < (on_day + 1)::timestamp AT TIME ZONE s.timezone
          AND auto.takes_hours(a.status, a.hold_expires_at)) AS booked
    WHERE s.business_id = tenant_mgmt.current_business_id() AND s.shop_id = of_shop;
END;
COMMENT ON FUNCTION auto.day_capacity(uuid, date) IS
    'Of a day of a shop of the calling tenant: the productive hours of published shifts, how many
     of them may be booked, and how many are.';

CREATE FUNCTION auto.lock_shop_day(of_shop uuid, on_day date) RETURNS void
    LANGUAGE sql
    RETURN pg_advisory_xact_lock(hashtextextended(
        format('auto.appointment %s %s %s', tenant_mgmt.current_business_id(), of_shop, on_day),
        0));
COMMENT ON FUNCTION auto.lock_shop_day(uuid, date) IS
    'Holds a day of a shop until commit: whoever adds hours to it waits for the others.';

CREATE FUNCTION auto.require_free_hours(shops uuid[], days date[]) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    day   record;
    hours record;
BEGIN
    FOR day IN
        SELECT DISTINCT d.shop_id, d.on_day
        FROM unnest(shops, days) AS d (shop_id, on_day)
        ORDER BY d.shop_id, d.on_day
    LOOP
        PERFORM auto.lock_shop_day(day.shop_id, day.on_day);
        SELECT * INTO hours FROM auto.day_capacity(day.shop_id, day.on_day);
        IF hours.booked_hours > hours.limit_hours THEN
            RAISE EXCEPTION '% has % of % hours booked', day.on_day, hours.booked_hours,
                hours.limit_hours
                USING ERRCODE = 'check_violation',
                      HINT = 'Take another day, publish more shifts or raise the shop''s limit.';
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION auto.require_free_hours(uuid[], date[]) IS
    'Refuses what has overfilled a day of a shop of the calling tenant. Each day is locked before it
     is counted, in order of key and day; counted in READ COMMITTED, so that what others committed
     while this one waited is seen.';

CREATE FUNCTION auto.limit_booked_hours() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active('auto.appointment') THEN
        PERFORM auto.require_free_hours(
            array_agg(n.shop_id), array_agg(auto.shop_day(n.shop_id, n.starts_at)))
        FROM changed AS n
        WHERE n.planned_hours > 0 AND auto.takes_hours(n.status, n.hold_expires_at)
        HAVING count(*) > 0;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.limit_booked_hours() IS
    'Days that appointments are added to stay within their limit. History is imported as it was.';

CREATE FUNCTION auto.limit_moved_hours() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active('auto.appointment') THEN
        PERFORM auto.require_free_hours(
            array_agg(n.shop_id), array_agg(auto.shop_day(n.shop_id, n.starts_at)))
        FROM changed AS n
        JOIN previous AS o
            ON o.business_id = n.business_id AND o.appointment_id = n.appointment_id
        WHERE n.planned_hours > 0 AND auto.takes_hours(n.status, n.hold_expires_at)
          AND (n.planned_hours > o.planned_hours
               OR NOT auto.takes_hours(o.status, o.hold_expires_at)
               OR n.shop_id <> o.shop_id
               OR auto.shop_day(n.shop_id, n.starts_at) <> auto.shop_day(o.shop_id, o.starts_at))
        HAVING count(*) > 0;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.limit_moved_hours() IS
    'Days that appointments are moved to, or take more hours of, stay within their limit; one that
     only goes on is not asked, even if somebody called in sick meanwhile.';

CREATE TRIGGER appointment_hours_limited_insert
    AFTER INSERT ON auto.appointment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.limit_booked_hours();

CREATE TRIGGER appointment_hours_limited_update
    AFTER UPDATE ON auto.appointment
    REFERENCING OLD TABLE AS previous NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.limit_moved_hours();

CREATE FUNCTION auto.shop_opens(of_shop uuid, moment timestamptz) RETURNS boolean
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN EXISTS (
        SELECT
        FROM auto.shop AS s
        CROSS JOIN LATERAL (SELECT moment AT TIME ZONE s.timezone AS at) AS here
        CROSS JOIN LATERAL (
            SELECT coalesce(
                       (SELECT e.value
                        FROM jsonb_array_elements(s.weekly_hours -> 'exceptions') AS e
                        WHERE e.value ->> 'on' = here.at::date::text
                        LIMIT 1),
                       s.weekly_hours -> to_char(here.at, 'dy')) AS hours) AS of_day
        WHERE s.business_id = tenant_mgmt.current_business_id() AND s.shop_id = of_shop
          AND here.at::time >= (of_day.hours ->> 'opens')::time
          AND here.at::time < (of_day.hours ->> 'closes')::time);
END
$$;
COMMENT ON FUNCTION auto.shop_opens(uuid, timestamptz) IS
    'Whether a shop of the calling tenant is open at a moment; a dated exception of its weekly
     hours comes before the weekday.';

CREATE FUNCTION auto.book_appointment(
    at_shop      uuid,
    for_customer uuid,
    for_vehicle  uuid,
    slot_at      timestamptz,
    services     system_core.json_object,
    session_ref  text,
    drop_off     text DEFAULT 'drop_off'
) RETURNS auto.appointment
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid    := tenant_mgmt.current_business_id();
    hours  CONSTANT numeric := auto.requested_hours(services);
    booked auto.appointment;
BEGIN
    IF slot_at <= now() THEN
        RAISE EXCEPTION 'a slot at % is over', slot_at
            USING ERRCODE = 'check_violation', HINT = 'Offer a later one.';
    END IF;
    IF NOT auto.shop_opens(at_shop, slot_at) THEN
        RAISE EXCEPTION 'the shop is closed at %', slot_at
            USING ERRCODE = 'check_violation',
                  HINT = 'Offer a slot within its weekly hours and exceptions.';
    END IF;
    IF EXISTS (SELECT FROM auto.customer AS c
               WHERE c.business_id = tenant AND c.customer_id = for_customer
                 AND c.status IN ('do_not_service', 'archived'))
    THEN
        RAISE EXCEPTION 'this customer cannot book online'
            USING ERRCODE = 'check_violation', HINT = 'Ask to call the shop.';
    END IF;

    PERFORM pg_advisory_xact_lock(hashtextextended(
        format('auto.booking_ref %s %s', tenant, session_ref), 0));
    SELECT a.* INTO booked
    FROM auto.appointment AS a
    WHERE a.business_id = tenant AND a.booking_ref = session_ref
      AND a.status IN ('requested', 'confirmed')
    FOR UPDATE;
    IF FOUND THEN
        UPDATE auto.appointment AS a
        SET shop_id = at_shop, customer_id = for_customer, vehicle_id = for_vehicle,
            starts_at = slot_at,
            ends_at = slot_at + greatest(hours, 0.5) * interval '1 hour',
            drop_off_kind = drop_off, requested_services = services, planned_hours = hours,
            planned_bay_id = CASE WHEN a.shop_id = at_shop THEN a.planned_bay_id END,
            status = 'confirmed', ready_promise_at = NULL
        WHERE a.business_id = tenant AND a.appointment_id = booked.appointment_id
        RETURNING a.* INTO booked;
    ELSE
        INSERT INTO auto.appointment (
            business_id, shop_id, customer_id, vehicle_id, channel, booking_ref, starts_at,
            ends_at, drop_off_kind, requested_services, planned_hours, status)
        VALUES (
            tenant, at_shop, for_customer, for_vehicle, 'web', session_ref, slot_at,
            slot_at + greatest(hours, 0.5) * interval '1 hour', drop_off, services, hours,
            'confirmed')
        RETURNING * INTO booked;
    END IF;
    RETURN booked;
END
$$;
COMMENT ON FUNCTION
    auto.book_appointment(uuid, uuid, uuid, timestamptz, system_core.json_object, text, text) IS
    'Confirms a slot online for the calling tenant: open, in time, and within the hours of the day
     however many book at once. A visit of the booking page holds one appointment: tapping again
     returns it, tapping another slot moves it.';


CREATE TABLE auto.loaner_agreement (
    business_id          uuid                   NOT NULL,
    loaner_agreement_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    loaner_vehicle_id    uuid                   NOT NULL,
    signature_file_id    uuid,
    customer_id          uuid                   NOT NULL,
    repair_order_id      uuid,
    appointment_id       uuid,
    agreement_number     text                   NOT NULL,
    out_at               timestamptz            NOT NULL,
    due_at               timestamptz            NOT NULL,
    returned_at          timestamptz,
    odometer_out         integer,
    odometer_in_reading  integer,
    fuel_out_pct         system_core.percentage,
    fuel_returned_pct    system_core.percentage,
    insurance_policy_ref text,
    license_verified     boolean                NOT NULL DEFAULT false,
    damage_notes         text,
    daily_charge_amount  system_core.money      NOT NULL DEFAULT 0,
    payer                text                   NOT NULL DEFAULT 'shop',
    toll_fine_amount     system_core.money      NOT NULL DEFAULT 0,
    status               text                   NOT NULL DEFAULT 'reserved',
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, loaner_agreement_id),
    UNIQUE (business_id, agreement_number),
    FOREIGN KEY (business_id, loaner_vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, signature_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES auto.customer (business_id, customer_id),
    FOREIGN KEY (business_id, appointment_id)
        REFERENCES auto.appointment (business_id, appointment_id),
    CONSTRAINT loaner_agreement_payer_known
        CHECK (payer IN ('shop', 'warranty', 'insurer', 'customer')),
    CONSTRAINT loaner_agreement_status_known
        CHECK (status IN ('reserved', 'out', 'returned', 'overdue', 'cancelled')),
    CONSTRAINT loaner_agreement_due_after_out CHECK (due_at > out_at),
    CONSTRAINT loaner_agreement_back_after_out CHECK (returned_at >= out_at),
    CONSTRAINT loaner_agreement_returned_has_time
        CHECK ((status = 'returned') = (returned_at IS NOT NULL)),
    CONSTRAINT loaner_agreement_out_has_odometer
        CHECK (status IN ('reserved', 'cancelled') OR odometer_out IS NOT NULL),
    CONSTRAINT loaner_agreement_returned_has_odometer
        CHECK (status <> 'returned' OR odometer_in_reading IS NOT NULL),
    CONSTRAINT loaner_agreement_odometer_rises CHECK (odometer_in_reading >= odometer_out),
    CONSTRAINT loaner_agreement_license_before_keys
        CHECK (status IN ('reserved', 'cancelled') OR license_verified),
    CONSTRAINT loaner_agreement_fuel_bounded
        CHECK (fuel_out_pct BETWEEN 0 AND 100 AND fuel_returned_pct BETWEEN 0 AND 100),
    CONSTRAINT loaner_agreement_amounts_not_negative
        CHECK (daily_charge_amount >= 0 AND toll_fine_amount >= 0),
    CONSTRAINT loaner_agreement_one_driver_at_a_time EXCLUDE USING gist (
        business_id WITH =, loaner_vehicle_id WITH =,
        tstzrange(out_at, CASE WHEN status = 'overdue' THEN 'infinity'
                               ELSE coalesce(returned_at, due_at) END) WITH &&)
        WHERE (status <> 'cancelled')
);

COMMENT ON TABLE auto.loaner_agreement IS
    'Loaner or courtesy car handed to a customer during the repair.';
COMMENT ON COLUMN auto.loaner_agreement.out_at IS 'While it is reserved: when it will go out.';
COMMENT ON COLUMN auto.loaner_agreement.odometer_in_reading IS 'When it came back.';
COMMENT ON COLUMN auto.loaner_agreement.license_verified IS
    'The driver''s license was seen; without it no key is handed over.';
COMMENT ON COLUMN auto.loaner_agreement.status IS
    'overdue: not back by due_at; the car is taken until it is.';

-- FK: who had a loaner, the latest first.
CREATE INDEX loaner_agreement_vehicle_idx
    ON auto.loaner_agreement (business_id, loaner_vehicle_id, out_at DESC);

-- The counter: which loaners are to come back, the most urgent first.
CREATE INDEX loaner_agreement_due_idx
    ON auto.loaner_agreement (business_id, due_at)
    WHERE status IN ('out', 'overdue');

-- FK: the agreements that a file signs.
CREATE INDEX loaner_agreement_signature_file_idx
    ON auto.loaner_agreement (business_id, signature_file_id)
    WHERE signature_file_id IS NOT NULL;

-- FK: the loaner agreements of a customer.
CREATE INDEX loaner_agreement_customer_idx ON auto.loaner_agreement (business_id, customer_id);

-- FK: the loaner of a repair order.
CREATE INDEX loaner_agreement_repair_order_idx
    ON auto.loaner_agreement (business_id, repair_order_id)
    WHERE repair_order_id IS NOT NULL;

-- FK: the loaner of an appointment.
CREATE INDEX loaner_agreement_appointment_idx
    ON auto.loaner_agreement (business_id, appointment_id)
    WHERE appointment_id IS NOT NULL;

ALTER TABLE auto.loaner_agreement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.loaner_agreement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.loaner_agreement TO app_user;
GRANT SELECT ON auto.loaner_agreement TO app_readonly;

CREATE TRIGGER loaner_agreement_touch
    BEFORE UPDATE ON auto.loaner_agreement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER loaner_agreement_numbered
    BEFORE INSERT ON auto.loaner_agreement
    FOR EACH ROW WHEN (NEW.agreement_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'agreement_number', 'loaner_agreement', 'LN-', 'loaner_agreement_id');

CREATE TRIGGER loaner_agreement_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.loaner_agreement
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["reserved", "out"],
        "transitions": {
            "reserved":  ["out", "cancelled"],
            "out":       ["returned", "overdue"],
            "overdue":   ["returned"],
            "returned":  [],
            "cancelled": []
        }}');
