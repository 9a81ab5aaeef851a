/*
 * What employees do themselves: they ask for changes, join and leave by a checklist, consent to
 * electronic delivery, read their documents, ask about their pay.
 *
 * A profile_change_request is asked for, looked at by somebody else (decide_profile_change()) and
 * then carried out. Its confirmation goes to where the employee could be reached before, so that
 * who takes over a login does not also take over the warning. An onboarding_task that
 * blocks the first pay and is open is a blocker of the run (find_exceptions()). A delivery_consent
 * is what an electronic W-2 stands on (require_delivery_consent()). employee_documents are what was
 * published to somebody, pay stubs for four years. A pay_inquiry is a question with a clock.
 * self_service_events are the trail of all of it.
 */

CREATE FUNCTION payroll.require_paycheck_of_employee() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM payroll.paycheck AS p
        WHERE p.business_id = NEW.business_id AND p.paycheck_id = NEW.paycheck_id
          AND p.employee_id = NEW.employee_id
    ) THEN
        RAISE EXCEPTION 'the paycheck is not one of this employee'
            USING ERRCODE = 'check_violation', HINT = 'Name a paycheck of the same employee.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_paycheck_of_employee() IS
    'What is told to or about an employee names a paycheck of theirs, never of a colleague.';


CREATE TABLE payroll.profile_change_request (
    business_id               uuid                    NOT NULL,
    profile_change_request_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id               uuid                    NOT NULL,
    reviewed_by               uuid,
    change_kind               text                    NOT NULL,
    requested_at              timestamptz             NOT NULL DEFAULT now(),
    old_values                system_core.json_object NOT NULL DEFAULT '{}',
    new_values                system_core.json_object NOT NULL,
    effective_on              date                    NOT NULL,
    risk_level                text                    NOT NULL DEFAULT 'medium',
    step_up_passed            boolean                 NOT NULL DEFAULT false,
    status                    text                    NOT NULL DEFAULT 'submitted',
    reviewed_at               timestamptz,
    rejection_reason          text,
    confirmation_sent_to      text,
    applied_at                timestamptz,
    created_at                timestamptz             NOT NULL DEFAULT now(),
    updated_at                timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, profile_change_request_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, reviewed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT profile_change_request_kind_known
        CHECK (change_kind IN ('address', 'bank_account', 'legal_name', 'withholding',
                               'emergency_contact', 'dependents', 'phone')),
    CONSTRAINT profile_change_request_risk_level_known
        CHECK (risk_level IN ('low', 'medium', 'high')),
    CONSTRAINT profile_change_request_status_known
        CHECK (status IN ('submitted', 'auto_approved', 'in_review', 'approved', 'rejected',
                          'withdrawn')),
    CONSTRAINT profile_change_request_bank_is_high_risk
        CHECK (change_kind <> 'bank_account' OR risk_level = 'high'),
    CONSTRAINT profile_change_request_bank_needs_step_up
        CHECK (change_kind <> 'bank_account' OR step_up_passed),
    CONSTRAINT profile_change_request_bank_number_as_token
        CHECK (change_kind <> 'bank_account' OR NOT new_values::jsonb ? 'account_number'),
    CONSTRAINT profile_change_request_only_low_risk_by_itself
        CHECK (status <> 'auto_approved' OR (risk_level = 'low' AND reviewed_by IS NULL)),
    CONSTRAINT profile_change_request_decided_has_time
        CHECK ((status IN ('approved', 'auto_approved', 'rejected')) = (reviewed_at IS NOT NULL)),
    CONSTRAINT profile_change_request_decided_by_somebody
        CHECK (status NOT IN ('approved', 'rejected') OR reviewed_by IS NOT NULL),
    CONSTRAINT profile_change_request_rejected_has_reason
        CHECK (status <> 'rejected' OR coalesce(rejection_reason, '') ~ '\S'),
    CONSTRAINT profile_change_request_reviewed_after_request CHECK (reviewed_at >= requested_at),
    CONSTRAINT profile_change_request_applied_after_approval
        CHECK (applied_at IS NULL
               OR (status IN ('approved', 'auto_approved') AND applied_at >= reviewed_at))
);

COMMENT ON TABLE payroll.profile_change_request IS
    'Change an employee asks for: address, bank, name, tax form, emergency contact.';
COMMENT ON COLUMN payroll.profile_change_request.old_values IS
    'What stood before, field by field as in new_values (profile_changes() lays them together).';
COMMENT ON COLUMN payroll.profile_change_request.new_values IS
    'What is wanted: line1, city, region_code, postal_code · account_token, routing_number, last4 ·
     first_name, last_name · mobile_phone · …';
COMMENT ON COLUMN payroll.profile_change_request.step_up_passed IS
    'The employee proved again who they are; without that a bank change is not even a request.';
COMMENT ON COLUMN payroll.profile_change_request.confirmation_sent_to IS
    'Where the employee could be reached before the change.';
COMMENT ON COLUMN payroll.profile_change_request.applied_at IS
    'When the record followed; what stands on a signed form is entered by the payroll office.';

-- One open request of a kind at a time.
CREATE UNIQUE INDEX profile_change_request_open_idx
    ON payroll.profile_change_request (business_id, employee_id, change_kind)
    WHERE status IN ('submitted', 'in_review');

-- FK: what an employee has asked for, the newest first.
CREATE INDEX profile_change_request_employee_idx
    ON payroll.profile_change_request (business_id, employee_id, requested_at DESC);

-- FK: what somebody has decided.
CREATE INDEX profile_change_request_reviewed_by_idx
    ON payroll.profile_change_request (business_id, reviewed_by)
    WHERE reviewed_by IS NOT NULL;

ALTER TABLE payroll.profile_change_request ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.profile_change_request
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.profile_change_request TO app_user;
GRANT SELECT ON payroll.profile_change_request TO app_readonly;

CREATE TRIGGER profile_change_request_touch
    BEFORE UPDATE ON payroll.profile_change_request
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER profile_change_request_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.profile_change_request
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["submitted"],
        "transitions": {
            "submitted":     ["auto_approved", "in_review", "approved", "rejected", "withdrawn"],
            "in_review":     ["approved", "rejected", "withdrawn"],
            "auto_approved": [],
            "approved":      [],
            "rejected":      [],
            "withdrawn":     []
        }}');

