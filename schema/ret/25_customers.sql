/*
 * Customers: who buys, where they live, and what they allow.
 *
 * A customer is one person or company across stores and channels; a guest checkout makes one too,
 * which a later account may take over (merged_into_customer_id). The customer_group decides prices
 * and terms. customer_address holds where goods and invoices go; customer_consent is proof of
 * every yes and no, append only, of which the latest per purpose and channel counts; a
 * tax_exemption is a certificate in a jurisdiction. A wish_list with its items says what somebody
 * wants, or, as a registry, what others may give. Orders write the figures of a customer.
 */

CREATE TABLE ret.customer_group (
    business_id           uuid                   NOT NULL,
    customer_group_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    group_code            system_core.code       NOT NULL,
    display_name          text                   NOT NULL,
    group_kind            text                   NOT NULL,
    default_discount_pct  system_core.percentage NOT NULL DEFAULT 0,
    payment_terms_days    integer                NOT NULL DEFAULT 0,
    is_tax_exempt_default boolean                NOT NULL DEFAULT false,
    requires_approval     boolean                NOT NULL DEFAULT false,
    sort_order            integer                NOT NULL DEFAULT 0,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, customer_group_id),
    UNIQUE (business_id, group_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT customer_group_kind_known
        CHECK (group_kind IN ('retail', 'wholesale', 'staff', 'vip', 'trade')),
    CONSTRAINT customer_group_default_discount_pct_bounded
        CHECK (default_discount_pct BETWEEN 0 AND 60),
    CONSTRAINT customer_group_payment_terms_not_negative CHECK (payment_terms_days >= 0)
);

COMMENT ON TABLE ret.customer_group IS
    'Trade, staff, wholesale or VIP group that drives the prices and the tax of its members.';
COMMENT ON COLUMN ret.customer_group.default_discount_pct IS
    'Off the price where no price book is assigned to the group itself; see ret.resolve_price().';
COMMENT ON COLUMN ret.customer_group.payment_terms_days IS '0: paid at once.';
COMMENT ON COLUMN ret.customer_group.is_tax_exempt_default IS
    'Members are asked for a certificate when they join; only ret.tax_exemption frees from tax.';
COMMENT ON COLUMN ret.customer_group.requires_approval IS
    'Somebody checks the trade license or badge before a customer joins.';

ALTER TABLE ret.customer_group ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.customer_group
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.customer_group TO app_user;
GRANT SELECT ON ret.customer_group TO app_readonly;

CREATE TRIGGER customer_group_touch
    BEFORE UPDATE ON ret.customer_group
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.customer (
    business_id             uuid                   NOT NULL,
    customer_id             uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    home_location_id        uuid,
    merged_into_customer_id uuid,
    customer_group_id       uuid,
    user_account_id         uuid,
    customer_number         text                   NOT NULL,
    customer_kind           text                   NOT NULL DEFAULT 'person',
    display_name            text                   NOT NULL,
    email                   system_core.email,
    phone                   system_core.phone,
    birth_date              date,
    preferred_language      system_core.locale,
    acquisition_channel     text                   NOT NULL,
    first_order_at          timestamptz,
    last_order_at           timestamptz,
    order_count             integer                NOT NULL DEFAULT 0,
    lifetime_value          system_core.money      NOT NULL DEFAULT 0,
    return_rate_pct         system_core.percentage,
    credit_limit            system_core.money,
    is_guest                boolean                NOT NULL DEFAULT false,
    status                  text                   NOT NULL DEFAULT 'active',
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, customer_id),
    UNIQUE (business_id, customer_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, home_location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, merged_into_customer_id)
        REFERENCES ret.customer (business_id, customer_id),
    FOREIGN KEY (business_id, customer_group_id)
        REFERENCES ret.customer_group (business_id, customer_group_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT customer_kind_known CHECK (customer_kind IN ('person', 'company')),
    CONSTRAINT customer_acquisition_channel_known
        CHECK (acquisition_channel IN ('store', 'web', 'app', 'marketplace', 'referral',
                                       'import')),
    CONSTRAINT customer_status_known CHECK (status IN ('active', 'blocked', 'merged', 'erased')),
    CONSTRAINT customer_figures_not_negative CHECK (order_count >= 0 AND credit_limit >= 0),
    CONSTRAINT customer_return_rate_bounded CHECK (return_rate_pct BETWEEN 0 AND 100),
    CONSTRAINT customer_orders_have_times
        CHECK ((order_count > 0) = (first_order_at IS NOT NULL)
               AND (order_count > 0) = (last_order_at IS NOT NULL)),
    CONSTRAINT customer_last_order_after_first CHECK (last_order_at >= first_order_at),
    CONSTRAINT customer_company_has_no_birthday
        CHECK (customer_kind = 'person' OR birth_date IS NULL),
    CONSTRAINT customer_merged_into_somebody
        CHECK (status = 'erased' OR (status = 'merged') = (merged_into_customer_id IS NOT NULL)),
    CONSTRAINT customer_not_merged_into_itself CHECK (merged_into_customer_id <> customer_id),
    CONSTRAINT customer_guest_has_no_account CHECK (NOT is_guest OR user_account_id IS NULL),
    CONSTRAINT customer_erased_keeps_no_contact
        CHECK (status <> 'erased'
               OR (num_nonnulls(email, phone, birth_date, user_account_id) = 0
                   AND display_name = 'Erased customer'))
);

