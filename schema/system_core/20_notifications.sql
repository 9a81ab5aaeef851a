/*
 * Notifications: telling people things, on the channel and at the hour they want.
 *
 * notification_category is the kind of message people opt in to or out of
 * (notification_preference). notification_template is a message the product can send, its
 * wording per channel and language stands in notification_template_variant. notification is
 * one message meant for one person; notification_delivery is each attempt to hand it to a
 * provider (notification_channel) for an address of the person (notification_endpoint).
 * notification_suppression are addresses that must not be written to: a hard bounce or a
 * complaint puts them there.
 *
 * open_channels() answers for a person and a category on which channels they may be told, and
 * from when; dispatch_notification() and next_delivery_batch() both ask it.
 */

CREATE TABLE system_core.notification_category (
    business_id              uuid             NOT NULL,
    notification_category_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    code                     system_core.code NOT NULL,
    name                     text             NOT NULL,
    description              text,
    legal_basis              text             NOT NULL,
    default_channels         text[]           NOT NULL,
    is_mandatory             boolean          NOT NULL DEFAULT false,
    is_digestible            boolean          NOT NULL DEFAULT true,
    throttle_per_hour        integer,
    created_at               timestamptz      NOT NULL DEFAULT now(),
    updated_at               timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, notification_category_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT notification_category_legal_basis_known
        CHECK (legal_basis IN ('transactional', 'security', 'marketing', 'legal_notice')),
    CONSTRAINT notification_category_marketing_is_optional
        CHECK (NOT is_mandatory OR legal_basis <> 'marketing'),
    CONSTRAINT notification_category_default_channels_known
        CHECK (default_channels <@ ARRAY['in_app', 'email', 'sms', 'push', 'voice', 'whatsapp',
                                         'slack', 'webhook']),
    CONSTRAINT notification_category_throttle_positive CHECK (throttle_per_hour > 0)
);

COMMENT ON TABLE system_core.notification_category IS
    'A kind of message that people opt in to or out of, and on which legal basis it is sent.';
COMMENT ON COLUMN system_core.notification_category.throttle_per_hour IS
    'At most so many an hour and person; NULL: no limit.';

ALTER TABLE system_core.notification_category ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.notification_category
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.notification_category TO app_user;
GRANT SELECT ON system_core.notification_category TO app_readonly;

CREATE TRIGGER notification_category_touch
    BEFORE UPDATE ON system_core.notification_category
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE system_core.notification_template (
    business_id              uuid             NOT NULL,
    notification_template_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    notification_category_id uuid             NOT NULL,
    owner_user_account_id    uuid,
    code                     system_core.code NOT NULL,
    name                     text             NOT NULL,
    trigger_event            text,
    priority                 text             NOT NULL DEFAULT 'normal',
    merge_fields             system_core.json_array NOT NULL DEFAULT '[]',
    default_locale           system_core.locale     NOT NULL DEFAULT 'en-US',
    requires_acknowledgement boolean          NOT NULL DEFAULT false,
    status                   text             NOT NULL DEFAULT 'draft',
    activated_at             timestamptz,
    created_at               timestamptz      NOT NULL DEFAULT now(),
    updated_at               timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, notification_template_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id, notification_category_id)
        REFERENCES system_core.notification_category (business_id, notification_category_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT notification_template_priority_known
        CHECK (priority IN ('low', 'normal', 'high', 'critical')),
    CONSTRAINT notification_template_status_known
        CHECK (status IN ('draft', 'active', 'retired')),
    CONSTRAINT notification_template_activated_has_time
        CHECK (status <> 'active' OR activated_at IS NOT NULL)
);

COMMENT ON TABLE system_core.notification_template IS
    'A message that the product can send, whatever the channel and the language.';
COMMENT ON COLUMN system_core.notification_template.merge_fields IS
    'What the wording may mention: array of {name, type, required}.';

-- FK: templates of a category.
CREATE INDEX notification_template_category_idx
    ON system_core.notification_template (business_id, notification_category_id);

-- FK: templates that an account looks after.
CREATE INDEX notification_template_owner_idx
    ON system_core.notification_template (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

ALTER TABLE system_core.notification_template ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.notification_template
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.notification_template TO app_user;
GRANT SELECT ON system_core.notification_template TO app_readonly;

CREATE TRIGGER notification_template_touch
    BEFORE UPDATE ON system_core.notification_template
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION system_core.require_described_merge_fields() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND EXISTS (
        SELECT FROM JSON_TABLE(NEW.merge_fields, '$[*]' COLUMNS (
            name        text    PATH '$.name',
            type        text    PATH '$.type',
            is_required boolean PATH '$.required')) AS f
        WHERE f.name IS NULL OR f.type IS NULL OR f.is_required IS NULL
    ) THEN
        RAISE EXCEPTION 'template % has a merge field without name, type or required', NEW.code
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.require_described_merge_fields() IS
    'Whoever dispatches a template reads there what it needs.';

CREATE TRIGGER notification_template_merge_fields
    BEFORE INSERT OR UPDATE OF merge_fields ON system_core.notification_template
    FOR EACH ROW WHEN (NEW.merge_fields <> '[]')
    EXECUTE FUNCTION system_core.require_described_merge_fields();

CREATE FUNCTION system_core.require_approved_variant() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND NOT EXISTS (
        SELECT FROM system_core.notification_template_variant AS v
        WHERE v.business_id = NEW.business_id
            AND v.notification_template_id = NEW.notification_template_id
            AND v.status = 'approved'
    ) THEN
        RAISE EXCEPTION 'template % has no approved wording', NEW.code
            USING ERRCODE = 'check_violation',
                  HINT = 'Approve a variant before you activate the template.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.require_approved_variant() IS
    'A template becomes active only when there is something approved to say.';

CREATE TRIGGER notification_template_activation
    BEFORE INSERT OR UPDATE OF status ON system_core.notification_template
    FOR EACH ROW WHEN (NEW.status = 'active')
    EXECUTE FUNCTION system_core.require_approved_variant();


CREATE TABLE system_core.notification_template_variant (
    business_id                      uuid               NOT NULL,
    notification_template_variant_id uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    notification_template_id         uuid               NOT NULL,
    approved_by                      uuid,
    channel                          text               NOT NULL,
    locale                           system_core.locale NOT NULL,
    version_no                       integer            NOT NULL DEFAULT 1,
    subject                          text,
    body_text                        text               NOT NULL,
    body_html                        text,
    sms_segment_count                integer,
    status                           text               NOT NULL DEFAULT 'draft',
    approved_at                      timestamptz,
    created_at                       timestamptz        NOT NULL DEFAULT now(),
    updated_at                       timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, notification_template_variant_id),
    UNIQUE (business_id, notification_template_id, channel, locale, version_no),
    FOREIGN KEY (business_id, notification_template_id)
        REFERENCES system_core.notification_template (business_id, notification_template_id)
        ON DELETE CASCADE,
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT notification_template_variant_channel_known
        CHECK (channel IN ('in_app', 'email', 'sms', 'push', 'voice', 'whatsapp', 'slack',
                           'webhook')),
    CONSTRAINT notification_template_variant_status_known
        CHECK (status IN ('draft', 'approved', 'superseded')),
    CONSTRAINT notification_template_variant_version_positive CHECK (version_no >= 1),
    CONSTRAINT notification_template_variant_email_has_subject
        CHECK (channel <> 'email' OR subject IS NOT NULL),
    CONSTRAINT notification_template_variant_sms_is_short
        CHECK (channel <> 'sms'
               OR (sms_segment_count IS NOT NULL AND sms_segment_count BETWEEN 1 AND 6)),
    CONSTRAINT notification_template_variant_approved_has_time
        CHECK (status <> 'approved' OR approved_at IS NOT NULL)
);