CREATE FUNCTION payroll.reached_at(employee uuid, change text) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN change = 'address' AND h.home IS NOT NULL THEN h.home
                ELSE coalesce(e.email, e.mobile_phone, h.home) END
    FROM payroll.employee AS e
    LEFT JOIN LATERAL (
        SELECT concat_ws(', ', a.line1, a.line2, a.city,
                         concat_ws(' ', a.region_code, a.postal_code)) AS home
        FROM payroll.employee_residence AS r
        JOIN system_core.postal_address AS a
            ON a.business_id = r.business_id AND a.postal_address_id = r.postal_address_id
        WHERE r.business_id = e.business_id AND r.employee_id = e.employee_id
          AND r.is_mailing_address
        ORDER BY r.effective_from DESC
        LIMIT 1
    ) AS h ON true
    WHERE e.business_id = tenant_mgmt.current_business_id() AND e.employee_id = employee;
END;
COMMENT ON FUNCTION payroll.reached_at(uuid, text) IS
    'Where an employee of the calling tenant is told of a change: a new address is confirmed to the
     old one by mail, everything else to the e-mail on file, else by phone, else by mail.';

CREATE FUNCTION payroll.confirm_profile_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    -- Never where the request says: that may be the very thing an intruder changes.
    NEW.confirmation_sent_to := payroll.reached_at(NEW.employee_id, NEW.change_kind);
    INSERT INTO system_core.outbox_event
        (business_id, topic, event_type, aggregate_schema, aggregate_table, aggregate_id, payload)
    VALUES (NEW.business_id, 'payroll', 'profile_change_request.confirm', 'payroll',
            'profile_change_request', NEW.profile_change_request_id,
            jsonb_build_object('employee_id', NEW.employee_id, 'change_kind', NEW.change_kind,
                               'send_to', NEW.confirmation_sent_to));
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.confirm_profile_change() IS
    'The confirmation of a change goes to where the employee was reached before it.';

CREATE TRIGGER profile_change_request_confirm
    BEFORE INSERT ON payroll.profile_change_request
    FOR EACH ROW EXECUTE FUNCTION payroll.confirm_profile_change();

CREATE FUNCTION payroll.refuse_changed_request() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was asked for does not change'
        USING ERRCODE = 'restrict_violation', HINT = 'Withdraw the request and file another.';
END
$$;
COMMENT ON FUNCTION payroll.refuse_changed_request() IS
    'What was reviewed and confirmed is what was asked for.';

CREATE TRIGGER profile_change_request_stands
    BEFORE UPDATE ON payroll.profile_change_request
    FOR EACH ROW WHEN ((OLD.employee_id, OLD.change_kind, OLD.requested_at, OLD.old_values,
                        OLD.new_values, OLD.effective_on, OLD.step_up_passed,
                        OLD.confirmation_sent_to)
                       IS DISTINCT FROM
                       (NEW.employee_id, NEW.change_kind, NEW.requested_at, NEW.old_values,
                        NEW.new_values, NEW.effective_on, NEW.step_up_passed,
                        NEW.confirmation_sent_to))
    EXECUTE FUNCTION payroll.refuse_changed_request();

CREATE FUNCTION payroll.refuse_own_review() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT
        FROM payroll.employee AS e
        WHERE e.business_id = NEW.business_id AND e.employee_id = NEW.employee_id
          AND e.user_account_id = NEW.reviewed_by
    ) THEN
        RAISE EXCEPTION 'nobody reviews their own change'
            USING ERRCODE = 'check_violation', HINT = 'Ask a second person.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.refuse_own_review() IS
    'The payroll office are employees, too: their changes are looked at by a colleague.';

CREATE TRIGGER profile_change_request_by_another
    BEFORE INSERT OR UPDATE OF reviewed_by ON payroll.profile_change_request
    FOR EACH ROW WHEN (NEW.reviewed_by IS NOT NULL)
    EXECUTE FUNCTION payroll.refuse_own_review();

