/*
 * Protection and recovery: keys, training, plans, and proof that they work.
 *
 * encryption_key is the inventory of keys, one row per generation of an alias and never the key
 * itself; key_rotation_event is the step from a generation to the next. A key that is compromised
 * opens an incident. awareness_assignment is a course or a simulated phishing mail given to a
 * person. A recovery_plan says how a service comes back and how fast; a recovery_exercise measures
 * whether it did, a backup_verification whether there would have been something to restore.
 * v_expiring_assurance gathers what runs out soon in all of compliance.
 */

CREATE TABLE security_mgmt.encryption_key (
    business_id       uuid             NOT NULL,
    encryption_key_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    key_alias         system_core.slug NOT NULL,
    generation        integer          NOT NULL DEFAULT 1,
    purpose           text             NOT NULL,
    algorithm         text             NOT NULL DEFAULT 'aes_256_gcm',
    custodian         text             NOT NULL DEFAULT 'kms',
    state             text             NOT NULL DEFAULT 'pre_active',
    rotation_days     integer          NOT NULL DEFAULT 365,
    created_on        date             NOT NULL DEFAULT current_date,
    activated_on      date,
    next_rotation_on  date GENERATED ALWAYS AS (activated_on + rotation_days) STORED,
    destroyed_on      date,
    created_at        timestamptz      NOT NULL DEFAULT now(),
    updated_at        timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, encryption_key_id),
    UNIQUE (business_id, key_alias, generation),
    UNIQUE (business_id, encryption_key_id, generation),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT encryption_key_purpose_known
        CHECK (purpose IN ('data_at_rest', 'backup', 'signing', 'token_vault', 'tls',
                           'audit_checkpoint')),
    CONSTRAINT encryption_key_algorithm_known
        CHECK (algorithm IN ('aes_256_gcm', 'rsa_3072', 'rsa_4096', 'ecdsa_p256', 'ed25519')),
    CONSTRAINT encryption_key_custodian_known CHECK (custodian IN ('kms', 'hsm', 'vault')),
    CONSTRAINT encryption_key_state_known
        CHECK (state IN ('pre_active', 'active', 'deactivated', 'compromised', 'destroyed')),
    CONSTRAINT encryption_key_generation_positive CHECK (generation >= 1),
    CONSTRAINT encryption_key_rotation_bounded CHECK (rotation_days BETWEEN 1 AND 3660),
    CONSTRAINT encryption_key_used_was_activated
        CHECK (state NOT IN ('active', 'deactivated') OR activated_on IS NOT NULL),
    CONSTRAINT encryption_key_pre_active_was_not
        CHECK (state <> 'pre_active' OR activated_on IS NULL),
    CONSTRAINT encryption_key_destroyed_has_day
        CHECK ((state = 'destroyed') = (destroyed_on IS NOT NULL)),
    CONSTRAINT encryption_key_activated_after_creation CHECK (activated_on >= created_on),
    CONSTRAINT encryption_key_destroyed_after_creation
        CHECK (destroyed_on >= created_on AND destroyed_on >= coalesce(activated_on, created_on))
);

COMMENT ON TABLE security_mgmt.encryption_key IS
    'A generation of a key: what it protects, where it lives, its life. There is no column for
     the key itself.';
COMMENT ON COLUMN security_mgmt.encryption_key.custodian IS
    'Who holds the key material: key management service, hardware module or vault.';
COMMENT ON COLUMN security_mgmt.encryption_key.state IS
    'compromised opens an incident; the row outlives the key.';

-- The generation of an alias that encrypts.
CREATE UNIQUE INDEX encryption_key_active_idx
    ON security_mgmt.encryption_key (business_id, key_alias)
    WHERE state = 'active';

-- v_expiring_assurance: keys to be rotated.
CREATE INDEX encryption_key_rotation_idx
    ON security_mgmt.encryption_key (business_id, next_rotation_on)
    WHERE state = 'active';

ALTER TABLE security_mgmt.encryption_key ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.encryption_key
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.encryption_key TO app_user;
GRANT SELECT ON security_mgmt.encryption_key TO app_readonly;

