SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Twelve classes a section, one a week. Each section of an instructor has an hour of its own in
-- the week, the evening first: nobody teaches twice at once.
INSERT INTO courses.class_meeting
    (business_id, class_meeting_id, course_section_id, instructor_id, title, starts_at, ends_at,
     mode, room, provider, join_url_ref, capacity, status, recording_state, attendance_required,
     cancelled_reason)
SELECT s.business_id, md5('class ' || w.week || s.course_section_id)::uuid, s.course_section_id,
       s.instructor_id, 'Week ' || w.week || ': '
           || split_part('Introduction,First steps,Practice,In depth,Case study,Midterm review,'
                         'Methods,Workshop,Guest lecture,Project,Presentations,Wrap-up', ',',
                         w.week),
       t.moment, t.moment + interval '90 minutes', s.mode,
       CASE WHEN s.mode <> 'online' THEN 'Room ' || (1 + s.slot %% 6) || '.'
                                         || lpad((1 + s.slot %% 14)::text, 2, '0') END,
       CASE WHEN s.mode = 'classroom' THEN 'none'
            ELSE split_part('zoom,zoom,teams,meet', ',', (1 + s.slot %% 4)::integer) END,
       CASE WHEN s.mode <> 'classroom'
            THEN 'vault:class/' || substr(md5(w.week || s.section_code), 1, 16) END,
       s.seat_limit, k.status,
       CASE WHEN k.status <> 'ended' OR s.mode = 'classroom' THEN 'none'
            WHEN t.moment > %(as_of)s::timestamptz - interval '2 days' THEN 'processing'
            WHEN t.moment > %(as_of)s::timestamptz - interval '180 days' THEN 'available'
            ELSE 'expired' END,
       w.week IN (1, 6, 12), CASE WHEN k.status = 'cancelled' THEN 'Instructor was ill' END
FROM (
    SELECT x.*, i.instructor_id,
           CASE x.delivery WHEN 'classroom' THEN 'classroom' WHEN 'blended' THEN 'hybrid'
                           ELSE 'online' END AS mode,
           row_number() OVER (PARTITION BY i.instructor_id ORDER BY x.section_code) - 1 AS slot
    FROM courses.course_section AS x
    JOIN courses.section_instructor AS i
        ON i.business_id = x.business_id AND i.course_section_id = x.course_section_id
       AND i.role = 'lead'
    WHERE x.business_id = %(business_id)s AND x.delivery <> 'self_paced'
      AND x.status NOT IN ('planned', 'cancelled')
) AS s
CROSS JOIN generate_series(1, 12) AS w (week)
CROSS JOIN LATERAL (
    -- Monday of the week, then day and hour of the slot: 19:00, 17:00, 15:00 ... down to 7:00.
    SELECT (date_trunc('week', s.starts_on::timestamp) AT TIME ZONE 'UTC')
           + (7 * w.week - 7 + s.slot %% 5) * interval '1 day'
           + (19 - s.slot / 5 %% 7 * 2) * interval '1 hour' AS moment
) AS t
CROSS JOIN LATERAL (
    SELECT CASE WHEN t.moment + interval '90 minutes' > %(as_of)s::timestamptz THEN 'scheduled'
                WHEN (w.week * 5 + s.slot) %% 37 = 11 THEN 'cancelled' ELSE 'ended' END AS status
) AS k
WHERE s.slot < 35;

-- Who had a seat at the time was there four times out of five; the others watched or were missing.
INSERT INTO courses.meeting_attendance
    (business_id, meeting_attendance_id, class_meeting_id, enrollment_id, status, joined_at,
     left_at, minutes_present, join_count, chat_messages, hand_raises, poll_answers,
     camera_on_pct, marked_by, excuse_note)
SELECT m.business_id, md5('there ' || m.class_meeting_id || e.enrollment_id)::uuid,
       m.class_meeting_id, e.enrollment_id, k.status, t.joined_at, t.left_at,
       CASE WHEN t.joined_at IS NULL THEN CASE k.status WHEN 'watched_recording' THEN 60 ELSE 0 END
            ELSE floor(extract(epoch FROM t.left_at - t.joined_at) / 60)::integer END,
       CASE WHEN t.joined_at IS NULL THEN 0 ELSE 1 + (h.odd %% 9 = 0)::integer END,
       CASE WHEN t.joined_at IS NULL OR m.mode = 'classroom' THEN 0 ELSE h.odd %% 5 END,
       CASE WHEN t.joined_at IS NULL THEN 0 ELSE (h.odd %% 6 = 0)::integer END,
       CASE WHEN t.joined_at IS NULL OR m.mode = 'classroom' THEN 0 ELSE h.odd %% 4 END,
       CASE WHEN t.joined_at IS NOT NULL AND m.mode <> 'classroom' THEN h.odd * 7 %% 101 END,
       CASE WHEN m.mode = 'classroom' THEN CASE WHEN h.odd %% 3 = 0 THEN 'qr_code'
                                                ELSE 'instructor' END
            WHEN k.status = 'excused' THEN 'instructor' ELSE 'provider' END,
       CASE k.status WHEN 'excused' THEN 'Ill' END
