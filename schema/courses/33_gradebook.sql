/*
 * The gradebook: what counts in a section, what each learner has, and how it came about.
 *
 * A grade_item is a column of a section's gradebook: a quiz, a task, attendance, or the total. A
 * grade_entry is the cell of a learner; graded attempts and submissions write it, and teachers do.
 * Every change of a cell is a grade_change_event that nobody rewrites. The total of a learner
 * follows each of the cells in the same transaction: courses.section_totals() drops, weighs and
 * adds up, and the letter is that of the section's grading scheme.
 */

CREATE TABLE courses.grade_item (
    business_id       uuid        NOT NULL,
    grade_item_id     uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    course_section_id uuid        NOT NULL,
    grade_category_id uuid,
    assessment_id uuid,
    assignment_id uuid,
    lti_tool_id uuid,
    title             text        NOT NULL,
    item_kind         text        NOT NULL,
    max_points system_core.quantity,
    weight_override_pct system_core.percentage,
    pass_points system_core.quantity,
    is_extra_credit   boolean     NOT NULL DEFAULT false,
    hidden_until timestamptz,
    is_locked         boolean     NOT NULL DEFAULT false,
    sort_order        integer     NOT NULL DEFAULT 1,
    scale_name text,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, grade_item_id),
    UNIQUE (business_id, course_section_id, title),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    FOREIGN KEY (business_id, grade_category_id)
        REFERENCES courses.grade_category (business_id, grade_category_id),
    FOREIGN KEY (business_id, assessment_id)
        REFERENCES courses.assessment (business_id, assessment_id),
    FOREIGN KEY (business_id, assignment_id)
        REFERENCES courses.assignment (business_id, assignment_id),
    FOREIGN KEY (business_id, lti_tool_id) REFERENCES courses.lti_tool (business_id, lti_tool_id),
    CONSTRAINT grade_item_kind_known
        CHECK (item_kind IN ('assessment', 'assignment', 'attendance', 'discussion', 'manual',
                             'external', 'course_total')),
    CONSTRAINT grade_item_source_by_kind
        CHECK ((item_kind = 'assessment') = (assessment_id IS NOT NULL)
               AND (item_kind = 'assignment') = (assignment_id IS NOT NULL)
               AND (item_kind = 'external') = (lti_tool_id IS NOT NULL)),
    CONSTRAINT grade_item_is_worth_points
        CHECK (CASE WHEN item_kind = 'course_total'
                        THEN max_points IS NULL AND grade_category_id IS NULL
                             AND NOT is_extra_credit
                    ELSE max_points IS NOT NULL AND max_points > 0 END),
    CONSTRAINT grade_item_pass_within_points CHECK (pass_points BETWEEN 0 AND max_points),
    CONSTRAINT grade_item_weight_is_a_share CHECK (weight_override_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE courses.grade_item IS 'Column of the gradebook.';
COMMENT ON COLUMN courses.grade_item.weight_override_pct IS
    'Its weight in a category that takes a weighted mean; NULL: its points.';
COMMENT ON COLUMN courses.grade_item.is_extra_credit IS 'Adds points, and asks for none.';
COMMENT ON COLUMN courses.grade_item.is_locked IS 'Its grades were handed to the registrar.';

-- One total of a section.
CREATE UNIQUE INDEX grade_item_total_idx
    ON courses.grade_item (business_id, course_section_id)
    WHERE item_kind = 'course_total';

-- FK: what a category grades.
CREATE INDEX grade_item_grade_category_idx
    ON courses.grade_item (business_id, grade_category_id)
    WHERE grade_category_id IS NOT NULL;

-- FK: where a graded attempt is noted; a quiz is once in a section.
CREATE UNIQUE INDEX grade_item_assessment_idx
    ON courses.grade_item (business_id, assessment_id, course_section_id)
    WHERE assessment_id IS NOT NULL;

-- FK: where a graded submission is noted; a task is once in a section.
CREATE UNIQUE INDEX grade_item_assignment_idx
    ON courses.grade_item (business_id, assignment_id, course_section_id)
    WHERE assignment_id IS NOT NULL;

-- FK: what an outside tool grades.
CREATE INDEX grade_item_lti_tool_idx
    ON courses.grade_item (business_id, lti_tool_id)
    WHERE lti_tool_id IS NOT NULL;

ALTER TABLE courses.grade_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.grade_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.grade_item TO app_user;
GRANT SELECT ON courses.grade_item TO app_readonly;

CREATE TRIGGER grade_item_touch
    BEFORE UPDATE ON courses.grade_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.check_grade_item() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM courses.course_section AS s
        JOIN (
            SELECT g.course_id FROM courses.grade_category AS g
            WHERE g.business_id = NEW.business_id AND g.grade_category_id = NEW.grade_category_id
            UNION ALL
            SELECT q.course_id FROM courses.assessment AS q
            WHERE q.business_id = NEW.business_id AND q.assessment_id = NEW.assessment_id
            UNION ALL
            SELECT a.course_id FROM courses.assignment AS a
            WHERE a.business_id = NEW.business_id AND a.assignment_id = NEW.assignment_id
        ) AS o ON o.course_id <> s.course_id
        WHERE s.business_id = NEW.business_id AND s.course_section_id = NEW.course_section_id) THEN
        RAISE EXCEPTION 'category or source of grade item % is of another course', NEW.title
            USING ERRCODE = 'check_violation';
    ELSIF TG_OP = 'UPDATE' AND EXISTS (
        SELECT FROM courses.grade_entry AS e
        WHERE e.business_id = NEW.business_id AND e.grade_item_id = NEW.grade_item_id
          AND e.points > NEW.max_points * 1.5) THEN
        RAISE EXCEPTION 'a grade of % is more than one and a half times %', NEW.title,
                        trim_scale(NEW.max_points)
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.check_grade_item() IS
    'A column and what it grades are of one course, and worth what its grades allow.';