CREATE TRIGGER encryption_key_touch
    BEFORE UPDATE ON security_mgmt.encryption_key
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER encryption_key_state_machine
    BEFORE INSERT OR UPDATE OF state ON security_mgmt.encryption_key
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["pre_active"],
        "transitions": {
            "pre_active":  ["active", "compromised", "destroyed"],
            "active":      ["deactivated", "compromised"],
            "deactivated": ["compromised", "destroyed"],
            "compromised": ["destroyed"],
            "destroyed":   []
        }}');

CREATE FUNCTION security_mgmt.open_key_incident() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- A role that imports history brings the incident along.
    IF row_security_active(TG_RELID) THEN
        INSERT INTO security_mgmt.incident
            (business_id, title, category, severity, detected_at, is_suspected_breach)
        VALUES (NEW.business_id,
                format('Key %s, generation %s (%s) is compromised', NEW.key_alias,
                       NEW.generation, NEW.purpose),
                CASE NEW.purpose WHEN 'audit_checkpoint' THEN 'tamper' ELSE 'data_leak' END,
                'sev1', now(), true);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.open_key_incident() IS
    'A compromised key is an incident of the highest severity; of a key that signs the audit trail
     it is one of tampering. The state machine lets a key be compromised once.';

CREATE TRIGGER encryption_key_compromised
    AFTER UPDATE OF state ON security_mgmt.encryption_key
    FOR EACH ROW WHEN (NEW.state = 'compromised' AND OLD.state <> 'compromised')
    EXECUTE FUNCTION security_mgmt.open_key_incident();


CREATE TABLE security_mgmt.key_rotation_event (
    business_id           uuid        NOT NULL,
    key_rotation_event_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    encryption_key_id     uuid        NOT NULL,
    performed_by          uuid,
    from_generation       integer     NOT NULL,
    to_generation         integer     NOT NULL
        GENERATED ALWAYS AS (from_generation + 1) STORED,
    reason                text        NOT NULL DEFAULT 'scheduled',
    method                text        NOT NULL DEFAULT 'automatic',
    objects_rewrapped     bigint      NOT NULL DEFAULT 0,
    failed_objects        bigint      NOT NULL DEFAULT 0,
    rotated_at            timestamptz NOT NULL DEFAULT now(),
    verified_at           timestamptz,
    rollback_at           timestamptz,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, key_rotation_event_id),
    FOREIGN KEY (business_id, encryption_key_id, from_generation)
        REFERENCES security_mgmt.encryption_key (business_id, encryption_key_id, generation),
    FOREIGN KEY (business_id, performed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT key_rotation_event_reason_known
        CHECK (reason IN ('scheduled', 'compromise', 'staff_change', 'algorithm_upgrade')),
    CONSTRAINT key_rotation_event_method_known
        CHECK (method IN ('automatic', 'manual_dual_control')),
    CONSTRAINT key_rotation_event_by_hand_has_person
        CHECK (method = 'automatic' OR performed_by IS NOT NULL),
    CONSTRAINT key_rotation_event_objects_not_negative
        CHECK (objects_rewrapped >= 0 AND failed_objects >= 0),
    CONSTRAINT key_rotation_event_verified_after_rotation CHECK (verified_at >= rotated_at),
    CONSTRAINT key_rotation_event_rolled_back_after_rotation CHECK (rollback_at >= rotated_at)
);

COMMENT ON TABLE security_mgmt.key_rotation_event IS
    'The step from a generation of a key to the next, planned or in an emergency.';
COMMENT ON COLUMN security_mgmt.key_rotation_event.encryption_key_id IS
    'The key that was rotated away from; from_generation is its generation, by foreign key.';
COMMENT ON COLUMN security_mgmt.key_rotation_event.objects_rewrapped IS
    'Data keys and files that were encrypted anew.';
COMMENT ON COLUMN security_mgmt.key_rotation_event.rollback_at IS
    'When the old generation was taken into use again.';

-- FK: the rotations of a key.
CREATE INDEX key_rotation_event_key_idx
    ON security_mgmt.key_rotation_event (business_id, encryption_key_id, from_generation);

