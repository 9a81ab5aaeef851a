/*
 * Retention: who looks after whom, who drifts away, and what is done about it.
 *
 * An advisor_assignment says who is responsible for a learner. An engagement_day sums up what
 * somebody did in an enrollment on a day. A retention_model weighs what it shows; its
 * retention_scores say every week how likely each enrollment is to be given up and why
 * (courses.score_retention). A score that rises into a higher band opens an early_alert, which an
 * advisor takes up; an intervention is what was done, judged two weeks later. Nudges are in
 * 57_outreach.sql, surveys in 58_surveys.sql.
 */

CREATE TABLE courses.advisor_assignment (
    business_id             uuid         NOT NULL,
    advisor_assignment_id   uuid         NOT NULL DEFAULT system_core.uuid_v7(),
    advisor_user_account_id uuid         NOT NULL,
    learner_id              uuid         NOT NULL,
    program_id              uuid,
    assigned_from           date         NOT NULL,
    assigned_until          date,
    assignment_kind         text         NOT NULL DEFAULT 'academic',
    caseload_weight         numeric(4,2) NOT NULL DEFAULT 1,
    reason                  text         NOT NULL DEFAULT 'new_learner',
    last_contact_at         timestamptz,
    next_contact_due_on     date,
    is_primary              boolean      NOT NULL DEFAULT true,
    created_at              timestamptz  NOT NULL DEFAULT now(),
    updated_at              timestamptz  NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, advisor_assignment_id),
    FOREIGN KEY (business_id, advisor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, program_id) REFERENCES courses.program (business_id, program_id),
    CONSTRAINT advisor_assignment_kind_known
        CHECK (assignment_kind IN ('academic', 'success_coach', 'career', 'financial')),
    CONSTRAINT advisor_assignment_reason_known
        CHECK (reason IN ('new_learner', 'reassignment', 'specialism', 'leave_cover')),
    CONSTRAINT advisor_assignment_ends_after_start CHECK (assigned_until > assigned_from),
    CONSTRAINT advisor_assignment_weight_bounded CHECK (caseload_weight BETWEEN 0.1 AND 5),
    -- One primary advisor of a kind at a time.
    EXCLUDE USING gist (business_id WITH =, learner_id WITH =, assignment_kind WITH =,
                        daterange(assigned_from, assigned_until) WITH &&)
        WHERE (is_primary)
);

COMMENT ON TABLE courses.advisor_assignment IS 'Advisor responsible for a learner.';
COMMENT ON COLUMN courses.advisor_assignment.assigned_until IS 'The first day without.';
COMMENT ON COLUMN courses.advisor_assignment.caseload_weight IS
    'How much of an advisor a learner takes: 1 is usual.';

-- FK: the caseload of an advisor.
CREATE INDEX advisor_assignment_advisor_user_account_idx
    ON courses.advisor_assignment (business_id, advisor_user_account_id, assigned_until);

-- FK: the advisors of a learner.
CREATE INDEX advisor_assignment_learner_idx
    ON courses.advisor_assignment (business_id, learner_id);

-- FK: the advisors of a program.
CREATE INDEX advisor_assignment_program_idx
    ON courses.advisor_assignment (business_id, program_id)
    WHERE program_id IS NOT NULL;

ALTER TABLE courses.advisor_assignment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.advisor_assignment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.advisor_assignment TO app_user;
GRANT SELECT ON courses.advisor_assignment TO app_readonly;

CREATE TRIGGER advisor_assignment_touch
    BEFORE UPDATE ON courses.advisor_assignment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.engagement_day (
    business_id       uuid         NOT NULL,
    engagement_day_id uuid         NOT NULL DEFAULT system_core.uuid_v7(),
    enrollment_id     uuid         NOT NULL,
    activity_date     date         NOT NULL,
    login_count       integer      NOT NULL DEFAULT 0,
    active_minutes    integer      NOT NULL DEFAULT 0,
    content_views     integer      NOT NULL DEFAULT 0,
    video_minutes     integer      NOT NULL DEFAULT 0,
    submissions       integer      NOT NULL DEFAULT 0,
    posts             integer      NOT NULL DEFAULT 0,
    messages_sent     integer      NOT NULL DEFAULT 0,
    meeting_minutes   integer      NOT NULL DEFAULT 0,
    engagement_score  numeric(7,4) GENERATED ALWAYS AS (
        least(100, 0.5 * least(active_minutes, 100) + 2 * least(content_views, 10)
                   + 10 * least(submissions, 2) + 5 * least(posts, 3)
                   + least(messages_sent, 5) + 0.25 * least(meeting_minutes, 90))) STORED,
    decile            integer,
    is_at_risk_day    boolean      NOT NULL DEFAULT false,
    created_at        timestamptz  NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, engagement_day_id, activity_date),
    UNIQUE (business_id, enrollment_id, activity_date),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT engagement_day_decile_bounded CHECK (decile BETWEEN 1 AND 10),
    CONSTRAINT engagement_day_counts_not_negative
        CHECK (least(login_count, active_minutes, content_views, video_minutes, submissions, posts,
                     messages_sent, meeting_minutes) >= 0),
    CONSTRAINT engagement_day_has_1440_minutes
        CHECK (active_minutes <= 1440 AND video_minutes <= 1440 AND meeting_minutes <= 1440)
) PARTITION BY RANGE (activity_date);

COMMENT ON TABLE courses.engagement_day IS
    'Engagement of a learner in a section on a day, in components; append only.';
COMMENT ON COLUMN courses.engagement_day.engagement_score IS
    'From 0 to 100: time, content, work handed in, posts, messages, classes; each up to a point.';
COMMENT ON COLUMN courses.engagement_day.is_at_risk_day IS
    'So little was done that the learner may be drifting away.';
