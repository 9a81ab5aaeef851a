/*
 * Certification over time: what is met, what is awarded, renewed and runs out.
 *
 * courses.judge_requirements() says what a learner has met of a certification; from it
 * courses.evaluate_certification() moves the learner's attainment as far as it goes.
 */

CREATE FUNCTION courses.judge_requirements(
    certification uuid,
    learner       uuid,
    phase         text,
    since         date,
    is_confirmed  boolean,
    moment        timestamptz
) RETURNS TABLE (requirement uuid, alternatives text, is_met boolean, evidence text)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    RETURN QUERY
    SELECT r.certification_requirement_id,
           coalesce('group ' || r.group_no, r.certification_requirement_id::text),
           f.evidence IS NOT NULL, f.evidence
    FROM courses.certification_requirement AS r
    CROSS JOIN LATERAL (
        -- What is done before this day does not count, nor what is to come.
        SELECT greatest(coalesce(since, '-infinity'),
                        coalesce((moment - make_interval(months => r.within_months))::date,
                                 '-infinity')) AS first_day
    ) AS t
    LEFT JOIN LATERAL (
        -- Any version of the course will do, and so does what exempts from it.
        SELECT min(e.enrollment_number) AS evidence
        FROM courses.course AS wanted
        JOIN courses.course AS taken
            ON taken.business_id = wanted.business_id AND taken.course_code = wanted.course_code
        JOIN courses.course_section AS s
            ON s.business_id = taken.business_id AND s.course_id = taken.course_id
        JOIN courses.enrollment AS e
            ON e.business_id = s.business_id AND e.course_section_id = s.course_section_id
           AND e.learner_id = learner AND e.status = 'completed'
        WHERE r.requirement_kind = 'course' AND wanted.business_id = tenant
          AND wanted.course_id = r.course_id AND e.completed_at <= moment
          AND e.completed_at::date >= t.first_day
          AND (r.minimum_score_pct IS NULL OR e.final_grade_pct >= r.minimum_score_pct)
        UNION ALL
        SELECT min(x.title)
        FROM courses.external_credential AS x
        WHERE r.requirement_kind = 'course' AND phase = 'initial' AND x.business_id = tenant
          AND x.learner_id = learner AND x.exempts_course_id = r.course_id
          AND (x.expires_on IS NULL OR x.expires_on > moment::date)
        UNION ALL
        SELECT min('attempt ' || a.attempt_no || ' of ' || e.enrollment_number)
        FROM courses.assessment_attempt AS a
        JOIN courses.enrollment AS e
            ON e.business_id = a.business_id AND e.enrollment_id = a.enrollment_id
           AND e.learner_id = learner
        WHERE r.requirement_kind = 'assessment' AND a.business_id = tenant
          AND a.assessment_id = r.assessment_id AND a.state = 'graded'
          AND a.submitted_at <= moment AND a.submitted_at::date >= t.first_day
          AND CASE WHEN r.minimum_score_pct IS NULL THEN a.passed
                   ELSE a.score_pct >= r.minimum_score_pct END
        UNION ALL
        SELECT min(e.enrollment_number)
        FROM courses.enrollment AS e
        WHERE r.requirement_kind = 'program' AND e.business_id = tenant
          AND e.learner_id = learner AND e.program_id = r.program_id AND e.status = 'completed'
          AND e.completed_at <= moment AND e.completed_at::date >= t.first_day
        UNION ALL
        SELECT max(trim_scale(m.score_pct) || ' %')
        FROM courses.outcome_mastery AS m
        WHERE r.requirement_kind = 'outcome' AND m.business_id = tenant
          AND m.learner_id = learner AND m.learning_outcome_id = r.learning_outcome_id
          AND m.last_evidence_at::date >= t.first_day
          AND CASE WHEN r.minimum_score_pct IS NULL THEN m.is_mastered
                   ELSE m.score_pct >= r.minimum_score_pct END
        UNION ALL
        SELECT trim_scale(sum(x.credits_granted)) || ' hours'
        FROM courses.external_credential AS x
        WHERE r.requirement_kind = 'experience_hours' AND x.business_id = tenant
          AND x.learner_id = learner AND x.credential_kind = 'work_experience'
          AND x.verification IN ('document', 'issuer_confirmed') AND x.issued_on >= t.first_day
        HAVING sum(x.credits_granted) >= r.hours_required
        UNION ALL
        SELECT 'confirmed'
        WHERE r.requirement_kind IN ('manual_review', 'fee') AND is_confirmed
        ORDER BY evidence
        LIMIT 1
    ) AS f ON true
    WHERE r.business_id = tenant
      AND r.certification_id = judge_requirements.certification
      AND r.applies_to IN (phase, 'both')
    ORDER BY r.sort_order, r.certification_requirement_id;
END
$$;
COMMENT ON FUNCTION courses.judge_requirements(uuid, uuid, text, date, boolean, timestamptz) IS
    'What a learner has met of a certification, initial or renewal, since a day, with what says so.
     One of the alternatives is enough.';

