/*
 * Marketing: whom a retailer writes to, what came of it, and what customers say.
 *
 * A segment is a group of customers, by rule or by hand; a segment_member is a customer's stay in
 * one. A campaign goes to a segment or follows an event (a cart left behind, a birthday), with a
 * group that gets nothing for comparison. A campaign_message is one message to one customer and
 * obeys consent twice: when it is queued and when it goes out; a withdrawal in between suppresses
 * it. A campaign_conversion credits an order to campaigns by a model. A referral is a customer
 * bringing another; a product_review is what a buyer thinks, shown once moderated.
 */

CREATE TABLE ret.segment (
    business_id           uuid                    NOT NULL,
    segment_id            uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    segment_code          system_core.code        NOT NULL,
    display_name          text                    NOT NULL,
    segment_kind          text                    NOT NULL,
    rule_doc              system_core.json_object,
    refresh_every_minutes integer,
    refreshed_at          timestamptz,
    member_count          integer                 NOT NULL DEFAULT 0,
    estimated_value       system_core.money,
    is_active             boolean                 NOT NULL DEFAULT true,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, segment_id),
    UNIQUE (business_id, segment_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT segment_kind_known CHECK (segment_kind IN ('rule', 'manual', 'rfm', 'predicted')),
    CONSTRAINT segment_segment_kind_iff
        CHECK ((rule_doc IS NOT NULL) = (segment_kind IN ('rule', 'predicted'))),
    CONSTRAINT segment_rule_is_a_tree CHECK (rule_doc ?| '{all,any,not,fact}'),
    CONSTRAINT segment_refresh_positive CHECK (refresh_every_minutes > 0),
    CONSTRAINT segment_by_hand_is_not_refreshed
        CHECK (segment_kind <> 'manual' OR num_nonnulls(refresh_every_minutes, refreshed_at) = 0),
    CONSTRAINT segment_figures_not_negative CHECK (member_count >= 0 AND estimated_value >= 0)
);

COMMENT ON TABLE ret.segment IS
    'A group of customers that is addressed together, by rule, by figures or by hand.';
COMMENT ON COLUMN ret.segment.rule_doc IS
    'Tree of {"all": [...]}, {"any": [...]}, {"not": ...} and leaves {"fact", "op", "value"};
     ret.fits_segment() knows the facts.';
COMMENT ON COLUMN ret.segment.refresh_every_minutes IS 'NULL: only when somebody asks.';
COMMENT ON COLUMN ret.segment.member_count IS 'Its open memberships; kept by them.';
COMMENT ON COLUMN ret.segment.estimated_value IS
    'What its members are expected to spend in the next year; NULL where nobody figured it.';

ALTER TABLE ret.segment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.segment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.segment TO app_user;
GRANT SELECT ON ret.segment TO app_readonly;

CREATE TRIGGER segment_touch
    BEFORE UPDATE ON ret.segment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.segment_member (
    business_id       uuid                 NOT NULL,
    segment_member_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    segment_id        uuid                 NOT NULL,
    customer_id       uuid                 NOT NULL,
    entered_at        timestamptz          NOT NULL,
    left_at           timestamptz,
    entry_reason      text                 NOT NULL DEFAULT 'manual',
    score             numeric(9, 4),
    is_control_group  boolean              NOT NULL DEFAULT false,
    snapshot_value    system_core.quantity,
    created_at        timestamptz          NOT NULL DEFAULT now(),
    updated_at        timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, segment_member_id),
    UNIQUE (business_id, segment_id, customer_id, entered_at),
    FOREIGN KEY (business_id, segment_id) REFERENCES ret.segment (business_id, segment_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    CONSTRAINT segment_member_entry_reason_known
        CHECK (entry_reason IN ('rule', 'manual', 'import', 'prediction')),
    CONSTRAINT segment_member_leaves_after_entering CHECK (left_at >= entered_at),
    CONSTRAINT segment_member_predicted_has_score
        CHECK (entry_reason <> 'prediction' OR score IS NOT NULL)
);

COMMENT ON TABLE ret.segment_member IS
    'A stay of a customer in a segment; one who comes back has another.';
COMMENT ON COLUMN ret.segment_member.score IS 'How sure a prediction was, or how well it fits.';
COMMENT ON COLUMN ret.segment_member.is_control_group IS
    'Gets no campaign of the segment, so that the others can be compared.';
COMMENT ON COLUMN ret.segment_member.snapshot_value IS
    'The lifetime value when the customer entered.';

-- One open membership per segment and customer.
CREATE UNIQUE INDEX segment_member_segment_id_customer_id_idx
    ON ret.segment_member (business_id, segment_id, customer_id)
    WHERE left_at IS NULL;

-- FK: the segment members of a customer.
CREATE INDEX segment_member_customer_idx ON ret.segment_member (business_id, customer_id);

ALTER TABLE ret.segment_member ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.segment_member
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.segment_member TO app_user;
GRANT SELECT ON ret.segment_member TO app_readonly;

CREATE TRIGGER segment_member_touch
    BEFORE UPDATE ON ret.segment_member
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.count_segment_members() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- In one order, so that two who change the same segments wait instead of dying.
    PERFORM FROM ret.segment AS s
    WHERE (s.business_id, s.segment_id) IN (SELECT x.business_id, x.segment_id FROM changed AS x)
    ORDER BY s.business_id, s.segment_id
    FOR NO KEY UPDATE;
    UPDATE ret.segment AS s
    SET member_count = n.members
    FROM (
        SELECT c.business_id, c.segment_id, count(m.segment_id)::integer AS members
        FROM (SELECT DISTINCT x.business_id, x.segment_id FROM changed AS x) AS c
        LEFT JOIN ret.segment_member AS m
            ON m.business_id = c.business_id AND m.segment_id = c.segment_id
           AND m.left_at IS NULL
        GROUP BY c.business_id, c.segment_id
    ) AS n
    WHERE s.business_id = n.business_id AND s.segment_id = n.segment_id
      AND s.member_count <> n.members;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.count_segment_members() IS 'Keeps member_count of a segment in step.';

CREATE TRIGGER segment_member_counts_on_insert
    AFTER INSERT ON ret.segment_member
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.count_segment_members();

CREATE TRIGGER segment_member_counts_on_update
    AFTER UPDATE ON ret.segment_member
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.count_segment_members();

CREATE TRIGGER segment_member_counts_on_delete
    AFTER DELETE ON ret.segment_member
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.count_segment_members();

CREATE FUNCTION ret.guard_segment_member() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.segment_id, NEW.customer_id) IS DISTINCT FROM (OLD.segment_id, OLD.customer_id) THEN
        RAISE EXCEPTION 'a membership stays that of its customer and segment'
            USING ERRCODE = 'check_violation', HINT = 'Close it and open another.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.guard_segment_member() IS
    'A membership is opened and closed; it does not move to another segment or customer.';

CREATE TRIGGER segment_member_stays
    BEFORE UPDATE OF segment_id, customer_id ON ret.segment_member
    FOR EACH ROW EXECUTE FUNCTION ret.guard_segment_member();

CREATE FUNCTION ret.fits_segment(customer ret.customer, rule jsonb, moment timestamptz)
    RETURNS boolean
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    wanted  CONSTANT text := rule ->> 'value';
    op      CONSTANT text := coalesce(rule ->> 'op', '=');
    known   text;
    figure  numeric;
