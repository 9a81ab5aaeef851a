/*
 * Delivery platforms: what a listing offers, what it sells, and who brings it to the guest.
 *
 * A channel_menu_publication is one push of a card to a listing and what the
 * channel answered; rest.menu_publication_changes() compares it with the push before. The
 * channel_item_link says what our items and options are called there: an item that is out at the
 * site is off every listing of it. A channel_webhook_event is a message as it came in; an order in
 * it becomes a channel_order (rest.receive_channel_order), which rest.accept_channel_order() turns
 * into an order and check of ours, or denies with a reason. From then on it follows the order that
 * the kitchen cooks. A delivery_job is a courier's trip, delivery_status_event where the courier
 * was and what happened.
 */

CREATE TABLE rest.channel_menu_publication (
    business_id                 uuid                    NOT NULL,
    channel_menu_publication_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    requested_by_user_id        uuid,
    channel_store_link_id       uuid                    NOT NULL,
    menu_id                     uuid                    NOT NULL,
    publication_number          text                    NOT NULL,
    trigger_kind                text                    NOT NULL,
    state                       text                    NOT NULL DEFAULT 'queued',
    item_count                  integer                 NOT NULL DEFAULT 0,
    rejected_count              integer                 NOT NULL DEFAULT 0,
    payload_sha256              system_core.sha256,
    payload_doc                 system_core.json_object,
    errors_doc                  system_core.json_array  NOT NULL DEFAULT '[]',
    queued_at                   timestamptz             NOT NULL DEFAULT now(),
    pushed_at                   timestamptz,
    accepted_at                 timestamptz,
    duration_ms                 integer,
    created_at                  timestamptz             NOT NULL DEFAULT now(),
    updated_at                  timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, channel_menu_publication_id),
    UNIQUE (business_id, channel_store_link_id, publication_number),
    FOREIGN KEY (business_id, requested_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, channel_store_link_id)
        REFERENCES rest.channel_store_link (business_id, channel_store_link_id),
    FOREIGN KEY (business_id, menu_id) REFERENCES rest.menu (business_id, menu_id),
    CONSTRAINT channel_menu_publication_trigger_kind_known
        CHECK (trigger_kind IN ('manual', 'scheduled', 'price_change', 'stockout', 'new_item')),
    CONSTRAINT channel_menu_publication_state_known
        CHECK (state IN ('queued', 'building', 'pushed', 'accepted', 'partly_rejected', 'failed',
                         'superseded')),
    CONSTRAINT channel_menu_publication_rejects_at_most_all
        CHECK (rejected_count BETWEEN 0 AND item_count),
    CONSTRAINT channel_menu_publication_partly_rejects_some
        CHECK (state <> 'partly_rejected' OR rejected_count > 0),
    CONSTRAINT channel_menu_publication_accepted_whole
        CHECK (state <> 'accepted' OR rejected_count = 0),
    CONSTRAINT channel_menu_publication_document_has_hash
        CHECK ((payload_doc IS NULL) = (payload_sha256 IS NULL)),
    CONSTRAINT channel_menu_publication_pushed_has_document
        CHECK (state NOT IN ('pushed', 'accepted', 'partly_rejected')
               OR (payload_doc IS NOT NULL AND pushed_at IS NOT NULL)),
    CONSTRAINT channel_menu_publication_answered_has_time
        CHECK (state NOT IN ('accepted', 'partly_rejected') OR accepted_at IS NOT NULL),
    CONSTRAINT channel_menu_publication_pushed_after_queue CHECK (pushed_at >= queued_at),
    CONSTRAINT channel_menu_publication_answered_after_push CHECK (accepted_at >= pushed_at),
    CONSTRAINT channel_menu_publication_duration_not_negative CHECK (duration_ms >= 0)
);

COMMENT ON TABLE rest.channel_menu_publication IS
    'One push of a menu to a listing and what the channel said.';
COMMENT ON COLUMN rest.channel_menu_publication.payload_doc IS
    'The menu as pushed: {"categories": [{"name", "items": [{"id", "name", "price", "available",
     "modifier_groups": [{"id", "name", "options": [{"id", "name", "price"}]}]}]}]}.';
COMMENT ON COLUMN rest.channel_menu_publication.errors_doc IS
    'What the channel rejected: [{"id", "path", "code"}].';
COMMENT ON COLUMN rest.channel_menu_publication.accepted_at IS
    'When the channel answered, also where it rejected a part.';
COMMENT ON COLUMN rest.channel_menu_publication.duration_ms IS 'From the push to the answer.';

-- One push of a listing at a time: the channel would mix two.
CREATE UNIQUE INDEX channel_menu_publication_under_way_idx
    ON rest.channel_menu_publication (business_id, channel_store_link_id)
    WHERE state IN ('building', 'pushed');

-- The pushes of a listing, the newest first: what it shows now, and what it showed before.
CREATE INDEX channel_menu_publication_listing_idx
    ON rest.channel_menu_publication (business_id, channel_store_link_id, queued_at DESC);

-- FK: what somebody pushed.
CREATE INDEX channel_menu_publication_requested_by_user_idx
    ON rest.channel_menu_publication (business_id, requested_by_user_id)
    WHERE requested_by_user_id IS NOT NULL;

-- FK: where a card was pushed to.
CREATE INDEX channel_menu_publication_menu_idx
    ON rest.channel_menu_publication (business_id, menu_id);

ALTER TABLE rest.channel_menu_publication ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.channel_menu_publication
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.channel_menu_publication TO app_user;
GRANT SELECT ON rest.channel_menu_publication TO app_readonly;

CREATE TRIGGER channel_menu_publication_touch
    BEFORE UPDATE ON rest.channel_menu_publication
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER channel_menu_publication_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.channel_menu_publication
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["queued"],
        "transitions": {
            "queued":          ["building", "failed", "superseded"],
            "building":        ["pushed", "failed"],
            "pushed":          ["accepted", "partly_rejected", "failed"],
            "accepted":        ["superseded"],
            "partly_rejected": ["superseded"],
            "failed":          [],
            "superseded":      []
        }}');


