SELECT tenant_mgmt.set_tenant(%(business_id)s);
SET LOCAL enable_nestloop = off;

INSERT INTO courses.grading_scheme
    (business_id, grading_scheme_id, name, scheme_kind, bands, pass_mark_pct, rounds_to,
     is_default, valid_from, retired_on)
SELECT %(business_id)s, md5('scheme ' || g.name || %(business_id)s)::uuid, g.name, g.kind,
       g.bands::jsonb, g.pass_mark, g.decimals, g.is_default, %(as_of)s::date - 900,
       CASE WHEN g.kind = 'gpa' THEN %(as_of)s::date - 400 END
FROM (VALUES
    ('Letter grades', 'letter', 60, 2, true,
     '[{"letter": "A", "from": 90, "to": 100, "points": 4},
       {"letter": "B", "from": 80, "to": 90, "points": 3},
       {"letter": "C", "from": 70, "to": 80, "points": 2},
       {"letter": "D", "from": 60, "to": 70, "points": 1},
       {"letter": "F", "from": 0, "to": 60, "points": 0}]'),
    ('Pass or fail', 'pass_fail', 60, 0, false,
     '[{"letter": "Pass", "from": 60, "to": 100}, {"letter": "Fail", "from": 0, "to": 60}]'),
    ('Mastery levels', 'competency', 70, 0, false,
     '[{"letter": "Mastered", "from": 85, "to": 100}, {"letter": "Proficient", "from": 70, "to": 85},
       {"letter": "Developing", "from": 40, "to": 70}, {"letter": "Beginning", "from": 0, "to": 40}]'),
    ('Grade points with plus and minus', 'gpa', 60, 1, false,
     '[{"letter": "A", "from": 93, "to": 100, "points": 4},
       {"letter": "A-", "from": 90, "to": 93, "points": 3.7},
       {"letter": "B+", "from": 87, "to": 90, "points": 3.3},
       {"letter": "B", "from": 80, "to": 87, "points": 3},
       {"letter": "C", "from": 70, "to": 80, "points": 2},
       {"letter": "D", "from": 60, "to": 70, "points": 1},
       {"letter": "F", "from": 0, "to": 60, "points": 0}]')
) AS g (name, kind, pass_mark, decimals, is_default, bands);

-- Half of the sections say what is the default anyway.
UPDATE courses.course_section AS s
SET grading_scheme_id = md5('scheme Letter grades' || %(business_id)s)::uuid
WHERE s.business_id = %(business_id)s
  AND abs(hashtextextended(s.course_section_id::text, 40)) %% 2 = 0;

INSERT INTO courses.grade_category
    (business_id, grade_category_id, course_id, name, weight_pct, aggregation, drop_lowest,
     sort_order)
SELECT c.business_id, md5('category ' || k.name || c.course_id)::uuid, c.course_id, k.name,
       k.weight, k.aggregation, 0, k.sort_order
FROM courses.course AS c
CROSS JOIN (VALUES
    ('Quizzes', 30, 'mean', 1), ('Assignments', 30, 'natural', 2), ('Final exam', 40, 'highest', 3)
) AS k (name, weight, aggregation, sort_order)
WHERE c.business_id = %(business_id)s;

UPDATE courses.assessment AS a
SET grade_category_id = md5(
    'category ' || CASE a.assessment_kind WHEN 'graded_quiz' THEN 'Quizzes' ELSE 'Final exam' END
    || a.course_id)::uuid
WHERE a.business_id = %(business_id)s
  AND a.assessment_kind IN ('graded_quiz', 'midterm', 'final', 'certification_exam');

-- One rubric of a course, of a hundred points; the levels of a criterion follow on each other.
INSERT INTO courses.rubric
    (business_id, rubric_id, owner_user_account_id, course_id, title, scoring, visibility,
     version_no, description)
SELECT c.business_id, md5('rubric ' || c.course_id)::uuid, c.owner_user_account_id, c.course_id,
       'Project work, ' || c.title || ' (' || c.course_code || '-' || c.version_no || ')', 'points',
       'course', 1, 'For case studies and projects: what is right, why, and how it reads.'
