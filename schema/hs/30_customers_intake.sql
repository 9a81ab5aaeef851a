/*
 * Customers and intake: who is served and where, and how demand arrives before it is work.
 *
 * A customer owes money; a service_location is where work happens; a customer_contact is who is
 * called, by customer or by location. A campaign has its tracking number; call_record holds every
 * call with what came of it and what was said, booking_request what customers ask for online, lead
 * a sale of more than a visit. v_booking_rate and v_call_talk read what calls tell.
 */

CREATE TABLE hs.customer (
    business_id                uuid                    NOT NULL,
    customer_id                uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id            uuid,
    price_level_id             uuid,
    referred_by_customer_id    uuid,
    merged_into_customer_id    uuid,
    customer_number            system_core.code        NOT NULL,
    display_name               text                    NOT NULL,
    customer_kind              text                    NOT NULL DEFAULT 'residential',
    company_name               text,
    primary_email              system_core.email,
    primary_phone              system_core.phone,
    preferred_channel          text                    NOT NULL DEFAULT 'phone',
    billing_address            system_core.json_object,
    payment_terms_days         integer                 NOT NULL DEFAULT 0,
    credit_limit               system_core.money,
    open_balance               system_core.money       NOT NULL DEFAULT 0,
    is_tax_exempt              boolean                 NOT NULL DEFAULT false,
    tax_exempt_certificate_ref text,
    status                     text                    NOT NULL DEFAULT 'active',
    lifetime_revenue_amount    system_core.money       NOT NULL DEFAULT 0,
    created_at                 timestamptz             NOT NULL DEFAULT now(),
    updated_at                 timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, customer_id),
    UNIQUE (business_id, customer_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, price_level_id)
        REFERENCES hs.price_level (business_id, price_level_id),
    FOREIGN KEY (business_id, referred_by_customer_id)
        REFERENCES hs.customer (business_id, customer_id),
    FOREIGN KEY (business_id, merged_into_customer_id)
        REFERENCES hs.customer (business_id, customer_id),
    CONSTRAINT customer_kind_known
        CHECK (customer_kind IN ('residential', 'commercial', 'property_manager', 'builder',
                                 'government')),
    CONSTRAINT customer_preferred_channel_known
        CHECK (preferred_channel IN ('sms', 'email', 'phone', 'portal')),
    CONSTRAINT customer_status_known
        CHECK (status IN ('prospect', 'active', 'do_not_service', 'archived')),
    CONSTRAINT customer_name_not_blank CHECK (display_name ~ '\S'),
    CONSTRAINT customer_terms_bounded CHECK (payment_terms_days BETWEEN 0 AND 120),
    CONSTRAINT customer_credit_limit_not_negative CHECK (credit_limit >= 0),
    CONSTRAINT customer_exemption_has_certificate
        CHECK (NOT is_tax_exempt OR tax_exempt_certificate_ref IS NOT NULL),
    CONSTRAINT customer_not_its_own_referral CHECK (referred_by_customer_id <> customer_id),
    CONSTRAINT customer_not_merged_into_itself CHECK (merged_into_customer_id <> customer_id),
    CONSTRAINT customer_merged_is_archived
        CHECK (merged_into_customer_id IS NULL OR status = 'archived')
);

COMMENT ON TABLE hs.customer IS 'A person or organization that buys services and owes money.';
COMMENT ON COLUMN hs.customer.user_account_id IS 'The account that it signs in to the portal with.';
COMMENT ON COLUMN hs.customer.price_level_id IS 'NULL: the default level.';
COMMENT ON COLUMN hs.customer.merged_into_customer_id IS
    'The customer that this one turned out to be; its history moved there.';
COMMENT ON COLUMN hs.customer.credit_limit IS 'NULL: none was set.';
COMMENT ON COLUMN hs.customer.open_balance IS
    'What is unpaid of its invoices less unapplied payments; kept by billing.';
COMMENT ON COLUMN hs.customer.lifetime_revenue_amount IS
    'What it was ever invoiced; kept by billing.';
COMMENT ON COLUMN hs.customer.status IS
    'do_not_service: nobody drives there again; archived: out of the lists.';

-- A call comes in: whose number is it?
CREATE INDEX customer_phone_idx
    ON hs.customer (business_id, primary_phone)
    WHERE primary_phone IS NOT NULL;