CREATE TABLE rest.channel_item_link (
    business_id           uuid              NOT NULL,
    channel_item_link_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    channel_store_link_id uuid              NOT NULL,
    menu_item_id          uuid,
    modifier_option_id    uuid,
    brand_menu_item_id    uuid,
    external_item_id      text              NOT NULL,
    item_role             text              NOT NULL,
    pushed_name           text,
    pushed_price          system_core.money,
    is_available          boolean           NOT NULL DEFAULT true,
    suspended_until       timestamptz,
    last_pushed_at        timestamptz,
    last_hash             text,
    drift_state           text              NOT NULL DEFAULT 'in_sync',
    checked_at            timestamptz,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, channel_item_link_id),
    UNIQUE (business_id, channel_store_link_id, item_role, external_item_id),
    FOREIGN KEY (business_id, channel_store_link_id)
        REFERENCES rest.channel_store_link (business_id, channel_store_link_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    FOREIGN KEY (business_id, modifier_option_id)
        REFERENCES rest.modifier_option (business_id, modifier_option_id),
    FOREIGN KEY (business_id, brand_menu_item_id)
        REFERENCES rest.brand_menu_item (business_id, brand_menu_item_id),
    CONSTRAINT channel_item_link_item_role_known
        CHECK (item_role IN ('item', 'modifier', 'group')),
    CONSTRAINT channel_item_link_drift_state_known
        CHECK (drift_state IN ('in_sync', 'price_drift', 'availability_drift', 'missing_remote',
                               'missing_local')),
    CONSTRAINT channel_item_link_is_one_thing
        CHECK (num_nonnulls(menu_item_id, modifier_option_id, brand_menu_item_id) <= 1),
    CONSTRAINT channel_item_link_role_fits
        CHECK (CASE item_role WHEN 'item' THEN modifier_option_id IS NULL
                              WHEN 'modifier' THEN brand_menu_item_id IS NULL
                              ELSE num_nonnulls(menu_item_id, modifier_option_id,
                                                brand_menu_item_id) = 0 END),
    CONSTRAINT channel_item_link_unknown_is_missing_here
        CHECK (item_role = 'group' OR drift_state = 'missing_local'
               OR num_nonnulls(menu_item_id, modifier_option_id, brand_menu_item_id) = 1),
    CONSTRAINT channel_item_link_price_not_negative CHECK (pushed_price >= 0),
    CONSTRAINT channel_item_link_suspended_is_not_available
        CHECK (suspended_until IS NULL OR NOT is_available)
);

COMMENT ON TABLE rest.channel_item_link IS
    'An item or modifier as the channel knows it, with drift from our catalogue.';
COMMENT ON COLUMN rest.channel_item_link.brand_menu_item_id IS
    'Where the listing sells it under a brand''s own name; else menu_item_id.';
COMMENT ON COLUMN rest.channel_item_link.is_available IS
    'What we want the listing to say; until it says so, the drift is availability_drift.';
COMMENT ON COLUMN rest.channel_item_link.suspended_until IS
    'NULL with is_available = false: until further notice.';
COMMENT ON COLUMN rest.channel_item_link.drift_state IS
    'missing_local: the channel sells what we do not know; it is not accepted.';

-- FK: the listings that sell an item, to take it off all of them.
CREATE INDEX channel_item_link_menu_item_idx
    ON rest.channel_item_link (business_id, menu_item_id)
    WHERE menu_item_id IS NOT NULL;

-- FK: the listings that offer an option.
CREATE INDEX channel_item_link_modifier_option_idx
    ON rest.channel_item_link (business_id, modifier_option_id)
    WHERE modifier_option_id IS NOT NULL;

-- FK: the listings that sell a brand's item.
CREATE INDEX channel_item_link_brand_menu_item_idx
    ON rest.channel_item_link (business_id, brand_menu_item_id)
    WHERE brand_menu_item_id IS NOT NULL;

-- What a listing shows otherwise than we want, to be pushed.
CREATE INDEX channel_item_link_drift_idx
    ON rest.channel_item_link (business_id, channel_store_link_id)
    WHERE drift_state <> 'in_sync';

ALTER TABLE rest.channel_item_link ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.channel_item_link
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.channel_item_link TO app_user;
GRANT SELECT ON rest.channel_item_link TO app_readonly;

CREATE TRIGGER channel_item_link_touch
    BEFORE UPDATE ON rest.channel_item_link
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.follow_stock() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    offers uuid[];
BEGIN
    IF NOT row_security_active('rest.menu_item_location') THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(c.menu_item_location_id) INTO offers
    FROM changed AS c
    JOIN former AS f
        ON f.business_id = c.business_id AND f.menu_item_location_id = c.menu_item_location_id
    WHERE (c.stock_mode = 'out_of_stock' OR NOT c.is_offered, c.back_at)
          IS DISTINCT FROM (f.stock_mode = 'out_of_stock' OR NOT f.is_offered, f.back_at);
    IF offers IS NULL THEN
        RETURN NULL;
    END IF;
    -- Once by the item itself and once by its names with the brands: each by its own index.
    UPDATE rest.channel_item_link AS l
    SET is_available = n.is_sold, suspended_until = n.back_at, drift_state = 'availability_drift'
    FROM rest.moved_offers(offers) AS n
    WHERE l.business_id = tenant_mgmt.current_business_id()
      AND l.channel_item_link_id = n.channel_item_link_id
      AND (l.is_available, l.suspended_until) IS DISTINCT FROM (n.is_sold, n.back_at);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.follow_stock() IS
    'What is out at a site, or sold to the last portion, is off every listing of the site; what is
     back is back on them.';

CREATE FUNCTION rest.moved_offers(offers uuid[])
    RETURNS TABLE (channel_item_link_id uuid, is_sold boolean, back_at timestamptz)
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT l.channel_item_link_id, o.stock_mode <> 'out_of_stock' AND o.is_offered, o.back_at
    FROM rest.menu_item_location AS o
    JOIN rest.channel_item_link AS l
        ON l.business_id = o.business_id AND l.menu_item_id = o.menu_item_id
    JOIN rest.channel_store_link AS s
        ON s.business_id = l.business_id AND s.channel_store_link_id = l.channel_store_link_id
       AND s.location_id = o.location_id
    WHERE o.business_id = tenant_mgmt.current_business_id()
      AND o.menu_item_location_id = ANY (offers)
    UNION ALL
    SELECT l.channel_item_link_id, o.stock_mode <> 'out_of_stock' AND o.is_offered, o.back_at
    FROM rest.menu_item_location AS o
    JOIN rest.brand_menu_item AS b
        ON b.business_id = o.business_id AND b.menu_item_id = o.menu_item_id
    JOIN rest.channel_item_link AS l
        ON l.business_id = b.business_id AND l.brand_menu_item_id = b.brand_menu_item_id
    JOIN rest.channel_store_link AS s
        ON s.business_id = l.business_id AND s.channel_store_link_id = l.channel_store_link_id
       AND s.location_id = o.location_id
    WHERE o.business_id = tenant_mgmt.current_business_id()
      AND o.menu_item_location_id = ANY (offers);
