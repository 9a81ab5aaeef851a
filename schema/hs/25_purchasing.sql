/*
 * Purchasing: what is bought from whom, for the shelf or for a job, and what arrived.
 *
 * A vendor sells items under its own numbers and prices (vendor_item). A purchase_order goes
 * through approval to the vendor; its lines say what is ordered, received and billed. What arrives
 * is a goods_receipt: open while it is counted, immutable once posted. Posting writes the ledger of
 * stock and the received quantities, and moves the order on; a reversal takes both back. What is
 * open of orders that were sent is stock_balance.on_order_qty.
 */

CREATE TABLE hs.vendor (
    business_id            uuid                   NOT NULL,
    vendor_id              uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    vendor_number          system_core.code       NOT NULL,
    name                   text                   NOT NULL,
    vendor_kind            text                   NOT NULL DEFAULT 'supply_house',
    email                  system_core.email,
    phone                  system_core.phone,
    account_number         text,
    payment_terms_days     integer                NOT NULL DEFAULT 30,
    early_pay_discount_pct system_core.percentage NOT NULL DEFAULT 0,
    min_order_amount       system_core.money      NOT NULL DEFAULT 0,
    is_1099                boolean                NOT NULL DEFAULT false,
    tax_ref                system_core.vault_ref,
    currency_code          system_core.currency   NOT NULL,
    rating_score           system_core.score,
    status                 text                   NOT NULL DEFAULT 'active',
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, vendor_id),
    UNIQUE (business_id, vendor_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT vendor_kind_known
        CHECK (vendor_kind IN ('supply_house', 'manufacturer', 'service', 'lab', 'fuel',
                               'subcontract')),
    CONSTRAINT vendor_status_known CHECK (status IN ('active', 'on_hold', 'inactive')),
    CONSTRAINT vendor_terms_bounded CHECK (payment_terms_days BETWEEN 0 AND 120),
    CONSTRAINT vendor_discount_bounded CHECK (early_pay_discount_pct BETWEEN 0 AND 100),
    CONSTRAINT vendor_min_order_not_negative CHECK (min_order_amount >= 0),
    CONSTRAINT vendor_rating_bounded CHECK (rating_score BETWEEN 1 AND 5),
    CONSTRAINT vendor_reported_has_tax_number CHECK (NOT is_1099 OR tax_ref IS NOT NULL)
);

COMMENT ON TABLE hs.vendor IS 'A supply house, manufacturer or service firm that is paid.';
COMMENT ON COLUMN hs.vendor.account_number IS 'Our number in the vendor''s books.';
COMMENT ON COLUMN hs.vendor.is_1099 IS
    'Payments are reported to the tax office on form 1099, which needs the tax number.';
COMMENT ON COLUMN hs.vendor.early_pay_discount_pct IS 'What paying within ten days saves.';

ALTER TABLE hs.vendor ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.vendor
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.vendor TO app_user;
GRANT SELECT ON hs.vendor TO app_readonly;

CREATE TRIGGER vendor_touch
    BEFORE UPDATE ON hs.vendor
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

ALTER TABLE hs.stock_item
    ADD FOREIGN KEY (business_id, preferred_vendor_id)
        REFERENCES hs.vendor (business_id, vendor_id);

ALTER TABLE hs.serialized_unit
    ADD FOREIGN KEY (business_id, vendor_id) REFERENCES hs.vendor (business_id, vendor_id);


CREATE TABLE hs.vendor_item (
    business_id        uuid                   NOT NULL,
    vendor_item_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    vendor_id          uuid                   NOT NULL,
    stock_item_id      uuid                   NOT NULL,
    vendor_sku         text                   NOT NULL,
    unit_cost          system_core.unit_price NOT NULL,
    min_order_qty      system_core.quantity   NOT NULL DEFAULT 1,
    pack_qty           system_core.quantity   NOT NULL DEFAULT 1,
    lead_days          integer                NOT NULL DEFAULT 3,
    is_preferred       boolean                NOT NULL DEFAULT false,
    price_effective_on date                   NOT NULL DEFAULT current_date,
    last_purchased_on  date,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, vendor_item_id),
    UNIQUE (business_id, vendor_id, stock_item_id),
    FOREIGN KEY (business_id, vendor_id) REFERENCES hs.vendor (business_id, vendor_id),
    FOREIGN KEY (business_id, stock_item_id)
        REFERENCES hs.stock_item (business_id, stock_item_id),
    CONSTRAINT vendor_item_sku_not_blank CHECK (vendor_sku ~ '\S'),
    CONSTRAINT vendor_item_cost_not_negative CHECK (unit_cost >= 0),
    CONSTRAINT vendor_item_sold_in_packs CHECK (min_order_qty > 0 AND pack_qty > 0),
    CONSTRAINT vendor_item_lead_bounded CHECK (lead_days BETWEEN 0 AND 365)
);

COMMENT ON TABLE hs.vendor_item IS
    'What a vendor calls an item, what it costs there and how long it takes.';
COMMENT ON COLUMN hs.vendor_item.pack_qty IS 'It is sold in multiples of this.';
COMMENT ON COLUMN hs.vendor_item.last_purchased_on IS 'Kept by posted receipts.';

