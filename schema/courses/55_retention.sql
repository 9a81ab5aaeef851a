/*
 * TODO: what the area is and how its tables relate.
 *
 * Advisors and success teams: engagement, risk, alerts, interventions, nudges and surveys.
 */

CREATE TABLE courses.advisor_assignment (
    business_id             uuid                 NOT NULL,
    advisor_assignment_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    advisor_user_account_id uuid                 NOT NULL,
    learner_id              uuid                 NOT NULL,
    program_id              uuid,
    assigned_from           date,
    assigned_until          date,
    assignment_kind         text                 NOT NULL,
    caseload_weight         system_core.quantity,
    reason                  text                 NOT NULL,
    last_contact_at         timestamptz,
    next_contact_due_on     date,
    is_primary              boolean              NOT NULL DEFAULT false,
    created_at              timestamptz          NOT NULL DEFAULT now(),
    updated_at              timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, advisor_assignment_id),
    FOREIGN KEY (business_id, advisor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, program_id) REFERENCES courses.program (business_id, program_id),
    CONSTRAINT advisor_assignment_assignment_kind_known
        CHECK (assignment_kind IN ('academic', 'success_coach', 'career', 'financial')),
    CONSTRAINT advisor_assignment_reason_known
        CHECK (reason IN ('new_learner', 'reassignment', 'specialism', 'leave_cover')),
    CONSTRAINT advisor_assignment_assigned_until_after_assigned_from
        CHECK (assigned_until > assigned_from),
    CONSTRAINT advisor_assignment_caseload_weight_bounded
        CHECK (caseload_weight BETWEEN 0.1 AND 5)
);

COMMENT ON TABLE courses.advisor_assignment IS 'Advisor responsible for a learner.';
-- RULE one primary advisor per learner and kind at a time (exclusion constraint)

-- FK: the advisor assignments of a user account.
CREATE INDEX advisor_assignment_advisor_user_account_idx
    ON courses.advisor_assignment (business_id, advisor_user_account_id);

-- FK: the advisor assignments of a learner.
CREATE INDEX advisor_assignment_learner_idx
    ON courses.advisor_assignment (business_id, learner_id);

-- FK: the advisor assignments of a program.
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
    business_id       uuid              NOT NULL,
    engagement_day_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    enrollment_id     uuid              NOT NULL,
    activity_date     date              NOT NULL,
    login_count       integer,
    active_minutes    integer,
    content_views     integer,
    video_minutes     integer,
    submissions       integer,
    posts             integer,
    messages_sent     integer,
    meeting_minutes   integer,
    engagement_score  system_core.score,
    decile            integer,
    is_at_risk_day    boolean           NOT NULL DEFAULT false,
    created_at        timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, engagement_day_id, activity_date),
    UNIQUE (business_id, enrollment_id, activity_date),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT engagement_day_engagement_score_bounded CHECK (engagement_score BETWEEN 0 AND 100),
    CONSTRAINT engagement_day_decile_bounded CHECK (decile BETWEEN 1 AND 10)
) PARTITION BY RANGE (activity_date);

COMMENT ON TABLE courses.engagement_day IS
    'Engagement of a learner in a section on a day, in components; append only.';

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


CREATE TABLE courses.retention_model (
    business_id           uuid                    NOT NULL,
    retention_model_id    uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid,
    code                  system_core.code        NOT NULL,
    version_no            integer,
    model_kind            text                    NOT NULL,
    features              system_core.json_object,
    weights               system_core.json_object,
    threshold_high        system_core.quantity,
    threshold_medium      system_core.quantity,
    trained_on            date,
    auc                   system_core.quantity,
    fairness_gap          system_core.quantity,
    status                text                    NOT NULL DEFAULT 'draft',
    horizon_days          integer,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, retention_model_id),
    UNIQUE (business_id, code, version_no),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT retention_model_model_kind_known
        CHECK (model_kind IN ('rules', 'logistic', 'gradient_boosting', 'survival')),
    CONSTRAINT retention_model_status_known
        CHECK (status IN ('draft', 'shadow', 'active', 'retired')),
    CONSTRAINT retention_model_threshold_high_at_least_threshold_medium
        CHECK (threshold_high > threshold_medium),
    CONSTRAINT retention_model_auc_bounded CHECK (auc BETWEEN 0.5 AND 1)
);

