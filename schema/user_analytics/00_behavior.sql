/*
 * Behavior: what people do, what is usual for them, and what is not.
 *
 * behavior_event is one thing that somebody did, behavior_baseline how much of it is usual, for one
 * account or for a peer_group, in each class of hours. usual_location is a place an account signs
 * in from. behavior_anomaly is a deviation that a detector found, and what became of it.
 * user_engagement_daily is the day of a user in figures.
 *
 * refresh_baselines() learns from the events; score_user() (10_risk.sql) compares with what it
 * learned.
 */

CREATE SCHEMA user_analytics;
GRANT USAGE ON SCHEMA user_analytics TO app_user, app_readonly;
COMMENT ON SCHEMA user_analytics IS
    'How people behave, and the risk in it.';


CREATE TABLE user_analytics.behavior_event (
    business_id       uuid                    NOT NULL,
    behavior_event_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id   uuid                    NOT NULL,
    session_key       uuid,
    signal            text                    NOT NULL,
    resource          text,
    magnitude         system_core.quantity    NOT NULL DEFAULT 1,
    duration_ms       system_core.milliseconds,
    ip_address        inet,
    country_code      system_core.country,
    device_hash       system_core.sha256,
    context           system_core.json_object NOT NULL DEFAULT '{}',
    occurred_at       timestamptz             NOT NULL DEFAULT clock_timestamp(),
    created_at        timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, behavior_event_id, occurred_at),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT behavior_event_signal_known
        CHECK (signal IN ('page_view', 'search', 'export', 'bulk_read', 'record_open', 'approval',
                          'money_move', 'settings_change', 'api_burst', 'off_hours_use')),
    CONSTRAINT behavior_event_magnitude_not_negative CHECK (magnitude >= 0)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE user_analytics.behavior_event IS
    'One thing that a user did and how much of it; append only, kept for 13 months, by partition.';
COMMENT ON COLUMN user_analytics.behavior_event.session_key IS
    'The session it was done in; no foreign key, for the event outlives it.';
COMMENT ON COLUMN user_analytics.behavior_event.magnitude IS
    'Rows read, rows exported, amount moved: how much, in the unit of the signal.';

-- FK: what a user did, in order; refresh_baselines().
CREATE INDEX behavior_event_account_idx
    ON user_analytics.behavior_event (business_id, user_account_id, signal, occurred_at);

-- refresh_baselines() and detectors read the last days.
CREATE INDEX behavior_event_time_idx
    ON user_analytics.behavior_event (business_id, occurred_at);

ALTER TABLE user_analytics.behavior_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_analytics.behavior_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON user_analytics.behavior_event TO app_user;
GRANT SELECT ON user_analytics.behavior_event TO app_readonly;

CREATE TABLE user_analytics.behavior_event_default
    PARTITION OF user_analytics.behavior_event DEFAULT;
ALTER TABLE user_analytics.behavior_event_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_analytics.behavior_event_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'user_analytics.behavior_event', 'month', behind => 3, ahead => 1);

CREATE TRIGGER behavior_event_append_only
    BEFORE UPDATE OR DELETE ON user_analytics.behavior_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('user_analytics.behavior_event');