COMMENT ON TABLE system_core.notification_template_variant IS
    'The wording of a template for one channel and language, versioned and approved.';
COMMENT ON COLUMN system_core.notification_template_variant.sms_segment_count IS
    'How many text messages it takes; providers bill by them.';

-- One approved wording per template, channel and language: the one that is sent.
CREATE UNIQUE INDEX notification_template_variant_approved_idx
    ON system_core.notification_template_variant
        (business_id, notification_template_id, channel, locale)
    WHERE status = 'approved';

-- FK: what an account approved.
CREATE INDEX notification_template_variant_approver_idx
    ON system_core.notification_template_variant (business_id, approved_by)
    WHERE approved_by IS NOT NULL;

ALTER TABLE system_core.notification_template_variant
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.notification_template_variant
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.notification_template_variant TO app_user;
GRANT SELECT ON system_core.notification_template_variant TO app_readonly;

CREATE TRIGGER notification_template_variant_touch
    BEFORE UPDATE ON system_core.notification_template_variant
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION system_core.supersede_wording() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        UPDATE system_core.notification_template_variant AS v
        SET status = 'superseded'
        WHERE (v.business_id, v.notification_template_id, v.channel, v.locale)
            = (NEW.business_id, NEW.notification_template_id, NEW.channel, NEW.locale)
            AND v.status = 'approved'
            AND v.notification_template_variant_id <> NEW.notification_template_variant_id;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.supersede_wording() IS
    'Approving a version takes the place of the one that was approved before.';

CREATE TRIGGER notification_template_variant_approval
    BEFORE INSERT OR UPDATE OF status ON system_core.notification_template_variant
    FOR EACH ROW WHEN (NEW.status = 'approved')
    EXECUTE FUNCTION system_core.supersede_wording();

CREATE FUNCTION system_core.keep_last_wording() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND EXISTS (
        SELECT FROM system_core.notification_template AS t
        WHERE (t.business_id, t.notification_template_id)
            = (OLD.business_id, OLD.notification_template_id)
            AND t.status = 'active'
            AND NOT EXISTS (
                SELECT FROM system_core.notification_template_variant AS v
                WHERE (v.business_id, v.notification_template_id)
                    = (t.business_id, t.notification_template_id)
                    AND v.status = 'approved')
    ) THEN
        RAISE EXCEPTION 'an active template keeps an approved wording'
            USING ERRCODE = 'check_violation',
                  HINT = 'Approve its successor instead, or retire the template first.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.keep_last_wording() IS
    'The other side of require_approved_variant().';

-- At depth 0 only: supersede_wording() withdraws a wording for the sake of its successor.
CREATE TRIGGER notification_template_variant_withdrawn
    AFTER UPDATE OF status ON system_core.notification_template_variant
    FOR EACH ROW
    WHEN (OLD.status = 'approved' AND NEW.status <> 'approved' AND pg_trigger_depth() = 0)
    EXECUTE FUNCTION system_core.keep_last_wording();

CREATE TRIGGER notification_template_variant_deleted
    AFTER DELETE ON system_core.notification_template_variant
    FOR EACH ROW WHEN (OLD.status = 'approved' AND pg_trigger_depth() = 0)
    EXECUTE FUNCTION system_core.keep_last_wording();


CREATE TABLE system_core.notification_channel (
    business_id             uuid                  NOT NULL,
    notification_channel_id uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    channel                 text                  NOT NULL,
    provider                text                  NOT NULL,
    sender_identity         text                  NOT NULL,
    credential_ref          system_core.vault_ref NOT NULL,
    domain_verified_at      timestamptz,
    daily_quota             integer               NOT NULL DEFAULT 10000,
    sent_today_count        integer               NOT NULL DEFAULT 0,
    cost_per_message_amount system_core.unit_price NOT NULL DEFAULT 0,
    fallback_channel        text                  NOT NULL DEFAULT 'none',
    is_enabled              boolean               NOT NULL DEFAULT true,
    disabled_reason         text,
    created_at              timestamptz           NOT NULL DEFAULT now(),
    updated_at              timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, notification_channel_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT notification_channel_channel_known
        CHECK (channel IN ('in_app', 'email', 'sms', 'push', 'voice', 'whatsapp', 'slack',
                           'webhook')),
    CONSTRAINT notification_channel_fallback_known
        CHECK (fallback_channel IN ('email', 'sms', 'push', 'in_app', 'none')),
    CONSTRAINT notification_channel_falls_back_elsewhere CHECK (fallback_channel <> channel),
    CONSTRAINT notification_channel_quota_not_negative CHECK (daily_quota >= 0),
    CONSTRAINT notification_channel_within_quota
        CHECK (sent_today_count BETWEEN 0 AND daily_quota),
    CONSTRAINT notification_channel_cost_not_negative CHECK (cost_per_message_amount >= 0),
    CONSTRAINT notification_channel_disabled_has_reason
        CHECK (is_enabled OR disabled_reason IS NOT NULL)
);