-- FK: who rotated.
CREATE INDEX key_rotation_event_performed_by_idx
    ON security_mgmt.key_rotation_event (business_id, performed_by)
    WHERE performed_by IS NOT NULL;

ALTER TABLE security_mgmt.key_rotation_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.key_rotation_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.key_rotation_event TO app_user;
GRANT SELECT ON security_mgmt.key_rotation_event TO app_readonly;

CREATE TRIGGER key_rotation_event_touch
    BEFORE UPDATE ON security_mgmt.key_rotation_event
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION security_mgmt.mark_key_compromised() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE security_mgmt.encryption_key AS k
    SET state = 'compromised'
    FROM changed AS e
    WHERE k.business_id = e.business_id AND k.encryption_key_id = e.encryption_key_id
      AND e.reason = 'compromise' AND k.state NOT IN ('compromised', 'destroyed');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.mark_key_compromised() IS
    'A key that is rotated because it leaked is compromised, which opens the incident.';

CREATE TRIGGER key_rotation_event_compromise_insert
    AFTER INSERT ON security_mgmt.key_rotation_event
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.mark_key_compromised();

CREATE TRIGGER key_rotation_event_compromise_update
    AFTER UPDATE ON security_mgmt.key_rotation_event
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.mark_key_compromised();


CREATE TABLE security_mgmt.awareness_assignment (
    business_id             uuid                   NOT NULL,
    awareness_assignment_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id         uuid                   NOT NULL,
    module_code             system_core.code       NOT NULL,
    kind                    text                   NOT NULL DEFAULT 'course',
    is_mandatory            boolean                NOT NULL DEFAULT true,
    attempt_count           integer                NOT NULL DEFAULT 0,
    score_pct               system_core.percentage,
    simulation_result       text                   NOT NULL DEFAULT 'none',
    assigned_at             timestamptz            NOT NULL DEFAULT now(),
    due_on                  date                   NOT NULL,
    completed_at            timestamptz,
    renewal_due_on          date,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, awareness_assignment_id),
    UNIQUE (business_id, user_account_id, module_code, assigned_at),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT awareness_assignment_kind_known
        CHECK (kind IN ('course', 'phishing_simulation', 'briefing')),
    CONSTRAINT awareness_assignment_simulation_result_known
        CHECK (simulation_result IN ('reported', 'ignored', 'clicked', 'entered_data', 'none')),
    CONSTRAINT awareness_assignment_only_phishing_is_simulated
        CHECK (simulation_result = 'none' OR kind = 'phishing_simulation'),
    CONSTRAINT awareness_assignment_score_bounded CHECK (score_pct BETWEEN 0 AND 100),
    CONSTRAINT awareness_assignment_attempts_not_negative CHECK (attempt_count >= 0),
    CONSTRAINT awareness_assignment_completed_after_assignment
        CHECK (completed_at >= assigned_at),
    CONSTRAINT awareness_assignment_renewed_after_due CHECK (renewal_due_on > due_on)
);

COMMENT ON TABLE security_mgmt.awareness_assignment IS
    'A security course, briefing or simulated phishing mail given to a person.';
COMMENT ON COLUMN security_mgmt.awareness_assignment.simulation_result IS
    'What the person did with the simulated mail; none for what is no simulation.';

-- What is open and due, for reminders.
CREATE INDEX awareness_assignment_open_idx
    ON security_mgmt.awareness_assignment (business_id, due_on)
    WHERE completed_at IS NULL;

ALTER TABLE security_mgmt.awareness_assignment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.awareness_assignment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.awareness_assignment TO app_user;
GRANT SELECT ON security_mgmt.awareness_assignment TO app_readonly;