FROM courses.course AS c
WHERE c.business_id = %(business_id)s;

INSERT INTO courses.rubric_criterion
    (business_id, rubric_criterion_id, rubric_id, learning_outcome_id, sort_order, description,
     long_description, max_points, is_required, mastery_points)
SELECT c.business_id, md5('criterion ' || k.sort_order || c.course_id)::uuid,
       md5('rubric ' || c.course_id)::uuid, o.learning_outcome_id, k.sort_order, k.name, k.text,
       k.points, true, k.points * 0.7
FROM courses.course AS c
CROSS JOIN (VALUES
    (1, 'Correctness', 'The result holds when it is checked.', 40),
    (2, 'Reasoning', 'Says why this way was taken and not another.', 30),
    (3, 'Presentation', 'A colleague can follow it without asking.', 20),
    (4, 'Sources', 'What was taken from elsewhere is named.', 10)
) AS k (sort_order, name, text, points)
LEFT JOIN LATERAL (
    SELECT x.learning_outcome_id
    FROM courses.course_outcome AS x
    WHERE x.business_id = c.business_id AND x.course_id = c.course_id AND k.sort_order = 1
    ORDER BY x.sort_order, x.learning_outcome_id
    LIMIT 1
) AS o ON true
WHERE c.business_id = %(business_id)s;

INSERT INTO courses.rubric_rating
    (business_id, rubric_rating_id, rubric_criterion_id, sort_order, label, description, points,
     range_minimum, is_mastery, color_hex)
SELECT c.business_id, md5('level ' || l.sort_order || c.rubric_criterion_id)::uuid,
       c.rubric_criterion_id, l.sort_order, l.label, l.text,
       CASE WHEN l.sort_order = 1 THEN c.max_points ELSE ceil(c.max_points * l.above) - 1 END,
       ceil(c.max_points * l.share), l.sort_order <= 2, l.color
FROM courses.rubric_criterion AS c
CROSS JOIN (VALUES
    (1, 'Excellent', 'Could be shown to others.', 0.85, 1.0, '#2e7d32'),
    (2, 'Good', 'Right, with small gaps.', 0.7, 0.85, '#558b2f'),
    (3, 'Fair', 'The idea is there; parts are missing.', 0.5, 0.7, '#f9a825'),
    (4, 'Poor', 'Not there yet.', 0.0, 0.5, '#c62828')
) AS l (sort_order, label, text, share, above, color)
WHERE c.business_id = %(business_id)s;

-- A section that goes by the calendar has a case study in its sixth week and a project in its
-- tenth; a course at one's own pace has one project without a date.
INSERT INTO courses.assignment
    (business_id, assignment_id, course_id, lesson_id, rubric_id, grade_category_id, title,
     instructions, submission_kinds, points_possible, opens_at, due_at, late_until,
     late_penalty_pct_per_day, max_resubmissions, peer_reviews_required, similarity_check,
     grace_hours)
SELECT s.business_id, md5('assignment ' || k.turn || s.course_section_id)::uuid, s.course_id,
       CASE WHEN k.turn = 2 THEN l.lesson_id END, md5('rubric ' || s.course_id)::uuid,
       md5('category Assignments' || s.course_id)::uuid, k.name || ' of ' || s.section_code, k.text,
       ARRAY['text', 'file'], 100, s.starts_on::timestamptz,
       s.starts_on::timestamptz + k.week * interval '7 days' + interval '23 hours 59 minutes',
       s.starts_on::timestamptz + k.week * interval '7 days' + interval '6 days', 10, 1,
       k.reviews, k.turn = 2, 2
