SELECT tenant_mgmt.set_tenant(%(business_id)s);
SET LOCAL enable_nestloop = off;

INSERT INTO courses.certificate_template
    (business_id, certificate_template_id, signatory_user_account_id, name, orientation,
     body_template, merge_fields, language_code, signature_lines, open_badge_profile, version_no,
     status, activated_at)
SELECT b.business_id, md5('template ' || t.name || t.version_no || b.business_id)::uuid,
       (SELECT min(c.owner_user_account_id::text)::uuid FROM courses.course AS c
        WHERE c.business_id = b.business_id),
       t.name, t.orientation, t.body, t.fields::jsonb, 'en', 'Head of studies',
       jsonb_build_object('id', 'https://' || b.slug || '.example.com/issuer',
                          'type', jsonb_build_array('Profile'), 'name', b.display_name,
                          'url', 'https://' || b.slug || '.example.com'),
       t.version_no, t.status, %(as_of)s::timestamptz - t.age * interval '1 day'
FROM tenant_mgmt.business AS b
CROSS JOIN (VALUES
    ('Course certificate', 1, 'retired', 'landscape', 900,
     '{learner} took part in {title}.', '["learner", "title"]'),
    ('Course certificate', 2, 'active', 'landscape', 620,
     'This certifies that {learner} completed {title} with grade {grade} in {hours} hours.',
     '["learner", "title", "grade", "hours"]'),
    ('Professional certificate', 1, 'active', 'portrait', 620,
     '{learner} holds {title} until {expires_on}.', '["learner", "title", "expires_on"]')
) AS t (name, version_no, status, orientation, age, body, fields)
WHERE b.business_id = %(business_id)s;

-- The four courses that most complete lead to a certification, each renewed in its own way.
INSERT INTO courses.certification
    (business_id, certification_id, certificate_template_id, owner_user_account_id,
     certification_code, title, authority, level, validity_months, renewal_window_days, grace_days,
     renewal_by, credits_required, external_standard, status, public_url_slug)
SELECT c.business_id, md5('certification ' || c.course_code || c.business_id)::uuid,
       md5('template Professional certificate1' || c.business_id)::uuid, c.owner_user_account_id,
       'CERT-' || c.course_code, 'Certified: ' || c.title, b.display_name, k.level, k.months, 45,
       k.grace, k.renewal_by, k.credits, CASE WHEN k.place = 1 THEN 'ISO/IEC 17024' END, 'active',
       'certified-' || lower(regexp_replace(c.course_code, '[^A-Za-z0-9]+', '-', 'g'))
FROM (
    SELECT DISTINCT ON (x.course_code) x.*, n.done
    FROM courses.course AS x
    JOIN (
        SELECT y.course_code, count(e.enrollment_id) AS done
        FROM courses.course AS y
        LEFT JOIN courses.course_section AS s
            ON s.business_id = y.business_id AND s.course_id = y.course_id
        LEFT JOIN courses.enrollment AS e
            ON e.business_id = s.business_id AND e.course_section_id = s.course_section_id
           AND e.status = 'completed'
        WHERE y.business_id = %(business_id)s
        GROUP BY y.course_code
    ) AS n ON n.course_code = x.course_code
    WHERE x.business_id = %(business_id)s AND x.status = 'published'
    ORDER BY x.course_code, x.version_no DESC
) AS c
JOIN tenant_mgmt.business AS b ON b.business_id = c.business_id
JOIN LATERAL (
    SELECT count(*) + 1 AS place
    FROM (
        SELECT y.course_code, count(e.enrollment_id) AS done
        FROM courses.course AS y
        LEFT JOIN courses.course_section AS s
            ON s.business_id = y.business_id AND s.course_id = y.course_id
        LEFT JOIN courses.enrollment AS e
            ON e.business_id = s.business_id AND e.course_section_id = s.course_section_id
           AND e.status = 'completed'
        WHERE y.business_id = %(business_id)s
          AND EXISTS (SELECT FROM courses.course AS p
                      WHERE p.business_id = y.business_id AND p.course_code = y.course_code
                        AND p.status = 'published')
        GROUP BY y.course_code
    ) AS o
    WHERE (o.done, o.course_code) > (c.done, c.course_code)
) AS r ON r.place <= 4
JOIN (VALUES
    (1, 'professional', 6, 30, 'credits', 4.0), (2, 'associate', 6, 14, 'course', NULL),
    (3, 'foundation', 12, 0, 'exam', NULL), (4, 'expert', NULL, 0, 'fee', NULL)
) AS k (place, level, months, grace, renewal_by, credits) ON k.place = r.place;

