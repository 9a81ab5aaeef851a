/*
 * Work orders: the job itself, from request to closed.
 *
 * job_type says how long a kind of job takes, what it must prove and (job_type_skill) who can do
 * it. A work_order is one job at one place; it is in one of twelve states. Its 37 moves are the
 * edges of hs.is_work_order_edge; which role may make them, and what must be there first, is the
 * tenant's own work_order_transition_rule, which can only narrow the edges. Every move is a
 * work_order_status_event; reason_code holds the tenant's own words for why.
 *
 * On the job: work_order_line is what was done and used, work_order_task the checklist,
 * work_order_equipment what was serviced, work_order_hold why it stands still, work_order_media
 * and customer_signature the proof.
 *
 * An order is moved by hs.transition_work_order, which writes the event first. Whoever updates
 * the status by hand meets the same rules and guards (hs.move_work_order) and gets the event
 * written (hs.record_moves). Guards look at appointments, trucks, findings and invoices, which
 * come in later files; their functions are plpgsql, so they are bound when they are called.
 */

CREATE FUNCTION hs.is_work_order_edge(from_status text, to_status text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(to_status = ANY (CASE from_status
        WHEN 'requested'   THEN ARRAY['quoted', 'approved', 'scheduled', 'cancelled']
        WHEN 'quoted'      THEN ARRAY['approved', 'requested', 'cancelled']
        WHEN 'approved'    THEN ARRAY['scheduled', 'on_hold', 'cancelled']
        WHEN 'scheduled'   THEN ARRAY['dispatched', 'approved', 'on_hold', 'cancelled']
        WHEN 'dispatched'  THEN ARRAY['en_route', 'scheduled', 'on_hold', 'cancelled']
        WHEN 'en_route'    THEN ARRAY['in_progress', 'dispatched', 'scheduled', 'cancelled']
        WHEN 'in_progress' THEN ARRAY['completed', 'on_hold', 'scheduled', 'cancelled']
        WHEN 'on_hold'     THEN ARRAY['approved', 'scheduled', 'dispatched', 'in_progress',
                                      'cancelled']
        WHEN 'completed'   THEN ARRAY['invoiced', 'in_progress', 'scheduled', 'closed']
        WHEN 'invoiced'    THEN ARRAY['closed', 'completed']
    END), false);
COMMENT ON FUNCTION hs.is_work_order_edge(text, text) IS
    'The 37 moves of a work order, for every tenant. closed and cancelled are the end.';


CREATE TABLE hs.job_type (
    business_id             uuid              NOT NULL,
    job_type_id             uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    business_unit_id        uuid              NOT NULL,
    job_type_code           system_core.code  NOT NULL,
    name                    text              NOT NULL,
    job_class               text              NOT NULL DEFAULT 'demand',
    default_priority        text              NOT NULL DEFAULT 'normal',
    default_minutes         integer           NOT NULL DEFAULT 90,
    needed_technician_count integer           NOT NULL DEFAULT 1,
    response_target_minutes integer           NOT NULL DEFAULT 2880,
    warranty_days           integer           NOT NULL DEFAULT 0,
    requires_signature      boolean           NOT NULL DEFAULT false,
    requires_photos         boolean           NOT NULL DEFAULT false,
    requires_permit         boolean           NOT NULL DEFAULT false,
    is_active               boolean           NOT NULL DEFAULT true,
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, job_type_id),
    UNIQUE (business_id, job_type_code),
    FOREIGN KEY (business_id, business_unit_id)
        REFERENCES hs.business_unit (business_id, business_unit_id),
    CONSTRAINT job_type_class_known
        CHECK (job_class IN ('demand', 'maintenance', 'install', 'sales', 'emergency', 'warranty',
                             'recall')),
    CONSTRAINT job_type_priority_known
        CHECK (default_priority IN ('emergency', 'urgent', 'high', 'normal', 'low')),
    CONSTRAINT job_type_minutes_bounded CHECK (default_minutes BETWEEN 15 AND 2880),
    CONSTRAINT job_type_needs_someone CHECK (needed_technician_count >= 1),
    CONSTRAINT job_type_target_positive CHECK (response_target_minutes > 0),
    CONSTRAINT job_type_warranty_not_negative CHECK (warranty_days >= 0)
);

COMMENT ON TABLE hs.job_type IS
    'A kind of job: how long it takes, how urgent it is, what it must prove, how long it holds.';
COMMENT ON COLUMN hs.job_type.response_target_minutes IS
    'From the request to somebody on site, where nothing else was promised.';
COMMENT ON COLUMN hs.job_type.warranty_days IS
    'How long a fault of the work is put right for nothing.';

-- FK: what a unit does.
CREATE INDEX job_type_unit_idx ON hs.job_type (business_id, business_unit_id);

ALTER TABLE hs.job_type ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.job_type
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.job_type TO app_user;
GRANT SELECT ON hs.job_type TO app_readonly;

CREATE TRIGGER job_type_touch
    BEFORE UPDATE ON hs.job_type
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

-- What a caller asked for, known since the intake.
ALTER TABLE hs.booking_request
    ADD FOREIGN KEY (business_id, job_type_id) REFERENCES hs.job_type (business_id, job_type_id);


CREATE TABLE hs.job_type_skill (
    business_id             uuid              NOT NULL,
    job_type_skill_id       uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    job_type_id             uuid              NOT NULL,
    skill_id                uuid              NOT NULL,
    requirement             text              NOT NULL DEFAULT 'mandatory',
    minimum_level_no        integer           NOT NULL DEFAULT 1,
    needed_technician_count integer           NOT NULL DEFAULT 1,
    weight_score            system_core.score NOT NULL DEFAULT 1,
    is_lead_only            boolean           NOT NULL DEFAULT false,
    note_text               text,
    effective_on            date              NOT NULL DEFAULT current_date,
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, job_type_skill_id),
    UNIQUE (business_id, job_type_id, skill_id),
    FOREIGN KEY (business_id, job_type_id)
        REFERENCES hs.job_type (business_id, job_type_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, skill_id) REFERENCES hs.skill (business_id, skill_id),
    CONSTRAINT job_type_skill_requirement_known CHECK (requirement IN ('mandatory', 'preferred')),
    CONSTRAINT job_type_skill_level_bounded CHECK (minimum_level_no BETWEEN 1 AND 5),
    CONSTRAINT job_type_skill_needs_someone CHECK (needed_technician_count >= 1),
    CONSTRAINT job_type_skill_weight_not_negative CHECK (weight_score >= 0)
);

COMMENT ON TABLE hs.job_type_skill IS
    'A skill that a kind of job demands, at which level, and of how many on the job.';
COMMENT ON COLUMN hs.job_type_skill.weight_score IS
    'How much a preferred skill counts when technicians are ranked.';
COMMENT ON COLUMN hs.job_type_skill.is_lead_only IS 'The lead must have it; a helper need not.';

-- FK: the jobs that ask for a skill.
CREATE INDEX job_type_skill_skill_idx ON hs.job_type_skill (business_id, skill_id);

ALTER TABLE hs.job_type_skill ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.job_type_skill
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.job_type_skill TO app_user;
GRANT SELECT ON hs.job_type_skill TO app_readonly;

CREATE TRIGGER job_type_skill_touch
    BEFORE UPDATE ON hs.job_type_skill
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.reason_code (
    business_id           uuid             NOT NULL,
    reason_code_id        uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    reason_context        text             NOT NULL,
    code                  system_core.code NOT NULL,
    label                 text             NOT NULL,
    display_seq           integer          NOT NULL DEFAULT 1,
    is_customer_caused    boolean          NOT NULL DEFAULT false,
    requires_note         boolean          NOT NULL DEFAULT false,
    requires_release_date boolean          NOT NULL DEFAULT false,
    is_billable           boolean          NOT NULL DEFAULT false,
    is_active             boolean          NOT NULL DEFAULT true,
    created_at            timestamptz      NOT NULL DEFAULT now(),
    updated_at            timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, reason_code_id),
    UNIQUE (business_id, reason_context, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT reason_code_context_known
        CHECK (reason_context IN ('hold', 'cancel', 'reschedule', 'no_access', 'void', 'discount',
                                  'rework', 'qc_fail')),
    CONSTRAINT reason_code_release_date_of_a_hold
        CHECK (NOT requires_release_date OR reason_context = 'hold'),
    CONSTRAINT reason_code_display_seq_positive CHECK (display_seq >= 1)
);

COMMENT ON TABLE hs.reason_code IS
    'The tenant''s own reasons for holds, cancellations, reschedules, voids and rework.';
COMMENT ON COLUMN hs.reason_code.is_billable IS
    'A fee may be asked for, as for a trip to a closed door.';

ALTER TABLE hs.reason_code ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.reason_code
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.reason_code TO app_user;
GRANT SELECT ON hs.reason_code TO app_readonly;

