/*
 * The shop floor. A dispatch assigns an approved job of a repair order to a technician and a bay
 * in a planned window; neither can be in two live windows at once. The technician accepts it,
 * works, pauses (parts, authorization, tool) and finishes, or the foreman reassigns it. The labor
 * clock tells the hours really spent: a technician is on one thing at a time, so clocking on to a
 * job clocks off what went before and pauses its dispatch. Flagged hours against clocked hours is the efficiency.
 */

CREATE TABLE auto.job_dispatch (
    business_id           uuid                   NOT NULL,
    job_dispatch_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    dispatched_by_user_id uuid,
    repair_job_id         uuid                   NOT NULL,
    technician_id         uuid                   NOT NULL,
    bay_id                uuid,
    planned_window        tstzrange              NOT NULL,
    planned_hours         numeric(10, 2),
    split_pct             system_core.percentage NOT NULL DEFAULT 100,
    priority_rank         integer                NOT NULL DEFAULT 100,
    dispatched_at         timestamptz,
    accepted_at           timestamptz,
    started_at            timestamptz,
    finished_at           timestamptz,
    status                text                   NOT NULL DEFAULT 'planned',
    pause_reason          text,
    reassigned_reason     text,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, job_dispatch_id),
    FOREIGN KEY (business_id, dispatched_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, bay_id) REFERENCES auto.bay (business_id, bay_id),
    CONSTRAINT job_dispatch_status_known
        CHECK (status IN ('planned', 'dispatched', 'accepted', 'active', 'paused', 'done',
                          'reassigned')),
    CONSTRAINT job_dispatch_pause_reason_known
        CHECK (pause_reason IN ('parts', 'authorization', 'tool', 'break', 'other_job', 'help')),
    CONSTRAINT job_dispatch_finishes_after_start CHECK (finished_at >= started_at),
    CONSTRAINT job_dispatch_window_bounded
        CHECK (NOT isempty(planned_window) AND NOT lower_inf(planned_window)
               AND NOT upper_inf(planned_window)),
    CONSTRAINT job_dispatch_hours_positive CHECK (planned_hours > 0),
    CONSTRAINT job_dispatch_split_bounded CHECK (split_pct > 0 AND split_pct <= 100),
    CONSTRAINT job_dispatch_active_has_start
        CHECK (status NOT IN ('active', 'paused', 'done') OR started_at IS NOT NULL),
    CONSTRAINT job_dispatch_done_has_finish CHECK (status <> 'done' OR finished_at IS NOT NULL),
    CONSTRAINT job_dispatch_paused_has_reason
        CHECK (status <> 'paused' OR pause_reason IS NOT NULL),
    CONSTRAINT job_dispatch_reassigned_has_reason
        CHECK (status <> 'reassigned' OR coalesce(reassigned_reason, '') ~ '\S'),
    EXCLUDE USING gist (business_id WITH =, bay_id WITH =, planned_window WITH &&)
        WHERE (status NOT IN ('done', 'reassigned')),
    EXCLUDE USING gist (business_id WITH =, technician_id WITH =, planned_window WITH &&)
        WHERE (status NOT IN ('done', 'reassigned'))
);

COMMENT ON TABLE auto.job_dispatch IS
    'Assignment of a job to a technician and bay in a planned window.';
COMMENT ON COLUMN auto.job_dispatch.split_pct IS
    'Share of the job''s hours; those of a job that are not reassigned sum to 100.';

-- FK: the job dispatches by their dispatched by user.
CREATE INDEX job_dispatch_dispatched_by_user_idx
    ON auto.job_dispatch (business_id, dispatched_by_user_id)
    WHERE dispatched_by_user_id IS NOT NULL;

-- FK: the job dispatches of a repair job.
CREATE INDEX job_dispatch_repair_job_idx ON auto.job_dispatch (business_id, repair_job_id);

-- The queue of a technician (v_technician_work_queue).
CREATE INDEX job_dispatch_technician_idx
    ON auto.job_dispatch (business_id, technician_id, status);

-- FK: the job dispatches of a bay.
CREATE INDEX job_dispatch_bay_idx
    ON auto.job_dispatch (business_id, bay_id)
    WHERE bay_id IS NOT NULL;

ALTER TABLE auto.job_dispatch ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.job_dispatch
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.job_dispatch TO app_user;
GRANT SELECT ON auto.job_dispatch TO app_readonly;

