/*
 * Billing: what each payer of an order owes, what was paid, and how the two meet.
 *
 * An order has as many invoices as payers: the customer, the fleet, the insurer of the claim, the
 * provider of each warranty claim, and the shop itself for internal and goodwill work. Lines are
 * frozen from the jobs when the invoice is issued; auto.v_billable_line says what a job bills.
 * A deductible moves from the bill of the insurer or warranty to that of the customer. tax_rate
 * says what a shop charges on parts, labor, sublet, tires and fees, jurisdiction by jurisdiction.
 *
 * A payment is money received, or a refund that names the payment that it goes back from.
 * payment_allocation says which invoice the money pays; a mistake is reversed, never changed.
 *
 * One equation holds at every commit, and auto.reconcile_receivables() proves it from the rows:
 *
 *     invoice.open_balance     = total - money allocated - written off
 *     payment.unapplied_amount = amount - money allocated - refunds of it
 *     customer.open_balance    = open invoices to the customer or the fleet
 *
 * The figures are written by triggers alone. Every writer locks in the order payment, invoice,
 * customer, repair order, each by key, and sums in a statement after the lock: a sum taken in the
 * statement that waits would miss what the other transaction committed meanwhile.
 */

CREATE TABLE auto.tax_rate (
    business_id        uuid                   NOT NULL,
    tax_rate_id        uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    shop_id            uuid                   NOT NULL,
    jurisdiction_code  system_core.code       NOT NULL,
    name               text                   NOT NULL,
    tax_kind           text                   NOT NULL,
    applies_to         text                   NOT NULL,
    rate_pct           system_core.percentage,
    flat_amount        system_core.money,
    max_taxable_amount system_core.money,
    effective_on       date                   NOT NULL,
    ends_on            date,
    filing_code        system_core.code,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_rate_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    CONSTRAINT tax_rate_kind_known
        CHECK (tax_kind IN ('sales', 'tire_fee', 'battery_fee', 'waste_oil_fee', 'use')),
    CONSTRAINT tax_rate_applies_to_known
        CHECK (applies_to IN ('parts', 'labor', 'sublet', 'tires', 'fees')),
    CONSTRAINT tax_rate_is_share_or_amount CHECK (num_nonnulls(rate_pct, flat_amount) = 1),
    CONSTRAINT tax_rate_fees_are_amounts
        CHECK ((tax_kind IN ('tire_fee', 'battery_fee', 'waste_oil_fee'))
               = (flat_amount IS NOT NULL)),
    CONSTRAINT tax_rate_share_bounded CHECK (rate_pct BETWEEN 0 AND 30),
    CONSTRAINT tax_rate_amount_positive CHECK (flat_amount > 0),
    CONSTRAINT tax_rate_cap_positive CHECK (max_taxable_amount > 0),
    CONSTRAINT tax_rate_ends_after_begin CHECK (ends_on > effective_on),
    CONSTRAINT tax_rate_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, shop_id WITH =, jurisdiction_code WITH =, tax_kind WITH =,
        applies_to WITH =, daterange(effective_on, ends_on) WITH &&)
);

COMMENT ON TABLE auto.tax_rate IS
    'Effective-dated tax by jurisdiction, separately for parts, labor, tires and waste fees.';
COMMENT ON COLUMN auto.tax_rate.flat_amount IS
    'Of each tire, battery or unit of oil sold: a line of its own on the invoice.';
COMMENT ON COLUMN auto.tax_rate.max_taxable_amount IS
    'Of one line, what the jurisdiction taxes at most; NULL: all of it.';
COMMENT ON COLUMN auto.tax_rate.ends_on IS 'The first day on which it no longer holds.';
COMMENT ON COLUMN auto.tax_rate.filing_code IS 'Line of the return that it is reported on.';

ALTER TABLE auto.tax_rate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.tax_rate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.tax_rate TO app_user;
GRANT SELECT ON auto.tax_rate TO app_readonly;

CREATE TRIGGER tax_rate_touch
    BEFORE UPDATE ON auto.tax_rate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.tax_on(
    tenant uuid, of_shop uuid, sold text, amount numeric, on_day date
) RETURNS TABLE (tax_rate_id uuid, taxable_amount numeric, tax_amount numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT (array_agg(r.tax_rate_id ORDER BY r.rate_pct DESC, r.tax_rate_id))[1],
           max(least(amount, r.max_taxable_amount)),
           round(sum(least(amount, r.max_taxable_amount) * r.rate_pct / 100), 2)
    FROM auto.tax_rate AS r
    WHERE r.business_id = tenant
      AND r.shop_id = of_shop
      AND r.applies_to = sold
      AND r.tax_kind IN ('sales', 'use')
      AND r.effective_on <= on_day
      AND (r.ends_on IS NULL OR r.ends_on > on_day)
      AND amount > 0
    HAVING sum(r.rate_pct) > 0;
END;
COMMENT ON FUNCTION auto.tax_on(uuid, uuid, text, numeric, date) IS
    'What all jurisdictions of a shop take together on an amount of parts, labor, sublet, tires or
     fees sold on a day, with the principal rate; no row: it is not taxed. The tenant is an
     argument so that history can be imported.';


CREATE TABLE auto.invoice (
    business_id         uuid              NOT NULL,
    invoice_id          uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    bill_to_customer_id uuid              NOT NULL,
    corrects_invoice_id uuid,
    repair_order_id     uuid,
    fleet_account_id    uuid,
    insurance_claim_id  uuid,
    warranty_claim_id   uuid,
    invoice_number      text              NOT NULL,
    payer_kind          text              NOT NULL DEFAULT 'customer',
    status              text              NOT NULL DEFAULT 'draft',
    issued_at           timestamptz,
    due_on              date,
    labor_amount        system_core.money NOT NULL DEFAULT 0,
    parts_amount        system_core.money NOT NULL DEFAULT 0,
    sublet_amount       system_core.money NOT NULL DEFAULT 0,
    fees_amount         system_core.money NOT NULL DEFAULT 0,
    discount_amount     system_core.money NOT NULL DEFAULT 0,
    tax_amount          system_core.money NOT NULL DEFAULT 0,
    total_amount        system_core.money NOT NULL GENERATED ALWAYS AS (
        labor_amount + parts_amount + sublet_amount + fees_amount - discount_amount
        + tax_amount) STORED,
    paid_amount         system_core.money NOT NULL DEFAULT 0,
    written_off_amount  system_core.money NOT NULL DEFAULT 0,
    open_balance        system_core.money NOT NULL GENERATED ALWAYS AS (
        CASE WHEN status IN ('draft', 'void') THEN 0
             ELSE labor_amount + parts_amount + sublet_amount + fees_amount - discount_amount
                  + tax_amount - paid_amount - written_off_amount END) STORED,
    deductible_amount   system_core.money NOT NULL DEFAULT 0,
    disclosure_text     text,
    void_reason         text,
    created_at          timestamptz       NOT NULL DEFAULT now(),
    updated_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, invoice_id),
    UNIQUE (business_id, invoice_number),
    FOREIGN KEY (business_id, bill_to_customer_id)
        REFERENCES auto.customer (business_id, customer_id),
    FOREIGN KEY (business_id, corrects_invoice_id)
        REFERENCES auto.invoice (business_id, invoice_id),
    FOREIGN KEY (business_id, repair_order_id)
        REFERENCES auto.repair_order (business_id, repair_order_id),
    FOREIGN KEY (business_id, fleet_account_id)
        REFERENCES auto.fleet_account (business_id, fleet_account_id),
    FOREIGN KEY (business_id, insurance_claim_id)
        REFERENCES auto.insurance_claim (business_id, insurance_claim_id),
    FOREIGN KEY (business_id, warranty_claim_id)
        REFERENCES auto.warranty_claim (business_id, warranty_claim_id),
    CONSTRAINT invoice_numbered CHECK (invoice_number ~ '\S'),
    CONSTRAINT invoice_payer_kind_known
        CHECK (payer_kind IN ('customer', 'warranty', 'insurance', 'fleet', 'internal')),
    CONSTRAINT invoice_status_known
        CHECK (status IN ('draft', 'issued', 'partly_paid', 'paid', 'void', 'written_off')),
    CONSTRAINT invoice_names_its_payer
        CHECK ((insurance_claim_id IS NULL OR payer_kind IN ('insurance', 'customer'))
               AND (warranty_claim_id IS NULL OR payer_kind = 'warranty')
               AND (payer_kind <> 'insurance' OR insurance_claim_id IS NOT NULL)),
    CONSTRAINT invoice_corrects_another CHECK (corrects_invoice_id <> invoice_id),
    CONSTRAINT invoice_issued_has_dates
        CHECK (status IN ('draft', 'void') OR (issued_at IS NOT NULL AND due_on IS NOT NULL)),
    CONSTRAINT invoice_total_not_negative
        CHECK (labor_amount + parts_amount + sublet_amount + fees_amount - discount_amount
               + tax_amount >= 0),
    CONSTRAINT invoice_amounts_not_negative
        CHECK (labor_amount >= 0 AND sublet_amount >= 0 AND fees_amount >= 0
               AND discount_amount >= 0 AND tax_amount >= 0 AND deductible_amount >= 0),
    CONSTRAINT invoice_settled_not_negative CHECK (paid_amount >= 0 AND written_off_amount >= 0),
    CONSTRAINT invoice_only_issued_is_settled
        CHECK (status NOT IN ('draft', 'void') OR (paid_amount = 0 AND written_off_amount = 0)),
    CONSTRAINT invoice_void_reason_of_void CHECK (void_reason IS NULL OR status = 'void')
);

COMMENT ON TABLE auto.invoice IS
    'Bill to one payer of an order (customer, warranty provider, insurer, fleet, internal), or a
     counter or storage sale without an order.';
COMMENT ON COLUMN auto.invoice.bill_to_customer_id IS
    'The account that owes it; an insurer pays for the customer whose claim it is.';
COMMENT ON COLUMN auto.invoice.corrects_invoice_id IS 'The void one that it replaces.';
COMMENT ON COLUMN auto.invoice.payer_kind IS
    'internal is what the shop bears, goodwill too: written off as soon as it is issued.';
COMMENT ON COLUMN auto.invoice.parts_amount IS 'Parts and core charges, less cores given back.';
COMMENT ON COLUMN auto.invoice.fees_amount IS
    'Shop supplies, waste and tire fees, and the deductible that the customer bears.';
COMMENT ON COLUMN auto.invoice.discount_amount IS
    'Off lines and jobs, and the deductible that another payer does not pay.';
COMMENT ON COLUMN auto.invoice.paid_amount IS 'Money allocated to it and not reversed.';
COMMENT ON COLUMN auto.invoice.written_off_amount IS
    'Given up along with a payment, as of a short pay; a bad debt is written off as a whole by
     its status.';
COMMENT ON COLUMN auto.invoice.open_balance IS
    'What is unpaid of it; of a draft or a void invoice nothing is.';
