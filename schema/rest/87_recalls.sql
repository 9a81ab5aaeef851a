/*
 * Recalls and corrective actions: where food came from, where it went, and what was done about it.
 *
 * A traceability_event is what must be kept of a lot of a listed food: that it was received, made
 * into something else or shipped. A product_recall names products and lots; each of our lots that
 * it names becomes a recall_lot, which stops the lot from being used. From there the stock ledger
 * leads on, through batches and transfers, to the lines, orders and guests that were served.
 * A corrective_action answers one deviation of any kind, and another person verifies it.
 */

CREATE TABLE rest.traceability_event (
    business_id           uuid                    NOT NULL,
    traceability_event_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    stock_lot_id          uuid                    NOT NULL,
    location_id           uuid                    NOT NULL,
    vendor_id             uuid,
    occurred_at           timestamptz             NOT NULL DEFAULT now(),
    cte_kind              text                    NOT NULL,
    traceability_lot_code system_core.code        NOT NULL,
    lot_code_source       text,
    quantity              system_core.quantity    NOT NULL,
    unit_code             system_core.code        NOT NULL,
    document_kind         text                    NOT NULL,
    document_number       text                    NOT NULL,
    ship_from_gln         text,
    kde_doc               system_core.json_object NOT NULL DEFAULT '{}',
    retain_until          date                    NOT NULL,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, traceability_event_id, occurred_at),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES rest.stock_lot (business_id, stock_lot_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, vendor_id) REFERENCES rest.vendor (business_id, vendor_id),
    CONSTRAINT traceability_event_cte_kind_known
        CHECK (cte_kind IN ('receiving', 'transformation', 'shipping')),
    CONSTRAINT traceability_event_quantity_positive CHECK (quantity > 0),
    CONSTRAINT traceability_event_retained_24_months
        CHECK (retain_until
               >= (occurred_at AT TIME ZONE 'UTC' + interval '24 months')::date),
    CONSTRAINT traceability_event_received_from_somebody
        CHECK (cte_kind <> 'receiving' OR vendor_id IS NOT NULL),
    CONSTRAINT traceability_event_gln_is_13_digits CHECK (ship_from_gln ~ '^[0-9]{13}$')
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE rest.traceability_event IS
    'Critical tracking event of a listed food with its key data elements, kept 24 months; append
     only.';
COMMENT ON COLUMN rest.traceability_event.lot_code_source IS
    'Who gave the lot its code: a place, a location number or an address on the web.';
COMMENT ON COLUMN rest.traceability_event.kde_doc IS
    'Key data elements of the event as its document states them: product_description, quantity,
     source, receiver, dates, reference.';

-- FK: what happened to a lot.
CREATE INDEX traceability_event_stock_lot_idx
    ON rest.traceability_event (business_id, stock_lot_id, occurred_at);

-- Request of a regulator: what happened to a lot code.
CREATE INDEX traceability_event_lot_code_idx
    ON rest.traceability_event (business_id, traceability_lot_code, occurred_at);

-- FK: the events of a site.
CREATE INDEX traceability_event_location_idx
    ON rest.traceability_event (business_id, location_id);

-- FK: what a vendor shipped.
CREATE INDEX traceability_event_vendor_idx
    ON rest.traceability_event (business_id, vendor_id)
    WHERE vendor_id IS NOT NULL;

ALTER TABLE rest.traceability_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.traceability_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON rest.traceability_event TO app_user;
GRANT SELECT ON rest.traceability_event TO app_readonly;

CREATE TRIGGER traceability_event_append_only
    BEFORE UPDATE OR DELETE ON rest.traceability_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.traceability_event');

CREATE FUNCTION rest.complete_traceability_event() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    known record;
BEGIN
    SELECT l.traceability_lot_code AS code, l.lot_code, i.on_traceability_list AS is_listed,
           u.unit_code
    INTO known
    FROM rest.stock_lot AS l
    JOIN rest.inventory_item AS i
        ON i.business_id = l.business_id AND i.inventory_item_id = l.inventory_item_id
    JOIN rest.unit_of_measure AS u
        ON u.business_id = i.business_id AND u.unit_of_measure_id = i.stock_unit_id
    WHERE l.business_id = NEW.business_id AND l.stock_lot_id = NEW.stock_lot_id;
    IF NOT known.is_listed AND row_security_active('rest.traceability_event') THEN
        RAISE EXCEPTION 'lot % is of a food that is not on the traceability list', known.lot_code
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.traceability_lot_code := coalesce(NEW.traceability_lot_code, known.code, known.lot_code);
    NEW.unit_code := coalesce(NEW.unit_code, known.unit_code);
    NEW.retain_until := coalesce(
        NEW.retain_until, (NEW.occurred_at AT TIME ZONE 'UTC' + interval '24 months')::date);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.complete_traceability_event() IS
    'Events are kept of listed foods; what is not given is taken from the lot, and an event is kept
     as long as it must be.';

CREATE TRIGGER traceability_event_complete
    BEFORE INSERT ON rest.traceability_event
    FOR EACH ROW EXECUTE FUNCTION rest.complete_traceability_event();

CREATE TABLE rest.traceability_event_default PARTITION OF rest.traceability_event DEFAULT;
ALTER TABLE rest.traceability_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.traceability_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('rest.traceability_event', 'month', behind => 3, ahead => 1);