CREATE FUNCTION courses.renewal_credits(attainment uuid, moment timestamptz DEFAULT now())
    RETURNS numeric
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(sum(c.credits), 0)
    FROM courses.certification_attainment AS a
    JOIN courses.continuing_education_credit AS c
        ON c.business_id = a.business_id
       AND c.certification_attainment_id = a.certification_attainment_id
       AND c.status IN ('auto_granted', 'approved') AND c.earned_on >= a.awarded_on
       AND c.earned_on <= moment::date
       AND (c.valid_until IS NULL OR c.valid_until >= moment::date)
    WHERE a.business_id = tenant_mgmt.current_business_id()
      AND a.certification_attainment_id = attainment;
END;
COMMENT ON FUNCTION courses.renewal_credits(uuid, timestamptz) IS
    'The credits that count toward the renewal of an attainment, earned since it was awarded.';

CREATE FUNCTION courses.evaluate_certification(
    certification uuid,
    learner       uuid,
    moment        timestamptz DEFAULT now()
) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    today  CONSTANT date := moment::date;
    asked  record;
    held   record;
    judged record;
    phase  text;
    next_cycle uuid;
BEGIN
    SELECT c.title, c.status, c.certificate_template_id, c.renewal_window_days, c.grace_days,
           c.renewal_by, c.credits_required
    INTO asked
    FROM courses.certification AS c
    WHERE c.business_id = tenant AND c.certification_id = evaluate_certification.certification;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'certification % is unknown', certification
            USING ERRCODE = 'no_data_found';
    END IF;
    -- Two at once would each begin a cycle, or award it twice.
    PERFORM l.learner_id
    FROM courses.learner AS l
    WHERE l.business_id = tenant AND l.learner_id = evaluate_certification.learner
    FOR NO KEY UPDATE;
    SELECT a.certification_attainment_id AS id, a.state, a.cycle_no, a.awarded_on, a.expires_on,
           a.decided_by
    INTO held
    FROM courses.certification_attainment AS a
    WHERE a.business_id = tenant AND a.learner_id = evaluate_certification.learner
      AND a.certification_id = evaluate_certification.certification
    ORDER BY a.cycle_no DESC
    LIMIT 1;
    IF held.state = 'revoked' THEN
        RETURN held.state;
    ELSIF held.id IS NULL OR held.state = 'expired' THEN
        IF asked.status <> 'active' THEN
            RAISE EXCEPTION 'certification % is %, not active', asked.title, asked.status
                USING ERRCODE = 'check_violation';
        END IF;
        INSERT INTO courses.certification_attainment
            (business_id, certification_id, learner_id, cycle_no, started_on)
        VALUES (tenant, certification, learner, coalesce(held.cycle_no, 0) + 1, today)
        RETURNING certification_attainment_id AS id, state, cycle_no, awarded_on, expires_on,
                  decided_by
        INTO held;
    END IF;

    -- Time goes by, in steps where nobody looked for long.
    IF held.state = 'awarded' AND today >= held.expires_on - asked.renewal_window_days THEN
        UPDATE courses.certification_attainment AS a
        SET state = 'expiring'
        WHERE a.business_id = tenant AND a.certification_attainment_id = held.id;
        held.state := 'expiring';
    END IF;
    IF held.state = 'awarded' THEN
        -- It keeps what it was awarded for.
        RETURN held.state;
    END IF;
    phase := CASE WHEN held.state IN ('in_progress', 'eligible') THEN 'initial'
                  ELSE 'renewal' END;
    SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                        'requirement', j.requirement, 'met', j.is_met, 'evidence', j.evidence))
                    ORDER BY j.place), '[]') AS document,
           coalesce(round(100.0 * count(DISTINCT j.alternatives) FILTER (WHERE j.is_met)
                          / nullif(count(DISTINCT j.alternatives), 0), 4), 100) AS pct
    INTO judged
    FROM courses.judge_requirements(
        certification, learner, phase,
        CASE WHEN phase = 'renewal' THEN held.awarded_on END,
        held.decided_by IS NOT NULL AND phase = 'initial', moment)
        WITH ORDINALITY AS j (requirement, alternatives, is_met, evidence, place);
    IF phase = 'renewal' AND asked.renewal_by = 'credits' THEN
        judged.pct := least(judged.pct, round(
            100 * courses.renewal_credits(held.id, moment) / asked.credits_required, 4));
    ELSIF phase = 'renewal' AND judged.document = '[]' THEN
        -- Nothing is asked: it renews only by what its renewal_by says, and that is not there.
        judged.pct := 0;
    END IF;
    UPDATE courses.certification_attainment AS a
    SET requirement_state = judged.document, progress_pct = judged.pct
    WHERE a.business_id = tenant AND a.certification_attainment_id = held.id
      AND (a.requirement_state, a.progress_pct) IS DISTINCT FROM (judged.document, judged.pct);

    IF held.state IN ('in_progress', 'eligible') THEN
        IF judged.pct < 100 THEN
            RETURN held.state;
        END IF;
        PERFORM courses.award_attainment(held.id, asked.certificate_template_id, asked.title,
                                         today);
        RETURN 'awarded';
    ELSIF held.state IN ('expiring', 'in_grace') AND judged.pct >= 100
          AND today <= held.expires_on + asked.grace_days THEN
        UPDATE courses.certification_attainment AS a
        SET state = 'renewed', renewed_on = today
        WHERE a.business_id = tenant AND a.certification_attainment_id = held.id;
        INSERT INTO courses.certification_attainment
            (business_id, certification_id, learner_id, cycle_no, started_on, progress_pct)
        VALUES (tenant, certification, learner, held.cycle_no + 1, today, 100)
        RETURNING certification_attainment_id INTO next_cycle;
        PERFORM courses.award_attainment(next_cycle, asked.certificate_template_id, asked.title,
                                         today);
        RETURN 'renewed';
    END IF;
    IF held.state = 'expiring' AND today > held.expires_on THEN
        UPDATE courses.certification_attainment AS a
        SET state = 'in_grace'
        WHERE a.business_id = tenant AND a.certification_attainment_id = held.id;
        held.state := 'in_grace';
    END IF;
    IF held.state = 'in_grace' AND today > held.expires_on + asked.grace_days THEN
        UPDATE courses.certification_attainment AS a
        SET state = 'expired'
        WHERE a.business_id = tenant AND a.certification_attainment_id = held.id;
        held.state := 'expired';
    END IF;
    RETURN held.state;