COMMENT ON COLUMN auto.invoice.deductible_amount IS
    'What of it moved from the bill of the other payer to that of the customer, on both.';
COMMENT ON COLUMN auto.invoice.disclosure_text IS
    'What the state wants on the paper: used parts, storage, the right to replaced parts.';

-- Receivables and aging: what is open, oldest due first.
CREATE INDEX invoice_open_idx
    ON auto.invoice (business_id, due_on)
    INCLUDE (bill_to_customer_id, payer_kind, open_balance)
    WHERE open_balance > 0 AND status <> 'written_off';

-- Serves allocate_payment(): the open invoices of a customer, oldest due first.
CREATE INDEX invoice_customer_open_idx
    ON auto.invoice (business_id, bill_to_customer_id, due_on)
    WHERE open_balance > 0;

-- FK and customer page: a customer's invoices, newest first.
CREATE INDEX invoice_customer_idx
    ON auto.invoice (business_id, bill_to_customer_id, issued_at DESC);

-- Day close of a shop: what was invoiced on a day.
CREATE INDEX invoice_issued_idx
    ON auto.invoice (business_id, issued_at)
    WHERE issued_at IS NOT NULL;

-- FK: what replaced an invoice.
CREATE INDEX invoice_corrects_idx
    ON auto.invoice (business_id, corrects_invoice_id)
    WHERE corrects_invoice_id IS NOT NULL;

-- FK and close_paid_orders(): the invoices of a repair order.
CREATE INDEX invoice_repair_order_idx
    ON auto.invoice (business_id, repair_order_id)
    WHERE repair_order_id IS NOT NULL;

-- FK and statement of a fleet: its invoices, newest first.
CREATE INDEX invoice_fleet_idx
    ON auto.invoice (business_id, fleet_account_id, issued_at DESC)
    WHERE fleet_account_id IS NOT NULL;

-- FK: the bills for a loss.
CREATE INDEX invoice_insurance_claim_idx
    ON auto.invoice (business_id, insurance_claim_id)
    WHERE insurance_claim_id IS NOT NULL;

-- FK: the bill for a warranty claim.
CREATE INDEX invoice_warranty_claim_idx
    ON auto.invoice (business_id, warranty_claim_id)
    WHERE warranty_claim_id IS NOT NULL;

ALTER TABLE auto.invoice ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.invoice
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.invoice TO app_user;
GRANT SELECT ON auto.invoice TO app_readonly;

CREATE TRIGGER invoice_touch
    BEFORE UPDATE ON auto.invoice
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER invoice_number
    BEFORE INSERT ON auto.invoice
    FOR EACH ROW WHEN (NEW.invoice_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'invoice_number', 'invoice', 'INV-', 'invoice_id');

CREATE TRIGGER invoice_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.invoice
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":       ["issued", "void"],
            "issued":      ["partly_paid", "paid", "written_off", "void"],
            "partly_paid": ["issued", "paid", "written_off", "void"],
            "paid":        ["issued", "partly_paid", "void"],
            "written_off": ["issued", "partly_paid", "paid"],
            "void":        []
        }}');

CREATE FUNCTION auto.settle_invoice() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    total   CONSTANT numeric := NEW.labor_amount + NEW.parts_amount + NEW.sublet_amount
                                + NEW.fees_amount - NEW.discount_amount + NEW.tax_amount;
    settled CONSTANT numeric := NEW.paid_amount + NEW.written_off_amount;
BEGIN
    IF OLD.status = 'draft' AND NEW.status <> 'void' THEN
        NEW.issued_at := coalesce(NEW.issued_at, now());
        NEW.due_on := coalesce(NEW.due_on, tenant_mgmt.today() + (
            SELECT coalesce(c.payment_terms_days, 0) FROM auto.customer AS c
            WHERE c.business_id = NEW.business_id
              AND c.customer_id = NEW.bill_to_customer_id));
    END IF;
    NEW.status := CASE
        WHEN NEW.status = 'void' THEN 'void'
        WHEN settled >= total THEN 'paid'
        WHEN NEW.status = 'written_off' THEN 'written_off'
        WHEN settled > 0 THEN 'partly_paid'
        ELSE 'issued' END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.settle_invoice() IS
    'Dates an invoice when it is issued, by the terms of the customer, and derives its status from
     what is paid and written off; a bad debt stays written off until it is paid.';

-- By its name it runs after invoice_status_machine, which judges what was asked for.
CREATE TRIGGER invoice_status_settle
    BEFORE UPDATE OF status, labor_amount, parts_amount, sublet_amount, fees_amount,
                     discount_amount, tax_amount, paid_amount, written_off_amount
    ON auto.invoice
    FOR EACH ROW WHEN (NEW.status <> 'draft')
    EXECUTE FUNCTION auto.settle_invoice();

CREATE FUNCTION auto.refuse_issued_invoice() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'invoice % was issued: what it says stays', OLD.invoice_number
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Void it with auto.void_invoice() and issue another.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION auto.refuse_issued_invoice() IS
    'After a payer has an invoice, only its payments and status change.';

CREATE TRIGGER invoice_frozen
    BEFORE UPDATE ON auto.invoice
    FOR EACH ROW WHEN (OLD.status <> 'draft' AND
        (OLD.bill_to_customer_id, OLD.corrects_invoice_id, OLD.repair_order_id,
         OLD.fleet_account_id, OLD.insurance_claim_id, OLD.warranty_claim_id, OLD.invoice_number,
         OLD.payer_kind, OLD.issued_at, OLD.due_on, OLD.labor_amount, OLD.parts_amount,
         OLD.sublet_amount, OLD.fees_amount, OLD.discount_amount, OLD.tax_amount,
         OLD.deductible_amount, OLD.disclosure_text)
        IS DISTINCT FROM
        (NEW.bill_to_customer_id, NEW.corrects_invoice_id, NEW.repair_order_id,
         NEW.fleet_account_id, NEW.insurance_claim_id, NEW.warranty_claim_id, NEW.invoice_number,
         NEW.payer_kind, NEW.issued_at, NEW.due_on, NEW.labor_amount, NEW.parts_amount,
         NEW.sublet_amount, NEW.fees_amount, NEW.discount_amount, NEW.tax_amount,
         NEW.deductible_amount, NEW.disclosure_text))
    EXECUTE FUNCTION auto.refuse_issued_invoice();

CREATE TRIGGER invoice_frozen_delete
    BEFORE DELETE ON auto.invoice
    FOR EACH ROW WHEN (OLD.status <> 'draft')
    EXECUTE FUNCTION auto.refuse_issued_invoice();

CREATE FUNCTION auto.require_not_overpaid() RETURNS trigger
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
    FROM auto.invoice AS i
    WHERE i.business_id = NEW.business_id AND i.invoice_id = NEW.invoice_id
      AND i.open_balance < 0;
    IF FOUND THEN
        RAISE EXCEPTION 'invoice % would be paid % more than it asks for',
                        NEW.invoice_number, excess
            USING ERRCODE = 'check_violation',
                  HINT = 'Leave the rest unapplied on the payment, or reverse an allocation.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.require_not_overpaid() IS
    'Looked at when the transaction commits, so that money can be moved between invoices.';

CREATE CONSTRAINT TRIGGER invoice_not_overpaid
    AFTER INSERT OR UPDATE ON auto.invoice
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.open_balance < 0)
    EXECUTE FUNCTION auto.require_not_overpaid();

CREATE FUNCTION auto.settle_customers(tenant uuid, customers uuid[]) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM auto.customer AS c
    WHERE c.business_id = tenant AND c.customer_id = ANY (customers)
    ORDER BY c.customer_id
    FOR NO KEY UPDATE;

    UPDATE auto.customer AS c
    SET open_balance = owed.amount, lifetime_revenue_amount = owed.revenue
    FROM unnest(customers) AS t (customer_id)
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(greatest(i.open_balance, 0))
                            FILTER (WHERE i.payer_kind IN ('customer', 'fleet')
                                      AND i.status <> 'written_off'), 0) AS amount,
               coalesce(sum(i.total_amount - i.tax_amount)
                            FILTER (WHERE i.payer_kind <> 'internal'), 0) AS revenue
        FROM auto.invoice AS i
        WHERE i.business_id = tenant
          AND i.bill_to_customer_id = t.customer_id
          AND i.status NOT IN ('draft', 'void')
    ) AS owed
    WHERE c.business_id = tenant
      AND c.customer_id = t.customer_id
      AND (c.open_balance, c.lifetime_revenue_amount)
          IS DISTINCT FROM (owed.amount, owed.revenue);
END
$$;
COMMENT ON FUNCTION auto.settle_customers(uuid, uuid[]) IS
    'Brings what customers owe, and what was ever invoiced to them without tax, in line with their
     invoices; what insurers and warranties owe is theirs.';

CREATE FUNCTION auto.settle_changed_customers() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    owing record;
BEGIN
    FOR owing IN
        SELECT c.business_id, array_agg(DISTINCT c.bill_to_customer_id) AS customers
        FROM changed AS c
        GROUP BY c.business_id
        ORDER BY c.business_id
    LOOP
        PERFORM auto.settle_customers(owing.business_id, owing.customers);
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.settle_changed_customers() IS
    'Lets the balances of customers follow the invoices of a statement.';

CREATE TRIGGER invoice_customer_insert
    AFTER INSERT ON auto.invoice
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.settle_changed_customers();

CREATE TRIGGER invoice_customer_update
    AFTER UPDATE ON auto.invoice
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.settle_changed_customers();

CREATE TRIGGER invoice_customer_left
    AFTER UPDATE ON auto.invoice
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.settle_changed_customers();

CREATE TRIGGER invoice_customer_delete
    AFTER DELETE ON auto.invoice
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.settle_changed_customers();

CREATE FUNCTION auto.close_paid_order(of_repair_order uuid) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    PERFORM FROM auto.repair_order AS o
    WHERE o.business_id = tenant
      AND o.repair_order_id = of_repair_order
      AND o.status = 'invoiced'
    FOR NO KEY UPDATE;
    IF NOT FOUND OR EXISTS (
        SELECT FROM auto.invoice AS i
        WHERE i.business_id = tenant
          AND i.repair_order_id = of_repair_order
          AND i.status NOT IN ('paid', 'written_off', 'void')
    ) THEN
        RETURN false;
    END IF;
    PERFORM auto.transition_repair_order(
        of_repair_order, 'closed', 'normal', 'paid ' || system_core.uuid_v7());
    RETURN true;
END
$$;
COMMENT ON FUNCTION auto.close_paid_order(uuid) IS
    'Closes an invoiced repair order of the current tenant when the last of its payers has paid or
     was written off. It looks after it has the lock, so that of two payers who pay at once the
     second closes it.';

