/*
 * Risk: policies, scores and the decisions that follow.
 *
 * risk_policy says for one kind of action how many points each factor can add, and at how many of
 * them more proof is asked for or the door is shut. score_user() weighs what is known of a user by
 * the active policy (behavior and places: 00_behavior.sql; devices and tries: user_auth) and writes
 * risk_score, with the factors that make it up, and risk_decision, what was decided by it.
 * watchlist_entry makes everything that a user does count for more, for a time.
 */

CREATE TABLE user_analytics.risk_policy (
    business_id           uuid                    NOT NULL,
    risk_policy_id        uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid,
    code                  system_core.code        NOT NULL,
    version_no            integer                 NOT NULL DEFAULT 1,
    name                  text                    NOT NULL,
    applies_to            text                    NOT NULL,
    factor_weights        system_core.json_object NOT NULL,
    step_up_threshold     system_core.score       NOT NULL,
    block_threshold       system_core.score       NOT NULL,
    decay_half_life_hours system_core.quantity    NOT NULL DEFAULT 24,
    is_active             boolean                 NOT NULL DEFAULT false,
    shadow_mode           boolean                 NOT NULL DEFAULT false,
    activated_at          timestamptz,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, risk_policy_id),
    UNIQUE (business_id, code, version_no),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT risk_policy_version_positive CHECK (version_no >= 1),
    CONSTRAINT risk_policy_applies_to_known
        CHECK (applies_to IN ('sign_in', 'session', 'money_move', 'export', 'admin_action')),
    CONSTRAINT risk_policy_thresholds_ordered
        CHECK (step_up_threshold > 0 AND step_up_threshold < block_threshold
               AND block_threshold <= 100),
    CONSTRAINT risk_policy_half_life_positive CHECK (decay_half_life_hours > 0),
    CONSTRAINT risk_policy_active_has_time CHECK (NOT is_active OR activated_at IS NOT NULL)
);

COMMENT ON TABLE user_analytics.risk_policy IS
    'Which factors count how much for one kind of action, and what follows from their sum.';
COMMENT ON COLUMN user_analytics.risk_policy.factor_weights IS
    'Object of factor to the points it adds at its strongest; the factors are those that
     risk_signals() knows.';
COMMENT ON COLUMN user_analytics.risk_policy.decay_half_life_hours IS
    'After so many hours half of a score is forgotten. A new one is not below the part of the rest
     that the weight of history says, in percent.';
COMMENT ON COLUMN user_analytics.risk_policy.shadow_mode IS
    'Scores and writes what it would decide, and stops nobody: a policy on trial.';

-- One version of a policy is active.
CREATE UNIQUE INDEX risk_policy_active_version_idx
    ON user_analytics.risk_policy (business_id, code)
    WHERE is_active;

-- One policy decides about an action; score_user() finds it.
CREATE UNIQUE INDEX risk_policy_deciding_idx
    ON user_analytics.risk_policy (business_id, applies_to)
    WHERE is_active AND NOT shadow_mode;

