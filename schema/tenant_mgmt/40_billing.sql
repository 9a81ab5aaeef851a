/*
 * Billing: what the tenant owes the platform, what it paid, and what happens when it does not.
 *
 * billing_profile says how and as whom the tenant is billed, payment_method what is collected
 * from. invoice has its charges in invoice_line and the tries to collect it in payment_attempt;
 * credit_note corrects a finalized invoice. credit_wallet holds prepaid credits, a ledger of
 * wallet_transaction. dunning_case is the collection of an overdue invoice by steps.
 *
 * Totals, payments and balances are kept by statement triggers, never written by hand.
 */


CREATE TABLE tenant_mgmt.billing_profile (
    business_id            uuid                 NOT NULL,
    billing_profile_id     uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    postal_address_id      uuid,
    billing_contact_id     uuid,
    billing_name           text                 NOT NULL,
    tax_identifier         text,
    tax_identifier_kind    text                 NOT NULL DEFAULT 'none',
    tax_exempt             boolean              NOT NULL DEFAULT false,
    currency_code          system_core.currency NOT NULL,
    net_payment_days       integer              NOT NULL DEFAULT 14,
    invoice_grace_days     integer              NOT NULL DEFAULT 3,
    invoice_locale         system_core.locale   NOT NULL DEFAULT 'en-US',
    delivery_method        text                 NOT NULL DEFAULT 'email',
    consolidates_locations boolean              NOT NULL DEFAULT true,
    auto_collect           boolean              NOT NULL DEFAULT true,
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, billing_profile_id),
    UNIQUE (business_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, postal_address_id)
        REFERENCES system_core.postal_address (business_id, postal_address_id),
    FOREIGN KEY (business_id, billing_contact_id)
        REFERENCES tenant_mgmt.business_contact (business_id, business_contact_id),
    CONSTRAINT billing_profile_tax_identifier_kind_known
        CHECK (tax_identifier_kind IN ('ein', 'vat', 'gst', 'none')),
    CONSTRAINT billing_profile_tax_identifier_has_kind
        CHECK ((tax_identifier IS NULL) = (tax_identifier_kind = 'none')),
    CONSTRAINT billing_profile_ein_shape
        CHECK (tax_identifier_kind <> 'ein' OR tax_identifier ~ '^[0-9]{2}-[0-9]{7}$'),
    CONSTRAINT billing_profile_vat_shape
        CHECK (tax_identifier_kind <> 'vat' OR tax_identifier ~ '^[A-Z]{2}[0-9A-Z]{2,12}$'),
    CONSTRAINT billing_profile_gst_shape
        CHECK (tax_identifier_kind <> 'gst' OR tax_identifier ~ '^[0-9A-Z]{9,15}$'),
    CONSTRAINT billing_profile_net_payment_days_known
        CHECK (net_payment_days IN (0, 7, 14, 15, 30, 45, 60)),
    CONSTRAINT billing_profile_grace_not_negative CHECK (invoice_grace_days >= 0),
    CONSTRAINT billing_profile_delivery_method_known
        CHECK (delivery_method IN ('email', 'portal', 'edi'))
);

COMMENT ON TABLE tenant_mgmt.billing_profile IS
    'How and as whom the tenant is billed; one per business.';
COMMENT ON COLUMN tenant_mgmt.billing_profile.tax_exempt IS
    'Needs a certificate attached to this record (system_core.file_attachment).';

-- FK: the profile at an address.
CREATE INDEX billing_profile_address_idx
    ON tenant_mgmt.billing_profile (business_id, postal_address_id)
    WHERE postal_address_id IS NOT NULL;

-- FK: what a contact is billed for.
CREATE INDEX billing_profile_contact_idx
    ON tenant_mgmt.billing_profile (business_id, billing_contact_id)
    WHERE billing_contact_id IS NOT NULL;

ALTER TABLE tenant_mgmt.billing_profile ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.billing_profile
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.billing_profile TO app_user;
GRANT SELECT ON tenant_mgmt.billing_profile TO app_readonly;

CREATE TRIGGER billing_profile_touch
    BEFORE UPDATE ON tenant_mgmt.billing_profile
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE tenant_mgmt.payment_method (
    business_id        uuid                  NOT NULL,
    payment_method_id  uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    billing_profile_id uuid                  NOT NULL,
    kind               text                  NOT NULL,
    provider           text                  NOT NULL,
    provider_token_ref system_core.vault_ref NOT NULL,
    brand              text,
    last4              text,
    expires_year       integer,
    expires_month      integer,
    is_default         boolean               NOT NULL DEFAULT false,
    status             text                  NOT NULL DEFAULT 'active',
    mandate_reference  text,
    verified_at        timestamptz,
    created_at         timestamptz           NOT NULL DEFAULT now(),
    updated_at         timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_method_id),
    FOREIGN KEY (business_id, billing_profile_id)
        REFERENCES tenant_mgmt.billing_profile (business_id, billing_profile_id),
    CONSTRAINT payment_method_kind_known
        CHECK (kind IN ('card', 'ach_debit', 'sepa_debit', 'wire', 'check')),
    CONSTRAINT payment_method_status_known
        CHECK (status IN ('active', 'expiring', 'expired', 'failed_verification', 'removed')),
    CONSTRAINT payment_method_card_expires
        CHECK (kind <> 'card' OR (expires_month IS NOT NULL AND expires_year IS NOT NULL)),
    CONSTRAINT payment_method_month_of_year CHECK (expires_month BETWEEN 1 AND 12),
    CONSTRAINT payment_method_year_plausible CHECK (expires_year BETWEEN 2000 AND 2100),
    CONSTRAINT payment_method_last4_is_four_digits CHECK (last4 ~ '^[0-9]{4}$')
);

COMMENT ON TABLE tenant_mgmt.payment_method IS
    'A card, direct debit or wire arrangement; a number of a card is stored nowhere.';

-- One default that works; also finds what to collect from.
CREATE UNIQUE INDEX payment_method_default_idx
    ON tenant_mgmt.payment_method (business_id)
    WHERE is_default AND status = 'active';

-- FK: the methods of a profile.
CREATE INDEX payment_method_profile_idx
    ON tenant_mgmt.payment_method (business_id, billing_profile_id);

ALTER TABLE tenant_mgmt.payment_method ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.payment_method
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.payment_method TO app_user;
GRANT SELECT ON tenant_mgmt.payment_method TO app_readonly;

CREATE TRIGGER payment_method_touch
    BEFORE UPDATE ON tenant_mgmt.payment_method
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE tenant_mgmt.invoice (
    business_id        uuid                 NOT NULL,
    invoice_id         uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    subscription_id    uuid,
    billing_profile_id uuid                 NOT NULL,
    invoice_number     text                 NOT NULL,
    invoice_kind       text                 NOT NULL DEFAULT 'subscription',
    status             text                 NOT NULL DEFAULT 'draft',
    currency_code      system_core.currency NOT NULL,
    subtotal_amount    system_core.money    NOT NULL DEFAULT 0,
    discount_amount    system_core.money    NOT NULL DEFAULT 0,
    tax_amount         system_core.money    NOT NULL DEFAULT 0,
    total_amount       system_core.money    NOT NULL GENERATED ALWAYS AS
        (subtotal_amount - discount_amount + tax_amount) STORED,
    paid_amount        system_core.money    NOT NULL DEFAULT 0,
    credited_amount    system_core.money    NOT NULL DEFAULT 0,
    issued_on          date,
    due_on             date,
    period_start       date,
    period_end         date,
    finalized_at       timestamptz,
    created_at         timestamptz          NOT NULL DEFAULT now(),
    updated_at         timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, invoice_id),
    UNIQUE (business_id, invoice_number),
    FOREIGN KEY (business_id, subscription_id)
        REFERENCES tenant_mgmt.subscription (business_id, subscription_id),
    FOREIGN KEY (business_id, billing_profile_id)
        REFERENCES tenant_mgmt.billing_profile (business_id, billing_profile_id),
    CONSTRAINT invoice_kind_known
        CHECK (invoice_kind IN ('subscription', 'usage', 'one_off', 'true_up',
                                'prepaid_credit')),
    CONSTRAINT invoice_status_known
        CHECK (status IN ('draft', 'finalized', 'paid', 'partially_paid', 'uncollectible',
                          'voided')),
    CONSTRAINT invoice_finalized_was_issued
        CHECK (status IN ('draft', 'voided') OR (finalized_at IS NOT NULL
                                             AND issued_on IS NOT NULL)),
    CONSTRAINT invoice_due_after_issue CHECK (due_on >= issued_on),
    CONSTRAINT invoice_period_ends_after_start CHECK (period_end > period_start),
    CONSTRAINT invoice_amounts_not_negative
        CHECK (discount_amount >= 0 AND paid_amount >= 0 AND credited_amount >= 0)
);

