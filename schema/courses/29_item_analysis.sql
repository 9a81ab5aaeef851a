/*
 * What is known of an exam afterwards: who was watched, and which questions were any good.
 *
 * A proctoring_session watches an assessment_attempt, with the learner's consent; a
 * proctoring_flag is a moment in it that looked wrong, which somebody reviews before it counts. A
 * question_statistic is what a question did over a window: courses.item_statistics() writes them
 * by classical item analysis, so that a question that the best fail is found.
 */

CREATE TABLE courses.proctoring_session (
    business_id              uuid        NOT NULL,
    proctoring_session_id    uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    assessment_attempt_id    uuid        NOT NULL,
    reviewed_by              uuid,
    recording_file_object_id uuid,
    mode                     text        NOT NULL,
    identity_verified        boolean     NOT NULL DEFAULT false,
    id_document_kind         text,
    room_scan_done           boolean     NOT NULL DEFAULT false,
    browser_locked           boolean     NOT NULL DEFAULT false,
    started_at               timestamptz,
    ended_at                 timestamptz,
    integrity_score          system_core.score,
    verdict                  text,
    reviewed_at              timestamptz,
    retention_until          date,
    consent_given            boolean     NOT NULL DEFAULT false,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, proctoring_session_id),
    FOREIGN KEY (business_id, assessment_attempt_id)
        REFERENCES courses.assessment_attempt (business_id, assessment_attempt_id),
    FOREIGN KEY (business_id, reviewed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, recording_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT proctoring_session_mode_known
        CHECK (mode IN ('live', 'recorded', 'automated', 'in_person')),
    CONSTRAINT proctoring_session_verdict_known
        CHECK (verdict IN ('clear', 'review', 'violation', 'inconclusive')),
    CONSTRAINT proctoring_session_id_document_kind_known
        CHECK (id_document_kind IN ('passport', 'identity_card', 'driving_license',
                                    'student_card')),
    CONSTRAINT proctoring_session_starts_with_consent
        CHECK (started_at IS NULL OR consent_given),
    CONSTRAINT proctoring_session_verified_by_document
        CHECK (NOT identity_verified OR id_document_kind IS NOT NULL),
    CONSTRAINT proctoring_session_ended_after_start CHECK (ended_at >= started_at),
    CONSTRAINT proctoring_session_ended_was_started
        CHECK (ended_at IS NULL OR started_at IS NOT NULL),
    CONSTRAINT proctoring_session_integrity_bounded CHECK (integrity_score BETWEEN 0 AND 100),
    CONSTRAINT proctoring_session_judged_after_end
        CHECK (verdict IS NULL OR ended_at IS NOT NULL),
    CONSTRAINT proctoring_session_violation_has_reviewer
        CHECK (coalesce(verdict, '') <> 'violation'
               OR (reviewed_by IS NOT NULL AND reviewed_at IS NOT NULL)),
    CONSTRAINT proctoring_session_kept_up_to_180_days
        CHECK (retention_until <= (ended_at AT TIME ZONE 'UTC')::date + 180),
    CONSTRAINT proctoring_session_recording_has_an_end
        CHECK (recording_file_object_id IS NULL OR ended_at IS NULL
               OR retention_until IS NOT NULL)
);

COMMENT ON TABLE courses.proctoring_session IS
    'Supervised attempt: identity check, recording, verdict.';
COMMENT ON COLUMN courses.proctoring_session.verdict IS
    'NULL until it is judged; a machine clears or asks for review, only a person finds a
     violation.';
COMMENT ON COLUMN courses.proctoring_session.retention_until IS
    'When the recording of a person''s room is deleted, 180 days after the end at the latest.';

-- FK: how an attempt was watched.
CREATE INDEX proctoring_session_assessment_attempt_idx
    ON courses.proctoring_session (business_id, assessment_attempt_id);

-- FK: what somebody reviewed.
CREATE INDEX proctoring_session_reviewed_by_idx
    ON courses.proctoring_session (business_id, reviewed_by)
    WHERE reviewed_by IS NOT NULL;

-- FK: the session that a recording shows.
CREATE INDEX proctoring_session_recording_idx
    ON courses.proctoring_session (business_id, recording_file_object_id)
    WHERE recording_file_object_id IS NOT NULL;

-- Recordings that are to be deleted.
CREATE INDEX proctoring_session_retention_idx
    ON courses.proctoring_session (business_id, retention_until)
    WHERE recording_file_object_id IS NOT NULL;

