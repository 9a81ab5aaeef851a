SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Questions about every course; introductions and announcements where a class meets; and a place
-- of its own for every study group that is not closed.
INSERT INTO courses.discussion_forum
    (business_id, discussion_forum_id, course_section_id, course_id, study_group_id, title,
     forum_kind, visibility, posting, is_graded, sort_order)
SELECT c.business_id, md5('forum ' || c.course_id)::uuid, NULL::uuid, c.course_id, NULL::uuid,
       'Questions and answers', 'questions', 'course', 'everyone', false, 0
FROM courses.course AS c
WHERE c.business_id = %(business_id)s
UNION ALL
SELECT s.business_id, md5(concat(v.kind, s.course_section_id))::uuid, s.course_section_id, NULL,
       NULL, v.title, v.kind, 'section',
       CASE WHEN v.kind = 'assignment' AND abs(hashtextextended(s.section_code, 113) %% 3) = 0
            THEN 'moderated' ELSE v.posting END, v.kind = 'assignment', v.place
FROM courses.course_section AS s
CROSS JOIN (VALUES ('introductions', 'Introduce yourself', 'everyone', 1),
                   ('assignment', 'The case of the month', 'everyone', 2),
                   ('announcements', 'From your teachers', 'instructors', 3))
    AS v (kind, title, posting, place)
WHERE s.business_id = %(business_id)s AND s.delivery <> 'self_paced'
  AND s.status IN ('running', 'completed')
UNION ALL
SELECT g.business_id, md5('forum of group ' || g.study_group_id)::uuid, NULL, NULL,
       g.study_group_id, g.name, 'social', 'group', 'everyone', false, 0
FROM courses.study_group AS g
WHERE g.business_id = %(business_id)s AND g.status <> 'closed';

-- Who may write what, where: learners in the courses that they took, as long as they took them.
CREATE TEMPORARY TABLE voice ON COMMIT DROP AS
SELECT s.course_id, e.course_section_id, l.learner_id, l.user_account_id, e.started_at,
       coalesce(e.withdrawn_at, e.completed_at + interval '60 days', e.access_until, 'infinity')
           AS until_at,
       -- One in ten writes most of it.
       abs(hashtextextended(l.learner_id::text, 114) %% 10) = 3 AS is_talkative
FROM courses.enrollment AS e
JOIN courses.course_section AS s
    ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
JOIN courses.learner AS l ON l.business_id = e.business_id AND l.learner_id = e.learner_id
WHERE e.business_id = %(business_id)s AND l.user_account_id IS NOT NULL
  AND e.started_at < %(as_of)s::timestamptz;

-- And who answers for a course: its instructors, for sections without one the first of the school.
CREATE TEMPORARY TABLE teacher ON COMMIT DROP AS
SELECT c.course_id, coalesce(t.user_account_id, a.user_account_id) AS user_account_id
FROM courses.course AS c
LEFT JOIN (
    SELECT DISTINCT ON (s.course_id) s.course_id, i.user_account_id
    FROM courses.section_instructor AS x
    JOIN courses.course_section AS s
        ON s.business_id = x.business_id AND s.course_section_id = x.course_section_id
    JOIN courses.instructor AS i
        ON i.business_id = x.business_id AND i.instructor_id = x.instructor_id
    WHERE x.business_id = %(business_id)s AND x.role IN ('lead', 'co_teacher')
    ORDER BY s.course_id, x.role = 'lead' DESC, s.starts_on DESC, i.instructor_id
) AS t ON t.course_id = c.course_id
CROSS JOIN (
    SELECT i.user_account_id
    FROM courses.instructor AS i
    WHERE i.business_id = %(business_id)s
    ORDER BY i.status, i.instructor_id
    LIMIT 1
) AS a
WHERE c.business_id = %(business_id)s;

-- Questions about lessons; one in thirty leaves somebody with one, of the talkative one in five.
INSERT INTO courses.discussion_topic
    (business_id, discussion_topic_id, author_user_account_id, discussion_forum_id, lesson_id,
     title, body, topic_kind, created_on, view_count, last_activity_at)
