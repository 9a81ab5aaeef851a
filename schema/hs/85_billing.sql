/*
 * Billing: what customers owe, what they paid, and how the two meet.
 *
 * An invoice bills a work order, a stage of a project or an installment of an agreement; its lines
 * are frozen when it is issued. A payment is money received; payment_allocation says which invoice
 * it pays, refund what went back, credit_memo what was taken off without money.
 * stored_payment_method is a card or account on file, as a token.
 *
 * One equation holds at every commit, and hs.reconcile_receivables() proves it from the rows:
 *
 *     invoice.open_balance     = total - (money allocated - refunded) - credited
 *     payment.unapplied_amount = paid - refunded from it - allocated and not refunded
 *     customer.open_balance    = open invoices - unapplied payments
 *
 * The figures are written by triggers alone. Every writer locks in the order payment, invoice,
 * customer, work order, each by key, and sums in a statement after the lock: a sum taken in the
 * statement that waits would miss what the other transaction committed meanwhile.
 */

CREATE TABLE hs.stored_payment_method (
    business_id              uuid             NOT NULL,
    stored_payment_method_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id              uuid             NOT NULL,
    processor_name           text             NOT NULL,
    processor_token          text             NOT NULL,
    method_kind              text             NOT NULL DEFAULT 'card',
    brand                    text,
    last_four                text             NOT NULL,
    expires_month            integer,
    expires_year             integer,
    billing_postal_code      system_core.postal_code,
    mandate_text_version     text,
    status                   text             NOT NULL DEFAULT 'active',
    is_default               boolean          NOT NULL DEFAULT false,
    authorized_at            timestamptz      NOT NULL DEFAULT now(),
    created_at               timestamptz      NOT NULL DEFAULT now(),
    updated_at               timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stored_payment_method_id),
    UNIQUE (business_id, processor_name, processor_token),
    FOREIGN KEY (business_id, customer_id) REFERENCES hs.customer (business_id, customer_id),
    CONSTRAINT stored_payment_method_kind_known CHECK (method_kind IN ('card', 'ach')),
    CONSTRAINT stored_payment_method_status_known
        CHECK (status IN ('active', 'expired', 'failed', 'removed')),
    CONSTRAINT stored_payment_method_token_is_no_number
        CHECK (processor_token ~ '[A-Za-z]'),
    CONSTRAINT stored_payment_method_last_four_is_digits CHECK (last_four ~ '^[0-9]{4}$'),
    CONSTRAINT stored_payment_method_month_of_year CHECK (expires_month BETWEEN 1 AND 12),
    CONSTRAINT stored_payment_method_year_plausible CHECK (expires_year BETWEEN 2000 AND 2100),
    CONSTRAINT stored_payment_method_card_expires
        CHECK (method_kind <> 'card'
               OR (expires_month IS NOT NULL AND expires_year IS NOT NULL)),
    CONSTRAINT stored_payment_method_debit_has_mandate
        CHECK (method_kind <> 'ach' OR mandate_text_version IS NOT NULL)
);

COMMENT ON TABLE hs.stored_payment_method IS
    'A card or bank account on file, as the token of a processor; never the number itself.';
COMMENT ON COLUMN hs.stored_payment_method.mandate_text_version IS
    'Which wording of the authorization the customer agreed to.';

-- One default that works; also finds what to charge an agreement to.
CREATE UNIQUE INDEX stored_payment_method_default_idx
    ON hs.stored_payment_method (business_id, customer_id)
    WHERE is_default AND status = 'active';

-- FK: what a customer has on file.
CREATE INDEX stored_payment_method_customer_idx
    ON hs.stored_payment_method (business_id, customer_id);

ALTER TABLE hs.stored_payment_method ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.stored_payment_method
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.stored_payment_method TO app_user;
GRANT SELECT ON hs.stored_payment_method TO app_readonly;

CREATE TRIGGER stored_payment_method_touch
    BEFORE UPDATE ON hs.stored_payment_method
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.invoice (
    business_id         uuid                 NOT NULL,
    invoice_id          uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id         uuid                 NOT NULL,
    service_location_id uuid,
    work_order_id       uuid,
    project_id          uuid,
    agreement_id        uuid,
    adjusts_invoice_id  uuid,
    invoice_number      system_core.code     NOT NULL,
    invoice_kind        text                 NOT NULL DEFAULT 'job',
    status              text                 NOT NULL DEFAULT 'draft',
    currency_code       system_core.currency NOT NULL,
    subtotal_amount     system_core.money    NOT NULL DEFAULT 0,
    discount_amount     system_core.money    NOT NULL DEFAULT 0,
    tax_amount          system_core.money    NOT NULL DEFAULT 0,
    total_amount        system_core.money    NOT NULL GENERATED ALWAYS AS
        (subtotal_amount - discount_amount + tax_amount) STORED,
    paid_amount         system_core.money    NOT NULL DEFAULT 0,
    credited_amount     system_core.money    NOT NULL DEFAULT 0,
    open_balance        system_core.money    NOT NULL GENERATED ALWAYS AS
        (CASE WHEN status IN ('draft', 'void') THEN 0
              ELSE subtotal_amount - discount_amount + tax_amount
                   - paid_amount - credited_amount END) STORED,
    customer_po_number  text,
    void_reason         text,
    invoice_on          date,
    due_on              date,
    sent_at             timestamptz,
    paid_at             timestamptz,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, invoice_id),
    UNIQUE (business_id, invoice_number),
    FOREIGN KEY (business_id, customer_id) REFERENCES hs.customer (business_id, customer_id),
    FOREIGN KEY (business_id, service_location_id)
        REFERENCES hs.service_location (business_id, service_location_id),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, project_id) REFERENCES hs.project (business_id, project_id),
    FOREIGN KEY (business_id, adjusts_invoice_id)
        REFERENCES hs.invoice (business_id, invoice_id),
    CONSTRAINT invoice_kind_known
        CHECK (invoice_kind IN ('job', 'progress', 'agreement', 'deposit', 'adjustment')),
    CONSTRAINT invoice_status_known
        CHECK (status IN ('draft', 'issued', 'partially_paid', 'paid', 'overdue', 'written_off',
                          'void')),
    CONSTRAINT invoice_names_what_it_bills
        CHECK (CASE invoice_kind WHEN 'job' THEN work_order_id IS NOT NULL
                                 WHEN 'progress' THEN project_id IS NOT NULL
                                 WHEN 'agreement' THEN agreement_id IS NOT NULL
                                 WHEN 'adjustment' THEN adjusts_invoice_id IS NOT NULL
                                 ELSE true END),
    CONSTRAINT invoice_adjusts_another CHECK (adjusts_invoice_id <> invoice_id),
    CONSTRAINT invoice_issued_has_dates
        CHECK (status IN ('draft', 'void') OR (invoice_on IS NOT NULL AND due_on IS NOT NULL)),
    CONSTRAINT invoice_due_after_issue CHECK (due_on >= invoice_on),
    CONSTRAINT invoice_total_not_negative
        CHECK (discount_amount >= 0 AND subtotal_amount - discount_amount + tax_amount >= 0),
    CONSTRAINT invoice_settled_not_negative CHECK (paid_amount >= 0 AND credited_amount >= 0),
    CONSTRAINT invoice_only_issued_is_settled
        CHECK (status NOT IN ('draft', 'void') OR (paid_amount = 0 AND credited_amount = 0)),
    CONSTRAINT invoice_paid_has_time CHECK ((status = 'paid') = (paid_at IS NOT NULL)),
    CONSTRAINT invoice_void_reason_of_void CHECK (void_reason IS NULL OR status = 'void')
);

COMMENT ON TABLE hs.invoice IS
    'A bill for a work order, a stage of a project, or an installment of an agreement.';
COMMENT ON COLUMN hs.invoice.subtotal_amount IS 'Sum of quantity times price of the lines.';
COMMENT ON COLUMN hs.invoice.paid_amount IS
    'Money allocated to it and not reversed, less refunds that name it.';
COMMENT ON COLUMN hs.invoice.credited_amount IS
    'Taken off without money: credit memos, and discounts and write-offs given with a payment.';
COMMENT ON COLUMN hs.invoice.open_balance IS
    'What is owed on it; of a draft or a void invoice nothing is.';

-- One bill for a job that is not void; also its foreign key.
CREATE UNIQUE INDEX invoice_job_idx
    ON hs.invoice (business_id, work_order_id)
    WHERE invoice_kind = 'job' AND status <> 'void';

-- Serves hs.receivables_aging and mark_overdue_invoices(): what is open, oldest due first.
CREATE INDEX invoice_open_idx
    ON hs.invoice (business_id, due_on) INCLUDE (customer_id, open_balance)
    WHERE open_balance > 0 AND status <> 'written_off';

-- Serves allocate_payment(): the open invoices of a customer, oldest due first.
CREATE INDEX invoice_customer_open_idx
    ON hs.invoice (business_id, customer_id, due_on)
    WHERE open_balance > 0;

-- FK and customer page: a customer's invoices, newest first.
CREATE INDEX invoice_customer_idx
    ON hs.invoice (business_id, customer_id, invoice_on DESC);

-- FK: the invoices for a location.
CREATE INDEX invoice_location_idx
    ON hs.invoice (business_id, service_location_id)
    WHERE service_location_id IS NOT NULL;

-- FK: all invoices of a work order, void ones too.
CREATE INDEX invoice_work_order_idx
    ON hs.invoice (business_id, work_order_id)
    WHERE work_order_id IS NOT NULL;

-- FK: what was billed of a project.
CREATE INDEX invoice_project_idx
    ON hs.invoice (business_id, project_id)
    WHERE project_id IS NOT NULL;

-- FK: the installments billed of an agreement.
CREATE INDEX invoice_agreement_idx
    ON hs.invoice (business_id, agreement_id)
    WHERE agreement_id IS NOT NULL;

-- FK: what adjusts an invoice.
CREATE INDEX invoice_adjusts_idx
    ON hs.invoice (business_id, adjusts_invoice_id)
    WHERE adjusts_invoice_id IS NOT NULL;

ALTER TABLE hs.invoice ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.invoice
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.invoice TO app_user;
GRANT SELECT ON hs.invoice TO app_readonly;

CREATE TRIGGER invoice_touch
    BEFORE UPDATE ON hs.invoice
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER invoice_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.invoice
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":          ["issued", "void"],
            "issued":         ["partially_paid", "paid", "overdue", "written_off", "void"],
            "partially_paid": ["issued", "paid", "overdue", "written_off", "void"],
            "overdue":        ["issued", "partially_paid", "paid", "written_off", "void"],
            "paid":           ["issued", "partially_paid", "overdue", "void"],
            "written_off":    ["issued", "partially_paid", "paid", "overdue"],
            "void":           []
        }}');

