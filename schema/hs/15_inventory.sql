/*
 * Inventory: what is bought, carried on trucks and installed, and where it lies.
 *
 * A stock_item is a material or a piece of equipment; a stock_location a warehouse, a truck, a job
 * site. stock_movement is the ledger: append-only, each row takes a quantity from one place, puts
 * it into another, or both. stock_balance is its sum per item and place, kept by the ledger's
 * trigger alone. serialized_unit follows a single piece; a stock_transfer restocks a truck: what is
 * shipped is reserved where it comes from, what is received is moved in the ledger.
 */

CREATE TABLE hs.stock_item (
    business_id           uuid                   NOT NULL,
    stock_item_id         uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    pricebook_category_id uuid                   NOT NULL,
    equipment_model_id    uuid,
    preferred_vendor_id   uuid,
    sku                   system_core.code       NOT NULL,
    name                  text                   NOT NULL,
    item_kind             text                   NOT NULL DEFAULT 'material',
    uom                   text                   NOT NULL DEFAULT 'each',
    average_cost          system_core.unit_price NOT NULL DEFAULT 0,
    list_price            system_core.money      NOT NULL DEFAULT 0,
    is_serialized         boolean                NOT NULL DEFAULT false,
    is_taxable            boolean                NOT NULL DEFAULT true,
    barcode               text,
    reorder_policy        text                   NOT NULL DEFAULT 'min_max',
    lead_days             integer                NOT NULL DEFAULT 3,
    hazmat_class          text,
    country_of_origin     system_core.country,
    is_active             boolean                NOT NULL DEFAULT true,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_item_id),
    UNIQUE (business_id, sku),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT stock_item_kind_known
        CHECK (item_kind IN ('material', 'equipment', 'consumable', 'refrigerant', 'tool')),
    CONSTRAINT stock_item_uom_known
        CHECK (uom IN ('each', 'foot', 'pound', 'gallon', 'roll', 'box')),
    CONSTRAINT stock_item_reorder_policy_known
        CHECK (reorder_policy IN ('min_max', 'on_demand', 'never')),
    CONSTRAINT stock_item_serialized_is_counted_whole CHECK (NOT is_serialized OR uom = 'each'),
    CONSTRAINT stock_item_amounts_not_negative CHECK (average_cost >= 0 AND list_price >= 0),
    CONSTRAINT stock_item_lead_bounded CHECK (lead_days BETWEEN 0 AND 365)
);

COMMENT ON TABLE hs.stock_item IS
    'Material or equipment that is bought, carried on trucks and installed.';
COMMENT ON COLUMN hs.stock_item.average_cost IS
    'Moving average of what was paid, kept by receipts in the ledger.';
COMMENT ON COLUMN hs.stock_item.hazmat_class IS
    'Class of dangerous goods on the road, where it is any: 2.2 for refrigerants.';

-- FK: the items of a category of the pricebook.
CREATE INDEX stock_item_category_idx ON hs.stock_item (business_id, pricebook_category_id);

-- FK: the item that stocks a model of equipment.
CREATE INDEX stock_item_model_idx
    ON hs.stock_item (business_id, equipment_model_id)
    WHERE equipment_model_id IS NOT NULL;

-- FK: what is usually bought from a vendor.
CREATE INDEX stock_item_vendor_idx
    ON hs.stock_item (business_id, preferred_vendor_id)
    WHERE preferred_vendor_id IS NOT NULL;

ALTER TABLE hs.stock_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.stock_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.stock_item TO app_user;
GRANT SELECT ON hs.stock_item TO app_readonly;

CREATE TRIGGER stock_item_touch
    BEFORE UPDATE ON hs.stock_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER stock_item_words
    AFTER INSERT OR UPDATE OF sku, name OR DELETE ON hs.stock_item
    FOR EACH ROW EXECUTE FUNCTION system_core.keep_search_words(
        'hs.stock_item', 'stock_item_id', 'sku', 'name');


CREATE TABLE hs.stock_location (
    business_id         uuid             NOT NULL,
    stock_location_id   uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    branch_id           uuid             NOT NULL,
    truck_id            uuid,
    location_code       system_core.code NOT NULL,
    name                text             NOT NULL,
    location_kind       text             NOT NULL DEFAULT 'warehouse',
    address_line        text,
    may_go_negative     boolean          NOT NULL DEFAULT false,
    is_counted          boolean          NOT NULL DEFAULT true,
    count_interval_days integer          NOT NULL DEFAULT 90,
    last_counted_on     date,
    is_active           boolean          NOT NULL DEFAULT true,
    created_at          timestamptz      NOT NULL DEFAULT now(),
    updated_at          timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_location_id),
    UNIQUE (business_id, location_code),
    FOREIGN KEY (business_id, branch_id) REFERENCES hs.branch (business_id, branch_id),
    CONSTRAINT stock_location_kind_known
        CHECK (location_kind IN ('warehouse', 'truck', 'job_site', 'returns', 'quarantine')),
    CONSTRAINT stock_location_truck_of_truck
        CHECK ((location_kind = 'truck') = (truck_id IS NOT NULL)),
    CONSTRAINT stock_location_only_trucks_go_negative
        CHECK (NOT may_go_negative OR location_kind = 'truck'),
    CONSTRAINT stock_location_interval_positive CHECK (count_interval_days > 0)
);

