SELECT tenant_mgmt.set_tenant(%(business_id)s);
SET LOCAL enable_nestloop = off;

INSERT INTO courses.challenge
    (business_id, challenge_id, reward_badge_id, title, goal_metric, goal_value, starts_at,
     ends_at, reward_points, max_participants, rules, status)
SELECT %(business_id)s, md5('challenge ' || v.title || %(business_id)s)::uuid,
       CASE WHEN v.title LIKE 'Spring%%'
            THEN md5('badge spring-challenge' || %(business_id)s)::uuid END,
       v.title, v.metric, v.goal, %(as_of)s::timestamptz - make_interval(days => v.began),
       %(as_of)s::timestamptz - make_interval(days => v.ended), v.points, 500,
       'Counts what is done between the dates. One entry each.', v.status
FROM (VALUES
    ('New year, new skill', 'lessons',     10, 150, 120, 60, 'finished'),
    ('Spring reading challenge', 'minutes', 120, 80, 50, 80, 'finished'),
    ('Quiz week', 'score',                 90, 45,  38,  40, 'finished'),
    ('Five lessons in May', 'lessons',      5, 31,  -2,  50, 'running'),
    ('Summer marathon', 'minutes',        600, -14, -75, 200, 'announced'),
    ('Ask and answer', 'posts',            10, -30, -60, 60, 'draft'),
    ('Team relay', 'submissions',           3, 100, 90, 60, 'cancelled'))
    AS v (title, metric, goal, began, ended, points, status);

-- One learner in four takes part; what they did in the time is how far they came.
INSERT INTO courses.challenge_entry
    (business_id, challenge_entry_id, challenge_id, learner_id, joined_at, progress_value,
     completed_at, final_rank, state, reward_granted_at)
WITH taking AS (
    SELECT c.*, l.learner_id, concat(c.challenge_id, l.learner_id) AS key
    FROM courses.challenge AS c
    JOIN courses.learner AS l ON l.business_id = c.business_id
    WHERE c.business_id = %(business_id)s AND c.status IN ('finished', 'running', 'announced')
      AND abs(hashtextextended(concat(c.challenge_id, l.learner_id), 94) %% 4) = 0
), done AS (
    SELECT t.challenge_id, t.learner_id, count(*) AS lessons, sum(p.seconds_spent) / 60 AS minutes,
           max(p.best_score_pct) AS score, max(p.completed_at) AS last_at
    FROM taking AS t
    JOIN courses.enrollment AS e
        ON e.business_id = %(business_id)s AND e.learner_id = t.learner_id
    JOIN courses.lesson_progress AS p
        ON p.business_id = e.business_id AND p.enrollment_id = e.enrollment_id
       AND p.completed_at >= t.starts_at AND p.completed_at < least(t.ends_at,
                                                                   %(as_of)s::timestamptz)
    GROUP BY t.challenge_id, t.learner_id
), judged AS (
    SELECT t.*, d.last_at, coalesce(CASE t.goal_metric WHEN 'lessons' THEN d.lessons
                                                       WHEN 'minutes' THEN d.minutes
                                                       WHEN 'score' THEN d.score END, 0) AS value
    FROM taking AS t
    LEFT JOIN done AS d ON d.challenge_id = t.challenge_id AND d.learner_id = t.learner_id
), won AS (
    SELECT j.*, j.value >= j.goal_value AS is_won,
           abs(hashtextextended(j.key, 95) %% 20) = 3 AS gave_up
    FROM judged AS j
)
SELECT %(business_id)s, md5('entry ' || w.key)::uuid, w.challenge_id, w.learner_id,
       least(w.starts_at, %(as_of)s::timestamptz) - interval '2 days', w.value,
       CASE WHEN w.is_won THEN w.last_at END,
       CASE WHEN w.is_won THEN row_number() OVER (
           PARTITION BY w.challenge_id, w.is_won ORDER BY w.last_at, w.learner_id) END,
       CASE WHEN w.is_won THEN 'completed' WHEN w.gave_up THEN 'withdrawn'
            WHEN w.value > 0 THEN 'active' ELSE 'joined' END,
       CASE WHEN w.is_won THEN w.last_at END
FROM won AS w;

INSERT INTO courses.badge_award
    (business_id, badge_award_id, badge_id, learner_id, awarded_at, evidence)
SELECT e.business_id, md5('won ' || e.challenge_entry_id)::uuid, c.reward_badge_id, e.learner_id,
       e.completed_at, jsonb_build_object('challenge', c.title)
FROM courses.challenge_entry AS e
JOIN courses.challenge AS c ON c.business_id = e.business_id AND c.challenge_id = e.challenge_id
WHERE e.business_id = %(business_id)s AND e.state = 'completed'
  AND c.reward_badge_id IS NOT NULL;