-- FK: the customer behind a portal account, one at most.
CREATE UNIQUE INDEX customer_account_idx
    ON hs.customer (business_id, user_account_id)
    WHERE user_account_id IS NOT NULL;

-- FK: who is on a price level.
CREATE INDEX customer_price_level_idx
    ON hs.customer (business_id, price_level_id)
    WHERE price_level_id IS NOT NULL;

-- FK: whom a customer brought.
CREATE INDEX customer_referral_idx
    ON hs.customer (business_id, referred_by_customer_id)
    WHERE referred_by_customer_id IS NOT NULL;

-- FK: what was merged into a customer.
CREATE INDEX customer_merge_idx
    ON hs.customer (business_id, merged_into_customer_id)
    WHERE merged_into_customer_id IS NOT NULL;

ALTER TABLE hs.customer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.customer
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.customer TO app_user;
GRANT SELECT ON hs.customer TO app_readonly;

CREATE TRIGGER customer_touch
    BEFORE UPDATE ON hs.customer
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER customer_words
    AFTER INSERT OR UPDATE OF display_name, customer_number OR DELETE ON hs.customer
    FOR EACH ROW EXECUTE FUNCTION system_core.keep_search_words(
        'hs.customer', 'customer_id', 'display_name', 'customer_number');

CREATE TRIGGER customer_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.customer
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["prospect", "active"],
        "transitions": {
            "prospect":       ["active", "do_not_service", "archived"],
            "active":         ["do_not_service", "archived"],
            "do_not_service": ["active", "archived"],
            "archived":       ["active"]
        }}');

CREATE FUNCTION hs.end_merges_at_a_customer() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    broken record;
BEGIN
    IF NOT EXISTS (SELECT FROM changed AS t WHERE t.merged_into_customer_id IS NOT NULL) THEN
        RETURN NULL;   -- almost every update of a customer
    END IF;
    -- Whoever is merged waits for whoever merges into it, in the order of the key.
    PERFORM FROM hs.customer AS c
    WHERE (c.business_id, c.customer_id) IN (
        SELECT t.business_id, t.merged_into_customer_id FROM changed AS t
        WHERE t.merged_into_customer_id IS NOT NULL)
    ORDER BY c.business_id, c.customer_id
    FOR NO KEY UPDATE;

    SELECT f.customer_number AS merged, u.customer_number AS target INTO broken
    FROM changed AS t
    JOIN hs.customer AS f
        ON f.business_id = t.business_id
       AND (f.customer_id = t.customer_id OR f.merged_into_customer_id = t.customer_id)
    JOIN hs.customer AS u
        ON u.business_id = f.business_id AND u.customer_id = f.merged_into_customer_id
    WHERE t.merged_into_customer_id IS NOT NULL AND u.merged_into_customer_id IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'customer % would be merged into %, which is itself merged',
                        broken.merged, broken.target
            USING ERRCODE = 'check_violation',
                  HINT = 'Merge into the customer that is left in the end.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.end_merges_at_a_customer() IS
    'Who is merged points at a customer that is not merged, so that one step finds it.';

CREATE TRIGGER customer_merge_ends_insert
    AFTER INSERT ON hs.customer
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.end_merges_at_a_customer();

CREATE TRIGGER customer_merge_ends_update
    AFTER UPDATE ON hs.customer
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.end_merges_at_a_customer();


CREATE TABLE hs.service_location (
    business_id          uuid                    NOT NULL,
    service_location_id  uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id          uuid                    NOT NULL,
    service_territory_id uuid,
    tax_rate_id          uuid,
    location_number      system_core.code        NOT NULL,
    label                text,
    address_line         text                    NOT NULL,
    unit_no              text,
    city                 text                    NOT NULL,
    region_code          system_core.region,
    postal_code          system_core.postal_code NOT NULL,
    country_code         system_core.country     NOT NULL,
    latitude             system_core.latitude,
    longitude            system_core.longitude,
    property_kind        text                    NOT NULL DEFAULT 'single_family',
    built_year           integer,
    floor_area_sqft      integer,
    access_instructions  text,
    gate_code            text,
    site_hazards         text,
    created_at           timestamptz             NOT NULL DEFAULT now(),
    updated_at           timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, service_location_id),
    UNIQUE (business_id, location_number),
    UNIQUE (business_id, service_location_id, customer_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES hs.customer (business_id, customer_id),
    FOREIGN KEY (business_id, service_territory_id)
        REFERENCES hs.service_territory (business_id, service_territory_id),
    FOREIGN KEY (business_id, tax_rate_id) REFERENCES hs.tax_rate (business_id, tax_rate_id),
    CONSTRAINT service_location_property_kind_known
        CHECK (property_kind IN ('single_family', 'condo', 'apartment', 'office', 'retail',
                                 'industrial', 'hoa_common')),
    CONSTRAINT service_location_place_is_whole
        CHECK ((latitude IS NULL) = (longitude IS NULL)),
    CONSTRAINT service_location_built_in_our_times CHECK (built_year BETWEEN 1700 AND 2100),
    CONSTRAINT service_location_area_positive CHECK (floor_area_sqft > 0)
);

