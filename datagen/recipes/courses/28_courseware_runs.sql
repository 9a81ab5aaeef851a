SELECT tenant_mgmt.set_tenant(%(business_id)s);
SET LOCAL enable_nestloop = off;

-- Exercises that are packages: every SCO that there is, its questions and its objective.
INSERT INTO courses.scorm_attempt
    (business_id, scorm_attempt_id, scorm_package_id, enrollment_id, attempt_no, sco_identifier,
     completion_status, success_status, score_raw, score_scaled, total_time_seconds, suspend_data,
     lesson_location, runtime_data, started_at, last_commit_at, exit_kind)
SELECT p.business_id, md5('run ' || k.scorm_package_id || j.sco || p.enrollment_id)::uuid,
       k.scorm_package_id, p.enrollment_id, 1, j.sco,
       CASE WHEN p.state = 'completed' THEN 'completed' ELSE 'incomplete' END,
       CASE WHEN p.state = 'completed' THEN 'passed' ELSE 'unknown' END,
       CASE WHEN p.state = 'completed' THEN 70 + h.place %% 31 END,
       CASE WHEN p.state = 'completed' THEN (70 + h.place %% 31) / 100.0 END,
       p.seconds_spent / k.sco_count, 'bookmark=' || 1 + h.place %% 9,
       'page-' || 1 + h.place %% 9,
       jsonb_build_object(
           'interactions', (
               SELECT jsonb_agg(jsonb_build_object(
                          'id', 'q' || n.no, 'type', 'choice',
                          'learner_response', split_part('a,b,c,d', ',', 1 + (h.place + n.no) %% 4),
                          'result', CASE WHEN (h.place + n.no * 7) %% 10 < 8 THEN 'correct'
                                         ELSE 'incorrect' END,
                          'latency', 'PT' || 8 + (h.place * n.no) %% 40 || 'S') ORDER BY n.no)
               FROM generate_series(1, 4) AS n (no)),
           'objectives', jsonb_build_array(jsonb_build_object(
               'id', 'objective-1', 'success_status',
               CASE WHEN p.state = 'completed' THEN 'passed' ELSE 'unknown' END,
               'score', jsonb_build_object('scaled', (70 + h.place %% 31) / 100.0)))),
       p.first_opened_at, p.last_opened_at,
       CASE WHEN p.state = 'completed' THEN 'normal' ELSE 'suspend' END
FROM courses.lesson_progress AS p
JOIN courses.scorm_package AS k
    ON k.business_id = p.business_id AND k.lesson_id = p.lesson_id
   AND k.validation_state <> 'invalid'
CROSS JOIN JSON_TABLE(k.manifest::jsonb, '$.organizations[*].items[*]' COLUMNS (
    sco text PATH '$.identifier')) AS j
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(p.enrollment_id::text || j.sco, 70) %% 31)::integer AS place
) AS h
WHERE p.business_id = %(business_id)s AND k.imported_at < p.first_opened_at;

-- Exercises in a tool: one launch in thirty fails, and is tried again.
INSERT INTO courses.lti_launch
    (business_id, lti_launch_id, lti_tool_id, lesson_id, enrollment_id, launched_at, nonce_hash,
     state, claims, score_given, score_maximum, activity_progress, failure_reason, duration_ms)
SELECT p.business_id, md5('launch ' || n.no || p.lesson_progress_id)::uuid, t.lti_tool_id,
       p.lesson_id, p.enrollment_id,
       p.first_opened_at - n.no * interval '40 seconds',
       sha256(convert_to(n.no || 'nonce' || p.lesson_progress_id, 'UTF8')),
       CASE WHEN n.no = 1 THEN 'failed' WHEN p.state = 'completed' THEN 'completed'
            ELSE 'validated' END,
       jsonb_build_object('context', jsonb_build_object('id', e.course_section_id),
                          'resource_link', jsonb_build_object('id', p.lesson_id)),
       CASE WHEN n.no = 0 AND p.state = 'completed' THEN 6 + h.place %% 5 END,
       CASE WHEN n.no = 0 AND p.state = 'completed' THEN 10 END,
       CASE WHEN n.no = 1 THEN 'initialized' WHEN p.state = 'completed' THEN 'completed'
            ELSE 'in_progress' END,
       CASE n.no WHEN 1 THEN 'id_token expired' END, 180 + h.place * 3
FROM courses.lesson_progress AS p
JOIN courses.lesson AS l
    ON l.business_id = p.business_id AND l.lesson_id = p.lesson_id
   AND l.lesson_kind = 'external_tool'
JOIN courses.enrollment AS e
    ON e.business_id = p.business_id AND e.enrollment_id = p.enrollment_id
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(p.lesson_progress_id::text, 71) %% 1000) AS place
) AS h
JOIN courses.lti_tool AS t
    ON t.business_id = p.business_id
   AND t.name = CASE WHEN h.place %% 3 = 0 THEN 'Sandbox Terminal' ELSE 'Notebook Lab' END
CROSS JOIN generate_series(0, 1) AS n (no)
WHERE p.business_id = %(business_id)s AND (n.no = 0 OR h.place %% 30 = 0);

-- What courseware and tools found is the lesson's best score.
UPDATE courses.lesson_progress AS p
SET best_score_pct = n.best
FROM (
    SELECT a.enrollment_id, k.lesson_id, max(100 * a.score_scaled) AS best
    FROM courses.scorm_attempt AS a
    JOIN courses.scorm_package AS k
        ON k.business_id = a.business_id AND k.scorm_package_id = a.scorm_package_id
    WHERE a.business_id = %(business_id)s AND a.score_scaled IS NOT NULL
    GROUP BY a.enrollment_id, k.lesson_id
    UNION ALL
    SELECT l.enrollment_id, l.lesson_id, max(100 * l.score_given / l.score_maximum)
    FROM courses.lti_launch AS l
    WHERE l.business_id = %(business_id)s AND l.score_given IS NOT NULL
    GROUP BY l.enrollment_id, l.lesson_id
) AS n
WHERE p.business_id = %(business_id)s AND p.enrollment_id = n.enrollment_id
  AND p.lesson_id = n.lesson_id;