COMMENT ON TABLE hs.stock_location IS 'A place that holds stock: warehouse, truck, job site.';
COMMENT ON COLUMN hs.stock_location.may_go_negative IS
    'A part is used before its transfer was booked: allowed on trucks that say so, nowhere else.';

-- One place per truck; also its foreign key.
CREATE UNIQUE INDEX stock_location_truck_idx
    ON hs.stock_location (business_id, truck_id)
    WHERE truck_id IS NOT NULL;

-- FK: the places of a branch.
CREATE INDEX stock_location_branch_idx ON hs.stock_location (business_id, branch_id);

ALTER TABLE hs.stock_location ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.stock_location
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.stock_location TO app_user;
GRANT SELECT ON hs.stock_location TO app_readonly;

CREATE TRIGGER stock_location_touch
    BEFORE UPDATE ON hs.stock_location
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.stock_balance (
    business_id       uuid                   NOT NULL,
    stock_balance_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    stock_item_id     uuid                   NOT NULL,
    stock_location_id uuid                   NOT NULL,
    on_hand_qty       system_core.quantity   NOT NULL DEFAULT 0,
    reserved_qty      system_core.quantity   NOT NULL DEFAULT 0,
    on_order_qty      system_core.quantity   NOT NULL DEFAULT 0,
    min_qty           system_core.quantity   NOT NULL DEFAULT 0,
    max_qty           system_core.quantity,
    bin_label         text,
    last_moved_at     timestamptz,
    last_counted_at   timestamptz,
    created_at        timestamptz            NOT NULL DEFAULT now(),
    updated_at        timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_balance_id),
    UNIQUE (business_id, stock_item_id, stock_location_id),
    FOREIGN KEY (business_id, stock_item_id)
        REFERENCES hs.stock_item (business_id, stock_item_id),
    FOREIGN KEY (business_id, stock_location_id)
        REFERENCES hs.stock_location (business_id, stock_location_id),
    CONSTRAINT stock_balance_reserved_is_there
        CHECK (reserved_qty >= 0 AND reserved_qty <= greatest(on_hand_qty, 0)),
    CONSTRAINT stock_balance_order_not_negative CHECK (on_order_qty >= 0),
    CONSTRAINT stock_balance_min_below_max CHECK (min_qty >= 0 AND max_qty >= min_qty)
);

COMMENT ON TABLE hs.stock_balance IS
    'How much of an item lies at a place, and how much should: the sum of the ledger.';
COMMENT ON COLUMN hs.stock_balance.on_hand_qty IS
    'Kept by stock_movement; nothing else writes it.';
COMMENT ON COLUMN hs.stock_balance.reserved_qty IS
    'Lies there but is promised: shipped by a transfer and not yet received, or put aside.';
COMMENT ON COLUMN hs.stock_balance.on_order_qty IS
    'On its way from vendors: kept by purchase orders; nothing else writes it.';

-- FK and restock: what lies at a place.
CREATE INDEX stock_balance_location_idx
    ON hs.stock_balance (business_id, stock_location_id, stock_item_id);

ALTER TABLE hs.stock_balance ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.stock_balance
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.stock_balance TO app_user;
GRANT SELECT ON hs.stock_balance TO app_readonly;

CREATE TRIGGER stock_balance_touch
    BEFORE UPDATE ON hs.stock_balance
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.refuse_balance_by_hand() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 AND row_security_active('hs.stock_balance') THEN
        RAISE EXCEPTION 'a balance follows the ledger and the orders, nobody writes it'
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Book an adjustment in hs.stock_movement.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.refuse_balance_by_hand() IS
    'Lets only the triggers of the ledger and of purchase orders write what they keep.';

CREATE TRIGGER stock_balance_starts_empty
    BEFORE INSERT ON hs.stock_balance
    FOR EACH ROW WHEN (NEW.on_hand_qty <> 0 OR NEW.on_order_qty <> 0)
    EXECUTE FUNCTION hs.refuse_balance_by_hand();

CREATE TRIGGER stock_balance_follows
    BEFORE UPDATE ON hs.stock_balance
    FOR EACH ROW WHEN (NEW.on_hand_qty <> OLD.on_hand_qty
                       OR NEW.on_order_qty <> OLD.on_order_qty)
    EXECUTE FUNCTION hs.refuse_balance_by_hand();