CREATE TRIGGER job_dispatch_touch
    BEFORE UPDATE ON auto.job_dispatch
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER job_dispatch_state_machine
    BEFORE INSERT OR UPDATE OF status ON auto.job_dispatch
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["planned", "dispatched"],
        "transitions": {
            "planned":    ["dispatched", "active", "reassigned"],
            "dispatched": ["accepted", "active", "reassigned"],
            "accepted":   ["active", "reassigned"],
            "active":     ["paused", "done", "reassigned"],
            "paused":     ["active", "done", "reassigned"],
            "done":       [],
            "reassigned": []
        }}');


CREATE TABLE auto.labor_clock_entry (
    business_id          uuid           NOT NULL,
    labor_clock_entry_id uuid           NOT NULL DEFAULT system_core.uuid_v7(),
    edited_by_user_id    uuid,
    technician_id        uuid           NOT NULL,
    repair_job_id        uuid,
    job_dispatch_id      uuid,
    technician_shift_id  uuid,
    clocked_in_at        timestamptz    NOT NULL,
    clocked_out_at       timestamptz,
    clock_kind           text           NOT NULL DEFAULT 'job',
    actual_hours         numeric(10, 2) GENERATED ALWAYS AS (
                                            round(extract(epoch FROM
                                            clocked_out_at - clocked_in_at) / 3600, 2)) STORED,
    flagged_hours        numeric(10, 2),
    source               text           NOT NULL DEFAULT 'tablet',
    edit_reason          text,
    is_approved          boolean        NOT NULL DEFAULT false,
    device_ref           text,
    created_at           timestamptz    NOT NULL DEFAULT now(),
    updated_at           timestamptz    NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, labor_clock_entry_id),
    FOREIGN KEY (business_id, edited_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, job_dispatch_id)
        REFERENCES auto.job_dispatch (business_id, job_dispatch_id),
    FOREIGN KEY (business_id, technician_shift_id)
        REFERENCES auto.technician_shift (business_id, technician_shift_id),
    CONSTRAINT labor_clock_entry_clock_kind_known
        CHECK (clock_kind IN ('job', 'diagnosis', 'rework', 'training', 'clean_up', 'waiting',
                              'meeting')),
    CONSTRAINT labor_clock_entry_source_known
        CHECK (source IN ('tablet', 'kiosk', 'desktop', 'auto_close')),
    CONSTRAINT labor_clock_entry_ends_after_start CHECK (clocked_out_at > clocked_in_at),
    CONSTRAINT labor_clock_entry_direct_names_job
        CHECK (clock_kind NOT IN ('job', 'diagnosis', 'rework') OR repair_job_id IS NOT NULL),
    CONSTRAINT labor_clock_entry_edit_has_reason
        CHECK (edited_by_user_id IS NULL OR coalesce(edit_reason, '') ~ '\S'),
    CONSTRAINT labor_clock_entry_flagged_positive CHECK (flagged_hours >= 0),
    EXCLUDE USING gist (business_id WITH =, technician_id WITH =,
                        tstzrange(clocked_in_at, clocked_out_at) WITH &&)
);

COMMENT ON TABLE auto.labor_clock_entry IS
    'Clock-in and out of a technician on a job or on indirect time.';

-- FK: the labor clock entries by their edited by user.
CREATE INDEX labor_clock_entry_edited_by_user_idx
    ON auto.labor_clock_entry (business_id, edited_by_user_id)
    WHERE edited_by_user_id IS NOT NULL;

-- The hours of a technician in a period (close_shop_day).
CREATE INDEX labor_clock_entry_technician_idx
    ON auto.labor_clock_entry (business_id, technician_id, clocked_in_at);

-- One open entry a technician (clock_on).
CREATE UNIQUE INDEX labor_clock_entry_open_idx
    ON auto.labor_clock_entry (business_id, technician_id)
    WHERE clocked_out_at IS NULL;

-- FK: the labor clock entries of a repair job.
CREATE INDEX labor_clock_entry_repair_job_idx
    ON auto.labor_clock_entry (business_id, repair_job_id)
    WHERE repair_job_id IS NOT NULL;

-- FK: the labor clock entries of a job dispatch.
CREATE INDEX labor_clock_entry_job_dispatch_idx
    ON auto.labor_clock_entry (business_id, job_dispatch_id)
    WHERE job_dispatch_id IS NOT NULL;

-- FK: the labor clock entries of a technician shift.
CREATE INDEX labor_clock_entry_technician_shift_idx
    ON auto.labor_clock_entry (business_id, technician_shift_id)
    WHERE technician_shift_id IS NOT NULL;

