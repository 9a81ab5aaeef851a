/*
 * TODO: what the area is and how its tables relate.
 *
 * Authors and learners: modules, lessons, versions, media, captions, SCORM, LTI, release and
 * accessibility.
 */

CREATE TABLE courses.course_module (
    business_id       uuid                   NOT NULL,
    course_module_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    parent_module_id  uuid,
    course_id         uuid                   NOT NULL,
    title             text                   NOT NULL,
    sort_order        integer,
    summary           text,
    estimated_minutes integer,
    is_published      boolean                NOT NULL DEFAULT false,
    unlock_after_days integer,
    requirement       text                   NOT NULL,
    minimum_score_pct system_core.percentage,
    is_optional       boolean                NOT NULL DEFAULT false,
    content_hash      bytea,
    created_at        timestamptz            NOT NULL DEFAULT now(),
    updated_at        timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_module_id),
    FOREIGN KEY (business_id, parent_module_id)
        REFERENCES courses.course_module (business_id, course_module_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    CONSTRAINT course_module_requirement_known
        CHECK (requirement IN ('all_items', 'one_item', 'minimum_score', 'none'))
);

COMMENT ON TABLE courses.course_module IS 'Chapter of a course.';
-- RULE unique (business_id, course_id, parent_module_id, sort_order) nulls not distinct
-- RULE parent is in the same course (trigger)
-- RULE minimum_score_pct is not null for minimum_score

-- FK: the course modules of a course module.
CREATE INDEX course_module_parent_module_idx
    ON courses.course_module (business_id, parent_module_id)
    WHERE parent_module_id IS NOT NULL;

-- FK: the course modules of a course.
CREATE INDEX course_module_course_idx
    ON courses.course_module (business_id, course_id);

ALTER TABLE courses.course_module ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_module
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_module TO app_user;
GRANT SELECT ON courses.course_module TO app_readonly;

CREATE TRIGGER course_module_touch
    BEFORE UPDATE ON courses.course_module
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.lti_tool (
    business_id               uuid             NOT NULL,
    lti_tool_id               uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    integration_connection_id uuid,
    name                      text             NOT NULL,
    client_identifier         text,
    deployment_code           system_core.code,
    issuer                    text,
    login_url                 system_core.url,
    jwks_url                  system_core.url,
    target_url                system_core.url,
    placements                text[]           NOT NULL DEFAULT '{}',
    privacy_level             text             NOT NULL,
    services                  text[]           NOT NULL DEFAULT '{}',
    status                    text             NOT NULL DEFAULT 'active',
    key_rotated_at            timestamptz,
    created_at                timestamptz      NOT NULL DEFAULT now(),
    updated_at                timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, lti_tool_id),
    UNIQUE (business_id, issuer, client_identifier, deployment_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, integration_connection_id)
        REFERENCES system_core.integration_connection (business_id, integration_connection_id),
    CONSTRAINT lti_tool_privacy_level_known
        CHECK (privacy_level IN ('anonymous', 'name_only', 'email_only', 'public')),
    CONSTRAINT lti_tool_status_known CHECK (status IN ('active', 'disabled', 'testing'))
);

COMMENT ON TABLE courses.lti_tool IS 'External tool registered by LTI 1.3.';
-- RULE urls use https
-- RULE privacy_level limits the claims sent (function)

-- FK: the lti tools of a integration connection.
CREATE INDEX lti_tool_integration_connection_idx
    ON courses.lti_tool (business_id, integration_connection_id)
    WHERE integration_connection_id IS NOT NULL;

ALTER TABLE courses.lti_tool ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.lti_tool
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.lti_tool TO app_user;
GRANT SELECT ON courses.lti_tool TO app_readonly;

