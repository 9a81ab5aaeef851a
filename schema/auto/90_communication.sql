/*
 * Communication: the two-way thread with a customer, and what the customer says afterwards.
 *
 * A conversation is a thread on one channel with a contact, with an owner and a response clock; its
 * messages are texts, emails and calls, appended as they happen, which keep the thread's figures. A
 * machine may write only to whom it is allowed to: an automated outbound message needs the consent
 * of the contact for its channel and purpose, and texts and calls wait out the quiet hours of the
 * recipient (TCPA). A customer_review is a survey answer or a public review of a visit; an unhappy
 * one is recovered. Who comes back, how often and how likely no longer is mv_customer_retention.
 */

CREATE TABLE auto.conversation (
    business_id            uuid        NOT NULL,
    conversation_id        uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    assigned_user_id       uuid,
    customer_id            uuid        NOT NULL,
    customer_contact_id    uuid,
    vehicle_id             uuid,
    repair_order_id        uuid,
    channel                text        NOT NULL,
    subject                text,
    status                 text        NOT NULL DEFAULT 'open',
    opened_at              timestamptz NOT NULL DEFAULT now(),
    last_inbound_at        timestamptz,
    last_outbound_at       timestamptz,
    first_response_seconds integer,
    unread_count           integer     NOT NULL DEFAULT 0,
    priority               text        NOT NULL DEFAULT 'normal',
    closed_at              timestamptz,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, conversation_id),
    FOREIGN KEY (business_id, assigned_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES auto.customer (business_id, customer_id),
    FOREIGN KEY (business_id, customer_contact_id)
        REFERENCES auto.customer_contact (business_id, customer_contact_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, repair_order_id)
        REFERENCES auto.repair_order (business_id, repair_order_id),
    CONSTRAINT conversation_channel_known
        CHECK (channel IN ('sms', 'email', 'portal', 'web_chat', 'phone')),
    CONSTRAINT conversation_status_known
        CHECK (status IN ('open', 'waiting_customer', 'waiting_shop', 'closed')),
    CONSTRAINT conversation_priority_known CHECK (priority IN ('normal', 'urgent')),
    CONSTRAINT conversation_counts_not_negative
        CHECK (unread_count >= 0 AND first_response_seconds >= 0),
    CONSTRAINT conversation_closed_has_time
        CHECK ((status = 'closed') = (closed_at IS NOT NULL)),
    CONSTRAINT conversation_closed_after_opening CHECK (closed_at >= opened_at),
    CONSTRAINT conversation_messages_after_opening
        CHECK (last_inbound_at >= opened_at AND last_outbound_at >= opened_at)
);

COMMENT ON TABLE auto.conversation IS
    'Thread with a contact about a visit or vehicle, with its owner and response clock.';
COMMENT ON COLUMN auto.conversation.status IS
    'Whose turn it is; set by the messages while the thread is not closed.';
COMMENT ON COLUMN auto.conversation.first_response_seconds IS
    'From the first message of the customer to the first answer of a person.';
COMMENT ON COLUMN auto.conversation.unread_count IS
    'Messages of the customer since a person last answered.';

-- A contact has one open thread on a channel.
CREATE UNIQUE INDEX conversation_open_idx
    ON auto.conversation (business_id, customer_contact_id, channel)
    WHERE status <> 'closed' AND customer_contact_id IS NOT NULL;

-- The inbox: whose turn it is, who has waited longest first.
CREATE INDEX conversation_inbox_idx
    ON auto.conversation (business_id, status, last_inbound_at)
    WHERE status <> 'closed';

-- FK: the threads of somebody who answers.
CREATE INDEX conversation_assigned_user_idx
    ON auto.conversation (business_id, assigned_user_id)
    WHERE assigned_user_id IS NOT NULL;

-- FK: the threads with a customer.
CREATE INDEX conversation_customer_idx ON auto.conversation (business_id, customer_id);

