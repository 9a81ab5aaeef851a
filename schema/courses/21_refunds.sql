/*
 * Refunds: money given back, and the proof that orders add up.
 *
 * A course_refund is asked for, decided and processed against one payment, with the policy that
 * allowed it. All that is not denied stays within what the payment brought. Processed, it moves
 * payment and order; it takes the learner out of the course where it revokes the access, and gives
 * the coupon back with the last of the money. courses.order_differences() and
 * courses.seat_differences() compare every figure with the rows that it follows from.
 */

CREATE TABLE courses.course_refund (
    business_id             uuid                   NOT NULL,
    course_refund_id        uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    course_payment_id       uuid                   NOT NULL,
    enrollment_id           uuid,
    approved_by             uuid,
    requested_at            timestamptz            NOT NULL DEFAULT now(),
    reason                  text                   NOT NULL,
    policy_window_days      integer                NOT NULL DEFAULT 14,
    progress_pct_at_request system_core.percentage,
    amount                  system_core.money      NOT NULL,
    status                  text                   NOT NULL DEFAULT 'requested',
    decided_at              timestamptz,
    processed_at            timestamptz,
    revokes_access          boolean                NOT NULL DEFAULT true,
    denial_reason           text,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_refund_id),
    FOREIGN KEY (business_id, course_payment_id)
        REFERENCES courses.course_payment (business_id, course_payment_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT course_refund_reason_known
        CHECK (reason IN ('dissatisfied', 'duplicate', 'medical', 'class_cancelled', 'technical',
                          'fraud')),
    CONSTRAINT course_refund_status_known
        CHECK (status IN ('requested', 'approved', 'denied', 'processed', 'failed')),
    CONSTRAINT course_refund_amount_positive CHECK (amount > 0),
    CONSTRAINT course_refund_progress_is_a_share
        CHECK (progress_pct_at_request BETWEEN 0 AND 100),
    CONSTRAINT course_refund_window_not_negative CHECK (policy_window_days >= 0),
    CONSTRAINT course_refund_decided_has_time
        CHECK ((status = 'requested') = (decided_at IS NULL)),
    CONSTRAINT course_refund_decided_after_request CHECK (decided_at >= requested_at),
    CONSTRAINT course_refund_processed_has_time
        CHECK ((status = 'processed') = (processed_at IS NOT NULL)),
    CONSTRAINT course_refund_processed_after_decision CHECK (processed_at >= decided_at),
    CONSTRAINT course_refund_denied_for_a_reason
        CHECK ((status = 'denied') = (coalesce(denial_reason, '') ~ '\S'))
);

COMMENT ON TABLE courses.course_refund IS 'Refund with the policy that allowed it.';
COMMENT ON COLUMN courses.course_refund.policy_window_days IS
    'The window that held when it was asked for.';
COMMENT ON COLUMN courses.course_refund.progress_pct_at_request IS
    'How far the learner was: who took most of a course rarely gets all of the money back.';
COMMENT ON COLUMN courses.course_refund.approved_by IS 'NULL: by the policy, without a look.';

-- FK: what was given back of a payment.
CREATE INDEX course_refund_course_payment_idx
    ON courses.course_refund (business_id, course_payment_id);

-- FK: what was given back for an enrollment.
CREATE INDEX course_refund_enrollment_idx
    ON courses.course_refund (business_id, enrollment_id)
    WHERE enrollment_id IS NOT NULL;

-- What waits for a decision or for the provider, the oldest first.
CREATE INDEX course_refund_waiting_idx
    ON courses.course_refund (business_id, requested_at)
    WHERE status IN ('requested', 'approved', 'failed');

-- FK: what somebody approved.
CREATE INDEX course_refund_approved_by_idx
    ON courses.course_refund (business_id, approved_by)
    WHERE approved_by IS NOT NULL;

ALTER TABLE courses.course_refund ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_refund
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_refund TO app_user;
GRANT SELECT ON courses.course_refund TO app_readonly;

