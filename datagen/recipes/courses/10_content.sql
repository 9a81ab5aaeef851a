SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Six chapters from a welcome to the final assessment, the fifth not in every course; a draft has
-- its first two. Where a class goes through the course together, chapters open one by one.
INSERT INTO courses.course_module
    (business_id, course_module_id, course_id, title, sort_order, summary, is_published,
     unlock_after_days, requirement, minimum_score_pct, is_optional, content_hash)
SELECT c.business_id, md5('module ' || t.no || c.course_id)::uuid, c.course_id, n.title, t.no,
       t.summary, c.status IN ('published', 'archived'),
       CASE WHEN c.delivery IN ('cohort', 'instructor_led') THEN 2 * (t.no - 1) ELSE 0 END,
       t.requirement, CASE t.requirement WHEN 'minimum_score' THEN 50 END,
       t.requirement = 'one_item', sha256(convert_to(n.title, 'UTF8'))
FROM courses.course AS c
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(c.course_id::text, 0) %% 1000) AS place
) AS h
LEFT JOIN (
    SELECT DISTINCT ON (x.course_id) x.course_id,
           regexp_replace(o.statement, '^(Explain|Use|Compare ways of handling|'
                          'Plan and carry out work with) ', '') AS topic
    FROM courses.course_outcome AS x
    JOIN courses.learning_outcome AS o
        ON o.business_id = x.business_id AND o.learning_outcome_id = x.learning_outcome_id
    WHERE x.business_id = %(business_id)s
    ORDER BY x.course_id, x.coverage <> 'assessed', x.sort_order, o.code
) AS o ON o.course_id = c.course_id
CROSS JOIN (VALUES
    (1, 'Start here', 'How the course works, and who is in it.', 'all_items'),
    (2, '@: the ideas', 'What it is, what it is called, and a first example.', 'all_items'),
    (3, '@ in practice', 'Step by step, with the mistakes that everybody makes once.',
     'all_items'),
    (4, 'Choosing a way', 'Two ways to do it, and when to take which.', 'minimum_score'),
    (5, 'Going further', 'For those who want to know more.', 'one_item'),
    (6, 'Review and final assessment', 'What to look at again, and the test.', 'all_items'))
    AS t (no, title, summary, requirement)
CROSS JOIN LATERAL (
    SELECT replace(t.title, '@', upper(left(coalesce(o.topic, c.title), 1))
                                 || substr(coalesce(o.topic, c.title), 2)) AS title
) AS n
WHERE c.business_id = %(business_id)s
  AND t.no <= CASE WHEN c.status IN ('published', 'archived') THEN 6 ELSE 2 END
  AND (t.no <> 5 OR h.place %% 3 > 0);

-- In one course of four the third chapter has a part of its own.
INSERT INTO courses.course_module
    (business_id, course_module_id, course_id, parent_module_id, title, sort_order, summary,
     is_published, unlock_after_days, requirement, content_hash)
SELECT m.business_id, md5('module 7' || m.course_id)::uuid, m.course_id, m.course_module_id,
       'A longer example', 1, 'One case from the question to the report.', m.is_published,
       m.unlock_after_days, 'all_items', sha256('A longer example')
FROM courses.course_module AS m
WHERE m.business_id = %(business_id)s AND m.sort_order = 3 AND m.parent_module_id IS NULL
  AND abs(hashtextextended(m.course_id::text, 1) %% 1000) %% 4 = 0;

INSERT INTO courses.lesson
    (business_id, lesson_id, course_module_id, title, lesson_kind, sort_order, estimated_minutes,
     is_preview, is_published, completion_rule, minimum_seconds, minimum_watch_pct,
     points_possible, slug)
SELECT m.business_id, md5('lesson ' || t.module || '.' || t.no || m.course_id)::uuid,
       m.course_module_id, n.title, n.kind, t.no, t.minutes + h.place %% 4,
       t.module = 1 AND t.no < 3, m.is_published,
       CASE WHEN n.kind = 'scorm' THEN 'passed' ELSE t.rule END,
       CASE t.rule WHEN 'minimum_time' THEN 120 END,
       CASE t.rule WHEN 'minimum_watch' THEN CASE WHEN t.module = 1 THEN 50 ELSE 80 END END,
       t.points,
       t.no || '-' || btrim(lower(regexp_replace(n.title, '[^A-Za-z0-9]+', '-', 'g')), '-')