CREATE TRIGGER reason_code_touch
    BEFORE UPDATE ON hs.reason_code
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.work_order (
    business_id            uuid              NOT NULL,
    work_order_id          uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id            uuid              NOT NULL,
    service_location_id    uuid              NOT NULL,
    job_type_id            uuid              NOT NULL,
    business_unit_id       uuid              NOT NULL,
    project_id             uuid,
    agreement_id           uuid,
    booking_request_id     uuid,
    campaign_id            uuid,
    original_work_order_id uuid,
    closing_reason_code_id uuid,
    work_order_number      system_core.code  NOT NULL,
    summary                text              NOT NULL,
    status                 text              NOT NULL DEFAULT 'requested',
    priority               text              NOT NULL DEFAULT 'normal',
    source                 text              NOT NULL DEFAULT 'call',
    quoted_amount          system_core.money,
    actual_cost_amount     system_core.money NOT NULL DEFAULT 0,
    customer_po_number     text,
    requested_at           timestamptz       NOT NULL DEFAULT now(),
    promised_by_at         timestamptz,
    approved_at            timestamptz,
    first_dispatched_at    timestamptz,
    started_at             timestamptz,
    completed_at           timestamptz,
    invoiced_at            timestamptz,
    closed_at              timestamptz,
    created_at             timestamptz       NOT NULL DEFAULT now(),
    updated_at             timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, work_order_id),
    UNIQUE (business_id, work_order_number),
    FOREIGN KEY (business_id, customer_id) REFERENCES hs.customer (business_id, customer_id),
    FOREIGN KEY (business_id, service_location_id)
        REFERENCES hs.service_location (business_id, service_location_id),
    FOREIGN KEY (business_id, job_type_id) REFERENCES hs.job_type (business_id, job_type_id),
    FOREIGN KEY (business_id, business_unit_id)
        REFERENCES hs.business_unit (business_id, business_unit_id),
    FOREIGN KEY (business_id, booking_request_id)
        REFERENCES hs.booking_request (business_id, booking_request_id),
    FOREIGN KEY (business_id, campaign_id) REFERENCES hs.campaign (business_id, campaign_id),
    FOREIGN KEY (business_id, original_work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, closing_reason_code_id)
        REFERENCES hs.reason_code (business_id, reason_code_id),
    CONSTRAINT work_order_status_known
        CHECK (status IN ('requested', 'quoted', 'approved', 'scheduled', 'dispatched',
                          'en_route', 'in_progress', 'on_hold', 'completed', 'invoiced',
                          'closed', 'cancelled')),
    CONSTRAINT work_order_priority_known
        CHECK (priority IN ('emergency', 'urgent', 'high', 'normal', 'low')),
    CONSTRAINT work_order_source_known
        CHECK (source IN ('call', 'web', 'agreement', 'estimate', 'callback', 'warranty',
                          'partner')),
    CONSTRAINT work_order_callback_names_its_original
        CHECK (source NOT IN ('callback', 'warranty') OR original_work_order_id IS NOT NULL),
    CONSTRAINT work_order_not_its_own_original CHECK (original_work_order_id <> work_order_id),
    CONSTRAINT work_order_starts_after_request CHECK (started_at >= requested_at),
    CONSTRAINT work_order_completed_after_start CHECK (completed_at >= started_at),
    CONSTRAINT work_order_invoiced_after_completion CHECK (invoiced_at >= completed_at),
    CONSTRAINT work_order_closed_after_completion
        CHECK (closed_at >= coalesce(completed_at, started_at, requested_at)),
    CONSTRAINT work_order_dispatched_after_request CHECK (first_dispatched_at >= requested_at),
    CONSTRAINT work_order_approved_after_request CHECK (approved_at >= requested_at),
    CONSTRAINT work_order_approved_has_time CHECK (status <> 'approved' OR approved_at IS NOT NULL),
    CONSTRAINT work_order_dispatched_has_time
        CHECK (status NOT IN ('dispatched', 'en_route') OR first_dispatched_at IS NOT NULL),
    CONSTRAINT work_order_started_has_time
        CHECK (status NOT IN ('in_progress', 'completed', 'invoiced', 'closed')
               OR started_at IS NOT NULL),
    CONSTRAINT work_order_completed_has_time
        CHECK ((status IN ('completed', 'invoiced', 'closed')) = (completed_at IS NOT NULL)),
    CONSTRAINT work_order_invoiced_has_time CHECK (status <> 'invoiced' OR invoiced_at IS NOT NULL),
    CONSTRAINT work_order_ended_has_time
        CHECK ((status IN ('closed', 'cancelled')) = (closed_at IS NOT NULL)),
    CONSTRAINT work_order_amounts_not_negative
        CHECK (quoted_amount >= 0 AND actual_cost_amount >= 0)
);

COMMENT ON TABLE hs.work_order IS
    'One job at one place, in one of twelve states from requested to closed or cancelled.';
COMMENT ON COLUMN hs.work_order.original_work_order_id IS
    'The job whose fault this one puts right: of a callback and of warranty work.';
COMMENT ON COLUMN hs.work_order.first_dispatched_at IS
    'The first time somebody was sent; it stays when the job comes back to the board.';
COMMENT ON COLUMN hs.work_order.started_at IS 'The first time somebody worked on it.';
COMMENT ON COLUMN hs.work_order.completed_at IS
    'The last time the work was done; empty again when it is reopened.';
COMMENT ON COLUMN hs.work_order.closed_at IS 'When it ended, closed or cancelled.';
COMMENT ON COLUMN hs.work_order.actual_cost_amount IS
    'What its lines cost, kept by hs.cost_work_orders.';

-- FK and caller pop: the newest orders of a customer.
CREATE INDEX work_order_customer_idx
    ON hs.work_order (business_id, customer_id, requested_at DESC);

-- FK: the history of a place.
CREATE INDEX work_order_location_idx
    ON hs.work_order (business_id, service_location_id, requested_at DESC);

-- The queue: what is not at its end, by how urgent and how old.
CREATE INDEX work_order_open_idx
    ON hs.work_order (business_id, status, requested_at)
    WHERE status NOT IN ('closed', 'cancelled');

-- FK: jobs of a kind.
CREATE INDEX work_order_job_type_idx ON hs.work_order (business_id, job_type_id);

-- FK: jobs of a unit, by when they were done, for its revenue.
CREATE INDEX work_order_unit_idx ON hs.work_order (business_id, business_unit_id, completed_at);

-- FK: the jobs of a project.
CREATE INDEX work_order_project_idx
    ON hs.work_order (business_id, project_id)
    WHERE project_id IS NOT NULL;

-- FK: the visits of an agreement.
CREATE INDEX work_order_agreement_idx
    ON hs.work_order (business_id, agreement_id)
    WHERE agreement_id IS NOT NULL;

-- FK: what a booking became.
CREATE INDEX work_order_booking_idx
    ON hs.work_order (business_id, booking_request_id)
    WHERE booking_request_id IS NOT NULL;

-- FK: what a campaign brought.
CREATE INDEX work_order_campaign_idx
    ON hs.work_order (business_id, campaign_id)
    WHERE campaign_id IS NOT NULL;

-- FK: the callbacks of a job.
CREATE INDEX work_order_original_idx
    ON hs.work_order (business_id, original_work_order_id)
    WHERE original_work_order_id IS NOT NULL;

-- FK: why jobs end.
CREATE INDEX work_order_closing_reason_idx
    ON hs.work_order (business_id, closing_reason_code_id)
    WHERE closing_reason_code_id IS NOT NULL;

ALTER TABLE hs.work_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.work_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.work_order TO app_user;
GRANT SELECT ON hs.work_order TO app_readonly;

CREATE TRIGGER work_order_touch
    BEFORE UPDATE ON hs.work_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

-- The stock that a job used and the orders that were placed for it come before it in the load
-- order.
ALTER TABLE hs.stock_movement
    ADD FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id);
ALTER TABLE hs.purchase_order
    ADD FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id);

CREATE TRIGGER work_order_of_serviceable_customer
    AFTER INSERT ON hs.work_order
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_serviceable_customer();


CREATE TABLE hs.work_order_transition_rule (
    business_id                   uuid        NOT NULL,
    work_order_transition_rule_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    from_status                   text        NOT NULL,
    to_status                     text        NOT NULL,
    actor_role                    text        NOT NULL,
    requires_reason               boolean     NOT NULL DEFAULT false,
    requires_signature            boolean     NOT NULL DEFAULT false,
    requires_payment              boolean     NOT NULL DEFAULT false,
    requires_checklist            boolean     NOT NULL DEFAULT false,
    is_customer_notified          boolean     NOT NULL DEFAULT false,
    is_enabled                    boolean     NOT NULL DEFAULT true,
    guard_note                    text,
    created_at                    timestamptz NOT NULL DEFAULT now(),
    updated_at                    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, work_order_transition_rule_id),
    UNIQUE (business_id, from_status, to_status, actor_role),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT work_order_transition_rule_is_an_edge
        CHECK (hs.is_work_order_edge(from_status, to_status)),
    CONSTRAINT work_order_transition_rule_role_known
        CHECK (actor_role IN ('csr', 'dispatcher', 'technician', 'manager', 'system'))
);

COMMENT ON TABLE hs.work_order_transition_rule IS
    'Which role may make which of the 37 moves, and what must be there first.';
COMMENT ON COLUMN hs.work_order_transition_rule.guard_note IS
    'What people are told when the move is refused.';

ALTER TABLE hs.work_order_transition_rule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.work_order_transition_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.work_order_transition_rule TO app_user;
GRANT SELECT ON hs.work_order_transition_rule TO app_readonly;