CREATE TABLE hs.serialized_unit (
    business_id        uuid              NOT NULL,
    serialized_unit_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    stock_item_id      uuid              NOT NULL,
    stock_location_id  uuid,
    vendor_id          uuid,
    serial_number      text              NOT NULL,
    status             text              NOT NULL DEFAULT 'in_stock',
    unit_cost          system_core.money NOT NULL DEFAULT 0,
    lot_number         text,
    received_on        date              NOT NULL,
    warranty_starts_on date,
    installed_on       date,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, serialized_unit_id),
    UNIQUE (business_id, stock_item_id, serial_number),
    FOREIGN KEY (business_id, stock_item_id)
        REFERENCES hs.stock_item (business_id, stock_item_id),
    FOREIGN KEY (business_id, stock_location_id)
        REFERENCES hs.stock_location (business_id, stock_location_id),
    CONSTRAINT serialized_unit_status_known
        CHECK (status IN ('in_stock', 'reserved', 'installed', 'returned', 'scrapped',
                          'in_transit')),
    CONSTRAINT serialized_unit_lies_somewhere
        CHECK ((status IN ('in_stock', 'reserved')) = (stock_location_id IS NOT NULL)),
    CONSTRAINT serialized_unit_installed_has_day
        CHECK (status <> 'installed' OR installed_on IS NOT NULL),
    CONSTRAINT serialized_unit_installed_after_receipt CHECK (installed_on >= received_on),
    CONSTRAINT serialized_unit_cost_not_negative CHECK (unit_cost >= 0)
);

COMMENT ON TABLE hs.serialized_unit IS
    'A single piece with a serial number, from its receipt until it is installed or returned.';

-- FK: the pieces at a place.
CREATE INDEX serialized_unit_location_idx
    ON hs.serialized_unit (business_id, stock_location_id)
    WHERE stock_location_id IS NOT NULL;

-- FK: the pieces that came from a vendor.
CREATE INDEX serialized_unit_vendor_idx
    ON hs.serialized_unit (business_id, vendor_id)
    WHERE vendor_id IS NOT NULL;

ALTER TABLE hs.serialized_unit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.serialized_unit
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.serialized_unit TO app_user;
GRANT SELECT ON hs.serialized_unit TO app_readonly;

CREATE TRIGGER serialized_unit_touch
    BEFORE UPDATE ON hs.serialized_unit
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER serialized_unit_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.serialized_unit
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["in_stock", "in_transit"],
        "transitions": {
            "in_transit": ["in_stock", "returned", "scrapped"],
            "in_stock":   ["reserved", "installed", "in_transit", "returned", "scrapped"],
            "reserved":   ["in_stock", "installed", "in_transit"],
            "installed":  ["in_stock", "returned", "scrapped"],
            "returned":   [],
            "scrapped":   []
        }}');


CREATE TABLE hs.stock_movement (
    business_id           uuid                   NOT NULL,
    stock_movement_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    stock_item_id         uuid                   NOT NULL,
    from_location_id      uuid,
    to_location_id        uuid,
    serialized_unit_id    uuid,
    work_order_id         uuid,
    actor_user_account_id uuid,
    movement_kind         text                   NOT NULL,
    moved_qty             system_core.quantity   NOT NULL,
    unit_cost             system_core.unit_price NOT NULL DEFAULT 0,
    extended_cost         numeric(16, 4)         NOT NULL
        GENERATED ALWAYS AS (moved_qty * unit_cost) STORED,
    source_kind           text,
    source_ref            text,
    reason_note           text,
    moved_at              timestamptz            NOT NULL DEFAULT now(),
    created_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_movement_id, moved_at),
    FOREIGN KEY (business_id, stock_item_id)
        REFERENCES hs.stock_item (business_id, stock_item_id),
    FOREIGN KEY (business_id, from_location_id)
        REFERENCES hs.stock_location (business_id, stock_location_id),
    FOREIGN KEY (business_id, to_location_id)
        REFERENCES hs.stock_location (business_id, stock_location_id),
    FOREIGN KEY (business_id, serialized_unit_id)
        REFERENCES hs.serialized_unit (business_id, serialized_unit_id),
    FOREIGN KEY (business_id, actor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT stock_movement_kind_known
        CHECK (movement_kind IN ('receipt', 'issue', 'transfer', 'return', 'adjustment', 'scrap',
                                 'opening')),
    CONSTRAINT stock_movement_source_kind_known
        CHECK (source_kind IN ('purchase_order', 'work_order', 'transfer', 'count',
                               'vendor_return')),
    CONSTRAINT stock_movement_moves_something CHECK (moved_qty > 0),
    CONSTRAINT stock_movement_of_one_piece CHECK (serialized_unit_id IS NULL OR moved_qty = 1),
    CONSTRAINT stock_movement_touches_a_place
        CHECK (num_nonnulls(from_location_id, to_location_id) >= 1),
    CONSTRAINT stock_movement_goes_elsewhere CHECK (from_location_id <> to_location_id),
    CONSTRAINT stock_movement_direction_of_kind CHECK (CASE movement_kind
        WHEN 'receipt' THEN from_location_id IS NULL
        WHEN 'opening' THEN from_location_id IS NULL
        WHEN 'issue' THEN to_location_id IS NULL
        WHEN 'scrap' THEN to_location_id IS NULL
        WHEN 'transfer' THEN num_nonnulls(from_location_id, to_location_id) = 2
        ELSE num_nonnulls(from_location_id, to_location_id) = 1 END),
    CONSTRAINT stock_movement_cost_not_negative CHECK (unit_cost >= 0)
) PARTITION BY RANGE (moved_at);