CREATE TRIGGER lti_tool_touch
    BEFORE UPDATE ON courses.lti_tool
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.lesson (
    business_id       uuid                   NOT NULL,
    lesson_id         uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    course_module_id  uuid                   NOT NULL,
    title             text                   NOT NULL,
    lesson_kind       text                   NOT NULL,
    sort_order        integer,
    estimated_minutes integer,
    is_preview        boolean                NOT NULL DEFAULT false,
    is_published      boolean                NOT NULL DEFAULT false,
    completion_rule   text                   NOT NULL,
    minimum_seconds   integer,
    minimum_watch_pct system_core.percentage,
    points_possible   system_core.quantity,
    slug              system_core.slug,
    created_at        timestamptz            NOT NULL DEFAULT now(),
    updated_at        timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, lesson_id),
    UNIQUE (business_id, course_module_id, sort_order),
    FOREIGN KEY (business_id, course_module_id)
        REFERENCES courses.course_module (business_id, course_module_id),
    CONSTRAINT lesson_lesson_kind_known
        CHECK (lesson_kind IN ('page', 'video', 'audio', 'reading', 'live', 'assessment',
               'assignment', 'discussion', 'lab', 'scorm', 'external_tool')),
    CONSTRAINT lesson_completion_rule_known
        CHECK (completion_rule IN ('viewed', 'scrolled', 'minimum_time', 'minimum_watch',
               'submitted', 'passed', 'manual'))
);

COMMENT ON TABLE courses.lesson IS 'Lesson page in a module, with its completion rule.';
-- RULE minimum_watch_pct between 1 and 100 for minimum_watch
-- RULE preview lessons are not assessments

ALTER TABLE courses.lesson ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.lesson
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.lesson TO app_user;
GRANT SELECT ON courses.lesson TO app_readonly;

CREATE TRIGGER lesson_touch
    BEFORE UPDATE ON courses.lesson
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.content_item (
    business_id            uuid             NOT NULL,
    content_item_id        uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    author_user_account_id uuid             NOT NULL,
    lesson_id              uuid,
    file_object_id         uuid,
    content_kind           text             NOT NULL,
    title                  text             NOT NULL,
    body                   text,
    sort_order             integer,
    license                text             NOT NULL,
    language_code          system_core.code,
    reading_level          text,
    duration_seconds       integer,
    status                 text             NOT NULL DEFAULT 'draft',
    source_url             system_core.url,
    current_version_no     integer,
    created_at             timestamptz      NOT NULL DEFAULT now(),
    updated_at             timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, content_item_id),
    FOREIGN KEY (business_id, author_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT content_item_content_kind_known
        CHECK (content_kind IN ('html', 'video', 'audio', 'pdf', 'slides', 'image', 'code',
               'embed', 'h5p', 'download', 'link')),
    CONSTRAINT content_item_license_known
        CHECK (license IN ('all_rights_reserved', 'cc_by', 'cc_by_sa', 'cc_by_nc',
               'public_domain', 'purchased')),
    CONSTRAINT content_item_status_known
        CHECK (status IN ('draft', 'review', 'published', 'retired')),
    CONSTRAINT content_item_duration_seconds_not_negative CHECK (duration_seconds >= 0)
);

COMMENT ON TABLE courses.content_item IS 'Reusable piece of content placed in lessons.';
-- RULE file kinds have a file_object
-- RULE source_url is not null for embed and link

-- FK: the content items of a user account.
CREATE INDEX content_item_author_user_account_idx
    ON courses.content_item (business_id, author_user_account_id);

-- FK: the content items of a lesson.
CREATE INDEX content_item_lesson_idx
    ON courses.content_item (business_id, lesson_id)
    WHERE lesson_id IS NOT NULL;