COMMENT ON TABLE tenant_mgmt.invoice IS
    'An invoice of the platform to the tenant; its amounts follow from lines and payments.';
COMMENT ON COLUMN tenant_mgmt.invoice.subtotal_amount IS 'Sum of the lines that charge.';
COMMENT ON COLUMN tenant_mgmt.invoice.discount_amount IS 'Sum of the discount lines, positive.';
COMMENT ON COLUMN tenant_mgmt.invoice.credited_amount IS 'Offset by credit notes.';

-- Serves tenant_mgmt.invoice_list: newest first.
CREATE INDEX invoice_issued_idx
    ON tenant_mgmt.invoice (business_id, issued_on DESC, invoice_id DESC);

-- Serves v_accounts_receivable: what is open, oldest due first.
CREATE INDEX invoice_open_idx
    ON tenant_mgmt.invoice (business_id, due_on)
    WHERE status IN ('finalized', 'partially_paid');

-- FK: invoices of a subscription; one of a period is generated once.
CREATE INDEX invoice_subscription_idx
    ON tenant_mgmt.invoice (business_id, subscription_id, period_start);

-- FK: invoices of a profile.
CREATE INDEX invoice_profile_idx
    ON tenant_mgmt.invoice (business_id, billing_profile_id);

ALTER TABLE tenant_mgmt.invoice ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.invoice
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.invoice TO app_user;
GRANT SELECT ON tenant_mgmt.invoice TO app_readonly;

CREATE TRIGGER invoice_touch
    BEFORE UPDATE ON tenant_mgmt.invoice
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER invoice_status_machine
    BEFORE INSERT OR UPDATE OF status ON tenant_mgmt.invoice
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":          ["finalized", "voided"],
            "finalized":      ["paid", "partially_paid", "uncollectible", "voided"],
            "partially_paid": ["paid", "finalized", "uncollectible"],
            "paid":           ["partially_paid", "finalized"],
            "uncollectible":  ["paid", "partially_paid"],
            "voided":         []
        }}');


CREATE FUNCTION tenant_mgmt.settle_invoice() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    total   CONSTANT numeric := NEW.subtotal_amount - NEW.discount_amount + NEW.tax_amount;
    settled CONSTANT numeric := NEW.paid_amount + NEW.credited_amount;
BEGIN
    IF OLD.status = 'draft' AND NEW.status = 'finalized' THEN
        NEW.finalized_at := coalesce(NEW.finalized_at, now());
        NEW.issued_on := coalesce(NEW.issued_on, (NEW.finalized_at AT TIME ZONE 'UTC')::date);
        NEW.due_on := coalesce(NEW.due_on, NEW.issued_on + (
            SELECT p.net_payment_days
            FROM tenant_mgmt.billing_profile AS p
            WHERE p.business_id = NEW.business_id
              AND p.billing_profile_id = NEW.billing_profile_id));
    END IF;
    IF row_security_active(TG_RELID) AND settled > 0 AND settled > total THEN
        RAISE EXCEPTION 'invoice % is over % and cannot take % of payments and credits',
            NEW.invoice_number, total, settled
            USING ERRCODE = 'check_violation',
                  HINT = 'Collect or credit no more than what is open.';
    END IF;
    IF NEW.status IN ('finalized', 'partially_paid', 'paid') THEN
        NEW.status := CASE WHEN settled >= total THEN 'paid'
                           WHEN settled > 0 THEN 'partially_paid'
                           ELSE 'finalized' END;
    ELSIF NEW.status = 'uncollectible' AND OLD.status = 'uncollectible'
          AND settled >= total AND row_security_active(TG_RELID)
    THEN
        NEW.status := 'paid';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.settle_invoice() IS
    'Derives the status of an issued invoice from what is paid and credited, refuses more than
     it asks for, and dates it when it is finalized.';

-- By its name it runs after invoice_status_machine, which judges what was asked for.
CREATE TRIGGER invoice_status_settle
    BEFORE UPDATE OF status, subtotal_amount, discount_amount, tax_amount, paid_amount,
                     credited_amount
    ON tenant_mgmt.invoice
    FOR EACH ROW WHEN (NEW.status NOT IN ('draft', 'voided'))
    EXECUTE FUNCTION tenant_mgmt.settle_invoice();

CREATE FUNCTION tenant_mgmt.refuse_frozen_invoice() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'invoice % is finalized: what it says stays', OLD.invoice_number
            USING ERRCODE = 'restrict_violation', HINT = 'Correct it by a credit note.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION tenant_mgmt.refuse_frozen_invoice() IS
    'After a tenant has seen an invoice, only its payments and status change.';

CREATE TRIGGER invoice_frozen
    BEFORE UPDATE OF subtotal_amount, discount_amount, tax_amount, currency_code, issued_on,
                     due_on, period_start, period_end, invoice_number
    ON tenant_mgmt.invoice
    FOR EACH ROW WHEN (OLD.status <> 'draft' AND
        (OLD.subtotal_amount, OLD.discount_amount, OLD.tax_amount, OLD.currency_code,
         OLD.issued_on, OLD.due_on, OLD.period_start, OLD.period_end, OLD.invoice_number)
        IS DISTINCT FROM
        (NEW.subtotal_amount, NEW.discount_amount, NEW.tax_amount, NEW.currency_code,
         NEW.issued_on, NEW.due_on, NEW.period_start, NEW.period_end, NEW.invoice_number))
    EXECUTE FUNCTION tenant_mgmt.refuse_frozen_invoice();

CREATE TRIGGER invoice_frozen_delete
    BEFORE DELETE ON tenant_mgmt.invoice
    FOR EACH ROW WHEN (OLD.status <> 'draft')
    EXECUTE FUNCTION tenant_mgmt.refuse_frozen_invoice();


CREATE TABLE tenant_mgmt.invoice_line (
    business_id              uuid                   NOT NULL,
    invoice_line_id          uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    invoice_id               uuid                   NOT NULL,
    subscription_item_id     uuid,
    usage_period_id          uuid,
    line_no                  integer                NOT NULL,
    line_kind                text                   NOT NULL,
    description              text                   NOT NULL,
    quantity                 system_core.quantity   NOT NULL DEFAULT 1,
    unit_amount              system_core.unit_price NOT NULL,
    line_amount              system_core.money      NOT NULL GENERATED ALWAYS AS
        (round(quantity * unit_amount, 2)) STORED,
    tax_rate                 system_core.rate       NOT NULL DEFAULT 0,
    tax_amount               system_core.money      NOT NULL DEFAULT 0,
    revenue_recognition_code system_core.code,
    service_from             date,
    service_until            date,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, invoice_line_id),
    UNIQUE (business_id, invoice_id, line_no),
    FOREIGN KEY (business_id, invoice_id)
        REFERENCES tenant_mgmt.invoice (business_id, invoice_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, subscription_item_id)
        REFERENCES tenant_mgmt.subscription_item (business_id, subscription_item_id),
    FOREIGN KEY (business_id, usage_period_id)
        REFERENCES tenant_mgmt.usage_period (business_id, usage_period_id),
    CONSTRAINT invoice_line_number_positive CHECK (line_no >= 1),
    CONSTRAINT invoice_line_kind_known
        CHECK (line_kind IN ('recurring', 'seat', 'usage', 'overage', 'proration_charge',
                             'proration_credit', 'discount', 'one_off', 'true_up', 'tax')),
    CONSTRAINT invoice_line_quantity_positive CHECK (quantity > 0),
    CONSTRAINT invoice_line_negative_only_when_credit
        CHECK ((line_kind IN ('proration_credit', 'discount')) = (unit_amount < 0)),
    CONSTRAINT invoice_line_usage_names_its_period
        CHECK (line_kind NOT IN ('usage', 'overage') OR usage_period_id IS NOT NULL),
    CONSTRAINT invoice_line_service_is_a_span CHECK (service_until >= service_from)
);

