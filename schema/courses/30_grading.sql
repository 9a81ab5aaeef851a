/*
 * Grading: how work is weighed, and the tasks that are handed in.
 *
 * A grading_scheme turns percentages into letters. A course sorts what it grades into weighted
 * grade_categories, which may have one level of sub-categories. A rubric says by which criteria
 * work is judged: each rubric_criterion has rubric_ratings, from the best to none, and its points
 * add up to the rubric's. An assignment is a task of a course, judged by a rubric or by eye.
 *
 * What is handed in follows in 31_submissions, the gradebook in 33_gradebook.
 */

CREATE FUNCTION courses.are_bands(bands jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT coalesce(count(*) > 0
                    AND bool_and(b.letter ~ '\S' AND b.floor < b.ceiling
                                 AND b.floor = coalesce(b.below, 0)
                                 AND (NOT b.is_last OR b.ceiling = 100))
                    AND count(*) = count(DISTINCT b.letter), false)
    FROM (
        SELECT j.letter, j.floor, j.ceiling,
               lag(j.ceiling) OVER (ORDER BY j.floor, j.ceiling) AS below,
               row_number() OVER (ORDER BY j.floor DESC, j.ceiling DESC) = 1 AS is_last
        FROM JSON_TABLE(bands, '$[*]' COLUMNS (
            letter  text    PATH '$.letter',
            floor   numeric PATH '$.from',
            ceiling numeric PATH '$.to')) AS j
    ) AS b;
END;
COMMENT ON FUNCTION courses.are_bands(jsonb) IS
    'Whether bands, [{"letter", "from", "to", "points"}], cover 0 to 100 without gap or overlap,
     each letter once. A band holds its lower end; the upper end is the next one''s.';

CREATE FUNCTION courses.band_of(bands jsonb, pct numeric, decimals integer DEFAULT 2)
    RETURNS TABLE (letter text, grade_points numeric)
    LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT j.letter, j.points
    FROM JSON_TABLE(bands, '$[*]' COLUMNS (
        letter text    PATH '$.letter',
        floor  numeric PATH '$.from',
        points numeric PATH '$.points')) AS j
    WHERE j.floor <= greatest(round(pct, decimals), 0)
    ORDER BY j.floor DESC
    LIMIT 1;
END;
COMMENT ON FUNCTION courses.band_of(jsonb, numeric, integer) IS
    'The band that a percentage falls in once it is rounded; what is above 100 is in the highest.';


CREATE TABLE courses.grading_scheme (
    business_id       uuid                   NOT NULL,
    grading_scheme_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    name              text                   NOT NULL,
    scheme_kind       text                   NOT NULL,
    bands             system_core.json_array NOT NULL,
    pass_mark_pct     system_core.percentage NOT NULL DEFAULT 60,
    rounds_to         integer                NOT NULL DEFAULT 2,
    is_default        boolean                NOT NULL DEFAULT false,
    valid_from        date                   NOT NULL DEFAULT current_date,
    retired_on date,
    created_at        timestamptz            NOT NULL DEFAULT now(),
    updated_at        timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, grading_scheme_id),
    UNIQUE (business_id, name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT grading_scheme_kind_known
        CHECK (scheme_kind IN ('letter', 'pass_fail', 'points', 'competency', 'gpa')),
    CONSTRAINT grading_scheme_bands_cover_all CHECK (courses.are_bands(bands)),
    CONSTRAINT grading_scheme_pass_mark_is_a_share CHECK (pass_mark_pct BETWEEN 0 AND 100),
    CONSTRAINT grading_scheme_rounds_to_decimals CHECK (rounds_to BETWEEN 0 AND 4),
    CONSTRAINT grading_scheme_pass_fail_has_two_bands
        CHECK (scheme_kind <> 'pass_fail' OR jsonb_array_length(bands) = 2),
    CONSTRAINT grading_scheme_gpa_has_points
        CHECK (scheme_kind <> 'gpa'
               OR NOT jsonb_path_exists(bands, '$[*] ? (!(@.points >= 0))')),
    CONSTRAINT grading_scheme_retired_is_not_default CHECK (NOT is_default OR retired_on IS NULL),
    CONSTRAINT grading_scheme_retired_after_valid CHECK (retired_on >= valid_from)
);

COMMENT ON TABLE courses.grading_scheme IS 'How percentages become letters and points.';
COMMENT ON COLUMN courses.grading_scheme.bands IS
    '[{"letter", "from", "to", "points"}] from 0 to 100: courses.are_bands().';
COMMENT ON COLUMN courses.grading_scheme.rounds_to IS
    'Decimals to which a percentage is rounded before it is looked up: with 0, 89.5 is an A.';

-- The scheme of a section that names none: one of a business.
CREATE UNIQUE INDEX grading_scheme_default_idx
    ON courses.grading_scheme (business_id)
    WHERE is_default;

ALTER TABLE courses.grading_scheme ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.grading_scheme
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.grading_scheme TO app_user;
GRANT SELECT ON courses.grading_scheme TO app_readonly;

CREATE TRIGGER grading_scheme_touch
    BEFORE UPDATE ON courses.grading_scheme
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

ALTER TABLE courses.course_section
    ADD FOREIGN KEY (business_id, grading_scheme_id)
        REFERENCES courses.grading_scheme (business_id, grading_scheme_id);


CREATE TABLE courses.grade_category (
    business_id       uuid        NOT NULL,
    grade_category_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    parent_category_id uuid,
    course_id         uuid        NOT NULL,
    name              text        NOT NULL,
    weight_pct system_core.percentage,
    aggregation       text        NOT NULL DEFAULT 'natural',
    drop_lowest       integer     NOT NULL DEFAULT 0,
    drop_highest      integer     NOT NULL DEFAULT 0,
    keep_best integer,
    sort_order        integer     NOT NULL DEFAULT 1,
    excludes_empty    boolean     NOT NULL DEFAULT true,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, grade_category_id),
    UNIQUE (business_id, course_id, name),
    FOREIGN KEY (business_id, parent_category_id)
        REFERENCES courses.grade_category (business_id, grade_category_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    CONSTRAINT grade_category_aggregation_known
        CHECK (aggregation IN ('weighted_mean', 'mean', 'sum', 'median', 'highest', 'natural')),
    CONSTRAINT grade_category_weight_is_a_share CHECK (weight_pct BETWEEN 0 AND 100),
    CONSTRAINT grade_category_drops_not_negative CHECK (drop_lowest >= 0 AND drop_highest >= 0),
    CONSTRAINT grade_category_keeps_some CHECK (keep_best > 0),
    CONSTRAINT grade_category_keeps_or_drops
        CHECK (keep_best IS NULL OR drop_lowest + drop_highest = 0),
    CONSTRAINT grade_category_not_in_itself CHECK (parent_category_id <> grade_category_id)
);

COMMENT ON TABLE courses.grade_category IS 'Weighted group of graded items in a course.';
COMMENT ON COLUMN courses.grade_category.weight_pct IS
    'Its share of the course, or of the category above; NULL: the points decide.';
COMMENT ON COLUMN courses.grade_category.aggregation IS
    'How what is in it becomes one percentage: natural and sum add points, so that a big item weighs
     more; mean, median and highest take percentages; weighted_mean by the weights of its parts.';
COMMENT ON COLUMN courses.grade_category.excludes_empty IS
    'Whether what is not graded yet is left out; otherwise it counts as nothing.';

-- FK: the parts of a category.
CREATE INDEX grade_category_parent_idx
    ON courses.grade_category (business_id, parent_category_id)
    WHERE parent_category_id IS NOT NULL;

ALTER TABLE courses.grade_category ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.grade_category
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.grade_category TO app_user;
GRANT SELECT ON courses.grade_category TO app_readonly;

CREATE TRIGGER grade_category_touch
    BEFORE UPDATE ON courses.grade_category
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.place_grade_category() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    above record;
BEGIN
    -- The course is locked: two categories cannot be put into each other at once.
    PERFORM c.course_id
    FROM courses.course AS c
    WHERE c.business_id = NEW.business_id AND c.course_id = NEW.course_id
    FOR NO KEY UPDATE;
    SELECT g.course_id, g.parent_category_id, g.name INTO above
    FROM courses.grade_category AS g
    WHERE g.business_id = NEW.business_id AND g.grade_category_id = NEW.parent_category_id;
    IF above.course_id <> NEW.course_id THEN
        RAISE EXCEPTION 'category % is of another course than %', above.name, NEW.name
            USING ERRCODE = 'check_violation';
    ELSIF above.parent_category_id IS NOT NULL
          OR EXISTS (SELECT FROM courses.grade_category AS g
                     WHERE g.business_id = NEW.business_id
                       AND g.parent_category_id = NEW.grade_category_id) THEN
        RAISE EXCEPTION 'category % would be three deep', NEW.name
            USING ERRCODE = 'check_violation', HINT = 'A category has one level of parts.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.place_grade_category() IS
    'A category is in one of its own course, at most two deep: no circle can come about.';

CREATE TRIGGER grade_category_placed
    BEFORE INSERT OR UPDATE OF parent_category_id, course_id ON courses.grade_category
    FOR EACH ROW WHEN (NEW.parent_category_id IS NOT NULL)
    EXECUTE FUNCTION courses.place_grade_category();

CREATE FUNCTION courses.check_category_weights() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    touched CONSTANT uuid[] := CASE TG_OP
        WHEN 'INSERT' THEN ARRAY[NEW.course_id] WHEN 'DELETE' THEN ARRAY[OLD.course_id]
        ELSE ARRAY[OLD.course_id, NEW.course_id] END;
    wrong record;
BEGIN
    -- Two who change the weights of a course at once would each see the other's old ones.
    PERFORM c.course_id
    FROM courses.course AS c
    WHERE c.business_id = coalesce(NEW.business_id, OLD.business_id)
      AND c.course_id = ANY (touched)
    ORDER BY c.course_id
    FOR NO KEY UPDATE;
    SELECT coalesce(p.name, 'the course') AS place, sum(g.weight_pct) AS weight INTO wrong
    FROM courses.grade_category AS g
    LEFT JOIN courses.grade_category AS p
        ON p.business_id = g.business_id AND p.grade_category_id = g.parent_category_id
    WHERE g.business_id = coalesce(NEW.business_id, OLD.business_id)
      AND g.course_id = ANY (touched)
    GROUP BY g.course_id, p.grade_category_id, p.name, p.aggregation
    HAVING CASE WHEN p.aggregation = 'weighted_mean'
                THEN coalesce(sum(g.weight_pct), 0) <> 100 OR count(*) <> count(g.weight_pct)
                ELSE count(g.weight_pct) > 0
                     AND (sum(g.weight_pct) <> 100 OR count(*) <> count(g.weight_pct)) END
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the weights in % make up % %%, not 100 %%', wrong.place,
                        trim_scale(coalesce(wrong.weight, 0))
            USING ERRCODE = 'check_violation', HINT = 'Change those of all in one transaction.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.check_category_weights() IS
    'At the end of the transaction, the weights of siblings make up 100, or none has one; in a
     weighted_mean each has.';

CREATE CONSTRAINT TRIGGER grade_category_weights_whole
    AFTER INSERT OR DELETE OR UPDATE OF weight_pct, parent_category_id, course_id, aggregation
    ON courses.grade_category
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION courses.check_category_weights();

ALTER TABLE courses.assessment
    ADD FOREIGN KEY (business_id, grade_category_id)
        REFERENCES courses.grade_category (business_id, grade_category_id);


CREATE TABLE courses.rubric (
    business_id           uuid                 NOT NULL,
    rubric_id             uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid                 NOT NULL,
    course_id uuid,
    title                 text                 NOT NULL,
    scoring               text                 NOT NULL DEFAULT 'points',
    total_points          system_core.quantity NOT NULL DEFAULT 0,
    visibility            text                 NOT NULL DEFAULT 'private',
    version_no            integer              NOT NULL DEFAULT 1,
    is_locked             boolean              NOT NULL DEFAULT false,
    hides_points          boolean              NOT NULL DEFAULT false,
    description text,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, rubric_id),
    UNIQUE (business_id, title, version_no),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    CONSTRAINT rubric_scoring_known
        CHECK (scoring IN ('points', 'percentage', 'levels_only', 'holistic')),
    CONSTRAINT rubric_visibility_known CHECK (visibility IN ('private', 'course', 'business')),
    CONSTRAINT rubric_visible_in_a_course CHECK (visibility <> 'course' OR course_id IS NOT NULL),
    CONSTRAINT rubric_version_counts_from_1 CHECK (version_no >= 1)
);

