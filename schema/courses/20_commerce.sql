/*
 * Commerce: what a course costs, who bought it, what was paid and given back.
 *
 * A price_offer sells a course, a program or a section. A course_order starts as a cart; its
 * course_order_lines make its totals, courses.apply_coupon() takes a coupon off them. Once it is
 * placed the lines stand, and the use of the coupon counts. course_payments pay it, at once or in
 * instalments, and let in whoever holds a seat by it; course_refunds give money back, never more
 * than was paid, and may end the access. Totals, payments and refunds follow in the statement that
 * changes them; courses.order_differences() proves that they agree.
 *
 * Locks are taken in one order: payment, order, coupon, enrollment, section, course, order line.
 */

CREATE TABLE courses.price_offer (
    business_id       uuid                 NOT NULL,
    price_offer_id    uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    course_id         uuid,
    program_id        uuid,
    course_section_id uuid,
    offer_code        system_core.code     NOT NULL,
    title             text                 NOT NULL,
    pricing           text                 NOT NULL,
    amount            system_core.money    NOT NULL,
    currency_code     system_core.currency NOT NULL,
    installment_count integer,
    access_days       integer,
    country_codes     text[]               NOT NULL DEFAULT '{}',
    early_bird_amount system_core.money,
    early_bird_until  timestamptz,
    valid_from        date                 NOT NULL DEFAULT current_date,
    valid_until       date,
    tax_category      text                 NOT NULL DEFAULT 'education',
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
    CONSTRAINT price_offer_sells_one_thing
        CHECK (num_nonnulls(course_id, program_id, course_section_id) = 1),
    CONSTRAINT price_offer_costs_something_unless_free
        CHECK (amount >= 0 AND (amount = 0) = (pricing = 'free')),
    CONSTRAINT price_offer_installments_are_several
        CHECK ((pricing = 'installments') = (installment_count IS NOT NULL)
               AND installment_count BETWEEN 2 AND 60),
    CONSTRAINT price_offer_early_bird_is_cheaper
        CHECK (early_bird_amount < amount AND early_bird_amount > 0),
    CONSTRAINT price_offer_early_bird_is_whole
        CHECK ((early_bird_amount IS NULL) = (early_bird_until IS NULL)),
    CONSTRAINT price_offer_access_positive CHECK (access_days > 0),
    CONSTRAINT price_offer_ends_after_start CHECK (valid_until >= valid_from)
);

COMMENT ON TABLE courses.price_offer IS
    'Price at which a course, a program or a section is sold in a market.';
COMMENT ON COLUMN courses.price_offer.amount IS
    'The whole price, also where it is paid in instalments; with pay_what_you_want what is
     suggested.';
COMMENT ON COLUMN courses.price_offer.access_days IS 'NULL: as long as the section is open.';
COMMENT ON COLUMN courses.price_offer.country_codes IS 'Empty: everywhere.';

-- FK: what a course costs.
CREATE INDEX price_offer_course_idx
    ON courses.price_offer (business_id, course_id, amount)
    WHERE course_id IS NOT NULL;

-- FK: what a program costs.
CREATE INDEX price_offer_program_idx
    ON courses.price_offer (business_id, program_id)
    WHERE program_id IS NOT NULL;

-- FK: what a section costs apart from its course.
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

CREATE FUNCTION courses.offer_price(offer courses.price_offer, moment timestamptz DEFAULT now())
    RETURNS numeric
    LANGUAGE sql STABLE
    RETURN CASE WHEN moment < (offer).early_bird_until THEN (offer).early_bird_amount
                ELSE (offer).amount END;
COMMENT ON FUNCTION courses.offer_price(courses.price_offer, timestamptz) IS
    'What an offer costs at a moment: less for the early.';


