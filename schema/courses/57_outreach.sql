/*
 * Outreach: nudges, sent to those who want them, and measured.
 *
 * A nudge_campaign says when whom to encourage, and keeps a part of them without (the holdout), so
 * that its effect can be told from what would have happened anyway. A nudge_delivery is a nudge
 * that was sent or withheld, with the reason: who opted out, has had enough for the week, sleeps,
 * or was here a moment ago is not disturbed (courses.send_nudge). What came of it is noted on it
 * (courses.note_nudge), and courses.nudge_effect compares those who got it with those who did not.
 */

CREATE TABLE courses.nudge_campaign (
    business_id              uuid                    NOT NULL,
    nudge_campaign_id        uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    notification_template_id uuid,
    name                     text                    NOT NULL,
    trigger_kind             text                    NOT NULL,
    trigger_value            system_core.quantity    NOT NULL DEFAULT 7,
    segment                  system_core.json_object NOT NULL DEFAULT '{}',
    holdout_pct              system_core.percentage  NOT NULL DEFAULT 10,
    max_per_learner_week     integer                 NOT NULL DEFAULT 2,
    quiet_hours              system_core.json_object NOT NULL DEFAULT '{"from": 21, "until": 8}',
    starts_on                date                    NOT NULL,
    ends_on                  date                    NOT NULL,
    status                   text                    NOT NULL DEFAULT 'draft',
    goal_metric              text                    NOT NULL DEFAULT 'return_visit',
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
    CONSTRAINT nudge_campaign_holdout_bounded CHECK (holdout_pct BETWEEN 0 AND 50),
    CONSTRAINT nudge_campaign_weekly_limit_bounded CHECK (max_per_learner_week BETWEEN 1 AND 7),
    CONSTRAINT nudge_campaign_ends_after_start CHECK (ends_on > starts_on),
    CONSTRAINT nudge_campaign_trigger_positive CHECK (trigger_value > 0),
    CONSTRAINT nudge_campaign_quiet_hours_are_hours
        CHECK (coalesce(quiet_hours @@ '$.from >= 0 && $.from <= 24
                                        && $.until >= 0 && $.until <= 24', false))
);

COMMENT ON TABLE courses.nudge_campaign IS
    'Automatic encouragement to a segment, with experiment arm.';
COMMENT ON COLUMN courses.nudge_campaign.quiet_hours IS
    'Hours of the learner''s own day in which nothing is sent: {"from": 21, "until": 8}.';

-- FK: the campaigns that use a template.
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

CREATE TRIGGER nudge_campaign_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.nudge_campaign
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":   ["running", "ended"],
            "running": ["paused", "ended"],
            "paused":  ["running", "ended"],
            "ended":   []
        }}');


CREATE TABLE courses.nudge_delivery (
    business_id       uuid        NOT NULL,
    nudge_delivery_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    nudge_campaign_id uuid        NOT NULL,
    learner_id        uuid        NOT NULL,
    enrollment_id     uuid,
    sent_at           timestamptz NOT NULL DEFAULT now(),
    arm               text        NOT NULL,
    variant           text        NOT NULL DEFAULT 'a',
    channel           text        NOT NULL,
    opened_at         timestamptz,
    clicked_at        timestamptz,
    converted_at      timestamptz,
    unsubscribed      boolean     NOT NULL DEFAULT false,
    suppressed_reason text        NOT NULL DEFAULT 'none',
    created_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, nudge_delivery_id, sent_at),
    FOREIGN KEY (business_id, nudge_campaign_id)
        REFERENCES courses.nudge_campaign (business_id, nudge_campaign_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT nudge_delivery_arm_known CHECK (arm IN ('treatment', 'holdout')),
    CONSTRAINT nudge_delivery_channel_known
        CHECK (channel IN ('none', 'email', 'push', 'sms', 'in_app')),
    CONSTRAINT nudge_delivery_suppressed_reason_known
        CHECK (suppressed_reason IN ('none', 'frequency', 'quiet_hours', 'opted_out',
                                     'recent_activity')),
    CONSTRAINT nudge_delivery_withheld_has_no_channel
        CHECK ((channel = 'none') = (arm = 'holdout' OR suppressed_reason <> 'none')),
    CONSTRAINT nudge_delivery_opened_was_sent
        CHECK (channel <> 'none' OR (opened_at IS NULL AND NOT unsubscribed)),
    CONSTRAINT nudge_delivery_opened_then_clicked
        CHECK (opened_at >= sent_at AND clicked_at >= opened_at),
    CONSTRAINT nudge_delivery_clicked_was_opened
        CHECK (clicked_at IS NULL OR opened_at IS NOT NULL),
    CONSTRAINT nudge_delivery_converted_within_7_days
        CHECK (converted_at >= sent_at AND converted_at <= sent_at + interval '7 days')
) PARTITION BY RANGE (sent_at);