FROM courses.course_module AS m
JOIN courses.course AS c ON c.business_id = m.business_id AND c.course_id = m.course_id
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(m.course_id::text, 2) %% 1000) AS place
) AS h
-- The exercise takes turns over the courses, those that most completed first: every kind is used.
JOIN (
    SELECT k.course_id, row_number() OVER (
               ORDER BY count(e.enrollment_id) DESC, k.course_id) - 1 AS turn
    FROM courses.course AS k
    LEFT JOIN courses.course_section AS x
        ON x.business_id = k.business_id AND x.course_id = k.course_id
    LEFT JOIN courses.enrollment AS e
        ON e.business_id = x.business_id AND e.course_section_id = x.course_section_id
       AND e.status = 'completed'
    WHERE k.business_id = %(business_id)s
    GROUP BY k.course_id
) AS r ON r.course_id = m.course_id
CROSS JOIN (VALUES
    (1, 1, 'video', 'Welcome to the course', 5, 'minimum_watch', 0),
    (1, 2, 'page', 'How this course works', 6, 'viewed', 0),
    (1, 3, 'discussion', 'Introduce yourself', 10, 'submitted', 0),
    (2, 1, 'video', 'What it is', 11, 'minimum_watch', 0),
    (2, 2, 'reading', 'Terms you will meet', 15, 'scrolled', 0),
    (2, 3, 'page', 'A first example, step by step', 14, 'minimum_time', 0),
    (2, 4, 'assessment', 'Practice questions', 12, 'submitted', 0),
    (3, 1, 'video', 'Watch it being done', 17, 'minimum_watch', 0),
    (3, 2, 'page', 'Common mistakes', 12, 'scrolled', 0),
    (3, 3, 'lab', 'Try it yourself', 40, 'submitted', 10),
    (3, 4, 'audio', 'Interview with a practitioner', 14, 'minimum_watch', 0),
    (3, 5, 'assessment', 'Check your understanding', 15, 'submitted', 10),
    (4, 1, 'video', 'Two ways to do it', 13, 'minimum_watch', 0),
    (4, 2, 'reading', 'Which way when', 20, 'scrolled', 0),
    (4, 3, 'assignment', 'Decide and explain', 60, 'submitted', 20),
    (4, 4, 'assessment', 'Quiz: choosing a way', 20, 'submitted', 20),
    (5, 1, 'video', 'Where the field is going', 9, 'minimum_watch', 0),
    (5, 2, 'reading', 'Further reading', 30, 'viewed', 0),
    (6, 1, 'page', 'What to review', 10, 'viewed', 0),
    (6, 2, 'live', 'Questions and answers', 60, 'viewed', 0),
    (6, 3, 'assessment', 'Final assessment', 60, 'passed', 100),
    (7, 1, 'video', 'The case', 12, 'minimum_watch', 0),
    (7, 2, 'page', 'From the question to the report', 18, 'scrolled', 0))
    AS t (module, no, kind, title, minutes, rule, points)
CROSS JOIN LATERAL (
    SELECT CASE WHEN t.kind = 'lab' THEN split_part('scorm,external_tool,lab', ',',
                                                    (1 + r.turn %% 3)::integer)
                ELSE t.kind END AS kind,
           CASE WHEN t.kind = 'lab' THEN split_part('Interactive exercise|Exercise in the tool|'
                                                    'Try it yourself', '|',
                                                    (1 + r.turn %% 3)::integer)
                ELSE t.title END AS title
) AS n
WHERE m.business_id = %(business_id)s
  AND m.course_module_id = md5('module ' || t.module || m.course_id)::uuid;

UPDATE courses.course_module AS m
SET estimated_minutes = n.minutes
FROM (
    SELECT x.course_module_id, sum(x.estimated_minutes) AS minutes
    FROM courses.lesson AS x
    WHERE x.business_id = %(business_id)s
    GROUP BY x.course_module_id
) AS n
WHERE m.business_id = %(business_id)s AND m.course_module_id = n.course_module_id;

-- The files of the lessons: films, sound, handouts, slides, pictures.
INSERT INTO system_core.file_object
    (business_id, file_object_id, storage_location_id, uploaded_by, file_name, media_type,
     size_bytes, sha256, storage_key, classification, scan_status, uploaded_at)