CREATE TRIGGER work_order_transition_rule_touch
    BEFORE UPDATE ON hs.work_order_transition_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.standard_work_order_rules()
    RETURNS TABLE (from_status text, to_status text, actor_role text, requires_reason boolean,
                   requires_checklist boolean, is_customer_notified boolean)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH state (status, place) AS (
        VALUES ('requested', 1), ('quoted', 2), ('approved', 3), ('scheduled', 4),
               ('dispatched', 5), ('en_route', 6), ('in_progress', 7), ('on_hold', 8),
               ('completed', 9), ('invoiced', 10), ('closed', 11), ('cancelled', 12)
    ), edge AS (
        SELECT f.status AS from_status, t.status AS to_status, f.place, t.place AS next_place
        FROM state AS f
        CROSS JOIN state AS t
        WHERE hs.is_work_order_edge(f.status, t.status)
    )
    SELECT e.from_status, e.to_status, r.actor_role,
           r.actor_role <> 'system'
               AND (e.to_status IN ('on_hold', 'cancelled')
                    OR (e.from_status, e.to_status) = ('en_route', 'scheduled')
                    OR (e.place >= 9 AND e.next_place < e.place)),
           e.to_status = 'completed' AND e.from_status = 'in_progress',
           e.to_status IN ('scheduled', 'en_route', 'completed', 'cancelled')
    FROM edge AS e
    CROSS JOIN (VALUES ('csr'), ('dispatcher'), ('technician'), ('manager'), ('system'))
        AS r (actor_role)
    WHERE CASE r.actor_role
        WHEN 'manager' THEN true
        WHEN 'csr' THEN
            e.from_status IN ('requested', 'quoted')
            OR (e.from_status, e.to_status) IN (('approved', 'scheduled'),
                                                ('scheduled', 'approved'),
                                                ('scheduled', 'cancelled'))
        WHEN 'dispatcher' THEN
            e.from_status IN ('approved', 'scheduled', 'dispatched', 'en_route', 'on_hold')
            OR (e.from_status, e.to_status) IN (('requested', 'scheduled'),
                                                ('completed', 'scheduled'))
        WHEN 'technician' THEN
            (e.from_status, e.to_status) IN (('dispatched', 'en_route'),
                                             ('en_route', 'dispatched'),
                                             ('en_route', 'in_progress'),
                                             ('en_route', 'scheduled'),
                                             ('in_progress', 'on_hold'),
                                             ('in_progress', 'completed'),
                                             ('in_progress', 'scheduled'),
                                             ('on_hold', 'in_progress'))
        ELSE (e.from_status, e.to_status) IN (('quoted', 'approved'), ('requested', 'scheduled'),
                                              ('approved', 'scheduled'),
                                              ('completed', 'invoiced'), ('completed', 'closed'),
                                              ('invoiced', 'completed'), ('invoiced', 'closed'))
    END;
END;
COMMENT ON FUNCTION hs.standard_work_order_rules() IS
    'The rules that a business starts with: the office books, the board dispatches, the technician
     does the work, money is the system''s, and a manager may do everything with a reason.';

CREATE FUNCTION hs.adopt_standard_rules() RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    adopted integer;
BEGIN
    INSERT INTO hs.work_order_transition_rule
        (business_id, from_status, to_status, actor_role, requires_reason, requires_checklist,
         is_customer_notified)
    SELECT tenant_mgmt.current_business_id(), r.from_status, r.to_status, r.actor_role,
           r.requires_reason, r.requires_checklist, r.is_customer_notified
    FROM hs.standard_work_order_rules() AS r
    ON CONFLICT (business_id, from_status, to_status, actor_role) DO NOTHING;
    GET DIAGNOSTICS adopted = ROW_COUNT;
    RETURN adopted;
END
$$;
COMMENT ON FUNCTION hs.adopt_standard_rules() IS
    'Gives the tenant the standard rules it does not have yet; its own stay as they are. Returns
     how many were added.';


CREATE TABLE hs.work_order_status_event (
    business_id                uuid                  NOT NULL,
    work_order_status_event_id uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    work_order_id              uuid                  NOT NULL,
    technician_id              uuid,
    reason_code_id             uuid,
    actor_user_account_id      uuid,
    from_status                text,
    to_status                  text                  NOT NULL,
    dwell_seconds              bigint,
    latitude                   system_core.latitude,
    longitude                  system_core.longitude,
    source                     text                  NOT NULL DEFAULT 'app',
    note_text                  text,
    client_event_ref           text,
    occurred_at                timestamptz           NOT NULL DEFAULT clock_timestamp(),
    created_at                 timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, work_order_status_event_id, occurred_at),
    UNIQUE (business_id, client_event_ref, occurred_at),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, reason_code_id)
        REFERENCES hs.reason_code (business_id, reason_code_id),
    FOREIGN KEY (business_id, actor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT work_order_status_event_is_an_edge
        CHECK (from_status IS NULL OR hs.is_work_order_edge(from_status, to_status)),
    CONSTRAINT work_order_status_event_to_status_known
        CHECK (to_status IN ('requested', 'quoted', 'approved', 'scheduled', 'dispatched',
                             'en_route', 'in_progress', 'on_hold', 'completed', 'invoiced',
                             'closed', 'cancelled')),
    CONSTRAINT work_order_status_event_dwell_not_negative CHECK (dwell_seconds >= 0),
    CONSTRAINT work_order_status_event_first_has_no_dwell
        CHECK (from_status IS NOT NULL OR dwell_seconds IS NULL),
    CONSTRAINT work_order_status_event_source_known
        CHECK (source IN ('app', 'board', 'api', 'automation', 'import')),
    CONSTRAINT work_order_status_event_place_is_whole
        CHECK ((latitude IS NULL) = (longitude IS NULL))
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE hs.work_order_status_event IS
    'A move of a work order: append only, one link of a chain from its first state to now.';
COMMENT ON COLUMN hs.work_order_status_event.from_status IS 'NULL in the first event alone.';
COMMENT ON COLUMN hs.work_order_status_event.dwell_seconds IS
    'How long it was in from_status; NULL where that is not known.';
COMMENT ON COLUMN hs.work_order_status_event.client_event_ref IS
    'The app''s own number of the tap, so that what it sends again when it is back online is
     done once.';

-- FK: the chain of a work order, newest first.
CREATE INDEX work_order_status_event_order_idx
    ON hs.work_order_status_event (business_id, work_order_id, occurred_at DESC);

-- FK: the taps of a technician.
CREATE INDEX work_order_status_event_technician_idx
    ON hs.work_order_status_event (business_id, technician_id, occurred_at)
    WHERE technician_id IS NOT NULL;

-- FK: how often a reason is given.
CREATE INDEX work_order_status_event_reason_idx
    ON hs.work_order_status_event (business_id, reason_code_id)
    WHERE reason_code_id IS NOT NULL;

-- FK: what an account did.
CREATE INDEX work_order_status_event_actor_idx
    ON hs.work_order_status_event (business_id, actor_user_account_id)
    WHERE actor_user_account_id IS NOT NULL;

ALTER TABLE hs.work_order_status_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.work_order_status_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON hs.work_order_status_event TO app_user;
GRANT SELECT ON hs.work_order_status_event TO app_readonly;

CREATE TRIGGER work_order_status_event_append_only
    BEFORE UPDATE OR DELETE ON hs.work_order_status_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('hs.work_order_status_event');

CREATE FUNCTION hs.require_chained_events() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    broken record;
BEGIN
    SELECT n.from_status, n.to_status, n.work_order_id, earlier.to_status AS before_it INTO broken
    FROM happened AS n
    LEFT JOIN LATERAL (
        SELECT e.to_status FROM hs.work_order_status_event AS e
        WHERE e.business_id = n.business_id AND e.work_order_id = n.work_order_id
          AND e.occurred_at < n.occurred_at
        ORDER BY e.occurred_at DESC
        LIMIT 1
    ) AS earlier ON true
    LEFT JOIN LATERAL (
        SELECT e.from_status FROM hs.work_order_status_event AS e
        WHERE e.business_id = n.business_id AND e.work_order_id = n.work_order_id
          -- The first line bounds what is read of the index, the others only what counts.
          AND e.occurred_at >= n.occurred_at
          AND (e.occurred_at > n.occurred_at
               OR e.work_order_status_event_id <> n.work_order_status_event_id)
        ORDER BY e.occurred_at
        LIMIT 1
    ) AS later ON true
    WHERE (earlier.to_status IS NOT NULL AND n.from_status IS DISTINCT FROM earlier.to_status)
       OR later.from_status <> n.to_status
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the history of work order % does not join: % to % after %',
                        broken.work_order_id, coalesce(broken.from_status, 'nothing'),
                        broken.to_status, coalesce(broken.before_it, 'nothing')
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.require_chained_events() IS
    'Each event starts where the one before it ended, so only the first has no from_status.';

CREATE TRIGGER work_order_status_event_chained
    AFTER INSERT ON hs.work_order_status_event
    REFERENCING NEW TABLE AS happened
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_chained_events();

CREATE TABLE hs.work_order_status_event_default
    PARTITION OF hs.work_order_status_event DEFAULT;
ALTER TABLE hs.work_order_status_event_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.work_order_status_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('hs.work_order_status_event', 'month',
                                     behind => 3, ahead => 1);


CREATE TABLE hs.work_order_line (
    business_id           uuid                   NOT NULL,
    work_order_line_id    uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    work_order_id         uuid                   NOT NULL,
    service_task_id       uuid,
    stock_item_id         uuid,
    serialized_unit_id    uuid,
    change_order_id       uuid,
    sold_by_technician_id uuid,
    line_no               integer                NOT NULL,
    line_kind             text                   NOT NULL DEFAULT 'service',
    description           text                   NOT NULL,
    line_qty              system_core.quantity   NOT NULL DEFAULT 1,
    unit_price            system_core.unit_price NOT NULL DEFAULT 0,
    unit_cost             system_core.unit_price NOT NULL DEFAULT 0,
    discount_amount       system_core.money      NOT NULL DEFAULT 0,
    tax_pct               system_core.percentage NOT NULL DEFAULT 0,
    line_total            system_core.money
        GENERATED ALWAYS AS (round(line_qty * unit_price - discount_amount, 2)) STORED,
    is_billable           boolean                NOT NULL DEFAULT true,
    coverage              text                   NOT NULL DEFAULT 'customer',
    performed_at          timestamptz,
    voided_at             timestamptz,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, work_order_line_id),
    UNIQUE (business_id, work_order_id, line_no),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, service_task_id)
        REFERENCES hs.service_task (business_id, service_task_id),
    FOREIGN KEY (business_id, stock_item_id)
        REFERENCES hs.stock_item (business_id, stock_item_id),
    FOREIGN KEY (business_id, serialized_unit_id)
        REFERENCES hs.serialized_unit (business_id, serialized_unit_id),
    FOREIGN KEY (business_id, sold_by_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT work_order_line_kind_known
        CHECK (line_kind IN ('service', 'material', 'equipment', 'labor', 'fee', 'discount',
                             'subcontract')),
    CONSTRAINT work_order_line_coverage_known
        CHECK (coverage IN ('customer', 'agreement', 'warranty', 'goodwill', 'insurance')),
    CONSTRAINT work_order_line_unit_is_equipment
        CHECK (serialized_unit_id IS NULL OR line_kind = 'equipment'),
    CONSTRAINT work_order_line_discount_not_negative CHECK (discount_amount >= 0),
    CONSTRAINT work_order_line_cost_not_negative CHECK (unit_cost >= 0 AND line_qty >= 0),
    CONSTRAINT work_order_line_tax_bounded CHECK (tax_pct BETWEEN 0 AND 100),
    CONSTRAINT work_order_line_no_positive CHECK (line_no >= 1)
);