INSERT INTO courses.certification_requirement
    (business_id, certification_requirement_id, certification_id, course_id, applies_to,
     requirement_kind, minimum_score_pct, sort_order, description)
SELECT c.business_id, md5('requirement 1' || c.certification_id)::uuid, c.certification_id,
       w.course_id, CASE WHEN c.renewal_by = 'course' THEN 'both' ELSE 'initial' END, 'course', 60,
       1, 'Complete ' || w.title
FROM courses.certification AS c
JOIN courses.course AS w
    ON w.business_id = c.business_id AND 'CERT-' || w.course_code = c.certification_code
   AND w.status = 'published'
WHERE c.business_id = %(business_id)s;

INSERT INTO courses.certification_requirement
    (business_id, certification_requirement_id, certification_id, assessment_id, applies_to,
     requirement_kind, minimum_score_pct, sort_order, description)
SELECT c.business_id, md5('requirement 2' || c.certification_id)::uuid, c.certification_id,
       a.assessment_id, 'renewal', 'assessment', 70, 2, 'Pass the exam again'
FROM courses.certification AS c
JOIN courses.certification_requirement AS r
    ON r.business_id = c.business_id AND r.certification_id = c.certification_id
JOIN LATERAL (
    SELECT x.assessment_id
    FROM courses.assessment AS x
    WHERE x.business_id = r.business_id AND x.course_id = r.course_id
      AND x.assessment_kind IN ('final', 'certification_exam')
    ORDER BY x.title, x.assessment_id
    LIMIT 1
) AS a ON true
WHERE c.business_id = %(business_id)s AND c.renewal_by = 'exam';

-- Awarded when the course is completed; then time goes by. One in three renews in time, of those
-- by credits; one in fifty loses it.
INSERT INTO courses.certification_attainment
    (business_id, certification_attainment_id, certification_id, learner_id, decided_by, cycle_no,
     state, started_on, awarded_on, renewed_on, progress_pct, requirement_state,
     revocation_reason, reminders_sent)
