/*
 * Detection: sources, rules, indicators, events and the alerts that they raise.
 *
 * log_source is a system that sends security_event rows, normalized to an OCSF class and append
 * only; the statement trigger of security_event keeps the source's freshness. detection_rule says
 * which events make an alert; evaluate_detection_rules() asks every rule about the newest events,
 * and match_indicators() joins them with threat_indicator, what is known to be hostile.
 * security_alert is what a rule found about one thing (dedupe_key), until it is closed there is
 * one: an alert that comes again is merged into the open one.
 *
 * An alert names its events by correlation_keys and the time from first_event_at to last_event_at,
 * for a partitioned table is not the target of a foreign key.
 */

CREATE TABLE security_mgmt.log_source (
    business_id               uuid        NOT NULL,
    log_source_id             uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id     uuid,
    name                      text        NOT NULL,
    kind                      text        NOT NULL,
    transport                 text        NOT NULL,
    criticality               text        NOT NULL DEFAULT 'medium',
    expected_interval_seconds integer     NOT NULL DEFAULT 300,
    events_today              integer     NOT NULL DEFAULT 0,
    parse_error_count         integer     NOT NULL DEFAULT 0,
    is_enabled                boolean     NOT NULL DEFAULT true,
    last_event_at             timestamptz,
    silent_since              timestamptz,
    created_at                timestamptz NOT NULL DEFAULT now(),
    updated_at                timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, log_source_id),
    UNIQUE (business_id, name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT log_source_kind_known
        CHECK (kind IN ('database', 'application', 'identity', 'endpoint', 'network', 'cloud',
                        'email', 'physical')),
    CONSTRAINT log_source_transport_known CHECK (transport IN ('push', 'pull', 'syslog', 'cdc')),
    CONSTRAINT log_source_criticality_known CHECK (criticality IN ('low', 'medium', 'high')),
    CONSTRAINT log_source_interval_positive CHECK (expected_interval_seconds > 0),
    CONSTRAINT log_source_counts_not_negative
        CHECK (events_today >= 0 AND parse_error_count >= 0),
    CONSTRAINT log_source_silent_after_last_event CHECK (silent_since > last_event_at)
);

COMMENT ON TABLE security_mgmt.log_source IS
    'A system that feeds security events, and how fresh they are.';
COMMENT ON COLUMN security_mgmt.log_source.expected_interval_seconds IS
    'At least one event in so many seconds; after three of them without one it is silent.';
COMMENT ON COLUMN security_mgmt.log_source.events_today IS
    'Events that happened on the day (UTC) of last_event_at; kept by triggers.';
COMMENT ON COLUMN security_mgmt.log_source.silent_since IS
    'Set by mark_silent_sources(), cleared by the next event.';

-- FK: sources of an owner.
CREATE INDEX log_source_owner_idx
    ON security_mgmt.log_source (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

ALTER TABLE security_mgmt.log_source ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.log_source
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.log_source TO app_user;
GRANT SELECT ON security_mgmt.log_source TO app_readonly;

CREATE TRIGGER log_source_touch
    BEFORE UPDATE ON security_mgmt.log_source
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE security_mgmt.detection_rule (
    business_id            uuid                    NOT NULL,
    detection_rule_id      uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    author_user_account_id uuid,
    code                   system_core.code        NOT NULL,
    version_no             integer                 NOT NULL DEFAULT 1,
    name                   text                    NOT NULL,
    rule_kind              text                    NOT NULL,
    logic                  system_core.json_object NOT NULL,
    window_seconds         integer                 NOT NULL DEFAULT 300,
    threshold_count        integer                 NOT NULL DEFAULT 1,
    severity               text                    NOT NULL,
    attack_technique       text,
    suppression_minutes    integer                 NOT NULL DEFAULT 0,
    status                 text                    NOT NULL DEFAULT 'draft',
    false_positive_pct     system_core.percentage,
    last_hit_count         integer,
    last_run_at            timestamptz,
    created_at             timestamptz             NOT NULL DEFAULT now(),
    updated_at             timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, detection_rule_id),
    UNIQUE (business_id, code, version_no),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, author_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT detection_rule_kind_known
        CHECK (rule_kind IN ('threshold', 'sequence', 'new_term', 'indicator_match', 'anomaly')),
    CONSTRAINT detection_rule_severity_known
        CHECK (severity IN ('info', 'low', 'medium', 'high', 'critical')),
    CONSTRAINT detection_rule_status_known
        CHECK (status IN ('draft', 'testing', 'active', 'tuned_out', 'retired')),
    CONSTRAINT detection_rule_technique_of_attack
        CHECK (attack_technique ~ '^T[0-9]{4}(\.[0-9]{3})?$'),
    CONSTRAINT detection_rule_version_positive CHECK (version_no >= 1),
    CONSTRAINT detection_rule_window_bounded CHECK (window_seconds BETWEEN 1 AND 604800),
    CONSTRAINT detection_rule_threshold_positive CHECK (threshold_count >= 1),
    CONSTRAINT detection_rule_suppression_not_negative CHECK (suppression_minutes >= 0),
    CONSTRAINT detection_rule_false_positives_are_share
        CHECK (false_positive_pct BETWEEN 0 AND 100),
    CONSTRAINT detection_rule_active_was_tested
        CHECK (status <> 'active' OR last_run_at IS NOT NULL),
    CONSTRAINT detection_rule_run_has_count
        CHECK ((last_run_at IS NULL) = (last_hit_count IS NULL)),
    CONSTRAINT detection_rule_hits_not_negative CHECK (last_hit_count >= 0)
);

COMMENT ON TABLE security_mgmt.detection_rule IS
    'What turns events into alerts, mapped to a technique of MITRE ATT&CK.';
COMMENT ON COLUMN security_mgmt.detection_rule.logic IS
    '{"any_of": [{"all_of": [{"field", "op", "value"}]}], "group_by": [field], ...}. An event hits
     when all conditions of one branch hold; op is eq, ne, in, prefix, gte, lte or exists, a field
     is a column of security_event or raw.<path>. group_by (default correlation_key) makes the
     dedupe_key. count_distinct (a field) counts values instead of events; a sequence takes its
     branches as steps; history_days (new_term), baseline_windows and deviations (anomaly) say
     what it is compared with.';
COMMENT ON COLUMN security_mgmt.detection_rule.suppression_minutes IS
    'So long after an alert was closed as benign or false, the next on the same thing is kept out
     of the queue.';
COMMENT ON COLUMN security_mgmt.detection_rule.last_hit_count IS
    'Events that hit in the last run; of a rule in testing, what it would have looked at.';
COMMENT ON COLUMN security_mgmt.detection_rule.false_positive_pct IS
    'Of its closed alerts, how many were benign or false; NULL before the first.';