CREATE TRIGGER grade_item_of_one_course
    BEFORE INSERT OR UPDATE OF course_section_id, grade_category_id, assessment_id, assignment_id,
                               max_points
    ON courses.grade_item
    FOR EACH ROW EXECUTE FUNCTION courses.check_grade_item();

CREATE FUNCTION courses.check_drops() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    category CONSTANT uuid := (to_jsonb(OLD) ->> 'grade_category_id')::uuid;
    wrong    record;
BEGIN
    SELECT g.name, g.drop_lowest + g.drop_highest AS drops, count(*) AS items INTO wrong
    FROM courses.grade_category AS g
    JOIN courses.grade_item AS i
        ON i.business_id = g.business_id AND i.grade_category_id = g.grade_category_id
       AND NOT i.is_extra_credit
    WHERE g.business_id = OLD.business_id AND g.grade_category_id = category
    GROUP BY g.grade_category_id, g.name, g.drop_lowest, g.drop_highest, i.course_section_id
    HAVING count(*) <= g.drop_lowest + g.drop_highest AND g.drop_lowest + g.drop_highest > 0
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'category % drops % of its % items', wrong.name, wrong.drops, wrong.items
            USING ERRCODE = 'check_violation', HINT = 'Something must be left to count.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.check_drops() IS
    'At the end of the transaction a category drops less than it has in a section. While a gradebook
     is built it may have few; courses.section_totals() leaves one then.';

CREATE CONSTRAINT TRIGGER grade_category_drops_some
    AFTER UPDATE OF drop_lowest, drop_highest ON courses.grade_category
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION courses.check_drops();

CREATE CONSTRAINT TRIGGER grade_item_leaves_some
    AFTER DELETE OR UPDATE OF grade_category_id ON courses.grade_item
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION courses.check_drops();


