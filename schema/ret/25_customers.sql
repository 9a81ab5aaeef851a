/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE ret.customer_group (
    business_id           uuid                   NOT NULL,
    customer_group_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    group_code            system_core.code       NOT NULL,
    display_name          text                   NOT NULL,
    group_kind            text                   NOT NULL,
    default_discount_pct  system_core.percentage,
    payment_terms_days    integer,
    is_tax_exempt_default boolean                NOT NULL DEFAULT false,
    requires_approval     boolean                NOT NULL DEFAULT false,
    sort_order            integer                NOT NULL,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, customer_group_id),
    UNIQUE (business_id, group_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT customer_group_kind_known
        CHECK (group_kind IN ('retail', 'wholesale', 'staff', 'vip', 'trade')),
    CONSTRAINT customer_group_default_discount_pct_bounded
        CHECK (default_discount_pct BETWEEN 0 AND 60)
);

COMMENT ON TABLE ret.customer_group IS
    'Trade, staff, wholesale or VIP group that drives prices and tax.';

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
    customer_kind           text                   NOT NULL,
    display_name            text                   NOT NULL,
    email                   system_core.email,
    phone                   system_core.phone,
    birth_date              date,
    preferred_language      text,
    acquisition_channel     text                   NOT NULL,
    first_order_at          timestamptz,
    last_order_at           timestamptz,
    order_count             integer                NOT NULL DEFAULT 0,
    lifetime_value          system_core.money,
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
        CHECK (acquisition_channel IN ('store', 'web', 'app', 'marketplace', 'referral', 'import')),
    CONSTRAINT customer_status_known CHECK (status IN ('active', 'blocked', 'merged', 'erased'))
);

COMMENT ON TABLE ret.customer IS 'A shopper or account known across stores and channels.';
-- RULE erased keeps no contact data

-- One row a email.
CREATE UNIQUE INDEX customer_email_idx
    ON ret.customer (business_id, email)
    WHERE email IS NOT NULL AND status = 'active' AND NOT is_guest;

-- FK: the customers by their home location.
CREATE INDEX customer_home_location_idx
    ON ret.customer (business_id, home_location_id)
    WHERE home_location_id IS NOT NULL;

-- FK: the customers by their merged into customer.
CREATE INDEX customer_merged_into_customer_idx
    ON ret.customer (business_id, merged_into_customer_id)
    WHERE merged_into_customer_id IS NOT NULL;

-- FK: the customers of a customer group.
CREATE INDEX customer_customer_group_idx
    ON ret.customer (business_id, customer_group_id)
    WHERE customer_group_id IS NOT NULL;

-- FK: the customers of a user account.
CREATE INDEX customer_user_account_idx
    ON ret.customer (business_id, user_account_id)
    WHERE user_account_id IS NOT NULL;

ALTER TABLE ret.customer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.customer
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.customer TO app_user;
GRANT SELECT ON ret.customer TO app_readonly;

CREATE TRIGGER customer_touch
    BEFORE UPDATE ON ret.customer
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.customer_address (
    business_id         uuid                    NOT NULL,
    customer_address_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id         uuid                    NOT NULL,
    address_label       text                    NOT NULL,
    recipient_name      text,
    company_name        text,
    line_1              text,
    line_2              text,
    city                text,
    region_code         system_core.region,
    postal_code         system_core.postal_code,
    country_code        system_core.country,
    phone               system_core.phone,
    is_default_shipping boolean                 NOT NULL DEFAULT false,
    is_default_billing  boolean                 NOT NULL DEFAULT false,
    validation_state    text                    NOT NULL DEFAULT 'unchecked',
    is_residential      boolean                 NOT NULL DEFAULT false,
    created_at          timestamptz             NOT NULL DEFAULT now(),
    updated_at          timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, customer_address_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    CONSTRAINT customer_address_validation_state_known
        CHECK (validation_state IN ('unchecked', 'valid', 'corrected', 'undeliverable'))
);

COMMENT ON TABLE ret.customer_address IS 'Shipping or billing address with validation result.';
-- RULE one default shipping and one default billing address per customer_id (partial unique)
-- RULE postal_code matches the pattern of country_code

-- FK: the customer addresses of a customer.
CREATE INDEX customer_address_customer_idx ON ret.customer_address (business_id, customer_id);

ALTER TABLE ret.customer_address ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.customer_address
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.customer_address TO app_user;
GRANT SELECT ON ret.customer_address TO app_readonly;