CREATE FUNCTION rest.trace_receipt() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rest.traceability_event
        (business_id, stock_lot_id, location_id, vendor_id, occurred_at, cte_kind,
         traceability_lot_code, lot_code_source, quantity, document_kind, document_number,
         ship_from_gln, kde_doc)
    SELECT r.business_id, NEW.stock_lot_id, r.location_id, r.vendor_id, r.received_at, 'receiving',
           NEW.traceability_lot_code, v.legal_name, NEW.stock_qty,
           CASE WHEN r.delivery_note_number IS NULL THEN 'receipt' ELSE 'delivery_note' END,
           coalesce(r.delivery_note_number, r.receipt_number),
           CASE WHEN v.gln ~ '^[0-9]{13}$' THEN v.gln END,
           jsonb_strip_nulls(jsonb_build_object(
               'product_description', i.display_name, 'quantity', NEW.stock_qty,
               'source', v.legal_name, 'receiver', p.display_name,
               'received_on', rest.business_date(r.location_id, r.received_at),
               'reference', coalesce(r.delivery_note_number, r.receipt_number)))
    FROM rest.goods_receipt AS r
    JOIN rest.vendor AS v ON v.business_id = r.business_id AND v.vendor_id = r.vendor_id
    JOIN rest.location AS p ON p.business_id = r.business_id AND p.location_id = r.location_id
    JOIN rest.inventory_item AS i
        ON i.business_id = r.business_id AND i.inventory_item_id = NEW.inventory_item_id
    WHERE r.business_id = NEW.business_id AND r.goods_receipt_id = NEW.goods_receipt_id
      AND i.on_traceability_list AND row_security_active('rest.goods_receipt_line');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.trace_receipt() IS
    'A listed food that is received under a traceability lot code leaves its event; imported
     history brings its own.';

CREATE TRIGGER goods_receipt_line_traced_on_insert
    AFTER INSERT ON rest.goods_receipt_line
    FOR EACH ROW WHEN (NEW.stock_lot_id IS NOT NULL AND NEW.traceability_lot_code IS NOT NULL
                       AND NEW.stock_qty > 0)
    EXECUTE FUNCTION rest.trace_receipt();

CREATE TRIGGER goods_receipt_line_traced_on_update
    AFTER UPDATE ON rest.goods_receipt_line
    FOR EACH ROW WHEN (OLD.stock_lot_id IS NULL AND NEW.stock_lot_id IS NOT NULL
                       AND NEW.traceability_lot_code IS NOT NULL AND NEW.stock_qty > 0)
    EXECUTE FUNCTION rest.trace_receipt();

CREATE FUNCTION rest.traceability_records(since timestamptz, before timestamptz,
                                          code text DEFAULT NULL)
    RETURNS TABLE (
        occurred_at           timestamptz,
        cte_kind              text,
        traceability_lot_code text,
        product_description   text,
        quantity              numeric,
        unit_code             text,
        source                text,
        receiver              text,
        document_kind         text,
        document_number       text
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT e.occurred_at, e.cte_kind, e.traceability_lot_code,
           coalesce(k.product_description, i.display_name), e.quantity, e.unit_code,
           coalesce(k.source, v.legal_name), coalesce(k.receiver, p.display_name),
           e.document_kind, e.document_number
    FROM rest.traceability_event AS e
    JOIN rest.stock_lot AS l
        ON l.business_id = e.business_id AND l.stock_lot_id = e.stock_lot_id
    JOIN rest.inventory_item AS i
        ON i.business_id = l.business_id AND i.inventory_item_id = l.inventory_item_id
    JOIN rest.location AS p ON p.business_id = e.business_id AND p.location_id = e.location_id
    LEFT JOIN rest.vendor AS v ON v.business_id = e.business_id AND v.vendor_id = e.vendor_id
    CROSS JOIN JSON_TABLE(e.kde_doc::jsonb, '$' COLUMNS (
        product_description text PATH '$.product_description',
        source              text PATH '$.source',
        receiver            text PATH '$.receiver'
    )) AS k
    WHERE e.business_id = tenant_mgmt.current_business_id()
      AND e.occurred_at >= since AND e.occurred_at < before
      AND (code IS NULL OR e.traceability_lot_code = code)
    ORDER BY e.occurred_at, e.traceability_event_id;
END;
COMMENT ON FUNCTION rest.traceability_records(timestamptz, timestamptz, text) IS
    'The sortable list that a regulator may ask for within a day: the events of a span of time, of
     one lot code or all.';


CREATE TABLE rest.product_recall (
    business_id           uuid                   NOT NULL,
    product_recall_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    vendor_id             uuid,
    recall_number         text                   NOT NULL,
    recall_class          text                   NOT NULL,
    agency                text                   NOT NULL,
    product_description   text,
    hazard_text           text,
    announced_at          timestamptz,
    received_at           timestamptz            NOT NULL,
    affected_products_doc system_core.json_array NOT NULL DEFAULT '[]',
    instruction_text      text,
    state                 text                   NOT NULL DEFAULT 'open',
    closed_at             timestamptz,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, product_recall_id),
    UNIQUE (business_id, agency, recall_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, vendor_id) REFERENCES rest.vendor (business_id, vendor_id),
    CONSTRAINT product_recall_class_known
        CHECK (recall_class IN ('class_1', 'class_2', 'class_3', 'market_withdrawal')),
    CONSTRAINT product_recall_agency_known
        CHECK (agency IN ('fda', 'usda_fsis', 'vendor', 'internal')),
    CONSTRAINT product_recall_state_known
        CHECK (state IN ('open', 'investigating', 'contained', 'closed')),
    CONSTRAINT product_recall_received_after_announcement CHECK (received_at >= announced_at),
    CONSTRAINT product_recall_closed_has_time
        CHECK ((state = 'closed') = (closed_at IS NOT NULL)),
    CONSTRAINT product_recall_closed_after_receipt CHECK (closed_at >= received_at),
    CONSTRAINT product_recall_vendor_is_named
        CHECK (agency <> 'vendor' OR vendor_id IS NOT NULL)
);

COMMENT ON TABLE rest.product_recall IS 'A recall or withdrawal notice and its handling.';
COMMENT ON COLUMN rest.product_recall.recall_class IS
    'Class 1 may kill, class 2 may make ill, class 3 is unlikely to harm.';
COMMENT ON COLUMN rest.product_recall.vendor_id IS
    'NULL where the product came from several; a vendor narrows the search to what it sells.';