COMMENT ON TABLE hs.work_order_line IS
    'What was done or used on a job, who pays for it, and who sold it.';
COMMENT ON COLUMN hs.work_order_line.coverage IS
    'Who bears it: only lines of the customer and of an insurance come on a bill.';
COMMENT ON COLUMN hs.work_order_line.voided_at IS
    'Struck out after all; it counts neither as price nor as cost.';

-- FK: the jobs that a task of the price book was sold on.
CREATE INDEX work_order_line_task_idx
    ON hs.work_order_line (business_id, service_task_id)
    WHERE service_task_id IS NOT NULL;

-- FK: where an item went.
CREATE INDEX work_order_line_item_idx
    ON hs.work_order_line (business_id, stock_item_id)
    WHERE stock_item_id IS NOT NULL;

-- FK: the job that a piece was put in on.
CREATE INDEX work_order_line_unit_idx
    ON hs.work_order_line (business_id, serialized_unit_id)
    WHERE serialized_unit_id IS NOT NULL;

-- FK: the lines of a change order.
CREATE INDEX work_order_line_change_order_idx
    ON hs.work_order_line (business_id, change_order_id)
    WHERE change_order_id IS NOT NULL;

-- FK: what a technician sold.
CREATE INDEX work_order_line_seller_idx
    ON hs.work_order_line (business_id, sold_by_technician_id)
    WHERE sold_by_technician_id IS NOT NULL;

ALTER TABLE hs.work_order_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.work_order_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.work_order_line TO app_user;
GRANT SELECT ON hs.work_order_line TO app_readonly;

CREATE TRIGGER work_order_line_touch
    BEFORE UPDATE ON hs.work_order_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.cost_work_orders() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE hs.work_order AS w
    SET actual_cost_amount = c.cost
    FROM (
        SELECT t.business_id, t.work_order_id,
               (SELECT coalesce(round(sum(l.line_qty * l.unit_cost), 2), 0)
                FROM hs.work_order_line AS l
                WHERE l.business_id = t.business_id AND l.work_order_id = t.work_order_id
                  AND l.voided_at IS NULL) AS cost
        FROM (SELECT DISTINCT x.business_id, x.work_order_id FROM changed AS x) AS t
    ) AS c
    WHERE w.business_id = c.business_id AND w.work_order_id = c.work_order_id
      AND w.actual_cost_amount <> c.cost;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.cost_work_orders() IS 'A job costs what its lines cost that are not voided.';

CREATE TRIGGER work_order_line_cost_insert
    AFTER INSERT ON hs.work_order_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.cost_work_orders();

CREATE TRIGGER work_order_line_cost_update
    AFTER UPDATE ON hs.work_order_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.cost_work_orders();

CREATE TRIGGER work_order_line_cost_delete
    AFTER DELETE ON hs.work_order_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.cost_work_orders();

CREATE FUNCTION hs.keep_line_on_its_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'line % cannot move to another work order', OLD.line_no
        USING ERRCODE = 'check_violation',
              HINT = 'Void it and write it on the other order.';
END
$$;
COMMENT ON FUNCTION hs.keep_line_on_its_order() IS
    'A line belongs to the job that it was done on; both would be costed wrongly.';

CREATE TRIGGER work_order_line_stays
    BEFORE UPDATE OF work_order_id ON hs.work_order_line
    FOR EACH ROW WHEN (NEW.work_order_id <> OLD.work_order_id)
    EXECUTE FUNCTION hs.keep_line_on_its_order();


CREATE TABLE hs.work_order_task (
    business_id                uuid        NOT NULL,
    work_order_task_id         uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    work_order_id              uuid        NOT NULL,
    completed_by_technician_id uuid,
    evidence_file_id           uuid,
    task_seq                   integer     NOT NULL,
    instruction                text        NOT NULL,
    task_kind                  text        NOT NULL DEFAULT 'repair',
    status                     text        NOT NULL DEFAULT 'pending',
    is_mandatory               boolean     NOT NULL DEFAULT true,
    skipped_reason             text,
    measured_text              text,
    expected_minutes           integer     NOT NULL DEFAULT 10,
    started_at                 timestamptz,
    completed_at               timestamptz,
    created_at                 timestamptz NOT NULL DEFAULT now(),
    updated_at                 timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, work_order_task_id),
    UNIQUE (business_id, work_order_id, task_seq),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, completed_by_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, evidence_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT work_order_task_kind_known
        CHECK (task_kind IN ('safety', 'diagnostic', 'repair', 'test', 'cleanup',
                             'documentation')),
    CONSTRAINT work_order_task_status_known
        CHECK (status IN ('pending', 'done', 'skipped', 'not_applicable')),
    CONSTRAINT work_order_task_mandatory_is_skipped_for_a_reason
        CHECK (status <> 'skipped' OR NOT is_mandatory OR skipped_reason IS NOT NULL),
    CONSTRAINT work_order_task_done_has_time CHECK ((status = 'done') = (completed_at IS NOT NULL)),
    CONSTRAINT work_order_task_done_after_start CHECK (completed_at >= started_at),
    CONSTRAINT work_order_task_minutes_not_negative CHECK (expected_minutes >= 0),
    CONSTRAINT work_order_task_seq_positive CHECK (task_seq >= 1)
);

COMMENT ON TABLE hs.work_order_task IS 'A step of the job that is ticked off on site.';
COMMENT ON COLUMN hs.work_order_task.measured_text IS
    'What was read, with its unit, as written down: "12 psi", "0.4 in. w.c.".';

-- FK: the steps that a technician did.
CREATE INDEX work_order_task_technician_idx
    ON hs.work_order_task (business_id, completed_by_technician_id)
    WHERE completed_by_technician_id IS NOT NULL;

-- FK: the step that a file proves.
CREATE INDEX work_order_task_file_idx
    ON hs.work_order_task (business_id, evidence_file_id)
    WHERE evidence_file_id IS NOT NULL;

ALTER TABLE hs.work_order_task ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.work_order_task
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.work_order_task TO app_user;
GRANT SELECT ON hs.work_order_task TO app_readonly;

CREATE TRIGGER work_order_task_touch
    BEFORE UPDATE ON hs.work_order_task
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.work_order_equipment (
    business_id             uuid           NOT NULL,
    work_order_equipment_id uuid           NOT NULL DEFAULT system_core.uuid_v7(),
    work_order_id           uuid           NOT NULL,
    installed_equipment_id  uuid           NOT NULL,
    service_action          text           NOT NULL DEFAULT 'inspected',
    condition_before        text,
    condition_after         text,
    failure_code            text,
    cause_code              text,
    remedy_code             text,
    downtime_hours          numeric(10, 2) NOT NULL DEFAULT 0,
    recommendation          text,
    is_primary              boolean        NOT NULL DEFAULT false,
    created_at              timestamptz    NOT NULL DEFAULT now(),
    updated_at              timestamptz    NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, work_order_equipment_id),
    UNIQUE (business_id, work_order_id, installed_equipment_id),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id) ON DELETE CASCADE,
    CONSTRAINT work_order_equipment_action_known
        CHECK (service_action IN ('inspected', 'maintained', 'repaired', 'replaced', 'removed',
                                  'installed')),
    CONSTRAINT work_order_equipment_before_known
        CHECK (condition_before IN ('good', 'fair', 'poor', 'failed', 'unsafe')),
    CONSTRAINT work_order_equipment_after_known
        CHECK (condition_after IN ('good', 'fair', 'poor', 'failed', 'unsafe')),
    CONSTRAINT work_order_equipment_downtime_not_negative CHECK (downtime_hours >= 0)
);

COMMENT ON TABLE hs.work_order_equipment IS
    'A unit that was serviced on a job: what failed, why, and what was done about it.';
COMMENT ON COLUMN hs.work_order_equipment.is_primary IS 'The unit that the customer called about.';

-- One unit is what the job is about.
CREATE UNIQUE INDEX work_order_equipment_primary_idx
    ON hs.work_order_equipment (business_id, work_order_id)
    WHERE is_primary;

-- FK: the service history of a unit.
CREATE INDEX work_order_equipment_unit_idx
    ON hs.work_order_equipment (business_id, installed_equipment_id);