CREATE TABLE user_analytics.peer_group (
    business_id      uuid                    NOT NULL,
    peer_group_id    uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    role_id          uuid,
    org_unit_id      uuid,
    name             text                    NOT NULL,
    method           text                    NOT NULL,
    member_count     integer                 NOT NULL,
    min_members      integer                 NOT NULL DEFAULT 5,
    feature_vector   system_core.json_object NOT NULL DEFAULT '{}',
    silhouette_score system_core.score,
    built_at         timestamptz             NOT NULL DEFAULT now(),
    valid_until      timestamptz,
    created_at       timestamptz             NOT NULL DEFAULT now(),
    updated_at       timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, peer_group_id),
    UNIQUE (business_id, name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, role_id) REFERENCES user_rbac.role (business_id, role_id),
    FOREIGN KEY (business_id, org_unit_id)
        REFERENCES user_mgmt.org_unit (business_id, org_unit_id),
    CONSTRAINT peer_group_method_known CHECK (method IN ('role', 'org_unit', 'cluster')),
    CONSTRAINT peer_group_of_role_names_it CHECK (method <> 'role' OR role_id IS NOT NULL),
    CONSTRAINT peer_group_of_unit_names_it CHECK (method <> 'org_unit' OR org_unit_id IS NOT NULL),
    CONSTRAINT peer_group_is_big_enough CHECK (min_members >= 5 AND member_count >= min_members),
    CONSTRAINT peer_group_silhouette_bounded CHECK (silhouette_score BETWEEN -1 AND 1),
    CONSTRAINT peer_group_valid_after_building CHECK (valid_until > built_at)
);

COMMENT ON TABLE user_analytics.peer_group IS
    'Users who should behave alike: those of a role, a unit, or both; five at least, so that no
     figure of the group is somebody''s own.';
COMMENT ON COLUMN user_analytics.peer_group.method IS
    'A cluster was found in the data; role and unit, where it has them, only narrow it.';
COMMENT ON COLUMN user_analytics.peer_group.feature_vector IS
    'Where the group lies: an object of feature to mean.';
COMMENT ON COLUMN user_analytics.peer_group.silhouette_score IS
    'How much more alike its members are than others: from -1 to 1.';

-- FK: the groups of a role.
CREATE INDEX peer_group_role_idx
    ON user_analytics.peer_group (business_id, role_id)
    WHERE role_id IS NOT NULL;

-- FK: the groups of a unit.
CREATE INDEX peer_group_org_unit_idx
    ON user_analytics.peer_group (business_id, org_unit_id)
    WHERE org_unit_id IS NOT NULL;

ALTER TABLE user_analytics.peer_group ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_analytics.peer_group
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_analytics.peer_group TO app_user;
GRANT SELECT ON user_analytics.peer_group TO app_readonly;

CREATE TRIGGER peer_group_touch
    BEFORE UPDATE ON user_analytics.peer_group
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

-- Who is in a group follows from roles and units; nobody is written down twice.
CREATE FUNCTION user_analytics.peer_group_members(moment timestamptz)
    RETURNS TABLE (business_id uuid, peer_group_id uuid, user_account_id uuid)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT g.business_id, g.peer_group_id, a.user_account_id
    FROM user_analytics.peer_group AS g
    JOIN user_mgmt.user_account AS a ON a.business_id = g.business_id AND a.status = 'active'
    WHERE g.business_id = tenant_mgmt.current_business_id()
        AND (g.valid_until > moment) IS NOT FALSE
        AND num_nonnulls(g.role_id, g.org_unit_id) > 0
        AND (g.role_id IS NULL OR EXISTS (
            SELECT FROM user_rbac.v_role_held AS r
            WHERE r.business_id = g.business_id AND r.role_id = g.role_id
                AND r.user_account_id = a.user_account_id
                AND r.valid_from <= moment AND (r.valid_until > moment) IS NOT FALSE))
        AND (g.org_unit_id IS NULL OR EXISTS (
            SELECT FROM user_mgmt.org_unit_member AS m
            WHERE m.business_id = g.business_id AND m.org_unit_id = g.org_unit_id
                AND m.user_account_id = a.user_account_id AND m.is_active
                AND m.valid_from <= moment::date AND (m.valid_until > moment::date) IS NOT FALSE));
END;
COMMENT ON FUNCTION user_analytics.peer_group_members(timestamptz) IS
    'Who of the calling tenant''s active accounts is in which peer group at a moment: those that hold
     its role and are of its unit.';

CREATE VIEW user_analytics.v_peer_group_member
    WITH (security_invoker = true) AS