CREATE TABLE courses.coupon (
    business_id                uuid                   NOT NULL,
    coupon_id                  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    created_by_user_account_id uuid,
    code                       system_core.code       NOT NULL,
    discount_kind              text                   NOT NULL,
    percent_off                system_core.percentage,
    amount_off                 system_core.money,
    max_redemptions            integer,
    redemption_count           integer                NOT NULL DEFAULT 0,
    per_learner_limit          integer,
    applies_to_offer_codes     text[]                 NOT NULL DEFAULT '{}',
    minimum_order_amount       system_core.money      NOT NULL DEFAULT 0,
    starts_at                  timestamptz            NOT NULL DEFAULT now(),
    expires_at                 timestamptz,
    is_active                  boolean                NOT NULL DEFAULT true,
    campaign                   text,
    created_at                 timestamptz            NOT NULL DEFAULT now(),
    updated_at                 timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, coupon_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, created_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT coupon_code_is_upper_case CHECK (code = upper(code)),
    CONSTRAINT coupon_discount_kind_known CHECK (discount_kind IN ('percent', 'amount')),
    CONSTRAINT coupon_takes_off_one_way
        CHECK ((percent_off IS NOT NULL) = (discount_kind = 'percent')
               AND (amount_off IS NOT NULL) = (discount_kind = 'amount')),
    CONSTRAINT coupon_takes_something_off
        CHECK (percent_off > 0 AND percent_off <= 100 AND amount_off > 0),
    CONSTRAINT coupon_not_used_too_often CHECK (redemption_count BETWEEN 0 AND max_redemptions),
    CONSTRAINT coupon_limits_positive CHECK (max_redemptions > 0 AND per_learner_limit > 0),
    CONSTRAINT coupon_minimum_not_negative CHECK (minimum_order_amount >= 0),
    CONSTRAINT coupon_ends_after_start CHECK (expires_at > starts_at)
);

COMMENT ON TABLE courses.coupon IS 'Discount code with limits.';
COMMENT ON COLUMN courses.coupon.redemption_count IS
    'Orders that were placed with it and neither cancelled nor given back; kept by them.';
COMMENT ON COLUMN courses.coupon.per_learner_limit IS 'How often one buyer may use it.';
COMMENT ON COLUMN courses.coupon.applies_to_offer_codes IS 'Empty: everything.';

-- FK: the coupons that somebody made.
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


CREATE TABLE courses.course_order (
    business_id           uuid                 NOT NULL,
    course_order_id       uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    buyer_user_account_id uuid                 NOT NULL,
    postal_address_id     uuid,
    coupon_id             uuid,
    order_number          text                 NOT NULL,
    status                text                 NOT NULL DEFAULT 'cart',
    ordered_at            timestamptz,
    subtotal_amount       system_core.money    NOT NULL DEFAULT 0,
    discount_amount       system_core.money    NOT NULL DEFAULT 0,
    tax_amount            system_core.money    NOT NULL DEFAULT 0,
    total_amount          system_core.money    NOT NULL
        GENERATED ALWAYS AS (subtotal_amount - discount_amount + tax_amount) STORED,
    paid_amount           system_core.money    NOT NULL DEFAULT 0,
    refunded_amount       system_core.money    NOT NULL DEFAULT 0,
    currency_code         system_core.currency NOT NULL,
    purchase_order_number text,
    channel               text                 NOT NULL DEFAULT 'web',
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
    CONSTRAINT course_order_total_not_negative
        CHECK (subtotal_amount >= 0 AND tax_amount >= 0
               AND discount_amount BETWEEN 0 AND subtotal_amount),
    CONSTRAINT course_order_not_overpaid
        CHECK (paid_amount BETWEEN 0 AND subtotal_amount - discount_amount + tax_amount),
    CONSTRAINT course_order_refunds_what_was_paid
        CHECK (refunded_amount BETWEEN 0 AND paid_amount),
    CONSTRAINT course_order_paid_in_full
        CHECK (status <> 'paid'
               OR paid_amount = subtotal_amount - discount_amount + tax_amount),
    CONSTRAINT course_order_refunded_in_part
        CHECK (status <> 'partially_refunded'
               OR (refunded_amount > 0 AND refunded_amount < paid_amount)),
    CONSTRAINT course_order_refunded_in_full
        CHECK (status <> 'refunded' OR refunded_amount = paid_amount),
    CONSTRAINT course_order_cancelled_before_payment
        CHECK (status <> 'cancelled' OR paid_amount = 0),
    CONSTRAINT course_order_placed_has_time CHECK (status = 'cart' OR ordered_at IS NOT NULL),
    CONSTRAINT course_order_invoice_names_their_order
        CHECK (channel <> 'invoice' OR coalesce(purchase_order_number, '') ~ '\S')
);

COMMENT ON TABLE courses.course_order IS 'Purchase by a learner or company.';
COMMENT ON COLUMN courses.course_order.subtotal_amount IS
    'The lines before discount and tax; like discount and tax kept by the lines.';
COMMENT ON COLUMN courses.course_order.paid_amount IS
    'What came in, also what was given back since; kept by the payments.';
COMMENT ON COLUMN courses.course_order.refunded_amount IS
    'Refunds that were processed; kept by them.';
COMMENT ON COLUMN courses.course_order.purchase_order_number IS
    'Of the company that pays by invoice.';

-- FK: what somebody bought, the newest first.
CREATE INDEX course_order_buyer_user_account_idx
    ON courses.course_order (business_id, buyer_user_account_id, ordered_at DESC);