COMMENT ON TABLE hs.service_location IS
    'An address where work happens; equipment, agreements and jobs stand here.';
COMMENT ON COLUMN hs.service_location.service_territory_id IS
    'The zone that serves it, as hs.territory_of() finds it by postal code.';
COMMENT ON COLUMN hs.service_location.tax_rate_id IS
    'Names the jurisdiction; the rate of a day is that jurisdiction''s then.';
COMMENT ON COLUMN hs.service_location.site_hazards IS
    'What a technician is warned of: dogs, asbestos, a low attic.';

-- FK: the locations of a customer.
CREATE INDEX service_location_customer_idx ON hs.service_location (business_id, customer_id);

-- FK: the locations of a zone.
CREATE INDEX service_location_territory_idx
    ON hs.service_location (business_id, service_territory_id)
    WHERE service_territory_id IS NOT NULL;

-- FK: the locations of a jurisdiction.
CREATE INDEX service_location_tax_rate_idx
    ON hs.service_location (business_id, tax_rate_id)
    WHERE tax_rate_id IS NOT NULL;

-- Was this address served before, maybe for another customer?
CREATE INDEX service_location_address_idx
    ON hs.service_location (business_id, postal_code, lower(address_line));

ALTER TABLE hs.service_location ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.service_location
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.service_location TO app_user;
GRANT SELECT ON hs.service_location TO app_readonly;

CREATE TRIGGER service_location_touch
    BEFORE UPDATE ON hs.service_location
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.customer_contact (
    business_id           uuid                    NOT NULL,
    customer_contact_id   uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id           uuid                    NOT NULL,
    service_location_id   uuid,
    full_name             system_core.person_name NOT NULL,
    contact_role          text                    NOT NULL DEFAULT 'owner',
    email                 system_core.email,
    mobile_phone          system_core.phone,
    landline_phone        system_core.phone,
    language_code         system_core.locale      NOT NULL DEFAULT 'en',
    is_primary            boolean                 NOT NULL DEFAULT false,
    is_invoice_recipient  boolean                 NOT NULL DEFAULT false,
    is_dispatch_recipient boolean                 NOT NULL DEFAULT false,
    unsubscribed_at       timestamptz,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, customer_contact_id),
    FOREIGN KEY (business_id, customer_id)
        REFERENCES hs.customer (business_id, customer_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, service_location_id, customer_id)
        REFERENCES hs.service_location (business_id, service_location_id, customer_id),
    CONSTRAINT customer_contact_role_known
        CHECK (contact_role IN ('owner', 'tenant', 'property_manager', 'billing', 'on_site',
                                'emergency')),
    CONSTRAINT customer_contact_can_be_reached
        CHECK (num_nonnulls(email, mobile_phone, landline_phone) > 0),
    CONSTRAINT customer_contact_invoices_are_mailed
        CHECK (NOT is_invoice_recipient OR email IS NOT NULL)
);

COMMENT ON TABLE hs.customer_contact IS
    'A person at a customer who is called, texted, invoiced or lets the technician in.';
COMMENT ON COLUMN hs.customer_contact.service_location_id IS
    'Where it is the contact for one location of the customer only.';
COMMENT ON COLUMN hs.customer_contact.is_dispatch_recipient IS
    'Is told when the technician is on the way.';
COMMENT ON COLUMN hs.customer_contact.unsubscribed_at IS
    'Since when it gets no more marketing; messages about work go on.';

-- A customer has one primary contact.
CREATE UNIQUE INDEX customer_contact_primary_idx
    ON hs.customer_contact (business_id, customer_id)
    WHERE is_primary;

-- FK, also of customer and location: the contacts of a customer.
CREATE INDEX customer_contact_customer_idx
    ON hs.customer_contact (business_id, customer_id, service_location_id);

