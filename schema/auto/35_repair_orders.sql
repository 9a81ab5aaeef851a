/*
 * Repair orders: one visit of one vehicle, from the promise to the hand-over.
 *
 * A repair_order is the folder of a visit; its repair_jobs are what was complained about, found
 * and mended, each with its payer, sold as labor, part and sublet lines (38_job_lines.sql). Totals
 * roll up from the lines. The order moves through twelve states; auto.order_objection() names the
 * guard that a move does not meet yet, a trigger refuses it, and every move leaves a
 * repair_order_status_event. A closed order is never opened again: a later fault is a comeback.
 */

CREATE TABLE auto.repair_order (
    business_id                 uuid              NOT NULL,
    repair_order_id             uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    advisor_technician_id       uuid,
    comeback_of_repair_order_id uuid,
    current_bay_id              uuid,
    shop_id                     uuid              NOT NULL,
    customer_id                 uuid              NOT NULL,
    vehicle_id                  uuid              NOT NULL,
    appointment_id              uuid,
    fleet_account_id            uuid,
    insurance_claim_id          uuid,
    ro_number                   system_core.code  NOT NULL,
    order_kind                  text              NOT NULL DEFAULT 'repair',
    status                      text              NOT NULL DEFAULT 'scheduled',
    opened_at                   timestamptz       NOT NULL DEFAULT now(),
    promised_at                 timestamptz,
    completed_at                timestamptz,
    closed_at                   timestamptz,
    odometer_in_reading         integer,
    odometer_out                integer,
    key_tag                     text,
    po_number                   text,
    authorized_amount           system_core.money NOT NULL DEFAULT 0,
    labor_total                 system_core.money NOT NULL DEFAULT 0,
    parts_total                 system_core.money NOT NULL DEFAULT 0,
    grand_total                 system_core.money NOT NULL DEFAULT 0,
    version                     integer           NOT NULL DEFAULT 1,
    created_at                  timestamptz       NOT NULL DEFAULT now(),
    updated_at                  timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, repair_order_id),
    UNIQUE (business_id, ro_number),
    FOREIGN KEY (business_id, advisor_technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, comeback_of_repair_order_id)
        REFERENCES auto.repair_order (business_id, repair_order_id),
    FOREIGN KEY (business_id, current_bay_id) REFERENCES auto.bay (business_id, bay_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES auto.customer (business_id, customer_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, appointment_id)
        REFERENCES auto.appointment (business_id, appointment_id),
    FOREIGN KEY (business_id, fleet_account_id)
        REFERENCES auto.fleet_account (business_id, fleet_account_id),
    FOREIGN KEY (business_id, insurance_claim_id)
        REFERENCES auto.insurance_claim (business_id, insurance_claim_id),
    CONSTRAINT repair_order_kind_known
        CHECK (order_kind IN ('repair', 'maintenance', 'diagnosis', 'warranty', 'internal',
                              'collision', 'inspection_only', 'tire')),
    CONSTRAINT repair_order_status_known
        CHECK (status IN ('scheduled', 'checked_in', 'diagnosis', 'awaiting_authorization',
                          'authorized', 'awaiting_parts', 'in_progress', 'quality_check',
                          'ready_for_pickup', 'invoiced', 'closed', 'cancelled')),
    CONSTRAINT repair_order_completed_after_opening CHECK (completed_at >= opened_at),
    CONSTRAINT repair_order_closed_after_completion
        CHECK (closed_at >= coalesce(completed_at, opened_at)),
    CONSTRAINT repair_order_closed_has_time
        CHECK ((closed_at IS NOT NULL) = (status IN ('closed', 'cancelled'))),
    CONSTRAINT repair_order_odometer_forward CHECK (odometer_out >= odometer_in_reading),
    CONSTRAINT repair_order_odometer_not_negative CHECK (odometer_in_reading >= 0),
    CONSTRAINT repair_order_amounts_not_negative
        CHECK (authorized_amount >= 0 AND labor_total >= 0 AND parts_total >= 0
               AND grand_total >= 0),
    CONSTRAINT repair_order_not_its_own_comeback
        CHECK (comeback_of_repair_order_id <> repair_order_id)
);

COMMENT ON TABLE auto.repair_order IS
    'One visit of one vehicle: promise, payer split, status and totals.';
COMMENT ON COLUMN auto.repair_order.authorized_amount IS
    'What the customer agreed to pay in writing or by word; work stops before it is passed.';