SELECT l.business_id, md5(f.part || ' of ' || l.lesson_id)::uuid, s.storage_location_id,
       c.owner_user_account_id, l.slug || f.ending, f.media_type,
       f.bytes + abs(hashtextextended(l.lesson_id::text, 3) %% 9973) * f.bytes / 9973,
       sha256(convert_to(f.part || l.lesson_id, 'UTF8')),
       'courses/' || l.lesson_id || '/' || f.part, 'internal', 'clean',
       least(coalesce(c.published_at, %(as_of)s::timestamptz - interval '40 days'),
             %(as_of)s::timestamptz) - interval '90 days'
FROM courses.lesson AS l
JOIN courses.course_module AS m
    ON m.business_id = l.business_id AND m.course_module_id = l.course_module_id
JOIN courses.course AS c ON c.business_id = m.business_id AND c.course_id = m.course_id
CROSS JOIN (
    SELECT x.storage_location_id
    FROM system_core.storage_location AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.is_default DESC, x.name
    LIMIT 1
) AS s
JOIN (VALUES
    ('video', 'source', '.mp4', 'video/mp4', 48000000),
    ('video', 'stream', '.m3u8', 'application/vnd.apple.mpegurl', 9000),
    ('video', 'captions', '.vtt', 'text/vtt', 14000),
    ('video', 'slides', '.pdf', 'application/pdf', 900000),
    ('audio', 'source', '.m4a', 'audio/mp4', 11000000),
    ('audio', 'captions', '.vtt', 'text/vtt', 16000),
    ('reading', 'source', '.pdf', 'application/pdf', 420000),
    ('page', 'picture', '.png', 'image/png', 180000),
    ('scorm', 'source', '.zip', 'application/zip', 6200000),
    ('lab', 'source', '.zip', 'application/zip', 350000))
    AS f (kind, part, ending, media_type, bytes) ON f.kind = l.lesson_kind
WHERE l.business_id = %(business_id)s;

INSERT INTO system_core.file_version
    (business_id, file_version_id, file_object_id, version_no, uploaded_by, size_bytes, sha256,
     storage_key, is_current, uploaded_at)
SELECT f.business_id, md5('first version ' || f.file_object_id)::uuid, f.file_object_id, 1,
       f.uploaded_by, f.size_bytes, f.sha256, f.storage_key, true, f.uploaded_at
FROM system_core.file_object AS f
WHERE f.business_id = %(business_id)s AND f.storage_key LIKE 'courses/%%';

-- What is on a lesson: its film, text or handout, and what goes with it.
INSERT INTO courses.content_item
    (business_id, content_item_id, lesson_id, author_user_account_id, file_object_id, content_kind,
     title, sort_order, license, language_code, reading_level, duration_seconds, status,
     source_url)
SELECT l.business_id, md5('item ' || t.no || l.lesson_id)::uuid, l.lesson_id,
       c.owner_user_account_id, md5(t.file || ' of ' || l.lesson_id)::uuid, t.content_kind,
       CASE WHEN t.no = 0 THEN l.title ELSE t.title || l.title END, t.no,
       CASE WHEN t.content_kind IN ('link', 'embed') THEN 'cc_by'
            WHEN t.content_kind = 'image' THEN split_part('cc_by,public_domain,purchased', ',',
                                                          (1 + h.place %% 3)::integer)
            ELSE 'all_rights_reserved' END,
       CASE WHEN c.language_code ~ '^[a-z]{2}$' THEN c.language_code ELSE 'en' END,
       CASE WHEN t.content_kind IN ('html', 'pdf')
            THEN CASE c.level WHEN 'beginner' THEN 'B1' WHEN 'intermediate' THEN 'B2'
                              ELSE 'C1' END END,
       CASE WHEN t.content_kind IN ('video', 'audio')
            THEN l.estimated_minutes * 60 - h.place %% 50 END,
       CASE WHEN l.is_published THEN 'published' ELSE 'draft' END,
       CASE WHEN t.content_kind IN ('link', 'embed')
            THEN 'https://library.example.org/' || l.slug || '/' || h.place END
FROM courses.lesson AS l
JOIN courses.course_module AS m
    ON m.business_id = l.business_id AND m.course_module_id = l.course_module_id