END
$$;
COMMENT ON FUNCTION rest.moved_offers(uuid[]) IS
    'The item links of the listings of a site for what the site offers, and whether it is sold.';

CREATE TRIGGER menu_item_location_follow_stock
    AFTER UPDATE ON rest.menu_item_location
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.follow_stock();

CREATE FUNCTION rest.mark_item_out(
    item    uuid,
    place   uuid,
    reason  text DEFAULT 'sold out',
    back_at timestamptz DEFAULT NULL
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid        := tenant_mgmt.current_business_id();
    moment CONSTANT timestamptz := now();
    offer  uuid;
BEGIN
    UPDATE rest.menu_item_location AS o
    SET stock_mode = 'out_of_stock', remaining_qty = NULL,
        out_since = coalesce(o.out_since, moment), out_reason = mark_item_out.reason,
        back_at = mark_item_out.back_at
    WHERE o.business_id = tenant AND o.menu_item_id = item AND o.location_id = place
    RETURNING o.menu_item_location_id INTO offer;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the site does not offer this item' USING ERRCODE = 'no_data_found';
    END IF;
    RETURN (SELECT count(*) FROM rest.moved_offers(ARRAY[offer]) AS n WHERE NOT n.is_sold);
END
$$;
COMMENT ON FUNCTION rest.mark_item_out(uuid, uuid, text, timestamptz) IS
    'Takes an item off every screen and listing of a site ("86"); how many listings show it.';


CREATE TABLE rest.channel_webhook_event (
    business_id              uuid        NOT NULL,
    channel_webhook_event_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    channel_store_link_id    uuid,
    received_at              timestamptz NOT NULL DEFAULT now(),
    external_event_id        text        NOT NULL,
    event_type               text        NOT NULL,
    signature_valid          boolean     NOT NULL DEFAULT false,
    attempt_no               integer     NOT NULL DEFAULT 1,
    processing_state         text        NOT NULL DEFAULT 'received',
    processed_at             timestamptz,
    processing_ms            integer,
    http_status              integer,
    error_text               text,
    payload                  jsonb       NOT NULL,
    created_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, channel_webhook_event_id, received_at),
    UNIQUE (business_id, external_event_id, received_at),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, channel_store_link_id)
        REFERENCES rest.channel_store_link (business_id, channel_store_link_id),
    CONSTRAINT channel_webhook_event_processing_state_known
        CHECK (processing_state IN ('received', 'processed', 'duplicate', 'rejected', 'failed')),
    CONSTRAINT channel_webhook_event_processed_after_receipt CHECK (processed_at >= received_at),
    CONSTRAINT channel_webhook_event_outcome_has_time
        CHECK ((processed_at IS NOT NULL) = (processing_state <> 'received')),
    CONSTRAINT channel_webhook_event_signed_or_rejected
        CHECK (signature_valid OR processing_state IN ('received', 'rejected')),
    CONSTRAINT channel_webhook_event_failure_is_told
        CHECK (processing_state NOT IN ('rejected', 'failed') OR coalesce(error_text, '') ~ '\S'),
    CONSTRAINT channel_webhook_event_attempt_positive CHECK (attempt_no >= 1),
    CONSTRAINT channel_webhook_event_duration_not_negative CHECK (processing_ms >= 0),
    CONSTRAINT channel_webhook_event_http_status_known CHECK (http_status BETWEEN 100 AND 599)
) PARTITION BY RANGE (received_at);

COMMENT ON TABLE rest.channel_webhook_event IS
    'Raw inbound webhook with signature check and outcome; the message itself is never changed.';
COMMENT ON COLUMN rest.channel_webhook_event.external_event_id IS
    'Of the channel; sent again, it is a duplicate.';
COMMENT ON COLUMN rest.channel_webhook_event.channel_store_link_id IS
    'NULL where the message names no listing that we know.';

-- FK: what a listing sent, the newest first.
CREATE INDEX channel_webhook_event_channel_store_link_idx
    ON rest.channel_webhook_event (business_id, channel_store_link_id, received_at DESC)
    WHERE channel_store_link_id IS NOT NULL;

-- What is still to be worked off, the oldest first.
CREATE INDEX channel_webhook_event_waiting_idx
    ON rest.channel_webhook_event (business_id, received_at)
    WHERE processing_state IN ('received', 'failed');

ALTER TABLE rest.channel_webhook_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.channel_webhook_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE ON rest.channel_webhook_event TO app_user;
GRANT SELECT ON rest.channel_webhook_event TO app_readonly;

CREATE TRIGGER channel_webhook_event_state_machine
    BEFORE INSERT OR UPDATE OF processing_state ON rest.channel_webhook_event
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('processing_state', '{
        "initial": ["received", "duplicate", "rejected"],
        "transitions": {
            "received":  ["processed", "duplicate", "rejected", "failed"],
            "failed":    ["processed"],
            "processed": [],
            "duplicate": [],
            "rejected":  []
        }}');

CREATE TRIGGER channel_webhook_event_keep_message
    BEFORE UPDATE ON rest.channel_webhook_event
    FOR EACH ROW WHEN ((OLD.external_event_id, OLD.event_type, OLD.signature_valid, OLD.payload,
                        OLD.received_at, OLD.attempt_no)
                       IS DISTINCT FROM (NEW.external_event_id, NEW.event_type,
                                         NEW.signature_valid, NEW.payload, NEW.received_at,
                                         NEW.attempt_no))
    EXECUTE FUNCTION system_core.refuse_change('rest.channel_webhook_event');

CREATE TRIGGER channel_webhook_event_not_deleted
    BEFORE DELETE ON rest.channel_webhook_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.channel_webhook_event');

CREATE TABLE rest.channel_webhook_event_default PARTITION OF rest.channel_webhook_event DEFAULT;
ALTER TABLE rest.channel_webhook_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.channel_webhook_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'rest.channel_webhook_event', 'month', behind => 3, ahead => 1);

CREATE FUNCTION rest.record_webhook(
    event_type      text,
    external_event  text,
    document        jsonb,
    signature_valid boolean
) RETURNS rest.channel_webhook_event
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    former  integer;
    listing uuid;
    made    rest.channel_webhook_event;