CREATE FUNCTION hs.settle_invoice() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    total   CONSTANT numeric := NEW.subtotal_amount - NEW.discount_amount + NEW.tax_amount;
    settled CONSTANT numeric := NEW.paid_amount + NEW.credited_amount;
BEGIN
    IF OLD.status = 'draft' AND NEW.status <> 'void' THEN
        NEW.invoice_on := coalesce(NEW.invoice_on, tenant_mgmt.today());
        NEW.due_on := coalesce(NEW.due_on, NEW.invoice_on + (
            SELECT c.payment_terms_days FROM hs.customer AS c
            WHERE c.business_id = NEW.business_id AND c.customer_id = NEW.customer_id));
    END IF;
    NEW.status := CASE
        WHEN NEW.status = 'void' THEN 'void'
        WHEN settled >= total THEN 'paid'
        WHEN NEW.status IN ('overdue', 'written_off') THEN NEW.status
        WHEN settled > 0 THEN 'partially_paid'
        ELSE 'issued' END;
    NEW.paid_at := CASE WHEN NEW.status = 'paid' THEN coalesce(NEW.paid_at, now()) END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.settle_invoice() IS
    'Dates an invoice when it is issued, by the terms of the customer, and derives its status from
     what is paid and credited; overdue and written off stay until it is paid.';

-- By its name it runs after invoice_status_machine, which judges what was asked for.
CREATE TRIGGER invoice_status_settle
    BEFORE UPDATE OF status, subtotal_amount, discount_amount, tax_amount, paid_amount,
                     credited_amount
    ON hs.invoice
    FOR EACH ROW WHEN (NEW.status <> 'draft')
    EXECUTE FUNCTION hs.settle_invoice();

CREATE FUNCTION hs.refuse_issued_invoice() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'invoice % was issued: what it says stays', OLD.invoice_number
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Void it, adjust it by another invoice, or grant a credit memo.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION hs.refuse_issued_invoice() IS
    'After a customer has an invoice, only its payments, credits and status change.';

CREATE TRIGGER invoice_frozen
    BEFORE UPDATE ON hs.invoice
    FOR EACH ROW WHEN (OLD.status <> 'draft' AND
        (OLD.customer_id, OLD.service_location_id, OLD.work_order_id, OLD.project_id,
         OLD.agreement_id, OLD.adjusts_invoice_id, OLD.invoice_number, OLD.invoice_kind,
         OLD.currency_code, OLD.subtotal_amount, OLD.discount_amount, OLD.tax_amount,
         OLD.customer_po_number, OLD.invoice_on, OLD.due_on)
        IS DISTINCT FROM
        (NEW.customer_id, NEW.service_location_id, NEW.work_order_id, NEW.project_id,
         NEW.agreement_id, NEW.adjusts_invoice_id, NEW.invoice_number, NEW.invoice_kind,
         NEW.currency_code, NEW.subtotal_amount, NEW.discount_amount, NEW.tax_amount,
         NEW.customer_po_number, NEW.invoice_on, NEW.due_on))
    EXECUTE FUNCTION hs.refuse_issued_invoice();

CREATE TRIGGER invoice_frozen_delete
    BEFORE DELETE ON hs.invoice
    FOR EACH ROW WHEN (OLD.status <> 'draft')
    EXECUTE FUNCTION hs.refuse_issued_invoice();

CREATE FUNCTION hs.require_not_overpaid() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    excess numeric;
BEGIN
    -- Under another tenant the invoice would not be seen.
    IF row_security_active(TG_RELID)
       AND NEW.business_id IS DISTINCT FROM tenant_mgmt.current_business_id() THEN
        RAISE EXCEPTION 'the tenant changed before the invoice was looked at'
            USING ERRCODE = 'check_violation', HINT = 'Work for one tenant in a transaction.';
    END IF;
    SELECT -i.open_balance INTO excess
    FROM hs.invoice AS i
    WHERE i.business_id = NEW.business_id AND i.invoice_id = NEW.invoice_id
      AND i.open_balance < 0;
    IF FOUND THEN
        RAISE EXCEPTION 'invoice % would be paid and credited % more than it asks for',
                        NEW.invoice_number, excess
            USING ERRCODE = 'check_violation',
                  HINT = 'Leave the rest unapplied on the payment, or reverse an allocation.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.require_not_overpaid() IS
    'Looked at when the transaction commits, so that money can be moved between invoices.';

CREATE CONSTRAINT TRIGGER invoice_not_overpaid
    AFTER INSERT OR UPDATE ON hs.invoice
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.open_balance < 0)
    EXECUTE FUNCTION hs.require_not_overpaid();

CREATE FUNCTION hs.close_paid_work_orders() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active('hs.invoice') THEN
        UPDATE hs.work_order AS w
        SET status = 'closed'
        FROM changed AS c
        JOIN stood AS o ON o.business_id = c.business_id AND o.invoice_id = c.invoice_id
        WHERE c.status IN ('paid', 'written_off')
          AND o.status NOT IN ('paid', 'written_off')
          AND w.business_id = c.business_id
          AND w.work_order_id = c.work_order_id
          AND w.status = 'invoiced'
          AND hs.work_order_objection(ROW(w.*)::hs.work_order, 'closed', NULL) IS NULL
          AND EXISTS (
              SELECT FROM hs.work_order_transition_rule AS r
              WHERE r.business_id = w.business_id
                AND r.from_status = 'invoiced'
                AND r.to_status = 'closed'
                AND r.actor_role = 'system'
                AND r.is_enabled
                AND hs.unmet_demand(ROW(r.*)::hs.work_order_transition_rule,
                                    w.work_order_id) IS NULL);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.close_paid_work_orders() IS
    'A job whose last invoice is paid or written off is closed, where the tenant''s rules let the
     system do so; a payment never fails because a job stays open.';

CREATE TRIGGER invoice_work_order_close
    AFTER UPDATE ON hs.invoice
    REFERENCING OLD TABLE AS stood NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.close_paid_work_orders();


CREATE TABLE hs.invoice_line (
    business_id          uuid                   NOT NULL,
    invoice_line_id      uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    invoice_id           uuid                   NOT NULL,
    work_order_line_id   uuid,
    service_task_id      uuid,
    stock_item_id        uuid,
    tax_rate_id          uuid,
    line_no              integer                NOT NULL,
    description          text                   NOT NULL,
    line_qty             system_core.quantity   NOT NULL DEFAULT 1,
    unit_price           system_core.unit_price NOT NULL DEFAULT 0,
    unit_cost            system_core.unit_price NOT NULL DEFAULT 0,
    discount_amount      system_core.money      NOT NULL DEFAULT 0,
    tax_pct              system_core.percentage NOT NULL DEFAULT 0,
    tax_amount           system_core.money      NOT NULL DEFAULT 0,
    line_total           system_core.money      NOT NULL GENERATED ALWAYS AS
        (round(line_qty * unit_price - discount_amount, 2)) STORED,
    revenue_account_code text,
    coverage             text                   NOT NULL DEFAULT 'customer',
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, invoice_line_id),
    UNIQUE (business_id, invoice_id, line_no),
    FOREIGN KEY (business_id, invoice_id)
        REFERENCES hs.invoice (business_id, invoice_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, work_order_line_id)
        REFERENCES hs.work_order_line (business_id, work_order_line_id),
    FOREIGN KEY (business_id, service_task_id)
        REFERENCES hs.service_task (business_id, service_task_id),
    FOREIGN KEY (business_id, stock_item_id)
        REFERENCES hs.stock_item (business_id, stock_item_id),
    FOREIGN KEY (business_id, tax_rate_id)
        REFERENCES hs.tax_rate (business_id, tax_rate_id),
    CONSTRAINT invoice_line_number_positive CHECK (line_no >= 1),
    CONSTRAINT invoice_line_quantity_not_negative CHECK (line_qty >= 0),
    CONSTRAINT invoice_line_cost_not_negative CHECK (unit_cost >= 0),
    CONSTRAINT invoice_line_discount_not_negative CHECK (discount_amount >= 0),
    CONSTRAINT invoice_line_tax_follows_rate
        CHECK (tax_amount = round(round(line_qty * unit_price - discount_amount, 2)
                                  * tax_pct / 100, 2)),
    CONSTRAINT invoice_line_tax_bounded CHECK (tax_pct BETWEEN 0 AND 100),
    CONSTRAINT invoice_line_coverage_known
        CHECK (coverage IN ('customer', 'agreement', 'warranty', 'goodwill', 'insurance')),
    CONSTRAINT invoice_line_covered_costs_nothing
        CHECK (coverage IN ('customer', 'insurance')
               OR round(line_qty * unit_price - discount_amount, 2) <= 0)
);

COMMENT ON TABLE hs.invoice_line IS
    'A billed line, frozen from the work order when the invoice was issued.';
COMMENT ON COLUMN hs.invoice_line.tax_pct IS
    'All taxes of the jurisdiction on that kind of line on the day of the invoice; tax_rate_id is
     the principal one of them.';
COMMENT ON COLUMN hs.invoice_line.coverage IS
    'Who bears it. What an agreement, a warranty or goodwill covers is shown and discounted whole.';

-- FK: where the line of a work order was billed.
CREATE INDEX invoice_line_work_order_line_idx
    ON hs.invoice_line (business_id, work_order_line_id)
    WHERE work_order_line_id IS NOT NULL;

-- FK: where a task was billed.
CREATE INDEX invoice_line_task_idx
    ON hs.invoice_line (business_id, service_task_id)
    WHERE service_task_id IS NOT NULL;

-- FK: where an item was billed.
CREATE INDEX invoice_line_item_idx
    ON hs.invoice_line (business_id, stock_item_id)
    WHERE stock_item_id IS NOT NULL;

-- FK and tax return: what was taxed by a rate.
CREATE INDEX invoice_line_tax_rate_idx
    ON hs.invoice_line (business_id, tax_rate_id)
    WHERE tax_rate_id IS NOT NULL;

ALTER TABLE hs.invoice_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.invoice_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.invoice_line TO app_user;
GRANT SELECT ON hs.invoice_line TO app_readonly;