ALTER TABLE courses.proctoring_session ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.proctoring_session
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.proctoring_session TO app_user;
GRANT SELECT ON courses.proctoring_session TO app_readonly;

CREATE TRIGGER proctoring_session_touch
    BEFORE UPDATE ON courses.proctoring_session
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.proctoring_flag (
    business_id           uuid                    NOT NULL,
    proctoring_flag_id    uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    proctoring_session_id uuid                    NOT NULL,
    flagged_at            timestamptz             NOT NULL DEFAULT now(),
    flag_kind             text                    NOT NULL,
    severity              text                    NOT NULL DEFAULT 'low',
    offset_seconds        integer                 NOT NULL,
    duration_seconds      integer                 NOT NULL DEFAULT 0,
    confidence            system_core.probability NOT NULL,
    reviewer_decision     text                    NOT NULL DEFAULT 'pending',
    reviewed              boolean                 GENERATED ALWAYS AS (
        reviewer_decision <> 'pending') STORED,
    evidence_ref          text,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, proctoring_flag_id, flagged_at),
    FOREIGN KEY (business_id, proctoring_session_id)
        REFERENCES courses.proctoring_session (business_id, proctoring_session_id),
    CONSTRAINT proctoring_flag_kind_known
        CHECK (flag_kind IN ('multiple_faces', 'no_face', 'gaze_away', 'phone', 'second_voice',
                             'tab_switch', 'copy_paste', 'network_change', 'screen_share')),
    CONSTRAINT proctoring_flag_severity_known CHECK (severity IN ('low', 'medium', 'high')),
    CONSTRAINT proctoring_flag_reviewer_decision_known
        CHECK (reviewer_decision IN ('dismissed', 'confirmed', 'unclear', 'pending')),
    CONSTRAINT proctoring_flag_confidence_bounded CHECK (confidence BETWEEN 0 AND 1),
    CONSTRAINT proctoring_flag_offset_not_negative CHECK (offset_seconds >= 0),
    CONSTRAINT proctoring_flag_duration_not_negative CHECK (duration_seconds >= 0)
) PARTITION BY RANGE (flagged_at);

COMMENT ON TABLE courses.proctoring_flag IS 'Suspicious moment in a supervised attempt.';
COMMENT ON COLUMN courses.proctoring_flag.offset_seconds IS 'Into the recording.';
COMMENT ON COLUMN courses.proctoring_flag.confidence IS 'Of the detector.';

-- FK: the moments of a session, in order.
CREATE INDEX proctoring_flag_proctoring_session_idx
    ON courses.proctoring_flag (business_id, proctoring_session_id, flagged_at);

ALTER TABLE courses.proctoring_flag ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.proctoring_flag
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE ON courses.proctoring_flag TO app_user;
GRANT SELECT ON courses.proctoring_flag TO app_readonly;

CREATE TRIGGER proctoring_flag_touch
    BEFORE UPDATE ON courses.proctoring_flag
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.keep_flag() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a flag is evidence: only the decision on it changes'
        USING ERRCODE = 'restrict_violation';
END
$$;
COMMENT ON FUNCTION courses.keep_flag() IS
    'What was seen stays as it was seen, whatever a reviewer makes of it.';

CREATE TRIGGER proctoring_flag_kept
    BEFORE UPDATE ON courses.proctoring_flag
    FOR EACH ROW WHEN (
        (NEW.proctoring_session_id, NEW.flagged_at, NEW.flag_kind, NEW.offset_seconds,
         NEW.duration_seconds, NEW.confidence, NEW.evidence_ref)
        IS DISTINCT FROM
        (OLD.proctoring_session_id, OLD.flagged_at, OLD.flag_kind, OLD.offset_seconds,
         OLD.duration_seconds, OLD.confidence, OLD.evidence_ref))
    EXECUTE FUNCTION courses.keep_flag();

CREATE TRIGGER proctoring_flag_not_deleted
    BEFORE DELETE ON courses.proctoring_flag
    FOR EACH ROW EXECUTE FUNCTION courses.keep_flag();

CREATE TABLE courses.proctoring_flag_default PARTITION OF courses.proctoring_flag DEFAULT;
ALTER TABLE courses.proctoring_flag_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.proctoring_flag_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('courses.proctoring_flag', 'month', behind => 13, ahead => 3);