-- FK: the policies that somebody answers for.
CREATE INDEX risk_policy_owner_idx
    ON user_analytics.risk_policy (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

ALTER TABLE user_analytics.risk_policy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_analytics.risk_policy
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_analytics.risk_policy TO app_user;
GRANT SELECT ON user_analytics.risk_policy TO app_readonly;

CREATE TRIGGER risk_policy_touch
    BEFORE UPDATE ON user_analytics.risk_policy
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_analytics.require_known_factors() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    bad record;
BEGIN
    SELECT w.factor, w.weight INTO bad
    FROM JSON_TABLE(NEW.factor_weights::jsonb, '$.keyvalue()' COLUMNS (
        factor text    PATH '$.key',
        weight numeric PATH '$.value')) AS w
    WHERE w.factor NOT IN ('new_device', 'suspect_device', 'new_country', 'impossible_travel',
                           'unusual_hour', 'failed_attempts', 'network', 'anomalies', 'deviation',
                           'dormant', 'history')
        OR w.weight IS NULL OR w.weight NOT BETWEEN 0 AND 100
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'policy % cannot give % a weight of %', NEW.code, bad.factor,
            coalesce(bad.weight::text, 'nothing')
            USING ERRCODE = 'check_violation',
                  HINT = 'Weights of the factors of risk_signals() are from 0 to 100.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_analytics.require_known_factors() IS
    'A factor that nobody computes would never count, and nobody would notice.';

CREATE TRIGGER risk_policy_factors
    BEFORE INSERT OR UPDATE OF factor_weights ON user_analytics.risk_policy
    FOR EACH ROW EXECUTE FUNCTION user_analytics.require_known_factors();

CREATE FUNCTION user_analytics.freeze_activated_policy() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'version % of policy % was activated: it stays as it decided',
        OLD.version_no, OLD.code
        USING ERRCODE = 'restrict_violation', HINT = 'Write the next version.';
END
$$;
COMMENT ON FUNCTION user_analytics.freeze_activated_policy() IS
    'Scores and decisions are explained by the version that made them.';

CREATE TRIGGER risk_policy_freeze
    BEFORE UPDATE ON user_analytics.risk_policy
    FOR EACH ROW
    WHEN (OLD.activated_at IS NOT NULL
          AND (OLD.code, OLD.version_no, OLD.applies_to, OLD.factor_weights,
               OLD.step_up_threshold, OLD.block_threshold, OLD.decay_half_life_hours)
              IS DISTINCT FROM
              (NEW.code, NEW.version_no, NEW.applies_to, NEW.factor_weights,
               NEW.step_up_threshold, NEW.block_threshold, NEW.decay_half_life_hours))
    EXECUTE FUNCTION user_analytics.freeze_activated_policy();


CREATE TABLE user_analytics.risk_score (
    business_id     uuid                   NOT NULL,
    risk_score_id   uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id uuid                   NOT NULL,
    risk_policy_id  uuid                   NOT NULL,
    session_key     uuid,
    score           system_core.score      NOT NULL,
    band            text                   NOT NULL GENERATED ALWAYS AS (
                        CASE WHEN score >= 85 THEN 'critical' WHEN score >= 60 THEN 'high'
                             WHEN score >= 30 THEN 'elevated' ELSE 'low' END) STORED,
    previous_score  system_core.score,
    factors         system_core.json_array NOT NULL DEFAULT '[]',
    trigger_kind    text                   NOT NULL DEFAULT 'sign_in',
    scored_at       timestamptz            NOT NULL DEFAULT clock_timestamp(),
    expires_at      timestamptz            NOT NULL,
    created_at      timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, risk_score_id, scored_at),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, risk_policy_id)
        REFERENCES user_analytics.risk_policy (business_id, risk_policy_id),
    CONSTRAINT risk_score_bounded CHECK (score BETWEEN 0 AND 100),
    CONSTRAINT risk_score_previous_bounded CHECK (previous_score BETWEEN 0 AND 100),
    CONSTRAINT risk_score_trigger_kind_known
        CHECK (trigger_kind IN ('sign_in', 'anomaly', 'decay', 'watchlist', 'manual')),
    CONSTRAINT risk_score_expires_after_scoring CHECK (expires_at > scored_at)
) PARTITION BY RANGE (scored_at);

COMMENT ON TABLE user_analytics.risk_score IS
    'How risky a user was at a moment, and by what; append only.';
COMMENT ON COLUMN user_analytics.risk_score.band IS
    'elevated from 30 points, high from 60, critical from 85, in the database only.';
COMMENT ON COLUMN user_analytics.risk_score.factors IS
    'Array of {factor, points, evidence}, the strongest first; the points sum to the score.';
COMMENT ON COLUMN user_analytics.risk_score.expires_at IS
    'Until then it counts as the risk of the user.';

-- FK: the scores of a user, the newest for begin_sign_in(), score_user() and v_high_risk_user.
CREATE INDEX risk_score_account_idx
    ON user_analytics.risk_score (business_id, user_account_id, scored_at DESC);

-- FK: what a policy scored.
CREATE INDEX risk_score_policy_idx
    ON user_analytics.risk_score (business_id, risk_policy_id, scored_at DESC);

ALTER TABLE user_analytics.risk_score ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_analytics.risk_score
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON user_analytics.risk_score TO app_user;
GRANT SELECT ON user_analytics.risk_score TO app_readonly;

CREATE TABLE user_analytics.risk_score_default PARTITION OF user_analytics.risk_score DEFAULT;
ALTER TABLE user_analytics.risk_score_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_analytics.risk_score_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'user_analytics.risk_score', 'month', behind => 3, ahead => 1);

CREATE TRIGGER risk_score_append_only
    BEFORE UPDATE OR DELETE ON user_analytics.risk_score
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('user_analytics.risk_score');

CREATE FUNCTION user_analytics.require_explained_score() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    total numeric;
    parts integer;