CREATE TRIGGER awareness_assignment_touch
    BEFORE UPDATE ON security_mgmt.awareness_assignment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE security_mgmt.recovery_plan (
    business_id                      uuid                    NOT NULL,
    recovery_plan_id                 uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id            uuid                    NOT NULL,
    security_asset_id                uuid,
    plan_code                        system_core.code        NOT NULL,
    title                            text                    NOT NULL,
    scenario                         text                    NOT NULL,
    version_no                       integer                 NOT NULL DEFAULT 1,
    status                           text                    NOT NULL DEFAULT 'draft',
    recovery_time_objective_minutes  integer                 NOT NULL,
    recovery_point_objective_minutes integer                 NOT NULL,
    steps                            system_core.json_array  NOT NULL DEFAULT '[]',
    communication_plan               system_core.json_object NOT NULL DEFAULT '{}',
    approved_on                      date,
    next_exercise_on                 date,
    created_at                       timestamptz             NOT NULL DEFAULT now(),
    updated_at                       timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, recovery_plan_id),
    UNIQUE (business_id, plan_code, version_no),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, security_asset_id)
        REFERENCES security_mgmt.security_asset (business_id, security_asset_id),
    CONSTRAINT recovery_plan_scenario_known
        CHECK (scenario IN ('ransomware', 'region_outage', 'data_corruption', 'vendor_failure',
                            'site_loss')),
    CONSTRAINT recovery_plan_status_known CHECK (status IN ('draft', 'approved', 'retired')),
    CONSTRAINT recovery_plan_version_positive CHECK (version_no >= 1),
    CONSTRAINT recovery_plan_objectives_bounded
        CHECK (recovery_time_objective_minutes > 0 AND recovery_point_objective_minutes >= 0),
    CONSTRAINT recovery_plan_approved_has_day
        CHECK (status <> 'approved' OR approved_on IS NOT NULL),
    CONSTRAINT recovery_plan_approved_has_steps
        CHECK (status <> 'approved' OR jsonb_array_length(steps) > 0)
);

COMMENT ON TABLE security_mgmt.recovery_plan IS
    'How a service or site is brought back, how fast and by whom, in versions.';
COMMENT ON COLUMN security_mgmt.recovery_plan.recovery_time_objective_minutes IS
    'How long it may be down.';
COMMENT ON COLUMN security_mgmt.recovery_plan.recovery_point_objective_minutes IS
    'How much of the newest data may be lost.';
COMMENT ON COLUMN security_mgmt.recovery_plan.steps IS
    '[{"title", "minutes", "owner_role"}] in order.';
COMMENT ON COLUMN security_mgmt.recovery_plan.communication_plan IS
    'Object of audience (customers, authorities, staff, press) to who tells them what.';

-- The version of a plan that is followed.
CREATE UNIQUE INDEX recovery_plan_approved_idx
    ON security_mgmt.recovery_plan (business_id, plan_code)
    WHERE status = 'approved';

-- FK: the plans of an owner.
CREATE INDEX recovery_plan_owner_idx
    ON security_mgmt.recovery_plan (business_id, owner_user_account_id);

-- FK: how an asset is brought back.
CREATE INDEX recovery_plan_asset_idx
    ON security_mgmt.recovery_plan (business_id, security_asset_id)
    WHERE security_asset_id IS NOT NULL;

ALTER TABLE security_mgmt.recovery_plan ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.recovery_plan
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.recovery_plan TO app_user;
GRANT SELECT ON security_mgmt.recovery_plan TO app_readonly;

CREATE TRIGGER recovery_plan_touch
    BEFORE UPDATE ON security_mgmt.recovery_plan
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER recovery_plan_status_machine
    BEFORE INSERT OR UPDATE OF status ON security_mgmt.recovery_plan
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":    ["approved", "retired"],
            "approved": ["retired"],
            "retired":  []
        }}');

CREATE FUNCTION security_mgmt.keep_approved_plan() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'version % of plan % is %', OLD.version_no, OLD.plan_code, OLD.status
        USING ERRCODE = 'restrict_violation', HINT = 'Draft the next version.';
END
$$;
COMMENT ON FUNCTION security_mgmt.keep_approved_plan() IS
    'What was approved and exercised does not change under the exercises that measured it.';