JOIN courses.course AS c ON c.business_id = m.business_id AND c.course_id = m.course_id
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(l.lesson_id::text, 4) %% 1000) AS place
) AS h
JOIN (VALUES
    ('video', 0, 'video', 'source', ''),
    ('video', 1, 'html', NULL, 'Summary: '),
    ('video', 2, 'slides', 'slides', 'Slides: '),
    ('page', 0, 'html', NULL, ''),
    ('page', 1, 'image', 'picture', 'Diagram: '),
    ('reading', 0, 'pdf', 'source', ''),
    ('reading', 1, 'link', NULL, 'Source: '),
    ('audio', 0, 'audio', 'source', ''),
    ('discussion', 0, 'html', NULL, ''),
    ('assignment', 0, 'html', NULL, ''),
    ('assessment', 0, 'html', NULL, 'Before you start: '),
    ('live', 0, 'html', NULL, 'How to join: '),
    ('lab', 0, 'code', NULL, ''),
    ('lab', 1, 'download', 'source', 'Files: '),
    ('external_tool', 0, 'embed', NULL, ''))
    AS t (kind, no, content_kind, file, title) ON t.kind = l.lesson_kind
WHERE l.business_id = %(business_id)s
  AND (t.content_kind NOT IN ('slides', 'image', 'link') OR h.place %% 2 = 0);

-- One to three versions of each, approved by somebody else; one item in twelve has one more that
-- is still with its editor or its reviewer.
INSERT INTO courses.content_version
    (business_id, content_version_id, content_item_id, edited_by, approved_by, version_no, body,
     change_summary, content_hash, edited_at, review_state, approved_at, published_at, is_current)
SELECT i.business_id, md5('version ' || v.no || i.content_item_id)::uuid, i.content_item_id,
       i.author_user_account_id, CASE WHEN s.state = 'approved' THEN r.user_account_id END, v.no,
       CASE WHEN i.content_kind = 'code'
            THEN '# ' || i.title || E'\n# Fill in the steps marked ...\n'
                 || repeat(E'# step\n...\n', v.no)
            WHEN i.content_kind IN ('html', 'pdf')
            THEN '<h2>' || i.title || '</h2><p>'
                 || split_part('Read it once from start to end before you take notes.|'
                               'Try the example with your own numbers.|'
                               'Write down what surprised you; we come back to it.', '|',
                               (1 + h.place %% 3)::integer)
                 || '</p>' || CASE WHEN v.no > 1 THEN '<p>'
                 || split_part('The second step is now shown in detail.|'
                               'The wording follows what learners asked.', '|', v.no - 1)
                 || '</p>' ELSE '' END
            ELSE i.title END,
       split_part('First version|The second step in detail|Wording after questions of learners|'
                  'Links checked', '|', v.no),
       '\x0000000000000000000000000000000000000000000000000000000000000000', b.moment, s.state,
       CASE WHEN s.state = 'approved' THEN b.moment + interval '2 days' END,
       CASE WHEN s.state = 'approved' THEN b.moment + interval '3 days' END,
       s.state = 'approved' AND v.no = n.approved
FROM courses.content_item AS i
JOIN courses.lesson AS l ON l.business_id = i.business_id AND l.lesson_id = i.lesson_id
JOIN courses.course_module AS m
    ON m.business_id = l.business_id AND m.course_module_id = l.course_module_id
JOIN courses.course AS c ON c.business_id = m.business_id AND c.course_id = m.course_id
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(i.content_item_id::text, 5) %% 1000) AS place
) AS h
CROSS JOIN LATERAL (
    SELECT CASE WHEN i.status = 'published' THEN (1 + h.place %% 3)::integer ELSE 0 END
               AS approved
) AS n
CROSS JOIN generate_series(1, 4) AS v (no)
CROSS JOIN LATERAL (
    SELECT CASE WHEN v.no <= n.approved THEN 'approved'
                ELSE split_part('draft,submitted,rejected', ',', (1 + h.place %% 3)::integer) END
               AS state
) AS s
CROSS JOIN LATERAL (
    SELECT CASE WHEN v.no <= n.approved
                THEN least(coalesce(c.published_at, %(as_of)s::timestamptz),
                           %(as_of)s::timestamptz)
                     + (v.no * 40 - 70) * interval '1 day' + h.place * interval '1 minute'
                ELSE %(as_of)s::timestamptz - (3 + h.place %% 9) * interval '1 day' END AS at
) AS w
CROSS JOIN LATERAL (
    SELECT least(w.at, %(as_of)s::timestamptz - (5 - v.no) * interval '4 days') AS moment
) AS b
CROSS JOIN LATERAL (
    SELECT u.user_account_id
    FROM user_mgmt.user_account AS u
    WHERE u.business_id = i.business_id AND u.account_kind = 'staff'
      AND u.user_account_id <> i.author_user_account_id
    ORDER BY md5(c.course_id::text || u.username)
    LIMIT 1
) AS r
WHERE i.business_id = %(business_id)s
  AND (v.no <= n.approved
       OR (v.no = n.approved + 1 AND (n.approved = 0 OR h.place %% 12 = 0)));