CREATE FUNCTION auto.close_paid_orders() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active('auto.invoice') THEN
        PERFORM auto.close_paid_order(t.repair_order_id)
        FROM (
            SELECT DISTINCT c.repair_order_id
            FROM changed AS c
            JOIN stood AS s ON s.business_id = c.business_id AND s.invoice_id = c.invoice_id
            WHERE c.repair_order_id IS NOT NULL
              AND c.status IN ('paid', 'written_off')
              AND s.status NOT IN ('paid', 'written_off', 'draft')
            ORDER BY c.repair_order_id
        ) AS t;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.close_paid_orders() IS
    'Closes the orders whose last invoice a statement settled.';

CREATE TRIGGER invoice_order_close
    AFTER UPDATE ON auto.invoice
    REFERENCING OLD TABLE AS stood NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.close_paid_orders();


CREATE TABLE auto.invoice_line (
    business_id          uuid                   NOT NULL,
    invoice_line_id      uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    invoice_id           uuid                   NOT NULL,
    repair_job_id        uuid,
    labor_line_id        uuid,
    part_line_id         uuid,
    sublet_line_id       uuid,
    part_id              uuid,
    tax_rate_id          uuid,
    line_no              integer                NOT NULL,
    line_kind            text                   NOT NULL,
    description          text                   NOT NULL,
    qty                  system_core.quantity   NOT NULL DEFAULT 1,
    unit_price           system_core.unit_price NOT NULL DEFAULT 0,
    discount_amount      system_core.money      NOT NULL DEFAULT 0,
    taxable_amount       system_core.money      NOT NULL DEFAULT 0,
    tax_amount           system_core.money      NOT NULL DEFAULT 0,
    line_total           system_core.money      NOT NULL GENERATED ALWAYS AS (
        round(qty * unit_price, 2) - discount_amount) STORED,
    cost_amount          system_core.money      NOT NULL DEFAULT 0,
    revenue_account_code system_core.code,
    part_condition_code  text,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, invoice_line_id),
    UNIQUE (business_id, invoice_id, line_no),
    FOREIGN KEY (business_id, invoice_id)
        REFERENCES auto.invoice (business_id, invoice_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, labor_line_id)
        REFERENCES auto.labor_line (business_id, labor_line_id),
    FOREIGN KEY (business_id, part_line_id) REFERENCES auto.part_line (business_id, part_line_id),
    FOREIGN KEY (business_id, sublet_line_id)
        REFERENCES auto.sublet_line (business_id, sublet_line_id),
    FOREIGN KEY (business_id, part_id) REFERENCES auto.part (business_id, part_id),
    FOREIGN KEY (business_id, tax_rate_id) REFERENCES auto.tax_rate (business_id, tax_rate_id),
    CONSTRAINT invoice_line_number_positive CHECK (line_no >= 1),
    CONSTRAINT invoice_line_kind_known
        CHECK (line_kind IN ('labor', 'part', 'sublet', 'fee', 'core', 'core_credit', 'discount',
                             'tire_fee', 'deductible')),
    CONSTRAINT invoice_line_one_source
        CHECK (num_nonnulls(labor_line_id, part_line_id, sublet_line_id) <= 1),
    CONSTRAINT invoice_line_names_its_source
        CHECK (CASE line_kind WHEN 'labor' THEN labor_line_id IS NOT NULL
                              WHEN 'sublet' THEN sublet_line_id IS NOT NULL
                              WHEN 'part' THEN num_nonnulls(part_line_id, part_id) = 1
                              ELSE num_nonnulls(labor_line_id, sublet_line_id, part_id) = 0 END),
    CONSTRAINT invoice_line_quantity_not_negative CHECK (qty >= 0),
    CONSTRAINT invoice_line_discount_not_negative CHECK (discount_amount >= 0),
    CONSTRAINT invoice_line_cost_not_negative CHECK (cost_amount >= 0),
    CONSTRAINT invoice_line_sign_follows_kind
        CHECK (CASE WHEN line_kind IN ('core_credit', 'discount') THEN line_total <= 0
                    WHEN line_kind = 'deductible' THEN discount_amount = 0
                    ELSE line_total >= 0 END),
    CONSTRAINT invoice_line_taxable_bounded
        CHECK (taxable_amount BETWEEN 0 AND greatest(line_total, 0)),
    CONSTRAINT invoice_line_tax_bounded
        CHECK (tax_amount BETWEEN 0 AND taxable_amount
               AND (tax_amount = 0 OR tax_rate_id IS NOT NULL))
);

COMMENT ON TABLE auto.invoice_line IS 'Frozen line of an invoice with tax and the source line.';
COMMENT ON COLUMN auto.invoice_line.line_kind IS
    'core is the charge for an old part that is owed, core_credit gives it back; deductible is
     positive on the bill of the customer and negative on that of the other payer.';
COMMENT ON COLUMN auto.invoice_line.part_id IS
    'Of a part sold over the counter; a part of an order names its line.';
COMMENT ON COLUMN auto.invoice_line.tax_rate_id IS
    'The principal rate of those that make up tax_amount, or the rate that the fee is.';
COMMENT ON COLUMN auto.invoice_line.part_condition_code IS
    'New, rebuilt or used: the state wants it on the bill.';

-- FK: where a job was billed.
CREATE INDEX invoice_line_repair_job_idx
    ON auto.invoice_line (business_id, repair_job_id)
    WHERE repair_job_id IS NOT NULL;

-- FK: where a labor line was billed.
CREATE INDEX invoice_line_labor_line_idx
    ON auto.invoice_line (business_id, labor_line_id)
    WHERE labor_line_id IS NOT NULL;

-- FK: where a part line was billed.
CREATE INDEX invoice_line_part_line_idx
    ON auto.invoice_line (business_id, part_line_id)
    WHERE part_line_id IS NOT NULL;

-- FK: where a sublet line was billed.
CREATE INDEX invoice_line_sublet_line_idx
    ON auto.invoice_line (business_id, sublet_line_id)
    WHERE sublet_line_id IS NOT NULL;

-- FK: the counter sales of a part.
CREATE INDEX invoice_line_part_idx
    ON auto.invoice_line (business_id, part_id)
    WHERE part_id IS NOT NULL;

-- FK and tax return: what was taxed by a rate.
CREATE INDEX invoice_line_tax_rate_idx
    ON auto.invoice_line (business_id, tax_rate_id)
    WHERE tax_rate_id IS NOT NULL;

ALTER TABLE auto.invoice_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.invoice_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.invoice_line TO app_user;
GRANT SELECT ON auto.invoice_line TO app_readonly;

CREATE TRIGGER invoice_line_touch
    BEFORE UPDATE ON auto.invoice_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE VIEW auto.v_invoice_line_sums WITH (security_invoker = true) AS
SELECT l.business_id, l.invoice_id,
       coalesce(sum(l.line_total + l.discount_amount) FILTER (WHERE l.line_kind = 'labor'), 0)
           AS labor_amount,
       coalesce(sum(l.line_total + l.discount_amount)
                    FILTER (WHERE l.line_kind IN ('part', 'core', 'core_credit')), 0)
           AS parts_amount,
       coalesce(sum(l.line_total + l.discount_amount) FILTER (WHERE l.line_kind = 'sublet'), 0)
           AS sublet_amount,
       coalesce(sum(l.line_total + l.discount_amount)
                    FILTER (WHERE l.line_kind IN ('fee', 'tire_fee')
                               OR l.line_kind = 'deductible' AND l.line_total > 0), 0)
           AS fees_amount,
       sum(l.discount_amount)
           - coalesce(sum(l.line_total + l.discount_amount)
                          FILTER (WHERE l.line_kind = 'discount'
                                     OR l.line_kind = 'deductible' AND l.line_total < 0), 0)
           AS discount_amount,
       sum(l.tax_amount) AS tax_amount,
       coalesce(sum(abs(l.line_total)) FILTER (WHERE l.line_kind = 'deductible'), 0)
           AS deductible_amount
FROM auto.invoice_line AS l
GROUP BY l.business_id, l.invoice_id;
COMMENT ON VIEW auto.v_invoice_line_sums IS
    'The lines of an invoice by the figure that they make up; in their sum they are its total.';
GRANT SELECT ON auto.v_invoice_line_sums TO app_user, app_readonly;

CREATE FUNCTION auto.total_invoices() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM auto.invoice AS i
    WHERE (i.business_id, i.invoice_id) IN (SELECT c.business_id, c.invoice_id FROM changed AS c)
    ORDER BY i.business_id, i.invoice_id
    FOR NO KEY UPDATE;

    IF row_security_active('auto.invoice_line') AND EXISTS (
        SELECT FROM changed AS c
        JOIN auto.invoice AS i ON i.business_id = c.business_id AND i.invoice_id = c.invoice_id
        WHERE i.status <> 'draft'
    ) THEN
        RAISE EXCEPTION 'lines of an issued invoice stay as they are'
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Void it with auto.void_invoice() and issue another.';
    END IF;

    UPDATE auto.invoice AS i
    SET labor_amount      = coalesce(s.labor_amount, 0),
        parts_amount      = coalesce(s.parts_amount, 0),
        sublet_amount     = coalesce(s.sublet_amount, 0),
        fees_amount       = coalesce(s.fees_amount, 0),
        discount_amount   = coalesce(s.discount_amount, 0),
        tax_amount        = coalesce(s.tax_amount, 0),
        deductible_amount = coalesce(s.deductible_amount, 0)
    FROM (SELECT DISTINCT c.business_id, c.invoice_id FROM changed AS c) AS t
    LEFT JOIN LATERAL (
        SELECT v.* FROM auto.v_invoice_line_sums AS v
        WHERE v.business_id = t.business_id AND v.invoice_id = t.invoice_id
    ) AS s ON true
    WHERE i.business_id = t.business_id AND i.invoice_id = t.invoice_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.total_invoices() IS
    'Keeps the totals of the invoices whose lines a statement touched; lines of an issued one are
     refused, except to whoever imports history.';

CREATE TRIGGER invoice_line_total_insert
    AFTER INSERT ON auto.invoice_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_invoices();

CREATE TRIGGER invoice_line_total_update
    AFTER UPDATE ON auto.invoice_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_invoices();

CREATE TRIGGER invoice_line_total_left
    AFTER UPDATE ON auto.invoice_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_invoices();

CREATE TRIGGER invoice_line_total_delete
    AFTER DELETE ON auto.invoice_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_invoices();