CREATE FUNCTION payroll.profile_changes(request uuid)
    RETURNS TABLE (field text, old_value text, new_value text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(n.field, o.field), o.value, n.value
    FROM payroll.profile_change_request AS r
    CROSS JOIN LATERAL (
        SELECT k.field FROM JSON_TABLE(r.old_values::jsonb, '$.keyvalue()'
                                       COLUMNS (field text PATH '$.key')) AS k
        UNION
        SELECT k.field FROM JSON_TABLE(r.new_values::jsonb, '$.keyvalue()'
                                       COLUMNS (field text PATH '$.key')) AS k
    ) AS f
    LEFT JOIN LATERAL (
        SELECT k.field, k.value
        FROM JSON_TABLE(r.old_values::jsonb, '$.keyvalue()'
                        COLUMNS (field text PATH '$.key', value text PATH '$.value')) AS k
        WHERE k.field = f.field
    ) AS o ON true
    LEFT JOIN LATERAL (
        SELECT k.field, k.value
        FROM JSON_TABLE(r.new_values::jsonb, '$.keyvalue()'
                        COLUMNS (field text PATH '$.key', value text PATH '$.value')) AS k
        WHERE k.field = f.field
    ) AS n ON true
    WHERE r.business_id = tenant_mgmt.current_business_id()
      AND r.profile_change_request_id = request AND o.value IS DISTINCT FROM n.value
    ORDER BY 1;
END;
COMMENT ON FUNCTION payroll.profile_changes(uuid) IS
    'What a request of the calling tenant changes, field by field: what the reviewer sees.';

CREATE FUNCTION payroll.apply_profile_change(request uuid, moment timestamptz DEFAULT now())
    RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    asked  payroll.profile_change_request;
    wanted jsonb;
    home   uuid;
BEGIN
    SELECT r.* INTO asked
    FROM payroll.profile_change_request AS r
    WHERE r.business_id = tenant AND r.profile_change_request_id = request
    FOR NO KEY UPDATE;
    IF asked.status IS NULL OR asked.status NOT IN ('approved', 'auto_approved')
       OR asked.applied_at IS NOT NULL THEN
        RAISE EXCEPTION 'request is % and not carried out',
                        CASE WHEN asked.applied_at IS NOT NULL THEN 'done'
                             ELSE coalesce(asked.status, 'missing') END
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Each approved request is carried out once.';
    END IF;
    wanted := asked.new_values;
    CASE asked.change_kind
        WHEN 'phone' THEN
            UPDATE payroll.employee AS e
            SET mobile_phone = wanted ->> 'mobile_phone'
            WHERE e.business_id = tenant AND e.employee_id = asked.employee_id;
        WHEN 'legal_name' THEN
            UPDATE payroll.employee AS e
            SET first_name = coalesce(wanted ->> 'first_name', e.first_name),
                middle_name = CASE WHEN wanted ? 'middle_name' THEN wanted ->> 'middle_name'
                                   ELSE e.middle_name END,
                last_name = coalesce(wanted ->> 'last_name', e.last_name)
            WHERE e.business_id = tenant AND e.employee_id = asked.employee_id;
        WHEN 'bank_account' THEN
            INSERT INTO payroll.employee_bank_account
                (business_id, employee_id, account_token, routing_number, last4, account_kind,
                 bank_name, added_by)
            VALUES (tenant, asked.employee_id, wanted ->> 'account_token',
                    wanted ->> 'routing_number', wanted ->> 'last4',
                    coalesce(wanted ->> 'account_kind', 'checking'), wanted ->> 'bank_name',
                    'self_service');
        WHEN 'address' THEN
            INSERT INTO system_core.postal_address
                (business_id, line1, line2, city, region_code, postal_code, country_code)
            VALUES (tenant, wanted ->> 'line1', wanted ->> 'line2', wanted ->> 'city',
                    wanted ->> 'region_code', wanted ->> 'postal_code',
                    coalesce(wanted ->> 'country_code', 'US'))
            RETURNING postal_address_id INTO home;
            UPDATE payroll.employee_residence AS r
            SET effective_until = asked.effective_on
            WHERE r.business_id = tenant AND r.employee_id = asked.employee_id
              AND r.effective_from < asked.effective_on
              AND (r.effective_until IS NULL OR r.effective_until > asked.effective_on);
            INSERT INTO payroll.employee_residence
                (business_id, employee_id, postal_address_id, state_code, effective_from, source)
            VALUES (tenant, asked.employee_id, home, wanted ->> 'region_code',
                    asked.effective_on, 'self_service');
        ELSE
            -- A tax form is signed, a dependent proven: the payroll office enters those.
            RETURN false;
    END CASE;
    UPDATE payroll.profile_change_request AS r
    SET applied_at = greatest(moment, r.reviewed_at)
    WHERE r.business_id = tenant AND r.profile_change_request_id = request;
    RETURN true;
END
$$;
COMMENT ON FUNCTION payroll.apply_profile_change(uuid, timestamptz) IS
    'Carries an approved request of the calling tenant out: phone, name, home or bank account.
     False where the office has to enter it from a form.';

CREATE FUNCTION payroll.decide_profile_change(
    request  uuid,
    reviewer uuid,
    approve  boolean,
    reason   text DEFAULT NULL,
    moment   timestamptz DEFAULT now()
) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    was    text;
BEGIN
    SELECT r.status INTO was
    FROM payroll.profile_change_request AS r
    WHERE r.business_id = tenant AND r.profile_change_request_id = request
    FOR NO KEY UPDATE;
    IF was IS NULL OR was NOT IN ('submitted', 'in_review') THEN
        RAISE EXCEPTION 'request is % and not decided on', coalesce(was, 'missing')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Only an open request is decided on, and once.';
    END IF;
    UPDATE payroll.profile_change_request AS r
    SET status = CASE WHEN approve THEN 'approved' ELSE 'rejected' END, reviewed_by = reviewer,
        reviewed_at = greatest(moment, r.requested_at), rejection_reason = reason
    WHERE r.business_id = tenant AND r.profile_change_request_id = request;
    IF approve THEN
        PERFORM payroll.apply_profile_change(request, moment);
    END IF;
    RETURN CASE WHEN approve THEN 'approved' ELSE 'rejected' END;
END
$$;
COMMENT ON FUNCTION payroll.decide_profile_change(uuid, uuid, boolean, text, timestamptz) IS
    'The decision of a reviewer on a request of the calling tenant; what is approved is carried out
     at once.';

CREATE FUNCTION payroll.request_profile_change(
    employee uuid,
    change   text,
    wanted   jsonb,
    since    date,
    proven   boolean DEFAULT false,
    moment   timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    is_low  CONSTANT boolean := change = 'emergency_contact';
    before  jsonb;
    request uuid;
BEGIN
    SELECT CASE change
               WHEN 'phone' THEN jsonb_build_object('mobile_phone', e.mobile_phone)
               WHEN 'legal_name' THEN jsonb_build_object(
                   'first_name', e.first_name, 'middle_name', e.middle_name,
                   'last_name', e.last_name)
               WHEN 'address' THEN (
                   SELECT jsonb_build_object(
                              'line1', a.line1, 'line2', a.line2, 'city', a.city,
                              'region_code', a.region_code, 'postal_code', a.postal_code)
                   FROM payroll.employee_residence AS r
                   JOIN system_core.postal_address AS a
                       ON a.business_id = r.business_id
                      AND a.postal_address_id = r.postal_address_id
                   WHERE r.business_id = tenant AND r.employee_id = employee
                   ORDER BY r.effective_from DESC
                   LIMIT 1)
               WHEN 'bank_account' THEN (
                   SELECT jsonb_build_object('routing_number', b.routing_number,
                                             'last4', b.last4)
                   FROM payroll.employee_bank_account AS b
                   WHERE b.business_id = tenant AND b.employee_id = employee
                     AND b.status = 'active'
                   ORDER BY b.created_at DESC, b.employee_bank_account_id
                   LIMIT 1) END
    INTO before
    FROM payroll.employee AS e
    WHERE e.business_id = tenant AND e.employee_id = employee;
    INSERT INTO payroll.profile_change_request AS r
        (business_id, employee_id, change_kind, requested_at, old_values, new_values, effective_on,
         risk_level, step_up_passed)
    -- Of what stood before, only what is to change.
    SELECT tenant, employee, change, moment,
           coalesce((SELECT jsonb_object_agg(b.key, b.value)
                     FROM jsonb_each(before) AS b
                     WHERE wanted ? b.key), '{}'),
           wanted, since,
           CASE WHEN change = 'bank_account' THEN 'high' WHEN is_low THEN 'low' ELSE 'medium' END,
           proven
    RETURNING r.profile_change_request_id INTO request;
    IF is_low THEN
        UPDATE payroll.profile_change_request AS r
        SET status = 'auto_approved', reviewed_at = moment, applied_at = moment
        WHERE r.business_id = tenant AND r.profile_change_request_id = request;
    END IF;
    RETURN request;
END
$$;
COMMENT ON FUNCTION payroll.request_profile_change(uuid, text, jsonb, date, boolean, timestamptz) IS
    'Files a change for an employee of the calling tenant with what stood before; whom to call in
     an emergency nobody needs to approve.';


CREATE TABLE payroll.onboarding_task (
    business_id        uuid                    NOT NULL,
    onboarding_task_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id        uuid                    NOT NULL,
    assigned_to        uuid,
    checklist          text                    NOT NULL,
    task_code          text                    NOT NULL,
    sequence_no        integer                 NOT NULL DEFAULT 1,
    due_on             date                    NOT NULL,
    state              text                    NOT NULL DEFAULT 'open',
    completed_at       timestamptz,
    blocks_first_pay   boolean                 NOT NULL DEFAULT false,
    reminder_count     integer                 NOT NULL DEFAULT 0,
    form_data          system_core.json_object NOT NULL DEFAULT '{}',
    created_at         timestamptz             NOT NULL DEFAULT now(),
    updated_at         timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, onboarding_task_id),
    UNIQUE (business_id, employee_id, checklist, task_code),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, assigned_to)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT onboarding_task_checklist_known CHECK (checklist IN ('onboarding', 'offboarding')),
    CONSTRAINT onboarding_task_code_known
        CHECK (task_code IN ('personal_data', 'i9_section1', 'i9_section2', 'w4', 'state_w4',
                             'direct_deposit', 'handbook', 'benefits', 'equipment', 'final_pay',
                             'cobra_notice', 'exit_interview')),
    CONSTRAINT onboarding_task_state_known CHECK (state IN ('open', 'done', 'waived', 'overdue')),
    CONSTRAINT onboarding_task_on_its_list
        CHECK (task_code = 'equipment'
               OR (checklist = 'offboarding')
                  = (task_code IN ('final_pay', 'cobra_notice', 'exit_interview'))),
    CONSTRAINT onboarding_task_done_has_time CHECK ((state = 'done') = (completed_at IS NOT NULL)),
    CONSTRAINT onboarding_task_blocks_joining_only
        CHECK (NOT blocks_first_pay OR checklist = 'onboarding'),
    CONSTRAINT onboarding_task_countable CHECK (sequence_no >= 1 AND reminder_count >= 0)
);

