/*
 * Reminders: what a vehicle needs next, and what came of telling its customer.
 *
 * A service_reminder says that a vehicle is due by a date, an odometer reading or both, for
 * maintenance, for work that was declined, an inspection, a recall, a change of tires or a fleet's
 * preventive maintenance. When a due odometer will be reached is predicted from the miles that the
 * vehicle drives a day (predict_due_on). A reminder is sent up to six times until the customer
 * books; what the visit brought is attributed to it. A vehicle has one open reminder of a kind and
 * cause.
 *
 * The file also ties orders to the standing of the fleet that they are charged to.
 */

CREATE TABLE auto.service_reminder (
    business_id               uuid                 NOT NULL,
    service_reminder_id       uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    booked_appointment_id     uuid,
    vehicle_id                uuid                 NOT NULL,
    customer_id               uuid                 NOT NULL,
    fleet_account_id          uuid,
    maintenance_interval_id   uuid,
    service_recommendation_id uuid,
    reminder_kind             text                 NOT NULL,
    due_on                    date,
    due_odometer              integer,
    predicted_due_on          date,
    daily_distance_avg        system_core.quantity,
    send_count                integer              NOT NULL DEFAULT 0,
    last_sent_at              timestamptz,
    last_channel              text,
    status                    text                 NOT NULL DEFAULT 'pending',
    attributed_revenue_amount system_core.money    NOT NULL DEFAULT 0,
    created_at                timestamptz          NOT NULL DEFAULT now(),
    updated_at                timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, service_reminder_id),
    FOREIGN KEY (business_id, booked_appointment_id)
        REFERENCES auto.appointment (business_id, appointment_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES auto.customer (business_id, customer_id),
    FOREIGN KEY (business_id, fleet_account_id)
        REFERENCES auto.fleet_account (business_id, fleet_account_id),
    FOREIGN KEY (business_id, maintenance_interval_id)
        REFERENCES auto.maintenance_interval (business_id, maintenance_interval_id),
    FOREIGN KEY (business_id, service_recommendation_id)
        REFERENCES auto.service_recommendation (business_id, service_recommendation_id),
    CONSTRAINT service_reminder_kind_known
        CHECK (reminder_kind IN ('maintenance', 'declined_work', 'state_inspection', 'recall',
                                 'tire_changeover', 'fleet_pm', 'warranty_expiry', 'dot_annual')),
    CONSTRAINT service_reminder_channel_known
        CHECK (last_channel IN ('sms', 'email', 'postal', 'phone')),
    CONSTRAINT service_reminder_status_known
        CHECK (status IN ('pending', 'sent', 'booked', 'done', 'lapsed', 'suppressed')),
    CONSTRAINT service_reminder_is_due CHECK (num_nonnulls(due_on, due_odometer) >= 1),
    CONSTRAINT service_reminder_distances_positive
        CHECK (due_odometer > 0 AND daily_distance_avg >= 0),
    CONSTRAINT service_reminder_booked_has_appointment
        CHECK (status <> 'booked' OR booked_appointment_id IS NOT NULL),
    CONSTRAINT service_reminder_sends_bounded CHECK (send_count BETWEEN 0 AND 6),
    CONSTRAINT service_reminder_sent_is_whole
        CHECK ((send_count > 0) = (last_sent_at IS NOT NULL)
               AND (send_count > 0) = (last_channel IS NOT NULL)),
    CONSTRAINT service_reminder_sent_was_sent CHECK (status <> 'sent' OR send_count > 0),
    CONSTRAINT service_reminder_pm_is_of_a_fleet
        CHECK (reminder_kind <> 'fleet_pm' OR fleet_account_id IS NOT NULL),
    CONSTRAINT service_reminder_declined_names_work
        CHECK (service_recommendation_id IS NULL OR reminder_kind = 'declined_work'),
    CONSTRAINT service_reminder_revenue_only_when_done
        CHECK (attributed_revenue_amount = 0
               OR status = 'done' AND attributed_revenue_amount > 0)
);

COMMENT ON TABLE auto.service_reminder IS
    'Next due service of a vehicle by date or odometer, retail or fleet preventive maintenance,
     with what came of it.';

COMMENT ON COLUMN auto.service_reminder.predicted_due_on IS
    'The day on which it is due, of both measures the first; see predict_due_on().';
COMMENT ON COLUMN auto.service_reminder.daily_distance_avg IS
    'What the vehicle drives a day, in the unit of its odometer.';
COMMENT ON COLUMN auto.service_reminder.status IS
    'suppressed: not to be sent, by wish or for lack of consent; lapsed: nobody came.';
COMMENT ON COLUMN auto.service_reminder.attributed_revenue_amount IS
    'Of the visit that it led to.';

-- A vehicle is reminded once of the same thing.
CREATE UNIQUE INDEX service_reminder_open_idx
    ON auto.service_reminder (business_id, vehicle_id, reminder_kind, maintenance_interval_id,
                              service_recommendation_id) NULLS NOT DISTINCT
    WHERE status IN ('pending', 'sent', 'booked');