CREATE TABLE auto.payment (
    business_id           uuid                 NOT NULL,
    payment_id            uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    refund_of_payment_id  uuid,
    taken_by_user_id      uuid,
    customer_id           uuid                 NOT NULL,
    shop_id               uuid                 NOT NULL,
    insurer_id            uuid,
    payment_number        text                 NOT NULL,
    direction             text                 NOT NULL DEFAULT 'received',
    method                text                 NOT NULL,
    amount                system_core.money    NOT NULL,
    currency_code         system_core.currency NOT NULL,
    status                text                 NOT NULL DEFAULT 'pending',
    paid_at               timestamptz,
    settled_on            date,
    processor_ref         text,
    card_brand            text,
    card_last4            text,
    surcharge_amount      system_core.money    NOT NULL DEFAULT 0,
    processing_fee_amount system_core.money    NOT NULL DEFAULT 0,
    allocated_amount      system_core.money    NOT NULL DEFAULT 0,
    refunded_amount       system_core.money    NOT NULL DEFAULT 0,
    unapplied_amount      system_core.money    NOT NULL GENERATED ALWAYS AS (
        CASE WHEN direction = 'received' AND status IN ('captured', 'settled')
             THEN amount ELSE 0 END - allocated_amount - refunded_amount) STORED,
    idempotency_ref       text                 NOT NULL DEFAULT system_core.uuid_v7()::text,
    deposit_for           text,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_id),
    UNIQUE (business_id, payment_number),
    UNIQUE (business_id, idempotency_ref),
    FOREIGN KEY (business_id, refund_of_payment_id)
        REFERENCES auto.payment (business_id, payment_id),
    FOREIGN KEY (business_id, taken_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES auto.customer (business_id, customer_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    FOREIGN KEY (business_id, insurer_id) REFERENCES auto.insurer (business_id, insurer_id),
    CONSTRAINT payment_direction_known CHECK (direction IN ('received', 'refund')),
    CONSTRAINT payment_method_known
        CHECK (method IN ('cash', 'card', 'check', 'ach', 'financing', 'fleet_card',
                          'insurer_check', 'text_to_pay', 'account_credit')),
    CONSTRAINT payment_status_known
        CHECK (status IN ('pending', 'authorized', 'captured', 'settled', 'failed', 'voided',
                          'charged_back')),
    CONSTRAINT payment_amount_positive CHECK (amount > 0),
    CONSTRAINT payment_figures_not_negative
        CHECK (allocated_amount >= 0 AND refunded_amount >= 0),
    CONSTRAINT payment_fees_bounded
        CHECK (surcharge_amount >= 0 AND processing_fee_amount BETWEEN 0 AND amount),
    CONSTRAINT payment_refund_names_payment
        CHECK ((direction = 'refund') = (refund_of_payment_id IS NOT NULL)),
    CONSTRAINT payment_refund_is_not_applied
        CHECK (direction = 'received' OR (allocated_amount = 0 AND refunded_amount = 0)),
    CONSTRAINT payment_refunds_another CHECK (refund_of_payment_id <> payment_id),
    CONSTRAINT payment_insurer_check_names_insurer
        CHECK (method <> 'insurer_check' OR insurer_id IS NOT NULL),
    CONSTRAINT payment_taken_has_time
        CHECK (status IN ('pending', 'authorized', 'failed', 'voided') OR paid_at IS NOT NULL),
    CONSTRAINT payment_settled_has_day CHECK (status <> 'settled' OR settled_on IS NOT NULL),
    CONSTRAINT payment_card_shows_last_four CHECK (card_last4 ~ '^[0-9]{4}$'),
    CONSTRAINT payment_card_facts_of_cards
        CHECK (method IN ('card', 'fleet_card', 'text_to_pay')
               OR num_nonnulls(card_brand, card_last4) = 0),
    CONSTRAINT payment_key_given CHECK (idempotency_ref ~ '\S')
);

COMMENT ON TABLE auto.payment IS 'Money received or refunded, deposits and financing included.';
COMMENT ON COLUMN auto.payment.refund_of_payment_id IS
    'The payment whose unapplied money a refund gives back.';
COMMENT ON COLUMN auto.payment.insurer_id IS 'Who wrote the check, for the customer''s claim.';
COMMENT ON COLUMN auto.payment.status IS
    'There is money while it is captured or settled; what fails, is voided or charged back loses
     its allocations.';
COMMENT ON COLUMN auto.payment.surcharge_amount IS 'For the card, on top of the amount.';
COMMENT ON COLUMN auto.payment.processing_fee_amount IS 'What the processor keeps of the amount.';
COMMENT ON COLUMN auto.payment.allocated_amount IS 'Applied to invoices and not reversed.';
COMMENT ON COLUMN auto.payment.refunded_amount IS
    'Of refunds that were made or are on their way.';
COMMENT ON COLUMN auto.payment.unapplied_amount IS
    'What is left of it: on account until it is allocated or refunded.';
COMMENT ON COLUMN auto.payment.idempotency_ref IS
    'Chosen by whoever takes the payment; a second try with it takes nothing.';
COMMENT ON COLUMN auto.payment.deposit_for IS
    'What it was taken for before there was an invoice: a special order, an appointment.';

-- FK: the refunds of a payment.
CREATE INDEX payment_refund_of_idx
    ON auto.payment (business_id, refund_of_payment_id)
    WHERE refund_of_payment_id IS NOT NULL;

-- FK: what an account took.
CREATE INDEX payment_taken_by_idx
    ON auto.payment (business_id, taken_by_user_id)
    WHERE taken_by_user_id IS NOT NULL;

-- FK and customer page: a customer's payments, newest first.
CREATE INDEX payment_customer_idx ON auto.payment (business_id, customer_id, paid_at DESC);

-- Money that waits to be applied.
CREATE INDEX payment_unapplied_idx
    ON auto.payment (business_id, customer_id) INCLUDE (unapplied_amount)
    WHERE unapplied_amount > 0;

-- FK and day close: what a shop collected on a day.
CREATE INDEX payment_shop_idx ON auto.payment (business_id, shop_id, paid_at);

-- FK: what an insurer paid.
CREATE INDEX payment_insurer_idx
    ON auto.payment (business_id, insurer_id, paid_at)
    WHERE insurer_id IS NOT NULL;

ALTER TABLE auto.payment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.payment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.payment TO app_user;
GRANT SELECT ON auto.payment TO app_readonly;

CREATE TRIGGER payment_touch
    BEFORE UPDATE ON auto.payment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER payment_number
    BEFORE INSERT ON auto.payment
    FOR EACH ROW WHEN (NEW.payment_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'payment_number', 'payment', 'PAY-', 'payment_id');

CREATE TRIGGER payment_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.payment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending", "authorized", "captured", "settled"],
        "transitions": {
            "pending":      ["authorized", "captured", "settled", "failed", "voided"],
            "authorized":   ["captured", "failed", "voided"],
            "captured":     ["settled", "failed", "voided", "charged_back"],
            "settled":      ["failed", "charged_back"],
            "charged_back": ["settled"],
            "failed":       [],
            "voided":       []
        }}');

CREATE FUNCTION auto.refuse_taken_payment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'payment % was taken: what it says stays', OLD.payment_number
            USING ERRCODE = 'restrict_violation', HINT = 'Refund it, void it or let it fail.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION auto.refuse_taken_payment() IS
    'Who paid how much, and how, is history; only a payment that is awaited may be taken back.';

CREATE TRIGGER payment_frozen
    BEFORE UPDATE ON auto.payment
    FOR EACH ROW WHEN (OLD.status NOT IN ('pending', 'authorized') AND
        (OLD.customer_id, OLD.shop_id, OLD.insurer_id, OLD.refund_of_payment_id,
         OLD.payment_number, OLD.direction, OLD.method, OLD.amount, OLD.currency_code,
         OLD.idempotency_ref, OLD.paid_at)
        IS DISTINCT FROM
        (NEW.customer_id, NEW.shop_id, NEW.insurer_id, NEW.refund_of_payment_id,
         NEW.payment_number, NEW.direction, NEW.method, NEW.amount, NEW.currency_code,
         NEW.idempotency_ref, NEW.paid_at))
    EXECUTE FUNCTION auto.refuse_taken_payment();

CREATE TRIGGER payment_frozen_delete
    BEFORE DELETE ON auto.payment
    FOR EACH ROW WHEN (OLD.status NOT IN ('pending', 'authorized'))
    EXECUTE FUNCTION auto.refuse_taken_payment();

CREATE FUNCTION auto.require_not_overdrawn() RETURNS trigger
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
    FROM auto.payment AS p
    WHERE p.business_id = NEW.business_id AND p.payment_id = NEW.payment_id
      AND p.unapplied_amount < 0;
    IF FOUND THEN
        RAISE EXCEPTION 'payment % would be applied and refunded % more than there is',
                        NEW.payment_number, excess
            USING ERRCODE = 'check_violation',
                  HINT = 'Reverse an allocation before the money goes elsewhere.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.require_not_overdrawn() IS
    'Looked at when the transaction commits, so that money can be moved between invoices.';

CREATE CONSTRAINT TRIGGER payment_not_overdrawn
    AFTER INSERT OR UPDATE ON auto.payment
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.unapplied_amount < 0)
    EXECUTE FUNCTION auto.require_not_overdrawn();


CREATE TABLE auto.payment_allocation (
    business_id           uuid              NOT NULL,
    payment_allocation_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    allocated_by_user_id  uuid,
    payment_id            uuid              NOT NULL,
    invoice_id            uuid              NOT NULL,
    allocated_amount      system_core.money NOT NULL,
    allocated_at          timestamptz       NOT NULL DEFAULT now(),
    allocation_kind       text              NOT NULL DEFAULT 'balance',
    is_auto               boolean           NOT NULL DEFAULT false,
    reversed_at           timestamptz,
    reversal_reason       text,
    exchange_note         text,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_allocation_id),
    FOREIGN KEY (business_id, allocated_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, payment_id) REFERENCES auto.payment (business_id, payment_id),
    FOREIGN KEY (business_id, invoice_id) REFERENCES auto.invoice (business_id, invoice_id),
    CONSTRAINT payment_allocation_kind_known
        CHECK (allocation_kind IN ('deposit', 'balance', 'deductible', 'credit', 'write_off')),
    CONSTRAINT payment_allocation_amount_positive CHECK (allocated_amount > 0),
    CONSTRAINT payment_allocation_reversal_has_reason
        CHECK ((reversed_at IS NULL) = (reversal_reason IS NULL)),
    CONSTRAINT payment_allocation_reversed_after_allocation CHECK (reversed_at >= allocated_at)
);

COMMENT ON TABLE auto.payment_allocation IS
    'Share of a payment applied to an invoice, with reversal.';
COMMENT ON COLUMN auto.payment_allocation.allocation_kind IS
    'write_off is given up along with the payment and takes from the invoice alone; the others are
     money of the payment: taken beforehand, at pick-up, for a deductible, or from credit.';
COMMENT ON COLUMN auto.payment_allocation.is_auto IS 'Applied oldest first, not by a person.';

-- FK: what was applied by an account.
CREATE INDEX payment_allocation_user_idx
    ON auto.payment_allocation (business_id, allocated_by_user_id)
    WHERE allocated_by_user_id IS NOT NULL;

-- FK and settle_payments(): what a payment paid.
CREATE INDEX payment_allocation_payment_idx ON auto.payment_allocation (business_id, payment_id);

-- FK and settle_invoices(): what paid an invoice.
CREATE INDEX payment_allocation_invoice_idx ON auto.payment_allocation (business_id, invoice_id);