COMMENT ON TABLE payroll.onboarding_task IS 'Step of joining or leaving for an employee.';
COMMENT ON COLUMN payroll.onboarding_task.assigned_to IS 'Who does it; NULL: the employee.';
COMMENT ON COLUMN payroll.onboarding_task.blocks_first_pay IS
    'Until it is done the first paycheck has a blocker: nobody can be paid and reported without a
     name, a number and a home.';
COMMENT ON COLUMN payroll.onboarding_task.form_data IS 'Answers of the step''s form.';

-- What is left to do by date: note_overdue_tasks(), the list of an office.
CREATE INDEX onboarding_task_open_idx
    ON payroll.onboarding_task (business_id, due_on)
    WHERE state IN ('open', 'overdue');

-- FK: what somebody has to do.
CREATE INDEX onboarding_task_assigned_to_idx
    ON payroll.onboarding_task (business_id, assigned_to)
    WHERE assigned_to IS NOT NULL;

ALTER TABLE payroll.onboarding_task ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.onboarding_task
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.onboarding_task TO app_user;
GRANT SELECT ON payroll.onboarding_task TO app_readonly;

CREATE TRIGGER onboarding_task_touch
    BEFORE UPDATE ON payroll.onboarding_task
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER onboarding_task_state_machine
    BEFORE INSERT OR UPDATE OF state ON payroll.onboarding_task
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open"],
        "transitions": {
            "open":    ["done", "waived", "overdue"],
            "overdue": ["done", "waived"],
            "done":    ["open"],
            "waived":  ["open"]
        }}');