ALTER TABLE auto.labor_clock_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.labor_clock_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.labor_clock_entry TO app_user;
GRANT SELECT ON auto.labor_clock_entry TO app_readonly;

CREATE TRIGGER labor_clock_entry_touch
    BEFORE UPDATE ON auto.labor_clock_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION auto.require_whole_splits() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    total numeric;
BEGIN
    SELECT sum(split_pct) INTO total FROM auto.job_dispatch
    WHERE business_id = NEW.business_id AND repair_job_id = NEW.repair_job_id
      AND status <> 'reassigned';
    IF total <> 100 THEN
        RAISE EXCEPTION 'the dispatches of job % share % percent of it', NEW.repair_job_id,
                        trim_scale(total)
            USING ERRCODE = 'check_violation', CONSTRAINT = 'job_dispatch_splits_whole',
                  HINT = 'Let the shares sum to 100 before the transaction ends.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.require_whole_splits() IS
    'The dispatches of a job that were not reassigned share all of it: 100 percent, or nobody has
     it. dispatch_job() locks the job, so that two dispatches do not share it unseen.';

CREATE CONSTRAINT TRIGGER job_dispatch_splits_whole
    AFTER INSERT OR UPDATE OF split_pct, status, repair_job_id ON auto.job_dispatch
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION auto.require_whole_splits();


CREATE FUNCTION auto.clock_on(
    p_technician_id uuid,
    p_repair_job_id uuid,
    p_clock_kind    text
) RETURNS auto.labor_clock_entry
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    moment     timestamptz;
    leaves_on  date;
    job_status text;
    dispatch   uuid;
    shift      uuid;
    entry      auto.labor_clock_entry;
BEGIN
    SELECT t.terminated_on INTO leaves_on FROM auto.technician AS t
    WHERE t.business_id = tenant AND t.technician_id = p_technician_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'technician % is not known', p_technician_id
            USING ERRCODE = 'foreign_key_violation', HINT = 'Name a technician of this business.';
    END IF;
    -- Who waited for the lock clocks on after whom it waited for.
    moment := clock_timestamp();
    IF leaves_on < moment::date THEN
        RAISE EXCEPTION 'technician % left on %', p_technician_id, leaves_on
            USING ERRCODE = 'check_violation', HINT = 'Choose a technician who is employed.';
    END IF;
    IF p_repair_job_id IS NOT NULL THEN
        SELECT status INTO job_status FROM auto.repair_job
        WHERE business_id = tenant AND repair_job_id = p_repair_job_id FOR SHARE;
        IF job_status IS NULL OR job_status NOT IN ('approved', 'in_progress', 'waiting')
           AND NOT (p_clock_kind = 'diagnosis' AND job_status = 'proposed') THEN
            RAISE EXCEPTION 'job % is %: nobody clocks on to it', p_repair_job_id,
                            coalesce(job_status, 'not known')
                USING ERRCODE = 'check_violation',
                      HINT = 'Have the customer authorize the job first; what is proposed is only '
                             'diagnosed, what is done is reopened first.';
        END IF;
    END IF;
    UPDATE auto.labor_clock_entry SET clocked_out_at = moment
    WHERE business_id = tenant AND technician_id = p_technician_id AND clocked_out_at IS NULL;
    UPDATE auto.job_dispatch
    SET status = 'paused',
        pause_reason = CASE WHEN p_repair_job_id IS NULL THEN 'break' ELSE 'other_job' END
    WHERE business_id = tenant AND technician_id = p_technician_id AND status = 'active'
      AND repair_job_id IS DISTINCT FROM p_repair_job_id;
    UPDATE auto.job_dispatch
    SET status = 'active', started_at = coalesce(started_at, moment), pause_reason = NULL
    WHERE business_id = tenant AND technician_id = p_technician_id
      AND repair_job_id = p_repair_job_id
      AND status IN ('planned', 'dispatched', 'accepted', 'paused');
    SELECT job_dispatch_id INTO dispatch FROM auto.job_dispatch
    WHERE business_id = tenant AND technician_id = p_technician_id
      AND repair_job_id = p_repair_job_id AND status = 'active'
    ORDER BY started_at DESC, job_dispatch_id LIMIT 1;
    SELECT technician_shift_id INTO shift FROM auto.technician_shift
    WHERE business_id = tenant AND technician_id = p_technician_id
      AND starts_at <= moment AND ends_at > moment AND status <> 'cancelled'
    ORDER BY starts_at DESC, technician_shift_id LIMIT 1;
    INSERT INTO auto.labor_clock_entry (business_id, technician_id, repair_job_id,
                                        job_dispatch_id, technician_shift_id, clocked_in_at,
                                        clock_kind)
    VALUES (tenant, p_technician_id, p_repair_job_id, dispatch, shift, moment, p_clock_kind)
    RETURNING * INTO entry;
    UPDATE auto.technician AS t
    SET dispatch_status = n.state
    FROM (SELECT CASE WHEN p_clock_kind = 'waiting' THEN 'waiting'
                      WHEN p_repair_job_id IS NULL THEN 'available'
                      ELSE 'on_job' END AS state) AS n
    WHERE t.business_id = tenant AND t.technician_id = p_technician_id
      AND t.dispatch_status <> n.state;
    RETURN entry;