COMMENT ON COLUMN courses.engagement_day.decile IS
    'Among all of the tenant on that day; 10 is the most engaged.';

-- What happened on a day, for the weekly figures.
CREATE INDEX engagement_day_activity_date_idx
    ON courses.engagement_day (business_id, activity_date);

ALTER TABLE courses.engagement_day ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.engagement_day
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON courses.engagement_day TO app_user;
GRANT SELECT ON courses.engagement_day TO app_readonly;

CREATE TRIGGER engagement_day_append_only
    BEFORE UPDATE OR DELETE ON courses.engagement_day
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('courses.engagement_day');

CREATE TABLE courses.engagement_day_default PARTITION OF courses.engagement_day DEFAULT;
ALTER TABLE courses.engagement_day_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.engagement_day_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('courses.engagement_day', 'month', behind => 13, ahead => 3);


CREATE FUNCTION courses.are_weights(weights jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN NOT weights @@ 'exists($.keyvalue() ? (@.value.type() != "number"))'
           AND weights - ARRAY['bias', 'days_inactive', 'missed_deadlines', 'low_grade',
                               'low_progress', 'low_engagement'] = '{}'
           AND weights <> '{}';
COMMENT ON FUNCTION courses.are_weights(jsonb) IS
    'Whether an object gives numbers to what a model can weigh: bias, days_inactive (per week),
     missed_deadlines (each), low_grade, low_progress and low_engagement (from 0 to 1).';

CREATE TABLE courses.retention_model (
    business_id           uuid                    NOT NULL,
    retention_model_id    uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid,
    code                  system_core.code        NOT NULL,
    version_no            integer                 NOT NULL DEFAULT 1,
    model_kind            text                    NOT NULL DEFAULT 'rules',
    features              system_core.json_object NOT NULL DEFAULT '{}',
    weights               system_core.json_object NOT NULL,
    threshold_high        system_core.probability NOT NULL,
    threshold_medium      system_core.probability NOT NULL,
    trained_on            date,
    auc                   numeric(5,4),
    fairness_gap          numeric(5,4),
    status                text                    NOT NULL DEFAULT 'draft',
    horizon_days          integer                 NOT NULL DEFAULT 30,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, retention_model_id),
    UNIQUE (business_id, code, version_no),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT retention_model_kind_known
        CHECK (model_kind IN ('rules', 'logistic', 'gradient_boosting', 'survival')),
    CONSTRAINT retention_model_status_known
        CHECK (status IN ('draft', 'shadow', 'active', 'retired')),
    CONSTRAINT retention_model_weighs_something
        CHECK (coalesce(courses.are_weights(weights), false)),
    CONSTRAINT retention_model_high_is_above_medium CHECK (threshold_high > threshold_medium),
    CONSTRAINT retention_model_auc_better_than_chance CHECK (auc BETWEEN 0.5 AND 1),
    CONSTRAINT retention_model_fairness_gap_is_a_share CHECK (fairness_gap BETWEEN 0 AND 1),
    CONSTRAINT retention_model_looks_ahead CHECK (horizon_days BETWEEN 1 AND 365),
    CONSTRAINT retention_model_trained_has_quality
        CHECK (model_kind = 'rules' OR status = 'draft' OR (trained_on IS NOT NULL
                                                            AND auc IS NOT NULL))
);

COMMENT ON TABLE courses.retention_model IS 'Model or rule set that predicts dropping out.';
COMMENT ON COLUMN courses.retention_model.status IS
    'A shadow scores too, but nobody is alerted by it.';
COMMENT ON COLUMN courses.retention_model.fairness_gap IS
    'The largest difference of the hit rate between groups of learners.';

-- One model is acted on.
CREATE UNIQUE INDEX retention_model_active_idx
    ON courses.retention_model (business_id)
    WHERE status = 'active';

-- FK: the models that somebody answers for.
CREATE INDEX retention_model_owner_user_account_idx
    ON courses.retention_model (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

ALTER TABLE courses.retention_model ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.retention_model
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.retention_model TO app_user;
GRANT SELECT ON courses.retention_model TO app_readonly;

CREATE TRIGGER retention_model_touch
    BEFORE UPDATE ON courses.retention_model
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER retention_model_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.retention_model
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":   ["shadow", "active", "retired"],
            "shadow":  ["active", "retired"],
            "active":  ["shadow", "retired"],
            "retired": []
        }}');

CREATE FUNCTION courses.keep_retention_model() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a model that scores is not changed'
        USING ERRCODE = 'restrict_violation', HINT = 'Make a new version of it.';
END
$$;
COMMENT ON FUNCTION courses.keep_retention_model() IS
    'Scores are read by the weights and thresholds that they were made with.';

CREATE TRIGGER retention_model_kept
    BEFORE UPDATE ON courses.retention_model
    FOR EACH ROW WHEN (OLD.status <> 'draft'
                       AND (NEW.weights, NEW.threshold_high, NEW.threshold_medium)
                           IS DISTINCT FROM (OLD.weights, OLD.threshold_high,
                                             OLD.threshold_medium))
    EXECUTE FUNCTION courses.keep_retention_model();


