/*
 * Admission: what stands between a learner and a seat.
 *
 * courses.missing_prerequisites() tells what a learner still has to do for a course. Whoever finds
 * a section full waits in its queue as a waitlist_entry; courses.promote_waitlist() offers what was
 * freed to the next in line, for some hours, and passes on what nobody took.
 * courses.expire_enrollments() gives up seats that were not paid for, and access that ran out.
 */

CREATE TABLE courses.waitlist_entry (
    business_id        uuid        NOT NULL,
    waitlist_entry_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    course_section_id  uuid        NOT NULL,
    learner_id         uuid        NOT NULL,
    position           integer     NOT NULL,
    requested_at       timestamptz NOT NULL DEFAULT now(),
    offered_at         timestamptz,
    offer_expires_at   timestamptz,
    accepted_at        timestamptz,
    status             text        NOT NULL DEFAULT 'waiting',
    priority_reason    text        NOT NULL DEFAULT 'none',
    notification_count integer     NOT NULL DEFAULT 0,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, waitlist_entry_id),
    UNIQUE (business_id, course_section_id, learner_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    CONSTRAINT waitlist_entry_status_known
        CHECK (status IN ('waiting', 'offered', 'accepted', 'expired', 'declined', 'removed')),
    CONSTRAINT waitlist_entry_priority_reason_known
        CHECK (priority_reason IN ('none', 'program_required', 'returning', 'accommodation')),
    CONSTRAINT waitlist_entry_position_positive CHECK (position >= 1),
    CONSTRAINT waitlist_entry_offer_lasts CHECK (offer_expires_at > offered_at),
    CONSTRAINT waitlist_entry_accepted_in_time CHECK (accepted_at <= offer_expires_at),
    CONSTRAINT waitlist_entry_waits_without_offer
        CHECK (status <> 'waiting' OR num_nonnulls(offered_at, offer_expires_at) = 0),
    CONSTRAINT waitlist_entry_offer_has_times
        CHECK (status NOT IN ('offered', 'accepted', 'expired')
               OR num_nonnulls(offered_at, offer_expires_at) = 2),
    CONSTRAINT waitlist_entry_accepted_has_time
        CHECK ((status = 'accepted') = (accepted_at IS NOT NULL)),
    CONSTRAINT waitlist_entry_notifications_not_negative CHECK (notification_count >= 0),
    -- One at a place; deferrable, so that two can change places in a transaction.
    EXCLUDE USING btree (business_id WITH =, course_section_id WITH =, position WITH =)
        WHERE (status = 'waiting') DEFERRABLE INITIALLY IMMEDIATE
);

COMMENT ON TABLE courses.waitlist_entry IS 'Place in the queue for a full section, with offers.';
COMMENT ON COLUMN courses.waitlist_entry.priority_reason IS
    'Why staff put it ahead of those who came before.';

-- FK: what a learner waits for.
CREATE INDEX waitlist_entry_learner_idx
    ON courses.waitlist_entry (business_id, learner_id);

-- The offers that are out: they are taken off the free seats until they lapse.
CREATE INDEX waitlist_entry_offers_idx
    ON courses.waitlist_entry (business_id, course_section_id, offer_expires_at)
    WHERE status = 'offered';

ALTER TABLE courses.waitlist_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.waitlist_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.waitlist_entry TO app_user;
GRANT SELECT ON courses.waitlist_entry TO app_readonly;