-- One preferred vendor an item.
CREATE UNIQUE INDEX vendor_item_preferred_idx
    ON hs.vendor_item (business_id, stock_item_id)
    WHERE is_preferred;

-- FK and comparison: who sells an item, the cheapest first.
CREATE INDEX vendor_item_item_idx ON hs.vendor_item (business_id, stock_item_id, unit_cost);

ALTER TABLE hs.vendor_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.vendor_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.vendor_item TO app_user;
GRANT SELECT ON hs.vendor_item TO app_readonly;

CREATE TRIGGER vendor_item_touch
    BEFORE UPDATE ON hs.vendor_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.prefer_vendors() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE hs.stock_item AS i
    SET preferred_vendor_id = p.vendor_id
    FROM (
        SELECT DISTINCT c.business_id, c.stock_item_id, v.vendor_id
        FROM changed AS c
        LEFT JOIN hs.vendor_item AS v
            ON v.business_id = c.business_id AND v.stock_item_id = c.stock_item_id
           AND v.is_preferred
    ) AS p
    WHERE i.business_id = p.business_id AND i.stock_item_id = p.stock_item_id
      AND i.preferred_vendor_id IS DISTINCT FROM p.vendor_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.prefer_vendors() IS
    'Keeps stock_item.preferred_vendor_id as the vendors'' lists say.';

CREATE TRIGGER vendor_item_prefer_insert
    AFTER INSERT ON hs.vendor_item
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.prefer_vendors();

CREATE TRIGGER vendor_item_prefer_update
    AFTER UPDATE ON hs.vendor_item
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.prefer_vendors();

CREATE TRIGGER vendor_item_prefer_left
    AFTER UPDATE ON hs.vendor_item
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.prefer_vendors();

CREATE TRIGGER vendor_item_prefer_delete
    AFTER DELETE ON hs.vendor_item
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.prefer_vendors();


CREATE TABLE hs.purchase_order (
    business_id                 uuid              NOT NULL,
    purchase_order_id           uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    vendor_id                   uuid              NOT NULL,
    ship_to_location_id         uuid,
    work_order_id               uuid,
    project_id                  uuid,
    approved_by_user_account_id uuid,
    po_number                   system_core.code  NOT NULL,
    po_kind                     text              NOT NULL DEFAULT 'stock',
    status                      text              NOT NULL DEFAULT 'draft',
    ordered_on                  date              NOT NULL DEFAULT current_date,
    expected_on                 date,
    subtotal_amount             system_core.money NOT NULL DEFAULT 0,
    tax_amount                  system_core.money NOT NULL DEFAULT 0,
    freight_amount              system_core.money NOT NULL DEFAULT 0,
    total_amount                system_core.money NOT NULL
        GENERATED ALWAYS AS (subtotal_amount + tax_amount + freight_amount) STORED,
    approved_at                 timestamptz,
    vendor_confirmation_ref     text,
    created_at                  timestamptz       NOT NULL DEFAULT now(),
    updated_at                  timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, purchase_order_id),
    UNIQUE (business_id, po_number),
    FOREIGN KEY (business_id, vendor_id) REFERENCES hs.vendor (business_id, vendor_id),
    FOREIGN KEY (business_id, ship_to_location_id)
        REFERENCES hs.stock_location (business_id, stock_location_id),
    FOREIGN KEY (business_id, approved_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT purchase_order_kind_known
        CHECK (po_kind IN ('stock', 'job', 'field_purchase', 'drop_ship')),
    CONSTRAINT purchase_order_status_known
        CHECK (status IN ('draft', 'approved', 'sent', 'partially_received', 'received',
                          'billed', 'closed', 'cancelled')),
    CONSTRAINT purchase_order_job_is_named
        CHECK (po_kind NOT IN ('job', 'drop_ship')
               OR num_nonnulls(work_order_id, project_id) > 0),
    CONSTRAINT purchase_order_place_unless_dropped
        CHECK ((po_kind = 'drop_ship') = (ship_to_location_id IS NULL)),
    CONSTRAINT purchase_order_approved_beyond_draft
        CHECK (status IN ('draft', 'cancelled') OR approved_at IS NOT NULL),
    CONSTRAINT purchase_order_expected_after_order CHECK (expected_on >= ordered_on),
    CONSTRAINT purchase_order_amounts_not_negative
        CHECK (subtotal_amount >= 0 AND tax_amount >= 0 AND freight_amount >= 0)
);

COMMENT ON TABLE hs.purchase_order IS
    'An order to a vendor for stock or for a job; it is cancelled, not deleted.';
COMMENT ON COLUMN hs.purchase_order.ship_to_location_id IS
    'Where it is received into stock; nowhere when the vendor ships straight to the job.';
COMMENT ON COLUMN hs.purchase_order.subtotal_amount IS 'Sum of the lines, kept by them.';
COMMENT ON COLUMN hs.purchase_order.tax_amount IS 'Tax of the lines, kept by them.';

-- FK and history: the orders to a vendor, the newest first.
CREATE INDEX purchase_order_vendor_idx
    ON hs.purchase_order (business_id, vendor_id, ordered_on DESC);