CREATE TRIGGER invoice_line_touch
    BEFORE UPDATE ON hs.invoice_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.total_invoices() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM hs.invoice AS i
    WHERE (i.business_id, i.invoice_id) IN (SELECT c.business_id, c.invoice_id FROM changed AS c)
    ORDER BY i.business_id, i.invoice_id
    FOR NO KEY UPDATE;

    IF row_security_active(TG_RELID) AND EXISTS (
        SELECT FROM changed AS c
        JOIN hs.invoice AS i ON i.business_id = c.business_id AND i.invoice_id = c.invoice_id
        WHERE i.status <> 'draft'
    ) THEN
        RAISE EXCEPTION 'lines of an issued invoice stay as they are'
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Void it, adjust it by another invoice, or grant a credit memo.';
    END IF;

    UPDATE hs.invoice AS i
    SET subtotal_amount = s.subtotal, discount_amount = s.discount, tax_amount = s.tax
    FROM (
        SELECT t.business_id, t.invoice_id,
               coalesce(sum(l.line_total + l.discount_amount), 0) AS subtotal,
               coalesce(sum(l.discount_amount), 0) AS discount,
               coalesce(sum(l.tax_amount), 0) AS tax
        FROM (SELECT DISTINCT c.business_id, c.invoice_id FROM changed AS c) AS t
        LEFT JOIN hs.invoice_line AS l
            ON l.business_id = t.business_id AND l.invoice_id = t.invoice_id
        GROUP BY t.business_id, t.invoice_id
    ) AS s
    WHERE i.business_id = s.business_id AND i.invoice_id = s.invoice_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.total_invoices() IS
    'Keeps the totals of the invoices whose lines a statement touched; lines of an issued one are
     refused, except to whoever imports history.';

CREATE TRIGGER invoice_line_total_insert
    AFTER INSERT ON hs.invoice_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.total_invoices();

CREATE TRIGGER invoice_line_total_update
    AFTER UPDATE ON hs.invoice_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.total_invoices();

CREATE TRIGGER invoice_line_total_left
    AFTER UPDATE ON hs.invoice_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.total_invoices();

CREATE TRIGGER invoice_line_total_delete
    AFTER DELETE ON hs.invoice_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.total_invoices();


CREATE TABLE hs.payment (
    business_id                uuid                 NOT NULL,
    payment_id                 uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id                uuid                 NOT NULL,
    stored_payment_method_id   uuid,
    collected_by_technician_id uuid,
    payment_number             system_core.code     NOT NULL,
    method                     text                 NOT NULL DEFAULT 'card',
    status                     text                 NOT NULL DEFAULT 'pending',
    currency_code              system_core.currency NOT NULL,
    paid_amount                system_core.money    NOT NULL,
    allocated_amount           system_core.money    NOT NULL DEFAULT 0,
    refunded_amount            system_core.money    NOT NULL DEFAULT 0,
    unapplied_amount           system_core.money    NOT NULL GENERATED ALWAYS AS
        (CASE WHEN status IN ('captured', 'settled', 'refunded')
              THEN paid_amount - refunded_amount ELSE 0 END - allocated_amount) STORED,
    processor_fee              system_core.money    NOT NULL DEFAULT 0,
    processor_ref              text,
    authorization_code         text,
    check_number               text,
    idempotency_key            text                 NOT NULL
        DEFAULT system_core.uuid_v7()::text,
    paid_at                    timestamptz          NOT NULL DEFAULT now(),
    settled_on                 date,
    created_at                 timestamptz          NOT NULL DEFAULT now(),
    updated_at                 timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_id),
    UNIQUE (business_id, payment_number),
    UNIQUE (business_id, idempotency_key),
    FOREIGN KEY (business_id, customer_id) REFERENCES hs.customer (business_id, customer_id),
    FOREIGN KEY (business_id, stored_payment_method_id)
        REFERENCES hs.stored_payment_method (business_id, stored_payment_method_id),
    FOREIGN KEY (business_id, collected_by_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT payment_method_known
        CHECK (method IN ('card', 'ach', 'check', 'cash', 'financing', 'wire', 'gift_card')),
    CONSTRAINT payment_status_known
        CHECK (status IN ('pending', 'authorized', 'captured', 'settled', 'failed', 'refunded',
                          'charged_back')),
    CONSTRAINT payment_amount_positive CHECK (paid_amount > 0),
    CONSTRAINT payment_figures_bounded
        CHECK (allocated_amount >= 0 AND refunded_amount BETWEEN 0 AND paid_amount),
    CONSTRAINT payment_fee_bounded CHECK (processor_fee BETWEEN 0 AND paid_amount),
    CONSTRAINT payment_check_has_number CHECK (method <> 'check' OR check_number IS NOT NULL),
    CONSTRAINT payment_stored_method_is_charged
        CHECK (stored_payment_method_id IS NULL OR method IN ('card', 'ach')),
    CONSTRAINT payment_refunded_is_whole
        CHECK (status <> 'refunded' OR refunded_amount = paid_amount),
    CONSTRAINT payment_lost_was_not_refunded
        CHECK (status NOT IN ('failed', 'charged_back') OR refunded_amount = 0),
    CONSTRAINT payment_settled_has_day CHECK (status <> 'settled' OR settled_on IS NOT NULL)
);

COMMENT ON TABLE hs.payment IS 'Money received from a customer, whatever the method.';
COMMENT ON COLUMN hs.payment.status IS
    'There is money while it is captured, settled or refunded; what fails or is charged back
     loses its allocations.';
COMMENT ON COLUMN hs.payment.allocated_amount IS
    'Applied to invoices and not reversed, less refunds that name an invoice.';
COMMENT ON COLUMN hs.payment.refunded_amount IS 'Refunds of it that were processed.';
COMMENT ON COLUMN hs.payment.unapplied_amount IS
    'What is left of it: on account until it is allocated or refunded.';
COMMENT ON COLUMN hs.payment.idempotency_key IS
    'Chosen by whoever takes the payment; a second try with it takes nothing.';

-- FK and customer page: a customer's payments, newest first.
CREATE INDEX payment_customer_idx ON hs.payment (business_id, customer_id, paid_at DESC);

-- Money that waits to be applied.
CREATE INDEX payment_unapplied_idx
    ON hs.payment (business_id, customer_id) INCLUDE (unapplied_amount)
    WHERE unapplied_amount > 0;

-- FK: what was charged to a stored method.
CREATE INDEX payment_stored_method_idx
    ON hs.payment (business_id, stored_payment_method_id)
    WHERE stored_payment_method_id IS NOT NULL;

-- FK and cash count: what a technician collected.
CREATE INDEX payment_technician_idx
    ON hs.payment (business_id, collected_by_technician_id, paid_at DESC)
    WHERE collected_by_technician_id IS NOT NULL;

ALTER TABLE hs.payment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.payment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.payment TO app_user;
GRANT SELECT ON hs.payment TO app_readonly;

CREATE TRIGGER payment_touch
    BEFORE UPDATE ON hs.payment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER payment_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.payment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending", "authorized", "captured", "settled"],
        "transitions": {
            "pending":      ["authorized", "captured", "settled", "failed"],
            "authorized":   ["captured", "failed"],
            "captured":     ["settled", "failed", "refunded", "charged_back"],
            "settled":      ["failed", "refunded", "charged_back"],
            "refunded":     ["settled"],
            "charged_back": ["settled"],
            "failed":       []
        }}');

CREATE FUNCTION hs.refuse_taken_payment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'payment % was taken: what it says stays', OLD.payment_number
            USING ERRCODE = 'restrict_violation', HINT = 'Refund it, or let it fail.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION hs.refuse_taken_payment() IS
    'Who paid how much, and how, is history; only a payment that is awaited may be taken back.';

CREATE TRIGGER payment_frozen
    BEFORE UPDATE ON hs.payment
    FOR EACH ROW WHEN (OLD.status NOT IN ('pending', 'authorized') AND
        (OLD.customer_id, OLD.payment_number, OLD.method, OLD.currency_code, OLD.paid_amount,
         OLD.idempotency_key, OLD.paid_at)
        IS DISTINCT FROM
        (NEW.customer_id, NEW.payment_number, NEW.method, NEW.currency_code, NEW.paid_amount,
         NEW.idempotency_key, NEW.paid_at))
    EXECUTE FUNCTION hs.refuse_taken_payment();

CREATE TRIGGER payment_frozen_delete
    BEFORE DELETE ON hs.payment
    FOR EACH ROW WHEN (OLD.status NOT IN ('pending', 'authorized'))
    EXECUTE FUNCTION hs.refuse_taken_payment();

CREATE FUNCTION hs.require_not_overdrawn() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    excess numeric;
BEGIN
    -- Under another tenant the payment would not be seen.
    IF row_security_active(TG_RELID)
       AND NEW.business_id IS DISTINCT FROM tenant_mgmt.current_business_id() THEN
        RAISE EXCEPTION 'the tenant changed before the payment was looked at'
            USING ERRCODE = 'check_violation', HINT = 'Work for one tenant in a transaction.';
    END IF;
    SELECT -p.unapplied_amount INTO excess
    FROM hs.payment AS p
    WHERE p.business_id = NEW.business_id AND p.payment_id = NEW.payment_id
      AND p.unapplied_amount < 0;
    IF FOUND THEN
        RAISE EXCEPTION 'payment % would be applied and refunded % more than there is',
                        NEW.payment_number, excess
            USING ERRCODE = 'check_violation',
                  HINT = 'Reverse an allocation, or name the invoice that the refund is for.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.require_not_overdrawn() IS
    'Looked at when the transaction commits, so that money can be moved between invoices.';

CREATE CONSTRAINT TRIGGER payment_not_overdrawn
    AFTER INSERT OR UPDATE ON hs.payment
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.unapplied_amount < 0)
    EXECUTE FUNCTION hs.require_not_overdrawn();