CREATE TABLE courses.question_statistic (
    business_id           uuid                    NOT NULL,
    question_statistic_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    question_id           uuid                    NOT NULL,
    assessment_id         uuid,
    window_start          date                    NOT NULL,
    window_end            date                    NOT NULL,
    attempt_count         integer                 NOT NULL DEFAULT 0,
    facility_index        system_core.score,
    discrimination_index  system_core.score,
    point_biserial        system_core.score,
    average_seconds       numeric(9, 2),
    omit_pct              system_core.percentage,
    option_distribution   system_core.json_object NOT NULL DEFAULT '{}',
    differential_flag     boolean                 NOT NULL DEFAULT false,
    quality               text,
    computed_at           timestamptz             NOT NULL DEFAULT now(),
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, question_statistic_id),
    UNIQUE NULLS NOT DISTINCT (business_id, question_id, assessment_id, window_start),
    FOREIGN KEY (business_id, question_id) REFERENCES courses.question (business_id, question_id),
    FOREIGN KEY (business_id, assessment_id)
        REFERENCES courses.assessment (business_id, assessment_id),
    CONSTRAINT question_statistic_quality_known
        CHECK (quality IN ('good', 'too_easy', 'too_hard', 'ambiguous', 'broken')),
    CONSTRAINT question_statistic_window_ends_after_start CHECK (window_end >= window_start),
    CONSTRAINT question_statistic_facility_bounded CHECK (facility_index BETWEEN 0 AND 1),
    CONSTRAINT question_statistic_correlations_bounded
        CHECK (discrimination_index BETWEEN -1 AND 1 AND point_biserial BETWEEN -1 AND 1),
    CONSTRAINT question_statistic_attempts_not_negative CHECK (attempt_count >= 0),
    CONSTRAINT question_statistic_omit_bounded CHECK (omit_pct BETWEEN 0 AND 100),
    CONSTRAINT question_statistic_quality_needs_attempts
        CHECK (quality IS NULL OR attempt_count > 0)
);

COMMENT ON TABLE courses.question_statistic IS 'Item analysis of a question over a window.';
COMMENT ON COLUMN courses.question_statistic.facility_index IS
    'Share of the points that learners got: 1 is that all were right.';
COMMENT ON COLUMN courses.question_statistic.discrimination_index IS
    'Facility among the best 27 percent less that among the weakest 27 percent.';
COMMENT ON COLUMN courses.question_statistic.point_biserial IS
    'Correlation of the item with the rest of the score; below zero, the better learners fail it.';
COMMENT ON COLUMN courses.question_statistic.option_distribution IS
    'How often each option was chosen: {option id: count}.';
COMMENT ON COLUMN courses.question_statistic.differential_flag IS
    'Learners of two segments fare differently here by a fifth more than in the whole.';
COMMENT ON COLUMN courses.question_statistic.quality IS 'NULL: too few attempts to tell.';

-- FK: the items of an assessment.
CREATE INDEX question_statistic_assessment_idx
    ON courses.question_statistic (business_id, assessment_id)
    WHERE assessment_id IS NOT NULL;

-- What an item writer should look at.
CREATE INDEX question_statistic_poor_idx
    ON courses.question_statistic (business_id, computed_at)
    WHERE quality IN ('ambiguous', 'broken');

ALTER TABLE courses.question_statistic ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.question_statistic
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.question_statistic TO app_user;
GRANT SELECT ON courses.question_statistic TO app_readonly;

CREATE TRIGGER question_statistic_touch
    BEFORE UPDATE ON courses.question_statistic
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.item_quality(
    attempts       bigint,
    facility       numeric,
    discrimination numeric,
    correlation    numeric
) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN attempts < 10 THEN NULL
                WHEN correlation < -0.05 OR discrimination < -0.05 THEN 'broken'
                WHEN facility > 0.95 THEN 'too_easy'
                WHEN facility < 0.20 THEN 'too_hard'
                WHEN coalesce(correlation, 0) < 0.10 AND coalesce(discrimination, 0) < 0.15
                    THEN 'ambiguous'
                ELSE 'good' END;
COMMENT ON FUNCTION courses.item_quality(bigint, numeric, numeric, numeric) IS
    'What a test author makes of an item: one that good learners fail is broken, one that does not
     tell them from others is ambiguous; below ten attempts nothing is said.';