CREATE TABLE courses.retention_score (
    business_id              uuid                    NOT NULL,
    retention_score_id       uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    enrollment_id            uuid                    NOT NULL,
    retention_model_id       uuid                    NOT NULL,
    scored_on                date                    NOT NULL,
    dropout_probability      system_core.probability NOT NULL,
    band                     text                    NOT NULL,
    previous_probability     system_core.probability,
    drivers                  system_core.json_array  NOT NULL DEFAULT '[]',
    days_inactive            integer                 NOT NULL DEFAULT 0,
    missed_deadlines         integer                 NOT NULL DEFAULT 0,
    grade_trend              text                    NOT NULL DEFAULT 'unknown',
    predicted_last_active_on date,
    is_actionable            boolean                 NOT NULL DEFAULT false,
    created_at               timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, retention_score_id, scored_on),
    UNIQUE (business_id, enrollment_id, retention_model_id, scored_on),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    FOREIGN KEY (business_id, retention_model_id)
        REFERENCES courses.retention_model (business_id, retention_model_id),
    CONSTRAINT retention_score_band_known CHECK (band IN ('low', 'medium', 'high')),
    CONSTRAINT retention_score_grade_trend_known
        CHECK (grade_trend IN ('unknown', 'falling', 'steady', 'rising')),
    CONSTRAINT retention_score_counts_not_negative
        CHECK (days_inactive >= 0 AND missed_deadlines >= 0),
    CONSTRAINT retention_score_drivers_are_named
        CHECK (NOT drivers @@ 'exists($[*] ? (!exists(@.feature) || !exists(@.contribution)))'),
    CONSTRAINT retention_score_low_asks_for_nothing CHECK (band <> 'low' OR NOT is_actionable)
) PARTITION BY RANGE (scored_on);

COMMENT ON TABLE courses.retention_score IS
    'Weekly risk of an enrollment with its drivers; append only.';
COMMENT ON COLUMN courses.retention_score.drivers IS
    'Array of {"feature", "contribution"}, the largest first, in log odds.';
COMMENT ON COLUMN courses.retention_score.is_actionable IS
    'Somebody can still do something: the band is raised and the enrollment is active.';

-- FK: what a model said of all on a day, the most likely to leave first.
CREATE INDEX retention_score_retention_model_idx
    ON courses.retention_score (business_id, retention_model_id, scored_on, band);

ALTER TABLE courses.retention_score ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.retention_score
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON courses.retention_score TO app_user;
GRANT SELECT ON courses.retention_score TO app_readonly;

CREATE TRIGGER retention_score_append_only
    BEFORE UPDATE OR DELETE ON courses.retention_score
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('courses.retention_score');

CREATE TABLE courses.retention_score_default PARTITION OF courses.retention_score DEFAULT;
ALTER TABLE courses.retention_score_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.retention_score_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('courses.retention_score', 'month', behind => 13, ahead => 3);

CREATE FUNCTION courses.band_score() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT CASE WHEN NEW.dropout_probability >= m.threshold_high THEN 'high'
                WHEN NEW.dropout_probability >= m.threshold_medium THEN 'medium'
                ELSE 'low' END
    INTO NEW.band
    FROM courses.retention_model AS m
    WHERE m.business_id = NEW.business_id AND m.retention_model_id = NEW.retention_model_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.band_score() IS 'The band follows the thresholds of the model.';

CREATE TRIGGER retention_score_banded
    BEFORE INSERT ON courses.retention_score
    FOR EACH ROW EXECUTE FUNCTION courses.band_score();


CREATE TABLE courses.early_alert (
    business_id     uuid        NOT NULL,
    early_alert_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    raised_by       uuid,
    assigned_to     uuid,
    enrollment_id   uuid        NOT NULL,
    alert_kind      text        NOT NULL,
    severity        text        NOT NULL DEFAULT 'medium',
    raised_at       timestamptz NOT NULL DEFAULT now(),
    detail          text,
    status          text        NOT NULL DEFAULT 'open',
    acknowledged_at timestamptz,
    resolved_at     timestamptz,
    resolution      text,
    dedupe_key      text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, early_alert_id),
    UNIQUE (business_id, dedupe_key),
    FOREIGN KEY (business_id, raised_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, assigned_to)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT early_alert_kind_known
        CHECK (alert_kind IN ('inactive', 'failing', 'missed_deadline', 'attendance', 'sentiment',
                              'financial', 'teacher_concern', 'score_drop')),
    CONSTRAINT early_alert_severity_known CHECK (severity IN ('low', 'medium', 'high')),
    CONSTRAINT early_alert_status_known
        CHECK (status IN ('open', 'acknowledged', 'in_intervention', 'resolved', 'dismissed')),
    CONSTRAINT early_alert_resolution_known
        CHECK (resolution IN ('re_engaged', 'withdrew', 'false_alarm', 'supported')),
    CONSTRAINT early_alert_acknowledged_after_raising CHECK (acknowledged_at >= raised_at),
    CONSTRAINT early_alert_resolved_after_raising
        CHECK (resolved_at >= raised_at AND resolved_at >= acknowledged_at),
    CONSTRAINT early_alert_taken_up_has_time
        CHECK (status NOT IN ('acknowledged', 'in_intervention') OR acknowledged_at IS NOT NULL),
    CONSTRAINT early_alert_over_has_time
        CHECK ((status IN ('resolved', 'dismissed')) = (resolved_at IS NOT NULL)),
    CONSTRAINT early_alert_resolved_has_resolution
        CHECK ((status IN ('resolved', 'dismissed')) = (resolution IS NOT NULL)),
    CONSTRAINT early_alert_teacher_is_named
        CHECK (alert_kind <> 'teacher_concern' OR raised_by IS NOT NULL)
);

COMMENT ON TABLE courses.early_alert IS
    'Signal that a learner needs help, from model, rule or teacher.';
COMMENT ON COLUMN courses.early_alert.raised_by IS 'NULL: a model or rule.';

-- One alert of a kind is open at a time; FK: the alerts of an enrollment.
CREATE UNIQUE INDEX early_alert_open_idx
    ON courses.early_alert (business_id, enrollment_id, alert_kind)
    WHERE status IN ('open', 'acknowledged', 'in_intervention');