COMMENT ON TABLE courses.retention_model IS 'Model or rule set that predicts dropping out.';
-- RULE one active model (partial unique)

-- FK: the retention models of a user account.
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


CREATE TABLE courses.early_alert (
    business_id     uuid        NOT NULL,
    early_alert_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    raised_by       uuid,
    assigned_to     uuid,
    enrollment_id   uuid        NOT NULL,
    alert_kind      text        NOT NULL,
    severity        text        NOT NULL,
    raised_at       timestamptz,
    detail          text,
    status          text        NOT NULL DEFAULT 'open',
    acknowledged_at timestamptz,
    resolved_at     timestamptz,
    resolution      text        NOT NULL,
    dedupe_key      text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, early_alert_id),
    FOREIGN KEY (business_id, raised_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, assigned_to)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT early_alert_alert_kind_known
        CHECK (alert_kind IN ('inactive', 'failing', 'missed_deadline', 'attendance', 'sentiment',
               'financial', 'teacher_concern', 'score_drop')),
    CONSTRAINT early_alert_severity_known CHECK (severity IN ('low', 'medium', 'high')),
    CONSTRAINT early_alert_status_known
        CHECK (status IN ('open', 'acknowledged', 'in_intervention', 'resolved', 'dismissed')),
    CONSTRAINT early_alert_resolution_known
        CHECK (resolution IN ('re_engaged', 'withdrew', 'false_alarm', 'supported')),
    CONSTRAINT early_alert_acknowledged_at_not_before_raised_at
        CHECK (acknowledged_at >= raised_at)
);

COMMENT ON TABLE courses.early_alert IS
    'Signal that a learner needs help, from model, rule or teacher.';
-- RULE one open alert per enrollment and kind (partial unique)
-- RULE resolution is not null when resolved

-- FK: the early alerts of a user account.
CREATE INDEX early_alert_raised_by_idx
    ON courses.early_alert (business_id, raised_by)
    WHERE raised_by IS NOT NULL;

-- FK: the early alerts of a user account.
CREATE INDEX early_alert_assigned_to_idx
    ON courses.early_alert (business_id, assigned_to)
    WHERE assigned_to IS NOT NULL;

-- FK: the early alerts of a enrollment.
CREATE INDEX early_alert_enrollment_idx
    ON courses.early_alert (business_id, enrollment_id);

ALTER TABLE courses.early_alert ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.early_alert
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.early_alert TO app_user;
GRANT SELECT ON courses.early_alert TO app_readonly;

CREATE TRIGGER early_alert_touch
    BEFORE UPDATE ON courses.early_alert
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.nudge_campaign (
    business_id              uuid                    NOT NULL,
    nudge_campaign_id        uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    notification_template_id uuid,
    name                     text                    NOT NULL,
    trigger_kind             text                    NOT NULL,
    trigger_value            system_core.quantity,
    segment                  system_core.json_object,
    holdout_pct              system_core.percentage,
    max_per_learner_week     integer,
    quiet_hours              system_core.json_object,
    starts_on                date                    NOT NULL,
    ends_on                  date                    NOT NULL,
    status                   text                    NOT NULL DEFAULT 'draft',
    goal_metric              text                    NOT NULL,
    created_at               timestamptz             NOT NULL DEFAULT now(),
    updated_at               timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, nudge_campaign_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, notification_template_id)
        REFERENCES system_core.notification_template (business_id, notification_template_id),
    CONSTRAINT nudge_campaign_trigger_kind_known
        CHECK (trigger_kind IN ('inactive_days', 'near_completion', 'streak_at_risk',
               'deadline_near', 'new_content', 'low_score')),
    CONSTRAINT nudge_campaign_status_known
        CHECK (status IN ('draft', 'running', 'paused', 'ended')),
    CONSTRAINT nudge_campaign_goal_metric_known
        CHECK (goal_metric IN ('return_visit', 'lesson_completed', 'submission', 'completion')),
    CONSTRAINT nudge_campaign_holdout_pct_bounded CHECK (holdout_pct BETWEEN 0 AND 50),
    CONSTRAINT nudge_campaign_max_per_learner_week_bounded
        CHECK (max_per_learner_week BETWEEN 1 AND 7),
    CONSTRAINT nudge_campaign_ends_on_after_starts_on CHECK (ends_on > starts_on)
);