CREATE FUNCTION payroll.start_checklist(
    employee uuid,
    list     text,
    day      date,
    office   uuid DEFAULT NULL
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    made integer;
BEGIN
    -- Who comes back goes through it again; what was done before makes room.
    DELETE FROM payroll.onboarding_task AS t
    WHERE t.business_id = tenant_mgmt.current_business_id() AND t.employee_id = employee
      AND t.checklist = list AND t.state IN ('done', 'waived');
    INSERT INTO payroll.onboarding_task
        (business_id, employee_id, assigned_to, checklist, task_code, sequence_no, due_on,
         blocks_first_pay)
    SELECT tenant_mgmt.current_business_id(), employee,
           CASE WHEN s.by_office THEN office END, s.checklist, s.task_code, s.sequence_no,
           day + s.days, s.blocks_first_pay
    FROM (VALUES
        ('onboarding', 1, 'personal_data', -3, true, false),
        -- 8 CFR 274a.2: the employee's part by the first day of work, the employer's within
        -- three business days (employment_eligibility keeps the exact dates).
        ('onboarding', 2, 'i9_section1', 0, true, false),
        ('onboarding', 3, 'w4', 0, false, false),
        ('onboarding', 4, 'state_w4', 0, false, false),
        ('onboarding', 5, 'i9_section2', 3, false, true),
        ('onboarding', 6, 'direct_deposit', 5, false, false),
        ('onboarding', 7, 'handbook', 7, false, false),
        ('onboarding', 8, 'equipment', 1, false, true),
        ('onboarding', 9, 'benefits', 30, false, false),
        ('offboarding', 1, 'final_pay', 0, false, true),
        ('offboarding', 2, 'equipment', 0, false, true),
        ('offboarding', 3, 'exit_interview', 0, false, true),
        -- 29 USC 1166: the employer tells the plan within 30 days, the plan the leaver within 14.
        ('offboarding', 4, 'cobra_notice', 44, false, true)
    ) AS s (checklist, sequence_no, task_code, days, blocks_first_pay, by_office)
    WHERE s.checklist = list
    ON CONFLICT (business_id, employee_id, checklist, task_code) DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION payroll.start_checklist(uuid, text, date, uuid) IS
    'Gives an employee of the calling tenant the steps of joining from the first day, or of leaving
     from the last; returns how many. What is still open stays as it is.';

CREATE FUNCTION payroll.note_overdue_tasks(today date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    changed integer;
BEGIN
    UPDATE payroll.onboarding_task AS t
    SET state = 'overdue', reminder_count = t.reminder_count + 1
    WHERE t.business_id = tenant_mgmt.current_business_id() AND t.state IN ('open', 'overdue')
      AND t.due_on < today;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION payroll.note_overdue_tasks(date) IS
    'Every morning: what the calling tenant''s people were to do before today is overdue, and they
     are reminded once more. Returns of how much.';


CREATE TABLE payroll.delivery_consent (
    business_id         uuid              NOT NULL,
    delivery_consent_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id         uuid              NOT NULL,
    document_kind       text              NOT NULL,
    is_electronic       boolean           NOT NULL DEFAULT false,
    consented_at        timestamptz       NOT NULL,
    withdrawn_at        timestamptz,
    disclosure_version  text,
    demonstrated_access boolean           NOT NULL DEFAULT false,
    email_used          system_core.email,
    ip_address          inet,
    created_at          timestamptz       NOT NULL DEFAULT now(),
    updated_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, delivery_consent_id),
    UNIQUE (business_id, employee_id, document_kind, consented_at),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    CONSTRAINT delivery_consent_document_kind_known
        CHECK (document_kind IN ('pay_stub', 'w2', '1095c', '1099', 'benefit_notice')),
    CONSTRAINT delivery_consent_withdrawn_after_given CHECK (withdrawn_at > consented_at),
    -- 26 CFR 31.6051-1(j), 301.6056-2: consent is given in a way that shows it can be opened.
    CONSTRAINT delivery_consent_tax_forms_need_access
        CHECK (NOT is_electronic OR demonstrated_access
               OR document_kind NOT IN ('w2', '1095c', '1099')),
    CONSTRAINT delivery_consent_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, employee_id WITH =, document_kind WITH =,
        tstzrange(consented_at, withdrawn_at) WITH &&)
);

COMMENT ON TABLE payroll.delivery_consent IS
    'Consent to electronic pay stubs and year-end forms, with withdrawal.';
COMMENT ON COLUMN payroll.delivery_consent.is_electronic IS
    'False: the employee was asked and wants paper.';
COMMENT ON COLUMN payroll.delivery_consent.demonstrated_access IS
    'A document of the same format was opened when consenting.';
COMMENT ON COLUMN payroll.delivery_consent.disclosure_version IS
    'Of the text that said what is agreed to and how to withdraw.';

ALTER TABLE payroll.delivery_consent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.delivery_consent
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.delivery_consent TO app_user;
GRANT SELECT ON payroll.delivery_consent TO app_readonly;

CREATE TRIGGER delivery_consent_touch
    BEFORE UPDATE ON payroll.delivery_consent
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.refuse_changed_consent() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a consent does not change once it is given'
        USING ERRCODE = 'restrict_violation', HINT = 'Withdraw it and let another be given.';
END
$$;
COMMENT ON FUNCTION payroll.refuse_changed_consent() IS
    'It is the proof of what somebody agreed to: all that may follow is the withdrawal, once.';

CREATE TRIGGER delivery_consent_stands
    BEFORE UPDATE ON payroll.delivery_consent
    FOR EACH ROW WHEN (OLD.withdrawn_at IS NOT NULL
                       OR (OLD.employee_id, OLD.document_kind, OLD.is_electronic,
                           OLD.consented_at, OLD.disclosure_version, OLD.demonstrated_access)
                          IS DISTINCT FROM
                          (NEW.employee_id, NEW.document_kind, NEW.is_electronic,
                           NEW.consented_at, NEW.disclosure_version, NEW.demonstrated_access))
    EXECUTE FUNCTION payroll.refuse_changed_consent();

CREATE FUNCTION payroll.wants_electronic(
    employee uuid,
    kind     text,
    moment   timestamptz DEFAULT now()
) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(bool_or(c.is_electronic), false)
    FROM payroll.delivery_consent AS c
    WHERE c.business_id = tenant_mgmt.current_business_id() AND c.employee_id = employee
      AND c.document_kind = kind AND tstzrange(c.consented_at, c.withdrawn_at) @> moment;
END;
COMMENT ON FUNCTION payroll.wants_electronic(uuid, text, timestamptz) IS
    'Whether an employee of the calling tenant gets documents of a kind electronically at a moment;
     whoever was never asked gets paper.';


