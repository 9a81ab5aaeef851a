/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE rest.channel_menu_publication (
    business_id                 uuid               NOT NULL,
    channel_menu_publication_id uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    requested_by_user_id        uuid,
    channel_store_link_id       uuid               NOT NULL,
    menu_id                     uuid               NOT NULL,
    publication_number          text               NOT NULL,
    trigger_kind                text               NOT NULL,
    state                       text               NOT NULL DEFAULT 'queued',
    item_count                  integer            NOT NULL DEFAULT 0,
    rejected_count              integer            NOT NULL DEFAULT 0,
    payload_sha256              system_core.sha256,
    payload_doc                 jsonb,
    errors_doc                  jsonb,
    queued_at                   timestamptz,
    pushed_at                   timestamptz,
    accepted_at                 timestamptz,
    duration_ms                 integer,
    created_at                  timestamptz        NOT NULL DEFAULT now(),
    updated_at                  timestamptz        NOT NULL DEFAULT now(),
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
    CONSTRAINT channel_menu_publication_rejected_count_precedes_item_count
        CHECK (rejected_count <= item_count)
);

COMMENT ON TABLE rest.channel_menu_publication IS
    'One push of a menu to a listing and what the channel said.';
-- RULE one publication in building or pushed per listing (partial unique)

-- FK: the channel menu publications by their requested by user.
CREATE INDEX channel_menu_publication_requested_by_user_idx
    ON rest.channel_menu_publication (business_id, requested_by_user_id)
    WHERE requested_by_user_id IS NOT NULL;

-- FK: the channel menu publications of a menu.
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
    is_available          boolean           NOT NULL DEFAULT false,
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
    CONSTRAINT channel_item_link_one_of_menu_item_id_modifier_option_id_b
        CHECK (num_nonnulls(menu_item_id, modifier_option_id, brand_menu_item_id) <= 1)
);

COMMENT ON TABLE rest.channel_item_link IS
    'An item or modifier as the channel knows it, with drift from our catalogue.';

-- FK: the channel item links of a menu item.
CREATE INDEX channel_item_link_menu_item_idx
    ON rest.channel_item_link (business_id, menu_item_id)
    WHERE menu_item_id IS NOT NULL;

-- FK: the channel item links of a modifier option.
CREATE INDEX channel_item_link_modifier_option_idx
    ON rest.channel_item_link (business_id, modifier_option_id)
    WHERE modifier_option_id IS NOT NULL;

-- FK: the channel item links of a brand menu item.
CREATE INDEX channel_item_link_brand_menu_item_idx
    ON rest.channel_item_link (business_id, brand_menu_item_id)
    WHERE brand_menu_item_id IS NOT NULL;

ALTER TABLE rest.channel_item_link ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.channel_item_link
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.channel_item_link TO app_user;
GRANT SELECT ON rest.channel_item_link TO app_readonly;

CREATE TRIGGER channel_item_link_touch
    BEFORE UPDATE ON rest.channel_item_link
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.channel_webhook_event (
    business_id              uuid        NOT NULL,
    channel_webhook_event_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    channel_store_link_id    uuid,
    received_at              timestamptz NOT NULL DEFAULT now(),
    external_event_id        text        NOT NULL,
    event_type               text,
    signature_valid          boolean     NOT NULL DEFAULT false,
    attempt_no               integer     NOT NULL,
    processing_state         text        NOT NULL DEFAULT 'received',
    processed_at             timestamptz,
    processing_ms            integer,
    http_status              integer,
    error_text               text,
    payload                  jsonb,
    created_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, channel_webhook_event_id, received_at),
    UNIQUE (business_id, external_event_id, received_at),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, channel_store_link_id)
        REFERENCES rest.channel_store_link (business_id, channel_store_link_id),
    CONSTRAINT channel_webhook_event_processing_state_known
        CHECK (processing_state IN ('received', 'processed', 'duplicate', 'rejected', 'failed')),
    CONSTRAINT channel_webhook_event_processed_at_follows_received_at
        CHECK (processed_at >= received_at)
) PARTITION BY RANGE (received_at);

COMMENT ON TABLE rest.channel_webhook_event IS
    'Raw inbound webhook with signature check and outcome; append only.';

-- FK: the channel webhook events of a channel store link.
CREATE INDEX channel_webhook_event_channel_store_link_idx
    ON rest.channel_webhook_event (business_id, channel_store_link_id)
    WHERE channel_store_link_id IS NOT NULL;

ALTER TABLE rest.channel_webhook_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.channel_webhook_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON rest.channel_webhook_event TO app_user;
GRANT SELECT ON rest.channel_webhook_event TO app_readonly;