WITH asked AS (
    SELECT p.lesson_progress_id, p.lesson_id, p.last_opened_at AS moment, l.title AS lesson,
           s.course_id, v.user_account_id, h.place, v.is_talkative,
           row_number() OVER (ORDER BY md5('asks ' || p.lesson_progress_id)) AS number
    FROM courses.lesson_progress AS p
    JOIN courses.lesson AS l ON l.business_id = p.business_id AND l.lesson_id = p.lesson_id
    JOIN courses.enrollment AS e
        ON e.business_id = p.business_id AND e.enrollment_id = p.enrollment_id
    JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    JOIN voice AS v ON v.course_section_id = e.course_section_id AND v.learner_id = e.learner_id
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended(p.lesson_progress_id::text, 110) %% 1000) AS place
    ) AS h
    WHERE p.business_id = %(business_id)s
      AND p.last_opened_at BETWEEN v.started_at AND v.until_at
      AND p.last_opened_at < %(as_of)s::timestamptz - interval '3 days'
)
SELECT DISTINCT ON (a.lesson_progress_id)
       %(business_id)s::uuid, md5('topic ' || a.lesson_progress_id)::uuid, a.user_account_id,
       md5('forum ' || a.course_id)::uuid, a.lesson_id,
       split_part('How does the second step follow?|Is there another example?|Which tool is meant?'
                  || '|Why not the other way round?|What counts in the test?'
                  || '|The figures do not add up', '|', 1 + (a.place %% 6)::integer)
           || ' (' || a.lesson || ')',
       split_part('I do not see how the second step follows from the first. What am I missing?|'
                  || 'I understood the one in the film, but not when it is something else.|'
                  || 'There are three of that name, and I cannot find the button.|'
                  || 'It seems to work for me if I start at the end. Is that wrong?|'
                  || 'Do we need to know the names by heart, or is the idea enough?|'
                  || 'The table says 42 and the text says 44. Which of them is it?', '|',
                  1 + (a.place %% 6)::integer),
       'question', (a.moment AT TIME ZONE 'UTC')::date, 6 + (a.place * 7 %% 60)::integer, a.moment
FROM asked AS a
WHERE a.place < CASE WHEN a.is_talkative THEN 200 ELSE 33 END OR a.number <= 3
ORDER BY a.lesson_progress_id, a.user_account_id;

-- A class introduces itself on its first day and talks about its case a week later; groups agree
-- on when to meet; teachers write down what was announced.
INSERT INTO courses.discussion_topic
    (business_id, discussion_topic_id, author_user_account_id, discussion_forum_id, title, body,
     topic_kind, is_pinned, created_on, view_count, last_activity_at)
SELECT f.business_id, md5('topic of ' || f.discussion_forum_id)::uuid, t.user_account_id,
       f.discussion_forum_id, f.title,
       CASE f.forum_kind
           WHEN 'introductions' THEN 'Who are you, and what brings you here? A few words are enough.'
           ELSE 'Read the case and say in a paragraph what you would do, and why.' END,
       'discussion', true, (d.moment AT TIME ZONE 'UTC')::date,
       10 + abs(hashtextextended(f.discussion_forum_id::text, 115) %% 40)::integer, d.moment
FROM courses.discussion_forum AS f
JOIN courses.course_section AS s
    ON s.business_id = f.business_id AND s.course_section_id = f.course_section_id
JOIN teacher AS t ON t.course_id = s.course_id
CROSS JOIN LATERAL (
    SELECT (s.starts_on + CASE f.forum_kind WHEN 'introductions' THEN 0 ELSE 7 END)::timestamp
               AT TIME ZONE 'UTC' + interval '8 hours' AS moment
) AS d
WHERE f.business_id = %(business_id)s AND f.forum_kind IN ('introductions', 'assignment')
  AND d.moment < %(as_of)s::timestamptz - interval '3 days'
UNION ALL
SELECT f.business_id, md5('topic of ' || a.course_announcement_id)::uuid, i.user_account_id,
       f.discussion_forum_id, a.title, a.body, 'announcement', a.is_pinned,
       (a.publish_at AT TIME ZONE 'UTC')::date, a.read_count, a.publish_at
FROM courses.course_announcement AS a
JOIN courses.instructor AS i
    ON i.business_id = a.business_id AND i.instructor_id = a.instructor_id
JOIN courses.discussion_forum AS f
    ON f.business_id = a.business_id AND f.course_section_id = a.course_section_id
   AND f.forum_kind = 'announcements'
WHERE a.business_id = %(business_id)s AND a.status = 'sent'
UNION ALL
SELECT f.business_id, md5('topic of ' || f.discussion_forum_id)::uuid, l.user_account_id,
       f.discussion_forum_id, 'When do we meet?', 'Say which evenings suit you.', 'poll', false,
       (m.joined_at AT TIME ZONE 'UTC')::date, 4, m.joined_at + interval '6 hours'