COMMENT ON COLUMN rest.product_recall.affected_products_doc IS
    'Array of {gtin, lot_from, lot_to, packed_from, packed_to}: all that one of them gives must
     hold of a lot; it gives a gtin or a lot.';

-- FK: the recalls of a vendor.
CREATE INDEX product_recall_vendor_idx
    ON rest.product_recall (business_id, vendor_id)
    WHERE vendor_id IS NOT NULL;

ALTER TABLE rest.product_recall ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.product_recall
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.product_recall TO app_user;
GRANT SELECT ON rest.product_recall TO app_readonly;

CREATE TRIGGER product_recall_touch
    BEFORE UPDATE ON rest.product_recall
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER product_recall_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.product_recall
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open"],
        "transitions": {
            "open":          ["investigating", "contained", "closed"],
            "investigating": ["contained", "closed"],
            "contained":     ["investigating", "closed"],
            "closed":        []
        }}');

CREATE FUNCTION rest.check_affected_products() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT p.place INTO wrong
    FROM JSON_TABLE(NEW.affected_products_doc::jsonb, '$[*]' COLUMNS (
        place       FOR ORDINALITY,
        gtin        text PATH '$.gtin',
        lot_from    text PATH '$.lot_from',
        lot_to      text PATH '$.lot_to',
        packed_from date PATH '$.packed_from',
        packed_to   date PATH '$.packed_to'
    )) AS p
    WHERE num_nonnulls(p.gtin, p.lot_from) = 0
       OR p.lot_to COLLATE "C" < p.lot_from
       OR (p.lot_to IS NOT NULL AND p.lot_from IS NULL)
       OR p.packed_to < p.packed_from
    ORDER BY p.place
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'product % of recall % names no product or an empty range', wrong.place,
                        NEW.recall_number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.check_affected_products() IS
    'An affected product is found by its trade number or its lots, and its ranges are not empty.';

CREATE TRIGGER product_recall_products
    BEFORE INSERT OR UPDATE OF affected_products_doc ON rest.product_recall
    FOR EACH ROW EXECUTE FUNCTION rest.check_affected_products();

CREATE FUNCTION rest.affected_lots(recall uuid)
    RETURNS TABLE (stock_lot_id uuid, matched_by text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT l.stock_lot_id,
           (array_agg(k.matched_by ORDER BY k.certainty, k.matched_by))[1]
    FROM rest.product_recall AS r
    CROSS JOIN JSON_TABLE(r.affected_products_doc::jsonb, '$[*]' COLUMNS (
        gtin        text PATH '$.gtin',
        lot_from    text PATH '$.lot_from',
        lot_to      text PATH '$.lot_to',
        packed_from date PATH '$.packed_from',
        packed_to   date PATH '$.packed_to'
    )) AS p
    JOIN rest.stock_lot AS l ON l.business_id = r.business_id
    JOIN rest.inventory_item AS i
        ON i.business_id = l.business_id AND i.inventory_item_id = l.inventory_item_id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN p.lot_from IS NOT NULL THEN 'lot_code'
                    WHEN num_nonnulls(p.packed_from, p.packed_to) > 0 THEN 'date_range'
                    ELSE 'gtin' END AS matched_by,
               CASE WHEN p.lot_from IS NOT NULL THEN 1
                    WHEN num_nonnulls(p.packed_from, p.packed_to) > 0 THEN 2
                    ELSE 3 END AS certainty
    ) AS k
    WHERE r.business_id = tenant_mgmt.current_business_id() AND r.product_recall_id = recall
      AND (p.lot_from IS NULL
           OR l.traceability_lot_code = p.lot_from OR l.lot_code = p.lot_from
           OR (l.traceability_lot_code COLLATE "C" >= p.lot_from
               AND l.traceability_lot_code COLLATE "C" <= p.lot_to)
           OR (l.lot_code COLLATE "C" >= p.lot_from AND l.lot_code COLLATE "C" <= p.lot_to))
      AND (num_nonnulls(p.gtin, r.vendor_id) = 0
           OR (r.vendor_id IS NULL AND i.gtin = p.gtin)
           OR EXISTS (SELECT FROM rest.vendor_item AS v
                      WHERE v.business_id = i.business_id
                        AND v.inventory_item_id = i.inventory_item_id
                        AND v.vendor_id = coalesce(r.vendor_id, v.vendor_id)
                        AND (p.gtin IS NULL OR p.gtin IN (v.gtin, i.gtin))))
      -- We know when a lot came, not when it was packed: it came later, while it was still good.
      AND coalesce(l.received_on >= p.packed_from, true)
      AND coalesce(l.received_on <= p.packed_to + i.shelf_life_days, true)
      AND l.source_kind <> 'production'
    GROUP BY l.stock_lot_id;
END;
COMMENT ON FUNCTION rest.affected_lots(uuid) IS
    'Our lots that a recall names, and the surest way in which it names them. What was made of them
     is found by following the ledger.';