FROM courses.class_meeting AS m
JOIN courses.enrollment AS e
    ON e.business_id = m.business_id AND e.course_section_id = m.course_section_id
   AND e.started_at IS NOT NULL AND e.enrolled_at <= m.starts_at
   AND (e.withdrawn_at IS NULL OR e.withdrawn_at > m.starts_at)
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5(m.class_meeting_id::text || e.enrollment_id), 1, 7))::bit(28)::integer
               AS odd
) AS h
CROSS JOIN LATERAL (
    -- Before a withdrawal one comes less and less.
    SELECT CASE WHEN e.withdrawn_at < m.starts_at + interval '14 days' AND h.odd %% 10 < 6
                THEN 'absent'
                WHEN h.odd %% 100 < 68 THEN 'present' WHEN h.odd %% 100 < 77 THEN 'late'
                WHEN h.odd %% 100 < 82 THEN 'left_early' WHEN h.odd %% 100 < 86 THEN 'excused'
                WHEN h.odd %% 100 < 92 AND m.recording_state IN ('available', 'expired')
                THEN 'watched_recording' ELSE 'absent' END AS status
) AS k
CROSS JOIN LATERAL (
    SELECT CASE WHEN k.status IN ('present', 'left_early')
                THEN m.starts_at + (h.odd %% 4) * interval '1 minute'
                WHEN k.status = 'late' THEN m.starts_at + (10 + h.odd %% 15) * interval '1 minute'
                END AS joined_at,
           CASE WHEN k.status IN ('present', 'late') THEN m.ends_at
                WHEN k.status = 'left_early'
                THEN m.ends_at - (20 + h.odd %% 30) * interval '1 minute'
                END AS left_at
) AS t
WHERE m.business_id = %(business_id)s AND m.status = 'ended';

-- One in three of those who came through a quarter says what it was like.
INSERT INTO courses.course_review
    (business_id, course_review_id, course_id, enrollment_id, moderated_by, rating, title, body,
     content_rating, instructor_rating, difficulty_rating, submitted_at, status, helpful_count,
     reply_text, replied_at, moderated_at)
SELECT e.business_id, md5('says ' || e.enrollment_id)::uuid, s.course_id, e.enrollment_id,
       CASE WHEN k.status IN ('published', 'hidden') THEN a.user_account_id END, k.rating,
       split_part('Not for me|Disappointing|It was all right|Good course|Excellent', '|', k.rating),
       split_part('I could not follow and nobody helped.|Too slow, and the exercises were broken.|'
                  'Solid content, but I missed more practice.|Clear lessons and useful exercises.|'
                  'The best course I have taken; I use it every day.', '|', k.rating),
       least(5, greatest(1, k.rating + h.odd %% 2)),
       least(5, greatest(1, k.rating + h.odd %% 3 - 1)),
       CASE c.level WHEN 'beginner' THEN 2 WHEN 'intermediate' THEN 3 ELSE 4 END + h.odd %% 2,
       t.moment, k.status, h.odd / 7 %% 12 * (k.status = 'published')::integer,
       CASE WHEN h.odd %% 6 = 1 AND k.status = 'published'
            THEN 'Thank you. We read every review with the teachers.' END,
       CASE WHEN h.odd %% 6 = 1 AND k.status = 'published' THEN t.moment + interval '20 hours' END,
       CASE WHEN k.status IN ('published', 'hidden') THEN t.moment + interval '5 hours' END
FROM courses.enrollment AS e
JOIN courses.course_section AS s
    ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
JOIN courses.course AS c ON c.business_id = s.business_id AND c.course_id = s.course_id
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5('r' || e.enrollment_id::text), 1, 7))::bit(28)::integer AS odd
) AS h
CROSS JOIN LATERAL (
    SELECT least(coalesce(e.completed_at, e.withdrawn_at, e.started_at + interval '18 days')
                 + (h.odd %% 50) * interval '1 hour', %(as_of)s::timestamptz - interval '2 days')
               AS moment
) AS t
CROSS JOIN LATERAL (
    SELECT CASE WHEN e.status IN ('withdrawn', 'failed') THEN 1 + h.odd %% 3
                WHEN h.odd %% 20 < 9 THEN 5 WHEN h.odd %% 20 < 15 THEN 4
                WHEN h.odd %% 20 < 18 THEN 3 ELSE 2 END AS rating,
           CASE WHEN h.odd %% 23 = 4 THEN 'pending' WHEN h.odd %% 41 = 7 THEN 'flagged'
                WHEN h.odd %% 37 = 9 THEN 'hidden' ELSE 'published' END AS status
) AS k
CROSS JOIN (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.account_kind = 'staff' AND x.status = 'active'
    ORDER BY x.username DESC
    LIMIT 1
) AS a
WHERE e.business_id = %(business_id)s AND e.started_at IS NOT NULL AND e.progress_pct >= 25
  AND h.odd / 11 %% 3 = 0;
