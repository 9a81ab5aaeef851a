/*
 * Content: what a course teaches, from its chapters down to the encoded film.
 *
 * A course is an ordered tree of course_modules; a module holds lessons, and a lesson says by
 * which rule it counts as done (seen, scrolled to the end, watched far enough, passed …). What is
 * on the page are its content_items. Every edit of an item is a content_version, which somebody
 * other than its editor approves; courses.publish_content_version() makes one the current one. A
 * film has media_renditions, one per quality, and caption_tracks, of which only those good enough
 * count for people who do not hear (courses.media_without_captions). A release_rule says when a
 * module or lesson opens for whom (courses.is_released). An accessibility_issue is a barrier found
 * in an item, and what became of it.
 */

CREATE TABLE courses.course_module (
    business_id       uuid        NOT NULL,
    course_module_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    course_id         uuid        NOT NULL,
    parent_module_id  uuid,
    title             text        NOT NULL,
    sort_order        integer     NOT NULL,
    summary           text,
    estimated_minutes integer,
    is_published      boolean     NOT NULL DEFAULT false,
    unlock_after_days integer     NOT NULL DEFAULT 0,
    requirement       text        NOT NULL DEFAULT 'all_items',
    minimum_score_pct system_core.percentage,
    is_optional       boolean     NOT NULL DEFAULT false,
    content_hash      system_core.sha256,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_module_id),
    UNIQUE NULLS NOT DISTINCT (business_id, course_id, parent_module_id, sort_order),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, parent_module_id)
        REFERENCES courses.course_module (business_id, course_module_id),
    CONSTRAINT course_module_requirement_known
        CHECK (requirement IN ('all_items', 'one_item', 'minimum_score', 'none')),
    CONSTRAINT course_module_score_for_minimum_score
        CHECK ((requirement = 'minimum_score') = (minimum_score_pct IS NOT NULL)),
    CONSTRAINT course_module_score_bounded CHECK (minimum_score_pct BETWEEN 1 AND 100),
    CONSTRAINT course_module_sort_order_not_negative CHECK (sort_order >= 0),
    CONSTRAINT course_module_unlocks_after_start CHECK (unlock_after_days >= 0),
    CONSTRAINT course_module_takes_time CHECK (estimated_minutes >= 0),
    CONSTRAINT course_module_not_within_itself CHECK (parent_module_id <> course_module_id)
);

COMMENT ON TABLE courses.course_module IS 'Chapter of a course, or part of a chapter.';
COMMENT ON COLUMN courses.course_module.requirement IS
    'What of its lessons must be done for the module to be done.';
COMMENT ON COLUMN courses.course_module.unlock_after_days IS
    'Drip: days after the learner started; release rules may add to it.';
COMMENT ON COLUMN courses.course_module.content_hash IS
    'Of what was published last, to tell learners that a module changed.';

-- FK: the parts of a chapter.
CREATE INDEX course_module_parent_idx
    ON courses.course_module (business_id, parent_module_id)
    WHERE parent_module_id IS NOT NULL;

ALTER TABLE courses.course_module ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_module
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_module TO app_user;
GRANT SELECT ON courses.course_module TO app_readonly;

CREATE TRIGGER course_module_touch
    BEFORE UPDATE ON courses.course_module
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.check_module_parent() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    above record;
BEGIN
    SELECT m.course_id, m.parent_module_id INTO above
    FROM courses.course_module AS m
    WHERE m.business_id = NEW.business_id AND m.course_module_id = NEW.parent_module_id;
    IF above.course_id <> NEW.course_id THEN
        RAISE EXCEPTION 'module "%" and its parent belong to two courses', NEW.title
            USING ERRCODE = 'check_violation';
    END IF;
    IF above.parent_module_id IS NOT NULL OR EXISTS (
        SELECT FROM courses.course_module AS m
        WHERE m.business_id = NEW.business_id AND m.parent_module_id = NEW.course_module_id)
    THEN
        RAISE EXCEPTION 'module "%" would be a part of a part', NEW.title
            USING ERRCODE = 'check_violation',
                  HINT = 'A course has chapters and parts of chapters, no third level.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.check_module_parent() IS
    'A part belongs to a chapter of its own course; two levels, so that an outline has no cycle.';