CREATE FUNCTION courses.promote_waitlist(
    section     uuid,
    moment      timestamptz DEFAULT now(),
    offer_hours integer DEFAULT 48
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant   CONSTANT uuid := tenant_mgmt.current_business_id();
    run      record;
    free     integer;
    promoted integer;
BEGIN
    SELECT s.seat_limit, s.enrolled_count, s.status INTO run
    FROM courses.course_section AS s
    WHERE s.business_id = tenant AND s.course_section_id = section
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such section' USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE courses.waitlist_entry AS w
    SET status = 'expired'
    WHERE w.business_id = tenant AND w.course_section_id = section
      AND w.status = 'offered' AND w.offer_expires_at <= moment;
    IF run.status IN ('planned', 'completed', 'cancelled') THEN
        RETURN 0;
    END IF;
    SELECT run.seat_limit - run.enrolled_count - count(*) INTO free
    FROM courses.waitlist_entry AS w
    WHERE w.business_id = tenant AND w.course_section_id = section AND w.status = 'offered';
    -- Without a limit (NULL) all who wait get an offer.
    UPDATE courses.waitlist_entry AS w
    SET status = 'offered', offered_at = moment,
        offer_expires_at = moment + make_interval(hours => offer_hours),
        notification_count = w.notification_count + 1
    FROM (
        SELECT x.waitlist_entry_id
        FROM courses.waitlist_entry AS x
        WHERE x.business_id = tenant AND x.course_section_id = section AND x.status = 'waiting'
        ORDER BY x.position
        LIMIT CASE WHEN free < 0 THEN 0 ELSE free END
    ) AS n
    WHERE w.business_id = tenant AND w.waitlist_entry_id = n.waitlist_entry_id;
    GET DIAGNOSTICS promoted = ROW_COUNT;
    RETURN promoted;
END
$$;
COMMENT ON FUNCTION courses.promote_waitlist(uuid, timestamptz, integer) IS
    'Offers the free seats of a section to those who wait, in order, each for some hours; offers
     that lapsed go to the next. How many were made.';

CREATE FUNCTION courses.pass_offer_on() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        PERFORM courses.promote_waitlist(NEW.course_section_id);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.pass_offer_on() IS 'Who declines an offer leaves it to the next.';

CREATE FUNCTION courses.move_up_for_new_seats() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        PERFORM courses.promote_waitlist(NEW.course_section_id);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.move_up_for_new_seats() IS
    'Seats that were added to a section go to those who wait for it first.';

CREATE TRIGGER waitlist_entry_touch
    BEFORE UPDATE ON courses.waitlist_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER waitlist_entry_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.waitlist_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["waiting"],
        "transitions": {
            "waiting":  ["offered", "removed"],
            "offered":  ["accepted", "expired", "declined", "removed"],
            "accepted": ["waiting"],
            "expired":  ["waiting"],
            "declined": ["waiting"],
            "removed":  ["waiting"]
        }}');

CREATE TRIGGER waitlist_entry_pass_on
    AFTER UPDATE OF status ON courses.waitlist_entry
    FOR EACH ROW WHEN (OLD.status = 'offered' AND NEW.status IN ('declined', 'removed'))
    EXECUTE FUNCTION courses.pass_offer_on();

CREATE TRIGGER course_section_new_seats
    AFTER UPDATE OF seat_limit ON courses.course_section
    FOR EACH ROW WHEN (NEW.seat_limit > OLD.seat_limit
                       OR (NEW.seat_limit IS NULL AND OLD.seat_limit IS NOT NULL))
    EXECUTE FUNCTION courses.move_up_for_new_seats();


