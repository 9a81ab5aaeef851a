/*
 * Tuition: how one gets into a section, who helps to pay, what teachers get of it.
 *
 * courses.enroll_learner() is the door: it looks at prerequisites, dates, price and seats, lets the
 * learner in or puts them into the queue; courses.cancel_section() sends all home and asks for
 * their money back. A scholarship_award stands for the price. An
 * instructor_payout is what an instructor is owed for a month, as courses.accrue_payouts() works it
 * out. v_course_catalog is what a visitor sees; mv_course_funnel what became of visitors.
 */

CREATE TABLE courses.scholarship_award (
    business_id          uuid                   NOT NULL,
    scholarship_award_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id           uuid                   NOT NULL,
    program_id           uuid,
    course_section_id    uuid,
    awarded_by           uuid                   NOT NULL,
    fund_name            text                   NOT NULL,
    award_kind           text                   NOT NULL,
    amount               system_core.money,
    percent              system_core.percentage,
    conditions           text,
    minimum_gpa          numeric(4, 2),
    awarded_on           date                   NOT NULL DEFAULT current_date,
    valid_until          date,
    status               text                   NOT NULL DEFAULT 'offered',
    revoked_reason       text,
    used_amount          system_core.money      NOT NULL DEFAULT 0,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, scholarship_award_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, program_id) REFERENCES courses.program (business_id, program_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    FOREIGN KEY (business_id, awarded_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT scholarship_award_kind_known
        CHECK (award_kind IN ('full', 'partial', 'fee_waiver', 'employer_sponsored', 'grant')),
    CONSTRAINT scholarship_award_status_known
        CHECK (status IN ('offered', 'accepted', 'active', 'revoked', 'completed')),
    CONSTRAINT scholarship_award_is_amount_or_share
        CHECK (num_nonnulls(amount, percent) = 1),
    CONSTRAINT scholarship_award_percent_is_a_share CHECK (percent BETWEEN 1 AND 100),
    CONSTRAINT scholarship_award_full_is_everything
        CHECK (award_kind <> 'full' OR coalesce(percent, 0) = 100),
    CONSTRAINT scholarship_award_amount_positive CHECK (amount > 0),
    CONSTRAINT scholarship_award_for_one_thing
        CHECK (num_nonnulls(program_id, course_section_id) <= 1),
    CONSTRAINT scholarship_award_not_overdrawn CHECK (used_amount >= 0 AND used_amount <= amount),
    CONSTRAINT scholarship_award_gpa_on_its_scale CHECK (minimum_gpa BETWEEN 0 AND 4),
    CONSTRAINT scholarship_award_ends_after_start CHECK (valid_until >= awarded_on),
    CONSTRAINT scholarship_award_revoked_for_a_reason
        CHECK (status <> 'revoked' OR coalesce(revoked_reason, '') ~ '\S')
);

COMMENT ON TABLE courses.scholarship_award IS 'Tuition support for a learner with conditions.';
COMMENT ON COLUMN courses.scholarship_award.program_id IS
    'What it is for; without program and section it is for any course.';
COMMENT ON COLUMN courses.scholarship_award.used_amount IS 'What of it was spent on tuition.';

-- FK: the support of a learner.
CREATE INDEX scholarship_award_learner_idx
    ON courses.scholarship_award (business_id, learner_id, status);

-- FK: the support for a program.
CREATE INDEX scholarship_award_program_idx
    ON courses.scholarship_award (business_id, program_id)
    WHERE program_id IS NOT NULL;

-- FK: the support for a section.
CREATE INDEX scholarship_award_course_section_idx
    ON courses.scholarship_award (business_id, course_section_id)
    WHERE course_section_id IS NOT NULL;

-- FK: what somebody awarded.
CREATE INDEX scholarship_award_awarded_by_idx
    ON courses.scholarship_award (business_id, awarded_by);

ALTER TABLE courses.scholarship_award ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.scholarship_award
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.scholarship_award TO app_user;
GRANT SELECT ON courses.scholarship_award TO app_readonly;

CREATE TRIGGER scholarship_award_touch
    BEFORE UPDATE ON courses.scholarship_award
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER scholarship_award_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.scholarship_award
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["offered"],
        "transitions": {
            "offered":   ["accepted", "revoked"],
            "accepted":  ["active", "revoked"],
            "active":    ["completed", "revoked"],
            "completed": [],
            "revoked":   []
        }}');