-- FK: the content items of a file object.
CREATE INDEX content_item_file_object_idx
    ON courses.content_item (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE courses.content_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.content_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.content_item TO app_user;
GRANT SELECT ON courses.content_item TO app_readonly;

CREATE TRIGGER content_item_touch
    BEFORE UPDATE ON courses.content_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.scorm_package (
    business_id      uuid                    NOT NULL,
    scorm_package_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    lesson_id        uuid                    NOT NULL,
    file_object_id   uuid                    NOT NULL,
    standard         text                    NOT NULL,
    identifier       text,
    title            text                    NOT NULL,
    entry_point      text,
    manifest         system_core.json_object,
    sco_count        integer,
    mastery_score    system_core.score,
    max_attempts     integer,
    attempt_grading  text                    NOT NULL,
    imported_at      timestamptz,
    validation_state text                    NOT NULL,
    package_sha256   system_core.sha256,
    created_at       timestamptz             NOT NULL DEFAULT now(),
    updated_at       timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, scorm_package_id),
    UNIQUE (business_id, lesson_id, package_sha256),
    FOREIGN KEY (business_id, lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT scorm_package_standard_known
        CHECK (standard IN ('scorm_12', 'scorm_2004', 'cmi5', 'aicc')),
    CONSTRAINT scorm_package_attempt_grading_known
        CHECK (attempt_grading IN ('highest', 'latest', 'average', 'first')),
    CONSTRAINT scorm_package_validation_state_known
        CHECK (validation_state IN ('valid', 'warnings', 'invalid')),
    CONSTRAINT scorm_package_mastery_score_bounded CHECK (mastery_score BETWEEN 0 AND 100)
);

COMMENT ON TABLE courses.scorm_package IS 'Uploaded SCORM or cmi5 package.';
-- RULE invalid packages are not launchable (trigger)

-- FK: the scorm packages of a file object.
CREATE INDEX scorm_package_file_object_idx
    ON courses.scorm_package (business_id, file_object_id);

ALTER TABLE courses.scorm_package ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.scorm_package
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.scorm_package TO app_user;
GRANT SELECT ON courses.scorm_package TO app_readonly;

CREATE TRIGGER scorm_package_touch
    BEFORE UPDATE ON courses.scorm_package
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.lti_launch (
    business_id       uuid                     NOT NULL,
    lti_launch_id     uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    lti_tool_id       uuid                     NOT NULL,
    lesson_id         uuid,
    enrollment_id     uuid,
    launched_at       timestamptz              NOT NULL,
    message_type      text                     NOT NULL,
    nonce_hash        bytea,
    state             text                     NOT NULL DEFAULT 'started',
    claims            system_core.json_object,
    score_given       system_core.quantity,
    score_maximum     system_core.quantity,
    activity_progress text                     NOT NULL,
    failure_reason    text,
    duration_ms       system_core.milliseconds,
    created_at        timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, lti_launch_id, launched_at),
    FOREIGN KEY (business_id, lti_tool_id) REFERENCES courses.lti_tool (business_id, lti_tool_id),
    FOREIGN KEY (business_id, lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    CONSTRAINT lti_launch_message_type_known
        CHECK (message_type IN ('resource_link', 'deep_linking', 'submission_review')),
    CONSTRAINT lti_launch_state_known
        CHECK (state IN ('started', 'validated', 'completed', 'failed')),
    CONSTRAINT lti_launch_activity_progress_known
        CHECK (activity_progress IN ('initialized', 'started', 'in_progress', 'submitted',
               'completed')),
    CONSTRAINT lti_launch_score_given_score_maximum CHECK (score_given <= score_maximum)
) PARTITION BY RANGE (launched_at);

COMMENT ON TABLE courses.lti_launch IS
    'Launch of a tool with its context and returned score; append only.';
-- RULE nonce used once per business and day
-- RULE failure_reason is not null when failed

-- FK: the lti launchs of a lti tool.
CREATE INDEX lti_launch_lti_tool_idx
    ON courses.lti_launch (business_id, lti_tool_id);

-- FK: the lti launchs of a lesson.
CREATE INDEX lti_launch_lesson_idx
    ON courses.lti_launch (business_id, lesson_id)
    WHERE lesson_id IS NOT NULL;

-- FK: the lti launchs of a enrollment.
CREATE INDEX lti_launch_enrollment_idx
    ON courses.lti_launch (business_id, enrollment_id)
    WHERE enrollment_id IS NOT NULL;

ALTER TABLE courses.lti_launch ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.lti_launch
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON courses.lti_launch TO app_user;
GRANT SELECT ON courses.lti_launch TO app_readonly;

CREATE TRIGGER lti_launch_append_only
    BEFORE UPDATE OR DELETE ON courses.lti_launch
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('courses.lti_launch');

CREATE TABLE courses.lti_launch_default PARTITION OF courses.lti_launch DEFAULT;
ALTER TABLE courses.lti_launch_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.lti_launch_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('courses.lti_launch', 'month', behind => 13, ahead => 3);


CREATE TABLE courses.release_rule (
    business_id       uuid                   NOT NULL,
    release_rule_id   uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    after_lesson_id   uuid,
    lesson_id         uuid,
    course_module_id  uuid,
    cohort_id         uuid,
    rule_kind         text                   NOT NULL,
    available_from    timestamptz(6),
    available_until   timestamptz(6),
    offset_days       integer,
    minimum_score_pct system_core.percentage,
    shows_locked      boolean                NOT NULL DEFAULT false,
    message           text,
    is_active         boolean                NOT NULL DEFAULT false,
    created_at        timestamptz            NOT NULL DEFAULT now(),
    updated_at        timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, release_rule_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, after_lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    FOREIGN KEY (business_id, lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    FOREIGN KEY (business_id, course_module_id)
        REFERENCES courses.course_module (business_id, course_module_id),
    CONSTRAINT release_rule_rule_kind_known
        CHECK (rule_kind IN ('on_date', 'days_after_start', 'after_item', 'minimum_score',
               'member_of', 'manual')),
    CONSTRAINT release_rule_available_until_after_available_from
        CHECK (available_until > available_from),
    CONSTRAINT release_rule_offset_days_not_negative CHECK (offset_days >= 0)
);

COMMENT ON TABLE courses.release_rule IS
    'When a module or lesson opens: date, drip, prior item, score, group.';
-- RULE exactly one of course_module_id and lesson_id
-- RULE after_lesson_id differs from lesson_id

-- FK: the release rules of a lesson.
CREATE INDEX release_rule_after_lesson_idx
    ON courses.release_rule (business_id, after_lesson_id)
    WHERE after_lesson_id IS NOT NULL;

-- FK: the release rules of a lesson.
CREATE INDEX release_rule_lesson_idx
    ON courses.release_rule (business_id, lesson_id)
    WHERE lesson_id IS NOT NULL;

-- FK: the release rules of a course module.
CREATE INDEX release_rule_course_module_idx
    ON courses.release_rule (business_id, course_module_id)
    WHERE course_module_id IS NOT NULL;

-- FK: the release rules of a cohort.
CREATE INDEX release_rule_cohort_idx
    ON courses.release_rule (business_id, cohort_id)
    WHERE cohort_id IS NOT NULL;

ALTER TABLE courses.release_rule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.release_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.release_rule TO app_user;
GRANT SELECT ON courses.release_rule TO app_readonly;

CREATE TRIGGER release_rule_touch
    BEFORE UPDATE ON courses.release_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.content_version (
    business_id        uuid        NOT NULL,
    content_version_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    edited_by          uuid        NOT NULL,
    approved_by        uuid,
    content_item_id    uuid        NOT NULL,
    version_no         integer,
    body               text,
    change_summary     text,
    word_count         integer,
    content_hash       bytea,
    edited_at          timestamptz,
    review_state       text        NOT NULL,
    approved_at        timestamptz,
    published_at       timestamptz,
    is_current         boolean     NOT NULL DEFAULT false,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, content_version_id),
    UNIQUE (business_id, content_item_id, version_no),
    FOREIGN KEY (business_id, edited_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, content_item_id)
        REFERENCES courses.content_item (business_id, content_item_id),
    CONSTRAINT content_version_review_state_known
        CHECK (review_state IN ('draft', 'submitted', 'approved', 'rejected')),
    CONSTRAINT content_version_published_at_not_before_approved_at
        CHECK (published_at >= approved_at)
);

COMMENT ON TABLE courses.content_version IS 'Saved version of a content item with its review.';
-- RULE one current version (partial unique)
-- RULE approver differs from editor

-- FK: the content versions of a user account.
CREATE INDEX content_version_edited_by_idx
    ON courses.content_version (business_id, edited_by);

-- FK: the content versions of a user account.
CREATE INDEX content_version_approved_by_idx
    ON courses.content_version (business_id, approved_by)
    WHERE approved_by IS NOT NULL;

ALTER TABLE courses.content_version ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.content_version
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.content_version TO app_user;
GRANT SELECT ON courses.content_version TO app_readonly;

CREATE TRIGGER content_version_touch
    BEFORE UPDATE ON courses.content_version
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.media_rendition (
    business_id        uuid        NOT NULL,
    media_rendition_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    content_item_id    uuid        NOT NULL,
    file_object_id     uuid        NOT NULL,
    rendition_kind     text        NOT NULL,
    width              integer,
    height             integer,
    bitrate_kbps       integer,
    codec              text,
    duration_seconds   integer,
    size_bytes         bigint,
    encode_state       text        NOT NULL,
    encoded_at         timestamptz,
    drm                text        NOT NULL,
    error_detail       text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, media_rendition_id),
    UNIQUE (business_id, content_item_id, rendition_kind, height),
    FOREIGN KEY (business_id, content_item_id)
        REFERENCES courses.content_item (business_id, content_item_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT media_rendition_rendition_kind_known
        CHECK (rendition_kind IN ('hls', 'dash', 'mp4', 'audio_only', 'thumbnail',
               'preview_sprite')),
    CONSTRAINT media_rendition_encode_state_known
        CHECK (encode_state IN ('queued', 'encoding', 'ready', 'failed')),
    CONSTRAINT media_rendition_drm_known
        CHECK (drm IN ('none', 'widevine', 'fairplay', 'playready'))
);

COMMENT ON TABLE courses.media_rendition IS 'Encoded form of a video or audio for streaming.';
-- RULE ready needs duration_seconds > 0
-- RULE error_detail is not null when failed

-- FK: the media renditions of a file object.
CREATE INDEX media_rendition_file_object_idx
    ON courses.media_rendition (business_id, file_object_id);

ALTER TABLE courses.media_rendition ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.media_rendition
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.media_rendition TO app_user;
GRANT SELECT ON courses.media_rendition TO app_readonly;

CREATE TRIGGER media_rendition_touch
    BEFORE UPDATE ON courses.media_rendition
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.caption_track (
    business_id      uuid                   NOT NULL,
    caption_track_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    content_item_id  uuid                   NOT NULL,
    file_object_id   uuid                   NOT NULL,
    track_kind       text                   NOT NULL,
    language_code    system_core.code,
    origin           text                   NOT NULL,
    accuracy_pct     system_core.percentage,
    is_default       boolean                NOT NULL DEFAULT false,
    word_count       integer,
    status           text                   NOT NULL DEFAULT 'draft',
    reviewed_at      timestamptz,
    created_at       timestamptz            NOT NULL DEFAULT now(),
    updated_at       timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, caption_track_id),
    UNIQUE (business_id, content_item_id, track_kind, language_code),
    FOREIGN KEY (business_id, content_item_id)
        REFERENCES courses.content_item (business_id, content_item_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT caption_track_track_kind_known
        CHECK (track_kind IN ('captions', 'subtitles', 'transcript', 'audio_description',
               'chapters')),
    CONSTRAINT caption_track_origin_known CHECK (origin IN ('human', 'machine', 'machine_edited')),
    CONSTRAINT caption_track_status_known CHECK (status IN ('draft', 'published', 'outdated'))
);

COMMENT ON TABLE courses.caption_track IS
    'Captions, transcript or audio description in a language.';
-- RULE machine tracks under 99 percent are not counted as WCAG captions (function)
-- RULE one default per item and kind

-- FK: the caption tracks of a file object.
CREATE INDEX caption_track_file_object_idx
    ON courses.caption_track (business_id, file_object_id);

ALTER TABLE courses.caption_track ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.caption_track
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.caption_track TO app_user;
GRANT SELECT ON courses.caption_track TO app_readonly;

CREATE TRIGGER caption_track_touch
    BEFORE UPDATE ON courses.caption_track
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.accessibility_issue (
    business_id            uuid             NOT NULL,
    accessibility_issue_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    fixed_by               uuid,
    content_item_id        uuid             NOT NULL,
    criterion_code         system_core.code,
    wcag_level             text             NOT NULL,
    issue_kind             text             NOT NULL,
    severity               text             NOT NULL,
    found_at               timestamptz,
    found_by               text             NOT NULL,
    location               text,
    status                 text             NOT NULL DEFAULT 'open',
    fixed_at               timestamptz,
    waiver_reason          text,
    created_at             timestamptz      NOT NULL DEFAULT now(),
    updated_at             timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, accessibility_issue_id),
    UNIQUE (business_id, content_item_id, criterion_code, location),
    FOREIGN KEY (business_id, fixed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, content_item_id)
        REFERENCES courses.content_item (business_id, content_item_id),
    CONSTRAINT accessibility_issue_wcag_level_known CHECK (wcag_level IN ('a', 'aa', 'aaa')),
    CONSTRAINT accessibility_issue_issue_kind_known
        CHECK (issue_kind IN ('missing_alt', 'missing_captions', 'low_contrast', 'heading_order',
               'untagged_pdf', 'table_headers', 'link_text', 'keyboard_trap')),
    CONSTRAINT accessibility_issue_severity_known
        CHECK (severity IN ('minor', 'moderate', 'serious', 'critical')),
    CONSTRAINT accessibility_issue_found_by_known
        CHECK (found_by IN ('scanner', 'author', 'learner_report')),
    CONSTRAINT accessibility_issue_status_known
        CHECK (status IN ('open', 'fixed', 'waived', 'false_positive')),
    CONSTRAINT accessibility_issue_fixed_at_not_before_found_at CHECK (fixed_at >= found_at)
);

