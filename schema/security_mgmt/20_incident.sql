/*
 * Incidents: what was done about them, and the duties to tell others.
 *
 * response_playbook holds the prepared steps for a category, and whom to tell within how many
 * hours under which regime. incident is a declared incident that moves from phase to phase by
 * transition_incident(); incident_alert are the alerts that belong to it, incident_task the
 * playbook's steps that it opened, incident_timeline_entry what happened and was done, append
 * only. breach_assessment decides whether others must be told; the decision to notify writes
 * breach_notification rows with the clocks of the playbook.
 *
 * No deadline of a law is written into a function: hours stand in response_playbook.contact_tree,
 * which the tenant's counsel keeps. Only two CHECKs of breach_notification name the law, as the
 * longest time that a clock may be given.
 */

CREATE TABLE security_mgmt.response_playbook (
    business_id           uuid                   NOT NULL,
    response_playbook_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid,
    code                  system_core.code       NOT NULL,
    version_no            integer                NOT NULL DEFAULT 1,
    name                  text                   NOT NULL,
    category              text                   NOT NULL,
    steps                 system_core.json_array NOT NULL DEFAULT '[]',
    contact_tree          system_core.json_array NOT NULL DEFAULT '[]',
    status                text                   NOT NULL DEFAULT 'draft',
    last_exercised_on     date,
    review_due_on         date,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, response_playbook_id),
    UNIQUE (business_id, code, version_no),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT response_playbook_category_known
        CHECK (category IN ('malware', 'phishing', 'account_compromise', 'data_leak', 'insider',
                            'denial_of_service', 'lost_device', 'misconfiguration',
                            'third_party', 'tamper')),
    CONSTRAINT response_playbook_status_known CHECK (status IN ('draft', 'approved', 'retired')),
    CONSTRAINT response_playbook_version_positive CHECK (version_no >= 1),
    CONSTRAINT response_playbook_approved_has_steps
        CHECK (status <> 'approved' OR jsonb_array_length(steps) > 0)
);

COMMENT ON TABLE security_mgmt.response_playbook IS
    'Prepared steps for a category of incident, and whom to tell when.';
COMMENT ON COLUMN security_mgmt.response_playbook.steps IS
    '[{"code", "title", "phase", "mandatory", "owner_role", "due_hours"}]: the tasks that an
     incident opens; due_hours count from its declaration.';
COMMENT ON COLUMN security_mgmt.response_playbook.contact_tree IS
    '[{"regime", "recipient_kind", "recipient_name", "method", "hours", "requires",
     "min_persons"}]: whom to tell within how many hours of becoming aware. requires is risk,
     high_risk, phi or cardholder_data; min_persons is how many must be affected.';

-- One version of a playbook is in force.
CREATE UNIQUE INDEX response_playbook_approved_idx
    ON security_mgmt.response_playbook (business_id, code)
    WHERE status = 'approved';

-- The playbook for an incident's category; breach_deadlines().
CREATE INDEX response_playbook_category_idx
    ON security_mgmt.response_playbook (business_id, category)
    WHERE status = 'approved';

-- FK: playbooks of an owner.
CREATE INDEX response_playbook_owner_idx
    ON security_mgmt.response_playbook (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

ALTER TABLE security_mgmt.response_playbook ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.response_playbook
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.response_playbook TO app_user;
GRANT SELECT ON security_mgmt.response_playbook TO app_readonly;

CREATE TRIGGER response_playbook_touch
    BEFORE UPDATE ON security_mgmt.response_playbook
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER response_playbook_status_machine
    BEFORE INSERT OR UPDATE OF status ON security_mgmt.response_playbook
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":    ["approved", "retired"],
            "approved": ["retired"],
            "retired":  []
        }}');

CREATE FUNCTION security_mgmt.check_playbook() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong text;
BEGIN
    IF TG_OP = 'UPDATE' AND row_security_active(TG_RELID)
        AND OLD.status <> 'draft' AND (OLD.steps, OLD.contact_tree)
                                      IS DISTINCT FROM (NEW.steps, NEW.contact_tree) THEN
        RAISE EXCEPTION 'playbook % version % was approved: it stays', OLD.code, OLD.version_no
            USING ERRCODE = 'restrict_violation', HINT = 'Write the next version.';
    END IF;
    SELECT string_agg(coalesce(s.code, s.place::text), ', ') INTO wrong
    FROM (
        SELECT t.*, count(*) OVER (PARTITION BY t.code) AS same
        FROM JSON_TABLE(NEW.steps::jsonb, '$[*]' COLUMNS (
            place     FOR ORDINALITY,
            code      text    PATH '$.code',
            title     text    PATH '$.title',
            phase     text    PATH '$.phase',
            mandatory boolean PATH '$.mandatory' NULL ON ERROR,
            hours     numeric PATH '$.due_hours' DEFAULT -1 ON ERROR)) AS t
    ) AS s
    WHERE s.code IS NULL OR s.title IS NULL OR s.mandatory IS NULL OR s.same > 1 OR s.hours < 0
       OR s.phase IS NULL
       OR s.phase NOT IN ('analysis', 'containment', 'eradication', 'recovery', 'post_incident');
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'playbook %: steps that cannot be opened: %', NEW.code, wrong
            USING ERRCODE = 'check_violation',
                  HINT = 'A step has a code of its own, a title, a phase and mandatory.';
    END IF;
    SELECT string_agg(c.place::text, ', ') INTO wrong
    FROM JSON_TABLE(NEW.contact_tree::jsonb, '$[*]' COLUMNS (
        place          FOR ORDINALITY,
        regime         text    PATH '$.regime',
        recipient_kind text    PATH '$.recipient_kind',
        method         text    PATH '$.method',
        hours          numeric PATH '$.hours' NULL ON ERROR,
        needed         text    PATH '$.requires' DEFAULT 'risk' ON EMPTY)) AS c
    WHERE c.hours IS NULL OR c.hours <= 0
       OR c.regime IS NULL
       OR c.regime NOT IN ('gdpr', 'hipaa', 'pci_dss', 'sox', 'state_law', 'contract')
       OR c.recipient_kind IS NULL
       OR c.recipient_kind NOT IN ('supervisory_authority', 'data_subject', 'hhs', 'media',
                                   'card_brand', 'acquirer', 'state_attorney', 'sec', 'customer')
       OR c.method NOT IN ('portal', 'letter', 'email', 'phone', 'publication')
       OR c.needed NOT IN ('risk', 'high_risk', 'phi', 'cardholder_data');
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'playbook %: contacts without regime, recipient or hours: %',
            NEW.code, wrong
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.check_playbook() IS
    'Steps and contacts of a playbook can be read by what opens tasks and starts clocks; once it
     was approved they stay.';