COMMENT ON TABLE courses.nudge_campaign IS
    'Automatic encouragement to a segment, with experiment arm.';

-- FK: the nudge campaigns of a notification template.
CREATE INDEX nudge_campaign_notification_template_idx
    ON courses.nudge_campaign (business_id, notification_template_id)
    WHERE notification_template_id IS NOT NULL;

ALTER TABLE courses.nudge_campaign ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.nudge_campaign
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.nudge_campaign TO app_user;
GRANT SELECT ON courses.nudge_campaign TO app_readonly;

CREATE TRIGGER nudge_campaign_touch
    BEFORE UPDATE ON courses.nudge_campaign
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.survey (
    business_id        uuid        NOT NULL,
    survey_id          uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    course_id          uuid,
    course_section_id  uuid,
    title              text        NOT NULL,
    survey_kind        text        NOT NULL,
    is_anonymous       boolean     NOT NULL DEFAULT false,
    opens_at           timestamptz,
    closes_at          timestamptz,
    trigger_kind       text        NOT NULL,
    invited_count      integer,
    response_count     integer,
    minimum_group_size integer,
    status             text        NOT NULL DEFAULT 'draft',
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, survey_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    CONSTRAINT survey_survey_kind_known
        CHECK (survey_kind IN ('course_evaluation', 'nps', 'pulse', 'exit', 'needs',
               'satisfaction')),
    CONSTRAINT survey_trigger_kind_known
        CHECK (trigger_kind IN ('manual', 'completion', 'milestone', 'withdrawal', 'weekly')),
    CONSTRAINT survey_status_known CHECK (status IN ('draft', 'open', 'closed', 'archived')),
    CONSTRAINT survey_closes_at_after_opens_at CHECK (closes_at > opens_at),
    CONSTRAINT survey_response_count_invited_count CHECK (response_count <= invited_count)
);

COMMENT ON TABLE courses.survey IS 'Course evaluation, NPS, pulse or exit survey.';
-- RULE anonymous results are shown from minimum_group_size on, at least 5

-- FK: the surveys of a course.
CREATE INDEX survey_course_idx
    ON courses.survey (business_id, course_id)
    WHERE course_id IS NOT NULL;

-- FK: the surveys of a course section.
CREATE INDEX survey_course_section_idx
    ON courses.survey (business_id, course_section_id)
    WHERE course_section_id IS NOT NULL;

ALTER TABLE courses.survey ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.survey
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.survey TO app_user;
GRANT SELECT ON courses.survey TO app_readonly;

CREATE TRIGGER survey_touch
    BEFORE UPDATE ON courses.survey
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.retention_score (
    business_id              uuid                    NOT NULL,
    retention_score_id       uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    enrollment_id            uuid                    NOT NULL,
    retention_model_id       uuid                    NOT NULL,
    scored_on                date                    NOT NULL,
    dropout_probability      system_core.probability,
    band                     text                    NOT NULL,
    previous_probability     system_core.probability,
    drivers                  text,
    days_inactive            integer,
    missed_deadlines         integer,
    grade_trend              text,
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
    CONSTRAINT retention_score_dropout_probability_bounded
        CHECK (dropout_probability BETWEEN 0 AND 1)
) PARTITION BY RANGE (scored_on);