CREATE TRIGGER customer_address_touch
    BEFORE UPDATE ON ret.customer_address
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.customer_consent (
    business_id         uuid        NOT NULL,
    customer_consent_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id         uuid        NOT NULL,
    purpose             text        NOT NULL,
    contact_channel     text        NOT NULL,
    decision            text        NOT NULL,
    decided_at          timestamptz,
    source              text        NOT NULL,
    wording_version     text,
    ip_address          inet,
    expires_on          date,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, customer_consent_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    CONSTRAINT customer_consent_purpose_known
        CHECK (purpose IN ('marketing', 'profiling', 'loyalty', 'terms', 'data_sharing')),
    CONSTRAINT customer_consent_contact_channel_known
        CHECK (contact_channel IN ('email', 'sms', 'push', 'post', 'phone', 'none')),
    CONSTRAINT customer_consent_decision_known CHECK (decision IN ('granted', 'withdrawn')),
    CONSTRAINT customer_consent_source_known
        CHECK (source IN ('pos', 'web', 'app', 'call', 'import'))
);

COMMENT ON TABLE ret.customer_consent IS
    'Consent given or withdrawn per purpose and channel, with proof.';
-- RULE the latest decision per customer_id, purpose and contact_channel applies
-- RULE rows are never changed

-- FK: the customer consents of a customer.
CREATE INDEX customer_consent_customer_idx ON ret.customer_consent (business_id, customer_id);

ALTER TABLE ret.customer_consent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.customer_consent
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.customer_consent TO app_user;
GRANT SELECT ON ret.customer_consent TO app_readonly;

CREATE TRIGGER customer_consent_touch
    BEFORE UPDATE ON ret.customer_consent
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.tax_exemption (
    business_id         uuid        NOT NULL,
    tax_exemption_id    uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    certificate_file_id uuid,
    customer_id         uuid        NOT NULL,
    tax_jurisdiction_id uuid        NOT NULL,
    certificate_number  text        NOT NULL,
    exemption_kind      text        NOT NULL,
    issued_on           date,
    expires_on          date,
    verified_at         timestamptz,
    is_blanket          boolean     NOT NULL DEFAULT false,
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
    CONSTRAINT tax_exemption_expires_on_follows_issued_on CHECK (expires_on > issued_on)
);

COMMENT ON TABLE ret.tax_exemption IS 'Exemption certificate of a customer in a jurisdiction.';

-- FK: the tax exemptions by their certificate file.
CREATE INDEX tax_exemption_certificate_file_idx
    ON ret.tax_exemption (business_id, certificate_file_id)
    WHERE certificate_file_id IS NOT NULL;

-- FK: the tax exemptions of a tax jurisdiction.
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


CREATE TABLE ret.wish_list (
    business_id          uuid        NOT NULL,
    wish_list_id         uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id          uuid        NOT NULL,
    list_name            text        NOT NULL,
    list_kind            text        NOT NULL,
    share_token          text        NOT NULL,
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
    CONSTRAINT wish_list_event_on_given
        CHECK (NOT (list_kind = 'registry') OR event_on IS NOT NULL)
);

COMMENT ON TABLE ret.wish_list IS 'Saved list or gift registry of a customer.';

-- FK: the wish lists of a customer.
CREATE INDEX wish_list_customer_idx ON ret.wish_list (business_id, customer_id);

ALTER TABLE ret.wish_list ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.wish_list
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.wish_list TO app_user;
GRANT SELECT ON ret.wish_list TO app_readonly;

CREATE TRIGGER wish_list_touch
    BEFORE UPDATE ON ret.wish_list
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.wish_list_item (
    business_id        uuid                 NOT NULL,
    wish_list_item_id  uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    wish_list_id       uuid                 NOT NULL,
    product_variant_id uuid                 NOT NULL,
    desired_qty        system_core.quantity NOT NULL,
    purchased_qty      system_core.quantity,
    price_when_added   system_core.money,
    priority           text                 NOT NULL,
    added_at           timestamptz,
    last_notified_at   timestamptz,
    note               text,
    created_at         timestamptz          NOT NULL DEFAULT now(),
    updated_at         timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, wish_list_item_id),
    UNIQUE (business_id, wish_list_id, product_variant_id),
    FOREIGN KEY (business_id, wish_list_id) REFERENCES ret.wish_list (business_id, wish_list_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT wish_list_item_priority_known CHECK (priority IN ('low', 'normal', 'high')),
    CONSTRAINT wish_list_item_purchased_qty_in_order CHECK (0 <= purchased_qty),
    CONSTRAINT wish_list_item_purchased_qty_in_order_2 CHECK (purchased_qty <= desired_qty)
);

COMMENT ON TABLE ret.wish_list_item IS
    'Wanted variant with the price seen and what was bought from the list.';

-- FK: the wish list items of a product variant.
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