BEGIN
    -- The same message twice at once: the second waits and sees the first.
    PERFORM pg_advisory_xact_lock(hashtextextended(tenant || ' webhook ' || external_event, 0));
    SELECT count(*) INTO former
    FROM rest.channel_webhook_event AS e
    WHERE e.business_id = tenant AND e.external_event_id = external_event AND e.signature_valid;
    SELECT s.channel_store_link_id INTO listing
    FROM rest.channel_store_link AS s
    WHERE s.business_id = tenant
      AND s.external_store_id = JSON_VALUE(document, '$.store.id')
    ORDER BY s.channel_store_link_id
    LIMIT 1;
    INSERT INTO rest.channel_webhook_event
        (business_id, channel_store_link_id, received_at, external_event_id, event_type,
         signature_valid, attempt_no, processing_state, processed_at, http_status, error_text,
         payload)
    SELECT tenant, listing, t.moment, external_event, record_webhook.event_type,
           record_webhook.signature_valid, former + 1,
           CASE WHEN NOT record_webhook.signature_valid THEN 'rejected'
                WHEN former > 0 THEN 'duplicate' ELSE 'received' END,
           CASE WHEN NOT record_webhook.signature_valid OR former > 0 THEN t.moment END,
           CASE WHEN NOT record_webhook.signature_valid THEN 401 ELSE 200 END,
           CASE WHEN NOT record_webhook.signature_valid THEN 'the signature does not match' END,
           document
    -- Not now(): two messages of one transaction are two rows.
    FROM (SELECT clock_timestamp() AS moment) AS t
    RETURNING * INTO made;
    UPDATE rest.channel_store_link AS s
    SET last_heartbeat_at = made.received_at
    WHERE s.business_id = tenant AND s.channel_store_link_id = listing
      AND record_webhook.signature_valid
      AND s.last_heartbeat_at < made.received_at - interval '1 minute';
    RETURN made;
END
$$;
COMMENT ON FUNCTION rest.record_webhook(text, text, jsonb, boolean) IS
    'Keeps a message as it came in: rejected where it is not signed, a duplicate where it came
     before, else received and to be worked off.';


CREATE TABLE rest.channel_order (
    business_id           uuid                    NOT NULL,
    channel_order_id      uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    channel_store_link_id uuid                    NOT NULL,
    guest_order_id        uuid,
    external_order_id     text                    NOT NULL,
    display_id            text,
    state                 text                    NOT NULL DEFAULT 'received',
    deny_reason           text                    NOT NULL DEFAULT 'none',
    cancelled_by          text                    NOT NULL DEFAULT 'none',
    placed_at             timestamptz             NOT NULL DEFAULT now(),
    accept_deadline_at    timestamptz             NOT NULL DEFAULT now() + interval '10 minutes',
    accepted_at           timestamptz,
    ready_at              timestamptz,
    cancelled_at          timestamptz,
    items_subtotal        system_core.money       NOT NULL DEFAULT 0,
    channel_discount      system_core.money       NOT NULL DEFAULT 0,
    commission_estimate   system_core.money       NOT NULL DEFAULT 0,
    tax_by_channel        system_core.money       NOT NULL DEFAULT 0,
    guest_tip             system_core.money       NOT NULL DEFAULT 0,
    payload               system_core.json_object NOT NULL,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, channel_order_id),
    UNIQUE (business_id, channel_store_link_id, external_order_id),
    FOREIGN KEY (business_id, channel_store_link_id)
        REFERENCES rest.channel_store_link (business_id, channel_store_link_id),
    FOREIGN KEY (business_id, guest_order_id)
        REFERENCES rest.guest_order (business_id, guest_order_id),
    CONSTRAINT channel_order_state_known
        CHECK (state IN ('received', 'validated', 'accepted', 'denied', 'preparing', 'ready',
                         'picked_up', 'delivered', 'cancelled', 'failed')),
    CONSTRAINT channel_order_deny_reason_known
        CHECK (deny_reason IN ('none', 'item_unavailable', 'store_closed', 'too_busy',
                               'address_out_of_range', 'pos_offline', 'other')),
    CONSTRAINT channel_order_cancelled_by_known
        CHECK (cancelled_by IN ('none', 'guest', 'store', 'channel', 'courier')),
    CONSTRAINT channel_order_accepted_in_time CHECK (accepted_at <= accept_deadline_at),
    CONSTRAINT channel_order_accepted_is_ours
        CHECK (state NOT IN ('accepted', 'preparing', 'ready', 'picked_up', 'delivered')
               OR (guest_order_id IS NOT NULL AND accepted_at IS NOT NULL)),
    CONSTRAINT channel_order_not_ours_before
        CHECK (state NOT IN ('received', 'validated', 'denied')
               OR num_nonnulls(guest_order_id, accepted_at) = 0),
    CONSTRAINT channel_order_denied_for_a_reason
        CHECK ((deny_reason <> 'none') = (state = 'denied')),
    CONSTRAINT channel_order_cancelled_by_somebody
        CHECK ((cancelled_by <> 'none') = (state = 'cancelled')
               AND (cancelled_at IS NOT NULL) = (state = 'cancelled')),
    CONSTRAINT channel_order_ready_has_time
        CHECK (state NOT IN ('ready', 'picked_up', 'delivered') OR ready_at IS NOT NULL),
    CONSTRAINT channel_order_ready_after_acceptance CHECK (ready_at >= accepted_at),
    CONSTRAINT channel_order_amounts_not_negative
        CHECK (items_subtotal >= 0 AND channel_discount >= 0 AND commission_estimate >= 0
               AND tax_by_channel >= 0 AND guest_tip >= 0)
);

COMMENT ON TABLE rest.channel_order IS
    'An order as the marketplace sent it, until accepted into the POS or denied.';
COMMENT ON COLUMN rest.channel_order.channel_discount IS
    'What the channel took off for the guest at its own cost; our check is not lowered.';
COMMENT ON COLUMN rest.channel_order.guest_tip IS
    'Given in the app; it comes with the payout, so it is not on the check.';
COMMENT ON COLUMN rest.channel_order.payload IS
    '{"ready_by", "fulfillment": "delivery" or "pickup", "guest": {"name"}, "address": {}, "cart":
     {"items": [{"id", "title", "quantity", "unit_price", "note", "modifier_groups": [{"id",
     "options": [{"id", "title", "quantity", "price"}]}]}]}}';

-- The orders that wait for an answer, the most urgent first.
CREATE INDEX channel_order_waiting_idx
    ON rest.channel_order (business_id, accept_deadline_at)
    WHERE state IN ('received', 'validated');

-- FK, and one marketplace order becomes one order of ours.
CREATE UNIQUE INDEX channel_order_guest_order_idx
    ON rest.channel_order (business_id, guest_order_id)
    WHERE guest_order_id IS NOT NULL;

ALTER TABLE rest.channel_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.channel_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.channel_order TO app_user;
GRANT SELECT ON rest.channel_order TO app_readonly;