COMMENT ON TABLE tenant_mgmt.invoice_line IS
    'One charge, proration, overage, discount or tax on an invoice.';

-- FK: where an item was billed.
CREATE INDEX invoice_line_item_idx
    ON tenant_mgmt.invoice_line (business_id, subscription_item_id)
    WHERE subscription_item_id IS NOT NULL;

-- FK: where a usage period was billed.
CREATE INDEX invoice_line_usage_period_idx
    ON tenant_mgmt.invoice_line (business_id, usage_period_id)
    WHERE usage_period_id IS NOT NULL;

ALTER TABLE tenant_mgmt.invoice_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.invoice_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.invoice_line TO app_user;
GRANT SELECT ON tenant_mgmt.invoice_line TO app_readonly;

CREATE TRIGGER invoice_line_touch
    BEFORE UPDATE ON tenant_mgmt.invoice_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION tenant_mgmt.total_invoices() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND EXISTS (
        SELECT FROM changed AS c
        JOIN tenant_mgmt.invoice AS i
            ON i.business_id = c.business_id AND i.invoice_id = c.invoice_id
        WHERE i.status <> 'draft'
    ) THEN
        RAISE EXCEPTION 'lines of a finalized invoice stay as they are'
            USING ERRCODE = 'restrict_violation', HINT = 'Correct it by a credit note.';
    END IF;
    UPDATE tenant_mgmt.invoice AS i
    SET subtotal_amount = s.subtotal, discount_amount = s.discount, tax_amount = s.tax
    FROM (
        SELECT t.business_id, t.invoice_id,
               coalesce(sum(l.line_amount)
                   FILTER (WHERE l.line_kind NOT IN ('discount', 'tax')), 0) AS subtotal,
               -coalesce(sum(l.line_amount) FILTER (WHERE l.line_kind = 'discount'), 0)
                   AS discount,
               coalesce(sum(l.line_amount) FILTER (WHERE l.line_kind = 'tax'), 0)
                   + coalesce(sum(l.tax_amount) FILTER (WHERE l.line_kind <> 'tax'), 0) AS tax
        FROM (SELECT DISTINCT c.business_id, c.invoice_id FROM changed AS c) AS t
        LEFT JOIN tenant_mgmt.invoice_line AS l
            ON l.business_id = t.business_id AND l.invoice_id = t.invoice_id
        GROUP BY t.business_id, t.invoice_id
    ) AS s
    WHERE i.business_id = s.business_id AND i.invoice_id = s.invoice_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.total_invoices() IS
    'Keeps the totals of the invoices whose lines a statement touched; lines of a finalized one
     are refused, except to whoever imports history.';

CREATE TRIGGER invoice_line_total_insert
    AFTER INSERT ON tenant_mgmt.invoice_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.total_invoices();

CREATE TRIGGER invoice_line_total_update
    AFTER UPDATE ON tenant_mgmt.invoice_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.total_invoices();

CREATE TRIGGER invoice_line_total_left
    AFTER UPDATE ON tenant_mgmt.invoice_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.total_invoices();

CREATE TRIGGER invoice_line_total_delete
    AFTER DELETE ON tenant_mgmt.invoice_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.total_invoices();


CREATE TABLE tenant_mgmt.payment_attempt (
    business_id        uuid              NOT NULL,
    payment_attempt_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    invoice_id         uuid              NOT NULL,
    payment_method_id  uuid              NOT NULL,
    attempt_no         integer           NOT NULL,
    amount             system_core.money NOT NULL,
    status             text              NOT NULL DEFAULT 'pending',
    provider_reference text,
    decline_code       text              NOT NULL DEFAULT 'none',
    fee_amount         system_core.money NOT NULL DEFAULT 0,
    refunded_amount    system_core.money NOT NULL DEFAULT 0,
    is_automatic       boolean           NOT NULL DEFAULT true,
    attempted_at       timestamptz       NOT NULL DEFAULT now(),
    settled_at         timestamptz,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_attempt_id),
    UNIQUE (business_id, invoice_id, attempt_no),
    FOREIGN KEY (business_id, invoice_id)
        REFERENCES tenant_mgmt.invoice (business_id, invoice_id),
    FOREIGN KEY (business_id, payment_method_id)
        REFERENCES tenant_mgmt.payment_method (business_id, payment_method_id),
    CONSTRAINT payment_attempt_number_positive CHECK (attempt_no >= 1),
    CONSTRAINT payment_attempt_amount_positive CHECK (amount > 0),
    CONSTRAINT payment_attempt_status_known
        CHECK (status IN ('pending', 'requires_action', 'succeeded', 'failed', 'refunded',
                          'disputed')),
    CONSTRAINT payment_attempt_decline_code_known
        CHECK (decline_code IN ('insufficient_funds', 'expired_card', 'do_not_honor', 'fraud',
                                'bank_return', 'none')),
    CONSTRAINT payment_attempt_failed_has_code
        CHECK ((status = 'failed') = (decline_code <> 'none')),
    CONSTRAINT payment_attempt_fee_not_negative CHECK (fee_amount >= 0),
    CONSTRAINT payment_attempt_refund_bounded
        CHECK (refunded_amount >= 0 AND refunded_amount <= amount),
    CONSTRAINT payment_attempt_settled_after_attempt CHECK (settled_at >= attempted_at)
);

COMMENT ON TABLE tenant_mgmt.payment_attempt IS 'One try to collect an invoice.';

-- FK: what was tried with a method.
CREATE INDEX payment_attempt_method_idx
    ON tenant_mgmt.payment_attempt (business_id, payment_method_id, attempted_at DESC);

ALTER TABLE tenant_mgmt.payment_attempt ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.payment_attempt
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.payment_attempt TO app_user;
GRANT SELECT ON tenant_mgmt.payment_attempt TO app_readonly;

CREATE TRIGGER payment_attempt_touch
    BEFORE UPDATE ON tenant_mgmt.payment_attempt
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION tenant_mgmt.total_payments() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tenant_mgmt.invoice AS i
    SET paid_amount = s.paid
    FROM (
        SELECT t.business_id, t.invoice_id,
               coalesce(sum(p.amount - p.refunded_amount)
                   FILTER (WHERE p.status IN ('succeeded', 'refunded')), 0) AS paid
        FROM (SELECT DISTINCT c.business_id, c.invoice_id FROM changed AS c) AS t
        LEFT JOIN tenant_mgmt.payment_attempt AS p
            ON p.business_id = t.business_id AND p.invoice_id = t.invoice_id
        GROUP BY t.business_id, t.invoice_id
    ) AS s
    WHERE i.business_id = s.business_id AND i.invoice_id = s.invoice_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.total_payments() IS
    'Keeps what is paid of an invoice from the attempts that succeeded, less refunds.';

CREATE TRIGGER payment_attempt_total_insert
    AFTER INSERT ON tenant_mgmt.payment_attempt
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.total_payments();

CREATE TRIGGER payment_attempt_total_update
    AFTER UPDATE ON tenant_mgmt.payment_attempt
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.total_payments();

CREATE TRIGGER payment_attempt_total_left
    AFTER UPDATE ON tenant_mgmt.payment_attempt
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.total_payments();

CREATE TRIGGER payment_attempt_total_delete
    AFTER DELETE ON tenant_mgmt.payment_attempt
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.total_payments();