FROM courses.course_section AS s
CROSS JOIN (VALUES
    (1, 'Case study', 5, 'Read the case and say what you would have done, on two pages.', 2),
    (2, 'Project', 9, 'Build something small of your own and explain how it works.', 0)
) AS k (turn, name, week, text, reviews)
LEFT JOIN LATERAL (
    SELECT x.lesson_id
    FROM courses.lesson AS x
    JOIN courses.course_module AS m
        ON m.business_id = x.business_id AND m.course_module_id = x.course_module_id
    WHERE x.business_id = s.business_id AND m.course_id = s.course_id
      AND x.lesson_kind = 'assignment'
    ORDER BY m.sort_order, x.sort_order
    LIMIT 1
) AS l ON true
WHERE s.business_id = %(business_id)s AND s.delivery <> 'self_paced'
  AND s.status NOT IN ('planned', 'cancelled');

INSERT INTO courses.assignment
    (business_id, assignment_id, course_id, rubric_id, grade_category_id, title, instructions,
     submission_kinds, points_possible, similarity_check)
SELECT c.business_id, md5('assignment 2' || c.course_id)::uuid, c.course_id,
       md5('rubric ' || c.course_id)::uuid, md5('category Assignments' || c.course_id)::uuid,
       'Project', 'Build something small of your own, at your own pace.', ARRAY['text', 'file'],
       100, true
FROM courses.course AS c
WHERE c.business_id = %(business_id)s AND c.delivery = 'self_paced';

-- Handed in as the deadline draws near: two of three in the last six hours. Who completed the
-- course handed its project in.
INSERT INTO courses.assignment_submission
    (business_id, assignment_submission_id, assignment_id, enrollment_id, submission_no, state,
     submission_kind, body_text, submitted_at, days_late, penalty_pct)
WITH asked AS (
    SELECT a.business_id, a.assignment_id, a.due_at, a.late_penalty_pct_per_day, e.enrollment_id,
           e.status, e.started_at, e.completed_at, k.turn,
           abs(hashtextextended(a.assignment_id::text || e.enrollment_id, 41) %% 100000) AS odd
    FROM courses.enrollment AS e
    JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    CROSS JOIN (VALUES (1), (2)) AS k (turn)
    JOIN courses.assignment AS a
        ON a.business_id = e.business_id
       AND a.assignment_id = md5('assignment ' || k.turn || CASE s.delivery
               WHEN 'self_paced' THEN s.course_id ELSE s.course_section_id END)::uuid
    WHERE e.business_id = %(business_id)s AND e.started_at IS NOT NULL
      AND e.status IN ('active', 'completed', 'failed')
), timed AS (
    SELECT k.*,
           CASE WHEN k.due_at IS NULL
                    THEN k.started_at + (k.completed_at - k.started_at) * 0.9
                WHEN k.odd %% 1000 >= 940
                     AND NOT (k.status = 'completed' AND k.turn = 2) THEN NULL
                WHEN k.odd %% 1000 >= 820
                    THEN k.due_at + interval '2 hours'
                         + (1 + k.odd / 1000 * 41 %% 4000) * interval '1 minute'
                WHEN k.odd %% 3 > 0 THEN k.due_at - (1 + k.odd / 7 %% 355) * interval '1 minute'
                ELSE k.due_at - (6 + k.odd / 7 %% 90) * interval '1 hour' END AS moment
    FROM asked AS k
    WHERE k.due_at < %(as_of)s::timestamptz
       OR (k.due_at IS NULL AND k.status = 'completed')
), placed AS (
    SELECT t.*, greatest(ceil(extract(epoch FROM t.moment - t.due_at - interval '2 hours')
                              / 86400), 0)::integer AS days
    FROM timed AS t
    WHERE t.moment IS NULL
       OR (t.moment > t.started_at AND t.moment < %(as_of)s::timestamptz
           AND t.moment < coalesce(t.completed_at, 'infinity'))
)
SELECT p.business_id, md5('submission ' || p.assignment_id || p.enrollment_id)::uuid,
       p.assignment_id, p.enrollment_id, 1,
       CASE WHEN p.moment IS NULL THEN 'missing' WHEN coalesce(p.days, 0) > 0 THEN 'late'
            ELSE 'submitted' END,
       CASE WHEN p.odd %% 3 = 0 THEN 'file' ELSE 'text' END,
       CASE WHEN p.odd %% 3 > 0 AND p.moment IS NOT NULL THEN (ARRAY[
           'I took the second proposal, because its costs are known and its risks are not hidden.',
           'My first attempt failed on empty input. The second one asks before it divides.',
           'The team had two ways to go. I compare both by what they cost after a year.',
           'What surprised me is how little data was needed. I show the three figures that decide.'
           ])[1 + p.odd %% 4] END,
       p.moment, coalesce(p.days, 0),
       least(coalesce(p.days, 0) * p.late_penalty_pct_per_day, 100)