-- A call or text comes in: whose mobile is it?
CREATE INDEX customer_contact_mobile_idx
    ON hs.customer_contact (business_id, mobile_phone)
    WHERE mobile_phone IS NOT NULL;

-- A call comes in: whose landline is it?
CREATE INDEX customer_contact_landline_idx
    ON hs.customer_contact (business_id, landline_phone)
    WHERE landline_phone IS NOT NULL;

ALTER TABLE hs.customer_contact ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.customer_contact
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.customer_contact TO app_user;
GRANT SELECT ON hs.customer_contact TO app_readonly;

CREATE TRIGGER customer_contact_touch
    BEFORE UPDATE ON hs.customer_contact
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.campaign (
    business_id          uuid              NOT NULL,
    campaign_id          uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    business_unit_id     uuid,
    campaign_code        system_core.code  NOT NULL,
    name                 text              NOT NULL,
    channel              text              NOT NULL,
    tracking_phone       system_core.phone,
    landing_url          system_core.url,
    starts_on            date              NOT NULL DEFAULT current_date,
    ends_on              date,
    monthly_budget       system_core.money NOT NULL DEFAULT 0,
    spend_to_date_amount system_core.money NOT NULL DEFAULT 0,
    target_lead_cost     system_core.money,
    status               text              NOT NULL DEFAULT 'planned',
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, campaign_id),
    UNIQUE (business_id, campaign_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, business_unit_id)
        REFERENCES hs.business_unit (business_id, business_unit_id),
    CONSTRAINT campaign_channel_known
        CHECK (channel IN ('search_ads', 'local_services_ads', 'direct_mail', 'radio', 'referral',
                           'door_hanger', 'email', 'vehicle_wrap', 'organic')),
    CONSTRAINT campaign_status_known CHECK (status IN ('planned', 'active', 'paused', 'ended')),
    CONSTRAINT campaign_ends_after_begin CHECK (ends_on >= starts_on),
    CONSTRAINT campaign_amounts_not_negative
        CHECK (monthly_budget >= 0 AND spend_to_date_amount >= 0 AND target_lead_cost >= 0)
);

COMMENT ON TABLE hs.campaign IS
    'A marketing effort with its own number, credited with calls, leads and revenue.';
COMMENT ON COLUMN hs.campaign.tracking_phone IS
    'The number that its advertisements show; who dials it answers them.';
COMMENT ON COLUMN hs.campaign.target_lead_cost IS 'What a lead may cost for it to go on.';

-- A dialed number leads to one campaign.
CREATE UNIQUE INDEX campaign_tracking_phone_idx
    ON hs.campaign (business_id, tracking_phone)
    WHERE status = 'active';

-- FK: the campaigns of a unit.
CREATE INDEX campaign_unit_idx
    ON hs.campaign (business_id, business_unit_id)
    WHERE business_unit_id IS NOT NULL;

ALTER TABLE hs.campaign ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.campaign
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.campaign TO app_user;
GRANT SELECT ON hs.campaign TO app_readonly;

CREATE TRIGGER campaign_touch
    BEFORE UPDATE ON hs.campaign
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER campaign_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.campaign
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["planned", "active"],
        "transitions": {
            "planned": ["active", "ended"],
            "active":  ["paused", "ended"],
            "paused":  ["active", "ended"],
            "ended":   []
        }}');