COMMENT ON COLUMN auto.repair_order.grand_total IS
    'Labor, parts and sublet of the jobs that are not declined, without tax.';
COMMENT ON COLUMN auto.repair_order.version IS
    'Rises with every change: whoever saves an older one is told.';

-- The board of a shop: what is in the shop now.
CREATE INDEX repair_order_board_idx
    ON auto.repair_order (business_id, shop_id, status)
    WHERE status NOT IN ('closed', 'cancelled');

-- FK: the orders of an advisor.
CREATE INDEX repair_order_advisor_technician_idx
    ON auto.repair_order (business_id, advisor_technician_id)
    WHERE advisor_technician_id IS NOT NULL;

-- FK: the comebacks of an order.
CREATE INDEX repair_order_comeback_of_repair_order_idx
    ON auto.repair_order (business_id, comeback_of_repair_order_id)
    WHERE comeback_of_repair_order_id IS NOT NULL;

-- FK: what stands in a bay.
CREATE INDEX repair_order_current_bay_idx
    ON auto.repair_order (business_id, current_bay_id)
    WHERE current_bay_id IS NOT NULL;

-- FK: the orders of a shop, the newest first.
CREATE INDEX repair_order_shop_idx
    ON auto.repair_order (business_id, shop_id, opened_at DESC);

-- FK: the visits of a customer, the newest first.
CREATE INDEX repair_order_customer_idx
    ON auto.repair_order (business_id, customer_id, opened_at DESC);

-- FK: the visits of a vehicle, the newest first.
CREATE INDEX repair_order_vehicle_idx
    ON auto.repair_order (business_id, vehicle_id, opened_at DESC);

-- FK: what an appointment became.
CREATE INDEX repair_order_appointment_idx
    ON auto.repair_order (business_id, appointment_id)
    WHERE appointment_id IS NOT NULL;

-- FK: the orders of a fleet.
CREATE INDEX repair_order_fleet_account_idx
    ON auto.repair_order (business_id, fleet_account_id)
    WHERE fleet_account_id IS NOT NULL;

-- FK: the orders of a claim.
CREATE INDEX repair_order_insurance_claim_idx
    ON auto.repair_order (business_id, insurance_claim_id)
    WHERE insurance_claim_id IS NOT NULL;

ALTER TABLE auto.repair_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.repair_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.repair_order TO app_user;
GRANT SELECT ON auto.repair_order TO app_readonly;

CREATE TRIGGER repair_order_touch
    BEFORE UPDATE ON auto.repair_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER repair_order_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.repair_order
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["scheduled", "checked_in"],
        "transitions": {
            "scheduled":              ["checked_in", "cancelled"],
            "checked_in":             ["diagnosis", "awaiting_authorization", "authorized",
                                       "cancelled"],
            "diagnosis":              ["awaiting_authorization", "authorized",
                                       "ready_for_pickup", "cancelled"],
            "awaiting_authorization": ["authorized", "diagnosis", "ready_for_pickup", "cancelled"],
            "authorized":             ["in_progress", "awaiting_parts",
                                       "awaiting_authorization", "cancelled"],
            "awaiting_parts":         ["authorized", "in_progress", "cancelled"],
            "in_progress":            ["quality_check", "awaiting_parts",
                                       "awaiting_authorization"],
            "quality_check":          ["ready_for_pickup", "in_progress"],
            "ready_for_pickup":       ["invoiced", "in_progress"],
            "invoiced":               ["closed", "ready_for_pickup"],
            "closed":                 [],
            "cancelled":              []
        }}');

CREATE FUNCTION auto.number_repair_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.ro_number := system_core.number_document(
        NEW.business_id, 'auto.repair_order', 'RO-', NEW.repair_order_id);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.number_repair_order() IS 'Numbers an order that comes without a number.';

CREATE TRIGGER repair_order_number
    BEFORE INSERT ON auto.repair_order
    FOR EACH ROW WHEN (NEW.ro_number IS NULL)
    EXECUTE FUNCTION auto.number_repair_order();