BEGIN
    IF rule ? 'all' THEN
        RETURN NOT EXISTS (SELECT FROM jsonb_array_elements(rule -> 'all') AS e (part)
                           WHERE NOT ret.fits_segment(customer, e.part, moment));
    ELSIF rule ? 'any' THEN
        RETURN EXISTS (SELECT FROM jsonb_array_elements(rule -> 'any') AS e (part)
                       WHERE ret.fits_segment(customer, e.part, moment));
    ELSIF rule ? 'not' THEN
        RETURN NOT ret.fits_segment(customer, rule -> 'not', moment);
    END IF;
    CASE rule ->> 'fact'
    WHEN 'order_count' THEN figure := customer.order_count;
    WHEN 'lifetime_value' THEN figure := customer.lifetime_value;
    WHEN 'return_rate_pct' THEN figure := customer.return_rate_pct;
    WHEN 'days_since_order' THEN
        figure := floor(extract(epoch FROM moment - customer.last_order_at) / 86400);
    WHEN 'days_as_customer' THEN
        figure := floor(extract(epoch FROM moment - customer.created_at) / 86400);
    WHEN 'acquisition_channel' THEN known := customer.acquisition_channel;
    WHEN 'customer_kind' THEN known := customer.customer_kind;
    WHEN 'customer_group' THEN
        SELECT g.group_code INTO known
        FROM ret.customer_group AS g
        WHERE g.business_id = customer.business_id
          AND g.customer_group_id = customer.customer_group_id;
    WHEN 'may_contact' THEN
        RETURN ret.may_contact(customer.customer_id, wanted, 'marketing', moment);
    WHEN 'bought_category' THEN
        RETURN EXISTS (
            SELECT FROM ret.sales_order AS o
            JOIN ret.sales_order_line AS l
                ON l.business_id = o.business_id AND l.sales_order_id = o.sales_order_id
            JOIN ret.product_variant AS v
                ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
            JOIN ret.product_category AS p
                ON p.business_id = v.business_id AND p.product_id = v.product_id
            JOIN ret.category AS c
                ON c.business_id = p.business_id AND c.category_id = p.category_id
            WHERE o.business_id = customer.business_id AND o.customer_id = customer.customer_id
              AND o.state <> 'cancelled' AND o.placed_at <= moment
              AND c.category_code = wanted);
    ELSE
        RAISE EXCEPTION 'no segment knows the fact %', rule ->> 'fact'
            USING ERRCODE = 'invalid_parameter_value';
    END CASE;
    -- What is not known fits nothing.
    RETURN coalesce(CASE op
        WHEN '='  THEN CASE WHEN figure IS NULL THEN known = wanted
                            ELSE figure = wanted::numeric END
        WHEN '<'  THEN figure < wanted::numeric
        WHEN '<=' THEN figure <= wanted::numeric
        WHEN '>'  THEN figure > wanted::numeric
        WHEN '>=' THEN figure >= wanted::numeric
        END, false);
END
$$;
COMMENT ON FUNCTION ret.fits_segment(ret.customer, jsonb, timestamptz) IS
    'Whether a customer fits a rule tree at a moment: orders, value, returns, recency, channel,
     group, categories bought, and whether marketing may reach them.';

CREATE FUNCTION ret.refresh_segment(segment uuid, moment timestamptz DEFAULT now())
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    target  ret.segment;
    leavers integer;
    joiners integer;
BEGIN
    -- A second refresh waits for the first and then finds little to do.
    SELECT s.* INTO target
    FROM ret.segment AS s
    WHERE s.business_id = tenant AND s.segment_id = refresh_segment.segment
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such segment' USING ERRCODE = 'no_data_found';
    ELSIF target.segment_kind <> 'rule' OR NOT target.is_active THEN
        RAISE EXCEPTION 'segment % is not one by rule that is in use', target.segment_code
            USING ERRCODE = 'check_violation';
    END IF;
    UPDATE ret.segment_member AS m
    SET left_at = greatest(moment, m.entered_at)
    FROM ret.customer AS c
    WHERE m.business_id = tenant AND m.segment_id = target.segment_id AND m.left_at IS NULL
      AND c.business_id = m.business_id AND c.customer_id = m.customer_id
      AND (c.status <> 'active'
           OR NOT ret.fits_segment(ROW(c.*)::ret.customer, target.rule_doc, moment));
    GET DIAGNOSTICS leavers = ROW_COUNT;
    INSERT INTO ret.segment_member
        (business_id, segment_id, customer_id, entered_at, entry_reason, snapshot_value)
    SELECT tenant, target.segment_id, c.customer_id, moment, 'rule', c.lifetime_value
    FROM ret.customer AS c
    WHERE c.business_id = tenant AND c.status = 'active'
      AND NOT EXISTS (SELECT FROM ret.segment_member AS m
                      WHERE m.business_id = c.business_id AND m.customer_id = c.customer_id
                        AND m.segment_id = target.segment_id
                        AND (m.left_at IS NULL OR m.entered_at = moment))
      AND ret.fits_segment(ROW(c.*)::ret.customer, target.rule_doc, moment);
    GET DIAGNOSTICS joiners = ROW_COUNT;
    UPDATE ret.segment AS s
    SET refreshed_at = moment
    WHERE s.business_id = tenant AND s.segment_id = target.segment_id;
    RETURN leavers + joiners;
END
$$;
COMMENT ON FUNCTION ret.refresh_segment(uuid, timestamptz) IS
    'Lets go who no longer fits the rule of a segment and takes in who does; how many changed.';


CREATE FUNCTION ret.variants_add_up(variants jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT jsonb_typeof(variants) = 'array'
           AND coalesce((SELECT bool_and(coalesce(v.code, '') <> '' AND coalesce(v.share, 0) > 0)
                                AND sum(v.share) = 100 AND count(DISTINCT v.code) = count(*)
                         FROM jsonb_to_recordset(
                             CASE jsonb_typeof(variants) WHEN 'array' THEN variants
                                                         ELSE '[]' END) AS v
                             (code text, share numeric)), false);
END;
COMMENT ON FUNCTION ret.variants_add_up(jsonb) IS
    'Whether message variants each have a code of their own and a share, 100 in all.';


CREATE TABLE ret.campaign (
    business_id      uuid                   NOT NULL,
    campaign_id      uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    segment_id       uuid,
    promotion_id     uuid,
    campaign_code    system_core.code       NOT NULL,
    title            text                   NOT NULL,
    campaign_kind    text                   NOT NULL,
    contact_channel  text                   NOT NULL,
    subject_line     text,
    variants_doc     jsonb,
    control_pct      system_core.percentage,
    scheduled_at     timestamptz,
    started_at       timestamptz,
    finished_at      timestamptz,
    budget_amount    system_core.money      NOT NULL DEFAULT 0,
    attribution_days integer,
    state            text                   NOT NULL DEFAULT 'draft',
    created_at       timestamptz            NOT NULL DEFAULT now(),
    updated_at       timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, campaign_id),
    UNIQUE (business_id, campaign_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, segment_id) REFERENCES ret.segment (business_id, segment_id),
    FOREIGN KEY (business_id, promotion_id) REFERENCES ret.promotion (business_id, promotion_id),
    CONSTRAINT campaign_kind_known
        CHECK (campaign_kind IN ('broadcast', 'abandoned_cart', 'welcome', 'win_back', 'restock',
                                 'birthday', 'price_drop')),
    CONSTRAINT campaign_contact_channel_known
        CHECK (contact_channel IN ('email', 'sms', 'push', 'post')),
    CONSTRAINT campaign_state_known
        CHECK (state IN ('draft', 'scheduled', 'running', 'paused', 'finished', 'cancelled')),
    CONSTRAINT campaign_control_pct_bounded CHECK (control_pct BETWEEN 0 AND 50),
    CONSTRAINT campaign_finished_at_follows_started_at CHECK (finished_at >= started_at),
    CONSTRAINT campaign_scheduled_has_time
        CHECK (state <> 'scheduled' OR scheduled_at IS NOT NULL),
    CONSTRAINT campaign_started_when_running
        CHECK (CASE WHEN state IN ('running', 'paused', 'finished') THEN started_at IS NOT NULL
                    WHEN state IN ('draft', 'scheduled') THEN started_at IS NULL
                    ELSE true END),
    CONSTRAINT campaign_finished_has_end
        CHECK ((state = 'finished') = (finished_at IS NOT NULL)),
    CONSTRAINT campaign_broadcast_has_audience
        CHECK (campaign_kind <> 'broadcast' OR state IN ('draft', 'cancelled')
               OR segment_id IS NOT NULL),
    CONSTRAINT campaign_mail_has_subject
        CHECK (contact_channel <> 'email' OR state IN ('draft', 'cancelled')
               OR subject_line IS NOT NULL),
    CONSTRAINT campaign_budget_not_negative CHECK (budget_amount >= 0),
    CONSTRAINT campaign_attribution_positive CHECK (attribution_days > 0),
    CONSTRAINT campaign_variants_add_up
        CHECK (variants_doc IS NULL OR ret.variants_add_up(variants_doc))
);