CREATE TRIGGER channel_order_touch
    BEFORE UPDATE ON rest.channel_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER channel_order_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.channel_order
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["received"],
        "transitions": {
            "received":  ["validated", "accepted", "denied", "cancelled", "failed"],
            "validated": ["accepted", "denied", "cancelled", "failed"],
            "accepted":  ["preparing", "ready", "cancelled", "failed"],
            "preparing": ["ready", "cancelled", "failed"],
            "ready":     ["picked_up", "cancelled", "failed"],
            "picked_up": ["delivered", "failed"],
            "denied":    [],
            "delivered": [],
            "cancelled": [],
            "failed":    []
        }}');

CREATE FUNCTION rest.lines_of_channel_order(channel_order uuid)
    RETURNS TABLE (
        line_number        integer,
        title              text,
        quantity           numeric,
        unit_price         numeric,
        note               text,
        menu_item_id       uuid,
        is_sold            boolean,
        option_number      integer,
        option_title       text,
        option_quantity    numeric,
        option_price       numeric,
        modifier_option_id uuid,
        is_option_sold     boolean
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT j.line_number, coalesce(j.title, l.pushed_name, j.id), coalesce(j.quantity, 1),
           coalesce(j.unit_price, l.pushed_price, 0), j.note,
           coalesce(l.menu_item_id, b.menu_item_id),
           coalesce(l.is_available AND f.is_offered AND f.stock_mode <> 'out_of_stock'
                    AND (f.remaining_qty IS NULL OR f.remaining_qty >= coalesce(j.quantity, 1)),
                    false),
           j.option_number, coalesce(j.option_title, m.pushed_name, j.option_id),
           coalesce(j.option_quantity, 1), coalesce(j.option_price, m.pushed_price, 0),
           m.modifier_option_id,
           j.option_id IS NULL
           OR coalesce(m.is_available AND p.is_active AND NOT p.is_out_of_stock, false)
    FROM rest.channel_order AS o
    JOIN rest.channel_store_link AS s
        ON s.business_id = o.business_id AND s.channel_store_link_id = o.channel_store_link_id
    CROSS JOIN JSON_TABLE(o.payload::jsonb, '$.cart.items[*]' COLUMNS (
        line_number FOR ORDINALITY,
        id          text    PATH '$.id',
        title       text    PATH '$.title',
        quantity    numeric PATH '$.quantity',
        unit_price  numeric PATH '$.unit_price',
        note        text    PATH '$.note',
        NESTED PATH '$.modifier_groups[*].options[*]' COLUMNS (
            option_number   FOR ORDINALITY,
            option_id       text    PATH '$.id',
            option_title    text    PATH '$.title',
            option_quantity numeric PATH '$.quantity',
            option_price    numeric PATH '$.price'
        ))) AS j
    LEFT JOIN rest.channel_item_link AS l
        ON l.business_id = o.business_id AND l.channel_store_link_id = o.channel_store_link_id
       AND l.item_role = 'item' AND l.external_item_id = j.id
    LEFT JOIN rest.brand_menu_item AS b
        ON b.business_id = o.business_id AND b.brand_menu_item_id = l.brand_menu_item_id
    LEFT JOIN rest.menu_item_location AS f
        ON f.business_id = o.business_id AND f.location_id = s.location_id
       AND f.menu_item_id = coalesce(l.menu_item_id, b.menu_item_id)
    LEFT JOIN rest.channel_item_link AS m
        ON m.business_id = o.business_id AND m.channel_store_link_id = o.channel_store_link_id
       AND m.item_role = 'modifier' AND m.external_item_id = j.option_id
    LEFT JOIN rest.modifier_option AS p
        ON p.business_id = o.business_id AND p.modifier_option_id = m.modifier_option_id
    WHERE o.business_id = tenant_mgmt.current_business_id()
      AND o.channel_order_id = channel_order;
END;
COMMENT ON FUNCTION rest.lines_of_channel_order(uuid) IS
    'The cart of a marketplace order in our own items and options, one row an option, and whether
     they can be sold.';

CREATE FUNCTION rest.receive_channel_order(listing uuid, external_order text, document jsonb)
    RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    sent   record;
    made   uuid;
BEGIN
    SELECT s.channel_store_link_id, j.display_id, coalesce(j.placed_at, now()) AS placed_at,
           now() + coalesce(h.accept_window_seconds, 600) * interval '1 second' AS deadline_at,
           j.subtotal, coalesce(j.discount, 0) AS discount,
           round(j.subtotal * (s.commission_pct + s.delivery_commission_pct) / 100, 2)
               AS commission,
           coalesce(j.tax, 0) AS tax, coalesce(j.tip, 0) AS tip
    INTO sent
    FROM rest.channel_store_link AS s
    JOIN rest.sales_channel AS h
        ON h.business_id = s.business_id AND h.sales_channel_id = s.sales_channel_id
    CROSS JOIN JSON_TABLE(document, '$' COLUMNS (
        display_id text        PATH '$.display_id',
        placed_at  timestamptz PATH '$.placed_at',
        subtotal   numeric     PATH '$.charges.subtotal',
        discount   numeric     PATH '$.charges.discount',
        tax        numeric     PATH '$.charges.tax',
        tip        numeric     PATH '$.charges.tip')) AS j
    WHERE s.business_id = tenant AND s.channel_store_link_id = listing;
    IF FOUND THEN
        INSERT INTO rest.channel_order
            (business_id, channel_store_link_id, external_order_id, display_id, placed_at,
             accept_deadline_at, items_subtotal, channel_discount, commission_estimate,
             tax_by_channel, guest_tip, payload)
        VALUES (tenant, sent.channel_store_link_id, external_order, sent.display_id,
                sent.placed_at, sent.deadline_at, sent.subtotal, sent.discount, sent.commission,
                sent.tax, sent.tip, document)
        ON CONFLICT (business_id, channel_store_link_id, external_order_id) DO NOTHING
        RETURNING channel_order_id INTO made;
    END IF;
    IF made IS NULL THEN
        SELECT o.channel_order_id INTO made
        FROM rest.channel_order AS o
        WHERE o.business_id = tenant AND o.channel_store_link_id = listing
          AND o.external_order_id = external_order;
    END IF;
    RETURN made;
END
$$;
COMMENT ON FUNCTION rest.receive_channel_order(uuid, text, jsonb) IS
    'Keeps a marketplace order as it came in; sent again, it is the same order.';

CREATE FUNCTION rest.why_not_accept(channel_order uuid) RETURNS text
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT CASE
            WHEN s.status = 'offline' OR (s.status = 'paused'
                 AND s.pause_reason IN ('technical', 'tablet_offline')) THEN 'pos_offline'
            WHEN (s.status = 'paused' AND s.pause_reason = 'too_busy')
                 OR k.throttle_state = 'paused'
                 OR c.closed_by IN ('auto_throttle', 'manager') THEN 'too_busy'
            WHEN s.status <> 'online' OR NOT k.is_active OR d.business_day_id IS NULL
                 OR c.closed_by = 'outage' THEN 'store_closed'
            WHEN JSON_VALUE(o.payload::jsonb, '$.fulfillment') = 'delivery'
                 AND JSON_QUERY(o.payload::jsonb, '$.address') IS NULL THEN 'address_out_of_range'
            WHEN n.lines = 0 THEN 'other'
            WHEN n.unsold > 0 THEN 'item_unavailable' END
        FROM rest.channel_order AS o
        JOIN rest.channel_store_link AS s
            ON s.business_id = o.business_id AND s.channel_store_link_id = o.channel_store_link_id
        JOIN rest.kitchen AS k ON k.business_id = s.business_id AND k.kitchen_id = s.kitchen_id
        LEFT JOIN rest.business_day AS d
            ON d.business_id = s.business_id AND d.location_id = s.location_id
           AND d.state <> 'closed'
        LEFT JOIN rest.kitchen_capacity_slot AS c
            ON c.business_id = k.business_id AND c.kitchen_id = k.kitchen_id
           AND c.virtual_brand_id IS NULL AND c.slot_starts_at <= now()
           AND c.slot_starts_at > now() - c.slot_minutes * interval '1 minute'
        CROSS JOIN LATERAL (
            SELECT count(*) AS lines, count(*) FILTER (WHERE NOT (x.is_sold AND x.is_option_sold))
                       AS unsold
            FROM rest.lines_of_channel_order(o.channel_order_id) AS x
        ) AS n
        WHERE o.business_id = tenant_mgmt.current_business_id()
          AND o.channel_order_id = channel_order
        LIMIT 1
    );