COMMENT ON TABLE system_core.notification_channel IS
    'The sender account of the business for a channel: provider, identity, limits.';

-- One enabled sender per channel and provider; also finds the sender of a channel.
CREATE UNIQUE INDEX notification_channel_enabled_idx
    ON system_core.notification_channel (business_id, channel, provider)
    WHERE is_enabled;

ALTER TABLE system_core.notification_channel ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.notification_channel
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.notification_channel TO app_user;
GRANT SELECT ON system_core.notification_channel TO app_readonly;

CREATE TRIGGER notification_channel_touch
    BEFORE UPDATE ON system_core.notification_channel
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE system_core.notification_endpoint (
    business_id              uuid               NOT NULL,
    notification_endpoint_id uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id          uuid               NOT NULL,
    channel                  text               NOT NULL,
    address                  text               NOT NULL,
    address_hash             system_core.sha256 NOT NULL,
    platform                 text               NOT NULL DEFAULT 'none',
    app_version              text,
    verified_at              timestamptz,
    bounce_state             text               NOT NULL DEFAULT 'ok',
    bounce_count             integer            NOT NULL DEFAULT 0,
    last_success_at          timestamptz,
    is_primary               boolean            NOT NULL DEFAULT false,
    disabled_at              timestamptz,
    created_at               timestamptz        NOT NULL DEFAULT now(),
    updated_at               timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, notification_endpoint_id),
    UNIQUE (business_id, channel, address_hash),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT notification_endpoint_channel_known
        CHECK (channel IN ('email', 'sms', 'push', 'voice', 'whatsapp', 'slack')),
    CONSTRAINT notification_endpoint_platform_known
        CHECK (platform IN ('ios', 'android', 'web', 'none')),
    CONSTRAINT notification_endpoint_push_has_platform
        CHECK (channel <> 'push' OR platform <> 'none'),
    CONSTRAINT notification_endpoint_bounce_state_known
        CHECK (bounce_state IN ('ok', 'soft_bounced', 'hard_bounced', 'complained')),
    CONSTRAINT notification_endpoint_bounces_counted
        CHECK (bounce_count >= 0 AND (bounce_state = 'ok' OR bounce_count > 0))
);

COMMENT ON TABLE system_core.notification_endpoint IS
    'An address of a person on a channel: e-mail, telephone, push token, chat handle.';
COMMENT ON COLUMN system_core.notification_endpoint.address_hash IS
    'SHA-256 of the normalized address; suppressions keep only this.';

-- One primary address per person and channel; also finds the address to send to.
CREATE UNIQUE INDEX notification_endpoint_primary_idx
    ON system_core.notification_endpoint (business_id, user_account_id, channel)
    WHERE is_primary;

-- FK: all addresses of a person.
CREATE INDEX notification_endpoint_account_idx
    ON system_core.notification_endpoint (business_id, user_account_id);

ALTER TABLE system_core.notification_endpoint ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.notification_endpoint
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.notification_endpoint TO app_user;
GRANT SELECT ON system_core.notification_endpoint TO app_readonly;

CREATE TRIGGER notification_endpoint_touch
    BEFORE UPDATE ON system_core.notification_endpoint
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE system_core.notification_preference (
    business_id                uuid                  NOT NULL,
    notification_preference_id uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id            uuid                  NOT NULL,
    notification_category_id   uuid                  NOT NULL,
    channel                    text                  NOT NULL,
    is_opted_in                boolean               NOT NULL DEFAULT true,
    frequency                  text                  NOT NULL DEFAULT 'immediate',
    quiet_from                 time,
    quiet_until                time,
    time_zone                  system_core.time_zone NOT NULL DEFAULT 'UTC',
    opted_out_at               timestamptz,
    opt_out_source             text,
    created_at                 timestamptz           NOT NULL DEFAULT now(),
    updated_at                 timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, notification_preference_id),
    UNIQUE (business_id, user_account_id, notification_category_id, channel),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, notification_category_id)
        REFERENCES system_core.notification_category (business_id, notification_category_id),
    CONSTRAINT notification_preference_channel_known
        CHECK (channel IN ('in_app', 'email', 'sms', 'push', 'voice', 'whatsapp', 'slack')),
    CONSTRAINT notification_preference_frequency_known
        CHECK (frequency IN ('immediate', 'hourly_digest', 'daily_digest', 'weekly_digest')),
    CONSTRAINT notification_preference_quiet_hours_are_a_span
        CHECK ((quiet_from IS NULL) = (quiet_until IS NULL)),
    CONSTRAINT notification_preference_opted_out_has_time
        CHECK (is_opted_in OR opted_out_at IS NOT NULL),
    CONSTRAINT notification_preference_opt_out_source_known
        CHECK (opt_out_source IN ('profile', 'unsubscribe_link', 'sms_stop', 'support', 'import'))
);

COMMENT ON TABLE system_core.notification_preference IS
    'Whether a person wants a category on a channel, when, and how often.';
COMMENT ON COLUMN system_core.notification_preference.quiet_from IS
    'Local time in time_zone; a span that ends before it begins goes over midnight.';

-- FK: who has a preference about a category.
CREATE INDEX notification_preference_category_idx
    ON system_core.notification_preference (business_id, notification_category_id);

ALTER TABLE system_core.notification_preference ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.notification_preference
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.notification_preference TO app_user;
GRANT SELECT ON system_core.notification_preference TO app_readonly;

