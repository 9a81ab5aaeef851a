/*
 * TODO: what the area is and how its tables relate.
 *
 * Buyers and finance: offers, coupons, orders, payments, refunds, scholarships and instructor pay.
 */

CREATE TABLE courses.price_offer (
    business_id       uuid                 NOT NULL,
    price_offer_id    uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    course_id         uuid,
    program_id        uuid,
    course_section_id uuid,
    offer_code        system_core.code,
    title             text                 NOT NULL,
    pricing           text                 NOT NULL,
    amount            system_core.money,
    currency_code     system_core.currency NOT NULL,
    installment_count integer,
    access_days       integer,
    country_codes     text[]               NOT NULL DEFAULT '{}',
    early_bird_amount system_core.money,
    early_bird_until  timestamptz(6),
    valid_from        date,
    valid_until       date,
    tax_category      text,
    created_at        timestamptz          NOT NULL DEFAULT now(),
    updated_at        timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, price_offer_id),
    UNIQUE (business_id, offer_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, program_id) REFERENCES courses.program (business_id, program_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    CONSTRAINT price_offer_pricing_known
        CHECK (pricing IN ('one_time', 'subscription', 'installments', 'free',
               'pay_what_you_want')),
    CONSTRAINT price_offer_early_bird_amount_amount CHECK (early_bird_amount < amount)
);

COMMENT ON TABLE courses.price_offer IS
    'Price at which a course, program or bundle is sold in a market.';
-- RULE exactly one of course_id, program_id and course_section_id
-- RULE amount = 0 exactly when free

-- FK: the price offers of a course.
CREATE INDEX price_offer_course_idx
    ON courses.price_offer (business_id, course_id)
    WHERE course_id IS NOT NULL;

-- FK: the price offers of a program.
CREATE INDEX price_offer_program_idx
    ON courses.price_offer (business_id, program_id)
    WHERE program_id IS NOT NULL;

-- FK: the price offers of a course section.
CREATE INDEX price_offer_course_section_idx
    ON courses.price_offer (business_id, course_section_id)
    WHERE course_section_id IS NOT NULL;

ALTER TABLE courses.price_offer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.price_offer
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.price_offer TO app_user;
GRANT SELECT ON courses.price_offer TO app_readonly;

CREATE TRIGGER price_offer_touch
    BEFORE UPDATE ON courses.price_offer
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.coupon (
    business_id                uuid                 NOT NULL,
    coupon_id                  uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    created_by_user_account_id uuid,
    code                       system_core.code     NOT NULL,
    discount_kind              text                 NOT NULL,
    percent_off                system_core.quantity,
    amount_off                 system_core.quantity,
    max_redemptions            integer,
    redemption_count           integer,
    per_learner_limit          integer,
    applies_to_offer_codes     text[]               NOT NULL DEFAULT '{}',
    minimum_order_amount       system_core.money,
    starts_at                  timestamptz          NOT NULL,
    expires_at                 timestamptz,
    is_active                  boolean              NOT NULL DEFAULT false,
    campaign                   text,
    created_at                 timestamptz          NOT NULL DEFAULT now(),
    updated_at                 timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, coupon_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, created_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT coupon_discount_kind_known CHECK (discount_kind IN ('percent', 'amount')),
    CONSTRAINT coupon_redemption_count_max_redemptions CHECK (redemption_count <= max_redemptions),
    CONSTRAINT coupon_expires_at_after_starts_at CHECK (expires_at > starts_at)
);

COMMENT ON TABLE courses.coupon IS 'Discount code with limits.';
-- RULE exactly one of percent_off and amount_off

-- FK: the coupons of a user account.
CREATE INDEX coupon_created_by_user_account_idx
    ON courses.coupon (business_id, created_by_user_account_id)
    WHERE created_by_user_account_id IS NOT NULL;

ALTER TABLE courses.coupon ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.coupon
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.coupon TO app_user;
GRANT SELECT ON courses.coupon TO app_readonly;