CREATE TABLE hs.call_record (
    business_id              uuid                   NOT NULL,
    call_record_id           uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id              uuid,
    campaign_id              uuid,
    agent_user_account_id    uuid,
    recording_file_object_id uuid,
    direction                text                   NOT NULL,
    caller_phone             system_core.phone,
    dialed_phone             system_core.phone      NOT NULL,
    outcome                  text,
    unbooked_reason          text,
    ring_seconds             integer GENERATED ALWAYS AS
        (trunc(extract(epoch FROM coalesce(answered_at, ended_at) - started_at))) STORED,
    talk_seconds             integer GENERATED ALWAYS AS
        (trunc(extract(epoch FROM ended_at - coalesce(answered_at, ended_at)))) STORED,
    transcript               system_core.json_array,
    sentiment_score          system_core.score,
    started_at               timestamptz            NOT NULL,
    answered_at              timestamptz,
    ended_at                 timestamptz,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, call_record_id, started_at),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES hs.customer (business_id, customer_id),
    FOREIGN KEY (business_id, campaign_id) REFERENCES hs.campaign (business_id, campaign_id),
    FOREIGN KEY (business_id, agent_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, recording_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT call_record_direction_known CHECK (direction IN ('inbound', 'outbound')),
    CONSTRAINT call_record_outcome_known
        CHECK (outcome IN ('booked', 'not_booked', 'excused', 'abandoned', 'voicemail',
                           'wrong_number')),
    CONSTRAINT call_record_times_in_order
        CHECK (started_at <= ended_at AND started_at <= answered_at AND answered_at <= ended_at),
    CONSTRAINT call_record_ended_has_outcome CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CONSTRAINT call_record_unbooked_has_reason
        CHECK (outcome <> 'not_booked' OR unbooked_reason IS NOT NULL),
    CONSTRAINT call_record_only_unbooked_has_reason
        CHECK (unbooked_reason IS NULL OR coalesce(outcome = 'not_booked', false)),
    CONSTRAINT call_record_booked_was_answered
        CHECK (outcome NOT IN ('booked', 'not_booked', 'excused') OR answered_at IS NOT NULL),
    CONSTRAINT call_record_abandoned_was_not_answered
        CHECK (outcome <> 'abandoned' OR answered_at IS NULL),
    CONSTRAINT call_record_sentiment_bounded CHECK (sentiment_score BETWEEN -1 AND 1)
) PARTITION BY RANGE (started_at);

COMMENT ON TABLE hs.call_record IS
    'A call in or out with what came of it; the booking rate is reckoned from it.';
COMMENT ON COLUMN hs.call_record.caller_phone IS 'NULL where the number was withheld.';
COMMENT ON COLUMN hs.call_record.outcome IS
    'NULL while it lasts; excused: there was nothing to book, such as a question about a bill.';
COMMENT ON COLUMN hs.call_record.unbooked_reason IS
    'Why somebody who could have been booked was not: price, no slot, shopping around.';
COMMENT ON COLUMN hs.call_record.transcript IS
    '[{"speaker": "agent" or "caller", "start_second": number, "text": string}], in order.';
COMMENT ON COLUMN hs.call_record.sentiment_score IS '-1 is angry, 1 is delighted.';

-- FK and the customer's card: the newest calls of a customer.
CREATE INDEX call_record_customer_idx
    ON hs.call_record (business_id, customer_id, started_at DESC)
    WHERE customer_id IS NOT NULL;

-- FK and booking rate: the calls of a campaign.
CREATE INDEX call_record_campaign_idx
    ON hs.call_record (business_id, campaign_id, started_at)
    WHERE campaign_id IS NOT NULL;

-- FK and coaching: the newest calls of an agent.
CREATE INDEX call_record_agent_idx
    ON hs.call_record (business_id, agent_user_account_id, started_at DESC)
    WHERE agent_user_account_id IS NOT NULL;

-- FK: the call that a recording is of.
CREATE INDEX call_record_recording_idx
    ON hs.call_record (business_id, recording_file_object_id)
    WHERE recording_file_object_id IS NOT NULL;

ALTER TABLE hs.call_record ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.call_record
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.call_record TO app_user;
GRANT SELECT ON hs.call_record TO app_readonly;

CREATE TRIGGER call_record_touch
    BEFORE UPDATE ON hs.call_record
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TABLE hs.call_record_default PARTITION OF hs.call_record DEFAULT;
ALTER TABLE hs.call_record_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.call_record_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('hs.call_record', 'month', behind => 3, ahead => 1);