COMMENT ON TABLE courses.rubric IS 'Scoring guide for assignments or essays.';
COMMENT ON COLUMN courses.rubric.scoring IS
    'points and holistic add points, percentage weighs the criteria, levels_only gives no points.';
COMMENT ON COLUMN courses.rubric.total_points IS 'Of its criteria that score; kept by them.';
COMMENT ON COLUMN courses.rubric.is_locked IS
    'It was used: what was judged by it must stay readable. A change is a new version.';

-- FK: the rubrics that somebody owns.
CREATE INDEX rubric_owner_idx
    ON courses.rubric (business_id, owner_user_account_id);

-- FK: the rubrics to choose from in a course.
CREATE INDEX rubric_course_idx
    ON courses.rubric (business_id, course_id)
    WHERE course_id IS NOT NULL;

ALTER TABLE courses.rubric ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.rubric
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.rubric TO app_user;
GRANT SELECT ON courses.rubric TO app_readonly;

CREATE TRIGGER rubric_touch
    BEFORE UPDATE ON courses.rubric
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.total_rubric() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.is_locked AND NOT NEW.is_locked
       AND row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'rubric % was used: it stays locked', OLD.title
            USING ERRCODE = 'check_violation', HINT = 'Make a new version of it.';
    END IF;
    NEW.total_points := (
        SELECT coalesce(sum(c.max_points), 0)
        FROM courses.rubric_criterion AS c
        WHERE c.business_id = NEW.business_id AND c.rubric_id = NEW.rubric_id
          AND NOT c.ignore_for_scoring);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.total_rubric() IS
    'A rubric is worth its criteria, whoever writes what.';