-- FK: the threads with a contact.
CREATE INDEX conversation_customer_contact_idx
    ON auto.conversation (business_id, customer_contact_id)
    WHERE customer_contact_id IS NOT NULL;

-- FK: the threads about a vehicle.
CREATE INDEX conversation_vehicle_idx
    ON auto.conversation (business_id, vehicle_id)
    WHERE vehicle_id IS NOT NULL;

-- FK: the threads about a repair order.
CREATE INDEX conversation_repair_order_idx
    ON auto.conversation (business_id, repair_order_id)
    WHERE repair_order_id IS NOT NULL;

ALTER TABLE auto.conversation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.conversation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.conversation TO app_user;
GRANT SELECT ON auto.conversation TO app_readonly;

CREATE TRIGGER conversation_touch
    BEFORE UPDATE ON auto.conversation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER conversation_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.conversation
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":             ["waiting_customer", "waiting_shop", "closed"],
            "waiting_customer": ["waiting_shop", "closed"],
            "waiting_shop":     ["waiting_customer", "closed"],
            "closed":           ["waiting_shop", "waiting_customer"]
        }}');

CREATE FUNCTION auto.stamp_conversation() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.closed_at := CASE WHEN NEW.status = 'closed' THEN coalesce(NEW.closed_at, now()) END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.stamp_conversation() IS
    'Tells when a thread was closed, until it is reopened.';

CREATE TRIGGER conversation_stamped
    BEFORE UPDATE OF status ON auto.conversation
    FOR EACH ROW WHEN (NEW.status <> OLD.status)
    EXECUTE FUNCTION auto.stamp_conversation();


CREATE TABLE auto.message (
    business_id        uuid              NOT NULL,
    message_id         uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    sender_user_id     uuid,
    attachment_file_id uuid,
    recording_file_id  uuid,
    conversation_id    uuid              NOT NULL,
    sent_at            timestamptz       NOT NULL DEFAULT now(),
    direction          text              NOT NULL,
    message_kind       text              NOT NULL,
    body_text          text,
    from_address       text,
    to_address         text,
    provider_ref       text,
    delivery_status    text              NOT NULL DEFAULT 'queued',
    failure_code       system_core.code,
    is_automated       boolean           NOT NULL DEFAULT false,
    purpose            text              NOT NULL DEFAULT 'transactional',
    sentiment_score    system_core.score,
    call_seconds       integer,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, message_id, sent_at),
    FOREIGN KEY (business_id, sender_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, attachment_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, recording_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, conversation_id)
        REFERENCES auto.conversation (business_id, conversation_id),
    CONSTRAINT message_direction_known CHECK (direction IN ('inbound', 'outbound')),
    CONSTRAINT message_kind_known
        CHECK (message_kind IN ('text', 'mms', 'email', 'call', 'voicemail', 'estimate_link',
                                'inspection_link', 'payment_link', 'status_update')),
    CONSTRAINT message_delivery_status_known
        CHECK (delivery_status IN ('queued', 'sent', 'delivered', 'read', 'failed', 'blocked')),
    CONSTRAINT message_purpose_known
        CHECK (purpose IN ('transactional', 'marketing', 'review_request')),
    CONSTRAINT message_seconds_only_of_calls
        CHECK (call_seconds IS NULL OR message_kind IN ('call', 'voicemail')),
    CONSTRAINT message_seconds_not_negative CHECK (call_seconds >= 0),
    CONSTRAINT message_failed_has_code
        CHECK (delivery_status NOT IN ('failed', 'blocked') OR failure_code IS NOT NULL),
    CONSTRAINT message_automated_is_outbound
        CHECK (NOT is_automated OR direction = 'outbound' AND sender_user_id IS NULL),
    CONSTRAINT message_sentiment_bounded CHECK (sentiment_score BETWEEN -1 AND 1)
) PARTITION BY RANGE (sent_at);

