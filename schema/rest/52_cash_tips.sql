/*
 * Cash and tips: what lies in the drawers, goes to the bank, and is shared.
 *
 * A cash_drawer_session is one drawer on one business day; what it should hold follows from its
 * cash_drawer_events, counting it tells what is over or short. A cash_deposit is a bag on its way
 * to the bank. A tip_pool says which tips are shared and how, tip_pool_share what each job counts;
 * rest.distribute_tips() shares a day out to the cent in tip_distribution.
 */

CREATE TABLE rest.cash_drawer_session (
    business_id            uuid              NOT NULL,
    cash_drawer_session_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    opened_by_staff_id     uuid              NOT NULL,
    closed_by_staff_id     uuid,
    pos_device_id          uuid              NOT NULL,
    business_day_id        uuid              NOT NULL,
    session_number         text              NOT NULL,
    opened_at              timestamptz       NOT NULL DEFAULT now(),
    closed_at              timestamptz,
    opening_float          system_core.money NOT NULL DEFAULT 200,
    cash_sales             system_core.money NOT NULL DEFAULT 0,
    cash_refunds           system_core.money NOT NULL DEFAULT 0,
    paid_in                system_core.money NOT NULL DEFAULT 0,
    paid_out               system_core.money NOT NULL DEFAULT 0,
    drops_total            system_core.money NOT NULL DEFAULT 0,
    expected_cash          system_core.money GENERATED ALWAYS AS (
                                            opening_float + cash_sales - cash_refunds + paid_in -
                                            paid_out - drops_total) STORED,
    counted_cash           system_core.money,
    over_short             system_core.money GENERATED ALWAYS AS (
                                            counted_cash - (opening_float + cash_sales -
                                            cash_refunds + paid_in - paid_out - drops_total))
                                            STORED,
    is_blind_count         boolean           NOT NULL DEFAULT false,
    denomination_doc       jsonb,
    state                  text              NOT NULL DEFAULT 'open',
    created_at             timestamptz       NOT NULL DEFAULT now(),
    updated_at             timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cash_drawer_session_id),
    UNIQUE (business_id, business_day_id, session_number),
    FOREIGN KEY (business_id, opened_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, closed_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, pos_device_id)
        REFERENCES rest.pos_device (business_id, pos_device_id),
    FOREIGN KEY (business_id, business_day_id)
        REFERENCES rest.business_day (business_id, business_day_id),
    CONSTRAINT cash_drawer_session_state_known
        CHECK (state IN ('open', 'counting', 'closed', 'reconciled')),
    CONSTRAINT cash_drawer_session_closes_after_opening CHECK (closed_at > opened_at),
    CONSTRAINT cash_drawer_session_closed_is_counted
        CHECK (state NOT IN ('closed', 'reconciled')
               OR num_nonnulls(closed_at, closed_by_staff_id, counted_cash) = 3),
    CONSTRAINT cash_drawer_session_amounts_not_negative
        CHECK (opening_float >= 0 AND cash_sales >= 0 AND cash_refunds >= 0 AND paid_in >= 0
               AND paid_out >= 0 AND drops_total >= 0 AND counted_cash >= 0)
);

COMMENT ON TABLE rest.cash_drawer_session IS 'A drawer in one pair of hands from float to count.';

-- One open session per pos device.
CREATE UNIQUE INDEX cash_drawer_session_open_idx
    ON rest.cash_drawer_session (business_id, pos_device_id)
    WHERE closed_at IS NULL;

-- FK: who opens drawers.
CREATE INDEX cash_drawer_session_opened_by_staff_idx
    ON rest.cash_drawer_session (business_id, opened_by_staff_id);

-- FK: who counts them.
CREATE INDEX cash_drawer_session_closed_by_staff_idx
    ON rest.cash_drawer_session (business_id, closed_by_staff_id)
    WHERE closed_by_staff_id IS NOT NULL;

-- FK: the days of a drawer.
CREATE INDEX cash_drawer_session_pos_device_idx
    ON rest.cash_drawer_session (business_id, pos_device_id);

ALTER TABLE rest.cash_drawer_session ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.cash_drawer_session
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.cash_drawer_session TO app_user;
GRANT SELECT ON rest.cash_drawer_session TO app_readonly;