-- One version of a rule is in force; evaluate_detection_rules() finds it here.
CREATE UNIQUE INDEX detection_rule_active_idx
    ON security_mgmt.detection_rule (business_id, code)
    WHERE status = 'active';

-- FK: rules of an author.
CREATE INDEX detection_rule_author_idx
    ON security_mgmt.detection_rule (business_id, author_user_account_id)
    WHERE author_user_account_id IS NOT NULL;

ALTER TABLE security_mgmt.detection_rule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.detection_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.detection_rule TO app_user;
GRANT SELECT ON security_mgmt.detection_rule TO app_readonly;

CREATE TRIGGER detection_rule_touch
    BEFORE UPDATE ON security_mgmt.detection_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER detection_rule_status_machine
    BEFORE INSERT OR UPDATE OF status ON security_mgmt.detection_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":     ["testing", "retired"],
            "testing":   ["draft", "active", "retired"],
            "active":    ["testing", "tuned_out", "retired"],
            "tuned_out": ["testing", "retired"],
            "retired":   []
        }}');

CREATE FUNCTION security_mgmt.check_rule_logic() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    branches integer;
    wrong    text;
BEGIN
    SELECT count(DISTINCT c.branch_no),
           string_agg(coalesce(c.op, 'nothing') || ' of ' || coalesce(c.field, 'nothing'), ', ')
               FILTER (WHERE c.field !~ '^(class|activity|outcome|severity|src_ip|dst_ip|'
                                        'target_kind|target_id|actor_user_account_id|'
                                        'log_source_id|correlation_key|raw\..+)$'
                          OR c.op NOT IN ('eq', 'ne', 'in', 'prefix', 'gte', 'lte', 'exists')
                          OR c.field IS NULL OR c.op IS NULL OR c.operand IS NULL
                          OR (c.op = 'in') <> (jsonb_typeof(c.operand) = 'array')
                          OR c.op IN ('gte', 'lte') AND jsonb_typeof(c.operand) <> 'number')
    INTO branches, wrong
    FROM JSON_TABLE(NEW.logic::jsonb, '$.any_of[*]' COLUMNS (
        branch_no FOR ORDINALITY,
        NESTED PATH '$.all_of[*]' COLUMNS (
            field   text  PATH '$.field',
            op      text  PATH '$.op',
            operand jsonb PATH '$.value'))) AS c;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'rule %: no condition: %', NEW.code, wrong
            USING ERRCODE = 'check_violation';
    END IF;
    IF branches < (CASE NEW.rule_kind WHEN 'sequence' THEN 2 ELSE 1 END) THEN
        RAISE EXCEPTION 'rule %: a % rule has too few branches: %',
            NEW.code, NEW.rule_kind, branches
            USING ERRCODE = 'check_violation',
                  HINT = 'logic is {"any_of": [{"all_of": [{"field", "op", "value"}]}]}.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.check_rule_logic() IS
    'Refuses a rule tree that evaluate_detection_rules() would not understand.';

CREATE TRIGGER detection_rule_logic
    BEFORE INSERT OR UPDATE OF logic, rule_kind ON security_mgmt.detection_rule
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.check_rule_logic();


CREATE TABLE security_mgmt.threat_indicator (
    business_id         uuid              NOT NULL,
    threat_indicator_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    indicator_kind      text              NOT NULL,
    value               text              NOT NULL,
    feed_name           text              NOT NULL,
    confidence          system_core.score NOT NULL DEFAULT 50,
    severity            text              NOT NULL DEFAULT 'medium',
    tlp                 text              NOT NULL DEFAULT 'green',
    threat_actor        text,
    sighting_count      integer           NOT NULL DEFAULT 0,
    valid_from          timestamptz       NOT NULL DEFAULT now(),
    valid_until         timestamptz,
    first_sighted_at    timestamptz,
    last_sighted_at     timestamptz,
    created_at          timestamptz       NOT NULL DEFAULT now(),
    updated_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, threat_indicator_id),
    -- Also the look-up by value: indicator_check, match_indicators().
    UNIQUE (business_id, indicator_kind, value, feed_name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT threat_indicator_kind_known
        CHECK (indicator_kind IN ('ipv4', 'ipv6', 'domain', 'url', 'file_sha256', 'email',
                                  'user_agent', 'asn', 'ja4')),
    CONSTRAINT threat_indicator_severity_known
        CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    CONSTRAINT threat_indicator_tlp_known
        CHECK (tlp IN ('clear', 'green', 'amber', 'amber_strict', 'red')),
    CONSTRAINT threat_indicator_value_normalized
        CHECK (indicator_kind IN ('url', 'user_agent') OR value = lower(value)),
    CONSTRAINT threat_indicator_ipv4_shape
        CHECK (indicator_kind <> 'ipv4' OR value ~ '^[0-9]{1,3}(\.[0-9]{1,3}){3}$'),
    CONSTRAINT threat_indicator_sha256_shape
        CHECK (indicator_kind <> 'file_sha256' OR value ~ '^[0-9a-f]{64}$'),
    CONSTRAINT threat_indicator_asn_shape
        CHECK (indicator_kind <> 'asn' OR value ~ '^[0-9]{1,10}$'),
    CONSTRAINT threat_indicator_confidence_bounded CHECK (confidence BETWEEN 0 AND 100),
    CONSTRAINT threat_indicator_valid_for_some_time CHECK (valid_until > valid_from),
    CONSTRAINT threat_indicator_sightings_not_negative CHECK (sighting_count >= 0),
    CONSTRAINT threat_indicator_sighted_has_times
        CHECK ((sighting_count = 0) = (first_sighted_at IS NULL)
               AND (first_sighted_at IS NULL) = (last_sighted_at IS NULL)),
    CONSTRAINT threat_indicator_sightings_ordered CHECK (last_sighted_at >= first_sighted_at)
);

COMMENT ON TABLE security_mgmt.threat_indicator IS
    'An address, domain, hash or account that a feed knows or suspects to be hostile.';
COMMENT ON COLUMN security_mgmt.threat_indicator.value IS
    'As match_indicators() finds it in events: lower case, except of URLs and user agents.';
COMMENT ON COLUMN security_mgmt.threat_indicator.tlp IS
    'Traffic Light Protocol 2.0: whom it may be told.';
COMMENT ON COLUMN security_mgmt.threat_indicator.valid_until IS 'Open: until it is taken back.';

ALTER TABLE security_mgmt.threat_indicator ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.threat_indicator
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.threat_indicator TO app_user;
GRANT SELECT ON security_mgmt.threat_indicator TO app_readonly;