COMMENT ON TABLE courses.retention_score IS
    'Weekly risk of an enrollment with its drivers; append only.';
-- RULE band follows the model thresholds

-- FK: the retention scores of a retention model.
CREATE INDEX retention_score_retention_model_idx
    ON courses.retention_score (business_id, retention_model_id);

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


CREATE TABLE courses.intervention (
    business_id       uuid                 NOT NULL,
    intervention_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    performed_by      uuid                 NOT NULL,
    enrollment_id     uuid                 NOT NULL,
    early_alert_id    uuid,
    method            text                 NOT NULL,
    performed_at      timestamptz,
    duration_minutes  integer,
    outcome           text                 NOT NULL,
    follow_up_on      date,
    plan              text,
    engagement_before system_core.quantity,
    engagement_after  system_core.quantity,
    effect_size       system_core.quantity,
    is_successful     boolean              NOT NULL DEFAULT false,
    created_at        timestamptz          NOT NULL DEFAULT now(),
    updated_at        timestamptz          NOT NULL DEFAULT now(),
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
    CONSTRAINT intervention_follow_up_on_performed_at_date
        CHECK (follow_up_on >= performed_at::date)
);

COMMENT ON TABLE courses.intervention IS 'Action taken for a learner and whether it worked.';
-- RULE engagement values between 0 and 100
-- RULE is_successful is judged 14 days later (function)

-- FK: the interventions of a user account.
CREATE INDEX intervention_performed_by_idx
    ON courses.intervention (business_id, performed_by);

-- FK: the interventions of a enrollment.
CREATE INDEX intervention_enrollment_idx
    ON courses.intervention (business_id, enrollment_id);

-- FK: the interventions of a early alert.
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


CREATE TABLE courses.nudge_delivery (
    business_id       uuid        NOT NULL,
    nudge_delivery_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    nudge_campaign_id uuid        NOT NULL,
    learner_id        uuid        NOT NULL,
    enrollment_id     uuid,
    sent_at           timestamptz NOT NULL,
    arm               text        NOT NULL,
    variant           text,
    channel           text        NOT NULL,
    opened_at         timestamptz,
    clicked_at        timestamptz,
    converted_at      timestamptz,
    unsubscribed      boolean     NOT NULL DEFAULT false,
    suppressed_reason text        NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, nudge_delivery_id, sent_at),
    FOREIGN KEY (business_id, nudge_campaign_id)
        REFERENCES courses.nudge_campaign (business_id, nudge_campaign_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT nudge_delivery_arm_known CHECK (arm IN ('treatment', 'holdout')),
    CONSTRAINT nudge_delivery_channel_known
        CHECK (channel IN ('email', 'push', 'sms', 'in_app', 'none')),
    CONSTRAINT nudge_delivery_suppressed_reason_known
        CHECK (suppressed_reason IN ('none', 'frequency', 'quiet_hours', 'opted_out',
               'recent_activity')),
    CONSTRAINT nudge_delivery_opened_at_sent_at_and_clicked_at_opened
        CHECK (opened_at >= sent_at AND clicked_at >= opened_at)
) PARTITION BY RANGE (sent_at);

COMMENT ON TABLE courses.nudge_delivery IS 'Nudge sent or withheld, and its effect; append only.';
-- RULE holdout rows have channel none
-- RULE converted_at within 7 days counts

-- FK: the nudge deliverys of a nudge campaign.
CREATE INDEX nudge_delivery_nudge_campaign_idx
    ON courses.nudge_delivery (business_id, nudge_campaign_id);

-- FK: the nudge deliverys of a learner.
CREATE INDEX nudge_delivery_learner_idx
    ON courses.nudge_delivery (business_id, learner_id);

-- FK: the nudge deliverys of a enrollment.
CREATE INDEX nudge_delivery_enrollment_idx
    ON courses.nudge_delivery (business_id, enrollment_id)
    WHERE enrollment_id IS NOT NULL;