-- Films are streamed in three heights; sound in one form. One in forty could not be encoded.
INSERT INTO courses.media_rendition
    (business_id, media_rendition_id, content_item_id, file_object_id, rendition_kind, width,
     height, bitrate_kbps, codec, duration_seconds, size_bytes, encode_state, encoded_at, drm,
     error_detail)
SELECT i.business_id,
       md5('rendition ' || t.kind || coalesce(t.height, 0) || i.content_item_id)::uuid,
       i.content_item_id,
       CASE WHEN i.content_kind = 'video' THEN md5('stream of ' || i.lesson_id)::uuid
            ELSE i.file_object_id END,
       t.kind, t.width, t.height, t.kbps, t.codec,
       CASE WHEN e.is_bad THEN NULL ELSE i.duration_seconds END,
       CASE WHEN NOT e.is_bad THEN i.duration_seconds::bigint * t.kbps * 125 END,
       CASE WHEN e.is_bad THEN 'failed' ELSE 'ready' END,
       CASE WHEN NOT e.is_bad THEN f.uploaded_at + interval '20 minutes' END, 'none',
       CASE WHEN e.is_bad THEN 'moov atom not found' END
FROM courses.content_item AS i
JOIN system_core.file_object AS f
    ON f.business_id = i.business_id AND f.file_object_id = i.file_object_id
JOIN (VALUES
    ('video', 'hls', 1920, 1080, 4500, 'h264'),
    ('video', 'hls', 1280, 720, 2500, 'h264'),
    ('video', 'hls', 854, 480, 1100, 'h264'),
    ('video', 'thumbnail', 640, 360, 1, 'jpeg'),
    ('audio', 'audio_only', NULL, NULL, 96, 'aac'))
    AS t (content_kind, kind, width, height, kbps, codec) ON t.content_kind = i.content_kind
CROSS JOIN LATERAL (
    SELECT t.height = 1080
           AND abs(hashtextextended(i.content_item_id::text, 6) %% 1000) %% 40 = 0 AS bad
) AS b
CROSS JOIN LATERAL (SELECT coalesce(b.bad, false) AS is_bad) AS e
WHERE i.business_id = %(business_id)s;

-- Captions: three in ten by people, half by a machine and corrected, the rest as recognized.
INSERT INTO courses.caption_track
    (business_id, caption_track_id, content_item_id, file_object_id, track_kind, language_code,
     origin, accuracy_pct, is_default, word_count, status, reviewed_at)
SELECT i.business_id, md5('track ' || t.kind || t.language || i.content_item_id)::uuid,
       i.content_item_id, md5('captions of ' || i.lesson_id)::uuid, t.kind,
       CASE t.language WHEN 'own' THEN i.language_code ELSE 'es-MX' END, o.origin,
       CASE o.origin WHEN 'human' THEN 99.6 WHEN 'machine_edited' THEN 99.1
                     ELSE 91 + h.place %% 85 * 0.1 END,
       t.language = 'own', i.duration_seconds * 23 / 10,
       CASE WHEN h.place %% 29 = 0 THEN 'outdated' ELSE 'published' END,
       CASE WHEN o.origin <> 'machine' THEN f.uploaded_at + interval '6 days' END