CREATE TRIGGER threat_indicator_touch
    BEFORE UPDATE ON security_mgmt.threat_indicator
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE security_mgmt.security_event (
    business_id           uuid                    NOT NULL,
    security_event_id     uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    log_source_id         uuid                    NOT NULL,
    actor_user_account_id uuid,
    class                 text                    NOT NULL,
    activity              text                    NOT NULL,
    outcome               text                    NOT NULL DEFAULT 'unknown',
    severity              text                    NOT NULL DEFAULT 'info',
    src_ip                inet,
    dst_ip                inet,
    target_kind           text,
    target_id             text,
    correlation_key       text                    NOT NULL,
    raw                   system_core.json_object NOT NULL DEFAULT '{}',
    occurred_at           timestamptz             NOT NULL,
    ingested_at           timestamptz             NOT NULL DEFAULT now(),
    created_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, security_event_id, occurred_at),
    FOREIGN KEY (business_id, log_source_id)
        REFERENCES security_mgmt.log_source (business_id, log_source_id),
    FOREIGN KEY (business_id, actor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT security_event_class_known
        CHECK (class IN ('authentication', 'account_change', 'access_denied', 'data_access',
                         'api_activity', 'config_change', 'network', 'file_activity', 'process',
                         'detection')),
    CONSTRAINT security_event_outcome_known CHECK (outcome IN ('success', 'failure', 'unknown')),
    CONSTRAINT security_event_severity_known
        CHECK (severity IN ('info', 'low', 'medium', 'high', 'critical')),
    CONSTRAINT security_event_target_is_whole
        CHECK ((target_kind IS NULL) = (target_id IS NULL)),
    CONSTRAINT security_event_not_from_the_future
        CHECK (ingested_at >= occurred_at - interval '5 minutes')
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE security_mgmt.security_event IS
    'One normalized event in the shape of an OCSF class; append only.';
COMMENT ON COLUMN security_mgmt.security_event.correlation_key IS
    'What events have in common that belong together, such as an address or an account.';
COMMENT ON COLUMN security_mgmt.security_event.target_kind IS
    'What was acted on; of kind asset, target_id is the tag of a security_asset.';
COMMENT ON COLUMN security_mgmt.security_event.raw IS
    'The event as it came; event_observables() finds addresses, hashes and names in it.';
COMMENT ON COLUMN security_mgmt.security_event.ingested_at IS
    'The clock of a source may be wrong by five minutes.';

-- alert_drilldown: the events behind an alert.
CREATE INDEX security_event_correlation_idx
    ON security_mgmt.security_event (business_id, correlation_key, occurred_at);

-- The newest events of a source. Serves the foreign key log_source_id.
CREATE INDEX security_event_source_idx
    ON security_mgmt.security_event (business_id, log_source_id, occurred_at);

-- rule_hits(): events of a span of time.
CREATE INDEX security_event_time_idx
    ON security_mgmt.security_event (business_id, occurred_at);

-- What an account did. Serves the foreign key actor_user_account_id.
CREATE INDEX security_event_actor_idx
    ON security_mgmt.security_event (business_id, actor_user_account_id, occurred_at)
    WHERE actor_user_account_id IS NOT NULL;

ALTER TABLE security_mgmt.security_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.security_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON security_mgmt.security_event TO app_user;
GRANT SELECT ON security_mgmt.security_event TO app_readonly;

CREATE TRIGGER security_event_append_only
    BEFORE UPDATE OR DELETE ON security_mgmt.security_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('security_mgmt.security_event');

CREATE FUNCTION security_mgmt.tally_source_events() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- In one order, so that batches of several sources do not wait for each other in a ring.
    PERFORM FROM security_mgmt.log_source AS s
    WHERE (s.business_id, s.log_source_id)
          IN (SELECT a.business_id, a.log_source_id FROM added AS a)
    ORDER BY s.business_id, s.log_source_id
    FOR NO KEY UPDATE;

    UPDATE security_mgmt.log_source AS s
    SET last_event_at = greatest(s.last_event_at, n.newest_at),
        events_today = CASE WHEN n.newest_on > (s.last_event_at AT TIME ZONE 'UTC')::date
                                OR s.last_event_at IS NULL THEN n.of_newest_day
                            WHEN n.newest_on = (s.last_event_at AT TIME ZONE 'UTC')::date
                                THEN s.events_today + n.of_newest_day
                            ELSE s.events_today END,
        silent_since = CASE WHEN s.last_event_at >= n.newest_at THEN s.silent_since END
    FROM (
        SELECT d.business_id, d.log_source_id, d.newest_on, max(d.occurred_at) AS newest_at,
               count(*) FILTER (WHERE (d.occurred_at AT TIME ZONE 'UTC')::date = d.newest_on)
                   AS of_newest_day
        FROM (SELECT a.business_id, a.log_source_id, a.occurred_at,
                     max((a.occurred_at AT TIME ZONE 'UTC')::date)
                         OVER (PARTITION BY a.business_id, a.log_source_id) AS newest_on
              FROM added AS a) AS d
        GROUP BY d.business_id, d.log_source_id, d.newest_on
    ) AS n
    WHERE s.business_id = n.business_id AND s.log_source_id = n.log_source_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.tally_source_events() IS
    'A source is as fresh as its newest event, and no longer silent when one comes.';

CREATE TRIGGER security_event_tally
    AFTER INSERT ON security_mgmt.security_event REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.tally_source_events();

CREATE TABLE security_mgmt.security_event_default
    PARTITION OF security_mgmt.security_event DEFAULT;
ALTER TABLE security_mgmt.security_event_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.security_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'security_mgmt.security_event', 'month', behind => 3, ahead => 1);