CREATE TABLE courses.grade_entry (
    business_id      uuid        NOT NULL,
    grade_entry_id   uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    grade_item_id    uuid        NOT NULL,
    enrollment_id    uuid        NOT NULL,
    graded_by uuid,
    points system_core.quantity,
    percentage system_core.percentage,
    letter text,
    status           text        NOT NULL DEFAULT 'ungraded',
    cause            text        NOT NULL DEFAULT 'instructor',
    cause_reason text,
    original_points system_core.quantity,
    override_reason text,
    graded_at timestamptz,
    posted_at timestamptz,
    feedback text,
    is_late          boolean     NOT NULL DEFAULT false,
    attempts_counted integer     NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, grade_entry_id),
    UNIQUE (business_id, grade_item_id, enrollment_id),
    FOREIGN KEY (business_id, grade_item_id)
        REFERENCES courses.grade_item (business_id, grade_item_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    FOREIGN KEY (business_id, graded_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT grade_entry_status_known
        CHECK (status IN ('ungraded', 'graded', 'excused', 'incomplete', 'missing', 'overridden')),
    CONSTRAINT grade_entry_cause_known
        CHECK (cause IN ('auto_grade', 'instructor', 'regrade', 'override', 'late_penalty',
                         'import', 'lti_return')),
    CONSTRAINT grade_entry_graded_has_points
        CHECK (CASE WHEN status IN ('graded', 'overridden')
                        THEN points IS NOT NULL AND graded_at IS NOT NULL
                    WHEN status <> 'incomplete' THEN points IS NULL END),
    CONSTRAINT grade_entry_overridden_for_a_reason
        CHECK (status <> 'overridden'
               OR (coalesce(override_reason, '') ~ '\S' AND cause = 'override')),
    CONSTRAINT grade_entry_regraded_for_a_reason
        CHECK (cause NOT IN ('regrade', 'override') OR coalesce(cause_reason, '') ~ '\S'),
    CONSTRAINT grade_entry_points_not_negative CHECK (points >= 0 AND original_points >= 0),
    CONSTRAINT grade_entry_posted_after_grade CHECK (posted_at >= graded_at),
    CONSTRAINT grade_entry_attempts_not_negative CHECK (attempts_counted >= 0)
);

COMMENT ON TABLE courses.grade_entry IS 'Grade of a learner for an item.';
COMMENT ON COLUMN courses.grade_entry.percentage IS
    'Of the item''s points; of a course total it is what counts, and points says the same.';
COMMENT ON COLUMN courses.grade_entry.cause IS 'Why it is what it is: of its latest change.';
COMMENT ON COLUMN courses.grade_entry.original_points IS 'What it was before it was overridden.';
COMMENT ON COLUMN courses.grade_entry.posted_at IS 'Since when the learner sees it.';
COMMENT ON COLUMN courses.grade_entry.attempts_counted IS 'Of a quiz: the attempts it rests on.';

-- FK: the grades of a learner in a course.
CREATE INDEX grade_entry_enrollment_idx
    ON courses.grade_entry (business_id, enrollment_id);

-- FK: what somebody graded.
CREATE INDEX grade_entry_graded_by_idx
    ON courses.grade_entry (business_id, graded_by)
    WHERE graded_by IS NOT NULL;

ALTER TABLE courses.grade_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.grade_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.grade_entry TO app_user;
GRANT SELECT ON courses.grade_entry TO app_readonly;

CREATE TRIGGER grade_entry_touch
    BEFORE UPDATE ON courses.grade_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.stamp_grade() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    item record;
BEGIN
    SELECT i.title, i.item_kind, i.max_points, i.is_locked, g.bands, g.rounds_to,
           i.course_section_id = e.course_section_id AS is_of_section
    INTO item
    FROM courses.grade_item AS i
    JOIN courses.course_section AS s
        ON s.business_id = i.business_id AND s.course_section_id = i.course_section_id
    JOIN courses.enrollment AS e
        ON e.business_id = i.business_id AND e.enrollment_id = NEW.enrollment_id
    LEFT JOIN courses.grading_scheme AS g
        ON g.business_id = s.business_id
       AND CASE WHEN s.grading_scheme_id IS NULL THEN g.is_default
                ELSE g.grading_scheme_id = s.grading_scheme_id END
    WHERE i.business_id = NEW.business_id AND i.grade_item_id = NEW.grade_item_id;
    IF item.is_of_section IS NOT TRUE THEN
        RAISE EXCEPTION '% is of a section that this enrollment is not in', item.title
            USING ERRCODE = 'check_violation';
    ELSIF item.is_locked AND row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'the grades of % are locked', item.title
            USING ERRCODE = 'check_violation';
    ELSIF NEW.points > coalesce(item.max_points, 100) * 1.5 THEN
        RAISE EXCEPTION '% is worth % points, not %', item.title,
                        trim_scale(coalesce(item.max_points, 100)), trim_scale(NEW.points)
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.percentage := round(100 * NEW.points / coalesce(item.max_points, 100), 4);
    NEW.letter := (SELECT b.letter FROM courses.band_of(item.bands, NEW.percentage,
                                                        item.rounds_to) AS b
                   WHERE NEW.percentage IS NOT NULL);
    IF NEW.status = 'overridden' THEN
        NEW.cause := 'override';
        NEW.cause_reason := NEW.override_reason;
        IF TG_OP = 'UPDATE' AND OLD.status <> 'overridden' THEN
            NEW.original_points := OLD.points;
        END IF;
    ELSIF TG_OP = 'UPDATE' AND OLD.status = 'overridden' THEN
        NEW.override_reason := NULL;
        NEW.original_points := NULL;
        IF NEW.cause = 'override' THEN
            NEW.cause := 'instructor';
            NEW.cause_reason := NULL;
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.stamp_grade() IS
    'A grade is of a learner of the section and at most one and a half times what the item is worth;
     percentage and letter follow from its points. What was overridden is kept beside.';

CREATE TRIGGER grade_entry_stamped
    BEFORE INSERT OR UPDATE ON courses.grade_entry
    FOR EACH ROW EXECUTE FUNCTION courses.stamp_grade();


CREATE TABLE courses.grade_change_event (
    business_id           uuid        NOT NULL,
    grade_change_event_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    grade_entry_id        uuid        NOT NULL,
    changed_by uuid,
    changed_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    old_points system_core.quantity,
    new_points system_core.quantity,
    old_letter text,
    new_letter text,
    cause                 text        NOT NULL,
    reason text,
    visible_to_learner    boolean     NOT NULL DEFAULT false,
    request_id text,
    created_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, grade_change_event_id, changed_at),
    FOREIGN KEY (business_id, grade_entry_id)
        REFERENCES courses.grade_entry (business_id, grade_entry_id),
    FOREIGN KEY (business_id, changed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT grade_change_event_cause_known
        CHECK (cause IN ('auto_grade', 'instructor', 'regrade', 'override', 'late_penalty',
                         'import', 'lti_return')),
    CONSTRAINT grade_change_event_changes_something
        CHECK ((old_points, old_letter) IS DISTINCT FROM (new_points, new_letter)),
    CONSTRAINT grade_change_event_regraded_for_a_reason
        CHECK (cause NOT IN ('regrade', 'override') OR coalesce(reason, '') ~ '\S')
) PARTITION BY RANGE (changed_at);

COMMENT ON TABLE courses.grade_change_event IS
    'Every change of a grade, by whom and why; append only.';
COMMENT ON COLUMN courses.grade_change_event.changed_by IS 'NULL: the machine graded.';
COMMENT ON COLUMN courses.grade_change_event.visible_to_learner IS
    'Whether the grade was posted when it changed.';

-- FK: the history of a grade in order.
CREATE INDEX grade_change_event_grade_entry_idx
    ON courses.grade_change_event (business_id, grade_entry_id, changed_at);

-- FK: the grades that somebody changed, for an audit.
CREATE INDEX grade_change_event_changed_by_idx
    ON courses.grade_change_event (business_id, changed_by, changed_at)
    WHERE changed_by IS NOT NULL;

ALTER TABLE courses.grade_change_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.grade_change_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON courses.grade_change_event TO app_user;
GRANT SELECT ON courses.grade_change_event TO app_readonly;

CREATE TRIGGER grade_change_event_append_only
    BEFORE UPDATE OR DELETE ON courses.grade_change_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('courses.grade_change_event');

CREATE TABLE courses.grade_change_event_default
    PARTITION OF courses.grade_change_event DEFAULT;
ALTER TABLE courses.grade_change_event_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.grade_change_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('courses.grade_change_event', 'month',
                                     behind => 13, ahead => 3);


CREATE FUNCTION courses.section_totals(section uuid, enrollments uuid[] DEFAULT NULL)
    RETURNS TABLE (enrollment_id uuid, total_pct numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH cell AS (
        SELECT e.enrollment_id, i.grade_item_id, i.grade_category_id, i.max_points,
               i.is_extra_credit, coalesce(i.weight_override_pct, i.max_points) AS weight,
               g.drop_lowest, g.drop_highest, g.keep_best,
               CASE WHEN n.points IS NOT NULL THEN n.points
                    WHEN n.status = 'missing' OR NOT coalesce(g.excludes_empty, true)
                        THEN 0 END AS points
        FROM courses.enrollment AS e
        JOIN courses.grade_item AS i
            ON i.business_id = e.business_id AND i.course_section_id = e.course_section_id
           AND i.item_kind <> 'course_total'
        LEFT JOIN courses.grade_category AS g
            ON g.business_id = i.business_id AND g.grade_category_id = i.grade_category_id
        LEFT JOIN courses.grade_entry AS n
            ON n.business_id = i.business_id AND n.grade_item_id = i.grade_item_id
           AND n.enrollment_id = e.enrollment_id
        WHERE e.business_id = tenant_mgmt.current_business_id() AND e.course_section_id = section
          AND (enrollments IS NULL OR e.enrollment_id = ANY (enrollments))
          AND n.status IS DISTINCT FROM 'excused'
    ), placed AS (
        SELECT c.*, c.points / c.max_points * 100 AS pct,
               row_number() OVER (w ORDER BY c.points / c.max_points, c.grade_item_id) AS from_low,
               row_number() OVER (w ORDER BY c.points / c.max_points DESC,
                                             c.grade_item_id DESC) AS from_high,
               count(*) OVER w AS many
        FROM cell AS c
        WHERE c.points IS NOT NULL
        WINDOW w AS (PARTITION BY c.enrollment_id, c.grade_category_id, c.is_extra_credit)
    ), kept AS (
        SELECT p.enrollment_id, p.grade_category_id, p.is_extra_credit, p.points, p.max_points,
               p.pct, p.weight
        FROM placed AS p
        WHERE p.is_extra_credit OR p.grade_category_id IS NULL
           OR (p.from_low > least(p.drop_lowest, p.many - 1)
               AND p.from_high > least(p.drop_highest,
                                       p.many - 1 - least(p.drop_lowest, p.many - 1))
               AND (p.keep_best IS NULL OR p.from_high <= p.keep_best))
    ), below AS (
        -- Sub-categories first: each is then a part of the category that it is in.
        SELECT k.enrollment_id, g.parent_category_id, g.weight_pct AS weight,
               sum(k.max_points) FILTER (WHERE NOT k.is_extra_credit) AS max_points,
               coalesce(CASE g.aggregation
                   WHEN 'mean' THEN avg(k.pct) FILTER (WHERE NOT k.is_extra_credit)
                   WHEN 'highest' THEN max(k.pct) FILTER (WHERE NOT k.is_extra_credit)
                   WHEN 'median' THEN (percentile_cont(0.5) WITHIN GROUP (ORDER BY k.pct)
                                       FILTER (WHERE NOT k.is_extra_credit))::numeric
                   WHEN 'weighted_mean'
                       THEN sum(k.pct * k.weight) FILTER (WHERE NOT k.is_extra_credit)
                            / nullif(sum(k.weight) FILTER (WHERE NOT k.is_extra_credit), 0)
                   ELSE 100 * sum(k.points) FILTER (WHERE NOT k.is_extra_credit)
                        / sum(k.max_points) FILTER (WHERE NOT k.is_extra_credit) END, 0)
               + coalesce(100 * sum(k.points) FILTER (WHERE k.is_extra_credit)
                          / sum(k.max_points) FILTER (WHERE NOT k.is_extra_credit), 0) AS pct
        FROM kept AS k
        JOIN courses.grade_category AS g
            ON g.business_id = tenant_mgmt.current_business_id()
           AND g.grade_category_id = k.grade_category_id AND g.parent_category_id IS NOT NULL
        GROUP BY k.enrollment_id, g.grade_category_id, g.parent_category_id, g.weight_pct,
                 g.aggregation
        HAVING bool_or(NOT k.is_extra_credit)
    ), part AS (
        SELECT b.enrollment_id, b.parent_category_id AS grade_category_id,
               false AS is_extra_credit, b.pct * b.max_points / 100 AS points, b.max_points,
               b.pct, coalesce(b.weight, b.max_points) AS weight
        FROM below AS b
        UNION ALL
        SELECT k.enrollment_id, k.grade_category_id, k.is_extra_credit, k.points, k.max_points,
               k.pct, k.weight
        FROM kept AS k
        LEFT JOIN courses.grade_category AS g
            ON g.business_id = tenant_mgmt.current_business_id()
           AND g.grade_category_id = k.grade_category_id
        WHERE g.parent_category_id IS NULL
    ), top AS (
        SELECT k.enrollment_id, g.weight_pct AS weight,
               sum(k.max_points) FILTER (WHERE NOT k.is_extra_credit) AS max_points,
               coalesce(CASE g.aggregation
                   WHEN 'mean' THEN avg(k.pct) FILTER (WHERE NOT k.is_extra_credit)
                   WHEN 'highest' THEN max(k.pct) FILTER (WHERE NOT k.is_extra_credit)
                   WHEN 'median' THEN (percentile_cont(0.5) WITHIN GROUP (ORDER BY k.pct)
                                       FILTER (WHERE NOT k.is_extra_credit))::numeric
                   WHEN 'weighted_mean'
                       THEN sum(k.pct * k.weight) FILTER (WHERE NOT k.is_extra_credit)
                            / nullif(sum(k.weight) FILTER (WHERE NOT k.is_extra_credit), 0)
                   ELSE 100 * sum(k.points) FILTER (WHERE NOT k.is_extra_credit)
                        / sum(k.max_points) FILTER (WHERE NOT k.is_extra_credit) END, 0)
               + coalesce(100 * sum(k.points) FILTER (WHERE k.is_extra_credit)
                          / sum(k.max_points) FILTER (WHERE NOT k.is_extra_credit), 0) AS pct
        FROM part AS k
        LEFT JOIN courses.grade_category AS g
            ON g.business_id = tenant_mgmt.current_business_id()
           AND g.grade_category_id = k.grade_category_id
        GROUP BY k.enrollment_id, g.grade_category_id, g.weight_pct, g.aggregation
        HAVING bool_or(NOT k.is_extra_credit)
    )
    SELECT t.enrollment_id,
           round(least(CASE WHEN count(t.weight) > 0
                            THEN sum(t.pct * t.weight) / nullif(sum(t.weight), 0)
                            ELSE sum(t.pct * t.max_points) / sum(t.max_points) END, 100), 2)
    FROM top AS t
    GROUP BY t.enrollment_id;
END;
COMMENT ON FUNCTION courses.section_totals(uuid, uuid[]) IS
    'What the grades of learners of a section make, in percent: excused is left out, missing counts
     as nothing, the lowest and highest are dropped, categories aggregate in their own way and weigh
     as they say, those that nothing is graded in yet leave their weight to the others. Without
     weights the points decide; what is in no category counts only then. Never above 100.';

CREATE FUNCTION courses.write_totals(section uuid, enrollments uuid[] DEFAULT NULL)
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    total   uuid;
    written integer;
BEGIN
    -- Who grades two items of a learner at once waits here: the total has both.
    PERFORM e.enrollment_id
    FROM courses.enrollment AS e
    WHERE e.business_id = tenant AND e.course_section_id = section
      AND (enrollments IS NULL OR e.enrollment_id = ANY (enrollments))
    ORDER BY e.enrollment_id
    FOR NO KEY UPDATE;
    SELECT i.grade_item_id INTO total
    FROM courses.grade_item AS i
    WHERE i.business_id = tenant AND i.course_section_id = section
      AND i.item_kind = 'course_total' AND NOT i.is_locked;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    INSERT INTO courses.grade_entry AS n
        (business_id, grade_item_id, enrollment_id, points, status, cause, graded_at)
    SELECT tenant, total, t.enrollment_id, t.total_pct, 'graded', 'auto_grade', now()
    FROM courses.section_totals(section, enrollments) AS t
    WHERE t.total_pct IS NOT NULL
    ORDER BY t.enrollment_id
    ON CONFLICT (business_id, grade_item_id, enrollment_id) DO UPDATE
    SET points = excluded.points, status = 'graded', cause = 'auto_grade', cause_reason = NULL,
        graded_at = excluded.graded_at,
        posted_at = greatest(n.posted_at, excluded.graded_at)
    WHERE n.business_id = excluded.business_id AND n.status <> 'overridden'
      AND (n.points IS DISTINCT FROM excluded.points
           OR n.letter IS DISTINCT FROM excluded.letter);  -- of the scheme as it is now
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
COMMENT ON FUNCTION courses.write_totals(uuid, uuid[]) IS
    'Writes the totals of a section, or of some learners of it, where they changed; one that was
     overridden stays. Returns how many were written; a section without a total column has none.';

CREATE FUNCTION courses.compute_section_grades(section uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    INSERT INTO courses.grade_item
        (business_id, course_section_id, title, item_kind, sort_order)
    SELECT tenant, s.course_section_id, 'Course total', 'course_total', 1000
    FROM courses.course_section AS s
    WHERE s.business_id = tenant AND s.course_section_id = section
    ON CONFLICT (business_id, course_section_id) WHERE item_kind = 'course_total' DO NOTHING;
    RETURN courses.write_totals(section);
END
$$;
COMMENT ON FUNCTION courses.compute_section_grades(uuid) IS
    'The totals and letters of a section, with a column for them; asked again it changes nothing.
     Returns how many changed.';

CREATE FUNCTION courses.follow_grades() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    part record;
BEGIN
    IF NOT row_security_active('courses.grade_entry') THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO courses.grade_change_event
            (business_id, grade_entry_id, changed_by, new_points, new_letter, cause, reason,
             visible_to_learner, request_id)
        SELECT c.business_id, c.grade_entry_id, c.graded_by, c.points, c.letter, c.cause,
               c.cause_reason, c.posted_at IS NOT NULL,
               nullif(current_setting('app.request_id', true), '')
        FROM changed AS c
        WHERE c.points IS NOT NULL;
    ELSE
        INSERT INTO courses.grade_change_event
            (business_id, grade_entry_id, changed_by, old_points, new_points, old_letter,
             new_letter, cause, reason, visible_to_learner, request_id)
        SELECT c.business_id, c.grade_entry_id, c.graded_by, f.points, c.points, f.letter,
               c.letter, c.cause, c.cause_reason, c.posted_at IS NOT NULL,
               nullif(current_setting('app.request_id', true), '')
        FROM changed AS c
        JOIN former AS f
            ON f.business_id = c.business_id AND f.grade_entry_id = c.grade_entry_id
        WHERE (f.points, f.letter) IS DISTINCT FROM (c.points, c.letter);
    END IF;
    FOR part IN
        SELECT i.course_section_id, array_agg(DISTINCT c.enrollment_id) AS enrollments
        FROM changed AS c
        JOIN courses.grade_item AS i
            ON i.business_id = c.business_id AND i.grade_item_id = c.grade_item_id
           AND i.item_kind <> 'course_total'
        GROUP BY i.course_section_id
        ORDER BY i.course_section_id
    LOOP
        PERFORM courses.write_totals(part.course_section_id, part.enrollments);
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.follow_grades() IS
    'Each change of a grade is written down, and the totals follow. Imported history brings both.';

CREATE TRIGGER grade_entry_followed
    AFTER INSERT ON courses.grade_entry
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_grades();

CREATE TRIGGER grade_entry_followed_anew
    AFTER UPDATE ON courses.grade_entry
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_grades();


CREATE FUNCTION courses.post_submission() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    INSERT INTO courses.grade_entry AS n
        (business_id, grade_item_id, enrollment_id, graded_by, points, status, cause,
         cause_reason, graded_at, feedback, is_late)
    SELECT NEW.business_id, i.grade_item_id, NEW.enrollment_id, NEW.graded_by,
           CASE WHEN NEW.state = 'graded'
                THEN round(NEW.final_points / nullif(a.points_possible, 0) * i.max_points, 4) END,
           NEW.state, CASE WHEN NEW.penalty_pct > 0 THEN 'late_penalty' ELSE 'instructor' END,
           CASE WHEN NEW.penalty_pct > 0
                THEN NEW.days_late || ' days late: ' || trim_scale(NEW.penalty_pct) || ' % off' END,
           NEW.graded_at, NEW.feedback, NEW.days_late > 0
    FROM courses.assignment AS a
    JOIN courses.enrollment AS e
        ON e.business_id = a.business_id AND e.enrollment_id = NEW.enrollment_id
    JOIN courses.grade_item AS i
        ON i.business_id = a.business_id AND i.assignment_id = a.assignment_id
       AND i.course_section_id = e.course_section_id AND NOT i.is_locked
    WHERE a.business_id = NEW.business_id AND a.assignment_id = NEW.assignment_id
      AND (a.points_possible > 0 OR NEW.state <> 'graded')
      AND NOT EXISTS (SELECT FROM courses.assignment_submission AS x
                      WHERE x.business_id = NEW.business_id
                        AND x.assignment_id = NEW.assignment_id
                        AND x.enrollment_id = NEW.enrollment_id
                        AND x.submission_no > NEW.submission_no
                        AND x.state IN ('graded', 'excused'))
    ON CONFLICT (business_id, grade_item_id, enrollment_id) DO UPDATE
    SET points = excluded.points, status = excluded.status, graded_by = excluded.graded_by,
        cause = excluded.cause, cause_reason = excluded.cause_reason,
        graded_at = excluded.graded_at, feedback = excluded.feedback, is_late = excluded.is_late,
        posted_at = greatest(n.posted_at, excluded.graded_at)
    WHERE n.business_id = excluded.business_id AND n.status <> 'overridden';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.post_submission() IS
    'What is graded, excused or missing is so in the gradebook; the latest version counts. A grade
     that was overridden, or locked, stays.';

CREATE TRIGGER assignment_submission_posted
    AFTER UPDATE OF state, raw_points, penalty_pct ON courses.assignment_submission
    FOR EACH ROW WHEN (NEW.state IN ('graded', 'excused', 'missing')
                       AND (NEW.state, NEW.final_points)
                           IS DISTINCT FROM (OLD.state, OLD.final_points))
    EXECUTE FUNCTION courses.post_submission();

CREATE FUNCTION courses.counted_pct(assessment uuid, enrollment uuid)
    RETURNS TABLE (pct numeric, attempts integer)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE min(q.attempt_grading)
               WHEN 'average' THEN round(avg(a.score_pct), 4)
               WHEN 'first' THEN (array_agg(a.score_pct ORDER BY a.attempt_no))[1]
               WHEN 'last' THEN (array_agg(a.score_pct ORDER BY a.attempt_no DESC))[1]
               ELSE max(a.score_pct) END, count(*)::integer
    FROM courses.assessment AS q
    JOIN courses.assessment_attempt AS a
        ON a.business_id = q.business_id AND a.assessment_id = q.assessment_id
       AND a.enrollment_id = counted_pct.enrollment AND a.state = 'graded'
    WHERE q.business_id = tenant_mgmt.current_business_id()
      AND q.assessment_id = counted_pct.assessment;
END;
COMMENT ON FUNCTION courses.counted_pct(uuid, uuid) IS
    'What counts of a learner''s graded attempts, as the quiz says: the highest, the average, the
     first or the last; and how many there are.';

CREATE FUNCTION courses.post_attempt() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    INSERT INTO courses.grade_entry AS n
        (business_id, grade_item_id, enrollment_id, points, status, cause, graded_at,
         attempts_counted)
    SELECT NEW.business_id, i.grade_item_id, NEW.enrollment_id,
           CASE WHEN c.attempts > 0
                THEN round(greatest(c.pct, 0) / 100 * i.max_points, 4) END,
           CASE WHEN c.attempts > 0 THEN 'graded' ELSE 'ungraded' END, 'auto_grade',
           NEW.graded_at, c.attempts
    FROM courses.enrollment AS e
    JOIN courses.grade_item AS i
        ON i.business_id = e.business_id AND i.assessment_id = NEW.assessment_id
       AND i.course_section_id = e.course_section_id AND NOT i.is_locked
    CROSS JOIN LATERAL courses.counted_pct(NEW.assessment_id, NEW.enrollment_id) AS c
    WHERE e.business_id = NEW.business_id AND e.enrollment_id = NEW.enrollment_id
    ON CONFLICT (business_id, grade_item_id, enrollment_id) DO UPDATE
    SET points = excluded.points, status = excluded.status, cause = 'auto_grade',
        cause_reason = NULL, graded_by = NULL, graded_at = excluded.graded_at,
        attempts_counted = excluded.attempts_counted,
        posted_at = greatest(n.posted_at, excluded.graded_at)
    WHERE n.business_id = excluded.business_id AND n.status <> 'overridden'
      AND (n.points, n.attempts_counted)
          IS DISTINCT FROM (excluded.points, excluded.attempts_counted);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.post_attempt() IS
    'What a learner''s attempts make is in the gradebook, also when one is graded anew or voided.';

CREATE TRIGGER assessment_attempt_posted
    AFTER UPDATE ON courses.assessment_attempt
    FOR EACH ROW WHEN ((NEW.state = 'graded' OR OLD.state = 'graded')
                       AND (NEW.state, NEW.score_pct) IS DISTINCT FROM (OLD.state, OLD.score_pct))
    EXECUTE FUNCTION courses.post_attempt();

CREATE FUNCTION courses.grade_differences()
    RETURNS TABLE (thing text, id uuid, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'history', n.grade_entry_id, n.points, h.points
    FROM courses.grade_entry AS n
    LEFT JOIN LATERAL (
        SELECT c.new_points AS points
        FROM courses.grade_change_event AS c
        WHERE c.business_id = n.business_id AND c.grade_entry_id = n.grade_entry_id
        ORDER BY c.changed_at DESC, c.grade_change_event_id DESC
        LIMIT 1
    ) AS h ON true
    WHERE n.business_id = tenant_mgmt.current_business_id()
      AND n.points IS DISTINCT FROM h.points
    UNION ALL
    SELECT 'chain', c.grade_entry_id, c.old_points, c.former
    FROM (
        SELECT x.grade_entry_id, x.old_points,
               lag(x.new_points) OVER (PARTITION BY x.grade_entry_id
                                       ORDER BY x.changed_at, x.grade_change_event_id) AS former
        FROM courses.grade_change_event AS x
        WHERE x.business_id = tenant_mgmt.current_business_id()
    ) AS c
    WHERE c.old_points IS DISTINCT FROM c.former
    UNION ALL
    SELECT 'total', n.grade_entry_id, n.points, t.total_pct
    FROM courses.grade_item AS i
    JOIN courses.grade_entry AS n
        ON n.business_id = i.business_id AND n.grade_item_id = i.grade_item_id
       AND n.status = 'graded'
    LEFT JOIN LATERAL courses.section_totals(i.course_section_id, ARRAY[n.enrollment_id]) AS t
        ON true
    WHERE i.business_id = tenant_mgmt.current_business_id() AND i.item_kind = 'course_total'
      AND n.points IS DISTINCT FROM t.total_pct;
END;
COMMENT ON FUNCTION courses.grade_differences() IS
    'Proves the gradebook: grades that are not the last of their history, changes that do not follow
     from the one before, and totals that the grades do not make.';


CREATE VIEW courses.v_gradebook WITH (security_invoker = true) AS
SELECT e.business_id, e.course_section_id, e.enrollment_id, e.learner_id, l.learner_number,
       e.status AS enrollment_status, i.grade_item_id, i.title, i.item_kind, i.grade_category_id,
       i.sort_order, i.max_points, n.points, n.percentage, n.letter,
       coalesce(n.status, 'ungraded') AS status, n.is_late, n.posted_at, t.percentage AS total_pct,
       t.letter AS total_letter
FROM courses.enrollment AS e
JOIN courses.learner AS l
    ON l.business_id = e.business_id AND l.learner_id = e.learner_id
JOIN courses.grade_item AS i
    ON i.business_id = e.business_id AND i.course_section_id = e.course_section_id
   AND i.item_kind <> 'course_total'
LEFT JOIN courses.grade_entry AS n
    ON n.business_id = i.business_id AND n.grade_item_id = i.grade_item_id
   AND n.enrollment_id = e.enrollment_id
LEFT JOIN courses.grade_item AS x
    ON x.business_id = e.business_id AND x.course_section_id = e.course_section_id
   AND x.item_kind = 'course_total'
LEFT JOIN courses.grade_entry AS t
    ON t.business_id = e.business_id AND t.grade_item_id = x.grade_item_id
   AND t.enrollment_id = e.enrollment_id
WHERE e.status NOT IN ('requested', 'pending_payment', 'withdrawn');

COMMENT ON VIEW courses.v_gradebook IS
    'Learners by grade items of a section, each cell with the total and letter of its learner.';

GRANT SELECT ON courses.v_gradebook TO app_user, app_readonly;

CREATE VIEW courses.v_grading_queue WITH (security_invoker = true) AS
SELECT w.business_id, 'submission' AS work_kind, w.assignment_submission_id AS work_id,
       e.course_section_id, a.title, CASE WHEN NOT a.anonymous_grading THEN e.learner_id END
           AS learner_id, w.submitted_at AS waiting_since, w.state = 'late' AS is_late
FROM courses.assignment_submission AS w
JOIN courses.assignment AS a
    ON a.business_id = w.business_id AND a.assignment_id = w.assignment_id
JOIN courses.enrollment AS e
    ON e.business_id = w.business_id AND e.enrollment_id = w.enrollment_id
WHERE w.state IN ('submitted', 'late')
UNION ALL
SELECT r.business_id, 'answer', r.attempt_response_id, e.course_section_id, q.title, e.learner_id,
       t.submitted_at, false
FROM courses.attempt_response AS r
JOIN courses.assessment_attempt AS t
    ON t.business_id = r.business_id AND t.assessment_attempt_id = r.assessment_attempt_id
   AND t.state = 'submitted'
JOIN courses.assessment AS q
    ON q.business_id = t.business_id AND q.assessment_id = t.assessment_id
JOIN courses.enrollment AS e
    ON e.business_id = t.business_id AND e.enrollment_id = t.enrollment_id
WHERE r.needs_manual_grading
ORDER BY waiting_since, work_id;

COMMENT ON VIEW courses.v_grading_queue IS
    'What waits for a grader, submissions and answers, the oldest first; where a task is graded
     anonymously, it does not say whose.';

GRANT SELECT ON courses.v_grading_queue TO app_user, app_readonly;
