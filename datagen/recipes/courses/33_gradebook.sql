SELECT tenant_mgmt.set_tenant(%(business_id)s);
SET LOCAL enable_nestloop = off;

INSERT INTO courses.grade_item
    (business_id, grade_item_id, course_section_id, grade_category_id, assessment_id, title,
     item_kind, max_points, pass_points, sort_order)
SELECT s.business_id, md5('item ' || a.assessment_id || s.course_section_id)::uuid,
       s.course_section_id, a.grade_category_id, a.assessment_id, a.title || ' (' || row_number()
           OVER (PARTITION BY s.course_section_id ORDER BY a.assessment_kind DESC, a.title,
                                                           a.assessment_id) || ')',
       'assessment', 100, a.passing_pct,
       row_number() OVER (PARTITION BY s.course_section_id ORDER BY a.assessment_kind DESC,
                                                                    a.title, a.assessment_id)
FROM courses.course_section AS s
JOIN courses.assessment AS a
    ON a.business_id = s.business_id AND a.course_id = s.course_id
   AND a.grade_category_id IS NOT NULL
WHERE s.business_id = %(business_id)s AND s.status NOT IN ('planned', 'cancelled');

INSERT INTO courses.grade_item
    (business_id, grade_item_id, course_section_id, grade_category_id, assignment_id, title,
     item_kind, max_points, pass_points, sort_order)
SELECT s.business_id, md5('item ' || a.assignment_id || s.course_section_id)::uuid,
       s.course_section_id, a.grade_category_id, a.assignment_id, split_part(a.title, ' of ', 1),
       'assignment', 100, 60, 50 + k.turn
FROM courses.course_section AS s
CROSS JOIN (VALUES (1), (2)) AS k (turn)
JOIN courses.assignment AS a
    ON a.business_id = s.business_id
   AND a.assignment_id = md5('assignment ' || k.turn || CASE s.delivery
           WHEN 'self_paced' THEN s.course_id ELSE s.course_section_id END)::uuid
WHERE s.business_id = %(business_id)s AND s.status NOT IN ('planned', 'cancelled');

INSERT INTO courses.grade_item
    (business_id, grade_item_id, course_section_id, title, item_kind, sort_order)
SELECT s.business_id, md5('total ' || s.course_section_id)::uuid, s.course_section_id,
       'Course total', 'course_total', 1000
FROM courses.course_section AS s
WHERE s.business_id = %(business_id)s AND s.status NOT IN ('planned', 'cancelled');

-- What was handed in, or not.
INSERT INTO courses.grade_entry
    (business_id, grade_entry_id, grade_item_id, enrollment_id, graded_by, points, status, cause,
     cause_reason, graded_at, posted_at, feedback, is_late)
SELECT w.business_id, md5('grade ' || i.grade_item_id || w.enrollment_id)::uuid, i.grade_item_id,
       w.enrollment_id, w.graded_by, w.final_points, w.state,
       CASE WHEN w.penalty_pct > 0 THEN 'late_penalty' ELSE 'instructor' END,
       CASE WHEN w.penalty_pct > 0
            THEN w.days_late || ' days late: ' || trim_scale(w.penalty_pct) || ' %% off' END,
       w.graded_at, w.feedback_released_at, w.feedback, w.days_late > 0
FROM courses.assignment_submission AS w
JOIN courses.enrollment AS e
    ON e.business_id = w.business_id AND e.enrollment_id = w.enrollment_id
JOIN courses.grade_item AS i
    ON i.business_id = w.business_id AND i.assignment_id = w.assignment_id
   AND i.course_section_id = e.course_section_id
WHERE w.business_id = %(business_id)s AND w.state IN ('graded', 'missing');

-- What counts of the attempts.
INSERT INTO courses.grade_entry
    (business_id, grade_entry_id, grade_item_id, enrollment_id, points, status, cause, graded_at,
     posted_at, attempts_counted)
SELECT a.business_id, md5('grade ' || i.grade_item_id || a.enrollment_id)::uuid, i.grade_item_id,
       a.enrollment_id, greatest(c.pct, 0), 'graded', 'auto_grade', a.moment, a.moment, c.attempts
FROM (
    SELECT x.business_id, x.assessment_id, x.enrollment_id, max(x.graded_at) AS moment
    FROM courses.assessment_attempt AS x
    WHERE x.business_id = %(business_id)s AND x.state = 'graded'
    GROUP BY x.business_id, x.assessment_id, x.enrollment_id
) AS a
JOIN courses.enrollment AS e
    ON e.business_id = a.business_id AND e.enrollment_id = a.enrollment_id
JOIN courses.grade_item AS i
    ON i.business_id = a.business_id AND i.assessment_id = a.assessment_id
   AND i.course_section_id = e.course_section_id
CROSS JOIN LATERAL courses.counted_pct(a.assessment_id, a.enrollment_id) AS c;

-- One teacher's grade in twenty was looked at again, and raised.
UPDATE courses.grade_entry AS n
SET cause = 'regrade', cause_reason = 'A page of the file had been overlooked.'
WHERE n.business_id = %(business_id)s AND n.cause = 'instructor' AND n.points > 10
  AND abs(hashtextextended(n.grade_entry_id::text, 47)) %% 20 = 0;