-- What is still to come, by day.
CREATE INDEX purchase_order_expected_idx
    ON hs.purchase_order (business_id, expected_on)
    WHERE status IN ('sent', 'partially_received');

-- FK: what is on its way to a place.
CREATE INDEX purchase_order_location_idx
    ON hs.purchase_order (business_id, ship_to_location_id)
    WHERE ship_to_location_id IS NOT NULL;

-- FK: what was bought for a job.
CREATE INDEX purchase_order_work_order_idx
    ON hs.purchase_order (business_id, work_order_id)
    WHERE work_order_id IS NOT NULL;

-- FK: what was bought for a project.
CREATE INDEX purchase_order_project_idx
    ON hs.purchase_order (business_id, project_id)
    WHERE project_id IS NOT NULL;

-- FK: what an account approved.
CREATE INDEX purchase_order_approver_idx
    ON hs.purchase_order (business_id, approved_by_user_account_id)
    WHERE approved_by_user_account_id IS NOT NULL;

ALTER TABLE hs.purchase_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.purchase_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE ON hs.purchase_order TO app_user;
GRANT SELECT ON hs.purchase_order TO app_readonly;

CREATE TRIGGER purchase_order_touch
    BEFORE UPDATE ON hs.purchase_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER purchase_order_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.purchase_order
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":              ["approved", "cancelled"],
            "approved":           ["sent", "draft", "cancelled"],
            "sent":               ["partially_received", "received", "cancelled"],
            "partially_received": ["received", "closed", "sent"],
            "received":           ["billed", "closed", "partially_received", "sent"],
            "billed":             ["closed"],
            "closed":             [],
            "cancelled":          []
        }}');

CREATE FUNCTION hs.guard_purchase_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) OR pg_trigger_depth() > 1 THEN
        RETURN NEW;
    END IF;
    IF NEW.subtotal_amount <> OLD.subtotal_amount OR NEW.tax_amount <> OLD.tax_amount THEN
        RAISE EXCEPTION 'the amounts of order % follow its lines', OLD.po_number
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status <> OLD.status
       AND (NEW.status IN ('partially_received', 'received')
            OR (NEW.status = 'sent' AND OLD.status <> 'approved')) THEN
        RAISE EXCEPTION 'how much of order % was received follows its receipts', OLD.po_number
            USING ERRCODE = 'restrict_violation', HINT = 'Post or reverse a receipt.';
    END IF;
    IF OLD.status NOT IN ('draft', 'approved')
       AND (NEW.vendor_id, NEW.po_kind, NEW.ordered_on, NEW.po_number, NEW.ship_to_location_id)
           IS DISTINCT FROM
           (OLD.vendor_id, OLD.po_kind, OLD.ordered_on, OLD.po_number, OLD.ship_to_location_id)
       THEN
        RAISE EXCEPTION 'order % was sent: vendor, kind, place and day stay', OLD.po_number
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.guard_purchase_order() IS
    'Amounts follow the lines, what was received the receipts, and what a vendor was told stays.';

CREATE TRIGGER purchase_order_guard
    BEFORE UPDATE ON hs.purchase_order
    FOR EACH ROW EXECUTE FUNCTION hs.guard_purchase_order();


CREATE TABLE hs.purchase_order_line (
    business_id            uuid                   NOT NULL,
    purchase_order_line_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    purchase_order_id      uuid                   NOT NULL,
    stock_item_id          uuid,
    line_no                integer                NOT NULL,
    description            text                   NOT NULL,
    ordered_qty            system_core.quantity   NOT NULL,
    received_qty           system_core.quantity   NOT NULL DEFAULT 0,
    billed_qty             system_core.quantity   NOT NULL DEFAULT 0,
    cancelled_qty          system_core.quantity   NOT NULL DEFAULT 0,
    unit_cost              system_core.unit_price NOT NULL,
    tax_pct                system_core.percentage NOT NULL DEFAULT 0,
    promised_on            date,
    line_total             system_core.money      NOT NULL
        GENERATED ALWAYS AS (round((ordered_qty - cancelled_qty) * unit_cost, 2)) STORED,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, purchase_order_line_id),
    UNIQUE (business_id, purchase_order_id, line_no),
    FOREIGN KEY (business_id, purchase_order_id)
        REFERENCES hs.purchase_order (business_id, purchase_order_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, stock_item_id)
        REFERENCES hs.stock_item (business_id, stock_item_id),
    CONSTRAINT purchase_order_line_no_positive CHECK (line_no > 0),
    CONSTRAINT purchase_order_line_orders_something CHECK (ordered_qty > 0),
    CONSTRAINT purchase_order_line_quantities_not_negative
        CHECK (received_qty >= 0 AND billed_qty >= 0 AND cancelled_qty >= 0),
    CONSTRAINT purchase_order_line_not_more_than_ordered
        CHECK (received_qty + cancelled_qty <= ordered_qty),
    CONSTRAINT purchase_order_line_matched_before_billed
        CHECK (stock_item_id IS NULL OR billed_qty <= received_qty),
    CONSTRAINT purchase_order_line_cost_not_negative CHECK (unit_cost >= 0),
    CONSTRAINT purchase_order_line_tax_bounded CHECK (tax_pct BETWEEN 0 AND 30)
);

