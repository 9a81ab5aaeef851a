/*
 * Lifecycle: from the first day of a trial to the reason for leaving.
 *
 * trial is the trial of a plan with its extensions and outcome; activation_milestone are the set-up
 * steps that predict whether it converts. health_model says which signals with which weights make
 * the health of the tenant; health_signal is one signal on one day, health_score the score of the
 * day with its band and drivers. success_task is the work that a drop, a trial or a dunning case
 * raises, cancellation_feedback why a subscription ended.
 */

CREATE TABLE tenant_mgmt.trial (
    business_id         uuid              NOT NULL,
    trial_id            uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    subscription_id     uuid              NOT NULL,
    plan_id             uuid              NOT NULL,
    extended_by         uuid,
    status              text              NOT NULL DEFAULT 'running',
    extension_days      integer           NOT NULL DEFAULT 0,
    requires_card       boolean           NOT NULL DEFAULT false,
    qualification_score system_core.score,
    lead_source         text,
    reminder_stage      text              NOT NULL DEFAULT 'none',
    expiry_action       text              NOT NULL DEFAULT 'downgrade_to_free',
    started_at          timestamptz       NOT NULL DEFAULT now(),
    original_ends_at    timestamptz       NOT NULL,
    ends_at             timestamptz       NOT NULL,
    converted_at        timestamptz,
    created_at          timestamptz       NOT NULL DEFAULT now(),
    updated_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, trial_id),
    FOREIGN KEY (business_id, subscription_id)
        REFERENCES tenant_mgmt.subscription (business_id, subscription_id),
    FOREIGN KEY (business_id, plan_id) REFERENCES tenant_mgmt.plan (business_id, plan_id),
    FOREIGN KEY (business_id, extended_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT trial_status_known
        CHECK (status IN ('running', 'converted', 'expired', 'cancelled', 'extended')),
    CONSTRAINT trial_reminder_stage_known
        CHECK (reminder_stage IN ('none', 'day_7', 'day_3', 'day_1', 'expired')),
    CONSTRAINT trial_expiry_action_known
        CHECK (expiry_action IN ('downgrade_to_free', 'suspend', 'close')),
    CONSTRAINT trial_ends_after_start CHECK (original_ends_at > started_at),
    CONSTRAINT trial_extension_bounded CHECK (extension_days BETWEEN 0 AND 30),
    CONSTRAINT trial_ends_as_extended
        CHECK (ends_at = original_ends_at + extension_days * interval '24 hours'),
    CONSTRAINT trial_converted_in_time CHECK (converted_at <= ends_at + interval '336 hours'),
    CONSTRAINT trial_converted_has_time
        CHECK ((status = 'converted') = (converted_at IS NOT NULL)),
    CONSTRAINT trial_score_bounded CHECK (qualification_score BETWEEN 0 AND 100)
);

COMMENT ON TABLE tenant_mgmt.trial IS
    'The trial of a plan: how long, how often extended, and what came of it.';
COMMENT ON COLUMN tenant_mgmt.trial.ends_at IS
    'original_ends_at and the extension; a day counts 24 hours, whatever the clock does.';
COMMENT ON COLUMN tenant_mgmt.trial.qualification_score IS
    'How likely it converts, 0 to 100; rises with every milestone reached.';

-- One trial of a subscription runs at a time; also finds it.
CREATE UNIQUE INDEX trial_running_idx
    ON tenant_mgmt.trial (business_id, subscription_id)
    WHERE status IN ('running', 'extended');

-- FK: trials of a subscription.
CREATE INDEX trial_subscription_idx
    ON tenant_mgmt.trial (business_id, subscription_id);

-- FK: trials of a plan, for its conversion rate.
CREATE INDEX trial_plan_idx
    ON tenant_mgmt.trial (business_id, plan_id);

-- FK: who extended it.
CREATE INDEX trial_extended_by_idx
    ON tenant_mgmt.trial (business_id, extended_by)
    WHERE extended_by IS NOT NULL;

ALTER TABLE tenant_mgmt.trial ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.trial
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.trial TO app_user;
GRANT SELECT ON tenant_mgmt.trial TO app_readonly;