CREATE TABLE hs.booking_request (
    business_id         uuid                    NOT NULL,
    booking_request_id  uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id         uuid,
    service_location_id uuid,
    campaign_id         uuid,
    job_type_id         uuid,
    channel             text                    NOT NULL DEFAULT 'web_widget',
    external_ref        text,
    contact_name        system_core.person_name NOT NULL,
    contact_phone       system_core.phone,
    contact_email       system_core.email,
    problem_description text,
    intake_answers      system_core.json_object NOT NULL DEFAULT '{}',
    urgency             text                    NOT NULL DEFAULT 'routine',
    status              text                    NOT NULL DEFAULT 'new',
    dismissed_reason    text,
    received_at         timestamptz             NOT NULL DEFAULT now(),
    preferred_start_at  timestamptz,
    preferred_end_at    timestamptz,
    created_at          timestamptz             NOT NULL DEFAULT now(),
    updated_at          timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, booking_request_id),
    UNIQUE (business_id, channel, external_ref),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES hs.customer (business_id, customer_id),
    FOREIGN KEY (business_id, service_location_id, customer_id)
        REFERENCES hs.service_location (business_id, service_location_id, customer_id),
    FOREIGN KEY (business_id, campaign_id) REFERENCES hs.campaign (business_id, campaign_id),
    CONSTRAINT booking_request_channel_known
        CHECK (channel IN ('web_widget', 'phone', 'portal', 'partner_api', 'chat')),
    CONSTRAINT booking_request_urgency_known CHECK (urgency IN ('routine', 'soon', 'emergency')),
    CONSTRAINT booking_request_status_known
        CHECK (status IN ('new', 'triaged', 'converted', 'duplicate', 'dismissed')),
    CONSTRAINT booking_request_can_be_answered
        CHECK (num_nonnulls(contact_phone, contact_email) > 0),
    CONSTRAINT booking_request_location_has_customer
        CHECK (service_location_id IS NULL OR customer_id IS NOT NULL),
    CONSTRAINT booking_request_converted_is_placed
        CHECK (status <> 'converted' OR num_nonnulls(customer_id, service_location_id) = 2),
    CONSTRAINT booking_request_dismissed_has_reason
        CHECK ((status = 'dismissed') = (dismissed_reason IS NOT NULL)),
    CONSTRAINT booking_request_window_is_whole
        CHECK ((preferred_start_at IS NULL) = (preferred_end_at IS NULL)),
    CONSTRAINT booking_request_ends_after_begin CHECK (preferred_end_at > preferred_start_at)
);

COMMENT ON TABLE hs.booking_request IS
    'What a customer asks for by widget, portal or partner, before somebody looked at it.';
COMMENT ON COLUMN hs.booking_request.job_type_id IS 'What it seems to be, once somebody looked.';
COMMENT ON COLUMN hs.booking_request.external_ref IS
    'The request''s key where it came from, so that it is taken in once.';
COMMENT ON COLUMN hs.booking_request.intake_answers IS
    'Answers given to the widget: age of the equipment, symptoms, photos.';

-- Triage: what nobody looked at yet, the oldest first.
CREATE INDEX booking_request_triage_idx
    ON hs.booking_request (business_id, urgency, received_at)
    WHERE status IN ('new', 'triaged');

-- FK, also of customer and location: what a customer asked for.
CREATE INDEX booking_request_customer_idx
    ON hs.booking_request (business_id, customer_id, service_location_id)
    WHERE customer_id IS NOT NULL;

-- FK: what a campaign brought.
CREATE INDEX booking_request_campaign_idx
    ON hs.booking_request (business_id, campaign_id)
    WHERE campaign_id IS NOT NULL;

-- FK: what was asked for of a type of job.
CREATE INDEX booking_request_job_type_idx
    ON hs.booking_request (business_id, job_type_id)
    WHERE job_type_id IS NOT NULL;

ALTER TABLE hs.booking_request ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.booking_request
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.booking_request TO app_user;
GRANT SELECT ON hs.booking_request TO app_readonly;

CREATE TRIGGER booking_request_touch
    BEFORE UPDATE ON hs.booking_request
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER booking_request_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.booking_request
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["new"],
        "transitions": {
            "new":       ["triaged", "converted", "duplicate", "dismissed"],
            "triaged":   ["converted", "duplicate", "dismissed"],
            "converted": [],
            "duplicate": [],
            "dismissed": ["triaged"]
        }}');


