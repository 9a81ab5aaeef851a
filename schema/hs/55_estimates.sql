/*
 * Estimates: what is offered to a customer before the work.
 *
 * An estimate is presented with up to several options (good, better, best), each made of lines.
 * The option that the customer takes is estimate.selected_option_no, a foreign key to the options
 * of that very estimate. Totals follow from the lines; a sold estimate stays as it was signed, and
 * a change of a presented one is its next revision.
 */

CREATE FUNCTION hs.location_tax(business uuid, of_location uuid, sold text, on_day date)
    RETURNS TABLE (tax_pct numeric, tax_rate_id uuid)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(sum(r.combined_pct), 0),
           (array_agg(r.tax_rate_id ORDER BY r.tax_kind <> 'sales', r.combined_pct DESC))[1]
    FROM hs.service_location AS l
    JOIN hs.tax_rate AS home
        ON home.business_id = l.business_id AND home.tax_rate_id = l.tax_rate_id
    LEFT JOIN hs.tax_rate AS r
        ON r.business_id = home.business_id
        AND r.jurisdiction_code = home.jurisdiction_code
        AND r.tax_kind <> 'use'
        AND r.applies_to IN ('both', sold)
        AND r.effective_on <= on_day
        AND (r.ends_on > on_day OR r.ends_on IS NULL)
    WHERE l.business_id = business AND l.service_location_id = of_location
    GROUP BY l.service_location_id;
END;
COMMENT ON FUNCTION hs.location_tax(uuid, uuid, text, date) IS
    'What the jurisdiction of a location takes of parts or of labor on a day, all its taxes
     together, and the principal one of them; no row where no jurisdiction is named. It is asked
     by triggers as well, where there is no current tenant, so the business is an argument.';


CREATE TABLE hs.estimate (
    business_id               uuid                   NOT NULL,
    estimate_id               uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id               uuid                   NOT NULL,
    service_location_id       uuid                   NOT NULL,
    lead_id                   uuid,
    source_work_order_id      uuid,
    resulting_work_order_id   uuid,
    prepared_by_technician_id uuid,
    estimate_number           system_core.code       NOT NULL,
    revision_no               integer                NOT NULL DEFAULT 1,
    title                     text                   NOT NULL,
    status                    text                   NOT NULL DEFAULT 'draft',
    selected_option_no        integer,
    total_amount              system_core.money      NOT NULL DEFAULT 0,
    cost_amount               system_core.money      NOT NULL DEFAULT 0,
    margin_pct                system_core.percentage,
    dismissed_reason          text,
    terms_text                text,
    presented_at              timestamptz,
    sold_at                   timestamptz,
    expires_on                date,
    created_at                timestamptz            NOT NULL DEFAULT now(),
    updated_at                timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, estimate_id),
    UNIQUE (business_id, estimate_number, revision_no),
    FOREIGN KEY (business_id, customer_id) REFERENCES hs.customer (business_id, customer_id),
    FOREIGN KEY (business_id, service_location_id)
        REFERENCES hs.service_location (business_id, service_location_id),
    FOREIGN KEY (business_id, lead_id) REFERENCES hs.lead (business_id, lead_id),
    FOREIGN KEY (business_id, source_work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, resulting_work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, prepared_by_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT estimate_status_known
        CHECK (status IN ('draft', 'presented', 'viewed', 'sold', 'dismissed', 'expired')),
    CONSTRAINT estimate_revision_positive CHECK (revision_no >= 1),
    CONSTRAINT estimate_sold_has_time CHECK ((status = 'sold') = (sold_at IS NOT NULL)),
    CONSTRAINT estimate_sold_names_its_option
        CHECK (status <> 'sold' OR selected_option_no IS NOT NULL),
    CONSTRAINT estimate_shown_was_presented
        CHECK (status NOT IN ('presented', 'viewed', 'sold', 'expired')
               OR presented_at IS NOT NULL),
    CONSTRAINT estimate_dismissed_has_reason
        CHECK ((status = 'dismissed') = (dismissed_reason IS NOT NULL)),
    CONSTRAINT estimate_sold_after_presented CHECK (sold_at >= presented_at),
    CONSTRAINT estimate_amounts_not_negative CHECK (total_amount >= 0 AND cost_amount >= 0),
    CONSTRAINT estimate_leads_to_other_work
        CHECK (resulting_work_order_id <> source_work_order_id)
);