CREATE FUNCTION auto.guard_repair_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    objection text;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    NEW.version := OLD.version + 1;
    IF NEW.status <> OLD.status THEN
        objection := auto.order_objection(
            ROW(NEW.*)::auto.repair_order, NEW.status, OLD.status);
        IF objection IS NOT NULL THEN
            RAISE EXCEPTION 'order % cannot become %: %', OLD.ro_number, NEW.status, objection
                USING ERRCODE = 'check_violation',
                      HINT = 'Settle what is missing, then move the order on.';
        END IF;
        NEW.completed_at := CASE WHEN NEW.status = 'quality_check' THEN now()
                                 WHEN NEW.status = 'in_progress' THEN NULL
                                 ELSE NEW.completed_at END;
        NEW.closed_at := CASE WHEN NEW.status IN ('closed', 'cancelled') THEN now() END;
    ELSIF OLD.status IN ('closed', 'cancelled') THEN
        RAISE EXCEPTION 'order % is %, it is not changed', OLD.ro_number, OLD.status
            USING ERRCODE = 'check_violation', HINT = 'Open a comeback order.';
    END IF;
    IF NEW.grand_total > OLD.grand_total AND NEW.authorized_amount > 0
       AND NEW.status IN ('authorized', 'awaiting_parts', 'in_progress', 'quality_check')
       AND NEW.grand_total > NEW.authorized_amount
           * (1 + auto.tolerance_pct(ROW(NEW.*)::auto.repair_order) / 100) THEN
        RAISE EXCEPTION 'order % would come to %, % are authorized', OLD.ro_number,
                        NEW.grand_total, NEW.authorized_amount
            USING ERRCODE = 'check_violation',
                  HINT = 'Write a revised estimate and have it authorized first.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.guard_repair_order() IS
    'A move has its guard met and stamps its times; work never costs more than was authorized, but
     for the tolerance; a closed order stands. Imported history moves as it did.';

CREATE TRIGGER repair_order_guard
    BEFORE UPDATE ON auto.repair_order
    FOR EACH ROW EXECUTE FUNCTION auto.guard_repair_order();

ALTER TABLE auto.loaner_agreement ADD FOREIGN KEY (business_id, repair_order_id)
    REFERENCES auto.repair_order (business_id, repair_order_id);


CREATE FUNCTION auto.is_order_edge(origin text, target text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE origin
    WHEN 'scheduled' THEN target IN ('checked_in', 'cancelled')
    WHEN 'checked_in' THEN target IN ('diagnosis', 'awaiting_authorization', 'authorized',
                                      'cancelled')
    WHEN 'diagnosis' THEN target IN ('awaiting_authorization', 'authorized', 'ready_for_pickup',
                                     'cancelled')
    WHEN 'awaiting_authorization' THEN target IN ('authorized', 'diagnosis', 'ready_for_pickup',
                                                  'cancelled')
    WHEN 'authorized' THEN target IN ('in_progress', 'awaiting_parts', 'awaiting_authorization',
                                      'cancelled')
    WHEN 'awaiting_parts' THEN target IN ('authorized', 'in_progress', 'cancelled')
    WHEN 'in_progress' THEN target IN ('quality_check', 'awaiting_parts',
                                       'awaiting_authorization')
    WHEN 'quality_check' THEN target IN ('ready_for_pickup', 'in_progress')
    WHEN 'ready_for_pickup' THEN target IN ('invoiced', 'in_progress')
    WHEN 'invoiced' THEN target IN ('closed', 'ready_for_pickup')
    ELSE origin IS NULL AND target IN ('scheduled', 'checked_in')
END;
COMMENT ON FUNCTION auto.is_order_edge(text, text) IS
    'Whether an order may go from one state to another; from NULL it begins.';


CREATE TABLE auto.repair_order_status_event (
    business_id                  uuid        NOT NULL,
    repair_order_status_event_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    changed_by_user_id           uuid,
    repair_order_id              uuid        NOT NULL,
    changed_at                   timestamptz NOT NULL DEFAULT now(),
    from_status                  text,
    to_status                    text        NOT NULL,
    dwell_minutes                integer,
    reason_code                  text        NOT NULL DEFAULT 'normal',
    actor_kind                   text        NOT NULL DEFAULT 'advisor',
    promise_before_at            timestamptz,
    promise_after_at             timestamptz,
    client_event_ref             text,
    note_text                    text,
    created_at                   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, repair_order_status_event_id, changed_at),
    UNIQUE (business_id, repair_order_id, client_event_ref, changed_at),
    FOREIGN KEY (business_id, changed_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, repair_order_id)
        REFERENCES auto.repair_order (business_id, repair_order_id),
    CONSTRAINT repair_order_status_event_reason_known
        CHECK (reason_code IN ('normal', 'parts_delay', 'customer_delay', 'added_work',
                               'failed_qc', 'insurer_delay', 'technician_absent', 'sublet_delay',
                               'bay_conflict')),
    CONSTRAINT repair_order_status_event_actor_known
        CHECK (actor_kind IN ('advisor', 'technician', 'customer', 'system', 'integration')),
    CONSTRAINT repair_order_status_event_dwell_not_negative CHECK (dwell_minutes >= 0),
    CONSTRAINT repair_order_status_event_is_an_edge
        CHECK (auto.is_order_edge(from_status, to_status))
) PARTITION BY RANGE (changed_at);