WITH done AS (
    SELECT DISTINCT ON (c.certification_id, e.learner_id)
           c.business_id, c.certification_id, c.validity_months, c.renewal_window_days,
           c.grace_days, c.renewal_by, c.owner_user_account_id, r.certification_requirement_id,
           e.learner_id, e.enrollment_number, e.started_at::date AS began,
           e.completed_at::date AS awarded_on,
           (e.completed_at::date + make_interval(months => c.validity_months))::date AS ends_on,
           abs(hashtextextended(c.certification_id::text || e.learner_id, 50) %% 100000) AS odd
    FROM courses.certification AS c
    JOIN courses.certification_requirement AS r
        ON r.business_id = c.business_id AND r.certification_id = c.certification_id
       AND r.requirement_kind = 'course'
    JOIN courses.course AS w ON w.business_id = r.business_id AND w.course_id = r.course_id
    JOIN courses.course AS v
        ON v.business_id = w.business_id AND v.course_code = w.course_code
    JOIN courses.course_section AS s
        ON s.business_id = v.business_id AND s.course_id = v.course_id
    JOIN courses.enrollment AS e
        ON e.business_id = s.business_id AND e.course_section_id = s.course_section_id
       AND e.status = 'completed' AND e.final_grade_pct >= 60
       AND e.completed_at < %(as_of)s::timestamptz
    WHERE c.business_id = %(business_id)s
    ORDER BY c.certification_id, e.learner_id, e.completed_at, e.enrollment_id
), stood AS (
    SELECT d.*, d.ends_on - 12 AS renewed_on,
           CASE WHEN d.odd %% 50 = 7 THEN 'revoked'
                WHEN d.ends_on - 12 < %(as_of)s::date AND d.renewal_by = 'credits'
                     AND d.odd %% 3 = 0 THEN 'renewed'
                WHEN d.ends_on + d.grace_days < %(as_of)s::date THEN 'expired'
                WHEN d.ends_on < %(as_of)s::date THEN 'in_grace'
                WHEN d.ends_on - d.renewal_window_days <= %(as_of)s::date THEN 'expiring'
                ELSE 'awarded' END AS state
    FROM done AS d
)
SELECT s.business_id, md5('attainment 1' || s.certification_id || s.learner_id)::uuid,
       s.certification_id, s.learner_id, CASE WHEN s.state = 'revoked'
                                              THEN s.owner_user_account_id END,
       1, s.state, s.began, s.awarded_on, CASE WHEN s.state = 'renewed' THEN s.renewed_on END,
       CASE WHEN s.state IN ('expiring', 'in_grace', 'expired') THEN 0 ELSE 100 END,
       jsonb_build_array(jsonb_build_object(
           'requirement', s.certification_requirement_id, 'met', true,
           'evidence', s.enrollment_number)),
       CASE WHEN s.state = 'revoked' THEN 'Somebody else sat the exam.' END,
       CASE s.state WHEN 'expiring' THEN 1 WHEN 'in_grace' THEN 2 WHEN 'expired' THEN 3 ELSE 0 END
FROM stood AS s
UNION ALL
SELECT s.business_id, md5('attainment 2' || s.certification_id || s.learner_id)::uuid,
       s.certification_id, s.learner_id, NULL, 2, 'awarded', s.renewed_on, s.renewed_on, NULL, 100,
       '[]', NULL, 0
FROM stood AS s
WHERE s.state = 'renewed';

-- Who is at it has begun.
INSERT INTO courses.certification_attainment
    (business_id, certification_attainment_id, certification_id, learner_id, cycle_no, state,
     started_on, requirement_state)
SELECT DISTINCT ON (c.certification_id, e.learner_id)
       c.business_id, md5('attainment 1' || c.certification_id || e.learner_id)::uuid,
       c.certification_id, e.learner_id, 1, 'in_progress', e.started_at::date,
       jsonb_build_array(jsonb_build_object('requirement', r.certification_requirement_id,
                                            'met', false))
FROM courses.certification AS c
JOIN courses.certification_requirement AS r
    ON r.business_id = c.business_id AND r.certification_id = c.certification_id
   AND r.requirement_kind = 'course'
JOIN courses.course_section AS s
    ON s.business_id = r.business_id AND s.course_id = r.course_id
JOIN courses.enrollment AS e
    ON e.business_id = s.business_id AND e.course_section_id = s.course_section_id
   AND e.status = 'active' AND e.started_at < %(as_of)s::timestamptz
WHERE c.business_id = %(business_id)s
  AND NOT EXISTS (SELECT FROM courses.certification_attainment AS x
                  WHERE x.business_id = c.business_id
                    AND x.certification_id = c.certification_id AND x.learner_id = e.learner_id)
ORDER BY c.certification_id, e.learner_id, e.started_at, e.enrollment_id;

-- Credits toward a renewal: who renewed has enough, who is about to has some.
INSERT INTO courses.continuing_education_credit
    (business_id, continuing_education_credit_id, learner_id, certification_attainment_id,
     proof_file_object_id, reviewed_by, credit_kind, hours, credits, earned_on, provider_name,
     activity_title, category, status, valid_until, rejection_reason)