CREATE TABLE payroll.employee_document (
    business_id          uuid        NOT NULL,
    employee_document_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id          uuid        NOT NULL,
    file_object_id       uuid        NOT NULL,
    paycheck_id          uuid,
    wage_statement_id    uuid,
    document_kind        text        NOT NULL,
    title                text        NOT NULL,
    published_at         timestamptz NOT NULL DEFAULT now(),
    available_until      timestamptz,
    first_viewed_at      timestamptz,
    view_count           integer     NOT NULL DEFAULT 0,
    requires_signature   boolean     NOT NULL DEFAULT false,
    signed_at            timestamptz,
    tax_year             integer,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, employee_document_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, paycheck_id) REFERENCES payroll.paycheck (business_id, paycheck_id),
    FOREIGN KEY (business_id, wage_statement_id)
        REFERENCES payroll.wage_statement (business_id, wage_statement_id),
    CONSTRAINT employee_document_kind_known
        CHECK (document_kind IN ('pay_stub', 'w2', '1095c', 'offer_letter', 'policy',
                                 'benefit_confirmation', 'verification_letter')),
    CONSTRAINT employee_document_titled CHECK (title ~ '\S'),
    CONSTRAINT employee_document_stub_is_of_paycheck
        CHECK ((document_kind = 'pay_stub') = (paycheck_id IS NOT NULL)),
    CONSTRAINT employee_document_w2_is_of_statement
        CHECK ((document_kind = 'w2') = (wage_statement_id IS NOT NULL)),
    CONSTRAINT employee_document_form_has_year
        CHECK (document_kind NOT IN ('w2', '1095c') OR tax_year IS NOT NULL),
    CONSTRAINT employee_document_stub_stays_four_years
        CHECK (document_kind <> 'pay_stub'
               OR available_until >= (published_at AT TIME ZONE 'UTC' + interval '4 years')
                                     AT TIME ZONE 'UTC'),
    CONSTRAINT employee_document_available_after_publication
        CHECK (available_until > published_at),
    CONSTRAINT employee_document_viewed_after_publication
        CHECK (first_viewed_at >= published_at),
    CONSTRAINT employee_document_views_countable
        CHECK (view_count >= 0 AND (view_count > 0) = (first_viewed_at IS NOT NULL)),
    CONSTRAINT employee_document_signed_where_asked
        CHECK (signed_at IS NULL OR requires_signature),
    CONSTRAINT employee_document_signed_after_reading
        CHECK (signed_at IS NULL OR coalesce(signed_at >= first_viewed_at, false))
);

COMMENT ON TABLE payroll.employee_document IS
    'Pay stub, form, letter or policy published to an employee.';
COMMENT ON COLUMN payroll.employee_document.available_until IS 'NULL: for good.';

-- FK: the documents of an employee, the newest first.
CREATE INDEX employee_document_employee_idx
    ON payroll.employee_document (business_id, employee_id, published_at DESC);

-- FK: who was given a file.
CREATE INDEX employee_document_file_object_idx
    ON payroll.employee_document (business_id, file_object_id);

-- FK: the stub of a paycheck; it has one.
CREATE UNIQUE INDEX employee_document_paycheck_idx
    ON payroll.employee_document (business_id, paycheck_id)
    WHERE paycheck_id IS NOT NULL;

-- FK: the document of a wage statement; it has one.
CREATE UNIQUE INDEX employee_document_wage_statement_idx
    ON payroll.employee_document (business_id, wage_statement_id)
    WHERE wage_statement_id IS NOT NULL;

ALTER TABLE payroll.employee_document ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.employee_document
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.employee_document TO app_user;
GRANT SELECT ON payroll.employee_document TO app_readonly;

CREATE TRIGGER employee_document_touch
    BEFORE UPDATE ON payroll.employee_document
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER employee_document_own_paycheck
    BEFORE INSERT OR UPDATE OF employee_id, paycheck_id ON payroll.employee_document
    FOR EACH ROW WHEN (NEW.paycheck_id IS NOT NULL)
    EXECUTE FUNCTION payroll.require_paycheck_of_employee();

CREATE FUNCTION payroll.require_published_source() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT
        FROM payroll.paycheck AS p
        WHERE p.business_id = NEW.business_id AND p.paycheck_id = NEW.paycheck_id
          AND p.status = 'draft'
    ) THEN
        RAISE EXCEPTION 'a draft of a paycheck is not published'
            USING ERRCODE = 'check_violation', HINT = 'Approve the pay run first.';
    END IF;
    IF NEW.wage_statement_id IS NOT NULL AND NOT EXISTS (
        SELECT
        FROM payroll.wage_statement AS w
        WHERE w.business_id = NEW.business_id AND w.wage_statement_id = NEW.wage_statement_id
          AND w.employee_id = NEW.employee_id AND w.tax_year = NEW.tax_year
          AND w.status IN ('furnished', 'transmitted', 'accepted', 'corrected')
    ) THEN
        RAISE EXCEPTION 'the statement is not one of this employee and year that was furnished'
            USING ERRCODE = 'check_violation',
                  HINT = 'Publish it to whom it is about, once it is furnished.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_published_source() IS
    'What employees see is final, and about them.';

CREATE TRIGGER employee_document_source
    BEFORE INSERT OR UPDATE OF employee_id, paycheck_id, wage_statement_id, tax_year
    ON payroll.employee_document
    FOR EACH ROW WHEN (num_nonnulls(NEW.paycheck_id, NEW.wage_statement_id) > 0)
    EXECUTE FUNCTION payroll.require_published_source();

CREATE FUNCTION payroll.refuse_withdrawn_stub() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'a pay stub stays available until %',
                        coalesce(OLD.available_until::date::text, 'the end')
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$;
COMMENT ON FUNCTION payroll.refuse_withdrawn_stub() IS
    'Employees may look up what they were paid for four years.';

CREATE TRIGGER employee_document_stub_stays
    BEFORE DELETE ON payroll.employee_document
    FOR EACH ROW WHEN (OLD.document_kind = 'pay_stub'
                       AND (OLD.available_until IS NULL OR OLD.available_until > now()))
    EXECUTE FUNCTION payroll.refuse_withdrawn_stub();