-- The nightly run: what is due soon and was not booked.
CREATE INDEX service_reminder_to_send_idx
    ON auto.service_reminder (business_id, predicted_due_on)
    WHERE status IN ('pending', 'sent');

-- FK: the reminder that led to an appointment.
CREATE INDEX service_reminder_booked_appointment_idx
    ON auto.service_reminder (business_id, booked_appointment_id)
    WHERE booked_appointment_id IS NOT NULL;

-- FK: the reminders of a vehicle.
CREATE INDEX service_reminder_vehicle_idx ON auto.service_reminder (business_id, vehicle_id);

-- FK: the reminders of a customer.
CREATE INDEX service_reminder_customer_idx ON auto.service_reminder (business_id, customer_id);

-- FK: the reminders of a fleet account.
CREATE INDEX service_reminder_fleet_account_idx
    ON auto.service_reminder (business_id, fleet_account_id)
    WHERE fleet_account_id IS NOT NULL;

-- FK: the reminders of a maintenance interval.
CREATE INDEX service_reminder_maintenance_interval_idx
    ON auto.service_reminder (business_id, maintenance_interval_id)
    WHERE maintenance_interval_id IS NOT NULL;

-- FK: the reminders of a service recommendation.
CREATE INDEX service_reminder_service_recommendation_idx
    ON auto.service_reminder (business_id, service_recommendation_id)
    WHERE service_recommendation_id IS NOT NULL;

ALTER TABLE auto.service_reminder ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.service_reminder
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.service_reminder TO app_user;
GRANT SELECT ON auto.service_reminder TO app_readonly;

CREATE TRIGGER service_reminder_touch
    BEFORE UPDATE ON auto.service_reminder
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER service_reminder_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.service_reminder
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending", "booked", "suppressed"],
        "transitions": {
            "pending":    ["sent", "booked", "done", "lapsed", "suppressed"],
            "sent":       ["booked", "done", "lapsed", "suppressed"],
            "booked":     ["sent", "pending", "done", "lapsed"],
            "done":       [],
            "lapsed":     ["booked", "done"],
            "suppressed": ["pending", "done"]
        }}');

CREATE FUNCTION auto.predict_due_on(
    due_on date, due_odometer integer, odometer integer, daily_distance numeric, from_day date
) RETURNS date
    LANGUAGE sql IMMUTABLE
    RETURN least(
        due_on,
        CASE WHEN due_odometer <= odometer THEN from_day
             WHEN daily_distance > 0 THEN from_day + least(
                 ceil((due_odometer - odometer) / daily_distance), 3650)::integer END);
COMMENT ON FUNCTION auto.predict_due_on(date, integer, integer, numeric, date) IS
    'The day on which a vehicle is due: the date, or the day on which it will have driven so far,
     whichever comes first; NULL where neither is known. At most ten years ahead.';

CREATE FUNCTION auto.predict_reminders() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.service_reminder AS m
    SET daily_distance_avg = n.pace,
        predicted_due_on = auto.predict_due_on(m.due_on, m.due_odometer, n.odometer, n.pace,
                                               n.read_on)
    FROM (
        SELECT r.business_id, r.vehicle_id, max(r.odometer) AS odometer,
               (max(r.read_at) AT TIME ZONE 'UTC')::date AS read_on,
               round((max(r.odometer) - min(r.odometer)) / nullif(
                   extract(epoch FROM max(r.read_at) - min(r.read_at)) / 86400, 0), 4) AS pace
        FROM (SELECT DISTINCT business_id, vehicle_id FROM changed WHERE NOT is_suspect) AS v
        JOIN auto.odometer_reading AS r
            ON r.business_id = v.business_id AND r.vehicle_id = v.vehicle_id
           AND NOT r.is_suspect AND r.read_at > now() - interval '400 days'
        GROUP BY r.business_id, r.vehicle_id
    ) AS n
    WHERE m.business_id = n.business_id AND m.vehicle_id = n.vehicle_id
      AND m.status IN ('pending', 'sent') AND n.pace IS NOT NULL
      AND row_security_active('auto.odometer_reading');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.predict_reminders() IS
    'A trusted reading tells how far the vehicle drives a day, by the readings of the last thirteen
     months, and so when it will be due. Imported readings leave the reminders as they came.';

CREATE TRIGGER odometer_reading_predicts
    AFTER INSERT ON auto.odometer_reading
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.predict_reminders();

-- A rule of fleet_account (15_customers.sql) about orders, which come after it.
CREATE TRIGGER repair_order_fleet_in_force
    BEFORE INSERT OR UPDATE OF fleet_account_id ON auto.repair_order
    FOR EACH ROW WHEN (NEW.fleet_account_id IS NOT NULL)
    EXECUTE FUNCTION auto.require_charging_fleet();