CREATE TRIGGER response_playbook_content
    BEFORE INSERT OR UPDATE OF steps, contact_tree ON security_mgmt.response_playbook
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.check_playbook();


CREATE TABLE security_mgmt.incident (
    business_id               uuid              NOT NULL,
    incident_id               uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    commander_user_account_id uuid,
    response_playbook_id      uuid,
    incident_number           system_core.code  NOT NULL,
    title                     text              NOT NULL,
    category                  text              NOT NULL,
    severity                  text              NOT NULL,
    phase                     text              NOT NULL DEFAULT 'declared',
    is_suspected_breach       boolean           NOT NULL DEFAULT false,
    affected_record_count     integer           NOT NULL DEFAULT 0,
    cost_amount               system_core.money NOT NULL DEFAULT 0,
    root_cause                text,
    detected_at               timestamptz       NOT NULL,
    declared_at               timestamptz       NOT NULL DEFAULT now(),
    phase_changed_at          timestamptz       NOT NULL DEFAULT now(),
    contained_at              timestamptz,
    recovered_at              timestamptz,
    closed_at                 timestamptz,
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, incident_id),
    UNIQUE (business_id, incident_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, commander_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, response_playbook_id)
        REFERENCES security_mgmt.response_playbook (business_id, response_playbook_id),
    CONSTRAINT incident_category_known
        CHECK (category IN ('malware', 'phishing', 'account_compromise', 'data_leak', 'insider',
                            'denial_of_service', 'lost_device', 'misconfiguration',
                            'third_party', 'tamper')),
    CONSTRAINT incident_severity_known CHECK (severity IN ('sev1', 'sev2', 'sev3', 'sev4')),
    CONSTRAINT incident_phase_known
        CHECK (phase IN ('declared', 'analysis', 'containment', 'eradication', 'recovery',
                         'post_incident', 'closed')),
    CONSTRAINT incident_figures_not_negative
        CHECK (affected_record_count >= 0 AND cost_amount >= 0),
    CONSTRAINT incident_declared_after_detection CHECK (declared_at >= detected_at),
    CONSTRAINT incident_contained_after_declaration CHECK (contained_at >= declared_at),
    CONSTRAINT incident_recovered_after_containment CHECK (recovered_at >= contained_at),
    CONSTRAINT incident_recovered_was_contained
        CHECK (recovered_at IS NULL OR contained_at IS NOT NULL),
    CONSTRAINT incident_closed_last
        CHECK (closed_at >= coalesce(recovered_at, contained_at, declared_at)),
    CONSTRAINT incident_phase_changed_after_declaration CHECK (phase_changed_at >= declared_at),
    CONSTRAINT incident_eradication_is_contained
        CHECK (phase NOT IN ('eradication', 'recovery') OR contained_at IS NOT NULL),
    CONSTRAINT incident_closed_has_time CHECK ((phase = 'closed') = (closed_at IS NOT NULL)),
    CONSTRAINT incident_closed_has_cause
        CHECK (phase <> 'closed' OR coalesce(root_cause, '') ~ '\S')
);

COMMENT ON TABLE security_mgmt.incident IS
    'A declared incident from detection to lessons learned.';
COMMENT ON COLUMN security_mgmt.incident.severity IS 'sev1 is the worst.';
COMMENT ON COLUMN security_mgmt.incident.contained_at IS
    'When it went on to eradication; NULL of a false alarm, which goes from analysis to the end.';
COMMENT ON COLUMN security_mgmt.incident.is_suspected_breach IS
    'Personal data may be out: the clocks of breach_deadlines() run.';

-- v_incident_clock: open incidents, the worst and oldest first.
CREATE INDEX incident_open_idx
    ON security_mgmt.incident (business_id, severity, declared_at)
    WHERE phase <> 'closed';

-- FK: incidents of a commander.
CREATE INDEX incident_commander_idx
    ON security_mgmt.incident (business_id, commander_user_account_id)
    WHERE commander_user_account_id IS NOT NULL;

-- FK: incidents that followed a playbook.
CREATE INDEX incident_playbook_idx
    ON security_mgmt.incident (business_id, response_playbook_id)
    WHERE response_playbook_id IS NOT NULL;

ALTER TABLE security_mgmt.incident ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.incident
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.incident TO app_user;
GRANT SELECT ON security_mgmt.incident TO app_readonly;

CREATE TRIGGER incident_touch
    BEFORE UPDATE ON security_mgmt.incident
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER incident_phase_machine
    BEFORE INSERT OR UPDATE OF phase ON security_mgmt.incident
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('phase', '{
        "initial": ["declared"],
        "transitions": {
            "declared":      ["analysis"],
            "analysis":      ["containment", "post_incident"],
            "containment":   ["eradication", "analysis"],
            "eradication":   ["recovery", "containment"],
            "recovery":      ["post_incident", "eradication"],
            "post_incident": ["closed", "recovery"],
            "closed":        []
        }}');

CREATE FUNCTION security_mgmt.prepare_incident() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.incident_number IS NULL THEN
        NEW.incident_number := system_core.number_document(
            NEW.business_id, 'security_incident', 'INC-', NEW.incident_id);
    END IF;
    IF NEW.response_playbook_id IS NULL AND row_security_active(TG_RELID) THEN
        NEW.response_playbook_id := (
            SELECT p.response_playbook_id FROM security_mgmt.response_playbook AS p
            WHERE p.business_id = NEW.business_id
              AND p.category = NEW.category AND p.status = 'approved'
            ORDER BY p.last_exercised_on DESC NULLS LAST, p.code
            LIMIT 1);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.prepare_incident() IS
    'Numbers an incident that comes without a number, and takes the approved playbook of its
     category that was exercised last.';