CREATE TRIGGER rubric_total
    BEFORE INSERT OR UPDATE ON courses.rubric
    FOR EACH ROW EXECUTE FUNCTION courses.total_rubric();


CREATE TABLE courses.rubric_criterion (
    business_id         uuid                 NOT NULL,
    rubric_criterion_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    rubric_id           uuid                 NOT NULL,
    learning_outcome_id uuid,
    sort_order          integer              NOT NULL,
    description         text                 NOT NULL,
    long_description text,
    max_points          system_core.quantity NOT NULL DEFAULT 0,
    weight_pct system_core.percentage,
    is_required         boolean              NOT NULL DEFAULT true,
    ignore_for_scoring  boolean              NOT NULL DEFAULT false,
    mastery_points system_core.quantity,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, rubric_criterion_id),
    UNIQUE (business_id, rubric_id, sort_order),
    FOREIGN KEY (business_id, rubric_id) REFERENCES courses.rubric (business_id, rubric_id),
    FOREIGN KEY (business_id, learning_outcome_id)
        REFERENCES courses.learning_outcome (business_id, learning_outcome_id),
    CONSTRAINT rubric_criterion_points_not_negative CHECK (max_points >= 0),
    CONSTRAINT rubric_criterion_mastery_within_points
        CHECK (mastery_points BETWEEN 0 AND max_points),
    CONSTRAINT rubric_criterion_weight_is_a_share CHECK (weight_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE courses.rubric_criterion IS 'Row of a rubric, tied to an outcome.';
COMMENT ON COLUMN courses.rubric_criterion.weight_pct IS
    'Its share where the rubric scores by percentage; NULL: the same as the others.';
COMMENT ON COLUMN courses.rubric_criterion.ignore_for_scoring IS
    'Only feedback, or only evidence of an outcome.';

-- FK: what is evidence of an outcome.
CREATE INDEX rubric_criterion_learning_outcome_idx
    ON courses.rubric_criterion (business_id, learning_outcome_id)
    WHERE learning_outcome_id IS NOT NULL;

ALTER TABLE courses.rubric_criterion ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.rubric_criterion
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.rubric_criterion TO app_user;
GRANT SELECT ON courses.rubric_criterion TO app_readonly;

CREATE TRIGGER rubric_criterion_touch
    BEFORE UPDATE ON courses.rubric_criterion
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.follow_criteria() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE courses.rubric AS r
    SET total_points = 0
    WHERE (r.business_id, r.rubric_id) IN (SELECT c.business_id, c.rubric_id FROM changed AS c);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.follow_criteria() IS
    'The rubrics of changed criteria are totaled anew, by courses.total_rubric().';

CREATE TRIGGER rubric_criterion_totaled
    AFTER INSERT ON courses.rubric_criterion
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_criteria();

CREATE TRIGGER rubric_criterion_totaled_anew
    AFTER UPDATE ON courses.rubric_criterion
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_criteria();

CREATE TRIGGER rubric_criterion_totaled_less
    AFTER DELETE ON courses.rubric_criterion
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_criteria();

CREATE FUNCTION courses.check_criterion() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.rubric_id <> OLD.rubric_id THEN
        RAISE EXCEPTION 'criterion % does not move to another rubric', OLD.description
            USING ERRCODE = 'check_violation', HINT = 'Write it anew there.';
    ELSIF EXISTS (SELECT FROM courses.rubric_rating AS l
                  WHERE l.business_id = NEW.business_id
                    AND l.rubric_criterion_id = NEW.rubric_criterion_id
                    AND l.points > NEW.max_points) THEN
        RAISE EXCEPTION 'a level of criterion % is worth more than %', NEW.description,
                        trim_scale(NEW.max_points)
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.check_criterion() IS
    'A criterion stays in its rubric and above its levels.';

CREATE TRIGGER rubric_criterion_above_levels
    BEFORE UPDATE OF max_points, rubric_id ON courses.rubric_criterion
    FOR EACH ROW EXECUTE FUNCTION courses.check_criterion();


CREATE TABLE courses.rubric_rating (
    business_id         uuid                 NOT NULL,
    rubric_rating_id    uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    rubric_criterion_id uuid                 NOT NULL,
    sort_order          integer              NOT NULL,
    label               text                 NOT NULL,
    description text,
    points              system_core.quantity NOT NULL,
    range_minimum system_core.quantity,
    is_mastery          boolean              NOT NULL DEFAULT false,
    color_hex system_core.color_hex,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, rubric_rating_id),
    UNIQUE (business_id, rubric_criterion_id, sort_order),
    FOREIGN KEY (business_id, rubric_criterion_id)
        REFERENCES courses.rubric_criterion (business_id, rubric_criterion_id),
    CONSTRAINT rubric_rating_points_not_negative CHECK (points >= 0 AND range_minimum >= 0),
    CONSTRAINT rubric_rating_range_up_to_points CHECK (range_minimum <= points)
);