COMMENT ON TABLE hs.estimate IS
    'A quote for a location, with options to choose from; a later revision replaces an earlier.';
COMMENT ON COLUMN hs.estimate.source_work_order_id IS
    'The visit on which the need was found.';
COMMENT ON COLUMN hs.estimate.resulting_work_order_id IS
    'The work that was sold; may be named after the sale.';
COMMENT ON COLUMN hs.estimate.total_amount IS
    'Of the option that is selected, else of the recommended, else of the first one.';
COMMENT ON COLUMN hs.estimate.margin_pct IS
    'What is left of the net price after cost, in percent of it; NULL where nothing is priced.';

-- FK and customer page: the quotes of a customer, newest first.
CREATE INDEX estimate_customer_idx
    ON hs.estimate (business_id, customer_id, created_at DESC);

-- FK: the quotes for a location.
CREATE INDEX estimate_location_idx ON hs.estimate (business_id, service_location_id);

-- Follow-up and expire_estimates(): what waits for the customer's answer.
CREATE INDEX estimate_waiting_idx
    ON hs.estimate (business_id, expires_on)
    WHERE status IN ('presented', 'viewed');

-- FK: the quotes that a lead led to.
CREATE INDEX estimate_lead_idx
    ON hs.estimate (business_id, lead_id)
    WHERE lead_id IS NOT NULL;

-- FK: what was quoted on a visit.
CREATE INDEX estimate_source_work_order_idx
    ON hs.estimate (business_id, source_work_order_id)
    WHERE source_work_order_id IS NOT NULL;

-- FK: the quote that a work order was sold by.
CREATE INDEX estimate_resulting_work_order_idx
    ON hs.estimate (business_id, resulting_work_order_id)
    WHERE resulting_work_order_id IS NOT NULL;

-- FK and score card: what a technician quoted.
CREATE INDEX estimate_technician_idx
    ON hs.estimate (business_id, prepared_by_technician_id)
    WHERE prepared_by_technician_id IS NOT NULL;

ALTER TABLE hs.estimate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.estimate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.estimate TO app_user;
GRANT SELECT ON hs.estimate TO app_readonly;

CREATE TRIGGER estimate_touch
    BEFORE UPDATE ON hs.estimate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER estimate_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.estimate
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":     ["presented", "dismissed"],
            "presented": ["viewed", "sold", "dismissed", "expired"],
            "viewed":    ["sold", "dismissed", "expired"],
            "expired":   ["presented", "dismissed"],
            "dismissed": [],
            "sold":      []
        }}');

CREATE FUNCTION hs.refuse_sold_estimate() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'estimate % is sold: it stays as it was signed', OLD.estimate_number
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Agree on a change order for the work that it led to.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION hs.refuse_sold_estimate() IS
    'What a customer signed is not edited; only the work order that it led to may be named.';

CREATE TRIGGER estimate_sold_update
    BEFORE UPDATE ON hs.estimate
    FOR EACH ROW WHEN (OLD.status = 'sold' AND (
        to_jsonb(OLD) - '{resulting_work_order_id,updated_at}'::text[]
        IS DISTINCT FROM to_jsonb(NEW) - '{resulting_work_order_id,updated_at}'::text[]
        OR OLD.resulting_work_order_id <> NEW.resulting_work_order_id))
    EXECUTE FUNCTION hs.refuse_sold_estimate();