CREATE FUNCTION courses.stamp_refund() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.progress_pct_at_request IS NULL THEN
        SELECT e.progress_pct INTO NEW.progress_pct_at_request
        FROM courses.enrollment AS e
        WHERE e.business_id = NEW.business_id AND e.enrollment_id = NEW.enrollment_id;
    END IF;
    IF NEW.status <> 'requested' THEN
        NEW.decided_at := coalesce(NEW.decided_at, now());
    END IF;
    IF NEW.status = 'processed' THEN
        NEW.processed_at := coalesce(NEW.processed_at, now());
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.stamp_refund() IS
    'Notes how far the learner was, and when it was decided and processed.';

CREATE FUNCTION courses.settle_refund() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    paid courses.course_payment;
    back record;
BEGIN
    -- The payment is the lock: two refunds of it are counted one after the other.
    SELECT p.* INTO paid
    FROM courses.course_payment AS p
    WHERE p.business_id = NEW.business_id AND p.course_payment_id = NEW.course_payment_id
    FOR NO KEY UPDATE;
    IF NEW.status NOT IN ('denied', 'failed') AND NOT courses.is_money(paid.status) THEN
        RAISE EXCEPTION 'payment % is %: there is nothing to give back', paid.payment_number,
                        paid.status
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT coalesce(sum(r.amount) FILTER (WHERE r.status NOT IN ('denied', 'failed')), 0) AS asked,
           coalesce(sum(r.amount) FILTER (WHERE r.status = 'processed'), 0) AS processed
    INTO back
    FROM courses.course_refund AS r
    WHERE r.business_id = NEW.business_id AND r.course_payment_id = NEW.course_payment_id;
    IF back.asked > paid.amount THEN
        RAISE EXCEPTION 'payment % brought %, refunds of it come to %', paid.payment_number,
                        paid.amount, back.asked
            USING ERRCODE = 'check_violation', HINT = 'Give back no more than was paid.';
    END IF;
    IF NEW.status <> 'processed' OR (TG_OP = 'UPDATE' AND OLD.status = 'processed') THEN
        RETURN NULL;
    END IF;

    UPDATE courses.course_payment AS p
    SET status = 'refunded'
    WHERE p.business_id = NEW.business_id AND p.course_payment_id = NEW.course_payment_id
      AND p.status IN ('succeeded', 'disputed') AND back.processed = p.amount;
    PERFORM FROM courses.course_order AS o
    WHERE o.business_id = NEW.business_id AND o.course_order_id = paid.course_order_id
    FOR NO KEY UPDATE;
    UPDATE courses.course_order AS o
    SET refunded_amount = n.refunded,
        status = CASE WHEN n.refunded = o.paid_amount THEN 'refunded'
                      ELSE 'partially_refunded' END
    FROM (
        SELECT coalesce(sum(r.amount), 0) AS refunded
        FROM courses.course_payment AS p
        JOIN courses.course_refund AS r
            ON r.business_id = p.business_id AND r.course_payment_id = p.course_payment_id
           AND r.status = 'processed'
        WHERE p.business_id = NEW.business_id AND p.course_order_id = paid.course_order_id
    ) AS n
    WHERE o.business_id = NEW.business_id AND o.course_order_id = paid.course_order_id;

    IF NEW.revokes_access AND row_security_active(TG_RELID) THEN
        UPDATE courses.enrollment AS e
        SET status = CASE WHEN e.status = 'failed' THEN 'expired' ELSE 'withdrawn' END
        WHERE e.business_id = NEW.business_id AND e.enrollment_id = NEW.enrollment_id
          AND e.status NOT IN ('completed', 'withdrawn', 'expired');
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.settle_refund() IS
    'Refunds stay within their payment, also two at once. A processed one moves payment and order,
     and ends the access where it revokes it; an order of which all was given back no longer uses
     its coupon.';