COMMENT ON TABLE hs.purchase_order_line IS
    'An item of an order: ordered, received, billed, given up.';
COMMENT ON COLUMN hs.purchase_order_line.stock_item_id IS
    'NULL for what is not stocked: freight, a permit, rent; it is billed without a receipt.';
COMMENT ON COLUMN hs.purchase_order_line.received_qty IS
    'Accepted by posted receipts; nothing else writes it.';

-- FK: the orders of an item.
CREATE INDEX purchase_order_line_item_idx
    ON hs.purchase_order_line (business_id, stock_item_id)
    WHERE stock_item_id IS NOT NULL;

ALTER TABLE hs.purchase_order_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.purchase_order_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.purchase_order_line TO app_user;
GRANT SELECT ON hs.purchase_order_line TO app_readonly;

CREATE TRIGGER purchase_order_line_touch
    BEFORE UPDATE ON hs.purchase_order_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.guard_purchase_order_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    may_change CONSTANT text[] := '{cancelled_qty,billed_qty,promised_on,updated_at,line_total}';
    order_status text;
BEGIN
    IF NOT row_security_active(TG_RELID) OR pg_trigger_depth() > 1 THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    IF TG_OP <> 'DELETE'
       AND NEW.received_qty <> coalesce(OLD.received_qty, 0) THEN
        RAISE EXCEPTION 'received_qty follows posted receipts' USING ERRCODE = 'restrict_violation';
    END IF;
    SELECT o.status INTO order_status
    FROM hs.purchase_order AS o
    WHERE o.business_id = coalesce(NEW.business_id, OLD.business_id)
      AND o.purchase_order_id = coalesce(NEW.purchase_order_id, OLD.purchase_order_id)
    FOR NO KEY UPDATE;
    IF order_status = 'draft' OR NOT FOUND THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    IF TG_OP = 'UPDATE' AND order_status NOT IN ('closed', 'cancelled')
       AND to_jsonb(NEW) - may_change = to_jsonb(OLD) - may_change THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a line of an order that is % stays as it is', order_status
        USING ERRCODE = 'restrict_violation',
              HINT = 'Until it is closed, what is cancelled, billed and promised may change.';
END
$$;
COMMENT ON FUNCTION hs.guard_purchase_order_line() IS
    'Lines are edited while the order is a draft; then only what is cancelled, billed and
     promised changes, and what is received follows receipts.';

CREATE TRIGGER purchase_order_line_guard
    BEFORE INSERT OR UPDATE OR DELETE ON hs.purchase_order_line
    FOR EACH ROW EXECUTE FUNCTION hs.guard_purchase_order_line();

CREATE FUNCTION hs.count_on_order(tenants uuid[], items uuid[], places uuid[]) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
    its    uuid[];
    at     uuid[];
BEGIN
    INSERT INTO hs.stock_balance (business_id, stock_item_id, stock_location_id)
    SELECT DISTINCT t.business_id, t.stock_item_id, t.place
    FROM unnest(tenants, items, places) AS t (business_id, stock_item_id, place)
    ORDER BY t.business_id, t.stock_item_id, t.place
    ON CONFLICT (business_id, stock_item_id, stock_location_id) DO NOTHING;

    -- Tenant by tenant, as rows lie on a cluster.
    FOR tenant, its, at IN
        SELECT t.business_id, array_agg(t.stock_item_id), array_agg(t.place)
        FROM (SELECT DISTINCT x.business_id, x.stock_item_id, x.place
              FROM unnest(tenants, items, places) AS x (business_id, stock_item_id, place)) AS t
        GROUP BY t.business_id
        ORDER BY t.business_id
    LOOP
        -- Whoever waits here counts what the one before has committed.
        PERFORM FROM hs.stock_balance AS b
        WHERE b.business_id = tenant
          AND (b.stock_item_id, b.stock_location_id) IN (
              SELECT t.stock_item_id, t.place FROM unnest(its, at) AS t (stock_item_id, place))
        ORDER BY b.stock_item_id, b.stock_location_id
        FOR UPDATE;

        UPDATE hs.stock_balance AS b
        SET on_order_qty = c.open_qty
        FROM (
            SELECT t.stock_item_id, t.place,
                   coalesce(sum(l.ordered_qty - l.received_qty - l.cancelled_qty)
                            FILTER (WHERE o.purchase_order_id IS NOT NULL), 0) AS open_qty
            FROM unnest(its, at) AS t (stock_item_id, place)
            LEFT JOIN hs.purchase_order_line AS l
                ON l.business_id = tenant AND l.stock_item_id = t.stock_item_id
            LEFT JOIN hs.purchase_order AS o
                ON o.business_id = tenant AND o.purchase_order_id = l.purchase_order_id
               AND o.ship_to_location_id = t.place
               AND o.status IN ('sent', 'partially_received')
            GROUP BY t.stock_item_id, t.place
        ) AS c
        WHERE b.business_id = tenant AND b.stock_item_id = c.stock_item_id
          AND b.stock_location_id = c.place AND b.on_order_qty <> c.open_qty;
    END LOOP;
END
$$;
COMMENT ON FUNCTION hs.count_on_order(uuid[], uuid[], uuid[]) IS
    'Counts what is on its way to places: what is open of orders that were sent. Works for the
     triggers of orders and their lines; by hand it is refused where it would change anything.';