CREATE FUNCTION courses.missing_prerequisites(
    learner uuid,
    course  uuid,
    moment  timestamptz DEFAULT now()
) RETURNS TABLE (
    for_course_id          uuid,
    depth                  integer,
    alternatives           text,
    course_prerequisite_id uuid,
    requirement_kind       text,
    required_course_id     uuid,
    certification_id       uuid,
    waivable               boolean,
    satisfied_by           text
)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    RETURN QUERY
    WITH RECURSIVE reached AS (
        SELECT missing_prerequisites.course AS course_id
        UNION
        SELECT p.required_course_id
        FROM reached AS r
        JOIN courses.course_prerequisite AS p
            ON p.business_id = tenant AND p.course_id = r.course_id
        WHERE p.required_course_id IS NOT NULL
    ), judged AS (
        SELECT p.course_id, p.course_prerequisite_id, p.requirement_kind, p.required_course_id,
               p.certification_id, p.waivable, p.is_corequisite, p.minimum_grade_pct,
               coalesce('group ' || p.group_no, p.course_prerequisite_id::text) AS alternatives,
               CASE p.requirement_kind
                   WHEN 'certification_held' THEN EXISTS (
                       SELECT FROM courses.certification_attainment AS a
                       WHERE a.business_id = tenant AND a.learner_id = learner
                         AND a.certification_id = p.certification_id
                         AND a.state IN ('awarded', 'expiring', 'in_grace'))
                   WHEN 'placement_test' THEN EXISTS (
                       SELECT FROM courses.assessment AS t
                       JOIN courses.assessment_attempt AS a
                           ON a.business_id = t.business_id AND a.assessment_id = t.assessment_id
                       JOIN courses.enrollment AS e
                           ON e.business_id = a.business_id AND e.enrollment_id = a.enrollment_id
                       WHERE t.business_id = tenant AND t.assessment_kind = 'placement'
                         AND t.course_id = coalesce(p.required_course_id, p.course_id)
                         AND e.learner_id = learner AND a.state = 'graded'
                         AND CASE WHEN p.minimum_grade_pct IS NULL THEN a.passed
                                  ELSE a.score_pct >= p.minimum_grade_pct END)
                   WHEN 'instructor_consent' THEN false
                   -- Any version of the course will do.
                   ELSE EXISTS (
                       SELECT FROM courses.course AS wanted
                       JOIN courses.course AS taken
                           ON taken.business_id = wanted.business_id
                          AND taken.course_code = wanted.course_code
                       JOIN courses.course_section AS s
                           ON s.business_id = taken.business_id AND s.course_id = taken.course_id
                       JOIN courses.enrollment AS e
                           ON e.business_id = s.business_id
                          AND e.course_section_id = s.course_section_id
                          AND e.learner_id = learner
                       WHERE wanted.business_id = tenant
                         AND wanted.course_id = p.required_course_id
                         AND ((e.status = 'completed'
                               AND (p.validity_months IS NULL
                                    OR e.completed_at > moment
                                       - make_interval(months => p.validity_months))
                               AND (p.minimum_grade_pct IS NULL
                                    OR e.final_grade_pct >= p.minimum_grade_pct))
                              OR (p.is_corequisite AND e.status = 'active')))
               END AS is_met
        FROM reached AS r
        JOIN courses.course_prerequisite AS p
            ON p.business_id = tenant AND p.course_id = r.course_id
    ), unmet AS (
        SELECT j.*
        FROM (
            SELECT x.*, bool_or(x.is_met) OVER (
                PARTITION BY x.course_id, x.alternatives) AS one_is_met
            FROM judged AS x
        ) AS j
        WHERE NOT j.one_is_met
    ), open AS (
        -- No circle can be walked for ever: courses.refuse_circular_prerequisite().
        SELECT missing_prerequisites.course AS course_id, 1 AS depth
        UNION
        SELECT u.required_course_id, o.depth + 1
        FROM open AS o
        JOIN unmet AS u ON u.course_id = o.course_id
        WHERE u.required_course_id IS NOT NULL AND u.requirement_kind <> 'placement_test'
          AND NOT u.is_corequisite
    )
    SELECT u.course_id, n.depth, u.alternatives, u.course_prerequisite_id, u.requirement_kind,
           u.required_course_id, u.certification_id, u.waivable,
           CASE u.requirement_kind
               WHEN 'course_completed' THEN
                   CASE WHEN u.is_corequisite THEN 'take ' ELSE 'complete ' END || k.course_code
               WHEN 'minimum_grade'
                   THEN 'complete ' || k.course_code || ' with '
                        || trim_scale(u.minimum_grade_pct) || ' %'
               WHEN 'certification_held' THEN 'hold certificate ' || c.certification_code
               WHEN 'placement_test'
                   THEN 'pass the placement test of ' || coalesce(k.course_code, w.course_code)
               ELSE 'ask an instructor for consent' END
    FROM (
        SELECT o.course_id, min(o.depth) AS depth
        FROM open AS o
        GROUP BY o.course_id
    ) AS n
    JOIN unmet AS u ON u.course_id = n.course_id
    JOIN courses.course AS w ON w.business_id = tenant AND w.course_id = u.course_id
    LEFT JOIN courses.course AS k
        ON k.business_id = tenant AND k.course_id = u.required_course_id
    LEFT JOIN courses.certification AS c
        ON c.business_id = tenant AND c.certification_id = u.certification_id
    ORDER BY n.depth, w.course_code, u.alternatives, u.course_prerequisite_id;
END
$$;
COMMENT ON FUNCTION courses.missing_prerequisites(uuid, uuid, timestamptz) IS
    'What a learner lacks for a course: rows with the same alternatives are a choice of which one
     will do. Depth 1 is asked for by the course itself, 2 by a course that it asks for, and so
     on; what follows a met requirement is not asked again.';


CREATE FUNCTION courses.expire_enrollments(
    moment       timestamptz DEFAULT now(),
    payment_days integer DEFAULT 3
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    expired integer;
BEGIN
    UPDATE courses.enrollment AS e
    SET status = 'expired'
    WHERE e.business_id = tenant_mgmt.current_business_id()
      AND ((e.status IN ('active', 'paused', 'failed', 'audit') AND e.access_until <= moment)
           OR (e.status = 'pending_payment'
               AND e.enrolled_at <= moment - make_interval(days => payment_days)));
    GET DIAGNOSTICS expired = ROW_COUNT;
    RETURN expired;
END
$$;
COMMENT ON FUNCTION courses.expire_enrollments(timestamptz, integer) IS
    'Nightly: ends access that ran out and gives up seats that were not paid for; how many.';