ALTER TABLE auto.payment_allocation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.payment_allocation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.payment_allocation TO app_user;
GRANT SELECT ON auto.payment_allocation TO app_readonly;

CREATE TRIGGER payment_allocation_touch
    BEFORE UPDATE ON auto.payment_allocation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.refuse_allocation_change() RETURNS trigger
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
COMMENT ON FUNCTION auto.refuse_allocation_change() IS
    'How money was applied stays on record; a mistake is reversed once.';

CREATE TRIGGER payment_allocation_stays_update
    BEFORE UPDATE ON auto.payment_allocation
    FOR EACH ROW WHEN (OLD.reversed_at IS NOT NULL OR
        (OLD.payment_id, OLD.invoice_id, OLD.allocation_kind, OLD.allocated_amount,
         OLD.allocated_at)
        IS DISTINCT FROM
        (NEW.payment_id, NEW.invoice_id, NEW.allocation_kind, NEW.allocated_amount,
         NEW.allocated_at))
    EXECUTE FUNCTION auto.refuse_allocation_change();

CREATE TRIGGER payment_allocation_stays_delete
    BEFORE DELETE ON auto.payment_allocation
    FOR EACH ROW EXECUTE FUNCTION auto.refuse_allocation_change();


CREATE FUNCTION auto.settle_payments(businesses uuid[], payments uuid[]) RETURNS void
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
        PERFORM FROM auto.payment AS p
        WHERE p.business_id = tenant AND p.payment_id = ANY (theirs)
        ORDER BY p.payment_id
        FOR NO KEY UPDATE;

        UPDATE auto.payment AS p
        SET allocated_amount = applied.amount, refunded_amount = back.amount
        FROM unnest(theirs) AS t (payment_id)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(a.allocated_amount), 0) AS amount
            FROM auto.payment_allocation AS a
            WHERE a.business_id = tenant
              AND a.payment_id = t.payment_id
              AND a.reversed_at IS NULL
              AND a.allocation_kind <> 'write_off'
        ) AS applied
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(r.amount), 0) AS amount
            FROM auto.payment AS r
            WHERE r.business_id = tenant
              AND r.refund_of_payment_id = t.payment_id
              AND r.status IN ('pending', 'authorized', 'captured', 'settled')
        ) AS back
        WHERE p.business_id = tenant
          AND p.payment_id = t.payment_id
          AND (p.allocated_amount, p.refunded_amount)
              IS DISTINCT FROM (applied.amount, back.amount);
    END LOOP;
END
$$;
COMMENT ON FUNCTION auto.settle_payments(uuid[], uuid[]) IS
    'Brings what is allocated and refunded of payments in line with the rows, under their locks.';

CREATE FUNCTION auto.settle_invoices(businesses uuid[], invoices uuid[]) RETURNS void
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
        PERFORM FROM auto.invoice AS i
        WHERE i.business_id = tenant AND i.invoice_id = ANY (theirs)
        ORDER BY i.invoice_id
        FOR NO KEY UPDATE;

        UPDATE auto.invoice AS i
        SET paid_amount = applied.money, written_off_amount = applied.given_up
        FROM unnest(theirs) AS t (invoice_id)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(a.allocated_amount)
                                FILTER (WHERE a.allocation_kind <> 'write_off'), 0) AS money,
                   coalesce(sum(a.allocated_amount)
                                FILTER (WHERE a.allocation_kind = 'write_off'), 0) AS given_up
            FROM auto.payment_allocation AS a
            WHERE a.business_id = tenant
              AND a.invoice_id = t.invoice_id
              AND a.reversed_at IS NULL
        ) AS applied
        WHERE i.business_id = tenant
          AND i.invoice_id = t.invoice_id
          AND (i.paid_amount, i.written_off_amount)
              IS DISTINCT FROM (applied.money, applied.given_up);
    END LOOP;
END
$$;
COMMENT ON FUNCTION auto.settle_invoices(uuid[], uuid[]) IS
    'Brings what is paid and written off of invoices in line with the rows, under their locks.';

CREATE FUNCTION auto.settle_allocations() RETURNS trigger
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
    PERFORM auto.settle_payments(businesses, payments);
    PERFORM auto.settle_invoices(businesses, invoices);

    SELECT p.payment_number, i.invoice_number INTO wrong
    FROM changed AS c
    JOIN auto.payment AS p ON p.business_id = c.business_id AND p.payment_id = c.payment_id
    JOIN auto.invoice AS i ON i.business_id = c.business_id AND i.invoice_id = c.invoice_id
    WHERE c.reversed_at IS NULL AND p.customer_id <> i.bill_to_customer_id
    ORDER BY p.payment_number, i.invoice_number
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'payment % and invoice % are of different customers',
                        wrong.payment_number, wrong.invoice_number
            USING ERRCODE = 'check_violation',
                  HINT = 'Refund it, and let the other customer pay.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.settle_allocations() IS
    'Lets payments and invoices follow their allocations; what would be applied beyond either is
     refused when the transaction commits.';

CREATE TRIGGER payment_allocation_settle_insert
    AFTER INSERT ON auto.payment_allocation
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.settle_allocations();

CREATE TRIGGER payment_allocation_settle_update
    AFTER UPDATE ON auto.payment_allocation
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.settle_allocations();

CREATE TRIGGER payment_allocation_settle_left
    AFTER UPDATE ON auto.payment_allocation
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.settle_allocations();

CREATE TRIGGER payment_allocation_settle_delete
    AFTER DELETE ON auto.payment_allocation
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.settle_allocations();


CREATE FUNCTION auto.settle_refunds() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    businesses uuid[];
    payments   uuid[];
    wrong      record;
BEGIN
    SELECT array_agg(c.business_id), array_agg(c.refund_of_payment_id) INTO businesses, payments
    FROM changed AS c
    WHERE c.refund_of_payment_id IS NOT NULL;
    IF businesses IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM auto.settle_payments(businesses, payments);

    SELECT c.payment_number, p.payment_number AS of_number INTO wrong
    FROM changed AS c
    JOIN auto.payment AS p
        ON p.business_id = c.business_id AND p.payment_id = c.refund_of_payment_id
    WHERE p.direction = 'refund' OR p.customer_id <> c.customer_id
    ORDER BY c.payment_number
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'refund % names %, which is a refund itself or of another customer',
                        wrong.payment_number, wrong.of_number
            USING ERRCODE = 'check_violation', HINT = 'Name the payment that was received.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.settle_refunds() IS
    'Lets payments follow their refunds; more than is left of a payment is refused when the
     transaction commits.';

CREATE TRIGGER payment_refund_insert
    AFTER INSERT ON auto.payment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.settle_refunds();

CREATE TRIGGER payment_refund_update
    AFTER UPDATE ON auto.payment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.settle_refunds();

CREATE TRIGGER payment_refund_delete
    AFTER DELETE ON auto.payment
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.settle_refunds();

CREATE FUNCTION auto.reverse_lost_payments() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.payment_allocation AS a
    SET reversed_at = greatest(now(), a.allocated_at),
        reversal_reason = replace(c.status, '_', ' ')
    FROM changed AS c
    JOIN stood AS o ON o.business_id = c.business_id AND o.payment_id = c.payment_id
    WHERE c.status IN ('failed', 'voided', 'charged_back')
      AND o.status <> c.status
      AND a.business_id = c.business_id
      AND a.payment_id = c.payment_id
      AND a.reversed_at IS NULL;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.reverse_lost_payments() IS
    'Money that bounced or was charged back pays nothing: its invoices are open again.';

CREATE TRIGGER payment_lost_reversal
    AFTER UPDATE ON auto.payment
    REFERENCING OLD TABLE AS stood NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.reverse_lost_payments();


CREATE VIEW auto.v_billable_line WITH (security_invoker = true) AS
SELECT j.business_id, j.repair_order_id, j.repair_job_id, j.job_seq,
       CASE j.payer_kind WHEN 'goodwill' THEN 'internal' ELSE j.payer_kind END AS payer_kind,
       s.labor_line_id, s.part_line_id, s.sublet_line_id, s.place, s.line_no, s.line_kind,
       coalesce(s.description, j.name) AS description, s.qty, s.unit_price, s.discount_amount,
       s.cost_amount, s.is_taxable, s.sold_as, s.flat_fee_kind, s.part_condition_code
FROM auto.repair_job AS j
CROSS JOIN LATERAL (
    SELECT l.labor_line_id, NULL::uuid AS part_line_id, NULL::uuid AS sublet_line_id,
           1 AS place, l.line_no, 'labor' AS line_kind, l.description,
           coalesce(l.sold_hours, 0)::system_core.quantity AS qty,
           l.rate_amount::system_core.unit_price AS unit_price,
           round(coalesce(l.sold_hours, 0) * l.rate_amount, 2)
               - round(coalesce(l.sold_hours, 0) * l.rate_amount
                       * (1 - coalesce(l.discount_pct, 0) / 100), 2) AS discount_amount,
           0::numeric AS cost_amount, l.is_taxable, 'labor' AS sold_as,
           NULL::text AS flat_fee_kind, NULL::text AS part_condition_code
    FROM auto.labor_line AS l
    WHERE l.business_id = j.business_id
      AND l.repair_job_id = j.repair_job_id
      AND l.status <> 'void'
    UNION ALL
    SELECT NULL, p.part_line_id, NULL, 2, p.line_no, 'part', p.description,
           p.qty::system_core.quantity, coalesce(p.unit_price, 0)::system_core.unit_price,
           round(p.qty * coalesce(p.unit_price, 0), 2)
               - round(p.qty * coalesce(p.unit_price, 0)
                       * (1 - coalesce(p.discount_pct, 0) / 100), 2),
           round(p.qty * coalesce(p.unit_cost, 0), 2), p.is_taxable,
           CASE WHEN t.category = 'tires' THEN 'tires' ELSE 'parts' END,
           CASE WHEN t.category = 'tires' THEN 'tire_fee'
                WHEN t.category = 'electrical' AND t.name ~* '\mbattery$' THEN 'battery_fee'
                WHEN t.category = 'fluids' AND t.name ~* '\moil\M' THEN 'waste_oil_fee' END,
           p.part_condition
    FROM auto.part_line AS p
    LEFT JOIN auto.part AS x ON x.business_id = p.business_id AND x.part_id = p.part_id
    LEFT JOIN auto.part_type AS t
        ON t.business_id = p.business_id AND t.part_type_id = x.part_type_id
    WHERE p.business_id = j.business_id
      AND p.repair_job_id = j.repair_job_id
      AND p.status NOT IN ('quoted', 'returned', 'cancelled')
    UNION ALL
    SELECT NULL, p.part_line_id, NULL, 3 + c.after, p.line_no, c.line_kind, c.description,
           p.qty::system_core.quantity, (c.sign * p.core_price)::system_core.unit_price, 0, 0,
           false, NULL, NULL, NULL
    FROM auto.part_line AS p
    CROSS JOIN (VALUES (0, 'core', 'Core charge', 1),
                       (1, 'core_credit', 'Core given back', -1))
        AS c (after, line_kind, description, sign)
    WHERE p.business_id = j.business_id
      AND p.repair_job_id = j.repair_job_id
      AND p.status NOT IN ('quoted', 'returned', 'cancelled')
      AND p.core_price > 0
      AND (c.line_kind = 'core' OR p.old_part_disposition = 'core')
    UNION ALL
    SELECT NULL, NULL, s.sublet_line_id, 5, s.line_no, 'sublet', s.description,
           1::system_core.quantity, s.price_amount::system_core.unit_price, 0, s.cost_amount,
           true, 'sublet', NULL, NULL
    FROM auto.sublet_line AS s
    WHERE s.business_id = j.business_id
      AND s.repair_job_id = j.repair_job_id
      AND s.status NOT IN ('quoted', 'cancelled')
    UNION ALL
    SELECT NULL, NULL, NULL, 6, 1, 'discount', 'Discount on ' || j.name,
           1::system_core.quantity, (-j.discount_amount)::system_core.unit_price, 0, 0, false,
           NULL, NULL, NULL
    WHERE j.discount_amount > 0
) AS s
WHERE j.status = 'done';
COMMENT ON VIEW auto.v_billable_line IS
    'What the finished jobs of an order bill to whom: labor, parts with their cores, sublet work
     and discounts, in the order of the invoice. Goodwill is borne by the shop.';