COMMENT ON TABLE ret.campaign IS
    'A send to a segment, or a journey that events start (a cart left behind, a birthday).';
COMMENT ON COLUMN ret.campaign.variants_doc IS
    'Array of {"code", "share", "subject"}, shares 100 in all; NULL: all get the same.';
COMMENT ON COLUMN ret.campaign.control_pct IS
    'How many of the audience get nothing, so that the effect can be told.';
COMMENT ON COLUMN ret.campaign.attribution_days IS
    'How long after a message an order may be credited to it; NULL: none is.';

-- FK: the campaigns of a segment.
CREATE INDEX campaign_segment_idx
    ON ret.campaign (business_id, segment_id)
    WHERE segment_id IS NOT NULL;

-- FK: the campaigns of a promotion.
CREATE INDEX campaign_promotion_idx
    ON ret.campaign (business_id, promotion_id)
    WHERE promotion_id IS NOT NULL;

ALTER TABLE ret.campaign ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.campaign
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.campaign TO app_user;
GRANT SELECT ON ret.campaign TO app_readonly;

CREATE TRIGGER campaign_touch
    BEFORE UPDATE ON ret.campaign
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER campaign_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.campaign
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft"],
        "transitions": {
            "draft":     ["scheduled", "running", "cancelled"],
            "scheduled": ["draft", "running", "cancelled"],
            "running":   ["paused", "finished", "cancelled"],
            "paused":    ["running", "finished", "cancelled"],
            "finished":  [],
            "cancelled": []
        }}');


CREATE TABLE ret.campaign_message (
    business_id         uuid              NOT NULL,
    campaign_message_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    campaign_id         uuid              NOT NULL,
    customer_id         uuid              NOT NULL,
    coupon_id           uuid,
    sent_at             timestamptz       NOT NULL DEFAULT now(),
    variant_code        system_core.code,
    state               text              NOT NULL DEFAULT 'queued',
    delivered_at        timestamptz,
    opened_at           timestamptz,
    clicked_at          timestamptz,
    link_clicked        text,
    provider_message_id text,
    cost_amount         system_core.money NOT NULL DEFAULT 0,
    created_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, campaign_message_id, sent_at),
    FOREIGN KEY (business_id, campaign_id) REFERENCES ret.campaign (business_id, campaign_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    FOREIGN KEY (business_id, coupon_id) REFERENCES ret.coupon (business_id, coupon_id),
    CONSTRAINT campaign_message_state_known
        CHECK (state IN ('queued', 'sent', 'delivered', 'bounced', 'opened', 'clicked',
                         'unsubscribed', 'complained', 'suppressed')),
    CONSTRAINT campaign_message_delivered_at_follows_sent_at CHECK (delivered_at >= sent_at),
    CONSTRAINT campaign_message_opened_after_sending CHECK (opened_at >= sent_at),
    CONSTRAINT campaign_message_clicked_after_sending CHECK (clicked_at >= sent_at),
    CONSTRAINT campaign_message_state_has_time
        CHECK (CASE state WHEN 'delivered' THEN delivered_at IS NOT NULL
                          WHEN 'opened' THEN opened_at IS NOT NULL
                          WHEN 'clicked' THEN clicked_at IS NOT NULL
                          ELSE true END),
    CONSTRAINT campaign_message_not_sent_not_read
        CHECK (state NOT IN ('queued', 'bounced', 'suppressed')
               OR num_nonnulls(delivered_at, opened_at, clicked_at) = 0),
    CONSTRAINT campaign_message_link_was_clicked
        CHECK (link_clicked IS NULL OR clicked_at IS NOT NULL),
    CONSTRAINT campaign_message_cost_not_negative CHECK (cost_amount >= 0),
    CONSTRAINT campaign_message_suppressed_costs_nothing
        CHECK (state NOT IN ('queued', 'suppressed') OR cost_amount = 0)
) PARTITION BY RANGE (sent_at);

COMMENT ON TABLE ret.campaign_message IS
    'One message to one customer and how far it got; nothing is deleted.';
COMMENT ON COLUMN ret.campaign_message.sent_at IS
    'When it is to go out, from the sending on when it did.';
COMMENT ON COLUMN ret.campaign_message.state IS
    'suppressed: not sent, as consent was missing or taken back, or the campaign was cancelled.';

-- FK: the campaign messages of a campaign.
CREATE INDEX campaign_message_campaign_idx ON ret.campaign_message (business_id, campaign_id);

-- FK, and what a customer got before an order, latest first.
CREATE INDEX campaign_message_customer_idx
    ON ret.campaign_message (business_id, customer_id, sent_at DESC);

-- What is due to be sent, earliest first.
CREATE INDEX campaign_message_queue_idx
    ON ret.campaign_message (business_id, sent_at, campaign_message_id)
    WHERE state = 'queued';

-- What a withdrawal of consent stops.
CREATE INDEX campaign_message_customer_queue_idx
    ON ret.campaign_message (business_id, customer_id)
    WHERE state = 'queued';

-- FK: the campaign messages of a coupon.
CREATE INDEX campaign_message_coupon_idx
    ON ret.campaign_message (business_id, coupon_id)
    WHERE coupon_id IS NOT NULL;

ALTER TABLE ret.campaign_message ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.campaign_message
    USING (business_id = tenant_mgmt.current_business_id());
-- Nothing is deleted. A trigger cannot say so: moved to another month, a row leaves its partition.
GRANT SELECT, INSERT, UPDATE ON ret.campaign_message TO app_user;
GRANT SELECT ON ret.campaign_message TO app_readonly;

CREATE FUNCTION ret.check_message_consent() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    source ret.campaign;
    owner  uuid;