ALTER TABLE hs.work_order_equipment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.work_order_equipment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.work_order_equipment TO app_user;
GRANT SELECT ON hs.work_order_equipment TO app_readonly;

CREATE TRIGGER work_order_equipment_touch
    BEFORE UPDATE ON hs.work_order_equipment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.retire_equipment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active('hs.work_order_equipment') THEN
        UPDATE hs.installed_equipment AS e
        SET status = 'removed', removed_on = greatest(current_date, e.installed_on)
        FROM changed AS c
        WHERE c.service_action IN ('replaced', 'removed')
          AND e.business_id = c.business_id
          AND e.installed_equipment_id = c.installed_equipment_id
          AND e.status IN ('active', 'inactive');
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.retire_equipment() IS
    'A unit that was replaced or removed on a job is in service no more. Imported history leaves
     the unit as it was imported.';

CREATE TRIGGER work_order_equipment_retire_insert
    AFTER INSERT ON hs.work_order_equipment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.retire_equipment();

CREATE TRIGGER work_order_equipment_retire_update
    AFTER UPDATE ON hs.work_order_equipment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.retire_equipment();


CREATE TABLE hs.work_order_hold (
    business_id         uuid        NOT NULL,
    work_order_hold_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    work_order_id       uuid        NOT NULL,
    reason_code_id      uuid        NOT NULL,
    purchase_order_id   uuid,
    permit_id           uuid,
    hold_kind           text        NOT NULL,
    escalation_no       integer     NOT NULL DEFAULT 0,
    is_sla_paused       boolean     NOT NULL DEFAULT false,
    expected_release_on date,
    note_text           text,
    held_at             timestamptz NOT NULL DEFAULT now(),
    last_chased_at      timestamptz,
    released_at         timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, work_order_hold_id),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, reason_code_id)
        REFERENCES hs.reason_code (business_id, reason_code_id),
    FOREIGN KEY (business_id, purchase_order_id)
        REFERENCES hs.purchase_order (business_id, purchase_order_id),
    CONSTRAINT work_order_hold_kind_known
        CHECK (hold_kind IN ('parts', 'customer', 'permit', 'weather', 'financing', 'safety',
                             'crew')),
    CONSTRAINT work_order_hold_released_after_start CHECK (released_at >= held_at),
    CONSTRAINT work_order_hold_order_is_for_parts
        CHECK (purchase_order_id IS NULL OR hold_kind = 'parts'),
    CONSTRAINT work_order_hold_permit_is_for_a_permit
        CHECK (permit_id IS NULL OR hold_kind = 'permit'),
    CONSTRAINT work_order_hold_escalation_not_negative CHECK (escalation_no >= 0)
);

COMMENT ON TABLE hs.work_order_hold IS
    'Why a job stands still, until when, and whether the clock of its promise stands still too.';
COMMENT ON COLUMN hs.work_order_hold.purchase_order_id IS
    'The order that the parts come with, once they are ordered.';

-- One open hold per job; also finds it.
CREATE UNIQUE INDEX work_order_hold_open_idx
    ON hs.work_order_hold (business_id, work_order_id)
    WHERE released_at IS NULL;

-- FK: the holds of a job.
CREATE INDEX work_order_hold_order_idx ON hs.work_order_hold (business_id, work_order_id);

-- FK: how often a reason holds jobs up.
CREATE INDEX work_order_hold_reason_idx ON hs.work_order_hold (business_id, reason_code_id);

-- FK: the jobs that wait for a purchase order.
CREATE INDEX work_order_hold_purchase_idx
    ON hs.work_order_hold (business_id, purchase_order_id)
    WHERE purchase_order_id IS NOT NULL;

-- FK: the jobs that wait for a permit.
CREATE INDEX work_order_hold_permit_idx
    ON hs.work_order_hold (business_id, permit_id)
    WHERE permit_id IS NOT NULL;

ALTER TABLE hs.work_order_hold ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.work_order_hold
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.work_order_hold TO app_user;
GRANT SELECT ON hs.work_order_hold TO app_readonly;

CREATE TRIGGER work_order_hold_touch
    BEFORE UPDATE ON hs.work_order_hold
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.require_reason_for_hold() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    reason hs.reason_code;
BEGIN
    SELECT r.* INTO reason FROM hs.reason_code AS r
    WHERE r.business_id = NEW.business_id AND r.reason_code_id = NEW.reason_code_id;
    IF FOUND AND reason.reason_context <> 'hold' THEN
        RAISE EXCEPTION 'reason % is no reason for a hold', reason.code
            USING ERRCODE = 'check_violation';
    END IF;
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;   -- The tenant may have asked for less when it was written.
    END IF;
    IF reason.requires_release_date AND NEW.expected_release_on IS NULL THEN
        RAISE EXCEPTION 'a hold for reason % needs the day on which it ends', reason.code
            USING ERRCODE = 'check_violation';
    END IF;
    IF reason.requires_note AND NEW.note_text IS NULL THEN
        RAISE EXCEPTION 'a hold for reason % needs a note', reason.code
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.require_reason_for_hold() IS
    'A hold has a reason for holds, with the day and the note that the tenant asks for.';

CREATE TRIGGER work_order_hold_reason
    BEFORE INSERT OR UPDATE OF reason_code_id, expected_release_on, note_text
    ON hs.work_order_hold
    FOR EACH ROW EXECUTE FUNCTION hs.require_reason_for_hold();


CREATE TABLE hs.work_order_media (
    business_id            uuid                  NOT NULL,
    work_order_media_id    uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    work_order_id          uuid                  NOT NULL,
    file_object_id         uuid                  NOT NULL,
    installed_equipment_id uuid,
    technician_id          uuid,
    media_kind             text                  NOT NULL DEFAULT 'photo',
    stage                  text                  NOT NULL DEFAULT 'during',
    caption                text,
    latitude               system_core.latitude,
    longitude              system_core.longitude,
    extracted_fields       system_core.json_object,
    is_customer_visible    boolean               NOT NULL DEFAULT true,
    taken_at               timestamptz           NOT NULL DEFAULT now(),
    created_at             timestamptz           NOT NULL DEFAULT now(),
    updated_at             timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, work_order_media_id),
    UNIQUE (business_id, work_order_id, file_object_id),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT work_order_media_kind_known
        CHECK (media_kind IN ('photo', 'video', 'audio', 'document', 'nameplate')),
    CONSTRAINT work_order_media_stage_known
        CHECK (stage IN ('before', 'during', 'after', 'damage', 'safety')),
    CONSTRAINT work_order_media_fields_of_a_nameplate
        CHECK (extracted_fields IS NULL OR media_kind = 'nameplate'),
    CONSTRAINT work_order_media_place_is_whole CHECK ((latitude IS NULL) = (longitude IS NULL))
);

COMMENT ON TABLE hs.work_order_media IS
    'A photo, video or document of a job; of a nameplate, with what was read from it.';
COMMENT ON COLUMN hs.work_order_media.extracted_fields IS
    'What was read: {"model": {"value": "…", "confidence": 0.97}, "serial": …,
     "manufactured_on": …}; see hs.v_nameplate_reading.';

-- FK: where a file is shown.
CREATE INDEX work_order_media_file_idx ON hs.work_order_media (business_id, file_object_id);

-- FK: the pictures of a unit.
CREATE INDEX work_order_media_equipment_idx
    ON hs.work_order_media (business_id, installed_equipment_id)
    WHERE installed_equipment_id IS NOT NULL;

-- FK: what a technician took.
CREATE INDEX work_order_media_technician_idx
    ON hs.work_order_media (business_id, technician_id)
    WHERE technician_id IS NOT NULL;

ALTER TABLE hs.work_order_media ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.work_order_media
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.work_order_media TO app_user;
GRANT SELECT ON hs.work_order_media TO app_readonly;

CREATE TRIGGER work_order_media_touch
    BEFORE UPDATE ON hs.work_order_media
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE VIEW hs.v_nameplate_reading
    WITH (security_invoker = true) AS
SELECT m.business_id, m.work_order_media_id, m.work_order_id, m.installed_equipment_id,
       m.taken_at, f.model, f.serial, f.manufactured_on,
       least(f.model_confidence, f.serial_confidence, f.manufactured_confidence)
           AS lowest_confidence
FROM hs.work_order_media AS m
CROSS JOIN LATERAL JSON_TABLE(m.extracted_fields::jsonb, '$' COLUMNS (
    model                   text    PATH '$.model.value',
    model_confidence        numeric PATH '$.model.confidence',
    serial                  text    PATH '$.serial.value',
    serial_confidence       numeric PATH '$.serial.confidence',
    manufactured_on         date    PATH '$.manufactured_on.value',
    manufactured_confidence numeric PATH '$.manufactured_on.confidence')) AS f
WHERE m.business_id = tenant_mgmt.current_business_id() AND m.media_kind = 'nameplate';
COMMENT ON VIEW hs.v_nameplate_reading IS
    'What was read from nameplates, and how sure the least sure of it is.';
GRANT SELECT ON hs.v_nameplate_reading TO app_user, app_readonly;