COMMENT ON TABLE hs.stock_movement IS
    'The ledger of stock: one change of quantity a row, append only; a correction is a new row.';
COMMENT ON COLUMN hs.stock_movement.from_location_id IS 'NULL where it comes from outside.';
COMMENT ON COLUMN hs.stock_movement.to_location_id IS 'NULL where it leaves the business.';
COMMENT ON COLUMN hs.stock_movement.source_ref IS 'Number of the document that it was booked by.';

-- FK and proof: the movements of an item in order.
CREATE INDEX stock_movement_item_idx
    ON hs.stock_movement (business_id, stock_item_id, moved_at);

-- FK: what left a place.
CREATE INDEX stock_movement_from_idx
    ON hs.stock_movement (business_id, from_location_id)
    WHERE from_location_id IS NOT NULL;

-- FK: what came to a place.
CREATE INDEX stock_movement_to_idx
    ON hs.stock_movement (business_id, to_location_id)
    WHERE to_location_id IS NOT NULL;

-- FK: the way of a single piece.
CREATE INDEX stock_movement_unit_idx
    ON hs.stock_movement (business_id, serialized_unit_id)
    WHERE serialized_unit_id IS NOT NULL;

-- FK: the material of a job.
CREATE INDEX stock_movement_work_order_idx
    ON hs.stock_movement (business_id, work_order_id)
    WHERE work_order_id IS NOT NULL;

-- FK: who booked it.
CREATE INDEX stock_movement_actor_idx
    ON hs.stock_movement (business_id, actor_user_account_id)
    WHERE actor_user_account_id IS NOT NULL;

ALTER TABLE hs.stock_movement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.stock_movement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON hs.stock_movement TO app_user;
GRANT SELECT ON hs.stock_movement TO app_readonly;

CREATE TRIGGER stock_movement_append_only
    BEFORE UPDATE OR DELETE ON hs.stock_movement
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('hs.stock_movement');

CREATE FUNCTION hs.book_movements() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    short record;
BEGIN
    -- Two receipts of an item take turns, so that the second sees what the first has added.
    PERFORM FROM hs.stock_item AS i
    WHERE (i.business_id, i.stock_item_id) IN (
        SELECT x.business_id, x.stock_item_id
        FROM moved AS x
        WHERE x.movement_kind IN ('receipt', 'opening'))
    ORDER BY i.business_id, i.stock_item_id
    FOR NO KEY UPDATE;

    -- Receipts move the average cost by what they add to what was there before.
    UPDATE hs.stock_item AS i
    SET average_cost = (greatest(b.on_hand, 0) * i.average_cost + m.received_cost)
                       / (greatest(b.on_hand, 0) + m.received)
    FROM (
        SELECT x.business_id, x.stock_item_id, sum(x.moved_qty) AS received,
               sum(x.moved_qty * x.unit_cost) AS received_cost
        FROM moved AS x
        WHERE x.movement_kind IN ('receipt', 'opening')
        GROUP BY x.business_id, x.stock_item_id
    ) AS m
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(s.on_hand_qty), 0) AS on_hand
        FROM hs.stock_balance AS s
        WHERE s.business_id = m.business_id AND s.stock_item_id = m.stock_item_id
    ) AS b
    WHERE i.business_id = m.business_id AND i.stock_item_id = m.stock_item_id;

    -- In the order of the key, so that two bookings wait for each other and never in a circle.
    INSERT INTO hs.stock_balance AS b
        (business_id, stock_item_id, stock_location_id, on_hand_qty, last_moved_at)
    SELECT c.business_id, c.stock_item_id, c.place, sum(c.change), max(c.moved_at)
    FROM (
        SELECT x.business_id, x.stock_item_id, x.to_location_id AS place, x.moved_qty AS change,
               x.moved_at
        FROM moved AS x
        WHERE x.to_location_id IS NOT NULL
        UNION ALL
        SELECT x.business_id, x.stock_item_id, x.from_location_id, -x.moved_qty, x.moved_at
        FROM moved AS x
        WHERE x.from_location_id IS NOT NULL
    ) AS c
    GROUP BY c.business_id, c.stock_item_id, c.place
    ORDER BY c.business_id, c.stock_item_id, c.place
    ON CONFLICT (business_id, stock_item_id, stock_location_id) DO UPDATE
    SET on_hand_qty = b.on_hand_qty + excluded.on_hand_qty,
        last_moved_at = greatest(b.last_moved_at, excluded.last_moved_at);

    SELECT l.name, i.sku, b.on_hand_qty INTO short
    FROM (SELECT DISTINCT x.business_id, x.stock_item_id, x.from_location_id
          FROM moved AS x WHERE x.from_location_id IS NOT NULL) AS t
    JOIN hs.stock_balance AS b
        ON b.business_id = t.business_id AND b.stock_item_id = t.stock_item_id
       AND b.stock_location_id = t.from_location_id
    JOIN hs.stock_location AS l
        ON l.business_id = b.business_id AND l.stock_location_id = b.stock_location_id
    JOIN hs.stock_item AS i
        ON i.business_id = b.business_id AND i.stock_item_id = b.stock_item_id
    WHERE b.on_hand_qty < 0 AND NOT l.may_go_negative
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% is short of %: % would be left', short.name, short.sku,
                        short.on_hand_qty
            USING ERRCODE = 'check_violation',
                  HINT = 'Receive or transfer the item first, or let the truck go negative.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.book_movements() IS
    'Keeps balances and average cost as the ledger says, and refuses what is not there.';