SELECT a.business_id, md5('credit ' || k.turn || a.certification_attainment_id)::uuid,
       a.learner_id, a.certification_attainment_id, f.file_object_id,
       CASE WHEN d.status <> 'claimed' THEN c.owner_user_account_id END,
       CASE WHEN k.turn = 3 THEN 'ceu' ELSE 'pdu' END, CASE WHEN k.turn = 3 THEN 5 ELSE 2 END,
       CASE WHEN k.turn = 3 THEN 0.5 ELSE 2 END, a.awarded_on + 20 + k.turn * 25, k.provider,
       k.title, k.category, d.status, a.awarded_on + 20 + k.turn * 25 + 730,
       CASE WHEN d.status = 'rejected' THEN 'The proof names another person.' END
FROM courses.certification_attainment AS a
JOIN courses.certification AS c
    ON c.business_id = a.business_id AND c.certification_id = a.certification_id
   AND c.renewal_by = 'credits'
CROSS JOIN (VALUES
    (1, 'Midwest Practitioners Guild', 'Spring conference, two talks', 'Technical'),
    (2, 'Harbor Training', 'Workshop: reviewing the work of others', 'Leadership'),
    (3, 'City College', 'Evening lectures on ethics', 'Ethics')
) AS k (turn, provider, title, category)
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(a.certification_attainment_id::text || k.turn, 51)
               %% 100000) AS odd
) AS h
CROSS JOIN LATERAL (
    SELECT CASE WHEN a.state = 'renewed' THEN 'approved' WHEN h.odd %% 12 = 0 THEN 'rejected'
                WHEN h.odd %% 3 = 0 THEN 'claimed' ELSE 'approved' END AS status
) AS d
CROSS JOIN LATERAL (
    SELECT x.file_object_id
    FROM system_core.file_object AS x
    WHERE x.business_id = a.business_id
    ORDER BY md5(x.file_object_id::text || a.learner_id)
    LIMIT 1
) AS f
WHERE a.business_id = %(business_id)s AND a.awarded_on + 20 + k.turn * 25 < %(as_of)s::date
  AND (a.state = 'renewed' OR (h.odd %% 5 < 3
                               AND a.state IN ('awarded', 'expiring', 'in_grace')));

-- Every completed course grants clock hours, used for nothing yet.
INSERT INTO courses.continuing_education_credit
    (business_id, continuing_education_credit_id, learner_id, enrollment_id, credit_kind, hours,
     credits, earned_on, provider_name, activity_title, category, status)
SELECT e.business_id, md5('clock hours ' || e.enrollment_id)::uuid, e.learner_id, e.enrollment_id,
       'clock_hour', round(c.duration_minutes / 60.0, 2), round(c.duration_minutes / 60.0, 2),
       e.completed_at::date, b.display_name, c.title, 'Course', 'auto_granted'
FROM courses.enrollment AS e
JOIN courses.course_section AS s
    ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
JOIN courses.course AS c
    ON c.business_id = s.business_id AND c.course_id = s.course_id AND c.duration_minutes > 0
JOIN tenant_mgmt.business AS b ON b.business_id = e.business_id
WHERE e.business_id = %(business_id)s AND e.status = 'completed'
  AND e.completed_at < %(as_of)s::timestamptz
  AND abs(hashtextextended(e.enrollment_id::text, 52)) %% 2 = 0;

-- Certificates: of the courses, by the next day; and of what was awarded, on that day.
INSERT INTO courses.issued_certificate
    (business_id, issued_certificate_id, learner_id, enrollment_id, certification_attainment_id,
     certificate_template_id, certificate_number, verification_code, signature, title, issued_on,
     expires_on, grade_text, hours, status, credential_json, share_count, revoked_on)