CREATE FUNCTION hs.total_purchase_orders() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tenants uuid[];
    items   uuid[];
    places  uuid[];
BEGIN
    -- The orders in the order of the key: what follows sees what others committed before.
    PERFORM FROM hs.purchase_order AS o
    WHERE (o.business_id, o.purchase_order_id) IN (
        SELECT c.business_id, c.purchase_order_id FROM changed AS c)
    ORDER BY o.business_id, o.purchase_order_id
    FOR NO KEY UPDATE;

    UPDATE hs.purchase_order AS o
    SET subtotal_amount = t.subtotal, tax_amount = t.tax
    FROM (
        SELECT c.business_id, c.purchase_order_id, coalesce(sum(l.line_total), 0) AS subtotal,
               coalesce(sum(round(l.line_total * l.tax_pct / 100, 2)), 0) AS tax
        FROM (SELECT DISTINCT x.business_id, x.purchase_order_id FROM changed AS x) AS c
        LEFT JOIN hs.purchase_order_line AS l
            ON l.business_id = c.business_id AND l.purchase_order_id = c.purchase_order_id
        GROUP BY c.business_id, c.purchase_order_id
    ) AS t
    WHERE o.business_id = t.business_id AND o.purchase_order_id = t.purchase_order_id
      AND (o.subtotal_amount, o.tax_amount) IS DISTINCT FROM (t.subtotal, t.tax);

    SELECT array_agg(c.business_id), array_agg(c.stock_item_id),
           array_agg(c.ship_to_location_id)
    INTO tenants, items, places
    FROM (
        SELECT DISTINCT x.business_id, x.stock_item_id, o.ship_to_location_id
        FROM changed AS x
        JOIN hs.purchase_order AS o
            ON o.business_id = x.business_id AND o.purchase_order_id = x.purchase_order_id
        WHERE x.stock_item_id IS NOT NULL AND o.ship_to_location_id IS NOT NULL
          AND o.status IN ('sent', 'partially_received')
    ) AS c;
    IF tenants IS NOT NULL THEN
        PERFORM hs.count_on_order(tenants, items, places);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.total_purchase_orders() IS
    'Keeps the amounts of orders and what is on order as their lines say.';

CREATE TRIGGER purchase_order_line_total_insert
    AFTER INSERT ON hs.purchase_order_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.total_purchase_orders();

CREATE TRIGGER purchase_order_line_total_update
    AFTER UPDATE ON hs.purchase_order_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.total_purchase_orders();

CREATE TRIGGER purchase_order_line_total_left
    AFTER UPDATE ON hs.purchase_order_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.total_purchase_orders();

CREATE TRIGGER purchase_order_line_total_delete
    AFTER DELETE ON hs.purchase_order_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.total_purchase_orders();

CREATE FUNCTION hs.follow_order_status() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tenants uuid[];
    items   uuid[];
    places  uuid[];
BEGIN
    SELECT array_agg(c.business_id), array_agg(c.stock_item_id), array_agg(c.place)
    INTO tenants, items, places
    FROM (
        SELECT DISTINCT l.business_id, l.stock_item_id, p.place
        FROM now_rows AS n
        JOIN old_rows AS o USING (business_id, purchase_order_id)
        JOIN hs.purchase_order_line AS l USING (business_id, purchase_order_id)
        CROSS JOIN LATERAL (VALUES (o.ship_to_location_id), (n.ship_to_location_id))
            AS p (place)
        WHERE (n.status <> o.status
               OR n.ship_to_location_id IS DISTINCT FROM o.ship_to_location_id)
          AND l.stock_item_id IS NOT NULL AND p.place IS NOT NULL
          AND (n.status IN ('sent', 'partially_received')
               OR o.status IN ('sent', 'partially_received'))
    ) AS c;
    IF tenants IS NOT NULL THEN
        PERFORM hs.count_on_order(tenants, items, places);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.follow_order_status() IS
    'Counts what is on order when orders are sent, received, cancelled or sent elsewhere.';

CREATE TRIGGER purchase_order_follow_status
    AFTER UPDATE ON hs.purchase_order
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS now_rows
    FOR EACH STATEMENT EXECUTE FUNCTION hs.follow_order_status();


CREATE TABLE hs.goods_receipt (
    business_id                uuid             NOT NULL,
    goods_receipt_id           uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    purchase_order_id          uuid             NOT NULL,
    stock_location_id          uuid             NOT NULL,
    picked_up_by_technician_id uuid,
    receipt_number             system_core.code NOT NULL,
    receipt_kind               text             NOT NULL DEFAULT 'delivery',
    status                     text             NOT NULL DEFAULT 'open',
    received_at                timestamptz      NOT NULL DEFAULT now(),
    packing_slip_number        text,
    carrier_name               text,
    discrepancy                text             NOT NULL DEFAULT 'none',
    note_text                  text,
    created_at                 timestamptz      NOT NULL DEFAULT now(),
    updated_at                 timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, goods_receipt_id),
    UNIQUE (business_id, receipt_number),
    FOREIGN KEY (business_id, purchase_order_id)
        REFERENCES hs.purchase_order (business_id, purchase_order_id),
    FOREIGN KEY (business_id, stock_location_id)
        REFERENCES hs.stock_location (business_id, stock_location_id),
    FOREIGN KEY (business_id, picked_up_by_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT goods_receipt_kind_known
        CHECK (receipt_kind IN ('delivery', 'counter_pickup', 'drop_ship')),
    CONSTRAINT goods_receipt_status_known CHECK (status IN ('open', 'posted', 'reversed')),
    CONSTRAINT goods_receipt_discrepancy_known
        CHECK (discrepancy IN ('none', 'short', 'over', 'damaged', 'wrong_item')),
    CONSTRAINT goods_receipt_picked_up_by_somebody
        CHECK ((receipt_kind = 'counter_pickup') = (picked_up_by_technician_id IS NOT NULL))
);