FROM placed AS p;

-- Who has two weeks left has begun, or not.
INSERT INTO courses.assignment_submission
    (business_id, assignment_submission_id, assignment_id, enrollment_id, submission_no, state,
     submission_kind, body_text)
SELECT a.business_id, md5('submission ' || a.assignment_id || e.enrollment_id)::uuid,
       a.assignment_id, e.enrollment_id, 1, 'draft', 'text', 'Notes so far: the question, twice.'
FROM courses.enrollment AS e
CROSS JOIN (VALUES (1), (2)) AS k (turn)
JOIN courses.assignment AS a
    ON a.business_id = e.business_id
   AND a.assignment_id = md5('assignment ' || k.turn || e.course_section_id)::uuid
WHERE e.business_id = %(business_id)s AND e.status = 'active' AND e.started_at IS NOT NULL
  AND a.due_at BETWEEN %(as_of)s::timestamptz AND %(as_of)s::timestamptz + interval '14 days'
  AND abs(hashtextextended(e.enrollment_id::text || k.turn, 42)) %% 5 < 2;

-- Judged some days later, by the one who answers for the course; how well follows from the learner.
INSERT INTO courses.rubric_score
    (business_id, rubric_score_id, rubric_criterion_id, rubric_rating_id,
     assignment_submission_id, assessor_user_account_id, points, comment, assessed_at,
     assessor_kind, is_final, confidence_pct)
WITH work AS (
    SELECT w.business_id, w.assignment_submission_id, a.rubric_id, c.owner_user_account_id,
           w.submitted_at + (20 + h.odd %% 110) * interval '1 hour' AS moment,
           coalesce(e.final_grade_pct, 62 + 36 * sqrt(h.odd %% 1000 / 1000.0)) / 100 AS ability
    FROM courses.assignment_submission AS w
    JOIN courses.assignment AS a
        ON a.business_id = w.business_id AND a.assignment_id = w.assignment_id
    JOIN courses.course AS c ON c.business_id = a.business_id AND c.course_id = a.course_id
    JOIN courses.enrollment AS e
        ON e.business_id = w.business_id AND e.enrollment_id = w.enrollment_id
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended(w.assignment_submission_id::text, 43) %% 100000) AS odd
    ) AS h
    WHERE w.business_id = %(business_id)s AND w.state IN ('submitted', 'late')
), scored AS (
    SELECT k.*, c.rubric_criterion_id, n.odd,
           greatest(least(round(c.max_points * (k.ability + (n.odd %% 21 - 9) * 0.01)),
                          c.max_points), 0) AS points
    FROM work AS k
    JOIN courses.rubric_criterion AS c
        ON c.business_id = k.business_id AND c.rubric_id = k.rubric_id
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended(k.assignment_submission_id::text || c.rubric_criterion_id,
                                    44) %% 100000) AS odd
    ) AS n
    WHERE k.moment < %(as_of)s::timestamptz
)
SELECT s.business_id,
       md5('score ' || s.rubric_criterion_id || s.assignment_submission_id)::uuid,
       s.rubric_criterion_id, l.rubric_rating_id, s.assignment_submission_id,
       s.owner_user_account_id, s.points,
       CASE WHEN s.odd %% 4 = 0 THEN (ARRAY[
           'Clear.', 'Say where this comes from.', 'Show one step more.'])[1 + s.odd %% 3] END,
       s.moment, 'instructor', true, 80 + s.odd %% 20