FROM courses.discussion_forum AS f
JOIN courses.study_group_member AS m
    ON m.business_id = f.business_id AND m.study_group_id = f.study_group_id
   AND m.status = 'active' AND m.role IN ('organizer', 'note_taker')
JOIN courses.learner AS l ON l.business_id = m.business_id AND l.learner_id = m.learner_id
WHERE f.business_id = %(business_id)s AND l.user_account_id IS NOT NULL
  AND m.joined_at < %(as_of)s::timestamptz - interval '3 days'
  AND m.learner_id = (SELECT x.learner_id
                      FROM courses.study_group_member AS x
                      WHERE x.business_id = m.business_id AND x.study_group_id = m.study_group_id
                        AND x.status = 'active' AND x.role IN ('organizer', 'note_taker')
                      ORDER BY x.role DESC, x.joined_at, x.learner_id
                      LIMIT 1);

-- Answers to questions: of up to two who take the course as well, then of a teacher; six in ten
-- are accepted, and who asked says what is still open.
CREATE TEMPORARY TABLE reply ON COMMIT DROP AS
WITH questions AS (
    SELECT t.discussion_topic_id AS topic, t.author_user_account_id AS asker,
           t.last_activity_at AS moment, f.course_id,
           abs(hashtextextended(t.discussion_topic_id::text, 111) %% 1000) AS place
    FROM courses.discussion_topic AS t
    JOIN courses.discussion_forum AS f
        ON f.business_id = t.business_id AND f.discussion_forum_id = t.discussion_forum_id
    WHERE t.business_id = %(business_id)s AND t.topic_kind = 'question'
), peers AS (
    SELECT q.topic, v.user_account_id,
           row_number() OVER (PARTITION BY q.topic
                              ORDER BY bool_or(v.is_talkative) DESC,
                                       md5(concat(q.topic, v.user_account_id))) AS number
    FROM questions AS q
    JOIN voice AS v ON v.course_id = q.course_id AND v.user_account_id <> q.asker
        AND v.started_at < q.moment AND v.until_at > q.moment + interval '2 days'
    GROUP BY q.topic, v.user_account_id
)
SELECT md5('peer ' || p.number || q.topic)::uuid AS id, NULL::uuid AS parent, q.topic, 0 AS depth,
       p.user_account_id AS author, q.moment + (p.number * 5 + q.place %% 4) * interval '1 hour'
           + q.place %% 57 * interval '1 minute' AS moment,
       split_part('The film explains it at the end: look at the last two minutes.|'
                  || 'Same here. I think it is the one with the blue icon.|'
                  || 'I did it by hand first, then it was clear.|'
                  || 'You are right about the table, the text was changed.', '|',
                  1 + ((q.place + p.number) %% 4)::integer) AS body,
       p.number = 1 AND q.place %% 10 < 2 AS is_accepted, false AS of_teacher
FROM questions AS q
JOIN peers AS p ON p.topic = q.topic AND p.number <= q.place %% 3
UNION ALL
SELECT md5('answer ' || q.topic)::uuid, NULL, q.topic, 0, t.user_account_id,
       q.moment + (12 + q.place %% 8) * interval '1 hour' + q.place %% 41 * interval '1 minute',
       split_part('Look at the definition above the example: it holds there already.|'
                  || 'Both ways are right. The first one is shorter once there are many.|'
                  || 'Thank you, the page is corrected now. It is 42.', '|',
                  1 + (q.place %% 3)::integer),
       CASE WHEN EXISTS (SELECT FROM peers AS p WHERE p.topic = q.topic AND q.place %% 3 >= 1)
            THEN q.place %% 10 BETWEEN 2 AND 5 ELSE q.place %% 10 < 6 END, true
FROM questions AS q
JOIN teacher AS t ON t.course_id = q.course_id AND t.user_account_id <> q.asker;

INSERT INTO reply
SELECT md5('thanks ' || r.id)::uuid, r.id, r.topic, 1, t.author_user_account_id,
       r.moment + (2 + h.place %% 5) * interval '1 hour',
       CASE WHEN r.is_accepted THEN 'That was it, thank you!'
            ELSE 'Thank you. I still do not see why it holds for the last row.' END, false, false
FROM reply AS r
JOIN courses.discussion_topic AS t
    ON t.business_id = %(business_id)s AND t.discussion_topic_id = r.topic