BEGIN
    SELECT coalesce(sum(f.points), 0), count(*) INTO total, parts
    FROM JSON_TABLE(NEW.factors::jsonb, '$[*]' COLUMNS (points numeric PATH '$.points')) AS f;
    IF abs(total - NEW.score) > 0.01 * greatest(parts, 1) THEN
        RAISE EXCEPTION 'the factors sum to %, not to the score of %', total, NEW.score
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_analytics.require_explained_score() IS
    'A score is the sum of its factors; each may be rounded to a hundredth.';

CREATE TRIGGER risk_score_explained
    BEFORE INSERT ON user_analytics.risk_score
    FOR EACH ROW EXECUTE FUNCTION user_analytics.require_explained_score();

CREATE FUNCTION user_analytics.lock_out_critical() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    PERFORM user_auth.open_lockout(
        s.user_account_id,
        CASE (SELECT f.factor
              FROM JSON_TABLE(s.factors::jsonb, '$[*]' COLUMNS (
                  factor text    PATH '$.factor',
                  points numeric PATH '$.points')) AS f
              ORDER BY f.points DESC, f.factor
              LIMIT 1)
            WHEN 'impossible_travel' THEN 'impossible_travel'
            WHEN 'failed_attempts' THEN 'too_many_failures'
            ELSE 'risk' END)
    FROM (
        SELECT DISTINCT ON (n.user_account_id) n.user_account_id, n.factors
        FROM scored AS n
        JOIN user_analytics.risk_policy AS p
            ON p.business_id = n.business_id AND p.risk_policy_id = n.risk_policy_id
        WHERE n.business_id = tenant_mgmt.current_business_id()
            AND n.band = 'critical' AND NOT p.shadow_mode
        ORDER BY n.user_account_id, n.score DESC
    ) AS s;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_analytics.lock_out_critical() IS
    'Who becomes critical is locked out, by which the strongest factor is the reason; not by a
     policy on trial, and not when history is imported.';

CREATE TRIGGER risk_score_lockout
    AFTER INSERT ON user_analytics.risk_score
    REFERENCING NEW TABLE AS scored
    FOR EACH STATEMENT EXECUTE FUNCTION user_analytics.lock_out_critical();


CREATE TABLE user_analytics.risk_decision (
    business_id      uuid                     NOT NULL,
    risk_decision_id uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id  uuid                     NOT NULL,
    risk_policy_id   uuid                     NOT NULL,
    action_kind      text                     NOT NULL,
    score            system_core.score        NOT NULL,
    decision         text                     NOT NULL,
    required_method  text,
    outcome          text,
    was_shadow       boolean                  NOT NULL DEFAULT false,
    feedback         text                     NOT NULL DEFAULT 'none',
    latency_ms       system_core.milliseconds NOT NULL DEFAULT 0,
    decided_at       timestamptz              NOT NULL DEFAULT clock_timestamp(),
    created_at       timestamptz              NOT NULL DEFAULT now(),
    updated_at       timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, risk_decision_id, decided_at),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, risk_policy_id)
        REFERENCES user_analytics.risk_policy (business_id, risk_policy_id),
    CONSTRAINT risk_decision_action_kind_known
        CHECK (action_kind IN ('sign_in', 'session', 'money_move', 'export', 'admin_action')),
    CONSTRAINT risk_decision_score_bounded CHECK (score BETWEEN 0 AND 100),
    CONSTRAINT risk_decision_known
        CHECK (decision IN ('allow', 'step_up', 'block', 'allow_and_watch')),
    CONSTRAINT risk_decision_step_up_names_method
        CHECK ((decision = 'step_up') = (required_method IS NOT NULL)),
    CONSTRAINT risk_decision_required_method_known
        CHECK (required_method IN ('password', 'email_otp', 'sms_otp', 'voice_otp', 'magic_link',
                                   'totp', 'push_approval', 'passkey', 'security_key', 'biometric',
                                   'oidc_federation', 'saml_sso', 'ldap_directory',
                                   'client_certificate')),
    CONSTRAINT risk_decision_outcome_known
        CHECK (outcome IN ('passed', 'failed', 'abandoned', 'not_needed')),
    CONSTRAINT risk_decision_only_step_up_is_passed
        CHECK (outcome NOT IN ('passed', 'failed', 'abandoned') OR decision = 'step_up'),
    CONSTRAINT risk_decision_feedback_known
        CHECK (feedback IN ('correct', 'false_block', 'missed', 'none')),
    CONSTRAINT risk_decision_only_let_in_is_missed
        CHECK (feedback <> 'missed' OR decision <> 'block'),
    CONSTRAINT risk_decision_only_stopped_is_false_block
        CHECK (feedback <> 'false_block' OR decision IN ('step_up', 'block'))
) PARTITION BY RANGE (decided_at);