SELECT m.business_id, m.peer_group_id, m.user_account_id
FROM user_analytics.peer_group_members(now()) AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW user_analytics.v_peer_group_member IS
    'Who is in which peer group now: the active accounts that hold its role and are of its unit.';
GRANT SELECT ON user_analytics.v_peer_group_member TO app_user, app_readonly;


CREATE TABLE user_analytics.behavior_baseline (
    business_id          uuid                 NOT NULL,
    behavior_baseline_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id      uuid,
    peer_group_id        uuid,
    signal               text                 NOT NULL,
    hour_class           text                 NOT NULL,
    window_days          integer              NOT NULL,
    mean_value           system_core.quantity NOT NULL,
    stddev_value         system_core.quantity NOT NULL DEFAULT 0,
    p95_value            system_core.quantity NOT NULL,
    sample_count         integer              NOT NULL,
    is_mature            boolean              NOT NULL
                                              GENERATED ALWAYS AS (sample_count >= 30) STORED,
    computed_at          timestamptz          NOT NULL DEFAULT now(),
    created_at           timestamptz          NOT NULL DEFAULT now(),
    updated_at           timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, behavior_baseline_id),
    UNIQUE NULLS NOT DISTINCT
        (business_id, user_account_id, peer_group_id, signal, hour_class),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, peer_group_id)
        REFERENCES user_analytics.peer_group (business_id, peer_group_id) ON DELETE CASCADE,
    CONSTRAINT behavior_baseline_of_user_or_group
        CHECK (num_nonnulls(user_account_id, peer_group_id) = 1),
    CONSTRAINT behavior_baseline_signal_known
        CHECK (signal IN ('page_view', 'search', 'export', 'bulk_read', 'record_open', 'approval',
                          'money_move', 'settings_change', 'api_burst', 'off_hours_use')),
    CONSTRAINT behavior_baseline_hour_class_known
        CHECK (hour_class IN ('work', 'evening', 'night', 'weekend')),
    CONSTRAINT behavior_baseline_window_positive CHECK (window_days > 0),
    CONSTRAINT behavior_baseline_values_not_negative
        CHECK (mean_value >= 0 AND stddev_value >= 0 AND p95_value >= 0),
    CONSTRAINT behavior_baseline_sample_positive CHECK (sample_count > 0)
);

COMMENT ON TABLE user_analytics.behavior_baseline IS
    'How much of a signal is usual for a user or a peer group, in one class of hours.';
COMMENT ON COLUMN user_analytics.behavior_baseline.is_mature IS
    'Learned from 30 events or more; others are not compared with.';

-- FK: what is usual in a group.
CREATE INDEX behavior_baseline_peer_group_idx
    ON user_analytics.behavior_baseline (business_id, peer_group_id)
    WHERE peer_group_id IS NOT NULL;

ALTER TABLE user_analytics.behavior_baseline ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_analytics.behavior_baseline
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_analytics.behavior_baseline TO app_user;
GRANT SELECT ON user_analytics.behavior_baseline TO app_readonly;

CREATE TRIGGER behavior_baseline_touch
    BEFORE UPDATE ON user_analytics.behavior_baseline
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE user_analytics.usual_location (
    business_id          uuid                    NOT NULL,
    usual_location_id    uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id      uuid                    NOT NULL,
    country_code         system_core.country     NOT NULL,
    region               system_core.region,
    city                 text,
    latitude             system_core.latitude    NOT NULL,
    longitude            system_core.longitude   NOT NULL,
    radius_km            system_core.quantity    NOT NULL DEFAULT 50,
    asn                  bigint,
    sign_in_count        integer                 NOT NULL DEFAULT 1,
    confidence           system_core.probability NOT NULL DEFAULT 0.5,
    is_confirmed_by_user boolean                 NOT NULL DEFAULT false,
    first_seen_at        timestamptz             NOT NULL DEFAULT now(),
    last_seen_at         timestamptz             NOT NULL DEFAULT now(),
    created_at           timestamptz             NOT NULL DEFAULT now(),
    updated_at           timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, usual_location_id),
    UNIQUE NULLS NOT DISTINCT (business_id, user_account_id, country_code, region, city),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT usual_location_radius_bounded CHECK (radius_km BETWEEN 1 AND 500),
    CONSTRAINT usual_location_sign_ins_positive CHECK (sign_in_count > 0),
    CONSTRAINT usual_location_seen_again_later CHECK (last_seen_at >= first_seen_at),
    CONSTRAINT usual_location_asn_32_bits CHECK (asn BETWEEN 0 AND 4294967295)
);