CREATE TRIGGER course_module_parent_fits
    BEFORE INSERT OR UPDATE OF parent_module_id, course_id ON courses.course_module
    FOR EACH ROW WHEN (NEW.parent_module_id IS NOT NULL)
    EXECUTE FUNCTION courses.check_module_parent();


CREATE TABLE courses.lesson (
    business_id       uuid                 NOT NULL,
    lesson_id         uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    course_module_id  uuid                 NOT NULL,
    title             text                 NOT NULL,
    lesson_kind       text                 NOT NULL,
    sort_order        integer              NOT NULL,
    estimated_minutes integer,
    is_preview        boolean              NOT NULL DEFAULT false,
    is_published      boolean              NOT NULL DEFAULT false,
    completion_rule   text                 NOT NULL DEFAULT 'viewed',
    minimum_seconds   integer,
    minimum_watch_pct system_core.percentage,
    points_possible   system_core.quantity NOT NULL DEFAULT 0,
    slug              system_core.slug     NOT NULL,
    created_at        timestamptz          NOT NULL DEFAULT now(),
    updated_at        timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, lesson_id),
    UNIQUE (business_id, course_module_id, sort_order),
    UNIQUE (business_id, course_module_id, slug),
    FOREIGN KEY (business_id, course_module_id)
        REFERENCES courses.course_module (business_id, course_module_id),
    CONSTRAINT lesson_kind_known
        CHECK (lesson_kind IN ('page', 'video', 'audio', 'reading', 'live', 'assessment',
                               'assignment', 'discussion', 'lab', 'scorm', 'external_tool')),
    CONSTRAINT lesson_completion_rule_known
        CHECK (completion_rule IN ('viewed', 'scrolled', 'minimum_time', 'minimum_watch',
                                   'submitted', 'passed', 'manual')),
    CONSTRAINT lesson_minimum_watch_has_share
        CHECK ((completion_rule = 'minimum_watch') = (minimum_watch_pct IS NOT NULL)),
    CONSTRAINT lesson_minimum_watch_bounded CHECK (minimum_watch_pct BETWEEN 1 AND 100),
    CONSTRAINT lesson_watched_is_film_or_sound
        CHECK (completion_rule <> 'minimum_watch' OR lesson_kind IN ('video', 'audio', 'live')),
    CONSTRAINT lesson_minimum_time_has_seconds
        CHECK (completion_rule <> 'minimum_time' OR minimum_seconds IS NOT NULL),
    CONSTRAINT lesson_minimum_seconds_positive CHECK (minimum_seconds > 0),
    CONSTRAINT lesson_handed_in_or_passed_is_work
        CHECK (completion_rule NOT IN ('submitted', 'passed')
               OR lesson_kind IN ('assessment', 'assignment', 'discussion', 'lab', 'scorm',
                                  'external_tool')),
    CONSTRAINT lesson_preview_is_no_assessment
        CHECK (NOT is_preview OR lesson_kind NOT IN ('assessment', 'assignment')),
    CONSTRAINT lesson_sort_order_not_negative CHECK (sort_order >= 0),
    CONSTRAINT lesson_points_not_negative CHECK (points_possible >= 0),
    CONSTRAINT lesson_takes_time CHECK (estimated_minutes >= 0)
);

COMMENT ON TABLE courses.lesson IS 'Lesson page in a module, with its completion rule.';
COMMENT ON COLUMN courses.lesson.completion_rule IS
    'What makes it done: courses.record_lesson_event applies it to what the player reports.';