END
$$;
COMMENT ON FUNCTION courses.evaluate_certification(uuid, uuid, timestamptz) IS
    'Judges what a learner has met and moves the attainment as far as that and the day allow:
     begins, awards with a certificate, lets it expire, or renews it into the next cycle. Returns
     where it stands; asked again on that day it changes nothing more. What was revoked stays so.';

CREATE FUNCTION courses.award_attainment(
    attainment uuid,
    template   uuid,
    title      text,
    on_date    date
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   uuid;
BEGIN
    UPDATE courses.certification_attainment AS a
    SET state = 'eligible'
    WHERE a.business_id = tenant AND a.certification_attainment_id = attainment
      AND a.state = 'in_progress';
    UPDATE courses.certification_attainment AS a
    SET state = 'awarded', awarded_on = on_date
    WHERE a.business_id = tenant AND a.certification_attainment_id = attainment;
    SELECT courses.write_certificate(a.learner_id, NULL, a.certification_attainment_id, template,
                                     award_attainment.title, on_date, a.expires_on, NULL, NULL)
    INTO made
    FROM courses.certification_attainment AS a
    WHERE a.business_id = tenant AND a.certification_attainment_id = attainment;
    RETURN made;
END
$$;
COMMENT ON FUNCTION courses.award_attainment(uuid, uuid, text, date) IS
    'Awards what is met, through eligible, and writes its certificate.';

CREATE FUNCTION courses.certificate_differences()
    RETURNS TABLE (certificate_number text, difference text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT c.certificate_number, 'altered'
    FROM courses.issued_certificate AS c
    WHERE c.business_id = tenant_mgmt.current_business_id()
      AND courses.certificate_standing(ROW(c.*)::courses.issued_certificate, c.issued_on)
          = 'tampered'
    UNION ALL
    SELECT c.certificate_number, 'valid of a standing that is ' || a.state
    FROM courses.issued_certificate AS c
    JOIN courses.certification_attainment AS a
        ON a.business_id = c.business_id
       AND a.certification_attainment_id = c.certification_attainment_id
    WHERE c.business_id = tenant_mgmt.current_business_id() AND c.status = 'valid'
      AND a.state IN ('expired', 'revoked', 'renewed');
END;
COMMENT ON FUNCTION courses.certificate_differences() IS
    'Proves the certificates: those that do not say what was signed, or outlive their standing.';


CREATE VIEW courses.v_certification_expiring WITH (security_invoker = true) AS
SELECT a.business_id, a.certification_attainment_id, a.certification_id, c.certification_code,
       c.title, a.learner_id, l.learner_number, a.state, a.expires_on,
       a.expires_on - current_date AS days_left, a.reminders_sent, c.renewal_by,
       c.credits_required, n.earned AS credits_earned,
       greatest(c.credits_required - n.earned, 0) AS credits_missing
FROM courses.certification_attainment AS a
JOIN courses.certification AS c
    ON c.business_id = a.business_id AND c.certification_id = a.certification_id
JOIN courses.learner AS l ON l.business_id = a.business_id AND l.learner_id = a.learner_id
CROSS JOIN LATERAL (
    SELECT courses.renewal_credits(a.certification_attainment_id) AS earned
) AS n
WHERE a.state IN ('awarded', 'expiring', 'in_grace') AND a.expires_on <= current_date + 90
ORDER BY a.expires_on, a.certification_attainment_id;

COMMENT ON VIEW courses.v_certification_expiring IS
    'What runs out within 90 days or is in its grace, and the credits that a renewal still lacks.';

GRANT SELECT ON courses.v_certification_expiring TO app_user, app_readonly;