CREATE TABLE hs.lead (
    business_id           uuid                   NOT NULL,
    lead_id               uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id           uuid,
    campaign_id           uuid,
    booking_request_id    uuid,
    source_technician_id  uuid,
    owner_user_account_id uuid,
    lead_number           system_core.code       NOT NULL,
    lead_kind             text                   NOT NULL DEFAULT 'replacement',
    status                text                   NOT NULL DEFAULT 'new',
    estimated_amount      system_core.money      NOT NULL DEFAULT 0,
    probability_pct       system_core.percentage NOT NULL DEFAULT 0,
    next_contact_on       date,
    lost_reason           text,
    competitor_name       text,
    note_text             text,
    won_at                timestamptz,
    lost_at               timestamptz,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, lead_id),
    UNIQUE (business_id, lead_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES hs.customer (business_id, customer_id),
    FOREIGN KEY (business_id, campaign_id) REFERENCES hs.campaign (business_id, campaign_id),
    FOREIGN KEY (business_id, booking_request_id)
        REFERENCES hs.booking_request (business_id, booking_request_id),
    FOREIGN KEY (business_id, source_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT lead_kind_known
        CHECK (lead_kind IN ('replacement', 'upgrade', 'remodel', 'maintenance_agreement',
                             'commercial_bid')),
    CONSTRAINT lead_status_known
        CHECK (status IN ('new', 'contacted', 'qualified', 'appointment_set', 'quoted', 'won',
                          'lost')),
    CONSTRAINT lead_amount_not_negative CHECK (estimated_amount >= 0),
    CONSTRAINT lead_probability_bounded CHECK (probability_pct BETWEEN 0 AND 100),
    CONSTRAINT lead_won_has_time CHECK ((status = 'won') = (won_at IS NOT NULL)),
    CONSTRAINT lead_lost_has_time CHECK ((status = 'lost') = (lost_at IS NOT NULL)),
    CONSTRAINT lead_lost_has_reason CHECK ((status = 'lost') = (lost_reason IS NOT NULL)),
    CONSTRAINT lead_won_has_customer CHECK (status <> 'won' OR customer_id IS NOT NULL)
);

COMMENT ON TABLE hs.lead IS
    'A chance to sell a replacement or larger work, often seen by a technician on site.';
COMMENT ON COLUMN hs.lead.source_technician_id IS 'Who saw it, and earns the bonus when it is won.';
COMMENT ON COLUMN hs.lead.owner_user_account_id IS 'Who sells it.';
COMMENT ON COLUMN hs.lead.competitor_name IS 'Who else bids, or got it.';

-- FK: the leads of a customer.
CREATE INDEX lead_customer_idx
    ON hs.lead (business_id, customer_id)
    WHERE customer_id IS NOT NULL;

-- FK: what a campaign brought.
CREATE INDEX lead_campaign_idx
    ON hs.lead (business_id, campaign_id)
    WHERE campaign_id IS NOT NULL;

-- FK: the lead that a request became.
CREATE INDEX lead_booking_request_idx
    ON hs.lead (business_id, booking_request_id)
    WHERE booking_request_id IS NOT NULL;

-- FK: what a technician saw.
CREATE INDEX lead_technician_idx
    ON hs.lead (business_id, source_technician_id)
    WHERE source_technician_id IS NOT NULL;

-- FK and the seller's day: whom to call next.
CREATE INDEX lead_owner_idx
    ON hs.lead (business_id, owner_user_account_id, next_contact_on)
    WHERE owner_user_account_id IS NOT NULL;

ALTER TABLE hs.lead ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.lead
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.lead TO app_user;
GRANT SELECT ON hs.lead TO app_readonly;

CREATE TRIGGER lead_touch
    BEFORE UPDATE ON hs.lead
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER lead_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.lead
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["new"],
        "transitions": {
            "new":             ["contacted", "lost"],
            "contacted":       ["qualified", "lost"],
            "qualified":       ["appointment_set", "quoted", "lost"],
            "appointment_set": ["quoted", "qualified", "lost"],
            "quoted":          ["won", "lost", "appointment_set"],
            "won":             [],
            "lost":            ["contacted"]
        }}');


CREATE FUNCTION hs.require_serviceable_customer() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    refused record;
BEGIN
    IF NOT row_security_active('hs.customer') THEN
        RETURN NULL;   -- imported history holds what was done while the customer was welcome
    END IF;
    SELECT c.customer_number,
           CASE WHEN c.merged_into_customer_id IS NOT NULL THEN 'merged into another'
                ELSE 'not to be serviced' END AS state
    INTO refused
    FROM added AS a
    JOIN hs.customer AS c ON c.business_id = a.business_id AND c.customer_id = a.customer_id
    WHERE c.status = 'do_not_service' OR c.merged_into_customer_id IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'customer % is %', refused.customer_number, refused.state
            USING ERRCODE = 'check_violation',
                  HINT = 'Take the customer that it was merged into, or make it active first.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.require_serviceable_customer() IS
    'A customer that is merged or not to be serviced gets nothing new; for a statement trigger
     AFTER INSERT whose transition table `added` has a customer_id.';

CREATE TRIGGER lead_of_serviceable_customer
    AFTER INSERT ON hs.lead
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_serviceable_customer();


CREATE VIEW hs.v_call_talk
    WITH (security_invoker = true) AS