CREATE TRIGGER estimate_sold_delete
    BEFORE DELETE ON hs.estimate
    FOR EACH ROW WHEN (OLD.status = 'sold')
    EXECUTE FUNCTION hs.refuse_sold_estimate();


CREATE TABLE hs.estimate_option (
    business_id            uuid              NOT NULL,
    estimate_option_id     uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    estimate_id            uuid              NOT NULL,
    option_no              integer           NOT NULL,
    tier                   text              NOT NULL DEFAULT 'custom',
    name                   text              NOT NULL,
    subtotal_amount        system_core.money NOT NULL DEFAULT 0,
    discount_amount        system_core.money NOT NULL DEFAULT 0,
    tax_amount             system_core.money NOT NULL DEFAULT 0,
    total_amount           system_core.money NOT NULL GENERATED ALWAYS AS
        (subtotal_amount - discount_amount + tax_amount) STORED,
    cost_amount            system_core.money NOT NULL DEFAULT 0,
    monthly_payment_amount system_core.money,
    is_recommended         boolean           NOT NULL DEFAULT false,
    option_note            text,
    created_at             timestamptz       NOT NULL DEFAULT now(),
    updated_at             timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, estimate_option_id),
    UNIQUE (business_id, estimate_id, option_no),
    FOREIGN KEY (business_id, estimate_id)
        REFERENCES hs.estimate (business_id, estimate_id) ON DELETE CASCADE,
    CONSTRAINT estimate_option_number_bounded CHECK (option_no BETWEEN 1 AND 9),
    CONSTRAINT estimate_option_tier_known
        CHECK (tier IN ('good', 'better', 'best', 'custom')),
    CONSTRAINT estimate_option_amounts_not_negative
        CHECK (subtotal_amount >= 0 AND discount_amount >= 0 AND tax_amount >= 0
               AND cost_amount >= 0),
    CONSTRAINT estimate_option_discount_within_subtotal
        CHECK (discount_amount <= subtotal_amount),
    CONSTRAINT estimate_option_monthly_payment_positive CHECK (monthly_payment_amount > 0)
);

COMMENT ON TABLE hs.estimate_option IS
    'One package of an estimate; the selected one is named by estimate.selected_option_no.';
COMMENT ON COLUMN hs.estimate_option.subtotal_amount IS
    'Sum of the lines that charge and are not optional.';
COMMENT ON COLUMN hs.estimate_option.discount_amount IS
    'Sum of discount and rebate lines, positive.';
COMMENT ON COLUMN hs.estimate_option.tax_amount IS
    'The taxable lines less discounts, by the rate of the location; 0 for who is exempt.';
COMMENT ON COLUMN hs.estimate_option.monthly_payment_amount IS
    'What it would cost a month with the financing that is offered.';

-- One recommendation per estimate.
CREATE UNIQUE INDEX estimate_option_recommended_idx
    ON hs.estimate_option (business_id, estimate_id)
    WHERE is_recommended;

ALTER TABLE hs.estimate_option ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.estimate_option
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.estimate_option TO app_user;
GRANT SELECT ON hs.estimate_option TO app_readonly;

-- The selected option is one of the estimate's own.
ALTER TABLE hs.estimate ADD FOREIGN KEY (business_id, estimate_id, selected_option_no)
    REFERENCES hs.estimate_option (business_id, estimate_id, option_no);

-- FK: the estimate that selected an option.
CREATE INDEX estimate_selected_option_idx
    ON hs.estimate (business_id, estimate_id, selected_option_no)
    WHERE selected_option_no IS NOT NULL;

CREATE TRIGGER estimate_option_touch
    BEFORE UPDATE ON hs.estimate_option
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.refuse_sold_options() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND EXISTS (
        SELECT FROM changed AS c
        JOIN hs.estimate AS e
            ON e.business_id = c.business_id AND e.estimate_id = c.estimate_id
        WHERE e.status = 'sold'
    ) THEN
        RAISE EXCEPTION 'options of a sold estimate stay as they are'
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Agree on a change order for the work that it led to.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.refuse_sold_options() IS
    'Options are not added to, changed in or taken out of an estimate that was sold.';