-- The revenue of a period.
CREATE INDEX course_order_ordered_at_idx
    ON courses.course_order (business_id, ordered_at) WHERE status <> 'cart';

-- FK: what is billed to an address.
CREATE INDEX course_order_postal_address_idx
    ON courses.course_order (business_id, postal_address_id)
    WHERE postal_address_id IS NOT NULL;

-- FK: the uses of a coupon, by buyer.
CREATE INDEX course_order_coupon_idx
    ON courses.course_order (business_id, coupon_id, buyer_user_account_id)
    WHERE coupon_id IS NOT NULL;

ALTER TABLE courses.course_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_order TO app_user;
GRANT SELECT ON courses.course_order TO app_readonly;

CREATE FUNCTION courses.uses_coupon(status text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN status IN ('pending', 'paid', 'partially_refunded');
COMMENT ON FUNCTION courses.uses_coupon(text) IS
    'Whether an order of that status counts as a use of its coupon: from when it is placed until
     it is cancelled, fails, or all of it is given back.';

CREATE FUNCTION courses.place_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.ordered_at := coalesce(NEW.ordered_at, now());
    IF NEW.subtotal_amount - NEW.discount_amount + NEW.tax_amount = 0
       AND NEW.status = 'pending' THEN
        NEW.status := 'paid';
    END IF;
    IF NEW.status IN ('pending', 'paid') AND row_security_active(TG_RELID)
       AND NOT EXISTS (SELECT FROM courses.course_order_line AS l
                       WHERE l.business_id = NEW.business_id
                         AND l.course_order_id = NEW.course_order_id) THEN
        RAISE EXCEPTION 'order % has nothing in it', NEW.order_number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.place_order() IS
    'An order is placed with something in it, at a moment; one that costs nothing is paid at once.';

CREATE FUNCTION courses.count_redemptions() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    touched uuid[];
    wrong   record;
BEGIN
    IF TG_OP = 'INSERT' THEN
        touched := ARRAY(SELECT DISTINCT c.coupon_id FROM changed AS c
                         WHERE c.coupon_id IS NOT NULL AND courses.uses_coupon(c.status));
    ELSIF TG_OP = 'DELETE' THEN
        touched := ARRAY(SELECT DISTINCT f.coupon_id FROM former AS f
                         WHERE f.coupon_id IS NOT NULL AND courses.uses_coupon(f.status));
    ELSE
        touched := ARRAY(
            SELECT x.coupon_id
            FROM changed AS c
            JOIN former AS f
                ON f.business_id = c.business_id AND f.course_order_id = c.course_order_id
            CROSS JOIN LATERAL (VALUES (c.coupon_id), (f.coupon_id)) AS x (coupon_id)
            WHERE (CASE WHEN courses.uses_coupon(c.status) THEN c.coupon_id END)
                  IS DISTINCT FROM (CASE WHEN courses.uses_coupon(f.status) THEN f.coupon_id END)
              AND x.coupon_id IS NOT NULL
            GROUP BY x.coupon_id);
    END IF;
    IF cardinality(touched) = 0 THEN
        RETURN NULL;
    END IF;
    -- Counted under the lock: the last use of a coupon goes to one of two who order at once.
    PERFORM FROM courses.coupon AS k
    WHERE k.business_id = tenant_mgmt.current_business_id() AND k.coupon_id = ANY (touched)
    ORDER BY k.coupon_id
    FOR NO KEY UPDATE;
    UPDATE courses.coupon AS k
    SET redemption_count = n.uses
    FROM (
        SELECT x.coupon_id, count(o.course_order_id) AS uses
        FROM courses.coupon AS x
        LEFT JOIN courses.course_order AS o
            ON o.business_id = x.business_id AND o.coupon_id = x.coupon_id
           AND courses.uses_coupon(o.status)
        WHERE x.business_id = tenant_mgmt.current_business_id() AND x.coupon_id = ANY (touched)
        GROUP BY x.business_id, x.coupon_id
    ) AS n
    WHERE k.business_id = tenant_mgmt.current_business_id() AND k.coupon_id = n.coupon_id
      AND k.redemption_count <> n.uses;
    SELECT k.code, k.per_learner_limit INTO wrong
    FROM courses.coupon AS k
    JOIN courses.course_order AS o
        ON o.business_id = k.business_id AND o.coupon_id = k.coupon_id
       AND courses.uses_coupon(o.status)
    WHERE k.business_id = tenant_mgmt.current_business_id() AND k.coupon_id = ANY (touched)
    GROUP BY k.business_id, k.coupon_id, k.code, k.per_learner_limit, o.buyer_user_account_id
    HAVING count(*) > k.per_learner_limit
    ORDER BY k.code
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'coupon % can be used % times by one buyer', wrong.code,
                        wrong.per_learner_limit
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.count_redemptions() IS
    'A coupon counts the orders that use it; its limits hold, in all and per buyer, also for two
     who order at once.';

CREATE FUNCTION courses.admit_buyers() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        UPDATE courses.enrollment AS e
        SET status = 'active'
        FROM courses.course_order_line AS l
        WHERE l.business_id = NEW.business_id AND l.course_order_id = NEW.course_order_id
          AND e.business_id = l.business_id
          AND e.course_order_line_id = l.course_order_line_id
          AND e.status = 'pending_payment'
          AND courses.is_paid_for(ROW(l.*)::courses.course_order_line);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.admit_buyers() IS
    'What is paid for begins: the seats that waited for the money become active.';

CREATE FUNCTION courses.give_up_seats() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        UPDATE courses.enrollment AS e
        SET status = 'withdrawn'
        FROM courses.course_order_line AS l
        WHERE l.business_id = NEW.business_id AND l.course_order_id = NEW.course_order_id
          AND e.business_id = l.business_id
          AND e.course_order_line_id = l.course_order_line_id
          AND e.status = 'pending_payment';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.give_up_seats() IS
    'An order that is cancelled gives up the seats that waited for its money. One that only failed
     may be paid yet: courses.expire_enrollments() gives up what it holds.';

CREATE TRIGGER course_order_place
    BEFORE UPDATE OF status ON courses.course_order
    FOR EACH ROW WHEN (OLD.status = 'cart' AND NEW.status <> 'cart')
    EXECUTE FUNCTION courses.place_order();

CREATE TRIGGER course_order_touch
    BEFORE UPDATE ON courses.course_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER course_order_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.course_order
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["cart"],
        "transitions": {
            "cart":               ["pending", "paid", "cancelled"],
            "pending":            ["paid", "partially_refunded", "refunded", "cancelled",
                                   "failed"],
            "failed":             ["pending", "cancelled"],
            "paid":               ["partially_refunded", "refunded"],
            "partially_refunded": ["refunded"],
            "refunded":           [],
            "cancelled":          []
        }}');