COMMENT ON TABLE ret.customer IS
    'A shopper or account, known across stores and channels by one number.';
COMMENT ON COLUMN ret.customer.lifetime_value IS
    'What was bought less what came back; orders and returns write it. Below zero where more came
     back than the kept orders show.';
COMMENT ON COLUMN ret.customer.return_rate_pct IS
    'Of the units bought in the last year; NULL before the first order.';
COMMENT ON COLUMN ret.customer.credit_limit IS
    'How much may be owed on account; NULL where nothing is sold on account.';
COMMENT ON COLUMN ret.customer.is_guest IS
    'Checked out without an account; the same address may be a guest any number of times.';

-- An address means one account, however it is spelled; also finds the account by it.
CREATE UNIQUE INDEX customer_email_idx
    ON ret.customer (business_id, lower(email))
    WHERE email IS NOT NULL AND status = 'active' AND NOT is_guest;

-- The till finds a customer by the number that is typed in.
CREATE INDEX customer_phone_idx
    ON ret.customer (business_id, phone)
    WHERE phone IS NOT NULL;

-- FK: the customers of a store.
CREATE INDEX customer_home_location_idx
    ON ret.customer (business_id, home_location_id)
    WHERE home_location_id IS NOT NULL;

-- FK: what was merged into a customer.
CREATE INDEX customer_merged_into_customer_idx
    ON ret.customer (business_id, merged_into_customer_id)
    WHERE merged_into_customer_id IS NOT NULL;

-- FK: the members of a group.
CREATE INDEX customer_customer_group_idx
    ON ret.customer (business_id, customer_group_id)
    WHERE customer_group_id IS NOT NULL;

-- FK, and one customer per account: who is signed in.
CREATE UNIQUE INDEX customer_user_account_idx
    ON ret.customer (business_id, user_account_id)
    WHERE user_account_id IS NOT NULL AND status IN ('active', 'blocked');

ALTER TABLE ret.customer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.customer
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.customer TO app_user;
GRANT SELECT ON ret.customer TO app_readonly;

CREATE TRIGGER customer_touch
    BEFORE UPDATE ON ret.customer
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER customer_words
    AFTER INSERT OR UPDATE OF display_name OR DELETE ON ret.customer
    FOR EACH ROW EXECUTE FUNCTION system_core.keep_search_words(
        'ret.customer', 'customer_id', 'display_name');

CREATE TRIGGER customer_number
    BEFORE INSERT ON ret.customer
    FOR EACH ROW WHEN (NEW.customer_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'customer_number', 'ret.customer', 'C-', 'customer_id');

CREATE TRIGGER customer_state_machine
    BEFORE INSERT OR UPDATE OF status ON ret.customer
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["active"],
        "transitions": {
            "active":  ["blocked", "merged", "erased"],
            "blocked": ["active", "merged", "erased"],
            "merged":  ["erased"],
            "erased":  []
        }}');

CREATE FUNCTION ret.check_merge() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    target text;
BEGIN
    SELECT c.status INTO target
    FROM ret.customer AS c
    WHERE c.business_id = NEW.business_id AND c.customer_id = NEW.merged_into_customer_id
    FOR NO KEY UPDATE;
    IF target IN ('merged', 'erased') THEN
        RAISE EXCEPTION 'customer % cannot be merged into one that is %', NEW.customer_number,
                        target
            USING ERRCODE = 'check_violation', HINT = 'Merge into the customer that is left.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_merge() IS
    'A customer is merged into one that is still there: no chains, no circles.';