CREATE TRIGGER notification_preference_touch
    BEFORE UPDATE ON system_core.notification_preference
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION system_core.refuse_mandatory_opt_out() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    refused text;
BEGIN
    SELECT min(c.code) INTO refused
    FROM opted_out AS o
    JOIN system_core.notification_category AS c
        ON (c.business_id, c.notification_category_id)
         = (o.business_id, o.notification_category_id)
    WHERE NOT o.is_opted_in AND c.is_mandatory;
    IF refused IS NOT NULL THEN
        RAISE EXCEPTION 'a mandatory category cannot be opted out of: %', refused
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.refuse_mandatory_opt_out() IS
    'Security and legal messages reach everybody.';

CREATE TRIGGER notification_preference_mandatory_insert
    AFTER INSERT ON system_core.notification_preference
    REFERENCING NEW TABLE AS opted_out
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.refuse_mandatory_opt_out();

CREATE TRIGGER notification_preference_mandatory_update
    AFTER UPDATE ON system_core.notification_preference
    REFERENCING NEW TABLE AS opted_out
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.refuse_mandatory_opt_out();

CREATE FUNCTION system_core.end_opt_outs() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE system_core.notification_preference AS p
    SET is_opted_in = true
    WHERE (p.business_id, p.notification_category_id)
        = (NEW.business_id, NEW.notification_category_id)
        AND NOT p.is_opted_in;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.end_opt_outs() IS
    'Of a category that becomes mandatory nobody stays opted out; opted_out_at remembers it.';

CREATE TRIGGER notification_category_made_mandatory
    AFTER UPDATE OF is_mandatory ON system_core.notification_category
    FOR EACH ROW WHEN (NEW.is_mandatory AND NOT OLD.is_mandatory)
    EXECUTE FUNCTION system_core.end_opt_outs();


CREATE TABLE system_core.notification (
    business_id               uuid        NOT NULL,
    notification_id           uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    notification_template_id  uuid        NOT NULL,
    recipient_user_account_id uuid        NOT NULL,
    entity_type_id            uuid,
    entity_id                 uuid,
    priority                  text        NOT NULL DEFAULT 'normal',
    subject                   text        NOT NULL,
    merge_data                system_core.json_object NOT NULL DEFAULT '{}',
    action_url                system_core.url,
    scheduled_for             timestamptz NOT NULL DEFAULT now(),
    expires_at                timestamptz,
    state                     text        NOT NULL DEFAULT 'pending',
    dedupe_key                text,
    read_at                   timestamptz,
    acknowledged_at           timestamptz,
    created_at                timestamptz NOT NULL DEFAULT now(),
    updated_at                timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, notification_id),
    FOREIGN KEY (business_id, notification_template_id)
        REFERENCES system_core.notification_template (business_id, notification_template_id),
    FOREIGN KEY (business_id, recipient_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, entity_type_id)
        REFERENCES system_core.entity_type (business_id, entity_type_id),
    CONSTRAINT notification_priority_known
        CHECK (priority IN ('low', 'normal', 'high', 'critical')),
    CONSTRAINT notification_state_known
        CHECK (state IN ('pending', 'held_quiet_hours', 'digested', 'dispatched', 'delivered',
                         'failed', 'cancelled', 'expired')),
    CONSTRAINT notification_read_after_schedule CHECK (read_at >= scheduled_for),
    CONSTRAINT notification_expires_after_schedule CHECK (expires_at > scheduled_for),
    CONSTRAINT notification_acknowledged_was_read
        CHECK (acknowledged_at IS NULL OR (read_at IS NOT NULL AND acknowledged_at >= read_at)),
    CONSTRAINT notification_names_record_with_its_kind
        CHECK ((entity_id IS NULL) = (entity_type_id IS NULL))
);

COMMENT ON TABLE system_core.notification IS
    'One message meant for one person, with what it says and whether it was read.';
COMMENT ON COLUMN system_core.notification.dedupe_key IS
    'Two messages with one key are one: a retried job does not tell people twice.';

-- A message is queued once.
CREATE UNIQUE INDEX notification_dedupe_idx
    ON system_core.notification (business_id, dedupe_key)
    WHERE dedupe_key IS NOT NULL;

-- Serves system_core.notification_bell and v_unread_notification_count: messages that have gone
-- out and are unread, newest first; counts from the index.
CREATE INDEX notification_unread_idx
    ON system_core.notification (business_id, recipient_user_account_id, scheduled_for DESC)
    WHERE read_at IS NULL AND state IN ('dispatched', 'delivered');

-- Serves system_core.claim_notification_batch: what is due.
CREATE INDEX notification_due_idx
    ON system_core.notification (business_id, state, scheduled_for)
    WHERE state IN ('pending', 'held_quiet_hours', 'failed');

-- FK recipient_user_account_id: the inbox of a person, and the hourly throttle.
CREATE INDEX notification_recipient_idx
    ON system_core.notification (business_id, recipient_user_account_id, created_at DESC);

-- FK notification_template_id.
CREATE INDEX notification_template_idx
    ON system_core.notification (business_id, notification_template_id);

-- FK entity_type_id: messages about a record.
CREATE INDEX notification_entity_idx
    ON system_core.notification (business_id, entity_type_id, entity_id)
    WHERE entity_type_id IS NOT NULL;

ALTER TABLE system_core.notification ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.notification
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.notification TO app_user;
GRANT SELECT ON system_core.notification TO app_readonly;

CREATE TRIGGER notification_touch
    BEFORE UPDATE ON system_core.notification
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER notification_state_machine
    BEFORE INSERT OR UPDATE OF state ON system_core.notification
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["pending"],
        "transitions": {
            "pending":          ["held_quiet_hours", "digested", "dispatched", "cancelled",
                                 "expired"],
            "held_quiet_hours": ["pending", "digested", "cancelled", "expired"],
            "digested":         ["dispatched", "cancelled"],
            "dispatched":       ["delivered", "failed"],
            "failed":           ["dispatched", "expired"],
            "delivered":        [],
            "cancelled":        [],
            "expired":          []
        }}');