COMMENT ON TABLE courses.rubric_rating IS 'Level of achievement in a criterion.';
COMMENT ON COLUMN courses.rubric_rating.range_minimum IS
    'The fewest points of the level; NULL: it is worth its points and nothing else.';

ALTER TABLE courses.rubric_rating ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.rubric_rating
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.rubric_rating TO app_user;
GRANT SELECT ON courses.rubric_rating TO app_readonly;

CREATE TRIGGER rubric_rating_touch
    BEFORE UPDATE ON courses.rubric_rating
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.check_rating() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    highest numeric;
BEGIN
    SELECT c.max_points INTO highest
    FROM courses.rubric_criterion AS c
    WHERE c.business_id = NEW.business_id AND c.rubric_criterion_id = NEW.rubric_criterion_id
    FOR SHARE;
    IF NEW.points > highest THEN
        RAISE EXCEPTION 'level % is worth %, its criterion at most %', NEW.label,
                        trim_scale(NEW.points), trim_scale(highest)
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.check_rating() IS
    'No level is worth more than its criterion.';

CREATE TRIGGER rubric_rating_within_criterion
    BEFORE INSERT OR UPDATE OF points, rubric_criterion_id ON courses.rubric_rating
    FOR EACH ROW EXECUTE FUNCTION courses.check_rating();