COMMENT ON TABLE courses.nudge_delivery IS
    'Nudge sent or withheld, and its effect; append only, but for what came of it.';
COMMENT ON COLUMN courses.nudge_delivery.converted_at IS
    'When the learner did what the campaign aims at; of the holdout too, which tells its effect.';

-- FK: how a campaign goes.
CREATE INDEX nudge_delivery_nudge_campaign_idx
    ON courses.nudge_delivery (business_id, nudge_campaign_id, sent_at);

-- FK: what a learner got, for the limit of the week.
CREATE INDEX nudge_delivery_learner_idx
    ON courses.nudge_delivery (business_id, learner_id, sent_at);

-- FK: the nudges about an enrollment.
CREATE INDEX nudge_delivery_enrollment_idx
    ON courses.nudge_delivery (business_id, enrollment_id)
    WHERE enrollment_id IS NOT NULL;

ALTER TABLE courses.nudge_delivery ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.nudge_delivery
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE (opened_at, clicked_at, converted_at, unsubscribed)
    ON courses.nudge_delivery TO app_user;
GRANT SELECT ON courses.nudge_delivery TO app_readonly;

CREATE TRIGGER nudge_delivery_append_only
    BEFORE DELETE ON courses.nudge_delivery
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('courses.nudge_delivery');

-- What came of it is noted, once and for all, and nothing else of it may change.
CREATE TRIGGER nudge_delivery_only_noted
    BEFORE UPDATE ON courses.nudge_delivery
    FOR EACH ROW
    WHEN ((OLD.opened_at IS NOT NULL AND NEW.opened_at IS DISTINCT FROM OLD.opened_at)
          OR (OLD.clicked_at IS NOT NULL AND NEW.clicked_at IS DISTINCT FROM OLD.clicked_at)
          OR (OLD.converted_at IS NOT NULL AND NEW.converted_at IS DISTINCT FROM OLD.converted_at)
          OR (OLD.unsubscribed AND NOT NEW.unsubscribed)
          OR to_jsonb(OLD) - '{opened_at,clicked_at,converted_at,unsubscribed}'::text[]
             <> to_jsonb(NEW) - '{opened_at,clicked_at,converted_at,unsubscribed}'::text[])
    EXECUTE FUNCTION system_core.refuse_change('courses.nudge_delivery');

CREATE TABLE courses.nudge_delivery_default PARTITION OF courses.nudge_delivery DEFAULT;
ALTER TABLE courses.nudge_delivery_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.nudge_delivery_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('courses.nudge_delivery', 'month', behind => 13, ahead => 3);