COMMENT ON TABLE auto.message IS
    'Text, email or call in a thread, with carrier outcome; append only.';
COMMENT ON COLUMN auto.message.delivery_status IS
    'What the carrier said last when it was recorded.';
COMMENT ON COLUMN auto.message.is_automated IS
    'Sent by a rule, not by a person: needs a consent in force and keeps quiet hours.';
COMMENT ON COLUMN auto.message.purpose IS 'Which consent it needs where it is automated.';
COMMENT ON COLUMN auto.message.sentiment_score IS '-1 is angry, 1 is delighted.';

-- A carrier reports a message once.
CREATE UNIQUE INDEX message_provider_ref_sent_at_idx
    ON auto.message (business_id, provider_ref, sent_at)
    WHERE provider_ref IS NOT NULL;

-- FK: what somebody sent.
CREATE INDEX message_sender_user_idx
    ON auto.message (business_id, sender_user_id)
    WHERE sender_user_id IS NOT NULL;

-- FK: the messages that a file is attached to.
CREATE INDEX message_attachment_file_idx
    ON auto.message (business_id, attachment_file_id)
    WHERE attachment_file_id IS NOT NULL;

-- FK: the call that a file records.
CREATE INDEX message_recording_file_idx
    ON auto.message (business_id, recording_file_id)
    WHERE recording_file_id IS NOT NULL;

-- FK: a thread, the latest message first.
CREATE INDEX message_conversation_idx
    ON auto.message (business_id, conversation_id, sent_at DESC);

ALTER TABLE auto.message ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.message
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON auto.message TO app_user;
GRANT SELECT ON auto.message TO app_readonly;

CREATE TRIGGER message_append_only
    BEFORE UPDATE OR DELETE ON auto.message
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('auto.message');

CREATE TABLE auto.message_default PARTITION OF auto.message DEFAULT;
ALTER TABLE auto.message_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.message_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('auto.message', 'month', behind => 3, ahead => 1);

CREATE FUNCTION auto.consent_channel(message_kind text, thread_channel text) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN message_kind IN ('text', 'mms') THEN 'sms'
                WHEN message_kind IN ('call', 'voicemail') THEN 'voice'
                WHEN message_kind = 'email' THEN 'email'
                WHEN thread_channel = 'phone' THEN 'voice'
                WHEN thread_channel IN ('sms', 'email') THEN thread_channel END;
COMMENT ON FUNCTION auto.consent_channel(text, text) IS
    'The channel whose consent a message needs; NULL for portal and web chat, which a customer opens
     on its own.';