END
$$;
COMMENT ON FUNCTION auto.clock_on(uuid, uuid, text) IS
    'Clocks a technician of the current tenant off the open entry and on to a job or indirect
     time (no job); the dispatch left behind is paused. The technician''s row is locked before
     the moment is taken, so taps of two tablets follow each other.';


CREATE FUNCTION auto.technician_objection(of_technician uuid, to_job uuid, on_day date)
    RETURNS text
    LANGUAGE sql STABLE
    RETURN (
        SELECT CASE
                   WHEN t.terminated_on <= on_day OR t.hired_on > on_day
                       THEN format('technician %s does not work here on %s',
                                   t.employee_number, on_day)
                   WHEN t.role IN ('service_advisor', 'estimator', 'parts')
                       THEN format('%s is of role %s and does no jobs', t.employee_number,
                                   replace(t.role, '_', ' '))
                   WHEN lacks.what IS NOT NULL
                       THEN format('technician %s lacks %s', t.employee_number, lacks.what)
               END
        FROM auto.technician AS t
        CROSS JOIN LATERAL (
            SELECT string_agg(DISTINCT n.what, ', ') AS what
            FROM auto.labor_line AS l
            JOIN auto.labor_operation AS o
                ON o.business_id = l.business_id AND o.labor_operation_id = l.labor_operation_id
            CROSS JOIN LATERAL (VALUES
                ('ase', o.required_ase_code::text, 'ASE ' || o.required_ase_code,
                 o.required_ase_code IS NOT NULL),
                ('ev_hv', NULL, 'a high voltage certificate', o.requires_hv_certificate),
                ('epa_609', NULL, 'a section 609 certificate', o.requires_609_certificate)
            ) AS n (program, test_code, what, is_needed)
            WHERE l.business_id = t.business_id AND l.repair_job_id = to_job
              AND l.status <> 'void' AND n.is_needed
              AND NOT EXISTS (
                  SELECT FROM auto.technician_certification AS c
                  WHERE c.business_id = t.business_id AND c.technician_id = t.technician_id
                    AND c.program = n.program
                    AND (n.test_code IS NULL OR c.test_code::text = n.test_code)
                    AND c.status IN ('valid', 'expiring')
                    AND (c.expires_on IS NULL OR c.expires_on >= on_day))) AS lacks
        WHERE t.business_id = tenant_mgmt.current_business_id()
          AND t.technician_id = of_technician);
COMMENT ON FUNCTION auto.technician_objection(uuid, uuid, date) IS
    'Why a technician of the calling tenant does not do a job on a day, NULL where nothing stands
     against it: not employed, no role that does jobs, or without a certificate in force that an
     operation of the job asks for.';


CREATE FUNCTION auto.dispatch_job(
    p_repair_job_id uuid,
    p_technician_id uuid,
    p_bay_id        uuid,
    p_window        tstzrange,
    p_split_pct     numeric DEFAULT NULL
) RETURNS auto.job_dispatch
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    job       auto.repair_job;
    place     auto.shop;
    used      numeric;
    share     numeric;
    objection text;
    made      auto.job_dispatch;