CREATE TABLE system_core.notification_delivery (
    business_id              uuid                     NOT NULL,
    notification_delivery_id uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    notification_id          uuid                     NOT NULL,
    notification_endpoint_id uuid,
    notification_channel_id  uuid                     NOT NULL,
    channel                  text                     NOT NULL,
    attempt_no               integer                  NOT NULL DEFAULT 1,
    status                   text                     NOT NULL DEFAULT 'queued',
    provider_message_id      text,
    provider_code            text,
    error_detail             text,
    attempted_at             timestamptz              NOT NULL DEFAULT now(),
    delivered_at             timestamptz,
    opened_at                timestamptz,
    latency_ms               system_core.milliseconds,
    cost_amount              system_core.unit_price   NOT NULL DEFAULT 0,
    created_at               timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, notification_delivery_id, attempted_at),
    FOREIGN KEY (business_id, notification_id)
        REFERENCES system_core.notification (business_id, notification_id),
    FOREIGN KEY (business_id, notification_endpoint_id)
        REFERENCES system_core.notification_endpoint (business_id, notification_endpoint_id),
    FOREIGN KEY (business_id, notification_channel_id)
        REFERENCES system_core.notification_channel (business_id, notification_channel_id),
    CONSTRAINT notification_delivery_channel_known
        CHECK (channel IN ('in_app', 'email', 'sms', 'push', 'voice', 'whatsapp', 'slack',
                           'webhook')),
    CONSTRAINT notification_delivery_status_known
        CHECK (status IN ('queued', 'sent', 'delivered', 'opened', 'clicked', 'bounced',
                          'complained', 'failed', 'suppressed')),
    CONSTRAINT notification_delivery_attempts_limited CHECK (attempt_no BETWEEN 1 AND 8),
    CONSTRAINT notification_delivery_delivered_after_attempt CHECK (delivered_at >= attempted_at),
    CONSTRAINT notification_delivery_opened_after_delivery CHECK (opened_at >= delivered_at),
    CONSTRAINT notification_delivery_opened_was_delivered
        CHECK (opened_at IS NULL OR delivered_at IS NOT NULL),
    CONSTRAINT notification_delivery_cost_not_negative CHECK (cost_amount >= 0)
) PARTITION BY RANGE (attempted_at);

COMMENT ON TABLE system_core.notification_delivery IS
    'One attempt to hand a message to a provider, and what came back.';

-- Finds the attempt that a provider reports on. Unique per moment, which is all that an index
-- over partitions can promise; refuse_repeated_message_id() makes it one a day.
CREATE UNIQUE INDEX notification_delivery_provider_idx
    ON system_core.notification_delivery (business_id, channel, provider_message_id, attempted_at)
    WHERE provider_message_id IS NOT NULL;

-- FK: attempts of a message.
CREATE INDEX notification_delivery_notification_idx
    ON system_core.notification_delivery (business_id, notification_id, attempt_no);

-- FK: what went to an address.
CREATE INDEX notification_delivery_endpoint_idx
    ON system_core.notification_delivery (business_id, notification_endpoint_id)
    WHERE notification_endpoint_id IS NOT NULL;

-- FK: what a sender account sent.
CREATE INDEX notification_delivery_channel_idx
    ON system_core.notification_delivery (business_id, notification_channel_id, attempted_at);

ALTER TABLE system_core.notification_delivery ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.notification_delivery
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.notification_delivery TO app_user;
GRANT SELECT ON system_core.notification_delivery TO app_readonly;

CREATE TABLE system_core.notification_delivery_default
    PARTITION OF system_core.notification_delivery DEFAULT;
ALTER TABLE system_core.notification_delivery_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.notification_delivery_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'system_core.notification_delivery', 'month', behind => 13, ahead => 3);


CREATE TABLE system_core.notification_suppression (
    business_id                 uuid               NOT NULL,
    notification_suppression_id uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    channel                     text               NOT NULL,
    address_hash                system_core.sha256 NOT NULL,
    reason                      text               NOT NULL,
    scope                       text               NOT NULL DEFAULT 'all',
    source_ref                  text,
    suppressed_at               timestamptz        NOT NULL DEFAULT now(),
    lifted_at                   timestamptz,
    lift_reason                 text,
    created_at                  timestamptz        NOT NULL DEFAULT now(),
    updated_at                  timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, notification_suppression_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT notification_suppression_channel_known
        CHECK (channel IN ('email', 'sms', 'push', 'voice', 'whatsapp')),
    CONSTRAINT notification_suppression_reason_known
        CHECK (reason IN ('hard_bounce', 'spam_complaint', 'unsubscribe', 'sms_stop',
                          'do_not_contact', 'invalid_number')),
    CONSTRAINT notification_suppression_scope_known CHECK (scope IN ('all', 'marketing_only')),
    CONSTRAINT notification_suppression_lifted_later CHECK (lifted_at > suppressed_at),
    CONSTRAINT notification_suppression_lifted_has_reason
        CHECK (lifted_at IS NULL OR lift_reason IS NOT NULL)
);

COMMENT ON TABLE system_core.notification_suppression IS
    'An address that must not be written to, until the suppression is lifted.';

-- One open suppression per address and scope; looked up before every message.
CREATE UNIQUE INDEX notification_suppression_open_idx
    ON system_core.notification_suppression (business_id, channel, address_hash, scope)
    WHERE lifted_at IS NULL;

ALTER TABLE system_core.notification_suppression
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.notification_suppression
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.notification_suppression TO app_user;
GRANT SELECT ON system_core.notification_suppression TO app_readonly;

CREATE TRIGGER notification_suppression_touch
    BEFORE UPDATE ON system_core.notification_suppression
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION system_core.refuse_dead_endpoint() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    obstacle text;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT CASE WHEN e.bounce_state IN ('hard_bounced', 'complained') THEN e.bounce_state
                WHEN e.disabled_at IS NOT NULL THEN 'disabled'
                ELSE 'suppressed' END
    INTO obstacle
    FROM system_core.notification_endpoint AS e
    WHERE (e.business_id, e.notification_endpoint_id)
        = (NEW.business_id, NEW.notification_endpoint_id)
        AND (e.bounce_state IN ('hard_bounced', 'complained') OR e.disabled_at IS NOT NULL
             OR EXISTS (
                 SELECT FROM system_core.notification_suppression AS s
                 WHERE s.business_id = e.business_id AND s.channel = e.channel
                     AND s.address_hash = e.address_hash AND s.scope = 'all'
                     AND s.lifted_at IS NULL));
    IF FOUND THEN
        RAISE EXCEPTION 'address % is not written to: %', NEW.notification_endpoint_id, obstacle
            USING ERRCODE = 'check_violation',
                  HINT = 'Record the attempt as suppressed.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.refuse_dead_endpoint() IS
    'No attempt is made on an address that bounced, complained, is disabled or suppressed.';