CREATE TRIGGER recovery_plan_approved_stays
    BEFORE UPDATE ON security_mgmt.recovery_plan
    FOR EACH ROW
    WHEN (OLD.status <> 'draft'
          AND (OLD.plan_code, OLD.version_no, OLD.scenario, OLD.steps::jsonb,
               OLD.recovery_time_objective_minutes, OLD.recovery_point_objective_minutes)
              IS DISTINCT FROM
              (NEW.plan_code, NEW.version_no, NEW.scenario, NEW.steps::jsonb,
               NEW.recovery_time_objective_minutes, NEW.recovery_point_objective_minutes))
    EXECUTE FUNCTION security_mgmt.keep_approved_plan();


CREATE TABLE security_mgmt.recovery_exercise (
    business_id            uuid        NOT NULL,
    recovery_exercise_id   uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    recovery_plan_id       uuid        NOT NULL,
    incident_id            uuid,
    led_by_user_account_id uuid,
    exercise_kind          text        NOT NULL,
    achieved_rto_minutes   integer,
    achieved_rpo_minutes   integer,
    objectives_met         boolean,
    issues_found           integer     NOT NULL DEFAULT 0,
    lessons                integer     NOT NULL DEFAULT 0,
    started_at             timestamptz NOT NULL,
    finished_at            timestamptz,
    improvement_due_on     date,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, recovery_exercise_id),
    FOREIGN KEY (business_id, recovery_plan_id)
        REFERENCES security_mgmt.recovery_plan (business_id, recovery_plan_id),
    FOREIGN KEY (business_id, incident_id)
        REFERENCES security_mgmt.incident (business_id, incident_id),
    FOREIGN KEY (business_id, led_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT recovery_exercise_kind_known
        CHECK (exercise_kind IN ('tabletop', 'component', 'full_failover', 'real')),
    CONSTRAINT recovery_exercise_real_has_incident
        CHECK ((exercise_kind = 'real') = (incident_id IS NOT NULL)),
    CONSTRAINT recovery_exercise_finished_after_start CHECK (finished_at > started_at),
    CONSTRAINT recovery_exercise_measures_not_negative
        CHECK (achieved_rto_minutes >= 0 AND achieved_rpo_minutes >= 0),
    CONSTRAINT recovery_exercise_counts_not_negative CHECK (issues_found >= 0 AND lessons >= 0)
);

COMMENT ON TABLE security_mgmt.recovery_exercise IS
    'A plan that was talked through, tried in part or whole, or needed in earnest.';
COMMENT ON COLUMN security_mgmt.recovery_exercise.incident_id IS 'The incident that was real.';
COMMENT ON COLUMN security_mgmt.recovery_exercise.objectives_met IS
    'Whether the achieved times keep to those of the plan, by trigger; NULL while one of them was
     not measured.';
COMMENT ON COLUMN security_mgmt.recovery_exercise.lessons IS 'How many lessons were written down.';

-- FK: the exercises of a plan, newest first.
CREATE INDEX recovery_exercise_plan_idx
    ON security_mgmt.recovery_exercise (business_id, recovery_plan_id, started_at DESC);

-- FK: the plan that an incident called for.
CREATE INDEX recovery_exercise_incident_idx
    ON security_mgmt.recovery_exercise (business_id, incident_id)
    WHERE incident_id IS NOT NULL;

-- FK: who led it.
CREATE INDEX recovery_exercise_led_by_idx
    ON security_mgmt.recovery_exercise (business_id, led_by_user_account_id)
    WHERE led_by_user_account_id IS NOT NULL;

ALTER TABLE security_mgmt.recovery_exercise ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.recovery_exercise
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.recovery_exercise TO app_user;
GRANT SELECT ON security_mgmt.recovery_exercise TO app_readonly;

CREATE TRIGGER recovery_exercise_touch
    BEFORE UPDATE ON security_mgmt.recovery_exercise
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION security_mgmt.judge_exercise() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT NEW.achieved_rto_minutes <= p.recovery_time_objective_minutes
           AND NEW.achieved_rpo_minutes <= p.recovery_point_objective_minutes
    INTO NEW.objectives_met
    FROM security_mgmt.recovery_plan AS p
    WHERE p.business_id = NEW.business_id AND p.recovery_plan_id = NEW.recovery_plan_id
    FOR SHARE;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.judge_exercise() IS
    'The objectives were met if both achieved times keep to the plan. Its row is locked, so that
     a draft does not change meanwhile.';