CREATE TRIGGER coupon_touch
    BEFORE UPDATE ON courses.coupon
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.scholarship_award (
    business_id          uuid                   NOT NULL,
    scholarship_award_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    awarded_by           uuid                   NOT NULL,
    learner_id           uuid                   NOT NULL,
    program_id           uuid,
    course_section_id    uuid,
    fund_name            text,
    award_kind           text                   NOT NULL,
    amount               system_core.money,
    percent              system_core.percentage,
    conditions           text,
    minimum_gpa          system_core.quantity,
    awarded_on           date,
    valid_until          date,
    status               text                   NOT NULL DEFAULT 'offered',
    revoked_reason       text,
    used_amount          system_core.money,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, scholarship_award_id),
    FOREIGN KEY (business_id, awarded_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, program_id) REFERENCES courses.program (business_id, program_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    CONSTRAINT scholarship_award_award_kind_known
        CHECK (award_kind IN ('full', 'partial', 'fee_waiver', 'employer_sponsored', 'grant')),
    CONSTRAINT scholarship_award_status_known
        CHECK (status IN ('offered', 'accepted', 'active', 'revoked', 'completed')),
    CONSTRAINT scholarship_award_percent_bounded CHECK (percent BETWEEN 1 AND 100),
    CONSTRAINT scholarship_award_used_amount_amount CHECK (used_amount <= amount)
);

COMMENT ON TABLE courses.scholarship_award IS 'Tuition support for a learner with conditions.';
-- RULE exactly one of amount and percent
-- RULE revoked_reason is not null when revoked

-- FK: the scholarship awards of a user account.
CREATE INDEX scholarship_award_awarded_by_idx
    ON courses.scholarship_award (business_id, awarded_by);

-- FK: the scholarship awards of a learner.
CREATE INDEX scholarship_award_learner_idx
    ON courses.scholarship_award (business_id, learner_id);

-- FK: the scholarship awards of a program.
CREATE INDEX scholarship_award_program_idx
    ON courses.scholarship_award (business_id, program_id)
    WHERE program_id IS NOT NULL;

-- FK: the scholarship awards of a course section.
CREATE INDEX scholarship_award_course_section_idx
    ON courses.scholarship_award (business_id, course_section_id)
    WHERE course_section_id IS NOT NULL;

ALTER TABLE courses.scholarship_award ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.scholarship_award
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.scholarship_award TO app_user;
GRANT SELECT ON courses.scholarship_award TO app_readonly;

CREATE TRIGGER scholarship_award_touch
    BEFORE UPDATE ON courses.scholarship_award
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.instructor_payout (
    business_id              uuid                   NOT NULL,
    instructor_payout_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    instructor_id            uuid                   NOT NULL,
    course_section_id        uuid,
    period_month             date,
    basis                    text                   NOT NULL,
    gross_revenue_amount     system_core.money,
    refund_adjustment_amount system_core.money,
    share_pct                system_core.percentage,
    hours                    numeric(9, 2),
    payout_amount            system_core.money,
    status                   text                   NOT NULL DEFAULT 'accrued',
    paid_on                  date,
    statement_reference      text,
    hold_reason              text,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, instructor_payout_id),
    FOREIGN KEY (business_id, instructor_id)
        REFERENCES courses.instructor (business_id, instructor_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    CONSTRAINT instructor_payout_basis_known
        CHECK (basis IN ('revenue_share', 'hours', 'flat', 'per_learner')),
    CONSTRAINT instructor_payout_status_known
        CHECK (status IN ('accrued', 'approved', 'paid', 'on_hold', 'reversed')),
    CONSTRAINT instructor_payout_payout_amount_not_negative CHECK (payout_amount >= 0)
);

COMMENT ON TABLE courses.instructor_payout IS 'Share or fee owed to an instructor for a month.';
-- RULE unique (business_id, instructor_id, course_section_id, period_month, basis) nulls not distinct
-- RULE paid_on is not null when paid

-- FK: the instructor payouts of a instructor.
CREATE INDEX instructor_payout_instructor_idx
    ON courses.instructor_payout (business_id, instructor_id);

-- FK: the instructor payouts of a course section.
CREATE INDEX instructor_payout_course_section_idx
    ON courses.instructor_payout (business_id, course_section_id)
    WHERE course_section_id IS NOT NULL;

ALTER TABLE courses.instructor_payout ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.instructor_payout
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.instructor_payout TO app_user;
GRANT SELECT ON courses.instructor_payout TO app_readonly;