CREATE FUNCTION hs.settle_customers(businesses uuid[], customers uuid[]) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM hs.customer AS c
    JOIN unnest(businesses, customers) AS t (business_id, customer_id)
        ON t.business_id = c.business_id AND t.customer_id = c.customer_id
    WHERE c.business_id = ANY (businesses)
    ORDER BY c.business_id, c.customer_id
    FOR NO KEY UPDATE OF c;

    UPDATE hs.customer AS c
    SET open_balance = owed.amount - held.amount, lifetime_revenue_amount = owed.revenue
    FROM (SELECT DISTINCT x.business_id, x.customer_id
          FROM unnest(businesses, customers) AS x (business_id, customer_id)) AS t
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(i.open_balance) FILTER (WHERE i.status <> 'written_off'), 0) AS amount,
               coalesce(sum(i.subtotal_amount - i.discount_amount), 0) AS revenue
        FROM hs.invoice AS i
        WHERE i.business_id = ANY (businesses)
          AND i.business_id = t.business_id
          AND i.customer_id = t.customer_id
          AND i.status NOT IN ('draft', 'void')
    ) AS owed
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(p.unapplied_amount), 0) AS amount
        FROM hs.payment AS p
        WHERE p.business_id = ANY (businesses)
          AND p.business_id = t.business_id
          AND p.customer_id = t.customer_id
          AND p.unapplied_amount > 0
    ) AS held
    WHERE c.business_id = ANY (businesses)
      AND c.business_id = t.business_id
      AND c.customer_id = t.customer_id
      AND (c.open_balance, c.lifetime_revenue_amount)
          IS DISTINCT FROM (owed.amount - held.amount, owed.revenue);
END
$$;
COMMENT ON FUNCTION hs.settle_customers(uuid[], uuid[]) IS
    'Brings what customers owe and what they were ever invoiced, without tax, in line with their
     invoices and payments; both arrays go together, as a trigger knows its rows.';

CREATE FUNCTION hs.settle_changed_customers() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    businesses uuid[];
    customers  uuid[];
BEGIN
    SELECT array_agg(t.business_id), array_agg(t.customer_id) INTO businesses, customers
    FROM (SELECT DISTINCT c.business_id, c.customer_id FROM changed AS c) AS t;
    IF businesses IS NOT NULL THEN
        PERFORM hs.settle_customers(businesses, customers);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.settle_changed_customers() IS
    'Lets the balances of customers follow the invoices or payments of a statement.';

CREATE TRIGGER invoice_customer_insert
    AFTER INSERT ON hs.invoice
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_changed_customers();

CREATE TRIGGER invoice_customer_update
    AFTER UPDATE ON hs.invoice
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_changed_customers();

CREATE TRIGGER invoice_customer_left
    AFTER UPDATE ON hs.invoice
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_changed_customers();

CREATE TRIGGER invoice_customer_delete
    AFTER DELETE ON hs.invoice
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_changed_customers();

CREATE TRIGGER payment_customer_insert
    AFTER INSERT ON hs.payment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_changed_customers();

CREATE TRIGGER payment_customer_update
    AFTER UPDATE ON hs.payment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_changed_customers();

CREATE TRIGGER payment_customer_left
    AFTER UPDATE ON hs.payment
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_changed_customers();

CREATE TRIGGER payment_customer_delete
    AFTER DELETE ON hs.payment
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_changed_customers();


CREATE TABLE hs.payment_allocation (
    business_id           uuid              NOT NULL,
    payment_allocation_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    payment_id            uuid              NOT NULL,
    invoice_id            uuid              NOT NULL,
    allocation_seq        integer           NOT NULL DEFAULT 1,
    allocation_kind       text              NOT NULL DEFAULT 'normal',
    allocated_amount      system_core.money NOT NULL,
    reversal_reason       text,
    note_text             text,
    allocated_at          timestamptz       NOT NULL DEFAULT now(),
    reversed_at           timestamptz,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_allocation_id),
    UNIQUE (business_id, payment_id, invoice_id, allocation_seq),
    FOREIGN KEY (business_id, payment_id) REFERENCES hs.payment (business_id, payment_id),
    FOREIGN KEY (business_id, invoice_id) REFERENCES hs.invoice (business_id, invoice_id),
    CONSTRAINT payment_allocation_kind_known
        CHECK (allocation_kind IN ('normal', 'deposit', 'discount', 'write_off')),
    CONSTRAINT payment_allocation_sequence_positive CHECK (allocation_seq >= 1),
    CONSTRAINT payment_allocation_amount_positive CHECK (allocated_amount > 0),
    CONSTRAINT payment_allocation_reversal_has_reason
        CHECK ((reversed_at IS NULL) = (reversal_reason IS NULL)),
    CONSTRAINT payment_allocation_reversed_after_allocation CHECK (reversed_at >= allocated_at)
);

COMMENT ON TABLE hs.payment_allocation IS
    'What of a payment was applied to an invoice; it is taken back by a reversal.';
COMMENT ON COLUMN hs.payment_allocation.allocation_kind IS
    'normal and deposit are money of the payment; discount and write_off are granted along with
     it and take from the invoice alone.';

-- FK: what paid an invoice.
CREATE INDEX payment_allocation_invoice_idx
    ON hs.payment_allocation (business_id, invoice_id);

ALTER TABLE hs.payment_allocation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.payment_allocation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.payment_allocation TO app_user;
GRANT SELECT ON hs.payment_allocation TO app_readonly;

CREATE TRIGGER payment_allocation_touch
    BEFORE UPDATE ON hs.payment_allocation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.refuse_allocation_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'an allocation is reversed, not changed'
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Set reversed_at with a reason and allocate anew.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION hs.refuse_allocation_change() IS
    'How money was applied stays on record; a mistake is reversed once.';

CREATE TRIGGER payment_allocation_stays_update
    BEFORE UPDATE ON hs.payment_allocation
    FOR EACH ROW WHEN (OLD.reversed_at IS NOT NULL OR
        (OLD.payment_id, OLD.invoice_id, OLD.allocation_seq, OLD.allocation_kind,
         OLD.allocated_amount, OLD.allocated_at)
        IS DISTINCT FROM
        (NEW.payment_id, NEW.invoice_id, NEW.allocation_seq, NEW.allocation_kind,
         NEW.allocated_amount, NEW.allocated_at))
    EXECUTE FUNCTION hs.refuse_allocation_change();

CREATE TRIGGER payment_allocation_stays_delete
    BEFORE DELETE ON hs.payment_allocation
    FOR EACH ROW EXECUTE FUNCTION hs.refuse_allocation_change();


CREATE TABLE hs.refund (
    business_id                 uuid              NOT NULL,
    refund_id                   uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    payment_id                  uuid              NOT NULL,
    invoice_id                  uuid,
    approved_by_user_account_id uuid,
    refund_number               system_core.code  NOT NULL,
    reason                      text              NOT NULL,
    method                      text              NOT NULL DEFAULT 'original',
    status                      text              NOT NULL DEFAULT 'requested',
    refund_amount               system_core.money NOT NULL,
    processor_ref               text,
    requested_at                timestamptz       NOT NULL DEFAULT now(),
    approved_at                 timestamptz,
    processed_at                timestamptz,
    created_at                  timestamptz       NOT NULL DEFAULT now(),
    updated_at                  timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, refund_id),
    UNIQUE (business_id, refund_number),
    FOREIGN KEY (business_id, payment_id) REFERENCES hs.payment (business_id, payment_id),
    FOREIGN KEY (business_id, invoice_id) REFERENCES hs.invoice (business_id, invoice_id),
    FOREIGN KEY (business_id, approved_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT refund_reason_known
        CHECK (reason IN ('cancelled_job', 'overcharge', 'goodwill', 'quality', 'duplicate',
                          'deposit_return')),
    CONSTRAINT refund_method_known CHECK (method IN ('original', 'check', 'store_credit')),
    CONSTRAINT refund_status_known
        CHECK (status IN ('requested', 'approved', 'processed', 'failed', 'declined')),
    CONSTRAINT refund_amount_positive CHECK (refund_amount > 0),
    CONSTRAINT refund_approved_has_time
        CHECK ((status IN ('approved', 'processed', 'failed')) = (approved_at IS NOT NULL)),
    CONSTRAINT refund_processed_has_time
        CHECK ((status = 'processed') = (processed_at IS NOT NULL)),
    CONSTRAINT refund_approved_after_request CHECK (approved_at >= requested_at),
    CONSTRAINT refund_processed_after_approval CHECK (processed_at >= approved_at)
);

COMMENT ON TABLE hs.refund IS 'Money of a payment that goes back to the customer.';
COMMENT ON COLUMN hs.refund.invoice_id IS
    'The invoice that is less paid by it; NULL: it is taken from what the payment has left.';

-- FK: what went back of a payment.
CREATE INDEX refund_payment_idx ON hs.refund (business_id, payment_id);

-- FK: what went back of an invoice.
CREATE INDEX refund_invoice_idx
    ON hs.refund (business_id, invoice_id)
    WHERE invoice_id IS NOT NULL;

-- FK: what an account approved.
CREATE INDEX refund_approver_idx
    ON hs.refund (business_id, approved_by_user_account_id)
    WHERE approved_by_user_account_id IS NOT NULL;

-- The office's list: what waits for approval or the processor.
CREATE INDEX refund_waiting_idx
    ON hs.refund (business_id, requested_at)
    WHERE status IN ('requested', 'approved');

ALTER TABLE hs.refund ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.refund
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.refund TO app_user;
GRANT SELECT ON hs.refund TO app_readonly;

CREATE TRIGGER refund_touch
    BEFORE UPDATE ON hs.refund
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER refund_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.refund
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["requested"],
        "transitions": {
            "requested": ["approved", "declined"],
            "approved":  ["processed", "failed"],
            "failed":    ["approved"],
            "processed": [],
            "declined":  []
        }}');

CREATE FUNCTION hs.date_refund() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.approved_at := CASE WHEN NEW.status = 'approved' THEN coalesce(NEW.approved_at, now())
                            WHEN NEW.status = 'declined' THEN NULL
                            ELSE NEW.approved_at END;
    NEW.processed_at := CASE WHEN NEW.status = 'processed'
                             THEN coalesce(NEW.processed_at, now()) END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.date_refund() IS 'Stamps when a refund was approved and processed.';

CREATE TRIGGER refund_status_times
    BEFORE UPDATE OF status ON hs.refund
    FOR EACH ROW WHEN (NEW.status <> OLD.status)
    EXECUTE FUNCTION hs.date_refund();

CREATE FUNCTION hs.refuse_processed_refund() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'refund % was approved: what it says stays', OLD.refund_number
            USING ERRCODE = 'restrict_violation', HINT = 'Let it fail and request another.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION hs.refuse_processed_refund() IS
    'What was approved is paid out as it was approved, and stays on record.';

CREATE TRIGGER refund_frozen
    BEFORE UPDATE ON hs.refund
    FOR EACH ROW WHEN (OLD.status <> 'requested' AND
        (OLD.payment_id, OLD.invoice_id, OLD.refund_amount, OLD.refund_number)
        IS DISTINCT FROM
        (NEW.payment_id, NEW.invoice_id, NEW.refund_amount, NEW.refund_number))
    EXECUTE FUNCTION hs.refuse_processed_refund();