CREATE FUNCTION payroll.publish_pay_stub(
    paycheck uuid,
    file     uuid,
    moment   timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    document uuid;
BEGIN
    INSERT INTO payroll.employee_document
        (business_id, employee_id, file_object_id, paycheck_id, document_kind, title, published_at,
         available_until)
    SELECT p.business_id, p.employee_id, file, p.paycheck_id, 'pay_stub',
           'Pay stub of ' || p.check_date, moment,
           (moment AT TIME ZONE 'UTC' + interval '4 years') AT TIME ZONE 'UTC'
    FROM payroll.paycheck AS p
    WHERE p.business_id = tenant_mgmt.current_business_id() AND p.paycheck_id = paycheck
    RETURNING employee_document_id INTO document;
    IF document IS NULL THEN
        RAISE EXCEPTION 'there is no paycheck %', paycheck USING ERRCODE = 'no_data_found';
    END IF;
    RETURN document;
END
$$;
COMMENT ON FUNCTION payroll.publish_pay_stub(uuid, uuid, timestamptz) IS
    'Publishes a file as the stub of a paycheck of the calling tenant, for four years.';

CREATE FUNCTION payroll.open_document(
    document uuid,
    reader   uuid,
    moment   timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    found  payroll.employee_document;
BEGIN
    -- Whose it is not learns nothing: it is not there for them.
    UPDATE payroll.employee_document AS d
    SET view_count = d.view_count + 1,
        first_viewed_at = coalesce(d.first_viewed_at, greatest(moment, d.published_at))
    WHERE d.business_id = tenant AND d.employee_document_id = document
      AND d.employee_id = reader AND d.published_at <= moment
      AND (d.available_until IS NULL OR d.available_until > moment)
    RETURNING d.* INTO found;
    IF found.file_object_id IS NULL THEN
        RAISE EXCEPTION 'there is no such document' USING ERRCODE = 'no_data_found';
    END IF;
    RETURN found.file_object_id;
END
$$;
COMMENT ON FUNCTION payroll.open_document(uuid, uuid, timestamptz) IS
    'The file of a document of the calling tenant, for the employee it was published to and as long
     as it is available; counts that it was opened.';


CREATE TABLE payroll.pay_inquiry (
    business_id        uuid              NOT NULL,
    pay_inquiry_id     uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id        uuid              NOT NULL,
    paycheck_id        uuid,
    assigned_to        uuid,
    inquiry_number     text              NOT NULL,
    topic              text              NOT NULL,
    opened_at          timestamptz       NOT NULL DEFAULT now(),
    question           text              NOT NULL,
    status             text              NOT NULL DEFAULT 'open',
    first_response_at  timestamptz,
    resolved_at        timestamptz,
    resolution         text,
    amount_at_issue    system_core.money,
    satisfaction_score system_core.score,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pay_inquiry_id),
    UNIQUE (business_id, inquiry_number),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, paycheck_id) REFERENCES payroll.paycheck (business_id, paycheck_id),
    FOREIGN KEY (business_id, assigned_to)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT pay_inquiry_topic_known
        CHECK (topic IN ('missing_hours', 'wrong_rate', 'tax', 'deduction', 'direct_deposit',
                         'time_off', 'benefits', 'form_copy')),
    CONSTRAINT pay_inquiry_status_known
        CHECK (status IN ('open', 'waiting_employee', 'resolved', 'escalated', 'reopened')),
    CONSTRAINT pay_inquiry_resolution_known
        CHECK (resolution IN ('explained', 'corrected', 'no_error', 'retro_paid')),
    CONSTRAINT pay_inquiry_asks_something CHECK (question ~ '\S'),
    CONSTRAINT pay_inquiry_resolved_says_how
        CHECK ((status = 'resolved') = (resolution IS NOT NULL)
               AND (status = 'resolved') = (resolved_at IS NOT NULL)),
    CONSTRAINT pay_inquiry_answered_has_time
        CHECK (status NOT IN ('waiting_employee', 'resolved', 'reopened')
               OR first_response_at IS NOT NULL),
    CONSTRAINT pay_inquiry_answered_after_opening CHECK (first_response_at >= opened_at),
    CONSTRAINT pay_inquiry_resolved_after_answer CHECK (resolved_at >= first_response_at),
    CONSTRAINT pay_inquiry_amount_not_negative CHECK (amount_at_issue >= 0),
    CONSTRAINT pay_inquiry_rated_from_one_to_five CHECK (satisfaction_score BETWEEN 1 AND 5),
    CONSTRAINT pay_inquiry_rated_once_resolved
        CHECK (satisfaction_score IS NULL OR status = 'resolved')
);

COMMENT ON TABLE payroll.pay_inquiry IS 'Question or dispute of an employee about pay.';
COMMENT ON COLUMN payroll.pay_inquiry.resolution IS
    'corrected: by another paycheck; retro_paid: with the next one.';

-- FK: the questions of an employee, the newest first.
CREATE INDEX pay_inquiry_employee_idx
    ON payroll.pay_inquiry (business_id, employee_id, opened_at DESC);

-- What waits for an answer, the oldest first.
CREATE INDEX pay_inquiry_waiting_idx
    ON payroll.pay_inquiry (business_id, opened_at)
    WHERE status IN ('open', 'escalated', 'reopened');

-- FK: what somebody answers.
CREATE INDEX pay_inquiry_assigned_to_idx
    ON payroll.pay_inquiry (business_id, assigned_to)
    WHERE assigned_to IS NOT NULL;

-- FK: what was asked about a paycheck.
CREATE INDEX pay_inquiry_paycheck_idx
    ON payroll.pay_inquiry (business_id, paycheck_id)
    WHERE paycheck_id IS NOT NULL;

ALTER TABLE payroll.pay_inquiry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.pay_inquiry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.pay_inquiry TO app_user;
GRANT SELECT ON payroll.pay_inquiry TO app_readonly;

CREATE TRIGGER pay_inquiry_touch
    BEFORE UPDATE ON payroll.pay_inquiry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER pay_inquiry_own_paycheck
    BEFORE INSERT OR UPDATE OF employee_id, paycheck_id ON payroll.pay_inquiry
    FOR EACH ROW WHEN (NEW.paycheck_id IS NOT NULL)
    EXECUTE FUNCTION payroll.require_paycheck_of_employee();
CREATE TRIGGER pay_inquiry_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.pay_inquiry
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":             ["waiting_employee", "resolved", "escalated"],
            "waiting_employee": ["open", "resolved", "escalated"],
            "escalated":        ["waiting_employee", "resolved"],
            "resolved":         ["reopened"],
            "reopened":         ["waiting_employee", "resolved", "escalated"]
        }}');