CROSS JOIN LATERAL (SELECT abs(hashtextextended(r.id::text, 116) %% 1000) AS place) AS h
WHERE r.of_teacher AND h.place %% 5 < 3;

INSERT INTO reply
SELECT md5('again ' || r.id)::uuid, r.id, r.topic, 2, x.author, r.moment + interval '3 hours',
       'Take the last row away and look what changes: nothing. That is why.', false, true
FROM reply AS r
JOIN reply AS x ON x.id = r.parent
WHERE r.depth = 1 AND NOT x.is_accepted;

-- A class introduces itself, writes on its case and is answered; a group says when it can.
INSERT INTO reply
SELECT md5(concat('word ', f.discussion_forum_id, v.user_account_id))::uuid, NULL,
       t.discussion_topic_id, 0, v.user_account_id,
       greatest(t.last_activity_at, min(v.started_at)) + (1 + h.place %% 46) * interval '1 hour',
       CASE f.forum_kind WHEN 'introductions'
           THEN split_part('Hello! I want to change into this field next year.|'
                           || 'My company sent me, and I am curious.|'
                           || 'I learn in the evenings, when the children sleep.|'
                           || 'Second course here, and still not the last.', '|',
                           1 + (h.place %% 4)::integer)
           ELSE split_part('I would measure for a week before I change anything, because nobody '
                           || 'knows yet where the time goes.|'
                           || 'The cheap way first: if it does not hold, little is lost.|'
                           || 'I would ask those who do the work every day.', '|',
                           1 + (h.place %% 3)::integer) END, false, false
FROM courses.discussion_forum AS f
JOIN courses.discussion_topic AS t
    ON t.business_id = f.business_id AND t.discussion_forum_id = f.discussion_forum_id
JOIN voice AS v ON v.course_section_id = f.course_section_id
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(concat(f.discussion_forum_id, v.user_account_id), 117) %% 1000)
        AS place
) AS h
WHERE f.business_id = %(business_id)s AND f.forum_kind IN ('introductions', 'assignment')
  AND (v.is_talkative OR h.place %% 10 < CASE f.forum_kind WHEN 'introductions' THEN 8 ELSE 4 END)
GROUP BY f.discussion_forum_id, f.forum_kind, t.discussion_topic_id, t.last_activity_at,
         v.user_account_id, h.place
HAVING min(v.started_at) < %(as_of)s::timestamptz - interval '6 days'
   AND greatest(t.last_activity_at, min(v.started_at)) + interval '47 hours' < max(v.until_at);

INSERT INTO reply
SELECT md5('answered ' || r.id)::uuid, r.id, r.topic, 1, t.author_user_account_id,
       r.moment + (3 + h.place %% 20) * interval '1 hour',
       'Good to read, thank you. What would your colleagues say?', false, true
FROM reply AS r
JOIN courses.discussion_topic AS t
    ON t.business_id = %(business_id)s AND t.discussion_topic_id = r.topic
JOIN courses.discussion_forum AS f
    ON f.business_id = t.business_id AND f.discussion_forum_id = t.discussion_forum_id
   AND f.forum_kind IN ('introductions', 'assignment')
CROSS JOIN LATERAL (SELECT abs(hashtextextended(r.id::text, 118) %% 1000) AS place) AS h
WHERE r.depth = 0 AND h.place %% 4 = 1;

INSERT INTO reply
SELECT md5(concat('suits ', m.study_group_member_id))::uuid, NULL, t.discussion_topic_id, 0,
       l.user_account_id,
       greatest(t.last_activity_at, m.joined_at) + (1 + h.place %% 30) * interval '1 hour',
       split_part('Tuesdays and Thursdays.|Only at the weekend.|Any evening but Friday.', '|',
                  1 + (h.place %% 3)::integer), false, false
FROM courses.discussion_topic AS t
JOIN courses.discussion_forum AS f
    ON f.business_id = t.business_id AND f.discussion_forum_id = t.discussion_forum_id
JOIN courses.study_group_member AS m
    ON m.business_id = f.business_id AND m.study_group_id = f.study_group_id
   AND m.status = 'active'
JOIN courses.learner AS l ON l.business_id = m.business_id AND l.learner_id = m.learner_id
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(m.study_group_member_id::text, 119) %% 1000) AS place
) AS h
WHERE t.business_id = %(business_id)s AND t.topic_kind = 'poll'
  AND l.user_account_id IS NOT NULL AND l.user_account_id <> t.author_user_account_id
  AND m.joined_at < %(as_of)s::timestamptz - interval '3 days';