COMMENT ON TABLE auto.repair_order_status_event IS
    'Every move of an order between states, with dwell time and reason; append only.';
COMMENT ON COLUMN auto.repair_order_status_event.dwell_minutes IS
    'How long the order had been in from_status.';
COMMENT ON COLUMN auto.repair_order_status_event.client_event_ref IS
    'Of the tablet that asked for the move; asked again, nothing moves.';

-- FK: what an account moved.
CREATE INDEX repair_order_status_event_changed_by_user_idx
    ON auto.repair_order_status_event (business_id, changed_by_user_id)
    WHERE changed_by_user_id IS NOT NULL;

-- order_dwell_minutes(): when an order last changed, however often it did.
CREATE INDEX repair_order_status_event_last_idx
    ON auto.repair_order_status_event (business_id, repair_order_id, changed_at DESC);

ALTER TABLE auto.repair_order_status_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.repair_order_status_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON auto.repair_order_status_event TO app_user;
GRANT SELECT ON auto.repair_order_status_event TO app_readonly;

CREATE TRIGGER repair_order_status_event_append_only
    BEFORE UPDATE OR DELETE ON auto.repair_order_status_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('auto.repair_order_status_event');

CREATE TABLE auto.repair_order_status_event_default
    PARTITION OF auto.repair_order_status_event DEFAULT;
ALTER TABLE auto.repair_order_status_event_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.repair_order_status_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'auto.repair_order_status_event', 'month', behind => 3, ahead => 1);


CREATE TABLE auto.repair_job (
    business_id               uuid              NOT NULL,
    repair_job_id             uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    lead_technician_id        uuid,
    comeback_of_repair_job_id uuid,
    repair_order_id           uuid              NOT NULL,
    canned_job_id             uuid,
    labor_rate_id             uuid,
    job_seq                   integer           NOT NULL,
    name                      text              NOT NULL,
    complaint_text            text,
    cause_text                text,
    correction_text           text,
    payer_kind                text              NOT NULL DEFAULT 'customer',
    status                    text              NOT NULL DEFAULT 'proposed',
    decided_at                timestamptz,
    labor_total               system_core.money NOT NULL DEFAULT 0,
    parts_total               system_core.money NOT NULL DEFAULT 0,
    sublet_total              system_core.money NOT NULL DEFAULT 0,
    discount_amount           system_core.money NOT NULL DEFAULT 0,
    book_hours                numeric(10, 2)    NOT NULL DEFAULT 0,
    is_safety_critical        boolean           NOT NULL DEFAULT false,
    verified_fixed            boolean           NOT NULL DEFAULT false,
    warranty_until_on         date,
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, repair_job_id),
    UNIQUE (business_id, repair_order_id, job_seq),
    FOREIGN KEY (business_id, lead_technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, comeback_of_repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, repair_order_id)
        REFERENCES auto.repair_order (business_id, repair_order_id),
    FOREIGN KEY (business_id, canned_job_id)
        REFERENCES auto.canned_job (business_id, canned_job_id),
    FOREIGN KEY (business_id, labor_rate_id)
        REFERENCES auto.labor_rate (business_id, labor_rate_id),
    CONSTRAINT repair_job_payer_known
        CHECK (payer_kind IN ('customer', 'warranty', 'insurance', 'fleet', 'internal',
                              'goodwill')),
    CONSTRAINT repair_job_status_known
        CHECK (status IN ('proposed', 'approved', 'declined', 'in_progress', 'waiting', 'done',
                          'cancelled')),
    CONSTRAINT repair_job_discount_within_total
        CHECK (discount_amount BETWEEN 0 AND labor_total + parts_total + sublet_total),
    CONSTRAINT repair_job_done_is_told
        CHECK (status <> 'done' OR coalesce(correction_text, '') ~ '\S'),
    CONSTRAINT repair_job_repair_has_cause
        CHECK (status <> 'done' OR complaint_text IS NULL OR coalesce(cause_text, '') ~ '\S'),
    CONSTRAINT repair_job_decided_has_time
        CHECK (status = 'proposed' OR status = 'cancelled' OR decided_at IS NOT NULL),
    CONSTRAINT repair_job_not_its_own_comeback
        CHECK (comeback_of_repair_job_id <> repair_job_id),
    CONSTRAINT repair_job_hours_not_negative CHECK (book_hours >= 0)
);