CREATE TRIGGER notification_delivery_reachable
    BEFORE INSERT ON system_core.notification_delivery
    FOR EACH ROW
    WHEN (NEW.notification_endpoint_id IS NOT NULL AND NEW.status <> 'suppressed')
    EXECUTE FUNCTION system_core.refuse_dead_endpoint();

CREATE FUNCTION system_core.refuse_repeated_message_id() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    repeated text;
BEGIN
    SELECT min(r.provider_message_id) INTO repeated
    FROM reported AS r
    JOIN system_core.notification_delivery AS d
        ON d.business_id = r.business_id AND d.channel = r.channel
        AND d.provider_message_id = r.provider_message_id
        AND d.attempted_at >= date_trunc('day', r.attempted_at, 'UTC')
        AND d.attempted_at < date_trunc('day', r.attempted_at, 'UTC') + interval '24 hours'
    WHERE d.notification_delivery_id <> r.notification_delivery_id;
    IF repeated IS NOT NULL THEN
        RAISE EXCEPTION 'two attempts of a day have the provider''s message id %', repeated
            USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.refuse_repeated_message_id() IS
    'A report of the provider is about one attempt: its id occurs once per channel and day (UTC).';

CREATE TRIGGER notification_delivery_message_id_insert
    AFTER INSERT ON system_core.notification_delivery
    REFERENCING NEW TABLE AS reported
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.refuse_repeated_message_id();

CREATE TRIGGER notification_delivery_message_id_update
    AFTER UPDATE ON system_core.notification_delivery
    REFERENCING NEW TABLE AS reported
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.refuse_repeated_message_id();

CREATE FUNCTION system_core.suppress_bounced_address() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    -- RFC 3463: class 4 is a transient failure, a full mailbox for example.
    is_soft CONSTANT boolean :=
        NEW.status = 'bounced' AND coalesce(NEW.provider_code LIKE '4.%', false);
BEGIN
    UPDATE system_core.notification_endpoint AS e
    SET bounce_count = e.bounce_count + 1,
        bounce_state = CASE
            WHEN NEW.status = 'complained' OR e.bounce_state = 'complained' THEN 'complained'
            WHEN NOT is_soft OR e.bounce_state = 'hard_bounced' THEN 'hard_bounced'
            ELSE 'soft_bounced' END
    WHERE (e.business_id, e.notification_endpoint_id)
        = (NEW.business_id, NEW.notification_endpoint_id);

    IF NOT is_soft THEN
        INSERT INTO system_core.notification_suppression
            (business_id, channel, address_hash, reason, source_ref)
        SELECT e.business_id, e.channel, e.address_hash,
               CASE NEW.status WHEN 'bounced' THEN 'hard_bounce' ELSE 'spam_complaint' END,
               coalesce(NEW.provider_message_id, NEW.notification_delivery_id::text)
        FROM system_core.notification_endpoint AS e
        WHERE (e.business_id, e.notification_endpoint_id)
            = (NEW.business_id, NEW.notification_endpoint_id)
            AND e.channel <> 'slack'
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.suppress_bounced_address() IS
    'A bounce or a complaint marks the address; unless it is transient it also keeps further
     messages from it.';

-- One row in sixty bounces: the WHEN clause spares the others, and on update counts a bounce
-- when it is reported and not again when the row is edited later.
CREATE TRIGGER notification_delivery_bounced_insert
    AFTER INSERT ON system_core.notification_delivery
    FOR EACH ROW
    WHEN (NEW.status IN ('bounced', 'complained') AND NEW.notification_endpoint_id IS NOT NULL)
    EXECUTE FUNCTION system_core.suppress_bounced_address();

CREATE TRIGGER notification_delivery_bounced_update
    AFTER UPDATE OF status ON system_core.notification_delivery
    FOR EACH ROW
    WHEN (NEW.status IN ('bounced', 'complained') AND NEW.status <> OLD.status
          AND NEW.notification_endpoint_id IS NOT NULL)
    EXECUTE FUNCTION system_core.suppress_bounced_address();


CREATE FUNCTION system_core.open_channels(recipient uuid, category uuid)
    RETURNS TABLE (channel text, opens_at timestamptz)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT w.channel,
           CASE
               WHEN w.quiet_from < w.quiet_until
                   AND w.local_time >= w.quiet_from AND w.local_time < w.quiet_until
               THEN (w.local_date + w.quiet_until) AT TIME ZONE w.time_zone
               -- A span that ends before it begins goes over midnight.
               WHEN w.quiet_from > w.quiet_until AND w.local_time >= w.quiet_from
               THEN (w.local_date + 1 + w.quiet_until) AT TIME ZONE w.time_zone
               WHEN w.quiet_from > w.quiet_until AND w.local_time < w.quiet_until
               THEN (w.local_date + w.quiet_until) AT TIME ZONE w.time_zone
               ELSE now()
           END
    FROM (
        SELECT known.channel, c.legal_basis, p.quiet_from, p.quiet_until, p.time_zone,
               (now() AT TIME ZONE p.time_zone)::date AS local_date,
               (now() AT TIME ZONE p.time_zone)::time AS local_time
        FROM system_core.notification_category AS c
        CROSS JOIN unnest(ARRAY['in_app', 'email', 'sms', 'push', 'voice', 'whatsapp', 'slack',
                                'webhook']) AS known (channel)
        LEFT JOIN system_core.notification_preference AS p
            ON p.business_id = c.business_id
            AND p.user_account_id = open_channels.recipient
            AND p.notification_category_id = c.notification_category_id
            AND p.channel = known.channel
        WHERE c.business_id = tenant_mgmt.current_business_id()
            AND c.notification_category_id = open_channels.category
            AND coalesce(p.is_opted_in, known.channel = ANY (c.default_channels))
    ) AS w
    WHERE w.channel IN ('in_app', 'webhook')
        OR EXISTS (
            SELECT FROM (
                SELECT e.address_hash
                FROM system_core.notification_endpoint AS e
                WHERE e.business_id = tenant_mgmt.current_business_id()
                    AND e.user_account_id = open_channels.recipient
                    AND e.channel = w.channel AND e.disabled_at IS NULL
                    AND e.bounce_state NOT IN ('hard_bounced', 'complained')
                UNION ALL
                -- Who gave no other address for e-mail is written to where they sign in.
                SELECT sha256(convert_to(u.email_normalized, 'UTF8'))
                FROM user_mgmt.user_account AS u
                WHERE u.business_id = tenant_mgmt.current_business_id()
                    AND u.user_account_id = open_channels.recipient
                    AND w.channel = 'email'
                    AND NOT EXISTS (
                        SELECT FROM system_core.notification_endpoint AS e
                        WHERE e.business_id = tenant_mgmt.current_business_id()
                            AND e.user_account_id = open_channels.recipient
                            AND e.channel = 'email')
            ) AS address
            WHERE NOT EXISTS (
                SELECT FROM system_core.notification_suppression AS s
                WHERE s.business_id = tenant_mgmt.current_business_id()
                    AND s.channel = w.channel AND s.address_hash = address.address_hash
                    AND s.lifted_at IS NULL
                    AND (s.scope = 'all' OR w.legal_basis = 'marketing')));
