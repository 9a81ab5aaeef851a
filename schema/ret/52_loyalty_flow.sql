/*
 * How points come and go: enrolling, earning, confirming, spending, lapsing, and the tiers.
 *
 *   order handed over -> earn_order_points()   pending, until the goods cannot come back any more
 *   nightly           -> confirm_points()      what waited long enough can be spent
 *                        expire_points()       what was not spent in time lapses, the oldest first
 *                        expire_rewards()      likewise rewards that nobody used
 *                        qualify_tiers()       up at once, down when the tier was not kept
 *   member            -> enrol_customer(), redeem_reward(), grant_points(), close_loyalty_account()
 *   return            -> reverse_points()      the share of the order, what waits first
 *
 * Each writes the ledger of 50 and leaves the balances to it; each entry has a key that says what
 * it is for, so that a job that runs twice does its work once. Accounts are locked in the order of
 * their keys, before their balances are read.
 */

CREATE FUNCTION ret.points_of_day(account uuid, rule uuid, moment timestamptz) RETURNS integer
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(sum(e.points), 0)::integer
    FROM ret.loyalty_entry AS e
    WHERE e.business_id = tenant_mgmt.current_business_id() AND e.loyalty_account_id = account
      AND e.loyalty_earn_rule_id = rule AND e.entry_kind IN ('pending', 'bonus')
      AND e.occurred_at > moment - interval '2 days'
      AND ret.business_day(e.occurred_at) = ret.business_day(moment);
END;
COMMENT ON FUNCTION ret.points_of_day(uuid, uuid, timestamptz) IS
    'What an account got by a rule on the day of a moment: rules have a daily limit.';