CREATE TRIGGER recovery_exercise_judged
    BEFORE INSERT OR UPDATE ON security_mgmt.recovery_exercise
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.judge_exercise();


CREATE TABLE security_mgmt.backup_verification (
    business_id            uuid        NOT NULL,
    backup_verification_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    recovery_plan_id       uuid,
    backup_label           text        NOT NULL,
    method                 text        NOT NULL,
    size_bytes             bigint      NOT NULL,
    restore_minutes        integer,
    rows_compared          bigint      NOT NULL DEFAULT 0,
    rows_different         bigint      NOT NULL DEFAULT 0,
    result                 text        NOT NULL,
    tested_tables          text[]      NOT NULL DEFAULT '{}',
    is_offsite             boolean     NOT NULL DEFAULT false,
    is_immutable_copy      boolean     NOT NULL DEFAULT false,
    backup_taken_at        timestamptz NOT NULL,
    verified_at            timestamptz NOT NULL DEFAULT now(),
    created_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, backup_verification_id, verified_at),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, recovery_plan_id)
        REFERENCES security_mgmt.recovery_plan (business_id, recovery_plan_id),
    CONSTRAINT backup_verification_method_known
        CHECK (method IN ('full_restore', 'partial_restore', 'checksum', 'pg_verifybackup')),
    CONSTRAINT backup_verification_result_known CHECK (result IN ('pass', 'fail', 'partial')),
    CONSTRAINT backup_verification_after_backup CHECK (verified_at >= backup_taken_at),
    CONSTRAINT backup_verification_measures_not_negative
        CHECK (size_bytes >= 0 AND restore_minutes >= 0),
    CONSTRAINT backup_verification_different_of_compared
        CHECK (rows_different BETWEEN 0 AND rows_compared),
    CONSTRAINT backup_verification_passed_is_equal
        CHECK (result <> 'pass' OR rows_different = 0),
    CONSTRAINT backup_verification_restore_was_timed
        CHECK (method NOT IN ('full_restore', 'partial_restore') OR restore_minutes IS NOT NULL)
) PARTITION BY RANGE (verified_at);

COMMENT ON TABLE security_mgmt.backup_verification IS
    'A test whether a backup can be restored and equals what was backed up; append only.';
COMMENT ON COLUMN security_mgmt.backup_verification.tested_tables IS
    'schema.table of what was restored and compared.';
COMMENT ON COLUMN security_mgmt.backup_verification.is_immutable_copy IS
    'Whether the copy could not have been changed or deleted, not even by an administrator.';

-- Whether backups work, newest first.
CREATE INDEX backup_verification_time_idx
    ON security_mgmt.backup_verification (business_id, verified_at DESC);

-- FK: what a plan can rely on.
CREATE INDEX backup_verification_plan_idx
    ON security_mgmt.backup_verification (business_id, recovery_plan_id, verified_at DESC)
    WHERE recovery_plan_id IS NOT NULL;

ALTER TABLE security_mgmt.backup_verification ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.backup_verification
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON security_mgmt.backup_verification TO app_user;
GRANT SELECT ON security_mgmt.backup_verification TO app_readonly;

CREATE TRIGGER backup_verification_append_only
    BEFORE UPDATE OR DELETE ON security_mgmt.backup_verification
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('security_mgmt.backup_verification');

CREATE TABLE security_mgmt.backup_verification_default
    PARTITION OF security_mgmt.backup_verification DEFAULT;
ALTER TABLE security_mgmt.backup_verification_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.backup_verification_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions('security_mgmt.backup_verification', 'month',
                                     behind => 3, ahead => 1);