BEGIN
    SELECT p.* INTO source
    FROM ret.campaign AS p
    WHERE p.business_id = NEW.business_id AND p.campaign_id = NEW.campaign_id
    FOR SHARE;
    IF source.state IN ('finished', 'cancelled') THEN
        RAISE EXCEPTION 'campaign % is %', source.campaign_code, source.state
            USING ERRCODE = 'check_violation', HINT = 'Its time is over; begin another.';
    END IF;
    -- Waits for a withdrawal that is under way, and makes one wait that comes now.
    PERFORM FROM ret.customer AS c
    WHERE c.business_id = NEW.business_id AND c.customer_id = NEW.customer_id
    FOR SHARE;
    IF TG_OP = 'INSERT' AND NEW.coupon_id IS NOT NULL THEN
        SELECT k.customer_id INTO owner
        FROM ret.coupon AS k
        WHERE k.business_id = NEW.business_id AND k.coupon_id = NEW.coupon_id;
        IF owner <> NEW.customer_id THEN
            RAISE EXCEPTION 'the coupon is another customer''s'
                USING ERRCODE = 'check_violation', HINT = 'Send each customer their own.';
        END IF;
    END IF;
    -- By the clock: what somebody withdrew while this waited is later than now().
    IF NOT ret.may_contact(NEW.customer_id, source.contact_channel, 'marketing',
                           clock_timestamp()) THEN
        NEW.state := 'suppressed';
        NEW.cost_amount := 0;
        NEW.provider_message_id := NULL;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_message_consent() IS
    'A message whose customer does not allow it is suppressed, when it is queued and once more when
     it would go out. It carries no coupon of somebody else.';

CREATE TRIGGER campaign_message_consent_on_insert
    BEFORE INSERT ON ret.campaign_message
    FOR EACH ROW
    WHEN (NEW.state = 'queued' AND row_security_active('ret.campaign_message'))
    EXECUTE FUNCTION ret.check_message_consent();

CREATE TRIGGER campaign_message_consent_on_sending
    BEFORE UPDATE OF state ON ret.campaign_message
    FOR EACH ROW WHEN (OLD.state = 'queued' AND NEW.state = 'sent')
    EXECUTE FUNCTION ret.check_message_consent();

CREATE TRIGGER campaign_message_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.campaign_message
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["queued", "suppressed"],
        "transitions": {
            "queued":       ["sent", "suppressed"],
            "sent":         ["delivered", "bounced", "opened", "clicked", "unsubscribed",
                             "complained"],
            "delivered":    ["opened", "clicked", "unsubscribed", "complained"],
            "opened":       ["clicked", "unsubscribed", "complained"],
            "clicked":      ["unsubscribed", "complained"],
            "unsubscribed": ["complained"],
            "bounced":      [],
            "complained":   [],
            "suppressed":   []
        }}');

CREATE FUNCTION ret.guard_message() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.campaign_id, NEW.customer_id, NEW.coupon_id, NEW.variant_code)
       IS DISTINCT FROM (OLD.campaign_id, OLD.customer_id, OLD.coupon_id, OLD.variant_code) THEN
        RAISE EXCEPTION 'what a message says and to whom does not change'
            USING ERRCODE = 'restrict_violation', HINT = 'Queue another.';
    ELSIF NEW.sent_at <> OLD.sent_at AND OLD.state <> 'queued' THEN
        RAISE EXCEPTION 'when a message went out does not change'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.guard_message() IS
    'Only how far a message got changes; its time until it goes out.';

CREATE TRIGGER campaign_message_stays
    BEFORE UPDATE ON ret.campaign_message
    FOR EACH ROW EXECUTE FUNCTION ret.guard_message();

CREATE TABLE ret.campaign_message_default PARTITION OF ret.campaign_message DEFAULT;
ALTER TABLE ret.campaign_message_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.campaign_message_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('ret.campaign_message', 'month', behind => 3, ahead => 1);

CREATE FUNCTION ret.hold_customer() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM ret.customer AS c
    WHERE c.business_id = NEW.business_id AND c.customer_id = NEW.customer_id
    FOR NO KEY UPDATE;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.hold_customer() IS
    'A withdrawal waits for whoever is queueing for the customer, to see what it has to stop.';

-- Its name comes before that of the trigger that takes a weaker lock: two withdrawals at once wait
-- for each other instead of dying.
CREATE TRIGGER customer_consent_holds_customer
    BEFORE INSERT ON ret.customer_consent
    FOR EACH ROW WHEN (NEW.decision = 'withdrawn')
    EXECUTE FUNCTION ret.hold_customer();

CREATE FUNCTION ret.suppress_messages() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF ret.may_contact(NEW.customer_id, NEW.contact_channel, 'marketing', clock_timestamp()) THEN
        RETURN NULL;
    END IF;
    UPDATE ret.campaign_message AS m
    SET state = 'suppressed'
    FROM ret.campaign AS p
    WHERE m.business_id = NEW.business_id AND m.customer_id = NEW.customer_id
      AND m.state = 'queued'
      AND p.business_id = m.business_id AND p.campaign_id = m.campaign_id
      AND p.contact_channel = NEW.contact_channel;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.suppress_messages() IS
    'What is queued for a customer on a channel stays here once marketing there is withdrawn.';

CREATE TRIGGER customer_consent_suppresses_messages
    AFTER INSERT ON ret.customer_consent
    FOR EACH ROW WHEN (NEW.decision = 'withdrawn' AND NEW.purpose = 'marketing')
    EXECUTE FUNCTION ret.suppress_messages();

CREATE FUNCTION ret.take_unsubscription() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ret.customer_consent
        (business_id, customer_id, purpose, contact_channel, decision, source)
    SELECT NEW.business_id, NEW.customer_id, 'marketing', p.contact_channel, 'withdrawn', 'web'
    FROM ret.campaign AS p
    JOIN ret.customer AS c
        ON c.business_id = p.business_id AND c.customer_id = NEW.customer_id
       AND c.status <> 'erased'
    LEFT JOIN ret.v_consent_now AS n
        ON n.business_id = p.business_id AND n.customer_id = c.customer_id
       AND n.purpose = 'marketing' AND n.contact_channel = p.contact_channel
    WHERE p.business_id = NEW.business_id AND p.campaign_id = NEW.campaign_id
      AND n.decision IS DISTINCT FROM 'withdrawn';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.take_unsubscription() IS
    'Whoever unsubscribes from a message or complains about it takes the consent back.';