BEGIN
    SELECT * INTO job FROM auto.repair_job
    WHERE business_id = tenant AND repair_job_id = p_repair_job_id FOR NO KEY UPDATE;
    IF job.status IS NULL OR job.status NOT IN ('approved', 'in_progress', 'waiting') THEN
        RAISE EXCEPTION 'job % is %: it is not dispatched', p_repair_job_id,
                        coalesce(job.status, 'not known')
            USING ERRCODE = 'check_violation', HINT = 'Dispatch a job that is authorized.';
    END IF;
    SELECT s.* INTO place FROM auto.repair_order AS o
    JOIN auto.shop AS s ON s.business_id = o.business_id AND s.shop_id = o.shop_id
    WHERE o.business_id = tenant AND o.repair_order_id = job.repair_order_id;
    IF NOT EXISTS (SELECT FROM auto.technician
                   WHERE business_id = tenant AND technician_id = p_technician_id
                     AND shop_id = place.shop_id) THEN
        RAISE EXCEPTION 'technician % is not of shop %', p_technician_id, place.shop_code
            USING ERRCODE = 'check_violation',
                  HINT = 'Choose a technician of the shop where the vehicle stands.';
    END IF;
    objection := auto.technician_objection(
        p_technician_id, p_repair_job_id,
        (lower(p_window) AT TIME ZONE place.timezone)::date);
    IF objection IS NOT NULL THEN
        RAISE EXCEPTION '%', objection
            USING ERRCODE = 'check_violation',
                  HINT = 'Choose a technician who is employed and certified for the job.';
    END IF;
    IF p_bay_id IS NOT NULL THEN
        IF NOT EXISTS (SELECT FROM auto.bay
                       WHERE business_id = tenant AND bay_id = p_bay_id
                         AND shop_id = place.shop_id) THEN
            RAISE EXCEPTION 'bay % is not of shop %', p_bay_id, place.shop_code
                USING ERRCODE = 'check_violation',
                      HINT = 'Choose a bay of the shop where the vehicle stands.';
        END IF;
        objection := auto.bay_objection(p_bay_id);
        IF objection IS NOT NULL THEN
            RAISE EXCEPTION '%', objection
                USING ERRCODE = 'check_violation', HINT = 'Choose a bay that takes work.';
        END IF;
    END IF;
    SELECT coalesce(sum(split_pct), 0) INTO used FROM auto.job_dispatch
    WHERE business_id = tenant AND repair_job_id = p_repair_job_id AND status <> 'reassigned';
    IF used >= 100 THEN
        RAISE EXCEPTION 'job % is dispatched already', p_repair_job_id
            USING ERRCODE = 'check_violation',
                  HINT = 'Reassign a dispatch or lower its share first.';
    END IF;
    share := coalesce(p_split_pct, 100 - used);
    IF share > 100 - used THEN
        RAISE EXCEPTION 'job % has % percent left, not %', p_repair_job_id,
                        trim_scale(100 - used), trim_scale(share)
            USING ERRCODE = 'check_violation', HINT = 'Give a smaller share.';
    END IF;
    INSERT INTO auto.job_dispatch (business_id, repair_job_id, technician_id, bay_id,
                                   planned_window, planned_hours, split_pct, dispatched_at,
                                   status)
    VALUES (tenant, p_repair_job_id, p_technician_id, p_bay_id, p_window,
            nullif(round(job.book_hours * share / 100, 2), 0), share,
            clock_timestamp(), 'dispatched')
    RETURNING * INTO made;
    RETURN made;
EXCEPTION
    WHEN exclusion_violation THEN
        RAISE EXCEPTION 'the technician or the bay is taken in %', p_window
            USING ERRCODE = 'exclusion_violation',
                  HINT = 'Choose another window, technician or bay.';
END
$$;
COMMENT ON FUNCTION auto.dispatch_job(uuid, uuid, uuid, tstzrange, numeric) IS
    'Assigns a share of an authorized job of the current tenant, by default what is not yet
     dispatched, and as much of its hours, to a certified technician and a usable bay of its shop.
     The job''s row is locked, exclusion constraints keep technician and bay from two windows.';


CREATE VIEW auto.v_technician_work_queue WITH (security_invoker = true) AS
SELECT d.business_id, d.technician_id, d.job_dispatch_id, d.repair_job_id, j.repair_order_id,
       j.name AS job_name, j.complaint_text, j.book_hours, d.planned_window, d.priority_rank,
       d.status, d.pause_reason, c.clocked_in_at
FROM auto.job_dispatch AS d
JOIN auto.repair_job AS j
  ON j.business_id = d.business_id AND j.repair_job_id = d.repair_job_id
LEFT JOIN auto.labor_clock_entry AS c
       ON c.business_id = d.business_id AND c.technician_id = d.technician_id
      AND c.repair_job_id = d.repair_job_id AND c.clocked_out_at IS NULL
WHERE d.status NOT IN ('done', 'reassigned');
COMMENT ON VIEW auto.v_technician_work_queue IS
    'The live dispatches of a technician with concern, book hours and the running clock.';
GRANT SELECT ON auto.v_technician_work_queue TO app_user, app_readonly;