CREATE TRIGGER estimate_option_sold_insert
    AFTER INSERT ON hs.estimate_option
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.refuse_sold_options();

CREATE TRIGGER estimate_option_sold_update
    AFTER UPDATE ON hs.estimate_option
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.refuse_sold_options();

CREATE TRIGGER estimate_option_sold_left
    AFTER UPDATE ON hs.estimate_option
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.refuse_sold_options();

CREATE TRIGGER estimate_option_sold_delete
    AFTER DELETE ON hs.estimate_option
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.refuse_sold_options();

CREATE FUNCTION hs.total_estimates() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM hs.estimate AS e
    WHERE (e.business_id, e.estimate_id) IN (
        SELECT c.business_id, c.estimate_id FROM changed AS c)
    ORDER BY e.business_id, e.estimate_id
    FOR NO KEY UPDATE;

    UPDATE hs.estimate AS e
    SET total_amount = coalesce(o.total, 0),
        cost_amount = coalesce(o.cost, 0),
        margin_pct = round(100 * (o.net - o.cost) / nullif(o.net, 0), 4)
    FROM (SELECT DISTINCT c.business_id, c.estimate_id FROM changed AS c) AS t
    LEFT JOIN LATERAL (
        SELECT x.total_amount AS total, x.cost_amount AS cost,
               x.subtotal_amount - x.discount_amount AS net
        FROM hs.estimate_option AS x
        JOIN hs.estimate AS own
            ON own.business_id = x.business_id AND own.estimate_id = x.estimate_id
        WHERE x.business_id = t.business_id AND x.estimate_id = t.estimate_id
        ORDER BY coalesce(x.option_no = own.selected_option_no, false) DESC,
                 x.is_recommended DESC, x.option_no
        LIMIT 1
    ) AS o ON true
    WHERE e.business_id = t.business_id
      AND e.estimate_id = t.estimate_id
      AND (e.total_amount, e.cost_amount, e.margin_pct) IS DISTINCT FROM (
          coalesce(o.total, 0), coalesce(o.cost, 0),
          round(100 * (o.net - o.cost) / nullif(o.net, 0), 4));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.total_estimates() IS
    'An estimate amounts to its selected option, else the recommended, else the first.';

CREATE TRIGGER estimate_option_total_insert
    AFTER INSERT ON hs.estimate_option
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.total_estimates();

CREATE TRIGGER estimate_option_total_update
    AFTER UPDATE ON hs.estimate_option
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.total_estimates();

CREATE TRIGGER estimate_option_total_left
    AFTER UPDATE ON hs.estimate_option
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.total_estimates();

CREATE TRIGGER estimate_option_total_delete
    AFTER DELETE ON hs.estimate_option
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.total_estimates();

CREATE FUNCTION hs.price_selected_option() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT x.total_amount, x.cost_amount,
           round(100 * (x.subtotal_amount - x.discount_amount - x.cost_amount)
                 / nullif(x.subtotal_amount - x.discount_amount, 0), 4)
    INTO NEW.total_amount, NEW.cost_amount, NEW.margin_pct
    FROM hs.estimate_option AS x
    WHERE x.business_id = NEW.business_id
      AND x.estimate_id = NEW.estimate_id
      AND x.option_no = NEW.selected_option_no;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'estimate % has no option %', NEW.estimate_number, NEW.selected_option_no
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.price_selected_option() IS
    'From the moment an option is selected, the estimate amounts to it.';

-- By its name it runs after estimate_sold_update, which judges what was asked for.
CREATE TRIGGER estimate_total_selected
    BEFORE UPDATE OF selected_option_no ON hs.estimate
    FOR EACH ROW WHEN (NEW.selected_option_no IS NOT NULL
                       AND NEW.selected_option_no IS DISTINCT FROM OLD.selected_option_no)
    EXECUTE FUNCTION hs.price_selected_option();