WITH reached AS (
    SELECT e.business_id, e.learner_id, e.enrollment_id,
           NULL::uuid AS certification_attainment_id, 'Course certificate2' AS template, c.title,
           least(e.completed_at::date + 1, %(as_of)s::date) AS issued_on, NULL::date AS expires_on,
           e.final_grade_letter, nullif(round(c.duration_minutes / 60.0, 2), 0) AS hours,
           CASE WHEN abs(hashtextextended(e.enrollment_id::text, 53)) %% 90 = 0
                THEN 'revoked' ELSE 'valid' END AS status
    FROM courses.enrollment AS e
    JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    JOIN courses.course AS c ON c.business_id = s.business_id AND c.course_id = s.course_id
    WHERE e.business_id = %(business_id)s AND e.status = 'completed'
      AND e.completed_at < %(as_of)s::timestamptz
    UNION ALL
    SELECT a.business_id, a.learner_id, NULL, a.certification_attainment_id,
           'Professional certificate1', c.title, a.awarded_on, a.expires_on, NULL, NULL,
           CASE a.state WHEN 'renewed' THEN 'superseded' WHEN 'expired' THEN 'expired'
                        WHEN 'revoked' THEN 'revoked' ELSE 'valid' END
    FROM courses.certification_attainment AS a
    JOIN courses.certification AS c
        ON c.business_id = a.business_id AND c.certification_id = a.certification_id
    WHERE a.business_id = %(business_id)s AND a.awarded_on IS NOT NULL
), named AS (
    SELECT r.*, md5('certificate ' || coalesce(r.enrollment_id, r.certification_attainment_id))
                    AS id,
           coalesce(u.display_name, l.learner_number) AS learner
    FROM reached AS r
    JOIN courses.learner AS l ON l.business_id = r.business_id AND l.learner_id = r.learner_id
    LEFT JOIN user_mgmt.user_account AS u
        ON u.business_id = l.business_id AND u.user_account_id = l.user_account_id
)
SELECT n.business_id, n.id::uuid, n.learner_id, n.enrollment_id, n.certification_attainment_id,
       t.certificate_template_id,
       to_char(n.issued_on, 'YYYY') || '-' || upper(right(n.id, 10)), '', sha256(''), n.title,
       n.issued_on, n.expires_on, n.final_grade_letter, n.hours, n.status,
       jsonb_strip_nulls(jsonb_build_object(
           '@context', jsonb_build_array(
               'https://www.w3.org/ns/credentials/v2',
               'https://purl.imsglobal.org/spec/ob/v3p0/context-3.0.3.json'),
           'id', 'urn:uuid:' || n.id::uuid,
           'type', jsonb_build_array('VerifiableCredential', 'OpenBadgeCredential'),
           'issuer', t.open_badge_profile, 'validFrom', n.issued_on, 'validUntil', n.expires_on,
           'credentialSubject', jsonb_build_object(
               'type', 'AchievementSubject', 'name', n.learner,
               'achievement', jsonb_build_object('type', 'Achievement', 'name', n.title)))),
       abs(hashtextextended(n.id, 54)) %% 5 / 3,
       CASE WHEN n.status = 'revoked'
            THEN least(n.issued_on + 30, greatest(%(as_of)s::date, n.issued_on)) END
FROM named AS n
JOIN courses.certificate_template AS t
    ON t.business_id = n.business_id
   AND t.certificate_template_id = md5('template ' || n.template || n.business_id)::uuid;

-- Three checks of a certificate, some by a link that a learner shared; a few codes are mistyped.
INSERT INTO courses.certificate_verification
    (business_id, certificate_verification_id, issued_certificate_id, verified_at,
     code_entered_hash, result, channel, verifier_country, ip_address, user_agent, latency_ms)
SELECT c.business_id, md5('check ' || k.turn || c.issued_certificate_id)::uuid,
       CASE WHEN h.odd %% 31 > 0 THEN c.issued_certificate_id END, h.moment,
       sha256(convert_to(replace(c.verification_code, '-', '')
                         || CASE WHEN h.odd %% 31 = 0 THEN '0' ELSE '' END, 'UTF8')),
       CASE WHEN h.odd %% 31 = 0 THEN 'not_found'
            WHEN c.revoked_on <= h.moment::date THEN 'revoked'
            WHEN c.expires_on < h.moment::date OR a.renewed_on <= h.moment::date THEN 'expired'
            ELSE 'valid' END,
       (ARRAY['web_page', 'qr_code', 'api', 'linkedin'])[1 + h.odd / 31 %% 4],
       (ARRAY['US', 'US', 'DE', 'GB', 'CA', 'IN'])[1 + h.odd / 7 %% 6],
       ('198.51.100.' || 1 + h.odd %% 250)::inet,
       CASE WHEN h.odd / 31 %% 4 = 2 THEN 'hr-connector/2.4' ELSE 'Mozilla/5.0' END,
       4 + h.odd %% 40