CREATE TRIGGER incident_prepare
    BEFORE INSERT ON security_mgmt.incident
    FOR EACH ROW WHEN (NEW.incident_number IS NULL OR NEW.response_playbook_id IS NULL)
    EXECUTE FUNCTION security_mgmt.prepare_incident();


CREATE TABLE security_mgmt.incident_alert (
    business_id        uuid              NOT NULL,
    incident_alert_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    incident_id        uuid              NOT NULL,
    security_alert_id  uuid              NOT NULL,
    linked_by          uuid,
    relation           text              NOT NULL DEFAULT 'supporting',
    is_root_signal     boolean           NOT NULL DEFAULT false,
    confidence         system_core.score NOT NULL DEFAULT 50,
    note               text,
    evidence_reference text,
    linked_at          timestamptz       NOT NULL DEFAULT now(),
    unlinked_at        timestamptz,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, incident_alert_id),
    UNIQUE (business_id, incident_id, security_alert_id),
    FOREIGN KEY (business_id, incident_id)
        REFERENCES security_mgmt.incident (business_id, incident_id),
    FOREIGN KEY (business_id, security_alert_id)
        REFERENCES security_mgmt.security_alert (business_id, security_alert_id),
    FOREIGN KEY (business_id, linked_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT incident_alert_relation_known
        CHECK (relation IN ('initial', 'supporting', 'duplicate', 'consequence')),
    CONSTRAINT incident_alert_confidence_bounded CHECK (confidence BETWEEN 0 AND 100),
    CONSTRAINT incident_alert_unlinked_after_linked CHECK (unlinked_at >= linked_at)
);

COMMENT ON TABLE security_mgmt.incident_alert IS
    'An alert that belongs to an incident, and how.';
COMMENT ON COLUMN security_mgmt.incident_alert.is_root_signal IS
    'The alert that the incident began with.';
COMMENT ON COLUMN security_mgmt.incident_alert.confidence IS 'That it belongs to it, 0 to 100.';

-- An incident begins with one alert.
CREATE UNIQUE INDEX incident_alert_root_idx
    ON security_mgmt.incident_alert (business_id, incident_id)
    WHERE is_root_signal AND unlinked_at IS NULL;

-- FK: incidents that an alert belongs to.
CREATE INDEX incident_alert_alert_idx
    ON security_mgmt.incident_alert (business_id, security_alert_id);

-- FK: who linked it.
CREATE INDEX incident_alert_linked_by_idx
    ON security_mgmt.incident_alert (business_id, linked_by)
    WHERE linked_by IS NOT NULL;

ALTER TABLE security_mgmt.incident_alert ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.incident_alert
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.incident_alert TO app_user;
GRANT SELECT ON security_mgmt.incident_alert TO app_readonly;

CREATE TRIGGER incident_alert_touch
    BEFORE UPDATE ON security_mgmt.incident_alert
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE security_mgmt.incident_timeline_entry (
    business_id                uuid        NOT NULL,
    incident_timeline_entry_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    incident_id                uuid        NOT NULL,
    author_user_account_id     uuid,
    file_object_id             uuid,
    entry_no                   integer     NOT NULL,
    supersedes_no              integer,
    entry_kind                 text        NOT NULL,
    summary                    text        NOT NULL,
    detail                     text,
    attack_tactic              text,
    is_external_statement      boolean     NOT NULL DEFAULT false,
    happened_at                timestamptz NOT NULL DEFAULT now(),
    recorded_at                timestamptz NOT NULL DEFAULT now(),
    created_at                 timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, incident_timeline_entry_id),
    UNIQUE (business_id, incident_id, entry_no),
    FOREIGN KEY (business_id, incident_id)
        REFERENCES security_mgmt.incident (business_id, incident_id),
    FOREIGN KEY (business_id, incident_id, supersedes_no)
        REFERENCES security_mgmt.incident_timeline_entry (business_id, incident_id, entry_no),
    FOREIGN KEY (business_id, author_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT incident_timeline_entry_kind_known
        CHECK (entry_kind IN ('detection', 'action', 'decision', 'communication', 'finding',
                              'phase_change', 'evidence')),
    CONSTRAINT incident_timeline_entry_tactic_known
        CHECK (attack_tactic IN ('reconnaissance', 'resource_development', 'initial_access',
                                 'execution', 'persistence', 'privilege_escalation',
                                 'defense_evasion', 'credential_access', 'discovery',
                                 'lateral_movement', 'collection', 'command_and_control',
                                 'exfiltration', 'impact')),
    CONSTRAINT incident_timeline_entry_no_positive CHECK (entry_no >= 1),
    CONSTRAINT incident_timeline_entry_supersedes_earlier CHECK (supersedes_no < entry_no),
    CONSTRAINT incident_timeline_entry_recorded_afterwards CHECK (recorded_at >= happened_at)
);

COMMENT ON TABLE security_mgmt.incident_timeline_entry IS
    'A dated statement of fact or action in an incident; append only, a correction supersedes.';
COMMENT ON COLUMN security_mgmt.incident_timeline_entry.entry_no IS
    'Numbered within the incident in the order of recording; given by the database.';
COMMENT ON COLUMN security_mgmt.incident_timeline_entry.attack_tactic IS
    'The tactic of MITRE ATT&CK that it shows.';
COMMENT ON COLUMN security_mgmt.incident_timeline_entry.is_external_statement IS
    'Was said to somebody outside: customers, press, authorities.';

-- An entry is corrected once. Serves the foreign key supersedes_no.
CREATE UNIQUE INDEX incident_timeline_entry_supersedes_idx
    ON security_mgmt.incident_timeline_entry (business_id, incident_id, supersedes_no)
    WHERE supersedes_no IS NOT NULL;

-- FK: what an author recorded.
CREATE INDEX incident_timeline_entry_author_idx
    ON security_mgmt.incident_timeline_entry (business_id, author_user_account_id)
    WHERE author_user_account_id IS NOT NULL;