COMMENT ON COLUMN courses.lesson.is_preview IS 'Shown in the catalog to who has not enrolled.';

ALTER TABLE courses.lesson ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.lesson
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.lesson TO app_user;
GRANT SELECT ON courses.lesson TO app_readonly;

CREATE TRIGGER lesson_touch
    BEFORE UPDATE ON courses.lesson
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.content_item (
    business_id            uuid               NOT NULL,
    content_item_id        uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    lesson_id              uuid,
    author_user_account_id uuid               NOT NULL,
    file_object_id         uuid,
    content_kind           text               NOT NULL,
    title                  text               NOT NULL,
    body                   text,
    sort_order             integer            NOT NULL DEFAULT 0,
    license                text               NOT NULL DEFAULT 'all_rights_reserved',
    language_code          system_core.locale NOT NULL,
    reading_level          text,
    duration_seconds       integer,
    status                 text               NOT NULL DEFAULT 'draft',
    source_url             system_core.url,
    current_version_no     integer,
    created_at             timestamptz        NOT NULL DEFAULT now(),
    updated_at             timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, content_item_id),
    FOREIGN KEY (business_id, lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    FOREIGN KEY (business_id, author_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT content_item_kind_known
        CHECK (content_kind IN ('html', 'video', 'audio', 'pdf', 'slides', 'image', 'code',
                                'embed', 'h5p', 'download', 'link')),
    CONSTRAINT content_item_license_known
        CHECK (license IN ('all_rights_reserved', 'cc_by', 'cc_by_sa', 'cc_by_nc',
                           'public_domain', 'purchased')),
    CONSTRAINT content_item_status_known
        CHECK (status IN ('draft', 'review', 'published', 'retired')),
    CONSTRAINT content_item_file_kinds_have_file
        CHECK (content_kind NOT IN ('video', 'audio', 'pdf', 'slides', 'image', 'h5p', 'download')
               OR file_object_id IS NOT NULL),
    CONSTRAINT content_item_linked_kinds_have_url
        CHECK (content_kind NOT IN ('embed', 'link') OR source_url IS NOT NULL),
    CONSTRAINT content_item_duration_not_negative CHECK (duration_seconds >= 0),
    CONSTRAINT content_item_published_media_has_duration
        CHECK (status <> 'published' OR content_kind NOT IN ('video', 'audio')
               OR coalesce(duration_seconds, 0) > 0),
    CONSTRAINT content_item_reading_level_cefr CHECK (reading_level ~ '^[ABC][12]$'),
    CONSTRAINT content_item_version_counts_from_1 CHECK (current_version_no >= 1)
);

COMMENT ON TABLE courses.content_item IS
    'Piece of content on a lesson, or in the library until one uses it.';
COMMENT ON COLUMN courses.content_item.reading_level IS
    'By the Common European Framework, A1 to C2.';
COMMENT ON COLUMN courses.content_item.current_version_no IS
    'What learners see; kept by courses.follow_current_version().';

-- Serves open_lesson, and the FK: what is on a lesson, in order.
CREATE INDEX content_item_lesson_idx
    ON courses.content_item (business_id, lesson_id, sort_order)
    WHERE lesson_id IS NOT NULL;

-- FK: what somebody wrote.
CREATE INDEX content_item_author_idx
    ON courses.content_item (business_id, author_user_account_id);

-- FK: the items that show a file.
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

CREATE TRIGGER content_item_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.content_item
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":     ["review", "published", "retired"],
            "review":    ["draft", "published", "retired"],
            "published": ["draft", "retired"],
            "retired":   ["draft"]
        }}');