END
$$;
COMMENT ON FUNCTION rest.why_not_accept(uuid) IS
    'Why a marketplace order cannot be taken: the listing, the kitchen, the day, the address or
     what is in the cart; NULL where it can.';

CREATE FUNCTION rest.accept_channel_order(channel_order uuid) RETURNS uuid
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    tenant   CONSTANT uuid := tenant_mgmt.current_business_id();
    sent     rest.channel_order;
    obstacle text;
    placed   uuid;
    bill     uuid;
    course   uuid;
    owed     numeric;
BEGIN
    SELECT o.* INTO sent
    FROM rest.channel_order AS o
    WHERE o.business_id = tenant AND o.channel_order_id = channel_order
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such marketplace order' USING ERRCODE = 'no_data_found';
    ELSIF sent.state NOT IN ('received', 'validated') THEN
        RETURN sent.guest_order_id;
    ELSIF now() > sent.accept_deadline_at THEN
        -- The channel gave it up already; nobody cooks it.
        UPDATE rest.channel_order AS o SET state = 'failed'
        WHERE o.business_id = tenant AND o.channel_order_id = channel_order;
        RETURN NULL;
    END IF;
    -- Nothing in the cart goes out or is sold to somebody else meanwhile.
    PERFORM FROM rest.menu_item_location AS f
    JOIN rest.channel_store_link AS s
        ON s.business_id = f.business_id AND s.location_id = f.location_id
       AND s.channel_store_link_id = sent.channel_store_link_id
    WHERE f.business_id = tenant
      AND f.menu_item_id IN (SELECT x.menu_item_id
                             FROM rest.lines_of_channel_order(channel_order) AS x)
    ORDER BY f.menu_item_location_id
    FOR NO KEY UPDATE OF f;
    obstacle := rest.why_not_accept(channel_order);
    IF obstacle IS NOT NULL THEN
        UPDATE rest.channel_order AS o SET state = 'denied', deny_reason = obstacle
        WHERE o.business_id = tenant AND o.channel_order_id = channel_order;
        RETURN NULL;
    END IF;
    INSERT INTO rest.guest_order
        (business_id, location_id, business_day_id, sales_channel_id, virtual_brand_id,
         kitchen_id, order_number, service_mode, promised_at, pickup_name, delivery_address_doc,
         external_order_ref, idempotency_key)
    SELECT tenant, s.location_id, d.business_day_id, s.sales_channel_id, s.virtual_brand_id,
           s.kitchen_id, h.channel_code || '-' || sent.external_order_id,
           CASE j.fulfillment WHEN 'delivery' THEN 'delivery' ELSE 'takeout' END,
           greatest(coalesce(j.ready_by, now() + s.prep_minutes * interval '1 minute'), now()),
           j.guest_name, j.address, sent.external_order_id,
           'channel ' || s.channel_store_link_id || ' ' || sent.external_order_id
    FROM rest.channel_store_link AS s
    JOIN rest.sales_channel AS h
        ON h.business_id = s.business_id AND h.sales_channel_id = s.sales_channel_id
    JOIN rest.business_day AS d
        ON d.business_id = s.business_id AND d.location_id = s.location_id
       AND d.state <> 'closed'
    CROSS JOIN JSON_TABLE(sent.payload::jsonb, '$' COLUMNS (
        fulfillment text        PATH '$.fulfillment',
        ready_by    timestamptz PATH '$.ready_by',
        guest_name  text        PATH '$.guest.name',
        address     jsonb       PATH '$.address')) AS j
    WHERE s.business_id = tenant AND s.channel_store_link_id = sent.channel_store_link_id
    RETURNING guest_order_id INTO placed;
    INSERT INTO rest.order_course
        (business_id, guest_order_id, course_number, course_kind, fire_rule)
    VALUES (tenant, placed, 1, 'all', 'immediate')
    RETURNING order_course_id INTO course;
    INSERT INTO rest.guest_check (business_id, guest_order_id, check_number, currency)
    SELECT tenant, placed, '1', l.currency
    FROM rest.guest_order AS o
    JOIN rest.location AS l ON l.business_id = o.business_id AND l.location_id = o.location_id
    WHERE o.business_id = tenant AND o.guest_order_id = placed
    RETURNING guest_check_id INTO bill;
    INSERT INTO rest.check_item
        (business_id, guest_check_id, menu_item_id, order_course_id, line_number, display_name,
         quantity, unit_price, price_source, special_request)
    SELECT DISTINCT tenant, bill, x.menu_item_id, course, x.line_number, x.title, x.quantity,
           x.unit_price, 'channel', x.note
    FROM rest.lines_of_channel_order(channel_order) AS x;
    INSERT INTO rest.check_item_modifier
        (business_id, check_item_id, modifier_option_id, display_name, quantity, unit_price,
         sequence_no)
    SELECT tenant, i.check_item_id, x.modifier_option_id, x.option_title, x.option_quantity,
           x.option_price, x.option_number
    FROM rest.lines_of_channel_order(channel_order) AS x
    JOIN rest.check_item AS i
        ON i.business_id = tenant AND i.guest_check_id = bill AND i.line_number = x.line_number
    WHERE x.modifier_option_id IS NOT NULL;
    -- What the guest paid, the marketplace holds.
    SELECT c.balance_due INTO owed
    FROM rest.guest_check AS c
    WHERE c.business_id = tenant AND c.guest_check_id = bill;
    IF owed > 0 THEN
        PERFORM rest.take_payment(bill, owed, 'marketplace', reference => sent.external_order_id);
    END IF;
    UPDATE rest.channel_order AS o
    SET state = 'accepted', accepted_at = now(), guest_order_id = placed
    WHERE o.business_id = tenant AND o.channel_order_id = channel_order;
    RETURN placed;
