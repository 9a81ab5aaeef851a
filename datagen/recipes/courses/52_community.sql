SELECT tenant_mgmt.set_tenant(%(business_id)s);

INSERT INTO courses.discussion_forum
    (business_id, discussion_forum_id, course_id, title, forum_kind)
SELECT c.business_id, md5('forum ' || c.course_id)::uuid, c.course_id, 'Questions and answers',
       'questions'
FROM courses.course AS c
WHERE c.business_id = %(business_id)s;

-- One lesson in fifteen leaves a question.
INSERT INTO courses.discussion_topic
    (business_id, discussion_topic_id, author_user_account_id, discussion_forum_id, lesson_id,
     title, body, topic_kind, created_on, view_count, last_activity_at)
SELECT p.business_id, md5('topic ' || p.lesson_progress_id)::uuid, l.user_account_id,
       md5('forum ' || s.course_id)::uuid, p.lesson_id, 'A question about this lesson',
       'I do not see how the second step follows from the first. What am I missing?', 'question',
       (p.last_opened_at AT TIME ZONE 'UTC')::date, 5 + (h.place %% 40)::integer, p.last_opened_at
FROM courses.lesson_progress AS p
JOIN courses.enrollment AS e
    ON e.business_id = p.business_id AND e.enrollment_id = p.enrollment_id
JOIN courses.course_section AS s
    ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
JOIN courses.learner AS l ON l.business_id = e.business_id AND l.learner_id = e.learner_id
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(p.lesson_progress_id::text, 110) %% 1000) AS place
) AS h
WHERE p.business_id = %(business_id)s AND l.user_account_id IS NOT NULL AND h.place < 66
  AND p.last_opened_at < %(as_of)s::timestamptz - interval '2 days';

-- An instructor answers; six answers in ten are accepted, and the asker says thanks.
INSERT INTO courses.discussion_post
    (business_id, discussion_post_id, author_user_account_id, discussion_topic_id, body,
     posted_at, is_accepted_answer, is_instructor_reply)
SELECT t.business_id, md5('reply ' || t.discussion_topic_id)::uuid, i.user_account_id,
       t.discussion_topic_id, 'Look at the definition above the example: it holds there already.',
       t.last_activity_at + interval '9 hours',
       abs(hashtextextended(t.discussion_topic_id::text, 111) %% 10) < 6, true
FROM courses.discussion_topic AS t
CROSS JOIN LATERAL (
    SELECT x.user_account_id
    FROM courses.instructor AS x
    WHERE x.business_id = t.business_id AND x.user_account_id <> t.author_user_account_id
    ORDER BY md5(concat(x.instructor_id, t.discussion_topic_id))
    LIMIT 1
) AS i
WHERE t.business_id = %(business_id)s;

INSERT INTO courses.post_reaction
    (business_id, post_reaction_id, discussion_post_id, user_account_id, reaction, reacted_at)
SELECT p.business_id, md5('thanks ' || p.discussion_post_id)::uuid, p.discussion_post_id,
       t.author_user_account_id, CASE WHEN p.is_accepted_answer THEN 'upvote' ELSE 'thanks' END,
       p.posted_at + interval '4 hours'
FROM courses.discussion_post AS p
JOIN courses.discussion_topic AS t
    ON t.business_id = p.business_id AND t.discussion_topic_id = p.discussion_topic_id
WHERE p.business_id = %(business_id)s;