-- FK: what was ever raised about an enrollment.
CREATE INDEX early_alert_enrollment_idx
    ON courses.early_alert (business_id, enrollment_id, raised_at DESC);

-- FK: what a teacher raised.
CREATE INDEX early_alert_raised_by_idx
    ON courses.early_alert (business_id, raised_by)
    WHERE raised_by IS NOT NULL;

-- FK: the worklist of an advisor.
CREATE INDEX early_alert_assigned_to_idx
    ON courses.early_alert (business_id, assigned_to, status)
    WHERE assigned_to IS NOT NULL;

ALTER TABLE courses.early_alert ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.early_alert
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.early_alert TO app_user;
GRANT SELECT ON courses.early_alert TO app_readonly;

CREATE TRIGGER early_alert_touch
    BEFORE UPDATE ON courses.early_alert
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER early_alert_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.early_alert
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":            ["acknowledged", "resolved", "dismissed"],
            "acknowledged":    ["in_intervention", "resolved", "dismissed"],
            "in_intervention": ["resolved"],
            "resolved":        [],
            "dismissed":       []
        }}');

CREATE FUNCTION courses.assign_alert() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT a.advisor_user_account_id INTO NEW.assigned_to
    FROM courses.enrollment AS e
    JOIN courses.advisor_assignment AS a
        ON a.business_id = e.business_id AND a.learner_id = e.learner_id AND a.is_primary
       AND (NEW.raised_at AT TIME ZONE 'UTC')::date >= a.assigned_from
       AND ((NEW.raised_at AT TIME ZONE 'UTC')::date < a.assigned_until
            OR a.assigned_until IS NULL)
    WHERE e.business_id = NEW.business_id AND e.enrollment_id = NEW.enrollment_id
    ORDER BY CASE WHEN NEW.alert_kind = 'financial' THEN a.assignment_kind = 'financial'
                  ELSE a.assignment_kind = 'academic' END DESC, a.assigned_from DESC,
             a.advisor_assignment_id
    LIMIT 1;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.assign_alert() IS
    'An alert goes to the advisor of the learner: about money to the financial one, else to the
     academic one, where there is one.';

CREATE TRIGGER early_alert_assigned
    BEFORE INSERT ON courses.early_alert
    FOR EACH ROW WHEN (NEW.assigned_to IS NULL)
    EXECUTE FUNCTION courses.assign_alert();


CREATE TABLE courses.intervention (
    business_id       uuid         NOT NULL,
    intervention_id   uuid         NOT NULL DEFAULT system_core.uuid_v7(),
    performed_by      uuid         NOT NULL,
    enrollment_id     uuid         NOT NULL,
    early_alert_id    uuid,
    method            text         NOT NULL,
    performed_at      timestamptz  NOT NULL DEFAULT now(),
    duration_minutes  integer,
    outcome           text         NOT NULL,
    follow_up_on      date,
    plan              text,
    engagement_before numeric(7,4),
    engagement_after  numeric(7,4),
    effect_size       numeric(7,4) GENERATED ALWAYS AS (
        engagement_after - engagement_before) STORED,
    is_successful     boolean,
    created_at        timestamptz  NOT NULL DEFAULT now(),
    updated_at        timestamptz  NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, intervention_id),
    FOREIGN KEY (business_id, performed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    FOREIGN KEY (business_id, early_alert_id)
        REFERENCES courses.early_alert (business_id, early_alert_id),
    CONSTRAINT intervention_method_known
        CHECK (method IN ('call', 'email', 'meeting', 'tutoring', 'extension', 'plan',
                          'peer_support', 'financial_help')),
    CONSTRAINT intervention_outcome_known
        CHECK (outcome IN ('reached', 'no_answer', 'agreed_plan', 'declined', 'escalated')),
    CONSTRAINT intervention_follow_up_later
        CHECK (follow_up_on >= (performed_at AT TIME ZONE 'UTC')::date),
    CONSTRAINT intervention_engagement_is_a_share
        CHECK (engagement_before BETWEEN 0 AND 100 AND engagement_after BETWEEN 0 AND 100),
    CONSTRAINT intervention_duration_positive CHECK (duration_minutes > 0),
    CONSTRAINT intervention_agreed_plan_is_written
        CHECK (outcome <> 'agreed_plan' OR coalesce(plan, '') ~ '\S'),
    CONSTRAINT intervention_judged_by_what_came_after
        CHECK ((is_successful IS NULL) = (engagement_after IS NULL))
);

COMMENT ON TABLE courses.intervention IS 'Action taken for a learner and whether it worked.';
COMMENT ON COLUMN courses.intervention.is_successful IS
    'NULL until it is judged, 14 days later (courses.judge_interventions).';
COMMENT ON COLUMN courses.intervention.engagement_before IS
    'Mean engagement of the 14 days before; days without any count as 0.';

-- FK: what somebody did, the last first.
CREATE INDEX intervention_performed_by_idx
    ON courses.intervention (business_id, performed_by, performed_at DESC);

-- FK: what was done for an enrollment.
CREATE INDEX intervention_enrollment_idx
    ON courses.intervention (business_id, enrollment_id, performed_at DESC);

-- FK: what was done about an alert.
CREATE INDEX intervention_early_alert_idx
    ON courses.intervention (business_id, early_alert_id)
    WHERE early_alert_id IS NOT NULL;

ALTER TABLE courses.intervention ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.intervention
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.intervention TO app_user;
GRANT SELECT ON courses.intervention TO app_readonly;