CREATE FUNCTION courses.nudge_obstacle(
    campaign uuid,
    learner  uuid,
    channel  text,
    moment   timestamptz DEFAULT now()
) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE
        WHEN l.user_account_id IS NULL
             OR EXISTS (
                 SELECT
                 FROM courses.nudge_delivery AS d
                 WHERE d.business_id = l.business_id AND d.learner_id = l.learner_id
                   AND d.unsubscribed AND d.sent_at <= moment)
             OR NOT coalesce((
                 -- What they said last counts.
                 SELECT n.is_granted AND (n.withdrawn_at > moment OR n.withdrawn_at IS NULL)
                 FROM user_mgmt.user_consent AS n
                 WHERE n.business_id = l.business_id AND n.user_account_id = l.user_account_id
                   AND n.consent_kind = 'marketing' AND n.given_at <= moment
                 ORDER BY n.given_at DESC
                 LIMIT 1), true)
             OR EXISTS (
                 SELECT
                 FROM system_core.notification_template AS t
                 JOIN system_core.notification_preference AS p
                     ON p.business_id = t.business_id
                    AND p.notification_category_id = t.notification_category_id
                    AND p.user_account_id = l.user_account_id
                    AND p.channel = nudge_obstacle.channel AND NOT p.is_opted_in
                 WHERE t.business_id = c.business_id
                   AND t.notification_template_id = c.notification_template_id)
            THEN 'opted_out'
        WHEN c.max_per_learner_week <= (
                 SELECT count(*)
                 FROM courses.nudge_delivery AS d
                 WHERE d.business_id = l.business_id AND d.learner_id = l.learner_id
                   AND d.channel <> 'none' AND d.sent_at > moment - interval '7 days')
            THEN 'frequency'
        WHEN CASE WHEN (c.quiet_hours ->> 'from')::numeric <= (c.quiet_hours ->> 'until')::numeric
                  THEN h.hour >= (c.quiet_hours ->> 'from')::numeric
                       AND h.hour < (c.quiet_hours ->> 'until')::numeric
                  ELSE h.hour >= (c.quiet_hours ->> 'from')::numeric
                       OR h.hour < (c.quiet_hours ->> 'until')::numeric END
            THEN 'quiet_hours'
        WHEN EXISTS (
                 SELECT
                 FROM courses.learning_session AS s
                 WHERE s.business_id = l.business_id AND s.learner_id = l.learner_id
                   AND s.ended_at > moment - interval '12 hours' AND s.started_at <= moment)
            THEN 'recent_activity'
        ELSE 'none' END
    FROM courses.nudge_campaign AS c
    JOIN courses.learner AS l
        ON l.business_id = c.business_id AND l.learner_id = nudge_obstacle.learner
    CROSS JOIN LATERAL (
        SELECT extract(hour FROM moment AT TIME ZONE l.time_zone) AS hour
    ) AS h
    WHERE c.business_id = tenant_mgmt.current_business_id() AND c.nudge_campaign_id = campaign;
END;
COMMENT ON FUNCTION courses.nudge_obstacle(uuid, uuid, text, timestamptz) IS
    'Why a learner is not to be nudged now, or none: no consent first, then the limit of the week,
     the quiet hours where they live, and whether they were here within 12 hours.';

CREATE FUNCTION courses.nudge_arm(campaign uuid, learner uuid, holdout_pct numeric) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN abs(hashtextextended(concat(campaign, learner), 0) % 100) < holdout_pct
                THEN 'holdout' ELSE 'treatment' END;
COMMENT ON FUNCTION courses.nudge_arm(uuid, uuid, numeric) IS
    'In which arm of a campaign a learner is: it follows from who they are.';

CREATE FUNCTION courses.send_nudge(
    campaign   uuid,
    learner    uuid,
    enrollment uuid DEFAULT NULL,
    channel    text DEFAULT 'email',
    moment     timestamptz DEFAULT now()
) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    plan   record;
    given  text;
    why    text;
BEGIN
    SELECT c.status, c.holdout_pct, c.starts_on, c.ends_on INTO plan
    FROM courses.nudge_campaign AS c
    WHERE c.business_id = tenant AND c.nudge_campaign_id = campaign;
    IF plan.status IS DISTINCT FROM 'running'
       OR NOT (moment AT TIME ZONE 'UTC')::date BETWEEN plan.starts_on AND plan.ends_on THEN
        RAISE EXCEPTION 'this campaign is not running' USING ERRCODE = 'check_violation';
    END IF;
    -- The nudges of a learner come one by one, so that the limit of the week holds.
    PERFORM
    FROM courses.learner AS l
    WHERE l.business_id = tenant AND l.learner_id = send_nudge.learner
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such learner' USING ERRCODE = 'foreign_key_violation';
    END IF;
    given := courses.nudge_arm(campaign, learner, plan.holdout_pct);
    why := courses.nudge_obstacle(campaign, learner, channel, moment);
    INSERT INTO courses.nudge_delivery
        (business_id, nudge_campaign_id, learner_id, enrollment_id, sent_at, arm, channel,
         suppressed_reason, created_at)
    VALUES (tenant, campaign, learner, enrollment, moment, given,
            CASE WHEN given = 'holdout' OR why <> 'none' THEN 'none' ELSE send_nudge.channel END,
            why, now());
    RETURN CASE WHEN why <> 'none' THEN why ELSE given END;