CREATE TRIGGER cash_drawer_session_touch
    BEFORE UPDATE ON rest.cash_drawer_session
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER cash_drawer_session_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.cash_drawer_session
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open"],
        "transitions": {
            "open":       ["counting"],
            "counting":   ["open", "closed"],
            "closed":     ["reconciled"],
            "reconciled": []
        }}');

ALTER TABLE rest.check_payment ADD FOREIGN KEY (business_id, cash_drawer_session_id)
    REFERENCES rest.cash_drawer_session (business_id, cash_drawer_session_id);



CREATE TABLE rest.cash_drawer_event (
    business_id            uuid              NOT NULL,
    cash_drawer_event_id   uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    actor_staff_id         uuid              NOT NULL,
    cash_drawer_session_id uuid              NOT NULL,
    check_payment_id       uuid,
    reason_code_id         uuid,
    event_kind             text              NOT NULL,
    amount                 system_core.money NOT NULL DEFAULT 0,
    occurred_at            timestamptz       NOT NULL DEFAULT now(),
    running_balance        system_core.money NOT NULL,
    is_over_limit          boolean           NOT NULL DEFAULT false,
    receipt_number         text,
    note                   text,
    created_at             timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cash_drawer_event_id),
    FOREIGN KEY (business_id, actor_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, cash_drawer_session_id)
        REFERENCES rest.cash_drawer_session (business_id, cash_drawer_session_id),
    FOREIGN KEY (business_id, check_payment_id)
        REFERENCES rest.check_payment (business_id, check_payment_id),
    FOREIGN KEY (business_id, reason_code_id)
        REFERENCES rest.reason_code (business_id, reason_code_id),
    CONSTRAINT cash_drawer_event_kind_known
        CHECK (event_kind IN ('sale', 'refund', 'paid_in', 'paid_out', 'safe_drop', 'no_sale',
                              'float_add', 'count')),
    CONSTRAINT cash_drawer_event_paid_out_has_reason
        CHECK (event_kind <> 'paid_out' OR reason_code_id IS NOT NULL),
    CONSTRAINT cash_drawer_event_amount_by_kind
        CHECK (CASE WHEN event_kind = 'no_sale' THEN amount = 0
                    WHEN event_kind = 'count' THEN amount >= 0
                    ELSE amount > 0 END)
);

COMMENT ON TABLE rest.cash_drawer_event IS
    'Sale, refund, paid-in, paid-out, drop or no-sale opening of a drawer; append only.';

-- FK: who touches the cash, for losses.
CREATE INDEX cash_drawer_event_actor_staff_idx
    ON rest.cash_drawer_event (business_id, actor_staff_id);

-- FK: the events of a drawer in order.
CREATE INDEX cash_drawer_event_cash_drawer_session_idx
    ON rest.cash_drawer_event (business_id, cash_drawer_session_id, occurred_at);

-- FK: the cash of a payment.
CREATE INDEX cash_drawer_event_check_payment_idx
    ON rest.cash_drawer_event (business_id, check_payment_id)
    WHERE check_payment_id IS NOT NULL;

-- FK: what was paid out for.
CREATE INDEX cash_drawer_event_reason_code_idx
    ON rest.cash_drawer_event (business_id, reason_code_id)
    WHERE reason_code_id IS NOT NULL;

ALTER TABLE rest.cash_drawer_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.cash_drawer_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON rest.cash_drawer_event TO app_user;
GRANT SELECT ON rest.cash_drawer_event TO app_readonly;

CREATE TRIGGER cash_drawer_event_append_only
    BEFORE UPDATE OR DELETE ON rest.cash_drawer_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.cash_drawer_event');