CREATE TRIGGER instructor_payout_touch
    BEFORE UPDATE ON courses.instructor_payout
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.course_order (
    business_id           uuid                 NOT NULL,
    course_order_id       uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    buyer_user_account_id uuid                 NOT NULL,
    postal_address_id     uuid,
    coupon_id             uuid,
    order_number          text                 NOT NULL,
    status                text                 NOT NULL DEFAULT 'cart',
    ordered_at            timestamptz,
    subtotal_amount       system_core.money,
    discount_amount       system_core.money,
    tax_amount            system_core.money,
    total_amount          system_core.money,
    paid_amount           system_core.money,
    refunded_amount       system_core.money,
    currency_code         system_core.currency NOT NULL,
    purchase_order_number text                 NOT NULL,
    channel               text                 NOT NULL,
    terms_accepted_at     timestamptz,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_order_id),
    UNIQUE (business_id, order_number),
    FOREIGN KEY (business_id, buyer_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, postal_address_id)
        REFERENCES system_core.postal_address (business_id, postal_address_id),
    FOREIGN KEY (business_id, coupon_id) REFERENCES courses.coupon (business_id, coupon_id),
    CONSTRAINT course_order_status_known
        CHECK (status IN ('cart', 'pending', 'paid', 'partially_refunded', 'refunded',
               'cancelled', 'failed')),
    CONSTRAINT course_order_channel_known
        CHECK (channel IN ('web', 'mobile', 'sales', 'marketplace', 'invoice')),
    CONSTRAINT course_order_total_amount_subtotal_amount_discount_am
        CHECK (total_amount = subtotal_amount - discount_amount + tax_amount),
    CONSTRAINT course_order_paid_amount_total_amount_and_refunded_am
        CHECK (paid_amount <= total_amount AND refunded_amount <= paid_amount)
);

COMMENT ON TABLE courses.course_order IS 'Purchase by a learner or company.';
-- RULE ordered_at is not null unless cart

-- FK: the course orders of a user account.
CREATE INDEX course_order_buyer_user_account_idx
    ON courses.course_order (business_id, buyer_user_account_id);

-- FK: the course orders of a postal address.
CREATE INDEX course_order_postal_address_idx
    ON courses.course_order (business_id, postal_address_id)
    WHERE postal_address_id IS NOT NULL;

-- FK: the course orders of a coupon.
CREATE INDEX course_order_coupon_idx
    ON courses.course_order (business_id, coupon_id)
    WHERE coupon_id IS NOT NULL;

ALTER TABLE courses.course_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_order TO app_user;
GRANT SELECT ON courses.course_order TO app_readonly;

CREATE TRIGGER course_order_touch
    BEFORE UPDATE ON courses.course_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.course_order_line (
    business_id           uuid                 NOT NULL,
    course_order_line_id  uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    course_order_id       uuid                 NOT NULL,
    price_offer_id        uuid                 NOT NULL,
    line_no               integer,
    quantity              system_core.quantity,
    unit_amount           system_core.money,
    discount_amount       system_core.money,
    tax_amount            system_core.money,
    line_amount           system_core.money,
    seats_assigned        integer,
    recognized_amount     system_core.money,
    recognition_starts_on date,
    recognition_ends_on   date,
    is_gift               boolean              NOT NULL DEFAULT false,
    gift_recipient_email  system_core.email,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_order_line_id),
    UNIQUE (business_id, course_order_id, line_no),
    FOREIGN KEY (business_id, course_order_id)
        REFERENCES courses.course_order (business_id, course_order_id),
    FOREIGN KEY (business_id, price_offer_id)
        REFERENCES courses.price_offer (business_id, price_offer_id),
    CONSTRAINT course_order_line_line_amount_quantity_unit_amount_discoun
        CHECK (line_amount = quantity * unit_amount - discount_amount),
    CONSTRAINT course_order_line_seats_assigned_quantity CHECK (seats_assigned <= quantity),
    CONSTRAINT course_order_line_recognized_amount_line_amount
        CHECK (recognized_amount <= line_amount)
);

COMMENT ON TABLE courses.course_order_line IS 'Offer bought, with seats and revenue schedule.';

-- FK: the course order lines of a price offer.
CREATE INDEX course_order_line_price_offer_idx
    ON courses.course_order_line (business_id, price_offer_id);

ALTER TABLE courses.course_order_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_order_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_order_line TO app_user;
GRANT SELECT ON courses.course_order_line TO app_readonly;