END
$$;
COMMENT ON FUNCTION rest.accept_channel_order(uuid) IS
    'Makes an order, a check and lines of a marketplace order, paid by the marketplace; NULL where
     it is denied (deny_reason says why) or too late. Asked again, it is the same order.';

CREATE FUNCTION rest.follow_guest_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE rest.channel_order AS c
    SET state = CASE o.state WHEN 'sent' THEN 'preparing' WHEN 'ready' THEN 'ready'
                             WHEN 'completed' THEN 'picked_up' ELSE 'cancelled' END,
        ready_at = CASE WHEN o.state = 'ready' THEN coalesce(o.ready_at, now())
                        ELSE c.ready_at END,
        cancelled_by = CASE WHEN o.state IN ('cancelled', 'voided') THEN 'store' ELSE 'none' END,
        cancelled_at = CASE WHEN o.state IN ('cancelled', 'voided') THEN now() END
    FROM changed AS o
    JOIN former AS f
        ON f.business_id = o.business_id AND f.guest_order_id = o.guest_order_id
       AND f.state <> o.state
    WHERE c.business_id = o.business_id AND c.guest_order_id = o.guest_order_id
      AND CASE o.state WHEN 'sent' THEN c.state = 'accepted'
                       WHEN 'ready' THEN c.state IN ('accepted', 'preparing')
                       WHEN 'completed' THEN c.state = 'ready'
                       WHEN 'cancelled' THEN c.state IN ('accepted', 'preparing', 'ready')
                       WHEN 'voided' THEN c.state IN ('accepted', 'preparing', 'ready')
                       ELSE false END
      AND row_security_active('rest.guest_order');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.follow_guest_order() IS
    'The channel hears how its order goes: in preparation, ready, picked up, cancelled.';

CREATE TRIGGER guest_order_tell_channel
    AFTER UPDATE ON rest.guest_order
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.follow_guest_order();


CREATE FUNCTION rest.menu_publication_changes(publication uuid)
    RETURNS TABLE (item text, change text, before jsonb, after jsonb)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH this AS (
        SELECT p.channel_store_link_id, p.queued_at, p.payload_doc
        FROM rest.channel_menu_publication AS p
        WHERE p.business_id = tenant_mgmt.current_business_id()
          AND p.channel_menu_publication_id = publication
    ), last AS (
        SELECT p.payload_doc
        FROM this AS t
        JOIN rest.channel_menu_publication AS p
            ON p.business_id = tenant_mgmt.current_business_id()
           AND p.channel_store_link_id = t.channel_store_link_id AND p.queued_at < t.queued_at
           AND p.pushed_at IS NOT NULL AND p.state <> 'failed'
        ORDER BY p.queued_at DESC, p.channel_menu_publication_id
        LIMIT 1
    ), items AS (
        SELECT v.is_new, j.id,
               jsonb_build_object('name', j.name, 'price', j.price,
                                  'available', coalesce(j.available, true)) AS shows
        FROM (SELECT true AS is_new, t.payload_doc FROM this AS t
              UNION ALL
              SELECT false, l.payload_doc FROM last AS l) AS v
        CROSS JOIN JSON_TABLE(v.payload_doc::jsonb, '$.categories[*].items[*]' COLUMNS (
            id        text    PATH '$.id',
            name      text    PATH '$.name',
            price     numeric PATH '$.price',
            available boolean PATH '$.available')) AS j
    )
    SELECT coalesce(n.id, o.id),
           CASE WHEN o.id IS NULL THEN 'added' WHEN n.id IS NULL THEN 'removed'
                WHEN n.shows -> 'price' <> o.shows -> 'price' THEN 'price'
                WHEN n.shows -> 'available' <> o.shows -> 'available' THEN 'availability'
                ELSE 'name' END,
           o.shows, n.shows
    FROM (SELECT i.id, i.shows FROM items AS i WHERE i.is_new) AS n
    FULL JOIN (SELECT i.id, i.shows FROM items AS i WHERE NOT i.is_new) AS o ON o.id = n.id
    WHERE n.shows IS DISTINCT FROM o.shows;
END;
COMMENT ON FUNCTION rest.menu_publication_changes(uuid) IS
    'What a push of a menu changes on its listing against the push before: items added and removed,
     other prices, names, availability.';