-- One post in forty is flagged, one in sixty was hidden or removed by a moderator or its author;
-- one in fifteen was edited.
INSERT INTO courses.discussion_post
    (business_id, discussion_post_id, parent_post_id, author_user_account_id, discussion_topic_id,
     body, depth, posted_at, edited_at, is_accepted_answer, is_instructor_reply, moderation,
     toxicity_score, deleted_at)
SELECT %(business_id)s, r.id, r.parent, r.author, r.topic,
       CASE k.moderation WHEN 'hidden' THEN 'Cheap followers, only today!'
                         WHEN 'flagged' THEN r.body || ' And do read the question next time.'
                         ELSE r.body END,
       r.depth, r.moment,
       CASE WHEN h.place %% 15 = 4
            THEN least(r.moment + (4 + h.place %% 50) * interval '1 minute',
                       %(as_of)s::timestamptz) END,
       r.is_accepted, r.of_teacher, k.moderation,
       round(CASE k.moderation WHEN 'hidden' THEN 0.7 WHEN 'flagged' THEN 0.45 ELSE 0 END
             + h.place %% 250 / 1000.0, 3),
       CASE k.moderation WHEN 'removed' THEN least(r.moment + interval '95 minutes',
                                                   %(as_of)s::timestamptz) END
FROM reply AS r
CROSS JOIN LATERAL (SELECT abs(hashtextextended(r.id::text, 120) %% 1000) AS place) AS h
CROSS JOIN LATERAL (
    SELECT CASE WHEN r.is_accepted OR r.of_teacher OR r.depth > 0
                     OR EXISTS (SELECT FROM reply AS x WHERE x.parent = r.id) THEN 'visible'
                WHEN h.place < 25 THEN 'flagged' WHEN h.place < 33 THEN 'hidden'
                WHEN h.place < 42 THEN 'removed' ELSE 'visible' END AS moderation
) AS k
WHERE r.moment < %(as_of)s::timestamptz - interval '1 hour'
-- A reply comes after what it replies to.
ORDER BY r.depth, r.moment, r.id;

-- Votes: a few posts get most of them. Who asked thanks whoever answered; flagged posts were
-- reported by some, and a vote in thirty was taken back.
INSERT INTO courses.post_reaction
    (business_id, post_reaction_id, discussion_post_id, user_account_id, reaction, reacted_at,
     report_reason, withdrawn_at, weight, source, is_counted)
WITH people AS (
    SELECT l.user_account_id, min(v.started_at) AS since,
           row_number() OVER (ORDER BY md5('votes ' || l.learner_id)) - 1 AS number,
           count(*) OVER () AS all_of
    FROM voice AS v
    JOIN courses.learner AS l
        ON l.business_id = %(business_id)s AND l.learner_id = v.learner_id
    GROUP BY l.learner_id, l.user_account_id
), posts AS (
    SELECT p.discussion_post_id AS post, p.author_user_account_id AS author, p.posted_at,
           p.moderation, p.is_accepted_answer, t.author_user_account_id AS asker, t.topic_kind,
           p.depth, abs(hashtextextended(p.discussion_post_id::text, 121) %% 1000) AS place
    FROM courses.discussion_post AS p
    JOIN courses.discussion_topic AS t
        ON t.business_id = p.business_id AND t.discussion_topic_id = p.discussion_topic_id
    WHERE p.business_id = %(business_id)s AND p.moderation IN ('visible', 'flagged')
), votes AS (
    SELECT p.post, p.asker AS voter, p.author, p.posted_at, p.place,
           CASE WHEN p.is_accepted_answer THEN 'upvote' ELSE 'thanks' END AS reaction
    FROM posts AS p
    WHERE p.topic_kind = 'question' AND p.depth = 0
    UNION ALL
    SELECT p.post, u.user_account_id, p.author, p.posted_at, p.place + n.no,
           CASE WHEN p.moderation = 'flagged' AND n.no <= 2 THEN 'report'
                ELSE split_part('upvote,like,upvote,insightful,upvote,downvote,upvote,thanks', ',',
                                1 + ((p.place + n.no * 3) %% 8)::integer) END
    FROM posts AS p
    CROSS JOIN LATERAL generate_series(
        1, least(14, CASE p.moderation WHEN 'flagged' THEN 2 ELSE 400 / (20 + p.place) END)::integer)
        AS n (no)
    JOIN people AS u ON u.number = (p.place + n.no * 7) %% u.all_of
    WHERE u.since < p.posted_at AND u.user_account_id <> p.asker
), once AS (
    SELECT DISTINCT ON (v.post, v.voter) v.*,
           v.posted_at + (20 + v.place * 13 %% 2400) * interval '1 minute' AS moment
    FROM votes AS v
    WHERE v.voter <> v.author
    ORDER BY v.post, v.voter, v.reaction
)
SELECT %(business_id)s, md5(concat('reaction ', o.post, o.voter))::uuid, o.post, o.voter,
       o.reaction, o.moment,
       CASE WHEN o.reaction = 'report'
            THEN split_part('abuse,off_topic,spam', ',', 1 + (o.place %% 3)::integer)
            ELSE 'none' END,
       CASE WHEN w.is_withdrawn THEN least(o.moment + interval '40 minutes',
                                           %(as_of)s::timestamptz) END,
       1, CASE WHEN o.place %% 5 < 3 THEN 'web' WHEN o.place %% 25 = 24 THEN 'email'
               ELSE 'mobile' END, NOT w.is_withdrawn