CREATE FUNCTION rest.post_cash() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    UPDATE rest.cash_drawer_session AS d
    SET cash_sales = d.cash_sales + CASE NEW.event_kind WHEN 'sale' THEN NEW.amount ELSE 0 END,
        cash_refunds = d.cash_refunds
            + CASE NEW.event_kind WHEN 'refund' THEN NEW.amount ELSE 0 END,
        paid_in = d.paid_in
            + CASE WHEN NEW.event_kind IN ('paid_in', 'float_add') THEN NEW.amount ELSE 0 END,
        paid_out = d.paid_out + CASE NEW.event_kind WHEN 'paid_out' THEN NEW.amount ELSE 0 END,
        drops_total = d.drops_total
            + CASE NEW.event_kind WHEN 'safe_drop' THEN NEW.amount ELSE 0 END
    WHERE d.business_id = NEW.business_id
      AND d.cash_drawer_session_id = NEW.cash_drawer_session_id
      AND d.state IN ('open', 'counting')
    RETURNING d.expected_cash INTO NEW.running_balance;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the drawer is closed'
            USING ERRCODE = 'check_violation', HINT = 'Open a session for it.';
    ELSIF NEW.running_balance < 0 THEN
        RAISE EXCEPTION 'the drawer does not hold %', NEW.amount
            USING ERRCODE = 'check_violation', HINT = 'Pay out no more than lies in it.';
    END IF;
    NEW.is_over_limit := NEW.running_balance > 500;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.post_cash() IS
    'An event moves what its drawer should hold and notes what it then was; above 500 it is due for
     a drop. Imported history brings its balances.';

CREATE TRIGGER cash_drawer_event_post
    BEFORE INSERT ON rest.cash_drawer_event
    FOR EACH ROW EXECUTE FUNCTION rest.post_cash();

CREATE FUNCTION rest.put_cash_in_drawer() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rest.cash_drawer_event
        (business_id, cash_drawer_session_id, actor_staff_id, check_payment_id, event_kind, amount,
         occurred_at, running_balance)
    SELECT p.business_id, p.cash_drawer_session_id,
           coalesce(p.taken_by_staff_id, d.opened_by_staff_id), p.check_payment_id, 'sale',
           p.amount + p.tip_amount, p.captured_at, 0
    FROM changed AS p
    JOIN rest.cash_drawer_session AS d
        ON d.business_id = p.business_id
       AND d.cash_drawer_session_id = p.cash_drawer_session_id
    WHERE p.state = 'captured' AND row_security_active('rest.check_payment');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.put_cash_in_drawer() IS 'What is paid in cash goes in the drawer.';

CREATE TRIGGER check_payment_puts_cash_in_drawer
    AFTER INSERT ON rest.check_payment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.put_cash_in_drawer();


CREATE FUNCTION rest.drawer_differences()
    RETURNS TABLE (cash_drawer_session_id uuid, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT d.cash_drawer_session_id, d.expected_cash,
           d.opening_float + coalesce(sum(
               CASE WHEN e.event_kind IN ('sale', 'paid_in', 'float_add') THEN e.amount
                    WHEN e.event_kind IN ('refund', 'paid_out', 'safe_drop') THEN -e.amount
                    ELSE 0 END), 0)
    FROM rest.cash_drawer_session AS d
    LEFT JOIN rest.cash_drawer_event AS e
        ON e.business_id = d.business_id AND e.cash_drawer_session_id = d.cash_drawer_session_id
    WHERE d.business_id = tenant_mgmt.current_business_id()
    GROUP BY d.cash_drawer_session_id, d.expected_cash, d.opening_float
    HAVING d.expected_cash <> d.opening_float + coalesce(sum(
               CASE WHEN e.event_kind IN ('sale', 'paid_in', 'float_add') THEN e.amount
                    WHEN e.event_kind IN ('refund', 'paid_out', 'safe_drop') THEN -e.amount
                    ELSE 0 END), 0);
END;
COMMENT ON FUNCTION rest.drawer_differences() IS
    'Proves the drawers: those whose expected cash is not their float and the sum of their events.';


CREATE TABLE rest.cash_deposit (
    business_id           uuid              NOT NULL,
    cash_deposit_id       uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    prepared_by_staff_id  uuid              NOT NULL,
    business_day_id       uuid              NOT NULL,
    bag_number            text              NOT NULL,
    deposit_kind          text              NOT NULL DEFAULT 'bank',
    amount                system_core.money NOT NULL,
    prepared_at           timestamptz       NOT NULL DEFAULT now(),
    picked_up_at          timestamptz,
    bank_confirmed_at     timestamptz,
    bank_confirmed_amount system_core.money,
    variance_amount       system_core.money GENERATED ALWAYS AS (
                                            bank_confirmed_amount - amount) STORED,
    state                 text              NOT NULL DEFAULT 'prepared',
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cash_deposit_id),
    UNIQUE (business_id, bag_number),
    FOREIGN KEY (business_id, prepared_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, business_day_id)
        REFERENCES rest.business_day (business_id, business_day_id),
    CONSTRAINT cash_deposit_kind_known
        CHECK (deposit_kind IN ('bank', 'armoured_pickup', 'safe_transfer')),
    CONSTRAINT cash_deposit_state_known
        CHECK (state IN ('prepared', 'in_transit', 'confirmed', 'disputed')),
    CONSTRAINT cash_deposit_amount_positive CHECK (amount > 0),
    CONSTRAINT cash_deposit_confirmed_is_counted
        CHECK (state NOT IN ('confirmed', 'disputed')
               OR (bank_confirmed_at IS NOT NULL AND bank_confirmed_amount IS NOT NULL)),
    CONSTRAINT cash_deposit_moves_in_order
        CHECK (picked_up_at >= prepared_at AND bank_confirmed_at >= prepared_at)
);