CREATE FUNCTION courses.item_statistics(
    assessment uuid,
    from_date  date,
    to_date    date,
    moment     timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    written integer;
BEGIN
    WITH answers AS (
        -- The first graded attempt of each learner: later ones know the questions.
        SELECT r.question_id, r.assessment_attempt_id, r.response::jsonb AS response,
               r.time_spent_seconds, a.score, l.segment,
               least(greatest(coalesce(r.points_awarded, 0) / nullif(r.max_points, 0), 0), 1)
                   AS share,
               a.score - coalesce(r.points_awarded, 0) AS rest,
               a.score_pct / 100 AS whole
        FROM (
            SELECT DISTINCT ON (x.enrollment_id) x.*
            FROM courses.assessment_attempt AS x
            WHERE x.business_id = tenant AND x.assessment_id = item_statistics.assessment
              AND x.state = 'graded'
              AND x.submitted_at >= from_date::timestamp AT TIME ZONE 'UTC'
              AND x.submitted_at < (to_date + 1)::timestamp AT TIME ZONE 'UTC'
            ORDER BY x.enrollment_id, x.attempt_no
        ) AS a
        JOIN courses.enrollment AS e
            ON e.business_id = tenant AND e.enrollment_id = a.enrollment_id
        JOIN courses.learner AS l ON l.business_id = tenant AND l.learner_id = e.learner_id
        JOIN courses.attempt_response AS r
            ON r.business_id = tenant AND r.assessment_attempt_id = a.assessment_attempt_id
    ), ranked AS (
        SELECT x.*, count(*) OVER q AS takers,
               row_number() OVER (q ORDER BY x.score DESC, x.assessment_attempt_id) AS from_top
        FROM answers AS x
        WINDOW q AS (PARTITION BY x.question_id)
    ), items AS (
        SELECT r.question_id, count(*) AS attempts, avg(r.share) AS facility,
               avg(r.share) FILTER (WHERE r.from_top <= ceil(r.takers * 0.27))
               - avg(r.share) FILTER (WHERE r.from_top > r.takers - ceil(r.takers * 0.27))
                   AS discrimination,
               corr(r.share, r.rest) AS correlation, avg(r.time_spent_seconds) AS seconds,
               100 * avg((r.response IS NULL)::integer) AS omitted
        FROM ranked AS r
        GROUP BY r.question_id
    ), chosen AS (
        SELECT n.question_id, jsonb_object_agg(n.option_id, n.times ORDER BY n.option_id) AS spread
        FROM (
            SELECT x.question_id, j.option_id, count(*) AS times
            FROM answers AS x
            CROSS JOIN JSON_TABLE(x.response, '$.parts[*]' COLUMNS (
                option_id uuid PATH '$.option')) AS j
            WHERE j.option_id IS NOT NULL
            GROUP BY x.question_id, j.option_id
        ) AS n
        GROUP BY n.question_id
    ), segments AS (
        SELECT s.question_id, max(s.ahead) - min(s.ahead) >= 0.2 AS differs
        FROM (
            SELECT x.question_id, x.segment, avg(x.share) - avg(x.whole) AS ahead
            FROM answers AS x
            GROUP BY x.question_id, x.segment
            HAVING count(*) >= 10
        ) AS s
        GROUP BY s.question_id
    )
    INSERT INTO courses.question_statistic AS k
        (business_id, question_id, assessment_id, window_start, window_end, attempt_count,
         facility_index, discrimination_index, point_biserial, average_seconds, omit_pct,
         option_distribution, differential_flag, quality, computed_at)
    SELECT tenant, i.question_id, item_statistics.assessment, from_date, to_date, i.attempts,
           round(i.facility, 4), round(i.discrimination, 4), round(i.correlation::numeric, 4),
           round(i.seconds, 2), round(i.omitted, 4), coalesce(c.spread, '{}'),
           coalesce(s.differs, false),
           courses.item_quality(i.attempts, i.facility, i.discrimination,
                                i.correlation::numeric), moment
    FROM items AS i
    LEFT JOIN chosen AS c ON c.question_id = i.question_id
    LEFT JOIN segments AS s ON s.question_id = i.question_id
    ON CONFLICT (business_id, question_id, assessment_id, window_start)
    DO UPDATE SET window_end = excluded.window_end, attempt_count = excluded.attempt_count,
                  facility_index = excluded.facility_index,
                  discrimination_index = excluded.discrimination_index,
                  point_biserial = excluded.point_biserial,
                  average_seconds = excluded.average_seconds, omit_pct = excluded.omit_pct,
                  option_distribution = excluded.option_distribution,
                  differential_flag = excluded.differential_flag, quality = excluded.quality,
                  computed_at = excluded.computed_at
    WHERE k.business_id = excluded.business_id;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
COMMENT ON FUNCTION courses.item_statistics(uuid, date, date, timestamptz) IS
    'Writes the item analysis of an assessment for the attempts submitted in a window (UTC):
     facility, discrimination of the best against the weakest 27 percent, point-biserial correlation
     with the rest of the score, and how often each option was chosen. Returns how many items.';