CREATE TRIGGER customer_merge
    BEFORE UPDATE OF merged_into_customer_id ON ret.customer
    FOR EACH ROW
    WHEN (NEW.merged_into_customer_id IS NOT NULL
          AND NEW.merged_into_customer_id IS DISTINCT FROM OLD.merged_into_customer_id)
    EXECUTE FUNCTION ret.check_merge();

CREATE FUNCTION ret.forget_customer() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.display_name := 'Erased customer';
    NEW.email := NULL;
    NEW.phone := NULL;
    NEW.birth_date := NULL;
    NEW.user_account_id := NULL;
    NEW.preferred_language := NULL;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.forget_customer() IS
    'Erasing takes away what says who the customer was; number and figures stay for the books.';

CREATE TRIGGER customer_forget
    BEFORE UPDATE OF status ON ret.customer
    FOR EACH ROW WHEN (NEW.status = 'erased' AND OLD.status <> 'erased')
    EXECUTE FUNCTION ret.forget_customer();


CREATE FUNCTION ret.postal_code_fits(country_code text, postal_code text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN postal_code ~ CASE
        WHEN country_code = 'US' THEN '^[0-9]{5}(-[0-9]{4})?$'
        WHEN country_code = 'CA' THEN '^[A-Z][0-9][A-Z] ?[0-9][A-Z][0-9]$'
        WHEN country_code = 'GB' THEN '^[A-Z]{1,2}[0-9][A-Z0-9]? ?[0-9][A-Z]{2}$'
        WHEN country_code IN ('DE', 'ES', 'FI', 'FR', 'IT', 'MX') THEN '^[0-9]{5}$'
        WHEN country_code IN ('AT', 'AU', 'BE', 'CH', 'DK', 'NO', 'NZ') THEN '^[0-9]{4}$'
        WHEN country_code = 'NL' THEN '^[0-9]{4} ?[A-Z]{2}$'
        WHEN country_code = 'SE' THEN '^[0-9]{3} ?[0-9]{2}$'
        WHEN country_code = 'PL' THEN '^[0-9]{2}-[0-9]{3}$'
        WHEN country_code = 'JP' THEN '^[0-9]{3}-?[0-9]{4}$'
        WHEN country_code = 'BR' THEN '^[0-9]{5}-?[0-9]{3}$'
        WHEN country_code = 'IN' THEN '^[1-9][0-9]{5}$'
        ELSE '.' END;
COMMENT ON FUNCTION ret.postal_code_fits(text, text) IS
    'Whether a postal code has the form of its country; of one that is not listed, any has.';

CREATE TABLE ret.customer_address (
    business_id         uuid                    NOT NULL,
    customer_address_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id         uuid                    NOT NULL,
    address_label       text                    NOT NULL DEFAULT 'Home',
    recipient_name      text                    NOT NULL,
    company_name        text,
    line_1              text                    NOT NULL,
    line_2              text,
    city                text                    NOT NULL,
    region_code         system_core.region,
    postal_code         system_core.postal_code,
    country_code        system_core.country     NOT NULL,
    phone               system_core.phone,
    is_default_shipping boolean                 NOT NULL DEFAULT false,
    is_default_billing  boolean                 NOT NULL DEFAULT false,
    validation_state    text                    NOT NULL DEFAULT 'unchecked',
    is_residential      boolean                 NOT NULL DEFAULT true,
    created_at          timestamptz             NOT NULL DEFAULT now(),
    updated_at          timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, customer_address_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    CONSTRAINT customer_address_validation_state_known
        CHECK (validation_state IN ('unchecked', 'valid', 'corrected', 'undeliverable')),
    CONSTRAINT customer_address_postal_code_of_country
        CHECK (ret.postal_code_fits(country_code, postal_code)),
    CONSTRAINT customer_address_ships_where_it_arrives
        CHECK (NOT is_default_shipping OR validation_state <> 'undeliverable')
);

COMMENT ON TABLE ret.customer_address IS
    'Where goods or invoices go, and whether the carrier''s directory knows the address.';
COMMENT ON COLUMN ret.customer_address.validation_state IS
    'corrected: the directory knew it by another spelling, which is what is kept.';
COMMENT ON COLUMN ret.customer_address.is_residential IS
    'Carriers charge more for homes and deliver later in the day.';

-- FK: the addresses of a customer.
CREATE INDEX customer_address_customer_idx ON ret.customer_address (business_id, customer_id);

-- One default shipping address per customer.
CREATE UNIQUE INDEX customer_address_default_shipping_idx
    ON ret.customer_address (business_id, customer_id)
    WHERE is_default_shipping;

-- One default billing address per customer.
CREATE UNIQUE INDEX customer_address_default_billing_idx
    ON ret.customer_address (business_id, customer_id)
    WHERE is_default_billing;

ALTER TABLE ret.customer_address ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.customer_address
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.customer_address TO app_user;
GRANT SELECT ON ret.customer_address TO app_readonly;

CREATE TRIGGER customer_address_touch
    BEFORE UPDATE ON ret.customer_address
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.forget_addresses() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM ret.customer_address AS a
    USING changed AS c
    WHERE a.business_id = c.business_id AND a.customer_id = c.customer_id
      AND c.status = 'erased';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.forget_addresses() IS 'Nobody keeps where an erased customer lives.';

CREATE TRIGGER customer_forget_addresses
    AFTER UPDATE ON ret.customer
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.forget_addresses();

CREATE FUNCTION ret.refuse_erased_customer() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    told text;
BEGIN
    -- Waits for an erasure that is under way.
    SELECT c.status INTO told
    FROM ret.customer AS c
    WHERE c.business_id = NEW.business_id AND c.customer_id = NEW.customer_id
    FOR SHARE;
    IF told = 'erased' THEN
        RAISE EXCEPTION 'the customer is erased, nothing about them is kept any more'
            USING ERRCODE = 'check_violation', HINT = 'Make a new customer.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.refuse_erased_customer() IS
    'An erased customer gets no new address, list or consent.';

CREATE TRIGGER customer_address_not_of_erased
    BEFORE INSERT ON ret.customer_address
    FOR EACH ROW WHEN (row_security_active('ret.customer_address'))
    EXECUTE FUNCTION ret.refuse_erased_customer();


CREATE TABLE ret.customer_consent (
    business_id         uuid        NOT NULL,
    customer_consent_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id         uuid        NOT NULL,
    purpose             text        NOT NULL,
    contact_channel     text        NOT NULL,
    decision            text        NOT NULL,
    decided_at          timestamptz NOT NULL DEFAULT now(),
    source              text        NOT NULL,
    wording_version     text,
    ip_address          inet,
    expires_on          date,
    created_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, customer_consent_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    CONSTRAINT customer_consent_purpose_known
        CHECK (purpose IN ('marketing', 'profiling', 'loyalty', 'terms', 'data_sharing')),
    CONSTRAINT customer_consent_contact_channel_known
        CHECK (contact_channel IN ('email', 'sms', 'push', 'post', 'phone', 'none')),
    CONSTRAINT customer_consent_decision_known CHECK (decision IN ('granted', 'withdrawn')),
    CONSTRAINT customer_consent_source_known
        CHECK (source IN ('pos', 'web', 'app', 'call', 'import')),
    CONSTRAINT customer_consent_marketing_names_channel
        CHECK (purpose <> 'marketing' OR contact_channel <> 'none'),
    CONSTRAINT customer_consent_granted_to_a_wording
        CHECK (decision = 'withdrawn' OR coalesce(wording_version, '') ~ '\S'),
    CONSTRAINT customer_consent_only_grants_expire
        CHECK (decision = 'granted' OR expires_on IS NULL),
    CONSTRAINT customer_consent_expires_later
        CHECK (expires_on >= (decided_at AT TIME ZONE 'UTC')::date)
);

COMMENT ON TABLE ret.customer_consent IS
    'Every consent given or withdrawn, per purpose and channel, with its proof; append only.';
COMMENT ON COLUMN ret.customer_consent.contact_channel IS
    'none: the purpose needs no channel, as terms of sale do.';
COMMENT ON COLUMN ret.customer_consent.wording_version IS
    'The text that was agreed to; what was withdrawn needs none.';
COMMENT ON COLUMN ret.customer_consent.expires_on IS 'The last day on which it may be relied on.';

-- FK, and the decision that counts: the latest of a customer per purpose and channel.
CREATE INDEX customer_consent_customer_idx
    ON ret.customer_consent
        (business_id, customer_id, purpose, contact_channel, decided_at DESC,
         customer_consent_id DESC);

ALTER TABLE ret.customer_consent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.customer_consent
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON ret.customer_consent TO app_user;
GRANT SELECT ON ret.customer_consent TO app_readonly;

CREATE TRIGGER customer_consent_append_only
    BEFORE UPDATE OR DELETE ON ret.customer_consent
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.customer_consent');

CREATE TRIGGER customer_consent_not_of_erased
    BEFORE INSERT ON ret.customer_consent
    FOR EACH ROW WHEN (row_security_active('ret.customer_consent'))
    EXECUTE FUNCTION ret.refuse_erased_customer();


CREATE TABLE ret.tax_exemption (
    business_id         uuid        NOT NULL,
    tax_exemption_id    uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    certificate_file_id uuid,
    customer_id         uuid        NOT NULL,
    tax_jurisdiction_id uuid        NOT NULL,
    certificate_number  text        NOT NULL,
    exemption_kind      text        NOT NULL,
    issued_on           date        NOT NULL,
    expires_on          date,
    verified_at         timestamptz,
    is_blanket          boolean     NOT NULL DEFAULT true,
    status              text        NOT NULL DEFAULT 'pending',
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_exemption_id),
    UNIQUE (business_id, customer_id, tax_jurisdiction_id, certificate_number),
    FOREIGN KEY (business_id, certificate_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    FOREIGN KEY (business_id, tax_jurisdiction_id)
        REFERENCES ret.tax_jurisdiction (business_id, tax_jurisdiction_id),
    CONSTRAINT tax_exemption_kind_known
        CHECK (exemption_kind IN ('resale', 'government', 'non_profit', 'diplomatic',
                                  'agriculture')),
    CONSTRAINT tax_exemption_status_known
        CHECK (status IN ('pending', 'valid', 'expired', 'rejected')),
    CONSTRAINT tax_exemption_expires_after_issue CHECK (expires_on > issued_on),
    CONSTRAINT tax_exemption_valid_is_verified
        CHECK (status NOT IN ('valid', 'expired') OR verified_at IS NOT NULL)
);

COMMENT ON TABLE ret.tax_exemption IS
    'A certificate that frees a customer from the tax of a jurisdiction and of those within it.';
COMMENT ON COLUMN ret.tax_exemption.expires_on IS
    'The last day that it holds; NULL where the jurisdiction sets none.';
COMMENT ON COLUMN ret.tax_exemption.is_blanket IS
    'Covers everything the customer buys; otherwise the single purchase it was handed in for.';

-- FK: what a scanned certificate is for.
CREATE INDEX tax_exemption_certificate_file_idx
    ON ret.tax_exemption (business_id, certificate_file_id)
    WHERE certificate_file_id IS NOT NULL;

-- FK: who is exempt in a jurisdiction.
CREATE INDEX tax_exemption_tax_jurisdiction_idx
    ON ret.tax_exemption (business_id, tax_jurisdiction_id);

ALTER TABLE ret.tax_exemption ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.tax_exemption
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.tax_exemption TO app_user;
GRANT SELECT ON ret.tax_exemption TO app_readonly;

CREATE TRIGGER tax_exemption_touch
    BEFORE UPDATE ON ret.tax_exemption
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER tax_exemption_state_machine
    BEFORE INSERT OR UPDATE OF status ON ret.tax_exemption
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending", "valid"],
        "transitions": {
            "pending":  ["valid", "rejected"],
            "valid":    ["expired", "rejected"],
            "expired":  [],
            "rejected": ["pending"]
        }}');