COMMENT ON TABLE rest.cash_deposit IS 'A bank bag from the safe to the confirmed deposit.';

-- FK: who packs bags.
CREATE INDEX cash_deposit_prepared_by_staff_idx
    ON rest.cash_deposit (business_id, prepared_by_staff_id);

-- FK: the bags of a day.
CREATE INDEX cash_deposit_business_day_idx ON rest.cash_deposit (business_id, business_day_id);

ALTER TABLE rest.cash_deposit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.cash_deposit
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.cash_deposit TO app_user;
GRANT SELECT ON rest.cash_deposit TO app_readonly;

CREATE TRIGGER cash_deposit_touch
    BEFORE UPDATE ON rest.cash_deposit
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.tip_pool (
    business_id       uuid                   NOT NULL,
    tip_pool_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    location_id       uuid                   NOT NULL,
    pool_code         system_core.code       NOT NULL,
    display_name      text                   NOT NULL,
    basis             text                   NOT NULL,
    contribution_pct  system_core.percentage NOT NULL DEFAULT 100,
    distribution_rule text                   NOT NULL,
    pool_window       text                   NOT NULL DEFAULT 'day',
    includes_managers boolean                NOT NULL DEFAULT false,
    effective_from    date                   NOT NULL,
    effective_to      date,
    is_active         boolean                NOT NULL DEFAULT true,
    created_at        timestamptz            NOT NULL DEFAULT now(),
    updated_at        timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tip_pool_id),
    UNIQUE (business_id, location_id, pool_code),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT tip_pool_basis_known
        CHECK (basis IN ('all_tips', 'card_tips', 'service_charge', 'percent_of_sales')),
    CONSTRAINT tip_pool_distribution_rule_known
        CHECK (distribution_rule IN ('hours', 'points', 'sales', 'equal')),
    CONSTRAINT tip_pool_window_known CHECK (pool_window IN ('shift', 'day', 'week')),
    CONSTRAINT tip_pool_contribution_bounded CHECK (contribution_pct BETWEEN 0 AND 100),
    CONSTRAINT tip_pool_ends_after_start CHECK (effective_to >= effective_from)
);

COMMENT ON TABLE rest.tip_pool IS 'How tips of a site are pooled and shared.';

ALTER TABLE rest.tip_pool ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.tip_pool
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.tip_pool TO app_user;
GRANT SELECT ON rest.tip_pool TO app_readonly;

CREATE TRIGGER tip_pool_touch
    BEFORE UPDATE ON rest.tip_pool
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.tip_pool_share (
    business_id       uuid                   NOT NULL,
    tip_pool_share_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    tip_pool_id       uuid                   NOT NULL,
    job_role_id       uuid                   NOT NULL,
    share_points      integer                NOT NULL DEFAULT 1,
    share_pct         system_core.percentage,
    min_hours         numeric(9, 2),
    contributes       boolean                NOT NULL DEFAULT false,
    receives          boolean                NOT NULL DEFAULT true,
    cap_amount        system_core.money,
    effective_from    date                   NOT NULL,
    created_at        timestamptz            NOT NULL DEFAULT now(),
    updated_at        timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tip_pool_share_id),
    UNIQUE (business_id, tip_pool_id, job_role_id, effective_from),
    FOREIGN KEY (business_id, tip_pool_id) REFERENCES rest.tip_pool (business_id, tip_pool_id),
    FOREIGN KEY (business_id, job_role_id) REFERENCES rest.job_role (business_id, job_role_id),
    CONSTRAINT tip_pool_share_points_not_negative
        CHECK (share_points >= 0 AND min_hours >= 0 AND cap_amount >= 0)
);