COMMENT ON TABLE user_analytics.risk_decision IS
    'What was decided about a sensitive step by its risk, and how it turned out.';
COMMENT ON COLUMN user_analytics.risk_decision.outcome IS
    'What became of the step up; NULL as long as that is open.';
COMMENT ON COLUMN user_analytics.risk_decision.was_shadow IS
    'By a policy on trial: written, and not what the user met.';
COMMENT ON COLUMN user_analytics.risk_decision.feedback IS
    'What an analyst says of it afterwards.';

-- FK: the decisions about a user.
CREATE INDEX risk_decision_account_idx
    ON user_analytics.risk_decision (business_id, user_account_id, decided_at DESC);

-- FK: how a policy decides, to tune it.
CREATE INDEX risk_decision_policy_idx
    ON user_analytics.risk_decision (business_id, risk_policy_id, decided_at DESC);

ALTER TABLE user_analytics.risk_decision ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_analytics.risk_decision
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_analytics.risk_decision TO app_user;
GRANT SELECT ON user_analytics.risk_decision TO app_readonly;

CREATE TABLE user_analytics.risk_decision_default
    PARTITION OF user_analytics.risk_decision DEFAULT;
ALTER TABLE user_analytics.risk_decision_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_analytics.risk_decision_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'user_analytics.risk_decision', 'month', behind => 3, ahead => 1);

CREATE TRIGGER risk_decision_touch
    BEFORE UPDATE ON user_analytics.risk_decision
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_analytics.require_decision_of_policy() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    bad record;
BEGIN
    SELECT d.decision, d.score, d.action_kind, p.code, p.applies_to INTO bad
    FROM decided AS d
    JOIN user_analytics.risk_policy AS p
        ON p.business_id = d.business_id AND p.risk_policy_id = d.risk_policy_id
    WHERE NOT d.was_shadow AND (
        d.action_kind <> p.applies_to
        OR CASE WHEN d.score >= p.block_threshold THEN 'block'
                WHEN d.score >= p.step_up_threshold THEN 'step_up'
                ELSE 'allow' END
           <> CASE d.decision WHEN 'allow_and_watch' THEN 'allow' ELSE d.decision END)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'policy % for % does not say % about a % of score %', bad.code,
            bad.applies_to, bad.decision, bad.action_kind, bad.score
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_analytics.require_decision_of_policy() IS
    'A decision is about what its policy applies to, and what the thresholds say; a policy that was
     activated keeps them.';

CREATE TRIGGER risk_decision_agrees_inserted
    AFTER INSERT ON user_analytics.risk_decision
    REFERENCING NEW TABLE AS decided
    FOR EACH STATEMENT EXECUTE FUNCTION user_analytics.require_decision_of_policy();

CREATE TRIGGER risk_decision_agrees_updated
    AFTER UPDATE ON user_analytics.risk_decision
    REFERENCING NEW TABLE AS decided
    FOR EACH STATEMENT EXECUTE FUNCTION user_analytics.require_decision_of_policy();


CREATE TABLE user_analytics.watchlist_entry (
    business_id              uuid             NOT NULL,
    watchlist_entry_id       uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id          uuid             NOT NULL,
    added_by_user_account_id uuid             NOT NULL,
    behavior_anomaly_id      uuid,
    reason                   text             NOT NULL,
    multiplier               system_core.rate NOT NULL DEFAULT 1.5,
    is_hidden_from_user      boolean          NOT NULL DEFAULT true,
    removal_reason           text,
    starts_at                timestamptz      NOT NULL DEFAULT now(),
    ends_at                  timestamptz      NOT NULL,
    review_due_at            timestamptz,
    removed_at               timestamptz,
    created_at               timestamptz      NOT NULL DEFAULT now(),
    updated_at               timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, watchlist_entry_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, added_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, behavior_anomaly_id)
        REFERENCES user_analytics.behavior_anomaly (business_id, behavior_anomaly_id),
    CONSTRAINT watchlist_entry_reason_known
        CHECK (reason IN ('leaver', 'privileged_user', 'investigation', 'compromised_contact',
                          'contract_dispute')),
    CONSTRAINT watchlist_entry_multiplier_bounded CHECK (multiplier BETWEEN 1 AND 5),
    CONSTRAINT watchlist_entry_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT watchlist_entry_review_before_end CHECK (review_due_at <= ends_at),
    CONSTRAINT watchlist_entry_nobody_watches_self
        CHECK (added_by_user_account_id <> user_account_id),
    CONSTRAINT watchlist_entry_removed_has_reason
        CHECK ((removed_at IS NULL) = (removal_reason IS NULL)),
    CONSTRAINT watchlist_entry_removed_after_start CHECK (removed_at >= starts_at)
);