CREATE TRIGGER trial_touch
    BEFORE UPDATE ON tenant_mgmt.trial
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER trial_status_machine
    BEFORE INSERT OR UPDATE OF status ON tenant_mgmt.trial
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["running"],
        "transitions": {
            "running":   ["extended", "converted", "expired", "cancelled"],
            "extended":  ["converted", "expired", "cancelled"],
            "expired":   ["extended", "converted"],
            "converted": [],
            "cancelled": []
        }}');


CREATE TABLE tenant_mgmt.activation_milestone (
    business_id             uuid                   NOT NULL,
    activation_milestone_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    milestone_code          text                   NOT NULL,
    target_value            system_core.quantity   NOT NULL DEFAULT 1,
    current_value           system_core.quantity   NOT NULL DEFAULT 0,
    weight_pct              system_core.percentage NOT NULL,
    nudge_count             integer                NOT NULL DEFAULT 0,
    is_blocking             boolean                NOT NULL DEFAULT false,
    due_at                  timestamptz,
    last_nudged_at          timestamptz,
    reached_at              timestamptz,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, activation_milestone_id),
    UNIQUE (business_id, milestone_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT activation_milestone_code_known
        CHECK (milestone_code IN ('profile_done', 'users_invited', 'data_imported',
                                  'first_transaction', 'payments_connected', 'mobile_used',
                                  'integration_connected', 'tenth_transaction',
                                  'second_week_active', 'billing_added')),
    CONSTRAINT activation_milestone_values_not_negative
        CHECK (target_value > 0 AND current_value >= 0),
    CONSTRAINT activation_milestone_weight_bounded CHECK (weight_pct BETWEEN 0 AND 100),
    CONSTRAINT activation_milestone_nudges_not_negative CHECK (nudge_count >= 0)
);

COMMENT ON TABLE tenant_mgmt.activation_milestone IS
    'A set-up step that predicts conversion, and when the tenant reached it.';
COMMENT ON COLUMN tenant_mgmt.activation_milestone.weight_pct IS
    'Its part in the qualification of the trial; the weights of a tenant sum to 100.';

ALTER TABLE tenant_mgmt.activation_milestone ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.activation_milestone
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.activation_milestone TO app_user;
GRANT SELECT ON tenant_mgmt.activation_milestone TO app_readonly;

CREATE TRIGGER activation_milestone_touch
    BEFORE UPDATE ON tenant_mgmt.activation_milestone
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION tenant_mgmt.reach_milestone() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.reached_at := now();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.reach_milestone() IS
    'A milestone is reached when its value comes to the target.';

CREATE TRIGGER activation_milestone_reached
    BEFORE INSERT OR UPDATE OF current_value ON tenant_mgmt.activation_milestone
    FOR EACH ROW WHEN (NEW.reached_at IS NULL AND NEW.current_value >= NEW.target_value)
    EXECUTE FUNCTION tenant_mgmt.reach_milestone();

CREATE FUNCTION tenant_mgmt.qualify_trial() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tenant_mgmt.trial AS t
    SET qualification_score = least(100, s.score)
    FROM (
        SELECT c.business_id,
               (SELECT coalesce(sum(m.weight_pct), 0)
                FROM tenant_mgmt.activation_milestone AS m
                WHERE m.business_id = c.business_id AND m.reached_at IS NOT NULL) AS score
        FROM (SELECT DISTINCT t.business_id FROM changed AS t) AS c
    ) AS s
    WHERE t.business_id = s.business_id AND t.status IN ('running', 'extended');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.qualify_trial() IS
    'The qualification of a running trial is the weight of all milestones reached.';

CREATE TRIGGER activation_milestone_qualify_insert
    AFTER INSERT ON tenant_mgmt.activation_milestone
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.qualify_trial();

CREATE TRIGGER activation_milestone_qualify_update
    AFTER UPDATE ON tenant_mgmt.activation_milestone
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.qualify_trial();

CREATE TRIGGER activation_milestone_qualify_delete
    AFTER DELETE ON tenant_mgmt.activation_milestone
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.qualify_trial();

