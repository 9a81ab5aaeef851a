/*
 * Customers: who brings vehicles, who may be called, and who pays.
 *
 * A customer is a person or a company that owes money; a customer_contact is a person who drops
 * off, drives, authorizes or pays for it. What may be sent to a contact is a matter of record:
 * every opt-in and opt-out is a row of contact_consent (TCPA for calls and texts, CAN-SPAM for
 * email), never changed, and the latest of a contact, channel and purpose is in force
 * (v_consent_in_force, has_consent).
 *
 * A fleet_account is the contract of a customer that runs many
 * vehicles: how it is billed, up to which amount an order needs no call, and who approves above.
 * Fleets are often run by a management company, which then is the one that is billed.
 */

CREATE TABLE auto.customer (
    business_id                uuid                    NOT NULL,
    customer_id                uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    referred_by_customer_id    uuid,
    merged_into_customer_id    uuid,
    user_account_id            uuid,
    customer_number            text                    NOT NULL,
    customer_kind              text                    NOT NULL DEFAULT 'retail',
    display_name               text                    NOT NULL,
    display_name_normalized    text                    NOT NULL GENERATED ALWAYS AS (
                                                           lower(display_name)) STORED,
    company_name               text,
    primary_phone              system_core.phone,
    primary_email              system_core.email,
    billing_address            system_core.json_object,
    payment_terms_days         integer                 NOT NULL DEFAULT 0,
    credit_limit               system_core.money,
    open_balance               system_core.money       NOT NULL DEFAULT 0,
    is_tax_exempt              boolean                 NOT NULL DEFAULT false,
    tax_exempt_certificate_ref text,
    preferred_channel          text                    NOT NULL DEFAULT 'sms',
    marketing_source           text,
    status                     text                    NOT NULL DEFAULT 'active',
    lifetime_revenue_amount    system_core.money       NOT NULL DEFAULT 0,
    created_at                 timestamptz             NOT NULL DEFAULT now(),
    updated_at                 timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, customer_id),
    UNIQUE (business_id, customer_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, referred_by_customer_id)
        REFERENCES auto.customer (business_id, customer_id),
    FOREIGN KEY (business_id, merged_into_customer_id)
        REFERENCES auto.customer (business_id, customer_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT customer_kind_known
        CHECK (customer_kind IN ('retail', 'commercial', 'fleet', 'dealer', 'insurer_pay',
                                 'internal')),
    CONSTRAINT customer_preferred_channel_known
        CHECK (preferred_channel IN ('sms', 'email', 'phone', 'portal')),
    CONSTRAINT customer_marketing_source_known
        CHECK (marketing_source IN ('search', 'referral', 'drive_by', 'direct_mail', 'social',
                                    'fleet_program', 'tow')),
    CONSTRAINT customer_status_known
        CHECK (status IN ('active', 'cash_only', 'do_not_service', 'archived')),
    CONSTRAINT customer_amounts_not_negative
        CHECK (credit_limit >= 0 AND open_balance >= 0),
    CONSTRAINT customer_terms_bounded CHECK (payment_terms_days BETWEEN 0 AND 120),
    CONSTRAINT customer_exempt_has_certificate
        CHECK (NOT is_tax_exempt OR coalesce(tax_exempt_certificate_ref, '') ~ '\S'),
    CONSTRAINT customer_company_has_name
        CHECK (customer_kind NOT IN ('commercial', 'fleet', 'dealer')
               OR coalesce(company_name, '') ~ '\S'),
    CONSTRAINT customer_referred_by_another CHECK (referred_by_customer_id <> customer_id),
    CONSTRAINT customer_merged_into_another CHECK (merged_into_customer_id <> customer_id),
    CONSTRAINT customer_merged_is_archived
        CHECK (merged_into_customer_id IS NULL OR status = 'archived')
);

COMMENT ON TABLE auto.customer IS 'Person or company that brings vehicles and owes money.';
COMMENT ON COLUMN auto.customer.display_name_normalized IS
    'To search by: a column, for row security keeps an index on the expression from being used.';
COMMENT ON COLUMN auto.customer.customer_number IS
    'Given by the tenant''s sequence where it is NULL.';
COMMENT ON COLUMN auto.customer.customer_kind IS
    'insurer_pay: repairs are paid by insurers; internal: the shop''s own vehicles.';
COMMENT ON COLUMN auto.customer.billing_address IS '{"lines": [], "city", "region", "postal_code"}';
COMMENT ON COLUMN auto.customer.payment_terms_days IS '0: pays at pick-up.';
COMMENT ON COLUMN auto.customer.credit_limit IS
    'What it may owe altogether; NULL: it pays at pick-up.';