COMMENT ON TABLE user_analytics.watchlist_entry IS
    'A user who is watched more closely for a time, by whose wish and why.';
COMMENT ON COLUMN user_analytics.watchlist_entry.multiplier IS
    'By how much a score counts for more; of several entries the strongest.';

-- FK: what is watched of a user; score_user() finds the entry in force.
CREATE INDEX watchlist_entry_account_idx
    ON user_analytics.watchlist_entry (business_id, user_account_id, ends_at);

-- FK: whom somebody has watched.
CREATE INDEX watchlist_entry_added_by_idx
    ON user_analytics.watchlist_entry (business_id, added_by_user_account_id);

-- FK: who is watched for an anomaly.
CREATE INDEX watchlist_entry_anomaly_idx
    ON user_analytics.watchlist_entry (business_id, behavior_anomaly_id)
    WHERE behavior_anomaly_id IS NOT NULL;

ALTER TABLE user_analytics.watchlist_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_analytics.watchlist_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_analytics.watchlist_entry TO app_user;
GRANT SELECT ON user_analytics.watchlist_entry TO app_readonly;

CREATE TRIGGER watchlist_entry_touch
    BEFORE UPDATE ON user_analytics.watchlist_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION user_analytics.risk_signals(account uuid, context jsonb)
    RETURNS TABLE (factor text, strength numeric, evidence jsonb)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH given AS (
        SELECT u.user_account_id, u.time_zone, u.last_login_at,
               JSON_VALUE(context, '$.ip' RETURNING text)::inet AS ip,
               decode(JSON_VALUE(context, '$.device_hash' RETURNING text), 'hex') AS device_hash,
               JSON_VALUE(context, '$.country_code' RETURNING text) AS country_code,
               JSON_VALUE(context, '$.latitude' RETURNING double precision) AS latitude,
               JSON_VALUE(context, '$.longitude' RETURNING double precision) AS longitude,
               JSON_VALUE(context, '$.signal' RETURNING text) AS signal,
               JSON_VALUE(context, '$.magnitude' RETURNING numeric) AS magnitude
        FROM user_mgmt.user_account AS u
        WHERE u.business_id = tenant_mgmt.current_business_id() AND u.user_account_id = account
    ), device AS (
        SELECT g.device_hash, d.trust, d.jailbroken
        FROM given AS g
        LEFT JOIN user_auth.user_device AS d
            ON d.business_id = tenant_mgmt.current_business_id()
                AND d.user_account_id = g.user_account_id
                AND d.fingerprint_hash = g.device_hash
        WHERE g.device_hash IS NOT NULL
    ), place AS (
        SELECT l.country_code, l.confidence, l.last_seen_at,
               system_core.distance_km(g.latitude, g.longitude, l.latitude, l.longitude)
                   - l.radius_km AS away_km
        FROM given AS g
        JOIN user_analytics.usual_location AS l
            ON l.business_id = tenant_mgmt.current_business_id()
                AND l.user_account_id = g.user_account_id
    ), last_place AS (
        SELECT p.away_km,
               p.away_km / greatest(extract(epoch FROM now() - p.last_seen_at) / 3600.0, 0.25)
                   AS speed_kmh
        FROM place AS p
        WHERE p.away_km > 0
        ORDER BY p.last_seen_at DESC
        LIMIT 1
    ), tries AS (
        SELECT count(*) AS failures
        FROM user_auth.auth_attempt AS t
        WHERE t.business_id = tenant_mgmt.current_business_id() AND t.user_account_id = account
            AND t.attempted_at > now() - interval '1 hour'
            AND t.result IN ('wrong_secret', 'mfa_failed')
    ), finding AS (
        SELECT sum(CASE a.severity WHEN 'critical' THEN 1 WHEN 'high' THEN 0.6
                                   WHEN 'medium' THEN 0.3 ELSE 0.1 END) AS weight,
               jsonb_agg(a.behavior_anomaly_id) AS ids
        FROM user_analytics.behavior_anomaly AS a
        WHERE a.business_id = tenant_mgmt.current_business_id() AND a.user_account_id = account
            AND a.status IN ('open', 'investigating', 'confirmed')
            AND a.detected_at > now() - interval '30 days'
    ), usual AS (
        -- What is usual for the user; while that is not learned, for the peers.
        SELECT g.magnitude, b.behavior_baseline_id, b.mean_value,
               (g.magnitude - b.mean_value)
                   / greatest(b.stddev_value, 0.1 * b.mean_value, 0.0001) AS sigma
        FROM given AS g
        JOIN user_analytics.behavior_baseline AS b
            ON b.business_id = tenant_mgmt.current_business_id()
                AND b.signal = g.signal AND b.is_mature
                AND b.hour_class = user_analytics.hour_class(now(), g.time_zone)
                AND (b.user_account_id = g.user_account_id
                     OR b.peer_group_id IN (
                         SELECT m.peer_group_id FROM user_analytics.v_peer_group_member AS m
                         WHERE m.business_id = tenant_mgmt.current_business_id()
                             AND m.user_account_id = g.user_account_id))
        ORDER BY b.user_account_id IS NULL, b.sample_count DESC
        LIMIT 1
    ), hours AS (
        SELECT count(*) AS seen,
               count(*) FILTER (WHERE user_analytics.hour_class(s.started_at, g.time_zone)
                                      = user_analytics.hour_class(now(), g.time_zone)) AS alike
        FROM given AS g
        CROSS JOIN LATERAL (
            SELECT u.started_at FROM user_auth.user_session AS u
            WHERE u.business_id = tenant_mgmt.current_business_id()
                AND u.user_account_id = g.user_account_id
            ORDER BY u.started_at DESC
            LIMIT 50
        ) AS s
    )
    SELECT 'new_device', 1, jsonb_build_object('device_hash', encode(d.device_hash, 'hex'))
    FROM device AS d WHERE d.trust IS NULL
    UNION ALL
    SELECT 'suspect_device', CASE d.trust WHEN 'blocked' THEN 1 ELSE 0.6 END,
           jsonb_build_object('trust', d.trust, 'jailbroken', d.jailbroken)
    FROM device AS d WHERE d.trust IN ('suspect', 'blocked') OR d.jailbroken
    UNION ALL
    SELECT 'new_country', 1, jsonb_build_object('country_code', g.country_code)
    FROM given AS g
    WHERE g.country_code IS NOT NULL AND EXISTS (SELECT FROM place)
        AND NOT EXISTS (SELECT FROM place AS p WHERE p.country_code = g.country_code)
    UNION ALL
    SELECT 'impossible_travel', least(1, (p.speed_kmh - 900)::numeric / 900 + 0.5),
           jsonb_build_object('away_km', round(p.away_km::numeric),
                              'speed_kmh', round(p.speed_kmh::numeric))
    FROM last_place AS p
    WHERE p.speed_kmh > 900
        -- From another place that is usual too, somebody is simply at home.
        AND NOT EXISTS (SELECT FROM place AS q WHERE q.away_km <= 0)
    UNION ALL
    SELECT 'unusual_hour', 1 - round(h.alike::numeric / h.seen, 4) * 10,
           jsonb_build_object('sessions', h.seen, 'at_such_hours', h.alike)
    FROM hours AS h WHERE h.seen >= 20 AND h.alike * 10 < h.seen
    UNION ALL
    SELECT 'failed_attempts', least(1, t.failures / 10.0),
           jsonb_build_object('failures', t.failures)
    FROM tries AS t WHERE t.failures > 0
    UNION ALL
    SELECT 'network',
           CASE WHEN n.effects && '{block,outside}' THEN 1 ELSE 0.5 END,
           jsonb_build_object('effects', to_jsonb(n.effects))
    FROM given AS g
    CROSS JOIN LATERAL (SELECT user_auth.network_effects(g.ip) AS effects) AS n
    WHERE g.ip IS NOT NULL AND n.effects && '{block,outside,raise_risk}'
    UNION ALL
    SELECT 'anomalies', least(1, f.weight), f.ids
    FROM finding AS f WHERE f.weight > 0
    UNION ALL
    SELECT 'deviation', least(1, round((u.sigma - 2) / 4, 4)),
           jsonb_build_object('behavior_baseline_id', u.behavior_baseline_id,
                              'expected', u.mean_value, 'observed', u.magnitude,
                              'sigma', round(u.sigma, 2))
    FROM usual AS u WHERE u.sigma > 2
    UNION ALL
    SELECT 'dormant', least(1, round(extract(epoch FROM now() - g.last_login_at) / 86400 / 180, 4)),
           jsonb_build_object('last_login_at', g.last_login_at)
    FROM given AS g WHERE g.last_login_at < now() - interval '60 days';
