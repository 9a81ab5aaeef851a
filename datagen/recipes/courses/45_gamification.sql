SELECT tenant_mgmt.set_tenant(%(business_id)s);
SET LOCAL enable_nestloop = off;

INSERT INTO courses.level_definition
    (business_id, level_definition_id, level_no, title, points_required, perks, icon, color_hex,
     unlocks_forum_rights, celebration_text)
SELECT %(business_id)s, md5('level ' || v.level_no || %(business_id)s)::uuid, v.level_no, v.title,
       v.points, CASE WHEN v.level_no >= 6 THEN '{"early_access": true}' ELSE '{}' END::jsonb,
       'level-' || v.level_no,
       split_part('#8d99ae,#8d99ae,#3a86ff,#3a86ff,#06d6a0,#06d6a0,#ffbe0b,#ffbe0b,#fb5607,#fb5607,'
                  || '#8338ec,#ff006e', ',', v.level_no),
       CASE WHEN v.level_no >= 8 THEN '{upload,vote,pin}' WHEN v.level_no >= 4 THEN '{upload,vote}'
            WHEN v.level_no >= 2 THEN '{vote}' ELSE '{}' END::text[],
       'You are now ' || v.title || '.'
FROM (VALUES (1, 'Newcomer', 0), (2, 'Starter', 50), (3, 'Reader', 120), (4, 'Student', 250),
             (5, 'Regular', 400), (6, 'Contributor', 600), (7, 'Scholar', 900),
             (8, 'Guide', 1300), (9, 'Expert', 1800), (10, 'Mentor', 2500), (11, 'Master', 3500),
             (12, 'Legend', 5000)) AS v (level_no, title, points);

INSERT INTO courses.point_rule
    (business_id, point_rule_id, code, action, points, daily_cap, lifetime_cap,
     multiplier_after_streak_days, multiplier, cooldown_minutes, valid_from, valid_until,
     is_active)
SELECT %(business_id)s, md5('point rule ' || v.code || %(business_id)s)::uuid, v.code, v.action,
       v.points, v.daily_cap, v.lifetime_cap, v.days, v.multiplier, v.cooldown, '2024-01-01',
       CASE WHEN NOT v.is_active THEN date '2025-01-01' END, v.is_active
FROM (VALUES
    ('lesson',          'lesson_completed',  10, 100,  NULL, NULL, 1,   0, true),
    ('quiz',            'quiz_passed',       25, NULL, NULL, NULL, 1,   0, true),
    ('perfect',         'perfect_score',     40, NULL, NULL, NULL, 1,   0, true),
    ('login',           'daily_login',        5, 5,    NULL, NULL, 1,   0, true),
    ('login-streak',    'streak_day',         5, 10,   NULL, 7,    2,   0, true),
    ('upvote',          'post_upvoted',       2, 20,   NULL, NULL, 1,   1, true),
    ('answer',          'answer_accepted',   15, 60,   NULL, NULL, 1,   0, true),
    ('peer-review',     'peer_review_done',  20, 60,   NULL, NULL, 1,   0, true),
    ('challenge',       'challenge_won',    100, NULL, NULL, NULL, 1,   0, true),
    ('profile',         'profile_completed', 30, NULL, 30,   NULL, 1,   0, true),
    ('lesson-2024',     'lesson_completed',   5, 50,   NULL, NULL, 1,   0, false))
    AS v (code, action, points, daily_cap, lifetime_cap, days, multiplier, cooldown, is_active);

-- Days on which somebody studied, one after the other, are a run; one learner in twenty-five has
-- freezes that bridge a day now and then.
INSERT INTO courses.learner_streak
    (business_id, learner_streak_id, learner_id, streak_kind, started_on, last_active_on,
     length_count, freeze_balance, freezes_used, broken_on, longest_length, reminder_sent_on,
     is_current)
WITH days AS (
    SELECT DISTINCT l.learner_id, k.kind, k.step,
           CASE k.kind WHEN 'daily' THEN d.day ELSE date_trunc('week', d.day)::date END AS day,
           CASE WHEN abs(hashtextextended(l.learner_id::text, 90) %% 25) = 7 THEN 2 ELSE 1 END
               AS reach, d.today
    FROM courses.learning_session AS s
    JOIN courses.learner AS l ON l.business_id = s.business_id AND l.learner_id = s.learner_id
    CROSS JOIN LATERAL (
        SELECT (s.started_at AT TIME ZONE l.time_zone)::date AS day,
               (%(as_of)s::timestamptz AT TIME ZONE l.time_zone)::date AS today
    ) AS d
    CROSS JOIN (VALUES ('daily', 1), ('weekly', 7)) AS k (kind, step)
    WHERE s.business_id = %(business_id)s
), marked AS (
    SELECT d.*, coalesce(d.day - lag(d.day) OVER w > d.step * d.reach, true) AS begins
    FROM days AS d
    WINDOW w AS (PARTITION BY d.learner_id, d.kind ORDER BY d.day)
), runs AS (
    SELECT m.*, count(*) FILTER (WHERE m.begins)
                    OVER (PARTITION BY m.learner_id, m.kind ORDER BY m.day) AS run
    FROM marked AS m
), counted AS (
    SELECT r.learner_id, r.kind, r.step, r.reach, r.run, r.today, min(r.day) AS started_on,
           max(r.day) AS last_on, count(*)::integer AS length
    FROM runs AS r
    GROUP BY r.learner_id, r.kind, r.step, r.reach, r.run, r.today
)
SELECT %(business_id)s, md5(concat_ws(' ', 'streak', c.kind, c.run, c.learner_id))::uuid,
       c.learner_id, c.kind, c.started_on, c.last_on, c.length, c.reach - 1,
       (c.last_on - c.started_on) / c.step + 1 - c.length,
       CASE WHEN s.is_current THEN NULL ELSE c.last_on + c.step END,
       max(c.length) OVER (PARTITION BY c.learner_id, c.kind ORDER BY c.run),
       CASE WHEN s.is_current AND c.last_on < c.today THEN c.today END, s.is_current
FROM counted AS c
CROSS JOIN LATERAL (
    SELECT (c.today - c.last_on) / c.step <= c.reach
           AND c.run = (SELECT max(x.run)
                        FROM counted AS x
                        WHERE x.learner_id = c.learner_id AND x.kind = c.kind) AS is_current
) AS s;