COMMENT ON TABLE hs.goods_receipt IS
    'A delivery or counter pickup against an order; immutable once posted, taken back by reversal.';
COMMENT ON COLUMN hs.goods_receipt.stock_location_id IS
    'Where it lies; of a drop shipment the place that answers for it, without stock.';

-- FK: the receipts of an order.
CREATE INDEX goods_receipt_order_idx ON hs.goods_receipt (business_id, purchase_order_id);

-- FK and proof: what came to a place, the newest first.
CREATE INDEX goods_receipt_location_idx
    ON hs.goods_receipt (business_id, stock_location_id, received_at DESC);

-- FK: what a technician picked up.
CREATE INDEX goods_receipt_technician_idx
    ON hs.goods_receipt (business_id, picked_up_by_technician_id)
    WHERE picked_up_by_technician_id IS NOT NULL;

ALTER TABLE hs.goods_receipt ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.goods_receipt
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.goods_receipt TO app_user;
GRANT SELECT ON hs.goods_receipt TO app_readonly;

CREATE TRIGGER goods_receipt_touch
    BEFORE UPDATE ON hs.goods_receipt
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER goods_receipt_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.goods_receipt
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":     ["posted"],
            "posted":   ["reversed"],
            "reversed": []
        }}');

CREATE FUNCTION hs.freeze_goods_receipt() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID)
       OR (TG_OP = 'UPDATE'
           AND to_jsonb(NEW) - '{status,updated_at}'::text[]
             = to_jsonb(OLD) - '{status,updated_at}'::text[]) THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    RAISE EXCEPTION 'receipt % is % and stays as it is', OLD.receipt_number, OLD.status
        USING ERRCODE = 'restrict_violation', HINT = 'Reverse it and receive again.';
END
$$;
COMMENT ON FUNCTION hs.freeze_goods_receipt() IS
    'A posted receipt is immutable but for its reversal.';

CREATE TRIGGER goods_receipt_freeze
    BEFORE UPDATE OR DELETE ON hs.goods_receipt
    FOR EACH ROW WHEN (OLD.status <> 'open') EXECUTE FUNCTION hs.freeze_goods_receipt();


CREATE TABLE hs.goods_receipt_line (
    business_id            uuid                   NOT NULL,
    goods_receipt_line_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    goods_receipt_id       uuid                   NOT NULL,
    purchase_order_line_id uuid                   NOT NULL,
    line_no                integer                NOT NULL,
    accepted_qty           system_core.quantity   NOT NULL,
    rejected_qty           system_core.quantity   NOT NULL DEFAULT 0,
    reject_reason          text,
    unit_cost              system_core.unit_price NOT NULL,
    lot_number             text,
    bin_label              text,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, goods_receipt_line_id),
    UNIQUE (business_id, goods_receipt_id, line_no),
    FOREIGN KEY (business_id, goods_receipt_id)
        REFERENCES hs.goods_receipt (business_id, goods_receipt_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, purchase_order_line_id)
        REFERENCES hs.purchase_order_line (business_id, purchase_order_line_id),
    CONSTRAINT goods_receipt_line_no_positive CHECK (line_no > 0),
    CONSTRAINT goods_receipt_line_quantities_not_negative
        CHECK (accepted_qty >= 0 AND rejected_qty >= 0),
    CONSTRAINT goods_receipt_line_counts_something CHECK (accepted_qty + rejected_qty > 0),
    CONSTRAINT goods_receipt_line_rejected_for_a_reason
        CHECK (rejected_qty = 0 OR reject_reason IS NOT NULL),
    CONSTRAINT goods_receipt_line_cost_not_negative CHECK (unit_cost >= 0)
);

COMMENT ON TABLE hs.goods_receipt_line IS
    'What was accepted and rejected of a line of the order, at the price of the packing slip.';

-- FK: the receipts of a line of an order.
CREATE INDEX goods_receipt_line_order_line_idx
    ON hs.goods_receipt_line (business_id, purchase_order_line_id);

ALTER TABLE hs.goods_receipt_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.goods_receipt_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.goods_receipt_line TO app_user;
GRANT SELECT ON hs.goods_receipt_line TO app_readonly;

CREATE TRIGGER goods_receipt_line_touch
    BEFORE UPDATE ON hs.goods_receipt_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.freeze_goods_receipt_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    receipt_status text;