CREATE FUNCTION payroll.open_inquiry(
    employee uuid,
    subject  text,
    asked    text,
    paycheck uuid DEFAULT NULL,
    amount   numeric DEFAULT NULL,
    moment   timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    year   CONSTANT text := to_char(moment AT TIME ZONE 'UTC', 'YYYY');
    made   uuid;
BEGIN
    -- Numbers of a tenant follow each other, so two that ask at once take turns.
    PERFORM pg_advisory_xact_lock(hashtextextended(tenant::text || ' pay inquiry', 0));
    INSERT INTO payroll.pay_inquiry
        (business_id, employee_id, paycheck_id, inquiry_number, topic, question, amount_at_issue,
         opened_at)
    SELECT tenant, employee, paycheck,
           format('PI-%s-%s', year, lpad((coalesce(max(
               substring(i.inquiry_number FROM 9)::integer), 0) + 1)::text, 5, '0')),
           subject, asked, amount, moment
    FROM payroll.pay_inquiry AS i
    WHERE i.business_id = tenant AND i.inquiry_number ~ ('^PI-' || year || '-[0-9]{5,9}$')
    RETURNING pay_inquiry_id INTO made;
    RETURN made;
END
$$;
COMMENT ON FUNCTION payroll.open_inquiry(uuid, text, text, uuid, numeric, timestamptz) IS
    'Files a question of an employee of the calling tenant under the next number of the year.';

CREATE FUNCTION payroll.answer_inquiry(
    inquiry uuid,
    outcome text DEFAULT NULL,
    moment  timestamptz DEFAULT now()
) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    now_is text;
BEGIN
    UPDATE payroll.pay_inquiry AS i
    SET status = CASE WHEN outcome IS NULL THEN 'waiting_employee' ELSE 'resolved' END,
        first_response_at = coalesce(i.first_response_at, greatest(moment, i.opened_at)),
        resolution = outcome,
        resolved_at = CASE WHEN outcome IS NOT NULL
                           THEN greatest(moment, i.opened_at, i.first_response_at) END
    WHERE i.business_id = tenant_mgmt.current_business_id() AND i.pay_inquiry_id = inquiry
    RETURNING i.status INTO now_is;
    IF now_is IS NULL THEN
        RAISE EXCEPTION 'there is no inquiry %', inquiry USING ERRCODE = 'no_data_found';
    END IF;
    RETURN now_is;
END
$$;
COMMENT ON FUNCTION payroll.answer_inquiry(uuid, text, timestamptz) IS
    'Answers a question of the calling tenant: with an outcome it is resolved, without one the
     employee is asked back. The first answer stops the clock.';


CREATE TABLE payroll.self_service_event (
    business_id           uuid                     NOT NULL,
    self_service_event_id uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id           uuid                     NOT NULL,
    occurred_at           timestamptz              NOT NULL,
    action                text                     NOT NULL,
    channel               text                     NOT NULL,
    document_key          uuid,
    duration_ms           system_core.milliseconds,
    result                text                     NOT NULL DEFAULT 'ok',
    step_up_passed        boolean,
    ip_address            inet,
    app_version           text,
    created_at            timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, self_service_event_id, occurred_at),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    CONSTRAINT self_service_event_action_known
        CHECK (action IN ('login', 'view_pay_stub', 'download_w2', 'view_time_off',
                          'request_time_off', 'edit_bank', 'edit_withholding', 'view_benefits',
                          'clock_in', 'clock_out', 'open_inquiry')),
    CONSTRAINT self_service_event_channel_known
        CHECK (channel IN ('web', 'ios', 'android', 'kiosk')),
    CONSTRAINT self_service_event_result_known CHECK (result IN ('ok', 'denied', 'error')),
    CONSTRAINT self_service_event_bank_asks_for_step_up
        CHECK (action <> 'edit_bank' OR step_up_passed IS NOT NULL),
    CONSTRAINT self_service_event_denied_without_step_up
        CHECK (step_up_passed OR result = 'denied'),
    CONSTRAINT self_service_event_no_bank_at_kiosk
        CHECK (channel <> 'kiosk' OR action NOT IN ('edit_bank', 'edit_withholding',
                                                    'download_w2'))
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE payroll.self_service_event IS 'What employees do in the portal; append only.';
COMMENT ON COLUMN payroll.self_service_event.document_key IS
    'The employee_document that was opened; kept when that is gone.';
COMMENT ON COLUMN payroll.self_service_event.step_up_passed IS
    'Where it was asked for: whether the employee proved again who they are.';

-- FK: what an employee did, the newest first.
CREATE INDEX self_service_event_employee_idx
    ON payroll.self_service_event (business_id, employee_id, occurred_at DESC);

-- portal_use(): the events of a tenant in a period.
CREATE INDEX self_service_event_occurred_at_idx
    ON payroll.self_service_event (business_id, occurred_at);

ALTER TABLE payroll.self_service_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.self_service_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON payroll.self_service_event TO app_user;
GRANT SELECT ON payroll.self_service_event TO app_readonly;

CREATE TRIGGER self_service_event_append_only
    BEFORE UPDATE OR DELETE ON payroll.self_service_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('payroll.self_service_event');

CREATE TABLE payroll.self_service_event_default PARTITION OF payroll.self_service_event DEFAULT;
ALTER TABLE payroll.self_service_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.self_service_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'payroll.self_service_event', 'month', behind => 13, ahead => 3);

CREATE FUNCTION payroll.portal_use(since timestamptz, until timestamptz)
    RETURNS TABLE (action text, channel text, events bigint, people bigint, denied bigint,
                   errors bigint, median_ms numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT e.action, e.channel, count(*), count(DISTINCT e.employee_id),
           count(*) FILTER (WHERE e.result = 'denied'), count(*) FILTER (WHERE e.result = 'error'),
           round((percentile_cont(0.5) WITHIN GROUP (ORDER BY e.duration_ms::double precision))
                 ::numeric, 1)
    FROM payroll.self_service_event AS e
    WHERE e.business_id = tenant_mgmt.current_business_id()
      AND e.occurred_at >= since AND e.occurred_at < until
    GROUP BY e.action, e.channel
    ORDER BY count(*) DESC, e.action, e.channel;
END;
COMMENT ON FUNCTION payroll.portal_use(timestamptz, timestamptz) IS
    'What the portal of the calling tenant is used for, from where, and how quickly it answers.';