CREATE TABLE rest.recall_lot (
    business_id           uuid                 NOT NULL,
    recall_lot_id         uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    handled_by_staff_id   uuid,
    product_recall_id     uuid                 NOT NULL,
    stock_lot_id          uuid                 NOT NULL,
    matched_by            text                 NOT NULL,
    matched_at            timestamptz          NOT NULL DEFAULT now(),
    on_hand_qty           system_core.quantity NOT NULL DEFAULT 0,
    used_qty              system_core.quantity NOT NULL DEFAULT 0,
    exposed_order_count   integer              NOT NULL DEFAULT 0,
    disposition           text                 NOT NULL DEFAULT 'pending',
    disposed_at           timestamptz,
    credit_claimed_amount system_core.money    NOT NULL DEFAULT 0,
    note                  text,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, recall_lot_id),
    UNIQUE (business_id, product_recall_id, stock_lot_id),
    FOREIGN KEY (business_id, handled_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, product_recall_id)
        REFERENCES rest.product_recall (business_id, product_recall_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES rest.stock_lot (business_id, stock_lot_id),
    CONSTRAINT recall_lot_matched_by_known
        CHECK (matched_by IN ('lot_code', 'gtin', 'date_range', 'manual')),
    CONSTRAINT recall_lot_disposition_known
        CHECK (disposition IN ('pending', 'quarantined', 'returned', 'destroyed', 'already_used',
                               'cleared')),
    CONSTRAINT recall_lot_disposed_has_time
        CHECK ((disposition IN ('pending', 'quarantined')) = (disposed_at IS NULL)),
    CONSTRAINT recall_lot_disposed_by_somebody
        CHECK (disposed_at IS NULL OR handled_by_staff_id IS NOT NULL),
    CONSTRAINT recall_lot_disposed_after_match CHECK (disposed_at >= matched_at),
    CONSTRAINT recall_lot_figures_not_negative
        CHECK (on_hand_qty >= 0 AND used_qty >= 0 AND exposed_order_count >= 0
               AND credit_claimed_amount >= 0),
    CONSTRAINT recall_lot_used_has_none_left
        CHECK (disposition <> 'already_used' OR on_hand_qty = 0)
);

COMMENT ON TABLE rest.recall_lot IS
    'One of our lots caught by a recall: what is left, what was served, what was done.';
COMMENT ON COLUMN rest.recall_lot.on_hand_qty IS
    'What was left of the lot when it was matched, in the stock unit of its item.';
COMMENT ON COLUMN rest.recall_lot.used_qty IS 'What was gone of it by then.';
COMMENT ON COLUMN rest.recall_lot.exposed_order_count IS
    'Orders that it was served to by then, also as part of what was made of it.';
COMMENT ON COLUMN rest.recall_lot.disposition IS
    'What is destroyed or returned leaves the stock by its own waste or return.';

-- FK: who dealt with what.
CREATE INDEX recall_lot_handled_by_staff_idx
    ON rest.recall_lot (business_id, handled_by_staff_id)
    WHERE handled_by_staff_id IS NOT NULL;

-- FK: the recalls of a lot.
CREATE INDEX recall_lot_stock_lot_idx ON rest.recall_lot (business_id, stock_lot_id);

ALTER TABLE rest.recall_lot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.recall_lot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.recall_lot TO app_user;
GRANT SELECT ON rest.recall_lot TO app_readonly;

CREATE TRIGGER recall_lot_touch
    BEFORE UPDATE ON rest.recall_lot
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER recall_lot_state_machine
    BEFORE INSERT OR UPDATE OF disposition ON rest.recall_lot
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('disposition', '{
        "initial": ["pending", "quarantined"],
        "transitions": {
            "pending":      ["quarantined", "returned", "destroyed", "already_used", "cleared"],
            "quarantined":  ["returned", "destroyed", "already_used", "cleared"],
            "cleared":      ["quarantined"],
            "returned":     [],
            "destroyed":    [],
            "already_used": []
        }}');