FROM once AS o
CROSS JOIN LATERAL (SELECT o.place %% 30 = 11 AS is_withdrawn) AS w
WHERE o.moment < %(as_of)s::timestamptz;

-- What a class had is locked once it is over, a topic that led nowhere is hidden, and some good
-- questions are pinned.
UPDATE courses.discussion_topic AS t
SET status = n.status, is_pinned = n.is_pinned,
    hidden_reason = CASE n.status WHEN 'hidden' THEN 'Asked and answered before.' END
FROM (
    SELECT x.discussion_topic_id, x.is_pinned OR h.place %% 40 = 3 AS is_pinned,
           CASE WHEN x.topic_kind = 'question' AND h.place %% 70 = 9 THEN 'hidden'
                WHEN s.status = 'completed' THEN 'locked' ELSE x.status END AS status
    FROM courses.discussion_topic AS x
    JOIN courses.discussion_forum AS f
        ON f.business_id = x.business_id AND f.discussion_forum_id = x.discussion_forum_id
    LEFT JOIN courses.course_section AS s
        ON s.business_id = f.business_id AND s.course_section_id = f.course_section_id
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended(x.discussion_topic_id::text, 122) %% 1000) AS place
    ) AS h
    WHERE x.business_id = %(business_id)s
) AS n
WHERE t.business_id = %(business_id)s AND t.discussion_topic_id = n.discussion_topic_id
  AND (t.status, t.is_pinned) IS DISTINCT FROM (n.status, n.is_pinned);

UPDATE courses.discussion_forum AS f
SET is_locked = true
FROM courses.course_section AS s
WHERE f.business_id = %(business_id)s AND s.business_id = f.business_id
  AND s.course_section_id = f.course_section_id AND s.status = 'completed'
  AND s.ends_on < (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date - 60;

-- Who writes most is ranked once there is something written, and a class among itself.
INSERT INTO courses.leaderboard
    (business_id, leaderboard_id, cohort_id, name, metric, period, scope, size_limit,
     anonymizes_below_rank, tie_break)
SELECT %(business_id)s::uuid, md5('board of voices ' || %(business_id)s)::uuid, NULL::uuid,
       'Most helpful of the year', 'contributions', 'all_time', 'business', 50, 10, 'earliest'
UNION ALL
SELECT k.business_id, md5('board of class ' || k.cohort_id)::uuid, k.cohort_id,
       k.name || ' ' || k.code, 'points', 'all_time', 'cohort', 30, NULL, 'shared'
FROM (
    SELECT x.business_id, x.cohort_id, x.name, x.code
    FROM courses.cohort AS x
    JOIN courses.cohort_member AS m
        ON m.business_id = x.business_id AND m.cohort_id = x.cohort_id AND m.is_active
    WHERE x.business_id = %(business_id)s AND x.cohort_kind = 'class'
    GROUP BY x.business_id, x.cohort_id, x.name, x.code
    ORDER BY count(*) DESC, x.cohort_id
    LIMIT 3
) AS k;

SELECT courses.refresh_leaderboard(b.leaderboard_id, %(as_of)s::timestamptz - interval '4 hours')
FROM courses.leaderboard AS b
WHERE b.business_id = %(business_id)s AND (b.metric = 'contributions' OR b.scope = 'cohort')
ORDER BY b.name;