CREATE TABLE ret.wish_list (
    business_id          uuid        NOT NULL,
    wish_list_id         uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id          uuid        NOT NULL,
    list_name            text        NOT NULL,
    list_kind            text        NOT NULL,
    share_token          text        NOT NULL DEFAULT
                                         replace(gen_random_uuid()::text, '-', ''),
    event_on             date,
    is_public            boolean     NOT NULL DEFAULT false,
    item_count           integer     NOT NULL DEFAULT 0,
    notify_on_price_drop boolean     NOT NULL DEFAULT false,
    notify_on_restock    boolean     NOT NULL DEFAULT false,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, wish_list_id),
    UNIQUE (business_id, share_token),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    CONSTRAINT wish_list_kind_known
        CHECK (list_kind IN ('wish_list', 'registry', 'save_for_later')),
    CONSTRAINT wish_list_registry_has_event
        CHECK (list_kind <> 'registry' OR event_on IS NOT NULL),
    CONSTRAINT wish_list_saved_is_private
        CHECK (list_kind <> 'save_for_later' OR NOT is_public),
    CONSTRAINT wish_list_token_not_guessable CHECK (length(share_token) >= 16),
    CONSTRAINT wish_list_item_count_not_negative CHECK (item_count >= 0)
);

COMMENT ON TABLE ret.wish_list IS
    'What a customer saves for later, wants, or, as a registry, has others give.';