CREATE TRIGGER course_order_redemptions_on_insert
    AFTER INSERT ON courses.course_order
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_redemptions();

CREATE TRIGGER course_order_redemptions_on_update
    AFTER UPDATE ON courses.course_order
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_redemptions();

CREATE TRIGGER course_order_redemptions_on_delete
    AFTER DELETE ON courses.course_order
    REFERENCING OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_redemptions();

CREATE TRIGGER course_order_admit_buyers
    AFTER UPDATE OF status, paid_amount ON courses.course_order
    FOR EACH ROW WHEN (NEW.status IN ('pending', 'paid')
                       AND (NEW.status <> OLD.status OR NEW.paid_amount > OLD.paid_amount))
    EXECUTE FUNCTION courses.admit_buyers();

CREATE TRIGGER course_order_give_up_seats
    AFTER UPDATE OF status ON courses.course_order
    FOR EACH ROW WHEN (NEW.status = 'cancelled' AND OLD.status <> 'cancelled')
    EXECUTE FUNCTION courses.give_up_seats();


CREATE TABLE courses.course_order_line (
    business_id           uuid              NOT NULL,
    course_order_line_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    course_order_id       uuid              NOT NULL,
    price_offer_id        uuid              NOT NULL,
    line_no               integer           NOT NULL,
    quantity              integer           NOT NULL DEFAULT 1,
    unit_amount           system_core.money NOT NULL,
    discount_amount       system_core.money NOT NULL DEFAULT 0,
    tax_amount            system_core.money NOT NULL DEFAULT 0,
    line_amount           system_core.money NOT NULL
        GENERATED ALWAYS AS (quantity * unit_amount - discount_amount) STORED,
    seats_assigned        integer           NOT NULL DEFAULT 0,
    recognized_amount     system_core.money NOT NULL DEFAULT 0,
    recognition_starts_on date,
    recognition_ends_on   date,
    is_gift               boolean           NOT NULL DEFAULT false,
    gift_recipient_email  system_core.email,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_order_line_id),
    UNIQUE (business_id, course_order_id, line_no),
    FOREIGN KEY (business_id, course_order_id)
        REFERENCES courses.course_order (business_id, course_order_id),
    FOREIGN KEY (business_id, price_offer_id)
        REFERENCES courses.price_offer (business_id, price_offer_id),
    CONSTRAINT course_order_line_quantity_positive CHECK (quantity >= 1),
    CONSTRAINT course_order_line_amounts_not_negative
        CHECK (unit_amount >= 0 AND tax_amount >= 0),
    CONSTRAINT course_order_line_discount_at_most_its_price
        CHECK (discount_amount BETWEEN 0 AND quantity * unit_amount),
    CONSTRAINT course_order_line_gives_no_more_seats_than_bought
        CHECK (seats_assigned BETWEEN 0 AND quantity),
    CONSTRAINT course_order_line_recognized_at_most_its_amount
        CHECK (recognized_amount BETWEEN 0 AND quantity * unit_amount - discount_amount),
    CONSTRAINT course_order_line_recognition_is_a_period
        CHECK ((recognition_starts_on IS NULL) = (recognition_ends_on IS NULL)
               AND recognition_ends_on >= recognition_starts_on),
    CONSTRAINT course_order_line_gift_goes_to_somebody
        CHECK (is_gift OR gift_recipient_email IS NULL)
);