CREATE FUNCTION security_mgmt.rotate_key(
    key_alias text,
    reason    text DEFAULT 'scheduled',
    actor     uuid DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    old    security_mgmt.encryption_key;
    fresh  uuid;
BEGIN
    SELECT k.* INTO old
    FROM security_mgmt.encryption_key AS k
    WHERE k.business_id = tenant AND k.key_alias = rotate_key.key_alias AND k.state = 'active'
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no generation of key % is active', rotate_key.key_alias
            USING ERRCODE = 'no_data_found';
    END IF;

    UPDATE security_mgmt.encryption_key AS k
    SET state = CASE rotate_key.reason WHEN 'compromise' THEN 'compromised'
                                       ELSE 'deactivated' END
    WHERE k.business_id = tenant AND k.encryption_key_id = old.encryption_key_id;
    -- It may have been prepared.
    INSERT INTO security_mgmt.encryption_key AS k
        (business_id, key_alias, generation, purpose, algorithm, custodian, rotation_days)
    VALUES (tenant, old.key_alias, old.generation + 1, old.purpose, old.algorithm,
            old.custodian, old.rotation_days)
    ON CONFLICT (business_id, key_alias, generation) DO NOTHING;
    UPDATE security_mgmt.encryption_key AS k
    SET state = 'active', activated_on = current_date
    WHERE k.business_id = tenant AND k.key_alias = old.key_alias
      AND k.generation = old.generation + 1
    RETURNING k.encryption_key_id INTO fresh;
    INSERT INTO security_mgmt.key_rotation_event
        (business_id, encryption_key_id, performed_by, from_generation, reason, method)
    VALUES (tenant, old.encryption_key_id, rotate_key.actor, old.generation, rotate_key.reason,
            CASE WHEN rotate_key.actor IS NULL THEN 'automatic' ELSE 'manual_dual_control' END);
    RETURN fresh;
END
$$;
COMMENT ON FUNCTION security_mgmt.rotate_key(text, text, uuid) IS
    'Takes the next generation of a key of the current tenant into use and returns it; the old one
     is deactivated, or compromised where that is the reason, which opens an incident. The key
     material changes hands in the custodian''s system, by whom calls this.';


CREATE VIEW security_mgmt.v_expiring_assurance
    WITH (security_invoker = true) AS
SELECT x.business_id, x.assurance_kind, x.reference_id, x.label, x.expires_on,
       x.expires_on - current_date AS days_left
FROM (
    SELECT a.business_id, 'risk_acceptance' AS assurance_kind,
           a.risk_acceptance_id AS reference_id, a.reason AS label, a.expires_on
    FROM security_mgmt.risk_acceptance AS a
    WHERE a.state = 'accepted'
    UNION ALL
    SELECT e.business_id, 'control_evidence', e.control_evidence_id, e.title, e.valid_until
    FROM security_mgmt.control_evidence AS e
    WHERE e.review_state = 'accepted'
    UNION ALL
    -- Of a supplier the report that holds longest counts.
    SELECT r.business_id, 'third_party_assessment', r.third_party_assessment_id, p.name,
           r.valid_until
    FROM security_mgmt.third_party_assessment AS r
    JOIN security_mgmt.third_party AS p
        ON p.business_id = r.business_id AND p.third_party_id = r.third_party_id
       AND p.status = 'active'
    WHERE r.decision <> 'reject'
      AND NOT EXISTS (
          SELECT FROM security_mgmt.third_party_assessment AS newer
          WHERE newer.business_id = r.business_id
            AND newer.third_party_id = r.third_party_id
            AND newer.decision <> 'reject'
            AND newer.valid_until > r.valid_until)
    UNION ALL
    SELECT k.business_id, 'encryption_key', k.encryption_key_id, k.key_alias, k.next_rotation_on
    FROM security_mgmt.encryption_key AS k
    WHERE k.state = 'active'
) AS x
WHERE x.business_id = tenant_mgmt.current_business_id()
  AND x.expires_on <= current_date + 30;
COMMENT ON VIEW security_mgmt.v_expiring_assurance IS
    'What was relied on and runs out within 30 days, or has run out: acceptances, accepted
     evidence, the last report of each active supplier, and keys that are due for rotation.';
GRANT SELECT ON security_mgmt.v_expiring_assurance TO app_user, app_readonly;