COMMENT ON COLUMN auto.customer.open_balance IS 'Owed on issued invoices; kept by billing.';
COMMENT ON COLUMN auto.customer.lifetime_revenue_amount IS
    'Of all its issued invoices; kept by billing.';
COMMENT ON COLUMN auto.customer.marketing_source IS 'How it found the shop; NULL: nobody asked.';
COMMENT ON COLUMN auto.customer.merged_into_customer_id IS
    'It turned out to be a duplicate of that customer.';

-- The counter types a name.
CREATE INDEX customer_name_idx
    ON auto.customer (business_id, display_name_normalized text_pattern_ops);

-- A call or a text comes in: whose number is it?
CREATE INDEX customer_phone_idx
    ON auto.customer (business_id, primary_phone)
    WHERE primary_phone IS NOT NULL;

-- FK: whom a customer brought.
CREATE INDEX customer_referred_by_customer_idx
    ON auto.customer (business_id, referred_by_customer_id)
    WHERE referred_by_customer_id IS NOT NULL;

-- FK: the duplicates of a customer.
CREATE INDEX customer_merged_into_customer_idx
    ON auto.customer (business_id, merged_into_customer_id)
    WHERE merged_into_customer_id IS NOT NULL;

-- FK; a portal account belongs to one customer.
CREATE UNIQUE INDEX customer_user_account_idx
    ON auto.customer (business_id, user_account_id)
    WHERE user_account_id IS NOT NULL;

ALTER TABLE auto.customer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.customer
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.customer TO app_user;
GRANT SELECT ON auto.customer TO app_readonly;

CREATE TRIGGER customer_touch
    BEFORE UPDATE ON auto.customer
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER customer_numbered
    BEFORE INSERT ON auto.customer
    FOR EACH ROW WHEN (NEW.customer_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'customer_number', 'customer', 'CU-', 'customer_id');


CREATE TABLE auto.customer_contact (
    business_id          uuid                    NOT NULL,
    customer_contact_id  uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id          uuid                    NOT NULL,
    full_name            system_core.person_name NOT NULL,
    contact_role         text                    NOT NULL,
    mobile_phone         system_core.phone,
    email                system_core.email,
    language_code        system_core.locale      NOT NULL DEFAULT 'en',
    authorization_limit  system_core.money,
    is_primary           boolean                 NOT NULL DEFAULT false,
    can_authorize        boolean                 NOT NULL DEFAULT false,
    driver_license_last4 text,
    unsubscribed_at      timestamptz,
    note_text            text,
    created_at           timestamptz             NOT NULL DEFAULT now(),
    updated_at           timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, customer_contact_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES auto.customer (business_id, customer_id),
    CONSTRAINT customer_contact_role_known
        CHECK (contact_role IN ('owner', 'driver', 'fleet_manager', 'billing',
                                'authorized_agent', 'adjuster')),
    CONSTRAINT customer_contact_can_be_reached CHECK (num_nonnulls(mobile_phone, email) >= 1),
    CONSTRAINT customer_contact_limit_only_who_authorizes
        CHECK (authorization_limit IS NULL OR can_authorize AND authorization_limit >= 0),
    CONSTRAINT customer_contact_license_is_four
        CHECK (driver_license_last4 ~ '^[A-Z0-9]{4}$')
);

COMMENT ON TABLE auto.customer_contact IS
    'Person who drops off, authorizes, drives or pays for a customer''s vehicles.';
COMMENT ON COLUMN auto.customer_contact.authorization_limit IS
    'The largest order that this person may approve; NULL with can_authorize: any.';
COMMENT ON COLUMN auto.customer_contact.driver_license_last4 IS
    'Enough to recognize who picks up a vehicle or a loaner.';
COMMENT ON COLUMN auto.customer_contact.unsubscribed_at IS
    'Wants no advertising on any channel; service messages still go by consent.';

-- A customer has one primary contact.
CREATE UNIQUE INDEX customer_contact_primary_idx
    ON auto.customer_contact (business_id, customer_id)
    WHERE is_primary;

-- A text comes in: whose number is it?
CREATE INDEX customer_contact_phone_idx
    ON auto.customer_contact (business_id, mobile_phone)
    WHERE mobile_phone IS NOT NULL;

-- FK: the people of a customer.
CREATE INDEX customer_contact_customer_idx ON auto.customer_contact (business_id, customer_id);

ALTER TABLE auto.customer_contact ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.customer_contact
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.customer_contact TO app_user;
GRANT SELECT ON auto.customer_contact TO app_readonly;