CREATE TRIGGER refund_frozen_delete
    BEFORE DELETE ON hs.refund
    FOR EACH ROW WHEN (OLD.status <> 'requested')
    EXECUTE FUNCTION hs.refuse_processed_refund();


CREATE TABLE hs.credit_memo (
    business_id           uuid              NOT NULL,
    credit_memo_id        uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id           uuid              NOT NULL,
    invoice_id            uuid,
    customer_complaint_id uuid,
    credit_number         system_core.code  NOT NULL,
    reason                text              NOT NULL,
    status                text              NOT NULL DEFAULT 'open',
    credit_amount         system_core.money NOT NULL,
    applied_amount        system_core.money NOT NULL DEFAULT 0,
    approval_note         text,
    issued_on             date              NOT NULL,
    expires_on            date,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, credit_memo_id),
    UNIQUE (business_id, credit_number),
    FOREIGN KEY (business_id, customer_id) REFERENCES hs.customer (business_id, customer_id),
    FOREIGN KEY (business_id, invoice_id) REFERENCES hs.invoice (business_id, invoice_id),
    FOREIGN KEY (business_id, customer_complaint_id)
        REFERENCES hs.customer_complaint (business_id, customer_complaint_id),
    CONSTRAINT credit_memo_reason_known
        CHECK (reason IN ('billing_error', 'quality', 'goodwill', 'warranty', 'return')),
    CONSTRAINT credit_memo_status_known
        CHECK (status IN ('open', 'applied', 'expired', 'void')),
    CONSTRAINT credit_memo_amount_positive CHECK (credit_amount > 0),
    CONSTRAINT credit_memo_applied_bounded CHECK (applied_amount BETWEEN 0 AND credit_amount),
    CONSTRAINT credit_memo_applied_to_an_invoice
        CHECK (applied_amount = 0 OR invoice_id IS NOT NULL),
    CONSTRAINT credit_memo_applied_is_whole
        CHECK (status NOT IN ('open', 'applied')
               OR (status = 'applied') = (applied_amount = credit_amount)),
    CONSTRAINT credit_memo_void_is_not_applied CHECK (status <> 'void' OR applied_amount = 0),
    CONSTRAINT credit_memo_expires_after_issue CHECK (expires_on > issued_on)
);

COMMENT ON TABLE hs.credit_memo IS
    'Credit granted to a customer, on an invoice or to be used on a later one.';
COMMENT ON COLUMN hs.credit_memo.applied_amount IS 'What of it was taken off the invoice.';

-- FK and payment screen: the credit that a customer has left.
CREATE INDEX credit_memo_customer_idx ON hs.credit_memo (business_id, customer_id, status);

-- FK: the credits on an invoice.
CREATE INDEX credit_memo_invoice_idx
    ON hs.credit_memo (business_id, invoice_id)
    WHERE invoice_id IS NOT NULL;

-- FK: what was granted for a complaint.
CREATE INDEX credit_memo_complaint_idx
    ON hs.credit_memo (business_id, customer_complaint_id)
    WHERE customer_complaint_id IS NOT NULL;

ALTER TABLE hs.credit_memo ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.credit_memo
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.credit_memo TO app_user;
GRANT SELECT ON hs.credit_memo TO app_readonly;

CREATE TRIGGER credit_memo_touch
    BEFORE UPDATE ON hs.credit_memo
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER credit_memo_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.credit_memo
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":    ["applied", "expired", "void"],
            "applied": ["open"],
            "expired": [],
            "void":    []
        }}');


CREATE FUNCTION hs.settle_payments(businesses uuid[], payments uuid[]) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
    theirs uuid[];
BEGIN
    -- Tenant by tenant, as rows lie on a cluster.
    FOR tenant, theirs IN
        SELECT t.business_id, array_agg(DISTINCT t.payment_id)
        FROM unnest(businesses, payments) AS t (business_id, payment_id)
        GROUP BY t.business_id
        ORDER BY t.business_id
    LOOP
        PERFORM FROM hs.payment AS p
        WHERE p.business_id = tenant AND p.payment_id = ANY (theirs)
        ORDER BY p.payment_id
        FOR NO KEY UPDATE;

        UPDATE hs.payment AS p
        SET allocated_amount = applied.amount - back.of_invoices,
            refunded_amount = back.amount,
            status = CASE WHEN p.status IN ('captured', 'settled')
                               AND back.amount = p.paid_amount
                          THEN 'refunded' ELSE p.status END
        FROM unnest(theirs) AS t (payment_id)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(a.allocated_amount), 0) AS amount
            FROM hs.payment_allocation AS a
            WHERE a.business_id = tenant
              AND a.payment_id = t.payment_id
              AND a.reversed_at IS NULL
              AND a.allocation_kind IN ('normal', 'deposit')
        ) AS applied
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(r.refund_amount), 0) AS amount,
                   coalesce(sum(r.refund_amount) FILTER (WHERE r.invoice_id IS NOT NULL), 0)
                       AS of_invoices
            FROM hs.refund AS r
            WHERE r.business_id = tenant
              AND r.payment_id = t.payment_id
              AND r.status = 'processed'
        ) AS back
        WHERE p.business_id = tenant
          AND p.payment_id = t.payment_id
          AND (p.allocated_amount, p.refunded_amount)
              IS DISTINCT FROM (applied.amount - back.of_invoices, back.amount);
    END LOOP;
END
$$;
COMMENT ON FUNCTION hs.settle_payments(uuid[], uuid[]) IS
    'Brings what is allocated and refunded of payments in line with the rows, under their locks.';

CREATE FUNCTION hs.settle_invoices(businesses uuid[], invoices uuid[]) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
    theirs uuid[];
BEGIN
    FOR tenant, theirs IN
        SELECT t.business_id, array_agg(DISTINCT t.invoice_id)
        FROM unnest(businesses, invoices) AS t (business_id, invoice_id)
        GROUP BY t.business_id
        ORDER BY t.business_id
    LOOP
        PERFORM FROM hs.invoice AS i
        WHERE i.business_id = tenant AND i.invoice_id = ANY (theirs)
        ORDER BY i.invoice_id
        FOR NO KEY UPDATE;

        UPDATE hs.invoice AS i
        SET paid_amount = applied.money - back.amount,
            credited_amount = applied.granted + memo.amount
        FROM unnest(theirs) AS t (invoice_id)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(a.allocated_amount)
                       FILTER (WHERE a.allocation_kind IN ('normal', 'deposit')), 0) AS money,
                   coalesce(sum(a.allocated_amount)
                       FILTER (WHERE a.allocation_kind IN ('discount', 'write_off')), 0)
                       AS granted
            FROM hs.payment_allocation AS a
            WHERE a.business_id = tenant
              AND a.invoice_id = t.invoice_id
              AND a.reversed_at IS NULL
        ) AS applied
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(r.refund_amount), 0) AS amount
            FROM hs.refund AS r
            WHERE r.business_id = tenant
              AND r.invoice_id = t.invoice_id
              AND r.status = 'processed'
        ) AS back
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(m.applied_amount), 0) AS amount
            FROM hs.credit_memo AS m
            WHERE m.business_id = tenant AND m.invoice_id = t.invoice_id
        ) AS memo
        WHERE i.business_id = tenant
          AND i.invoice_id = t.invoice_id
          AND (i.paid_amount, i.credited_amount)
              IS DISTINCT FROM (applied.money - back.amount, applied.granted + memo.amount);
    END LOOP;
END
$$;
COMMENT ON FUNCTION hs.settle_invoices(uuid[], uuid[]) IS
    'Brings what is paid and credited of invoices in line with the rows, under their locks.';


CREATE FUNCTION hs.settle_allocations() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    businesses uuid[];
    payments   uuid[];
    invoices   uuid[];
    wrong      record;
BEGIN
    SELECT array_agg(c.business_id), array_agg(c.payment_id), array_agg(c.invoice_id)
    INTO businesses, payments, invoices
    FROM changed AS c;
    IF businesses IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM hs.settle_payments(businesses, payments);
    PERFORM hs.settle_invoices(businesses, invoices);

    SELECT p.payment_number, i.invoice_number INTO wrong
    FROM changed AS c
    JOIN hs.payment AS p ON p.business_id = c.business_id AND p.payment_id = c.payment_id
    JOIN hs.invoice AS i ON i.business_id = c.business_id AND i.invoice_id = c.invoice_id
    WHERE c.reversed_at IS NULL
      AND (p.customer_id <> i.customer_id OR p.currency_code <> i.currency_code)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'payment % and invoice % are of different customers or currencies',
                        wrong.payment_number, wrong.invoice_number
            USING ERRCODE = 'check_violation',
                  HINT = 'Refund it, and let the other customer pay.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.settle_allocations() IS
    'Lets payments and invoices follow their allocations; what would be applied beyond either is
     refused when the transaction commits.';

CREATE TRIGGER payment_allocation_settle_insert
    AFTER INSERT ON hs.payment_allocation
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_allocations();

CREATE TRIGGER payment_allocation_settle_update
    AFTER UPDATE ON hs.payment_allocation
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_allocations();

CREATE TRIGGER payment_allocation_settle_left
    AFTER UPDATE ON hs.payment_allocation
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_allocations();

CREATE TRIGGER payment_allocation_settle_delete
    AFTER DELETE ON hs.payment_allocation
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_allocations();


CREATE FUNCTION hs.settle_refunds() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    businesses uuid[];
    payments   uuid[];
    invoices   uuid[];
    wrong      record;