CREATE TABLE courses.content_version (
    business_id        uuid               NOT NULL,
    content_version_id uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    content_item_id    uuid               NOT NULL,
    edited_by          uuid               NOT NULL,
    approved_by        uuid,
    version_no         integer            NOT NULL,
    body               text               NOT NULL,
    change_summary     text,
    word_count         integer            GENERATED ALWAYS AS (
        coalesce(array_length(string_to_array(regexp_replace(
            btrim(regexp_replace(body, '<[^>]*>|\s', ' ', 'g')), ' +', ' ', 'g'), ' '), 1), 0)
    ) STORED,
    content_hash       system_core.sha256 NOT NULL,
    edited_at          timestamptz        NOT NULL DEFAULT now(),
    review_state       text               NOT NULL DEFAULT 'draft',
    approved_at        timestamptz,
    published_at       timestamptz,
    is_current         boolean            NOT NULL DEFAULT false,
    created_at         timestamptz        NOT NULL DEFAULT now(),
    updated_at         timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, content_version_id),
    UNIQUE (business_id, content_item_id, version_no),
    FOREIGN KEY (business_id, content_item_id)
        REFERENCES courses.content_item (business_id, content_item_id),
    FOREIGN KEY (business_id, edited_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT content_version_review_state_known
        CHECK (review_state IN ('draft', 'submitted', 'approved', 'rejected')),
    CONSTRAINT content_version_counts_from_1 CHECK (version_no >= 1),
    CONSTRAINT content_version_four_eyes CHECK (approved_by <> edited_by),
    CONSTRAINT content_version_approved_by_somebody
        CHECK ((review_state = 'approved') = (approved_by IS NOT NULL AND approved_at IS NOT NULL)),
    CONSTRAINT content_version_approved_after_edit CHECK (approved_at >= edited_at),
    CONSTRAINT content_version_published_after_approval CHECK (published_at >= approved_at),
    CONSTRAINT content_version_only_approved_is_published
        CHECK (published_at IS NULL OR review_state = 'approved'),
    CONSTRAINT content_version_current_is_published
        CHECK (NOT is_current OR published_at IS NOT NULL)
);

COMMENT ON TABLE courses.content_version IS 'Saved version of a content item with its review.';
COMMENT ON COLUMN courses.content_version.word_count IS 'Without markup.';
COMMENT ON COLUMN courses.content_version.content_hash IS
    'SHA-256 of the body: a version restored from history is known as the same.';

-- One version of an item is what learners see.
CREATE UNIQUE INDEX content_version_current_idx
    ON courses.content_version (business_id, content_item_id)
    WHERE is_current;

-- What waits for a reviewer, the oldest first.
CREATE INDEX content_version_waiting_idx
    ON courses.content_version (business_id, edited_at)
    WHERE review_state = 'submitted';

-- FK: what somebody edited.
CREATE INDEX content_version_edited_by_idx
    ON courses.content_version (business_id, edited_by);

-- FK: what somebody approved.
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

CREATE TRIGGER content_version_state_machine
    BEFORE INSERT OR UPDATE OF review_state ON courses.content_version
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('review_state', '{
        "initial": ["draft", "submitted"],
        "transitions": {
            "draft":     ["submitted"],
            "submitted": ["draft", "approved", "rejected"],
            "rejected":  ["draft"],
            "approved":  []
        }}');

CREATE FUNCTION courses.seal_content_version() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.review_state IN ('submitted', 'approved') AND NEW.body <> OLD.body THEN
            RAISE EXCEPTION 'version % is %: its text does not change', OLD.version_no,
                            OLD.review_state
                USING ERRCODE = 'check_violation', HINT = 'Save a new version.';
        END IF;
    END IF;
    NEW.content_hash := sha256(convert_to(NEW.body, 'UTF8'));
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.seal_content_version() IS
    'What a reviewer reads, and approved, is what was written: it does not change under review.';

CREATE TRIGGER content_version_sealed
    BEFORE INSERT OR UPDATE OF body, content_hash ON courses.content_version
    FOR EACH ROW EXECUTE FUNCTION courses.seal_content_version();