COMMENT ON COLUMN auto.v_billable_line.sold_as IS 'As what the tax rates look at it.';
COMMENT ON COLUMN auto.v_billable_line.flat_fee_kind IS
    'The fee that the state takes of each one sold.';
GRANT SELECT ON auto.v_billable_line TO app_user, app_readonly;


CREATE FUNCTION auto.bill_deductible(of_invoice uuid, to_invoice uuid, deductible numeric)
    RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    moved  numeric;
BEGIN
    SELECT least(coalesce(deductible, 0), i.total_amount) INTO moved
    FROM auto.invoice AS i
    WHERE i.business_id = tenant AND i.invoice_id = of_invoice;
    INSERT INTO auto.invoice_line
        (business_id, invoice_id, line_no, line_kind, description, unit_price)
    SELECT tenant, x.invoice_id,
           (SELECT coalesce(max(l.line_no), 0) + 1 FROM auto.invoice_line AS l
            WHERE l.business_id = tenant AND l.invoice_id = x.invoice_id),
           'deductible', 'Deductible', x.sign * moved
    FROM (VALUES (of_invoice, -1), (to_invoice, 1)) AS x (invoice_id, sign)
    WHERE moved > 0;
END
$$;
COMMENT ON FUNCTION auto.bill_deductible(uuid, uuid, numeric) IS
    'Moves a deductible from one draft of the current tenant to another, no more than it asks for.';


CREATE FUNCTION auto.issue_invoices(of_repair_order uuid) RETURNS SETOF auto.invoice
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    today  CONSTANT date := tenant_mgmt.today();
    visit  auto.repair_order;
    place  auto.shop;
    bill   record;
    drafts uuid[];
BEGIN
    SELECT o.* INTO visit FROM auto.repair_order AS o
    WHERE o.business_id = tenant AND o.repair_order_id = of_repair_order
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no repair order %', of_repair_order
            USING ERRCODE = 'no_data_found';
    ELSIF visit.status <> 'ready_for_pickup' THEN
        RAISE EXCEPTION 'repair order % is %: it is invoiced when it is ready for pickup',
                        visit.ro_number, visit.status
            USING ERRCODE = 'check_violation', HINT = 'Move it to ready_for_pickup first.';
    END IF;
    SELECT s.* INTO place FROM auto.shop AS s
    WHERE s.business_id = tenant AND s.shop_id = visit.shop_id;

    -- One draft for each payer, and one for the customer who owes a deductible.
    WITH payer AS (
        SELECT DISTINCT l.payer_kind, w.warranty_claim_id, w.payer_customer_id, w.deductible
        FROM auto.v_billable_line AS l
        LEFT JOIN LATERAL (
            SELECT c.warranty_claim_id, p.payer_customer_id,
                   coalesce(v.deductible_amount, p.deductible_amount) AS deductible
            FROM auto.warranty_claim AS c
            JOIN auto.warranty_program AS p
                ON p.business_id = c.business_id
                AND p.warranty_program_id = c.warranty_program_id
            LEFT JOIN auto.vehicle_coverage AS v
                ON v.business_id = c.business_id
                AND v.vehicle_coverage_id = c.vehicle_coverage_id
            WHERE c.business_id = tenant
              AND c.repair_job_id = l.repair_job_id
              AND c.status <> 'denied'
            ORDER BY c.created_at DESC, c.warranty_claim_id DESC
            LIMIT 1
        ) AS w ON l.payer_kind = 'warranty'
        WHERE l.business_id = tenant AND l.repair_order_id = of_repair_order
    ), whole AS (
        SELECT p.payer_kind, p.warranty_claim_id, p.payer_customer_id FROM payer AS p
        UNION
        SELECT 'customer', NULL, NULL
        FROM payer AS p
        LEFT JOIN auto.insurance_claim AS c
            ON c.business_id = tenant AND c.insurance_claim_id = visit.insurance_claim_id
        WHERE p.deductible > 0 OR (p.payer_kind = 'insurance' AND c.deductible_amount > 0)
    ), made AS (
        INSERT INTO auto.invoice
            (business_id, bill_to_customer_id, corrects_invoice_id, repair_order_id,
             fleet_account_id, insurance_claim_id, warranty_claim_id, invoice_number, payer_kind,
             due_on)
        SELECT tenant,
               CASE w.payer_kind
                   WHEN 'fleet' THEN coalesce(f.customer_id, visit.customer_id)
                   WHEN 'insurance' THEN coalesce(c.customer_id, visit.customer_id)
                   WHEN 'warranty' THEN coalesce(w.payer_customer_id, visit.customer_id)
                   ELSE visit.customer_id END,
               (SELECT x.invoice_id FROM auto.invoice AS x
                WHERE x.business_id = tenant
                  AND x.repair_order_id = of_repair_order
                  AND x.payer_kind = w.payer_kind
                  AND x.warranty_claim_id IS NOT DISTINCT FROM w.warranty_claim_id
                  AND x.status = 'void'
                ORDER BY x.issued_at DESC, x.invoice_id DESC
                LIMIT 1),
               of_repair_order,
               CASE w.payer_kind WHEN 'fleet' THEN visit.fleet_account_id END,
               CASE w.payer_kind WHEN 'insurance' THEN visit.insurance_claim_id END,
               w.warranty_claim_id, NULL, w.payer_kind,
               CASE w.payer_kind WHEN 'insurance' THEN today + n.payment_terms_days END
        FROM whole AS w
        LEFT JOIN auto.fleet_account AS f
            ON f.business_id = tenant AND f.fleet_account_id = visit.fleet_account_id
        LEFT JOIN auto.insurance_claim AS c
            ON c.business_id = tenant AND c.insurance_claim_id = visit.insurance_claim_id
        LEFT JOIN auto.insurer AS n
            ON n.business_id = tenant AND n.insurer_id = c.insurer_id
        ORDER BY w.payer_kind, w.warranty_claim_id
        RETURNING invoice_id
    )
    SELECT array_agg(m.invoice_id) INTO drafts FROM made AS m;
    IF drafts IS NULL THEN
        RAISE EXCEPTION 'repair order % has nothing to bill: none of its jobs is done',
                        visit.ro_number
            USING ERRCODE = 'check_violation', HINT = 'Cancel it, or finish a job.';
    END IF;

    -- The work, then the fees on it; the state taxes what is sold to customers.
    WITH line AS (
        SELECT i.invoice_id, l.repair_job_id, l.labor_line_id, l.part_line_id, l.sublet_line_id,
               l.job_seq, l.place, l.line_no, l.line_kind, l.description, l.qty, l.unit_price,
               l.discount_amount, l.cost_amount, l.part_condition_code, l.sold_as, l.flat_fee_kind,
               round(l.qty * l.unit_price, 2) - l.discount_amount AS amount, NULL::uuid AS fee_rate,
               l.is_taxable
                   AND (l.sold_as <> 'labor' OR place.labor_tax_mode <> 'untaxed') AS is_taxable
        FROM auto.invoice AS i
        JOIN auto.v_billable_line AS l
            ON l.business_id = tenant
            AND l.repair_order_id = of_repair_order
            AND l.payer_kind = i.payer_kind
        WHERE i.business_id = tenant
          AND i.invoice_id = ANY (drafts)
          AND (l.payer_kind <> 'warranty' OR i.warranty_claim_id IS NOT DISTINCT FROM (
              SELECT c.warranty_claim_id FROM auto.warranty_claim AS c
              WHERE c.business_id = tenant
                AND c.repair_job_id = l.repair_job_id
                AND c.status <> 'denied'
              ORDER BY c.created_at DESC, c.warranty_claim_id DESC
              LIMIT 1))
    ), fee AS (
        SELECT l.invoice_id, 7 AS place, 'fee' AS line_kind, 'Shop supplies' AS description,
               1::numeric AS qty,
               least(place.shop_supplies_cap_amount,
                     round(sum(l.amount) * place.shop_supplies_pct / 100, 2)) AS unit_price,
               NULL::uuid AS fee_rate, true AS is_taxable
        FROM line AS l
        WHERE l.line_kind = 'labor'
        GROUP BY l.invoice_id
        UNION ALL
        SELECT l.invoice_id, 8, 'fee', 'Hazardous waste', 1, place.hazardous_waste_fee, NULL, true
        FROM line AS l
        WHERE l.flat_fee_kind IN ('waste_oil_fee', 'battery_fee')
        GROUP BY l.invoice_id
        UNION ALL
        SELECT l.invoice_id, 9, CASE r.tax_kind WHEN 'tire_fee' THEN 'tire_fee' ELSE 'fee' END,
               r.name, sum(l.qty), r.flat_amount, r.tax_rate_id, false
        FROM line AS l
        JOIN auto.tax_rate AS r
            ON r.business_id = tenant
            AND r.shop_id = visit.shop_id
            AND r.tax_kind = l.flat_fee_kind
            AND r.effective_on <= today
            AND (r.ends_on IS NULL OR r.ends_on > today)
        GROUP BY l.invoice_id, r.tax_kind, r.name, r.flat_amount, r.tax_rate_id
    ), whole AS (
        SELECT l.invoice_id, l.repair_job_id, l.labor_line_id, l.part_line_id, l.sublet_line_id,
               l.job_seq, l.place, l.line_no, l.line_kind, l.description, l.qty, l.unit_price,
               l.discount_amount, l.cost_amount, l.part_condition_code, l.sold_as, l.amount,
               l.fee_rate, l.is_taxable
        FROM line AS l
        UNION ALL
        SELECT f.invoice_id, NULL, NULL, NULL, NULL, NULL, f.place, 1, f.line_kind, f.description,
               f.qty, f.unit_price, 0, 0, NULL, 'fees', round(f.qty * f.unit_price, 2), f.fee_rate,
               f.is_taxable
        FROM fee AS f
        JOIN auto.invoice AS i ON i.business_id = tenant AND i.invoice_id = f.invoice_id
        WHERE f.unit_price > 0
          AND i.payer_kind IN ('customer', 'fleet')
    )
    INSERT INTO auto.invoice_line
        (business_id, invoice_id, repair_job_id, labor_line_id, part_line_id, sublet_line_id,
         tax_rate_id, line_no, line_kind, description, qty, unit_price, discount_amount,
         taxable_amount, tax_amount, cost_amount, part_condition_code)
    SELECT tenant, w.invoice_id, w.repair_job_id, w.labor_line_id, w.part_line_id,
           w.sublet_line_id, coalesce(w.fee_rate, x.tax_rate_id),
           row_number() OVER (PARTITION BY w.invoice_id
                              ORDER BY w.job_seq, w.place, w.line_no, w.description),
           w.line_kind, w.description, w.qty, w.unit_price, w.discount_amount,
           coalesce(x.taxable_amount, 0), coalesce(x.tax_amount, 0), w.cost_amount,
           w.part_condition_code
    FROM whole AS w
    JOIN auto.invoice AS i ON i.business_id = tenant AND i.invoice_id = w.invoice_id
    JOIN auto.customer AS c
        ON c.business_id = tenant AND c.customer_id = i.bill_to_customer_id
    LEFT JOIN LATERAL auto.tax_on(tenant, visit.shop_id, w.sold_as, w.amount, today) AS x
        ON w.is_taxable
        AND NOT c.is_tax_exempt
        AND i.payer_kind IN ('customer', 'fleet', 'insurance');

    FOR bill IN
        SELECT i.invoice_id, coalesce(c.deductible_amount - (
                   SELECT coalesce(sum(x.deductible_amount), 0)
                   FROM auto.invoice AS x
                   WHERE x.business_id = tenant
                     AND x.insurance_claim_id = c.insurance_claim_id
                     AND x.payer_kind = 'insurance'
                     AND x.status <> 'void'
               ), v.deductible_amount, p.deductible_amount) AS deductible
        FROM auto.invoice AS i
        LEFT JOIN auto.insurance_claim AS c
            ON c.business_id = tenant AND c.insurance_claim_id = i.insurance_claim_id
        LEFT JOIN auto.warranty_claim AS w
            ON w.business_id = tenant AND w.warranty_claim_id = i.warranty_claim_id
        LEFT JOIN auto.warranty_program AS p
            ON p.business_id = tenant AND p.warranty_program_id = w.warranty_program_id
        LEFT JOIN auto.vehicle_coverage AS v
            ON v.business_id = tenant AND v.vehicle_coverage_id = w.vehicle_coverage_id
        WHERE i.business_id = tenant
          AND i.invoice_id = ANY (drafts)
          AND i.payer_kind IN ('insurance', 'warranty')
        ORDER BY i.invoice_id
    LOOP
        PERFORM auto.bill_deductible(bill.invoice_id, i.invoice_id, bill.deductible)
        FROM auto.invoice AS i
        WHERE i.business_id = tenant
          AND i.invoice_id = ANY (drafts)
          AND i.payer_kind = 'customer';
    END LOOP;

    DELETE FROM auto.invoice AS i
    WHERE i.business_id = tenant
      AND i.invoice_id = ANY (drafts)
      AND NOT EXISTS (SELECT FROM auto.invoice_line AS l
                      WHERE l.business_id = tenant AND l.invoice_id = i.invoice_id);
    UPDATE auto.invoice AS i
    SET status = 'issued'
    WHERE i.business_id = tenant AND i.invoice_id = ANY (drafts);

    INSERT INTO auto.tire_registration
        (business_id, tire_id, customer_id, invoice_id, shop_id, tin_code, seller_name,
         purchaser_name, purchaser_address, sold_on, due_on, method, status)
    SELECT tenant, t.tire_id, visit.customer_id, l.invoice_id, visit.shop_id, t.tin_code,
           place.name, c.display_name, c.billing_address, today, today + 30, 'dealer_submitted',
           'pending'
    FROM auto.invoice_line AS l
    JOIN auto.tire AS t ON t.business_id = tenant AND t.sold_part_line_id = l.part_line_id
    JOIN auto.customer AS c ON c.business_id = tenant AND c.customer_id = visit.customer_id
    WHERE l.business_id = tenant
      AND l.invoice_id = ANY (drafts)
      AND l.line_kind = 'part'
    ON CONFLICT (business_id, tire_id) DO UPDATE SET invoice_id = excluded.invoice_id;

    PERFORM auto.transition_repair_order(
        of_repair_order, 'invoiced', 'normal', 'invoiced ' || system_core.uuid_v7());
    UPDATE auto.invoice AS i
    SET status = 'written_off'
    WHERE i.business_id = tenant
      AND i.invoice_id = ANY (drafts)
      AND i.payer_kind = 'internal'
      AND i.status = 'issued';
    PERFORM auto.close_paid_order(of_repair_order);
    RETURN QUERY
    SELECT i.* FROM auto.invoice AS i
    WHERE i.business_id = tenant AND i.invoice_id = ANY (drafts)
    ORDER BY i.invoice_number;