SELECT c.business_id, c.call_record_id, c.started_at, c.campaign_id, c.agent_user_account_id,
       c.outcome, c.talk_seconds, t.utterance_count, t.agent_seconds, t.caller_seconds,
       round(100 * t.agent_seconds / nullif(t.agent_seconds + t.caller_seconds, 0), 1)
           AS agent_talk_pct
FROM hs.call_record AS c
CROSS JOIN LATERAL (
    SELECT count(*) AS utterance_count,
           coalesce(sum(s.seconds) FILTER (WHERE s.speaker = 'agent'), 0) AS agent_seconds,
           coalesce(sum(s.seconds) FILTER (WHERE s.speaker = 'caller'), 0) AS caller_seconds
    FROM (
        -- An utterance lasts until the next begins, the last one until the call ends.
        SELECT u.speaker,
               greatest(coalesce(lead(u.start_second) OVER (ORDER BY u.start_second, u.position),
                                 c.talk_seconds) - u.start_second, 0) AS seconds
        FROM JSON_TABLE(c.transcript, '$[*]' COLUMNS (
            position     FOR ORDINALITY,
            speaker      text    PATH '$.speaker',
            start_second numeric PATH '$.start_second')) AS u
    ) AS s
) AS t
WHERE c.business_id = tenant_mgmt.current_business_id() AND c.transcript IS NOT NULL;
COMMENT ON VIEW hs.v_call_talk IS
    'Who talked how long in each call with a transcript, and the agent''s share in percent.';
GRANT SELECT ON hs.v_call_talk TO app_user, app_readonly;


CREATE FUNCTION hs.call_keyword_hits(call uuid, keywords text[]) RETURNS TABLE (
    keyword text, hit_count bigint, agent_count bigint, first_second numeric
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT k.word, coalesce(sum(h.hits), 0), coalesce(sum(h.hits) FILTER (WHERE h.by_agent), 0),
           min(h.start_second)
    FROM (SELECT DISTINCT w.word FROM unnest(keywords) AS w (word) WHERE w.word ~ '\w') AS k
    LEFT JOIN LATERAL (
        SELECT u.start_second, u.speaker = 'agent' AS by_agent,
               regexp_count(u.said, '(?<!\w)' || regexp_replace(k.word, '(\W)', '\\\1', 'g')
                                    || '(?!\w)', 1, 'i') AS hits
        FROM hs.call_record AS c
        CROSS JOIN JSON_TABLE(c.transcript, '$[*]' COLUMNS (
            speaker      text    PATH '$.speaker',
            start_second numeric PATH '$.start_second',
            said         text    PATH '$.text')) AS u
        WHERE c.business_id = tenant_mgmt.current_business_id() AND c.call_record_id = call
    ) AS h ON h.hits > 0
    GROUP BY k.word
    ORDER BY 2 DESC, k.word;
END;
COMMENT ON FUNCTION hs.call_keyword_hits(uuid, text[]) IS
    'How often each word or phrase was said in a call of the tenant, how often by the agent, and
     when first; whole words, in any case. Words that were not said count 0.';


CREATE VIEW hs.v_booking_rate
    WITH (security_invoker = true) AS
SELECT g.business_id, g.campaign_id, g.campaign_code, g.name, g.channel, g.status,
       c.call_count, c.bookable_count, c.booked_count, c.missed_count,
       round(100.0 * c.booked_count / nullif(c.bookable_count, 0), 1) AS booking_rate_pct,
       round(g.spend_to_date_amount / nullif(c.booked_count, 0), 2) AS cost_per_booking
FROM hs.campaign AS g
CROSS JOIN LATERAL (
    SELECT count(*) AS call_count,
           count(*) FILTER (WHERE x.outcome IN ('booked', 'not_booked')) AS bookable_count,
           count(*) FILTER (WHERE x.outcome = 'booked') AS booked_count,
           count(*) FILTER (WHERE x.outcome IN ('abandoned', 'voicemail')) AS missed_count
    FROM hs.call_record AS x
    WHERE x.business_id = g.business_id AND x.campaign_id = g.campaign_id
      AND x.direction = 'inbound'
) AS c
WHERE g.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW hs.v_booking_rate IS
    'Inbound calls of each campaign and how many were booked of those that could be: who asked
     about a bill, hung up or dialed wrong could not.';
GRANT SELECT ON hs.v_booking_rate TO app_user, app_readonly;