FROM courses.content_item AS i
JOIN system_core.file_object AS f
    ON f.business_id = i.business_id AND f.file_object_id = i.file_object_id
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(i.content_item_id::text, 7) %% 1000) AS place
) AS h
JOIN (VALUES
    ('video', 'captions', 'own', 1),
    ('video', 'transcript', 'own', 2),
    ('video', 'subtitles', 'other', 3),
    ('audio', 'transcript', 'own', 1)) AS t (content_kind, kind, language, every)
    ON t.content_kind = i.content_kind AND h.place %% t.every = 0
CROSS JOIN LATERAL (
    SELECT CASE WHEN h.place %% 10 < 3 THEN 'human' WHEN h.place %% 10 < 8 THEN 'machine_edited'
                ELSE 'machine' END AS origin
) AS o
WHERE i.business_id = %(business_id)s;

-- The last chapter opens after the quiz before it, its test for those who did half of it right;
-- teachers open the live lesson by hand.
INSERT INTO courses.release_rule
    (business_id, release_rule_id, course_module_id, lesson_id, after_lesson_id, rule_kind,
     available_from, minimum_score_pct, shows_locked, message)
SELECT c.business_id, md5(r.kind || ' opens ' || c.course_id)::uuid,
       CASE r.kind WHEN 'after_item' THEN md5('module 6' || c.course_id)::uuid END,
       CASE r.kind WHEN 'minimum_score' THEN md5('lesson 6.3' || c.course_id)::uuid
                   WHEN 'manual' THEN md5('lesson 6.2' || c.course_id)::uuid END,
       CASE WHEN r.kind <> 'manual' THEN md5('lesson 4.4' || c.course_id)::uuid END, r.kind,
       CASE r.kind WHEN 'manual' THEN coalesce(c.published_at, c.created_at) - interval '1 day' END,
       CASE r.kind WHEN 'minimum_score' THEN 50 END, r.kind <> 'manual', r.message
FROM courses.course AS c
CROSS JOIN (VALUES
    ('after_item', 'Opens after the quiz of the fourth chapter.'),
    ('minimum_score', 'Half of the quiz of the fourth chapter is needed.'),
    ('manual', NULL)) AS r (kind, message)
WHERE c.business_id = %(business_id)s AND c.status IN ('published', 'archived');

-- One item in nine has something to repair; six in ten were.
INSERT INTO courses.accessibility_issue
    (business_id, accessibility_issue_id, content_item_id, fixed_by, criterion_code, wcag_level,
     issue_kind, severity, found_at, found_by, location, status, fixed_at, waiver_reason)
SELECT i.business_id, md5('barrier ' || i.content_item_id)::uuid, i.content_item_id,
       CASE WHEN s.status = 'fixed' THEN i.author_user_account_id END, t.criterion, t.level, t.kind,
       t.severity, d.found_at,
       split_part('scanner,scanner,scanner,author,learner_report', ',',
                  (1 + h.place %% 5)::integer),
       t.location, s.status,
       CASE WHEN s.status = 'fixed' THEN d.found_at + (1 + h.place %% 16) * interval '1 day' END,
       CASE WHEN s.status = 'waived' THEN 'Decorative: described in the text beside it' END
FROM courses.content_item AS i
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(i.content_item_id::text, 8) %% 1000) AS place
) AS h
JOIN (VALUES
    ('image', '1.1.1', 'a', 'missing_alt', 'serious', 'img[1]'),
    ('video', '1.2.2', 'a', 'missing_captions', 'critical', 'track'),
    ('pdf', '1.3.1', 'a', 'untagged_pdf', 'serious', 'document'),
    ('slides', '1.4.3', 'aa', 'low_contrast', 'moderate', 'page 4'),
    ('html', '2.4.4', 'a', 'link_text', 'minor', 'a[1]'),
    ('embed', '2.1.2', 'a', 'keyboard_trap', 'critical', 'iframe'))
    AS t (content_kind, criterion, level, kind, severity, location)
    ON t.content_kind = i.content_kind
CROSS JOIN LATERAL (
    SELECT split_part('fixed,open,fixed,fixed,open,fixed,fixed,waived,fixed,false_positive', ',',
                      (1 + h.place / 9 %% 10)::integer) AS status,
           %(as_of)s::timestamptz - (20 + h.place %% 300) * interval '1 day' AS found_at
) AS b
CROSS JOIN LATERAL (SELECT b.status) AS s
CROSS JOIN LATERAL (SELECT b.found_at) AS d
WHERE i.business_id = %(business_id)s AND h.place %% 9 = 0;