COMMENT ON COLUMN ret.wish_list.share_token IS
    'Whoever has the link may see the list, so it cannot be guessed.';
COMMENT ON COLUMN ret.wish_list.event_on IS 'The wedding or birthday of a registry.';
COMMENT ON COLUMN ret.wish_list.is_public IS 'Found by the customer''s name, without the link.';

-- FK: the lists of a customer.
CREATE INDEX wish_list_customer_idx ON ret.wish_list (business_id, customer_id);

ALTER TABLE ret.wish_list ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.wish_list
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.wish_list TO app_user;
GRANT SELECT ON ret.wish_list TO app_readonly;

CREATE TRIGGER wish_list_touch
    BEFORE UPDATE ON ret.wish_list
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER wish_list_not_of_erased
    BEFORE INSERT ON ret.wish_list
    FOR EACH ROW WHEN (row_security_active('ret.wish_list'))
    EXECUTE FUNCTION ret.refuse_erased_customer();


CREATE TABLE ret.wish_list_item (
    business_id        uuid                 NOT NULL,
    wish_list_item_id  uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    wish_list_id       uuid                 NOT NULL,
    product_variant_id uuid                 NOT NULL,
    desired_qty        system_core.quantity NOT NULL DEFAULT 1,
    purchased_qty      system_core.quantity NOT NULL DEFAULT 0,
    price_when_added   system_core.money,
    priority           text                 NOT NULL DEFAULT 'normal',
    added_at           timestamptz          NOT NULL DEFAULT now(),
    last_notified_at   timestamptz,
    note               text,
    created_at         timestamptz          NOT NULL DEFAULT now(),
    updated_at         timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, wish_list_item_id),
    UNIQUE (business_id, wish_list_id, product_variant_id),
    FOREIGN KEY (business_id, wish_list_id) REFERENCES ret.wish_list (business_id, wish_list_id)
        ON DELETE CASCADE,
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT wish_list_item_priority_known CHECK (priority IN ('low', 'normal', 'high')),
    CONSTRAINT wish_list_item_wants_something CHECK (desired_qty > 0),
    CONSTRAINT wish_list_item_bought_at_most_wanted
        CHECK (purchased_qty BETWEEN 0 AND desired_qty),
    CONSTRAINT wish_list_item_price_not_negative CHECK (price_when_added >= 0),
    CONSTRAINT wish_list_item_notified_after_adding CHECK (last_notified_at >= added_at)
);