CREATE TRIGGER stock_movement_book
    AFTER INSERT ON hs.stock_movement
    REFERENCING NEW TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION hs.book_movements();

CREATE FUNCTION hs.follow_unit() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    is_now CONSTANT boolean := row_security_active('hs.stock_movement');
    wrong  record;
BEGIN
    SELECT i.sku, x.moved_qty, x.serialized_unit_id, u.serial_number,
           u.stock_item_id IS DISTINCT FROM x.stock_item_id AS is_other_item
    INTO wrong
    FROM moved AS x
    JOIN hs.stock_item AS i
        ON i.business_id = x.business_id AND i.stock_item_id = x.stock_item_id
    LEFT JOIN hs.serialized_unit AS u
        ON u.business_id = x.business_id AND u.serialized_unit_id = x.serialized_unit_id
    WHERE (x.serialized_unit_id IS NOT NULL
           AND (NOT i.is_serialized OR u.stock_item_id <> x.stock_item_id))
       OR (i.is_serialized AND x.moved_qty <> trunc(x.moved_qty))
       OR (i.is_serialized AND x.serialized_unit_id IS NULL AND is_now)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '%', CASE
            WHEN wrong.serialized_unit_id IS NULL
                THEN format('%s moves piece by piece, with its serial number', wrong.sku)
            WHEN wrong.is_other_item
                THEN format('%s is no piece of %s', wrong.serial_number, wrong.sku)
            ELSE format('%s has no serial numbers', wrong.sku) END
            USING ERRCODE = 'check_violation';
    END IF;
    IF NOT is_now THEN
        RETURN NULL;
    END IF;

    SELECT u.serial_number INTO wrong
    FROM (
        SELECT DISTINCT ON (x.business_id, x.serialized_unit_id)
               x.business_id, x.serialized_unit_id, x.from_location_id
        FROM moved AS x
        WHERE x.serialized_unit_id IS NOT NULL
        ORDER BY x.business_id, x.serialized_unit_id, x.moved_at
    ) AS m
    JOIN hs.serialized_unit AS u
        ON u.business_id = m.business_id AND u.serialized_unit_id = m.serialized_unit_id
    WHERE m.from_location_id IS NOT NULL
      AND u.stock_location_id IS DISTINCT FROM m.from_location_id
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% does not lie where it is taken from', wrong.serial_number
            USING ERRCODE = 'check_violation';
    END IF;

    UPDATE hs.serialized_unit AS u
    SET stock_location_id = m.to_location_id,
        status = CASE WHEN m.to_location_id IS NOT NULL THEN 'in_stock'
                      WHEN m.movement_kind = 'issue' THEN 'installed'
                      WHEN m.movement_kind = 'scrap' THEN 'scrapped'
                      ELSE 'returned' END,
        installed_on = CASE WHEN m.movement_kind = 'issue'
                            THEN greatest(m.moved_at::date, u.received_on) END
    FROM (
        SELECT DISTINCT ON (x.business_id, x.serialized_unit_id)
               x.business_id, x.serialized_unit_id, x.to_location_id, x.movement_kind, x.moved_at
        FROM moved AS x
        WHERE x.serialized_unit_id IS NOT NULL
        ORDER BY x.business_id, x.serialized_unit_id, x.moved_at DESC
    ) AS m
    WHERE u.business_id = m.business_id AND u.serialized_unit_id = m.serialized_unit_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.follow_unit() IS
    'A piece is where its last movement put it, and installed when it was issued; a serialized
     item moves whole and piece by piece. Imported history leaves the piece as it was imported.';