FROM scored AS s
JOIN courses.rubric_rating AS l
    ON l.business_id = s.business_id AND l.rubric_criterion_id = s.rubric_criterion_id
   AND s.points BETWEEN l.range_minimum AND l.points;

UPDATE courses.assignment_submission AS w
SET state = 'graded', raw_points = s.points, graded_at = s.moment, graded_by = s.assessor,
    feedback = CASE WHEN s.points >= 85 THEN 'Very good work; show it to your team.'
                    WHEN s.points >= 70 THEN 'Good. Your second part could be shorter.'
                    WHEN s.points >= 60 THEN 'Right in the main; look at the comments.'
                    ELSE 'Not yet. Come to the office hour, and hand it in again.' END,
    feedback_released_at = CASE WHEN s.moment + interval '2 hours' < %(as_of)s::timestamptz
                                THEN s.moment + interval '2 hours' END
FROM (
    SELECT x.assignment_submission_id, sum(x.points) AS points, max(x.assessed_at) AS moment,
           (array_agg(x.assessor_user_account_id))[1] AS assessor
    FROM courses.rubric_score AS x
    WHERE x.business_id = %(business_id)s AND x.is_final
    GROUP BY x.assignment_submission_id
) AS s
WHERE w.business_id = %(business_id)s
  AND w.assignment_submission_id = s.assignment_submission_id;

-- Case studies are read by two others of the section, in a ring.
INSERT INTO courses.peer_review
    (business_id, peer_review_id, assignment_submission_id, reviewer_enrollment_id, assigned_at,
     due_at, completed_at, state, overall_points, comment, helpfulness_rating, calibration_error)
WITH works AS (
    SELECT w.business_id, w.assignment_submission_id, w.assignment_id, w.enrollment_id,
           w.raw_points, a.late_until, a.peer_reviews_required AS turns, e.learner_id,
           row_number() OVER (PARTITION BY w.assignment_id
                              ORDER BY md5(w.enrollment_id::text)) - 1 AS place,
           count(*) OVER (PARTITION BY w.assignment_id) AS many
    FROM courses.assignment_submission AS w
    JOIN courses.assignment AS a
        ON a.business_id = w.business_id AND a.assignment_id = w.assignment_id
       AND a.peer_reviews_required > 0 AND a.late_until < %(as_of)s::timestamptz
    JOIN courses.enrollment AS e
        ON e.business_id = w.business_id AND e.enrollment_id = w.enrollment_id
    WHERE w.business_id = %(business_id)s AND w.state IN ('graded', 'submitted', 'late')
), rings AS (
    SELECT w.*, r.enrollment_id AS reader,
           w.late_until + (10 + h.odd %% 140) * interval '1 hour' AS moment, h.odd
    FROM works AS w
    CROSS JOIN LATERAL generate_series(1, least(w.turns, w.many - 1)) AS t (turn)
    JOIN works AS r
        ON r.assignment_id = w.assignment_id AND r.place = (w.place + t.turn) %% w.many
       AND r.learner_id <> w.learner_id
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended(w.assignment_submission_id::text || r.enrollment_id,
                                    45) %% 100000) AS odd
    ) AS h
)
SELECT k.business_id, md5('review ' || k.reader || k.assignment_submission_id)::uuid,
       k.assignment_submission_id, k.reader, k.late_until, k.late_until + interval '7 days',
       CASE WHEN d.state = 'completed' THEN k.moment END, d.state,
       CASE WHEN d.state = 'completed' THEN p.points END,
       CASE WHEN d.state = 'completed' THEN (ARRAY[
           'I liked the comparison of both ways.', 'The table helps. Where are the costs from?',
           'Easy to follow; the ending is a bit sudden.'])[1 + k.odd %% 3] END,
       CASE WHEN d.state = 'completed' AND k.odd %% 4 < 3 THEN 3 + k.odd %% 3 END,
       CASE WHEN d.state = 'completed' THEN p.points - k.raw_points END