BEGIN
    IF row_security_active(TG_RELID) THEN
        SELECT r.status INTO receipt_status
        FROM hs.goods_receipt AS r
        WHERE r.business_id = coalesce(NEW.business_id, OLD.business_id)
          AND r.goods_receipt_id = coalesce(NEW.goods_receipt_id, OLD.goods_receipt_id)
        FOR SHARE;
        IF receipt_status <> 'open' THEN
            RAISE EXCEPTION 'a line of a receipt that is % stays as it is', receipt_status
                USING ERRCODE = 'restrict_violation', HINT = 'Reverse it and receive again.';
        END IF;
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION hs.freeze_goods_receipt_line() IS 'Lines are edited while the receipt is open.';

CREATE TRIGGER goods_receipt_line_freeze
    BEFORE INSERT OR UPDATE OR DELETE ON hs.goods_receipt_line
    FOR EACH ROW EXECUTE FUNCTION hs.freeze_goods_receipt_line();

CREATE FUNCTION hs.require_line_of_own_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM changed AS c
        JOIN hs.goods_receipt AS r
            ON r.business_id = c.business_id AND r.goods_receipt_id = c.goods_receipt_id
        JOIN hs.purchase_order_line AS l
            ON l.business_id = c.business_id
           AND l.purchase_order_line_id = c.purchase_order_line_id
        WHERE l.purchase_order_id <> r.purchase_order_id) THEN
        RAISE EXCEPTION 'a receipt takes lines of its own order only'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.require_line_of_own_order() IS
    'Refuses a line of a receipt that names a line of another order.';

CREATE TRIGGER goods_receipt_line_own_order_insert
    AFTER INSERT ON hs.goods_receipt_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_line_of_own_order();

CREATE TRIGGER goods_receipt_line_own_order_update
    AFTER UPDATE ON hs.goods_receipt_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_line_of_own_order();