CREATE FUNCTION courses.follow_current_version() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE courses.content_item AS i
    SET current_version_no = v.version_no, body = v.body
    FROM changed AS v
    WHERE v.is_current AND i.business_id = v.business_id
      AND i.content_item_id = v.content_item_id
      AND (i.current_version_no, i.body) IS DISTINCT FROM (v.version_no, v.body);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.follow_current_version() IS
    'An item shows the text of its current version.';

CREATE TRIGGER content_version_shown
    AFTER INSERT ON courses.content_version
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_current_version();

CREATE TRIGGER content_version_shown_anew
    AFTER UPDATE ON courses.content_version
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_current_version();

CREATE FUNCTION courses.publish_content_version(
    version uuid,
    moment  timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    chosen record;
BEGIN
    SELECT v.content_item_id, v.version_no, v.review_state, v.is_current INTO chosen
    FROM courses.content_version AS v
    JOIN courses.content_item AS i
        ON i.business_id = v.business_id AND i.content_item_id = v.content_item_id
    WHERE v.business_id = tenant AND v.content_version_id = version
    FOR NO KEY UPDATE OF i;
    IF chosen.review_state IS DISTINCT FROM 'approved' THEN
        RAISE EXCEPTION 'content version % is not approved', version
            USING ERRCODE = 'check_violation', HINT = 'Somebody other than its editor approves it.';
    END IF;
    UPDATE courses.content_version AS v
    SET is_current = false
    WHERE v.business_id = tenant AND v.content_item_id = chosen.content_item_id
      AND v.is_current AND v.content_version_id <> version;
    UPDATE courses.content_version AS v
    SET is_current = true, published_at = coalesce(v.published_at, moment)
    WHERE v.business_id = tenant AND v.content_version_id = version;
    UPDATE courses.content_item AS i
    SET status = 'published'
    WHERE i.business_id = tenant AND i.content_item_id = chosen.content_item_id
      AND i.status IN ('draft', 'review');
    RETURN chosen.version_no;
END
$$;
COMMENT ON FUNCTION courses.publish_content_version(uuid, timestamptz) IS
    'Makes an approved version the one that learners see, also an older one again; returns its
     number. Two at once wait for each other at the item.';

CREATE FUNCTION courses.content_version_differences()
    RETURNS TABLE (content_item_id uuid, said integer, found integer)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT i.content_item_id, i.current_version_no, v.version_no
    FROM courses.content_item AS i
    LEFT JOIN courses.content_version AS v
        ON v.business_id = i.business_id AND v.content_item_id = i.content_item_id
       AND v.is_current
    WHERE i.business_id = tenant_mgmt.current_business_id()
      AND (i.current_version_no IS DISTINCT FROM v.version_no
           OR (v.version_no IS NOT NULL AND i.body IS DISTINCT FROM v.body));
END;
COMMENT ON FUNCTION courses.content_version_differences() IS
    'Proves the items: those that do not show their current version.';


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
    encode_state       text        NOT NULL DEFAULT 'queued',
    encoded_at         timestamptz,
    drm                text        NOT NULL DEFAULT 'none',
    error_detail       text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, media_rendition_id),
    UNIQUE NULLS NOT DISTINCT (business_id, content_item_id, rendition_kind, height),
    FOREIGN KEY (business_id, content_item_id)
        REFERENCES courses.content_item (business_id, content_item_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT media_rendition_kind_known
        CHECK (rendition_kind IN ('hls', 'dash', 'mp4', 'audio_only', 'thumbnail',
                                  'preview_sprite')),
    CONSTRAINT media_rendition_encode_state_known
        CHECK (encode_state IN ('queued', 'encoding', 'ready', 'failed')),
    CONSTRAINT media_rendition_drm_known
        CHECK (drm IN ('none', 'widevine', 'fairplay', 'playready')),
    CONSTRAINT media_rendition_ready_has_duration
        CHECK (encode_state <> 'ready' OR coalesce(duration_seconds, 0) > 0),
    CONSTRAINT media_rendition_ready_has_time
        CHECK (encode_state <> 'ready' OR encoded_at IS NOT NULL),
    CONSTRAINT media_rendition_failed_says_why
        CHECK (encode_state <> 'failed' OR coalesce(error_detail, '') ~ '\S'),
    CONSTRAINT media_rendition_picture_has_both_sides
        CHECK ((width IS NULL) = (height IS NULL)),
    CONSTRAINT media_rendition_sound_has_no_picture
        CHECK (rendition_kind <> 'audio_only' OR height IS NULL),
    CONSTRAINT media_rendition_sizes_positive
        CHECK (width > 0 AND height > 0 AND bitrate_kbps > 0 AND size_bytes > 0)
);