CREATE TABLE security_mgmt.security_alert (
    business_id                 uuid                   NOT NULL,
    security_alert_id           uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    detection_rule_id           uuid                   NOT NULL,
    threat_indicator_id         uuid,
    security_asset_id           uuid,
    assigned_to_user_account_id uuid,
    alert_number                system_core.code       NOT NULL,
    dedupe_key                  text                   NOT NULL,
    correlation_keys            text[]                 NOT NULL DEFAULT '{}',
    severity                    text                   NOT NULL,
    severity_rank               integer                GENERATED ALWAYS AS (
                                                           array_position(
                                                               '{critical,high,medium,low}'::text[],
                                                               severity)) STORED,
    status                      text                   NOT NULL DEFAULT 'new',
    risk_points                 system_core.score      NOT NULL DEFAULT 0,
    event_count                 integer                NOT NULL DEFAULT 1,
    sample_events               system_core.json_array NOT NULL DEFAULT '[]',
    closure_note                text,
    first_event_at              timestamptz            NOT NULL,
    last_event_at               timestamptz            NOT NULL,
    suppressed_until            timestamptz,
    acknowledged_at             timestamptz,
    closed_at                   timestamptz,
    created_at                  timestamptz            NOT NULL DEFAULT now(),
    updated_at                  timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, security_alert_id),
    UNIQUE (business_id, alert_number),
    FOREIGN KEY (business_id, detection_rule_id)
        REFERENCES security_mgmt.detection_rule (business_id, detection_rule_id),
    FOREIGN KEY (business_id, threat_indicator_id)
        REFERENCES security_mgmt.threat_indicator (business_id, threat_indicator_id),
    FOREIGN KEY (business_id, assigned_to_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT security_alert_severity_known
        CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    CONSTRAINT security_alert_status_known
        CHECK (status IN ('new', 'triage', 'escalated', 'closed_true_positive', 'closed_benign',
                          'closed_false_positive', 'suppressed')),
    CONSTRAINT security_alert_risk_bounded CHECK (risk_points BETWEEN 0 AND 100),
    CONSTRAINT security_alert_has_events CHECK (event_count >= 1),
    CONSTRAINT security_alert_samples_bounded CHECK (jsonb_array_length(sample_events) <= 20),
    CONSTRAINT security_alert_events_ordered CHECK (last_event_at >= first_event_at),
    CONSTRAINT security_alert_closed_has_time
        CHECK ((status IN ('closed_true_positive', 'closed_benign', 'closed_false_positive'))
               = (closed_at IS NOT NULL)),
    CONSTRAINT security_alert_closed_after_events CHECK (closed_at >= first_event_at),
    CONSTRAINT security_alert_suppressed_has_end
        CHECK ((status = 'suppressed') = (suppressed_until IS NOT NULL))
);

COMMENT ON TABLE security_mgmt.security_alert IS
    'What a rule found about one thing, with its triage.';
COMMENT ON COLUMN security_mgmt.security_alert.dedupe_key IS
    'The values that the rule groups by; while an alert is not closed, more of it is merged.';
COMMENT ON COLUMN security_mgmt.security_alert.correlation_keys IS
    'Those of its events: where they are found from first_event_at to last_event_at.';
COMMENT ON COLUMN security_mgmt.security_alert.severity_rank IS
    'The place of its severity in the queue; 1 is critical.';
COMMENT ON COLUMN security_mgmt.security_alert.risk_points IS
    'From severity, confidence of the indicator and number of events; 100 is worst.';
COMMENT ON COLUMN security_mgmt.security_alert.sample_events IS
    'Up to 20 of its events as [{"id", "at", "activity", "outcome", "src_ip"}], the newest last.';
COMMENT ON COLUMN security_mgmt.security_alert.suppressed_until IS
    'An event after it brings the alert back into the queue.';

-- One alert that is not closed per rule and thing; the merge finds it here.
CREATE UNIQUE INDEX security_alert_not_closed_idx
    ON security_mgmt.security_alert (business_id, detection_rule_id, dedupe_key)
    WHERE status IN ('new', 'triage', 'escalated', 'suppressed');

-- Newest alert on a thing: evaluate_detection_rules(). Serves the foreign key detection_rule_id.
CREATE INDEX security_alert_rule_idx
    ON security_mgmt.security_alert (business_id, detection_rule_id, dedupe_key, last_event_at);

-- alert_queue, v_open_alert_queue.
CREATE INDEX security_alert_queue_idx
    ON security_mgmt.security_alert (business_id, severity_rank, first_event_at)
    WHERE status IN ('new', 'triage', 'escalated');

-- FK: alerts of an indicator.
CREATE INDEX security_alert_indicator_idx
    ON security_mgmt.security_alert (business_id, threat_indicator_id)
    WHERE threat_indicator_id IS NOT NULL;

-- FK: alerts of an asset.
CREATE INDEX security_alert_asset_idx
    ON security_mgmt.security_alert (business_id, security_asset_id)
    WHERE security_asset_id IS NOT NULL;

-- FK: the alerts of an analyst.
CREATE INDEX security_alert_assignee_idx
    ON security_mgmt.security_alert (business_id, assigned_to_user_account_id)
    WHERE assigned_to_user_account_id IS NOT NULL;

ALTER TABLE security_mgmt.security_alert ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.security_alert
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.security_alert TO app_user;
GRANT SELECT ON security_mgmt.security_alert TO app_readonly;

CREATE TRIGGER security_alert_touch
    BEFORE UPDATE ON security_mgmt.security_alert
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER security_alert_status_machine
    BEFORE INSERT OR UPDATE OF status ON security_mgmt.security_alert
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["new"],
        "transitions": {
            "new":                   ["triage", "suppressed"],
            "suppressed":            ["new"],
            "triage":                ["escalated", "closed_true_positive", "closed_benign",
                                      "closed_false_positive"],
            "escalated":             ["closed_true_positive", "closed_benign",
                                      "closed_false_positive"],
            "closed_true_positive":  [],
            "closed_benign":         [],
            "closed_false_positive": []
        }}');

CREATE FUNCTION security_mgmt.number_alert() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.alert_number := system_core.number_document(
        NEW.business_id, 'security_alert', 'ALR-', NEW.security_alert_id);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.number_alert() IS 'Numbers an alert that comes without one.';

CREATE TRIGGER security_alert_number
    BEFORE INSERT ON security_mgmt.security_alert
    FOR EACH ROW WHEN (NEW.alert_number IS NULL)
    EXECUTE FUNCTION security_mgmt.number_alert();