CREATE TABLE tenant_mgmt.credit_note (
    business_id             uuid              NOT NULL,
    credit_note_id          uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    invoice_id              uuid              NOT NULL,
    issued_by               uuid,
    credit_note_number      text              NOT NULL,
    reason                  text              NOT NULL,
    status                  text              NOT NULL DEFAULT 'draft',
    credit_amount           system_core.money NOT NULL DEFAULT 0,
    refund_amount           system_core.money NOT NULL DEFAULT 0,
    offset_amount           system_core.money NOT NULL DEFAULT 0,
    tax_amount              system_core.money NOT NULL DEFAULT 0,
    remaining_credit_amount system_core.money NOT NULL DEFAULT 0,
    issued_on               date,
    memo                    text,
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, credit_note_id),
    UNIQUE (business_id, credit_note_number),
    FOREIGN KEY (business_id, invoice_id)
        REFERENCES tenant_mgmt.invoice (business_id, invoice_id),
    FOREIGN KEY (business_id, issued_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT credit_note_reason_known
        CHECK (reason IN ('duplicate', 'service_issue', 'downgrade', 'order_change', 'fraud',
                          'goodwill')),
    CONSTRAINT credit_note_status_known CHECK (status IN ('draft', 'issued', 'voided')),
    CONSTRAINT credit_note_issued_has_date CHECK (status <> 'issued' OR issued_on IS NOT NULL),
    CONSTRAINT credit_note_amounts_not_negative
        CHECK (credit_amount >= 0 AND refund_amount >= 0 AND offset_amount >= 0
               AND tax_amount >= 0),
    CONSTRAINT credit_note_remaining_bounded
        CHECK (remaining_credit_amount >= 0 AND remaining_credit_amount <= credit_amount)
);

COMMENT ON TABLE tenant_mgmt.credit_note IS
    'The correction of a finalized invoice: as credit, as refund or against what is open.';

-- FK: the corrections of an invoice.
CREATE INDEX credit_note_invoice_idx
    ON tenant_mgmt.credit_note (business_id, invoice_id);

-- FK: who issued it.
CREATE INDEX credit_note_issued_by_idx
    ON tenant_mgmt.credit_note (business_id, issued_by)
    WHERE issued_by IS NOT NULL;

ALTER TABLE tenant_mgmt.credit_note ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.credit_note
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.credit_note TO app_user;
GRANT SELECT ON tenant_mgmt.credit_note TO app_readonly;

CREATE TRIGGER credit_note_touch
    BEFORE UPDATE ON tenant_mgmt.credit_note
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION tenant_mgmt.total_credits() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND EXISTS (
        SELECT FROM changed AS c
        JOIN tenant_mgmt.invoice AS i
            ON i.business_id = c.business_id AND i.invoice_id = c.invoice_id
        WHERE i.status IN ('draft', 'voided') AND c.status <> 'voided'
    ) THEN
        RAISE EXCEPTION 'a credit note corrects an invoice that was issued'
            USING ERRCODE = 'check_violation', HINT = 'Change the lines of the draft instead.';
    END IF;
    IF row_security_active(TG_RELID) AND EXISTS (
        SELECT FROM (SELECT DISTINCT c.business_id, c.invoice_id FROM changed AS c) AS t
        JOIN tenant_mgmt.invoice AS i
            ON i.business_id = t.business_id AND i.invoice_id = t.invoice_id
        JOIN tenant_mgmt.credit_note AS n
            ON n.business_id = t.business_id AND n.invoice_id = t.invoice_id
        WHERE n.status <> 'voided'
        GROUP BY i.business_id, i.invoice_id, i.total_amount
        HAVING sum(n.credit_amount + n.refund_amount + n.offset_amount) > i.total_amount
    ) THEN
        RAISE EXCEPTION 'credit notes exceed the invoice that they correct'
            USING ERRCODE = 'check_violation';
    END IF;
    UPDATE tenant_mgmt.invoice AS i
    SET credited_amount = s.credited
    FROM (
        SELECT t.business_id, t.invoice_id,
               coalesce(sum(n.offset_amount) FILTER (WHERE n.status = 'issued'), 0) AS credited
        FROM (SELECT DISTINCT c.business_id, c.invoice_id FROM changed AS c) AS t
        LEFT JOIN tenant_mgmt.credit_note AS n
            ON n.business_id = t.business_id AND n.invoice_id = t.invoice_id
        GROUP BY t.business_id, t.invoice_id
    ) AS s
    WHERE i.business_id = s.business_id AND i.invoice_id = s.invoice_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.total_credits() IS
    'Keeps what credit notes took off an invoice; together they never exceed it.';

CREATE TRIGGER credit_note_total_insert
    AFTER INSERT ON tenant_mgmt.credit_note
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.total_credits();

CREATE TRIGGER credit_note_total_update
    AFTER UPDATE ON tenant_mgmt.credit_note
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.total_credits();

CREATE TRIGGER credit_note_total_left
    AFTER UPDATE ON tenant_mgmt.credit_note
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.total_credits();

CREATE TRIGGER credit_note_total_delete
    AFTER DELETE ON tenant_mgmt.credit_note
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.total_credits();


CREATE TABLE tenant_mgmt.credit_wallet (
    business_id            uuid                 NOT NULL,
    credit_wallet_id       uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    name                   text                 NOT NULL,
    currency_code          system_core.currency NOT NULL,
    rate_amount            system_core.unit_price NOT NULL DEFAULT 1,
    balance_credits        system_core.quantity NOT NULL DEFAULT 0,
    balance_amount         system_core.money    NOT NULL GENERATED ALWAYS AS
        (round(balance_credits * rate_amount, 2)) STORED,
    ongoing_usage_amount   system_core.money    NOT NULL DEFAULT 0,
    consumed_credits       system_core.quantity NOT NULL DEFAULT 0,
    auto_top_up_threshold  system_core.quantity,
    auto_top_up_amount     system_core.money,
    status                 text                 NOT NULL DEFAULT 'active',
    priority               integer              NOT NULL DEFAULT 1,
    expires_at             timestamptz,
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, credit_wallet_id),
    UNIQUE (business_id, name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT credit_wallet_rate_positive CHECK (rate_amount > 0),
    CONSTRAINT credit_wallet_balance_not_negative CHECK (balance_credits >= 0),
    CONSTRAINT credit_wallet_top_up_has_amount
        CHECK (auto_top_up_threshold IS NULL
               OR (auto_top_up_amount IS NOT NULL AND auto_top_up_amount > 0)),
    CONSTRAINT credit_wallet_status_known
        CHECK (status IN ('active', 'exhausted', 'expired', 'terminated'))
);

COMMENT ON TABLE tenant_mgmt.credit_wallet IS
    'Prepaid credits that usage draws down; its balance is the sum of its transactions.';
COMMENT ON COLUMN tenant_mgmt.credit_wallet.rate_amount IS 'What one credit is worth.';

ALTER TABLE tenant_mgmt.credit_wallet ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.credit_wallet
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.credit_wallet TO app_user;
GRANT SELECT ON tenant_mgmt.credit_wallet TO app_readonly;