CREATE FUNCTION hs.book_receipts() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    IF NOT row_security_active('hs.goods_receipt') OR NOT EXISTS (
        SELECT FROM now_rows AS n JOIN old_rows AS o USING (business_id, goods_receipt_id)
        WHERE n.status <> o.status) THEN
        RETURN NULL;
    END IF;

    PERFORM FROM hs.purchase_order AS p
    WHERE (p.business_id, p.purchase_order_id) IN (
        SELECT n.business_id, n.purchase_order_id FROM now_rows AS n)
    ORDER BY p.business_id, p.purchase_order_id
    FOR NO KEY UPDATE;

    SELECT n.receipt_number, p.po_number, p.status INTO wrong
    FROM now_rows AS n
    JOIN old_rows AS o USING (business_id, goods_receipt_id)
    JOIN hs.purchase_order AS p
        ON p.business_id = n.business_id AND p.purchase_order_id = n.purchase_order_id
    WHERE n.status <> o.status
      AND p.status NOT IN ('sent', 'partially_received',
                           CASE n.status WHEN 'reversed' THEN 'received' ELSE 'sent' END)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'receipt % cannot be booked: order % is %', wrong.receipt_number,
                        wrong.po_number, wrong.status
            USING ERRCODE = 'check_violation';
    END IF;

    SELECT n.receipt_number, i.sku INTO wrong
    FROM now_rows AS n
    JOIN old_rows AS o USING (business_id, goods_receipt_id)
    JOIN hs.goods_receipt_line AS g USING (business_id, goods_receipt_id)
    JOIN hs.purchase_order_line AS l USING (business_id, purchase_order_line_id)
    JOIN hs.stock_item AS i
        ON i.business_id = l.business_id AND i.stock_item_id = l.stock_item_id
    WHERE n.status <> o.status AND i.is_serialized
      AND n.receipt_kind <> 'drop_ship' AND g.accepted_qty > 0
      AND g.accepted_qty <> (
          SELECT count(*)
          FROM hs.serialized_unit AS u
          JOIN hs.purchase_order AS p
              ON p.business_id = u.business_id AND p.vendor_id = u.vendor_id
             AND p.purchase_order_id = n.purchase_order_id
          WHERE u.business_id = l.business_id AND u.stock_item_id = l.stock_item_id
            AND u.lot_number = n.receipt_number
            AND u.status = CASE n.status WHEN 'posted' THEN 'in_transit' ELSE 'in_stock' END)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'receipt %: as many pieces of % as were accepted have to be there',
                        wrong.receipt_number, wrong.sku
            USING ERRCODE = 'check_violation',
                  HINT = 'Add them to hs.serialized_unit, in transit from the vendor, with the'
                         ' receipt''s number as their lot.';
    END IF;

    -- First the ledger: it locks items before balances, and so does everybody.
    INSERT INTO hs.stock_movement (
        business_id, stock_item_id, from_location_id, to_location_id, serialized_unit_id,
        movement_kind, moved_qty, unit_cost, source_kind, source_ref, moved_at)
    SELECT l.business_id, l.stock_item_id,
           CASE n.status WHEN 'reversed' THEN n.stock_location_id END,
           CASE n.status WHEN 'posted' THEN n.stock_location_id END,
           u.serialized_unit_id,
           CASE n.status WHEN 'posted' THEN 'receipt' ELSE 'return' END,
           CASE WHEN i.is_serialized THEN 1 ELSE g.accepted_qty END, g.unit_cost,
           CASE n.status WHEN 'posted' THEN 'purchase_order' ELSE 'vendor_return' END,
           n.receipt_number, CASE n.status WHEN 'posted' THEN n.received_at ELSE now() END
    FROM now_rows AS n
    JOIN old_rows AS o USING (business_id, goods_receipt_id)
    JOIN hs.goods_receipt_line AS g USING (business_id, goods_receipt_id)
    JOIN hs.purchase_order_line AS l USING (business_id, purchase_order_line_id)
    JOIN hs.stock_item AS i
        ON i.business_id = l.business_id AND i.stock_item_id = l.stock_item_id
    LEFT JOIN hs.serialized_unit AS u
        ON i.is_serialized AND u.business_id = l.business_id
       AND u.stock_item_id = l.stock_item_id AND u.lot_number = n.receipt_number
       AND u.status = CASE n.status WHEN 'posted' THEN 'in_transit' ELSE 'in_stock' END
    WHERE n.status <> o.status AND n.receipt_kind <> 'drop_ship' AND g.accepted_qty > 0;

    UPDATE hs.purchase_order_line AS l
    SET received_qty = l.received_qty + c.change
    FROM (
        SELECT g.business_id, g.purchase_order_line_id,
               sum(CASE n.status WHEN 'posted' THEN g.accepted_qty ELSE -g.accepted_qty END)
                   AS change
        FROM now_rows AS n
        JOIN old_rows AS o USING (business_id, goods_receipt_id)
        JOIN hs.goods_receipt_line AS g USING (business_id, goods_receipt_id)
        WHERE n.status <> o.status
        GROUP BY g.business_id, g.purchase_order_line_id
    ) AS c
    WHERE l.business_id = c.business_id AND l.purchase_order_line_id = c.purchase_order_line_id
      AND c.change <> 0;

    UPDATE hs.vendor_item AS v
    SET last_purchased_on = greatest(v.last_purchased_on, p.ordered_on)
    FROM now_rows AS n
    JOIN old_rows AS o USING (business_id, goods_receipt_id)
    JOIN hs.purchase_order AS p
        ON p.business_id = n.business_id AND p.purchase_order_id = n.purchase_order_id
    JOIN hs.purchase_order_line AS l
        ON l.business_id = p.business_id AND l.purchase_order_id = p.purchase_order_id
    WHERE n.status <> o.status AND n.status = 'posted'
      AND v.business_id = p.business_id AND v.vendor_id = p.vendor_id
      AND v.stock_item_id = l.stock_item_id
      AND v.last_purchased_on IS DISTINCT FROM greatest(v.last_purchased_on, p.ordered_on);

    UPDATE hs.purchase_order AS p
    SET status = t.status
    FROM (
        SELECT l.business_id, l.purchase_order_id,
               CASE WHEN bool_and(l.received_qty + l.cancelled_qty >= l.ordered_qty)
                         AND sum(l.received_qty) > 0 THEN 'received'
                    WHEN sum(l.received_qty) > 0 THEN 'partially_received'
                    ELSE 'sent' END AS status
        FROM (SELECT DISTINCT n.business_id, n.purchase_order_id
              FROM now_rows AS n
              JOIN old_rows AS o USING (business_id, goods_receipt_id)
              WHERE n.status <> o.status) AS x
        JOIN hs.purchase_order_line AS l USING (business_id, purchase_order_id)
        WHERE l.stock_item_id IS NOT NULL OR l.received_qty > 0
        GROUP BY l.business_id, l.purchase_order_id
    ) AS t
    WHERE p.business_id = t.business_id AND p.purchase_order_id = t.purchase_order_id
      AND p.status <> t.status;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.book_receipts() IS
    'Posting a receipt writes the ledger and the received quantities and moves the order on; a
     reversal takes both back. Imported history brings its own movements.';

CREATE TRIGGER goods_receipt_book
    AFTER UPDATE ON hs.goods_receipt
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS now_rows
    FOR EACH STATEMENT EXECUTE FUNCTION hs.book_receipts();


CREATE FUNCTION hs.post_goods_receipt(receipt uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    number text;
    booked integer;
BEGIN
    UPDATE hs.goods_receipt AS r
    SET status = 'posted'
    WHERE r.business_id = tenant AND r.goods_receipt_id = receipt AND r.status = 'open'
      AND EXISTS (SELECT FROM hs.goods_receipt_line AS l
                  WHERE l.business_id = r.business_id
                    AND l.goods_receipt_id = r.goods_receipt_id)
    RETURNING r.receipt_number INTO number;
    IF number IS NULL THEN
        RAISE EXCEPTION 'there is no open receipt % with lines', receipt
            USING ERRCODE = 'no_data_found';
    END IF;
    SELECT count(*) INTO booked
    FROM hs.goods_receipt_line AS l
    WHERE l.business_id = tenant AND l.goods_receipt_id = receipt AND l.accepted_qty > 0;
    RETURN booked;
END
$$;
COMMENT ON FUNCTION hs.post_goods_receipt(uuid) IS
    'Posts an open receipt of the tenant and returns how many of its lines were taken in.';