CREATE FUNCTION security_mgmt.newest_samples(older jsonb, newer jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(jsonb_agg(s.sample ORDER BY s.place DESC), '[]')
    FROM (
        SELECT e.sample, row_number() OVER (ORDER BY e.place DESC) AS place
        FROM jsonb_array_elements(older || newer) WITH ORDINALITY AS e (sample, place)
    ) AS s
    WHERE s.place <= 20;
END;
COMMENT ON FUNCTION security_mgmt.newest_samples(jsonb, jsonb) IS
    'Two lists of samples as one, without the oldest where there are more than 20.';

CREATE FUNCTION security_mgmt.merge_alert() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- Two that find the same at once: the second waits and then sees the alert of the first.
    PERFORM pg_advisory_xact_lock(hashtextextended(
        'security_alert ' || NEW.detection_rule_id || NEW.dedupe_key,
        hashtext(NEW.business_id::text)));
    UPDATE security_mgmt.security_alert AS a
    SET event_count = a.event_count + NEW.event_count,
        first_event_at = least(a.first_event_at, NEW.first_event_at),
        last_event_at = greatest(a.last_event_at, NEW.last_event_at),
        risk_points = greatest(a.risk_points, NEW.risk_points),
        threat_indicator_id = coalesce(a.threat_indicator_id, NEW.threat_indicator_id),
        security_asset_id = coalesce(a.security_asset_id, NEW.security_asset_id),
        correlation_keys = array(
            SELECT DISTINCT k.key
            FROM unnest(a.correlation_keys || NEW.correlation_keys) AS k (key)
            ORDER BY k.key),
        sample_events = security_mgmt.newest_samples(a.sample_events, NEW.sample_events),
        status = CASE WHEN NEW.last_event_at > a.suppressed_until THEN 'new' ELSE a.status END,
        suppressed_until = CASE WHEN NEW.last_event_at <= a.suppressed_until
                                THEN a.suppressed_until END
    WHERE a.business_id = NEW.business_id
      AND a.detection_rule_id = NEW.detection_rule_id
      AND a.dedupe_key = NEW.dedupe_key
      AND a.status IN ('new', 'triage', 'escalated', 'suppressed');
    RETURN CASE WHEN FOUND THEN NULL ELSE NEW END;
END
$$;
COMMENT ON FUNCTION security_mgmt.merge_alert() IS
    'An alert on a thing that has one which is not closed becomes part of it.';

-- First by name: what is merged needs no number.
CREATE TRIGGER security_alert_merge
    BEFORE INSERT ON security_mgmt.security_alert
    FOR EACH ROW WHEN (NEW.status IN ('new', 'triage', 'escalated', 'suppressed'))
    EXECUTE FUNCTION security_mgmt.merge_alert();

CREATE FUNCTION security_mgmt.stamp_alert() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = 'triage' THEN
        NEW.acknowledged_at := coalesce(NEW.acknowledged_at, now());
    ELSIF NEW.status IN ('closed_true_positive', 'closed_benign', 'closed_false_positive') THEN
        NEW.closed_at := coalesce(NEW.closed_at, now());
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.stamp_alert() IS
    'An alert is acknowledged by its triage, and closed when it is decided.';

CREATE TRIGGER security_alert_stamp
    BEFORE UPDATE OF status ON security_mgmt.security_alert
    FOR EACH ROW WHEN (NEW.status <> OLD.status)
    EXECUTE FUNCTION security_mgmt.stamp_alert();

CREATE FUNCTION security_mgmt.measure_rules() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE security_mgmt.detection_rule AS r
    SET false_positive_pct = m.false_pct
    FROM (
        SELECT a.business_id, a.detection_rule_id,
               100.0 * count(*) FILTER (WHERE a.status <> 'closed_true_positive')
                   / count(*) AS false_pct
        FROM security_mgmt.security_alert AS a
        WHERE (a.business_id, a.detection_rule_id)
              IN (SELECT c.business_id, c.detection_rule_id FROM changed AS c
                  WHERE c.closed_at IS NOT NULL)
          AND a.closed_at IS NOT NULL
        GROUP BY a.business_id, a.detection_rule_id
    ) AS m
    WHERE r.business_id = m.business_id AND r.detection_rule_id = m.detection_rule_id
      AND r.false_positive_pct IS DISTINCT FROM round(m.false_pct, 4);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.measure_rules() IS
    'How often a rule was wrong follows from its closed alerts.';

CREATE TRIGGER security_alert_measure_insert
    AFTER INSERT ON security_mgmt.security_alert REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.measure_rules();

CREATE TRIGGER security_alert_measure_update
    AFTER UPDATE ON security_mgmt.security_alert REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.measure_rules();


CREATE FUNCTION security_mgmt.event_field(event security_mgmt.security_event, field text)
    RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE field
        WHEN 'class' THEN (event).class
        WHEN 'activity' THEN (event).activity
        WHEN 'outcome' THEN (event).outcome
        WHEN 'severity' THEN (event).severity
        WHEN 'src_ip' THEN host((event).src_ip)
        WHEN 'dst_ip' THEN host((event).dst_ip)
        WHEN 'target_kind' THEN (event).target_kind
        WHEN 'target_id' THEN (event).target_id
        WHEN 'correlation_key' THEN (event).correlation_key
        WHEN 'actor_user_account_id' THEN (event).actor_user_account_id::text
        WHEN 'log_source_id' THEN (event).log_source_id::text
        ELSE CASE WHEN starts_with(field, 'raw.')
                  THEN (event).raw::jsonb #>> string_to_array(substr(field, 5), '.') END
    END;
COMMENT ON FUNCTION security_mgmt.event_field(security_mgmt.security_event, text) IS
    'A field of an event by the name that rules use: a column, or raw.<path>.';


CREATE FUNCTION security_mgmt.condition_holds(found text, op text, operand jsonb)
    RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(CASE op
        WHEN 'eq' THEN found = operand #>> '{}'
        WHEN 'ne' THEN found IS DISTINCT FROM operand #>> '{}'
        WHEN 'in' THEN operand ? found
        WHEN 'prefix' THEN starts_with(found, operand #>> '{}')
        WHEN 'exists' THEN (found IS NOT NULL) = (operand = 'true')
        WHEN 'gte' THEN CASE WHEN found ~ '^-?[0-9]+(\.[0-9]+)?$'
                             THEN found::numeric >= (operand #>> '{}')::numeric END
        WHEN 'lte' THEN CASE WHEN found ~ '^-?[0-9]+(\.[0-9]+)?$'
                             THEN found::numeric <= (operand #>> '{}')::numeric END
    END, false);
COMMENT ON FUNCTION security_mgmt.condition_holds(text, text, jsonb) IS
    'Whether what was found in an event meets one condition of a rule.';


CREATE FUNCTION security_mgmt.event_observables(raw jsonb, src_ip inet, dst_ip inet)
    RETURNS TABLE (indicator_kind text, value text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE family(a.address) WHEN 4 THEN 'ipv4' ELSE 'ipv6' END, host(a.address)
    FROM (VALUES (src_ip), (dst_ip)) AS a (address)
    WHERE a.address IS NOT NULL
    UNION
    SELECT o.kind, CASE WHEN o.kind IN ('url', 'user_agent') THEN o.value ELSE lower(o.value) END
    FROM JSON_TABLE(raw, '$' COLUMNS (
        domain     text PATH '$.dns.query.hostname',
        url        text PATH '$.http.url',
        user_agent text PATH '$.http.user_agent',
        sha256     text PATH '$.file.sha256',
        email      text PATH '$.email.from',
        asn        text PATH '$.src.asn',
        ja4        text PATH '$.tls.ja4')) AS f
    CROSS JOIN LATERAL (VALUES
        ('domain', f.domain), ('url', f.url), ('user_agent', f.user_agent),
        ('file_sha256', f.sha256), ('email', f.email), ('asn', f.asn), ('ja4', f.ja4)
    ) AS o (kind, value)
    WHERE o.value IS NOT NULL;
END;
COMMENT ON FUNCTION security_mgmt.event_observables(jsonb, inet, inet) IS
    'What an event shows that a feed may know, in the kinds and the form of threat_indicator.';


CREATE FUNCTION security_mgmt.match_indicators(since timestamptz)
    RETURNS TABLE (
        security_event_id   uuid,
        occurred_at         timestamptz,
        threat_indicator_id uuid,
        indicator_kind      text,
        value               text,
        feed_name           text,
        confidence          numeric,
        severity            text
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT e.security_event_id, e.occurred_at, i.threat_indicator_id, i.indicator_kind, i.value,
           i.feed_name, i.confidence, i.severity
    FROM security_mgmt.security_event AS e
    CROSS JOIN LATERAL security_mgmt.event_observables(e.raw, e.src_ip, e.dst_ip) AS o
    JOIN security_mgmt.threat_indicator AS i
        ON i.business_id = e.business_id
        AND i.indicator_kind = o.indicator_kind
        AND i.value = o.value
    WHERE e.business_id = tenant_mgmt.current_business_id()
      AND e.occurred_at > since
      AND i.valid_from <= e.occurred_at
      AND (i.valid_until > e.occurred_at OR i.valid_until IS NULL);
END;
COMMENT ON FUNCTION security_mgmt.match_indicators(timestamptz) IS
    'The calling tenant''s events after a moment that show an indicator which was live then.';


CREATE TYPE security_mgmt.rule_hit AS (
    step_no             integer,
    dedupe_key          text,
    counted             text,
    occurred_at         timestamptz,
    correlation_key     text,
    asset_tag           text,
    threat_indicator_id uuid,
    sample              jsonb
);
COMMENT ON TYPE security_mgmt.rule_hit IS
    'An event that meets a branch of a rule: which, about what, and what is kept of it.';


CREATE FUNCTION security_mgmt.rule_hits(
    logic jsonb, is_sequence boolean, from_at timestamptz, until_at timestamptz
) RETURNS SETOF security_mgmt.rule_hit
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH condition AS MATERIALIZED (
        SELECT c.branch_no, c.field, c.op, c.operand
        FROM JSON_TABLE(logic, '$.any_of[*]' COLUMNS (
            branch_no FOR ORDINALITY,
            NESTED PATH '$.all_of[*]' COLUMNS (
                field   text  PATH '$.field',
                op      text  PATH '$.op',
                operand jsonb PATH '$.value'))) AS c
    ), hit AS (
        SELECT b.branch_no, ROW(e.*)::security_mgmt.security_event AS event
        FROM security_mgmt.security_event AS e
        CROSS JOIN (SELECT DISTINCT c.branch_no FROM condition AS c) AS b
        WHERE e.business_id = tenant_mgmt.current_business_id()
          AND e.occurred_at > from_at AND e.occurred_at <= until_at
          AND NOT EXISTS (
              SELECT FROM condition AS c
              WHERE c.branch_no = b.branch_no
                AND NOT security_mgmt.condition_holds(
                    security_mgmt.event_field(ROW(e.*)::security_mgmt.security_event, c.field),
                    c.op, c.operand))
    ), one AS (
        -- The branches of a sequence are its steps; otherwise an event counts once.
        SELECT DISTINCT ON ((h.event).security_event_id,
                            CASE WHEN is_sequence THEN h.branch_no END)
               h.branch_no, h.event
        FROM hit AS h
        ORDER BY (h.event).security_event_id, CASE WHEN is_sequence THEN h.branch_no END,
                 h.branch_no
    )
    SELECT h.branch_no, coalesce(k.key, (h.event).correlation_key),
           security_mgmt.event_field(h.event, logic ->> 'count_distinct'),
           (h.event).occurred_at, (h.event).correlation_key,
           CASE WHEN (h.event).target_kind = 'asset' THEN (h.event).target_id END,
           NULL::uuid,
           jsonb_build_object(
               'id', (h.event).security_event_id, 'at', (h.event).occurred_at,
               'activity', (h.event).activity, 'outcome', (h.event).outcome,
               'src_ip', host((h.event).src_ip))
    FROM one AS h
    CROSS JOIN LATERAL (
        SELECT string_agg(coalesce(security_mgmt.event_field(h.event, g.field), '-'), ' '
                          ORDER BY g.place) AS key
        FROM JSON_TABLE(logic, '$.group_by[*]' COLUMNS (
            place FOR ORDINALITY,
            field text PATH '$')) AS g
    ) AS k;
END;
COMMENT ON FUNCTION security_mgmt.rule_hits(jsonb, boolean, timestamptz, timestamptz) IS
    'The calling tenant''s events of a span of time that meet a rule tree.';


CREATE FUNCTION security_mgmt.rule_firings(
    rule security_mgmt.detection_rule, hits security_mgmt.rule_hit[], since timestamptz
) RETURNS TABLE (dedupe_key text, fired_from timestamptz)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    span      CONSTANT interval := make_interval(secs => rule.window_seconds);
    logic     CONSTANT jsonb    := rule.logic;
    step_count integer;
BEGIN
    CASE rule.rule_kind
    WHEN 'threshold' THEN
        RETURN QUERY
        SELECT w.dedupe_key, min(w.opened_at)
        FROM (
            SELECT h.dedupe_key, h.occurred_at, min(h.occurred_at) OVER recent AS opened_at,
                   CASE WHEN logic ? 'count_distinct' THEN (
                       SELECT count(DISTINCT p.counted) FROM unnest(hits) AS p
                       WHERE p.dedupe_key = h.dedupe_key
                         AND p.occurred_at BETWEEN h.occurred_at - span AND h.occurred_at)
                   ELSE count(*) OVER recent END AS reached
            FROM unnest(hits) AS h
            WINDOW recent AS (PARTITION BY h.dedupe_key ORDER BY h.occurred_at
                              RANGE BETWEEN span PRECEDING AND CURRENT ROW)
        ) AS w
        WHERE w.occurred_at > since AND w.reached >= rule.threshold_count
        GROUP BY w.dedupe_key;

    WHEN 'sequence' THEN
        step_count := jsonb_array_length(logic -> 'any_of');
        RETURN QUERY
        WITH RECURSIVE chain AS (
            SELECT h.dedupe_key, 1 AS step_no, h.occurred_at AS began_at, h.occurred_at AS came_at
            FROM unnest(hits) AS h WHERE h.step_no = 1
            UNION ALL
            SELECT c.dedupe_key, c.step_no + 1, c.began_at, n.occurred_at
            FROM chain AS c
            CROSS JOIN LATERAL (
                SELECT h.occurred_at FROM unnest(hits) AS h
                WHERE h.dedupe_key = c.dedupe_key AND h.step_no = c.step_no + 1
                  AND h.occurred_at > c.came_at AND h.occurred_at <= c.began_at + span
                ORDER BY h.occurred_at
                LIMIT 1
            ) AS n
        )
        SELECT c.dedupe_key, min(c.began_at)
        FROM chain AS c
        WHERE c.step_no = step_count AND c.came_at > since
        GROUP BY c.dedupe_key;

    WHEN 'new_term' THEN
        RETURN QUERY
        SELECT h.dedupe_key, min(h.occurred_at)
        FROM unnest(hits) AS h
        GROUP BY h.dedupe_key
        HAVING min(h.occurred_at) > since AND count(*) >= rule.threshold_count;

    WHEN 'anomaly' THEN
        RETURN QUERY
        SELECT d.dedupe_key, now() - span
        FROM (
            SELECT c.dedupe_key, max(c.newest_at) AS newest_at,
                   coalesce(sum(c.hit_count) FILTER (WHERE c.age = 0), 0) AS now_count,
                   coalesce(sum(c.hit_count) FILTER (WHERE c.age > 0), 0) AS total,
                   coalesce(sum(c.hit_count ^ 2) FILTER (WHERE c.age > 0), 0) AS squares
            FROM (
                SELECT h.dedupe_key, count(*)::numeric AS hit_count,
                       max(h.occurred_at) AS newest_at,
                       floor(extract(epoch FROM now() - h.occurred_at) / rule.window_seconds)
                           AS age
                FROM unnest(hits) AS h
                GROUP BY h.dedupe_key, age
            ) AS c
            GROUP BY c.dedupe_key
        ) AS d
        CROSS JOIN (SELECT coalesce((logic ->> 'baseline_windows')::numeric, 14) AS size,
                           coalesce((logic ->> 'deviations')::numeric, 3) AS tolerance) AS b
        WHERE d.newest_at > since AND d.now_count >= rule.threshold_count
          AND d.now_count > d.total / b.size
              + b.tolerance * sqrt(greatest(0, d.squares / b.size - (d.total / b.size) ^ 2));

    WHEN 'indicator_match' THEN
        RETURN QUERY
        SELECT h.dedupe_key, min(h.occurred_at)
        FROM unnest(hits) AS h
        GROUP BY h.dedupe_key
        HAVING count(*) >= rule.threshold_count;
    END CASE;
END
$$;
COMMENT ON FUNCTION security_mgmt.rule_firings(
    security_mgmt.detection_rule, security_mgmt.rule_hit[], timestamptz) IS
    'About which things a rule fires given the events that hit, and from when they count:
     threshold by a window that ends at each event, sequence by its steps in order, new_term by
     what was not seen before, anomaly by mean and deviation of the windows before.';


CREATE FUNCTION security_mgmt.evaluate_detection_rules(since timestamptz) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    rule   security_mgmt.detection_rule;
    hits   security_mgmt.rule_hit[];
    found  integer;
    total  integer := 0;
BEGIN
    FOR rule IN
        SELECT * FROM security_mgmt.detection_rule AS r
        WHERE r.business_id = tenant AND r.status IN ('testing', 'active')
        ORDER BY r.code, r.version_no
    LOOP
        IF rule.rule_kind = 'indicator_match' THEN
            hits := array(
                SELECT ROW(1, i.indicator_kind || ':' || i.value, NULL, h.occurred_at,
                           h.correlation_key, h.asset_tag, i.threat_indicator_id,
                           h.sample)::security_mgmt.rule_hit
                FROM security_mgmt.rule_hits(rule.logic, false, since, now()) AS h
                JOIN security_mgmt.match_indicators(since) AS i
                    ON i.security_event_id = (h.sample ->> 'id')::uuid);
        ELSE
            hits := array(
                SELECT h
                FROM security_mgmt.rule_hits(
                    rule.logic, rule.rule_kind = 'sequence',
                    CASE rule.rule_kind
                        WHEN 'new_term' THEN since - make_interval(
                            days => coalesce((rule.logic ->> 'history_days')::integer, 30))
                        WHEN 'anomaly' THEN now() - make_interval(secs => rule.window_seconds
                            * (1 + coalesce((rule.logic ->> 'baseline_windows')::numeric, 14)))
                        ELSE since - make_interval(secs => rule.window_seconds) END,
                    now()) AS h);
        END IF;
        UPDATE security_mgmt.detection_rule AS r
        SET last_run_at = now(),
            last_hit_count = (SELECT count(*) FROM unnest(hits) AS h WHERE h.occurred_at > since)
        WHERE r.business_id = tenant AND r.detection_rule_id = rule.detection_rule_id;
        CONTINUE WHEN rule.status = 'testing';

        -- Only what came after the last alert on the thing: a run may be repeated.
        WITH fired AS MATERIALIZED (
            SELECT f.dedupe_key, min(h.occurred_at) AS first_at, max(h.occurred_at) AS last_at,
                   count(DISTINCT h.sample ->> 'id') AS event_count,
                   array_agg(DISTINCT h.correlation_key) AS correlation_keys,
                   max(h.asset_tag) AS asset_tag,
                   (array_agg(h.threat_indicator_id))[1] AS threat_indicator_id,
                   jsonb_agg(h.sample ORDER BY h.occurred_at) AS samples
            FROM security_mgmt.rule_firings(rule, hits, since) AS f
            JOIN unnest(hits) AS h ON h.dedupe_key = f.dedupe_key
            LEFT JOIN LATERAL (
                SELECT max(a.last_event_at) AS seen_until
                FROM security_mgmt.security_alert AS a
                WHERE a.business_id = tenant
                  AND a.detection_rule_id = rule.detection_rule_id
                  AND a.dedupe_key = f.dedupe_key
            ) AS w ON true
            WHERE h.occurred_at >= f.fired_from
              AND (h.occurred_at > w.seen_until OR w.seen_until IS NULL)
            GROUP BY f.dedupe_key
        ), opened AS (
            INSERT INTO security_mgmt.security_alert
                (business_id, detection_rule_id, threat_indicator_id, security_asset_id,
                 dedupe_key, correlation_keys, severity, risk_points, event_count, sample_events,
                 first_event_at, last_event_at)
            SELECT tenant, rule.detection_rule_id, f.threat_indicator_id, s.security_asset_id,
                   f.dedupe_key, f.correlation_keys,
                   CASE rule.severity WHEN 'info' THEN 'low' ELSE rule.severity END,
                   least(100, CASE rule.severity WHEN 'critical' THEN 80 WHEN 'high' THEN 60
                                                 WHEN 'medium' THEN 35 ELSE 10 END
                              + coalesce(i.confidence / 10, 0) + least(10, f.event_count / 10)),
                   f.event_count, security_mgmt.newest_samples('[]', f.samples),
                   f.first_at, f.last_at
            FROM fired AS f
            LEFT JOIN security_mgmt.threat_indicator AS i
                ON i.business_id = tenant AND i.threat_indicator_id = f.threat_indicator_id
            LEFT JOIN security_mgmt.security_asset AS s
                ON s.business_id = tenant AND s.asset_tag = f.asset_tag
            ORDER BY f.dedupe_key
        ), sighted AS (
            UPDATE security_mgmt.threat_indicator AS i
            SET sighting_count = i.sighting_count + f.event_count,
                first_sighted_at = least(i.first_sighted_at, f.first_at),
                last_sighted_at = greatest(i.last_sighted_at, f.last_at)
            FROM fired AS f
            WHERE i.business_id = tenant AND i.threat_indicator_id = f.threat_indicator_id
        )
        SELECT count(*) INTO found FROM fired;
        total := total + found;

        IF found > 0 AND rule.suppression_minutes > 0 THEN
            UPDATE security_mgmt.security_alert AS a
            SET status = 'suppressed', suppressed_until = b.until_at
            FROM (
                SELECT x.dedupe_key,
                       max(x.closed_at) + make_interval(mins => rule.suppression_minutes)
                           AS until_at
                FROM security_mgmt.security_alert AS x
                WHERE x.business_id = tenant
                  AND x.detection_rule_id = rule.detection_rule_id
                  AND x.status IN ('closed_benign', 'closed_false_positive')
                GROUP BY x.dedupe_key
            ) AS b
            WHERE a.business_id = tenant
              AND a.detection_rule_id = rule.detection_rule_id
              AND a.dedupe_key = b.dedupe_key
              AND a.status = 'new'
              AND a.last_event_at <= b.until_at;
        END IF;
    END LOOP;
    RETURN total;
END
$$;
COMMENT ON FUNCTION security_mgmt.evaluate_detection_rules(timestamptz) IS
    'Asks the calling tenant''s active rules about the events after a moment and opens or extends
     alerts; returns how many. Runs may overlap: an event is counted by an alert once. Rules in
     testing are asked too, but raise nothing.';


CREATE FUNCTION security_mgmt.mark_silent_sources() RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    marked integer;
BEGIN
    UPDATE security_mgmt.log_source AS s
    SET silent_since = coalesce(s.last_event_at, s.created_at)
                       + make_interval(secs => 3 * s.expected_interval_seconds)
    WHERE s.business_id = tenant_mgmt.current_business_id()
      AND s.is_enabled AND s.silent_since IS NULL
      AND coalesce(s.last_event_at, s.created_at)
          + make_interval(secs => 3 * s.expected_interval_seconds) < now();
    GET DIAGNOSTICS marked = ROW_COUNT;
    RETURN marked;
END
$$;
COMMENT ON FUNCTION security_mgmt.mark_silent_sources() IS
    'Marks the calling tenant''s sources without an event for three intervals; returns how many.';


CREATE VIEW security_mgmt.v_open_alert_queue
    WITH (security_invoker = true) AS
SELECT a.business_id, a.security_alert_id, a.alert_number, a.severity, a.status, a.risk_points,
       r.code AS rule_code, r.name AS rule_name, r.attack_technique, a.dedupe_key, a.event_count,
       a.first_event_at, a.last_event_at, now() - a.first_event_at AS age,
       a.assigned_to_user_account_id, u.display_name AS assigned_to
FROM security_mgmt.security_alert AS a
JOIN security_mgmt.detection_rule AS r
    ON r.business_id = a.business_id AND r.detection_rule_id = a.detection_rule_id
LEFT JOIN user_mgmt.user_account AS u
    ON u.business_id = a.business_id AND u.user_account_id = a.assigned_to_user_account_id
WHERE a.business_id = tenant_mgmt.current_business_id()
  AND a.status IN ('new', 'triage', 'escalated')
ORDER BY a.severity_rank, a.first_event_at;
COMMENT ON VIEW security_mgmt.v_open_alert_queue IS
    'Open alerts with rule and assignee, the worst and then the oldest first.';
GRANT SELECT ON security_mgmt.v_open_alert_queue TO app_user, app_readonly;


CREATE VIEW security_mgmt.v_silent_log_source
    WITH (security_invoker = true) AS
SELECT s.business_id, s.log_source_id, s.name, s.kind, s.criticality, s.last_event_at,
       s.expected_interval_seconds, s.silent_since,
       now() - coalesce(s.last_event_at, s.created_at) AS quiet_for, s.owner_user_account_id
FROM security_mgmt.log_source AS s
WHERE s.business_id = tenant_mgmt.current_business_id()
  AND s.is_enabled
  AND coalesce(s.last_event_at, s.created_at)
      + make_interval(secs => 3 * s.expected_interval_seconds) < now();
COMMENT ON VIEW security_mgmt.v_silent_log_source IS
    'Sources that stopped sending, whether mark_silent_sources() has run or not.';
GRANT SELECT ON security_mgmt.v_silent_log_source TO app_user, app_readonly;


CREATE MATERIALIZED VIEW security_mgmt.mv_security_event_hourly AS
SELECT e.business_id, date_trunc('hour', e.occurred_at, 'UTC') AS hour_start, e.class, e.outcome,
       count(*) AS event_count,
       count(*) FILTER (WHERE e.severity IN ('high', 'critical')) AS severe_count,
       count(DISTINCT e.actor_user_account_id) AS actor_count,
       count(DISTINCT e.src_ip) AS address_count
FROM security_mgmt.security_event AS e
GROUP BY e.business_id, hour_start, e.class, e.outcome
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW security_mgmt.mv_security_event_hourly IS
    'Events per hour, class and outcome; read through v_security_event_hourly.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_security_event_hourly_idx
    ON security_mgmt.mv_security_event_hourly (business_id, hour_start, class, outcome);

GRANT USAGE ON SCHEMA security_mgmt TO matview_owner;
GRANT SELECT ON security_mgmt.security_event TO matview_owner;

CREATE VIEW security_mgmt.v_security_event_hourly
    WITH (security_barrier = true) AS
SELECT m.business_id, m.hour_start, m.class, m.outcome, m.event_count, m.severe_count,
       m.actor_count, m.address_count
FROM security_mgmt.mv_security_event_hourly AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW security_mgmt.v_security_event_hourly IS
    'The tenant''s own part of mv_security_event_hourly.';
GRANT SELECT ON security_mgmt.v_security_event_hourly TO app_user, app_readonly;