END;
COMMENT ON FUNCTION user_analytics.risk_signals(uuid, jsonb) IS
    'What speaks against an account of the calling tenant now, each with a strength from 0 to 1 and
     what it rests on. The context, as far as it is known, is {"ip", "device_hash" (hex),
     "country_code", "latitude", "longitude", "signal", "magnitude"}. history is not among them:
     that is of the policy.';


CREATE FUNCTION user_analytics.score_user(
    user_account_id uuid, action_kind text, context jsonb DEFAULT '{}'
) RETURNS TABLE (score numeric, decision text)
    LANGUAGE plpgsql AS $$
DECLARE
    tenant   CONSTANT uuid        := tenant_mgmt.current_business_id();
    started  CONSTANT timestamptz := clock_timestamp();
    account  CONSTANT uuid        := score_user.user_account_id;
    policy   user_analytics.risk_policy;
    previous record;
    watched  numeric;
    parts    jsonb;
    stronger text;
BEGIN
    -- The policy that decides; one on trial is looked at only while there is no other.
    SELECT * INTO policy
    FROM user_analytics.risk_policy AS p
    WHERE p.business_id = tenant AND p.applies_to = score_user.action_kind AND p.is_active
    ORDER BY p.shadow_mode, p.activated_at DESC
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the business has no active risk policy for %', action_kind
            USING ERRCODE = 'no_data_found';
    END IF;
    IF NOT EXISTS (SELECT FROM user_mgmt.user_account AS a
                   WHERE a.business_id = tenant AND a.user_account_id = account) THEN
        RAISE EXCEPTION 'there is no account %', account USING ERRCODE = 'no_data_found';
    END IF;

    SELECT s.score,
           s.score * 0.5 ^ (extract(epoch FROM now() - s.scored_at) / 3600
                            / policy.decay_half_life_hours) AS remembered
    INTO previous
    FROM user_analytics.risk_score AS s
    WHERE s.business_id = tenant AND s.user_account_id = account AND s.scored_at <= now()
    ORDER BY s.scored_at DESC
    LIMIT 1;
    SELECT max(w.multiplier) INTO watched
    FROM user_analytics.watchlist_entry AS w
    WHERE w.business_id = tenant AND w.user_account_id = account
        AND w.starts_at <= now() AND w.ends_at > now() AND w.removed_at IS NULL;

    -- The watchlist multiplies what is found now. History adds only what is missing to what the
    -- last
    -- score left, so that scoring twice does not raise a score. Beyond 100 all points shrink alike.
    WITH weight AS (
        SELECT w.factor, w.weight
        FROM JSON_TABLE(policy.factor_weights::jsonb, '$.keyvalue()' COLUMNS (
            factor text    PATH '$.key',
            weight numeric PATH '$.value')) AS w
    ), found AS (
        SELECT w.factor, w.weight * s.strength AS points, s.evidence
        FROM weight AS w
        JOIN user_analytics.risk_signals(account, context) AS s ON s.factor = w.factor
    ), total AS (
        SELECT coalesce(sum(f.points), 0) AS points,
               coalesce(sum(f.points), 0) * (greatest(watched, 1) - 1) AS added
        FROM found AS f
    ), multiplied AS (
        SELECT f.factor, f.points, f.evidence FROM found AS f
        UNION ALL
        SELECT 'watchlist', t.added, jsonb_build_object('multiplier', watched) FROM total AS t
        UNION ALL
        SELECT w.factor, w.weight / 100 * previous.remembered - t.points - t.added,
               jsonb_build_object('score', previous.score)
        FROM weight AS w
        CROSS JOIN total AS t
        WHERE w.factor = 'history' AND w.weight / 100 * previous.remembered > t.points + t.added
    ), bounded AS (
        SELECT m.factor, m.evidence,
               round(m.points * least(1, 100 / nullif(sum(m.points) OVER (), 0)), 2) AS points
        FROM multiplied AS m
    )
    SELECT least(100, coalesce(sum(b.points), 0)),
           coalesce(jsonb_agg(jsonb_build_object(
               'factor', b.factor, 'points', b.points, 'evidence', b.evidence)
               ORDER BY b.points DESC, b.factor), '[]')
    INTO score, parts
    FROM bounded AS b WHERE b.points > 0;

    decision := CASE
        WHEN score >= policy.block_threshold THEN 'block'
        WHEN score >= policy.step_up_threshold THEN 'step_up'
        WHEN watched > 1 OR score >= 0.8 * policy.step_up_threshold THEN 'allow_and_watch'
        ELSE 'allow' END;
    IF decision = 'step_up' THEN
        SELECT e.method INTO stronger
        FROM user_auth.auth_enrollment AS e
        JOIN user_auth.auth_method_policy AS m
            ON m.business_id = e.business_id AND m.method = e.method AND m.is_enabled
        WHERE e.business_id = tenant AND e.user_account_id = account AND e.status = 'active'
            AND m.usable_as IN ('second_factor', 'both')
        ORDER BY m.is_phishing_resistant DESC, m.assurance_level DESC, e.method
        LIMIT 1;
        stronger := coalesce(stronger, 'email_otp');
    END IF;

    INSERT INTO user_analytics.risk_score
        (business_id, user_account_id, risk_policy_id, session_key, score, previous_score, factors,
         trigger_kind, expires_at)
    VALUES (tenant, account, policy.risk_policy_id,
            JSON_VALUE(context, '$.session_key' RETURNING text)::uuid, score, previous.score, parts,
            coalesce(JSON_VALUE(context, '$.trigger_kind' RETURNING text),
                     CASE WHEN watched > 1 THEN 'watchlist' ELSE 'sign_in' END),
            clock_timestamp() + policy.decay_half_life_hours * interval '1 hour');
    INSERT INTO user_analytics.risk_decision
        (business_id, user_account_id, risk_policy_id, action_kind, score, decision,
         required_method, outcome, was_shadow, latency_ms)
    VALUES (tenant, account, policy.risk_policy_id, score_user.action_kind, score_user.score,
            score_user.decision, stronger,
            CASE WHEN score_user.decision <> 'step_up' THEN 'not_needed' END, policy.shadow_mode,
            extract(epoch FROM clock_timestamp() - started) * 1000);

    -- A policy on trial stops nobody.
    IF policy.shadow_mode AND decision IN ('step_up', 'block') THEN
        decision := 'allow_and_watch';
    END IF;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION user_analytics.score_user(uuid, text, jsonb) IS
    'Weighs what risk_signals() says of an account of the calling tenant by the active policy for
     the action, multiplies by the watchlist, goes no lower than what its last score left behind,
     writes score and decision, and returns them; the required method is in risk_decision. A
     critical score locks the account out. The context is that of risk_signals(), with session_key
     and trigger_kind where they are known.';