CREATE TRIGGER credit_wallet_touch
    BEFORE UPDATE ON tenant_mgmt.credit_wallet
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE tenant_mgmt.wallet_transaction (
    business_id           uuid                 NOT NULL,
    wallet_transaction_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    credit_wallet_id      uuid                 NOT NULL,
    invoice_id            uuid,
    transaction_kind      text                 NOT NULL,
    status                text                 NOT NULL DEFAULT 'pending',
    credits               system_core.quantity NOT NULL,
    amount                system_core.money    NOT NULL,
    remaining_credits     system_core.quantity NOT NULL DEFAULT 0,
    source                text                 NOT NULL,
    priority              integer              NOT NULL DEFAULT 1,
    note                  text,
    settled_at            timestamptz,
    expires_at            timestamptz,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, wallet_transaction_id),
    FOREIGN KEY (business_id, credit_wallet_id)
        REFERENCES tenant_mgmt.credit_wallet (business_id, credit_wallet_id),
    FOREIGN KEY (business_id, invoice_id)
        REFERENCES tenant_mgmt.invoice (business_id, invoice_id),
    CONSTRAINT wallet_transaction_kind_known
        CHECK (transaction_kind IN ('purchase', 'grant', 'consumption', 'expiry', 'void',
                                    'refund')),
    CONSTRAINT wallet_transaction_status_known
        CHECK (status IN ('pending', 'settled', 'failed')),
    CONSTRAINT wallet_transaction_source_known
        CHECK (source IN ('manual', 'auto_top_up', 'promotion', 'invoice', 'credit_note')),
    CONSTRAINT wallet_transaction_credits_positive CHECK (credits > 0),
    CONSTRAINT wallet_transaction_remaining_bounded
        CHECK (remaining_credits >= 0 AND remaining_credits <= credits),
    CONSTRAINT wallet_transaction_settled_has_time
        CHECK (status <> 'settled' OR settled_at IS NOT NULL),
    CONSTRAINT wallet_transaction_remaining_only_of_inbound
        CHECK (remaining_credits = 0 OR transaction_kind IN ('purchase', 'grant', 'refund'))
);

COMMENT ON TABLE tenant_mgmt.wallet_transaction IS
    'Credits into or out of a wallet; the kind says which way, credits are never negative.';
COMMENT ON COLUMN tenant_mgmt.wallet_transaction.remaining_credits IS
    'Of an inbound transaction: what is not used up yet.';

-- FK, and apply_wallet(): what is left, by priority and expiry.
CREATE INDEX wallet_transaction_wallet_idx
    ON tenant_mgmt.wallet_transaction (business_id, credit_wallet_id, priority, expires_at);

-- FK: what was drawn for an invoice.
CREATE INDEX wallet_transaction_invoice_idx
    ON tenant_mgmt.wallet_transaction (business_id, invoice_id)
    WHERE invoice_id IS NOT NULL;

ALTER TABLE tenant_mgmt.wallet_transaction ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.wallet_transaction
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.wallet_transaction TO app_user;
GRANT SELECT ON tenant_mgmt.wallet_transaction TO app_readonly;

CREATE TRIGGER wallet_transaction_touch
    BEFORE UPDATE ON tenant_mgmt.wallet_transaction
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION tenant_mgmt.refuse_settled_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'a settled wallet transaction stays'
            USING ERRCODE = 'restrict_violation', HINT = 'Write a transaction that corrects it.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION tenant_mgmt.refuse_settled_change() IS
    'The ledger of a wallet is append only once a transaction is settled.';

CREATE TRIGGER wallet_transaction_settled_update
    BEFORE UPDATE OF credits, amount, transaction_kind, status, credit_wallet_id
    ON tenant_mgmt.wallet_transaction
    FOR EACH ROW WHEN (OLD.status = 'settled')
    EXECUTE FUNCTION tenant_mgmt.refuse_settled_change();

CREATE TRIGGER wallet_transaction_settled_delete
    BEFORE DELETE ON tenant_mgmt.wallet_transaction
    FOR EACH ROW WHEN (OLD.status = 'settled')
    EXECUTE FUNCTION tenant_mgmt.refuse_settled_change();

CREATE FUNCTION tenant_mgmt.open_wallet_credits() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        NEW.remaining_credits := NEW.credits;
        NEW.settled_at := coalesce(NEW.settled_at, now());
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.open_wallet_credits() IS
    'Credits that came in are there to be used from the moment they are settled.';

CREATE TRIGGER wallet_transaction_open_insert
    BEFORE INSERT ON tenant_mgmt.wallet_transaction
    FOR EACH ROW WHEN (NEW.status = 'settled'
                       AND NEW.transaction_kind IN ('purchase', 'grant', 'refund'))
    EXECUTE FUNCTION tenant_mgmt.open_wallet_credits();

CREATE TRIGGER wallet_transaction_open_update
    BEFORE UPDATE OF status ON tenant_mgmt.wallet_transaction
    FOR EACH ROW WHEN (OLD.status = 'pending' AND NEW.status = 'settled'
                       AND NEW.transaction_kind IN ('purchase', 'grant', 'refund'))
    EXECUTE FUNCTION tenant_mgmt.open_wallet_credits();

CREATE FUNCTION tenant_mgmt.total_wallets() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tenant_mgmt.credit_wallet AS w
    SET balance_credits = s.inbound - s.outbound,
        consumed_credits = s.consumed,
        status = CASE WHEN w.status = 'active' AND s.inbound = s.outbound THEN 'exhausted'
                      WHEN w.status = 'exhausted' AND s.inbound > s.outbound THEN 'active'
                      ELSE w.status END
    FROM (
        SELECT t.business_id, t.credit_wallet_id,
               coalesce(sum(x.credits)
                   FILTER (WHERE x.transaction_kind IN ('purchase', 'grant', 'refund')), 0)
                   AS inbound,
               coalesce(sum(x.credits)
                   FILTER (WHERE x.transaction_kind IN ('consumption', 'expiry', 'void')), 0)
                   AS outbound,
               coalesce(sum(x.credits)
                   FILTER (WHERE x.transaction_kind = 'consumption'), 0) AS consumed
        FROM (SELECT DISTINCT c.business_id, c.credit_wallet_id FROM changed AS c) AS t
        LEFT JOIN tenant_mgmt.wallet_transaction AS x
            ON x.business_id = t.business_id AND x.credit_wallet_id = t.credit_wallet_id
            AND x.status = 'settled'
        GROUP BY t.business_id, t.credit_wallet_id
    ) AS s
    WHERE w.business_id = s.business_id AND w.credit_wallet_id = s.credit_wallet_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.total_wallets() IS
    'Keeps balances equal to the sum of the settled transactions; a CHECK keeps them from
     falling below zero.';

CREATE TRIGGER wallet_transaction_total_insert
    AFTER INSERT ON tenant_mgmt.wallet_transaction
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.total_wallets();

CREATE TRIGGER wallet_transaction_total_update
    AFTER UPDATE ON tenant_mgmt.wallet_transaction
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.total_wallets();

CREATE TRIGGER wallet_transaction_total_left
    AFTER UPDATE ON tenant_mgmt.wallet_transaction
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.total_wallets();

CREATE TRIGGER wallet_transaction_total_delete
    AFTER DELETE ON tenant_mgmt.wallet_transaction
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenant_mgmt.total_wallets();


CREATE TABLE tenant_mgmt.dunning_case (
    business_id           uuid              NOT NULL,
    dunning_case_id       uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    invoice_id            uuid              NOT NULL,
    subscription_id       uuid,
    stage                 text              NOT NULL DEFAULT 'reminder',
    overdue_amount        system_core.money NOT NULL,
    attempts_made         integer           NOT NULL DEFAULT 0,
    max_attempts          integer           NOT NULL DEFAULT 4,
    days_between_attempts integer           NOT NULL DEFAULT 3,
    recovered_amount      system_core.money NOT NULL DEFAULT 0,
    closed_reason         text,
    opened_at             timestamptz       NOT NULL DEFAULT now(),
    next_action_at        timestamptz,
    restricted_at         timestamptz,
    recovered_at          timestamptz,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, dunning_case_id),
    FOREIGN KEY (business_id, invoice_id)
        REFERENCES tenant_mgmt.invoice (business_id, invoice_id),
    FOREIGN KEY (business_id, subscription_id)
        REFERENCES tenant_mgmt.subscription (business_id, subscription_id),
    CONSTRAINT dunning_case_stage_known
        CHECK (stage IN ('reminder', 'second_notice', 'final_notice', 'restricted', 'suspended',
                         'written_off', 'recovered')),
    CONSTRAINT dunning_case_attempts_bounded
        CHECK (attempts_made >= 0 AND attempts_made <= max_attempts),
    CONSTRAINT dunning_case_days_positive CHECK (days_between_attempts > 0),
    CONSTRAINT dunning_case_overdue_positive CHECK (overdue_amount > 0),
    CONSTRAINT dunning_case_recovery_bounded
        CHECK (recovered_amount >= 0 AND recovered_amount <= overdue_amount),
    CONSTRAINT dunning_case_recovered_has_time
        CHECK ((stage = 'recovered') = (recovered_at IS NOT NULL)),
    CONSTRAINT dunning_case_open_has_next_action
        CHECK ((stage IN ('written_off', 'recovered')) = (next_action_at IS NULL))
);