INSERT INTO courses.reward_item
    (business_id, reward_item_id, code, name, reward_kind, cost_points, stock_count,
     per_learner_limit, value_amount, available_from, available_until, is_active)
SELECT %(business_id)s, md5('reward ' || v.code || %(business_id)s)::uuid, v.code, v.name, v.kind,
       v.cost, v.stock, v.most, v.value, %(as_of)s::timestamptz - interval '900 days',
       CASE WHEN NOT v.active THEN %(as_of)s::timestamptz - interval '30 days' END, v.active
FROM (VALUES
    ('frame-gold', 'Golden profile frame', 'profile_cosmetic', 100, NULL, 1, NULL, true),
    ('theme-dark', 'Midnight theme', 'profile_cosmetic', 80, NULL, 1, NULL, true),
    ('coupon-10', '10 percent off the next course', 'discount_coupon', 200, NULL, 3, 20, true),
    ('donation-tree', 'Plant a tree', 'donation', 150, NULL, NULL, 3, true),
    ('donation-book', 'A book for a school library', 'donation', 250, NULL, NULL, 8, true),
    ('mentor-30', 'Half an hour with a mentor', 'mentor_session', 250, 40, 2, 45, true),
    ('notebook', 'Notebook', 'physical', 220, 120, 1, 9, true),
    ('mug', 'Mug', 'physical', 250, 60, 1, 12, true),
    ('hoodie', 'Hoodie', 'physical', 900, 15, 1, 42, true),
    ('course-pass', 'One short course', 'course_access', 800, NULL, 1, 79, true),
    ('winter-box', 'Winter box', 'physical', 400, 0, 1, 25, false))
    AS v (code, name, kind, cost, stock, most, value, active);

-- The ledger: what rules, badges and challenges gave, and what rewards cost. Who has 300 points
-- more may spend up to 250 of them, so that nobody is ever below zero.
CREATE TEMPORARY TABLE credit ON COMMIT DROP AS
WITH events AS (
    SELECT e.learner_id, 'lesson_completed' AS action, p.lesson_id AS source,
           min(p.completed_at) AS moment, 10 AS points, 'lesson' AS kind, 'lesson' AS rule
    FROM courses.lesson_progress AS p
    JOIN courses.enrollment AS e
        ON e.business_id = p.business_id AND e.enrollment_id = p.enrollment_id
    WHERE p.business_id = %(business_id)s AND p.state = 'completed'
    GROUP BY e.learner_id, p.lesson_id
    UNION ALL
    SELECT e.learner_id, v.action, a.assessment_id, min(a.graded_at), v.points, 'assessment', v.rule
    FROM courses.assessment_attempt AS a
    JOIN courses.enrollment AS e
        ON e.business_id = a.business_id AND e.enrollment_id = a.enrollment_id
    CROSS JOIN (VALUES ('quiz_passed', 25, 'quiz'), ('perfect_score', 40, 'perfect'))
        AS v (action, points, rule)
    WHERE a.business_id = %(business_id)s AND a.state = 'graded'
      AND CASE v.action WHEN 'quiz_passed' THEN a.passed ELSE a.score_pct = 100 END
    GROUP BY e.learner_id, v.action, a.assessment_id, v.points, v.rule
    UNION ALL
    SELECT s.learner_id, 'daily_login', md5(concat('day ', min(s.learning_session_id::text)))::uuid,
           min(s.started_at), 5, 'manual', 'login'
    FROM courses.learning_session AS s
    JOIN courses.learner AS l ON l.business_id = s.business_id AND l.learner_id = s.learner_id
    WHERE s.business_id = %(business_id)s
    GROUP BY s.learner_id, (s.started_at AT TIME ZONE l.time_zone)::date
    UNION ALL
    SELECT a.learner_id, 'badge', a.badge_award_id, a.awarded_at, b.points, 'badge', NULL
    FROM courses.badge_award AS a
    JOIN courses.badge AS b ON b.business_id = a.business_id AND b.badge_id = a.badge_id
    WHERE a.business_id = %(business_id)s AND b.points > 0
    UNION ALL
    SELECT e.learner_id, 'challenge', e.challenge_entry_id, e.completed_at, c.reward_points,
           'challenge', NULL
    FROM courses.challenge_entry AS e
    JOIN courses.challenge AS c
        ON c.business_id = e.business_id AND c.challenge_id = e.challenge_id
    WHERE e.business_id = %(business_id)s AND e.state = 'completed' AND c.reward_points > 0
), numbered AS (
    SELECT v.*, row_number() OVER (
               PARTITION BY v.learner_id, v.action, (v.moment AT TIME ZONE l.time_zone)::date
               ORDER BY v.moment, v.source) AS of_day
    FROM events AS v
    JOIN courses.learner AS l
        ON l.business_id = %(business_id)s AND l.learner_id = v.learner_id
    WHERE v.moment < %(as_of)s::timestamptz - interval '3 hours'
)
SELECT n.learner_id, n.action, n.source, n.moment, n.points, n.kind, n.rule,
       sum(n.points) OVER (PARTITION BY n.learner_id ORDER BY n.moment, n.action, n.source)
           AS merited