COMMENT ON TABLE ret.wish_list_item IS
    'A variant that is wanted, with the price seen then and what was bought from the list.';
COMMENT ON COLUMN ret.wish_list_item.price_when_added IS
    'A price drop is told to the customer against this.';

-- FK: who waits for a variant, for price drops and restocks.
CREATE INDEX wish_list_item_product_variant_idx
    ON ret.wish_list_item (business_id, product_variant_id);

ALTER TABLE ret.wish_list_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.wish_list_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.wish_list_item TO app_user;
GRANT SELECT ON ret.wish_list_item TO app_readonly;

CREATE TRIGGER wish_list_item_touch
    BEFORE UPDATE ON ret.wish_list_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.count_wish_list_items() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ret.wish_list AS l
    SET item_count = n.items
    FROM (
        SELECT c.business_id, c.wish_list_id, count(i.wish_list_id)::integer AS items
        FROM (SELECT DISTINCT x.business_id, x.wish_list_id FROM changed AS x) AS c
        LEFT JOIN ret.wish_list_item AS i
            ON i.business_id = c.business_id AND i.wish_list_id = c.wish_list_id
        GROUP BY c.business_id, c.wish_list_id
    ) AS n
    WHERE l.business_id = n.business_id AND l.wish_list_id = n.wish_list_id
      AND l.item_count <> n.items;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.count_wish_list_items() IS 'Keeps item_count of a list in step.';