COMMENT ON TABLE tenant_mgmt.dunning_case IS
    'The collection of an overdue invoice, step by step up to suspension.';

-- One open case per invoice.
CREATE UNIQUE INDEX dunning_case_open_idx
    ON tenant_mgmt.dunning_case (business_id, invoice_id)
    WHERE stage NOT IN ('written_off', 'recovered');

-- Serves tenant_mgmt.dunning_claim: what is due.
CREATE INDEX dunning_case_due_idx
    ON tenant_mgmt.dunning_case (business_id, next_action_at)
    WHERE stage NOT IN ('written_off', 'recovered');

-- FK: all cases of an invoice.
CREATE INDEX dunning_case_invoice_idx
    ON tenant_mgmt.dunning_case (business_id, invoice_id);

-- FK: the cases of a subscription.
CREATE INDEX dunning_case_subscription_idx
    ON tenant_mgmt.dunning_case (business_id, subscription_id)
    WHERE subscription_id IS NOT NULL;

ALTER TABLE tenant_mgmt.dunning_case ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.dunning_case
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.dunning_case TO app_user;
GRANT SELECT ON tenant_mgmt.dunning_case TO app_readonly;

CREATE TRIGGER dunning_case_touch
    BEFORE UPDATE ON tenant_mgmt.dunning_case
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER dunning_case_stage_machine
    BEFORE INSERT OR UPDATE OF stage ON tenant_mgmt.dunning_case
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('stage', '{
        "initial": ["reminder"],
        "transitions": {
            "reminder":      ["second_notice", "recovered"],
            "second_notice": ["final_notice", "recovered"],
            "final_notice":  ["restricted", "recovered"],
            "restricted":    ["suspended", "recovered"],
            "suspended":     ["written_off", "recovered"],
            "written_off":   [],
            "recovered":     []
        }}');


CREATE FUNCTION tenant_mgmt.apply_coupons(bill uuid) RETURNS numeric
    LANGUAGE sql
BEGIN ATOMIC
    WITH coupon AS (
        SELECT i.business_id, i.invoice_id, i.subtotal_amount, r.coupon_redemption_id,
               r.coupon_code, r.redeemed_at,
               CASE r.discount_kind
                   WHEN 'percent' THEN round(i.subtotal_amount * r.percent_off / 100, 2)
                   WHEN 'amount' THEN r.amount_off
                   ELSE (SELECT coalesce(sum(l.line_amount), 0)
                         FROM tenant_mgmt.invoice_line AS l
                         WHERE l.business_id = i.business_id
                           AND l.invoice_id = i.invoice_id
                           AND l.line_kind IN ('recurring', 'seat'))
               END AS amount
        FROM tenant_mgmt.invoice AS i
        JOIN tenant_mgmt.coupon_redemption AS r
            ON r.business_id = i.business_id AND r.subscription_id = i.subscription_id
        WHERE i.business_id = tenant_mgmt.current_business_id()
          AND i.invoice_id = bill
          AND i.status = 'draft'
          AND r.revoked_at IS NULL
          AND r.redeemed_at < i.period_end
          AND (r.expires_at > i.period_start OR r.expires_at IS NULL)
          AND (r.duration = 'forever' OR r.months_remaining > 0
               OR (r.duration = 'once' AND r.total_discounted_amount = 0))
    ), granted AS (
        SELECT c.*,
               least(c.subtotal_amount, sum(c.amount) OVER earlier)
                   - least(c.subtotal_amount, sum(c.amount) OVER earlier - c.amount) AS discount
        FROM coupon AS c
        WINDOW earlier AS (ORDER BY c.redeemed_at, c.coupon_redemption_id)
    ), used AS (
        UPDATE tenant_mgmt.coupon_redemption AS r
        SET months_remaining = r.months_remaining - 1,
            total_discounted_amount = r.total_discounted_amount + g.discount
        FROM granted AS g
        WHERE r.business_id = g.business_id
          AND r.coupon_redemption_id = g.coupon_redemption_id
          AND g.discount > 0
    ), line AS (
        INSERT INTO tenant_mgmt.invoice_line
            (business_id, invoice_id, line_no, line_kind, description, unit_amount)
        SELECT g.business_id, g.invoice_id,
               (SELECT coalesce(max(l.line_no), 0)
                FROM tenant_mgmt.invoice_line AS l
                WHERE l.business_id = g.business_id AND l.invoice_id = g.invoice_id)
                   + row_number() OVER (ORDER BY g.redeemed_at, g.coupon_redemption_id),
               'discount', 'Coupon ' || g.coupon_code, -g.discount
        FROM granted AS g
        WHERE g.discount > 0
        RETURNING line_amount
    )
    SELECT coalesce(-sum(l.line_amount), 0) FROM line AS l;
END;
COMMENT ON FUNCTION tenant_mgmt.apply_coupons(uuid) IS
    'Adds a discount line for each coupon of the current tenant that holds in the period of a
     draft invoice, oldest first and never below zero, and counts its use; returns the sum.';


CREATE FUNCTION tenant_mgmt.generate_invoice(contract uuid, first_day date) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant   CONSTANT uuid := tenant_mgmt.current_business_id();
    held     tenant_mgmt.subscription;
    profile  tenant_mgmt.billing_profile;
    moment   timestamptz;
    last_day date;
    earlier  integer;
    bill     uuid;
    tax      numeric;