CREATE TRIGGER stock_movement_follow_unit
    AFTER INSERT ON hs.stock_movement
    REFERENCING NEW TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION hs.follow_unit();

CREATE TABLE hs.stock_movement_default PARTITION OF hs.stock_movement DEFAULT;
ALTER TABLE hs.stock_movement_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.stock_movement_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('hs.stock_movement', 'month', behind => 3, ahead => 1);


CREATE TABLE hs.stock_transfer (
    business_id                uuid             NOT NULL,
    stock_transfer_id          uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    from_location_id           uuid             NOT NULL,
    to_location_id             uuid             NOT NULL,
    requested_by_technician_id uuid,
    transfer_number            system_core.code NOT NULL,
    status                     text             NOT NULL DEFAULT 'requested',
    reason                     text             NOT NULL DEFAULT 'replenishment',
    note_text                  text,
    needed_by_on               date,
    requested_at               timestamptz      NOT NULL DEFAULT now(),
    shipped_at                 timestamptz,
    received_at                timestamptz,
    created_at                 timestamptz      NOT NULL DEFAULT now(),
    updated_at                 timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_transfer_id),
    UNIQUE (business_id, transfer_number),
    FOREIGN KEY (business_id, from_location_id)
        REFERENCES hs.stock_location (business_id, stock_location_id),
    FOREIGN KEY (business_id, to_location_id)
        REFERENCES hs.stock_location (business_id, stock_location_id),
    FOREIGN KEY (business_id, requested_by_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT stock_transfer_status_known
        CHECK (status IN ('requested', 'picking', 'in_transit', 'received', 'cancelled')),
    CONSTRAINT stock_transfer_reason_known
        CHECK (reason IN ('replenishment', 'job_staging', 'rebalance', 'return')),
    CONSTRAINT stock_transfer_goes_elsewhere CHECK (from_location_id <> to_location_id),
    CONSTRAINT stock_transfer_times_in_order
        CHECK (requested_at <= shipped_at AND shipped_at <= received_at),
    CONSTRAINT stock_transfer_shipped_has_time
        CHECK (status NOT IN ('in_transit', 'received') OR shipped_at IS NOT NULL),
    CONSTRAINT stock_transfer_received_has_time
        CHECK ((status = 'received') = (received_at IS NOT NULL))
);

COMMENT ON TABLE hs.stock_transfer IS
    'A restock of a truck or branch from another place; it is cancelled, not deleted.';

-- FK: what leaves a place.
CREATE INDEX stock_transfer_from_idx ON hs.stock_transfer (business_id, from_location_id, status);

-- FK and restock: what is on its way to a place.
CREATE INDEX stock_transfer_to_idx ON hs.stock_transfer (business_id, to_location_id, status);

-- FK: what a technician asked for.
CREATE INDEX stock_transfer_technician_idx
    ON hs.stock_transfer (business_id, requested_by_technician_id)
    WHERE requested_by_technician_id IS NOT NULL;

ALTER TABLE hs.stock_transfer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.stock_transfer
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE ON hs.stock_transfer TO app_user;
GRANT SELECT ON hs.stock_transfer TO app_readonly;

CREATE TRIGGER stock_transfer_touch
    BEFORE UPDATE ON hs.stock_transfer
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER stock_transfer_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.stock_transfer
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["requested"],
        "transitions": {
            "requested":  ["picking", "cancelled"],
            "picking":    ["in_transit", "requested", "cancelled"],
            "in_transit": ["received"],
            "received":   [],
            "cancelled":  []
        }}');


CREATE TABLE hs.stock_transfer_line (
    business_id            uuid                   NOT NULL,
    stock_transfer_line_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    stock_transfer_id      uuid                   NOT NULL,
    stock_item_id          uuid                   NOT NULL,
    serialized_unit_id     uuid,
    line_no                integer                NOT NULL,
    requested_qty          system_core.quantity   NOT NULL,
    picked_qty             system_core.quantity   NOT NULL DEFAULT 0,
    received_qty           system_core.quantity   NOT NULL DEFAULT 0,
    unit_cost              system_core.unit_price NOT NULL DEFAULT 0,
    shortage_reason        text,
    is_backordered         boolean                NOT NULL DEFAULT false,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_transfer_line_id),
    UNIQUE (business_id, stock_transfer_id, line_no),
    FOREIGN KEY (business_id, stock_transfer_id)
        REFERENCES hs.stock_transfer (business_id, stock_transfer_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, stock_item_id)
        REFERENCES hs.stock_item (business_id, stock_item_id),
    FOREIGN KEY (business_id, serialized_unit_id)
        REFERENCES hs.serialized_unit (business_id, serialized_unit_id),
    CONSTRAINT stock_transfer_line_no_positive CHECK (line_no > 0),
    CONSTRAINT stock_transfer_line_asks_for_something CHECK (requested_qty > 0),
    CONSTRAINT stock_transfer_line_picked_of_requested
        CHECK (picked_qty BETWEEN 0 AND requested_qty),
    CONSTRAINT stock_transfer_line_received_of_picked
        CHECK (received_qty BETWEEN 0 AND picked_qty),
    CONSTRAINT stock_transfer_line_backorder_is_short
        CHECK (NOT is_backordered OR picked_qty < requested_qty)
);