END
$$;
COMMENT ON FUNCTION auto.issue_invoices(uuid) IS
    'Bills an order of the current tenant that is ready for pickup: an invoice for each payer with
     frozen lines, taxes of the shop by kind of line as of today, shop supplies and state fees on
     what customers and fleets pay, and the deductible moved to the customer. What the shop bears
     is written off, registrations of the tires sold are due in 30 days, and the order is invoiced,
     or closed where nobody owes anything.';


CREATE FUNCTION auto.void_invoice(bill uuid, reason text) RETURNS auto.invoice
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    gone   auto.invoice;
BEGIN
    -- Locked in the order that every writer keeps: payments before the invoice.
    PERFORM FROM auto.payment AS p
    WHERE p.business_id = tenant
      AND p.payment_id IN (
          SELECT a.payment_id FROM auto.payment_allocation AS a
          WHERE a.business_id = tenant AND a.invoice_id = bill AND a.reversed_at IS NULL)
    ORDER BY p.payment_id
    FOR NO KEY UPDATE;
    SELECT i.* INTO gone FROM auto.invoice AS i
    WHERE i.business_id = tenant AND i.invoice_id = bill AND i.status <> 'void'
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no invoice % to be voided', bill USING ERRCODE = 'no_data_found';
    ELSIF EXISTS (
        SELECT FROM auto.repair_order AS o
        WHERE o.business_id = tenant
          AND o.repair_order_id = gone.repair_order_id
          AND o.status = 'closed'
    ) THEN
        RAISE EXCEPTION 'invoice % is of an order that is closed', gone.invoice_number
            USING ERRCODE = 'check_violation', HINT = 'Refund the payment, or open a comeback.';
    END IF;

    UPDATE auto.payment_allocation AS a
    SET reversed_at = greatest(now(), a.allocated_at), reversal_reason = 'invoice void'
    WHERE a.business_id = tenant AND a.invoice_id = bill AND a.reversed_at IS NULL;
    IF gone.status = 'written_off' THEN
        RAISE EXCEPTION 'invoice % is written off: it is not voided', gone.invoice_number
            USING ERRCODE = 'check_violation', HINT = 'Set it back to issued first.';
    END IF;
    UPDATE auto.invoice AS i
    SET status = 'void', void_reason = reason
    WHERE i.business_id = tenant AND i.invoice_id = bill
    RETURNING i.* INTO gone;

    PERFORM FROM auto.repair_order AS o
    WHERE o.business_id = tenant
      AND o.repair_order_id = gone.repair_order_id
      AND o.status = 'invoiced'
    FOR NO KEY UPDATE;
    IF FOUND AND NOT EXISTS (
        SELECT FROM auto.invoice AS i
        WHERE i.business_id = tenant
          AND i.repair_order_id = gone.repair_order_id
          AND i.status <> 'void'
    ) THEN
        PERFORM auto.transition_repair_order(
            gone.repair_order_id, 'ready_for_pickup', 'normal', 'void ' || bill);
    END IF;
    RETURN gone;
END
$$;
COMMENT ON FUNCTION auto.void_invoice(uuid, text) IS
    'Takes an invoice of the current tenant back: its payments are unapplied again, and its order
     can be billed anew once all its invoices are void. An order that is closed stays as it is.';


CREATE FUNCTION auto.allocate_payment(
    of_payment     uuid,
    named_invoices uuid[] DEFAULT NULL,
    kind           text DEFAULT 'balance'
) RETURNS SETOF auto.payment_allocation
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    money  auto.payment;
    locked uuid[];
BEGIN
    SELECT p.* INTO money FROM auto.payment AS p
    WHERE p.business_id = tenant AND p.payment_id = of_payment
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no payment %', of_payment USING ERRCODE = 'no_data_found';
    ELSIF money.direction = 'refund' OR money.status NOT IN ('captured', 'settled') THEN
        RAISE EXCEPTION 'payment % is a % that is %: there is no money to allocate',
                        money.payment_number, money.direction, money.status
            USING ERRCODE = 'check_violation', HINT = 'Allocate it when it has arrived.';
    ELSIF kind = 'write_off' THEN
        RAISE EXCEPTION 'a write-off is not money of payment %', money.payment_number
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Insert an allocation of that kind for what is given up.';
    END IF;
    IF EXISTS (
        SELECT FROM unnest(named_invoices) AS n (invoice_id)
        LEFT JOIN auto.invoice AS i
            ON i.business_id = tenant AND i.invoice_id = n.invoice_id
            AND i.bill_to_customer_id = money.customer_id AND i.status NOT IN ('draft', 'void')
        WHERE i.invoice_id IS NULL
    ) THEN
        RAISE EXCEPTION 'an invoice that is named was not issued to the payer'
            USING ERRCODE = 'no_data_found';
    END IF;

    SELECT array_agg(o.invoice_id) INTO locked
    FROM (
        SELECT i.invoice_id FROM auto.invoice AS i
        WHERE i.business_id = tenant
          AND i.bill_to_customer_id = money.customer_id
          AND i.open_balance > 0
          AND CASE WHEN named_invoices IS NULL
                   THEN i.status <> 'written_off' AND i.payer_kind IN ('customer', 'fleet')
                   ELSE i.invoice_id = ANY (named_invoices) END
        ORDER BY i.invoice_id
        FOR NO KEY UPDATE
    ) AS o;

    RETURN QUERY
    WITH place AS (
        SELECT i.invoice_id, i.open_balance,
               sum(i.open_balance) OVER (
                   ORDER BY array_position(named_invoices, i.invoice_id), i.due_on, i.issued_at,
                            i.invoice_id
               ) - i.open_balance AS open_before
        FROM auto.invoice AS i
        WHERE i.business_id = tenant AND i.invoice_id = ANY (locked) AND i.open_balance > 0
    )
    INSERT INTO auto.payment_allocation
        (business_id, payment_id, invoice_id, allocation_kind, is_auto, allocated_amount)
    SELECT tenant, of_payment, p.invoice_id, kind, named_invoices IS NULL,
           least(p.open_balance, money.unapplied_amount - p.open_before)
    FROM place AS p
    WHERE p.open_before < money.unapplied_amount
    RETURNING *;