CREATE TABLE hs.customer_signature (
    business_id           uuid                    NOT NULL,
    customer_signature_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    work_order_id         uuid                    NOT NULL,
    customer_contact_id   uuid,
    signature_file_id     uuid                    NOT NULL,
    signature_kind        text                    NOT NULL DEFAULT 'completion',
    signer_name           system_core.person_name NOT NULL,
    signer_relationship   text                    NOT NULL DEFAULT 'customer',
    document_hash         system_core.sha256      NOT NULL,
    consent_text_version  text                    NOT NULL,
    ip_address            inet,
    latitude              system_core.latitude,
    longitude             system_core.longitude,
    is_refused            boolean                 NOT NULL DEFAULT false,
    refusal_reason        text,
    signed_at             timestamptz             NOT NULL DEFAULT now(),
    created_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, customer_signature_id),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, customer_contact_id)
        REFERENCES hs.customer_contact (business_id, customer_contact_id),
    FOREIGN KEY (business_id, signature_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT customer_signature_kind_known
        CHECK (signature_kind IN ('work_authorization', 'completion', 'change_order', 'waiver')),
    CONSTRAINT customer_signature_refused_for_a_reason
        CHECK (is_refused = (refusal_reason IS NOT NULL)),
    CONSTRAINT customer_signature_place_is_whole
        CHECK ((latitude IS NULL) = (longitude IS NULL))
);

COMMENT ON TABLE hs.customer_signature IS
    'What a customer signed, or would not sign; bound to the hash of what was shown. Append only.';
COMMENT ON COLUMN hs.customer_signature.document_hash IS 'SHA-256 of the document as shown.';

-- FK and guard: what was signed on a job.
CREATE INDEX customer_signature_order_idx
    ON hs.customer_signature (business_id, work_order_id, signature_kind);

-- FK: what a contact signed.
CREATE INDEX customer_signature_contact_idx
    ON hs.customer_signature (business_id, customer_contact_id)
    WHERE customer_contact_id IS NOT NULL;

-- FK: the signature that a file shows.
CREATE INDEX customer_signature_file_idx
    ON hs.customer_signature (business_id, signature_file_id);

ALTER TABLE hs.customer_signature ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.customer_signature
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON hs.customer_signature TO app_user;
GRANT SELECT ON hs.customer_signature TO app_readonly;

CREATE TRIGGER customer_signature_append_only
    BEFORE UPDATE OR DELETE ON hs.customer_signature
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('hs.customer_signature');


CREATE FUNCTION hs.dispatch_objection(of_work_order uuid) RETURNS text
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    sent   uuid[];
    leads  uuid[];
    short  record;
BEGIN
    SELECT array_agg(DISTINCT a.technician_id),
           array_agg(DISTINCT a.technician_id) FILTER (WHERE a.assignment_role = 'lead')
    INTO sent, leads
    FROM hs.appointment AS p
    JOIN hs.appointment_assignment AS a
        ON a.business_id = p.business_id AND a.appointment_id = p.appointment_id
    WHERE p.business_id = tenant AND p.work_order_id = of_work_order
      AND p.status NOT IN ('done', 'missed', 'cancelled') AND a.status NOT IN ('done', 'removed');
    IF sent IS NULL THEN
        RETURN 'no technician is assigned to it';
    END IF;

    SELECT k.name, s.minimum_level_no INTO short
    FROM hs.work_order AS w
    JOIN hs.job_type_skill AS s
        ON s.business_id = w.business_id AND s.job_type_id = w.job_type_id
    JOIN hs.skill AS k ON k.business_id = s.business_id AND k.skill_id = s.skill_id
    WHERE w.business_id = tenant AND w.work_order_id = of_work_order
      AND s.requirement = 'mandatory' AND s.effective_on <= current_date
      AND s.needed_technician_count > (
          SELECT count(*) FROM hs.technician_skill AS t
          WHERE t.business_id = tenant AND t.skill_id = s.skill_id
            AND t.level_no >= s.minimum_level_no
            AND t.technician_id = ANY (CASE WHEN s.is_lead_only THEN leads ELSE sent END)
            AND coalesce(t.expires_on, 'infinity') > current_date)
    ORDER BY k.name
    LIMIT 1;
    IF FOUND THEN
        RETURN format('nobody assigned has %s at level %s', short.name, short.minimum_level_no);
    END IF;

    SELECT t.full_name, y.name INTO short
    FROM hs.technician_certification AS c
    JOIN hs.certification_type AS y
        ON y.business_id = c.business_id AND y.certification_type_id = c.certification_type_id
    JOIN hs.technician AS t
        ON t.business_id = c.business_id AND t.technician_id = c.technician_id
    WHERE c.business_id = tenant AND c.technician_id = ANY (sent)
      AND y.is_mandatory_for_dispatch
    GROUP BY t.technician_id, t.full_name, y.certification_type_id, y.name
    HAVING NOT bool_or(c.status IN ('valid', 'expiring')
                       AND coalesce(c.expires_on, 'infinity') > current_date)
    LIMIT 1;
    IF FOUND THEN
        RETURN format('the certificate %s of %s is not in date', short.name, short.full_name);
    END IF;

    SELECT k.unit_number INTO short
    FROM hs.truck_assignment AS a
    JOIN hs.truck AS k ON k.business_id = a.business_id AND k.truck_id = a.truck_id
    WHERE a.business_id = tenant AND a.technician_id = ANY (sent)
      AND a.starts_at <= now() AND coalesce(a.ends_at, 'infinity') > now()
      AND k.status IN ('in_shop', 'sold')
    LIMIT 1;
    IF FOUND THEN
        RETURN format('truck %s is out of service', short.unit_number);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.dispatch_objection(uuid) IS
    'Why the tenant''s order cannot be sent out, or NULL: a mandatory skill that nobody assigned
     has, a certificate that lapsed (of those a technician is to have), a truck in the shop.';

CREATE FUNCTION hs.completion_objection(of_work_order uuid) RETURNS text
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    kind   hs.job_type;
    step   text;
BEGIN
    SELECT j.* INTO kind
    FROM hs.work_order AS w
    JOIN hs.job_type AS j ON j.business_id = w.business_id AND j.job_type_id = w.job_type_id
    WHERE w.business_id = tenant AND w.work_order_id = of_work_order;

    SELECT t.instruction INTO step FROM hs.work_order_task AS t
    WHERE t.business_id = tenant AND t.work_order_id = of_work_order
      AND t.is_mandatory AND t.status = 'pending'
    ORDER BY t.task_seq LIMIT 1;
    IF FOUND THEN
        RETURN format('the step "%s" is open', step);
    END IF;
    IF kind.requires_signature AND NOT EXISTS (
        SELECT FROM hs.customer_signature AS s
        WHERE s.business_id = tenant AND s.work_order_id = of_work_order
          AND s.signature_kind = 'completion') THEN
        RETURN 'the customer has neither signed nor refused to';
    END IF;
    IF kind.requires_photos AND NOT EXISTS (
        SELECT FROM hs.work_order_media AS m
        WHERE m.business_id = tenant AND m.work_order_id = of_work_order
          AND m.media_kind IN ('photo', 'nameplate')) THEN
        RETURN 'there are no photos';
    END IF;
    IF EXISTS (
        SELECT FROM hs.deficiency AS d
        WHERE d.business_id = tenant AND d.found_on_work_order_id = of_work_order
          AND d.is_red_tagged AND d.status = 'open') THEN
        RETURN 'the customer has not decided about what is red-tagged';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.completion_objection(uuid) IS
    'Why the work on the tenant''s order is not done, or NULL: an open mandatory step, a missing
     signature or photo where its kind asks for them, a red tag without a decision.';

CREATE FUNCTION hs.work_order_objection(job hs.work_order, next_status text, reason uuid)
    RETURNS text
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    IF next_status = 'on_hold' AND NOT EXISTS (
        SELECT FROM hs.work_order_hold AS h
        WHERE h.business_id = tenant AND h.work_order_id = job.work_order_id
          AND h.released_at IS NULL) THEN
        RETURN 'there is no open hold that says why';
    END IF;
    CASE job.status || ' to ' || next_status
        WHEN 'scheduled to dispatched' THEN
            RETURN hs.dispatch_objection(job.work_order_id);
        WHEN 'en_route to scheduled' THEN
            IF NOT EXISTS (
                SELECT FROM hs.reason_code AS r
                WHERE r.business_id = tenant AND r.reason_code_id = reason
                  AND r.reason_context = 'no_access') THEN
                RETURN 'it comes back from the road only where there was no access';
            END IF;
        WHEN 'in_progress to completed' THEN
            RETURN hs.completion_objection(job.work_order_id);
        WHEN 'completed to scheduled' THEN
            IF NOT EXISTS (
                SELECT FROM hs.appointment AS p
                WHERE p.business_id = tenant AND p.work_order_id = job.work_order_id
                  AND p.status IN ('tentative', 'scheduled', 'confirmed')) THEN
                RETURN 'there is no appointment to come back on';
            END IF;
        WHEN 'completed to closed' THEN
            IF EXISTS (
                SELECT FROM hs.work_order_line AS l
                WHERE l.business_id = tenant AND l.work_order_id = job.work_order_id
                  AND l.is_billable AND l.voided_at IS NULL
                  AND l.coverage IN ('customer', 'insurance')
                HAVING sum(l.line_total) <> 0) THEN
                RETURN 'there is something to bill';
            END IF;
        WHEN 'invoiced to completed' THEN
            IF EXISTS (
                SELECT FROM hs.invoice AS i
                WHERE i.business_id = tenant AND i.work_order_id = job.work_order_id
                  AND i.status NOT IN ('draft', 'void')) THEN
                RETURN 'its invoice is not void';
            END IF;
        WHEN 'invoiced to closed' THEN
            IF EXISTS (
                SELECT FROM hs.invoice AS i
                WHERE i.business_id = tenant AND i.work_order_id = job.work_order_id
                  AND i.status NOT IN ('draft', 'void', 'written_off') AND i.open_balance > 0) THEN
                RETURN 'its invoice is not paid';
            END IF;
        ELSE NULL;
    END CASE;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.work_order_objection(hs.work_order, text, uuid) IS
    'Why the guard of the move refuses the tenant''s order, or NULL. It asks what is there now,
     so a screen may ask it too before it offers the move.';