COMMENT ON TABLE auto.repair_job IS
    'Job on an order with complaint, cause, correction and its payer.';

-- FK: the jobs that somebody leads.
CREATE INDEX repair_job_lead_technician_idx
    ON auto.repair_job (business_id, lead_technician_id)
    WHERE lead_technician_id IS NOT NULL;

-- FK: the jobs that came back.
CREATE INDEX repair_job_comeback_of_repair_job_idx
    ON auto.repair_job (business_id, comeback_of_repair_job_id)
    WHERE comeback_of_repair_job_id IS NOT NULL;

-- FK: how often a package is sold.
CREATE INDEX repair_job_canned_job_idx
    ON auto.repair_job (business_id, canned_job_id)
    WHERE canned_job_id IS NOT NULL;

-- FK: what a rate was charged for.
CREATE INDEX repair_job_labor_rate_idx
    ON auto.repair_job (business_id, labor_rate_id)
    WHERE labor_rate_id IS NOT NULL;

ALTER TABLE auto.repair_job ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.repair_job
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.repair_job TO app_user;
GRANT SELECT ON auto.repair_job TO app_readonly;

CREATE TRIGGER repair_job_touch
    BEFORE UPDATE ON auto.repair_job
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER repair_job_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.repair_job
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["proposed", "approved"],
        "transitions": {
            "proposed":    ["approved", "declined", "cancelled"],
            "approved":    ["in_progress", "waiting", "done", "declined", "cancelled"],
            "declined":    ["proposed", "approved"],
            "in_progress": ["waiting", "done", "approved"],
            "waiting":     ["in_progress", "approved", "cancelled"],
            "done":        ["in_progress"],
            "cancelled":   []
        }}');

CREATE FUNCTION auto.stamp_decision() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.decided_at := now();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.stamp_decision() IS 'A job that was decided on says when.';

CREATE TRIGGER repair_job_decided
    BEFORE INSERT OR UPDATE OF status ON auto.repair_job
    FOR EACH ROW WHEN (NEW.decided_at IS NULL AND NEW.status NOT IN ('proposed', 'cancelled'))
    EXECUTE FUNCTION auto.stamp_decision();

CREATE FUNCTION auto.total_orders() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.repair_order AS o
    SET labor_total = n.labor, parts_total = n.parts,
        grand_total = greatest(n.labor + n.parts + n.sublet - n.discount, 0)
    FROM (
        SELECT c.business_id, c.repair_order_id, coalesce(sum(j.labor_total), 0) AS labor,
               coalesce(sum(j.parts_total), 0) AS parts,
               coalesce(sum(j.sublet_total), 0) AS sublet,
               coalesce(sum(j.discount_amount), 0) AS discount
        FROM (SELECT DISTINCT x.business_id, x.repair_order_id FROM changed AS x) AS c
        LEFT JOIN auto.repair_job AS j
            ON j.business_id = c.business_id AND j.repair_order_id = c.repair_order_id
           AND j.status NOT IN ('declined', 'cancelled')
        GROUP BY c.business_id, c.repair_order_id
    ) AS n
    WHERE o.business_id = n.business_id AND o.repair_order_id = n.repair_order_id
      AND (o.labor_total, o.parts_total, o.grand_total)
          <> (n.labor, n.parts, greatest(n.labor + n.parts + n.sublet - n.discount, 0));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.total_orders() IS
    'An order comes to what its jobs come to, those left out that were declined or cancelled.';

CREATE TRIGGER repair_job_total_on_insert
    AFTER INSERT ON auto.repair_job
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_orders();

CREATE TRIGGER repair_job_total_on_update
    AFTER UPDATE ON auto.repair_job
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_orders();

CREATE TRIGGER repair_job_total_on_delete
    AFTER DELETE ON auto.repair_job
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_orders();