CREATE TRIGGER intervention_touch
    BEFORE UPDATE ON courses.intervention
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.mean_engagement(enrollment uuid, from_day date, to_day date)
    RETURNS numeric
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT round(coalesce(sum(d.engagement_score), 0) / (to_day - from_day), 4)
    FROM courses.engagement_day AS d
    WHERE d.business_id = tenant_mgmt.current_business_id() AND d.enrollment_id = enrollment
      AND d.activity_date >= from_day AND d.activity_date < to_day;
END;
COMMENT ON FUNCTION courses.mean_engagement(uuid, date, date) IS
    'The mean score of the days from one up to another; a day without activity is 0.';

CREATE FUNCTION courses.begin_intervention() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    day CONSTANT date := (NEW.performed_at AT TIME ZONE 'UTC')::date;
    alert record;
BEGIN
    NEW.engagement_before := coalesce(
        NEW.engagement_before, courses.mean_engagement(NEW.enrollment_id, day - 14, day));
    IF NEW.early_alert_id IS NOT NULL THEN
        SELECT a.enrollment_id, a.raised_at INTO alert
        FROM courses.early_alert AS a
        WHERE a.business_id = NEW.business_id AND a.early_alert_id = NEW.early_alert_id;
        IF alert.enrollment_id <> NEW.enrollment_id THEN
            RAISE EXCEPTION 'the alert is about another enrollment'
                USING ERRCODE = 'check_violation';
        END IF;
        IF alert.raised_at > NEW.performed_at THEN
            RAISE EXCEPTION 'the alert was raised after that' USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    IF row_security_active(TG_RELID) THEN
        UPDATE courses.early_alert AS a
        SET status = 'acknowledged', acknowledged_at = greatest(a.raised_at, NEW.performed_at)
        WHERE a.business_id = NEW.business_id AND a.early_alert_id = NEW.early_alert_id
          AND a.status = 'open';
        UPDATE courses.early_alert AS a
        SET status = 'in_intervention'
        WHERE a.business_id = NEW.business_id AND a.early_alert_id = NEW.early_alert_id
          AND a.status = 'acknowledged';
        UPDATE courses.advisor_assignment AS a
        SET last_contact_at = greatest(a.last_contact_at, NEW.performed_at),
            next_contact_due_on = NEW.follow_up_on
        FROM courses.enrollment AS e
        WHERE e.business_id = NEW.business_id AND e.enrollment_id = NEW.enrollment_id
          AND a.business_id = NEW.business_id AND a.learner_id = e.learner_id
          AND a.advisor_user_account_id = NEW.performed_by
          AND NEW.outcome <> 'no_answer'
          AND day >= a.assigned_from AND (day < a.assigned_until OR a.assigned_until IS NULL);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.begin_intervention() IS
    'An intervention notes how engaged the learner was, takes its alert up, and is a contact of the
     advisor where somebody answered.';

CREATE TRIGGER intervention_begun
    BEFORE INSERT ON courses.intervention
    FOR EACH ROW EXECUTE FUNCTION courses.begin_intervention();

CREATE FUNCTION courses.judge_interventions(moment timestamptz DEFAULT now()) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    judged integer;
BEGIN
    UPDATE courses.intervention AS i
    SET engagement_after = n.after,
        is_successful = n.after > i.engagement_before
            AND n.status NOT IN ('withdrawn', 'expired', 'failed')
    FROM (
        SELECT x.intervention_id, e.status,
               courses.mean_engagement(x.enrollment_id, d.day + 1, d.day + 15) AS after
        FROM courses.intervention AS x
        JOIN courses.enrollment AS e
            ON e.business_id = x.business_id AND e.enrollment_id = x.enrollment_id
        CROSS JOIN LATERAL (
            SELECT (x.performed_at AT TIME ZONE 'UTC')::date AS day
        ) AS d
        WHERE x.business_id = tenant_mgmt.current_business_id() AND x.is_successful IS NULL
          AND x.performed_at < moment - interval '15 days'
        ORDER BY x.intervention_id
    ) AS n
    WHERE i.business_id = tenant_mgmt.current_business_id()
      AND i.intervention_id = n.intervention_id;
    GET DIAGNOSTICS judged = ROW_COUNT;
    RETURN judged;
END
$$;
COMMENT ON FUNCTION courses.judge_interventions(timestamptz) IS
    'Judges what lies more than 14 days back: it worked where the learner is still there and more
     engaged than before. Returns how many were judged.';