CREATE TRIGGER customer_contact_touch
    BEFORE UPDATE ON auto.customer_contact
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.contact_consent (
    business_id         uuid        NOT NULL,
    contact_consent_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    customer_contact_id uuid        NOT NULL,
    channel             text        NOT NULL,
    purpose             text        NOT NULL,
    decision            text        NOT NULL,
    captured_at         timestamptz NOT NULL DEFAULT now(),
    source              text        NOT NULL,
    ip_address          inet,
    wording_version     text,
    evidence_text       text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, contact_consent_id),
    FOREIGN KEY (business_id, customer_contact_id)
        REFERENCES auto.customer_contact (business_id, customer_contact_id),
    CONSTRAINT contact_consent_channel_known
        CHECK (channel IN ('sms', 'voice', 'email', 'postal')),
    CONSTRAINT contact_consent_purpose_known
        CHECK (purpose IN ('transactional', 'marketing', 'review_request', 'recording')),
    CONSTRAINT contact_consent_decision_known CHECK (decision IN ('granted', 'revoked')),
    CONSTRAINT contact_consent_source_known
        CHECK (source IN ('check_in_tablet', 'web_booking', 'sms_keyword', 'paper', 'phone')),
    CONSTRAINT contact_consent_marketing_has_evidence
        CHECK (decision <> 'granted' OR purpose <> 'marketing'
               OR coalesce(evidence_text, '') ~ '\S'),
    CONSTRAINT contact_consent_keyword_comes_by_text
        CHECK (source <> 'sms_keyword' OR channel = 'sms')
);

COMMENT ON TABLE auto.contact_consent IS
    'Opt-in or opt-out of a contact, channel and purpose (TCPA, CAN-SPAM); the latest is in force;
     append only.';
COMMENT ON COLUMN auto.contact_consent.purpose IS
    'transactional: about the visit; recording: of calls.';
COMMENT ON COLUMN auto.contact_consent.wording_version IS 'Of the text that was agreed to.';
COMMENT ON COLUMN auto.contact_consent.evidence_text IS
    'What proves the opt-in: the words that were shown and what was ticked or sent.';

-- FK, has_consent, v_consent_in_force: the latest decision of a contact, channel and purpose.
CREATE INDEX contact_consent_latest_idx
    ON auto.contact_consent (business_id, customer_contact_id, channel, purpose,
                             captured_at DESC, contact_consent_id DESC);

ALTER TABLE auto.contact_consent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.contact_consent
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON auto.contact_consent TO app_user;
GRANT SELECT ON auto.contact_consent TO app_readonly;

CREATE TRIGGER contact_consent_append_only
    BEFORE UPDATE OR DELETE ON auto.contact_consent
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('auto.contact_consent');

CREATE VIEW auto.v_consent_in_force WITH (security_invoker = true) AS
SELECT DISTINCT ON (c.business_id, c.customer_contact_id, c.channel, c.purpose)
       c.business_id, c.customer_contact_id, c.channel, c.purpose, c.decision, c.captured_at,
       c.source, c.contact_consent_id
FROM auto.contact_consent AS c
ORDER BY c.business_id, c.customer_contact_id, c.channel, c.purpose, c.captured_at DESC,
         c.contact_consent_id DESC;
COMMENT ON VIEW auto.v_consent_in_force IS
    'The latest decision per contact, channel and purpose; no row is no consent.';
GRANT SELECT ON auto.v_consent_in_force TO app_user, app_readonly;

CREATE FUNCTION auto.has_consent(
    of_contact uuid, by_channel text, for_purpose text, moment timestamptz DEFAULT now()
) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN coalesce((
        SELECT c.decision = 'granted'
        FROM auto.contact_consent AS c
        WHERE c.business_id = tenant_mgmt.current_business_id()
          AND c.customer_contact_id = of_contact
          AND c.channel = by_channel
          AND c.purpose = for_purpose
          AND c.captured_at <= moment
        ORDER BY c.captured_at DESC, c.contact_consent_id DESC
        LIMIT 1), false);
COMMENT ON FUNCTION auto.has_consent(uuid, text, text, timestamptz) IS
    'Whether a contact of the calling tenant agreed, as of a moment: the latest decision counts,
     and silence is none.';