COMMENT ON TABLE user_analytics.usual_location IS
    'A place from which a user normally signs in.';
COMMENT ON COLUMN user_analytics.usual_location.radius_km IS
    'How far around the point still counts as there: addresses are placed roughly.';

ALTER TABLE user_analytics.usual_location ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_analytics.usual_location
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_analytics.usual_location TO app_user;
GRANT SELECT ON user_analytics.usual_location TO app_readonly;

CREATE TRIGGER usual_location_touch
    BEFORE UPDATE ON user_analytics.usual_location
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE user_analytics.behavior_anomaly (
    business_id                 uuid                   NOT NULL,
    behavior_anomaly_id         uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id             uuid                   NOT NULL,
    behavior_baseline_id        uuid,
    assigned_to_user_account_id uuid,
    kind                        text                   NOT NULL,
    severity                    text                   NOT NULL DEFAULT 'medium',
    status                      text                   NOT NULL DEFAULT 'open',
    observed_value              system_core.quantity,
    expected_value              system_core.quantity,
    deviation_sigma             system_core.score,
    evidence                    system_core.json_array NOT NULL DEFAULT '[]',
    detector_version            text                   NOT NULL DEFAULT 'rules-1',
    detected_at                 timestamptz            NOT NULL DEFAULT now(),
    closed_at                   timestamptz,
    created_at                  timestamptz            NOT NULL DEFAULT now(),
    updated_at                  timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, behavior_anomaly_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, behavior_baseline_id)
        REFERENCES user_analytics.behavior_baseline (business_id, behavior_baseline_id),
    FOREIGN KEY (business_id, assigned_to_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT behavior_anomaly_kind_known
        CHECK (kind IN ('impossible_travel', 'mass_export', 'unusual_hour', 'new_country',
                        'privilege_spike', 'dormant_account_use', 'push_fatigue',
                        'cloned_authenticator', 'robotic_rhythm', 'money_pattern')),
    CONSTRAINT behavior_anomaly_severity_known
        CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    CONSTRAINT behavior_anomaly_status_known
        CHECK (status IN ('open', 'investigating', 'confirmed', 'false_positive', 'closed')),
    CONSTRAINT behavior_anomaly_deviation_not_negative CHECK (deviation_sigma >= 0),
    CONSTRAINT behavior_anomaly_closed_has_time
        CHECK ((status IN ('closed', 'false_positive')) = (closed_at IS NOT NULL)),
    CONSTRAINT behavior_anomaly_closed_after_finding CHECK (closed_at >= detected_at),
    CONSTRAINT behavior_anomaly_nobody_judges_own
        CHECK (assigned_to_user_account_id <> user_account_id)
);

COMMENT ON TABLE user_analytics.behavior_anomaly IS
    'A deviation that a detector found in somebody''s behavior, until it is judged.';
COMMENT ON COLUMN user_analytics.behavior_anomaly.evidence IS
    'Array of references, {"table": "behavior_event", "id": "..."}, to what the finding rests on.';
COMMENT ON COLUMN user_analytics.behavior_anomaly.deviation_sigma IS
    'By how many standard deviations the observed lies beyond the expected; NULL for findings that
     are no matter of degree.';