CREATE FUNCTION tenant_mgmt.require_whole_milestones() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := coalesce(NEW.business_id, OLD.business_id);
BEGIN
    -- Under another tenant the rows to be summed would not be seen.
    IF row_security_active(TG_RELID) AND tenant <> tenant_mgmt.current_business_id() THEN
        RAISE EXCEPTION 'the tenant changed before the milestones were looked at'
            USING ERRCODE = 'check_violation',
                  HINT = 'Work for one tenant in a transaction.';
    END IF;
    IF (SELECT sum(m.weight_pct) FROM tenant_mgmt.activation_milestone AS m
        WHERE m.business_id = tenant) <> 100 THEN
        RAISE EXCEPTION 'the weights of the milestones do not sum to 100'
            USING ERRCODE = 'check_violation',
                  HINT = 'Change all of them in one transaction.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.require_whole_milestones() IS
    'Looked at when the transaction commits, so that weights can be shifted between milestones.';

CREATE CONSTRAINT TRIGGER activation_milestone_whole
    AFTER INSERT OR UPDATE OR DELETE ON tenant_mgmt.activation_milestone
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION tenant_mgmt.require_whole_milestones();


CREATE TABLE tenant_mgmt.health_model (
    business_id      uuid                    NOT NULL,
    health_model_id  uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    model_code       system_core.code        NOT NULL,
    version_no       integer                 NOT NULL,
    signal_weights   system_core.json_object NOT NULL,
    green_threshold  system_core.score       NOT NULL DEFAULT 70,
    yellow_threshold system_core.score       NOT NULL DEFAULT 40,
    lookback_days    integer                 NOT NULL DEFAULT 30,
    minimum_age_days integer                 NOT NULL DEFAULT 14,
    is_active        boolean                 NOT NULL DEFAULT false,
    calibration_auc  system_core.probability,
    activated_at     timestamptz,
    created_at       timestamptz             NOT NULL DEFAULT now(),
    updated_at       timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, health_model_id),
    UNIQUE (business_id, model_code, version_no),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT health_model_version_positive CHECK (version_no >= 1),
    CONSTRAINT health_model_thresholds_ordered
        CHECK (green_threshold > yellow_threshold AND yellow_threshold > 0
               AND green_threshold <= 100),
    CONSTRAINT health_model_days_positive CHECK (lookback_days > 0 AND minimum_age_days >= 0),
    CONSTRAINT health_model_active_has_time CHECK (NOT is_active OR activated_at IS NOT NULL)
);

COMMENT ON TABLE tenant_mgmt.health_model IS
    'Which signals with which weights make the health score of the tenant.';
COMMENT ON COLUMN tenant_mgmt.health_model.signal_weights IS
    'Object of signal code to weight; the weights sum to 1.';
COMMENT ON COLUMN tenant_mgmt.health_model.calibration_auc IS
    'How well it told leavers from stayers when it was made: 0.5 is chance, 1 is perfect.';

-- The one model that scores.
CREATE UNIQUE INDEX health_model_active_idx
    ON tenant_mgmt.health_model (business_id)
    WHERE is_active;

ALTER TABLE tenant_mgmt.health_model ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.health_model
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.health_model TO app_user;
GRANT SELECT ON tenant_mgmt.health_model TO app_readonly;

CREATE TRIGGER health_model_touch
    BEFORE UPDATE ON tenant_mgmt.health_model
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION tenant_mgmt.require_whole_weights() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(w.weight)
        FROM JSON_TABLE(NEW.signal_weights::jsonb, '$.keyvalue()' COLUMNS (
            weight numeric PATH '$.value')) AS w) IS DISTINCT FROM 1 THEN
        RAISE EXCEPTION 'the weights of model % do not sum to 1', NEW.model_code
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.require_whole_weights() IS
    'A score out of 100 needs weights that sum to 1.';

CREATE TRIGGER health_model_weights
    BEFORE INSERT OR UPDATE OF signal_weights ON tenant_mgmt.health_model
    FOR EACH ROW EXECUTE FUNCTION tenant_mgmt.require_whole_weights();