COMMENT ON TABLE hs.stock_transfer_line IS
    'An item of a transfer: asked for, picked, received.';

-- FK: the transfers of an item.
CREATE INDEX stock_transfer_line_item_idx
    ON hs.stock_transfer_line (business_id, stock_item_id);

-- FK: the transfers of a single piece.
CREATE INDEX stock_transfer_line_unit_idx
    ON hs.stock_transfer_line (business_id, serialized_unit_id)
    WHERE serialized_unit_id IS NOT NULL;

ALTER TABLE hs.stock_transfer_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.stock_transfer_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.stock_transfer_line TO app_user;
GRANT SELECT ON hs.stock_transfer_line TO app_readonly;

CREATE TRIGGER stock_transfer_line_touch
    BEFORE UPDATE ON hs.stock_transfer_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.freeze_transfer_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tenant   CONSTANT uuid := coalesce(NEW.business_id, OLD.business_id);
    transfer CONSTANT uuid := coalesce(NEW.stock_transfer_id, OLD.stock_transfer_id);
    now_status text;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    SELECT t.status INTO now_status
    FROM hs.stock_transfer AS t
    WHERE t.business_id = tenant AND t.stock_transfer_id = transfer
    FOR SHARE;
    IF now_status IN ('requested', 'picking') OR NOT FOUND THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    IF now_status = 'in_transit' AND TG_OP = 'UPDATE'
       AND to_jsonb(NEW) - '{received_qty,shortage_reason,updated_at}'::text[]
         = to_jsonb(OLD) - '{received_qty,shortage_reason,updated_at}'::text[] THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a line of a transfer that is % stays as it is', now_status
        USING ERRCODE = 'restrict_violation',
              HINT = 'While it is in transit, received_qty and shortage_reason may be noted.';
END
$$;
COMMENT ON FUNCTION hs.freeze_transfer_line() IS
    'Lines are edited until the transfer is shipped; then only what arrives is noted.';

CREATE TRIGGER stock_transfer_line_freeze
    BEFORE INSERT OR UPDATE OR DELETE ON hs.stock_transfer_line
    FOR EACH ROW EXECUTE FUNCTION hs.freeze_transfer_line();

CREATE FUNCTION hs.book_transfers() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active('hs.stock_transfer') OR NOT EXISTS (
        SELECT FROM now_rows AS n JOIN old_rows AS o USING (business_id, stock_transfer_id)
        WHERE n.status <> o.status AND n.status IN ('in_transit', 'received')) THEN
        RETURN NULL;
    END IF;

    -- All balances that are touched, in the order of the key: transfers that cross take turns.
    PERFORM FROM hs.stock_balance AS b
    WHERE (b.business_id, b.stock_item_id, b.stock_location_id) IN (
        SELECT l.business_id, l.stock_item_id, p.place
        FROM now_rows AS n
        JOIN old_rows AS o USING (business_id, stock_transfer_id)
        JOIN hs.stock_transfer_line AS l USING (business_id, stock_transfer_id)
        CROSS JOIN LATERAL (VALUES (n.from_location_id), (n.to_location_id)) AS p (place)
        WHERE n.status <> o.status AND n.status IN ('in_transit', 'received'))
    ORDER BY b.business_id, b.stock_item_id, b.stock_location_id
    FOR UPDATE;

    IF EXISTS (
        SELECT FROM now_rows AS n
        JOIN old_rows AS o USING (business_id, stock_transfer_id)
        JOIN hs.stock_transfer_line AS l USING (business_id, stock_transfer_id)
        LEFT JOIN hs.stock_balance AS b
            ON b.business_id = l.business_id AND b.stock_item_id = l.stock_item_id
           AND b.stock_location_id = n.from_location_id
        WHERE n.status <> o.status AND n.status = 'in_transit' AND l.picked_qty > 0
        GROUP BY l.business_id, l.stock_item_id, n.from_location_id,
                 b.on_hand_qty, b.reserved_qty
        HAVING sum(l.picked_qty) > coalesce(b.on_hand_qty - b.reserved_qty, 0)) THEN
        RAISE EXCEPTION 'more was picked than is there and not reserved'
            USING ERRCODE = 'check_violation';
    END IF;

    UPDATE hs.stock_balance AS b
    SET reserved_qty = b.reserved_qty + c.change
    FROM (
        SELECT l.business_id, l.stock_item_id, n.from_location_id,
               sum(CASE n.status WHEN 'in_transit' THEN l.picked_qty ELSE -l.picked_qty END)
                   AS change
        FROM now_rows AS n
        JOIN old_rows AS o USING (business_id, stock_transfer_id)
        JOIN hs.stock_transfer_line AS l USING (business_id, stock_transfer_id)
        WHERE n.status <> o.status AND n.status IN ('in_transit', 'received')
        GROUP BY l.business_id, l.stock_item_id, n.from_location_id
    ) AS c
    WHERE b.business_id = c.business_id AND b.stock_item_id = c.stock_item_id
      AND b.stock_location_id = c.from_location_id AND c.change <> 0;

    INSERT INTO hs.stock_movement (
        business_id, stock_item_id, from_location_id, to_location_id, serialized_unit_id,
        movement_kind, moved_qty, unit_cost, source_kind, source_ref, moved_at)
    SELECT l.business_id, l.stock_item_id, n.from_location_id, n.to_location_id,
           l.serialized_unit_id, 'transfer', l.received_qty, i.average_cost, 'transfer',
           n.transfer_number, n.received_at
    FROM now_rows AS n
    JOIN old_rows AS o USING (business_id, stock_transfer_id)
    JOIN hs.stock_transfer_line AS l USING (business_id, stock_transfer_id)
    JOIN hs.stock_item AS i
        ON i.business_id = l.business_id AND i.stock_item_id = l.stock_item_id
    WHERE n.status <> o.status AND n.status = 'received' AND l.received_qty > 0;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.book_transfers() IS
    'Reserves what is shipped where it comes from; when it is received, frees it and moves what
     arrived. Imported history brings its own movements.';