CREATE FUNCTION courses.seal_rubric() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    written CONSTANT jsonb := CASE WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
    sealed  text;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    -- FOR SHARE: the first who judges by it locks the rubric, before this or after it.
    SELECT r.title INTO sealed
    FROM courses.rubric AS r
    WHERE r.business_id = (written ->> 'business_id')::uuid
      AND r.rubric_id = coalesce((written ->> 'rubric_id')::uuid, (
          SELECT c.rubric_id
          FROM courses.rubric_criterion AS c
          WHERE c.business_id = (written ->> 'business_id')::uuid
            AND c.rubric_criterion_id = (written ->> 'rubric_criterion_id')::uuid))
      AND r.is_locked
    FOR SHARE;
    IF FOUND THEN
        RAISE EXCEPTION 'rubric % was used: it does not change', sealed
            USING ERRCODE = 'check_violation', HINT = 'Make a new version of it.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION courses.seal_rubric() IS
    'Criteria and levels of a rubric that was used stay as they were.';

CREATE TRIGGER rubric_criterion_sealed
    BEFORE INSERT OR UPDATE OR DELETE ON courses.rubric_criterion
    FOR EACH ROW EXECUTE FUNCTION courses.seal_rubric();

CREATE TRIGGER rubric_rating_sealed
    BEFORE INSERT OR UPDATE OR DELETE ON courses.rubric_rating
    FOR EACH ROW EXECUTE FUNCTION courses.seal_rubric();