CREATE TABLE tenant_mgmt.health_signal (
    business_id      uuid                   NOT NULL,
    health_signal_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    health_model_id  uuid                   NOT NULL,
    signal_code      text                   NOT NULL,
    signal_date      date                   NOT NULL,
    raw_value        system_core.quantity   NOT NULL,
    normalized_score system_core.score      NOT NULL,
    peer_percentile  system_core.percentage,
    trend            text                   NOT NULL DEFAULT 'flat',
    sample_size      integer                NOT NULL DEFAULT 0,
    computed_at      timestamptz            NOT NULL DEFAULT now(),
    created_at       timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, health_signal_id),
    UNIQUE (business_id, health_model_id, signal_code, signal_date),
    FOREIGN KEY (business_id, health_model_id)
        REFERENCES tenant_mgmt.health_model (business_id, health_model_id),
    CONSTRAINT health_signal_code_known
        CHECK (signal_code IN ('login_frequency', 'active_user_ratio', 'core_transactions',
                               'feature_breadth', 'support_load', 'payment_timeliness', 'nps',
                               'data_freshness')),
    CONSTRAINT health_signal_score_bounded CHECK (normalized_score BETWEEN 0 AND 100),
    CONSTRAINT health_signal_percentile_bounded CHECK (peer_percentile BETWEEN 0 AND 100),
    CONSTRAINT health_signal_trend_known CHECK (trend IN ('rising', 'flat', 'falling')),
    CONSTRAINT health_signal_sample_not_negative CHECK (sample_size >= 0)
);

COMMENT ON TABLE tenant_mgmt.health_signal IS
    'One component of health on one day: use, adoption, support, payment, sentiment.';

-- Serves tenant_mgmt.health_dashboard: the signals of the last days.
CREATE INDEX health_signal_date_idx
    ON tenant_mgmt.health_signal (business_id, signal_date DESC);

ALTER TABLE tenant_mgmt.health_signal ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.health_signal
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.health_signal TO app_user;
GRANT SELECT ON tenant_mgmt.health_signal TO app_readonly;


CREATE TABLE tenant_mgmt.health_score (
    business_id           uuid                    NOT NULL,
    health_score_id       uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    health_model_id       uuid                    NOT NULL,
    score_date            date                    NOT NULL,
    score                 system_core.score       NOT NULL,
    band                  text                    NOT NULL,
    previous_score        system_core.score,
    delta_7d              system_core.score,
    churn_probability     system_core.probability NOT NULL,
    expansion_probability system_core.probability,
    drivers               system_core.json_array  NOT NULL DEFAULT '[]',
    mrr_amount            system_core.money       NOT NULL DEFAULT 0,
    computed_at           timestamptz             NOT NULL DEFAULT now(),
    created_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, health_score_id, score_date),
    UNIQUE (business_id, score_date),
    FOREIGN KEY (business_id, health_model_id)
        REFERENCES tenant_mgmt.health_model (business_id, health_model_id),
    CONSTRAINT health_score_bounded CHECK (score BETWEEN 0 AND 100),
    CONSTRAINT health_score_band_known CHECK (band IN ('green', 'yellow', 'red'))
) PARTITION BY RANGE (score_date);

COMMENT ON TABLE tenant_mgmt.health_score IS
    'The score of a day with its band and what drove it; serves health_dashboard by its key.';
COMMENT ON COLUMN tenant_mgmt.health_score.drivers IS
    'Array of {signal, score, impact}, the strongest first.';

-- FK: scores of a model.
CREATE INDEX health_score_model_idx
    ON tenant_mgmt.health_score (business_id, health_model_id, score_date DESC);

ALTER TABLE tenant_mgmt.health_score ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.health_score
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.health_score TO app_user;
GRANT SELECT ON tenant_mgmt.health_score TO app_readonly;

CREATE TABLE tenant_mgmt.health_score_default PARTITION OF tenant_mgmt.health_score DEFAULT;
ALTER TABLE tenant_mgmt.health_score_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.health_score_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'tenant_mgmt.health_score', 'month', behind => 13, ahead => 3);