CREATE FUNCTION auto.note_order_move() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO auto.repair_order_status_event
        (business_id, repair_order_id, changed_at, from_status, to_status, dwell_minutes,
         actor_kind, promise_before_at, promise_after_at)
    SELECT o.business_id, o.repair_order_id, now(), f.status, o.status,
           auto.order_dwell_minutes(o.repair_order_id, o.opened_at), 'advisor', f.promised_at,
           o.promised_at
    FROM changed AS o
    JOIN former AS f
        ON f.business_id = o.business_id AND f.repair_order_id = o.repair_order_id
    WHERE o.status <> f.status AND row_security_active('auto.repair_order')
      -- What transition_repair_order() moves, it wrote down with its reason.
      AND NOT EXISTS (
          SELECT FROM auto.repair_order_status_event AS e
          WHERE e.business_id = o.business_id AND e.repair_order_id = o.repair_order_id
            AND e.changed_at = now() AND e.to_status = o.status);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.note_order_move() IS
    'Every move of an order is written down; imported history brings its own trail.';

CREATE TRIGGER repair_order_note_move
    AFTER UPDATE ON auto.repair_order
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.note_order_move();

CREATE FUNCTION auto.order_dwell_minutes(visit uuid, opened_at timestamptz) RETURNS integer
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN greatest(0, floor(extract(epoch FROM now() - coalesce((
        SELECT e.changed_at
        FROM auto.repair_order_status_event AS e
        WHERE e.business_id = tenant_mgmt.current_business_id() AND e.repair_order_id = visit
        ORDER BY e.changed_at DESC
        LIMIT 1
    ), opened_at)) / 60))::integer;
END
$$;
COMMENT ON FUNCTION auto.order_dwell_minutes(uuid, timestamptz) IS
    'For how long an order has been in its state: since its last move, else since it was opened.';


CREATE FUNCTION auto.order_objection(visit auto.repair_order, target text, origin text)
    RETURNS text
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := visit.business_id;
BEGIN
    IF target = 'checked_in' AND origin = 'scheduled' THEN
        RETURN CASE
            WHEN NOT EXISTS (SELECT FROM auto.vehicle_checkin AS c
                             WHERE c.business_id = tenant
                               AND c.repair_order_id = visit.repair_order_id)
            THEN 'nobody walked around the vehicle yet'
            WHEN NOT EXISTS (SELECT FROM auto.vehicle AS v
                             WHERE v.business_id = tenant AND v.vehicle_id = visit.vehicle_id
                               AND v.vehicle_configuration_id IS NOT NULL)
            THEN 'the build of the vehicle is not known' END;
    ELSIF target = 'authorized' AND origin <> 'awaiting_parts' THEN
        RETURN CASE WHEN NOT auto.is_order_authorized(visit)
                    THEN 'nobody authorized a job of it' END;
    ELSIF target = 'in_progress' AND origin IN ('authorized', 'awaiting_parts') THEN
        RETURN auto.start_objection(visit);
    ELSIF target = 'awaiting_authorization' AND origin = 'in_progress' THEN
        RETURN CASE WHEN NOT EXISTS (
            SELECT FROM auto.estimate AS e
            WHERE e.business_id = tenant AND e.repair_order_id = visit.repair_order_id
              AND e.estimate_kind = 'revised' AND e.status IN ('draft', 'sent', 'viewed'))
            THEN 'there is no revised estimate' END;
    ELSIF target = 'quality_check' THEN
        RETURN auto.finish_objection(visit);
    ELSIF target = 'ready_for_pickup' AND origin = 'quality_check' THEN
        RETURN auto.release_objection(visit);
    ELSIF target = 'invoiced' THEN
        RETURN auto.invoice_objection(visit);
    ELSIF target = 'ready_for_pickup' AND origin = 'invoiced' THEN
        RETURN CASE WHEN EXISTS (
            SELECT FROM auto.invoice AS i
            WHERE i.business_id = tenant AND i.repair_order_id = visit.repair_order_id
              AND i.status <> 'void') THEN 'an invoice of it stands' END;
    ELSIF target = 'closed' THEN
        RETURN CASE WHEN EXISTS (
            SELECT FROM auto.invoice AS i
            WHERE i.business_id = tenant AND i.repair_order_id = visit.repair_order_id
              AND i.status NOT IN ('void', 'written_off') AND i.open_balance <> 0)
            THEN 'an invoice of it is not paid' END;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.order_objection(auto.repair_order, text, text) IS
    'What stands against moving an order to a state, in words; NULL when its guard is met.';