CREATE TABLE rest.delivery_job (
    business_id      uuid              NOT NULL,
    delivery_job_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    driver_staff_id  uuid,
    proof_file_id    uuid,
    guest_order_id   uuid              NOT NULL,
    channel_order_id uuid,
    provider         text              NOT NULL,
    external_job_id  text,
    state            text              NOT NULL DEFAULT 'quoted',
    quote_fee        system_core.money NOT NULL DEFAULT 0,
    final_fee        system_core.money NOT NULL DEFAULT 0,
    courier_tip      system_core.money NOT NULL DEFAULT 0,
    distance_m       numeric(9, 2),
    pickup_eta_at    timestamptz,
    dropoff_eta_at   timestamptz,
    picked_up_at     timestamptz,
    delivered_at     timestamptz,
    courier_name     text,
    proof_kind       text              NOT NULL DEFAULT 'none',
    minutes_late     integer           GENERATED ALWAYS AS (
        floor(extract(epoch FROM delivered_at - dropoff_eta_at) / 60)::integer) STORED,
    created_at       timestamptz       NOT NULL DEFAULT now(),
    updated_at       timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, delivery_job_id),
    FOREIGN KEY (business_id, driver_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, proof_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, guest_order_id)
        REFERENCES rest.guest_order (business_id, guest_order_id),
    FOREIGN KEY (business_id, channel_order_id)
        REFERENCES rest.channel_order (business_id, channel_order_id),
    CONSTRAINT delivery_job_provider_known
        CHECK (provider IN ('own_fleet', 'uber_direct', 'doordash_drive', 'stuart',
                            'marketplace_courier')),
    CONSTRAINT delivery_job_state_known
        CHECK (state IN ('quoted', 'requested', 'courier_assigned', 'at_pickup', 'picked_up',
                         'at_dropoff', 'delivered', 'returned', 'cancelled', 'failed')),
    CONSTRAINT delivery_job_proof_kind_known
        CHECK (proof_kind IN ('none', 'photo', 'pin', 'signature')),
    CONSTRAINT delivery_job_delivered_after_pickup CHECK (delivered_at >= picked_up_at),
    CONSTRAINT delivery_job_own_driver_for_own_fleet
        CHECK ((driver_staff_id IS NOT NULL) = (provider = 'own_fleet')),
    CONSTRAINT delivery_job_picked_up_has_time
        CHECK (state NOT IN ('picked_up', 'at_dropoff', 'delivered', 'returned')
               OR picked_up_at IS NOT NULL),
    CONSTRAINT delivery_job_delivered_has_time
        CHECK ((delivered_at IS NOT NULL) = (state = 'delivered')),
    CONSTRAINT delivery_job_file_shows_proof
        CHECK (proof_file_id IS NULL OR proof_kind IN ('photo', 'signature')),
    CONSTRAINT delivery_job_amounts_not_negative
        CHECK (quote_fee >= 0 AND final_fee >= 0 AND courier_tip >= 0 AND distance_m >= 0)
);

COMMENT ON TABLE rest.delivery_job IS 'A courier trip for an order, own driver or third party.';
COMMENT ON COLUMN rest.delivery_job.minutes_late IS
    'Against dropoff_eta_at; below zero where the courier came early.';

-- A trip of a provider is one job.
CREATE UNIQUE INDEX delivery_job_provider_external_job_id_idx
    ON rest.delivery_job (business_id, provider, external_job_id)
    WHERE external_job_id IS NOT NULL;

-- FK: the trips of a driver.
CREATE INDEX delivery_job_driver_staff_idx
    ON rest.delivery_job (business_id, driver_staff_id)
    WHERE driver_staff_id IS NOT NULL;

-- FK: the photo or signature.
CREATE INDEX delivery_job_proof_file_idx
    ON rest.delivery_job (business_id, proof_file_id)
    WHERE proof_file_id IS NOT NULL;

-- FK: the trips of an order.
CREATE INDEX delivery_job_guest_order_idx ON rest.delivery_job (business_id, guest_order_id);

-- One courier carries an order; quotes of several may be asked for.
CREATE UNIQUE INDEX delivery_job_under_way_idx
    ON rest.delivery_job (business_id, guest_order_id)
    WHERE state NOT IN ('quoted', 'returned', 'cancelled', 'failed');

-- FK: the trips of a marketplace order.
CREATE INDEX delivery_job_channel_order_idx
    ON rest.delivery_job (business_id, channel_order_id)
    WHERE channel_order_id IS NOT NULL;

ALTER TABLE rest.delivery_job ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.delivery_job
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.delivery_job TO app_user;
GRANT SELECT ON rest.delivery_job TO app_readonly;

CREATE TRIGGER delivery_job_touch
    BEFORE UPDATE ON rest.delivery_job
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER delivery_job_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.delivery_job
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["quoted", "requested"],
        "transitions": {
            "quoted":           ["requested", "cancelled", "failed"],
            "requested":        ["courier_assigned", "cancelled", "failed"],
            "courier_assigned": ["requested", "at_pickup", "picked_up", "cancelled", "failed"],
            "at_pickup":        ["picked_up", "cancelled", "failed"],
            "picked_up":        ["at_dropoff", "delivered", "returned", "failed"],
            "at_dropoff":       ["delivered", "returned", "failed"],
            "delivered":        [],
            "returned":         [],
            "cancelled":        [],
            "failed":           []
        }}');

CREATE FUNCTION rest.deliver_channel_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE rest.channel_order AS c
    SET state = 'delivered'
    WHERE c.business_id = NEW.business_id AND c.channel_order_id = NEW.channel_order_id
      AND c.state = 'picked_up' AND row_security_active(TG_RELID);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.deliver_channel_order() IS
    'What the courier handed over is delivered for the channel too.';

CREATE TRIGGER delivery_job_delivers
    AFTER UPDATE OF state ON rest.delivery_job
    FOR EACH ROW WHEN (NEW.state = 'delivered' AND NEW.channel_order_id IS NOT NULL)
    EXECUTE FUNCTION rest.deliver_channel_order();


CREATE TABLE rest.delivery_status_event (
    business_id              uuid                    NOT NULL,
    delivery_status_event_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    delivery_job_id          uuid                    NOT NULL,
    occurred_at              timestamptz             NOT NULL DEFAULT now(),
    status_text              text                    NOT NULL,
    latitude                 system_core.latitude,
    longitude                system_core.longitude,
    eta_at                   timestamptz,
    speed_kph                numeric(9, 2),
    source                   text                    NOT NULL,
    external_event_id        text,
    payload                  system_core.json_object,
    created_at               timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, delivery_status_event_id, occurred_at),
    FOREIGN KEY (business_id, delivery_job_id)
        REFERENCES rest.delivery_job (business_id, delivery_job_id),
    CONSTRAINT delivery_status_event_source_known
        CHECK (source IN ('webhook', 'driver_app', 'geofence', 'manual')),
    CONSTRAINT delivery_status_event_place_is_whole
        CHECK ((latitude IS NULL) = (longitude IS NULL)),
    CONSTRAINT delivery_status_event_speed_bounded CHECK (speed_kph BETWEEN 0 AND 200)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE rest.delivery_status_event IS 'Courier position and status stream; append only.';

-- FK: how a trip went.
CREATE INDEX delivery_status_event_delivery_job_idx
    ON rest.delivery_status_event (business_id, delivery_job_id, occurred_at);

ALTER TABLE rest.delivery_status_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.delivery_status_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON rest.delivery_status_event TO app_user;
GRANT SELECT ON rest.delivery_status_event TO app_readonly;

CREATE TRIGGER delivery_status_event_append_only
    BEFORE UPDATE OR DELETE ON rest.delivery_status_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.delivery_status_event');

CREATE TABLE rest.delivery_status_event_default PARTITION OF rest.delivery_status_event DEFAULT;
ALTER TABLE rest.delivery_status_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.delivery_status_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'rest.delivery_status_event', 'month', behind => 3, ahead => 1);