-- FK: the anomalies of a user; v_high_risk_user and score_user() count the open ones.
CREATE INDEX behavior_anomaly_account_idx
    ON user_analytics.behavior_anomaly (business_id, user_account_id, detected_at DESC);

-- The analysts' work list.
CREATE INDEX behavior_anomaly_open_idx
    ON user_analytics.behavior_anomaly (business_id, severity, detected_at)
    WHERE closed_at IS NULL;

-- FK: what deviated from a baseline.
CREATE INDEX behavior_anomaly_baseline_idx
    ON user_analytics.behavior_anomaly (business_id, behavior_baseline_id)
    WHERE behavior_baseline_id IS NOT NULL;

-- FK: the work of an analyst.
CREATE INDEX behavior_anomaly_assignee_idx
    ON user_analytics.behavior_anomaly (business_id, assigned_to_user_account_id)
    WHERE assigned_to_user_account_id IS NOT NULL;

ALTER TABLE user_analytics.behavior_anomaly ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_analytics.behavior_anomaly
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_analytics.behavior_anomaly TO app_user;
GRANT SELECT ON user_analytics.behavior_anomaly TO app_readonly;

CREATE TRIGGER behavior_anomaly_touch
    BEFORE UPDATE ON user_analytics.behavior_anomaly
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER behavior_anomaly_status_machine
    BEFORE INSERT OR UPDATE OF status ON user_analytics.behavior_anomaly
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":           ["investigating", "confirmed", "false_positive"],
            "investigating":  ["confirmed", "false_positive"],
            "confirmed":      ["closed"],
            "false_positive": ["investigating"],
            "closed":         []
        }}');

CREATE FUNCTION user_analytics.require_event_references() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM JSON_TABLE(NEW.evidence::jsonb, '$[*]' COLUMNS (
            source text PATH '$.table',
            id     text PATH '$.id')) AS e
        WHERE e.source IS NULL OR NOT pg_input_is_valid(coalesce(e.id, ''), 'uuid')) THEN
        RAISE EXCEPTION 'evidence is an array of {"table", "id"}, not %', NEW.evidence
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_analytics.require_event_references() IS
    'Evidence refers to events; it does not repeat them.';

CREATE TRIGGER behavior_anomaly_evidence
    BEFORE INSERT OR UPDATE OF evidence ON user_analytics.behavior_anomaly
    FOR EACH ROW WHEN (NEW.evidence::jsonb <> '[]')
    EXECUTE FUNCTION user_analytics.require_event_references();


CREATE TABLE user_analytics.user_engagement_daily (
    business_id              uuid                   NOT NULL,
    user_engagement_daily_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id          uuid                   NOT NULL,
    activity_date            date                   NOT NULL,
    session_count            integer                NOT NULL DEFAULT 0,
    active_minutes           integer                NOT NULL DEFAULT 0,
    action_count             integer                NOT NULL DEFAULT 0,
    distinct_feature_count   integer                NOT NULL DEFAULT 0,
    mobile_share_pct         system_core.percentage NOT NULL DEFAULT 0,
    modules_used             text[]                 NOT NULL DEFAULT '{}',
    errors_met               integer                NOT NULL DEFAULT 0,
    first_action_at          timestamptz,
    last_action_at           timestamptz,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, user_engagement_daily_id, activity_date),
    UNIQUE (business_id, user_account_id, activity_date),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT user_engagement_daily_counts_not_negative
        CHECK (session_count >= 0 AND action_count >= 0 AND distinct_feature_count >= 0
               AND errors_met >= 0),
    CONSTRAINT user_engagement_daily_minutes_of_a_day CHECK (active_minutes BETWEEN 0 AND 1440),
    CONSTRAINT user_engagement_daily_features_by_actions
        CHECK (distinct_feature_count <= action_count),
    CONSTRAINT user_engagement_daily_mobile_share_bounded
        CHECK (mobile_share_pct BETWEEN 0 AND 100),
    CONSTRAINT user_engagement_daily_actions_have_times
        CHECK ((action_count > 0) = (first_action_at IS NOT NULL)
               AND (first_action_at IS NULL) = (last_action_at IS NULL)),
    CONSTRAINT user_engagement_daily_last_after_first CHECK (last_action_at >= first_action_at)
) PARTITION BY RANGE (activity_date);