FROM numbered AS n
WHERE n.action <> 'lesson_completed' OR n.of_day <= 10;

INSERT INTO courses.reward_redemption
    (business_id, reward_redemption_id, reward_item_id, learner_id, postal_address_id,
     redeemed_at, points_spent, state, fulfilled_at, tracking_reference, cancelled_reason,
     quantity)
WITH crossed AS (
    SELECT c.learner_id, k.step, min(c.moment) + interval '1 hour' AS moment
    FROM credit AS c
    JOIN generate_series(1, 6) AS k (step) ON c.merited >= 300 * k.step
    GROUP BY c.learner_id, k.step
), chosen AS (
    SELECT c.*, h.place, i.reward_item_id, i.cost_points, i.reward_kind,
           CASE WHEN c.moment > %(as_of)s::timestamptz - interval '4 days' THEN 'requested'
                WHEN h.place %% 100 < 4 THEN 'cancelled'
                WHEN h.place %% 100 < 6 THEN 'refunded'
                WHEN i.reward_kind = 'physical'
                     AND c.moment > %(as_of)s::timestamptz - interval '9 days' THEN 'shipped'
                ELSE 'fulfilled' END AS state
    FROM crossed AS c
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended(concat(c.step, c.learner_id), 96) %% 1000) AS place
    ) AS h
    JOIN (
        SELECT x.*, row_number() OVER (ORDER BY x.code) AS number, count(*) OVER () AS kinds
        FROM courses.reward_item AS x
        WHERE x.business_id = %(business_id)s AND x.is_active AND x.cost_points <= 250
    ) AS i ON i.number = 1 + (h.place + c.step) %% i.kinds
    WHERE h.place %% 10 < 7
), limited AS (
    SELECT DISTINCT ON (c.learner_id, c.reward_item_id) c.*
    FROM chosen AS c
    ORDER BY c.learner_id, c.reward_item_id, c.step
)
SELECT %(business_id)s, md5(concat('redemption ', c.step, c.learner_id))::uuid, c.reward_item_id,
       c.learner_id,
       CASE WHEN c.reward_kind = 'physical'
            THEN (SELECT a.postal_address_id
                  FROM system_core.postal_address AS a
                  WHERE a.business_id = %(business_id)s
                  ORDER BY md5(concat(a.postal_address_id, c.learner_id))
                  LIMIT 1) END,
       c.moment, c.cost_points, c.state,
       CASE WHEN c.state IN ('fulfilled', 'refunded') THEN c.moment + interval '60 hours' END,
       CASE WHEN c.reward_kind = 'physical' AND c.state IN ('shipped', 'fulfilled', 'refunded')
            THEN '1Z' || upper(left(md5(concat(c.step, c.learner_id)), 16)) END,
       CASE c.state WHEN 'cancelled' THEN 'Picked the wrong one.'
                    WHEN 'refunded' THEN 'It never worked.' END, 1
FROM limited AS c;

INSERT INTO courses.point_ledger_entry
    (business_id, point_ledger_entry_id, learner_id, point_rule_id, earned_at, entry_kind, points,
     balance_after, source_kind, source_id, dedupe_key, expires_at, note)
WITH entries AS (
    SELECT c.learner_id, r.point_rule_id, c.moment, 'earn' AS kind, c.points, c.kind AS source_kind,
           c.source, CASE WHEN c.action IN ('badge', 'challenge') THEN concat_ws(' ', c.action,
                                                                                c.source)
                          ELSE concat_ws(' ', c.action, c.source, c.learner_id) END AS key,
           c.moment + interval '2 years' AS expires_at, NULL AS note
    FROM credit AS c
    LEFT JOIN courses.point_rule AS r
        ON r.business_id = %(business_id)s AND r.code = c.rule
    UNION ALL
    SELECT r.learner_id, NULL, r.redeemed_at, 'spend', -r.points_spent, 'reward',
           r.reward_redemption_id, 'spend ' || r.reward_redemption_id, NULL, NULL
    FROM courses.reward_redemption AS r
    WHERE r.business_id = %(business_id)s
    UNION ALL
    SELECT r.learner_id, NULL, r.redeemed_at + interval '63 hours', 'adjust', r.points_spent,
           'reward', r.reward_redemption_id, 'return ' || r.reward_redemption_id, NULL,
           r.state || ': ' || r.cancelled_reason
    FROM courses.reward_redemption AS r
    WHERE r.business_id = %(business_id)s AND r.state IN ('cancelled', 'refunded')
)
SELECT %(business_id)s, md5(e.key)::uuid, e.learner_id, e.point_rule_id, e.moment, e.kind,
       e.points, sum(e.points) OVER (PARTITION BY e.learner_id ORDER BY e.moment, e.key),
       e.source_kind, e.source, e.key, e.expires_at, e.note