CREATE FUNCTION tenant_mgmt.require_band_of_model() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    IF NEW.band <> (
        SELECT CASE WHEN NEW.score >= m.green_threshold THEN 'green'
                    WHEN NEW.score >= m.yellow_threshold THEN 'yellow' ELSE 'red' END
        FROM tenant_mgmt.health_model AS m
        WHERE m.business_id = NEW.business_id AND m.health_model_id = NEW.health_model_id
    ) THEN
        RAISE EXCEPTION 'a score of % is not %', NEW.score, NEW.band
            USING ERRCODE = 'check_violation', HINT = 'The thresholds of the model decide.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.require_band_of_model() IS
    'The band of a score is that of the model''s thresholds as they are now.';

CREATE TRIGGER health_score_band
    BEFORE INSERT OR UPDATE ON tenant_mgmt.health_score
    FOR EACH ROW EXECUTE FUNCTION tenant_mgmt.require_band_of_model();


CREATE TABLE tenant_mgmt.success_task (
    business_id        uuid              NOT NULL,
    success_task_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    assigned_to        uuid,
    playbook_code      system_core.code  NOT NULL,
    trigger_kind       text              NOT NULL,
    priority           text              NOT NULL DEFAULT 'normal',
    state              text              NOT NULL DEFAULT 'open',
    outcome            text,
    mrr_at_risk_amount system_core.money NOT NULL DEFAULT 0,
    note               text,
    due_at             timestamptz,
    opened_at          timestamptz       NOT NULL DEFAULT now(),
    closed_at          timestamptz,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, success_task_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, assigned_to)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT success_task_trigger_kind_known
        CHECK (trigger_kind IN ('health_drop', 'trial_ending', 'usage_drop', 'dunning',
                                'milestone_missed', 'expansion_signal', 'renewal_due')),
    CONSTRAINT success_task_priority_known
        CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    CONSTRAINT success_task_state_known
        CHECK (state IN ('open', 'in_progress', 'done', 'dismissed')),
    CONSTRAINT success_task_outcome_known
        CHECK (outcome IN ('saved', 'lost', 'expanded', 'no_response', 'not_applicable')),
    CONSTRAINT success_task_outcome_when_done CHECK ((state = 'done') = (outcome IS NOT NULL)),
    CONSTRAINT success_task_closed_has_time
        CHECK ((state IN ('done', 'dismissed')) = (closed_at IS NOT NULL)),
    CONSTRAINT success_task_closed_after_opening CHECK (closed_at >= opened_at)
);

COMMENT ON TABLE tenant_mgmt.success_task IS
    'Work that health, trial or dunning rules raise for a success manager.';

-- One open task per playbook; also the work list.
CREATE UNIQUE INDEX success_task_open_idx
    ON tenant_mgmt.success_task (business_id, playbook_code)
    WHERE state IN ('open', 'in_progress');

-- FK: the tasks of a success manager.
CREATE INDEX success_task_assignee_idx
    ON tenant_mgmt.success_task (business_id, assigned_to, due_at)
    WHERE assigned_to IS NOT NULL;

ALTER TABLE tenant_mgmt.success_task ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.success_task
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.success_task TO app_user;
GRANT SELECT ON tenant_mgmt.success_task TO app_readonly;

CREATE TRIGGER success_task_touch
    BEFORE UPDATE ON tenant_mgmt.success_task
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE tenant_mgmt.cancellation_feedback (
    business_id              uuid              NOT NULL,
    cancellation_feedback_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    subscription_id          uuid              NOT NULL,
    given_by                 uuid,
    primary_reason           text              NOT NULL,
    competitor_name          text,
    comment                  text,
    satisfaction_score       integer,
    offer_made               text              NOT NULL DEFAULT 'none',
    offer_accepted           boolean           NOT NULL DEFAULT false,
    would_return             boolean,
    lost_mrr_amount          system_core.money NOT NULL DEFAULT 0,
    submitted_at             timestamptz       NOT NULL DEFAULT now(),
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cancellation_feedback_id),
    UNIQUE (business_id, subscription_id, submitted_at),
    FOREIGN KEY (business_id, subscription_id)
        REFERENCES tenant_mgmt.subscription (business_id, subscription_id),
    FOREIGN KEY (business_id, given_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT cancellation_feedback_reason_known
        CHECK (primary_reason IN ('price', 'missing_feature', 'switched_vendor',
                                  'closing_business', 'poor_support', 'reliability', 'not_used',
                                  'other')),
    CONSTRAINT cancellation_feedback_offer_known
        CHECK (offer_made IN ('none', 'discount', 'pause', 'downgrade', 'training')),
    CONSTRAINT cancellation_feedback_nothing_accepted_without_offer
        CHECK (offer_made <> 'none' OR NOT offer_accepted),
    CONSTRAINT cancellation_feedback_satisfaction_bounded
        CHECK (satisfaction_score BETWEEN 0 AND 10)
);