END;
COMMENT ON FUNCTION system_core.open_channels(uuid, uuid) IS
    'The channels on which a person of the tenant may be told of a category: wanted (their
     preference, else the category''s default) and with an address that may be written to. Each
     with the moment from which it may be used: now, or the end of their quiet hours.';


CREATE FUNCTION system_core.merge_text(wording text, merge_data jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (
        SELECT coalesce(string_agg(coalesce(merge_text.merge_data ->> part.found[1],
                                            part.found[2], ''), '' ORDER BY part.ordinal), '')
        FROM regexp_matches(merge_text.wording, '\{(\w+)\}|([^{]+|\{)', 'g')
            WITH ORDINALITY AS part (found, ordinal));
COMMENT ON FUNCTION system_core.merge_text(text, jsonb) IS
    'Puts the values of merge_data in the place of {name}; a name without value leaves nothing.
     One pass: braces inside a value stay what they are.';


CREATE FUNCTION system_core.dispatch_notification(
    template_code text,
    recipient     uuid,
    merge_data    jsonb,
    entity_schema text DEFAULT NULL,
    entity_table  text DEFAULT NULL,
    entity_id     uuid DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant   CONSTANT uuid := tenant_mgmt.current_business_id();
    template system_core.notification_template;
    category system_core.notification_category;
    missing  text;
    wording  text;
    opens_at timestamptz;
    kind     uuid;
    sent     bigint;
    queued   uuid;
BEGIN
    SELECT * INTO template FROM system_core.notification_template AS t
    WHERE t.business_id = tenant AND t.code = template_code AND t.status = 'active';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no active template %', template_code
            USING ERRCODE = 'no_data_found';
    END IF;
    SELECT string_agg(f.name, ', ' ORDER BY f.name) INTO missing
    FROM JSON_TABLE(template.merge_fields, '$[*]' COLUMNS (
        name        text    PATH '$.name',
        is_required boolean PATH '$.required')) AS f
    WHERE f.is_required AND dispatch_notification.merge_data ->> f.name IS NULL;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'template % needs a value for: %', template_code, missing
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO category FROM system_core.notification_category AS c
    WHERE (c.business_id, c.notification_category_id)
        = (tenant, template.notification_category_id);

    SELECT min(o.opens_at) INTO opens_at
    FROM system_core.open_channels(recipient, category.notification_category_id) AS o;
    IF opens_at IS NULL AND NOT category.is_mandatory THEN
        RETURN NULL;
    END IF;
    IF opens_at IS NULL OR template.priority = 'critical' THEN
        opens_at := now();
    END IF;

    IF category.throttle_per_hour IS NOT NULL AND NOT category.is_mandatory THEN
        SELECT count(*) INTO sent
        FROM system_core.notification AS n
        JOIN system_core.notification_template AS t
            ON (t.business_id, t.notification_template_id)
             = (n.business_id, n.notification_template_id)
        WHERE n.business_id = tenant AND n.recipient_user_account_id = recipient
            AND n.created_at > now() - interval '1 hour'
            AND t.notification_category_id = category.notification_category_id;
        IF sent >= category.throttle_per_hour THEN
            RETURN NULL;
        END IF;
    END IF;

    -- The approved subject in the person's language, else in the template's own.
    SELECT v.subject INTO wording
    FROM system_core.notification_template_variant AS v
    JOIN user_mgmt.user_account AS u
        ON u.business_id = v.business_id AND u.user_account_id = recipient
    WHERE v.business_id = tenant
        AND v.notification_template_id = template.notification_template_id
        AND v.status = 'approved' AND v.subject IS NOT NULL
    ORDER BY v.locale = u.locale DESC, v.locale = template.default_locale DESC,
             v.channel = 'in_app' DESC, v.channel = 'email' DESC, v.channel, v.locale
    LIMIT 1;

    SELECT e.entity_type_id INTO kind FROM system_core.entity_type AS e
    WHERE e.business_id = tenant AND e.schema_name = entity_schema
        AND e.table_name = entity_table AND dispatch_notification.entity_id IS NOT NULL;

    INSERT INTO system_core.notification
        (business_id, notification_template_id, recipient_user_account_id, entity_type_id,
         entity_id, priority, subject, merge_data, scheduled_for)
    VALUES (tenant, template.notification_template_id, recipient, kind,
            CASE WHEN kind IS NOT NULL THEN dispatch_notification.entity_id END,
            template.priority,
            system_core.merge_text(coalesce(wording, template.name),
                                   dispatch_notification.merge_data),
            dispatch_notification.merge_data, opens_at)
    RETURNING notification_id INTO queued;
    IF opens_at > now() THEN
        UPDATE system_core.notification AS n SET state = 'held_quiet_hours'
        WHERE (n.business_id, n.notification_id) = (tenant, queued);
    END IF;
    RETURN queued;
END
$$;
COMMENT ON FUNCTION system_core.dispatch_notification(text, uuid, jsonb, text, text, uuid) IS
    'Queues a message for a person of the tenant. NULL where no channel is open to them (they
     opted out, or every address is suppressed) or they had enough for this hour; in their quiet
     hours it is held until the first channel opens, unless it is critical. A mandatory category
     is always queued.';


CREATE FUNCTION system_core.next_delivery_batch(channel text, max integer DEFAULT 100)
    RETURNS SETOF system_core.notification
    LANGUAGE sql
BEGIN ATOMIC
    UPDATE system_core.notification AS n
    SET state = CASE WHEN n.expires_at <= now() THEN 'expired' ELSE 'pending' END
    FROM (
        SELECT w.notification_id
        FROM system_core.notification AS w
        WHERE w.business_id = tenant_mgmt.current_business_id()
            AND w.state IN ('pending', 'held_quiet_hours', 'failed')
            AND w.scheduled_for <= now()
            AND (w.state = 'held_quiet_hours' OR w.expires_at <= now())
        ORDER BY w.scheduled_for
        LIMIT max
        FOR UPDATE SKIP LOCKED
    ) AS over
    WHERE n.business_id = tenant_mgmt.current_business_id()
        AND n.notification_id = over.notification_id;

    UPDATE system_core.notification AS n
    SET state = 'dispatched'
    FROM (
        SELECT d.notification_id
        FROM system_core.notification AS d
        JOIN system_core.notification_template AS t
            ON t.business_id = d.business_id
            AND t.notification_template_id = d.notification_template_id
        WHERE d.business_id = tenant_mgmt.current_business_id()
            AND t.business_id = tenant_mgmt.current_business_id()
            AND d.state IN ('pending', 'failed')
            AND d.scheduled_for <= now()
            AND (d.expires_at IS NULL OR d.expires_at > now())
            AND EXISTS (
                SELECT FROM system_core.open_channels(d.recipient_user_account_id,
                                                      t.notification_category_id) AS o
                WHERE o.channel = next_delivery_batch.channel
                    AND (o.opens_at <= now() OR d.priority = 'critical'))
            -- What failed is tried again after 2, 4, 8 … minutes, eight times in all.
            AND (d.state = 'pending' OR NOT EXISTS (
                SELECT FROM system_core.notification_delivery AS a
                WHERE a.business_id = tenant_mgmt.current_business_id()
                    AND a.notification_id = d.notification_id
                    AND (a.attempt_no >= 8
                         OR a.attempted_at > now() - interval '1 minute' * 2 ^ a.attempt_no)))
        ORDER BY d.scheduled_for
        LIMIT max
        FOR UPDATE OF d SKIP LOCKED
    ) AS due
    WHERE n.business_id = tenant_mgmt.current_business_id()
        AND n.notification_id = due.notification_id
    RETURNING n.*;
END;
COMMENT ON FUNCTION system_core.next_delivery_batch(text, integer) IS
    'Claims due messages of the tenant for a channel that is open to their recipients and marks
     them dispatched; two workers never claim the same one. Before that it releases messages
     whose quiet hours are over and lets those expire whose time has passed.';


CREATE VIEW system_core.v_unread_notification_count
    WITH (security_invoker = true) AS
SELECT n.business_id, n.recipient_user_account_id,
       count(*) AS unread_count,
       count(*) FILTER (WHERE n.priority IN ('high', 'critical')) AS urgent_count
FROM system_core.notification AS n
WHERE n.business_id = tenant_mgmt.current_business_id()
    AND n.read_at IS NULL
    AND n.state IN ('dispatched', 'delivered')
GROUP BY n.business_id, n.recipient_user_account_id;
COMMENT ON VIEW system_core.v_unread_notification_count IS
    'What the bell shows: unread and urgent messages per person.';
GRANT SELECT ON system_core.v_unread_notification_count TO app_user, app_readonly;


CREATE MATERIALIZED VIEW system_core.mv_notification_channel_performance AS
SELECT d.business_id, d.channel, c.notification_category_id,
       (d.attempted_at AT TIME ZONE 'UTC')::date AS attempted_on,
       count(*) FILTER (WHERE d.status NOT IN ('queued', 'suppressed', 'failed'))
           AS sent_count,
       count(d.delivered_at) AS delivered_count,
       count(d.opened_at) AS opened_count,
       count(*) FILTER (WHERE d.status IN ('bounced', 'complained')) AS bounced_count,
       sum(d.cost_amount) AS cost_amount
FROM system_core.notification_delivery AS d
JOIN system_core.notification AS n
    ON (n.business_id, n.notification_id) = (d.business_id, d.notification_id)
JOIN system_core.notification_template AS t
    ON (t.business_id, t.notification_template_id)
     = (n.business_id, n.notification_template_id)
JOIN system_core.notification_category AS c
    ON (c.business_id, c.notification_category_id)
     = (t.business_id, t.notification_category_id)
GROUP BY d.business_id, d.channel, c.notification_category_id, attempted_on
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW system_core.mv_notification_channel_performance IS
    'Sent, delivered, opened, bounced and cost per channel, category and day (UTC).';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_notification_channel_performance_idx
    ON system_core.mv_notification_channel_performance
        (business_id, attempted_on, channel, notification_category_id);

GRANT USAGE ON SCHEMA system_core, tenant_mgmt TO matview_owner;
GRANT SELECT ON
    system_core.notification_delivery, system_core.notification,
    system_core.notification_template, system_core.notification_category TO matview_owner;

CREATE VIEW system_core.v_notification_channel_performance
    WITH (security_barrier = true) AS
SELECT m.business_id, m.channel, m.notification_category_id, m.attempted_on, m.sent_count,
       m.delivered_count, m.opened_count, m.bounced_count, m.cost_amount
FROM system_core.mv_notification_channel_performance AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW system_core.v_notification_channel_performance IS
    'The tenant''s own part of mv_notification_channel_performance.';
GRANT SELECT ON system_core.v_notification_channel_performance TO app_user, app_readonly;