COMMENT ON TABLE user_analytics.user_engagement_daily IS
    'What a user did on a day, in figures: for adoption, and to see who falls asleep.';
COMMENT ON COLUMN user_analytics.user_engagement_daily.activity_date IS
    'The day in the time zone of the user.';

-- mv_adoption_weekly and dormancy: the days of everybody.
CREATE INDEX user_engagement_daily_date_idx
    ON user_analytics.user_engagement_daily (business_id, activity_date);

ALTER TABLE user_analytics.user_engagement_daily
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_analytics.user_engagement_daily
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_analytics.user_engagement_daily TO app_user;
GRANT SELECT ON user_analytics.user_engagement_daily TO app_readonly;

CREATE TABLE user_analytics.user_engagement_daily_default
    PARTITION OF user_analytics.user_engagement_daily DEFAULT;
ALTER TABLE user_analytics.user_engagement_daily_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_analytics.user_engagement_daily_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'user_analytics.user_engagement_daily', 'month', behind => 3, ahead => 1);

CREATE TRIGGER user_engagement_daily_touch
    BEFORE UPDATE ON user_analytics.user_engagement_daily
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION user_analytics.hour_class(moment timestamptz, zone text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN extract(isodow FROM moment AT TIME ZONE zone) > 5 THEN 'weekend'
        WHEN extract(hour FROM moment AT TIME ZONE zone) BETWEEN 7 AND 17 THEN 'work'
        WHEN extract(hour FROM moment AT TIME ZONE zone) BETWEEN 18 AND 22 THEN 'evening'
        ELSE 'night'
    END;
COMMENT ON FUNCTION user_analytics.hour_class(timestamptz, text) IS
    'The class of an hour where the user is: weekend, or work (7 to 18), evening (to 23), night.';


CREATE FUNCTION user_analytics.refresh_baselines(
    window_days integer     DEFAULT 90,
    moment      timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE sql
BEGIN ATOMIC
    WITH seen AS (
        SELECT e.user_account_id, e.signal, e.magnitude,
               user_analytics.hour_class(e.occurred_at, a.time_zone) AS hour_class
        FROM user_analytics.behavior_event AS e
        JOIN user_mgmt.user_account AS a
            ON a.business_id = e.business_id AND a.user_account_id = e.user_account_id
        WHERE e.business_id = tenant_mgmt.current_business_id()
            AND e.occurred_at > moment - make_interval(days => refresh_baselines.window_days)
            AND e.occurred_at <= moment
    ), subject AS (
        SELECT s.user_account_id, NULL::uuid AS peer_group_id, s.signal, s.hour_class, s.magnitude
        FROM seen AS s
        UNION ALL
        SELECT NULL, m.peer_group_id, s.signal, s.hour_class, s.magnitude
        FROM seen AS s
        JOIN user_analytics.peer_group_members(moment) AS m
            ON m.business_id = tenant_mgmt.current_business_id()
                AND m.user_account_id = s.user_account_id
    ), learned AS (
        INSERT INTO user_analytics.behavior_baseline
            (business_id, user_account_id, peer_group_id, signal, hour_class, window_days,
             mean_value, stddev_value, p95_value, sample_count, computed_at)
        SELECT tenant_mgmt.current_business_id(), s.user_account_id, s.peer_group_id, s.signal,
               s.hour_class, refresh_baselines.window_days, avg(s.magnitude),
               coalesce(stddev_samp(s.magnitude), 0),
               percentile_cont(0.95) WITHIN GROUP (ORDER BY s.magnitude), count(*), moment
        FROM subject AS s
        GROUP BY s.user_account_id, s.peer_group_id, s.signal, s.hour_class
        ORDER BY s.user_account_id, s.peer_group_id, s.signal, s.hour_class
        ON CONFLICT (business_id, user_account_id, peer_group_id, signal, hour_class) DO UPDATE
        SET window_days = excluded.window_days, mean_value = excluded.mean_value,
            stddev_value = excluded.stddev_value, p95_value = excluded.p95_value,
            sample_count = excluded.sample_count, computed_at = excluded.computed_at
        RETURNING behavior_baseline_id
    )
    SELECT count(*)::integer FROM learned;
END;
COMMENT ON FUNCTION user_analytics.refresh_baselines(integer, timestamptz) IS
    'Learns from the calling tenant''s events of the days before a moment what is usual: mean, deviation and
     95th percentile of each signal and class of hours, per user and per peer group. What was not
     seen in the window keeps what it had. Returns how many baselines were learned.';


CREATE MATERIALIZED VIEW user_analytics.mv_adoption_weekly AS
WITH week AS (
    SELECT d.business_id, date_trunc('week', d.activity_date::timestamp)::date AS week_start,
           d.user_account_id, count(*) AS active_days, max(d.distinct_feature_count) AS features,
           sum(d.active_minutes) AS active_minutes,
           string_agg(array_to_string(d.modules_used, ','), ',') AS modules
    FROM user_analytics.user_engagement_daily AS d
    WHERE d.action_count > 0
    GROUP BY d.business_id, week_start, d.user_account_id
), holder AS (
    -- However many assignments of the week give a user the role.
    SELECT DISTINCT a.role_id, w.*
    FROM week AS w
    JOIN user_rbac.role_assignment AS a
        ON a.business_id = w.business_id AND a.user_account_id = w.user_account_id
            AND a.valid_from < w.week_start + 7
            AND (least(a.valid_until, a.revoked_at) > w.week_start) IS NOT FALSE
), adoption AS (
    SELECT h.business_id, h.role_id, h.week_start, count(*) AS active_user_count,
           round(avg(h.active_days) / 7, 6) AS stickiness,
           round(avg(h.features), 2) AS average_feature_count,
           round(avg(h.active_minutes), 2) AS average_active_minutes,
           string_to_array(string_agg(h.modules, ','), ',') AS modules
    FROM holder AS h
    GROUP BY h.business_id, h.role_id, h.week_start
)
SELECT a.business_id, a.role_id, a.week_start, a.active_user_count, a.stickiness,
       a.average_feature_count, a.average_active_minutes,
       (SELECT count(DISTINCT m.code) FROM unnest(a.modules) AS m (code) WHERE m.code <> '')
           AS module_count
FROM adoption AS a
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW user_analytics.mv_adoption_weekly IS
    'Active users per role and week (from Monday), the share of its days they were there, and what
     they used; read through v_adoption_weekly. A user of two roles counts in both.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_adoption_weekly_idx
    ON user_analytics.mv_adoption_weekly (business_id, role_id, week_start);

GRANT USAGE ON SCHEMA user_analytics, user_rbac TO matview_owner;
GRANT SELECT ON user_analytics.user_engagement_daily, user_rbac.role_assignment
    TO matview_owner;

CREATE VIEW user_analytics.v_adoption_weekly
    WITH (security_barrier = true) AS
SELECT m.business_id, m.role_id, m.week_start, m.active_user_count, m.stickiness,
       m.average_feature_count, m.average_active_minutes, m.module_count
FROM user_analytics.mv_adoption_weekly AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW user_analytics.v_adoption_weekly IS
    'The tenant''s own part of mv_adoption_weekly.';
GRANT SELECT ON user_analytics.v_adoption_weekly TO app_user, app_readonly;