FROM courses.issued_certificate AS c
LEFT JOIN courses.certification_attainment AS a
    ON a.business_id = c.business_id
   AND a.certification_attainment_id = c.certification_attainment_id
CROSS JOIN generate_series(1, 6) AS k (turn)
CROSS JOIN LATERAL (
    SELECT x.odd, c.issued_on::timestamptz + interval '1 day'
                  + x.odd %% 150000 * interval '1 minute' AS moment
    FROM (SELECT abs(hashtextextended(c.issued_certificate_id::text || k.turn, 55)
                     %% 1000000) AS odd) AS x
) AS h
WHERE c.business_id = %(business_id)s AND h.moment < %(as_of)s::timestamptz
  AND k.turn <= 1 + abs(hashtextextended(c.issued_certificate_id::text, 56)) %% 6;

-- One learner in three brings something.
INSERT INTO courses.external_credential
    (business_id, external_credential_id, learner_id, exempts_course_id, file_object_id,
     verified_by, credential_kind, title, issuer, issued_on, expires_on, identifier, verification,
     verified_at, credits_granted, evaluation_note)
SELECT l.business_id, md5('brought ' || l.learner_id)::uuid, l.learner_id, NULL,
       f.file_object_id, CASE WHEN v.verification <> 'unverified' THEN c.owner_user_account_id END,
       k.kind, k.title, k.issuer, %(as_of)s::date - 800 - (h.odd %% 2000)::integer,
       CASE WHEN k.kind = 'license' THEN %(as_of)s::date + 100 + (h.odd %% 300)::integer END,
       CASE WHEN k.kind <> 'work_experience' THEN upper(substr(md5(l.learner_id::text), 1, 8)) END,
       v.verification,
       CASE WHEN v.verification <> 'unverified'
            THEN %(as_of)s::timestamptz - (1 + h.odd %% 90) * interval '1 day' END,
       CASE WHEN v.verification IN ('document', 'issuer_confirmed') THEN k.credits ELSE 0 END,
       CASE WHEN v.verification = 'rejected' THEN 'The issuer does not know the number.' END
FROM courses.learner AS l
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(l.learner_id::text, 57) %% 1000000) AS odd
) AS h
JOIN (VALUES
    (0, 'degree', 'Bachelor of Science', 'State University', 6),
    (1, 'license', 'Registered nurse', 'State board of nursing', 0),
    (2, 'certificate', 'Project management, entry level', 'Project Practice Institute', 3),
    (3, 'transcript', 'Statistics I and II', 'City College', 4),
    (4, 'work_experience', 'Analyst, full time', 'Cobalt Software', 1800)
) AS k (place, kind, title, issuer, credits) ON k.place = h.odd %% 5
CROSS JOIN LATERAL (
    SELECT (ARRAY['issuer_confirmed', 'document', 'document', 'unverified', 'rejected'])
           [1 + h.odd / 5 %% 5] AS verification
) AS v
CROSS JOIN LATERAL (
    SELECT x.owner_user_account_id
    FROM courses.course AS x
    WHERE x.business_id = l.business_id
    ORDER BY x.course_code, x.version_no
    LIMIT 1
) AS c
LEFT JOIN LATERAL (
    SELECT x.file_object_id
    FROM system_core.file_object AS x
    WHERE x.business_id = l.business_id
    ORDER BY md5(x.file_object_id::text || l.learner_id)
    LIMIT 1
) AS f ON true
WHERE l.business_id = %(business_id)s AND h.odd / 25 %% 3 = 0;