BEGIN
    SELECT * INTO held FROM tenant_mgmt.subscription AS s
    WHERE s.business_id = tenant AND s.subscription_id = contract
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'subscription % does not exist', contract
            USING ERRCODE = 'no_data_found';
    END IF;
    SELECT i.invoice_id INTO bill FROM tenant_mgmt.invoice AS i
    WHERE i.business_id = tenant
      AND i.subscription_id = contract
      AND i.period_start = first_day
      AND i.invoice_kind = 'subscription'
      AND i.status <> 'voided';
    IF FOUND THEN
        RETURN bill;
    END IF;
    SELECT * INTO profile FROM tenant_mgmt.billing_profile AS p WHERE p.business_id = tenant;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the business has no billing profile' USING ERRCODE = 'no_data_found';
    END IF;

    -- Items are billed as they stood when the period began; what changed in it is prorated.
    IF (held.current_period_start AT TIME ZONE 'UTC')::date = first_day THEN
        moment := held.current_period_start;
        last_day := (held.current_period_end AT TIME ZONE 'UTC')::date;
    ELSE
        moment := first_day::timestamp AT TIME ZONE 'UTC' + interval '1 day - 1 microsecond';
        SELECT (tenant_mgmt.next_period_end(moment, p.billing_interval, held.billing_anchor_day)
                AT TIME ZONE 'UTC')::date INTO last_day
        FROM tenant_mgmt.plan AS p
        WHERE p.business_id = tenant AND p.plan_id = held.plan_id;
    END IF;

    SELECT count(*) INTO earlier FROM tenant_mgmt.invoice AS i
    WHERE i.business_id = tenant AND i.subscription_id = contract AND i.period_start = first_day;
    INSERT INTO tenant_mgmt.invoice
        (business_id, subscription_id, billing_profile_id, invoice_number, currency_code,
         period_start, period_end)
    VALUES (tenant, contract, profile.billing_profile_id,
            held.subscription_number || to_char(first_day, '-YYYYMMDD')
                || CASE WHEN earlier > 0 THEN '-' || earlier ELSE '' END,
            profile.currency_code, first_day, last_day)
    RETURNING invoice_id INTO bill;

    WITH charge AS (
        SELECT 1 AS rank, CASE i.item_kind WHEN 'seat' THEN 'seat' ELSE 'recurring' END AS kind,
               i.item_code::text AS description, i.quantity::numeric AS quantity,
               i.unit_price_amount * (1 - i.discount_pct / 100) AS unit_amount,
               i.subscription_item_id, NULL::uuid AS usage_period_id
        FROM tenant_mgmt.subscription_item AS i
        WHERE i.business_id = tenant
          AND i.subscription_id = contract
          AND i.quantity > 0
          AND i.unit_price_amount > 0
          AND i.effective_from <= moment
          AND (i.effective_until > moment OR i.effective_until IS NULL)
        UNION ALL
        SELECT 2, 'overage', r.overage_quantity || ' ' || r.meter_code, 1, r.amount, NULL,
               r.usage_period_id
        FROM tenant_mgmt.rate_usage(contract, first_day) AS r
        WHERE r.amount > 0
        UNION ALL
        SELECT proration.rank, proration.kind, c.change_kind, 1, proration.amount, NULL, NULL
        FROM tenant_mgmt.subscription_change AS c
        CROSS JOIN LATERAL (
            VALUES (3, 'proration_charge', c.proration_charge_amount::numeric),
                   (4, 'proration_credit', -c.proration_credit_amount::numeric)
        ) AS proration (rank, kind, amount)
        WHERE c.business_id = tenant
          AND c.subscription_id = contract
          AND c.state = 'applied'
          AND (c.applied_at AT TIME ZONE 'UTC')::date >= first_day
          AND (c.applied_at AT TIME ZONE 'UTC')::date < last_day
          AND proration.amount <> 0
    )
    INSERT INTO tenant_mgmt.invoice_line
        (business_id, invoice_id, line_no, line_kind, description, quantity, unit_amount,
         subscription_item_id, usage_period_id, service_from, service_until)
    SELECT tenant, bill, row_number() OVER (ORDER BY c.rank, c.description), c.kind,
           c.description, c.quantity, c.unit_amount, c.subscription_item_id, c.usage_period_id,
           first_day, last_day
    FROM charge AS c;

    PERFORM tenant_mgmt.apply_coupons(bill);

    tax := CASE WHEN profile.tax_exempt THEN 0 ELSE
        coalesce((system_core.effective_setting('billing', 'tax_rate') #>> '{}')::numeric, 0) END;
    INSERT INTO tenant_mgmt.invoice_line
        (business_id, invoice_id, line_no, line_kind, description, unit_amount, tax_rate)
    SELECT tenant, bill,
           (SELECT coalesce(max(l.line_no), 0) + 1
            FROM tenant_mgmt.invoice_line AS l
            WHERE l.business_id = tenant AND l.invoice_id = bill),
           'tax', 'Tax', round(i.total_amount * tax, 2), tax
    FROM tenant_mgmt.invoice AS i
    WHERE i.business_id = tenant AND i.invoice_id = bill AND round(i.total_amount * tax, 2) > 0;

    UPDATE tenant_mgmt.usage_period AS p
    SET is_closed = true, rated_amount = r.amount
    FROM tenant_mgmt.rate_usage(contract, first_day) AS r
    WHERE p.business_id = tenant
      AND p.usage_period_id = r.usage_period_id
      AND NOT p.is_closed;
    RETURN bill;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.generate_invoice(uuid, date) IS
    'Drafts the invoice of a subscription of the current tenant for the billing period that
     begins on a day: items, overage, prorations, coupons, and tax by the setting
     billing.tax_rate; the usage it bills is closed. A period is drafted once. Whoever calls it
     applies the wallet and finalizes.';


CREATE FUNCTION tenant_mgmt.apply_wallet(bill uuid) RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    held   tenant_mgmt.invoice;
    purse  tenant_mgmt.credit_wallet;
    usable numeric;
    used   numeric;
    drawn  numeric := 0;
BEGIN
    SELECT * INTO held FROM tenant_mgmt.invoice AS i
    WHERE i.business_id = tenant AND i.invoice_id = bill
    FOR NO KEY UPDATE;
    IF NOT FOUND OR held.status <> 'draft' THEN
        RAISE EXCEPTION 'there is no draft invoice %', bill
            USING ERRCODE = 'no_data_found', HINT = 'Credits are drawn before it is finalized.';
    END IF;

    FOR purse IN
        SELECT * FROM tenant_mgmt.credit_wallet AS w
        WHERE w.business_id = tenant
          AND w.status = 'active'
          AND w.currency_code = held.currency_code
          AND (w.expires_at > now() OR w.expires_at IS NULL)
        ORDER BY w.priority, w.expires_at, w.credit_wallet_id
        FOR NO KEY UPDATE
    LOOP
        SELECT coalesce(sum(t.remaining_credits), 0) INTO usable
        FROM tenant_mgmt.wallet_transaction AS t
        WHERE t.business_id = tenant
          AND t.credit_wallet_id = purse.credit_wallet_id
          AND t.status = 'settled'
          AND t.remaining_credits > 0
          AND (t.expires_at > now() OR t.expires_at IS NULL);
        used := least(usable, purse.balance_credits,
                      trunc((held.total_amount - drawn) / purse.rate_amount, 4));
        CONTINUE WHEN round(used * purse.rate_amount, 2) <= 0;

        -- What is taken of each purchase or grant, by priority, the first to expire first.
        UPDATE tenant_mgmt.wallet_transaction AS t
        SET remaining_credits = t.remaining_credits
                                - least(t.remaining_credits, used - place.taken_before)
        FROM (
            SELECT x.wallet_transaction_id,
                   sum(x.remaining_credits) OVER (
                       ORDER BY x.priority, x.expires_at, x.settled_at, x.wallet_transaction_id)
                       - x.remaining_credits AS taken_before
            FROM tenant_mgmt.wallet_transaction AS x
            WHERE x.business_id = tenant
              AND x.credit_wallet_id = purse.credit_wallet_id
              AND x.status = 'settled'
              AND x.remaining_credits > 0
              AND (x.expires_at > now() OR x.expires_at IS NULL)
        ) AS place
        WHERE t.business_id = tenant
          AND t.wallet_transaction_id = place.wallet_transaction_id
          AND place.taken_before < used;

        INSERT INTO tenant_mgmt.wallet_transaction
            (business_id, credit_wallet_id, invoice_id, transaction_kind, status, credits,
             amount, source, settled_at)
        VALUES (tenant, purse.credit_wallet_id, bill, 'consumption', 'settled', used,
                round(used * purse.rate_amount, 2), 'invoice', now());
        INSERT INTO tenant_mgmt.invoice_line
            (business_id, invoice_id, line_no, line_kind, description, unit_amount)
        SELECT tenant, bill, coalesce(max(l.line_no), 0) + 1, 'discount', purse.name,
               -round(used * purse.rate_amount, 2)
        FROM tenant_mgmt.invoice_line AS l
        WHERE l.business_id = tenant AND l.invoice_id = bill;
        drawn := drawn + round(used * purse.rate_amount, 2);
    END LOOP;
    RETURN drawn;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.apply_wallet(uuid) IS
    'Draws prepaid credits of the current tenant for a draft invoice, by priority and then by
     expiry, and returns the amount drawn.';


CREATE FUNCTION tenant_mgmt.retry_payment(bill uuid, open_amount numeric) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO tenant_mgmt.payment_attempt
        (business_id, invoice_id, payment_method_id, attempt_no, amount)
    SELECT m.business_id, bill, m.payment_method_id,
           (SELECT coalesce(max(p.attempt_no), 0) + 1
            FROM tenant_mgmt.payment_attempt AS p
            WHERE p.business_id = m.business_id AND p.invoice_id = bill),
           open_amount
    FROM tenant_mgmt.payment_method AS m
    WHERE m.business_id = tenant_mgmt.current_business_id()
      AND m.is_default
      AND m.status = 'active'
      AND NOT EXISTS (
          SELECT FROM tenant_mgmt.payment_attempt AS p
          WHERE p.business_id = m.business_id
            AND p.invoice_id = bill
            AND p.status IN ('pending', 'requires_action'));
END;
COMMENT ON FUNCTION tenant_mgmt.retry_payment(uuid, numeric) IS
    'Asks the default payment method of the current tenant for what is open, unless an answer is
     awaited already.';


CREATE FUNCTION tenant_mgmt.follow_dunning(contract uuid, new_stage text) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    held   text;
BEGIN
    SELECT s.status INTO held FROM tenant_mgmt.subscription AS s
    WHERE s.business_id = tenant AND s.subscription_id = contract;
    IF new_stage = 'restricted' AND held = 'active' THEN
        PERFORM tenant_mgmt.transition_subscription(contract, 'past_due', 'dunning');
    ELSIF new_stage = 'suspended' THEN
        UPDATE tenant_mgmt.business AS b
        SET status = 'suspended'
        WHERE b.business_id = tenant AND b.status IN ('active', 'past_due');
    ELSIF new_stage = 'written_off' AND held IN ('active', 'past_due') THEN
        PERFORM tenant_mgmt.transition_subscription(contract, 'cancelled', 'dunning');
    ELSIF new_stage = 'recovered' AND held = 'past_due' AND NOT EXISTS (
        SELECT FROM tenant_mgmt.dunning_case AS other
        WHERE other.business_id = tenant
          AND other.subscription_id = contract
          AND other.stage IN ('restricted', 'suspended'))
    THEN
        PERFORM tenant_mgmt.transition_subscription(contract, 'active', 'dunning');
    END IF;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.follow_dunning(uuid, text) IS
    'What a stage of dunning means for the subscription and the current tenant: past due when
     restricted, suspended, cancelled when written off, active again when recovered.';


CREATE FUNCTION tenant_mgmt.advance_dunning(max integer DEFAULT 50)
    RETURNS TABLE (dunning_case_id uuid, was text, became text)
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    due    record;
BEGIN
    FOR due IN
        SELECT d.dunning_case_id, d.invoice_id, d.stage, d.overdue_amount,
               d.days_between_attempts, coalesce(d.subscription_id, i.subscription_id) AS contract,
               i.total_amount - i.paid_amount - i.credited_amount AS open_amount,
               i.status AS invoice_status
        FROM tenant_mgmt.dunning_case AS d
        JOIN tenant_mgmt.invoice AS i
            ON i.business_id = d.business_id AND i.invoice_id = d.invoice_id
        WHERE d.business_id = tenant
          AND d.stage NOT IN ('written_off', 'recovered')
          AND d.next_action_at <= now()
        ORDER BY d.next_action_at
        LIMIT max
        FOR NO KEY UPDATE OF d SKIP LOCKED
    LOOP
        dunning_case_id := due.dunning_case_id;
        was := due.stage;
        became := CASE
            WHEN due.open_amount <= 0 OR due.invoice_status = 'voided' THEN 'recovered'
            WHEN due.stage = 'reminder' THEN 'second_notice'
            WHEN due.stage = 'second_notice' THEN 'final_notice'
            WHEN due.stage = 'final_notice' THEN 'restricted'
            WHEN due.stage = 'restricted' THEN 'suspended'
            ELSE 'written_off' END;

        UPDATE tenant_mgmt.dunning_case AS d
        SET stage = became,
            attempts_made = least(d.attempts_made + 1, d.max_attempts),
            restricted_at = CASE became WHEN 'restricted' THEN now() ELSE d.restricted_at END,
            recovered_at = CASE became WHEN 'recovered' THEN now() END,
            recovered_amount = CASE WHEN became = 'recovered' AND due.open_amount <= 0
                                    THEN d.overdue_amount ELSE d.recovered_amount END,
            closed_reason = CASE WHEN became = 'written_off' THEN 'not collected'
                                 WHEN due.open_amount <= 0 THEN 'paid'
                                 WHEN became = 'recovered' THEN 'voided' END,
            next_action_at = CASE WHEN became NOT IN ('recovered', 'written_off')
                                  THEN now() + make_interval(days => d.days_between_attempts) END
        WHERE d.business_id = tenant AND d.dunning_case_id = due.dunning_case_id;

        IF became IN ('second_notice', 'final_notice', 'restricted') THEN
            PERFORM tenant_mgmt.retry_payment(due.invoice_id, due.open_amount);
        ELSIF became = 'written_off' AND due.invoice_status IN ('finalized', 'partially_paid') THEN
            UPDATE tenant_mgmt.invoice AS i
            SET status = 'uncollectible'
            WHERE i.business_id = tenant AND i.invoice_id = due.invoice_id;
        END IF;
        PERFORM tenant_mgmt.follow_dunning(due.contract, became);
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.advance_dunning(integer) IS
    'Takes due cases of the current tenant one step further: tries to collect again, restricts,
     suspends and at last writes off; or closes them as recovered where the invoice was paid
     meanwhile. Two workers never take the same case.';


CREATE VIEW tenant_mgmt.v_accounts_receivable
    WITH (security_invoker = true) AS
SELECT i.business_id, i.invoice_id, i.invoice_number, i.due_on,
       i.total_amount - i.paid_amount - i.credited_amount AS open_amount,
       CASE WHEN i.due_on IS NULL OR i.due_on >= today.utc THEN 'not_due'
            WHEN i.due_on >= today.utc - 30 THEN '1_30'
            WHEN i.due_on >= today.utc - 60 THEN '31_60'
            WHEN i.due_on >= today.utc - 90 THEN '61_90'
            ELSE 'over_90' END AS age_band,
       d.stage AS dunning_stage
FROM tenant_mgmt.invoice AS i
CROSS JOIN (SELECT (now() AT TIME ZONE 'UTC')::date AS utc) AS today
LEFT JOIN tenant_mgmt.dunning_case AS d
    ON d.business_id = i.business_id AND d.invoice_id = i.invoice_id
    AND d.stage NOT IN ('written_off', 'recovered')
WHERE i.business_id = tenant_mgmt.current_business_id()
    AND i.status IN ('finalized', 'partially_paid');
COMMENT ON VIEW tenant_mgmt.v_accounts_receivable IS
    'Open invoices by age, with the stage of their collection.';
GRANT SELECT ON tenant_mgmt.v_accounts_receivable TO app_user, app_readonly;


CREATE MATERIALIZED VIEW tenant_mgmt.mv_mrr_movement AS
SELECT e.business_id, date_trunc('month', e.occurred_at AT TIME ZONE 'UTC')::date AS month_start,
       CASE WHEN e.event_kind = 'reactivated' THEN 'reactivation'
            WHEN e.mrr_before_amount = 0 THEN 'new'
            WHEN e.mrr_after_amount = 0 THEN 'churn'
            WHEN e.mrr_after_amount > e.mrr_before_amount THEN 'expansion'
            ELSE 'contraction' END AS movement,
       sum(e.mrr_after_amount - e.mrr_before_amount) AS mrr_amount,
       count(*) AS event_count
FROM tenant_mgmt.subscription_event AS e
WHERE e.mrr_after_amount <> e.mrr_before_amount
GROUP BY e.business_id, month_start, movement
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW tenant_mgmt.mv_mrr_movement IS
    'New, expansion, contraction, churn and reactivation of recurring revenue per month (UTC).';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_mrr_movement_idx
    ON tenant_mgmt.mv_mrr_movement (business_id, month_start, movement);

GRANT SELECT ON tenant_mgmt.subscription_event TO matview_owner;

CREATE VIEW tenant_mgmt.v_mrr_movement
    WITH (security_barrier = true) AS
SELECT m.business_id, m.month_start, m.movement, m.mrr_amount, m.event_count
FROM tenant_mgmt.mv_mrr_movement AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW tenant_mgmt.v_mrr_movement IS 'The tenant''s own part of mv_mrr_movement.';
GRANT SELECT ON tenant_mgmt.v_mrr_movement TO app_user, app_readonly;