CREATE FUNCTION auto.is_order_authorized(visit auto.repair_order) RETURNS boolean
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM auto.customer_authorization AS a
        WHERE a.business_id = visit.business_id AND a.repair_order_id = visit.repair_order_id
          AND a.decision = 'approved'
          AND NOT EXISTS (
              SELECT FROM auto.customer_authorization AS x
              WHERE x.business_id = a.business_id AND x.repair_order_id = a.repair_order_id
                AND x.decision = 'revoked' AND x.decided_at > a.decided_at)
    ) OR EXISTS (
        SELECT FROM auto.fleet_account AS f
        WHERE f.business_id = visit.business_id AND f.fleet_account_id = visit.fleet_account_id
          AND f.status = 'active' AND visit.grand_total <= f.pre_authorized_limit
          AND visit.grand_total > 0);
END
$$;
COMMENT ON FUNCTION auto.is_order_authorized(auto.repair_order) IS
    'Whether somebody approved work on it and did not take it back, or a fleet''s standing limit
     covers it.';


CREATE FUNCTION auto.start_objection(visit auto.repair_order) RETURNS text
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    live text;
BEGIN
    IF NOT EXISTS (
        SELECT FROM auto.repair_job AS j
        JOIN auto.job_dispatch AS d
            ON d.business_id = j.business_id AND d.repair_job_id = j.repair_job_id
           AND d.status IN ('accepted', 'active', 'paused')
        WHERE j.business_id = visit.business_id AND j.repair_order_id = visit.repair_order_id)
    THEN
        RETURN 'no technician accepted a job of it';
    END IF;
    SELECT j.name INTO live
    FROM auto.repair_job AS j
    JOIN auto.labor_line AS l
        ON l.business_id = j.business_id AND l.repair_job_id = j.repair_job_id
    JOIN auto.labor_operation AS p
        ON p.business_id = l.business_id AND p.labor_operation_id = l.labor_operation_id
       AND p.requires_hv_certificate
    WHERE j.business_id = visit.business_id AND j.repair_order_id = visit.repair_order_id
      AND j.status IN ('approved', 'in_progress', 'waiting') AND l.status <> 'void'
      AND NOT EXISTS (
          SELECT FROM auto.hv_power_down AS h
          WHERE h.business_id = j.business_id AND h.repair_job_id = j.repair_job_id
            AND h.status = 'verified')
    LIMIT 1;
    RETURN CASE WHEN live IS NOT NULL
                THEN 'high voltage is not verified to be off for ' || live END;
END
$$;
COMMENT ON FUNCTION auto.start_objection(auto.repair_order) IS
    'What stands against beginning work: nobody accepted it, or high voltage is on.';


CREATE FUNCTION auto.finish_objection(visit auto.repair_order) RETURNS text
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    open_job text;
BEGIN
    SELECT j.name INTO open_job
    FROM auto.repair_job AS j
    WHERE j.business_id = visit.business_id AND j.repair_order_id = visit.repair_order_id
      AND j.status IN ('approved', 'in_progress', 'waiting')
    ORDER BY j.job_seq
    LIMIT 1;
    IF open_job IS NOT NULL THEN
        RETURN 'job ' || open_job || ' is not done';
    END IF;
    SELECT j.name INTO open_job
    FROM auto.repair_job AS j
    JOIN auto.labor_clock_entry AS e
        ON e.business_id = j.business_id AND e.repair_job_id = j.repair_job_id
       AND e.clocked_out_at IS NULL
    WHERE j.business_id = visit.business_id AND j.repair_order_id = visit.repair_order_id
    LIMIT 1;
    IF open_job IS NOT NULL THEN
        RETURN 'somebody is clocked on ' || open_job;
    END IF;
    SELECT l.description INTO open_job
    FROM auto.repair_job AS j
    JOIN auto.part_line AS l
        ON l.business_id = j.business_id AND l.repair_job_id = j.repair_job_id
       AND l.status NOT IN ('installed', 'returned', 'cancelled')
    WHERE j.business_id = visit.business_id AND j.repair_order_id = visit.repair_order_id
      AND j.status = 'done'
    ORDER BY j.job_seq, l.line_no
    LIMIT 1;
    RETURN CASE WHEN open_job IS NOT NULL
                THEN 'part ' || open_job || ' is neither installed nor returned' END;
END
$$;
COMMENT ON FUNCTION auto.finish_objection(auto.repair_order) IS
    'What stands against the final check: an open job, a running clock, a part lying about.';