END
$$;
COMMENT ON FUNCTION courses.send_nudge(uuid, uuid, uuid, text, timestamptz) IS
    'Nudges a learner, or notes why not. In which arm of a campaign somebody is follows from who
     they are and never changes. Returns the obstacle, or the arm.';

CREATE FUNCTION courses.note_nudge(
    delivery uuid,
    what     text,
    moment   timestamptz DEFAULT now()
) RETURNS boolean
    LANGUAGE plpgsql AS $$
BEGIN
    IF what IS NULL OR what NOT IN ('opened', 'clicked', 'converted', 'unsubscribed') THEN
        RAISE EXCEPTION 'a nudge is not %', coalesce(what, 'without a word')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'It is opened, clicked, converted or unsubscribed.';
    END IF;
    UPDATE courses.nudge_delivery AS d
    SET opened_at = CASE WHEN what <> 'converted' THEN coalesce(d.opened_at, moment)
                         ELSE d.opened_at END,
        clicked_at = CASE WHEN what = 'clicked' THEN moment ELSE d.clicked_at END,
        converted_at = CASE WHEN what = 'converted' THEN moment ELSE d.converted_at END,
        unsubscribed = d.unsubscribed OR what = 'unsubscribed'
    WHERE d.business_id = tenant_mgmt.current_business_id() AND d.nudge_delivery_id = delivery
      AND CASE what WHEN 'opened' THEN d.opened_at IS NULL
                    WHEN 'clicked' THEN d.clicked_at IS NULL
                    WHEN 'converted'
                        THEN d.converted_at IS NULL AND moment <= d.sent_at + interval '7 days'
                    ELSE NOT d.unsubscribed END
      AND (what = 'converted' OR d.channel <> 'none');
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION courses.note_nudge(uuid, text, timestamptz) IS
    'Notes the first time that a nudge was opened or clicked (which opens it), that the learner did
     what it aims at within 7 days, or wants no more. True where that was new; what was withheld can
     only be followed by a conversion.';

CREATE FUNCTION courses.nudge_effect(campaign uuid)
    RETURNS TABLE (arm text, learners bigint, deliveries bigint, sent bigint, open_pct numeric,
                   click_pct numeric, converted bigint, conversion_pct numeric, lift_pct numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT n.arm, n.learners, n.deliveries, n.sent,
           round(100.0 * n.opened / nullif(n.sent, 0), 2),
           round(100.0 * n.clicked / nullif(n.sent, 0), 2), n.converted,
           round(100.0 * n.converted / n.learners, 2),
           round(100.0 * n.converted / n.learners
                 - max(100.0 * n.converted / n.learners) FILTER (WHERE n.arm = 'holdout') OVER (),
                 2)
    FROM (
        SELECT d.arm, count(DISTINCT d.learner_id) AS learners, count(*) AS deliveries,
               count(*) FILTER (WHERE d.channel <> 'none') AS sent, count(d.opened_at) AS opened,
               count(d.clicked_at) AS clicked,
               count(DISTINCT d.learner_id) FILTER (WHERE d.converted_at IS NOT NULL) AS converted
        FROM courses.nudge_delivery AS d
        WHERE d.business_id = tenant_mgmt.current_business_id() AND d.nudge_campaign_id = campaign
          -- Who would not have been nudged anyway tells nothing of either arm.
          AND d.suppressed_reason = 'none'
        GROUP BY d.arm
    ) AS n
    ORDER BY n.arm DESC;
END;
COMMENT ON FUNCTION courses.nudge_effect(uuid) IS
    'Per arm of a campaign: learners, deliveries, what was opened and clicked, the share of learners
     who did what it aims at, and by how many points that is above the holdout.';