COMMENT ON TABLE tenant_mgmt.cancellation_feedback IS
    'Why a subscription was cancelled, and whether an offer was taken.';

-- FK: who gave it.
CREATE INDEX cancellation_feedback_given_by_idx
    ON tenant_mgmt.cancellation_feedback (business_id, given_by)
    WHERE given_by IS NOT NULL;

ALTER TABLE tenant_mgmt.cancellation_feedback ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.cancellation_feedback
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.cancellation_feedback TO app_user;
GRANT SELECT ON tenant_mgmt.cancellation_feedback TO app_readonly;

CREATE TRIGGER cancellation_feedback_touch
    BEFORE UPDATE ON tenant_mgmt.cancellation_feedback
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION tenant_mgmt.end_trial(contract uuid, action text) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    free_plan uuid;
    change    uuid;
BEGIN
    IF NOT EXISTS (SELECT FROM tenant_mgmt.subscription AS s
                   WHERE s.business_id = tenant AND s.subscription_id = contract
                       AND s.status = 'trialing') THEN
        RETURN;
    END IF;
    IF action = 'downgrade_to_free' THEN
        SELECT p.plan_id INTO free_plan FROM tenant_mgmt.plan AS p
        WHERE p.business_id = tenant AND p.tier = 'free'
        ORDER BY p.catalog_version DESC LIMIT 1;
    END IF;
    IF free_plan IS NOT NULL THEN
        INSERT INTO tenant_mgmt.subscription_change
            (business_id, subscription_id, target_plan_id, change_kind, requested_at,
             effective_at, timing, state)
        VALUES (tenant, contract, free_plan, 'downgrade', now(), now(), 'immediate', 'scheduled')
        RETURNING subscription_change_id INTO change;
        PERFORM tenant_mgmt.apply_change(change);
        PERFORM tenant_mgmt.transition_subscription(contract, 'active', 'billing_job');
        RETURN;
    END IF;
    -- The tenant is suspended with its last live subscription.
    PERFORM tenant_mgmt.transition_subscription(contract, 'expired', 'billing_job');
    IF action = 'close' THEN
        UPDATE tenant_mgmt.business AS b SET status = 'closing'
        WHERE b.business_id = tenant AND b.status IN ('trialing', 'active', 'suspended');
    END IF;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.end_trial(uuid, text) IS
    'What follows when a trial was not converted: the free plan where the catalog has one, else
     the subscription expires and the tenant is suspended, or closing.';