CREATE FUNCTION auto.release_objection(visit auto.repair_order) RETURNS text
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN CASE
        WHEN NOT EXISTS (
            SELECT FROM auto.quality_check AS q
            WHERE q.business_id = visit.business_id
              AND q.repair_order_id = visit.repair_order_id
              AND q.result IN ('pass', 'waived')
              AND q.attempt_no = (
                  SELECT max(x.attempt_no) FROM auto.quality_check AS x
                  WHERE x.business_id = q.business_id
                    AND x.repair_order_id = q.repair_order_id))
        THEN 'it did not pass its last quality check'
        WHEN EXISTS (
            SELECT FROM auto.adas_sensor AS s
            WHERE s.business_id = visit.business_id AND s.vehicle_id = visit.vehicle_id
              AND s.calibration_state IN ('required', 'failed'))
        THEN 'a sensor of the vehicle is not calibrated'
        WHEN EXISTS (
            SELECT FROM auto.vehicle_recall AS w
            JOIN auto.recall_campaign AS c
                ON c.business_id = w.business_id
               AND c.recall_campaign_id = w.recall_campaign_id
               AND c.risk_level = 'do_not_drive'
            WHERE w.business_id = visit.business_id AND w.vehicle_id = visit.vehicle_id
              AND w.status IN ('open', 'notified') AND w.acknowledgement_text IS NULL)
        THEN 'nobody acknowledged a do-not-drive recall' END;
END
$$;
COMMENT ON FUNCTION auto.release_objection(auto.repair_order) IS
    'What stands against handing the vehicle over: a failed check, a sensor out of calibration, a
     recall that forbids driving.';


CREATE FUNCTION auto.invoice_objection(visit auto.repair_order) RETURNS text
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN CASE
        WHEN NOT EXISTS (
            SELECT FROM auto.invoice AS i
            WHERE i.business_id = visit.business_id
              AND i.repair_order_id = visit.repair_order_id
              AND i.status NOT IN ('draft', 'void'))
        THEN 'no invoice of it was issued'
        WHEN EXISTS (
            SELECT FROM auto.repair_job AS j
            JOIN auto.part_line AS l
                ON l.business_id = j.business_id AND l.repair_job_id = j.repair_job_id
            JOIN auto.tire AS t
                ON t.business_id = l.business_id AND t.sold_part_line_id = l.part_line_id
            WHERE j.business_id = visit.business_id
              AND j.repair_order_id = visit.repair_order_id
              AND NOT EXISTS (
                  SELECT FROM auto.tire_registration AS g
                  WHERE g.business_id = t.business_id AND g.tire_id = t.tire_id))
        THEN 'a tire that it sold is not registered' END;
END
$$;
COMMENT ON FUNCTION auto.invoice_objection(auto.repair_order) IS
    'What stands against calling an order invoiced: no invoice, or a tire without registration.';


CREATE FUNCTION auto.transition_repair_order(
    visit            uuid,
    target           text,
    reason           text DEFAULT 'normal',
    client_event_ref text DEFAULT NULL
) RETURNS auto.repair_order
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    found_order auto.repair_order;
BEGIN
    SELECT o.* INTO found_order
    FROM auto.repair_order AS o
    WHERE o.business_id = tenant AND o.repair_order_id = visit
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no repair order %', visit USING ERRCODE = 'no_data_found';
    END IF;
    IF client_event_ref IS NOT NULL AND EXISTS (
        SELECT FROM auto.repair_order_status_event AS e
        WHERE e.business_id = tenant AND e.repair_order_id = visit
          AND e.client_event_ref = transition_repair_order.client_event_ref) THEN
        RETURN found_order;
    END IF;
    IF NOT auto.is_order_edge(found_order.status, target) THEN
        RAISE EXCEPTION 'order % is %, it cannot become %', found_order.ro_number,
                        found_order.status, target
            USING ERRCODE = 'check_violation', HINT = 'See auto.is_order_edge().';
    END IF;
    INSERT INTO auto.repair_order_status_event
        (business_id, repair_order_id, changed_at, from_status, to_status, dwell_minutes,
         reason_code, actor_kind, promise_before_at, promise_after_at, client_event_ref)
    VALUES (tenant, visit, now(), found_order.status, target,
            auto.order_dwell_minutes(visit, found_order.opened_at), reason, 'advisor',
            found_order.promised_at, found_order.promised_at, client_event_ref);
    UPDATE auto.repair_order AS o
    SET status = target
    WHERE o.business_id = tenant AND o.repair_order_id = visit
    RETURNING o.* INTO found_order;
    RETURN found_order;
END
$$;
COMMENT ON FUNCTION auto.transition_repair_order(uuid, text, text, text) IS
    'Moves an order along an edge whose guard is met, with its reason and how long it stood; the
     same client_event_ref again changes nothing.';