CREATE FUNCTION hs.unmet_demand(rule hs.work_order_transition_rule, of_work_order uuid)
    RETURNS text
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    IF rule.requires_checklist AND EXISTS (
        SELECT FROM hs.work_order_task AS t
        WHERE t.business_id = tenant AND t.work_order_id = of_work_order
          AND t.is_mandatory AND t.status = 'pending') THEN
        RETURN 'the checklist is not done';
    END IF;
    IF rule.requires_signature AND NOT EXISTS (
        SELECT FROM hs.customer_signature AS s
        WHERE s.business_id = tenant AND s.work_order_id = of_work_order) THEN
        RETURN 'a signature is missing';
    END IF;
    IF rule.requires_payment AND NOT EXISTS (
        SELECT FROM hs.invoice AS i
        WHERE i.business_id = tenant AND i.work_order_id = of_work_order
          AND i.status NOT IN ('draft', 'void')
        HAVING count(*) > 0 AND sum(i.open_balance) = 0) THEN
        RETURN 'a payment is missing';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.unmet_demand(hs.work_order_transition_rule, uuid) IS
    'What the tenant''s rule asks for that the order does not have yet, or NULL.';

CREATE FUNCTION hs.move_work_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    moment   timestamptz := clock_timestamp();
    newest   record;
    reason   uuid;
    objected text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status NOT IN ('requested', 'approved') AND row_security_active(TG_RELID) THEN
            RAISE EXCEPTION 'a new work order cannot start as %', NEW.status
                USING ERRCODE = 'check_violation',
                      HINT = 'It is requested, or approved where an agreement covers it.';
        END IF;
        IF NEW.status = 'approved' THEN
            NEW.approved_at := coalesce(NEW.approved_at, NEW.requested_at);
        END IF;
        RETURN NEW;
    END IF;
    IF NOT hs.is_work_order_edge(OLD.status, NEW.status) THEN
        RAISE EXCEPTION 'work order %: % cannot become %', OLD.work_order_number, OLD.status,
                        NEW.status
            USING ERRCODE = 'check_violation';
    END IF;

    IF row_security_active(TG_RELID) THEN
        SELECT e.from_status, e.to_status, e.reason_code_id, e.occurred_at INTO newest
        FROM hs.work_order_status_event AS e
        WHERE e.business_id = NEW.business_id AND e.work_order_id = NEW.work_order_id
        ORDER BY e.occurred_at DESC
        LIMIT 1;
        IF newest.from_status = OLD.status AND newest.to_status = NEW.status THEN
            moment := newest.occurred_at;
            reason := newest.reason_code_id;
        END IF;
        IF NOT EXISTS (
            SELECT FROM hs.work_order_transition_rule AS r
            WHERE r.business_id = NEW.business_id
              AND r.from_status = OLD.status AND r.to_status = NEW.status
              AND r.is_enabled
              AND hs.unmet_demand(ROW(r.*)::hs.work_order_transition_rule,
                                  NEW.work_order_id) IS NULL) THEN
            RAISE EXCEPTION 'work order %: no rule of the business allows % to become %',
                            OLD.work_order_number, OLD.status, NEW.status
                USING ERRCODE = 'check_violation';
        END IF;
        objected := hs.work_order_objection(ROW(OLD.*)::hs.work_order, NEW.status, reason);
        IF objected IS NOT NULL THEN
            RAISE EXCEPTION 'work order % cannot become %: %', OLD.work_order_number, NEW.status,
                            objected
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;

    NEW.approved_at := CASE WHEN NEW.status = 'approved'
                            THEN coalesce(NEW.approved_at, moment) ELSE NEW.approved_at END;
    NEW.first_dispatched_at := CASE WHEN NEW.status IN ('dispatched', 'en_route')
                                    THEN coalesce(NEW.first_dispatched_at, moment)
                                    ELSE NEW.first_dispatched_at END;
    NEW.started_at := CASE WHEN NEW.status = 'in_progress'
                           THEN coalesce(NEW.started_at, moment) ELSE NEW.started_at END;
    NEW.completed_at := CASE WHEN NEW.status NOT IN ('completed', 'invoiced', 'closed') THEN NULL
                             WHEN OLD.status = 'in_progress' THEN moment
                             ELSE coalesce(NEW.completed_at, moment) END;
    NEW.invoiced_at := CASE WHEN NEW.status = 'invoiced' THEN moment
                            WHEN NEW.status = 'closed' THEN NEW.invoiced_at END;
    NEW.closed_at := CASE WHEN NEW.status IN ('closed', 'cancelled') THEN moment END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.move_work_order() IS
    'Only the 37 edges, for everybody; in the application also only what a rule of the business
     and the guard of the edge allow. Stamps the milestone, and clears those that are undone.';

CREATE TRIGGER work_order_start
    BEFORE INSERT ON hs.work_order
    FOR EACH ROW EXECUTE FUNCTION hs.move_work_order();

CREATE TRIGGER work_order_move
    BEFORE UPDATE OF status ON hs.work_order
    FOR EACH ROW WHEN (NEW.status <> OLD.status)
    EXECUTE FUNCTION hs.move_work_order();

CREATE FUNCTION hs.record_starts() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active('hs.work_order') THEN
        INSERT INTO hs.work_order_status_event
            (business_id, work_order_id, to_status, occurred_at, source)
        SELECT s.business_id, s.work_order_id, s.status,
               least(s.requested_at, clock_timestamp()), 'automation'
        FROM started AS s;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.record_starts() IS
    'The history of an order begins with it. Imported orders bring theirs.';

CREATE TRIGGER work_order_record_start
    AFTER INSERT ON hs.work_order
    REFERENCING NEW TABLE AS started
    FOR EACH STATEMENT EXECUTE FUNCTION hs.record_starts();

CREATE FUNCTION hs.record_moves() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active('hs.work_order')
       OR NOT EXISTS (SELECT FROM moved AS m
                      JOIN stood AS s USING (business_id, work_order_id)
                      WHERE m.status <> s.status) THEN
        RETURN NULL;
    END IF;

    -- What hs.transition_work_order moved has its event already.
    INSERT INTO hs.work_order_status_event
        (business_id, work_order_id, from_status, to_status, dwell_seconds, occurred_at, source)
    SELECT m.business_id, m.work_order_id, s.status, m.status,
           floor(extract(epoch FROM t.moment - newest.occurred_at)), t.moment, 'automation'
    FROM moved AS m
    JOIN stood AS s ON s.business_id = m.business_id AND s.work_order_id = m.work_order_id
    LEFT JOIN LATERAL (
        SELECT e.to_status, e.occurred_at FROM hs.work_order_status_event AS e
        WHERE e.business_id = m.business_id AND e.work_order_id = m.work_order_id
        ORDER BY e.occurred_at DESC
        LIMIT 1
    ) AS newest ON true
    CROSS JOIN LATERAL (
        SELECT greatest(clock_timestamp(), newest.occurred_at + interval '1 microsecond')
    ) AS t (moment)
    WHERE m.status <> s.status AND newest.to_status IS DISTINCT FROM m.status;

    UPDATE hs.work_order_hold AS h
    SET released_at = greatest(clock_timestamp(), h.held_at)
    FROM moved AS m
    JOIN stood AS s ON s.business_id = m.business_id AND s.work_order_id = m.work_order_id
    WHERE s.status = 'on_hold' AND m.status <> 'on_hold'
      AND h.business_id = m.business_id AND h.work_order_id = m.work_order_id
      AND h.released_at IS NULL;

    IF EXISTS (SELECT FROM moved AS m
               JOIN stood AS s USING (business_id, work_order_id)
               WHERE s.status = 'en_route' AND m.status = 'scheduled') THEN
        UPDATE hs.appointment AS p
        SET status = 'missed'
        FROM (
            SELECT DISTINCT ON (a.business_id, a.work_order_id) a.business_id, a.appointment_id
            FROM moved AS m
            JOIN stood AS s ON s.business_id = m.business_id AND s.work_order_id = m.work_order_id
            JOIN hs.appointment AS a
                ON a.business_id = m.business_id AND a.work_order_id = m.work_order_id
            WHERE s.status = 'en_route' AND m.status = 'scheduled'
              AND a.status IN ('scheduled', 'confirmed', 'dispatched')
            ORDER BY a.business_id, a.work_order_id, a.window_start_at
        ) AS visit
        WHERE p.business_id = visit.business_id AND p.appointment_id = visit.appointment_id;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.record_moves() IS
    'What follows a move in the application: its event where it has none yet, the end of a hold,
     and the missed visit where there was no access.';

CREATE TRIGGER work_order_record_move
    AFTER UPDATE ON hs.work_order
    REFERENCING OLD TABLE AS stood NEW TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION hs.record_moves();