BEGIN
    SELECT array_agg(c.business_id), array_agg(c.payment_id), array_agg(c.invoice_id)
    INTO businesses, payments, invoices
    FROM changed AS c;
    IF businesses IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM FROM hs.payment AS p
    JOIN unnest(businesses, payments) AS t (business_id, payment_id)
        ON t.business_id = p.business_id AND t.payment_id = p.payment_id
    ORDER BY p.business_id, p.payment_id
    FOR NO KEY UPDATE OF p;

    SELECT p.payment_number, p.paid_amount, sum(r.refund_amount) AS refunds INTO wrong
    FROM (SELECT DISTINCT c.business_id, c.payment_id FROM changed AS c) AS t
    JOIN hs.payment AS p ON p.business_id = t.business_id AND p.payment_id = t.payment_id
    JOIN hs.refund AS r ON r.business_id = t.business_id AND r.payment_id = t.payment_id
    WHERE r.status IN ('requested', 'approved', 'processed')
    GROUP BY p.business_id, p.payment_id, p.payment_number, p.paid_amount
    HAVING sum(r.refund_amount) > p.paid_amount
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'refunds of % exceed payment % of %', wrong.refunds,
                        wrong.payment_number, wrong.paid_amount
            USING ERRCODE = 'check_violation';
    END IF;

    SELECT p.payment_number, i.invoice_number INTO wrong
    FROM (SELECT DISTINCT c.business_id, c.payment_id, c.invoice_id FROM changed AS c) AS t
    JOIN hs.payment AS p ON p.business_id = t.business_id AND p.payment_id = t.payment_id
    JOIN hs.invoice AS i ON i.business_id = t.business_id AND i.invoice_id = t.invoice_id
    WHERE (SELECT coalesce(sum(r.refund_amount), 0)
           FROM hs.refund AS r
           WHERE r.business_id = t.business_id
             AND r.payment_id = t.payment_id
             AND r.invoice_id = t.invoice_id
             AND r.status = 'processed')
        > (SELECT coalesce(sum(a.allocated_amount), 0)
           FROM hs.payment_allocation AS a
           WHERE a.business_id = t.business_id
             AND a.payment_id = t.payment_id
             AND a.invoice_id = t.invoice_id
             AND a.reversed_at IS NULL
             AND a.allocation_kind IN ('normal', 'deposit'))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'more would go back of payment % than it paid of invoice %',
                        wrong.payment_number, wrong.invoice_number
            USING ERRCODE = 'check_violation';
    END IF;

    SELECT p.payment_number, p.status INTO wrong
    FROM changed AS c
    JOIN hs.payment AS p ON p.business_id = c.business_id AND p.payment_id = c.payment_id
    WHERE c.status = 'processed' AND p.status NOT IN ('captured', 'settled', 'refunded')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'payment % is %: there is no money to go back', wrong.payment_number,
                        wrong.status
            USING ERRCODE = 'check_violation';
    END IF;

    PERFORM hs.settle_payments(businesses, payments);
    PERFORM hs.settle_invoices(businesses, invoices);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.settle_refunds() IS
    'Lets payments and invoices follow their refunds; no more is refunded or promised than was
     paid, and no more of an invoice than the payment paid of it.';

CREATE TRIGGER refund_settle_insert
    AFTER INSERT ON hs.refund
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_refunds();

CREATE TRIGGER refund_settle_update
    AFTER UPDATE ON hs.refund
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_refunds();


CREATE FUNCTION hs.settle_credit_memos() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    businesses uuid[];
    invoices   uuid[];
    wrong      record;
BEGIN
    SELECT array_agg(c.business_id), array_agg(c.invoice_id) INTO businesses, invoices
    FROM changed AS c
    WHERE c.invoice_id IS NOT NULL;
    IF businesses IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM hs.settle_invoices(businesses, invoices);

    SELECT c.credit_number, i.invoice_number INTO wrong
    FROM changed AS c
    JOIN hs.invoice AS i ON i.business_id = c.business_id AND i.invoice_id = c.invoice_id
    WHERE c.customer_id <> i.customer_id
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'credit memo % and invoice % are of different customers',
                        wrong.credit_number, wrong.invoice_number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.settle_credit_memos() IS
    'Lets invoices follow the credit that was granted on them.';

CREATE TRIGGER credit_memo_settle_insert
    AFTER INSERT ON hs.credit_memo
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_credit_memos();

CREATE TRIGGER credit_memo_settle_update
    AFTER UPDATE ON hs.credit_memo
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_credit_memos();

CREATE TRIGGER credit_memo_settle_left
    AFTER UPDATE ON hs.credit_memo
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_credit_memos();

CREATE TRIGGER credit_memo_settle_delete
    AFTER DELETE ON hs.credit_memo
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.settle_credit_memos();


CREATE FUNCTION hs.reverse_lost_payments() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE hs.payment_allocation AS a
    SET reversed_at = greatest(now(), a.allocated_at),
        reversal_reason = replace(c.status, '_', ' ')
    FROM changed AS c
    JOIN stood AS o ON o.business_id = c.business_id AND o.payment_id = c.payment_id
    WHERE c.status IN ('failed', 'charged_back')
      AND o.status <> c.status
      AND a.business_id = c.business_id
      AND a.payment_id = c.payment_id
      AND a.reversed_at IS NULL;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.reverse_lost_payments() IS
    'Money that bounced or was charged back pays nothing: its invoices are open again.';

CREATE TRIGGER payment_lost_reversal
    AFTER UPDATE ON hs.payment
    REFERENCING OLD TABLE AS stood NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.reverse_lost_payments();


CREATE FUNCTION hs.allocate_payment(
    of_payment     uuid,
    strategy       text DEFAULT 'oldest_first',
    named_invoices uuid[] DEFAULT NULL
) RETURNS SETOF hs.payment_allocation
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    money  hs.payment;
    locked uuid[];
BEGIN
    IF coalesce(strategy, '') NOT IN ('oldest_first', 'named')
       OR (strategy = 'named') <> (coalesce(cardinality(named_invoices), 0) > 0) THEN
        RAISE EXCEPTION 'money is allocated oldest first, or to invoices that are named'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give strategy oldest_first alone, or named with invoices.';
    END IF;
    SELECT p.* INTO money FROM hs.payment AS p
    WHERE p.business_id = tenant AND p.payment_id = of_payment
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no payment %', of_payment USING ERRCODE = 'no_data_found';
    ELSIF money.status NOT IN ('captured', 'settled', 'refunded') THEN
        RAISE EXCEPTION 'payment % is %: there is no money to allocate', money.payment_number,
                        money.status
            USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (
        SELECT FROM unnest(named_invoices) AS n (invoice_id)
        LEFT JOIN hs.invoice AS i
            ON i.business_id = tenant AND i.invoice_id = n.invoice_id
            AND i.customer_id = money.customer_id AND i.status NOT IN ('draft', 'void')
        WHERE i.invoice_id IS NULL
    ) THEN
        RAISE EXCEPTION 'an invoice that is named was not issued to the payer'
            USING ERRCODE = 'no_data_found';
    END IF;

    SELECT array_agg(o.invoice_id) INTO locked
    FROM (
        SELECT i.invoice_id FROM hs.invoice AS i
        WHERE i.business_id = tenant
          AND i.customer_id = money.customer_id
          AND i.currency_code = money.currency_code
          AND i.open_balance > 0
          AND CASE strategy WHEN 'named' THEN i.invoice_id = ANY (named_invoices)
                            ELSE i.status <> 'written_off' END
        ORDER BY i.invoice_id
        FOR NO KEY UPDATE
    ) AS o;

    RETURN QUERY
    WITH place AS (
        SELECT i.invoice_id, i.invoice_kind, i.open_balance,
               sum(i.open_balance) OVER (
                   ORDER BY array_position(named_invoices, i.invoice_id), i.due_on, i.invoice_on,
                            i.invoice_id
               ) - i.open_balance AS open_before
        FROM hs.invoice AS i
        WHERE i.business_id = tenant AND i.invoice_id = ANY (locked)
    )
    INSERT INTO hs.payment_allocation
        (business_id, payment_id, invoice_id, allocation_seq, allocation_kind, allocated_amount)
    SELECT tenant, of_payment, p.invoice_id,
           (SELECT coalesce(max(a.allocation_seq), 0) + 1
            FROM hs.payment_allocation AS a
            WHERE a.business_id = tenant
              AND a.payment_id = of_payment
              AND a.invoice_id = p.invoice_id),
           CASE p.invoice_kind WHEN 'deposit' THEN 'deposit' ELSE 'normal' END,
           least(p.open_balance, money.unapplied_amount - p.open_before)
    FROM place AS p
    WHERE p.open_before < money.unapplied_amount
    RETURNING *;
END
$$;
COMMENT ON FUNCTION hs.allocate_payment(uuid, text, uuid[]) IS
    'Applies what is left of a payment of the current tenant to open invoices of its customer: the
     oldest due first, or those that are named in their order. Payment and invoices are locked
     before they are summed, so two calls never apply the same money or pay an invoice twice; what
     is beyond them stays unapplied.';


CREATE FUNCTION hs.take_payment(
    bill            uuid,
    amount          numeric,
    method          text,
    idempotency_key text,
    processor_ref   text DEFAULT NULL,
    check_number    text DEFAULT NULL,
    by_technician   uuid DEFAULT NULL
) RETURNS TABLE (business_id uuid, payment_id uuid, payment_number text, allocated_amount numeric,
                 unapplied_amount numeric, invoice_status text, open_balance numeric)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    owed   hs.invoice;
    taken  hs.payment;
BEGIN
    SELECT i.* INTO owed FROM hs.invoice AS i
    WHERE i.business_id = tenant AND i.invoice_id = bill AND i.status NOT IN ('draft', 'void');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no issued invoice %', bill USING ERRCODE = 'no_data_found';
    END IF;

    INSERT INTO hs.payment AS p
        (business_id, customer_id, collected_by_technician_id, payment_number, method, status,
         currency_code, paid_amount, processor_ref, check_number, idempotency_key, settled_on)
    SELECT tenant, owed.customer_id, by_technician,
           system_core.next_document_number('payment'), take_payment.method,
           CASE WHEN take_payment.method = 'cash' THEN 'settled'
                WHEN take_payment.method IN ('ach', 'wire', 'financing') THEN 'pending'
                ELSE 'captured' END,
           owed.currency_code, amount, take_payment.processor_ref, take_payment.check_number,
           take_payment.idempotency_key,
           CASE WHEN take_payment.method = 'cash' THEN tenant_mgmt.today() END
    WHERE NOT EXISTS (
        SELECT FROM hs.payment AS x
        WHERE x.business_id = tenant AND x.idempotency_key = take_payment.idempotency_key)
    ON CONFLICT (business_id, idempotency_key) DO NOTHING
    RETURNING p.* INTO taken;

    IF FOUND AND taken.status IN ('captured', 'settled') THEN
        PERFORM hs.allocate_payment(taken.payment_id, 'named', ARRAY[bill]);
    ELSIF taken.payment_id IS NULL THEN
        SELECT p.* INTO taken FROM hs.payment AS p
        WHERE p.business_id = tenant AND p.idempotency_key = take_payment.idempotency_key;
        IF (taken.customer_id, taken.paid_amount, taken.method)
           IS DISTINCT FROM (owed.customer_id, amount::system_core.money, take_payment.method) THEN
            RAISE EXCEPTION 'payment % was taken with key % and says something else',
                            taken.payment_number, idempotency_key
                USING ERRCODE = 'unique_violation', HINT = 'Choose a key for each payment.';
        END IF;
    END IF;

    RETURN QUERY
    SELECT p.business_id, p.payment_id, p.payment_number::text, p.allocated_amount::numeric,
           p.unapplied_amount::numeric, i.status, i.open_balance::numeric
    FROM hs.payment AS p
    JOIN hs.invoice AS i ON i.business_id = p.business_id AND i.invoice_id = bill
    WHERE p.business_id = tenant AND p.payment_id = taken.payment_id;