CREATE TRIGGER campaign_message_unsubscribes
    AFTER UPDATE OF state ON ret.campaign_message
    FOR EACH ROW
    WHEN (NEW.state IN ('unsubscribed', 'complained') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION ret.take_unsubscription();

CREATE FUNCTION ret.stop_campaign() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ret.campaign_message AS m
    SET state = 'suppressed'
    WHERE m.business_id = NEW.business_id AND m.campaign_id = NEW.campaign_id
      AND m.state = 'queued';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.stop_campaign() IS
    'Nothing more goes out of a campaign that is over.';

CREATE TRIGGER campaign_stops
    AFTER UPDATE OF state ON ret.campaign
    FOR EACH ROW WHEN (NEW.state IN ('finished', 'cancelled') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION ret.stop_campaign();

CREATE FUNCTION ret.queue_campaign(campaign uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    sent   ret.campaign;
    queued integer;
BEGIN
    -- A second call waits for the first and finds everybody queued.
    SELECT p.* INTO sent
    FROM ret.campaign AS p
    WHERE p.business_id = tenant AND p.campaign_id = queue_campaign.campaign
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such campaign' USING ERRCODE = 'no_data_found';
    ELSIF sent.state <> 'running' OR sent.segment_id IS NULL THEN
        RAISE EXCEPTION 'campaign % is not running for a segment', sent.campaign_code
            USING ERRCODE = 'check_violation', HINT = 'Give it a segment and start it.';
    END IF;
    WITH made AS (
        INSERT INTO ret.campaign_message
            (business_id, campaign_id, customer_id, sent_at, variant_code)
        SELECT tenant, sent.campaign_id, m.customer_id,
               greatest(sent.scheduled_at, sent.started_at, now()),
               (SELECT v.code
                FROM (SELECT w.code,
                             sum(w.share) OVER (ORDER BY w.place) AS reach
                      FROM ROWS FROM (jsonb_to_recordset(sent.variants_doc)
                                          AS (code text, share numeric))
                           WITH ORDINALITY AS w (code, share, place)) AS v
                WHERE v.reach > h.variant
                ORDER BY v.reach
                LIMIT 1)
        FROM ret.segment_member AS m
        CROSS JOIN LATERAL (
            SELECT mod(x.part, 100) AS control, mod(x.part / 100, 100) AS variant
            FROM (SELECT ('x' || substr(md5(sent.campaign_id || ' ' || m.customer_id), 1, 7))
                             ::bit(28)::integer AS part) AS x
        ) AS h
        WHERE m.business_id = tenant AND m.segment_id = sent.segment_id AND m.left_at IS NULL
          AND NOT m.is_control_group AND h.control >= coalesce(sent.control_pct, 0)
          AND NOT EXISTS (SELECT FROM ret.campaign_message AS e
                          WHERE e.business_id = tenant AND e.campaign_id = sent.campaign_id
                            AND e.customer_id = m.customer_id)
        ORDER BY m.customer_id
        RETURNING state
    )
    SELECT count(*) FILTER (WHERE made.state = 'queued') INTO queued FROM made;
    RETURN queued;
END
$$;
COMMENT ON FUNCTION ret.queue_campaign(uuid) IS
    'Queues a message of a running campaign for every member of its segment that has none yet and
     is in no control group; how many will go out. Who does not allow it is suppressed. Who is in
     the control group of a campaign follows from both keys and stays the same.';

CREATE FUNCTION ret.send_due_messages(most integer, moment timestamptz DEFAULT now())
    RETURNS SETOF uuid
    LANGUAGE sql
BEGIN ATOMIC
    WITH due AS (
        SELECT m.campaign_message_id, m.sent_at
        FROM ret.campaign_message AS m
        JOIN ret.campaign AS p
            ON p.business_id = m.business_id AND p.campaign_id = m.campaign_id
           AND p.state = 'running'
        WHERE m.business_id = tenant_mgmt.current_business_id() AND m.state = 'queued'
          AND m.sent_at <= moment
        ORDER BY m.sent_at, m.campaign_message_id
        LIMIT most
        FOR NO KEY UPDATE OF m SKIP LOCKED
    ), gone AS (
        UPDATE ret.campaign_message AS m
        SET state = 'sent'
        FROM due AS d
        WHERE m.business_id = tenant_mgmt.current_business_id()
          AND m.campaign_message_id = d.campaign_message_id AND m.sent_at = d.sent_at
        RETURNING m.campaign_message_id, m.state
    )
    SELECT g.campaign_message_id FROM gone AS g WHERE g.state = 'sent';
END;
COMMENT ON FUNCTION ret.send_due_messages(integer, timestamptz) IS
    'Claims the earliest messages that are due of running campaigns for a sender; several senders
     claim different ones. What is no longer allowed is suppressed and not returned.';


CREATE TABLE ret.campaign_conversion (
    business_id            uuid              NOT NULL,
    campaign_conversion_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    campaign_id            uuid              NOT NULL,
    sales_order_id         uuid              NOT NULL,
    customer_id            uuid              NOT NULL,
    attributed_at          timestamptz       NOT NULL DEFAULT now(),
    attribution_model      text              NOT NULL,
    credit_share           numeric(9, 4)     NOT NULL,
    touch_count            integer           NOT NULL DEFAULT 1,
    revenue_credited       system_core.money,
    margin_credited        system_core.money,
    hours_to_convert       numeric(9, 2),
    is_incremental         boolean           NOT NULL DEFAULT false,
    created_at             timestamptz       NOT NULL DEFAULT now(),
    updated_at             timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, campaign_conversion_id),
    UNIQUE (business_id, campaign_id, sales_order_id, attribution_model),
    FOREIGN KEY (business_id, campaign_id) REFERENCES ret.campaign (business_id, campaign_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    CONSTRAINT campaign_conversion_attribution_model_known
        CHECK (attribution_model IN ('last_touch', 'first_touch', 'linear', 'time_decay')),
    CONSTRAINT campaign_conversion_credit_share_bounded
        CHECK (credit_share > 0 AND credit_share <= 1),
    CONSTRAINT campaign_conversion_one_touch_takes_all
        CHECK (attribution_model NOT IN ('last_touch', 'first_touch') OR credit_share = 1),
    CONSTRAINT campaign_conversion_was_touched CHECK (touch_count > 0),
    CONSTRAINT campaign_conversion_figures_not_negative
        CHECK (revenue_credited >= 0 AND hours_to_convert >= 0),
    CONSTRAINT campaign_conversion_margin_within_revenue
        CHECK (margin_credited <= revenue_credited)
);

COMMENT ON TABLE ret.campaign_conversion IS
    'What part of an order a campaign is credited with, by the model that says so.';
COMMENT ON COLUMN ret.campaign_conversion.credit_share IS
    'Of the order; the shares of an order by one model are at most 1.';
COMMENT ON COLUMN ret.campaign_conversion.touch_count IS
    'Messages of the campaign that the customer got within the time before the order.';
COMMENT ON COLUMN ret.campaign_conversion.margin_credited IS
    'Less the cost of the goods; below zero where they were sold at a loss.';
COMMENT ON COLUMN ret.campaign_conversion.hours_to_convert IS
    'From the last message of the campaign to the order.';
COMMENT ON COLUMN ret.campaign_conversion.is_incremental IS
    'Would not have come without the campaign, as its control group tells.';

-- FK: the campaign conversions of a sales order.
CREATE INDEX campaign_conversion_sales_order_idx
    ON ret.campaign_conversion (business_id, sales_order_id);

-- FK: the campaign conversions of a customer.
CREATE INDEX campaign_conversion_customer_idx
    ON ret.campaign_conversion (business_id, customer_id);

ALTER TABLE ret.campaign_conversion ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.campaign_conversion
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.campaign_conversion TO app_user;
GRANT SELECT ON ret.campaign_conversion TO app_readonly;

CREATE TRIGGER campaign_conversion_touch
    BEFORE UPDATE ON ret.campaign_conversion
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.check_conversion() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    bought ret.sales_order;
    window_days integer;
    others numeric;
BEGIN
    -- Two who credit the same order come one after the other.
    SELECT o.* INTO bought
    FROM ret.sales_order AS o
    WHERE o.business_id = NEW.business_id AND o.sales_order_id = NEW.sales_order_id
    FOR NO KEY UPDATE;
    SELECT p.attribution_days INTO window_days
    FROM ret.campaign AS p
    WHERE p.business_id = NEW.business_id AND p.campaign_id = NEW.campaign_id;
    SELECT coalesce(sum(c.credit_share), 0) INTO others
    FROM ret.campaign_conversion AS c
    WHERE c.business_id = NEW.business_id AND c.sales_order_id = NEW.sales_order_id
      AND c.attribution_model = NEW.attribution_model
      AND c.campaign_conversion_id <> NEW.campaign_conversion_id;
    IF bought.customer_id IS DISTINCT FROM NEW.customer_id THEN
        RAISE EXCEPTION 'the order is not of this customer' USING ERRCODE = 'check_violation';
    ELSIF bought.state = 'cancelled' THEN
        RAISE EXCEPTION 'a cancelled order is credited to nobody'
            USING ERRCODE = 'check_violation';
    ELSIF NOT EXISTS (
        SELECT FROM ret.campaign_message AS m
        WHERE m.business_id = NEW.business_id AND m.customer_id = NEW.customer_id
          AND m.campaign_id = NEW.campaign_id
          AND m.state NOT IN ('queued', 'bounced', 'suppressed')
          AND m.sent_at <= bought.placed_at
          AND m.sent_at >= bought.placed_at - window_days * interval '1 day') THEN
        RAISE EXCEPTION 'no message of the campaign reached the customer in time'
            USING ERRCODE = 'check_violation',
                  HINT = 'An order counts for attribution_days after a message.';
    ELSIF others + NEW.credit_share > 1 THEN
        RAISE EXCEPTION 'more than the whole order would be credited by %', NEW.attribution_model
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_conversion() IS
    'An order is credited to campaigns that reached its customer in time, and once in all.';

CREATE TRIGGER campaign_conversion_follows_message
    BEFORE INSERT OR UPDATE ON ret.campaign_conversion
    FOR EACH ROW WHEN (row_security_active('ret.campaign_conversion'))
    EXECUTE FUNCTION ret.check_conversion();

CREATE FUNCTION ret.attribute_order(sales_order uuid, model text DEFAULT 'last_touch')
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    bought   ret.sales_order;
    credited integer;
BEGIN
    SELECT o.* INTO bought
    FROM ret.sales_order AS o
    WHERE o.business_id = tenant AND o.sales_order_id = attribute_order.sales_order
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such order' USING ERRCODE = 'no_data_found';
    ELSIF model NOT IN ('last_touch', 'first_touch', 'linear', 'time_decay') THEN
        RAISE EXCEPTION 'no such model: %', model USING ERRCODE = 'invalid_parameter_value';
    END IF;
    DELETE FROM ret.campaign_conversion AS c
    WHERE c.business_id = tenant AND c.sales_order_id = bought.sales_order_id
      AND c.attribution_model = model;
    IF bought.customer_id IS NULL OR bought.state = 'cancelled' THEN
        RETURN 0;
    END IF;
    INSERT INTO ret.campaign_conversion
        (business_id, campaign_id, sales_order_id, customer_id, attribution_model, credit_share,
         touch_count, revenue_credited, margin_credited, hours_to_convert)
    WITH touch AS (
        SELECT m.campaign_id, m.sent_at,
               row_number() OVER (ORDER BY m.sent_at, m.campaign_message_id) AS first,
               row_number() OVER (ORDER BY m.sent_at DESC, m.campaign_message_id DESC) AS last
        FROM ret.campaign_message AS m
        JOIN ret.campaign AS p
            ON p.business_id = m.business_id AND p.campaign_id = m.campaign_id
        WHERE m.business_id = tenant AND m.customer_id = bought.customer_id
          AND m.state NOT IN ('queued', 'bounced', 'suppressed')
          AND m.sent_at <= bought.placed_at
          AND m.sent_at >= bought.placed_at - p.attribution_days * interval '1 day'
    ), weighed AS (
        -- With time_decay a message counts half as much as one a week later.
        SELECT t.campaign_id, count(*) AS touches, max(t.sent_at) AS latest,
               sum(CASE model
                   WHEN 'last_touch' THEN (t.last = 1)::integer
                   WHEN 'first_touch' THEN (t.first = 1)::integer
                   WHEN 'linear' THEN 1
                   ELSE 0.5 ^ (extract(epoch FROM bought.placed_at - t.sent_at) / 604800)
                   END::numeric) AS weight
        FROM touch AS t
        GROUP BY t.campaign_id
    ), summed AS (
        -- Rounded sums, not rounded parts: the parts add up to the whole.
        SELECT w.*,
               round(sum(w.weight) OVER (ORDER BY w.latest, w.campaign_id)
                     / sum(w.weight) OVER (), 4) AS upto
        FROM weighed AS w
        WHERE w.weight > 0
    ), shared AS (
        SELECT s.*, lag(s.upto, 1, 0::numeric) OVER (ORDER BY s.latest, s.campaign_id) AS since
        FROM summed AS s
    )
    SELECT tenant, s.campaign_id, bought.sales_order_id, bought.customer_id, model,
           s.upto - s.since, s.touches,
           round(g.goods * s.upto, 2) - round(g.goods * s.since, 2),
           least(round((g.goods - bought.cost_total) * s.upto, 2)
                 - round((g.goods - bought.cost_total) * s.since, 2),
                 round(g.goods * s.upto, 2) - round(g.goods * s.since, 2)),
           round((extract(epoch FROM bought.placed_at - s.latest) / 3600)::numeric, 2)
    FROM shared AS s
    CROSS JOIN (SELECT bought.subtotal - bought.discount_total AS goods) AS g
    WHERE s.upto > s.since;
    GET DIAGNOSTICS credited = ROW_COUNT;
    RETURN credited;
END
$$;
COMMENT ON FUNCTION ret.attribute_order(uuid, text) IS
    'Credits an order anew by one model to the campaigns whose messages reached its customer in
     time; how many campaigns.';


CREATE TABLE ret.referral (
    business_id          uuid              NOT NULL,
    referral_id          uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    referrer_customer_id uuid              NOT NULL,
    referred_customer_id uuid,
    first_order_id       uuid,
    coupon_id            uuid,
    referral_code        system_core.code  NOT NULL,
    invited_at           timestamptz       NOT NULL DEFAULT now(),
    invited_via          text              NOT NULL,
    joined_at            timestamptz,
    qualified_at         timestamptz,
    reward_amount        system_core.money NOT NULL DEFAULT 0,
    reward_paid_at       timestamptz,
    state                text              NOT NULL DEFAULT 'invited',
    reject_reason        text,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, referral_id),
    UNIQUE (business_id, referral_code),
    FOREIGN KEY (business_id, referrer_customer_id)
        REFERENCES ret.customer (business_id, customer_id),
    FOREIGN KEY (business_id, referred_customer_id)
        REFERENCES ret.customer (business_id, customer_id),
    FOREIGN KEY (business_id, first_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, coupon_id) REFERENCES ret.coupon (business_id, coupon_id),
    CONSTRAINT referral_invited_via_known
        CHECK (invited_via IN ('email', 'link', 'sms', 'social')),
    CONSTRAINT referral_state_known
        CHECK (state IN ('invited', 'joined', 'qualified', 'rewarded', 'rejected')),
    CONSTRAINT referral_referrer_customer_id_follows_referred_customer_id
        CHECK (referrer_customer_id <> referred_customer_id),
    CONSTRAINT referral_invited_at_in_order CHECK (invited_at <= joined_at),
    CONSTRAINT referral_joined_at_in_order CHECK (joined_at <= qualified_at),
    CONSTRAINT referral_reward_after_qualifying CHECK (reward_paid_at >= qualified_at),
    CONSTRAINT referral_reward_not_negative CHECK (reward_amount >= 0),
    CONSTRAINT referral_joined_is_somebody
        CHECK (CASE WHEN state = 'invited'
                    THEN num_nonnulls(joined_at, referred_customer_id) = 0
                    WHEN state = 'rejected' THEN true
                    ELSE num_nonnulls(joined_at, referred_customer_id) = 2 END),
    CONSTRAINT referral_qualified_by_an_order
        CHECK (CASE WHEN state IN ('invited', 'joined')
                    THEN num_nonnulls(qualified_at, first_order_id) = 0
                    WHEN state = 'rejected' THEN true
                    ELSE num_nonnulls(qualified_at, first_order_id) = 2 END),
    CONSTRAINT referral_rewarded_when_paid
        CHECK ((state = 'rewarded') = (reward_paid_at IS NOT NULL)),
    CONSTRAINT referral_rejected_has_reason
        CHECK ((state = 'rejected') = (coalesce(reject_reason, '') ~ '\S'))
);

COMMENT ON TABLE ret.referral IS
    'An invitation by a customer, whom it brought, and the reward once that one has bought.';
COMMENT ON COLUMN ret.referral.referral_code IS 'What the invited one types in or follows.';
COMMENT ON COLUMN ret.referral.first_order_id IS
    'The order that qualified it: the first of the one who was brought.';
COMMENT ON COLUMN ret.referral.coupon_id IS 'What the invited one got as a welcome.';
COMMENT ON COLUMN ret.referral.reward_amount IS 'What the inviting customer gets for it.';

-- A customer is brought by one other.
CREATE UNIQUE INDEX referral_brought_once_idx
    ON ret.referral (business_id, referred_customer_id)
    WHERE state <> 'rejected';

-- FK: the referrals by their referrer customer.
CREATE INDEX referral_referrer_customer_idx ON ret.referral (business_id, referrer_customer_id);

-- FK: the referrals by their referred customer.
CREATE INDEX referral_referred_customer_idx
    ON ret.referral (business_id, referred_customer_id)
    WHERE referred_customer_id IS NOT NULL;

-- FK: the referrals by their first order.
CREATE INDEX referral_first_order_idx
    ON ret.referral (business_id, first_order_id)
    WHERE first_order_id IS NOT NULL;

-- FK: the referrals of a coupon.
CREATE INDEX referral_coupon_idx
    ON ret.referral (business_id, coupon_id)
    WHERE coupon_id IS NOT NULL;

ALTER TABLE ret.referral ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.referral
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.referral TO app_user;
GRANT SELECT ON ret.referral TO app_readonly;

CREATE TRIGGER referral_touch
    BEFORE UPDATE ON ret.referral
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER referral_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.referral
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["invited"],
        "transitions": {
            "invited":   ["joined", "rejected"],
            "joined":    ["qualified", "rejected"],
            "qualified": ["rewarded", "rejected"],
            "rewarded":  [],
            "rejected":  []
        }}');

CREATE FUNCTION ret.check_referral() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    bought ret.sales_order;
BEGIN
    IF NEW.state = 'joined'
       AND EXISTS (SELECT FROM ret.sales_order AS o
                   WHERE o.business_id = NEW.business_id
                     AND o.customer_id = NEW.referred_customer_id
                     AND o.state <> 'cancelled' AND o.placed_at < NEW.invited_at) THEN
        RAISE EXCEPTION 'whoever bought before the invitation was not brought by it'
            USING ERRCODE = 'check_violation', HINT = 'Reject the referral.';
    END IF;
    IF NEW.state = 'qualified' THEN
        SELECT o.* INTO bought
        FROM ret.sales_order AS o
        WHERE o.business_id = NEW.business_id AND o.sales_order_id = NEW.first_order_id
        FOR SHARE;
        IF bought.customer_id IS DISTINCT FROM NEW.referred_customer_id THEN
            RAISE EXCEPTION 'the order is not of the customer who was brought'
                USING ERRCODE = 'check_violation';
        ELSIF bought.state IN ('pending', 'cancelled', 'returned') THEN
            RAISE EXCEPTION 'an order that is % qualifies nobody', bought.state
                USING ERRCODE = 'check_violation', HINT = 'Wait for one that is kept.';
        ELSIF EXISTS (SELECT FROM ret.sales_order AS o
                      WHERE o.business_id = NEW.business_id
                        AND o.customer_id = NEW.referred_customer_id
                        AND o.sales_order_id <> NEW.first_order_id
                        AND o.state NOT IN ('pending', 'cancelled', 'returned')
                        AND o.placed_at < bought.placed_at) THEN
            RAISE EXCEPTION 'it is not the first order of the customer who was brought'
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_referral() IS
    'Only new customers are brought, and their first order that is kept qualifies.';

CREATE TRIGGER referral_brings_new_customers
    BEFORE UPDATE ON ret.referral
    FOR EACH ROW WHEN (OLD.state <> NEW.state)
    EXECUTE FUNCTION ret.check_referral();


CREATE TABLE ret.product_review (
    business_id          uuid               NOT NULL,
    product_review_id    uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    moderated_by_user_id uuid,
    product_id           uuid               NOT NULL,
    customer_id          uuid,
    sales_order_line_id  uuid,
    rating               smallint           NOT NULL,
    title                text               NOT NULL,
    body_text            text,
    is_verified_purchase boolean            NOT NULL DEFAULT false,
    submitted_at         timestamptz        NOT NULL DEFAULT now(),
    language_code        system_core.locale,
    sentiment_score      numeric(9, 4),
    helpful_count        integer            NOT NULL DEFAULT 0,
    photo_count          integer            NOT NULL DEFAULT 0,
    fit_feedback         text               NOT NULL DEFAULT 'none',
    moderation           text               NOT NULL DEFAULT 'pending',
    reply_text           text,
    replied_at           timestamptz,
    created_at           timestamptz        NOT NULL DEFAULT now(),
    updated_at           timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, product_review_id),
    UNIQUE (business_id, product_id, customer_id, sales_order_line_id),
    FOREIGN KEY (business_id, moderated_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, product_id) REFERENCES ret.product (business_id, product_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    FOREIGN KEY (business_id, sales_order_line_id)
        REFERENCES ret.sales_order_line (business_id, sales_order_line_id),
    CONSTRAINT product_review_fit_feedback_known
        CHECK (fit_feedback IN ('none', 'small', 'true', 'large')),
    CONSTRAINT product_review_moderation_known
        CHECK (moderation IN ('pending', 'published', 'rejected', 'flagged')),
    CONSTRAINT product_review_rating_bounded CHECK (rating BETWEEN 1 AND 5),
    CONSTRAINT product_review_sales_order_line_id_iff
        CHECK ((is_verified_purchase) = (sales_order_line_id IS NOT NULL)),
    CONSTRAINT product_review_counts_not_negative CHECK (helpful_count >= 0 AND photo_count >= 0),
    CONSTRAINT product_review_sentiment_bounded CHECK (sentiment_score BETWEEN -1 AND 1),
    CONSTRAINT product_review_reply_has_time
        CHECK ((reply_text IS NOT NULL) = (replied_at IS NOT NULL)),
    CONSTRAINT product_review_reply_follows CHECK (replied_at >= submitted_at),
    CONSTRAINT product_review_verified_names_buyer
        CHECK (NOT is_verified_purchase OR customer_id IS NOT NULL)
);

COMMENT ON TABLE ret.product_review IS
    'What a customer says of a product, with proof of purchase where there is one.';
COMMENT ON COLUMN ret.product_review.customer_id IS
    'NULL where it was taken over from a maker or marketplace.';
COMMENT ON COLUMN ret.product_review.sentiment_score IS
    'From -1, angry, to 1, delighted, as a program reads the text.';
COMMENT ON COLUMN ret.product_review.fit_feedback IS 'How the size turned out; none: not asked.';
COMMENT ON COLUMN ret.product_review.moderation IS
    'Only published ones are shown; flagged: a reader objects, somebody looks again.';

-- The page of a product: what is published, latest first.
CREATE INDEX product_review_published_idx
    ON ret.product_review (business_id, product_id, submitted_at DESC)
    WHERE moderation = 'published';

-- The worklist of the moderators, oldest first.
CREATE INDEX product_review_worklist_idx
    ON ret.product_review (business_id, submitted_at)
    WHERE moderation IN ('pending', 'flagged');

-- FK: the product reviews by their moderated by user.
CREATE INDEX product_review_moderated_by_user_idx
    ON ret.product_review (business_id, moderated_by_user_id)
    WHERE moderated_by_user_id IS NOT NULL;

-- FK: the product reviews of a customer.
CREATE INDEX product_review_customer_idx
    ON ret.product_review (business_id, customer_id)
    WHERE customer_id IS NOT NULL;

-- FK: the product reviews of a sales order line.
CREATE INDEX product_review_sales_order_line_idx
    ON ret.product_review (business_id, sales_order_line_id)
    WHERE sales_order_line_id IS NOT NULL;

ALTER TABLE ret.product_review ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.product_review
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.product_review TO app_user;
GRANT SELECT ON ret.product_review TO app_readonly;

CREATE TRIGGER product_review_touch
    BEFORE UPDATE ON ret.product_review
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER product_review_state_machine
    BEFORE INSERT OR UPDATE OF moderation ON ret.product_review
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('moderation', '{
        "initial": ["pending"],
        "transitions": {
            "pending":   ["published", "rejected", "flagged"],
            "published": ["pending", "flagged", "rejected"],
            "flagged":   ["pending", "published", "rejected"],
            "rejected":  ["pending"]
        }}');

CREATE FUNCTION ret.moderate_again() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.moderation := 'pending';
    NEW.moderated_by_user_id := NULL;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.moderate_again() IS
    'What the buyer writes anew is looked at anew before it is shown.';

CREATE TRIGGER product_review_edited
    BEFORE UPDATE OF rating, title, body_text ON ret.product_review
    FOR EACH ROW
    WHEN ((OLD.rating, OLD.title, OLD.body_text)
          IS DISTINCT FROM (NEW.rating, NEW.title, NEW.body_text))
    EXECUTE FUNCTION ret.moderate_again();

CREATE FUNCTION ret.check_purchase() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    bought record;
BEGIN
    SELECT v.product_id, o.customer_id, o.placed_at, l.fulfilled_qty INTO bought
    FROM ret.sales_order_line AS l
    JOIN ret.sales_order AS o
        ON o.business_id = l.business_id AND o.sales_order_id = l.sales_order_id
    JOIN ret.product_variant AS v
        ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
    WHERE l.business_id = NEW.business_id AND l.sales_order_line_id = NEW.sales_order_line_id;
    IF (bought.product_id, bought.customer_id)
       IS DISTINCT FROM (NEW.product_id, NEW.customer_id) THEN
        RAISE EXCEPTION 'the customer did not buy this product with that line'
            USING ERRCODE = 'check_violation', HINT = 'Leave the purchase out of the review.';
    ELSIF NEW.submitted_at < bought.placed_at THEN
        RAISE EXCEPTION 'a review follows the purchase' USING ERRCODE = 'check_violation';
    ELSIF bought.fulfilled_qty = 0 THEN
        RAISE EXCEPTION 'the customer has not got it yet'
            USING ERRCODE = 'check_violation', HINT = 'Ask again once it has arrived.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_purchase() IS
    'A verified purchase is one of the product, by the customer, that was handed over.';

CREATE TRIGGER product_review_is_of_a_buyer
    BEFORE INSERT OR UPDATE OF product_id, customer_id, sales_order_line_id, submitted_at
    ON ret.product_review
    FOR EACH ROW
    WHEN (NEW.sales_order_line_id IS NOT NULL AND row_security_active('ret.product_review'))
    EXECUTE FUNCTION ret.check_purchase();


CREATE VIEW ret.v_product_rating WITH (security_invoker = true) AS
SELECT r.business_id, r.product_id, count(*) AS review_count,
       count(*) FILTER (WHERE r.is_verified_purchase) AS verified_count,
       round(avg(r.rating), 2) AS average_rating,
       count(*) FILTER (WHERE r.fit_feedback = 'small') AS runs_small_count,
       count(*) FILTER (WHERE r.fit_feedback = 'large') AS runs_large_count,
       max(r.submitted_at) AS latest_at
FROM ret.product_review AS r
WHERE r.moderation = 'published'
GROUP BY r.business_id, r.product_id;
COMMENT ON VIEW ret.v_product_rating IS 'What the published reviews of a product come to.';
GRANT SELECT ON ret.v_product_rating TO app_user, app_readonly;


CREATE VIEW ret.v_campaign_result WITH (security_invoker = true) AS
SELECT p.business_id, p.campaign_id, p.campaign_code, p.title, p.state, p.contact_channel,
       m.message_count, m.suppressed_count, m.bounced_count, m.opened_count, m.clicked_count,
       m.unsubscribed_count, m.cost_total, coalesce(c.order_count, 0) AS order_count,
       coalesce(c.revenue_credited, 0) AS revenue_credited,
       coalesce(c.margin_credited, 0) AS margin_credited
FROM ret.campaign AS p
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE x.state NOT IN ('queued', 'suppressed')) AS message_count,
           count(*) FILTER (WHERE x.state = 'suppressed') AS suppressed_count,
           count(*) FILTER (WHERE x.state = 'bounced') AS bounced_count,
           count(x.opened_at) AS opened_count, count(x.clicked_at) AS clicked_count,
           count(*) FILTER (WHERE x.state IN ('unsubscribed', 'complained'))
               AS unsubscribed_count,
           coalesce(sum(x.cost_amount), 0) AS cost_total
    FROM ret.campaign_message AS x
    WHERE x.business_id = p.business_id AND x.campaign_id = p.campaign_id
) AS m
LEFT JOIN LATERAL (
    SELECT count(*) AS order_count, sum(x.revenue_credited) AS revenue_credited,
           sum(x.margin_credited) AS margin_credited
    FROM ret.campaign_conversion AS x
    WHERE x.business_id = p.business_id AND x.campaign_id = p.campaign_id
      AND x.attribution_model = 'last_touch'
) AS c ON true;
COMMENT ON VIEW ret.v_campaign_result IS
    'What became of the messages of a campaign, and the orders whose last message was of it.';
GRANT SELECT ON ret.v_campaign_result TO app_user, app_readonly;