CREATE TRIGGER wish_list_item_counts_on_insert
    AFTER INSERT ON ret.wish_list_item
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.count_wish_list_items();

CREATE TRIGGER wish_list_item_counts_on_delete
    AFTER DELETE ON ret.wish_list_item
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.count_wish_list_items();


CREATE VIEW ret.v_consent_now WITH (security_invoker = true) AS
SELECT DISTINCT ON (c.business_id, c.customer_id, c.purpose, c.contact_channel)
       c.business_id, c.customer_id, c.purpose, c.contact_channel, c.decision, c.decided_at,
       c.expires_on, c.customer_consent_id, c.source, c.wording_version
FROM ret.customer_consent AS c
ORDER BY c.business_id, c.customer_id, c.purpose, c.contact_channel, c.decided_at DESC,
         c.customer_consent_id DESC;
COMMENT ON VIEW ret.v_consent_now IS
    'The decision that counts: the latest of each customer per purpose and channel.';
GRANT SELECT ON ret.v_consent_now TO app_user, app_readonly;


CREATE FUNCTION ret.may_contact(
    customer uuid,
    channel  text,
    purpose  text DEFAULT 'marketing',
    moment   timestamptz DEFAULT now()
) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce((
        SELECT n.decision = 'granted'
               AND (n.expires_on IS NULL
                    OR n.expires_on >= (moment AT TIME ZONE b.time_zone)::date)
        FROM ret.customer AS c
        JOIN tenant_mgmt.business AS b ON b.business_id = c.business_id
        JOIN ret.customer_consent AS n
            ON n.business_id = c.business_id AND n.customer_id = c.customer_id
           AND n.purpose = may_contact.purpose AND n.contact_channel = may_contact.channel
           AND n.decided_at <= moment
        WHERE c.business_id = tenant_mgmt.current_business_id()
          AND c.customer_id = may_contact.customer AND c.status = 'active'
          AND CASE may_contact.channel WHEN 'email' THEN c.email IS NOT NULL
                                       WHEN 'sms' THEN c.phone IS NOT NULL
                                       WHEN 'phone' THEN c.phone IS NOT NULL ELSE true END
        ORDER BY n.decided_at DESC, n.customer_consent_id DESC
        LIMIT 1), false);
END;
COMMENT ON FUNCTION ret.may_contact(uuid, text, text, timestamptz) IS
    'Whether a customer may be reached on a channel for a purpose: the latest decision until then
     grants it, has not lapsed, and there is an address to reach.';


CREATE FUNCTION ret.exemption_in_force(customer uuid, jurisdiction uuid, on_day date)
    RETURNS uuid
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE above AS (
        SELECT j.tax_jurisdiction_id, j.parent_jurisdiction_id, 0 AS distance
        FROM ret.tax_jurisdiction AS j
        WHERE j.business_id = tenant_mgmt.current_business_id()
          AND j.tax_jurisdiction_id = exemption_in_force.jurisdiction
        UNION ALL
        SELECT j.tax_jurisdiction_id, j.parent_jurisdiction_id, a.distance + 1
        FROM above AS a
        JOIN ret.tax_jurisdiction AS j
            ON j.business_id = tenant_mgmt.current_business_id()
           AND j.tax_jurisdiction_id = a.parent_jurisdiction_id
        WHERE a.distance < 10
    )
    SELECT e.tax_exemption_id
    FROM above AS a
    JOIN ret.tax_exemption AS e
        ON e.business_id = tenant_mgmt.current_business_id()
       AND e.customer_id = exemption_in_force.customer
       AND e.tax_jurisdiction_id = a.tax_jurisdiction_id
    WHERE e.status = 'valid' AND e.is_blanket AND e.issued_on <= on_day
      AND (e.expires_on IS NULL OR e.expires_on >= on_day)
    ORDER BY a.distance, e.issued_on DESC, e.tax_exemption_id
    LIMIT 1;
END;
COMMENT ON FUNCTION ret.exemption_in_force(uuid, uuid, date) IS
    'The blanket certificate that frees a customer from the tax of a jurisdiction on a day: its own
     or, failing that, one of a jurisdiction around it; NULL where there is none.';