CREATE TRIGGER course_order_line_touch
    BEFORE UPDATE ON courses.course_order_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.course_payment (
    business_id        uuid              NOT NULL,
    course_payment_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    course_order_id    uuid              NOT NULL,
    payment_number     text              NOT NULL,
    method             text              NOT NULL,
    provider_reference text,
    amount             system_core.money,
    fee_amount         system_core.money,
    installment_no     integer,
    due_on             date,
    attempted_at       timestamptz,
    paid_at            timestamptz,
    status             text              NOT NULL DEFAULT 'scheduled',
    failure_code       system_core.code,
    last4              text,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_payment_id),
    UNIQUE (business_id, payment_number),
    FOREIGN KEY (business_id, course_order_id)
        REFERENCES courses.course_order (business_id, course_order_id),
    CONSTRAINT course_payment_method_known
        CHECK (method IN ('card', 'paypal', 'bank_transfer', 'wallet', 'invoice', 'voucher')),
    CONSTRAINT course_payment_status_known
        CHECK (status IN ('scheduled', 'pending', 'succeeded', 'failed', 'refunded', 'disputed')),
    CONSTRAINT course_payment_amount_positive CHECK (amount > 0),
    CONSTRAINT course_payment_paid_at_not_before_attempted_at CHECK (paid_at >= attempted_at)
);

COMMENT ON TABLE courses.course_payment IS 'Payment or instalment against an order.';
-- RULE no card number column exists

-- FK: the course payments of a course order.
CREATE INDEX course_payment_course_order_idx
    ON courses.course_payment (business_id, course_order_id);

ALTER TABLE courses.course_payment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_payment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_payment TO app_user;
GRANT SELECT ON courses.course_payment TO app_readonly;

CREATE TRIGGER course_payment_touch
    BEFORE UPDATE ON courses.course_payment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.course_refund (
    business_id             uuid                 NOT NULL,
    course_refund_id        uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    approved_by             uuid,
    course_payment_id       uuid                 NOT NULL,
    enrollment_id           uuid,
    requested_at            timestamptz,
    reason                  text                 NOT NULL,
    policy_window_days      integer,
    progress_pct_at_request system_core.quantity,
    amount                  system_core.money,
    status                  text                 NOT NULL DEFAULT 'requested',
    decided_at              timestamptz,
    processed_at            timestamptz,
    revokes_access          boolean              NOT NULL DEFAULT false,
    denial_reason           text,
    created_at              timestamptz          NOT NULL DEFAULT now(),
    updated_at              timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_refund_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, course_payment_id)
        REFERENCES courses.course_payment (business_id, course_payment_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT course_refund_reason_known
        CHECK (reason IN ('dissatisfied', 'duplicate', 'medical', 'class_cancelled', 'technical',
               'fraud')),
    CONSTRAINT course_refund_status_known
        CHECK (status IN ('requested', 'approved', 'denied', 'processed', 'failed')),
    CONSTRAINT course_refund_processed_at_not_before_decided_at CHECK (processed_at >= decided_at)
);

COMMENT ON TABLE courses.course_refund IS 'Refund with the policy that allowed it.';
-- RULE amount <= the payment's unrefunded amount (trigger)
-- RULE denial_reason is not null when denied

-- FK: the course refunds of a user account.
CREATE INDEX course_refund_approved_by_idx
    ON courses.course_refund (business_id, approved_by)
    WHERE approved_by IS NOT NULL;

-- FK: the course refunds of a course payment.
CREATE INDEX course_refund_course_payment_idx
    ON courses.course_refund (business_id, course_payment_id);

-- FK: the course refunds of a enrollment.
CREATE INDEX course_refund_enrollment_idx
    ON courses.course_refund (business_id, enrollment_id)
    WHERE enrollment_id IS NOT NULL;

ALTER TABLE courses.course_refund ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_refund
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_refund TO app_user;
GRANT SELECT ON courses.course_refund TO app_readonly;

CREATE TRIGGER course_refund_touch
    BEFORE UPDATE ON courses.course_refund
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


-- Closes the circle with an earlier file.
ALTER TABLE courses.enrollment
    ADD FOREIGN KEY (business_id, course_order_line_id) REFERENCES courses.course_order_line (business_id, course_order_line_id);