-- The totals, as the schema adds them up.
INSERT INTO courses.grade_entry
    (business_id, grade_entry_id, grade_item_id, enrollment_id, points, status, cause, graded_at,
     posted_at)
SELECT i.business_id, md5('grade ' || i.grade_item_id || t.enrollment_id)::uuid, i.grade_item_id,
       t.enrollment_id, t.total_pct, 'graded', 'auto_grade', n.moment, n.moment
FROM courses.grade_item AS i
CROSS JOIN LATERAL courses.section_totals(i.course_section_id) AS t
CROSS JOIN LATERAL (
    SELECT max(coalesce(x.graded_at, w.late_until)) AS moment
    FROM courses.grade_entry AS x
    JOIN courses.grade_item AS y
        ON y.business_id = x.business_id AND y.grade_item_id = x.grade_item_id
    LEFT JOIN courses.assignment AS w
        ON w.business_id = y.business_id AND w.assignment_id = y.assignment_id
       AND w.late_until < %(as_of)s::timestamptz
    WHERE x.business_id = i.business_id AND x.enrollment_id = t.enrollment_id
) AS n
WHERE i.business_id = %(business_id)s AND i.item_kind = 'course_total'
  AND t.total_pct IS NOT NULL AND n.moment IS NOT NULL;

-- Where a course was completed or failed against its figures, its lead decided so.
UPDATE courses.grade_entry AS n
SET status = 'overridden', points = e.final_grade_pct, cause_reason = r.reason,
    override_reason = r.reason, graded_by = c.owner_user_account_id,
    graded_at = n.graded_at + interval '1 hour', posted_at = n.graded_at + interval '1 hour'
FROM courses.grade_item AS i
JOIN courses.course_section AS s
    ON s.business_id = i.business_id AND s.course_section_id = i.course_section_id
JOIN courses.course AS c ON c.business_id = s.business_id AND c.course_id = s.course_id
JOIN courses.enrollment AS e
    ON e.business_id = s.business_id AND e.course_section_id = s.course_section_id
CROSS JOIN LATERAL (
    SELECT CASE e.status WHEN 'completed' THEN 'The oral exam made up for it.'
                         ELSE 'The final exam was not passed.' END AS reason
) AS r
WHERE n.business_id = %(business_id)s AND i.business_id = n.business_id
  AND i.grade_item_id = n.grade_item_id AND i.item_kind = 'course_total'
  AND e.enrollment_id = n.enrollment_id AND e.status IN ('completed', 'failed')
  AND (e.status = 'completed') <> (n.points >= 60) AND e.final_grade_pct IS NOT NULL;

-- And else the figures are the grade of the course.
UPDATE courses.enrollment AS e
SET final_grade_pct = n.points, final_grade_letter = n.letter
FROM courses.grade_entry AS n
JOIN courses.grade_item AS i
    ON i.business_id = n.business_id AND i.grade_item_id = n.grade_item_id
   AND i.item_kind = 'course_total'
WHERE e.business_id = %(business_id)s AND n.business_id = e.business_id
  AND n.enrollment_id = e.enrollment_id AND e.status IN ('completed', 'failed');

-- How each grade came about: once, or twice where it was raised or overridden.
INSERT INTO courses.grade_change_event
    (business_id, grade_change_event_id, grade_entry_id, changed_by, changed_at, old_points,
     new_points, old_letter, new_letter, cause, reason, visible_to_learner)
WITH graded AS (
    SELECT n.*, g.bands, g.rounds_to,
           CASE n.cause WHEN 'regrade' THEN n.points - 4 WHEN 'override' THEN n.original_points
                END AS first_points
    FROM courses.grade_entry AS n
    CROSS JOIN courses.grading_scheme AS g
    WHERE n.business_id = %(business_id)s AND n.points IS NOT NULL
      AND g.business_id = n.business_id AND g.is_default
), steps AS (
    SELECT n.*, 1 AS step, n.first_points IS NOT NULL AS has_more,
           coalesce(n.first_points, n.points) AS after, NULL::numeric AS before
    FROM graded AS n
    UNION ALL
    SELECT n.*, 2, false, n.points, n.first_points
    FROM graded AS n
    WHERE n.first_points IS NOT NULL
)
SELECT s.business_id, md5('change ' || s.step || s.grade_entry_id)::uuid, s.grade_entry_id,
       s.graded_by, CASE WHEN s.has_more THEN s.graded_at - interval '50 minutes'
                         ELSE s.graded_at END,
       s.before, s.after, b.letter, a.letter,
       CASE WHEN NOT s.has_more THEN s.cause WHEN s.cause = 'override' THEN 'auto_grade'
            ELSE 'instructor' END,
       CASE WHEN NOT s.has_more THEN s.cause_reason END, NOT s.has_more AND s.posted_at IS NOT NULL
FROM steps AS s
CROSS JOIN LATERAL courses.band_of(s.bands, s.after, s.rounds_to) AS a
LEFT JOIN LATERAL (
    SELECT x.letter FROM courses.band_of(s.bands, s.before, s.rounds_to) AS x
    WHERE s.before IS NOT NULL
) AS b ON true;