CREATE FUNCTION tenant_mgmt.evaluate_trials()
    RETURNS TABLE (trial_id uuid, was text, became text)
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    due    record;
BEGIN
    FOR due IN
        SELECT t.trial_id, t.subscription_id, t.reminder_stage, t.status, t.ends_at,
               t.original_ends_at, t.expiry_action,
               CASE WHEN t.ends_at <= now() THEN 'expired'
                    WHEN t.ends_at <= now() + interval '1 day' THEN 'day_1'
                    WHEN t.ends_at <= now() + interval '3 days' THEN 'day_3'
                    WHEN t.ends_at <= now() + interval '7 days' THEN 'day_7'
                    ELSE 'none' END AS stage,
               s.status IN ('active', 'non_renewing') AS is_paying,
               t.status = 'running' AND t.qualification_score >= 60 AS deserves_more
        FROM tenant_mgmt.trial AS t
        JOIN tenant_mgmt.subscription AS s
            ON s.business_id = t.business_id AND s.subscription_id = t.subscription_id
        WHERE t.business_id = tenant AND t.status IN ('running', 'extended')
        FOR UPDATE OF t SKIP LOCKED
    LOOP
        CONTINUE WHEN NOT due.is_paying AND due.stage = due.reminder_stage;
        trial_id := due.trial_id;
        was := due.status || '/' || due.reminder_stage;
        UPDATE tenant_mgmt.trial AS t
        SET reminder_stage = CASE WHEN due.stage = 'expired' AND due.deserves_more
                                      AND NOT due.is_paying THEN 'none' ELSE due.stage END,
            status = CASE WHEN due.is_paying THEN 'converted'
                          WHEN due.stage <> 'expired' THEN t.status
                          WHEN due.deserves_more THEN 'extended' ELSE 'expired' END,
            extension_days = CASE WHEN due.stage = 'expired' AND due.deserves_more
                                      AND NOT due.is_paying THEN 7 ELSE t.extension_days END,
            ends_at = CASE WHEN due.stage = 'expired' AND due.deserves_more
                               AND NOT due.is_paying
                           THEN t.original_ends_at + 7 * interval '24 hours' ELSE t.ends_at END,
            converted_at = CASE WHEN due.is_paying
                                THEN least(now(), t.ends_at + interval '336 hours') END
        WHERE t.business_id = tenant AND t.trial_id = due.trial_id
        RETURNING t.status || '/' || t.reminder_stage INTO became;
        IF became = 'expired/expired' THEN
            PERFORM tenant_mgmt.end_trial(due.subscription_id, due.expiry_action);
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.evaluate_trials() IS
    'Moves the tenant''s running trials on: reminder stages 7, 3 and 1 days before the end;
     converted when the subscription pays; at the end extended once by a week where the
     qualification is 60 or better, else expired, with what its expiry_action says. Returns what
     moved, as status/reminder stage; whoever calls it sends the reminders.';


CREATE FUNCTION tenant_mgmt.compute_health_score(on_date date DEFAULT current_date)
    RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    model  tenant_mgmt.health_model;
    total  numeric;
    parts  jsonb;
    before numeric;
    week   numeric;
    color  text;
    mrr    numeric;
    was    text;
BEGIN
    SELECT * INTO model FROM tenant_mgmt.health_model AS m
    WHERE m.business_id = tenant AND m.is_active;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the business has no active health model'
            USING ERRCODE = 'no_data_found';
    END IF;

    IF (SELECT b.activated_at FROM tenant_mgmt.business AS b WHERE b.business_id = tenant)
        > on_date - make_interval(days => model.minimum_age_days) THEN
        RETURN NULL;
    END IF;
    SELECT coalesce(sum(tenant_mgmt.subscription_mrr(tenant, s.subscription_id, now())), 0)
    INTO mrr
    FROM tenant_mgmt.subscription AS s WHERE s.business_id = tenant;

    -- The newest value of each weighted signal within the look-back; a missing one counts 0.
    SELECT coalesce(sum(w.weight * coalesce(s.normalized_score, 0)), 0),
           coalesce(jsonb_agg(jsonb_build_object(
               'signal', w.signal, 'score', s.normalized_score,
               'impact', round(w.weight * (coalesce(s.normalized_score, 0) - 50), 2))
               ORDER BY w.weight DESC), '[]')
    INTO total, parts
    FROM JSON_TABLE(model.signal_weights::jsonb, '$.keyvalue()' COLUMNS (
        signal text    PATH '$.key',
        weight numeric PATH '$.value')) AS w
    LEFT JOIN LATERAL (
        SELECT h.normalized_score FROM tenant_mgmt.health_signal AS h
        WHERE h.business_id = tenant AND h.health_model_id = model.health_model_id
            AND h.signal_code = w.signal
            AND h.signal_date BETWEEN on_date - model.lookback_days AND on_date
        ORDER BY h.signal_date DESC
        LIMIT 1
    ) AS s ON true;

    SELECT h.score, h.band INTO before, was FROM tenant_mgmt.health_score AS h
    WHERE h.business_id = tenant AND h.score_date < on_date
    ORDER BY h.score_date DESC LIMIT 1;
    SELECT h.score INTO week FROM tenant_mgmt.health_score AS h
    WHERE h.business_id = tenant AND h.score_date = on_date - 7;
    color := CASE WHEN total >= model.green_threshold THEN 'green'
                   WHEN total >= model.yellow_threshold THEN 'yellow' ELSE 'red' END;

    INSERT INTO tenant_mgmt.health_score
        (business_id, health_model_id, score_date, score, band, previous_score, delta_7d,
         churn_probability, drivers, mrr_amount)
    VALUES (tenant, model.health_model_id, on_date, total, color, before, total - week,
            round(1 / (1 + exp((total - 50) / 10)), 6), parts, mrr)
    ON CONFLICT (business_id, score_date) DO UPDATE
    SET health_model_id = excluded.health_model_id, mrr_amount = excluded.mrr_amount,
        score = excluded.score, band = excluded.band, drivers = excluded.drivers,
        previous_score = excluded.previous_score, delta_7d = excluded.delta_7d,
        churn_probability = excluded.churn_probability, computed_at = now();

    IF (was, color) IN (('green', 'yellow'), ('green', 'red'), ('yellow', 'red')) THEN
        INSERT INTO tenant_mgmt.success_task
            (business_id, playbook_code, trigger_kind, priority, due_at, mrr_at_risk_amount)
        VALUES (tenant, 'health_drop', 'health_drop',
                CASE color WHEN 'red' THEN 'urgent' ELSE 'high' END, now() + interval '2 days', mrr)
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN total;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.compute_health_score(date) IS
    'Weighs the tenant''s signals by the active model, writes the score of the day, and opens a
     task for the success manager when the band got worse. NULL for a tenant that is younger than
     the model asks for.';