END
$$;
COMMENT ON FUNCTION hs.take_payment(uuid, numeric, text, text, text, text, uuid) IS
    'Takes a payment for an invoice of the current tenant and applies it, once per key: a second
     try tells what the first did. A bank transfer waits until it arrives; what is paid beyond the
     invoice stays on account. The number is taken from the sequence payment.';


CREATE FUNCTION hs.apply_credit_memo(memo uuid, bill uuid DEFAULT NULL) RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    owed   hs.invoice;
    credit hs.credit_memo;
    used   numeric;
BEGIN
    SELECT i.* INTO owed FROM hs.invoice AS i
    WHERE i.business_id = tenant
      AND i.invoice_id = coalesce(bill, (
          SELECT m.invoice_id FROM hs.credit_memo AS m
          WHERE m.business_id = tenant AND m.credit_memo_id = memo))
      AND i.status NOT IN ('draft', 'void')
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no issued invoice to apply the credit to'
            USING ERRCODE = 'no_data_found';
    END IF;
    SELECT m.* INTO credit FROM hs.credit_memo AS m
    WHERE m.business_id = tenant AND m.credit_memo_id = memo
    FOR NO KEY UPDATE;
    IF NOT FOUND OR credit.status <> 'open' OR credit.expires_on < tenant_mgmt.today()
       OR credit.applied_amount > 0 AND credit.invoice_id <> owed.invoice_id THEN
        RAISE EXCEPTION 'credit memo % is not open for invoice %',
                        coalesce(credit.credit_number::text, memo::text), owed.invoice_number
            USING ERRCODE = 'check_violation',
                  HINT = 'It is open, has not expired, and is used on one invoice.';
    END IF;

    used := least(credit.credit_amount - credit.applied_amount, owed.open_balance);
    UPDATE hs.credit_memo AS m
    SET invoice_id = owed.invoice_id,
        applied_amount = m.applied_amount + used,
        status = CASE WHEN m.applied_amount + used = m.credit_amount THEN 'applied'
                      ELSE m.status END
    WHERE m.business_id = tenant AND m.credit_memo_id = memo AND used > 0;
    RETURN used;
END
$$;
COMMENT ON FUNCTION hs.apply_credit_memo(uuid, uuid) IS
    'Takes what is left of an open credit memo of the current tenant off its invoice, or off one
     that is named where it has none yet; returns how much.';


CREATE FUNCTION hs.issue_invoice(of_work_order uuid) RETURNS hs.invoice
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    today  CONSTANT date := tenant_mgmt.today();
    job    hs.work_order;
    payer  hs.customer;
    unit   hs.business_unit;
    bill   hs.invoice;
BEGIN
    SELECT w.* INTO job FROM hs.work_order AS w
    WHERE w.business_id = tenant AND w.work_order_id = of_work_order
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no work order %', of_work_order USING ERRCODE = 'no_data_found';
    ELSIF job.status <> 'completed' THEN
        RAISE EXCEPTION 'work order % is %: it is invoiced when it is completed',
                        job.work_order_number, job.status
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT c.* INTO payer FROM hs.customer AS c
    WHERE c.business_id = tenant AND c.customer_id = job.customer_id;
    SELECT u.* INTO unit FROM hs.business_unit AS u
    WHERE u.business_id = tenant AND u.business_unit_id = job.business_unit_id;

    INSERT INTO hs.invoice AS i
        (business_id, customer_id, service_location_id, work_order_id, project_id,
         invoice_number, invoice_kind, currency_code, customer_po_number)
    SELECT tenant, job.customer_id, job.service_location_id, job.work_order_id, job.project_id,
           system_core.next_document_number('invoice', unit.unit_code), 'job', b.currency_code,
           job.customer_po_number
    FROM tenant_mgmt.business AS b
    WHERE b.business_id = tenant
    RETURNING i.* INTO bill;

    INSERT INTO hs.invoice_line
        (business_id, invoice_id, work_order_line_id, service_task_id, stock_item_id, tax_rate_id,
         line_no, description, line_qty, unit_price, unit_cost, discount_amount, tax_pct,
         tax_amount, revenue_account_code, coverage)
    SELECT tenant, bill.invoice_id, l.work_order_line_id, l.service_task_id, l.stock_item_id,
           CASE WHEN tax.pct > 0 THEN rate.tax_rate_id END,
           row_number() OVER (ORDER BY l.line_no), l.description, l.line_qty, l.unit_price,
           l.unit_cost, price.discount, tax.pct,
           round(round(l.line_qty * l.unit_price - price.discount, 2) * tax.pct / 100, 2),
           unit.revenue_account_code, l.coverage
    FROM hs.work_order_line AS l
    LEFT JOIN hs.service_task AS t
        ON t.business_id = l.business_id AND t.service_task_id = l.service_task_id
    LEFT JOIN hs.stock_item AS s
        ON s.business_id = l.business_id AND s.stock_item_id = l.stock_item_id
    LEFT JOIN LATERAL hs.location_tax(
        tenant, job.service_location_id,
        CASE WHEN l.line_kind IN ('material', 'equipment') THEN 'parts' ELSE 'labor' END,
        today) AS rate ON true
    CROSS JOIN LATERAL (
        SELECT CASE WHEN l.coverage IN ('customer', 'insurance') THEN l.discount_amount
                    ELSE greatest(round(l.line_qty * l.unit_price, 2), l.discount_amount)
               END AS discount
    ) AS price
    CROSS JOIN LATERAL (
        SELECT CASE WHEN payer.is_tax_exempt OR NOT coalesce(t.is_taxable, s.is_taxable, true)
                    THEN 0
                    ELSE coalesce(rate.tax_pct, l.tax_pct) END AS pct
    ) AS tax
    WHERE l.business_id = tenant
      AND l.work_order_id = job.work_order_id
      AND l.is_billable
      AND l.voided_at IS NULL;

    UPDATE hs.invoice AS i
    SET status = 'issued'
    WHERE i.business_id = tenant AND i.invoice_id = bill.invoice_id
    RETURNING i.* INTO bill;
    IF bill.total_amount = 0 THEN
        RAISE EXCEPTION 'work order % has nothing to bill', job.work_order_number
            USING ERRCODE = 'check_violation', HINT = 'Close it without an invoice.';
    END IF;
    PERFORM hs.transition_work_order(job.work_order_id, 'invoiced', 'system');
    RETURN bill;
END
$$;
COMMENT ON FUNCTION hs.issue_invoice(uuid) IS
    'Bills a completed work order of the current tenant: freezes its billable lines, discounts
     whole what is covered, taxes the rest by the jurisdiction of the location as of today, numbers
     the invoice by the sequence invoice (of the business unit where it has its own), and moves
     the work order to invoiced.';


CREATE FUNCTION hs.void_invoice(bill uuid, reason text) RETURNS hs.invoice
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    gone   hs.invoice;
BEGIN
    -- Locked in the order that every writer keeps: payments before the invoice.
    PERFORM FROM hs.payment AS p
    WHERE p.business_id = tenant
      AND p.payment_id IN (
          SELECT a.payment_id FROM hs.payment_allocation AS a
          WHERE a.business_id = tenant AND a.invoice_id = bill AND a.reversed_at IS NULL)
    ORDER BY p.payment_id
    FOR NO KEY UPDATE;
    PERFORM FROM hs.invoice AS i
    WHERE i.business_id = tenant AND i.invoice_id = bill AND i.status <> 'void'
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no invoice % to be voided', bill USING ERRCODE = 'no_data_found';
    END IF;

    UPDATE hs.payment_allocation AS a
    SET reversed_at = greatest(now(), a.allocated_at), reversal_reason = 'invoice void'
    WHERE a.business_id = tenant AND a.invoice_id = bill AND a.reversed_at IS NULL;
    UPDATE hs.credit_memo AS m
    SET applied_amount = 0, status = CASE m.status WHEN 'applied' THEN 'open' ELSE m.status END
    WHERE m.business_id = tenant AND m.invoice_id = bill AND m.applied_amount > 0;
    UPDATE hs.invoice AS i
    SET status = 'void', void_reason = reason
    WHERE i.business_id = tenant AND i.invoice_id = bill
    RETURNING i.* INTO gone;

    IF gone.invoice_kind = 'job' AND EXISTS (
        SELECT FROM hs.work_order AS w
        WHERE w.business_id = tenant
          AND w.work_order_id = gone.work_order_id
          AND w.status = 'invoiced'
    ) THEN
        PERFORM hs.transition_work_order(gone.work_order_id, 'completed', 'system');
    END IF;
    RETURN gone;
END
$$;
COMMENT ON FUNCTION hs.void_invoice(uuid, text) IS
    'Takes an invoice of the current tenant back: its payments are unapplied again, its credit is
     open, and its work order is completed and can be billed anew. Not after a refund of it.';


CREATE FUNCTION hs.mark_overdue_invoices(on_day date DEFAULT tenant_mgmt.today()) RETURNS integer
    LANGUAGE sql
BEGIN ATOMIC
    WITH late AS (
        SELECT i.business_id, i.invoice_id
        FROM hs.invoice AS i
        WHERE i.business_id = tenant_mgmt.current_business_id()
          AND i.open_balance > 0
          AND i.status <> 'written_off'
          AND i.status IN ('issued', 'partially_paid')
          AND i.due_on < on_day
        ORDER BY i.invoice_id
        FOR NO KEY UPDATE
    ), marked AS (
        UPDATE hs.invoice AS i
        SET status = 'overdue'
        FROM late AS l
        WHERE i.business_id = l.business_id AND i.invoice_id = l.invoice_id
        RETURNING i.invoice_id
    )
    SELECT count(*)::integer FROM marked;
END;
COMMENT ON FUNCTION hs.mark_overdue_invoices(date) IS
    'Marks the open invoices of the current tenant that were due before a day; how many.';