COMMENT ON TABLE rest.tip_pool_share IS 'Weight of a job in a pool.';

-- FK: what a job counts.
CREATE INDEX tip_pool_share_job_role_idx ON rest.tip_pool_share (business_id, job_role_id);

ALTER TABLE rest.tip_pool_share ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.tip_pool_share
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.tip_pool_share TO app_user;
GRANT SELECT ON rest.tip_pool_share TO app_readonly;

CREATE TRIGGER tip_pool_share_touch
    BEFORE UPDATE ON rest.tip_pool_share
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.tip_distribution (
    business_id         uuid              NOT NULL,
    tip_distribution_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    tip_pool_id         uuid              NOT NULL,
    business_day_id     uuid              NOT NULL,
    staff_member_id     uuid              NOT NULL,
    time_entry_id       uuid,
    hours_worked        numeric(6,        2) NOT NULL DEFAULT 0,
    points              integer           NOT NULL DEFAULT 0,
    tips_collected      system_core.money NOT NULL DEFAULT 0,
    contributed_amount  system_core.money NOT NULL DEFAULT 0,
    received_amount     system_core.money NOT NULL DEFAULT 0,
    net_tips            system_core.money GENERATED ALWAYS AS (
                                            tips_collected - contributed_amount + received_amount)
                                            STORED,
    cash_portion        system_core.money NOT NULL DEFAULT 0,
    paid_via            text              NOT NULL DEFAULT 'payroll',
    computed_at         timestamptz       NOT NULL DEFAULT now(),
    state               text              NOT NULL DEFAULT 'draft',
    created_at          timestamptz       NOT NULL DEFAULT now(),
    updated_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tip_distribution_id),
    UNIQUE NULLS NOT DISTINCT (business_id, tip_pool_id, business_day_id, staff_member_id,
            time_entry_id),
    FOREIGN KEY (business_id, tip_pool_id) REFERENCES rest.tip_pool (business_id, tip_pool_id),
    FOREIGN KEY (business_id, business_day_id)
        REFERENCES rest.business_day (business_id, business_day_id),
    FOREIGN KEY (business_id, staff_member_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, time_entry_id)
        REFERENCES rest.time_entry (business_id, time_entry_id),
    CONSTRAINT tip_distribution_paid_via_known
        CHECK (paid_via IN ('cash', 'payroll', 'card_push')),
    CONSTRAINT tip_distribution_amounts_not_negative
        CHECK (tips_collected >= 0 AND contributed_amount >= 0 AND received_amount >= 0
               AND hours_worked >= 0 AND points >= 0),
    CONSTRAINT tip_distribution_contributes_what_it_has
        CHECK (contributed_amount <= tips_collected),
    CONSTRAINT tip_distribution_state_known CHECK (state IN ('draft', 'approved', 'paid'))
);

COMMENT ON TABLE rest.tip_distribution IS
    'What one person put in and got out of a pool on a day.';

-- FK: the tips of a day.
CREATE INDEX tip_distribution_business_day_idx
    ON rest.tip_distribution (business_id, business_day_id);

-- FK: the tips of a person.
CREATE INDEX tip_distribution_staff_member_idx
    ON rest.tip_distribution (business_id, staff_member_id);

-- FK: the tips of a shift.
CREATE INDEX tip_distribution_time_entry_idx
    ON rest.tip_distribution (business_id, time_entry_id)
    WHERE time_entry_id IS NOT NULL;

ALTER TABLE rest.tip_distribution ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.tip_distribution
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.tip_distribution TO app_user;
GRANT SELECT ON rest.tip_distribution TO app_readonly;