CREATE TABLE hs.estimate_line (
    business_id        uuid                   NOT NULL,
    estimate_line_id   uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    estimate_option_id uuid                   NOT NULL,
    service_task_id    uuid,
    stock_item_id      uuid,
    line_no            integer                NOT NULL,
    line_kind          text                   NOT NULL DEFAULT 'service',
    description        text                   NOT NULL,
    line_qty           system_core.quantity   NOT NULL DEFAULT 1,
    unit_price         system_core.money      NOT NULL DEFAULT 0,
    unit_cost          system_core.unit_price NOT NULL DEFAULT 0,
    line_total         system_core.money      NOT NULL GENERATED ALWAYS AS
        (round(line_qty * unit_price, 2)) STORED,
    is_optional        boolean                NOT NULL DEFAULT false,
    is_taxable         boolean                NOT NULL DEFAULT true,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, estimate_line_id),
    UNIQUE (business_id, estimate_option_id, line_no),
    FOREIGN KEY (business_id, estimate_option_id)
        REFERENCES hs.estimate_option (business_id, estimate_option_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, service_task_id)
        REFERENCES hs.service_task (business_id, service_task_id),
    FOREIGN KEY (business_id, stock_item_id)
        REFERENCES hs.stock_item (business_id, stock_item_id),
    CONSTRAINT estimate_line_number_positive CHECK (line_no >= 1),
    CONSTRAINT estimate_line_kind_known
        CHECK (line_kind IN ('service', 'equipment', 'material', 'labor', 'discount', 'rebate')),
    CONSTRAINT estimate_line_quantity_positive CHECK (line_qty > 0),
    CONSTRAINT estimate_line_negative_only_when_discount
        CHECK (CASE WHEN line_kind IN ('discount', 'rebate') THEN unit_price <= 0
                    ELSE unit_price >= 0 END),
    CONSTRAINT estimate_line_cost_not_negative CHECK (unit_cost >= 0),
    CONSTRAINT estimate_line_of_one_source
        CHECK (service_task_id IS NULL OR stock_item_id IS NULL)
);

COMMENT ON TABLE hs.estimate_line IS
    'One service, part or discount of an option; a discount has a negative price.';
COMMENT ON COLUMN hs.estimate_line.is_optional IS
    'Offered on top: not part of the option''s totals until it is taken.';

-- FK: where a task was quoted.
CREATE INDEX estimate_line_task_idx
    ON hs.estimate_line (business_id, service_task_id)
    WHERE service_task_id IS NOT NULL;

-- FK: where an item was quoted.
CREATE INDEX estimate_line_item_idx
    ON hs.estimate_line (business_id, stock_item_id)
    WHERE stock_item_id IS NOT NULL;

ALTER TABLE hs.estimate_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.estimate_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.estimate_line TO app_user;
GRANT SELECT ON hs.estimate_line TO app_readonly;