COMMENT ON TABLE courses.course_order_line IS 'Offer bought, with seats and revenue schedule.';
COMMENT ON COLUMN courses.course_order_line.seats_assigned IS
    'Enrollments that hold a seat by it; kept by them, never more than bought.';
COMMENT ON COLUMN courses.course_order_line.recognized_amount IS
    'What was earned of it so far: evenly over the recognition period.';

-- FK: how often an offer was bought.
CREATE INDEX course_order_line_price_offer_idx
    ON courses.course_order_line (business_id, price_offer_id);

-- What is still to be earned, for the monthly run.
CREATE INDEX course_order_line_recognition_idx
    ON courses.course_order_line (business_id, recognition_starts_on)
    WHERE recognized_amount < quantity * unit_amount - discount_amount;

ALTER TABLE courses.course_order_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_order_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_order_line TO app_user;
GRANT SELECT ON courses.course_order_line TO app_readonly;

CREATE FUNCTION courses.is_paid_for(line courses.course_order_line) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT o.status IN ('paid', 'partially_refunded')
           OR (o.status = 'pending'
               AND (o.paid_amount = o.total_amount
                    OR (f.pricing = 'installments' AND o.paid_amount > 0)))
    FROM courses.course_order AS o
    JOIN courses.price_offer AS f
        ON f.business_id = o.business_id AND f.price_offer_id = (line).price_offer_id
    WHERE o.business_id = tenant_mgmt.current_business_id()
      AND o.business_id = (line).business_id
      AND o.course_order_id = (line).course_order_id;
END;
COMMENT ON FUNCTION courses.is_paid_for(courses.course_order_line) IS
    'Whether its order is paid, or the first instalment of it.';

CREATE FUNCTION courses.keep_placed_lines() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    line   CONSTANT courses.course_order_line :=
        CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    placed record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN line;
    END IF;
    SELECT o.order_number, o.status INTO placed
    FROM courses.course_order AS o
    WHERE o.business_id = line.business_id AND o.course_order_id = line.course_order_id
    FOR NO KEY UPDATE;
    IF placed.status <> 'cart' THEN
        RAISE EXCEPTION 'order % is %: its lines stand', placed.order_number, placed.status
            USING ERRCODE = 'check_violation', HINT = 'Refund it, and order anew.';
    END IF;
    RETURN line;
END
$$;
COMMENT ON FUNCTION courses.keep_placed_lines() IS
    'What is in an order changes only while it is a cart.';