CREATE FUNCTION courses.enroll_learner(
    learner    uuid,
    section    uuid,
    source     text DEFAULT 'self',
    order_line uuid DEFAULT NULL,
    moment     timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant   CONSTANT uuid := tenant_mgmt.current_business_id();
    by_staff CONSTANT boolean := source IN ('admin', 'bulk');
    number   text;
    run      courses.course_section;
    today    date;
    enrolled uuid;
    lacking  record;
    bought   courses.course_order_line;
    offer    courses.price_offer;
    is_paid  boolean := true;
    own      courses.waitlist_entry;
    free     integer;
    waiting  integer;
BEGIN
    -- The number first: it may wait for others, who then need not wait for this section.
    number := system_core.next_document_number('enrollment');
    -- Then the order: a payment that is under way is waited for, or it would miss this seat.
    PERFORM FROM courses.course_order_line AS l
    JOIN courses.course_order AS o
        ON o.business_id = l.business_id AND o.course_order_id = l.course_order_id
    WHERE l.business_id = tenant AND l.course_order_line_id = order_line
    FOR SHARE OF o;
    SELECT s.* INTO run
    FROM courses.course_section AS s
    WHERE s.business_id = tenant AND s.course_section_id = section
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such section' USING ERRCODE = 'no_data_found';
    END IF;
    today := (moment AT TIME ZONE run.time_zone)::date;

    SELECT e.enrollment_id INTO enrolled
    FROM courses.enrollment AS e
    WHERE e.business_id = tenant AND e.learner_id = learner AND e.course_section_id = section
      AND e.status NOT IN ('completed', 'withdrawn', 'expired');
    IF FOUND THEN
        RETURN enrolled;
    END IF;

    IF run.status IN ('planned', 'completed', 'cancelled') THEN
        RAISE EXCEPTION 'section % is %', run.section_code, run.status
            USING ERRCODE = 'check_violation';
    END IF;
    IF NOT by_staff
       AND (today < run.enrollment_opens_on
            OR today > coalesce(run.enrollment_closes_on, run.ends_on)
            OR (run.status = 'running' AND today > run.add_drop_until)) THEN
        RAISE EXCEPTION 'section % takes enrollments from % to %', run.section_code,
                        coalesce(run.enrollment_opens_on::text, 'now on'),
                        least(run.enrollment_closes_on, run.add_drop_until, run.ends_on)
            USING ERRCODE = 'check_violation';
    END IF;

    -- Staff may waive what can be waived, and speak for the consent.
    SELECT string_agg(m.satisfied_by, ' or ' ORDER BY m.satisfied_by) AS asked INTO lacking
    FROM courses.missing_prerequisites(learner, run.course_id, moment) AS m
    WHERE m.depth = 1
    GROUP BY m.alternatives
    HAVING NOT (by_staff
                AND bool_or(m.waivable OR m.requirement_kind = 'instructor_consent'))
    ORDER BY m.alternatives
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'before section %: %', run.section_code, lacking.asked
            USING ERRCODE = 'check_violation',
                  HINT = 'courses.missing_prerequisites() tells all of it.';
    END IF;

    IF order_line IS NOT NULL THEN
        SELECT l.* INTO bought
        FROM courses.course_order_line AS l
        WHERE l.business_id = tenant AND l.course_order_line_id = order_line
        FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no such order line' USING ERRCODE = 'no_data_found';
        END IF;
        SELECT f.* INTO offer
        FROM courses.price_offer AS f
        WHERE f.business_id = tenant AND f.price_offer_id = bought.price_offer_id;
        IF coalesce(offer.course_section_id <> section, false)
           OR coalesce(offer.course_id <> run.course_id, false)
           OR (offer.program_id IS NOT NULL
               AND NOT EXISTS (SELECT FROM courses.program_requirement AS r
                               WHERE r.business_id = tenant AND r.program_id = offer.program_id
                                 AND r.course_id = run.course_id)) THEN
            RAISE EXCEPTION 'offer % is not for section %', offer.offer_code, run.section_code
                USING ERRCODE = 'check_violation';
        END IF;
        IF EXISTS (SELECT FROM courses.course_order AS o
                   WHERE o.business_id = tenant AND o.course_order_id = bought.course_order_id
                     AND o.status IN ('cart', 'cancelled', 'failed', 'refunded')) THEN
            RAISE EXCEPTION 'the order is not placed, or no longer stands'
                USING ERRCODE = 'check_violation';
        END IF;
        is_paid := courses.is_paid_for(bought);
        IF offer.program_id IS NOT NULL THEN
            -- The seat is in the program: whoever has it takes all sections by it.
            IF NOT EXISTS (SELECT FROM courses.enrollment AS e
                           WHERE e.business_id = tenant AND e.learner_id = learner
                             AND e.program_id = offer.program_id
                             AND e.course_order_line_id = order_line
                             AND courses.holds_seat(e.status)) THEN
                RAISE EXCEPTION 'the learner has no seat in the program that was bought'
                    USING ERRCODE = 'check_violation';
            END IF;
            order_line := NULL;
        ELSIF bought.seats_assigned >= bought.quantity THEN
            RAISE EXCEPTION 'all % seats of the order line are taken', bought.quantity
                USING ERRCODE = 'check_violation';
        END IF;
    ELSIF source = 'scholarship' THEN
        IF NOT EXISTS (
            SELECT FROM courses.scholarship_award AS a
            WHERE a.business_id = tenant AND a.learner_id = learner
              AND a.status IN ('accepted', 'active')
              AND today <= coalesce(a.valid_until, 'infinity')
              AND (a.course_section_id = section
                   OR num_nonnulls(a.course_section_id, a.program_id) = 0
                   OR EXISTS (SELECT FROM courses.program_requirement AS r
                              WHERE r.business_id = tenant AND r.program_id = a.program_id
                                AND r.course_id = run.course_id))) THEN
            RAISE EXCEPTION 'no scholarship of the learner covers section %', run.section_code
                USING ERRCODE = 'check_violation';
        END IF;
    ELSIF source IN ('self', 'api') THEN
        SELECT f.* INTO offer
        FROM courses.price_offer AS f
        WHERE f.business_id = tenant
          AND (f.course_section_id = section OR f.course_id = run.course_id)
          AND today BETWEEN f.valid_from AND coalesce(f.valid_until, 'infinity')
        ORDER BY f.course_section_id NULLS LAST, f.amount, f.offer_code
        LIMIT 1;
        IF offer.amount > 0 THEN
            RAISE EXCEPTION 'section % costs %: order it first', run.section_code,
                            courses.offer_price(offer, moment)
                USING ERRCODE = 'check_violation',
                      HINT = 'Pass the line of the order that pays for it.';
        END IF;
    END IF;

    -- Seats that are on offer to others are not free; an offer of one's own is a seat.
    PERFORM courses.promote_waitlist(section, moment);
    SELECT w.* INTO own
    FROM courses.waitlist_entry AS w
    WHERE w.business_id = tenant AND w.course_section_id = section AND w.learner_id = learner;
    SELECT run.seat_limit - run.enrolled_count - count(*) INTO free
    FROM courses.waitlist_entry AS w
    WHERE w.business_id = tenant AND w.course_section_id = section AND w.status = 'offered'
      AND w.learner_id <> learner;
    IF free <= 0 AND own.status IS DISTINCT FROM 'offered' THEN
        IF own.status = 'waiting' THEN
            RETURN NULL;
        END IF;
        SELECT count(*) INTO waiting
        FROM courses.waitlist_entry AS w
        WHERE w.business_id = tenant AND w.course_section_id = section AND w.status = 'waiting';
        IF waiting >= run.waitlist_limit THEN
            RAISE EXCEPTION 'section % and its waitlist are full', run.section_code
                USING ERRCODE = 'check_violation';
        END IF;
        INSERT INTO courses.waitlist_entry AS w
            (business_id, course_section_id, learner_id, position, requested_at)
        SELECT tenant, section, learner, 1 + coalesce(max(x.position), 0), moment
        FROM courses.waitlist_entry AS x
        WHERE x.business_id = tenant AND x.course_section_id = section
          AND x.status = 'waiting'
        ON CONFLICT (business_id, course_section_id, learner_id) DO UPDATE
        SET status = 'waiting', position = excluded.position,
            requested_at = excluded.requested_at, offered_at = NULL, offer_expires_at = NULL,
            accepted_at = NULL;
        RETURN NULL;
    END IF;
    IF own.status = 'offered' THEN
        UPDATE courses.waitlist_entry AS w
        SET status = 'accepted', accepted_at = moment
        WHERE w.business_id = tenant AND w.waitlist_entry_id = own.waitlist_entry_id;
    ELSIF own.status = 'waiting' THEN
        UPDATE courses.waitlist_entry AS w
        SET status = 'removed'
        WHERE w.business_id = tenant AND w.waitlist_entry_id = own.waitlist_entry_id;
    END IF;

    INSERT INTO courses.enrollment
        (business_id, learner_id, course_section_id, course_order_line_id, enrollment_number,
         due_on, access_until, source)
    VALUES (tenant, learner, section, order_line, number,
            CASE WHEN run.delivery <> 'self_paced' THEN run.ends_on END,
            moment + make_interval(days => offer.access_days), source)
    RETURNING enrollment_id INTO enrolled;
    UPDATE courses.enrollment AS e
    SET status = CASE WHEN is_paid THEN 'active' ELSE 'pending_payment' END,
        enrolled_at = moment
    WHERE e.business_id = tenant AND e.enrollment_id = enrolled;
    RETURN enrolled;
END
$$;
COMMENT ON FUNCTION courses.enroll_learner(uuid, uuid, text, uuid, timestamptz) IS
    'Puts a learner into a section and returns the enrollment, the one that is there where the
     learner is in it already; NULL where the section is full and the learner now waits. Refused
     where a prerequisite is missing, the dates do not allow it, or nothing pays the price. It is
     active at once where the order is paid, else it waits for the money. Sections are never
     oversold: their row is the lock.';


CREATE FUNCTION courses.cancel_section(
    section uuid,
    why     text,
    moment  timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    told   integer;
BEGIN
    -- The section first, before any payment: nobody gets in meanwhile.
    PERFORM FROM courses.course_section AS s
    WHERE s.business_id = tenant AND s.course_section_id = section
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such section' USING ERRCODE = 'no_data_found';
    END IF;
    -- What a seat brought is asked back: its part of the line, its part of each payment.
    INSERT INTO courses.course_refund
        (business_id, course_payment_id, enrollment_id, requested_at, reason, policy_window_days,
         amount)
    SELECT tenant, n.course_payment_id, n.enrollment_id, moment, 'class_cancelled',
           courses.refund_window_days(), n.amount
    FROM (
        SELECT p.course_payment_id, e.enrollment_id,
               least(round(p.amount * (l.line_amount + l.tax_amount) / l.quantity
                           / o.total_amount, 2),
                     p.amount - coalesce((
                         SELECT sum(r.amount)
                         FROM courses.course_refund AS r
                         WHERE r.business_id = tenant
                           AND r.course_payment_id = p.course_payment_id
                           AND r.status NOT IN ('denied', 'failed')), 0)) AS amount
        FROM courses.enrollment AS e
        JOIN courses.course_order_line AS l
            ON l.business_id = e.business_id AND l.course_order_line_id = e.course_order_line_id
        JOIN courses.course_order AS o
            ON o.business_id = l.business_id AND o.course_order_id = l.course_order_id
           AND o.total_amount > 0
        JOIN courses.course_payment AS p
            ON p.business_id = o.business_id AND p.course_order_id = o.course_order_id
           AND courses.is_money(p.status)
        WHERE e.business_id = tenant AND e.course_section_id = section
          AND e.status IN ('active', 'paused', 'audit')
    ) AS n
    WHERE n.amount > 0
    ORDER BY n.course_payment_id, n.enrollment_id;
    UPDATE courses.waitlist_entry AS w
    SET status = 'removed'
    WHERE w.business_id = tenant AND w.course_section_id = section
      AND w.status IN ('waiting', 'offered');
    UPDATE courses.enrollment AS e
    SET status = 'withdrawn', withdrawn_at = moment
    WHERE e.business_id = tenant AND e.course_section_id = section
      AND e.status IN ('requested', 'pending_payment', 'active', 'paused', 'audit');
    GET DIAGNOSTICS told = ROW_COUNT;
    UPDATE courses.class_meeting AS m
    SET status = 'cancelled', cancelled_reason = why
    WHERE m.business_id = tenant AND m.course_section_id = section AND m.status = 'scheduled';
    UPDATE courses.course_section AS s
    SET status = 'cancelled'
    WHERE s.business_id = tenant AND s.course_section_id = section;
    RETURN told;
END
$$;
COMMENT ON FUNCTION courses.cancel_section(uuid, text, timestamptz) IS
    'Calls a section off: its learners are out and asked for nothing, refunds of what their seats
     brought are requested, nobody waits for it, and its meetings do not take place. How many
     learners are to be told.';


CREATE TABLE courses.instructor_payout (
    business_id              uuid                   NOT NULL,
    instructor_payout_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    instructor_id            uuid                   NOT NULL,
    course_section_id        uuid,
    period_month             date                   NOT NULL,
    basis                    text                   NOT NULL,
    gross_revenue_amount     system_core.money      NOT NULL DEFAULT 0,
    refund_adjustment_amount system_core.money      NOT NULL DEFAULT 0,
    share_pct                system_core.percentage,
    hours                    numeric(9, 2),
    payout_amount            system_core.money      NOT NULL,
    status                   text                   NOT NULL DEFAULT 'accrued',
    paid_on                  date,
    statement_reference      text,
    hold_reason              text,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, instructor_payout_id),
    UNIQUE NULLS NOT DISTINCT
        (business_id, instructor_id, course_section_id, period_month, basis),
    FOREIGN KEY (business_id, instructor_id)
        REFERENCES courses.instructor (business_id, instructor_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    CONSTRAINT instructor_payout_basis_known
        CHECK (basis IN ('revenue_share', 'hours', 'flat', 'per_learner')),
    CONSTRAINT instructor_payout_status_known
        CHECK (status IN ('accrued', 'approved', 'paid', 'on_hold', 'reversed')),
    CONSTRAINT instructor_payout_not_negative
        CHECK (payout_amount >= 0 AND gross_revenue_amount >= 0 AND refund_adjustment_amount >= 0),
    CONSTRAINT instructor_payout_of_a_month CHECK (extract(day FROM period_month) = 1),
    CONSTRAINT instructor_payout_share_of_net_revenue
        CHECK (basis <> 'revenue_share'
               OR (share_pct BETWEEN 0 AND 100
                   AND payout_amount = round(
                       greatest(gross_revenue_amount - refund_adjustment_amount, 0)
                       * share_pct / 100, 2))),
    CONSTRAINT instructor_payout_hours_when_by_hours
        CHECK ((basis = 'hours') = (hours IS NOT NULL) AND hours >= 0),
    CONSTRAINT instructor_payout_paid_has_day CHECK (status <> 'paid' OR paid_on IS NOT NULL),
    CONSTRAINT instructor_payout_held_for_a_reason
        CHECK (status <> 'on_hold' OR coalesce(hold_reason, '') ~ '\S')
);

COMMENT ON TABLE courses.instructor_payout IS 'Share or fee owed to an instructor for a month.';
COMMENT ON COLUMN courses.instructor_payout.refund_adjustment_amount IS
    'Given back in the month, also of sales of months before; at most it brings the pay to zero.';

-- FK: what was earned with a section.
CREATE INDEX instructor_payout_course_section_idx
    ON courses.instructor_payout (business_id, course_section_id)
    WHERE course_section_id IS NOT NULL;

-- What is to be paid.
CREATE INDEX instructor_payout_open_idx
    ON courses.instructor_payout (business_id, period_month)
    WHERE status IN ('accrued', 'approved', 'on_hold');

ALTER TABLE courses.instructor_payout ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.instructor_payout
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.instructor_payout TO app_user;
GRANT SELECT ON courses.instructor_payout TO app_readonly;

CREATE TRIGGER instructor_payout_touch
    BEFORE UPDATE ON courses.instructor_payout
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER instructor_payout_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.instructor_payout
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["accrued"],
        "transitions": {
            "accrued":  ["approved", "on_hold", "reversed"],
            "approved": ["paid", "on_hold", "reversed"],
            "on_hold":  ["accrued", "approved", "reversed"],
            "paid":     ["reversed"],
            "reversed": []
        }}');

CREATE FUNCTION courses.earned_pay(month date)
    RETURNS TABLE (instructor_id uuid, course_section_id uuid, basis text, gross numeric,
                   refunded numeric, share_pct numeric, hours numeric, payout numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT t.instructor_id, t.course_section_id, 'revenue_share', r.gross, r.refunded,
           i.revenue_share_pct, NULL::numeric,
           round(greatest(r.gross - r.refunded, 0) * i.revenue_share_pct / 100, 2)
    FROM courses.section_instructor AS t
    JOIN courses.instructor AS i
        ON i.business_id = t.business_id AND i.instructor_id = t.instructor_id
    CROSS JOIN LATERAL (
        SELECT coalesce((
                   SELECT sum(round(l.line_amount / l.quantity, 2))
                   FROM courses.enrollment AS e
                   JOIN courses.course_order_line AS l
                       ON l.business_id = e.business_id
                      AND l.course_order_line_id = e.course_order_line_id
                   JOIN courses.course_order AS o
                       ON o.business_id = l.business_id AND o.course_order_id = l.course_order_id
                      AND o.status IN ('paid', 'partially_refunded', 'refunded')
                   WHERE e.business_id = t.business_id
                     AND e.course_section_id = t.course_section_id
                     AND o.ordered_at >= month::timestamp AT TIME ZONE 'UTC'
                     AND o.ordered_at < (month + interval '1 month') AT TIME ZONE 'UTC'), 0)
                   AS gross,
               coalesce((
                   SELECT sum(b.amount)
                   FROM courses.enrollment AS e
                   JOIN courses.course_refund AS b
                       ON b.business_id = e.business_id AND b.enrollment_id = e.enrollment_id
                      AND b.status = 'processed'
                   WHERE e.business_id = t.business_id
                     AND e.course_section_id = t.course_section_id
                     AND b.processed_at >= month::timestamp AT TIME ZONE 'UTC'
                     AND b.processed_at < (month + interval '1 month') AT TIME ZONE 'UTC'), 0)
                   AS refunded
    ) AS r
    WHERE t.business_id = tenant_mgmt.current_business_id() AND t.pay_basis = 'revenue_share'
      AND r.gross + r.refunded > 0
    UNION ALL
    SELECT t.instructor_id, t.course_section_id, 'hours', 0, 0, NULL, h.hours,
           round(h.hours * t.pay_amount, 2)
    FROM courses.section_instructor AS t
    CROSS JOIN LATERAL (
        SELECT round(sum(extract(epoch FROM m.ends_at - m.starts_at)) / 3600, 2) AS hours
        FROM courses.class_meeting AS m
        WHERE m.business_id = t.business_id AND m.course_section_id = t.course_section_id
          AND m.instructor_id = t.instructor_id AND m.status = 'ended'
          AND m.starts_at >= month::timestamp AT TIME ZONE 'UTC'
          AND m.starts_at < (month + interval '1 month') AT TIME ZONE 'UTC'
    ) AS h
    WHERE t.business_id = tenant_mgmt.current_business_id() AND t.pay_basis = 'hourly'
      AND h.hours > 0
    UNION ALL
    SELECT t.instructor_id, t.course_section_id, 'flat', 0, 0, NULL, NULL, t.pay_amount
    FROM courses.section_instructor AS t
    JOIN courses.course_section AS s
        ON s.business_id = t.business_id AND s.course_section_id = t.course_section_id
       AND s.status IN ('running', 'completed')
    WHERE t.business_id = tenant_mgmt.current_business_id() AND t.pay_basis = 'flat'
      AND s.starts_on >= month AND s.starts_on < month + interval '1 month';
END;
COMMENT ON FUNCTION courses.earned_pay(date) IS
    'What instructors earned in a month (UTC), by its first day: their share of what was sold less
     what was given back, their hours of class, or a fee in the month in which a section begins.';

CREATE FUNCTION courses.accrue_payouts(month date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    accrued integer;
BEGIN
    -- What is approved stands; what is only accrued is worked out anew.
    INSERT INTO courses.instructor_payout AS p
        (business_id, instructor_id, course_section_id, period_month, basis,
         gross_revenue_amount, refund_adjustment_amount, share_pct, hours, payout_amount)
    SELECT tenant_mgmt.current_business_id(), e.instructor_id, e.course_section_id, month,
           e.basis, sum(e.gross), sum(e.refunded), max(e.share_pct), sum(e.hours), sum(e.payout)
    FROM courses.earned_pay(month) AS e
    GROUP BY e.instructor_id, e.course_section_id, e.basis
    ON CONFLICT (business_id, instructor_id, course_section_id, period_month, basis) DO UPDATE
    SET gross_revenue_amount = excluded.gross_revenue_amount,
        refund_adjustment_amount = excluded.refund_adjustment_amount,
        share_pct = excluded.share_pct, hours = excluded.hours,
        payout_amount = excluded.payout_amount
    WHERE p.status = 'accrued';
    GET DIAGNOSTICS accrued = ROW_COUNT;
    RETURN accrued;
END
$$;
COMMENT ON FUNCTION courses.accrue_payouts(date) IS
    'Works out what is owed to instructors for a month, again where it was not approved yet; how
     many payouts it wrote.';


CREATE VIEW courses.v_course_catalog WITH (security_invoker = true) AS
SELECT k.business_id, k.course_id, k.course_code, k.slug, k.title, k.summary, k.level, k.delivery,
       k.language_code, k.duration_minutes, k.credit_hours, a.name AS subject,
       a.path AS subject_path, k.average_rating, k.enrollment_count, k.is_free, p.price_from,
       p.currency_code, n.course_section_id AS next_section_id, n.starts_on AS next_starts_on,
       n.seats_left
FROM courses.course AS k
JOIN courses.subject_area AS a
    ON a.business_id = k.business_id AND a.subject_area_id = k.subject_area_id
LEFT JOIN LATERAL (
    SELECT courses.offer_price(ROW(f.*)::courses.price_offer) AS price_from, f.currency_code
    FROM courses.price_offer AS f
    WHERE f.business_id = k.business_id AND f.course_id = k.course_id
      AND current_date BETWEEN f.valid_from AND coalesce(f.valid_until, 'infinity')
    ORDER BY courses.offer_price(ROW(f.*)::courses.price_offer), f.offer_code
    LIMIT 1
) AS p ON true
LEFT JOIN LATERAL (
    SELECT s.course_section_id, s.starts_on,
           greatest(0, s.seat_limit - s.enrolled_count - (
               SELECT count(*)
               FROM courses.waitlist_entry AS w
               WHERE w.business_id = s.business_id AND w.course_section_id = s.course_section_id
                 AND w.status = 'offered' AND w.offer_expires_at > now())) AS seats_left
    FROM courses.course_section AS s
    WHERE s.business_id = k.business_id AND s.course_id = k.course_id
      AND s.status IN ('open', 'full', 'running')
      AND current_date BETWEEN coalesce(s.enrollment_opens_on, '-infinity')
          AND coalesce(s.enrollment_closes_on, s.ends_on)
      AND (s.status <> 'running' OR current_date <= coalesce(s.add_drop_until, s.ends_on))
    ORDER BY s.status = 'full', s.starts_on, s.section_code
    LIMIT 1
) AS n ON true
WHERE k.status = 'published';
COMMENT ON VIEW courses.v_course_catalog IS
    'Published courses as a visitor sees them: rating, lowest price, the next section that one can
     enroll in, with its free seats (NULL: as many as come); one that is full where no other is.';
GRANT SELECT ON courses.v_course_catalog TO app_user, app_readonly;


CREATE MATERIALIZED VIEW courses.mv_course_funnel AS
SELECT x.business_id, x.course_id, x.month, sum(x.viewed) AS viewed, sum(x.ordered) AS ordered,
       sum(x.enrolled) AS enrolled, sum(x.started) AS started, sum(x.half_done) AS half_done,
       sum(x.completed) AS completed
FROM (
    SELECT k.business_id, k.course_id,
           date_trunc('month', v.occurred_at AT TIME ZONE 'UTC')::date AS month,
           count(DISTINCT v.user_account_id) AS viewed, 0 AS ordered, 0 AS enrolled,
           0 AS started, 0 AS half_done, 0 AS completed
    FROM user_analytics.behavior_event AS v
    JOIN courses.course AS k
        ON k.business_id = v.business_id AND v.resource = 'courses/' || k.slug
    WHERE v.signal = 'page_view'
    GROUP BY 1, 2, 3
    UNION ALL
    SELECT k.business_id, k.course_id,
           date_trunc('month', o.ordered_at AT TIME ZONE 'UTC')::date, 0, sum(l.quantity),
           0, 0, 0, 0
    FROM courses.course_order AS o
    JOIN courses.course_order_line AS l
        ON l.business_id = o.business_id AND l.course_order_id = o.course_order_id
    JOIN courses.price_offer AS f
        ON f.business_id = l.business_id AND f.price_offer_id = l.price_offer_id
    LEFT JOIN courses.course_section AS s
        ON s.business_id = f.business_id AND s.course_section_id = f.course_section_id
    JOIN courses.course AS k
        ON k.business_id = f.business_id AND k.course_id = coalesce(f.course_id, s.course_id)
    WHERE o.status NOT IN ('cart', 'cancelled', 'failed')
    GROUP BY 1, 2, 3
    UNION ALL
    SELECT s.business_id, s.course_id,
           date_trunc('month', e.enrolled_at AT TIME ZONE 'UTC')::date, 0, 0, count(*),
           count(e.started_at), count(*) FILTER (WHERE e.progress_pct >= 50),
           count(*) FILTER (WHERE e.status = 'completed')
    FROM courses.enrollment AS e
    JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    WHERE e.enrolled_at IS NOT NULL
    GROUP BY 1, 2, 3
) AS x
GROUP BY x.business_id, x.course_id, x.month
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW courses.mv_course_funnel IS
    'Per course and month (UTC): who looked at its page, what was ordered, who enrolled, and of
     those who enrolled then how many started, came to the half and to the end.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_course_funnel_idx
    ON courses.mv_course_funnel (business_id, course_id, month);

GRANT USAGE ON SCHEMA courses, user_analytics TO matview_owner;
GRANT SELECT ON user_analytics.behavior_event, courses.course, courses.course_section,
    courses.course_order, courses.course_order_line, courses.price_offer, courses.enrollment
    TO matview_owner;

CREATE VIEW courses.v_course_funnel WITH (security_barrier = true) AS
SELECT m.business_id, m.course_id, m.month, m.viewed, m.ordered, m.enrolled, m.started,
       m.half_done, m.completed
FROM courses.mv_course_funnel AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW courses.v_course_funnel IS 'The tenant''s own part of mv_course_funnel.';
GRANT SELECT ON courses.v_course_funnel TO app_user, app_readonly;