CREATE VIEW tenant_mgmt.v_trial_status
    WITH (security_invoker = true) AS
SELECT t.business_id, t.trial_id, t.subscription_id, t.status, t.ends_at,
       greatest(0, ceil(extract(epoch FROM t.ends_at - now()) / 86400))::integer AS days_left,
       m.reached_count, m.milestone_count, m.next_due_at
FROM tenant_mgmt.trial AS t
CROSS JOIN LATERAL (
    SELECT count(a.reached_at) AS reached_count, count(*) AS milestone_count,
           min(a.due_at) FILTER (WHERE a.reached_at IS NULL) AS next_due_at
    FROM tenant_mgmt.activation_milestone AS a
    WHERE a.business_id = t.business_id
) AS m
WHERE t.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW tenant_mgmt.v_trial_status IS
    'Days left of each trial, milestones reached, and what to nudge about next.';
GRANT SELECT ON tenant_mgmt.v_trial_status TO app_user, app_readonly;


CREATE MATERIALIZED VIEW tenant_mgmt.mv_health_trend AS
SELECT h.business_id, date_trunc('week', h.score_date::timestamp)::date AS week_start,
       round(avg(h.score), 2) AS average_score, min(h.score) AS lowest_score,
       mode() WITHIN GROUP (ORDER BY h.band) AS usual_band,
       max(h.churn_probability) AS highest_churn_probability,
       (array_agg(h.drivers::jsonb ORDER BY h.score_date DESC))[1] AS latest_drivers
FROM tenant_mgmt.health_score AS h
GROUP BY h.business_id, week_start
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW tenant_mgmt.mv_health_trend IS
    'Score, band, risk and drivers per week (from Monday); read through v_health_trend.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_health_trend_idx
    ON tenant_mgmt.mv_health_trend (business_id, week_start);

GRANT USAGE ON SCHEMA tenant_mgmt TO matview_owner;
GRANT SELECT ON tenant_mgmt.health_score TO matview_owner;

CREATE VIEW tenant_mgmt.v_health_trend
    WITH (security_barrier = true) AS
SELECT m.business_id, m.week_start, m.average_score, m.lowest_score, m.usual_band,
       m.highest_churn_probability, m.latest_drivers
FROM tenant_mgmt.mv_health_trend AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW tenant_mgmt.v_health_trend IS 'The tenant''s own part of mv_health_trend.';
GRANT SELECT ON tenant_mgmt.v_health_trend TO app_user, app_readonly;
