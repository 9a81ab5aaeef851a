SELECT tenant_mgmt.set_tenant(%(business_id)s);
SET LOCAL enable_nestloop = off;

-- Finals that ask for it were watched; one in twelve of them needed a second look.
INSERT INTO courses.proctoring_session
    (business_id, proctoring_session_id, assessment_attempt_id, reviewed_by, mode,
     identity_verified, id_document_kind, room_scan_done, browser_locked, started_at, ended_at,
     integrity_score, verdict, reviewed_at, retention_until, consent_given)
SELECT a.business_id, md5('watched ' || a.assessment_attempt_id)::uuid, a.assessment_attempt_id,
       CASE WHEN v.verdict IN ('violation', 'inconclusive') THEN q.owner_user_account_id END,
       split_part('automated,recorded,automated,live,automated,in_person', ',',
                  (1 + h.place %% 6)::integer),
       h.place %% 17 <> 0,
       CASE WHEN h.place %% 17 <> 0
            THEN split_part('identity_card,passport,driving_license,student_card', ',',
                            (1 + h.place %% 4)::integer) END,
       h.place %% 5 <> 0, h.place %% 6 <> 5, a.started_at - interval '4 minutes',
       coalesce(a.submitted_at, a.started_at + interval '15 minutes') + interval '1 minute',
       CASE v.verdict WHEN 'clear' THEN 86 + h.place %% 15 WHEN 'violation' THEN 8 + h.place %% 20
                      ELSE 45 + h.place %% 30 END,
       v.verdict,
       CASE WHEN v.verdict IN ('violation', 'inconclusive')
            THEN coalesce(a.submitted_at, a.started_at) + interval '22 hours' END,
       (a.started_at AT TIME ZONE 'UTC')::date + 90, true
FROM courses.assessment_attempt AS a
JOIN courses.assessment AS x
    ON x.business_id = a.business_id AND x.assessment_id = a.assessment_id
   AND x.requires_proctoring
JOIN courses.course AS q ON q.business_id = x.business_id AND q.course_id = x.course_id
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(a.assessment_attempt_id::text, 50) %% 1000) AS place
) AS h
CROSS JOIN LATERAL (
    SELECT CASE WHEN h.place %% 36 = 5 THEN 'violation' WHEN h.place %% 36 = 7 THEN 'inconclusive'
                WHEN h.place %% 36 = 9 THEN 'review' ELSE 'clear' END AS verdict
) AS v
WHERE a.business_id = %(business_id)s
  AND a.started_at < %(as_of)s::timestamptz - interval '2 days';

INSERT INTO courses.proctoring_flag
    (business_id, proctoring_flag_id, proctoring_session_id, flagged_at, flag_kind, severity,
     offset_seconds, duration_seconds, confidence, reviewer_decision, evidence_ref)
SELECT s.business_id, md5('flag ' || t.no || s.proctoring_session_id)::uuid,
       s.proctoring_session_id, s.started_at + o.seconds * interval '1 second', k.kind,
       CASE WHEN k.kind IN ('phone', 'second_voice', 'screen_share') THEN 'high'
            WHEN k.kind IN ('gaze_away', 'network_change') THEN 'low' ELSE 'medium' END,
       o.seconds, 2 + h.place %% 25, 0.35 + h.place %% 64 * 0.01,
       CASE s.verdict WHEN 'violation' THEN CASE WHEN t.no = 1 THEN 'confirmed' ELSE 'unclear' END
                      WHEN 'inconclusive' THEN 'unclear' WHEN 'review' THEN 'pending'
                      ELSE 'dismissed' END,
       'clip-' || left(md5(t.no || s.proctoring_session_id::text), 12)
FROM courses.proctoring_session AS s
CROSS JOIN generate_series(1, 6) AS t (no)
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(s.proctoring_session_id::text, t.no) %% 1000) AS place
) AS h
CROSS JOIN LATERAL (
    SELECT split_part('gaze_away,gaze_away,no_face,tab_switch,gaze_away,network_change,phone,'
                      'multiple_faces,second_voice,copy_paste', ',',
                      (1 + h.place %% 10)::integer) AS kind
) AS k
CROSS JOIN LATERAL (
    SELECT floor(extract(epoch FROM s.ended_at - s.started_at) * (t.no - 0.5) / 6.5)::integer
               AS seconds
) AS o
WHERE s.business_id = %(business_id)s
  AND (t.no <= CASE s.verdict WHEN 'clear' THEN h.place %% 4 ELSE 5 END
       OR (t.no = 1 AND s.proctoring_session_id = (
               SELECT x.proctoring_session_id
               FROM courses.proctoring_session AS x
               WHERE x.business_id = %(business_id)s
               ORDER BY x.proctoring_session_id
               LIMIT 1)));

-- What was asked within a year is analyzed: the rows first, by names of their own, then their
-- figures by the function that everybody uses.
INSERT INTO courses.question_statistic
    (business_id, question_statistic_id, question_id, assessment_id, window_start, window_end,
     computed_at)
SELECT DISTINCT a.business_id, md5('analysis ' || r.question_id || a.assessment_id)::uuid,
       r.question_id, a.assessment_id, %(as_of)s::date - 365, %(as_of)s::date - 1,
       %(as_of)s::timestamptz - interval '3 hours'
FROM (
    -- The first graded attempt of each learner in the year, as the function takes it.
    SELECT DISTINCT ON (x.assessment_id, x.enrollment_id) x.*
    FROM courses.assessment_attempt AS x
    WHERE x.business_id = %(business_id)s AND x.state = 'graded'
      AND x.submitted_at >= (%(as_of)s::date - 365)::timestamp AT TIME ZONE 'UTC'
      AND x.submitted_at < %(as_of)s::date::timestamp AT TIME ZONE 'UTC'
    ORDER BY x.assessment_id, x.enrollment_id, x.attempt_no
) AS a
JOIN courses.attempt_response AS r
    ON r.business_id = a.business_id AND r.assessment_attempt_id = a.assessment_attempt_id;

SELECT sum(courses.item_statistics(a.assessment_id, %(as_of)s::date - 365, %(as_of)s::date - 1,
                                   %(as_of)s::timestamptz - interval '3 hours'))
FROM (
    SELECT DISTINCT x.assessment_id
    FROM courses.question_statistic AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.assessment_id
) AS a;