CREATE VIEW user_analytics.v_high_risk_user
    WITH (security_invoker = true) AS
SELECT r.business_id, r.user_account_id, a.display_name, a.status, r.score, r.band, r.scored_at,
       r.expires_at, f.top_factors, coalesce(n.open_anomaly_count, 0) AS open_anomaly_count,
       n.worst_severity,
       EXISTS (
           SELECT FROM user_analytics.watchlist_entry AS w
           WHERE w.business_id = r.business_id AND w.user_account_id = r.user_account_id
               AND w.starts_at <= now() AND w.ends_at > now() AND w.removed_at IS NULL
       ) AS is_watched
FROM user_mgmt.user_account AS a
CROSS JOIN LATERAL (
    SELECT s.business_id, s.user_account_id, s.score, s.band, s.scored_at, s.expires_at, s.factors
    FROM user_analytics.risk_score AS s
    WHERE s.business_id = a.business_id AND s.user_account_id = a.user_account_id
    ORDER BY s.scored_at DESC
    LIMIT 1
) AS r
CROSS JOIN LATERAL (
    SELECT array_agg(t.factor ORDER BY t.points DESC) AS top_factors
    FROM (
        SELECT j.factor, j.points
        FROM JSON_TABLE(r.factors::jsonb, '$[*]' COLUMNS (
            factor text    PATH '$.factor',
            points numeric PATH '$.points')) AS j
        ORDER BY j.points DESC
        LIMIT 3
    ) AS t
) AS f
CROSS JOIN LATERAL (
    SELECT count(*) AS open_anomaly_count,
           (array_agg(b.severity ORDER BY
               array_position('{critical,high,medium,low}'::text[], b.severity)))[1]
               AS worst_severity
    FROM user_analytics.behavior_anomaly AS b
    WHERE b.business_id = a.business_id AND b.user_account_id = a.user_account_id
        AND b.closed_at IS NULL
) AS n
WHERE a.business_id = tenant_mgmt.current_business_id()
    AND r.band IN ('high', 'critical') AND r.expires_at > now();
COMMENT ON VIEW user_analytics.v_high_risk_user IS
    'Users whose last score is high or critical and still counts, with the three factors that make
     most of it and the anomalies that are open.';
GRANT SELECT ON user_analytics.v_high_risk_user TO app_user, app_readonly;
