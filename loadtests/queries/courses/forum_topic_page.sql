-- A thread is opened: its first fifty posts with who wrote them and how people reacted.
-- budget: p95 80ms
-- weight: 15
-- mode: read
-- rows: >=1
-- params: discussion_topic_id from courses.discussion_post
SELECT p.business_id, p.discussion_post_id, p.parent_post_id, p.depth, u.display_name,
       CASE WHEN p.moderation IN ('visible', 'flagged') THEN p.body END AS body, p.posted_at,
       p.vote_score, p.is_accepted_answer, p.is_instructor_reply, r.reactions
FROM courses.discussion_post AS p
JOIN user_mgmt.user_account AS u
    ON u.business_id = %(business_id)s AND u.user_account_id = p.author_user_account_id
LEFT JOIN LATERAL (
    SELECT count(*) AS reactions
    FROM courses.post_reaction AS x
    WHERE x.business_id = %(business_id)s AND x.discussion_post_id = p.discussion_post_id
      AND x.is_counted
) AS r ON true
WHERE p.business_id = %(business_id)s AND p.discussion_topic_id = %(discussion_topic_id)s
ORDER BY p.posted_at, p.discussion_post_id
LIMIT 50