COMMENT ON TABLE courses.media_rendition IS 'Encoded form of a video or audio for streaming.';
COMMENT ON COLUMN courses.media_rendition.duration_seconds IS
    'As encoded; a second off the source is a sign of a broken file.';

-- FK: the rendition that a file holds.
CREATE INDEX media_rendition_file_object_idx
    ON courses.media_rendition (business_id, file_object_id);

-- The queue of the encoders.
CREATE INDEX media_rendition_to_encode_idx
    ON courses.media_rendition (business_id, created_at)
    WHERE encode_state IN ('queued', 'encoding');

ALTER TABLE courses.media_rendition ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.media_rendition
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.media_rendition TO app_user;
GRANT SELECT ON courses.media_rendition TO app_readonly;

CREATE TRIGGER media_rendition_touch
    BEFORE UPDATE ON courses.media_rendition
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER media_rendition_state_machine
    BEFORE INSERT OR UPDATE OF encode_state ON courses.media_rendition
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('encode_state', '{
        "initial": ["queued"],
        "transitions": {
            "queued":   ["encoding", "failed"],
            "encoding": ["ready", "failed"],
            "failed":   ["queued"],
            "ready":    ["queued"]
        }}');


CREATE TABLE courses.caption_track (
    business_id      uuid               NOT NULL,
    caption_track_id uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    content_item_id  uuid               NOT NULL,
    file_object_id   uuid               NOT NULL,
    track_kind       text               NOT NULL,
    language_code    system_core.locale NOT NULL,
    origin           text               NOT NULL,
    accuracy_pct     system_core.percentage,
    is_default       boolean            NOT NULL DEFAULT false,
    word_count       integer,
    status           text               NOT NULL DEFAULT 'draft',
    reviewed_at      timestamptz,
    created_at       timestamptz        NOT NULL DEFAULT now(),
    updated_at       timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, caption_track_id),
    UNIQUE (business_id, content_item_id, track_kind, language_code),
    FOREIGN KEY (business_id, content_item_id)
        REFERENCES courses.content_item (business_id, content_item_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT caption_track_kind_known
        CHECK (track_kind IN ('captions', 'subtitles', 'transcript', 'audio_description',
                              'chapters')),
    CONSTRAINT caption_track_origin_known
        CHECK (origin IN ('human', 'machine', 'machine_edited')),
    CONSTRAINT caption_track_status_known CHECK (status IN ('draft', 'published', 'outdated')),
    CONSTRAINT caption_track_accuracy_bounded CHECK (accuracy_pct BETWEEN 0 AND 100),
    CONSTRAINT caption_track_words_not_negative CHECK (word_count >= 0)
);

COMMENT ON TABLE courses.caption_track IS
    'Captions, transcript or audio description in a language.';
COMMENT ON COLUMN courses.caption_track.accuracy_pct IS
    'Share of words that are right, by a sample somebody checked; NULL: nobody did.';

-- One track of a kind comes on by itself.
CREATE UNIQUE INDEX caption_track_default_idx
    ON courses.caption_track (business_id, content_item_id, track_kind)
    WHERE is_default;

-- FK: the track that a file holds.
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