CREATE TRIGGER stock_transfer_book
    AFTER UPDATE ON hs.stock_transfer
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS now_rows
    FOR EACH STATEMENT EXECUTE FUNCTION hs.book_transfers();


CREATE FUNCTION hs.post_stock_movement(
    item uuid, from_place uuid, to_place uuid, quantity numeric, kind text, reference text
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    posted uuid;
BEGIN
    INSERT INTO hs.stock_movement (
        business_id, stock_item_id, from_location_id, to_location_id, movement_kind, moved_qty,
        unit_cost, source_kind, source_ref)
    SELECT tenant, i.stock_item_id, from_place, to_place, kind, quantity, i.average_cost,
           CASE kind WHEN 'receipt' THEN 'purchase_order' WHEN 'issue' THEN 'work_order'
                     WHEN 'transfer' THEN 'transfer' WHEN 'adjustment' THEN 'count'
                     WHEN 'return' THEN CASE WHEN to_place IS NULL THEN 'vendor_return' END END,
           reference
    FROM hs.stock_item AS i
    WHERE i.business_id = tenant AND i.stock_item_id = item
    RETURNING stock_movement_id INTO posted;
    IF posted IS NULL THEN
        RAISE EXCEPTION 'there is no stock item %', item USING ERRCODE = 'no_data_found';
    END IF;
    RETURN posted;
END
$$;
COMMENT ON FUNCTION hs.post_stock_movement(uuid, uuid, uuid, numeric, text, text) IS
    'Books a movement of an item of the tenant at its average cost and returns its key; balances
     follow, and what is not there is refused. A single piece is booked by INSERT with its unit.';


CREATE FUNCTION hs.stock_differences() RETURNS TABLE (
    stock_item_id uuid, stock_location_id uuid, on_hand_qty numeric, ledger_qty numeric
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(b.stock_item_id, l.stock_item_id),
           coalesce(b.stock_location_id, l.place), coalesce(b.on_hand_qty, 0),
           coalesce(l.quantity, 0)
    FROM (
        SELECT x.stock_item_id, x.stock_location_id, x.on_hand_qty
        FROM hs.stock_balance AS x
        WHERE x.business_id = tenant_mgmt.current_business_id()
    ) AS b
    FULL JOIN (
        SELECT m.stock_item_id, p.place, sum(p.change) AS quantity
        FROM hs.stock_movement AS m
        CROSS JOIN LATERAL (VALUES (m.to_location_id, m.moved_qty::numeric),
                                   (m.from_location_id, -m.moved_qty::numeric))
            AS p (place, change)
        WHERE m.business_id = tenant_mgmt.current_business_id() AND p.place IS NOT NULL
        GROUP BY m.stock_item_id, p.place
    ) AS l ON l.stock_item_id = b.stock_item_id AND l.place = b.stock_location_id
    WHERE coalesce(b.on_hand_qty, 0) <> coalesce(l.quantity, 0);
END;
COMMENT ON FUNCTION hs.stock_differences() IS
    'Balances of the tenant that are not the sum of the ledger; no row proves them all.';