-- FK: entries that a file proves.
CREATE INDEX incident_timeline_entry_file_idx
    ON security_mgmt.incident_timeline_entry (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE security_mgmt.incident_timeline_entry
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.incident_timeline_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON security_mgmt.incident_timeline_entry TO app_user;
GRANT SELECT ON security_mgmt.incident_timeline_entry TO app_readonly;

CREATE TRIGGER incident_timeline_entry_append_only
    BEFORE UPDATE OR DELETE ON security_mgmt.incident_timeline_entry
    FOR EACH ROW
    EXECUTE FUNCTION system_core.refuse_change('security_mgmt.incident_timeline_entry');

CREATE FUNCTION security_mgmt.number_timeline_entry() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM security_mgmt.incident AS i
    WHERE i.business_id = NEW.business_id AND i.incident_id = NEW.incident_id
    FOR NO KEY UPDATE;
    NEW.entry_no := 1 + coalesce((
        SELECT max(e.entry_no) FROM security_mgmt.incident_timeline_entry AS e
        WHERE e.business_id = NEW.business_id AND e.incident_id = NEW.incident_id), 0);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.number_timeline_entry() IS
    'The next number within the incident, whose row is locked so that two do not take the same.';

CREATE TRIGGER incident_timeline_entry_number
    BEFORE INSERT ON security_mgmt.incident_timeline_entry
    FOR EACH ROW WHEN (NEW.entry_no IS NULL)
    EXECUTE FUNCTION security_mgmt.number_timeline_entry();


CREATE TABLE security_mgmt.incident_task (
    business_id              uuid             NOT NULL,
    incident_task_id         uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    incident_id              uuid             NOT NULL,
    assignee_user_account_id uuid,
    step_no                  integer          NOT NULL,
    title                    text             NOT NULL,
    task_phase               text             NOT NULL,
    state                    text             NOT NULL DEFAULT 'open',
    is_mandatory             boolean          NOT NULL DEFAULT false,
    owner_role               text,
    playbook_step_code       system_core.code,
    result_note              text,
    due_at                   timestamptz,
    started_at               timestamptz,
    done_at                  timestamptz,
    created_at               timestamptz      NOT NULL DEFAULT now(),
    updated_at               timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, incident_task_id),
    UNIQUE (business_id, incident_id, step_no),
    FOREIGN KEY (business_id, incident_id)
        REFERENCES security_mgmt.incident (business_id, incident_id),
    FOREIGN KEY (business_id, assignee_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT incident_task_phase_known
        CHECK (task_phase IN ('analysis', 'containment', 'eradication', 'recovery',
                              'post_incident')),
    CONSTRAINT incident_task_state_known
        CHECK (state IN ('open', 'doing', 'done', 'blocked', 'not_needed')),
    CONSTRAINT incident_task_step_positive CHECK (step_no >= 1),
    CONSTRAINT incident_task_done_after_start CHECK (done_at >= started_at),
    CONSTRAINT incident_task_done_has_time CHECK ((state = 'done') = (done_at IS NOT NULL)),
    CONSTRAINT incident_task_left_out_has_reason
        CHECK (NOT (is_mandatory AND state = 'not_needed') OR coalesce(result_note, '') ~ '\S')
);

COMMENT ON TABLE security_mgmt.incident_task IS
    'A step of containment, eradication or recovery with owner and proof.';
COMMENT ON COLUMN security_mgmt.incident_task.is_mandatory IS
    'The incident does not close before it is done, or said not to be needed and why.';
COMMENT ON COLUMN security_mgmt.incident_task.owner_role IS
    'Who is to do it according to the playbook; the assignee is the person.';

-- A step of the playbook is opened once.
CREATE UNIQUE INDEX incident_task_playbook_step_idx
    ON security_mgmt.incident_task (business_id, incident_id, playbook_step_code)
    WHERE playbook_step_code IS NOT NULL;

-- What stands in the way of the next phase: guard_incident_phase(), v_incident_clock.
CREATE INDEX incident_task_open_mandatory_idx
    ON security_mgmt.incident_task (business_id, incident_id)
    WHERE is_mandatory AND state IN ('open', 'doing', 'blocked');

-- FK: the tasks of a responder.
CREATE INDEX incident_task_assignee_idx
    ON security_mgmt.incident_task (business_id, assignee_user_account_id)
    WHERE assignee_user_account_id IS NOT NULL;

ALTER TABLE security_mgmt.incident_task ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.incident_task
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.incident_task TO app_user;
GRANT SELECT ON security_mgmt.incident_task TO app_readonly;

CREATE TRIGGER incident_task_touch
    BEFORE UPDATE ON security_mgmt.incident_task
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION security_mgmt.stamp_task() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state IN ('doing', 'done') THEN
        NEW.started_at := coalesce(NEW.started_at, now());
    END IF;
    NEW.done_at := CASE WHEN NEW.state = 'done' THEN coalesce(NEW.done_at, now()) END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.stamp_task() IS
    'A task has started when it is being done, and ended when it is done.';

CREATE TRIGGER incident_task_stamp
    BEFORE UPDATE OF state ON security_mgmt.incident_task
    FOR EACH ROW WHEN (NEW.state <> OLD.state)
    EXECUTE FUNCTION security_mgmt.stamp_task();

CREATE FUNCTION security_mgmt.refuse_task_of_closed() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND EXISTS (
        SELECT FROM security_mgmt.incident AS i
        WHERE i.business_id = NEW.business_id AND i.incident_id = NEW.incident_id
          AND i.phase = 'closed') THEN
        RAISE EXCEPTION 'the incident is closed: mandatory step % cannot be open', NEW.step_no
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.refuse_task_of_closed() IS
    'What an incident had to do before it closed is not opened again behind its back.';

CREATE TRIGGER incident_task_of_closed
    AFTER INSERT OR UPDATE OF state, is_mandatory ON security_mgmt.incident_task
    FOR EACH ROW WHEN (NEW.is_mandatory AND NEW.state IN ('open', 'doing', 'blocked'))
    EXECUTE FUNCTION security_mgmt.refuse_task_of_closed();

CREATE FUNCTION security_mgmt.open_playbook_steps(incidents uuid[]) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO security_mgmt.incident_task
        (business_id, incident_id, assignee_user_account_id, step_no, title, task_phase,
         is_mandatory, owner_role, playbook_step_code, due_at)
    SELECT i.business_id, i.incident_id,
           CASE WHEN s.owner_role = 'commander' THEN i.commander_user_account_id END,
           s.place + coalesce((SELECT max(t.step_no) FROM security_mgmt.incident_task AS t
                               WHERE t.business_id = i.business_id
                                 AND t.incident_id = i.incident_id), 0),
           s.title, s.phase, s.mandatory, s.owner_role, s.code,
           i.declared_at + s.due_hours * interval '1 hour'
    FROM security_mgmt.incident AS i
    JOIN security_mgmt.response_playbook AS p
        ON p.business_id = i.business_id AND p.response_playbook_id = i.response_playbook_id
    CROSS JOIN LATERAL JSON_TABLE(p.steps, '$[*]' COLUMNS (
        place      FOR ORDINALITY,
        code       text    PATH '$.code',
        title      text    PATH '$.title',
        phase      text    PATH '$.phase',
        mandatory  boolean PATH '$.mandatory',
        owner_role text    PATH '$.owner_role',
        due_hours  numeric PATH '$.due_hours')) AS s
    WHERE i.business_id = tenant_mgmt.current_business_id()
      AND i.incident_id = ANY (incidents)
      AND i.phase <> 'closed'
    ON CONFLICT DO NOTHING;
END;
COMMENT ON FUNCTION security_mgmt.open_playbook_steps(uuid[]) IS
    'Opens the steps of the playbook as tasks of the calling tenant''s incidents, those that they
     do not have yet.';

CREATE FUNCTION security_mgmt.open_tasks_of_new_incident() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        PERFORM security_mgmt.open_playbook_steps(array(SELECT i.incident_id FROM incidents AS i));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.open_tasks_of_new_incident() IS
    'A declared incident opens the tasks of its playbook; an import brings its own.';

CREATE TRIGGER incident_tasks_of_new
    AFTER INSERT ON security_mgmt.incident REFERENCING NEW TABLE AS incidents
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.open_tasks_of_new_incident();

CREATE FUNCTION security_mgmt.open_tasks_of_other_playbook() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        PERFORM security_mgmt.open_playbook_steps(array(
            SELECT i.incident_id FROM incidents AS i
            JOIN old_incidents AS o
                ON o.business_id = i.business_id AND o.incident_id = i.incident_id
            WHERE o.response_playbook_id IS DISTINCT FROM i.response_playbook_id));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.open_tasks_of_other_playbook() IS
    'An incident that is given another playbook opens its steps too.';

CREATE TRIGGER incident_tasks_of_changed
    AFTER UPDATE ON security_mgmt.incident
    REFERENCING OLD TABLE AS old_incidents NEW TABLE AS incidents
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.open_tasks_of_other_playbook();

CREATE FUNCTION security_mgmt.guard_incident_phase() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    phases  CONSTANT text[]  := '{declared,analysis,containment,eradication,recovery,'
                                'post_incident,closed}';
    is_back CONSTANT boolean :=
        array_position(phases, NEW.phase) < array_position(phases, OLD.phase);
    left_open text;
BEGIN
    IF is_back AND row_security_active(TG_RELID) AND NOT EXISTS (
        SELECT FROM security_mgmt.incident_timeline_entry AS e
        WHERE e.business_id = NEW.business_id AND e.incident_id = NEW.incident_id
          AND e.entry_kind = 'phase_change' AND e.recorded_at >= now()) THEN
        RAISE EXCEPTION 'incident %: back to % needs an entry in the timeline',
            NEW.incident_number, NEW.phase
            USING ERRCODE = 'check_violation', HINT = 'Use transition_incident().';
    END IF;
    IF NEW.phase = 'closed' THEN
        SELECT string_agg(format('%s %s', t.step_no, t.title), ', ' ORDER BY t.step_no)
        INTO left_open
        FROM security_mgmt.incident_task AS t
        WHERE t.business_id = NEW.business_id AND t.incident_id = NEW.incident_id
          AND t.is_mandatory AND t.state IN ('open', 'doing', 'blocked');
        IF left_open IS NOT NULL THEN
            RAISE EXCEPTION 'incident % has mandatory steps open: %',
                NEW.incident_number, left_open
                USING ERRCODE = 'check_violation',
                      HINT = 'Do them, or say why they are not needed.';
        END IF;
    END IF;
    NEW.phase_changed_at := greatest(now(), NEW.declared_at);
    CASE NEW.phase
    WHEN 'analysis', 'containment' THEN
        NEW.contained_at := NULL;
        NEW.recovered_at := NULL;
    WHEN 'eradication', 'recovery' THEN
        NEW.contained_at := coalesce(NEW.contained_at, greatest(now(), NEW.declared_at));
        NEW.recovered_at := NULL;
    WHEN 'post_incident' THEN
        IF OLD.phase = 'recovery' THEN
            NEW.recovered_at := coalesce(NEW.recovered_at, greatest(now(), NEW.contained_at));
        END IF;
    WHEN 'closed' THEN
        NEW.closed_at := coalesce(NEW.closed_at, now());
    END CASE;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.guard_incident_phase() IS
    'A step back needs an entry in the timeline of the same transaction, closing that no mandatory
     task is open; the times follow the phase.';

-- After incident_phase_machine by name: it speaks about steps that exist.
CREATE TRIGGER incident_phase_step
    BEFORE UPDATE OF phase ON security_mgmt.incident
    FOR EACH ROW WHEN (NEW.phase <> OLD.phase)
    EXECUTE FUNCTION security_mgmt.guard_incident_phase();


CREATE TABLE security_mgmt.breach_assessment (
    business_id              uuid        NOT NULL,
    breach_assessment_id     uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    incident_id              uuid        NOT NULL,
    decided_by               uuid,
    regimes                  text[]      NOT NULL,
    data_categories          text[]      NOT NULL DEFAULT '{}',
    persons_affected         integer     NOT NULL DEFAULT 0,
    phi_involved             boolean     NOT NULL DEFAULT false,
    cardholder_data_involved boolean     NOT NULL DEFAULT false,
    hipaa_low_probability    boolean,
    gdpr_risk                text,
    decision                 text        NOT NULL DEFAULT 'pending',
    reasoning                text,
    reassess_on              date,
    aware_at                 timestamptz NOT NULL,
    decided_at               timestamptz,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, breach_assessment_id),
    UNIQUE (business_id, incident_id),
    FOREIGN KEY (business_id, incident_id)
        REFERENCES security_mgmt.incident (business_id, incident_id),
    FOREIGN KEY (business_id, decided_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT breach_assessment_regimes_known
        CHECK (regimes <@ ARRAY['gdpr', 'hipaa', 'pci_dss', 'sox', 'state_law', 'contract']),
    CONSTRAINT breach_assessment_has_regime CHECK (cardinality(regimes) >= 1),
    CONSTRAINT breach_assessment_data_categories_known
        CHECK (data_categories <@ ARRAY['contact', 'credentials', 'financial', 'identity',
                                        'health', 'cardholder', 'location', 'employment',
                                        'children', 'other']),
    CONSTRAINT breach_assessment_gdpr_risk_known
        CHECK (gdpr_risk IN ('unlikely', 'risk', 'high_risk')),
    CONSTRAINT breach_assessment_decision_known
        CHECK (decision IN ('pending', 'notify', 'do_not_notify')),
    CONSTRAINT breach_assessment_persons_not_negative CHECK (persons_affected >= 0),
    CONSTRAINT breach_assessment_silence_has_reason
        CHECK (decision <> 'do_not_notify' OR coalesce(reasoning, '') ~ '\S'),
    CONSTRAINT breach_assessment_decided_has_time
        CHECK ((decision = 'pending') = (decided_at IS NULL)),
    CONSTRAINT breach_assessment_decided_after_awareness CHECK (decided_at >= aware_at)
);

COMMENT ON TABLE security_mgmt.breach_assessment IS
    'Is it a notifiable breach: the risk to persons, the regimes, and the decision.';
COMMENT ON COLUMN security_mgmt.breach_assessment.aware_at IS
    'When the tenant knew that personal data was affected: the clocks start.';
COMMENT ON COLUMN security_mgmt.breach_assessment.hipaa_low_probability IS
    'A low probability that health data was compromised was shown (45 CFR 164.402).';

-- FK: who decided.
CREATE INDEX breach_assessment_decided_by_idx
    ON security_mgmt.breach_assessment (business_id, decided_by)
    WHERE decided_by IS NOT NULL;

ALTER TABLE security_mgmt.breach_assessment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.breach_assessment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.breach_assessment TO app_user;
GRANT SELECT ON security_mgmt.breach_assessment TO app_readonly;

CREATE TRIGGER breach_assessment_touch
    BEFORE UPDATE ON security_mgmt.breach_assessment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER breach_assessment_decision_machine
    BEFORE INSERT OR UPDATE OF decision ON security_mgmt.breach_assessment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('decision', '{
        "initial": ["pending", "notify", "do_not_notify"],
        "transitions": {
            "pending":       ["notify", "do_not_notify"],
            "do_not_notify": ["pending", "notify"],
            "notify":        []
        }}');

CREATE FUNCTION security_mgmt.stamp_decision() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.decided_at := CASE WHEN NEW.decision <> 'pending' THEN now() END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.stamp_decision() IS 'A decision has a time, an open one none.';

CREATE TRIGGER breach_assessment_stamp
    BEFORE UPDATE OF decision ON security_mgmt.breach_assessment
    FOR EACH ROW WHEN (NEW.decision <> OLD.decision)
    EXECUTE FUNCTION security_mgmt.stamp_decision();


CREATE TABLE security_mgmt.breach_notification (
    business_id            uuid        NOT NULL,
    breach_notification_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    breach_assessment_id   uuid        NOT NULL,
    letter_file_object_id  uuid,
    recipient_kind         text        NOT NULL,
    regime                 text        NOT NULL,
    recipient_name         text        NOT NULL,
    method                 text        NOT NULL DEFAULT 'letter',
    status                 text        NOT NULL DEFAULT 'due',
    reference_number       text,
    delay_reason           text,
    clock_started_at       timestamptz NOT NULL,
    due_at                 timestamptz NOT NULL,
    sent_at                timestamptz,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, breach_notification_id),
    UNIQUE (business_id, breach_assessment_id, regime, recipient_kind, recipient_name),
    FOREIGN KEY (business_id, breach_assessment_id)
        REFERENCES security_mgmt.breach_assessment (business_id, breach_assessment_id),
    FOREIGN KEY (business_id, letter_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT breach_notification_recipient_known
        CHECK (recipient_kind IN ('supervisory_authority', 'data_subject', 'hhs', 'media',
                                  'card_brand', 'acquirer', 'state_attorney', 'sec',
                                  'customer')),
    CONSTRAINT breach_notification_regime_known
        CHECK (regime IN ('gdpr', 'hipaa', 'pci_dss', 'sox', 'state_law', 'contract')),
    CONSTRAINT breach_notification_method_known
        CHECK (method IN ('portal', 'letter', 'email', 'phone', 'publication')),
    CONSTRAINT breach_notification_status_known
        CHECK (status IN ('due', 'sent', 'late', 'waived')),
    CONSTRAINT breach_notification_due_after_start CHECK (due_at > clock_started_at),
    -- GDPR Art. 33(1): the supervisory authority within 72 hours of awareness.
    CONSTRAINT breach_notification_gdpr_authority_in_72_hours
        CHECK (NOT (regime = 'gdpr' AND recipient_kind = 'supervisory_authority')
               OR due_at <= clock_started_at + interval '72 hours'),
    -- 45 CFR 164.404(b), 164.406(b), 164.408(b): no later than 60 calendar days from discovery.
    CONSTRAINT breach_notification_hipaa_in_60_days
        CHECK (regime <> 'hipaa' OR due_at <= clock_started_at + interval '1440 hours'),
    CONSTRAINT breach_notification_sent_after_start CHECK (sent_at >= clock_started_at),
    CONSTRAINT breach_notification_sent_has_time
        CHECK ((status IN ('sent', 'late')) = (sent_at IS NOT NULL)),
    CONSTRAINT breach_notification_late_when_after_due
        CHECK (sent_at IS NULL OR (status = 'late') = (sent_at > due_at)),
    CONSTRAINT breach_notification_delay_has_reason
        CHECK (NOT (sent_at > due_at OR status = 'waived') OR coalesce(delay_reason, '') ~ '\S')
);

COMMENT ON TABLE security_mgmt.breach_notification IS
    'The duty to tell somebody of a breach, with its clock.';
COMMENT ON COLUMN security_mgmt.breach_notification.status IS
    'sent and late follow from sent_at; due may be overdue.';
COMMENT ON COLUMN security_mgmt.breach_notification.due_at IS
    'By the hours of the playbook, which may be shorter than the law''s but not longer.';
COMMENT ON COLUMN security_mgmt.breach_notification.delay_reason IS
    'Why it was sent late, or was not sent at all.';

-- What is due next: v_incident_clock.
CREATE INDEX breach_notification_due_idx
    ON security_mgmt.breach_notification (business_id, breach_assessment_id, due_at)
    WHERE status = 'due';

-- FK: the letter that was sent.
CREATE INDEX breach_notification_letter_idx
    ON security_mgmt.breach_notification (business_id, letter_file_object_id)
    WHERE letter_file_object_id IS NOT NULL;

ALTER TABLE security_mgmt.breach_notification ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.breach_notification
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.breach_notification TO app_user;
GRANT SELECT ON security_mgmt.breach_notification TO app_readonly;

CREATE TRIGGER breach_notification_touch
    BEFORE UPDATE ON security_mgmt.breach_notification
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION security_mgmt.settle_notification() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.status := CASE WHEN NEW.sent_at > NEW.due_at THEN 'late' ELSE 'sent' END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.settle_notification() IS
    'What was sent was sent in time or late.';

CREATE TRIGGER breach_notification_settle
    BEFORE INSERT OR UPDATE OF sent_at, due_at ON security_mgmt.breach_notification
    FOR EACH ROW WHEN (NEW.sent_at IS NOT NULL)
    EXECUTE FUNCTION security_mgmt.settle_notification();


CREATE FUNCTION security_mgmt.breach_deadlines(of_incident uuid)
    RETURNS TABLE (
        regime           text,
        recipient_kind   text,
        recipient_name   text,
        method           text,
        clock_started_at timestamptz,
        due_at           timestamptz
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT DISTINCT ON (d.regime, d.recipient_kind, d.recipient_name)
           d.regime, d.recipient_kind, d.recipient_name, d.method, d.clock_started_at,
           d.clock_started_at + d.hours * interval '1 hour'
    FROM (
        SELECT c.*, coalesce(a.aware_at, i.declared_at) AS clock_started_at,
               p.response_playbook_id IS NOT DISTINCT FROM i.response_playbook_id AS is_own,
               bool_or(p.response_playbook_id IS NOT DISTINCT FROM i.response_playbook_id)
                   OVER (PARTITION BY c.regime) AS has_own,
               CASE c.needed
                   WHEN 'risk' THEN a.gdpr_risk IN ('risk', 'high_risk')
                   WHEN 'high_risk' THEN a.gdpr_risk = 'high_risk'
                   WHEN 'phi' THEN a.phi_involved AND a.hipaa_low_probability IS NOT TRUE
                   WHEN 'cardholder_data' THEN a.cardholder_data_involved
                   ELSE true
               END AS is_met,
               a.persons_affected
        FROM security_mgmt.incident AS i
        LEFT JOIN security_mgmt.breach_assessment AS a
            ON a.business_id = i.business_id AND a.incident_id = i.incident_id
        JOIN security_mgmt.response_playbook AS p
            ON p.business_id = i.business_id
            AND (p.response_playbook_id = i.response_playbook_id OR p.status = 'approved')
        CROSS JOIN LATERAL JSON_TABLE(p.contact_tree, '$[*]' COLUMNS (
            regime         text    PATH '$.regime',
            recipient_kind text    PATH '$.recipient_kind',
            recipient_name text    PATH '$.recipient_name' DEFAULT 'to be named' ON EMPTY,
            method         text    PATH '$.method' DEFAULT 'letter' ON EMPTY,
            hours          numeric PATH '$.hours',
            needed         text    PATH '$.requires',
            min_persons    integer PATH '$.min_persons' DEFAULT 0 ON EMPTY)) AS c
        WHERE i.business_id = tenant_mgmt.current_business_id()
          AND i.incident_id = of_incident
          AND CASE WHEN a.regimes IS NULL THEN i.is_suspected_breach
                   ELSE c.regime = ANY (a.regimes) AND a.decision <> 'do_not_notify' END
    ) AS d
    WHERE d.is_own = d.has_own
      -- What is not assessed yet may be so: the clock runs.
      AND coalesce(d.is_met, true)
      AND coalesce(d.persons_affected >= d.min_persons, true)
    ORDER BY d.regime, d.recipient_kind, d.recipient_name, d.hours;
END;
COMMENT ON FUNCTION security_mgmt.breach_deadlines(uuid) IS
    'Whom the calling tenant must tell of an incident, and by when, from the time of awareness.
     Hours are those of the contact_tree of the incident''s playbook, or of the tenant''s other
     approved playbooks for a regime that it does not name. Before the assessment every regime of
     a suspected breach counts, after it those that it names and whose conditions hold.';


CREATE FUNCTION security_mgmt.open_notifications() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    unknown text;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    SELECT string_agg(DISTINCT r.regime, ', ') INTO unknown
    FROM assessments AS a
    JOIN security_mgmt.incident AS i
        ON i.business_id = a.business_id AND i.incident_id = a.incident_id
    CROSS JOIN LATERAL unnest(a.regimes) AS r (regime)
    WHERE a.business_id = tenant_mgmt.current_business_id()
      AND a.decision = 'notify'
      AND NOT EXISTS (
          SELECT FROM security_mgmt.response_playbook AS p
          WHERE p.business_id = a.business_id
            AND (p.status = 'approved' OR p.response_playbook_id = i.response_playbook_id)
            AND p.contact_tree @> jsonb_build_array(jsonb_build_object('regime', r.regime)));
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'no playbook says whom to tell by when under %', unknown
            USING ERRCODE = 'check_violation',
                  HINT = 'Write it into the contact_tree of an approved playbook.';
    END IF;
    INSERT INTO security_mgmt.breach_notification
        (business_id, breach_assessment_id, regime, recipient_kind, recipient_name, method,
         clock_started_at, due_at)
    SELECT a.business_id, a.breach_assessment_id, d.regime, d.recipient_kind, d.recipient_name,
           d.method, d.clock_started_at, d.due_at
    FROM assessments AS a
    CROSS JOIN LATERAL security_mgmt.breach_deadlines(a.incident_id) AS d
    WHERE a.business_id = tenant_mgmt.current_business_id()
      AND a.decision = 'notify'
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.open_notifications() IS
    'The decision to notify writes down whom and by when, also for what is assessed later; a
     regime without a clock is refused. An import brings its own notifications.';

CREATE TRIGGER breach_assessment_notify_insert
    AFTER INSERT ON security_mgmt.breach_assessment REFERENCING NEW TABLE AS assessments
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.open_notifications();

CREATE TRIGGER breach_assessment_notify_update
    AFTER UPDATE ON security_mgmt.breach_assessment REFERENCING NEW TABLE AS assessments
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.open_notifications();


CREATE FUNCTION security_mgmt.transition_incident(
    of_incident uuid, to_phase text, note text DEFAULT NULL
) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid   := tenant_mgmt.current_business_id();
    phases CONSTANT text[] := '{declared,analysis,containment,eradication,recovery,'
                              'post_incident,closed}';
    was       security_mgmt.incident;
    left_open text;
BEGIN
    SELECT * INTO was FROM security_mgmt.incident AS i
    WHERE i.business_id = tenant AND i.incident_id = of_incident
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no incident %', of_incident USING ERRCODE = 'no_data_found';
    END IF;
    IF to_phase = was.phase THEN
        RAISE EXCEPTION 'incident % is in % already', was.incident_number, to_phase
            USING ERRCODE = 'check_violation';
    END IF;
    IF array_position(phases, to_phase) < array_position(phases, was.phase) THEN
        IF note IS NULL OR note !~ '\S' THEN
            RAISE EXCEPTION 'incident %: say why it goes back to %', was.incident_number, to_phase
                USING ERRCODE = 'check_violation';
        END IF;
    ELSE
        SELECT string_agg(format('%s %s', t.step_no, t.title), ', ' ORDER BY t.step_no)
        INTO left_open
        FROM security_mgmt.incident_task AS t
        WHERE t.business_id = tenant AND t.incident_id = of_incident
          AND t.task_phase = was.phase
          AND t.is_mandatory AND t.state IN ('open', 'doing', 'blocked');
        IF left_open IS NOT NULL THEN
            RAISE EXCEPTION 'incident %: % is not over, steps are open: %',
                was.incident_number, was.phase, left_open
                USING ERRCODE = 'check_violation',
                      HINT = 'Do them, or say why they are not needed.';
        END IF;
    END IF;
    INSERT INTO security_mgmt.incident_timeline_entry
        (business_id, incident_id, author_user_account_id, entry_kind, summary, detail)
    VALUES (tenant, of_incident, was.commander_user_account_id, 'phase_change',
            format('%s to %s', was.phase, to_phase), note);
    UPDATE security_mgmt.incident AS i SET phase = to_phase
    WHERE i.business_id = tenant AND i.incident_id = of_incident;
END
$$;
COMMENT ON FUNCTION security_mgmt.transition_incident(uuid, text, text) IS
    'Moves an incident of the calling tenant to another phase and says so in its timeline.
     Forward when the mandatory tasks of the phase are done; back with a note that says why.';


CREATE VIEW security_mgmt.v_incident_clock
    WITH (security_invoker = true) AS
SELECT i.business_id, i.incident_id, i.incident_number, i.title, i.category, i.severity, i.phase,
       i.phase_changed_at, now() - i.phase_changed_at AS time_in_phase,
       coalesce(i.contained_at, now()) - i.detected_at AS time_to_contain,
       i.commander_user_account_id, i.is_suspected_breach, task.open_mandatory_count,
       clock.regime AS next_regime, clock.recipient_kind AS next_recipient_kind,
       clock.due_at AS next_due_at, clock.due_at < now() AS is_overdue
FROM security_mgmt.incident AS i
CROSS JOIN LATERAL (
    SELECT count(*) AS open_mandatory_count
    FROM security_mgmt.incident_task AS t
    WHERE t.business_id = i.business_id AND t.incident_id = i.incident_id
      AND t.is_mandatory AND t.state IN ('open', 'doing', 'blocked')
) AS task
LEFT JOIN LATERAL (
    SELECT d.regime, d.recipient_kind, d.due_at
    FROM security_mgmt.breach_deadlines(i.incident_id) AS d
    WHERE NOT EXISTS (
        SELECT FROM security_mgmt.breach_assessment AS a
        JOIN security_mgmt.breach_notification AS n
            ON n.business_id = a.business_id AND n.breach_assessment_id = a.breach_assessment_id
        WHERE a.business_id = i.business_id AND a.incident_id = i.incident_id
          AND n.regime = d.regime AND n.recipient_kind = d.recipient_kind
          AND n.recipient_name = d.recipient_name AND n.status <> 'due')
    ORDER BY d.due_at
    LIMIT 1
) AS clock ON true
WHERE i.business_id = tenant_mgmt.current_business_id()
  AND i.phase <> 'closed';
COMMENT ON VIEW security_mgmt.v_incident_clock IS
    'Open incidents, how long they are in their phase, and whom to tell next by when.';
GRANT SELECT ON security_mgmt.v_incident_clock TO app_user, app_readonly;