CREATE FUNCTION courses.counts_as_captions(
    track_kind   text,
    origin       text,
    accuracy_pct numeric,
    status       text
) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN status = 'published' AND track_kind = 'captions'
           AND (origin <> 'machine' OR coalesce(accuracy_pct, 0) >= 99);
COMMENT ON FUNCTION courses.counts_as_captions(text, text, numeric, text) IS
    'Whether a track meets WCAG 1.2.2: captions that speech recognition wrote do not, unless
     somebody found them to be right to 99 percent.';

CREATE FUNCTION courses.media_without_captions(course uuid DEFAULT NULL)
    RETURNS TABLE (course_id uuid, lesson_id uuid, content_item_id uuid, title text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT m.course_id, l.lesson_id, i.content_item_id, i.title
    FROM courses.course_module AS m
    JOIN courses.lesson AS l
        ON l.business_id = m.business_id AND l.course_module_id = m.course_module_id
    JOIN courses.content_item AS i
        ON i.business_id = l.business_id AND i.lesson_id = l.lesson_id
       AND i.content_kind = 'video' AND i.status = 'published'
    WHERE m.business_id = tenant_mgmt.current_business_id()
      AND (media_without_captions.course IS NULL OR m.course_id = media_without_captions.course)
      AND NOT EXISTS (
          SELECT
          FROM courses.caption_track AS t
          WHERE t.business_id = i.business_id AND t.content_item_id = i.content_item_id
            AND courses.counts_as_captions(t.track_kind, t.origin, t.accuracy_pct, t.status));
END;
COMMENT ON FUNCTION courses.media_without_captions(uuid) IS
    'The published films of a course, or of all, that somebody who does not hear cannot follow.';


CREATE TABLE courses.release_rule (
    business_id       uuid        NOT NULL,
    release_rule_id   uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    course_module_id  uuid,
    lesson_id         uuid,
    cohort_id         uuid,
    after_lesson_id   uuid,
    rule_kind         text        NOT NULL,
    available_from    timestamptz,
    available_until   timestamptz,
    offset_days       integer,
    minimum_score_pct system_core.percentage,
    shows_locked      boolean     NOT NULL DEFAULT true,
    message           text,
    is_active         boolean     NOT NULL DEFAULT true,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, release_rule_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, course_module_id)
        REFERENCES courses.course_module (business_id, course_module_id),
    FOREIGN KEY (business_id, lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    FOREIGN KEY (business_id, after_lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    CONSTRAINT release_rule_kind_known
        CHECK (rule_kind IN ('on_date', 'days_after_start', 'after_item', 'minimum_score',
                             'member_of', 'manual')),
    CONSTRAINT release_rule_opens_one_thing CHECK (num_nonnulls(course_module_id, lesson_id) = 1),
    CONSTRAINT release_rule_until_after_from CHECK (available_until > available_from),
    CONSTRAINT release_rule_not_after_itself CHECK (after_lesson_id <> lesson_id),
    CONSTRAINT release_rule_offset_not_negative CHECK (offset_days >= 0),
    CONSTRAINT release_rule_score_bounded CHECK (minimum_score_pct BETWEEN 0 AND 100),
    CONSTRAINT release_rule_says_what_its_kind_needs
        CHECK (CASE rule_kind
                   WHEN 'on_date' THEN num_nonnulls(available_from, available_until) > 0
                   WHEN 'days_after_start' THEN offset_days IS NOT NULL
                   WHEN 'after_item' THEN after_lesson_id IS NOT NULL
                   WHEN 'minimum_score'
                       THEN num_nonnulls(after_lesson_id, minimum_score_pct) = 2
                   WHEN 'member_of' THEN cohort_id IS NOT NULL
                   ELSE true END)
);

COMMENT ON TABLE courses.release_rule IS
    'When a module or lesson opens: date, drip, prior item, score, group.';
COMMENT ON COLUMN courses.release_rule.cohort_id IS
    'member_of: who may see it at all; with the other kinds, for whom the rule holds.';
COMMENT ON COLUMN courses.release_rule.available_from IS
    'Of a manual rule: when the teacher opened it; NULL is not yet.';
COMMENT ON COLUMN courses.release_rule.shows_locked IS
    'Whether the outline shows it with a lock or not at all.';

-- Serves course_player_outline and courses.is_released, and the FK: the rules of a lesson.
CREATE INDEX release_rule_lesson_idx
    ON courses.release_rule (business_id, lesson_id)
    WHERE lesson_id IS NOT NULL;

-- Serves the same for a module, and the FK.
CREATE INDEX release_rule_course_module_idx
    ON courses.release_rule (business_id, course_module_id)
    WHERE course_module_id IS NOT NULL;

-- FK: what opens once a lesson is done.
CREATE INDEX release_rule_after_lesson_idx
    ON courses.release_rule (business_id, after_lesson_id)
    WHERE after_lesson_id IS NOT NULL;

-- FK: the rules for a cohort.
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


CREATE TABLE courses.accessibility_issue (
    business_id            uuid        NOT NULL,
    accessibility_issue_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    content_item_id        uuid        NOT NULL,
    fixed_by               uuid,
    criterion_code         text        NOT NULL,
    wcag_level             text        NOT NULL,
    issue_kind             text        NOT NULL,
    severity               text        NOT NULL,
    found_at               timestamptz NOT NULL DEFAULT now(),
    found_by               text        NOT NULL DEFAULT 'scanner',
    location               text        NOT NULL DEFAULT 'page',
    status                 text        NOT NULL DEFAULT 'open',
    fixed_at               timestamptz,
    waiver_reason          text,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, accessibility_issue_id),
    UNIQUE (business_id, content_item_id, criterion_code, location),
    FOREIGN KEY (business_id, content_item_id)
        REFERENCES courses.content_item (business_id, content_item_id),
    FOREIGN KEY (business_id, fixed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT accessibility_issue_criterion_of_wcag
        CHECK (criterion_code ~ '^[1-4]\.[1-5]\.[1-9][0-9]?$'),
    CONSTRAINT accessibility_issue_wcag_level_known CHECK (wcag_level IN ('a', 'aa', 'aaa')),
    CONSTRAINT accessibility_issue_kind_known
        CHECK (issue_kind IN ('missing_alt', 'missing_captions', 'low_contrast', 'heading_order',
                              'untagged_pdf', 'table_headers', 'link_text', 'keyboard_trap')),
    CONSTRAINT accessibility_issue_severity_known
        CHECK (severity IN ('minor', 'moderate', 'serious', 'critical')),
    CONSTRAINT accessibility_issue_found_by_known
        CHECK (found_by IN ('scanner', 'author', 'learner_report')),
    CONSTRAINT accessibility_issue_status_known
        CHECK (status IN ('open', 'fixed', 'waived', 'false_positive')),
    CONSTRAINT accessibility_issue_fixed_after_found CHECK (fixed_at >= found_at),
    CONSTRAINT accessibility_issue_fixed_has_time
        CHECK ((status = 'fixed') = (fixed_at IS NOT NULL)),
    CONSTRAINT accessibility_issue_waived_says_why
        CHECK (status <> 'waived' OR coalesce(waiver_reason, '') ~ '\S')
);

COMMENT ON TABLE courses.accessibility_issue IS
    'Accessibility problem found in content and its repair.';
COMMENT ON COLUMN courses.accessibility_issue.criterion_code IS
    'Success criterion of WCAG 2.2, as 1.2.2 is that films have captions.';
COMMENT ON COLUMN courses.accessibility_issue.location IS 'Where in the item, as the scanner says.';

-- What is to be repaired, the worst first.
CREATE INDEX accessibility_issue_open_idx
    ON courses.accessibility_issue (business_id, severity, found_at)
    WHERE status = 'open';

-- FK: what somebody repaired.
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