CREATE TRIGGER course_refund_stamp
    BEFORE INSERT OR UPDATE OF status ON courses.course_refund
    FOR EACH ROW EXECUTE FUNCTION courses.stamp_refund();

CREATE TRIGGER course_refund_touch
    BEFORE UPDATE ON courses.course_refund
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER course_refund_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.course_refund
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["requested"],
        "transitions": {
            "requested": ["approved", "denied"],
            "approved":  ["processed", "failed"],
            "failed":    ["approved"],
            "denied":    [],
            "processed": []
        }}');

CREATE TRIGGER course_refund_settle
    AFTER INSERT OR UPDATE OF status, amount, course_payment_id ON courses.course_refund
    FOR EACH ROW EXECUTE FUNCTION courses.settle_refund();

-- What was given back stays on the books.
CREATE FUNCTION courses.keep_processed_refund() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a refund that was processed stands'
        USING ERRCODE = 'restrict_violation', HINT = 'The money is with the buyer.';
END
$$;
COMMENT ON FUNCTION courses.keep_processed_refund() IS
    'The amount and payment of a processed refund are not changed, nor is it deleted.';

CREATE TRIGGER course_refund_processed_stands
    BEFORE UPDATE OF amount, course_payment_id ON courses.course_refund
    FOR EACH ROW WHEN (OLD.status = 'processed'
                       AND (OLD.amount, OLD.course_payment_id)
                           IS DISTINCT FROM (NEW.amount, NEW.course_payment_id))
    EXECUTE FUNCTION courses.keep_processed_refund();

CREATE TRIGGER course_refund_processed_is_kept
    BEFORE DELETE ON courses.course_refund
    FOR EACH ROW WHEN (OLD.status = 'processed')
    EXECUTE FUNCTION courses.keep_processed_refund();