CREATE TRIGGER channel_webhook_event_append_only
    BEFORE UPDATE OR DELETE ON rest.channel_webhook_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.channel_webhook_event');

CREATE TABLE rest.channel_webhook_event_default PARTITION OF rest.channel_webhook_event DEFAULT;
ALTER TABLE rest.channel_webhook_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.channel_webhook_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'rest.channel_webhook_event', 'month', behind => 3, ahead => 1);


CREATE TABLE rest.channel_order (
    business_id           uuid              NOT NULL,
    channel_order_id      uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    channel_store_link_id uuid              NOT NULL,
    guest_order_id        uuid,
    external_order_id     text              NOT NULL,
    display_id            text,
    state                 text              NOT NULL DEFAULT 'received',
    deny_reason           text,
    cancelled_by          text              NOT NULL,
    placed_at             timestamptz,
    accept_deadline_at    timestamptz,
    accepted_at           timestamptz,
    ready_at              timestamptz,
    cancelled_at          timestamptz,
    items_subtotal        system_core.money,
    channel_discount      system_core.money,
    commission_estimate   system_core.money,
    tax_by_channel        system_core.money,
    guest_tip             system_core.money,
    payload               jsonb,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
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
    CONSTRAINT channel_order_accepted_at_precedes_accept_deadline_at
        CHECK (accepted_at <= accept_deadline_at),
    CONSTRAINT channel_order_guest_order_id_given
        CHECK (NOT (state = 'accepted') OR guest_order_id IS NOT NULL),
    CONSTRAINT channel_order_state_iff CHECK ((deny_reason <> 'none') = (state = 'denied'))
);

COMMENT ON TABLE rest.channel_order IS
    'An order as the marketplace sent it, until accepted into the POS or denied.';

-- FK: the channel orders of a guest order.
CREATE INDEX channel_order_guest_order_idx
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
    courier_tip      system_core.money,
    distance_m       numeric(9, 2),
    pickup_eta_at    timestamptz,
    dropoff_eta_at   timestamptz,
    picked_up_at     timestamptz,
    delivered_at     timestamptz,
    courier_name     text,
    proof_kind       text              NOT NULL,
    minutes_late     integer,
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
    CONSTRAINT delivery_job_delivered_at_follows_picked_up_at CHECK (delivered_at >= picked_up_at),
    CONSTRAINT delivery_job_provider_iff
        CHECK ((driver_staff_id IS NOT NULL) = (provider = 'own_fleet'))
);

COMMENT ON TABLE rest.delivery_job IS 'A courier trip for an order, own driver or third party.';

-- One row a external job id.
CREATE UNIQUE INDEX delivery_job_provider_external_job_id_idx
    ON rest.delivery_job (business_id, provider, external_job_id)
    WHERE external_job_id IS NOT NULL;

-- FK: the delivery jobs by their driver staff.
CREATE INDEX delivery_job_driver_staff_idx
    ON rest.delivery_job (business_id, driver_staff_id)
    WHERE driver_staff_id IS NOT NULL;

-- FK: the delivery jobs by their proof file.
CREATE INDEX delivery_job_proof_file_idx
    ON rest.delivery_job (business_id, proof_file_id)
    WHERE proof_file_id IS NOT NULL;

-- FK: the delivery jobs of a guest order.
CREATE INDEX delivery_job_guest_order_idx ON rest.delivery_job (business_id, guest_order_id);

-- FK: the delivery jobs of a channel order.
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


CREATE TABLE rest.delivery_status_event (
    business_id              uuid                  NOT NULL,
    delivery_status_event_id uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    delivery_job_id          uuid                  NOT NULL,
    occurred_at              timestamptz           NOT NULL DEFAULT now(),
    status_text              text,
    latitude                 system_core.latitude,
    longitude                system_core.longitude,
    eta_at                   timestamptz,
    speed_kph                numeric(9, 2),
    source                   text                  NOT NULL,
    external_event_id        text,
    payload                  jsonb,
    created_at               timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, delivery_status_event_id, occurred_at),
    FOREIGN KEY (business_id, delivery_job_id)
        REFERENCES rest.delivery_job (business_id, delivery_job_id),
    CONSTRAINT delivery_status_event_source_known
        CHECK (source IN ('webhook', 'driver_app', 'geofence', 'manual')),
    CONSTRAINT delivery_status_event_latitude_bounded
        CHECK (latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE rest.delivery_status_event IS 'Courier position and status stream; append only.';

-- FK: the delivery status events of a delivery job.
CREATE INDEX delivery_status_event_delivery_job_idx
    ON rest.delivery_status_event (business_id, delivery_job_id);

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