ALTER TABLE courses.nudge_delivery ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.nudge_delivery
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON courses.nudge_delivery TO app_user;
GRANT SELECT ON courses.nudge_delivery TO app_readonly;

CREATE TRIGGER nudge_delivery_append_only
    BEFORE UPDATE OR DELETE ON courses.nudge_delivery
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('courses.nudge_delivery');

CREATE TABLE courses.nudge_delivery_default PARTITION OF courses.nudge_delivery DEFAULT;
ALTER TABLE courses.nudge_delivery_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.nudge_delivery_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('courses.nudge_delivery', 'month', behind => 13, ahead => 3);


CREATE TABLE courses.survey_question (
    business_id        uuid                    NOT NULL,
    survey_question_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    survey_id          uuid                    NOT NULL,
    sort_order         integer,
    question_kind      text                    NOT NULL,
    prompt             text,
    options            system_core.json_object,
    is_required        boolean                 NOT NULL DEFAULT false,
    scale_min          integer,
    scale_max          integer,
    show_if            system_core.json_object,
    construct          text,
    created_at         timestamptz             NOT NULL DEFAULT now(),
    updated_at         timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, survey_question_id),
    UNIQUE (business_id, survey_id, sort_order),
    FOREIGN KEY (business_id, survey_id) REFERENCES courses.survey (business_id, survey_id),
    CONSTRAINT survey_question_question_kind_known
        CHECK (question_kind IN ('likert', 'nps', 'single_choice', 'multiple_choice', 'text',
               'matrix', 'slider')),
    CONSTRAINT survey_question_scale_max_at_least_scale_min CHECK (scale_max > scale_min)
);

COMMENT ON TABLE courses.survey_question IS 'Question of a survey.';
-- RULE options is not null for choice kinds

ALTER TABLE courses.survey_question ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.survey_question
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.survey_question TO app_user;
GRANT SELECT ON courses.survey_question TO app_readonly;

CREATE TRIGGER survey_question_touch
    BEFORE UPDATE ON courses.survey_question
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.survey_response (
    business_id        uuid              NOT NULL,
    survey_response_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    survey_id          uuid              NOT NULL,
    learner_id         uuid,
    enrollment_id      uuid,
    submitted_at       timestamptz,
    started_at         timestamptz,
    answers            text,
    nps_score          system_core.score,
    sentiment_score    system_core.score,
    language_code      system_core.code,
    device_kind        text              NOT NULL,
    is_complete        boolean           NOT NULL DEFAULT false,
    respondent_hash    bytea,
    completion_seconds integer,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, survey_response_id),
    UNIQUE (business_id, survey_id, respondent_hash),
    FOREIGN KEY (business_id, survey_id) REFERENCES courses.survey (business_id, survey_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT survey_response_device_kind_known
        CHECK (device_kind IN ('desktop', 'phone', 'tablet')),
    CONSTRAINT survey_response_nps_score_bounded CHECK (nps_score BETWEEN 0 AND 10),
    CONSTRAINT survey_response_sentiment_score_bounded CHECK (sentiment_score BETWEEN -1 AND 1)
);

COMMENT ON TABLE courses.survey_response IS
    'Filled survey with answers as JSON, read with JSON_TABLE.';
-- RULE learner_id is null when the survey is anonymous (trigger)

-- FK: the survey responses of a learner.
CREATE INDEX survey_response_learner_idx
    ON courses.survey_response (business_id, learner_id)
    WHERE learner_id IS NOT NULL;

-- FK: the survey responses of a enrollment.
CREATE INDEX survey_response_enrollment_idx
    ON courses.survey_response (business_id, enrollment_id)
    WHERE enrollment_id IS NOT NULL;

ALTER TABLE courses.survey_response ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.survey_response
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.survey_response TO app_user;
GRANT SELECT ON courses.survey_response TO app_readonly;

CREATE TRIGGER survey_response_touch
    BEFORE UPDATE ON courses.survey_response
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