CREATE TABLE courses.assignment (
    business_id              uuid                   NOT NULL,
    assignment_id            uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    course_id                uuid                   NOT NULL,
    lesson_id uuid,
    rubric_id uuid,
    grade_category_id uuid,
    title                    text                   NOT NULL,
    instructions text,
    submission_kinds         text[]                 NOT NULL DEFAULT '{text,file}',
    points_possible          system_core.quantity   NOT NULL DEFAULT 100,
    opens_at timestamptz,
    due_at timestamptz,
    late_until timestamptz,
    late_penalty_pct_per_day system_core.percentage NOT NULL DEFAULT 0,
    max_resubmissions integer,
    is_group                 boolean                NOT NULL DEFAULT false,
    peer_reviews_required    integer                NOT NULL DEFAULT 0,
    anonymous_grading        boolean                NOT NULL DEFAULT false,
    similarity_check         boolean                NOT NULL DEFAULT false,
    grace_hours              numeric(9, 2)          NOT NULL DEFAULT 0,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, assignment_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    FOREIGN KEY (business_id, rubric_id) REFERENCES courses.rubric (business_id, rubric_id),
    FOREIGN KEY (business_id, grade_category_id)
        REFERENCES courses.grade_category (business_id, grade_category_id),
    CONSTRAINT assignment_submission_kinds_known
        CHECK (submission_kinds <@ ARRAY['text', 'file', 'url', 'code', 'media']
               AND cardinality(submission_kinds) > 0),
    CONSTRAINT assignment_due_after_opening CHECK (due_at > opens_at),
    CONSTRAINT assignment_late_until_after_due CHECK (late_until >= due_at),
    CONSTRAINT assignment_late_needs_due CHECK (late_until IS NULL OR due_at IS NOT NULL),
    CONSTRAINT assignment_points_not_negative CHECK (points_possible >= 0),
    CONSTRAINT assignment_penalty_is_a_share CHECK (late_penalty_pct_per_day BETWEEN 0 AND 100),
    CONSTRAINT assignment_resubmissions_not_negative CHECK (max_resubmissions >= 0),
    CONSTRAINT assignment_up_to_ten_peer_reviews CHECK (peer_reviews_required BETWEEN 0 AND 10),
    CONSTRAINT assignment_grace_not_negative CHECK (grace_hours >= 0)
);