CREATE TRIGGER estimate_line_touch
    BEFORE UPDATE ON hs.estimate_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.total_options() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM hs.estimate_option AS o
    WHERE (o.business_id, o.estimate_option_id) IN (
        SELECT c.business_id, c.estimate_option_id FROM changed AS c)
    ORDER BY o.business_id, o.estimate_option_id
    FOR NO KEY UPDATE;

    UPDATE hs.estimate_option AS o
    SET subtotal_amount = s.subtotal,
        discount_amount = s.discount,
        cost_amount = s.cost,
        tax_amount = round(greatest(s.tax, 0), 2)
    FROM (
        SELECT t.business_id, t.estimate_option_id,
               coalesce(sum(l.line_total) FILTER (WHERE l.unit_price > 0), 0) AS subtotal,
               -coalesce(sum(l.line_total) FILTER (WHERE l.unit_price < 0), 0) AS discount,
               round(coalesce(sum(l.line_qty * l.unit_cost), 0), 2) AS cost,
               CASE WHEN bool_or(w.is_tax_exempt) THEN 0 ELSE
                   coalesce(sum(l.line_total * coalesce(x.tax_pct, 0))
                       FILTER (WHERE l.is_taxable), 0) / 100 END AS tax
        FROM (SELECT DISTINCT c.business_id, c.estimate_option_id FROM changed AS c) AS t
        JOIN hs.estimate_option AS own
            ON own.business_id = t.business_id
            AND own.estimate_option_id = t.estimate_option_id
        JOIN hs.estimate AS e
            ON e.business_id = own.business_id AND e.estimate_id = own.estimate_id
        JOIN hs.customer AS w
            ON w.business_id = e.business_id AND w.customer_id = e.customer_id
        LEFT JOIN hs.estimate_line AS l
            ON l.business_id = t.business_id
            AND l.estimate_option_id = t.estimate_option_id
            AND NOT l.is_optional
        LEFT JOIN LATERAL hs.location_tax(
            e.business_id, e.service_location_id,
            CASE WHEN l.line_kind IN ('equipment', 'material') THEN 'parts' ELSE 'labor' END,
            current_date) AS x ON l.is_taxable
        GROUP BY t.business_id, t.estimate_option_id
    ) AS s
    WHERE o.business_id = s.business_id AND o.estimate_option_id = s.estimate_option_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.total_options() IS
    'Keeps price, discount, tax and cost of the options whose lines a statement touched; their
     estimates follow by hs.total_estimates(), which also refuses what was sold.';

CREATE TRIGGER estimate_line_total_insert
    AFTER INSERT ON hs.estimate_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.total_options();

CREATE TRIGGER estimate_line_total_update
    AFTER UPDATE ON hs.estimate_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.total_options();

CREATE TRIGGER estimate_line_total_left
    AFTER UPDATE ON hs.estimate_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.total_options();

CREATE TRIGGER estimate_line_total_delete
    AFTER DELETE ON hs.estimate_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.total_options();


CREATE FUNCTION hs.sell_estimate(offer uuid, option_no integer) RETURNS hs.estimate
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    sold   hs.estimate;
BEGIN
    UPDATE hs.estimate AS e
    SET status = 'sold', selected_option_no = sell_estimate.option_no, sold_at = now()
    WHERE e.business_id = tenant
      AND e.estimate_id = offer
      AND (e.expires_on >= tenant_mgmt.today() OR e.expires_on IS NULL)
    RETURNING e.* INTO sold;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no estimate % that still holds', offer
            USING ERRCODE = 'no_data_found', HINT = 'Present it anew with a later date.';
    END IF;

    -- Other revisions of the same quote are answered by this one.
    UPDATE hs.estimate AS e
    SET status = 'dismissed', dismissed_reason = 'another revision was sold'
    WHERE e.business_id = tenant
      AND e.estimate_number = sold.estimate_number
      AND e.estimate_id <> sold.estimate_id
      AND e.status IN ('draft', 'presented', 'viewed', 'expired');
    RETURN sold;
END
$$;
COMMENT ON FUNCTION hs.sell_estimate(uuid, integer) IS
    'The customer of the current tenant signs an option of a presented estimate that has not
     expired; other revisions of it are dismissed.';


CREATE FUNCTION hs.expire_estimates(on_day date DEFAULT tenant_mgmt.today()) RETURNS integer
    LANGUAGE sql
BEGIN ATOMIC
    WITH gone AS (
        UPDATE hs.estimate AS e
        SET status = 'expired'
        WHERE e.business_id = tenant_mgmt.current_business_id()
          AND e.status IN ('presented', 'viewed')
          AND e.expires_on < on_day
        RETURNING e.estimate_id
    )
    SELECT count(*)::integer FROM gone;
END;
COMMENT ON FUNCTION hs.expire_estimates(date) IS
    'Lets the unanswered estimates of the current tenant lapse after their last day; how many.';