CREATE TABLE auto.fleet_account (
    business_id           uuid              NOT NULL,
    fleet_account_id      uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    home_shop_id          uuid,
    approver_contact_id   uuid,
    customer_id           uuid              NOT NULL,
    account_number        text              NOT NULL,
    fleet_name            text              NOT NULL,
    managed_by            text              NOT NULL DEFAULT 'self',
    billing_mode          text              NOT NULL DEFAULT 'per_order',
    requires_po_number    boolean           NOT NULL DEFAULT false,
    pre_authorized_limit  system_core.money,
    usdot_number          text,
    unit_count            integer           NOT NULL DEFAULT 0,
    downtime_target_hours numeric(10, 2),
    credit_limit          system_core.money,
    contract_starts_on    date,
    contract_ends_on      date,
    status                text              NOT NULL DEFAULT 'prospect',
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, fleet_account_id),
    UNIQUE (business_id, account_number),
    FOREIGN KEY (business_id, home_shop_id) REFERENCES auto.shop (business_id, shop_id),
    FOREIGN KEY (business_id, approver_contact_id)
        REFERENCES auto.customer_contact (business_id, customer_contact_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES auto.customer (business_id, customer_id),
    CONSTRAINT fleet_account_managed_by_known
        CHECK (managed_by IN ('self', 'element', 'holman', 'wheels', 'enterprise_fleet', 'other')),
    CONSTRAINT fleet_account_billing_mode_known
        CHECK (billing_mode IN ('per_order', 'weekly', 'monthly')),
    CONSTRAINT fleet_account_status_known
        CHECK (status IN ('prospect', 'active', 'suspended', 'ended')),
    CONSTRAINT fleet_account_contract_ends_after_start
        CHECK (contract_ends_on > contract_starts_on),
    CONSTRAINT fleet_account_limits_not_negative
        CHECK (pre_authorized_limit >= 0 AND credit_limit >= 0 AND unit_count >= 0),
    CONSTRAINT fleet_account_downtime_positive CHECK (downtime_target_hours > 0),
    CONSTRAINT fleet_account_usdot_shape CHECK (usdot_number ~ '^[0-9]{5,8}$')
);

COMMENT ON TABLE auto.fleet_account IS
    'Commercial fleet with billing, approval and reporting rules; may be run by a fleet-
     management company.';
COMMENT ON COLUMN auto.fleet_account.managed_by IS
    'The fleet-management company that approves and is billed; self: the fleet itself.';
COMMENT ON COLUMN auto.fleet_account.pre_authorized_limit IS
    'Up to it, work on a unit needs no call; NULL: everything is asked for.';
COMMENT ON COLUMN auto.fleet_account.unit_count IS 'Vehicles under contract, as the fleet says.';
COMMENT ON COLUMN auto.fleet_account.downtime_target_hours IS
    'From check-in until a unit is to be back on the road.';
COMMENT ON COLUMN auto.fleet_account.credit_limit IS
    'What the fleet may owe; NULL: the customer''s limit holds.';

-- FK: the fleets that a shop looks after.
CREATE INDEX fleet_account_home_shop_idx
    ON auto.fleet_account (business_id, home_shop_id)
    WHERE home_shop_id IS NOT NULL;

-- FK: the fleets that a contact approves for.
CREATE INDEX fleet_account_approver_contact_idx
    ON auto.fleet_account (business_id, approver_contact_id)
    WHERE approver_contact_id IS NOT NULL;

-- FK: the fleets of a customer.
CREATE INDEX fleet_account_customer_idx ON auto.fleet_account (business_id, customer_id);

ALTER TABLE auto.fleet_account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.fleet_account
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.fleet_account TO app_user;
GRANT SELECT ON auto.fleet_account TO app_readonly;

CREATE TRIGGER fleet_account_touch
    BEFORE UPDATE ON auto.fleet_account
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER fleet_account_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.fleet_account
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["prospect", "active"],
        "transitions": {
            "prospect":  ["active", "ended"],
            "active":    ["suspended", "ended"],
            "suspended": ["active", "ended"],
            "ended":     []
        }}');

CREATE TRIGGER fleet_account_numbered
    BEFORE INSERT ON auto.fleet_account
    FOR EACH ROW WHEN (NEW.account_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'account_number', 'fleet_account', 'FL-', 'fleet_account_id');

CREATE FUNCTION auto.require_charging_fleet() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    fleet record;
BEGIN
    SELECT f.account_number, f.status INTO fleet
    FROM auto.fleet_account AS f
    WHERE f.business_id = NEW.business_id AND f.fleet_account_id = NEW.fleet_account_id
    FOR SHARE;
    IF fleet.status IN ('suspended', 'ended') AND row_security_active('auto.fleet_account') THEN
        RAISE EXCEPTION 'fleet % is % and opens no charge order',
            fleet.account_number, fleet.status
            USING ERRCODE = 'check_violation',
                  HINT = 'Settle what it owes and activate it, or let the customer pay for itself.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.require_charging_fleet() IS
    'A fleet that is suspended or ended opens no order on its account; the fleet is share-locked, so
     that it is not suspended meanwhile. Fires on repair_order, see 63_reminders.sql.';

ALTER TABLE auto.labor_rate ADD FOREIGN KEY (business_id, fleet_account_id)
    REFERENCES auto.fleet_account (business_id, fleet_account_id);