CREATE FUNCTION ret.order_points(sales_order uuid, account uuid, moment timestamptz)
    RETURNS TABLE (loyalty_earn_rule_id uuid, rule_code text, points integer, basis numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE member AS (
        SELECT p.loyalty_program_id, p.earn_on, coalesce(t.earn_multiplier, 1) AS lift
        FROM ret.loyalty_account AS a
        JOIN ret.loyalty_program AS p
            ON p.business_id = a.business_id AND p.loyalty_program_id = a.loyalty_program_id
        LEFT JOIN ret.loyalty_tier AS t
            ON t.business_id = a.business_id AND t.loyalty_tier_id = a.loyalty_tier_id
        WHERE a.business_id = tenant_mgmt.current_business_id()
          AND a.loyalty_account_id = account
    ), sold AS (
        -- What was handed over. A gift card earns when it is spent, not when it is bought.
        SELECT l.product_variant_id, v.product_id, l.fulfilled_qty,
               l.fulfilled_qty / l.quantity
               * CASE m.earn_on WHEN 'gross_sales' THEN round(l.quantity * l.unit_price, 2)
                                WHEN 'profit'
                                THEN l.line_total - round(l.quantity * l.unit_cost, 2)
                                ELSE l.line_total END AS amount
        FROM member AS m
        JOIN ret.sales_order_line AS l
            ON l.business_id = tenant_mgmt.current_business_id()
           AND l.sales_order_id = sales_order AND l.fulfilled_qty > 0
        JOIN ret.product_variant AS v
            ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
        JOIN ret.product AS p
            ON p.business_id = v.business_id AND p.product_id = v.product_id
           AND p.product_kind <> 'gift_card'
    ), spend AS (
        SELECT round(greatest(coalesce(sum(s.amount), 0), 0), 2) AS amount FROM sold AS s
    ), rule AS (
        SELECT r.*, m.lift, n.amount AS spent
        FROM member AS m
        CROSS JOIN spend AS n
        JOIN ret.sales_order AS o
            ON o.business_id = tenant_mgmt.current_business_id() AND o.sales_order_id = sales_order
        JOIN ret.loyalty_earn_rule AS r
            ON r.business_id = o.business_id AND r.loyalty_program_id = m.loyalty_program_id
           AND r.is_active AND r.starts_at <= moment AND coalesce(r.ends_at, 'infinity') > moment
           AND coalesce(r.sales_channel_id, o.sales_channel_id) = o.sales_channel_id
           AND coalesce(r.min_spend, 0) <= n.amount
        WHERE EXISTS (SELECT FROM sold)
    ), best AS (
        SELECT r.*, floor(floor(r.spent / r.unit_amount) * r.points_per_unit
                          * coalesce(r.multiplier, 1) * r.lift) AS gives
        FROM rule AS r
        WHERE r.earn_kind = 'spend'
        ORDER BY gives DESC, r.rule_code
        LIMIT 1
    ), below AS (
        SELECT r.loyalty_earn_rule_id, r.category_id
        FROM rule AS r
        WHERE r.earn_kind = 'item' AND r.category_id IS NOT NULL
        UNION
        SELECT b.loyalty_earn_rule_id, c.category_id
        FROM below AS b
        JOIN ret.category AS c
            ON c.business_id = tenant_mgmt.current_business_id()
           AND c.parent_category_id = b.category_id
    ), given AS (
        SELECT b.loyalty_earn_rule_id, b.rule_code, b.max_points_per_day, b.gives, 1 AS place
        FROM best AS b
        UNION ALL
        -- Of several bonus windows the one that gives most.
        (SELECT r.loyalty_earn_rule_id, r.rule_code, r.max_points_per_day,
                floor(b.gives * (r.multiplier - 1)), 2
         FROM rule AS r
         CROSS JOIN best AS b
         WHERE r.earn_kind = 'bonus_multiplier'
         ORDER BY r.multiplier DESC, r.rule_code
         LIMIT 1)
        UNION ALL
        SELECT r.loyalty_earn_rule_id, r.rule_code, r.max_points_per_day,
               floor(coalesce(sum(s.fulfilled_qty), 0) * r.points_per_unit
                     * coalesce(r.multiplier, 1)), 3
        FROM rule AS r
        JOIN sold AS s
            ON s.product_variant_id = r.product_variant_id
            OR EXISTS (SELECT FROM below AS b
                       JOIN ret.product_category AS c
                           ON c.business_id = tenant_mgmt.current_business_id()
                          AND c.category_id = b.category_id AND c.product_id = s.product_id
                       WHERE b.loyalty_earn_rule_id = r.loyalty_earn_rule_id)
        WHERE r.earn_kind = 'item'
        GROUP BY r.loyalty_earn_rule_id, r.rule_code, r.max_points_per_day, r.points_per_unit,
                 r.multiplier
        UNION ALL
        SELECT r.loyalty_earn_rule_id, r.rule_code, r.max_points_per_day,
               floor(r.points_per_unit), 4
        FROM rule AS r
        WHERE r.earn_kind = 'visit'
    ), capped AS (
        SELECT g.loyalty_earn_rule_id, g.rule_code, g.place,
               least(g.gives, g.max_points_per_day
                              - ret.points_of_day(account, g.loyalty_earn_rule_id, moment))
                   ::integer AS points
        FROM given AS g
    )
    SELECT c.loyalty_earn_rule_id, c.rule_code, c.points,
           CASE row_number() OVER (ORDER BY c.place, c.rule_code) WHEN 1 THEN n.amount ELSE 0 END
    FROM capped AS c
    CROSS JOIN spend AS n
    WHERE c.points > 0
    ORDER BY c.place, c.rule_code;
END;
COMMENT ON FUNCTION ret.order_points(uuid, uuid, timestamptz) IS
    'What an order earns an account, a row per rule: the best spend rule lifted by the tier, what a
     bonus window adds to it, points of items and of the visit, each within the limit of the day.
     The spend that counts for the tier is in the first row.';


CREATE FUNCTION ret.earn_order_points(sales_order uuid, moment timestamptz DEFAULT now())
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    member record;
    earned integer;
BEGIN
    SELECT a.loyalty_account_id, p.earn_delay_days, p.point_expiry_days INTO member
    FROM ret.sales_order AS o
    JOIN ret.loyalty_account AS a
        ON a.business_id = o.business_id AND a.customer_id = o.customer_id AND a.state <> 'closed'
    JOIN ret.loyalty_program AS p
        ON p.business_id = a.business_id AND p.loyalty_program_id = a.loyalty_program_id
       AND p.state = 'active' AND p.effective_from <= ret.business_day(moment)
    WHERE o.business_id = tenant AND o.sales_order_id = earn_order_points.sales_order
    ORDER BY a.loyalty_account_id
    LIMIT 1
    FOR NO KEY UPDATE OF a;
    IF NOT FOUND
       OR EXISTS (SELECT FROM ret.loyalty_entry AS e
                  WHERE e.business_id = tenant
                    AND e.sales_order_id = earn_order_points.sales_order
                    AND e.entry_kind = 'pending')
    THEN
        RETURN 0;
    END IF;
    WITH noted AS (
        INSERT INTO ret.loyalty_entry
            (business_id, loyalty_account_id, sales_order_id, loyalty_earn_rule_id, entry_kind,
             points, basis_amount, available_at, expires_on, occurred_at, idempotency_key)
        SELECT tenant, member.loyalty_account_id, earn_order_points.sales_order,
               n.loyalty_earn_rule_id, 'pending', n.points, n.basis,
               moment + member.earn_delay_days * interval '1 day',
               ret.business_day(moment) + member.point_expiry_days, moment,
               'order ' || earn_order_points.sales_order
               || CASE n.place WHEN 1 THEN '' ELSE ' ' || n.rule_code END
        FROM (
            SELECT x.*, row_number() OVER () AS place
            FROM ret.order_points(earn_order_points.sales_order, member.loyalty_account_id,
                                  moment) AS x
        ) AS n
        ORDER BY n.place
        RETURNING points
    )
    SELECT sum(n.points) INTO earned FROM noted AS n;
    IF member.earn_delay_days = 0 THEN
        PERFORM ret.confirm_account_points(member.loyalty_account_id, moment);
    END IF;
    RETURN coalesce(earned, 0);
END
$$;
COMMENT ON FUNCTION ret.earn_order_points(uuid, timestamptz) IS
    'Notes once, as pending, what an order that was handed over earns its customer; returns the
     points. Where the programme waits for nothing they can be spent at once.';

CREATE FUNCTION ret.earn_when_handed_over() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        PERFORM ret.earn_order_points(NEW.sales_order_id);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.earn_when_handed_over() IS
    'An order earns when its customer has the goods.';

-- A till sale is handed over while it is being rung up: it earns when it is complete.
CREATE TRIGGER sales_order_earns
    AFTER UPDATE OF state ON ret.sales_order
    FOR EACH ROW WHEN (NEW.customer_id IS NOT NULL AND NEW.state <> OLD.state
        AND (NEW.state = 'completed'
             OR (NEW.state = 'fulfilled' AND NEW.order_kind NOT IN ('sale', 'exchange'))))
    EXECUTE FUNCTION ret.earn_when_handed_over();


CREATE FUNCTION ret.confirm_account_points(account uuid, moment timestamptz DEFAULT now())
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    earned integer;
BEGIN
    PERFORM FROM ret.loyalty_account AS a
    WHERE a.business_id = tenant AND a.loyalty_account_id = account
    FOR NO KEY UPDATE;
    WITH noted AS (
        INSERT INTO ret.loyalty_entry
            (business_id, loyalty_account_id, sales_order_id, entry_kind, points, expires_on,
             occurred_at, idempotency_key)
        SELECT tenant, account, e.sales_order_id, 'earn', sum(e.pending_change),
               max(e.expires_on), moment, 'earn ' || e.sales_order_id
        FROM ret.loyalty_entry AS e
        WHERE e.business_id = tenant AND e.loyalty_account_id = account
          AND e.sales_order_id IS NOT NULL
        GROUP BY e.sales_order_id
        HAVING sum(e.pending_change) > 0 AND max(e.available_at) <= moment
        ORDER BY max(e.available_at), e.sales_order_id
        RETURNING points
    )
    SELECT sum(n.points) INTO earned FROM noted AS n;
    RETURN coalesce(earned, 0);
END
$$;
COMMENT ON FUNCTION ret.confirm_account_points(uuid, timestamptz) IS
    'What of the orders of an account waited long enough and did not come back can be spent; returns
     the points.';

CREATE FUNCTION ret.confirm_points(moment timestamptz DEFAULT now()) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    account uuid;
    earned  integer := 0;
BEGIN
    FOR account IN
        SELECT a.loyalty_account_id
        FROM ret.loyalty_account AS a
        WHERE a.business_id = tenant_mgmt.current_business_id() AND a.pending_points > 0
        ORDER BY a.loyalty_account_id
    LOOP
        earned := earned + ret.confirm_account_points(account, moment);
    END LOOP;
    RETURN earned;
END
$$;
COMMENT ON FUNCTION ret.confirm_points(timestamptz) IS
    'Confirms what waits for the return window to end, of all accounts; returns the points.';


CREATE FUNCTION ret.reverse_points(sales_order uuid, rma uuid, share numeric) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    earned record;
    member record;
    rest   record;
    wanted integer;
    taken  integer;
    basis  numeric;
BEGIN
    FOR earned IN
        SELECT e.loyalty_account_id, sum(greatest(e.points, 0)) AS points,
               sum(greatest(e.basis_amount, 0)) AS basis, sum(e.basis_amount) AS basis_left,
               row_number() OVER (ORDER BY e.loyalty_account_id) AS place
        FROM ret.loyalty_entry AS e
        WHERE e.business_id = tenant AND e.sales_order_id = reverse_points.sales_order
          AND e.entry_kind IN ('pending', 'bonus', 'reverse')
        GROUP BY e.loyalty_account_id
        ORDER BY e.loyalty_account_id
    LOOP
        SELECT a.state, a.point_balance, p.allows_negative INTO member
        FROM ret.loyalty_account AS a
        JOIN ret.loyalty_program AS p
            ON p.business_id = a.business_id AND p.loyalty_program_id = a.loyalty_program_id
        WHERE a.business_id = tenant AND a.loyalty_account_id = earned.loyalty_account_id
        FOR NO KEY UPDATE OF a;
        CONTINUE WHEN member.state = 'closed';
        SELECT n.waiting, n.remaining INTO rest
        FROM ret.points_left_of_order(tenant, earned.loyalty_account_id,
                                      reverse_points.sales_order) AS n;
        -- A third of thirty is ten, however many digits a third has.
        wanted := least(ceil(round(earned.points * share, 6)), rest.remaining);
        basis := least(round(earned.basis * share, 2), earned.basis_left);
        -- A return never fails because its points were spent.
        taken := CASE WHEN member.allows_negative THEN wanted
                      ELSE least(wanted, rest.waiting + greatest(member.point_balance, 0)) END;
        INSERT INTO ret.loyalty_entry
            (business_id, loyalty_account_id, sales_order_id, entry_kind, points, basis_amount,
             idempotency_key, note)
        SELECT tenant, earned.loyalty_account_id, reverse_points.sales_order, 'reverse', -taken,
               -basis, 'return ' || rma
               || CASE earned.place WHEN 1 THEN '' ELSE ' ' || earned.loyalty_account_id END,
               'Goods came back'
               || CASE WHEN wanted > taken
                       THEN format('; %s points were spent before', wanted - taken) ELSE '' END
        WHERE taken > 0 OR basis > 0;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ret.reverse_points(uuid, uuid, numeric) IS
    'Takes back the share of the points that an order earned, and no more than are left of them:
     what waits first, then what can be spent; what was spent before only where the programme lets
     a balance go below zero. What counts for the tier goes in any case.';


CREATE FUNCTION ret.grant_points(
    account uuid, kind text, occasion text, moment timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    grants record;
BEGIN
    PERFORM FROM ret.loyalty_account AS a
    WHERE a.business_id = tenant AND a.loyalty_account_id = account
    FOR NO KEY UPDATE;
    SELECT r.loyalty_earn_rule_id, p.point_expiry_days,
           coalesce(least(floor(r.points_per_unit),
                          r.max_points_per_day
                          - ret.points_of_day(account, r.loyalty_earn_rule_id, moment)), 0)
           + CASE kind WHEN 'birthday' THEN coalesce(t.birthday_points, 0) ELSE 0 END AS points
    INTO grants
    FROM ret.loyalty_account AS a
    JOIN ret.loyalty_program AS p
        ON p.business_id = a.business_id AND p.loyalty_program_id = a.loyalty_program_id
    LEFT JOIN ret.loyalty_tier AS t
        ON t.business_id = a.business_id AND t.loyalty_tier_id = a.loyalty_tier_id
    LEFT JOIN ret.loyalty_earn_rule AS r
        ON r.business_id = a.business_id AND r.loyalty_program_id = a.loyalty_program_id
       AND r.earn_kind = kind AND r.is_active AND r.starts_at <= moment
       AND coalesce(r.ends_at, 'infinity') > moment
    WHERE a.business_id = tenant AND a.loyalty_account_id = account
      AND kind IN ('review', 'referral', 'birthday', 'sign_up')
    ORDER BY r.points_per_unit DESC NULLS LAST, r.rule_code
    LIMIT 1;
    IF coalesce(grants.points, 0) <= 0
       OR EXISTS (SELECT FROM ret.loyalty_entry AS e
                  WHERE e.business_id = tenant
                    AND e.idempotency_key = concat_ws(' ', kind, occasion, account))
    THEN
        RETURN 0;
    END IF;
    INSERT INTO ret.loyalty_entry
        (business_id, loyalty_account_id, loyalty_earn_rule_id, entry_kind, points, expires_on,
         occurred_at, idempotency_key, note)
    VALUES (tenant, account, grants.loyalty_earn_rule_id, 'bonus', grants.points,
            ret.business_day(moment) + grants.point_expiry_days, moment,
            concat_ws(' ', kind, occasion, account), initcap(replace(kind, '_', ' ')));
    RETURN grants.points;
END
$$;
COMMENT ON FUNCTION ret.grant_points(uuid, text, text, timestamptz) IS
    'Gives what the rules give for a review, a referral, a birthday or for signing up, to be spent
     at once; a birthday gives what the tier adds. The same occasion gives once. Returns the
     points.';


CREATE FUNCTION ret.enrol_customer(
    customer uuid, program uuid, channel text, moment timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   uuid := system_core.uuid_v7();
BEGIN
    INSERT INTO ret.loyalty_account
        (business_id, loyalty_account_id, loyalty_program_id, customer_id, loyalty_tier_id,
         card_number, enrolled_at, enrol_channel)
    SELECT tenant, made, p.loyalty_program_id, customer, (
               SELECT t.loyalty_tier_id
               FROM ret.loyalty_tier AS t
               WHERE t.business_id = p.business_id AND t.loyalty_program_id = p.loyalty_program_id
                 AND t.qualify_spend = 0 AND t.qualify_orders = 0
               ORDER BY t.rank_no
               LIMIT 1),
           system_core.number_document(tenant, 'ret.loyalty', 'L-', made), moment, channel
    FROM ret.loyalty_program AS p
    WHERE p.business_id = tenant AND p.loyalty_program_id = program AND p.state = 'active'
      AND p.effective_from <= ret.business_day(moment)
    ON CONFLICT (business_id, loyalty_program_id, customer_id) DO NOTHING;
    IF FOUND THEN
        PERFORM ret.grant_points(made, 'sign_up', to_char(moment, 'YYYY'), moment);
        RETURN made;
    END IF;
    SELECT a.loyalty_account_id INTO made
    FROM ret.loyalty_account AS a
    WHERE a.business_id = tenant AND a.loyalty_program_id = program AND a.customer_id = customer;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the programme takes no members'
            USING ERRCODE = 'check_violation', HINT = 'Activate it first.';
    END IF;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.enrol_customer(uuid, uuid, text, timestamptz) IS
    'Makes a customer a member, in the lowest tier and with what signing up gives; whoever is one
     already stays who they are. Returns the account.';


CREATE FUNCTION ret.expire_account_points(account uuid, moment timestamptz DEFAULT now())
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    today  CONSTANT date := ret.business_day(moment);
    lapsed record;
BEGIN
    PERFORM FROM ret.loyalty_account AS a
    WHERE a.business_id = tenant AND a.loyalty_account_id = account
    FOR NO KEY UPDATE;
    SELECT sum(v.points)::integer AS points, max(v.expires_on) AS expires_on INTO lapsed
    FROM ret.v_points_expiring AS v
    WHERE v.business_id = tenant AND v.loyalty_account_id = account AND v.expires_on < today;
    IF lapsed.points IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO ret.loyalty_entry
        (business_id, loyalty_account_id, entry_kind, points, occurred_at, idempotency_key, note)
    VALUES (tenant, account, 'expire', -lapsed.points, moment,
            concat_ws(' ', 'expire', lapsed.expires_on, account),
            'Not spent by ' || lapsed.expires_on);
    RETURN lapsed.points;
END
$$;
COMMENT ON FUNCTION ret.expire_account_points(uuid, timestamptz) IS
    'Takes what an account did not spend by the last day of its points; whatever was spent came out
     of those that lapse first. Returns the points.';

CREATE FUNCTION ret.expire_points(moment timestamptz DEFAULT now()) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    account uuid;
    lapsed  integer := 0;
BEGIN
    FOR account IN
        SELECT a.loyalty_account_id
        FROM ret.loyalty_account AS a
        WHERE a.business_id = tenant_mgmt.current_business_id()
          AND a.next_expiry_on < ret.business_day(moment)
        ORDER BY a.loyalty_account_id
    LOOP
        lapsed := lapsed + ret.expire_account_points(account, moment);
    END LOOP;
    RETURN lapsed;
END
$$;
COMMENT ON FUNCTION ret.expire_points(timestamptz) IS
    'Takes the points of all accounts whose last day is over; returns how many.';


CREATE FUNCTION ret.redeem_reward(
    account uuid, reward uuid, code text DEFAULT NULL, moment timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   uuid := system_core.uuid_v7();
    named  CONSTANT text := coalesce(code, 'RW-' || upper(right(made::text, 12)));
    member record;
    wanted record;
    ticket uuid;
    reason text;
BEGIN
    -- The account first, then the reward: whoever wants both waits in the same order.
    SELECT a.customer_id, a.loyalty_program_id, coalesce(t.rank_no, 0) AS rank_no INTO member
    FROM ret.loyalty_account AS a
    LEFT JOIN ret.loyalty_tier AS t
        ON t.business_id = a.business_id AND t.loyalty_tier_id = a.loyalty_tier_id
    WHERE a.business_id = tenant AND a.loyalty_account_id = account
    FOR NO KEY UPDATE OF a;
    SELECT i.reward_issue_id INTO ticket
    FROM ret.reward_issue AS i
    WHERE i.business_id = tenant AND i.issue_code = named AND i.loyalty_account_id = account;
    IF FOUND THEN
        RETURN ticket;
    END IF;
    -- What lapsed is not spent, whether the job was here or not.
    PERFORM ret.expire_account_points(account, moment);
    SELECT r.* INTO wanted
    FROM ret.loyalty_reward AS r
    WHERE r.business_id = tenant AND r.loyalty_reward_id = reward
      AND r.loyalty_program_id = member.loyalty_program_id
    FOR NO KEY UPDATE;
    reason := CASE
        WHEN NOT FOUND THEN 'there is none in the programme'
        WHEN wanted.points_cost IS NULL THEN 'it cannot be bought'
        WHEN NOT wanted.is_active OR wanted.starts_at > moment OR wanted.ends_at <= moment
            THEN 'it is not offered now'
        WHEN coalesce(wanted.min_tier_rank, 0) > member.rank_no
            THEN 'it is for a higher tier'
        WHEN wanted.stock_limit <= (SELECT count(*) FROM ret.reward_issue AS i
                                    WHERE i.business_id = tenant AND i.loyalty_reward_id = reward
                                      AND i.state <> 'cancelled')
            THEN 'all are handed out' END;
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION 'reward %: %', coalesce(wanted.reward_code, reward::text), reason
            USING ERRCODE = 'check_violation', HINT = 'Choose another reward.';
    END IF;
    IF wanted.promotion_id IS NOT NULL THEN
        INSERT INTO ret.coupon
            (business_id, promotion_id, customer_id, coupon_code, coupon_kind, max_uses, issued_at,
             starts_at, expires_at, issue_source)
        VALUES (tenant, wanted.promotion_id, member.customer_id,
                'RC-' || upper(right(made::text, 12)), 'personal', 1, moment, moment,
                moment + wanted.valid_days * interval '1 day', 'loyalty')
        RETURNING coupon_id INTO ticket;
    END IF;
    INSERT INTO ret.reward_issue
        (business_id, reward_issue_id, loyalty_account_id, loyalty_reward_id, coupon_id,
         issue_code, issued_at, issue_reason, points_spent, value_at_issue, expires_at)
    VALUES (tenant, made, account, reward, ticket, named, moment, 'points', wanted.points_cost,
            wanted.reward_value, moment + wanted.valid_days * interval '1 day');
    INSERT INTO ret.loyalty_entry
        (business_id, loyalty_account_id, reward_issue_id, entry_kind, points, occurred_at,
         idempotency_key, note)
    VALUES (tenant, account, made, 'redeem', -wanted.points_cost, moment, 'reward ' || made,
            wanted.display_name);
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.redeem_reward(uuid, uuid, text, timestamptz) IS
    'Buys a reward with points: offered now, for the tier of the member, and never more than there
     are, also when two want the last one. With a promotion behind it the member gets a code. The
     same issue code buys once. Returns the issue.';


CREATE FUNCTION ret.give_back_points() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    INSERT INTO ret.loyalty_entry
        (business_id, loyalty_account_id, reward_issue_id, entry_kind, points, expires_on,
         idempotency_key, note)
    SELECT NEW.business_id, NEW.loyalty_account_id, NEW.reward_issue_id, 'adjust',
           NEW.points_spent, ret.business_day() + p.point_expiry_days,
           'cancel ' || NEW.reward_issue_id, 'Reward ' || NEW.issue_code || ' was cancelled'
    FROM ret.loyalty_account AS a
    JOIN ret.loyalty_program AS p
        ON p.business_id = a.business_id AND p.loyalty_program_id = a.loyalty_program_id
    WHERE a.business_id = NEW.business_id AND a.loyalty_account_id = NEW.loyalty_account_id
      AND NEW.points_spent > 0;
    UPDATE ret.coupon AS c
    SET state = 'revoked'
    WHERE c.business_id = NEW.business_id AND c.coupon_id = NEW.coupon_id
      AND c.state IN ('issued', 'active');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.give_back_points() IS
    'A reward that is cancelled gives its points back, good at least as long as new ones, and its
     code opens nothing any more.';

CREATE TRIGGER reward_issue_cancelled
    AFTER UPDATE OF state ON ret.reward_issue
    FOR EACH ROW WHEN (NEW.state = 'cancelled' AND OLD.state <> 'cancelled')
    EXECUTE FUNCTION ret.give_back_points();

CREATE FUNCTION ret.expire_rewards(moment timestamptz DEFAULT now()) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    ended integer;
BEGIN
    UPDATE ret.reward_issue AS i
    SET state = 'expired'
    WHERE i.business_id = tenant_mgmt.current_business_id() AND i.state = 'issued'
      AND i.expires_at <= moment
      AND i.reward_issue_id IN (
          SELECT x.reward_issue_id
          FROM ret.reward_issue AS x
          WHERE x.business_id = i.business_id AND x.state = 'issued' AND x.expires_at <= moment
          ORDER BY x.reward_issue_id
          FOR NO KEY UPDATE);
    GET DIAGNOSTICS ended = ROW_COUNT;
    RETURN ended;
END
$$;
COMMENT ON FUNCTION ret.expire_rewards(timestamptz) IS
    'Ends the rewards that nobody used in time; the points are gone. Returns how many.';


CREATE FUNCTION ret.tier_standings(moment timestamptz DEFAULT now())
    RETURNS TABLE (
        loyalty_account_id uuid,
        spend              numeric,
        orders             integer,
        loyalty_tier_id    uuid,
        rank_no            integer,
        retain_days        integer
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT a.loyalty_account_id, n.spend, n.orders, t.loyalty_tier_id, coalesce(t.rank_no, 0),
           t.retain_days
    FROM ret.loyalty_account AS a
    JOIN ret.loyalty_program AS p
        ON p.business_id = a.business_id AND p.loyalty_program_id = a.loyalty_program_id
       AND p.state IN ('active', 'paused')
    CROSS JOIN LATERAL (
        -- A return counts against the order that it is of, whenever it comes.
        SELECT coalesce(sum(x.basis), 0) AS spend,
               (count(*) FILTER (WHERE x.basis > 0))::integer AS orders
        FROM (
            SELECT sum(e.basis_amount) AS basis,
                   min(e.occurred_at) FILTER (WHERE e.entry_kind = 'pending') AS bought_at
            FROM ret.loyalty_entry AS e
            WHERE e.business_id = a.business_id AND e.loyalty_account_id = a.loyalty_account_id
              AND e.sales_order_id IS NOT NULL AND e.entry_kind IN ('pending', 'reverse')
              AND e.occurred_at <= moment
            GROUP BY e.sales_order_id
        ) AS x
        WHERE x.bought_at > moment - p.tier_window_days * interval '1 day'
    ) AS n
    LEFT JOIN LATERAL (
        SELECT y.loyalty_tier_id, y.rank_no, y.retain_days
        FROM ret.loyalty_tier AS y
        WHERE y.business_id = a.business_id AND y.loyalty_program_id = a.loyalty_program_id
          AND y.qualify_spend <= n.spend AND y.qualify_orders <= n.orders
        ORDER BY y.rank_no DESC
        LIMIT 1
    ) AS t ON true
    WHERE a.business_id = tenant_mgmt.current_business_id() AND a.state <> 'closed';
END;
COMMENT ON FUNCTION ret.tier_standings(timestamptz) IS
    'What accounts spent within the window of their programme, after returns, and the highest tier
     that this is enough for.';

CREATE FUNCTION ret.qualify_tiers(moment timestamptz DEFAULT now()) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    today  CONSTANT date := ret.business_day(moment);
    stands record;
    held   record;
    moved  integer := 0;
BEGIN
    FOR stands IN
        SELECT s.* FROM ret.tier_standings(moment) AS s ORDER BY s.loyalty_account_id
    LOOP
        SELECT a.loyalty_tier_id, a.tier_spend, a.tier_expires_on, coalesce(t.rank_no, 0) AS rank_no
        INTO held
        FROM ret.loyalty_account AS a
        LEFT JOIN ret.loyalty_tier AS t
            ON t.business_id = a.business_id AND t.loyalty_tier_id = a.loyalty_tier_id
        WHERE a.business_id = tenant AND a.loyalty_account_id = stands.loyalty_account_id
        FOR NO KEY UPDATE OF a;
        -- Up at once; down only when the days are over that the tier is kept for.
        IF stands.rank_no < held.rank_no AND held.tier_expires_on >= today THEN
            UPDATE ret.loyalty_account AS a
            SET tier_spend = stands.spend
            WHERE a.business_id = tenant AND a.loyalty_account_id = stands.loyalty_account_id
              AND a.tier_spend <> stands.spend;
        ELSE
            UPDATE ret.loyalty_account AS a
            SET loyalty_tier_id = stands.loyalty_tier_id, tier_spend = stands.spend,
                tier_expires_on = today + stands.retain_days
            WHERE a.business_id = tenant AND a.loyalty_account_id = stands.loyalty_account_id
              AND (a.loyalty_tier_id, a.tier_spend, a.tier_expires_on)
                  IS DISTINCT FROM
                  (stands.loyalty_tier_id, stands.spend, today + stands.retain_days);
            moved := moved
                     + (held.loyalty_tier_id IS DISTINCT FROM stands.loyalty_tier_id)::integer;
        END IF;
    END LOOP;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION ret.qualify_tiers(timestamptz) IS
    'Puts accounts into the tier that their spend reaches, and keeps them in a higher one for the
     days that it lasts; returns how many changed.';


CREATE FUNCTION ret.close_loyalty_account(account uuid, reason text) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    rest   integer;
BEGIN
    PERFORM FROM ret.loyalty_account AS a
    WHERE a.business_id = tenant AND a.loyalty_account_id = account
    FOR NO KEY UPDATE;
    INSERT INTO ret.loyalty_entry
        (business_id, loyalty_account_id, sales_order_id, entry_kind, points, idempotency_key,
         note)
    SELECT tenant, account, e.sales_order_id, 'reverse', -sum(e.pending_change),
           'close ' || e.sales_order_id, reason
    FROM ret.loyalty_entry AS e
    WHERE e.business_id = tenant AND e.loyalty_account_id = account
      AND e.sales_order_id IS NOT NULL
    GROUP BY e.sales_order_id
    HAVING sum(e.pending_change) > 0
    ORDER BY e.sales_order_id;
    SELECT a.point_balance INTO rest
    FROM ret.loyalty_account AS a
    WHERE a.business_id = tenant AND a.loyalty_account_id = account;
    INSERT INTO ret.loyalty_entry
        (business_id, loyalty_account_id, entry_kind, points, idempotency_key, note)
    SELECT tenant, account, 'expire', -rest, 'close ' || account, reason
    WHERE rest > 0;
    UPDATE ret.loyalty_account AS a
    SET state = 'closed', loyalty_tier_id = NULL, tier_expires_on = NULL
    WHERE a.business_id = tenant AND a.loyalty_account_id = account;
END
$$;
COMMENT ON FUNCTION ret.close_loyalty_account(uuid, text) IS
    'Ends a membership: what waits is taken back, what is left lapses, and nothing comes after.';


CREATE FUNCTION ret.end_memberships() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    account uuid;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    FOR account IN
        SELECT a.loyalty_account_id
        FROM ret.loyalty_account AS a
        WHERE a.business_id = NEW.business_id AND a.customer_id = NEW.customer_id
          AND a.state <> 'closed'
        ORDER BY a.loyalty_account_id
    LOOP
        PERFORM ret.close_loyalty_account(account, 'The customer was erased');
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.end_memberships() IS
    'Whoever is erased is no member any more; the ledger stays for the books.';

CREATE TRIGGER customer_ends_memberships
    AFTER UPDATE OF status ON ret.customer
    FOR EACH ROW WHEN (NEW.status = 'erased' AND OLD.status <> 'erased')
    EXECUTE FUNCTION ret.end_memberships();