CREATE FUNCTION rest.lot_exposure(lot uuid)
    RETURNS TABLE (
        used_lot_id    uuid,
        steps          integer,
        check_item_id  uuid,
        guest_check_id uuid,
        guest_order_id uuid,
        quantity       numeric,
        served_at      timestamptz
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE reached (business_id, stock_lot_id, steps, since) AS (
        SELECT l.business_id, l.stock_lot_id, 0,
               -- Nothing of a lot was used before it came: older partitions are not read.
               l.received_on::timestamp AT TIME ZONE 'UTC' - interval '1 day'
        FROM rest.stock_lot AS l
        WHERE l.business_id = tenant_mgmt.current_business_id() AND l.stock_lot_id = lot
        UNION
        SELECT r.business_id, n.stock_lot_id, r.steps + 1, r.since
        FROM reached AS r
        JOIN rest.stock_movement AS m
            ON m.business_id = r.business_id AND m.stock_lot_id = r.stock_lot_id
           AND m.occurred_at >= r.since
           AND m.source_kind IN ('production_batch', 'stock_transfer_line')
        CROSS JOIN LATERAL (
            SELECT b.output_lot_id AS stock_lot_id
            FROM rest.production_batch AS b
            WHERE m.source_kind = 'production_batch'
              AND b.business_id = tenant_mgmt.current_business_id() AND b.production_batch_id = m.source_id
            UNION ALL
            SELECT x.stock_lot_id
            FROM rest.stock_movement AS x
            WHERE m.source_kind = 'stock_transfer_line'
              AND x.business_id = m.business_id AND x.source_id = m.source_id
              AND x.occurred_at >= r.since
              AND x.source_kind = m.source_kind AND x.movement_kind = 'transfer_in'
        ) AS n
        -- Food is made of food at most so often; a ring of lots ends there as well.
        WHERE m.business_id = tenant_mgmt.current_business_id()
          AND r.steps < 8 AND n.stock_lot_id <> r.stock_lot_id AND n.stock_lot_id <> lot
          AND m.movement_kind IN ('production_out', 'transfer_out')
    ), nearest AS (
        SELECT r.business_id, r.stock_lot_id, min(r.steps) AS steps, min(r.since) AS since
        FROM reached AS r
        GROUP BY r.business_id, r.stock_lot_id
    )
    SELECT n.stock_lot_id, n.steps, i.check_item_id, i.guest_check_id, c.guest_order_id,
           s.quantity, s.served_at
    FROM nearest AS n
    CROSS JOIN LATERAL (
        -- What was taken back before it was served is not counted.
        SELECT m.source_id, -sum(m.quantity) AS quantity, min(m.occurred_at) AS served_at
        FROM rest.stock_movement AS m
        WHERE m.business_id = n.business_id AND m.stock_lot_id = n.stock_lot_id
          AND m.occurred_at >= n.since
          AND m.source_kind = 'check_item' AND m.movement_kind = 'sale'
        GROUP BY m.source_id
        HAVING sum(m.quantity) < 0
    ) AS s
    JOIN rest.check_item AS i
        ON i.business_id = n.business_id AND i.check_item_id = s.source_id
    JOIN rest.guest_check AS c
        ON c.business_id = i.business_id AND c.guest_check_id = i.guest_check_id;
END;
COMMENT ON FUNCTION rest.lot_exposure(uuid) IS
    'The lines that a lot was sold with, itself or in what was made of it: the ledger is followed
     through batches and transfers. quantity is of the lot that was sold (used_lot_id), which was
     made in so many steps.';

CREATE FUNCTION rest.match_recall_lot() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    recall rest.product_recall;
    lot    rest.stock_lot;
BEGIN
    -- A recall does not close while a lot joins it.
    SELECT r.* INTO STRICT recall
    FROM rest.product_recall AS r
    WHERE r.business_id = NEW.business_id AND r.product_recall_id = NEW.product_recall_id
    FOR SHARE;
    IF recall.state = 'closed' AND row_security_active('rest.recall_lot') THEN
        RAISE EXCEPTION 'recall % is closed', recall.recall_number
            USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'UPDATE' OR NOT row_security_active('rest.recall_lot') THEN
        RETURN NEW;
    END IF;
    -- What is being used just now is waited for, and then counted.
    SELECT l.* INTO STRICT lot
    FROM rest.stock_lot AS l
    WHERE l.business_id = NEW.business_id AND l.stock_lot_id = NEW.stock_lot_id
    FOR UPDATE;
    NEW.on_hand_qty := coalesce(lot.remaining_qty, 0);
    NEW.used_qty := coalesce(lot.initial_qty - lot.remaining_qty, 0);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.match_recall_lot() IS
    'A lot joins a recall that is not closed, with what is left of it and what is gone.';

CREATE TRIGGER recall_lot_match
    BEFORE INSERT OR UPDATE ON rest.recall_lot
    FOR EACH ROW EXECUTE FUNCTION rest.match_recall_lot();

CREATE FUNCTION rest.stop_recalled_lot() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active('rest.recall_lot') THEN
        RETURN NULL;
    END IF;
    UPDATE rest.stock_lot AS l
    SET status = 'recalled'
    WHERE l.business_id = NEW.business_id AND l.stock_lot_id = NEW.stock_lot_id
      AND l.status <> 'recalled';
    -- A statement of its own: it sees what was sold while the lot was waited for.
    UPDATE rest.recall_lot AS r
    SET exposed_order_count = (SELECT count(DISTINCT e.guest_order_id)
                               FROM rest.lot_exposure(NEW.stock_lot_id) AS e)
    WHERE r.business_id = NEW.business_id AND r.recall_lot_id = NEW.recall_lot_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.stop_recalled_lot() IS
    'A lot that joins a recall is not used any more, and the orders that had it are counted.
     Imported history brings both.';

CREATE TRIGGER recall_lot_stop
    AFTER INSERT ON rest.recall_lot
    FOR EACH ROW EXECUTE FUNCTION rest.stop_recalled_lot();

CREATE FUNCTION rest.release_cleared_lot() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    lot rest.stock_lot;
BEGIN
    SELECT l.* INTO STRICT lot
    FROM rest.stock_lot AS l
    WHERE l.business_id = NEW.business_id AND l.stock_lot_id = NEW.stock_lot_id
    FOR UPDATE;
    IF NEW.disposition <> 'cleared' THEN
        UPDATE rest.stock_lot AS l
        SET status = 'recalled'
        WHERE l.business_id = NEW.business_id AND l.stock_lot_id = NEW.stock_lot_id
          AND l.status <> 'recalled';
    ELSIF lot.status = 'recalled' AND NOT EXISTS (
        SELECT FROM rest.recall_lot AS o
        WHERE o.business_id = NEW.business_id AND o.stock_lot_id = NEW.stock_lot_id
          AND o.disposition <> 'cleared') THEN
        UPDATE rest.stock_lot AS l
        SET status = 'available'
        WHERE l.business_id = NEW.business_id AND l.stock_lot_id = NEW.stock_lot_id;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.release_cleared_lot() IS
    'A lot that was cleared is used again, unless another recall holds it; one that is taken back
     into quarantine is stopped again.';

CREATE TRIGGER recall_lot_release
    AFTER UPDATE OF disposition ON rest.recall_lot
    FOR EACH ROW WHEN (NEW.disposition <> OLD.disposition
                       AND 'cleared' IN (NEW.disposition, OLD.disposition))
    EXECUTE FUNCTION rest.release_cleared_lot();

CREATE FUNCTION rest.refuse_recalled_lot() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    lot record;
BEGIN
    IF NOT row_security_active('rest.stock_movement') THEN
        RETURN NEW;
    END IF;
    -- A recall that is just being opened is waited for.
    SELECT l.lot_code, l.status INTO lot
    FROM rest.stock_lot AS l
    WHERE l.business_id = NEW.business_id AND l.stock_lot_id = NEW.stock_lot_id
    FOR SHARE;
    IF lot.status = 'recalled' THEN
        RAISE EXCEPTION 'lot % is recalled, it is not used', lot.lot_code
            USING ERRCODE = 'check_violation', HINT = 'Throw it away, or return it to its vendor.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.refuse_recalled_lot() IS
    'Nothing is sold, eaten, cooked or sent away of a recalled lot; it may be wasted or returned.';

CREATE TRIGGER stock_movement_not_recalled
    BEFORE INSERT ON rest.stock_movement
    FOR EACH ROW WHEN (NEW.stock_lot_id IS NOT NULL AND NOT NEW.is_reversal
                       AND NEW.movement_kind IN ('sale', 'staff_meal', 'production_out',
                                                 'transfer_out'))
    EXECUTE FUNCTION rest.refuse_recalled_lot();

CREATE FUNCTION rest.open_recall_lots(recall uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    joined integer;
BEGIN
    PERFORM FROM rest.product_recall AS r
    WHERE r.business_id = tenant AND r.product_recall_id = recall
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such recall' USING ERRCODE = 'no_data_found';
    END IF;
    -- In the order of their keys, so that two recalls never wait for each other.
    INSERT INTO rest.recall_lot (business_id, product_recall_id, stock_lot_id, matched_by)
    SELECT tenant, recall, a.stock_lot_id, a.matched_by
    FROM rest.affected_lots(recall) AS a
    ORDER BY a.stock_lot_id
    ON CONFLICT (business_id, product_recall_id, stock_lot_id) DO NOTHING;
    GET DIAGNOSTICS joined = ROW_COUNT;
    UPDATE rest.product_recall AS r
    SET state = 'investigating'
    WHERE r.business_id = tenant AND r.product_recall_id = recall AND r.state = 'open';
    RETURN joined;
END
$$;
COMMENT ON FUNCTION rest.open_recall_lots(uuid) IS
    'Stops every lot of ours that a recall names, and begins to look into it; returns how many were
     new. To run it again, when more came in, does no harm.';

CREATE FUNCTION rest.require_disposed_lots() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    undecided integer;
BEGIN
    SELECT count(*) INTO undecided
    FROM rest.recall_lot AS l
    WHERE l.business_id = NEW.business_id AND l.product_recall_id = NEW.product_recall_id
      AND l.disposition IN ('pending', 'quarantined');
    IF undecided > 0 THEN
        RAISE EXCEPTION 'recall % has % lots that nothing was decided about', NEW.recall_number,
                        undecided
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.require_disposed_lots() IS
    'A recall closes when it is decided what becomes of each of its lots.';

CREATE TRIGGER product_recall_lots_disposed
    BEFORE UPDATE OF state ON rest.product_recall
    FOR EACH ROW WHEN (NEW.state = 'closed' AND OLD.state <> 'closed')
    EXECUTE FUNCTION rest.require_disposed_lots();

CREATE FUNCTION rest.recall_exposure(recall uuid)
    RETURNS TABLE (
        business_id      uuid,
        recall_lot_id    uuid,
        lot_code         text,
        used_lot_id      uuid,
        steps            integer,
        guest_order_id   uuid,
        order_number     text,
        guest_check_id   uuid,
        check_item_id    uuid,
        menu_item_id     uuid,
        dish             text,
        quantity         numeric,
        served_at        timestamptz,
        guest_profile_id uuid
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT r.business_id, r.recall_lot_id, l.lot_code, e.used_lot_id, e.steps, o.guest_order_id,
           o.order_number, e.guest_check_id, e.check_item_id, i.menu_item_id, i.display_name,
           e.quantity, e.served_at, coalesce(c.guest_profile_id, o.guest_profile_id)
    FROM rest.recall_lot AS r
    JOIN rest.stock_lot AS l
        ON l.business_id = r.business_id AND l.stock_lot_id = r.stock_lot_id
    CROSS JOIN LATERAL rest.lot_exposure(r.stock_lot_id) AS e
    JOIN rest.check_item AS i
        ON i.business_id = r.business_id AND i.check_item_id = e.check_item_id
    JOIN rest.guest_check AS c
        ON c.business_id = r.business_id AND c.guest_check_id = e.guest_check_id
    JOIN rest.guest_order AS o
        ON o.business_id = r.business_id AND o.guest_order_id = e.guest_order_id
    WHERE r.business_id = tenant_mgmt.current_business_id() AND r.product_recall_id = recall
    ORDER BY e.served_at, e.check_item_id, r.recall_lot_id;
END;
COMMENT ON FUNCTION rest.recall_exposure(uuid) IS
    'Every line that a lot of a recall was served with, its dish, its order and its guest.';

CREATE VIEW rest.v_recall_exposure WITH (security_invoker = true) AS
SELECT r.business_id, r.product_recall_id, p.recall_number, p.recall_class, p.state,
       r.recall_lot_id, r.stock_lot_id, l.lot_code, l.traceability_lot_code,
       n.display_name AS item, l.status AS lot_status, l.remaining_qty AS on_hand_now,
       r.on_hand_qty AS on_hand_then, r.disposition, e.dishes, e.orders, e.guests,
       e.first_served_at, e.last_served_at
FROM rest.recall_lot AS r
JOIN rest.product_recall AS p
    ON p.business_id = r.business_id AND p.product_recall_id = r.product_recall_id
JOIN rest.stock_lot AS l ON l.business_id = r.business_id AND l.stock_lot_id = r.stock_lot_id
JOIN rest.inventory_item AS n
    ON n.business_id = l.business_id AND n.inventory_item_id = l.inventory_item_id
CROSS JOIN LATERAL (
    SELECT count(DISTINCT i.menu_item_id) AS dishes, count(DISTINCT x.guest_order_id) AS orders,
           count(DISTINCT coalesce(c.guest_profile_id, o.guest_profile_id)) AS guests,
           min(x.served_at) AS first_served_at, max(x.served_at) AS last_served_at
    FROM rest.lot_exposure(r.stock_lot_id) AS x
    JOIN rest.check_item AS i
        ON i.business_id = r.business_id AND i.check_item_id = x.check_item_id
    JOIN rest.guest_check AS c
        ON c.business_id = r.business_id AND c.guest_check_id = x.guest_check_id
    JOIN rest.guest_order AS o
        ON o.business_id = r.business_id AND o.guest_order_id = x.guest_order_id
) AS e;

COMMENT ON VIEW rest.v_recall_exposure IS
    'Each lot of a recall: what is left now, and how many dishes, orders and known guests had it.';
GRANT SELECT ON rest.v_recall_exposure TO app_user, app_readonly;


CREATE TABLE rest.corrective_action (
    business_id               uuid                 NOT NULL,
    corrective_action_id      uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    assigned_staff_id         uuid                 NOT NULL,
    verified_by_staff_id      uuid,
    temperature_log_id        uuid,
    cooling_log_id            uuid,
    checklist_run_id          uuid,
    inspection_violation_id   uuid,
    recall_lot_id             uuid,
    food_safety_incident_id   uuid,
    equipment_id              uuid,
    critical_control_point_id uuid,
    action_number             text                 NOT NULL,
    trigger_kind              text                 NOT NULL,
    deviation_text            text,
    action_text               text,
    product_disposition       text,
    discarded_qty             system_core.quantity,
    opened_at                 timestamptz          NOT NULL,
    due_at                    timestamptz,
    completed_at              timestamptz,
    verified_at               timestamptz,
    root_cause                text,
    preventive_step           text,
    state                     text                 NOT NULL DEFAULT 'open',
    created_at                timestamptz          NOT NULL DEFAULT now(),
    updated_at                timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, corrective_action_id),
    UNIQUE (business_id, action_number),
    FOREIGN KEY (business_id, assigned_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, verified_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, temperature_log_id)
        REFERENCES rest.temperature_log (business_id, temperature_log_id),
    FOREIGN KEY (business_id, cooling_log_id)
        REFERENCES rest.cooling_log (business_id, cooling_log_id),
    FOREIGN KEY (business_id, checklist_run_id)
        REFERENCES rest.checklist_run (business_id, checklist_run_id),
    FOREIGN KEY (business_id, inspection_violation_id)
        REFERENCES rest.inspection_violation (business_id, inspection_violation_id),
    FOREIGN KEY (business_id, recall_lot_id)
        REFERENCES rest.recall_lot (business_id, recall_lot_id),
    FOREIGN KEY (business_id, food_safety_incident_id)
        REFERENCES rest.food_safety_incident (business_id, food_safety_incident_id),
    FOREIGN KEY (business_id, equipment_id) REFERENCES rest.equipment (business_id, equipment_id),
    FOREIGN KEY (business_id, critical_control_point_id)
        REFERENCES rest.critical_control_point (business_id, critical_control_point_id),
    CONSTRAINT corrective_action_trigger_kind_known
        CHECK (trigger_kind IN ('ccp_deviation', 'cooling_failure', 'checklist_failure',
                                'violation', 'recall', 'incident', 'sensor_alarm')),
    CONSTRAINT corrective_action_product_disposition_known
        CHECK (product_disposition IN ('none', 'discarded', 'reheated', 'recooked', 'held',
                                       'returned', 'relabelled')),
    CONSTRAINT corrective_action_state_known
        CHECK (state IN ('open', 'in_progress', 'completed', 'verified', 'overdue')),
    CONSTRAINT corrective_action_opened_at_in_order CHECK (opened_at <= completed_at),
    CONSTRAINT corrective_action_completed_at_in_order CHECK (completed_at <= verified_at),
    CONSTRAINT corrective_action_verified_by_another
        CHECK (verified_by_staff_id <> assigned_staff_id),
    CONSTRAINT corrective_action_due_after_opening CHECK (due_at >= opened_at),
    CONSTRAINT corrective_action_answers_one_deviation
        CHECK (num_nonnulls(temperature_log_id, cooling_log_id, checklist_run_id,
                            inspection_violation_id, recall_lot_id, food_safety_incident_id)
               = CASE trigger_kind WHEN 'sensor_alarm' THEN 0 ELSE 1 END),
    CONSTRAINT corrective_action_deviation_of_its_kind
        CHECK (CASE trigger_kind
                   WHEN 'ccp_deviation' THEN temperature_log_id IS NOT NULL
                   WHEN 'cooling_failure' THEN cooling_log_id IS NOT NULL
                   WHEN 'checklist_failure' THEN checklist_run_id IS NOT NULL
                   WHEN 'violation' THEN inspection_violation_id IS NOT NULL
                   WHEN 'recall' THEN recall_lot_id IS NOT NULL
                   WHEN 'incident' THEN food_safety_incident_id IS NOT NULL
                   ELSE equipment_id IS NOT NULL END),
    CONSTRAINT corrective_action_discarded_positive CHECK (discarded_qty > 0),
    CONSTRAINT corrective_action_completed_is_told
        CHECK ((state IN ('completed', 'verified')) = (completed_at IS NOT NULL)
               AND (completed_at IS NULL OR coalesce(action_text, '') ~ '\S')),
    CONSTRAINT corrective_action_verified_by_somebody
        CHECK (num_nonnulls(verified_at, verified_by_staff_id)
               = CASE state WHEN 'verified' THEN 2 ELSE 0 END)
);

COMMENT ON TABLE rest.corrective_action IS
    'What was done about a deviation, what happened to the food, and who verified it.';
COMMENT ON COLUMN rest.corrective_action.trigger_kind IS
    'What kind of deviation it answers; the row of that kind is named, of an alarm the equipment.';
COMMENT ON COLUMN rest.corrective_action.product_disposition IS 'What became of the food.';
COMMENT ON COLUMN rest.corrective_action.preventive_step IS 'So that it does not happen again.';

-- FK: the actions that somebody is to take.
CREATE INDEX corrective_action_assigned_staff_idx
    ON rest.corrective_action (business_id, assigned_staff_id);

-- FK: the actions that somebody verified.
CREATE INDEX corrective_action_verified_by_staff_idx
    ON rest.corrective_action (business_id, verified_by_staff_id)
    WHERE verified_by_staff_id IS NOT NULL;

-- FK: the actions of a temperature log.
CREATE INDEX corrective_action_temperature_log_idx
    ON rest.corrective_action (business_id, temperature_log_id)
    WHERE temperature_log_id IS NOT NULL;

-- FK: the actions of a cooling.
CREATE INDEX corrective_action_cooling_log_idx
    ON rest.corrective_action (business_id, cooling_log_id)
    WHERE cooling_log_id IS NOT NULL;

-- FK: the actions of a run.
CREATE INDEX corrective_action_checklist_run_idx
    ON rest.corrective_action (business_id, checklist_run_id)
    WHERE checklist_run_id IS NOT NULL;

-- FK: the actions of a violation.
CREATE INDEX corrective_action_inspection_violation_idx
    ON rest.corrective_action (business_id, inspection_violation_id)
    WHERE inspection_violation_id IS NOT NULL;

-- FK: the actions of a recalled lot.
CREATE INDEX corrective_action_recall_lot_idx
    ON rest.corrective_action (business_id, recall_lot_id)
    WHERE recall_lot_id IS NOT NULL;

-- FK: the actions of an incident.
CREATE INDEX corrective_action_food_safety_incident_idx
    ON rest.corrective_action (business_id, food_safety_incident_id)
    WHERE food_safety_incident_id IS NOT NULL;

-- FK: the actions of a piece of equipment.
CREATE INDEX corrective_action_equipment_idx
    ON rest.corrective_action (business_id, equipment_id)
    WHERE equipment_id IS NOT NULL;

-- FK: the actions at a control point.
CREATE INDEX corrective_action_critical_control_point_idx
    ON rest.corrective_action (business_id, critical_control_point_id)
    WHERE critical_control_point_id IS NOT NULL;

-- What is still to be done, by when.
CREATE INDEX corrective_action_due_idx
    ON rest.corrective_action (business_id, due_at)
    WHERE state IN ('open', 'in_progress', 'overdue');

ALTER TABLE rest.corrective_action ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.corrective_action
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.corrective_action TO app_user;
GRANT SELECT ON rest.corrective_action TO app_readonly;

CREATE TRIGGER corrective_action_touch
    BEFORE UPDATE ON rest.corrective_action
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER corrective_action_number
    BEFORE INSERT ON rest.corrective_action
    FOR EACH ROW WHEN (NEW.action_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'action_number', 'rest.corrective_action', 'CA-', 'corrective_action_id');

CREATE TRIGGER corrective_action_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.corrective_action
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open", "in_progress"],
        "transitions": {
            "open":        ["in_progress", "completed", "overdue"],
            "in_progress": ["completed", "overdue"],
            "overdue":     ["in_progress", "completed"],
            "completed":   ["in_progress", "verified"],
            "verified":    []
        }}');

CREATE FUNCTION rest.refuse_verified_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'corrective action % is verified, it stands', OLD.action_number
        USING ERRCODE = 'check_violation';
END
$$;
COMMENT ON FUNCTION rest.refuse_verified_change() IS 'A verified action is evidence.';

CREATE TRIGGER corrective_action_verified_stands
    BEFORE UPDATE OR DELETE ON rest.corrective_action
    FOR EACH ROW WHEN (OLD.state = 'verified')
    EXECUTE FUNCTION rest.refuse_verified_change();

CREATE FUNCTION rest.verify_corrective_action(action uuid, verifier uuid) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    known  rest.corrective_action;
BEGIN
    SELECT a.* INTO known
    FROM rest.corrective_action AS a
    WHERE a.business_id = tenant AND a.corrective_action_id = action
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such corrective action' USING ERRCODE = 'no_data_found';
    ELSIF known.assigned_staff_id = verifier THEN
        RAISE EXCEPTION 'corrective action % is verified by somebody else than who took it',
                        known.action_number
            USING ERRCODE = 'check_violation';
    ELSIF known.state <> 'completed' THEN
        RAISE EXCEPTION 'corrective action % is %, not completed', known.action_number, known.state
            USING ERRCODE = 'check_violation';
    END IF;
    UPDATE rest.corrective_action AS a
    SET state = 'verified', verified_by_staff_id = verifier,
        verified_at = greatest(now(), known.completed_at)
    WHERE a.business_id = tenant AND a.corrective_action_id = action;
END
$$;
COMMENT ON FUNCTION rest.verify_corrective_action(uuid, uuid) IS
    'Somebody who did not take the action says that it worked.';

CREATE FUNCTION rest.mark_overdue_actions(moment timestamptz DEFAULT now()) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    late integer;
BEGIN
    UPDATE rest.corrective_action AS a
    SET state = 'overdue'
    WHERE a.business_id = tenant_mgmt.current_business_id()
      AND a.state IN ('open', 'in_progress') AND a.due_at < moment;
    GET DIAGNOSTICS late = ROW_COUNT;
    RETURN late;
END
$$;
COMMENT ON FUNCTION rest.mark_overdue_actions(timestamptz) IS
    'Marks the actions that should have been completed by then; returns how many.';

CREATE FUNCTION rest.answer_failed_checklist() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    failed text;
BEGIN
    IF NOT row_security_active('rest.checklist_run') THEN
        RETURN NULL;
    END IF;
    SELECT string_agg(format('%s. %s: %s', f.item_no, f.question, coalesce(f.answer, 'no answer')),
                      '; ' ORDER BY f.item_no)
    INTO failed
    FROM rest.failed_critical_items(NEW.checklist_run_id) AS f;
    IF failed IS NOT NULL OR NEW.state = 'failed' THEN
        INSERT INTO rest.corrective_action
            (business_id, assigned_staff_id, checklist_run_id, trigger_kind, deviation_text,
             opened_at)
        VALUES (NEW.business_id, NEW.performed_by_staff_id, NEW.checklist_run_id,
                'checklist_failure', coalesce(failed, format('Score %s', NEW.score_pct)),
                NEW.completed_at);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.answer_failed_checklist() IS
    'A run that failed, or an item of it that must not, opens a corrective action.';

CREATE TRIGGER checklist_run_failed
    AFTER UPDATE ON rest.checklist_run
    FOR EACH ROW WHEN (NEW.completed_at IS NOT NULL AND OLD.completed_at IS NULL
                       AND NEW.failed_count > 0)
    EXECUTE FUNCTION rest.answer_failed_checklist();