CREATE FUNCTION courses.total_orders() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    touched uuid[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        touched := ARRAY(SELECT DISTINCT c.course_order_id FROM changed AS c);
    ELSIF TG_OP = 'DELETE' THEN
        touched := ARRAY(SELECT DISTINCT f.course_order_id FROM former AS f);
    ELSE
        touched := ARRAY(
            SELECT DISTINCT c.course_order_id
            FROM changed AS c
            JOIN former AS f
                ON f.business_id = c.business_id
               AND f.course_order_line_id = c.course_order_line_id
            WHERE (c.quantity, c.unit_amount, c.discount_amount, c.tax_amount)
                  IS DISTINCT FROM (f.quantity, f.unit_amount, f.discount_amount, f.tax_amount));
    END IF;
    IF cardinality(touched) = 0 THEN
        RETURN NULL;
    END IF;
    PERFORM FROM courses.course_order AS o
    WHERE o.business_id = tenant_mgmt.current_business_id()
      AND o.course_order_id = ANY (touched)
    ORDER BY o.course_order_id
    FOR NO KEY UPDATE;
    UPDATE courses.course_order AS o
    SET subtotal_amount = n.subtotal, discount_amount = n.discount, tax_amount = n.tax
    FROM (
        SELECT x.course_order_id,
               coalesce(sum(l.quantity * l.unit_amount), 0) AS subtotal,
               coalesce(sum(l.discount_amount), 0) AS discount,
               coalesce(sum(l.tax_amount), 0) AS tax
        FROM courses.course_order AS x
        LEFT JOIN courses.course_order_line AS l
            ON l.business_id = x.business_id AND l.course_order_id = x.course_order_id
        WHERE x.business_id = tenant_mgmt.current_business_id()
          AND x.course_order_id = ANY (touched)
        GROUP BY x.business_id, x.course_order_id
    ) AS n
    WHERE o.business_id = tenant_mgmt.current_business_id()
      AND o.course_order_id = n.course_order_id
      AND (o.subtotal_amount, o.discount_amount, o.tax_amount)
          IS DISTINCT FROM (n.subtotal, n.discount, n.tax);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.total_orders() IS 'An order adds up its lines.';

CREATE TRIGGER course_order_line_touch
    BEFORE UPDATE ON courses.course_order_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER course_order_line_placed_stands
    BEFORE INSERT OR DELETE OR UPDATE OF course_order_id, price_offer_id, quantity, unit_amount,
        discount_amount, tax_amount ON courses.course_order_line
    FOR EACH ROW EXECUTE FUNCTION courses.keep_placed_lines();

CREATE TRIGGER course_order_line_total_on_insert
    AFTER INSERT ON courses.course_order_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.total_orders();

CREATE TRIGGER course_order_line_total_on_update
    AFTER UPDATE ON courses.course_order_line
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.total_orders();

CREATE TRIGGER course_order_line_total_on_delete
    AFTER DELETE ON courses.course_order_line
    REFERENCING OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION courses.total_orders();


CREATE TABLE courses.course_payment (
    business_id        uuid              NOT NULL,
    course_payment_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    course_order_id    uuid              NOT NULL,
    payment_number     text              NOT NULL,
    method             text              NOT NULL,
    provider_reference text,
    amount             system_core.money NOT NULL,
    fee_amount         system_core.money NOT NULL DEFAULT 0,
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
        CHECK (status IN ('scheduled', 'pending', 'succeeded', 'failed', 'refunded',
                          'disputed')),
    CONSTRAINT course_payment_amount_positive CHECK (amount > 0),
    CONSTRAINT course_payment_fee_within_amount CHECK (fee_amount BETWEEN 0 AND amount),
    CONSTRAINT course_payment_paid_after_attempt CHECK (paid_at >= attempted_at),
    CONSTRAINT course_payment_paid_has_time
        CHECK (status NOT IN ('succeeded', 'refunded', 'disputed') OR paid_at IS NOT NULL),
    CONSTRAINT course_payment_failed_for_a_reason
        CHECK (status <> 'failed' OR failure_code IS NOT NULL),
    CONSTRAINT course_payment_installment_positive CHECK (installment_no >= 1),
    -- The end of a card number is all that is kept of it; the rest lies with the provider.
    CONSTRAINT course_payment_last4_is_four_digits CHECK (last4 ~ '^[0-9]{4}$'),
    CONSTRAINT course_payment_reference_is_no_card_number
        CHECK (provider_reference !~ '^[0-9 -]{13,23}$')
);

COMMENT ON TABLE courses.course_payment IS 'Payment or instalment against an order.';
COMMENT ON COLUMN courses.course_payment.provider_reference IS
    'The provider''s token of the charge; no column holds a card number.';
COMMENT ON COLUMN courses.course_payment.fee_amount IS 'What the provider keeps of it.';

-- FK: the payments of an order in order.
CREATE INDEX course_payment_course_order_idx
    ON courses.course_payment (business_id, course_order_id, installment_no);

-- An instalment is paid once.
CREATE UNIQUE INDEX course_payment_installment_once_idx
    ON courses.course_payment (business_id, course_order_id, installment_no)
    WHERE installment_no IS NOT NULL AND status <> 'failed';

-- The instalments that are due, for the daily run.
CREATE INDEX course_payment_due_idx
    ON courses.course_payment (business_id, due_on) WHERE status = 'scheduled';

ALTER TABLE courses.course_payment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_payment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_payment TO app_user;
GRANT SELECT ON courses.course_payment TO app_readonly;

CREATE FUNCTION courses.stamp_payment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> 'scheduled' THEN
        NEW.attempted_at := coalesce(NEW.attempted_at, NEW.paid_at, now());
    END IF;
    IF NEW.status = 'succeeded' THEN
        NEW.paid_at := coalesce(NEW.paid_at, now());
        NEW.failure_code := NULL;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.stamp_payment() IS 'Notes when a payment was tried and came in.';

CREATE FUNCTION courses.settle_orders() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    touched uuid[];
    wrong   record;
BEGIN
    IF TG_OP = 'INSERT' THEN
        touched := ARRAY(SELECT DISTINCT c.course_order_id FROM changed AS c
                         WHERE courses.is_money(c.status));
    ELSIF TG_OP = 'DELETE' THEN
        touched := ARRAY(SELECT DISTINCT f.course_order_id FROM former AS f
                         WHERE courses.is_money(f.status));
    ELSE
        touched := ARRAY(
            SELECT x.course_order_id
            FROM changed AS c
            JOIN former AS f
                ON f.business_id = c.business_id AND f.course_payment_id = c.course_payment_id
            CROSS JOIN LATERAL (VALUES (c.course_order_id), (f.course_order_id))
                AS x (course_order_id)
            WHERE (courses.is_money(c.status), c.amount, c.course_order_id)
                  IS DISTINCT FROM (courses.is_money(f.status), f.amount, f.course_order_id)
            GROUP BY x.course_order_id);
    END IF;
    IF cardinality(touched) = 0 THEN
        RETURN NULL;
    END IF;
    -- Added up under the lock: two payments at once do not pay an order twice.
    SELECT o.order_number, o.status INTO wrong
    FROM courses.course_order AS o
    WHERE o.business_id = tenant_mgmt.current_business_id()
      AND o.course_order_id = ANY (touched)
    ORDER BY o.status <> 'cart', o.course_order_id
    LIMIT 1;
    IF wrong.status = 'cart' THEN
        RAISE EXCEPTION 'order % is a cart: nothing is due', wrong.order_number
            USING ERRCODE = 'check_violation', HINT = 'Place the order, then pay it.';
    END IF;
    PERFORM FROM courses.course_order AS o
    WHERE o.business_id = tenant_mgmt.current_business_id()
      AND o.course_order_id = ANY (touched)
    ORDER BY o.course_order_id
    FOR NO KEY UPDATE;
    UPDATE courses.course_order AS o
    SET paid_amount = n.paid,
        status = CASE WHEN o.status = 'pending' AND n.paid = o.total_amount THEN 'paid'
                      ELSE o.status END
    FROM (
        SELECT x.business_id, x.course_order_id, coalesce(sum(p.amount), 0) AS paid
        FROM courses.course_order AS x
        LEFT JOIN courses.course_payment AS p
            ON p.business_id = x.business_id AND p.course_order_id = x.course_order_id
           AND courses.is_money(p.status)
        WHERE x.business_id = tenant_mgmt.current_business_id()
          AND x.course_order_id = ANY (touched)
        GROUP BY x.business_id, x.course_order_id
    ) AS n
    WHERE o.business_id = n.business_id AND o.course_order_id = n.course_order_id
      AND o.paid_amount <> n.paid;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.settle_orders() IS
    'An order adds up what came in, never more than it costs; with the last of it, it is paid.';

CREATE FUNCTION courses.is_money(status text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN status IN ('succeeded', 'refunded', 'disputed');
COMMENT ON FUNCTION courses.is_money(text) IS
    'Whether a payment of that status came in, whatever became of it since.';

CREATE TRIGGER course_payment_stamp
    BEFORE INSERT OR UPDATE OF status ON courses.course_payment
    FOR EACH ROW EXECUTE FUNCTION courses.stamp_payment();

CREATE TRIGGER course_payment_touch
    BEFORE UPDATE ON courses.course_payment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER course_payment_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.course_payment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["scheduled", "pending", "succeeded", "failed"],
        "transitions": {
            "scheduled": ["pending", "succeeded", "failed"],
            "pending":   ["succeeded", "failed"],
            "failed":    ["pending"],
            "succeeded": ["refunded", "disputed"],
            "disputed":  ["succeeded", "refunded"],
            "refunded":  []
        }}');

CREATE TRIGGER course_payment_settle_on_insert
    AFTER INSERT ON courses.course_payment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.settle_orders();

CREATE TRIGGER course_payment_settle_on_update
    AFTER UPDATE ON courses.course_payment
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.settle_orders();

CREATE TRIGGER course_payment_settle_on_delete
    AFTER DELETE ON courses.course_payment
    REFERENCING OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION courses.settle_orders();


CREATE FUNCTION courses.apply_coupon(
    cart   uuid,
    code   text,
    moment timestamptz DEFAULT now()
) RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    bought courses.course_order;
    rebate courses.coupon;
    given  numeric;
BEGIN
    SELECT o.* INTO bought
    FROM courses.course_order AS o
    WHERE o.business_id = tenant AND o.course_order_id = cart
    FOR NO KEY UPDATE;
    IF bought.status IS DISTINCT FROM 'cart' THEN
        RAISE EXCEPTION 'a coupon is taken off a cart' USING ERRCODE = 'check_violation';
    END IF;
    SELECT k.* INTO rebate
    FROM courses.coupon AS k
    WHERE k.business_id = tenant AND k.code = upper(btrim(apply_coupon.code));
    IF NOT FOUND OR NOT rebate.is_active OR moment < rebate.starts_at
       OR moment >= rebate.expires_at THEN
        RAISE EXCEPTION 'coupon % does not hold', upper(btrim(apply_coupon.code))
            USING ERRCODE = 'check_violation';
    END IF;
    IF rebate.redemption_count >= rebate.max_redemptions THEN
        RAISE EXCEPTION 'coupon % is used up', rebate.code USING ERRCODE = 'check_violation';
    END IF;
    IF bought.subtotal_amount < rebate.minimum_order_amount THEN
        RAISE EXCEPTION 'coupon % asks for an order of %', rebate.code,
                        rebate.minimum_order_amount
            USING ERRCODE = 'check_violation';
    END IF;
    -- A percentage is taken off each line; an amount off one line after the other.
    UPDATE courses.course_order_line AS l
    SET discount_amount = n.discount
    FROM (
        SELECT x.course_order_line_id,
               CASE WHEN NOT x.applies THEN 0
                    WHEN rebate.discount_kind = 'percent'
                    THEN round(x.price * rebate.percent_off / 100, 2)
                    ELSE greatest(0, least(x.price, rebate.amount_off - x.before)) END AS discount
        FROM (
            SELECT y.course_order_line_id, y.quantity * y.unit_amount AS price,
                   a.applies,
                   coalesce(sum(y.quantity * y.unit_amount) FILTER (WHERE a.applies) OVER (
                       ORDER BY y.line_no
                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
            FROM courses.course_order_line AS y
            JOIN courses.price_offer AS f
                ON f.business_id = y.business_id AND f.price_offer_id = y.price_offer_id
            CROSS JOIN LATERAL (
                SELECT rebate.applies_to_offer_codes = '{}'
                       OR f.offer_code = ANY (rebate.applies_to_offer_codes) AS applies
            ) AS a
            WHERE y.business_id = tenant AND y.course_order_id = cart
        ) AS x
    ) AS n
    WHERE l.business_id = tenant AND l.course_order_line_id = n.course_order_line_id;
    UPDATE courses.course_order AS o
    SET coupon_id = rebate.coupon_id
    WHERE o.business_id = tenant AND o.course_order_id = cart
    RETURNING o.discount_amount INTO given;
    IF coalesce(given, 0) = 0 THEN
        RAISE EXCEPTION 'coupon % applies to nothing in the cart', rebate.code
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN given;
END
$$;
COMMENT ON FUNCTION courses.apply_coupon(uuid, text, timestamptz) IS
    'Takes a coupon off a cart, in place of one before; how much. Its use counts when the order is
     placed: then the last use of it may be gone.';


CREATE FUNCTION courses.recognize_revenue(until date DEFAULT current_date) RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    earned numeric;
BEGIN
    WITH recognized AS (
        UPDATE courses.course_order_line AS l
        SET recognized_amount = n.amount
        FROM (
            SELECT x.course_order_line_id, x.recognized_amount AS former,
                   round(x.line_amount
                         * least(1, (until - x.recognition_starts_on + 1)::numeric
                                    / (x.recognition_ends_on - x.recognition_starts_on + 1)), 2)
                       AS amount
            FROM courses.course_order_line AS x
            JOIN courses.course_order AS o
                ON o.business_id = x.business_id AND o.course_order_id = x.course_order_id
               AND o.status IN ('paid', 'partially_refunded')
            WHERE x.business_id = tenant_mgmt.current_business_id()
              AND x.recognition_starts_on <= until
              AND x.recognized_amount < x.quantity * x.unit_amount - x.discount_amount
        ) AS n
        WHERE l.business_id = tenant_mgmt.current_business_id()
          AND l.course_order_line_id = n.course_order_line_id
          AND n.amount > l.recognized_amount
        RETURNING n.amount - n.former AS amount
    )
    SELECT coalesce(sum(r.amount), 0) INTO earned FROM recognized AS r;
    RETURN earned;
END
$$;
COMMENT ON FUNCTION courses.recognize_revenue(date) IS
    'Earns what was paid evenly over the days of its recognition, up to and with a day; how much
     was earned by this call.';