CREATE FUNCTION hs.reconcile_receivables()
    RETURNS TABLE (subject text, subject_id uuid, document_number text, figure text,
                   recorded numeric, proven numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH line AS (
        SELECT l.invoice_id, sum(l.line_total + l.discount_amount) AS subtotal,
               sum(l.discount_amount) AS discount, sum(l.tax_amount) AS tax
        FROM hs.invoice_line AS l
        WHERE l.business_id = tenant_mgmt.current_business_id()
        GROUP BY l.invoice_id
    ), allocated AS (
        SELECT a.payment_id, a.invoice_id,
               coalesce(sum(a.allocated_amount)
                   FILTER (WHERE a.allocation_kind IN ('normal', 'deposit')), 0) AS money,
               coalesce(sum(a.allocated_amount)
                   FILTER (WHERE a.allocation_kind IN ('discount', 'write_off')), 0) AS granted
        FROM hs.payment_allocation AS a
        WHERE a.business_id = tenant_mgmt.current_business_id() AND a.reversed_at IS NULL
        GROUP BY a.payment_id, a.invoice_id
    ), refunded AS (
        SELECT r.payment_id, r.invoice_id, sum(r.refund_amount) AS amount
        FROM hs.refund AS r
        WHERE r.business_id = tenant_mgmt.current_business_id() AND r.status = 'processed'
        GROUP BY r.payment_id, r.invoice_id
    ), credited AS (
        SELECT m.invoice_id, sum(m.applied_amount) AS amount
        FROM hs.credit_memo AS m
        WHERE m.business_id = tenant_mgmt.current_business_id() AND m.invoice_id IS NOT NULL
        GROUP BY m.invoice_id
    ), invoice_proof AS (
        SELECT i.*, coalesce(l.subtotal, 0) AS line_subtotal, coalesce(l.discount, 0) AS
               line_discount, coalesce(l.tax, 0) AS line_tax,
               coalesce(a.money, 0) - coalesce(r.amount, 0) AS money,
               coalesce(a.granted, 0) + coalesce(c.amount, 0) AS granted
        FROM hs.invoice AS i
        LEFT JOIN line AS l ON l.invoice_id = i.invoice_id
        LEFT JOIN (SELECT x.invoice_id, sum(x.money) AS money, sum(x.granted) AS granted
                   FROM allocated AS x GROUP BY x.invoice_id) AS a
            ON a.invoice_id = i.invoice_id
        LEFT JOIN (SELECT x.invoice_id, sum(x.amount) AS amount
                   FROM refunded AS x GROUP BY x.invoice_id) AS r
            ON r.invoice_id = i.invoice_id
        LEFT JOIN credited AS c ON c.invoice_id = i.invoice_id
        WHERE i.business_id = tenant_mgmt.current_business_id()
    ), payment_proof AS (
        SELECT p.*, coalesce(a.money, 0) - coalesce(r.of_invoices, 0) AS money,
               coalesce(r.amount, 0) AS returned
        FROM hs.payment AS p
        LEFT JOIN (SELECT x.payment_id, sum(x.money) AS money
                   FROM allocated AS x GROUP BY x.payment_id) AS a
            ON a.payment_id = p.payment_id
        LEFT JOIN (SELECT x.payment_id, sum(x.amount) AS amount,
                          sum(x.amount) FILTER (WHERE x.invoice_id IS NOT NULL) AS of_invoices
                   FROM refunded AS x GROUP BY x.payment_id) AS r
            ON r.payment_id = p.payment_id
        WHERE p.business_id = tenant_mgmt.current_business_id()
    ), customer_proof AS (
        SELECT c.*, coalesce(i.owed, 0) - coalesce(p.held, 0) AS owed,
               coalesce(i.revenue, 0) AS revenue
        FROM hs.customer AS c
        LEFT JOIN (
            SELECT x.customer_id,
                   sum(x.line_subtotal - x.line_discount + x.line_tax - x.money - x.granted)
                       FILTER (WHERE x.status <> 'written_off') AS owed,
                   sum(x.line_subtotal - x.line_discount) AS revenue
            FROM invoice_proof AS x
            WHERE x.status NOT IN ('draft', 'void')
            GROUP BY x.customer_id
        ) AS i ON i.customer_id = c.customer_id
        LEFT JOIN (
            SELECT x.customer_id, sum(x.paid_amount - x.returned - x.money) AS held
            FROM payment_proof AS x
            WHERE x.status IN ('captured', 'settled', 'refunded')
            GROUP BY x.customer_id
        ) AS p ON p.customer_id = c.customer_id
        WHERE c.business_id = tenant_mgmt.current_business_id()
    )
    SELECT 'invoice', i.invoice_id, i.invoice_number::text, f.figure, f.recorded, f.proven
    FROM invoice_proof AS i
    CROSS JOIN LATERAL (
        VALUES ('subtotal_amount', i.subtotal_amount::numeric, i.line_subtotal),
               ('discount_amount', i.discount_amount, i.line_discount),
               ('tax_amount', i.tax_amount, i.line_tax),
               ('paid_amount', i.paid_amount, i.money),
               ('credited_amount', i.credited_amount, i.granted),
               ('open_balance', i.open_balance,
                CASE WHEN i.status IN ('draft', 'void') THEN 0
                     ELSE i.line_subtotal - i.line_discount + i.line_tax - i.money - i.granted END)
    ) AS f (figure, recorded, proven)
    WHERE f.recorded <> f.proven
    UNION ALL
    SELECT 'payment', p.payment_id, p.payment_number::text, f.figure, f.recorded, f.proven
    FROM payment_proof AS p
    CROSS JOIN LATERAL (
        VALUES ('allocated_amount', p.allocated_amount::numeric, p.money),
               ('refunded_amount', p.refunded_amount, p.returned),
               ('unapplied_amount', p.unapplied_amount,
                CASE WHEN p.status IN ('captured', 'settled', 'refunded')
                     THEN p.paid_amount - p.returned - p.money ELSE 0 END)
    ) AS f (figure, recorded, proven)
    WHERE f.recorded <> f.proven
    UNION ALL
    SELECT 'customer', c.customer_id, c.customer_number::text, f.figure, f.recorded, f.proven
    FROM customer_proof AS c
    CROSS JOIN LATERAL (
        VALUES ('open_balance', c.open_balance::numeric, c.owed),
               ('lifetime_revenue_amount', c.lifetime_revenue_amount, c.revenue)
    ) AS f (figure, recorded, proven)
    WHERE f.recorded <> f.proven;
END;
COMMENT ON FUNCTION hs.reconcile_receivables() IS
    'Sums the receivables of the current tenant anew from lines, allocations, refunds and credit
     memos, and names every figure of an invoice, payment or customer that says something else.
     No row: every balance is proven.';


CREATE VIEW hs.v_receivables_open_items WITH (security_invoker = true) AS
SELECT i.business_id, i.invoice_id, i.invoice_number, i.invoice_kind, i.status, i.customer_id,
       c.customer_number, c.display_name AS customer_name, c.primary_phone, i.work_order_id,
       i.invoice_on, i.due_on, greatest(today.local - i.due_on, 0) AS days_overdue,
       CASE WHEN i.due_on >= today.local THEN 'current'
            WHEN i.due_on >= today.local - 30 THEN '1_30'
            WHEN i.due_on >= today.local - 60 THEN '31_60'
            WHEN i.due_on >= today.local - 90 THEN '61_90'
            ELSE 'over_90' END AS age_bucket,
       i.total_amount, i.paid_amount, i.credited_amount, i.open_balance,
       coalesce(on_account.amount, 0) AS unapplied_amount
FROM hs.invoice AS i
JOIN hs.customer AS c ON c.business_id = i.business_id AND c.customer_id = i.customer_id
CROSS JOIN (SELECT tenant_mgmt.today() AS local) AS today
LEFT JOIN LATERAL (
    SELECT sum(p.unapplied_amount) AS amount
    FROM hs.payment AS p
    WHERE p.business_id = i.business_id
      AND p.customer_id = i.customer_id
      AND p.unapplied_amount > 0
) AS on_account ON true
WHERE i.business_id = tenant_mgmt.current_business_id()
  AND i.open_balance > 0
  AND i.status <> 'written_off';
COMMENT ON VIEW hs.v_receivables_open_items IS
    'Open invoices by age, with what the customer has on account.';
COMMENT ON COLUMN hs.v_receivables_open_items.unapplied_amount IS
    'Of the customer, not of the invoice: do not sum it.';
GRANT SELECT ON hs.v_receivables_open_items TO app_user, app_readonly;


CREATE MATERIALIZED VIEW hs.mv_receivables_aging AS
SELECT i.business_id, i.customer_id, count(*) AS open_count,
       coalesce(sum(i.open_balance) FILTER (WHERE i.due_on >= today.local), 0)
           AS current_amount,
       coalesce(sum(i.open_balance) FILTER (
           WHERE today.local - i.due_on BETWEEN 1 AND 30), 0) AS days_1_30_amount,
       coalesce(sum(i.open_balance) FILTER (
           WHERE today.local - i.due_on BETWEEN 31 AND 60), 0) AS days_31_60_amount,
       coalesce(sum(i.open_balance) FILTER (
           WHERE today.local - i.due_on BETWEEN 61 AND 90), 0) AS days_61_90_amount,
       coalesce(sum(i.open_balance) FILTER (
           WHERE today.local - i.due_on > 90), 0) AS over_90_amount,
       sum(i.open_balance) AS open_amount,
       min(i.due_on) AS oldest_due_on
FROM hs.invoice AS i
JOIN tenant_mgmt.business AS b ON b.business_id = i.business_id
CROSS JOIN LATERAL (SELECT (now() AT TIME ZONE b.time_zone)::date AS local) AS today
WHERE i.open_balance > 0
  AND i.status <> 'written_off'
GROUP BY i.business_id, i.customer_id
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW hs.mv_receivables_aging IS
    'What each customer owes by age on the day of the refresh, hourly.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_receivables_aging_idx
    ON hs.mv_receivables_aging (business_id, customer_id);

GRANT USAGE ON SCHEMA hs, tenant_mgmt TO matview_owner;
GRANT SELECT ON hs.invoice, tenant_mgmt.business TO matview_owner;

CREATE VIEW hs.v_receivables_aging WITH (security_barrier = true) AS
SELECT m.business_id, m.customer_id, m.open_count, m.current_amount, m.days_1_30_amount,
       m.days_31_60_amount, m.days_61_90_amount, m.over_90_amount, m.open_amount,
       m.oldest_due_on
FROM hs.mv_receivables_aging AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW hs.v_receivables_aging IS 'The tenant''s own part of mv_receivables_aging.';
GRANT SELECT ON hs.v_receivables_aging TO app_user, app_readonly;