CREATE FUNCTION auto.is_quiet(moment timestamptz, time_zone text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN extract(hour FROM moment AT TIME ZONE time_zone) NOT BETWEEN 8 AND 20;
COMMENT ON FUNCTION auto.is_quiet(timestamptz, text) IS
    'Whether nobody may be called or texted by a machine: before 8 and from 21 o''clock of the
     recipient (47 CFR 64.1200).';

CREATE FUNCTION auto.require_consent() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    thread record;
    needed text;
BEGIN
    IF NOT row_security_active('auto.message') THEN
        RETURN NEW;
    END IF;
    SELECT c.channel, c.customer_contact_id, k.full_name, k.unsubscribed_at,
           coalesce(s.timezone, b.time_zone) AS time_zone
    INTO thread
    FROM auto.conversation AS c
    JOIN tenant_mgmt.business AS b ON b.business_id = c.business_id
    LEFT JOIN auto.customer_contact AS k
        ON k.business_id = c.business_id AND k.customer_contact_id = c.customer_contact_id
    LEFT JOIN auto.repair_order AS o
        ON o.business_id = c.business_id AND o.repair_order_id = c.repair_order_id
    LEFT JOIN auto.shop AS s ON s.business_id = c.business_id AND s.shop_id = o.shop_id
    WHERE c.business_id = tenant_mgmt.current_business_id()
      AND c.conversation_id = NEW.conversation_id;
    needed := auto.consent_channel(NEW.message_kind, thread.channel);
    IF needed IS NULL THEN
        RETURN NEW;
    END IF;
    IF thread.customer_contact_id IS NULL
        OR NOT auto.has_consent(thread.customer_contact_id, needed, NEW.purpose, NEW.sent_at)
        OR NEW.purpose <> 'transactional' AND thread.unsubscribed_at <= NEW.sent_at
    THEN
        RAISE EXCEPTION '% gave no consent to % messages by %',
            coalesce(thread.full_name, 'an unknown contact'), NEW.purpose, needed
            USING ERRCODE = 'check_violation',
                  HINT = 'Let a person write, or ask for consent first (auto.contact_consent).';
    END IF;
    IF needed IN ('sms', 'voice') AND auto.is_quiet(NEW.sent_at, thread.time_zone) THEN
        RAISE EXCEPTION 'it is % at the recipient: quiet hours',
            to_char(NEW.sent_at AT TIME ZONE thread.time_zone, 'HH24:MI')
            USING ERRCODE = 'check_violation', HINT = 'Send it between 8 and 21 o''clock there.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.require_consent() IS
    'An automated message goes to whom agreed to its channel and purpose, texts and calls outside of
     quiet hours, by the clock of the shop of the order, else of the business.';

CREATE TRIGGER message_consented
    BEFORE INSERT ON auto.message
    FOR EACH ROW WHEN (NEW.is_automated AND NEW.direction = 'outbound')
    EXECUTE FUNCTION auto.require_consent();

CREATE FUNCTION auto.tell_conversation() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.conversation AS c
    SET last_inbound_at = greatest(c.last_inbound_at, n.inbound_at),
        last_outbound_at = greatest(c.last_outbound_at, n.outbound_at),
        unread_count = n.unread + CASE WHEN n.answered_at IS NULL THEN c.unread_count ELSE 0 END,
        first_response_seconds = coalesce(
            c.first_response_seconds,
            (SELECT extract(epoch FROM min(a.sent_at) - q.first_at)::integer
             FROM (SELECT min(i.sent_at) AS first_at
                   FROM auto.message AS i
                   WHERE i.business_id = c.business_id
                     AND i.conversation_id = c.conversation_id
                     AND i.direction = 'inbound') AS q
             JOIN auto.message AS a
                 ON a.business_id = c.business_id AND a.conversation_id = c.conversation_id
                AND a.direction = 'outbound' AND NOT a.is_automated AND a.sent_at >= q.first_at
             GROUP BY q.first_at)),
        status = CASE WHEN NOT row_security_active('auto.conversation') THEN c.status
                      WHEN n.unread > 0 THEN 'waiting_shop'
                      WHEN n.answered_at IS NOT NULL THEN 'waiting_customer'
                      ELSE c.status END
    FROM (SELECT m.business_id, m.conversation_id,
                 max(m.sent_at) FILTER (WHERE m.direction = 'inbound')  AS inbound_at,
                 max(m.sent_at) FILTER (WHERE m.direction = 'outbound') AS outbound_at,
                 max(m.answered_at)                                     AS answered_at,
                 count(*) FILTER (WHERE m.direction = 'inbound'
                                    AND (m.answered_at IS NULL OR m.sent_at > m.answered_at))
                     AS unread
          FROM (SELECT x.business_id, x.conversation_id, x.sent_at, x.direction,
                       max(x.sent_at) FILTER (
                           WHERE x.direction = 'outbound' AND NOT x.is_automated) OVER (
                           PARTITION BY x.business_id, x.conversation_id) AS answered_at
                FROM changed AS x) AS m
          GROUP BY m.business_id, m.conversation_id) AS n
    WHERE c.business_id = n.business_id AND c.conversation_id = n.conversation_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.tell_conversation() IS
    'Keeps what a thread says of its messages: the last of each side, how many wait for an answer,
     how fast the first was, whose turn it is. A message in a closed thread reopens it.';

CREATE TRIGGER message_told
    AFTER INSERT ON auto.message
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.tell_conversation();


CREATE TABLE auto.customer_review (
    business_id        uuid              NOT NULL,
    customer_review_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    replied_by_user_id uuid,
    customer_id        uuid              NOT NULL,
    repair_order_id    uuid,
    source             text              NOT NULL,
    requested_at       timestamptz,
    received_at        timestamptz       NOT NULL DEFAULT now(),
    star_rating        integer,
    nps_score          system_core.score,
    review_text        text,
    topics             text[]            NOT NULL DEFAULT '{}',
    is_public          boolean           NOT NULL DEFAULT false,
    reply_text         text,
    replied_at         timestamptz,
    recovery_status    text              NOT NULL DEFAULT 'none',
    external_ref       text,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, customer_review_id),
    FOREIGN KEY (business_id, replied_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES auto.customer (business_id, customer_id),
    FOREIGN KEY (business_id, repair_order_id)
        REFERENCES auto.repair_order (business_id, repair_order_id),
    CONSTRAINT customer_review_source_known
        CHECK (source IN ('survey', 'google', 'yelp', 'facebook', 'carfax', 'bbb')),
    CONSTRAINT customer_review_recovery_known
        CHECK (recovery_status IN ('none', 'open', 'resolved')),
    CONSTRAINT customer_review_stars_bounded CHECK (star_rating BETWEEN 1 AND 5),
    CONSTRAINT customer_review_nps_bounded
        CHECK (nps_score BETWEEN 0 AND 10 AND nps_score = trunc(nps_score)),
    CONSTRAINT customer_review_rates CHECK (num_nonnulls(star_rating, nps_score) >= 1),
    CONSTRAINT customer_review_nps_only_of_surveys
        CHECK (nps_score IS NULL OR source = 'survey'),
    CONSTRAINT customer_review_received_after_request CHECK (received_at >= requested_at),
    CONSTRAINT customer_review_reply_is_whole
        CHECK ((reply_text IS NULL) = (replied_at IS NULL)),
    CONSTRAINT customer_review_reply_after_receipt CHECK (replied_at >= received_at)
);

COMMENT ON TABLE auto.customer_review IS
    'Survey answer or public review after a visit, with reply and recovery.';

COMMENT ON COLUMN auto.customer_review.requested_at IS 'NULL: it came unasked.';
COMMENT ON COLUMN auto.customer_review.nps_score IS
    'How likely they recommend the shop: 9 and 10 promote it, 0 to 6 detract.';
COMMENT ON COLUMN auto.customer_review.recovery_status IS
    'Making good: somebody calls an unhappy customer until it is resolved.';

-- A review of another site is fetched once.
CREATE UNIQUE INDEX customer_review_source_external_ref_idx
    ON auto.customer_review (business_id, source, external_ref)
    WHERE external_ref IS NOT NULL;

-- The unhappy that somebody is to call, the oldest first.
CREATE INDEX customer_review_recovery_idx
    ON auto.customer_review (business_id, received_at)
    WHERE recovery_status = 'open';

-- FK: the reviews that somebody replied to.
CREATE INDEX customer_review_replied_by_user_idx
    ON auto.customer_review (business_id, replied_by_user_id)
    WHERE replied_by_user_id IS NOT NULL;

-- FK: the reviews of a customer.
CREATE INDEX customer_review_customer_idx ON auto.customer_review (business_id, customer_id);

-- FK: the reviews of a visit.
CREATE INDEX customer_review_repair_order_idx
    ON auto.customer_review (business_id, repair_order_id)
    WHERE repair_order_id IS NOT NULL;

ALTER TABLE auto.customer_review ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.customer_review
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.customer_review TO app_user;
GRANT SELECT ON auto.customer_review TO app_readonly;

CREATE TRIGGER customer_review_touch
    BEFORE UPDATE ON auto.customer_review
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER customer_review_recovery_machine
    BEFORE INSERT OR UPDATE OF recovery_status ON auto.customer_review
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('recovery_status', '{
        "initial": ["none", "open"],
        "transitions": {
            "none":     ["open"],
            "open":     ["resolved"],
            "resolved": ["open"]
        }}');

CREATE FUNCTION auto.open_recovery() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.recovery_status := 'open';
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.open_recovery() IS 'Whoever gives two stars or a six is called.';

CREATE TRIGGER customer_review_detractor
    BEFORE INSERT ON auto.customer_review
    FOR EACH ROW
    WHEN (NEW.recovery_status = 'none' AND (NEW.star_rating <= 2 OR NEW.nps_score <= 6))
    EXECUTE FUNCTION auto.open_recovery();


CREATE MATERIALIZED VIEW auto.mv_customer_retention AS
SELECT c.business_id, c.customer_id,
       coalesce(v.visits, 0)                                   AS visits,
       coalesce(s.spend_amount, 0)                             AS spend_amount,
       v.last_visit_at,
       round(v.idle_months, 1)                                 AS months_since_last_visit,
       coalesce(o.vehicles, 0)                                 AS vehicles,
       round(1 - exp(-v.idle_months / (2 * v.usual_months)), 4) AS lapse_probability
FROM auto.customer AS c
LEFT JOIN (
    SELECT r.business_id, r.customer_id, count(*) AS visits, max(r.opened_at) AS last_visit_at,
           greatest(extract(epoch FROM now() - max(r.opened_at)), 0) / (30.44 * 86400)
               AS idle_months,
           CASE WHEN count(*) > 1
                THEN greatest(extract(epoch FROM max(r.opened_at) - min(r.opened_at))
                              / (count(*) - 1) / (30.44 * 86400), 1)
                ELSE 6 END AS usual_months
    FROM auto.repair_order AS r
    WHERE r.status IN ('invoiced', 'closed')
    GROUP BY r.business_id, r.customer_id) AS v
    ON v.business_id = c.business_id AND v.customer_id = c.customer_id
LEFT JOIN (
    SELECT i.business_id, i.bill_to_customer_id, sum(i.total_amount) AS spend_amount
    FROM auto.invoice AS i
    WHERE i.issued_at IS NOT NULL AND i.status <> 'void'
    GROUP BY i.business_id, i.bill_to_customer_id) AS s
    ON s.business_id = c.business_id AND s.bill_to_customer_id = c.customer_id
LEFT JOIN (
    SELECT w.business_id, w.customer_id, count(DISTINCT w.vehicle_id) AS vehicles
    FROM auto.vehicle_ownership AS w
    WHERE w.starts_on <= current_date AND coalesce(w.ends_on > current_date, true)
    GROUP BY w.business_id, w.customer_id) AS o
    ON o.business_id = c.business_id AND o.customer_id = c.customer_id
WHERE c.status <> 'archived'
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW auto.mv_customer_retention IS
    'Visits, spend and how likely a customer will not come back: the longer away, measured by the
     usual time between two visits (six months after a first one), the likelier.';

-- Unique, so that it is refreshed concurrently; also serves v_customer_retention.
CREATE UNIQUE INDEX mv_customer_retention_idx
    ON auto.mv_customer_retention (business_id, customer_id);

GRANT USAGE ON SCHEMA auto TO matview_owner;
GRANT SELECT ON auto.customer, auto.repair_order, auto.invoice, auto.vehicle_ownership
    TO matview_owner;

CREATE VIEW auto.v_customer_retention WITH (security_barrier = true) AS
SELECT *
FROM auto.mv_customer_retention AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW auto.v_customer_retention IS 'The tenant''s own part of mv_customer_retention.';
GRANT SELECT ON auto.v_customer_retention TO app_user, app_readonly;