COMMENT ON TABLE courses.accessibility_issue IS
    'Accessibility problem found in content and its repair.';
-- RULE waiver_reason is not null when waived

-- FK: the accessibility issues of a user account.
CREATE INDEX accessibility_issue_fixed_by_idx
    ON courses.accessibility_issue (business_id, fixed_by)
    WHERE fixed_by IS NOT NULL;

ALTER TABLE courses.accessibility_issue ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.accessibility_issue
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.accessibility_issue TO app_user;
GRANT SELECT ON courses.accessibility_issue TO app_readonly;

CREATE TRIGGER accessibility_issue_touch
    BEFORE UPDATE ON courses.accessibility_issue
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.scorm_attempt (
    business_id        uuid                 NOT NULL,
    scorm_attempt_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    scorm_package_id   uuid                 NOT NULL,
    enrollment_id      uuid                 NOT NULL,
    attempt_no         integer,
    sco_identifier     text,
    completion_status  text                 NOT NULL,
    success_status     text                 NOT NULL,
    score_raw          system_core.quantity,
    score_scaled       system_core.quantity,
    total_time_seconds integer,
    suspend_data       text,
    lesson_location    text,
    runtime_data       text,
    started_at         timestamptz,
    last_commit_at     timestamptz,
    exit_kind          text                 NOT NULL,
    created_at         timestamptz          NOT NULL DEFAULT now(),
    updated_at         timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, scorm_attempt_id),
    UNIQUE (business_id, enrollment_id, scorm_package_id, sco_identifier, attempt_no),
    FOREIGN KEY (business_id, scorm_package_id)
        REFERENCES courses.scorm_package (business_id, scorm_package_id),
    CONSTRAINT scorm_attempt_completion_status_known
        CHECK (completion_status IN ('not_attempted', 'incomplete', 'completed', 'browsed',
               'unknown')),
    CONSTRAINT scorm_attempt_success_status_known
        CHECK (success_status IN ('passed', 'failed', 'unknown')),
    CONSTRAINT scorm_attempt_exit_kind_known
        CHECK (exit_kind IN ('normal', 'suspend', 'time_out', 'logout')),
    CONSTRAINT scorm_attempt_score_scaled_bounded CHECK (score_scaled BETWEEN -1 AND 1),
    CONSTRAINT scorm_attempt_last_commit_at_not_before_started_at
        CHECK (last_commit_at >= started_at)
);

COMMENT ON TABLE courses.scorm_attempt IS 'Run-time data of a learner in a SCO.';
-- RULE length of suspend_data <= 64000

-- FK: the scorm attempts of a scorm package.
CREATE INDEX scorm_attempt_scorm_package_idx
    ON courses.scorm_attempt (business_id, scorm_package_id);

ALTER TABLE courses.scorm_attempt ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.scorm_attempt
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.scorm_attempt TO app_user;
GRANT SELECT ON courses.scorm_attempt TO app_readonly;

CREATE TRIGGER scorm_attempt_touch
    BEFORE UPDATE ON courses.scorm_attempt
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