END
$$;
COMMENT ON FUNCTION auto.allocate_payment(uuid, uuid[], text) IS
    'Applies what is left of a payment of the current tenant to open invoices of its customer: the
     oldest due first, or those that are named in their order. Payment and invoices are locked
     before they are summed, so two calls never apply the same money or pay an invoice twice; what
     is beyond them stays unapplied.';


CREATE FUNCTION auto.invoice_and_pay(
    of_repair_order uuid,
    method          text,
    idempotency_ref text,
    amount          numeric DEFAULT NULL,
    processor_ref   text DEFAULT NULL,
    taken_by        uuid DEFAULT NULL
) RETURNS TABLE (business_id uuid, repair_order_id uuid, order_status text, payment_id uuid,
                 payment_number text, paid_amount numeric, unapplied_amount numeric,
                 open_balance numeric)
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    visit  auto.repair_order;
    taken  auto.payment;
    bills  uuid[];
    owed   numeric;
BEGIN
    -- One counter at a time for an order; the row itself is locked after payment and invoice.
    PERFORM pg_advisory_xact_lock(hashtextextended('auto.invoice_and_pay ' || of_repair_order, 0));
    SELECT o.* INTO visit FROM auto.repair_order AS o
    WHERE o.business_id = tenant AND o.repair_order_id = of_repair_order;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no repair order %', of_repair_order
            USING ERRCODE = 'no_data_found';
    END IF;
    SELECT p.* INTO taken FROM auto.payment AS p
    WHERE p.business_id = tenant AND p.idempotency_ref = invoice_and_pay.idempotency_ref;
    IF FOUND AND (taken.customer_id, taken.method) <> (visit.customer_id, invoice_and_pay.method)
       OR taken.amount <> invoice_and_pay.amount THEN
        RAISE EXCEPTION 'payment % was taken with key % and says something else',
                        taken.payment_number, idempotency_ref
            USING ERRCODE = 'unique_violation', HINT = 'Choose a key for each payment.';
    END IF;

    IF taken.payment_id IS NULL THEN
        IF visit.status = 'ready_for_pickup' THEN
            PERFORM auto.issue_invoices(of_repair_order);
        ELSIF visit.status NOT IN ('invoiced', 'closed') THEN
            RAISE EXCEPTION 'repair order % is %: it is paid when it is ready for pickup',
                            visit.ro_number, visit.status
                USING ERRCODE = 'check_violation', HINT = 'Take a deposit instead.';
        END IF;
        SELECT array_agg(i.invoice_id ORDER BY i.invoice_number), coalesce(sum(i.open_balance), 0)
        INTO bills, owed
        FROM auto.invoice AS i
        WHERE i.business_id = tenant
          AND i.repair_order_id = of_repair_order
          AND i.bill_to_customer_id = visit.customer_id
          AND i.payer_kind IN ('customer', 'fleet')
          AND i.status NOT IN ('draft', 'void', 'written_off');

        INSERT INTO auto.payment AS p
            (business_id, customer_id, shop_id, payment_number, method, amount, currency_code,
             status, paid_at, settled_on, processor_ref, idempotency_ref, taken_by_user_id)
        SELECT tenant, visit.customer_id, visit.shop_id, NULL, invoice_and_pay.method, m.due,
               b.currency_code,
               CASE WHEN invoice_and_pay.method = 'cash' THEN 'settled'
                    WHEN invoice_and_pay.method IN ('ach', 'financing') THEN 'pending'
                    ELSE 'captured' END,
               now(), CASE WHEN invoice_and_pay.method = 'cash' THEN tenant_mgmt.today() END,
               invoice_and_pay.processor_ref, invoice_and_pay.idempotency_ref, taken_by
        FROM tenant_mgmt.business AS b
        CROSS JOIN (SELECT coalesce(invoice_and_pay.amount, owed) AS due) AS m
        WHERE b.business_id = tenant AND m.due > 0
        RETURNING p.* INTO taken;
        IF taken.status IN ('captured', 'settled') AND bills IS NOT NULL THEN
            PERFORM auto.allocate_payment(taken.payment_id, bills);
        END IF;
    END IF;

    RETURN QUERY
    SELECT o.business_id, o.repair_order_id, o.status, p.payment_id, p.payment_number,
           p.allocated_amount::numeric, p.unapplied_amount::numeric,
           (SELECT coalesce(sum(i.open_balance), 0)
            FROM auto.invoice AS i
            WHERE i.business_id = tenant
              AND i.repair_order_id = of_repair_order
              AND i.status <> 'written_off')
    FROM auto.repair_order AS o
    LEFT JOIN auto.payment AS p
        ON p.business_id = o.business_id AND p.payment_id = taken.payment_id
    WHERE o.business_id = tenant AND o.repair_order_id = of_repair_order;
END
$$;
COMMENT ON FUNCTION auto.invoice_and_pay(uuid, text, text, numeric, text, uuid) IS
    'At the counter: issues the invoices of an order of the current tenant where there are none,
     takes what the customer owes of them (or an amount) and applies it; the order is closed when
     nobody owes anything. Once per key: a second try tells what the first did. A transfer is
     applied when it arrives; what is paid beyond the invoices stays on account.';


CREATE FUNCTION auto.reconcile_receivables()
    RETURNS TABLE (subject text, subject_id uuid, document_number text, figure text,
                   recorded numeric, proven numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH allocated AS (
        SELECT a.payment_id, a.invoice_id,
               coalesce(sum(a.allocated_amount)
                            FILTER (WHERE a.allocation_kind <> 'write_off'), 0) AS money,
               coalesce(sum(a.allocated_amount)
                            FILTER (WHERE a.allocation_kind = 'write_off'), 0) AS given_up
        FROM auto.payment_allocation AS a
        WHERE a.business_id = tenant_mgmt.current_business_id() AND a.reversed_at IS NULL
        GROUP BY a.payment_id, a.invoice_id
    ), invoice_proof AS (
        SELECT i.*, coalesce(s.labor_amount, 0) AS labor, coalesce(s.parts_amount, 0) AS parts,
               coalesce(s.sublet_amount, 0) AS sublet, coalesce(s.fees_amount, 0) AS fees,
               coalesce(s.discount_amount, 0) AS discount, coalesce(s.tax_amount, 0) AS tax,
               coalesce(s.deductible_amount, 0) AS deductible,
               coalesce(s.labor_amount + s.parts_amount + s.sublet_amount + s.fees_amount
                        - s.discount_amount + s.tax_amount, 0) AS total,
               coalesce(a.money, 0) AS money, coalesce(a.given_up, 0) AS given_up
        FROM auto.invoice AS i
        LEFT JOIN auto.v_invoice_line_sums AS s
            ON s.business_id = i.business_id AND s.invoice_id = i.invoice_id
        LEFT JOIN (SELECT x.invoice_id, sum(x.money) AS money, sum(x.given_up) AS given_up
                   FROM allocated AS x GROUP BY x.invoice_id) AS a
            ON a.invoice_id = i.invoice_id
        WHERE i.business_id = tenant_mgmt.current_business_id()
    ), payment_proof AS (
        SELECT p.*, coalesce(a.money, 0) AS money, coalesce(r.amount, 0) AS returned
        FROM auto.payment AS p
        LEFT JOIN (SELECT x.payment_id, sum(x.money) AS money
                   FROM allocated AS x GROUP BY x.payment_id) AS a
            ON a.payment_id = p.payment_id
        LEFT JOIN (SELECT x.refund_of_payment_id, sum(x.amount) AS amount
                   FROM auto.payment AS x
                   WHERE x.business_id = tenant_mgmt.current_business_id()
                     AND x.status IN ('pending', 'authorized', 'captured', 'settled')
                   GROUP BY x.refund_of_payment_id) AS r
            ON r.refund_of_payment_id = p.payment_id
        WHERE p.business_id = tenant_mgmt.current_business_id()
    ), customer_proof AS (
        SELECT c.*, coalesce(i.owed, 0) AS owed, coalesce(i.revenue, 0) AS revenue
        FROM auto.customer AS c
        LEFT JOIN (
            SELECT x.bill_to_customer_id,
                   sum(x.total - x.money - x.given_up)
                       FILTER (WHERE x.payer_kind IN ('customer', 'fleet')
                                 AND x.status <> 'written_off') AS owed,
                   sum(x.total - x.tax) FILTER (WHERE x.payer_kind <> 'internal') AS revenue
            FROM invoice_proof AS x
            WHERE x.status NOT IN ('draft', 'void')
            GROUP BY x.bill_to_customer_id
        ) AS i ON i.bill_to_customer_id = c.customer_id
        WHERE c.business_id = tenant_mgmt.current_business_id()
    )
    SELECT 'invoice', i.invoice_id, i.invoice_number, f.figure, f.recorded, f.proven
    FROM invoice_proof AS i
    CROSS JOIN LATERAL (
        VALUES ('labor_amount', i.labor_amount::numeric, i.labor),
               ('parts_amount', i.parts_amount, i.parts),
               ('sublet_amount', i.sublet_amount, i.sublet),
               ('fees_amount', i.fees_amount, i.fees),
               ('discount_amount', i.discount_amount, i.discount),
               ('tax_amount', i.tax_amount, i.tax),
               ('deductible_amount', i.deductible_amount, i.deductible),
               ('paid_amount', i.paid_amount, i.money),
               ('written_off_amount', i.written_off_amount, i.given_up),
               ('open_balance', i.open_balance,
                CASE WHEN i.status IN ('draft', 'void') THEN 0
                     ELSE i.total - i.money - i.given_up END)
    ) AS f (figure, recorded, proven)
    WHERE f.recorded <> f.proven
    UNION ALL
    SELECT 'payment', p.payment_id, p.payment_number, f.figure, f.recorded, f.proven
    FROM payment_proof AS p
    CROSS JOIN LATERAL (
        VALUES ('allocated_amount', p.allocated_amount::numeric, p.money),
               ('refunded_amount', p.refunded_amount, p.returned),
               ('unapplied_amount', p.unapplied_amount,
                CASE WHEN p.direction = 'received' AND p.status IN ('captured', 'settled')
                     THEN p.amount ELSE 0 END - p.money - p.returned)
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
COMMENT ON FUNCTION auto.reconcile_receivables() IS
    'Sums the receivables of the current tenant anew from lines, allocations and refunds, and names
     every figure of an invoice, payment or customer that says something else. No row: every
     balance is proven.';
