SELECT tenant_mgmt.set_tenant(%(business_id)s);

INSERT INTO courses.badge
    (business_id, badge_id, code, name, description, criteria_kind, criteria, tier, points,
     is_repeatable, is_hidden_until_earned, open_badge_achievement, status)
SELECT %(business_id)s, md5('badge ' || v.code || %(business_id)s)::uuid, v.code, v.name,
       v.description, v.kind, v.criteria::jsonb, v.tier, v.points, v.kind = 'event', v.hidden,
       jsonb_build_object('type', 'Achievement', 'name', v.name,
                          'criteria', jsonb_build_object('narrative', v.description)), v.status
FROM (VALUES
    ('first-course', 'First course', 'Completed a course.', 'course_completed', '{}', 'bronze',
     50, false, 'active'),
    ('three-courses', 'Hat trick', 'Completed three courses.', 'course_completed',
     '{"courses": 3}', 'silver', 100, false, 'active'),
    ('ten-courses', 'Decathlon', 'Completed ten courses.', 'course_completed', '{"courses": 10}',
     'platinum', 300, false, 'active'),
    ('honors', 'Honors', 'Finished with 90 percent or more.', 'score', '{"minimum_pct": 90}',
     'gold', 120, false, 'active'),
    ('three-days', 'Warming up', 'Studied three days in a row.', 'streak', '{"days": 3}', 'bronze',
     15, false, 'active'),
    ('seven-days', 'A whole week', 'Studied seven days in a row.', 'streak', '{"days": 7}',
     'silver', 50, false, 'active'),
    ('thirty-days', 'Habit', 'Studied thirty days in a row.', 'streak', '{"days": 30}',
     'platinum', 250, false, 'active'),
    ('sprint', 'Sprinter', 'Finished a course within two weeks.', 'speed', '{"within_days": 14}',
     'silver', 60, true, 'active'),
    ('helper', 'Helping hand', 'Five answers were accepted.', 'contribution',
     '{"accepted_answers": 5}', 'gold', 80, false, 'active'),
    ('spring-challenge', 'Spring challenge', 'Won the spring reading challenge.', 'challenge',
     '{"challenges": 1}', 'gold', 0, true, 'active'),
    ('hackathon', 'Hackathon', 'Took part in a hackathon.', 'event', '{"event": "hackathon"}',
     'silver', 40, false, 'active'),
    ('founders', 'Founding class', 'Was there in the first year.', 'manual', '{}', 'platinum', 0,
     false, 'retired'),
    ('night-owl', 'Night owl', 'Studied after midnight for a week.', 'manual', '{}', 'bronze', 5,
     true, 'draft'))
    AS v (code, name, description, kind, criteria, tier, points, hidden, status);

-- What courses, grades and streaks are worth was given when it was reached.
INSERT INTO courses.badge_award
    (business_id, badge_award_id, badge_id, learner_id, enrollment_id, awarded_at, evidence,
     is_pinned, shared_at, share_network)
WITH finished AS (
    SELECT e.learner_id, e.enrollment_id, e.completed_at, e.final_grade_pct, e.started_at,
           row_number() OVER (PARTITION BY e.learner_id
                              ORDER BY e.completed_at, e.enrollment_id) AS number
    FROM courses.enrollment AS e
    WHERE e.business_id = %(business_id)s AND e.status = 'completed'
), reached AS (
    SELECT b.badge_id, f.learner_id, f.enrollment_id, f.completed_at AS moment,
           jsonb_build_object('courses', f.number) AS evidence
    FROM courses.badge AS b
    JOIN finished AS f ON f.number = coalesce((b.criteria ->> 'courses')::integer, 1)
    WHERE b.business_id = %(business_id)s AND b.criteria_kind = 'course_completed'
    UNION ALL
    SELECT b.badge_id, f.learner_id, f.enrollment_id, f.completed_at,
           jsonb_build_object('score', f.final_grade_pct)
    FROM courses.badge AS b
    JOIN finished AS f ON f.final_grade_pct >= (b.criteria ->> 'minimum_pct')::numeric
    WHERE b.business_id = %(business_id)s AND b.criteria_kind = 'score'
    UNION ALL
    SELECT b.badge_id, f.learner_id, f.enrollment_id, f.completed_at,
           jsonb_build_object('days', f.completed_at::date - f.started_at::date)
    FROM courses.badge AS b
    JOIN finished AS f
        ON f.completed_at::date - f.started_at::date <= (b.criteria ->> 'within_days')::integer
    WHERE b.business_id = %(business_id)s AND b.criteria_kind = 'speed'
    UNION ALL
    SELECT b.badge_id, s.learner_id, NULL,
           (s.started_on + (b.criteria ->> 'days')::integer - 1 + s.freezes_used + 1)::timestamp
               AT TIME ZONE 'UTC', jsonb_build_object('streak', s.length_count)
    FROM courses.badge AS b
    JOIN courses.learner_streak AS s
        ON s.business_id = b.business_id AND s.streak_kind = 'daily'
       AND s.length_count >= (b.criteria ->> 'days')::integer
    WHERE b.business_id = %(business_id)s AND b.criteria_kind = 'streak'
), first AS (
    SELECT DISTINCT ON (r.badge_id, r.learner_id) r.*,
           abs(hashtextextended(concat(r.badge_id, r.learner_id), 91) %% 100) AS place
    FROM reached AS r
    WHERE r.moment < %(as_of)s::timestamptz
    ORDER BY r.badge_id, r.learner_id, r.moment, r.enrollment_id
)
SELECT %(business_id)s, md5(concat('award ', f.badge_id, f.learner_id))::uuid, f.badge_id,
       f.learner_id, f.enrollment_id, f.moment, f.evidence, f.place < 15,
       CASE WHEN f.place < 12
            THEN least(f.moment + interval '9 hours', %(as_of)s::timestamptz) END,
       CASE WHEN f.place < 9 THEN 'linkedin' WHEN f.place < 11 THEN 'x' WHEN f.place < 12 THEN 'email'
            ELSE 'none' END
FROM first AS f;

-- A hackathon was attended by one learner in nine; one award in sixty was revoked.
INSERT INTO courses.badge_award
    (business_id, badge_award_id, awarded_by, badge_id, learner_id, awarded_at, evidence, reason)
SELECT l.business_id, md5('hackathon ' || l.learner_id)::uuid, u.user_account_id, b.badge_id,
       l.learner_id, %(as_of)s::timestamptz - interval '44 days', '{"event": "hackathon"}',
       'Built a working prototype in a weekend.'
FROM courses.learner AS l
JOIN courses.badge AS b ON b.business_id = l.business_id AND b.code = 'hackathon'
CROSS JOIN LATERAL (
    SELECT c.owner_user_account_id AS user_account_id
    FROM courses.course AS c
    WHERE c.business_id = l.business_id
    ORDER BY c.course_code
    LIMIT 1
) AS u
WHERE l.business_id = %(business_id)s AND abs(hashtextextended(l.learner_id::text, 92) %% 9) = 4;

UPDATE courses.badge_award AS a
SET is_pinned = false, revoked_at = least(a.awarded_at + interval '20 days',
                                          %(as_of)s::timestamptz),
    revoke_reason = 'The work was not their own.'
WHERE a.business_id = %(business_id)s
  AND abs(hashtextextended(a.badge_award_id::text, 93) %% 60) = 11;