CREATE TRIGGER tip_distribution_touch
    BEFORE UPDATE ON rest.tip_distribution
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION rest.distribute_tips(pool uuid, day uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    shares integer;
BEGIN
    PERFORM FROM rest.tip_pool AS p
    WHERE p.business_id = tenant AND p.tip_pool_id = pool
    FOR UPDATE;
    IF EXISTS (SELECT FROM rest.tip_distribution AS x
               WHERE x.business_id = tenant AND x.tip_pool_id = pool AND x.business_day_id = day
                 AND x.state <> 'draft') THEN
        RAISE EXCEPTION 'the tips of the day were approved'
            USING ERRCODE = 'check_violation', HINT = 'Correct them on a later day.';
    END IF;
    DELETE FROM rest.tip_distribution AS x
    WHERE x.business_id = tenant AND x.tip_pool_id = pool AND x.business_day_id = day;
    INSERT INTO rest.tip_distribution
        (business_id, tip_pool_id, business_day_id, staff_member_id, hours_worked, points,
         tips_collected, contributed_amount, received_amount)
    SELECT tenant, pool, day, s.staff_member_id, s.hours, s.points, s.tips, s.given, s.received
    FROM rest.tip_shares(pool, day) AS s;
    GET DIAGNOSTICS shares = ROW_COUNT;
    RETURN shares;
END
$$;
COMMENT ON FUNCTION rest.distribute_tips(uuid, uuid) IS
    'Shares a pool''s tips of a day out, anew until they are approved; returns among how many.';


CREATE FUNCTION rest.tip_shares(pool uuid, day uuid)
    RETURNS TABLE (
        staff_member_id uuid,
        hours           numeric,
        points          integer,
        tips            numeric,
        given           numeric,
        received        numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH worked AS (
        SELECT e.staff_member_id, sum(e.regular_hours + e.overtime_hours) AS hours,
               max(h.share_points) AS points, bool_or(h.contributes) AS contributes,
               bool_or(h.receives AND (p.includes_managers OR r.department <> 'management'))
                   AS receives
        FROM rest.tip_pool AS p
        JOIN rest.business_day AS d
            ON d.business_id = p.business_id AND d.location_id = p.location_id
           AND d.business_day_id = day
        JOIN rest.time_entry AS e
            ON e.business_id = d.business_id AND e.location_id = d.location_id
           AND e.business_date = d.business_date AND e.clock_out_at IS NOT NULL
        JOIN rest.tip_pool_share AS h
            ON h.business_id = p.business_id AND h.tip_pool_id = p.tip_pool_id
           AND h.job_role_id = e.job_role_id
        JOIN rest.job_role AS r
            ON r.business_id = e.business_id AND r.job_role_id = e.job_role_id
        WHERE p.business_id = tenant_mgmt.current_business_id() AND p.tip_pool_id = pool
        GROUP BY e.staff_member_id
    ), taken AS (
        SELECT w.*, coalesce(t.tips, 0) AS tips,
               CASE WHEN w.contributes
                    THEN round(coalesce(t.tips, 0) * p.contribution_pct / 100, 2)
                    ELSE 0 END AS given,
               CASE WHEN NOT w.receives THEN 0
                    WHEN p.distribution_rule = 'hours' THEN w.hours
                    WHEN p.distribution_rule = 'points' THEN w.points * w.hours
                    WHEN p.distribution_rule = 'sales' THEN coalesce(t.sales, 0)
                    ELSE 1 END AS weight
        FROM worked AS w
        JOIN rest.tip_pool AS p
            ON p.business_id = tenant_mgmt.current_business_id() AND p.tip_pool_id = pool
        LEFT JOIN LATERAL (
            SELECT sum(x.tip_amount) FILTER (WHERE p.basis <> 'card_tips' OR x.tender = 'card')
                       AS tips,
                   sum(x.amount) AS sales
            FROM rest.check_payment AS x
            WHERE x.business_id = tenant_mgmt.current_business_id() AND x.business_day_id = day
              AND x.taken_by_staff_id = w.staff_member_id AND x.state = 'captured'
        ) AS t ON true
    ), shared AS (
        SELECT t.*,
               CASE WHEN sum(t.weight) OVER () = 0 THEN t.given
                    ELSE round(sum(t.given) OVER () * t.weight / sum(t.weight) OVER (), 2)
               END AS share,
               row_number() OVER (ORDER BY t.weight DESC, t.staff_member_id) AS place
        FROM taken AS t
    )
    -- The cents that rounding leaves over go to the largest share.
    SELECT s.staff_member_id, s.hours, s.points, s.tips, s.given,
           CASE WHEN s.place = 1 THEN sum(s.given) OVER () - sum(s.share) OVER () + s.share
                ELSE s.share END
    FROM shared AS s;
END;
COMMENT ON FUNCTION rest.tip_shares(uuid, uuid) IS
    'Who put what into a pool on a day and gets what out of it; both sides have the same sum.';
