SELECT tenant_mgmt.set_tenant(%(business_id)s);
SET LOCAL enable_nestloop = off;

-- Interactive exercises are packages of one or two SCOs; the first upload of some was broken.
INSERT INTO courses.scorm_package
    (business_id, scorm_package_id, lesson_id, file_object_id, standard, identifier, title,
     entry_point, manifest, mastery_score, max_attempts, attempt_grading, imported_at,
     validation_state, package_sha256)
SELECT l.business_id, md5('package ' || u.no || l.lesson_id)::uuid, l.lesson_id, f.file_object_id,
       CASE WHEN h.place %% 3 = 0 THEN 'scorm_12' ELSE 'scorm_2004' END,
       'com.example.' || replace(l.slug, '-', '.') || '.' || h.place, l.title,
       CASE u.no WHEN 1 THEN 'index_lms.html' END,
       jsonb_build_object('organizations', jsonb_build_array(jsonb_build_object(
           'identifier', 'org-1', 'title', l.title, 'items',
           jsonb_build_array(
               jsonb_build_object('identifier', 'sco-1', 'title', 'Exercise',
                                  'resource', 'res-1'))
           || CASE WHEN h.place %% 2 = 0
                   THEN jsonb_build_array(jsonb_build_object(
                       'identifier', 'sco-2', 'title', 'Self-check', 'resource', 'res-2'))
                   ELSE '[]' END))),
       70, NULL, 'highest', f.uploaded_at + u.no * interval '1 hour',
       CASE WHEN u.no = 0 THEN 'invalid' WHEN h.place %% 7 = 0 THEN 'warnings' ELSE 'valid' END,
       sha256(convert_to(u.no || l.lesson_id::text, 'UTF8'))
FROM courses.lesson AS l
JOIN system_core.file_object AS f
    ON f.business_id = l.business_id AND f.file_object_id = md5('source of ' || l.lesson_id)::uuid
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(l.lesson_id::text, 0) %% 1000) AS place
) AS h
CROSS JOIN generate_series(0, 1) AS u (no)
WHERE l.business_id = %(business_id)s AND l.lesson_kind = 'scorm'
  AND (u.no = 1 OR h.place %% 6 = 0);

INSERT INTO courses.lti_tool
    (business_id, lti_tool_id, name, client_identifier, deployment_code, issuer, login_url,
     jwks_url, target_url, placements, privacy_level, services, status, key_rotated_at)
SELECT b.business_id, md5('tool ' || t.name || b.business_id)::uuid, t.name,
       left(md5('client ' || t.name || b.business_id), 20), 'dep-' || t.no,
       'https://' || t.host, 'https://' || t.host || '/lti/login',
       'https://' || t.host || '/lti/keys', 'https://' || t.host || '/lti/launch', t.placements,
       t.privacy, t.services, t.status, %(as_of)s::timestamptz - t.no * interval '37 days'
FROM tenant_mgmt.business AS b
CROSS JOIN (VALUES
    (1, 'Notebook Lab', 'lab.notebooks.example', ARRAY['lesson', 'assignment'], 'anonymous',
     ARRAY['scores', 'line_items', 'results'], 'active'),
    (2, 'Sandbox Terminal', 'terminal.sandbox.example', ARRAY['lesson'], 'anonymous',
     ARRAY['scores', 'results'], 'active'),
    (3, 'Whiteboard', 'board.example', ARRAY['course_navigation', 'lesson'], 'name_only',
     ARRAY['deep_linking'], 'active'),
    (4, 'Journal Library', 'journals.example', ARRAY['link_selection', 'editor_button'],
     'email_only', ARRAY['deep_linking'], 'active'),
    (5, 'Peer Video', 'peervideo.example', ARRAY['assignment'], 'public',
     ARRAY['scores', 'names_and_roles'], 'testing'))
    AS t (no, name, host, placements, privacy, services, status)
WHERE b.business_id = %(business_id)s;