COMMENT ON TABLE courses.assignment IS 'Task to hand in.';
COMMENT ON COLUMN courses.assignment.late_until IS
    'Until when late work is taken; NULL: as long as the course runs.';
COMMENT ON COLUMN courses.assignment.max_resubmissions IS 'NULL: any number.';
COMMENT ON COLUMN courses.assignment.grace_hours IS
    'What is handed in this soon after due_at is in time: an upload may take long.';

-- FK: the tasks of a course as they fall due.
CREATE INDEX assignment_course_due_idx
    ON courses.assignment (business_id, course_id, due_at);

-- FK: the task of a lesson.
CREATE INDEX assignment_lesson_idx
    ON courses.assignment (business_id, lesson_id)
    WHERE lesson_id IS NOT NULL;

-- FK: what is judged by a rubric.
CREATE INDEX assignment_rubric_idx
    ON courses.assignment (business_id, rubric_id)
    WHERE rubric_id IS NOT NULL;

-- FK: what a category grades.
CREATE INDEX assignment_grade_category_idx
    ON courses.assignment (business_id, grade_category_id)
    WHERE grade_category_id IS NOT NULL;

ALTER TABLE courses.assignment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.assignment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.assignment TO app_user;
GRANT SELECT ON courses.assignment TO app_readonly;

CREATE TRIGGER assignment_touch
    BEFORE UPDATE ON courses.assignment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.check_assignment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM courses.lesson AS l
               JOIN courses.course_module AS m
                   ON m.business_id = l.business_id AND m.course_module_id = l.course_module_id
               WHERE l.business_id = NEW.business_id AND l.lesson_id = NEW.lesson_id
                 AND m.course_id <> NEW.course_id)
       OR EXISTS (SELECT FROM courses.grade_category AS g
                  WHERE g.business_id = NEW.business_id
                    AND g.grade_category_id = NEW.grade_category_id
                    AND g.course_id <> NEW.course_id)
       OR EXISTS (SELECT FROM courses.rubric AS r
                  WHERE r.business_id = NEW.business_id AND r.rubric_id = NEW.rubric_id
                    AND r.visibility = 'course' AND r.course_id <> NEW.course_id) THEN
        RAISE EXCEPTION 'lesson, category or rubric of assignment % is of another course',
                        NEW.title
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.check_assignment() IS
    'A task, its lesson, category and rubric are of one course.';

CREATE TRIGGER assignment_of_one_course
    BEFORE INSERT OR UPDATE OF course_id, lesson_id, grade_category_id, rubric_id
    ON courses.assignment
    FOR EACH ROW EXECUTE FUNCTION courses.check_assignment();