CREATE FUNCTION hs.reason_contexts(from_status text, to_status text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN to_status = 'on_hold' THEN ARRAY['hold']
        WHEN to_status = 'cancelled' THEN ARRAY['cancel', 'no_access']
        WHEN from_status = 'en_route' AND to_status = 'scheduled' THEN ARRAY['no_access']
        WHEN from_status = 'completed' AND to_status IN ('in_progress', 'scheduled')
            THEN ARRAY['rework', 'qc_fail']
        WHEN from_status = 'invoiced' AND to_status = 'completed' THEN ARRAY['void']
        ELSE ARRAY['reschedule', 'no_access', 'rework']
    END;
COMMENT ON FUNCTION hs.reason_contexts(text, text) IS 'The reasons that fit a move.';

CREATE FUNCTION hs.transition_work_order(
    of_work_order    uuid,
    to_status        text,
    actor_role       text,
    reason           uuid DEFAULT NULL,
    client_event_ref text DEFAULT NULL,
    by_technician    uuid DEFAULT NULL,
    by_account       uuid DEFAULT NULL,
    note             text DEFAULT NULL,
    source           text DEFAULT 'app'
) RETURNS hs.work_order
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    job     hs.work_order;
    rule    hs.work_order_transition_rule;
    why     hs.reason_code;
    seen    uuid;
    entered timestamptz;
    moment  timestamptz;
    unmet   text;
BEGIN
    SELECT w.* INTO job FROM hs.work_order AS w
    WHERE w.business_id = tenant AND w.work_order_id = of_work_order
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no work order %', of_work_order USING ERRCODE = 'no_data_found';
    END IF;

    SELECT e.work_order_id INTO seen FROM hs.work_order_status_event AS e
    WHERE e.business_id = tenant
      AND e.client_event_ref = transition_work_order.client_event_ref
    LIMIT 1;
    IF seen = of_work_order THEN
        RETURN job;
    ELSIF seen IS NOT NULL THEN
        RAISE EXCEPTION 'event % belongs to another work order', client_event_ref
            USING ERRCODE = 'unique_violation';
    END IF;

    IF NOT hs.is_work_order_edge(job.status, to_status) THEN
        RAISE EXCEPTION 'work order %: % cannot become %', job.work_order_number, job.status,
                        coalesce(to_status, 'nothing')
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT r.* INTO rule FROM hs.work_order_transition_rule AS r
    WHERE r.business_id = tenant AND r.from_status = job.status
      AND r.to_status = transition_work_order.to_status
      AND r.actor_role = transition_work_order.actor_role AND r.is_enabled;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'work order %: no rule allows a % to take it from % to %',
                        job.work_order_number, actor_role, job.status, to_status
            USING ERRCODE = 'check_violation';
    END IF;
    unmet := hs.unmet_demand(rule, of_work_order);
    IF unmet IS NOT NULL THEN
        RAISE EXCEPTION 'work order % cannot become %: %', job.work_order_number, to_status, unmet
            USING ERRCODE = 'check_violation', HINT = coalesce(rule.guard_note, '');
    END IF;

    SELECT c.* INTO why FROM hs.reason_code AS c
    WHERE c.business_id = tenant AND c.reason_code_id = reason AND c.is_active;
    IF reason IS NOT NULL AND NOT FOUND THEN
        RAISE EXCEPTION 'there is no reason %', reason USING ERRCODE = 'no_data_found';
    ELSIF why.reason_context <> ALL (hs.reason_contexts(job.status, to_status)) THEN
        RAISE EXCEPTION 'reason % does not fit % to %', why.code, job.status, to_status
            USING ERRCODE = 'check_violation',
                  HINT = format('Reasons for it are of the kind %s.',
                                hs.reason_contexts(job.status, to_status));
    ELSIF rule.requires_reason AND reason IS NULL THEN
        RAISE EXCEPTION 'work order % cannot become %: a reason is missing',
                        job.work_order_number, to_status
            USING ERRCODE = 'check_violation';
    ELSIF why.requires_note AND note IS NULL THEN
        RAISE EXCEPTION 'reason % needs a note', why.code USING ERRCODE = 'check_violation';
    END IF;

    SELECT e.occurred_at INTO entered FROM hs.work_order_status_event AS e
    WHERE e.business_id = tenant AND e.work_order_id = of_work_order
    ORDER BY e.occurred_at DESC
    LIMIT 1;
    moment := greatest(clock_timestamp(), entered + interval '1 microsecond');
    INSERT INTO hs.work_order_status_event
        (business_id, work_order_id, technician_id, reason_code_id, actor_user_account_id,
         from_status, to_status, dwell_seconds, source, note_text, client_event_ref, occurred_at)
    VALUES (tenant, of_work_order, by_technician, reason, by_account, job.status, to_status,
            floor(extract(epoch FROM moment - entered)), source, note, client_event_ref, moment);
    UPDATE hs.work_order AS w
    SET status = transition_work_order.to_status,
        closing_reason_code_id = CASE WHEN transition_work_order.to_status = 'cancelled'
                                      THEN reason ELSE w.closing_reason_code_id END
    WHERE w.business_id = tenant AND w.work_order_id = of_work_order
    RETURNING w.* INTO job;
    RETURN job;
END
$$;
COMMENT ON FUNCTION hs.transition_work_order(uuid, text, text, uuid, text, uuid, uuid, text, text)
    IS 'Moves the tenant''s order under its row lock: the edge, the rule of the role with what it
     asks for, a reason that fits, the guard; then the event with how long it was where it was,
     and the milestone. An event that was sent before gives the order as it is now.';


CREATE FUNCTION hs.next_visit_at(of_work_order uuid) RETURNS timestamptz
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT min(p.window_start_at) FROM hs.appointment AS p
        WHERE p.business_id = tenant_mgmt.current_business_id()
          AND p.work_order_id = of_work_order
          AND p.status NOT IN ('done', 'missed', 'cancelled'));
END
$$;
COMMENT ON FUNCTION hs.next_visit_at(uuid) IS
    'When the window of the next visit of the tenant''s order opens, or NULL. A function, because
     appointments come in a later file than the queue.';

CREATE VIEW hs.v_open_work_order_queue
    WITH (security_invoker = true) AS
SELECT w.business_id, w.work_order_id, w.work_order_number, w.summary, w.status, w.priority,
       w.customer_id, w.service_location_id, w.business_unit_id, j.name AS job_type_name,
       w.requested_at, now() - coalesce(e.occurred_at, w.requested_at) AS age_in_state,
       due.due_at + coalesce(pause.paused, interval '0') AS due_at,
       CASE WHEN w.started_at IS NULL AND NOT coalesce(h.is_sla_paused, false)
            THEN due.due_at + coalesce(pause.paused, interval '0') - now() END AS sla_remaining,
       h.hold_kind, r.label AS hold_reason, h.expected_release_on,
       hs.next_visit_at(w.work_order_id) AS next_visit_at
FROM hs.work_order AS w
JOIN hs.job_type AS j ON j.business_id = w.business_id AND j.job_type_id = w.job_type_id
CROSS JOIN LATERAL (
    SELECT coalesce(w.promised_by_at,
                    w.requested_at + make_interval(mins => j.response_target_minutes)) AS due_at
) AS due
LEFT JOIN LATERAL (
    SELECT x.occurred_at FROM hs.work_order_status_event AS x
    WHERE x.business_id = w.business_id AND x.work_order_id = w.work_order_id
    ORDER BY x.occurred_at DESC
    LIMIT 1
) AS e ON true
LEFT JOIN LATERAL (
    SELECT sum(coalesce(x.released_at, now()) - x.held_at) AS paused
    FROM hs.work_order_hold AS x
    WHERE x.business_id = w.business_id AND x.work_order_id = w.work_order_id AND x.is_sla_paused
) AS pause ON true
LEFT JOIN hs.work_order_hold AS h
    ON h.business_id = w.business_id AND h.work_order_id = w.work_order_id
   AND h.released_at IS NULL
LEFT JOIN hs.reason_code AS r
    ON r.business_id = w.business_id AND r.reason_code_id = h.reason_code_id
WHERE w.business_id = tenant_mgmt.current_business_id()
  AND w.status NOT IN ('closed', 'cancelled');
COMMENT ON VIEW hs.v_open_work_order_queue IS
    'Orders that are not at their end: how long they are where they are, how much of the promise
     is left (NULL once somebody is there, or while a hold stops the clock), why they stand still
     and when somebody comes.';
GRANT SELECT ON hs.v_open_work_order_queue TO app_user, app_readonly;


CREATE MATERIALIZED VIEW hs.mv_work_order_cycle_time AS
SELECT e.business_id, w.business_unit_id, w.job_type_id, e.from_status AS status,
       (date_trunc('week', e.occurred_at AT TIME ZONE 'UTC'))::date AS week_start,
       count(*) AS move_count,
       round((percentile_cont(0.5) WITHIN GROUP (ORDER BY e.dwell_seconds) / 3600)::numeric, 2)
           AS median_hours,
       round((percentile_cont(0.9) WITHIN GROUP (ORDER BY e.dwell_seconds) / 3600)::numeric, 2)
           AS p90_hours
FROM hs.work_order_status_event AS e
JOIN hs.work_order AS w
    ON w.business_id = e.business_id AND w.work_order_id = e.work_order_id
WHERE e.dwell_seconds IS NOT NULL
GROUP BY e.business_id, w.business_unit_id, w.job_type_id, e.from_status, week_start
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW hs.mv_work_order_cycle_time IS
    'Hours in a state by unit, kind of job and the week (from Monday, UTC) in which it was left;
     read through v_work_order_cycle_time.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_work_order_cycle_time_idx
    ON hs.mv_work_order_cycle_time
       (business_id, business_unit_id, job_type_id, status, week_start);

GRANT USAGE ON SCHEMA hs TO matview_owner;
GRANT SELECT ON hs.work_order, hs.work_order_status_event TO matview_owner;

CREATE VIEW hs.v_work_order_cycle_time
    WITH (security_barrier = true) AS
SELECT m.business_id, m.business_unit_id, m.job_type_id, m.status, m.week_start, m.move_count,
       m.median_hours, m.p90_hours
FROM hs.mv_work_order_cycle_time AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW hs.v_work_order_cycle_time IS
    'The tenant''s own part of mv_work_order_cycle_time.';
GRANT SELECT ON hs.v_work_order_cycle_time TO app_user, app_readonly;