CREATE FUNCTION courses.retention_features(on_date date)
    RETURNS TABLE (enrollment_id uuid, status text, days_inactive integer,
                   missed_deadlines integer, low_grade numeric, low_progress numeric,
                   low_engagement numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT e.enrollment_id, o.status, greatest(on_date - a.last_on, 0),
           (SELECT count(*)
            FROM courses.assignment AS w
            WHERE w.business_id = e.business_id AND w.course_id = s.course_id
              AND w.due_at < d.opens_at AND w.due_at >= e.started_at
              AND NOT EXISTS (
                  SELECT
                  FROM courses.assignment_submission AS h
                  WHERE h.business_id = w.business_id AND h.assignment_id = w.assignment_id
                    AND h.enrollment_id = e.enrollment_id
                    AND h.state NOT IN ('draft', 'missing')))::integer,
           round(greatest(0, 1 - coalesce(p.current_grade_pct, 75) / 75), 6),
           round(greatest(0, t.expected - coalesce(
               (SELECT count(*)
                FROM courses.lesson_progress AS x
                WHERE x.business_id = e.business_id AND x.enrollment_id = e.enrollment_id
                  AND x.completed_at < d.opens_at)::numeric / nullif(p.lessons_total, 0), 0)), 6),
           round(1 - least(1, m.mean / 30), 6)
    FROM courses.enrollment AS e
    JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    LEFT JOIN courses.course_progress AS p
        ON p.business_id = e.business_id AND p.enrollment_id = e.enrollment_id
    CROSS JOIN LATERAL (
        SELECT on_date::timestamp AT TIME ZONE 'UTC' AS opens_at
    ) AS d
    CROSS JOIN LATERAL (
        -- What it was before the first change since; where nothing changed, what it is.
        SELECT coalesce((SELECT v.from_status
                         FROM courses.enrollment_status_event AS v
                         WHERE v.business_id = e.business_id
                           AND v.enrollment_id = e.enrollment_id AND v.occurred_at >= d.opens_at
                         ORDER BY v.occurred_at, v.enrollment_status_event_id
                         LIMIT 1), e.status) AS status
    ) AS o
    CROSS JOIN LATERAL (
        SELECT coalesce(max(g.activity_date),
                        (coalesce(e.started_at, e.enrolled_at) AT TIME ZONE 'UTC')::date)
                   AS last_on
        FROM courses.engagement_day AS g
        WHERE g.business_id = e.business_id AND g.enrollment_id = e.enrollment_id
          AND g.activity_date < on_date
    ) AS a
    CROSS JOIN LATERAL (
        SELECT least(1, greatest(0, (on_date - s.starts_on)::numeric
                                    / greatest(s.ends_on - s.starts_on, 1))) AS expected
    ) AS t
    CROSS JOIN LATERAL (
        SELECT courses.mean_engagement(e.enrollment_id, on_date - 14, on_date) AS mean
    ) AS m
    WHERE e.business_id = tenant_mgmt.current_business_id() AND e.enrolled_at < d.opens_at
      AND o.status IN ('active', 'paused');
END;
COMMENT ON FUNCTION courses.retention_features(date) IS
    'What models weigh of the enrollments that were live when a day began (UTC): days without
     activity, deadlines missed, how far grade, progress and engagement lay below what they should
     be, each from 0 to 1. The grade alone is that of now: what it was is not kept.';

CREATE FUNCTION courses.weigh_retention(model uuid, on_date date)
    RETURNS TABLE (enrollment_id uuid, dropout_probability numeric, drivers jsonb,
                   days_inactive integer, missed_deadlines integer, grade_trend text,
                   predicted_last_active_on date, is_actionable boolean)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT f.enrollment_id, o.odds, o.drivers, f.days_inactive, f.missed_deadlines,
           CASE WHEN f.low_grade = 0 THEN 'steady' ELSE 'falling' END,
           on_date + (m.horizon_days * (1 - o.odds))::integer,
           o.odds >= m.threshold_medium AND f.status = 'active'
    FROM courses.retention_model AS m
    CROSS JOIN LATERAL courses.retention_features(on_date) AS f
    CROSS JOIN LATERAL (
        SELECT round(1 / (1 + exp(-sum(w.part))), 6) AS odds,
               coalesce(jsonb_agg(jsonb_build_object('feature', w.feature,
                                                     'contribution', round(w.part, 4))
                                  ORDER BY abs(w.part) DESC, w.feature)
                        FILTER (WHERE w.feature <> 'bias' AND w.part <> 0), '[]') AS drivers
        FROM (
            SELECT k.key AS feature,
                   k.value::numeric * CASE k.key
                       WHEN 'bias' THEN 1
                       WHEN 'days_inactive' THEN least(f.days_inactive, 28) / 7.0
                       WHEN 'missed_deadlines' THEN least(f.missed_deadlines, 5)
                       WHEN 'low_grade' THEN f.low_grade
                       WHEN 'low_progress' THEN f.low_progress
                       WHEN 'low_engagement' THEN f.low_engagement END AS part
            FROM jsonb_each_text(m.weights) AS k
        ) AS w
    ) AS o
    WHERE m.business_id = tenant_mgmt.current_business_id() AND m.retention_model_id = model;
END;
COMMENT ON FUNCTION courses.weigh_retention(uuid, date) IS
    'How likely a model holds each live enrollment to be given up, and what drives it: the logistic
     of the weighed features. Nothing is written (courses.score_retention writes).';

CREATE FUNCTION courses.risen_risks(model uuid, on_date date)
    RETURNS TABLE (enrollment_id uuid, alert_kind text, severity text, raised_at timestamptz,
                   detail text, dedupe_key text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT s.enrollment_id,
           CASE s.drivers -> 0 ->> 'feature' WHEN 'missed_deadlines' THEN 'missed_deadline'
                                             WHEN 'low_grade' THEN 'failing'
                                             ELSE 'inactive' END,
           s.band, on_date::timestamp AT TIME ZONE 'UTC',
           'Likely to leave: ' || round(100 * s.dropout_probability) || ' %, above all '
               || coalesce(replace(s.drivers -> 0 ->> 'feature', '_', ' '), 'in general'),
           concat_ws(' ', 'score', model, s.enrollment_id, on_date)
    FROM courses.retention_score AS s
    JOIN courses.retention_model AS m
        ON m.business_id = s.business_id AND m.retention_model_id = s.retention_model_id
    WHERE s.business_id = tenant_mgmt.current_business_id() AND s.retention_model_id = model
      AND s.scored_on = on_date AND s.is_actionable
      AND coalesce(s.previous_probability, 0)
          < CASE s.band WHEN 'high' THEN m.threshold_high ELSE m.threshold_medium END;
END;
COMMENT ON FUNCTION courses.risen_risks(uuid, date) IS
    'The alerts that the scores of a day ask for: of enrollments that came into a higher band than
     they were in the time before, by what drives them most.';

CREATE FUNCTION courses.score_retention(
    model   uuid,
    on_date date DEFAULT (now() AT TIME ZONE 'UTC')::date
) RETURNS integer
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    by_it   record;
    written integer;
BEGIN
    -- One run of a model at a time: the next one finds the scores written.
    SELECT m.status INTO by_it
    FROM courses.retention_model AS m
    WHERE m.business_id = tenant AND m.retention_model_id = model
    FOR NO KEY UPDATE;
    IF by_it.status IS NULL OR by_it.status NOT IN ('shadow', 'active') THEN
        RAISE EXCEPTION 'a model that is % does not score', coalesce(by_it.status, 'unknown')
            USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO courses.retention_score
        (business_id, enrollment_id, retention_model_id, scored_on, dropout_probability, band,
         previous_probability, drivers, days_inactive, missed_deadlines, grade_trend,
         predicted_last_active_on, is_actionable)
    SELECT tenant, w.enrollment_id, model, on_date, w.dropout_probability, 'low',
           b.dropout_probability, w.drivers, w.days_inactive, w.missed_deadlines, w.grade_trend,
           w.predicted_last_active_on, w.is_actionable
    FROM courses.weigh_retention(model, on_date) AS w
    LEFT JOIN LATERAL (
        SELECT x.dropout_probability
        FROM courses.retention_score AS x
        WHERE x.business_id = tenant AND x.enrollment_id = w.enrollment_id
          AND x.retention_model_id = model AND x.scored_on < on_date
        ORDER BY x.scored_on DESC
        LIMIT 1
    ) AS b ON true
    ON CONFLICT (business_id, enrollment_id, retention_model_id, scored_on) DO NOTHING;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF by_it.status = 'active' THEN
        INSERT INTO courses.early_alert
            (business_id, enrollment_id, alert_kind, severity, raised_at, detail, dedupe_key)
        SELECT tenant, r.enrollment_id, r.alert_kind, r.severity, r.raised_at, r.detail,
               r.dedupe_key
        FROM courses.risen_risks(model, on_date) AS r
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN written;
END
$$;
COMMENT ON FUNCTION courses.score_retention(uuid, date) IS
    'Scores the live enrollments by a model as of the beginning of a day, once, each with what
     drives it; where the model is active, a band that rose opens an alert, unless one of the kind
     is open. Returns how many were scored.';


CREATE VIEW courses.v_advisor_caseload WITH (security_invoker = true) AS
SELECT a.business_id, a.advisor_user_account_id, a.assignment_kind, count(*) AS learners,
       sum(a.caseload_weight) AS caseload, count(*) FILTER (WHERE r.band = 'high') AS high_risk,
       count(*) FILTER (WHERE r.band = 'medium') AS medium_risk,
       sum(w.alerts) AS open_alerts, min(a.last_contact_at) AS longest_without_contact,
       count(*) FILTER (WHERE a.next_contact_due_on < current_date) AS overdue_contacts
FROM courses.advisor_assignment AS a
LEFT JOIN LATERAL (
    SELECT s.band
    FROM courses.enrollment AS e
    JOIN courses.retention_score AS s
        ON s.business_id = e.business_id AND s.enrollment_id = e.enrollment_id
    WHERE e.business_id = a.business_id AND e.learner_id = a.learner_id
      AND e.status IN ('active', 'paused')
    ORDER BY s.scored_on DESC, s.dropout_probability DESC
    LIMIT 1
) AS r ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS alerts
    FROM courses.enrollment AS e
    JOIN courses.early_alert AS x
        ON x.business_id = e.business_id AND x.enrollment_id = e.enrollment_id
       AND x.status IN ('open', 'acknowledged', 'in_intervention')
    WHERE e.business_id = a.business_id AND e.learner_id = a.learner_id
) AS w ON true
WHERE a.assigned_from <= current_date
  AND (a.assigned_until > current_date OR a.assigned_until IS NULL)
GROUP BY a.business_id, a.advisor_user_account_id, a.assignment_kind;
COMMENT ON VIEW courses.v_advisor_caseload IS
    'Per advisor and kind: how many learners they have now, how many are likely to leave, open
     alerts, and whom they have not spoken to for the longest.';
GRANT SELECT ON courses.v_advisor_caseload TO app_user, app_readonly;

CREATE VIEW courses.v_learner_dashboard WITH (security_invoker = true) AS
SELECT e.business_id, e.learner_id, e.enrollment_id, c.title AS course, s.title AS section,
       e.status, p.lessons_done, p.lessons_total, e.progress_pct, p.pace, p.days_behind,
       p.next_lesson_id, l.title AS next_lesson, d.due_at AS next_due_at, d.title AS next_due,
       m.starts_at AS next_meeting_at, t.current_streak_days, t.spendable_points
FROM courses.enrollment AS e
JOIN courses.course_section AS s
    ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
JOIN courses.course AS c ON c.business_id = s.business_id AND c.course_id = s.course_id
LEFT JOIN courses.course_progress AS p
    ON p.business_id = e.business_id AND p.enrollment_id = e.enrollment_id
LEFT JOIN courses.lesson AS l
    ON l.business_id = e.business_id AND l.lesson_id = p.next_lesson_id
LEFT JOIN courses.learner_standing AS t
    ON t.business_id = e.business_id AND t.learner_id = e.learner_id
LEFT JOIN LATERAL (
    SELECT a.due_at, a.title
    FROM courses.assignment AS a
    WHERE a.business_id = s.business_id AND a.course_id = s.course_id AND a.due_at > now()
    ORDER BY a.due_at
    LIMIT 1
) AS d ON true
LEFT JOIN LATERAL (
    SELECT x.starts_at
    FROM courses.class_meeting AS x
    WHERE x.business_id = s.business_id AND x.course_section_id = s.course_section_id
      AND x.starts_at > now() AND x.status = 'scheduled'
    ORDER BY x.starts_at
    LIMIT 1
) AS m ON true
WHERE e.status IN ('active', 'audit', 'paused');
COMMENT ON VIEW courses.v_learner_dashboard IS
    'The live enrollments of learners: how far, what is next, what is due, when they meet, and the
     streak.';
GRANT SELECT ON courses.v_learner_dashboard TO app_user, app_readonly;


CREATE VIEW courses.v_section_health WITH (security_invoker = true) AS
SELECT s.business_id, s.course_section_id, s.section_code, s.title, s.status, s.starts_on,
       s.ends_on, n.learners, n.progress_low, n.progress_median, n.progress_high,
       round(100.0 * n.in_pace / nullif(n.paced, 0), 2) AS in_pace_pct, n.stalled, n.days_behind,
       round(100.0 * n.at_risk / nullif(n.scored, 0), 2) AS at_risk_pct, n.high_risk,
       a.attendance_pct
FROM courses.course_section AS s
JOIN LATERAL (
    SELECT count(*) AS learners,
           percentile_disc(0.1) WITHIN GROUP (ORDER BY e.progress_pct) AS progress_low,
           percentile_disc(0.5) WITHIN GROUP (ORDER BY e.progress_pct) AS progress_median,
           percentile_disc(0.9) WITHIN GROUP (ORDER BY e.progress_pct) AS progress_high,
           count(p.pace) AS paced,
           count(*) FILTER (WHERE p.pace IN ('ahead', 'on_track')) AS in_pace,
           count(*) FILTER (WHERE p.pace = 'stalled') AS stalled,
           round(avg(p.days_behind), 1) AS days_behind, count(r.band) AS scored,
           count(*) FILTER (WHERE r.band <> 'low') AS at_risk,
           count(*) FILTER (WHERE r.band = 'high') AS high_risk
    FROM courses.enrollment AS e
    LEFT JOIN courses.course_progress AS p
        ON p.business_id = e.business_id AND p.enrollment_id = e.enrollment_id
    LEFT JOIN LATERAL (
        SELECT x.band
        FROM courses.retention_score AS x
        JOIN courses.retention_model AS m
            ON m.business_id = x.business_id AND m.retention_model_id = x.retention_model_id
           AND m.status = 'active'
        WHERE x.business_id = e.business_id AND x.enrollment_id = e.enrollment_id
        ORDER BY x.scored_on DESC
        LIMIT 1
    ) AS r ON true
    WHERE e.business_id = s.business_id AND e.course_section_id = s.course_section_id
      AND e.status IN ('active', 'paused')
) AS n ON n.learners > 0
LEFT JOIN LATERAL (
    SELECT round(100.0 * count(*) FILTER (WHERE t.status IN ('present', 'late', 'left_early'))
                 / nullif(count(*) FILTER (WHERE t.status <> 'excused'), 0), 2)
               AS attendance_pct
    FROM courses.class_meeting AS k
    JOIN courses.meeting_attendance AS t
        ON t.business_id = k.business_id AND t.class_meeting_id = k.class_meeting_id
    WHERE k.business_id = s.business_id AND k.course_section_id = s.course_section_id
      AND k.status = 'ended'
) AS a ON true;
COMMENT ON VIEW courses.v_section_health IS
    'Per section that somebody is taking: the spread of their progress, who keeps pace, the share
     that the active model holds to be at risk, and attendance of what they were not excused from.';
GRANT SELECT ON courses.v_section_health TO app_user, app_readonly;


CREATE MATERIALIZED VIEW courses.mv_engagement_weekly AS
WITH weekly AS (
    SELECT d.business_id, e.course_section_id, d.enrollment_id,
           date_trunc('week', d.activity_date)::date AS week, sum(d.engagement_score) AS score
    FROM courses.engagement_day AS d
    JOIN courses.enrollment AS e
        ON e.business_id = d.business_id AND e.enrollment_id = d.enrollment_id
    WHERE e.course_section_id IS NOT NULL
    GROUP BY d.business_id, e.course_section_id, d.enrollment_id, week
), followed AS (
    SELECT w.*, coalesce(lead(w.week) OVER (PARTITION BY w.business_id, w.enrollment_id
                                            ORDER BY w.week) = w.week + 7, false) AS came_back,
           max(w.week) OVER (PARTITION BY w.business_id) AS last_week
    FROM weekly AS w
)
SELECT f.business_id, f.course_section_id, f.week, count(*) AS active_learners,
       round(avg(f.score), 4) AS average_score,
       (percentile_cont(ARRAY[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
            WITHIN GROUP (ORDER BY f.score::float8))::numeric(9, 4)[] AS deciles,
       round(100.0 * count(*) FILTER (WHERE f.came_back)
             / nullif(count(*) FILTER (WHERE f.week < f.last_week), 0), 4) AS return_pct
FROM followed AS f
GROUP BY f.business_id, f.course_section_id, f.week
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW courses.mv_engagement_weekly IS
    'Per section and week: active learners, the deciles of their engagement, and the share of them
     that was active in the week after; NULL for the last week of the tenant, which none followed.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_engagement_weekly_idx
    ON courses.mv_engagement_weekly (business_id, course_section_id, week);

GRANT SELECT ON courses.engagement_day, courses.enrollment TO matview_owner;

CREATE VIEW courses.v_engagement_weekly WITH (security_barrier = true) AS
SELECT m.business_id, m.course_section_id, m.week, m.active_learners, m.average_score, m.deciles,
       m.return_pct
FROM courses.mv_engagement_weekly AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW courses.v_engagement_weekly IS 'The tenant''s own part of mv_engagement_weekly.';
GRANT SELECT ON courses.v_engagement_weekly TO app_user, app_readonly;