CREATE FUNCTION courses.order_differences()
    RETURNS TABLE (course_order_id uuid, figure text, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT o.course_order_id, f.figure, f.said, f.found
    FROM courses.course_order AS o
    LEFT JOIN (
        SELECT l.business_id, l.course_order_id, sum(l.quantity * l.unit_amount) AS subtotal,
               sum(l.discount_amount) AS discount, sum(l.tax_amount) AS tax
        FROM courses.course_order_line AS l
        WHERE l.business_id = tenant_mgmt.current_business_id()
        GROUP BY l.business_id, l.course_order_id
    ) AS l ON l.business_id = o.business_id AND l.course_order_id = o.course_order_id
    LEFT JOIN (
        SELECT p.business_id, p.course_order_id, sum(p.amount) AS paid
        FROM courses.course_payment AS p
        WHERE p.business_id = tenant_mgmt.current_business_id() AND courses.is_money(p.status)
        GROUP BY p.business_id, p.course_order_id
    ) AS p ON p.business_id = o.business_id AND p.course_order_id = o.course_order_id
    LEFT JOIN (
        SELECT p.business_id, p.course_order_id, sum(r.amount) AS refunded
        FROM courses.course_payment AS p
        JOIN courses.course_refund AS r
            ON r.business_id = p.business_id AND r.course_payment_id = p.course_payment_id
        WHERE p.business_id = tenant_mgmt.current_business_id() AND r.status = 'processed'
        GROUP BY p.business_id, p.course_order_id
    ) AS r ON r.business_id = o.business_id AND r.course_order_id = o.course_order_id
    CROSS JOIN LATERAL (VALUES
        ('subtotal', o.subtotal_amount::numeric, coalesce(l.subtotal, 0)),
        ('discount', o.discount_amount, coalesce(l.discount, 0)),
        ('tax', o.tax_amount, coalesce(l.tax, 0)),
        ('paid', o.paid_amount, coalesce(p.paid, 0)),
        ('refunded', o.refunded_amount, coalesce(r.refunded, 0))) AS f (figure, said, found)
    WHERE o.business_id = tenant_mgmt.current_business_id() AND f.said <> f.found;
END;
COMMENT ON FUNCTION courses.order_differences() IS
    'Proves the orders: figures that are not the sum of the lines, payments or refunds.';


CREATE FUNCTION courses.seat_differences()
    RETURNS TABLE (subject text, subject_id uuid, said bigint, found bigint)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'section', s.course_section_id, s.enrolled_count, count(e.enrollment_id)
    FROM courses.course_section AS s
    LEFT JOIN courses.enrollment AS e
        ON e.business_id = s.business_id AND e.course_section_id = s.course_section_id
       AND courses.holds_seat(e.status)
    WHERE s.business_id = tenant_mgmt.current_business_id()
    GROUP BY s.course_section_id, s.enrolled_count
    HAVING s.enrolled_count <> count(e.enrollment_id)
    UNION ALL
    SELECT 'course', k.course_id, k.enrollment_count, count(e.enrollment_id)
    FROM courses.course AS k
    LEFT JOIN courses.course_section AS s
        ON s.business_id = k.business_id AND s.course_id = k.course_id
    LEFT JOIN courses.enrollment AS e
        ON e.business_id = k.business_id AND e.course_section_id = s.course_section_id
       AND courses.holds_seat(e.status)
    WHERE k.business_id = tenant_mgmt.current_business_id()
    GROUP BY k.course_id, k.enrollment_count
    HAVING k.enrollment_count <> count(e.enrollment_id)
    UNION ALL
    SELECT 'program', p.program_id, p.enrollment_count, count(e.enrollment_id)
    FROM courses.program AS p
    LEFT JOIN courses.enrollment AS e
        ON e.business_id = p.business_id AND e.program_id = p.program_id
       AND courses.holds_seat(e.status)
    WHERE p.business_id = tenant_mgmt.current_business_id()
    GROUP BY p.program_id, p.enrollment_count
    HAVING p.enrollment_count <> count(e.enrollment_id)
    UNION ALL
    SELECT 'order line', l.course_order_line_id, l.seats_assigned, count(e.enrollment_id)
    FROM courses.course_order_line AS l
    LEFT JOIN courses.enrollment AS e
        ON e.business_id = l.business_id AND e.course_order_line_id = l.course_order_line_id
       AND courses.holds_seat(e.status)
    WHERE l.business_id = tenant_mgmt.current_business_id()
    GROUP BY l.course_order_line_id, l.seats_assigned
    HAVING l.seats_assigned <> count(e.enrollment_id)
    UNION ALL
    SELECT 'cohort', c.cohort_id, c.member_count, count(m.cohort_member_id)
    FROM courses.cohort AS c
    LEFT JOIN courses.cohort_member AS m
        ON m.business_id = c.business_id AND m.cohort_id = c.cohort_id AND m.left_at IS NULL
    WHERE c.business_id = tenant_mgmt.current_business_id()
    GROUP BY c.cohort_id, c.member_count
    HAVING c.member_count <> count(m.cohort_member_id)
    UNION ALL
    SELECT 'coupon', k.coupon_id, k.redemption_count, count(o.course_order_id)
    FROM courses.coupon AS k
    LEFT JOIN courses.course_order AS o
        ON o.business_id = k.business_id AND o.coupon_id = k.coupon_id
       AND courses.uses_coupon(o.status)
    WHERE k.business_id = tenant_mgmt.current_business_id()
    GROUP BY k.coupon_id, k.redemption_count
    HAVING k.redemption_count <> count(o.course_order_id);
END;
COMMENT ON FUNCTION courses.seat_differences() IS
    'Proves the counters: sections, courses, programs, order lines, cohorts and coupons that do not
     count what is there.';


-- A reference of an earlier file that had to wait for the order lines.
ALTER TABLE courses.enrollment
    ADD FOREIGN KEY (business_id, course_order_line_id)
    REFERENCES courses.course_order_line (business_id, course_order_line_id);