FROM rings AS k
CROSS JOIN LATERAL (
    SELECT CASE WHEN k.odd %% 9 = 0
                    THEN CASE WHEN k.late_until + interval '7 days' < %(as_of)s::timestamptz
                              THEN 'missed' ELSE 'assigned' END
                WHEN k.moment < %(as_of)s::timestamptz THEN 'completed'
                ELSE 'assigned' END AS state
) AS d
CROSS JOIN LATERAL (
    SELECT greatest(least(coalesce(k.raw_points, 75) + k.odd / 9 %% 17 - 5, 100), 0) AS points
) AS p;

-- What a reviewer gave on the first two criteria.
INSERT INTO courses.rubric_score
    (business_id, rubric_score_id, rubric_criterion_id, assignment_submission_id, peer_review_id,
     assessor_user_account_id, points, assessed_at, assessor_kind)
SELECT v.business_id, md5('peer score ' || c.sort_order || v.peer_review_id)::uuid,
       c.rubric_criterion_id, v.assignment_submission_id, v.peer_review_id, l.user_account_id,
       round(c.max_points * v.overall_points / 100), v.completed_at, 'peer'
FROM courses.peer_review AS v
JOIN courses.assignment_submission AS w
    ON w.business_id = v.business_id
   AND w.assignment_submission_id = v.assignment_submission_id
JOIN courses.assignment AS a
    ON a.business_id = w.business_id AND a.assignment_id = w.assignment_id
JOIN courses.rubric_criterion AS c
    ON c.business_id = a.business_id AND c.rubric_id = a.rubric_id AND c.sort_order <= 2
JOIN courses.enrollment AS e
    ON e.business_id = v.business_id AND e.enrollment_id = v.reviewer_enrollment_id
JOIN courses.learner AS l
    ON l.business_id = e.business_id AND l.learner_id = e.learner_id
   AND l.user_account_id IS NOT NULL
WHERE v.business_id = %(business_id)s AND v.state = 'completed';

-- Projects are compared with what is on the web; one in twenty has too much of it.
INSERT INTO courses.similarity_report
    (business_id, similarity_report_id, assignment_submission_id, reviewed_by, provider,
     requested_at, completed_at, similarity_pct, largest_match_pct, match_count, matches,
     ai_writing_pct, status, decision, decided_at)
SELECT w.business_id, md5('similarity ' || w.assignment_submission_id)::uuid,
       w.assignment_submission_id, CASE WHEN n.pct > 40 THEN w.graded_by END, 'OriginalWriting',
       w.submitted_at + interval '1 minute', w.submitted_at + interval '9 minutes', n.pct,
       round(n.pct * 0.6), CASE WHEN n.pct > 5 THEN 2 ELSE 0 END,
       CASE WHEN n.pct > 5 THEN jsonb_build_array(
           jsonb_build_object('source', 'en.wikipedia.org', 'pct', round(n.pct * 0.6)),
           jsonb_build_object('source', 'student papers', 'pct', round(n.pct * 0.3)))
            ELSE '[]' END,
       h.odd %% 37, 'ready',
       CASE WHEN n.pct <= 40 THEN 'none' WHEN h.odd %% 3 = 0 THEN 'discussed' ELSE 'cleared' END,
       CASE WHEN n.pct > 40 THEN w.graded_at END
FROM courses.assignment_submission AS w
JOIN courses.assignment AS a
    ON a.business_id = w.business_id AND a.assignment_id = w.assignment_id AND a.similarity_check
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(w.assignment_submission_id::text, 46) %% 100000) AS odd
) AS h
CROSS JOIN LATERAL (
    SELECT CASE WHEN h.odd %% 20 = 0 THEN 45 + h.odd / 20 %% 30 ELSE h.odd %% 28 END AS pct
) AS n
WHERE w.business_id = %(business_id)s AND w.state = 'graded'
  AND w.submitted_at + interval '9 minutes' < w.graded_at;