FROM entries AS e;

-- What lies two years back lapsed where it was not spent by then; nobody here is so old.
INSERT INTO courses.learner_standing
    (business_id, learner_standing_id, learner_id, level_definition_id, total_points,
     spendable_points, points_this_week, badges_count, courses_completed, current_streak_days,
     longest_streak_days, percentile, recomputed_at)
WITH ledger AS (
    SELECT e.learner_id, sum(e.points) AS spendable,
           sum(e.points) FILTER (WHERE courses.is_merit(e.entry_kind, e.source_kind)) AS total,
           sum(e.points) FILTER (
               WHERE e.entry_kind = 'earn'
                 AND date_trunc('week', e.earned_at, 'UTC')
                     = date_trunc('week', %(as_of)s::timestamptz, 'UTC')) AS week
    FROM courses.point_ledger_entry AS e
    WHERE e.business_id = %(business_id)s
    GROUP BY e.learner_id
)
SELECT l.business_id, md5('standing ' || l.learner_id)::uuid, l.learner_id, courses.level_for(0),
       coalesce(g.total, 0), coalesce(g.spendable, 0), coalesce(g.week, 0),
       (SELECT count(*) FROM courses.badge_award AS a
        WHERE a.business_id = l.business_id AND a.learner_id = l.learner_id
          AND a.revoked_at IS NULL),
       (SELECT count(*) FROM courses.enrollment AS e
        WHERE e.business_id = l.business_id AND e.learner_id = l.learner_id
          AND e.status = 'completed'),
       (SELECT coalesce(sum(s.length_count) FILTER (WHERE s.is_current), 0)
        FROM courses.learner_streak AS s
        WHERE s.business_id = l.business_id AND s.learner_id = l.learner_id
          AND s.streak_kind = 'daily'),
       (SELECT coalesce(max(s.longest_length), 0)
        FROM courses.learner_streak AS s
        WHERE s.business_id = l.business_id AND s.learner_id = l.learner_id
          AND s.streak_kind = 'daily'),
       round((100 * percent_rank() OVER (ORDER BY coalesce(g.total, 0)))::numeric, 4),
       %(as_of)s::timestamptz
FROM courses.learner AS l
LEFT JOIN ledger AS g ON g.learner_id = l.learner_id
WHERE l.business_id = %(business_id)s;

INSERT INTO courses.leaderboard
    (business_id, leaderboard_id, course_section_id, name, metric, period, scope, size_limit,
     is_opt_in, anonymizes_below_rank, status, tie_break)
SELECT %(business_id)s, md5('board ' || v.name || %(business_id)s)::uuid,
       CASE v.scope WHEN 'section' THEN (
           SELECT s.course_section_id
           FROM courses.course_section AS s
           WHERE s.business_id = %(business_id)s
           ORDER BY s.enrolled_count DESC, s.course_section_id
           LIMIT 1) END,
       v.name, v.metric, v.period, v.scope, v.size, false, v.below, 'active', v.tie
FROM (VALUES
    ('Points this week', 'points', 'weekly', 'business', 100, 50, 'shared'),
    ('Points of the month', 'points', 'monthly', 'business', 100, 20, 'shared'),
    ('Points of all time', 'points', 'all_time', 'business', 100, 10, 'earliest'),
    ('Minutes this week', 'minutes', 'weekly', 'business', 50, 10, 'shared'),
    ('Minutes of the month', 'minutes', 'monthly', 'business', 50, 10, 'earliest'),
    ('Best scores of the class', 'score', 'section', 'section', 50, 3, 'shared'),
    ('Longest streaks', 'streak', 'all_time', 'business', 50, 10, 'shared'))
    AS v (name, metric, period, scope, size, below, tie);

-- The last eight weeks and months as they were then.
SELECT courses.refresh_leaderboard(b.leaderboard_id, m.moment)
FROM courses.leaderboard AS b
CROSS JOIN LATERAL (
    SELECT %(as_of)s::timestamptz - interval '4 hours'
           - CASE b.period WHEN 'monthly' THEN make_interval(months => n)
                           WHEN 'weekly' THEN make_interval(days => 7 * n)
                           ELSE make_interval(0) END AS moment, n
    FROM generate_series(0, CASE WHEN b.period IN ('weekly', 'monthly') THEN 8 ELSE 0 END) AS n
) AS m
WHERE b.business_id = %(business_id)s
ORDER BY b.name, m.n DESC;
